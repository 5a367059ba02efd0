"""A loop that runs a transaction again when an error has ended it: what the orders of a program come to with one.

    T1: BEGIN r w COMMIT
    T2: BEGIN r w ✗ 40001   ROLLBACK        BEGIN r w COMMIT       the client sees the error, and begins anew
                            └ at once ┘     └ when all others are done ┘

A step that fails ends its attempt: what the client would still have sent is left out, ROLLBACK takes its place, and
the whole transaction is run again at the end, up to `TRIES` times. That is the plainest loop, and the kindest: a real
one may meet the others again. Only errors that say so are worth it, in `RETRIED`; another try of a statement that is
wrong is wrong.

    >>> worth_it("postgresql", "40001"), worth_it("postgresql", "22012"), worth_it("sqlite", "517")
    (True, False, True)

Sources: PostgreSQL's manual, 13.5 "Serialization Failure Handling" (which names 23505 and 23P01, too: the other one
may be gone); sqlite.org, "Result and Error Codes". Left out: how long to wait between the tries.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

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
    before = list(order.steps[: at + 1])
    after = [step for step in order.steps[at + 1 :] if step.session != failed.session]
    if not (failed.ends and engine in ENDED_BY_COMMIT):
        before.append(Step(failed.session, "ROLLBACK", f"{failed.name}, rolled back"))
    again = [
        replace(step, name=f"{AGAIN.sub('', step.name)}, try {number}") for step in program.sessions[failed.session]
    ]
    return replace(order, steps=(*before, *after, *again))
