"""What holds for the whole package: lint, format, types, the rooms, the size of files, how little an import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "workbook"
LINES_MAX = 600
SUBJECTS = ("btree", "plans", "schedules")
ROOMS = ("errors", "draw", "engines", *SUBJECTS, "grading", "exercises", "cli")
"""From the ground up: a room imports none that stands after it, and no subject imports another."""
HEAVY = ("psycopg", "duckdb", "sqlalchemy", "nbformat", "jupytext", "nbclient", "jupyterlab", "IPython", "rich", "yaml")


def passes(*command: str) -> None:
    """Run a tool of this Python, and fail with what it says."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def test_the_linter_finds_nothing() -> None:
    passes("ruff", "check", "--no-cache", ".")


def test_everything_is_formatted() -> None:
    passes("ruff", "format", "--check", "--no-cache", ".")


def test_the_types_hold(tmp_path: Path) -> None:
    passes("mypy", "--cache-dir", str(tmp_path))


def test_the_doctests_hold() -> None:
    passes("pytest", "--doctest-modules", "-q", "-p", "no:cacheprovider", "workbook")


def test_no_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert not {name: lines for name, lines in long.items() if lines > LINES_MAX}


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a module imports, at its head or in a function; for the type checker alone does not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hints = {id(inner) for node in ast.walk(tree) if is_for_hints(node) for inner in ast.walk(node)}
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in hints:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("workbook.")} & set(ROOMS)


def is_for_hints(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_no_room_imports_one_above_it() -> None:
    upwards = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in ROOMS:
            above = (*ROOMS[ROOMS.index(room) + 1 :], *(SUBJECTS if room in SUBJECTS else ()))
            upwards += [
                f"{path.relative_to(ROOT)} imports {name}"
                for name in sorted(imported_rooms(path) - {room})
                if name in above
            ]
    assert not upwards


def test_drawing_imports_no_engine() -> None:
    drawn = {name for path in (PACKAGE / "draw").rglob("*.py") for name in imported_rooms(path)}
    assert drawn <= {"errors", "draw"}


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh Python has loaded after a statement."""
    script = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()} | set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import workbook", "import workbook.cli", "from workbook import check"])
def test_an_import_loads_nothing_heavy(statement: str) -> None:
    assert not loaded_by(statement) & set(HEAVY)


def test_a_check_imports_without_the_judges() -> None:
    modules = loaded_by("from workbook import check")
    assert not {name for name in modules if name.startswith(("workbook.exercises", "workbook.engines"))}


def test_each_module_opens_with_an_essay() -> None:
    bare = [
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not bare
