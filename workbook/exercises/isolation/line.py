"""A line to PostgreSQL that breaks at a chosen statement, before the server has it or after the server has done it.

    client ── COMMIT ──✂                  server   the server never hears of it, and rolls back
    client ── COMMIT ───────▶ server ──✂  client   the server has committed, and nobody learns it

To the client both are the same: the line is gone, and no answer came. A time-out set on a client, a restarted pooler, a
laptop that goes to sleep do the same; here it happens at one known statement, so that it can be tried again.

The line passes bytes (`grading/relay.py`) and looks for the statement as the simple query message of the protocol. In
the second case it keeps the server's answer to itself until the server says that it is ready for more: by then what was
to commit is committed.

    >>> asked("COMMIT")
    b'Q\\x00\\x00\\x00\\x0bCOMMIT\\x00'

Source: PostgreSQL 18's manual, "Frontend/Backend Protocol", "Message Flow". Left out: encrypted sessions, and statements
with parameters, which are sent by other messages.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from workbook.engines import Database
from workbook.errors import Unsuitable
from workbook.grading.relay import CHUNK, Relay
from workbook.grading.wire import Messages

TAIL = 8192


class Line(Relay):
    """The way to a database that can break. `connect` gives a session that goes by it; `line_to` makes one."""

    def __init__(self, database: Database, folder: Path) -> None:
        with contextlib.closing(database.connect()) as connection:
            info = connection.info
            self._login: dict[str, Any] = {"user": info.user, "password": info.password, "dbname": database.name}
            where = info.host, int(info.port)
        self._at, self._done = b"", False
        super().__init__(*where, folder)

    def connect(self) -> psycopg.Connection[Any]:
        """A session by this line, in autocommit, each statement without parameters as one simple query.

        Raises `Unsuitable` for a server that takes encrypted sessions only."""
        plain: Any = {"sslmode": "disable", "gssencmode": "disable", "autocommit": True, "prepare_threshold": None}
        try:
            return psycopg.connect(host=self.host, port=self.port, **self._login, **plain)
        except psycopg.OperationalError as refusal:
            raise Unsuitable(
                "This server cannot be reached by a line that breaks: it refuses a session that is not encrypted.",
                tried=str(refusal).strip().split("\n")[0],
                next="let it take plain sessions from this machine, or unset WORKBOOK_POSTGRES_URL",
            ) from None

    def break_at(self, sql: str, *, done: bool) -> None:
        """Break when this statement is sent next: with `done` when the server has done it, else before it has it."""
        self._done, self._at = done, asked(sql)

    def mend(self) -> None:
        """Forget where to break."""
        self._at = b""

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        keeping = threading.Event()
        back = threading.Thread(target=self._answers, args=(server, client, keeping), daemon=True)
        back.start()
        self._asks(client, server, keeping)
        back.join()

    def _asks(self, client: socket.socket, server: socket.socket, keeping: threading.Event) -> None:
        """Pass on what the client sends, until the line breaks."""
        tail = b""
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK):
                tail = (tail + data)[-TAIL:]
                if self._at and self._at in tail:
                    self._at, tail = b"", b""
                    if not self._done:
                        self.cut()
                        return
                    keeping.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answers(self, server: socket.socket, client: socket.socket, keeping: threading.Event) -> None:
        """Pass on what the server answers; once it is to be kept, break when the server is ready for more."""
        kept = Messages()
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK):
                if not keeping.is_set():
                    client.sendall(data)
                elif any(kind == b"Z" for kind, _ in kept.feed(data)):
                    self.cut()
            client.shutdown(socket.SHUT_WR)


def asked(sql: str) -> bytes:
    """A statement as the message that carries it."""
    body = sql.encode() + b"\0"
    return b"Q" + struct.pack("!I", len(body) + 4) + body


@contextmanager
def line_to(database: Database) -> Iterator[Line]:
    """A line to a database, as long as the context lasts."""
    folder = Path(tempfile.mkdtemp(prefix="wb-"))
    line = None
    try:
        line = Line(database, folder)
        yield line
    finally:
        if line is not None:
            line.close()
        shutil.rmtree(folder, ignore_errors=True)
