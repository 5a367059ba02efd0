"""Where a session takes its snapshot, by rule, against what a real engine lets it read: a commit that comes later is
not seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from workbook.schedules import Schedule, Stage, Step
from workbook.schedules.snapshots import snapshots

SETUP = (
    "CREATE TABLE test (id int PRIMARY KEY, value int);\nINSERT INTO test VALUES (1, 10), (2, 20);\n"
    "CREATE TABLE other (id int PRIMARY KEY, value int);\nINSERT INTO other VALUES (1, 0);"
)
READ = "SELECT value FROM test WHERE id = 1"
ENGINES = {
    "postgresql": ("read committed", "repeatable read", "serializable"),
    "duckdb": ("snapshot",),
    "sqlite": ("deferred",),
    "mariadb": ("read committed", "repeatable read"),
}
OPENINGS = {
    "nothing": None,
    "a read": "SELECT value FROM other",
    "a write": "UPDATE other SET value = 1",
    "a read of no table": "SELECT 1",
    "a savepoint": "SAVEPOINT a",
    "a locking read": "SELECT value FROM other FOR UPDATE",
}
ONLY = {
    "a savepoint": ("postgresql", "sqlite", "mariadb"),
    "a locking read": ("postgresql", "mariadb"),
    "a write": ("postgresql", "duckdb", "mariadb"),  # on SQLite nobody could commit after it
}
"""The engines that an opening is for, where it is not for all."""


@pytest.fixture(scope="module")
def stages() -> Iterator[dict[str, Stage]]:
    made: dict[str, Stage] = {}
    yield made
    for stage in made.values():
        stage.close()


def cases() -> list[object]:
    """Each engine, level and opening, MariaDB's among the slow ones."""
    return [
        pytest.param(engine, level, opening, marks=[pytest.mark.slow] if engine == "mariadb" else [])
        for engine, levels in ENGINES.items()
        for level in levels
        for opening in OPENINGS
        if engine in ONLY.get(opening, (engine,))
    ]


def on(stages: dict[str, Stage], engine: str) -> Stage:
    if engine not in stages:
        stages[engine] = Stage(engine)
    return stages[engine]


@pytest.mark.parametrize(("engine", "level", "opening"), cases())
def test_a_commit_after_the_snapshot_is_not_seen_and_one_before_it_is(
    stages: dict[str, Stage], engine: str, level: str, opening: str
) -> None:
    first = [Step("T1", OPENINGS[opening])] if OPENINGS[opening] else []
    then = (Step("T2", "UPDATE test SET value = 11 WHERE id = 1"), Step("T1", READ), Step("T1", "COMMIT"))
    run = on(stages, engine).run(Schedule("", SETUP, (Step("T1", "BEGIN"), *first, *then)), level)
    changed = next(event.at for event in run.events if run.step(event).session == "T2")
    read = next(event for event in run.events if run.step(event).sql == READ)
    mine = [one for one in snapshots(run) if one.session == "T1"]
    held = [one.at for one in mine if one.covers == "transaction"] or [read.at]
    assert read.rows == ((10,) if min(held) < changed else (11,),)


DUCKDB = {
    True: (
        "SELECT version()", "SELECT 1 + 1", "SELECT lower('A')", "SELECT now()", "SELECT 'a' || 'b'", "SELECT 'a' LIKE 'b'",
        "SELECT [1, 2]", "SELECT current_date", "SELECT * FROM range(3)", "SELECT count(*)", "SHOW TABLES", "PRAGMA version",
    ),
    False: (
        "SELECT 1", "VALUES (1)", "SET threads = 1", "SELECT -1", "SELECT 1 < 2", "SELECT 'f(x) + 1, FROM a'", "SELECT 1 -- f()",
        "SELECT CAST(1 AS bigint)", "SELECT 1 IN (1, 2)", "SELECT CASE WHEN true THEN 1 ELSE -2 END", "SELECT coalesce(1, 2)",
        "SELECT DATE '2030-01-01'",
    ),
}  # fmt: skip
"""What has DuckDB look something up in its catalog, and what does not."""


