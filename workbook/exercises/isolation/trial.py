"""Answers on trial beside one another: every order of a few clients' statements on PostgreSQL, and a rule for each.

    world(setup, {"ann": statements("... :room", {...}), "ben": ...})
        │ tried(program, level, tries=3)         BEGIN goes with the first statement, so 20 orders of 2 + 2 statements
        ▼
    Trial ── outcomes ──▶ Outcome   order, run, retries, waited, failed("ben"), rows("bookings")
        │
        └─ kept(trial, Rule(broken, ...), ...) ──▶ findings, and the timeline of the first order that breaks one

A world is a `Program`: its `setup`, and what each client sends between BEGIN and COMMIT. The clients see errors as clients do:
where a statement fails with a code in `codes`, a client with `tries` above 1 rolls back and sends the transaction
again when the others are done; any other error ends what it wanted. A rule says of one outcome what is wrong with it, '' where
nothing is; it looks at what is left and at who waited, never at the text of an answer. An order that comes to no end (a lock that
is never given back) is an outcome, too: `stuck`, and no further order is run.

How an exercise uses it:

    wrong = control(sql, "`booking`") or ...              # BEGIN, COMMIT, SET in an answer: a Finding, or None
    program = world(SETUP + ddl, {"ann": statements(sql, {"room": 7}), "ben": statements(sql, {"room": 7})})
    trial = tried(program, "read committed", tries=3)     # raises SqlError where the setup is refused
    findings, pictures = kept(trial, ends, understood, Rule(...), ...)

    >>> sums = "UPDATE account SET cents = cents - 5 WHERE name = :name"
    >>> setup = "CREATE TABLE account (name text PRIMARY KEY, cents int); INSERT INTO account VALUES ('joint', 12)"
    >>> every = tried(world(setup, {one: statements(sums, {"name": "joint"}) for one in ("ann", "ben")}))
    >>> len(every.outcomes), every.outcomes[0].order, every.outcomes[1].waited
    (6, 'ann ann ben ben', ('ben',))
    >>> rich = Rule(lambda one: "" if one.rows("account")[0]["cents"] >= 7 else "7 cents are not left", "Rich.", "7 cents.")
    >>> print(kept(every, rich)[0][0].seen)
    In 6 of 6 orders 7 cents are not left, as in the order `ann ann ben ben`.

Orders that are one to the server are run once: what a client that waits would send next is kept until it goes on. Source:
`schedules.interleavings`, which compares each order with the serial ones; here an exercise says itself what is right. Left out:
clients that decide between two statements by what they read: an answer says it in SQL.
"""

from __future__ import annotations

import atexit
import itertools
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from psycopg import sql as composed

from workbook.engines.running import TOKEN, split
from workbook.errors import SqlTimeout
from workbook.grading.exercise import Finding
from workbook.schedules import Program, Run, Schedule, ScheduleTimeout, Stage, Step
from workbook.schedules.retrying import AGAIN, run_with_retries

RETRIED = ("40001", "40P01")
"""What a client's loop answers by sending the transaction again."""
LIMIT = 1_000
STEP_S, ALL_S = 2.0, 60.0
"""How long a statement that neither ends nor waits may run, and all orders together."""
CONTROL = re.compile(
    r"\s*(BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION|SET|RESET|DISCARD|"
    r"ALTER\s+(ROLE|USER|DATABASE|SYSTEM))\b",
    re.I,
)


