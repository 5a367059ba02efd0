"""A B-tree as a picture: its levels from the root down, pages as boxes, and of very many pages those around the path.

    root                 page 3 · read
    level 1            ┌────┬──────┬─────────┐
    1 page             │ -∞ │ ▾ 30 │         │
                       └──┬─┴──┬───┴─────────┘
                     ┌────┘    └─────┐
    leaves        page 1           page 2
    level 0       ┌─────┐         ┌──────┐      … 2,731
    2,733 pages   │  10 │◀───────▶│ ✓ 30 │◀ - - - - - - -
                  │  20 │         │   40 │     more pages
                  │< 30 │         │      │
                  └─────┘         └──────┘
                                   read

It takes the plain data that `Snapshot.data()` gives and computes nothing but places. A level that is too wide is drawn as
under a lens: the pages in `focus` in full, then their neighbours, the others small; where even that has no room, they are
counted. So the picture of a million rows has as many boxes as that of a thousand, and each page is either drawn or counted.

    >>> leaf = {"number": 1, "level": 0, "bytes": 128, "free": 68, "state": "live", "high_key": "", "left": None, "right": None,
    ...         "note": "", "entries": [{"key": "10", "bytes": 20, "child": None, "pointers": 1, "dead": False}]}
    >>> data = {"name": "numbers", "engine": "teaching", "root": 1, "height": 1, "complete": True, "page_bytes": 128,
    ...         "header_bytes": 40, "pages": [leaf]}
    >>> print(tree_picture(data, Lit({1: "read"}, {(1, 0): "found"})))
    numbers: 1 level, 1 page of 128 bytes
    root and leaf, level 0: 1 page
      page 1, read: 1 entry, 23 % full, 68 bytes free: ✓ 10 (found)

Left out: the order of the pages in the file. A sibling link is drawn from page to page, wherever they are stored.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from workbook.draw.page import SMALL, Box, Glass, Inner, Leaf, Lit, Small, wide
from workbook.draw.picture import BLUE, FAINT, Canvas, Picture, shortened

__all__ = ["Lit", "tree_picture"]

WIDTH = 840
LEFT, COLUMN, GAP, BETWEEN, HEAD = 14.0, 92.0, 16.0, 40.0, 34.0
LINK, SIBLING = "#8c959f", "#6e7781"
NAME = 62.0  # pixels that the name of a level takes
LENS_MAX, LEAF_MIN = 40, 46
BESIDE = 190.0  # pixels beside the pages in focus: how many are left out on either side
UNUSED_SHOWN = 12

Number = int | None


@dataclass(frozen=True, slots=True)
class _Level:
    """The pages of a level in key order. None stands for those below a page that was not read: nobody knows how many."""

    number: int
    order: tuple[Number, ...]

    @property
    def count(self) -> int:
        return sum(1 for number in self.order if number is not None)

    @property
    def size(self) -> str:
        if not self.count:
            return "not read"
        known = f"{self.count:,} page{'' if self.count == 1 else 's'}"
        return f"≥ {known}" if None in self.order else known


@dataclass(slots=True)
class _Gap:
    """Pages that are left out beside those that are drawn; `open` where nobody knows how many, `alone` where none is drawn."""

    count: int
    open: bool
    alone: bool = False
    x: float = 0.0
    y: float = 0.0

    @property
    def height(self) -> float:
        return 46.0

    @property
    def words(self) -> tuple[str, str]:
        if not self.count:
            return "… pages", "not read"
        more = "" if self.alone else "more "
        return f"… {'≥ ' if self.open else ''}{self.count:,}", f"{more}page{'' if self.count == 1 else 's'}"

    @property
    def width(self) -> float:
        return max(wide(word, SMALL) for word in self.words) + 4

    def place(self, x: float, y: float) -> None:
        self.x, self.y = x, y

    def line(self) -> str:
        return " ".join(self.words) + " …"


_Row = list[Box | _Gap]


def tree_picture(
    data: Mapping[str, Any], lit: Lit | None = None, *, focus: Collection[int] = (), width: float = WIDTH
) -> Picture:
    """Draw `Snapshot.data()`.

    Parameters: what is `lit`; the numbers of the pages in `focus`, which are drawn in full (those that are lit always are:
    give the same focus to frames that follow each other, and no page moves between them); the `width` in pixels.
    """
    lit = lit or Lit()
    pages = {page["number"]: page for page in data["pages"] if page["state"] in ("live", "half-dead")}
    levels = list(_levels(data, pages))
    looked_at = {*focus, *lit.pages, *(page for page, _ in lit.slots), *(page for link in lit.links for page in link)}
    rows, y = [], HEAD
    for level in levels:
        row = _Lens(level, pages, data["header_bytes"], looked_at, lit, width - 2 * LEFT - COLUMN).row()
        _centre(row, LEFT + COLUMN, width - LEFT, y)
        rows.append(row)
        y += max(NAME, *(item.height for item in row)) + BETWEEN
    below = _out_of_use(data, levels)
    y += 8 - BETWEEN + 17 * len(below)
    text = _text(data, levels, rows, below)
    canvas = Canvas(width, y + 8, f"B-tree {data['name']}", text)
    canvas.label(LEFT, 22, shortened(_head(data, levels), width - 2 * LEFT, 13), size=13, bold=True)
    _links(canvas, rows, lit)
    for level, row in zip(levels, rows, strict=True):
        _named(canvas, level, data, row)
        _siblings(canvas, row)
        for item in row:
            _gap(canvas, item, row) if isinstance(item, _Gap) else item.draw(canvas)
    for number, line in enumerate(reversed(below)):
        canvas.label(
            LEFT, y - 17 * number, shortened(line, width - 2 * LEFT, SMALL), size=SMALL, colour=FAINT, tip=line
        )
    return Picture(canvas.svg(), text)


def _levels(data: Mapping[str, Any], pages: Mapping[int, Any]) -> Iterator[_Level]:
    """From the root down; a page that no entry names follows the sibling that does."""
    above: tuple[Number, ...] = ()
    for number in range(data["height"] - 1, -1, -1):
        named: list[Number] = [data["root"]] if not above else []
        for parent in above:
            if parent is not None and parent in pages:
                named += [entry["child"] for entry in pages[parent]["entries"] if entry["child"] is not None]
            elif not named or named[-1] is not None:
                named.append(None)
        above = tuple(_with_siblings(named, {n: page for n, page in pages.items() if page["level"] == number}))
        yield _Level(number, above)


def _with_siblings(named: Sequence[Number], known: Mapping[int, Any]) -> Iterator[Number]:
    names, placed = set(named), set[int]()
    follows = {page["left"] for page in known.values()}
    for start in (*named, *sorted(set(known) - names)):
        if start is None or start not in known:
            yield start
            continue
        if start not in names and not known[start]["entries"] and start not in follows and known[start]["note"]:
            continue  # no page of the tree itself, such as the rest of a long row
        here: Number = start
        while here is not None and here in known and here not in placed:
            placed.add(here)
            yield here
            right = known[here]["right"]
            here = None if right in names else right


class _Lens:
    """What is drawn of a level in at most `room` pixels: in full what is in focus and around it, the rest small or counted."""

    def __init__(
        self, level: _Level, pages: Mapping[int, Any], header: int, focus: Collection[int], lit: Lit, room: float
    ) -> None:
        self.order, self.room, self._lit, self._pages = level.order, room, lit, pages
        self.known = [place for place, number in enumerate(self.order) if number in pages]
        self.wanted = [place for place in self.known if self.order[place] in focus]
        self.full: type[Box] = Inner if level.number else Leaf
        known = [self._page(place) for place in self.known]
        self._glass = Glass.of(known, header, lying=level.number > 0)
        self._boxes: dict[tuple[int, type[Box]], Box] = {}

    def row(self) -> _Row:
        """From left to right."""
        if len(self.order) <= LENS_MAX and len(self.known) == len(self.order):
            forms: tuple[type[Box], ...] = (self.full, Small) if self._may_fit() else (Small,)
            for form in forms:
                drawn = {place: self._box(place, self.full if place in self.wanted else form) for place in self.known}
                if _width(_laid(self.order, drawn)) <= self.room:
                    return self._grown(drawn, [(place, self.full) for place in self._near()])
        near = self._near()
        steps = [(place, self.full) for place in self.wanted]
        steps += [(place, self.full) for place in near if self._distance(place) <= 1]
        steps += [(place, Small) for place in (self.known[:1] + self.known[-1:] if self.wanted else [])]
        steps += [(place, Small if self.wanted else self.full) for place in near[:8]]
        return self._grown({}, steps)

    def _may_fit(self) -> bool:
        """Whether it is worth while to try to draw all pages in full."""
        return len(self.known) <= (self.room / LEAF_MIN if self._glass.whole or not self._glass.lying else 1)

    def _grown(self, drawn: dict[int, Box], steps: Sequence[tuple[int, type[Box]]]) -> _Row:
        """Draw more, step by step, as long as there is room."""
        for place, form in steps:
            if form in (Small, type(drawn.get(place))) and place in drawn:
                continue
            sizes: list[type[Box]] = [form] if form is Small else [form, Small]
            for size in sizes:
                trial = {**drawn, place: self._box(place, size)}
                if (place not in drawn or size is not Small) and _width(_laid(self.order, trial)) <= self.room:
                    drawn = trial
                    break
        return _laid(self.order, drawn)

    def _near(self) -> list[int]:
        """Places of pages that are known, those closest to what is looked at first; of very many some."""
        if len(self.known) <= LENS_MAX:
            return sorted(self.known, key=lambda place: (self._distance(place), place))
        ranks = [bisect_left(self.known, place) for place in self.wanted] or [0, len(self.known) - 1]
        near = [rank + step for step in range(6) for rank in ranks for step in (-step, step)]
        return [self.known[rank] for rank in dict.fromkeys(near) if 0 <= rank < len(self.known)]

    def _distance(self, place: int) -> int:
        """How far a page is from those that are looked at; from either end where none is."""
        ends = min(place, len(self.order) - 1 - place)
        return min((abs(place - other) for other in self.wanted), default=ends)

    def _page(self, place: int) -> Mapping[str, Any]:
        number = self.order[place]
        assert number is not None
        page: Mapping[str, Any] = self._pages[number]
        return page

    def _box(self, place: int, form: type[Box]) -> Box:
        if (place, form) not in self._boxes:
            most = self.room if len(self.order) == 1 else (self.room - BESIDE) / max(len(self.wanted), 1) - GAP
            self._boxes[place, form] = form(self._page(place), self._glass, self._lit, most)
        return self._boxes[place, form]


def _laid(order: Sequence[Number], drawn: Mapping[int, Box]) -> _Row:
    """The boxes from left to right, and between them how many pages are left out."""
    row: _Row = []
    next = 0
    for place in (*sorted(drawn), len(order)):
        hidden = order[next:place]
        if hidden:
            row.append(_Gap(sum(1 for number in hidden if number is not None), None in hidden, not drawn))
        if place < len(order):
            row.append(drawn[place])
        next = place + 1
    return row


def _width(row: _Row) -> float:
    return sum(item.width for item in row) + GAP * (len(row) - 1)


def _centre(row: _Row, left: float, right: float, y: float) -> None:
    x = left + max(right - left - _width(row), 0) / 2
    for item in row:
        item.place(x, y)
        x += item.width + GAP


def _head(data: Mapping[str, Any], levels: Sequence[_Level]) -> str:
    height, count = data["height"], sum(level.count for level in levels)
    least = "≥ " if any(None in level.order for level in levels) else ""
    return (
        f"{data['name']}: {height} level{'' if height == 1 else 's'}, {least}{count:,} page{'' if count == 1 else 's'} "
        f"of {data['page_bytes']:,} bytes"
    )


def _role(level: _Level, data: Mapping[str, Any]) -> str:
    if level.number == data["height"] - 1:
        return "root and leaf" if level.number == 0 else "root"
    return "leaves" if level.number == 0 else "inner pages"


def _named(canvas: Canvas, level: _Level, data: Mapping[str, Any], row: _Row) -> None:
    """The level's name beside it."""
    y = row[0].y + 27
    canvas.label(LEFT, y, _role(level, data), size=12, bold=True)
    canvas.label(LEFT, y + 15, f"level {level.number}", size=SMALL, colour=FAINT)
    canvas.label(LEFT, y + 29, level.size, size=SMALL, colour=FAINT)


