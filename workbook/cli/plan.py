"""`workbook plan FILE`: draws a plan that was saved anywhere."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from workbook.errors import Misuse, Unavailable, Unsuitable

if TYPE_CHECKING:
    from workbook.plans import Comparison, Plan

BYTES_MAX = 20_000_000
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""The marks at the head of a file, the longer before those that they begin with."""


def _bytes(path: Path) -> bytes:
    """What a file or standard input holds; a little more than is taken, where it is longer."""
    if str(path) == "-":
        raw, source = b"", cast(io.BufferedReader, sys.stdin.buffer)
        while len(raw) <= BYTES_MAX and (piece := source.read1(1_000_000)):  # Ctrl-C is seen between two
            raw += piece
        return raw
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be read.",
            tried=error.strerror or "",
            next="look at its name, or write - to read standard input",
        ) from None


def _text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 as Windows writes it."""
    raw = _bytes(path)
    if len(raw) > BYTES_MAX:
        raise Unsuitable(f"{_named(path)} is longer than any plan.", next="save one plan in a file of its own")
    encoding = next((encoding for mark, encoding in MARKS if raw.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in raw:  # a letter of UTF-16 in a plan has one, before or behind it
        encoding = "utf-16-be" if raw[:1] == b"\0" else "utf-16-le"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or (encoding.startswith("utf-16-") and not text[:100].isascii()):
        raise Unsuitable(f"{_named(path)} is no text.", next="save the plan as text in UTF-8")
    return text


def _named(path: Path) -> str:
    return "Standard input" if str(path) == "-" else str(path)


def _read(path: Path) -> Plan:
    from workbook.plans import read_plan

    text = _text(path)
    try:
        return read_plan(text)
    except Unsuitable as error:
        raise Unsuitable(f"{_named(path)}: {error.what}", tried=error.tried, next=error.next) from None


def _writable(svg: Path, files: list[Path]) -> None:
    """Raise before any work where the picture has no place to go to, or would stand in the place of a plan."""
    if svg.is_dir():
        raise Misuse(f"{svg} is a folder.", next="name the file that the picture is to be written to")
    if not svg.parent.is_dir():
        raise Unavailable(
            f"The picture cannot be written to {svg}: there is no folder {svg.parent}.",
            next="make the folder, or name another file",
        )
    if any(str(file) != "-" and svg.exists() and file.exists() and os.path.samefile(svg, file) for file in files):
        raise Misuse(f"{svg} is the plan itself, and the picture would overwrite it.", next="name another file")


def _draw(shown: Plan | Comparison, svg: Path) -> None:
    picture = shown._repr_svg_()
    try:
        svg.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise Unavailable(
            f"The picture cannot be written to {svg}: {error.strerror or error}.", next="name another file"
        ) from None
    typer.echo(f"drawn: {svg}", err=True)


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

    files = [file] if other is None else [file, other]
    if [str(one) for one in files] == ["-", "-"]:
        raise Misuse("Standard input holds one plan.", next="save the other one in a file")
    if svg:
        _writable(svg, files)
    plans = [_read(one) for one in files]
    shown = plans[0] if other is None else compare(*plans)
    typer.echo(json.dumps(shown.data(), indent=1) if json_ else shown.text)
    if svg:
        _draw(shown, svg)
