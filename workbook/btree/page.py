"""What a B+tree is made of, as values: entries on pages, pages in a snapshot, and the events that led there.

The teaching tree, PostgreSQL's pages and SQLite's pages all become this one value, so that one drawing, one text and
one set of exercises serve all three.

                      ┌───────────────────────┐
    level 1  (root)   │ -∞ → 1 │ 30 → 2       │   an inner entry: a key, and the page whose keys are not below it
                      └───┬─────────┬─────────┘
                 ┌────────┘         └────────┐
           ┌─────▼───────────┐   ┌───────────▼─────┐
    level 0│ 10 │ 20 │       │◀─▶│ 30 │ 40 │ 50    │   a leaf entry: a key, and pointers to its rows
           └─────────────────┘   └─────────────────┘
             high key 30           no high key: the right-most page of its level

    >>> left = Page(1, 0, (Entry(10, 20, pointers=((7, 0),)), Entry(20, 20, pointers=((8, 0),))), 128, 28, 30, None, 2)
    >>> right = Page(2, 0, (Entry(30, 20, pointers=((9, 0),)),), 128, 68, None, 1, None)
    >>> root = Page(3, 1, (Entry(MINUS_INFINITY, 12, child=1), Entry(30, 20, child=2)), 128, 56)
    >>> print(Snapshot("numbers", "teaching", 3, 2, {1: left, 2: right, 3: root}, True, 128))
    numbers (teaching tree): 2 levels, 3 pages of 128 bytes, 3 rows, leaves 45.5 % full
    level 1 (root): 1 page
      page 3: 2 entries, 36 % full: -∞ → 1, 30 → 2
    level 0 (leaves): 2 pages
      page 1: 2 entries, 68 % full: 10, 20; high key 30; right 2
      page 2: 1 entry, 23 % full: 30; left 1

Sources: PostgreSQL's src/include/access/nbtree.h and src/backend/access/nbtree/README; SQLite's "Database File Format".
Left out: the bytes themselves (`postgres` and `sqlite` decode them), the algorithms (`tree`), the picture
(`draw.tree`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

Engine = Literal["teaching", "postgresql", "sqlite"]
State = Literal["live", "half-dead", "deleted", "free"]
EventKind = Literal[
    "read",
    "compare",
    "descend",
    "insert",
    "split",
    "new-root",
    "move-right",
    "delete",
    "unlink",
    "write",
    "evict",
    "hit",
    "merge",
    "found",
]

HEADER_BYTES: Final[Mapping[str, int]] = {"teaching": 40, "postgresql": 40, "sqlite": 8}
"""Bytes of a leaf page that no entry can have: page header 24 and special space 16; SQLite's leaf header 8."""
_ENGINES: Final = {"teaching": "teaching tree", "postgresql": "PostgreSQL", "sqlite": "SQLite"}
_SHOWN_CHARS = 24
_SHOWN_ENTRIES, _SHOWN_PAGES = 6, 8


class _Bound:
    """A key that is no value: it stands below or above all values, prints as its sign, and survives copying."""

    __slots__ = ("_name", "_rank", "_sign")

    def __init__(self, name: str, sign: str, rank: int) -> None:
        self._name, self._sign, self._rank = name, sign, rank

    def __repr__(self) -> str:
        return self._sign

    def __reduce__(self) -> str:
        return self._name

    def __lt__(self, other: object) -> bool:
        return self._rank < (other._rank if isinstance(other, _Bound) else 0)

    def __le__(self, other: object) -> bool:
        return other is self or self < other

    def __gt__(self, other: object) -> bool:
        return not self <= other

    def __ge__(self, other: object) -> bool:
        return not self < other


MINUS_INFINITY: Final = _Bound("MINUS_INFINITY", "-∞", -1)
"""The key of the first entry of an inner page: nothing is below it, so nothing needs to be stored."""
NULL: Final = _Bound("NULL", "NULL", 1)
"""Above all values. As a page's `high_key`: the bound is itself an SQL NULL (None says that there is no bound)."""
PLUS_INFINITY: Final = _Bound("PLUS_INFINITY", "+∞", 2)
"""Above all values and NULL: stands in no page, closes a range."""


