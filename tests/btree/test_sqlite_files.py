"""Files of SQLite as they are found: with a log that was not copied yet, in use, half written, in memory, of other
kinds; and what `read_sqlite` refuses, each in one sentence."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.btree.databases import SCHEMA, TREES, compare, fill, made
from workbook.btree.sqlite import pages_of, read_sqlite
from workbook.engines import database, shop
from workbook.errors import Misuse, Unavailable, Unsuitable


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sqlite")


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

    def test_a_log_beside_an_empty_file_is_anothers(
        self, logged: tuple[Path, sqlite3.Connection], tmp_path: Path
    ) -> None:
        path, _ = logged
        for name in ("ours", "sqlites"):
            (tmp_path / f"{name}.sqlite").touch()
            shutil.copy(f"{path}-wal", tmp_path / f"{name}.sqlite-wal")
        with contextlib.closing(sqlite3.connect(tmp_path / "sqlites.sqlite")) as connection:
            assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        with pytest.raises(Unsuitable, match=r"ours.sqlite is empty"):
            read_sqlite(tmp_path / "ours.sqlite", "plain")

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
    for wrong in ("top", b"1", ["1"], [1.5], 7):
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
