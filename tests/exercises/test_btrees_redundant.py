"""Redundant indexes: mirror images, beginnings, NULLs, rules and operator classes, and which of them only look redundant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.engines import database
from workbook.exercises.btrees.redundant import (
    EXERCISE,
    INDEXES,
    READS,
    RULES,
    VARIANTS,
    Variant,
    pages,
    probed,
    recipe,
)
from workbook.exercises.trial import allowed, pages_of
from workbook.plans import explain

MIRRORED = {
    "parcels_customer_newest": "parcels_customer_desc",
    "parcels_delivered": "parcels_delivered_desc",
}
TWIN = {True: "parcels_delivered_desc", False: "parcels_customer_desc"}
SWAPPED = {
    "the bicycle couriers": [
        ("parcels_tracking_one", "parcels_tracking", "accepted a second parcel without a tracking number", "nulls-are-equal"),
        ("parcels_email_pattern", "parcels_email", "The read `begins`, asked twice with other values, touches 908", "text-is-text"),
    ],
    "the vans of the north": [
        ("parcels_delivered_last", "parcels_delivered", "The read `last`, asked twice with other values, touches 908", "backward-is-any"),
        ("parcels_tracking", "parcels_tracking_one", "refuses a second parcel without a tracking number", "unique-is-harmless"),
    ],
    "the house of returns": [
        ("parcels_customer_newest", "parcels_customer_placed", "The read `page`, asked twice with other values, touches 10,0", "backward-is-any"),
        ("parcels_courier_open", "parcels_courier", "accepted a second open parcel", "partial-is-small"),
    ],
    "the planners": [
        ("parcels_customer", "", "The read `survey`, asked once, touches 454 pages", "prefix-always-goes"),
        ("parcels_courier", "", "The read `tour`, asked twice with other values, touches 908", "partial-serves-all"),
        ("parcels_tracking", "parcels_tracking_lookup", "accepted a second parcel with the tracking number", "plain-is-unique"),
    ],
    "the help desk": [
        ("parcels_email", "", "The read `book`, asked twice with other values, touches 908", "pattern-does-it-all"),
        ("parcels_customer_newest", "parcels_customer", "The read `page`, asked twice with other values, touches 494", "backward-is-any"),
    ],
    "the branch in the south": [
        ("parcels_delivered", "", "The read `first`, asked twice with other values, touches 908", "backward-is-any"),
        ("parcels_tracking_lookup", "parcels_tracking", "refuses a second parcel with the tracking number of another", "unique-is-harmless"),
    ],
}  # fmt: skip
TOO_MANY = "Not each of them would be missed by a read or a rule."


def keeping(*names: str) -> str:
    """Drop all indexes but these."""
    return f"DROP INDEX {', '.join(name for name in INDEXES if name not in names)}"


def answers(variant: Variant) -> Answers:
    right = keeping(*variant.keep)
    mirrored = keeping(*(MIRRORED.get(name, name) for name in variant.keep))
    twin = TWIN["parcels_delivered" in variant.keep]
    swapped = [
        Wrong(keeping(*(variant.keep - {old}), new), says=says, misconception=key)
        for old, new, says, key in SWAPPED[variant.story]
    ]
    return Answers(
        right=right,
        also_right=[mirrored, "; ".join(f"DROP INDEX CONCURRENTLY {name}" for name in sorted(variant.superfluous))],
        wrong=[
            *swapped,
            Wrong(
                keeping(*variant.keep, "parcels_id"),
                says="does not find?",
                misconception="key-finds-nothing",
            ),
            Wrong(
                keeping(*variant.keep, twin),
                says="one list, read from either end?",
                misconception="desc-needs-its-own",
            ),
            Wrong(f"{right}; CREATE INDEX mine ON parcels (tracking, email)", says="created 1 index (mine)"),
            Wrong(f"{right}; DELETE FROM parcels WHERE parcel_id = 7", says="other rows than before"),
            Wrong("ALTER TABLE parcels DROP CONSTRAINT parcels_pkey", says="dropped 1 constraint"),
            Wrong("DROP INDEX parcels_pkey", says="constraint parcels_pkey on table parcels requires it"),
            Wrong(["parcels_id"], says="The answer is one text"),
            Wrong("DROP INDEX parcels_trackings", says='index "parcels_trackings" does not exist'),
        ],
    )


class TestRedundant(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.story for variant in VARIANTS])
def test_none_of_the_kept_could_go_as_well(variant: Variant) -> None:
    """The reference is as small as can be: whatever else is dropped, a read or a rule misses it."""
    for name in variant.keep:
        assert not verdict(EXERCISE, keeping(*(variant.keep - {name})), variant).full, name


def by_measuring(variant: Variant, order: Iterable[str], customers: tuple[int, ...]) -> str:
    """Drop one after the other in this order, and leave it dropped where no read touches many more pages and no rule is lost."""
    gone: list[str] = []
    wanted, held = measured(variant, gone, customers)
    for name in order:
        touched, holding = measured(variant, [*gone, name], customers)
        if all(touched[read] <= allowed(wanted[read]) for read in wanted) and holding >= held:
            gone, held = [*gone, name], holding
    return f"DROP INDEX {', '.join(gone)}"


def measured(variant: Variant, gone: list[str], customers: tuple[int, ...]) -> tuple[dict[Any, int], set[str]]:
    """What each read touches, of each of these customers, and which rules are as they should be."""
    with database(recipe(variant)) as parcels:
        parcels.run(f"DROP INDEX {', '.join(gone)}" if gone else "SELECT 1")
        found = {}
        for read in variant.reads:
            asked = READS[read].values[0]
            for customer in customers if "customer" in asked else (0,):
                params = {**asked, "customer": customer} if customer else asked
                found[read, customer] = pages_of(explain(READS[read].sql, parcels.engine, params))
        return found, {rule for rule in RULES if probed(parcels, rule, rule in variant.rules).ok}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.story for variant in VARIANTS])
def test_a_loop_over_what_comes_to_mind_is_not_enough(variant: Variant) -> None:
    """Each rule is tried, each read is measured, and the indexes go in the order in which they stand in the task."""
    assert not verdict(EXERCISE, by_measuring(variant, INDEXES, (5,)), variant).full


@pytest.mark.slow
def test_who_measures_with_understanding_may_leave_the_rest_to_a_loop() -> None:
    """Large customers and small ones; first goes what forbids too much."""
    variant = VARIANTS[2]
    order = sorted(INDEXES, key=lambda name: name not in ("parcels_tracking", "parcels_tracking_one"))
    assert verdict(EXERCISE, by_measuring(variant, order, (5, 19)), variant).full


def test_a_second_unique_index_and_a_plain_one_beside_it_are_both_too_much() -> None:
    variant = VARIANTS[0]
    for extra, misconception in (
        ("parcels_tracking_lookup", "rule-finds-nothing"),
        ("parcels_tracking", "unasked"),
        ("parcels_customer", "each-needs-its-own"),
        ("parcels_courier", "unasked"),
    ):
        found = verdict(EXERCISE, keeping(*variant.keep, extra), variant)
        assert TOO_MANY in shown(found) and found.misconception == EXERCISE.misconceptions[misconception], found


def test_to_drop_nothing_or_everything() -> None:
    nothing = shown(verdict(EXERCISE, "SELECT 1", VARIANTS[5]))
    assert "15 of 15 indexes are left" in nothing and "changed nothing" not in nothing and "dropped" not in nothing
    found = verdict(EXERCISE, keeping(), VARIANTS[5])
    assert not found.full and "The read `track`, asked twice with other values, touches 908" in shown(found)


def test_neither_how_many_are_too_many_nor_their_column_is_said() -> None:
    variant = VARIANTS[1]
    one, two = (
        shown(verdict(EXERCISE, keeping(*variant.keep, *more), variant)).split("Not each")[1]
        for more in (("parcels_id",), ("parcels_id", "parcels_tracking_lookup"))
    )
    assert one == two and "parcel_id" not in one and "`tracking`" not in one


def test_the_task_says_the_form_and_leaves_the_primary_key_alone() -> None:
    brief = EXERCISE.brief(VARIANTS[0])
    assert "Besides the primary key" in brief and "as one text" in brief


def test_the_reads_are_served_by_indexes_as_they_are_given() -> None:
    """With all fifteen no read of a variant touches more than with the reference, so nothing is asked that cannot be had."""
    variant = VARIANTS[3]
    with database(recipe(variant)) as parcels:
        before = {name: pages(parcels, name) for name in variant.reads}
        parcels.run(keeping(*variant.keep))
        assert {name: pages(parcels, name) for name in variant.reads} == before


def test_every_rule_holds_somewhere_and_has_lapsed_elsewhere() -> None:
    for rule in RULES:
        assert 0 < sum(rule in variant.rules for variant in VARIANTS) < len(VARIANTS)
