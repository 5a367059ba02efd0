"""Running a built notebook, and keeping only such outputs as may be committed.

    notebook ── a fresh kernel, from top to bottom ──▶ outputs ── clean ──▶ committed
                     │ an error                                     │ names this machine? an address in memory?
                     ▼                                              ▼
                DoesNotBuild, with the cell                    DoesNotBuild, with the cell

An error stops the build, unless the cell carries the tag `raises-exception`; then its last line is kept, without the
frames, whose paths are this machine's.

    >>> issubclass(DoesNotBuild, WorkbookError)
    True

A widget's view is a random number that means something only to the kernel that is gone; the still picture beside it is kept,
and no state of widgets is stored. A widget that leaves no still behind cannot be committed.

Left out: pictures as PNG. They differ from machine to machine.
"""

from __future__ import annotations

import os
import re
import tempfile
import textwrap
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbook.cli.build.source import COMPARED, INTENDED
from workbook.errors import WorkbookError

if TYPE_CHECKING:
    from nbformat import NotebookNode

CELL_S_MAX = 180
VIEW = "application/vnd.jupyter.widget-view+json"
STILL = "image/svg+xml"
_ADDRESS = re.compile(r"\b0x[0-9a-f]{8,}\b")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class DoesNotBuild(WorkbookError):
    """A book text that does not run, or whose outputs cannot be committed."""

    exit_code = 1

    def __init__(self, name: str, cell: NotebookNode, number: int, what: str, next: str = "") -> None:
        shown = textwrap.indent(cell.source.strip(), "    ")
        super().__init__(f"{name}, cell {number} ({cell.id}): {what}\n\n{shown}\n", next=next)


def run(
    notebook: NotebookNode,
    *,
    name: str,
    folder: Path,
    mode: str = "desk",
    step: Callable[[], None] = lambda: None,
    forbidden: tuple[str, ...] = (),
) -> None:
    """Run a notebook in place, with `folder` as its working folder.

    Parameters: `name` for messages; `mode` is WORKBOOK_CHECK of its kernel; `step` is called after each cell; the
    texts in `forbidden` (paths of this machine) may not stand in an output. Raises `DoesNotBuild`.
    """
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    running = 0

    def started(cell: NotebookNode, cell_index: int) -> None:
        nonlocal running
        running = cell_index

    def ended(cell: NotebookNode, cell_index: int) -> None:
        step()

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="workbook-build-") as scratch:
        manager = AsyncKernelManager(kernel_name="python3")
        client = NotebookClient(
            notebook, km=manager, timeout=CELL_S_MAX, record_timing=False, coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}}, on_cell_start=started, on_cell_complete=ended,
            store_widget_state=False,
        )  # fmt: skip
        try:
            _execute(client, environment(mode, Path(scratch)))
        except CellExecutionError as error:
            what = _COLOUR.sub("", f"raises {error.ename}: {error.evalue}")
            raise DoesNotBuild(name, notebook.cells[running], running + 1, what) from None
        except CellTimeoutError:
            what = f"runs for more than {CELL_S_MAX} s."
            raise DoesNotBuild(name, notebook.cells[running], running + 1, what) from None
        except DeadKernelError:
            raise DoesNotBuild(name, notebook.cells[running], running + 1, "ends its kernel.") from None
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code":
            cell.outputs = [cleaned(output) for output in cell.outputs]
            cell.metadata.pop("execution", None)
            refuse(name, cell, number, forbidden)


def _execute(client: Any, environment: Mapping[str, str]) -> None:
    """Run a notebook's cells, in a thread: in the main one nbclient would take a Ctrl-C for the kernel's own end."""
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(client.execute, env=environment, cleanup_kc=True)
        try:
            while not ended.done():
                wait([ended], 0.2)  # Windows has no Ctrl-C for a wait without an end
        except KeyboardInterrupt:
            while not ended.done():  # the kernel may be about to start
                if kernel := getattr(client.km.provisioner, "process", None):
                    kernel.kill()
                wait([ended], 0.1)
            raise
        ended.result()


def environment(mode: str, scratch: Path) -> dict[str, str]:
    """The environment of a kernel that builds: no person's record, no IPython profile, no nbgrader."""
    kept = {key: value for key, value in os.environ.items() if key not in ("WORKBOOK_MY_WORK", "NBGRADER_EXECUTION")}
    return {**kept, "WORKBOOK_CHECK": mode, "IPYTHONDIR": str(scratch), "JUPYTER_PREFER_ENV_PATH": "1"}


def cleaned(output: NotebookNode) -> NotebookNode:
    """An output without what changes from run to run: display ids, a widget's view beside its still, frames of a
    traceback, colours of a terminal."""
    output.pop("transient", None)
    if STILL in output.get("data", {}):
        output.data.pop(VIEW, None)
    if output.output_type == "error":
        output.evalue = _COLOUR.sub("", output.evalue)
        output.traceback = [f"{output.ename}: {output.evalue}"]
    return output


def refuse(name: str, cell: NotebookNode, number: int, forbidden: tuple[str, ...]) -> None:
    """Raise `DoesNotBuild` for outputs that cannot be committed."""
    for output in cell.outputs:
        text = "".join(_texts(output))
        found = next((path for path in forbidden if path in text), "")
        if found:
            what = f"its output names this machine: {found}."
            raise DoesNotBuild(name, cell, number, what, next="do not print paths, and mend what warns")
        if VIEW in output.get("data", {}):
            what = "shows a widget that leaves no still picture behind."
            raise DoesNotBuild(name, cell, number, what, next="show a Player, or a picture beside the widget")
        if output.output_type == "error" and INTENDED not in cell.metadata.get("tags", []):
            raise DoesNotBuild(name, cell, number, f"shows {output.ename}: {output.evalue}")
        if COMPARED in cell.metadata.get("tags", []) and _ADDRESS.search(text):
            what = "its output holds an address in memory, which differs in every run."
            raise DoesNotBuild(name, cell, number, what, next="give the object a __repr__")


def _texts(output: Any) -> list[str]:
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return [output.evalue, *output.traceback]
    return [value for value in output.data.values() if isinstance(value, str)]
