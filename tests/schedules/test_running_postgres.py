"""Schedules on PostgreSQL: who waits for whom and on what, deadlocks, failures, errors at COMMIT; the same text each
time."""

from __future__ import annotations

import datetime

import pytest
from psycopg.types.range import Range

from workbook.errors import Misuse, SqlError, TooManyRows
from workbook.schedules import Program, Run, Schedule, Stage, Step

TEST = "CREATE TABLE test (id int PRIMARY KEY, value int); INSERT INTO test VALUES (1, 10), (2, 20)"


def schedule(steps: str, setup: str = TEST, **more: str) -> Schedule:
    """The schedule of some lines of steps."""
    lines = "\n".join(line.strip() for line in steps.strip().split("\n"))
    read = Schedule.read(lines)
    return Schedule("", setup, read.steps, levels=read.levels, **more)


def told(run: Run) -> list[str]:
    """The events in short: `T2.2 waits for T1: row id=1 of test`."""
    lines = []
    for event in run.events:
        name, holders = run.step(event).name, ", ".join(event.waits_for)
        more = f" for {holders}: {event.waits_on}" if event.kind == "waits" else f" {event.sqlstate}".rstrip()
        lines.append(f"{name} {event.kind}{more}")
    return lines


def test_a_lost_update_as_a_person_reads_it(postgres: Stage) -> None:
    run = postgres.run(
        Schedule(
            "Lost update",
            TEST,
            schedule(
                """
                T1: BEGIN
                T2: BEGIN
                T1: SELECT value FROM test WHERE id = 1
                T2: SELECT value FROM test WHERE id = 1
                T1: UPDATE test SET value = 11 WHERE id = 1
                T2: UPDATE test SET value = 12 WHERE id = 1
                T1: COMMIT
                T2: COMMIT
                """
            ).steps,
        )
    )
    assert (
        str(run)
        == f"""\
Lost update · PostgreSQL {run.version} · read committed

     T1                        T2
  0  BEGIN
  1                            BEGIN
  2  SELECT value FROM test WHERE id = 1  → (10)
  3                            SELECT value FROM test WHERE id = 1  → (10)
  4  UPDATE test SET value = 11 WHERE id = 1  → 1 row
  5                            UPDATE test SET value = 12 WHERE id = 1  … waits for T1, row id=1 of test
  6  COMMIT
  7                            UPDATE test SET value = 12 WHERE id = 1  … goes on
  8                            UPDATE test SET value = 12 WHERE id = 1  → 1 row
  9                            COMMIT

T1 committed, T2 committed
test: (1, 12) (2, 20)"""
    )
    assert [event.at for event in run.events] == list(range(10))
    assert run.end("T1.2").rows == ((10,),) and run.end("T1.2").columns == ("value",)
    assert run.data()["events"][5]["waits_for"] == ["T1"]


def test_a_session_without_begin_is_pointed_at(postgres: Stage) -> None:
    steps = "T1: SELECT 1\nT2: SELECT 2\nT2: SELECT 3"
    note = "T2 says no BEGIN: each of its statements is a transaction of its own"
    for level, told_of in (("read committed", ()), ("repeatable read", (note,)), ("serializable", (note,))):
        run = postgres.run(schedule(steps), level)
        assert run.notes == told_of == tuple(run.data()["notes"])
        assert (f"\n{note}." in str(run)) == bool(told_of) == ("T2 says no BEGIN" in run.picture.svg)
    ended = postgres.run(schedule("T1: BEGIN\nT1: SELECT 1\nT1: COMMIT\nT2: SELECT 2\nT2: COMMIT"))
    assert ended.notes == (note,)


