"""What became of a schedule: its events in the order in which they were seen, what each transaction came to, what is
left.

    at   T1               T2
     0   BEGIN
     1                    BEGIN
     2   UPDATE ...  done
     3                    UPDATE ...  waits for T1     ┐
     4   COMMIT  done                                  │ the wait, as the server told it
     5                    UPDATE ...  resumed          ┘
     6                    UPDATE ...  done

The position of an event is the only clock: no times, so that the same schedule gives the same text again.

    >>> Event(3, 5, "waits", waits_for=("T1",), waits_on="row id=1 of test").data()["waits_for"]
    ['T1']

Left out: verdicts and names of anomalies, which are computed from a run, and pictures of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from workbook.errors import SqlTimeout
from workbook.schedules.controls import bare
from workbook.schedules.schedule import Schedule, Step

if TYPE_CHECKING:
    from workbook.draw.picture import Picture

Kind = Literal["done", "waits", "resumed", "failed", "skipped"]
LANE = 26
ROWS_SHOWN = 12
ENGINES = {
    "postgresql": "PostgreSQL",
    "sqlite": "SQLite",
    "sqlite-rollback": "SQLite (rollback journal)",
    "duckdb": "DuckDB",
    "mariadb": "MariaDB",
}
"""The engines that run schedules, and how they are called in a sentence."""


@dataclass(frozen=True, slots=True)
class Event:
    """What became of one step, as it was seen.

    A step that need not wait has one event, `done` or `failed`. A step that waits has `waits` (a second one where it
    comes to wait for somebody else), then `resumed`, then `done` or `failed`. `skipped` is a step that could not be
    sent: its connection was gone. A step that follows a failed one is sent, as a client would that does not look:
    what the engine answers to it is its event.

    Parameters: `at`, the position in `Run.events`; `step`, the index into `schedule.steps`; the `kind`; `columns`,
    `rows` (None where the statement returns none) and `rowcount` of a step that is done; `sqlstate` and `message` of
    one that failed (SQLite's result code, such as 5 or 517, and DuckDB's class of error stand for the SQLSTATE);
    `waits_for`, the sessions that hold what is wanted; `waits_on`, what that is; `seen`, the rows of the probes
    before and after; `notices` that came with the answer.
    """

    at: int
    step: int
    kind: Kind
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] | None = None
    rowcount: int | None = None
    sqlstate: str = ""
    message: str = ""
    waits_for: tuple[str, ...] = ()
    waits_on: str = ""
    seen: tuple[Any, ...] = ()
    notices: tuple[str, ...] = ()
    answer: str = ""
    """The command tag of PostgreSQL, such as `UPDATE 1`; COMMIT of a failed transaction answers `ROLLBACK`."""

    def data(self) -> dict[str, Any]:
        """Plain data, values that JSON does not know as text."""
        return {
            "at": self.at,
            "step": self.step,
            "kind": self.kind,
            "columns": list(self.columns),
            "rows": None if self.rows is None else [[plain(value) for value in row] for row in self.rows],
            "rowcount": self.rowcount,
            "sqlstate": self.sqlstate,
            "message": self.message,
            "waits_for": list(self.waits_for),
            "waits_on": self.waits_on,
            "notices": list(self.notices),
            "answer": self.answer,
        }


@dataclass(frozen=True)
class Run:
    """A schedule that has run.

    `outcomes` says for each session what its last transaction came to: `committed`, `aborted 40001` (by an error),
    `aborted by ROLLBACK`, `open` (it was never ended), `prepared`, `lost` (its connection went), `no transaction` (none was begun). COMMIT of a failed
    transaction, which PostgreSQL answers with ROLLBACK, is `aborted` by that error. On engines where a failed
    statement leaves the transaction usable (SQLite), the rest of it can be committed: then the failed step has left
    nothing, and the outcome is `committed`. `final` holds every table after all sessions have ended, table to rows,
    sorted. `levels` gives each session's level.
    """

    schedule: Schedule
    engine: str
    version: str
    level: str
    events: tuple[Event, ...]
    outcomes: Mapping[str, str]
    final: Mapping[str, tuple[tuple[Any, ...], ...]]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Each table of `final` to the names of its columns."""
    levels: Mapping[str, str] = field(default_factory=dict)
    """Each session to the level that it ran at."""

    def step(self, event: Event) -> Step:
        """The step of an event."""
        return self.schedule.steps[event.step]

    def end(self, step: int | str) -> Event | None:
        """The event that ended a step (`done`, `failed` or `skipped`), by index or by name; None where none did."""
        wanted = step if isinstance(step, int) else [one.name for one in self.schedule.steps].index(step)
        found = [event for event in self.events if event.step == wanted and event.kind in ("done", "failed", "skipped")]
        return found[-1] if found else None

    @property
    def waits(self) -> tuple[Event, ...]:
        """The events in which a step came to wait."""
        return tuple(event for event in self.events if event.kind == "waits")

    @property
    def failures(self) -> tuple[Event, ...]:
        """The events in which a step failed."""
        return tuple(event for event in self.events if event.kind == "failed")

    @property
    def committed(self) -> tuple[str, ...]:
        """The sessions whose last transaction committed."""
        return tuple(name for name, outcome in self.outcomes.items() if outcome == "committed")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a schedule may not have meant: on PostgreSQL, a session that says no BEGIN, and yet asks for the end of
        a transaction, or is to run more than one statement at a level that is of whole transactions."""
        if self.engine != "postgresql":
            return ()
        found = []
        for name in self.schedule.sessions:
            steps = [step for step in self.schedule.steps if step.session == name]
            whole = self.levels.get(name, self.level) in ("repeatable read", "serializable") and len(steps) > 1
            if not any(step.begins for step in steps) and (whole or any(step.ends for step in steps)):
                found.append(f"{name} says no BEGIN: each of its statements is a transaction of its own")
        return tuple(found)

    def data(self) -> dict[str, Any]:
        """Plain data, as `draw/timeline.py` and programs take it.

        `title`, `engine`, `version`, `level`, `levels` (session to level), `at` (the two in words), `sessions` in the order in which they
        appear, `steps` (`session`, `sql`, `name`), `events` as `Event.data()` gives them, `snapshots` (`session`, `at`,
        whether it `covers` a transaction or a statement), `outcomes`, `final` (table to rows), `columns` (table to
        names) and `notes`.
        """
        from workbook.schedules.snapshots import snapshots

        return {
            "title": self.schedule.title,
            "engine": self.engine,
            "version": self.version,
            "level": self.level,
            "levels": dict(self.levels),
            "at": level_of(self.level, self.levels),
            "sessions": list(self.schedule.sessions),
            "steps": self.schedule.data()["steps"],
            "events": [event.data() for event in self.events],
            "snapshots": [asdict(one) for one in snapshots(self)],
            "outcomes": dict(self.outcomes),
            "final": {name: [[plain(value) for value in row] for row in rows] for name, rows in self.final.items()},
            "columns": {name: list(names) for name, names in self.columns.items()},
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """The canonical text: one line an event, lanes as columns."""
        lanes = {name: number * LANE for number, name in enumerate(self.schedule.sessions)}
        name, _, kind = ENGINES[self.engine].partition(" ")
        told_level = level_of(self.level, self.levels)
        title = [part for part in (self.schedule.title, f"{name} {self.version} {kind}".rstrip(), told_level) if part]
        lines = [" · ".join(title), "", "     " + "".join(name.ljust(LANE) for name in lanes).rstrip()]
        for event in self.events:
            step = self.step(event)
            lines.append(f"{event.at:3}  {' ' * lanes[step.session]}{told(event, step)}")
        lines += ["", ", ".join(f"{name} {outcome}" for name, outcome in self.outcomes.items())]
        lines += [f"{name}: {shown(rows)}" for name, rows in self.final.items()]
        lines += [f"{note}." for note in self.notes]
        return "\n".join(lines)

    __repr__ = __str__

    @property
    def picture(self) -> Picture:
        """The timeline: a lane a session, who waits for whom, snapshots, errors."""
        from workbook.draw.timeline import timeline_picture

        return timeline_picture(self.data(), str(self))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return self.picture._repr_mimebundle_()


class ScheduleTimeout(SqlTimeout):
    """A schedule that came to no end: it was cancelled and cleaned up. `run` holds what was seen until then."""

    run: Run | None = None


def level_of(level: str, levels: Mapping[str, str]) -> str:
    """The level of sessions in words, and those that have one of their own (`levels`, session to level).

    >>> level_of("snapshot", {}), level_of("read committed", {"T1": "serializable", "T2": "read committed"})
    ('snapshot', 'read committed (T1 serializable)')
    >>> level_of("read committed", {"T1": "serializable", "T2": "serializable"})
    'serializable'
    """
    if len({*levels.values()}) == 1:
        return next(iter(levels.values()))
    own = ", ".join(f"{name} {one}" for name, one in levels.items() if one != level)
    return own if level not in levels.values() and own else f"{level} ({own})" if own else level


def told(event: Event, step: Step) -> str:
    """An event in a line.

    >>> told(Event(0, 0, "failed", sqlstate="40001", message="could not serialize access"), Step("T1", "COMMIT"))
    'COMMIT  ✗ 40001 could not serialize access'
    """
    sql = " ".join(step.sql.split())
    if event.kind == "waits":
        holders = f" for {' and '.join(event.waits_for)}" if event.waits_for else ""
        return f"{sql}  … waits{holders}{f', {event.waits_on}' if event.waits_on else ''}"
    if event.kind == "resumed":
        return f"{sql}  … goes on"
    if event.kind in ("failed", "skipped"):
        sign = "✗" if event.kind == "failed" else "not sent:"
        return f"{sql}  {sign} {event.sqlstate} {event.message}".replace("  ✗  ", "  ✗ ").rstrip()
    if event.rows is not None:
        return f"{sql}  → {shown(event.rows)}"
    if step.ends and event.answer and not bare(step.sql).upper().startswith(event.answer.split()[0]):
        return f"{sql}  → {event.answer}"
    if event.rowcount is not None and event.rowcount >= 0:
        return f"{sql}  → {event.rowcount} row{'' if event.rowcount == 1 else 's'}"
    return sql


def shown(rows: Iterable[tuple[Any, ...]]) -> str:
    """Rows in a line.

    >>> shown([(1, 10), (2, None)]), shown([]), shown([("a",)])
    ('(1, 10) (2, NULL)', 'no row', "('a')")
    """
    every = list(rows)
    parts = [f"({', '.join('NULL' if value is None else repr(plain(value)) for value in row)})" for row in every]
    more = f" and {len(parts) - ROWS_SHOWN} more" if len(parts) > ROWS_SHOWN else ""
    return " ".join(parts[:ROWS_SHOWN]) + more if parts else "no row"


def plain(value: Any) -> Any:
    """A value as JSON knows it; what it does not know, as text.

    >>> import decimal
    >>> plain(3), plain(decimal.Decimal("1.50")), plain([1, None])
    (3, '1.50', [1, None])
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"\\x{bytes(value).hex()}"
    return str(value)
