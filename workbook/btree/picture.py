"""From a tree and what happened in it to what `draw` draws: which pages are looked at, what is lit, what the pool holds.

    Snapshot ── the pages around those in focus ──▶ plain data ──┐
    events so far ── read, compared, followed, written ──▶ Lit ──┴──▶ draw.tree

An index of a million rows has 2,700 pages, and a picture of it some twenty: only those are turned into plain data. Pages that are
left out are known by the entries that lead to them, and so they are counted all the same.

    >>> from workbook.btree.tree import Tree
    >>> tree = Tree(page_bytes=128)
    >>> for key in (10, 20, 30, 40, 50):
    ...     _ = tree.insert(key)
    >>> with tree.trace() as steps:
    ...     _ = tree.find(40)
    >>> print(picture(tree.snapshot(), lit(steps.events, tree.snapshot())))
    tree: 2 levels, 3 pages of 128 bytes
    root, level 1: 1 page
      page 3, read: 2 entries, 36 % full, 56 bytes free: -∞ → 1, ▾ 40 → 2 (chosen)
    leaves, level 0: 2 pages
      page 1: 3 entries, 91 % full, 8 bytes free: 10, 20, 30; below 40; right 2
      page 2, read: 2 entries, 45 % full, 48 bytes free: ✓ 40 (found), 50; left 1

Left out: all places and sizes, which are `draw`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from workbook.btree.page import Event, Snapshot
from workbook.draw.picture import Picture
from workbook.draw.tree import WIDTH, Lit, tree_picture

WHOLE_MAX = 400
"""Pages that are turned into plain data without a choice."""
AROUND, ENDS = 6, 6
_SLOTS = {"compare": "compared", "insert": "inserted", "found": "found"}


def picture(
    snapshot: Snapshot, lit: Lit | None = None, *, focus: Collection[int] = (), width: float = WIDTH
) -> Picture:
    """Draw a tree.

    Parameters: what is `lit`; numbers of pages in `focus`, which are drawn in full; the `width` in pixels.
    """
    lit = lit or Lit()
    wanted = {*focus, *lit.pages}
    return tree_picture(plain(snapshot, wanted), lit, focus=wanted, width=width)


def plain(snapshot: Snapshot, focus: Collection[int]) -> dict[str, Any]:
    """`Snapshot.data()` of all pages of a small tree; of a large one without most of the leaves that are not in focus."""
    if len(snapshot.pages) <= WHOLE_MAX:
        return snapshot.data()
    leaves = snapshot.leaves()
    places = [place for place, page in enumerate(leaves) if page.number in focus]
    near = {place + step for place in places for step in range(-AROUND, AROUND + 1)}
    near |= {*range(ENDS), *range(len(leaves) - ENDS, len(leaves))}
    named = {child for page in snapshot.level(1) for child in page.children}
    left_out = {page.number for place, page in enumerate(leaves) if place not in near} & named
    return replace(snapshot, pages={n: page for n, page in snapshot.pages.items() if n not in left_out}).data()


def lit(events: Sequence[Event], snapshot: Snapshot) -> Lit:
    """What is lit after these events of one operation: pages that were read, written or are new, the way that was followed,
    and the entry that the last event is about."""
    pages: dict[int, str] = {}
    links: set[tuple[int, int]] = set()
    for event in events:
        if event.kind in ("read", "hit"):
            pages.setdefault(event.page, "read")
        elif event.kind == "descend" and event.other is not None:
            links.add((event.page, event.other))
        elif event.kind == "new-root":
            pages[event.page] = "new"
        elif event.kind in ("insert", "delete", "merge", "split", "unlink", "write"):
            for number in (event.page, event.other if event.kind == "unlink" else None):
                if number is not None and pages.get(number) != "new":
                    pages[number] = "written"
            if event.kind == "split" and event.other is not None:
                pages[event.other] = "new"
    slots = {
        (above, slot): "chosen"
        for above, below in links
        if above in snapshot.pages
        for slot, entry in enumerate(snapshot.pages[above].entries)
        if entry.child == below
    }
    last = events[-1] if events else None
    if last is not None and last.kind in _SLOTS and last.slot is not None:
        slots[last.page, last.slot] = _SLOTS[last.kind]
    return Lit(pages, slots, frozenset(links))


def touched(events: Sequence[Event]) -> frozenset[int]:
    """The pages that events are about; a page that only leaves the pool is none."""
    numbers = {event.page for event in events if event.kind != "evict"}
    return frozenset(numbers | {event.other for event in events if event.other is not None})


def pool_data(
    snapshot: Snapshot,
    held: Sequence[int],
    changed: Collection[int],
    frames: int,
    event: Event | None,
    counts: dict[str, int],
) -> dict[str, Any]:
    """What `draw.pool` draws: the pages `held` by so many `frames`, and what the last event did to them."""
    marks = {"hit": "hit", "read": "read", "evict": "out"}
    roles = {}
    for number in {*held, *([event.page] if event else [])}:
        page = snapshot.pages.get(number)
        if page is not None and page.state == "live":
            roles[number] = "root" if number == snapshot.root else "inner" if page.level else "leaf"
    return {
        "frames": frames, "held": list(held), "changed": sorted(changed), "roles": roles, "counts": counts,
        "marks": {event.page: marks[event.kind]} if event is not None and event.kind in marks else {},
    }  # fmt: skip
