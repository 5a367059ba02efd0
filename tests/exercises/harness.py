"""What every exercise is tested with: right answers, other right ones, wrong ones, the untouched one.

An exercise's test file says what the answers are, and nothing else:

    # tests/exercises/test_indexes_order.py
    from tests.exercises.harness import Answers, ExerciseTests, Wrong

    from workbook.exercises.indexes.order import EXERCISE, Variant


    def answers(variant: Variant) -> Answers:
        right = f"CREATE INDEX ON {variant.table} ({variant.equality}, {variant.range})"
        return Answers(
            right=right,
            also_right=[right + "; ANALYZE", ...],                 # at least one
            wrong=[                                                # at least five; each needs a text of its own
                Wrong(f"CREATE INDEX ON {variant.table} ({variant.range}, {variant.equality})",
                      says="reads every entry of the range", misconception="selective-first"),
                Wrong("", says="The answer is empty"),             # `says` must stand in the verdict's text ...
                ...                                                # ... and in no other wrong answer's verdict
            ],
        )


    class TestOrder(ExerciseTests):
        exercise = EXERCISE
        answers = staticmethod(answers)
        # partly = True           where a wrong answer may earn a part of the points
        # siblings_share = 0.5    the share of sibling variants that a right answer must fail on (declares="value")

    # further tests of the exercise's own are written below, as plain functions

A function is handed in as a function (`right=rule`). Slow are: the right and wrong answers and the siblings of the
variants between the first and the last; of the wrong ones those are tried there that the first variant does not have with the
same feedback. That a verdict is the same each time is seen in `tests/grading/repeating.py`. `verdict(exercise, answer, variant)` is at hand for tests of one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from workbook.grading.exercise import Exercise
from workbook.grading.judging import verdict_of
from workbook.grading.verdict import Verdict

WRONG_MIN = 5
SEEDS = 400


@dataclass(frozen=True)
class Wrong:
    """A wrong answer, what its verdict must say, and the key of the misconception that it must name ('' for any)."""

    answer: Any
    says: str
    misconception: str = ""


@dataclass(frozen=True)
class Answers:
    """The answers to one variant."""

    right: Any
    also_right: Sequence[Any]
    wrong: Sequence[Wrong] = field(default_factory=list)


def verdict(exercise: Exercise[Any], answer: Any, variant: Any) -> Verdict:
    """What `check` would say of this answer to this variant."""
    return verdict_of(exercise, answer, variant)


def shown(found: Verdict) -> str:
    """The text of a verdict in one line, however it is wrapped, without its pictures."""
    from dataclasses import replace

    return " ".join(str(replace(found, pictures=())).split())


class ExerciseTests:
    """The tests that every exercise has; see the head of this file."""

    exercise: ClassVar[Exercise[Any]]
    answers: ClassVar[Callable[[Any], Answers]]
    partly: ClassVar[bool] = False
    siblings_share: ClassVar[float] = 0.5

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        if "position" not in metafunc.fixturenames:
            return
        last = len(cls.exercise.variants) - 1
        every = metafunc.function.__name__ == "test_texts"
        metafunc.parametrize(
            "position",
            [
                pytest.param(n, id=f"variant{n}", marks=[] if every or n in (0, last) else [pytest.mark.slow])
                for n in range(last + 1)
            ],
        )

    def test_right_answers(self, position: int) -> None:
        variant, answers = self._at(position)
        assert len(answers.also_right) >= 1, "name another right answer"
        for answer in (answers.right, *answers.also_right):
            found = verdict(self.exercise, answer, variant)
            assert found.full, f"{_told(answer)}\n{found}"
            assert all(finding.ok for finding in found.findings), f"full marks with a finding that is not ok:\n{found}"
            assert found.why and not found.misconception and not found.next

    def test_wrong_answers(self, position: int) -> None:
        variant, answers = self._at(position)
        assert len(answers.wrong) >= WRONG_MIN, f"name at least {WRONG_MIN} wrong answers"
        seen: set[tuple[str, str]] = set()
        if 0 < position < len(self.exercise.variants) - 1:
            seen = {(repr(wrong.answer), wrong.says) for wrong in self._at(0)[1].wrong}
        tried = [wrong for wrong in answers.wrong if (repr(wrong.answer), wrong.says) not in seen]
        told = [(wrong, verdict(self.exercise, wrong.answer, variant)) for wrong in tried]
        for wrong, found in told:
            about = f"{_told(wrong.answer)}\n{found}"
            assert found.state != "error", about
            assert not found.full and (self.partly or found.points == 0), about
            assert wrong.says in shown(found), f"{wrong.says!r} is not said of {about}"
            assert any(not finding.ok for finding in found.findings), about
            assert found.next and not found.why, about
            if wrong.misconception:
                assert found.misconception == self.exercise.misconceptions[wrong.misconception], about
        for number, (wrong, _) in enumerate(told):
            for other, (_, found) in enumerate(told):
                assert number == other or wrong.says not in shown(found), (
                    f"{wrong.says!r} is also said of {_told(tried[other].answer)}\n{found}"
                )

    def test_siblings(self, position: int) -> None:
        """A right answer fails on enough of the other variants (`value`), or holds on all of them (`solution`)."""
        variant, answers = self._at(position)
        others = [other for other in self.exercise.variants if other is not variant]
        if self.exercise.declares == "solution":
            for other in others:
                found = verdict(self.exercise, answers.right, other)
                assert found.full, f"holds on {variant}, not on {other}\n{found}"
            return
        assert others, "one variant is no variant"
        wanted, failed, passed = self.siblings_share * len(others), 0, []
        for other in others:
            if failed >= wanted:
                break
            if verdict(self.exercise, answers.right, other).full:
                passed.append(other)
            else:
                failed += 1
        assert failed >= wanted, f"the answer to {variant} is right for {passed} too"

    def test_untouched(self) -> None:
        found = verdict(self.exercise, ..., self.exercise.variants[0])
        assert (found.state, found.points) == ("not attempted", 0)
        assert "not attempted yet" in str(found) and self.exercise.id in found.next

    def test_what_is_no_answer(self) -> None:
        """Nothing that is handed in shows a traceback or counts as our mistake."""

        class Equal(str):
            __hash__ = str.__hash__

            def __eq__(self, other: object) -> bool:
                return True

        for nonsense in (object(), Equal("x"), None, b"\x00", {"a": [1]}, float("nan"), "", "\x00", ["\x00"], int):
            found = verdict(self.exercise, nonsense, self.exercise.variants[0])
            assert (found.state, found.points) == ("graded", 0), f"{nonsense!r}\n{found}"
            assert found.findings and found.findings[0].seen and found.next

    def test_texts(self, position: int) -> None:
        variant, answers = self._at(position)
        brief, hints = self.exercise.brief(variant), [hint(variant) for hint in self.exercise.hints]
        assert brief.strip() and self.exercise.why(variant).strip()
        assert len(set(hints)) == 3 and all(hint.strip() for hint in hints)
        if isinstance(answers.right, str):
            assert answers.right.strip() not in brief, "the brief gives the answer away"
            assert answers.right.strip() not in hints[0] + hints[1], "an early hint gives the answer away"

    def test_seeds_reach_every_variant(self) -> None:
        variants = list(self.exercise.variants)
        reached = {variants.index(self.exercise.variant(seed)) for seed in range(SEEDS)}
        assert reached == set(range(len(variants)))

    def _at(self, position: int) -> tuple[Any, Answers]:
        variant = self.exercise.variants[position]
        return variant, type(self).answers(variant)


def _told(answer: Any) -> str:
    shortened = repr(answer) if len(repr(answer)) < 3000 else f"{repr(answer)[:3000]}..."
    return f"the answer {shortened}" if not callable(answer) else f"the answer {getattr(answer, '__name__', answer)}"
