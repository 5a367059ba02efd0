"""The real nbgrader on our labs: `generate_assignment`, then `autograde` on right, wrong, half right and untouched answers.

Its marks must be those of the judges: what `workbook check` gives.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.book.answers import filled, solutions
from workbook.cli.house import House, house
from workbook.grading import registry

REAL = house()
ASSIGNMENT = "lab"


@pytest.fixture(autouse=True)
def its_tools_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """nbgrader calls `alembic` by name."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def nbgrader(course: Path, *arguments: str) -> None:
    kept = {key: value for key, value in os.environ.items() if key != "WORKBOOK_CHECK"}
    env = {**kept, "JUPYTER_CONFIG_DIR": str(course / "config"), "IPYTHONDIR": str(course / "ipython")}
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments], cwd=course, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def released(course: Path, source: Path) -> Path:
    """Make a course of one notebook, and release it as an instructor does; the released notebook."""
    there = course / "source" / ASSIGNMENT / source.name
    there.parent.mkdir(parents=True)
    there.write_bytes(source.read_bytes())
    (course / "nbgrader_config.py").write_text('c = get_config()\nc.ClearSolutions.code_stub = {"python": "..."}\n')
    nbgrader(course, "generate_assignment", ASSIGNMENT)
    return course / "release" / ASSIGNMENT / source.name


def marks(course: Path, release: Path, students: dict[str, dict[str, str]]) -> dict[str, dict[str, float]]:
    """What `autograde` gives each student for each exercise."""
    from nbgrader.api import Gradebook

    for student, answers in students.items():
        there = course / "submitted" / student / ASSIGNMENT / release.name
        there.parent.mkdir(parents=True)
        nbformat.write(filled(release, answers), there)
    nbgrader(course, "autograde", ASSIGNMENT, "--create")
    given = {}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        for student in students:
            submission = book.find_submission_notebook(release.stem, ASSIGNMENT, student)
            given[student] = {grade.name: grade.score for grade in submission.grades}
    return given


def test_a_release_is_the_lab_without_its_markers(built: House, tmp_path: Path) -> None:
    made = nbformat.read(built.labs / "00_toys.ipynb", as_version=4)
    release = nbformat.read(released(tmp_path, built.solutions / "00_toys.ipynb"), as_version=4)
    assert [cell.id for cell in release.cells] == [cell.id for cell in made.cells]
    for cell, want in zip(release.cells, made.cells, strict=True):
        lines = [line for line in want.source.splitlines() if "### " not in line or cell.cell_type == "markdown"]
        assert cell.source.splitlines() == lines
        assert not cell.get("outputs")


def test_toys_get_the_judges_marks(built: House, tmp_path: Path) -> None:
    students = {
        "right": {"toys-one": "    10", "toys-two": "    20", "toys-three": "    30"},
        "wrong": {"toys-one": "    11111", "toys-two": "    'text'", "toys-three": "    31"},
        "half": {"toys-one": "    11", "toys-two": "    20"},
        "untouched": {},
    }
    given = marks(tmp_path, released(tmp_path, built.labs / "00_toys.ipynb"), students)
    assert given["right"] == {"toys-one": 2, "toys-two": 3, "toys-three": 1}
    assert given["wrong"] == {"toys-one": 0, "toys-two": 0, "toys-three": 0.5}
    assert given["half"] == {"toys-one": 1, "toys-two": 3, "toys-three": 0}
    assert given["untouched"] == {"toys-one": 0, "toys-two": 0, "toys-three": 0}


def checked(path: Path) -> dict[str, float]:
    """What `workbook check` gives for each exercise."""
    kept = {key: value for key, value in os.environ.items() if key != "WORKBOOK_CHECK"}
    command = [sys.executable, "-m", "workbook.cli", "check", str(path), "--json"]
    done = subprocess.run(command, env=kept, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return {one["id"]: one["points"] for one in json.loads(done.stdout)["exercises"]}


@pytest.mark.slow
@pytest.mark.parametrize("lab", sorted(REAL.labs.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_lab_gets_the_same_marks_as_from_workbook_check(lab: Path, tmp_path: Path) -> None:
    """Of three students each has a third of the exercises right, a third wrong and a third untouched: each another third."""
    right = solutions(REAL.solutions / lab.name)
    answered: dict[str, list[str]] = {
        f"student{turn}": [("right", "wrong", "untouched")[(number + turn) % 3] for number in range(len(right))]
        for turn in range(3)
    }
    students = {
        student: {
            id: right[id] if how == "right" else "    'SELECT 1'"
            for id, how in zip(right, hows, strict=True)
            if how != "untouched"
        }
        for student, hows in answered.items()
    }
    given = marks(tmp_path, released(tmp_path, REAL.solutions / lab.name), students)
    full = {exercise.id: exercise.points for exercise in registry.exercises(lab.stem)}
    for student, hows in answered.items():
        path = tmp_path / f"{student}.ipynb"
        nbformat.write(filled(lab, students[student]), path)
        assert given[student] == pytest.approx(checked(path)), student
        for id, how in zip(right, hows, strict=True):
            mark = given[student][id]
            assert mark == {"right": full[id], "untouched": 0}.get(how, mark) and (how != "wrong" or mark < full[id])
