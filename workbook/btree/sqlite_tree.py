"""The trees of an SQLite file, read whole or along one key: from pages by number to a `Snapshot`.

    page 1: sqlite_schema ──▶ type, name, root page, CREATE ... of each table and index
                                        │
                                        ▼                      an inner page of SQLite       the same as a Snapshot
                                      root                     │ a │ 20 │ b │ 40 │ c │       -∞ → a │ 20 → b │ 40 → c
                                     ╱    ╲                      ≤20     ≤40     >40
                                 leaf      leaf ──▶ overflow ──▶ overflow

A key of SQLite stands right of the page below it, one of PostgreSQL left: in a `Snapshot` each key stands beside the
page right of it, and the first page has the key -∞. In an index the keys of inner pages are entries of their own, with
a row; in a table they only separate. No page knows its siblings or an upper bound, so both are left out. Pages of an
overflow chain are on level -1.

Whatever a damaged file says, each page is visited once, so that every walk comes to an end.

    >>> Tree("t", 2, True).rowids
    True

Source: SQLite's "Database File Format", sections 1.5 to 1.8 and 2.
Left out: the order of keys is believed, not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from workbook.btree.making import many_values
from workbook.btree.page import MINUS_INFINITY, Entry, Page, Snapshot
from workbook.btree.sqlite_file import Source
from workbook.btree.sqlite_pages import (
    CHAIN,
    Cell,
    Cells,
    Header,
    cells_of,
    damaged,
    lock_page,
    map_page_of,
    overflow_of,
    trunk_of,
)
from workbook.btree.sqlite_records import COLLATIONS, rank, values
from workbook.errors import Damaged, Misuse, Unsuitable

DEPTH_MAX = 40
OVERFLOW_LEVEL = -1
SCHEMA_ROOT = 1
NO_ROW = ((0, 0),)


@dataclass(frozen=True, slots=True)
class Column:
    """A key column: its name, collation and direction."""

    name: str
    collation: str = "BINARY"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree of a file: its name, root page, whether it is a table's (else an index's, or a table's without rowid),
    whether its entries end with a rowid, and its key columns (empty: not known)."""

    name: str
    root: int
    table: bool
    rowids: bool = True
    columns: tuple[Column, ...] = ()


class Row(NamedTuple):
    """One row of sqlite_schema."""

    kind: str
    name: str
    table: str
    root: int
    sql: str


