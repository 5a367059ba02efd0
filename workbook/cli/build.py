"""`workbook build`: makes the notebooks from `book/`, runs what changed, stores the outputs.

    book/*.py ── changed? ──▶ notebooks_of ──▶ nbclient runs lessons and solutions ──▶ notebooks/, labs/, solutions/

What is stored is the same for the same text, but for the outputs that no test compares. `--check` builds without running and says what is stale.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer
from nbformat import NotebookNode

from workbook.cli.book import notebooks_of
from workbook.cli.places import BOOK, LABS, ROOT
from workbook.errors import Misuse, WorkbookError

CELL_S_MAX = 300


class CellFailed(WorkbookError):
    """A cell of a lesson or a solution raised an exception that it does not announce."""

    exit_code = 1


def sources(names: list[str]) -> list[Path]:
    """The files of the book by name (without `.py`), all of them for no name. Raises `Misuse` for a name that there is not."""
    found = {path.stem: path for path in sorted(BOOK.glob("*.py")) if path.stem != "TEMPLATE"}
    unknown = [name for name in names if name.removesuffix(".py") not in found]
    if unknown:
        raise Misuse(f"There is no book/{unknown[0]}.py.", next=f"name one of {', '.join(found)}")
    return [found[name.removesuffix(".py")] for name in names] or list(found.values())


def stale(path: Path) -> list[Path]:
    """The targets of one file of the book that differ from what the build makes, their outputs left aside."""
    return [target for target, made in notebooks_of(path).items() if not target.exists() or bare(made) != bare(nbformat.read(target, as_version=4))]


def bare(notebook: Any) -> Any:
    """A notebook without what a run adds: outputs, execution counts, the kernel's version."""
    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    copy.metadata.get("language_info", {}).pop("version", None)
    return copy


def execute(notebook: NotebookNode, folder: Path, progress: Any = None) -> None:
    """Run a notebook in place in a kernel of its own, and clean what the run left in it. Raises `CellFailed`."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    client = NotebookClient(
        notebook, timeout=CELL_S_MAX, kernel_name="python3", resources={"metadata": {"path": str(folder)}}, record_timing=False,
        on_cell_complete=lambda **_: progress() if progress else None,
    )  # fmt: skip
    try:
        client.execute(env={**os.environ, "WORKBOOK_CHECK": "desk"})
    except CellExecutionError as error:
        raise CellFailed(f"A cell failed:\n{error}", next="mend it in book/, or tag it raises-exception where it is meant") from None
    except CellTimeoutError as error:
        raise CellFailed(f"A cell ran longer than {CELL_S_MAX} s: {str(error)[:300]}") from None
    count = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = count
    notebook.metadata["language_info"] = NotebookNode(name="python")


def _write(target: Path, notebook: NotebookNode) -> None:
    target.parent.mkdir(exist_ok=True)
    new = target.with_suffix(".new")
    nbformat.write(notebook, new)
    new.replace(target)


def build(
    names: Annotated[list[str] | None, typer.Argument(help="Which files of book/, by name; all that changed by default.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Run nothing; say what is stale, and exit with 1 if anything is.")] = False,
    all: Annotated[bool, typer.Option("--all", help="Also build what did not change.")] = False,
) -> None:
    """Make the notebooks, labs and solutions from book/."""
    chosen = sources(list(names or []))
    todo = [path for path in chosen if all or names or stale(path)]
    if check:
        for path in (late := [target for path in chosen for target in stale(path)]):
            typer.echo(f"stale: {path.relative_to(ROOT)}")
        typer.echo("everything is up to date" if not late else f"run `workbook build` ({len(late)} stale)")
        raise typer.Exit(1 if late else 0)
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        for path in todo:
            for target, notebook in notebooks_of(path).items():
                if target.parent != LABS:
                    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
                    task = bar.add_task(str(target.relative_to(ROOT)), total=cells)
                    target.parent.mkdir(exist_ok=True)
                    execute(notebook, target.parent, lambda task=task: bar.advance(task))
                _write(target, notebook)
    typer.echo(f"built {len(todo)} of {len(chosen)}" if todo else "nothing has changed")
