"""`workbook test`: everything that must hold, in one command.

start.py test            lint, types, package, notebooks          -m "not slow"
start.py test --all      and a real browser, the real nbgrader, other servers
start.py test ARGUMENTS  what else is given goes to pytest

>>> arguments(["--all", "-k", "loops"])
['-n', '2', '--dist', 'loadfile', '--no-loadscope-reorder', '-k', 'loops']
"""

from __future__ import annotations

import os
import subprocess
import sys

import typer

from workbook.cli.house import house

WORKERS = 2


def arguments(given: list[str]) -> list[str]:
    """What pytest is called with: two workers and no slow tests, unless the arguments say otherwise."""
    everything = "--all" in given
    more = [argument for argument in given if argument not in ("--all", "--")]
    alone = any(argument.startswith("-n") or argument in ("--pdb", "--collect-only", "--co") for argument in more)
    workers = [] if alone else ["-n", str(WORKERS), "--dist", "loadfile", "--no-loadscope-reorder"]
    chosen = [] if everything or "-m" in more else ["-m", "not slow"]
    return [*workers, *chosen, *more]


def test(context: typer.Context) -> None:
    """Run everything that must hold; --all adds the slow tests, and what else is given goes to pytest."""
    environment = {"WORKBOOK_CHECK": "strict", **os.environ}
    command = [sys.executable, "-m", "pytest", *arguments(list(context.args))]
    process = subprocess.Popen(command, cwd=house().root, env=environment)
    while True:
        try:
            raise typer.Exit(process.wait())
        except KeyboardInterrupt:
            continue
