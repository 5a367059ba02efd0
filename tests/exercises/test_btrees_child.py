"""Find the child: rules of other shapes, rules of mistaken beliefs, and cases that are made as small as they can be."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.btrees.child import BELIEFS, EXERCISE, VARIANTS, Variant, cases, rule


def by_comparison(variant: Variant) -> Any:
    """A right rule of another shape: a binary search with a three-way comparison, which knows nothing of `rule`."""

    def compared(mine: Any, other: Any, descending: bool, nulls_first: bool) -> int:
        if mine is None or other is None:
            return ((mine is not None) - (other is not None)) * (1 if nulls_first else -1)
        return ((mine > other) - (mine < other)) * (-1 if descending else 1)

    def order(key: Any, bound: Any) -> int:
        for place in range(min(len(key), len(bound))):
            column = variant.columns[place]
            found = compared(key[place], bound[place], column.descending, column.nulls_first)
            if found:
                return found
        if len(key) != len(bound):
            return 1 if len(key) > len(bound) or variant.wants == "last" else -1
        return -1 if variant.largest else 1

    def find_child(page: Any, key: Any) -> int:
        if page["high_key"] is not None and order(key, page["high_key"]) > 0:
            return int(page["right"])
        low, high = 1, len(page["entries"])
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if order(key, page["entries"][middle]["key"]) > 0 else (low, middle)
        return int(page["entries"][low - 1]["child"])

    return find_child


def sorting(variant: Variant) -> Any:
    """And one more: sort the key in among the separators."""
    right = by_comparison(variant)

    def find_child(page: Any, key: Any) -> int:
        one = {**page, "entries": page["entries"][:1]}
        if right(one, key) == page["right"] and page["right"] is not None:
            return int(page["right"])

        def before(entry: Any, other: Any) -> int:
            if entry is None or other is None:
                bound = other if entry is None else entry
                at = {"high_key": None, "right": None, "entries": [{"key": (), "child": 1}, {**bound, "child": 2}]}
                beyond = right(at, key) == 2
                return (1 if beyond else -1) * (1 if entry is None else -1)
            return page["entries"].index(entry) - page["entries"].index(other)

        in_order = sorted([None, *page["entries"]], key=cmp_to_key(before))
        return int(in_order[in_order.index(None) - 1]["child"])

    return find_child


def plain_tuples(page: Any, key: Any) -> Any:
    if page["high_key"] is not None and key >= page["high_key"]:
        return page["right"]
    return max(entry for entry in page["entries"] if entry["key"] <= key)["child"]


def always_first(page: Any, key: Any) -> Any:
    return page["entries"][0]["child"]


def the_place(page: Any, key: Any) -> Any:
    return -1


def in_words(page: Any, key: Any) -> Any:
    return "right"


def nothing(page: Any, key: Any) -> None:
    return None


SAYS = {
    "no-move": "what may have happened to this page since",
    "equal-side": "of which of the two pages was the separator made",
    "high-side": "the separator that stands behind it in the page above",
    "null-side": "Where in this index do the rows stand whose column is NULL",
    "ascending": "Which of two values of this column stands first",
    "missing-is-all": "behind (30,) nothing is known",
    "other-end": "at which end of them is the one that is wanted",
    "separators-are-rows": "does the child begin with that key, or end with it",
}


def answers(variant: Variant) -> Answers:
    asked = cases(variant)
    held = [key for key in BELIEFS if any(rule(variant, key)(case.page, case.key) != case.truth for case in asked)]
    return Answers(
        right=by_comparison(variant),
        also_right=[rule(variant), sorting(variant)],
        wrong=[
            *[Wrong(rule(variant, key), says=SAYS[key], misconception=key) for key in held],
            Wrong(plain_tuples, says="raised TypeError"),
            Wrong(the_place, says="is sent to -1. It is neither a child"),
            Wrong(in_words, says="is sent to 'right'. It is neither a child"),
            Wrong(nothing, says="is sent to None. It is neither a child"),
            Wrong(11, says="this is int"),
        ],
    )


class TestChild(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rule_is_what_the_tree_does(variant: Variant) -> None:
    asked = cases(variant)
    assert len(asked) > 1000
    assert all(rule(variant)(case.page, case.key) == case.truth for case in asked)
    moved = sum(case.truth == case.page["right"] for case in asked)
    assert (moved > 300) == variant.links and (moved == 0) == (not variant.links)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_cases_hold_what_tells_rules_apart(variant: Variant) -> None:
    """NULLs, keys equal to a separator and to a high key, and separators that were cut where they are cut at all."""
    asked = cases(variant)
    separators = [entry["key"] for case in asked for entry in case.page["entries"][1:]]
    assert any(None in case.key for case in asked)
    assert any(len(key) == 1 for key in separators) != variant.largest
    beliefs = {key for key in BELIEFS if any(rule(variant, key)(c.page, c.key) != c.truth for c in asked)}
    assert {"equal-side", "null-side", "separators-are-rows"} <= beliefs
    assert ({"no-move", "high-side"} <= beliefs) == variant.links


def test_the_smallest_case_is_shown_and_drawn() -> None:
    found = verdict(EXERCISE, rule(VARIANTS[-1], "equal-side"), VARIANTS[-1])
    assert "on page" in shown(found) and shown(found).count("→") <= 3
    (drawing,) = found.pictures
    assert "(chosen)" in str(drawing) or "right" in str(drawing)
    assert "<title>" in drawing.svg and "where does" in drawing.svg


def test_a_first_child_for_all_is_told_where_to_look() -> None:
    found = verdict(EXERCISE, always_first, VARIANTS[-1])
    assert not found.full and "Go through its entries from the right" in shown(found)
