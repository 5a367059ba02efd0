"""Runs a `.spec` file as PostgreSQL's isolationtester does, and prints what it prints.

    control ── setup ─────────────────── is it waiting? ─── is it? ─────────────────── teardown ──▶
    s1 ─────────────── setup ── r1 ──────────────────────────────── c1 ──── teardown ────────────▶
    s2 ─────────────── setup ──────── w2 ── waits ─────────────────── ▼ done ── teardown ─────────▶

                                      step w2: UPDATE ... <waiting ...>
                                                                     step c1: COMMIT;
                                                                     step w2: <... completed>

A step is sent when the steps of its session before it are done, and the step before it in the permutation is done or
seen to wait. isolationtester looks whether a step waits every ten milliseconds; here a step that waits for a session
that has nothing to do is known at once, because nothing will end that wait but a further step. A step that waits only
for sessions that are at work is looked at again for those ten milliseconds, as their work may end the wait.

What isolationtester writes to standard error (a setup that fails, a step that no permutation uses) stands in the
same stream, as in the expected files. A setup or a teardown that hangs is cancelled as a step is, which
isolationtester does not do.

    >>> sorted(SETTINGS)
    ['DateStyle', 'IntervalStyle', 'TimeZone']

Left out: extensions and injection points, which the server that comes along does not have; COPY from the client,
which ends the run with a line, where isolationtester prints it without an end.

Source: src/test/isolation/isolationtester.c and README in PostgreSQL's source.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from workbook.engines import Recipe, database
from workbook.engines.cluster import Cluster
from workbook.engines.profiles import Profile
from workbook.errors import Unavailable
from workbook.schedules.postgres import let_deadlock_timeout_be_set
from workbook.schedules.spec import Spec, SpecStep, Turn
from workbook.schedules.spec_table import aligned

STEP_S_MAX = 300.0
LOOK_S = 0.010  # how often isolationtester looks whether a step waits
FIRST_LOOK_S = 0.0005
SETTINGS = {
    "TimeZone": "America/Los_Angeles",
    "DateStyle": "Postgres, MDY",
    "IntervalStyle": "postgres_verbose",
}
"""What pg_isolation_regress asks for."""
EMPTY = Recipe("a spec's database", "", vacuum=False)
WAITING = b"""
SELECT pg_catalog.pg_isolation_test_session_is_blocked($1::pg_catalog.int4, $2::pg_catalog.int4[]),
    (pg_catalog.pg_blocking_pids($1::pg_catalog.int4) OPERATOR(pg_catalog.||)
     pg_catalog.pg_safe_snapshot_blocking_pids($1::pg_catalog.int4)) OPERATOR(pg_catalog.&&) $3::pg_catalog.int4[]
"""
ROLES = """SELECT pg_catalog.quote_ident(rolname) FROM pg_catalog.pg_roles WHERE rolname !~ '^w_'"""


class _Over(Exception):
    """The run ends here, as isolationtester's does with exit code 1."""


@dataclass(eq=False)
class _Launched:
    """A step that was sent: the `turn` it is, and the notices of other sessions that it waits for."""

    turn: Turn
    step: SpecStep
    notices: list[tuple[int, int]] = field(default_factory=list)  # a session, and how many it must have said


class _Session:
    """One connection of libpq, named; the step that it runs, and how many notices it has said."""

    def __init__(self, name: str, conninfo: str, heard: Callable[[_Session, bytes], None] | None) -> None:
        self.name = name
        self.connection = pq.PGconn.connect(conninfo.encode())
        if self.connection.status != pq.ConnStatus.OK:
            raise psycopg.OperationalError(self.connection.get_error_message())
        self.connection.notice_handler = lambda said: heard(self, said.error_message) if heard else None
        self.connection.exec_params(
            b"SELECT pg_catalog.set_config('application_name', current_setting('application_name') || '/' || $1, false)",
            [encoded(name)],
        )
        self.pid = self.connection.backend_pid
        self.active: _Launched | None = None
        self.notices = 0
        self._ready = selectors.DefaultSelector()
        self._ready.register(self.connection.socket, selectors.EVENT_READ)

    def hear(self, within_s: float) -> bool:
        """Take what the server has sent; whether there was something within that time."""
        if not self._ready.select(within_s):
            return False
        self.connection.consume_input()
        return True

    def cancel(self) -> None:
        self.connection.get_cancel().cancel()

    def close(self) -> None:
        self._ready.close()
        self.connection.finish()


