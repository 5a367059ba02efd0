"""A session on PostgreSQL: a connection that does not block, what it runs, and how it is known to be gone.

    send ──▶ take, take, take ──▶ results, notices            the caller waits for the socket
               └─ server gone? ─▶ lost: FATAL 57P01            the server has ended this session alone
                                  lost: no SQLSTATE            the server itself went: `gone`

A server that crashes says nothing that psycopg would tell in one way: libpq's own errors have no SQLSTATE, and come as
OperationalError, or as its parent DatabaseError. `gone` is the one place that knows them. A
server that recovers, after one of its processes was killed, refuses connections for a moment: `recovered` tries until
it takes them again.

    >>> gone(psycopg.DatabaseError("server closed the connection")), gone(psycopg.errors.AdminShutdown())
    (True, True)
    >>> gone(psycopg.errors.LockNotAvailable()), gone(psycopg.DataError("not one of the server's"))
    (False, False)

Sources: PostgreSQL's manual, "Asynchronous Command Processing" and "Server Shutdown". Left out: what the sessions wait
for.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import pq

from workbook.engines.cluster import Cluster
from workbook.schedules.engine import ROWS_MAX, Answer, Rows, State
from workbook.schedules.postgres_values import rows_of

CHUNK = 1_000
PIECES = (pq.ExecStatus.TUPLES_CHUNK, pq.ExecStatus.SINGLE_TUPLE)
ENDED = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH)
STATES: dict[int, State] = {
    pq.TransactionStatus.IDLE: "idle",
    pq.TransactionStatus.INTRANS: "open",
    pq.TransactionStatus.INERROR: "failed",
    pq.TransactionStatus.ACTIVE: "open",
    pq.TransactionStatus.UNKNOWN: "lost",
}
PATIENT = "2s"
"""The `deadlock_timeout` of a session that closes no circle."""
WENT = ("57P01", "57P02", "57P03")
RECOVERING = "the database system is"
RECOVERY_S_MAX, AGAIN_S = 30.0, 0.005
"""How long a server's recovery is waited for, and how long it is left in peace between two tries."""


