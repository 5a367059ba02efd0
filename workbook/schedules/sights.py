"""What each step of a traced run looked at: for each row the version that was current for it, and which versions match.

    T2.1 UPDATE test SET value = 0 WHERE value = 20              at READ COMMITTED, while T1 has row 2 locked
      its snapshot     row 1 of the setup (10)   row 2 of the setup (20)
      finds there                                row 2, waits for it
      takes            row 1 of the setup        row 2 of T1.1 (30), which does not match any more
      never sees       row 1 of T1.1 (20), which does match

For each look of a statement the engine is asked which of all versions match its condition. Then each statement is
asked once more on just the versions that it is said to have seen: what it returned, and which rows it found, must
come out again.

Left out: statements on more than `ROWS_CHECKED_MAX` rows are not asked once more; those with LIMIT but no ORDER BY,
clocks or chance cannot be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from workbook.schedules.asking import Questions, found_by, said_by
from workbook.schedules.run import Event
from workbook.schedules.statement import TARGET, Look, Statement
from workbook.schedules.tables import Table
from workbook.schedules.versions import Sight, Untraceable, Version

if TYPE_CHECKING:
    from workbook.schedules.tracing import Tracer

ROWS_CHECKED_MAX = 1_000
Seen = dict[int, Version]


@dataclass
class _Step:
    """A statement that was done in a committed transaction: its event in the traced run, and what it saw."""

    index: int
    statement: Statement
    event: Event
    snapshot: dict[str, Seen] = field(default_factory=dict)
    newest: dict[str, Seen] = field(default_factory=dict)
    taken: list[Seen] = field(default_factory=list)
    """For each look of the statement, the versions that it took."""


class Looks:
    """Finds out the sights of a traced run."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer, self.known = tracer, tracer.known
        self.questions = Questions(tracer.run.schedule, tracer.stage, tracer.known)
        self.steps = [
            self._step(index) for index in tracer.committed_steps() if tracer.statements[index].kind != "control"
        ]

    def sights(self) -> list[Sight]:
        """The looks of all statements of committed transactions, checked. Raises `Untraceable`."""
        self._take()
        asked: dict[Look, tuple[str, list[Any]]] = {}
        for step in self.steps:
            for look in step.statement.looks:
                if look not in asked:
                    asked[look] = self._matching(look)
        checks = [check for step in self.steps if (check := self._check(step))]
        self.answers = self.questions.ask([*(sql for sql, _ in asked.values()), *(sql for _, sql, _ in checks)])
        for step, sql, expected in checks:
            self._compare(step, sql, expected)
        matches = {look: self._matched(look, sql, images) for look, (sql, images) in asked.items()}
        found = [sight for step in self.steps for sight in self._of_step(step, matches)]
        return found + [sight for index in self.tracer.refused for sight in self._of_refused(index)]

    # what was current for a step

    def _step(self, index: int) -> _Step:
        event = self.tracer.end(index)
        assert event is not None
        step = _Step(index, self.tracer.statements[index], event)
        has_snapshot = event.kind == "done" and self.tracer.eye.has_snapshot(step.statement, self._level(index))
        for name in self._tables(step.statement):
            step.snapshot[name] = self._current(step, name) if has_snapshot else self._newest(step, name)
            step.newest[name] = self._newest(step, name)
        return step

    def _tables(self, statement: Statement) -> list[str]:
        names = {look.table for look in statement.looks} | ({statement.target} if statement.writes else set())
        for table in self.known.tables:
            for reference in table.references:
                if statement.target in (table.name, reference.parent):
                    names |= {table.name, reference.parent}
        return sorted(names)

    def _rows(self, table: str) -> Iterable[tuple[int, list[Version]]]:
        return self.tracer.rows.get(table, {}).items()

    def _own(self, step: _Step, versions: Sequence[Version]) -> Version | None:
        """The version of a row that the step's own transaction had written before it."""
        me, at = self.tracer.of_step[step.index], step.event.at
        own = [
            one
            for one in versions
            if one.step is not None
            and one.step != step.index
            and self.tracer.of_step[one.step] is me
            and self.tracer.made_at[one.number] < at
            and self.tracer.undone_at.get(one.number, at) >= at
        ]
        return own[-1] if own else None

    def _others(self, step: _Step, versions: Sequence[Version]) -> list[Version]:
        """What others have written of a row by the time of the step, committed versions last, in version order."""
        me, when = self.tracer.of_step[step.index], self.tracer.when
        others = [one for one in versions if one.step is None or self.tracer.of_step[one.step] is not me]
        before = [one for one in others if self.tracer.made_at[one.number] < step.event.at]
        return sorted(before, key=lambda one: (when(one) is not None, when(one) or 0, one.number))

    def _current(self, step: _Step, table: str) -> Seen:
        seen: Seen = {}
        eye, since = self.tracer.eye, self._since(step)
        wrote = {one.row: one for one in self.tracer.wrote.get(step.index, ()) if one.table == table}
        for row, versions in self._rows(table):
            if eye.after and row in wrote:
                current = wrote[row].replaced
            else:
                current = self._own(step, versions)
                if current is None:
                    current = eye.current(step.event, self._others(step, versions), self.tracer.when, since)
            if current is not None:
                seen[row] = current
        return seen

    def _level(self, index: int) -> str:
        run = self.tracer.run
        return run.levels.get(run.schedule.steps[index].session, run.level)

    def _since(self, step: _Step) -> int:
        """The position at which the step's snapshot was taken: its own, or that of its transaction's first
        statement."""
        eye, level = self.tracer.eye, self._level(step.index)
        if eye.each_has_its_own(level):
            return step.event.at
        indexes = self.tracer.of_step[step.index].steps
        reading = [one for one in indexes if eye.has_snapshot(self.tracer.statements[one], level)]
        ends = (self.tracer.end(index) for index in reading)
        return min((event.at for event in ends if event is not None), default=step.event.at)

    def _newest(self, step: _Step, table: str) -> Seen:
        seen: Seen = {}
        for row, versions in self._rows(table):
            own = self._own(step, versions)
            at, when = step.event.at, self.tracer.when
            committed = [one for one in self._others(step, versions) if (done := when(one)) is not None and done < at]
            if own is not None or committed:
                seen[row] = own or committed[-1]
        return seen

    # what a look took

    def _take(self) -> None:
        """What each look took: its snapshot; of rows that it locked, the newest versions."""
        again: dict[tuple[int, int], str] = {}
        for place, step in enumerate(self.steps):
            for number, look in enumerate(step.statement.looks):
                snapshot, newest = step.snapshot[look.table], step.newest[look.table]
                step.taken.append(newest if look.locks and self.tracer.eye.locking == "every" else snapshot)
                if (
                    look.locks
                    and self.tracer.eye.locking == "found"
                    and any(newest.get(row) is not one for row, one in step.taken[-1].items())
                ):
                    again[(place, number)] = self._found_by(step, look, snapshot)
        answers = self.questions.ask(again.values())
        for (place, number), sql in again.items():
            step = self.steps[place]
            look = step.statement.looks[number]
            snapshot, newest = step.snapshot[look.table], step.newest[look.table]
            numbers = {row[0] for row in self._rows_of(step, answers[sql])}
            found = {one.row for number, one in enumerate(_alive(snapshot)) if number in numbers}
            for row in found:
                self._check_sorted(step, look, snapshot[row], newest.get(row))
            step.taken[number] = {row: newest[row] if row in found else one for row, one in snapshot.items()}

    def _check_sorted(self, step: _Step, look: Look, was: Version, newest: Version | None) -> None:
        """Of what a locking statement found it must not take another version than the one that it sorted by."""
        by = step.statement.sorted_by(self.known.table(look.table).columns)
        if newest is not None and any(was.last_image[one] != newest.last_image[one] for one in by):
            raise Untraceable(f"{self._name(step)}: it sorted rows, then waited, and took a row as it was by then")

    def _found_by(self, step: _Step, look: Look, seen: Seen) -> str:
        """The question which of these versions the statement finds, its other tables being as its snapshot has them."""
        query = found_by(step.statement, look.alias)
        if query is None:
            raise Untraceable(f"{self._name(step)}: it locks rows in a subquery")
        rows = {
            one.table: (self.known.table(one.table), _images(step.snapshot[one.table])) for one in step.statement.looks
        }
        return self.questions.on({**rows, TARGET: (self.known.table(look.table), _images(seen))}, query)

    # the statement, asked again

    def _check(self, step: _Step) -> tuple[_Step, str, Counter[str]] | None:
        """A question that must bring out again what the statement returned or found, and the answer that is
        expected."""
        statement = step.statement
        tables = {look.table for look in statement.looks}
        if not tables or statement.notes or sum(len(step.snapshot[name]) for name in tables) > ROWS_CHECKED_MAX:
            return None
        if statement.kind in ("update", "delete"):
            look = statement.looks[0]
            numbers = {one.number: number for number, one in enumerate(_alive(step.taken[0]))}
            replaced = [one.replaced for one in self.tracer.wrote.get(step.index, ()) if one.replaced]
            expected = Counter(str(numbers.get(one.number, "another version")) for one in replaced)
            return step, self._found_by(step, look, step.taken[0]), expected
        query = said_by(statement)
        rows: dict[str, tuple[Table, Sequence[Any]]] = {}
        for look, seen in zip(statement.looks, step.taken, strict=True):
            images = _images(seen)
            if look.table in rows and rows[look.table][1] != images:
                return None  # one table, seen at two times by a statement that locks it in one place only
            rows[look.table] = (self.known.table(look.table), images)
        if query is None or statement.on_conflict:
            return None
        sql = self.questions.on(rows, query)
        if statement.kind == "insert":
            return (
                step,
                f"SELECT count(*) FROM ({sql}) AS proposed",
                Counter([str(len(self.tracer.wrote.get(step.index, ())))]),
            )
        event = self.tracer.run.end(step.index)
        return step, sql, Counter(map(repr, (event.rows if event else None) or ()))

    def _compare(self, step: _Step, sql: str, expected: Counter[str]) -> None:
        rows = self._rows_of(step, self.answers[sql])
        given = Counter(map(repr, rows)) if step.statement.kind == "read" else Counter(str(row[0]) for row in rows)
        if step.statement.kind in ("update", "delete"):
            given = Counter(set(given))  # a join may find a row twice, and writes it once
        if given != expected:
            raise Untraceable(
                f"{self._name(step)}: what it did does not follow from the versions that it is said to have seen"
            )

    def _rows_of(self, step: _Step, event: Event) -> tuple[tuple[Any, ...], ...]:
        if event.kind != "done" or event.rows is None:
            raise Untraceable(f"{self._name(step)}: it cannot be asked again ({event.sqlstate} {event.message})")
        return event.rows

    # which versions match

    def _matching(self, look: Look) -> tuple[str, list[Any]]:
        """The question which of all versions match a look, and the images in the order of their numbers."""
        rows = {name: (self.known.table(name), self._every_image(name, look)) for name in look.over}
        images = self._every_image(look.table, look)
        return self.questions.on({**rows, TARGET: (self.known.table(look.table), images)}, look.matches), images

    def _every_image(self, name: str, look: Look) -> list[Any]:
        """The images of all versions of a table, each once, in an order that depends on their values alone."""
        every = {repr(_values(one)): one.image for one in self._versions(name, look) if one.image is not None}
        return [every[key] for key in sorted(every)]

    def _versions(self, name: str, look: Look) -> Iterator[Version]:
        """All versions of a table's rows; where a look is at one table alone, those of rows that were written are
        enough in a large table."""
        large = not look.over and len(self.tracer.rows.get(name, ())) > ROWS_CHECKED_MAX
        for _, versions in self._rows(name):
            if not large or len(versions) > 1 or versions[0].step is not None:
                yield from versions

    def _matched(self, look: Look, sql: str, images: list[Any]) -> frozenset[int]:
        event = self.answers[sql]
        if event.kind != "done" or event.rows is None:
            raise Untraceable(f"{look.condition} cannot be asked of single versions ({event.sqlstate} {event.message})")
        found = {repr(tuple(images[row[0]].values())) for row in event.rows}
        return frozenset(
            one.number
            for _, versions in self._rows(look.table)
            for one in versions
            if one.image is not None and repr(tuple(one.image.values())) in found
        )

    # the sights

    def _of_step(self, step: _Step, matches: Mapping[Look, frozenset[int]]) -> Iterator[Sight]:
        for look, seen in zip(step.statement.looks, step.taken, strict=True):
            found = matches[look]
            yield Sight(step.index, look.table, "search", look.condition, seen, found, look.values, look.searched)
        if step.statement.writes:
            yield from self._of_constraints(step)

    def _of_constraints(self, step: _Step) -> Iterator[Sight]:
        """What keys and references made the statement look at, and the rows that ON CONFLICT found."""
        table = self.known.table(step.statement.target)
        for version in self.tracer.wrote.get(step.index, ()):
            old, new = version.replaced, version
            if new.alive and old is not None and old is not self._before(new):
                every = frozenset(table.columns)
                yield Sight(step.index, table.name, "copy", "", {old.row: old}, frozenset({old.number}), every)
            if step.statement.kind == "insert" and old is not None:
                values, numbers = step.statement.conflict_values, frozenset({old.number})
                for columns in self._in_conflict(step, table, old):
                    yield from self._key(step, table, "key", columns, [old.last_image[one] for one in columns], values)
                yield Sight(step.index, table.name, "conflict", "", {old.row: old}, numbers, values)
            if new.image is not None:
                for columns in table.unique:
                    if new.touched & set(columns):
                        yield from self._key(step, table, "key", columns, [new.image[one] for one in columns])
                for ref in table.references:
                    if new.touched & set(ref.columns):
                        values_ = [new.image[one] for one in ref.columns]
                        yield from self._key(step, self.known.table(ref.parent), "parent", ref.key, values_)
            for child in self.known.tables if old is not None and old.image is not None else ():
                for ref in child.references:
                    if ref.parent == table.name and new.touched & set(ref.key):
                        values_ = [old.image[one] for one in ref.key]  # type: ignore[union-attr, index]
                        yield from self._key(step, child, "children", ref.columns, values_)
        yield from self._of_proposed(step, table)

    def _in_conflict(self, step: _Step, table: Table, old: Version) -> list[tuple[str, ...]]:
        """The keys by which an INSERT may have found a row: those that it looks by, as far as it proposes the same."""
        rows, image = step.statement.proposed(table.columns) or [{}], old.last_image
        every = self._looked_by(step, table)
        own = [key for key in every if any(all(row.get(one, image[one]) == image[one] for one in key) for row in rows)]
        return own or every

    def _looked_by(self, step: _Step, table: Table) -> list[tuple[str, ...]]:
        """The keys by which ON CONFLICT looks for a row: its own, else all."""
        own = [key for key in table.unique if set(key) == step.statement.arbiter]
        return own or list(table.unique)

    def _before(self, version: Version) -> Version | None:
        """The version before this one, in version order."""
        order = self.tracer.order.get((version.table, version.row), ())
        place = order.index(version) if version in order else 0
        return order[place - 1] if place else version.replaced

    def _of_proposed(self, step: _Step, table: Table) -> Iterator[Sight]:
        """What ON CONFLICT looked for where rows that were proposed were neither inserted nor updated."""
        statement = step.statement
        if statement.on_conflict and statement.rows_proposed != len(self.tracer.wrote.get(step.index, ())):
            yield from self._of_keys(step, table)

    def _of_refused(self, index: int) -> Iterator[Sight]:
        """The keys that an INSERT found taken which failed, and whose transaction went on."""
        step = self._step(index)
        found = list(self._of_keys(step, self.known.table(step.statement.target)))
        if not any(sight.found for sight in found):
            raise Untraceable(f"{self._name(step)} failed, and the key that was taken cannot be told")
        yield from found

    def _of_keys(self, step: _Step, table: Table) -> Iterator[Sight]:
        """The looks for every key of the rows that the VALUES of an INSERT propose."""
        read = step.statement.conflict_searched
        for row in step.statement.proposed(table.columns) or [{}]:
            for columns in self._looked_by(step, table):
                if any(one not in row for one in columns):
                    raise Untraceable(f"{self._name(step)} left rows out, and which keys were taken cannot be told")
                yield from self._key(step, table, "key", columns, [row[one] for one in columns], read)

    def _key(
        self,
        step: _Step,
        table: Table,
        why: Literal["key", "parent", "children"],
        columns: Sequence[str],
        values: list[Any],
        read: frozenset[str] = frozenset(),
    ) -> Iterator[Sight]:
        """A look for a key, on behalf of a constraint; of the row that has it, some columns are `read`."""
        if any(value is None for value in values):
            return
        matches = frozenset(
            one.number
            for _, versions in self._rows(table.name)
            for one in versions
            if one.image is not None and [one.image[name] for name in columns] == values
        )
        said = " AND ".join(f"{name} = {value}" for name, value in zip(columns, values, strict=True))
        seen = step.newest[table.name]
        yield Sight(step.index, table.name, why, said, seen, matches, read, frozenset(columns))

    def _name(self, step: _Step) -> str:
        return self.tracer.run.schedule.steps[step.index].name


def _alive(seen: Seen) -> list[Version]:
    """The versions that are rows, in an order that depends on their values alone."""
    return sorted(
        (one for one in seen.values() if one.image is not None), key=lambda one: (repr(_values(one)), one.number)
    )


def _values(version: Version) -> tuple[Any, ...]:
    return () if version.image is None else tuple(version.image.values())


def _images(seen: Seen) -> list[Any]:
    return [one.image for one in _alive(seen)]
