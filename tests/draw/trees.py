"""Trees as the plain data that `Snapshot.data()` gives, of any size, without an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Data = dict[str, Any]
LARGE = {"per_leaf": 367, "fan": 285, "page_bytes": 8192}


def entry(key: object, bytes: int, child: int | None = None, pointers: int = 1, dead: bool = False) -> Data:
    pointers = 0 if child is not None else pointers
    return {"key": str(key), "bytes": bytes, "child": child, "pointers": pointers, "dead": dead}


def page(number: int, level: int, entries: list[Data], bytes: int, high_key: str = "", **other: Any) -> Data:
    used = sum(item["bytes"] for item in entries) + (entries[-1]["bytes"] if high_key and entries else 0)
    made = {
        "number": number, "level": level, "bytes": bytes, "free": max(bytes - 40 - used, 0), "state": "live",
        "high_key": high_key, "left": None, "right": None, "note": "", "entries": entries,
    }  # fmt: skip
    return {**made, **other}


def grown(
    keys: Sequence[object],
    per_leaf: int = 3,
    fan: int = 4,
    page_bytes: int = 128,
    *,
    size: int = 20,
    name: str = "numbers",
    read: Callable[[Data], bool] | None = None,
    more: Iterable[Data] = (),
) -> Data:
    """A tree over keys in order: so many on a leaf, so many children on an inner page; pages are numbered from the left-most
    leaf up. `read` says which pages are known; `more` are pages that belong to no level."""
    pages: list[Data] = []
    groups = [[entry(key, size) for key in keys[at : at + per_leaf]] for at in range(0, len(keys), per_leaf)] or [[]]
    firsts, level = [group[0]["key"] if group else "" for group in groups], 0
    while True:
        first = len(pages) + 1
        for at, group in enumerate(groups):
            last = at + 1 == len(groups)
            sides = {"left": first + at - 1 if at else None, "right": None if last else first + at + 1}
            pages.append(page(first + at, level, group, page_bytes, "" if last else firsts[at + 1], **sides))
        if len(groups) == 1:
            break
        above = [entry(key, size, child=first + at) for at, key in enumerate(firsts)]
        groups = [above[at : at + fan] for at in range(0, len(above), fan)]
        firsts = [group[0]["key"] for group in groups]
        for group in groups:
            group[0] = entry("-∞", 12, child=group[0]["child"])
        level += 1
    known = [*(item for item in pages if read is None or read(item)), *more]
    return {
        "name": name, "engine": "teaching", "root": len(pages), "height": level + 1, "complete": read is None,
        "page_bytes": page_bytes, "header_bytes": 40, "pages": known,
    }  # fmt: skip


def path(data: Data, leaf: int) -> list[int]:
    """The numbers of the pages from the root to a leaf."""
    above = {entry["child"]: page["number"] for page in data["pages"] for entry in page["entries"] if entry["child"]}
    found = [leaf]
    while found[0] in above:
        found.insert(0, above[found[0]])
    return found
