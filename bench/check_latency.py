"""How long does a learner wait for a check?  python bench/check_latency.py [LAB or ID ...]

For every exercise of the labs (all by default): its right and its wrong answers, for each variant, through `check` in
this process, as a notebook does it. It begins with no cluster and no template, as a learner's first evening does, so
that the first check of each variant pays for making its data. Prints the median and the worst of each exercise, and which
check the worst was; exit code 1 when the median of all is above 0.5 s or the worst above 3 s. The answers are those of
the exercises' tests. Begins with what else the machine was busy with: on two cores, a load of more than 0.5 spoils it.

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
    harness = importlib.import_module("tests.exercises.harness")
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


def seconds_of(exercise: Any, answers: Any, *, warm: bool) -> dict[str, float]:
    """The seconds of each check of an exercise, by the place of its variant and its answer."""
    from workbook.grading import desk

    taken = {}
    for place, variant in enumerate(exercise.variants):
        seed = next(seed for seed in range(10_000) if exercise.variant(seed) is variant)
        desk._seeds[exercise.lab] = seed
        known = answers(variant)
        every = {"right": [known.right, *known.also_right], "wrong": [wrong.answer for wrong in known.wrong]}
        for kind, same in every.items():
            for number, answer in enumerate(same):
                begun = time.perf_counter()
                desk.check(exercise.id, answer)
                if kind == "wrong" or number or not warm:
                    taken[f"variant {place}, {kind} {number}"] = time.perf_counter() - begun
    return taken


def line(name: str, one: dict[str, float]) -> str:
    worst = max(one, key=lambda check: one[check])
    return (
        f"  {name:24} median {statistics.median(one.values()):5.2f}  worst {one[worst]:5.2f} ({worst})  of {len(one)}"
    )


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

        times: dict[str, dict[str, float]] = {}
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        if not chosen.json:
            print(f"{os.cpu_count()} cores, load before {load:.1f}, Python {platform.python_version()}, seconds")
        try:
            for exercise, answers in suites(chosen.labs):
                times[exercise.id] = seconds_of(exercise, answers, warm=chosen.warm)
                if not chosen.json:
                    print(line(exercise.id, times[exercise.id]), flush=True)
        finally:
            engines.clean()
    if not times:
        print("There is no exercise to time.", file=sys.stderr)
        return 2
    every = {f"{id}, {check}": taken for id, one in times.items() for check, taken in one.items()}
    median, worst = statistics.median(every.values()), max(every.values())
    fine = median <= MEDIAN_MAX_S and worst <= WORST_MAX_S
    if chosen.json:
        print(
            json.dumps({"median_s": median, "worst_s": worst, "fine": fine, "load": load, "exercises": times}, indent=1)
        )
    else:
        print(line("all", every), f"\n  allowed: median {MEDIAN_MAX_S}, worst {WORST_MAX_S}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
