"""A schedule is text, and it is data: what each session does, and in which order.

    Program                            Schedule                          Run
    T1: BEGIN r w COMMIT  ─ orders() ▶ T1 T2 T1 T2 T2 T1 T1 T2  ─ run() ▶ what became of each step
    T2: BEGIN r w COMMIT                (one of 70)

A `Program` says what each session does, in its own order, and nothing about the order among sessions. A `Schedule` is a
program with one order of all its steps. Its text is read by people, and stands in files named `*.schedule`:

    >>> schedule = Schedule.read('''
    ... # Lost update
    ... level: read committed
    ...
    ... setup:
    ...     CREATE TABLE test (id int PRIMARY KEY, value int);
    ...     INSERT INTO test VALUES (1, 10), (2, 20);
    ...
    ... T1: BEGIN
    ... T2: BEGIN
    ... T1: SELECT value FROM test WHERE id = 1
    ... T2 (late): UPDATE test SET value = 12
    ...     WHERE id = 1
    ... T1: COMMIT
    ... T2: COMMIT
    ... ''')
    >>> schedule.sessions, schedule.steps[3].name, schedule.steps[4].name
    (('T1', 'T2'), 'late', 'T1.3')
    >>> Schedule.read(str(schedule)) == schedule, schedule.program().count()
    (True, 20)

A session's name is any plain word; in brackets after it stands the step's own name. `level T1: serializable` sets one
session's level where they differ. Lines that are indented continue what stands above them, a line that begins with `#`
is a comment, and the first one is the title.

A step is one statement; where it holds several, they are sent together, and `transactions` follows them one by one.

Left out: conditions and loops. A session is a list of statements, as every other schedule in the literature (Bernstein,
Hadzilacos, Goodman, Concurrency Control and Recovery in Database Systems, 1987, chapter 2).
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from workbook.errors import Misuse
from workbook.schedules.controls import BEGINS, ENDS, Kind, kind, parted, statements

__all__ = ("BEGINS", "ENDS", "LEVELS", "Level", "Program", "Schedule", "Step")

Level = Literal[
    "read uncommitted", "read committed", "repeatable read", "serializable", "deferred", "immediate", "snapshot"
]
"""The four of the SQL standard; `deferred` and `immediate` of SQLite; DuckDB's only one, `snapshot`."""

