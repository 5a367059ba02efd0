"""Leaf pages: how full, times how wide, beside nine real indexes a variant."""

from __future__ import annotations

from math import ceil, floor, log
from typing import Any

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.btrees.leaves import EXERCISE, LN_2, VARIANTS, Variant, instances


def rule(variant: Variant, row_bytes: float = 0, share: float = 0, **filled: Any) -> Any:
    """The rule, or another one: how full (None: the fill factor) by order, or what a row takes."""
    full = {"built": None, "ascending": None, "descending": 0.5, "random": LN_2} | filled
    row_bytes, share = row_bytes or variant.row_bytes, share or variant.share

    def leaves(rows: int, order: str, fill_factor: int) -> int:
        return ceil(rows * share * row_bytes / (8152 * (full[order] or fill_factor / 100)))

    return leaves


def by_entries(variant: Variant) -> Any:
    """Another right rule: whole entries a page, and a float."""

    def leaves(rows: int, order: str, fill_factor: int) -> float:
        each = floor(8152 / variant.row_bytes)
        full = {"random": 0.69, "descending": 0.5}.get(order, fill_factor / 100)
        return rows * variant.share / (each * full)

    return leaves


def tree_height(rows: int, order: str, fill_factor: int) -> int:
    return ceil(log(rows, 300))


def text(rows: int, order: str, fill_factor: int) -> str:
    return f"{rows // 300} pages"


def lost(rows: int, order: str, fill_factor: int) -> int:
    return {"built": 1, "ascending": 2}[order]


TEMPTING = {
    "bare-key": "What else belongs to an entry",
    "included-are-free": "Where do the values of the INCLUDE columns stand",
    "each-row-an-entry": "Fifty entries have the same key",
    "partial-is-whole": "For which rows is there an entry at all",
}


def answers(variant: Variant) -> Answers:
    return Answers(
        right=rule(variant),
        also_right=[by_entries(variant)],
        wrong=[
            Wrong(
                rule(variant, built=0.5, ascending=0.5, descending=0.5, random=0.5),
                says="What does a cut in the middle gain there?",
                misconception="half-full",
            ),
            Wrong(
                rule(variant, built=0.9, ascending=0.9, descending=0.9, random=0.9),
                says="Where does a leaf get room from",
                misconception="always-90",
            ),
            Wrong(
                rule(variant, descending=None, random=None), says="Of which cut is the", misconception="order-is-free"
            ),
            Wrong(rule(variant, descending=None), says="below all others", misconception="descending-is-ascending"),
            Wrong(
                rule(variant, descending=LN_2),
                says="come back to the right half",
                misconception="descending-fills-again",
            ),
            Wrong(rule(variant, random=0.5), says="do to both halves", misconception="random-is-half"),
            Wrong(
                rule(variant, random=None), says="meets a full leaf in the middle", misconception="random-keeps-fill"
            ),
            Wrong(
                rule(variant, ascending=0.5),
                says="Where is the right-most leaf cut",
                misconception="ascending-is-halved",
            ),
            Wrong(
                rule(variant, built=0.9, ascending=0.9),
                says="Compare two indexes built",
                misconception="fill-factor-is-ignored",
            ),
            Wrong(
                rule(variant, variant.tempting_bytes, variant.tempting_share),
                says=TEMPTING[variant.tempting],
                misconception=variant.tempting,
            ),
            Wrong(tree_height, says="Your pages are fuller than the real ones"),
            Wrong(text, says=" pages'. Expected: A number."),
            Wrong(lost, says="KeyError"),
            Wrong({"built": 3}, says="this is dict"),
        ],
    )


class TestLeaves(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_the_right_rule_has_room_to_spare() -> None:
    """The rule is nowhere near the margin, so that whoever rounds otherwise is right as well."""
    for variant in VARIANTS:
        for each in instances(variant):
            assert abs(variant.leaves(*each.args) / each.truth - 1) < 0.06, (variant.on, each)


def test_the_order_alone_is_worth_a_factor() -> None:
    """The same keys at the same fill factor of 90: descending takes 1.8 times the pages of built at once."""
    for variant in VARIANTS:
        by_order = {each.args[1]: each.truth / each.args[0] for each in instances(variant) if each.args[2] == 90}
        assert 1.6 < by_order["descending"] / by_order["built"] < 1.9
        assert by_order["built"] < by_order["random"] < by_order["descending"]


def test_what_is_right_is_told_beside_what_is_not() -> None:
    found = shown(verdict(EXERCISE, rule(VARIANTS[0], random=0.5), VARIANTS[0]))
    assert "right for what arrives built at once, in ascending order, in descending order" in found