def _gap(canvas: Canvas, gap: _Gap, row: _Row) -> None:
    """How many pages are left out: above and below the dashed link that goes through them, where there is one."""
    for word, y in zip(gap.words, (24, 38) if gap in (row[0], row[-1]) else (24, 45), strict=True):
        canvas.label(gap.x + gap.width / 2, gap.y + y, word, size=SMALL, colour=FAINT, anchor="middle")


def _siblings(canvas: Canvas, row: _Row) -> None:
    """The links between neighbours, each end with its head; through pages that are left out they are dashed."""
    boxes = [item for item in row if isinstance(item, Box)]
    for left, right in pairwise(boxes):
        start, end, y = left.sides[1] + 3, right.sides[0] - 3, left.sides[2]
        apart = row.index(right) - row.index(left) > 1
        to_right = left.page["right"] is not None if apart else left.page["right"] == right.number
        to_left = right.page["left"] is not None if apart else right.page["left"] == left.number
        if not (to_right or to_left):
            continue
        canvas.line([(start, y), (end, y)], SIBLING, width=1.2, dashed=apart)
        if to_right:
            _head_at(canvas, end, y, 1, SIBLING)
        if to_left:
            _head_at(canvas, start, y, -1, SIBLING)


def _head_at(canvas: Canvas, x: float, y: float, way: int, colour: str) -> None:
    canvas.polygon([(x, y), (x - 5 * way, y - 3.5), (x - 5 * way, y + 3.5)], colour)


