"""nbval runs what is committed, and compares the stored verdicts; a wrong verdict fails, and so does an unsolved lab in my-work/."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.book.answers import filled
from workbook.cli.copies import make_missing
from workbook.cli.house import House, house

REAL = house()
BUILT = [path for folder in (REAL.notebooks, REAL.solutions) for path in sorted(folder.glob("*.ipynb"))]


def nbval(paths: list[Path], root: Path = REAL.root) -> tuple[str, dict[str, int]]:
    """`pytest --nbval-lax` on notebooks, with a checkout's configuration and none of this run's: what it said, and how many
    cells of each notebook failed."""
    gone = (
        "PYTEST_CURRENT_TEST",
        "PYTEST_XDIST_WORKER",
        "PYTEST_ADDOPTS",
        "WORKBOOK_CHECK",
        "WORKBOOK_MY_WORK",
        "NBGRADER_EXECUTION",
    )
    env = {key: value for key, value in os.environ.items() if key not in gone}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-rA",
        *map(str, paths),
    ]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    passed, failed = (
        re.findall(rf"^{word} (\S+\.ipynb)::", done.stdout, re.MULTILINE) for word in ("PASSED", "FAILED")
    )
    names = {path: path.relative_to(root).as_posix() for path in paths}
    assert all(name in passed for name in names.values()), done.stdout[-3000:]
    return done.stdout, {path.stem: failed.count(name) for path, name in names.items()}


@pytest.mark.parametrize("path", BUILT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_committed_runs_and_shows_what_is_stored(path: Path) -> None:
    said, failures = nbval([path])
    assert not any(failures.values()), said[-6000:]


@pytest.fixture
def small(built: House, tmp_path: Path) -> House:
    """A copy of the small house, with the conftest.py of this checkout at its root."""
    root = tmp_path / "small"
    shutil.copytree(built.root, root)
    shutil.copy(REAL.root / "conftest.py", root)
    return House(root)


def tampered(small: House, name: str, kind: str, was: str, now: str) -> Path:
    """A copy of the solution whose stored first verdict was changed by hand."""
    notebook = nbformat.read(small.solutions / "00_toys.ipynb", as_version=4)
    (output,) = next(cell for cell in notebook.cells if cell.id == "toys-one-check").outputs
    assert was in output.data[kind]
    output.data[kind] = output.data[kind].replace(was, now)
    path = small.solutions / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def test_a_stored_verdict_that_is_not_the_judges_fails(small: House) -> None:
    paths = [
        small.notebooks / "00_lesson.ipynb",
        small.solutions / "00_toys.ipynb",
        tampered(small, "its_text", "text/plain", "2 of 2 points", "1 of 2 points"),
        tampered(small, "its_card", "text/html", "full marks", "not yet"),
    ]
    _, failures = nbval(paths, small.root)
    assert failures == {"00_lesson": 0, "00_toys": 0, "its_text": 1, "its_card": 1}


LEARNERS = {
    "all": ({"toys-one": "    10", "toys-two": "    20", "toys-three": "    30"}, 0),
    "the_core": ({"toys-one": "    10", "toys-two": "    20"}, 0),
    "the_core_and_a_wrong_further_one": ({"toys-one": "    10", "toys-two": "    20", "toys-three": "    0"}, 0),
    "half_right": ({"toys-one": "    10", "toys-two": "    21"}, 1),
    "one_of_two": ({"toys-one": "    10"}, 1),
    "untouched": ({}, 2),
}


def test_a_learners_lab_passes_exactly_with_full_marks_in_the_core(small: House) -> None:
    make_missing(small)
    lab = small.my_work / "labs" / "00_toys.ipynb"
    paths = []
    for name, (answers, _) in LEARNERS.items():
        paths.append(lab.with_name(f"{name}.ipynb"))
        nbformat.write(filled(lab, answers), paths[-1])
    said, failures = nbval(paths, small.root)
    assert failures == {name: below for name, (_, below) in LEARNERS.items()}
    assert said.count("BelowFullMarks: toys-") >= sum(failures.values())
