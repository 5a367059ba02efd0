"""Schedules on DuckDB: one instance in memory, one cursor a session; nobody ever waits.

    T1: UPDATE row 1 ──▶ done           a writer marks the row
    T2: UPDATE row 1 ──▶ failed         "Conflict on update!", at once, and its transaction is over

DuckDB keeps versions and takes a transaction's snapshot at its first statement. Two updates of one row conflict at
the second one; an update of a row that another transaction has deleted does not (in 2.0): less than snapshot
isolation. There is one level, called `snapshot` here. Its errors carry no SQLSTATE; the name of their class stands
for it.

COMMIT of a transaction that has failed rolls back, and says nothing. Each schedule has a database of its own,
attached before and detached after it. What more than that may stay (settings, attached databases) goes with the whole
instance: after a schedule that does more than make tables, read and write, the next one has a new instance (15 ms,
where a new database takes 1).

Python's dates end in the year 9999 and its intervals know no months, so that dates, times and intervals come as
DuckDB's own text.

    >>> code("TransactionContext Error: Conflict on update!")
    'TransactionContext'

Sources: duckdb.org, "Transaction Management"; Neumann, Muehlbauer, Kemper, Fast Serializable Multi-Version
Concurrency Control for Main-Memory Database Systems, SIGMOD 2015. Left out: databases in files, whose transactions
behave alike; the dates that RETURNING gives, and a query that asks `nextval`, are Python's, for neither can be asked
twice.
"""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import duckdb

from workbook.errors import SqlError, SqlTimeout
from workbook.schedules.controls import leaves_open
from workbook.schedules.engine import ROWS_MAX, TOO_MANY, Answer, Rows, State, Wait, of_table
from workbook.schedules.schedule import Schedule
from workbook.schedules.threads import Threads, Worker, alarm, sentence

PLAIN = re.compile(
    r"\s*(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SELECT|FROM|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES)\b", re.I
)
MAKES = re.compile(
    r"(CREATE\s+(OR\s+REPLACE\s+)?(TABLE|VIEW|(UNIQUE\s+)?INDEX|SEQUENCE|SCHEMA|TYPE|MACRO|FUNCTION)|ALTER|DROP|"
    r"SELECT|FROM|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES)\b(?!.*\b(memory|temp|system)\s*\.)",
    re.I | re.S,
)
"""The statements that leave nothing but in the schedule's own database."""
QUERY = re.compile(r"\s*(SELECT|FROM|WITH|VALUES)\b(?!.*(\b(RETURNING|nextval)\b|;\s*\S))", re.I | re.S)
"""A query that may be asked twice."""
RETURNING = re.compile(r"\bRETURNING\b", re.I)
TEMPORAL = re.compile(
    r'"(?:[^"]|"")*"|\b(?:TIME(?:STAMP)?(?: WITH TIME ZONE| WITH LOCAL TIME ZONE|_\w+)?|DATE|INTERVAL)\b'
)
TABLES = """SELECT schema_name, table_name FROM duckdb_tables()
    WHERE database_name = current_database() AND NOT temporary ORDER BY table_oid"""
CODE = re.compile(r"(\w+) Error:")


@contextlib.contextmanager
def _interrupted() -> Iterator[None]:
    """What DuckDB makes of a Ctrl-C that comes while it runs a statement of the main thread is a Ctrl-C again."""
    try:
        yield
    except RuntimeError as error:
        if "interrupted" not in str(error).lower():
            raise
        raise KeyboardInterrupt from None


