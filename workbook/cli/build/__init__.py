"""`workbook build`: from the texts in `book/` to notebooks, labs and solutions.

    book/NAME.py ──▶ Book ── is what is committed the same? ──no──▶ run it, store it
                                   (text, ids, metadata; by hash also: was it run with this code?)

The text decides what a notebook is; the engines decide what its outputs are. So `workbook build --check` and the tests
compare everything but the outputs with the text, and nbval runs the notebooks and compares the outputs that are tagged.

    >>> Book(Path("book/lab_02_indexes.py")).targets
    ('labs/02_indexes.ipynb', 'solutions/02_indexes.ipynb')

Left out: cells that are run one by one. A notebook is run whole, in a fresh kernel, or not at all.
"""

from __future__ import annotations

import hashlib
import json as json_text
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbook.cli.house import House, house
from workbook.errors import Misuse, Unsuitable

if TYPE_CHECKING:
    from nbformat import NotebookNode

TEMPLATE = "TEMPLATE"
CODE = ("workbook/**/*.py", "datasets/**/*")


@dataclass(frozen=True)
class Book:
    """One text in `book/`."""

    path: Path

    @property
    def is_lab(self) -> bool:
        return self.path.stem.startswith("lab_")

    @property
    def name(self) -> str:
        """The name of its notebooks."""
        return self.path.stem.removeprefix("lab_")

    @property
    def targets(self) -> tuple[str, ...]:
        """What is built from it, the one that is run last."""
        if self.is_lab:
            return (f"labs/{self.name}.ipynb", f"solutions/{self.name}.ipynb")
        return (f"notebooks/{self.name}.ipynb",)

    @property
    def runs(self) -> str:
        """The target that is run."""
        return self.targets[-1]

    def read(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def notebook(self, target: str, version: str) -> NotebookNode:
        """One of its notebooks, without outputs."""
        from workbook.cli.build import source

        make = {"notebooks": source.lesson, "labs": source.lab, "solutions": source.solution}[target.partition("/")[0]]
        try:
            return make(self.read(), version)
        except Misuse as error:
            raise Misuse(f"{self.path.name}: {error.what}", next=error.next) from None


def books(home: House, names: Iterable[str] = ()) -> list[Book]:
    """The texts in `book/`, or those named: `00_start`, `lab_02_indexes`, `02_indexes`, a path. Raises `Misuse`."""
    every = [Book(path) for path in sorted(home.book.glob("*.py")) if path.stem != TEMPLATE]
    chosen = []
    for name in names:
        wanted = Path(name).name.removesuffix(".py").removesuffix(".ipynb")
        found = [book for book in every if wanted in (book.path.stem, book.name)]
        if not found:
            known = ", ".join(book.path.stem for book in every) or "none yet"
            raise Misuse(f"There is no book/{wanted}.py.", next=f"name one of these: {known}")
        chosen += found
    return chosen or every


def code_digest(home: House) -> str:
    """A hash of the code that outputs come from: the package without the command line, and the data's texts."""
    whole = hashlib.sha256()
    for pattern in CODE:
        for path in sorted(home.root.glob(pattern)):
            name = path.relative_to(home.root).as_posix()
            if path.is_file() and not name.startswith("workbook/cli/") and "__pycache__" not in name:
                whole.update(f"{name}\n".encode())
                whole.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return whole.hexdigest()[:16]


def read(path: Path) -> NotebookNode | None:
    """A notebook from a file; None where there is none. Raises `Unsuitable` where it is none."""
    import nbformat

    if not path.exists():
        return None
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        raise Unsuitable(f"{path} is no notebook.", tried=reason, next="build it again, or take it from git") from error


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook as git should see it; a reader sees the old file or the new one, never half of one."""
    import nbformat

    path.parent.mkdir(parents=True, exist_ok=True)
    text = nbformat.writes(notebook, version=4).rstrip("\n") + "\n"
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def differences(home: House, book: Book) -> list[str]:
    """In which ways what is committed is not what the text makes; outputs of untagged cells are left out."""
    from workbook.cli.build.stale import compared

    found = []
    for target in book.targets:
        there = read(home.root / target)
        if there is None:
            found.append(f"{target} is missing")
        else:
            made = book.notebook(target, home.version)
            found += [f"{target}: {what}" for what in compared(there, made, ran=target == book.runs)]
    return found


def orphans(home: House) -> list[Path]:
    """Built notebooks whose text is gone."""
    built = {home.root / target for book in books(home) for target in book.targets}
    there = [path for folder in (home.notebooks, home.labs, home.solutions) for path in sorted(folder.glob("*.ipynb"))]
    return [path for path in there if path not in built]


def old_code(home: House, book: Book) -> bool:
    """Whether the stored outputs come from other code than this."""
    there = read(home.root / book.runs)
    return there is None or there.metadata.get("workbook", {}).get("code") != code_digest(home)


def make(home: House, book: Book, *, show: bool = True) -> None:
    """Build one text: run it, and store everything that is made of it. Nothing is stored where it does not run."""
    from workbook.cli.build.running import run

    made = {target: book.notebook(target, home.version) for target in book.targets}
    notebook = made[book.runs]
    label = home.shown(book.path)
    with _bar(label, len(notebook.cells), show) as step:
        run(
            notebook, name=label, folder=(home.root / book.runs).parent, step=step, forbidden=_machine(home),
            mode="strict" if book.is_lab else "desk",
        )  # fmt: skip
    notebook.metadata["language_info"].pop("version", None)
    notebook.metadata["workbook"]["code"] = code_digest(home)
    for target, built in made.items():
        write(built, home.root / target)


def _machine(home: House) -> tuple[str, ...]:
    """Paths that no committed output may name."""
    import sys

    paths = {str(home.root), sys.prefix, str(Path.home()), os.environ.get("WORKBOOK_STATE", "")}
    return tuple(sorted((path for path in paths if len(path) > 2), key=len, reverse=True))


@contextmanager
def _bar(label: str, steps: int, show: bool) -> Iterator[Any]:
    """A progress bar on standard error; a callable that moves it on."""
    if not show:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=steps)
        yield lambda: progress.advance(task)


Names = Annotated[list[str] | None, typer.Argument(help="Texts in book/, such as 00_start or lab_02_indexes; all.")]


def build(
    names: Names = None,
    check: Annotated[bool, typer.Option("--check", help="Say what is stale, and build nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Build also what has not changed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Make notebooks, labs and solutions from the texts in book/: what changed is run, its outputs are stored.

    With --check the exit code is 1 where something is stale.
    """
    home = house()
    chosen = books(home, names or ())
    report: dict[str, Any] = {"built": [], "stale": [], "fresh": [], "removed": []}
    gone = [] if names else orphans(home)
    for book in chosen:
        label = home.shown(book.path)
        why = differences(home, book) or (["the code has changed since it was run"] if old_code(home, book) else [])
        if not why and not force:
            report["fresh"].append(label)
        elif check:
            report["stale"].append({"book": label, "why": why})
            _tell(f"stale: {label}: {'; '.join(why)}", json)
        else:
            make(home, book, show=not json)
            report["built"].append(label)
            _tell(f"built: {', '.join(book.targets)}", json)
    for path in gone:
        if check:
            report["stale"].append({"book": "", "why": [f"{home.shown(path)} has no text in book/"]})
            _tell(f"stale: {home.shown(path)} has no text in book/", json)
        else:
            path.unlink()
            report["removed"].append(home.shown(path))
            _tell(f"removed: {home.shown(path)}, which has no text in book/", json)
    _finish(report, json)


def _tell(text: str, json: bool) -> None:
    if not json:
        typer.echo(text)


def _finish(report: dict[str, Any], json: bool) -> None:
    if json:
        typer.echo(json_text.dumps(report, indent=2))
    elif not (report["built"] or report["stale"] or report["removed"]):
        count = len(report["fresh"])
        typer.echo(f"Nothing to do: {count} text{' is' if count == 1 else 's are'} built, and none has changed.")
    if report["stale"]:
        raise typer.Exit(1)
