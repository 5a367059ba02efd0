"""The exercise `start-mend`: right answers, other right ones, wrong ones."""

from __future__ import annotations

from tests.exercises.harness import Answers, ExerciseTests, Wrong
from workbook.exercises.start.mend import EXERCISE, Variant


def answers(variant: Variant) -> Answers:
    right = f"SELECT order_id, status FROM orders WHERE {variant.order_id} = order_id"
    return Answers(
        right=right,
        also_right=[
            f"SELECT o.order_id, o.status FROM orders AS o WHERE o.order_id = {variant.order_id};",
            f"WITH one AS ({right}) SELECT * FROM one",
            f"SELECT order_id, status FROM orders WHERE order_id = CAST('{variant.order_id}' AS bigint)",
        ],
        wrong=[
            Wrong(variant.suspect, says="and 2 to spare", misconception="index-sees-through"),
            Wrong(right.replace("order_id, status", "*"), says="with the columns order_id, customer_id"),
            Wrong(right.replace("status", "'paid' AS status"), says=f"[({variant.order_id}, 'paid')]."),
            Wrong(f"SELECT {variant.order_id}::bigint AS order_id, 'refunded' AS status", says="A row that is read, not typed."),
            Wrong(f"SELECT order_id, status FROM orders WHERE order_id = {variant.order_id + 1}", says=f"[({variant.order_id + 1}, "),
            Wrong("SELECT order_id, status FROM orders WHERE false", says="0 row(s)"),
            Wrong(f"CREATE INDEX ON orders ((order_id::text)); {right}", says="created 1 index", misconception="only-indexes-help"),
            Wrong(f"UPDATE orders SET status = 'paid' WHERE order_id = {variant.order_id}", says="is not one query that returns rows"),
            Wrong("DROP TABLE orders CASCADE", says="dropped 1 table (orders)"),
            Wrong("SELEC 1", says="syntax error"),
            Wrong(right.replace("status", "state"), says='column "state" does not exist'),
        ],
    )  # fmt: skip


class TestMend(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)
