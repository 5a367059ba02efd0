"""Is a run as good as one transaction after the other? Asked of the engine, with no theory.

    what was observed            T1 then T2, run again         T2 then T1, run again
    T1.2 read (1, 10)            T1.2 reads (1, 10)   as seen  T1.2 reads (1, 12)   not as seen
    T2.2 read (1, 10)            T2.2 reads (1, 11)   not      T2.2 reads (1, 10)   as seen
    left: (1, 12)                left: (1, 12)        as seen  left: (1, 11)        not as seen

A run is serializable when some serial order of its committed transactions would have shown every read the same rows,
every write the same number of rows, and would have left the same tables. So each serial order is run on the same
engine, at the same level, from the same setup, and compared. The rows of a read are compared as a multiset; where the
statement says ORDER BY, by their order as well, ties apart (`ordering`). What aborted transactions read is not judged
here.

    >>> verdict = SerialVerdict(("T1", "T2"), (("T2", "T1"),), 2)
    >>> print(verdict)
    equivalent to T2 then T1

This is view serializability (Papadimitriou, The Serializability of Concurrent Database Updates, 1979), of values
instead of versions, and decided by running instead of by reading the history: it needs no model of the engine, and it
cannot say why. `graph` says why, from other evidence; the two are compared on generated programs in
`tests/schedules`.

A serial order keeps each session's own transactions in the session's order: nobody has done the second thing before the
first (Daudjee, Salem, Lazy Database Replication with Ordering Guarantees, ICDE 2004: strong session serializability).
PostgreSQL's SERIALIZABLE gives this; DuckDB and REPEATABLE READ may break it where they keep to some other order.

Left out: real time among sessions (a serial order may run a transaction before one that had ended earlier); what sequences and clocks gave (run again, they give something else, and the verdict says so); more than
`ORDERS_MAX` orders.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbook.errors import Misuse
from workbook.schedules.ordering import admissible, with_keys
from workbook.schedules.run import Event, Run, ScheduleTimeout, shown
from workbook.schedules.schedule import Schedule, Step
from workbook.schedules.statement import DIALECTS
from workbook.schedules.transactions import Transaction, told_nothing, transactions

if TYPE_CHECKING:
    from workbook.schedules.stage import Stage

ORDERS_MAX = 5_040
"""Those of seven transactions of seven sessions; nobody waits for more."""
OTHERS_SHOWN = 5
"""As many other orders as three transactions can have."""
NOTHING = Step("nobody", "SELECT 1", "nobody.1")
"""What is run where nothing was committed: a schedule needs a step."""


class Unjudged(Misuse):
    """A run on which no verdict is given: there are too many orders, or its transactions cannot be told apart."""


@dataclass(frozen=True)
class Difference:
    """What a serial order would have done otherwise: the step's name ('' for the final state), and a sentence."""

    step: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class SerialVerdict:
    """Which serial orders a run is equivalent to.

    `committed` are the transactions that were judged, in the order of their commits; `orders` the equivalent orders;
    `tried` how many were run; `nearest` the order that differs least, where none is equivalent, and `differences` what
    it would have done otherwise.
    """

    committed: tuple[str, ...]
    orders: tuple[tuple[str, ...], ...]
    tried: int
    nearest: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()

    @property
    def serializable(self) -> bool:
        return bool(self.orders)

    @property
    def text(self) -> str:
        """`equivalent to T2 then T1`, or `equivalent to no order`."""
        if not self.orders:
            return "equivalent to no order"
        return f"equivalent to {_said(self.orders[0])}"

    @property
    def words(self) -> str:
        """The text and its grounds: the other orders that fit, or what the nearest one would have done otherwise."""
        if len(self.orders) > 1:
            others = [_said(order) for order in self.orders[1:]]
            left = len(others) - OTHERS_SHOWN
            more = f"; and {left:,} more" if left > 0 else ""
            return f"{self.text}; as well to {'; '.join(others[:OTHERS_SHOWN])}{more}"
        if self.orders:
            return self.text
        grounds = "".join(f"\n  {difference}" for difference in self.differences)
        return f"{self.text}; the nearest is {_said(self.nearest)}, in which{grounds}"

    def data(self) -> dict[str, Any]:
        """Plain data: `text`, `words`, `committed`, `orders`, `tried`, `nearest`, `differences` (step and text)."""
        return {
            "text": self.text,
            "words": self.words,
            "committed": list(self.committed),
            "orders": [list(order) for order in self.orders],
            "tried": self.tried,
            "nearest": list(self.nearest),
            "differences": [{"step": one.step, "text": one.text} for one in self.differences],
        }

    def __str__(self) -> str:
        return self.words


def _said(order: tuple[str, ...]) -> str:
    if not order:
        return "the setup alone: nothing was committed"
    return " then ".join(order) if len(order) > 1 else f"{order[0]} alone"


@dataclass
class Replays:
    """Serial runs that were made already, by what was run: every interleaving of a program asks for the same few.

    `stage` runs what is missing.
    """

    stage: Stage
    known: dict[tuple[object, ...], Run | None] = field(default_factory=dict)

    def run(self, schedule: Schedule) -> Run | None:
        """The run of a serial schedule; None where it came to no end (a session kept an advisory lock)."""
        steps = tuple((step.session, step.sql) for step in schedule.steps)
        levels = (schedule.level, tuple(sorted(schedule.levels.items())))
        key = (self.stage.engine, schedule.setup, schedule.teardown, levels, steps)
        if key not in self.known:
            try:
                self.known[key] = self.stage.run(schedule, schedule.level)
            except ScheduleTimeout:
                self.known[key] = None
        return self.known[key]


