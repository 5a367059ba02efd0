"""A record of SQLite: a row, or the key of an index, as bytes; and the order of keys.

    │ 04 │ 01 │ 13 │ 00 │ 2a │ 61 6e 6e │
      │    │    │    │    │    └ 'ann': the type 19 is text of (19 - 13) / 2 bytes
      │    │    │    │    └ 42: the type 1 is an integer of one byte
      │    │    │    └ NULL takes no bytes at all
      └ the head has 4 bytes, this one included; its integers have as many bytes as they need (varint)

Types belong to values, not to columns. Keys compare by class first: NULL, then numbers, then text, then bytes; text by
the collation of its column, of which SQLite itself knows three.

    >>> values(bytes.fromhex("040113002a616e6e"))
    [42, 'ann', None]
    >>> varint(bytes.fromhex("8100"), 0)
    (128, 2)
    >>> rank(None) < rank(-5) < rank(2.5) < rank("Ann", "NOCASE") < rank("bob", "NOCASE") < rank(b"")
    True

Source: SQLite's "Database File Format", sections 1.6 and 2; "Datatypes In SQLite", section 4.
Left out: text that is none in the database's encoding (it is shown with replacement marks).
"""

from __future__ import annotations

import struct
from typing import Any

ENCODINGS = {1: "utf-8", 2: "utf-16-le", 3: "utf-16-be"}
COLLATIONS = ("BINARY", "NOCASE", "RTRIM")
FLOAT, ZERO, FIRST_BLOB = 7, 8, 12
FIXED_BYTES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, FLOAT: 8, ZERO: 0, ZERO + 1: 0}
LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The integer of one to nine bytes that begins at `at`, not negative, and where it ends. Raises IndexError where
    the bytes end before."""
    value = 0
    for place in range(at, at + 8):
        byte = data[place]
        value = value << 7 | byte & 127
        if byte < 128:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9


def signed(value: int) -> int:
    """A varint of 64 bits as a rowid: the upper half is negative."""
    return value - (1 << 64) if value >> 63 else value


def values(payload: bytes, encoding: str = "utf-8") -> list[Any]:
    """The values of a record: int, float, str, bytes or None. Raises ValueError where it is none."""
    out: list[Any] = []
    total = len(payload)
    try:
        end, at = (payload[0], 1) if payload[0] < 128 else varint(payload, 0)
        body = end
        while at < end:
            kind = payload[at]
            at += 1
            if kind > 127:
                kind, at = varint(payload, at - 1)
            stop = body + (FIXED_BYTES[kind] if kind < FIRST_BLOB else (kind - FIRST_BLOB) // 2)
            if stop > total:
                raise ValueError("a value is longer than its record")
            raw = payload[body:stop]
            body = stop
            if kind >= FIRST_BLOB:
                out.append(raw.decode(encoding, errors="replace") if kind & 1 else raw)
            elif kind < FLOAT:
                out.append(int.from_bytes(raw, "big", signed=True) if kind else None)
            else:
                out.append(struct.unpack(">d", raw)[0] if kind == FLOAT else kind - ZERO)
    except KeyError as error:
        raise ValueError(f"a value has the type {error}, which none has") from None
    except IndexError:
        raise ValueError("a record ends within its head") from None
    if at != end:
        raise ValueError("the head of a record has not the length that it says")
    return out


def rank(value: Any, collation: str = "BINARY", encoding: str = "utf-8") -> tuple[int, Any]:
    """What compares as SQLite compares the value. Raises TypeError for what is no value of SQLite."""
    if value is None:
        return 0, 0
    if isinstance(value, int | float):
        return 1, value
    if isinstance(value, str):
        if collation == "NOCASE":
            return 2, value.translate(LOWER).encode(errors="replace")
        if collation == "RTRIM":
            return 2, value.rstrip(" ").encode(errors="replace")
        return 2, value.encode(encoding, errors="replace")
    if isinstance(value, bytes):
        return 3, value
    raise TypeError
