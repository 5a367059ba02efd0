"""Schedules on SQLite: one file, one connection a session, and a busy handler that tells of each wait.

    write ── the lock is taken ──┬─ no snapshot held ── busy handler ──▶ "waits", till another step has ended: try again
                                 └─ a snapshot held ──▶ error 5 at once (a wait could never end)
                                                        error 517 where the snapshot is no longer the newest

SQLite knows one lock for the whole database, and asks its busy handler before it gives up. Ours says that the session
waits, and holds it there until a step of another session has ended: no time passes, and the one that came first tries
first.

With a write-ahead log a reader keeps its snapshot while another writes. With a rollback journal COMMIT waits until
nobody reads. `deferred` is what BEGIN does by itself: a transaction becomes a writer at its first write; `immediate`
sends BEGIN IMMEDIATE instead.

    >>> as_immediate("BEGIN"), as_immediate("begin transaction;"), as_immediate("BEGIN DEFERRED")
    ('BEGIN IMMEDIATE', 'BEGIN IMMEDIATE', 'BEGIN DEFERRED')

Text that is no UTF-8, which SQLite stores as it comes, is shown as the SQL that makes it.

The library is apsw, for Python's own sqlite3 has no busy handler; its SQLite is newer, too. Sources: sqlite.org,
"Isolation In SQLite", "sqlite3_busy_handler", "File Locking And Concurrency". Left out: shared cache, BEGIN EXCLUSIVE
as a level of its own (a step may say it).
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from os import getpid
from typing import Any

import apsw

from workbook.engines import places
from workbook.errors import SqlError, SqlTimeout
from workbook.schedules.controls import bare
from workbook.schedules.engine import ROWS_MAX, TOO_MANY, Answer, Rows, State, Wait, of_table
from workbook.schedules.schedule import Schedule
from workbook.schedules.threads import Threads, Worker, alarm, sentence

BARE = re.compile(r"\s*BEGIN(\s+TRANSACTION)?\s*;?\s*", re.I)
PLAIN = re.compile(
    r"\s*(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|VALUES)\b", re.I
)
QUERY = re.compile(r"\s*(SELECT|WITH|VALUES)\b(?!.*(\bRETURNING\b|;\s*\S))", re.I | re.S)
CHANGES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|WITH)\b", re.I)
TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
RETURNS = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|WITH)\b[^;]*\bRETURNING\b[^;]*;?\s*$", re.I)
WRITE_LOCK, READERS = "the database's write lock", "the end of every read"
BEING_WRITTEN = "the database, which is being written"


class _Waiting:
    """A session in its busy handler: since when, after how many ended steps it has tried, whether it tries just now;
    `gate` lets it try again (True) or give up. No lock is shared with it: a Ctrl-C could leave one locked for good."""

    def __init__(self, number: int, tried: int) -> None:
        self.number, self.tried, self.go = number, tried, False
        self.gate: queue.SimpleQueue[bool] = queue.SimpleQueue()


class Sqlite(Threads):
    """Sessions on a file of SQLite that is this stage's alone."""

    name = "sqlite"
    levels = ("deferred", "immediate")

    def __init__(self, *, rollback_journal: bool) -> None:
        super().__init__()
        self.version = apsw.sqlite_lib_version()
        self._journal = "DELETE" if rollback_journal else "WAL"
        self._new_file()
        self._setup: str | None = None
        self._made = apsw.Connection(":memory:")
        self._waiting: dict[Worker, _Waiting] = {}
        self._ended, self._numbers = 0, itertools.count()
        self._states: dict[str, int] = {}
        self._plain = True

    def prepare(self, schedule: Schedule, levels: Mapping[str, str], timeout_s: float) -> None:
        if schedule.setup != self._setup:
            self._make(schedule.setup, timeout_s)
        try:
            self._fill()
        except apsw.Error:  # who was given up still holds the file
            self.close()
            self._new_file()
            self._fill()
        self._states, self._plain = dict.fromkeys(levels, apsw.SQLITE_TXN_NONE), True
        self.sit(schedule, levels)

    def waiting(self, sessions: Iterable[str]) -> dict[str, Wait]:
        asked = [self.seated[name] for name in sessions]
        held = [self._waiting.get(worker) for worker in asked]
        if any(waiting is None or waiting.go for waiting in held):
            return {}
        if stale := [waiting for waiting in held if waiting and waiting.tried < self._ended]:
            first = min(stale, key=lambda waiting: waiting.number)
            first.tried, first.go = self._ended, True
            first.gate.put(True)
            return {}
        return {worker.name: self._wait(worker) for worker in asked}

    def answers(self, timeout_s: float) -> list[tuple[str, Answer]]:
        came = super().answers(timeout_s)
        self._ended += len(came)
        return came

    def tables(self, schedule: Schedule) -> tuple[dict[str, Rows], dict[str, tuple[str, ...]]]:
        rows: dict[str, Rows] = {}
        columns: dict[str, tuple[str, ...]] = {}
        what = "The tables cannot be read after the schedule"
        try:
            for name in [str(row[0]) for row in self._control.execute(TABLES).fetchall()]:
                quoted = name.replace('"', '""')
                columns[name] = tuple(str(row[1]) for row in self._control.execute(f'PRAGMA table_info("{quoted}")'))
                rows[name] = self._rows_of(name, f'SELECT * FROM "{quoted}"', len(columns[name]))
            what = "The teardown is refused"
            if schedule.teardown:
                self._control.execute(schedule.teardown).fetchall()
        except (apsw.Error, ValueError) as error:
            raise SqlError(f"{what}: {_message(error)}.", sqlstate=_code(error), next="correct the schedule") from None
        return rows, columns

    def close(self) -> None:
        self.close_all()
        self._control.close()
        for path in self._path.parent.glob(f"{self._path.name}*"):
            with contextlib.suppress(PermissionError):  # on Windows, while somebody holds it
                path.unlink(missing_ok=True)

    def open(self, worker: Worker) -> apsw.Connection:
        connection = apsw.Connection(str(self._path))
        self._configure(connection)
        connection.set_busy_handler(lambda number: self._busy(worker))
        return connection

    def seat(self, worker: Worker, level: str) -> None:
        """A connection remembers the tables, and may refuse a statement by them before it sees that they were made anew:
        a look at the schema lets it see."""
        worker.level = level
        worker.connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()

    def unseat(self, worker: Worker) -> None:
        connection: apsw.Connection = worker.connection
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if not self._plain:
            connection.close()
            worker.connection = None

    def execute(self, worker: Worker, sql: str) -> Answer:
        connection: apsw.Connection = worker.connection
        if worker.level == "immediate":
            sql = as_immediate(sql)
        if not PLAIN.match(sql) or ";" in sql:
            self._plain = False
        columns: list[tuple[str, ...]] = []
        notices: tuple[str, ...] = ()

        def begun(cursor: apsw.Cursor, *_: Any) -> bool:
            columns.append(tuple(column[0] for column in cursor.get_description()))
            return True

        before = connection.total_changes()
        cursor = connection.cursor()
        cursor.exec_trace = begun
        try:
            rows = tuple(itertools.islice(cursor.execute(sql), ROWS_MAX + 1))
        except UnicodeDecodeError as error:
            if columns and QUERY.match(sql):
                rows = tuple(itertools.islice(_undecoded(connection, sql, len(columns[-1])), ROWS_MAX + 1))
            elif RETURNS.match(sql):
                rows, columns, notices = (), [], (f"what it returns cannot be shown: {sentence(error)}",)
            else:
                raise
        except apsw.Error as error:
            return Answer(self.state(worker), failed=True, sqlstate=_code(error), message=_message(error))
        finally:
            cursor.close(True)
            self._states[worker.name] = connection.txn_state("main")
            self._waiting.pop(worker, None)
        if len(rows) > ROWS_MAX:
            return Answer(self.state(worker), failed=True, message=TOO_MANY)
        if columns and columns[-1]:
            return Answer(self.state(worker), columns[-1], rows, len(rows))
        changed = connection.total_changes() - before if CHANGES.match(sql) else None
        return Answer(self.state(worker), rowcount=changed, notices=notices)

    def _rows_of(self, name: str, query: str, width: int) -> Rows:
        try:
            return of_table(name, self._control.execute(query))
        except UnicodeDecodeError:
            return of_table(name, _undecoded(self._control, query, width))

    def state(self, worker: Worker) -> State:
        return "open" if worker.connection.in_transaction else "idle"

    def interrupt(self, worker: Worker) -> None:
        if waiting := self._waiting.get(worker):
            waiting.gate.put(False)
        else:
            worker.connection.interrupt()

    def _busy(self, worker: Worker) -> bool:
        """SQLite says that a session waits: hold it until it may try again; whether it should."""
        self._states[worker.name] = worker.connection.txn_state("main")
        waiting = self._waiting.get(worker) or _Waiting(next(self._numbers), self._ended)
        waiting.go = False
        self._waiting[worker] = waiting
        self.came.nudge()
        return waiting.gate.get()

    def _wait(self, worker: Worker) -> Wait:
        """For whom a session in its busy handler waits, by what the others hold."""
        others = {name: state for name, state in self._states.items() if name != worker.name}
        writers = tuple(name for name, state in others.items() if state == apsw.SQLITE_TXN_WRITE)
        if writers:
            committing = any(self.seated[name] in self._waiting for name in writers)
            return Wait(writers, BEING_WRITTEN if committing and self._journal == "DELETE" else WRITE_LOCK)
        return Wait(tuple(name for name, state in others.items() if state == apsw.SQLITE_TXN_READ), READERS)

    def _new_file(self) -> None:
        folder = places.state_folder() / "files"
        folder.mkdir(exist_ok=True)
        self._path = folder / f"w_{getpid()}_{secrets.token_hex(6)}.schedule"
        self._control = apsw.Connection(str(self._path))
        self._configure(self._control)

    def _fill(self) -> None:
        with self._control.backup("main", self._made, "main") as copy:
            copy.step(-1)

    def _make(self, setup: str, timeout_s: float) -> None:
        """Run a setup in memory; from there it is copied into the file before each schedule. Raises `SqlError`."""
        self._setup = None
        self._made.close()
        self._made = made = apsw.Connection(":memory:")
        late = alarm(timeout_s, made.interrupt)
        try:
            late.start()
            made.execute(setup).fetchall()
        except apsw.InterruptError:
            raise SqlTimeout(f"The setup ran longer than {timeout_s:g} s and was cancelled.", sqlstate="9") from None
        except (apsw.Error, ValueError) as error:
            raise SqlError(
                f"The setup is refused: {_message(error)}.", sqlstate=_code(error), next="correct the setup"
            ) from None
        finally:
            late.cancel()
        if made.in_transaction:
            made.execute("COMMIT")
        self._setup = setup

    def _configure(self, connection: apsw.Connection) -> None:
        connection.execute(f"PRAGMA journal_mode = {self._journal}").fetchall()
        connection.execute("PRAGMA synchronous = OFF").fetchall()


