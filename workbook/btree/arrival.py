"""How many pages a level has, from the order in which its entries arrived.

    ascending    ▇▇▇▇▇▇▇▇▇  ▇▇▇▇▇▇▇▇▇  ▇▇▇▇▇▇▇▇▇  ▇            the right-most page is cut at the fill factor
    descending   ▇▇▇▇▇▇     ▇▇▇▇▇      ▇▇▇▇▇      ▇▇▇▇▇▁▁▁▁▁   the left-most page is halved, its right half stays so
    random       ▇▇▇▇▇▇▇    ▇▇▇▇▇▇▇▇▇  ▇▇▇▇▇▇     ▇▇▇▇▇▇▇▇     any page is halved when it is full

**Ascending.** Only the right-most page ever gets entries. It has no high key and holds `alone` of them; one more cuts
it, and `cut_last` stay on the left for good. So of n entries all but those of the last page stand `cut_last` a page:
1 + (n - alone) / cut_last, rounded up. **Descending** and **built** at once count in the same way. These three are
exact.

**Random.** An entry goes to a page with a chance that is the page's share of all entries. While the tree grows from n
to twice n a page that has m doubles too, more or less: to grow from m to M entries takes ln n an expected

    1/m + 1/(m+1) + ... + 1/(M-1)      which is nearly ln(M/m), with the variance      1/m² + ... + 1/(M-1)².

So the pages of the k-th generation are cut when ln n is about ln n₁ + k ln 2, spread by the sum of k variances, and
each generation has twice as many pages. What has been cut by now is what the normal distribution Φ says:

    pages(n) = 1 + Σ 2^k Φ((ln n - mean of generation k) / its deviation)       over all generations k

The first generations are cut nearly at once: a small tree breathes between full pages and half full ones. With every
generation the deviation grows, the steps blur, and the fill goes to ln 2 = 69 %. It goes there slowly: with 406
entries a page the twelfth generation, a million rows, still is a wave of some per cent. Two things make it the real
tree's: the first page of all is the right-most one and is cut at the fill factor, as is every right-most page after
it; and the shares of all pages are one, which takes 1/n₁ - 1/n off each variance.

**Pages of few entries**, up to 24, are no waves: their sizes are counted one by one (`fringe`), down to pages of 128
bytes, which hold three.

    >>> leaf = Level(entry_bytes=20, page_bytes=8192, kept_percent=90)
    >>> leaf.alone, leaf.most, leaf.cut_last, leaf.cut_middle
    (407, 406, 366, 203)
    >>> ascending(leaf, 200_000), descending(leaf, 200_000), built(leaf, 200_000), round(randomly(leaf, 200_000))
    (547, 981, 547, 650)
    >>> [round(n * 20 / (randomly(leaf, n) * 8152), 2) for n in (900, 1_000, 50_000, 70_000, 10**12)]
    [0.58, 0.49, 0.77, 0.63, 0.69]

Sources: the cuts, PostgreSQL's src/backend/access/nbtree/nbtsplitloc.c; the 69 %, Yao, "On Random 2-3 Trees", Acta
Informatica 9, 1978; the waves, Glombiewski, Seeger and Graefe, "Waves of Misery After Index Creation", BTW 2019.
Left out: the spread between two random orders of the same rows, which the bench measures: a standard deviation of
one to seven per cent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from workbook.btree import fringe
from workbook.btree.keys import PAGE_HEADER_BYTES, SLOT_BYTES, SPECIAL_BYTES, TIE_BYTES
from workbook.btree.splitting import INNER_FILL_FACTOR, MINUS_INFINITY_BYTES

NEGLIGIBLE, GENERATIONS_MAX = 1e-7, 400


@dataclass(frozen=True)
class Level:
    """The pages of one level, whose entries are all of one size.

    Parameters: the bytes of an entry, its slot included (a page's high key takes as many, unless `high_bytes` says
    otherwise); the bytes of a page; the per cent that the left page keeps when the right-most one is cut; whether it
    is an inner level, whose pages begin with an entry that has no key.
    """

    entry_bytes: int
    page_bytes: int = 8192
    kept_percent: int = INNER_FILL_FACTOR
    inner: bool = False
    high_bytes: int = 0

    @property
    def room_bytes(self) -> int:
        """Bytes of a page that entries and a high key can have."""
        return self.page_bytes - PAGE_HEADER_BYTES - SPECIAL_BYTES

    @property
    def first_bytes(self) -> int:
        """Bytes of the first entry of a page."""
        return MINUS_INFINITY_BYTES if self.inner else self.entry_bytes

    @property
    def high_key_bytes(self) -> int:
        """Bytes of a page's high key, its slot included."""
        return self.high_bytes or self.entry_bytes

    @cached_property
    def alone(self) -> int:
        """Entries that the right-most page of the level holds."""
        return 1 + (self.room_bytes - self.first_bytes) // self.entry_bytes

    @cached_property
    def most(self) -> int:
        """Entries that any other page holds, beside its high key."""
        return 1 + (self.room_bytes - self.high_key_bytes - self.first_bytes) // self.entry_bytes

    @cached_property
    def cut_last(self) -> int:
        """Entries that stay on the left when the right-most page is cut."""
        return self._cut(self.alone + 1, 0, self.kept_percent / 100)

    @cached_property
    def cut_middle(self) -> int:
        """Entries that stay on the left when any other page is cut."""
        return self._cut(self.most + 1, self.high_key_bytes, None)

    @cached_property
    def stays_right(self) -> int:
        """Entries that go to the right when any page but the right-most is cut."""
        return self.most + 1 - self.cut_middle

    @property
    def shape(self) -> fringe.Shape:
        """What matters of it where pages hold few entries."""
        return fringe.Shape(self.most, self.cut_middle, self.alone, self.cut_last)

    @cached_property
    def a_page(self) -> int:
        """Entries of a page that CREATE INDEX has filled: it is closed when less than what is to be kept free is left,
        and its last entry moves on."""
        kept_free = self.page_bytes * (100 - self.kept_percent) // 100
        needed = self.entry_bytes - SLOT_BYTES + (0 if self.inner else TIE_BYTES)
        entries = 2
        while self._left(entries) >= max(needed, kept_free):
            entries += 1
        return entries - 1

    def _left(self, entries: int) -> int:
        """Bytes that are free while a page is filled by CREATE INDEX, two slots kept."""
        return self.room_bytes - 2 * SLOT_BYTES - self.first_bytes - (entries - 1) * self.entry_bytes

    def used_bytes(self, entries: float, *, last: bool = False) -> float:
        """Bytes used of a page with so many entries, header and special space included."""
        used = PAGE_HEADER_BYTES + SPECIAL_BYTES + self.first_bytes + max(0.0, entries - 1) * self.entry_bytes
        return used if last else used + self.high_key_bytes

    def _cut(self, entries: int, high_bytes: int, share: float | None) -> int:
        """Entries on the left of the best cut: as much free on both sides, or by the share, as `splitting` ranks
        them; of two that are equally good the one on the right."""
        total = self.first_bytes + self.entry_bytes * (entries - 1)
        best, least = 1, None
        for left in range(1, entries):
            stays = self.first_bytes + self.entry_bytes * (left - 1)
            left_free = self.room_bytes - stays - self.entry_bytes - (0 if self.inner else TIE_BYTES)
            right_free = self.room_bytes - high_bytes - (total - stays)
            right_free += self.entry_bytes - MINUS_INFINITY_BYTES if self.inner else 0
            if left_free < 0 or right_free < 0:
                continue
            apart = left_free - right_free if share is None else int(share * left_free - (1 - share) * right_free)
            if least is None or abs(apart) <= least:
                best, least = left, abs(apart)
        return best


