"""`workbook schedule FILE`: runs a schedule, or a `.spec` file of PostgreSQL's isolationtester, on a real engine."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from workbook.errors import Misuse, Unavailable


class Format(StrEnum):
    """What is printed."""

    isolationtester = "isolationtester"


def _bytes(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be read.",
            tried=error.strerror or "",
            next="look at its name, or write - to read standard input",
        ) from None


def schedule(
    file: Annotated[Path, typer.Argument(help="A .spec file of PostgreSQL's isolationtester; - for standard input.")],
    format_: Annotated[
        Format, typer.Option("--format", help="isolationtester: its output, byte for byte.")
    ] = Format.isolationtester,
    superuser: Annotated[
        bool, typer.Option("--superuser", help="Run a .spec as superuser: it may then do what the server may.")
    ] = False,
    timeout_s: Annotated[
        float,
        typer.Option("--timeout", envvar="PGISOLATIONTIMEOUT", help="Seconds after which a step is cancelled."),
    ] = 300.0,
) -> None:
    """Run a schedule on a database of its own, and print what became of each step.

    A .spec file's output compares with its expected file: workbook schedule NAME.spec --format isolationtester | diff
    NAME.out - .
    """
    if file.suffix not in (".spec", ""):
        raise Misuse(f"{file} is no .spec file.", next="name a file whose name ends in .spec")
    _isolationtester(file, superuser, timeout_s)


def _isolationtester(file: Path, superuser: bool, timeout_s: float) -> None:
    """Print what isolationtester prints; exit code 1 where a run ends early, as its does."""
    from workbook.schedules.spec import Spec
    from workbook.schedules.spec_run import decoded, run_spec

    def write(piece: bytes) -> None:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    spec = Spec.read(decoded(_bytes(file)))
    name = "spec" if str(file) == "-" else file.stem
    if not run_spec(spec, write, name=name, superuser=superuser, step_s_max=timeout_s):
        raise typer.Exit(1)
