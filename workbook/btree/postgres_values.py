"""What PostgreSQL keeps in the columns of an index entry: from bytes to plain data, and how it puts them in order.

    int4     │ 2a 00 00 00 │                                       42
    text     │ 09 │ 61 6e 6e │                                     'ann': 9 is 4 bytes, shifted, and a 1 for "short"
    numeric  │ 0b │ 00 81 │ 0f 00 │                                15.00: a scale of 2, and one digit in base 10,000
    text     │ 16 02 00 00 │ 00 08 00 00 │ 78 78 0f 01 ff ... │     compressed: its size now, its size before, the rest

A value of fixed width stands at a multiple of its alignment. A value of variable width begins with its length: one byte
where that is below 127, else four, and then it is aligned and may be compressed. What is out of Python's range (a date
before year 1, infinity) comes as text. Types that are not named here come as their bytes.

    >>> KINDS["int4"].read(bytes.fromhex("2a000000")), KINDS["numeric"].read(bytes.fromhex("00810f00"))
    (42, Decimal('15.00'))
    >>> varlena(bytes.fromhex("09616e6e"), 0, 4, 4)
    (4, b'ann')

Sources: PostgreSQL 18's src/include/varatt.h, src/include/access/tupmacs.h, src/backend/utils/adt/numeric.c (the
format on disk), src/common/pg_lzcompress.c; the LZ4 project's "LZ4 Block Format Description".
Left out: values that were moved out of line (an index never has them), machines that store the high byte first.
"""

from __future__ import annotations

import datetime as dt
import operator
import struct
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

EPOCH_DAY = dt.date(2000, 1, 1).toordinal()
EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
DAY_US = 86_400_000_000
PADDED_MAX = 1_000
ENDLESS = {"infinity": float("inf"), "-infinity": float("-inf")}


@dataclass(frozen=True, slots=True)
class Kind:
    """One type: `read` makes plain data of a value's bytes (without its length), `take` makes the same of what a
    person passes as a key (raises TypeError or ValueError), `rank` makes something of plain data that compares as the
    type's default operator class does (None where that is not known here). Types of a fixed width also have the `code`
    by which `struct` reads them, and `cook`, which makes plain data of what that gives (None: it is plain already)."""

    name: str
    read: Callable[[bytes], Any]
    take: Callable[[Any], Any]
    rank: Callable[[Any], Any] | None
    code: str = ""
    cook: Callable[[Any], Any] | None = None
    collated: bool = False


def varlena(data: bytes, at: int, end: int, align: int) -> tuple[int, bytes]:
    """The bytes of a value of variable width that begins at `at` or after the padding there, and where it ends.

    Raises ValueError where it does not end by `end`, or is none.
    """
    if at < end and not data[at]:
        at += -at % align
    if at >= end:
        raise ValueError("a value begins behind the end of its entry")
    first = data[at]
    if first & 1:
        stop = at + (first >> 1)
        if first == 1 or stop > end:
            raise ValueError("a value is longer than its entry")
        return stop, data[at + 1 : stop]
    at += -at % align
    if at + 4 > end:
        raise ValueError("a value begins behind the end of its entry")
    header = int.from_bytes(data[at : at + 4], "little")
    stop = at + (header >> 2)
    if stop > end or header >> 2 < 4:
        raise ValueError("a value is longer than its entry")
    if header & 3 == 2:
        return stop, decompressed(data[at + 4 : stop])
    return stop, data[at + 4 : stop]


def decompressed(data: bytes) -> bytes:
    """A compressed value as it was: four bytes of its size and of the method, then pglz's or LZ4's output.

    Raises ValueError where it is damaged.
    """
    if len(data) < 4:
        raise ValueError("a compressed value has no size")
    header = int.from_bytes(data[:4], "little")
    size, method = header & 0x3FFFFFFF, header >> 30
    if method > 1:
        raise ValueError(f"a value is compressed by an unknown method, {method}")
    try:
        out = (_pglz, _lz4)[method](data[4:], size)
    except IndexError:
        raise ValueError("a compressed value is cut off") from None
    if len(out) != size:
        raise ValueError("a compressed value has not its size")
    return bytes(out)


