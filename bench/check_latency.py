"""How long does a learner wait for a check?  python bench/check_latency.py [LAB or ID ...]

For every exercise of the labs (all by default): its right and its wrong answers, for each variant, through `check` in
this process, as a notebook does it. It begins with no cluster and no template, as a learner's first evening does, so
that the first check of each variant pays for making its data. Prints the median and the worst of each exercise; exit
code 1 when the median of all is above 0.5 s or the worst above 3 s. The answers are those of the exercises' tests.

--warm leaves out the first check of each variant; --json prints the numbers as data.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MEDIAN_MAX_S, WORST_MAX_S = 0.5, 3.0


def suites(labs: list[str]) -> Iterator[tuple[Any, Any]]:
    """Each exercise with the function that makes its answers, found in tests/exercises."""
    sys.path.insert(0, str(ROOT))
    sys.path.insert(0, str(ROOT / "tests" / "exercises"))
    harness = importlib.import_module("tests.exercises.harness")
    sys.modules.setdefault("harness", harness)
    found = []
    for path in sorted((ROOT / "tests" / "exercises").glob("test_*.py")):
        if path.stem == "test_harness":
            continue
        for thing in vars(importlib.import_module(f"tests.exercises.{path.stem}")).values():
            if isinstance(thing, type) and issubclass(thing, harness.ExerciseTests) and hasattr(thing, "exercise"):
                found.append((thing.exercise, thing.answers))
    for exercise, answers in sorted(found, key=lambda pair: (pair[0].lab, pair[0].number)):
        if not labs or {exercise.lab, exercise.id} & set(labs):
            yield exercise, answers


def seconds_of(exercise: Any, answers: Any, *, warm: bool) -> list[float]:
    """The seconds of each check of an exercise."""
    from workbook.grading import desk

    taken = []
    for variant in exercise.variants:
        seed = next(seed for seed in range(10_000) if exercise.variant(seed) is variant)
        desk._seeds[exercise.lab] = seed
        known = answers(variant)
        for number, answer in enumerate([known.right, *known.also_right, *(wrong.answer for wrong in known.wrong)]):
            begun = time.perf_counter()
            desk.check(exercise.id, answer)
            if number or not warm:
                taken.append(time.perf_counter() - begun)
    return taken


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("labs", nargs="*")
    arguments.add_argument("--warm", action="store_true", help="leave out the first check of each variant")
    arguments.add_argument("--json", action="store_true", help="as data")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="wb-bench-") as folder:
        os.chmod(folder, 0o755)
        os.environ["WORKBOOK_STATE"] = folder
        os.environ.pop("WORKBOOK_CHECK", None)
        os.environ.pop("NBGRADER_EXECUTION", None)
        os.chdir(folder)
        from workbook import engines

        try:
            times = {
                exercise.id: seconds_of(exercise, answers, warm=chosen.warm)
                for exercise, answers in suites(chosen.labs)
            }
        finally:
            engines.clean()
    if not times:
        print("There is no exercise to time.", file=sys.stderr)
        return 2
    every = [taken for one in times.values() for taken in one]
    median, worst = statistics.median(every), max(every)
    fine = median <= MEDIAN_MAX_S and worst <= WORST_MAX_S
    if chosen.json:
        print(json.dumps({"median_s": median, "worst_s": worst, "fine": fine, "exercises": times}, indent=1))
        return 0 if fine else 1
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {len(every)} checks, seconds")
    for id, one in times.items():
        print(f"  {id:24} median {statistics.median(one):5.2f}  worst {max(one):5.2f}  of {len(one)}")
    print(f"  {'all':24} median {median:5.2f}  worst {worst:5.2f}  allowed {MEDIAN_MAX_S} and {WORST_MAX_S}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
