"""What a transaction truly costs.

EXPLAIN leaves out what AFTER triggers and foreign-key checks do (measured: 106 pages by EXPLAIN, 2,424 in truth). So
the cost is the difference of the backend's own counters around the whole transaction, its COMMIT included:

    flush, look ── the transaction ── COMMIT ── flush, look ──▶ Cost

The looks are taken by the superuser on another connection, so that they cost the measured backend nothing. Pages are those of
the person's own tables and indexes: how many pages of the catalog are read depends on what a session has cached, and
came out as 2,833 or 2,834 for the same delete. Each measurement has a session of its own, which plans the statement first,
so that the root of each index is known to it as it is to a session that has worked for a while. Sessions that were closed before are
waited for: they hand in what they read when they end. What a session that is still open has read may be handed in up
to ten seconds later, and then counts.

    >>> Cost(buffers=4, wal_bytes=0, wal_records=0, wal_fpi=0, rows=1, tuples={}, seconds=0.001).buffers
    4

Source: PostgreSQL 18's manual, "The Cumulative Statistics System" (`pg_stat_get_backend_io`,
`pg_stat_get_backend_wal`, both new in 18). Left out: what parallel workers do (the profile `counting` has none).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from workbook.engines.running import clause, deadline, split
from workbook.errors import SqlError, SqlTimeout, Unsuitable

if TYPE_CHECKING:
    from workbook.engines.database import Database

PAGES = """SELECT coalesce(sum(coalesce(heap_blks_read, 0) + coalesce(heap_blks_hit, 0) + coalesce(idx_blks_read, 0) + coalesce(idx_blks_hit, 0)
        + coalesce(toast_blks_read, 0) + coalesce(toast_blks_hit, 0) + coalesce(tidx_blks_read, 0) + coalesce(tidx_blks_hit, 0)), 0)
        FROM pg_catalog.pg_statio_user_tables"""
WAL = "SELECT wal_bytes, wal_records, wal_fpi FROM pg_catalog.pg_stat_get_backend_wal({pid})"
TABLES = """SELECT relname, coalesce(seq_tup_read, 0), coalesce(idx_tup_fetch, 0), n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del
            FROM pg_catalog.pg_stat_user_tables"""


@dataclass(frozen=True, slots=True)
class Tuples:
    """Rows of one table: read by sequential scans, fetched by indexes, inserted, updated, of these HOT, deleted."""

    seq_read: int = 0
    idx_fetch: int = 0
    inserted: int = 0
    updated: int = 0
    hot_updated: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one transaction: pages of 8 kB touched, bytes and records of WAL, of these page images, rows
    returned or changed, rows by table, and seconds (to be drawn, never to decide). On SQLite `steps` counts those of
    its virtual machine, on DuckDB rows scanned."""

    buffers: int
    wal_bytes: int
    wal_records: int
    wal_fpi: int
    rows: int
    tuples: Mapping[str, Tuples]
    seconds: float
    steps: int | None = None

    def __str__(self) -> str:
        parts = [f"{self.buffers:,} pages"] if self.steps is None else [f"{self.steps:,} steps"]
        if self.wal_bytes:
            parts.append(f"{self.wal_bytes:,} bytes of WAL")
        return ", ".join([*parts, f"{self.rows:,} rows"])


def cost_of(
    database: Database, work: str | Callable[[sa.Connection], Any], params: Mapping[str, Any] | None, deadline_s: float
) -> Cost:
    """The true cost of `work` on a database of PostgreSQL 18. Raises `SqlError`, `SqlTimeout` after `deadline_s` seconds,
    `Unsuitable` on an older server."""
    if int(database.cluster.version.split(".")[0]) < 18:
        raise Unsuitable(
            f"PostgreSQL {database.cluster.version} does not count the cost of a transaction: those counters are new in 18.",
            next="unset WORKBOOK_POSTGRES_URL, or let it name a PostgreSQL 18",
        )
    database.engine.dispose()  # a session of its own
    database.settle()
    with database.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        pid = raw.info.backend_pid
        with deadline(deadline_s, lambda hard: database.cancel(pid, hard)) as late:
            try:
                if isinstance(work, str):
                    _warm(connection, work, params)
                before = _look(database, connection, pid)
                begun = time.perf_counter()
                rows = work_on(connection, work, params)
                connection.commit()
                seconds = time.perf_counter() - begun
                after = _look(database, connection, pid)
            except sa.exc.DBAPIError as error:
                connection.rollback()
                raise _refusal(error, late.is_set(), deadline_s) from None
    return _difference(before, after, rows, seconds)


def _warm(connection: sa.Connection, work: str, params: Mapping[str, Any] | None) -> None:
    """Plan the statement, so that its catalog entries are cached; what a first execution would still read is small
    and the same."""
    for statement in split(work):
        with contextlib.suppress(sa.exc.DBAPIError):
            connection.execute(clause(f"EXPLAIN {statement}", params), dict(params or {}))
        connection.rollback()


def work_on(
    connection: sa.Connection, work: str | Callable[[sa.Connection], Any], params: Mapping[str, Any] | None
) -> int:
    """Do the work; the rows that it returned or changed."""
    if callable(work):
        given = work(connection)
        return given if isinstance(given, int) else 0
    result = connection.execute(clause(work, params), dict(params or {}))
    return len(result.fetchall()) if result.returns_rows else max(result.rowcount, 0)


def _look(
    database: Database, connection: sa.Connection, pid: int
) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
    connection.execute(sa.text("SELECT pg_catalog.pg_stat_force_next_flush()"))
    connection.commit()
    admin = database.cluster.admin
    pages = int(admin(PAGES, database.name)[0][0])
    wal = tuple(int(value) for value in admin(WAL.format(pid=pid))[0])
    tables = {row[0]: tuple(int(value) for value in row[1:]) for row in admin(TABLES, database.name)}
    return (pages, *wal), tables


def _difference(before: Any, after: Any, rows: int, seconds: float) -> Cost:
    pages, wal_bytes, records, images = (late - early for early, late in zip(before[0], after[0], strict=True))
    nothing = (0,) * 6
    tuples = {}
    for table, late in sorted(after[1].items()):
        delta = tuple(b - a for a, b in zip(before[1].get(table, nothing), late, strict=True))
        if any(delta):
            tuples[table] = Tuples(*delta)
    return Cost(pages, wal_bytes, records, images, rows, tuples, seconds)


def too_long(deadline_s: float) -> SqlTimeout:
    """What to raise where a transaction was stopped at its deadline."""
    return SqlTimeout(f"The transaction ran longer than {deadline_s:g} s and was cancelled.", sqlstate="57014")


def _refusal(error: sa.exc.DBAPIError, late: bool, deadline_s: float) -> SqlError:
    if late:
        return too_long(deadline_s)
    cause: Any = error.orig
    said = (getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause)).strip().split("\n")[0]
    return SqlError(f"PostgreSQL refuses it: {said.rstrip('.')}.", sqlstate=str(getattr(cause, "sqlstate", "") or ""))
