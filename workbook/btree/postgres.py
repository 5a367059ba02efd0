"""A real index of PostgreSQL as a tree: which one is meant, whose it is, and where its pages stand.

    read_index(engine, "orders_pkey")
        ─▶ the catalog ─▶ yours? a B-tree? ─▶ CHECKPOINT ─▶ pg_read_binary_file ─▶ Snapshot

The bytes come from the index's file, by the one connection that may read files: a superuser's. It looks at pg_catalog
alone, with an empty search_path, so that no name and no function of a learner's is ever resolved; and it reads only
what belongs to the database's own role or to the group of owners. A changed page stands in memory first: therefore a
CHECKPOINT, which writes all of them. (Where `full_page_writes` is on, the next change of a page after it writes a
page image: read before you measure WAL, or after, not in between.)

    read_index(engine, "orders_pkey")               all pages; a million rows take about two seconds
    read_index(engine, "orders_pkey", key=4711)     the pages that a search for 4711 reads
    read_index(engine, "orders_pkey", pages=[3, 7]) these pages

Sources: PostgreSQL 18's manual, "Generic File Access Functions", "Database Object Location Functions", "CREATE
INDEX"; src/include/catalog/pg_index.h.
Left out: indexes of temporary and of unlogged tables, whose pages may be in memory only; collations that order text
by a language (they are read, but a key cannot be looked for).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbook.btree import postgres_values
from workbook.btree.asking import Pages, asked_for
from workbook.btree.page import Snapshot
from workbook.btree.postgres_pages import Column, Layout
from workbook.btree.postgres_tree import Source, along, some, whole
from workbook.errors import Damaged, Misuse, Unavailable, Unsuitable

if TYPE_CHECKING:
    import psycopg
    import sqlalchemy as sa

PAGES_MAX = 16_384
ATTEMPTS = 3
ALIGNS = {"c": 1, "s": 2, "i": 4, "d": 8}
DESCENDING, NULLS_FIRST = 1, 2
BYTEWISE = {"C", "POSIX", "C.UTF-8", "C.utf8", "ucs_basic", "pg_c_utf8"}
ORDERED = re.compile(
    r"(int[248]|oid|bool|float[48]|uuid|date|time|timestamp|timestamptz|bytea|numeric|enum"
    r"|(text|varchar|bpchar|name)(_pattern)?)_ops"
)
NAME = re.compile(r'(?:("(?:[^"]|"")+"|[^".\s]+)\.)?("(?:[^"]|"")+"|[^".\s]+)')
RELATION_KINDS = {
    "r": "a table",
    "p": "a partitioned table",
    "v": "a view",
    "m": "a materialized view",
    "S": "a sequence",
    "t": "a TOAST table",
    "f": "a foreign table",
    "c": "a type",
    "I": "an index of a partitioned table, which has no pages of its own",
}

RELATIONS = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.relpersistence::text, a.amname, r.rolname,
    pg_catalog.pg_has_role(%(role)s::pg_catalog.name, c.relowner, 'USAGE')
FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
    LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE c.relname = %(name)s AND (%(schema)s::pg_catalog.text IS NULL OR n.nspname = %(schema)s)"""
INDEXES = """
SELECT c.relname, t.relname
FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind = 'i' ORDER BY 1"""
PARTS = """
SELECT c.relname FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid
WHERE h.inhparent = %s ORDER BY 1"""
VALID = "SELECT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = %s::pg_catalog.oid"
PLACE = """
SELECT pg_catalog.pg_relation_filepath(%(oid)s::pg_catalog.oid),
    pg_catalog.pg_relation_size(%(oid)s::pg_catalog.oid)::bigint,
    pg_catalog.current_setting('block_size')::bigint,
    pg_catalog.pg_size_bytes(pg_catalog.current_setting('segment_size'))::bigint"""
COLUMNS = """
WITH RECURSIVE base AS (  -- what a domain, and a domain over a domain, is made of
    SELECT t.oid AS of, t.oid, t.typname, t.typtype, t.typbasetype, t.typnamespace
    FROM pg_catalog.pg_type t
        JOIN pg_catalog.pg_attribute a ON a.atttypid = t.oid AND a.attrelid = %(oid)s::pg_catalog.oid
    UNION
    SELECT b.of, t.oid, t.typname, t.typtype, t.typbasetype, t.typnamespace
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typbasetype)
SELECT CASE i.indkey[a.attnum - 1] WHEN 0 THEN pg_catalog.pg_get_indexdef(i.indexrelid, a.attnum, true)
        ELSE a.attname::pg_catalog.text END, b.typname, b.typtype::text, b.oid::bigint, tn.nspname = 'pg_catalog',
    a.attlen::int, a.attalign::text, i.indoption[a.attnum - 1]::int,
    CASE cn.nspname WHEN 'pg_catalog' THEN o.opcname END, coalesce(k.collname, ''),
    CASE k.collprovider WHEN 'd' THEN d.datlocprovider ELSE k.collprovider END::text,
    CASE k.collprovider WHEN 'd' THEN d.datcollate ELSE k.collcollate END
FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid
    JOIN base b ON b.of = a.atttypid AND b.typtype <> 'd'
    JOIN pg_catalog.pg_namespace tn ON tn.oid = b.typnamespace
    JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[a.attnum - 1]
    JOIN pg_catalog.pg_namespace cn ON cn.oid = o.opcnamespace
    LEFT JOIN pg_catalog.pg_collation k ON k.oid = i.indcollation[a.attnum - 1]
    JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
WHERE i.indexrelid = %(oid)s::pg_catalog.oid AND a.attnum <= i.indnkeyatts ORDER BY a.attnum"""
LABELS = """
SELECT e.oid::bigint, e.enumlabel, e.enumsortorder::float8
FROM pg_catalog.pg_enum e WHERE e.enumtypid = %s::pg_catalog.oid"""


