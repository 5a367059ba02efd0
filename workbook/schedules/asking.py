"""Questions to the engine about row versions: which of them match a condition, what a query says of just these.

    WITH workbook_target(workbook_version, id, value) AS (VALUES (0, 1, 10), (1, 1, 11), (2, 2, 20))
    SELECT test.workbook_version FROM workbook_target AS test WHERE test.value % 2 = 1               -> 1

What a condition means is known to the engine alone (NULLs, collations, its own functions), so it is asked. The
versions are put before the query as common table expressions with the names of the tables, cast to the columns'
types; nothing is created, and the query itself stays as it was. Questions are canonical: the same rows give the same
text, so that each is asked once, in however many interleavings it comes up.

    >>> table = Table("test", ("id", "value"), ("integer", "integer"))
    >>> print(rows_as(table, [{"id": 1, "value": None}], "postgresql"))
    workbook_values_test(c0, c1) AS (VALUES (1, NULL)), test(id, value) AS (SELECT CAST(c0 AS integer), CAST(c1 AS integer) FROM workbook_values_test)

Left out: settings of a session that change what a condition means (a time zone, a search path).
"""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from workbook.schedules.run import Event
from workbook.schedules.schedule import Schedule, Step
from workbook.schedules.statement import TARGET, VERSION, Statement, identifier
from workbook.schedules.tables import LOOKER, Known, Table

if TYPE_CHECKING:
    from workbook.schedules.stage import Stage

Image = Mapping[str, Any]
REMEMBERED_MAX = 20_000
VALUES = "workbook_values_"
_remembered: dict[tuple[str, str, str], Event] = {}


class Questions:
    """Questions on the tables of one setup. `ask` runs those that were not asked before, all in one go."""

    def __init__(self, schedule: Schedule, stage: Stage, known: Known) -> None:
        self.schedule, self.stage, self.known = schedule, stage, known

    def ask(self, questions: Iterable[str]) -> dict[str, Event]:
        """Each question to the event that answered it (`done` with rows, or `failed`)."""
        every = list(dict.fromkeys(questions))
        key = (self.stage.engine, self.schedule.setup)
        if missing := [sql for sql in every if (*key, sql) not in _remembered]:
            if len(_remembered) + len(missing) > REMEMBERED_MAX:
                _remembered.clear()
                missing = every
            steps = tuple(Step(LOOKER, sql) for sql in missing)
            asking = replace(self.schedule, steps=steps, level="", levels={})
            run = self.stage.run(asking, self.stage.seats.levels[0])
            for index, sql in enumerate(missing):
                event = run.end(index)
                assert event is not None
                _remembered[(*key, sql)] = event
        return {sql: _remembered[(*key, sql)] for sql in every}

    def on(self, rows: Mapping[str, tuple[Table, Sequence[Image]]], query: str) -> str:
        """The question what a query says of just these rows: `rows` is the name by which the query knows a table to the
        table and its rows. Those of `TARGET` have numbers, as they are given."""
        engine = self.stage.engine
        parts = [rows_as(table, given, engine, name) for name, (table, given) in sorted(rows.items())]
        before = f"WITH {', '.join(parts)}"
        for word in ("WITH RECURSIVE ", "WITH "):
            if query.startswith(word):
                return f"{before.replace('WITH ', word, 1)}, {query.removeprefix(word)}"
        return f"{before} {query}"


def rows_as(table: Table, rows: Sequence[Image], engine: str, name: str = "") -> str:
    """Rows as common table expressions, with the name of their table unless another is given."""
    name = name or table.name
    numbered = name == TARGET
    columns = (VERSION, *table.columns) if numbered else table.columns
    heads = ", ".join(quoted(one, engine) for one in columns)
    lines = []
    for number, row in enumerate(rows):
        values = [literal(row[column], engine) for column in table.columns]
        lines.append(f"({', '.join([str(number), *values] if numbered else values)})")
    types = [*([""] if numbered else []), *(table.types or [""] * len(table.columns))]
    if not lines:
        nulls = ", ".join(_cast("NULL", kind) for kind in types)
        return f"{quoted(name, engine)}({heads}) AS (SELECT {nulls} WHERE 1 = 0)"
    marks = [f"c{place}" for place in range(len(columns))]
    shown = ", ".join(_cast(mark, kind) for mark, kind in zip(marks, types, strict=True))
    values_ = quoted(f"{VALUES}{name}", engine)
    return (
        f"{values_}({', '.join(marks)}) AS (VALUES {', '.join(lines)}), "
        f"{quoted(name, engine)}({heads}) AS (SELECT {shown} FROM {values_})"
    )


