"""InnoDB's locks as read from its status, held against the list that the server itself makes of them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import pytest

from workbook.schedules import Run, Schedule, Stage
from workbook.schedules.engine import Wait
from workbook.schedules.mariadb_locks import Lock, locks, waiting, waits

SETUP = """
CREATE TABLE test (id int PRIMARY KEY, name varchar(20), big bigint unsigned, price decimal(8,2), day date,
    KEY name (name), UNIQUE KEY big (big), KEY price (price, day));
INSERT INTO test VALUES (1, 'ann', 7, 1.50, '2026-01-01'), (2, 'b''ob', NULL, 2, NULL), (-3, 'cyé', 8, 3, '2026-02-01'),
    (20, 'zoe', 18446744073709551615, 4, '2026-03-01');
CREATE TABLE pairs (a smallint unsigned, b varchar(9) CHARACTER SET latin1, n int, PRIMARY KEY (a, b));
INSERT INTO pairs VALUES (1, 'x', 0), (1, 'é', 0), (2, 'x', 0);
CREATE TABLE kinds (y year, e enum('a', 'b'), d datetime, f double, t time, z timestamp, PRIMARY KEY (y, e, d, f, t, z));
INSERT INTO kinds VALUES (2026, 'b', '2026-01-01 10:00', 1.5, '10:00', '2026-01-01 10:00');
CREATE TABLE heap (v int);
INSERT INTO heap VALUES (1), (2);
CREATE TABLE `odd name` (`the id` int PRIMARY KEY);
INSERT INTO `odd name` VALUES (1);
CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2;
INSERT INTO parts VALUES (1), (2);
"""
HELD = [
    ("UPDATE test SET price = 9 WHERE id = -3", "UPDATE test SET price = 8 WHERE id = -3"),
    ("SELECT * FROM test WHERE id = 1 LOCK IN SHARE MODE", "DELETE FROM test WHERE id = 1"),
    ("SELECT * FROM test WHERE name = 'ann' FOR UPDATE", "SELECT * FROM test WHERE name = 'ann' LOCK IN SHARE MODE"),
    ("SELECT * FROM test WHERE name = 'b''ob' FOR UPDATE", "UPDATE test SET day = NULL WHERE name = 'b''ob'"),
    ("SELECT * FROM test WHERE name = 'cyé' FOR UPDATE", "INSERT INTO test VALUES (50, 'cyd', 50, 50, NULL)"),
    ("SELECT * FROM test WHERE big = 7 FOR UPDATE", "DELETE FROM test WHERE big = 7"),
    ("SELECT * FROM test WHERE price = 4 FOR UPDATE", "UPDATE test SET name = 'x' WHERE price = 4"),
    ("SELECT * FROM test WHERE big IS NULL FOR UPDATE", "UPDATE test SET name = 'x' WHERE big IS NULL"),
    ("SELECT * FROM test WHERE big > 100 FOR UPDATE", "INSERT INTO test VALUES (51, 'x', 101, 1, NULL)"),
    ("INSERT INTO test VALUES (9, 'x', 9, 9, NULL)", "INSERT INTO test VALUES (9, 'y', 10, 9, NULL)"),
    ("INSERT INTO test VALUES (9, 'x', 9, 9, NULL)", "INSERT INTO test VALUES (10, 'y', 9, 9, NULL)"),
    ("SELECT * FROM test WHERE id > 20 FOR UPDATE", "INSERT INTO test VALUES (21, 'y', 21, 9, NULL)"),
    ("SELECT * FROM test WHERE id BETWEEN 3 AND 19 FOR UPDATE", "INSERT INTO test VALUES (5, 'y', 21, 9, NULL)"),
    ("UPDATE pairs SET n = 1 WHERE a = 1 AND b = 'é'", "UPDATE pairs SET n = 2 WHERE a = 1 AND b = 'é'"),
    ("DELETE FROM kinds WHERE y = 2026", "UPDATE kinds SET f = 2 WHERE y = 2026"),
    ("UPDATE heap SET v = 3", "UPDATE heap SET v = 4 WHERE v = 2"),
    ("DELETE FROM `odd name`", "SELECT * FROM `odd name` FOR UPDATE"),
    ("DELETE FROM parts WHERE id = 2", "SELECT * FROM parts WHERE id = 2 FOR UPDATE"),
]
STATUS = """
LATEST DETECTED DEADLOCK
---TRANSACTION 7, ACTIVE 0 sec
LOCK WAIT 1 lock struct(s)
MariaDB thread id 70, OS thread handle 1, query id 1 localhost root
LIST OF TRANSACTIONS FOR EACH SESSION:
---TRANSACTION 30, ACTIVE 1 sec inserting
LOCK WAIT 2 lock struct(s), heap size 1128, 1 row lock(s)
MariaDB thread id 6, OS thread handle 1, query id 17 localhost root Updating
{waits}
---TRANSACTION 29, ACTIVE 1 sec
2 lock struct(s), heap size 1128, 1 row lock(s), undo log entries 1
MariaDB thread id 5, OS thread handle 1, query id 15 localhost root
SELECT '
LOCK WAIT is what this text says, and MariaDB thread id 9,'
{held}
---TRANSACTION 28, recovered trx
--------
FILE I/O
---TRANSACTION 27, ACTIVE 1 sec
LOCK WAIT
MariaDB thread id 8, OS thread handle 1
"""


def read(steps: str, setup: str = SETUP) -> Schedule:
    return Schedule("", setup, Schedule.read(steps).steps)


def told(run: Run) -> list[tuple[str, str]]:
    return [(" ".join(event.waits_for), event.waits_on) for event in run.waits]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["repeatable read", "read committed", "serializable"])
def test_the_status_says_what_the_list_says(mariadb: Stage, level: str) -> None:
    for holds, wants in HELD:
        text = f"level: {level}\nT1: BEGIN\nT1: {holds}\nT2: BEGIN\nT2: {wants}\nT1: COMMIT\nT2: ROLLBACK"
        schedule = Schedule("", SETUP, Schedule.read(text.partition("\n")[2]).steps)
        seats: Any = mariadb.seats
        both: list[tuple[set[Any], set[Any]]] = []
        waiting = seats.waiting

        def compared(sessions: Iterable[str], seats: Any = seats, both: Any = both, ask: Any = waiting) -> Any:
            found: dict[str, Wait] = ask(sessions)
            if found:
                time.sleep(0.12)  # the list is renewed when nobody has read it for as long
                listed = set(seats._in_list())
                status = seats._rows("SHOW ENGINE INNODB STATUS")[0][2]
                both.append((set(seats._in_status(status)), listed))
            return found

        seats.waiting = compared
        try:
            run = mariadb.run(schedule, level=level)
        finally:
            del seats.waiting
        assert bool(both) == bool(run.waits)
        for status, listed in both:
            assert status == listed, (holds, wants)
        assert bool(both) or level == "read committed", (holds, wants)


@pytest.mark.slow
def test_more_locks_than_the_status_shows_are_read_from_the_list(mariadb: Stage) -> None:
    setup = (
        "CREATE TABLE test (id int PRIMARY KEY, v int); "
        + "INSERT INTO test VALUES "
        + ", ".join(f"({n}, 0)" for n in range(40))
    )
    many = "\n".join(f"T1: SELECT * FROM test WHERE id > {n} AND id < {n + 1} FOR UPDATE" for n in range(0, 30, 2))
    text = f"T1: BEGIN\n{many}\nT1: UPDATE test SET v = 1 WHERE id = 39\nT2: UPDATE test SET v = 2 WHERE id = 39\nT1: COMMIT"
    run = mariadb.run(read(text, setup))
    assert told(run) == [("T1", "row id=39 of test")]


@pytest.mark.slow
def test_without_locks_in_the_status_the_list_is_read() -> None:
    blocked = "T1: BEGIN\nT1: DELETE FROM test WHERE id = 1\nT2: DELETE FROM test WHERE id = 1\nT1: COMMIT"
    with closing(Stage("mariadb")) as stage:
        stage.seats._rows("SET GLOBAL innodb_status_output_locks = OFF")  # type: ignore[attr-defined]
        for _ in range(3):
            run = stage.run(read(blocked))
            assert told(run) == [("T1", "row id=1 of test")]


@pytest.mark.slow
def test_a_row_that_goes_to_the_next_in_the_queue_is_waited_for_anew(
    mariadb: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mariadb.seats, "_in_list", lambda: pytest.fail("the list is late: the status says it all"))
    text = """T1: BEGIN
