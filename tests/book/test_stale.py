"""What is committed is what the build makes; and the comparison sees each kind of difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workbook.cli import build
from workbook.cli.build.stale import compared
from workbook.cli.house import House, house

REAL = house()


@pytest.mark.parametrize("book", build.books(REAL) if REAL.book.exists() else [], ids=lambda book: book.path.stem)
def test_what_is_committed_is_what_the_build_makes(book: build.Book) -> None:
    assert build.differences(REAL, book) == [], f"run `workbook build {book.path.stem}`"


def test_no_built_notebook_has_lost_its_text() -> None:
    assert build.orphans(REAL) == []


def other_source(notebook: Any) -> None:
    notebook.cells[4].source += "  # by hand"


def other_id(notebook: Any) -> None:
    notebook.cells[4]["id"] = "by-hand"


def other_order(notebook: Any) -> None:
    notebook.cells[3], notebook.cells[4] = notebook.cells[4], notebook.cells[3]


def other_tags(notebook: Any) -> None:
    notebook.cells[3].metadata["tags"] = ["skip"]


def other_kernel(notebook: Any) -> None:
    notebook.metadata["kernelspec"]["name"] = "mine"


def not_run(notebook: Any) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None


def run_out_of_order(notebook: Any) -> None:
    notebook.cells[2].execution_count = 7


def verdict_taken_out(notebook: Any) -> None:
    next(cell for cell in notebook.cells if cell.id == "toys-one-check").outputs = []


CHANGES: dict[Callable[[Any], None], str] = {
    other_source: "has another text",
    other_id: "without toys-one-ask and with by-hand, which the text does not have",
    other_order: "its cells stand in another order",
    other_tags: "has other metadata",
    other_kernel: "other metadata of the notebook",
    not_run: "was not run",
    run_out_of_order: "was run as number 7 instead of 2",
    verdict_taken_out: "is tagged to be compared, and has no output",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_by_hand_is_seen(built: House, change: Callable[[Any], None]) -> None:
    book = build.books(built, ["lab_00_toys"])[0]
    there = build.read(built.root / "solutions/00_toys.ipynb")
    made = book.notebook("solutions/00_toys.ipynb", built.version)
    assert compared(there, made, ran=True) == []
    change(there)
    assert CHANGES[change] in "; ".join(compared(there, made, ran=True))


def test_outputs_in_a_lab_are_seen(built: House) -> None:
    book = build.books(built, ["lab_00_toys"])[0]
    made = book.notebook("labs/00_toys.ipynb", built.version)
    ran = build.read(built.root / "labs/00_toys.ipynb")
    ran.cells[1].execution_count = 1
    (said,) = compared(ran, made, ran=False)
    assert said.startswith("cell 2 (") and said.endswith(") has outputs")


def test_the_interpreters_version_and_untagged_outputs_are_no_difference(built: House) -> None:
    book = build.books(built, ["lab_00_toys"])[0]
    there = build.read(built.root / "solutions/00_toys.ipynb")
    there.metadata["language_info"]["version"] = "3.13.0"
    there.cells[3].outputs = []
    assert compared(there, book.notebook("solutions/00_toys.ipynb", built.version), ran=True) == []


def test_a_missing_notebook_and_one_without_a_text_are_stale(home: House) -> None:
    assert build.differences(home, build.books(home, ["00_lesson"])[0]) == ["notebooks/00_lesson.ipynb is missing"]
    stray = home.notebooks / "99_stray.ipynb"
    stray.parent.mkdir()
    stray.write_text("{}")
    assert build.orphans(home) == [stray]
