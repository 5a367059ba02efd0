"""Worlds in which inserts became slow, each for a reason of its own, and what the engine counts in them.

    name               what it is                                          what 300 inserts do more of
    healthy-key        ordered keys, and an index on the time              -
    random-key         a key that goes to any leaf                         page images after a checkpoint
    scattered-index    ordered keys, and an index that goes to any leaf    page images after a checkpoint
    healthy-customer   12,000 rows, an index on the customer               -
    bloat              the same rows; seven of eight have been deleted     leaves changed
    wide-key           the same rows, the note in the index as well        leaves changed
    growth             eight times the rows                                leaves changed
    healthy-lease      rows that are deleted and inserted anew             -
    held-back          ... under a snapshot that nobody ends               pages of dead versions
    foreign-key        ... with a child table that lost its index          pages of the child

Nothing of it is typed in: a world is made by a recipe and by what happens in it afterwards (`begin`), and `Evidence` is what
the engine says of it. Worlds of one family have the same tables and the same stream of inserts, so that a change can be
tried in each of them.

    >>> sorted({world.profile for world in WORLDS.values()})
    ['counting', 'production']
    >>> WORLDS["held-back"].stream == WORLDS["foreign-key"].stream
    True

Sources: PostgreSQL 18's manual, "Write Ahead Log" (`full_page_writes`), "Routine Vacuuming", "Foreign Keys" (an index on
the referencing columns); src/backend/access/nbtree/README ("Deduplication", "Suffix truncation"). Left out: disks. Their
time is no counter; that an insert asks more of them is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg
import sqlalchemy as sa

from workbook.btree import read_index
from workbook.engines import Cost, Database, Recipe, database
from workbook.engines.profiles import Profile

NEW, LOADED_KEYS, LOADED, FACTOR = 300, 40_000, 12_000, 8
LEASES, JOBS, ATTEMPTS, ROUNDS = 100, 1_000, 10_000, 25
SESSION = "nightly_report"


@dataclass(frozen=True)
class World:
    """A database in a state, and what is done to it.

    Parameters: the `profile` under which it is measured; the SQL that makes its tables and rows (`tables`), and the tables in words (`described`); the main
    `table`; statements of the `stream` of inserts, one transaction, of rows number {first} to {last}; `new`, the condition on the rows that it
    made; `first`, the number that it begins with where it is shown, and where it is judged; `reads` that the application makes; the `session` that
    stays open: '' none, 'idle' in a transaction, 'snapshot' one that has a snapshot as well; how many `rounds` of the
    stream came after that.
    """

    name: str
    profile: Profile
    tables: str
    described: str
    table: str
    stream: tuple[str, ...]
    new: str
    first: tuple[int, int]
    reads: tuple[str, ...]
    session: str = ""
    rounds: int = 0

    @property
    def recipe(self) -> Recipe:
        return Recipe(f"{self.table}, {self.name}", self.tables)

    @property
    def table_names(self) -> tuple[str, ...]:
        """The names of its tables."""
        return tuple(re.findall(r"CREATE TABLE (\w+)", self.tables))

    @property
    def replaces(self) -> bool:
        """Whether the stream puts rows in the place of others, so that their number stays."""
        return len(self.stream) > 1

    def statements(self, first: int) -> tuple[str, ...]:
        """The stream as SQL, from this number on."""
        last = first + (LEASES if self.replaces else NEW) - 1
        return tuple(statement.format(first=first, last=last) for statement in self.stream)


def _keys(name: str, scattered: bool, index: str, reads: tuple[str, ...]) -> World:
    default = "md5(nextval('orders_number')::text)" if scattered else "lpad(to_hex(nextval('orders_number')), 32, '0')"
    row = "md5('t' || i), i, i * 31 % 9000"
    return World(
        name,
        "production",
        "CREATE SEQUENCE orders_number;\nCREATE TABLE orders (\n"
        f"    id uuid PRIMARY KEY DEFAULT {default}::uuid, token text NOT NULL, placed int NOT NULL, total int NOT NULL\n);\n{index}"
        f"INSERT INTO orders (token, placed, total) SELECT {row} FROM generate_series(1, {LOADED_KEYS}) i",
        f"`orders (id uuid, token, placed, total)`, {LOADED_KEYS:,} rows, whose key comes from a default",
        "orders",
        (f"INSERT INTO orders (token, placed, total) SELECT {row} FROM generate_series({{first}}, {{last}}) i",),
        f"placed > {LOADED_KEYS}",
        (LOADED_KEYS + 1, 2 * LOADED_KEYS + 1),
        reads,
    )


def _customers(name: str, index: str, rows: int, then: str = "") -> World:
    row = "i::bigint * 7919 % 1000003, md5(i::text) || repeat('.', 90), i * 31 % 9000"
    return World(
        name,
        "production",
        "CREATE TABLE orders (\n    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL, note text NOT NULL, total int NOT NULL\n);\n"
        f"CREATE INDEX orders_customer ON orders {index};\n"
        f"INSERT INTO orders (customer, note, total) SELECT {row} FROM generate_series(1, {rows}) i{then}",
        "`orders (id bigint, customer, note, total)`, whose key is an identity",
        "orders",
        (f"INSERT INTO orders (customer, note, total) SELECT {row} FROM generate_series({{first}}, {{last}}) i",),
        f"id > {rows}",
        (200_001, 400_001),
        ("SELECT sum(total) FROM orders WHERE customer = 63352",),
    )


def _leases(name: str, session: str, rounds: int, index: str) -> World:
    lease = "i, i * 7 % 60, 'worker ' || i"
    return World(
        name,
        "counting",
        "CREATE TABLE leases (job int PRIMARY KEY, minute int NOT NULL, worker text NOT NULL);\n"
        "CREATE TABLE attempts (attempt bigint PRIMARY KEY, job int NOT NULL REFERENCES leases, said text NOT NULL);\n"
        f"{index}INSERT INTO leases SELECT {lease} FROM generate_series(1, {JOBS}) i;\n"
        f"INSERT INTO attempts SELECT i, {JOBS // 2} + 1 + i % {JOBS // 2}, 'attempt ' || i FROM generate_series(1, {ATTEMPTS}) i",
        f"`leases (job, minute, worker)`, with the primary key `job`, and `attempts (attempt, job, said)`, {ATTEMPTS:,} rows, each of which refers to a lease by its `job`",
        "leases",
        (
            "DELETE FROM leases WHERE job BETWEEN {first} AND {last}",
            f"INSERT INTO leases SELECT {lease} FROM generate_series({{first}}, {{last}}) i",
        ),
        f"job <= {LEASES}",
        (1, 2 * LEASES + 1),
        ("SELECT worker FROM leases WHERE job = 777",),
        session,
        rounds,
    )


_BY_ID = "SELECT total FROM orders WHERE id = (SELECT id FROM orders ORDER BY id LIMIT 1)"
_BY_TIME = "SELECT sum(total) FROM orders WHERE placed BETWEEN 20000 AND 20050"
_ON_TIME = "CREATE INDEX orders_lookup ON orders (placed);\n"
_ON_TOKEN = "CREATE INDEX orders_lookup ON orders (token);\n"
_ON_JOB = "CREATE INDEX attempts_job ON attempts (job);\n"
WORLDS = {
    world.name: world
    for world in (
        _keys("healthy-key", False, _ON_TIME, (_BY_ID, _BY_TIME)),
        _keys("random-key", True, _ON_TIME, (_BY_ID, _BY_TIME)),
        _keys("scattered-index", False, _ON_TOKEN, (_BY_ID,)),
        _customers("healthy-customer", "(customer)", LOADED),
        _customers("bloat", "(customer)", LOADED * FACTOR, f";\nDELETE FROM orders WHERE id % {FACTOR} <> 0"),
        _customers("wide-key", "(customer, note)", LOADED),
        _customers("growth", "(customer)", LOADED * FACTOR),
        _leases("healthy-lease", "", 1, _ON_JOB),
        _leases("held-back", "snapshot", ROUNDS, _ON_JOB),
        _leases("foreign-key", "idle", 1, ""),
    )
}


@dataclass(frozen=True)
class Index:
    """An index of the main table: its columns, pages of its file, levels, fill of its leaves in per cent, bytes of an entry, and
    how many of its leaves got entries of the stream."""

    columns: str
    pages: int
    levels: int
    fill: int
    entry_bytes: int
    touched: int


@dataclass(frozen=True)
class Evidence:
    """What the engine says of a world.

    Of the table: `rows` that a SELECT sees, `pages`; its `indexes` by name. Of its last VACUUM: versions that are dead and may not be removed
    (`kept`). Of sessions: how many are `idle` in a transaction, how many of these have a `snapshot`. Of the stream, after a checkpoint:
    pages `touched`, `wal_bytes`, page `images`, rows read by sequential scans (`scanned`). Of the reads: pages of the dearest.
    """

    rows: int
    pages: int
    indexes: dict[str, Index]
    kept: int
    idle: int
    snapshots: int
    touched: int
    wal_bytes: int
    images: int
    scanned: int
    read_pages: int


@dataclass
class Live:
    """A world that goes on: its database, the number with which its stream begins, the session that stays open in it."""

    world: World
    database: Database
    first: int
    session: psycopg.Connection[Any] | None = None


@contextmanager
def begin(world: World, *, judged: bool = False) -> Iterator[Live]:
    """A clone of a world in which everything has happened that makes it what it is; its stream is the one that is shown, or
    the one on which an answer is `judged`."""
    with database(world.recipe, profile=world.profile) as clone:
        live = Live(world, clone, world.first[judged])
        if judged:
            _by_itself(clone)
        try:
            if world.session:
                live.session = _open(clone, world.session)
            if world.rounds:
                with clone.engine.connect() as connection:
                    for _ in range(world.rounds):
                        _write(live, connection)
                        connection.commit()
                autovacuum(live)
            yield live
        finally:
            if live.session is not None:
                live.session.close()


def _by_itself(clone: Database) -> None:
    """Let a database see its own sessions only, as if the server were its own: `pg_stat_activity` shows those of other databases
    and of the superuser too, a person's practice session of the same name among them, which this role may not end."""
    here = clone.name
    for statement in (
        "CREATE SCHEMA this_database",
        "CREATE VIEW this_database.pg_stat_activity AS SELECT * FROM pg_catalog.pg_stat_activity WHERE datname = current_database() AND usename = current_user",
        "GRANT USAGE ON SCHEMA this_database TO PUBLIC",
        "GRANT SELECT ON this_database.pg_stat_activity TO PUBLIC",
        f"ALTER ROLE {here} IN DATABASE {here} SET search_path = public, this_database, pg_catalog",
    ):
        clone.cluster.admin(statement, here)


