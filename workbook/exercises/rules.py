"""A rule on trial: a learner's function, called with facts that were not shown, beside what the engine says.

    facts ──▶ the rule ──▶ 5 ─┐
    facts ──▶ the engine ▶ 4 ─┼─▶ where do they part, and which belief parts from the engine at the same places?
    facts ──▶ beliefs ───▶ 5 ─┘

A rule that is wrong is wrong in a way of its own: nodes half full, entries without their headers, a root that does not
count. Each such belief is a rule as well. The one that answers as the learner does, far oftener than the engine does,
is named; where there is none, only what was seen.

    >>> engine = [Instance((rows,), 1 + rows // 100, f"{rows} rows") for rows in (10, 120, 250, 999)]
    >>> kin([0, 1, 2, 9], engine, {"from-zero": lambda rows: rows // 100, "constant": lambda rows: 3}, share=0.0)
    'from-zero'
    >>> kin([1, 2, 3, 10], engine, {"from-zero": lambda rows: rows // 100}, share=0.0)
    ''

Left out: the deadlines of a call, which the grading's `Function` keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from workbook.grading.answer import Function, is_number
from workbook.grading.exercise import Finding

ALIKE = 0.8
Belief = Callable[..., float]
Who = TypeVar("Who")
Case = TypeVar("Case")


@dataclass(frozen=True)
class Instance:
    """One question to a rule: its arguments, what is true, and the facts in words ('2,000 rows of 100 bytes')."""

    args: tuple[Any, ...]
    truth: float
    told: str


def accepts_rule(signature: str) -> Callable[[Any], str]:
    """What `Exercise.accepts` is for a function: '' or a sentence."""

    def accepts(answer: Any) -> str:
        if isinstance(answer, Function):
            return ""
        return f"The answer is a function, `def {signature}`, handed in without calling it; this is {type(answer).__name__}."

    return accepts


def called(rule: Function, instances: Sequence[Instance], *, whole: bool = False) -> list[float] | Finding:
    """What the rule says of each instance, or the finding on the first result that is no number. Raises
    `FunctionFailed`."""
    said = []
    for instance in instances:
        value = rule(*instance.args)
        if not is_number(value) or (whole and value != int(value)):
            return Finding(
                ok=False,
                seen=f"For {instance.told} the function gives {_shown(value)}.",
                expected="A whole number." if whole else "A number.",
                question="Does each way through the function end in a `return`, and of what?"
                if value is None
                else "Which of its steps gives something else than a count?",
            )
        said.append(value)
    return said


def sorted_out(
    accept: Function, cases: Iterable[tuple[Who, Case, Any]], right: Collection[Who], what: str
) -> tuple[dict[Who, Case], set[Who]] | Finding:
    """Ask a check about cases (whose it is, the case, and what the check is shown of it): the right ones that it refuses,
    each with its first such case, and the others that it catches; or the finding on a result that is neither True nor
    False. Who has been refused once is not asked about again. `what` is a case in words: 'step'. Raises `FunctionFailed`."""
    refused: dict[Who, Case] = {}
    caught: set[Who] = set()
    for who, case, shown in cases:
        if who in caught or who in refused:
            continue
        said = accept(shown)
        if undecided := unless_decided(said, what):
            return undecided
        if not said and who in right:
            refused[who] = case
        elif not said:
            caught.add(who)
    return refused, caught


def unless_decided(said: Any, what: str) -> Finding | None:
    """The finding on a check's answer that is neither True nor False; `what` it was asked about, as in `sorted_out`."""
    if type(said) is bool:
        return None
    return Finding(
        ok=False,
        seen=f"accept gives {said!r:.60}.",
        expected=f"True or False, whatever the {what}.",
        question="Does each way through the function end in a `return`?"
        if said is None
        else f"Is the {what} accepted, or is it not?",
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def kin(
    said: Sequence[float],
    instances: Sequence[Instance],
    beliefs: Mapping[str, Belief],
    *,
    share: float = 0.0,
    margin: float = 0.0,
) -> str:
    """The key of the belief that answers as the rule does: at four of five instances at least, and at those where the
    rule is wrong; '' where none does. Two numbers are alike that differ by at most a `share` of the larger (or by a
    rounding); a rule is wrong where it is farther from the truth than the `margin`."""
    wrong = [n for n, each in enumerate(instances) if abs(said[n] - each.truth) > margin * each.truth]
    best, most = "", ALIKE
    for key, belief in beliefs.items() if wrong else ():
        held = [alike(said[n], belief(*each.args), share) for n, each in enumerate(instances)]
        found = min(sum(held) / len(held), sum(held[n] for n in wrong) / len(wrong))
        if found > most or (found == most and not best):
            best, most = key, found
    return best


def alike(one: float, other: float, share: float) -> bool:
    """Whether two numbers differ by at most a share of the larger, or by a rounding where a share is left."""
    return abs(one - other) <= max(share * max(abs(one), abs(other)), 1.0 if share else 0.0)
