"""A schedule that comes to no end, a session or a server that goes: a sentence, and the next schedule runs. Nothing
stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from threading import Timer
from types import FrameType
from typing import Any

import pytest

from workbook.errors import Misuse, SqlError, SqlTimeout
from workbook.schedules import Schedule, ScheduleBroken, ScheduleTimeout, Stage, Step, threads
from workbook.schedules.mariadb_server import installed
from workbook.schedules.scenarios import SCENARIOS

TEST = "CREATE TABLE test (id int PRIMARY KEY, value int); INSERT INTO test VALUES (1, 10), (2, 20)"
NEXT = Schedule.read(
    f"setup: {TEST}\nT1: UPDATE test SET value = 11 WHERE id = 1\nT2: SELECT value FROM test WHERE id = 1"
)
DEAF = """CREATE FUNCTION deaf() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        LOOP
            BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
        END LOOP;
    END $$"""


@pytest.fixture
def stage():
    with closing(Stage("postgresql", timeout_s=0.3)) as made:
        yield made


def read(text: str, setup: str = TEST) -> Schedule:
    return Schedule("", setup, Schedule.read(text).steps)


def goes_on(stage: Stage) -> None:
    """The next schedule runs on the same stage, as if nothing had been."""
    run = stage.run(NEXT)
    assert run.outcomes == {"T1": "committed", "T2": "committed"}
    assert run.end(1).rows == ((11,),)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (
            "T1: SELECT pg_advisory_lock(7)\nT2: SELECT pg_advisory_lock(7)",
            "T2.1 (SELECT pg_advisory_lock(7)) waits for T1 (advisory lock 7), which has no step left",
        ),
        ("T1: BEGIN\nT1: LOCK TABLE test\nT2: SELECT 1 FROM test", "waits for T1 (table test (AccessShareLock))"),
        ("T1: SELECT pg_sleep(3600)\nT2: SELECT 1", "after 0.3 s T1.1 (SELECT pg_sleep(3600)) still ran"),
        ("T1: SELECT count(*) FROM generate_series(1, 1000000000000)", "still ran"),
        ("T1: BEGIN\nT1: UPDATE test SET value = 0\nT1: DO $$ BEGIN LOOP END LOOP; END $$", "still ran"),
        (
            "T1: SET lock_timeout = '1h'\nT1: BEGIN\nT1: LOCK TABLE test\nT2: TABLE test",
            "waits for T1 (table test (AccessShareLock)), after 0.3 s still",
        ),
    ],
)
def test_a_wedged_schedule_is_cancelled_and_the_next_one_runs(stage: Stage, steps: str, says: str) -> None:
    with pytest.raises(ScheduleTimeout) as caught:
        stage.run(read(steps))
    assert says in str(caught.value) and "all sessions were rolled back" in str(caught.value)
    assert isinstance(caught.value, SqlTimeout) and caught.value.run is not None
    assert caught.value.run.final == {"test": ((1, 10), (2, 20))}
    goes_on(stage)


def test_what_was_seen_until_then_stands_in_the_error(stage: Stage) -> None:
    with pytest.raises(ScheduleTimeout) as caught:
        stage.run(read("T1: BEGIN\nT1: UPDATE test SET value = 0 WHERE id = 1\nT2: DELETE FROM test"))
    kinds = [(event.kind, event.waits_for) for event in caught.value.run.events]
    assert kinds == [("done", ()), ("done", ()), ("waits", ("T1",))]
    assert caught.value.run.outcomes == {"T1": "open", "T2": "open"}


@pytest.mark.slow
def test_a_step_that_does_not_hear_a_cancel_is_ended_with_its_session(stage: Stage) -> None:
    with pytest.raises(ScheduleTimeout):
        stage.run(read("T1: SELECT deaf()", DEAF))
    goes_on(stage)


def test_an_endless_setup_is_cancelled(stage: Stage) -> None:
    with pytest.raises(SqlTimeout, match=r"The setup ran longer than 0.3 s"):
        stage.run(read("T1: SELECT 1", "SELECT pg_sleep(3600)"))
    goes_on(stage)


def test_a_session_that_is_ended_is_told_and_its_other_steps_are_skipped(stage: Stage) -> None:
    find = (
        "SELECT pid FROM pg_stat_activity WHERE usename = current_user AND query LIKE 'UPDATE%' AND state <> 'active'"
    )
    run = stage.run(
        read(
            f"""T1: BEGIN
