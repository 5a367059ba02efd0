"""A file of PostgreSQL's B-tree, read whole or along one key: from pages by number to a `Snapshot`.

    page 0, the metapage ──▶ root ──▶ ... ──▶ leaf           along a key: a handful of pages
                             │ each level is a chain:
                             ▼ page ◀─▶ page ◀─▶ page        whole: every page, in large pieces, and then each level
                                                             is walked from left to right and held against the one above

Where pages come from is not known here: a `Source` gives bytes by page number. A search goes as PostgreSQL's does: on
an inner page to the last entry that is below the key (where all columns are given and equal, to that entry: the row's
place, cut off there, counts as -∞), and on any page to the right while the key is above the high key.

Whole trees are checked: each page of a level is the right sibling of the one before it, each entry above leads to one
of them, in order, and no page in use belongs to no level. So a damaged file ends in a sentence, and no chain runs in
a circle.

    >>> at_hand = Held(bytes(8192), 8192)
    >>> at_hand.count, len(at_hand.read(0, 1))
    (1, 8192)

Sources: PostgreSQL 18's src/backend/access/nbtree/README; nbtsearch.c (`_bt_search`, `_bt_moveright`, `_bt_compare`).
Left out: what happens while others write; the file of free space.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from workbook.btree.making import many_values
from workbook.btree.page import MINUS_INFINITY, NULL, Page, Snapshot
from workbook.btree.postgres_pages import Column, Layout, Meta, damaged, meta_of, page_of
from workbook.errors import Misuse, Unsuitable

PIECE = 512  # pages that are read at once: 4 MB
TIES_SINCE = 4  # the format's version


class Source(Protocol):
    """Where pages come from: how many there are, and the bytes of `pages` of them from number `first` on."""

    @property
    def count(self) -> int: ...

    def read(self, first: int, pages: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Held:
    """Pages of a file whose bytes are at hand; what is cut off at its end is no page."""

    data: bytes = field(repr=False)
    page_bytes: int

    @property
    def count(self) -> int:
        return len(self.data) // self.page_bytes

    def read(self, first: int, pages: int) -> bytes:
        return self.data[first * self.page_bytes : (first + pages) * self.page_bytes]


def whole(source: Source, layout: Layout) -> Snapshot:
    """All pages of a tree. Raises `Damaged` where they are no tree."""
    meta = meta_of(_bytes(source, layout, 0, 1), layout)
    pages: dict[int, Page] = {}
    size = layout.page_bytes
    starts = range(1, source.count, PIECE)
    pieces = [_bytes(source, layout, first, min(PIECE, source.count - first)) for first in starts]
    with many_values():
        for first, piece in zip(starts, pieces, strict=True):
            for at in range(0, len(piece), size):
                number = first + at // size
                pages[number] = page_of(number, piece[at : at + size], layout)
    _check(pages, meta, layout)
    return _snapshot(layout, meta, pages, True)


def some(source: Source, layout: Layout, numbers: Iterable[int]) -> Snapshot:
    """The pages with these numbers. Raises `Damaged`, and `Misuse` where there is no such page."""
    meta = meta_of(_bytes(source, layout, 0, 1), layout)
    if wrong := [number for number in numbers if not 0 < number < source.count]:
        pages = (
            f"its pages are 1 to {source.count - 1:,}" if source.count > 1 else "it is empty: ask for none, pages=[]"
        )
        raise Misuse(f"{layout.name} has no page {wrong[0]}.", next=pages)
    return _snapshot(layout, meta, {number: _page(source, layout, number) for number in numbers}, False)


def along(source: Source, layout: Layout, key: Any) -> Snapshot:
    """The pages that a search for `key` reads: from the root to the first leaf that may have it.

    Parameters: `key` is the value of the first column, or a tuple of those of the first columns (None in a tuple is
    NULL). Raises `Damaged`; `Misuse` for a key of another type; `Unsuitable` where a column's order is not known here.
    """
    meta = meta_of(_bytes(source, layout, 0, 1), layout)
    wanted = Sought(key, layout, ties=meta.version >= TIES_SINCE)
    pages: dict[int, Page] = {}
    number, level = meta.root, meta.level if meta.root else -1
    while level >= 0:
        page = pages[number] = _page(source, layout, number)
        if page.level != level or page.state == "deleted":
            damaged(layout.name, number, f"a page of level {level} should be there")
        if page.right is not None and (page.state != "live" or wanted.above(page.high_key, page.high_tie)):
            if page.right in pages:
                damaged(layout.name, number, "its right siblings run in a circle")
            number = page.right
            continue
        number, level = wanted.child(page) if level else 0, level - 1
    return _snapshot(layout, meta, pages, False)


def _page(source: Source, layout: Layout, number: int) -> Page:
    if not 0 < number < source.count:
        damaged(layout.name, number, f"another page leads there, and the file has {source.count:,} pages")
    return page_of(number, _bytes(source, layout, number, 1), layout)


def _bytes(source: Source, layout: Layout, first: int, pages: int) -> bytes:
    data = source.read(first, pages)
    if len(data) != pages * layout.page_bytes:
        damaged(layout.name, first + len(data) // layout.page_bytes, "the file ends before or in it")
    return data


class Sought:
    """A key that is looked for, and how it compares with those on pages. `ties`: whether places of rows are part of
    the order, as they are since version 4 of the format."""

    def __init__(self, key: Any, layout: Layout, *, ties: bool = True) -> None:
        values = key if isinstance(key, tuple) else (key,)
        if not 0 < len(values) <= len(layout.columns):
            raise Misuse(f"{layout.name} has {len(layout.columns)} key columns, and the key has {len(values)}.")
        self.columns, self.all = layout.columns[: len(values)], ties and len(values) == len(layout.columns)
        self.ranks = [_rank(layout, column, value) for column, value in zip(self.columns, values, strict=True)]

    def above(self, key: Any, tie: tuple[int, int] | None) -> bool:
        """Whether the key that is looked for is above a pivot's. A column that was cut off counts as -∞, and so does
        the place of the row where all columns are looked for."""
        if key is MINUS_INFINITY:
            return True
        values = key if isinstance(key, tuple) else (None if key is NULL else key,)
        for column, rank, value in zip(self.columns, self.ranks, values, strict=False):
            if order := _compared(column, rank, value):
                return order > 0
        return len(values) < len(self.ranks) or (self.all and tie is None)

    def child(self, page: Page) -> int:
        """The page below to which a search goes on."""
        low, high = 0, len(page.entries)
        while high - low > 1:
            middle = (low + high) // 2
            entry = page.entries[middle]
            low, high = (middle, high) if self.above(entry.key, entry.tie) else (low, middle)
        return page.entries[low].child or 0


def _rank(layout: Layout, column: Column, value: Any) -> Any:
    """What stands for a value when it is compared; None for NULL."""
    if column.unordered or column.kind.rank is None:
        why = column.unordered or f"the order of {column.kind.name} is not known"
        raise Unsuitable(
            f"A key of {layout.name} cannot be looked for here: {why}.",
            next="read the whole index, or some of its pages by number",
        )
    if value is None:
        return None
    try:
        return column.kind.rank(column.kind.take(value))
    except (TypeError, ValueError, ArithmeticError, AttributeError, KeyError):
        raise Misuse(
            f"The column {column.name} is of type {column.kind.name}, and {value!r} is no such value."
        ) from None


def _compared(column: Column, rank: Any, value: Any) -> int:
    if rank is None or value is None:
        return 0 if rank is value else (-1 if (rank is None) == column.nulls_first else 1)
    other = column.kind.rank(value) if column.kind.rank else value
    order = (rank > other) - (rank < other)
    return -order if column.descending else order


def _snapshot(layout: Layout, meta: Meta, pages: Mapping[int, Page], complete: bool) -> Snapshot:
    names = tuple(f"{column.name} DESC" if column.descending else column.name for column in layout.columns)
    height = meta.level + 1 if meta.root else 0
    return Snapshot(layout.name, "postgresql", meta.root, height, pages, complete, layout.page_bytes, names)


def _check(pages: Mapping[int, Page], meta: Meta, layout: Layout) -> None:
    """See that the pages are one tree. Raises `Damaged`."""
    if not meta.root:
        return
    first, placed = meta.root, set[int]()
    above: list[Page] = []
    for level in range(meta.level, -1, -1):
        chain = _chain(pages, first, level, layout)
        order = {page.number: place for place, page in enumerate(chain)}
        _led_to(above, order, level, layout)
        placed |= order.keys()
        above = chain
        if level:
            first = chain[0].children[0]
    for page in pages.values():
        if page.state in ("live", "half-dead") and page.number not in placed:
            damaged(layout.name, page.number, "it belongs to no level of the tree")


def _chain(pages: Mapping[int, Page], first: int, level: int, layout: Layout) -> list[Page]:
    """The pages of a level from left to right; each knows the one before it, so that it comes to an end."""
    chain: list[Page] = []
    left, number = None, first
    while number is not None:
        page = pages.get(number)
        if page is None:
            damaged(layout.name, number, f"level {level} leads there, and the file has no such page")
        if page.level != level or page.state not in ("live", "half-dead"):
            damaged(
                layout.name, number, f"level {level} leads there, and it is a {page.state} page of level {page.level}"
            )
        if page.left != left:
            damaged(layout.name, number, f"its left sibling is {left}, and it names {page.left}")
        chain.append(page)
        left, number = number, page.right  # type: ignore[assignment]
    return chain


def _led_to(above: list[Page], order: Mapping[int, int], level: int, layout: Layout) -> None:
    """See that the entries of the level above lead to pages of this level, in order."""
    last = -1
    for page in above:
        for child in page.children:
            place = order.get(child)
            if place is None or place <= last:
                damaged(
                    layout.name, page.number, f"it leads to page {child}, which is not the next one of level {level}"
                )
            last = place
