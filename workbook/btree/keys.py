"""Keys: what may be one, how two compare, how many bytes one takes, and how little of it a separator needs.

    a key            as the tree orders it         bytes on a leaf page (slot included)
    17               (17, row)                     8 header + 8                  = 16, + 4 = 20
    "ann"            ("ann", row)                  8 header + 1 + 3, aligned     = 16, + 4 = 20
    None             (NULL, row)                   8 header + 8 bitmap           = 16, + 4 = 20
    (3, "ann")       (3, "ann", row)               8 header + 8 + 1 + 3, aligned = 24, + 4 = 28

Equal keys are told apart by the row they point to, so no two entries are equal. NULL sorts last. Between the last
entry of a left page and the first of a right page stands a separator: only as many columns of the right one as tell
the two apart (suffix truncation); what is missing counts as -∞, and so a shorter tuple sorts before a longer one.

    >>> keys = Keys(8192)
    >>> left, right = keys.ordered((3, "ann")), keys.ordered((4, "bob"))
    >>> keys.separator((*left, 7), (*right, 8))
    (4,)
    >>> keys.separator((*left, 7), (*left, 8)), keys.leaf_bytes(left), keys.inner_bytes((4,))
    ((3, 'ann', 7), 28, 20)

Whole numbers take 8 bytes (bigint), text and bytes a header of 1 byte up to 126 bytes and of 4 beyond, a UUID 16.
Sources: PostgreSQL's src/include/access/itup.h, src/include/varatt.h, and `_bt_truncate` in nbtutils.c; Bayer and
Unterauer, "Prefix B-Trees", 1977, for the truncation within a text. Left out: collations (text sorts by code point,
as the locale C does), descending columns, compression of long texts.
"""

from __future__ import annotations

from typing import Any, Final, Literal
from uuid import UUID

from workbook.btree.page import MINUS_INFINITY, NULL
from workbook.errors import Misuse

Truncation = Literal["columns", "characters", "none"]
Order = tuple[Any, ...]
"""Columns, then the row: what entries are ordered by. A separator is a prefix of one."""

PAGE_HEADER_BYTES, SPECIAL_BYTES, SLOT_BYTES, ENTRY_HEADER_BYTES, ALIGNED_BYTES = 24, 16, 4, 8, 8
NULL_BITMAP_BYTES, POINTER_BYTES, TIE_BYTES = 8, 6, 8
INT_MIN, INT_MAX = -(2**63), 2**63 - 1
SHORT_TEXT_BYTES_MAX = 126
_KINDS: Final = {int: "whole numbers", str: "text", bytes: "bytes", UUID: "UUIDs"}
_ALLOWED: Final = "keys are whole numbers, text, bytes, UUIDs, None (NULL), or tuples of these"


def aligned(count: int) -> int:
    """Bytes, rounded up to a multiple of 8."""
    return (count + ALIGNED_BYTES - 1) & -ALIGNED_BYTES


