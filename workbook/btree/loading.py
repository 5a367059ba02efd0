"""A tree built at once from sorted rows, as CREATE INDEX does it: from the left, each page filled and never seen again.

    leaves   [ 1 ... 366 ] [ 367 ... 732 ] [ 733 ...      the page being filled
                   │               │
    level 1  [ -∞ → 1   │   367 → 2      │ ...           filled at the same time, to 70 %
                                 │
    level 2  ...                                         begun when the level below gets its second page

A page is full when less than 100 - `fill_factor` per cent of it is left: the room is for rows that come later in the
middle. Its last entry then moves on to the next page, and a separator before it stays as the high key. Duplicates
become posting lists on the way, of at most a tenth of a page.

    >>> from workbook.btree.tree import Tree
    >>> tree = Tree.load((key, key) for key in range(200_000))
    >>> tree.snapshot().counts, tree.counters.splits
    ({2: 1, 1: 2, 0: 547}, 0)

Source: PostgreSQL's src/backend/access/nbtree/nbtsort.c. Left out: the external sort, parallel workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from workbook.btree.keys import ALIGNED_BYTES, POINTER_BYTES, SLOT_BYTES, TIE_BYTES, Keys, Order, aligned
from workbook.btree.splitting import INNER_FILL_FACTOR, MINUS_INFINITY_BYTES
from workbook.btree.store import Node, Store

LIST_SHARE = 10


def grouped(orders: Iterable[Order], keys: Keys, posting: bool) -> Iterator[tuple[Order, Any, int]]:
    """Sorted entries as a leaf keeps them: key, rows of a posting list or None, bytes."""
    if not posting:
        for order in orders:
            yield order, None, keys.leaf_bytes(order[:-1])
        return
    large = keys.page_bytes >= 1024
    most = (keys.page_bytes // LIST_SHARE & -ALIGNED_BYTES) - SLOT_BYTES if large else keys.posting_bytes_max
    for columns, same in groupby(orders, key=lambda order: order[:-1]):
        single = keys.leaf_bytes(columns)
        rows = [order[-1] for order in same]
        fits = max(1, (most - single + SLOT_BYTES) // POINTER_BYTES)
        while fits > 1 and aligned(single - SLOT_BYTES + fits * POINTER_BYTES) > most:
            fits -= 1
        for begin in range(0, len(rows), fits):
            some = tuple(rows[begin : begin + fits])
            yield (*columns, some[0]), some if len(some) > 1 else None, keys.posting_bytes(columns, len(some))


class Load:
    """Levels that grow from the left, from an empty leaf on. `add` entries in order, then `finish`."""

    def __init__(self, store: Store, keys: Keys, fill_factor: int, first: Node) -> None:
        self.store, self.keys = store, keys
        inner = store.page_bytes * (100 - INNER_FILL_FACTOR) // 100
        self._kept_free = (store.page_bytes * (100 - fill_factor) // 100, inner)
        self._pages = [first]
        self._lows: list[Order] = [()]
        self._list_bytes = 0

    def add(self, level: int, key: Order, item: Any, size: int) -> None:
        """The next entry of a level, a page below as the next child of an inner level included."""
        if level == len(self._pages):
            self._pages.append(self.store.allocate(level))
            self._lows.append(())
        page = self._pages[level]
        free = self.store.room - 2 * SLOT_BYTES - page.used
        full = free < size - SLOT_BYTES + (0 if level else TIE_BYTES)
        spare = self._list_bytes if level == 0 else 0
        if full or (free + spare < self._kept_free[min(level, 1)] and len(page.keys) > 1):
            page = self._next_page(level, page)
        if level and not page.keys:
            key, size = (), MINUS_INFINITY_BYTES
        page.put(len(page.keys), key, item, size)
        if level == 0:
            rows = 0 if item is None else len(item)
            self._list_bytes = size - self.keys.posting_bytes(key[:-1], 1) if rows else 0

    def _next_page(self, level: int, page: Node) -> Node:
        """Begin the page on the right with the last entry of this one, and tell the level above of this one."""
        key, item, size = page.keys[-1], page.items[-1], page.sizes[-1]
        page.take(len(page.keys) - 1)
        right = self.store.allocate(level)
        separator = key
        if level == 0:
            rows = page.items[-1]
            last = page.keys[-1] if rows is None else (*page.keys[-1][:-1], rows[-1])
            separator = self.keys.separator(last, key)
        page.fill(page.keys, page.items, page.sizes, separator, self.keys.inner_bytes(separator))
        page.right, right.left = right.number, page.number
        self._pages[level] = right
        low, self._lows[level] = self._lows[level], separator
        self.add(level + 1, low, page.number, self.keys.inner_bytes(low))
        self.store.write(page)
        right.put(0, () if level else key, item, MINUS_INFINITY_BYTES if level else size)
        return right

    def finish(self) -> tuple[int, int]:
        """Close the right edge; the number of the root and the height."""
        level = 0
        while level < len(self._pages):
            page = self._pages[level]
            if level + 1 < len(self._pages):
                self.add(level + 1, self._lows[level], page.number, self.keys.inner_bytes(self._lows[level]))
            self.store.write(page)
            level += 1
        return self._pages[-1].number, level
