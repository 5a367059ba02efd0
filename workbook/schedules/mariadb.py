"""Schedules on MariaDB: a connection a session, and a further one that reads InnoDB's list of transactions and locks.

    SHOW ENGINE INNODB STATUS                 which threads wait for a lock, for whom, and on which row, at once
    information_schema.INNODB_LOCK_WAITS      the same where the status shows no locks; renewed once in 0.1 s
    information_schema.PROCESSLIST            waits for a table's definition, and for GET_LOCK

The private server shows locks in its status (`innodb_status_output_locks`); on a server of WORKBOOK_MARIADB_URL that
does not, a wait is told a tenth of a second later.

InnoDB finds a deadlock at once and rolls one of its transactions back whole; after another error only the statement
is undone, and the transaction goes on. `repeatable read` is its default: plain reads use the first read's snapshot,
writes see the newest rows, so that an update is lost without a word.

    >>> sqlstate(1213), sqlstate(1205), sqlstate(9999)
    ('40001', 'HY000', 'HY000')

Sources: MariaDB's knowledge base, "SET TRANSACTION", "Information Schema INNODB_LOCK_WAITS Table". Left out: other
storage engines; `innodb_snapshot_isolation`, which 10.11 leaves off.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import getpid
from typing import Any

import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import SSCursor

from workbook.errors import SqlError, SqlTimeout
from workbook.schedules import mariadb_locks
from workbook.schedules.engine import ROWS_MAX, TOO_MANY, Answer, Rows, ScheduleBroken, State, Wait, of_table
from workbook.schedules.mariadb_locks import Column, Lock
from workbook.schedules.mariadb_server import Server
from workbook.schedules.schedule import Schedule
from workbook.schedules.threads import Threads, Worker

STATES = {1022: "23000", 1048: "23000", 1062: "23000", 1213: "40001", 1451: "23000", 1452: "23000"}
STATES |= {1054: "42S22", 1064: "42000", 1146: "42S02", 1050: "42S01", 3572: "HY000", 4025: "23000"}
GONE = (0, 1053, 1927, 2003, 2006, 2013, 2055)
PLAIN = re.compile(
    r"\s*(BEGIN|START|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|VALUES)\b", re.I
)
SPECIAL = re.compile(r"\b(FUNCTION|PROCEDURE|TRIGGER|EVENT|VIEW|REFERENCES|SEQUENCE|GENERATED|AS\s*\()\b", re.I)
RENEWED_S = 0.11
END = "supremum pseudo-record"
_Pair = tuple[int, int, bool, str]
"""A thread that waits, one that is in its way, whether that one waits, too, and on what."""
WHOM = """SELECT r.trx_mysql_thread_id, h.trx_mysql_thread_id,
        COALESCE(h.trx_requested_lock_id = w.blocking_lock_id, 0), l.lock_table, l.lock_index, l.lock_type, l.lock_data
    FROM information_schema.INNODB_LOCK_WAITS w
    JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id
    JOIN information_schema.INNODB_TRX h ON h.trx_id = w.blocking_trx_id
    JOIN information_schema.INNODB_LOCKS l ON l.lock_id = w.requested_lock_id"""
OTHERS = """SELECT ID, STATE FROM information_schema.PROCESSLIST
    WHERE STATE LIKE 'Waiting for table%' OR STATE LIKE 'Waiting for % lock' OR STATE = 'User lock'"""
TABLES = """SELECT table_name FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY create_time, table_name"""
KEYS = """SELECT s.index_name, s.non_unique, c.column_name, c.data_type, c.column_type LIKE '%%unsigned%%', c.character_set_name
    FROM information_schema.statistics s JOIN information_schema.columns c USING (table_schema, table_name, column_name)
    WHERE s.table_schema = DATABASE() AND s.table_name = %s ORDER BY s.index_name, s.seq_in_index"""


class MariaDb(Threads):
    """Sessions on a database of MariaDB that is this stage's alone."""

    name = "mariadb"
    levels = ("repeatable read", "read committed", "read uncommitted", "serializable")

    def __init__(self) -> None:
        super().__init__()
        self._server = Server()
        self._database = f"w_{getpid()}_{secrets.token_hex(6)}"
        self._control = self._server.connect()
        self.version = str(self._rows("SELECT VERSION()")[0][0]).split("-")[0]
        self._setup: str | None = None
        self._made: dict[str, tuple[Any, ...]] = {}
        self._now: dict[str, tuple[Any, ...]] = {}
        self._plain = True
        self._looked = 0.0
        self._waits: dict[int, Wait] = {}
        self._keys: dict[str, dict[str, list[Column]]] = {}

    def prepare(self, schedule: Schedule, levels: Mapping[str, str], timeout_s: float) -> None:
        if self._control.open is False or not self._alive():
            self._again()
        try:
            if schedule.setup == self._setup and not SPECIAL.search(schedule.setup):
                self._put_back()
            else:
                self._make(schedule.setup, timeout_s)
        except (pymysql.MySQLError, ValueError) as error:
            self._setup = None
            raise SqlError(f"The setup is refused: {_said(error)}.", sqlstate=sqlstate(_number(error))) from None
        self._plain, self._waits = True, {}
        self.sit(schedule, levels)

    def send(self, session: str, sql: str) -> None:
        self._waits.pop(self.seated[session].connection.thread_id(), None)
        super().send(session, sql)

    def waiting(self, sessions: Iterable[str]) -> dict[str, Wait]:
        names = {worker.connection.thread_id(): name for name, worker in self.seated.items()}
        try:
            asked = {self.seated[name].connection.thread_id() for name in sessions}
            status = self._rows("SHOW ENGINE INNODB STATUS")[0][2]
            rows = mariadb_locks.waiting(status) & asked
            self._hold(names, self._in_status(status))
            if rows - self._waits.keys() and time.monotonic() - self._looked > RENEWED_S:
                self._hold(names, self._in_list())
                self._looked = time.monotonic()
            found = {pid: self._waits[pid] for pid in rows if pid in self._waits}
            for pid, state in self._rows(OTHERS):
                if pid in asked:
                    found[pid] = Wait(self._others_in_transaction(names, pid), state[0].lower() + state[1:])
        except pymysql.MySQLError:
            return {}  # the sessions learn it themselves
        return {names[pid]: wait for pid, wait in found.items()}

    def leave(self) -> None:
        super().leave()
        if not self._alive():
            raise ScheduleBroken(
                "The MariaDB server went in the middle of the schedule.",
                next="run it again: the server is started anew",
            )

    def tables(self, schedule: Schedule) -> tuple[dict[str, Rows], dict[str, tuple[str, ...]]]:
        rows: dict[str, Rows] = {}
        columns: dict[str, tuple[str, ...]] = {}
        from workbook.engines.running import split

        what = "The tables cannot be read after the schedule"
        try:
            for (name,) in self._rows(TABLES):
                with self._control.cursor() as cursor:
                    cursor.execute(f"SELECT * FROM {_quoted(name)} LIMIT {ROWS_MAX + 1}")
                    columns[name] = tuple(column[0] for column in cursor.description)
                    self._now[name] = tuple(cursor.fetchall())
                rows[name] = of_table(name, self._now[name])
            if schedule.teardown or not self._plain:
                self._setup = None
            what = "The teardown is refused"
            for sql in split(schedule.teardown):
                self._rows(sql)
        except (pymysql.MySQLError, ValueError) as error:
            self._setup = None
            raise SqlError(f"{what}: {_said(error)}.", sqlstate=sqlstate(_number(error))) from None
        return rows, columns

    def abandon(self) -> None:
        """The control may have missed an answer, too, and nobody knows what the tables hold."""
        self._setup = None
        with contextlib.suppress(Exception):
            self._control.close()
        self._control = self._server.connect()
        super().abandon()

    def close(self) -> None:
        self.close_all()
        with contextlib.suppress(pymysql.MySQLError):
            self._rows(f"DROP DATABASE IF EXISTS {self._database}")
            self._control.close()
        self._server.stop()

    def open(self, worker: Worker) -> pymysql.Connection:
        return self._server.connect(database=self._database, client_flag=CLIENT.FOUND_ROWS)

    def seat(self, worker: Worker, level: str) -> None:
        worker.connection.query(f"SET SESSION TRANSACTION ISOLATION LEVEL {level.upper()}")

    def unseat(self, worker: Worker) -> None:
        worker.connection.rollback()
        worker.connection.query("DO RELEASE_ALL_LOCKS()")
        if not self._plain:
            worker.connection.close()
            worker.connection = None

    def execute(self, worker: Worker, sql: str) -> Answer:
        if not PLAIN.match(sql) or ";" in sql:
            self._plain = False
        connection: pymysql.Connection = worker.connection
        too_many = False
        try:
            with connection.cursor(SSCursor) as cursor:
                cursor.execute(sql)
                columns = tuple(column[0] for column in cursor.description or ())
                rows = tuple(cursor.fetchmany(ROWS_MAX + 1)) if columns else None
                too_many = rows is not None and len(rows) > ROWS_MAX
                if too_many:
                    self._stop(connection.thread_id())
                count = cursor.rowcount if rows is None else len(rows)
        except (pymysql.MySQLError, OSError) as error:
            number = _number(error)
            state: State = "lost" if number in GONE else self.state(worker)
            if number == 1317 and too_many:
                return Answer(state, failed=True, message=TOO_MANY)
            return Answer(state, failed=True, sqlstate=sqlstate(number), message=_said(error))
        open_ = bool(connection.server_status & 1)
        changes = re.match(r"\s*(INSERT|UPDATE|DELETE|REPLACE|WITH)\b", sql, re.I)
        return Answer("open" if open_ else "idle", columns, rows, count if changes or columns else None)

    def interrupt(self, worker: Worker) -> None:
        with contextlib.suppress(pymysql.MySQLError):
            self._rows(f"KILL QUERY {worker.connection.thread_id()}")

    def _stop(self, thread: int) -> None:
        """Stop a statement whose rows are too many, on a connection of its own: the control's may be in use."""
        with self._server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"KILL QUERY {thread}")

    def state(self, worker: Worker) -> State:
        """Whether the transaction goes on after an error: the server is asked, for an error does not tell."""
        try:
            with worker.connection.cursor() as cursor:
                cursor.execute("SELECT @@in_transaction")
                row = cursor.fetchone()
                return "open" if row and row[0] else "idle"
        except (pymysql.MySQLError, OSError):
            return "lost"

    def _hold(self, names: Mapping[int, str], pairs: Iterable[_Pair]) -> None:
        """Keep for whom they wait. Who stands behind in the queue for the same lock is left out."""
        holders: dict[int, set[str]] = {}
        on: dict[int, str] = {}
        came = {pid: number for number, pid in enumerate(self._waits)}
        for waiter, holder, queued, what in pairs:
            if queued and came.get(holder, len(came)) >= came.get(waiter, len(came)):
                continue
            holders.setdefault(waiter, set()).add(names.get(holder, "another session"))
            on[waiter] = what
        for waiter, who in holders.items():
            self._waits[waiter] = Wait(tuple(sorted(who)), on[waiter])

    def _in_status(self, status: str) -> Iterator[_Pair]:
        for lock, other in mariadb_locks.waits(mariadb_locks.locks(status)):
            if lock.heap is None:
                yield lock.thread, other.thread, other.waits, f"table {_bare(lock.table)}"
            elif lock.fields is not None:
                yield lock.thread, other.thread, other.waits, self._record(lock, lock.fields)

    def _in_list(self) -> Iterator[_Pair]:
        """From the list, which the server renews only when nobody has read it for a tenth of a second."""
        for waiter, holder, queued, table, index, kind, data in self._rows(WHOM):
            record = kind == "RECORD" and data is not None
            what = self._entry(_bare(table), index, data) if record else f"table {_bare(table)}"
            yield waiter, holder, bool(queued), what

    def _record(self, lock: Lock, fields: tuple[bytes | None, ...]) -> str:
        """What is told of a record: the fields by which its index knows it from all others."""
        table = _bare(lock.table)
        if lock.heap == mariadb_locks.SUPREMUM:
            return self._entry(table, lock.index, END)
        columns: Sequence[Column | None] = self._indexes(table).get(lock.index) or [None]
        shown = (mariadb_locks.shown(field, column) for field, column in zip(fields, columns, strict=False))
        return self._entry(table, lock.index, ", ".join(shown))

    def _entry(self, table: str, index: str, data: str) -> str:
        if data == END:
            return f"the gap at the end of {table}"
        key = self._indexes(table).get("PRIMARY", [])
        if index == "PRIMARY" and key:
            pairs = [f"{column.name}={value}" for column, value in zip(key, data.split(", "), strict=False)]
            return f"row {', '.join(pairs)} of {table}"
        return f"entry {data} of the index {index} of {table}"

    def _indexes(self, table: str) -> dict[str, list[Column]]:
        """Of each index of a table the columns that make an entry unique: those of the primary key are added where
        the index's own do not."""
        if table not in self._keys:
            keys: dict[str, list[Column]] = {}
            with self._control.cursor() as cursor:
                cursor.execute(KEYS, (table,))
                rows = cursor.fetchall()
            for index, _, *column in rows:
                keys.setdefault(index, []).append(Column(*column))
            for index in dict.fromkeys(index for index, repeats, *_ in rows if repeats):
                keys[index] += [column for column in keys.get("PRIMARY", []) if column not in keys[index]]
            self._keys[table] = keys
        return self._keys[table]

    def _others_in_transaction(self, names: Mapping[int, str], pid: int) -> tuple[str, ...]:
        """Those that may hold a table's definition or a named lock: all others that do nothing at the moment."""
        return tuple(name for other, name in names.items() if other != pid and not self.seated[name].running)

    def _make(self, setup: str, timeout_s: float) -> None:
        from workbook.engines.running import split

        self._setup, self._keys = None, {}
        self._rows(f"DROP DATABASE IF EXISTS {self._database}")
        self._rows(f"CREATE DATABASE {self._database}")
        maker = self._server.connect(database=self._database, read_timeout=timeout_s)
        try:
            for sql in split(setup):
                maker.query(sql)
        except pymysql.err.OperationalError as error:
            if _number(error) in GONE:
                raise SqlTimeout(f"The setup ran longer than {timeout_s:g} s and was cancelled.") from None
            raise
        finally:
            maker.close()
        self._control.select_db(self._database)
        self._made = {name: tuple(self._rows(f"SELECT * FROM {_quoted(name)}")) for (name,) in self._rows(TABLES)}
        self._now = dict(self._made)
        self._setup = setup

    def _put_back(self) -> None:
        """Fill the tables whose rows have changed anew; TRUNCATE leaves no deleted entries, which would be locked,
        too."""
        for name, rows in self._made.items():
            if self._now.get(name) != rows:
                self._rows(f"TRUNCATE {_quoted(name)}")
                if rows:
                    marks = ", ".join(["%s"] * len(rows[0]))
                    with self._control.cursor() as cursor:
                        cursor.executemany(f"INSERT INTO {_quoted(name)} VALUES ({marks})", rows)
        self._now = dict(self._made)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._control.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def _alive(self) -> bool:
        try:
            self._rows("SELECT 1")
        except (pymysql.MySQLError, OSError):
            return False
        return True

    def _again(self) -> None:
        """A new server, or new connections to the one that answers again."""
        for worker in list(self.workers):
            self.drop(worker)
        self._setup = None
        if not self._server.alive():
            self._server.stop()
            self._server = Server()
        self._control = self._server.connect()


def sqlstate(number: int) -> str:
    """The SQLSTATE of one of MariaDB's error numbers; HY000 where it has no better one."""
    return STATES.get(number, "HY000")


def _number(error: BaseException) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def _said(error: BaseException) -> str:
    number = _number(error)
    return f"{error.args[-1]} ({number})" if number else str(error)


def _bare(table: str) -> str:
    """The name of a table that InnoDB writes with its database, and with its partition."""
    return table.partition(" /*")[0].replace("`", "").rpartition(".")[2]


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
