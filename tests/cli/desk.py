"""A small checkout with one lesson and one lab, a learner's copies of them, and the commands as a person calls them.

Desk ── publish(LESSON, LAB) ──▶ notebooks/, labs/ ── run("update") ──▶ my-work/ ── write(id, text) ──▶ a learner at work
"""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

from workbook.cli import main
from workbook.cli.build import source
from workbook.cli.build import write as written
from workbook.cli.copies import Copy, named, read
from workbook.cli.house import House

LESSON = """# %% [markdown]
# # A lesson
# %%
rows = 1000
# %% [markdown]
# Count the pages.
# %%
guess = predict("toy-pages", between=(..., ...))
# %%
mended = ...
# %% [markdown]
# ## Read on
#
# There is more.
"""
LAB = """# %% [markdown]
# # A lab
# %%
start_lab("00_start", seed=1)
# %% [markdown]
# ## 1. Mend it
#
# Something is wrong with it.
# %%
ask("start-mend")
# %%
mended = (
    ### BEGIN SOLUTION
    42
    ### END SOLUTION
)
# %%
check("start-mend", mended)
"""
ANSWER = 'mended = "SELECT 1"'


class Desk:
    """One learner's checkout in `root`."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self.capsys = House(root), capsys
        self.publish()

    def publish(self, lesson: str = LESSON, lab: str = LAB, version: str = "0.1.0") -> None:
        """A version of the workbook."""
        written(source.lesson(lesson, version), self.home.notebooks / "00_toy.ipynb")
        written(source.lab(lab, version), self.home.labs / "00_lab.ipynb")

    def copy(self, name: str = "00_lab") -> Copy:
        return named(self.home, name)

    def cells(self, name: str = "00_lab") -> dict[str, str]:
        """The learner's cells, id to text, in their order."""
        return {cell.id: cell.source for cell in read(self.copy(name).mine).cells}

    def write(self, id: str, text: str, name: str = "00_lab") -> None:
        """The learner writes in a cell."""
        path = self.copy(name).mine
        notebook = read(path)
        next(cell for cell in notebook.cells if cell.id == id).source = text
        written(notebook, path)

    def add(self, text: str, name: str = "00_lab", *, after: str) -> None:
        """The learner adds a cell, whose id is as JupyterLab makes them."""
        path = self.copy(name).mine
        notebook = read(path)
        place = [cell.id for cell in notebook.cells].index(after) + 1
        notebook.cells.insert(place, nbformat.v4.new_code_cell(text, id="5c9d7e31-0d0f-4c1b-9a51-2f5d7a8f6f10"))
        written(notebook, path)

    def lose_bases(self) -> None:
        shutil.rmtree(self.home.base)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """A command: its exit code, what it says, what it says on standard error."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        said = self.capsys.readouterr()
        assert "Traceback" not in said.err
        return int(left.value.code or 0), said.out, said.err

    def report(self, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """A command with `--json`: its exit code, and its entries by the names of the notebooks."""
        code, out, _ = self.run(*arguments, "--json")
        return code, {Path(entry["notebook"]).stem: entry for entry in json.loads(out)["notebooks"]}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A learner's desk with fresh copies of version 0.1.0."""
    monkeypatch.delenv("WORKBOOK_MY_WORK", raising=False)
    made = Desk(tmp_path, capsys)
    for command in ("update", "reset"):
        monkeypatch.setattr(importlib.import_module(f"workbook.cli.{command}"), "house", lambda: made.home)
    assert made.run("update")[0] == 0
    return made
