"""A tree that is stepped through, forwards and back: one page read, one comparison, one split at a time.

    stepper(keys=20)                            twenty keys, drawn by a seed, go into a new tree
    stepper(tree, keys=[17, ("delete", 30)])    a copy of your own tree, your own keys
    stepper(trace)                              what `tree.trace()` recorded
    stepper(snapshot, find=4711)                a search in a tree as it stands
    stepper(engine, "orders_pkey", find=4711)   a search in a real index: of a million rows the pages of the path are read, and
                                                those above and beside it, so that all others can be counted

      ┌ key [17      ]  insert  find  delete  undo    previous key  next key ┐
      │ first  back  forward  last   step ──●──────────────── 31  of 96      │
      │ insert 17 · 17 is above 10: look right of it.                        │
      │ ┌ the tree, what is read and written lit ────────┐ ┌ the pool ─────┐ │
      └──────────────────────────────────────────────────────────────────────┘

    >>> steps = stepper(keys=[10, 20], pool_pages=None)
    >>> print(steps.player[-1])
    insert 20 · Page 1 is written.
      numbers: 1 level, 1 page of 128 bytes
      root and leaf, level 0: 1 page
        page 1, written: 2 entries, 45 % full, 48 bytes free: 10, 20
    >>> steps.find(20)
    >>> print(steps.player[-1].caption)
    find 20 · 20 is found in slot 1 of page 1: it leads to row 1.

What is typed happens in a copy: the tree that you hand over stays as it is. Left out: several people at once; what a search in a
real index does to the server's own buffer pool.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, get_args

from workbook.btree.page import Snapshot
from workbook.btree.picture import lit, picture, pool_data, touched
from workbook.btree.plays import Growing, Operation, Play, Reading, Standing, World
from workbook.btree.tracing import Step, Trace
from workbook.btree.tree import Tree
from workbook.btree.typed import typed
from workbook.draw.picture import Picture
from workbook.draw.player import VIEW, Frame, Player, view
from workbook.draw.pool import pool_picture
from workbook.draw.tree import WIDTH
from workbook.errors import Misuse, WorkbookError

if TYPE_CHECKING:
    import ipywidgets
    import sqlalchemy as sa

BESIDE_POOL = 666.0
KEYS_MAX = 2000
ROUNDS, CHANGES = {"read", "hit"}, {"insert", "delete", "merge"}


def stepper(
    source: Tree | Trace | Snapshot | sa.Engine | None = None,
    index: str = "",
    *,
    keys: Iterable[Any] | int | None = None,
    find: Any = ...,
    seed: int = 1,
    page_bytes: int = 128,
    pool_pages: int | None = 4,
    title: str = "",
    still: int = -1,
) -> Stepper:
    """A view of a tree that goes forwards and back.

    Parameters: the `source`, a teaching tree (of which a copy is made), a trace, a snapshot, or an engine of the workbook with
    the name of an `index` (a table or an index where it is SQLite); None for a new tree of pages of `page_bytes` with a pool of
    `pool_pages` frames (None: no pool). `keys` that are inserted one after the other, each a key or an operation such as ("insert",
    17), ("delete", 17), ("find", 17), ("range", 10, 30); as a number, so many keys drawn by `seed`. A key to `find` after
    that (None: NULL; `...`: no search). A `title`; `still` is the number of the frame that a notebook stores. Raises `Misuse` for what makes no sense, and
    what the readers raise.
    """
    if not isinstance(title, str):
        raise Misuse(f"{title!r} is no title.", next='write it as text: title="Splits"')
    world = _world(source, index, page_bytes, pool_pages)
    name = world.start.snapshot.name
    made = Stepper(world, title or f"{name}, step by step", still=still)
    for operation, key in _operations(keys, seed):
        world.do(operation, key)
    if find is not ...:
        world.do("find", find)
    made.rewind()
    return made


def _world(source: Any, index: str, page_bytes: int, pool_pages: int | None) -> World:
    if source is None:
        return Growing(None, page_bytes=page_bytes, pool_pages=pool_pages, name="numbers")
    if isinstance(source, Tree):
        return Growing(source)
    if isinstance(source, Trace):
        return _Recorded(source)
    if isinstance(source, Snapshot):
        return Standing(source)
    if not index:
        raise Misuse(
            f"A {type(source).__name__} is nothing that can be stepped through.",
            next="give a Tree, a trace, a snapshot, or an engine with the name of an index",
        )
    from workbook.btree.postgres import read_index
    from workbook.btree.sqlite import read_sqlite

    sqlite = getattr(getattr(source, "dialect", None), "name", "") == "sqlite" or not hasattr(source, "dialect")
    read = read_sqlite if sqlite else read_index
    return Reading(lambda **what: read(source, index, **what))


def _operations(keys: Iterable[Any] | int | None, seed: int) -> list[tuple[Operation, Any]]:
    if keys is None:
        return []
    if type(keys) is int:
        if keys < 0:
            raise Misuse(f"{keys:,} keys cannot be drawn.", next=f"take a number from 0 to {KEYS_MAX:,}")
        if keys > KEYS_MAX:
            raise Misuse(f"{keys:,} keys are too many to be stepped through.", next=f"take at most {KEYS_MAX:,}")
        keys = random.Random(seed).sample(range(1, max(100, 5 * keys)), keys)
    if not isinstance(keys, Iterable):
        raise Misuse(f"{keys!r} are no keys.", next="give a list of them, as [17, 30], or how many are to be drawn")
    found = [_operation(key) for key in keys]
    if len(found) > KEYS_MAX:
        raise Misuse(
            f"{len(found):,} operations are too many to be stepped through.", next=f"take at most {KEYS_MAX:,}"
        )
    return found


def _operation(key: Any) -> tuple[Operation, Any]:
    """What is to be done with what: a key that stands alone is inserted."""
    if not (isinstance(key, tuple) and len(key) > 1 and key[0] in get_args(Operation)):
        return "insert", key
    operation, *told = key
    wanted = 2 if operation == "range" else 1
    if len(told) != wanted:
        raise Misuse(
            f"{key!r} has {len(told)} key{'s' * (len(told) != 1)}.",
            next='a range has two ends: ("range", 10, 30)' if wanted == 2 else f'write ("{operation}", 17)',
        )
    return operation, tuple(told) if wanted == 2 else told[0]


class _Recorded(World):
    """What a trace recorded, cut where a search begins at the root."""

    operations = ()

    def __init__(self, trace: Trace) -> None:
        if not trace:
            raise Misuse("Nothing was recorded.", next="do something inside the `with tree.trace() as steps:`")
        super().__init__(Step(trace[0].event, trace[0].snapshot, trace[0].pool, trace[0].changed))
        self.frames = max(len(step.pool) for step in trace)
        starts = [
            at for at, step in enumerate(trace) if step.event.kind in ROUNDS and step.event.page == step.snapshot.root
        ]
        cuts = sorted({0, *starts, len(trace)})
        for begin, end in pairwise(cuts):
            before = self.plays[-1].counts() if self.plays else {}
            self.plays.append(Play("", trace[begin:end], before))


class Stepper:
    """A player of what happens in a tree, with a field for your own keys. `player` holds the frames: frame 0 is the tree before
    anything happens, and each step is one more."""

    def __init__(self, world: World, title: str, *, still: int = -1) -> None:
        self._world = world
        self._widget: ipywidgets.VBox | None = None
        self._ends = [0]
        self.player = Player(self._frame, 1, title=title, still=still)

    @property
    def snapshot(self) -> Snapshot:
        """The tree after all operations."""
        plays = self._world.plays
        return (plays[-1].steps[-1] if plays else self._world.start).snapshot

    def insert(self, key: Any) -> None:
        """Insert a key, and show its first step. Raises `Misuse`, as the other three do."""
        self._do("insert", key)

    def delete(self, key: Any) -> None:
        """Delete all rows of a key, and show the first step."""
        self._do("delete", key)

    def find(self, key: Any) -> None:
        """Look for a key, and show the first step."""
        self._do("find", key)

    def range(self, low: Any, high: Any) -> None:
        """Read all keys from `low` to `high`, and show the first step."""
        self._do("range", (low, high))

    def undo(self) -> None:
        """Take the last operation back, and show the tree as it was before it."""
        self._world.undo()
        self.rewind(self._steps())

    def rewind(self, at: int = 0) -> None:
        """Show the steps that there are, from number `at` on."""
        self.player.replace(self._frame, self._steps() + 1, at=at)

    def _do(self, operation: Operation, key: Any) -> None:
        at = self._steps() + 1
        self._world.do(operation, key)
        self.rewind(at)

    def _steps(self) -> int:
        self._ends = list(accumulate((len(play.steps) for play in self._world.plays), initial=0))
        return self._ends[-1]

    def _frame(self, number: int) -> Frame:
        world = self._world
        place = max(bisect_right(self._ends, number - 1) - 1, 0)
        play = world.plays[place] if world.plays else Play("", [])
        done = max(number - self._ends[place], 0) if world.plays else 0
        step = play.steps[done - 1] if done else world.before
        events = play.events[:done]
        focus, seen = touched(events if world.zooms else play.events), step.snapshot
        if world.zooms and seen.height > 1 and not any(seen.pages[page].level == 0 for page in focus):
            seen = replace(seen, pages={number: page for number, page in seen.pages.items() if page.level})
        width = BESIDE_POOL if world.frames else WIDTH
        drawn = [picture(seen, lit(events, seen), focus=focus, width=width)]
        if world.frames:
            event = step.event if done else None
            changed = {*step.changed, *([event.page] if event is not None and event.kind in CHANGES else [])}
            held = pool_data(step.snapshot, step.pool, changed, world.frames, event, play.counts(done))
            drawn.append(pool_picture(held))
        title = f"{play.title} · " if play.title else ""
        return Frame(tuple(drawn), f"{title}{step.event}" if done else "This is the tree before the first step.")

    @property
    def widget(self) -> ipywidgets.VBox:
        """The field for keys above the player; the same one each time it is asked for."""
        if self._widget is None:
            self._widget = _Keys(self, self._world).over(self.player)
        return self._widget

    def jump(self, way: int) -> None:
        """Show the first step of the next operation (`way` 1), or of this one and then the one before it (-1)."""
        starts = [end + 1 for end in self._ends[:-1]] or [0]
        here = self.player.at
        later, earlier = [at for at in starts if at > here], [at for at in (0, *starts) if at < here]
        self.player.show(
            later[0] if way > 0 and later else len(self.player) - 1 if way > 0 else max(earlier, default=0)
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        still: Picture = self.player.still
        return {VIEW: view(self.widget), "image/svg+xml": still.svg, "text/plain": still.text}

    def __str__(self) -> str:
        return str(self.player)

    __repr__ = __str__


class _Keys:
    """The field in which keys are typed, and what can be done with them."""

    def __init__(self, stepper: Stepper, world: World) -> None:
        import ipywidgets as w

        self._stepper, self._world = stepper, world
        several = "range" in world.operations
        self._text = w.Text(
            description="key", placeholder="17, 30 or 10..30" if several else "17", style={"description_width": "initial"},
            tooltip="keys, with commas; Enter does what the first button does", layout=w.Layout(width="15em"),
        )  # fmt: skip
        self._text.on_msg(self._entered)
        words: dict[str, tuple[str, Callable[[], None]]] = {
            operation: (f"{operation} what is typed", partial(self._do, operation))
            for operation in ("insert", "find", "delete")
            if operation in world.operations
        }
        if "insert" in words:
            words["undo"] = ("take the last operation back", stepper.undo)
        self._first = next(iter(words), "")
        words["previous key"] = ("to the first step of the key before", partial(stepper.jump, -1))
        words["next key"] = ("to the first step of the next key", partial(stepper.jump, 1))
        self._buttons = [self._button(word, *what) for word, what in words.items()]
        shown = [self._text, *self._buttons] if self._first else self._buttons
        self._row = w.HBox(shown, layout=w.Layout(flex_flow="row wrap", align_items="center"))

    def over(self, player: Player) -> ipywidgets.VBox:
        import ipywidgets as w

        box = w.VBox([self._row, player.widget], layout=w.Layout(max_width="100%"))
        box.add_class("workbook-stepper")
        return box

    def _button(self, word: str, tooltip: str, do: Callable[[], None]) -> ipywidgets.Button:
        import ipywidgets as w

        button = w.Button(description=word, tooltip=tooltip, layout=w.Layout(width="auto"))
        button.on_click(lambda _: self._try(do))
        return button

    def _entered(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and content.get("event") == "submit" and self._first:
            self._try(partial(self._do, self._first))

    def _try(self, do: Callable[[], None]) -> None:
        """Do it; where it cannot be done, say why in the caption."""
        try:
            do()
        except WorkbookError as error:
            self._stepper.player.say(str(error))

    def _do(self, operation: str) -> None:
        like, text = self._world.like(), self._text.value
        low, dots, high = text.partition("..")
        at = len(self._stepper.player)
        if dots:
            bounds = [typed(part, like) for part in (low, high)]
            if operation != "find" or any(len(part) != 1 for part in bounds):
                raise Misuse("A range can be read, and has two ends.", next="write it as 10..30, and press find")
            self._stepper.range(bounds[0][0], bounds[1][0])
        else:
            for key in typed(text, like):
                getattr(self._stepper, operation)(key)
            self._stepper.player.show(at)
        self._text.value = ""
