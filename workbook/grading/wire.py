"""What a function costs a database, counted between the two: statements, rows, bytes and pages.

    the learner's function ── Bind, Execute ──▶ ┌──────┐ ──▶ PostgreSQL ── pages, rows written, sessions
      (here, or in another process)             │ Wire │        (looked up when its sessions have ended)
                           ◀── DataRow, ... ──  └──────┘ ◀── CommandComplete
                                                    └▶ statements 3 · rows 131 · bytes 6,210

An event of SQLAlchemy would count in the process of the learner, who can remove it. PostgreSQL itself counts
transactions, not statements, and the rows that it reads, not those that it sends; `pg_stat_statements` is no part of
every server. But each statement and each row is a message of the protocol, and the message says what it is. So the
function is given an engine whose address is a relay in the judge's process, which reads the headers of what passes.
Nothing is estimated and no clock is read, so that twenty runs give the same numbers.

- A statement is what ends with a CommandComplete, an error or a pause of its portal; BEGIN, COMMIT and their kin are
  none. What SQLAlchemy asks of a server when an engine connects for the first time is none either: the wire connects
  once itself, and knows those texts and their answers from then on. Later in a session they count, and so they do with
  another answer: whoever makes a view `pg_type` could send rows by them.
- A row is a DataRow, or a line of COPY. Bytes are theirs, and those of all else that could carry a row: notices,
  notifications, errors, settings.
- Pages and written rows are PostgreSQL's own counters of the person's tables, before and after: a session hands them
  in when it ends, so its end is waited for.
- Sessions that PostgreSQL saw and the wire did not are `strangers`: work that went another way.

    >>> messages = Messages()
    >>> list(messages.feed(b"C\\0\\0\\0\\x0dSELE")), list(messages.feed(b"CT 2\\0Z\\0\\0\\0\\x05I"))
    ([], [(b'C', b'SELECT 2\\x00'), (b'Z', b'I')])

Source: PostgreSQL 18's manual, "Frontend/Backend Protocol", "Message Formats"; "The Cumulative Statistics System".
Left out: encrypted sessions, which are refused; the client then speaks plainly.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import shutil
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from workbook.engines.costs import PAGES
from workbook.errors import Unsuitable
from workbook.grading.relay import Relay, copy, room

if TYPE_CHECKING:
    from workbook.engines import Database

T = TypeVar("T")
ENCRYPTED = (80877103, 80877104)  # SSLRequest, GSSENCRequest
ROWS = (b"D", b"d")  # DataRow, CopyData
UNASKED = (b"N", b"A")  # NoticeResponse, NotificationResponse: these come between statements as well
CARRIERS = (*ROWS, *UNASKED, b"E", b"S")  # ErrorResponse, ParameterStatus
ENDS = (b"C", b"s", b"E", b"V")  # CommandComplete, PortalSuspended, ErrorResponse, FunctionCallResponse
CONTROL = (b"BEGIN", b"START", b"COMMIT", b"ROLLBACK", b"SAVEPOINT", b"RELEASE", b"SET", b"DEALLOCATE")
POLL_S, PATIENCE_S, END_S_MAX = 0.002, 0.05, 10.0
WRITTEN = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_catalog.pg_stat_user_tables"
SESSIONS = "SELECT sessions FROM pg_catalog.pg_stat_database WHERE datname = pg_catalog.current_database()"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one call cost: statements, rows and bytes that crossed, pages of 8 kB that were touched, rows that were
    written, and sessions that did not come by the wire."""

    statements: int
    rows: int
    bytes: int
    pages: int
    written: int = 0
    strangers: int = 0


class Messages:
    """Cuts a stream of the protocol into messages: one byte of kind, four of length, the body."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The messages that are whole with this piece of the stream: kind and body."""
        self._rest += data
        at = 0
        while len(self._rest) >= at + 5:
            end = at + 1 + struct.unpack_from("!I", self._rest, at + 1)[0]
            if len(self._rest) < end:
                break
            yield bytes(self._rest[at : at + 1]), bytes(self._rest[at + 5 : end])
            at = end
        del self._rest[:at]


