"""A disk that is full: a small one is mounted, where that is allowed, and each thing that needs room on it says so."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import folders
from workbook.engines import disk
from workbook.engines.cluster import Cluster
from workbook.errors import Unavailable

SIZE_MB = 120
AT_WORK = """
import os, sys
from pathlib import Path
from workbook import shop
from workbook.engines import clean, database_of, stop
from workbook.errors import Unavailable
state = Path(os.environ["WORKBOOK_STATE"])
def said(what, work):
    try:
        print(what, work())
    except Unavailable as error:
        print(what, error, flush=True)
def fill():
    with open(state / "filled", "wb", buffering=0) as out:
        for size in (100_000, 100):
            try:
                while True:
                    out.write(bytes(size))
            except OSError:
                pass
one = database_of(shop(orders=1_000))
said("[loading]", lambda: shop(orders=600_000))
clones = []
said("[clones]", lambda: [clones.append(shop(orders=20_000)) for _ in range(30)])
for clone in clones:
    database_of(clone).drop()
said("[sqlite]", lambda: shop(kind="sqlite", orders=600_000))
said("[duckdb]", lambda: shop(kind="duckdb", orders=2_000_000))
said("[one's own]", lambda: one.run("CREATE TABLE f AS SELECT repeat(md5(i::text), 20) FROM generate_series(1, 200000) i", deadline_s=60))
clean()
one = database_of(shop(orders=1_000))
stop()
fill()
said("[server]", lambda: one.run("SELECT count(*) FROM orders").rows)
said("[engine]", lambda: one.engine.connect())
(state / "filled").unlink()
said("[room again]", lambda: one.run("SELECT count(*) FROM orders").rows)
clean()
fill()
said("[cluster]", lambda: shop(orders=1_000))
(state / "filled").unlink()
said("[cluster again]", lambda: database_of(shop(orders=1_000)).run("SELECT count(*) FROM orders").rows)
clean()
"""
WANTED = {
    "[loading]": "The data of the shop with 600,000 orders cannot be made: the disk of ",
    "[clones]": "The database of the shop with 20,000 orders cannot be made: the disk of ",
    "[sqlite]": "The data of the shop with 600,000 orders cannot be made: the disk of ",
    "[duckdb]": "The data of the shop with 2,000,000 orders cannot be made: the disk of ",
    "[one's own]": "PostgreSQL cannot run it: the disk of ",
    "[server]": "The PostgreSQL server of the profile counting does not start: the disk of ",
    "[engine]": "The PostgreSQL server of the profile counting does not start: the disk of ",
    "[room again]": "[(1000,)]",
    "[cluster]": "The PostgreSQL server of the profile counting cannot be had: the disk of ",
    "[cluster again]": "[(1000,)]",
}


@pytest.fixture
def small() -> Iterator[Path]:
    """A folder on a disk of its own that is small."""
    with folders.open_folder() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=755", "tmpfs", str(folder)]
        with contextlib.suppress(FileNotFoundError):
            if subprocess.run(mount, capture_output=True).returncode == 0:
                try:
                    yield folder
                finally:
                    subprocess.run(["umount", "-l", str(folder)], check=True)
                return
    pytest.skip("no disk can be mounted here")


def test_a_full_disk_is_named_by_whatever_needs_room(small: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "WORKBOOK_POSTGRES_URL"}
    done = subprocess.run(
        [sys.executable, "-c", AT_WORK],
        env={**environment, "WORKBOOK_STATE": str(small)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split("] ", 1) for line in done.stdout.splitlines())
    assert [f"{what}]" for what in lines] == list(WANTED)
    for what, wanted in WANTED.items():
        line = lines[what[:-1]]
        assert line.startswith(wanted), line
        if "disk" in wanted:
            assert str(small) in line and "is full, with " in line and line.endswith(f"Next: {disk.ROOM}."), line


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.DiskFull("could not extend file"),
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("database or disk is full"),
    ],
)
def test_who_says_that_the_disk_is_full_is_believed(error: Exception, tmp_path: Path) -> None:
    trouble = disk.trouble("It cannot be made.", tmp_path / "not" / "yet", error, next="look")
    assert str(trouble).startswith(f"It cannot be made: the disk of {tmp_path / 'not' / 'yet'} is full, with ")
    assert trouble.next == disk.ROOM and isinstance(trouble, Unavailable)


def test_a_closed_connection_says_nothing_of_the_disk_but_the_room_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = psycopg.OperationalError("server closed the connection unexpectedly\nThis probably means")
    there = str(disk.trouble("It cannot be made.", tmp_path, closed, next="look"))
    assert there == "It cannot be made. Tried: server closed the connection unexpectedly. Next: look."
    monkeypatch.setattr(disk, "LEFT_MB_MIN", disk.left_mb(tmp_path) * 2)
    assert "is full" in str(disk.trouble("It cannot be made.", tmp_path, closed, next="look"))


def test_of_the_disk_of_a_server_elsewhere_nothing_is_known() -> None:
    full = psycopg.errors.DiskFull("could not extend file: No space left on device")
    there = Cluster("counting", "postgresql://postgres@elsewhere/postgres")
    assert not there.full(full)
    assert str(there.trouble("It cannot be made.", full, "")).startswith(
        "It cannot be made. Tried: could not extend file"
    )
