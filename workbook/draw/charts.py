"""The charts of lessons and of the progress page: bars, lines, a prediction and what was measured, calibration.

    bars({"no index": 20416, "index": 4}, "Pages", unit="pages", log=True)

      no index  ████████████████████████████████████████ 20,416
      index     ██████ 4

Plain data in, a `Picture` out: the SVG and a text twin that holds every number of it. Nothing is computed here but
places on the sheet; a hypothesis (a line beyond what was measured) is dashed, and says so.

    >>> print(bars({"no index": 20416, "index": 4}, "Pages touched", unit="pages"))
    Pages touched
      no index  20,416 pages
      index          4 pages
    >>> print(gap(17938, low=3000, high=9000, unit="pages").text)
    predicted 3,000 to 9,000 pages · measured 17,938 pages · above the interval

Left out: axes with breaks, legends apart from their lines, anything that moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from workbook.draw.picture import (
    BLUE,
    CARD,
    CHAR_PX,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RULE,
    SKY,
    VERMILION,
    Canvas,
    Picture,
    shortened,
)

Number = int | float
Place = Callable[[Number], float]
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
SHAPES = ("●", "■", "▲", "◆", "○", "□")
TEXT_PX = 12


def shown(value: Number) -> str:
    """A number as people read it: 20,416; 0.25; from 1e12 on, which nobody reads, 1.2e+12.

    >>> [shown(v) for v in (20416, 0.25, 3.0, 12.3456, 1.2e12, float("nan"))]
    ['20,416', '0.25', '3', '12.3', '1.2e+12', 'not a number']
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite" if value > 0 else "minus infinite"
    if abs(value) >= 1e12:
        return f"{value:.3g}"
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def bars(values: Mapping[str, Number], title: str, *, unit: str = "", log: bool = False) -> Picture:
    """Horizontal bars, one for each label. `log`: lengths by the logarithm (the picture says so), for large factors."""
    width_label = max((len(label) for label in values), default=0)
    room_px = min(260.0, width_label * TEXT_PX * CHAR_PX + 8)
    canvas = Canvas(640, 52 + 26 * max(len(values), 1), title, f"Bars: {', '.join(values)}")
    canvas.label(16, 26, title + (" (lengths by the logarithm)" if log else ""), size=14, bold=True)
    place = _scale(list(values.values()), 0.0, 600 - room_px - 130, log=log, zero=True)
    for number, (label, value) in enumerate(values.items()):
        y = 42 + 26 * number
        canvas.label(16, y + 13, shortened(label, room_px, TEXT_PX), tip=label)
        canvas.rect(20 + room_px, y, max(place(value), 1.5), 17, COLOURS[0])
        canvas.label(26 + room_px + max(place(value), 1.5), y + 13, f"{shown(value)} {unit}".strip())
    digits = max((len(shown(value)) for value in values.values()), default=0)
    lines = [title] + [
        f"  {label.ljust(width_label)}  {shown(value).rjust(digits)} {unit}".rstrip() for label, value in values.items()
    ]
    return Picture(canvas.svg(), "\n".join(lines))


def lines(
    series: Mapping[str, Sequence[tuple[Number, Number]]],
    title: str,
    *,
    x: str = "",
    y: str = "",
    log_x: bool = False,
    log_y: bool = False,
    measured_to: float | None = None,
) -> Picture:
    """Lines through points, each with its name at its end. Beyond `measured_to` they are hypotheses, and are dashed."""
    canvas = Canvas(640, 340, title, f"{y} over {x}: {', '.join(series)}")
    canvas.label(16, 26, title, size=14, bold=True)
    points = [point for line in series.values() for point in line]
    across = _scale([point[0] for point in points], 64, 500, log=log_x)
    up = _scale([point[1] for point in points], 290, 48, log=log_y, zero=not log_y)
    _axes(canvas, points, across, up, x=x + (" (log)" if log_x else ""), y=y + (" (log)" if log_y else ""))
    taken: list[float] = []
    for number, (name, line) in enumerate(series.items()):
        colour, at = COLOURS[number % len(COLOURS)], [(across(px), up(py)) for px, py in line]
        solid = len(line) if measured_to is None else sum(1 for px, _ in line if px <= measured_to)
        canvas.line(at[:solid], colour, width=2)
        if solid < len(line):
            canvas.line(at[max(solid - 1, 0) :], colour, width=2, dashed=True)
        for (px, py), (cx, cy) in zip(line, at, strict=True):
            canvas.circle(cx, cy, 3.5, colour, tip=f"{name}: {shown(px)}, {shown(py)}")
        if at:
            end = _apart(at[-1][1], taken)
            x_end = at[-1][0] + 12
            canvas.circle(x_end, end, 3.5, colour)  # whose name it is, where two lines end at one place
            canvas.label(x_end + 8, end + 4, shortened(name, 630 - x_end - 8, TEXT_PX), colour=INK, tip=name)
    if measured_to is not None:
        canvas.label(620, 332, "dashed: a hypothesis, not measured", size=11, colour=FAINT, anchor="end")
    return Picture(canvas.svg(), _lines_text(series, title, x, y, measured_to))


