"""The harness, on an exercise of three numbers: it passes what is right and catches what is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong
from tests.grading.toys import Sum, a_function, a_sum


def answers(variant: Sum) -> Answers:
    wanted = variant.left + variant.right
    return Answers(
        right=wanted,
        also_right=[int(str(wanted))],
        wrong=[
            Wrong(wanted + 1, says=f"{wanted + 1} was handed in, one off"),
            Wrong(wanted - 1, says=f"{wanted - 1} was handed in, one off"),
            Wrong(variant.left * variant.right * 1000, says=f"{variant.left * variant.right * 1000} was"),
            Wrong(float(wanted), says="this is float"),
            Wrong(str(wanted), says="this is str"),
        ],
    )


class TestSum(ExerciseTests):
    exercise = a_sum()
    answers = staticmethod(answers)
    partly = True


def double(x: int) -> int:
    return x + x


class TestDouble(ExerciseTests):
    exercise = a_function()
    answers = staticmethod(
        lambda variant: Answers(
            right=double,
            also_right=[lambda x: 2 * x],
            wrong=[
                Wrong(lambda x: x, says=f"For {variant} it gives {variant}. Expected"),
                Wrong(lambda x: x / 0, says="ZeroDivisionError"),
                Wrong(lambda: 1, says="takes 0 positional arguments"),
                Wrong(lambda x: float(x), says=f"it gives {float(variant)}."),
                Wrong(2, says="A function is wanted"),
            ],
        )
    )


def broken(**changes: Any) -> ExerciseTests:
    class Broken(ExerciseTests):
        exercise = a_sum(**changes.pop("exercise", {}))
        answers = staticmethod(changes.pop("answers", answers))
        partly = changes.pop("partly", True)

    return Broken()


@pytest.mark.parametrize(
    ("test", "changes"),
    [
        ("test_right_answers", {"answers": lambda v: Answers(right=0, also_right=[0])}),
        ("test_right_answers", {"answers": lambda v: Answers(right=v.left + v.right, also_right=[])}),
        ("test_wrong_answers", {"answers": lambda v: Answers(right=0, also_right=[], wrong=answers(v).wrong[:4])}),
        ("test_wrong_answers", {"partly": False}),
        (
            "test_wrong_answers",
            {
                "answers": lambda v: Answers(
                    right=0, also_right=[], wrong=[Wrong(n, says="What does") for n in range(20, 26)]
                )
            },
        ),
        ("test_siblings", {"exercise": {"variants": (Sum(1, 4), Sum(2, 3), Sum(3, 2))}}),
    ],
)
def test_the_harness_catches(test: str, changes: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        getattr(broken(**dict(changes)), test)(0)
