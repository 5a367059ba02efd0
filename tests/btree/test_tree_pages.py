"""What the teaching tree does with its pages: splits, high keys, duplicates, deletion, ranges, the load."""

from __future__ import annotations

import pickle
import random
from copy import deepcopy
from itertools import pairwise

import pytest

from tests.btree.rules import holds
from workbook.btree import Tree
from workbook.btree.page import MINUS_INFINITY, NULL, PLUS_INFINITY, Entry, Page, Snapshot, shown

SMALL = 128
"""Three or four numbers a page."""


def grown(keys: list[object], **options: object) -> Tree:
    tree = Tree(**{"page_bytes": SMALL, **options})
    for key in keys:
        tree.insert(key)
    return tree


def leaves(tree: Tree) -> list[list[object]]:
    return [[entry.key for entry in page.entries] for page in tree.snapshot().leaves()]


def pages_of(tree: Tree, *what: object, **how: object) -> int:
    """Pages touched by a range."""
    before = tree.counters
    list(tree.scan(*what, **how))
    return (tree.counters - before).pages


def test_a_full_right_most_page_keeps_ninety_per_cent_on_the_left() -> None:
    tree = grown(list(range(2000)), page_bytes=8192)
    assert {len(keys) for keys in leaves(tree)[:-1]} == {366}
    half = grown(list(range(2000)), page_bytes=8192, fill_factor=50)
    assert {len(keys) for keys in leaves(half)[:-1]} == {203}


def test_a_full_page_in_the_middle_is_cut_in_half() -> None:
    tree = grown(list(range(0, 20_000, 100)), page_bytes=1024)
    splits = tree.counters.splits
    new = iter(range(1, 100))
    while tree.counters.splits == splits:
        tree.insert(next(new))
    first, second, *_ = leaves(tree)
    assert abs(len(first) - len(second)) <= 2 and first[:3] == [0, 1, 2]
    assert tree.snapshot().leaves()[0].high_key == second[0]


def test_descending_keys_leave_half_full_pages_ascending_keys_full_ones() -> None:
    up, down = grown(list(range(5000)), page_bytes=1024), grown(list(range(5000, 0, -1)), page_bytes=1024)
    assert up.snapshot().density > 0.88 and down.snapshot().density < 0.55
    assert len(down.snapshot().leaves()) > 1.6 * len(up.snapshot().leaves())


def test_no_leaf_of_distinct_keys_is_less_than_forty_per_cent_full_but_the_last() -> None:
    numbers = list(range(4000))
    random.Random(5).shuffle(numbers)
    for keys in (numbers, sorted(numbers), sorted(numbers, reverse=True), sorted(numbers)[2000:] + numbers[::-1]):
        tree = grown(list(dict.fromkeys(keys)), page_bytes=1024)
        for page in tree.snapshot().leaves()[:-1]:
            assert page.free <= 0.6 * (1024 - 40)


def test_the_root_is_split_into_a_level_more_and_all_leaves_stay_equally_deep() -> None:
    tree = Tree(page_bytes=SMALL)
    heights = []
    for key in range(200):
        tree.insert(key)
        heights.append(tree.height)
        assert tree.height == 1 + tree.counters.new_roots
    assert heights == sorted(heights) and heights[-1] >= 4
    holds(tree, [(key, key) for key in range(200)])


def test_a_lookup_touches_one_page_a_level() -> None:
    tree = grown(list(range(300)))
    for key in (0, 150, 299, 1000):
        before = tree.counters
        assert tree.find(key) == ((key,) if key < 300 else ())
        assert (tree.counters - before).pages == tree.height and (tree.counters - before).writes == 0


def test_a_range_descends_once_and_then_follows_the_links() -> None:
    tree = grown(list(range(300)))
    places = [page.number for page in tree.snapshot().leaves()]
    whole = pages_of(tree)
    assert whole == tree.height - 1 + len(places) == pages_of(tree, reverse=True)
    assert pages_of(tree, 100, 120) < tree.height + 21 // 3 + 2
    assert pages_of(tree, 5, 5) == tree.height


def test_the_high_key_ends_a_range_before_the_next_page_is_read() -> None:
    tree = grown(list(range(0, 100, 10)))
    first = tree.snapshot().leaves()[0]
    last = first.entries[-1].key
    assert pages_of(tree, last, last) == tree.height
    assert pages_of(tree, last, first.high_key - 1) == tree.height
    assert pages_of(tree, last, first.high_key) == tree.height + 1
    second = tree.snapshot().leaves()[1]
    begins = second.entries[0].key
    assert pages_of(tree, begins, begins, reverse=True) == tree.height + 1, "backwards no key bounds a page from below"


