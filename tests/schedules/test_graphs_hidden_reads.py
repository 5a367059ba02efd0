"""Reads that a statement hides: in a step of several, in RETURNING, in ON CONFLICT, behind a name. Each is a read, or the
graph says that it is not traced; a graph never says `no cycle` in silence where no order fits."""

from __future__ import annotations

import pytest

from workbook.schedules import Program, Run, Schedule, Stage, explore
from workbook.schedules.graph import Graph, dependencies
from workbook.schedules.replay import step_through
from workbook.schedules.verdict import judge

TEST = """
    CREATE TABLE test (id int PRIMARY KEY, value int, b int DEFAULT 0, k int UNIQUE);
    INSERT INTO test VALUES (1, 10, 0, 10), (2, 20, 0, 20)
"""
HIDDEN = """
    T2: BEGIN
    T2: SELECT value FROM test WHERE id = 2
    T1: BEGIN
    T1: UPDATE test SET value = 21 WHERE id = 2
    T1: {}
    T1: COMMIT
    T2: {}
    T2: COMMIT
"""
"""T1 comes after T2, for it changes what T2 has read; what T1 reads in a hidden way, T2 changes after it."""
NOT_NAMED = "not named: no cycle was found, though no order fits: something was read or written that is not traced"
SETS_VALUE, SETS_KEY = "UPDATE test SET value = 11 WHERE id = 1", "UPDATE test SET k = 30 WHERE id = 1"


def ran(stage: Stage, steps: str, level: str = "", setup: str = TEST, title: str = "") -> Run:
    lines = "\n".join(line.strip() for line in steps.strip().split("\n"))
    return stage.run(Schedule(title, setup, Schedule.read(lines).steps), level)


def refuted(stage: Stage, steps: str, level: str = "", setup: str = TEST) -> Graph:
    """The graph of a run that is as good as no order."""
    run = ran(stage, steps, level, setup)
    assert judge(run, stage).text == "equivalent to no order"
    return dependencies(run, stage)


def agreed(stage: Stage, steps: str, level: str = "", setup: str = TEST) -> Graph:
    """The graph of a run without an anomaly."""
    run = ran(stage, steps, level, setup)
    graph, verdict = dependencies(run, stage), judge(run, stage)
    assert graph.traced and not graph.name, str(graph)
    assert verdict.serializable and set(graph.orders()) <= set(verdict.orders)
    return graph


@pytest.mark.parametrize(
    ("hidden", "then", "words"),
    [
        (
            "INSERT INTO test (id, b) VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET b = excluded.b RETURNING value",
            SETS_VALUE,
            "T1 read row 1 before T2 changed it",
        ),
        (
            "INSERT INTO test VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET value = 0 WHERE test.value > 10",
            SETS_VALUE,
            "T1 read row 1 before T2 changed it",
        ),
        (
            "INSERT INTO test VALUES (3, 0, 5, 10) ON CONFLICT (k) DO UPDATE SET b = 7",
            SETS_KEY,
            "T1 needed the key k = 10 before T2 changed row 1",
        ),
        ("UPDATE test SET b = 5 WHERE id = 1 RETURNING old.value", SETS_VALUE, "T1 read row 1 before T2 changed it"),
        ("UPDATE test SET b = 5 WHERE id = 1 RETURNING new.*", SETS_VALUE, "T1 read row 1 before T2 changed it"),
        ("UPDATE test SET b = 5 WHERE id = 1 RETURNING old.*", SETS_VALUE, "T1 read row 1 before T2 changed it"),
    ],
)
def test_what_returning_and_on_conflict_read_is_read(postgres: Stage, hidden: str, then: str, words: str) -> None:
    graph = refuted(postgres, HIDDEN.format(hidden, then), "read committed")
    assert words in graph.words and "T2 read row 2 before T1 changed it" in graph.words
    assert graph.name.startswith("G2")


