"""Schedules on DuckDB: one instance in memory, one cursor a session; nobody ever waits.

    T1: UPDATE row 1 ──▶ done           a writer marks the row
    T2: UPDATE row 1 ──▶ failed         "Conflict on update!", at once, and its transaction is over

DuckDB keeps versions and takes a transaction's snapshot at its first statement. Two updates of one row conflict at
the second one; an update of a row that another transaction has deleted does not (in 2.0): less than snapshot
isolation. There is one level, called `snapshot` here. Its errors carry no SQLSTATE; the name of their class stands
for it.

COMMIT of a transaction that has failed rolls back, and says nothing. Each schedule has a database of its own,
attached before and detached after it, so that nothing stays.

    >>> code("TransactionContext Error: Conflict on update!")
    'TransactionContext'

Sources: duckdb.org, "Transaction Management"; Neumann, Muehlbauer, Kemper, Fast Serializable Multi-Version
Concurrency Control for Main-Memory Database Systems, SIGMOD 2015. Left out: databases in files, whose transactions
behave alike.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping

import duckdb

from workbook.errors import SqlError, SqlTimeout
from workbook.schedules.engine import ROWS_MAX, TOO_MANY, Answer, Rows, State, Wait, of_table
from workbook.schedules.schedule import BEGINS, ENDS, Schedule
from workbook.schedules.threads import Threads, Worker

PLAIN = re.compile(
    r"\s*(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SELECT|FROM|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES)\b", re.I
)
TABLES = """SELECT schema_name, table_name FROM duckdb_tables()
    WHERE database_name = current_database() AND NOT temporary ORDER BY table_oid"""
CODE = re.compile(r"(\w+) Error:")


class Duck(Threads):
    """Sessions on a database of DuckDB in memory that is this stage's alone."""

    name = "duckdb"
    levels = ("snapshot",)

    def __init__(self) -> None:
        super().__init__()
        self.version = duckdb.__version__
        self._root = duckdb.connect(":memory:", config={"threads": 1})
        self._number = 0
        self._open: set[str] = set()
        self._plain = True

    def prepare(self, schedule: Schedule, levels: Mapping[str, str], timeout_s: float) -> None:
        self._detach()
        self._number += 1
        self._root.execute(f"ATTACH ':memory:' AS schedule_{self._number}; USE schedule_{self._number}")
        late = threading.Timer(timeout_s, self._root.interrupt)
        late.start()
        try:
            self._root.execute(schedule.setup or "SELECT 1").fetchall()
        except duckdb.InterruptException:
            raise SqlTimeout(f"The setup ran longer than {timeout_s:g} s and was cancelled.") from None
        except duckdb.Error as error:
            raise SqlError(f"The setup is refused: {_first_line(error)}.", next="correct the setup") from None
        finally:
            late.cancel()
        self._open, self._plain = set(), True
        self.sit(schedule, levels)

    def waiting(self, sessions: Iterable[str]) -> dict[str, Wait]:
        return {}

    def leave(self) -> None:
        for worker in self.seated.values():
            try:
                worker.call(lambda worker=worker: self.unseat(worker))  # type: ignore[misc]
            except (duckdb.Error, TimeoutError):
                self.drop(worker)
        self.seated = {}

    def tables(self, schedule: Schedule) -> tuple[dict[str, Rows], dict[str, tuple[str, ...]]]:
        rows: dict[str, Rows] = {}
        columns: dict[str, tuple[str, ...]] = {}
        for schema, table in self._root.execute(TABLES).fetchall():
            name = table if schema == "main" else f"{schema}.{table}"
            found = self._root.execute(f"SELECT * FROM {_quoted(schema)}.{_quoted(table)}")
            columns[name] = tuple(column[0] for column in found.description or ())
            rows[name] = of_table(name, found.fetchmany(ROWS_MAX + 1))
        if schedule.teardown:
            self._root.execute(schedule.teardown).fetchall()
        self._detach()
        return rows, columns

    def close(self) -> None:
        self.close_all()
        self._root.close()

    def open(self, worker: Worker) -> duckdb.DuckDBPyConnection:
        return self._root.cursor()

    def seat(self, worker: Worker, level: str) -> None:
        worker.connection.execute(f"USE schedule_{self._number}")

    def unseat(self, worker: Worker) -> None:
        if worker.name in self._open:
            worker.connection.execute("ROLLBACK")
        worker.connection.execute("USE memory")
        if not self._plain:
            worker.connection.close()
            worker.connection = None

    def execute(self, worker: Worker, sql: str) -> Answer:
        connection: duckdb.DuckDBPyConnection = worker.connection
        if not PLAIN.match(sql) or ";" in sql:
            self._plain = False
        try:
            rows = connection.execute(sql).fetchmany(ROWS_MAX + 1)
        except duckdb.Error as error:
            state = self._after_error(worker, sql)
            message = CODE.sub("", _first_line(error), count=1).strip()
            return Answer(state, failed=True, sqlstate=code(str(error)), message=message)
        if BEGINS.match(sql):
            self._open.add(worker.name)
        elif ENDS.match(sql):
            self._open.discard(worker.name)
        state = "open" if worker.name in self._open else "idle"
        if len(rows) > ROWS_MAX:
            return Answer(state, failed=True, message=TOO_MANY)
        columns = tuple(column[0] for column in connection.description or ())
        if columns == ("Success",) and not rows:
            return Answer(state)
        if columns == ("Count",) and not re.match(r"\s*(SELECT|FROM|WITH|VALUES)\b", sql, re.I):
            return Answer(state, rowcount=rows[0][0] if rows else None)
        return Answer(state, columns, tuple(rows), len(rows))

    def interrupt(self, worker: Worker) -> None:
        worker.connection.interrupt()

    def _after_error(self, worker: Worker, sql: str) -> State:
        """Whether the transaction goes on after an error: only DuckDB itself can tell."""
        if worker.name not in self._open:
            return "idle"
        if ENDS.match(sql):
            self._open.discard(worker.name)
            return "idle"
        try:
            worker.connection.execute("SELECT 1").fetchall()
        except duckdb.Error:
            return "failed"
        return "open"

    def _detach(self) -> None:
        self._root.execute("USE memory")
        self._root.execute(f"DETACH DATABASE IF EXISTS schedule_{self._number}")


def code(message: str) -> str:
    """The class of an error, which stands for the SQLSTATE that DuckDB does not have."""
    found = CODE.match(message)
    return found[1] if found else ""


def _first_line(error: duckdb.Error) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