class _Answer:
    """What a statement has given so far."""

    def __init__(self) -> None:
        self.rows, self.bytes, self._all = 0, 0, hashlib.sha256()

    def add(self, kind: bytes, body: bytes) -> dict[str, int]:
        """Add a message; what is to be counted for it."""
        more = {"rows": int(kind in ROWS), "bytes": len(body) + 5}
        self.rows, self.bytes = self.rows + more["rows"], self.bytes + more["bytes"]
        self._all.update(kind + struct.pack("!I", len(body)) + body)
        return more

    def digest(self) -> bytes:
        """The same for the same messages, and for no others."""
        return self._all.digest()


class _Session:
    """One session's messages, each answer beside what was asked.

    Only the unnamed statement and the unnamed portal are followed: what has a name can be made by SQL as well, behind
    the back of the protocol, and then its text is not known.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._asked, self._said = Messages(), Messages()
        self._parsed = self._bound = b""
        self._due: deque[tuple[bytes, bytes]] = deque()
        self._at_work = False
        self._answer = _Answer()

    def asks(self, data: bytes) -> None:
        """What the client sends: remember the text of each statement that is to be executed, in order."""
        for kind, body in self._asked.feed(data):
            name, _, rest = body.partition(b"\0")
            if kind == b"P" and not name:
                self._parsed = rest.partition(b"\0")[0]
            elif kind == b"B" and not name:
                self._bound = b"" if rest.partition(b"\0")[0] else self._parsed
            elif kind == b"E":
                self._due.append((kind, b"" if name else self._bound))
            elif kind in (b"Q", b"F", b"S"):
                self._due.append((kind, name))

    def answers(self, data: bytes) -> None:
        """What the server sends: count it for the statement whose turn it is."""
        for kind, body in self._said.feed(data):
            if kind == b"R" and body[:4] == b"\0\0\0\0":
                self._wire.add(sessions=1)
            elif kind == b"Z":
                self._ready()
            elif self._due and self._due[0][0] != b"S":
                asked, text = self._due[0]
                if kind in CARRIERS:
                    self._wire.add(**self._answer.add(kind, body))
                if kind in ENDS:
                    self._end(text, control=kind == b"C" and body.rstrip(b"\0").split(b" ")[0] in CONTROL)
                if kind in (*ENDS, b"I") and asked == b"E":  # a simple query may hold several: it ends with Z
                    self._due.popleft()
            elif kind in UNASKED:
                self._wire.add(bytes=len(body) + 5)

    def _end(self, text: bytes, *, control: bool) -> None:
        """Count a statement that has ended, or take back what it gave, where it is SQLAlchemy's own; those come before a
        session does any work."""
        answer, self._answer = self._answer, _Answer()
        if not self._at_work and self._wire.is_own(text, answer.digest()):
            self._wire.add(rows=-answer.rows, bytes=-answer.bytes)
        elif not control:
            self._wire.add(statements=1)
            self._at_work = True

    def _ready(self) -> None:
        """Forget what was asked up to the last Sync, or the last simple query: after an error, it was passed over."""
        while self._due and self._due.popleft()[0] == b"E":
            pass


class Wire(Relay):
    """The way to a database that is counted. `engine` goes by it, and `wired` makes one.

    Raises `Unsuitable` for a server that takes encrypted sessions only.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._lock = database, threading.Lock()
        self._counts = dict.fromkeys(("statements", "rows", "bytes", "sessions"), 0)
        self.own: dict[bytes, set[bytes]] = {}
        self._listening = True
        with contextlib.closing(database.connect()) as connection:
            info = connection.info
            where, self._user, password = (info.host, info.port), info.user, info.password
        super().__init__(where[0], int(where[1]), folder)
        url = sa.URL.create(
            "postgresql+psycopg",
            self._user,
            password,
            port=self.port,
            database=database.name,
            query={"host": self.host},
        )
        # A session that is kept open is cut; when it is thrown away later, SQLAlchemy would print that it cannot reset it.
        self.engine = sa.create_engine(url, poolclass=sa.NullPool, pool_reset_on_return=None)
        self._learn()
        self._listening = False
        database.cluster.admin("SELECT pg_catalog.pg_stat_force_next_flush()", database.name)

    def _learn(self) -> None:
        """Connect, and so learn the statements that SQLAlchemy sends when an engine does that for the first time."""
        try:
            self.engine.connect().close()
        except sa.exc.OperationalError as refusal:
            self.close()
            raise Unsuitable(
                "What is sent to this server cannot be counted: it refuses a session that is not encrypted.",
                tried=str(refusal.orig).strip().split("\n")[0],
                next="let it take plain sessions from this machine, or unset WORKBOOK_POSTGRES_URL",
            ) from None

    def is_own(self, text: bytes, digest: bytes) -> bool:
        """Whether SQLAlchemy sends this text by itself, and this answers it; all that comes while the wire connects does."""
        if self._listening:
            self.own.setdefault(text, set()).add(digest)
            return True
        return text != b"" and digest in self.own.get(text, ())

    def add(self, **counts: int) -> None:
        """Add to the counts."""
        with self._lock:
            for name, count in counts.items():
                self._counts[name] += count

    def count(self, work: Callable[[sa.Engine], T]) -> tuple[T, Traffic]:
        """What `work` gives when it is called with the engine, and what it cost.

        Its sessions are ended with it: a pool that it keeps would keep its counters, too. Raises what `work` raises.
        """
        self._end_sessions()
        with self._lock:
            self._counts = dict.fromkeys(self._counts, 0)
        before = self._look()
        try:
            given = work(self.engine)
        finally:
            self._end_sessions()
        pages, written, sessions = (late - early for early, late in zip(before, self._look(), strict=True))
        counts = dict(self._counts)
        strangers = max(sessions - counts.pop("sessions"), 0)
        return given, Traffic(**counts, pages=pages, written=written, strangers=strangers)

    def _end_sessions(self) -> None:
        """Wait until PostgreSQL has no session of this role left; those that do not end by themselves are cut."""
        alive = f"SELECT pid FROM pg_catalog.pg_stat_activity WHERE usename = '{self._user}'"
        begun = time.monotonic()
        cut = False
        while (pids := self._database.cluster.admin(alive)) and time.monotonic() < begun + END_S_MAX:
            waited = time.monotonic() - begun
            if waited > PATIENCE_S and not cut:
                gc.collect()  # a session that nobody holds any more closes properly
                self.cut()
                cut = True
            if waited > 10 * PATIENCE_S:
                for (pid,) in pids:
                    self._database.cluster.admin(f"SELECT pg_catalog.pg_terminate_backend({pid})")
            time.sleep(POLL_S)

    def _look(self) -> tuple[int, int, int]:
        rows = self._database.cluster.admin(f"SELECT ({PAGES}), ({WRITTEN}), ({SESSIONS})", self._database.name)
        pages, written, sessions = (int(value) for value in rows[0])
        return pages, written, sessions

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        session = _Session(self)
        with contextlib.suppress(OSError):
            server.sendall(_opening(client))
        back = threading.Thread(target=copy, args=(server, client, session.answers), daemon=True)
        back.start()
        copy(client, server, session.asks)
        back.join()


def _opening(client: socket.socket) -> bytes:
    """A client's first packet, which has no kind; requests for encryption are answered with no."""
    while True:
        head = _exactly(client, 8)
        length, code = struct.unpack("!II", head)
        if code not in ENCRYPTED:
            return head + _exactly(client, length - 8)
        client.sendall(b"N")


def _exactly(client: socket.socket, count: int) -> bytes:
    """So many bytes, or `OSError` where the client has gone."""
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            raise ConnectionError("the client has gone")
        data += piece
    return data


@contextmanager
def wired(database: Database) -> Iterator[Wire]:
    """A counted way to a database, as long as the context lasts."""
    folder = room("wb-")
    wire: Any = None
    try:
        wire = Wire(database, folder)
        yield wire
    finally:
        if wire is not None:
            wire.close()
        shutil.rmtree(folder, ignore_errors=True)