T1: UPDATE test SET value = 11 WHERE id = 1
T2: SELECT count(pg_terminate_backend(pid, 5000)) FROM ({find}) AS found
T1: SELECT value FROM test
T1: COMMIT
T2: SELECT value FROM test WHERE id = 1"""
        )
    )
    assert run.end("T2.1").rows == ((1,),)
    assert (run.end("T1.3").kind, run.end("T1.3").sqlstate) == ("failed", "57P01")
    assert (run.end("T1.4").kind, run.outcomes["T1"]) == ("skipped", "lost")
    assert run.end("T2.2").rows == ((10,),)
    goes_on(stage)


def test_a_session_that_is_ended_after_its_last_step_takes_no_other_with_it(stage: Stage) -> None:
    find = "SELECT pid FROM pg_stat_activity WHERE usename = current_user AND query LIKE 'UPDATE%'"
    end = f"SELECT count(pg_terminate_backend(pid, 5000)) FROM ({find}) AS found"
    run = stage.run(read(f"T1: BEGIN\nT1: UPDATE test SET value = 11\nT2: {end}\nT2: DELETE FROM test WHERE id = 2"))
    assert run.end("T2.1").rows == ((1,),) and run.final == {"test": ((1, 10),)}
    goes_on(stage)


def crash(stage: Stage, names: tuple[str, ...] = ()) -> None:
    """Let the connections of these sessions, or all of the stage's, end as when a server crashes: without a word."""
    seats: Any = stage.seats
    ends = [one.conn for one in seats._pool if not names or one.name in names]
    ends += [] if names else [seats._control.conn, seats._probe.pgconn]
    for conn in ends:
        with socket.socket(fileno=os.dup(conn.socket)) as end:
            end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("at", "names"), [(0, ()), (1, ()), (2, ()), (3, ()), (3, ("T1",))])
def test_connections_that_go_without_a_word_are_a_crash(stage: Stage, at: int, names: tuple[str, ...]) -> None:
    steps = read("T1: BEGIN\nT1: UPDATE test SET value = 11 WHERE id = 1\nT2: SELECT value FROM test\nT1: COMMIT")

    def probe(step: Step) -> tuple[str | None, str | None]:
        if step is steps.steps[at]:
            crash(stage, names)
        return None, None

    with pytest.raises(ScheduleBroken, match=r"The PostgreSQL server went in the middle of the schedule\.") as caught:
        stage.run(steps, probe=probe)
    run = caught.value.run
    assert [event.kind for event in run.events[:at]] == ["done"] * at and run.final == {}
    assert run.outcomes["T1"] == "lost" and str(run)
    goes_on(stage)


def test_a_server_that_goes_between_two_schedules_is_none_of_the_next_one(stage: Stage) -> None:
    goes_on(stage)
    for names in ((), ("T2",)):
        crash(stage, names)
        goes_on(stage)


CRASHED = """
import os, signal, threading
from workbook.engines import cluster
from workbook.errors import Unavailable
from workbook.schedules import Schedule, ScheduleBroken, Stage

stage = Stage("postgresql", profile="production")
home = cluster("production")
setup = "CREATE TABLE test (id int PRIMARY KEY, value int); INSERT INTO test VALUES (1, 10)"
steps = "setup: %s\\nT1: BEGIN\\nT1: UPDATE test SET value = 11\\nT2: SELECT pg_sleep(60)\\nT1: COMMIT" % setup
sleeps = "SELECT pid FROM pg_catalog.pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"


def go(how):
    # End the server in some way as soon as T2 sleeps.
    with home.connect() as connection:
        while not (found := connection.execute(sleeps).fetchall()):
            pass
    postmaster = int((home.server / "data" / "postmaster.pid").read_text().split()[0])
    ways = {
        "killed": [(postmaster, signal.SIGKILL), (found[0][0], signal.SIGKILL)],
        "immediate": [(postmaster, signal.SIGQUIT)],
        "fast": [(postmaster, signal.SIGINT)],
        "backend": [(found[0][0], signal.SIGKILL)],
        "control": [(stage.seats._control.pid, signal.SIGKILL)],
        "probe": [(stage.seats._probe.info.backend_pid, signal.SIGKILL)],
    }
    for pid, sign in ways[how]:
        os.kill(pid, sign)


for how in ("killed", "immediate", "fast", "backend", "control", "probe"):
    going = threading.Thread(target=go, args=(how,))
    going.start()
    try:
        print(stage.run(Schedule.read(steps)).outcomes)
    except ScheduleBroken as error:
        print(how, error.run.outcomes["T2"], error)
    going.join()
    print(stage.run(Schedule.read(steps.replace("pg_sleep(60)", "1"))).final)
many = "\\n".join(f"S{number}: SELECT 1" for number in range(120))
try:
    stage.run(Schedule.read(many))
except Unavailable as error:
    print(error)
print(len(stage.run(Schedule.read(many.partition("S20:")[0])).events))
stage.close()
home.stop()
"""


