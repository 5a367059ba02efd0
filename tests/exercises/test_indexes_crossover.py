"""The crossover: bisected on the engine itself, never stored."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, verdict
from workbook.engines import database
from workbook.exercises.indexes.crossover import APART_MAX, EXERCISE, ROWS, VARIANTS, Variant, recipe, sequential
from workbook.plans import explain


@cache
def crossover(variant: Variant) -> tuple[int, int] | None:
    """The last value before a change of the plan, and the first one after it; None where there is no change."""
    with database(recipe(variant)) as orders:

        def reads_all(minute: int) -> bool:
            return sequential(explain(variant.query(minute), orders.engine, analyze=False))

        low, high = 0, ROWS
        if not reads_all(high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reads_all(middle) else (middle, high)
        return low, high


def pair(index: object, sequential: object) -> dict[str, object]:
    return {"index": index, "sequential": sequential}


def answers(variant: Variant) -> Answers:
    place = crossover(variant)
    of_type = [
        Wrong(pair("100", 200), says="are whole numbers"),
        Wrong(pair(100, ROWS + 1), says="'sequential' is 60,001"),
        Wrong(pair(-1, 200), says="'index' is -1"),
        Wrong({"index": 100}, says="this is a dict with ['index']"),
        Wrong([100, 200], says="this is list"),
    ]
    if place is None:
        return Answers(
            right=pair(ROWS, None),
            also_right=[{"sequential": None, "index": ROWS}],
            wrong=[
                *of_type,
                Wrong(pair(ROWS - 100, None), says="shows nothing about larger values", misconception="extremes"),
                Wrong(
                    pair(2_999, 3_001),
                    says="At 3,001 the plan is an Index Only Scan: 3,001 rows, 5.0 %",
                    misconception="fixed-share",
                ),
                Wrong(
                    pair(1, ROWS),
                    says="At 60,000 the plan is an Index Only Scan: 60,000 rows, 100.0 %",
                ),
            ],
        )
    low, high = place
    return Answers(
        right=pair(low, high),
        also_right=[pair(low - 20, high), pair(low, high + 20)],
        wrong=[
            *of_type,
            Wrong(pair(1, ROWS), says="% of the table. Expected: At most 600 rows", misconception="extremes"),
            Wrong(pair(high, low), says="The two are exchanged", misconception="always-index"),
            Wrong(pair(high, high + 30), says="That is the side of `sequential`", misconception="always-index"),
            Wrong(pair(low, None), says="`sequential` is None, yet", misconception="always-index"),
            Wrong(pair(20, 40), says="At 40 the plan is"),
        ],
    )


class TestCrossover(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_the_place_moves() -> None:
    """The share of the rows at which the plan changes lies all over the scale, and one variant has no such place."""
    places = {variant: crossover(variant) for variant in VARIANTS}
    assert sum(place is None for place in places.values()) == 1
    values = sorted(place[1] for place in places.values() if place)
    assert values[0] < 0.2 * ROWS and values[-1] > 0.8 * ROWS
    assert all(later - earlier > APART_MAX for earlier, later in pairwise(values))


@pytest.mark.parametrize("share", [1, 5, 10, 20, 30])
def test_no_fixed_share_passes_everywhere(share: int) -> None:
    """'A fixed five per cent', and every other fixed share of the values, fails on at least half of the variants."""
    middle = ROWS * share // 100
    passed = [v for v in VARIANTS if verdict(EXERCISE, pair(middle - APART_MAX // 2, middle + APART_MAX // 2), v).full]
    assert len(passed) <= 1
