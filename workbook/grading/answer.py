"""An answer, as it crosses to a judge: plain data with exact types, or a function that is called back by value.

    learner's process                               judge
    ("a", 1.5) ── encode ──▶ ["t",[["s","a"],["x","0x1.8p+0"]]] ──▶ decode ──▶ ("a", 1.5)
    def f(x)   ── encode ──▶ ["f",0,"f"]                         ──▶ decode ──▶ Function: its calls go back

Nothing but JSON crosses, never a pickle. Types are compared exactly: an object that equals everything, or a `str` with
an `__eq__` of its own, is no plain data and is refused with the place where it stands. A `Schedule` crosses as its
text, which says all of it. Two numbers that Python finds
equal stay apart: `1`, `1.0` and `True` arrive as what they were; so do integers of any size, nan and infinities.
A `range` is what people write for a list of numbers: it arrives as that list.

    >>> decode(encode((1, 1.0, True, "x", {"k": [None, b"z"]})))
    (1, 1.0, True, 'x', {'k': [None, b'z']})
    >>> decode(encode(range(3, 0, -1)))
    [3, 2, 1]
    >>> class Equal(str):
    ...     def __eq__(self, other): return True
    >>> encode([1, Equal("x")])
    Traceback (most recent call last):
    workbook.grading.answer.NotPlain: answer[1] is an object of the type Equal, which is no plain data. ...

A `Function` is called under a deadline, with a copy of its arguments, and gives back a copy of its result; when it
raises, the judge sees `FunctionFailed` with the line of the learner's code. Left out: cycles (refused by depth) and
classes of the learner's own.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import math
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from workbook.errors import WorkbookError

DEPTH_MAX = 60
ITEMS_MAX = 200_000
LINE_MAX = 16 * 1024 * 1024
CALL_DEADLINE_S = 2.0

Wire = Any
"""What `json` takes: lists and strings only, so that no JSON library has a choice."""


class NotPlain(WorkbookError):
    """An answer, an argument or a result that cannot cross."""

    @property
    def sentence(self) -> str:
        """What is wrong with it, and what to do."""
        return f"{self.what} {self.next[:1].upper()}{self.next[1:]}." if self.next else self.what


class FunctionFailed(WorkbookError):
    """A learner's function raised, ran too long, or gave back something that is no plain data.

    `line` is the line of the learner's code, '' where it is not known; `state` is `error`, `timed out`, `crashed` or
    `out of memory`."""

    def __init__(self, what: str, *, line: str = "", state: str = "error") -> None:
        self.line, self.state = line, state
        super().__init__(what)


class Caller(Protocol):
    """Whoever can run a learner's function: this process, or a channel to the learner's. All raise `FunctionFailed`."""

    def call(self, function: Any, args: tuple[Any, ...], named: dict[str, Any], deadline_s: float) -> Any:
        """A copy of what the function returns."""

    def start(self, function: Any, args: tuple[Any, ...], named: dict[str, Any], deadline_s: float) -> Any:
        """What `resume` knows the generator by that the function gives back."""

    def resume(self, generator: Any, how: str, value: Any, deadline_s: float) -> tuple[bool, Any]:
        """Go on with a generator: `send` it a value, `throw` in it an exception by its name and text, or `close` it; whether
        it has ended, and what it yielded or returned."""


class Function:
    """A learner's function as a judge sees it: call it with plain data, get plain data back.

    `f(3, key="x")` calls it; `f.steps(3)` starts a generator function, whose requests a driver performs. Each call
    has a deadline of `deadline_s` seconds. Raises `FunctionFailed`; a judge need not catch it, it becomes a finding.
    """

    def __init__(self, caller: Caller, function: Any, name: str, deadline_s: float = CALL_DEADLINE_S) -> None:
        self._caller, self._function, self.name, self.deadline_s = caller, function, name, deadline_s

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._caller.call(self._function, args, named, self.deadline_s)

    def steps(self, *args: Any, **named: Any) -> Steps:
        """Start it as a generator function."""
        return Steps(self._caller, self._caller.start(self._function, args, named, self.deadline_s), self.deadline_s)

    def __repr__(self) -> str:
        return f"<function {self.name}>"


class Steps:
    """A started generator of a learner.

    `send(None)` gives its first request. `send` and `throw` return `(done, value)`: a request, or with `done` what the
    generator returned. All three raise `FunctionFailed`.
    """

    def __init__(self, caller: Caller, generator: Any, deadline_s: float) -> None:
        self._caller, self._generator, self._deadline_s = caller, generator, deadline_s

    def send(self, value: Any) -> tuple[bool, Any]:
        """Answer its last request with a value."""
        return self._caller.resume(self._generator, "send", value, self._deadline_s)

    def throw(self, name: str, text: str = "") -> tuple[bool, Any]:
        """Answer its last request with an exception, by the name of a builtin one (`TimeoutError`)."""
        return self._caller.resume(self._generator, "throw", (name, text), self._deadline_s)

    def close(self) -> None:
        """End it where it stands; its `finally` blocks run."""
        self._caller.resume(self._generator, "close", None, self._deadline_s)


class _Count:
    """How much has been seen of one value, so that a vast one is refused before it fills the memory."""

    def __init__(self) -> None:
        self.items = 0

    def more(self, where: str, depth: int) -> None:
        self.items += 1
        if self.items > ITEMS_MAX:
            raise NotPlain(f"The answer has more than {ITEMS_MAX:,} parts.", next="hand in less")
        if depth > DEPTH_MAX:
            raise NotPlain(f"{where[:80]} is nested more than {DEPTH_MAX} deep, or contains itself.")


def encode(value: Any, keep: Callable[[Any], int] | None = None, where: str = "answer") -> Wire:
    """A value as JSON-able lists. `keep` stores a function and gives its number; without it none may occur."""
    return _encode(value, keep, where, _Count(), 0)


def _encode(value: Any, keep: Callable[[Any], int] | None, where: str, count: _Count, depth: int) -> Wire:
    count.more(where, depth)
    kind = type(value)
    if kind in _SCALARS:
        return _SCALARS[kind](value)
    if kind is dict:
        pairs = []
        for key, item in value.items():
            wire_key = _encode(key, keep, f"a key of {where}", count, depth + 1)
            pairs.append([wire_key, _encode(item, keep, f"{where}[{_short(key)}]", count, depth + 1)])
        return ["d", pairs]
    if kind in _SERIES:
        items = [_encode(item, keep, f"{where}[{number}]", count, depth + 1) for number, item in enumerate(value)]
        return [_SERIES[kind], sorted(items, key=repr) if kind in (set, frozenset) else items]
    if f"{kind.__module__}.{kind.__qualname__}" == "workbook.schedules.schedule.Schedule":
        return _SCALARS[str](str(value))
    if keep is not None and callable(value) and not isinstance(value, type):
        name = value.name if kind is Function else getattr(value, "__name__", kind.__name__)
        return ["f", keep(value), str(name)[:80]]
    raise NotPlain(
        f"{where} is an object of the type {kind.__name__}, which is no plain data.", next=_advice(value, kind)
    )


def line(message: Any) -> str:
    """A line of JSON. Raises `NotPlain` for one that is too long to cross."""
    text = json.dumps(message)
    if len(text) >= LINE_MAX:
        raise NotPlain(f"The answer is longer than {LINE_MAX // 1024 // 1024} MB.", next="hand in less")
    return text


def _advice(value: Any, kind: type) -> str:
    module = kind.__module__.partition(".")[0]
    if module in ("numpy", "pandas"):
        return "turn it into plain data, with int(...), float(...) or .tolist()"
    for plain in (bool, int, float, str, bytes, list, tuple, dict):
        if isinstance(value, plain):
            return f"hand in a plain {plain.__name__}: {plain.__name__}(...)"
    return "hand in numbers, text, lists, tuples, dicts, or a function where one is asked for"


def _short(key: Any) -> str:
    return repr(key)[:30] if type(key) in (str, int) else "..."


def _whole(text: str) -> str:
    """The text, where it is made of whole characters: half a surrogate pair can be stored and sent nowhere."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotPlain("The answer holds half a character (a lone surrogate).", next="type that text again") from None
    return text