def test_a_scan_is_as_lazy_as_its_reader() -> None:
    tree = grown(list(range(300)))
    before = tree.counters
    scan = tree.scan()
    assert next(scan) == (0, 0)
    assert (tree.counters - before).pages == tree.height


def test_bounds_may_give_the_first_columns_of_a_key() -> None:
    tree = grown([(a, b) for a in range(5) for b in range(5)], page_bytes=256)
    assert [key for key, _ in tree.scan((2,), (2,))] == [(2, b) for b in range(5)]
    assert [key for key, _ in tree.scan(3)] == [(a, b) for a in (3, 4) for b in range(5)]
    assert [key for key, _ in tree.scan((1, 3), (2, 1), reverse=True)] == [(2, 1), (2, 0), (1, 4), (1, 3)]


def test_nulls_stand_last_and_a_bounded_range_leaves_them_out() -> None:
    tree = grown([None, 3, None, 1, 2])
    assert [key for key, _ in tree.scan()] == [1, 2, 3, None, None]
    assert [key for key, _ in tree.scan(2)] == [2, 3] == [key for key, _ in tree.scan(2, 99)]
    assert [key for key, _ in tree.scan(high=2, reverse=True)] == [2, 1]
    assert tree.find(None) == (0, 2) and None in tree and tree.delete(None) == 2


def test_separators_keep_only_the_columns_that_tell_two_pages_apart() -> None:
    tree = grown([(a, "x" * 20, b) for a in range(40) for b in range(1)], page_bytes=512)
    root = tree.snapshot().pages[tree.root]
    assert {len(entry.key) for entry in root.entries[1:]} == {1} and {entry.bytes for entry in root.entries[1:]} == {20}
    whole = grown([(a, "x" * 20, b) for a in range(40) for b in range(1)], page_bytes=512, truncation="none")
    assert {len(entry.key) for entry in whole.snapshot().pages[whole.root].entries[1:]} == {3}


def test_truncation_within_a_text_makes_inner_pages_wider() -> None:
    keys: list[object] = [f"{number:06d}" + "-customer" * 8 for number in range(2000)]
    random.Random(2).shuffle(keys)
    columns, characters = grown(keys, page_bytes=1024), grown(keys, page_bytes=1024, truncation="characters")
    assert columns.height > characters.height
    assert len(characters.snapshot().pages[characters.root].entries[1].key) <= 6
    expected = sorted((key, row) for row, key in enumerate(keys))
    holds(characters, expected)
    assert list(characters.scan()) == expected


def test_equal_keys_are_told_apart_by_their_rows_and_only_then_is_the_row_kept_above() -> None:
    tree = grown([int("7000000") for _ in range(40)], duplicates="plain")
    snapshot = tree.snapshot()
    first = snapshot.leaves()[0]
    assert first.high_key == 7_000_000 and first.high_tie == first.entries[-1].pointers[0]
    assert all(entry.tie for entry in snapshot.pages[tree.root].entries[1:])
    assert tree.find(7_000_000) == tuple(range(40))


def test_duplicates_share_an_entry_once_the_page_is_full_and_not_before() -> None:
    tree = Tree(page_bytes=1024)
    for _ in range(49):
        tree.insert(7)
    assert [len(entry.pointers) for entry in tree.snapshot().leaves()[0].entries] == [1] * 49
    tree.insert(7)
    assert tree.counters.merges == 1 and tree.counters.splits == 0
    (page,) = tree.snapshot().leaves()
    assert page.rows == 50 and max(len(entry.pointers) for entry in page.entries) > 20
    assert max(entry.bytes for entry in page.entries) <= 1024 // 6


def test_posting_lists_make_an_index_with_many_duplicates_a_third_as_large() -> None:
    keys = [number % 100 for number in range(20_000)]
    plain, posting = (grown(list(keys), page_bytes=8192, duplicates=how) for how in ("plain", "posting"))
    assert len(posting.snapshot().leaves()) < len(plain.snapshot().leaves()) / 3
    assert list(plain.scan()) == list(posting.scan())


