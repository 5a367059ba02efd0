"""The learner's folder `my-work/`: made, opened, updated, reset; an answer is never lost.

    notebooks/*.ipynb, labs/*.ipynb ── outputs taken out, seed stamped ──▶ my-work/…      (theirs)
                                                                     └──▶ my-work/.base/… (what it was made from)
    update:   base ── new version ──▶ ours        base = theirs: take ours;   else: theirs stays, ours is put beside it

Copies carry no outputs: they would show the answer before the prediction.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer

from workbook.cli.house import FIRST, house
from workbook.errors import Misuse, Unavailable, Unsuitable

SEED = re.compile(r"(start_lab\([^)]*seed=)\d+")
SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": False,
    },
    "@jupyterlab/docmanager-extension/plugin.jupyterlab-settings": {"renameUntitledFileOnSave": False},
}
CONFLICT = "new-version"
ROOT, MY_WORK = house().root, house().my_work


def built() -> list[Path]:
    """The built notebooks that a learner gets a copy of. Raises `Unavailable` where the clone is not whole."""
    found = sorted(house().notebooks.glob("*.ipynb")) + sorted(house().labs.glob("*.ipynb"))
    if not found:
        raise Unavailable(
            "There are no notebooks in this clone.", next="clone the whole repository, or run `workbook build`"
        )
    return found


def personal_seed() -> int:
    """The learner's seed: chosen by chance once, kept in my-work/.seed; WORKBOOK_SEED sets it."""
    file = MY_WORK / ".seed"
    given = os.environ.get("WORKBOOK_SEED", "")
    if given and not given.isdigit():
        raise Misuse(f"WORKBOOK_SEED is {given!r}.", next="set it to a whole number")
    if not file.exists():
        MY_WORK.mkdir(exist_ok=True)
        file.write_text(given or str(1 + secrets.randbelow(999_999)))
    return int(given or file.read_text())


def copy_of(source: Path, seed: int) -> Any:
    """A learner's copy: without outputs and test tags, with the seed stamped in."""
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = SEED.sub(rf"\g<1>{seed}", cell.source)
    notebook.metadata["workbook"] = {**notebook.metadata.get("workbook", {}), "seed": seed}
    return notebook


def _target(source: Path) -> Path:
    return MY_WORK / source.relative_to(ROOT)


def _base(source: Path) -> Path:
    return MY_WORK / ".base" / source.relative_to(ROOT)


