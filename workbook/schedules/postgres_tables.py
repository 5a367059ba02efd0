"""On PostgreSQL, the tables of a schedule: as the setup leaves them, again and again, quickly.

    setup ── new, or something but rows may have changed ──▶ drop all, run the setup, remember every row
          └─ the same as before ──▶ fill anew the tables whose rows differ from those remembered, or stand otherwise

Filling a table anew costs a twentieth of running the setup. Its rows stand in the file as the setup left them, so
that a scan meets them in the same order: who is waited for first, and who is sacrificed in a deadlock, may depend on
it. The quick way is taken where nothing but rows can have changed: steps that only read and write, tables without
triggers, foreign keys, rules and row-level security. Every 50th time the tables are made anew, so that dead rows do
not pile up and no plan changes.

    >>> plain("UPDATE t SET n = 1"), plain("SELECT 1 INTO t"), plain("CREATE INDEX ON t (n)"), plain("SELECT lo_create(7)")
    (True, False, False, False)

Left out: what stands in no schema (large objects, publications): `postgres.py` looks for it whenever the tables are
made anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import pq

from workbook.engines.cluster import OWNERS
from workbook.engines.running import ALONE, split
from workbook.schedules.engine import ROWS_MAX, Rows, of_table
from workbook.schedules.postgres_session import Session
from workbook.schedules.schedule import Schedule

QUICK_MAX, QUICK_ROWS_MAX, MAKES = 50, 5_000, 500
PLAIN = re.compile(
    r"\s*(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|SET|RESET|SHOW|SELECT|INSERT|UPDATE|DELETE|MERGE|"
    r"WITH|VALUES|TABLE|LOCK|DECLARE|FETCH|MOVE|CLOSE|PREPARE|EXECUTE|DEALLOCATE|LISTEN|NOTIFY|UNLISTEN)\b",
    re.I,
)
STORED = re.compile(
    r"\b(FUNCTION|PROCEDURE|TRIGGER|RULE|ROLE|USER|DATABASE|PRIVILEGES|PUBLICATION|EXTENSION|SERVER|OWNED)\b|"
    r"\bDO\s+(LANGUAGE\b|\$|')|\blo_",
    re.I,
)
LARGE = re.compile(r"\blo_", re.I)
SCHEMAS = "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
TABLES = """SELECT c.oid, n.nspname, c.relname,
        c.relhastriggers OR c.relhasrules OR c.relrowsecurity OR c.relhassubclass OR c.relkind <> 'r',
        ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
        ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped),
        ARRAY(SELECT a.attname::text
            FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o),
                pg_catalog.pg_attribute a
            WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = k.n ORDER BY k.o)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY c.oid"""
SEQUENCES = """SELECT n.nspname, c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' ORDER BY c.oid"""
CATALOGS = (
    "class",
    "attribute",
    "type",
    "depend",
    "shdepend",
    "index",
    "constraint",
    "attrdef",
    "sequence",
    "statistic",
)
Raw = tuple[bytes | None, ...]


@dataclass
class Table:
    """A table: its name in SQL and for people, its columns, its primary key's, and the rows that the setup left."""

    oid: int
    sql: str
    name: str
    columns: tuple[str, ...]
    stored: tuple[int, ...]
    key: tuple[int, ...]
    made: tuple[Raw, ...] = ()
    now: tuple[Raw, ...] = field(default=())