def _cast(value: str, kind: str) -> str:
    return f"CAST({value} AS {kind})" if kind else value


def quoted(name: str, engine: str) -> str:
    """A name as SQL, quoted where it must be.

    >>> quoted("test", "postgresql"), quoted("Test", "postgresql"), quoted("a b", "mariadb")
    ('test', '"Test"', '`a b`')
    """
    if name.isidentifier() and name == name.lower() and name not in ("user", "order", "group", "table", "check"):
        return name
    mark = "`" if engine == "mariadb" else '"'
    return f"{mark}{name.replace(mark, 2 * mark)}{mark}"


def literal(value: Any, engine: str) -> str:
    """A value as SQL.

    >>> literal("it's", "sqlite"), literal(None, "sqlite"), literal(2.5, "duckdb")
    ("'it''s'", 'NULL', '2.5')
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, decimal.Decimal)) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if isinstance(value, (str, float, datetime.date, datetime.time, datetime.timedelta, uuid.UUID)):
        text = str(value)
        if engine == "mariadb":
            text = text.replace("\\", "\\\\")
        return "'" + text.replace("'", "''") + "'"
    if engine == "postgresql":
        from psycopg import sql
        from psycopg.types.json import Jsonb

        return sql.Literal(Jsonb(value) if isinstance(value, dict) else value).as_string(None)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"x'{bytes(value).hex()}'"
    raise ValueError(f"a value of type {type(value).__name__}")


@lru_cache(maxsize=4096)
def found_by(statement: Statement, alias: str) -> str | None:
    """The query for the numbers of the rows of `alias` that a statement finds: its own FROM and WHERE, subqueries and
    all, with `TARGET` in the place of that table. None where it stands in no FROM of the statement itself."""
    tree = statement.tree
    number = exp.column(VERSION, table=identifier(alias))
    if isinstance(tree, exp.Select):
        query = tree.copy()
        for part in ("group", "having", "order", "limit", "offset", "distinct", "locks", "windows"):
            query.set(part, None)
        query.set("expressions", [number])
    elif isinstance(tree, (exp.Update, exp.Delete)):
        query = exp.select(number).from_(tree.this.copy())
        from_ = tree.args.get("from_")
        for other in [*([from_.this] if from_ else []), *(tree.args.get("using") or ())]:
            query = query.join(other.copy(), join_type="cross")
        if tree.args.get("where"):
            query = query.where(tree.args["where"].this.copy())
        if tree.args.get("with_"):
            query.set("with_", tree.args["with_"].copy())
    else:
        return None
    from_ = query.args.get("from_")
    for node in [*([from_.this] if from_ else []), *(join.this for join in query.args.get("joins") or ())]:
        if isinstance(node, exp.Table) and node.alias_or_name.lower() == alias.lower():
            node.replace(exp.alias_(exp.Table(this=identifier(TARGET)), identifier(alias), table=True))
            return query.sql(dialect=statement.dialect)
    return None


@lru_cache(maxsize=4096)
def said_by(statement: Statement) -> str | None:
    """The query of a statement, without its locks: what it returns, or what an INSERT takes its rows from."""
    tree = statement.tree
    query = tree.args.get("expression") if isinstance(tree, exp.Insert) else tree
    if not isinstance(query, (exp.Select, exp.SetOperation)):
        return None
    query = query.copy()
    for select in query.find_all(exp.Select):
        select.set("locks", None)
    if isinstance(tree, exp.Insert) and tree.args.get("with_"):
        query.set("with_", tree.args["with_"].copy())
    return query.sql(dialect=statement.dialect)
