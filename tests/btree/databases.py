"""Databases of SQLite with trees of all kinds, and what SQLite's own `dbstat` says of them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from workbook.btree.page import MINUS_INFINITY, Snapshot
from workbook.btree.sqlite import read_sqlite

SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
SCHEMA = """
CREATE TABLE plain (id INTEGER PRIMARY KEY, s TEXT, b BLOB);
CREATE INDEX plain_s ON plain (s COLLATE NOCASE DESC, id);
CREATE INDEX plain_few ON plain (length(b) % 7) WHERE id % 2;
CREATE TABLE keyed (a TEXT, b INT, c, PRIMARY KEY (b DESC, a)) WITHOUT ROWID;
CREATE INDEX keyed_c ON keyed (c);
CREATE TABLE doubled (x UNIQUE, y, PRIMARY KEY (y, x));
CREATE TABLE "odd name" (v);
CREATE VIEW seen AS SELECT * FROM plain;
CREATE TRIGGER noted AFTER INSERT ON "odd name" BEGIN SELECT 1; END;
"""
TREES = (
    "plain",
    "plain_s",
    "plain_few",
    "keyed",
    "keyed_c",
    "doubled",
    "sqlite_autoindex_doubled_1",
    "sqlite_autoindex_doubled_2",
    "odd name",
    "sqlite_schema",
)


def fill(connection: Any, rows: int, longest: int) -> None:
    """Rows of many sizes, some of which overflow, with deletes in between."""
    connection.execute("BEGIN")
    for i in range(rows):
        size = i * 37 % longest if i % 9 else i * 7919 % (longest * 20)
        connection.execute(
            "INSERT INTO plain VALUES (?, ?, ?)",
            (i * 3 - 100, f"S{i * 7919 % 5000}" * (1 + i % 40), bytes([i % 256]) * size),
        )
        connection.execute(
            "INSERT INTO keyed VALUES (?, ?, ?)",
            (f"a{i % 11}", i, None if i % 5 == 0 else i / 3 if i % 5 == 1 else "c" * (i % longest)),
        )
        connection.execute("INSERT INTO doubled VALUES (?, ?)", (f"{i:06}", i % 17))
    connection.execute("COMMIT")
    connection.execute("DELETE FROM plain WHERE id % 5 = 0")
    connection.execute("DELETE FROM keyed WHERE b BETWEEN 50 AND 90")


def made(path: Path, *pragmas: str, rows: int = 400, longest: int = 900) -> Path:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(SCHEMA)
    fill(connection, rows, longest)
    connection.close()
    return path


def dbstat(path: Path, name: str) -> dict[int, tuple[Any, ...]]:
    """Page to (kind, cells, unused bytes, payload).

    Of a copy: apsw and sqlite3 are two libraries in one process, and each would drop the locks of the other.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.sqlite"
        for end in ("", "-wal"):
            if Path(f"{path}{end}").exists():
                shutil.copy(f"{path}{end}", f"{copy}{end}")
        with contextlib.closing(apsw.Connection(str(copy))) as connection:
            sql = "SELECT pageno, pagetype, ncell, unused, payload FROM dbstat WHERE name = ?"
            return {row[0]: row[1:] for row in connection.execute(sql, (name,))}


def compare(path: Path, name: str) -> Snapshot:
    """See that a tree is as dbstat says, page by page."""
    snapshot, said = read_sqlite(path, name), dbstat(path, name)
    assert snapshot.pages.keys() == said.keys()
    for number, (kind, cells, unused, _) in said.items():
        page = snapshot.pages[number]
        assert page.free % 65536 == unused % 65536
        assert kind == ("overflow" if page.level < 0 else "internal" if page.level else "leaf")
        assert len(page.entries) == (0 if kind == "overflow" else cells + (kind == "internal"))
    return snapshot


def in_order(snapshot: Snapshot) -> list[tuple[Any, int]]:
    """Key and rowid of each entry of an index, those of inner pages where they belong."""

    def walk(number: int) -> Iterator[tuple[Any, int]]:
        for entry in snapshot.pages[number].entries:
            if entry.key is not MINUS_INFINITY:
                yield entry.key, entry.pointers[0][0]
            if entry.child:
                yield from walk(entry.child)

    return list(walk(snapshot.root))
