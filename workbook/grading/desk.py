"""What a learner calls in a lab: `start_lab`, `ask`, `practice`, `check`, `hint`.

    start_lab("02_indexes", seed=1) ── the seed chooses each exercise's variant
    ask(id)            ──▶ its task, in Markdown
    practice(id)       ──▶ its data, to try things on
    check(id, answer)  ──▶ by WORKBOOK_CHECK:   desk    judged here and shown; recorded under my-work/
                                                strict  the same, and raises below full marks in a core exercise
                                                class   handed to a judge in another process: 'received'
    hint(id)           ──▶ one more of three

Under nbgrader (`NBGRADER_EXECUTION` is set) a check shows its verdict and gives the points as a float, which nbgrader
reads.

    >>> check.__name__, mode() in ("desk", "strict", "class")
    ('check', True)

This module imports no judge and no engine before an exercise is asked for, and none at all in the mode `class`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbook.errors import BelowFullMarks, Misuse
from workbook.grading.folding import folded
from workbook.grading.record import record
from workbook.grading.verdict import OPEN, SOFT, Verdict, card, in_notebook, inline

if TYPE_CHECKING:
    import sqlalchemy as sa

    from workbook.engines import Database
    from workbook.grading.exercise import Exercise

MODES = ("desk", "strict", "class")
SEED, SEED_BITS = 1, 62
_seeds: dict[str, int] = {}


def mode() -> str:
    """How checks answer: the environment variable WORKBOOK_CHECK, `desk` where it is not set."""
    chosen = os.environ.get("WORKBOOK_CHECK", "").strip().lower() or "desk"
    if chosen not in MODES:
        raise Misuse(f"WORKBOOK_CHECK is {chosen!r}.", next=f"set it to {', '.join(MODES[:-1])} or {MODES[-1]}")
    return chosen


@dataclass(frozen=True, slots=True)
class Note:
    """Something to read: Markdown in a notebook, the same as text elsewhere."""

    markdown: str

    def __str__(self) -> str:
        return self.markdown

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/markdown": self.markdown, "text/plain": self.markdown}


@dataclass(frozen=True, slots=True)
class HintCard:
    """One of three hints, and how many are left."""

    id: str
    steps: tuple[str, ...]
    number: int
    of: int

    @property
    def left(self) -> str:
        rest = self.of - self.number
        if rest <= 0:
            return "No hint is left: these were all of them." if len(self.steps) > 1 else "This was the last hint."
        return f"{rest} more hint{'' if rest == 1 else 's'}: call it again."

    def __str__(self) -> str:
        first = self.number - len(self.steps) + 1
        lines = [f"Hint {number} of {self.of}: {step}" for number, step in enumerate(self.steps, first)]
        return "\n".join([*lines, self.left])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        first = self.number - len(self.steps) + 1
        parts = [
            f"<div><b>Hint {n} of {self.of}</b> · {inline(step)}</div>" for n, step in enumerate(self.steps, first)
        ]
        return card("".join(parts) + f'<div style="color:{SOFT};font-size:12px">{self.left}</div>', OPEN)


def start_lab(lab: str, seed: int = SEED) -> Note:
    """Begin a lab: the seed chooses which variant of each exercise is asked. Raises `Misuse` for a lab that there is
    not, and for a seed that is no whole number of at most 62 bits."""
    if type(seed) is not int:
        raise Misuse(f"The seed {seed!r} is no whole number.", next='write start_lab("02_indexes", seed=1)')
    if seed.bit_length() > SEED_BITS:
        raise Misuse(f"The seed has more than {SEED_BITS} bits.", next="take a smaller number")
    lab = str(lab)
    _seeds[lab] = seed
    if mode() == "class":
        from workbook.grading.channel import to_judge

        to_judge().start(lab, seed)
        return Note(f"Lab {lab}, seed {seed}: answers are handed to the judge.")
    from workbook.grading.registry import exercises, labs

    asked = exercises(lab)
    if not asked:
        raise Misuse(f"There is no lab {lab!r}.", next=f"write one of {', '.join(labs())}")
    record().start(lab, seed)
    core = [exercise for exercise in asked if exercise.core]
    minutes = sum(exercise.minutes for exercise in core)
    points = {of: sum(exercise.points for exercise in asked if exercise.core is of) for of in (True, False)}
    text = (
        f"**Lab {lab}**, seed {seed}: {len(core)} core exercises ({points[True]} points, about {minutes} minutes) "
        f"and {len(asked) - len(core)} further ones ({points[False]} points)."
    )
    return Note(f"{text} {record().note}".strip())


def seed_of(exercise: Exercise[Any]) -> int:
    """The seed of an exercise's lab: as started here, else as recorded, else 1."""
    if exercise.lab in _seeds:
        return _seeds[exercise.lab]
    known = record().seed(exercise.lab)
    return SEED if known is None else known


