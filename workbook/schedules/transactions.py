"""The transactions of a run: which steps each one holds, and what became of it.

    session T1:  BEGIN  r  w  COMMIT   BEGIN  r  ROLLBACK   w
                 └──── T1 (1st) ────┘  └── T1 (2nd) ──┘     └ T1 (3rd), by itself

A session is a connection, and may run one transaction after the other: a retry does. A statement outside of BEGIN and
COMMIT is a transaction of its own. A session with a single transaction lends it its name.

What a failed statement leaves differs by engine: PostgreSQL and DuckDB give the whole transaction up, SQLite only the
statement, MariaDB only the statement, unless it was the victim of a deadlock.

A step is followed statement by statement: it may hold a whole transaction. COMMIT AND CHAIN ends one and begins the
next. On SQLite SAVEPOINT outside of BEGIN begins one, and RELEASE of the outermost commits it. Where a step holds parts
of two transactions, or fails halfway, the engine tells of the whole step only: such a transaction is `unclear`, and no
verdict is given on it.

    >>> from workbook.schedules.run import Event, Run
    >>> from workbook.schedules.schedule import Schedule, Step
    >>> steps = (Step("T1", "BEGIN"), Step("T1", "SELECT 1"), Step("T1", "COMMIT"), Step("T2", "SELECT 2"))
    >>> events = tuple(Event(at, at, "done") for at in range(4))
    >>> run = Run(Schedule("", "", steps), "postgresql", "18", "", events, {}, {})
    >>> [(one.name, one.steps, one.outcome) for one in transactions(run)]
    [('T1', (1,), 'committed'), ('T2', (3,), 'committed')]

Source: PostgreSQL's manual, 13.2 and 53.2.2.1; SQLite's "Transaction", section "Response To Errors Within A
Transaction"; MariaDB's knowledge base, "InnoDB Lock Modes". Left out: two-phase commit, whose transactions stay open; what
ends a transaction on MariaDB without saying so (CREATE TABLE, SET autocommit).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from workbook.schedules.controls import Kind, chains, kind, leaves_open, savepoint, statements
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

SYNTAX = {"postgresql": "42601", "duckdb": "Parser"}
"""The error by which the engine refuses a text of several statements before it does any of them."""
PARTS = "holds parts of two transactions, which cannot be told apart"
PARTLY = "failed, and which of its statements were done cannot be told"
CHAINED = "A transaction was begun by the end of one that was not committed, and cannot be run again without it"
ENDED_BY_BEGIN = "has ended the transaction before it, which says no COMMIT"
HIDDEN = "stands in a comment that MariaDB runs"


@dataclass(frozen=True)
class Transaction:
    """A transaction of a run.

    `name` is its session's, or `T1 (2nd)` where the session ran several; `steps` are the indexes of its statements,
    without BEGIN and its end; `began` and `ended` the positions of the events of its first step and of its end (None
    where it has none); `outcome` is `committed`, `open`, `aborted` by something, or `unclear`.
    """

    name: str
    session: str
    steps: tuple[int, ...]
    outcome: str
    began: int
    ended: int | None
    every: tuple[int, ...] = ()
    """All its steps, BEGIN and its end included."""
    unclear: str = ""
    """Why it cannot be told from another one, in a sentence without its end; '' where it can."""

    @property
    def committed(self) -> bool:
        return self.outcome == "committed"


@dataclass
class _Going:
    """A transaction as it goes on."""

    began: int
    steps: list[int] = field(default_factory=list)
    every: list[int] = field(default_factory=list)
    failed: str = ""
    saved: list[str] = field(default_factory=list)
    chained: bool = False
    unclear: str = ""

    def take(self, index: int) -> None:
        """Take a step in; of a step of several statements once."""
        if index not in self.every:
            self.every.append(index)


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
    followed = _Session(run, session)
    for index, step in enumerate(run.schedule.steps):
        event = run.end(index)
        if step.session == session and event is not None and event.kind != "skipped":
            followed.step(index, event)
    followed.close("open", None)
    return followed.done


class _Session:
    """Follows one session from statement to statement."""

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name, self.engine = run, name, run.engine
        self.done: list[Transaction] = []
        self.going: _Going | None = None

    def step(self, index: int, event: Event) -> None:
        """What a step that has ended makes of the session's transaction."""
        sql = self.run.schedule.steps[index].sql
        one_by_one = self.engine == "mariadb"  # several are refused there as they stand
        parts = ([sql.strip()] if one_by_one else statements(sql)) or [""]
        began = next(one.at for one in self.run.events if one.step == index)
        if len(parts) == 1:
            self._one(index, event, began, parts[0])
        elif event.kind == "failed":
            self._failed(index, event, began, parts)
        else:
            self._several(index, event, began, parts)

    def close(self, outcome: str, ended: int | None) -> None:
        """End the transaction that goes on, where there is one."""
        going, self.going = self.going, None
        if going is not None:
            if going.chained and outcome == "committed":
                going.unclear = CHAINED
            steps, every = tuple(going.steps), tuple(going.every)
            outcome = outcome if not going.unclear else "unclear"
            self.done.append(
                Transaction(self.name, self.name, steps, outcome, going.began, ended, every, going.unclear)
            )

    def _one(self, index: int, event: Event, began: int, sql: str) -> None:
        """What one statement makes of it."""
        what, (save, name) = kind(sql), savepoint(sql)
        if self.engine == "mariadb" and re.match(r"\s*/\*M?!", sql):
            self._unclear(index, event, began, HIDDEN)
        elif what == "begin":
            self._begin(index, event, began)
        elif what != "plain":
            self._end(index, event, began, sql)
        elif self.going is None:
            self.going = _Going(began, [index], [index])
            if save == "save" and event.kind == "done" and self.engine.startswith("sqlite"):
                self.going.steps, self.going.saved = [], [name]  # there it begins a transaction
            elif save == "back" and event.kind == "done" and self.engine in DOOMED_BY_ANY:
                self._unclear(index, event, began, PARTLY)  # one goes on that had seemed to be over
            else:
                self.close("committed" if event.kind == "done" else f"aborted {event.sqlstate}".rstrip(), event.at)
        else:
            self._plain(index, event, save, name)

    def _begin(self, index: int, event: Event, began: int) -> None:
        if self.going is None:
            self.going = _Going(began, every=[index]) if event.kind == "done" else None
        elif self.engine == "mariadb" and event.kind == "done":
            self._unclear(index, event, began, ENDED_BY_BEGIN)
            self.going = _Going(began, every=[index])
        else:
            self.going.take(index)

    def _end(self, index: int, event: Event, began: int, sql: str) -> None:
        outcome = ""
        if self.going is not None:
            self.going.take(index)
            outcome = _outcome(self.run, event, self.going, kind(sql))
            if not outcome:
                return
            self.close(outcome, event.at)
        if event.kind == "done" and chains(sql):
            self.going = _Going(event.at, chained=outcome not in ("", "committed"))
            self.going.every = [] if outcome else [index]

    def _plain(self, index: int, event: Event, save: str, name: str) -> None:
        going = self.going
        assert going is not None
        going.take(index)
        if fresh := index not in going.steps:
            going.steps.append(index)
        if event.kind == "done" and save == "back":
            going.failed = ""
        if event.kind == "done" and going.saved and self._released(going, save, name):
            if fresh:
                going.steps.remove(index)
            self.close("committed", event.at)
        if event.kind == "failed":
            if event.sqlstate not in SPARED.get(self.engine, ()):
                going.failed = going.failed or event.sqlstate or "by an error"
            if event.sqlstate in ENDED_BY.get(self.engine, ()):
                self.close(f"aborted {event.sqlstate}", event.at)

    def _released(self, going: _Going, save: str, name: str) -> bool:
        """Keep the savepoints of a transaction that one of them began; whether the outermost was released."""
        if save == "save":
            going.saved.append(name)
        elif save and name in going.saved:
            at = len(going.saved) - 1 - going.saved[::-1].index(name)
            del going.saved[at + (save == "back") :]
        return not going.saved

    def _several(self, index: int, event: Event, began: int, parts: list[str]) -> None:
        """A step of several statements, all of which were done. On PostgreSQL they are one transaction, if nothing in
        them ends it; elsewhere each that stands outside of one is its own."""
        waited = any(one.step == index and one.kind == "waits" for one in self.run.events)
        implicit = self.going is None and kind(parts[0]) == "plain" and not self._saves(parts[0])
        if implicit and self.engine != "postgresql":
            controlled = any(kind(one) != "plain" or self._saves(one) for one in parts)
            if controlled or waited:
                self._unclear(index, event, began, PARTS)
            else:  # nobody came between them
                self.going = _Going(began, [index], [index])
                self.close("committed", event.at)
            return
        if implicit:
            self.going = _Going(began)
        before = len(self.done)
        for part in parts:
            if len(self.done) > before or (self.going is None and kind(part) not in ("begin", "plain")):
                return self._unclear(index, event, began, PARTS)
            self._one(index, event, began, part)
        if implicit and not any(kind(one) == "begin" for one in parts):
            self.close("committed", event.at)

    def _saves(self, sql: str) -> bool:
        return self.engine.startswith("sqlite") and savepoint(sql)[0] == "save"

    def _failed(self, index: int, event: Event, began: int, parts: list[str]) -> None:
        """A step of several statements, one of which failed: those before it may have been done."""
        kinds = [kind(one) for one in parts]
        controlled = any(one != "plain" for one in kinds) or any(map(self._saves, parts))
        spared = event.sqlstate in SPARED.get(self.engine, ())
        whole = event.sqlstate == SYNTAX.get(self.engine)  # nothing of it was done
        ended = [place for place, one in enumerate(kinds) if one not in ("begin", "plain")]
        inside = self.going is not None
        at_most_its_end = ended in ([], [len(parts) - 1])
        of_one = self.engine == "duckdb" and not spared and (inside or kinds[0] == "begin")
        if whole or (inside and not controlled and not (self.engine.startswith("sqlite") and told_nothing(event))):
            self._one(index, event, began, "")
        elif at_most_its_end and (self.engine == "postgresql" or of_one):
            self._aborted(index, event, began)
        else:
            self._unclear(index, event, began, PARTLY)

    def _aborted(self, index: int, event: Event, began: int) -> None:
        self.going = self.going or _Going(began)
        self._plain(index, event, "", "")
        self.close(f"aborted {event.sqlstate}".rstrip(), event.at)

    def _unclear(self, index: int, event: Event, began: int, why: str) -> None:
        """Nobody can tell what belongs to which transaction: say so, and go on after the step."""
        step = self.run.schedule.steps[index]
        self.going = self.going or _Going(began)
        self.going.take(index)
        self.going.unclear = f"{step.name} ({' '.join(step.sql.split())}) {why}"
        self.close("unclear", event.at)
        if leaves_open(step.sql):
            self.going = _Going(began, every=[index])


def _outcome(run: Run, event: Event, going: _Going, asks: Kind) -> str:
    """What the end of a transaction came to; '' where it goes on (SQLite's COMMIT may be refused, and tried again)."""
    doomed = run.engine in DOOMED_BY_ANY and going.failed
    if event.kind == "failed":
        return f"aborted {going.failed or event.sqlstate}".rstrip() if run.engine in DOOMED_BY_ANY else ""
    if asks == "prepare":
        return "prepared"
    if asks == "rollback":
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
