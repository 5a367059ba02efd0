"""From a text in `book/` to a notebook: cells, their ids, tags and nbgrader's metadata; no outputs yet.

    book/02_indexes_1_finding.py ──▶ notebooks/02_indexes_1_finding.ipynb
    book/lab_02_indexes.py       ──▶ labs/02_indexes.ipynb        what stands between the markers becomes `...`
                                 └─▶ solutions/02_indexes.ipynb

A cell's id comes from what the cell is about, so that it stays the same when cells are inserted or moved elsewhere:
the id of the exercise or prediction, the heading, else its own text.

    ask("indexes-order")       indexes-order-ask        locked
    ### BEGIN SOLUTION         indexes-order-answer     nbgrader: solution
    check("indexes-order", …)  indexes-order-check      nbgrader: grade, points; compared by nbval where it has outputs

    >>> notebook = lesson("# %% [markdown]\\n# # The question\\n# %%\\n1 + 1", version="0.1.0")
    >>> [(cell.id, cell.cell_type) for cell in notebook.cells]
    [('the-question', 'markdown'), ('c-cc6d623eb40b', 'code')]

Left out: running (`running.py`), and comparing with what is committed (`stale.py`).
"""

from __future__ import annotations

import ast
import copy
import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from workbook.errors import Misuse

if TYPE_CHECKING:
    from nbformat import NotebookNode

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
COMPARED = "nbval-check-output"
INTENDED = "raises-exception"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE: dict[str, Any] = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
_REGION = re.compile(rf"^(?P<indent>[ \t]*){BEGIN}[^\n]*\n(?P<answer>.*?)^[ \t]*{END}", re.DOTALL | re.MULTILINE)


def lesson(text: str, version: str) -> NotebookNode:
    """The notebook of a lesson, without outputs."""
    notebook = _notebook(text, version)
    for cell in notebook.cells:
        if cell.cell_type == "code" and called(cell.source, "check"):
            tag(cell, COMPARED)
    return notebook


def solution(text: str, version: str) -> NotebookNode:
    """The solved notebook of a lab, without outputs."""
    notebook = _notebook(text, version)
    _for_nbgrader(notebook)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            tag(cell, COMPARED)
    return notebook


def lab(text: str, version: str) -> NotebookNode:
    """The notebook of a lab as learners get it: each solution becomes `...`, the markers stay."""
    notebook = _notebook(text, version)
    _for_nbgrader(notebook)
    for cell in notebook.cells:
        cell.source = without_solutions(cell.source)
        if "tags" in cell.metadata:
            untag(cell, COMPARED)
    return notebook


def without_solutions(source: str) -> str:
    """A cell's source with `...` between its markers.

    >>> print(without_solutions("x = (\\n    ### BEGIN SOLUTION\\n    42\\n    ### END SOLUTION\\n)"))
    x = (
        ### BEGIN SOLUTION
        ...
        ### END SOLUTION
    )
    """
    return _REGION.sub(lambda found: f"{found['indent']}{BEGIN}\n{found['indent']}...\n{found['indent']}{END}", source)


def called(source: str, function: str) -> str:
    """The first argument of the first call of `function` by name in a cell, where it is a text; else ''.

    >>> called('check("indexes-order", order_index)', "check")
    'indexes-order'
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                return first.value
    return ""


def tag(cell: NotebookNode, name: str) -> None:
    tags = cell.metadata.setdefault("tags", [])
    if name not in tags:
        tags.append(name)


def untag(cell: NotebookNode, name: str) -> None:
    """Take a tag away, and the list of tags with the last one."""
    left = [kept for kept in cell.metadata.get("tags", []) if kept != name]
    if left:
        cell.metadata["tags"] = left
    else:
        cell.metadata.pop("tags", None)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _notebook(text: str, version: str) -> NotebookNode:
    import jupytext
    import nbformat

    read = jupytext.reads(text, fmt="py:percent")
    cells = []
    for cell in read.cells:
        if not cell.source.strip():
            continue
        make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}.get(cell.cell_type)
        if make is None:
            raise Misuse(f"A cell of the kind {cell.cell_type!r} is not for a book: {cell.source[:60]!r}.")
        tags = cell.metadata.get("tags")
        cells.append(make(source=cell.source, metadata={"tags": list(tags)} if tags else {}))
    for cell, id in zip(cells, _ids(cells), strict=True):
        cell.id = id
    metadata = {
        "kernelspec": dict(KERNEL),
        "language_info": copy.deepcopy(LANGUAGE),
        "workbook": {"source": digest(text), "version": version},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _ids(cells: list[Any]) -> list[str]:
    """An id for each cell; the second cell of the same name gets -2."""
    names = []
    checks = [called(cell.source, "check") if cell.cell_type == "code" else "" for cell in cells]
    for index, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            names.append(heading(cell.source) or f"m-{_short(cell.source)}")
        elif BEGIN in cell.source:
            id = next((check for check in checks[index:] if check), "")
            if not id:
                raise Misuse(f"An answer has no check after it: {cell.source[:60]!r}.", next="add check(id, answer)")
            names.append(f"{id}-answer")
        else:
            names.append(subject(cell.source) or f"c-{_short(cell.source)}")
    seen: Counter[str] = Counter()
    ids = []
    for name in names:
        seen[name] += 1
        ids.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return ids


def subject(source: str) -> str:
    """What a code cell is about, where a call says so."""
    for function in ("check", "ask", "hint", "predict", "start_lab"):
        id = called(source, function)
        if id:
            return f"start-lab-{id}" if function == "start_lab" else f"{id}-{function}"
    return ""


def heading(source: str) -> str:
    """The heading that a markdown cell begins with, as letters, digits and dashes."""
    found = re.match(r"#+\s+(.+)", source)
    return re.sub(r"[^a-z0-9]+", "-", found[1].lower()).strip("-")[:48].strip("-") if found else ""


def _short(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def _for_nbgrader(notebook: NotebookNode) -> None:
    """What nbgrader 0.9.6 reads: schema 3, an answer is a solution, a check is a grade, the lab's start is locked."""
    from workbook.grading.registry import find

    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        checked = called(cell.source, "check")
        if BEGIN in cell.source:
            cell.metadata["nbgrader"] = _grade(cell.id, solution=True)
        elif checked:
            cell.metadata["nbgrader"] = {**_grade(checked, grade=True, locked=True), "points": find(checked).points}
        elif called(cell.source, "start_lab"):
            cell.metadata["nbgrader"] = _grade(cell.id, locked=True)
    names = [cell.metadata["nbgrader"]["grade_id"] for cell in notebook.cells if "nbgrader" in cell.metadata]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise Misuse(f"nbgrader needs each id once; twice: {', '.join(twice)}.", next="check each exercise in one cell")


def _grade(id: str, *, grade: bool = False, solution: bool = False, locked: bool = False) -> dict[str, Any]:
    return {"grade": grade, "grade_id": id, "locked": locked, "schema_version": 3, "solution": solution}