def _links(canvas: Canvas, rows: Sequence[_Row], lit: Lit) -> None:
    """The lines from an entry to the page that it leads to; those that were followed are drawn last, thick, with a head."""
    plain: list[list[tuple[float, float]]] = []
    followed: list[list[tuple[float, float]]] = []
    for above, below in pairwise(rows):
        there = {item.number: item for item in below if isinstance(item, Box)}
        for box in (item for item in above if isinstance(item, Box)):
            for slot, entry in enumerate(box.page["entries"]):
                child = there.get(entry["child"])
                if child is not None:
                    line = [box.under(slot), child.top]
                    (followed if (box.number, child.number) in lit.links else plain).append(line)
    for line in plain:
        canvas.line(line, LINK, width=1.1)
    for line in followed:
        (x, y), end = line[1], (line[1][0], line[1][1] - 6)
        canvas.line([line[0], end], BLUE, width=3)
        canvas.polygon([(x, y), (x - 6, y - 9), (x + 6, y - 9)], BLUE)


def _out_of_use(data: Mapping[str, Any], levels: Sequence[_Level]) -> list[str]:
    """One line for the pages that are in no level: deleted, free, or the rest of a long row."""
    placed = {number for level in levels for number in level.order}
    kinds: dict[str, list[int]] = {}
    for page in sorted(data["pages"], key=lambda page: int(page["number"])):
        if page["number"] not in placed:
            kind = page["state"] if page["state"] != "live" else page["note"].partition(" of ")[0] or "in no level"
            kinds.setdefault(kind, []).append(page["number"])
    lines = []
    for kind, numbers in kinds.items():
        shown = ", ".join(map(str, numbers[:UNUSED_SHOWN]))
        more = f", … {len(numbers) - UNUSED_SHOWN:,} more" if len(numbers) > UNUSED_SHOWN else ""
        lines.append(f"{kind}: page{'' if len(numbers) == 1 else 's'} {shown}{more}")
    return lines


def _text(data: Mapping[str, Any], levels: Sequence[_Level], rows: Sequence[_Row], below: Sequence[str]) -> str:
    """The text twin: the same pages, the same entries, the same marks."""
    lines = [_head(data, levels)]
    for level, row in zip(levels, rows, strict=True):
        lines.append(f"{_role(level, data)}, level {level.number}: {level.size}")
        lines += [f"  {item.line()}" for item in row]
    return "\n".join([*lines, *below])
