"""Schedules on SQLite and DuckDB: where a busy handler waits and where an error comes at once; snapshots, and none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.draw.shapes import assert_readable, texts
from workbook.engines import places
from workbook.errors import Misuse, SqlError, TooManyRows
from workbook.schedules import Program, Run, Schedule, ScheduleTimeout, Stage, Step
from workbook.schedules.verdict import judge

TEST = "CREATE TABLE test (id int PRIMARY KEY, value int); INSERT INTO test VALUES (1, 10), (2, 20)"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
MOVES = Program(
    "opposite",
    TEST,
    {
        "T1": ["UPDATE test SET value = value + 1 WHERE id = 1", "UPDATE test SET value = value - 1 WHERE id = 2"],
        "T2": ["UPDATE test SET value = value + 1 WHERE id = 2", "UPDATE test SET value = value - 1 WHERE id = 1"],
    },
)


@pytest.fixture(scope="module", params=["sqlite", "sqlite-rollback"])
def sqlite(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with closing(Stage(request.param)) as stage:
        yield stage


def read(steps: str, setup: str = TEST) -> Schedule:
    lines = "\n".join(line.strip() for line in steps.strip().split("\n"))
    return Schedule("", setup, Schedule.read(lines).steps)


def told(run: Run) -> list[str]:
    lines = []
    for event in run.events:
        more = f" for {', '.join(event.waits_for)}: {event.waits_on}" if event.kind == "waits" else f" {event.sqlstate}"
        lines.append(f"{run.step(event).name} {event.kind}{more}".rstrip())
    return lines


def test_a_second_writer_waits_for_the_database_s_one_write_lock(sqlite: Stage) -> None:
    run = sqlite.run(
        read(
            """
            T1: BEGIN
            T2: BEGIN
            T1: UPDATE test SET value = 11 WHERE id = 1
            T2: UPDATE test SET value = 22 WHERE id = 2
            T1: COMMIT
            T2: COMMIT
            """
        )
    )
    assert told(run)[3:] == [
        "T2.2 waits for T1: the database's write lock",
        *("T1.3 done", "T2.2 resumed", "T2.2 done", "T2.3 done"),
    ]
    assert run.final == {"test": ((1, 11), (2, 22))}
    assert (run.end("T2.2").rowcount, run.end("T2.2").rows) == (1, None)


def test_a_reader_that_wants_to_write_gets_an_error_at_once(sqlite: Stage) -> None:
    run = sqlite.run(
        read(
            """
            T1: BEGIN
            T2: BEGIN
            T1: UPDATE test SET value = 11 WHERE id = 1
            T2: SELECT value FROM test WHERE id = 1
            T2: UPDATE test SET value = 12 WHERE id = 1
            T2: ROLLBACK
            T1: COMMIT
            """
        )
    )
    assert "T2.3 failed 5" in told(run) and not run.waits
    assert run.end("T2.3").message == "database is locked (SQLITE_BUSY)"
    assert run.outcomes == {"T1": "committed", "T2": "aborted 5"}


def test_a_snapshot_that_is_no_longer_the_newest_cannot_write() -> None:
    with closing(Stage("sqlite")) as stage:
        run = stage.run(
            read(
                """
                T1: BEGIN
                T1: SELECT value FROM test WHERE id = 1
                T2: UPDATE test SET value = 12 WHERE id = 1
                T1: SELECT value FROM test WHERE id = 1
                T1: UPDATE test SET value = 11 WHERE id = 1
                T1: COMMIT
                """
            )
        )
    assert run.end("T1.3").rows == ((10,),)
    assert (run.end("T1.4").sqlstate, run.end("T1.4").message) == ("517", "database is locked (SQLITE_BUSY_SNAPSHOT)")


def test_with_a_rollback_journal_commit_waits_for_the_readers_and_readers_for_it() -> None:
    with closing(Stage("sqlite-rollback")) as stage:
        run = stage.run(
            read(
                """
                T1: BEGIN
                T1: SELECT value FROM test WHERE id = 1
                T2: UPDATE test SET value = 12 WHERE id = 1
                T3: SELECT value FROM test WHERE id = 1
                T1: COMMIT
                """
            )
        )
    assert told(run) == [
        *("T1.1 done", "T1.2 done"),
        "T2.1 waits for T1: the end of every read",
        "T3.1 waits for T2: the database, which is being written",
        *("T1.3 done", "T2.1 resumed", "T2.1 done", "T3.1 resumed", "T3.1 done"),
    ]
    assert run.end("T3.1").rows == ((12,),)


def test_immediate_waits_at_begin(sqlite: Stage) -> None:
    run = sqlite.run(read("T1: BEGIN\nT2: BEGIN\nT1: SELECT 1\nT1: COMMIT\nT2: COMMIT"), "immediate")
    assert told(run)[1] == "T2.1 waits for T1: the database's write lock"
    assert run.outcomes == {"T1": "committed", "T2": "committed"}


@pytest.mark.parametrize(
    ("own", "head"),
    [
        ({"T1": "immediate"}, "deferred (T1 immediate)"),
        ({"T1": "immediate", "T2": "immediate"}, "immediate"),
        ({"T1": "deferred"}, "deferred"),
    ],
)
def test_the_head_of_a_run_shows_the_levels_that_its_sessions_ran_at(
    sqlite: Stage, own: dict[str, str], head: str
) -> None:
    run = sqlite.run(replace(read("T1: BEGIN\nT2: SELECT 1\nT1: COMMIT"), levels=own))
    assert str(run).split("\n")[0].endswith(f" · {head}") and run.data()["level"] == "deferred"
    root = ElementTree.fromstring(run.picture.svg)
    assert_readable(root)
    assert [text for text in texts(root) if text.endswith(f" · {head}")]


def test_those_who_wait_go_on_in_the_order_in_which_they_came(sqlite: Stage) -> None:
    steps = "T1: BEGIN\nT1: UPDATE test SET value = 0\n"
    steps += "".join(f"S{number}: INSERT INTO test VALUES ({10 + number}, 0)\n" for number in range(5))
    runs = [sqlite.run(read(f"{steps}T1: COMMIT")) for _ in range(10)]
    ends = [line for line in told(runs[0]) if line.endswith("done")]
    assert ends[-5:] == [f"S{number}.1 done" for number in range(5)]
    assert len({str(run) for run in runs}) == 1


@pytest.mark.parametrize("level", ["deferred", "immediate"])
def test_all_70_interleavings_repeat_and_none_deadlocks_on_sqlite(sqlite: Stage, level: str) -> None:
    first = [sqlite.run(order, level) for order in MOVES.orders()]
    assert {tuple(run.outcomes.values()) for run in first} == {("committed", "committed")}
    assert {run.final["test"] for run in first} == {((1, 10), (2, 20))}
    assert [str(sqlite.run(order, level)) for order in MOVES.orders()] == [str(run) for run in first]


def test_duckdb_answers_at_once_and_aborts_the_second_writer(duckdb: Stage) -> None:
    run = duckdb.run(
        read(
            """
            T1: BEGIN
            T2: BEGIN
            T1: UPDATE test SET value = 11 WHERE id = 1
            T2: UPDATE test SET value = 12 WHERE id = 1
            T2: SELECT value FROM test
            T1: COMMIT
            T2: COMMIT
            """
        )
    )
    assert not run.waits
    assert (run.end("T2.2").sqlstate, run.end("T2.2").message) == ("TransactionContext", "Conflict on update!")
    assert run.end("T2.3").kind == "failed" and run.end("T2.4").kind == "done"
    assert run.outcomes == {"T1": "committed", "T2": "aborted TransactionContext"}
    assert run.end("T1.2").rowcount == 1


def test_duckdb_takes_its_snapshot_at_the_first_statement(duckdb: Stage) -> None:
    steps = """
        T1: BEGIN
        {}
        T2: UPDATE test SET value = 12 WHERE id = 1
        T1: SELECT value FROM test WHERE id = 1
        T1: COMMIT
    """
    first = duckdb.run(read(steps.format("")))
    assert first.end("T1.2").rows == ((12,),)
    later = duckdb.run(read(steps.format("T1: SELECT count(*) FROM test")))
    assert later.end("T1.3").rows == ((10,),)


def test_duckdb_s_errors_at_commit_and_constraints(duckdb: Stage) -> None:
    run = duckdb.run(
        read(
            """
            T1: BEGIN
            T2: BEGIN
            T1: INSERT INTO test VALUES (3, 30)
            T2: INSERT INTO test VALUES (3, 31)
            T1: COMMIT
            T2: COMMIT
            T3: INSERT INTO test VALUES (1, 1)
            """
        )
    )
    assert run.outcomes["T1"] == "committed" and run.outcomes["T2"].startswith("aborted ")
    assert run.outcomes["T3"] == "aborted Constraint"
    assert dict(run.final["test"])[3] == 30


def test_all_70_interleavings_repeat_on_duckdb(duckdb: Stage) -> None:
    first = [duckdb.run(order) for order in MOVES.orders()]
    assert sum(bool(run.failures) for run in first) == 60
    assert [str(duckdb.run(order)) for order in MOVES.orders()] == [str(run) for run in first]


@pytest.mark.parametrize("engine", ["sqlite", "sqlite-rollback", "duckdb"])
def test_a_wedged_schedule_is_cancelled_and_the_next_one_runs(engine: str) -> None:
    with closing(Stage(engine, timeout_s=0.3)) as stage:
        with pytest.raises(ScheduleTimeout, match=r"after 0.3 s T1.2 .* still ran"):
            stage.run(read(f"T1: BEGIN\nT1: {ENDLESS}\nT2: SELECT 1"))
        with pytest.raises(SqlError, match=r"The setup ran longer than 0.3 s"):
            stage.run(read("T1: SELECT 1", ENDLESS))
        if engine != "duckdb":
            with pytest.raises(ScheduleTimeout, match=r"waits for T1 \(the database's write lock\), which has no step"):
                stage.run(read("T1: BEGIN IMMEDIATE\nT2: BEGIN IMMEDIATE"))
        run = stage.run(read("T1: UPDATE test SET value = 0\nT2: SELECT sum(value) FROM test"))
        assert run.end("T2.1").rows == ((0,),)


@pytest.mark.parametrize("engine", ["sqlite", "sqlite-rollback", "duckdb"])
def test_nothing_of_a_schedule_is_left_for_the_next(engine: str) -> None:
    dirty = (
        "T1: CREATE TABLE more (n int)\nT2: CREATE TEMP TABLE mine (n int)",
        "T1: DROP TABLE test",
        "T1: BEGIN\nT1: DELETE FROM test",
        "T1: CREATE VIEW v AS SELECT * FROM test\nT1: CREATE INDEX i ON test (value)",
        "T1: ALTER TABLE test ADD COLUMN more int",
    )
    look = "T1: SELECT * FROM test ORDER BY id\nT2: SELECT * FROM mine\nT1: SELECT * FROM more\nT1: SELECT * FROM v"
    with closing(Stage(engine)) as stage:
        expected = str(stage.run(read(look)))
        for steps in dirty:
            stage.run(read(steps))
            assert str(stage.run(read(look))) == expected, steps


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_a_step_with_too_many_rows_is_stopped(engine: str) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"
    many = "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) SELECT i, 0 FROM n"
    with closing(Stage(engine)) as stage:
        run = stage.run(read(f"T1: BEGIN\nT1: {endless.format(10_001)}\nT1: COMMIT\nT2: {endless.format(10_000)}"))
        assert "more than 10,000 rows" in run.end("T1.2").message
        assert run.outcomes["T2"] == "committed" and len(run.end("T2.1").rows) == 10_000
        with pytest.raises(TooManyRows, match="The table test has more than 10,000 rows"):
            stage.run(read(f"T1: INSERT INTO test {many}"))
        assert stage.run(read("T1: SELECT count(*) FROM test")).end(0).rows == ((2,),)


def test_a_stage_takes_its_file_with_it() -> None:
    folder = places.state_folder() / "files"
    stage = Stage("sqlite")
    stage.run(read("T1: SELECT 1"))
    mine = stage.seats._path.name  # type: ignore[attr-defined]
    assert list(folder.glob(f"{mine}*"))
    stage.close()
    assert not list(folder.glob(f"{mine}*"))


@pytest.mark.parametrize(
    ("engine", "level", "says"),
    [
        ("sqlite", "serializable", "SQLite has no isolation level 'serializable'. Next: use deferred or immediate"),
        ("duckdb", "read committed", "DuckDB has no isolation level 'read committed'. Next: use snapshot"),
    ],
)
def test_a_level_of_another_engine_is_refused(engine: str, level: str, says: str) -> None:
    with pytest.raises(Misuse) as caught:
        Stage(engine, level)
    assert says in str(caught.value)


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_a_refused_setup_and_a_refused_step_are_told(engine: str) -> None:
    with closing(Stage(engine)) as stage:
        with pytest.raises(SqlError, match=r"The setup is refused: .*nowhere"):
            stage.run(read("T1: SELECT 1", "INSERT INTO nowhere VALUES (1)"))
        run = stage.run(read("T1: SELEC 1\nT1: SELECT 'it''s', NULL, 1.5\nT1: SELECT * FROM test WHERE 1 = 0"))
    assert run.events[0].kind == "failed" and "SELEC" in run.events[0].message
    assert [str(value) for value in run.events[1].rows[0]] == ["it's", "None", "1.5"]
    assert (run.events[2].rows, run.events[2].columns) == ((), ("id", "value"))


@pytest.mark.parametrize(
    ("engine", "sql", "code"),
    [
        ("duckdb", "SELECT 1; SELECT INTERVAL '9999999 years'", "OverflowError"),
        ("sqlite", "SELECT 1; SELECT CAST(x'ff' AS TEXT)", "UnicodeDecodeError"),
    ],
)
def test_whatever_a_statement_raises_is_the_failure_of_its_step_at_once(engine: str, sql: str, code: str) -> None:
    steps = (Step("T1", "BEGIN"), Step("T1", sql), Step("T2", "SELECT 2"), Step("T1", "COMMIT"))
    with closing(Stage(engine, timeout_s=60)) as stage:
        run = stage.run(Schedule("", TEST, steps))
        assert [event.kind for event in run.events] == ["done", "failed", "done", "done"]
        assert run.events[1].sqlstate == code and run.events[1].message
        assert stage.run(read("T1: SELECT 1")).end(0).rows == ((1,),)


@pytest.mark.parametrize("engine", ["sqlite", "sqlite-rollback", "duckdb"])
def test_a_statement_of_a_comment_alone_is_done_and_has_no_rows(engine: str) -> None:
    with closing(Stage(engine)) as stage:
        run = stage.run(read("T1: -- nothing\nT1: BEGIN\nT1: /* nothing */\nT1: COMMIT", "-- nothing"))
    assert [(event.kind, event.rows, event.rowcount) for event in run.events] == [("done", None, None)] * 4


def test_text_that_is_no_utf_8_is_shown_as_the_sql_that_makes_it(sqlite: Stage) -> None:
    run = sqlite.run(
        read(
            """
            T1: INSERT INTO test VALUES (3, CAST(x'ff' AS TEXT)), (4, x'ff'), (5, 'ä')
            T2: SELECT value, id FROM test WHERE id > 2 ORDER BY id DESC -- newest first
            """
        )
    )
    odd = "CAST(x'ff' AS TEXT)"
    assert run.end("T2.1").rows == (("ä", 5), (b"\xff", 4), (odd, 3))
    assert run.end("T2.1").columns == ("value", "id")
    assert run.final["test"][2:] == ((3, odd), (4, b"\xff"), (5, "ä"))
    other = sqlite.run(read("T1: INSERT INTO test VALUES (3, CAST(x'fe' AS TEXT)), (4, x'ff'), (5, 'ä')"))
    assert other.final != run.final


def test_duckdb_s_dates_and_times_are_its_own_text(duckdb: Stage) -> None:
    setup = (
        "CREATE TABLE test (id int, moment timestamp, day date); INSERT INTO test VALUES (1, 'infinity', '9999-12-31')"
    )
    steps = """
        T1: SELECT moment, day, INTERVAL '1 month 33 days', TIMESTAMPTZ '2020-01-01 00:00:00+00' > '2019-01-01' FROM test
        T1: SELECT INTERVAL '9999999 years' AS long, DATE '-infinity' AS long ORDER BY 1
        T1: SELECT [day], {'a': moment, 'b': 1} FROM test
        T1: INSERT INTO test VALUES (2, '2020-01-01 10:00:00', '2020-01-01') RETURNING moment
    """
    run = duckdb.run(read(steps, setup))
    assert run.end("T1.1").rows == (("infinity", "9999-12-31", "1 month 33 days", True),)
    assert run.end("T1.2").rows == (("9999999 years", "-infinity"),) and run.end("T1.2").columns == ("long", "long")
    assert run.end("T1.3").rows == ((["9999-12-31"], {"a": "infinity", "b": 1}),)
    assert run.end("T1.4").rows == (("2020-01-01 10:00:00",),)
    assert run.final["test"] == ((1, "infinity", "9999-12-31"), (2, "2020-01-01 10:00:00", "2020-01-01"))


def test_a_query_of_duckdb_with_dates_is_asked_once_where_it_counts(duckdb: Stage) -> None:
    setup = "CREATE SEQUENCE s; CREATE TABLE test (id int)"
    run = duckdb.run(read("T1: SELECT nextval('s'), DATE '2020-01-01'\nT1: SELECT nextval('s')", setup))
    assert run.end("T1.1").rows == ((1, "2020-01-01"),) and run.end("T1.2").rows == ((2,),)


LEFT = {
    "attached": "T1: ATTACH ':memory:' AS o\nT1: CREATE TABLE o.x (a int)\nT2: SELECT count(*) FROM o.x",
    "threads": "T1: SET GLOBAL threads = 2\nT2: SELECT current_setting('threads')",
    "memory": "T1: SET memory_limit = '100MB'\nT2: SELECT current_setting('memory_limit')",
    "locked": "T1: SET lock_configuration = true\nT2: SET threads = 2",
    "elsewhere": "T1: CREATE TABLE memory.x (a int)\nT2: SELECT * FROM memory.x",
    "detached": "T1: DETACH memory\nT2: SELECT * FROM test",
}


@pytest.mark.parametrize("name", LEFT)
def test_nothing_of_duckdb_itself_is_left_for_the_next(duckdb: Stage, name: str) -> None:
    look = "T1: SELECT current_setting('threads'), current_setting('memory_limit'), current_setting('lock_configuration')\n"
    look += "T1: SELECT count(*) FROM duckdb_databases() WHERE NOT internal\nT1: SELECT * FROM memory.x"
    expected = str(duckdb.run(read(look)))
    first = str(duckdb.run(read(LEFT[name])))
    assert str(duckdb.run(read(LEFT[name]))) == first
    assert str(duckdb.run(read(look))).split("\n")[1:] == expected.split("\n")[1:]
    assert duckdb.run(read("T1: SELECT 1", f"SET threads = 3; {TEST}")).end(0).rows == ((1,),)
    assert str(duckdb.run(read(look))) == expected


def test_a_serial_order_of_attach_finds_nothing_attached(duckdb: Stage) -> None:
    schedule = read("T1: ATTACH ':memory:' AS o\nT1: CREATE TABLE o.x (a int)\nT2: SELECT * FROM test")
    assert judge(duckdb.run(schedule), duckdb).serializable


def test_a_schedule_of_plain_statements_keeps_the_instance(duckdb: Stage) -> None:
    duckdb.run(read("T1: UPDATE test SET value = 0\nT2: CREATE TABLE more (n int)"))
    before = duckdb.seats._root  # type: ignore[attr-defined]
    duckdb.run(read("T1: SELECT 1"))
    assert duckdb.seats._root is before  # type: ignore[attr-defined]
    duckdb.run(read("T1: SELECT 1; SET threads = 2"))
    assert duckdb.seats._root is not before  # type: ignore[attr-defined]


def test_a_python_variable_is_no_table_of_duckdb(duckdb: Stage) -> None:
    assert duckdb.run(read("T1: SELECT * FROM worker")).end(0).sqlstate == "Catalog"


@pytest.mark.parametrize(
    "steps",
    ["T1: SET memory_limit = '1MB'\nT2: SELECT 1", "T1: USE memory\nT1: DETACH {here}\nT2: SELECT 1"],
    ids=["memory", "detached"],
)
def test_tables_of_duckdb_that_cannot_be_read_are_a_sentence_and_the_next_schedule_runs(steps: str) -> None:
    with closing(Stage("duckdb")) as stage:
        with pytest.raises(SqlError, match=r"The tables cannot be read after the schedule: .*Error: .*\. Next:"):
            stage.run(read(steps.format(here="schedule_1")))
        assert stage.run(read("T1: SELECT count(*) FROM test")).end(0).rows == ((2,),)


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_a_refused_teardown_is_a_sentence_and_the_next_schedule_runs(engine: str) -> None:
    with closing(Stage(engine)) as stage:
        with pytest.raises(SqlError, match=r"The teardown is refused: .*nowhere"):
            stage.run(replace(read("T1: SELECT 1"), teardown="DROP TABLE nowhere"))
        assert stage.run(read("T1: SELECT count(*) FROM test")).end(0).rows == ((2,),)


@pytest.mark.parametrize(
    ("engine", "returned"), [("sqlite", "CAST(x'ff' AS TEXT)"), ("duckdb", "INTERVAL '9999999 years'")]
)
def test_a_statement_that_has_written_is_done_also_where_what_it_returns_cannot_be_shown(
    engine: str, returned: str
) -> None:
    with closing(Stage(engine)) as stage:
        run = stage.run(read(f"T1: INSERT INTO test VALUES (3, 30) RETURNING {returned}"))
    (event,) = run.events
    assert (event.kind, event.rows) == ("done", None) and "what it returns cannot be shown" in event.notices[0]
    assert run.outcomes == {"T1": "committed"} and run.final["test"][-1] == (3, 30)
