"""Schedules on MariaDB, from a private server of the system's package or the one of WORKBOOK_MARIADB_URL."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from workbook.errors import Misuse, SqlError, Unavailable
from workbook.schedules import Run, Schedule, ScheduleBroken, ScheduleTimeout, Stage
from workbook.schedules.engine import Answer
from workbook.schedules.mariadb_server import Server, installed, parts
from workbook.schedules.threads import Worker

TEST = "CREATE TABLE test (id int PRIMARY KEY, value int); INSERT INTO test VALUES (1, 10), (2, 20)"
NEXT = "T1: BEGIN\nT1: UPDATE test SET value = 11 WHERE id = 1\nT1: COMMIT\nT2: SELECT value FROM test WHERE id = 1"


def read(steps: str, setup: str = TEST) -> Schedule:
    lines = "\n".join(line.strip() for line in steps.strip().split("\n"))
    return Schedule("", setup, Schedule.read(lines).steps)


def told(run: Run) -> list[str]:
    lines = []
    for event in run.events:
        more = f" for {', '.join(event.waits_for)}: {event.waits_on}" if event.kind == "waits" else f" {event.sqlstate}"
        lines.append(f"{run.step(event).name} {event.kind}{more}".rstrip())
    return lines


def test_without_a_mariadb_a_sentence_says_how_to_have_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("workbook.schedules.mariadb_server.FOLDERS", ())
    monkeypatch.delenv("WORKBOOK_MARIADB_URL", raising=False)
    assert not installed()
    with pytest.raises(Unavailable, match=r"There is no MariaDB here.*install Debian's package mariadb-server"):
        Server()


def test_a_url_is_read_and_a_wrong_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parts("mysql://me:p%40ss@db.example:3307/x") == {
        "host": "db.example",
        "port": 3307,
        "user": "me",
        "password": "p@ss",
    }
    monkeypatch.setenv("WORKBOOK_MARIADB_URL", "postgresql://localhost")
    with pytest.raises(Misuse, match="no URL of a MariaDB"):
        Server()
    monkeypatch.setenv("WORKBOOK_MARIADB_URL", "mysql://nobody@127.0.0.1:9")
    with pytest.raises(Unavailable, match="does not answer"):
        Server()


@pytest.mark.slow
def test_a_wait_is_told_with_its_holder_and_its_row(mariadb: Stage) -> None:
    run = mariadb.run(
        read(
            """
            T1: BEGIN
            T2: BEGIN
            T1: UPDATE test SET value = 11 WHERE id = 1
            T2: UPDATE test SET value = 12 WHERE id = 1
            T1: COMMIT
            T2: COMMIT
            """
        )
    )
    assert told(run)[3:] == [
        "T2.2 waits for T1: row id=1 of test",
        *("T1.3 done", "T2.2 resumed", "T2.2 done", "T2.3 done"),
    ]
    assert (run.end("T2.2").rowcount, run.final) == (1, {"test": ((1, 12), (2, 20))})


@pytest.mark.slow
def test_a_deadlock_rolls_a_whole_transaction_back(mariadb: Stage) -> None:
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
    run = mariadb.run(read(steps))
    assert "T2.3 failed 40001" in told(run) and "(1213)" in run.end("T2.3").message
    assert run.outcomes == {"T1": "committed", "T2": "aborted 40001"}
    assert run.final == {"test": ((1, 11), (2, 12))}
    assert {str(mariadb.run(read(steps))) for _ in range(3)} == {str(run)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("holds", "waits", "on"),
    [
        ("SELECT * FROM test WHERE id > 5 FOR UPDATE", "INSERT INTO test VALUES (9, 90)", "the gap at the end of test"),
        ("SELECT * FROM test WHERE id = 2 FOR UPDATE", "DELETE FROM test WHERE id = 2", "row id=2 of test"),
        ("SELECT value FROM test", "ALTER TABLE test ADD more int", "waiting for table metadata lock"),
        ("SELECT GET_LOCK('shop', 0)", "SELECT GET_LOCK('shop', 60)", "user lock"),
    ],
)
def test_what_is_waited_on_has_a_name(mariadb: Stage, holds: str, waits: str, on: str) -> None:
    run = mariadb.run(read(f"T1: BEGIN\nT1: {holds}\nT2: {waits}\nT1: COMMIT\nT1: SELECT RELEASE_ALL_LOCKS()"))
    assert [(event.waits_for, event.waits_on) for event in run.waits] == [(("T1",), on)]
    assert run.events[-1].kind == "done"


@pytest.mark.slow
def test_after_another_error_the_transaction_goes_on(mariadb: Stage) -> None:
    run = mariadb.run(read("T1: BEGIN\nT1: INSERT INTO test VALUES (1, 1)\nT1: UPDATE test SET value = 0\nT1: COMMIT"))
    assert told(run)[1] == "T1.2 failed 23000"
    assert run.outcomes == {"T1": "committed"} and run.final == {"test": ((1, 0), (2, 0))}


@pytest.mark.slow
def test_each_schedule_finds_what_its_setup_says(mariadb: Stage) -> None:
    look = "T1: SELECT * FROM test ORDER BY id\nT2: SELECT @x, @@sql_mode = @@global.sql_mode\nT1: SELECT * FROM more"
    expected = str(mariadb.run(read(look)))
    for steps in (
        "T1: UPDATE test SET value = 0",
        "T1: DELETE FROM test\nT2: INSERT INTO test VALUES (3, 30)",
        "T1: SET @x = 1\nT2: SET @x = 2\nT2: SET sql_mode = ''",
        "T1: CREATE TABLE more (n int)",
        "T1: DROP TABLE test",
        "T1: BEGIN\nT1: DELETE FROM test\nT2: SELECT GET_LOCK('a', 0)",
    ):
        mariadb.run(read(steps))
        assert str(mariadb.run(read(look))) == expected, steps


@pytest.mark.slow
def test_a_wedged_schedule_is_cancelled_and_the_next_one_runs() -> None:
    with closing(Stage("mariadb", timeout_s=0.5)) as stage:
        with pytest.raises(ScheduleTimeout, match=r"after 0.5 s T1.1 \(SELECT SLEEP\(3600\)\) still ran"):
            stage.run(read("T1: SELECT SLEEP(3600)"))
        with pytest.raises(ScheduleTimeout, match=r"T2.1 .* waits for T1 \(row id=1 of test\), which has no step left"):
            stage.run(read("T1: BEGIN\nT1: DELETE FROM test WHERE id = 1\nT2: DELETE FROM test WHERE id = 1"))
        with pytest.raises(SqlError, match=r"The setup is refused: .*nowhere"):
            stage.run(read("T1: SELECT 1", "INSERT INTO nowhere VALUES (1)"))
        assert stage.run(read(NEXT)).end("T2.1").rows == ((11,),)


@pytest.mark.slow
def test_a_server_that_is_killed_is_reported_and_the_next_schedule_runs() -> None:
    with closing(Stage("mariadb", timeout_s=5)) as stage:
        process = stage.seats._server._process  # type: ignore[attr-defined]
        assert process is not None, "this test needs a private MariaDB: unset WORKBOOK_MARIADB_URL"
        assert stage.run(read(NEXT)).end("T2.1").rows == ((11,),)
        killer = Schedule("", TEST, read("T1: BEGIN\nT1: SELECT SLEEP(2)\nT1: COMMIT").steps)
        threading.Timer(0.5, process.kill).start()
        with pytest.raises(ScheduleBroken, match="The MariaDB server went in the middle of the schedule"):
            stage.run(killer)
        assert stage.run(read(NEXT)).end("T2.1").rows == ((11,),)


OWNER = """
import time
from workbook.schedules.mariadb_server import Server
server = Server()
print(server._folder, server._process.pid, flush=True)
time.sleep(600)
"""


def servers_of(folder: str) -> list[psutil.Process]:
    mark = f"--datadir={folder}/data"
    return [one for one in psutil.process_iter(["cmdline"]) if mark in (one.info["cmdline"] or ())]


@pytest.mark.slow
def test_a_server_ends_with_its_owner_also_where_that_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBOOK_MARIADB_URL", raising=False)
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        folder, pid = owner.stdout.readline().split()
        assert [one.pid for one in servers_of(folder)] == [int(pid)] and Path(folder).exists()
        owner.kill()
    deadline = time.monotonic() + 60
    while Path(folder).exists() or servers_of(folder):
        assert time.monotonic() < deadline, f"{folder} or its server is still there"
        time.sleep(0.05)


@pytest.mark.slow
def test_an_owner_that_ends_takes_the_watcher_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBOOK_MARIADB_URL", raising=False)
    server = Server()
    folder, watcher = server._folder, server._watcher
    assert folder is not None and watcher is not None and watcher.poll() is None
    server.stop()
    assert watcher.poll() is not None and not folder.exists() and not servers_of(str(folder))


@pytest.mark.slow
def test_what_no_driver_foresaw_is_the_failure_of_its_step(mariadb: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = mariadb.seats.execute  # type: ignore[attr-defined]

    def odd(worker: Worker, sql: str) -> Answer:
        return Answer("idle", rowcount=1 // 0) if sql == "SELECT 0" else execute(worker, sql)

    monkeypatch.setattr(mariadb.seats, "execute", odd)
    run = mariadb.run(read("T1: BEGIN\nT1: SELECT 0\nT2: SELECT 2\nT1: COMMIT"))
    assert [event.kind for event in run.events] == ["done", "failed", "done", "done"]
    assert run.end("T1.2").sqlstate == "ZeroDivisionError" and run.outcomes["T1"] == "committed"
    with pytest.raises(SqlError, match=r"The teardown is refused: .*nowhere"):
        mariadb.run(replace(read("T1: SELECT 1"), teardown="DROP TABLE nowhere"))
    assert mariadb.run(read(NEXT)).end("T2.1").rows == ((11,),)
