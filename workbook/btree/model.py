"""The price of a key: pages, height and write-ahead log of an index, worked out before it exists.

    rows, type of the key ──▶ bytes of an entry ──▶ entries a page ──┐
    order of arrival ─────────────────────────────▶ how pages fill ──┴▶ leaves ──▶ the levels above ──▶ the prices

    >>> print(model(1_000_000, "bigint", arrival="random"))
    1,000,000 rows by bigint in random order: 3 levels, 3,743 pages, 30.7 MB
    level 2 (root): 1 page
    level 1: 12 pages
    level 0 (leaves): 3,729 pages, 66 % full, 268 rows each
    a lookup reads 3 pages, a range of 1,000 rows 6.7; an insert touches 3 and writes 82 bytes of WAL
    the first 1,000 inserts after a checkpoint write 886 page images, 4.82 MB, as well

Each step is a rule of its own, and each is checked against the real engine (`bench/btree_model.py`):

* **An entry** (`widths`): 8 bytes that say where the row is and how long the entry is, the key, rounded up to a
  multiple of 8; and a slot of 4. A bigint takes 20 bytes, a UUID 28.
* **A page** of 8,192 bytes gives 40 to its header and its siblings, and one entry to the high key, unless it is the
  right-most one. 406 bigints fit, or 290 UUIDs.
* **How full the leaves are** is a matter of where they are cut (`arrival`). The right-most leaf is cut so that 90 %
  stay: keys in ascending order leave leaves that are 90 % full. Any other leaf is halved. In descending order the right
  halves get nothing more, and stay half full. In random order the halves fill again; in the long run leaves are ln 2 =
  69 % full, and on the way there they all fill, and are all cut, at about the same time. Pages of few entries differ
  (`fringe`): where three fit, they hold two and a third.
* **The levels above** hold an entry for each page below: a separator, of as few columns as tell two neighbours apart,
  and 4 bytes for the slot. They grow as the leaves do, at a fill factor of 70 %, until one page is enough: the root. So
  the height is the logarithm of the rows to the base of some hundreds.
* **A lookup** reads one page a level. **A range** of n rows crosses from leaf to leaf n - 1 times with the chance that
  two neighbouring rows are parted: (leaves - 1) / (rows - 1).
* **An insert** reads one page a level as well; a split adds the page above and the right sibling. In ascending order
  PostgreSQL remembers the right-most leaf, once the tree has three levels, and goes there straight.
* **The write-ahead log** (`journal`): a record for the entry; for a split, what goes to the right page; after a
  checkpoint, an image of each page at its first change, if `full_page_writes` is on, as it is unless switched off.
* **Keys that repeat** share posting lists (`duplicates`), in the mean of all keys: where as many keys as rows are
  distinct there are none, and it is the same index. NULLs are one such key, and stand at the end: then the
  right-most leaf is theirs, no leaf of the other keys is cut at 90 %, and even ascending keys leave half full leaves.

Sources: beside those of the modules named, PostgreSQL's src/backend/access/nbtree/README. Left out: INCLUDE columns;
splits of keys with two columns that grow in groups (nbtsplitloc.c, `_bt_afternewitemoff`); deletion; how one random
order differs from another; and the table, whose pages and records come on top.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, get_args

from workbook.btree import arrival as arrivals
from workbook.btree.arrival import Level
from workbook.btree.duplicates import Repeated
from workbook.btree.inserts import Inserts, grown_wal_bytes, next_inserts
from workbook.btree.keys import SLOT_BYTES, TIE_BYTES, Keys
from workbook.btree.splitting import SINGLE_VALUE_FILL_FACTOR
from workbook.btree.widths import NULL_ENTRY_BYTES, Width, columns_of, entry_bytes
from workbook.errors import Misuse

Arrival = Literal["ascending", "descending", "random", "built"]
ORDERS: Final[Mapping[str, Callable[[Level, float], float]]] = {
    "ascending": arrivals.ascending,
    "descending": arrivals.descending,
    "random": arrivals.randomly,
    "built": arrivals.built,
}
SAID: Final = {
    "ascending": "in ascending order",
    "descending": "in descending order",
    "random": "in random order",
    "built": "built at once",
}


def model(
    rows: int,
    key: str | tuple[str, ...] = "bigint",
    *,
    arrival: Arrival = "ascending",
    fill_factor: int = 90,
    page_bytes: int = 8192,
    distinct: int | None = None,
    drawn: bool = False,
    nulls: int = 0,
    separator_columns: int | None = None,
) -> Prediction:
    """What an index of so many rows is and costs, by arithmetic alone.

    Parameters: `rows` that are in it; the type of its `key` ("bigint", "uuid", "text(20)" for 20 bytes, or a tuple of
    types; `widths` lists them); the order of `arrival`, one row after the other, or 'built' at once by CREATE INDEX;
    `fill_factor` in per cent; `page_bytes`; the number of `distinct` keys (None: all differ), of which each has as
    many rows, or (`drawn`, in random order) those that luck gave it, some none; how many further rows, among the `rows`, have NULL as their key; how many columns the separators keep
    (None: all; one, where the first column tells most rows apart).

    Raises `Misuse` for what makes no sense, and for what is not modelled.
    """
    columns = columns_of(key)
    _check(rows, arrival, fill_factor, page_bytes, nulls, columns)
    _check_distinct(rows - nulls, arrival, distinct, drawn)
    if distinct == rows - nulls and not drawn:
        distinct = None
    kept = len(columns) if separator_columns is None else separator_columns
    if type(kept) is not int or not 1 <= kept <= len(columns):
        raise Misuse(
            f"Separators of {kept!r} columns: the key has {len(columns)}.",
            next=f"give a whole number, 1 to {len(columns)}",
        )
    size, most = entry_bytes(columns), Keys(page_bytes).entry_bytes_max
    if size > most:
        raise Misuse(
            f"The key takes {size:,} bytes on the page; a page of {page_bytes:,} takes up to {most:,}.",
            next="index a hash of it, or take larger pages",
        )
    names = tuple(column.name for column in columns)
    prediction = Prediction(
        rows, names, arrival, fill_factor, page_bytes, distinct, nulls, size, entry_bytes(columns[:kept]), drawn
    )
    if arrival == "ascending" and nulls and prediction._null_bytes < prediction.levels[0].room_bytes:
        least = math.ceil(prediction.levels[0].room_bytes / 6)
        raise Misuse(
            f"{nulls:,} NULLs take less than a leaf, which they share with the keys that arrive: that is not modelled.",
            next=f"take {least:,} or more, or none",
        )
    return prediction


def _check(
    rows: int,
    arrival: str,
    fill_factor: int,
    page_bytes: int,
    nulls: int,
    columns: tuple[Width, ...],
) -> None:
    """Raise `Misuse` for what makes no sense."""
    if type(rows) is not int or rows < 1:
        raise Misuse(f"An index of {rows!r} rows has no pages to speak of.", next="give a whole number from 1 on")
    if arrival not in get_args(Arrival):
        raise Misuse(f"{arrival!r} is no order of arrival.", next=f"write one of {', '.join(get_args(Arrival))}")
    if type(fill_factor) is not int or not 10 <= fill_factor <= 100:
        raise Misuse(f"A fill factor of {fill_factor} is none: it is in per cent, from 10 to 100.")
    if type(page_bytes) is not int or not 128 <= page_bytes <= 65_536 or page_bytes % 8:
        raise Misuse(f"Pages of {page_bytes!r} bytes: a multiple of 8 from 128 to 65,536 is modelled.")
    if type(nulls) is not int or not 0 <= nulls <= rows:
        raise Misuse(f"{nulls!r} NULLs among {rows:,} rows.", next="give a whole number, from 0 to the rows")
    if nulls and len(columns) > 1:
        raise Misuse("NULLs are modelled where the key has one column.")


def _check_distinct(values: int, arrival: str, distinct: int | None, drawn: bool) -> None:
    """Raise `Misuse` for keys that repeat in a way that makes no sense, or is not modelled."""
    if distinct is not None and (type(distinct) is not int or not 1 <= distinct <= values):
        raise Misuse(f"{distinct!r} distinct keys of {values:,} rows.", next="give a whole number from 1 on")
    if type(drawn) is not bool or (drawn and (distinct is None or arrival != "random")):
        raise Misuse(
            f"drawn={drawn!r}: rows can be drawn from so many distinct keys, in random order.",
            next='write arrival="random", distinct=1000, drawn=True, or leave it out',
        )
    if distinct is not None and distinct < values and arrival == "descending":
        raise Misuse("Keys that repeat are not modelled in descending order.", next="take another order of arrival")


@dataclass(frozen=True)
class Prediction:
    """An index as `model` predicts it. `pages_by_level` is what a `Snapshot` calls `counts`.

    Parameters: as of `model`; the bytes of an entry on a leaf and of a separator, their slots left out.
    """

    rows: int
    key: tuple[str, ...]
    arrival: Arrival
    fill_factor: int
    page_bytes: int
    distinct: int | None
    nulls: int
    entry_bytes: int
    separator_bytes: int
    drawn: bool = False

    # what it is

    @cached_property
    def expected_pages(self) -> tuple[float, ...]:
        """Expected pages by level, the leaves first; whole numbers, but for random arrival."""
        return self.pages_of(self.rows)

    @property
    def pages_by_level(self) -> dict[int, int]:
        """Pages by level, from the root down; 0 is the leaves."""
        return {level: self._whole(level) for level in range(self.height - 1, -1, -1)}

    @property
    def height(self) -> int:
        """Levels, the leaves included."""
        return len(self.expected_pages)

    @property
    def leaf_pages(self) -> int:
        return self._whole(0)

    @property
    def pages(self) -> int:
        """All pages, with the page 0 that says where the root is."""
        return 1 + sum(self.pages_by_level.values())

    @property
    def bytes(self) -> int:
        """Bytes of the index on disk: what pg_relation_size says."""
        return self.pages * self.page_bytes

    @property
    def density(self) -> float:
        """How full the leaves are, from 0 to 1, high keys included; keys that repeat count as merged."""
        leaves = self.expected_pages[0]
        high_keys = (leaves - 1) * (self.separator_bytes + SLOT_BYTES)
        return (self._merged_bytes(self.rows) + high_keys) / (leaves * self.levels[0].room_bytes)

    @property
    def rows_a_leaf(self) -> float:
        return self.rows / self.expected_pages[0]

    # what it costs to ask

    @property
    def lookup_pages(self) -> float:
        """Pages of the index that a search for one key reads; more than one a level where a key has many rows."""
        return self.range_pages(max(1, (self.rows - self.nulls) // self.distinct)) if self.distinct else self.height

    def range_pages(self, rows: int) -> float:
        """Expected pages of the index that a range of so many neighbouring rows reads. Raises `Misuse` beyond the
        rows there are."""
        if type(rows) is not int or not 0 <= rows <= self.rows:
            raise Misuse(f"A range of {rows!r} rows, in an index of {self.rows:,}.")
        if rows < 2:
            return float(self.height)
        return self.height + (rows - 1) * (self.expected_pages[0] - 1) / (self.rows - 1)

    # what it costs to write

    def inserts(self, rows: int = 1000, arrival: Arrival | None = None) -> Inserts:
        """What so many rows more will do: splits, pages touched, page images, WAL.

        Parameters: how many `rows` arrive; in which order, where it is not the one the index has grown by (an index
        that was built at once needs one). Raises `Misuse` for keys that repeat or are NULL: what later rows do to
        them is not modelled.
        """
        return next_inserts(self, rows, self._order(arrival))

    def images(self, rows: int, arrival: Arrival | None = None) -> float:
        """Expected page images of the next inserts after a checkpoint, where `full_page_writes` is on: as
        `inserts(rows).images`."""
        return self.inserts(rows, arrival).images

    @property
    def grown_wal_bytes(self) -> float:
        """Bytes of WAL that all of its rows have cost, from the empty index on, without images. Raises `Misuse` as
        `inserts` does."""
        return grown_wal_bytes(self, self._order(None))

    # how

    @cached_property
    def levels(self) -> tuple[Level, Level]:
        """What a leaf holds, and what a page of the levels above. Where a value takes several leaves, the separators
        between them carry a row as well."""
        separator = self.separator_bytes + SLOT_BYTES
        leaf = Level(self.entry_bytes + SLOT_BYTES, self.page_bytes, self.fill_factor, high_bytes=separator)
        if self.distinct:
            separator += round(TIE_BYTES * (1 - 1 / self._repeated.spanned(self.rows - self.nulls, self.distinct)))
        return leaf, Level(separator, self.page_bytes, inner=True)

    @property
    def _repeated(self) -> Repeated:
        return Repeated(self.entry_bytes, self.page_bytes, self.fill_factor)

    def _whole(self, level: int) -> int:
        return max(1, round(self.expected_pages[level]))

    def pages_of(self, rows: int) -> tuple[float, ...]:
        """Expected pages by level, the leaves first, of the same index with other rows."""
        values, pages_of = rows - self.nulls, ORDERS[self.arrival]
        nulls = self._null_bytes / self.levels[0].room_bytes
        if self.arrival == "built" or not nulls:
            leaves = self._value_leaves(values) if values else 0.0
            leaves += self._nulls.built(self.nulls, 1) if nulls else 0.0
        elif nulls < 1:
            leaves = pages_of(self.levels[0], values + self._null_bytes / (self.entry_bytes + SLOT_BYTES))
        else:
            leaves = self._leaves_before_nulls(values) + math.ceil(nulls * 100 / SINGLE_VALUE_FILL_FACTOR)
        return arrivals.levels_above(leaves, self.levels[1], pages_of)

    def _value_leaves(self, values: int) -> float:
        """Leaves of the keys that are not NULL."""
        if self.distinct is None:
            return float(ORDERS[self.arrival](self.levels[0], values))
        if self.arrival == "random":
            return self._repeated.randomly(values, self.distinct, drawn=self.drawn)
        in_order = self._repeated.built if self.arrival == "built" else self._repeated.ascending
        return float(in_order(values, self.distinct))

    def _leaves_before_nulls(self, values: int) -> float:
        """Leaves of keys to the right of which NULLs have leaves of their own: no leaf of them is the right-most."""
        leaf = self.levels[0]
        if not values:
            return 0.0
        if self.distinct is not None or self.arrival == "descending":
            return self._value_leaves(values)
        if self.arrival == "random":
            return arrivals.randomly_into_full(leaf, 1, leaf.most + 1, values / (leaf.most + 1))
        return float(arrivals.ascending_before(leaf, values))

    @property
    def _nulls(self) -> Repeated:
        return Repeated(NULL_ENTRY_BYTES, self.page_bytes, self.fill_factor)

    @property
    def _null_bytes(self) -> int:
        """Bytes of the entries of NULLs, which all are one value and stand at the end."""
        return self._nulls.merged_bytes(self.nulls) if self.nulls else 0

    def _merged_bytes(self, rows: int) -> float:
        """Bytes of all entries on leaves, slots included."""
        values = rows - self.nulls
        if self.distinct is None:
            return values * (self.entry_bytes + SLOT_BYTES) + self._null_bytes
        return self.distinct * self._repeated.mean_bytes(values, self.distinct, drawn=self.drawn) + self._null_bytes

    def _order(self, arrival: Arrival | None) -> str:
        """The order in which later rows arrive. Raises `Misuse` where that is not known."""
        order = arrival or self.arrival
        if order not in get_args(Arrival):
            raise Misuse(f"{order!r} is no order of arrival.", next="write ascending, descending or random")
        if order == "built":
            raise Misuse(
                "This index was built at once, and more rows come one after the other.",
                next='say in which order: arrival="random", for one',
            )
        if self.distinct is not None or self.nulls:
            raise Misuse("What later rows do to an index is modelled for keys that differ, and are not NULL.")
        return order

    # as text and as data

    def data(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return {
            "rows": self.rows,
            "key": list(self.key),
            "arrival": self.arrival,
            "fill_factor": self.fill_factor,
            "page_bytes": self.page_bytes,
            "distinct": self.distinct,
            "drawn": self.drawn,
            "nulls": self.nulls,
            "height": self.height,
            "pages_by_level": {str(level): pages for level, pages in self.pages_by_level.items()},
            "bytes": self.bytes,
            "density": self.density,
            "lookup_pages": self.lookup_pages,
        }

    def __str__(self) -> str:
        of = f" of {self.distinct:,} values" + ", drawn by luck," * self.drawn if self.distinct else ""
        nulls = f", {self.nulls:,} of them NULL," if self.nulls else ""
        size = f"{_count(self.height, 'level')}, {_count(self.pages, 'page')}, {self.bytes / 1e6:.1f} MB"
        lines = [f"{_count(self.rows, 'row')} by {', '.join(self.key)}{of}{nulls} {SAID[self.arrival]}: {size}"]
        for level, pages in self.pages_by_level.items():
            name = f"level {level}" + (" (leaves)" if level == 0 else " (root)" if level == self.height - 1 else "")
            full = f", {self.density:.0%}".replace("%", " %") + f" full, {self.rows_a_leaf:,.0f} rows each"
            lines.append(f"{name}: {_count(pages, 'page')}" + (full if level == 0 else ""))
        many = min(1000, self.rows)
        lookup, some = _number(self.lookup_pages), _number(self.range_pages(many))
        asks = f"a lookup reads {lookup} pages, a range of {many:,} rows {some}"
        if self.distinct is not None or self.nulls or self.arrival == "built":
            return "\n".join([*lines, asks])
        later = self.inserts(1000)
        asks += (
            f"; an insert touches {_number(later.pages / 1000)} and writes {later.wal_bytes / 1000:.0f} bytes of WAL"
        )
        images = f"{_count(round(later.images), 'page image')}, {later.image_bytes / 1e6:.2f} MB"
        return "\n".join([*lines, asks, f"the first 1,000 inserts after a checkpoint write {images}, as well"])

    __repr__ = __str__


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}{'s' * (number != 1)}"


def _number(value: float) -> str:
    """A number of pages with one decimal, if that says anything."""
    return f"{value:,.1f}".removesuffix(".0")
