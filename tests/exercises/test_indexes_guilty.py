"""The guilty step: named without a mend, mended without being named, and neither."""

from __future__ import annotations

from tests.exercises.harness import Answers, ExerciseTests, Wrong
from workbook.exercises.indexes.guilty import EXERCISE, VARIANTS, Variant, guilty, shown


def answers(variant: Variant) -> Answers:
    right, steps = guilty(variant), shown(variant).nodes()
    dearest = max(range(len(steps)), key=lambda at: steps[at].cost.value or 0) + 1
    busiest = max(range(len(steps)), key=lambda at: steps[at].buffers_own.value or 0) + 1
    wrong = [
        Wrong({"step": dearest, "mend": variant.mend}, says=f"Step {dearest}, ", misconception="highest-cost"),
        Wrong({"step": right, "mend": variant.elsewhere}, says="still ", misconception="anything-helps"),
        Wrong({"step": 99, "mend": variant.mend}, says="There is no step 99"),
        Wrong({"step": right, "mend": "DROP TABLE lines"}, says="dropped 1 table (lines)"),
        Wrong({"step": right, "mend": "ALTER ROLE CURRENT_USER SET enable_nestloop = off"}, says="1 setting"),
        Wrong(
            {"step": right, "mend": "DELETE FROM lines WHERE line_id = 1; ANALYZE"}, says="changed rows of the table"
        ),
        Wrong({"step": right, "mend": "CREATE STATISTIC s"}, says="syntax error"),
        Wrong({"step": right}, says="the keys 'step' and 'mend'"),
        Wrong({"step": "3", "mend": variant.mend}, says="this is str"),
    ]
    if busiest != right:
        wrong.append(
            Wrong({"step": busiest, "mend": variant.mend}, says="how often to run", misconception="most-pages")
        )
    names = {"together": "t", "typed": "t", "places": "t"}
    also = variant.mend
    for name, other in names.items():
        also = also.replace(f"STATISTICS {name} ", f"STATISTICS {other} ")
    return Answers(
        right={"step": right, "mend": variant.mend},
        also_right=[{"mend": f"{also}; ANALYZE", "step": right}],
        wrong=wrong,
    )


class TestGuilty(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_the_guilty_step_is_not_always_in_the_same_place() -> None:
    assert len({guilty(variant) for variant in VARIANTS}) > 1
    assert all(
        shown(variant).nodes()[guilty(variant) - 1].cost.value
        != max(node.cost.value for node in shown(variant).nodes())
        for variant in VARIANTS
    )
