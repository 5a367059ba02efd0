"""The command `workbook`.

    start.py ARGUMENTS ──▶ workbook ARGUMENTS ──▶ one module a command, loaded when it is called

Each command's function stands in a module of this room; the table below names it, so that `workbook --help` loads
none of them. A mistake is a sentence on standard error and an exit code, never a traceback.

    >>> sorted(COMMANDS)[:3]
    ['build', 'check', 'clean']
"""

from __future__ import annotations

import errno
import importlib
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from workbook.errors import WorkbookError

COMMANDS = {
    "lab": ("lab", "Open JupyterLab at the first notebook in my-work/."),
    "check": ("check", "Grade one notebook."),
    "hint": ("hint", "Show the next hint for an exercise."),
    "progress": ("progress", "Show what you have solved, and how well you predict."),
    "plan": ("plan", "Draw a query plan that was saved anywhere."),
    "schedule": ("schedule", "Run a schedule of concurrent sessions, or a .spec file of PostgreSQL."),
    "update": ("update", "Bring new versions of the notebooks into my-work/, without losing an answer."),
    "reset": ("reset", "Start a notebook again, and keep the old file."),
    "doctor": ("doctor", "Say which engines are here, what is missing, and how to mend it."),
    "stop": ("databases", "Stop the databases."),
    "clean": ("databases", "Remove everything that the databases keep outside this folder."),
    "test": ("testing", "Run everything that must hold (--all: the slow tests, too)."),
    "build": ("build", "Make notebooks, labs and solutions from book/ (for authors)."),
}
"""Command to the module of this room that holds its function of the same name, and what it does in a line."""

PASSING = ("lab", "test")
"""What follows these and is no option of theirs goes on to JupyterLab or pytest."""


class Commands(TyperGroup):
    """The commands of the table, each imported when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # of which Typer makes the exit code 130, and says nothing
            sys.stderr.write("Stopped.\n")
            raise

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"workbook.cli.{COMMANDS[cmd_name][0]}")
        one = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        passing = {"allow_extra_args": True, "ignore_unknown_options": True} if cmd_name in PASSING else {}
        one.command(cmd_name, context_settings=passing)(getattr(module, cmd_name))
        command = typer.main.get_command(one)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


app = typer.Typer(cls=Commands, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def _workbook(ctx: typer.Context) -> None:
    """Architect in the Loop: predict, measure and explain what a database does. Each command has --help."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app(args=arguments, prog_name="workbook")
    except WorkbookError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        sys.stderr.write(f"{sentence(error)}\n")
        sys.exit(2)


def sentence(error: OSError) -> str:
    """What the operating system refused, and what to do.

    >>> sentence(OSError(errno.ENOSPC, "No space left on device", "my-work/a.ipynb"))
    'my-work/a.ipynb cannot be written: the disk is full. Next: free some space, and run it again.'
    >>> sentence(PermissionError("/srv/state belongs to another user"))
    '/srv/state belongs to another user. Next: run `workbook doctor`.'
    """
    name = error.filename or "A file"
    if error.errno == errno.ENOSPC:
        return f"{name} cannot be written: the disk is full. Next: free some space, and run it again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{name} cannot be used: {error.strerror}. Next: see who owns it, or work in a folder of your own."
    named = f"{error.filename}: " if error.filename else ""
    return f"{named}{error.strerror or error}. Next: run `workbook doctor`."
