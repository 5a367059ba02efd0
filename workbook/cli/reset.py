"""`workbook reset`: a notebook as it came; the old file stays beside it.

my-work/labs/02_indexes.ipynb ──▶ my-work/labs/02_indexes.before-reset-1.ipynb, and a fresh 02_indexes.ipynb

>>> reset.__name__
'reset'
"""

from __future__ import annotations

import json as json_text
from typing import Annotated, Any

import typer

from workbook.cli.copies import Copy, copies, free_name, fresh, named, personal_seed, write
from workbook.cli.house import House, house


def renewed(home: House, copy: Copy, seed: int) -> dict[str, Any]:
    """Start one notebook again; what was done, as data."""
    new = fresh(copy, seed)
    aside = None
    if copy.mine.exists():
        aside = free_name(copy.mine, "reset")
        copy.mine.replace(aside)
    write(new, copy.base)
    write(new, copy.mine)
    return {"notebook": home.shown(copy.mine), "kept": home.shown(aside) if aside else ""}


def reset(
    notebook: Annotated[str | None, typer.Argument(help="Such as 02_indexes or labs/02_indexes; all of them.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before starting all of them again.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Start a notebook again, or all of them, and keep the old file as NAME.before-reset-N.ipynb.

    Your progress and your predictions stay as they are.
    """
    home = house()
    chosen = [named(home, notebook)] if notebook else copies(home)
    if (
        not notebook
        and not yes
        and not typer.confirm(f"Start all {len(chosen)} notebooks again? The old files are kept")
    ):
        raise typer.Exit(1)
    seed = personal_seed(home)
    report = [renewed(home, copy, seed) for copy in chosen]
    if json:
        typer.echo(json_text.dumps({"notebooks": report}, indent=2))
        return
    for entry in report:
        if entry["kept"]:
            typer.echo(f"{entry['notebook']} begins again; yours is now {entry['kept']}.")
            typer.echo(f"    To undo this, rename it back: {entry['kept']} to {entry['notebook'].rpartition('/')[2]}")
        else:
            typer.echo(f"{entry['notebook']} is new.")
