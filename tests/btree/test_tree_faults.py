"""Every fault that a tree can have, planted in a right one, is told in a sentence; a sound tree has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from workbook.btree import Tree
from workbook.btree.checking import faults
from workbook.btree.page import NULL, Snapshot
from workbook.errors import Misuse


def sound() -> Snapshot:
    tree = Tree(page_bytes=128)
    for key in range(0, 400, 10):
        tree.insert(key)
    for key in range(100, 200, 10):
        tree.delete(key)
    return tree.snapshot()


def changed(tree: Snapshot, number: int, **parts: Any) -> Snapshot:
    return replace(tree, pages={**tree.pages, number: replace(tree.pages[number], **parts)})


def planted() -> dict[str, tuple[Snapshot, str]]:
    tree = sound()
    leaves = tree.leaves()
    first, second, last = leaves[0], leaves[1], leaves[-1]
    inner = tree.level(1)[0]
    free = next(number for number, page in tree.pages.items() if page.state == "free")
    swapped = (second.entries[1], second.entries[0], *second.entries[2:])
    return {
        "order": (changed(tree, second.number, entries=swapped), "stands before"),
        "high key": (changed(tree, first.number, high_key=-5), "does not stay below its high key"),
        "across": (
            changed(tree, second.number, entries=(replace(second.entries[0], key=-1),)),
            "begins with a key that is not above the high key",
        ),
        "same twice": (
            changed(tree, inner.number, entries=(*inner.entries[:2], inner.entries[1], *inner.entries[2:])),
            "stands before",
        ),
        "free bytes": (changed(tree, last.number, free=last.free + 8), "are said to be free"),
        "negative": (changed(tree, first.number, free=-4), "are said to be free"),
        "left link": (changed(tree, second.number, left=None), "links do not say so"),
        "right link": (changed(tree, last.number, right=first.number), "right sibling or a high key"),
        "no high key": (changed(tree, first.number, high_key=None), "no high key"),
        "minus infinity": (
            changed(tree, inner.number, entries=(replace(inner.entries[0], key=-9), *inner.entries[1:])),
            "does not begin with",
        ),
        "missing child": (changed(tree, inner.number, entries=inner.entries[:-1]), f"names page {inner.children[-1]}"),
        "named twice": (
            changed(
                tree, inner.number, entries=(*inner.entries[:-1], replace(inner.entries[-1], child=inner.children[0]))
            ),
            "2 entries name page",
        ),
        "out of use": (
            changed(tree, inner.number, entries=(*inner.entries[:-1], replace(inner.entries[-1], child=free))),
            "which is free",
        ),
        "does not exist": (
            changed(tree, inner.number, entries=(*inner.entries[:-1], replace(inner.entries[-1], child=999))),
            "does not exist",
        ),
        "separator": (
            changed(
                tree,
                inner.number,
                entries=(inner.entries[0], replace(inner.entries[1], key=inner.entries[1].key - 1), *inner.entries[2:]),
            ),
            "goes on with",
        ),
        "row twice": (
            changed(
                tree,
                last.number,
                entries=(replace(last.entries[0], pointers=first.entries[0].pointers), *last.entries[1:]),
            ),
            "stands twice",
        ),
        "no row": (
            changed(tree, last.number, entries=(replace(last.entries[0], pointers=()), *last.entries[1:])),
            "points to no row",
        ),
        "list order": (
            changed(
                tree, last.number, entries=(replace(last.entries[0], pointers=((9, 0), (8, 0))), *last.entries[1:])
            ),
            "are not in order",
        ),
        "no child": (
            changed(tree, inner.number, entries=(*inner.entries[:-1], replace(inner.entries[-1], child=None))),
            "names no page below",
        ),
        "level": (changed(tree, first.number, level=7), "on level 7"),
        "root": (replace(tree, root=first.number), "is not on level"),
        "two roots": (changed(tree, free, state="live", level=tree.height - 1), "pages beside the root"),
    }


PLANTED = planted()


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_told(kind: str) -> None:
    tree, said = PLANTED[kind]
    assert any(said in fault for fault in faults(tree)), faults(tree)


def test_a_sound_tree_has_no_fault_and_only_a_whole_one_can_be_checked() -> None:
    tree = sound()
    assert faults(tree) == []
    with pytest.raises(Misuse, match="complete tree"):
        faults(replace(tree, complete=False))
    with pytest.raises(Misuse, match="complete tree"):
        faults(replace(tree, engine="sqlite"))
    nulls = Tree(page_bytes=128)
    for _ in range(20):
        nulls.insert(None)
    assert nulls.faults() == [] and nulls.snapshot().leaves()[0].high_key is NULL
