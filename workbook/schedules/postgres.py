"""Schedules on PostgreSQL: connections that do not block, and a superuser's connection that sees who waits for whom.

    T1 ─ socket ─┐                                  pg_isolation_test_session_is_blocked(pid, pids)
    T2 ─ socket ─┼─ select() ── no answer? ── probe ┤ pg_blocking_pids(pid)              for whom
    T3 ─ socket ─┘                                  └ pg_locks                           on what

Three traps. A SERIALIZABLE READ ONLY DEFERRABLE transaction waits for a safe snapshot, which `pg_blocking_pids` does
not see and the function of the isolation tests does. All sessions waiting may be a deadlock that is about to be
broken: `Stage` goes on listening while the waits form a circle. The third who wants a row waits for the second's
place in the queue (a lock on the tuple), not for the holder: the chain is told as it is, T3 for T2 for T1.

Whom a deadlock sacrifices is decided by whose `deadlock_timeout` ends first. Here it is always the one that closes
the circle: a step that somebody already waits for is sent with a time-out of 1 ms, every other one with two seconds,
and what it waits for is told, and the next step sent, when the server has said (`log_lock_waits`, as a message to the
session) that it has looked for a circle and found none. A schedule that names `deadlock_timeout` itself is left alone. What cannot be made
to repeat: at read committed, two who wait for a row that has been updated race for its new version, and the third may
overtake the second.

    >>> DEADLOCK.findall("Process 7 waits for ShareLock on transaction 755; blocked by process 9.")
    [('7', 'ShareLock', 'transaction 755', '9')]

Sources: PostgreSQL's src/test/isolation/README and src/backend/utils/adt/lockfuncs.c; its manual, chapters "Explicit
Locking" and "pg_locks". Left out: what transactions of other databases hold.
"""

from __future__ import annotations

import contextlib
import re
import select
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from workbook.engines import Recipe, database
from workbook.engines.cluster import OWNERS, Cluster
from workbook.engines.profiles import Profile
from workbook.errors import SqlError, SqlTimeout, Unavailable
from workbook.schedules.engine import ROWS_MAX, TOO_MANY, Answer, Engine, Rows, ScheduleBroken, State, Wait
from workbook.schedules.postgres_locks import Locks
from workbook.schedules.postgres_tables import Tables
from workbook.schedules.schedule import Schedule

EMPTY = Recipe("an empty database", "")
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
DEADLOCK = re.compile(r"Process (\d+) waits for (\w+) on (.+?); blocked by process (\d+)\.")
CONTEXT_ROW = re.compile(
    r'while (?:updating|deleting|locking|rechecking updated) tuple \((\d+),(\d+)\) in relation "(.+)"'
)
PATIENT, CLOSING = "2s", "1ms"
SETTINGS = {"deadlock_timeout": PATIENT, "log_lock_waits": "on", "client_min_messages": "log"}
CHECKED_S_MAX = 2.0
CANCELLED_S, ENDED_S = 2.0, 5.0
"""How long a cancelled statement, and then an ended session, is waited for."""


