"""Every task of every exercise, folded: it says the same, and its SQL fits."""

from __future__ import annotations

import re

import pytest

from workbook.grading.exercise import Exercise
from workbook.grading.folding import LINE_MAX, folded
from workbook.grading.registry import exercises, labs

ALL = [exercise for lab in labs() for exercise in exercises(lab)]
BLOCK = re.compile(r"```sql\n(.*?)```", re.DOTALL)
LITERAL = re.compile(r"'[^']*'")


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_a_task_says_the_same_and_its_sql_fits(exercise: Exercise[object]) -> None:
    for variant in exercise.variants:
        brief = exercise.brief(variant)
        shown = folded(brief)
        assert shown.split() == brief.split()
        assert BLOCK.sub("", shown) == BLOCK.sub("", brief)
        for was, now in zip(BLOCK.findall(brief), BLOCK.findall(shown), strict=True):
            assert LITERAL.findall(now) == LITERAL.findall(was)
            assert not [line for line in now.splitlines() if len(line) > LINE_MAX and "--" not in line]


def test_a_subquery_is_cut_before_its_bracket() -> None:
    line = "DELETE FROM seat WHERE seat_id > 100 AND flight_id NOT IN (SELECT flight_id FROM flight WHERE gone)"
    assert "NOT IN\n    (SELECT flight_id" in folded(f"```sql\n{line}\n```")


def test_what_stands_in_quotes_and_what_is_no_sql_stays() -> None:
    whole = "'" + "word " * 30 + "'"
    assert folded(f"```sql\n{whole}\n```") == f"```sql\n{whole}\n```"
    assert folded(f"SELECT {whole}") == f"SELECT {whole}"
    code = "```python\na = " + "1 + " * 30 + "1\n```"
    assert folded(code) == code
