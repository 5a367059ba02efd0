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
session) that it has looked for a circle and found none. A schedule that names `deadlock_timeout` itself is left
alone. What cannot be made to repeat: at read committed, two who wait for a row that has been updated race for its new
version, and the third may overtake the second.

A stage's database and its role are the schedules' to spoil: a password, default privileges, a publication, a large
object stay where the tables are made anew. What is left of these is read before the tables are made anew, and where
it is not as in the beginning, the next schedule has a new database.

    >>> DEADLOCK.findall("Process 7 waits for ShareLock on transaction 755; blocked by process 9.")
    [('7', 'ShareLock', 'transaction 755', '9')]

Sources: PostgreSQL's src/test/isolation/README and src/backend/utils/adt/lockfuncs.c; its manual, chapters "Explicit
Locking" and "pg_locks". Left out: what transactions of other databases hold.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import pq

from workbook.engines import Recipe, database
from workbook.engines.cluster import OWNERS, Cluster
from workbook.engines.profiles import Profile
from workbook.errors import Crowded, SqlError, SqlTimeout, Unavailable
from workbook.schedules.engine import ROWS_MAX, TOO_MANY, Answer, Engine, Rows, ScheduleBroken, Wait
from workbook.schedules.postgres_locks import Locks
from workbook.schedules.postgres_session import PATIENT, Session, alive, end_of, failure, gone, readable, recovered
from workbook.schedules.postgres_tables import Tables
from workbook.schedules.schedule import Schedule

EMPTY = Recipe("an empty database", "")
DEADLOCK = re.compile(r"Process (\d+) waits for (\w+) on (.+?); blocked by process (\d+)\.")
CONTEXT_ROW = re.compile(
    r'while (?:updating|deleting|locking|rechecking updated) tuple \((\d+),(\d+)\) in relation "(.+)"'
)
CLOSING = "1ms"
SETTINGS = {
    "deadlock_timeout": PATIENT,
    "log_lock_waits": "on",
    "client_min_messages": "log",
    "temp_file_limit": "200MB",  # a step without an end fills no disk before its time is over
}
CHECKED_S_MAX = 2.0
CANCELLED_S, ENDED_S = 2.0, 5.0
"""How long a cancelled statement, and then an ended session, is waited for."""
TRIES_MAX = 5
AS_MADE = """SELECT
        (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata), (SELECT count(*) FROM pg_catalog.pg_default_acl),
        (SELECT count(*) FROM pg_catalog.pg_publication), (SELECT count(*) FROM pg_catalog.pg_language),
        (SELECT count(*) FROM pg_catalog.pg_foreign_server),
        (SELECT count(*) FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
            WHERE n.nspname ~ '^pg_'),
        (SELECT pg_catalog.array_agg(s.setconfig::text ORDER BY s.setdatabase)
            FROM pg_catalog.pg_db_role_setting s WHERE s.setrole = r.oid),
        pg_catalog.hashtext(r.rolpassword), d.datacl::text,
        pg_catalog.has_parameter_privilege(r.rolname, 'deadlock_timeout', 'SET')
    FROM pg_catalog.pg_authid r JOIN pg_catalog.pg_database d ON d.datname = r.rolname
    WHERE d.datname = pg_catalog.current_database()"""
FULL = """SELECT count(*) >= pg_catalog.current_setting('max_connections')::int
        - pg_catalog.current_setting('superuser_reserved_connections')::int
        - COALESCE(pg_catalog.current_setting('reserved_connections', true)::int, 0)
    FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'"""