def test_an_upsert_has_looked_for_its_key_not_at_the_whole_table(postgres: Stage) -> None:
    upsert = "T1: INSERT INTO test VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET b = 7"
    graph = agreed(postgres, f"{upsert}\nT2: DELETE FROM test WHERE id = 1")
    assert "T1 needed the key id = 1 before T2 deleted row 1" in str(graph) and "looked at all" not in str(graph)
    graph = agreed(postgres, f"{upsert.replace('(1, 5)', '(3, 5, 0, 10)').replace('(id)', '(k)')}\nT2: {SETS_VALUE}")
    assert not graph.edges


def test_an_upsert_on_sqlite_reads_what_it_returns() -> None:
    upsert = "INSERT INTO test (id, b) VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET b = excluded.b RETURNING value"
    with Stage("sqlite") as stage:
        assert list(agreed(stage, f"T1: {SETS_VALUE}\nT2: {upsert}").orders()) == [("T1", "T2")]


@pytest.mark.parametrize(
    ("hidden", "why"),
    [
        ("SET LOCAL work_mem = '1MB'; SELECT value FROM test WHERE id = 1", "several statements in one step"),
        (
            "WITH m AS (MERGE INTO test USING (VALUES (1)) AS s(i) ON id = i WHEN MATCHED THEN UPDATE SET b = 1"
            " RETURNING value) SELECT value FROM m",
            "a WITH that writes",
        ),
        ("WITH test AS (SELECT * FROM test WHERE id = 1) SELECT value FROM test", "it cannot be asked again"),
        (
            "WITH a AS (SELECT value FROM test WHERE id = 1), test AS (SELECT 1) SELECT value FROM a",
            "it cannot be asked again",
        ),
    ],
)
def test_what_is_not_followed_is_said(postgres: Stage, hidden: str, why: str) -> None:
    graph = refuted(postgres, HIDDEN.format(hidden, SETS_VALUE), "read committed")
    assert graph.words.startswith("not traced: T1.3: ") and why in graph.words


def test_a_step_that_begins_and_reads_is_not_passed_over(postgres: Stage) -> None:
    steps = HIDDEN.replace("T2: BEGIN\n    T2: SELECT", "T2: BEGIN; SELECT")
    graph = refuted(postgres, steps.format("SELECT value FROM test WHERE id = 1", SETS_VALUE), "repeatable read")
    assert graph.words == "not traced: T2.1: several statements in one step are not traced"


def test_a_merge_in_a_with_that_deletes_is_a_write(postgres: Stage) -> None:
    steps = "T1: WITH m AS (MERGE INTO test USING (VALUES (1)) AS s(i) ON id = i WHEN MATCHED THEN DELETE) SELECT 1"
    run = ran(postgres, steps)
    assert dependencies(run, postgres).words == "not traced: T1.1: a WITH that writes is not traced"


def test_a_table_of_another_schema_is_no_table_of_that_name(postgres: Stage) -> None:
    setup = f"{TEST}; CREATE SCHEMA s; CREATE TABLE s.test AS TABLE test"
    steps = HIDDEN.replace("FROM test", "FROM s.test").format("SELECT value FROM s.test WHERE id = 1", SETS_VALUE)
    run = ran(postgres, steps, "repeatable read", setup)
    assert len(judge(run, postgres).orders) == 2
    assert dependencies(run, postgres).words == "not traced: T2.2: s.test stands in a schema of its own"
    run = ran(postgres, "T1: INSERT INTO s.test VALUES (1)", setup=setup)
    assert dependencies(run, postgres).words == "not traced: T1.1: s.test stands in a schema of its own"
    assert dependencies(ran(postgres, "T1: SELECT * FROM public.test", setup=setup), postgres).traced


@pytest.mark.parametrize(
    "added",
    [
        "ALTER TABLE test ALTER b SET DEFAULT f()",
        "ALTER TABLE test ADD CHECK (f() < 100)",
        "CREATE DOMAIN few AS int CHECK (f() < 100); ALTER TABLE test ADD c few",
        "CREATE DOMAIN few AS int DEFAULT f(); ALTER TABLE test ADD c few",
    ],
)
def test_a_function_of_the_setup_in_a_default_or_a_check_may_read_anything(postgres: Stage, added: str) -> None:
    setup = f"{TEST}; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM test'; {added}"
    steps = HIDDEN.format("INSERT INTO test (id) VALUES (3)", "INSERT INTO test (id) VALUES (4)")
    graph = dependencies(ran(postgres, steps, "repeatable read", setup), postgres)
    assert graph.words.endswith(" writes test: a default or a check of it calls a function of the setup")


