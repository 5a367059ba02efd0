"""A split and a find-child of one's own: right ones leave a right tree, wrong ones leave faults that are found."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.btree.rules import holds
from workbook.btree import Tree
from workbook.btree.page import MINUS_INFINITY, Entry, Page
from workbook.btree.splitting import SplitPage, halves
from workbook.errors import Misuse


def last_key_of_left(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
    """Tells the page above the last key of the left half."""
    left, right = halves(page, entries, number)
    return replace(left, high_key=left.entries[-1].key), right


def loses_the_middle_child(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
    """Takes the separator of an inner page out with its child."""
    left, right = halves(page, entries, number)
    if not page.level or len(right.entries) < 2:
        return left, right
    first = replace(right.entries[1], key=MINUS_INFINITY)
    return left, replace(right, entries=(first, *right.entries[2:]))


def forgets_the_old_high_key(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
    left, right = halves(page, entries, number)
    return left, replace(right, high_key=None)


def forgets_the_right_sibling(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
    left, right = halves(page, entries, number)
    return left, replace(right, right=None)


def keeps_the_separator_twice(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
    """Leaves the first entry of the right half on the left as well."""
    left, right = halves(page, entries, number)
    return (left, right) if page.level else (replace(left, entries=(*left.entries, right.entries[0])), right)


def drops_the_new_entry_at_the_end(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
    left, right = halves(page, entries, number)
    last = right.entries[-1] not in page.entries and len(right.entries) > 1 and not page.level
    return left, replace(right, entries=right.entries[:-1]) if last else right


WRONG: dict[str, SplitPage] = {
    each.__name__: each
    for each in (
        last_key_of_left,
        loses_the_middle_child,
        forgets_the_old_high_key,
        forgets_the_right_sibling,
        keeps_the_separator_twice,
        drops_the_new_entry_at_the_end,
    )
}


def wrong_with(tree: Tree, keys: list[Any]) -> list[str]:
    """What is wrong: faults of the structure, and keys that are not found any more."""
    missing = [f"{key} is lost" for row, key in enumerate(keys) if tree.find(key) != (row,)]
    scanned = [] if [key for key, _ in tree.scan()] == sorted(keys) else ["a scan does not give the keys"]
    return tree.faults() + missing + scanned


def fed(keys: list[Any], split: SplitPage | None = None, find_child: Any = None) -> list[str]:
    tree = Tree(page_bytes=128, split=split, find_child=find_child)
    try:
        for key in keys:
            tree.insert(key)
        return wrong_with(tree, keys)
    except Misuse as refused:
        return [str(refused)]


@given(st.lists(st.integers(0, 400), unique=True, max_size=120), st.sampled_from([128, 160, 256]))
@settings(max_examples=60, deadline=None)
def test_a_split_into_halves_leaves_a_right_tree(keys: list[int], page_bytes: int) -> None:
    tree = Tree(page_bytes=page_bytes, split=halves)
    for key in keys:
        tree.insert(key)
    holds(tree, sorted((key, row) for row, key in enumerate(keys)))
    assert wrong_with(tree, keys) == []
    for key in keys[::2]:
        assert tree.delete(key) == 1
    tree.vacuum()
    holds(tree, sorted((key, row) for row, key in enumerate(keys) if row % 2))


@given(st.lists(st.text("abc", max_size=30), unique=True, max_size=60))
@settings(max_examples=40, deadline=None)
def test_halves_are_halves_of_the_bytes(keys: list[str]) -> None:
    tree = Tree(page_bytes=512, split=halves)
    for key in keys:
        tree.insert(key)
    holds(tree, sorted((key, row) for row, key in enumerate(keys)))


@pytest.mark.parametrize("split", WRONG.values(), ids=WRONG)
def test_a_wrong_split_is_found_out(split: SplitPage) -> None:
    ascending = list(range(60))
    shuffled = random.Random(3).sample(ascending, 60)
    assert fed(ascending, split) or fed(shuffled, split)
    assert fed(ascending, halves) == fed(shuffled, halves) == []


@pytest.mark.parametrize("split", WRONG.values(), ids=WRONG)
def test_a_wrong_split_passes_while_nothing_is_split(split: SplitPage) -> None:
    assert fed([30, 10, 20], split) == []


def test_some_wrong_splits_pass_all_keys_in_order() -> None:
    ascending, descending = list(range(30)), list(range(30, 0, -1))
    assert fed(ascending, forgets_the_old_high_key) == [] != fed(descending, forgets_the_old_high_key)
    assert fed(descending, drops_the_new_entry_at_the_end) == [] != fed(ascending, drops_the_new_entry_at_the_end)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda left, right: None, "give two pages"),
        (lambda left, right: (left,), "give two pages"),
        (lambda left, right: (left, right.entries), "give two pages"),
        (lambda left, right: (replace(left, high_key=None), right), "without a high key"),
        (lambda left, right: (replace(left, entries=left.entries + right.entries), right), "which has room for 88"),
        (
            lambda left, right: (left, replace(right, entries=(replace(right.entries[0], pointers=()),))),
            "without a row",
        ),
        (
            lambda left, right: (left, replace(right, entries=(replace(right.entries[0], key=MINUS_INFINITY),))),
            "without a key",
        ),
    ],
)
def test_what_a_split_gives_must_be_two_pages_that_can_be_stored(spoil: Callable[..., Any], said: str) -> None:
    tree = Tree(page_bytes=128, split=lambda page, entries, number: spoil(*halves(page, entries, number)))
    for key in (10, 20, 30, 40):
        tree.insert(key)
    before = tree.snapshot()
    with pytest.raises(Misuse, match=said):
        tree.insert(50)
    after = tree.snapshot()
    assert after.pages[1] == before.pages[1] and after.pages[2].state == "free"
    assert tree.faults() == [] and list(tree.scan()) == [(10, 0), (20, 1), (30, 2), (40, 3)]


def test_a_split_that_names_no_child_or_a_page_that_is_not_there() -> None:
    def nowhere(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
        left, right = halves(page, entries, number)
        return left, replace(
            right, entries=tuple(replace(entry, child=99) for entry in right.entries)
        ) if page.level else right

    def childless(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
        left, right = halves(page, entries, number)
        return (replace(left, entries=()), right) if page.level else (left, right)

    assert "names page 99 on an inner page; there is no such page" in fed(list(range(60)), nowhere)[0]
    assert "inner page without a child" in fed(list(range(60)), childless)[0]


def test_a_link_to_a_page_that_is_not_there_gets_a_sentence() -> None:
    def astray(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
        left, right = halves(page, entries, number)
        return replace(left, right=999), right

    tree = Tree(page_bytes=128, split=astray)
    for key in (10, 20, 30, 40, 50):
        tree.insert(key)
    with pytest.raises(Misuse, match="There is no page 999"):
        list(tree.scan())
    assert any("neighbours" in fault for fault in tree.faults())


def test_an_error_of_ones_own_comes_through_and_leaves_the_tree_as_it_was() -> None:
    def unfinished(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
        raise ZeroDivisionError

    tree = Tree(page_bytes=128, split=unfinished)
    for key in (10, 20, 30, 40):
        tree.insert(key)
    with pytest.raises(ZeroDivisionError):
        tree.insert(50)
    assert len(tree) == 4 and tree.faults() == []


def right_child(page: Page, key: Any) -> int:
    """What the lab asks for: move right, else the last entry that is not above the key."""
    if page.high_key is not None and key >= page.high_key:
        assert page.right is not None
        return page.right
    return next(entry.child for entry in page.entries[::-1] if entry.key <= key)


@given(st.lists(st.integers(0, 400), unique=True, max_size=120))
@settings(max_examples=40, deadline=None)
def test_a_right_find_child_finds_every_key(keys: list[int]) -> None:
    assert fed(keys, find_child=right_child) == [] == fed(keys, halves, right_child)


def test_a_right_find_child_survives_a_page_that_the_page_above_was_not_told_of() -> None:
    tree = Tree(page_bytes=128, find_child=right_child)
    for key in range(0, 1000, 10):
        tree.insert(key)
    asked: list[tuple[int, int]] = []
    steps_right = Tree(
        page_bytes=128, find_child=lambda page, key: asked.append((page.number, key)) or right_child(page, key)
    )
    for key in range(0, 1000, 10):
        steps_right.insert(key)
    assert asked and steps_right.snapshot() == tree.snapshot()


def test_a_find_child_that_ignores_equality_takes_a_detour_at_each_separator() -> None:
    def below_only(page: Page, key: Any) -> int:
        return next(entry.child for entry in page.entries[::-1] if entry.key < key)

    plain, tree = Tree(page_bytes=128), Tree(page_bytes=128, find_child=below_only)
    for key in range(40):
        plain.insert(key)
        tree.insert(key)
    inner = [page for page in tree.snapshot().pages.values() if page.level]
    separators = {entry.key for page in inner for entry in page.entries} - {MINUS_INFINITY}
    for key in range(40):
        before, plainly = tree.counters, plain.counters
        assert tree.find(key) == plain.find(key) == (key,), "the high key sends it right in time"
        assert ((tree.counters - before).pages > (plain.counters - plainly).pages) == (key in separators)


@pytest.mark.parametrize(
    ("find_child", "said"),
    [
        (lambda page, key: 77, "sends 50 from page 3 to 77, which is no child of it and not its right sibling"),
        (lambda page, key: None, "to None, which is no child"),
        (lambda page, key: page.number, "give one of 1, 2"),
    ],
)
def test_a_find_child_that_points_nowhere_gets_a_sentence(find_child: Any, said: str) -> None:
    tree = Tree(page_bytes=128, find_child=find_child)
    for key in (10, 20, 30, 40):
        tree.insert(key)
    with pytest.raises(Misuse, match=said):
        for key in (45, 50):
            tree.insert(key)


def test_links_that_go_round_in_circles_end_with_a_sentence() -> None:
    def ring(page: Page, entries: tuple[Entry, ...], number: int) -> tuple[Page, Page]:
        left, right = halves(page, entries, number)
        return left, replace(right, right=page.number, high_key=right.entries[0].key)

    tree = Tree(page_bytes=128, split=ring)
    with pytest.raises(Misuse, match="does not end: it goes round in circles"):
        for key in range(200):
            tree.insert(key)
    list(tree.scan())
