"""Where a full page is cut in two.

    entries  10 20 30 40 50 [60 is new]           left page        right page        goes up
    a page in the middle of its level             10 20 30         40 50 60          40
    the right-most page of its level, at 90 %     10 20 30 40 50   60                60
    nothing but one key, at 96 %                  7  7  7  7  7    7                 7, and a row

All cuts that leave two pages which hold their entries are ranked by how far they are from the wanted balance: even,
or, on the right-most page, the fill factor on the left, because what comes next will come on the right. Among the
cuts that are nearly as good (5 % of the bytes) the first one with the shortest separator is taken: on a leaf the one
whose neighbours differ in the earliest column, on an inner page the one whose key is shortest. Where the neighbours
of all of these are equal, the cut goes to the side of the duplicates; where the whole page is one key, it goes to 96
%, so that rows that are added in order leave full pages behind.

    >>> keys = Keys(128)
    >>> full = Full(0, [(n, n) for n in range(10, 61, 10)], [None] * 6, [20] * 6, at=5, room=108)
    >>> cut(full, keys, 90), cut(replace(full, high=(99,), high_bytes=20, room=128), keys, 90)
    ((4, 'the right-most page of its level keeps 90 % on the left'), (3, 'half and half'))

Sources: PostgreSQL's src/backend/access/nbtree/nbtsplitloc.c (the rules are its, told again); Bayer and Unterauer,
"Prefix B-Trees", 1977, for looking near the middle for a short separator. A split of your own takes the form of
`halves`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple

from workbook.btree.keys import ENTRY_HEADER_BYTES, PAGE_HEADER_BYTES, SLOT_BYTES, SPECIAL_BYTES, TIE_BYTES, Keys, Order
from workbook.btree.page import MINUS_INFINITY, NULL, Entry, Page

INNER_FILL_FACTOR, SINGLE_VALUE_FILL_FACTOR = 70, 96
LEAF_TOLERANCE, INNER_TOLERANCE = 0.05, 0.075
POSTING_WORTH_BYTES = 64
TABLE_PAGE_ROWS = 185
"""Rows of two bigint columns on a page of a table."""
MINUS_INFINITY_BYTES = ENTRY_HEADER_BYTES + SLOT_BYTES

SplitPage = Callable[[Page, tuple[Entry, ...], int], tuple[Page, Page]]
"""split(page, entries, number) -> (left, right): a full page, its entries with the new one in its place, and the
number of the new page on the right. The high key of `left` is what the page above is told."""


@dataclass(frozen=True, slots=True)
class Full:
    """A page that is to be cut, with the new entry (the one at `at`) in its place.

    Parameters: its level; its keys, items and sizes in bytes as in `store.Node`; the bytes that entries and a high
    key may have; the old high key and its bytes (None and 0 on the right-most page).
    """

    level: int
    keys: list[Order]
    items: list[Any]
    sizes: list[int]
    at: int
    room: int
    high: Order | None = None
    high_bytes: int = 0

    def last(self, at: int) -> Order:
        """The entry at a place with the last of its rows."""
        rows = self.items[at]
        return self.keys[at] if self.level or rows is None else (*self.keys[at][:-1], rows[-1])


class _Cut(NamedTuple):
    """A cut before the entry `at`, and the bytes that it leaves free on either side."""

    at: int
    left_free: int
    right_free: int
    first_right_bytes: int


def cut(full: Full, keys: Keys, fill_factor: int) -> tuple[int, str]:
    """The place of the entry that begins the right page, and why it is that one. There always is one: a key takes at
    most a third of a page."""
    cuts = _legal(full, keys)
    if full.level:
        share = INNER_FILL_FACTOR / 100 if full.high is None else None
        why = f"the right-most page of its level keeps {INNER_FILL_FACTOR} % on the left" if share else "half and half"
        ranked = _ranked(cuts, share)
        near = ranked[: _near(ranked, full, INNER_TOLERANCE)]
        return min(near, key=lambda each: full.sizes[each.at]).at, why
    share, why, exactly = _balance(full, keys, cuts, fill_factor)
    if exactly is not None:
        return exactly, why
    ranked = _ranked(cuts, share)
    near = ranked[: _near(ranked, full, LEAF_TOLERANCE)]
    if _distinguishing(full, keys, min(near), max(near)) > keys.columns:
        return _among_duplicates(full, keys, cuts, ranked, near, why)
    return _shortest(full, keys, near, _distinguishing(full, keys, min(near), max(near))).at, why


def _legal(full: Full, keys: Keys) -> list[_Cut]:
    """All cuts that leave two pages which hold their entries, from left to right."""
    total, right_room = sum(full.sizes), full.room - full.high_bytes
    cuts = []
    for at, left in enumerate(accumulate(full.sizes[:-1]), 1):
        first = full.sizes[at]
        if full.level:
            left_free = full.room - left - first
            right_free = right_room - (total - left) + first - MINUS_INFINITY_BYTES
        else:
            high = first + TIE_BYTES
            if full.items[at] is not None and at != full.at and first > POSTING_WORTH_BYTES:
                high -= first - SLOT_BYTES - keys.tuple_bytes(full.keys[at][:-1])
            left_free = full.room - left - high
            right_free = right_room - (total - left)
        if left_free >= 0 and right_free >= 0:
            cuts.append(_Cut(at, left_free, right_free, first))
    return cuts


def _ranked(cuts: list[_Cut], share: float | None) -> list[_Cut]:
    """The cuts, best first: both sides equally free, or the left one full to a share; of two that are equally good the
    one on the right."""
    cuts = cuts[::-1]
    if share is None:
        return sorted(cuts, key=lambda each: abs(each.left_free - each.right_free))
    return sorted(cuts, key=lambda each: abs(int(share * each.left_free - (1 - share) * each.right_free)))


def _near(ranked: list[_Cut], full: Full, tolerance: float) -> int:
    """How many of the ranked cuts are as good as the first one, within a share of the page's bytes."""
    _, left, right, _ = ranked[0]
    most = int((sum(full.sizes) - full.sizes[full.at]) * tolerance)
    for place, each in enumerate(ranked):
        if abs(each.left_free - left) > most or abs(each.right_free - right) > most:
            return place
    return len(ranked)


