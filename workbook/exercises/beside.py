"""An answer of DDL beside writers: at every moment one transaction has written and is still open.

    a writer with an open transaction      INSERT ......................... COMMIT
    the answer                                waits for it, and holds the door ......
    the next writer                              waits behind the answer ............     ◀── `blocking`
    ... or goes past, takes over, and the first one commits

A statement that takes a strong lock waits for whoever has written, and everybody else waits behind it; on an idle table one never
sees that. So each time the answer waits, another writer tries. Who waits for whom is said by PostgreSQL's own lock tables, not by a clock.

    >>> beside_writers.__name__, Observed().blocking
    ('beside_writers', '')

Source: PostgreSQL 18's manual, "Explicit Locking", `pg_blocking_pids`. Left out: readers, who wait for nothing but ACCESS EXCLUSIVE.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from workbook.engines import Database
from workbook.errors import SqlError
from workbook.grading.exercise import Finding

POLL_S, PATIENCE_S = 0.005, 10.0


@dataclass
class Observed:
    """What was seen while an answer ran: the statement behind which a writer had to wait ('' where none did), and how
    the answer ended."""

    blocking: str = ""
    error: SqlError | None = None


def beside_writers(
    database: Database, answer: str, write: Callable[[int], str], *, look: Callable[[], None] = lambda: None
) -> Observed:
    """Run an answer while at every moment one transaction has written and is still open.

    Parameters: the database; the answer, SQL; `write`, the INSERT of the writer with a number from 1; `look`, which is
    called each time the answer waits for a writer. Each time it does, another writer tries: it either writes, and takes over,
    or waits for the answer.
    """
    seen, done = Observed(), threading.Event()

    def migrate() -> None:
        try:
            database.run(answer, deadline_s=PATIENCE_S)
        except SqlError as error:
            seen.error = error
        finally:
            done.set()

    number = 1
    writer, _ = _written(database, write(number), 0)
    thread = threading.Thread(target=migrate, daemon=True)
    thread.start()
    try:
        while (waiting := _waiting(database, writer, done)) is not None:
            pid, statement = waiting
            look()
            number += 1
            before, (writer, blocked) = writer, _written(database, write(number), pid, then=writer.commit)
            before.close()
            if blocked:
                seen.blocking = seen.blocking or statement
    finally:
        writer.close()
        thread.join()
    return seen


def _waiting(database: Database, writer: psycopg.Connection[Any], done: threading.Event) -> tuple[int, str] | None:
    """The answer's backend and statement as soon as it waits for the open writer; None when the answer has ended."""
    sql = (
        "SELECT pid, query FROM pg_catalog.pg_stat_activity "
        f"WHERE datname = '{database.name}' AND {writer.info.backend_pid} = ANY (pg_catalog.pg_blocking_pids(pid))"
    )
    while not done.wait(POLL_S):
        if found := database.cluster.admin(sql):
            return int(found[0][0]), str(found[0][1])
    return None


def _written(
    database: Database, insert: str, waiting: int, then: Callable[[], object] = lambda: None
) -> tuple[psycopg.Connection[Any], bool]:
    """Insert, and leave the transaction open: its connection, and whether it had to wait for the backend `waiting`.
    `then` is called when that is known."""
    connection, written = database.connect(), threading.Event()

    def write() -> None:
        try:
            connection.execute(insert)
        except psycopg.Error:
            pass  # the table is gone or another one: the catalogs will say so
        finally:
            written.set()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    blocked, asked = False, f"SELECT pg_catalog.pg_blocking_pids({connection.info.backend_pid})"
    while not blocked and not written.wait(POLL_S):
        blocked = waiting in database.cluster.admin(asked)[0][0]
    then()
    thread.join()
    return connection, blocked


def nobody_waits(seen: Observed, misconception: str) -> Finding:
    """The finding on who had to wait."""
    if not seen.blocking:
        return Finding(True, "Beside each of its steps another writer wrote, and did not wait.")
    first = " ".join(seen.blocking.split())
    return Finding(
        False, f"A writer had to wait: `{first[:90]}{'...' if len(first) > 90 else ''}` waited for an open transaction, and the next INSERT waited behind it.",
        "At every step an INSERT goes past.", "Which lock does that statement take, and which of its forms takes a weaker one?", misconception,
    )  # fmt: skip