def test_the_level_decides_and_may_differ_between_sessions(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T2: BEGIN
        T2: SELECT value FROM test WHERE id = 1
        T1: UPDATE test SET value = 11 WHERE id = 1
        T1: COMMIT
        T2: SELECT value FROM test WHERE id = 1
        T2: COMMIT
    """
    assert postgres.run(schedule(steps)).end("T2.3").rows == ((11,),)
    assert postgres.run(schedule(steps), "repeatable read").end("T2.3").rows == ((10,),)
    mixed = postgres.run(schedule("level T2: repeatable read\n" + steps), "read committed")
    assert mixed.end("T2.3").rows == ((10,),)
    assert mixed.levels == {"T1": "read committed", "T2": "repeatable read"}


def test_a_serialization_failure_and_a_commit_that_answers_rollback(postgres: Stage) -> None:
    run = postgres.run(
        schedule(
            """
            T1: BEGIN
            T2: BEGIN
            T1: SELECT value FROM test WHERE id = 1
            T2: UPDATE test SET value = 12 WHERE id = 1
            T2: COMMIT
            T1: UPDATE test SET value = 11 WHERE id = 1
            T1: SELECT value FROM test
            T1: COMMIT
            """
        ),
        "repeatable read",
    )
    assert told(run)[-3:] == ["T1.3 failed 40001", "T1.4 failed 25P02", "T1.5 done"]
    assert run.end("T1.5").answer == "ROLLBACK"
    assert run.outcomes == {"T1": "aborted 40001", "T2": "committed"}
    assert "COMMIT  → ROLLBACK" in str(run)


def test_an_error_at_commit_is_an_event(postgres: Stage) -> None:
    deferred = """CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"""
    run = postgres.run(schedule("T1: BEGIN\nT1: INSERT INTO child VALUES (1)\nT1: COMMIT", deferred))
    assert told(run) == ["T1.1 done", "T1.2 done", "T1.3 failed 23503"]
    assert run.outcomes == {"T1": "aborted 23503"} and run.final == {"parent": (), "child": ()}
    skew = """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT sum(value) FROM test
        T2: SELECT sum(value) FROM test
        T1: INSERT INTO test VALUES (3, 30)
        T2: INSERT INTO test VALUES (4, 30)
        T1: COMMIT
        T2: COMMIT
    """
    run = postgres.run(schedule(skew), "serializable")
    assert told(run)[-1] == "T2.4 failed 40001"
    assert run.outcomes == {"T1": "committed", "T2": "aborted 40001"}


def test_an_answer_has_its_columns_rows_count_and_tag(postgres: Stage) -> None:
    run = postgres.run(
        schedule(
            """
            T1: BEGIN
            T1: UPDATE test SET value = 0 WHERE id = 1
            T1: UPDATE test SET value = 0 RETURNING id, value
            T1: SELECT id FROM test WHERE id > 2
            T1: INSERT INTO test SELECT n, n FROM generate_series(3, 2502) AS n RETURNING id
            T1: SELECT 1; DELETE FROM test WHERE id > 1
            T1: COMMIT
            """
        )
    )
    told_ = [(event.columns, event.rows, event.rowcount, event.answer) for event in run.events]
    assert told_[:4] == [
        ((), None, None, "BEGIN"),
        ((), None, 1, "UPDATE 1"),
        (("id", "value"), ((2, 0), (1, 0)), 2, "UPDATE 2"),
        (("id",), (), 0, "SELECT 0"),
    ]
    assert (len(told_[4][1]), told_[4][2:]) == (2_500, (2_500, "INSERT 0 2500"))
    assert told_[5] == (("?column?",), ((1,),), 2_501, "DELETE 2501")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("date '2024-02-29'", datetime.date(2024, 2, 29)),
        ("'infinity'::date", "infinity"),
        ("'infinity'::timestamp", "infinity"),
        ("'-infinity'::timestamptz", "-infinity"),
        ("'4000-01-01 BC'::date", "4000-01-01 BC"),
        ("'24:00:00'::time", "24:00:00"),
        ("'99999-01-01'::timestamptz", "99999-01-01 00:00:00+00"),
        ("interval '1 day 02:03'", datetime.timedelta(days=1, hours=2, minutes=3)),
        ("'infinity'::interval", "infinity"),
        ("interval '10000000 years'", "10000000 years"),
        ("interval '1 month'", "1 mon"),
        ("daterange('2024-02-29', NULL)", Range(datetime.date(2024, 2, 29), None)),
        ("daterange('-infinity', 'infinity', '[]')", "[-infinity,infinity]"),
        ("array['infinity'::date, '2024-02-29']", ["infinity", datetime.date(2024, 2, 29)]),
        ("'NaN'::float", "NaN"),
        ("'NaN'::numeric", "NaN"),
    ],
)
def test_a_value_that_python_cannot_hold_comes_as_postgresql_s_text(postgres: Stage, value: str, read: object) -> None:
    steps = schedule(f"T1: SELECT {value}\nT1: INSERT INTO kept TABLE kept", f"CREATE TABLE kept AS SELECT {value}")
    run = postgres.run(steps)
    assert run.end(0).rows == ((read,),) and run.final == {"kept": ((read,), (read,))}
    again = postgres.run(steps)
    assert (again.end(0).rows, again.final) == (run.end(0).rows, run.final) and str(again) == str(run)


def test_a_style_of_dates_counts_from_the_step_that_sets_it(postgres: Stage) -> None:
    steps = "T1: SELECT date '2024-02-03'\nT1: SET datestyle = 'SQL, DMY'\nT1: SELECT date '2024-02-03'"
    run = postgres.run(schedule(steps + "\nT1: SET intervalstyle = iso_8601\nT1: SELECT interval '1 day'"))
    assert run.end(0).rows == run.end(2).rows == ((datetime.date(2024, 2, 3),),)
    assert run.end(4).rows == (("P1D",),)


def test_outcomes_of_the_ways_in_which_a_transaction_ends(postgres: Stage) -> None:
    steps = """
        undone: BEGIN
        undone: UPDATE test SET value = 0
        undone: ROLLBACK
        alone: UPDATE test SET value = 7 WHERE id = 2
        broken: SELECT 1 / 0
        saved: BEGIN
        saved: SAVEPOINT a
        saved: SELECT 1 / 0
        saved: ROLLBACK TO SAVEPOINT a
        saved: COMMIT
        failed: BEGIN
        failed: SELECT * FROM nowhere
        left: BEGIN
        left: UPDATE test SET value = 0 WHERE id = 1
        kept: BEGIN
        kept: INSERT INTO test VALUES (9, 9)
        kept: PREPARE TRANSACTION 'kept'
        twice: BEGIN
        twice: COMMIT
        twice: COMMIT
    """
    run = postgres.run(schedule(steps))
    assert run.outcomes == {
        "undone": "aborted by ROLLBACK",
        "alone": "committed",
        "broken": "aborted 22012",
        "saved": "committed",
        "failed": "aborted 42P01",
        "left": "open",
        "kept": "prepared",
        "twice": "committed",
    }
    assert run.final == {"test": ((1, 10), (2, 7))}
    assert run.end("twice.3").notices == ("WARNING: there is no transaction in progress",)


def test_a_deadlock_sacrifices_the_one_that_closes_the_circle(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET value = 22 WHERE id = 2
        T1: UPDATE test SET value = 12 WHERE id = 2
        T2: UPDATE test SET value = 21 WHERE id = 1
        T1: COMMIT
        T2: COMMIT
    """
    run = postgres.run(schedule(steps))
    assert told(run) == [
        *("T1.1 done", "T2.1 done", "T1.2 done", "T2.2 done"),
        "T1.3 waits for T2: row id=2 of test",
        "T2.3 waits for T1: row id=1 of test",
        "T2.3 resumed",
        "T2.3 failed 40P01",
        "T1.3 resumed",
        *("T1.3 done", "T1.4 done", "T2.4 done"),
    ]
    assert run.outcomes == {"T1": "committed", "T2": "aborted 40P01"}
    assert {str(postgres.run(schedule(steps))) for _ in range(30)} == {str(run)}


@pytest.mark.parametrize(
    ("first", "then", "on"),
    [
        ("SELECT 1 FROM test WHERE id = 1 FOR SHARE", "UPDATE test SET value = 0 WHERE id = 1", "row id=1 of test"),
        ("LOCK test IN SHARE MODE", "UPDATE test SET value = 0 WHERE id = 1", "table test (RowExclusiveLock)"),
        ("SELECT pg_advisory_xact_lock_shared(3)", "SELECT pg_advisory_xact_lock(3)", "advisory lock 3"),
    ],
)
def test_what_closes_the_circle_is_told_in_the_same_words_each_time(
    postgres: Stage, first: str, then: str, on: str
) -> None:
    """Both hold a shared lock and want more; whoever is late is told by the deadlock's message alone."""
    sent = [f"{name}: {sql}" for sql in ("BEGIN", first, then, "COMMIT") for name in ("T1", "T2")]
    runs = [postgres.run(schedule("\n".join(sent))) for _ in range(50)]
    assert {line for run in runs for line in told(run) if "T2.3 waits" in line} == {f"T2.3 waits for T1: {on}"}
    assert len({str(run) for run in runs}) == 1


def test_a_deadlock_of_three_is_told_and_repeats(postgres: Stage) -> None:
    three = TEST + ", (3, 30)"
    steps = """
        T1: BEGIN
        T2: BEGIN
        T3: BEGIN
        T1: UPDATE test SET value = 0 WHERE id = 1
        T2: UPDATE test SET value = 0 WHERE id = 2
        T3: UPDATE test SET value = 0 WHERE id = 3
        T1: UPDATE test SET value = 0 WHERE id = 2
        T2: UPDATE test SET value = 0 WHERE id = 3
        T3: UPDATE test SET value = 0 WHERE id = 1
        T1: COMMIT
        T2: COMMIT
        T3: COMMIT
    """
    run = postgres.run(schedule(steps, three))
    assert [line for line in told(run) if "waits" in line or "failed" in line] == [
        "T1.3 waits for T2: row id=2 of test",
        "T2.3 waits for T3: row id=3 of test",
        "T3.3 waits for T1: row id=1 of test",
        "T3.3 failed 40P01",
    ]
    assert {str(postgres.run(schedule(steps, three))) for _ in range(10)} == {str(run)}


def test_a_schedule_may_choose_whom_a_deadlock_sacrifices(postgres: Stage) -> None:
    run = postgres.run(
        schedule(
            """
            T1: BEGIN
            T1: SET LOCAL deadlock_timeout = '500ms'
            T2: BEGIN
            T2: SET LOCAL deadlock_timeout = '1min'
            T1: UPDATE test SET value = 11 WHERE id = 1
            T2: UPDATE test SET value = 22 WHERE id = 2
            T1: UPDATE test SET value = 12 WHERE id = 2
            T2: UPDATE test SET value = 21 WHERE id = 1
            T1: COMMIT
            T2: COMMIT
            """
        )
    )
    assert run.outcomes == {"T1": "aborted 40P01", "T2": "committed"}
    assert "T2.4 waits for T1: row id=1 of test" in told(run)


def test_the_third_who_wants_a_row_waits_for_the_second(postgres: Stage) -> None:
    run = postgres.run(
        schedule(
            """
            T1: BEGIN
            T2: BEGIN
            T3: BEGIN
            T1: UPDATE test SET value = value + 1 WHERE id = 1
            T2: UPDATE test SET value = value + 1 WHERE id = 1
            T3: UPDATE test SET value = value + 1 WHERE id = 1
            T1: COMMIT
            T2: COMMIT
            T3: COMMIT
            """
        )
    )
    assert told(run)[4:7] == [
        "T2.2 waits for T1: row id=1 of test",
        "T3.2 waits for T2: row id=1 of test",
        "T1.3 done",
    ]
    assert run.final == {"test": ((1, 13), (2, 20))}


def test_a_deferrable_transaction_waits_for_a_safe_snapshot(postgres: Stage) -> None:
    run = postgres.run(
        schedule(
            """
            T1: BEGIN ISOLATION LEVEL SERIALIZABLE
            T1: UPDATE test SET value = 11 WHERE id = 1
            T2: BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE
            T2: SELECT value FROM test WHERE id = 1
            T1: COMMIT
            T2: COMMIT
            """
        )
    )
    assert told(run)[3:] == [
        "T2.2 waits for T1: a safe snapshot",
        "T1.3 done",
        "T2.2 resumed",
        "T2.2 done",
        "T2.3 done",
    ]


@pytest.mark.parametrize(
    ("setup", "holds", "waits", "on"),
    [
        (TEST, "SELECT pg_advisory_xact_lock(42)", "SELECT pg_advisory_lock(42)", "advisory lock 42"),
        (TEST, "SELECT pg_advisory_xact_lock(1, 2)", "SELECT pg_advisory_lock(1, 2)", "advisory lock (1, 2)"),
        (TEST, "LOCK TABLE test", "SELECT * FROM test", "table test (AccessShareLock)"),
        (TEST, "INSERT INTO test VALUES (3, 30)", "INSERT INTO test VALUES (3, 31)", "the end of T1's transaction"),
        (TEST, "SELECT * FROM test FOR UPDATE", "SELECT * FROM test WHERE id = 2 FOR SHARE", "row id=2 of test"),
        (
            "CREATE TABLE two (a int, b text, PRIMARY KEY (a, b)); INSERT INTO two VALUES (1, 'x')",
            "UPDATE two SET a = 1",
            "DELETE FROM two",
            "row a=1, b=x of two",
        ),
        (
            "CREATE TABLE bare (n int); INSERT INTO bare VALUES (1), (2)",
            "DELETE FROM bare WHERE n = 2",
            "DELETE FROM bare WHERE n = 2",
            "row (0,2) of bare",
        ),
        (
            "CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY); INSERT INTO other.t VALUES (1)",
            "DELETE FROM other.t",
            "DELETE FROM other.t",
            "row id=1 of other.t",
        ),
    ],
)
def test_what_is_waited_on_has_a_name(postgres: Stage, setup: str, holds: str, waits: str, on: str) -> None:
    run = postgres.run(schedule(f"T1: BEGIN\nT1: {holds}\nT2: {waits}\nT1: COMMIT", setup))
    assert [(event.waits_for, event.waits_on) for event in run.waits] == [(("T1",), on)]
    assert told(run)[-1] in ("T2.1 done", "T2.1 failed 23505")


def test_a_predicate_lock_is_not_taken_for_what_is_waited_on(postgres: Stage) -> None:
    run = postgres.run(
        schedule(
            """
            T1: BEGIN
            T2: BEGIN
            T2: SELECT value FROM test WHERE id = 1
            T1: UPDATE test SET value = 22 WHERE id = 2
            T2: UPDATE test SET value = 23 WHERE id = 2
            T1: COMMIT
            T2: COMMIT
            """
        ),
        "serializable",
    )
    assert [event.waits_on for event in run.waits] == ["row id=2 of test"]


def test_steps_of_a_session_that_waits_are_kept_until_it_is_free(postgres: Stage) -> None:
    run = postgres.run(
        schedule(
            """
            T1: BEGIN
            T1: UPDATE test SET value = 11 WHERE id = 1
            T2: BEGIN
            T2: UPDATE test SET value = 12 WHERE id = 1
            T2: SELECT value FROM test WHERE id = 1
            T2: COMMIT
            T1: COMMIT
            """
        )
    )
    assert told(run)[3:] == [
        "T2.2 waits for T1: row id=1 of test",
        *("T1.3 done", "T2.2 resumed", "T2.2 done", "T2.3 done", "T2.4 done"),
    ]


def test_two_that_are_freed_at_once_are_told_in_the_order_in_which_they_came(postgres: Stage) -> None:
    steps = "T1: BEGIN\nT1: UPDATE test SET value = 0\n"
    steps += "".join(f"S{number}: SELECT * FROM test WHERE id = 1 FOR SHARE\n" for number in range(5))
    texts = {str(postgres.run(schedule(steps + "T1: COMMIT"))) for _ in range(10)}
    assert len(texts) == 1
    ends = [line for line in told(postgres.run(schedule(steps + "T1: COMMIT"))) if line.endswith("done")]
    assert ends[-6:] == ["T1.3 done", *(f"S{number}.1 done" for number in range(5))]


def test_a_lock_timeout_ends_a_wait_with_its_error(postgres: Stage) -> None:
    run = postgres.run(
        schedule(
            """
            T1: BEGIN
            T1: LOCK TABLE test
            T2: SET lock_timeout = '50ms'
            T2: SELECT * FROM test
            """
        )
    )
    assert told(run)[3:] == ["T2.2 waits for T1: table test (AccessShareLock)", "T2.2 resumed", "T2.2 failed 55P03"]
    assert run.outcomes == {"T1": "open", "T2": "aborted 55P03"}


def test_a_step_with_too_many_rows_is_stopped(postgres: Stage) -> None:
    endless = "SELECT a FROM generate_series(1, 20000) AS a, generate_series(1, 20000) AS b"
    run = postgres.run(schedule(f"T1: BEGIN\nT1: {endless}\nT1: COMMIT\nT2: SELECT * FROM generate_series(1, 10000)"))
    assert told(run)[1] == "T1.2 failed 57014" and "more than 10,000 rows" in run.end("T1.2").message
    assert run.outcomes == {"T1": "aborted 57014", "T2": "committed"}
    assert [row[0] for row in run.end("T2.1").rows] == list(range(1, 10_001))
    with pytest.raises(TooManyRows, match="The table test has more than 10,000 rows"):
        postgres.run(schedule("T1: INSERT INTO test SELECT n, 0 FROM generate_series(3, 10001) AS n"))
    assert postgres.run(schedule("T1: SELECT count(*) FROM test")).end(0).rows == ((2,),)


def test_notices_come_with_their_step(postgres: Stage) -> None:
    run = postgres.run(schedule("T1: DO $$ BEGIN RAISE NOTICE 'half way'; END $$"))
    assert run.events[0].notices == ("NOTICE: half way",)


def test_probes_run_in_the_step_s_own_session_just_before_and_after_it(postgres: Stage) -> None:
    def probe(step: Step) -> tuple[str | None, str | None]:
        count = "SELECT count(*), pg_backend_pid() FROM test"
        return (count, count) if step.sql.startswith(("INSERT", "SELECT 1")) else (None, None)

    run = postgres.run(
        schedule("T1: BEGIN\nT1: INSERT INTO test VALUES (3, 30)\nT1: SELECT 1 / 0\nT1: COMMIT"), probe=probe
    )
    inserted, broken = run.events[1].seen, run.events[2].seen
    assert (inserted[0][0][0], inserted[1][0][0]) == (2, 3)
    assert inserted[0][0][1] == inserted[1][0][1] == broken[0][0][1]
    assert broken[1] is None and run.events[0].seen == (None, None)
    assert run.outcomes == {"T1": "aborted 22012"}


def test_all_70_interleavings_repeat(postgres: Stage) -> None:
    moves = Program(
        "opposite",
        TEST,
        {
            "T1": ["UPDATE test SET value = value + 1 WHERE id = 1", "UPDATE test SET value = value - 1 WHERE id = 2"],
            "T2": ["UPDATE test SET value = value + 1 WHERE id = 2", "UPDATE test SET value = value - 1 WHERE id = 1"],
        },
    )
    first = [postgres.run(order, "read committed") for order in moves.orders()]
    assert sum(any(event.sqlstate == "40P01" for event in run.failures) for run in first) == 36
    again = [str(postgres.run(order, "read committed")) for order in moves.orders()]
    assert again == [str(run) for run in first]


def test_mistakes_are_sentences(postgres: Stage) -> None:
    with pytest.raises(Misuse, match=r"PostgreSQL has no isolation level 'snapshot'.*use read committed or"):
        postgres.run(schedule("T1: SELECT 1"), "snapshot")
    with pytest.raises(Misuse, match="no engine 'oracle'"):
        Stage("oracle")
    with pytest.raises(SqlError, match=r"The setup is refused: relation \"nowhere\" does not exist"):
        postgres.run(schedule("T1: SELECT 1", "INSERT INTO nowhere VALUES (1)"))
    assert postgres.run(schedule("T1: SELECT 1")).end(0).rows == ((1,),)
    run = postgres.run(schedule("T1: COPY test FROM STDIN\nT1: COPY test TO STDOUT\nT1: SELEC 1"))
    assert [event.sqlstate for event in run.events] == ["57014", "", "42601"]