class Postgres(Engine):
    """Sessions on a database of PostgreSQL that is this stage's alone, as its own role."""

    name = "postgresql"
    levels = ("read committed", "read uncommitted", "repeatable read", "serializable")

    def __init__(self, profile: Profile) -> None:
        self.database = database(EMPTY, profile=profile)
        self.version = self.database.cluster.version
        self._pool: list[Session] = []
        self._pids: set[int] = set()
        self._seated: dict[str, Session] = {}
        self._early: list[tuple[str, Answer]] = []
        self._waits: dict[str, tuple[tuple[int, ...], Wait]] = {}
        self._own_patience = True
        self._control: Session | None = None
        self._probe: psycopg.Connection[Any] | None = None
        self._tables: Tables | None = None
        self._schedule: Schedule | None = None
        self._spoilt, self._made = False, ()  # type: bool, tuple[Any, ...]
        self._furnish()

    def prepare(self, schedule: Schedule, levels: Mapping[str, str], timeout_s: float) -> None:
        for attempt in range(TRIES_MAX):
            try:
                self._begin(schedule)
                self._connect(len(levels))
                assert self._tables is not None
                self._tables.make(schedule, lambda sql: self._setup(sql, timeout_s))
                self._seat(schedule, levels)
                return
            except Unavailable as refusal:
                if isinstance(refusal, Crowded):
                    self._too_many(len(levels))
                self._forget()
                self._spoilt = self._spoilt or self.database.gone  # `workbook clean` has removed it
                if attempt + 1 == TRIES_MAX:
                    raise
            except psycopg.Error as error:
                self._too_many(len(levels))
                self._forget()
                self._spoilt = not gone(error) or attempt > 1
                if attempt + 1 == TRIES_MAX:
                    answers = "does not answer" if gone(error) else "cannot make the tables of a schedule"
                    raise Unavailable(
                        f"The PostgreSQL server {answers}.", tried=_line(error), next="run `workbook doctor`"
                    ) from None
            recovered(self.database.cluster)

    def send(self, session: str, sql: str) -> None:
        one = self._seated[session]
        self._waits.pop(session, None)
        try:
            if self._own_patience:
                self._set_patience(one)
            one.send(sql)
        except psycopg.Error as error:
            if not gone(error) and one.state != "lost":
                raise
            self._early.append((session, one.lost(error)))

    def answers(self, timeout_s: float) -> list[tuple[str, Answer]]:
        came, self._early = self._early, []
        running = {session.conn.socket: session for session in self._seated.values() if session.running}
        if not running:
            return came
        for socket in readable(list(running), 0 if came else timeout_s):
            session = running[socket]
            try:
                over = session.take()
            except psycopg.OperationalError as error:
                came.append((session.name, session.lost(error)))
                continue
            if over:
                came.append((session.name, self._answer(session)))
            elif session.taken > ROWS_MAX and not session.stopped:
                session.stopped = True
                self._stop("pg_cancel_backend", session)
        return came

    def waiting(self, sessions: Iterable[str]) -> dict[str, Wait]:
        asked = [self._seated[name] for name in sessions]
        pids = {session.pid: session.name for session in self._seated.values()}
        try:
            found = self._locks().blocked([session.pid for session in asked], list(pids))
            unknown = [pid for pid, (holders, _) in found.items() if self._known(pids[pid]) != holders]
            on = self._locks().wanted(unknown, pids) if unknown else {}
        except psycopg.Error as error:
            if not gone(error):
                raise
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
        for session in self._seated.values():
            try:
                if session.state == "lost":
                    self._leave_lost(session, psycopg.OperationalError("server closed the connection unexpectedly"))
                    continue
                if session.conn.transaction_status != pq.TransactionStatus.IDLE:
                    session.do("ROLLBACK")
                session.do("DISCARD ALL")
                session.level, session.patience = session.own_level, PATIENT
            except psycopg.Error as error:
                session.lost(error)
                self._leave_lost(session, error)
        try:
            self._end_prepared()
        except psycopg.Error as error:
            raise self._broken(error) from None
        self._seated = {}

    def tables(self, schedule: Schedule) -> tuple[dict[str, Rows], dict[str, tuple[str, ...]]]:
        assert self._tables is not None
        try:
            found = self._tables.read(schedule)
            if schedule.teardown:
                self._setup(schedule.teardown, ENDED_S)
                self._tables.forget()
        except psycopg.Error as error:
            if gone(error):
                raise self._broken(error) from None
            self._spoilt = True
            raise SqlError(f"The tables cannot be read: {_line(error)}.", sqlstate=error.sqlstate or "") from None
        return found

    def cancel(self) -> None:
        for stop, patience_s in (("pg_cancel_backend", CANCELLED_S), ("pg_terminate_backend", ENDED_S)):
            deadline = time.monotonic() + patience_s
            while running := [session for session in self._seated.values() if session.running]:
                for session in running:
                    self._stop(stop, session)
                self.answers(0.05)
                if time.monotonic() > deadline:
                    break
        for session in self._seated.values():
            if session.running:
                session.ended = "57P01"
                self._drop(session)
        self._early = []

    def abandon(self) -> None:
        """The sessions are ended, and no connection is used again: the one that was interrupted between a statement and
        its answer, a session's or the one that looks who waits, would take the next statement's answer for it."""
        cluster = self.database.cluster
        cluster.forget("postgres")
        with contextlib.suppress(psycopg.Error):
            cluster.end(self._pids)
        self._forget()
        self._early = []
        with contextlib.suppress(psycopg.Error):
            self._connect(0)
            self._end_prepared()

    def close(self) -> None:
        self._forget()
        self.database.drop()

    def _begin(self, schedule: Schedule) -> None:
        """See that the connections are alive, and that the database is as it was made; where not, begin anew."""
        if self._spoilt:
            self._renew()
        sessions = [*self._pool, *([self._control] if self._control else [])]
        if not all(alive(one) for one in (*(session.connection for session in sessions), *self._probes())):
            self._forget()
            recovered(self.database.cluster)
        self._connect(0)
        assert self._tables is not None
        if not self._tables.quick(schedule) and self._look() != self._made:
            self._renew()
            self._connect(0)

    def _furnish(self) -> None:
        """Give the role of a new database the settings that a stage needs."""
        let_deadlock_timeout_be_set(self.database.cluster)
        name = self.database.name
        for setting, value in SETTINGS.items():
            self.database.cluster.admin(f"ALTER ROLE {name} IN DATABASE {name} SET {setting} = '{value}'")
        self._connect(0)
        self._made = self._look()

    def _look(self) -> tuple[Any, ...]:
        """What a schedule can change of its database and its role beside what stands in the database's schemas."""
        return tuple(self._admin().execute(AS_MADE).fetchone() or ())

    def _renew(self) -> None:
        """Another database, with another role."""
        self._spoilt = True
        self._forget()
        self.database.drop()
        self.database = self.database.fresh()
        self._furnish()
        self._spoilt = False

    def _connect(self, sessions: int) -> None:
        if self._tables is None:
            recovered(self.database.cluster)
            self._probe = self.database.cluster.connect(self.database.name)
            self._pids.add(self._probe.info.backend_pid)
            self._control = self._session()
            self._control.do("SET lock_timeout = '100ms'")
            self._tables = Tables(self._control, self._probe)
        while len(self._pool) < sessions:
            self._pool.append(self._session())

    def _session(self) -> Session:
        made = Session(self.database.connect())
        self._pids.add(made.pid)
        return made

    def _too_many(self, sessions: int) -> None:
        """Raise `Unavailable` where the server has no connection left for so many sessions."""
        possible = len(self._pool)
        try:
            if possible >= sessions or not self._probe or not self._admin().execute(FULL).fetchall()[0][0]:
                return
        except psycopg.Error:
            return
        self._forget()
        raise Unavailable(
            f"A schedule of {sessions} sessions needs more connections than the PostgreSQL server has left: "
            f"{possible} sessions are possible.",
            next="let the schedule have fewer sessions, or close what else uses the server",
        )

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
            over = bool(readable([control.conn.socket], deadline - time.monotonic())) and control.take()
        if not over:
            self._forget()
            self.database.cluster.admin(f"SELECT pg_catalog.pg_terminate_backend({control.pid})")
            raise SqlTimeout(f"The setup ran longer than {timeout_s:g} s and was cancelled.", sqlstate="57014")
        error = failure(control.results)
        if error is not None and gone(error):
            raise error
        if error is not None:
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
        notices, results = tuple(session.notices), session.results
        error = failure(session.results)
        if error is not None and session.state == "lost":
            return session.lost(error)
        last = results[-1]
        if error is not None:
            message = TOO_MANY if session.stopped else error.diag.message_primary or _line(error)
            deadlock = self._deadlock(error.diag) if error.sqlstate == "40P01" else {}
            return Answer(
                session.state,
                failed=True,
                sqlstate=error.sqlstate or "",
                message=message,
                notices=notices,
                cycle=deadlock,
            )
        columns, rows = session.table() or ((), None)
        ended = next((result for result in reversed(results) if result.command_status), last)
        tag = (ended.command_status or b"").decode()
        return Answer(session.state, columns, rows, ended.command_tuples, notices=notices, tag=tag)

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

    def _end_prepared(self) -> None:
        """Roll back what PREPARE TRANSACTION has left."""
        if self._schedule is not None and self._schedule.mentions("prepare") and self._control is not None:
            sql = "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()"
            for (gid,) in self._admin().execute(sql).fetchall():
                quoted = gid.replace("'", "''")
                self._control.do(f"ROLLBACK PREPARED '{quoted}'")

    def _stop(self, how: str, session: Session) -> None:
        """Ask the server to stop a session's statement, or the session; a server that is gone has stopped it."""
        try:
            self._admin().execute(f"SELECT pg_catalog.{how}({session.pid})")
        except psycopg.Error as error:
            if not gone(error):
                raise

    def _leave_lost(self, session: Session, error: psycopg.Error) -> None:
        """Give up a session whose connection is gone. Raises `ScheduleBroken` where more is gone than this session: a
        server that ends one session says so with a SQLSTATE, one that crashes does not."""
        if session.ended in ("", "57P02"):
            raise self._broken(error)
        self._drop(session)
        try:
            assert self._control is not None
            self._control.ask("SELECT 1")
            self._admin().execute("SELECT 1")
        except psycopg.Error as more:
            raise self._broken(more) from None

    def _drop(self, session: Session) -> None:
        session.running = False
        if session in self._pool:
            self._pool.remove(session)
        session.connection.close()

    def _broken(self, error: psycopg.Error) -> ScheduleBroken:
        """The error that says so. After a crash the server ends every connection before it recovers; who connects
        earlier is ended with the others."""
        control = [self._control.connection] if self._control else []
        until = time.monotonic() + CANCELLED_S
        for connection in (*control, *self._probes()):
            end_of(connection, until - time.monotonic())
        self._forget()
        return ScheduleBroken(
            "The PostgreSQL server went in the middle of the schedule.",
            tried=_line(error),
            next="run it again: the server is started anew",
        )

    def _probes(self) -> list[psycopg.Connection[Any]]:
        return [self._probe] if self._probe else []

    def _forget(self) -> None:
        """Close every connection; the next schedule makes new ones."""
        for session in (*self._pool, *([self._control] if self._control else [])):
            with contextlib.suppress(psycopg.Error):
                session.connection.close()
        if self._probe is not None:
            self._probe.close()
        self._pool, self._seated, self._pids = [], {}, set()
        self._control = self._probe = self._tables = None


def let_deadlock_timeout_be_set(home: Cluster) -> None:
    """Grant it to the group that all our roles are in and that stays: a role with a grant of its own cannot be
    dropped."""
    if not home.admin(f"SELECT pg_catalog.has_parameter_privilege('{OWNERS}', 'deadlock_timeout', 'SET')")[0][0]:
        with contextlib.suppress(psycopg.errors.InternalError_):  # another process grants it at this moment
            home.admin(f"GRANT SET ON PARAMETER deadlock_timeout TO {OWNERS}")


def _line(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().split("\n")[0].rstrip(".")
