"""`workbook update`: new versions of the notebooks come into `my-work/`; no answer is lost.

>>> update.__name__
'update'
"""

from __future__ import annotations

import json as json_text
from typing import Annotated, Any

import typer

from workbook.cli.copies import Copy, copies, fresh, personal_seed, read, write
from workbook.cli.house import House, house
from workbook.errors import WorkbookError


def updated(home: House, copy: Copy, seed: int) -> dict[str, Any]:
    """Merge one notebook; what was done, as data. The learner's file as it was is kept in `.base/kept/`."""
    from workbook.cli.merging import merged

    if not copy.mine.exists():
        new = fresh(copy, seed)
        write(new, copy.base)
        write(new, copy.mine)
        return {"notebook": copy.name, "state": "copied", "what": "new in my-work/", "kept": ""}
    mine = read(copy.mine)
    base = read(copy.base) if copy.base.exists() else mine
    own_seed = mine.metadata.get("workbook", {}).get("seed")
    new = fresh(copy, own_seed if type(own_seed) is int else seed)
    if base == new:
        return {"notebook": copy.name, "state": "unchanged", "what": "", "kept": ""}
    result = merged(base, mine, new)
    kept = ""
    if result.notebook != mine:
        aside = _kept(copy)
        aside.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(copy.mine.read_bytes())
        write(result.notebook, copy.mine)
        kept = home.shown(aside)
    write(new, copy.base)
    return {"notebook": copy.name, "state": "updated", "what": str(result), "kept": kept}


def _kept(copy: Copy) -> Any:
    """Where a learner's file stands as it was before an update."""
    folder = copy.base.parents[1] / "kept" / copy.mine.parent.name
    number = 1
    while (path := folder / f"{copy.mine.stem}.before-update-{number}.ipynb").exists():
        number += 1
    return path


def update(json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False) -> None:
    """Bring new versions of the notebooks into my-work/, cell by cell.

    What you changed or added stays. Where you and the new version changed the same cell, yours stays and the new one stands
    below it as text. Each file as it was before is kept.
    """
    home = house()
    seed = personal_seed(home)
    report, failed = [], False
    for copy in copies(home):
        try:
            report.append(updated(home, copy, seed))
        except WorkbookError as error:
            failed = True
            report.append({"notebook": copy.name, "state": "left alone", "what": str(error), "kept": ""})
    if json:
        typer.echo(json_text.dumps({"notebooks": report}, indent=2))
    else:
        _show(report)
    if failed:
        raise typer.Exit(1)


def _show(report: list[dict[str, Any]]) -> None:
    told = [entry for entry in report if entry["state"] != "unchanged"]
    for entry in told:
        typer.echo(f"{entry['state']}: {entry['notebook']}: {entry['what']}")
        if entry["kept"]:
            typer.echo(f"    as it was: {entry['kept']}")
    if not told:
        typer.echo(f"Nothing to do: all {len(report)} notebooks are the newest.")
    elif any(entry["kept"] for entry in told):
        typer.echo("In an open JupyterLab, reload these notebooks from disk (File, Reload Notebook from Disk).")