def test_a_row_inside_a_posting_list_takes_its_place_there() -> None:
    tree = Tree.load([(7, row) for row in range(0, 20, 2)], page_bytes=1024)
    assert [len(entry.pointers) for entry in tree.snapshot().leaves()[0].entries] == [10]
    tree.insert(7, 5)
    assert [len(entry.pointers) for entry in tree.snapshot().leaves()[0].entries] == [10, 1]
    assert tree.find(7) == (0, 2, 4, 5, 6, 8, 10, 12, 14, 16, 18)
    assert tree.delete(7, 5) == 1 and tree.delete(7, 5) == 0 and tree.find(7) == tuple(range(0, 20, 2))


def test_deleting_nine_rows_of_ten_frees_no_page() -> None:
    tree = grown(list(range(1000)), page_bytes=1024)
    before = tree.snapshot()
    for key in range(1000):
        if key % 10:
            tree.delete(key)
    after = tree.snapshot()
    assert after.counts == before.counts and after.density < 0.12 and tree.vacuum() == 0


def test_a_deleted_range_gives_its_pages_back_and_they_are_used_again() -> None:
    tree = grown(list(range(1000)), page_bytes=1024)
    size = len(tree.snapshot().pages)
    for key in range(200, 800):
        tree.delete(key)
    tree.vacuum()
    free = {page.number for page in tree.snapshot().pages.values() if page.state == "free"}
    assert len(free) > 0.5 * size and not free & {page.number for page in tree.snapshot().leaves()}
    for key in range(2000, 2500):
        tree.insert(key)
    assert len(tree.snapshot().pages) == size and tree.counters.recycled > 0.7 * len(free)


def test_the_right_most_page_of_a_level_stays_and_the_tree_never_gets_lower() -> None:
    tree = grown(list(range(300)))
    height = tree.height
    for key in range(300):
        assert tree.delete(key) == 1
    tree.vacuum()
    snapshot = tree.snapshot()
    assert tree.height == height and len(tree) == 0 and set(snapshot.counts.values()) == {1}
    assert [page.entries for page in snapshot.leaves()] == [()]
    holds(tree, [])
    tree.insert(5)
    assert list(tree.scan()) == [(5, 300)]


def test_the_last_child_of_a_page_that_has_others_stays_until_they_are_gone() -> None:
    tree = grown(list(range(40)))
    snapshot = tree.snapshot()
    first_inner = snapshot.level(1)[0]
    children = [snapshot.pages[number] for number in first_inner.children]
    assert len(children) >= 3
    for entry in children[-1].entries:
        tree.delete(entry.key)
    assert tree.snapshot().pages[children[-1].number].state == "live" and tree.vacuum() == 0
    for child in children[:-1]:
        for entry in child.entries:
            tree.delete(entry.key)
    assert tree.vacuum() >= 2
    assert tree.snapshot().pages[first_inner.number].state == "free", "the page above went with its last child"
    holds(tree, [(key, key) for key in range(40) if key >= children[-1].high_key])


def test_the_key_space_of_a_page_that_leaves_goes_to_its_right_sibling() -> None:
    tree = grown(list(range(0, 200, 10)))
    left, middle, right = tree.snapshot().leaves()[:3]
    for entry in middle.entries:
        tree.delete(entry.key)
    now = tree.snapshot()
    assert now.pages[middle.number].state == "free"
    assert now.pages[left.number].right == right.number and now.pages[right.number].left == left.number
    tree.insert(middle.entries[0].key + 1)
    assert middle.entries[0].key + 1 in [entry.key for entry in tree.snapshot().pages[right.number].entries]


def test_a_load_fills_every_leaf_to_the_fill_factor() -> None:
    for factor in (50, 70, 90, 100):
        tree = Tree.load(((key, key) for key in range(3000)), fill_factor=factor, page_bytes=1024)
        for page in tree.snapshot().leaves()[:-1]:
            used = 1 - page.free / 1024
            assert factor / 100 - 30 / 1024 < used <= factor / 100 + 30 / 1024
        assert tree.counters.splits == 0 and tree.counters.writes == len(tree.snapshot().pages)
        holds(tree, [(key, key) for key in range(3000)], loaded=len(tree.snapshot().pages))


@pytest.mark.parametrize("duplicates", ["posting", "plain"])
def test_a_load_of_one_value_leaves_room_for_the_row_that_a_high_key_keeps(duplicates: str) -> None:
    for page_bytes in range(128, 1200, 8):
        tree = Tree.load(
            ((7, row) for row in range(300)), page_bytes=page_bytes, fill_factor=100, duplicates=duplicates
        )
        holds(tree, [(7, row) for row in range(300)], loaded=len(tree.snapshot().pages))
        assert len(tree.snapshot().leaves()) > 1


