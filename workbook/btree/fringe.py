"""Pages of few entries in random order: how many there are of each size, counted on as rows arrive.

    pages of the level by their entries, four at most           1    2    3    4
    a row comes to one with 3, three times as likely                  ·    3 ──▶ 4
    to one with 4: it is cut                                         2 ◀──────── 4 ──▶ 3

A row falls into a page with the chance of the page's share of all entries. So of n entries and X pages with i each, one
row more makes, in the mean, i X / n of these pages to pages with i + 1; of the full ones two others each. That is a sum
for each i, once a row: with few entries a page it is counted on, from the first page to as many rows as wanted. In the
long run the shares of the sizes stand still. Pages of m entries at most, cut into halves of h = (m + 1) / 2, then hold

    (m + 1) (1/(h + 1) + ... + 1/(m + 1))     entries in the mean: 7/12 of m + 1 where m is 3, ln 2 of it where m is large

    >>> tiny = Shape(most=3, cut_middle=2, alone=4, cut_last=3)
    >>> [round(pages_at(tiny, rows)) for rows in (4, 5, 20, 1_000, 20_000)]
    [1, 2, 8, 428, 8571]
    >>> round(20_000 / pages_at(tiny, 20_000), 3)
    2.333
    >>> [round(pages_after(Shape(7, 4, 8, 6), 6, growth), 2) for growth in (1, 1.2, 2, 8)]
    [1.0, 1.33, 2.37, 9.46]

A tree of 128-byte pages has 8,567 leaves after 20,000 rows, the mean of six orders; what holds for large pages
(`arrival`, waves of generations) would say 15,215. Against the teaching tree, 1,000 to 100,000 rows in pages of 128
to 512 bytes, the leaves are within 1.5 % of the mean of six orders.

Sources: Yao, "On Random 2-3 Trees", Acta Informatica 9, 1978 ("fringe analysis"); Eisenbarth et al., "The Theory of
Fringe Analysis and Its Application to 2-3 Trees and B-Trees", Information and Control 55, 1982. Left out: that pages
below one page which were just cut wait longer for their next cut than others, so that the levels above the leaves have
1 to 3 % fewer pages than is said here; and near the rows at which the root is cut some orders are a level lower.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

ENTRIES_MAX = 24
"""Up to so many entries a page they are counted here; beyond it the generations of `arrival` are as good."""
EXACT_ROWS, STEPS_A_ROW, GROWTH_MAX = 2048, 8, 20_000
Course = tuple[list[float], list[float]]
"""Entries, and the pages that there are then."""


class Shape(NamedTuple):
    """What of an `arrival.Level` matters here: entries of a page and of the right-most one, and how many stay on the
    left when either is cut."""

    most: int
    cut_middle: int
    alone: int
    cut_last: int


def pages_at(shape: Shape, entries: float) -> float:
    """Expected pages of so many entries, themselves a mean on an inner level, which came to one page in random order."""
    return 1.0 if entries <= shape.alone else _read(_from_one(shape), entries)


def pages_after(shape: Shape, entries: float, growth: float) -> float:
    """Expected pages that one page in the middle, of so many entries, has become when all have `growth` times as
    many; `most` + 1 entries are a page that is just cut."""
    low = min(int(entries), shape.most)
    high, more = min(low + 1, shape.most + 1), entries - low
    parts = [(low, 1 - more), (high, more)]
    return sum(share * _read(_from_middle(shape, begin), begin * growth) for begin, share in parts if share > 0)


def _read(course: Course, entries: float) -> float:
    """The pages of a course, between two of its points on a line, beyond the last one in proportion."""
    all_entries, pages = course
    after = bisect_right(all_entries, entries)
    if after == len(all_entries):
        return pages[-1] * entries / all_entries[-1]
    along = (entries - all_entries[after - 1]) / (all_entries[after] - all_entries[after - 1])
    return pages[after - 1] + along * (pages[after] - pages[after - 1])


@lru_cache(maxsize=64)
def _from_one(shape: Shape) -> Course:
    """From the first page, full: a row at a time, and then by small steps."""
    middle, last = [0.0] * (shape.most + 1), [0.0] * (shape.alone + 1)
    last[shape.alone] = 1.0
    return _course(shape, middle, last, shape.alone, exact=True)


@lru_cache(maxsize=64)
def _from_middle(shape: Shape, begin: int) -> Course:
    """From pages in the middle of a large level."""
    middle, last = [0.0] * (shape.most + 1), [0.0] * (shape.alone + 1)
    if begin > shape.most:
        middle[shape.cut_middle] += 1
        middle[shape.most + 1 - shape.cut_middle] += 1
    else:
        middle[begin] = 1.0
    return _course(shape, middle, last, begin, exact=False)


def _course(shape: Shape, middle: list[float], last: list[float], begin: int, *, exact: bool) -> Course:
    """Pages by their entries, counted on: `middle` and `last` at each place those with so many."""
    entries = float(begin)
    course: Course = ([entries], [sum(middle) + sum(last)])
    small = 1 / (STEPS_A_ROW * shape.alone)
    while entries < begin * GROWTH_MAX:
        changes = _changes(shape, middle, last)
        if exact and entries < EXACT_ROWS:
            step, grown = 1 / entries, entries + 1
        else:
            step, grown = small, entries * (1 + small + small**2 / 2)
            changes = _changes(shape, *(_added(pair, small / 2) for pair in zip((middle, last), changes, strict=True)))
        middle, last = (_added(pair, step) for pair in zip((middle, last), changes, strict=True))
        entries = grown
        course[0].append(entries)
        course[1].append(sum(middle) + sum(last))
    return course


def _added(pair: tuple[list[float], list[float]], step: float) -> list[float]:
    return [value + step * change for value, change in zip(*pair, strict=True)]


def _changes(shape: Shape, middle: list[float], last: list[float]) -> tuple[list[float], list[float]]:
    """How the numbers of pages change while all entries grow by a share of themselves, as multiples of that share."""
    of_middle, of_last = [0.0] * len(middle), [0.0] * len(last)
    for pages, change in ((middle, of_middle), (last, of_last)):
        for entries in range(1, len(pages)):
            moved = entries * pages[entries]
            change[entries] -= moved
            if entries + 1 < len(pages):
                change[entries + 1] += moved
    cut, cut_last = shape.most * middle[shape.most], shape.alone * last[shape.alone]
    of_middle[shape.cut_middle] += cut
    of_middle[shape.most + 1 - shape.cut_middle] += cut
    of_middle[min(shape.cut_last, shape.most)] += cut_last
    of_last[shape.alone + 1 - shape.cut_last] += cut_last
    return of_middle, of_last
