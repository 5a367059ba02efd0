"""Asks an engine how it runs a statement, and runs it.

    explain(sql, engine) ─▶ warm-up ─▶ recorded run ─▶ rolled back ─▶ Plan

On PostgreSQL the statement runs twice: a session's first run reads some pages of the catalog that the second does not,
so only the second one's counters repeat. SQLite and DuckDB run it once. Whatever it writes is rolled back, on an engine
in AUTOCOMMIT too. A statement that runs past its deadline is cancelled from outside, so that no setting of the session
can keep it alive, and again until it ends: it may catch a cancel, or one may fall between its two runs.

Source: PostgreSQL 18's manual, EXPLAIN; SQLite's "EXPLAIN QUERY PLAN"; DuckDB 2.0's "Profiling". Left out: a plan for
several statements at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import duckdb
import psycopg
import sqlalchemy as sa

from workbook.engines.running import clause, deadline, without_value
from workbook.errors import Misuse, SqlError, SqlTimeout
from workbook.plans.others import read_duckdb, read_sqlite
from workbook.plans.postgres import read_json
from workbook.plans.tree import Node, Number, Plan

NO_STEPS = Plan("sqlite", Node("QUERY PLAN"), notes=read_sqlite([(1, 0, "")]).notes)
UNRUN_NOTE = "DuckDB answered this without running a step, and counted nothing."
FUNCTION_NOTE = "A function hides its statements from the plan: measure(...) counts what they touch, too."

CALL = re.compile(r'(\w+|"[^"]+")\s*\(')
NO_FUNCTION = re.compile(
    r"(?i:values|select|in|any|all|some|exists|and|or|not|as|case|when|then|else|cast|row|array|"
    r"coalesce|nullif|greatest|least|numeric|decimal|varchar|char|from|on|using|union|except|intersect|limit|offset|with|over|filter)"
)
"""Words before a parenthesis that call no function."""
SKIPPED = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)"
UNPLANNED = re.compile(SKIPPED + r"*(INSERT|REPLACE|WITH|DELETE)\b", re.IGNORECASE | re.DOTALL)
"""Changes of rows for which SQLite may print no step: of given values, or of all rows of a table."""
NO_PLAN = "{} has no plan for this statement."
ASK_FOR = "explain a query or a change of rows"
CANCELLED = "57014"
"""PostgreSQL's SQLSTATE of a statement that was cancelled."""


def explain(
    sql: str,
    engine: sa.Engine,
    params: Mapping[str, Any] | None = None,
    *,
    analyze: bool = True,
    deadline_s: float = 60.0,
) -> Plan:
    """The plan of one statement on PostgreSQL, SQLite or DuckDB.

    Parameters: the SQL, with parameters written `:name`, and their values in `params`; a SQLAlchemy engine;
    `analyze=False` asks for the planner's belief only, and runs nothing; `deadline_s` seconds for all its runs together.

    Raises `SqlError` where the engine refuses the statement, `SqlTimeout` past the deadline, `Misuse` for an engine
    of another kind, `Unsuitable` for a plan of more than `DEPTH_MAX` steps below each other.
    """
    if not isinstance(sql, str) or not sql.strip():
        raise SqlError("There is no SQL to explain.", next="hand in one statement as text")
    ways = {"postgresql": _postgresql, "sqlite": _sqlite, "duckdb": _duckdb}
    way = ways.get(getattr(getattr(engine, "dialect", None), "name", ""))
    if way is None:
        raise Misuse(
            f"explain needs a SQLAlchemy engine of PostgreSQL, SQLite or DuckDB, not {type(engine).__name__}.",
            next="use shop()",
        )
    statement = sql.strip().rstrip(";").rstrip()
    try:
        return way(statement, engine, dict(params or {}), analyze, deadline_s)
    except (sa.exc.SQLAlchemyError, psycopg.Error, duckdb.Error) as error:
        raise _sentence(error, statement, without_value(statement, params)) from None


def _sentence(error: Exception, statement: str, missing: list[str]) -> SqlError:
    cause = getattr(error, "orig", None) or error
    sqlstate = str(getattr(cause, "sqlstate", "") or "")
    said = getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause).splitlines()[0]
    if sqlstate == CANCELLED:  # by its session's statement_timeout, or by somebody else
        return SqlTimeout(f"The engine cancelled the statement: {said.rstrip('.')}.", sqlstate=sqlstate)
    several = "one statement at a time" in said or "multiple commands" in said
    return SqlError(
        f"The engine refused the statement: {said.rstrip('.')}.",
        sqlstate=sqlstate,
        tried=" ".join(statement[:200].split()),
        next="explain them one at a time"
        if several
        else f'give the value of :{missing[0]}, as in explain(sql, engine, {{"{missing[0]}": 7}})'
        if missing
        else "",
    )


