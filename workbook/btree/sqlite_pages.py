"""A page of an SQLite file: from bytes to its cells, and the pages that are no part of a tree.

    0        8 or 12                   content                                   usable   page size
    ┌────────┬──────┬──────┬──────┬─ ─ ─┬───────┬────────────┬──────┬──────┬──────┬──────────┐
    │ header │ slot │ slot │ slot │     │ cell  │ free block │ cell │ cell │ cell │ reserved │
    └────────┴──────┴──────┴──────┴─ ─ ─┴───────┴────────────┴──────┴──────┴──────┴──────────┘
    a cell on a leaf of a table:    │ payload's size │ rowid │ payload, or its head │ first overflow page │
    on an inner page of a table:    │ page below │ rowid │
    on a leaf of an index:          │ payload's size │ payload, or its head │ first overflow page │
    on an inner page of an index:   │ page below │ the same as on a leaf │

Page 1 begins with the file's header of 100 bytes. A table's rows stand on its leaves alone; an index has entries on its
inner pages, too, and none of them twice. A cell's page below holds what is up to its key; what is above the last key
stands below the right-most page, which the header names. A payload that would leave no room for three others goes
into a chain of overflow pages, but for its head.

    >>> Layout(4096, 0).local(4061, table=True), Layout(4096, 0).local(4062, table=True)
    (4061, 489)
    >>> Layout(4096, 0).local(5000, table=True), Layout(4096, 0).local(5000, table=False)
    (908, 908)

Source: SQLite's "Database File Format", sections 1.3 to 1.8.
Left out: what is in the reserved bytes; the page of the lock byte, at the first gigabyte, which is never used.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from workbook.btree.sqlite_records import ENCODINGS, signed, varint
from workbook.errors import Damaged

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
INNER_INDEX, INNER_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13
KINDS = (INNER_INDEX, INNER_TABLE, LEAF_INDEX, LEAF_TABLE)
CELL_BYTES_MIN, SLOT, CHAIN, CHILD = 4, 2, 4, 4
LOCK_BYTE = 1 << 30
MAP_ENTRY = 5


@dataclass(frozen=True, slots=True)
class Layout:
    """What the pages of a file have in common: bytes of a page, of which some at its end are reserved; the encoding of
    text; the file's name for messages."""

    page_bytes: int
    reserved: int
    encoding: str = "utf-8"
    name: str = "the file"

    @property
    def usable(self) -> int:
        return self.page_bytes - self.reserved

    def most(self, *, table: bool) -> int:
        """The largest payload that stands in its cell as a whole."""
        return self.usable - 35 if table else (self.usable - 12) * 64 // 255 - 23

    def local(self, payload: int, *, table: bool) -> int:
        """How many bytes of a payload stand in its cell; the others go into overflow pages."""
        usable, most = self.usable, self.most(table=table)
        if payload <= most:
            return payload
        least = (usable - 12) * 32 // 255 - 23
        kept = least + (payload - least) % (usable - CHAIN)
        return kept if kept <= most else least


@dataclass(frozen=True, slots=True)
class Header:
    """What the first hundred bytes of a file say: bytes of a page, reserved ones; the pages of the file (0 where an old
    program wrote it, and the file's size says it); the first trunk page of the list of free pages, and how many are
    free; whether there are pointer-map pages; the encoding; whether changes go to a write-ahead log; the number that
    changes with each transaction."""

    page_bytes: int
    reserved: int
    pages: int
    free_first: int
    free_pages: int
    mapped: bool
    encoding: str
    logged: bool
    changes: int


class Cell(NamedTuple):
    """One cell: the bytes that it takes, its slot included; the page below (0 on a leaf); the rowid (0 in an index);
    its payload's size; the part that stands here; the first overflow page (0 where there is none)."""

    size: int
    child: int
    rowid: int
    payload: int
    local: bytes
    overflow: int


class Cells(NamedTuple):
    """A page: whether it is a leaf, whether of a table (else of an index), its cells, the right-most page below (0 on a
    leaf), its free bytes."""

    leaf: bool
    table: bool
    cells: list[Cell]
    right_most: int
    free: int


def damaged(layout: Layout, number: int, why: str) -> NoReturn:
    raise Damaged(
        f"Page {number} of {layout.name} is damaged: {why}.",
        next="PRAGMA integrity_check says what else is; sqlite3's .recover saves what can be read",
    )


def header_of(data: bytes, name: str = "the file") -> Header:
    """The header, from the first bytes of a file. Raises `Damaged` where it contradicts itself; that it begins with
    `MAGIC` was seen before."""
    size, write, read, reserved, most, least, leaf = struct.unpack_from(">HBBBBBB", data, 16)
    size = 65536 if size == 1 else size
    changes, pages, free_first, free_pages = struct.unpack_from(">IIII", data, 24)
    largest_root, encoding = struct.unpack_from(">II", data, 52)
    (valid_for,) = struct.unpack_from(">I", data, 92)
    layout = Layout(size, reserved, name=name)
    if size < 512 or size & size - 1:
        damaged(layout, 1, f"it says pages of {size} bytes, and there are powers of two from 512 to 65,536")
    if (most, least, leaf) != (64, 32, 32) or size - reserved < 480 or read not in (1, 2):
        damaged(layout, 1, "the header of the file has values that SQLite never writes")
    if encoding not in (0, *ENCODINGS):
        damaged(layout, 1, f"text of the encoding {encoding} is not known")
    pages = pages if valid_for == changes else 0
    text = ENCODINGS.get(encoding, "utf-8")
    return Header(size, reserved, pages, free_first, free_pages, largest_root > 0, text, write == 2, changes)


