"""A bar that tells how far long work has come: on a terminal's standard error, in a notebook as one line that stays.

    trying remedies   ━━━━━━━━━━━━╸━━━━━━━━━━   812 of 1,260      while it goes on
    trying remedies: 1,260 of 1,260                               in a notebook, afterwards

What a notebook keeps depends on what was done, never on how long it took, so that a stored notebook is the same each
time it is built: the bar is there from `SHOWN_FROM` steps on. On a terminal it comes once the work has lasted a second,
and goes with it.

    >>> with bar("counting", 3) as step:
    ...     for _ in range(3):
    ...         step()

Left out: how long it will still take, which nobody knows.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from workbook.engines.loading import progress

SHOWN_FROM, DRAWN_EACH_S = 300, 0.1


@contextlib.contextmanager
def bar(what: str, steps: int) -> Iterator[Callable[[], None]]:
    """A bar of so many steps; what is yielded is called after each one."""
    with _in_notebook(what, steps) if steps >= SHOWN_FROM and _is_notebook() else progress(what, steps) as step:
        yield step


def _is_notebook() -> bool:
    """Whether a kernel runs this, so that what is displayed is seen."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


@contextlib.contextmanager
def _in_notebook(what: str, steps: int) -> Iterator[Callable[[], None]]:
    from IPython.display import display

    done, drawn = 0, time.monotonic()

    def said() -> dict[str, str]:
        return {"text/plain": f"{what}: {done:,} of {steps:,}"}

    def shown() -> dict[str, str]:
        text = said()["text/plain"]
        return {**said(), "text/html": f'<progress value="{done}" max="{steps}" aria-label="{what}"></progress> {text}'}

    def step() -> None:
        nonlocal done, drawn
        done += 1
        if time.monotonic() - drawn >= DRAWN_EACH_S:
            drawn = time.monotonic()
            handle.update(shown(), raw=True)

    handle = display(shown(), raw=True, display_id=True)
    try:
        yield step
    finally:
        handle.update(said(), raw=True)
