"""One page of a tree as a box: its entries, its high key, and what is free as an empty part.

    an inner page lies            a leaf stands, as a glass that is filled from the top
                                                                                                      7
     page 3 · read                 7           2745            or small, where it is one of many     ┌──┐
    ┌────┬─────┬──────┬─────┐     ┌──────┐    ┌────────────┐                                         │▒▒│
    │ -∞ │▸ 30 │      │< 90 │     │   10 │    │        367 │                                         │▒▒│
    └─┬──┴──┬──┴──────┴─────┘     │ + 17 │    │ … 361 more │                                         │  │
      ▼     ▼                     │      │    │        733 │                                         └──┘
                                  │ < 30 │    │      < 734 │
                                  └──────┘    └────────────┘
                                   written        90 % full

Where all entries have room, each takes what it takes on the page, and so does what is free. Of a page of 8,192 bytes, which
holds hundreds of entries, the first, the last and those that are lit are shown, and between them their number.

What is lit is told apart thrice: by colour, by a sign before the key, by a word at the box (and in the text twin).

    >>> page = {"number": 7, "level": 0, "bytes": 128, "free": 48, "state": "live", "high_key": "30", "left": None, "right": 9,
    ...         "note": "", "entries": [{"key": "10", "bytes": 20, "child": None, "pointers": 1, "dead": False}]}
    >>> box = Leaf(page, Glass.of([page], 40), Lit({7: "written"}, {(7, 0): "inserted"}))
    >>> print(box.line())
    page 7, written: 1 entry, 45 % full, 48 bytes free: + 10 (inserted); below 30; right 9

Left out: the bytes themselves, and what the pointers of a leaf point to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from workbook.draw.picture import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    SKY,
    VERMILION,
    YELLOW,
    Canvas,
)

PAGE_MARKS = {"read": BLUE, "written": VERMILION, "new": GREEN}
SLOT_MARKS = {
    "compared": ("?", YELLOW),
    "chosen": ("▾", SKY),
    "found": ("✓", GREEN),
    "inserted": ("+", ORANGE),
}
PAPER, USED, EDGE, SEAM = "#ffffff", "#e9edf1", "#6e7781", "#b6bec7"
TEXT, SMALL = 12, 11
HEADER, LINE, CELL = 18.0, 15.0, 24.0
SIGN = 13.0
GLASS_MAX, GLASS_LARGE, WIDE_MAX = 190.0, 165.0, 300.0
KEY_MAX = 118.0
CELL_MIN = 24.0
FEW = 6


@dataclass(frozen=True, slots=True)
class Lit:
    """What is lit up: `pages` by number ("read", "written", "new"), entries as (page, slot) ("compared", "chosen", "found",
    "inserted"), and `links` from a page to one below."""

    pages: Mapping[int, str] = field(default_factory=dict)
    slots: Mapping[tuple[int, int], str] = field(default_factory=dict)
    links: frozenset[tuple[int, int]] = frozenset()

    def on(self, page: int) -> list[int]:
        """The slots of a page that are lit."""
        return sorted(slot for number, slot in self.slots if number == page)


def wide(text: str, size: float = TEXT, *, bold: bool = False) -> float:
    """Pixels that a text takes at most, in the fonts that browsers choose here.

    >>> round(wide("1234"), 1)
    30.7
    """
    return len(text) * size * (0.68 if bold else 0.64)


def fitted(text: str, width_px: float, size: float = TEXT, *, bold: bool = False) -> str:
    """The text, cut with an ellipsis where it may be wider than `width_px`.

    >>> fitted("c4ca4238a0b9", 60), fitted("30", 60)
    ('c4ca42…', '30')
    """
    fits = max(int(width_px / wide("0", size, bold=bold)), 1)
    return text if len(text) <= fits else text[: fits - 1] + "…"


def room(page: Mapping[str, Any], header: int) -> int:
    """Bytes of a page that entries can have."""
    return max(int(page["bytes"]) - header, 1)


def full(page: Mapping[str, Any], header: int) -> float:
    """The share of them that is used."""
    return min(max(1 - page["free"] / room(page, header), 0.0), 1.0)


def percent(share: float) -> str:
    return f"{round(100 * share)} % full"


def key_text(entry: Mapping[str, Any]) -> str:
    """What is written of an entry: its key, and how many rows it points to where they are several."""
    several = f" ×{entry['pointers']:,}" if entry["pointers"] > 1 else ""
    return f"{entry['key']}{several}{' (dead)' if entry['dead'] else ''}"


def high_key_bytes(page: Mapping[str, Any], header: int) -> int:
    """What the high key takes: all that is neither free nor an entry's."""
    if not page["high_key"]:
        return 0
    return max(room(page, header) - page["free"] - sum(entry["bytes"] for entry in page["entries"]), 1)


