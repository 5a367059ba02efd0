"""Posting lists: many rows of one key in one entry.

    ten rows of the key 7, plain       7→1 7→2 7→3 ... 7→10          10 × 20 = 200 bytes
    as one posting list                7→[1 2 3 ... 10]              16 + 10 × 6 = 76, aligned 80, + 4 = 84 bytes

PostgreSQL does not keep such lists as rows arrive: that would rewrite an entry for each row. It waits until a leaf
page would have to be split, and then merges the duplicates of the whole page at once; often the split is then not
needed. A list takes no more than a sixth of a page, so that a page full of one key can still be cut.

    >>> keys = Keys(8192)
    >>> rows = merge([(7, row) for row in range(10)], [None] * 10, [20] * 10, keys, 8152, (7,), 20)
    >>> rows
    ([(7, 0)], [(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)], [84])

On a page that holds one key alone the last entries stay as they are: the page is about to be split at 96 %, and what
then is the right page need not be merged twice.

Sources: PostgreSQL's src/backend/access/nbtree/README, "Notes about deduplication", and nbtdedup.c. Left out:
bottom-up deletion, which PostgreSQL tries first where an UPDATE left old versions behind; unique indexes, which merge
only then.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from workbook.btree.keys import SLOT_BYTES, TIE_BYTES, Keys, Order
from workbook.btree.splitting import SINGLE_VALUE_FILL_FACTOR

FULL_LISTS_MAX, FULL_LIST_ROWS_MIN = 5, 50
Entries = tuple[list[Order], list[Any], list[int]]


def merge(
    page_keys: list[Order],
    items: list[Any],
    sizes: list[int],
    keys: Keys,
    room: int,
    columns: Order,
    new_bytes: int,
) -> Entries | None:
    """The entries of a leaf with their duplicates merged; None where there was nothing to merge.

    Parameters: the entries as in `store.Node`; the tree's keys; the bytes that a page has for entries; the columns
    and the bytes of the entry for which room is wanted.
    """
    most = keys.posting_bytes_max
    one_value = page_keys[0][:-1] == columns == page_keys[-1][:-1]
    found: Entries = ([], [], [])
    full_lists = 0
    at = 0
    while at < len(page_keys):
        columns_here = page_keys[at][:-1]
        rows, size = rows_of(page_keys[at], items[at]), sizes[at]
        at += 1
        while full_lists <= FULL_LISTS_MAX and at < len(page_keys) and page_keys[at][:-1] == columns_here:
            merged = (*rows, *rows_of(page_keys[at], items[at]))
            bytes_merged = keys.posting_bytes(columns_here, len(merged))
            if bytes_merged - SLOT_BYTES > most:
                full_lists += one_value and len(rows) > FULL_LIST_ROWS_MIN
                break
            rows, size = merged, bytes_merged
            at += 1
        found[0].append((*columns_here, rows[0]))
        found[1].append(rows if len(rows) > 1 else None)
        found[2].append(size)
        if full_lists == FULL_LISTS_MAX:
            most = max(0, keys.posting_bytes_max - _kept_free(room, new_bytes))
    return found if len(found[0]) < len(page_keys) else None


def _kept_free(room: int, new_bytes: int) -> int:
    """Bytes by which the sixth full list of a page is shortened, so that the split to come leaves its left page 96 %
    full."""
    return int((room - new_bytes - TIE_BYTES) * ((100 - SINGLE_VALUE_FILL_FACTOR) / 100))


def rows_of(key: Order, item: Any) -> tuple[int, ...]:
    """The rows of a leaf entry, in order."""
    return (key[-1],) if item is None else item


def swap(rows: tuple[int, ...], new: int) -> tuple[tuple[int, ...], int]:
    """A row that belongs inside a list takes its place there, and the list's last row has to leave it: the list keeps
    its size, and what is inserted after it is the row that left.

    >>> swap((1, 3, 5, 9), 4)
    ((1, 3, 4, 5), 9)
    """
    at = bisect_left(rows, new)
    return (*rows[:at], new, *rows[at:-1]), rows[-1]
