"""A loop that runs a transaction again when an error has ended it: what the orders of a program come to with one.

    T1: BEGIN r w COMMIT
    T2: BEGIN r w ✗ 40001   ROLLBACK        BEGIN r w COMMIT       the client sees the error, and begins anew
                            └ at once ┘     └ when all others are done ┘

A step that fails ends its attempt: what the client would still have sent is left out, ROLLBACK takes its place, and
the whole transaction is run again at the end, with what its session does after it, up to `TRIES` times; what the session
has committed before it is not. That is the plainest loop, and the kindest: a real
one may meet the others again. Only errors that say so are worth it, in `RETRIED`; another try of a statement that is
wrong is wrong.

    >>> worth_it("postgresql", "40001"), worth_it("postgresql", "22012"), worth_it("sqlite", "517")
    (True, False, True)

Sources: PostgreSQL's manual, 13.5 "Serialization Failure Handling" (which names 23505 and 23P01, too: the other one
may be gone); sqlite.org, "Result and Error Codes". Left out: how long to wait between the tries.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from workbook.schedules.controls import chains, kind, leaves_open, statements
from workbook.schedules.run import Run
from workbook.schedules.schedule import Program, Schedule, Step
from workbook.schedules.stage import Stage
from workbook.schedules.transactions import NOT_RUN

TRIES = 5
RETRIED = {
    "postgresql": ("40001", "40P01", "23505", "23P01"),
    "sqlite": ("5", "517"),
    "sqlite-rollback": ("5", "517"),
    "duckdb": ("TransactionContext", "Transaction"),
    "mariadb": ("40001",),
}
AGAIN = re.compile(r", try \d+$")
ENDED_BY_COMMIT = ("postgresql", "duckdb", "mariadb")
"""Engines where a COMMIT that fails has ended the transaction."""


def worth_it(engine: str, sqlstate: str) -> bool:
    """Whether an error says that the transaction may be run again."""
    return sqlstate in RETRIED[engine]


@dataclass(frozen=True)
class Looped:
    """What came of an order with loops: the last `run`, how many `retries` it took, and the sessions that have
    `given_up`."""

    run: Run
    retries: int
    given_up: tuple[str, ...]


def run_with_retries(
    program: Program,
    order: Schedule,
    level: str,
    stage: Stage,
    *,
    codes: Collection[str] | None = None,
    most: int = TRIES,
    first: Run | None = None,
) -> Looped:
    """Run an order with a loop in each session, which runs a transaction again after the SQLSTATEs in `codes` (those in
    `RETRIED`, where none are given), up to `most` times in all. `first`: the run of the order without a loop, where it is there. Raises what `Stage.run`
    raises."""
    tries = dict.fromkeys(program.sessions, 1)
    handled: set[str] = set()
    while True:
        run, first = first or stage.run(order, level), None
        failures = [event for event in run.failures if event.sqlstate not in NOT_RUN]
        left = [event for event in failures if run.step(event).name not in handled]
        again = [
            event
            for event in left
            if event.sqlstate in (RETRIED[run.engine] if codes is None else codes)
            and tries[run.step(event).session] < most
        ]
        if not again:
            given_up = tuple(dict.fromkeys(run.step(event).session for event in left))
            return Looped(run, sum(tries.values()) - len(tries), given_up)
        step = run.step(again[0])
        handled.add(step.name)
        tries[step.session] += 1
        order = _again(program, order, again[0].step, tries[step.session], run.engine)


def _again(program: Program, order: Schedule, at: int, number: int, engine: str) -> Schedule:
    """The order in which the attempt that failed at a step is rolled back there, and run once more at the end."""
    failed = order.steps[at]
    whole, inside = _from_its_begin(program.sessions[failed.session], AGAIN.sub("", failed.name))
    before = list(order.steps[: at + 1])
    after = [step for step in order.steps[at + 1 :] if step.session != failed.session]
    if inside and not (failed.ends and engine in ENDED_BY_COMMIT):
        before.append(Step(failed.session, "ROLLBACK", f"{failed.name}, rolled back"))
    again = [replace(step, name=f"{AGAIN.sub('', step.name)}, try {number}") for step in whole]
    return replace(order, steps=(*before, *after, *again))


def _from_its_begin(steps: Sequence[Step], failed: str) -> tuple[tuple[Step, ...], bool]:
    """A session's steps from the one on that begins the transaction of a failed step, and whether that transaction was
    begun: a statement outside of BEGIN and COMMIT leaves nothing to roll back.

    >>> steps = [Step("T1", sql, sql) for sql in ("BEGIN", "INSERT", "COMMIT; BEGIN", "UPDATE", "COMMIT")]
    >>> [step.sql for step in _from_its_begin(steps, "UPDATE")[0]]
    ['BEGIN', 'UPDATE', 'COMMIT']
    """
    kept: tuple[Step, ...] = ()
    inside = False
    for place, step in enumerate(steps):
        parts = statements(step.sql)
        begun = [at for at, part in enumerate(parts) if kind(part) == "begin" or chains(part)]
        if not inside:
            kept = tuple(steps[place:])
        if step.name == failed:
            return kept, inside or bool(begun and begun[0] < len(parts) - 1)
        if inside and begun and any(kind(part) not in ("begin", "plain") for part in parts[: begun[-1] + 1]):
            first, *rest = parts[begun[-1] :]  # it ends one and begins the next
            begin = "BEGIN" if chains(first) else first
            kept = (replace(step, sql="; ".join([begin, *rest])), *steps[place + 1 :])
        inside = leaves_open(step.sql, inside)
    return tuple(steps), True
