"""The check before the agent: what tells the bank, what does not, and whether the bank tells the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong
from workbook.exercises.indexes.budget import (
    BANK,
    EXERCISE,
    LARGE,
    SMALL,
    VARIANTS,
    Facts,
    Variant,
    bank,
    broken,
    facts_of,
)

READS = ("list_pages", "queue_pages", "lookup_pages")


def check(
    variant: Variant, read: Callable[[Facts, Facts, str], float], *, disk: bool = True, log: bool = True
) -> Callable[[Facts, Facts], bool]:
    """A check of the goals of a variant: reads as `read` works them out, disk and log or not."""

    def accept(small: Facts, large: Facts) -> bool:
        limits = {name: getattr(variant, name) for name in READS}
        fine = all(read(small, large, name) <= limit for name, limit in limits.items() if limit)
        if disk and variant.disk_mb:
            fine = fine and large["index_bytes"] / large["rows"] * 2_000_000 <= variant.disk_mb * 1_000_000
        if log and variant.log_mb:
            fine = (
                fine
                and (large["insert_wal"] * variant.orders_s + large["update_wal"] * variant.looks_s) / 1e6
                <= variant.log_mb
            )
        return fine

    return accept


def by_power(small: Facts, large: Facts, name: str) -> float:
    return large[name] * (large[name] / small[name]) ** 2


def by_doubling(small: Facts, large: Facts, name: str) -> float:
    return large[name] if large[name] < 2 * small[name] else float("inf")


def not_at_all(small: Facts, large: Facts, name: str) -> float:
    return 0.0


def within(small: Facts, large: Facts, name: str) -> float:
    return large[name]


def growth_only(small: Facts, large: Facts, name: str) -> float:
    return 0.0 if large[name] < 2 * small[name] else float("inf")


def passes(variant: Variant, accept: Callable[[Facts, Facts], bool]) -> bool:
    return all(accept(*facts) is not bool(broken(variant, *facts)) for name, facts in bank().items() if name != "none")


def answers(variant: Variant) -> Answers:
    return Answers(
        right=check(variant, by_power),
        also_right=[check(variant, by_doubling)],
        wrong=[
            Wrong(lambda small, large: False, says="A design that keeps to every goal was refused", misconception="strict-is-safe"),
            Wrong(check(variant, by_power, disk=False, log=False), says="Which goal has the unit", misconception="reads-only"),
            Wrong(check(variant, not_at_all), says="after two more such steps", misconception="small-is-enough"),
            Wrong(lambda small, large: "yes", says="gave back 'yes', which is str"),
            Wrong(lambda small, large: small["pages"] > 3, says="KeyError"),
            Wrong(lambda small: True, says="TypeError"),
            Wrong("accept", says="this is str"),
        ],
    )  # fmt: skip


class TestBudget(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_each_shop_takes_other_designs() -> None:
    taken = [frozenset(name for name in BANK if not broken(variant, *bank()[name])) for variant in VARIANTS]
    assert len(set(taken)) == len(VARIANTS) and all(2 <= len(names) < len(BANK) - 2 for names in taken), taken


@pytest.mark.slow
@pytest.mark.parametrize("name", BANK)
def test_the_stored_facts_are_those_that_are_measured(name: str) -> None:
    assert [facts_of(name, rows) for rows in (SMALL, LARGE)] == list(bank()[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lean", "lean, hashed", "customer alone", "queue unfiltered", "notes carried"])
def test_what_was_worked_out_holds_at_ten_times_the_size(name: str) -> None:
    """Power laws: what is told to stay does, what is told to grow does, the disk within a third."""
    (small, large), there = bank()[name], facts_of(name, 10 * LARGE)
    for read in READS:
        expected = large[read] * (large[read] / small[read])
        assert expected / 2 <= there[read] <= 2 * expected, read
    assert there["index_bytes"] == pytest.approx(10 * large["index_bytes"], rel=0.34)
    assert there["insert_wal"] == pytest.approx(large["insert_wal"], rel=0.25)


@pytest.mark.slow
def test_what_grows_within_its_limit_leaves_it() -> None:
    assert bank()["customer covered"][1]["list_pages"] < 20 < facts_of("customer covered", 10 * LARGE)["list_pages"]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.story[:20])
def test_no_shortcut_tells_the_bank(variant: Variant) -> None:
    right = check(variant, by_power)
    assert passes(variant, right)
    if variant.lookup_pages == 2:
        assert not passes(variant, check(variant, growth_only))
    if variant.list_pages:
        assert not passes(variant, check(variant, within))
    if not (variant.log_mb and variant.looks_s > variant.orders_s):  # there the log asks for HOT updates in other words
        assert not passes(variant, lambda small, large: right(small, large) and large["hot"] > 0.9)
    if variant.disk_mb:
        binary = replace(variant, disk_mb=variant.disk_mb * 1.048576)
        assert not passes(variant, check(binary, by_power))
    if variant.log_mb and variant.orders_s >= 1_000:
        mere = check(replace(variant, log_mb=0.0), by_power)
        assert not passes(variant, lambda small, large: mere(small, large) and large["update_wal"] < 200)
