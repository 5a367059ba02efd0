"""SQLite's pages, read from bytes, beside SQLite's own `dbstat` and its rows: files of all page sizes, with overflow at
its limits, free pages, tables without rowids, pointer maps, reserved bytes, and logs that were not copied yet."""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from workbook.btree import sqlite_pages
from workbook.btree.page import MINUS_INFINITY, Snapshot
from workbook.btree.sqlite import free_pages, pages_of, read_sqlite
from workbook.btree.sqlite_pages import Layout
from workbook.btree.sqlite_records import rank
from workbook.engines import database, shop
from workbook.errors import Misuse, Unavailable, Unsuitable

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sqlite")


@pytest.fixture(scope="module", params=SIZES)
def file(request: pytest.FixtureRequest, folder: Path) -> Path:
    """A file of each page size; every other one with pointer maps, every third in UTF-16."""
    place = SIZES.index(request.param)
    extra = [f"auto_vacuum = {place % 3}", f"encoding = '{('UTF-8', 'UTF-16le', 'UTF-16be')[place % 3]}'"]
    return made(
        folder / f"{request.param}.sqlite",
        f"page_size = {request.param}",
        *extra,
        rows=300,
        longest=min(request.param * 2, 3000),
    )


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


@pytest.mark.parametrize("name", TREES)
def test_each_page_is_as_dbstat_says(file: Path, name: str) -> None:
    snapshot = compare(file, name)
    usable = snapshot.page_bytes
    for page in snapshot.pages.values():
        head = 8 + 100 * (page.number == 1)
        if page.level >= 0:
            assert head + sum(entry.bytes for entry in page.entries) + page.free == usable
            assert (page.left, page.right, page.high_key, page.bytes) == (None, None, None, usable)
            assert all((entry.child is None) == (page.level == 0) for entry in page.entries)
            assert page.level == 0 or page.entries[0].key is MINUS_INFINITY


