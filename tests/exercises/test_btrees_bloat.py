"""Bloat beside a writer: free space that the next weeks use, and free space that nobody will."""

from __future__ import annotations

from typing import Any

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.engines import Recipe, database
from workbook.exercises.btrees.bloat import EXERCISE, VARIANTS, Variant, accepts, autovacuum, later, recipe

REBUILT = "REINDEX INDEX CONCURRENTLY orders_pkey"
SWITCHED_ON = "ALTER TABLE orders SET (autovacuum_enabled = on); VACUUM orders"
RIGHT = (584, 2424, 1336, 752, 216, 1336)
ALSO = (
    "REINDEX TABLE CONCURRENTLY orders",
    "VACUUM orders",
    "-- leave it",
    f"VACUUM orders; {REBUILT}",
    "REINDEX TABLE CONCURRENTLY public.orders",
    SWITCHED_ON,
)
PASSED, ENDS = "wrote, and did not wait. ", "After 2 weeks of orders the index takes"
LEFT = ("", 1760, "the index takes 1,760 kB, left as it is", "free-is-used")
PARTLY = {
    0: [LEFT, ("VACUUM orders", 1760, "the index takes 1,760 kB. Expected", "vacuum-shrinks")],
    1: [(REBUILT, 2944, f"{PASSED}✗ Seen: {ENDS} 2,944 kB", "rebuilt-stays")],
    2: [(REBUILT, 1328, f"{PASSED}✓ {ENDS} 1,328 kB", "reindex-always")],
    3: [("", 2336, "takes 2,336 kB, left as it is", "free-is-used"), ("VACUUM orders", 2336, "takes 2,336 kB. Expected", "vacuum-shrinks")],
    4: [("", 1328, "takes 1,328 kB, left as it is", "free-is-used"), ("VACUUM orders", 1328, "takes 1,328 kB. Expected", "vacuum-shrinks")],
    5: [
        ("", 2208, "takes 2,208 kB, left as it is", "free-is-used"),
        ("VACUUM orders", 2208, "takes 2,208 kB. Expected", "once-is-enough"),
        (REBUILT, 1768, f"{PASSED}✗ Seen: {ENDS} 1,768 kB", "rebuilt-stays"),
        (f"{SWITCHED_ON}; {REBUILT}", 1328, f"{PASSED}✓ {ENDS} 1,328 kB", "reindex-always"),
    ],
}  # fmt: skip


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
            Wrong(handed_in(variant.right, 5), says="You said 5 kB", misconception="size-is-today"),
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


def test_a_transaction_that_is_open_in_another_database_changes_nothing() -> None:
    """A learner's own writer on the practice database holds back no page of the judge's."""
    with database(Recipe("a neighbour", "CREATE TABLE neighbours (n int)")) as other, other.connect() as session:
        session.execute("INSERT INTO neighbours VALUES (1)")
        found = verdict(EXERCISE, handed_in("VACUUM orders", 1336), VARIANTS[2])
        later.cache_clear()
        assert found.full and later(VARIANTS[2], "") == 1336 * 1024, found


def test_the_options_of_the_table_say_whether_autovacuum_comes() -> None:
    with database(recipe(VARIANTS[5])) as orders:
        assert not autovacuum(orders)
        orders.run("ALTER TABLE orders RESET (autovacuum_enabled)")
        assert autovacuum(orders)
        orders.run("ALTER TABLE orders SET (autovacuum_enabled = 0)")
        assert not autovacuum(orders)


def test_to_switch_autovacuum_off_is_no_way_to_leave_it() -> None:
    off = "ALTER TABLE orders SET (autovacuum_enabled = off)"
    found = verdict(EXERCISE, handed_in(off, 1336), VARIANTS[2])
    assert not found.full and found.misconception == EXERCISE.misconceptions["once-is-enough"], shown(found)


def test_what_is_handed_in_has_two_parts() -> None:
    assert accepts(handed_in("", 8)) == ""
    for wrong in (handed_in("", 0), handed_in("", float("inf")), handed_in("", True), {"sql": ""}, handed_in(None, 8)):
        assert accepts(wrong), wrong
