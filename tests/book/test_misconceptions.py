"""`docs/misconceptions.md` beside the notebooks: each belief of the list is refuted by an assertion that was run."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \| .+? \| `(\w+)` \| `(.+?)` \|(?: `(.+?)` \|)?$", re.M)
ROWS = ROW.findall((ROOT / "docs" / "misconceptions.md").read_text(encoding="utf-8"))
PRODUCTION = "## The same in production"


@cache
def statements(notebook: str, heading: str = "") -> str:
    """The assertions of a notebook's cells that were run, on one line each; only those behind a `heading` where one is given."""
    found, cells = [], nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells
    begins = next(number for number, cell in enumerate(cells) if cell.source.startswith(heading))
    for cell in cells[begins:]:
        if cell.cell_type == "code" and cell.execution_count:
            found += [line for line in cell.source.splitlines() if line.lstrip().startswith("assert ")]
    return "\n".join(found)


def test_the_list_is_whole() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 54))
    assert [int(number) for number, *_, there in ROWS if there] == list(range(1, 11))


@pytest.mark.parametrize(("number", "notebook", "here", "there"), ROWS, ids=[row[0] for row in ROWS])
def test_each_is_refuted_by_an_assertion_that_was_run(number: str, notebook: str, here: str, there: str) -> None:
    assert here in statements(notebook)
    if there:
        assert there in statements(notebook, PRODUCTION)