class Session:
    """One connection: what it runs, and what has come back of it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        connection.autocommit = True
        connection.add_notice_handler(self._notice)
        self.connection, self.conn = connection, connection.pgconn
        self.pid = self.conn.backend_pid
        shown = self.conn.exec_(b"SHOW default_transaction_isolation")
        self.own_level = (shown.get_value(0, 0) or b"").decode()
        self.name, self.level, self.patience = "", self.own_level, PATIENT
        self.running = self.closing = self.checked = False
        self.taken, self.stopped, self.blocked_s = 0, False, 0.0
        self.results: list[pq.abc.PGresult] = []
        self.notices: list[str] = []
        self._rows = Transformer(connection)

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
            result = self.conn.exec_(one.encode())
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result)

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
        self._rows.set_pgresult(result)
        return tuple(self._rows.load_rows(0, result.ntuples, tuple))

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


class Postgres(Engine):
    """Sessions on a database of PostgreSQL that is this stage's alone, as its own role."""

    name = "postgresql"
    levels = ("read committed", "read uncommitted", "repeatable read", "serializable")

    def __init__(self, profile: Profile) -> None:
        self.database = database(EMPTY, profile=profile)
        self.version = self.database.cluster.version
        let_deadlock_timeout_be_set(self.database.cluster)
        self._set_role()
        self._pool: list[Session] = []
        self._seated: dict[str, Session] = {}
        self._early: list[tuple[str, Answer]] = []
        self._waits: dict[str, tuple[tuple[int, ...], Wait]] = {}
        self._own_patience = True
        self._control: Session | None = None
        self._probe: psycopg.Connection[Any] | None = None
        self._tables: Tables | None = None
        self._schedule: Schedule | None = None

    def prepare(self, schedule: Schedule, levels: Mapping[str, str], timeout_s: float) -> None:
        for last in (False, True):
            try:
                self._connect(len(levels))
                assert self._tables is not None
                self._tables.make(schedule, lambda sql: self._setup(sql, timeout_s))
                self._seat(schedule, levels)
                return
            except psycopg.OperationalError as error:
                self._forget()
                if last:
                    raise Unavailable(
                        "The PostgreSQL server does not answer.",
                        tried=str(error).strip().split("\n")[0],
                        next="run `workbook doctor`",
                    ) from None

    def send(self, session: str, sql: str) -> None:
        one = self._seated[session]
        self._waits.pop(session, None)
        try:
            if self._own_patience:
                self._set_patience(one)
            one.send(sql)
        except psycopg.OperationalError as error:
            self._early.append((session, _lost(one, error)))

    def answers(self, timeout_s: float) -> list[tuple[str, Answer]]:
        came, self._early = self._early, []
        running = {session.conn.socket: session for session in self._seated.values() if session.running}
        if not running:
            return came
        for socket in _readable(list(running), 0 if came else timeout_s):
            session = running[socket]
            try:
                if session.take():
                    came.append((session.name, self._answer(session)))
                elif session.taken > ROWS_MAX and not session.stopped:
                    session.stopped = True
                    self._admin().execute(f"SELECT pg_catalog.pg_cancel_backend({session.pid})")
            except psycopg.OperationalError as error:
                came.append((session.name, _lost(session, error)))
        return came

    def waiting(self, sessions: Iterable[str]) -> dict[str, Wait]:
        asked = [self._seated[name] for name in sessions]
        pids = {session.pid: session.name for session in self._seated.values()}
        try:
            found = self._locks().blocked([session.pid for session in asked], list(pids))
            unknown = [pid for pid, (holders, _) in found.items() if self._known(pids[pid]) != holders]
            on = self._locks().wanted(unknown, pids) if unknown else {}
        except psycopg.OperationalError:
            return {}  # the sessions learn it themselves
        for pid in unknown:
            holders, snapshot = found[pid]
            names = tuple(sorted({pids.get(holder, "another session") for holder in holders}))
            if not snapshot and self._looks_yet(self._seated[pids[pid]]):
                del found[pid]  # a deadlock tells itself what it waits for
            elif snapshot or pid in on:
                self._waits[pids[pid]] = (holders, Wait(names, "a safe snapshot" if snapshot else on[pid]))
            else:
                del found[pid]  # it has come to its end in between
        return {pids[pid]: self._waits[pids[pid]][1] for pid in found}

    def leave(self) -> None:
        lost = [session for session in self._seated.values() if STATES[session.conn.transaction_status] == "lost"]
        for session in lost:
            self._drop(session)
        try:
            for session in self._seated.values():
                if session not in lost:
                    if session.conn.transaction_status != pq.TransactionStatus.IDLE:
                        session.do("ROLLBACK")
                    session.do("DISCARD ALL")
                    session.level, session.patience = session.own_level, PATIENT
            self._end_prepared()
            if self._schedule is not None and self._schedule.mentions("alter role"):
                self._set_role()
        except psycopg.OperationalError as error:
            raise self._broken(error) from None
        self._seated = {}

    def tables(self, schedule: Schedule) -> tuple[dict[str, Rows], dict[str, tuple[str, ...]]]:
        assert self._tables is not None
        try:
            found = self._tables.read(schedule)
        except psycopg.OperationalError as error:
            raise self._broken(error) from None
        if schedule.teardown:
            self._setup(schedule.teardown, ENDED_S)
            self._tables.forget()
        return found

    def cancel(self) -> None:
        for stop, patience_s in (("pg_cancel_backend", CANCELLED_S), ("pg_terminate_backend", ENDED_S)):
            deadline = time.monotonic() + patience_s
            while running := [session for session in self._seated.values() if session.running]:
                try:
                    for session in running:
                        self._admin().execute(f"SELECT pg_catalog.{stop}({session.pid})")
                except psycopg.OperationalError:
                    return
                self.answers(0.05)
                if time.monotonic() > deadline:
                    break
        for session in self._seated.values():
            if session.running:
                self._drop(session)
        self._early = []

    def abandon(self) -> None:
        """The sessions are ended, and no connection is used again: the one that was interrupted between a statement and
        its answer, a session's or the one that looks who waits, would take the next statement's answer for it."""
        cluster = self.database.cluster
        cluster.forget("postgres")
        with contextlib.suppress(psycopg.OperationalError):
            cluster.end(session.pid for session in self._seated.values())
        self._forget()
        self._early = []
        with contextlib.suppress(psycopg.OperationalError):
            self._connect(0)
            self._end_prepared()

    def close(self) -> None:
        self._forget()
        self.database.drop()

    def _connect(self, sessions: int) -> None:
        if self._tables is None:
            self._probe = self.database.cluster.ensure().connect(self.database.name)
            self._control = Session(self.database.connect())
            self._control.do("SET lock_timeout = '100ms'")
            self._tables = Tables(self._control, self._probe)
        while len(self._pool) < sessions:
            self._pool.append(Session(self.database.connect()))

    def _seat(self, schedule: Schedule, levels: Mapping[str, str]) -> None:
        self._seated, self._waits, self._early, self._schedule = {}, {}, [], schedule
        self._own_patience = not schedule.mentions("deadlock_timeout")
        for session, (name, level) in zip(self._pool, levels.items(), strict=False):
            session.name = name
            self._seated[name] = session
            if session.level != level:
                session.do(f"SET default_transaction_isolation = '{level}'")
                session.level = level

    def _setup(self, sql: str, timeout_s: float) -> None:
        """Run SQL on the control connection. Raises `SqlError`, `SqlTimeout`."""
        control = self._control
        assert control is not None
        control.send(sql)
        deadline = time.monotonic() + timeout_s
        over = False
        while not over and time.monotonic() < deadline:
            over = bool(_readable([control.conn.socket], deadline - time.monotonic())) and control.take()
        if not over:
            self._forget()
            self.database.cluster.admin(f"SELECT pg_catalog.pg_terminate_backend({control.pid})")
            raise SqlTimeout(f"The setup ran longer than {timeout_s:g} s and was cancelled.", sqlstate="57014")
        for result in control.results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                error = psycopg.errors.error_from_result(result)
                raise SqlError(
                    f"The setup is refused: {(error.diag.message_primary or str(error)).rstrip('.')}.",
                    sqlstate=error.sqlstate or "",
                    next=error.diag.message_hint or "correct the setup",
                )

    def _set_patience(self, session: Session) -> None:
        """Let the one that closes a circle of waits be the one that looks for it."""
        waiting = [wait for name, (_, wait) in self._waits.items() if self._seated[name].running]
        awaited = any(session.name in wait.for_ for wait in waiting)
        session.closing = awaited
        wanted = CLOSING if awaited else PATIENT
        status = session.conn.transaction_status
        if session.patience != wanted and status != pq.TransactionStatus.INERROR:
            session.do(f"SET deadlock_timeout = '{wanted}'")
            session.patience = wanted if status == pq.TransactionStatus.IDLE else ""

    def _looks_yet(self, session: Session) -> bool:
        """Whether a session that waits with the short time-out is still to look for a deadlock. Where a schedule keeps
        the server from telling, it is waited for no longer than two seconds."""
        if session.checked or not (session.closing and self._own_patience):
            return False
        session.blocked_s = session.blocked_s or time.monotonic()
        return time.monotonic() < session.blocked_s + CHECKED_S_MAX

    def _answer(self, session: Session) -> Answer:
        state = STATES[session.conn.transaction_status]
        notices, results = tuple(session.notices), session.results
        last = results[-1]
        if last.status == pq.ExecStatus.FATAL_ERROR:
            error = psycopg.errors.error_from_result(last)
            message = TOO_MANY if session.stopped else error.diag.message_primary or str(error).strip()
            deadlock = self._deadlock(error.diag) if error.sqlstate == "40P01" else {}
            return Answer(
                state, failed=True, sqlstate=error.sqlstate or "", message=message, notices=notices, cycle=deadlock
            )
        columns, rows = session.table() or ((), None)
        ended = next((result for result in reversed(results) if result.command_status), last)
        tag = (ended.command_status or b"").decode()
        return Answer(state, columns, rows, ended.command_tuples, notices=notices, tag=tag)

    def _deadlock(self, diag: psycopg.errors.Diagnostic) -> dict[str, Wait]:
        """The circle of waits, as the server tells it when it breaks a deadlock."""
        names = {session.pid: session.name for session in self._seated.values()}
        found: dict[str, Wait] = {}
        for pid, mode, on, holder in DEADLOCK.findall(diag.message_detail or ""):
            name = names.get(int(pid), "")
            if not name:
                continue
            known = self._waits.get(name)
            if known:
                found[name] = known[1]
                continue
            row = CONTEXT_ROW.search(diag.context or "") if not found else None
            awaited = names.get(int(holder), "another session")
            found[name] = Wait((awaited,), self._locks().told(mode, on, row.groups() if row else None, awaited))
        return found

    def _known(self, name: str) -> tuple[int, ...]:
        return self._waits[name][0] if name in self._waits else ()

    def _locks(self) -> Locks:
        assert self._tables is not None and self._control is not None
        return Locks(self._admin(), self._control, self._tables)

    def _admin(self) -> psycopg.Connection[Any]:
        assert self._probe is not None
        return self._probe

    def _set_role(self) -> None:
        """Give the role the settings that a stage needs, and no others: ALTER ROLE in a schedule would outlast it."""
        name = self.database.name
        for sql in (f"ALTER ROLE {name} RESET ALL", f"ALTER ROLE {name} IN DATABASE {name} RESET ALL"):
            self.database.cluster.admin(sql)
        for setting, value in SETTINGS.items():
            self.database.cluster.admin(f"ALTER ROLE {name} IN DATABASE {name} SET {setting} = '{value}'")

    def _end_prepared(self) -> None:
        """Roll back what PREPARE TRANSACTION has left."""
        if self._schedule is not None and self._schedule.mentions("prepare") and self._control is not None:
            sql = "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()"
            for (gid,) in self._admin().execute(sql).fetchall():
                quoted = gid.replace("'", "''")
                self._control.do(f"ROLLBACK PREPARED '{quoted}'")

    def _drop(self, session: Session) -> None:
        session.running = False
        if session in self._pool:
            self._pool.remove(session)
        session.connection.close()

    def _broken(self, error: psycopg.Error) -> ScheduleBroken:
        self._forget()
        return ScheduleBroken(
            "The PostgreSQL server went in the middle of the schedule.",
            tried=str(error).strip().split("\n")[0],
            next="run it again: the server is started anew",
        )

    def _forget(self) -> None:
        """Close every connection; the next schedule makes new ones."""
        for session in (*self._pool, *([self._control] if self._control else [])):
            with contextlib.suppress(psycopg.Error):
                session.connection.close()
        if self._probe is not None:
            self._probe.close()
        self._pool, self._seated = [], {}
        self._control = self._probe = self._tables = None


