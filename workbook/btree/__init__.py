"""B-trees: one tree to take apart, the readers of real ones, the stepper that shows both, and the price of a key.

    Tree ──────────── .snapshot() ──┐
    read_index(...) ── PostgreSQL ──┼──▶ Snapshot ── stepper ──▶ pages, one comparison or split at a time
    read_sqlite(...) ─── SQLite ────┘
    model(...) ──▶ height, pages by level, pages touched, WAL: from rows, key, fill factor and order of arrival

Each name is imported when it is first used. The values (`Snapshot`, `Page`, `Entry`, `Event`) stand in `page`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

_PLACES = {
    "Tree": "workbook.btree.tree",
    "read_index": "workbook.btree.postgres",
    "read_sqlite": "workbook.btree.sqlite",
    "stepper": "workbook.btree.stepper",
    "model": "workbook.btree.model",
}
__all__ = ["Tree", "model", "read_index", "read_sqlite", "stepper"]

if TYPE_CHECKING:
    from workbook.btree.model import model
    from workbook.btree.postgres import read_index
    from workbook.btree.sqlite import read_sqlite
    from workbook.btree.stepper import stepper
    from workbook.btree.tree import Tree


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'workbook.btree' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """This package: Python's import of the submodule `model` or `stepper` does not hide the function of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PLACES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
