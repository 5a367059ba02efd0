"""Is it still a B+tree? Every rule of the structure, checked on a snapshot; each fault is a sentence.

    each page       its entries are in order, and not above its high key; they fit, its free bytes are what is left
    inner pages     the first entry is -∞; each entry names a page one level below, which no other entry names
    parent, child   all keys of a child are above its entry, its high key is the next entry (or the parent's high key)
    each level      left and right links run through the pages in the order of the entries above, and back; only the
                    last one has no high key
    all leaves      stand on level 0, at the same depth; no row stands twice
    out of use      nothing points there

    >>> from workbook.btree.tree import Tree
    >>> tree = Tree(page_bytes=128)
    >>> _ = [tree.insert(key) for key in (10, 20, 30, 40, 50)]
    >>> faults(tree.snapshot())
    []
    >>> from dataclasses import replace
    >>> from workbook.btree.splitting import halves
    >>> def last_of_left(page, entries, number):
    ...     left, right = halves(page, entries, number)
    ...     return replace(left, high_key=left.entries[-1].key), right
    >>> tree = Tree(page_bytes=128, split=last_of_left)
    >>> _ = [tree.insert(key) for key in (10, 20, 30, 40, 50)]
    >>> faults(tree.snapshot()), tree.find(20)
    (['Page 1: 20 does not stay below its high key 20.'], ())

A key that was lost is no fault of the structure: compare what the tree holds with what was put into it. "Above" and
"not above" are meant as separators are: what a truncated key lacks counts as -∞, and a separator that kept a row is
the last of its left side.

Source: PostgreSQL's contrib/amcheck checks the same on a real index. Left out: SQLite's trees, which have neither
links nor high keys.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from workbook.btree.keys import Order
from workbook.btree.page import HEADER_BYTES, MINUS_INFINITY, NULL, Page, Snapshot, shown
from workbook.errors import Misuse


def faults(snapshot: Snapshot) -> list[str]:
    """What is wrong with a tree, as sentences, page by page from the root down; empty where nothing is.

    Parameters: a complete snapshot of the teaching tree or of an index of PostgreSQL whose keys compare in Python as
    they do there. Raises `Misuse` for another one.
    """
    if snapshot.engine == "sqlite" or not snapshot.complete:
        raise Misuse("Only a complete tree with sibling links can be checked.", tried=snapshot.name)
    found: list[str] = []
    levels = [snapshot.level(number) for number in range(snapshot.height)]
    root = snapshot.pages.get(snapshot.root)
    if root is None or root.level != snapshot.height - 1:
        return [f"The root, page {snapshot.root}, is not on level {snapshot.height - 1}."]
    if len(levels[-1]) != 1:
        found.append(f"There are {len(levels[-1])} pages beside the root on its level.")
    for pages in reversed(levels):
        for page in pages:
            found += _of_page(page, snapshot)
        found += _of_level(pages)
    for pages in reversed(levels[1:]):
        for page in pages:
            found += _of_children(page, snapshot)
    return found + _of_reach(snapshot, levels) + _of_rows(levels[0])


def _bound(key: Any, tie: tuple[int, int] | None) -> Order:
    """A key as a tuple that compares as separators do: what is missing is below everything, NULL above all values."""
    if key is MINUS_INFINITY:
        return ()
    columns = key if isinstance(key, tuple) else (key,)
    return tuple(NULL if part is None else part for part in columns) + ((tie,) if tie is not None else ())


def _firsts(page: Page) -> list[Order]:
    """The entries of a page as tuples, those of a leaf with their first row."""
    return [_bound(entry.key, entry.tie if page.level else min(entry.pointers, default=None)) for entry in page.entries]


def _lasts(page: Page) -> list[Order]:
    return [_bound(entry.key, entry.tie if page.level else max(entry.pointers, default=None)) for entry in page.entries]


def _of_page(page: Page, snapshot: Snapshot) -> list[str]:
    """Order, size and the kind of the entries of one page."""
    found = []
    firsts, lasts = _firsts(page), _lasts(page)
    for slot, (before, after) in enumerate(zip(lasts, firsts[1:], strict=False)):
        if not before < after:
            keys = f"{shown(page.entries[slot].key)} stands before {shown(page.entries[slot + 1].key)}"
            found.append(f"Page {page.number}: {keys} in slots {slot} and {slot + 1}.")
    if page.high_key is not None and lasts and lasts[-1] > _bound(page.high_key, page.high_tie):
        high = shown(page.high_key, page.high_tie)
        found.append(f"Page {page.number}: {shown(page.entries[-1].key)} does not stay below its high key {high}.")
    left = page.bytes - HEADER_BYTES[snapshot.engine] - sum(entry.bytes for entry in page.entries)
    if page.free < 0 or page.free > left or (page.high_key is None and page.free != left):
        found.append(f"Page {page.number}: {page.free} bytes are said to be free, its entries leave {left}.")
    if page.level and (not page.entries or page.entries[0].key is not MINUS_INFINITY):
        found.append(f"Inner page {page.number} does not begin with -∞.")
    for slot, entry in enumerate(page.entries):
        if (entry.child is None) == bool(page.level) or bool(entry.pointers) == bool(page.level):
            what = "names no page below" if page.level else "points to no row"
            found.append(f"Page {page.number}: the entry in slot {slot} {what}.")
    return found


def _of_level(pages: list[Page]) -> list[str]:
    """Links and high keys along a level, and the order across its pages."""
    found = []
    for left, right in pairwise(pages):
        if left.right != right.number or right.left != left.number:
            found.append(f"Pages {left.number} and {right.number} are neighbours, and their links do not say so.")
        if left.high_key is None:
            found.append(f"Page {left.number} has a right sibling and no high key.")
        elif right.entries:
            first = next(iter(_firsts(right)[1 if right.level else 0 :]), None)
            if first is not None and not first > _bound(left.high_key, left.high_tie):
                high = f"the high key {shown(left.high_key, left.high_tie)} of page {left.number}"
                found.append(f"Page {right.number} begins with a key that is not above {high}.")
    if pages and pages[0].left is not None:
        found.append(f"Page {pages[0].number} is the first of its level, and has a left sibling {pages[0].left}.")
    if pages and (pages[-1].right is not None or pages[-1].high_key is not None):
        found.append(f"Page {pages[-1].number} is the last of its level, and has a right sibling or a high key.")
    return found


def _of_children(page: Page, snapshot: Snapshot) -> list[str]:
    """That each entry of an inner page names a page one level below, and bounds it."""
    found = []
    bounds = [(NULL if entry.key is None else entry.key, entry.tie) for entry in page.entries]
    bounds.append((page.high_key, page.high_tie))
    for slot, entry in enumerate(page.entries):
        child = None if entry.child is None else snapshot.pages.get(entry.child)
        if child is None:
            continue
        if child.level != page.level - 1 or child.state not in ("live", "half-dead"):
            found.append(
                f"Page {page.number} names page {child.number}, which is {child.state} on level {child.level}."
            )
            continue
        firsts = _firsts(child)[1 if child.level else 0 :]
        if firsts and not firsts[0] > _bound(*bounds[slot]):
            found.append(f"Page {child.number} holds a key that is not above its entry in page {page.number}.")
        if child.state == "live" and (child.high_key, child.high_tie) != bounds[slot + 1]:
            high = "none" if child.high_key is None else shown(child.high_key, child.high_tie)
            next_key = "none" if bounds[slot + 1][0] is None else shown(*bounds[slot + 1])
            found.append(f"Page {child.number} has the high key {high}, page {page.number} goes on with {next_key}.")
    return found


def _of_reach(snapshot: Snapshot, levels: list[list[Page]]) -> list[str]:
    """That every live page is named once from above, and no page that is out of use."""
    named: dict[int, int] = {}
    for page in (page for pages in levels[1:] for page in pages):
        for child in page.children:
            named[child] = named.get(child, 0) + 1
    found = [f"Page {number} is named, and does not exist." for number in named if number not in snapshot.pages]
    for number, page in sorted(snapshot.pages.items()):
        used = page.state in ("live", "half-dead")
        if used and page.level >= snapshot.height:
            found.append(f"Page {number} is on level {page.level} of a tree of {snapshot.height}.")
        elif used and number != snapshot.root and named.get(number, 0) == 0 and page.state == "live":
            found.append(f"No entry names page {number}.")
        if named.get(number, 0) > 1:
            found.append(f"{named[number]} entries name page {number}.")
    return found


def _of_rows(leaves: list[Page]) -> list[str]:
    """That no row stands twice, and lists are in order."""
    found, seen = [], set()
    for page in leaves:
        for entry in page.entries:
            if list(entry.pointers) != sorted(entry.pointers):
                found.append(f"Page {page.number}: the rows of {shown(entry.key)} are not in order.")
            for pointer in entry.pointers:
                if pointer in seen:
                    found.append(
                        f"Page {page.number}: the row {pointer} of {shown(entry.key)} stands twice in the tree."
                    )
                seen.add(pointer)
    return found
