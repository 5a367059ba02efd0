"""A spec's permutations as schedules: the stage sees the waits, the errors and the rows that isolationtester tells of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbook.schedules import Run, Schedule, Stage
from workbook.schedules.spec import Spec
from workbook.schedules.spec_schedules import schedules

SPECS = Path(__file__).parent / "specs"
LONG = (
    *("classroom-scheduling", "project-manager", "referential-integrity", "skip-locked"),
    *("temporal-range-integrity", "total-cash", "tuplelock-conflict", "two-ids"),
)
AS_SUPERUSER = ("eval-plan-qual",)
TOO_LARGE = ("partial-index",)  # a table of more rows than a Stage compares; `test_specs.py` runs it
NAMES = [
    pytest.param(path.stem, marks=pytest.mark.slow) if path.stem in LONG else path.stem
    for path in sorted(SPECS.glob("*.spec"))
    if path.stem not in (*AS_SUPERUSER, *TOO_LARGE)
]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage("postgresql", profile="production") as one:
        yield one


def expected(name: str) -> Iterator[tuple[str, set[str], list[str], list[int]]]:
    """What isolationtester told of each permutation: its steps, those that waited, the errors, how many rows."""
    for block in (SPECS / f"{name}.out").read_text().split("\nstarting permutation: ")[1:]:
        waits = re.findall(r"^step (\S+): (?:(?!^step ).)*? <waiting \.\.\.>$", block, re.M | re.S)
        errors = re.findall(r"^ERROR:  (.*)$", block, re.M)
        rows = re.findall(r"^\((\d+) rows?\)$", block, re.M)
        yield block.split("\n")[0], set(waits), sorted(errors), sorted(map(int, rows))


def seen(run: Run) -> tuple[set[str], list[str], list[int]]:
    """The same of a run. A step that closes a circle of waits is seen to wait by the stage, and is refused before it
    waits by some locks: it counts for neither."""
    victims = {event.step for event in run.failures if event.sqlstate == "40P01"}
    waits = {run.step(event).name.split(" #")[0] for event in run.waits if event.step not in victims}
    rows = sorted(len(event.rows) for event in run.events if event.kind == "done" and event.rows is not None)
    return waits, sorted(event.message for event in run.failures), rows


@pytest.mark.parametrize("name", NAMES)
def test_the_stage_sees_what_isolationtester_tells(stage: Stage, name: str) -> None:
    spec = Spec.read((SPECS / f"{name}.spec").read_text())
    for (title, waits, errors, rows), schedule in zip(expected(name), schedules(spec), strict=True):
        assert schedule.title == title
        run = stage.run(schedule)
        victims = {run.step(event).name for event in run.failures if event.sqlstate == "40P01"}
        assert seen(run) == (waits - victims, errors, rows), str(run)


def test_names_that_a_schedule_cannot_write_are_made_plain() -> None:
    text = (Path(__file__).parent / "isolationtester" / "names.spec").read_text()
    first, second = schedules(Spec.read(text))
    assert first.sessions == ("the_first", "S2")
    assert [step.name for step in first.steps[:4]] == ["the_first setup", "the_first setup #2", "step", "r1$_a"]
    assert Schedule.read(str(second)) == second


def test_a_step_of_several_statements_becomes_several_steps() -> None:
    spec = Spec.read(
        "setup { A; B } setup { C; } teardown { D; } session level step x { E; 'F;' ; } session level step y { }"
    )
    made = list(schedules(spec))
    assert [str(step) for step in made[0].steps] == ["s_level: E", "s_level: 'F;'"]
    assert (made[0].setup, made[0].teardown, len(made)) == ("A;\nB;\nC", "D", 2)
