"""What an index writes to the write-ahead log: a record for each insert, more for a split, whole pages after a
checkpoint.

    an entry is put on a leaf     │ header 24 │ page 20 │ entry 16 │ place 2+2 │                  64 bytes, for a bigint
    a leaf is cut                 │ header 24 │ page 20, entry, high key │ new page 8, all that it holds │ ... │
    and the page above is told    │ header 24 │ page 20 │ separator 16 │ child 8 │ place 2+2 │    72 bytes
    the first change of a page    its record, with the entry replaced by the page as it is then, free space left out
    after a checkpoint

So a cut costs by what goes to the *right*: half a page in a random order, a tenth of one in ascending order. And a page
image costs by how full the page is, some kilobytes instead of 64 bytes; how many there are is how many pages k inserts
touch at least once: one where they arrive in order, and L (1 - (1 - 1/L)^k) of L pages where they arrive at random.

    >>> insert_bytes(16), told_bytes(16)
    (64, 72)
    >>> round(split_bytes(right_bytes=42 * 16, high_key_bytes=16) + told_bytes(16))
    824
    >>> round(touched(644, 1000)), round(touched(644, 1))
    (508, 1)

Sources: PostgreSQL 18's src/include/access/xlogrecord.h, nbtxlog.h and src/backend/access/nbtree/nbtinsert.c;
Cardenas, "Analysis and Performance of Inverted Data Base Structures", 1975, for the pages touched. Left out: the
records of the table and of COMMIT, of a new root (once a level), of merged duplicates, of VACUUM; compressed images.
"""

from __future__ import annotations

from typing import Final

RECORD_BYTES, PAGE_BYTES, SAME_INDEX_PAGE_BYTES, DATA_BYTES = 24, 20, 8, 2
"""Header of a record; reference to its first page; to each further page of the same index; header of its own data."""
PLACE_BYTES, SPLIT_BYTES = 2, 10
IMAGE_BYTES: Final = 5


def insert_bytes(entry_bytes: int) -> int:
    """Bytes of the record of an insert into a leaf; the entry without its slot."""
    return RECORD_BYTES + PAGE_BYTES + DATA_BYTES + PLACE_BYTES + entry_bytes


def told_bytes(separator_bytes: int) -> int:
    """Bytes of the record by which the page above a cut page gets its separator."""
    return insert_bytes(separator_bytes) + SAME_INDEX_PAGE_BYTES


def split_bytes(
    *,
    right_bytes: float,
    high_key_bytes: int,
    left_bytes: float = 0.0,
    right_high_key_bytes: int = 0,
    inner: bool = False,
) -> float:
    """Bytes of the record of a cut, which takes the place of that of the insert.

    Parameters: bytes of the entries that go right; of the high key of the left page; of the new entry where it stays
    left, times the chance that it does; of the high key of the right page (0: it is the right-most, and has no
    sibling); whether it is an inner page that is cut.
    """
    pages = 1 + (right_high_key_bytes > 0) + inner
    left, right = left_bytes + high_key_bytes, right_bytes + right_high_key_bytes
    return RECORD_BYTES + PAGE_BYTES + pages * SAME_INDEX_PAGE_BYTES + DATA_BYTES + SPLIT_BYTES + left + right


def image_bytes(used_bytes: float, replaced_bytes: float = 0.0) -> float:
    """Bytes that the image of a page adds to a record: what is used of the page, instead of what the record would
    have said of it."""
    return IMAGE_BYTES + used_bytes - replaced_bytes


def touched(pages: float, changes: float) -> float:
    """Expected pages, of so many, that are touched at least once by changes that hit any page alike."""
    if pages <= 1:
        return min(pages, changes)
    return float(pages * (1 - (1 - 1 / pages) ** changes))