def ascending(level: Level, entries: float) -> int:
    """Pages of a level whose entries arrived from the least to the largest."""
    return 1 if entries <= level.alone else 1 + _up(entries - level.alone, level.cut_last)


def ascending_before(level: Level, entries: float) -> int:
    """Pages of entries that arrived from the least to the largest, but stand before others that are larger (NULLs, for
    one): no page of them is the right-most, so each is halved, and its left half gets nothing more."""
    return 1 if entries <= level.most else 1 + _up(entries - level.most, level.cut_middle)


def descending(level: Level, entries: float) -> int:
    """Pages of a level whose entries arrived from the largest to the least: after the first cut, which is one of the
    right-most page, only the left-most page gets any."""
    if entries <= level.alone:
        return 1
    left = entries - (level.alone + 1 - level.cut_last)
    return 2 + max(0, _up(left - level.most, level.stays_right))


def built(level: Level, entries: float) -> int:
    """Pages of a level that CREATE INDEX has filled, one after the other."""
    return max(1, _up(entries - 1, level.a_page))


def randomly(level: Level, entries: float) -> float:
    """Expected pages of a level whose entries arrived in random order, from an empty page on."""
    first = level.alone + 1
    if level.most <= fringe.ENTRIES_MAX:
        return fringe.pages_at(level.shape, entries)
    if entries < first:
        return 1.0
    last_again = _log_time(first - level.cut_last, first)
    first_cut = _log_time(min(level.cut_last, level.most + 1), level.most + 1)
    shared = 1 / first - 1 / entries
    elapsed = math.log(entries / first)
    pages = 1.0
    for number in range(GENERATIONS_MAX):
        begun = _Time(number * last_again.mean, number * last_again.variance)
        cut = begun.passed(elapsed, shared)
        pages += cut + _generations(level, elapsed, begun + first_cut, shared)
        if cut < NEGLIGIBLE:
            break
    return pages


