"""The exercise `indexes-rewrite`: right answers, other right ones, wrong ones."""

from __future__ import annotations

from tests.exercises.harness import Answers, ExerciseTests, Wrong
from workbook.exercises.indexes.rewrite import COLUMNS, EXERCISE, Variant


def answers(variant: Variant) -> Answers:
    body = variant.good.replace(
        f"SELECT {COLUMNS} FROM orders", "SELECT o.order_id, o.status, o.total_cents FROM orders o"
    )
    return Answers(
        right=variant.good,
        also_right=[body + ";", f"WITH page AS ({variant.good}) SELECT * FROM page"],
        wrong=[
            Wrong(variant.slow, says="It touches"),
            Wrong(variant.narrow, says="At which end of the stretch", misconception="boundary"),
            Wrong(
                f"CREATE INDEX ON orders ((order_id + 1)); {variant.good}",
                says="created 1 index",
                misconception="only-indexes",
            ),
            Wrong(variant.good.replace("status,", "'shipped' AS status,"), says="Rows that are read, not typed"),
            Wrong(variant.good.replace("total_cents FROM", "total_cents, note FROM"), says="4 columns"),
            Wrong("DROP TABLE orders", says="dropped 1 table", misconception="only-indexes"),
            Wrong("SELEC 1", says="syntax error"),
        ],
    )


class TestRewrite(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)