def _write(live: Live, connection: sa.Connection) -> None:
    for statement in live.world.statements(live.first):
        connection.execute(sa.text(statement))


def _open(clone: Database, session: str) -> psycopg.Connection[Any]:
    """A session that has begun a transaction and does nothing: with a snapshot, as REPEATABLE READ keeps it from its first
    query on, or without."""
    connection = clone.connect()
    connection.autocommit = True
    connection.execute(f"SET application_name = '{SESSION}'")
    connection.execute(f"BEGIN ISOLATION LEVEL {'REPEATABLE READ' if session == 'snapshot' else 'READ COMMITTED'}")
    connection.execute("SELECT 1")
    return connection


def autovacuum(live: Live) -> int:
    """VACUUM the main table, as the engine does by itself every other minute: how many dead versions it may not remove."""
    said = " ".join(live.database.run(f"VACUUM (VERBOSE) {live.world.table}", deadline_s=60).notices)
    found = re.search(r"(\d+) are dead but not yet removable", said)
    return int(found[1]) if found else 0


def quiet(live: Live) -> None:
    """What happens by itself after a change: a session that was told to end ends, and VACUUM comes by.

    Whether a session was told to, it says itself when it is asked for something.
    """
    if live.session is not None:
        try:
            live.session.execute("SELECT 1")
        except psycopg.Error:
            live.session.close()
            live.database.settle()
    if live.world.rounds:
        autovacuum(live)