@pytest.mark.slow
def test_a_server_that_crashes_is_reported_and_the_next_schedule_runs(open_folder: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "WORKBOOK_POSTGRES_URL"}
    done = subprocess.run(
        [sys.executable, "-c", CRASHED],
        env={**kept, "WORKBOOK_STATE": str(open_folder)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    *crashes, many, twenty = done.stdout.strip().split("\n")
    for how, broken, final in zip(
        ("killed", "immediate", "fast", "backend", "control", "probe"), crashes[::2], crashes[1::2], strict=True
    ):
        assert broken.startswith(f"{how} lost The PostgreSQL server went in the middle of the schedule."), broken
        assert "run it again" in broken
        assert final == "{'test': ((1, 11),)}"
    assert many.startswith("A schedule of 120 sessions needs more connections than the PostgreSQL server has left: 9")
    assert "sessions are possible" in many and twenty == "20"


LEFT = {
    "sessions": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "locks": "SELECT count(*) FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = "
    "current_database()) AND pid <> pg_backend_pid()",
    "advisory": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    "relations": "SELECT count(*) FROM pg_class",
    "prepared": "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()",
    "transactions": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle i%'",
}
DIRTY = (
    "T1: SELECT pg_advisory_lock(1)\nT1: SET work_mem = '1MB'\nT2: CREATE TEMP TABLE mine (n int)\nT2: LISTEN news",
    "T1: BEGIN\nT1: CREATE TABLE more (n int)\nT1: COMMIT\nT2: CREATE SCHEMA extra CREATE TABLE t (n int)",
    "T1: BEGIN\nT1: UPDATE test SET value = 0\nT1: PREPARE TRANSACTION 'stays'",
    "T1: DROP TABLE test\nT2: CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "T1: BEGIN\nT1: DECLARE c CURSOR WITH HOLD FOR SELECT * FROM test\nT1: COMMIT\nT1: PREPARE p AS SELECT 1",
    "T1: ALTER TABLE test ADD more int\nT1: CREATE INDEX ON test (value)\nT2: INSERT INTO test VALUES (3, 30, 300)",
)


def left(stage: Stage) -> dict[str, int]:
    """What stands on the server, seen by a superuser in the stage's database."""
    database = stage.seats.database  # type: ignore[attr-defined]
    with database.cluster.connect(database.name) as connection:
        connection.execute("SET search_path = pg_catalog")
        return {name: connection.execute(sql).fetchone()[0] for name, sql in LEFT.items()}


@pytest.mark.parametrize("rounds", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_nothing_stays(stage: Stage, rounds: int) -> None:
    schedules = [*(one.schedule for one in SCENARIOS.values()), *(read(steps) for steps in DIRTY)]
    for schedule in (*schedules, NEXT):
        stage.run(schedule)
    before = left(stage)
    assert (before["locks"], before["advisory"], before["prepared"], before["transactions"]) == (0, 0, 0, 0)
    for _ in range(rounds):
        for schedule in schedules:
            stage.run(schedule, "repeatable read")
    stage.run(NEXT)
    assert left(stage) == before


def test_the_rows_stand_in_the_order_of_the_setup(stage: Stage) -> None:
    """A scan meets them as the first time, however often they were changed."""
    setup = TEST + ", (3, 30), (4, 40)"
    for number in range(120):
        run = stage.run(
            read(f"T1: SELECT id FROM test\nT1: UPDATE test SET value = 0 WHERE id = {number % 4 + 1}", setup)
        )
        assert run.end(0).rows == ((1,), (2,), (3,), (4,))


def test_breaking_off_ends_the_sessions(stage: Stage) -> None:
    def probe(step: Step) -> tuple[str | None, str | None]:
        if step.sql == "COMMIT":
            raise KeyboardInterrupt
        return None, None

    with pytest.raises(KeyboardInterrupt):
        stage.run(read("T1: BEGIN\nT1: LOCK TABLE test\nT1: COMMIT"), probe=probe)
    goes_on(stage)


class CtrlC:
    """A Ctrl-C before the n-th line that runs in the workbook's own code."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame: FrameType, event: str, arg: Any) -> CtrlC | None:
        if f"{os.sep}workbook{os.sep}" not in frame.f_code.co_filename:
            return None
        self.left -= event == "line"
        if self.left == 0:
            raise KeyboardInterrupt
        return self


def before_line(line: int, run: Any) -> Any:
    """The same, with a Ctrl-C before its n-th line; without one for 0."""

    def broken_off() -> None:
        sys.settrace(CtrlC(line) if line else None)
        run()

    return broken_off


@pytest.mark.parametrize("again", [0, 1, 4, 9, 25, 60])
def test_breaking_off_and_breaking_off_what_cleans_up(
    stage: Stage, again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the first Ctrl-C and a second one come, the next schedule is right."""
    steps = read("T1: BEGIN\nT1: UPDATE test SET value = 0\nT2: DELETE FROM test\nT1: COMMIT\nT2: SELECT 1")
    abandon, before, broken = stage.seats.abandon, sys.gettrace(), 0
    for line in range(1, 3_000, 83):
        monkeypatch.setattr(stage.seats, "abandon", before_line(again, abandon))
        sys.settrace(CtrlC(line))
        try:
            stage.run(steps)
        except KeyboardInterrupt:
            broken += 1
        finally:
            sys.settrace(before)
        monkeypatch.setattr(stage.seats, "abandon", abandon)
        goes_on(stage)
    assert broken > 5


def embedded(engine: str, timeout_s: float = 10) -> Stage:
    if engine == "mariadb" and not installed():
        pytest.skip("there is no MariaDB here")
    return Stage(engine, timeout_s=timeout_s)


EMBEDDED = ("sqlite", "sqlite-rollback", "duckdb", pytest.param("mariadb", marks=pytest.mark.slow))


@pytest.mark.parametrize("again", [0, 9, 40])
@pytest.mark.parametrize("engine", EMBEDDED)
def test_breaking_off_sessions_in_threads(engine: str, again: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = read("T1: BEGIN\nT1: UPDATE test SET value = 0\nT1: COMMIT\nT2: DELETE FROM test")
    before, broken = sys.gettrace(), 0
    with closing(embedded(engine)) as stage:
        goes_on(stage)
        for line in range(1, 3_000, 31):
            monkeypatch.setattr(stage.seats, "abandon", before_line(again, stage.seats.abandon))
            sys.settrace(CtrlC(line))
            try:
                stage.run(steps)
            except KeyboardInterrupt:
                broken += 1
            else:
                line = 3_000
            finally:
                sys.settrace(before)
                monkeypatch.undo()
            goes_on(stage)
            if line == 3_000:
                break
    assert broken > 5


@pytest.mark.parametrize("engine", EMBEDDED)
def test_an_answer_that_was_taken_and_lost_is_waited_for_by_nobody(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ctrl-C just after an answer was taken from the queue: nothing runs any more, and so nothing times out."""
    steps = read("T1: BEGIN\nT1: UPDATE test SET value = 0\nT1: SELECT 1\nT1: COMMIT")
    with closing(embedded(engine)) as stage:
        goes_on(stage)
        seats: Any = stage.seats
        stopped: list[object] = []
        monkeypatch.setattr(seats.came, "_queue", Losing(seats.came._queue, 3))
        monkeypatch.setattr(seats, "interrupt", stopped.append)
        with pytest.raises(KeyboardInterrupt):
            stage.run(steps)
        monkeypatch.undo()
        assert len(stopped) < 5 and not seats.workers and not seats.seated
        goes_on(stage)


class Losing:
    """A queue from which the n-th item is taken, and lost to a Ctrl-C."""

    def __init__(self, queue: Any, left: int) -> None:
        self.queue, self.left, self.put = queue, left, queue.put

    def get(self, timeout: float) -> Any:
        item = self.queue.get(timeout=timeout)
        self.left -= item is not None
        if item is not None and self.left == 0:
            raise KeyboardInterrupt
        return item

    def get_nowait(self) -> Any:
        return self.get(timeout=0) if self.queue.qsize() else self.queue.get_nowait()


def test_a_file_that_somebody_holds_is_left_for_a_new_one() -> None:
    import apsw

    with closing(embedded("sqlite")) as stage:
        goes_on(stage)
        seats: Any = stage.seats
        holder, path = apsw.Connection(str(seats._path)), seats._path
        holder.execute("BEGIN IMMEDIATE; DELETE FROM test")
        goes_on(stage)
        assert seats._path != path
        holder.close()


def test_a_ctrl_c_in_a_statement_of_duckdb_s_is_one(capfd: pytest.CaptureFixture[str]) -> None:
    """DuckDB makes a RuntimeError of it."""
    with closing(embedded("duckdb")) as stage:
        goes_on(stage)
        seats: Any = stage.seats
        for raises in ("execute", "fetchall"):
            seats._root = Raising(seats._root, raises)
            with pytest.raises(KeyboardInterrupt):
                stage.run(read("T1: SELECT 1", f"{TEST}; SELECT {len(raises)}"))
            goes_on(stage)
    assert "Exception in thread" not in capfd.readouterr().err


class Raising:
    """A connection that is interrupted in the setup."""

    def __init__(self, connection: Any, at: str) -> None:
        self.connection, self.at = connection, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def execute(self, sql: str) -> Any:
        found = self.connection.execute(sql)
        if sql.startswith("CREATE"):
            if self.at == "execute":
                raise RuntimeError("Query interrupted")
            return self
        return found

    def fetchall(self) -> Any:
        raise RuntimeError("Query interrupted")


def test_an_alarm_for_a_connection_that_is_closed_is_silent() -> None:
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.close()
    late: Timer = threads.alarm(0, connection.interrupt)
    late.start()
    late.join()  # pytest tells of what a thread raises


def test_a_session_in_which_nothing_was_begun_has_no_transaction(stage: Stage) -> None:
    run = stage.run(read("T1: PREPARE TRANSACTION 'a'\nT2: COMMIT\nT3: BEGIN"))
    assert run.outcomes == {"T1": "no transaction", "T2": "no transaction", "T3": "open"}


def test_a_closed_stage_says_so() -> None:
    stage = Stage("sqlite")
    stage.close()
    stage.close()
    with pytest.raises(Misuse, match="The stage is closed"):
        stage.run(NEXT)


def test_each_schedule_finds_what_its_setup_says(stage: Stage) -> None:
    """However the last one left the tables, the sequences and the sessions."""
    setup = TEST + "; CREATE TABLE log (at serial, n int)"
    look = """T1: SELECT * FROM test ORDER BY id
T1: INSERT INTO log (n) VALUES (1) RETURNING at
T2: SELECT current_setting('work_mem'), current_setting('transaction_isolation')
T2: SELECT count(*) FROM pg_class WHERE relname IN ('more', 'mine', 'extra')"""
    expected = stage.run(read(look, setup))
    assert [event.rows for event in expected.events][:2] == [((1, 10), (2, 20)), ((1,),)]
    changes = (
        "T1: UPDATE test SET value = value + 1",
        "T1: DELETE FROM test WHERE id = 1\nT2: INSERT INTO test VALUES (1, 11), (7, 70)",
        "T1: UPDATE test SET id = id + 10",
        "T1: SELECT nextval('log_at_seq') FROM generate_series(1, 9)",
        "T1: INSERT INTO log (n) SELECT 1 FROM generate_series(1, 500)",
        "T1: DELETE FROM test",
        *DIRTY,
    )
    for steps in changes:
        stage.run(read(steps, setup), "serializable")
        assert str(stage.run(read(look, setup))) == str(expected), steps


def test_a_setting_of_the_role_does_not_outlast_its_schedule(stage: Stage) -> None:
    change = "DO $$ BEGIN EXECUTE format('ALTER ROLE %I SET enable_seqscan = off', current_user); END $$"
    stage.run(read(f"T1: {change}"))
    many = "\n".join(f"S{number}: SHOW enable_seqscan" for number in range(4))
    assert {event.rows for event in stage.run(read(many)).events} == {(("on",),)}


SPOILS = (
    "T1: SELECT lo_create(4711)\nT1: SELECT lo_from_bytea(0, 'x')",
    "T1: ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "T1: CREATE PUBLICATION pp FOR TABLE test",
    "T1: ALTER ROLE CURRENT_USER PASSWORD 'x'",
    "T1: ALTER USER CURRENT_USER SET enable_seqscan = off",
    "T1: DO $$ BEGIN EXECUTE 'ALTER RO' || 'LE CURRENT_USER SET enable_seqscan = off'; END $$",
    "T1: DROP OWNED BY CURRENT_USER",
)
STAYS = """SELECT (SELECT count(*) FROM pg_largeobject_metadata) + (SELECT count(*) FROM pg_default_acl)
    + (SELECT count(*) FROM pg_publication), current_setting('enable_seqscan'), current_setting('temp_file_limit')"""


@pytest.mark.parametrize("steps", SPOILS)
def test_what_stands_in_no_schema_does_not_outlast_its_schedule(stage: Stage, steps: str) -> None:
    """The next schedule has more sessions, which log in with the role's password."""
    many = read("\n".join(f"S{number}: {STAYS}" for number in range(4)))
    fresh = {((0, "on", "200MB"),)}
    for setup in (TEST, f"{TEST}; {'; '.join(step.sql for step in read(steps).steps)}"):
        spoiling = read(steps if setup == TEST else "T1: SELECT 1", setup)
        assert {event.kind for event in stage.run(spoiling).events} == {"done"}
        stage.run(spoiling)
        assert {event.rows for event in stage.run(many).events} == fresh
        assert str(stage.run(many)) == str(stage.run(many))
    goes_on(stage)


def test_what_stands_in_a_schema_costs_no_new_database(stage: Stage) -> None:
    stage.run(NEXT)
    name = stage.seats.database.name  # type: ignore[attr-defined]
    for steps in DIRTY:
        stage.run(read(steps))
    with pytest.raises(SqlError):
        stage.run(read("T1: SELECT 1", "CREATE TYPE mood AS ENUM ('calm'); SELECT 1 / 0"))
    goes_on(stage)
    assert stage.seats.database.name == name  # type: ignore[attr-defined]


def test_tables_that_can_be_read_no_more_are_a_sentence(stage: Stage) -> None:
    with pytest.raises(SqlError, match=r"The tables cannot be read: permission denied for table test\."):
        stage.run(read("T1: REVOKE ALL ON test FROM CURRENT_USER, workbook_owners"))
    goes_on(stage)


def test_temporary_files_are_kept_small(stage: Stage) -> None:
    run = stage.run(read("T1: SHOW temp_file_limit\nT1: SET temp_file_limit = -1"))
    assert run.end(0).rows == (("200MB",),) and run.end(1).sqlstate == "42501"


@pytest.mark.parametrize(
    "setup",
    [
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a ON DELETE CASCADE); "
        "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)",
        "CREATE TABLE a (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED); INSERT INTO a VALUES (1)",
        "CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY, n text); INSERT INTO a (n) VALUES (NULL), ('it''s')",
        "CREATE TABLE a (n int) PARTITION BY RANGE (n);CREATE TABLE p PARTITION OF a DEFAULT; INSERT INTO a VALUES (1)",
        """CREATE TABLE "A b" ("x""y" jsonb, z bytea, w numeric[]);
        INSERT INTO "A b" VALUES ('{"k": 1}', '\\x00ff', '{1.50,NULL}')""",
    ],
)
def test_tables_of_every_kind_are_put_back(stage: Stage, setup: str) -> None:
    first = stage.run(read("T1: SELECT 1", setup)).final
    names = ", ".join(f'"{name}"' for name in first)
    for _ in range(2):
        assert all(rows for rows in first.values()), names
        for name in first:
            assert not stage.run(read(f'T1: DELETE FROM "{name}"', setup)).final[name]
        assert stage.run(read("T1: SELECT 1", setup)).final == first


def test_a_teardown_runs_at_the_end_of_its_schedule(stage: Stage) -> None:
    with_teardown = Schedule("", TEST, read("T1: SELECT 1").steps, teardown="DELETE FROM test")
    assert stage.run(with_teardown).final == {"test": ((1, 10), (2, 20))}
    assert stage.run(read("T1: SELECT count(*) FROM test")).end(0).rows == ((2,),)
