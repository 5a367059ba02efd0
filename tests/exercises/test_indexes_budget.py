"""The check before the agent: what tells the bank, what does not, whether the bank tells the truth, and what becomes of checks that know it by heart."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.indexes.budget import (
    BANK,
    EXAMPLE,
    EXERCISE,
    LARGE,
    OF_A_KIND,
    PAGE_BYTES,
    SMALL,
    VARIANTS,
    Facts,
    Variant,
    bank,
    broken,
    facts_of,
    kinds,
    turned_away,
    unseen,
)
from workbook.grading.verdict import Verdict

Check = Callable[[Facts, Facts], bool]
READS = ("list_pages", "queue_pages", "lookup_pages")


def check(
    variant: Variant, read: Callable[[Facts, Facts, str], float], *, disk: bool = True, log: bool = True
) -> Check:
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


def along_a_line(variant: Variant) -> Check:
    """A right check of another shape: what grows by a third at most stays, all else grows a hundredfold; the disk along a straight line through both samples,
    the log at the worse of them."""

    def accept(small: Facts, large: Facts) -> bool:
        for name in READS:
            pages = large[name] if 3 * large[name] <= 4 * small[name] else 100 * large[name]
            if getattr(variant, name) and pages > getattr(variant, name):
                return False
        slope = (large["index_bytes"] - small["index_bytes"]) / (LARGE - SMALL)
        if variant.disk_mb and large["index_bytes"] + slope * (2_000_000 - LARGE) > variant.disk_mb * 10**6:
            return False
        logged = [variant.orders_s * one["insert_wal"] + variant.looks_s * one["update_wal"] for one in (small, large)]
        return not variant.log_mb or max(logged) <= variant.log_mb * 10**6

    return accept


def by_heart(
    variant: Variant, otherwise: Callable[[Facts, Facts], Any], *, much_alike: bool
) -> Callable[[Facts, Facts], Any]:
    """Says of each design of the bank what its verdicts say, and of all others something else; `much_alike`, also of what differs from one by next to nothing."""
    known = [(facts, not broken(variant, *facts)) for name, facts in bank().items() if name != EXAMPLE]

    def accept(small: Facts, large: Facts) -> Any:
        for facts, right in known:
            if facts == (small, large) or (much_alike and like(facts[0], small) and like(facts[1], large)):
                return right
        return otherwise(small, large)

    return accept


def like(one: Facts, other: Facts) -> bool:
    least = {"index_bytes": PAGE_BYTES, **dict.fromkeys(READS, 1)}
    return all(abs(one[name] - other[name]) <= max(0.01 * one[name], least.get(name, 0)) for name in one)


def with_hot(variant: Variant) -> Check:
    right = check(variant, by_power)
    return lambda small, large: right(small, large) and large["hot"] > 0.9


def at_a_distance(variant: Variant) -> Check:
    """Wants a tenth less than the goals do."""
    less = replace(variant, disk_mb=variant.disk_mb * 0.9, log_mb=variant.log_mb * 0.9)
    return check(less, lambda small, large, name: by_doubling(small, large, name) / 0.9)


def passes(variant: Variant, accept: Check) -> bool:
    return all(accept(*facts) is not bool(broken(variant, *facts)) for name, facts in bank().items() if name != "none")


def answers(variant: Variant) -> Answers:
    return Answers(
        right=check(variant, by_power),
        also_right=[check(variant, by_doubling), along_a_line(variant)],
        wrong=[
            Wrong(lambda small, large: False, says="A design that keeps to every goal was refused", misconception="strict-is-safe"),
            Wrong(check(variant, by_power, disk=False, log=False), says="Which goal has the unit", misconception="reads-only"),
            Wrong(check(variant, not_at_all), says="after two more such steps", misconception="small-is-enough"),
            Wrong(by_heart(variant, lambda small, large: True, much_alike=False), says="measured again on another day", misconception="told-is-all"),
            Wrong(by_heart(variant, check(variant, within), much_alike=True), says="and grows with the rows", misconception="small-is-enough"),
            Wrong(by_heart(variant, check(variant, growth_only), much_alike=True), says="does not grow, and is above", misconception="flat-is-fine"),
            Wrong(by_heart(variant, with_hot(variant), much_alike=True), says="bad in what nobody asks for", misconception="strict-is-safe"),
            Wrong(by_heart(variant, at_a_distance(variant), much_alike=True), says="comes close to its limits", misconception="strict-is-safe"),
            Wrong(by_heart(variant, check(variant, by_power, disk=False, log=False), much_alike=True), says="some percent more than"),
            Wrong(lambda small, large: "yes", says="gave back 'yes', which is str"),
            Wrong(by_heart(variant, lambda small, large: None, much_alike=True), says="gave back None, which is NoneType"),
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
    assert not verdict(EXERCISE, check(variant, within), variant).full
    assert not verdict(EXERCISE, check(variant, growth_only), variant).full
    assert not verdict(EXERCISE, with_hot(variant), variant).full
    if not (variant.log_mb and variant.looks_s > variant.orders_s):  # there the log asks for HOT updates in other words
        assert not passes(variant, with_hot(variant))
    if variant.disk_mb:
        binary = replace(variant, disk_mb=variant.disk_mb * 1.048576)
        assert not passes(variant, check(binary, by_power))
    if variant.log_mb and variant.orders_s >= 1_000:
        mere = check(replace(variant, log_mb=0.0), by_power)
        assert not passes(variant, lambda small, large: mere(small, large) and large["update_wal"] < 200)


RIGHT = (lambda variant: check(variant, by_power), lambda variant: check(variant, by_doubling), along_a_line)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.story[:20])
def test_whoever_works_it_out_in_whichever_way_agrees(variant: Variant) -> None:
    for accept in (right(variant) for right in RIGHT):
        assert passes(variant, accept)
        for one in unseen(variant):
            assert accept(one.small, one.large) is one.right is not bool(broken(variant, one.small, one.large)), one


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.story[:20])
def test_the_designs_that_no_verdict_shows_are_like_those_of_the_bank(variant: Variant) -> None:
    found = unseen(variant)
    every = {kind for kind, _ in kinds(variant, random.Random(0))}
    assert all(sum(one.kind == kind for one in found) == OF_A_KIND for kind in every)
    assert [one.kind for one in found[: len(BANK)]] != [None] * len(BANK)
    for one in found:
        for facts, model in zip((one.small, one.large), bank()["lean"], strict=True):
            assert facts.keys() == model.keys() and facts["rows"] == model["rows"]
            assert all(type(facts[name]) is type(model[name]) for name in facts), facts
            assert facts["index_bytes"] % PAGE_BYTES == 0 and all(facts[name] == int(facts[name]) > 0 for name in READS)
            assert (
                150 < facts["insert_wal"] < 1_100 and 72 <= facts["update_wal"] + 0.5 < 620 and 0 <= facts["hot"] <= 1
            )


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.story[:20])
@pytest.mark.parametrize("always", [True, False])
def test_whoever_mends_design_after_design_by_what_a_verdict_shows_ends_with_the_bank(
    variant: Variant, always: bool
) -> None:
    """Learns nothing but the numbers of a verdict, each design's in turn, until no verdict shows a number any more."""
    known: dict[str, bool] = {}

    def accept(small: Facts, large: Facts) -> bool:
        if turned_away(large, variant).seen in known:
            return True
        return known.get(broken(variant, small, large), always)

    while True:
        found = verdict(EXERCISE, accept, variant)
        shows = [finding.seen for finding in found.findings if not finding.ok]
        news = {
            seen.removesuffix(", and it was accepted."): False
            for seen in shows
            if seen.endswith(", and it was accepted.")
        }
        news |= {seen: True for seen in shows if seen.startswith("A design that keeps to every goal was refused: at")}
        if not news:
            break
        assert not news.keys() <= known.keys()
        known |= news
    assert not found.full and "All 18 designs are told rightly" in shown(found)
    assert "measured again on another day" in shown(found)


def test_whoever_writes_down_what_is_asked_and_turns_answer_after_answer_learns_nothing() -> None:
    variant, asked, known = VARIANTS[0], [], {}  # type: Variant, list[str], dict[str, bool]

    def accept(small: Facts, large: Facts) -> bool:
        design = f"{small}{large}"
        known.setdefault(design, True)
        if design not in asked:
            asked.append(design)
        return known[design]

    before = rightly(verdict(EXERCISE, accept, variant))
    for design in asked:
        known[design] = not known[design]
        now = rightly(verdict(EXERCISE, accept, variant))
        if now <= before:
            known[design] = not known[design]
        before = max(before, now)
    assert len(asked) == len(BANK) - 1 + len(unseen(variant))
    assert before == len(BANK) - 1 and not verdict(EXERCISE, accept, variant).full


def rightly(found: Verdict) -> int:
    """How many designs a verdict says are told rightly."""
    text = shown(found)
    told = re.search(r"All (\d+) designs|(\d+) of \d+ designs", text)
    assert told, text
    return int(told[1] or told[2])