def _readable(sockets: list[int], timeout_s: float) -> list[int]:
    """Those of the sockets from which something can be read, within so many seconds."""
    if max(sockets) < 1024:
        return select.select(sockets, [], [], max(timeout_s, 0))[0]
    poll = select.poll()
    for socket in sockets:
        poll.register(socket, select.POLLIN)
    return [socket for socket, _ in poll.poll(max(timeout_s, 0) * 1000)]


def _lost(session: Session, error: psycopg.Error) -> Answer:
    session.running = False
    message = str(error).strip().split("\n")[0]
    for result in session.results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            error = psycopg.errors.error_from_result(result)
            message = error.diag.message_primary or message
    return Answer("lost", failed=True, sqlstate=error.sqlstate or "08006", message=message)


def let_deadlock_timeout_be_set(home: Cluster) -> None:
    """Grant it to the group that all our roles are in and that stays: a role with a grant of its own cannot be
    dropped."""
    if not home.admin(f"SELECT pg_catalog.has_parameter_privilege('{OWNERS}', 'deadlock_timeout', 'SET')")[0][0]:
        with contextlib.suppress(psycopg.errors.InternalError_):  # another process grants it at this moment
            home.admin(f"GRANT SET ON PARAMETER deadlock_timeout TO {OWNERS}")