def as_immediate(sql: str) -> str:
    """BEGIN as the level `immediate` sends it."""
    return "BEGIN IMMEDIATE" if BARE.fullmatch(bare(sql)) else sql


def _undecoded(connection: apsw.Connection, query: str, width: int) -> Iterator[tuple[Any, ...]]:
    """The rows of a query of so many columns, some of whose texts are no UTF-8."""
    names = [f"c{place}" for place in range(width)]
    shown = ", ".join(f"typeof({n}), CASE typeof({n}) WHEN 'text' THEN CAST({n} AS BLOB) ELSE {n} END" for n in names)
    query = f"WITH r({', '.join(names)}) AS (\n{query.rstrip().rstrip(';')}\n) SELECT {shown} FROM r"
    for row in connection.execute(query):
        yield tuple(_text(value) if kind == "text" else value for kind, value in zip(row[::2], row[1::2], strict=True))


def _text(stored: bytes) -> str:
    """A text; as the SQL that makes it, where it is no UTF-8.

    >>> _text(b"shop"), _text(bytes([255]))
    ('shop', "CAST(x'ff' AS TEXT)")
    """
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return f"CAST(x'{stored.hex()}' AS TEXT)"


def _code(error: Exception) -> str:
    return str(getattr(error, "extendedresult", "") or getattr(error, "result", "") or type(error).__name__)


def _message(error: Exception) -> str:
    """What SQLite says, and its name for it.

    >>> _message(apsw.BusyError("database is locked"))
    'database is locked'
    """
    said = sentence(error)
    number = getattr(error, "extendedresult", 0)
    name = apsw.mapping_extended_result_codes.get(number) or apsw.mapping_result_codes.get(number)
    return f"{said} ({name})" if number else said
