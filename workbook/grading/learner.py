"""The process that runs a learner's notebook, cell by cell, for a judge in another process.

    judge ── {"cell": 3, "source": "...", "deadline_s": 30} ──▶ this process ── IPython ──▶ the learner's code
          ◀── {"check": ...} and what it asks for ────────────   while the cell runs
          ◀── {"ended": 3, "state": "error", "message": ...} ──   when it has run

It knows libraries and the client, and no judge; where there is a guard it sees no solution either. What the code prints
goes nowhere. An endless loop is broken off by an alarm first, so that the names of earlier cells survive; a loop that
swallows even that is killed from outside. Memory is limited where the system can.

    >>> sentence(NameError("name 'x' is not defined"))
    "NameError: name 'x' is not defined"

Left out: outputs, widgets, magics that need a front end.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import Any

from workbook.grading.channel import Channel, open_channel
from workbook.grading.local import Overdue, deadline, line_of

MEGABYTE = 1024 * 1024


def sentence(error: BaseException) -> str:
    """An exception in a line, with the learner's line of code where it is known."""
    text = f"{type(error).__name__}: {error}".strip().rstrip(":")[:300]
    line = line_of(error)
    return f"{text} ({line[:160]})" if line else text


def limit(memory_mb: int) -> None:
    """Limit the address space and the size of files, where the system has such limits."""
    try:
        import resource
    except ImportError:
        return
    limits = ((resource.RLIMIT_AS, memory_mb), (resource.RLIMIT_FSIZE, 2048), (resource.RLIMIT_CORE, 0))
    for what, most_mb in limits:
        with contextlib.suppress(ValueError, OSError):  # macOS refuses the first one
            resource.setrlimit(what, (most_mb * MEGABYTE, most_mb * MEGABYTE))


def _streams() -> tuple[io.TextIOWrapper, io.TextIOWrapper]:
    """Take standard input and output for the channel, and leave the learner's code a silent pair."""
    reading = os.fdopen(os.dup(0), "r", encoding="utf-8", newline="\n")
    writing = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    silent = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(silent, number)
    return reading, writing


def _shell() -> Any:
    """An IPython that shows nothing and keeps no history."""
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.display_pub_class = CapturingDisplayPublisher
    config.InteractiveShell.colors = "nocolor"
    shell: Any = InteractiveShell.instance(config=config)
    shell.displayhook.quiet = lambda: True
    shell.showtraceback = lambda *_, **__: None
    shell.showsyntaxerror = lambda *_, **__: None
    return shell


def run(shell: Any, source: str, deadline_s: float) -> dict[str, str]:
    """Run one cell; its state and a message."""
    try:
        with deadline(deadline_s):
            result = shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
    except Overdue as late:
        error = late
    except BaseException as raised:  # whatever a cell raises, the next one runs
        error = raised
    if error is None:
        return {"state": "ran", "message": ""}
    if isinstance(error, Overdue):
        return {"state": "timed out", "message": f"the cell ran longer than {deadline_s:g} s"}
    if isinstance(error, MemoryError):
        return {"state": "out of memory", "message": "the cell asked for more memory than there is"}
    return {"state": "error", "message": sentence(error)}


def serve(channel: Channel, shell: Any) -> None:
    """Run cells until the judge has no more."""
    with contextlib.suppress(EOFError):
        while True:
            asked = channel.receive()
            if "cell" not in asked:
                return
            ended = run(shell, asked["source"], asked["deadline_s"])
            channel.send({"ended": asked["cell"], **ended})


def main(memory_mb: int) -> None:
    """Open the channel on standard input and output, say `ready`, and serve."""
    channel = open_channel(*_streams())
    os.environ["WORKBOOK_CHECK"] = "class"
    shell = _shell()
    limit(memory_mb)
    channel.send({"ready": sys.version.split()[0]})
    serve(channel, shell)
    os._exit(0)


if __name__ == "__main__":
    main(int(json.loads(sys.argv[1])))
