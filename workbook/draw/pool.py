"""A buffer pool as a column of frames: which pages are in memory, which one was hit, read in or thrown out.

    buffer pool
    3 of 3 frames
    ┌───────────────┐
    │ 7  leaf   hit │     used last
    │ 1  root       │
    │ 4* leaf       │     used longest ago; * changed, not yet written
    └───────────────┘
    ┌ - - - - - - - ┐
      9  leaf   out
    └ - - - - - - - ┘
    2 hits, 5 misses

    >>> held = {"frames": 3, "held": [7, 1], "changed": [7], "roles": {7: "leaf", 1: "root", 9: "leaf"},
    ...         "marks": {7: "hit", 9: "out"}, "counts": {"hits": 2, "misses": 5}}
    >>> print(pool_picture(held))
    buffer pool: 2 of 3 frames
      page 7, leaf: hit, changed
      page 1, root
      1 free frame
      page 9, leaf: out
      2 hits, 5 misses

Left out: how a victim is chosen. Where the page used longest ago leaves, the order of the frames says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbook.draw.page import EDGE, PAPER, SMALL, USED
from workbook.draw.picture import BLUE, FAINT, GREEN, VERMILION, Canvas, Picture

__all__ = ["pool_picture"]

WIDTH, LEFT, ROW, SHOWN = 150, 12, 24, 10
MARKS = {"hit": GREEN, "read": BLUE, "out": VERMILION}


@dataclass(frozen=True, slots=True)
class _Row:
    """One frame, or (page 0) several that are not drawn one by one."""

    page: int
    role: str = ""
    mark: str = ""
    changed: bool = False
    words: str = ""

    @property
    def line(self) -> str:
        if self.words:
            return self.words
        marks = ", ".join(filter(None, [self.mark, "changed" * self.changed]))
        return f"page {self.page}{f', {self.role}' * bool(self.role)}{f': {marks}' * bool(marks)}"


def pool_picture(data: Mapping[str, Any]) -> Picture:
    """Draw what a pool holds.

    Parameters: `data` with the number of `frames`, the pages `held` (the one used last first), of them those `changed`, the
    `roles` of pages by number, their `marks` ("hit", "read" in, or "out": thrown out just now), and `counts` by name.
    """
    rows, out = _rows(data)
    counts = [f"{count:,} {name}" for name, count in data["counts"].items()]
    lines = [
        f"buffer pool: {len(data['held']):,} of {data['frames']:,} frames",
        *(f"  {row.line}" for row in rows + out),
    ]
    text = "\n".join([*lines, *([f"  {', '.join(counts)}"] if counts else [])])
    legend = ["* not yet written"]
    below = 50 + ROW * (len(rows) + 1) + 10
    canvas = Canvas(WIDTH, below + 15 * len(counts + legend) + 8, "The buffer pool", text)
    canvas.label(LEFT, 22, "buffer pool", size=13, bold=True)
    canvas.label(LEFT, 39, f"{len(data['held']):,} of {data['frames']:,} frames", size=SMALL, colour=FAINT)
    for number, row in enumerate(rows + out):
        _draw(canvas, row, 50 + ROW * number + (6 if row in out else 0))
    for number, line in enumerate(counts + legend):
        canvas.label(LEFT, below + 12 + 15 * number, line, size=SMALL, colour=FAINT)
    return Picture(canvas.svg(), text)


def _rows(data: Mapping[str, Any]) -> tuple[list[_Row], list[_Row]]:
    """The frames, from the one used last, and the page that has just left."""

    def row(page: int) -> _Row:
        changed = page in data["changed"] and page in data["held"]
        return _Row(page, data["roles"].get(page, ""), data["marks"].get(page, ""), changed)

    held = list(data["held"])
    rows = [row(page) for page in held]
    if len(held) > SHOWN:
        rows[SHOWN - 3 : -2] = [_Row(0, words=f"… {len(held) - SHOWN + 1:,} more …")]
    free = data["frames"] - len(held)
    if free:
        rows.append(_Row(0, words=f"{free:,} free frame{'' if free == 1 else 's'}"))
    return rows, [row(page) for page, mark in data["marks"].items() if mark == "out"]


def _draw(canvas: Canvas, row: _Row, y: float) -> None:
    width = WIDTH - 2 * LEFT
    if row.words:
        if "free" in row.words:
            canvas.rect(LEFT, y, width, ROW - 4, PAPER, stroke=EDGE, radius=3, dashed=True)
        canvas.label(WIDTH / 2, y + 14.5, row.words, size=SMALL, colour=FAINT, anchor="middle")
        return
    gone = row.mark == "out"
    colour, weight = MARKS.get(row.mark, EDGE), 2.4 if row.mark else 1.0
    canvas.rect(
        LEFT,
        y,
        width,
        ROW - 4,
        PAPER if gone else USED,
        stroke=colour,
        radius=3,
        weight=weight,
        dashed=gone,
        tip=row.line,
    )
    canvas.label(LEFT + 6, y + 14.5, f"{row.page}{'*' * row.changed}", size=12, bold=True, tip=row.line)
    canvas.label(LEFT + 52, y + 14.5, row.role, size=SMALL, colour=FAINT)
    canvas.label(WIDTH - LEFT - 6, y + 14.5, row.mark, size=SMALL, bold=True, anchor="end")
