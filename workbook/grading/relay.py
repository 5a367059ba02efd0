"""A socket in a folder that leads to a database server elsewhere: the one way out of an enclosure.

    enclosed code ──▶ <folder>/.s.PGSQL.5432 ── bytes, both ways ──▶ the judge's server (socket or TCP)

The role and the password that the judge hands over decide what is reached through it. Where there are no Unix sockets
it listens on the machine's own address instead.

Left out: any understanding of what passes (`wire.py` counts it).
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from workbook.engines import places
from workbook.engines.cluster import SOCKET_PATH_MAX
from workbook.errors import Unavailable

CHUNK = 65536
BELOW_MAX = len("/wb-12345678/w/s99")  # what stands between a temporary folder and a socket


class Relay:
    """Listens until it is closed. `host` and `port` are what a client of PostgreSQL is given."""

    def __init__(self, host: str, port: int, folder: Path) -> None:
        self._target = (host, port)
        if hasattr(socket, "AF_UNIX"):
            folder.mkdir(exist_ok=True)
            self.host, self.port = str(folder), 5432
            self._server = socket.socket(socket.AF_UNIX)
            path = folder / ".s.PGSQL.5432"
            path.unlink(missing_ok=True)
            self._server.bind(str(path))
            os.chmod(path, 0o600)
        else:
            self._server = socket.socket()
            self._server.bind(("127.0.0.1", 0))
            self.host, self.port = "127.0.0.1", self._server.getsockname()[1]
        self._server.listen(16)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        host, port = self._target
        try:
            if host.startswith(("/", "@")):
                server = socket.socket(socket.AF_UNIX)
                server.connect(f"{host}/.s.PGSQL.{port}")
            else:
                server = socket.create_connection((host, port))
        except OSError:
            client.close()
            return
        self._open |= {client, server}
        self._pass(client, server)
        for end in (client, server):
            end.close()
            self._open.discard(end)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        """Pass bytes both ways until both ends have said all."""
        back = threading.Thread(target=copy, args=(server, client), daemon=True)
        back.start()
        copy(client, server)
        back.join()

    def cut(self) -> None:
        """Cut what is open; go on listening."""
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening, and cut what is open."""
        self.cut()
        for end in (self._server, *list(self._open)):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def room(prefix: str) -> Path:
    """A new folder in which a relay can listen; whoever makes it removes it. It stands in the temporary folder, or in /tmp
    where the path of that one is too long for a socket. Raises `Unavailable` where neither will do."""
    usual = tempfile.gettempdir()
    if not hasattr(socket, "AF_UNIX") or len(os.fsencode(usual)) + BELOW_MAX <= SOCKET_PATH_MAX:
        return places.passing_folder(prefix)
    try:
        return places.passing_folder(prefix, Path("/tmp"))
    except OSError as refusal:
        raise Unavailable(
            f"The path of the temporary folder is too long for a socket: {usual}",
            tried=f"/tmp instead: {refusal}",
            next="set TMPDIR to a shorter path",
        ) from None


def copy(source: socket.socket, target: socket.socket, seen: Callable[[bytes], None] = lambda data: None) -> None:
    """Pass bytes on until there are no more; each piece is `seen` before it is passed on."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            seen(data)
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