def test_every_row_is_there(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM plain ORDER BY id")]
        plain = read_sqlite(file, "plain")
        assert [entry.key for page in plain.leaves() for entry in page.entries] == ids
        assert [entry.pointers for page in plain.leaves() for entry in page.entries] == [
            ((number, 0),) for number in ids
        ]
        assert plain.rows == len(ids) and plain.key_columns == ("id",)
        wanted = connection.execute("SELECT s, id, id FROM plain ORDER BY s COLLATE NOCASE DESC, id").fetchall()
        assert in_order(read_sqlite(file, "plain_s")) == [((s, number), number) for s, number, _ in wanted]
        wanted = connection.execute("SELECT length(b) % 7, id FROM plain WHERE id % 2 ORDER BY 1, 2").fetchall()
        assert in_order(read_sqlite(file, "plain_few")) == wanted
        keyed = connection.execute("SELECT b, a FROM keyed ORDER BY b DESC, a").fetchall()
        assert [key for key, _ in in_order(read_sqlite(file, "keyed"))] == keyed
        wanted = connection.execute("SELECT c FROM keyed ORDER BY c, b DESC, a").fetchall()
        found = read_sqlite(file, "keyed_c")
        assert [key for key, _ in in_order(found)] == [row[0] for row in wanted] and found.rows == len(wanted)
        wanted = connection.execute("SELECT y, x, rowid FROM doubled ORDER BY y, x").fetchall()
        assert in_order(read_sqlite(file, "sqlite_autoindex_doubled_2")) == [
            ((y, x), number) for y, x, number in wanted
        ]
        assert read_sqlite(file, "odd name").rows == 0


def in_order(snapshot: Snapshot) -> list[tuple[Any, int]]:
    """Key and rowid of each entry of an index, those of inner pages where they belong."""

    def walk(number: int) -> Iterator[tuple[Any, int]]:
        for entry in snapshot.pages[number].entries:
            if entry.key is not MINUS_INFINITY:
                yield entry.key, entry.pointers[0][0]
            if entry.child:
                yield from walk(entry.child)

    return list(walk(snapshot.root))


def test_each_page_of_a_file_is_for_one_thing(file: Path) -> None:
    uses = pages_of(file)
    with contextlib.closing(apsw.Connection(str(file))) as connection:
        count, free = connection.pragma("page_count"), connection.pragma("freelist_count")
        named = {row[0] for row in connection.execute("SELECT pageno FROM dbstat")}
        mapped = connection.pragma("auto_vacuum")
        assert connection.pragma("integrity_check") == "ok"
    assert list(uses) == list(range(1, count + 1))
    assert {number for number, use in uses.items() if "level" in use or "overflow" in use} == named
    assert sum("free list" in use for use in uses.values()) == free == len(free_pages(file))
    assert ("pointer map" in uses.values()) == (mapped > 0) and "nothing" not in uses.values()
    assert uses[1].startswith("sqlite_schema, level")


def test_pointer_maps_lead_back(folder: Path) -> None:
    """What the pages of the map say is what the trees say, for every page."""
    path = made(folder / "mapped.sqlite", "page_size = 512", "auto_vacuum = 2", rows=600)
    data, uses = path.read_bytes(), pages_of(path)
    layout = Layout(512, 0)
    said: dict[int, tuple[int, int]] = {}
    for number, use in uses.items():
        if use == "pointer map":
            said |= sqlite_pages.map_entries(number, data[(number - 1) * 512 : number * 512], layout)
    trees = {name: read_sqlite(path, name) for name in TREES}
    roots = {tree.root for tree in trees.values()}
    above = {child: page.number for tree in trees.values() for page in tree.pages.values() for child in page.children}
    assert len([use for use in uses.values() if use == "pointer map"]) > 5 and len(uses) > 600
    kinds = set()
    for number, use in uses.items():
        if number == 1 or use == "pointer map":
            continue
        kind, parent = said[number]
        kinds.add(kind)
        if "free list" in use:
            assert (kind, parent) == (2, 0)
        elif "overflow" in use:
            owner = int(use.rpartition(" ")[2])
            assert (kind == 3 and parent == owner) or (kind == 4 and uses[parent] == use)
        else:
            assert (kind, parent) == ((1, 0) if number in roots else (5, above[number]))
    assert kinds == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reserved", [0, 1, 12, 32])
def test_records_at_the_limits_of_what_stays_in_a_cell(tmp_path: Path, size: int, reserved: int) -> None:
    """Payloads around the largest that stays whole, around those at which a chain gets one page more, and the smallest
    head of a split one; `dbstat` and the bytes that come back say whether the limits are right."""
    path = tmp_path / "limits.sqlite"
    layout = Layout(size, reserved)
    connection = apsw.Connection(str(path))
    connection.pragma("page_size", size)
    reserve(connection, reserved)
    connection.execute("CREATE TABLE t (b); CREATE TABLE k (b PRIMARY KEY) WITHOUT ROWID")
    for table, name in ((True, "t"), (False, "k")):
        most, usable = layout.most(table=table), size - reserved
        least = layout.local(most + 1, table=table)
        edges = {
            most,
            layout.local(10**6, table=table),
            least,
            most + usable - 4,
            least + usable - 4,
            least + 2 * (usable - 4),
        }
        for payload in sorted({max(edge + step, 8) for edge in edges for step in (-2, -1, 0, 1, 2)}):
            body = blob(payload)
            connection.execute(f"INSERT OR IGNORE INTO {name} VALUES (?)", (body,))
    connection.close()
    assert path.read_bytes()[20] == reserved
    kept = compare(path, "t")
    keys = compare(path, "k")
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        assert [key for key, _ in in_order(keys)] == [
            row[0] for row in connection.execute("SELECT b FROM k ORDER BY b")
        ]
        assert kept.rows == connection.execute("SELECT count(*) FROM t").fetchall()[0][0]
    assert any(page.level < 0 for page in kept.pages.values()) and any(page.level < 0 for page in keys.pages.values())
    for name, snapshot in (("t", kept), ("k", keys)):
        payloads = dbstat(path, name)
        for page in snapshot.pages.values():
            if page.level < 0:
                assert payloads[page.number][3] == layout.usable - 4 - page.free


def blob(payload: int) -> bytes:
    """Bytes that make a record of `payload` bytes, head included; distinct for distinct sizes."""
    for head in (2, 3, 4):
        body = payload - head
        kind = body * 2 + 12
        if head == 1 + (1 if kind < 128 else 2 if kind < 16384 else 3):
            return body.to_bytes(4, "big")[-min(4, body) :] + b"x" * (body - 4)
    return blob(payload + 1)  # no head makes a record of just that size


def reserve(connection: apsw.Connection, count: int) -> None:
    number = ctypes.c_int(count)
    connection.file_control("main", apsw.SQLITE_FCNTL_RESERVE_BYTES, ctypes.addressof(number))


def test_files_with_reserved_bytes(tmp_path: Path) -> None:
    path = tmp_path / "reserved.sqlite"
    connection = apsw.Connection(str(path))
    connection.pragma("page_size", 1024)
    reserve(connection, 40)
    connection.pragma("auto_vacuum", 1)
    connection.execute(SCHEMA)
    fill(connection, 300, 900)
    connection.close()
    for name in TREES:
        snapshot = compare(path, name)
        for page in snapshot.pages.values():
            if page.level >= 0:
                assert 8 + 100 * (page.number == 1) + sum(entry.bytes for entry in page.entries) + page.free == 984
    assert "nothing" not in pages_of(path).values()


def test_both_versions_of_sqlite_write_what_is_read(tmp_path: Path) -> None:
    assert sqlite3.sqlite_version != apsw.sqlite_lib_version(), "two versions would say more than one"
    first = made(tmp_path / "a.sqlite", "page_size = 1024")
    second = tmp_path / "b.sqlite"
    connection = apsw.Connection(str(second))
    connection.pragma("page_size", 1024)
    connection.execute(SCHEMA)
    fill(connection, 400, 900)
    connection.close()
    for name in TREES:
        compare(second, name)
        assert (
            in_order_or_leaves(read_sqlite(first, name)) == in_order_or_leaves(read_sqlite(second, name))
            or name == "sqlite_schema"
        )


def in_order_or_leaves(snapshot: Snapshot) -> list[Any]:
    return (
        [entry.key for page in snapshot.leaves() for entry in page.entries]
        if snapshot.key_columns == ("id",)
        else [snapshot.rows]
    )


@pytest.mark.parametrize("name", ["plain", "plain_s", "keyed", "keyed_c", "sqlite_autoindex_doubled_2"])
def test_the_path_of_a_key(file: Path, name: str) -> None:
    full = read_sqlite(file, name)
    keys = [key for key, _ in in_order(full)][::37] if name != "plain" else [-10_000, -100, 5, 300, 10**15]
    for key in keys:
        wanted = (None,) if key is None else key
        path = read_sqlite(file, name, key=wanted)
        on_path = [page for page in path.pages.values() if page.level >= 0]
        assert [page.level for page in on_path] == list(range(full.height - 1, -1, -1)) and not path.complete
        assert all(full.pages[page.number] == page for page in on_path) and path.height == full.height
        if name != "plain":
            assert any(entry.key == key for page in on_path for entry in page.entries), (
                "an entry of the key stands on its path"
            )
        elif key in {entry.key for page in full.leaves() for entry in page.entries}:
            assert key in {entry.key for entry in on_path[-1].entries}


values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    st.binary(max_size=8),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(values, min_size=1, max_size=40),
    st.sampled_from(["UTF-8", "UTF-16le", "UTF-16be"]),
    st.sampled_from(["BINARY", "NOCASE", "RTRIM"]),
)
def test_records_and_their_order_are_sqlites(rows: list[Any], encoding: str, collation: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"PRAGMA encoding = '{encoding}'")
    connection.execute("PRAGMA page_size = 512")
    connection.execute(f"CREATE TABLE t (v COLLATE {collation}); ")
    connection.execute("CREATE INDEX i ON t (v)")
    connection.executemany("INSERT INTO t VALUES (?)", [(row,) for row in rows])
    connection.commit()
    data = connection.serialize()
    ordered = [row[0] for row in connection.execute("SELECT v FROM t ORDER BY v, rowid")]
    snapshot = read_sqlite(data, "i")
    found = [key for key, _ in in_order(snapshot)]
    assert [(type(key), key) for key in found] == [(type(value), value) for value in ordered]
    codec = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}[encoding]
    ranks = [rank(key, collation, codec) for key in found]
    assert ranks == sorted(ranks)
    for value in rows:
        path = read_sqlite(data, "i", key=(value,))
        assert any(entry.key == value for page in path.pages.values() for entry in page.entries)