def ask(id: str) -> Note:
    """The task of an exercise, with the numbers of this seed's variant."""
    if mode() == "class":
        return Note(f"The task of {id} is shown at the desk.")
    from workbook.grading.registry import find

    exercise = find(id)
    further = "" if exercise.core else " · further exercise"
    head = f"**{exercise.title}** · {exercise.points} point{'' if exercise.points == 1 else 's'} · about "
    head += f"{exercise.minutes} minutes{further}"
    return Note(f"{head}\n\n{folded(exercise.brief(exercise.variant(seed_of(exercise))).strip())}")


def check(id: str, answer: Any) -> Any:
    """Judge an answer. Gives a `Verdict`; in a class, that it was received; under nbgrader, the points as a float.

    Raises `Misuse` for an id that there is not, and in the mode `strict` `BelowFullMarks` for a core exercise without
    full marks.
    """
    chosen = mode()
    if chosen == "class":
        from workbook.grading.channel import to_judge

        return to_judge().check(id, answer)
    from workbook.grading.judging import judge
    from workbook.grading.registry import find

    exercise = find(id)
    seed = seed_of(exercise)
    verdict = judge(exercise, answer, seed)
    _keep(verdict, seed)
    if os.environ.get("NBGRADER_EXECUTION"):
        _show(verdict)
        return float(verdict.points)
    if chosen == "strict" and exercise.core and not verdict.full:
        _show(verdict)
        raise BelowFullMarks(f"{id}: {verdict.marks}. {verdict.message}", next=verdict.next)
    return verdict


def _keep(verdict: Verdict, seed: int) -> None:
    """Record an attempt; what was not attempted or could not be judged is none."""
    if verdict.state not in ("not attempted", "error"):
        record().attempt(verdict.id, seed, verdict.state, verdict.points, verdict.of, verdict.misconception)


def _show(verdict: Verdict) -> None:
    """Display a verdict beside what the cell gives; as text where there is no notebook."""
    if in_notebook():
        from IPython.display import display

        display(verdict)
    else:
        print(verdict)


def practice(id: str) -> sa.Engine:
    """The data of an exercise to try things on: a database of your own, as the judge will make one too.

    What is done in it counts for nothing; the next call makes another. Raises `Misuse` for an exercise that has no
    data.
    """
    if mode() == "class":
        from workbook.grading.channel import to_judge

        return to_judge().practice(id)
    from workbook.grading.registry import find

    exercise = find(id)
    return practice_database(exercise, seed_of(exercise)).engine


def practice_database(exercise: Exercise[Any], seed: int) -> Database:
    """A database with the data of an exercise's variant: of the function `recipe` beside its judge."""
    import sys

    from workbook.engines import database

    recipe = getattr(sys.modules[exercise.judge.__module__], "recipe", None)
    if recipe is None:
        raise Misuse(
            f"{exercise.id} has no database to practise on.",
            next="put the tables that its task prints under `setup:` of a schedule and play it by "
            "run(Schedule.read(...)), or use shop(), which gives you a shop to try on",
        )
    return database(recipe(exercise.variant(seed)))


def hint(id: str) -> HintCard | Note:
    """The next of three hints: a question, a direction, nearly the answer. Recorded; after the third all are shown."""
    if mode() == "class":
        return Note(f"The hints of {id} are shown at the desk.")
    from workbook.grading.registry import find

    exercise = find(id)
    variant = exercise.variant(seed_of(exercise))
    taken = record().hints(id)
    if taken >= len(exercise.hints):
        return HintCard(id, tuple(step(variant) for step in exercise.hints), len(exercise.hints), len(exercise.hints))
    number = record().hint(id)
    return HintCard(id, (exercise.hints[number - 1](variant),), number, len(exercise.hints))
