"""How many bytes an entry takes on a page, from the types of its key.

    bigint              │ pointer 6 │ size, flags 2 │ value 8 │                          16, and a slot of 4: 20
    uuid                │ pointer 6 │ size, flags 2 │ value 16        │                  24, and a slot of 4: 28
    (bigint, int4)      │ pointer 6 │ size, flags 2 │ value 8 │ 4 │ to a multiple of 8 │ 24, and a slot of 4: 28
    text of 20 bytes    │ pointer 6 │ size, flags 2 │ 1 │ 20           │ 3 to spare │    32, and a slot of 4: 36

Each value begins at a multiple of its alignment, the whole entry is rounded up to a multiple of 8. So an int4 takes as
much as a bigint where it stands alone. A text up to 126 bytes has a header of one byte and no alignment, a longer one
a header of four bytes, aligned to 4. A NULL takes no value but a bitmap of 8 bytes.

    >>> [entry_bytes(columns_of(key)) for key in ("int4", "bigint", "uuid", "text(20)", ("bigint", "int4"))]
    [16, 16, 24, 32, 24]
    >>> entry_bytes(columns_of(("bigint", "text(127)"))), NULL_ENTRY_BYTES
    (152, 16)
    >>> columns_of("text")
    Traceback (most recent call last):
    workbook.errors.Misuse: How many bytes has the text of the key? Next: write text(20) for 20 bytes.

Sources: PostgreSQL's src/include/access/itup.h, src/include/varatt.h, and the manual's "Data Types". Left out: the
compression of values of more than half a kilobyte, and numbers of type numeric (count their bytes, and write bytea(6)).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from workbook.btree.keys import ENTRY_HEADER_BYTES, NULL_BITMAP_BYTES, SHORT_TEXT_BYTES_MAX, aligned
from workbook.errors import Misuse

FIXED_BYTES: Final = {
    **dict.fromkeys(("boolean", "bool"), (1, 1)),
    **dict.fromkeys(("smallint", "int2"), (2, 2)),
    **dict.fromkeys(("integer", "int", "int4", "serial", "date", "real", "float4"), (4, 4)),
    **dict.fromkeys(("bigint", "int8", "bigserial", "timestamp", "timestamptz", "float8", "double precision"), (8, 8)),
    "uuid": (16, 1),
}
"""Types of a fixed width: bytes and alignment."""
VARIABLE: Final = ("text", "varchar", "char", "bytea", "citext")
NULL_ENTRY_BYTES: Final = ENTRY_HEADER_BYTES + NULL_BITMAP_BYTES
WRITTEN = re.compile(r"([a-z][a-z0-9 ]*?)\s*(?:\((\d+)\))?")


@dataclass(frozen=True, slots=True)
class Width:
    """A column of a key: its name, its bytes (of the value alone), its alignment, and whether a header stands before
    it."""

    name: str
    bytes: int
    align: int
    header: bool = False

    def after(self, at: int) -> int:
        """Where the value ends that begins at `at` or, aligned, after it."""
        if not self.header:
            return at + -at % self.align + self.bytes
        if self.bytes <= SHORT_TEXT_BYTES_MAX:
            return at + 1 + self.bytes
        return at + -at % 4 + 4 + self.bytes


def columns_of(key: str | tuple[str, ...]) -> tuple[Width, ...]:
    """The columns of a key: the name of a type, or a tuple of them. Raises `Misuse` for a type that is not known."""
    names = (key,) if isinstance(key, str) else key
    if not isinstance(names, (tuple, list)) or not names or not all(isinstance(name, str) for name in names):
        raise Misuse(f"{key!r} is no key.", next='write "bigint", "text(20)", or a tuple such as ("bigint", "uuid")')
    return tuple(_column(name) for name in names)


def _column(written: str) -> Width:
    match = WRITTEN.fullmatch(written.strip().lower())
    name, size = (match[1], match[2]) if match else ("", None)
    if name in FIXED_BYTES and size is None:
        return Width(name, *FIXED_BYTES[name])
    if name in VARIABLE and size is None:
        raise Misuse(f"How many bytes has the {name} of the key?", next=f"write {name}(20) for 20 bytes")
    if name in VARIABLE and size is not None:
        return Width(f"{name}({int(size)})", int(size), 1, header=True)
    if name in FIXED_BYTES:
        raise Misuse(f"The type {name} has a width of its own.", tried=written, next=f"write {name}")
    known = ", ".join([*FIXED_BYTES, *(f"{each}(n)" for each in VARIABLE)])
    raise Misuse(f"The type {written!r} is not known here.", next=f"write one of {known}; bytea(n) has any n bytes")


def entry_bytes(columns: tuple[Width, ...]) -> int:
    """Bytes of an entry with these columns, its slot left out."""
    at = ENTRY_HEADER_BYTES
    for column in columns:
        at = column.after(at)
    return aligned(at)