def judge(run: Run, stage: Stage | None = None, replays: Replays | None = None) -> SerialVerdict:
    """Run every serial order of the committed transactions on the run's engine, and compare.

    Parameters: the `run`; the `stage` on which to run the orders (the engine's own, where none is given); or
    `replays`, which keep what was run, for many runs of one program. Raises `Unjudged` above `ORDERS_MAX` orders, and where
    a step holds parts of two transactions.
    """
    from workbook.schedules.stage import stage_of

    replays = replays or Replays(stage or stage_of(run.engine))
    every = transactions(run)
    if unclear := [one.unclear for one in every if one.unclear]:
        raise Unjudged(f"{unclear[0]}.", next="write one statement a step, and COMMIT where a transaction ends")
    committed = sorted((one for one in every if one.committed), key=lambda one: one.ended or 0)
    found: list[tuple[tuple[str, ...], tuple[Difference, ...]]] = []
    for order in serial_orders(committed):
        names = tuple(one.name for one in order)
        found.append((names, _differences(run, order, replays)))
    equivalent = tuple(names for names, differences in found if not differences)
    committed_names = tuple(one.name for one in committed)
    if equivalent:
        return SerialVerdict(committed_names, equivalent, len(found))
    names, differences = min(found, key=lambda one: len(one[1]))
    return SerialVerdict(committed_names, (), len(found), names, differences)


def serial_orders(committed: Sequence[Transaction]) -> Iterator[tuple[Transaction, ...]]:
    """Every order that keeps each session's own as they are given; the one given comes first. Raises `Unjudged` above
    `ORDERS_MAX`."""
    own = Counter(one.session for one in committed)
    if math.factorial(len(committed)) // math.prod(map(math.factorial, own.values())) > ORDERS_MAX:
        raise Unjudged(
            f"{len(committed)} committed transactions have more than {ORDERS_MAX:,} serial orders.",
            next="judge a schedule with fewer transactions: put statements between BEGIN and COMMIT",
        )

    def ordered(done: tuple[Transaction, ...], left: Sequence[Transaction]) -> Iterator[tuple[Transaction, ...]]:
        if not left:
            yield done
        for place, one in enumerate(left):
            if one.session not in [earlier.session for earlier in left[:place]]:
                yield from ordered((*done, one), (*left[:place], *left[place + 1 :]))

    return ordered((), committed)


def _differences(run: Run, order: tuple[Transaction, ...], replays: Replays) -> tuple[Difference, ...]:
    """What this order does otherwise than the run did."""
    indexes = [index for one in order for index in one.every if not told_nothing(run.end(index))]
    asked = {
        index: with_keys(run.schedule.steps[index].sql, _columns(run, index), DIALECTS[run.engine]) for index in indexes
    }
    steps = tuple(replace(run.schedule.steps[index], sql=sql) for index, (sql, _) in asked.items()) or (NOTHING,)
    sessions = {step.session for step in steps}
    levels = {name: level for name, level in run.schedule.levels.items() if name in sessions}
    again = replays.run(replace(run.schedule, steps=steps, levels=levels, level=run.level))
    if again is None:
        return (Difference("", "the sessions would have waited for each other without end"),)
    found = []
    for place, (index, (_, keys)) in enumerate(asked.items()):
        was, would = run.end(index), again.end(place)
        if was is not None and (text := _difference(run.schedule.steps[index], was, would, keys)):
            found.append(Difference(run.schedule.steps[index].name, text))
    for table in sorted({*run.final, *again.final}):
        left, other = (Counter(map(repr, one.final.get(table, ()))) for one in (run, again))
        if left != other:
            text = f"{table} would have been left as {_rows(again.final, table)}, and was left as {_rows(run.final, table)}"
            found.append(Difference("", text))
    return tuple(found)


def _rows(final: Mapping[str, tuple[tuple[Any, ...], ...]], table: str) -> str:
    return shown(final[table]) if table in final else "no table"


def _columns(run: Run, index: int) -> tuple[str, ...]:
    event = run.end(index)
    return event.columns if event else ()


def _difference(step: Step, was: Event, would: Event | None, keys: int) -> str:
    """How a step's answers differ, in a sentence; '' where they are the same. The last `keys` columns of the second
    are what it ordered by."""
    named = f"{step.name} ({' '.join(step.sql.split())})"
    if would is None:
        return f"{named} would have waited without end"
    if was.kind != would.kind or was.sqlstate != would.sqlstate:
        failed = f"failed: {would.sqlstate} {would.message}".replace(":  ", ": ").strip()
        return f"{named} would have {failed if would.kind == 'failed' else 'been done'}, and {_became(was)}"
    if was.rows is not None:
        rows = would.rows or ()
        if admissible(was.rows, rows, keys):
            return ""
        shorter = [row[: len(row) - keys] for row in rows]
        order = " in another order" if admissible(was.rows, shorter, 0) else ""
        return f"{named} would have read {shown(shorter)}, and read {shown(was.rows)}{order}"
    if max(was.rowcount or 0, would.rowcount or 0) > 0 and was.rowcount != would.rowcount:
        return f"{named} would have found {_count(would)}, and found {_count(was)}"
    if (was.answer.upper() == "ROLLBACK") != (would.answer.upper() == "ROLLBACK"):
        return f"{named} would have answered {would.answer}, and answered {was.answer}"
    return ""


def _became(event: Event) -> str:
    return "was done" if event.kind == "done" else f"failed: {event.sqlstate} {event.message}"


def _count(event: Event) -> str:
    return f"{event.rowcount} row{'' if event.rowcount == 1 else 's'}"
