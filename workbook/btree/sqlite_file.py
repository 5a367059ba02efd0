"""Where the pages of an SQLite database come from: bytes, or a file and the write-ahead log beside it.

    shop.sqlite      │ page 1 │ page 2 │ page 3 │ page 4 │
    shop.sqlite-wal           │ 3 │ 4 ✓ │ 2 │ 3 ✓ │ 4       ✓ the last frame of a transaction; the last 4 is of none yet
                              ───────────────────────
                     │ page 1 │ page 2'│ page 3'│ page 4'│  what a reader sees

In the journal mode WAL changed pages are appended to the log and come into the file later. A frame counts when its
salts are those of the log's head and the checksums that run through all frames before it come out right.

While pages are read, SQLite itself holds a reader's transaction open, so that no writer changes them. And on POSIX
systems a file that was opened once stays open until it is deleted: a process that closes *any* descriptor of a file
loses all of its locks on it there, those of the connections of your notebook, too.

    >>> Held(b"x" * 1024, Layout(512, 0)).read(2) == b"x" * 512
    True

Sources: SQLite's "Database File Format", section 4; "How To Corrupt An SQLite Database File", section 2.2.
Left out: a rollback journal that a killed writer left behind (a sentence says how to have SQLite play it back).
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from workbook.btree.sqlite_pages import HEADER_BYTES, MAGIC, Header, Layout, damaged, header_of
from workbook.errors import Unavailable, Unsuitable

LOG_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
LOG_HEAD, FRAME_HEAD = 32, 24
BUSY, READ_ONLY = 5, 8
WAIT_S = 1
POSIX = os.name == "posix"
_held: dict[tuple[int, int], int] = {}
_guard = threading.Lock()


class Source(Protocol):
    """Where pages come from: how they are laid out, how many there are, and the bytes of the page of a number."""

    @property
    def layout(self) -> Layout: ...

    @property
    def count(self) -> int: ...

    def read(self, number: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Held:
    """A database whose bytes are at hand; what is cut off at its end is no page."""

    data: bytes = field(repr=False)
    layout: Layout

    @property
    def count(self) -> int:
        return len(self.data) // self.layout.page_bytes

    def read(self, number: int) -> bytes:
        return self.data[(number - 1) * self.layout.page_bytes : number * self.layout.page_bytes]


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A file by its descriptor, and the pages that its log has instead."""

    descriptor: int
    layout: Layout
    count: int
    logged: Mapping[int, bytes]

    def read(self, number: int) -> bytes:
        return self.logged.get(number) or _bytes(
            self.descriptor, (number - 1) * self.layout.page_bytes, self.layout.page_bytes
        )


def held(data: bytes, name: str) -> tuple[Source, Header]:
    """A database in memory. Raises `Unsuitable` where the bytes are none."""
    _look(data, name)
    header = header_of(data[:HEADER_BYTES], name)
    return Held(data, Layout(header.page_bytes, header.reserved, header.encoding, name)), header


