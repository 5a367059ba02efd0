"""Architect in the Loop: what a notebook imports.

    from workbook import ask, check, explain, hint, measure, predict, progress, shop, start_lab

Each name is imported when it is first used, so that `import workbook` is quick and a class's kernel never loads the
judges.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal

_PLACES = {
    "Recipe": "workbook.engines",
    "database": "workbook.engines",
    "database_of": "workbook.engines",
    "measure": "workbook.engines",
    "compare": "workbook.plans",
    "explain": "workbook.plans",
    "read_plan": "workbook.plans",
    "ask": "workbook.grading.desk",
    "check": "workbook.grading.desk",
    "hint": "workbook.grading.desk",
    "practice": "workbook.grading.desk",
    "predict": "workbook.grading.prediction",
    "progress": "workbook.grading.progress",
    "start_lab": "workbook.grading.desk",
}
__all__ = [*_PLACES, "shop", "tpch"]

if TYPE_CHECKING:
    import sqlalchemy as sa

    from workbook.engines import Recipe, database, database_of, measure
    from workbook.grading.desk import ask, check, hint, practice, start_lab
    from workbook.grading.prediction import predict
    from workbook.grading.progress import progress
    from workbook.plans import compare, explain, read_plan


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'workbook' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def shop(
    *,
    kind: str = "postgresql",
    profile: Literal["counting", "production"] = "counting",
    seed: int = 1,
    orders: int = 50_000,
) -> sa.Engine:
    """A shop of your own: customers, products, stock, orders and their lines. Break what you like, the next call
    makes another.

    Parameters: `kind` is postgresql, sqlite or duckdb; `profile` is counting (counters repeat) or production
    (PostgreSQL's defaults); the data by `seed` and number of `orders`. Returns a SQLAlchemy engine. Raises `Misuse`,
    `Unavailable`.
    """
    from workbook import engines

    return engines.database(engines.shop(seed, orders), kind=kind, profile=profile).engine


def tpch(
    *, kind: str = "postgresql", profile: Literal["counting", "production"] = "counting", scale: float = 0.1
) -> sa.Engine:
    """TPC-H of your own at a scale factor (0.1 is 600,000 lines): the workload that everybody knows.

    Parameters as for `shop`. Returns a SQLAlchemy engine. Raises `Misuse`, `Unavailable`.
    """
    from workbook import engines

    return engines.database(engines.tpch(scale), kind=kind, profile=profile).engine
