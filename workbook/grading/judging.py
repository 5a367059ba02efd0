"""An answer to a verdict, whatever the answer does.

    answer ── is it `...`? ──▶ not attempted yet
           ── plain data? ──── a copy, or a sentence that says what is not
           ── accepts(answer)? a sentence on the type that was wanted
           ── judge(answer, variant) ──▶ Judgement
                 │ SqlError, SqlTimeout, TooManyRows, FunctionFailed      ──▶ a finding
                 │ another WorkbookError (no server)                      ──▶ could not be judged: why, what to do
                 │ the server was stopped meanwhile                       ──▶ judged once more, then the same
                 └ anything else: a mistake of the judge's own            ──▶ could not be judged: our fault

No exception of ours reaches a learner, and one exercise never takes another's marks along.

    >>> from workbook.grading.exercise import Exercise, Finding, Judgement
    >>> sum_of_two = Exercise(id="toy-sum", lab="toy", number=1, title="A sum", kind="R", declares="value", points=2,
    ...     core=True, minutes=1, answer="a whole number", accepts=lambda a: "" if type(a) is int else "Not whole.",
    ...     variants=(5, 7), brief=lambda v: f"2 + {v}?", hints=(str, str, str), why=lambda v: "Addition.",
    ...     judge=lambda a, v: Judgement(float(a == 2 + v), (Finding(a == 2 + v, f"{a}", f"{2 + v}", "Add?"),)))
    >>> verdict_of(sum_of_two, 7, 5).words, verdict_of(sum_of_two, True, 5).findings[0].seen
    ('full marks', 'Not whole.')

Left out: where an answer comes from, and who is shown the verdict.
"""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from workbook.errors import SqlError, SqlTimeout, TooManyRows, WorkbookError
from workbook.grading.answer import FunctionFailed, NotPlain
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.local import by_value
from workbook.grading.verdict import State, Verdict


def judge(exercise: Exercise[Any], answer: Any, seed: int, *, siblings: int = 1) -> Verdict:
    """The verdict on an answer to the variant of a seed.

    An exercise that declares `solution` wants an answer that holds on data that its author did not see: after full
    marks on its own variant it is judged on `siblings` further ones (chosen by the seed); the first that fails counts.
    """
    variant = exercise.variant(seed)
    verdict = verdict_of(exercise, answer, variant)
    if exercise.declares == "solution" and verdict.full:
        for other in _siblings(exercise, variant, seed)[:siblings]:
            there = verdict_of(exercise, answer, other, note="On other data of the same kind: ")
            if not there.full:
                return there
    return verdict


def _siblings(exercise: Exercise[Any], variant: Any, seed: int) -> list[Any]:
    others = [other for other in exercise.variants if other is not variant]
    start = hashlib.sha256(f"sibling:{exercise.id}:{seed}".encode()).digest()[0] % max(len(others), 1)
    return others[start:] + others[:start]


def verdict_of(exercise: Exercise[Any], answer: Any, variant: Any, *, note: str = "") -> Verdict:
    """The verdict on an answer to one variant. Never raises for anything that an answer or a judge does."""
    if answer is ...:
        return _verdict(exercise, 0.0, "not attempted", next=_first_step(exercise))
    try:
        answer = by_value(answer)
    except NotPlain as refusal:
        return refused(exercise, refusal.sentence)
    sentence = NUL if _holds_nul(answer) else _accepts(exercise, answer)
    if sentence:
        return refused(exercise, sentence)
    for _ in range(2):
        before = _servers()
        verdict = _judged(exercise, answer, variant, note)
        gone = [profile for profile, life in before.items() if _servers().get(profile) != life]
        if verdict.full or not gone:
            return verdict
        _start(gone)
    stopped = "The PostgreSQL server was stopped or killed, twice, while the check ran."  # no answer can do that
    return _verdict(exercise, 0.0, "error", findings=(Finding(False, stopped),), next=_TROUBLE)


def _judged(exercise: Exercise[Any], answer: Any, variant: Any, note: str) -> Verdict:
    try:
        with _counted():
            judgement = exercise.judge(answer, variant)
        findings = tuple(_noted(finding, note) for finding in judgement.findings)
    except SqlError as refusal:
        return _graded(exercise, variant, Judgement(0.0, (_noted(_of_sql(refusal), note),)))
    except FunctionFailed as failure:
        return _graded(exercise, variant, Judgement(0.0, (_noted(of_function(failure), note),)), _state(failure))
    except WorkbookError as trouble:
        return _verdict(exercise, 0.0, "error", findings=(Finding(False, str(trouble)),), next=_TROUBLE)
    except Exception as mistake:
        return _verdict(exercise, 0.0, "error", findings=(_of_judge(exercise, mistake),), next=_OURS)
    return _graded(exercise, variant, Judgement(judgement.score, findings, judgement.pictures))


NUL = "The answer holds a NUL character, which no engine takes: take it out."
_TROUBLE = "This is no fault of the answer. Mend it as the sentence says, then run the check again."
_OURS = "This is our mistake, not yours: go on with the next exercise, and please report it with the line above."


def _holds_nul(answer: Any) -> bool:
    """Whether a text of a plain answer holds a character that no engine takes."""
    if isinstance(answer, dict):
        return any(map(_holds_nul, (*answer, *answer.values())))
    if isinstance(answer, (list, tuple, set, frozenset)):
        return any(map(_holds_nul, answer))
    return isinstance(answer, str) and "\0" in answer


def _servers() -> dict[str, str]:
    """What the running servers are known by, where the engines are in use at all."""
    cluster = sys.modules.get("workbook.engines.cluster")
    return cluster.lives() if cluster else {}


