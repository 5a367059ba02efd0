"""Plays schedules on real engines: sends each step when its turn has come, and sees what becomes of it.

    step ── session free? ── no ──▶ kept until it is
              └─ yes ─ send ─▶ settle: until each session without an answer is seen to wait
                                 │        an answer ends a step, and may free others: look again
                                 │        a circle of waits is a deadlock: go on until the engine breaks it
                                 └────▶ events, in an order that repeats ─▶ kept steps of freed sessions ─▶ next step

Nothing is slept for. A step is over when its answer is there, and waits when the server says so; a statement that
does neither runs, and the next step is not sent before it does one of the two. What settles at the same time is told
in an order of its own (first the step that was sent, then those that it freed, in the order in which they came to
wait), so that a schedule gives the same events again. Where one COMMIT frees two sessions that then want the same row,
the engine lets them race, and so does a stage: of a thousand random schedules of two sessions none came out in two ways
on PostgreSQL, of three sessions about five.

    >>> schedule = Schedule("one", "CREATE TABLE t (n int)", (Step("T1", "INSERT INTO t VALUES (1)"),))
    >>> with Stage("sqlite") as stage:
    ...     stage.run(schedule).final
    {'t': ((1,),)}

The way of sending and observing follows PostgreSQL's src/test/isolation/isolationtester.c. Left out: more than one
statement of a session at a time.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbook.engines.profiles import Profile
from workbook.errors import Misuse, SqlError, TooManyRows, Unavailable
from workbook.schedules.engine import VALUE_MAX, Answer, Engine, ScheduleBroken, Wait, cycle, longest
from workbook.schedules.run import ENGINES, Event, Kind, Run, ScheduleTimeout
from workbook.schedules.schedule import Schedule, Step

Probe = Callable[[Step], tuple[str | None, str | None]]
"""Statements to run in a step's own session just before and just after it, whose rows go to `Event.seen`."""
TIMEOUT_S = 10.0
LOOKS_S = (0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005)
"""How long to listen for an answer before the server is asked who waits: a moment at first, then longer."""


_resting: list[str] = []
"""Why no schedule runs in this process at the moment."""


@contextlib.contextmanager
def at_rest(why: str) -> Iterator[None]:
    """No stage of this process runs a schedule in here: `Stage.run` raises `Misuse` with this sentence.

    >>> with Stage("sqlite") as stage, at_rest("Nothing is run here."):
    ...     stage.run(Schedule("", "", (Step("T1", "SELECT 1"),)))
    Traceback (most recent call last):
    workbook.errors.Misuse: Nothing is run here. ...
    """
    _resting.append(why)
    try:
        yield
    finally:
        _resting.pop()


