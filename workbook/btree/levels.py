"""The levels of a tree: the way down, the way a split goes up, and how an emptied leaf leaves.

    a split                              [ -∞ → 1 │ 40 → 4 │ 80 → 2 ]     3. the separator goes into the page above,
                                             │         ▲                      which may be split in its turn
    1. a new page 4 takes the upper half   page 1 ──▶ page 4 ──▶ page 2
    2. the siblings are joined; page 1 gets the separator as its high key: whoever looks for 45 on page 1 moves right

    >>> from workbook.btree.tree import Tree
    >>> tree = Tree(page_bytes=128)
    >>> _ = [tree.insert(key) for key in (10, 20, 30, 40)]
    >>> with tree.trace() as steps:
    ...     _ = tree.insert(50)
    >>> [event.kind for event in steps.events if event.kind in ("split", "new-root")]
    ['split', 'new-root']

Two things can be replaced by functions of your own, which get and give values (`page.Page`): how a page is split, and
which page a search visits next. What they give back is checked only as far as it must be for the tree to go on;
whether the tree is still right is what `checking.faults` says.

Source: Lehman and Yao, "Efficient Locking for Concurrent Operations on B-Trees", 1981; the deletion of pages is that
of Lanin and Shasha, "A Symmetric Concurrent B-Tree Algorithm", 1986, as PostgreSQL does it
(src/backend/access/nbtree/README).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from workbook.btree.keys import Keys, Order
from workbook.btree.page import MINUS_INFINITY, NULL, Entry, Event, EventKind, Page, is_bound, shown
from workbook.btree.posting import rows_of
from workbook.btree.splitting import MINUS_INFINITY_BYTES, Full, SplitPage, cut
from workbook.btree.store import Node, Store
from workbook.btree.tracing import Trace
from workbook.errors import Misuse

Path = list[tuple[Node, int]]
"""The inner pages from the root down, each with the place of the entry that was followed."""
FindChild = Callable[[Page, Any], int]
"""find_child(page, key) -> the number of the page to visit next: a child of an inner page, or its right sibling."""


class Levels:
    """Pages in levels above one another.

    Parameters: where the pages are; what is known of the keys; the fill factor of right-most leaves in per cent; a
    `split` and a `find_child` of one's own, or None.
    """

    def __init__(
        self, store: Store, keys: Keys, fill_factor: int, split: SplitPage | None, find_child: FindChild | None
    ) -> None:
        self.store, self.keys, self.fill_factor = store, keys, fill_factor
        self.split_page, self.find_child = split, find_child
        self.careful = split is not None or find_child is not None
        self.trace: Trace | None = None
        self.leaf_splits = self.inner_splits = self.new_roots = self.unlinked = 0
        self.height = 1
        self.root = store.allocate(0).number

    def tell(self, kind: EventKind, page: int, slot: int | None, text: str, other: int | None = None) -> None:
        """Record an event while the tree is traced."""
        if self.trace is not None:
            self.trace.add(Event(kind, page, slot, text, other))

    def traced(self, trace: Trace | None) -> None:
        """Begin or end a trace."""
        self.trace = trace
        self.store.tell = None if trace is None else lambda kind, page, text: self.tell(kind, page, None, text)

    def shown(self, order: Order) -> str:
        """A key as text, with its row where it carries one on an inner page or as a high key."""
        tie = (order[-1], 0) if len(order) > self.keys.columns else None
        return shown(self.keys.key(order), tie)

    # the way down

    def descend(self, target: Order, *, own: bool = True) -> tuple[Node, Path]:
        """From the root to the leaf where `target` belongs: at each page the last entry below it is followed.

        `own` says whether a `find_child` of one's own is asked.
        """
        if self.careful or self.trace is not None:
            return self._descend_carefully(target, own and self.find_child is not None and not is_bound(target[0]))
        path = []
        read = self.store.read
        node = read(self.root)
        while node.level:
            at = bisect_left(node.keys, target) - 1
            path.append((node, at))
            node = read(node.items[at])
        return node, path

    def _descend_carefully(self, target: Order, own: bool) -> tuple[Node, Path]:
        """The same, told step by step, by a `find_child` of one's own if there is one."""
        path: Path = []
        node = self.store.read(self.root)
        for _ in range(len(self.store.nodes) + self.height):
            if not node.level:
                if node.high is None or node.right is None or not target > node.high:
                    return node, path
                self.tell("move-right", node.number, None, f"Move right to page {node.right}.", node.right)
                node = self.store.read(node.right)
                continue
            number, at = self._own_choice(node, target) if own else (0, max(0, self.place(node, target) - 1))
            if at < 0:
                self.tell("move-right", node.number, None, f"Move right to page {number}.", number)
            else:
                number = number or node.items[at]
                path.append((node, at))
                self.tell("descend", node.number, at, f"Go down to page {number}.", number)
            node = self.store.read(number)
        raise Misuse(
            f"The search for {self.keys.key(target)!r} does not end: it goes round in circles.",
            tried=f"{len(self.store.nodes)} pages",
            next="look at the levels and right links of the tree: print its snapshot",
        )

    def _own_choice(self, node: Node, target: Order) -> tuple[int, int]:
        """What the replaced `find_child` says: the number, and the place of the child (-1: move right)."""
        assert self.find_child is not None
        key = self.keys.key(target)
        number = self.find_child(self.page(node), key)
        if number in node.items:
            return number, node.items.index(number)
        if number == node.right and number is not None:
            return number, -1
        children = ", ".join(str(child) for child in node.items)
        raise Misuse(
            f"find_child sends {key!r} from page {node.number} to {number!r}, "
            "which is no child of it and not its right sibling.",
            next=f"give one of {children}{'' if node.right is None else f', or {node.right} to move right'}",
        )

    def place(self, node: Node, target: Order) -> int:
        """The place of the first entry that is not below `target`, by binary search."""
        if self.trace is None:
            return bisect_left(node.keys, target)
        low, high = (1 if node.level else 0), len(node.keys)
        sought = self.shown(target[: self.keys.columns])
        while low < high:
            middle = (low + high) // 2
            key = self.keys.key(node.keys[middle])
            below = node.keys[middle] < target
            same = node.keys[middle][: self.keys.columns] == target[: self.keys.columns]
            how = "equal to" if same else "above" if below else "below"
            side = "right" if below else "left"
            self.tell("compare", node.number, middle, f"{sought} is {how} {shown(key)}: look {side} of it.")
            low, high = (middle + 1, high) if below else (low, middle)
        return low

    # the way up

    def put(self, node: Node, path: Path, at: int, key: Order, item: Any, size: int) -> None:
        """A new entry at its place; the page is split where it has no room."""
        if node.used + size > self.store.room:
            self._split(node, path, at, key, item, size)
            return
        node.put(at, key, item, size)
        if self.trace is not None:
            free = f"{self.store.room - node.used:,} bytes stay free"
            what = self.shown(key) + f" → {item}" if node.level else shown(self.keys.key(key))
            self.tell("insert", node.number, at, f"{what} takes slot {at} of page {node.number}; {free}.")
        self.store.write(node)

    def _split(self, node: Node, path: Path, at: int, key: Order, item: Any, size: int) -> None:
        """Cut a page in two with the new entry in its place, and tell the page above."""
        full = Full(
            node.level,
            [*node.keys[:at], key, *node.keys[at:]],
            [*node.items[:at], item, *node.items[at:]],
            [*node.sizes[:at], size, *node.sizes[at:]],
            at,
            self.store.room,
            node.high,
            node.high_bytes,
        )
        right = self.store.allocate(node.level)
        neighbour = None if node.right is None else self.store.read(node.right)
        why = "your own way" if self.split_page else self._cut(full, node, right)
        if self.split_page:
            self._cut_your_way(self.split_page, full, node, right)
        if neighbour is not None:
            neighbour.left, neighbour.page = right.number, None
        if node.level:
            self.inner_splits += 1
        else:
            self.leaf_splits += 1
        if self.trace is not None:
            moved = f"{len(right.keys)} of its {len(full.keys)} entries move to the new page {right.number}"
            self.tell("split", node.number, at, f"Page {node.number} is full: {moved} ({why}).", right.number)
        for page in (node, right, neighbour):
            if page is not None:
                self.store.write(page)
        self._add_above(node, right.number, path)

    def _cut(self, full: Full, node: Node, right: Node) -> str:
        """Cut where PostgreSQL would; why there."""
        at, why = cut(full, self.keys, self.fill_factor)
        keys, sizes = full.keys[at:], full.sizes[at:]
        if full.level:
            separator, keys[0], sizes[0] = keys[0], (), MINUS_INFINITY_BYTES
        else:
            separator = self.keys.separator(full.last(at - 1), keys[0])
        right.fill(keys, full.items[at:], sizes, node.high, node.high_bytes)
        right.left, right.right = node.number, node.right
        node.fill(full.keys[:at], full.items[:at], full.sizes[:at], separator, self.keys.inner_bytes(separator))
        node.right = right.number
        return why

    def _add_above(self, node: Node, right: int, path: Path) -> None:
        """Tell the page above that the keys from `node.high` on are on page `right`; above the root, make one."""
        separator = node.high
        assert separator is not None
        size = self.keys.inner_bytes(separator)
        if path:
            parent, at = self._above(node.number, *path.pop())
            self.put(parent, path, at + 1, separator, right, size)
            return
        root = self.store.allocate(node.level + 1)
        root.fill([(), separator], [node.number, right], [MINUS_INFINITY_BYTES, size], None, 0)
        self.root = root.number
        self.height += 1
        self.new_roots += 1
        if self.trace is not None:
            what = f"{self.shown(separator)} separates its two pages"
            text = f"The root was split: page {root.number} is the new root, {what}."
            self.tell("new-root", root.number, None, text, right)
        self.store.write(root)

    def _above(self, child: int, parent: Node, at: int) -> tuple[Node, int]:
        """The page above and the place of its entry for `child`: as remembered from the way down, or on to the
        right."""
        node: Node | None = self.store.read(parent.number)
        for _ in range(len(self.store.nodes)):
            if node is None:
                break
            if at < len(node.items) and node.items[at] == child:
                return node, at
            if child in node.items:
                return node, node.items.index(child)
            node, at = (None if node.right is None else self.store.read(node.right)), 0
        raise Misuse(f"No entry above names page {child}: its keys could not be found from the root any more.")

    # a leaf leaves

    def unlink(self, leaf: Node) -> int:
        """Take an empty leaf out of the tree, with the pages above that have no other child; how many pages that frees.

        It stays where it is the right-most page of its level, or the last child of a page that has others: its key
        space could not go to its right sibling below the same page.
        """
        if leaf.keys or leaf.high is None or leaf.right is None:
            return 0
        reached, path = self.descend(leaf.high, own=False)
        if reached is not leaf:
            return 0
        leaving = [leaf]
        while path:
            parent, at = path.pop()
            if len(parent.items) > 1:
                break
            leaving.append(parent)
        else:
            return 0
        if at == len(parent.items) - 1:
            return 0
        heir, size = parent.items[at + 1], parent.sizes[at + 1]
        parent.take(at + 1)
        parent.items[at] = heir
        if self.trace is not None:
            what = f"page {heir} takes over its keys in page {parent.number}, {size} bytes less"
            text = f"Page {leaf.number} is empty: {what}."
            self.tell("unlink", leaf.number, None, text, parent.number)
        self.store.write(parent)
        for node in reversed(leaving):
            self._join_siblings(node)
        return len(leaving)

    def _join_siblings(self, node: Node) -> None:
        """The siblings of a page that leaves point to one another, and the page is free."""
        for side, number, other in (("right", node.left, node.right), ("left", node.right, node.left)):
            if number is not None:
                sibling = self.store.read(number)
                setattr(sibling, side, other)
                sibling.page = None
                self.store.write(sibling)
        self.unlinked += 1
        number = node.number
        self.store.free(node)
        self.tell("unlink", number, None, f"Page {number} is out of the tree and may be used again.")

    # pages as values

    def page(self, node: Node) -> Page:
        """The page as a value; the same one until the page changes."""
        if node.page is None:
            entries = self._entries(node.level, node.keys, node.items, node.sizes)
            high: Any = None
            tie = None
            if node.high is not None:
                high = self.keys.key(node.high)
                high = NULL if high is None else high
                tie = self._tie(node.high)
            free = self.store.room - node.used
            node.page = Page(
                node.number,
                node.level,
                entries,
                self.store.page_bytes,
                free,
                high,
                node.left,
                node.right,
                node.state,
                "",
                tie,
            )
        return node.page

    def _tie(self, order: Order) -> tuple[int, int] | None:
        return (order[-1], 0) if len(order) > self.keys.columns else None

    def _entries(self, level: int, keys: list[Order], items: list[Any], sizes: list[int]) -> tuple[Entry, ...]:
        key_of = self.keys.key
        if level:
            return tuple(
                Entry(key_of(key), size, child, tie=self._tie(key))
                for key, child, size in zip(keys, items, sizes, strict=True)
            )
        return tuple(
            Entry(key_of(key), size, None, tuple((row, 0) for row in rows_of(key, rows)))
            for key, rows, size in zip(keys, items, sizes, strict=True)
        )

    def _cut_your_way(self, split: SplitPage, full: Full, node: Node, right: Node) -> None:
        """Cut by a function of one's own. Where it fails, or gives what cannot be stored, nothing has happened."""
        entries = self._entries(full.level, full.keys, full.items, full.sizes)
        try:
            given = split(self.page(node), entries, right.number)
            if not (isinstance(given, tuple) and len(given) == 2 and all(isinstance(page, Page) for page in given)):
                raise Misuse(
                    f"The split gave {given!r}.", next="give two pages: (left, right), as `splitting.halves` does"
                )
            halves = [self._stored(page, full.level) for page in given]
            if halves[0][3] is None:
                raise Misuse("The split leaves its left page without a high key: what is the page above to be told?")
        except BaseException:
            self.store.free(right)
            raise
        for target, page, (keys, items, sizes, high, high_bytes) in zip((node, right), given, halves, strict=True):
            target.fill(keys, items, sizes, high, high_bytes)
            target.left, target.right = page.left, page.right

    def _stored(self, page: Page, level: int) -> tuple[list[Order], list[Any], list[int], Order | None, int]:
        """What a page that somebody else made is stored as. Raises `Misuse` where it cannot be stored at all."""
        keys: list[Order] = []
        items: list[Any] = []
        sizes: list[int] = []
        for entry in page.entries:
            key = self._order(entry.key, entry.tie)
            rows = tuple(sorted(block for block, _ in entry.pointers))
            if level and entry.child not in self.store.nodes:
                raise Misuse(f"The split names page {entry.child} on an inner page; there is no such page.")
            if not level and not (key and rows):
                raise Misuse(f"The split leaves an entry without a {'row' if key else 'key'} on a leaf.")
            keys.append(key if level else (*key, rows[0]))
            items.append(entry.child if level else rows if len(rows) > 1 else None)
            sizes.append(self.keys.inner_bytes(key) if level else self.keys.posting_bytes(key, len(rows)))
        if level and not keys:
            raise Misuse("The split leaves an inner page without a child.")
        high = None if page.high_key is None else self._order(page.high_key, page.high_tie)
        high_bytes = 0 if high is None else self.keys.inner_bytes(high)
        used = sum(sizes) + high_bytes
        if used > self.store.room:
            raise Misuse(f"The split puts {used:,} bytes on a page, which has room for {self.store.room:,}.")
        return keys, items, sizes, high, high_bytes

    def _order(self, key: Any, tie: tuple[int, int] | None) -> Order:
        """A key of a page's value as it is kept here."""
        if key is MINUS_INFINITY:
            return ()
        columns = self.keys.prefix(None if key is NULL else key)
        return columns if tie is None else (*columns, tie[0])
