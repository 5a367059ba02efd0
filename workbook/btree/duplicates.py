"""How many leaf pages keys take that repeat.

    the rows of one value          takes on a leaf                                        with a bigint key
    1 row                          an entry                                               20 bytes
    12 rows                        one posting list: the key once, 6 bytes a row          16 + 72 → 88, + 4 = 92
    5,000 rows                     as many lists as are needed, 222 rows and 1,356 bytes each

Lists are made when a leaf is full, by merging all of its duplicates. Only where that gives no room the leaf is cut: so
leaves are as full of *merged* entries as leaves of keys that differ are of plain ones. That makes one rule of the two:

* **at random**, the bytes that the rows take when merged, counted as plain entries, through `arrival.randomly`. Where
  each row's value was `drawn` by luck, the rows of a value are those of Poisson's distribution: some values have none
  at all, others many. 200,000 rows of 200,000 values are as many single rows, or 126,000 values with one to eight;
* **in order**, a leaf is cut between two values, at the one nearest to the fill factor: so many values a leaf;
* a value of more than **half a leaf** (of a whole one, in order) begins a leaf of its own, and its rows, which come in
  the order of the table, fill its leaves to 96 %.

    >>> keys = Repeated(tuple_bytes=16, page_bytes=8192, kept_percent=90)
    >>> [keys.merged_bytes(rows) for rows in (1, 2, 12, 222, 5000)]
    [20, 36, 92, 1356, 30548]
    >>> round(keys.randomly(200_000, 20_000)), keys.ascending(200_000, 20_000), keys.built(200_000, 20_000)
    (290, 229, 230)
    >>> [(round(keys.randomly(200_000, n)), round(keys.randomly(200_000, n, drawn=True))) for n in (200_000, 50_000)]
    [(650, 589), (375, 411)]
    >>> keys.randomly(1_000_000, 3), keys.ascending(1_000_000, 1)
    (783.0, 781)

Against the teaching tree, whose pages are PostgreSQL's byte for byte: within 2 % in order, and at random within 8 % up
to a third of a leaf a value and beyond a half; between these, where a leaf has room for two values or three, within 25 %.
Real indexes of 200,000 bigints in random order, of 20,000 to 200,000 values, have within 3 % of the leaves, as the mean
of three orders.

Sources: PostgreSQL's src/backend/access/nbtree/nbtdedup.c, nbtsplitloc.c ("many duplicates", "single value") and, for
CREATE INDEX, nbtsort.c. Left out: duplicates that arrive from the largest to the least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from workbook.btree import arrival
from workbook.btree.arrival import Level
from workbook.btree.keys import ALIGNED_BYTES, POINTER_BYTES, SLOT_BYTES, TIE_BYTES, Keys, aligned
from workbook.btree.loading import LIST_SHARE
from workbook.btree.splitting import SINGLE_VALUE_FILL_FACTOR

PAGES_LOOKED_AT, DEVIATIONS = 60, 7
FEW_VALUES = 20
"""So many values a leaf, or fewer, are whole values: with more of them, where exactly a leaf is cut evens out."""


@dataclass(frozen=True)
class Repeated:
    """Leaves of keys of one size, each of which stands for several rows.

    Parameters: the bytes of an entry with one row, its slot left out; the bytes of a page; the fill factor in per
    cent.
    """

    tuple_bytes: int
    page_bytes: int = 8192
    kept_percent: int = 90

    @property
    def _leaf(self) -> Level:
        return Level(self.tuple_bytes + SLOT_BYTES, self.page_bytes, self.kept_percent)

    @property
    def _room(self) -> float:
        """Bytes of leaves that are full of one value."""
        return self._leaf.room_bytes * SINGLE_VALUE_FILL_FACTOR / 100

    def merged_bytes(self, rows: int) -> int:
        """Bytes of the entries of one value once they are merged, slots included."""
        full = self._list_rows(Keys(self.page_bytes).posting_bytes_max)
        lists, rest = divmod(rows, full)
        return lists * self._list_bytes(full) + (self._list_bytes(rest) if rest else 0)

    def bytes_a_value(self, rows: float, distinct: int) -> float:
        """Mean bytes of a value's merged entries where each value has as many rows."""
        each, more = divmod(rows / distinct, 1)
        return (1 - more) * self.merged_bytes(int(each)) + more * self.merged_bytes(int(each) + 1)

    def spanned(self, rows: float, distinct: int) -> int:
        """Leaves that the rows of one value take where they take leaves of their own; 1 where they share one."""
        return max(1, math.ceil(self.bytes_a_value(rows, distinct) / self._room))

    def ascending(self, rows: float, distinct: int) -> int:
        """Leaves where the values arrived in order, the rows of each together."""
        value, room = self.bytes_a_value(rows, distinct), self._leaf.room_bytes
        if value > room or distinct == 1:
            return distinct * self.spanned(rows, distinct)
        fitting = (room - self._leaf.high_key_bytes) / value
        wanted = self.kept_percent / 100 * room / value
        if fitting < FEW_VALUES:
            wanted = max(1, min(round(wanted), int(fitting)))
        return math.ceil(distinct / wanted)

    def mean_bytes(self, rows: float, distinct: int, *, drawn: bool = False) -> float:
        """Mean bytes of a value's merged entries: each has as many rows, or as were `drawn` by luck."""
        return self._expected_bytes(rows / distinct) if drawn else self.bytes_a_value(rows, distinct)

    def randomly(self, rows: float, distinct: int, *, drawn: bool = False) -> float:
        """Expected leaves where the rows came in random order; each value has as many, or as were `drawn` by luck."""
        value = self.bytes_a_value(rows, distinct)
        if value > self._leaf.room_bytes / 2 or distinct == 1:
            return float(distinct * self.spanned(rows, distinct))
        merged = distinct * self.mean_bytes(rows, distinct, drawn=drawn)
        return arrival.randomly(self._leaf, merged / (self.tuple_bytes + SLOT_BYTES))

    def built(self, rows: int, distinct: int) -> int:
        """Leaves that CREATE INDEX fills: counted for the first sixty, then in proportion."""
        empty = self._leaf.room_bytes - 2 * SLOT_BYTES
        kept_free = self.page_bytes * (100 - self.kept_percent) // 100
        pages, entries, free, last, seen = 1, 0, empty, 0, 0
        for size, entry_rows in self._built_entries(rows, distinct):
            spare = max(0, last - self.tuple_bytes - SLOT_BYTES)
            if entries > 1 and (free < size - SLOT_BYTES + TIE_BYTES or free + spare < kept_free):
                pages, entries, free = pages + 1, 1, empty - last
                if pages > PAGES_LOOKED_AT:
                    return math.ceil(rows * (pages - 1) / seen)
            entries, free, last, seen = entries + 1, free - size, size, seen + entry_rows
        return pages

    def _built_entries(self, rows: int, distinct: int) -> Iterator[tuple[int, int]]:
        """Bytes and rows of the entries in order, as CREATE INDEX merges them: lists of a tenth of a page."""
        most = Keys(self.page_bytes).posting_bytes_max
        if self.page_bytes >= 1024:
            most = (self.page_bytes // LIST_SHARE & -ALIGNED_BYTES) - SLOT_BYTES
        full = self._list_rows(most)
        for value in range(distinct):
            left = (value + 1) * rows // distinct - value * rows // distinct
            while left:
                some = min(left, full)
                yield self._list_bytes(some), some
                left -= some

    def _list_rows(self, most: int) -> int:
        """Rows of the longest list that takes so many bytes, its slot left out."""
        return max(1, ((most & -ALIGNED_BYTES) - self.tuple_bytes) // POINTER_BYTES)

    def _list_bytes(self, rows: int) -> int:
        return SLOT_BYTES + (self.tuple_bytes if rows == 1 else aligned(self.tuple_bytes + POINTER_BYTES * rows))

    def _expected_bytes(self, mean: float) -> float:
        """Expected bytes of a value with so many rows in the mean, by Poisson's distribution."""
        spread = DEVIATIONS * math.sqrt(mean) + DEVIATIONS
        counts = range(max(1, int(mean - spread)), int(mean + spread) + 1)
        chances = (math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) for count in counts)
        return sum(chance * self.merged_bytes(count) for chance, count in zip(chances, counts, strict=True))
