"""What happened, step by step: an event, and the tree as it was after it.

    with tree.trace() as steps:
        tree.insert(17)
                                 steps[0]  read page 3        ┐
                                 steps[1]  17 is below 30     ├─ each with a snapshot: pages that did not change are the
                                 steps[2]  go down to page 1  ┘  same values, so that a step costs little

    >>> from workbook.btree.tree import Tree
    >>> tree = Tree(page_bytes=128)
    >>> with tree.trace() as steps:
    ...     _ = tree.insert(17), tree.insert(30)
    >>> print(steps)
      1 read      Page 1 is read.
      2 insert    17 takes slot 0 of page 1; 68 bytes stay free.
      3 write     Page 1 is written.
      4 read      Page 1 is read.
      5 compare   30 is above 17: look right of it.
      6 insert    30 takes slot 1 of page 1; 48 bytes stay free.
      7 write     Page 1 is written.
    >>> steps[4].snapshot is steps[3].snapshot, len(steps[-1].snapshot.pages[1].entries)
    (True, 2)

Left out: going back in time in the tree itself; a step is a picture of it, the tree goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

from workbook.btree.page import Event, Snapshot


@dataclass(frozen=True, slots=True)
class Step:
    """An `event`, the `snapshot` after it, the page numbers in the `pool` (the one used last first), and those among
    them that are `changed` and still to be written."""

    event: Event
    snapshot: Snapshot
    pool: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()


class Trace(Sequence[Step]):
    """The steps of one `tree.trace()`, in order. `str()` is their text."""

    def __init__(self, now: Callable[[], tuple[Snapshot, tuple[int, ...], tuple[int, ...]]]) -> None:
        self._now = now
        self._steps: list[Step] = []

    def add(self, event: Event) -> None:
        """Record an event with the tree as it is now."""
        self._steps.append(Step(event, *self._now()))

    @property
    def events(self) -> list[Event]:
        return [step.event for step in self._steps]

    @overload
    def __getitem__(self, place: int) -> Step: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Step]: ...

    def __getitem__(self, place: int | slice) -> Step | Sequence[Step]:
        return self._steps[place]

    def __len__(self) -> int:
        return len(self._steps)

    def __str__(self) -> str:
        return "\n".join(f"{place:3} {event.kind:9} {event}" for place, event in enumerate(self.events, 1))

    __repr__ = __str__