def _pglz(data: bytes, size: int) -> bytearray:
    """Eight items follow a control byte: for a 0 a byte as it is, for a 1 a piece of what is already there."""
    out, at = bytearray(), 0
    while at < len(data) and len(out) < size:
        control = data[at]
        at += 1
        for bit in range(8):
            if at >= len(data) or len(out) >= size:
                break
            if not control >> bit & 1:
                out.append(data[at])
                at += 1
                continue
            length, back = (data[at] & 15) + 3, (data[at] & 240) << 4 | data[at + 1]
            at += 2
            if length == 18:
                length += data[at]
                at += 1
            _repeat(out, back, min(length, size - len(out)))
    return out


def _lz4(data: bytes, size: int) -> bytearray:
    """Sequences of some bytes as they are, and then a piece of what is already there; the last has no such piece."""
    out, at = bytearray(), 0

    def longer(length: int) -> int:
        nonlocal at
        if length == 15:
            while True:
                at += 1
                length += data[at - 1]
                if data[at - 1] != 255:
                    break
        return length

    while at < len(data):
        token = data[at]
        at += 1
        count = longer(token >> 4)
        out += data[at : at + count]
        at += count
        if at >= len(data) or len(out) > size:
            break
        back = data[at] | data[at + 1] << 8
        at += 2
        _repeat(out, back, longer(token & 15) + 4)
    return out