@dataclass(frozen=True, slots=True)
class _File:
    """The pages of a relation, by a superuser's connection."""

    connection: psycopg.Connection[Any]
    path: str
    size_bytes: int
    page_bytes: int
    segment_bytes: int

    @property
    def count(self) -> int:
        return self.size_bytes // self.page_bytes

    def read(self, first: int, pages: int) -> bytes:
        """A file of PostgreSQL ends at a gigabyte, and goes on in one with the ending `.1`."""
        at, end, got = first * self.page_bytes, (first + pages) * self.page_bytes, []
        while at < end:
            segment, offset = divmod(at, self.segment_bytes)
            size = min(end - at, self.segment_bytes - offset)
            path = f"{self.path}.{segment}" if segment else self.path
            sql = "SELECT pg_catalog.pg_read_binary_file(%s::text, %s::bigint, %s::bigint)"
            row = self.connection.execute(sql, (path, offset, size), binary=True).fetchone()
            got.append(bytes(row[0]) if row else b"")
            at += size
        return b"".join(got)


def read_index(engine: sa.Engine, index: str, *, pages: Pages = None, key: Any = None) -> Snapshot:
    """A B-tree of PostgreSQL from the bytes of its pages, as they are on disk after a CHECKPOINT.

    Parameters: an `engine` of the workbook; the name of an `index`, with its schema where that is not public; and what
    to read: `pages="all"` (which is also meant where neither is given), the numbers of some `pages`, or the pages that
    a search for a `key` reads (the value of the first column, or a tuple of those of the first columns; None in a
    tuple is NULL). Returns a `Snapshot`: keys are those of the key columns, INCLUDE columns are left out.

    Raises `Misuse` for a name that is none, a key of another type, or a page that is not there; `Unsuitable` for what
    is no B-tree of one's own, or has more than 16,384 pages where all are asked for; `Damaged` where the bytes are no
    tree.
    """
    database, numbers = _database(engine), asked_for(pages, key)
    for _ in range(ATTEMPTS - 1):
        with suppress(Damaged):  # perhaps pages were caught while they were written
            return _read(database, index, numbers, key)
    return _read(database, index, numbers, key)


def _database(engine: Any) -> Any:
    from workbook.engines import database_of

    database = database_of(engine)
    if database.kind != "postgresql":
        raise Misuse(
            f"This is a database of {database.kind}, and this reads indexes of PostgreSQL.",
            next="read_sqlite(engine, name) reads those of SQLite" if database.kind == "sqlite" else "",
        )
    return database


def _read(database: Any, index: str, numbers: list[int] | None, key: Any) -> Snapshot:
    import psycopg

    database.checkpoint()
    with database.cluster.connect(database.name) as connection:
        oid, name = _relation(connection, database.name, index)
        layout, source = _layout(connection, oid, name)
        if numbers is None and key is None and source.count > PAGES_MAX:
            raise Unsuitable(
                f"The index {name} has {source.count:,} pages; at most {PAGES_MAX:,} are read whole.",
                next="read the path of a key (key=...), or some pages by number",
            )
        try:
            if key is not None:
                return along(source, layout, key)
            return whole(source, layout) if numbers is None else some(source, layout, numbers)
        except Damaged:
            if _built(connection, oid):
                raise
            raise Unsuitable(
                f"{name} is an invalid index: it was never built, its CREATE INDEX CONCURRENTLY failed or still runs.",
                next=f"drop it (DROP INDEX {name}), mend what made it fail, duplicates for one, and create it again",
            ) from None
        except psycopg.errors.UndefinedFile:
            raise Unavailable(
                f"The file of the index {name} went away while it was read.",
                next="is it being rebuilt? Read it once more",
            ) from None


def _built(connection: psycopg.Connection[Any], oid: int) -> bool:
    """Whether the building of an index has come to its end."""
    row = connection.execute(VALID, (oid,)).fetchone()
    return row is None or bool(row[0])


