"""A B+tree to take apart: it counts its bytes as PostgreSQL does, and tells each step when asked.

    >>> tree = Tree(page_bytes=128)
    >>> for key in (10, 20, 30, 40, 50):
    ...     _ = tree.insert(key)
    >>> print(tree)
    tree (teaching tree): 2 levels, 3 pages of 128 bytes, 5 rows, leaves 68.2 % full
    level 1 (root): 1 page
      page 3: 2 entries, 36 % full: -∞ → 1, 40 → 2
    level 0 (leaves): 2 pages
      page 1: 3 entries, 91 % full: 10, 20, 30; high key 40; right 2
      page 2: 2 entries, 45 % full: 40, 50; left 1

What there is, from the ground up:

* a page has a header of 24 bytes, a special space of 16 for its siblings and its level, and entries that grow towards
  each other: slots of 4 bytes from the front, entries of a multiple of 8 from the back;
* all rows stand on the leaves; inner pages only say where to go; each page knows its right sibling and a high key
  that bounds it, so that a search that finds itself too far left can move right;
* a page that is too full is cut in two (`splitting`), after its duplicates were put into posting lists (`posting`);
  the key that separates the halves goes up, and where the root itself is cut the tree gets a level more. All leaves
  stay equally deep;
* a leaf that a delete has emptied leaves the tree: its key space goes to its right sibling, its siblings are joined,
  its number is used again. A page that is merely thin stays; so does the right-most page of a level, and the last
  child of an inner page that has others. The tree never gets lower.

    root        ┌────────────── -∞ │ 40 │ 80 ────────────┐         one page read a level,
                ▼                    ▼                    ▼         whatever the number of rows
    leaves     10 20 30   ◀──▶   40 50 60 70   ◀──▶   80 90 95     a range walks to the right

What real engines have and this tree leaves out, and what it is for:

* Lehman and Yao's concurrency: a reader holds no lock on the way down. High keys and right links are theirs: whoever
  arrives at a page that was just split moves right. Here nobody else is there; the links are, and splits keep them.
* The write-ahead log: a split changes three pages or more, and a crash between two of them must not lose the tree.
  Here nothing crashes.
* Versions and VACUUM: DELETE marks rows, VACUUM takes their entries out later and recycles an emptied page only when
  no search can still be on its way to it. Here `delete` is both at once.
* Killed entries and bottom-up deletion, which clean a page before it is split; the fast path that remembers the
  right-most leaf; the fast root that skips levels of one page each; the metapage (its number 0 is kept free).

Sources: Lehman and Yao, "Efficient Locking for Concurrent Operations on B-Trees", 1981; PostgreSQL's
src/backend/access/nbtree/README; Graefe, "Modern B-Tree Techniques", 2011.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

from workbook.btree.checking import faults
from workbook.btree.keys import Keys, Order, Truncation
from workbook.btree.levels import FindChild, Levels
from workbook.btree.loading import Load, grouped
from workbook.btree.page import MINUS_INFINITY, NULL, PLUS_INFINITY, Snapshot, shown
from workbook.btree.posting import merge, rows_of, swap
from workbook.btree.splitting import SplitPage
from workbook.btree.store import Counters, Node, Replacement, Store
from workbook.btree.tracing import Trace
from workbook.errors import Misuse

ROW_MAX = 2**48 - 1


class Tree:
    """A B+tree from keys to row numbers.

    Parameters: `page_bytes`, a multiple of 8 from 128 to 65,536; `fill_factor` in per cent, from 10 to 100, of the
    right-most leaf at its split and of every leaf of a `load`; `duplicates`, 'posting' (equal keys share an entry
    once a page is full) or 'plain'; `pool_pages`, the frames of a buffer pool, or None for no pool; its
    `replacement`, 'lru' or 'clock'; `truncation` of separators (`keys.Keys`); a `split` and a `find_child` of your
    own (`splitting.SplitPage`, `levels.FindChild`), for keys that differ; a `name`.

    Keys are whole numbers of 64 bits, text, bytes, UUIDs, None for NULL (which sorts last), or tuples of these; all
    of a tree are of one type. Rows are whole numbers from 0. Raises `Misuse` for all that makes no sense.
    """

    def __init__(
        self,
        *,
        page_bytes: int = 8192,
        fill_factor: int = 90,
        duplicates: Literal["posting", "plain"] = "posting",
        pool_pages: int | None = None,
        replacement: Replacement = "lru",
        truncation: Truncation = "columns",
        split: SplitPage | None = None,
        find_child: FindChild | None = None,
        name: str = "tree",
    ) -> None:
        if type(fill_factor) is not int or not 10 <= fill_factor <= 100:
            fraction = isinstance(fill_factor, float) and 0.1 <= fill_factor <= 1
            guess = f"did you mean {fill_factor * 100:g}?" if fraction else ""
            raise Misuse(f"A fill factor of {fill_factor} is none: it is in per cent, from 10 to 100.", next=guess)
        if duplicates not in ("posting", "plain"):
            raise Misuse(f"{duplicates!r} is no way to keep duplicates.", next="take 'posting' or 'plain'")
        if truncation not in ("columns", "characters", "none"):
            raise Misuse(f"{truncation!r} is no truncation.", next="take 'columns', 'characters' or 'none'")
        self.name = name
        self._store = Store(page_bytes, pool_pages, replacement)
        self._keys = Keys(page_bytes, truncation)
        self._levels = Levels(self._store, self._keys, fill_factor, split, find_child)
        self._posting = duplicates == "posting"
        self._rows = self._next_row = self._changes = self._merges = 0
        self._last: Snapshot | None = None

    @classmethod
    def load(cls, pairs: Iterable[tuple[Any, int | None]], *, fill_factor: int = 90, **options: Any) -> Tree:
        """A tree built at once, as CREATE INDEX builds one: sorted first, its leaves filled to `fill_factor` per cent.

        Parameters: pairs of a key and a row (None: its place among the pairs), in any order; the fill factor;
        `options` as for `Tree`. Raises `Misuse` as `insert` does.
        """
        tree = cls(fill_factor=fill_factor, **options)
        if not isinstance(pairs, Iterable):
            raise Misuse(f"{pairs!r} are no pairs of a key and a row.", next="write ((key, None) for key in keys)")
        orders = []
        for place, pair in enumerate(pairs):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise Misuse(f"{pair!r} is no pair of a key and a row.", next="write ((key, None) for key in keys)")
            key, value = pair
            row = tree._row(place if value is None else value)
            columns = tree._keys.ordered(key)
            if not tree._keys.settled:
                tree._keys.learn(key)
            orders.append((*columns, row))
            tree._next_row = max(tree._next_row, row + 1)
        orders.sort()
        for before, after in pairwise(orders):
            if before == after:
                raise tree._twice(after)
        tree._rows = len(orders)
        load = Load(tree._store, tree._keys, fill_factor, tree._store.nodes[tree.root])
        for key, rows, size in grouped(orders, tree._keys, tree._posting):
            load.add(0, key, rows, size)
        tree._levels.root, tree._levels.height = load.finish()
        return tree

    # what it is

    @property
    def root(self) -> int:
        """The number of the root page."""
        return self._levels.root

    @property
    def height(self) -> int:
        """Levels, the leaves included: the pages that a lookup reads."""
        return self._levels.height

    @property
    def page_bytes(self) -> int:
        return self._store.page_bytes

    @property
    def pool(self) -> tuple[int, ...]:
        """The numbers of the pages in the buffer pool, the one used last first; empty without one."""
        return self._store.held

    @property
    def pool_pages(self) -> int | None:
        """The frames of the buffer pool; None without one."""
        return None if self._store.pool is None else self._store.pool.frames

    @property
    def counters(self) -> Counters:
        """What was counted so far. Two of them subtract: `tree.counters - before`."""
        levels = self._levels
        return replace(
            self._store.counters(),
            leaf_splits=levels.leaf_splits,
            inner_splits=levels.inner_splits,
            new_roots=levels.new_roots,
            merges=self._merges,
            unlinked=levels.unlinked,
        )

    def __len__(self) -> int:
        """Rows in the tree."""
        return self._rows

    def __contains__(self, key: Any) -> bool:
        return bool(self.find(key))

    def faults(self) -> list[str]:
        """What is wrong with its structure, as sentences: nothing, unless a `split` of your own went wrong."""
        return faults(self.snapshot())

    def snapshot(self) -> Snapshot:
        """The whole tree as a value. Pages that did not change since the last one are the same values."""
        pages = {number: self._levels.page(node) for number, node in self._store.nodes.items()}
        last = self._last
        if (
            last is None
            or last.root != self.root
            or len(last.pages) != len(pages)
            or any(page is not last.pages[number] for number, page in pages.items())
        ):
            self._last = last = Snapshot(self.name, "teaching", self.root, self.height, pages, True, self.page_bytes)
        return last

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return self.snapshot()._repr_mimebundle_()

    def __str__(self) -> str:
        return str(self.snapshot())

    __repr__ = __str__

    # what changes it

    def insert(self, key: Any, value: int | None = None) -> int:
        """Put a row under a key, and give its number (None: one more than the largest so far).

        Raises `Misuse` for a key of another type, one that takes more than a third of a page, or a row that is there
        already.
        """
        keys, levels = self._keys, self._levels
        columns = keys.ordered(key)
        row = self._row_after_all() if value is None else self._row(value)
        size = keys.leaf_bytes(columns)
        target = (*columns, row)
        node, path = levels.descend(target)
        at = self._free_place(node, target)
        if self._posting:
            if node.used + size > self._store.room and self._merge(node, columns, size):
                at = self._free_place(node, target)
            rows = node.items[at - 1] if at else None
            if rows is not None and rows[-1] > row and node.keys[at - 1][:-1] == columns:
                target = self._into_list(node, at - 1, row)
        levels.put(node, path, at, target, None, size)
        if not keys.settled:
            keys.learn(key)
        if row >= self._next_row:
            self._next_row = row + 1
        self._rows += 1
        self._changes += 1
        return row

    def delete(self, key: Any, value: int | None = None) -> int:
        """Take a row from under a key, or all rows of the key; how many that were. An emptied leaf leaves the tree.

        A real engine's DELETE only marks rows, and its VACUUM takes the entries out. Raises `Misuse` for a key of
        another type.
        """
        columns = self._keys.ordered(key)
        removed, emptied = self._remove_all(columns) if value is None else self._remove_one(columns, self._row(value))
        self._rows -= removed
        self._changes += removed
        for node in emptied:
            self._levels.unlink(node)
        return removed

    def vacuum(self) -> int:
        """Read all pages in the order of the file and take out leaves that are still empty; how many pages that frees.

        A leaf that was the last child of its page when it was emptied had to stay; its neighbours may have gone since.
        """
        self._changes += 1
        freed = 0
        for number in sorted(self._store.nodes):
            node = self._store.read(number)
            if node.state == "live" and node.level == 0:
                freed += self._levels.unlink(node)
        return freed

    def flush(self) -> int:
        """Write the changed pages of the pool, as a checkpoint does; how many that were."""
        return self._store.flush()

    # what asks it

    def find(self, key: Any) -> tuple[int, ...]:
        """The rows of a key, in order; none where it is not there. None asks for NULL. Raises `Misuse` for a key of
        another type."""
        columns = self._keys.ordered(key)
        rows: list[int] = []
        for node, begin in self._leaves_of(columns):
            end = begin
            while end < len(node.keys) and node.keys[end][:-1] == columns:
                self._told_found(node, end, "is found")
                rows += rows_of(node.keys[end], node.items[end])
                end += 1
            if end < len(node.keys):
                break
        if not rows and self._levels.trace is not None:
            before = f"before {shown(self._keys.key(node.keys[end]))}" if end < len(node.keys) else "last"
            self._levels.tell("found", node.number, None, f"{shown(key)} is not there: it would stand {before}.")
        return tuple(rows)

    def scan(self, low: Any = None, high: Any = None, *, reverse: bool = False) -> Iterator[tuple[Any, int]]:
        """The pairs of key and row from `low` to `high`, both included, as they are asked for; backwards if `reverse`.

        None is no bound. As in SQL, a range with a bound leaves NULLs out; they stand last (`find(None)` asks for
        them). Of a key with several columns a bound may give the first ones. Raises `Misuse` for a bound of another
        type, and when the tree changes meanwhile.
        """
        lower = (MINUS_INFINITY,) if low is None else (*self._keys.prefix(low), MINUS_INFINITY)
        upper: Order | None = None
        if high is not None:
            upper = (*self._keys.prefix(high), PLUS_INFINITY)
        elif low is not None and lower[0] is not NULL:
            upper = (NULL,)
        return self._backwards(lower, upper) if reverse else self._forwards(lower, upper)

    @contextmanager
    def trace(self) -> Iterator[Trace]:
        """Record what happens inside the `with`: events, each with the tree after it. Raises `Misuse` when one is on
        already."""
        if self._levels.trace is not None:
            raise Misuse("The tree is traced already.", next="use the trace that is on, or end its `with` first")
        trace = Trace(lambda: (self.snapshot(), self._store.held, self._store.changed))
        self._levels.traced(trace)
        try:
            yield trace
        finally:
            self._levels.traced(None)

    # how

    def _row(self, value: int) -> int:
        if type(value) is not int or not 0 <= value <= ROW_MAX:
            raise Misuse(f"{value!r} is no row: rows are whole numbers from 0 to {ROW_MAX:,}.")
        return value

    def _row_after_all(self) -> int:
        """One more than the largest row so far. Raises `Misuse` where that one is the largest there can be."""
        if self._next_row > ROW_MAX:
            raise Misuse(f"No row comes after {ROW_MAX:,}, which was given before.", next="give a row that is free")
        return self._next_row

    def _twice(self, order: Order) -> Misuse:
        key = self._keys.key(order)
        return Misuse(f"Row {order[-1]} is under the key {shown(key)} already.", next="give another row, or none")

    def _free_place(self, node: Node, target: Order) -> int:
        """Where on a leaf an entry belongs. Raises `Misuse` where it stands there already."""
        at = self._levels.place(node, target)
        if at < len(node.keys) and node.keys[at] == target:
            raise self._twice(target)
        rows = node.items[at - 1] if at else None
        if rows is not None and target[-1] in rows and node.keys[at - 1][:-1] == target[:-1]:
            raise self._twice(target)
        return at

    def _merge(self, node: Node, columns: Order, size: int) -> bool:
        """Put the duplicates of a full leaf into posting lists; whether there were any."""
        found = merge(node.keys, node.items, node.sizes, self._keys, self._store.room, columns, size)
        if found is None:
            return False
        before, entries = node.used, len(node.keys)
        node.fill(*found, node.high, node.high_bytes)
        self._merges += 1
        if self._levels.trace is not None:
            saved = f"{entries} entries become {len(node.keys)}, {before - node.used:,} bytes less"
            self._levels.tell("merge", node.number, None, f"Duplicates on page {node.number} share an entry: {saved}.")
        self._store.write(node)
        return True

    def _into_list(self, node: Node, at: int, row: int) -> Order:
        """A row takes its place inside a posting list; the entry to be inserted after it is for the row that left."""
        node.items[at], left = swap(node.items[at], row)
        node.page = None
        if self._levels.trace is not None:
            what = f"row {left} leaves it and needs an entry of its own"
            text = f"Row {row} takes its place in the list in slot {at}; {what}."
            self._levels.tell("merge", node.number, at, text)
        return (*node.keys[at][:-1], left)

    def _remove_one(self, columns: Order, row: int) -> tuple[int, list[Node]]:
        """Take one row out; 0 or 1, and the leaf if it is empty now."""
        target = (*columns, row)
        node, _ = self._levels.descend(target)
        at = self._levels.place(node, target)
        if not (at < len(node.keys) and node.keys[at] == target):
            at -= 1
        if at < 0 or node.keys[at][:-1] != columns:
            return 0, []
        rows = rows_of(node.keys[at], node.items[at])
        left = tuple(each for each in rows if each != row)
        if len(left) == len(rows):
            return 0, []
        node.take(at)
        if left:
            size = self._keys.posting_bytes(columns, len(left))
            node.put(at, (*columns, left[0]), left if len(left) > 1 else None, size)
        self._told_delete(node, at, columns, 1)
        self._store.write(node)
        return 1, [] if node.keys else [node]

    def _remove_all(self, columns: Order) -> tuple[int, list[Node]]:
        """Take all rows of a key out; how many, and the leaves that are empty now."""
        removed, emptied = 0, []
        for node, begin in self._leaves_of(columns):
            before = removed
            while begin < len(node.keys) and node.keys[begin][:-1] == columns:
                rows = len(rows_of(node.keys[begin], node.items[begin]))
                removed += rows
                node.take(begin)
                self._told_delete(node, begin, columns, rows)
            if removed > before:
                self._store.write(node)
            if not node.keys:
                emptied.append(node)
            if begin < len(node.keys):
                break
        return removed, emptied

    def _told_delete(self, node: Node, at: int, columns: Order, rows: int) -> None:
        if self._levels.trace is not None:
            what = f"{rows} row{'s' * (rows != 1)} of {shown(self._keys.key(columns))}"
            free = f"{self._store.room - node.used:,} bytes are free"
            self._levels.tell("delete", node.number, at, f"{what} in slot {at} of page {node.number} removed; {free}.")

    def _told_found(self, node: Node, at: int, how: str) -> None:
        if self._levels.trace is not None:
            rows = rows_of(node.keys[at], node.items[at])
            leads = f"row {rows[0]:,}" + (f", and to {len(rows) - 1:,} more" if len(rows) > 1 else "")
            key = shown(self._keys.key(node.keys[at]))
            text = f"{key} {how} in slot {at} of page {node.number}: it leads to {leads}."
            self._levels.tell("found", node.number, at, text)

    def _leaves_of(self, columns: Order) -> Iterator[tuple[Node, int]]:
        """The leaves on which rows of a key may stand, from the left, each with the place to begin at."""
        target = (*columns, -1)
        node, _ = self._levels.descend(target)
        yield node, self._levels.place(node, target)
        for _ in self._store.nodes:
            if node.right is None or node.high is None or node.high[: len(columns)] > columns:
                return
            self._told_move(node, "right", node.right)
            node = self._store.read(node.right)
            yield node, 0

    def _forwards(self, lower: Order, upper: Order | None) -> Iterator[tuple[Any, int]]:
        changes = self._changes
        node, _ = self._levels.descend(lower)
        at = self._levels.place(node, lower)
        for _ in range(len(self._store.nodes) + 1):
            end = len(node.keys) if upper is None else bisect_left(node.keys, upper)
            for place in range(at, end):
                yield from self._pairs(node, place, changes)
            if end < len(node.keys) or node.right is None:
                return
            if upper is not None and node.high is not None and node.high >= upper:
                return
            self._told_move(node, "right", node.right)
            node, at = self._store.read(node.right), 0

    def _backwards(self, lower: Order, upper: Order | None) -> Iterator[tuple[Any, int]]:
        changes = self._changes
        upper = (PLUS_INFINITY,) if upper is None else upper
        node, _ = self._levels.descend(upper)
        end = self._levels.place(node, upper)
        for _ in range(len(self._store.nodes) + 1):
            begin = bisect_left(node.keys, lower)
            for place in range(end - 1, begin - 1, -1):
                yield from self._pairs(node, place, changes, backwards=True)
            if begin > 0 or node.left is None:
                return
            self._told_move(node, "left", node.left)
            node = self._store.read(node.left)
            end = len(node.keys)

    def _pairs(self, node: Node, place: int, changes: int, *, backwards: bool = False) -> Iterator[tuple[Any, int]]:
        """The rows of one entry, each with its key."""
        self._told_found(node, place, "is in the range,")
        key = self._keys.key(node.keys[place])
        rows = rows_of(node.keys[place], node.items[place])
        for row in reversed(rows) if backwards else rows:
            yield key, row
            if self._changes != changes:
                raise Misuse("The tree changed while it was scanned.", next="make a list of the scan first")

    def _told_move(self, node: Node, side: str, number: int) -> None:
        if self._levels.trace is not None:
            text = f"The range goes on: move from page {node.number} to its {side} sibling, page {number}."
            self._levels.tell("move-right", node.number, None, text, number)
