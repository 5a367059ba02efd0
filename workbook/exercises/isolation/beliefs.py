"""What two sessions come to by PostgreSQL's rules, and by rules that people believe in.

    ana: begin   ben: begin   ana: read 1   ben: set 1 11   ben: commit   ana: read 1

    read committed     10, 11    a picture for each statement
    repeatable read    10, 10    one picture, taken at the first statement (believed: at BEGIN)
    serializable       10, 10    the same; and of two that each read what the other one wrote, the later is refused

A learner's rule that is wrong is wrong as a belief is: `played` plays a schedule under a belief, and `levels` names the one that answers as
the learner does. Under no belief it is a model of PostgreSQL 18 for the few actions below, and a test holds it against the engine, case
by case; the judge never asks it what is right.

    >>> schedule = steps("ana", "begin; read 1; read 1; commit")
    >>> schedule[1:1] = steps("ben", "begin; set 1 11")
    >>> schedule
    [('ana', 'begin'), ('ben', 'begin'), ('ben', 'set', 1, 11), ('ana', 'read', 1), ('ana', 'read', 1), ('ana', 'commit')]
    >>> played(schedule, "read uncommitted").seen["ana"], played(schedule, "read uncommitted", "dirty").seen["ana"]
    ([10, 10], [11, 11])

Sources: PostgreSQL's manual, 13.2 and 13.3; Cahill, Röhm, Fekete, Serializable Isolation for Snapshot Databases, 2008, for the two edges
that SERIALIZABLE looks for. Left out: three sessions, deadlocks, rows that are inserted twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Step = tuple[Any, ...]
"""A session's name, what it does, and the numbers that go with it: `("ana", "set", 1, 11)`."""
START = {1: 10, 2: 20}
LOCKS = {"set": "X", "add": "X", "delete": "X", "lock": "X", "share": "S"}
TELLS = ("read", "count", "lock", "share")
"""What tells the session a number."""


def steps(session: str, text: str) -> list[Step]:
    """The steps of a text such as `begin; set 1 11; commit`."""
    parts = (part.split() for part in text.split(";"))
    return [(session, words[0], *map(int, words[1:])) for words in parts]


@dataclass
class Played:
    """What came of it: the numbers that each session was told (None where it was refused), the rows that are left, who was
    refused, and who had to wait, each in order."""

    seen: dict[str, list[int | None]] = field(default_factory=lambda: {"ana": [], "ben": []})
    left: dict[int, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)


def played(schedule: Sequence[Step], level: str, belief: str = "") -> Played:
    """Play a schedule at a level under a belief ('' for none)."""
    play = _Play(level, belief)
    for step in schedule:
        play.take(step)
    return play.result()


Row = tuple[int, int]
"""A value, and the moment of the commit that left it."""


@dataclass
class _Session:
    name: str
    view: dict[int, Row] | None = None
    own: dict[int, int | None] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    reads: set[int] = field(default_factory=set)
    viewed_at: int = 0
    committed_at: int | None = None
    refused: bool = False
    waits: Step | None = None
    kept: deque[Step] = field(default_factory=deque)


