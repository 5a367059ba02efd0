"""Bloat beside a writer: free space that the next weeks use, and free space that nobody will."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.engines import Recipe, database
from workbook.exercises.btrees.bloat import EXERCISE, VARIANTS, Variant, accepts, autovacuum, later, recipe

REBUILT = "REINDEX INDEX CONCURRENTLY orders_pkey"
SWITCHED_ON = "ALTER TABLE orders SET (autovacuum_enabled = on); VACUUM orders"
RIGHT = (584, 2688, 1744, 752, 216, 1336)
TONIGHT = {1: 2336, 2: 1328}
ALSO = (
    "REINDEX TABLE CONCURRENTLY orders",
    "VACUUM orders",
    "-- leave it",
    f"VACUUM orders; {REBUILT}",
    "REINDEX TABLE CONCURRENTLY public.orders",
    SWITCHED_ON,
)
TWICE, HALF, TENTH = "more than twice as large as", "more than half as large again as", "more than a tenth larger than"
PASSED, ENDS = "wrote, and did not wait. ", "After 2 weeks of orders the index is"
BEST, LEFT = "the best that was found", "kB, left as it is"
PARTLY = {
    0: [
        ("", 1760, f"{TWICE} {BEST}, 1,760 {LEFT}", "free-is-used"),
        ("VACUUM orders", 1760, f"{TWICE} {BEST}, 1,760 kB. Expected", "vacuum-shrinks"),
    ],
    1: [(REBUILT, 2984, f"{PASSED}✗ Seen: {ENDS} {TENTH} {BEST}, 2,984 kB", "rebuilt-stays")],
    2: [(REBUILT, 1752, f"{PASSED}✓ {ENDS} as small as it can be had, 1,752 kB", "reindex-always")],
    3: [
        ("", 2336, f"{TWICE} {BEST}, 2,336 {LEFT}", "free-is-used"),
        ("VACUUM orders", 2336, f"{TWICE} {BEST}, 2,336 kB. Expected", "vacuum-shrinks"),
    ],
    4: [
        ("", 1328, f"{TWICE} {BEST}, 1,328 {LEFT}", "free-is-used"),
        ("VACUUM orders", 1328, f"{TWICE} {BEST}, 1,328 kB. Expected", "vacuum-shrinks"),
    ],
    5: [
        ("", 2208, f"{HALF} {BEST}, 2,208 {LEFT}", "free-is-used"),
        ("VACUUM orders", 2208, f"{HALF} {BEST}, 2,208 kB. Expected", "once-is-enough"),
        (REBUILT, 1768, f"{PASSED}✗ Seen: {ENDS} {TENTH} {BEST}, 1,768 kB", "rebuilt-stays"),
        (f"{SWITCHED_ON}; {REBUILT}", 1328, f"{PASSED}✓ {ENDS} as small as it can be had, 1,328 kB", "reindex-always"),
    ],
}


def handed_in(sql: str, kilobytes: float) -> dict[str, Any]:
    return {"sql": sql, "kilobytes": kilobytes}


def answers(variant: Variant) -> Answers:
    place = VARIANTS.index(variant)
    size = RIGHT[place]
    return Answers(
        right=handed_in(variant.right, size),
        also_right=[handed_in(ALSO[place], size * 1.05)],
        wrong=[
            *(Wrong(handed_in(sql, told), says=says, misconception=key) for sql, told, says, key in PARTLY[place]),
            Wrong(handed_in(variant.right, 5), says="too small, by more than a half", misconception="size-is-rows"),
            Wrong(
                handed_in(variant.right, size * 1.4),
                says="too large, by more than a quarter",
                misconception="room-is-lost",
            ),
            Wrong(
                handed_in(variant.right, size * 1.15),
                says="too large, by more than a tenth",
                misconception="room-is-lost",
            ),
            Wrong(
                handed_in("REINDEX INDEX orders_pkey", size),
                says="A writer had to wait: `REINDEX INDEX",
                misconception="ddl-is-online",
            ),
            Wrong(
                handed_in("VACUUM FULL orders", size),
                says="A writer had to wait: `VACUUM FULL",
                misconception="ddl-is-online",
            ),
            Wrong(handed_in("DELETE FROM orders WHERE number > 59000", size), says="changed the orders"),
            Wrong(handed_in("CREATE INDEX CONCURRENTLY mine ON orders (number)", size), says="created 1 index (mine)"),
            Wrong(handed_in("ALTER TABLE orders DROP CONSTRAINT orders_pkey", size), says="dropped 1 constraint"),
            Wrong(handed_in("REINDX", size), says="syntax error"),
            Wrong(variant.right, says="The answer has two parts"),
        ],
    )


class TestBloat(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize("place", TONIGHT)
def test_where_it_is_to_be_left_the_size_of_tonight_is_not_the_answer(place: int) -> None:
    variant = VARIANTS[place]
    with database(recipe(variant)) as orders:
        assert orders.relation_bytes("orders_pkey") == TONIGHT[place] * 1024
    found = verdict(EXERCISE, handed_in("", TONIGHT[place]), variant)
    assert not found.full and f"You said {TONIGHT[place]:,} kB" in shown(found), found


@pytest.mark.parametrize("place", range(len(VARIANTS)))
def test_a_wrong_size_does_not_get_the_right_one(place: int) -> None:
    """Neither the size of what was handed in nor the best one stands in a verdict before it was said."""
    variant = VARIANTS[place]
    for sql in (variant.right, "VACUUM orders"):
        found = shown(verdict(EXERCISE, handed_in(sql, 5), variant))
        assert f"{later(variant, sql) // 1024:,} kB" not in found and f"{RIGHT[place]:,} kB" not in found, found


def test_a_statement_that_has_no_weaker_form_is_not_asked_for_one() -> None:
    found = verdict(EXERCISE, handed_in("VACUUM FULL orders", 5), VARIANTS[0])
    assert "Is there another one, or another form of this one" in shown(found), found


def test_a_transaction_that_is_open_in_another_database_changes_nothing() -> None:
    """A learner's own writer on the practice database holds back no page of the judge's."""
    with database(Recipe("a neighbour", "CREATE TABLE neighbours (n int)")) as other, other.connect() as session:
        session.execute("INSERT INTO neighbours VALUES (1)")
        found = verdict(EXERCISE, handed_in("VACUUM orders", 1744), VARIANTS[2])
        later.cache_clear()
        assert found.full and later(VARIANTS[2], "") == 1744 * 1024, found


def test_the_options_of_the_table_say_whether_autovacuum_comes() -> None:
    with database(recipe(VARIANTS[5])) as orders:
        assert not autovacuum(orders)
        orders.run("ALTER TABLE orders RESET (autovacuum_enabled)")
        assert autovacuum(orders)
        orders.run("ALTER TABLE orders SET (autovacuum_enabled = 0)")
        assert not autovacuum(orders)


def test_to_switch_autovacuum_off_is_no_way_to_leave_it() -> None:
    off = "ALTER TABLE orders SET (autovacuum_enabled = off)"
    found = verdict(EXERCISE, handed_in(off, 1744), VARIANTS[2])
    assert not found.full and found.misconception == EXERCISE.misconceptions["once-is-enough"], shown(found)


def test_what_is_handed_in_has_two_parts() -> None:
    assert accepts(handed_in("", 8)) == ""
    for wrong in (handed_in("", 0), handed_in("", float("inf")), handed_in("", True), {"sql": ""}, handed_in(None, 8)):
        assert accepts(wrong), wrong
