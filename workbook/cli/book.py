"""Turns the text of `book/` into notebooks: lessons as they are, labs with their answers taken out, solutions with them.

    book/02_indexes_1_finding.py ──▶ notebooks/02_indexes_1_finding.ipynb
    book/lab_02_indexes.py ────────▶ labs/02_indexes.ipynb   (### BEGIN SOLUTION ... becomes `...`)
                            └──────▶ solutions/02_indexes.ipynb

Cell ids are made of what a cell is: of its exercise in a lab, else of the heading above it and its place below that. So an id stays while
cells are added elsewhere, and `workbook update` can merge by it. nbgrader's metadata is added to labs and solutions, nbval's tag
to the verdicts of solutions.

    >>> hidden("answer = (\\n    ### BEGIN SOLUTION\\n    42\\n    ### END SOLUTION\\n)")
    'answer = (\\n    ### BEGIN SOLUTION\\n    ...\\n    ### END SOLUTION\\n)'

Left out: running them (that is `build`).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from workbook.cli.places import LABS, NOTEBOOKS, SOLUTIONS
from workbook.errors import Unsuitable

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
SOLUTION = re.compile(rf"^([ \t]*){BEGIN}\n.*?^[ \t]*{END}", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"^(?:\w+ = )?(ask|check|predict|start_lab)\(\s*[\"']([\w-]+)[\"']", re.MULTILINE)
VERDICT_TAG = "nbval-check-output"


def hidden(source: str) -> str:
    """A solved answer cell with `...` between its markers."""
    return SOLUTION.sub(lambda found: f"{found[1]}{BEGIN}\n{found[1]}...\n{found[1]}{END}", source)


def notebooks_of(path: Path) -> dict[Path, NotebookNode]:
    """The notebooks that one file of the book makes, not run: target path to notebook. Raises `Unsuitable`."""
    text = path.read_text(encoding="utf-8")
    try:
        base = jupytext.reads(text, fmt="py:percent")
    except Exception as error:
        raise Unsuitable(f"{path.name} is no py:percent text.", tried=str(error), next="copy book/TEMPLATE.py") from error
    lab = path.stem.startswith("lab_")
    _identify(base)
    base.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        workbook={"source": hashlib.sha256(text.encode()).hexdigest()[:16]},
    )
    base.nbformat, base.nbformat_minor = 4, 5
    if not lab:
        return {NOTEBOOKS / f"{path.stem}.ipynb": base}
    name = path.stem.removeprefix("lab_")
    _graded(base)
    solved, unsolved = base, nbformat.from_dict(base)
    for cell in unsolved.cells:
        cell.source = hidden(cell.source) if cell.cell_type == "code" else cell.source
    for cell in solved.cells:
        if cell.cell_type == "code" and _call(cell.source)[0] == "check":
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), VERDICT_TAG]
    return {LABS / f"{name}.ipynb": unsolved, SOLUTIONS / f"{name}.ipynb": solved}


def _call(source: str) -> tuple[str, str]:
    """Which of the workbook's calls a cell begins with, and its id; ('', '') where none."""
    found = CALL.search(source)
    return (found[1], found[2]) if found else ("", "")


def _identify(notebook: Any) -> None:
    """Give each cell an id that stays the same while other cells come and go, and clean its metadata."""
    section, exercise = "top", ""
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        call, name = _call(cell.source) if cell.cell_type == "code" else ("", "")
        heading = re.match(r"#+ (.+)", cell.source) if cell.cell_type == "markdown" else None
        if heading:
            section = re.sub(r"[^a-z0-9]+", "-", heading[1].lower()).strip("-")[:40] or "section"
        if call == "ask":
            exercise = name
        if call in ("ask", "check"):
            wanted = f"{name}-{call}"
        elif call == "predict":
            wanted = f"predict-{name}"
        elif BEGIN in cell.source and exercise:
            wanted = f"{exercise}-answer"
        else:
            wanted = section
        seen[wanted] += 1
        cell.id = wanted if seen[wanted] == 1 else f"{wanted}-{seen[wanted]}"
        tags = cell.metadata.get("tags", [])
        cell.metadata = NotebookNode({"tags": tags} if tags else {})


def _graded(notebook: Any) -> None:
    """nbgrader's metadata: answers are solutions, checks are tests with points, calls around them are locked."""
    from workbook.grading.registry import find

    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        call, name = _call(cell.source)
        if BEGIN in cell.source:
            cell.metadata["nbgrader"] = _nbgrader(cell.id, solution=True)
        elif call == "check":
            cell.metadata["nbgrader"] = _nbgrader(name, grade=True, locked=True, points=find(name).points)
        elif call in ("ask", "start_lab"):
            cell.metadata["nbgrader"] = _nbgrader(cell.id, locked=True)


def _nbgrader(grade_id: str, *, grade: bool = False, solution: bool = False, locked: bool = False, points: int | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"schema_version": 3, "grade_id": grade_id, "grade": grade, "solution": solution, "locked": locked, "task": False}
    return made if points is None else made | {"points": points}
