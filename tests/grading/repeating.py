"""Every number that decides a grade repeats: on two fresh clusters, and in twenty runs on one.

A lab has a module of tests for it, so that two workers share the waiting.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests import folders
from workbook.grading import registry
from workbook.grading.exercise import Exercise
from workbook.grading.judging import verdict_of

ROOT = Path(__file__).resolve().parents[2]
RUNS = 20
NUMBERS = re.compile(r"[\d,.]+")
SUITES = sorted(path.stem for path in (ROOT / "tests" / "exercises").glob("test_*.py") if path.stem != "test_harness")

Told = dict[str, list[list[str]]]
"""An exercise's id to the texts of its verdicts, of each answer as many as it was judged."""


def suites(labs: Sequence[str]) -> Iterator[tuple[Exercise[Any], Any]]:
    """The exercises of these labs that have tests, each with the function that makes its answers."""
    from tests.exercises.harness import ExerciseTests

    for name in SUITES:
        for thing in vars(importlib.import_module(f"tests.exercises.{name}")).values():
            if not (inspect.isclass(thing) and issubclass(thing, ExerciseTests) and hasattr(thing, "exercise")):
                continue
            if thing.exercise.lab in labs:
                yield thing.exercise, thing.answers


def drawing(labs: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The wrong answers, by exercise and number, that have the server draw random numbers: theirs are never the same."""
    for exercise, answers in suites(labs):
        for number, wrong in enumerate(answers(exercise.variants[0]).wrong, 1):
            if re.search(r"gen_random_uuid|uuidv4|random\(", str(wrong.answer)):
                yield exercise.id, number


def told(runs: int, labs: Sequence[str]) -> Told:
    """What is said of every answer to the first variant of each exercise: of the right one in several `runs`, of the
    wrong ones once."""
    found: Told = {}
    for exercise, answers in suites(labs):
        variant = exercise.variants[0]
        known = answers(variant)
        every = [known.right] * runs, *([wrong.answer] for wrong in known.wrong)
        found[exercise.id] = [[str(verdict_of(exercise, answer, variant)) for answer in same] for same in every]
    return found


def on_a_fresh_cluster(runs: int, labs: Sequence[str]) -> Told:
    """`told` in a process of its own, with a cluster that is made for it and removed again."""
    code = (
        "import json, sys\nfrom workbook import engines\nfrom tests.grading.repeating import told\n"
        "try:\n    said = told(int(sys.argv[1]), sys.argv[2:])\nfinally:\n    engines.clean()\nprint(json.dumps(said))"
    )
    kept = {name: value for name, value in os.environ.items() if name != "WORKBOOK_POSTGRES_URL"}
    with folders.open_folder() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code, str(runs), *labs],
            cwd=ROOT,
            env={**kept, "WORKBOOK_STATE": str(folder), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr[-5000:]
    said: Told = json.loads(done.stdout.splitlines()[-1])
    return said


class RepeatTests:
    """What holds for the exercises of some labs. A module of tests names the labs in a class of its own."""

    labs: ClassVar[tuple[str, ...]]

    @pytest.fixture(scope="class")
    @classmethod
    def twice(cls) -> tuple[Told, Told]:
        """What is said on two fresh clusters: on the first, of the right answers `RUNS` times. Both run at the same time,
        so that what a busy neighbour changes would show."""
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda runs: on_a_fresh_cluster(runs, cls.labs), (RUNS, 1))
        return first, second

    @pytest.mark.slow
    def test_the_verdicts_are_the_same_on_two_fresh_clusters(self, twice: tuple[Told, Told]) -> None:
        first, second = twice
        assert first.keys() == second.keys() == {exercise.id for exercise, _ in suites(self.labs)}
        texts, drawn = 0, set(drawing(self.labs))
        for id, answers in first.items():
            for number, (here, there) in enumerate(zip(answers, second[id], strict=True)):
                same = (
                    NUMBERS.sub("#", here[0]) == NUMBERS.sub("#", there[0])
                    if (id, number) in drawn
                    else here[0] == there[0]
                )
                assert same, f"{id}, answer {number}\n{here[0]}\n{there[0]}"
                assert "could not be judged" not in here[0], here[0]
                texts += bool(re.search(r"\d", here[0]))
        assert texts > len(first), "the verdicts carry too few numbers for this to show anything"

    @pytest.mark.slow
    def test_the_verdict_is_the_same_in_twenty_runs(self, twice: tuple[Told, Told]) -> None:
        for id, (right, *_) in twice[0].items():
            assert len(right) == RUNS
            assert "full marks" in right[0], f"{id}\n{right[0]}"
            assert set(right) == {right[0]}, f"{id}\n" + "\n".join(sorted(set(right)))

    def test_every_exercise_has_answers_to_judge(self) -> None:
        asked = {exercise.id for lab in self.labs for exercise in registry.exercises(lab)}
        assert asked == {exercise.id for exercise, _ in suites(self.labs)}
