"""Runs a learner's SQL: as the learner's own role, under a deadline that is kept from outside, up to so many rows.

    connect as the role ─▶ timer ─▶ statements, one transaction ─▶ rows ─▶ COMMIT
                             └─ too late: pg_cancel_backend, then pg_terminate_backend, on the superuser's connection

A deadline that is a setting of the session (`statement_timeout`) can be reset by the session; this one cannot.
Statements that PostgreSQL refuses inside a transaction (CREATE INDEX CONCURRENTLY, VACUUM) run one by one, and who writes
BEGIN and COMMIT gets just those. Every refusal becomes a sentence.

    >>> split("SELECT ';'; DO $$ BEGIN; END $$; -- end;")
    ["SELECT ';'", 'DO $$ BEGIN; END $$']

Left out: `COPY ... FROM STDIN`, which has no place to read from.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from workbook.errors import SqlError, SqlTimeout, TooManyRows

TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/|;|:{2}|(?<![:\w]):([A-Za-z_]\w*)|[^'\"$\-/;:]+|.",
    re.DOTALL,
)
ALONE = re.compile(
    r"^\s*(VACUUM|REINDEX\b.*\bCONCURRENTLY|CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY)",
    re.I | re.S,
)
CONTROL = re.compile(r"^\s*(BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT)\b", re.I)


@dataclass(frozen=True, slots=True)
class Result:
    """What a text of SQL gave: the columns and rows of its last statement that returned any, how many statements it
    had, and the notices."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    statements: int = 1
    notices: tuple[str, ...] = ()


def split(sql: str) -> list[str]:
    """The statements of a text; semicolons in strings, quoted names, dollar quotes and comments do not count."""
    parts, current = [], ""
    for token in TOKEN.finditer(sql):
        piece = token.group(0)
        if piece == ";":
            parts.append(current)
            current = ""
        elif not piece.startswith(("--", "/*")):
            current += piece
        else:
            current += " "
    parts.append(current)
    return [part.strip() for part in parts if part.strip()]


