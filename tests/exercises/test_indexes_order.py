"""The exercise `indexes-order`: right answers, other right ones, wrong ones."""

from __future__ import annotations

from tests.exercises.harness import Answers, ExerciseTests, Wrong
from workbook.exercises.indexes.order import EXERCISE, Variant


def answers(variant: Variant) -> Answers:
    equal, second = variant.best
    other = "total_cents" if second == "placed_minute" else "placed_minute"
    alike = variant.range.split()[0] == variant.order.split()[0]
    wrong = [
        Wrong("", says="The answer is empty"),
        Wrong(f"CREATE INDEX ON orders ({second}, {equal}) WHERE order_id < 0", says="does not use your index", misconception="not-used"),
        Wrong(f"CREATE INDEX ON orders ({equal})", says="each is fetched from the table", misconception="equality-is-enough"),
        Wrong(f"CREATE INDEX ON orders ({equal}); CREATE INDEX ON orders ({second})", says="makes 2 indexes", misconception="one-per-column"),
        Wrong("DROP TABLE orders", says="dropped 1 table"),
        Wrong("SELECT 1", says="makes no index"),
        Wrong("CREATE INDEX ON orders (", says="syntax error"),
    ]
    if not alike:
        wrong.append(Wrong(f"CREATE INDEX ON orders ({equal}, {other})", says="is second"))
    return Answers(
        right=f"CREATE INDEX ON orders ({equal}, {second})",
        also_right=[
            f"CREATE INDEX CONCURRENTLY by_two ON orders ({equal} DESC, {second} DESC); ANALYZE orders",
            f"CREATE INDEX ON orders ({equal}, {second}, {other})",
        ],
        wrong=wrong,
    )


class TestOrder(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)