@dataclass(frozen=True, slots=True)
class More:
    """Entries that are left out between two that are shown."""

    count: int
    all: bool = False

    @property
    def text(self) -> str:
        return f"{self.count:,} {'entry' if self.count == 1 else 'entries'}" if self.all else f"… {self.count:,} more"


def chosen(count: int, lines: int, wanted: Sequence[int]) -> list[int | More]:
    """Which of `count` entries stand in so many lines: the `wanted` ones, the first and the last, and their neighbours.

    >>> chosen(4, 5, [])
    [0, 1, 2, 3]
    >>> chosen(367, 7, [200])
    [0, More(count=198, all=False), 199, 200, 201, More(count=164, all=False), 366]
    >>> chosen(367, 1, [])
    [More(count=367, all=True)]
    """
    if count <= max(lines, FEW):
        return list(range(count))
    lines = max(lines, 2 * len(wanted) + 1 if wanted else 1)
    near = [slot + step for step in (1, 2, 3, 4) for slot in wanted for step in (-step, step)]
    ends = [slot for step in range(lines) for slot in (step, count - 1 - step)]
    kept: set[int] = set()
    for slot in (*wanted, 0, count - 1, *near, *ends):
        if 0 <= slot < count and len(_told(kept | {slot}, count)) <= lines:
            kept.add(slot)
    return _told(kept, count)


def _told(kept: set[int], count: int) -> list[int | More]:
    found: list[int | More] = []
    next = 0
    for slot in (*sorted(kept), count):
        if slot > next:
            found.append(More(slot - next, not kept))
        if slot < count:
            found.append(slot)
        next = slot + 1
    return found


@dataclass(frozen=True, slots=True)
class Glass:
    """How the boxes of one level are measured: `header` bytes that no entry has; pixels a byte (0: too many bytes to be
    drawn one by one); how long a box is in pixels, along its entries."""

    header: int
    scale: float
    length: float
    lying: bool = False

    @classmethod
    def of(cls, pages: Sequence[Mapping[str, Any]], header: int, *, lying: bool = False) -> Glass:
        """The measure for the pages of a level."""
        large = cls(header, 0.0, GLASS_LARGE, lying)
        most, limit = max((len(page["entries"]) for page in pages), default=0), WIDE_MAX if lying else GLASS_MAX
        if not most and pages and room(pages[0], header) <= 1024:
            return cls(header, 68 / room(pages[0], header), 68.0, lying)
        if most > limit / LINE or not most:
            return large
        entries = [entry for page in pages for entry in page["entries"]]
        scale = (
            median(_across(entry) / entry["bytes"] for entry in entries)
            if lying
            else LINE / min(entry["bytes"] for entry in entries)
        )
        measure = cls(header, scale, 0.0, lying)
        length = max(max(measure.used(page), room(page, header) * scale) for page in pages)
        return cls(header, scale, length, lying) if length <= limit else large

    @property
    def whole(self) -> bool:
        """Whether each byte of a page has its place in the box."""
        return self.scale > 0

    def entry(self, entry: Mapping[str, Any]) -> float:
        """Pixels along the box that an entry takes."""
        if not self.whole:
            return _across(entry) if self.lying else LINE
        return max(entry["bytes"] * self.scale, _across(entry) if self.lying else LINE)

    def high_key(self, page: Mapping[str, Any]) -> float:
        if not page["high_key"]:
            return 0.0
        least = _bound_width(page) if self.lying else LINE
        return max(high_key_bytes(page, self.header) * self.scale, least)

    def used(self, page: Mapping[str, Any]) -> float:
        return sum(map(self.entry, page["entries"])) + self.high_key(page)


def _across(entry: Mapping[str, Any]) -> float:
    """The width of an entry's cell: its sign, its key."""
    return SIGN + min(wide(key_text(entry), bold=True), KEY_MAX) + 5


def _bound_width(page: Mapping[str, Any]) -> float:
    return min(wide(f"< {page['high_key']}", SMALL), KEY_MAX) + 10 if page["high_key"] else 0.0