class Duck(Threads):
    """Sessions on a database of DuckDB in memory that is this stage's alone."""

    name = "duckdb"
    levels = ("snapshot",)

    def __init__(self) -> None:
        super().__init__()
        self.version = duckdb.__version__
        self._root = _instance()
        self._number = 0
        self._open: set[str] = set()
        self._plain = self._within = True
        """Whether what has run leaves nothing in the sessions' connections, and nothing outside of the schedule's database."""

    @_interrupted()
    def prepare(self, schedule: Schedule, levels: Mapping[str, str], timeout_s: float) -> None:
        self._clear()
        self._plain, self._within = True, _only_makes(schedule.setup) and _only_makes(schedule.teardown)
        self._number += 1
        self._root.execute(f"ATTACH ':memory:' AS schedule_{self._number}; USE schedule_{self._number}")
        late = alarm(timeout_s, self._root.interrupt)
        try:
            late.start()
            _run(self._root, schedule.setup)
        except duckdb.InterruptException:
            self._within = False
            raise SqlTimeout(f"The setup ran longer than {timeout_s:g} s and was cancelled.") from None
        except Exception as error:
            self._within = False
            raise SqlError(f"The setup is refused: {sentence(error).rstrip('!')}.", next="correct the setup") from None
        finally:
            late.cancel()
        self._open = set()
        self.sit(schedule, levels)

    def waiting(self, sessions: Iterable[str]) -> dict[str, Wait]:
        return {}

    @_interrupted()
    def tables(self, schedule: Schedule) -> tuple[dict[str, Rows], dict[str, tuple[str, ...]]]:
        rows: dict[str, Rows] = {}
        columns: dict[str, tuple[str, ...]] = {}
        what = "The tables cannot be read after the schedule"
        try:
            for schema, table in self._root.execute(TABLES).fetchall():
                name = table if schema == "main" else f"{schema}.{table}"
                columns[name], found, _ = _asked(self._root, f"SELECT * FROM {_quoted(schema)}.{_quoted(table)}")
                rows[name] = of_table(name, found)
            what = "The teardown is refused"
            _run(self._root, schedule.teardown)
        except duckdb.Error as error:
            self._within = False
            raise SqlError(
                f"{what}: {sentence(error).rstrip('!')}.",
                sqlstate=code(str(error)),
                next="leave out what it says about the engine's settings or its databases",
            ) from None
        self._clear()
        return rows, columns

    def abandon(self) -> None:
        self._within = False
        super().abandon()

    def close(self) -> None:
        self.close_all()
        self._root.close()

    def open(self, worker: Worker) -> duckdb.DuckDBPyConnection:
        return self._root.cursor()

    def seat(self, worker: Worker, level: str) -> None:
        worker.connection.execute(f"USE schedule_{self._number}")

    def unseat(self, worker: Worker) -> None:
        if not self._plain:
            worker.connection.close()
            worker.connection = None
            return
        if worker.name in self._open:
            worker.connection.execute("ROLLBACK")
        worker.connection.execute("USE memory")

    def execute(self, worker: Worker, sql: str) -> Answer:
        connection: duckdb.DuckDBPyConnection = worker.connection
        if not PLAIN.match(sql) or ";" in sql:
            self._plain = False
            self._within &= ";" not in sql.rstrip().rstrip(";") and _only_makes(sql)
        try:
            columns, rows, unshown = _asked(connection, sql)
        except duckdb.Error as error:
            message = CODE.sub("", sentence(error), count=1).strip()
            return Answer(self._after_error(worker, sql), failed=True, sqlstate=code(str(error)), message=message)
        state: State = "open" if leaves_open(sql, worker.name in self._open) else "idle"
        (self._open.add if state == "open" else self._open.discard)(worker.name)
        if len(rows) > ROWS_MAX:
            return Answer(state, failed=True, message=TOO_MANY)
        if columns in ((), ("Success",)) and not rows:
            return Answer(state, notices=(unshown,) if unshown else ())
        if columns == ("Count",) and not re.match(r"\s*(SELECT|FROM|WITH|VALUES)\b", sql, re.I):
            return Answer(state, rowcount=rows[0][0] if rows else None)
        return Answer(state, columns, tuple(rows), len(rows))

    def state(self, worker: Worker) -> State:
        return self._after_error(worker, "")

    def interrupt(self, worker: Worker) -> None:
        worker.connection.interrupt()

    def _after_error(self, worker: Worker, sql: str) -> State:
        """Whether the transaction goes on after an error: only DuckDB itself can tell."""
        if worker.name not in self._open:
            return "idle"
        if sql and not leaves_open(sql, True):
            self._open.discard(worker.name)
            return "idle"
        try:
            worker.connection.execute("SELECT 1").fetchall()
        except duckdb.Error:
            return "failed"
        return "open"

    def _clear(self) -> None:
        """Remove the database of the last schedule; the whole instance, where more may be left of it."""
        if self._within:
            self._root.execute("USE memory")
            self._root.execute(f"DETACH DATABASE IF EXISTS schedule_{self._number}")
            return
        for worker in self.workers:
            if worker.connection is not None:
                with contextlib.suppress(Exception):
                    worker.call(worker.connection.close)
                worker.connection = None
        self._root.close()
        self._root = _instance()
        self._within = True


def code(message: str) -> str:
    """The class of an error, which stands for the SQLSTATE that DuckDB does not have."""
    found = CODE.match(message)
    return found[1] if found else ""


def _instance() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": 1, "python_enable_replacements": False})


@_interrupted()
def _run(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Run statements to their end; a text without any is nothing to run."""
    found = connection.execute(sql)
    if found is not None:
        found.fetchall()


@_interrupted()
def _asked(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]], str]:
    """The columns and the rows of a statement, `ROWS_MAX` and one more at most; none for a text without any, nor,
    with the reason, where Python cannot hold what a statement that has written returns."""
    found = connection.execute(sql)
    if found is None:
        return (), [], ""
    told = found.description or []
    columns, kinds = tuple(column[0] for column in told), [str(column[1]) for column in told]
    texts = [TEMPORAL.sub(_as_text, kind) for kind in kinds]
    if texts != kinds and QUERY.match(sql):
        names = [f"c{place}" for place in range(len(kinds))]
        shown = ", ".join(
            name if kind == text else f"CAST({name} AS {text})"
            for name, kind, text in zip(names, kinds, texts, strict=True)
        )
        query = sql.rstrip().rstrip(";")
        found = connection.execute(f"SELECT {shown} FROM (\n{query}\n) AS r({', '.join(names)})")
    try:
        rows = found.fetchmany(ROWS_MAX + 1)
    except Exception as error:
        if not RETURNING.search(sql):
            raise
        return (), [], f"what it returns cannot be shown: {sentence(error)}"
    if texts != kinds:
        rows = [tuple(_told(value) for value in row) for row in rows]
    return columns, rows, ""


def _as_text(kind: re.Match[str]) -> str:
    """The type that stands for one of time; a quoted name is none."""
    return kind[0] if kind[0].startswith('"') else "VARCHAR"


def _told(value: Any) -> Any:
    return str(value) if isinstance(value, (datetime.date, datetime.time)) else value


@lru_cache
def _only_makes(sql: str) -> bool:
    """Whether statements leave nothing but in the schedule's own database.

    >>> _only_makes("CREATE TABLE t (n int); INSERT INTO t VALUES (1)"), _only_makes("SET threads = 2; SELECT 1")
    (True, False)
    """
    from workbook.engines.running import split

    return all(MAKES.match(statement) for statement in split(sql))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
