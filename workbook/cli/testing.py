"""`workbook test`: the one test command. What is slow runs with `--all`; whatever else is given goes to pytest."""

from __future__ import annotations

import os
import subprocess
import sys

import typer

from workbook.cli.house import house


def test(context: typer.Context) -> None:
    """Run everything that must hold (`--all`: the slow tests, too); other arguments go to pytest."""
    arguments = list(context.args)
    everything = "--all" in arguments
    arguments = [argument for argument in arguments if argument != "--all"]
    chosen = [] if everything or "-m" in arguments else ["-m", "not slow"]
    workers = [] if any(argument.startswith("-n") for argument in arguments) else ["-n", "2", "--dist", "loadfile"]
    environment = {**os.environ, "WORKBOOK_CHECK": os.environ.get("WORKBOOK_CHECK", "strict")}
    code = subprocess.call(
        [sys.executable, "-m", "pytest", *workers, *chosen, *arguments], cwd=house().root, env=environment
    )
    raise typer.Exit(code)
