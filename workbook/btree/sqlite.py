"""A real table or index of SQLite as a tree: which one is meant, and what its columns are.

    read_sqlite("shop.sqlite", "orders")                the tree of the table: keys are rowids, rows stand on its leaves
    read_sqlite("shop.sqlite", "orders_by_day")         the tree of an index: all of its entries are rows' keys
    read_sqlite(engine, "orders", key=4711)             the pages from the root to the leaf that has the rowid 4711
    pages_of("shop.sqlite")                             what each page of the file is for, free ones included

The file is read as bytes; SQLite is asked only to let no writer in meanwhile. What it has not yet copied from its
write-ahead log is read there. The names of the columns come from the CREATE statements that the file itself holds, of
which a database in memory is made, without rows.

    >>> import sqlite3
    >>> database = sqlite3.connect(":memory:")
    >>> _ = database.executescript("PRAGMA page_size = 512; CREATE TABLE t (n INTEGER PRIMARY KEY)")
    >>> _ = database.executescript("INSERT INTO t VALUES (7), (9)")
    >>> data = database.serialize()
    >>> database.close()
    >>> print(read_sqlite(data, "t"))
    t (SQLite): 1 level, 1 page of 512 bytes, 2 rows, leaves 2.4 % full
    level 0 (root): 1 page
      page 2: 2 entries, 2 % full: 7, 9

Source: SQLite's "Database File Format"; "PRAGMA index_xinfo".
Left out: tables without rows of their own (views, virtual tables).
"""

from __future__ import annotations

import difflib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbook.btree.asking import Pages, asked_for
from workbook.btree.page import Page, Snapshot
from workbook.btree.sqlite_file import held, opened
from workbook.btree.sqlite_tree import SCHEMA_ROOT, Column, Reading, Row, Tree, census
from workbook.errors import Misuse, Unsuitable

if TYPE_CHECKING:
    import sqlalchemy as sa

    Database = str | os.PathLike[str] | bytes | sa.Engine

SCHEMA_NAMES = ("sqlite_schema", "sqlite_master")
PAGES_MAX = 262_144  # a gigabyte of pages of 4,096 bytes
CREATES = ("create table", "create index", "create unique index")
SQL_MAX = 1_000_000


def read_sqlite(database: Database, name: str, *, pages: Pages = None, key: Any = None) -> Snapshot:
    """A B-tree of SQLite from the bytes of its pages.

    Parameters: a `database`, as the path of its file, as its bytes, or as a SQLAlchemy engine of SQLite; the `name` of
    a table or an index (`sqlite_schema` for the table of tables); and what to read: `pages="all"` (which is also meant
    where neither is given), the numbers of some `pages`, or the pages that a search for a `key` reads (a rowid; in an
    index the value of the first column, or a tuple of those of the first columns). Returns a `Snapshot`; pointers are
    (rowid, 0), and (0, 0) in a table WITHOUT ROWID and its indexes; overflow pages stand on level -1.

    Raises `Misuse` for a name, page or key that is none; `Unavailable` where the file is not there or is being written;
    `Unsuitable` for what is no tree; `Damaged` where the bytes are none of SQLite's.
    """
    numbers = asked_for(pages, key)
    with _reading(database) as reading:
        tree = _tree(reading, name)
        if key is not None:
            return reading.along(tree, key)
        if numbers is not None:
            return reading.some(tree, numbers)
        if reading.source.count > PAGES_MAX:
            raise Unsuitable(
                f"{reading.layout.name} has {reading.source.count:,} pages; at most {PAGES_MAX:,} are read whole.",
                next="read the path of a key (key=...), or some pages by number",
            )
        return reading.whole(tree)


def pages_of(database: Database) -> dict[int, str]:
    """What each page of a file is for, by number: `orders, level 0`, `orders, overflow page of 7`, `free list`, `free
    list, trunk`, `pointer map`, `lock byte`, `nothing`.

    Parameters and errors as for `read_sqlite`; `Damaged` too where a page is for two things.
    """
    with _reading(database) as reading:
        trees = _trees(reading)
        return census(reading.again(), trees)


def free_pages(database: Database) -> tuple[Page, ...]:
    """The pages of a file's free list, which its next inserts use: trunks, and the pages that each of them names.

    Parameters and errors as for `read_sqlite`.
    """
    with _reading(database) as reading:
        return reading.free()