def randomly_into_full(level: Level, pages: float, entries_a_page: float, growth: float) -> float:
    """Expected pages of a level that had `pages`, each with as many entries, after entries in random order have made
    it `growth` times as large: at first none is cut, then all of them are.

    >>> leaf = Level(entry_bytes=20, kept_percent=90)
    >>> [round(randomly_into_full(leaf, 100, 366, growth)) for growth in (1.0, 1.05, 1.1, 1.15, 1.2, 1.6)]
    [100, 100, 125, 198, 200, 200]
    """
    if growth <= 1:
        return float(pages)
    if level.most <= fringe.ENTRIES_MAX:
        return pages * fringe.pages_after(level.shape, min(entries_a_page, level.most + 1), growth)
    first_cut = _log_time(min(entries_a_page, level.most + 1), level.most + 1)
    return pages * (1 + _generations(level, math.log(growth), first_cut, 0.0))


def levels_above(leaves: float, inner: Level, pages_of: Callable[[Level, float], float]) -> tuple[float, ...]:
    """Pages by level from the leaves up to the one page that is the root, each level's the entries of the next."""
    pages = [float(leaves)]
    while pages[-1] >= 1.5:
        pages.append(float(pages_of(inner, pages[-1])))
    return tuple(pages)


@dataclass(frozen=True)
class _Time:
    """When something happens, as the logarithm of how much the tree has grown: mean and variance."""

    mean: float
    variance: float

    def __add__(self, other: _Time) -> _Time:
        return _Time(self.mean + other.mean, self.variance + other.variance)

    def passed(self, elapsed: float, less: float = 0.0) -> float:
        """The chance that it has happened by now; `less` is taken off the variance."""
        variance = self.variance - less
        if variance <= 0:
            return float(elapsed >= self.mean)
        return 0.5 * math.erfc((self.mean - elapsed) / math.sqrt(2 * variance))


def _generations(level: Level, elapsed: float, first: _Time, shared: float) -> float:
    """Pages that one page has become beyond itself: cut at `first`, and then each half again and again."""
    again = _log_time((level.most + 1) / 2, level.most + 1)
    cut, time = 0.0, first
    for number in range(GENERATIONS_MAX):
        pages = 2.0**number * time.passed(elapsed, shared)
        cut += pages
        if pages < NEGLIGIBLE:
            break
        time = time + again
    return cut


def _log_time(begin: float, end: float) -> _Time:
    """How long a page takes to grow from `begin` entries to `end`: 1/i and 1/i² for i from `begin` to `end` - 1, by
    Euler's summation formula.

    >>> _log_time(203, 407).mean - sum(1 / i for i in range(203, 407)) < 1e-9
    True
    """
    mean = math.log(end / begin) + (1 / begin - 1 / end) / 2 + (1 / begin**2 - 1 / end**2) / 12
    return _Time(mean, 1 / begin - 1 / end + (1 / begin**2 - 1 / end**2) / 2)


def _up(amount: float, each: int) -> int:
    return -(-round(amount) // each)
