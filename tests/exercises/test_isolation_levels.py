"""What a level does: rules as a person writes them, rules of mistaken beliefs, and the model of both against the engine."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.isolation.beliefs import played
from workbook.exercises.isolation.levels import (
    EXERCISE,
    LEFT,
    LOCKED,
    QUESTIONS,
    REFUSED,
    VARIANTS,
    WAITS,
    Again,
    Case,
    Variant,
    alike,
    case,
    cases,
    examples,
    kin,
    renamed,
    waiting,
)
from workbook.schedules import Schedule, run


def reads(schedule: Any, level: str) -> list[int]:
    committed, written, view, seen = {1: 10, 2: 20}, {"ana": {}, "ben": {}}, None, []  # type: Any, Any, Any, Any
    for session, action, *rest in schedule:
        if session == "ana" and action in ("read", "set") and (view is None or level != "repeatable read"):
            view = dict(committed)
        if action == "read":
            seen.append(written["ana"].get(rest[0], view[rest[0]]))
        elif action == "set":
            written[session][rest[0]] = rest[1]
        elif action == "commit":
            committed.update(written[session])
    return list(seen)


def counts(schedule: Any, level: str) -> list[int]:
    rows, after, view, seen = {1: 10, 2: 20}, {1: 10, 2: 20}, None, []  # type: Any, Any, Any, Any
    for session, action, *rest in schedule:
        if action in ("insert", "set"):
            after[rest[0]] = rest[1]
        elif action == "delete":
            del after[rest[0]]
        elif action == "commit" and session == "ben":
            rows = dict(after)
        elif action == "count":
            view = rows if view is None or level == "read committed" else view
            seen.append(sum(value >= rest[0] for value in view.values()))
    return list(seen)


def left(schedule: Any, level: str) -> int:
    row, commits, first, own, dead, kept, todo = 10, 0, {}, {}, set(), [], list(schedule)  # type: Any, Any, Any, Any, Any, Any, Any
    while todo:
        step = todo.pop(0)
        session, action, *rest = step
        if any(session == other for other, *_ in kept):
            kept.append(step)
        elif action in ("commit", "rollback"):
            if action == "commit" and session in own:
                row, commits = own[session], commits + 1
            own.pop(session, None)
            todo, kept = kept + todo, []
        elif action != "begin" and session not in dead:
            first.setdefault(session, commits)
            if action != "read" and set(own) - {session}:
                kept.append(step)
            elif action != "read" and level != "read committed" and first[session] != commits:
                dead.add(session)
            elif action != "read":
                own[session] = rest[1] if action == "set" else own.get(session, row) + rest[1]
    return int(row)


def refused(schedule: Any, level: str) -> str | None:
    first, end, read, wrote, writers = {}, {}, {"ana": set(), "ben": set()}, {"ana": set(), "ben": set()}, []  # type: Any, Any, Any, Any, Any
    for at, (session, action, *rest) in enumerate(schedule):
        if action == "commit":
            end[session] = at
        elif action != "begin":
            first.setdefault(session, at)
            (read if action == "read" else wrote)[session].add(rest[0])
            writers += [(rest[0], session)] if action != "read" else []
    if level == "read committed" or first["ana"] > end["ben"] or first["ben"] > end["ana"]:
        return None
    if both := wrote["ana"] & wrote["ben"]:
        return str([session for row, session in writers if row in both][1])
    crossed = read["ana"] & wrote["ben"] and read["ben"] & wrote["ana"]
    return str(max(end, key=end.get)) if crossed and level == "serializable" else None


def waits(schedule: Any, level: str) -> str | None:
    held: Any = {}
    for session, action, *rest in schedule:
        if action in ("commit", "rollback"):
            held = {at: how for at, how in held.items() if at[0] != session}
        elif action in ("set", "add", "lock", "share"):
            other = held.get(("ben" if session == "ana" else "ana", rest[0]))
            if other and "alone" in (other, "together" if action == "share" else "alone"):
                return str(session)
            held[session, rest[0]] = "together" if action == "share" else "alone"
    return None


def locked(schedule: Any, level: str) -> list[int | None]:
    rows, bens, anas, view, dead, seen, kept, todo = {1: 10, 2: 20}, {}, set(), None, False, [], [], list(schedule)  # type: Any, Any, Any, Any, Any, Any, Any, Any
    while todo:
        step = todo.pop(0)
        session, action, *rest = step
        if any(session == other for other, *_ in kept):
            kept.append(step)
        elif action in ("commit", "rollback"):
            if session == "ben" and action == "commit":
                rows.update(bens)
            bens, anas = ({}, anas) if session == "ben" else (bens, set())
            todo, kept = kept + todo, []
        elif action in ("set", "add"):
            if rest[0] in anas:
                kept.append(step)
            else:
                bens[rest[0]] = rest[1] if action == "set" else bens.get(rest[0], rows[rest[0]]) + rest[1]
        elif action in ("read", "lock"):
            view = dict(rows) if view is None or level == "read committed" else view
            if action == "lock" and rest[0] in bens:
                kept.append(step)
                continue
            if action == "lock" and view[rest[0]] != rows[rest[0]] and level != "read committed":
                dead, anas = True, set()
            if action == "lock" and not dead:
                anas.add(rest[0])
            seen.append(None if dead else rows[rest[0]] if action == "lock" else view[rest[0]])
    return list(seen)


RULES = dict(zip(VARIANTS, (reads, counts, left, refused, waits, locked), strict=True))
"""A rule for each variant, written without the model."""


def model(variant: Variant, belief: str = "") -> Any:
    def decide(schedule: Any, level: str) -> Any:
        return variant.question.believed(schedule, level, belief)

    return decide


def in_words(schedule: Any, level: str) -> str:
    return "it depends"


def nothing(schedule: Any, level: str) -> None:
    return None


def stumbles(schedule: Any, level: str) -> Any:
    return schedule[99]


def as_tuple(variant: Variant) -> Any:
    def decide(schedule: Any, level: str) -> Any:
        said = model(variant)(schedule, level)
        return tuple(said) if isinstance(said, list) else "" if said is None else said

    return decide


def answers(variant: Variant) -> Answers:
    return Answers(
        right=RULES[variant],
        also_right=[model(variant), as_tuple(variant)],
        wrong=[
            *[Wrong(model(variant, one), says=QUESTIONS[one], misconception=one) for one in variant.beliefs],
            Wrong(in_words, says="the function gives 'it depends'"),
            Wrong(stumbles, says="raised IndexError"),
            Wrong("def decide(schedule, level): ...", says="this is str"),
            Wrong(11, says="this is int"),
        ],
    )


class TestLevels(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.question.asks[:20])
def test_the_model_is_what_the_engine_does(variant: Variant) -> None:
    """Where a new version of PostgreSQL does something else, this says where."""
    for one in (*cases(variant), *examples(variant)):
        assert alike(variant.question.believed(one.schedule, one.level), one.truth), f"{one.told}\n{one.run}"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.question.asks[:20])
def test_nothing_passes_that_has_not_looked(variant: Variant) -> None:
    asked = cases(variant)
    assert len({repr(one.truth) for one in asked}) >= 3, "a constant would come far"
    by_level: dict[Any, dict[str, Any]] = {}
    for one in asked:
        by_level.setdefault(one.schedule, {})[one.level] = repr(one.truth)
    apart = [levels for levels in by_level.values() if len(set(levels.values())) > 1]
    assert bool(apart) == (variant.question is not WAITS)
    assert examples(variant)[0].schedule not in by_level, "what is shown is not asked"
    assert not verdict(EXERCISE, nothing, variant).full


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.question.asks[:20])
def test_each_belief_is_refuted_by_some_cases(variant: Variant) -> None:
    for belief in variant.beliefs:
        wrong = [
            one
            for one in cases(variant)
            if not alike(variant.question.believed(one.schedule, one.level, belief), one.truth)
        ]
        assert len(wrong) >= 4, belief
    assert kin([one.truth for one in cases(variant)], cases(variant), variant) == "", "the truth is no belief"


def test_the_shortest_that_differs_is_drawn() -> None:
    found = verdict(EXERCISE, model(VARIANTS[0], "dirty"), VARIANTS[0])
    (drawn,) = found.pictures
    assert "read uncommitted" in str(drawn) and "SELECT value FROM test" in str(drawn) and "<title>" in drawn.svg
    assert "of 72 at read uncommitted, 0 of 72 at read committed" in shown(found)


def test_a_rule_has_neither_the_engine_nor_the_truth_at_hand() -> None:
    def plays(schedule: Any, level: str) -> Any:
        run(Schedule.read("T1: SELECT 1"))

    def peeps(schedule: Any, level: str) -> Any:
        frame = sys._getframe()
        while frame := frame.f_back:  # type: ignore[assignment]
            assert not any(holds_truth(value) for value in frame.f_locals.values()), frame.f_code.co_name
            if frame.f_code is verdict.__code__:
                return RULES[VARIANTS[0]](schedule, level)

    def holds_truth(value: Any) -> bool:
        return isinstance(value, Case) or (
            isinstance(value, tuple | list) and any(isinstance(one, Case) for one in value)
        )

    assert "no schedule is run meanwhile" in shown(verdict(EXERCISE, plays, VARIANTS[0]))
    assert verdict(EXERCISE, peeps, VARIANTS[0]).full, "no frame below the rule holds a case"
    assert run(Schedule.read("T1: SELECT 1")).end(0) is not None, "afterwards schedules run again"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.question.asks[:20])
def test_with_other_numbers_the_engine_does_the_same(variant: Variant) -> None:
    chance = random.Random(7)
    for one in cases(variant)[::5]:
        other, known = renamed(one.schedule, variant, chance)
        truth = Again(0, other, known, None).translated(one.truth)
        assert alike(case(variant, tuple(other), one.level).truth, truth), f"{one.told}\n{other}"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.question.asks[:20])
def test_each_number_has_become_one_other(variant: Variant) -> None:
    """The model says the same of the other numbers, whatever is drawn: no sum of two numbers is a third one."""
    chance = random.Random(8)
    for one in cases(variant):
        other, known = renamed(one.schedule, variant, chance)
        truth = Again(0, other, known, None).translated(one.truth)
        assert alike(variant.question.believed(other, one.level), truth), f"{one.told}\n{other}"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.question.asks[:20])
def test_the_answers_by_heart_are_no_rule(variant: Variant) -> None:
    """Record what is asked, play it on the engine, hand in what came of it: as a table, by its place, without the values."""
    asked: list[Any] = []

    def records(schedule: Any, level: str) -> Any:
        asked.append((tuple(map(tuple, schedule)), level))

    verdict(EXERCISE, records, variant)
    played_before = [one.truth for one in cases(variant)]
    table = dict(zip(asked, played_before, strict=False))
    assert len(asked) == 2 * len(table), "all is asked twice, and the second time each with other numbers"
    short = {(tuple(step[:3] for step in one), level): truth for (one, level), truth in table.items()}
    place = iter(range(10**6))
    for by_heart in (
        lambda schedule, level: table[tuple(map(tuple, schedule)), level],
        lambda schedule, level: table.get((tuple(map(tuple, schedule)), level)),
        lambda schedule, level: played_before[next(place)],
        lambda schedule, level: short.get((tuple(tuple(step[:3]) for step in schedule), level)),
    ):
        found = verdict(EXERCISE, by_heart, variant)
        assert found.points == 0 and found.misconception == EXERCISE.misconceptions["by-heart"], shown(found)
        assert "The same with other numbers is not" in shown(found)


def test_nobody_waits_where_the_task_says_so() -> None:
    for variant in VARIANTS:
        waits = any(one.run.waits for one in cases(variant))
        assert waits == waiting(variant) == ("Nobody has to wait" not in EXERCISE.brief(variant))
    for one in cases(VARIANTS[0]):
        wrote = {name: {step[2] for step in one.schedule if step[:2] == (name, "set")} for name in ("ana", "ben")}
        assert not wrote["ana"] & wrote["ben"], one.told


def test_what_the_task_says_of_waits() -> None:
    assert [("has to wait, its" in EXERCISE.brief(one)) for one in VARIANTS] == [
        any(case.run.waits for case in cases(one)) for one in VARIANTS
    ]


def test_a_result_of_another_form_is_asked_about() -> None:
    for variant in VARIANTS:
        if variant.question not in (REFUSED, WAITS):
            assert "Does each way through the function give" in shown(verdict(EXERCISE, nothing, variant))
    assert not alike([True, 10], [1, 10]) and alike([None], [None])


def test_a_session_that_waits_holds_its_later_steps_back() -> None:
    schedule = [
        ("ana", "begin"),
        ("ana", "add", 1, 1),
        ("ben", "begin"),
        ("ben", "add", 1, 2),
        ("ben", "commit"),
        ("ana", "commit"),
    ]
    found = played(schedule, "read committed")
    assert (found.left[1], found.waited, LEFT.told(found), LOCKED.told(found)) == (13, ["ben"], 13, [])
    assert played(schedule, "repeatable read").refused == ["ben"]
