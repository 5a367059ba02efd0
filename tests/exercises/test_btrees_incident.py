"""Inserts became slow: causes, what speaks against each other one, and changes that show too little or take too much."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.engines import database, measure
from workbook.exercises.btrees.incident import EXERCISE, TRYING, VARIANTS, Variant, budget, recipe
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


BALLAST = {
    "held-back": (f"{END}; REINDEX TABLE leases", "REINDEX TABLE leases"),
    "foreign-key": ("CREATE INDEX ON attempts (job); VACUUM FULL leases", "VACUUM FULL leases"),
    "random-key": (f"REINDEX TABLE orders; {ORDERED}", "REINDEX TABLE orders"),
    "scattered-index": ("DROP INDEX orders_lookup; VACUUM FULL orders", "VACUUM FULL orders"),
    "bloat": ("REINDEX INDEX orders_customer; ALTER TABLE orders SET (fillfactor = 70)", "ALTER TABLE orders SET (fillfactor = 70)"),
    "wide-key": ("ANALYZE orders; DROP INDEX orders_customer; CREATE INDEX ON orders (customer)", "ANALYZE orders"),
}  # fmt: skip
"""Of each cause a right change with one statement too many, and that statement."""


def block(*statements: str) -> str:
    """One statement that does several things."""
    return f"DO $$ BEGIN {' '.join(f'{statement};' for statement in statements)} END $$".replace(
        "SELECT pg_term", "PERFORM pg_term"
    )


BLOCKS = {
    "held-back": block(END, "REINDEX TABLE leases"),
    "foreign-key": block("CREATE INDEX ON attempts (job)", "CREATE INDEX ON leases (minute)"),
    "random-key": f"{ORDERED}, SET (fillfactor = 70)",
    "scattered-index": block("DROP INDEX orders_lookup", "REINDEX TABLE orders"),
    "bloat": block("REINDEX INDEX orders_customer", "ALTER TABLE orders SET (fillfactor = 70)"),
    "wide-key": block("DROP INDEX orders_customer", "CREATE INDEX narrow ON orders (customer)", "REINDEX TABLE orders"),
}
"""Of each cause a right change and another one, in one statement."""


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
        Wrong(answer(cause, BALLAST[cause][0]), says=f"Without `{BALLAST[cause][1]}", misconception="two-at-once"),
        Wrong(
            answer(cause, BLOCKS[cause]), says="One statement of yours does several things", misconception="two-at-once"
        ),
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


PRACTISED = (
    END,
    f"{END} AND datname = current_database()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() ORDER BY age(backend_xmin) DESC NULLS LAST LIMIT 1",
)


@pytest.fixture
def practising() -> Iterator[psycopg.Connection[Any]]:
    """The session that the task tells a person to open, left open in a database of another role."""
    with database(recipe(BY_CAUSE["held-back"])) as own, own.connect() as session:
        session.autocommit = True
        session.execute(f"SET application_name = '{SESSION}'")
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT pg_current_xact_id()")
        yield session


@pytest.mark.parametrize(
    "change", [pytest.param(sql, marks=[pytest.mark.slow] if at % 3 else []) for at, sql in enumerate(PRACTISED)]
)
def test_a_session_of_ones_own_is_in_nobodys_way(practising: psycopg.Connection[Any], change: str) -> None:
    found = verdict(EXERCISE, answer("held-back", change), BY_CAUSE["held-back"])
    assert found.full, found
    assert practising.execute("SELECT 1").fetchone() == (1,)


def test_who_would_end_sessions_of_other_databases_is_told_so(practising: psycopg.Connection[Any]) -> None:
    found = verdict(EXERCISE, answer("held-back", END.replace("pg_stat", "pg_catalog.pg_stat")), BY_CAUSE["held-back"])
    assert not found.points and "sessions of other databases and of other roles" in shown(found), found
    assert practising.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.slow
def test_who_waits_for_the_session_is_asked_for_what() -> None:
    change = "REINDEX INDEX CONCURRENTLY leases_pkey"
    found = shown(verdict(EXERCISE, answer("held-back", change), BY_CAUSE["held-back"]))
    assert "does it wait for a transaction of another session?" in found


def test_a_name_alone_is_told_nothing() -> None:
    """Names cannot be tried one after the other: what speaks against a cause is said once the change has shown something."""
    variant = BY_CAUSE["held-back"]
    first = shown(verdict(EXERCISE, answer("foreign-key", "SELECT 1"), variant))
    assert first == shown(verdict(EXERCISE, answer("held-back", "SELECT 1"), variant))
    assert "You say that" not in first and "runner-up" not in first


def test_the_task_does_not_tell_the_two_incidents_of_the_leases_apart() -> None:
    """What is said of the session is the same whether it is to blame or not."""
    held_back, foreign_key = (EXERCISE.brief(BY_CAUSE[cause]) for cause in ("held-back", "foreign-key"))
    start = '`engine = practice("btrees-incident")`'
    assert held_back[held_back.index(start) :] == foreign_key[foreign_key.index(start) :]


@pytest.mark.parametrize(("cause", "says"), [("wide-key", "lists of pointers"), ("random-key", "the same 100 jobs")])
def test_a_line_that_seems_to_speak_for_a_cause_is_explained(cause: str, says: str) -> None:
    assert says in shown(verdict(EXERCISE, answer(cause, END), BY_CAUSE["held-back"]))


def test_the_code_of_the_task_runs(capsys: pytest.CaptureFixture[str]) -> None:
    variant = BY_CAUSE["held-back"]
    with database(recipe(variant)) as own:
        stream = list(variant.world.statements(1))
        exec(TRYING, {"practice": lambda id: own.engine, "measure": measure, "stream": stream})
    assert int(re.search(r"(\d[\d,]*) (?:buffers|pages)", capsys.readouterr().out)[1].replace(",", "")) > 5_000  # type: ignore[index]


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
        ("foreign-key", f"CREATE INDEX attempts_job ON attempts (job); {END}", "your change helps as well"),
        ("foreign-key", f"{END}; CREATE INDEX attempts_job ON attempts (job)", "your change helps as well"),
        ("held-back", f"{END}; VACUUM leases", "Without `VACUUM leases`"),
        ("held-back", f"{END}; ANALYZE; REINDEX TABLE leases; VACUUM FULL leases; SELECT 1", "Without `SELECT 1`"),
        ("random-key", f"{ORDERED}; DROP SEQUENCE orders_number", "Without `DROP SEQUENCE orders_number`"),
        ("bloat", "REINDEX INDEX orders_customer; VACUUM FULL orders", "Without `VACUUM FULL orders`"),
        ("wide-key", "CREATE INDEX a ON orders (customer); DROP INDEX orders_customer; REINDEX INDEX a; ANALYZE orders", "Without `ANALYZE orders`"),
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
        ("foreign-key", "CREATE INDEX CONCURRENTLY ON attempts (job)"),
        ("scattered-index", "DROP INDEX CONCURRENTLY orders_lookup"),
        ("random-key", "CREATE SEQUENCE mine; ALTER TABLE orders ALTER id SET DEFAULT lpad(to_hex(nextval('mine')), 32, '0')::uuid"),
        ("scattered-index", "CREATE INDEX CONCURRENTLY by_time ON orders (placed); DROP INDEX CONCURRENTLY orders_lookup"),
        ("bloat", "DROP INDEX orders_customer; CREATE INDEX orders_customer ON orders (customer)"),
        ("bloat", "CREATE INDEX anew ON orders (customer); DROP INDEX orders_customer; ALTER INDEX anew RENAME TO orders_customer"),
        ("wide-key", "BEGIN; SET LOCAL lock_timeout = '2s'; DROP INDEX orders_customer; CREATE INDEX ON orders (customer); COMMIT"),
        ("wide-key", "CREATE INDEX anew ON orders (customer); DROP INDEX orders_customer; ALTER INDEX anew RENAME TO orders_customer"),
        ("held-back", block(END)),
        ("held-back", f"SET lock_timeout = '2s'; {END}"),
    ],
)  # fmt: skip
def test_other_ways_are_right_as_well(cause: str, change: str) -> None:
    found = verdict(EXERCISE, answer(cause, change), BY_CAUSE[cause])
    assert found.full, found
