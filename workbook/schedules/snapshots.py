"""At which event a session takes its snapshot: what was committed before is what it sees.

    PostgreSQL   read committed         each statement                   when it begins, also where it then waits
                 repeatable read, up    the transaction                  at its first statement, not at BEGIN
    DuckDB       snapshot               the transaction                  when it first needs the catalog: a table, a
                                                                         function, an operator
    SQLite       deferred               the transaction                  at its first statement, once it need not wait
                 immediate              the transaction                  at BEGIN
    MariaDB      repeatable read        the transaction's plain reads    at the first; writes see the newest rows
                 read committed         each plain read

These are the engines' rules, as their manuals give them. They are held against the engines in
`tests/schedules/test_snapshots.py`, by what a commit just before and just after such an event lets a session read.
With a rollback journal SQLite keeps no old versions: there it is the moment from which nobody else can commit.

    >>> from workbook.schedules.run import Event
    >>> from workbook.schedules.schedule import Schedule, Step
    >>> steps = (Step("T1", "BEGIN"), Step("T1", "SELECT 1"), Step("T1", "SELECT 2"))
    >>> events = tuple(Event(at, at, "done") for at in range(3))
    >>> run = Run(Schedule("", "", steps), "postgresql", "18", "repeatable read", events, {}, {})
    >>> [(one.at, one.covers) for one in snapshots(run)]
    [(1, 'transaction')]

Sources: PostgreSQL's manual, 13.2; SQLite's "Isolation In SQLite"; MariaDB's knowledge base, "SET TRANSACTION". Left
out: what a locking statement at READ COMMITTED sees of a row for which it has waited (its newest version), and
exported snapshots. For DuckDB the text decides, without a parser: a FROM that names no table (a WITH, VALUES) counts
as one that does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from workbook.schedules.controls import bare
from workbook.schedules.run import Run
from workbook.schedules.transactions import NOT_RUN, Transaction, transactions

NONE_NEEDED = re.compile(
    r"\s*(BEGIN|START|COMMIT|END|ABORT|ROLLBACK|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION|SET|RESET|SHOW|LOCK|UNLOCK|"
    r"FETCH|MOVE|CLOSE|DISCARD|NOTIFY|LISTEN|UNLISTEN|PRAGMA|CHECKPOINT|DEALLOCATE)\b",
    re.I,
)
OF_A_TABLE = re.compile(r"\b(FROM|INTO|UPDATE|TABLE)\b", re.I)
"""What does not look at a table leaves SQLite and MariaDB without a snapshot."""
NO_TEXT = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.S)
NO_FUNCTION = (
    r"(?!(?:SELECT|VALUES|THEN|ELSE|WHEN|CASE|BY|AND|OR|NOT|IN|WHERE|LIMIT|ON|AS|EXISTS|CAST|COALESCE|DISTINCT)\b)"
)
OF_THE_CATALOG = re.compile(
    rf"\b(FROM|INTO|UPDATE|TABLE)\b|^\s*(SHOW|CALL|PRAGMA(?!.*=))\b|\b(I?LIKE|INTERVAL|CURRENT_\w+|USER)\b|[\[{{]|"
    rf"\b{NO_FUNCTION}[a-z_]\w*\s*\(|(\d|''|\)|\b{NO_FUNCTION}\w+)\s*(\|\||[-+*/%^])",
    re.I | re.S,
)
"""What DuckDB looks up: tables, functions, and operators that are functions. Constants and comparisons are none."""
AT_BEGIN = re.compile(r"\s*(BEGIN\s+(IMMEDIATE|EXCLUSIVE)|START\s+TRANSACTION\s+WITH\s+CONSISTENT\s+SNAPSHOT)\b", re.I)
DEFERRED = re.compile(r"\s*BEGIN\s+DEFERRED\b", re.I)
READS, LOCKS = (
    re.compile(r"\s*(SELECT|WITH|TABLE|VALUES)\b", re.I),
    re.compile(r"\bFOR\s+(UPDATE|SHARE)\b|\bLOCK\s+IN\b", re.I),
)
Covers = Literal["transaction", "statement"]
OF_MARIADB: Mapping[str, Covers] = {"repeatable read": "transaction", "read committed": "statement"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot: the `session`, the event `at` which it is taken, and whether it serves its `transaction` or its
    `statement` only."""

    session: str
    at: int
    covers: Covers


def snapshots(run: Run) -> tuple[Snapshot, ...]:
    """The snapshots of a run, in the order of their events."""
    found = [one for transaction in transactions(run) for one in _of_transaction(run, transaction)]
    return tuple(sorted(found, key=lambda one: one.at))


def _of_transaction(run: Run, transaction: Transaction) -> Iterator[Snapshot]:
    level = run.levels.get(transaction.session, run.level)
    covers = _covers(run.engine, level)
    for index in transaction.every:
        if covers is None or not _takes(run, level, index):
            continue
        events = [event for event in run.events if event.step == index]
        late = run.engine.startswith("sqlite") or events[-1].at == events[0].at
        yield Snapshot(transaction.session, (events[-1] if late else events[0]).at, covers)
        if covers == "transaction":
            return


def _covers(engine: str, level: str) -> Covers | None:
    """What a snapshot serves; None where there are no snapshots."""
    if engine == "postgresql":
        return "transaction" if level in ("repeatable read", "serializable") else "statement"
    if engine == "mariadb":
        return OF_MARIADB.get(level)
    return "transaction"


def _takes(run: Run, level: str, index: int) -> bool:
    """Whether a step takes a snapshot, unless its transaction has one."""
    sql, event = bare(run.schedule.steps[index].sql), run.end(index)
    if event is None or event.kind == "skipped" or event.sqlstate in NOT_RUN:
        return False
    if AT_BEGIN.match(sql):
        return run.engine != "postgresql"
    if run.engine.startswith("sqlite") and level == "immediate" and run.schedule.steps[index].begins:
        return not DEFERRED.match(sql)
    if run.engine == "duckdb":
        return OF_THE_CATALOG.search(NO_TEXT.sub("''", sql)) is not None
    if NONE_NEEDED.match(sql) or (run.engine != "postgresql" and not OF_A_TABLE.search(sql)):
        return False
    return run.engine != "mariadb" or (READS.match(sql) is not None and LOCKS.search(sql) is None)
