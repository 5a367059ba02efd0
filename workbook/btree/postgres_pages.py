"""A page of PostgreSQL's B-tree: from 8,192 bytes to a `Page`.

    0        24                         lower              upper                      special      8192
    ┌────────┬──────┬──────┬──────┬─ ─ ─┐                  ┌─ ─ ┬───────┬──────┬──────┬────────────┐
    │ header │ slot │ slot │ slot │     │  free            │    │ entry │ entry│ entry│ siblings,  │
    └────────┴──┬───┴──────┴──────┴─ ─ ─┘                  └─ ─ ┴───────┴──────┴──▲───┤ level,flags│
                └──────────────────────────────────────────────────────────────── ┘   └────────────┘
    an entry: │ where to: 6 bytes │ size, flags: 2 │ which are NULL: 8, if any │ values │ more pointers, or a tie │

Slots are in key order, entries in the order in which they came. On a page that has a right sibling the first slot is
the high key. An entry of a leaf points to a row, or, with one bit set, to the list of pointers behind its values (a
posting list). An entry of an inner page and a high key are pivots: they lead to a page below, keep only as many columns
as tell their neighbours apart, and where all columns are equal the row's place as well.

    >>> layout = Layout("i", (Column("n", KINDS["int4"], 4, 4),))
    >>> page_of(1, bytes(8192), layout).state
    'free'
    >>> page_of(1, b"a page" + bytes(8186), layout)
    Traceback (most recent call last):
    workbook.errors.Damaged: Page 1 of i is damaged: its header is none of a page of 8,192 bytes. ...

Sources: PostgreSQL 18's src/include/access/nbtree.h, src/include/access/itup.h, src/include/storage/bufpage.h and
itemid.h.
Left out: machines that store the high byte first; INCLUDE columns, which take bytes but are no part of a key.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from workbook.btree.page import MINUS_INFINITY, NULL, Entry, Page, State
from workbook.btree.postgres_values import KINDS, Kind, varlena
from workbook.errors import Damaged

__all__ = ["KINDS", "Column", "Layout", "Meta", "damaged", "meta_of", "page_of"]

HEADER = struct.Struct("<12xHHHH4x")
OPAQUE = struct.Struct("<IIIHH")
META = struct.Struct("<IIIIII")
TUPLE = struct.Struct("<HHHH")
SLOTS_AT, SLOT, OPAQUE_BYTES, LAYOUT_VERSION = 24, 4, 16, 4
MAGIC, OLDEST, NEWEST = 0x053162, 2, 4
LEAF, DELETED, IS_META, HALF_DEAD, INCOMPLETE = 1, 4, 8, 16, 128
SIZE, OTHER_TID, HAS_NULLS = 0x1FFF, 0x2000, 0x8000
COUNT, HAS_TIE, IS_POSTING = 0x0FFF, 0x1000, 0x2000
NO_PAGE, LEVEL_MAX = 0xFFFFFFFF, 32


@dataclass(frozen=True, slots=True)
class Column:
    """One key column: its name, kind, width in bytes (-1 variable, -2 ends with a zero byte), alignment, and direction;
    `unordered` says why its order is not known here ('' where it is)."""

    name: str
    kind: Kind
    width: int
    align: int
    descending: bool = False
    nulls_first: bool = False
    unordered: str = ""

    def read(self, data: bytes, at: int, end: int) -> tuple[int, Any]:
        """Where the value that begins at or after `at` ends, and the value. Raises ValueError."""
        if self.width == -1:
            stop, raw = varlena(data, at, end, self.align)
        elif self.width == -2:
            stop = data.index(b"\0", at, end) + 1
            raw = data[at : stop - 1]
        else:
            at += -at % self.align
            stop = at + self.width
            raw = data[at:stop]
            if stop > end:
                raise ValueError("a value is longer than its entry")
        return stop, self.kind.read(raw)


@dataclass(frozen=True)
class Layout:
    """What the pages of one index have in common: its name for messages, key columns, bytes of a page."""

    name: str
    columns: tuple[Column, ...]
    page_bytes: int = 8192

    @cached_property
    def fixed(self) -> struct.Struct | None:
        """How `struct` reads a whole entry without NULLs, where all columns have a fixed width."""
        if not all(column.kind.code for column in self.columns):
            return None
        code, at = "<HHHH", 8
        for column in self.columns:
            code += f"{-at % column.align}x{column.kind.code}"
            at += -at % column.align + column.width
        return struct.Struct(code)


@dataclass(frozen=True, slots=True)
class Meta:
    """The page 0: the format's version, the root (0 where there is none yet) and its level, and the lowest page that
    is alone on its level, where PostgreSQL begins to search."""

    version: int
    root: int
    level: int
    fast_root: int
    fast_level: int


def damaged(name: str, number: int, why: str) -> NoReturn:
    raise Damaged(
        f"Page {number} of {name} is damaged: {why}.",
        next="read it once more while nothing writes to its table; if it stays so, REINDEX makes the index anew",
    )


def meta_of(data: bytes, layout: Layout) -> Meta:
    """The metapage of an index, from the bytes of page 0. Raises `Damaged`."""
    if len(data) != layout.page_bytes:
        damaged(layout.name, 0, f"it has {len(data):,} bytes")
    magic, version, root, level, fast, fast_level = META.unpack_from(data, SLOTS_AT)
    flags = OPAQUE.unpack_from(data, layout.page_bytes - OPAQUE_BYTES)[3]
    if magic != MAGIC or not flags & IS_META:
        damaged(layout.name, 0, "it is no metapage of a B-tree")
    if not OLDEST <= version <= NEWEST:
        damaged(layout.name, 0, f"it says version {version}, and {OLDEST} to {NEWEST} are known")
    if level > LEVEL_MAX:
        damaged(layout.name, 0, f"it says that the root is on level {level:,}")
    return Meta(version, root, level, fast, fast_level)


def page_of(number: int, data: bytes, layout: Layout) -> Page:
    """The page of a B-tree from its bytes.

    Parameters: its number, its bytes, what the pages of the index have in common. Raises `Damaged` where the bytes are
    no such page.
    """
    if len(data) != layout.page_bytes:
        damaged(layout.name, number, f"it has {len(data):,} bytes")
    if not any(data):
        return Page(number, 0, (), len(data), len(data) - SLOTS_AT - OPAQUE_BYTES, state="free", note="never used")
    lower, upper, special, version = HEADER.unpack_from(data)
    if special != len(data) - OPAQUE_BYTES or version != len(data) | LAYOUT_VERSION:
        damaged(layout.name, number, f"its header is none of a page of {len(data):,} bytes")
    if not SLOTS_AT <= lower <= upper <= special or (lower - SLOTS_AT) % SLOT:
        damaged(layout.name, number, "its free space does not lie between its slots and its entries")
    left, right, level, flags, _ = OPAQUE.unpack_from(data, special)
    if flags & IS_META or ((level == 0) != bool(flags & LEAF) and not flags & DELETED):
        damaged(layout.name, number, f"its flags {flags:#x} do not go with level {level}")
    siblings = left or None, right or None
    if flags & DELETED:
        return Page(number, level, (), len(data), special - SLOTS_AT, None, *siblings, "deleted")
    try:
        return _filled(number, data, layout, (lower, upper, special), siblings, level, flags)
    except (ValueError, ArithmeticError, struct.error) as error:
        damaged(layout.name, number, str(error) or type(error).__name__)


def _filled(
    number: int,
    data: bytes,
    layout: Layout,
    bounds: tuple[int, int, int],
    siblings: tuple[int | None, int | None],
    level: int,
    flags: int,
) -> Page:
    """A page that is part of the tree. Raises ValueError, ArithmeticError or struct.error."""
    lower, upper, special = bounds
    slots = struct.unpack_from(f"<{(lower - SLOTS_AT) // SLOT}I", data, SLOTS_AT)
    for slot in slots:
        at = slot & 0x7FFF
        if at < upper or at & 7 or at + (slot >> 17) > special or slot >> 17 < 8 or not slot & 0x8000:
            raise ValueError("a slot points to no entry")
    high_key: Any = None
    high_tie = None
    if siblings[1] is not None:
        if not slots:
            raise ValueError("it has a right sibling, but no high key")
        high_key, high_tie = _pivot(data, slots[0], layout)
        if high_key is None:
            high_key = NULL
        slots = slots[1:]
    if flags & HALF_DEAD and level == 0:
        note = "all of its rows are gone; it is on its way out of the tree"
        return Page(number, 0, (), len(data), upper - lower, high_key, *siblings, "half-dead", note, high_tie)
    entries = _leaf(data, slots, layout) if level == 0 else _inner(data, slots, layout)
    note = "its split is unfinished: no page above names its right sibling yet" if flags & INCOMPLETE else ""
    state: State = "half-dead" if flags & HALF_DEAD else "live"
    free = upper - lower
    return Page(number, level, tuple(entries), len(data), free, high_key, *siblings, state, note, high_tie)


def _leaf(data: bytes, slots: tuple[int, ...], layout: Layout) -> list[Entry]:
    entries = []
    fixed, columns = layout.fixed, layout.columns
    least = fixed.size if fixed else NO_PAGE
    unpack = fixed.unpack_from if fixed else TUPLE.unpack_from
    cooks = [(place + 4, column.kind.cook) for place, column in enumerate(columns) if column.kind.cook]
    quick = len(columns) == 1 and not cooks
    for slot in slots:
        at, size = slot & 0x7FFF, slot >> 17
        key: Any
        if size >= least:
            fields = unpack(data, at)
            info = fields[3]
            if not info & 0xA000:
                key = fields[4] if quick else _cooked(fields, cooks)
                pointers: tuple[tuple[int, int], ...] = ((fields[0] << 16 | fields[1], fields[2]),)
                entries.append(Entry(key, (size + 7 & ~7) + SLOT, None, pointers, slot & 0x18000 == 0x18000))
                continue
        high, low, offset, info = TUPLE.unpack_from(data, at)
        if info & SIZE > size:
            raise ValueError("an entry is longer than its slot says")
        end = at + (info & SIZE)
        if not info & OTHER_TID:
            pointers = ((high << 16 | low, offset),)
        elif offset & IS_POSTING:
            pointers, end = _posting(data, at, end, high << 16 | low, offset & COUNT)
        else:
            raise ValueError("a pivot stands among the entries of a leaf")
        key = _key(data, at, end, info, columns, len(columns))
        entries.append(Entry(key, (size + 7 & ~7) + SLOT, None, pointers, slot & 0x18000 == 0x18000))
    return entries


def _cooked(fields: tuple[Any, ...], cooks: list[tuple[int, Any]]) -> Any:
    """The key of the fields of an entry, made plain data."""
    if cooks:
        made = list(fields)
        for place, cook in cooks:
            made[place] = cook(made[place])
        return made[4] if len(made) == 5 else tuple(made[4:])
    return fields[4:]


def _posting(data: bytes, at: int, end: int, start: int, count: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """The pointers of a posting list that begins `start` bytes after `at`, and where the values before it end."""
    if start < 8 or at + start + 6 * count > end or count < 2:
        raise ValueError("a posting list is longer than its entry")
    raw = struct.unpack_from(f"<{3 * count}H", data, at + start)
    return tuple((raw[n] << 16 | raw[n + 1], raw[n + 2]) for n in range(0, 3 * count, 3)), at + start


def _inner(data: bytes, slots: tuple[int, ...], layout: Layout) -> list[Entry]:
    entries = []
    for place, slot in enumerate(slots):
        at, size = slot & 0x7FFF, slot >> 17
        high, low, _, _ = TUPLE.unpack_from(data, at)
        key, tie = _pivot(data, slot, layout) if place else (MINUS_INFINITY, None)
        entries.append(Entry(key, (size + 7 & ~7) + SLOT, high << 16 | low, (), slot & 0x18000 == 0x18000, tie))
    if not entries:
        raise ValueError("it is an inner page without an entry")
    return entries


def _pivot(data: bytes, slot: int, layout: Layout) -> tuple[Any, tuple[int, int] | None]:
    """The key and the tie of a high key or of an entry of an inner page; the key has fewer columns where the last were
    cut off."""
    at, size = slot & 0x7FFF, slot >> 17
    _, _, offset, info = TUPLE.unpack_from(data, at)
    if info & SIZE > size:
        raise ValueError("an entry is longer than its slot says")
    count, end, tie = len(layout.columns), at + (info & SIZE), None
    if info & OTHER_TID:
        count = offset & COUNT
        if offset & IS_POSTING or count > len(layout.columns):
            raise ValueError("a pivot has more columns than the index")
        if offset & HAS_TIE:
            end -= 6
            high, low, place = struct.unpack_from("<HHH", data, end)
            tie = (high << 16 | low, place)
    if not count:
        return MINUS_INFINITY, tie
    return _key(data, at, end, info, layout.columns, count), tie


def _key(data: bytes, at: int, end: int, info: int, columns: tuple[Column, ...], count: int) -> Any:
    """The first `count` columns of an entry: the value itself where the index has one column, else a tuple."""
    values: list[Any] = []
    nulls = ~int.from_bytes(data[at + 8 : at + 12], "little") if info & HAS_NULLS else 0
    at += 16 if info & HAS_NULLS else 8
    for place, column in enumerate(columns[:count]):
        if nulls >> place & 1:
            values.append(None)
        else:
            at, value = column.read(data, at, end)
            values.append(value)
    return values[0] if len(columns) == 1 else tuple(values)