def test_columns_have_the_names_of_their_create(file: Path) -> None:
    names = {name: read_sqlite(file, name).key_columns for name in TREES}
    assert names == {
        "plain": ("id",),
        "plain_s": ("s DESC", "id"),
        "plain_few": ("expression",),
        "keyed": ("b DESC", "a"),
        "keyed_c": ("c",),
        "doubled": ("rowid",),
        "sqlite_autoindex_doubled_1": ("x",),
        "sqlite_autoindex_doubled_2": ("y", "x"),
        "odd name": ("rowid",),
        "sqlite_schema": ("rowid",),
    }


def test_a_long_create_statement_overflows(tmp_path: Path) -> None:
    path = tmp_path / "wide.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA page_size = 512")
        columns = ", ".join(f"a_rather_long_name_{n} TEXT" for n in range(300))
        connection.execute(f"CREATE TABLE wide ({columns}, UNIQUE (a_rather_long_name_7))")
        connection.execute("INSERT INTO wide (a_rather_long_name_7) VALUES ('x')")
    assert compare(path, "sqlite_schema").rows == 2
    assert read_sqlite(path, "sqlite_autoindex_wide_1").key_columns == ("a_rather_long_name_7",)


class TestLogs:
    """A database in the journal mode WAL, whose last changes stand in the log."""

    @pytest.fixture
    def logged(self, tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
        path = tmp_path / "logged.sqlite"
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.executescript(SCHEMA)
        fill(connection, 200, 900)
        yield path, connection
        connection.close()

    def test_changes_in_the_log_are_read(self, logged: tuple[Path, sqlite3.Connection]) -> None:
        path, connection = logged
        assert Path(f"{path}-wal").stat().st_size > 100_000
        for count in (1, 2):
            ids = [row[0] for row in connection.execute("SELECT id FROM plain ORDER BY id")]
            assert [entry.key for page in read_sqlite(path, "plain").leaves() for entry in page.entries] == ids
            for name in TREES:
                compare(path, name)
            if count == 1:
                connection.execute("PRAGMA wal_checkpoint(RESTART)")
                connection.execute(
                    "DELETE FROM plain WHERE id > 300"
                )  # a log that begins anew over what is left of the old one

    def test_what_was_not_committed_is_not_read(self, logged: tuple[Path, sqlite3.Connection]) -> None:
        path, connection = logged
        before = read_sqlite(path, "plain")
        connection.execute("PRAGMA cache_size = 5")
        connection.execute("BEGIN")
        connection.execute("UPDATE plain SET b = zeroblob(5000)")
        assert repr(read_sqlite(path, "plain").pages) == repr(before.pages)
        connection.execute("ROLLBACK")

    def test_a_log_of_a_killed_process(self, logged: tuple[Path, sqlite3.Connection], tmp_path: Path) -> None:
        """File and log copied while they are open: what a kill leaves. A frame that is cut off does not count."""
        path, _ = logged
        copy = tmp_path / "copy.sqlite"
        shutil.copy(path, copy)
        log = Path(f"{path}-wal").read_bytes()
        whole = read_sqlite(path, "plain")
        Path(f"{copy}-wal").write_bytes(log)
        assert repr(read_sqlite(copy, "plain").pages) == repr(whole.pages)
        for cut in (len(log) - 1, len(log) - 5000, len(log) // 2, 40, 0):
            copy = tmp_path / f"cut at {cut}.sqlite"
            shutil.copy(path, copy)
            Path(f"{copy}-wal").write_bytes(log[:cut])
            try:
                rows = read_sqlite(copy, "sqlite_schema").rows
            except Unsuitable as error:
                assert "nothing was written yet" in str(error) and cut < 5000
                rows = 0
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                assert rows == connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]

    def test_a_byte_that_was_changed_in_the_log_ends_it_there(
        self, logged: tuple[Path, sqlite3.Connection], tmp_path: Path
    ) -> None:
        path, connection = logged
        committed = connection.execute("SELECT count(*) FROM plain").fetchone()[0]
        connection.execute("INSERT INTO plain VALUES (999999, 'last', x'')")
        assert read_sqlite(path, "plain").rows == committed + 1
        copy = tmp_path / "copy.sqlite"
        shutil.copy(path, copy)
        log = bytearray(Path(f"{path}-wal").read_bytes())
        log[-100] ^= 1
        Path(f"{copy}-wal").write_bytes(log)
        assert read_sqlite(copy, "plain").rows == committed


def test_locks_of_other_connections_outlive_a_reading(tmp_path: Path) -> None:
    """A connection of this process that is writing keeps its lock: another process still cannot write."""
    path = made(tmp_path / "locked.sqlite", "page_size = 1024")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM plain WHERE id < 100")
    before = read_sqlite(path, "plain").rows
    assert before == read_sqlite(path, "plain").rows
    code = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('DELETE FROM keyed')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "database is locked" in said.stderr
    writer.execute("COMMIT")
    assert read_sqlite(path, "plain").rows == writer.execute("SELECT count(*) FROM plain").fetchone()[0] < before
    writer.close()


def test_nothing_beside_the_file_is_left_or_changed(tmp_path: Path) -> None:
    path = made(tmp_path / "alone.sqlite", "page_size = 1024")
    logged = tmp_path / "logged.sqlite"
    with sqlite3.connect(logged) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    before = {entry.name: (entry.read_bytes(), entry.stat().st_mtime_ns) for entry in tmp_path.iterdir()}
    read_sqlite(path, "plain"), read_sqlite(logged, "t"), pages_of(path)
    assert {entry.name: (entry.read_bytes(), entry.stat().st_mtime_ns) for entry in tmp_path.iterdir()} == before


def test_a_file_in_the_middle_of_a_transaction(tmp_path: Path) -> None:
    path = made(tmp_path / "hot.sqlite", "page_size = 1024")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA cache_size = 5")
    writer.execute("BEGIN")
    writer.execute("UPDATE plain SET b = zeroblob(3000)")
    with pytest.raises(Unavailable, match=r"hot.sqlite is being written. Next: let the transaction there end"):
        read_sqlite(path, "plain")
    copy = tmp_path / "left.sqlite"
    shutil.copy(path, copy)
    shutil.copy(f"{path}-journal", f"{copy}-journal")
    with pytest.raises(Unavailable, match=r"stands the journal of a writer that was interrupted. Next: open it once"):
        read_sqlite(copy, "plain")
    writer.execute("ROLLBACK")
    wanted = read_sqlite(path, "plain").rows
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM plain").fetchone()[0] == wanted
    assert read_sqlite(copy, "plain").rows == wanted
    writer.close()


def test_an_engine_leads_to_its_file(tmp_path: Path) -> None:
    with database(shop(orders=1_000), kind="sqlite") as made_here:
        orders = read_sqlite(made_here.engine, "orders")
        assert orders.rows == 1000 and orders.name == "orders"
        with made_here.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM orders WHERE order_id > 500"))
            connection.execute(sa.text("CREATE INDEX late ON orders (status, order_id)"))
        assert read_sqlite(made_here.engine, "late").rows == read_sqlite(made_here.engine, "ORDERS").rows == 500
    memory = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    with memory.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (a)"))
        connection.execute(sa.text("INSERT INTO t VALUES (1), (2)"))
    assert read_sqlite(memory, "t").rows == 2


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("plane", Misuse, "There is no table and no index plane. Next: there are plain"),
        ("seen", Unsuitable, "seen is a view, which has no tree of its own"),
        ("noted", Misuse, "There is no table and no index noted"),
        (7, Misuse, "7 is no name of a table or an index"),
    ],
)
def test_a_name_that_means_no_tree(folder: Path, name: Any, error: type[Exception], says: str) -> None:
    path = folder / "names.sqlite"
    path = path if path.exists() else made(path)
    with pytest.raises(error, match=says) as refused:
        read_sqlite(path, name)
    assert type(refused.value) is error


