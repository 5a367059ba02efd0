"""Runs a learner's SQL: as the learner's own role, under a deadline that is kept from outside, up to so many rows.

    connect as the role ─▶ timer ─▶ statements, one transaction ─▶ rows ─▶ COMMIT
                             └─ too late: pg_cancel_backend, then pg_terminate_backend, on the superuser's connection

A deadline that is a setting of the session (`statement_timeout`) can be reset by the session; this one cannot.
A text with a statement that PostgreSQL refuses inside a transaction (CREATE INDEX CONCURRENTLY, VACUUM) is none: each of its
statements is committed on its own. Who writes BEGIN and COMMIT gets just those. Every refusal becomes a sentence.

    >>> split("SELECT ';'; DO $$ BEGIN; END $$; -- end;")
    ["SELECT ';'", 'DO $$ BEGIN; END $$']

Left out: `COPY ... FROM STDIN`, which has no place to read from; comments within comments.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa

from workbook.errors import SqlError, SqlTimeout, TooManyRows

TOKEN = re.compile(
    r"(?<=\b[Ee])'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/|;|:{2}|(?<![:\w]):([A-Za-z_]\w*)|[^'\"$\-/;:]+|.",
    re.DOTALL,
)
ALONE = re.compile(
    r"^\s*(VACUUM|REINDEX\b.*\bCONCURRENTLY|REINDEX\s*(\([^)]*\)\s*)?(SCHEMA|DATABASE|SYSTEM)\b|CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY)",
    re.I | re.S,
)
ATOMIC = re.compile(r"\bBEGIN\s+ATOMIC\b", re.I)
OPENS, ENDS = re.compile(r"\bBEGIN\s+ATOMIC\b|\bCASE\b", re.I), re.compile(r"\bEND\b", re.I)
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
    """The statements of a text; semicolons in strings, quoted names, dollar quotes, comments and in a function's `BEGIN
    ATOMIC ... END` do not count."""
    parts, current, words = [], "", ""
    for token in TOKEN.finditer(sql):
        piece = token.group(0)
        if piece == ";" and not (ATOMIC.search(words) and len(OPENS.findall(words)) > len(ENDS.findall(words))):
            parts.append(current)
            current = words = ""
            continue
        piece = " " if piece.startswith(("--", "/*")) else piece
        current += piece
        words += " " if piece.startswith(("'", '"', "$")) else piece
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


def without_value(sql: str, params: Mapping[str, Any] | None) -> list[str]:
    """The names that stand in a text like parameters, and have no value.

    >>> without_value("SELECT ':no', 1::int, :id", {})
    ['id']
    """
    found = (token.group(2) for token in TOKEN.finditer(sql))
    return [name for name in found if name and name not in (params or {})]


def clause(sql: str, params: Mapping[str, Any] | None) -> sa.TextClause:
    """The text for SQLAlchemy, to which `:name` is a parameter where `params` has it, outside strings and comments."""
    named = params or {}
    pieces = (
        token.group(0) if token.group(2) in named else token.group(0).replace(":", "\\:")
        for token in TOKEN.finditer(sql)
    )
    return sa.text("".join(pieces))


@contextmanager
def deadline(deadline_s: float, stop: Callable[[bool], Any]) -> Iterator[threading.Event]:
    """Inside, so many seconds may be spent; then the event that it gives is set, and `stop(hard)` called once each second,
    `hard` from the second time on."""
    late, finished = threading.Event(), threading.Event()

    def watch() -> None:
        hard, wait_s = False, deadline_s
        while not finished.wait(wait_s):
            late.set()
            with suppress(Exception):  # it is tried again
                stop(hard)
            hard, wait_s = True, 1.0

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield late
    finally:
        finished.set()
        watcher.join()


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
    at, pid = "", connection.info.backend_pid
    with closing(connection), deadline(deadline_s, lambda hard: stop(pid, hard)) as late:
        try:
            columns, rows = (), []  # type: tuple[str, ...], list[tuple[Any, ...]]
            for at in statements:
                columns, rows = _one(connection, at, params, rows_max, columns, rows)
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
            raise _sentence(error, "" if params else at, names) from None


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
    if re.match(r"^[\s(]*(SELECT|VALUES|TABLE|WITH)\b", statement, re.I):
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


def _sentence(error: psycopg.Error, statement: str, names: Callable[[], Sequence[str]]) -> SqlError:
    """The refusal as a sentence, with its place in the statement; '' where the engine was sent another text."""
    said = (error.diag.message_primary or str(error).strip().split("\n")[0]).rstrip(".")
    state = error.sqlstate or ""
    next_step = error.diag.message_hint or ""
    if state == "42P01" and (found := re.search(r'relation "(?:[\w]+\.)?([^"]+)"', said)):
        near = difflib.get_close_matches(found[1], list(names()), 1, 0.6)
        next_step = f"did you mean {near[0]}?" if near else "look at the names of the tables"
    elif state == "42601":
        next_step = next_step or "look just before the marked place"
    place = _place(error, statement)
    return SqlError(f"PostgreSQL refuses it: {said}.{place}", sqlstate=state, next=next_step)


def _place(error: psycopg.Error, statement: str) -> str:
    """The line of the statement and a caret under the place, where the engine says one."""
    position = error.diag.statement_position
    if not position or not statement:
        return ""
    start = min(int(position), len(statement)) - 1
    begin = statement.rfind("\n", 0, start) + 1
    line = statement[begin:].split("\n", 1)[0]
    return f"\n    {line}\n    {' ' * (start - begin)}^\n"