def statements(sql: str, values: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The statements of a text, each `:name` of `values` written as a literal (outside strings and comments).

    >>> statements("SELECT :n; SELECT ':n', 1::int -- the end", {"n": "it's"})
    ("SELECT 'it''s'", "SELECT ':n', 1::int")
    """
    known = values or {}

    def written(token: re.Match[str]) -> str:
        name = token.group(2)
        return composed.Literal(known[name]).as_string(None).strip() if name in known else token.group(0)

    return tuple("".join(written(token) for token in TOKEN.finditer(one)) for one in split(sql))


def as_sql(sent: Any) -> str | None:
    """SQL as one text, where it is a text or a list of statements; None where it is neither.

    >>> print(as_sql(["SELECT 1", "SELECT 2;"]))
    SELECT 1;
    SELECT 2
    """
    if isinstance(sent, str):
        return sent
    if type(sent) in (list, tuple) and all(isinstance(one, str) for one in sent):
        return ";\n".join(one.strip().rstrip(";") for one in sent)
    return None


def as_order(turns: Any) -> str | None:
    """An order as one text, where it is a text, a list of names, or None for the empty one; None where it is none of these."""
    if turns is None:
        return ""
    if type(turns) in (list, tuple) and all(isinstance(one, str) for one in turns):
        return " ".join(turns)
    return turns if isinstance(turns, str) else None


def as_level(level: Any) -> Any:
    """The name of a level in small letters with single spaces; what is no text stays as it is.

    >>> as_level("REPEATABLE  READ")
    'repeatable read'
    """
    return " ".join(level.lower().split()) if isinstance(level, str) else level


def world(setup: str, clients: Mapping[str, Sequence[str]], *, title: str = "", level: str = "") -> Program:
    """The program in which each of the `clients` sends its statements between BEGIN and COMMIT; they begin after `setup`."""
    steps = {name: tuple(Step(name, one) for one in sent) for name, sent in clients.items()}
    return Program(title, setup, steps, level)


def control(sql: str, what: str = "The answer") -> Finding | None:
    """The finding on a statement that begins or ends a transaction, or sets something for the session; None where
    there is none. `what` names the part of the answer."""
    for one in split(sql):
        if CONTROL.match(one):
            said = " ".join(one.split())
            return Finding(
                ok=False,
                seen=f"{what} says `{said[:60]}{'...' if len(said) > 60 else ''}`.",
                expected="Statements that run inside one transaction: its BEGIN, its level and its COMMIT are the client's.",
                question="What would be undone, and what not, if the client's transaction were rolled back after it?",
            )
    return None


@dataclass(frozen=True, eq=False)
class Outcome:
    """One order as it came out.

    `order` names the clients as they take turns (BEGIN goes with the first statement); `run` is what was seen, tries
    again included; `retries` how many transactions were sent again; `stuck` whether it came to no end; `serial` the
    clients one after the other, where no one began before the other had ended (else empty); `first` the run without
    further tries.
    """

    order: str
    run: Run
    retries: int = 0
    stuck: bool = False
    serial: tuple[str, ...] = ()
    first: Run | None = None

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What is left in a table, each row as a dict; nothing where there is no such table."""
        columns = self.run.columns.get(table, ())
        return [dict(zip(columns, row, strict=True)) for row in self.run.final.get(table, ())]

    def has(self, table: str, *columns: str) -> bool:
        """Whether there is such a table with these columns in the end."""
        return set(columns) <= set(self.run.columns.get(table, ())) and table in self.run.columns

    def failed(self, client: str) -> str:
        """The SQLSTATE of what ended the client's last transaction; '' where it committed."""
        outcome = self.run.outcomes[client]
        return "" if outcome == "committed" else outcome.removeprefix("aborted ").strip() or outcome

    def saw(self, step: str) -> tuple[tuple[Any, ...], ...]:
        """The rows that a step (by its name, `ann.2` is the first after BEGIN) returned in its client's last try; none
        where it did not come to an answer."""
        done = [one for one in self.run.events if one.kind == "done" and AGAIN.sub("", self.run.step(one).name) == step]
        return (done[-1].rows or ()) if done else ()

    @property
    def committed(self) -> tuple[str, ...]:
        """The clients whose last transaction committed."""
        return self.run.committed

    @property
    def waited(self) -> tuple[str, ...]:
        """The clients that had to wait for another one."""
        return tuple(dict.fromkeys(self.run.step(event).session for event in self.run.waits))

    @property
    def waits(self) -> int:
        """How many steps waited."""
        return len({event.step for event in self.run.waits})

    def message(self, client: str) -> str:
        """The statement of this client that failed last and what PostgreSQL said of it; '' where none did."""
        found = [one for one in self.run.failures if self.run.step(one).session == client and one.sqlstate != "25P02"]
        if not found:
            return ""
        said = " ".join(self.run.step(found[-1]).sql.split())
        return f"`{said[:90]}{'...' if len(said) > 90 else ''}`: {found[-1].sqlstate} {found[-1].message}"


@dataclass(frozen=True, eq=False)
class Trial:
    """The orders of a program that were run, the serial ones among them; `of` how many there are."""

    program: Program
    level: str
    outcomes: tuple[Outcome, ...]
    of: int

    @property
    def serial(self) -> tuple[Outcome, ...]:
        """The outcomes of one client after the other."""
        return tuple(one for one in self.outcomes if one.serial)

    @property
    def retries(self) -> int:
        """How many transactions were sent again, over all orders."""
        return sum(one.retries for one in self.outcomes)


def tried(
    program: Program,
    level: str = "",
    *,
    tries: int = 1,
    codes: Collection[str] = RETRIED,
    limit: int = LIMIT,
    seed: int = 0,
) -> Trial:
    """Run a program in every order (in `limit` of them drawn by `seed`, where there are more) at a level.

    Parameters: `tries`, how often a client sends its transaction in all (1: it has no loop), after the SQLSTATEs in
    `codes`. Raises `SqlError` where the setup is refused, `SqlTimeout` where the orders take more than a minute.
    """
    outcomes, until, sends = [], time.monotonic() + ALL_S, _Sends()  # type: list[Outcome], float, _Sends
    for order in _orders(program, limit, seed):
        known = sends.outcome(order)
        if known is None:
            known = _outcome(program, order, level, tries, codes)
            sends.keep(known)
        outcomes.append(replace(known, order=_turns(order), serial=_serial(order)))
        if known.stuck:
            break
        if time.monotonic() > until:
            raise SqlTimeout(f"{len(outcomes):,} orders ran longer than {ALL_S:g} s.", sqlstate="57014")
    return Trial(program, level, tuple(outcomes), _together(program)[0].count())


class _Sends:
    """Which orders come to the same: a client that waits is sent nothing, so that its turns come when it goes on.

        ann ben ben ann      ben's first statement waits for ann's end, and his second is kept until then:
        ann ben ann ben      to the server both orders are one, and it is run once

    After each beginning of what was sent, in that order, it is known from a run who waits then. So an order can be followed until it
    leaves what is known; where it does not, its outcome is known as well.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, ...], frozenset[str]] = {}
        self._outcomes: dict[tuple[str, ...], Outcome] = {}

    def keep(self, outcome: Outcome) -> None:
        """Remember what was sent in a run, and who waited after each statement."""
        sent: tuple[str, ...] = ()
        waiting: set[str] = set()
        run = outcome.first or outcome.run
        for event in run.events:
            step = run.step(event)
            if step.name not in sent:
                self._waiting[sent] = frozenset(waiting)
                sent = (*sent, step.name)
            if event.kind == "waits":
                waiting.add(step.session)
            elif event.kind != "resumed":
                waiting.discard(step.session)
        self._waiting[sent] = frozenset(waiting)
        self._outcomes[sent] = outcome

    def outcome(self, order: Schedule) -> Outcome | None:
        """What an order comes to; None where it must be run."""
        sent: tuple[str, ...] = ()
        kept: list[Step] = []
        for step in order.steps:
            kept.append(step)
            while due := next((one for one in kept if self._free(one, kept, sent)), None):
                kept.remove(due)
                sent = (*sent, due.name)
            if sent not in self._waiting:
                return None
        return None if kept else self._outcomes.get(sent)

    def _free(self, step: Step, kept: list[Step], sent: tuple[str, ...]) -> bool:
        """Whether a kept statement is sent now: it is its client's next, and the client does not wait."""
        first = next(one for one in kept if one.session == step.session)
        return first is step and sent in self._waiting and step.session not in self._waiting[sent]


def played(
    program: Program, turns: str, level: str = "", *, tries: int = 1, codes: Collection[str] = RETRIED
) -> Outcome:
    """Run one order of a program: `turns` names the clients as they take turns, as `Outcome.order` does (or with a turn
    for each BEGIN as well). Raises `Misuse` where a client is named more or less often than it has statements."""
    names = turns.split()
    if len(names) == sum(len(steps) for steps in program.sessions.values()):
        return _outcome(program, program.order(names), level, tries, codes)
    bare, begins = _together(program)
    return _outcome(program, _whole(bare.order(names), begins), level, tries, codes)


def _outcome(program: Program, order: Schedule, level: str, tries: int, codes: Collection[str]) -> Outcome:
    said, serial = _turns(order), _serial(order)
    try:
        first = stage().run(order, level)
        looped = run_with_retries(program, order, level, stage(), codes=codes, most=tries, first=first)
    except ScheduleTimeout as error:
        if error.run is None:
            raise
        return Outcome(said, error.run, stuck=True, serial=serial)
    return Outcome(said, looped.run, looped.retries, serial=serial, first=first)


def _turns(order: Schedule) -> str:
    """The clients as they take turns, without a turn for BEGIN."""
    return " ".join(step.session for step in order.steps if not step.begins)


def _serial(order: Schedule) -> tuple[str, ...]:
    """The clients one after the other, where no one begins before the other has ended; else empty."""
    clients = [client for client, _ in itertools.groupby(step.session for step in order.steps)]
    return tuple(clients) if len(set(clients)) == len(clients) else ()


Begins = Mapping[str, tuple[Step, ...]]
"""The name of a statement to the BEGIN that goes just before it: it takes no lock and no snapshot."""


def _together(program: Program) -> tuple[Program, Begins]:
    """The program without its BEGINs, and where they belong."""
    begins: dict[str, tuple[Step, ...]] = {}
    sessions: dict[str, tuple[Step, ...]] = {}
    for name, steps in program.sessions.items():
        waiting: list[Step] = []
        for step in steps:
            waiting.append(step)
            if not step.begins:
                begins[step.name] = tuple(waiting[:-1])
                sessions[name] = (*sessions.get(name, ()), step)
                waiting = []
    return _Bare(program.title, program.setup, sessions, program.level, program.teardown, program.levels), begins


class _Bare(Program):
    """A program whose BEGINs were taken out, and stay out: they are put back into each of its orders."""

    def __post_init__(self) -> None:
        pass


def _whole(order: Schedule, begins: Begins) -> Schedule:
    """The order with each BEGIN just before the first statement of its transaction."""
    return replace(order, steps=tuple(one for step in order.steps for one in (*begins[step.name], step)))


def _orders(program: Program, limit: int, seed: int) -> Iterator[Schedule]:
    """The orders; where they are drawn, the serial ones first."""
    bare, begins = _together(program)
    chosen = bare.orders() if bare.count() <= limit else iter([*bare.serial(), *bare.sample(limit, seed)])
    for order in chosen:
        yield _whole(order, begins)


def stage() -> Stage:
    """The judge's own stage, kept until the process ends."""
    return _stage(os.environ.get("WORKBOOK_STATE", ""), os.environ.get("WORKBOOK_POSTGRES_URL", ""))


@cache
def _stage(state: str, url: str) -> Stage:
    made = Stage("postgresql", timeout_s=STEP_S)
    atexit.register(made.close)
    return made


@dataclass(frozen=True)
class Rule:
    """What every order must come to.

    Parameters: `broken`, an outcome to what is wrong with it, a clause such as `two bookings hold the slot` ('' where
    nothing is); `holds`, the sentence where no order breaks it; `expected`, `question`, `misconception` as in `Finding`
    (the latter may depend on the outcome); `of`, the orders that are looked at (all, or the serial ones).
    """

    broken: Callable[[Outcome], str]
    holds: str
    expected: str = ""
    question: str = ""
    misconception: str | Callable[[Outcome], str] = ""
    of: Callable[[Trial], Sequence[Outcome]] = field(default=lambda trial: trial.outcomes)


def kept(trial: Trial, *rules: Rule) -> tuple[list[Finding], list[Any]]:
    """A finding for each rule, in their order, up to the first that is broken; and the timeline of the first order that
    breaks it (none where all are kept)."""
    findings: list[Finding] = []
    for rule in rules:
        looked = rule.of(trial)
        wrong = [(one, clause) for one in looked if (clause := rule.broken(one))]
        if not wrong:
            findings.append(Finding(True, rule.holds))
            continue
        first, clause = wrong[0]
        seen = f"One client after the other: {clause}."
        if len(looked) > 1:
            same = sum(other == clause for _, other in wrong)
            seen = f"In {_share(same, trial, looked)} {clause}, as in the order `{first.order}`."
        belief = rule.misconception if isinstance(rule.misconception, str) else rule.misconception(first)
        findings.append(Finding(False, seen, rule.expected, rule.question, belief))
        return findings, [first.run.picture]
    return findings, []


def _share(count: int, trial: Trial, looked: Sequence[Outcome]) -> str:
    if len(looked) < len(trial.outcomes):
        return f"{count:,} of {len(looked):,} serial orders"
    return f"{count:,} of {len(looked):,} orders{f' drawn from {trial.of:,}' if trial.of > len(looked) else ''}"


def _refused(outcome: Outcome) -> str:
    for client in outcome.run.outcomes:
        if outcome.failed(client)[:2] in ("42", "22", "0A", "2D", "25", "54", "XX"):
            return f"PostgreSQL refuses a statement, {outcome.message(client)}"
    return ""


understood = Rule(
    _refused,
    "Each statement runs.",
    "Statements that PostgreSQL takes, one client after the other.",
    "Run the statements one after the other in a cell, with values for the names that begin with a colon: which one is refused?",
    of=lambda trial: trial.serial[:1],
)
"""Nothing is refused for its syntax, its types or its names when one client runs after the other."""

ends = Rule(
    lambda outcome: "the sessions come to no end, and were cancelled" if outcome.stuck else "",
    "Each order comes to an end.",
    "Every client ends, whatever the others do.",
    "Which lock is held when its client's transaction is over, and who gives it back?",
)
"""Every order comes to an end: no lock outlives its transaction, and nothing runs on and on."""