def bound(sql: str, params: Mapping[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
    """The text with `:name` written as psycopg wants it, outside strings and comments only."""
    if not params:
        return sql, None
    out = []
    for token in TOKEN.finditer(sql):
        out.append(
            f"%({token.group(2)})s"
            if token.group(2) and token.group(2) in params
            else token.group(0).replace("%", "%%")
        )
    return "".join(out), dict(params)


def run_sql(
    connection: psycopg.Connection[Any],
    sql: str,
    params: Mapping[str, Any] | None,
    deadline_s: float,
    rows_max: int,
    stop: Callable[[int, bool], None],
    names: Callable[[], Sequence[str]],
) -> Result:
    """Run the statements of a text and close the connection.

    `stop(pid, hard)` cancels a backend from outside, and ends it where `hard`; `names` gives the relations there are,
    to guess a misspelt one, and waits for nobody's lock: the deadline does not cover it. Raises `SqlError`, `SqlTimeout`, `TooManyRows`; then nothing of the text has happened,
    but for statements that run on their own and what a COMMIT of the text has kept.
    """
    statements = split(sql)
    if not statements:
        connection.close()
        raise SqlError("The SQL is empty.", next="which statement is to run?")
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
    alone = any(ALONE.match(statement) or CONTROL.match(statement) for statement in statements)
    connection.autocommit = alone
    late = threading.Event()
    finished = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(connection.info.backend_pid, deadline_s, stop, late, finished), daemon=True
    )
    watcher.start()
    try:
        columns, rows = (), []  # type: tuple[str, ...], list[tuple[Any, ...]]
        for statement in statements:
            columns, rows = _one(connection, statement, params, rows_max, columns, rows)
        if not alone or connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            connection.commit()
        return Result(columns, rows, len(statements), tuple(notices))
    except psycopg.Error as error:
        if late.is_set():
            raise SqlTimeout(
                f"The SQL ran longer than {deadline_s:g} s and was cancelled.",
                sqlstate="57014",
                next="explain it without running it: what does it read again and again?",
            ) from None
        raise _sentence(error, sql, names) from None
    finally:
        finished.set()
        connection.close()
        watcher.join()


def _watch(
    pid: int, deadline_s: float, stop: Callable[[int, bool], None], late: threading.Event, finished: threading.Event
) -> None:
    if finished.wait(deadline_s):
        return
    late.set()
    stop(pid, False)
    while not finished.wait(1.0):
        stop(pid, True)


def _one(
    connection: psycopg.Connection[Any],
    statement: str,
    params: Mapping[str, Any] | None,
    rows_max: int,
    columns: tuple[str, ...],
    rows: list[tuple[Any, ...]],
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    text, values = bound(statement, params)
    cursor = connection.cursor()
    # Row by row, so that a query without an end does not fill the memory before its rows are counted.
    if re.match(r"^\s*(SELECT|VALUES|TABLE|WITH)\b", statement, re.I):
        taken: list[tuple[Any, ...]] = []
        try:
            for row in cursor.stream(text, values, size=1000):
                taken.append(row)
                if len(taken) > rows_max:
                    raise TooManyRows(
                        f"The query returns more than {rows_max:,} rows.", next="ask for fewer: is a condition missing?"
                    )
        except psycopg.ProgrammingError as error:
            if error.sqlstate or connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.INERROR:
                raise
            return columns, rows  # it ran, and is none that returns rows: SELECT INTO, WITH ... UPDATE
        named = cursor.description or _columns(connection, text, values)
        return (tuple(column.name for column in named), taken) if named else (columns, rows)
    cursor.execute(text, values)
    if not cursor.description:
        return columns, rows
    taken = cursor.fetchmany(rows_max + 1)
    if len(taken) > rows_max:
        raise TooManyRows(
            f"The statement returns more than {rows_max:,} rows.", next="ask for fewer: is a condition missing?"
        )
    return tuple(column.name for column in cursor.description), taken


def _columns(connection: psycopg.Connection[Any], text: str, values: dict[str, Any] | None) -> Sequence[psycopg.Column]:
    """The columns of a query that returned no row: a stream without rows does not tell them."""
    try:
        with connection.transaction():
            return connection.execute(f"SELECT * FROM ({text}\n) AS nothing LIMIT 0", values).description or ()
    except psycopg.Error:
        return ()


def _sentence(error: psycopg.Error, sql: str, names: Callable[[], Sequence[str]]) -> SqlError:
    said = (error.diag.message_primary or str(error).strip().split("\n")[0]).rstrip(".")
    state = error.sqlstate or ""
    next_step = error.diag.message_hint or ""
    if state == "42P01" and (found := re.search(r'relation "(?:[\w]+\.)?([^"]+)"', said)):
        near = difflib.get_close_matches(found[1], list(names()), 1, 0.6)
        next_step = f"did you mean {near[0]}?" if near else "look at the names of the tables"
    elif state == "42601":
        next_step = next_step or "look just before the marked place"
    place = _place(error, sql)
    return SqlError(f"PostgreSQL refuses it: {said}.{place}", sqlstate=state, next=next_step)


def _place(error: psycopg.Error, sql: str) -> str:
    """The line of the statement and a caret under the place, where the engine says one."""
    position = error.diag.statement_position
    if not position:
        return ""
    token = re.search(r'at or near "(.+)"', error.diag.message_primary or "")
    start = min(int(position) - 1, max(len(sql) - 1, 0))
    statements = [statement for statement in split(sql) if not token or token[1] in statement]
    text = statements[0] if statements else sql
    start = min(start, max(len(text) - 1, 0))
    begin = text.rfind("\n", 0, start) + 1
    line = text[begin:].split("\n", 1)[0]
    return f"\n    {line}\n    {' ' * (start - begin)}^\n"
