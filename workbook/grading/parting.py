"""The first place where two pieces of JSON part, in words.

    got     [{"order": 7, "lines": [{"no": 1}]}, {"order": 9, ...}]
    wanted  [{"order": 7, "lines": [{"no": 1}, {"no": 2}]}, ...]
                                               └▶ `[0]["lines"]` ends after 1 of 2: no 2 is the first that is not there

Whoever mends an endpoint wants to know which entry it lost, not that two long texts differ. The entries of a list are
known by the value under their first key; so a list may lack one, repeat one, or hold the right ones in another order,
and each of these points to another mistake. Numbers are compared with their types: 1, 1.0 and True are three things in
JSON as well. A tuple is a list.

    >>> parting([{"order": 7, "lines": [{"no": 1}]}], [{"order": 7, "lines": [{"no": 1}, {"no": 2}]}]).how
    'cut'
    >>> parting([{"order": 9}, {"order": 7}], [{"order": 7}, {"order": 9}]).text
    'it is in another order: order 9 comes too early'
    >>> parting((1, "x", None), [1, "x", None]) is None
    True

Left out: all the further places; with the first one mended, the next check tells the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbook.grading.answer import same


@dataclass(frozen=True)
class Parting:
    """The first place where two answers part: how (`lacks`, `cut`, `repeats`, `more`, `order`, `value`, `larger`,
    `shape`), and in words, without a full stop."""

    how: str
    text: str


def parting(got: Any, wanted: Any, where: str = "") -> Parting | None:
    """The first place where two pieces of JSON part; None where they do not."""
    place = f"`{where}`" if where else "it"
    if isinstance(wanted, list):
        if not isinstance(got, list | tuple):
            return Parting("shape", f"{place} is {type(got).__name__}, no list")
        key = next(iter(wanted[0]), "") if wanted and isinstance(wanted[0], dict) else ""
        names, given = [name_of(entry, key) for entry in wanted], [name_of(entry, key) for entry in got]
        if given != names:
            return _lists_part(given, names, place, key or "entry")
        pairs = ((f"{where}[{n}]", one, other) for n, (one, other) in enumerate(zip(got, wanted, strict=True)))
    elif isinstance(wanted, dict):
        if not isinstance(got, dict) or set(got) != set(wanted):
            keys = ", ".join(map(str, got)) if isinstance(got, dict) else type(got).__name__
            return Parting("shape", f"{place} has {keys[:80]}, not {', '.join(wanted)}")
        pairs = ((f'{where}["{key}"]', got[key], value) for key, value in wanted.items())
    else:
        if same(got, wanted):
            return None
        larger = type(got) is type(wanted) is int and got > wanted
        return Parting("larger" if larger else "value", f"{place} is {got!r:.60}, not {wanted!r:.60}")
    return next((found for path, one, other in pairs if (found := parting(one, other, path))), None)


def name_of(entry: Any, key: str) -> Any:
    """What an entry of a list is known by: its value under the key that comes first in what is wanted, else itself."""
    value = entry.get(key) if isinstance(entry, dict) else entry
    return value if type(value) in (int, str) else repr(_listed(value))


def _listed(value: Any) -> Any:
    """The same with lists for tuples, as JSON has it."""
    if isinstance(value, dict):
        return {key: _listed(inner) for key, inner in value.items()}
    return [_listed(inner) for inner in value] if isinstance(value, list | tuple) else value


def _lists_part(given: list[Any], names: list[Any], place: str, key: str) -> Parting:
    """How two lists of names part that are not the same, told by the first place where they do."""
    at = next(
        (n for n, pair in enumerate(zip(given, names, strict=False)) if pair[0] != pair[1]), min(len(given), len(names))
    )
    here = given[at] if at < len(given) else None
    if not names:
        return Parting("more", f"{place} holds {len(given)} where there is nothing")
    if at == len(given) > 0:
        text = f"{place} ends after {at} of {len(names)}: {key} {names[at]} is the first that is not there"
        return Parting("cut", text)
    if at < len(given) and here not in names:
        return Parting("more", f"{place} holds {key} {here}, which does not belong there")
    if at < len(names) and names[at] not in given:
        return Parting("lacks", f"{place} lacks {key} {names[at]}")
    if given.count(here) > names.count(here):
        return Parting("repeats", f"{place} holds {key} {here} {given.count(here)} times")
    return Parting("order", f"{place} is in another order: {key} {here} comes too early")