def test_what_is_asked_for_must_make_sense(folder: Path) -> None:
    path = folder / "names.sqlite"
    path = path if path.exists() else made(path)
    with pytest.raises(Misuse, match="Either some pages are asked for, or a key"):
        read_sqlite(path, "plain", pages="all", key=1)
    for wrong in ("top", b"1", [], ["1"], [1.5], 7):
        with pytest.raises(Misuse, match="There are no pages"):
            read_sqlite(path, "plain", pages=wrong)  # type: ignore[arg-type]
    with pytest.raises(Misuse, match=r"has no page 100000. Next: its pages are 1 to"):
        read_sqlite(path, "plain", pages=[100_000])
    for key in ("x", 1.5, (1, 2)):
        with pytest.raises(Misuse, match="The key of the table plain is its rowid, an integer"):
            read_sqlite(path, "plain", key=key)
    with pytest.raises(Misuse, match="plain_s has 2 key columns, and the key has 3"):
        read_sqlite(path, "plain_s", key=("a", 1, 2))
    with pytest.raises(Misuse, match="is no value of SQLite"):
        read_sqlite(path, "plain_s", key=[1])
    with pytest.raises(Misuse, match="This is an engine of postgresql, and a database of SQLite is wanted"):
        read_sqlite(sa.create_engine("postgresql+psycopg://nowhere"), "t")
    with pytest.raises(Misuse, match="This is a int"):
        read_sqlite(7, "t")  # type: ignore[arg-type]
    full = read_sqlite(path, "plain")
    some = read_sqlite(path, "plain", pages=[full.root, full.leaves()[0].number])
    assert all(full.pages[number] == page for number, page in some.pages.items()) and len(some.pages) == 2
    overflow = next(page.number for page in full.pages.values() if page.level < 0)
    with pytest.raises(Unsuitable, match=f"Page {overflow} is none of plain, or damaged"):
        read_sqlite(path, "plain", pages=[overflow])