class Keys:
    """What a tree knows of its keys: their columns and types, which the first key fixes.

    Parameters: the size of a page in bytes; how separators are truncated: by whole `columns` (PostgreSQL), within a
    text or bytes too (`characters`), or not at all (`none`).
    """

    def __init__(self, page_bytes: int, truncation: Truncation = "columns") -> None:
        third = (page_bytes - aligned(PAGE_HEADER_BYTES + 3 * SLOT_BYTES) - SPECIAL_BYTES) // 3
        self.page_bytes, self.truncation = page_bytes, truncation
        self.entry_bytes_max = (third & -ALIGNED_BYTES) - TIE_BYTES
        self.posting_bytes_max = self.entry_bytes_max // 2 if page_bytes >= 1024 else self.entry_bytes_max
        self.kinds: list[type | None] | None = None
        self.columns = 1
        self.plain: Any = None
        self.settled = False

    def ordered(self, key: Any) -> Order:
        """A key as the tuple of its columns that the tree compares. Raises `Misuse` where it is none, or of another
        type."""
        if type(key) is self.plain and (self.plain is not int or INT_MIN <= key <= INT_MAX):
            return (key,)
        parts = key if type(key) is tuple else (key,)
        if type(key) is tuple and len(key) < 2:
            raise Misuse(f"{key!r} is no key: a tuple stands for two columns or more.", next=_ALLOWED)
        if self.kinds is not None and len(parts) != self.columns:
            here = f"{len(parts)} column{'s' * (len(parts) != 1)}"
            raise Misuse(f"{key!r} has {here}; the keys of this tree have {self.columns}.")
        return tuple(self._part(part, place, key) for place, part in enumerate(parts))

    def prefix(self, key: Any) -> Order:
        """As `ordered`, for a bound of a range: the first columns are enough."""
        parts = key if type(key) is tuple else (key,)
        if self.columns == 1 or not 0 < len(parts) < self.columns:
            return self.ordered(key)
        return tuple(self._part(part, place, key) for place, part in enumerate(parts))

    def _part(self, part: Any, place: int, key: Any) -> Any:
        if part is None:
            return NULL
        kind = type(part)
        known = self.kinds[place] if self.kinds is not None else None
        if kind not in _KINDS:
            raise Misuse(f"{part!r} is a {kind.__name__}, and no key.", tried=repr(key), next=_ALLOWED)
        if known is not None and known is not kind:
            where = f"column {place + 1} of this tree holds" if self.columns > 1 else "the keys of this tree are"
            raise Misuse(
                f"{part!r} is a {kind.__name__}; {where} {_KINDS[known]}.",
                tried=repr(key),
                next="use one type of key in a tree: an engine cannot compare two",
            )
        if kind is int and not INT_MIN <= part <= INT_MAX:
            raise Misuse(f"{part} is beyond 64 bits: a whole number takes 8 bytes here.")
        return part

    def learn(self, key: Any) -> None:
        """Keep the columns and types of a key that was stored; those of a NULL stay open."""
        parts = key if type(key) is tuple else (key,)
        kinds = self.kinds or [None] * len(parts)
        self.kinds = [kind or (None if part is None else type(part)) for kind, part in zip(kinds, parts, strict=True)]
        self.columns = len(self.kinds)
        self.settled = None not in self.kinds
        if self.columns == 1:
            self.plain = self.kinds[0]

    def key(self, order: Order) -> Any:
        """The key that columns stand for: plain data, the row left out; `MINUS_INFINITY` for none at all."""
        parts = order[: self.columns]
        if not parts:
            return MINUS_INFINITY
        plain = tuple(None if part is NULL else part for part in parts)
        return plain[0] if self.columns == 1 else plain

    def leaf_bytes(self, columns: Order) -> int:
        """Bytes of an entry on a leaf, its slot included. Raises `Misuse` beyond a third of a page."""
        try:
            size = ENTRY_HEADER_BYTES + 8 if self.plain is int and columns[0] is not NULL else self.tuple_bytes(columns)
        except UnicodeEncodeError:
            raise Misuse(f"{columns!r} holds half of a surrogate pair: no text that UTF-8 can hold.") from None
        if size > self.entry_bytes_max:
            raise Misuse(
                f"The key takes {size:,} bytes on the page; a page of {self.page_bytes:,} takes up to "
                f"{self.entry_bytes_max:,}, so that three fit.",
                tried=f"a key of {sum(len(part) for part in columns if isinstance(part, (str, bytes))):,} characters",
                next="store a shorter key, or its hash, or take larger pages",
            )
        return size + SLOT_BYTES

    def inner_bytes(self, separator: Order) -> int:
        """Bytes of a separator on an inner page, or of a high key: its slot included."""
        size = self.tuple_bytes(separator[: self.columns])
        return size + SLOT_BYTES + (TIE_BYTES if len(separator) > self.columns else 0)

    def posting_bytes(self, columns: Order, rows: int) -> int:
        """Bytes of an entry that points to so many rows, its slot included."""
        size = self.tuple_bytes(columns)
        return (size if rows == 1 else aligned(size + POINTER_BYTES * rows)) + SLOT_BYTES

    def tuple_bytes(self, columns: Order) -> int:
        """Bytes of an entry with these columns, aligned, its slot left out."""
        at = ENTRY_HEADER_BYTES + (NULL_BITMAP_BYTES if NULL in columns else 0)
        for part in columns:
            if part is NULL:
                continue
            if type(part) is int:
                at = aligned(at) + 8
                continue
            if type(part) is UUID:
                at += 16
                continue
            size = len(part) if type(part) is bytes else len(part.encode())
            at = at + 1 + size if size <= SHORT_TEXT_BYTES_MAX else ((at + 3) & -4) + 4 + size
        return aligned(at)

    def distinguishing(self, left: Order, right: Order) -> int:
        """How many leading columns tell two entries apart; one more than there are where only the rows differ."""
        for place in range(self.columns):
            if left[place] != right[place]:
                return place + 1
        return self.columns + 1

    def separator(self, left: Order, right: Order) -> Order:
        """What stands between two neighbours: not below `left`, below `right`, and as short as the truncation allows.

        Parameters: the last entry of the left page (with its last row) and the first of the right page (with its first
        row). Where all columns are equal it is the left one with its row, as PostgreSQL does it.
        """
        if self.truncation == "none":
            return left if left[: self.columns] == right[: self.columns] else right[: self.columns]
        kept = self.distinguishing(left, right)
        if kept > self.columns:
            return left
        last = right[kept - 1]
        if self.truncation == "characters" and type(last) in (str, bytes):
            last = self._shortest(left[kept - 1], last)
        return (*right[: kept - 1], last)

    def _shortest(self, left: Any, right: Any) -> Any:
        """The shortest beginning of `right` that is above `left`."""
        return next(right[:size] for size in range(1, len(right) + 1) if right[:size] > left)