class Tables:
    """The tables of a stage's database. `make` before a schedule, `read` after it."""

    def __init__(self, control: Session, admin: psycopg.Connection[Any]) -> None:
        self._control, self._admin = control, admin
        self._setup: str | None = None
        self._tables: list[Table] = []
        self._sequences: list[str] = []
        self._sequences_made: list[Raw] = []
        self._quick = 0
        self._simple = self._changed = False
        self._makes = 0

    def quick(self, schedule: Schedule) -> bool:
        """Whether putting rows back will do: nothing else can differ from what the schedule's setup leaves."""
        return schedule.setup == self._setup and self._simple and not self._changed and self._quick < QUICK_MAX

    def make(self, schedule: Schedule, run: Callable[[str], None]) -> None:
        """The tables as the schedule's setup leaves them; `run` runs a text of SQL as the learner's role."""
        try:
            if self.quick(schedule):
                self._put_back()
            else:
                self._make_anew(schedule.setup, run)
        except BaseException:
            self.forget()
            raise
        self._changed = not all(plain(step.sql) for step in schedule.steps)

    def read(self, schedule: Schedule) -> tuple[dict[str, Rows], dict[str, tuple[str, ...]]]:
        """Every table's rows, sorted, and its columns' names."""
        if self._changed or not self._simple:
            kept = self._tables, self._sequences
            self._look()
            results = self._select()
            rows = {
                table.name: of_table(table.name, self._control.rows(result))
                for table, result in zip(self._tables, results, strict=False)
            }
            columns = {table.name: table.columns for table in self._tables}
            self._tables, self._sequences = kept
            return rows, columns
        results = self._select()
        rows = {}
        for table, result in zip(self._tables, results, strict=False):
            table.now = _raw(result)
            rows[table.name] = of_table(table.name, self._control.rows(result))
        return rows, {table.name: table.columns for table in self._tables}

    def forget(self) -> None:
        """Make the tables anew the next time."""
        self._setup = None

    def key(self, oid: int) -> tuple[str, list[str]] | None:
        """A table's name in SQL and the columns of its primary key; None where it has none."""
        for table in self._tables:
            if table.oid == oid and table.key:
                return table.sql, [_quoted(table.columns[number]) for number in table.key]
        return None

    def oid(self, name: str) -> int | None:
        """The number of a table, by its name without its schema."""
        return next((table.oid for table in self._tables if table.name.rpartition(".")[2] == name), None)

    def _make_anew(self, setup: str, run: Callable[[str], None]) -> None:
        self._setup = None
        self._makes += 1
        if self._makes % MAKES == 0:
            for name in CATALOGS:
                self._admin.execute(f"VACUUM pg_catalog.pg_{name}")
        schemas = ", ".join(_quoted(name) for (name,) in self._admin.execute(SCHEMAS).fetchall())
        self._admin.execute(
            f"SET client_min_messages = error; SET lock_timeout = '10s'; DROP SCHEMA {schemas} CASCADE; "
            f"CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT ALL ON SCHEMA public TO {OWNERS}"
            if schemas
            else f"CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT ALL ON SCHEMA public TO {OWNERS}"
        )
        statements = split(setup)
        for sql in statements if any(ALONE.match(one) for one in statements) else [setup] if statements else []:
            run(sql)
        self._control.do("ROLLBACK; DISCARD ALL; SET lock_timeout = '100ms'")
        strange = self._look()
        results = self._select()
        for table, result in zip(self._tables, results, strict=False):
            table.made = table.now = _raw(result)
        self._sequences_made = [_raw(result)[0] for result in results[len(self._tables) :]]
        rows = sum(len(table.made) for table in self._tables)
        self._simple = not strange and rows <= QUICK_ROWS_MAX and not STORED.search(setup)
        self._setup, self._quick = setup, 0

    def _look(self) -> bool:
        """See which tables and sequences there are; whether one has triggers, rules, or anything that makes putting
        rows back more than it seems."""
        self._tables, strange = [], False
        for oid, schema, name, special, columns, generated, key in self._admin.execute(TABLES).fetchall():
            strange = strange or special
            sql = f"{_quoted(schema)}.{_quoted(name)}"
            shown = name if schema == "public" else f"{schema}.{name}"
            stored = tuple(number for number, column in enumerate(columns) if column not in generated)
            self._tables.append(
                Table(oid, sql, shown, tuple(columns), stored, tuple(columns.index(one) for one in key))
            )
        found = self._admin.execute(SEQUENCES).fetchall()
        self._sequences = [f"{_quoted(schema)}.{_quoted(name)}" for schema, name in found]
        return strange

    def _select(self) -> list[pq.abc.PGresult]:
        """The rows of each table, then the state of each sequence."""
        texts = [
            f"SELECT {', '.join(map(_quoted, table.columns))} FROM {table.sql} LIMIT {ROWS_MAX + 1}"
            for table in self._tables
        ]
        texts += [f"SELECT last_value, is_called FROM {name}" for name in self._sequences]
        return self._control.ask_all("; ".join(texts)) if texts else []

    def _put_back(self) -> None:
        """Undo what the last schedule did to the rows and to the sequences."""
        self._quick += 1
        texts = [text for table in self._tables if table.now != table.made for text in self._undo(table)]
        for name, state in zip(self._sequences, self._sequences_made, strict=True):
            quoted = name.replace("'", "''")
            texts.append(
                f"SELECT pg_catalog.setval('{quoted}', {(state[0] or b'1').decode()}, '{(state[1] or b't').decode()}')"
            )
        if texts:
            self._control.ask_all("; ".join(texts))
        for table in self._tables:
            table.now = table.made

    def _undo(self, table: Table) -> list[str]:
        """All rows anew, in the order of the setup: deleted and inserted at once they stand in the file in that
        order."""
        escape = pq.Escaping(self._control.conn).escape_literal

        def literal(value: bytes | None) -> str:
            return "NULL" if value is None else bytes(escape(value)).decode()

        columns = ", ".join(_quoted(table.columns[number]) for number in table.stored)
        values = ", ".join(f"({', '.join(literal(row[number]) for number in table.stored)})" for row in table.made)
        insert = f"INSERT INTO {table.sql} ({columns}) OVERRIDING SYSTEM VALUE VALUES {values}"
        return [f"DELETE FROM {table.sql}", *([insert] if table.made else [])]


def plain(sql: str) -> bool:
    """Whether a statement can change nothing but rows, sequences and its own session."""
    if ";" in sql or not PLAIN.match(sql) or LARGE.search(sql):
        return False
    return (
        re.match(r"\s*(SELECT|WITH)\b", sql, re.I) is None
        or re.search(r"(?<!INSERT)(?<!MERGE)\s+INTO\b", sql, re.I) is None
    )


def _raw(result: pq.abc.PGresult) -> tuple[Raw, ...]:
    columns = range(result.nfields)
    return tuple(tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
