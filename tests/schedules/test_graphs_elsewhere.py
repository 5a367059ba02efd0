"""Graphs on the other engines: rows carry marks there, and what is seen of them agrees with the verdict all the
same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.schedules.test_generated import TWO_TABLES, condition, either, few, key, narrow, new_value, sql
from tests.schedules.test_graphs import TEST, ran
from workbook.schedules import Program, Schedule, Stage
from workbook.schedules.graph import Graph, dependencies
from workbook.schedules.scenarios import SCENARIOS
from workbook.schedules.transactions import transactions
from workbook.schedules.verdict import judge


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Stage]:
    with closing(Stage("sqlite")) as stage:
        yield stage


def agree(stage: Stage, schedule: Schedule, level: str = "") -> Graph:
    """The graph of a run. Where it has a name the engine must refute every order, and it must confirm each that it
    allows."""
    run = stage.run(schedule, level)
    graph, verdict = dependencies(run, stage), judge(run, stage)
    said = f"{run}\n{verdict}\n{graph.trace}\n{graph}"
    assert {one.session: one.outcome for one in transactions(run)} == dict(run.outcomes), said
    if graph.traced and not graph.phenomena:
        assert set(graph.orders()) <= set(verdict.orders), said
        assert graph.cycle() or verdict.serializable, said
    return graph


def names(stage: Stage, level: str) -> dict[str, str]:
    """The names of what is observed of each scenario, those with a name."""
    graphs = {key: agree(stage, one.schedule, level) for key, one in SCENARIOS.items()}
    assert all(graph.traced for graph in graphs.values()), {key: graph.words for key, graph in graphs.items()}
    return {key: graph.name for key, graph in graphs.items() if graph.name}


@pytest.mark.parametrize("level", ["deferred", "immediate"])
def test_sqlite_shows_no_anomaly(sqlite: Stage, level: str) -> None:
    assert names(sqlite, level) == {}


def test_sqlite_with_a_rollback_journal_shows_none_either() -> None:
    with Stage("sqlite-rollback") as stage:
        assert names(stage, "deferred") == {}


def test_duckdb_lets_skews_through_and_a_delete_of_what_another_has_changed(duckdb: Stage) -> None:
    assert names(duckdb, "snapshot") == {
        "G1c": "G2-item write skew",
        "PMP-w": "P4 lost update",
        "Gs-w": "P4 lost update",
        "G2i": "G2-item write skew",
        "G2": "G2 write skew by condition",
        "Fekete": "G2-item read-only anomaly",
    }


def test_a_deleted_row_of_duckdb_stays_deleted_whoever_commits_later(duckdb: Stage) -> None:
    run = ran(
        duckdb,
        """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = 20 WHERE id = 1
        T2: DELETE FROM test WHERE value = 10
        T2: COMMIT
        T1: COMMIT
        """,
    )
    graph = dependencies(run, duckdb)
    assert run.final["test"] == ((2, 20),) and graph.name == "P4 lost update"
    assert graph.words == "T2 looked for value = 10 before T1 changed row 1; T1 changed row 1 before T2 deleted it"


def test_an_update_of_a_key_on_duckdb_puts_back_what_it_has_seen(duckdb: Stage) -> None:
    run = ran(
        duckdb,
        """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET id = 5 WHERE id = 1
        T1: COMMIT
        T2: COMMIT
        """,
    )
    assert run.final["test"] == ((2, 20), (5, 10))
    assert dependencies(run, duckdb).name == "P4 lost update"


def test_where_marks_make_two_updates_conflict_duckdb_is_not_traced(duckdb: Stage) -> None:
    """DuckDB lets two transactions update different columns of one row; both would write the marks."""
    setup = "CREATE TABLE two (id int PRIMARY KEY, a int, b int); INSERT INTO two VALUES (1, 0, 0)"
    steps = """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE two SET a = 1 WHERE id = 1
        T2: UPDATE two SET b = 1 WHERE id = 1
        T1: COMMIT
        T2: COMMIT
    """
    run = ran(duckdb, steps, setup=setup)
    assert run.final["two"] == ((1, 1, 1),) and len(judge(run, duckdb).orders) == 2
    assert dependencies(run, duckdb).words.startswith(
        "not traced: tracing changed the outcome: T2.2 was done with 1 row"
    )


def test_marks_stay_out_of_what_statements_return_and_insert(sqlite: Stage) -> None:
    steps = """
        T1: INSERT INTO copy SELECT * FROM test WHERE id = 1 RETURNING *
        T2: SELECT * FROM (SELECT * FROM copy) UNION SELECT t.* FROM test t
        T3: INSERT INTO copy DEFAULT VALUES
        T4: INSERT INTO test VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET value = test.value + excluded.value RETURNING *
        T5: DELETE FROM test RETURNING value, *
    """
    run = ran(sqlite, steps, setup=f"{TEST}; CREATE TABLE copy (id int, value int DEFAULT 7)")
    graph = dependencies(run, sqlite)
    assert graph.traced, graph.words
    assert run.end("T5.1").rows == ((15, 1, 15), (20, 2, 20))
    assert set(graph.orders()) <= set(judge(run, sqlite).orders)


def test_a_key_that_an_insert_found_taken_is_a_read_on_sqlite(sqlite: Stage) -> None:
    """SQLite gives up the statement alone: the transaction goes on, and knows by now that the row is there."""
    steps = """
        T1: INSERT INTO test VALUES (3, 30)
        T2: BEGIN
        T2: INSERT INTO test VALUES (3, 31)
        T2: UPDATE test SET value = 32 WHERE id = 2
        T2: COMMIT
    """
    run = ran(sqlite, steps)
    graph = dependencies(run, sqlite)
    assert run.end("T2.2").sqlstate == "1555" and list(graph.orders()) == [("T1", "T2")]
    assert "T2 needed the key id = 3 after T1 inserted row 3" in str(graph)
    assert judge(run, sqlite).orders == (("T1", "T2"),)


def test_keys_and_children_are_looked_for_on_sqlite_where_it_checks_them(sqlite: Stage) -> None:
    setup = """
        CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent);
        INSERT INTO parent VALUES (1)
    """
    steps = "T1: PRAGMA foreign_keys = ON\nT2: INSERT INTO parent VALUES (2)\nT1: INSERT INTO child VALUES (1, 2)"
    graph = dependencies(ran(sqlite, steps, setup=setup), sqlite)
    assert "needed a row with id = 2 in parent after T2 inserted row 2 of parent" in str(graph)


@pytest.mark.parametrize(
    ("setup", "sql", "why"),
    [
        ("CREATE TABLE t (id int PRIMARY KEY) WITHOUT ROWID", "INSERT INTO t VALUES (1)", "it has no rowid"),
        (
            "CREATE TABLE t (id int); CREATE TRIGGER w AFTER INSERT ON t BEGIN DELETE FROM t WHERE id = 9; END",
            "INSERT INTO t VALUES (1)",
            "it has a trigger",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY)",
            "REPLACE INTO t VALUES (1)",
            "REPLACE is not traced",
        ),
        ("CREATE TABLE t (id int); CREATE UNIQUE INDEX u ON t (abs(id))", "INSERT INTO t VALUES (1)", "an expression"),
    ],
)
def test_what_cannot_be_traced_on_sqlite_is_named(sqlite: Stage, setup: str, sql: str, why: str) -> None:
    words = dependencies(ran(sqlite, f"T1: {sql}", setup=setup), sqlite).words
    assert words.startswith("not traced: ") and why in words


def schedules(levels: list[str], kinds: list[tuple[str, st.SearchStrategy[str]]]) -> st.SearchStrategy[Schedule]:
    """Two or three transactions in the SQL that every engine knows."""

    @st.composite
    def made(draw: st.DrawFn) -> Schedule:
        setup, statements = draw(st.sampled_from(kinds))
        sessions = {
            f"T{number}": draw(st.lists(statements, min_size=1, max_size=4))
            for number in range(1, draw(st.integers(2, 3)) + 1)
        }
        program = Program("generated", setup, sessions, draw(st.sampled_from(levels)))
        return program.order(draw(st.permutations([one for one, steps in program.sessions.items() for _ in steps])))

    return made()


ONE_COLUMN = either(
    sql("SELECT {w} FROM test WHERE {c}", w=st.sampled_from(["*", "value", "count(*)", "sum(value)"]), c=narrow),
    sql("SELECT {w} FROM test WHERE {c}", w=st.sampled_from(["*", "value", "count(*)", "sum(value)"]), c=narrow),
    sql("UPDATE test SET value = {v} WHERE {c}", v=new_value, c=narrow),
    sql("DELETE FROM test WHERE {c}", c=narrow),
    sql("INSERT INTO test VALUES ({k}, 20, 1)", k=st.sampled_from("3456")),
)
TWO = either(
    ONE_COLUMN,
    sql("SELECT t.id FROM test t JOIN other o ON o.test_id = t.id WHERE o.amount > {k}", k=key),
    sql("SELECT id FROM test WHERE id IN (SELECT test_id FROM other WHERE id = {k}) AND {c}", k=key, c=condition),
    sql("UPDATE other SET test_id = {n} WHERE id = {k}", n=few, k=key),
    sql("DELETE FROM other WHERE id = {k}", k=key),
)


def generated(stage: Stage, levels: list[str], count: int) -> None:
    @settings(
        max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(schedules(levels, [(TWO_TABLES, ONE_COLUMN), (TWO_TABLES, TWO)]))
    def check(schedule: Schedule) -> None:
        agree(stage, schedule)

    check()


def test_generated_schedules_on_sqlite(sqlite: Stage) -> None:
    generated(sqlite, ["deferred", "immediate"], 40)


def test_generated_schedules_on_duckdb(duckdb: Stage) -> None:
    generated(duckdb, ["snapshot"], 25)


@pytest.mark.slow
def test_mariadb_reads_what_is_not_committed_and_it_has_a_name(mariadb: Stage) -> None:
    found = names(mariadb, "read uncommitted")
    assert {key: found[key] for key in ("G1a", "G1b", "G1c")} == {
        "G1a": "G1a aborted read",
        "G1b": "G1b intermediate read",
        "G1c": "G1c circular information flow",
    }
    graph = dependencies(mariadb.run(SCENARIOS["G1a"].schedule, "read uncommitted"), mariadb)
    assert graph.words == "T2 read row 1 as T1 had left it, and T1 was aborted"


@pytest.mark.slow
def test_mariadb_loses_updates_at_repeatable_read_and_skews_at_no_level_but_serializable(mariadb: Stage) -> None:
    assert names(mariadb, "repeatable read") == {
        "G1c": "G2-item write skew",
        "PMP-w": "P4 lost update",
        "P4": "P4 lost update",
        "Gs-w": "G-single read skew",
        "G2i": "G2-item write skew",
        "G2": "G2 write skew by condition",
        "Fekete": "G2-item read-only anomaly",
    }
    assert names(mariadb, "serializable") == {}
    assert set(names(mariadb, "read committed")) >= {"G1b", "PMP", "P4", "Gs", "G2i"}


@pytest.mark.slow
def test_generated_schedules_on_the_others(sqlite: Stage, duckdb: Stage) -> None:
    generated(sqlite, ["deferred", "immediate"], 150)
    generated(duckdb, ["snapshot"], 150)
