"""Three exercises without an engine, for a small lab of the builder's tests: a kernel imports this module by name."""

from __future__ import annotations

from typing import Any

from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register


def judge(answer: Any, variant: int) -> Judgement:
    ok = answer == variant
    seen = f"The answer is {answer}."
    if ok:
        return Judgement(1.0, (Finding(ok=True, seen=seen),))
    score = 0.5 if answer == variant + 1 else 0.0
    return Judgement(
        score, (Finding(ok=False, seen=seen, expected=f"It is {variant}.", question="What was asked for?"),)
    )


def accepts(answer: Any) -> str:
    return "" if type(answer) is int else f"The answer is a whole number; this is {type(answer).__name__}."


def toy(number: int, *, core: bool, points: int) -> Exercise[int]:
    return register(
        Exercise(
            id=f"toys-{('one', 'two', 'three')[number - 1]}", lab="00_toys", number=number, title=f"Toy {number}", kind="S",
            declares="value", points=points, core=core, minutes=1, answer="a whole number", accepts=accepts,
            variants=(10 * number,), brief=lambda variant: f"Write {variant}.", judge=judge, why=lambda variant: "It was asked for.",
            hints=(lambda v: "What was asked for?", lambda v: "A whole number.", lambda v: f"It is {v}."),
        )
    )  # fmt: skip


EXERCISES = (toy(1, core=True, points=2), toy(2, core=True, points=3), toy(3, core=False, points=1))