T2: BEGIN
T3: BEGIN
T1: UPDATE heap SET v = 3 WHERE v = 1
T2: UPDATE heap SET v = 4 WHERE v = 1
T3: UPDATE heap SET v = 5 WHERE v = 1
T1: ROLLBACK
T2: COMMIT
T3: COMMIT"""
    run = mariadb.run(read(text))
    assert [who for who, _ in told(run)] == ["T1", "T1 T2", "T2"]


RECORDS = "RECORD LOCKS space id 5 page no 3 n bits 72 index {0} of table `d`.`test` trx id 30 {1}"
ROW = f"{RECORDS}\nRecord lock, heap no {{2}} PHYSICAL RECORD: n_fields 1; compact format; info bits 0\n 0: len 4; hex 80000001; asc     ;;"
X, S = "lock_mode X", "lock mode S"


@pytest.mark.parametrize(
    ("wanted", "held", "heap", "stands"),
    [
        (X, X, 4, True),
        (X, S, 4, True),
        (S, X, 4, True),
        (S, S, 4, False),
        (X, f"{X} locks gap before rec", 4, False),
        (f"{X} locks rec but not gap", f"{X} locks gap before rec", 4, False),
        (f"{X} locks gap before rec", X, 4, False),
        (f"{X} locks gap before rec insert intention", f"{X} locks gap before rec", 4, True),
        (f"{X} locks gap before rec insert intention", X, 4, True),
        (f"{X} locks gap before rec insert intention", f"{X} locks rec but not gap", 4, False),
        (f"{X} locks gap before rec insert intention", f"{X} locks gap before rec insert intention", 4, False),
        (X, X, 1, False),
        (f"{X} insert intention", X, 1, True),
    ],
)
def test_which_lock_stands_in_the_way(wanted: str, held: str, heap: int, stands: bool) -> None:
    status = STATUS.format(
        waits=ROW.format("PRIMARY", f"{wanted} waiting", heap), held=ROW.format("PRIMARY", held, heap)
    )
    assert waiting(status) == {6}
    assert [(lock.thread, other.thread) for lock, other in waits(locks(status))] == [(6, 5)] * stands
    elsewhere = STATUS.format(
        waits=ROW.format("PRIMARY", f"{wanted} waiting", heap), held=ROW.format("name", held, heap)
    )
    assert not waits(locks(elsewhere))


@pytest.mark.parametrize(
    ("wanted", "held", "stands"),
    [("IX", "X", True), ("IX", "S", True), ("IX", "IX", False), ("S", "IX", True), ("AUTO-INC", "AUTO-INC", True)],
)
def test_which_lock_of_a_table_stands_in_the_way(wanted: str, held: str, stands: bool) -> None:
    table = "TABLE LOCK table `d`.`test` trx id 30 lock mode {}"
    status = STATUS.format(waits=table.format(f"{wanted} waiting"), held=table.format(held))
    assert [(lock.thread, other.thread) for lock, other in waits(locks(status))] == [(6, 5)] * stands


def test_a_field_of_which_the_beginning_is_shown_is_not_told() -> None:
    row = ROW.format("name", X, 4) + "\n 1: len 30; hex 6161; asc aa; (total 400 bytes);\n 2: SQL NULL;"
    (shown,) = locks(STATUS.format(waits=row, held=""))
    assert shown == Lock(6, "`d`.`test`", "name", (5, 3), 4, "X", False, False, False, False, None)
    whole = ROW.format("name", X, 4) + "\n 1: SQL NULL;\n 2: len 0; hex ; asc ;;"
    (shown,) = locks(STATUS.format(waits=whole, held=""))
    assert shown.fields == (b"\x80\x00\x00\x01", None, b"")
