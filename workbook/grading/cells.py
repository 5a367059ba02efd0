"""A notebook as data: its code cells, the lab it belongs to, and where each exercise is asked and answered.

    02_indexes.ipynb ──▶ Notebook(state="read", cells=(...), lab="02_indexes", seed=7)
                             │ places("indexes-order") ──▶ cells 4 (assigns order_index), 5 (checks it)

Cells are read for one purpose: to say what became of an exercise when no answer arrived. Marks never rest on them, nor
on a cell's metadata: whoever splits, copies or moves a cell loses nothing.

    >>> notebook = Notebook("read", ("start_lab('02_indexes', seed=7)", "a = 1", "check('indexes-order', a)"))
    >>> notebook.seed, notebook.places("indexes-order")
    (7, (1, 2))

Left out: Markdown, outputs, attachments.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

SIZE_MAX = 50 * 1024 * 1024
_CHECK = re.compile(r"\bcheck\(\s*[\"']([a-z0-9]+(?:-[a-z0-9]+)+)[\"']")
_START = re.compile(r"\bstart_lab\(\s*[\"']([\w-]+)[\"'](?:\s*,\s*(?:seed\s*=\s*)?(-?\d+))?")


@dataclass(frozen=True)
class Notebook:
    """What was read. `state`: `read`; `malformed` (read, though not as Jupyter writes it); `unusable` (`problem`
    says why)."""

    state: str
    cells: tuple[str, ...] = ()
    problem: str = ""

    @cached_property
    def trees(self) -> tuple[ast.Module | None, ...]:
        """Each cell as a syntax tree; None for one that is no Python."""
        return tuple(map(_tree, self.cells))

    @cached_property
    def lab(self) -> str | None:
        """The lab that the notebook says it starts, if any."""
        started = self._start()
        return started[0] if started else None

    @cached_property
    def seed(self) -> int | None:
        started = self._start()
        return int(started[1]) if started and started[1] is not None else None

    def _start(self) -> tuple[str, str | None] | None:
        for cell in self.cells:
            if found := _START.search(cell):
                return found.group(1), found.group(2)
        return None

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids that are checked, in order, each once."""
        return tuple(dict.fromkeys(id for cell in self.cells for id in _CHECK.findall(cell)))

    def places(self, id: str) -> tuple[int, ...]:
        """The numbers of the cells in which an exercise is answered and checked. Where no cell gives a value to what is
        checked (it is no Python, or ends before it does), the answer was to stand in one since the check before."""
        names: set[str] = set()
        checks = set()
        for number, (cell, tree) in enumerate(zip(self.cells, self.trees, strict=True)):
            if id in _CHECK.findall(cell):
                checks.add(number)
                names |= set(_names_checked(tree, id))
        assigns = {
            number for number, tree in enumerate(self.trees) if tree is not None and names & set(_assigned(tree))
        }
        if checks and not assigns:
            before = [number for number in range(min(checks)) if _CHECK.search(self.cells[number])]
            assigns = set(range(before[-1] + 1 if before else 0, min(checks)))
        return tuple(sorted(checks | assigns))


def read(path: Path) -> Notebook:
    """Read a notebook from a file, whatever the file is. Never raises for what is in it."""
    try:
        if path.stat().st_size > SIZE_MAX:
            return Notebook("unusable", problem=f"The file is larger than {SIZE_MAX // 1024 // 1024} MB.")
        raw = path.read_bytes()
    except OSError as error:
        return Notebook("unusable", problem=f"The file cannot be read: {error.strerror or error}.")
    try:
        data = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return Notebook("unusable", problem=f"The file is no notebook: {str(error)[:200]}.")
    cells = data.get("cells") if isinstance(data, dict) else None
    if not isinstance(cells, list):
        return Notebook("unusable", problem="The file is no notebook: it has no list of cells.")
    sources = tuple(_sources(cells))
    problem = _flaw(data)
    return Notebook("malformed" if problem else "read", sources, problem)


def _sources(cells: list[Any]) -> Iterator[str]:
    for cell in cells:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", "")
            if isinstance(source, list):
                source = "".join(part for part in source if isinstance(part, str))
            if isinstance(source, str) and source.strip():
                yield source


def _flaw(data: dict[str, Any]) -> str:
    """What Jupyter would not have written, in a sentence; '' where nothing is."""
    import warnings

    import nbformat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = data.get("nbformat")
            if version != 4:
                return f"Its format is {version!r}, not 4."
            nbformat.validate(nbformat.from_dict(data))
    except Exception as error:
        return f"It is not as Jupyter writes it: {(str(error).strip() or type(error).__name__).splitlines()[0][:200]}."
    seen = [cell.get("id") for cell in data["cells"] if isinstance(cell, dict) and cell.get("id")]
    if len(seen) != len(set(seen)):
        return "Two of its cells have the same id."
    return ""


def _tree(cell: str) -> ast.Module | None:
    import warnings

    lines = [line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!", "?"))]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _names_checked(tree: ast.Module | None, id: str) -> Iterator[str]:
    """The names that are handed to `check("id", ...)`."""
    for call in ast.walk(tree) if tree is not None else ():
        if (
            isinstance(call, ast.Call)
            and call.args
            and isinstance(call.args[0], ast.Constant)
            and call.args[0].value == id
        ):
            for part in [*call.args[1:], *(keyword.value for keyword in call.keywords)]:
                yield from (name.id for name in ast.walk(part) if isinstance(name, ast.Name))


def _assigned(tree: ast.Module) -> Iterator[str]:
    """The names that a cell gives a value at its top level or below."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
