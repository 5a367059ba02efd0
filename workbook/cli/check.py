"""`workbook check FILE`: grades one notebook, in a process apart from its code."""

from __future__ import annotations

import json
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from workbook.grading.notebook import Report

SIGNS = {"graded": "✗", "not attempted": "…", "error": "!", "timed out": "!", "crashed": "!", "out of memory": "!"}
WORDS = {
    "bubblewrap": "Its code ran behind bubblewrap: no network, no files but the libraries'.",
    "unshare": "Its code ran in namespaces of its own: no network, no files but the libraries'.",
    "process": "Its code ran in a plain process, which can read what you can read: these marks rest on honesty.",
}


def check(
    file: Annotated[Path, typer.Argument(help="The notebook, such as my-work/labs/02_indexes.ipynb.")],
    json_: Annotated[bool, typer.Option("--json", help="As data.")] = False,
    seed: Annotated[
        int | None, typer.Option(help="The seed; else the one that the notebook starts its lab with.")
    ] = None,
    guard: Annotated[str | None, typer.Option(help="bubblewrap, unshare or process; else the strongest here.")] = None,
) -> None:
    """Grade one notebook: exit code 0 when the core exercises have full marks, 1 on less, 2 where the file is
    unusable."""
    from workbook.grading.notebook import grade_notebook

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with progress_bar(file.name) as on_cell:
        report = grade_notebook(file, seed=seed, guard=guard, on_cell=on_cell)
    typer.echo(json.dumps(report.data(), indent=1, ensure_ascii=False) if json_ else told(report))
    if report.state == "unusable" and json_:
        typer.echo(report.problem, err=True)
    raise typer.Exit(report.exit_code)


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal while the cells run; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("cells"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def told(report: Report) -> str:
    """A report as people read it: a line for each exercise, what is missing below it, the sum."""
    from workbook.grading.verdict import number

    if report.state == "unusable":
        return f"{report.notebook} cannot be graded. {report.problem}"
    lines = [f"{report.notebook} · seed {report.seed} · workbook {report.workbook}"]
    if report.problem:
        lines.append(f"The file is malformed, and was read as far as it goes. {report.problem}")
    width = max(len(exercise.id) for exercise in report.exercises)
    for core, head in ((True, "Core"), (False, "Further")):
        rows = [exercise for exercise in report.exercises if exercise.core is core]
        if not rows:
            continue
        points, of = sum(row.points for row in rows), sum(row.of for row in rows)
        lines += ["", f"{head}: {number(points)} of {of} points"]
        for row in rows:
            full = row.points >= row.of
            sign = "✓" if full else SIGNS.get(row.state, "✗")
            state = "full marks" if full else row.state
            lines.append(f"  {sign} {row.id.ljust(width)}  {number(row.points)} of {row.of}  {state}")
            if not full and row.message not in ("", "not attempted yet"):
                lines += textwrap.wrap(row.message, 110, initial_indent="      ", subsequent_indent="      ")
    lines += ["", f"Together {number(report.points)} of {report.of} points. {WORDS.get(report.guard, '')}"]
    return "\n".join(lines)