@contextmanager
def _reading(database: Any) -> Iterator[Reading]:
    if isinstance(database, bytes):
        yield Reading(*held(database, "the database"))
        return
    if isinstance(database, str | os.PathLike):
        with opened(Path(database)) as found:
            yield Reading(*found)
        return
    dialect = getattr(getattr(database, "dialect", None), "name", "")
    if dialect != "sqlite":
        what = f"an engine of {dialect}" if dialect else f"a {type(database).__name__}"
        raise Misuse(
            f"This is {what}, and a database of SQLite is wanted.", next="give its path, its bytes or its engine"
        )
    path = database.url.database
    if path and path != ":memory:" and not path.startswith("file:"):
        with opened(Path(path)) as found:
            yield Reading(*found)
        return
    with database.connect() as connection:
        serialize = getattr(connection.connection.driver_connection, "serialize", None)
        if serialize is None:
            raise Unsuitable("This build of SQLite cannot give the bytes of a database in memory.", next="use a file")
        data = serialize()
    yield Reading(*held(data, "the database in memory"))


def _tree(reading: Reading, asked: str) -> Tree:
    """The tree that a name means; SQLite's names do not tell capitals from small letters."""
    if not isinstance(asked, str):
        raise Misuse(f"{asked!r} is no name of a table or an index.")
    if asked.lower() in SCHEMA_NAMES:
        return _schema_tree()
    rows = reading.schema()
    row = next((row for row in rows if row.name.lower() == asked.lower() and row.kind != "trigger"), None)
    if row is None:
        names = [row.name for row in rows if row.root]
        close = difflib.get_close_matches(asked, names, n=3, cutoff=0.4) or names[:8]
        raise Misuse(
            f"There is no table and no index {asked}.", next=f"there are {', '.join(close)}" if close else "create one"
        )
    if not row.root:
        what = "view" if row.kind == "view" else "virtual table"
        raise Unsuitable(f"{row.name} is a {what}, which has no tree of its own.")
    reading.again()
    with _Described(rows) as known:
        return _described(reading, row, rows, known)


def _trees(reading: Reading) -> dict[str, Tree]:
    rows = reading.schema()
    trees = {"sqlite_schema": _schema_tree()}
    with _Described(rows) as known:
        return trees | {row.name: _described(reading, row, rows, known) for row in rows if row.root}


def _schema_tree() -> Tree:
    return Tree("sqlite_schema", SCHEMA_ROOT, True, True, (Column("rowid"),))


def _described(reading: Reading, row: Row, rows: list[Row], known: _Described) -> Tree:
    if row.kind == "table":
        if reading.is_table(row.root):
            return Tree(row.name, row.root, True, True, known.rowid(row.name))
        return Tree(row.name, row.root, False, False, known.primary_key(row.name))
    roots = [other.root for other in rows if other.kind == "table" and other.name.lower() == row.table.lower()]
    rowids = not roots or reading.is_table(roots[0])
    return Tree(row.name, row.root, False, rowids, known.index(row.name))


class _Described:
    """The tables and indexes of a file, made again in memory without rows: what SQLite itself says of their columns."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.memory = sqlite3.connect(":memory:")
        self.memory.set_authorizer(_no_query)
        for kind in ("table", "index"):
            for row in rows:
                if row.kind == kind and row.sql.lower().startswith(CREATES) and len(row.sql) <= SQL_MAX:
                    with suppress(sqlite3.Error, sqlite3.Warning, ValueError):
                        self.memory.execute(row.sql)
        self.memory.set_authorizer(None)

    def __enter__(self) -> _Described:
        return self

    def __exit__(self, *_: object) -> None:
        self.memory.close()

    def rowid(self, table: str) -> tuple[Column, ...]:
        """The key of a table with rowids: the column that is another name for the rowid, or the rowid."""
        keys = [row for row in self._rows("table_xinfo", table) if row["pk"]]
        own = any(row["origin"] == "pk" for row in self._rows("index_list", table))
        alias = len(keys) == 1 and keys[0]["type"].upper() == "INTEGER" and not own
        return (Column(keys[0]["name"] if alias else "rowid"),)

    def primary_key(self, table: str) -> tuple[Column, ...]:
        """The key of a table without rowids."""
        names = [row["name"] for row in self._rows("index_list", table) if row["origin"] == "pk"]
        return self.index(names[0]) if names else ()

    def index(self, name: str) -> tuple[Column, ...]:
        """The key columns of an index; none where its CREATE could not be understood."""
        rows = [row for row in self._rows("index_xinfo", name) if row["key"]]
        return tuple(Column(row["name"] or "expression", row["coll"].upper(), bool(row["desc"])) for row in rows)

    def _rows(self, pragma: str, name: str) -> list[Mapping[str, Any]]:
        cursor = self.memory.execute(f"SELECT * FROM pragma_{pragma}(?)", (name,))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _no_query(action: int, *_: object) -> int:
    """Nothing that a CREATE statement of a file says is run as a query."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_SELECT else sqlite3.SQLITE_OK