@contextmanager
def _deadline(cancel: Callable[[], None], deadline_s: float, sqlstate: str = "") -> Iterator[None]:
    """Cancel what runs past the deadline until it ends. However it ends then, that is a `SqlTimeout`."""
    with deadline(deadline_s, lambda hard: cancel()) as late:
        try:
            yield
        except Exception:
            if not late.is_set():
                raise
    if late.is_set():
        raise SqlTimeout(
            f"The statement ran longer than {deadline_s:g} s and was cancelled.",
            sqlstate=sqlstate,
            next="explain it with analyze=False",
        )


def _one(count: int) -> None:
    if count != 1:
        raise SqlError(f"These are {count} statements.", next="explain them one at a time")


def _postgresql(sql: str, engine: sa.Engine, params: dict[str, Any], analyze: bool, deadline_s: float) -> Plan:
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        options = "FORMAT JSON, SETTINGS"
        if analyze:
            options += ", ANALYZE, BUFFERS" + (", WAL" if raw.info.server_version >= 130000 else "")
        command = clause(f"EXPLAIN ({options}) {sql}", params)
        with _deadline(raw.cancel, deadline_s, CANCELLED):
            for _ in range(2 if analyze else 1):
                if raw.autocommit:  # by SQLAlchemy's level or the driver's own: then nobody else begins one
                    connection.exec_driver_sql("BEGIN")
                try:
                    document = _answer(connection, command, params)
                finally:
                    connection.exec_driver_sql("ROLLBACK")
    document = json.loads(document) if isinstance(document, str) else document
    if not any(isinstance(one, Mapping) and "Plan" in one for one in document):
        raise SqlError(NO_PLAN.format("PostgreSQL"), next=ASK_FOR)
    plan = read_json(document)
    if plan.root.kind == "Result" and not plan.root.children and _calls(sql):
        plan = replace(plan, notes=(*plan.notes, FUNCTION_NOTE))
    return plan


def _calls(sql: str) -> bool:
    """Whether a statement calls a function, as far as its words say."""
    words = re.sub(rf"'[^']*'|{SKIPPED}+", " ", sql, flags=re.DOTALL)
    return any(not NO_FUNCTION.fullmatch(found[1]) for found in CALL.finditer(words))


def _answer(connection: sa.Connection, command: sa.TextClause, params: dict[str, Any]) -> Any:
    """The one value that a statement gives. It goes as a prepared one, of which the server takes one at a time: in
    `SELECT 1; COMMIT` the second would end the transaction that is to be rolled back."""
    if connection.dialect.driver != "psycopg":
        return connection.execute(command, params).scalar_one()
    compiled = command.compile(dialect=connection.dialect)
    values = compiled.construct_params(params)
    with connection.connection.driver_connection.cursor() as cursor:  # type: ignore[union-attr]
        return cursor.execute(str(compiled), values, prepare=True).fetchone()[0]


def _sqlite(sql: str, engine: sa.Engine, params: dict[str, Any], analyze: bool, deadline_s: float) -> Plan:
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        rows = [
            (row[0], row[1], row[3]) for row in connection.execute(clause(f"EXPLAIN QUERY PLAN {sql}", params), params)
        ]
        if not rows and not UNPLANNED.match(sql):
            raise SqlError(NO_PLAN.format("SQLite"), next=ASK_FOR)
        plan = read_sqlite(rows) if rows else replace(NO_STEPS)
        if not analyze:
            return plan
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        with _deadline(raw.interrupt, deadline_s):
            if not raw.in_transaction:  # Python's module begins one for changes of rows only
                connection.exec_driver_sql("BEGIN")
            raw.set_progress_handler(step, 1)
            try:
                result = connection.execute(clause(sql, params), params)
                count = len(result.fetchall()) if result.returns_rows else max(result.rowcount, 0)
            finally:
                raw.set_progress_handler(None, 0)
                connection.rollback()
    root = replace(plan.root, numbers={"rows": Number(count), "loops": Number(1), "vm_steps": Number(steps)})
    return replace(plan, root=root)


def _duckdb(sql: str, engine: sa.Engine, params: dict[str, Any], analyze: bool, deadline_s: float) -> Plan:
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        interrupt = getattr(raw, "interrupt", None) or (lambda: None)

        def printed(options: str) -> Any:
            return json.loads(
                connection.execute(clause(f"EXPLAIN ({options}) {sql}", params), params).fetchall()[-1][-1]
            )

        _one(len(duckdb.extract_statements(clause(sql, params).compile(dialect=engine.dialect).string)))
        with _deadline(interrupt, deadline_s):
            try:
                document = printed("ANALYZE, FORMAT JSON" if analyze else "FORMAT JSON")
                # DuckDB 2.0 prints no profile of a query that it answers without running it, such as a bare count(*).
                unrun = isinstance(document, dict) and document.get("result") == "error"
                document = printed("FORMAT JSON") if unrun else document
            finally:
                connection.rollback()
    plan = read_duckdb(document)
    return replace(plan, notes=(*plan.notes, UNRUN_NOTE)) if unrun else plan
