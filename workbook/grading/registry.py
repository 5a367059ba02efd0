"""Where exercises are found; they register themselves, and this room never imports one by name.

    find("indexes-order") ──▶ is it known? ──no──▶ import every module of workbook.exercises.indexes, ask again
                                                   (each says `EXERCISE = register(Exercise(...))`)

A source is a package whose packages are labs and whose modules are exercises. The judges of a lab, and with them the
engines, are imported when one of its exercises is first asked for: `import workbook` and a check in the mode `class`
never pay for them. The word before the dash of an id names the package to try first.

    >>> SOURCES
    ['workbook.exercises']

Left out: reloading. A module that is imported again replaces its own exercise and nobody else's.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
from typing import Any

from workbook.errors import Misuse
from workbook.grading.exercise import Exercise

SOURCES: list[str] = ["workbook.exercises"]
"""Import names of packages of labs; a class adds its own by appending one."""

_known: dict[str, Exercise[Any]] = {}
_origin: dict[str, str] = {}
_loaded: set[str] = set()
_GOOD_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")


def register(exercise: Exercise[Any]) -> Exercise[Any]:
    """Make an exercise known, and return it. Raises `Misuse` for an id that nbgrader would refuse or that is taken."""
    if not _GOOD_ID.fullmatch(exercise.id):
        raise Misuse(
            f"The id {exercise.id!r} is no id of an exercise.",
            next="use small letters, digits and dashes, as in indexes-order",
        )
    if len(exercise.variants) == 0:
        raise Misuse(f"The exercise {exercise.id} has no variants.", next="give at least one")
    origin = getattr(exercise.judge, "__module__", "")
    if _origin.get(exercise.id, origin) != origin:
        raise Misuse(f"The id {exercise.id} is taken by {_origin[exercise.id]}.", next="choose another one")
    _known[exercise.id], _origin[exercise.id] = exercise, origin
    return exercise


def find(id: str) -> Exercise[Any]:
    """The exercise with this id. Raises `Misuse` with the nearest ids when there is none."""
    if not isinstance(id, str):
        raise Misuse(
            f"An exercise's id is a text; this is {type(id).__name__}.", next='write "indexes-order", in quotes'
        )
    if id not in _known:
        for source in SOURCES:
            _load(f"{source}.{id.partition('-')[0]}")
    if id not in _known:
        _load_all()
    if id not in _known:
        near = difflib.get_close_matches(str(id), _known, n=3, cutoff=0.4)
        raise Misuse(
            f"There is no exercise {id!r}.",
            next=f"try {' or '.join(near)}" if near else "look up the id in the lab; it stands in the call of `ask`",
        )
    return _known[id]


def exercises(lab: str | None = None) -> list[Exercise[Any]]:
    """All exercises, or those of one lab (`02_indexes`), in the order in which they are asked."""
    if lab is None or not any(exercise.lab == lab for exercise in _known.values()):
        _load_all()
    else:
        _load_lab(lab)
    chosen = [exercise for exercise in _known.values() if lab is None or exercise.lab == lab]
    return sorted(chosen, key=lambda exercise: (exercise.lab, exercise.number, exercise.id))


def labs() -> list[str]:
    """The names of the labs that have exercises."""
    return sorted({exercise.lab for exercise in exercises()})


def _load_lab(lab: str) -> None:
    """Load the rest of a lab of which one exercise is known already."""
    for exercise in list(_known.values()):
        if exercise.lab == lab:
            _load(_origin[exercise.id].rpartition(".")[0])


def _load_all() -> None:
    for source in SOURCES:
        package = importlib.import_module(source)
        for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
            if module.ispkg:
                _load(f"{source}.{module.name}")


def _load(package_name: str) -> None:
    """Import a lab's package and each of its modules; a name that is no package is passed over."""
    if package_name in _loaded or not any(package_name.startswith(f"{source}.") for source in SOURCES):
        return
    try:
        if importlib.util.find_spec(package_name) is None:
            return
    except (ImportError, ValueError):
        return
    package = importlib.import_module(package_name)
    for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
        importlib.import_module(f"{package_name}.{module.name}")
    _loaded.add(package_name)