def is_bound(key: Any) -> bool:
    """Whether a key is one of the three above, and no value."""
    return isinstance(key, _Bound)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a page.

    Parameters: `key` as plain data (int, str, bytes, None for NULL, a tuple for several columns; a tuple shorter than
    the columns was truncated, and what is missing counts as -∞; `MINUS_INFINITY` for the first entry of an inner
    page); `bytes` that it takes on the page, its slot of the line-pointer array included; `child`, on an inner page,
    the number of the page below; `pointers` to rows as (block, offset), several for a posting list (SQLite: (rowid,
    0); the teaching tree: (value, 0)); `dead` where the engine has marked it as of no use; `tie`, on an inner page,
    the pointer that tells equal keys apart, kept only where a split went through duplicates.
    """

    key: Any
    bytes: int
    child: int | None = None
    pointers: tuple[tuple[int, int], ...] = ()
    dead: bool = False
    tie: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a tree.

    Parameters: its `number` in the file; its `level`, 0 for a leaf; its `entries` in key order (the high key is none
    of them); the `bytes` of the page and those that are `free`; the `high_key`, an upper bound of all keys here and
    below (None on the right-most page of a level; `NULL` where the bound is an SQL NULL) with its `high_tie` as
    `Entry.tie`; the numbers of the `left` and `right` siblings (None where there is none, and for SQLite, which keeps
    none); `state`; a `note` such as "overflow page of 7".
    """

    number: int
    level: int
    entries: tuple[Entry, ...]
    bytes: int
    free: int
    high_key: Any = None
    left: int | None = None
    right: int | None = None
    state: State = "live"
    note: str = ""
    high_tie: tuple[int, int] | None = None

    @property
    def is_leaf(self) -> bool:
        return self.level == 0

    @property
    def rows(self) -> int:
        """Pointers to rows that stand on this page."""
        return sum(len(entry.pointers) for entry in self.entries)

    @property
    def children(self) -> tuple[int, ...]:
        """The numbers of the pages below, from left to right; none on a leaf."""
        return tuple(entry.child for entry in self.entries if entry.child is not None)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in the teaching tree.

    Parameters: `kind`; the `page` it happened on and the `slot` (the place of the entry, from 0) where one is meant;
    `text`, one sentence; `other`, a second page that is part of it (the child descended to, the sibling moved to, the
    new page of a split, the page that a new root stands on).
    """

    kind: EventKind
    page: int
    slot: int | None = None
    text: str = ""
    other: int | None = None

    def __str__(self) -> str:
        return self.text or f"{self.kind} page {self.page}"


@dataclass(frozen=True)
class Snapshot:
    """What is known of a tree at one moment.

    Parameters: its `name`; the `engine`; the number of the `root` page; the `height` in levels (a lone root is 1); the
    `pages` that are known, by number; whether that is `complete`; the size of a page in bytes; the names of the
    `key_columns` where there are any.
    """

    name: str
    engine: Engine
    root: int
    height: int
    pages: Mapping[int, Page]
    complete: bool
    page_bytes: int
    key_columns: tuple[str, ...] = ()

    def level(self, number: int) -> list[Page]:
        """The pages of a level in key order, half-dead ones included; 0 is the leaves.

        The order is that of the entries above; a page that no entry names yet follows its left sibling.
        """
        known = {
            page.number: page
            for page in self.pages.values()
            if page.level == number and page.state in ("live", "half-dead")
        }
        named: dict[int, None] = {}
        if number + 1 < self.height:
            named = dict.fromkeys(child for above in self.level(number + 1) for child in above.children)
        placed: dict[int, Page] = {}
        for start in (*named, *sorted(known)):
            here = known.get(start)
            while here is not None and here.number not in placed:
                placed[here.number] = here
                here = None if here.right is None or here.right in named else known.get(here.right)
        return list(placed.values())

    @cached_property
    def _leaves(self) -> tuple[Page, ...]:
        return tuple(self.level(0))

    def leaves(self) -> list[Page]:
        """The leaf pages in key order."""
        return list(self._leaves)

    @cached_property
    def counts(self) -> dict[int, int]:
        """Known pages by level, from the root down; pages that are out of use are left out."""
        return {number: len(self.level(number)) for number in range(self.height - 1, -1, -1)}

    @cached_property
    def rows(self) -> int:
        """Pointers to rows, dead ones included. SQLite keeps some on inner pages, the others on leaves alone."""
        return sum(page.rows for page in self.pages.values() if page.state == "live")

    @cached_property
    def dead_rows(self) -> int:
        """Pointers to rows of entries that the engine has marked as dead."""
        live = (page for page in self.pages.values() if page.state == "live")
        return sum(len(entry.pointers) for page in live for entry in page.entries if entry.dead)

    @property
    def density(self) -> float:
        """Share of the bytes of leaf pages that is used, from 0 to 1: pgstatindex's `avg_leaf_density` / 100.

        Page headers count neither as used nor as free. 0 where no leaf is known.
        """
        leaves = [page for page in self._leaves if page.state == "live"]
        room = sum(page.bytes - HEADER_BYTES[self.engine] for page in leaves)
        return 1 - sum(page.free for page in leaves) / room if room else 0.0

    @property
    def fragmentation(self) -> float:
        """Share of the leaf pages whose right sibling stands before them in the file: `leaf_fragmentation` / 100."""
        leaves = [page for page in self._leaves if page.state == "live"]
        back = sum(1 for page in leaves if page.right is not None and page.right < page.number)
        return back / len(leaves) if leaves else 0.0

    def data(self) -> dict[str, Any]:
        """Plain data, as JSON takes it; keys and high keys as text ('' for no high key), pointers as their number."""
        return {
            "name": self.name,
            "engine": self.engine,
            "root": self.root,
            "height": self.height,
            "complete": self.complete,
            "page_bytes": self.page_bytes,
            "header_bytes": HEADER_BYTES[self.engine],
            "pages": [_page_data(self.pages[number]) for number in sorted(self.pages)],
        }

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from workbook.btree.picture import picture  # drawn only where somebody looks

        return {"image/svg+xml": picture(self).svg, "text/plain": str(self)}

    def __str__(self) -> str:
        lines = [self._headline()]
        for number in range(self.height - 1, -1, -1):
            pages = self.level(number)
            role = " (root)" if number == self.height - 1 else " (leaves)" if number == 0 else ""
            lines.append(f"level {number}{role}: {_count(len(pages), 'page')}{'' if self.complete else ' known'}")
            lines += _elided([f"  {_line(page, self.engine)}" for page in pages], _SHOWN_PAGES, "pages", indent="  ")
        unused = [page for page in self.pages.values() if page.state in ("deleted", "free")]
        if unused:
            shown = [str(page.number) for page in sorted(unused, key=lambda page: page.number)]
            lines.append(f"out of use: {_count(len(unused), 'page')}: {', '.join(_elided(shown, 12, ''))}")
        return "\n".join(lines)

    __repr__ = __str__

    def _headline(self) -> str:
        size = f"{_count(self.height, 'level')}, {_count(len(self.pages), 'page')} of {self.page_bytes:,} bytes"
        if not self.complete:
            return f"{self.name} ({_ENGINES[self.engine]}): {size} known, not all of it was read"
        full = f"leaves {self.density:.1%}".replace("%", " %") + " full"
        return f"{self.name} ({_ENGINES[self.engine]}): {size}, {_count(self.rows, 'row')}, {full}"


def shown(key: Any, tie: tuple[int, int] | None = None) -> str:
    """A key as text, cut where it is long.

    >>> shown(17), shown("ann"), shown(None), shown((3, "x")), shown(b"\\x01\\xff"), shown(5, (12, 3))
    ('17', 'ann', 'NULL', '(3, x)', '\\\\x01ff', '5 @(12, 3)')
    """
    if key is None:
        text = "NULL"
    elif isinstance(key, bytes):
        text = "\\x" + key.hex()
    elif isinstance(key, tuple):
        return "(" + ", ".join(shown(part) for part in key) + ")" + (f" @{tie}" if tie else "")
    else:
        text = str(key)
    text = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
    return f"{text} @{tie}" if tie else text


def _page_data(page: Page) -> dict[str, Any]:
    return {
        "number": page.number,
        "level": page.level,
        "bytes": page.bytes,
        "free": page.free,
        "state": page.state,
        "high_key": "" if page.high_key is None else shown(page.high_key, page.high_tie),
        "left": page.left,
        "right": page.right,
        "entries": [
            {
                "key": shown(entry.key, entry.tie),
                "bytes": entry.bytes,
                "child": entry.child,
                "pointers": len(entry.pointers),
                "dead": entry.dead,
            }
            for entry in page.entries
        ],
        "note": page.note,
    }


def _line(page: Page, engine: str) -> str:
    room = page.bytes - HEADER_BYTES[engine]
    full = round(100 * (room - page.free) / room)
    parts = [f"page {page.number}: {_count(len(page.entries), 'entry', 'entries')}, {full} % full"]
    if page.entries:
        parts[0] += ": " + ", ".join(_elided([_entry(entry) for entry in page.entries], _SHOWN_ENTRIES, ""))
    if page.high_key is not None:
        parts.append(f"high key {shown(page.high_key, page.high_tie)}")
    parts += [f"{side} {number}" for side, number in (("left", page.left), ("right", page.right)) if number is not None]
    parts += [text for text in ("" if page.state == "live" else page.state, page.note) if text]
    return "; ".join(parts)


def _entry(entry: Entry) -> str:
    text = shown(entry.key, entry.tie)
    if entry.child is not None:
        text += f" → {entry.child}"
    if len(entry.pointers) > 1:
        text += f" ×{len(entry.pointers)}"
    return text + (" (dead)" if entry.dead else "")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _elided(items: list[str], most: int, what: str, *, indent: str = "") -> list[str]:
    """The first and the last of a long list, and between them how many are left out."""
    if len(items) <= most:
        return items
    head, tail = most - most // 3, most // 3
    left_out = f"{indent}… {len(items) - most:,} more{f' {what}' if what else ''} …"
    return [*items[:head], left_out, *items[-tail:]]
