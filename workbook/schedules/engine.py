"""What an engine must offer so that schedules run on it: sessions, their answers, and who waits for whom.

    prepare ── tables as the setup leaves them; one connection a session, at its level
       send ──▶ answers ──▶ Answer          a statement begins; what came back, as soon as it came
                waiting ──▶ Wait            of those without an answer: who is seen to wait, for whom, on what
      leave ── every transaction ended, nothing of the sessions left
     tables ── what all of it has left

`Stage` plays a schedule by these few calls and knows no engine. PostgreSQL answers them from one thread with
connections that do not block (`postgres.py`); for the others each session has a thread of its own (`threads.py`).

    >>> Wait(("T1",), "row id=1 of test").on
    'row id=1 of test'
    >>> cycle({"T1": Wait(("T2",)), "T2": Wait(("T1",))}), cycle({"T2": Wait(("T1",))})
    (True, False)

Left out: what the steps mean.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from workbook.errors import TooManyRows, Unavailable
from workbook.schedules.schedule import Schedule

ROWS_MAX = 10_000
"""More rows of one step are not taken: a query without an end would fill the memory."""
TOO_MANY = f"the step returns more than {ROWS_MAX:,} rows, and was stopped"
VALUE_MAX = 100_000
"""Longer texts are not compared with those of other orders, nor drawn."""
State = Literal["idle", "open", "failed", "lost"]
Rows = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """A step that was seen to wait: for which sessions, on what."""

    for_: tuple[str, ...]
    on: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: rows or an error, and the `state` of the session's transaction after it. `cycle` holds the
    waits of a deadlock, where the engine names them when it breaks it."""

    state: State
    columns: tuple[str, ...] = ()
    rows: Rows | None = None
    rowcount: int | None = None
    failed: bool = False
    sqlstate: str = ""
    message: str = ""
    notices: tuple[str, ...] = ()
    tag: str = ""
    cycle: Mapping[str, Wait] = field(default_factory=dict)


class ScheduleBroken(Unavailable):
    """The server went while a schedule ran. `run` holds what was seen until then."""

    run: Any = None


class Engine(ABC):
    """Sessions on one engine. A session is known by its name in the schedule."""

    name: ClassVar[str]
    levels: ClassVar[tuple[str, ...]]
    """The isolation levels that it knows; the first is its default."""
    version: str = ""

    @abstractmethod
    def prepare(self, schedule: Schedule, levels: Mapping[str, str], timeout_s: float) -> None:
        """Make the tables as the setup leaves them, and a connection for each session at its level. Raises `SqlError`
        where the setup is refused, `Unavailable` where the engine cannot be had."""

    @abstractmethod
    def send(self, session: str, sql: str) -> None:
        """Begin a statement. The session has none that runs."""

    @abstractmethod
    def answers(self, timeout_s: float) -> list[tuple[str, Answer]]:
        """What came since the last call; waits up to `timeout_s` seconds for the first."""

    @abstractmethod
    def waiting(self, sessions: Iterable[str]) -> dict[str, Wait]:
        """Those of the sessions, none of which has answered, that are seen to wait."""

    @abstractmethod
    def leave(self) -> None:
        """End every transaction and forget what the sessions have set. Raises `ScheduleBroken` where the server is
        gone."""

    @abstractmethod
    def tables(self, schedule: Schedule) -> tuple[dict[str, Rows], dict[str, tuple[str, ...]]]:
        """Every table's rows, sorted, and its columns' names; then the teardown is run. Raises `TooManyRows`."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop whatever runs, from outside."""

    def abandon(self) -> None:
        """End what an interruption has left: whoever waits here may have missed an answer. It may itself be interrupted,
        and is then called again. Raises `ScheduleBroken`."""
        self.cancel()
        self.leave()

    @abstractmethod
    def close(self) -> None:
        """Close every connection and remove the database."""


def longest(rows: Iterable[Iterable[Any]]) -> int:
    """The length of the longest value.

    >>> longest([(1, "abc"), (2, None)]), longest([])
    (3, 0)
    """
    return max((len(value) for row in rows for value in row if hasattr(value, "__len__")), default=0)


def of_table(name: str, rows: Iterable[tuple[Any, ...]]) -> Rows:
    """A table's rows, sorted. Raises `TooManyRows` where there are more than `ROWS_MAX`, or values above `VALUE_MAX`."""
    taken = in_order(itertools.islice(rows, ROWS_MAX + 1))
    if (length := longest(taken)) > VALUE_MAX:
        raise TooManyRows(
            f"A value in the table {name} is {length:,} characters long, too long to compare what schedules leave.",
            next="make it shorter",
        )
    if len(taken) > ROWS_MAX:
        raise TooManyRows(
            f"The table {name} has more than {ROWS_MAX:,} rows, too many to compare what schedules leave.",
            next="make it smaller",
        )
    return taken


def cycle(waits: Mapping[str, Wait]) -> bool:
    """Whether the waits hold a circle: a deadlock, which the engine is about to break."""
    for start in waits:
        reached, ahead = set(), set(waits[start].for_)
        while ahead:
            session = ahead.pop()
            reached.add(session)
            ahead |= set(waits[session].for_ if session in waits else ()) - reached
        if start in reached:
            return True
    return False


def in_order(rows: Iterable[tuple[Any, ...]]) -> Rows:
    """The rows, sorted; NULL stands last, and what cannot be compared is ordered as text.

    >>> in_order([(2, None), (2, 1), (1, "a")])
    ((1, 'a'), (2, 1), (2, None))
    """
    every = list(rows)
    try:
        return tuple(sorted(every, key=lambda row: [(value is None, value) for value in row]))
    except TypeError:
        return tuple(sorted(every, key=lambda row: [(value is None, str(value)) for value in row]))
