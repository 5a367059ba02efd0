"""Predictions: said before a measurement, bound to it, compared with it, and in the end with how sure one was.

    guess = predict("finding-bitmap", between=(3000, 9000))      meant to hold four times in five
    guess = predict("finding-plan", choice="bitmap", confidence=0.7)
    guess = predict("finding-wal", "no idea")                    is an answer
    ...
    guess.measured(plan.buffers)   ──▶ predicted 3,000 to 9,000 · measured 17,938 · above the interval

What is said first binds; who says something else later is told so, and nothing is lost. A `...` says nothing yet, and in
a notebook that is printed: an assignment shows nothing by itself. Predictions carry no points and block nothing:
whatever is handed in, the cell runs. `calibration` counts how often they held, by how sure they were.

    >>> guess = predict("doctest-pages", between=(3000, 9000))
    >>> print(guess.measured(17938))
    predicted 3,000 to 9,000 · measured 17,938 · above the interval
    >>> print(predict("doctest-pages", between=(17000, 18000)))
    Prediction doctest-pages: between 3,000 and 9,000 (measured: 17,938). It stands as you made it before measuring.

Left out: scores. How far off a prediction was is shown, and never graded.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workbook.draw.charts import Confidence, gap, shown
from workbook.draw.picture import Picture
from workbook.grading.record import Record, Said, record
from workbook.grading.verdict import BAD, GOOD, OPEN, card, in_notebook, inline

INTERVAL_HOLDS = 0.8
NO_IDEA = "no idea"
NUMBER_MAX = 1e300
"""Above, arithmetic with floats overflows."""
_HOW = 'Write `between=(low, high)`, or `choice="..."` with `confidence=` from 0 to 1, or "no idea".'


class Prediction:
    """What was predicted; `measured(value)` compares. `said` is None while nothing was."""

    def __init__(self, id: str, keeper: Record, stands: Said, note: str = "") -> None:
        self.id, self._keeper, self._stands, self.note = id, keeper, stands, note

    @property
    def said(self) -> dict[str, Any] | None:
        return self._stands.said

    def measured(self, value: Any, unit: str = "") -> Gap:
        """What was measured, beside what was predicted: a number, or the right choice. The first measurement counts; None is
        none."""
        plain = plain_value(value)
        before = self._keeper.prediction(self.id)
        if plain is not None and (before is None or before.measured is None):
            self._keeper.measured(self.id, plain)
        return Gap(self.id, self.said, plain, unit, late=self._stands.late)

    def __str__(self) -> str:
        stands = f" (measured: {_told(self._stands.measured)})" if self._stands.measured is not None else ""
        text = f"Prediction {self.id}: {told(self.said)}{stands}."
        return f"{text} {self.note}" if self.note else text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return card(inline(str(self)), OPEN)


@dataclass(frozen=True, slots=True)
class Gap:
    """A prediction beside its measurement."""

    id: str
    said: dict[str, Any] | None
    value: Any
    unit: str = ""
    late: bool = False

    @property
    def held(self) -> bool | None:
        """Whether the prediction held; None where nothing was predicted."""
        return held(self.said, self.value)

    @property
    def picture(self) -> Picture | None:
        """The interval and the measurement on one line; None for a choice."""
        if not _is_number(self.value):
            return None
        low, high = (self.said or {}).get("between", (None, None))
        return gap(self.value, low=low, high=high, unit=self.unit)

    def __str__(self) -> str:
        if self.picture is not None and (self.said is None or "between" in self.said):
            text = self.picture.text
        elif self.said is None:
            text = f"not predicted · measured {_told(self.value)}"
        else:
            sign = {True: "✓ it held", False: "✗ it did not hold", None: "nothing to compare"}[self.held]
            text = f"predicted {told(self.said)} · measured {_told(self.value)} · {sign}"
        return text + (" · said after measuring, so it does not count" if self.late else "")

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        if self.said is not None and "between" in self.said and self.picture is not None and not self.late:
            return {"image/svg+xml": self.picture.svg, "text/plain": str(self)}
        edge = {True: GOOD, False: BAD, None: OPEN}[self.held]
        return {"text/html": card(html.escape(str(self)), edge), "text/plain": str(self)}


def predict(
    id: str, said: Any = None, *, between: Any = None, choice: Any = None, confidence: Any = None
) -> Prediction:
    """Say what will be measured, before measuring.

    Parameters: `between`, two numbers that enclose the value four times in five; or a `choice` with a `confidence` from
    0 to 1; or "no idea". With `...` anywhere it is not answered yet. Nothing raises: what makes no sense is said in a
    sentence.
    """
    made = _predicted(str(id), *_understood(said, between, choice, confidence))
    if made.note and in_notebook():
        print(made)
    return made


def _predicted(id: str, new: dict[str, Any] | None, note: str) -> Prediction:
    """What stands after this was said, where a note says why nothing new was taken."""
    keeper = record()
    before = keeper.prediction(id) or Said(None, None, False)
    if before.said is None and new is None:
        return Prediction(id, keeper, before, note)
    if before.said is None and new is not None:
        stands = keeper.predict(id, new)
        if stands.late:
            note = "The measurement was seen before, so it is compared but does not count in your calibration."
        return Prediction(id, keeper, stands, note)
    if new != before.said:
        when = "before measuring" if before.measured is not None else "first"
        note = f"It stands as you made it {when}."
    return Prediction(id, keeper, before, note)


def _understood(said: Any, between: Any, choice: Any, confidence: Any) -> tuple[dict[str, Any] | None, str]:
    """What was said as plain data, or None and a sentence."""
    parts = [said, choice, confidence, *(between if isinstance(between, (tuple, list)) else (between,))]
    if any(part is ... for part in parts) or all(part is None for part in parts):
        return None, f"Replace the `...` and run the cell before you go on. {_HOW}"
    if said is not None:
        if isinstance(said, str) and said == NO_IDEA:
            return {"no idea": True}, ""
        return None, f"{said!r} is not understood. {_HOW}"
    if between is not None:
        ends = [plain_value(end) for end in between] if isinstance(between, (tuple, list)) else []
        if len(ends) != 2 or not all(_is_number(end) for end in ends):
            return None, f"An interval is two numbers, as in between=(3000, 9000). {_HOW}"
        return {"between": sorted(ends)}, ""
    if choice is None:
        return None, f"A confidence needs a choice. {_HOW}"
    if confidence is None:
        return None, f"How sure are you? {_HOW}"
    sure = plain_value(confidence)
    if not _is_number(sure) or not 0 <= sure <= 1:
        return None, f"A confidence is a number from 0 (no idea) to 1 (certain), as 0.6 for sixty per cent. {_HOW}"
    return {"choice": str(choice), "confidence": float(sure)}, ""


def plain_value(value: Any) -> Any:
    """A measured value as plain data: a number of a plan gives its `.value`, a numpy number its `.item()`."""
    try:
        for name in ("value", "item"):
            if hasattr(value, name) and type(value) not in (int, float, str):
                inner = getattr(value, name)
                value = inner() if callable(inner) else inner
        if value is None or type(value) in (float, str, bool):
            return value
        return value if type(value) is int and abs(value) <= NUMBER_MAX else float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):  # an array has no one value
        return str(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= NUMBER_MAX


def held(said: dict[str, Any] | None, value: Any) -> bool | None:
    """Whether a prediction held; None where nothing was predicted, 'no idea' included."""
    if said is None or "no idea" in said or value is None:
        return None
    if "between" in said:
        low, high = said["between"]
        return _is_number(value) and low <= value <= high
    return str(value).strip().lower() == said["choice"].strip().lower()


def told(said: dict[str, Any] | None) -> str:
    """A prediction in words."""
    if said is None:
        return "not made yet"
    if "between" in said:
        return f"between {shown(said['between'][0])} and {shown(said['between'][1])}"
    if "choice" in said:
        return f"{said['choice']}, {said['confidence']:.0%} sure"
    return NO_IDEA


def _told(value: Any) -> str:
    return shown(value) if _is_number(value) else str(value)


def calibration(predictions: Iterable[Said]) -> list[Confidence]:
    """How often predictions held, by how sure they were: intervals at 80 %, choices by the nearest tenth, at the mean of
    what was claimed; late ones left out.

    The range of each share is Wilson's interval for 80 % (Brown, Cai, DasGupta, Statistical Science 16:2, 2001).

    >>> calibration([Said({"between": [1, 3]}, 2, False), Said({"between": [1, 3]}, 9, False)])[0].held
    1
    """
    groups: dict[float, list[tuple[float, bool]]] = {}
    for said in predictions:
        result = held(said.said, said.measured)
        if result is None or said.late or said.said is None:
            continue
        claimed = INTERVAL_HOLDS if "between" in said.said else float(said.said["confidence"])
        groups.setdefault(round(claimed, 1), []).append((claimed, result))
    return [_point(said_and_held) for _, said_and_held in sorted(groups.items())]


def _point(said_and_held: list[tuple[float, bool]]) -> Confidence:
    count, right = len(said_and_held), sum(result for _, result in said_and_held)
    claimed = sum(claimed for claimed, _ in said_and_held) / count
    return Confidence(round(claimed, 3), right, count, *_wilson(right, count))


def _wilson(held_count: int, count: int, z: float = 1.2816) -> tuple[float, float]:
    share, square = held_count / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def advice(points: list[Confidence]) -> str:
    """What a calibration says, in a sentence; careful while there are few predictions."""
    count = sum(point.count for point in points)
    if count == 0:
        return "No prediction has been measured yet."
    claimed = sum(point.claimed * point.count for point in points) / count
    right = sum(point.held for point in points)
    start = f"{right} of {count} predictions held, where your confidence claims {claimed * count:.1f}."
    if count < 5:
        return f"{start} Too few to say more."
    low, high = _wilson(right, count)
    if high < claimed:
        return f"{start} You are surer than you can be: wider intervals, lower confidence."
    if low > claimed:
        return f"{start} You know more than you say: narrower intervals, higher confidence."
    return f"{start} Well judged."