@contextmanager
def opened(path: Path) -> Iterator[tuple[Source, Header]]:
    """A database file as a reader sees it now, kept as it is while the context lasts.

    Raises `Unavailable` where there is no such file, or it is being written; `Unsuitable` where it is no database.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise Unavailable(f"The file {path} {what}.", next="correct its name")
    try:
        with _reading(path):
            descriptor = _descriptor(path)
            stored = os.fstat(descriptor).st_size
            # Beside an empty file a log is another's, and SQLite removes it.
            pages, count = _log(path) if stored else ({}, 0)
            head = pages.get(1) or _bytes(descriptor, 0, HEADER_BYTES)
            _look(head, str(path))
            header = header_of(head[:HEADER_BYTES], str(path))
            layout = Layout(header.page_bytes, header.reserved, header.encoding, str(path))
            if pages and len(next(iter(pages.values()))) != layout.page_bytes:
                damaged(layout, 1, "the pages of its log have another size")
            most = stored // layout.page_bytes
            yield OnDisk(descriptor, layout, count or min(header.pages or most, most), pages), header
    finally:
        if not POSIX:
            _let_go(path)


def _look(head: bytes, name: str) -> None:
    """Raise `Unsuitable` where a file does not begin as those of SQLite do."""
    if not head:
        raise Unsuitable(
            f"{name} is empty: an SQLite database to which nothing was written yet.", next="create a table first"
        )
    if len(head) < HEADER_BYTES and MAGIC.startswith(head[:16]):
        raise Unsuitable(f"{name} is cut off: it has {len(head)} bytes.")
    if not head.startswith(MAGIC):
        raise Unsuitable(
            f"{name} is no SQLite database, or an encrypted one: it begins with {head[:16]!r}.",
            next="an encrypted one must be opened with its key and saved without",
        )


def _descriptor(path: Path) -> int:
    """A descriptor of the file, opened once for as long as the file is there."""
    with _guard:
        for known, descriptor in list(_held.items()):
            if os.fstat(descriptor).st_nlink == 0:
                os.close(_held.pop(known))
        found = path.stat()
        key = found.st_dev, found.st_ino
        if key not in _held:
            try:
                _held[key] = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
            except OSError as error:
                raise Unavailable(f"The file {path} cannot be read.", tried=str(error)) from None
        return _held[key]


def _let_go(path: Path) -> None:
    """Close the file where an open one could not be deleted."""
    with _guard:
        found = path.stat()
        if (descriptor := _held.pop((found.st_dev, found.st_ino), None)) is not None:
            os.close(descriptor)


def _bytes(descriptor: int, at: int, size: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, at)
    with _guard:
        os.lseek(descriptor, at, os.SEEK_SET)
        return os.read(descriptor, size)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """A reader's transaction of SQLite's own, where SQLite can open the file at all."""
    connection = None
    try:
        if not _at_rest(path):
            uri = f"file:{quote(str(path.absolute()))}?mode=ro"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=WAIT_S)
            connection.execute("BEGIN")
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # in Python, SQLite may quote damaged text
        if connection is not None:
            connection.close()
            connection = None
        _refused(path, getattr(error, "sqlite_errorcode", 0) & 255)
    try:
        yield
    finally:
        if connection is not None:
            connection.close()


def _refused(path: Path, code: int) -> None:
    """Raise `Unavailable` where a file's bytes are halfway between two states."""
    if code == BUSY:
        raise Unavailable(
            f"The database {path} is being written.", next="let the transaction there end, then read again"
        )
    if code == READ_ONLY:
        raise Unavailable(
            f"Beside {path} stands the journal of a writer that was interrupted.",
            next=f"open it once with sqlite3 {path.name} and read a table: SQLite undoes what was not committed",
        )


def _at_rest(path: Path) -> bool:
    """Whether the file is in the mode WAL and no connection to it is open: then there is nothing to hold, and SQLite's
    reader would leave files behind."""
    with suppress(OSError):
        return _bytes(_descriptor(path), 18, 2) == b"\2\2" and not Path(f"{path}-wal").exists()
    return False


def _log(path: Path) -> tuple[dict[int, bytes], int]:
    """The pages in the write-ahead log, up to its last committed frame, and how many the database then has; none and 0
    where there is no log."""
    try:
        data = Path(f"{path}-wal").read_bytes()
    except OSError:
        return {}, 0
    if len(data) < LOG_HEAD:
        return {}, 0
    magic, _, page_bytes, _, salts = struct.unpack_from(">IIII8s", data)
    order = LOG_MAGIC.get(magic)
    sums = _summed(data[:24], (0, 0), order) if order else None
    if not order or sums != struct.unpack_from(">II", data, 24) or page_bytes not in {512 << n for n in range(8)}:
        return {}, 0
    pages: dict[int, bytes] = {}
    waiting: dict[int, bytes] = {}
    count = 0
    for at in range(LOG_HEAD, len(data) - FRAME_HEAD - page_bytes + 1, FRAME_HEAD + page_bytes):
        number, size, salt, *found = struct.unpack_from(">II8sII", data, at)
        body = data[at + FRAME_HEAD : at + FRAME_HEAD + page_bytes]
        sums = _summed(data[at : at + 8] + body, sums, order)
        if salt != salts or tuple(found) != sums or not number:
            break
        waiting[number] = body
        if size:
            pages |= waiting
            waiting, count = {}, size
    return pages, count


def _summed(data: bytes, sums: tuple[int, int] | None, order: str | None) -> tuple[int, int]:
    """SQLite's checksum of some bytes, which goes on from another."""
    first, second = sums or (0, 0)
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = first + even + second & 0xFFFFFFFF
        second = second + odd + first & 0xFFFFFFFF
    return first, second
