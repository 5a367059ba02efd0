"""Every order in which the steps of a few small transactions can fall, run on a real engine, each with its verdict.

    T1: BEGIN r w COMMIT        T1 T1 T1 T1 T2 T2 T2 T2   serial     as good as T1 then T2
    T2: BEGIN r w COMMIT        T1 T1 T1 T2 T1 T2 T2 T2   serial
      70 orders                 T1 T1 T2 T2 T1 T1 T2 T2   anomaly    as good as no order: P4 lost update
                                ...                       abort      an error ended one of them: 40001
                                                          deadlock   each waited for the other, one was sacrificed

A bug of concurrency shows in some of the orders and not in the others, and whoever tries a few sees what they hope to
see. Of two transactions of four steps there are 70 orders, of three of four steps 34,650. The small numbers are run
whole; above `limit`, so many different orders are drawn by a seed, each as likely as any other, and whatever is said of
them says so. Shares of orders are no probabilities: nobody knows how often an order comes up in production.

Each order's verdict is that of `verdict`: it is compared with every serial order, and those are run once, for they do
not depend on the order that is judged. Where no serial order fits, `graph` gives the anomaly its name, or it is `not
named`: then something was read or written that the graph does not see. It runs the schedule once more, so orders that
differ in nothing but when a plain BEGIN was sent, and showed the same, share it.

    >>> sessions = {"T1": ["INSERT INTO t VALUES (1)"], "T2": ["INSERT INTO t VALUES (2)"]}
    >>> found = explore(Program("one row each", "CREATE TABLE t (n int)", sessions), "duckdb")
    >>> print(found)
    one row each · DuckDB 2.0.0 · all 20 orders of T1 (3 steps) and T2 (3 steps)
    <BLANKLINE>
              serial  anomaly  abort  deadlock  waits
    snapshot      20        0      0         0      0
    >>> found.cells[0].order, found.cells[0].verdict.text
    ('T1 T1 T1 T2 T2 T2', 'equivalent to T1 then T2')

Sources: PostgreSQL's src/test/isolation/README ("permutation"); facts of what is equivalent to what, see `verdict`.
Left out: leaving out orders that cannot differ (partial order reduction): here every order is run, and counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from workbook.errors import Misuse
from workbook.schedules.bar import bar
from workbook.schedules.controls import bare
from workbook.schedules.graph import Graph, dependencies
from workbook.schedules.run import ENGINES, Run, ScheduleTimeout, level_of
from workbook.schedules.schedule import Program, Schedule
from workbook.schedules.stage import Stage, stage_of
from workbook.schedules.transactions import NOT_RUN
from workbook.schedules.verdict import Replays, SerialVerdict, judge

if TYPE_CHECKING:
    from workbook.draw.picture import Picture

Kind = Literal["serial", "anomaly", "abort", "deadlock", "stuck"]
KINDS: tuple[Kind, ...] = ("serial", "anomaly", "abort", "deadlock", "stuck")
"""What an order comes to. `abort`: what is left is as good as a serial order of those that committed, and an error has
ended another one (or a statement of it). `stuck`: it comes to no end, a session waits for one that has no step left."""
LIMIT = 3_000
SAME_LEVELS = (("postgresql", "read uncommitted"),)
"""Levels that are another one by another name."""
PLAIN_BEGIN = re.compile(r"\s*BEGIN(\s+(WORK|TRANSACTION))?\s*", re.I)


@dataclass(frozen=True, eq=False)
class Cell:
    """One order at one level.

    `number` counts the orders from 1, the same at each level; `run` is what was seen, `verdict` compares it with the
    serial orders (None where it is stuck); `kind` is what it came to, and `code` the SQLSTATE of an abort; `name` is
    the anomaly's (`not named` where its graph has none; '' where there is no anomaly, no graph, or nobody has looked).
    """

    number: int
    level: str
    run: Run
    verdict: SerialVerdict | None
    kind: Kind
    code: str = ""
    name: str = ""

    @property
    def order(self) -> str:
        """The sessions as they take turns: `T1 T1 T2 T2`."""
        return " ".join(step.session for step in self.run.schedule.steps)

    @property
    def label(self) -> str:
        """The anomaly's name or the SQLSTATE: what tells cells of one kind apart."""
        return self.name if self.kind == "anomaly" else self.code

    @property
    def text(self) -> str:
        """`serial`, `anomaly P4 lost update`, `abort 40001`, `deadlock`."""
        return f"{self.kind} {self.label}".rstrip() if self.kind in ("anomaly", "abort") else self.kind

    @property
    def waits(self) -> int:
        """How many steps waited."""
        return len({event.step for event in self.run.waits})

    @property
    def aborted(self) -> int:
        """How many sessions an error has hit: it ended their transaction, or on SQLite undid their statement."""
        return len({self.run.step(event).session for event in self.run.failures if event.sqlstate not in NOT_RUN})

    @property
    def deadlocked(self) -> int:
        """How many of those were sacrificed to end a deadlock."""
        return len(deadlocked(self.run))

    def data(self) -> dict[str, Any]:
        """Plain data: `number`, `order`, `kind`, `label`, `text`, `verdict` (in words), `waits`, `aborted`."""
        names = ("number", "order", "kind", "label", "text", "waits", "aborted")
        verdict = self.verdict.text if self.verdict else "it comes to no end"
        return {**{name: getattr(self, name) for name in names}, "verdict": verdict}


