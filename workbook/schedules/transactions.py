"""The transactions of a run: which steps each one holds, and what became of it.

    session T1:  BEGIN  r  w  COMMIT   BEGIN  r  ROLLBACK   w
                 └──── T1 (1st) ────┘  └── T1 (2nd) ──┘     └ T1 (3rd), by itself

A session is a connection, and may run one transaction after the other: a retry does. A statement outside of BEGIN and
COMMIT is a transaction of its own. A session with a single transaction lends it its name.

What a failed statement leaves differs by engine: PostgreSQL and DuckDB give the whole transaction up, SQLite only the
statement, MariaDB only the statement, unless it was the victim of a deadlock.

    >>> from workbook.schedules.run import Event, Run
    >>> from workbook.schedules.schedule import Schedule, Step
    >>> steps = (Step("T1", "BEGIN"), Step("T1", "SELECT 1"), Step("T1", "COMMIT"), Step("T2", "SELECT 2"))
    >>> events = tuple(Event(at, at, "done") for at in range(4))
    >>> run = Run(Schedule("", "", steps), "postgresql", "18", "", events, {}, {})
    >>> [(one.name, one.steps, one.outcome) for one in transactions(run)]
    [('T1', (1,), 'committed'), ('T2', (3,), 'committed')]

Source: PostgreSQL's manual, 13.2 and 53.2.2.1; SQLite's "Transaction", section "Response To Errors Within A
Transaction"; MariaDB's knowledge base, "InnoDB Lock Modes". Left out: two-phase commit, whose transactions stay open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from workbook.schedules.run import Event, Run

DOOMED_BY_ANY = ("postgresql", "duckdb")
"""Engines where a failed statement gives the transaction up."""
SPARED = {"duckdb": ("Parser", "Binder", "Catalog")}
"""Errors after which it goes on even so: the statement was not begun."""
ENDED_BY = {"mariadb": ("40001",)}
"""SQLSTATEs after which the engine itself has rolled the transaction back."""
OF_CONCURRENCY = ("40001", "40P01", "55P03", "5", "6", "261", "517", "HY000")
"""SQLSTATEs (SQLite: result codes) of a statement that failed because of others: run alone, it would not."""
NOT_RUN = ("25P02",)
"""SQLSTATEs of a statement that was refused because an earlier one of its transaction had failed."""

BACK = re.compile(r"\s*ROLLBACK\s+((WORK|TRANSACTION)\s+)?TO\b", re.I)
"""A return to a savepoint, after which a doomed transaction is usable again."""


@dataclass(frozen=True)
class Transaction:
    """A transaction of a run.

    `name` is its session's, or `T1 (2nd)` where the session ran several; `steps` are the indexes of its statements,
    without BEGIN and its end; `began` and `ended` the positions of the events of its first step and of its end (None
    where it has none); `outcome` is `committed`, `open`, or `aborted` by something.
    """

    name: str
    session: str
    steps: tuple[int, ...]
    outcome: str
    began: int
    ended: int | None
    every: tuple[int, ...] = ()
    """All its steps, BEGIN and its end included."""

    @property
    def committed(self) -> bool:
        return self.outcome == "committed"


@dataclass
class _Going:
    """A transaction as it goes on."""

    explicit: bool
    began: int
    steps: list[int] = field(default_factory=list)
    every: list[int] = field(default_factory=list)
    failed: str = ""


def told_nothing(event: Event | None) -> bool:
    """Whether a step has left nothing and told nothing: it never ended, failed because of others, or was not run."""
    if event is None or event.kind == "skipped":
        return True
    return event.kind == "failed" and event.sqlstate in (*OF_CONCURRENCY, *NOT_RUN)


def not_begun(event: Event) -> bool:
    """Whether a failed statement was refused as it stands, whatever is in the tables: it has looked at no row."""
    return event.sqlstate in ("Parser", "Binder", "Catalog", "1") or event.sqlstate.startswith("42")


def transactions(run: Run) -> tuple[Transaction, ...]:
    """The transactions of a run, in the order in which they began."""
    found: list[Transaction] = []
    for session in run.schedule.sessions:
        found += _numbered(_of_session(run, session))
    return tuple(sorted(found, key=lambda one: one.began))


def _of_session(run: Run, session: str) -> list[Transaction]:
    done: list[Transaction] = []
    going: _Going | None = None

    def close(outcome: str, ended: int | None) -> None:
        nonlocal going
        if going is not None:
            steps, every = tuple(going.steps), tuple(going.every)
            done.append(Transaction(session, session, steps, outcome, going.began, ended, every))
        going = None

    for index, step in enumerate(run.schedule.steps):
        event = run.end(index)
        if step.session != session or event is None or event.kind == "skipped":
            continue
        began = next(one.at for one in run.events if one.step == index)
        if step.begins:
            if event.kind == "done" and going is None:
                going = _Going(True, began, every=[index])
            elif going is not None:
                going.every.append(index)
        elif step.ends:
            if going is not None:
                going.every.append(index)
                outcome = _outcome(run, event, going)
                if outcome:
                    close(outcome, event.at)
        elif going is None:
            going = _Going(False, began, [index], [index])
            close("committed" if event.kind == "done" else f"aborted {event.sqlstate}".rstrip(), event.at)
        else:
            going.steps.append(index)
            going.every.append(index)
            if event.kind == "done" and BACK.match(step.sql):
                going.failed = ""
            if event.kind == "failed":
                if event.sqlstate not in SPARED.get(run.engine, ()):
                    going.failed = going.failed or event.sqlstate or "by an error"
                if event.sqlstate in ENDED_BY.get(run.engine, ()):
                    close(f"aborted {event.sqlstate}", event.at)
    close("open", None)
    return done


def _outcome(run: Run, event: Event, going: _Going) -> str:
    """What the end of a transaction came to; '' where it goes on (SQLite's COMMIT may be refused, and tried again)."""
    sql = run.step(event).sql.lstrip().upper()
    doomed = run.engine in DOOMED_BY_ANY and going.failed
    if event.kind == "failed":
        return f"aborted {going.failed or event.sqlstate}".rstrip() if run.engine in DOOMED_BY_ANY else ""
    if sql.startswith("PREPARE"):
        return "prepared"
    if sql.startswith(("ROLLBACK", "ABORT")):
        return f"aborted {going.failed}" if doomed else "aborted by ROLLBACK"
    return f"aborted {going.failed}" if doomed or event.answer.upper() == "ROLLBACK" else "committed"


def _numbered(found: list[Transaction]) -> list[Transaction]:
    if len(found) < 2:
        return found
    return [replace(one, name=f"{one.name} ({ordinal(number)})") for number, one in enumerate(found, 1)]


def ordinal(number: int) -> str:
    """A number as a word of order.

    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
