"""Small exercises for the tests of this room; the real ones are tested in tests/exercises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbook.grading.answer import same
from workbook.grading.exercise import Exercise, Finding, Judgement


@dataclass(frozen=True)
class Sum:
    left: int
    right: int


def judge_sum(answer: Any, variant: Sum) -> Judgement:
    wanted = variant.left + variant.right
    if same(answer, wanted):
        return Judgement(1.0, (Finding(True, f"{wanted} is the sum."),))
    near = abs(answer - wanted) == 1
    product = answer == variant.left * variant.right
    return Judgement(
        0.5 if near else 0.0,
        (
            Finding(
                False,
                f"{answer} was handed in" + (", one off." if near else "."),
                "The sum of the two.",
                "What does `+` do?" if not near else "Where do you begin to count?",
                "product" if product else "",
            ),
        ),
    )


def a_sum(**changes: Any) -> Exercise[Sum]:
    return Exercise(
        **{
            **{
                "id": "toy-sum",
                "lab": "99_toys",
                "number": 1,
                "title": "A sum",
                "kind": "R",
                "declares": "value",
                "points": 2,
                "core": True,
                "minutes": 1,
                "answer": "a whole number",
                "accepts": lambda answer: (
                    "" if type(answer) is int else f"A whole number is wanted; this is {type(answer).__name__}."
                ),
                "variants": (Sum(2, 3), Sum(10, 7), Sum(4, 4)),
                "brief": lambda v: f"What is **{v.left} + {v.right}**?",
                "hints": (
                    lambda v: "What is added?",
                    lambda v: f"Begin at {v.left}.",
                    lambda v: f"{v.right} more than {v.left}.",
                ),
                "judge": judge_sum,
                "why": lambda v: "Adding is counting on.",
                "misconceptions": {"product": "To add is to multiply."},
            },
            **changes,
        }
    )


def judge_double(answer: Any, variant: int) -> Judgement:
    for given in (variant, 0, -3, 10**30):
        got = answer(given)
        if not same(got, 2 * given):
            return Judgement(
                0.0, (Finding(False, f"For {given} it gives {got!r}.", f"{2 * given}.", "What is twice that?"),)
            )
    return Judgement(1.0, (Finding(True, "It doubles all four numbers."),))


def a_function(**changes: Any) -> Exercise[int]:
    return Exercise(
        **{
            **{
                "id": "toy-double",
                "lab": "99_toys",
                "number": 2,
                "title": "A rule",
                "kind": "R",
                "declares": "solution",
                "points": 3,
                "core": True,
                "minutes": 1,
                "answer": "a function of one number",
                "accepts": lambda answer: "" if callable(answer) else "A function is wanted.",
                "variants": (1, 2, 3),
                "brief": lambda v: f"Write a function that doubles a number, such as {v}.",
                "hints": (lambda v: "Twice?", lambda v: "Add it to itself.", lambda v: "`return 2 * x`"),
                "judge": judge_double,
                "why": lambda v: "Twice is twice.",
            },
            **changes,
        }
    )
