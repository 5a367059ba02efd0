"""What a reader of real pages is asked for: all of them, some, or those along a key.

    read_index(engine, name)                       ─▶ all
    read_index(engine, name, pages="all")          ─▶ all
    read_index(engine, name, pages=[3, 7])         ─▶ these
    read_index(engine, name, pages=[])             ─▶ none: only where the root is, and how high the tree
    read_index(engine, name, key=4711)             ─▶ those that a search for the key reads

    >>> asked_for("all", None), asked_for([7, 3, 7], None), asked_for(None, 4711)
    (None, [3, 7], None)
    >>> asked_for([3], 4711)
    Traceback (most recent call last):
    workbook.errors.Misuse: Either some pages are asked for, or a key. Next: leave one of the two out.

Left out: whether there are such pages, which only the reader knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from workbook.errors import Misuse

Pages = Literal["all"] | Iterable[int] | None


def asked_for(pages: Pages, key: Any) -> list[int] | None:
    """The numbers of the pages that are asked for; None for all of them, or for those along a key.

    Raises `Misuse` where both are asked for, or what are no numbers.
    """
    if key is not None and pages is not None:
        raise Misuse("Either some pages are asked for, or a key.", next="leave one of the two out")
    if pages is None or (isinstance(pages, str) and pages == "all"):
        return None
    numbers = None if isinstance(pages, str | bytes) or not isinstance(pages, Iterable) else list(pages)
    if numbers is None or not all(isinstance(number, int) for number in numbers):
        raise Misuse(f"There are no pages {pages!r}.", next='write pages="all", or the numbers of some, as [1, 3]')
    return sorted(set(numbers))
