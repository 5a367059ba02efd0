"""What is stepped through: operations one after the other, each with its steps; in a teaching tree, in a tree as it stands, in a
real index.

    Growing    a copy of a teaching tree: insert, delete, find, range, undo      ┐
    Standing   a snapshot: find                                                  ├── do(operation) ──▶ Play: title, steps
    Reading    an index of PostgreSQL or SQLite: find, page by page from disk    ┘

    >>> world = Growing(None, page_bytes=128, pool_pages=None)
    >>> play = world.do("insert", 17)
    >>> play.title, [step.event.kind for step in play.steps]
    ('insert 17', ['read', 'insert', 'write'])

Undo starts from the tree that was handed over and repeats all operations but the last one, so the pool is undone, too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from workbook.btree.page import Event, Page, Snapshot, is_bound, shown
from workbook.btree.picture import WHOLE_MAX
from workbook.btree.search import search
from workbook.btree.tracing import Step
from workbook.btree.tree import Tree
from workbook.errors import Misuse

Operation = Literal["insert", "delete", "find", "range"]
Read = Callable[..., Snapshot]
"""read(key=...) or read(pages=[...]): a reader of a real index."""
COUNTED = {"hit": "hits", "read": "reads", "evict": "evictions"}
INNER_READ_MAX = 400


@dataclass(frozen=True)
class Play:
    """One operation: its `title`, what happened, and what the pool had counted before."""

    title: str
    steps: Sequence[Step]
    before: dict[str, int] = field(default_factory=dict)

    @property
    def events(self) -> list[Event]:
        return [step.event for step in self.steps]

    def counts(self, steps: int | None = None) -> dict[str, int]:
        """What the pool has counted after so many steps; after all of them."""
        found = {name: self.before.get(name, 0) for name in COUNTED.values()}
        for step in self.steps[:steps]:
            if step.event.kind in COUNTED:
                found[COUNTED[step.event.kind]] += 1
        return found


class World:
    """What a stepper stands on: where it begins, and what can be done there."""

    operations: tuple[Operation, ...] = ("find",)
    frames = 0
    zooms = False  # whether pages come into view as they are read

    def __init__(self, start: Step) -> None:
        self.start = start
        self.plays: list[Play] = []

    @property
    def before(self) -> Step:
        """The tree before the first step."""
        return self.start

    def do(self, operation: Operation, key: Any) -> Play:
        """Do something, and keep its steps. Raises `Misuse` for what cannot be done here."""
        if not self.operations:
            raise Misuse(
                f"There is no {operation} here: what was recorded is over.",
                next="step through the tree itself: stepper(tree)",
            )
        if operation not in self.operations:
            raise Misuse(f"There is no {operation} here.", next=f"there is {', '.join(self.operations)}")
        play = self._do(operation, key)
        if not play.steps:
            raise Misuse(f"Nothing happens: {play.title}.")
        self.plays.append(play)
        return play

    def undo(self) -> None:
        """Take the last operation back. Raises `Misuse` where there is none."""
        if not self.plays:
            raise Misuse("There is nothing to undo.")
        self.plays.pop()

    def like(self) -> Any:
        """A key of the tree, None where it has none."""
        snapshot = self.plays[-1].steps[-1].snapshot if self.plays else self.start.snapshot
        leaves_first = sorted(snapshot.pages.values(), key=lambda page: page.level)
        keys = (entry.key for page in leaves_first for entry in page.entries)
        return next((key for key in keys if key is not None and not is_bound(key)), None)

    def _do(self, operation: Operation, key: Any) -> Play:
        raise NotImplementedError


class Growing(World):
    """A teaching tree that operations change: a copy of the one that is handed over, or a new one with these `options`."""

    operations = ("insert", "delete", "find", "range")

    def __init__(self, tree: Tree | None, **options: Any) -> None:
        self._begin = Tree(**options) if tree is None else copy.deepcopy(tree)
        self._done: list[tuple[Operation, Any]] = []
        self.tree = copy.deepcopy(self._begin)
        self.frames = self.tree.pool_pages or 0
        super().__init__(Step(Event("read", self.tree.root), self.tree.snapshot(), self.tree.pool))

    def _do(self, operation: Operation, key: Any) -> Play:
        before = self.plays[-1].counts() if self.plays else {}
        with self.tree.trace() as trace:
            self._perform(operation, key)
        self._done.append((operation, key))
        return Play(f"{operation} {said(operation, key)}", trace, before)

    def _perform(self, operation: Operation, key: Any) -> None:
        if operation == "range":
            low, high = key
            list(self.tree.scan(low, high))
        else:
            does: dict[str, Callable[[Any], Any]] = {
                "insert": self.tree.insert, "delete": self.tree.delete, "find": self.tree.find,
            }  # fmt: skip
            does[operation](key)

    def undo(self) -> None:
        super().undo()
        self._done.pop()
        self.tree = copy.deepcopy(self._begin)
        for operation, key in self._done:
            self._perform(operation, key)


class Standing(World):
    """A tree as it stands: keys are looked for in it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.zooms = len(snapshot.pages) > WHOLE_MAX
        super().__init__(Step(Event("read", snapshot.root), snapshot))

    def _do(self, operation: Operation, key: Any) -> Play:
        return _sought(self.start.snapshot, key)


class Reading(World):
    """A real index: for each key the pages of its path are read, those beside it, and the inner pages as long as they are few, so
    that all other pages are counted."""

    zooms = True

    def __init__(self, read: Read) -> None:
        self._read = read
        root = read(pages=[])
        super().__init__(Step(Event("read", root.root), self._with(root, [root.root] if root.height else [])))

    def _do(self, operation: Operation, key: Any) -> Play:
        path = self._read(key=(None,) if key is None else key)
        return _sought(self._around(path), key)

    @property
    def before(self) -> Step:
        """The same pages as in the first step."""
        return replace(self.start, snapshot=self.plays[0].steps[0].snapshot) if self.plays else self.start

    def _with(self, snapshot: Snapshot, numbers: Sequence[int]) -> Snapshot:
        """The same, with more pages."""
        new = sorted(set(numbers) - set(snapshot.pages))
        return replace(snapshot, pages={**snapshot.pages, **self._read(pages=new).pages}) if new else snapshot

    def _around(self, path: Snapshot) -> Snapshot:
        """The path with the pages beside it, and the inner pages where they are few."""
        found, on_path = path, list(path.pages.values())
        for level in range(path.height - 2, -1, -1):
            named = [child for page in found.level(level + 1) for child in page.children]
            if level and len(named) <= INNER_READ_MAX:
                found = self._with(found, named)
                continue
            beside: list[int] = []
            for page in (page for page in on_path if page.level == level):
                beside += [number for number in (page.left, page.right) if number is not None]
                beside += _beside(named, page)
            found = self._with(found, beside)
        return found


def _beside(named: Sequence[int], page: Page) -> list[int]:
    """The pages that the level above names next to this one: SQLite's pages have no links to their siblings."""
    if page.number not in named:
        return []
    place = named.index(page.number)
    return [*named[max(place - 1, 0) : place], *named[place + 1 : place + 2]]


def _sought(snapshot: Snapshot, key: Any) -> Play:
    return Play(f"find {shown(key)}", [Step(event, snapshot) for event in search(snapshot, key)])


def said(operation: Operation, key: Any) -> str:
    """What an operation is done with, as text."""
    return " to ".join(shown(part) for part in key) if operation == "range" else shown(key)
