"""Where the pages are: a store that counts what is read from it and written to it, and a buffer pool in front of it.

    Tree ── read(7) ──▶ pool of 3 frames ── miss ──▶ store            a hit costs nothing but the look,
                        │ 1 │ 7*│ 3 │   ◀── page 7 ──   │             a miss reads, and may evict another page,
                        └─────┬─────┘ ── page 3* ──▶ written          which is written if it was changed (*)

    >>> store = Store(page_bytes=128, pool_pages=2)
    >>> for _ in range(3):
    ...     store.write(store.allocate(0))
    >>> _ = [store.read(number) for number in (3, 3, 1)]
    >>> print(store.counters())
    reads 1, writes 2, hits 2, misses 1, evictions 2, splits 0
    >>> store.held
    (1, 3)

Without a pool each look at a page reads it and each change writes it. The pool throws out the page that was used
longest ago (`lru`), or that a hand going round finds unused since its last rounds (`clock`, as PostgreSQL's, which
counts uses up to 5). Page 0 is kept for the metapage, so pages begin at 1, and a freed page is used again, the lowest
number first.

Sources: PostgreSQL's src/backend/storage/buffer/README and freelist.c. Left out: pins (no page is in use by another
while it is evicted), the background writer, rings for large scans, and the write-ahead log that has to be written
before a page.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

from workbook.btree.keys import PAGE_HEADER_BYTES, SPECIAL_BYTES, Order
from workbook.btree.page import EventKind, Page
from workbook.errors import Misuse

Replacement = Literal["lru", "clock"]
USES_MAX = 5


@dataclass(frozen=True, slots=True)
class Counters:
    """What a tree has done so far; two of them subtract.

    `reads` and `writes` of pages of the store; `hits`, `misses` and `evictions` of the pool (0 without one); `splits`
    in all, and of them `leaf_splits` and `inner_splits`; `new_roots`; `merges`, leaf pages whose duplicates were put
    into posting lists; `unlinked`, pages taken out of the tree; `recycled`, freed pages that were used again.
    """

    reads: int = 0
    writes: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    leaf_splits: int = 0
    inner_splits: int = 0
    new_roots: int = 0
    merges: int = 0
    unlinked: int = 0
    recycled: int = 0

    @property
    def pages(self) -> int:
        """Pages touched: what PostgreSQL calls buffers, hits and reads together."""
        return self.hits + self.reads

    @property
    def splits(self) -> int:
        return self.leaf_splits + self.inner_splits

    def __sub__(self, before: Counters) -> Counters:
        return Counters(*(getattr(self, part.name) - getattr(before, part.name) for part in fields(self)))

    def __str__(self) -> str:
        always = ("reads", "writes", "hits", "misses", "evictions", "splits")
        rest = [part.name for part in fields(self) if part.name not in always and getattr(self, part.name)]
        return ", ".join(f"{name.replace('_', ' ')} {getattr(self, name):,}" for name in (*always, *rest))


class Node:
    """A page that can be changed. `keys` are ordered tuples (an inner page's first is ()), `items` the children of an
    inner page, on a leaf None or the rows of a posting list, `sizes` their bytes with their slots; `used` counts the
    high key too."""

    __slots__ = (
        "high", "high_bytes", "items", "keys", "left", "level", "number", "page", "right", "sizes", "state", "used",
    )  # fmt: skip

    def __init__(self, number: int, level: int) -> None:
        self.number, self.level = number, level
        self.clear()

    def clear(self) -> None:
        self.keys: list[Order] = []
        self.items: list[Any] = []
        self.sizes: list[int] = []
        self.high: Order | None = None
        self.high_bytes = 0
        self.used = 0
        self.left: int | None = None
        self.right: int | None = None
        self.state: Literal["live", "free"] = "live"
        self.page: Page | None = None

    def put(self, at: int, key: Order, item: Any, size: int) -> None:
        """A new entry at a place; the others move up."""
        self.keys.insert(at, key)
        self.items.insert(at, item)
        self.sizes.insert(at, size)
        self.used += size
        self.page = None

    def take(self, at: int) -> None:
        """An entry leaves; the others close up."""
        self.used -= self.sizes[at]
        del self.keys[at], self.items[at], self.sizes[at]
        self.page = None

    def fill(self, keys: list[Order], items: list[Any], sizes: list[int], high: Order | None, high_bytes: int) -> None:
        """All entries anew, and the high key with its bytes (None and 0 on the right-most page)."""
        self.keys, self.items, self.sizes = keys, items, sizes
        self.high, self.high_bytes = high, high_bytes
        self.used = sum(sizes) + high_bytes
        self.page = None


class Store:
    """Pages by number, behind a pool of `pool_pages` frames (None: no pool).

    Raises `Misuse` for a size of page or pool that makes no sense.
    """

    def __init__(self, page_bytes: int, pool_pages: int | None = None, replacement: Replacement = "lru") -> None:
        if type(page_bytes) is not int or page_bytes % 8 or not 128 <= page_bytes <= 65_536:
            raise Misuse(
                f"A page of {page_bytes} bytes cannot be had.",
                next="take a multiple of 8 from 128 to 65,536, say 8192",
            )
        if pool_pages is not None and type(pool_pages) is not int:
            raise Misuse(
                f"A pool of {pool_pages!r} pages cannot be had.",
                next="take a whole number from 1 on, or None for no pool",
            )
        if pool_pages is not None and pool_pages < 1:
            raise Misuse(f"A pool of {pool_pages} pages holds none.", next="take 1 or more, or None for no pool")
        if replacement not in ("lru", "clock"):
            raise Misuse(f"{replacement!r} is no way to replace pages.", next="take 'lru' or 'clock'")
        self.page_bytes = page_bytes
        self.room = page_bytes - PAGE_HEADER_BYTES - SPECIAL_BYTES
        self.nodes: dict[int, Node] = {}
        self.reads = self.writes = self.recycled = 0
        self.pool = None if pool_pages is None else (_Clock if replacement == "clock" else _Lru)(pool_pages)
        self.tell: Callable[[EventKind, int, str], None] | None = None
        self._free: list[int] = []

    def read(self, number: int) -> Node:
        """The page of that number, through the pool. Raises `Misuse` where there is none: a link was led astray."""
        if number not in self.nodes:
            raise Misuse(f"There is no page {number}; a link of the tree leads to it.")
        if self.pool is None:
            self.reads += 1
            if self.tell is not None:
                self.tell("read", number, f"Page {number} is read.")
        elif self.pool.find(number):
            if self.tell is not None:
                self.tell("hit", number, f"Page {number} is in the pool.")
        else:
            self._load(number)
        return self.nodes[number]

    def write(self, node: Node) -> None:
        """A page was changed: it is written, or marked in the pool to be written when it leaves."""
        node.page = None
        if self.pool is None:
            self.writes += 1
            if self.tell is not None:
                self.tell("write", node.number, f"Page {node.number} is written.")
            return
        if node.number not in self.pool.dirty:
            self._load(node.number)
        self.pool.dirty[node.number] = True

    def allocate(self, level: int) -> Node:
        """An empty page, still to be written: a freed one, else one more at the end of the file."""
        if self._free:
            node = self.nodes[heapq.heappop(self._free)]
            self.recycled += 1
            node.clear()
            node.level = level
        else:
            node = Node(len(self.nodes) + 1, level)
            self.nodes[node.number] = node
        if self.pool is not None and node.number not in self.pool.dirty:
            self._admit(node.number)
        return node

    def free(self, node: Node) -> None:
        """A page that nothing points to any more: the next `allocate` may take it."""
        node.clear()
        node.level, node.state = 0, "free"
        heapq.heappush(self._free, node.number)
        self.write(node)

    def flush(self) -> int:
        """Write all changed pages of the pool, as a checkpoint does, and say how many."""
        changed = [] if self.pool is None else [number for number, dirty in self.pool.dirty.items() if dirty]
        for number in changed:
            self._write_back(number)
        return len(changed)

    @property
    def held(self) -> tuple[int, ...]:
        """The pages in the pool, the one used last first (`clock`: frame by frame)."""
        return () if self.pool is None else self.pool.held()

    @property
    def changed(self) -> tuple[int, ...]:
        """The pages in the pool that are still to be written."""
        return () if self.pool is None else tuple(sorted(page for page, dirty in self.pool.dirty.items() if dirty))

    def counters(self) -> Counters:
        """What was counted here; the tree adds its own."""
        pool = self.pool
        hits, misses, evictions = (0, 0, 0) if pool is None else (pool.hits, pool.misses, pool.evictions)
        return Counters(self.reads, self.writes, hits, misses, evictions, recycled=self.recycled)

    def _load(self, number: int) -> None:
        assert self.pool is not None
        self.pool.misses += 1
        self._admit(number)
        self.reads += 1
        if self.tell is not None:
            self.tell("read", number, f"Page {number} is not in the pool: it is read.")

    def _admit(self, number: int) -> None:
        """A frame for a page; another page may have to leave for it."""
        assert self.pool is not None
        victim = self.pool.admit(number)
        if victim is None:
            return
        page, dirty = victim
        if dirty:
            self.writes += 1
        if self.tell is not None:
            self.tell("evict", page, f"Page {page} leaves the pool{', and is written first' * dirty}.")

    def _write_back(self, number: int) -> None:
        assert self.pool is not None
        self.pool.dirty[number] = False
        self.writes += 1
        if self.tell is not None:
            self.tell("write", number, f"Page {number} is written.")


class _Lru:
    """The page that was used longest ago leaves first."""

    def __init__(self, frames: int) -> None:
        self.frames, self.hits, self.misses, self.evictions = frames, 0, 0, 0
        self.dirty: OrderedDict[int, bool] = OrderedDict()

    def find(self, number: int) -> bool:
        if number not in self.dirty:
            return False
        self.dirty.move_to_end(number)
        self.hits += 1
        return True

    def admit(self, number: int) -> tuple[int, bool] | None:
        """Takes a page in; the page that leaves for it, and whether that was changed."""
        victim = None
        if len(self.dirty) == self.frames:
            victim = self.dirty.popitem(last=False)
            self.evictions += 1
        self.dirty[number] = False
        return victim

    def held(self) -> tuple[int, ...]:
        return tuple(reversed(self.dirty))


class _Clock:
    """A hand goes round the frames: it takes one use from each page it passes, and the first page without any
    leaves."""

    def __init__(self, frames: int) -> None:
        self.frames, self.hits, self.misses, self.evictions = frames, 0, 0, 0
        self.dirty: dict[int, bool] = {}
        self._uses: dict[int, int] = {}
        self._ring: list[int] = []
        self._hand = 0

    def find(self, number: int) -> bool:
        if number not in self.dirty:
            return False
        self._uses[number] = min(self._uses[number] + 1, USES_MAX)
        self.hits += 1
        return True

    def admit(self, number: int) -> tuple[int, bool] | None:
        """Takes a page in; the page that leaves for it, and whether that was changed."""
        self._uses[number] = 1
        if len(self._ring) < self.frames:
            self._ring.append(number)
            self.dirty[number] = False
            return None
        while self._uses[self._ring[self._hand]]:
            self._uses[self._ring[self._hand]] -= 1
            self._hand = (self._hand + 1) % self.frames
        victim = self._ring[self._hand]
        self._ring[self._hand] = number
        self._hand = (self._hand + 1) % self.frames
        del self._uses[victim]
        self.evictions += 1
        left = (victim, self.dirty.pop(victim))
        self.dirty[number] = False
        return left

    def held(self) -> tuple[int, ...]:
        return tuple(self._ring)