class Stage:
    """The connections on which schedules run, kept open from one to the next. As a context manager it is closed at
    the end.

    Parameters: the `engine` (postgresql, sqlite, sqlite-rollback, duckdb, mariadb); the `level` of schedules that say
    none; the `profile` of PostgreSQL's cluster; `timeout_s`, the seconds after which a step that neither ends nor
    waits for a session that can still go on is cancelled. Raises `Misuse`, `Unavailable`.
    """

    def __init__(
        self,
        engine: str = "postgresql",
        level: str = "",
        profile: Profile = "counting",
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.engine, self.level, self.timeout_s = engine, level, timeout_s
        self._profile: Profile = profile
        self._guard, self._closed, self._spoilt = threading.RLock(), False, False
        self.seats = _engine(engine, profile)
        if level:
            self._check(level)

    def run(self, schedule: Schedule, level: str = "", *, probe: Probe | None = None) -> Run:
        """What becomes of a schedule at a `level` ('' for the schedule's own, else the stage's, else the engine's
        default); `schedule.levels` counts for the sessions that it names.

        Raises `ScheduleTimeout` where it comes to no end, `ScheduleBroken` where the server went, both after cleaning
        up; `SqlError` where the setup is refused; `Misuse` for a level that the engine does not know.
        """
        if _resting:
            raise Misuse(_resting[-1], next="run it afterwards")
        level = level or schedule.level or self.level or self.seats.levels[0]
        levels = {name: schedule.levels.get(name, level) for name in schedule.sessions}
        for one in dict.fromkeys((level, *levels.values())):
            self._check(one)
        with self._guard:
            if self._closed:
                raise Misuse("The stage is closed.", next="make another one: Stage(...)")
            if self._spoilt:
                self._begin_anew()
            self._spoilt = True  # until all is done: whatever breaks in, at whatever moment
            try:
                self.seats.prepare(schedule, levels, self.timeout_s)
            except SqlError:
                self._spoilt = False
                raise
            play = _Play(self.seats, schedule, probe, self.timeout_s)
            try:
                error, final, columns = self._played(play)
            except TooManyRows:
                self._spoilt = False
                raise
            except BaseException:
                with contextlib.suppress(Unavailable):
                    self._begin_anew()
                raise
            self._spoilt = False
        events = tuple(replace(event, at=at) for at, event in enumerate(play.events))
        run = Run(schedule, self.engine, self.seats.version, level, events, play.outcomes(), final, columns, levels)
        if error is not None:
            error.run = run
            raise error
        return run

    def _played(self, play: _Play) -> tuple[ScheduleTimeout | ScheduleBroken | None, dict[str, Any], dict[str, Any]]:
        """Play a schedule to its end and clean up; how it was broken off, the tables' rows and their columns."""
        error: ScheduleTimeout | ScheduleBroken | None = None
        try:
            play.through()
        except ScheduleTimeout as wedged:
            error = wedged
            self.seats.cancel()
        try:
            self.seats.leave()
            return error, *self.seats.tables(play.schedule)
        except ScheduleBroken as broken:
            return broken, {}, {}

    def _begin_anew(self) -> None:
        """After an interruption: no connection is used again that may have missed an answer. Where the interruption is
        interrupted, too, the next schedule does it over."""
        try:
            self.seats.abandon()
        except Exception:
            with contextlib.suppress(Exception):
                self.seats.close()
            self.seats = _engine(self.engine, self._profile)
        self._spoilt = False

    def close(self) -> None:
        """Close the connections and remove the database; a second call does nothing."""
        with self._guard:
            if not self._closed:
                self._closed = True
                self.seats.close()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, level: str) -> None:
        if level not in self.seats.levels:
            raise Misuse(
                f"{ENGINES[self.engine]} has no isolation level {level!r}.",
                next=f"use {' or '.join(self.seats.levels)}",
            )


def _engine(name: str, profile: Profile) -> Engine:
    """The engine of that name. Raises `Misuse` for an unknown one, `Unavailable` where it cannot be had."""
    if name == "postgresql":
        from workbook.schedules.postgres import Postgres

        return Postgres(profile)
    if name in ("sqlite", "sqlite-rollback"):
        from workbook.schedules.sqlite import Sqlite

        return Sqlite(rollback_journal=name == "sqlite-rollback")
    if name == "duckdb":
        from workbook.schedules.duck import Duck

        return Duck()
    if name == "mariadb":
        from workbook.schedules.mariadb import MariaDb

        return MariaDb()
    raise Misuse(f"There is no engine {name!r} that runs schedules.", next=f"use one of {', '.join(ENGINES)}")


_stages: dict[tuple[str, ...], Stage] = {}


def run(
    schedule: Schedule,
    engine: str = "postgresql",
    level: str = "",
    *,
    stage: Stage | None = None,
    probe: Probe | None = None,
) -> Run:
    """What becomes of a schedule on an engine at a level: see `Stage.run`. Without a `stage`, one is made for each
    engine and kept until the process ends."""
    return (stage or stage_of(engine)).run(schedule, level, probe=probe)


def stage_of(engine: str) -> Stage:
    """The stage of an engine that is kept until the process ends; made where there is none."""
    key = (engine, *(os.environ.get(name, "") for name in ("WORKBOOK_STATE", "WORKBOOK_POSTGRES_URL")))
    if key not in _stages:
        _stages[key] = Stage(engine)
        atexit.register(_stages[key].close)
    return _stages[key]


@dataclass
class _Turn:
    """A step that was sent and whose end has not been told: what is still to send for it, what it was seen to wait
    for."""

    index: int
    step: Step
    parts: deque[tuple[str, str]]
    number: int
    part: str = ""
    answer: Answer | None = None
    seen: dict[str, Any] = field(default_factory=dict)
    wait: Wait | None = None
    told: Wait | None = None

    @property
    def over(self) -> bool:
        return self.answer is not None and not self.part


