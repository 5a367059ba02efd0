"""Height: by arithmetic from the layout of a page, beside pages that are read, and beside whole indexes."""

from __future__ import annotations

from math import ceil, log
from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.btree import model, read_index
from workbook.engines import Recipe, database
from workbook.exercises.btrees.height import EXERCISE, VARIANTS, Variant, capacities, instances


def entry(width: int, digest: bool = False, also: int = 0) -> int:
    value = 16 if digest else also + width + (1 if width <= 126 else 4)
    return 8 + ceil(value / 8) * 8 + 4


def levels(rows: int, leaf: float, inner: float) -> int:
    count, pages = 1, ceil(rows / int(leaf))
    while pages > 1:
        count, pages = count + 1, ceil(pages / int(inner))
    return count


def rule(variant: Variant, leaf_share: float = 0.0, inner_share: float = 0.0, room: int = 8152) -> Any:
    """The rule that the layout of a page gives; other shares make another rule of it."""
    digest, include = "md5" in variant.index, "INCLUDE" in variant.index
    leaf_share, inner_share = leaf_share or variant.leaf_share, inner_share or variant.inner_share

    def height(rows: int, key_bytes: int) -> int:
        leaf = entry(key_bytes, digest, 8 if include else 0)
        inner = 20 if include else leaf
        return levels(rows, room * leaf_share / leaf, room * inner_share / inner)

    return height


def read_off(variant: Variant) -> Any:
    """The rule of somebody who looked at the pages of a real index."""
    held = {width: (found.leaf, found.inner) for width, found in capacities(variant).items()}

    def height(rows: int, key_bytes: int) -> float:
        leaf, inner = held[key_bytes]
        return 1.0 if rows <= leaf else 1.0 + max(1, ceil(round(log(rows / leaf, inner), 9)))

    return height


def one_less(variant: Variant) -> Any:
    right = rule(variant)

    def height(rows: int, key_bytes: int) -> int:
        return int(right(rows, key_bytes)) - 1

    return height


def bare(variant: Variant) -> Any:
    def height(rows: int, key_bytes: int) -> int:
        size = 16 if "md5" in variant.index else key_bytes
        inner = 8 if "INCLUDE" in variant.index else size
        return levels(rows, 8152 * variant.leaf_share / size, 8152 * variant.inner_share / inner)

    return height


def binary(rows: int, key_bytes: int) -> int:
    return ceil(log(rows + 1, 2))


def of_pages(rows: int, key_bytes: int) -> int:
    return 3


def in_words(rows: int, key_bytes: int) -> str:
    return "three"


def nothing(rows: int, key_bytes: int) -> None:
    return None


def one_argument(rows: int) -> int:
    return 3


def answers(variant: Variant) -> Answers:
    wrong = [
        Wrong(binary, says="How many keys does one page of 8,192 bytes tell apart?", misconception="binary"),
        Wrong(one_less(variant), says="Where does a tree of a single row keep it", misconception="root-is-none"),
        Wrong(of_pages, says="has one root page too few slots", misconception="never-grows"),
        Wrong(in_words, says="the function gives 'three'"),
        Wrong(nothing, says="the function gives None"),
        Wrong(one_argument, says="takes 1 positional argument"),
        Wrong(7, says="this is int"),
    ]
    if "md5" not in variant.index:
        wrong.append(Wrong(bare(variant), says="What stands on a page beside the key", misconception="bare-key"))
    if variant.leaf_share != 0.5:
        wrong.append(Wrong(rule(variant, 0.5, 0.5), says="What leaves a page half full", misconception="half-full"))
    if variant.leaf_share not in (0.5, 0.9):
        wrong.append(Wrong(rule(variant, 0.9, 0.7), says="into pages how full", misconception="always-90"))
    if "INCLUDE" in variant.index:

        def copies(rows: int, key_bytes: int) -> int:
            size = entry(key_bytes, also=8)
            return levels(rows, 8152 * 0.9 / size, 8152 * 0.7 / size)

        wrong.append(Wrong(copies, says="What must stand above two leaves", misconception="separators-are-rows"))
    if "md5" in variant.index:
        whole = rule(VARIANTS[0])
        wrong.append(Wrong(whole, says="Which value does the index hold", misconception="value-is-key"))
    return Answers(right=rule(variant), also_right=[read_off(variant), rule(variant, room=8192)], wrong=wrong)


class TestHeight(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_the_instances_stand_on_both_sides_of_each_place() -> None:
    for variant in VARIANTS:
        heights = {each.truth for each in instances(variant)}
        assert heights >= {1, 2, 3, 4, 5}, variant
        assert 30 <= len(instances(variant)) <= 80


@pytest.mark.parametrize("position", [0, 2, 3, 5])
def test_whole_indexes_are_as_high_as_the_capacities_say(position: int) -> None:
    """Real indexes with as many rows as an instance has, up to the third level's end."""
    variant = VARIANTS[position]
    asked = [each for each in instances(variant) if each.args[1] == 470 and 1 < each.args[0] < 40_000]
    tables = []
    for each in asked:
        rows, width = each.args
        made = variant.made(width).replace(f"words_{width}", f"words_{rows}")
        tables.append(made.replace(f"generate_series(1, {variant.rows(width)})", f"generate_series(1, {rows})"))
    with database(Recipe("words of many counts", "\n".join(tables))) as words:
        for each in asked:
            assert read_index(words.engine, f"words_{each.args[0]}_index").height == each.truth, each


def test_the_model_says_the_same() -> None:
    """The cost model of this workbook, which counts by rules of its own, agrees on every pair of keys built at once."""
    for each in instances(VARIANTS[0]):
        rows, width = each.args
        assert model(rows, f"text({width})", arrival="built").height == each.truth, each


def test_the_first_pair_that_is_wrong_is_shown_with_its_pages() -> None:
    found = shown(verdict(EXERCISE, rule(VARIANTS[0], 0.9, 0.9), VARIANTS[0]))
    assert "from the leaves up" in found and "read an index's inner pages" in found