def _lines_text(
    series: Mapping[str, Sequence[tuple[Number, Number]]], title: str, x: str, y: str, measured_to: float | None
) -> str:
    text = [f"{title}: {y or 'y'} by {x or 'x'}"]
    for name, line in series.items():
        told = [
            f"{shown(px)}: {shown(py)}{' (hypothesis)' if measured_to is not None and px > measured_to else ''}"
            for px, py in line
        ]
        text.append(f"  {name}  {', '.join(told)}")
    return "\n".join(text)


def _apart(y: float, taken: list[float]) -> float:
    """A height for a label that is not on another one: from `y` on towards where there is more room."""
    step = 14 if y < 200 else -14
    while any(abs(y - other) < 14 for other in taken):
        y += step
    taken.append(y)
    return y


def _axes(canvas: Canvas, points: Sequence[tuple[Number, Number]], across: Place, up: Place, *, x: str, y: str) -> None:
    canvas.line([(64, 48), (64, 290), (500, 290)], FAINT, width=1)
    canvas.label(282, 324, x, size=11, colour=FAINT, anchor="middle")
    canvas.label(72, 46, y, size=11, colour=FAINT)
    for value in _few(sorted({px for px, _ in points})):
        canvas.line([(across(value), 290), (across(value), 295)], FAINT, width=1)
        canvas.label(across(value), 308, shown(value), size=11, colour=FAINT, anchor="middle")
    for value in _few(sorted({py for _, py in points}), least=26, place=up):
        canvas.line([(59, up(value)), (64, up(value))], FAINT, width=1)
        canvas.label(56, up(value) + 4, shown(value), size=11, colour=FAINT, anchor="end")


def _few(values: list[Number], least: float = 0, place: Place | None = None) -> list[Number]:
    """At most five of the values, the first among them and the last where it has room: none is closer to the one
    before than `least` pixels."""
    if len(values) > 5:
        step = (len(values) - 1) / 4
        values = [values[round(number * step)] for number in range(5)]
    kept: list[Number] = []
    for value in values:
        if not kept or place is None or abs(place(value) - place(kept[-1])) >= least:
            kept.append(value)
    return kept


