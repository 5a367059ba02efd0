"""The guilty step: named without a mend, mended without being named, and neither."""

from __future__ import annotations

from tests.exercises.harness import Answers, ExerciseTests, Wrong, verdict
from tests.exercises.harness import shown as told
from workbook.exercises.indexes.guilty import EXERCISE, VARIANTS, Variant, guilty, shown

EVERYTHING = """CREATE STATISTICS one ON country, city, carrier, status FROM orders; CREATE STATISTICS two ON product_id, shelf FROM lines;
CREATE STATISTICS three ON (lower(city)), (lower(country)) FROM orders; ANALYZE orders; ANALYZE lines"""
"""Made without a look at the plan, and quick in every variant."""
FORGED = "SELECT pg_restore_relation_stats('schemaname', 'public', 'relname', 'orders', 'relpages', 2000::int, 'reltuples', 2e6::real)"


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
        Wrong({"step": right, "mend": EVERYTHING}, says="The mend makes 3 things", misconception="more-is-better"),
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


def test_what_is_told_to_the_planner_and_not_true_is_gone_after_the_next_analyze() -> None:
    for variant in VARIANTS[:2]:
        found = verdict(EXERCISE, {"step": guilty(variant), "mend": FORGED}, variant)
        assert not found.full and "what the mend did is gone" in told(found)
        assert found.misconception == EXERCISE.misconceptions["for-good"]


def test_what_is_made_where_analyze_does_is_not_needed() -> None:
    variant = next(variant for variant in VARIANTS if variant.stale)
    more = "CREATE STATISTICS status_by_time ON status, placed_minute FROM orders; ANALYZE orders"
    found = verdict(EXERCISE, {"step": guilty(variant), "mend": more}, variant)
    assert not found.full and "Without status_by_time, after ANALYZE alone" in told(found)


def test_an_index_on_the_expression_tells_as_much_as_statistics_on_it() -> None:
    variant = next(variant for variant in VARIANTS if "lower(" in variant.query)
    mend = "CREATE INDEX ON orders (lower(city)); ANALYZE orders"
    assert verdict(EXERCISE, {"step": guilty(variant), "mend": mend}, variant).full


def test_the_guilty_step_is_not_always_in_the_same_place() -> None:
    assert len({guilty(variant) for variant in VARIANTS}) > 1
    assert all(
        shown(variant).nodes()[guilty(variant) - 1].cost.value
        != max(node.cost.value for node in shown(variant).nodes())
        for variant in VARIANTS
    )
