"""The exercise `indexes-act`: right answers, other right ones, wrong ones."""

from __future__ import annotations

from tests.exercises.harness import Answers, ExerciseTests, Wrong
from workbook.exercises.indexes.act import CANDIDATES, EXERCISE, VARIANTS, Variant, best_of


def answers(variant: Variant) -> Answers:
    best, _ = best_of(variant)
    statements = [f"CREATE INDEX ON orders ({CANDIDATES[name]})" for name in best]
    right = "; ".join(statements) or "LEAVE"
    also = "; ".join(f"CREATE INDEX CONCURRENTLY i{name} ON orders ({CANDIDATES[name]})" for name in best) or "Leave."
    wrong = [
        Wrong(
            "; ".join(
                f"CREATE INDEX ON orders ({column})"
                for column in ("customer_id", "status", "total_cents", "placed_minute")
            ),
            says="4 indexes must be",
            misconception="always-wins",
        ),
        Wrong("DROP TABLE orders", says="dropped 1 table"),
        Wrong("CREATE TABLE copy AS SELECT * FROM orders", says="created 1 table"),
        Wrong("nothing", says="syntax error"),
        Wrong(7, says="this is int"),
        Wrong(" ", says="The answer is empty"),
    ]
    if best:
        wrong.append(Wrong("leave", says="still costs", misconception="never-worth-it"))
    if len(best) == 1:
        wrong.append(Wrong("CREATE INDEX ON orders (status)", says="serves the wrong read", misconception="any-filter"))
    return Answers(right=right, also_right=[also], wrong=wrong)


class TestAct(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_the_best_is_to_act_here_and_to_leave_there() -> None:
    best = [best_of(variant)[0] for variant in VARIANTS]
    assert () in best and len(set(best)) >= 4, best
