"""The reader of PostgreSQL's pages beside PostgreSQL's own extensions `pageinspect` and `pgstattuple`, page by page and
entry by entry, on the system's PostgreSQL; a half-dead page included, for which a server is stopped between two records
of its log."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.btree.images import place
from tests.engines.servers import of_the_system, server
from workbook.btree.page import MINUS_INFINITY, Page, Snapshot
from workbook.btree.postgres import read_index
from workbook.btree.postgres_pages import Column, Layout
from workbook.btree.postgres_tree import Held, whole
from workbook.btree.postgres_values import KINDS
from workbook.engines import Database, Recipe, database, places

TABLES = """
CREATE TABLE t (a bigint, r bigint, s text, u uuid, few int, n numeric, gone int, w text COMPRESSION lz4);
CREATE INDEX grown_a ON t (a); CREATE INDEX grown_r ON t (r); CREATE INDEX grown_u ON t (u);
CREATE INDEX grown_few ON t (few);
INSERT INTO t SELECT i, i::bigint * 7919 % 60013, repeat(md5(i::text), 1 + i % 3), md5(i::text)::uuid, CASE
    WHEN i % 21 > 0 THEN i % 20 END, i / 7.0, i,
    CASE WHEN i % 5 = 0 THEN repeat(md5(i::text), 80) ELSE i::text END FROM generate_series(1, 30000) i;
