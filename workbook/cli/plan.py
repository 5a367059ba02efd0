"""`workbook plan FILE`: draws a plan that was saved anywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbook.errors import Unavailable, Unsuitable


def _text(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.read()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be read.",
            tried=error.strerror or "",
            next="look at its name, or write - to read standard input",
        ) from None
    for encoding in ("utf-8-sig", "utf-16") if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else encoding)
        except UnicodeDecodeError:
            continue
    raise Unsuitable(f"{path} is no text.", next="save the plan as text in UTF-8")


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
    """Draw a plan from a server at work: as text here, as a picture with --svg FILE."""
    from workbook.plans import compare, read_plan

    read = read_plan(_text(file))
    shown = compare(read, read_plan(_text(other))) if other else read
    if svg:
        svg.write_text(shown._repr_svg_(), encoding="utf-8")
        typer.echo(f"drawn: {svg}", err=True)
    typer.echo(json.dumps(shown.data(), indent=1) if json_ else shown.text)
