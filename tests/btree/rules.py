"""What must hold of every tree, whatever was done to it: asserted from the outside, on its pages as values.

Nothing here is taken from the package's own accounting: sizes, order and reach are worked out anew.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any
from uuid import UUID

from workbook.btree.page import MINUS_INFINITY, NULL, Page, Snapshot
from workbook.btree.tree import Tree

HEADERS, SLOT, ENTRY = 24 + 16, 4, 8


def up_to_8(count: int) -> int:
    return -(-count // 8) * 8


def columns_of(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else () if key is MINUS_INFINITY else (key,)


def key_bytes(key: Any) -> int:
    """An entry without rows: header, bitmap of NULLs, columns, aligned."""
    parts = columns_of(key)
    at = ENTRY + (8 if any(part is None or part is NULL for part in parts) else 0)
    for part in parts:
        if isinstance(part, int):
            at = up_to_8(at) + 8
        elif isinstance(part, UUID):
            at += 16
        elif isinstance(part, (str, bytes)):
            size = len(part.encode() if isinstance(part, str) else part)
            at = at + 1 + size if size < 127 else -(-at // 4) * 4 + 4 + size
    return up_to_8(at)


def ordered(key: Any) -> tuple[Any, ...]:
    """A key so that Python sorts it as the tree does: NULL after everything else."""
    return tuple(
        (part is None or part is NULL, 0 if part is None or part is NULL else part) for part in columns_of(key)
    )


def bound(key: Any, tie: tuple[int, int] | None) -> tuple[Any, ...]:
    """A separator: what it lacks counts as less than anything."""
    return ordered(key) + (() if tie is None else ((False, tie[0]),))


def rows_on(page: Page) -> list[tuple[tuple[Any, ...], int]]:
    return [(ordered(entry.key), row) for entry in page.entries for row, _ in entry.pointers]


def free_bytes(page: Page) -> int:
    """Bytes that are free, from the keys and rows alone."""
    used = 0
    for entry in page.entries:
        size = key_bytes(entry.key) + (8 if entry.tie else 0)
        if len(entry.pointers) > 1:
            size = up_to_8(size + 6 * len(entry.pointers))
        assert entry.bytes == size + SLOT
        used += size + SLOT
    if page.high_key is not None:
        used += key_bytes(page.high_key) + (8 if page.high_tie else 0) + SLOT
    return page.bytes - HEADERS - used


def levels_from_the_root(tree: Snapshot) -> list[list[Page]]:
    """The pages level by level as the entries name them, the leaves last."""
    levels = [[tree.pages[tree.root]]]
    while levels[-1][0].level:
        assert len({page.level for page in levels[-1]}) == 1
        below = [tree.pages[child] for page in levels[-1] for child in page.children]
        assert {page.level for page in below} == {levels[-1][0].level - 1}
        levels.append(below)
    return levels


def holds(tree: Tree, expected: list[tuple[Any, int]], *, loaded: int = 1) -> None:
    """Assert every rule of the structure, and that the tree holds these pairs of key and row, in this order. `loaded`
    is the number of pages it began with."""
    now = tree.snapshot()
    levels = levels_from_the_root(now)
    assert len(levels) == now.height == tree.height
    for pages in levels:
        _level_holds(pages)
    for pages in levels[:-1]:
        for page in pages:
            _children_hold(page, now)
    _leaves_hold(levels[-1], expected)
    live = {page.number for pages in levels for page in pages}
    out = {page.number for page in now.pages.values() if page.state == "free"}
    assert live | out == set(now.pages) == set(range(1, len(now.pages) + 1)) and not live & out
    assert sum(len(pages) for pages in levels) == len(live)
    counted = tree.counters
    assert len(now.pages) == loaded + counted.splits + counted.new_roots - counted.recycled
    assert len(out) == counted.unlinked - counted.recycled
    assert len(tree) == len(expected) == now.rows


def _level_holds(pages: list[Page]) -> None:
    """Sizes, order within and across pages, high keys, links both ways."""
    for page in pages:
        assert page.state == "live"
        assert page.free == free_bytes(page) >= 0
    for left, right in pairwise(pages):
        assert left.right == right.number and right.left == left.number and left.high_key is not None
    assert pages[0].left is None and pages[-1].right is None and pages[-1].high_key is None
    for page in pages:
        if page.level:
            assert page.entries[0].key is MINUS_INFINITY and MINUS_INFINITY not in [
                entry.key for entry in page.entries[1:]
            ]
            assert not any(entry.pointers for entry in page.entries)
            separators = [bound(entry.key, entry.tie) for entry in page.entries[1:]]
            if page.high_key is not None:
                separators.append(bound(page.high_key, page.high_tie))
            assert all(before < after for before, after in pairwise(separators))
        else:
            assert all(entry.pointers and entry.child is None for entry in page.entries)
    flat = [bound(entry.key, entry.tie) for page in pages if page.level for entry in [*page.entries[1:]]]
    assert flat == sorted(flat)


def _children_hold(page: Page, tree: Snapshot) -> None:
    """Each child's keys lie above its entry and not above the next one, which is the child's high key."""
    ends = [
        *((NULL if entry.key is None else entry.key, entry.tie) for entry in page.entries),
        (page.high_key, page.high_tie),
    ]
    for slot, entry in enumerate(page.entries):
        assert entry.child is not None
        child = tree.pages[entry.child]
        low, (high, tie) = bound(*ends[slot]), ends[slot + 1]
        assert (child.high_key, child.high_tie) == (high, tie)
        for each in child.entries[1:] if child.level else child.entries:
            places = (
                [bound(each.key, each.tie)] if child.level else [bound(each.key, pointer) for pointer in each.pointers]
            )
            assert all(low < place for place in places)
            if high is not None:
                assert all(place <= bound(high, tie) for place in places)


def _leaves_hold(leaves: list[Page], expected: list[tuple[Any, int]]) -> None:
    """The rows from left to right are the expected ones, each once, each entry sorted and within a third of a page."""
    assert [pair for page in leaves for pair in rows_on(page)] == [(ordered(key), row) for key, row in expected]
    assert max(Counter(row for _, row in expected).values(), default=1) >= 1
    for page in leaves:
        third = (page.bytes - 40 - 16) // 3
        for entry in page.entries:
            rows = [row for row, _ in entry.pointers]
            assert rows == sorted(set(rows))
            assert entry.bytes - SLOT <= third