def _start(profiles: Sequence[str]) -> None:
    """Start servers that were stopped; where that fails, the judge will say so."""
    from workbook.engines.cluster import cluster

    for profile in profiles:
        with suppress(WorkbookError):
            cluster(profile).ensure()  # type: ignore[arg-type]


def _counted() -> AbstractContextManager[None]:
    """While a judge runs, a server of the person's own is refused where its counters would differ."""
    if not os.environ.get("WORKBOOK_POSTGRES_URL"):
        return nullcontext()
    from workbook.engines.cluster import graded

    return graded()


def _graded(exercise: Exercise[Any], variant: Any, judgement: Judgement, state: State = "graded") -> Verdict:
    score = min(max(float(judgement.score), 0.0), 1.0)
    full = score >= 1.0
    return _verdict(
        exercise,
        float(exercise.points) if full else min(round(score * exercise.points, 2), exercise.points - 0.01),
        state,
        findings=judgement.findings,
        misconception="" if full else _misconception(exercise, judgement.findings),
        why=exercise.why(variant) if full else "",
        next="" if full else f'Change the answer and run the check again, or ask `hint("{exercise.id}")`.',
        pictures=judgement.pictures,
    )


def _verdict(exercise: Exercise[Any], points: float, state: State, **rest: Any) -> Verdict:
    return Verdict(
        id=exercise.id, title=exercise.title, points=points, of=exercise.points, state=state, core=exercise.core, **rest
    )


def refused(exercise: Exercise[Any], sentence: str) -> Verdict:
    """The verdict on something that is no answer to this exercise."""
    finding = Finding(False, sentence, f"{exercise.answer[:1].upper()}{exercise.answer[1:].rstrip('.')}.")
    again = f'Change the answer and run the check again; `ask("{exercise.id}")` shows the task.'
    return _verdict(exercise, 0.0, "graded", findings=(finding,), next=again)


def _first_step(exercise: Exercise[Any]) -> str:
    where = f'Read the task (`ask("{exercise.id}")` shows it again)'
    return f"{where}, replace the `...` by {exercise.answer.rstrip('.')}, and run both cells."


def _misconception(exercise: Exercise[Any], findings: tuple[Finding, ...]) -> str:
    for finding in findings:
        if not finding.ok and finding.misconception in exercise.misconceptions:
            return exercise.misconceptions[finding.misconception]
    return ""


def _accepts(exercise: Exercise[Any], answer: Any) -> str:
    """What `accepts` says; a failure of its own counts as a wrong type."""
    try:
        return exercise.accepts(answer)
    except Exception:
        return f"The answer is {exercise.answer.rstrip('.')}; this is {type(answer).__name__}."


def _noted(finding: Finding, note: str) -> Finding:
    if finding.ok or not note:
        return finding
    return Finding(False, note + finding.seen, finding.expected, finding.question, finding.misconception)


def _of_sql(refusal: SqlError) -> Finding:
    """What became of SQL that the engine refused; what the engines' room would do next leads on, where it is a question."""
    seen = refusal.what + (f"\n{_sentence(refusal.tried)}" if refusal.tried else "")
    step = _sentence(refusal.next)
    if isinstance(refusal, SqlTimeout):
        question = "What in it could go on for ever, or touch far more rows than are needed?"
    elif isinstance(refusal, TooManyRows):
        question = "Which condition would leave only the rows that are asked for?"
    elif refusal.sqlstate.startswith("42501"):
        question = "Which of its statements does something that the task does not ask for?"
    elif refusal.sqlstate == "42703":
        question = "Which columns has the table?"
    elif refusal.sqlstate == "42601" and 'near ":"' in refusal.what:
        step, question = "", "There are no parameters here: which values stand in their place?"
    elif refusal.sqlstate.startswith("42"):
        question = "Which word in it does PostgreSQL read otherwise than you do?"
    elif refusal.sqlstate.startswith("25"):
        question = "Which of its statements is refused, and would PostgreSQL run it when it stands alone?"
    else:
        question = "Which statement was it, and on which rows?"
    if step.endswith("?") and not isinstance(refusal, SqlTimeout | TooManyRows):
        question = step
    elif step and refusal.sqlstate:
        question = f"{step} {question}"
    return Finding(False, seen, "SQL that runs through.", question)


def of_function(failure: FunctionFailed) -> Finding:
    """What became of a learner's function that failed."""
    seen = failure.what + (f"\n```\n{failure.line}\n```" if failure.line else "")
    expected = {
        "error": "Plain data, for each of the arguments that the judge sends.",
        "timed out": "A result within the deadline.",
        "crashed": "A result; the process that ran it ended instead.",
        "out of memory": "A result within the memory that there is.",
    }
    question = (
        "For which arguments does that line not hold?" if failure.line else "Call it in a cell: what does it give?"
    )
    if " raised NameError: " in failure.what:
        question = "Which cell defines that name, and has it been run?"
    return Finding(False, seen, expected.get(failure.state, ""), question)


def _state(failure: FunctionFailed) -> State:
    states: dict[str, State] = {"timed out": "timed out", "crashed": "crashed", "out of memory": "out of memory"}
    return states.get(failure.state, "graded")


def _of_judge(exercise: Exercise[Any], mistake: Exception) -> Finding:
    """A mistake of a judge: where it is, in a line, for whoever mends it."""
    frames = traceback.extract_tb(mistake.__traceback__)
    place = frames[-1] if frames else None
    where = f", {place.filename.replace(chr(92), '/').rpartition('/')[2]} line {place.lineno}" if place else ""
    what = f"{type(mistake).__name__}: {str(mistake)[:200]} ({exercise.judge.__module__}{where})"
    return Finding(False, f"The judge of {exercise.id} failed: {what}.")


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}{'' if text[-1:] in ('?', '!') else '.'}" if text else ""
