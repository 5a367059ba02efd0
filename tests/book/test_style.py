"""The form of each text in book/: what a learner can rely on in every lesson and every lab."""

from __future__ import annotations

import ast
import statistics

import pytest

from workbook.cli import build
from workbook.cli.build import source
from workbook.cli.build.running import run
from workbook.cli.house import house

REAL = house()
TEMPLATE = build.Book(REAL.book / "TEMPLATE.py")
BOOKS = [*build.books(REAL), TEMPLATE]
LESSONS = [book for book in BOOKS if not book.is_lab]
LINES_MAX, PREDICTIONS_MAX = 15, 7


def code(book: build.Book) -> list[str]:
    return [cell.source for cell in book.notebook(book.runs, "0").cells if cell.cell_type == "code"]


def named(book: build.Book) -> str:
    return book.path.stem


@pytest.mark.parametrize("book", LESSONS, ids=named)
def test_code_cells_are_short(book: build.Book) -> None:
    lengths = [len(cell.splitlines()) for cell in code(book)]
    assert max(lengths) <= LINES_MAX
    assert statistics.median(lengths) <= 4


@pytest.mark.parametrize("book", BOOKS, ids=named)
def test_it_opens_with_a_heading_and_has_one_import_cell_and_no_magic(book: build.Book) -> None:
    notebook = book.notebook(book.runs, "0")
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    importing = [
        cell
        for cell in code(book)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(cell)))
    ]
    assert importing == code(book)[:1]
    assert not [line for cell in code(book) for line in cell.splitlines() if line.startswith(("%", "!"))]


@pytest.mark.parametrize("book", LESSONS, ids=named)
def test_predictions_are_few_unanswered_and_measured(book: build.Book) -> None:
    asked = [cell for cell in code(book) if source.called(cell, "predict")]
    assert len(asked) <= PREDICTIONS_MAX or "appendix" in book.name  # an appendix is read by the section
    assert all("..." in cell for cell in asked)
    assert len({source.called(cell, "predict") for cell in asked}) == len(asked)
    assert sum(cell.count(".measured(") for cell in code(book)) >= len(asked)


@pytest.mark.parametrize("book", [book for book in BOOKS if book.is_lab], ids=named)
def test_each_exercise_of_a_lab_is_asked_answered_and_checked_in_this_order(book: build.Book) -> None:
    from workbook.grading.registry import exercises

    names = [cell.id for cell in book.notebook(book.runs, "0").cells]
    places = []
    for exercise in exercises(book.name):
        steps = [names.index(f"{exercise.id}-{step}") for step in ("ask", "answer", "check")]
        assert steps == sorted(steps)
        places += steps
    assert places == sorted(places)


def test_the_template_runs() -> None:
    notebook = TEMPLATE.notebook(TEMPLATE.runs, "0")
    run(notebook, name="TEMPLATE", folder=REAL.notebooks)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    assert [output.ename for output in shown] == ["ZeroDivisionError"]
