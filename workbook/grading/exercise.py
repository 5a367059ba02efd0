"""What an exercise is, and what a judge says of an answer.

    Exercise ── variants ──▶ Variant (the facts of one seed)
        │                       │
        │ brief, hints, why     ▼
        └── judge(answer, variant) ──▶ Judgement ──▶ Verdict (points, findings, misconception)

An exercise is data and four functions of its variant. This module knows no exercise and no engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the judge looked at.

    Parameters: `ok` whether it is as it should be; what was `seen` and what was `expected`, as sentences with their
    numbers; one `question` that leads on (empty where `ok`); the `misconception` that it points to, as a key of
    `Exercise.misconceptions` (empty where none).
    """

    ok: bool
    seen: str
    expected: str = ""
    question: str = ""
    misconception: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge returns: `score` from 0 to 1 (1 is full marks), its findings in the order in which a person should
    read them, and pictures (anything with `_repr_svg_` and `__str__`, such as a plan) that show what was seen."""

    score: float
    findings: tuple[Finding, ...]
    pictures: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exercise(Generic[V]):
    """One question of a lab.

    Parameters
    ----------
    id : `indexes-order` (letters, digits and dashes: nbgrader refuses dots)
    lab : `02_indexes`
    number : its place in the lab, from 1
    title : a line
    kind : S SQL, R rule, W witness, D decision, P patch
    declares : `value` is judged on the learner's own seed, `solution` on fresh data of any variant
    points, core, minutes : what it counts, whether the lab's exit code rests on it, what a fresh learner needs
    answer : what is handed in, in words for the message on a wrong type; `accepts` tests it: '' or a sentence
    variants : the variants among which a seed chooses; each changes the right answer
    brief : a variant to the task in Markdown, with its numbers
    hints : three functions of the variant: a question, a direction, nearly the answer
    judge : an answer of the right type and a variant to a `Judgement`; an `errors.SqlError` of it becomes a finding
    why : shown after full marks: why it is so, and what would change it
    misconceptions : key to the sentence that names it
    """

    id: str
    lab: str
    number: int
    title: str
    kind: Literal["S", "R", "W", "D", "P"]
    declares: Literal["value", "solution"]
    points: int
    core: bool
    minutes: int
    answer: str
    accepts: Callable[[Any], str]
    variants: Sequence[V]
    brief: Callable[[V], str]
    hints: tuple[Callable[[V], str], Callable[[V], str], Callable[[V], str]]
    judge: Callable[[Any, V], Judgement]
    why: Callable[[V], str]
    misconceptions: Mapping[str, str] = field(default_factory=dict)

    def variant(self, seed: int) -> V:
        """The variant that a seed chooses: by hash, so that neighbouring seeds do not get neighbouring variants."""
        digest = hashlib.sha256(f"{self.id}:{seed}".encode()).digest()
        return self.variants[int.from_bytes(digest[:8], "big") % len(self.variants)]


def accepts_sql(answer: Any) -> str:
    """'' for a text that may be SQL, else a sentence that says what was handed in instead."""
    if not isinstance(answer, str):
        return f"The answer is SQL as text, in quotes; this is {type(answer).__name__}."
    if not answer.strip():
        return "The answer is empty: write the SQL between the quotes."
    return ""
