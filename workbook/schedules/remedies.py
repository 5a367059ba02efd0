"""The smallest remedy of a program's anomalies: found by trying, over every order, with what each costs.

    lost update, read committed: 60 of 70 orders are an anomaly

      remedy                              changes  anomalies  aborts  deadlocks  retries  waits
    ✓ repeatable read                           1          0      60          0        0     40    the smallest
    ✓ FOR NO KEY UPDATE in T1.2 and T2.2        2          0       0          0        0     60    the cheapest
    ✓ repeatable read and a retry               3          0       0          0       60     40
    ✗ FOR NO KEY UPDATE in T1.2                 1         48       0          0        0     50

Each candidate (see `candidates`) is run on the engine in every order of the program, and judged as any other program
is. One that is refused, or that changes what the transactions do one after the other, is no remedy, and it is said
why. `aborts` and `deadlocks` count transactions, each in one of the two. Those that leave no anomaly are ordered twice: the smallest changes least, the cheapest costs least in
transactions that are ended by an error or run again, then in steps that wait. Where errors end transactions, the same
remedy is tried with a loop that runs them again (see `retrying`); where a stronger level aborts, with an index beside
it.

    >>> from workbook.schedules import Program
    >>> setup = "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0)"
    >>> sessions = {f"T{id}": ["SELECT n FROM t", f"UPDATE t SET n = 1 WHERE id = {id}"] for id in (1, 2)}
    >>> tried = remedies(Program("write skew", setup, sessions), "duckdb")
    >>> tried.as_it_is.tally.anomaly, tried.smallest.remedy.name
    (60, 'a guard row')

Over a sample of the orders ('500 of 924'), 'none' means none seen. Left out: remedies that need the program written anew; hand them in
as programs of their own (`also`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbook.errors import SqlError
from workbook.schedules.bar import bar
from workbook.schedules.candidates import Remedy, candidates, constraints, indexes
from workbook.schedules.interleavings import (
    Cell,
    Examiner,
    Exploration,
    Tally,
    deadlocked,
    drawn,
    explore,
    levels_of,
    tally,
)
from workbook.schedules.retrying import Looped, run_with_retries
from workbook.schedules.run import Run, level_of
from workbook.schedules.schedule import Program, Schedule
from workbook.schedules.stage import Stage, stage_of
from workbook.schedules.tables import tables_of

if TYPE_CHECKING:
    from workbook.draw.picture import Picture

LIMIT = 500
RETRIED_MAX = 6
"""So many of the smallest remedies that abort are tried with a loop, too."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A remedy that was tried: what the orders came to (`tally`), how many transactions were run again, the first order
    that still goes wrong; or why it is none (`refused`). Where it adds steps it has more orders than the program (`of`),
    and `limit` of them may have been drawn."""

    remedy: Remedy
    tally: Tally | None = None
    retries: int = 0
    wrong: Cell | None = None
    refused: str = ""

    @cached_property
    def of(self) -> int:
        """How many orders the changed program has."""
        return self.remedy.program.count()

    @property
    def sampled(self) -> bool:
        """Whether there are more orders than were tried."""
        return self.tally is not None and self.tally.orders < self.of

    @property
    def works(self) -> bool:
        """Whether no order is an anomaly, and each comes to an end."""
        return self.tally is not None and self.tally.anomaly == 0 and self.tally.stuck == 0

    @property
    def size(self) -> tuple[float, ...]:
        """What it takes, then what it costs: less is smaller."""
        return (self.remedy.changes, *self.each, self.remedy.strength)

    @property
    def cost(self) -> tuple[float, ...]:
        """What it costs, then what it takes: less is cheaper."""
        aborted, retries, waits = self.each
        return (aborted + retries, aborted, waits, self.remedy.changes, self.remedy.strength)

    @property
    def each(self) -> tuple[float, float, float]:
        """For each order, the transactions that an error ends, those that are run again, and the steps that wait: a
        remedy that adds a step has more orders."""
        assert self.tally is not None
        orders = self.tally.orders
        return self.tally.aborted / orders, self.retries / orders, self.tally.waits / orders

    def data(self) -> dict[str, Any]:
        """Plain data: `name`, `kind`, `changes`, `level`, `retry`, `works`, `retries`, `refused`, the counts
        (`of`, the number of its orders, whether they were `sampled`, `orders`, those that were tried, `serial`, `anomaly`, `abort`, `deadlock`, `stuck`, `waits`, `aborted`, `deadlocked`; None where it
        was refused) and `wrong`, an order that still goes wrong."""
        one = self.remedy
        names = ("orders", "serial", "anomaly", "abort", "deadlock", "stuck", "waits", "aborted", "deadlocked")
        return {
            "name": one.name,
            "kind": one.kind,
            "changes": one.changes,
            "level": one.level,
            "retry": one.retry,
            "works": self.works,
            "retries": self.retries,
            "refused": self.refused,
            "of": self.of,
            "sampled": self.sampled,
            **{name: None if self.tally is None else getattr(self.tally, name) for name in names},
            "wrong": self.wrong.order if self.wrong else "",
        }


@dataclass(frozen=True, eq=False)
class Remedies:
    """The remedies of a program that were tried. `exploration` is the program as it is; `trials` are in order: those
    that work, the smallest first; those that leave anomalies, the fewest first; those that are none."""

    exploration: Exploration
    trials: tuple[Trial, ...]

    @property
    def as_it_is(self) -> Trial:
        """The program without a remedy."""
        return next(trial for trial in self.trials if trial.remedy.kind == "as it is")

    @property
    def working(self) -> tuple[Trial, ...]:
        """Those that leave no anomaly, the smallest first."""
        return tuple(trial for trial in self.trials if trial.works)

    @cached_property
    def smallest(self) -> Trial | None:
        """The one that changes least; None where none works."""
        return min(self.working, key=lambda trial: trial.size, default=None)

    @cached_property
    def cheapest(self) -> Trial | None:
        """The one that costs least; None where none works."""
        return min(self.working, key=lambda trial: trial.cost, default=None)

    def trial(self, name: str) -> Trial | None:
        """The trial of a remedy, by its name."""
        return next((trial for trial in self.trials if trial.remedy.name == name), None)

    @property
    def title(self) -> str:
        """The program, the engine, the level, and over which orders, in a line."""
        found = self.exploration
        orders = f"all {found.of:,} orders"
        if found.sampled:
            orders = f"{found.explored:,} of {found.of:,} orders, drawn by seed {found.seed}"
        head = found.title.rpartition(" · ")[0]
        own = {name: found.program.levels.get(name, found.levels[0]) for name in found.program.sessions}
        return f"Remedies: {head} · {level_of(found.levels[0], own)} · {orders}"

    def data(self) -> dict[str, Any]:
        """Plain data, as `draw/remedies.py` and programs take it: `title`, `level`, `explored`, `of`, `sampled`,
        `seed`, `smallest` and `cheapest` (names, '' where none works), and `trials` as `Trial.data()` gives them."""
        found = self.exploration
        return {
            "title": self.title,
            "level": found.levels[0],
            "explored": found.explored,
            "of": found.of,
            "sampled": found.sampled,
            "seed": found.seed,
            "smallest": self.smallest.remedy.name if self.smallest else "",
            "cheapest": self.cheapest.remedy.name if self.cheapest else "",
            "trials": [trial.data() for trial in self.trials],
        }

    def __str__(self) -> str:
        """The canonical text: a line a remedy."""
        heads = ["  remedy", "changes", "orders", "anomalies", "aborts", "deadlocks", "retries", "waits", ""]
        rows = [heads, *(self._line(trial) for trial in self.trials)]
        widths = [max(len(row[at]) for row in rows if len(row) > at and len(row) > 2) for at in range(len(heads))]
        lines = [self.title, ""]
        for row in rows:
            if len(row) == 2:
                lines.append(f"{row[0].ljust(widths[0])}  {row[1]}")
            else:
                numbers = "  ".join(map(str.rjust, row[1:-1], widths[1:-1]))
                lines.append(f"{row[0].ljust(widths[0])}  {numbers}  {row[-1]}".rstrip())
        return "\n".join(lines)

    def _line(self, trial: Trial) -> list[str]:
        sign = "✓" if trial.works else "–" if trial.refused else "✗"
        name = f"{sign} {trial.remedy.name}"
        if trial.tally is None:
            return [name, trial.refused]
        counts = trial.tally
        costs = (counts.aborted - counts.deadlocked, counts.deadlocked, trial.retries, counts.waits)
        orders = f"{counts.orders:,}{f' of {trial.of:,}' if trial.sampled else ''}"
        numbers = [f"{number:,}" for number in (trial.remedy.changes, counts.anomaly, *costs)]
        stuck = f"{counts.stuck:,} come to no end" if counts.stuck else ""
        return [name, numbers[0], orders, *numbers[1:], self._said(trial) or stuck]

    def _said(self, trial: Trial) -> str:
        words = [word for word, one in (("smallest", self.smallest), ("cheapest", self.cheapest)) if one is trial]
        return f"the {' and the '.join(words)}" if words else ""

    __repr__ = __str__

    @property
    def picture(self) -> Picture:
        """A bar a remedy: what the orders come to, and what it costs."""
        from workbook.draw.remedies import remedies_picture

        return remedies_picture(self.data(), str(self))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return self.picture._repr_mimebundle_()


def remedies(
    program: Program | Schedule,
    engine: str = "postgresql",
    level: str = "",
    *,
    also: Mapping[str, Program] | None = None,
    limit: int = LIMIT,
    seed: int = 0,
    stage: Stage | None = None,
) -> Remedies:
    """Try what could mend a program at a level, and say what each costs.

    Parameters: the `program`; the `engine`; the `level` that it runs at (without one, the program's own, else the
    engine's default); `also`, further programs by what they are called; `limit`, the number of orders above which so
    many are drawn by `seed`; the `stage` on which to run (the engine's own, where none is given). Raises `Misuse`,
    and what `Stage.run` raises.
    """
    program = program.program() if isinstance(program, Schedule) else program
    return _Trials(program, stage or stage_of(engine), level, limit, seed).remedies(also or {})


class _Trials:
    """One program, and what is tried on it."""

    def __init__(self, program: Program, stage: Stage, level: str, limit: int, seed: int) -> None:
        self.program, self.stage, self.limit, self.seed = program, stage, limit, seed
        wanted = level or program.level or stage.level or stage.seats.levels[0]
        (self.level,) = levels_of(program, stage, wanted)
        bare = replace(program, level="")
        self.levels = levels_of(bare, stage)
        if self.level not in self.levels:  # another level by another name, which has none above it that is its own
            self.levels = (self.level, *self.levels)

    def remedies(self, also: Mapping[str, Program]) -> Remedies:
        before = explore(
            self.program, levels=self.level, limit=self.limit, seed=self.seed, names=False, stage=self.stage
        )
        as_it_is = Trial(
            Remedy("as it is", "as it is", 0, self.program, self.level),
            before.tallies[self.level],
            wrong=before.first("anomaly"),
        )
        known = tables_of(next(self.program.serial()), self.stage)
        self.serial = self._serial(self.program, self.level)
        first = [*candidates(self.program, self.level, self.stage.engine, self.levels, known)]
        wrong = [cell.run.final for cell in before.cells if cell.kind == "anomaly"]
        right = [run.final for run in self.serial.values()]
        first += constraints(self.program, self.level, self.stage.engine, known, right, wrong)
        first += [Remedy(name, "own", 1, other, other.level or self.level, 30) for name, other in also.items()]
        trials = [as_it_is, *self._tried(first, "remedies")]
        second = [*self._with_index(trials, known), *self._with_retry(trials)]
        trials += self._tried(second, "remedies with a loop or an index beside them") if second else []
        return Remedies(before, tuple(sorted(trials, key=_place)))

    def _with_index(self, trials: Sequence[Trial], known: Any) -> Iterator[Remedy]:
        """Stronger levels that abort, with an index beside them."""
        for trial in trials:
            one = trial.remedy
            if one.kind == "level" and trial.works and trial.tally and trial.tally.aborted:
                for index in indexes(one.program, one.level, self.stage.engine, known):
                    yield replace(
                        index, name=f"{one.name} and {index.name}", changes=2, strength=one.strength + index.strength
                    )

    def _with_retry(self, trials: Sequence[Trial]) -> Iterator[Remedy]:
        """The smallest of those that abort, with a loop in each session."""
        works = [trial for trial in trials if trial.works and trial.tally is not None and trial.tally.aborted]
        for trial in sorted(works, key=lambda trial: trial.size)[:RETRIED_MAX]:
            one = trial.remedy
            name = "a retry" if one.kind == "as it is" else f"{one.name} and a retry"
            yield replace(one, name=name, changes=one.changes + len(self.program.sessions), retry=True)

    def _tried(self, every: Sequence[Remedy], what: str) -> list[Trial]:
        orders = sum(min(self.limit, remedy.program.count()) for remedy in every)
        with bar(f"trying {what}", orders) as step:
            return [self._try(remedy, step) for remedy in every]

    def _try(self, remedy: Remedy, step: Any) -> Trial:
        try:
            refused = self._changes(remedy)
        except SqlError as error:
            refused = f"refused: {error.what.removeprefix('The setup is refused: ').rstrip('.')}"
        if refused:
            return Trial(remedy, refused=refused)
        examiner, retries = Examiner(self.stage), 0
        given_up: list[str] = []
        dead = 0
        cells = []
        for number, order in enumerate(drawn(remedy.program, self.limit, self.seed), 1):
            if remedy.retry:
                looped = run_with_retries(remedy.program, order, remedy.level, self.stage)
                cells.append(_looped(looped, examiner.cell(looped.run, remedy.level, number)))
                given_up += looped.given_up
                dead += len(deadlocked(looped.run) & {*looped.given_up})
                retries += looped.retries
            else:
                cells.append(examiner.run(order, remedy.level, number))
            step()
        wrong = next((cell for cell in cells if cell.kind in ("anomaly", "stuck")), None)
        counts = tally(cells)
        if remedy.retry:  # what was run again is no abort
            counts = replace(counts, aborted=len(given_up), deadlocked=dead)
        return Trial(remedy, counts, retries, wrong)

    def _serial(self, program: Program, level: str) -> dict[tuple[str, ...], Run]:
        """The serial orders of a program, by the order of the sessions."""
        return {order.sessions: self.stage.run(order, level) for order in program.serial()}

    def _changes(self, remedy: Remedy) -> str:
        """What a remedy makes of the serial orders, where that is something else than before; '' where it is not."""
        for sessions, run in self._serial(remedy.program, remedy.level).items():
            before = self.serial.get(sessions)
            told = " then ".join(sessions)
            if failed := [event for event in run.failures if before is None or not before.failures]:
                event = failed[0]
                return f"refused in {told}: {event.sqlstate} {event.message}"
            if before is not None and _left(run, before.final) != _left(before, before.final):
                return f"{told} leaves something else than before"
        return ""


def _looped(looped: Looped, cell: Cell) -> Cell:
    """What an order with loops came to: what was run again and has committed is no abort."""
    over = cell.kind in ("abort", "deadlock") and not looped.given_up
    return replace(cell, kind="serial", code="") if over else cell


def _left(run: Run, tables: Iterable[str]) -> dict[str, list[str]]:
    """What a run has left in these tables."""
    return {name: sorted(map(repr, run.final.get(name, ()))) for name in tables}


def _place(trial: Trial) -> tuple[Any, ...]:
    """Where a trial stands among the others."""
    if trial.tally is None:
        return (2, trial.remedy.changes, trial.remedy.strength)
    return (0, *trial.size) if trial.works else (1, trial.tally.anomaly, *trial.size)