@pytest.mark.parametrize("takes", DUCKDB)
def test_duckdb_takes_it_when_a_statement_first_needs_the_catalog(stages: dict[str, Stage], takes: bool) -> None:
    """Also without a table: a function and an operator are in the catalog, a constant and a comparison are not."""
    for sql in DUCKDB[takes]:
        steps = (Step("T1", "BEGIN"), Step("T1", sql), Step("T2", "UPDATE test SET value = 11 WHERE id = 1"))
        run = on(stages, "duckdb").run(Schedule("", SETUP, (*steps, Step("T1", READ), Step("T1", "COMMIT"))))
        read = next(event for event in run.events if run.step(event).sql == READ)
        assert read.rows == ((10 if takes else 11,),), sql
        assert [one.at for one in snapshots(run) if one.session == "T1"] == [1 if takes else read.at], sql


@pytest.mark.parametrize(
    ("level", "begin", "at"),
    [
        ("deferred", "BEGIN", 2),
        ("deferred", "BEGIN IMMEDIATE", 0),
        ("immediate", "BEGIN", 0),
        ("immediate", "BEGIN DEFERRED", 2),
    ],
)
def test_sqlite_takes_it_at_begin_where_begin_takes_the_lock(
    stages: dict[str, Stage], level: str, begin: str, at: int
) -> None:
    steps = (Step("T1", begin), Step("T2", READ), Step("T1", READ), Step("T1", "COMMIT"))
    run = on(stages, "sqlite").run(Schedule("", SETUP, steps), level)
    assert [(one.at, one.covers) for one in snapshots(run) if one.session == "T1"] == [(at, "transaction")]


def test_on_postgresql_a_statement_that_waits_has_its_snapshot_from_before(stages: dict[str, Stage]) -> None:
    """What it had not found when it began, it does not find after its wait."""
    steps = (
        Step("T1", "BEGIN"),
        Step("T1", "UPDATE test SET value = 30 WHERE id IN (1, 2)"),
        Step("T2", "UPDATE test SET value = 0 WHERE value IN (10, 30)"),
        Step("T1", "COMMIT"),
    )
    run = on(stages, "postgresql").run(Schedule("", SETUP, steps), "read committed")
    (waits,) = run.waits
    assert [one.at for one in snapshots(run) if one.session == "T2"] == [waits.at]
    assert run.final["test"] == ((1, 0), (2, 30))  # row 2 had 20 when it looked


def test_every_statement_has_its_own_at_read_committed(stages: dict[str, Stage]) -> None:
    statements = ("BEGIN", READ, "SET LOCAL work_mem = '1MB'", READ, "COMMIT")
    schedule = Schedule("", SETUP, tuple(Step("T1", sql) for sql in statements))
    stage = on(stages, "postgresql")
    assert [(one.at, one.covers) for one in snapshots(stage.run(schedule, "read committed"))] == [
        (1, "statement"),
        (3, "statement"),
    ]
    assert [(one.at, one.covers) for one in snapshots(stage.run(schedule, "serializable"))] == [(1, "transaction")]


def test_where_locks_take_their_place_there_is_none(stages: dict[str, Stage]) -> None:
    """What a failed transaction refuses takes none, either."""
    steps = (Step("T1", "BEGIN"), Step("T1", "SELECT 1 / 0"), Step("T1", READ), Step("T1", "COMMIT"))
    run = on(stages, "postgresql").run(Schedule("", SETUP, steps), "read committed")
    assert [one.at for one in snapshots(run)] == [1]


@pytest.mark.slow
def test_mariadb_has_none_at_serializable_and_one_at_begin_where_asked() -> None:
    steps = (Step("T1", "START TRANSACTION WITH CONSISTENT SNAPSHOT"), Step("T2", "UPDATE test SET value = 11"))
    schedule = Schedule("", SETUP, (*steps, Step("T1", READ), Step("T1", "COMMIT")))
    with closing(Stage("mariadb")) as stage:
        run = stage.run(schedule, "repeatable read")
        assert [(one.session, one.at) for one in snapshots(run)] == [("T1", 0)] and run.end(2).rows == ((10,),)
        assert snapshots(stage.run(schedule, "serializable")) == ()