def _repeat(out: bytearray, back: int, length: int) -> None:
    """Append `length` bytes that begin `back` bytes before the end, those just appended included."""
    if not 0 < back <= len(out):
        raise ValueError("a compressed value repeats what is not there")
    piece = out[-back:]
    out += (piece * (length // back + 1))[:length]


def _numeric(raw: bytes) -> Decimal:
    """Sign, scale and weight in two or four bytes, then digits in base 10,000."""
    (head,) = struct.unpack_from("<H", raw)
    if head & 0xC000 == 0xC000:
        return Decimal({0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}.get(head & 0xF000, "NaN"))
    if head & 0x8000:
        negative, scale, at = bool(head & 0x2000), (head & 0x1F80) >> 7, 2
        weight = (head & 0x3F) - (0x40 if head & 0x40 else 0)
    else:
        (weight,) = struct.unpack_from("<h", raw, 2)
        negative, scale, at = bool(head & 0x4000), head & 0x3FFF, 4
    groups = struct.unpack(f"<{(len(raw) - at) // 2}H", raw[at:])
    if any(group > 9999 for group in groups):
        raise ValueError("a number has a digit above 9,999")
    digits, exponent = "".join(f"{group:04}" for group in groups) or "0", 4 * (weight - len(groups) + 1)
    surplus = exponent + scale
    if not groups:
        exponent = -scale
    elif 0 < surplus <= PADDED_MAX:
        digits, exponent = digits + "0" * surplus, -scale
    elif surplus < 0 and not digits[surplus:].strip("0"):
        digits, exponent = digits[:surplus] or "0", -scale
    return Decimal(f"{'-' if negative else ''}{digits}E{exponent}")


def _take_numeric(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise TypeError
    return Decimal(str(value))


def _nan_last(value: Any) -> tuple[bool, Any]:
    """PostgreSQL takes NaN for the largest number, and for equal to itself."""
    return (True, 0) if value != value else (False, value)


def _day(days: int) -> dt.date | str:
    if days in (-(2**31), 2**31 - 1):
        return "infinity" if days > 0 else "-infinity"
    try:
        return dt.date.fromordinal(EPOCH_DAY + days)
    except (ValueError, OverflowError):
        return f"2000-01-01 {days:+} days"


def _days(value: dt.date | str) -> float:
    if isinstance(value, str):
        return ENDLESS[value] if value in ENDLESS else int(value.split()[1])
    return value.toordinal() - EPOCH_DAY


def _take_day(value: Any) -> dt.date | str:
    if isinstance(value, dt.datetime) or not isinstance(value, dt.date | str):
        raise TypeError
    return value if value in ENDLESS or isinstance(value, dt.date) else dt.date.fromisoformat(value)


def _moment(zone: dt.timezone | None) -> Callable[[int], dt.datetime | str]:
    epoch = EPOCH.replace(tzinfo=zone)

    def moment(microseconds: int) -> dt.datetime | str:
        if microseconds in (-(2**63), 2**63 - 1):
            return "infinity" if microseconds > 0 else "-infinity"
        try:
            return epoch + dt.timedelta(microseconds=microseconds)
        except OverflowError:
            return f"2000-01-01 {microseconds:+} microseconds"

    return moment


def _microseconds(value: dt.datetime | str) -> float:
    if isinstance(value, str):
        return ENDLESS[value] if value in ENDLESS else int(value.split()[1])
    return (value - EPOCH.replace(tzinfo=value.tzinfo)) // MICROSECOND


def _take_moment(zone: dt.timezone | None) -> Callable[[Any], dt.datetime | str]:
    def take(value: Any) -> dt.datetime | str:
        if isinstance(value, str):
            value = value if value in ENDLESS else dt.datetime.fromisoformat(value)
        elif isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            value = dt.datetime(value.year, value.month, value.day)
        if isinstance(value, dt.datetime):
            return value.astimezone(zone) if zone and value.tzinfo else value.replace(tzinfo=zone)
        if isinstance(value, str):
            return value
        raise TypeError

    return take


def _time(microseconds: int) -> dt.time | str:
    if not 0 <= microseconds <= DAY_US:
        raise ValueError("a time of day is none")
    if microseconds == DAY_US:
        return "24:00:00"
    return (dt.datetime.min + dt.timedelta(microseconds=microseconds)).time()


def _take_time(value: Any) -> dt.time | str:
    if isinstance(value, str) and value != "24:00:00":
        value = dt.time.fromisoformat(value)
    if not isinstance(value, dt.time | str):
        raise TypeError
    return value


def _uuid(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _take_int(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _take(kind: type) -> Callable[[Any], Any]:
    def take(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return take


def _take_float(value: Any) -> float:
    if isinstance(value, bool | str):
        raise TypeError
    return float(value)


def _text(raw: bytes) -> str:
    return raw.decode()


def _stripped(raw: bytes) -> str:
    return raw.decode().rstrip(" ")


def _same(value: Any) -> Any:
    return value


def _fixed(
    name: str,
    code: str,
    take: Callable[[Any], Any],
    cook: Callable[[Any], Any] | None = None,
    rank: Callable[[Any], Any] | None = _same,
) -> Kind:
    unpack = struct.Struct(f"<{code}").unpack

    def read(raw: bytes) -> Any:
        (value,) = unpack(raw)
        return cook(value) if cook else value

    return Kind(name, read, take, rank, code, cook)


def unknown(name: str) -> Kind:
    """A type whose values are shown as their bytes, and whose order is not known."""
    return Kind(name, bytes, _take(bytes), None)


def enum(name: str, labels: Mapping[int, tuple[str, float]]) -> Kind:
    """An enum, from the oid of each value to its label and its place in the order."""
    places = dict(labels.values())

    def take(value: Any) -> str:
        if value not in places:
            raise ValueError
        return str(value)

    def cook(oid: int) -> str:
        if oid not in labels:
            raise ValueError(f"a value of {name} has the number {oid}, which none has")
        return labels[oid][0]

    return _fixed(name, "I", take, cook, places.__getitem__)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        _fixed("int2", "h", _take_int),
        _fixed("int4", "i", _take_int),
        _fixed("int8", "q", _take_int),
        _fixed("oid", "I", _take_int),
        _fixed("bool", "?", _take(bool)),
        _fixed("float4", "f", _take_float, rank=_nan_last),
        _fixed("float8", "d", _take_float, rank=_nan_last),
        _fixed("uuid", "16s", lambda value: str(uuid.UUID(str(value))), _uuid),
        _fixed("date", "i", _take_day, _day, _days),
        _fixed("time", "q", _take_time, _time, str),
        _fixed("timestamp", "q", _take_moment(None), _moment(None), _microseconds),
        _fixed("timestamptz", "q", _take_moment(dt.UTC), _moment(dt.UTC), _microseconds),
        Kind("text", _text, _take(str), _same, collated=True),
        Kind("varchar", _text, _take(str), _same, collated=True),
        Kind("bpchar", _stripped, lambda value: _take(str)(value).rstrip(" "), _same, collated=True),
        Kind("cstring", _text, _take(str), _same, collated=True),
        Kind("bytea", bytes, _take(bytes), _same),
        Kind("numeric", _numeric, _take_numeric, _nan_last),
    )
}
"""The types that are read here, by their name in pg_type."""
