"""Inserts became slow: causes, what speaks against each other one, and changes that show too little or take too much."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.btrees.incident import EXERCISE, VARIANTS, Variant, budget
from workbook.exercises.btrees.worlds import SESSION, WORLDS, begin, evidence, quiet, stream

BY_CAUSE = {variant.cause: variant for variant in VARIANTS}
END = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{SESSION}'"
ORDERED = "ALTER TABLE orders ALTER id SET DEFAULT uuidv7()"
ON_TIME = "DROP INDEX orders_lookup; CREATE INDEX orders_lookup ON orders (placed)"
FOR_ONE = "DROP INDEX orders_customer; CREATE INDEX ON orders (customer) WHERE customer = 63352"

ALSO = {
    "held-back": [
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
    ],
    "foreign-key": ["CREATE INDEX back ON attempts USING hash (job)"],
    "random-key": ["ALTER TABLE orders ALTER id SET DEFAULT lpad(to_hex(nextval('orders_number')), 32, '0')::uuid"],
    "scattered-index": [ON_TIME],
    "bloat": ["VACUUM FULL orders"],
    "wide-key": ["CREATE INDEX narrow ON orders (customer); DROP INDEX orders_customer"],
}
"""Of each cause other changes that tell it from the runner-up."""

NAMED = {
    "held-back": ("foreign-key", "In the stream sequential scans read 0 rows", "bloat", "leaves are full to 77 per cent"),
    "foreign-key": ("held-back", "VACUUM left 0 dead versions", "scattered-index", "no index but its primary key's"),
    "random-key": ("scattered-index", "Leaves of orders_lookup that got new entries: 1 now", "growth", "The table has 40,000 rows"),
    "scattered-index": ("random-key", "Leaves of the primary key's index that got new entries: 2 now", "bloat", "72 per cent (orders_lookup)"),
    "bloat": ("growth", "The table has 12,000 rows", "wide-key", "An entry takes 20 bytes"),
    "wide-key": ("growth", "The table has 12,000 rows", "bloat", "The leaves are full to 72 per cent"),
}  # fmt: skip
"""Of each cause the runner-up, another one, and what speaks against them."""

ALL_AT_ONCE = {
    "held-back": f"{END}; CREATE INDEX ON attempts (job)",
    "foreign-key": f"CREATE INDEX ON attempts (job); {END}",
    "random-key": f"{ORDERED}; {ON_TIME}",
    "scattered-index": f"DROP INDEX orders_lookup; {ORDERED}",
    "bloat": FOR_ONE,
    "wide-key": FOR_ONE,
}
BESIDE = {
    "held-back": "VACUUM FULL leases",
    "foreign-key": "REINDEX TABLE leases",
    "random-key": "REINDEX TABLE orders",
    "scattered-index": "REINDEX TABLE orders",
    "bloat": "VACUUM orders",
    "wide-key": "REINDEX TABLE orders",
}


def answer(cause: str, change: str) -> dict[str, str]:
    return {"cause": cause, "change": change}


def answers(variant: Variant) -> Answers:
    cause, table = variant.cause, variant.world.table
    rival, against, other, against_other = NAMED[cause]
    wrong = [
        Wrong(answer("disk", variant.change), says="A disk that is slow makes", misconception="blame-the-disk"),
        Wrong(answer(rival, variant.change), says=against, misconception="first-fit"),
        Wrong(answer(other, variant.change), says=against_other, misconception="any-fit"),
        Wrong(answer(cause, BESIDE[cause]), says="something that stands beside it", misconception="beside-the-cause"),
        Wrong(answer(cause, ALL_AT_ONCE[cause]), says="your change helps as well", misconception="mend-all"),
        Wrong(answer(cause, f"{variant.change}; CREATE TABLE mine ()"), says="leaves the table mine as"),
        Wrong(answer(cause, "SELECT * FROM nothing"), says="PostgreSQL refuses it"),
        Wrong({"cause": "gremlins", "change": "SELECT 1"}, says="'cause' is one of"),
        Wrong({"cause": cause}, says="a dict with the keys"),
    ]
    if table == "orders":
        index = "orders_customer" if variant.healthy == "healthy-customer" else "orders_lookup"
        if cause != "scattered-index":
            dropped = f"{variant.change}; DROP INDEX IF EXISTS {index}"
            wrong.append(Wrong(answer(cause, dropped), says="a read of the application touches", misconception="writes-alone"))  # fmt: skip
        wrong.append(Wrong(answer(cause, "DELETE FROM orders WHERE id = (SELECT min(id::text)::uuid FROM orders)" if index == "orders_lookup" else "DELETE FROM orders WHERE id < 99"), says="orders has other rows"))  # fmt: skip
    else:
        wrong.append(Wrong(answer(cause, "DELETE FROM attempts"), says="attempts has other rows, 0 of them"))
    return Answers(answer(cause, variant.change), [answer(cause, change) for change in ALSO[cause]], wrong)


class TestIncident(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_the_evidence_of_the_first_variant_speaks_for_its_cause_alone() -> None:
    then, now = evidence("healthy-lease"), evidence("held-back")
    assert now.touched > 5 * then.touched and now.rows == then.rows
    assert now.kept > 1_000 and now.snapshots == 1 and now.scanned == 0
    assert now.wal_bytes < 1.1 * then.wal_bytes and now.images == then.images == 0


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.cause)
def test_both_worlds_have_the_complaint(variant: Variant) -> None:
    """Without a change neither world is as it was then, on the rows on which answers are judged."""
    for name in (variant.cause, variant.rival):
        with begin(WORLDS[name], judged=True) as live:
            quiet(live)
            assert not budget(variant).holds(stream(live)), name
    with begin(WORLDS[variant.healthy], judged=True) as live:
        assert budget(variant).holds(stream(live))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cause", "change", "says"),
    [
        ("random-key", "ALTER TABLE orders SET UNLOGGED", "leaves the table orders as"),
        ("random-key", "ALTER TABLE orders DROP CONSTRAINT orders_pkey", "dropped"),
        ("random-key", "ALTER TABLE orders ALTER id SET DEFAULT uuidv7(), ALTER token DROP NOT NULL", "orders.token as"),
        ("random-key", "ALTER TABLE orders ALTER id SET DEFAULT '00000000-0000-0000-0000-000000000000'", "duplicate key"),
        ("random-key", "CREATE RULE none AS ON INSERT TO orders DO INSTEAD NOTHING", "created 1 rule"),
        ("foreign-key", "ALTER TABLE attempts DROP CONSTRAINT attempts_job_fkey", "dropped 1 constraint"),
        ("foreign-key", "CREATE INDEX ON attempts (job) WHERE job <= 100", "something that stands beside it"),
        ("held-back", f"{END.replace('terminate', 'cancel')}", "something that stands beside it"),
        ("held-back", "TRUNCATE leases CASCADE", "leases has other rows, 0 of them"),
    ],
)  # fmt: skip
def test_short_ways_are_none(cause: str, change: str, says: str) -> None:
    found = verdict(EXERCISE, answer(cause, change), BY_CAUSE[cause])
    assert not found.points and says in shown(found), found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cause", "change"),
    [
        ("bloat", "REINDEX INDEX CONCURRENTLY orders_customer"),
        ("bloat", "REINDEX TABLE orders"),
        ("foreign-key", "CREATE INDEX ON attempts (job, said)"),
        ("scattered-index", "DROP INDEX CONCURRENTLY orders_lookup"),
        ("random-key", f"{ORDERED}; DROP SEQUENCE orders_number"),
    ],
)
def test_other_ways_are_right_as_well(cause: str, change: str) -> None:
    found = verdict(EXERCISE, answer(cause, change), BY_CAUSE[cause])
    assert found.full, found