@dataclass(frozen=True)
class Tally:
    """What the orders at one level came to, counted. `waits` is the number of steps that waited, `aborted` the number
    of sessions that an error has hit, `deadlocked` how many of them in a deadlock, over all orders; `texts` counts the
    cells by their text."""

    orders: int
    serial: int
    anomaly: int
    abort: int
    deadlock: int
    stuck: int
    waits: int
    aborted: int
    deadlocked: int
    texts: Mapping[str, int]


def tally(cells: Sequence[Cell]) -> Tally:
    """Count what these orders came to."""
    kinds = Counter(cell.kind for cell in cells)
    texts = Counter(cell.text for cell in sorted(cells, key=lambda cell: KINDS.index(cell.kind)))
    return Tally(
        len(cells),
        **{kind: kinds[kind] for kind in KINDS},
        waits=sum(cell.waits for cell in cells),
        aborted=sum(cell.aborted for cell in cells),
        deadlocked=sum(cell.deadlocked for cell in cells),
        texts=dict(texts),
    )


@dataclass(frozen=True, eq=False)
class Exploration:
    """The orders of a program on an engine, at one level or several.

    `cells` holds every order at the first level, then at the second, and so on; `of` is how many orders there are,
    `explored` how many of them were run at each level, drawn by `seed` where it is fewer.
    """

    program: Program
    engine: str
    version: str
    levels: tuple[str, ...]
    cells: tuple[Cell, ...]
    of: int
    seed: int
    _graphs: dict[tuple[Any, ...], Graph] = field(default_factory=dict, repr=False)

    @property
    def explored(self) -> int:
        return len(self.cells) // len(self.levels)

    @property
    def sampled(self) -> bool:
        """Whether there are more orders than were run."""
        return self.explored < self.of

    def at(self, level: str) -> tuple[Cell, ...]:
        """The cells of one level. Raises `Misuse` for one that was not explored."""
        if level not in self.levels:
            raise Misuse(f"The level {level!r} was not explored.", next=f"use {' or '.join(self.levels)}")
        place = self.levels.index(level) * self.explored
        return self.cells[place : place + self.explored]

    def cell(self, order: int | str, level: str = "") -> Cell:
        """One cell, by its number or its order (`T1 T2 ...`), at the first level if none is given. Raises `Misuse`."""
        cells = self.at(level or self.levels[0])
        wanted = order if isinstance(order, int) else " ".join(order.split())
        for cell in cells:
            if wanted in (cell.number, cell.order):
                return cell
        raise Misuse(f"The order {order} was not explored.", next=f"give a number from 1 to {self.explored:,}")

    def first(self, kind: Kind, level: str = "") -> Cell | None:
        """The first cell that came to this, at one level or at any; None where none did."""
        return next((cell for cell in (self.at(level) if level else self.cells) if cell.kind == kind), None)

    @cached_property
    def tallies(self) -> dict[str, Tally]:
        """Each level's counts."""
        return {level: tally(self.at(level)) for level in self.levels}

    def graph(self, cell: Cell) -> Graph:
        """Why a cell came out as it did: its dependencies. Raises what `Stage.run` raises."""
        key = _key(cell.run)
        if key not in self._graphs:
            self._graphs[key] = dependencies(cell.run, stage_of(self.engine))
        return self._graphs[key]

    @property
    def title(self) -> str:
        """The program, the engine and which orders, in a line."""
        name, _, kind = ENGINES[self.engine].partition(" ")
        sessions = [f"{name} ({len(steps)} steps)" for name, steps in self.program.sessions.items()]
        of = f"all {self.of:,}"
        if self.sampled:
            of = f"{self.explored:,} of {self.of:,}, drawn by seed {self.seed},"
        who = f"{', '.join(sessions[:-1])} and {sessions[-1]}" if len(sessions) > 1 else sessions[0]
        parts = [self.program.title, f"{name} {self.version} {kind}".rstrip(), f"{of} orders of {who}"]
        if self.sampled:
            parts[2] = f"{of} of the orders of {who}"
        return " · ".join(part for part in parts if part)

    def data(self) -> dict[str, Any]:
        """Plain data, as `draw/heatmap.py` and programs take it.

        `title`, `engine`, `version`, `sessions` (name to the steps' SQL), `of`, `explored`, `sampled`, `seed`, and
        `levels`: for each its `level`, the same in words (`at`, with the levels of single sessions), the counts `serial`, `anomaly`, `abort`, `deadlock`, `stuck`, `waits`,
        `aborted`, `texts` (text to count), and `cells` as `Cell.data()` gives them.
        """
        return {
            "title": self.title,
            "engine": self.engine,
            "version": self.version,
            "sessions": {name: [step.sql for step in steps] for name, steps in self.program.sessions.items()},
            "of": self.of,
            "explored": self.explored,
            "sampled": self.sampled,
            "seed": self.seed,
            "levels": [
                {
                    "level": level,
                    "at": self._row(level),
                    **{kind: getattr(counts, kind) for kind in (*KINDS, "waits", "aborted")},
                    "texts": dict(counts.texts),
                    "cells": [cell.data() for cell in self.at(level)],
                }
                for level, counts in self.tallies.items()
            ],
        }

    def __str__(self) -> str:
        """The canonical text: a line a level, and for each name and each SQLSTATE how often, and an order that shows
        it."""
        shown = [kind for kind in KINDS if kind != "stuck" or any(one.stuck for one in self.tallies.values())]
        rows = [["", *shown, "waits"]]
        rows += [
            [self._row(level), *(f"{getattr(counts, name):,}" for name in (*shown, "waits"))]
            for level, counts in self.tallies.items()
        ]
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        lines = [self.title, ""]
        for row in rows:
            lines.append("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip())
        return "\n".join([*lines, *self._examples()])

    def _row(self, level: str) -> str:
        """A level, and the sessions that have one of their own."""
        return level_of(level, self.at(level)[0].run.levels)

    def _examples(self) -> Iterator[str]:
        for level in self.levels:
            told = [text for text in self.tallies[level].texts if text != "serial"]
            if told:
                yield f"\n{self._row(level)}"
            for text in told:
                cell = next(cell for cell in self.at(level) if cell.text == text)
                yield f"  {self.tallies[level].texts[text]:,} {text}, the first in order {cell.number}: {cell.order}"

    __repr__ = __str__

    @property
    def picture(self) -> Picture:
        """The map of all orders: a cell an order, a block a level."""
        from workbook.draw.heatmap import heatmap_picture

        return heatmap_picture(self.data(), str(self))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        from workbook.schedules.replay import heat_map

        return heat_map(self)._repr_mimebundle_()


def explore(
    program: Program | Schedule,
    engine: str = "postgresql",
    levels: str | Sequence[str] = (),
    *,
    limit: int = LIMIT,
    seed: int = 0,
    names: bool = True,
    stage: Stage | None = None,
) -> Exploration:
    """Run every order of a program on an engine, and say what each came to.

    Parameters: the `program` (of a schedule, its steps in any order); the `engine`; the `levels` (without any, the
    program's own, else every level of the engine); `limit`, the number of orders above which so many are drawn by
    `seed`; `names`, whether anomalies are named (a run more for each kind of order); the `stage` on which to run (the
    engine's own, where none is given). Raises `Misuse`, and what `Stage.run` raises; a keyboard interrupt ends the
    schedule that runs, and leaves nothing behind.
    """
    program = program.program() if isinstance(program, Schedule) else program
    if not isinstance(program, Program):
        raise Misuse(
            f"A {type(program).__name__} has no orders.", next="give a Program, or `Schedule.read(text)` of a schedule"
        )
    stage = stage or stage_of(engine)
    chosen = levels_of(program, stage, levels)
    if limit < 1:
        raise Misuse(f"{limit} orders cannot be run.", next="give a limit of 1 or more")
    orders = drawn(program, limit, seed)
    examiner, graphs = Examiner(stage), {}  # type: Examiner, dict[tuple[Any, ...], Graph]
    with bar(f"orders on {ENGINES[stage.engine]}", len(orders) * len(chosen)) as step:
        cells = []
        for level in chosen:
            for number, order in enumerate(orders, 1):
                cells.append(examiner.run(order, level, number))
                step()
    if names:
        cells = list(_named(cells, stage, graphs))
    version = stage.seats.version
    return Exploration(program, stage.engine, version, chosen, tuple(cells), program.count(), seed, graphs)


def levels_of(program: Program, stage: Stage, levels: str | Sequence[str] = ()) -> tuple[str, ...]:
    """The levels at which a program is explored: those asked for, else its own, else the engine's, the weakest
    first."""
    wanted = (levels,) if isinstance(levels, str) and levels else tuple(levels)
    if not wanted and program.level:
        wanted = (program.level,)
    if not wanted:
        from workbook.schedules.scenarios import ROWS

        wanted = tuple(level for name, level in ROWS if name == stage.engine and (name, level) not in SAME_LEVELS)
    unknown = [level for level in wanted if level not in stage.seats.levels]
    if unknown:
        raise Misuse(
            f"{ENGINES[stage.engine]} has no isolation level {unknown[0]!r}.",
            next=f"use {' or '.join(stage.seats.levels)}",
        )
    return tuple(dict.fromkeys(wanted))


def drawn(program: Program, limit: int, seed: int) -> list[Schedule]:
    """Every order of a program, or `limit` of them where there are more, in the order of the sessions' turns."""
    if program.count() <= limit:
        return list(program.orders())
    place = {name: number for number, name in enumerate(program.sessions)}
    found = program.sample(limit, seed)
    return sorted(found, key=lambda order: [place[step.session] for step in order.steps])


class Examiner:
    """Says what orders of a program come to on a stage; keeps the serial runs with which each one is compared."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._replays = Replays(stage)

    def run(self, order: Schedule, level: str, number: int = 1) -> Cell:
        """Run an order at a level, and say what it came to."""
        try:
            run = self.stage.run(order, level)
        except ScheduleTimeout as error:
            if error.run is None:
                raise
            return Cell(number, level, error.run, None, "stuck")
        return self.cell(run, level, number)

    def cell(self, run: Run, level: str, number: int = 1) -> Cell:
        """What a run came to."""
        verdict = judge(run, replays=self._replays)
        kind, code = came_to(run, verdict)
        return Cell(number, level, run, verdict, kind, code)


def came_to(run: Run, verdict: SerialVerdict) -> tuple[Kind, str]:
    """What a run came to, and the SQLSTATE of an abort: the worst counts, an anomaly before anything else."""
    failures = [event for event in run.failures if event.sqlstate not in NOT_RUN]
    if not verdict.serializable:
        return "anomaly", ""
    if deadlocked(run):
        return "deadlock", "40P01"
    return ("abort", failures[0].sqlstate or "by an error") if failures else ("serial", "")


def deadlocked(run: Run) -> set[str]:
    """The sessions that were sacrificed to end a deadlock."""
    return {
        run.step(event).session
        for event in run.failures
        if event.sqlstate == "40P01" or "deadlock" in event.message.lower()
    }


def _named(cells: Sequence[Cell], stage: Stage, graphs: dict[tuple[Any, ...], Graph]) -> Iterator[Cell]:
    """The cells, the anomalies with their names."""
    anomalies = {_key(cell.run): cell.run for cell in cells if cell.kind == "anomaly"}
    if anomalies:
        with bar("names of anomalies", len(anomalies)) as step:
            for key, run in anomalies.items():
                graphs[key] = dependencies(run, stage)
                step()
    for cell in cells:
        yield replace(cell, name=graphs[_key(cell.run)].label) if cell.kind == "anomaly" else cell


def _key(run: Run) -> tuple[Any, ...]:
    """What was seen, in order, without when a plain BEGIN was sent: nothing begins before the first statement."""
    plain = run.level != "immediate" and "immediate" not in run.levels.values()
    events = [
        (run.step(event).name, event.kind, event.sqlstate, repr(event.rows), event.rowcount)
        for event in run.events
        if not (plain and PLAIN_BEGIN.fullmatch(bare(run.step(event).sql)))
    ]
    return (run.level, tuple(sorted(run.levels.items())), tuple(events))
