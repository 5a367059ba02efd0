"""The file that a command reads, and the picture that it draws beside it.

    FILE or - ── raw, text ──▶ workbook plan, workbook schedule ── draw ──▶ PICTURE.svg
                                                 ▲
                      writable ── before any work: is there a place for the picture?

    >>> named(Path("-")), named(Path("saved.json"))
    ('Standard input', 'saved.json')

Left out: encodings without a mark other than UTF-8 and UTF-16, which a text does not tell by itself.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path
from typing import cast

import typer

from workbook.errors import Misuse, Unavailable, Unsuitable

BYTES_MAX = 20_000_000
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""The marks at the head of a file, the longer before those that they begin with."""


def named(path: Path) -> str:
    """A file as a sentence names it."""
    return "Standard input" if str(path) == "-" else str(path)


def raw(path: Path, what: str) -> bytes:
    """What a file or standard input (-) holds. Raises `Unavailable` where it cannot be read, `Unsuitable` where it is
    longer than any `what`: a plan, a schedule."""
    held = _held(path)
    if len(held) > BYTES_MAX:
        raise Unsuitable(f"{named(path)} is longer than any {what}.", next=f"save one {what} in a file of its own")
    return held


def _held(path: Path) -> bytes:
    """What a file or standard input holds; a little more than is taken, where it is longer."""
    if str(path) == "-":
        held, source = b"", cast(io.BufferedReader, sys.stdin.buffer)
        while len(held) <= BYTES_MAX and (piece := source.read1(1_000_000)):  # Ctrl-C is seen between two
            held += piece
        return held
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be read.",
            tried=error.strerror or "",
            next="look at its name, or write - to read standard input",
        ) from None


def text(path: Path, what: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 as Windows writes it. Raises as `raw` does, and `Unsuitable` where it is
    no text."""
    held = raw(path, what)
    encoding = next((encoding for mark, encoding in MARKS if held.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in held:  # a letter of UTF-16 in a plan has one, before or behind it
        encoding = "utf-16-be" if held[:1] == b"\0" else "utf-16-le"
    try:
        read = held.decode(encoding)
    except UnicodeDecodeError:
        read = "\0"
    if "\0" in read or (encoding.startswith("utf-16-") and not read[:100].isascii()):
        raise Unsuitable(f"{named(path)} is no text.", next=f"save the {what} as text in UTF-8")
    return read


def writable(svg: Path, files: list[Path], what: str) -> None:
    """See that a picture has a place to go to, which is not that of the plan or schedule (`what`) in one of the `files`.
    Raises `Misuse` and `Unavailable`."""
    if svg.is_dir():
        raise Misuse(f"{svg} is a folder.", next="name the file that the picture is to be written to")
    if not svg.parent.is_dir():
        raise Unavailable(
            f"The picture cannot be written to {svg}: there is no folder {svg.parent}.",
            next="make the folder, or name another file",
        )
    if any(str(file) != "-" and svg.exists() and file.exists() and os.path.samefile(svg, file) for file in files):
        raise Misuse(f"{svg} is the {what} itself, and the picture would overwrite it.", next="name another file")


def draw(picture: str, svg: Path) -> None:
    """Write a picture, and say so. Raises `Unavailable`."""
    try:
        svg.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise Unavailable(
            f"The picture cannot be written to {svg}: {error.strerror or error}.", next="name another file"
        ) from None
    typer.echo(f"drawn: {svg}", err=True)