def test_files_that_are_no_database(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    for content, says in (
        (b"", "x.sqlite is empty: an SQLite database to which nothing was written yet"),
        (b"SQLite format 3\0\x10", "x.sqlite is cut off: it has 17 bytes"),
        (
            b"hello, this is text" * 100,
            "is no SQLite database, or an encrypted one: it begins with b'hello, this is t'",
        ),
        (bytes(range(7, 247)) * 20, "or an encrypted one"),
    ):
        path.write_bytes(content)
        with pytest.raises(Unsuitable, match=says):
            read_sqlite(path, "t")
        with pytest.raises(Unsuitable):
            read_sqlite(content, "t")
    with pytest.raises(Unavailable, match="is not there"):
        read_sqlite(tmp_path / "none.sqlite", "t")
    with pytest.raises(Unavailable, match="is a folder"):
        read_sqlite(tmp_path, "t")


def test_trees_of_extensions_and_their_hidden_statements(tmp_path: Path) -> None:
    """Virtual tables have no tree, their shadow tables have; and what a schema says is not run as a query."""
    path = tmp_path / "extended.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE VIRTUAL TABLE words USING fts5(w); INSERT INTO words VALUES ('hello');"
            "CREATE TABLE t (a); CREATE INDEX i ON t (a)"
        )
    with pytest.raises(Unsuitable, match="words is a virtual table"):
        read_sqlite(path, "words")
    assert read_sqlite(path, "words_content").rows == 1
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        endless = "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 't'", (endless,))
    data = path.read_bytes()
    assert read_sqlite(data, "t").key_columns == ("rowid",) or read_sqlite(data, "t").rows == 0
    assert read_sqlite(data, "i").rows == 0


@pytest.mark.slow
def test_three_hundred_thousand_rows(tmp_path: Path) -> None:
    path = tmp_path / "large.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE m (id INTEGER PRIMARY KEY, r INT, s TEXT)")
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
        connection.execute(f"{numbers} INSERT INTO m SELECT i, i * 7919 % 300007, 's' || i % 300 FROM n")
        connection.execute("CREATE INDEX m_r ON m (r)")
        connection.execute("CREATE INDEX m_s ON m (s)")
    for name in ("m", "m_r", "m_s"):
        found = compare(path, name)
        assert found.rows == 300_000
        assert {pointer for page in found.pages.values() for entry in page.entries for pointer in entry.pointers} == {
            (i, 0) for i in range(1, 300_001)
        }
        assert len(read_sqlite(path, name, key=77 if name != "m_s" else "s77").pages) == found.height
    assert "nothing" not in pages_of(path).values()