class Reading:
    """One reading of a file: every page is taken once, so that no chain and no tree runs in a circle."""

    def __init__(self, source: Source, header: Header) -> None:
        self.source, self.header, self.layout = source, header, source.layout
        self.seen: dict[int, str] = {}
        self.pages: dict[int, Page] = {}
        self.root, self.rows_too = SCHEMA_ROOT, False

    def whole(self, tree: Tree) -> Snapshot:
        """All pages of a tree, its overflow pages included. Raises `Damaged`."""
        self.root, self.rows_too = tree.root, True
        height = self.depth(tree.root)
        with many_values():
            self._below(tree, tree.root, height - 1)
        return self._snapshot(tree, height, True)

    def some(self, tree: Tree, numbers: Iterable[int]) -> Snapshot:
        """The pages of a tree with these numbers. Raises `Unsuitable` for a page that is none of a tree, and `Misuse`
        where there is no such page."""
        self.root = tree.root
        for number in numbers:
            if not 0 < number <= self.source.count:
                raise Misuse(
                    f"{self.layout.name} has no page {number}.", next=f"its pages are 1 to {self.source.count:,}"
                )
            try:
                self._page(tree, number, self.depth(number) - 1)
            except Damaged as error:
                raise Unsuitable(f"Page {number} is none of {tree.name}, or damaged: {error.what}") from None
        return self._snapshot(tree, self.depth(tree.root), False)

    def along(self, tree: Tree, key: Any) -> Snapshot:
        """The pages from the root to the first leaf that may have a key. Raises `Damaged`, `Misuse`, `Unsuitable`."""
        self.root = tree.root
        sought = Sought(tree, key, self.layout.encoding)
        height, number = self.depth(tree.root), tree.root
        for level in range(height - 1, -1, -1):
            page = self._page(tree, number, level)
            number = sought.child(page) if level else 0
        return self._snapshot(tree, height, False)

    def again(self) -> Reading:
        """This reading, as if no page was read yet."""
        self.seen, self.pages = {}, {}
        return self

    def schema(self) -> list[Row]:
        """The rows of sqlite_schema. Raises `Damaged`."""
        self.root, rows = SCHEMA_ROOT, []
        for number, cell in self._rows(SCHEMA_ROOT, self.depth(SCHEMA_ROOT) - 1):
            row = self._values(number, cell)
            kind, name, table, root, sql = (row + [None] * 5)[:5]
            if not isinstance(kind, str) or not isinstance(name, str) or not isinstance(table, str):
                damaged(self.layout, number, "a row of sqlite_schema has no name")
            found = root if isinstance(root, int) else 0
            rows.append(Row(kind, name, table, found, sql if isinstance(sql, str) else ""))
        return rows

    def free(self) -> tuple[Page, ...]:
        """The free pages of the file: trunks, and the pages that they name. Raises `Damaged`."""
        self.root, found = 0, list[Page]()
        size, number = self.layout.page_bytes, self.header.free_first
        while number:
            self._take(number, "free list, trunk")
            following, named = trunk_of(number, self.source.read(number), self.layout)
            note = f"free list, trunk: it names {len(named):,} free pages"
            found.append(Page(number, 0, (), size, self.layout.usable - 8 - 4 * len(named), state="free", note=note))
            for leaf in named:
                self._take(leaf, "free list")
                found.append(
                    Page(leaf, 0, (), size, self.layout.usable, state="free", note=f"free list, named by {number}")
                )
            number = following
        if len(found) != self.header.free_pages:
            damaged(self.layout, 1, f"it says that {self.header.free_pages:,} pages are free, and {len(found):,} are")
        return tuple(found)

    def is_table(self, root: int) -> bool:
        """Whether the tree of a root page is a table's with rowids."""
        self.root = root
        self._inside(root)
        return cells_of(root, self.source.read(root), self.layout).table

    def depth(self, root: int) -> int:
        """The levels of a tree, by its left-most pages. Raises `Damaged`."""
        number = root
        for depth in range(1, DEPTH_MAX + 1):
            self._inside(number)
            found = cells_of(number, self.source.read(number), self.layout)
            if found.leaf:
                return depth
            number = found.cells[0].child if found.cells else found.right_most
        damaged(self.layout, root, "no leaf is below it")

    def _below(self, tree: Tree, number: int, level: int) -> None:
        page = self._page(tree, number, level)
        for child in page.children:
            self._below(tree, child, level - 1)

    def _rows(self, number: int, level: int) -> Iterator[tuple[int, Cell]]:
        """The cells of the leaves of a table, each with the number of its page."""
        found = self._cells(number, level, True)
        for cell in found.cells:
            if found.leaf:
                yield number, cell
            else:
                yield from self._rows(cell.child, level - 1)
        if not found.leaf:
            yield from self._rows(found.right_most, level - 1)

    def _page(self, tree: Tree, number: int, level: int) -> Page:
        found = self._cells(number, level, tree.table)
        entries = self._table(number, found) if tree.table else self._index(tree, number, found)
        page = Page(number, level, tuple(entries), self.layout.page_bytes, found.free)
        self.pages[number] = page
        return page

    def _cells(self, number: int, level: int, table: bool) -> Cells:
        self._take(number, "tree")
        found = cells_of(number, self.source.read(number), self.layout)
        if found.leaf != (level == 0):
            damaged(self.layout, number, f"it is {'a leaf' if found.leaf else 'no leaf'} on level {level}")
        if found.table != table:
            damaged(
                self.layout,
                number,
                f"it is a page of {'a table' if found.table else 'an index'} in a tree of the other kind",
            )
        return found

    def _table(self, number: int, found: Cells) -> list[Entry]:
        if found.leaf:
            for cell in found.cells:
                if cell.overflow and self.rows_too:
                    self._payload(number, cell)
            return [Entry(cell.rowid, cell.size, None, ((cell.rowid, 0),)) for cell in found.cells]
        return _beside(found, [(cell.rowid, ()) for cell in found.cells])

    def _index(self, tree: Tree, number: int, found: Cells) -> list[Entry]:
        keys = [self._key(tree, number, cell) for cell in found.cells]
        if not found.leaf:
            return _beside(found, keys)
        return [Entry(key, cell.size, None, row) for cell, (key, row) in zip(found.cells, keys, strict=True)]

    def _key(self, tree: Tree, number: int, cell: Cell) -> tuple[Any, tuple[tuple[int, int], ...]]:
        """The key of an entry of an index, and the rowid that it leads to."""
        found = self._values(number, cell)
        most = len(found) - tree.rowids
        count = len(tree.columns) or most
        if not 0 < count <= most:
            damaged(self.layout, number, "an entry has fewer columns than the index")
        row = NO_ROW
        if tree.rowids:
            if not isinstance(found[-1], int):
                damaged(self.layout, number, "an entry of the index leads to no row")
            row = ((found[-1], 0),)
        return found[0] if count == 1 else tuple(found[:count]), row

    def _values(self, number: int, cell: Cell) -> list[Any]:
        payload = self._payload(number, cell) if cell.overflow else cell.local
        try:
            return values(payload, self.layout.encoding)
        except ValueError as error:
            damaged(self.layout, number, str(error))

    def _payload(self, number: int, cell: Cell) -> bytes:
        """A payload with what stands in its overflow pages, which become pages of the snapshot."""
        parts, rest, at = [cell.local], cell.payload - len(cell.local), cell.overflow
        if rest > self.source.count * self.layout.usable:
            damaged(self.layout, number, "a payload is larger than the file")
        note = f"overflow page of {number}"
        while rest:
            self._take(at, note)
            following, part = overflow_of(at, self.source.read(at), self.layout, rest)
            left = self.layout.usable - CHAIN - len(part)
            self.pages[at] = Page(at, OVERFLOW_LEVEL, (), self.layout.page_bytes, left, note=note)
            parts.append(part)
            rest, at = rest - len(part), following
        return b"".join(parts)

    def _take(self, number: int, what: str) -> None:
        self._inside(number)
        if number in self.seen:
            damaged(self.layout, number, f"two ways lead to it, as {self.seen[number]} and as {what}")
        self.seen[number] = what

    def _inside(self, number: int) -> None:
        if not 0 < number <= self.source.count:
            damaged(self.layout, number, f"something leads there, and the file has {self.source.count:,} pages")
        if number == SCHEMA_ROOT != self.root:
            damaged(self.layout, number, "something else than the table of tables leads there")
        if number == lock_page(self.layout) or (
            self.header.mapped and number > 1 and map_page_of(number, self.layout) == number
        ):
            damaged(self.layout, number, "something leads there, and it is no page of a tree")

    def _snapshot(self, tree: Tree, height: int, complete: bool) -> Snapshot:
        names = tuple(f"{column.name} DESC" if column.descending else column.name for column in tree.columns)
        return Snapshot(tree.name, "sqlite", tree.root, height, self.pages, complete, self.layout.page_bytes, names)


