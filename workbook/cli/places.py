"""Where the repository's folders stand, and the learner's copy of them."""

from __future__ import annotations

from pathlib import Path

from workbook.errors import Unavailable

ROOT = Path(__file__).resolve().parent.parent.parent
BOOK, NOTEBOOKS, LABS, SOLUTIONS = ROOT / "book", ROOT / "notebooks", ROOT / "labs", ROOT / "solutions"
MY_WORK = ROOT / "my-work"
FIRST = "notebooks/00_start.ipynb"


def built() -> list[Path]:
    """The built notebooks that a learner gets a copy of. Raises `Unavailable` where the clone is not whole."""
    found = sorted(NOTEBOOKS.glob("*.ipynb")) + sorted(LABS.glob("*.ipynb"))
    if not found:
        raise Unavailable("There are no notebooks in this clone.", tried=str(NOTEBOOKS), next="clone the whole repository, or run `workbook build`")
    return found