class Box:
    """A page that is drawn: what it says of itself, and where lines meet it.

    Parameters: the `page` as `Snapshot.data()` has it, the level's measure, what is lit, and `most` pixels that it may be wide.
    `width` and `height` in pixels, with what is written above and below.
    """

    width = height = 0.0

    def __init__(self, page: Mapping[str, Any], glass: Glass, lit: Lit, most: float = 440.0) -> None:
        self.page, self.glass, self.lit, self.most = page, glass, lit, most
        self.number = int(page["number"])
        self.mark = lit.pages.get(self.number, "")
        self.full = full(page, glass.header)
        self.x = self.y = 0.0

    def place(self, x: float, y: float) -> None:
        self.x, self.y = x, y

    @property
    def top(self) -> tuple[float, float]:
        """Where a link from above ends."""
        return self.x + self.width / 2, self.y

    def under(self, slot: int) -> tuple[float, float]:
        """Where the link from an entry begins."""
        return self.x + self.width / 2, self.y + self.height

    @property
    def sides(self) -> tuple[float, float, float]:
        """Left and right edge of the box, and the height of the line to its siblings."""
        return self.x, self.x + self.width, self.y + HEADER + 12

    def shown(self) -> list[int | More]:
        """The entries that are written, and how many are not."""
        return []

    def draw(self, canvas: Canvas) -> None:
        raise NotImplementedError

    @property
    def tip(self) -> str:
        return f"page {self.number}: {self._size()}"

    def _size(self) -> str:
        count = len(self.page["entries"])
        entries = f"{count:,} {'entry' if count == 1 else 'entries'}"
        return f"{entries}, {percent(self.full)}, {self.page['free']:,} bytes free"

    def states(self) -> list[str]:
        """Words for what is special about the page."""
        state = "" if self.page["state"] == "live" else self.page["state"]
        return [word for word in (self.mark, state, self.page["note"]) if word]

    def line(self) -> str:
        """The page as one line of the text twin: what the box shows."""
        parts = [f"{', '.join([f'page {self.number}', *self.states()])}: {self._size()}"]
        if self.shown() and not all(isinstance(item, More) for item in self.shown()):
            parts[0] += ": " + ", ".join(self._told(item) for item in self.shown())
        if self.page["high_key"]:
            parts.append(f"below {self.page['high_key']}")
        parts += [f"{side} {self.page[side]}" for side in ("left", "right") if self.page[side] is not None]
        return "; ".join(parts)

    def _told(self, item: int | More) -> str:
        if isinstance(item, More):
            return item.text
        entry = self.page["entries"][item]
        lit = self.lit.slots.get((self.number, item), "")
        child = "" if entry["child"] is None else f" → {entry['child']}"
        return (f"{SLOT_MARKS[lit][0]} " if lit else "") + key_text(entry) + child + (f" ({lit})" if lit else "")

    def _frame(self, canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
        """The edge of the box: thick where the page is read, double where it is written or new."""
        dashed = self.page["state"] != "live"
        if not self.mark:
            canvas.rect(x, y, width, height, "none", stroke=EDGE, radius=3, dashed=dashed, weight=1.2)
            return
        colour = PAGE_MARKS[self.mark]
        canvas.rect(x, y, width, height, "none", stroke=colour, radius=3, dashed=dashed, weight=2.6)
        if self.mark != "read":
            canvas.rect(x - 4, y - 4, width + 8, height + 8, "none", stroke=colour, radius=5, weight=1.6)

    def _cell(self, canvas: Canvas, item: int, x: float, y: float, width: float, height: float) -> None:
        """One entry: on its colour where it is lit, with its sign before the key."""
        entry, lit = self.page["entries"][item], self.lit.slots.get((self.number, item), "")
        text = key_text(entry)
        tip = f"{text}: {entry['bytes']:,} bytes"
        if lit:
            sign, colour = SLOT_MARKS[lit]
            canvas.rect(x + 1, y + 0.5, width - 2, height - 1, colour, stroke=INK, radius=2, tip=f"{tip}, {lit}")
            canvas.label(x + 3, y + height / 2 + 4.5, sign, size=TEXT, bold=True)
        middle = self.glass.lying
        canvas.label(
            x + (SIGN + width - 5) / 2 if middle else x + width - 5, y + height / 2 + 4.5,
            fitted(text, width - SIGN - 4, bold=bool(lit)), size=TEXT, colour=FAINT if entry["dead"] else INK,
            bold=bool(lit), anchor="middle" if middle else "end", tip=tip,
        )  # fmt: skip


class Leaf(Box):
    """A leaf: it stands, its entries one under the other, what is free at the bottom."""

    def __init__(self, page: Mapping[str, Any], glass: Glass, lit: Lit, most: float = 440.0) -> None:
        super().__init__(page, glass, lit, most)
        lines = int(GLASS_LARGE * self.full / LINE) - bool(page["high_key"])
        self._items = chosen(len(page["entries"]), len(page["entries"]) if glass.whole else lines, lit.on(self.number))
        texts = [self._width(item) for item in self._items] + [_bound_width(page), wide(f"page {self.number}", SMALL)]
        if not glass.whole:
            texts.append(wide(More(len(page["entries"])).text, SMALL) + 8)
        self.width = max(46.0, *texts, *(wide(word, SMALL, bold=True) - 8 for word in self._words()))
        words = len(self._words()) + (not self.mark)  # a line is kept for the mark, so that nothing moves when it comes
        self.height = HEADER + glass.length + 14 * words + 4

    def _width(self, item: int | More) -> float:
        return wide(item.text, SMALL) + 8 if isinstance(item, More) else _across(self.page["entries"][item])

    def _words(self) -> list[str]:
        return ([] if self.glass.whole else [percent(self.full)]) + self.states()

    def shown(self) -> list[int | More]:
        return self._items

    def _lines(self) -> list[tuple[int | More, float]]:
        """What is written, and its height in pixels."""
        entries = self.page["entries"]
        return [(item, LINE if isinstance(item, More) else self.glass.entry(entries[item])) for item in self._items]

    def draw(self, canvas: Canvas) -> None:
        x, y, width, length = self.x, self.y + HEADER, self.width, self.glass.length
        canvas.label(x + width / 2, self.y + 10, f"page {self.number}", size=SMALL, bold=True, anchor="middle")
        canvas.rect(x, y, width, length, PAPER, radius=3, tip=self.tip)
        lines, bound = self._lines(), self.glass.high_key(self.page)
        filled = sum(height for _, height in lines)
        canvas.rect(x, y, width, max(filled, length * self.full - bound if not self.glass.whole else 0), USED, radius=3)
        at = y
        for item, height in lines:
            if at > y:
                canvas.line([(x, at), (x + width, at)], SEAM, width=1)
            if isinstance(item, More):
                canvas.label(x + width - 5, at + 11.5, item.text, size=SMALL, colour=FAINT, anchor="end")
            else:
                self._cell(canvas, item, x, at, width, height)
            at += height
        if bound:
            self._bound(canvas, y + length - bound, bound)
        self._frame(canvas, x, y, width, length)
        for number, word in enumerate(self._words()):
            canvas.label(
                x + width / 2, y + length + 15 + 14 * number, word, size=SMALL, anchor="middle",
                bold=word == self.mark, colour=INK if word == self.mark else FAINT,
            )  # fmt: skip

    def _bound(self, canvas: Canvas, y: float, height: float) -> None:
        canvas.rect(self.x, y, self.width, height, USED, radius=3)
        canvas.line([(self.x, y), (self.x + self.width, y)], EDGE, width=1)
        said = fitted(f"< {self.page['high_key']}", self.width - 8, SMALL)
        tip = f"high key: what stands here is below {self.page['high_key']}"
        canvas.label(self.x + self.width - 5, y + height / 2 + 4, said, size=SMALL, colour=FAINT, anchor="end", tip=tip)


class Inner(Box):
    """An inner page: it lies, its entries side by side, so that a link can leave each of them."""

    FREE = 66.0  # pixels of what is free where bytes are not drawn one by one

    def __init__(self, page: Mapping[str, Any], glass: Glass, lit: Lit, most: float = 440.0) -> None:
        super().__init__(page, glass, lit, most)
        entries = page["entries"]
        self._items: list[int | More] = list(range(len(entries)))
        self._stretch = 0.0
        if not glass.whole:
            for lines in range(min(len(entries), int(most / CELL_MIN)), 0, -1):
                self._items = chosen(len(entries), lines, lit.on(self.number))
                if self._entries_width() + _bound_width(page) + self.FREE <= self.most:
                    break
        used = self._entries_width() + self.glass.high_key(page)
        self._box = max(glass.length if glass.whole else used + self.FREE, used)
        left_out = sum(isinstance(item, More) for item in self._items)
        if left_out and self._box < self.most:  # as wide whichever entries are shown, so that nothing moves
            self._stretch = (self.most - self._box) / left_out
            self._box = self.most
        titles = (self._title(), f"page {self.number} · written")
        self.width = max(self._box, *(wide(title, SMALL, bold=True) for title in titles))
        self.height = HEADER + CELL

    def _entries_width(self) -> float:
        return sum(map(self._width, self._items))

    def _width(self, item: int | More) -> float:
        if isinstance(item, More):
            return wide(item.text, SMALL) + 10 + self._stretch
        return self.glass.entry(self.page["entries"][item])

    def _title(self) -> str:
        return " · ".join([f"page {self.number}", *self.states()])

    def shown(self) -> list[int | More]:
        return self._items

    @property
    def sides(self) -> tuple[float, float, float]:
        return self.x, self.x + self._box, self.y + HEADER + CELL / 2

    @property
    def top(self) -> tuple[float, float]:
        return self.x + self._box / 2, self.y

    def under(self, slot: int) -> tuple[float, float]:
        at = self.x
        for item in self._items:
            width = self._width(item)
            if item == slot or (isinstance(item, More) and self._hides(item, slot)):
                return at + width / 2, self.y + self.height
            at += width
        return super().under(slot)

    def _hides(self, more: More, slot: int) -> bool:
        """Whether an entry is one of those that are left out here."""
        place = next(number for number, item in enumerate(self._items) if item is more)
        before = sum(item.count if isinstance(item, More) else 1 for item in self._items[:place])
        return before <= slot < before + more.count

    def draw(self, canvas: Canvas) -> None:
        x, y = self.x, self.y + HEADER
        canvas.label(x, self.y + 10, self._title(), size=SMALL, bold=True, tip=self.tip)
        canvas.rect(x, y, self._box, CELL, PAPER, radius=3, tip=self.tip)
        at = x
        canvas.rect(x, y, self._entries_width(), CELL, USED, radius=3)
        for item in self._items:
            width = self._width(item)
            if isinstance(item, More):
                canvas.label(at + width / 2, y + 16, item.text, size=SMALL, colour=FAINT, anchor="middle")
            else:
                self._cell(canvas, item, at, y, width, CELL)
            at += width
            canvas.line([(at, y), (at, y + CELL)], SEAM, width=1)
        bound = self.glass.high_key(self.page)
        end = x + self._box - bound
        if not self.glass.whole:
            said = percent(self.full)
            canvas.label((at + end) / 2, y + 16, said, size=SMALL, colour=FAINT, anchor="middle", tip=self.tip)
        if bound:
            canvas.rect(end, y, bound, CELL, USED, radius=3)
            canvas.line([(end, y), (end, y + CELL)], EDGE, width=1)
            said = fitted(f"< {self.page['high_key']}", bound - 8, SMALL)
            tip = f"high key: what stands here and below it is below {self.page['high_key']}"
            canvas.label(x + self._box - 5, y + 16, said, size=SMALL, colour=FAINT, anchor="end", tip=tip)
        self._frame(canvas, x, y, self._box, CELL)


class Small(Box):
    """A page that is one of many: its number, and how full it is."""

    def __init__(self, page: Mapping[str, Any], glass: Glass, lit: Lit, most: float = 440.0) -> None:
        super().__init__(page, glass, lit, most)
        self.width = max(24.0, wide(str(self.number), SMALL))
        self._length = CELL if glass.lying else glass.length
        self.height = HEADER + self._length

    @property
    def sides(self) -> tuple[float, float, float]:
        return self.x, self.x + self.width, self.y + HEADER + min(12, CELL / 2)

    def draw(self, canvas: Canvas) -> None:
        x, y = self.x, self.y + HEADER
        middle = x + self.width / 2
        canvas.label(middle, self.y + 10, str(self.number), size=SMALL, colour=FAINT, anchor="middle", tip=self.tip)
        canvas.rect(x, y, self.width, self._length, PAPER, radius=3, tip=self.tip)
        across, down = (self.full, 1.0) if self.glass.lying else (1.0, self.full)
        canvas.rect(x, y, self.width * across, self._length * down, USED, radius=3, tip=self.tip)
        self._frame(canvas, x, y, self.width, self._length)
