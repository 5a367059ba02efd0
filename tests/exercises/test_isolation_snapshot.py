"""Missed, then seen: the pair of orders around the snapshot, and pairs around other steps."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, verdict
from workbook.exercises.isolation.snapshot import EXERCISE, VARIANTS, WITH, Variant, place, program, ran, to_copy, total
from workbook.schedules.stage import stage_of


def pair(step: int, early: int | None = None) -> dict[str, str]:
    """The till's COMMIT just before and just behind a step of the report; its BEGIN and INSERT before `early` steps of it."""
    begun = step if early is None else early
    head = ["report"] * begun + ["till"] * 2 + ["report"] * (step - begun)
    tail = ["report"] * (4 - step)
    return {"sees": " ".join([*head, "till", "report", *tail]), "misses": " ".join([*head, "report", "till", *tail])}


def without_begin(step: int) -> dict[str, str]:
    """The same pair by somebody who counts no turns for the two BEGINs."""
    head, tail = ["till", *["report"] * (step - 1)], ["report"] * (4 - step)
    return {"sees": " ".join([*head, "till", "report", *tail]), "misses": " ".join([*head, "report", "till", *tail])}


def answers(variant: Variant) -> Answers:
    right = place(variant)
    good = pair(right)
    listed = {key: order.split() for key, order in pair(right, early=0).items()}
    wrong = [
        Wrong(pair(0), says="stands before the report's BEGIN", misconception="at-begin"),
        Wrong(
            {"sees": "report till till till report report report report", "misses": "report report report report report till till till"},
            says="by more than one exchange", misconception="far-apart",
        ),
        Wrong({"sees": good["misses"], "misses": good["sees"]}, says="You have exchanged 'sees' and 'misses'"),
        Wrong({"sees": good["sees"], "misses": good["sees"]}, says="The two orders are the same."),
        Wrong({"sees": "report till", "misses": good["misses"]}, says="'sees' is no order"),
        Wrong({"sees": good["sees"], "misses": good["misses"] + " shop"}, says="'misses' is no order"),
        Wrong({"sees": good["sees"]}, says="The answer is a dict with the keys"),
        Wrong({"sees": 7, "misses": good["misses"]}, says="this is int"),
    ]  # fmt: skip
    near, belief = (1, variant.early) if right > 1 else (3, variant.late)
    wrong.append(Wrong(pair(near), says=EXERCISE.misconceptions[belief], misconception=belief))
    return Answers(right=good, also_right=[listed, without_begin(right)], wrong=wrong)


class TestSnapshot(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_the_snapshot_is_at_three_different_steps_and_never_at_begin() -> None:
    assert {place(variant) for variant in VARIANTS} == {1, 2, 3}


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.story for variant in VARIANTS])
def test_whoever_has_it_too_early_or_too_late_is_told_what_leads_there(variant: Variant) -> None:
    for step in (1, 2, 3):
        if step != place(variant):
            found = verdict(EXERCISE, pair(step), variant)
            belief = variant.early if step < place(variant) else variant.late
            assert not found.full and found.misconception == EXERCISE.misconceptions[belief]
            assert len(found.pictures) == 1 and "payments" in str(found.pictures[0])


def test_of_all_orders_only_exchanges_of_the_commit_with_that_step_pass() -> None:
    """56 orders of the two sessions: the total changes at one exchange only, wherever else the till's steps stand."""
    for variant in (VARIANTS[0], VARIANTS[5]):
        with_it = 0
        for order in program(variant).orders():
            names = [step.session for step in order.steps]
            commit = max(at for at, name in enumerate(names) if name == "till")
            seen = total(ran(variant, tuple(names))) == WITH
            assert seen == (names[:commit].count("report") <= place(variant))
            with_it += seen
        assert 0 < with_it < 56


def test_a_select_of_nothing_takes_a_snapshot_in_postgresql_only() -> None:
    levels = {"postgresql": "repeatable read", "sqlite": "deferred", "duckdb": "snapshot"}
    sums = {}
    for engine, level in levels.items():
        variant = Variant("", engine, level, ("SELECT 1", "SELECT 1", VARIANTS[0].reads[2]), "", "", "")
        order = program(variant).order(["report", "report", "till", "till", "till", "report", "report", "report"])
        sums[engine] = total(stage_of(engine).run(order))
    assert sums == {"postgresql": 150, "sqlite": 157, "duckdb": 157}


def test_who_exchanges_the_insert_is_told_that_others_see_a_row_from_its_commit_on() -> None:
    sees = "report till till report till report report report"
    misses = "report till report till till report report report"
    found = verdict(EXERCISE, {"sees": sees, "misses": misses}, VARIANTS[1])
    assert not found.full and found.misconception == EXERCISE.misconceptions["at-insert"]


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.story for variant in VARIANTS])
def test_the_program_of_the_task_runs_as_it_stands(variant: Variant) -> None:
    from workbook.schedules import Program, run

    names = {"Program": Program, "run": run}
    *lines, last = to_copy(variant).split("\n")
    exec("\n".join(lines), names)
    shown = eval(last, names)
    assert total(shown) == WITH and to_copy(variant) in EXERCISE.brief(variant)


def test_an_exchange_is_called_by_its_steps_and_equal_orders_are_no_belief() -> None:
    variant = VARIANTS[1]
    step = place(variant)
    found = verdict(EXERCISE, pair(step), variant)
    assert f"of till's `COMMIT` and report's `{variant.reads[step - 1]}`" in str(found)
    same = verdict(EXERCISE, dict.fromkeys(("sees", "misses"), pair(step)["sees"]), variant)
    assert not same.full and not same.misconception
    swapped = verdict(EXERCISE, dict(zip(("misses", "sees"), pair(step).values(), strict=True)), variant)
    assert not swapped.misconception and len(swapped.pictures) == 1
