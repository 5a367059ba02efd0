"""`workbook plan FILE`: draws a plan that was saved anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbook.cli import files
from workbook.errors import Misuse, Unsuitable

if TYPE_CHECKING:
    from workbook.plans import Plan


def _read(path: Path) -> Plan:
    from workbook.plans import read_plan

    text = files.text(path, "plan")
    try:
        return read_plan(text)
    except Unsuitable as error:
        raise Unsuitable(f"{files.named(path)}: {error.what}", tried=error.tried, next=error.next) from None


def plan(
    file: Annotated[
        Path,
        typer.Argument(
            help="The saved plan: EXPLAIN in JSON, YAML or text, DuckDB's JSON, SQLite's tree; - for standard input."
        ),
    ],
    other: Annotated[Path | None, typer.Argument(help="A second plan of the same query: what changed?")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the picture to this file.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="As data.")] = False,
) -> None:
    """Draw a plan from a server at work: as text here, as a picture with --svg FILE. Exit code 2 where there is no plan
    in the file, or no picture of it."""
    from workbook.plans import compare

    given = [file] if other is None else [file, other]
    if [str(one) for one in given] == ["-", "-"]:
        raise Misuse("Standard input holds one plan.", next="save the other one in a file")
    if svg:
        files.writable(svg, given, "plan")
    plans = [_read(one) for one in given]
    shown = plans[0] if other is None else compare(*plans)
    typer.echo(json.dumps(shown.data(), indent=1) if json_ else shown.text)
    if svg:
        files.draw(shown._repr_svg_(), svg)
