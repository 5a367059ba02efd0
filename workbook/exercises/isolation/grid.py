"""Many different bookings, one after the other: which of them get a row, and which numbers each of them locks.

    booking            locks, until its COMMIT          pg_advisory_xact_lock(:room + :hour)
    room 1, hour 12    13                               two bookings, one number:
    room 2, hour 11    13                               who books the one waits for who books the other

Two customers show one pair of bookings. Whether a rule or a number takes two bookings for one is a matter of all pairs, and the pairs are
too many to be played. So each booking of a grid is made once, alone: all of them are free, so that each gets a row, and the advisory
locks that it holds before its COMMIT are read. No two bookings may hold the same one, unless both only share it.

    >>> shared([{("1", "13", "1"): True}, {("1", "14", "1"): True}, {("1", "13", "1"): True}])
    (0, 2)
    >>> shared([{("1", "13", "1"): False}, {("1", "13", "1"): False}]) is None
    True

Source: PostgreSQL 18's manual, "Advisory Locks", "pg_locks" (`classid`, `objid`, `objsubid`). Left out: locks on rows that are worked out from the
values; a hash of which two values meet outside of the grid.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from workbook.engines import Recipe, database

Locks = Mapping[tuple[str, str, str], bool]
"""The numbers that a booking locks, as `pg_locks` has them, each to whether it is locked alone (not shared)."""
ALL_S, STATEMENT_S = 2.0, 1.0
HELD = """SELECT classid::text, objid::text, objsubid::text, mode = 'ExclusiveLock' AS grid_alone FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND granted AND pid = pg_catalog.pg_backend_pid()"""


@dataclass(frozen=True)
class Made:
    """What came of the bookings: the numbers that each has locked, and the rows of `booking` in the end. Those that there was no time for
    are not among them."""

    locks: tuple[Locks, ...]
    rows: tuple[dict[str, Any], ...]


def one_by_one(recipe: Recipe, ddl: str, level: str, bookings: Sequence[Sequence[str]]) -> Made:
    """Make each booking, given as its statements, in a transaction of its own; one that PostgreSQL refuses leaves nothing."""
    locks: list[Locks] = []
    until = time.monotonic() + ALL_S
    with database(recipe) as made:
        if ddl.strip():
            made.run(ddl)
        with contextlib.closing(made.connect()) as session:
            session.autocommit = True
            session.execute(f"SET statement_timeout = '{STATEMENT_S:g}s'")
            for sent in bookings:
                if time.monotonic() > until:
                    break
                locks.append(_made(session, "\n;\n".join((f"BEGIN ISOLATION LEVEL {level}", *sent, HELD, "COMMIT"))))
            cursor = session.execute("SELECT * FROM booking")
            names = [column.name for column in cursor.description or ()]
            rows = tuple(dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    return Made(tuple(locks), rows)


def _made(session: psycopg.Connection[Any], batch: str) -> Locks:
    try:
        cursor = session.execute(batch)
    except psycopg.Error:
        session.execute("ROLLBACK")
        return {}
    held: dict[tuple[str, str, str], bool] = {}
    while True:
        if cursor.description and cursor.description[-1].name == "grid_alone":
            for *number, alone in cursor.fetchall():
                key = (number[0], number[1], number[2])
                held[key] = held.get(key, False) or alone
        if not cursor.nextset():
            return held


def shared(locks: Sequence[Locks]) -> tuple[int, int] | None:
    """The places of the first two bookings that lock the same number, at least one of them alone; None where there are none."""
    first: dict[tuple[str, str, str], tuple[int, bool]] = {}
    for place, held in enumerate(locks):
        for number, alone in held.items():
            before, before_alone = first.get(number, (place, False))
            if before != place and (alone or before_alone):
                return before, place
            first[number] = (before, alone or before_alone)
    return None
