"""The exercise `indexes-rewrite`: right answers, other right ones, wrong ones."""

from __future__ import annotations

import re

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.engines import database
from workbook.exercises.indexes.rewrite import COLUMNS, EXERCISE, ROWS, VARIANTS, Variant, recipe

SLOW_SAYS = {True: "what does the reader know that", False: "What is computed for every row here"}
BOUNDARY_SAYS = {True: "Which order stands right behind", False: "At which end of the stretch"}
MORE = {
    40003: [
        f"SELECT {COLUMNS} FROM orders WHERE placed_at < '2024-03-24 08:00:00+00' ORDER BY placed_at DESC, order_id DESC LIMIT 10",
        f"SELECT {COLUMNS} FROM orders WHERE placed_at <= '2024-03-24 08:00:00+00' ORDER BY placed_at DESC, order_id DESC OFFSET 3 LIMIT 10",
        f"SELECT {COLUMNS} FROM orders WHERE placed_at < '2024-03-24 08:00:00+00' OR (placed_at = '2024-03-24 08:00:00+00' AND order_id < 40001) "
        "ORDER BY placed_at DESC, order_id DESC LIMIT 10",
    ],
    28655: [
        f"SELECT {COLUMNS} FROM orders WHERE total_cents > 18355 ORDER BY total_cents, order_id LIMIT 20",
        f"SELECT {COLUMNS} FROM orders WHERE total_cents >= 18355 ORDER BY total_cents, order_id OFFSET 3 LIMIT 20",
        f"SELECT {COLUMNS} FROM orders WHERE total_cents > 18355 OR (total_cents = 18355 AND order_id > 32037) ORDER BY total_cents, order_id LIMIT 20",
    ],
}
"""Of each page: a pair that is cut to its first part, rows that are counted again, a pair that is compared by its parts."""


def looked_up(variant: Variant) -> str:
    """The next page with its place taken from the order that was seen last, which may be gone."""
    columns, comparison = ("total_cents, order_id", ">") if "total_cents," in variant.good.split("WHERE")[1] else ("placed_at, order_id", "<")  # fmt: skip
    rest = variant.good[variant.good.index("ORDER BY") :]
    return f"SELECT {COLUMNS} FROM orders WHERE ({columns}) {comparison} (SELECT {columns} FROM orders WHERE order_id = {variant.last}) {rest}"


def answers(variant: Variant) -> Answers:
    body = variant.good.replace(
        f"SELECT {COLUMNS} FROM orders", "SELECT o.order_id, o.status, o.total_cents FROM orders o"
    )
    more: list[Wrong] = []
    if variant.paging:
        more = [
            Wrong(MORE[variant.seen][2], says="Which comparison of the pair", misconception="pair-by-parts"),
            Wrong(
                looked_up(variant),
                says=f"Then the order {variant.last} itself was deleted, and the query returned 0 rows",
                misconception="seen-stays",
            ),
        ]
    tie = re.sub(r"(ORDER BY \w+(?: DESC)?), order_id(?: DESC)?", r"\1", variant.good)
    if tie != variant.good:
        more = [*more, Wrong(tie, says="Which of two orders with the same total", misconception="order-by-luck")]
    return Answers(
        right=variant.good,
        also_right=[body + ";", f"WITH page AS MATERIALIZED ({variant.good}) SELECT * FROM page"],
        wrong=[
            Wrong(variant.slow, says=SLOW_SAYS[variant.paging]),
            Wrong(variant.narrow, says=BOUNDARY_SAYS[variant.paging], misconception="boundary"),
            Wrong(
                f"CREATE INDEX ON orders ((order_id + 1)); {variant.good}",
                says="created 1 index",
                misconception="only-indexes",
            ),
            Wrong(variant.good.replace("status,", "'shipped' AS status,"), says="Rows that are read, not typed"),
            Wrong(variant.good.replace("total_cents FROM", "total_cents, note FROM"), says="4 columns"),
            Wrong("DROP TABLE orders", says="dropped 1 table", misconception="only-indexes"),
            Wrong("SELEC 1", says='syntax error at or near "SELEC"'),
            Wrong(
                f"SELECT {COLUMNS} FROM orders WHERE total_cents > :total ORDER BY total_cents",
                says="There are no parameters here",
            ),
            Wrong(variant.good.replace("status,", "state,"), says="Which columns has the table?"),
            Wrong(
                f"WITH d AS (UPDATE orders SET status = 'x' RETURNING 1) {variant.good}",
                says="changed rows of the table",
            ),
            Wrong(f"SELECT 1; {variant.good}", says="more than one statement"),
            *more,
        ],
    )


class TestRewrite(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize(
    "variant", [variant for variant in VARIANTS if variant.paging], ids=lambda variant: str(variant.seen)
)
def test_a_boundary_that_only_this_data_makes_right_does_not_pass(variant: Variant) -> None:
    for answer in MORE[variant.seen][:2]:
        found = verdict(EXERCISE, answer, variant)
        assert not found.full and BOUNDARY_SAYS[True] in shown(found)


@pytest.mark.parametrize("variant", [VARIANTS[at] for at in (0, 1, 3, 4)], ids=lambda variant: variant.story[:20])
def test_rows_that_are_typed_do_not_pass_with_those_that_a_verdict_tells_of_either(variant: Variant) -> None:
    """What was found on the practice table, and what the first verdict named besides: where places and numbers go together, quick as well."""
    with database(recipe(variant)) as orders:
        ids = [row[0] for row in orders.run(variant.good).rows]
    told = ids[1 if variant.paging else 0] + ROWS, ids[-1] + ROWS
    typed = f"order_id BETWEEN {min(ids)} AND {max(ids)}" if max(ids) - min(ids) < len(ids) else f"order_id IN {tuple(ids)}"  # fmt: skip
    answer = f"SELECT {COLUMNS} FROM orders WHERE ({typed} OR order_id IN {told}) {variant.good[variant.good.index('ORDER BY') :]}"
    found = verdict(EXERCISE, answer, variant)
    assert not found.full and "Later that day a few more orders" in shown(found)
    assert found.misconception == EXERCISE.misconceptions["right-today"]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.story[:20])
def test_the_slow_query_and_the_good_one_return_the_same(variant: Variant) -> None:
    with database(recipe(variant)) as orders:
        assert orders.run(variant.slow).rows == orders.run(variant.good).rows != orders.run(variant.narrow).rows