CREATE INDEX a ON t (a); CREATE INDEX r ON t (r); CREATE INDEX s ON t (s); CREATE INDEX u ON t (u);
CREATE INDEX few ON t (few); CREATE INDEX n ON t (n);
CREATE INDEX pair ON t (few DESC, s, a) INCLUDE (r); CREATE INDEX tight ON t (a) WITH (fillfactor = 60);
CREATE INDEX partial ON t (a) WHERE few = 3;
CREATE UNIQUE INDEX gone ON t (gone); CREATE INDEX w ON t (w);
CREATE INDEX "group" ON t (few, u) WITH (deduplicate_items = off);
"""
INDEXES = (
    "grown_a",
    "grown_r",
    "grown_u",
    "grown_few",
    "a",
    "r",
    "s",
    "u",
    "few",
    "n",
    "pair",
    "tight",
    "partial",
    "gone",
    "w",
    "group",
)
TYPES = {"l": "leaf", "i": "inner", "r": "root", "d": "deleted", "e": "half-dead"}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def old(request: pytest.FixtureRequest) -> Iterator[tuple[Database, psycopg.Connection[Any]]]:
    """A database on the system's server, and a superuser's connection to it with the two extensions."""
    patch = pytest.MonkeyPatch()
    with server(of_the_system(), {"autovacuum": "off", "fsync": "off"}, "--locale=C.UTF-8") as url:
        patch.setenv("WORKBOOK_POSTGRES_URL", url)
        try:
            with database(Recipe("for pageinspect", TABLES)) as made:
                made.run("DELETE FROM t WHERE gone BETWEEN 4000 AND 12000 OR gone < 24000 AND few = 3")
                made.vacuum()
                made.run("SET enable_seqscan = off; SET enable_bitmapscan = off; DELETE FROM t WHERE a > 29000")
                made.run(
                    "SET enable_seqscan = off; SET enable_bitmapscan = off;"
                    "SELECT count(*) FROM t WHERE a > 28900; SELECT count(*) FROM t WHERE few = 7"
                )
                with made.cluster.connect(made.name) as connection:
                    connection.execute(
                        "SET search_path = public; CREATE EXTENSION pageinspect; CREATE EXTENSION pgstattuple"
                    )
                    yield made, connection
        finally:
            patch.undo()


def test_each_page_is_as_pageinspect_says(old: tuple[Database, Any]) -> None:
    made, connection = old
    states, dead = set(), 0
    for index in INDEXES:
        snapshot = read_index(made.engine, f'"{index}"')
        for number, page in snapshot.pages.items():
            stats = stats_of(connection, index, number)
            compare_page(snapshot, page, stats)
            states.add(page.state)
            dead += stats["dead_items"]
        assert (
            len(snapshot.pages)
            == connection.execute("SELECT pg_relation_size(%s::regclass) / 8192", (f'"{index}"',)).fetchone()[0] - 1
        )
    assert states == {"live", "deleted"} and dead > 500


def stats_of(connection: Any, index: str, number: int) -> dict[str, Any]:
    cursor = connection.execute("SELECT * FROM bt_page_stats(%s, %s)", (f'"{index}"', number))
    return dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))


def compare_page(snapshot: Snapshot, page: Page, stats: dict[str, Any]) -> None:
    live_kind = "root" if page.number == snapshot.root else "leaf" if page.level == 0 else "inner"
    kind = page.state if page.state != "live" else live_kind
    assert kind == TYPES[stats["type"]]
    assert (page.left or 0, page.right or 0) == (stats["btpo_prev"], stats["btpo_next"])
    if page.state == "deleted":
        return
    assert (page.level, page.bytes) == (stats["btpo_level"], stats["page_size"])
    assert max(page.free - 4, 0) == stats["free_size"]  # pageinspect keeps a slot's bytes back
    bound = page.right is not None
    assert (page.high_key is not None) == bound
    live = sum(not entry.dead for entry in page.entries)
    assert (live + bound, len(page.entries) - live) == (stats["live_items"], stats["dead_items"])
    sizes, items = sum(entry.bytes - 4 for entry in page.entries), len(page.entries) + bound
    if items > bound:
        assert sizes < (stats["avg_item_size"] + 1) * items and stats["avg_item_size"] * items <= sizes + 2712 * bound


def test_each_entry_is_as_pageinspect_says(old: tuple[Database, Any]) -> None:
    made, connection = old
    for index in INDEXES:
        snapshot = read_index(made.engine, f'"{index}"')
        for page in (
            snapshot.level(0)[::7]
            + snapshot.level(0)[-1:]
            + [page for n in range(1, snapshot.height) for page in snapshot.level(n)]
        ):
            what = "ctid::text, itemlen, dead, htid::text, tids::text[]"
            sql = f"SELECT {what} FROM bt_page_items(%s, %s) ORDER BY itemoffset"
            items = connection.execute(sql, (f'"{index}"', page.number)).fetchall()
            if page.right is not None:
                tie = items.pop(0)[3]
                assert page.high_tie == (place(tie) if tie else None)
            for entry, (ctid, size, dead, htid, tids) in zip(page.entries, items, strict=True):
                assert (entry.bytes, entry.dead) == (-(-size // 8) * 8 + 4, bool(dead))
                if page.level:
                    assert entry.child == place(ctid)[0] and entry.tie == (place(htid) if htid else None)
                    assert (entry is page.entries[0]) == (entry.key is MINUS_INFINITY)
                else:
                    assert list(entry.pointers) == [place(tid) for tid in (tids or [htid])]


def test_fill_and_counts_are_pgstatindexs(old: tuple[Database, Any]) -> None:
    made, connection = old
    for index in INDEXES:
        found = read_index(made.engine, f'"{index}"')
        cursor = connection.execute("SELECT * FROM pgstatindex(%s)", (f'"{index}"',))
        said = dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))
        states = [page.state for page in found.pages.values()]
        live = [page for page in found.pages.values() if page.state == "live"]
        assert (found.height - 1, found.root) == (said["tree_level"], said["root_block_no"])
        assert (states.count("half-dead"), states.count("deleted")) == (said["empty_pages"], said["deleted_pages"])
        assert len([page for page in live if page.level == 0]) == said["leaf_pages"] == found.counts[0]
        assert len([page for page in live if page.level > 0]) == said["internal_pages"]
        assert f"{said['avg_leaf_density']:.2f}" in densities(found)
        assert f"{100 * found.fragmentation:.2f}" == f"{said['leaf_fragmentation']:.2f}"
        assert (len(found.pages) + 1) * 8192 == said["index_size"]


def densities(snapshot: Snapshot) -> set[str]:
    """What pgstatindex says: older ones keep the bytes of one slot a page back, as pageinspect does."""
    leaves = [page for page in snapshot.leaves() if page.state == "live"]
    kept = 1 - sum(max(page.free - 4, 0) for page in leaves) / (8152 * len(leaves))
    assert snapshot.density <= kept < snapshot.density + 0.0005
    return {f"{100 * snapshot.density:.2f}", f"{100 * kept:.2f}"}


def test_every_value_is_there_as_the_server_has_it(old: tuple[Database, Any]) -> None:
    """Those compressed by LZ4, too, which the server that comes along cannot make."""
    made, _ = old
    for index, column in (("w", "w"), ("n", "n"), ("few", "few")):
        rows = dict(made.run(f"SELECT ctid::text AS place, {column} FROM t", rows_max=50_000).rows)
        seen = 0
        for page in read_index(made.engine, index).leaves():
            for entry in page.entries:
                for block, offset in entry.pointers:
                    if (place_text := f"({block},{offset})") in rows:
                        assert entry.key == rows[place_text]
                        seen += 1
        assert seen == len(rows)


@pytest.fixture
def stopped(open_folder: Path) -> Iterator[Server]:
    made = Server(open_folder)
    try:
        yield made
    finally:
        made.stop()


def test_a_half_dead_page(stopped: Server) -> None:
    """VACUUM takes an empty page out of the tree in two steps, each a record of the log. A server that recovers up to
    the first one has the page as a killed VACUUM would have left it."""
    stopped.begin()
    with stopped.connect() as connection:
        connection.execute(
            "CREATE TABLE h (i int); INSERT INTO h SELECT generate_series(1, 20000); CREATE INDEX h_i ON h (i)"
        )
        connection.execute("CREATE EXTENSION pageinspect; CREATE EXTENSION pgstattuple")
    stopped.copy()
    with stopped.connect() as connection:
        connection.execute("DELETE FROM h WHERE i BETWEEN 3000 AND 9000")
        connection.execute("VACUUM h")
    stopped.recover_until("MARK_PAGE_HALFDEAD")
    with stopped.connect() as connection:
        connection.execute("CHECKPOINT")
        (data,) = connection.execute("SELECT pg_read_binary_file(pg_relation_filepath('h_i'))").fetchone()
        snapshot = whole(Held(data, 8192), Layout("h_i", (Column("i", KINDS["int4"], 4, 4),)))
        dying = [page for page in snapshot.pages.values() if page.state == "half-dead"]
        assert len(dying) == 1 and not dying[0].entries and dying[0] in snapshot.level(0)
        assert dying[0].number not in {child for page in snapshot.level(1) for child in page.children}
        assert "half-dead" in str(snapshot) or len(snapshot.level(0)) > 8
        for number, page in snapshot.pages.items():
            compare_page(snapshot, page, stats_of(connection, "h_i", number))
        density, empty = connection.execute("SELECT avg_leaf_density, empty_pages FROM pgstatindex('h_i')").fetchone()
        assert f"{density:.2f}" in densities(snapshot) and empty == 1
        assert snapshot.rows > connection.execute("SELECT count(*) FROM h").fetchone()[0], "VACUUM was not through"


class Server:
    """A server of the system whose files a test may copy."""

    def __init__(self, folder: Path) -> None:
        self.programs, self.folder = of_the_system(), folder
        self.data, self.kept = folder / "data", folder / "kept"
        self.connection: psycopg.Connection[Any] | None = None
        places.give_to_server(folder, 0o755)

    def begin(self) -> None:
        self._run("initdb", "-U", "postgres", "-A", "trust", "--locale=C.UTF-8")
        with (self.data / "postgresql.conf").open("a") as out:
            out.write(
                f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nautovacuum = off\nfsync = off\n"
            )
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "start")

    def copy(self) -> None:
        """Keep the files as they are after a clean stop, and go on."""
        self._run("pg_ctl", "-m", "fast", "-w", "stop")
        shutil.copytree(self.data, self.kept, symlinks=True)
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "start")

    def recover_until(self, record: str) -> None:
        """Start from the kept files and the log of today, and stop behind the first record of a kind."""
        self._run("pg_ctl", "-m", "fast", "-w", "stop")
        wal = sorted(path.name for path in (self.data / "pg_wal").glob("00000001*"))
        dump = [str(self.programs / "pg_waldump"), "-p", str(self.data / "pg_wal"), wal[0], wal[-1]]
        said = subprocess.run(dump, capture_output=True, text=True).stdout
        match = re.search(rf"lsn: ([0-9A-F/]+), prev .*desc: {record}", said)
        assert match, "VACUUM wrote no such record"
        for name in wal:
            shutil.copy2(self.data / "pg_wal" / name, self.kept / "pg_wal" / name)
        shutil.rmtree(self.data)
        self.kept.rename(self.data)
        with (self.data / "postgresql.conf").open("a") as out:
            out.write(
                f"restore_command = 'false'\nrecovery_target_lsn = '{match[1]}'\nrecovery_target_action = promote\n"
            )
        (self.data / "recovery.signal").touch()
        self._own()
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "start")
        with self.connect() as connection:
            while connection.execute("SELECT pg_is_in_recovery()").fetchone()[0]:
                connection.execute("SELECT pg_sleep(0.01)")

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres", autocommit=True)

    def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def _own(self) -> None:
        who = places.servant()
        for path in (self.data, *self.data.rglob("*")) if who else ():
            os.chown(path, who.uid, who.gid)

    def _run(self, program: str, *arguments: str) -> None:
        who = places.servant()
        with (self.folder / "said").open("w+") as out:
            command = [str(self.programs / program), "-D", str(self.data), *arguments]
            done = subprocess.run(command, cwd=self.folder, stdout=out, stderr=out, **(who.popen() if who else {}))
            out.seek(0)
            assert done.returncode == 0, out.read()