_SCALARS: dict[type, Callable[[Any], Wire]] = {
    type(None): lambda value: ["n"],
    type(...): lambda value: ["e"],
    bool: lambda value: ["b", "1" if value else "0"],
    int: lambda value: ["i", format(value, "x")],
    float: lambda value: ["x", value.hex()],
    str: lambda value: ["s", _whole(value)],
    bytes: lambda value: ["y", base64.b64encode(value).decode()],
    decimal.Decimal: lambda value: ["D", str(value)],
    dt.date: lambda value: ["da", value.isoformat()],
    dt.time: lambda value: ["ti", value.isoformat()],
    dt.datetime: lambda value: ["dt", value.isoformat()],
    dt.timedelta: lambda value: ["td", f"{value.days} {value.seconds} {value.microseconds}"],
    uuid.UUID: lambda value: ["u", str(value)],
}
_SERIES: dict[type, str] = {list: "l", range: "l", tuple: "t", set: "S", frozenset: "F"}


def decode(wire: Wire, function: Callable[[int, str], Any] | None = None) -> Any:
    """The value that was encoded. `function` makes something callable of a number and a name; else none may occur.

    What arrives was written by a process that is not trusted: whatever is not as `encode` writes it raises `NotPlain`.
    """
    try:
        return _decode(wire, function, _Count(), 0)
    except NotPlain:
        raise
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RecursionError) as error:
        raise NotPlain("What arrived is no answer.", tried=f"{type(error).__name__}: {error}"[:200]) from None


