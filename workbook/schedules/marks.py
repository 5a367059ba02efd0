"""Row versions on engines that do not show them: each row carries who wrote it, and who had written what that replaced.

    id  value  workbook_row  workbook_was  workbook_by
    1   10     1                           setup        T1.3: UPDATE test SET value = 11 WHERE id = 1  becomes
    1   11     1             setup         T1.3         ... SET value = 11, workbook_was = test.workbook_by,
                                                        workbook_by = 'T1.3' WHERE id = 1

SQLite and DuckDB: the setup adds three columns, every write fills them, and after each statement its session lists
the marks of all rows that it sees. Nothing runs before a statement, so that it takes its snapshot and its locks as it
would have; the listing sees the same snapshot, and in between nobody else has a turn. What the statement itself has
changed is put back to what it replaced. The columns are taken out of what is returned. A DELETE leaves no mark:
SQLite returns what it deleted; DuckDB, for which RETURNING would turn an UPDATE into a delete and an insert with
other conflicts, lists before it, too (its snapshot is the one that the DELETE would have taken).

A row that is not listed was deleted, or not yet inserted: a deletion was seen where it was committed before the
reader's first statement, which is when both engines take their snapshots.

    >>> from workbook.schedules.statement import read_statement
    >>> table = Table("test", ("id", "value"))
    >>> step, eye = Step("T1", "UPDATE test SET value = 11 WHERE id = 1", "T1.3"), MarkEye("sqlite", [table])
    >>> print(eye.rewritten(step, read_statement(step.sql, (table,), "sqlite"), table).split(" WHERE")[0])
    UPDATE test SET value = 11, workbook_was = test.workbook_by, workbook_by = 'T1.3'

Sources: sqlite.org, "RETURNING" and "Isolation In SQLite"; duckdb.org, "Transaction Management". Left out: tables
without rowid, `*` over joins by USING.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from sqlglot import exp

from workbook.schedules.asking import quoted
from workbook.schedules.eyes import Eye, Image, When, Write
from workbook.schedules.run import Event
from workbook.schedules.schedule import Step
from workbook.schedules.statement import DIALECTS, Statement
from workbook.schedules.tables import Table
from workbook.schedules.versions import Untraceable, Version

ROW, WAS, BY = "workbook_row", "workbook_was", "workbook_by"
MARKS = (ROW, WAS, BY)
SETUP = "setup"


class MarkEye(Eye):
    """Places are `row/by`: a row's number and the step that wrote the version."""

    locking: Literal["none", "found", "every"] = "none"
    after = True

    def __init__(self, engine: str, tables: Sequence[Table]) -> None:
        self.engine, self.dialect = engine, DIALECTS[engine]
        self.tables = {table.name: table for table in tables}

    def problem(self, version: str) -> str:
        return ""

    def setup(self, sql: str, tables: Sequence[Table]) -> str:
        more = []
        for table in tables:
            name = self.quoted(table.name)
            more += [f"ALTER TABLE {name} ADD COLUMN {mark} VARCHAR" for mark in MARKS]
            more.append(f"UPDATE {name} SET {ROW} = CAST(rowid AS VARCHAR), {BY} = '{SETUP}'")
        return ";\n".join([sql.rstrip().rstrip(";"), *more])

    def listing(self, table: Table) -> str:
        return f"SELECT {ROW}, {BY}, {self.columns(table)} FROM {self.quoted(table.name)}"

    def listed(self, table: Table, event: Event) -> list[tuple[str, Image]]:
        rows = event.rows or ()
        return [(place(row[0], row[1]), dict(zip(table.columns, row[2:], strict=True))) for row in rows]

    def probes(
        self, step: Step, statement: Statement, tables: Sequence[Table], level: str
    ) -> tuple[str | None, str | None]:
        if statement.kind in ("control", "unknown") or not tables:
            return None, None
        return None, self.marks_of(tables)

    def marks_of(self, tables: Sequence[Table]) -> str:
        names = [(table.name.replace("'", "''"), self.quoted(table.name)) for table in tables]
        return " UNION ALL ".join(f"SELECT '{said}', {ROW}, {BY} FROM {name}" for said, name in names)

    # statements that fill the marks

    def rewritten(self, step: Step, statement: Statement, table: Table | None) -> str:
        tree = statement.tree
        if tree is None or (table is None and not _has_star(tree)):
            return step.sql
        tree = tree.copy()
        self._expand(tree)
        if table is None:
            return tree.sql(dialect=self.dialect)
        if isinstance(tree, exp.Update):
            self._mark_update(tree, step, tree.this.alias_or_name)
        elif isinstance(tree, exp.Insert):
            self._mark_insert(tree, step, table)
        return tree.sql(dialect=self.dialect) + self._returned(tree, table)

    def _returned(self, tree: exp.Expr, table: Table) -> str:
        word = "," if tree.args.get("returning") else " RETURNING"
        return f"{word} {', '.join([*MARKS, self.columns(table)])}"

    def _mark_update(self, tree: exp.Expr, step: Step, target: str) -> None:
        mine = exp.Literal.string(step.name)
        replaced = exp.EQ(this=exp.column(WAS), expression=exp.column(BY, table=target))
        tree.set("expressions", [*tree.expressions, replaced, exp.EQ(this=exp.column(BY), expression=mine)])

    def _mark_insert(self, tree: exp.Insert, step: Step, table: Table) -> None:
        """Give each new row a number of its own, `T1.3#1`, and the step's name."""
        source = tree.args.get("expression")
        given = tree.this.expressions if isinstance(tree.this, exp.Schema) else None
        if tree.args.get("default"):
            given, source = [], exp.Values(expressions=[exp.Tuple(expressions=[])])
            tree.set("default", False)
        names = given if given is not None else [exp.to_identifier(one) for one in table.columns]
        inner = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        marks = [exp.to_identifier(one) for one in (ROW, BY)]
        tree.set("this", exp.Schema(this=inner, expressions=[*(one.copy() for one in names), *marks]))
        mine = exp.Literal.string(step.name)
        if isinstance(source, exp.Values):
            for number, line in enumerate(source.expressions, 1):
                line.append("expressions", exp.Literal.string(f"{step.name}#{number}"))
                line.append("expressions", mine.copy())
            tree.set("expression", source)
        elif source is not None:
            counted = f"'{step.name}#' || CAST(row_number() OVER () AS VARCHAR)"
            query = exp.select("proposed.*", counted, mine).from_(source.subquery("proposed"))
            tree.set("expression", query.where("true") if self.dialect == "sqlite" else query)
        conflict = tree.args.get("conflict")
        if conflict is not None and conflict.expressions:
            self._mark_update(conflict, step, inner.alias_or_name)

    def _expand(self, tree: exp.Expr) -> None:
        """Write `*` out, so that the marks stay out of sub-selects and of what is inserted."""
        for select in tree.find_all(exp.Select):
            joins = select.args.get("joins") or ()
            from_ = select.args.get("from_")
            sources = [*([from_.this] if from_ else []), *(join.this for join in joins)]
            listed: list[exp.Expr] = []
            for one in select.expressions:
                whole = isinstance(one, exp.Star)
                if whole and any(join.args.get("using") or join.args.get("method") for join in joins):
                    raise Untraceable("`*` over a join by USING")
                if whole and not any(self._table_of(source) for source in sources):
                    listed.append(one)
                elif whole or (isinstance(one, exp.Column) and isinstance(one.this, exp.Star)):
                    chosen = sources if whole else [source for source in sources if source.alias_or_name == one.table]
                    listed += [column for source in chosen for column in self._columns_of(source)]
                else:
                    listed.append(one)
            select.set("expressions", listed)
        returning = tree.args.get("returning")
        if returning is not None and any(isinstance(one, exp.Star) for one in returning.expressions):
            target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
            names = [exp.column(name) for name in self.tables[target.name.lower()].columns]
            stars = [names if isinstance(one, exp.Star) else [one] for one in returning.expressions]
            returning.set("expressions", [column for columns in stars for column in columns])

    def _table_of(self, source: exp.Expr) -> Table | None:
        return self.tables.get(source.name.lower()) if isinstance(source, exp.Table) else None

    def _columns_of(self, source: exp.Expr) -> list[exp.Expr]:
        table = self._table_of(source)
        if table is None and not source.alias_or_name:
            raise Untraceable("`*` over a sub-select without a name")
        if table is None:
            return [exp.Column(this=exp.Star(), table=exp.to_identifier(source.alias_or_name))]
        return [exp.column(name, source.alias_or_name) for name in table.columns]

    # what came back

    def plain(self, statement: Statement, table: Table | None, event: Event) -> Event:
        if table is None or event.rows is None:
            return event
        if statement.tree is None or statement.tree.args.get("returning") is None:
            return replace(event, rows=None, columns=(), rowcount=len(event.rows))
        keep = len(event.columns) - self._added(table)
        return replace(event, rows=tuple(row[:keep] for row in event.rows), columns=event.columns[:keep])

    def bare(self, columns: Sequence[str], row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(value for name, value in zip(columns, row, strict=False) if name not in MARKS)

    def writes(self, step: Step, statement: Statement, table: Table, event: Event) -> list[Write]:
        found = []
        for row in event.rows or ():
            number, was, by, *values = row[len(row) - self._added(table) :]
            image = dict(zip(table.columns, values, strict=True))
            if statement.kind == "delete":
                found.append(Write("", place(number, by), None, image, None))
            else:
                found.append(Write(by, place(number, was) if was else None, place(number, by), None, image))
        return found

    def current(self, event: Event, versions: Sequence[Version], when: When, since: int) -> Version | None:
        places = {(row[0], place(row[1], row[2])) for row in shown_by(event, 1)}
        listed = [one for one in versions if one.alive and (one.table, one.place) in places]
        if listed:
            return listed[-1]
        rows = {(row[0], str(row[1])) for row in shown_by(event, 1)}
        if any(one.alive and (one.table, one.place.partition("/")[0]) in rows for one in versions):
            raise Untraceable("a step saw a version that nobody is known to have written")
        gone = [one for one in versions if not one.alive and (at := when(one)) is not None and at < since]
        return gone[-1] if gone else None

    def _added(self, table: Table) -> int:
        return len(MARKS) + len(table.columns)

    def columns(self, table: Table) -> str:
        return ", ".join(self.quoted(one) for one in table.columns)

    def quoted(self, name: str) -> str:
        return quoted(name, self.engine)


class DuckEye(MarkEye):
    """On DuckDB, what was written is read off the listings: new marks, and rows that are gone. Each table's rows
    stand in a column of their own, as structs, so that their values keep their types."""

    def probes(
        self, step: Step, statement: Statement, tables: Sequence[Table], level: str
    ) -> tuple[str | None, str | None]:
        before, after = super().probes(step, statement, tables, level)
        if not statement.writes:
            return before, after
        return (after if statement.kind == "delete" else None), self._images_of(tables, statement.target)

    def _images_of(self, tables: Sequence[Table], target: str) -> str:
        parts = []
        for table in tables:
            fields = ", ".join(f"{self.quoted(name)} := {self.quoted(name)}" for name in table.columns)
            image = f"struct_pack({fields})" if table.name == target else "NULL"
            said = table.name.replace("'", "''")
            parts.append(f"SELECT '{said}', {ROW}, {BY}, {WAS}, {image} FROM {self.quoted(table.name)}")
        return " UNION ALL ".join(parts)

    def _returned(self, tree: exp.Expr, table: Table) -> str:
        return ""

    def plain(self, statement: Statement, table: Table | None, event: Event) -> Event:
        return event

    def writes(self, step: Step, statement: Statement, table: Table, event: Event) -> list[Write]:
        after = [row for row in shown_by(event, 1) if row[0] == table.name]
        if statement.kind == "delete":
            left = {place(row[1], row[2]) for row in after}
            places = [place(row[1], row[2]) for row in shown_by(event, 0) if row[0] == table.name]
            return [Write("", place, None, None, None) for place in places if place not in left]
        return [
            Write(by, place(row, was) if was else None, place(row, by), None, dict(image))
            for _, row, by, was, image in after
            if by == step.name
        ]


def shown_by(event: Event, place: int) -> Sequence[tuple[Any, ...]]:
    """The rows of the probe before (0) or after (1) a step."""
    rows = event.seen[place] if event.seen else None
    if rows is None:
        raise Untraceable("what a step saw was not told")
    return rows


def place(row: Any, by: Any) -> str:
    """Where a version stands: its row's number, and the step that wrote it."""
    return f"{row}/{by}"


def _has_star(tree: exp.Expr) -> bool:
    return any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star))