def _distinguishing(full: Full, keys: Keys, first: _Cut, last: _Cut) -> int:
    """How many columns tell the entry left of one cut from the entry right of another."""
    return keys.distinguishing(full.keys[first.at - 1], full.keys[last.at])


def _shortest(full: Full, keys: Keys, cuts: list[_Cut], enough: int) -> _Cut:
    """The first cut whose neighbours differ in the earliest column; `enough` cannot be beaten."""
    best, least = cuts[0], keys.columns + 2
    for each in cuts:
        needed = _distinguishing(full, keys, each, each)
        if needed < least:
            best, least = each, needed
        if needed <= enough:
            break
    return best


def _balance(full: Full, keys: Keys, cuts: list[_Cut], fill_factor: int) -> tuple[float | None, str, int | None]:
    """The share that the left leaf is to keep (None: half), why, and the very cut where no other will do."""
    if full.high is None:
        return fill_factor / 100, f"the right-most page of its level keeps {fill_factor} % on the left", None
    if not _follows_its_neighbour(full, keys, cuts):
        return None, "half and half", None
    after = full.at + 1
    if after == len(full.keys) or (after + 1) / (len(full.keys) + 1) > fill_factor / 100:
        return fill_factor / 100, f"keys arrive in order here: {fill_factor} % stay on the left", None
    if any(each.at == after for each in cuts):
        return None, "keys arrive in order here: what comes next goes right of the new entry", after
    return None, "half and half", None


def _follows_its_neighbour(full: Full, keys: Keys, cuts: list[_Cut]) -> bool:
    """Whether the new entry looks like the latest of a group that grows at its end: order lines of one order, say.

    Keys of two columns or more, all of one small size, that begin as the neighbour on the left does, with a row that
    stands on the same page of the table as that of the neighbour, or is the first of the next one.
    """
    size, at = full.sizes[full.at], full.at
    if keys.columns == 1 or at == 0 or size > ENTRY_HEADER_BYTES + 16 + SLOT_BYTES:
        return False
    if size != min(each.first_right_bytes for each in cuts) or size * len(full.sizes) != sum(full.sizes):
        return False
    new, before = full.keys[at], full.keys[at - 1]
    page, place = divmod(new[-1], TABLE_PAGE_ROWS)
    together = before[-1] // TABLE_PAGE_ROWS in ((page,) if place else (page - 1, page))
    if at < len(full.keys) - 1 and (full.items[at - 1] is not None or not together):
        return False
    return 1 < keys.distinguishing(before, new) <= keys.columns


def _among_duplicates(
    full: Full, keys: Keys, cuts: list[_Cut], ranked: list[_Cut], near: list[_Cut], why: str
) -> tuple[int, str]:
    """The cut of a leaf whose middle is one and the same key."""
    if _distinguishing(full, keys, cuts[0], cuts[-1]) <= keys.columns:
        chosen = _shortest(full, keys, ranked, keys.columns)
        if full.high is not None and chosen.at == full.at:
            return ranked[0].at, why
        return chosen.at, "beside the duplicates that stand where it would be cut"
    high = None if full.high is None else (*full.high, *[None] * keys.columns)
    if high is None or keys.distinguishing(high, full.keys[full.at]) <= keys.columns:
        best = _ranked(cuts, SINGLE_VALUE_FILL_FACTOR / 100)[0]
        return best.at, f"the page is one key: {SINGLE_VALUE_FILL_FACTOR} % stay on the left"
    return near[0].at, why


def halves(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
    """The plainest right split: half of the bytes stay, the other half goes to the new page on the right.

    What goes up is the first key of the right half; an inner page keeps no copy of it, a leaf does. For keys that
    differ.

    Parameters and result: as `SplitPage` says. A pure function of values: the tree sets the left link of the page that
    stood on the right, and tells the page above.
    """
    half = sum(entry.bytes for entry in entries) / 2
    sums = list(accumulate(entry.bytes for entry in entries))
    at = min(range(1, len(entries)), key=lambda place: abs(sums[place - 1] - half))
    left, right = entries[:at], entries[at:]
    separator = right[0]
    high_key = NULL if separator.key is None else separator.key
    if page.level:
        right = (replace(separator, key=MINUS_INFINITY, tie=None, bytes=MINUS_INFINITY_BYTES), *right[1:])
    return (
        replace(page, entries=left, free=_free(page, left), high_key=high_key, right=number),
        replace(page, entries=right, free=_free(page, right), number=number, left=page.number),
    )


def _free(page: Page, entries: Sequence[Entry]) -> int:
    """Bytes left beside entries, the high key not counted: the tree counts anew what a split gives back."""
    return page.bytes - PAGE_HEADER_BYTES - SPECIAL_BYTES - sum(entry.bytes for entry in entries)
