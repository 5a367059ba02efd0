"""`workbook doctor`: what is here, in which version, what is missing, and how to mend it.

    Python, JupyterLab, the engines ── their versions
    the server                      ── is started, and asked
    disk, notebooks, browser        ── looked at

What a learner needs decides the exit code; what only tests or comfort need is said and does not.

    >>> Entry("DuckDB", "", needed=True, mend="install it").word
    'MISSING'

Left out: mending. Each line says the command that does.
"""

from __future__ import annotations

import json as json_text
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from workbook.cli.house import House, house
from workbook.errors import WorkbookError

AGAIN = "remove the folder .venv and run `python3 start.py`; it installs everything again"
DISK_MB_MIN = 1000
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


@dataclass(frozen=True)
class Entry:
    """One thing that was looked at: its `state` in words ('' where it is missing), and how to `mend` it."""

    name: str
    state: str
    needed: bool = True
    mend: str = ""
    wrong: bool = False

    @property
    def fine(self) -> bool:
        """Whether a learner can work with it."""
        return not self.needed or (bool(self.state) and not self.wrong)

    @property
    def word(self) -> str:
        return "ok" if self.state and not self.wrong else "WRONG" if self.state else "MISSING" if self.needed else "no"


def looked_at(home: House) -> list[Entry]:
    """Everything that the doctor looks at, in the order in which a person needs it."""
    return [_python(), *_libraries(), *_engines(), _server(), *_disks(home), _notebooks(home), *_comfort()]


def _python() -> Entry:
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    mend = "run start.py with Python 3.11, 3.12 or 3.13"
    return Entry("Python", f"{platform.python_version()} on {platform.system()}", mend=mend, wrong=not good)


def _libraries() -> list[Entry]:
    found = []
    for name, package in (("JupyterLab", "jupyterlab"), ("IPython kernel", "ipykernel"), ("nbval", "nbval")):
        try:
            state = version(package)
        except PackageNotFoundError:
            state = ""
        found.append(Entry(name, state, needed=package != "nbval", mend=AGAIN))
    return found


def _engines() -> list[Entry]:
    try:
        from workbook import engines

        return [Entry(name, state, mend=AGAIN) for name, state in engines.versions().items()]
    except (ImportError, OSError, WorkbookError) as error:
        return [Entry("the engines", f"cannot be loaded: {error}", mend=AGAIN, wrong=True)]


def _server() -> Entry:
    """The cluster `counting`: started when it was not running, as a notebook would."""
    name = "PostgreSQL server"
    try:
        from workbook import engines

        home = engines.cluster()
        refusals = home.refusals()
        whose = "yours (WORKBOOK_POSTGRES_URL)" if home.url else f"in {home.folder}"
        if refusals:
            return Entry(name, f"answers, {whose}", mend="; ".join(refusals), wrong=True)
        return Entry(name, f"answers, version {home.version}, {whose}")
    except Exception as error:  # one of psycopg's too, which may be what is missing
        return Entry(name, "does not answer", mend=str(error), wrong=True)


def _disks(home: House) -> list[Entry]:
    """Free space where the checkout stands, and where the engines keep their files."""
    places: dict[str, Path] = {"disk, this folder": home.root}
    try:
        from workbook.engines.places import state_folder

        places["disk, databases"] = state_folder()
    except (ImportError, WorkbookError):
        pass
    found = []
    for name, place in places.items():
        free_mb = shutil.disk_usage(place).free // 1_000_000
        mend = f"free some: {DISK_MB_MIN:,} MB are needed in {place}"
        found.append(Entry(name, f"{free_mb:,} MB free in {place}", mend=mend, wrong=free_mb < DISK_MB_MIN))
    return found


def _notebooks(home: House) -> Entry:
    from workbook.cli.copies import copies

    try:
        every = copies(home)
    except WorkbookError as error:
        return Entry("notebooks", "", mend=error.next)
    copied = sum(copy.mine.exists() for copy in every)
    state = f"{len(every)}, {copied} of them in {home.shown(home.my_work)}"
    return Entry("notebooks", state, mend="run `python3 start.py update`")


def _comfort() -> list[Entry]:
    """What only tests or comfort need."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), "")
    debian = sorted(str(path) for path in Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    sandbox = shutil.which("bwrap") or ""
    apart = Entry(
        "bubblewrap",
        sandbox,
        needed=False,
        mend="a stronger wall around what `check FILE` runs: apt-get install bubblewrap",
    )
    return [
        Entry("Chromium", browser, needed=False, mend="only `start.py test --all` needs it: apt-get install chromium"),
        Entry(
            "a second PostgreSQL",
            debian[-1] if debian else "",
            needed=False,
            mend="only `start.py test --all` needs it: apt-get install postgresql",
        ),
        *([apart] if sys.platform == "linux" else []),
        Entry("git", shutil.which("git") or "", needed=False, mend="install it to get new versions"),
        Entry("uv", shutil.which("uv") or "", needed=False, mend="makes the first start quicker"),
    ]


def doctor(json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False) -> None:
    """Say which version of every engine is here, what is missing, and how to mend it.

    The exit code is 0 where a learner has all that is needed, else 1.
    """
    found = looked_at(house())
    fine = all(entry.fine for entry in found)
    if json:
        report = [{**asdict(entry), "fine": entry.fine} for entry in found]
        typer.echo(json_text.dumps({"fine": fine, "found": report}, indent=2))
    else:
        width = max(len(entry.name) for entry in found)
        for entry in found:
            typer.echo(f"{entry.word:8}{entry.name:{width}}  {entry.state}".rstrip())
            if entry.mend and (entry.wrong or not entry.state):
                typer.echo(f"{'':8}{'':{width}}  {entry.mend}")
        typer.echo("Everything that you need is here." if fine else "Something is missing: see above.")
    if not fine:
        raise typer.Exit(1)
