"""From a text to notebooks: ids that stay, tags, nbgrader's metadata, answers taken out."""

from __future__ import annotations

import re

import pytest

from workbook.cli import build
from workbook.cli.build import source
from workbook.cli.house import House
from workbook.errors import Misuse

LESSON = "# %% [markdown]\n# # The question\n\n# %%\na = 1\n\n# %%\nb = 2\n"


def ids(text: str) -> list[str]:
    return [cell.id for cell in source.lesson(text, "0.1.0").cells]


def test_ids_stay_when_a_cell_comes_in_elsewhere() -> None:
    more = LESSON.replace("# %%\na = 1", "# %%\nzero = 0\n\n# %% [markdown]\n# Text.\n\n# %%\na = 1")
    before, after = ids(LESSON), ids(more)
    assert [id for id in after if id in before] == before
    assert len(after) == len(before) + 2


def test_ids_are_such_as_nbformat_and_nbgrader_take(home: House) -> None:
    for book in build.books(home):
        for target in book.targets:
            for cell in book.notebook(target, "0.1.0").cells:
                assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell.id)


def test_the_same_text_twice_gives_two_ids() -> None:
    assert ids("# %%\na = 1\n\n# %%\na = 1\n") == [ids("# %%\na = 1\n")[0], ids("# %%\na = 1\n")[0] + "-2"]


def lab_cells(home: House, target: str) -> dict[str, object]:
    book = build.books(home, ["00_toys"])[0]
    return {cell.id: cell for cell in book.notebook(target, "0.1.0").cells}


def test_a_lab_has_its_answers_taken_out_and_its_solution_has_them(home: House) -> None:
    lab, solution = lab_cells(home, "labs/00_toys.ipynb"), lab_cells(home, "solutions/00_toys.ipynb")
    assert list(lab) == list(solution)
    assert lab["toys-one-answer"].source == "one = (\n    ### BEGIN SOLUTION\n    ...\n    ### END SOLUTION\n)"
    assert "    10\n" in solution["toys-one-answer"].source
    changed = [id for id in lab if lab[id].source != solution[id].source]
    assert changed == ["toys-one-answer", "toys-two-answer", "toys-three-answer"]


def test_nbgrader_finds_what_it_reads(home: House) -> None:
    for target in ("labs/00_toys.ipynb", "solutions/00_toys.ipynb"):
        cells = lab_cells(home, target)
        marks = {id: dict(cell.metadata["nbgrader"]) for id, cell in cells.items() if "nbgrader" in cell.metadata}
        common = {"schema_version": 3}
        assert marks["toys-two-answer"] == common | {
            "grade_id": "toys-two-answer",
            "grade": False,
            "locked": False,
            "solution": True,
        }
        assert marks["toys-two-check"] == common | {
            "grade_id": "toys-two", "grade": True, "locked": True, "solution": False, "points": 3,
        }  # fmt: skip
        assert marks["start-lab-00_toys"]["locked"] and not marks["start-lab-00_toys"]["grade"]
        assert len({mark["grade_id"] for mark in marks.values()}) == len(marks) == 7


def test_verdicts_of_solutions_are_compared_and_those_of_labs_are_not(home: House) -> None:
    tagged = [id for id, cell in lab_cells(home, "solutions/00_toys.ipynb").items() if cell.metadata.get("tags")]
    assert tagged == ["toys-one-check", "toys-two-check", "toys-three-check"]
    assert not [id for id, cell in lab_cells(home, "labs/00_toys.ipynb").items() if cell.metadata.get("tags")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# %%\nx = (\n    ### BEGIN SOLUTION\n    1\n    ### END SOLUTION\n)\n", "An answer has no check after it"),
        ('# %%\ncheck("toys-one", 1)\n\n# %%\ncheck("toys-one", 2)\n', "nbgrader needs each id once; twice: toys-one"),
        ('# %%\ncheck("toys-onne", 1)\n', "There is no exercise 'toys-onne'"),
        ("# %% [raw]\n# raw\n", "A cell of the kind 'raw' is not for a book"),
    ],
)
def test_a_mistake_of_an_author_is_a_sentence_with_the_file(home: House, text: str, told: str) -> None:
    path = home.book / "lab_00_toys.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Misuse, match=r"^lab_00_toys.py: ") as caught:
        build.books(home, ["lab_00_toys"])[0].notebook("solutions/00_toys.ipynb", "0.1.0")
    assert told in str(caught.value)


def test_a_book_that_is_not_there_is_a_sentence(home: House) -> None:
    with pytest.raises(
        Misuse, match=r"There is no book/03_nothing\.py\. Next: name one of these: 00_lesson, lab_00_toys"
    ):
        build.books(home, ["03_nothing"])


@pytest.mark.parametrize("name", ["lab_00_toys", "00_toys", "book/lab_00_toys.py", "solutions/00_toys.ipynb"])
def test_a_book_is_found_by_any_of_its_names(home: House, name: str) -> None:
    assert [book.path.stem for book in build.books(home, [name])] == ["lab_00_toys"]