def _beside(found: Cells, keys: list[tuple[Any, tuple[tuple[int, int], ...]]]) -> list[Entry]:
    """The entries of an inner page: each key with the page right of it, the first page with -∞."""
    children = [cell.child for cell in found.cells] + [found.right_most]
    entries = [Entry(MINUS_INFINITY, 4, children[0])]
    for cell, child, (key, row) in zip(found.cells, children[1:], keys, strict=True):
        entries.append(Entry(key, cell.size, child, row))
    return entries


class Sought:
    """A key that is looked for in a tree."""

    def __init__(self, tree: Tree, key: Any, encoding: str) -> None:
        self.tree, self.encoding = tree, encoding
        wanted = key if isinstance(key, tuple) else (key,)
        if tree.table:
            if len(wanted) != 1 or not isinstance(wanted[0], int):
                raise Misuse(f"The key of the table {tree.name} is its rowid, an integer; {key!r} is none.")
        elif not tree.columns:
            raise Unsuitable(f"A key of {tree.name} cannot be looked for: what its columns are is not known.")
        elif not 0 < len(wanted) <= len(tree.columns):
            raise Misuse(f"{tree.name} has {len(tree.columns)} key columns, and the key has {len(wanted)}.")
        self.columns = tree.columns[: len(wanted)] or (Column("rowid"),)
        if foreign := [column for column in self.columns if column.collation not in COLLATIONS]:
            raise Unsuitable(
                f"{foreign[0].name} is ordered by the collation {foreign[0].collation}, which is not known here."
            )
        try:
            self.ranks = [
                rank(value, column.collation, encoding) for column, value in zip(self.columns, wanted, strict=True)
            ]
        except TypeError:
            raise Misuse(f"{key!r} is no value of SQLite.", next="use numbers, text, bytes or None") from None

    def child(self, page: Page) -> int:
        """The page below that has the first entry which is not below the key."""
        low, high = 0, len(page.entries)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._above(page.entries[middle].key) else (low, middle)
        return page.entries[low].child or 0

    def _above(self, key: Any) -> bool:
        found = key if isinstance(key, tuple) else (key,)
        for column, wanted, value in zip(self.columns, self.ranks, found, strict=False):
            other = rank(value, column.collation, self.encoding)
            if wanted != other:
                return (wanted > other) != column.descending
        return False


def census(reading: Reading, trees: Mapping[str, Tree]) -> dict[int, str]:
    """What each page of a file is for: `orders, level 0`, `orders, overflow page of 7`, `free list`, `pointer map`,
    `lock byte`, `nothing`. Raises `Damaged` where one is for two things."""
    found: dict[int, str] = {}
    for name, tree in trees.items():
        reading.pages = {}
        for number, page in reading.whole(tree).pages.items():
            found[number] = f"{name}, {page.note or f'level {page.level}'}"
    for page in reading.free():
        found[page.number] = page.note.partition(":")[0].partition(", named")[0]
    layout = reading.layout
    for number in range(1, reading.source.count + 1):
        if number == lock_page(layout):
            found[number] = "lock byte"
        elif reading.header.mapped and number > 1 and map_page_of(number, layout) == number:
            found[number] = "pointer map"
    return {number: found.get(number, "nothing") for number in range(1, reading.source.count + 1)}