def test_a_load_sorts_and_numbers_its_rows() -> None:
    tree = Tree.load([("b", None), ("a", None), (None, None), ("a", 9)])
    assert list(tree.scan()) == [("a", 1), ("a", 9), ("b", 0), (None, 2)]
    assert tree.insert("c") == 10
    assert list(Tree.load([]).scan()) == [] and len(Tree.load([])) == 0


def test_random_uuids_make_a_larger_index_than_numbers_in_order() -> None:
    rng = random.Random(4)
    ordered_keys = grown(list(range(20_000)), page_bytes=8192)
    scattered = grown([rng.randbytes(15) for _ in range(20_000)], page_bytes=8192)
    assert len(scattered.snapshot().pages) > 1.6 * len(ordered_keys.snapshot().pages)


def test_a_snapshot_is_a_value_that_later_changes_do_not_touch() -> None:
    tree = grown([1, 2, 3])
    before = tree.snapshot()
    text = str(before)
    tree.insert(4)
    tree.insert(5)
    assert str(before) == text and before.rows == 3 and tree.snapshot().rows == 5
    assert tree.snapshot() is tree.snapshot()
    again = pickle.loads(pickle.dumps(tree.snapshot()))
    assert again == tree.snapshot() and again.data() == tree.snapshot().data()


def test_the_text_of_a_tree_names_its_levels_and_pages() -> None:
    assert str(grown([10, 20, 30, 40, 50])).splitlines() == [
        "tree (teaching tree): 2 levels, 3 pages of 128 bytes, 5 rows, leaves 68.2 % full",
        "level 1 (root): 1 page",
        "  page 3: 2 entries, 36 % full: -∞ → 1, 40 → 2",
        "level 0 (leaves): 2 pages",
        "  page 1: 3 entries, 91 % full: 10, 20, 30; high key 40; right 2",
        "  page 2: 2 entries, 45 % full: 40, 50; left 1",
    ]
    long = str(grown(list(range(5000)), page_bytes=256))
    assert len(long.splitlines()) < 60 and "more pages …" in long


def test_bounds_stand_below_or_above_every_value_and_survive_a_copy() -> None:
    order = [MINUS_INFINITY, -5, "a", b"z", NULL, PLUS_INFINITY]
    for low, high in pairwise([MINUS_INFINITY, NULL, PLUS_INFINITY]):
        assert low < high and high > low and low <= high and high >= low and not high < low
    assert sorted([NULL, MINUS_INFINITY, PLUS_INFINITY, 3]) == [MINUS_INFINITY, 3, NULL, PLUS_INFINITY]
    for value in order[1:4]:
        assert MINUS_INFINITY < value < NULL and value < PLUS_INFINITY
    for each in (MINUS_INFINITY, NULL, PLUS_INFINITY):
        assert deepcopy(each) is each and pickle.loads(pickle.dumps(each)) is each and each <= each and not each < each


def test_keys_are_shown_briefly() -> None:
    assert shown("x" * 100) == "x" * 23 + "…" and shown(MINUS_INFINITY) == "-∞" and shown((1, None)) == "(1, NULL)"
    assert shown(3, (7, 2)) == "3 @(7, 2)"


def test_a_level_is_in_key_order_even_where_a_page_above_was_not_told_yet() -> None:
    first = Page(1, 0, (Entry(10, 20, pointers=((1, 0),)),), SMALL, 48, 20, None, 4)
    new = Page(4, 0, (Entry(20, 20, pointers=((2, 0),)),), SMALL, 48, 30, 1, 2)
    last = Page(2, 0, (Entry(30, 20, pointers=((3, 0),)),), SMALL, 68, None, 4, None)
    root = Page(3, 1, (Entry(MINUS_INFINITY, 12, child=1), Entry(30, 20, child=2)), SMALL, 56)
    tree = Snapshot(
        "half split", "teaching", 3, 2, {page.number: page for page in (first, new, last, root)}, True, SMALL
    )
    assert [page.number for page in tree.leaves()] == [1, 4, 2] and tree.counts == {1: 1, 0: 3} and tree.rows == 3
    assert tree.fragmentation == pytest.approx(1 / 3)


def test_a_snapshot_whose_links_go_round_in_circles_ends() -> None:
    one = Page(1, 0, (), SMALL, 88, None, 2, 2)
    two = Page(2, 0, (), SMALL, 88, None, 1, 1)
    tree = Snapshot("a ring", "teaching", 1, 1, {1: one, 2: two}, True, SMALL)
    assert len(tree.leaves()) == 2 and "2 pages" in str(tree)
