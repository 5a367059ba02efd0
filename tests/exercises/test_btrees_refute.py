"""Three splits to refute: each passes its author's tests, each breaks under few keys, and a right one survives these."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.btree import Tree
from workbook.exercises.btrees.refute import EXERCISE, NAMES, VARIANTS, Variant, allowed
from workbook.exercises.btrees.splits import SPLITS, broken, parts, shortest

LEAF = {128: 4, 160: 6, 512: 23}
"""Numbers on a lone root before it is split."""


def by_hand(name: str, page_bytes: int) -> list[Any]:
    """A sequence as a person would write it."""
    full = LEAF[page_bytes] + 1
    down = list(range(90, 0, -1))
    return {
        "half": ["a" * 113, "b" * 113, "c" * 113, "x", "y", "d" * 113],
        "bare": [7] * full,
        "fresh": down[: full + full // 2],
        "unbound": down[: full + full // 2],
        "upward": list(range(1, 100))[:11],
        "copied": list(range(1, 100))[:11],
        "valued": [None] * full,
        "between": list(range(1, full + 1)),
        "letter": ["a" * 113, "ab" * 56, "abc" * 38, "abcd" * 28],
        "stays": down[:full],
    }[name]


def answers(variant: Variant) -> Answers:
    by_search = {name: list(shortest(split, variant.page_bytes)) for name, split in variant.named()}
    mine = {name: by_hand(split, variant.page_bytes) for name, split in variant.named()}
    text = SPLITS[variant.splits[0]].keys == "text"
    tame = ["a"] if text else [1]
    return Answers(
        right=mine,
        also_right=[by_search, {name: tuple(keys) for name, keys in mine.items()}],
        wrong=[
            Wrong({**mine, "A": tame}, says="A: after 1 keys the tree is right", misconception="tests-prove"),
            Wrong({**mine, "B": []}, says="B: after 0 keys the tree is right", misconception="tests-prove"),
            Wrong({**mine, "C": mine["C"] + mine["C"] * 3}, says="Which of the keys of C could be left out", misconception="more-is-better"),
            Wrong({**mine, "A": [1.5]}, says="1.5 is a float", misconception="any-crash"),
            Wrong({**mine, "B": [(1, 2)]}, says="(1, 2) is a tuple", misconception="any-crash"),
            Wrong({"A": [1], "B": [1]}, says="these are 'A', 'B'"),
            Wrong([1, 2, 3], says="this is list"),
            Wrong({**mine, "C": 5}, says="'C' is a list of keys; this is int"),
            Wrong({**mine, "C": list(range(300))}, says="'C' has 300 keys"),
        ],
    )  # fmt: skip


class TestRefute(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)
    partly = True


PAIRS = sorted({(name, variant.page_bytes) for variant in VARIANTS for name in variant.splits})


@pytest.mark.parametrize(("name", "page_bytes"), PAIRS)
def test_each_split_passes_the_tests_of_its_author(name: str, page_bytes: int) -> None:
    for told, keys in SPLITS[name].tested.items():
        assert broken(SPLITS[name].split, list(keys), page_bytes) is None, told
        assert told.startswith("range") == isinstance(keys, range)


@pytest.mark.parametrize(("name", "page_bytes"), PAIRS)
def test_the_authors_tests_do_split_pages(name: str, page_bytes: int) -> None:
    for keys in SPLITS[name].tested.values():
        tree = Tree(page_bytes=page_bytes, duplicates="plain", split=SPLITS[name].split)
        for key in keys:
            tree.insert(key)
        assert tree.counters.splits


@pytest.mark.parametrize(("name", "page_bytes"), PAIRS)
def test_the_shortest_sequence_breaks_it_and_no_shorter_part_does(name: str, page_bytes: int) -> None:
    keys = list(shortest(name, page_bytes))
    assert broken(SPLITS[name].split, keys, page_bytes) is not None and broken(None, keys, page_bytes) is None
    for place in range(len(keys)):
        assert broken(SPLITS[name].split, keys[:place] + keys[place + 1 :], page_bytes) is None
    assert len(by_hand(name, page_bytes)) <= allowed(name, page_bytes)


def test_the_piece_that_they_share_is_right() -> None:
    """`parts` with a cut in the middle survives numbers in any order, repeated ones and NULL."""

    def middle(page: Any, entries: Any, number: int) -> Any:
        return parts(page, entries, number, len(entries) // 2)

    chance = random.Random(1)
    for trial in range(15):
        distinct = chance.choice((1, 3, 20, 500))
        keys = [chance.choice((None, *range(distinct))) for _ in range(120)]
        assert broken(middle, keys, (128, 160, 512)[trial % 3]) is None


def test_the_own_split_of_the_tree_survives_all_that_is_handed_in() -> None:
    for variant in VARIANTS:
        for name, split in variant.named():
            assert name in NAMES and broken(None, by_hand(split, variant.page_bytes), variant.page_bytes) is None


def test_a_long_sequence_shows_the_broken_tree() -> None:
    variant = VARIANTS[0]
    mine = {name: by_hand(split, variant.page_bytes) for name, split in variant.named()}
    found = verdict(EXERCISE, {**mine, "B": list(range(40, 0, -1))}, variant)
    assert "But 40 keys are many" in shown(found) and found.points == 2.67
    (drawing,) = found.pictures
    assert "level" in str(drawing) and "<title>" in drawing.svg


def test_keys_that_no_tree_takes_refute_nothing() -> None:
    variant = VARIANTS[2]
    mine = {name: by_hand(split, variant.page_bytes) for name, split in variant.named()}
    found = shown(verdict(EXERCISE, {**mine, "A": ["x" * 400]}, variant))
    assert "the right tree takes no such sequence" in found and "What would a crash on such a key show" in found
