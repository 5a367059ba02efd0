"""An answer becomes a verdict, whatever it or its judge does."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from tests import folders
from tests.grading.toys import Sum, a_function, a_sum
from workbook.errors import SqlError, SqlTimeout, TooManyRows, Unavailable, Unsuitable
from workbook.grading.exercise import Finding, Judgement
from workbook.grading.judging import judge, verdict_of
from workbook.grading.verdict import Verdict

VARIANT = Sum(2, 3)


def judged(answer: Any, **changes: Any) -> Verdict:
    return verdict_of(a_sum(**changes), answer, VARIANT)


def test_full_marks_say_why() -> None:
    found = judged(5)
    assert found.full and found.why == "Adding is counting on." and not found.next and found.sign == "✓"
    assert "full marks · 2 of 2 points" in str(found)


def test_part_of_the_marks() -> None:
    found = judged(6)
    assert (found.points, found.words) == (1, "partly right") and found.sign == "✗"


def test_rounding_never_makes_full_marks() -> None:
    found = judged(5, judge=lambda a, v: Judgement(0.9999, (Finding(False, "Nearly."),)))
    assert found.points < found.of and not found.full


def test_the_misconception_is_named() -> None:
    assert judged(6, judge=lambda a, v: Judgement(0, (Finding(False, "6", misconception="product"),))).misconception
    assert (
        judged(5, judge=lambda a, v: Judgement(1, (Finding(True, "5", misconception="product"),))).misconception == ""
    )
    assert judged(1, judge=lambda a, v: Judgement(0, (Finding(False, "6", misconception="none"),))).misconception == ""


def test_not_attempted_says_what_to_do_first() -> None:
    found = judged(...)
    assert found.state == "not attempted" and not found.findings
    assert 'Read the task (`ask("toy-sum")`' in found.next and "a whole number" in found.next


@pytest.mark.parametrize(
    ("raised", "seen", "question"),
    [
        (SqlError('syntax error at "SELEC"', sqlstate="42601"), "SELEC", "Which word"),
        (SqlError('syntax error at or near ":"', sqlstate="42601", next="look"), ":", "There are no parameters here"),
        (SqlError('column "day" does not exist', sqlstate="42703"), "day", "Which columns has the table?"),
        (SqlError("permission denied for schema public", sqlstate="42501"), "permission", "Which of its statements"),
        (SqlError("duplicate key", sqlstate="23505"), "duplicate", "on which rows"),
        (SqlTimeout("It ran longer than 5 s and was cancelled.", sqlstate="57014"), "cancelled", "for ever"),
        (TooManyRows("It returns more than 10 rows."), "more than 10", "Which condition"),
    ],
)
def test_what_the_engine_refuses_is_a_finding(raised: SqlError, seen: str, question: str) -> None:
    def refuses(answer: Any, variant: Any) -> Judgement:
        raise raised

    found = judged(5, judge=refuses)
    assert (found.state, found.points) == ("graded", 0)
    assert seen in found.findings[0].seen and question in found.findings[0].question


def test_a_server_that_is_not_there_is_no_fault_of_the_answer() -> None:
    def no_server(answer: Any, variant: Any) -> Judgement:
        raise Unavailable("PostgreSQL does not start.", next="run `workbook doctor`")

    found = judged(5, judge=no_server)
    assert found.state == "error" and "workbook doctor" in str(found) and "no fault of the answer" in found.next


def test_a_mistake_of_a_judge_is_ours() -> None:
    found = judged(5, judge=lambda answer, variant: Judgement(1 / 0, ()))
    assert found.state == "error" and "our mistake, not yours" in found.next
    assert "The judge of toy-sum failed: ZeroDivisionError" in found.findings[0].seen
    assert "Traceback" not in str(found)


def test_accepts_that_fails_is_a_wrong_type() -> None:
    found = judged([], accepts=lambda answer: answer.strip())
    assert "this is list" in found.findings[0].seen


def test_a_solution_is_judged_on_other_data_too() -> None:
    def only_small(answer: Any, variant: int) -> Judgement:
        ok = answer(variant) == 2 * variant
        return Judgement(float(ok), (Finding(ok, f"For {variant}.", "Twice.", "?"),))

    exercise = a_function(judge=only_small, variants=(1, 2))
    seed = next(seed for seed in range(50) if exercise.variant(seed) == 2)
    assert judge(exercise, lambda x: 2 * x, seed).full
    found = judge(exercise, lambda x: x * x, seed)
    assert not found.full and found.findings[0].seen == "On other data of the same kind: For 1."
    assert judge(exercise, lambda x: x * x, seed, siblings=0).full


def test_html_and_text_say_the_same() -> None:
    finding = Finding(False, "Seen `a < b` & <script>", "Expected", "Why `x`?", "product")
    found = judged(7, judge=lambda a, v: Judgement(0, (finding,)))
    page = found._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page and "<code" in page
    for words in (
        "Seen",
        "Expected",
        "Question",
        "A mistaken belief that leads here",
        "“To add is to multiply.”",
        "Next",
        "not yet",
        "✗",
    ):
        assert words in page and words in str(found)
    assert "var(--jp-" in page and page == judged(7, judge=lambda a, v: Judgement(0, (finding,)))._repr_html_()


STOPPED = """
import sys
from workbook.engines import cluster, database, shop
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.judging import verdict_of

stops = int(sys.argv[1])

def judge(answer, variant):
    global stops
    with database(shop(orders=1_000)) as made, made.connect() as session:
        if stops:
            stops -= 1
            cluster().stop()
        rows = session.execute(answer).fetchall()
    return Judgement(float(rows == [(2,)]), (Finding(rows == [(2,)], str(rows), "2", "Two?"),))

exercise = Exercise(
    id="toy-stop", lab="toy", number=1, title="Two", kind="R", declares="value", points=2, core=True, minutes=1,
    answer="SQL", accepts=lambda a: "", variants=(5, 7), brief=str, hints=(str, str, str), why=str, judge=judge,
)
cluster()
verdict = verdict_of(exercise, "SELECT 2", 5)
print(verdict.state, verdict.points, verdict.findings[0].seen)
cluster().stop()
"""


@pytest.mark.parametrize(
    ("stops", "said"),
    [
        ("0", "graded 2.0 [(2,)]"),
        ("1", "graded 2.0 [(2,)]"),
        ("2", "error 0.0 The PostgreSQL server was stopped or killed, twice, while the check ran."),
    ],
)
def test_a_server_that_is_stopped_while_a_check_runs_is_no_fault_of_the_answer(stops: str, said: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "WORKBOOK_POSTGRES_URL"}
    with folders.open_folder() as state:
        environment["WORKBOOK_STATE"] = str(state)
        done = subprocess.run([sys.executable, "-c", STOPPED, stops], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == said, done.stderr


class Vast:
    """What stands in for a plan with more steps than are drawn."""

    def _repr_svg_(self) -> str:
        raise Unsuitable("It is too large to be drawn.")

    def __str__(self) -> str:
        return "Append <of 2,001 steps>"


def test_a_picture_that_is_too_large_is_shown_as_its_text() -> None:
    verdict = Verdict(id="toy-sum", title="A sum", points=0, of=1, state="graded", pictures=(Vast(),))
    assert "Append &lt;of 2,001 steps&gt;</pre>" in verdict._repr_html_()
    assert verdict.data()["id"] == "toy-sum"
