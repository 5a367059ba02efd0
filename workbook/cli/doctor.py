"""`workbook doctor`: what is here, in which version, what is missing, and how to mend it."""

from __future__ import annotations

import json
import platform
import shutil
import sys
from typing import Annotated, Any

import typer

from workbook.cli.house import house

OPTIONAL = {"git": "install git to bring new versions in", "uv": "optional: it makes the first start quicker"}
DISK_MB_MIN = 1000


def findings() -> list[dict[str, Any]]:
    """One entry for each thing that was looked at: name, version or state, whether it is fine, what to do."""
    from workbook import engines
    from workbook.errors import WorkbookError

    found = [
        _entry("Python", platform.python_version(), (3, 11) <= sys.version_info[:2] <= (3, 13), "install Python 3.13")
    ]
    for name, version in engines.versions().items():
        found.append(
            _entry(name, version, bool(version), "run `python3 start.py` again, or `pip install -r requirements.txt`")
        )
    try:
        home = engines.cluster()
        refusals = home.refusals()
        state = f"answers, PostgreSQL {home.version}" + (" (of WORKBOOK_POSTGRES_URL)" if home.url else "")
        found.append(_entry("server", state, not refusals, "; ".join(refusals)))
    except WorkbookError as error:
        found.append(_entry("server", "does not answer", False, str(error)))
    free = shutil.disk_usage(house().root).free // 1_000_000
    found.append(_entry("disk", f"{free:,} MB free", free > DISK_MB_MIN, f"free {DISK_MB_MIN:,} MB"))
    browser = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    found.append(
        _entry(
            "Chromium",
            browser or "not found",
            True,
            "" if browser else "only `start.py test --all` needs it: `apt-get install chromium`",
        )
    )
    for name, advice in OPTIONAL.items():
        found.append(
            _entry(name, "found" if shutil.which(name) else "not found", True, "" if shutil.which(name) else advice)
        )
    return found


def _entry(name: str, state: str, fine: bool, mend: str) -> dict[str, Any]:
    return {
        "name": name,
        "state": state or "missing",
        "fine": fine,
        "mend": "" if fine and state and name not in OPTIONAL and name != "Chromium" else mend,
    }


def doctor(json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say which version of every engine is here, what is missing, and how to mend it."""
    found = findings()
    if json_:
        typer.echo(json.dumps(found, indent=1))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("", "what", "state", "what to do", box=None)
        for entry in found:
            table.add_row("ok" if entry["fine"] else "MISSING", entry["name"], entry["state"], entry["mend"])
        Console().print(table)
    raise typer.Exit(0 if all(entry["fine"] for entry in found) else 1)
