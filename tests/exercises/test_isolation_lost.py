"""Lost updates: orders that lose one, mends against which there is none, and what looks like a mend."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.isolation.lost import (
    EXERCISE,
    NAMES,
    VARIANTS,
    Variant,
    accepts,
    losing,
    orders,
    outcome,
)
from workbook.exercises.isolation.writers import KINDS, PAGE, STOCK, bank

BY_HAND: tuple[dict[str, Any], ...] = (
    {"A": "ana ben ana ben ana ben", "B": None, "C": "ana ben ben ben ben ana ana ana", "D": None},
    {"A": "ben ana ana ana ben ben", "B": None, "C": "ana ben ana ben", "D": "ana ben ben ben ana ana"},
    {"A": "ben ana ana ben", "B": "ben ana ana ben ben", "C": None, "D": "ana ben ben ben ana ana"},
    {"A": "ana ben ana ana ben ben", "B": None, "C": None, "D": "ana ana ben ben ben ben ana ana"},
    {"A": "ben ana ana ana ben ben", "B": None, "C": "ana ana ben ben ben ben ana ana", "D": None},
    {"A": "ana ben ben ben ana ana", "B": "ana ben ana ben", "C": None, "D": None},
    {"A": "ana ben ben ana", "B": "ben ana ana ana ana ben ben ben", "C": None, "D": None},
)
"""An answer to each variant, found with a pencil."""
HOLD = {"repeatable", "atomic", "with lock", "lock", "share lock", "compare", "advisory"}
HOLD |= {"whole row repeatable", "own columns"}
ONE_SIDED = {"one level": ("ana",), "one lock": ("ben",), "one atomic": ("ben",)}
"""Kinds in which nobody loses, and those in which only these sessions do not."""


def begun(variant: Variant, right: dict[str, Any]) -> dict[str, Any]:
    """The orders with a turn for each BEGIN, just before the statement behind it."""
    said: dict[str, Any] = {}
    for name, pair, _ in variant.parts:
        left, turns = {each: list(pair.program(each)) for each in ("ana", "ben")}, []
        for turn in right[name].split() if right[name] else ():
            turns += [turn] * (1 + (left[turn][0] == "BEGIN"))
            left[turn] = left[turn][1 + (left[turn][0] == "BEGIN") :]
        said[name] = turns or None
    return said


def answers(variant: Variant) -> Answers:
    right = BY_HAND[VARIANTS.index(variant)]
    measured: dict[str, Any] = {}
    for name, pair, victim in variant.parts:
        found = losing(pair, victim)
        measured[name] = found[-1].split() if found else None
    first = variant.parts[0][1]
    serial = " ".join(["ana"] * first.turns("ana") + ["ben"] * first.turns("ben"))
    other = variant.parts[0][2]
    swapped = " ".join({"ana": "ben", "ben": "ana"}[turn] for turn in right["A"].split())
    return Answers(
        right=right,
        also_right=[
            measured,
            begun(variant, right),
            {name: tuple(turns.split()) if turns else None for name, turns in right.items()},
        ],
        wrong=[
            Wrong(
                {**right, "A": None}, says="A: there are such orders", misconception=KINDS[variant.asked[0][0]].belief
            ),
            Wrong({**right, "A": serial}, says="A: `" + serial + "` leaves"),
            Wrong(dict.fromkeys(NAMES), says="You say None to all four", misconception="none-at-all"),
            Wrong({**right, "A": swapped}, says=f"and {other}'s is there", misconception="first-wins"),
            Wrong({**right, "A": serial + " ben"}, says="A: ben has"),
            Wrong({**right, "A": serial.replace("ben", "bob", 1)}, says="'bob' is neither ana nor ben"),
            Wrong({**right, "A": "  "}, says="the order is empty"),
            Wrong({**right, "A": 7}, says="this is 7"),
            Wrong({"A": right["A"]}, says="The keys of the dict are"),
            Wrong("ana ben ana ben", says="this is str"),
        ],
    )


class TestLost(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize("kind", KINDS)
def test_what_each_kind_of_program_loses(kind: str) -> None:
    world = PAGE if "row" in kind or "columns" in kind or "form" in kind else STOCK
    safe = tuple(name for name in ("ana", "ben") if not losing(bank(kind, world), name))
    assert safe == (("ana", "ben") if kind in HOLD else ONE_SIDED.get(kind, ()))
    assert bool(KINDS[kind].belief) == bool(KINDS[kind].question) == (kind not in HOLD)


def alternating(turns: dict[str, int], first: str) -> str:
    """One turn each as long as both have one, this session first."""
    left, said = dict(turns), []
    names = (first, "ben" if first == "ana" else "ana")
    while any(left.values()):
        for name in names:
            if left[name]:
                left[name] -= 1
                said.append(name)
    return " ".join(said)


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_one_guess_fits_a_variant(variant: Variant) -> None:
    exist = [bool(losing(pair, victim)) for _, pair, victim in variant.parts]
    assert exist[0] and exist.count(True) >= 2 and False in exist
    assert not verdict(EXERCISE, dict.fromkeys(NAMES), variant).full
    for first in ("ana", "ben"):
        turns = {name: {each: pair.turns(each) for each in ("ana", "ben")} for name, pair, _ in variant.parts}
        guess = {name: alternating(turns[name], first) for name in NAMES}
        assert not verdict(EXERCISE, guess, variant).full


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_one_order_fits_two_pairs(variant: Variant) -> None:
    fitting = [order for _, pair, victim in variant.parts for order in losing(pair, victim)]
    assert len(fitting) == len(set(fitting))


def test_none_for_all_names_no_pair() -> None:
    found = shown(verdict(EXERCISE, dict.fromkeys(NAMES), VARIANTS[0]))
    assert not any(f"{name}:" in found for name in NAMES)


def test_a_wrong_order_is_drawn_as_the_task_shows_it() -> None:
    variant = VARIANTS[0]
    found = verdict(EXERCISE, {**BY_HAND[0], "A": "ana ana ana ben ben ben"}, variant)
    (drawn,) = found.pictures
    assert "UPDATE stock SET on_hand = :seen - 3" in str(drawn) and "set_config" not in str(drawn) + drawn.svg
    assert "both changes are there" in shown(found) and str(drawn).startswith("A · PostgreSQL")


def test_a_refusal_is_no_loss() -> None:
    found = verdict(EXERCISE, {**BY_HAND[0], "D": "ana ben ana ana ben ben"}, VARIANTS[0])
    assert "ben is refused, 40001" in shown(found)
    assert found.misconception == EXERCISE.misconceptions["error-is-loss"]
    changed_nothing = verdict(EXERCISE, {**BY_HAND[2], "C": "ben ana ana ana ben ben"}, VARIANTS[2])
    assert "ben's UPDATE changes 0 rows" in shown(changed_nothing)


def test_the_picture_carries_the_level_of_the_pair() -> None:
    found = verdict(EXERCISE, {**BY_HAND[0], "D": "ana ben ana ana ben ben"}, VARIANTS[0])
    (drawn,) = found.pictures
    head = str(drawn).splitlines()[0]
    assert "40001" in str(drawn) and head.endswith("repeatable read") and "read committed" not in head


def test_a_shared_lock_ends_in_a_deadlock() -> None:
    found = outcome(bank("share lock", STOCK), "ana ben ana ben ana ben")
    assert "40P01" in found.told and found.left == (7,)


def test_an_order_where_there_is_none_is_told_so() -> None:
    found = verdict(EXERCISE, {**BY_HAND[0], "B": "ana ben ana ben"}, VARIANTS[0])
    assert found.misconception == EXERCISE.misconceptions["always-possible"]
    assert shown(found).count("None, where there is no such order") == 1


def test_orders_are_all_there_are() -> None:
    assert len(orders(bank("late lock", STOCK))) == 70 == len(set(orders(bank("late lock", STOCK))))
    assert accepts({"A": None, "B": "ana", "C": ["ana"], "D": ("ben",)}) == ""
