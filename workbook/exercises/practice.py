"""The data of an exercise, to try things on before anything is handed in.

    engine = practice("indexes-crossover")      the tables of your seed's variant, on a database of your own
    explain("SELECT ...", engine)               try, measure, break: the next call makes another

It is what the judge will make, too, when it is asked: another clone of the same recipe. A module of an exercise says which
recipe that is by a function `recipe(variant)`.

    >>> practice.__name__
    'practice'

Left out: anything that judges. What is done here counts for nothing and is never looked at.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from workbook.errors import Misuse

if TYPE_CHECKING:
    import sqlalchemy as sa


def practice(id: str) -> sa.Engine:
    """A SQLAlchemy engine on the data of an exercise, as this lab's seed chose it. Raises `Misuse` where it has none."""
    from workbook.engines import database
    from workbook.grading.desk import seed_of
    from workbook.grading.registry import find

    exercise = find(id)
    recipe = getattr(sys.modules[exercise.judge.__module__], "recipe", None)
    if recipe is None:
        raise Misuse(f"{id} brings no data of its own.", next="use shop(), which gives you a shop to try on")
    return database(recipe(exercise.variant(seed_of(exercise)))).engine