# reads of what was never there


def test_what_a_savepoint_took_back_makes_no_intermediate_read(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T1: UPDATE test SET value = 11 WHERE id = 1
        T1: SAVEPOINT "a b"
        T1: UPDATE test SET value = 12 WHERE id = 1
        T1: ROLLBACK TO "a b"
        T1: COMMIT
        T2: SELECT value FROM test WHERE id = 1
    """
    assert list(agreed(postgres, steps).orders()) == [("T1", "T2")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (
            "SAVEPOINT a | UPDATE test SET value = 12 WHERE id = 1 | T2: BEGIN | "
            "T2: SELECT value FROM test WHERE id = 1 | T2: COMMIT | ROLLBACK TO a | COMMIT",
            "G1a aborted read: T2 read row 1 as T1 had left it, and T1 took it back",
        ),
        (
            "UPDATE test SET value = 12 WHERE id = 1 | T2: SELECT count(*) FROM test WHERE value = 10 | ROLLBACK",
            "G1a aborted read: T2 looked for value = 10 after T1 changed row 1, and T1 was aborted",
        ),
        (
            "DELETE FROM test WHERE id = 1 | T2: SELECT count(*) FROM test WHERE value = 10 | ROLLBACK",
            "G1a aborted read: T2 looked for value = 10 after T1 deleted row 1, and T1 was aborted",
        ),
        (
            "UPDATE test SET value = 12 WHERE id = 1 | T2: SELECT count(*) FROM test WHERE value = 10 | "
            "UPDATE test SET value = 10 WHERE id = 1 | COMMIT",
            "G1b intermediate read: T2 looked for value = 10 after T1 changed row 1, and T1 wrote it again",
        ),
    ],
)
def test_a_dirty_read_is_one_of_a_condition_and_of_a_savepoint_too(mariadb: Stage, steps: str, says: str) -> None:
    lines = [one if one.startswith("T2") else f"T1: {one}" for one in ("BEGIN", *steps.split(" | "))]
    assert str(refuted(mariadb, "\n".join(lines), "read uncommitted")).splitlines()[-1] == says


@pytest.mark.slow
@pytest.mark.parametrize(
    "steps",
    [
        "UPDATE test SET value = 12 WHERE id = 1 | T2: SELECT b FROM test WHERE id = 1 | ROLLBACK",
        "UPDATE test SET value = 12 WHERE id = 1 | T2: SELECT value FROM test WHERE id = 1 | "
        "UPDATE test SET b = 5 WHERE id = 1 | COMMIT",
    ],
)
def test_columns_that_an_undone_write_left_alone_are_read_as_they_were(mariadb: Stage, steps: str) -> None:
    lines = [one if one.startswith("T2") else f"T1: {one}" for one in ("BEGIN", *steps.split(" | "))]
    agreed(mariadb, "\n".join(lines), "read uncommitted")


# MariaDB, and names in any case


@pytest.mark.slow
def test_a_variable_that_carries_a_value_on_mariadb_has_read_it(mariadb: Stage) -> None:
    steps = """
        T2: BEGIN
        T1: BEGIN
        T2: SELECT value FROM test WHERE id = 1
        T1: SET @x = (SELECT value FROM test WHERE id = 2)
        T1: UPDATE test SET value = @x + 1 WHERE id = 1
        T1: COMMIT
        T2: UPDATE test SET value = 0 WHERE id = 2
        T2: COMMIT
    """
    assert refuted(mariadb, steps).words == "not traced: T1.2: SET with a query in it is not traced"


@pytest.mark.slow
def test_what_a_row_was_to_be_is_no_read_on_mariadb(mariadb: Stage) -> None:
    upsert = "INSERT INTO test (id, value) VALUES (1, 7) ON DUPLICATE KEY UPDATE value = VALUES(value)"
    assert list(agreed(mariadb, f"T1: {upsert}\nT2: SELECT value FROM test WHERE id = 1").orders()) == [("T1", "T2")]


@pytest.mark.parametrize("engine", ["sqlite", "duckdb", pytest.param("mariadb", marks=pytest.mark.slow)])
def test_names_are_found_in_whatever_case_the_engine_finds_them(engine: str) -> None:
    setup = "CREATE TABLE Account (Id int PRIMARY KEY, Value int); INSERT INTO Account VALUES (1, 10), (2, 20)"
    steps = """
        T1: INSERT INTO Account (ID, value) VALUES (3, 30)
        T2: UPDATE Account SET VALUE = 31 WHERE Account.id = 3
        T3: SELECT a.value FROM Account AS a WHERE A.ID = 3
    """
    steps = steps.replace("A.ID", "a.ID") if engine == "mariadb" else steps
    with Stage(engine) as stage:
        graph = dependencies(ran(stage, steps, setup=setup), stage)
    assert list(graph.orders()) == [("T1", "T2", "T3")], str(graph)
    assert "T3 read row 3 after T2 changed it" in str(graph)


# what is said where nothing was found


def test_what_nobody_saw_is_said_beside_the_verdict(postgres: Stage) -> None:
    """An advisory lock's answer is no row: nothing in the tables explains it."""
    steps = """
        T1: BEGIN
        T1: SELECT pg_try_advisory_xact_lock(7)
        T2: SELECT pg_try_advisory_xact_lock(7)
        T1: COMMIT
    """
    run = ran(postgres, steps)
    graph, verdict = dependencies(run, postgres), judge(run, postgres)
    assert graph.words == "no cycle" and graph.beside(verdict.serializable) == NOT_NAMED and graph.beside(True) == ""
    assert step_through(run, graph, verdict)[-1].caption.endswith(f"{NOT_NAMED}.")
    sessions = {"T1": ["SELECT pg_try_advisory_xact_lock(7)"], "T2": ["SELECT pg_try_advisory_xact_lock(7)"]}
    found = explore(Program("locked", TEST, sessions), levels="read committed", stage=postgres)
    assert found.first("anomaly").text == "anomaly not named"
    assert "anomaly not named, the first in order" in str(found)


def test_an_answer_that_sql_leaves_open_is_told_apart_from_an_anomaly(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T1: UPDATE test SET value = 31 WHERE id = 1
        T2: UPDATE test SET value = 21 WHERE id = 2
        T1: UPDATE test SET value = 41 WHERE id = 3
        T1: COMMIT
        T3: SELECT string_agg(value::text, ',') FROM test
    """
    run = ran(postgres, steps, setup=f"{TEST}, (3, 30, 0, 30)")
    graph, verdict = dependencies(run, postgres), judge(run, postgres)
    why = "T3.1: string_agg without ORDER BY takes rows in any order"
    assert verdict.notes == (f"{why}, and other answers are as right",)
    assert graph.beside(False) == f"{NOT_NAMED} ({why})"


# locks out of order


def test_rows_that_were_sorted_before_they_were_locked_come_out_of_order(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = 30 WHERE id = 1
        T2: SELECT {} FROM test ORDER BY {} FOR NO KEY UPDATE
        T1: COMMIT
        T2: COMMIT
    """
    why = "it sorted rows, then waited, and took a row as it was by then"
    run = ran(postgres, steps.format("id, value", "value"))
    assert run.end("T2.2").rows == ((1, 30), (2, 20))
    assert judge(run, postgres).text == "equivalent to no order"
    assert "would have read (2, 20) (1, 30), and read (1, 30) (2, 20) in another order" in str(judge(run, postgres))
    assert dependencies(run, postgres).words == f"not traced: T2.2: {why}"
    assert dependencies(ran(postgres, steps.format("id", "value")), postgres).words == f"not traced: T2.2: {why}"
    assert list(agreed(postgres, steps.format("id, value", "id")).orders()) == [("T1", "T2")]
