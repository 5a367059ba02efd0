"""A MariaDB to run schedules on: the one of WORKBOOK_MARIADB_URL, else a private one of the system's package.

    WORKBOOK_MARIADB_URL ── set ──▶ connect there
                         └─ not ──▶ mariadb-install-db, mariadbd in a temporary folder, reached by a socket only

The private server runs as an unprivileged user where we are root, keeps nothing, writes no log ahead to the disk, and
goes with the process that started it, also where that is killed (`mariadb_watch.py`); what is left where both were
killed is swept away by the next one.

    >>> parts("mysql://me:secret@host:3307/shop")["port"]
    3307

Left out: MySQL, whose catalog of locks is another one.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psutil
import pymysql

from workbook.engines import places
from workbook.errors import Misuse, Unavailable
from workbook.schedules import mariadb_watch

START_S_MAX = 60
PREFIX = "workbook-mariadb-"
HOW = "mysql://user:password@localhost:3306"
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin", "/usr/bin")


class Server:
    """Where a MariaDB answers, as keyword arguments for PyMySQL. Raises `Unavailable`, `Misuse`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        url = os.environ.get("WORKBOOK_MARIADB_URL", "")
        if url:
            self.address = parts(url)
            self._answers(url)
        else:
            self.address = self._start()
            atexit.register(self.stop)

    def connect(self, **more: Any) -> pymysql.Connection:
        """A new connection in autocommit."""
        return pymysql.connect(**self.address, autocommit=True, charset="utf8mb4", **more)

    def stop(self) -> None:
        """Stop the private server and remove its files; a server of a URL is left alone."""
        if self._process is not None:
            atexit.unregister(self.stop)
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None

    def alive(self) -> bool:
        """Whether a connection is to be had."""
        try:
            self.connect().close()
        except pymysql.MySQLError:
            return False
        return True

    def _answers(self, url: str) -> None:
        try:
            connection = self.connect()
        except pymysql.MySQLError as error:
            raise Unavailable(
                "The server of WORKBOOK_MARIADB_URL does not answer.",
                tried=str(error.args[-1]),
                next=f"correct the URL ({HOW}), or unset it to use a private server",
            ) from None
        connection.close()

    def _start(self) -> dict[str, Any]:
        server, install = _program("mariadbd"), _program("mariadb-install-db")
        _sweep()
        self._folder = folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self._watch(folder)
        places.give_to_server(folder, 0o700)
        who = places.servant()
        user: dict[str, Any] = who.popen() if who else {}
        done = subprocess.run(
            [
                install,
                "--no-defaults",
                f"--datadir={folder}/data",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ],
            cwd="/",
            capture_output=True,
            text=True,
            **user,
        )
        if done.returncode:
            self.stop()
            said = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise Unavailable(
                "A private MariaDB cannot be made.", tried=f"{install}: {' '.join(said)}", next="is the disk full?"
            )
        self._process = subprocess.Popen(
            [
                server,
                "--no-defaults",
                f"--datadir={folder}/data",
                f"--socket={folder}/socket",
                f"--pid-file={folder}/pid",
                f"--log-error={folder}/log",
                "--skip-networking",
                "--skip-log-bin",
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-flush-method=nosync",
                "--innodb-status-output-locks=ON",
                "--innodb-buffer-pool-size=32M",
                "--innodb-log-file-size=16M",
            ],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **user,
        )
        return self._started(folder)

    def _watch(self, folder: Path) -> None:
        """Leave a process behind that ends the server when this one is gone."""
        self._watcher = subprocess.Popen(
            [sys.executable, "-P", mariadb_watch.__file__, str(folder)],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _started(self, folder: Path) -> dict[str, Any]:
        """Wait until the private server lets somebody in."""
        self.address = {"unix_socket": f"{folder}/socket", "user": "root", "password": ""}
        deadline = time.monotonic() + START_S_MAX
        while not self.alive():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = folder / "log"
                said = log.read_text(errors="replace").strip().splitlines()[-2:] if log.exists() else []
                self.stop()
                raise Unavailable(
                    "The private MariaDB does not start.",
                    tried=f"mariadbd; its log ends: {' / '.join(said)}",
                    next="set WORKBOOK_MARIADB_URL to a server that runs",
                )
            time.sleep(0.02)
        return self.address


def parts(url: str) -> dict[str, Any]:
    """A URL as keyword arguments for PyMySQL. Raises `Misuse`."""
    split = urlsplit(url)
    if split.scheme.partition("+")[0] not in ("mysql", "mariadb") or not split.hostname:
        raise Misuse("WORKBOOK_MARIADB_URL is no URL of a MariaDB.", next=f"write it as {HOW}")
    return {
        "host": split.hostname,
        "port": split.port or 3306,
        "user": unquote(split.username or "root"),
        "password": unquote(split.password or ""),
    }


def installed() -> bool:
    """Whether a MariaDB can be had here, without starting one."""
    return bool(os.environ.get("WORKBOOK_MARIADB_URL")) or bool(_found("mariadbd") and _found("mariadb-install-db"))


def _found(name: str) -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS])
    return shutil.which(name, path=path) or ""


def _program(name: str) -> str:
    found = _found(name)
    if not found:
        raise Unavailable(
            "There is no MariaDB here.",
            tried=f"WORKBOOK_MARIADB_URL, and the program {name}",
            next="install Debian's package mariadb-server, or set WORKBOOK_MARIADB_URL to a server that runs",
        )
    return found


def _sweep() -> None:
    """End the servers of processes that are gone, and remove their files."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if not owner.isdigit() or psutil.pid_exists(int(owner)):
            continue
        mariadb_watch.clear(folder)
