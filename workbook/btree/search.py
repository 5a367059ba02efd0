"""A search in a tree as it stands, told one comparison at a time: for the teaching tree, PostgreSQL's pages and SQLite's.

    search(snapshot, 30)     read page 3, the root        30 is not below 30: look right of it
                             go down to page 2            30 is equal to 30: look left of it        found

At each page a binary search: on an inner page for the last entry that the key is above, whose page is next; on a leaf
for the first entry that is not below the key. What "above" means where a separator is equal differs. In PostgreSQL and in the
teaching tree a separator is cut from the first entry of the right page, so an equal key is right of it; in SQLite it is the last
key of the left page, or an entry of the index itself, which ends the search.

    >>> from workbook.btree.tree import Tree
    >>> tree = Tree(page_bytes=128)
    >>> for key in (10, 20, 30, 40, 50):
    ...     _ = tree.insert(key)
    >>> for event in search(tree.snapshot(), 40):
    ...     print(event)
    Page 3 is read: the root.
    40 is equal to 40: look right of it.
    Go down to page 2.
    Page 2 is read: a leaf.
    40 is below 50: look left of it.
    40 is equal to 40: look left of it.
    40 is found in slot 0 of page 2: it leads to row 3.

Sources: PostgreSQL's src/backend/access/nbtree/nbtsearch.c (`_bt_binsrch`, `_bt_compare`); SQLite's btree.c
(`sqlite3BtreeIndexMoveto`). Left out: collations other than by bytes, and PostgreSQL's fast root.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from workbook.btree.page import MINUS_INFINITY, NULL, Entry, Event, Page, Snapshot, shown
from workbook.errors import Misuse, Unsuitable

PATH_MAX = 1000
_NUMBER, _TEXT, _BYTES, _OTHER, _NULL_LAST = 1, 2, 3, 4, 9


def search(snapshot: Snapshot, key: Any) -> list[Event]:
    """What a search for the first entry of a key does.

    Parameters: a snapshot, whole or with the pages of the path; the key, a tuple where there are several columns (or the first ones
    of them), None for NULL. Returns the events; the last one says what was found. Raises `Misuse` for a key of another type, and
    `Unsuitable` where a page of the path was not read.
    """
    return _Search(snapshot, key).run()


def _columns(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (None if key is NULL else key,)


class _Search:
    def __init__(self, snapshot: Snapshot, key: Any) -> None:
        self.snapshot, self.key = snapshot, key
        self.values = _columns(key)
        self.descending = [name.endswith(" DESC") for name in snapshot.key_columns]
        self.events: list[Event] = []

    def run(self) -> list[Event]:
        if not self.snapshot.height:
            return [Event("read", 0, None, f"{self.snapshot.name} is empty: it has no root yet.")]
        number = self.snapshot.root
        for _ in range(PATH_MAX):
            page = self._read(number)
            at = 0 if self._beyond(page) else self._place(page)
            if self._beyond(page) or self._goes_on(page, at):
                self._tell(
                    "move-right", page, f"{shown(self.key)} is not below the high key: move right.", other=page.right
                )
                number = page.right or 0
                continue
            if not page.level or self._ends_here(page, at):
                self._end(page, at)
                return self.events
            number = page.entries[at - 1].child or 0
            self._tell("descend", page, f"Go down to page {number}.", at - 1, number)
        raise Misuse(
            f"The search for {shown(self.key)} in {self.snapshot.name} does not end.", next="look at its right links"
        )

    def _read(self, number: int) -> Page:
        page = self.snapshot.pages.get(number)
        if page is None:
            raise Unsuitable(
                f"The search for {shown(self.key)} goes to page {number} of {self.snapshot.name}, which was not read.",
                next="read the path of this key, or the whole index",
            )
        self._see_order(page)
        root = page.level == self.snapshot.height - 1
        what = "the root and the only leaf" if root and not page.level else "the root" if root else "a leaf"
        self._tell("read", page, f"Page {number} is read: {what if root or not page.level else 'an inner page'}.")
        return page

    def _see_order(self, page: Page) -> None:
        """See that the entries of a page stand in the order that is known here. Raises `Unsuitable`."""
        keys = [entry.key for entry in page.entries if entry.key is not MINUS_INFINITY]
        try:
            known = all(self._order_of(_columns(after), before) >= 0 for before, after in pairwise(keys))
        except Misuse:
            known = False
        if not known:
            raise Unsuitable(
                f"The keys of {self.snapshot.name} stand in an order that is not known here, so a search cannot be followed.",
                tried=f"page {page.number}",
                next="follow one in an index of numbers, or of text by the collation C",
            )

    def _tell(self, kind: Any, page: Page, text: str, slot: int | None = None, other: int | None = None) -> None:
        self.events.append(Event(kind, page.number, slot, text, other))

    def _beyond(self, page: Page) -> bool:
        """Whether the key is not on this page or below it, but on one to the right."""
        if page.right is None or page.high_key is None:
            return False
        return page.state != "live" or self._order(page.high_key, page.high_tie, inner=True) > 0

    def _goes_on(self, page: Page, at: int) -> bool:
        """Whether all of a leaf is below the key, and the next page may begin with it: duplicates across two pages."""
        if page.level or at < len(page.entries) or page.right is None or page.high_key is None:
            return False
        return self._order(page.high_key, None, inner=False) == 0

    def _place(self, page: Page) -> int:
        """The place of the first entry that the key is not above; the first entry of an inner page is below all keys."""
        low, high = (1 if page.level else 0), len(page.entries)
        while low < high:
            middle = (low + high) // 2
            entry = page.entries[middle]
            order = self._order(entry.key, entry.tie, inner=page.level > 0)
            same = self._order(entry.key, None, inner=False) == 0
            how = "equal to" if same else "above" if order > 0 else "below"
            side = "right" if order > 0 else "left"
            self._tell("compare", page, f"{shown(self.key)} is {how} {shown(entry.key)}: look {side} of it.", middle)
            low, high = (middle + 1, high) if order > 0 else (low, middle)
        return low

    def _ends_here(self, page: Page, at: int) -> bool:
        """Whether an inner page of an index of SQLite holds the entry itself."""
        return at < len(page.entries) and bool(page.entries[at].pointers) and self._is(page.entries[at])

    def _is(self, entry: Entry) -> bool:
        return self._order(entry.key, None, inner=False) == 0

    def _end(self, page: Page, at: int) -> None:
        if at < len(page.entries) and self._is(page.entries[at]):
            what = self._leads_to(page.entries[at])
            self._tell(
                "found", page, f"{shown(self.key)} is found in slot {at} of page {page.number}: it leads to {what}.", at
            )
        else:
            before = (
                f"it would stand before {shown(page.entries[at].key)}"
                if at < len(page.entries)
                else "it would stand last"
            )
            self._tell("found", page, f"{shown(self.key)} is not there: {before}.")

    def _leads_to(self, entry: Entry) -> str:
        if self.snapshot.engine == "postgresql":
            block, offset = entry.pointers[0] if entry.pointers else (0, 0)
            first = f"row {offset} on page {block:,} of the table"
        else:
            first = f"row {entry.pointers[0][0]:,}" if entry.pointers else "a row"
        more = len(entry.pointers) - 1
        return first + (f", and to {more:,} more" if more > 0 else "")

    def _order(self, key: Any, tie: tuple[int, int] | None, *, inner: bool) -> int:
        """Above 0 where what is looked for stands right of a key, below 0 where it stands left of it."""
        if key is MINUS_INFINITY:
            return 1
        order = self._order_of(self.values, key)
        cut_off = self.snapshot.engine != "sqlite" and tie is None and len(self.values) == len(_columns(key))
        return 1 if not order and inner and cut_off else order

    def _order_of(self, values: tuple[Any, ...], key: Any) -> int:
        """How columns compare with a key; a column that the key does not have counts as -∞, one more that it has as nothing."""
        others = _columns(key)
        for place, (mine, other) in enumerate(zip(values, others, strict=False)):
            order = self._compared(mine, other)
            if order:
                return -order if self.descending[place : place + 1] == [True] else order
        return 1 if len(others) < len(values) else 0

    def _compared(self, mine: Any, other: Any) -> int:
        left, right = self._rank(mine), self._rank(other)
        if left[0] != right[0] and self.snapshot.engine != "sqlite" and _NULL_LAST not in (left[0], right[0]):
            raise Misuse(f"{shown(self.key)} is no key of {self.snapshot.name}, whose keys are like {shown(other)}.")
        try:
            return (left > right) - (left < right)
        except TypeError:
            raise Misuse(f"{shown(self.key)} cannot be compared with {shown(other)}.") from None

    def _rank(self, value: Any) -> tuple[int, Any]:
        if value is None:
            return (0 if self.snapshot.engine == "sqlite" else _NULL_LAST, 0)
        if isinstance(value, str):
            return _TEXT, value.encode()
        if isinstance(value, bytes):
            return _BYTES, value
        try:
            return (_NUMBER, value) if value - value == 0 else (_OTHER, value)
        except (TypeError, ArithmeticError):
            return _OTHER, value