class Session:
    """One connection: what it runs, and what has come back of it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        connection.autocommit = True
        connection.add_notice_handler(self._notice)
        self.connection, self.conn = connection, connection.pgconn
        self.pid = self.conn.backend_pid
        self.own_level = (self.ask("SHOW default_transaction_isolation").get_value(0, 0) or b"").decode()
        self.name, self.level, self.patience = "", self.own_level, PATIENT
        self.ended = ""
        """The SQLSTATE with which the server said that it ends this session; '' where it said none."""
        self.running = self.closing = self.checked = False
        self.taken, self.stopped, self.blocked_s = 0, False, 0.0
        self.results: list[pq.abc.PGresult] = []
        self.notices: list[str] = []

    @property
    def state(self) -> State:
        """What its transaction is in; `lost` where the connection is gone."""
        return STATES[self.conn.transaction_status]

    def send(self, sql: str) -> None:
        """Begin a statement. Raises `OperationalError` where the connection is gone."""
        self.results, self.notices, self.checked = [], [], False
        self.taken, self.stopped, self.blocked_s = 0, False, 0.0
        self.conn.send_query(sql.encode())
        if psycopg.capabilities.has_stream_chunked():
            self.conn.set_chunked_rows_mode(CHUNK)
        else:
            self.conn.set_single_row_mode()
        self.running = True

    def take(self) -> bool:
        """Read what is there; whether the statement is over. Raises `OperationalError` where the connection is
        gone."""
        self.conn.consume_input()
        while not self.conn.is_busy():
            result = self.conn.get_result()
            if result is None:
                self.running = False
                return True
            if result.status in ENDED:
                self._no_copy(result.status)
                continue
            self.taken += result.ntuples
            if self.taken <= ROWS_MAX or result.status not in PIECES:
                self.results.append(result)
        return False

    def do(self, sql: str) -> None:
        """Run statements that do not wait, one by one. Raises `psycopg.Error`."""
        for one in sql.split(";"):
            self.ask(one)

    def ask(self, sql: str) -> pq.abc.PGresult:
        """What a statement gives that does not wait. Raises `psycopg.Error`."""
        return self.ask_all(sql)[-1]

    def ask_all(self, sql: str) -> list[pq.abc.PGresult]:
        """What statements give that do not wait, sent at once. Raises `psycopg.Error`."""
        self.conn.send_query(sql.encode())
        results = []
        while (result := self.conn.get_result()) is not None:
            results.append(result)
        if (error := failure(results)) is not None:
            raise error
        return results

    def table(self) -> tuple[tuple[str, ...], Rows] | None:
        """The columns and rows of the last statement that returned any; they come in pieces."""
        found, pieces = None, []  # type: tuple[tuple[str, ...], Rows] | None, list[tuple[Any, ...]]
        for result in self.results:
            if result.status in PIECES:
                pieces += self.rows(result)
            elif result.status == pq.ExecStatus.TUPLES_OK:
                columns = tuple((result.fname(number) or b"").decode() for number in range(result.nfields))
                found, pieces = (columns, (*pieces, *self.rows(result))), []
        return found

    def rows(self, result: pq.abc.PGresult) -> Rows:
        """A result's rows as Python's values."""
        return rows_of(result, self.connection)

    def lost(self, error: psycopg.Error) -> Answer:
        """The answer of a session whose connection is gone."""
        self.running = False
        error = failure(self.results) or error
        self.ended = error.sqlstate or ""
        message = error.diag.message_primary or str(error).strip().split("\n")[0]
        return Answer("lost", failed=True, sqlstate=self.ended or "08006", message=message)

    def _no_copy(self, status: int) -> None:
        if status == pq.ExecStatus.COPY_OUT:
            while self.conn.get_copy_data(0)[0] > 0:
                pass
        else:
            self.conn.put_copy_end(b"a schedule has no data to copy from")

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "LOG":  # of log_lock_waits, when deadlock_timeout is over
            said = notice.message_primary or ""
            if "still waiting for" in said:
                self.checked = True
            elif "acquired" in said:
                self.checked, self.blocked_s = False, 0.0
            return
        self.notices.append(f"{notice.severity}: {notice.message_primary}")


def failure(results: Iterable[pq.abc.PGresult]) -> psycopg.Error | None:
    """The error among a statement's results. What the server said comes before what libpq adds."""
    failed = [result for result in results if result.status == pq.ExecStatus.FATAL_ERROR]
    errors = [psycopg.errors.error_from_result(result) for result in failed]
    return next((error for error in errors if error.sqlstate), errors[-1] if errors else None)


def gone(error: psycopg.Error) -> bool:
    """Whether an error means that the connection is gone, or that none was to be had."""
    if error.sqlstate is None:
        return type(error) in (psycopg.DatabaseError, psycopg.OperationalError, psycopg.errors.ConnectionTimeout)
    return error.sqlstate.startswith("08") or error.sqlstate in WENT


def recovered(home: Cluster) -> None:
    """Try until a server that recovers, starts or stops takes connections again; start one that is gone. Raises
    `Unavailable`."""
    until = time.monotonic() + RECOVERY_S_MAX
    while time.monotonic() < until:
        try:
            home.connect(timeout_s=2).close()
            return
        except psycopg.OperationalError as error:
            if RECOVERING not in str(error):
                break
        time.sleep(AGAIN_S)
    home.ensure()


def alive(connection: psycopg.Connection[Any]) -> bool:
    """Whether an idle connection is there; what has come meanwhile, its end too, is read."""
    try:
        if readable([connection.pgconn.socket], 0):
            connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return False
    return connection.pgconn.status == pq.ConnStatus.OK


def end_of(connection: psycopg.Connection[Any], timeout_s: float) -> bool:
    """Wait for the end of an idle connection; whether it came."""
    until = time.monotonic() + timeout_s
    while alive(connection):
        if time.monotonic() > until:
            return False
        readable([connection.pgconn.socket], until - time.monotonic())
    return True


def readable(sockets: list[int], timeout_s: float) -> list[int]:
    """Those of the sockets from which something can be read, within so many seconds."""
    if not hasattr(select, "poll") or max(sockets) < 1024:  # Windows has none, and no such bound
        return select.select(sockets, [], [], max(timeout_s, 0))[0]
    poll = select.poll()
    for socket in sockets:
        poll.register(socket, select.POLLIN)
    return [socket for socket, _ in poll.poll(max(timeout_s, 0) * 1000)]
