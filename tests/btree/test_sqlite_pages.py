"""SQLite's pages, read from bytes, beside SQLite's own `dbstat` and its rows: files of all page sizes, with overflow at
its limits, free pages, tables without rowids, pointer maps, reserved bytes."""

from __future__ import annotations

import contextlib
import ctypes
import sqlite3
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.btree.databases import SCHEMA, SIZES, TREES, compare, dbstat, fill, in_order, made
from workbook.btree import sqlite_pages
from workbook.btree.page import MINUS_INFINITY, Snapshot
from workbook.btree.sqlite import free_pages, pages_of, read_sqlite
from workbook.btree.sqlite_pages import Layout
from workbook.btree.sqlite_records import rank


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