class SpecRunner:
    """The connections of a spec's sessions and one more, on which `permutation` runs one order after another.

    Parameters: the `spec`; `conninfo`, how libpq reaches the database; `write`, which is given the output, piece by
    piece; `name`, that of the file, which the sessions' application_name begins with; `step_s_max`, the seconds
    after which a step is cancelled (after twice as many the run ends).
    """

    def __init__(
        self, spec: Spec, conninfo: str, write: Callable[[bytes], object], *, name: str, step_s_max: float
    ) -> None:
        self.spec, self.write, self.step_s_max = spec, write, step_s_max
        self._noticed = False
        self._waiting: list[_Launched] = []
        with ExitStack() as made:
            conninfo = make_conninfo(conninfo, application_name=f"isolation/{name}")
            self.control = _Session("control connection", conninfo, None)
            made.callback(self.control.close)
            self.sessions = []
            for session in spec.sessions:
                self.sessions.append(_Session(session.name, conninfo, self._heard))
                made.callback(self.sessions[-1].close)
            self.control.connection.prepare(b"waiting", WAITING)
            self._pids = _pids(self.sessions)
            self._made = made.pop_all()

    def close(self) -> None:
        """Close the connections; what a session has open is rolled back."""
        self._made.close()

    def permutation(self, order: tuple[Turn, ...]) -> None:
        """Run one order of steps, from setup to teardown."""
        self._say(f"\nstarting permutation: {' '.join(turn.step for turn in order)}")
        for sql in self.spec.setups:
            self._whole(self.control, sql, "setup")
        for session, own in zip(self.sessions, self.spec.sessions, strict=True):
            self._whole(session, own.setup, f"setup of session {session.name}")
        self._waiting = []
        for turn in order:
            self._launch(turn)
        self._try_all(nonblock=False)
        if self._waiting:
            self._say("failed to complete permutation due to mutually-blocking steps")
            raise _Over
        for session, own in zip(self.sessions, self.spec.sessions, strict=True):
            self._whole(session, own.teardown, f"teardown of session {session.name}", must=False)
        self._whole(self.control, self.spec.teardown, "teardown", must=False)

    def _launch(self, turn: Turn) -> None:
        """Send a step as soon as its session is free, and see what becomes of it and of those that wait."""
        step = self.spec.steps[turn.step]
        session = self.sessions[step.session]
        self._await(session)
        try:
            session.connection.send_query(encoded(step.sql))
        except psycopg.OperationalError:
            self._say(f"failed to send query for step {step.name}: {decoded(session.connection.error_message)}")
            raise _Over from None
        session.active = launched = _Launched(turn, step)
        for marker in turn.markers:
            if marker.kind == "notices":
                other = self.spec.steps[marker.step].session
                launched.notices.append((other, self.sessions[other].notices + marker.notices))
        goes_on = self._try(launched, first=True)
        self._try_all()
        if goes_on:
            self._waiting.append(launched)

    def _await(self, session: _Session) -> None:
        """Wait until a session has told the end of its step."""
        begun, patient = time.monotonic(), False
        while session.active:
            before = session.active
            if not self._try(before, nonblock=False):
                self._waiting.remove(before)
            self._try_all(patient=patient)
            patient = True
            if session.active and (waited := time.monotonic() - begun) > 2 * self.step_s_max:
                active = " ".join(one.active.step.name for one in self.sessions if one.active)
                self._say(f"step {session.active.step.name} timed out after {int(waited)} seconds")
                self._say(f"active steps are: {active}")
                raise _Over

    def _try_all(self, *, nonblock: bool = True, patient: bool = False) -> None:
        """Tell the end of each waiting step that has ended and may be told, until no further one has."""
        again = True
        while again:
            self._noticed = False
            left = [one for one in self._waiting if self._try(one, nonblock=nonblock, patient=patient)]
            again = any(one.turn.markers for one in left) and (len(left) < len(self._waiting) or self._noticed)
            self._waiting = left

    def _try(self, launched: _Launched, *, nonblock: bool = True, patient: bool = False, first: bool = False) -> bool:
        """Wait for a step to end, or, with `nonblock`, to wait itself; whether it goes on, or may not be told yet.

        With `patient` a wait counts only once it has lasted as long as isolationtester takes to look.
        """
        step, session = launched.step, self.sessions[launched.step.session]
        goes_on = first and any(marker.kind == "at once" for marker in launched.turn.markers)
        if not goes_on:
            goes_on = self._goes_on(launched, session, nonblock, patient) or self._held(launched)
        if goes_on:
            if first:
                self._say(f"step {step.name}: {step.sql} <waiting ...>")
            return True
        self._say(f"step {step.name}: {step.sql if first else '<... completed>'}")
        self._results(session)
        self._notifications(session)
        session.active = None
        return False

    def _goes_on(self, launched: _Launched, session: _Session, nonblock: bool, patient: bool) -> bool:
        """Whether a step is found to wait; returns False when it has ended."""
        begun, look_s, cancelled = time.monotonic(), FIRST_LOOK_S, False
        try:
            while session.connection.is_busy():
                if session.hear(look_s):
                    continue
                waited = time.monotonic() - begun
                if nonblock and self._waits(session, waited >= LOOK_S, patient):
                    session.hear(0)
                    if session.connection.is_busy():
                        return True
                cancelled = self._late(session, launched.step.name, waited, cancelled)
                look_s = min(2 * look_s, LOOK_S)
        except psycopg.OperationalError:
            self._say(f"PQconsumeInput failed: {decoded(session.connection.error_message)}", end="")
            raise _Over from None
        return False

    def _waits(self, session: _Session, seen_long: bool, patient: bool) -> bool:
        """Whether a session waits for another: for one without a step, or for any, where the step was seen to go on for
        as long as isolationtester takes to look."""
        idle = _pids([other for other in self.sessions if not other.active])
        answer = self.control.connection.exec_prepared(b"waiting", [b"%d" % session.pid, self._pids, idle])
        if answer.status != pq.ExecStatus.TUPLES_OK:
            self._say(f"lock wait query failed: {decoded(self.control.connection.error_message)}", end="")
            raise _Over
        return answer.get_value(0, 0) == b"t" and (seen_long or (answer.get_value(0, 1) == b"t" and not patient))

    def _late(self, session: _Session, name: str, waited_s: float, cancelled: bool) -> bool:
        """Cancel what takes too long, and give it up after as long again; whether it was cancelled."""
        if waited_s > 2 * self.step_s_max:
            self._say(f"step {name} timed out after {int(waited_s)} seconds")
            raise _Over
        if waited_s > self.step_s_max and not cancelled:
            session.cancel()
            self._say(f"isolationtester: canceling step {name} after {int(waited_s)} seconds")
            return True
        return cancelled

    def _held(self, launched: _Launched) -> bool:
        """Whether a marker forbids that the end of a step is told now."""
        for marker in launched.turn.markers:
            if marker.kind == "step":
                other = self.spec.steps[marker.step]
                active = self.sessions[other.session].active
                if active and active.step is other:
                    return True
        return any(self.sessions[other].notices < enough for other, enough in launched.notices)

    def _results(self, session: _Session) -> None:
        """Print all that a step gave."""
        while (result := session.connection.get_result()) is not None:
            status = result.status
            if status == pq.ExecStatus.TUPLES_OK:
                self._table(result)
            elif status == pq.ExecStatus.FATAL_ERROR:
                severity = result.error_field(pq.DiagnosticField.SEVERITY)
                message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
                told = severity + b":  " + message if severity and message else result.error_message
                self.write(told + b"\n")
            elif status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY):
                self._say(f"unexpected result status: PGRES_{pq.ExecStatus(status).name}")
                raise _Over

    def _notifications(self, session: _Session) -> None:
        """Print what NOTIFY brought."""
        names = {other.pid: other.name for other in self.sessions}
        while True:
            try:
                session.connection.consume_input()
            except psycopg.OperationalError:
                return  # the connection is gone, which the next step will tell
            if (told := session.connection.notifies()) is None:
                return
            sender = names.get(told.be_pid, f"PID {told.be_pid}")
            channel, payload = decoded(told.relname), decoded(told.extra)
            self._say(f'{session.name}: NOTIFY "{channel}" with payload "{payload}" from {sender}')

    def _whole(self, session: _Session, sql: str | None, what: str, *, must: bool = True) -> None:
        """Run a setup or a teardown to its end, and print the rows of its last statement."""
        if sql is None:
            return
        try:
            session.connection.send_query(encoded(sql))
            last = self._last(session, what)
        except psycopg.OperationalError:
            last = None
        if last is not None and last.status == pq.ExecStatus.TUPLES_OK:
            self._table(last)
        elif last is None or last.status != pq.ExecStatus.COMMAND_OK:
            self._say(f"{what} failed: {decoded(session.connection.error_message)}", end="")
            if must:
                raise _Over

    def _last(self, session: _Session, what: str) -> pq.abc.PGresult | None:
        """The last result of what was sent, as PQexec gives it."""
        begun, cancelled, last = time.monotonic(), False, None
        while True:
            while session.connection.is_busy():
                if not session.hear(LOOK_S):
                    cancelled = self._late(session, what, time.monotonic() - begun, cancelled)
            if (result := session.connection.get_result()) is None:
                return last
            last = result
            if last.status in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH):
                return last

    def _table(self, result: pq.abc.PGresult) -> None:
        names = [result.fname(column) or b"" for column in range(result.nfields)]
        rows = [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
        self.write(aligned(names, rows))

    def _heard(self, session: _Session, message: bytes) -> None:
        self.write(encoded(session.name) + b": " + message)
        session.notices += 1
        self._noticed = True

    def _say(self, text: str, end: str = "\n") -> None:
        self.write(encoded(text + end))


def _pids(sessions: list[_Session]) -> bytes:
    return b"{" + b",".join(b"%d" % session.pid for session in sessions) + b"}"


def run_spec(
    spec: Spec,
    write: Callable[[bytes], object],
    *,
    name: str = "spec",
    conninfo: str = "",
    superuser: bool = False,
    step_s_max: float = STEP_S_MAX,
) -> bool:
    """Run a spec and hand its output to `write`, piece by piece; whether the run came to its end.

    Parameters: the `spec`; the `name` of its file without the ending, which the sessions' application_name shows;
    `conninfo`, where a database is to be used that is there already (as libpq takes it), else a new one, which is
    dropped at the end: as its own role, or as `superuser`; `step_s_max`, the seconds after which a step is cancelled.
    Raises `Unavailable` where no connection is to be had.
    """
    if not conninfo:
        with spec_database(superuser=superuser) as made:
            return run_spec(spec, write, name=name, conninfo=made, step_s_max=step_s_max)
    for step in spec.unused():
        write(encoded(f"unused step name: {step}\n"))
    write(b"Parsed test spec with %d sessions\n" % len(spec.sessions))
    try:
        runner = SpecRunner(spec, conninfo, write, name=name, step_s_max=step_s_max)
    except psycopg.OperationalError as error:
        raise Unavailable(
            "A session of the spec cannot connect to PostgreSQL.",
            tried=str(error).strip().splitlines()[0],
            next="run `workbook doctor`",
        ) from None
    try:
        for order in spec.orders():
            runner.permutation(order)
    except _Over:
        return False
    finally:
        runner.close()
    return True


@contextmanager
def spec_database(*, superuser: bool = False, profile: Profile = "production") -> Iterator[str]:
    """An empty private database for a spec: how libpq reaches it, with the settings of PostgreSQL's own tests.

    As the database's own role, which may also set deadlock_timeout, as many specs do; or as `superuser`, who may do to
    this machine what the server may: then for a spec that one would also run as a program. The profile is
    `production`, because expected plans are those of PostgreSQL's defaults: without autovacuum CREATE INDEX counts no
    rows. Roles that a superuser's spec leaves behind are dropped.
    """
    with database(EMPTY, profile=profile) as made:
        home: Cluster = made.cluster
        let_deadlock_timeout_be_set(home)
        before = set(home.admin(ROLES))
        with home.connect(made.name) if superuser else made.connect() as connection:
            conninfo = _conninfo(connection.pgconn)
        try:
            yield conninfo
        finally:
            if superuser and not home.url:
                for (role,) in set(home.admin(ROLES)) - before:
                    home.admin(f"DROP OWNED BY {role}", made.name)
                    home.admin(f"DROP ROLE {role}")


def _conninfo(known: pq.abc.PGconn) -> str:
    """How libpq reaches what a connection reaches, with the settings of PostgreSQL's own tests."""
    options = " ".join(f"-c {key}={value.replace(' ', chr(92) + ' ')}" for key, value in SETTINGS.items())
    parts = {"host": known.host, "port": known.port, "user": known.user, "password": known.password, "dbname": known.db}
    return make_conninfo(**{key: value.decode() for key, value in parts.items()}, options=options)


def encoded(text: str) -> bytes:
    """A text as the bytes of the file that it came from, also where that file is no UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def decoded(raw: bytes) -> str:
    """The reverse of `encoded`."""
    return raw.decode("utf-8", "surrogateescape")
