"""Making millions of values at once.

    read 22 MB ──▶ a million entries, a million keys, a million pointers ──▶ one Snapshot

Python looks for circles among its values each time that their number has grown by some; among values of which none can
be in a circle that is work for nothing, and half of the time of a large reading.

    >>> with many_values():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True

Source: Python's manual, module `gc`.
Left out: values that could be in a circle (events, widgets) are made as ever.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_values() -> Iterator[None]:
    """Inside, no search for circles is made; afterwards it is as it was."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
