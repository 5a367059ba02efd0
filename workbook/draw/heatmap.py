"""Every order of a program as a map: a cell an order, a block a level, the same order at the same place in each block.

    read committed    □ 10 serial   ✕ 60 anomaly P4 lost update   steps that waited: 40
      □□□□□□□□□□✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕✕
    repeatable read   □ 10 serial   ▲ 60 abort 40001   steps that waited: 40
      □□□□□□□□□□▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲

The orders are sorted by what they came to at the first level, then at the second, and so on, so that equals stand
together and a column shows what a level changes. What an order came to is told by a shape as well as by a colour; two
names of anomalies, or two SQLSTATEs, have two shapes. The data are those of `Exploration.data()`; nothing is computed
but places.

    >>> cell = {"number": 1, "order": "T1 T2", "kind": "serial", "label": "", "text": "serial", "waits": 0}
    >>> level = {"level": "snapshot", "at": "snapshot", "texts": {"serial": 1}, "waits": 0, "cells": [cell]}
    >>> data = {"title": "One", "sessions": {"T1": ["SELECT 1"]}, "explored": 1, "levels": [level]}
    >>> heatmap_picture(data, "one order").text, places(data), grids(data)[0].at(0)
    ('one order', [0], (16.0, 102.0))

Left out: a map of steps by steps. Which step must not stand before which other one, the timeline of a single order
tells.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbook.draw.picture import (
    CARD,
    CHAR_PX,
    FAINT,
    INK,
    PURPLE,
    RULE,
    VERMILION,
    YELLOW,
    Canvas,
    Picture,
    escape,
    shortened,
)

WIDTH, LEFT = 840, 16
ROOM = WIDTH - 2 * LEFT
TITLE_LINE, SESSION_LINE, ENTRY_LINE, HEAD, GAP = 20, 17, 20, 26, 16
TIPS_MAX = 450
"""Up to so many cells, each has a tip of its own."""
KINDS = ("serial", "anomaly", "abort", "deadlock", "stuck")
FILLS = {"serial": CARD, "anomaly": VERMILION, "abort": YELLOW, "deadlock": PURPLE, "stuck": INK}
INKS = {"serial": FAINT, "anomaly": CARD, "abort": INK, "deadlock": INK, "stuck": CARD}
Shape = Callable[[float, float, float], str]
"""The path of a mark, from its centre and the half of its size."""


def _dot(x: float, y: float, r: float) -> str:
    s = r * 0.5
    return f"M{x - s:.1f} {y:.1f}a{s:.1f} {s:.1f} 0 1 0 {2 * s:.1f} 0a{s:.1f} {s:.1f} 0 1 0 {-2 * s:.1f} 0"


def _lines(*strokes: tuple[float, float, float, float]) -> Shape:
    """Strokes from one place to another, in units of the half size."""

    def drawn(x: float, y: float, r: float) -> str:
        return "".join(f"M{x + a * r:.1f} {y + b * r:.1f}L{x + c * r:.1f} {y + d * r:.1f}" for a, b, c, d in strokes)

    return drawn


def _area(*corners: tuple[float, float]) -> Shape:
    """A filled shape, its corners in units of the half size."""

    def drawn(x: float, y: float, r: float) -> str:
        return "M" + "L".join(f"{x + a * r:.1f} {y + b * r:.1f}" for a, b in corners) + "Z"

    return drawn


STROKES: tuple[Shape, ...] = (
    _lines((-1, -1, 1, 1), (-1, 1, 1, -1)),
    _lines((0, -1, 0, 1), (-1, 0, 1, 0)),
    _lines((-1, -0.5, 1, -0.5), (-1, 0.5, 1, 0.5)),
    _lines((-1, 1, 1, -1)),
    _lines((-1, 0, 1, 0)),
)
"""The marks of anomalies: each name has its own, as far as they go."""
AREAS: tuple[Shape, ...] = (
    _area((-1, 0.8), (1, 0.8), (0, -0.9)),
    _area((-1, -0.8), (1, -0.8), (0, 0.9)),
    _area((0.8, -1), (0.8, 1), (-0.9, 0)),
    _area((-0.8, -1), (-0.8, 1), (0.9, 0)),
)
"""The marks of aborts, each SQLSTATE with its own."""
MARKS: dict[str, tuple[Shape, ...]] = {
    "serial": (_dot,),
    "anomaly": STROKES,
    "abort": AREAS,
    "deadlock": (_area((-1, -0.9), (1, 0.9), (1, -0.9), (-1, 0.9)),),
    "stuck": (_area((-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)),),
}


def mark_of(kind: str) -> Shape:
    """The first mark of a kind."""
    return MARKS[kind][0]


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the cells of one level stand: the corner of the first one, the steps to the next one and to the next
    line, in pixels, how many stand in a line, and how many there are."""

    x: float
    y: float
    across: float
    down: float
    columns: int
    count: int

    @property
    def height(self) -> float:
        return self.down * -(-self.count // self.columns)

    def at(self, place: int) -> tuple[float, float]:
        """The corner of the cell at a place, from 0."""
        return self.x + self.across * (place % self.columns), self.y + self.down * (place // self.columns)


def places(data: Mapping[str, Any]) -> list[int]:
    """For each place its order, as an index into the cells of every level: equals stand together."""
    levels = data["levels"]

    def came_to(order: int) -> list[tuple[int, str]]:
        return [(KINDS.index(level["cells"][order]["kind"]), level["cells"][order]["label"] or "") for level in levels]

    return sorted(range(data["explored"]), key=lambda order: (came_to(order), order))


def grids(data: Mapping[str, Any]) -> list[Grid]:
    """Where each level's cells stand."""
    count = max(data["explored"], 1)
    across = (
        min(26.0, ROOM * 2 // count / 2) if count <= 70 else 12.0 if count <= 400 else 9.0 if count <= 4000 else 6.0
    )
    down = 24.0 if count <= 70 else across
    columns = min(count, int(ROOM // across))
    y = _top(data)
    found = []
    for level in data["levels"]:
        y += HEAD + ENTRY_LINE * len(_entries(level))
        grid = Grid(float(LEFT), y, across, down, columns, len(level["cells"]))
        found.append(grid)
        y += grid.height + GAP
    return found


def heatmap_picture(data: Mapping[str, Any], text: str, chosen: tuple[int, int] | None = None) -> Picture:
    """Draw `Exploration.data()`. `text` is the picture's twin; `chosen` a level and a place, which is framed."""
    spots = grids(data)
    sheet = Sheet(WIDTH, spots[-1].y + spots[-1].height + 30, data["title"], text)
    for number, line in enumerate(_title(data)):
        sheet.label(LEFT, 26 + TITLE_LINE * number, line, size=14, bold=True)
    y = 26.0 + TITLE_LINE * len(_title(data)) - 2
    for name, steps in data["sessions"].items():
        told = f"{name}:  {'  ·  '.join(' '.join(sql.split()) for sql in steps)}"
        sheet.label(LEFT, y, shortened(told, ROOM, 12), size=12, colour=FAINT, tip=told)
        y += SESSION_LINE
    order, tips = places(data), len(spots) * data["explored"] <= TIPS_MAX
    for number, (level, grid) in enumerate(zip(data["levels"], spots, strict=True)):
        _level(sheet, level, grid, order, tips)
        if chosen is not None and chosen[0] == number:
            x, y = grid.at(chosen[1])
            sheet.rect(x - 2, y - 2, grid.across + 3, grid.down + 3, "none", stroke=CARD, weight=5)
            sheet.rect(x - 2, y - 2, grid.across + 3, grid.down + 3, "none", stroke=INK, weight=2.5)
    said = "A cell is one order of the steps; orders that ended alike stand together."
    if len(spots) > 1:
        said += " Each order has the same place at each level."
    sheet.label(LEFT, sheet.height - 12, said, size=11, colour=FAINT)
    return Picture(sheet.svg(), text)


class Sheet(Canvas):
    """A canvas that takes paths: thousands of cells are a few of them."""

    def path(self, path: str, *, fill: str = "none", stroke: str = "none", width: float = 1) -> None:
        self._shapes.append(f'<path d="{path}" fill="{fill}" stroke="{stroke}" stroke-width="{width:g}"/>')

    def tip(self, x: float, y: float, width: float, height: float, tip: str) -> None:
        """Something that cannot be seen, and says what is under the pointer."""
        self._shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill-opacity="0">'
            f"<title>{escape(tip)}</title></rect>"
        )


def _title(data: Mapping[str, Any]) -> list[str]:
    return textwrap.wrap(data["title"], int(ROOM / (14 * CHAR_PX))) or [""]


def _top(data: Mapping[str, Any]) -> float:
    """Where the first level begins."""
    return 26 + TITLE_LINE * len(_title(data)) + SESSION_LINE * len(data["sessions"]) - 7


def _marks(level: Mapping[str, Any]) -> dict[tuple[str, str], Shape]:
    """Each kind and label of a level to its mark."""
    found: dict[tuple[str, str], Shape] = {}
    for kind in KINDS:
        labels = sorted({cell["label"] or "" for cell in level["cells"] if cell["kind"] == kind})
        for number, label in enumerate(labels):
            found[kind, label] = MARKS[kind][number % len(MARKS[kind])]
    return found


def _entries(level: Mapping[str, Any]) -> list[list[tuple[str, str, str]]]:
    """The lines of a level's legend, each with its entries: kind, label and what is said."""
    texts = {(cell["kind"], cell["label"] or ""): cell["text"] for cell in level["cells"]}
    every = [(*key, f"{level['texts'][texts[key]]:,} {texts[key]}") for key in _marks(level)]
    every.append(("", "", f"steps that waited: {level['waits']:,}"))
    lines: list[list[tuple[str, str, str]]] = [[]]
    x = 0.0
    for entry in every:
        width = _width(entry[2])
        if x + width > ROOM and lines[-1]:
            lines.append([])
            x = 0.0
        lines[-1].append(entry)
        x += width
    return lines


def _width(said: str) -> float:
    return 18 + len(said) * 12 * CHAR_PX + 20


def _level(sheet: Sheet, level: Mapping[str, Any], grid: Grid, order: Sequence[int], tips: bool) -> None:
    entries, marks = _entries(level), _marks(level)
    y = grid.y - ENTRY_LINE * len(entries)
    sheet.label(LEFT, y - 6, shortened(level["at"], ROOM, 13), size=13, bold=True, tip=level["at"])
    for line in entries:
        x = float(LEFT)
        for kind, label, said in line:
            if kind:
                cells_at(sheet, kind, marks[kind, label], [(x, y - 1)], 12, 12)
                x += 18
            sheet.label(x, y + 10, shortened(said, ROOM - x, 12), size=12, tip=said)
            x += _width(said) - (18 if kind else 0)
        y += ENTRY_LINE
    by_mark: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in marks}
    for place, number in enumerate(order):
        cell = level["cells"][number]
        by_mark[cell["kind"], cell["label"] or ""].append(grid.at(place))
    for (kind, label), corners in by_mark.items():
        cells_at(sheet, kind, marks[kind, label], corners, grid.across - 1, grid.down - 1)
    if tips:
        for place, number in enumerate(order):
            cell = level["cells"][number]
            said = f"order {cell['number']}: {cell['order']} – {cell['text']}"
            sheet.tip(*grid.at(place), grid.across - 1, grid.down - 1, said)


def cells_at(
    sheet: Sheet, kind: str, mark: Shape, corners: Sequence[tuple[float, float]], width: float, height: float
) -> None:
    """Cells of one kind at these corners."""
    boxes = "".join(f"M{x:g} {y:g}h{width:g}v{height:g}h{-width:g}z" for x, y in corners)
    sheet.path(boxes, fill=FILLS[kind], stroke=RULE if kind == "serial" else "none")
    half = min(width, height) * 0.32
    marks = "".join(mark(x + width / 2, y + height / 2, half) for x, y in corners)
    if mark in STROKES:
        sheet.path(marks, stroke=INKS[kind], width=1.8 if half > 3 else 1.3)
    else:
        sheet.path(marks, fill=INKS[kind])
