"""The lowest level of five stories: decisions that run, and what a level too low, too high or a wrong order is told."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.isolation.lowest import EXERCISE, NAMES, VARIANTS, Variant, as_text, right
from workbook.exercises.isolation.stories import LEVELS, NONE, STORIES, Story, at, breaking, fault
from workbook.schedules import Schedule

Answer = dict[str, tuple[str, str]]


def last_order(story: Story) -> str:
    """The last order that breaks the next lower level, another one than the first."""
    return [one.order for one in at(story, story.lower).outcomes if fault(story, one)][-1] if story.lower else ""


def kept_order(story: Story) -> str:
    """An order that keeps the rule at the next lower level."""
    return next(one.order for one in at(story, story.lower).outcomes if not fault(story, one))


def with_begins(order: str) -> str:
    """The same order of a story of single transactions, with a turn for each BEGIN."""
    seen: list[str] = []
    for name in order.split():
        seen += [name, name] if name not in seen else [name]
    return " ".join(seen)


def instead(variant: Variant, name: str, pair: tuple[str, str]) -> Answer:
    return {**right(variant), name: pair}


def answers(variant: Variant) -> Answers:
    good, named = right(variant), dict(variant.named())
    first = {level: next((name for name in NAMES if named[name].level == level), "") for level in (*LEVELS, NONE)}
    low, skew, never = (first[level] for level in ("read committed", "serializable", NONE))
    middle = first["repeatable read"]
    single = next(name for name in NAMES if named[name].level in ("repeatable read", "serializable"))
    wrong = [
        Wrong(instead(variant, skew, ("repeatable read", good[skew][1])), f"{skew} at repeatable read: 18 of 20 orders break", "rr-is-serializable"),
        Wrong(instead(variant, skew, ("serializable", kept_order(named[skew]))), "the rule holds at repeatable read as well", "any-overlap"),
        Wrong(instead(variant, single, (named[single].level, "T1 T2 T3")), "'T1 T2 T3' is no order of the story"),
        Wrong(instead(variant, skew, (NONE, good[skew][1])), f"{skew} at serializable: in each of 20 orders the rule holds", "no-level"),
        Wrong({**good, "A": ("snapshot", "")}, "this is 'snapshot'"),
        Wrong({name: good[name] for name in NAMES[:-1]}, "The answer is a dict with the keys 'A' to 'E'"),
        Wrong({**good, "A": "serializable"}, "'A' is a pair of texts"),
    ]  # fmt: skip
    if low:
        wrong += [
            Wrong(instead(variant, low, ("repeatable read", "T1 T2 T1 T2 T1 T2")), f"{low} at read committed: in each of 20 orders the rule holds", "two-statements"),
            Wrong(instead(variant, low, ("read committed", "T1 T1 T1 T2 T2 T2")), "and there is no lower level", "dirty"),
        ]  # fmt: skip
    if middle:
        belief = named[middle].belief
        wrong.append(Wrong(instead(variant, middle, ("read committed", "")), f"{middle} at read committed: {_broken(named[middle])} of 20 orders break", belief))  # fmt: skip
    if never:
        wrong.append(Wrong(instead(variant, never, ("serializable", good[never][1])), f"{never} at serializable:", "covers-all"))  # fmt: skip
    other = {name: (level, last_order(named[name])) for name, (level, _) in good.items()}
    listed = {
        name: [level, with_begins(order) if named[name].level != NONE and order else order]
        for name, (level, order) in good.items()
    }
    loose = {
        name: (None if level == NONE else level.upper(), order.split() if order else None)
        for name, (level, order) in good.items()
    }
    return Answers(good, [other, listed, loose], wrong)


def _broken(story: Story) -> int:
    return sum(bool(fault(story, one)) for one in at(story, "read committed").outcomes)


class TestLowest(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)
    partly = True


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_a_story_breaks_below_its_level_and_nowhere_above(story: Story) -> None:
    broken = [level for level in LEVELS if breaking(story, level)]
    assert broken == list(LEVELS[: (*LEVELS, NONE).index(story.level)])


def test_every_variant_has_a_story_of_more_than_two_levels() -> None:
    for variant in VARIANTS:
        levels = {story.level for _, story in variant.named()}
        assert len(levels) >= 3 and NONE in levels and "serializable" in levels


@pytest.mark.parametrize("variant", VARIANTS)
def test_serializable_everywhere_is_told_what_it_costs(variant: Variant) -> None:
    found = verdict(EXERCISE, dict.fromkeys(NAMES, ("serializable", "")), variant)
    assert "orders the rule holds, and" in shown(found) and "at serializable 18." in shown(found)
    assert found.points == 0


def test_a_story_can_be_pasted() -> None:
    for story in STORIES.values():
        assert Schedule.read(as_text(story)).program().sessions == story.program.sessions


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_level_too_low_gives_no_reason_away(variant: Variant) -> None:
    """The order that breaks a level is the reason of the next one, and is the learner's to find."""
    for level in LEVELS:
        found = verdict(EXERCISE, dict.fromkeys(NAMES, (level, "")), variant)
        assert "T1 T" not in shown(found) and not found.pictures
        complaints = [one.seen[0] for one in found.findings if not one.ok]
        assert complaints == sorted(complaints)


def test_a_story_that_is_played_by_run_is_in_transactions() -> None:
    for story in STORIES.values():
        steps = Schedule.read(as_text(story)).steps
        assert sum(step.begins for step in steps) == sum(step.sql.upper().startswith("COMMIT") for step in steps) >= 2


def test_what_became_of_a_job_is_said_of_one_job() -> None:
    trial = at(STORIES["archive"], "read committed")
    told = {how for one in trial.outcomes if (how := fault(STORIES["archive"], one))}
    assert told == {"job 2 is in neither table"}