LEVELS: tuple[str, ...] = (
    *("read uncommitted", "read committed", "repeatable read", "serializable"),
    *("deferred", "immediate", "snapshot"),
)
WORD = re.compile(r"[^\W\d]\w*")
HEAD = re.compile(r"(?P<session>[^\W\d]\w*)(?:\s*\((?P<name>[^()]+)\))?\s*:(?P<sql>.*)", re.S)
STRAY = re.compile(r" {1,3}[^\W\d]\w*(?:\s*\([^()]+\))?\s*:(?![:=])")
"""What looks like a step and is indented by less than what continues one."""
LEVEL = re.compile(r"level(?:\s+(?P<session>[^\W\d]\w*))?\s*:(?P<level>.*)", re.I)
BLOCK = re.compile(r"(?P<block>setup|teardown)\s*:(?P<sql>.*)", re.I | re.S)
RESERVED = ("level", "setup", "teardown")
GIVE_SESSIONS = 'give sessions={"T1": ["SELECT 1"]}'
NUL, NO_NUL = "\0", "take it out: no engine takes it in a statement"
WRITE_IT = "write a step as `T1: SELECT 1`, and indent the lines that continue it"


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of one session. BEGIN, COMMIT and ROLLBACK are steps, too.

    Parameters: the `session`'s name; one statement of `sql` (of several, `controls` says what they do); the step's
    `name`, unique in its program ('' lets the program give one, such as `T1.2`).

    >>> step = Step("T1", "/* pay */ UPDATE test SET value = 1; ROLLBACK")
    >>> step.ends, step.asks, Step("T1", "-- done\\nEND").ends
    (False, 'rollback', True)
    """

    session: str
    sql: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.session}: {self.sql}"

    @property
    def begins(self) -> bool:
        """Whether its first statement begins a transaction."""
        return BEGINS.match(self.sql) is not None

    @property
    def ends(self) -> bool:
        """Whether its first statement asks for the end of a transaction: COMMIT, ROLLBACK (not to a savepoint), PREPARE
        TRANSACTION."""
        return ENDS.match(self.sql) is not None

    @property
    def asks(self) -> Kind | Literal[""]:
        """What the last of its statements that ends a transaction asks for: `commit`, `rollback` or `prepare`; '' where
        none does."""
        kinds = [kind(one) for one in statements(self.sql)]
        return next((one for one in reversed(kinds) if one not in ("begin", "plain")), "")


@dataclass(frozen=True)
class Program:
    """What each session does, in its own order; no order among the sessions.

    Parameters: a `title`; `setup`, SQL that runs before; `sessions`, name to steps (or to their SQL as text); the
    `level` ('' for the engine's default). Where a session says no BEGIN or no COMMIT, one is added.

    >>> program = Program("two", "", {"T1": ["SELECT 1"], "T2": ["SELECT 2"]})
    >>> [step.sql for step in program.sessions["T1"]], program.count()
    (['BEGIN', 'SELECT 1', 'COMMIT'], 20)
    >>> [" ".join(step.session for step in order.steps) for order in program.serial()]
    ['T1 T1 T1 T2 T2 T2', 'T2 T2 T2 T1 T1 T1']
    """

    title: str
    setup: str = ""
    sessions: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    level: str = ""
    teardown: str = ""
    levels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.sessions, Mapping) or not self.sessions:
            raise Misuse("A program needs a session.", next=GIVE_SESSIONS)
        whole = {name: _whole(name, steps) for name, steps in self.sessions.items()}
        _unique(itertools.chain.from_iterable(whole.values()))
        object.__setattr__(self, "sessions", whole)

    def order(self, sessions: Iterable[str]) -> Schedule:
        """The schedule in which the sessions take turns as named here, one name a step. Raises `Misuse` where a name
        occurs more or less often than its session has steps."""
        left = {name: iter(steps) for name, steps in self.sessions.items()}
        steps = []
        for name in sessions:
            step = next(left.get(name, iter(())), None)
            if step is None:
                raise Misuse(f"The session {name} has no further step.", next="name each session once for each step")
            steps.append(step)
        if missing := [name for name, rest in left.items() if next(rest, None)]:
            raise Misuse(f"The order leaves out steps of {', '.join(missing)}.", next="name each session once a step")
        return Schedule(self.title, self.setup, tuple(steps), self.level, self.teardown, self.levels)

    def orders(self) -> Iterator[Schedule]:
        """Every interleaving of the sessions, in the order of the sessions' names."""
        turns: list[str] = []
        left = {name: len(steps) for name, steps in self.sessions.items()}

        def interleaved() -> Iterator[Schedule]:
            if not any(left.values()):
                yield self.order(turns)
            for name in left:
                if left[name]:
                    left[name] -= 1
                    turns.append(name)
                    yield from interleaved()
                    turns.pop()
                    left[name] += 1

        return interleaved()

    def count(self) -> int:
        """How many interleavings there are: 70 of two sessions of four steps, 34,650 of three."""
        lengths = [len(steps) for steps in self.sessions.values()]
        return math.factorial(sum(lengths)) // math.prod(math.factorial(length) for length in lengths)

    def serial(self) -> Iterator[Schedule]:
        """The schedules in which one session runs after the other."""
        for names in itertools.permutations(self.sessions):
            yield self.order(name for name in names for _ in self.sessions[name])

    def sample(self, n: int, seed: int = 0) -> list[Schedule]:
        """`n` different interleavings, each as likely as any other, the same for the same seed; all where there are
        no more than `n`."""
        if n >= self.count():
            return list(self.orders())
        chance = random.Random(seed)
        if self.count() <= 4 * n:
            return chance.sample(list(self.orders()), n)
        turns = [name for name, steps in self.sessions.items() for _ in steps]
        found: dict[tuple[str, ...], None] = {}
        while len(found) < n:
            chance.shuffle(turns)
            found.setdefault(tuple(turns))
        return [self.order(names) for names in found]


@dataclass(frozen=True)
class Schedule:
    """A program and one order of all its steps.

    Parameters: a `title`; `setup`, SQL that runs before; the `steps` in order; the `level` of all sessions ('' for the
    engine's default); `teardown`, SQL that runs after; `levels`, session to level where they differ.
    """

    title: str
    setup: str
    steps: tuple[Step, ...]
    level: str = ""
    teardown: str = ""
    levels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.steps, str) or not isinstance(self.steps, Iterable):
            raise Misuse("The steps of a schedule are no list of steps.", next="read a text by Schedule.read(text)")
        given = tuple(self.steps)
        if not given:
            raise Misuse("A schedule needs a step.", next=WRITE_IT)
        _check(given)
        object.__setattr__(self, "steps", tuple(_named(given)))
        _unique(self.steps)
        for level in (self.level, *self.levels.values()):
            if level and level not in LEVELS:
                raise Misuse(f"There is no isolation level {level!r}.", next=f"use one of {', '.join(LEVELS)}")
        if unknown := [name for name in self.levels if name not in self.sessions]:
            raise Misuse(f"A level is given to {unknown[0]}, which has no step.", next="name one of the sessions")

    @property
    def sessions(self) -> tuple[str, ...]:
        """The sessions' names, in the order in which they appear."""
        return tuple(dict.fromkeys(step.session for step in self.steps))

    def mentions(self, word: str) -> bool:
        """Whether the setup or a step says this word, in any case."""
        return any(word.lower() in text.lower() for text in (self.setup, *(step.sql for step in self.steps)))

    @classmethod
    def read(cls, text: str) -> Schedule:
        """The schedule of a text. Raises `Misuse` with the line of a mistake."""
        if not isinstance(text, str):
            raise Misuse(f"A schedule is read from text, and this is a {type(text).__name__}.", next=WRITE_IT)
        return _Reader(text).schedule()

    def __str__(self) -> str:
        """The text that `read` reads."""
        parts = [f"# {self.title}"] if self.title else []
        parts += [f"level: {self.level}"] if self.level else []
        parts += [f"level {name}: {level}" for name, level in self.levels.items()]
        for name, sql in (("setup", self.setup), ("teardown", self.teardown)):
            if sql:
                parts += ["", f"{name}:", _indented(sql)]
        parts.append("")
        defaults = [step.name for step in _named(replace(step, name="") for step in self.steps)]
        for step, default in zip(self.steps, defaults, strict=True):
            head = step.session if step.name == default else f"{step.session} ({step.name})"
            first, _, rest = step.sql.partition("\n")
            parts.append(f"{head}: {first}".rstrip() + (f"\n{_indented(rest)}" if rest else ""))
        return "\n".join(parts).lstrip("\n") + "\n"

    def data(self) -> dict[str, Any]:
        """Plain data: title, setup, level, levels, teardown, and steps as `{"session", "sql", "name"}`."""
        return {
            "title": self.title,
            "setup": self.setup,
            "level": self.level,
            "levels": dict(self.levels),
            "teardown": self.teardown,
            "steps": [{"session": step.session, "sql": step.sql, "name": step.name} for step in self.steps],
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Schedule:
        """The schedule of what `data()` gave."""
        steps = tuple(Step(step["session"], step["sql"], step.get("name", "")) for step in data["steps"])
        rest = {name: data.get(name, "") for name in ("level", "teardown")}
        return cls(data["title"], data["setup"], steps, **rest, levels=dict(data.get("levels", {})))

    def program(self) -> Program:
        """What each session does, without the order among them."""
        sessions = {name: tuple(step for step in self.steps if step.session == name) for name in self.sessions}
        return Program(self.title, self.setup, sessions, self.level, self.teardown, self.levels)


def _whole(session: str, steps: Sequence[Step | str]) -> tuple[Step, ...]:
    """A session's steps with their BEGIN, COMMIT and names."""
    if isinstance(steps, (str, Step)):
        raise Misuse(f"The steps of {session} are one text, and no list.", next=f'give {{"{session}": ["SELECT 1"]}}')
    if not isinstance(steps, Iterable):
        raise Misuse(f"The steps of {session} are no list: {steps!r}.", next=f'give {{"{session}": ["SELECT 1"]}}')
    made = [Step(session, step) if isinstance(step, str) else step for step in steps]
    _check(made)
    if strange := [step.session for step in made if step.session != session]:
        raise Misuse(f"A step of {strange[0]} stands in the session {session}.", next=f"write Step({session!r}, ...)")
    if not any(step.begins for step in made):
        given = enumerate(made, 1)  # a name that tells a step's place is given anew: BEGIN moves them by one
        made = [replace(step, name="") if step.name == f"{session}.{place}" else step for place, step in given]
        made.insert(0, Step(session, "BEGIN"))
    if not any(step.asks for step in made):
        made.append(Step(session, "COMMIT"))
    return tuple(_named(made))


def _check(steps: Iterable[object]) -> None:
    """See that these are steps, of texts that an engine can be sent. Raises `Misuse`."""
    for step in steps:
        if not isinstance(step, Step):
            raise Misuse(f"This is no step: {step!r}.", next='write Step("T1", "SELECT 1")')
        for text in (step.session, step.sql, step.name):
            if not isinstance(text, str):
                raise Misuse(
                    f"A step is made of texts, and this is none: {text!r}.", next='write Step("T1", "SELECT 1")'
                )
        if NUL in step.sql:
            raise Misuse(f"A step of {step.session} holds a NUL character.", next=NO_NUL)


def _named(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps as their text would be read, each with a name; the k-th of T1 is `T1.k` where it has none."""
    count: dict[str, int] = {}
    for step in steps:
        if not WORD.fullmatch(step.session) or step.session.lower() in RESERVED:
            raise Misuse(f"{step.session!r} cannot be a session's name.", next="use a word, such as T1 or alice")
        count[step.session] = number = count.get(step.session, 0) + 1
        sql, name = _bare(step.sql), " ".join(step.name.split()) or f"{step.session}.{number}"
        if not sql:
            raise Misuse(f"The step {name} is empty.", next=WRITE_IT)
        if re.search(r"[()]", name):
            raise Misuse(f"A step cannot be named {name!r}.", next="use a name without brackets")
        yield step if (sql, name) == (step.sql, step.name) else Step(step.session, sql, name)


def _bare(sql: str) -> str:
    """The statement without what stands around it.

    >>> _bare(" SELECT 1; "), _bare("SELECT 1; -- one")
    ('SELECT 1', 'SELECT 1 -- one')
    """
    sql = sql.strip()
    return "".join(parted(sql)).strip() if ";" in sql else sql


def _unique(steps: Iterable[Step]) -> None:
    seen: set[str] = set()
    for step in steps:
        if step.name in seen:
            raise Misuse(f"Two steps are named {step.name}.", next="give each step a name of its own")
        seen.add(step.name)


def _indented(sql: str) -> str:
    return "\n".join(f"    {line}" if line.strip() else "" for line in sql.split("\n"))


class _Reader:
    """Reads a schedule line by line; `at` is the line of the part that is being read."""

    def __init__(self, text: str) -> None:
        self.title, self.level, self.at = "", "", 0
        self.levels: dict[str, str] = {}
        self.blocks: dict[str, str] = {}
        self.steps: list[tuple[int, Step]] = []
        self.lines = text.replace("\r\n", "\n").split("\n")

    def schedule(self) -> Schedule:
        for head, rest in self._parts():
            if head.startswith("#"):
                if not self.title and not self.blocks and not self.steps:
                    self.title = head.lstrip("#").strip()
            elif found := LEVEL.fullmatch(head):
                self._level(found)
            elif found := BLOCK.fullmatch(head):
                self._block(found, rest)
            elif found := HEAD.fullmatch(head):
                self._step(found, rest)
            else:
                raise self._mistake(f"this is no step: {head.strip()}", WRITE_IT)
        if not self.steps:
            raise Misuse("The schedule has no step.", next=WRITE_IT)
        self._check_names()
        steps = tuple(step for _, step in self.steps)
        blocks = {name: self.blocks.get(name, "") for name in ("setup", "teardown")}
        return Schedule(self.title, steps=steps, level=self.level, levels=self.levels, **blocks)

    def _parts(self) -> Iterator[tuple[str, list[str]]]:
        """Each line that is not indented, and the indented lines below it."""
        number = 0
        while number < len(self.lines):
            head, self.at = self.lines[number], number + 1
            number += 1
            if not head.strip():
                continue
            if NUL in head:
                raise self._mistake("it holds a NUL character", NO_NUL)
            if head[0].isspace():
                raise self._mistake("this line is indented, and continues nothing", WRITE_IT)
            rest = []
            while number < len(self.lines) and (not self.lines[number].strip() or self.lines[number][0].isspace()):
                rest.append(_outdented(self.lines[number]))
                number += 1
                if STRAY.match(self.lines[number - 1]):
                    self.at = number
                    raise self._mistake(
                        f"this line is indented, and looks like a step: {rest[-1].strip()}",
                        "begin a step where the line begins; indent what continues a step by four blanks",
                    )
                if NUL in rest[-1]:
                    self.at = number
                    raise self._mistake("it holds a NUL character", NO_NUL)
            if head.startswith("#") and any(line.strip() for line in rest):
                raise self._mistake("an indented line continues a comment", WRITE_IT)
            yield head, rest

    def _level(self, found: re.Match[str]) -> None:
        level = " ".join(found["level"].lower().split())
        if level not in LEVELS:
            raise self._mistake(f"there is no isolation level {level!r}", f"use one of {', '.join(LEVELS)}")
        if found["session"]:
            self.levels[found["session"]] = level
        else:
            self.level = level

    def _block(self, found: re.Match[str], rest: list[str]) -> None:
        name = found["block"].lower()
        if name in self.blocks:
            raise self._mistake(f"there is a second {name}", "put both into one")
        self.blocks[name] = _joined(found["sql"], rest)

    def _step(self, found: re.Match[str], rest: list[str]) -> None:
        session, sql = found["session"], _joined(found["sql"], rest)
        if session.lower() in RESERVED:
            raise self._mistake(f"{session} cannot be a session's name here", "write `level: ...` or `level T1: ...`")
        if not _bare(sql):
            raise self._mistake(f"the step of {session} is empty", WRITE_IT)
        self.steps.append((self.at, Step(session, _bare(sql), " ".join((found["name"] or "").split()))))

    def _check_names(self) -> None:
        """See that the levels belong to sessions and that no name is used twice, while the lines are known."""
        sessions = {step.session for _, step in self.steps}
        if unknown := [name for name in self.levels if name not in sessions]:
            raise Misuse(f"A level is given to {unknown[0]}, which has no step.", next="name one of the sessions")
        seen: dict[str, int] = {}
        named = _named(step for _, step in self.steps)
        for (line, _), step in zip(self.steps, named, strict=True):
            self.at = line
            if step.name in seen:
                raise self._mistake(
                    f"the step of line {seen[step.name]} is named {step.name}, too", "give each a name of its own"
                )
            seen[step.name] = line

    def _mistake(self, what: str, next: str) -> Misuse:
        return Misuse(f"The schedule cannot be read: line {self.at}: {what}.", next=next)


def _outdented(line: str) -> str:
    """The line without its first four spaces, or its first tab."""
    if line.startswith("\t"):
        return line[1:]
    return line[4:] if line.startswith("    ") else line.lstrip(" ")


def _joined(first: str, rest: list[str]) -> str:
    return "\n".join([first.strip(), *rest]).strip()
