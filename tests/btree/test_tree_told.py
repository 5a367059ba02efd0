"""What a tree tells of itself: the steps of a trace, the pages in the pool, what was counted, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.btree.rules import holds
from workbook.btree import Tree
from workbook.btree.page import Event
from workbook.btree.store import Store
from workbook.errors import Misuse


def grown(keys: list[Any], **options: Any) -> Tree:
    tree = Tree(**{"page_bytes": 128, **options})
    for key in keys:
        tree.insert(key)
    return tree


def kinds(steps: Any) -> list[str]:
    return [step.event.kind for step in steps]


def test_a_lookup_is_told_comparison_by_comparison() -> None:
    tree = grown([10, 20, 30, 40, 50])
    with tree.trace() as steps:
        tree.find(40)
    assert str(steps).splitlines() == [
        "  1 read      Page 3 is read.",
        "  2 compare   40 is equal to 40: look right of it.",
        "  3 descend   Go down to page 2.",
        "  4 read      Page 2 is read.",
        "  5 compare   40 is below 50: look left of it.",
        "  6 compare   40 is equal to 40: look left of it.",
        "  7 found     40 is found in slot 0 of page 2: it leads to row 3.",
    ]
    assert steps[2].event == Event("descend", 3, 1, "Go down to page 2.", 2)


def test_what_is_not_there_is_told_with_its_place() -> None:
    tree = grown([10, 20, 30])
    with tree.trace() as steps:
        assert tree.find(25) == () and tree.find(99) == ()
    told = [step.event.text for step in steps if step.event.kind == "found"]
    assert told == ["25 is not there: it would stand before 30.", "99 is not there: it would stand last."]


def test_a_split_is_told_before_the_page_above_knows_of_it() -> None:
    tree = grown([10, 20, 30, 40, 50, 60])
    with tree.trace() as steps:
        tree.insert(70)
        tree.insert(80)
    (split,) = [step for step in steps if step.event.kind == "split"]
    assert split.event.page == 2 and split.event.other == 4
    assert split.snapshot.pages[2].right == 4 and 4 not in split.snapshot.pages[3].children
    assert [page.number for page in split.snapshot.leaves()] == [1, 2, 4]
    assert 4 in steps[-1].snapshot.pages[3].children
    after = kinds(steps)[list(steps).index(split) + 1 :]
    assert after == ["write", "write", "read", "insert", "write"]


def test_a_root_that_is_split_gets_a_root_above_it() -> None:
    tree = grown([10, 20, 30, 40])
    with tree.trace() as steps:
        tree.insert(50)
    new = next(step for step in steps if step.event.kind == "new-root")
    assert new.event.page == new.snapshot.root == 3 and new.snapshot.height == 2


def test_deletion_ranges_and_duplicates_are_told_too() -> None:
    tree = grown(list(range(12)))
    with tree.trace() as steps:
        list(tree.scan(1, 7))
        for key in (3, 4, 5):
            tree.delete(key)
    assert {"move-right", "found", "delete", "unlink"} <= set(kinds(steps))
    tree = Tree(page_bytes=256)
    with tree.trace() as steps:
        for _ in range(12):
            tree.insert(7)
        tree.insert(7, 20)
        tree.insert(7, 15)
    assert "merge" in kinds(steps)
    tree = Tree.load([(7, row) for row in range(0, 10, 2)], page_bytes=256)
    with tree.trace() as steps:
        tree.insert(7, 3)
    assert any("takes its place in the list" in step.event.text for step in steps)


def test_a_step_costs_no_copy_of_what_did_not_change() -> None:
    tree = grown(list(range(101)))
    before = tree.snapshot()
    with tree.trace() as steps:
        tree.insert(1000)
    last = steps[-1].snapshot
    changed = [number for number in last.pages if last.pages[number] is not before.pages.get(number)]
    assert changed == [next(page.number for page in last.leaves()[::-1])]
    assert steps[0].snapshot is before


def test_a_tree_that_is_traced_does_the_same_as_one_that_is_not() -> None:
    keys = [(number * 37) % 100 for number in range(300)]
    traced, plain = Tree(page_bytes=256, pool_pages=3), Tree(page_bytes=256, pool_pages=3)
    with traced.trace():
        for tree in (traced, plain):
            for key in keys:
                tree.insert(key)
            for key in range(0, 60):
                tree.delete(key)
            assert len(list(tree.scan(70, 90, reverse=True))) == 63
    assert traced.snapshot() == plain.snapshot() and traced.counters == plain.counters and traced.pool == plain.pool


def test_a_trace_begins_and_ends() -> None:
    tree = grown([1])
    with tree.trace() as steps:
        tree.insert(2)
        with pytest.raises(Misuse, match="traced already"), tree.trace():
            pass
    seen = len(steps)
    tree.insert(3)
    assert len(steps) == seen > 0
    with pytest.raises(Misuse), tree.trace():
        tree.insert("text")
    with tree.trace() as again:
        tree.insert(4)
    assert len(again) > 0


def test_the_pool_keeps_what_was_used_last() -> None:
    tree = grown([10, 20, 30, 40, 50], pool_pages=2)
    tree.find(10)
    assert tree.pool == (1, 3)
    tree.find(50)
    assert tree.pool == (2, 3)
    before = tree.counters
    tree.find(50)
    assert tree.counters - before == type(before)(hits=2)


def test_a_pool_as_large_as_the_tree_reads_nothing_and_writes_when_told() -> None:
    tree = grown(list(range(500)), page_bytes=512, pool_pages=1000)
    assert tree.counters.reads == tree.counters.misses == tree.counters.writes == 0
    assert tree.flush() == len(tree.snapshot().pages) == tree.counters.writes
    assert tree.flush() == 0


def test_the_root_of_a_tree_larger_than_its_pool_stays_in_the_pool() -> None:
    tree = grown(list(range(5000)), page_bytes=512, pool_pages=8)
    before = tree.counters
    for key in range(0, 5000, 7):
        tree.find(key)
    seen = tree.counters - before
    assert seen.pages == tree.height * len(range(0, 5000, 7))
    assert 0 < seen.misses < seen.hits and tree.root in tree.pool


def test_random_inserts_write_more_pages_through_a_small_pool() -> None:
    up = grown(list(range(2000)), page_bytes=512, pool_pages=10)
    scattered = grown([number * 7919 % 2003 for number in range(2000)], page_bytes=512, pool_pages=10)
    assert scattered.counters.writes > 10 * up.counters.writes


def test_the_clock_spares_a_page_that_was_used_since_the_hand_came_by() -> None:
    store = Store(128, 3, "clock")
    for _ in range(3):
        store.write(store.allocate(0))
    for _ in range(3):
        store.read(1)
    store.allocate(0)
    assert store.held == (1, 4, 3)
    store.read(2)
    assert store.held == (1, 4, 2) and store.counters().evictions == 2
    lru = Store(128, 3, "lru")
    for _ in range(3):
        lru.write(lru.allocate(0))
    lru.read(1)
    lru.allocate(0)
    assert lru.held == (4, 1, 3) and lru.changed == (1, 3)


@given(st.lists(st.integers(1, 12), max_size=80), st.integers(1, 6), st.sampled_from(["lru", "clock"]))
@settings(max_examples=60, deadline=None)
def test_a_pool_never_holds_more_than_its_frames_and_loses_no_change(asked: list[int], frames: int, how: Any) -> None:
    store = Store(128, frames, how)
    for _ in range(12):
        store.write(store.allocate(0))
    before = store.counters()
    for number in asked:
        assert store.read(number).number == number
        assert number in store.held and len(set(store.held)) == len(store.held) <= frames
    after = store.counters()
    assert after.pages - before.pages == len(asked) and after.reads == after.misses
    store.flush()
    assert store.counters().writes == 12, "each page was changed once and is written once"


def test_counters_subtract_and_read_as_a_sentence() -> None:
    tree = grown(list(range(10)))
    before = tree.counters
    tree.find(3)
    assert str(tree.counters - before) == "reads 2, writes 0, hits 0, misses 0, evictions 0, splits 0"
    assert "leaf splits 2" in str(tree.counters) and "new roots 1" in str(tree.counters)


LONG = "x" * 2690


@pytest.mark.parametrize(
    ("doing", "said"),
    [
        (lambda: Tree().insert(LONG + "y" * 12), "takes 2,720 bytes on the page; a page of 8,192 takes up to 2,704"),
        (lambda: grown([1]).insert("one"), "'one' is a str; the keys of this tree are whole numbers"),
        (lambda: grown(["a"]).find(b"a"), "b'a' is a bytes; the keys of this tree are text"),
        (lambda: grown([(1, "a")], page_bytes=256).insert(("a", 1)), "column 1 of this tree holds whole numbers"),
        (lambda: grown([(1, "a")], page_bytes=256).insert(5), "5 has 1 column; the keys of this tree have 2"),
        (lambda: grown([5]).insert((5, 6)), r"\(5, 6\) has 2 columns; the keys of this tree have 1"),
        (lambda: Tree().insert(1.5), "1.5 is a float, and no key"),
        (lambda: Tree().insert(True), "True is a bool, and no key"),
        (lambda: Tree().insert(()), "a tuple stands for two columns or more"),
        (lambda: Tree().insert((5,)), "a tuple stands for two columns or more"),
        (lambda: Tree().insert(2**63), "beyond 64 bits"),
        (lambda: grown([1]).find(-(2**63) - 1), "beyond 64 bits"),
        (lambda: Tree().insert("\ud800"), "half of a surrogate pair"),
        (lambda: Tree().insert(1, -1), "-1 is no row"),
        (lambda: Tree().insert(1, "1"), "'1' is no row"),
        (lambda: Tree().insert(1, True), "True is no row"),
        (lambda: [tree.insert(1, 5) for tree in [Tree()] for _ in range(2)], "Row 5 is under the key 1 already"),
        (lambda: Tree.load([(1, 5), (1, 5)]), "Row 5 is under the key 1 already"),
        (lambda: Tree.load([(7, row) for row in range(9)]).insert(7, 4), "Row 4 is under the key 7 already"),
        (lambda: Tree.load([1, 2]), "1 is no pair of a key and a row"),
        (lambda: Tree(page_bytes=100), "A page of 100 bytes cannot be had"),
        (lambda: Tree(page_bytes=132), "multiple of 8 from 128"),
        (lambda: Tree(fill_factor=0.9), "did you mean 90"),
        (lambda: Tree(fill_factor=5), "from 10 to 100"),
        (lambda: Tree(fill_factor="90"), "from 10 to 100"),
        (lambda: Tree(duplicates="lists"), "take 'posting' or 'plain'"),
        (lambda: Tree(truncation="some"), "take 'columns', 'characters' or 'none'"),
        (lambda: Tree.load(None), "None are no pairs of a key and a row"),  # type: ignore[arg-type]
        (lambda: Tree(pool_pages=0), "A pool of 0 pages holds none"),
        (lambda: Tree(pool_pages=2.5), "A pool of 2.5 pages cannot be had"),  # type: ignore[arg-type]
        (lambda: Tree(pool_pages=2.5, replacement="clock"), "A pool of 2.5 pages"),  # type: ignore[arg-type]
        (lambda: Tree(pool_pages="3"), "A pool of '3' pages cannot be had"),  # type: ignore[arg-type]
        (lambda: Tree(pool_pages=True), "A pool of True pages cannot be had"),
        (lambda: largest().insert(2), "No row comes after 281,474,976,710,655"),
        (lambda: Tree(replacement="random"), "take 'lru' or 'clock'"),
        (lambda: [tree.insert(3) for tree in [grown([1, 2])] for _ in tree.scan()], "changed while it was scanned"),
        (lambda: grown([1]).scan("a"), "'a' is a str"),
    ],
)
def test_what_makes_no_sense_gets_a_sentence(doing: Any, said: str) -> None:
    with pytest.raises(Misuse, match=said):
        doing()


def largest() -> Tree:
    """A tree whose last row is the largest that there can be."""
    tree = Tree()
    tree.insert(1, 2**48 - 1)
    return tree


def test_after_the_largest_row_a_free_one_is_given() -> None:
    tree = largest()
    with pytest.raises(Misuse, match="give a row that is free"):
        tree.insert(2)
    assert len(tree) == 1 and tree.insert(2, 7) == 7 and tree.find(2) == (7,)


def test_a_refused_insert_changes_nothing() -> None:
    tree = grown(list(range(20)))
    before, counted = tree.snapshot(), tree.counters
    for key, row in (("a", None), (3, 3), (2**70, None), (5, -2)):
        with pytest.raises(Misuse):
            tree.insert(key, row)
    assert tree.snapshot() is before and tree.counters.writes == counted.writes
    empty = Tree()
    with pytest.raises(Misuse):
        empty.insert("x" * 5000)
    assert empty.insert(1) == 0, "a refused key does not fix the type"


def test_the_largest_key_fits_three_times_and_no_larger_one() -> None:
    for page_bytes in (128, 256, 1024, 8192):
        third = (page_bytes - 40 - 16) // 3 // 8 * 8 - 8
        text = third - 8 - (1 if third - 9 < 127 else 4)
        tree = Tree(page_bytes=page_bytes)
        keys = [chr(97 + number) * text for number in range(9)]
        for key in keys:
            tree.insert(key)
        holds(tree, [(key, row) for row, key in enumerate(keys)])
        with pytest.raises(Misuse, match=f"takes up to {third:,}"):
            tree.insert("z" * (text + 1))
