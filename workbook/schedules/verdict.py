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

A clock, chance and a sequence give something else each time. So where no order fits, the nearest is run once more, and
columns in which one order differs from itself are not compared, nor those that a sequence fills; `notes` say which. A
number that was given out and rolled back is no anomaly.

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

Left out: real time among sessions (a serial order may run a transaction before one that had ended earlier); more than
`ORDERS_MAX` orders; answers that SQL leaves open otherwise than by ties (LIMIT without ORDER BY): notes name them.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbook.errors import Misuse
from workbook.schedules.ordering import admissible, still_open, with_keys
from workbook.schedules.run import Event, Run, ScheduleTimeout, shown
from workbook.schedules.schedule import Schedule, Step
from workbook.schedules.statement import DIALECTS
from workbook.schedules.tables import Table, tables_of
from workbook.schedules.transactions import Transaction, told_nothing, transactions

if TYPE_CHECKING:
    from workbook.schedules.stage import Stage

ORDERS_MAX = 5_040
"""Those of seven transactions of seven sessions; nobody waits for more."""
OTHERS_SHOWN = 5
"""As many other orders as three transactions can have."""
NOTHING = Step("nobody", "SELECT 1", "nobody.1")
"""What is run where nothing was committed: a schedule needs a step."""
OF_SECONDS = ("sqlite", "sqlite-rollback", "mariadb")
"""Engines whose clocks count seconds, so that two runs may read the same."""
CLOCK = re.compile(
    r"\b(current_time|now|localtime|datetime|strftime|unixepoch|julianday|curtime|sysdate|unix_time)(stamp)?\b", re.I
)
CHANGING, NUMBERED = (
    "another one each time it runs, and is not compared",
    "filled by a sequence, which is no part of a transaction, and is not compared",
)
Rows = Sequence[tuple[Any, ...]]


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
    it would have done otherwise; `notes` say what was not compared, though it differs, and what may differ by right.
    """

    committed: tuple[str, ...]
    orders: tuple[tuple[str, ...], ...]
    tried: int
    nearest: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

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
        notes = "".join(f"\nnote: {note}" for note in self.notes)
        if not self.orders:
            grounds = "".join(f"\n  {difference}" for difference in self.differences)
            return f"{self.text}; the nearest is {_said(self.nearest)}, in which{grounds}{notes}"
        others = [_said(order) for order in self.orders[1:]]
        left = len(others) - OTHERS_SHOWN
        more = f"; and {left:,} more" if left > 0 else ""
        well = f"; as well to {'; '.join(others[:OTHERS_SHOWN])}{more}" if others else ""
        return f"{self.text}{well}{notes}"

    def data(self) -> dict[str, Any]:
        """Plain data: `text`, `words`, `committed`, `orders`, `tried`, `nearest`, `differences` (step and text),
        `notes`."""
        return {
            "text": self.text,
            "words": self.words,
            "committed": list(self.committed),
            "orders": [list(order) for order in self.orders],
            "tried": self.tried,
            "nearest": list(self.nearest),
            "differences": [{"step": one.step, "text": one.text} for one in self.differences],
            "notes": list(self.notes),
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

    def run(self, schedule: Schedule, turn: int = 1) -> Run | None:
        """The run of a serial schedule, for the first time or another one; None where it came to no end (a session kept
        an advisory lock)."""
        steps = tuple((step.session, step.sql) for step in schedule.steps)
        levels = (schedule.level, tuple(sorted(schedule.levels.items())))
        key = (self.stage.engine, schedule.setup, schedule.teardown, levels, steps, turn)
        if key not in self.known:
            if turn > 1 and self.stage.engine in OF_SECONDS and CLOCK.search(str(schedule)):
                time.sleep(1 - time.time() % 1)  # until the clock shows another second
            try:
                self.known[key] = self.stage.run(schedule, schedule.level)
            except ScheduleTimeout:
                self.known[key] = None
        return self.known[key]


def judge(run: Run, stage: Stage | None = None, replays: Replays | None = None) -> SerialVerdict:
    """Run every serial order of the committed transactions on the run's engine, and compare.

    Parameters: the `run`; the `stage` on which to run the orders (the engine's own, where none is given); or
    `replays`, which keep what was run, for many runs of one program. Raises `Unjudged` above `ORDERS_MAX` orders, and
    where a step holds parts of two transactions.
    """
    from workbook.schedules.stage import stage_of

    replays = replays or Replays(stage or stage_of(run.engine))
    every = transactions(run)
    if unclear := [one.unclear for one in every if one.unclear]:
        raise Unjudged(f"{unclear[0]}.", next="write one statement a step, and COMMIT where a transaction ends")
    committed = sorted((one for one in every if one.committed), key=lambda one: one.ended or 0)
    comparison = _Comparison(run, replays)
    orders = list(serial_orders(committed))
    found = {order: comparison.differences(order) for order in orders}
    repeated: set[tuple[Transaction, ...]] = set()
    nearest = orders[0]
    while all(found.values()):
        nearest = min(orders, key=lambda order: (len(found[order]), order in repeated))
        if nearest in repeated or not comparison.leaves_out(nearest):
            break
        repeated.add(nearest)
        found = {order: comparison.differences(order) for order in orders}
    names = {order: tuple(one.name for one in order) for order in orders}
    committed_names = tuple(one.name for one in committed)
    if equivalent := [order for order in orders if not found[order]]:
        notes = comparison.notes(equivalent[0])
        return SerialVerdict(committed_names, tuple(names[one] for one in equivalent), len(orders), notes=notes)
    notes = (*comparison.notes(nearest), *comparison.left_open(found[nearest]))
    return SerialVerdict(committed_names, (), len(orders), names[nearest], found[nearest], notes)


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


class _Comparison:
    """Compares a run with its serial orders."""

    def __init__(self, run: Run, replays: Replays) -> None:
        self.run, self.replays = run, replays
        self._schedules: dict[tuple[Transaction, ...], tuple[Schedule, dict[int, int]]] = {}
        self.apart: dict[int | str, dict[int, str]] = {}
        """Of a step (by its index) or a table, the columns that are not compared, each with why it is not."""

    def differences(self, order: tuple[Transaction, ...]) -> tuple[Difference, ...]:
        """What this order does otherwise than the run did."""
        schedule, asked = self._schedule(order)
        again = self.replays.run(schedule)
        if again is None:
            return (Difference("", "the sessions would have waited for each other without end"),)
        found = []
        for place, (index, keys) in enumerate(asked.items()):
            was, would, step = self.run.end(index), again.end(place), self.run.schedule.steps[index]
            if was is not None and (text := _difference(step, was, would, keys, self.apart.get(index, {}))):
                found.append(Difference(step.name, text))
        for table in sorted({*self.run.final, *again.final}):
            left, other = (_without(one.final.get(table, ()), self.apart.get(table, {})) for one in (self.run, again))
            if (table in self.run.final, Counter(map(repr, left))) != (table in again.final, Counter(map(repr, other))):
                said = [
                    shown(rows) if table in one.final else "no table"
                    for one, rows in ((again, other), (self.run, left))
                ]
                found.append(Difference("", f"{table} would have been left as {said[0]}, and was left as {said[1]}"))
        return tuple(found)

    def _schedule(self, order: tuple[Transaction, ...]) -> tuple[Schedule, dict[int, int]]:
        """The schedule of an order, and for the index of each of its steps how many columns were added to it."""
        if order not in self._schedules:
            self._schedules[order] = self._made(order)
        return self._schedules[order]

    def _made(self, order: tuple[Transaction, ...]) -> tuple[Schedule, dict[int, int]]:
        run = self.run
        indexes = [index for one in order for index in one.every if not told_nothing(run.end(index))]
        asked = {
            index: with_keys(run.schedule.steps[index].sql, _columns(run, index), DIALECTS[run.engine])
            for index in indexes
        }
        steps = tuple(replace(run.schedule.steps[index], sql=sql) for index, (sql, _) in asked.items()) or (NOTHING,)
        sessions = {step.session for step in steps}
        levels = {name: level for name, level in run.schedule.levels.items() if name in sessions}
        schedule = replace(run.schedule, steps=steps, levels=levels, level=run.level)
        return schedule, {index: keys for index, (_, keys) in asked.items()}

    @property
    def tables(self) -> tuple[Table, ...]:
        return tables_of(self.run.schedule, self.replays.stage).tables

    # what is another one each time

    def leaves_out(self, order: tuple[Transaction, ...]) -> bool:
        """Leave out what a sequence fills, and what this order gives otherwise when it is run once more; whether that
        is more than before."""
        before = sum(map(len, self.apart.values()))
        self._numbers()
        schedule, asked = self._schedule(order)
        one, other = self.replays.run(schedule), self.replays.run(schedule, turn=2)
        if one is not None and other is not None:
            for place, index in enumerate(asked):
                ends = one.end(place), other.end(place)
                self._changing(index, *(event.rows or () if event else () for event in ends))
            for table in one.final.keys() & other.final.keys():
                self._changing(table, one.final[table], other.final[table])
        return sum(map(len, self.apart.values())) > before

    def _changing(self, place: int | str, rows: Rows, others: Rows) -> None:
        if len(rows) != len(others):
            return
        for at, (one, other) in enumerate(zip(zip(*rows, strict=True), zip(*others, strict=True), strict=False)):
            if Counter(map(repr, one)) != Counter(map(repr, other)):
                self.apart.setdefault(place, {}).setdefault(at, CHANGING)

    def _numbers(self) -> None:
        """The columns that a sequence fills: in the tables, and by their names in what was returned."""
        for table in (one for one in self.tables if one.sequenced):
            named = re.compile(rf"\b{re.escape(table.name)}\b", re.I)
            places: list[int | str] = [table.name]
            places += [index for index, step in enumerate(self.run.schedule.steps) if named.search(step.sql)]
            for place in places:
                for at, name in enumerate(self._names(place)):
                    if name in table.sequenced:
                        self.apart.setdefault(place, {}).setdefault(at, NUMBERED)

    def _names(self, place: int | str) -> tuple[str, ...]:
        return self.run.columns.get(place, ()) if isinstance(place, str) else _columns(self.run, place)

    # what is said of it

    def notes(self, order: tuple[Transaction, ...]) -> tuple[str, ...]:
        """What was not compared, and differs between the run and this order."""
        schedule, asked = self._schedule(order)
        again = self.replays.run(schedule)
        if again is None:
            return ()
        found: dict[tuple[str, str], list[str]] = {}
        for place, columns in self.apart.items():
            if isinstance(place, str):
                rows, others, called = self.run.final.get(place, ()), again.final.get(place, ()), place
            elif place in asked:
                ends = self.run.end(place), again.end(list(asked).index(place))
                rows, others = (event.rows or () if event else () for event in ends)
                called = self.run.schedule.steps[place].name
            else:
                continue
            for at, name in enumerate(self._names(place)):
                if at in columns and Counter(repr(row[at]) for row in rows) != Counter(repr(row[at]) for row in others):
                    found.setdefault((name, columns[at]), []).append(called)
        return tuple(f"{name} of {' and '.join(places)} is {why}" for (name, why), places in found.items())

    def left_open(self, differences: Sequence[Difference]) -> tuple[str, ...]:
        """What SQL leaves open in the steps that differ."""
        sql = {step.name: step.sql for step in self.run.schedule.steps}
        keys = [key for table in self.tables for key in table.unique]
        return tuple(
            f"{one.step}: {why}, and other answers are as right"
            for one in differences
            for why in still_open(sql.get(one.step, ""), DIALECTS[self.run.engine], keys)
        )


def _without(rows: Rows, apart: Mapping[int, str]) -> Rows:
    """Rows without some columns."""
    return [tuple(value for at, value in enumerate(row) if at not in apart) for row in rows] if apart else rows


def _columns(run: Run, index: int) -> tuple[str, ...]:
    event = run.end(index)
    return event.columns if event else ()


def _difference(step: Step, was: Event, would: Event | None, keys: int, apart: Mapping[int, str]) -> str:
    """How a step's answers differ, in a sentence; '' where they are the same. The last `keys` columns of the second
    are what it ordered by; columns that stand `apart` are not compared."""
    named = f"{step.name} ({' '.join(step.sql.split())})"
    if would is None:
        return f"{named} would have waited without end"
    if was.kind != would.kind or was.sqlstate != would.sqlstate:
        failed = f"failed: {would.sqlstate} {would.message}".replace(":  ", ": ").strip()
        return f"{named} would have {failed if would.kind == 'failed' else 'been done'}, and {_became(was)}"
    if was.rows is not None:
        width = len(was.columns)
        if any(at >= width for at in apart):  # what it is ordered by is another one each time: any order is right
            apart, keys = {**apart, **{width + key: "" for key in range(keys)}}, 0
        read, rows = _without(was.rows, apart), _without(would.rows or (), apart)
        if admissible(read, rows, keys):
            return ""
        shorter = [row[: len(row) - keys] for row in rows]
        order = " in another order" if admissible(read, shorter, 0) else ""
        return f"{named} would have read {shown(shorter)}, and read {shown(read)}{order}"
    if max(was.rowcount or 0, would.rowcount or 0) > 0 and was.rowcount != would.rowcount:
        return f"{named} would have found {_count(would)}, and found {_count(was)}"
    if (was.answer.upper() == "ROLLBACK") != (would.answer.upper() == "ROLLBACK"):
        return f"{named} would have answered {would.answer}, and answered {was.answer}"
    return ""


def _became(event: Event) -> str:
    return "was done" if event.kind == "done" else f"failed: {event.sqlstate} {event.message}"


def _count(event: Event) -> str:
    return f"{event.rowcount} row{'' if event.rowcount == 1 else 's'}"
