"""`workbook lab`: JupyterLab, open at the first notebook, without questions.

    my-work/ is made ──▶ JupyterLab takes this process's place, rooted in my-work/
                         its settings come from workbook/cli/jupyter/: no news, no updates, no graders' buttons

Whoever comes back finds the notebook open that they saved last. What stands in a person's own `~/.jupyter` holds as well.

    >>> command(House(Path("/w")), FIRST, port=8899, browser=False, more=["--debug"])[-3:]
    ['--ServerApp.port=8899', '--no-browser', '--debug']
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbook.cli.copies import Copy, copies, make_missing, named
from workbook.cli.house import FIRST, House, house
from workbook.errors import Unavailable

SETTINGS = Path(__file__).parent / "jupyter"


def command(home: House, notebook: str, *, port: int | None, browser: bool, more: list[str]) -> list[str]:
    """The command line of JupyterLab for a notebook in `my-work/`."""
    parts = [
        sys.executable,
        "-m",
        "jupyterlab",
        "-y",
        f"--ServerApp.root_dir={home.my_work}",
        f"--LabApp.default_url=/lab/tree/{notebook}",
        f"--LabApp.app_settings_dir={SETTINGS}",
        f"--LabApp.workspaces_dir={home.my_work / '.jupyter' / 'workspaces'}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        parts.append("--allow-root")
    if port is not None:
        parts.append(f"--ServerApp.port={port}")
    if not browser:
        parts.append("--no-browser")
    return [*parts, *more]


def environment() -> dict[str, str]:
    """The environment of JupyterLab: our settings first, and kernels of this Python rather than another one's."""
    path = os.pathsep.join(part for part in (str(SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH", "")) if part)
    return {**os.environ, "JUPYTER_CONFIG_PATH": path, "JUPYTER_PREFER_ENV_PATH": "1"}


def last_saved(home: House) -> str:
    """The notebook that the learner saved last; the first one where none was ever saved."""
    at: dict[float, str] = {}
    for copy in copies(home):
        if copy.mine.exists() and copy.base.exists() and copy.mine.read_bytes() != copy.base.read_bytes():
            at[copy.mine.stat().st_mtime] = copy.name
    first = (home.my_work / FIRST).exists()
    return at[max(at)] if at else FIRST if first else copies(home)[0].name


def outdated(home: House) -> list[Copy]:
    """The notebooks of which there is another version than the learner's copy was made from."""
    known = [(copy, _source(copy.mine) or _source(copy.base)) for copy in copies(home) if copy.mine.exists()]
    return [copy for copy, source in known if source not in ("", _source(copy.built))]


def _source(path: Path) -> str:
    """The hash of the text that a notebook was built from; '' where it does not say. Read as JSON, which is quick."""
    try:
        return str(json.loads(path.read_bytes())["metadata"]["workbook"]["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def lab(
    context: typer.Context,
    notebook: Annotated[str | None, typer.Argument(help="Open this one, such as 02_indexes_1_finding.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    port: Annotated[int | None, typer.Option(help="The port; a free one from 8888 on.", min=1, max=65535)] = None,
) -> None:
    """Open JupyterLab in my-work/, at the first notebook or the one that you saved last.

    What follows -- goes on to JupyterLab.
    """
    home = house()
    if notebook is not None and notebook.startswith("-"):
        context.args, notebook = [notebook, *context.args], None
    make_missing(home)
    chosen = named(home, notebook).name if notebook else last_saved(home)
    old = outdated(home)
    if old:
        count = f"{len(old)} notebook{'' if len(old) == 1 else 's'}"
        typer.echo(f"There are new versions of {count}: `python3 start.py update` brings them in.", err=True)
    if port is not None and _taken(port):
        raise Unavailable(f"The port {port} is taken.", next="name another one, or leave --port out")
    line = command(home, chosen, port=port, browser=browser, more=list(context.args))
    typer.echo("JupyterLab opens. Ctrl-C here ends it.", err=True)
    sys.stderr.flush()
    if os.name == "nt":
        raise typer.Exit(_run(line, environment()))
    os.execve(sys.executable, line, environment())


def _taken(port: int) -> bool:
    """Whether something listens there."""
    import socket

    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _run(line: list[str], env: dict[str, str]) -> int:
    """Run a command and leave Ctrl-C to it; its exit code. Windows cannot replace a process."""
    process = subprocess.Popen(line, env=env)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