def _decode(wire: Wire, function: Callable[[int, str], Any] | None, count: _Count, depth: int) -> Any:
    count.more("answer", depth)
    if type(wire) is not list or not wire or type(wire[0]) is not str:
        raise NotPlain("What arrived is no answer.", tried=type(wire).__name__)
    tag, rest = wire[0], wire[1:]
    if tag in _READERS:
        (text,) = rest
        if type(text) is not str:
            raise NotPlain("What arrived is no answer.", tried=f"{tag} with {type(text).__name__}")
        return _READERS[tag](text)
    if tag in ("n", "e"):
        () = rest
        return None if tag == "n" else ...
    if tag == "f" and function is not None:
        number, name = rest
        if type(number) is not int or type(name) is not str:
            raise NotPlain("What arrived is no function.")
        return function(number, name)
    (items,) = rest
    if type(items) is not list:
        raise NotPlain("What arrived is no answer.", tried=f"{tag} with {type(items).__name__}")
    if tag == "d":
        return {
            _decode(key, function, count, depth + 1): _decode(item, function, count, depth + 1) for key, item in items
        }
    return _MAKERS[tag](_decode(item, function, count, depth + 1) for item in items)


def _timedelta(text: str) -> dt.timedelta:
    days, seconds, microseconds = (int(part) for part in text.split(" "))
    return dt.timedelta(days, seconds, microseconds)


_READERS: dict[str, Callable[[str], Any]] = {
    "b": lambda text: {"1": True, "0": False}[text],
    "i": lambda text: int(text, 16),
    "x": lambda text: float.fromhex(text),
    "s": lambda text: _whole(text),
    "y": lambda text: base64.b64decode(text, validate=True),
    "D": decimal.Decimal,
    "da": dt.date.fromisoformat,
    "ti": dt.time.fromisoformat,
    "dt": dt.datetime.fromisoformat,
    "td": _timedelta,
    "u": uuid.UUID,
}
_MAKERS: dict[str, Callable[[Any], Any]] = {"l": list, "t": tuple, "S": set, "F": frozenset}


def same(left: Any, right: Any) -> bool:
    """Whether two plain values are equal in value and in type, at every depth; nan equals nan.

    >>> same([1, (2.0,)], [1, (2.0,)]), same(1, True), same(1, 1.0), same(math.nan, math.nan)
    (True, False, False, True)
    """
    try:
        return bool(_settled(encode(left)) == _settled(encode(right)))
    except NotPlain:
        return False


def _settled(wire: Wire) -> Wire:
    """The same with the pairs of each dict in one order, since dicts are equal in any."""
    if type(wire) is not list:
        return wire
    if wire and wire[0] == "d":
        return ["d", sorted(([_settled(key), _settled(item)] for key, item in wire[1]), key=repr)]
    return [_settled(part) for part in wire]


def is_number(value: Any) -> bool:
    """Whether it is a plain, finite number, and no bool."""
    return type(value) is int or (type(value) is float and math.isfinite(value))
