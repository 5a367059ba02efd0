"""On PostgreSQL, who waits for whom, and on what, in words that repeat.

    pg_locks, not granted              what is told
    transactionid, and a tuple held    row id=1 of test       the row is named by its primary key, not by its place
    tuple                              row id=1 of test       in the queue for it
    transactionid alone                the end of T1's transaction
    relation                           table test
    advisory                           advisory lock 42
    (none)                             a safe snapshot        SERIALIZABLE READ ONLY DEFERRABLE

Numbers of transactions and places of rows differ from run to run, and are not told where there is a better name.

    >>> advisory(0, 42, 1), advisory(1, 2, 2)
    ('advisory lock 42', 'advisory lock (1, 2)')

Source: PostgreSQL's manual, "pg_locks". Left out: predicate locks, for which nobody waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from workbook.schedules.postgres_session import Session
from workbook.schedules.postgres_tables import Tables

BLOCKED = """SELECT p, pg_catalog.pg_blocking_pids(p), pg_catalog.pg_safe_snapshot_blocking_pids(p)
    FROM pg_catalog.unnest('{%s}'::int4[]) AS p
    WHERE pg_catalog.pg_isolation_test_session_is_blocked(p, '{%s}') OR 0 = ANY (pg_catalog.pg_blocking_pids(p))"""
WANTED = """WITH l AS MATERIALIZED (SELECT * FROM pg_catalog.pg_locks WHERE mode <> 'SIReadLock')
    SELECT w.pid, w.locktype, w.mode, w.relation, w.page, w.tuple, w.classid, w.objid, w.objsubid,
        h.relation, h.page, h.tuple,
        (SELECT pg_catalog.min(x.pid) FROM l x
            WHERE x.locktype = 'transactionid' AND x.granted AND x.transactionid = w.transactionid)
    FROM l w LEFT JOIN l h ON h.pid = w.pid AND h.granted AND h.locktype = 'tuple'
    WHERE NOT w.granted AND w.pid = ANY ('{%s}'::int4[])"""
NAME = """SELECT CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s"""


class Locks:
    """What the sessions of a database wait for, asked as superuser; rows are read as the learner's role."""

    def __init__(self, admin: psycopg.Connection[Any], control: Session, tables: Tables) -> None:
        self._admin, self._control, self._tables = admin, control, tables

    def blocked(self, asked: Sequence[int], everybody: Sequence[int]) -> dict[int, tuple[tuple[int, ...], bool]]:
        """Those of the processes `asked` about that wait for one of `everybody`, each to those it waits for, and
        whether it is for a safe snapshot."""
        sql = BLOCKED % (_list(asked), _list(everybody))
        rows = self._admin.execute(sql).fetchall()
        return {  # of one that waits no more, nobody is left to be named
            pid: (tuple(sorted({*holders, *snapshot})), bool(snapshot))
            for pid, holders, snapshot in rows
            if holders or snapshot
        }

    def wanted(self, pids: Sequence[int], names: Mapping[int, str]) -> dict[int, str]:
        """The lock that each of the waiting processes wants, in words; one that waits no more is left out. `names`
        are the sessions'."""
        found: dict[int, str] = {}
        for row in self._admin.execute(WANTED % _list(pids)).fetchall():
            pid, kind, mode, relation, page, place, classid, objid, objsubid, *queued, holder = row
            if kind == "tuple":
                found[pid] = self.row(relation, page, place)
            elif kind == "transactionid" and queued[0] is not None:
                found[pid] = self.row(*queued)
            elif kind in ("transactionid", "virtualxid", "spectoken"):
                found[pid] = f"the end of {_owned(names.get(holder, ''))} transaction"
            elif kind == "relation":
                found[pid] = f"table {self.relation(relation)} ({mode})"
            elif kind == "advisory":
                found[pid] = advisory(classid, objid, objsubid)
            else:
                found[pid] = kind
        return found

    def told(self, mode: str, on: str, row: Sequence[str] | None, holder: str) -> str:
        """What a deadlock's message says was wanted, in the same words: the `mode` of a lock `on` something; `row` is
        (page, place, table) where its context names one."""
        if row:
            oid = self._tables.oid(row[2])
            return self.row(oid, int(row[0]), int(row[1])) if oid else f"row ({row[0]},{row[1]}) of {row[2]}"
        words = on.split()
        if words[0] == "transaction":
            return f"the end of {_owned(holder)} transaction"
        if words[0] == "relation":
            return f"table {self.relation(int(words[1]))} ({mode})"
        if words[0] == "tuple":
            page, place = words[1].strip("()").split(",")
            return self.row(int(words[4]), int(page), int(place))
        if words[0] == "advisory":
            return advisory(*(int(number) for number in words[-1].strip("[]").split(",")[1:]))
        return words[0]

    def relation(self, oid: int) -> str:
        """A table's or an index's name."""
        row = self._admin.execute(NAME % oid).fetchone()
        return str(row[0]) if row else f"relation {oid}"

    def row(self, relation: int, page: int, place: int) -> str:
        """A row by its primary key; by its place where it has none, or where the table is locked."""
        table = self.relation(relation)
        known = self._tables.key(relation)
        if known:
            name, columns = known
            sql = f"SELECT {', '.join(columns)} FROM ONLY {name} WHERE ctid = '({page},{place})'"
            try:
                result = self._control.ask(sql)
            except psycopg.Error:
                return f"row ({page},{place}) of {table}"
            if result.ntuples:
                values = [(result.get_value(0, number) or b"").decode() for number in range(len(columns))]
                pairs = [f"{column.strip(chr(34))}={value}" for column, value in zip(columns, values, strict=True)]
                return f"row {', '.join(pairs)} of {table}"
        return f"row ({page},{place}) of {table}"


def advisory(classid: int, objid: int, objsubid: int) -> str:
    """An advisory lock by the number, or the two numbers, that it was taken with."""
    return f"advisory lock {classid << 32 | objid}" if objsubid == 1 else f"advisory lock ({classid}, {objid})"


def _owned(name: str) -> str:
    return f"{name}'s" if name else "another"


def _list(pids: Sequence[int]) -> str:
    return ",".join(map(str, pids))
