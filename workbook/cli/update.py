"""`workbook update`: new versions of the notebooks come into `my-work/`; no answer is lost.

    my-work/.base/NAME  is what NAME was made from ──▶ merge the three
                        is missing, broken, or of another version ──▶ merge the two: what may be the learner's stays

A notebook says in its metadata which text it was made from. That says whether a base is its own, and whether an update was broken
off between its two files. Each notebook is handled by itself: what is wrong with one keeps no other from its new version.

>>> update.__name__
'update'
"""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbook.cli import sentence
from workbook.cli.copies import Copy, about, copies, fresh, personal_seed, read, seed_of, write, write_base
from workbook.cli.house import House, house
from workbook.errors import WorkbookError

if TYPE_CHECKING:
    from nbformat import NotebookNode


def updated(home: House, copy: Copy) -> dict[str, Any]:
    """Merge one notebook; what was done, as data. The learner's file as it was is kept in `.base/kept/`."""
    from workbook.cli.merging import merged

    if not copy.mine.exists():
        new = fresh(copy, personal_seed(home))
        write(new, copy.mine)
        return _told(copy, "copied", f"new in my-work/{_kept_base(copy, new)}")
    mine = read(copy.mine)
    new = fresh(copy, seed_of(mine) or personal_seed(home))
    there, wrong = _base(copy)
    if there == new and about(mine).get("source") in (None, about(new).get("source")):
        return _told(copy, "unchanged")
    base, wrong = _fitting(there, wrong, mine, new)
    result = merged(base, mine, new)
    if result.notebook == mine:
        write_base(new, copy)
        return _told(copy, "unchanged")
    aside = _set_aside(copy)
    write(result.notebook, copy.mine)
    what = f"{result}. {home.shown(copy.base)} {wrong}: what may be yours was left" if wrong else str(result)
    what += _kept_base(copy, new)
    return _told(copy, "updated", what, home.shown(aside))


def _told(copy: Copy, state: str, what: str = "", kept: str = "") -> dict[str, Any]:
    return {"notebook": copy.name, "state": state, "what": what, "kept": kept}


def _base(copy: Copy) -> tuple[NotebookNode | None, str]:
    """What is kept of what the copy was made from; None where nothing fit is, and what is wrong with it."""
    try:
        kept = read(copy.base)
        return (kept, "") if all(cell.get("id") for cell in kept.cells) else (None, "is no notebook of ours")
    except FileNotFoundError:
        return None, "is missing"
    except (OSError, WorkbookError):
        return None, "cannot be read"


def _fitting(
    there: NotebookNode | None, wrong: str, mine: NotebookNode, new: NotebookNode
) -> tuple[NotebookNode | None, str]:
    """The base to merge by: the one that is kept where the learner's copy was made from it, the new version where the copy
    has that already, else none; and what is wrong with the one that is kept."""
    source = about(mine).get("source")
    if there is not None and source in (None, about(there).get("source")):
        return there, ""
    if source is not None and source == about(new).get("source"):
        return new, ""
    return None, wrong or "belongs to another version"


def _kept_base(copy: Copy, new: NotebookNode) -> str:
    """Keep what the copy is made from now; what kept it from that, which the next update mends."""
    try:
        write_base(new, copy)
    except OSError as error:
        return f". {sentence(error)}"
    return ""


def _set_aside(copy: Copy) -> Path:
    """Keep a learner's file as it is before an update; where."""
    folder = copy.base.parents[1] / "kept" / copy.mine.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while (path := folder / f"{copy.mine.stem}.before-update-{number}.ipynb").exists():
        number += 1
    half = path.with_suffix(".half")
    try:
        half.write_bytes(copy.mine.read_bytes())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return path


def update(json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False) -> None:
    """Bring new versions of the notebooks into my-work/, cell by cell.

    What you changed or added stays. Where you and the new version changed the same cell, yours stays and the new one stands
    below it as text. Each file as it was before is kept. The exit code is 1 where a notebook had to be left alone.
    """
    home = house()
    report = []
    for copy in copies(home):
        try:
            report.append(updated(home, copy))
        except WorkbookError as error:
            report.append(_told(copy, "left alone", str(error)))
        except OSError as error:
            report.append(_told(copy, "left alone", sentence(error)))
    if json:
        typer.echo(json_text.dumps({"notebooks": report}, indent=2))
    else:
        _show(report)
    if any(entry["state"] == "left alone" for entry in report):
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
