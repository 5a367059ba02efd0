"""Filling a lab in, as a learner would: between the parentheses where `...` stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat

from workbook.cli.build.source import BEGIN, END

_REGION = re.compile(rf"{BEGIN}[^\n]*\n(.*?)^[ \t]*{END}", re.DOTALL | re.MULTILINE)


def solutions(path: Path) -> dict[str, str]:
    """Exercise id to the solution's text, from a solved lab."""
    found = {}
    for cell in nbformat.read(path, as_version=4).cells:
        region = _REGION.search(cell.source)
        if region:
            found[cell.id.removesuffix("-answer")] = region[1].rstrip("\n")
    return found


def filled(lab: Path, answers: dict[str, str]) -> Any:
    """A lab with these answers; the others stay `...`."""
    notebook = nbformat.read(lab, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    for id, answer in answers.items():
        cell = cells[f"{id}-answer"]
        before, dots, after = cell.source.rpartition("...")
        assert dots, cell.source
        cell.source = before.rstrip(" ") + answer + after
    return notebook