def _write(path: Path, notebook: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    nbformat.write(notebook, new)
    new.replace(path)


def make_copies() -> list[Path]:
    """Copy every notebook that my-work/ does not have yet; the paths that are new."""
    seed, new = personal_seed(), []
    for source in built():
        if not _target(source).exists():
            copy = copy_of(source, seed)
            _write(_base(source), copy)
            _write(_target(source), copy)
            new.append(_target(source))
    return new


def lab(
    context: typer.Context,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    port: Annotated[int, typer.Option(help="The port; the next free one when it is taken.")] = 8888,
) -> None:
    """Open JupyterLab at the first notebook, in my-work/. What follows `--` goes to JupyterLab."""
    make_copies()
    settings = MY_WORK / ".jupyterlab" / "settings"
    for name, values in SETTINGS.items():
        file = settings / name
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
    environment = {
        **os.environ,
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(MY_WORK / ".jupyterlab" / "workspaces"),
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={MY_WORK}",
        f"--LabApp.default_url=/lab/tree/{FIRST}",
        f"--ServerApp.port={port}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        "--ServerApp.log_level=WARN",
    ]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    command += context.args
    if browser:
        typer.echo("JupyterLab opens in your browser. Ctrl-C twice here ends it.", err=True)
    if os.name == "nt":
        raise typer.Exit(subprocess.call(command, cwd=MY_WORK, env=environment))
    os.chdir(MY_WORK)
    os.execve(sys.executable, command, environment)


def update() -> None:
    """Bring new versions of the notebooks into my-work/ without touching your answers."""
    seed = personal_seed()
    new = make_copies()
    for path in new:
        typer.echo(f"new: {path.relative_to(ROOT)}")
    changed = 0
    for source in built():
        if _target(source) in new:
            continue
        ours, theirs = copy_of(source, seed), _read(_target(source))
        base = _read(_base(source)) if _base(source).exists() else theirs
        merged, conflicts = merge(base, theirs, ours)
        if merged != theirs:
            _write(_target(source), merged)
            changed += 1
            kept = f"; {conflicts} cells that you changed stay, the new ones stand below them" if conflicts else ""
            typer.echo(f"updated: {_target(source).relative_to(ROOT)}{kept}")
        _write(_base(source), ours)
    if not new and not changed:
        typer.echo("everything is up to date")


def _read(path: Path) -> Any:
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        raise Unsuitable(
            f"{path} is no notebook any more.",
            tried=str(error).split("\n")[0],
            next=f"run `workbook reset {path.name}`; your file is kept",
        ) from None


def merge(base: Any, theirs: Any, ours: Any) -> tuple[Any, int]:
    """A learner's notebook with the new version's cells, by cell id; how many cells both had changed.

    What the learner did not change follows the new version; what they changed or added stays. Where both changed a
    cell, theirs stays and the new one stands below it, tagged.
    """
    before = {cell.id: cell.source for cell in base.cells}
    new = {cell.id: cell for cell in ours.cells}
    mine = {cell.id: cell for cell in theirs.cells}
    result, conflicts = nbformat.from_dict(theirs), 0
    cells: list[Any] = []
    for cell in ours.cells:
        own = mine.get(cell.id)
        if own is None:
            if cell.id not in before:
                cells.append(cell)  # else the learner deleted it
        elif own.source == before.get(cell.id) or own.source == cell.source:
            cells.append(cell if own.source != cell.source else own)
        else:
            cells.append(own)
            if before.get(cell.id) != cell.source and f"{cell.id}-{CONFLICT}" not in mine:
                beside = nbformat.from_dict(cell)
                beside.id = f"{cell.id}-{CONFLICT}"[:64]
                beside.metadata["tags"] = [CONFLICT]
                beside.metadata.pop("nbgrader", None)
                cells.append(beside)
                conflicts += 1
    place = {cell.id: number for number, cell in enumerate(cells)}
    last = -1
    for cell in theirs.cells:
        if cell.id in place:
            last = place[cell.id]
        elif cell.id not in new and (cell.id not in before or cell.source != before[cell.id]):
            last += 1
            cells.insert(last, cell)  # the learner's own cell stays behind the one it followed
            place = {kept.id: number for number, kept in enumerate(cells)}
    result.cells = cells
    result.metadata["workbook"] = ours.metadata.get("workbook", {})
    return result, conflicts


def reset(
    name: Annotated[str, typer.Argument(help="Which notebook, such as labs/02_indexes.ipynb.")],
) -> None:
    """Start a notebook again. Your file is kept beside it under another name."""
    sources = {str(source.relative_to(ROOT)): source for source in built()}
    wanted = name.removeprefix("my-work/").removeprefix("./")
    found = [
        source
        for key, source in sources.items()
        if wanted in (key, Path(key).name, Path(key).stem, str(Path(key).with_suffix("")))
    ]
    if not found:
        raise Misuse(f"There is no notebook {name}.", next=f"name one of {', '.join(sources)}")
    if len(found) > 1:
        raise Misuse(
            f"{name} names more than one notebook.",
            next=f"name one of {', '.join(str(path.relative_to(ROOT)) for path in found)}",
        )
    target = _target(found[0])
    if target.exists():
        number = 1
        while (kept := target.with_name(f"{target.stem}.before-reset-{number}.ipynb")).exists():
            number += 1
        target.rename(kept)
        typer.echo(f"kept: {kept.relative_to(ROOT)} (rename it back to undo this)")
    copy = copy_of(found[0], personal_seed())
    _write(_base(found[0]), copy)
    _write(target, copy)
    typer.echo(f"new: {target.relative_to(ROOT)}")


def stop(json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Stop the databases that run in the background."""
    from workbook import engines

    stopped = engines.stop()
    if json_:
        typer.echo(json.dumps({"stopped": stopped}))
    else:
        typer.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


def clean(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop the databases and remove all that they keep outside this folder. Your notebooks and your progress stay."""
    from workbook import engines

    if not yes and not typer.confirm("Remove the workbook's databases? They are made again when they are needed."):
        raise typer.Exit(1)
    removed = engines.clean()
    for path in removed:
        typer.echo(f"removed: {path}")
    if not removed:
        raise Unavailable("There was nothing to remove.")
