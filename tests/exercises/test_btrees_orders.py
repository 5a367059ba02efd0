"""Two orders of the same rows: what makes the largest index here makes the smallest elsewhere."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.engines import database
from workbook.exercises.btrees.orders import (
    CUSTOMERS,
    EXERCISE,
    INSERT,
    ROWS,
    SHAPES,
    TRYING,
    VARIANTS,
    Variant,
    accepts,
    best,
    bound,
    in_order,
    in_two,
    known,
    outside_in,
    recipe,
    shuffled,
)

RISING = list(range(1, ROWS + 1))
FALLING = RISING[::-1]
SHUFFLED = random.Random(7).sample(RISING, ROWS)
HALF, NEWEST, ROOMY, CODE, CUSTOMER, STATUS = VARIANTS


def pair(largest: list[int], smallest: list[int]) -> dict[str, list[int]]:
    return {"largest": largest, "smallest": smallest}


REFUSED = [
    Wrong(pair(RISING[:-1], RISING), says="'largest' has 19,999 numbers, 19,999 different ones; 20,000 is missing"),
    Wrong(pair(RISING, [1, *RISING[:-1]]), says="'smallest' has 20,000 numbers, 19,999 different ones"),
    Wrong(pair([*RISING[:-1], float(ROWS)], RISING), says="'largest' is to be a list of whole numbers"),  # type: ignore[list-item]
    Wrong({"largest": RISING}, says="this is a dict with ['largest']"),
    Wrong("ascending", says="this is str"),
]
NONE = Wrong(None, says="You say that no order makes a difference", misconception="order-is-free")


def sorted_wrong(variant: Variant) -> list[Wrong]:
    """What is wrong for an index that ascending rows make smallest."""
    order = in_order(variant)
    mixed = shuffled(order)
    return [
        Wrong(pair(order, order[::-1]), says="The two are exchanged"),
        Wrong(pair(mixed, order), says="would one half never get another row?", misconception="shuffled-is-worst"),
        Wrong(pair(order[::-1], mixed), says="how full just before, and so", misconception="shuffled-is-even"),
        Wrong(pair(order, order), says="Where is the right-most leaf cut", misconception="always-halved"),
        Wrong(pair(order[::-1], order[::-1]), says="gets the next ones", misconception="edges-are-alike"),
        Wrong(pair(order[::-1], fifth_last(order)), says="than it has room for?", misconception="later-fits"),
        Wrong(
            pair(order[::-1], inside_out(order)),
            says="and how many rows come to each?",
            misconception="edges-are-alike",
        ),
        Wrong(pair(inside_out(order), order), says="the emptier leaves", misconception="edges-are-alike"),
        Wrong(pair(fifth_last(order), order), says="when the last stretch begins", misconception="cuts-enlarge"),
        NONE,
    ]


def fifth_last(order: list[int]) -> list[int]:
    """Four of five first, so that more come to each leaf than it has room for."""
    return in_two(order, lambda place: place % 5 > 0)


def inside_out(order: list[int]) -> list[int]:
    return outside_in(order)[::-1]


def by_number(variant: Variant) -> list[Wrong]:
    """What is wrong for an index that knows no numbers."""
    order = in_order(variant)
    return [
        Wrong(pair(order[::-1], RISING), says="Which two rows are neighbours", misconception="numbers-decide"),
        Wrong(
            pair(SHUFFLED if variant is CODE else FALLING, order),
            says="would one half never get another row?"
            if variant is CODE
            else "By what does this index sort the rows",
        ),
    ]


def roomy_wrong() -> list[Wrong]:
    return [
        Wrong(
            pair(FALLING, SHAPES["thirds"](RISING)),
            says="and how full one that is cut elsewhere",
            misconception="half-full",
        ),
        Wrong(pair(RISING, RISING), says="ascending rows leave behind here", misconception="sorted-is-best"),
        Wrong(pair(RISING, FALLING), says="gets the next ones", misconception="edges-are-alike"),
        Wrong(pair(RISING, SHUFFLED), says="fit between two neighbours", misconception="one-way"),
        Wrong(
            pair(SHUFFLED, SHAPES["thirds"](RISING)), says="would one half never get", misconception="shuffled-is-worst"
        ),
        NONE,
    ]


def half_wrong() -> list[Wrong]:
    halves = SHAPES["halves"](RISING)
    return [
        Wrong(pair(FALLING, RISING), says="ascending rows leave behind here", misconception="sorted-is-best"),
        Wrong(pair(RISING, FALLING), says="gets the next ones", misconception="edges-are-alike"),
        Wrong(pair(RISING, SHAPES["thirds"](RISING)), says="than it has room for?", misconception="later-fits"),
        Wrong(pair(RISING, SHUFFLED), says="fit between two neighbours", misconception="one-way"),
        Wrong(pair(SHUFFLED, halves), says="would one half never get", misconception="shuffled-is-worst"),
        Wrong(pair(halves, FALLING), says="The two are exchanged", misconception="sorted-is-best"),
        NONE,
    ]


def status_wrong() -> list[Wrong]:
    order = in_order(STATUS)
    return [
        Wrong(pair(order[::-1], order), says="Where among its like does a new row go", misconception="order-decides")
    ]


def answers(variant: Variant) -> Answers:
    order = in_order(variant)
    if variant is STATUS:
        return Answers(None, [None], [*status_wrong(), *REFUSED])
    if variant is HALF:
        evens_last = [*range(1, ROWS, 2), *range(ROWS, 0, -2)]
        return Answers(pair(order, SHAPES["halves"](order)), [pair(order[::-1], evens_last)], [*half_wrong(), *REFUSED])
    if variant is ROOMY:
        thirds = order[::3] + order[1::3] + order[2::3]
        down = [number for place, number in enumerate(order) if place % 9 < 5][::-1]
        ninths = down + [number for place, number in enumerate(order) if place % 9 >= 5]
        return Answers(
            pair(order, SHAPES["thirds"](order)), [pair(order, thirds), pair(order, ninths)], [*roomy_wrong(), *REFUSED]
        )
    wrong = [*sorted_wrong(variant), *REFUSED]
    if variant in (CODE, CUSTOMER):
        wrong = [one for one in wrong if "would one half" not in one.says] + by_number(variant)
    return Answers(pair(order[::-1], order), [{"smallest": tuple(order), "largest": outside_in(order)}], wrong)


class TestOrders(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.slow
def test_each_index_wants_another_pair() -> None:
    """Of the orders by number, each is the right pair for one index only."""
    right = {
        name: [variant.name for variant in VARIANTS if verdict(EXERCISE, answer, variant).full]
        for name, answer in {
            "rising is smallest": pair(FALLING, RISING),
            "falling is smallest": pair(RISING, FALLING),
            "none": None,
        }.items()
    }
    assert right == {
        "rising is smallest": [],
        "falling is smallest": ["newest first"],
        "none": ["status"],
    }


def test_the_bounds_leave_room_for_the_plain_way_and_no_shuffle_meets_them() -> None:
    for variant in VARIANTS[:-1]:
        made = known(variant)
        assert bound(variant, "largest") < best(variant, "largest") and made[variant.plain] <= bound(
            variant, "smallest"
        )
        assert bound(variant, "smallest") < made["shuffled"] < bound(variant, "largest")


def test_an_order_that_goes_beyond_the_known_ones_is_told_so() -> None:
    found = verdict(EXERCISE, pair(RISING, FALLING), NEWEST)
    assert found.full and "goes beyond" not in shown(found)
    tenths = in_two(in_order(CUSTOMER), lambda place: place % 10 > 0)
    found = verdict(EXERCISE, pair(in_order(CUSTOMER)[::-1], tenths), CUSTOMER)
    assert found.full and "The smallest that we knew has 24: yours goes beyond it" in shown(found), found


def test_a_range_is_taken_and_0_is_none_of_the_orders() -> None:
    ranges: Any = {"largest": range(1, ROWS + 1), "smallest": range(ROWS, 0, -1)}
    assert verdict(EXERCISE, ranges, NEWEST).full
    found = verdict(EXERCISE, {"largest": range(ROWS), "smallest": range(ROWS)}, NEWEST)
    assert "0 is none of the orders; 20,000 is missing" in shown(found), found


def test_none_gets_no_sizes() -> None:
    assert "pages" not in shown(verdict(EXERCISE, None, CODE))


@pytest.mark.slow
def test_no_order_of_four_values_makes_a_difference() -> None:
    """Whatever the lengths of the runs in which the statuses come: the same pages."""
    chance = random.Random(3)
    for longest in (1, 30, 400, 2500):
        left = [[number for number in RISING if number % 4 == status] for status in range(4)]
        order: list[int] = []
        while any(left):
            rows = chance.choice([rows for rows in left if rows])
            cut = chance.randint(1, longest)
            order += rows[:cut]
            del rows[:cut]
        found = verdict(EXERCISE, pair(order, RISING), STATUS)
        assert "`largest` makes 18 pages, 7 bytes a row, and `smallest` 18 pages" in shown(found), found


def test_numbers_that_only_look_like_whole_ones_are_refused() -> None:
    answer: dict[str, Any] = pair([True, *RISING[1:]], RISING)
    assert "whole numbers" in accepts(answer)
    assert "whole numbers" in accepts(pair([float(number) for number in RISING], RISING))  # type: ignore[misc]


def test_the_customers_are_as_the_task_says() -> None:
    assert {sum(number * 7919 % CUSTOMERS == customer for number in RISING) for customer in (0, 7, 1999)} == {10}


def test_the_code_of_the_task_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with database(recipe(CODE)) as mine:
        exec(TRYING, {"practice": lambda id: mine.engine, "insert": INSERT, "order": in_order(CODE)})
    assert capsys.readouterr().out == f"{known(CODE)['ascending']} pages\n"
