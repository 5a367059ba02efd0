"""`workbook stop` and `workbook clean`: the databases that run or stand outside the checkout.

>>> stop.__name__, clean.__name__
('stop', 'clean')
"""

from __future__ import annotations

import json as json_text
from typing import Annotated

import typer


def stop(json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False) -> None:
    """Stop the databases that run in the background. They start again by themselves when a notebook needs them."""
    from workbook import engines

    stopped = [str(one) for one in engines.stop()]
    if json:
        typer.echo(json_text.dumps({"stopped": stopped}, indent=2))
    else:
        typer.echo(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


def clean(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Stop the databases and remove all that they keep outside this folder.

    Your notebooks and your progress in my-work/ stay. The databases are made again when a notebook needs them.
    """
    from workbook import engines

    question = "Remove the workbook's databases? They are made again when they are needed"
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(1)
    removed = [str(one) for one in engines.clean()]
    if json:
        typer.echo(json_text.dumps({"removed": removed}, indent=2))
    elif removed:
        typer.echo("\n".join(f"Removed: {path}" for path in removed))
    else:
        typer.echo("There was nothing to remove.")
