"""Fourteen scenarios of what can go wrong, and the matrix of what engines make of them, measured.

                                        G0   G1a  ...  P4   ...
    PostgreSQL 18.4  read committed     b    ok        bX         X  the anomaly is seen      b  a step waits
                     repeatable read    be   ok        be         e  an error aborts it       ok neither
    SQLite 3.54      deferred           b    ok        e5         †  it is absent, yet the outcome is not serializable

Each scenario is a `Schedule`: its text can be read as an example. Whether the anomaly that gives it its name is seen
is read off what the steps returned and what is left. That is no verdict on the outcome (G1c's steps under repeatable
read are write skew): the verdict, from `judge`, is beside it.

    >>> SCENARIOS["P4"].name, len(SCENARIOS), SCENARIOS["P4"].schedule.sessions
    ('lost update', 14, ('T1', 'T2'))

The names are Adya's (Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed
Transactions, 1999), P4 is of Berenson and others (A Critique of ANSI SQL Isolation Levels, 1995), the last scenario
of Fekete, O'Neil and O'Neil (A Read-Only Transaction Anomaly Under Snapshot Isolation, 2004). Left out: anomalies
that need more than two rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

from workbook.errors import Misuse
from workbook.schedules.run import ENGINES, Run
from workbook.schedules.schedule import Schedule
from workbook.schedules.stage import Stage
from workbook.schedules.verdict import SerialVerdict, judge

SETUP = "CREATE TABLE test (id int PRIMARY KEY, value int);\nINSERT INTO test VALUES (1, 10), (2, 20);"
ROWS: tuple[tuple[str, str], ...] = (
    ("postgresql", "read uncommitted"),
    ("postgresql", "read committed"),
    ("postgresql", "repeatable read"),
    ("postgresql", "serializable"),
    ("sqlite", "deferred"),
    ("sqlite", "immediate"),
    ("sqlite-rollback", "deferred"),
    ("sqlite-rollback", "immediate"),
    ("duckdb", "snapshot"),
    ("mariadb", "read uncommitted"),
    ("mariadb", "read committed"),
    ("mariadb", "repeatable read"),
    ("mariadb", "serializable"),
)
"""The engines and levels of the matrix, in its order."""


@dataclass(frozen=True)
class Scenario:
    """A schedule that gives an anomaly its chance.

    `key` is short ("G1a"), `name` says it in words ("aborted read"); `seen(run)` tells whether the anomaly was seen.
    """

    key: str
    name: str
    schedule: Schedule
    seen: Callable[[Run], bool]


@dataclass(frozen=True)
class Cell:
    """What one engine at one level makes of one scenario."""

    run: Run
    anomaly: bool
    verdict: SerialVerdict

    @property
    def text(self) -> str:
        """Such as `bX`, `be`, `e517`, `ok`, `ok†`."""
        errors = [event.sqlstate for event in self.run.failures]
        code = errors[0] if errors and self.run.engine.startswith("sqlite") else ""
        letters = ("b" if self.run.waits else "") + (f"e{code}" if errors else "") + ("X" if self.anomaly else "")
        return (letters or "ok") + ("†" if not self.anomaly and not self.verdict.serializable else "")


@dataclass(frozen=True)
class Matrix:
    """Every scenario on every engine and level: (engine, level) to key to cell."""

    cells: Mapping[tuple[str, str], Mapping[str, Cell]]

    def texts(self) -> dict[tuple[str, str], dict[str, str]]:
        """The cells as text."""
        return {row: {key: cell.text for key, cell in cells.items()} for row, cells in self.cells.items()}

    def _keys(self) -> tuple[str, ...]:
        return tuple(next(iter(self.cells.values()), {}))

    def data(self) -> dict[str, Any]:
        """Plain data: `columns` (key and name), `rows` (engine, version, level, and for each key `text`, `anomaly`,
        `waits`, `errors`, `verdict`)."""
        rows = [
            {
                "engine": ENGINES[engine],
                "version": next(iter(cells.values())).run.version,
                "level": level,
                "cells": {
                    key: {
                        "text": cell.text,
                        "anomaly": cell.anomaly,
                        "waits": bool(cell.run.waits),
                        "errors": [event.sqlstate for event in cell.run.failures],
                        "verdict": cell.verdict.text,
                    }
                    for key, cell in cells.items()
                },
            }
            for (engine, level), cells in self.cells.items()
        ]
        return {"columns": [{"key": key, "name": SCENARIOS[key].name} for key in self._keys()], "rows": rows}

    def __str__(self) -> str:
        lines = [["", "", *self._keys()]]
        for (engine, level), cells in self.cells.items():
            name, _, kind = ENGINES[engine].partition(" ")
            version = next(iter(cells.values())).run.version
            lines.append([f"{name} {version} {kind}".rstrip(), level, *(cell.text for cell in cells.values())])
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        pairs = (zip(line, widths, strict=True) for line in lines)
        return "\n".join("  ".join(text.ljust(width) for text, width in pair).rstrip() for pair in pairs)


def measure(scenario: Scenario, stage: Stage, level: str = "") -> Cell:
    """Run a scenario on a stage at a level ('' for the engine's default), and judge what came of it."""
    run = stage.run(scenario.schedule, level)
    return Cell(run, scenario.seen(run), judge(run, stage))


def matrix(rows: Sequence[tuple[str, str]] = (), keys: Sequence[str] = ()) -> Matrix:
    """Every scenario on every engine and level, or on these `rows` and for these `keys`. Without `rows`, MariaDB is
    left out where it cannot be had. Raises `Misuse` for an unknown key."""
    if unknown := [key for key in keys if key not in SCENARIOS]:
        raise Misuse(f"There is no scenario {unknown[0]!r}.", next=f"use {', '.join(SCENARIOS)}")
    wanted = list(rows) or list(_here())
    cells: dict[tuple[str, str], dict[str, Cell]] = {}
    for engine in dict.fromkeys(engine for engine, _ in wanted):
        with closing(Stage(engine)) as stage:
            for row in wanted:
                if row[0] == engine:
                    cells[row] = {key: measure(SCENARIOS[key], stage, row[1]) for key in keys or SCENARIOS}
    return Matrix({row: cells[row] for row in wanted})


def _here() -> Iterator[tuple[str, str]]:
    from workbook.schedules.mariadb_server import installed

    return (row for row in ROWS if row[0] != "mariadb" or installed())


def _read(run: Run, session: str, number: int = 0) -> dict[Any, Any]:
    """What the session's reading step of that number returned, id to value; empty where it returned nothing."""
    names = [step.name for step in run.schedule.steps if step.session == session and step.sql.startswith("SELECT")]
    event = run.end(names[number])
    return dict(event.rows) if event and event.kind == "done" and event.rows else {}


def _all(run: Run, session: str) -> list[int]:
    """Every value that the session has read, in its order."""
    reads = sum(step.session == session and step.sql.startswith("SELECT") for step in run.schedule.steps)
    return [value for number in range(reads) for value in _read(run, session, number).values()]


def _committed(run: Run, *sessions: str) -> bool:
    """Whether the sessions committed, and no step of theirs has failed."""
    failed = {run.step(event).session for event in run.failures}
    return all(run.outcomes[name] == "committed" and name not in failed for name in sessions)


def _left(run: Run) -> dict[Any, Any]:
    return dict(run.final["test"])


def _vanishes(run: Run) -> bool:
    """Whether T3 sees a write of T2 and, later, what T1 had written in its place."""
    seen = _all(run, "T3")
    later = seen[min((seen.index(value) for value in (12, 18) if value in seen), default=len(seen)) :]
    return any(value in (11, 19) for value in later)


CODES = {"PMP-w": "PMP", "Gs": "G-single", "Gs-p": "G-single", "Gs-w": "G-single", "G2i": "G2-item", "Fekete": "G2"}
"""The code of the anomaly, where a column's short name is another."""


def _scenario(key: str, name: str, seen: Callable[[Run], bool], steps: str) -> Scenario:
    read = Schedule.read(dedent(steps))
    return Scenario(key, name, Schedule(f"{CODES.get(key, key)} {name}", SETUP, read.steps), seen)


_EVERY = (
    _scenario(
        "G0",
        "dirty write",
        lambda run: _committed(run, "T1", "T2") and _left(run) not in ({1: 11, 2: 21}, {1: 12, 2: 22}),
        """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET value = 12 WHERE id = 1
        T1: UPDATE test SET value = 21 WHERE id = 2
        T1: COMMIT
        T2: UPDATE test SET value = 22 WHERE id = 2
        T2: COMMIT
        """,
    ),
    _scenario(
        "G1a",
        "aborted read",
        lambda run: 101 in _all(run, "T2"),
        """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = 101 WHERE id = 1
        T2: SELECT id, value FROM test
        T1: ROLLBACK
        T2: SELECT id, value FROM test
        T2: COMMIT
        """,
    ),
    _scenario(
        "G1b",
        "intermediate read",
        lambda run: 101 in _all(run, "T2"),
        """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = 101 WHERE id = 1
        T2: SELECT id, value FROM test
        T1: UPDATE test SET value = 11 WHERE id = 1
        T1: COMMIT
        T2: SELECT id, value FROM test
        T2: COMMIT
        """,
    ),
    _scenario(
        "G1c",
        "circular information flow",
        lambda run: _read(run, "T1") == {2: 22} and _read(run, "T2") == {1: 11},
        """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET value = 22 WHERE id = 2
        T1: SELECT id, value FROM test WHERE id = 2
        T2: SELECT id, value FROM test WHERE id = 1
        T1: COMMIT
        T2: COMMIT
        """,
    ),
    _scenario(
        "OTV",
        "observed transaction vanishes",
        _vanishes,
        """
        T1: BEGIN
        T2: BEGIN
        T3: BEGIN
        T1: UPDATE test SET value = 11 WHERE id = 1
        T1: UPDATE test SET value = 19 WHERE id = 2
        T2: UPDATE test SET value = 12 WHERE id = 1
        T1: COMMIT
        T3: SELECT id, value FROM test WHERE id = 1
        T2: UPDATE test SET value = 18 WHERE id = 2
        T3: SELECT id, value FROM test WHERE id = 2
        T2: COMMIT
        T3: SELECT id, value FROM test WHERE id = 2
        T3: SELECT id, value FROM test WHERE id = 1
        T3: COMMIT
        """,
    ),
    _scenario(
        "PMP",
        "predicate-many-preceders",
        lambda run: 30 in _read(run, "T1", 1).values(),
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT id, value FROM test WHERE value = 30
        T2: INSERT INTO test VALUES (3, 30)
        T2: COMMIT
        T1: SELECT id, value FROM test WHERE value % 3 = 0
        T1: COMMIT
        """,
    ),
    _scenario(
        "PMP-w",
        "predicate-many-preceders, write",
        lambda run: _committed(run, "T2") and 20 in _read(run, "T2", 1).values(),
        """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = value + 10
        T2: SELECT id, value FROM test WHERE value = 20
        T2: DELETE FROM test WHERE value = 20
        T1: COMMIT
        T2: SELECT id, value FROM test WHERE value = 20
        T2: COMMIT
        """,
    ),
    _scenario(
        "P4",
        "lost update",
        lambda run: _committed(run, "T1", "T2") and _read(run, "T1") == _read(run, "T2") == {1: 10},
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT id, value FROM test WHERE id = 1
        T2: SELECT id, value FROM test WHERE id = 1
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET value = 11 WHERE id = 1
        T1: COMMIT
        T2: COMMIT
        """,
    ),
    _scenario(
        "Gs",
        "read skew",
        lambda run: _read(run, "T1") == {1: 10} and _read(run, "T1", 1) == {2: 18},
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT id, value FROM test WHERE id = 1
        T2: SELECT id, value FROM test WHERE id = 1
        T2: SELECT id, value FROM test WHERE id = 2
        T2: UPDATE test SET value = 12 WHERE id = 1
        T2: UPDATE test SET value = 18 WHERE id = 2
        T2: COMMIT
        T1: SELECT id, value FROM test WHERE id = 2
        T1: COMMIT
        """,
    ),
    _scenario(
        "Gs-p",
        "read skew, predicate",
        lambda run: _read(run, "T1", 1) == {1: 12},
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT id, value FROM test WHERE value % 5 = 0
        T2: UPDATE test SET value = 12 WHERE value = 10
        T2: COMMIT
        T1: SELECT id, value FROM test WHERE value % 3 = 0
        T1: COMMIT
        """,
    ),
    _scenario(
        "Gs-w",
        "read skew, write",
        lambda run: _committed(run, "T1", "T2") and _read(run, "T1") == {1: 10} and len(_read(run, "T2")) == 2,
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT id, value FROM test WHERE id = 1
        T2: SELECT id, value FROM test
        T2: UPDATE test SET value = 12 WHERE id = 1
        T2: UPDATE test SET value = 18 WHERE id = 2
        T2: COMMIT
        T1: DELETE FROM test WHERE value = 20
        T1: COMMIT
        """,
    ),
    _scenario(
        "G2i",
        "write skew",
        lambda run: _committed(run, "T1", "T2") and _read(run, "T1") == _read(run, "T2") == {1: 10, 2: 20},
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT id, value FROM test WHERE id IN (1, 2)
        T2: SELECT id, value FROM test WHERE id IN (1, 2)
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET value = 21 WHERE id = 2
        T1: COMMIT
        T2: COMMIT
        """,
    ),
    _scenario(
        "G2",
        "anti-dependency cycle",
        lambda run: _committed(run, "T1", "T2") and _read(run, "T1") == _read(run, "T2") == {},
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT id, value FROM test WHERE value % 3 = 0
        T2: SELECT id, value FROM test WHERE value % 3 = 0
        T1: INSERT INTO test VALUES (3, 30)
        T2: INSERT INTO test VALUES (4, 42)
        T1: COMMIT
        T2: COMMIT
        """,
    ),
    _scenario(
        "Fekete",
        "anti-dependency cycle of two edges",
        lambda run: (
            _committed(run, "T1", "T2", "T3") and _read(run, "T1")[2] == 20 and _read(run, "T3") == {1: 10, 2: 25}
        ),
        """
        T1: BEGIN
        T1: SELECT id, value FROM test
        T2: BEGIN
        T2: UPDATE test SET value = value + 5 WHERE id = 2
        T2: COMMIT
        T3: BEGIN
        T3: SELECT id, value FROM test
        T3: COMMIT
        T1: UPDATE test SET value = 0 WHERE id = 1
        T1: COMMIT
        """,
    ),
)
SCENARIOS: Mapping[str, Scenario] = {scenario.key: scenario for scenario in _EVERY}
"""The fourteen, by key."""