def cells_of(number: int, data: bytes, layout: Layout) -> Cells:
    """The cells of a page of a tree, in key order. Raises `Damaged`."""
    if len(data) != layout.page_bytes:
        damaged(layout, number, f"it has {len(data):,} bytes")
    at = HEADER_BYTES if number == 1 else 0
    kind, free_at, count, content, scraps = struct.unpack_from(">BHHHB", data, at)
    if kind not in KINDS:
        damaged(layout, number, f"a page of a tree should be there, and its first byte is {kind}")
    leaf, table = kind in (LEAF_INDEX, LEAF_TABLE), kind in (INNER_TABLE, LEAF_TABLE)
    right_most = 0 if leaf else struct.unpack_from(">I", data, at + 8)[0]
    start = at + (8 if leaf else 12)
    slots_end, content = start + SLOT * count, content or 65536
    if not slots_end <= content <= layout.usable:
        damaged(layout, number, "its slots and its cells overlap")
    slots = struct.unpack_from(f">{count}H", data, start)
    if any(not content <= slot <= layout.usable - CELL_BYTES_MIN for slot in slots):
        damaged(layout, number, "a slot points to no cell")
    free = content - slots_end + scraps + _free_blocks(number, data, layout, free_at, content)
    try:
        cells = _cells(data, slots, layout, leaf, table)
    except (IndexError, ValueError, struct.error) as error:
        damaged(
            layout, number, str(error) if isinstance(error, ValueError) else "a cell ends behind the end of its page"
        )
    if start + sum(cell.size for cell in cells) + free != layout.usable:
        damaged(layout, number, "its cells and its free bytes are not all of it")
    return Cells(leaf, table, cells, right_most, free)


def _free_blocks(number: int, data: bytes, layout: Layout, at: int, content: int) -> int:
    """The bytes of the free blocks between cells; each is further on than the one before it."""
    free, least = 0, content
    while at:
        if not least <= at <= layout.usable - 4:
            damaged(layout, number, "its free blocks are no chain")
        following, size = struct.unpack_from(">HH", data, at)
        free, least = free + size, at + max(size, 4)
        at = following
    return free


def _cells(data: bytes, slots: tuple[int, ...], layout: Layout, leaf: bool, table: bool) -> list[Cell]:
    """The cells that begin at `slots`. Raises IndexError, ValueError or struct.error where one ends behind its page."""
    cells = []
    usable, most = layout.usable, layout.most(table=table)
    for start in slots:
        at, child, payload, rowid, overflow = start, 0, 0, 0, 0
        if not leaf:
            (child,) = struct.unpack_from(">I", data, at)
            at += CHILD
        if leaf or not table:
            payload, at = (data[at], at + 1) if data[at] < 128 else varint(data, at)
        if table:
            rowid, at = varint(data, at)
            rowid = signed(rowid)
        end = at + (payload if payload <= most else layout.local(payload, table=table))
        local = data[at:end]
        if payload > most:
            (overflow,) = struct.unpack_from(">I", data, end)
            end += CHAIN
        if end > usable:
            raise ValueError("a cell ends behind the end of its page")
        cells.append(Cell(max(end - start, CELL_BYTES_MIN) + SLOT, child, rowid, payload, local, overflow))
    return cells


def overflow_of(number: int, data: bytes, layout: Layout, rest: int) -> tuple[int, bytes]:
    """The next overflow page (0: none), and the part of a payload on this one, of which `rest` bytes are to come.
    Raises `Damaged`."""
    if len(data) != layout.page_bytes:
        damaged(layout, number, f"it has {len(data):,} bytes")
    (following,) = struct.unpack_from(">I", data)
    if (following == 0) != (rest <= layout.usable - CHAIN):
        damaged(layout, number, "its chain of overflow pages has another length than its payload")
    return following, data[CHAIN : CHAIN + min(rest, layout.usable - CHAIN)]


def trunk_of(number: int, data: bytes, layout: Layout) -> tuple[int, tuple[int, ...]]:
    """The next trunk page of the list of free pages (0: none), and the free pages that this one names. Raises
    `Damaged`."""
    if len(data) != layout.page_bytes:
        damaged(layout, number, f"it has {len(data):,} bytes")
    following, count = struct.unpack_from(">II", data)
    if count > layout.usable // 4 - 2:
        damaged(layout, number, f"it says that it names {count:,} free pages, for which it has no room")
    return following, struct.unpack_from(f">{count}I", data, 8)


def map_page_of(number: int, layout: Layout) -> int:
    """The pointer-map page that says whose page `number` is; itself where it is one. They begin with page 2, and each
    stands before the pages that it is about."""
    group = layout.usable // MAP_ENTRY + 1
    found = (number - 2) // group * group + 2
    return found + (found == lock_page(layout))


def lock_page(layout: Layout) -> int:
    """The page that holds the byte by which SQLite locks a file, and nothing else."""
    return LOCK_BYTE // layout.page_bytes + 1


def map_entries(number: int, data: bytes, layout: Layout) -> dict[int, tuple[int, int]]:
    """What a pointer-map page says: page to (kind, the page that leads to it). Kinds: 1 a root, 2 a free page, 3 the
    first overflow page of a cell, 4 a later one, 5 another page of a tree."""
    room = range(layout.usable // MAP_ENTRY)
    return {number + 1 + place: struct.unpack_from(">BI", data, place * MAP_ENTRY) for place in room}
