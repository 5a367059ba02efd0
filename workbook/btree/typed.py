"""Keys as a person types them, read as keys of the kind that a tree already has.

    >>> typed("17, 30 4", like=5)
    [17, 30, 4]
    >>> typed("ann, 'van Gogh' 30", like="bob")
    ['ann', 'van Gogh', '30']
    >>> typed("(3, ann) (4, bob)", like=(1, "eve"))
    [(3, 'ann'), (4, 'bob')]
    >>> typed("17 ann", like=None)
    ['17', 'ann']

Where a tree is still empty, keys are whole numbers if all of them can be. NULL is the SQL NULL. Left out: text that begins or ends
with a space, or holds the quote it stands in.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from workbook.errors import Misuse

_TOKEN = re.compile(r"\(([^()]*)\)|'([^']*)'|\"([^\"]*)\"|([^\s,;]+)")
_NAMES = {int: "a whole number", float: "a number", Decimal: "a number", UUID: "a UUID", bytes: "bytes in hexadecimal", date: "a date",
          datetime: "a date and a time", time: "a time", tuple: "a key of several columns, such as (3, ann)"}  # fmt: skip


def typed(text: str, like: Any) -> list[Any]:
    """The keys that are written in `text`, apart by commas or spaces.

    Parameters: the `text`; a key of the tree that they shall be `like`, None where there is none. Raises `Misuse` for what is no such
    key, and where there is nothing.
    """
    tokens = list(_TOKEN.finditer(text))
    if not tokens:
        raise Misuse("No key is written there.", next="write one, or several with commas: 17, 30")
    if like is None:
        try:
            return [_one(token, 0) for token in tokens]
        except Misuse:
            return [_one(token, () if token[1] is not None else "") for token in tokens]
    return [_one(token, like) for token in tokens]


def _one(token: re.Match[str], like: Any) -> Any:
    if token[1] is not None:
        parts = list(_TOKEN.finditer(token[1]))
        if isinstance(like, tuple) and parts:
            kinds = [*like, *(_guess(part[0]) for part in parts[len(like) :])]  # separators may have fewer columns
            return tuple(_one(part, kind) for part, kind in zip(parts, kinds, strict=False))
        raise _no_key(token[0], like)
    if token[2] is not None or token[3] is not None:
        word = token[2] if token[2] is not None else token[3]
        return word if isinstance(like, str) else _read(word, like, token[0])
    return None if token[0] == "NULL" else _read(token[0], like, token[0])


def _guess(word: str) -> Any:
    return 0 if re.fullmatch(r"[+-]?\d+", word) else ""


def _read(word: str, like: Any, shown: str) -> Any:
    try:
        if isinstance(like, bool | str):
            return word
        if isinstance(like, int | float | Decimal | UUID):
            return type(like)(word)
        if isinstance(like, bytes):
            return bytes.fromhex(word.removeprefix("\\x"))
        if isinstance(like, date | time):
            return type(like).fromisoformat(word)
        if isinstance(like, tuple) and like:
            return (_read(word, like[0], shown),)
    except (ValueError, ArithmeticError):
        pass
    raise _no_key(shown, like)


def _no_key(word: str, like: Any) -> Misuse:
    kind = next((name for known, name in _NAMES.items() if type(like) is known), "a key of this tree")
    return Misuse(
        f"{word} is not {kind}, as the keys of this tree are." if like not in ("", 0, ()) else f"{word} is no key."
    )