def stream(live: Live) -> Cost:
    """The cost of the stream of inserts after a checkpoint. Raises `SqlError` where the table refuses it."""
    live.database.checkpoint()
    return live.database.measure(lambda connection: _write(live, connection))


def reading(live: Live) -> int:
    """Pages that the dearest of the reads touches, the second time that it is asked."""
    worst = 0
    with live.database.engine.connect() as connection:
        for query in live.world.reads:
            for _ in range(2):
                text = sa.text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}")
                plan = connection.execute(text).scalar_one()[0]["Plan"]
            worst = max(worst, int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"]))
    return worst


def sessions(live: Live) -> tuple[int, int]:
    """Sessions that are idle in a transaction, and how many of these hold a snapshot."""
    sql = "SELECT count(*), count(backend_xmin) FROM pg_catalog.pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    idle, snapshots = live.database.run(sql).rows[0]
    return int(idle), int(snapshots)


def scanned(cost: Cost) -> int:
    """Rows that sequential scans read, in whatever table."""
    return sum(tuples.seq_read for tuples in cost.tuples.values())


@cache
def evidence(name: str) -> Evidence:
    """What the engine says of a world, measured once a process."""
    world = WORLDS[name]
    with begin(world) as live:
        clone = live.database
        kept, (idle, snapshots), pages = autovacuum(live), sessions(live), reading(live)
        rows, size = clone.run(f"SELECT count(*), pg_relation_size('{world.table}') / 8192 FROM {world.table}").rows[0]
        sizes = {row[0]: (row[1], row[2]) for row in clone.run(INDEXES.format(table=world.table)).rows}
        shapes = {index: read_index(clone.engine, index) for index in sizes}
        cost = stream(live)
        new = {_place(row[0]) for row in clone.run(f"SELECT ctid::text FROM {world.table} WHERE {world.new}").rows}
        indexes = {}
        for index, (columns, file) in sizes.items():
            before, after = shapes[index], read_index(clone.engine, index)
            touched = sum(
                any(pointer in new for entry in leaf.entries for pointer in entry.pointers) for leaf in after.leaves()
            )
            entries = [entry.bytes for leaf in before.leaves() for entry in leaf.entries]
            wide = round(sum(entries) / len(entries))
            indexes[index] = Index(columns, file, before.height, round(100 * before.density), wide, touched)
    return Evidence(
        int(rows),
        int(size),
        indexes,
        kept,
        idle,
        snapshots,
        cost.buffers,
        cost.wal_bytes,
        cost.wal_fpi,
        scanned(cost),
        pages,
    )


INDEXES = """SELECT c.relname::text, substring(pg_get_indexdef(c.oid) FROM '\\(.*\\)'), pg_relation_size(c.oid) / 8192
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = 'public.{table}'::regclass ORDER BY c.relname"""


def _place(ctid: str) -> tuple[int, int]:
    """'(3,14)' as a pair.

    >>> _place("(3,14)")
    (3, 14)
    """
    block, offset = ctid.strip("()").split(",")
    return int(block), int(offset)
