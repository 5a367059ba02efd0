"""`workbook reset`: a notebook as it came; the old file stays beside it.

my-work/labs/02_indexes.ipynb ──▶ my-work/labs/02_indexes.before-reset-1.ipynb, and a fresh 02_indexes.ipynb

Where the fresh one cannot be written, the old file goes back to its place.

>>> reset.__name__
'reset'
"""

from __future__ import annotations

import json as json_text
from contextlib import suppress
from typing import Annotated, Any

import typer

from workbook.cli import sentence
from workbook.cli.copies import Copy, copies, free_name, fresh, named, personal_seed, write, write_base
from workbook.cli.house import House, house
from workbook.errors import WorkbookError


def renewed(home: House, copy: Copy) -> dict[str, Any]:
    """Start one notebook again; what was done, as data."""
    new = fresh(copy, personal_seed(home))
    aside = None
    if copy.mine.exists():
        aside = free_name(copy.mine, "reset")
        copy.mine.replace(aside)
    try:
        write(new, copy.mine)
    except BaseException:
        if aside and not copy.mine.exists():
            aside.replace(copy.mine)
        raise
    with suppress(OSError):  # `update` makes it again
        write_base(new, copy)
    return _told(home, copy, "begins again" if aside else "new", kept=home.shown(aside) if aside else "")


def _told(home: House, copy: Copy, state: str, *, what: str = "", kept: str = "") -> dict[str, Any]:
    return {"notebook": home.shown(copy.mine), "state": state, "what": what, "kept": kept}


def reset(
    notebook: Annotated[str | None, typer.Argument(help="Such as 02_indexes or labs/02_indexes; all of them.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before starting all of them again.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Start a notebook again, or all of them, and keep the old file as NAME.before-reset-N.ipynb.

    Your progress and your predictions stay as they are. The exit code is 1 where a notebook had to be left alone.
    """
    home = house()
    chosen = copies(home) if notebook is None else [named(home, notebook)]
    question = f"Start all {len(chosen)} notebooks again? The old files are kept"
    if notebook is None and not yes and not typer.confirm(question, err=True):
        raise typer.Exit(1)
    report = []
    for copy in chosen:
        try:
            report.append(renewed(home, copy))
        except WorkbookError as error:
            report.append(_told(home, copy, "left alone", what=str(error)))
        except OSError as error:
            report.append(_told(home, copy, "left alone", what=sentence(error)))
    if json:
        typer.echo(json_text.dumps({"notebooks": report}, indent=2))
    else:
        _show(report)
    if any(entry["state"] == "left alone" for entry in report):
        raise typer.Exit(1)


def _show(report: list[dict[str, Any]]) -> None:
    for entry in report:
        if entry["state"] == "left alone":
            typer.echo(f"left alone: {entry['notebook']}: {entry['what']}")
        elif entry["kept"]:
            typer.echo(f"{entry['notebook']} begins again; yours is now {entry['kept']}.")
            typer.echo(f"    To undo this, rename it back: {entry['kept']} to {entry['notebook'].rpartition('/')[2]}")
        else:
            typer.echo(f"{entry['notebook']} is new.")