def _scale(values: Sequence[Number], start: float, end: float, *, log: bool = False, zero: bool = False) -> Place:
    """A function from a value to a place between `start` and `end`; what is no number stands at `start`."""

    def by(value: Number) -> float:
        return math.log10(max(float(value), 0.1)) if log else float(value)

    known = [by(value) for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if zero:
        low = min(low, math.log10(0.5) if log else 0.0)
    span = (high - low) or 1.0
    return lambda value: start + (end - start) * min(max(0.0, (by(value) - low) / span), 1.0)


def gap(
    value: Number, *, low: Number | None = None, high: Number | None = None, unit: str = "", title: str = ""
) -> Picture:
    """What was measured beside the interval that was predicted; by the logarithm where they lie far apart."""
    named = f" {unit}" if unit else ""
    if low is None or high is None or not math.isfinite(value):
        said = "not predicted" if low is None or high is None else f"predicted {shown(low)} to {shown(high)}{named}"
        canvas = Canvas(480, 46, title or "Measured", said)
        canvas.label(16, 28, f"◆ measured {shown(value)}{named}", size=14, bold=True)
        return Picture(canvas.svg(), f"{said} · measured {shown(value)}{named}")
    where = "inside the interval" if low <= value <= high else f"{'below' if value < low else 'above'} the interval"
    canvas = Canvas(560, 106, title or "Prediction and measurement", where)
    known = [low, high, value]
    log = min(known) > 0 and max(known) / min(known) > 30
    pad = (max(known) - min(known)) * 0.08 or 1
    ends = [min(known) / 2, max(known) * 2] if log else [min(known) - pad, max(known) + pad]
    place = _scale(ends, 24, 536, log=log)
    canvas.label(
        16,
        24,
        f"{'✓' if where.startswith('inside') else '✗'} measured {shown(value)}{named}: {where}",
        size=13,
        bold=True,
    )
    canvas.line([(24, 62), (536, 62)], RULE, width=1.5)
    canvas.rect(place(low), 53, max(place(high) - place(low), 2), 18, SKY, stroke=BLUE, tip="predicted")
    canvas.line([(place(value), 49), (place(value), 80)], VERMILION, width=3)
    canvas.label(min(max(place(value), 60), 500), 96, f"◆ {shown(value)}", size=12, anchor="middle")
    middle = min(max((place(low) + place(high)) / 2, 90), 470)
    canvas.label(middle, 46, f"{shown(low)} to {shown(high)}", size=11, colour=FAINT, anchor="middle")
    if log:
        canvas.label(544, 24, "by the logarithm", size=11, colour=FAINT, anchor="end")
    return Picture(
        canvas.svg(), f"predicted {shown(low)} to {shown(high)}{named} · measured {shown(value)}{named} · {where}"
    )


@dataclass(frozen=True, slots=True)
class Confidence:
    """One point of a calibration plot: what was claimed (0 to 1), the share that held, of how many, and the range from
    `low` to `high` in which the true share may well lie."""

    claimed: float
    held: int
    count: int
    low: float
    high: float


def calibration(points: Sequence[Confidence], title: str = "Are your predictions as good as you think?") -> Picture:
    """What was claimed against what held: on the diagonal nobody is too sure, below it somebody is."""
    canvas = Canvas(460, 392, title, "The share that held over the confidence that was claimed")
    canvas.label(16, 26, title, size=14, bold=True)

    def place(claimed: float, held: float) -> tuple[float, float]:
        return 60 + 320 * claimed, 336 - 288 * held

    canvas.line([place(0, 1), place(0, 0), place(1, 0)], FAINT, width=1)
    canvas.line([place(0, 0), place(1, 1)], RULE, width=2, dashed=True)
    for tenth in (0, 5, 10):
        x, y = place(tenth / 10, 0)
        canvas.label(x, y + 16, f"{tenth * 10} %", size=11, colour=FAINT, anchor="middle")
        x, y = place(0, tenth / 10)
        canvas.label(x - 8, y + 4, f"{tenth * 10} %", size=11, colour=FAINT, anchor="end")
    canvas.label(220, 374, "claimed", size=11, colour=FAINT, anchor="middle")
    canvas.label(68, 46, "held", size=11, colour=FAINT)
    canvas.label(*place(0.12, 0.9), "too careful", size=11, colour=FAINT)
    canvas.label(*place(0.74, 0.08), "too sure", size=11, colour=FAINT)
    for point in points:
        x, y = place(point.claimed, point.held / max(point.count, 1))
        canvas.line([place(point.claimed, point.low), place(point.claimed, point.high)], SKY, width=4)
        canvas.circle(x, y, 5, BLUE, tip=_held(point))
        canvas.label(x + 9, y + 4, f"{point.held} of {point.count}", size=11)
    text = [title, *(f"  {_held(point)}" for point in points)]
    return Picture(canvas.svg(), "\n".join(text))


def _held(point: Confidence) -> str:
    return (
        f"claimed {point.claimed:.0%}: {point.held} of {point.count} held "
        f"(the true share may lie between {point.low:.0%} and {point.high:.0%})"
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """One exercise of a progress picture."""

    id: str
    title: str
    core: bool
    points: float
    of: int
    tries: int
    hints: int


def standing(rows: Sequence[Standing], title: str) -> Picture:
    """Points by exercise, the core ones first, with hints used."""
    further = [row for row in rows if not row.core]
    ordered = [row for row in rows if row.core] + further
    canvas = Canvas(600, 66 + 28 * len(ordered) + (24 if further else 0), title, "Points by exercise")
    canvas.label(16, 28, title, size=14, bold=True)
    for x, head in ((316, "points"), (492, "tries"), (546, "hints")):
        canvas.label(x, 50, head, size=11, colour=FAINT)
    y, text = 58, [title]
    for number, row in enumerate(ordered):
        if not row.core and (number == 0 or ordered[number - 1].core):
            canvas.label(16, y + 16, "further", size=11, colour=FAINT)
            y, text = y + 24, [*text, "  further"]
        sign = "✓" if row.points >= row.of else "◐" if row.points > 0 else "✗" if row.tries else "…"
        canvas.label(16, y + 15, sign, bold=True)
        canvas.label(36, y + 15, shortened(row.title, 272, 12), tip=row.id)
        canvas.rect(316, y + 3, 100, 15, CARD, stroke=RULE)
        if row.points > 0:
            canvas.rect(316, y + 3, 100 * min(row.points / row.of, 1), 15, GREEN if row.points >= row.of else ORANGE)
        canvas.label(424, y + 15, f"{shown(row.points)} of {row.of}")
        canvas.label(500, y + 15, str(row.tries), colour=FAINT)
        canvas.label(554, y + 15, str(row.hints), colour=FAINT)
        text.append(
            f"  {sign} {row.id.ljust(max(len(other.id) for other in ordered))}  {shown(row.points)} of {row.of}"
            f"  tries {row.tries}  hints {row.hints}  {row.title}"
        )
        y += 28
    return Picture(canvas.svg(), "\n".join(text))
