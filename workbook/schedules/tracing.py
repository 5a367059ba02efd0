"""Which row versions each step of a run looked at, and which it wrote: the evidence for the graph of dependencies.

    the run, again, with its versions in sight                      row 1: setup ── T1.3 ── T2.3
    T1.2 SELECT ... WHERE id = 1     sees  row 1 of the setup
    T2.2 SELECT ... WHERE id = 1     sees  row 1 of the setup
    T1.3 UPDATE ... WHERE id = 1     sees  row 1 of the setup       writes  row 1
    T2.3 UPDATE ... WHERE id = 1     sees  row 1 of T1.3 (waited)   writes  row 1

The schedule is run a second time with the means of `eyes`. Nothing is believed because a manual says so: what the
traced run observed must be what the plain run observed, or tracing has changed the outcome and the trace is not used;
each statement is asked again of the engine on just the versions that it is said to have seen, and must return the
rows that it returned, or find the rows that it wrote; the newest versions must be what the tables hold in the end.

The version order of a row is the order in which its writers committed. An engine with row locks leaves no choice:
whoever writes a row locks it until the transaction ends, so the next writer's version comes after that commit, and
replaces exactly that version, which is seen. DuckDB does not see a conflict of a DELETE with an UPDATE: a deleted row
stays deleted, whoever commits later, so a deletion is the last version everywhere; and an UPDATE of a key, which it
carries out as a delete and an insert, puts a copy of the version that it saw in the place of a newer one, so it has
read and written all of its columns.

Two kinds of looks go further than a snapshot. A locking statement at READ COMMITTED takes, of a row that it found,
the newest version, after it has waited for it (EvalPlanQual in PostgreSQL's sources); and keys are checked against
the newest versions: an insert looks for its own key and for its parent, a delete for children.

Sources: A. Adya, Weak Consistency (1999), chapter 3; PostgreSQL's src/backend/executor/README, "EvalPlanQual", and
its manual, 13.2.1. Left out, and named in `Trace.problems`: what `statement` and `tables` cannot follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbook.schedules.controls import savepoint, statements
from workbook.schedules.eyes import Write, eye_of
from workbook.schedules.run import Event, Run, ScheduleTimeout, shown
from workbook.schedules.schedule import Schedule, Step
from workbook.schedules.sights import Looks
from workbook.schedules.statement import read_statement
from workbook.schedules.tables import LOOKER, Table, tables_of
from workbook.schedules.transactions import not_begun, told_nothing, transactions
from workbook.schedules.versions import Row, Trace, Untraceable, Version

if TYPE_CHECKING:
    from workbook.schedules.stage import Stage

ATTEMPTS = 4
"""How often a schedule is run again until it comes out as it did without tracing."""
KEY_TAKEN = {
    "postgresql": ("23505",),
    "sqlite": ("1555", "2067"),
    "sqlite-rollback": ("1555", "2067"),
    "mariadb": ("23000",),
}
"""The error of an INSERT whose key was there already."""


def trace(run: Run, stage: Stage | None = None) -> Trace:
    """Run a schedule again with its row versions in sight, and say what each step looked at and wrote.

    Parameters: the `run`; the `stage` on which to run it again (the engine's own, where none is given). What cannot
    be traced is said in `Trace.problems`; raises what `Stage.run` raises.
    """
    from workbook.schedules.stage import stage_of

    tracer = Tracer(run, stage or stage_of(run.engine))
    try:
        return tracer.trace()
    except Untraceable as problem:
        return Trace(run, tracer.transactions, problems=(str(problem),))


class Tracer:
    """Traces one run. Indexes of steps are those of the plain run; `place_of` gives their places in the traced one."""

    def __init__(self, run: Run, stage: Stage) -> None:
        self.run, self.stage = run, stage
        self.transactions = transactions(run)
        self.of_step = {step: one for one in self.transactions for step in one.every}
        self.known = tables_of(run.schedule, stage)
        self.by_name = {table.name: table for table in self.known.tables}
        self.eye = eye_of(run.engine, self.known.tables)
        self.statements = [
            read_statement(step.sql, self.known.tables, run.engine, self.known.safe) for step in run.schedule.steps
        ]
        self.versions: list[Version] = []
        self.at_place: dict[tuple[str, str], Version] = {}
        self.made_at: dict[int, int] = {}
        self.undone_at: dict[int, int] = {}
        self.wrote: dict[int, list[Version]] = {}
        self.notes: list[str] = []
        self.refused: list[int] = []
        self.place_of: dict[int, int] = {}
        self.index_of: dict[int, int] = {}
        self.asked: dict[int, tuple[str, Table]] = {}
        self.rows: dict[str, dict[int, list[Version]]] = {}
        self.order: dict[Row, tuple[Version, ...]] = {}
        self.ended: dict[str, int] = {}

    def trace(self) -> Trace:
        if why := self.eye.problem(self.run.version):
            raise Untraceable(why)
        self._check_statements()
        self._run_again()
        self._collect()
        self._put_in_order()
        self._check_final()
        sights = Looks(self).sights()
        return Trace(
            self.run,
            self.transactions,
            self.known,
            tuple(self.versions),
            self.order,
            tuple(sights),
            notes=tuple(dict.fromkeys(self.notes)),
        )

    # what cannot be traced is found out first

    def committed_steps(self) -> Iterator[int]:
        """The indexes of the statements of committed transactions that were done."""
        for one in self.transactions:
            if one.committed:
                for index in one.steps:
                    event = self.run.end(index)
                    if event is not None and event.kind == "done":
                        yield index

    def _check_statements(self) -> None:
        for one in self.transactions:
            for index in one.steps if one.committed else ():
                event, name = self.run.end(index), self.run.schedule.steps[index].name
                if event is None or event.kind != "failed" or told_nothing(event) or not_begun(event):
                    continue
                if self.statements[index].kind == "insert" and event.sqlstate in KEY_TAKEN.get(self.run.engine, ()):
                    self.refused.append(index)  # by a key, which is looked for in `sights`
                else:
                    raise Untraceable(f"{name} failed with {event.sqlstate}, and its transaction went on")
        for index in self.committed_steps():
            statement, step = self.statements[index], self.run.schedule.steps[index]
            if statement.problem:
                raise Untraceable(f"{step.name}: {statement.problem}")
            if statement.writes and (problem := self.by_name[statement.target].problem):
                raise Untraceable(f"{step.name} writes {statement.target}: {problem}")
            self.notes += [f"{step.name}: {note}" for note in statement.notes]
            if statement.kind == "insert":
                table = self.by_name[statement.target]
                left_out = [name for name in table.sequenced if name not in statement.given(table.columns)]
                self.notes += [
                    f"{step.name}: a sequence fills {name}, and is no part of a transaction" for name in left_out
                ]

    # the run, again

    def _run_again(self) -> None:
        """Run the schedule with its versions in sight until it comes out as it did. Raises `Untraceable` where it
        does not: then tracing has changed it, or it comes out one way or the other by itself (rows of a table stand
        in no order, and who waits for which first may decide who is sacrificed in a deadlock)."""
        again = self._with_versions()
        for attempt in range(ATTEMPTS):
            setup = again.setup if attempt == 0 else f"{again.setup}\n-- anew"
            try:
                self.traced = self.stage.run(replace(again, setup=setup), self.run.level, probe=self._probe)
                return self._check_outcome()
            except ScheduleTimeout:
                raise Untraceable("tracing changed the outcome: the schedule came to no end") from None
            except Untraceable:
                if attempt == ATTEMPTS - 1:
                    raise

    def _with_versions(self) -> Schedule:
        """The schedule that is run instead: listings of the tables first, then its steps as the eye wants them."""
        schedule, tables = self.run.schedule, self._tables_in_use()
        first = schedule.steps[0].session
        steps: list[Step] = []

        def ask(what: str, session: str, asked: list[tuple[Table, str]]) -> None:
            for table, sql in asked:
                self.asked[len(steps)] = (what, table)
                steps.append(Step(session, sql, f"{what} {table.name} {len(steps)}"))

        ask("list", first, [(table, self.eye.listing(table)) for table in tables])
        for index, step in enumerate(schedule.steps):
            if step.ends:
                ask("record", LOOKER, self.eye.record_of(tables))
            statement = self.statements[index]
            target = self.by_name.get(statement.target) if statement.writes else None
            sql = step.sql if statement.problem else self.eye.rewritten(step, statement, target)
            self.place_of[index], self.index_of[len(steps)] = len(steps), index
            steps.append(Step(step.session, sql, step.name))
        ask("record", LOOKER, self.eye.record_of(tables))
        levels = dict(schedule.levels)
        if any(step.session == LOOKER for step in steps):
            levels[LOOKER] = self.eye.record_level
        return replace(schedule, setup=self.eye.setup(schedule.setup, tables), steps=tuple(steps), levels=levels)

    def end(self, index: int) -> Event | None:
        """The event that ended a step of the plain run in the traced one."""
        return self.traced.end(self.place_of[index])

    def _tables_in_use(self) -> list[Table]:
        used = {look.table for one in self.statements for look in one.looks} | {one.target for one in self.statements}
        used |= {ref.parent for table in self.known.tables if table.name in used for ref in table.references}
        used |= {table.name for table in self.known.tables for ref in table.references if ref.parent in used}
        return [table for table in self.known.tables if table.name in used]

    def _probe(self, step: Step) -> tuple[str | None, str | None]:
        index = next((index for index, one in enumerate(self.run.schedule.steps) if one.name == step.name), None)
        if index is None or self.statements[index].problem:
            return None, None
        level = self.run.levels.get(step.session, self.run.level)
        return self.eye.probes(step, self.statements[index], self._tables_in_use(), level)

    def _check_outcome(self) -> None:
        """What each step came to must be the same with and without tracing, and what is left. Who waited for whom may
        differ: of two rows that a statement must wait for, either may come first."""
        for index, step in enumerate(self.run.schedule.steps):
            was, traced = self.run.end(index), self.end(index)
            statement = self.statements[index]
            target = self.by_name.get(statement.target) if statement.writes else None
            if traced is not None and traced.kind == "done" and not statement.problem:
                traced = self.eye.plain(statement, target, traced)
            if _came_to(was, statement.writes) != _came_to(traced, statement.writes):
                now = _told(traced)
                raise Untraceable(f"tracing changed the outcome: {step.name} {_told(was)}, and {now} when traced")
        if self._final(self.traced) != self._final(self.run):
            raise Untraceable("tracing changed the outcome: other rows are left")

    def _final(self, run: Run) -> dict[str, Counter[str]]:
        return {
            name: Counter(repr(self.eye.bare(run.columns.get(name, ()), row)) for row in rows)
            for name, rows in run.final.items()
            if name in self.by_name
        }

    # the versions

    def _collect(self) -> None:
        """The versions, as they came to be; those that were undone by a return to a savepoint."""
        saved: dict[tuple[str, str], int] = {}
        asked = [(event, *self.asked[event.step]) for event in self.traced.events if event.step in self.asked]
        for event, what, table in asked:
            if event.kind == "done" and what == "record":
                self.eye.take(table, event)
            elif event.kind == "done":
                for place, image in self.eye.listed(table, event):
                    self._add(event, None, table, Write("", None, place, None, image), frozenset(table.columns))
        for event in self.traced.events:
            index = self.index_of.get(event.step, -1)
            if event.kind != "done" or index < 0:
                continue
            statement = self.statements[index]
            if statement.writes and not statement.problem:
                table = self.by_name[statement.target]
                for write in self.eye.writes(self.run.schedule.steps[index], statement, table, event):
                    self._add(event, index, table, write, statement.assigned)
            else:
                for one in statements(self.run.schedule.steps[index].sql):
                    self._savepoint(event, index, saved, *savepoint(one))

    def _add(self, event: Event, step: int | None, table: Table, write: Write, assigned: frozenset[str]) -> None:
        replaced = self.at_place.get((table.name, write.old_place)) if write.old_place else None
        if write.old_place and replaced is None:
            raise Untraceable(f"a version of {table.name} that was written over is not known")
        touched = frozenset(table.columns)
        if replaced is not None and replaced.image is not None and write.new is not None:
            old, new = replaced.image, write.new
            touched = assigned | {name for name in table.columns if repr(old[name]) != repr(new[name])}
        number = len(self.versions)
        row = number if replaced is None else replaced.row
        version = Version(number, table.name, row, step, write.new, replaced, touched, write.new_place or "", write.by)
        self.versions.append(version)
        self.rows.setdefault(table.name, {}).setdefault(row, []).append(version)
        self.made_at[number] = event.at
        if write.new_place:
            self.at_place[(table.name, write.new_place)] = version
        if step is not None:
            self.wrote.setdefault(step, []).append(version)

    def _savepoint(self, event: Event, index: int, saved: dict[tuple[str, str], int], what: str, name: str) -> None:
        one = self.of_step.get(index)
        key = (one.name if one else "", name)
        if what == "save":
            saved[key] = len(self.versions)
        for version in self.versions[saved.get(key, 0) :] if what == "back" else ():
            if version.step is not None and self.of_step.get(version.step) is one:
                self.undone_at.setdefault(version.number, event.at)

    def _put_in_order(self) -> None:
        """Each row's committed versions, in the order of their writers' commits; nothing comes after a deletion."""
        for one in self.transactions:
            event = self.end(one.every[-1]) if one.committed else None
            if event is not None:
                self.ended[one.name] = event.at
        rows: dict[Row, list[Version]] = {}
        for version in self.versions:
            if version.number not in self.undone_at and self._committed(version):
                rows.setdefault((version.table, version.row), []).append(version)
        self.order = {
            row: tuple(sorted(versions, key=lambda one: (not one.alive, self._committed_at(one), one.number)))
            for row, versions in sorted(rows.items(), key=lambda item: (item[0][0], item[0][1]))
        }

    def _committed(self, version: Version) -> bool:
        return version.step is None or self.of_step[version.step].name in self.ended

    def _committed_at(self, version: Version) -> int:
        return -1 if version.step is None else self.ended[self.of_step[version.step].name]

    def when(self, version: Version) -> int | None:
        """When a version was committed, as a position in the traced run (-1 for the setup); None where it never was."""
        if version.number in self.undone_at or not self._committed(version):
            return None
        return self._committed_at(version)

    def _check_final(self) -> None:
        """The newest versions must be what the tables hold in the end."""
        listed = {table.name for _, table in self.asked.values()}
        for name in sorted(listed & set(self.traced.final)):
            newest = [versions[-1] for (table, _), versions in self.order.items() if table == name]
            kept = Counter(repr(tuple(one.image.values())) for one in newest if one.image is not None)
            if kept != self._final(self.traced)[name]:
                raise Untraceable(f"the newest versions of {name} are not what it holds in the end")


def _came_to(event: Event | None, writes: bool) -> tuple[Any, ...]:
    """What is observed of a step's end."""
    if event is None:
        return ()
    rows = None if event.rows is None else Counter(map(repr, event.rows))
    return event.kind, event.sqlstate, rows, event.rowcount if writes else None


def _told(event: Event | None) -> str:
    """What a step came to, for the sentence that two runs differ."""
    if event is None:
        return "did not end"
    if event.kind == "failed":
        return f"failed with {event.sqlstate}"
    if event.rows is not None:
        return f"returned {shown(event.rows)}"
    return f"was done with {event.rowcount} rows" if (event.rowcount or -1) >= 0 else f"was {event.kind}"