def _relation(connection: psycopg.Connection[Any], role: str, asked: str) -> tuple[int, str]:
    """The oid and the name of the index that is meant. Raises `Misuse` or `Unsuitable`."""
    match = NAME.fullmatch(asked.strip()) if isinstance(asked, str) else None
    if match is None:
        if isinstance(asked, str) and asked.strip() in _names(connection):
            raise _unquoted(asked.strip())
        raise Misuse(f"{asked!r} is no name of an index.", next='write it as "orders_pkey" or "schema.orders_pkey"')
    schema, name = _folded(match[1]), _folded(match[2]) or ""
    found = connection.execute(RELATIONS, {"role": role, "name": name, "schema": schema}).fetchall()
    if not found:  # as it is written, where it was not meant to be folded
        schema, name = _plain(match[1]), _plain(match[2]) or ""
        found = connection.execute(RELATIONS, {"role": role, "name": name, "schema": schema}).fetchall()
    if not found:
        raise _missing(connection, asked)
    if len(found) > 1:
        found = [row for row in found if row[1] == "public"] or found
    if len(found) > 1:
        places = ", ".join(sorted(f"{row[1]}.{row[2]}" for row in found))
        raise Misuse(f"Several relations are called {asked}.", next=f"write one of {places}")
    oid, schema, name, kind, persistence, method, owner, own = found[0]
    shown = name if schema == "public" else f"{schema}.{name}"
    if not own:
        raise Unsuitable(f"{shown} belongs to {owner}, and only what is your own is read.")
    if kind != "i":
        raise _no_index(connection, oid, shown, kind)
    if method != "btree":
        raise Unsuitable(f"{shown} is an index of the kind {method}, and this reads B-trees.")
    if persistence != "p":
        table = "a temporary" if persistence == "t" else "an unlogged"
        raise Unsuitable(
            f"{shown} is an index of {table} table, whose pages may be in memory only.",
            next="make the table a plain one",
        )
    return oid, shown


def _plain(name: str | None) -> str | None:
    return name[1:-1].replace('""', '"') if name and name.startswith('"') else name


def _folded(name: str | None) -> str | None:
    """A name as SQL reads it: in lower case, unless it is quoted."""
    return _plain(name) if name is None or name.startswith('"') else name.lower()


def _missing(connection: psycopg.Connection[Any], asked: str) -> Misuse:
    names = _names(connection)
    if asked.strip() in names:
        return _unquoted(asked.strip())
    close = [_written(name) for name in difflib.get_close_matches(asked, names, n=3, cutoff=0.4) or names[:8]]
    return Misuse(f"There is no index {asked}.", next=f"there are {', '.join(close)}" if close else "create one")


def _names(connection: psycopg.Connection[Any]) -> list[str]:
    """The names of the indexes that there are."""
    return [row[0] for row in connection.execute(INDEXES).fetchall()]


def _unquoted(name: str) -> Misuse:
    return Misuse(f"A name such as {name} needs quotes.", next=f"write '{_written(name)}', the double quotes included")


def _written(name: str) -> str:
    """A name as it has to be asked for: in quotes, where it has a dot, a quote or a space in it."""
    return name if re.fullmatch(r'[^".\s]+', name) else '"' + name.replace('"', '""') + '"'


def _no_index(connection: psycopg.Connection[Any], oid: int, name: str, kind: str) -> Unsuitable:
    if kind == "I":
        parts = [row[0] for row in connection.execute(PARTS, (oid,)).fetchall()]
        following = f"read one of its parts: {', '.join(parts[:8])}" if parts else ""
    else:
        indexes = [
            _written(index) for index, table in connection.execute(INDEXES).fetchall() if table == name.split(".")[-1]
        ]
        following = f"its indexes are {', '.join(indexes[:8])}" if indexes else ""
    return Unsuitable(f"{name} is {RELATION_KINDS.get(kind, 'no index')}, and this reads indexes.", next=following)


def _layout(connection: psycopg.Connection[Any], oid: int, name: str) -> tuple[Layout, Source]:
    """What an index's columns are, and where its pages stand."""
    place = connection.execute(PLACE, {"oid": oid}).fetchone()
    if place is None or place[0] is None:
        raise Unavailable(f"The index {name} went away while it was looked at.", next="read it once more")
    path, size, page_bytes, segment_bytes = place
    rows = connection.execute(COLUMNS, {"oid": oid}).fetchall()
    columns = tuple(_column(row, lambda number: connection.execute(LABELS, (number,)).fetchall()) for row in rows)
    return Layout(name, columns, page_bytes), _File(connection, path, size, page_bytes, segment_bytes)


def _column(row: tuple[Any, ...], labels: Callable[[int], list[tuple[int, str, float]]]) -> Column:
    name, type_name, type_kind, oid, builtin, width, align, option, operators, collation, provider, locale = row
    kinds: Mapping[str, postgres_values.Kind] = postgres_values.KINDS
    if type_kind == "e":
        kind = postgres_values.enum(type_name, {number: (label, place) for number, label, place in labels(oid)})
    else:
        kind = kinds[type_name] if builtin and type_name in kinds else postgres_values.unknown(type_name)
    unordered = ""
    if operators is None or not ORDERED.fullmatch(operators):
        unordered = f"{name} is ordered by operators of its own"
    elif kind.collated and not operators.endswith("_pattern_ops") and provider != "b" and locale not in BYTEWISE:
        unordered = f"{name} is ordered by the collation {locale or collation}, which is not known here"
    flags = bool(option & DESCENDING), bool(option & NULLS_FIRST)
    return Column(name, kind, width, ALIGNS[align], *flags, unordered)
