"""A learner's SQL on the real engine: whatever is handed in, there is a sentence, and the next check works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.grading.toys import a_sum
from workbook.engines import Database, Recipe, database
from workbook.grading import registry
from workbook.grading.desk import practice_database
from workbook.grading.exercise import Exercise, Judgement, accepts_sql
from workbook.grading.judging import verdict_of
from workbook.grading.notebook import grade_notebook
from workbook.grading.sql import changes_allowed, same_rows

RIGHT = "CREATE INDEX ON orders (status); SELECT count(*) FROM orders WHERE status = 'paid'"


def recipe(variant: Any) -> Recipe:
    return Recipe(
        name="grading_toy",
        tables="CREATE TABLE orders (order_id bigint PRIMARY KEY, status text NOT NULL);"
        "CREATE TABLE lines (line_id bigint PRIMARY KEY, order_id bigint REFERENCES orders);"
        "INSERT INTO orders SELECT n, CASE n % 4 WHEN 0 THEN 'paid' ELSE 'open' END FROM generate_series(1, 1000) n",
    )


def judge(answer: str, variant: Any) -> Judgement:
    with database(recipe(variant)) as learners:
        wanted = learners.run("SELECT count(*) FROM orders WHERE status = 'paid'")
        before = learners.catalog()
        got = learners.run(answer, deadline_s=0.5, rows_max=500)
        findings = (changes_allowed(before, learners.catalog()), same_rows(got, wanted))
    return Judgement(float(all(finding.ok for finding in findings)), findings)


def judge_function(answer: Any, variant: Any) -> Judgement:
    with database(recipe(variant)) as learners:
        got = answer(learners.engine, "paid")
    return Judgement(float(got == 250), ())


def an_exercise(**changes: Any) -> Exercise[Any]:
    plain = {"id": "toy-sql", "answer": "SQL as text", "accepts": accepts_sql, "judge": judge, "variants": (1,)}
    return a_sum(**plain, brief=lambda v: "Count.", why=lambda v: "So.", hints=(str, str, str), **changes)


def said(answer: Any) -> Any:
    return verdict_of(an_exercise(), answer, 1)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("DROP SCHEMA public CASCADE", "must be owner of schema public"),
        ("DROP TABLE lines, orders", "The answer dropped 2 tables (lines, orders)."),
        ("SELECT pg_sleep(3600)", "was cancelled"),
        ("WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT 1 FROM r) SELECT count(*) FROM r", "was cancelled"),
        ("SET statement_timeout = 0; SELECT pg_sleep(3600)", "was cancelled"),
        ("SELEC 1", "SELEC"),
        ("SELECT count(*) FROM ordres", "ordres"),
        (17, "this is int"),
        ("", "The answer is empty"),
        ("   \n", "The answer is empty"),
        (";", ""),
        ("-- nothing", ""),
        ("SELECT * FROM orders", "more than 500 rows"),
        ("SELECT count(*) AS count FROM orders", "It returns the row (1000)"),
        ("CREATE INDEX ON orders (status)", "returns no rows"),
        ("RESET ROLE; SELECT * FROM pg_authid", "permission denied"),
        ("COPY orders TO PROGRAM 'id'", "permission denied"),
        ("\x00", ""),
        ("SELECT '\ud800'", "half a character"),
        (b"SELECT 1", "this is bytes"),
        (["SELECT 1"], "this is list"),
        ("DO $$ BEGIN EXECUTE 'DROP TABLE lines'; END $$; " + RIGHT.split("; ")[1], "dropped 1 table (lines)"),
        ("BEGIN; DROP TABLE lines; COMMIT; " + RIGHT.split("; ")[1], "table (lines)"),
    ],
)
def test_every_answer_gets_a_sentence_and_the_next_check_works(answer: Any, says: str) -> None:
    found = said(answer)
    assert (found.state, found.points) == ("graded", 0), found
    wrong = [finding for finding in found.findings if not finding.ok]
    assert wrong and says in " ".join(finding.seen for finding in wrong), found
    assert wrong[0].expected and found.next
    assert "Traceback" not in str(found) and "psycopg" not in str(found)


def test_the_next_check_works() -> None:
    assert said("DROP SCHEMA public CASCADE").points == 0
    assert said("SELECT pg_sleep(3600)").points == 0
    assert said(RIGHT).full


@pytest.fixture
def known() -> Iterator[None]:
    function = a_sum(
        id="toy-endpoint",
        number=2,
        answer="a function",
        accepts=lambda answer: "" if callable(answer) else "A function.",
        judge=judge_function,
        variants=(1,),
        brief=lambda v: "Count.",
        why=lambda v: "So.",
        hints=(str, str, str),
    )
    for exercise in (an_exercise(), function):
        registry.register(exercise)
    yield
    for id in ("toy-sql", "toy-endpoint"):
        registry._known.pop(id)
        registry._origin.pop(id)


ENDPOINT = """
import sqlalchemy as sa
def count(engine, status):
    with engine.connect() as connection:
        return connection.execute(sa.text("SELECT count(*) FROM orders WHERE status = :s"), {"s": status}).scalar()
"""


def test_a_function_reaches_the_database_of_the_judge_and_practice_its_own(
    known: None, notebook: Callable[..., Path]
) -> None:
    report = grade_notebook(
        notebook(
            "from workbook import check, practice, start_lab\nstart_lab('99_toys', seed=1)",
            ENDPOINT,
            "check('toy-endpoint', count)",
            "seen = count(practice('toy-sql'), 'open')",
            f"query = {RIGHT!r} if seen == 750 else ''",
            "check('toy-sql', query)",
        )
    )
    assert [(exercise.id, exercise.points) for exercise in report.exercises] == [("toy-sql", 2), ("toy-endpoint", 2)], (
        report
    )


def test_each_call_of_practice_makes_a_database_and_none_is_left(
    known: None, notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Database] = []
    monkeypatch.setattr(
        "workbook.grading.notebook.practice_database", lambda *which: made.append(practice_database(*which)) or made[-1]
    )
    change = (
        "import sqlalchemy as sa\nwith practice('toy-sql').begin() as connection:\n"
        f"    connection.execute(sa.text('CREATE INDEX by_status ON orders (status)'))\nquery = {RIGHT!r}"
    )
    start = "from workbook import check, practice, start_lab\nstart_lab('99_toys', seed=1)"
    many = "seen = ''\ntry:\n    while True: practice('toy-sql')\nexcept Exception as refusal: seen = str(refusal)"
    monkeypatch.setattr("workbook.grading.notebook.CALLS_MAX", 3)
    report = grade_notebook(
        notebook(
            start, change, change, "import os; os._exit(1)", "check('toy-sql', query)",
            many, "check('toy-endpoint', lambda *_: 250 if 'there were 3 calls' in seen else seen)",
        )
    )  # fmt: skip
    assert {exercise.id: exercise.message for exercise in report.exercises}["toy-endpoint"] == "full marks", report
    assert report.points == 4 and len(made) == 2 + 2 + 1
    with database(recipe(1)) as other:
        left = {row[0] for row in other.run("SELECT datname FROM pg_database").rows}
    assert left.isdisjoint(database.name for database in made)


def test_the_judge_leaves_no_database_behind(known: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Database] = []
    original = Database.__enter__
    monkeypatch.setattr(Database, "__enter__", lambda self: made.append(self) or original(self))
    said("DROP SCHEMA public CASCADE")
    (database_made,) = made
    with database(recipe(1)) as other:
        names = {row[0] for row in other.run("SELECT datname FROM pg_database").rows}
    assert database_made.name not in names
