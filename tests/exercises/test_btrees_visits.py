"""Pages visited: the way through a tree whose facts are given, beside what PostgreSQL counts."""

from __future__ import annotations

from math import ceil
from typing import Any

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.engines import database
from workbook.exercises.btrees.visits import EXERCISE, QUESTIONS, ROWS, VARIANTS, Variant, instances, missed, tables
from workbook.plans import explain

RIGHT: list[Any] = [
    lambda h, leaf, page, n: h + n / leaf + 1,
    lambda h, leaf, page, n: h + n // leaf + ceil(n / page),
    lambda h, leaf, page, n: h + n // leaf + n,
    lambda h, leaf, page, n: n * h + n,
    lambda h, leaf, page, n: h + ceil(10 * n / leaf) - 1 + ceil(10 * n / page),
    lambda h, leaf, page, n: n * h,
]
"""Other right rules than the exercise's own, variant by variant."""


def plain(rule: Any) -> Any:
    def visits(height: int, rows_a_leaf: int, rows_a_page: int, n: int) -> float:
        return float(rule(height, rows_a_leaf, rows_a_page, n))

    return visits


def nothing_at_all(height: int, rows_a_leaf: int, rows_a_page: int, n: int) -> int:
    return 0


def of_all(height: int, rows_a_leaf: int, rows_a_page: int, n: int) -> float:
    return 10_000.0


def wrong_names(rows: int, n: int) -> int:
    return n


def gives_text(height: int, rows_a_leaf: int, rows_a_page: int, n: int) -> str:
    return "many"


def answers(variant: Variant) -> Answers:
    position = VARIANTS.index(variant)
    said: dict[str, Wrong] = {}
    for key, rule in variant.beliefs.items():
        said.setdefault(QUESTIONS[key], Wrong(plain(rule), says=QUESTIONS[key], misconception=key))
    return Answers(
        right=plain(variant.visits),
        also_right=[plain(RIGHT[position])],
        wrong=[
            *said.values(),
            Wrong(nothing_at_all, says="which of yours is missing?"),
            Wrong(of_all, says="which of yours are not there?"),
            Wrong(wrong_names, says="takes 2 positional arguments"),
            Wrong(gives_text, says="the function gives 'many'"),
            Wrong(3.5, says="this is float"),
        ],
    )


class TestVisits(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_the_rules_are_what_the_engine_counts() -> None:
    for variant in VARIANTS:
        asked = instances(variant)
        assert len(asked) >= 14 and {each.args[0] for each in asked} == {2, 3, 4}
        for each in asked:
            assert not missed(variant.visits(*each.args), each.truth), (variant.story, each)


def test_no_query_is_answered_by_reading_the_whole_table() -> None:
    """What is counted is a way through the index: no sequential scan, no bitmap, no sort."""
    for variant in VARIANTS:
        with database(tables(variant, ROWS)) as readings:
            for width, rows in ROWS.items():
                for n in (n for n in variant.counts if n <= rows // 6):
                    plan = explain(variant.query(width, n), readings.engine, analyze=False)
                    kinds = [node.kind for node in plan.nodes()]
                    assert any(kind in ("Index Scan", "Index Only Scan") for kind in kinds), (
                        variant.sql,
                        width,
                        n,
                        kinds,
                    )
                    assert not any(kind.startswith(("Seq", "Bitmap", "Sort")) for kind in kinds)


def test_a_range_costs_a_link_and_a_list_a_descent() -> None:
    """The same number of entries, side by side and far apart: 40 of them visit 3 pages and 121."""
    by_story = {variant.story: instances(variant) for variant in VARIANTS}
    together = next(each for each in by_story[VARIANTS[0].story] if each.args[3] == 50)
    apart = next(each for each in by_story[VARIANTS[5].story] if each.args[3] == 40)
    assert together.args[:3] == apart.args[:3] and apart.truth > 20 * together.truth


def test_the_miss_is_told_with_the_facts_of_its_tree() -> None:
    found = shown(verdict(EXERCISE, nothing_at_all, VARIANTS[2]))
    assert "a tree of" in found and "rows a leaf" in found and "PostgreSQL visits" in found
