"""How far a learner has come: points by exercise, core and further, tries and hints, and how well they predict.

    my-work/.progress.sqlite ──▶ progress() ──▶ a picture for each lab, a table, a calibration plot; or text; or data

    >>> Report((), (), "No prediction has been measured yet.").data()["labs"]
    {}

Left out: comparing people.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from workbook.draw.charts import Confidence, Standing, calibration, standing
from workbook.draw.picture import Picture
from workbook.grading.prediction import advice
from workbook.grading.prediction import calibration as calibrated
from workbook.grading.record import Record, Tries, record
from workbook.grading.registry import exercises
from workbook.grading.verdict import LINE, OPEN, card, number


@dataclass(frozen=True, slots=True)
class LabStanding:
    """How one lab stands."""

    lab: str
    seed: int | None
    rows: tuple[Standing, ...]

    def sum(self, core: bool) -> tuple[float, int]:
        """Points and points to be had, of the core or of the further exercises."""
        rows = [row for row in self.rows if row.core is core]
        return sum(row.points for row in rows), sum(row.of for row in rows)

    @property
    def title(self) -> str:
        sums = {"core": self.sum(True), "further": self.sum(False)}
        parts = [f"{kind} {number(points)} of {of} points" for kind, (points, of) in sums.items() if of]
        return f"{self.lab}: {', '.join(parts) or 'no exercises'}"

    @property
    def picture(self) -> Picture:
        return standing(self.rows, self.title)


@dataclass(frozen=True, slots=True)
class Report:
    """What `progress()` gives: pictures and a table in a notebook, text elsewhere, `data()` for programs."""

    labs: tuple[LabStanding, ...]
    predictions: tuple[Confidence, ...]
    advice: str
    note: str = ""

    def data(self) -> dict[str, Any]:
        """The report as plain data: `labs` by name, each with its `seed` and `exercises`; `predictions` by confidence; the
        `advice` on them."""
        return {
            "labs": {lab.lab: {"seed": lab.seed, "exercises": [asdict(row) for row in lab.rows]} for lab in self.labs},
            "predictions": [asdict(point) for point in self.predictions],
            "advice": self.advice,
        }

    def __str__(self) -> str:
        parts = [lab.picture.text for lab in self.labs] or ["No lab has been started yet."]
        parts.append(f"{calibration(self.predictions).text}\n  {self.advice}")
        return "\n\n".join([*parts, self.note] if self.note else parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        pictures = [lab.picture.svg for lab in self.labs]
        if self.predictions:
            pictures.append(calibration(self.predictions).svg)
        drawn = "".join(f'<div style="overflow-x:auto;margin:0.4em 0">{svg}</div>' for svg in pictures)
        tables = "".join(_table(lab) for lab in self.labs) or "<p>No lab has been started yet.</p>"
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return card(f"{drawn}<p>{html.escape(self.advice)}</p>{tables}{note}", OPEN)


def _table(lab: LabStanding) -> str:
    """The numbers of the picture, for whoever does not see it, folded."""
    heads = "".join(_cell(name, "th") for name in ("exercise", "", "points", "of", "tries", "hints"))
    rows = "".join(
        "<tr>"
        + _cell(row.id)
        + _cell("core" if row.core else "further")
        + "".join(_cell(value) for value in (number(row.points), row.of, row.tries, row.hints))
        + "</tr>"
        for row in lab.rows
    )
    return (
        f"<details><summary>{html.escape(lab.title)}, as a table</summary>"
        f'<table style="border-collapse:collapse"><tr>{heads}</tr>{rows}</table></details>'
    )


def _cell(value: Any, tag: str = "td") -> str:
    style = f"text-align:left;padding:0.1em 0.7em;border-bottom:1px solid {LINE}"
    return f'<{tag} style="{style}">{html.escape(str(value))}</{tag}>'


def progress(keeper: Record | None = None) -> Report:
    """How the learner of this folder stands: the labs that were started or tried, and all predictions that were
    measured."""
    keeper = keeper or record()
    tries = keeper.tries()
    labs = [
        LabStanding(lab, keeper.seed(lab), tuple(_rows(lab, tries, keeper)))
        for lab in sorted({exercise.lab for exercise in exercises()})
    ]
    shown = tuple(lab for lab in labs if lab.seed is not None or any(row.tries or row.hints for row in lab.rows))
    points = calibrated(keeper.predictions().values())
    outside = "" if keeper.path else "Outside of my-work/ nothing is recorded: this is what this session has seen."
    return Report(shown, tuple(points), advice(points), keeper.note or outside)


def _rows(lab: str, tries: dict[str, Tries], keeper: Record) -> Sequence[Standing]:
    none = Tries(0.0, 0, 0)
    return [
        Standing(
            exercise.id,
            exercise.title,
            exercise.core,
            min(tries.get(exercise.id, none).points, exercise.points),
            exercise.points,
            tries.get(exercise.id, none).tries,
            min(keeper.hints(exercise.id), len(exercise.hints)),
        )
        for exercise in exercises(lab)
    ]
