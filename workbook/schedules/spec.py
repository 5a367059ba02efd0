"""The `.spec` files of PostgreSQL's isolationtester, as data.

    setup { CREATE TABLE ... }              before each permutation, on a connection of its own; any number of them
    teardown { DROP TABLE ... }             after each permutation
    session s1                              one connection
    setup { BEGIN; }                            before its first step
    step r1 { SELECT ... }                      what the permutations name; unique in the file
    teardown { COMMIT; }                        after the last step of all
    session "s 2" ...
    permutation r1 w2(*) c1                 an order of steps; without any, every interleaving is meant
                   └─ markers: when w2 may be told as done, never when it is sent
                      (*)               told as waiting at once, whether it waits or not
                      (c1)              not told as done before c1 is
                      (c1 notices 2)    not told as done before the session of c1 has said two more NOTICEs

    >>> spec = Spec.read('''
    ... session s1
    ... step r1 { SELECT 1 }
    ... step c1 { COMMIT }
    ... session s2
    ... step w2 { UPDATE t SET n = 1 }
    ... ''')
    >>> [" ".join(turn.step for turn in order) for order in spec.orders()]
    ['r1 c1 w2', 'r1 w2 c1', 'w2 r1 c1']

A block of SQL ends at the first closing brace; blanks at its two ends are cut, line ends are not. `#` begins a comment
outside such a block. Names are told apart by case, quoted or not; quotes are for names that are no plain word.

Left out: running them (`spec_run`).

Source: src/test/isolation/README in PostgreSQL's source.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from workbook.errors import Misuse

WORDS = ("notices", "permutation", "session", "setup", "step", "teardown")
BLANKS = " \t\r\f"
TOKEN = re.compile(
    r"""(?P<skip> [ \t\r\f\n]+ | \#[^\n\r]* )
      | (?P<name> [A-Za-z_\u0080-\U0010ffff][A-Za-z_\u0080-\U0010ffff0-9$]* )
      | "(?P<quoted> (?:[^"\n]|"")* )"
      | \{(?P<sql> [^}]* )\}
      | (?P<number> [0-9]+ )
      | (?P<sign> [,()*] )""",
    re.VERBOSE,
)
PLAIN = re.compile(r"[A-Za-z_\u0080-\U0010ffff][A-Za-z_\u0080-\U0010ffff0-9$]*")


@dataclass(frozen=True, slots=True)
class SpecStep:
    """A piece of SQL that a session runs: its `name`, its `sql` as it is printed, the place of its `session`."""

    name: str
    sql: str
    session: int


@dataclass(frozen=True, slots=True)
class SpecSession:
    """One connection: its `name`, the SQL before and after its steps (None: there is none), its `steps`."""

    name: str
    steps: tuple[SpecStep, ...]
    setup: str | None = None
    teardown: str | None = None


@dataclass(frozen=True, slots=True)
class Marker:
    """When a step may be told as done: `kind` is "at once" for `(*)`, "step" for `(c1)`, "notices" for
    `(c1 notices 2)`."""

    kind: Literal["at once", "step", "notices"]
    step: str = ""
    notices: int = 0

    def __str__(self) -> str:
        if self.kind == "at once":
            return "*"
        return quoted(self.step) + (f" notices {self.notices}" if self.kind == "notices" else "")


@dataclass(frozen=True, slots=True)
class Turn:
    """A place in a permutation: the name of its `step`, and its `markers`."""

    step: str
    markers: tuple[Marker, ...] = ()

    def __str__(self) -> str:
        return quoted(self.step) + (f"({', '.join(map(str, self.markers))})" if self.markers else "")


@dataclass(frozen=True)
class Spec:
    """A whole file. `Spec.read(text)` reads one, `str(spec)` writes it again, `spec.orders()` gives the permutations
    that are to be run."""

    sessions: tuple[SpecSession, ...]
    setups: tuple[str, ...] = ()
    teardown: str | None = None
    permutations: tuple[tuple[Turn, ...], ...] = ()
    steps: dict[str, SpecStep] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", {step.name: step for one in self.sessions for step in one.steps})

    @classmethod
    def read(cls, text: str) -> Spec:
        """The spec in a text. Raises `Misuse`, with the line and what may stand there."""
        return _Reader(text).spec()

    def count(self) -> int:
        """How many permutations are to be run: those listed, or all interleavings."""
        sizes = [len(session.steps) for session in self.sessions]
        return len(self.permutations) or math.factorial(sum(sizes)) // math.prod(map(math.factorial, sizes))

    def orders(self) -> Iterator[tuple[Turn, ...]]:
        """The permutations listed, or, where none is, every interleaving: the first session's steps as early as can
        be, as isolationtester lists them."""
        if self.permutations:
            yield from self.permutations
        else:
            yield from self._interleavings((0,) * len(self.sessions), ())

    def _interleavings(self, taken: tuple[int, ...], before: tuple[Turn, ...]) -> Iterator[tuple[Turn, ...]]:
        left = [place for place, session in enumerate(self.sessions) if taken[place] < len(session.steps)]
        if not left:
            yield before
        for place in left:
            turn = Turn(self.sessions[place].steps[taken[place]].name)
            yield from self._interleavings((*taken[:place], taken[place] + 1, *taken[place + 1 :]), (*before, turn))

    def unused(self) -> tuple[str, ...]:
        """The steps that no listed permutation uses, in the order of their bytes; none where none is listed."""
        if not self.permutations:
            return ()
        used = {turn.step for order in self.permutations for turn in order}
        return tuple(sorted(set(self.steps) - used, key=lambda name: name.encode("utf-8", "surrogateescape")))

    def data(self) -> dict[str, Any]:
        """The spec as plain data: `setups`, `teardown`, `sessions` (`name`, `setup`, `steps` of `name` and `sql`,
        `teardown`), `permutations` (of `step` and `markers`, each as text)."""
        return {
            "setups": list(self.setups),
            "teardown": self.teardown,
            "sessions": [
                {
                    "name": session.name,
                    "setup": session.setup,
                    "steps": [{"name": step.name, "sql": step.sql} for step in session.steps],
                    "teardown": session.teardown,
                }
                for session in self.sessions
            ],
            "permutations": [
                [{"step": turn.step, "markers": [str(marker) for marker in turn.markers]} for turn in order]
                for order in self.permutations
            ],
        }

    def __str__(self) -> str:
        lines = [f"setup {{{sql}}}" for sql in self.setups] + _block("teardown", self.teardown)
        for session in self.sessions:
            lines += ["", f"session {quoted(session.name)}", *_block("setup", session.setup)]
            lines += [f"step {quoted(step.name)} {{{step.sql}}}" for step in session.steps]
            lines += _block("teardown", session.teardown)
        lines += [""] if self.permutations else []
        lines += [f"permutation {' '.join(map(str, order))}" for order in self.permutations]
        return "\n".join(lines).lstrip("\n") + "\n"


def _block(word: str, sql: str | None) -> list[str]:
    return [] if sql is None else [f"{word} {{{sql}}}"]


def quoted(name: str) -> str:
    """A name as a spec writes it.

    >>> quoted("s1"), quoted("step"), quoted('my "s"')
    ('s1', '"step"', '"my ""s\"""')
    """
    if PLAIN.fullmatch(name) and name not in WORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


class _Token(NamedTuple):
    kind: str  # "name", "sql", "number", "end", or the word or the sign itself
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            raise _unread(text[at], line, text[at:])
        kind, value = str(found.lastgroup), found[str(found.lastgroup)]
        if kind == "quoted":
            yield _Token("name", value.replace('""', '"'), line)
        elif kind == "sql":
            yield _Token("sql", value.strip(BLANKS), line)
        elif kind == "sign" or (kind == "name" and value in WORDS):
            yield _Token(value, value, line)
        elif kind != "skip":
            yield _Token(kind, value, line)
        line += found[0].count("\n")
        at = found.end()
    yield _Token("end", "", line)


def _unread(sign: str, line: int, rest: str) -> Misuse:
    """Why no token begins here."""
    if sign == "{":
        return _mistake(line, "the block of SQL that begins here has no end", "close it with }")
    if sign == '"':
        where = "ends with its line" if "\n" in rest else "has no end"
        return _mistake(line, f"the quoted name that begins here {where}", 'close it with " on the same line')
    first = "a block ends at its first }, even at one in a string"
    what = "} closes no block of SQL" if sign == "}" else f"{sign} can stand only in a block of SQL"
    return _mistake(line, what, first)


def _mistake(line: int, what: str, next: str) -> Misuse:
    return Misuse(f"The spec cannot be read: line {line}: {what}.", next=next)


class _Reader:
    """Reads a text from its first token to its last; one method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._left = _tokens(text)
        self._now = next(self._left)
        self._lines: dict[str, int] = {}

    def spec(self) -> Spec:
        setups = []
        while self._now.kind == "setup":
            setups.append(self._sql_after("setup"))
        teardown = self._sql_after("teardown") if self._now.kind == "teardown" else None
        may = "session" if teardown is not None else "setup, teardown or session"
        sessions = [self._session(0, may)]
        while self._now.kind == "session":
            sessions.append(self._session(len(sessions), "session"))
        permutations = []
        while self._now.kind == "permutation":
            permutations.append(self._permutation())
        if self._now.kind != "end":
            inside = "step, teardown, " if sessions[-1].teardown is None else ""
            raise self._wrong("permutation" if permutations else f"{inside}session or permutation")
        spec = Spec(tuple(sessions), tuple(setups), teardown, tuple(order for order, _ in permutations))
        for order, line in permutations:
            _linked(spec, order, line)
        return spec

    def _session(self, place: int, may: str) -> SpecSession:
        self._take("session", may)
        name = self._take("name", "the name of the session").text
        setup = self._sql_after("setup") if self._now.kind == "setup" else None
        steps = [self._step(place, "step" if setup is not None else "setup or step")]
        while self._now.kind == "step":
            steps.append(self._step(place, "step"))
        teardown = self._sql_after("teardown") if self._now.kind == "teardown" else None
        return SpecSession(name, tuple(steps), setup, teardown)

    def _step(self, session: int, may: str) -> SpecStep:
        self._take("step", may)
        name, line = self._take("name", "the name of the step")[1:]
        if name in self._lines:
            said = f"the step {quoted(name)} is there already, on line {self._lines[name]}"
            raise _mistake(line, said, "give each step of the file a name of its own")
        self._lines[name] = line
        return SpecStep(name, self._take("sql", "a block { SQL }").text, session)

    def _permutation(self) -> tuple[tuple[Turn, ...], int]:
        line = self._take("permutation", "permutation").line
        turns = [self._turn()]
        while self._now.kind == "name":
            turns.append(self._turn())
        return tuple(turns), line

    def _turn(self) -> Turn:
        name = self._take("name", "the name of a step").text
        markers = []
        if self._now.kind == "(":
            self._take("(", "(")
            markers.append(self._marker())
            while self._now.kind == ",":
                self._take(",", ",")
                markers.append(self._marker())
            self._take(")", ", or )")
        return Turn(name, tuple(markers))

    def _marker(self) -> Marker:
        if self._now.kind == "*":
            self._take("*", "*")
            return Marker("at once")
        name = self._take("name", "* or the name of a step").text
        if self._now.kind != "notices":
            return Marker("step", name)
        self._take("notices", "notices")
        return Marker("notices", name, int(self._take("number", "how many notices").text))

    def _sql_after(self, word: str) -> str:
        self._take(word, word)
        return self._take("sql", "a block { SQL }").text

    def _take(self, kind: str, may: str) -> _Token:
        taken = self._now
        if taken.kind != kind:
            raise self._wrong(may)
        if kind != "end":
            self._now = next(self._left)
        return taken

    def _wrong(self, may: str) -> Misuse:
        kind, text, line = self._now
        shown = {"end": "the file ends here", "sql": "a block of SQL cannot stand here"}
        hint = f"; in quotes, {text!r} would be a name" if kind in WORDS and "name" in may else ""
        return _mistake(line, shown.get(kind, f"{text!r} cannot stand here"), f"here should come {may}{hint}")


def _linked(spec: Spec, order: tuple[Turn, ...], line: int) -> None:
    """See that a permutation names steps that there are, and that its markers can come true."""
    for turn in order:
        if turn.step not in spec.steps:
            raise _mistake(line, f"there is no step {quoted(turn.step)}", f"name one of {_some(list(spec.steps))}")
    inside = {turn.step for turn in order}
    for turn in order:
        for marker in turn.markers:
            if marker.kind == "at once":
                continue
            if marker.step not in inside:
                said = f"{quoted(turn.step)} waits for {quoted(marker.step)}, which this permutation does not run"
                raise _mistake(line, said, f"name one of {_some(sorted(inside))}")
            if spec.steps[marker.step].session == spec.steps[turn.step].session:
                said = f"{quoted(turn.step)} waits for {quoted(marker.step)}, a step of its own session"
                raise _mistake(line, said, "name a step of another session")


def _some(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
