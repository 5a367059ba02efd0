"""What more rows do to an index: cuts, pages touched, page images, write-ahead log.

    k rows ──▶ leaves that are cut ──▶ entries on the level above ──▶ pages of it that are cut ──▶ ... ──▶ the root
       │              │ new page: what goes to the right               │
       └── a record   └── a record with half a page, or a tenth        └── a record

How many leaves are cut is the growth of their number, where rows come on in the order in which they came. Where they
come in another one, it depends on what they find. After CREATE INDEX, or after ascending rows, all leaves are 90 %
full: the first random rows find room everywhere and cut nothing, until at about 111 % of the rows nearly all leaves
are cut at once.

    >>> from workbook.btree.model import model
    >>> fresh = model(1_000_000, "uuid", arrival="built")
    >>> [round(fresh.inserts(k, "random").splits) for k in (10_000, 50_000, 100_000, 150_000, 200_000)]
    [0, 5, 942, 3598, 3832]
    >>> fresh.inserts(1000, "random")
    Inserts(rows=1000, splits=0.0, pages=3000.0, images=880.3, wal_bytes=72000.4, image_bytes=6499795.1)
    >>> fresh.inserts(1000, "ascending")
    Inserts(rows=1000, splits=4.0, pages=1024.0, images=2.0, wal_bytes=75360.0, image_bytes=8118.0)

Pages touched are those of a session that inserts them all. A random insert goes down one page a level, a cut adds the
page above and the right sibling. In ascending order PostgreSQL remembers the right-most leaf once the tree has three
levels, goes there straight, and loses it with each cut: the row that cuts finds its way from the root, and so does the
next one. Images are what a checkpoint costs afterwards: a page's first change writes all that is on it. A new page needs
none, since its record has all of it anyway.

Sources: PostgreSQL 18's src/backend/access/nbtree/nbtinsert.c, and `journal` for the records. Left out: what depends on
where in the tree a split happens to be, such as the rare cut of the root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workbook.btree import arrival, journal
from workbook.btree.arrival import Level
from workbook.btree.keys import ALIGNED_BYTES
from workbook.errors import Misuse

if TYPE_CHECKING:
    from workbook.btree.model import Prediction

REMEMBERED_HEIGHT_MIN: Final = 3
"""From so many levels on PostgreSQL remembers the right-most leaf (BTREE_FASTPATH_MIN_LEVEL)."""
ORDERS: Final = {"ascending": arrival.ascending, "descending": arrival.descending, "random": arrival.randomly}


@dataclass(frozen=True)
class Inserts:
    """What some rows do to an index: expected numbers, of all of the rows together.

    `splits`, leaves that are cut; `pages` of the index touched; page `images` that are written if a checkpoint has just
    been and `full_page_writes` is on; `wal_bytes` without images; `image_bytes` that these add.
    """

    rows: int
    splits: float
    pages: float
    images: float
    wal_bytes: float
    image_bytes: float

    @property
    def wal_bytes_after_checkpoint(self) -> float:
        """Bytes of WAL with the images."""
        return self.wal_bytes + self.image_bytes

    def __repr__(self) -> str:
        parts = (f"{name}={round(getattr(self, name), 1)}" for name in self.__dataclass_fields__)
        return f"Inserts({', '.join(parts)})"


def next_inserts(index: Prediction, rows: int, order: str) -> Inserts:
    """What the next rows do, in an order. Raises `Misuse` for no rows."""
    if type(rows) is not int or rows < 1:
        raise Misuse(f"{rows!r} inserts cost nothing.", next="give a whole number from 1 on")
    added = _grown(index, rows) if order == index.arrival else _turned(index, rows, order)
    images = _images(index, added, order)
    return Inserts(
        rows,
        added[1],
        _touched(index.height, rows, added[1], order),
        sum(pages for pages, _, _ in images),
        _wal_bytes(index, added, order),
        sum(pages * journal.image_bytes(used, replaced) for pages, used, replaced in images),
    )


def grown_wal_bytes(index: Prediction, order: str) -> float:
    """Bytes of WAL that the rows of an index have cost, from the empty one on, without images."""
    return _wal_bytes(index, (float(index.rows), *(pages - 1 for pages in index.expected_pages)), order)


def _touched(height: int, rows: int, splits: float, order: str) -> float:
    """Pages touched by rows that a session inserts."""
    if order != "ascending":
        return rows * height + 2 * splits
    if height < REMEMBERED_HEIGHT_MIN:
        return rows * height + splits
    return rows + 2 * height * splits


def _grown(index: Prediction, rows: int) -> tuple[float, ...]:
    """Entries that are added to each level, the leaves first, where rows come on as they came."""
    after = index.pages_of(index.rows + rows)
    before = (*index.expected_pages, *[1.0] * (len(after) - index.height))
    added = [float(rows)]
    for late, early in zip(after, before, strict=True):
        added.append(min(max(late - early, 0.0), added[-1]))  # each cut is an entry's; the difference is rounded
    return tuple(added)


def _turned(index: Prediction, rows: int, order: str) -> tuple[float, ...]:
    """Entries that are added to each level, the leaves first, where rows come in another order than before."""
    added, entries = [float(rows)], float(index.rows)
    for number, pages in enumerate(index.expected_pages):
        added.append(_cuts(index, number, pages, entries, added[-1], order))
        entries = pages
    return tuple(added)


def _level(index: Prediction, number: int) -> Level:
    return index.levels[min(number, 1)]


def _cuts(index: Prediction, number: int, pages: float, entries: float, added: float, order: str) -> float:
    """Pages of a level that are cut while entries are added."""
    level = _level(index, number)
    if pages == 1:
        return ORDERS[order](level, entries + added) - 1.0
    a_page = _entries_a_page(index, number, entries / pages)
    if order == "random":
        cuts = arrival.randomly_into_full(level, pages, a_page, 1 + added / entries) - pages
        return min(max(cuts, 0.0), added)
    if order == "ascending":
        over, each = _last_entries(index, number, pages, entries) + added - level.alone, level.cut_last
    else:
        over, each = a_page + added - level.most, level.stays_right
    return max(0.0, -(-over // each))


def _entries_a_page(index: Prediction, number: int, mean: float) -> float:
    """Entries of a page that is not at the right edge."""
    level = _level(index, number)
    packed = {"ascending": level.cut_last, "descending": level.stays_right, "built": level.a_page}
    return float(packed.get(index.arrival, mean))


def _last_entries(index: Prediction, number: int, pages: float, entries: float) -> float:
    """Entries of the right-most page of a level."""
    level = _level(index, number)
    if pages == 1:
        return entries
    if index.arrival == "descending":
        return float(level.alone + 1 - level.cut_last)
    if index.arrival == "random":
        return entries / pages
    return entries - (pages - 1) * _entries_a_page(index, number, entries / pages)


def _wal_bytes(index: Prediction, added: tuple[float, ...], order: str) -> float:
    """Bytes of WAL without images, of the entries that are added to each level."""
    written = (added[0] - added[1]) * journal.insert_bytes(index.entry_bytes)
    for number, cuts in enumerate(added[1:]):
        above = added[number + 2] if number + 2 < len(added) else 0.0
        written += cuts * _split_bytes(index, number, order)
        written += (cuts - above) * journal.told_bytes(index.separator_bytes)
    return written


def _split_bytes(index: Prediction, number: int, order: str) -> float:
    """Bytes of WAL for the cut of a page of a level."""
    level, entry = _level(index, number), index.separator_bytes if number else index.entry_bytes
    last = order == "ascending"
    goes_right = level.alone + 1 - level.cut_last if last else level.stays_right
    stays_left = {"ascending": 0.0, "descending": 1.0}.get(order, level.cut_middle / (level.most + 1))
    return journal.split_bytes(
        right_bytes=goes_right * entry - (entry - ALIGNED_BYTES if number else 0),
        high_key_bytes=index.separator_bytes,
        left_bytes=stays_left * entry,
        right_high_key_bytes=0 if last else index.separator_bytes,
        inner=number > 0,
    )


def _images(index: Prediction, added: tuple[float, ...], order: str) -> list[tuple[float, float, float]]:
    """Pages that are written whole, bytes used of each, and bytes that its record leaves out for that."""
    images: list[tuple[float, float, float]] = []
    entries = float(index.rows)
    for number, pages in enumerate(index.expected_pages):
        level, entry = _level(index, number), index.separator_bytes if number else index.entry_bytes
        cuts = added[number + 1] if number + 1 < len(added) else 0.0
        if order == "random" and pages > 1:
            images.append((journal.touched(pages, added[number] + cuts), level.used_bytes(entries / pages + 1), entry))
        elif order == "descending" and pages > 1:
            first = _entries_a_page(index, number, entries / pages) + 1
            images.append((min(1.0, added[number]), level.used_bytes(first), entry))
            images.append((min(1.0, cuts), level.used_bytes(level.stays_right), 0.0))
        else:
            last = _last_entries(index, number, pages, entries) + 1
            images.append((min(1.0, added[number]), level.used_bytes(last, last=True), entry))
        entries = pages
    return images