class _Play:
    """One schedule being played."""

    def __init__(self, seats: Engine, schedule: Schedule, probe: Probe | None, timeout_s: float) -> None:
        self.seats, self.schedule, self.probe, self.timeout_s = seats, schedule, probe, timeout_s
        self.turns: dict[str, _Turn] = {}
        self.kept: dict[str, deque[int]] = {name: deque() for name in schedule.sessions}
        self.events: list[Event] = []
        self._states: dict[str, str] = dict.fromkeys(schedule.sessions, "idle")
        self._errors: dict[str, str] = {}
        self._outcomes: dict[str, str] = {}
        self._number = 0

    def through(self) -> None:
        """Send every step and see it to its end. Raises `ScheduleTimeout`."""
        for index, step in enumerate(self.schedule.steps):
            if step.session in self.turns:
                self.kept[step.session].append(index)
            else:
                self._take(index)
        while self.turns:
            self._settle(last=True)
            self._catch_up()

    def outcomes(self) -> dict[str, str]:
        """What each session's last transaction came to."""
        found = {}
        for name in self.schedule.sessions:
            state = self._states[name]
            busy = name in self.turns or self.kept[name]
            found[name] = self._outcomes.get(name, "open" if busy else "no transaction")
            if state == "lost":
                found[name] = "lost"
            elif state == "failed":
                found[name] = _aborted(self._errors.get(name, ""))
            elif state == "open":
                found[name] = "open"
        return found

    def _take(self, index: int) -> None:
        self._launch(index)
        self._catch_up()

    def _catch_up(self) -> None:
        """Send the steps that were kept for sessions which are free by now, the earliest first."""
        while due := [kept[0] for name, kept in self.kept.items() if kept and name not in self.turns]:
            index = min(due)
            self.kept[self.schedule.steps[index].session].popleft()
            self._launch(index)

    def _launch(self, index: int) -> None:
        step = self.schedule.steps[index]
        if self._states[step.session] == "lost":
            self._tell("skipped", index, message="the session's connection is gone")
            return
        before, after = self.probe(step) if self.probe else (None, None)
        parts = [("before", before), ("step", step.sql), ("after", after)]
        self._number += 1
        turn = _Turn(index, step, deque((name, sql) for name, sql in parts if sql), self._number)
        self.turns[step.session] = turn
        self._send_next(turn)
        self._settle()

    def _send_next(self, turn: _Turn) -> None:
        turn.part, sql = turn.parts.popleft()
        self.seats.send(turn.step.session, sql)

    def _settle(self, last: bool = False) -> None:
        """Until each session without an answer is seen to wait; then tell what happened. `last`: nothing is left to
        send, so somebody must answer."""
        looks, deadline, waits = 0, time.monotonic() + self.timeout_s, {}  # type: int, float, dict[str, Wait]
        while True:
            settled = self._all_waited(waits) and not cycle(waits)
            pause = LOOKS_S[min(looks, len(LOOKS_S) - 1)]
            came = self.seats.answers(0 if settled and not last else pause)
            for session, answer in came:
                self._note(self.turns[session], answer)
            unanswered = [name for name, turn in self.turns.items() if not turn.over]
            if not unanswered:
                break
            if came:
                looks, deadline, waits = 0, time.monotonic() + self.timeout_s, {}
                continue
            if settled and (not last or len(unanswered) < len(self.turns)):
                break
            if time.monotonic() > deadline or (settled and self._nobody_ends(waits)):
                raise self._wedged(waits)
            looks += 1
            waits = self.seats.waiting(unanswered)
            self._see(waits)
        self._tell_all()

    def _all_waited(self, waits: Mapping[str, Wait]) -> bool:
        return bool(waits) and all(turn.over or name in waits for name, turn in self.turns.items())

    def _see(self, waits: Mapping[str, Wait]) -> None:
        for name, turn in self.turns.items():
            turn.wait = waits.get(name, turn.wait)

    def _note(self, turn: _Turn, answer: Answer) -> None:
        """An answer to a part of a step: a probe's rows are kept, the step's own answer ends it or leads to the next
        part."""
        if answer.rows and (length := longest(answer.rows)) > VALUE_MAX:
            told = f"the step returns a value of {length:,} characters, and {VALUE_MAX:,} are taken"
            answer = replace(answer, failed=True, columns=(), rows=None, message=told)
        if turn.part == "step":
            turn.answer = answer
            if answer.failed or answer.state == "lost":
                turn.parts.clear()
        else:
            turn.seen[turn.part] = answer.rows
        if turn.parts and answer.state != "lost":
            self._send_next(turn)
            return
        if turn.answer is None:
            turn.answer = answer
        turn.part = ""

    def _tell_all(self) -> None:
        """Tell the waits that have lasted and the ends that have come, in an order that repeats."""
        over = [turn for turn in self.turns.values() if turn.over]
        for turn in over:
            for name, wait in turn.answer.cycle.items() if turn.answer else ():
                if name in self.turns and self.turns[name].told is None:
                    self._tell_wait(self.turns[name], wait)
        for turn in over:
            if turn.told is None and turn.wait and turn.answer and turn.answer.failed and not turn.answer.cycle:
                self._tell_wait(turn, turn.wait)
        while over:
            turn = _first(over)
            over.remove(turn)
            self._end(turn)
        for turn in sorted(self.turns.values(), key=lambda turn: turn.number):
            if turn.wait and (turn.told is None or turn.told.for_ != turn.wait.for_):
                self._tell_wait(turn, turn.wait)

    def _tell_wait(self, turn: _Turn, wait: Wait) -> None:
        turn.told = turn.wait = wait
        self._tell("waits", turn.index, waits_for=wait.for_, waits_on=wait.on)

    def _tell(self, kind: Kind, index: int, **more: Any) -> None:
        self.events.append(Event(len(self.events), index, kind, **more))

    def _end(self, turn: _Turn) -> None:
        answer = turn.answer
        assert answer is not None
        if turn.told:
            self._tell("resumed", turn.index)
        seen = (turn.seen.get("before"), turn.seen.get("after")) if self.probe else ()
        told = {"seen": seen, "notices": answer.notices}
        if answer.failed:
            self._tell("failed", turn.index, sqlstate=answer.sqlstate, message=answer.message, **told)
        else:
            self._tell(
                "done",
                turn.index,
                columns=answer.columns,
                rows=answer.rows,
                rowcount=answer.rowcount,
                answer=answer.tag,
                **told,
            )
        self._judge(turn.step, answer)
        del self.turns[turn.step.session]

    def _judge(self, step: Step, answer: Answer) -> None:
        """What the step made of its session's transaction."""
        name, before = step.session, self._states[step.session]
        self._states[name] = answer.state
        if answer.failed:
            self._errors[name] = self._errors.get(name) or answer.sqlstate or " "
        elif before == "failed" and answer.state == "open":
            self._errors.pop(name, "")  # back at a savepoint
        if answer.state in ("open", "failed", "lost"):
            return
        error = self._errors.pop(name, "")
        if step.ends and before == "idle":
            return  # COMMIT outside a transaction changes nothing
        undone = step.asks == "rollback"
        if error and (answer.failed or before == "failed" or undone):
            self._outcomes[name] = _aborted(error)
        elif undone:
            self._outcomes[name] = "aborted by ROLLBACK"
        else:
            self._outcomes[name] = "prepared" if step.asks == "prepare" else "committed"

    def _nobody_ends(self, waits: Mapping[str, Wait]) -> bool:
        """Whether every wait leads to a session that has no step left, and no time-out is set that would end it."""
        holders = {name for wait in waits.values() for name in wait.for_}
        return holders <= self.kept.keys() and not self.schedule.mentions("timeout")

    def _wedged(self, waits: Mapping[str, Wait]) -> ScheduleTimeout:
        """The error that says which step came to no end, and for whom it waited."""
        turn = min((turn for turn in self.turns.values() if not turn.over), key=lambda turn: turn.number)
        self._tell_all()
        what = f"{turn.step.name} ({' '.join(turn.step.sql.split())})"
        wait = waits.get(turn.step.session)
        holders = " and ".join(wait.for_) or "another session" if wait else ""
        if wait is None:
            why = f"after {self.timeout_s:g} s {what} still ran"
            next_step = "let the step do less, or give the stage a longer timeout_s"
        else:
            rest = ", which has no step left" if self._nobody_ends(waits) else f", after {self.timeout_s:g} s still"
            why = f"{what} waits for {holders}{f' ({wait.on})' if wait.on else ''}{rest}"
            next_step = f"let {holders} end the transaction or release the lock"
        return ScheduleTimeout(
            f"The schedule comes to no end: {why}. It was cancelled, and all sessions were rolled back.",
            sqlstate="57014",
            next=next_step,
        )


def _first(over: list[_Turn]) -> _Turn:
    """Whose end to tell first: who never waited, who failed in a deadlock, then who waits for nobody that is left."""
    for turn in over:
        if turn.told is None:
            return turn
    for turn in over:
        if turn.answer and turn.answer.cycle:
            return turn
    left = {turn.step.session for turn in over}
    for turn in sorted(over, key=lambda turn: turn.number):
        if turn.told and not left & set(turn.told.for_):
            return turn
    return min(over, key=lambda turn: turn.number)


def _aborted(error: str) -> str:
    return f"aborted {error}".strip() if error.strip() else "aborted"