class _Play:
    """One schedule being played."""

    def __init__(self, level: str, belief: str) -> None:
        self.level, self.belief = level, belief
        self.snapshot = level in ("repeatable read", "serializable")
        self.committed: dict[int, Row] = {row: (value, 0) for row, value in START.items()}
        self.sessions = {name: _Session(name) for name in ("ana", "ben")}
        self.held: dict[tuple[int, str], str] = {}
        self.clock = 0
        self.told = Played()

    def result(self) -> Played:
        self.told.left = {row: value for row, (value, _) in sorted(self.committed.items())}
        return self.told

    def take(self, step: Step) -> None:
        one, action = self.sessions[step[0]], step[1]
        self.clock += 1
        if one.waits is not None:
            one.kept.append(step)
        elif action == "begin":
            if self.belief == "begin":
                self._look(one)
        elif action in ("commit", "rollback"):
            self._end(one, action == "commit" or self.belief == "rolled-back")
        elif one.refused:
            if action in TELLS:
                self.told.seen[one.name].append(None)
        else:
            if one.view is None or self._looks_anew():
                self._look(one)
            self._do(one, step)

    def _looks_anew(self) -> bool:
        if self.level == "repeatable read" and self.belief == "phantoms":
            return True
        return not self.snapshot and self.belief != "one-view"

    def _look(self, one: _Session) -> None:
        one.view, one.viewed_at = dict(self.committed), self.clock

    def _do(self, one: _Session, step: Step) -> None:
        action, row, mode = step[1], step[2], self._mode(step[1])
        if mode and self._taken(one, row, mode):
            one.waits = step
            self.told.waited.append(one.name)
            return
        if mode in ("X", "S"):
            self.held[row, one.name] = max(mode, self.held.get((row, one.name), "S"))
        if action == "read":
            self._read(one, row)
        elif action == "count":
            every = {**{at: value for at, (value, _) in self._view(one).items()}, **one.own}
            self.told.seen[one.name].append(sum(value is not None and value >= row for value in every.values()))
        elif action == "insert":
            one.own[row] = step[3]
        elif self._changed(one, row):
            self._refuse(one)
            if action in TELLS:
                self.told.seen[one.name].append(None)
        else:
            self._write(one, step)

    def _mode(self, action: str) -> str:
        """The lock that an action takes until the end: X alone, S shared; R only waits for those who have X."""
        if action == "read" and self.belief == "two-phase" and self.level == "serializable":
            return "S"
        return "R" if action == "read" and self.belief == "readers-wait" else LOCKS.get(action, "")

    def _taken(self, one: _Session, row: int, mode: str) -> bool:
        other = next((held for (at, name), held in self.held.items() if at == row and name != one.name), "")
        if mode == "S" == other:
            return self.belief == "share-excludes"
        return bool(other) and (mode == "X" or other == "X")

    def _view(self, one: _Session) -> dict[int, Row]:
        assert one.view is not None
        return one.view

    def _read(self, one: _Session, row: int) -> None:
        value = one.own.get(row, self._view(one)[row][0])
        other = next(each for each in self.sessions.values() if each is not one)
        if self.belief == "dirty" and self.level == "read uncommitted" and row not in one.own and not other.refused:
            value = other.own.get(row, value) if other.committed_at is None else value
        if self.belief == "repeats-only" and self.snapshot and row not in one.own and row not in one.reads:
            one.view = {**self._view(one), row: self.committed[row]}
            value = self.committed[row][0]
        one.reads.add(row)
        self.told.seen[one.name].append(value)

    def _changed(self, one: _Session, row: int) -> bool:
        """Whether the row is another one than in the session's picture, where that matters."""
        if row in one.own or self.belief == "last-wins":
            return False
        return (self.snapshot or self.belief == "weak-refuses") and self.committed[row] != self._view(one)[row]

    def _write(self, one: _Session, step: Step) -> None:
        action, row = step[1], step[2]
        now = one.own.get(row, self.committed[row][0])
        if action in ("lock", "share"):
            old = self._view(one)[row][0] if self.belief == "lock-reads-old" else now
            self.told.seen[one.name].append(one.own.get(row, old))
            one.reads.add(row)
            return
        one.touched.add(row)
        one.own[row] = {"set": step[-1], "add": (now or 0) + step[-1], "delete": None}[action]

    def _refuse(self, one: _Session) -> None:
        one.refused = True
        self.told.refused.append(one.name)
        self._release(one)

    def _end(self, one: _Session, commit: bool) -> None:
        if commit and not one.refused:
            if self._skewed(one):
                self._refuse(one)
            else:
                one.committed_at = self.clock
                for row, value in one.own.items():
                    self.committed.pop(row, None)
                    if value is not None:
                        self.committed[row] = (value, self.clock)
        one.own = {}
        self._release(one)

    def _skewed(self, one: _Session) -> bool:
        """Whether this session and one that committed beside it have each read what the other one wrote."""
        watched = self.level == "serializable" and self.belief != "no-more"
        watched |= self.level == "repeatable read" and self.belief == "suffices"
        other = next(each for each in self.sessions.values() if each is not one)
        if not watched or other.committed_at is None or other.committed_at < one.viewed_at:
            return False
        mine, theirs = bool(one.reads & other.touched), bool(other.reads & one.touched)
        return (mine or theirs) if self.belief == "one-sided" else mine and theirs

    def _release(self, one: _Session) -> None:
        """Give back what the session holds, and let the one that waits go on."""
        self.held = {at: mode for at, mode in self.held.items() if at[1] != one.name}
        for other in self.sessions.values():
            if other.waits is not None and other is not one:
                step, other.waits = other.waits, None
                if self.belief == "readers-wait" and step[1] == "read" and not self.snapshot:
                    self._look(other)
                self._do(other, step)
                while other.kept and other.waits is None:
                    self.take(other.kept.popleft())
