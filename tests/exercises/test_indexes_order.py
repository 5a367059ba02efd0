"""One index for an equality, a range and an order: every order of the columns is tried on the engine."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, verdict
from workbook.exercises.indexes.order import EXERCISE, VARIANTS, Variant

ALSO = {
    0: ["orders (country DESC, placed_minute DESC, total_cents)"],
    1: ["orders (country, total_cents DESC, placed_minute DESC)", "orders (country, total_cents) INCLUDE (placed_minute)"],
    2: ["orders (status, customer_id, placed_minute)", "orders (customer_id, placed_minute, status)"],
    3: ["orders (country, placed_day, order_id DESC)"],
    4: ["orders (total_cents, placed_minute, status)", "orders (total_cents DESC, placed_minute DESC, status)"],
    5: ["orders (customer_id, placed_minute DESC, total_cents DESC)"],
}  # fmt: skip

PARTIAL = {
    0: "orders (country, placed_minute) WHERE total_cents >= 95000",
    1: "orders (country, placed_minute) WHERE total_cents >= 92000",
    2: "orders (customer_id, status, placed_minute) WHERE placed_minute < 40000",
    3: "orders (placed_day DESC, order_id) WHERE country = 'CH'",
    4: "orders (total_cents, placed_minute) WHERE status IN ('placed', 'paid') AND placed_minute >= 20000",
    5: "orders (customer_id, placed_minute) WHERE total_cents >= 45000",
}
"""What would be right if one parameter had the example's value in each call."""

MISPLACED = {
    0: [
        ("orders (country, total_cents, placed_minute)", "Three calls touch 869 pages", "sort-is-free"),
        ("orders (placed_minute, country, total_cents)", "the index itself is read through", "selective-first"),
        ("orders (total_cents, country, placed_minute)", "Three calls touch 905 pages", "sort-is-free"),
    ],
    1: [
        ("orders (total_cents, country, placed_minute)", "Three calls touch 66 pages (21", "selective-first"),
        ("orders (country, placed_minute, total_cents)", "Three calls touch 66 pages (22", "order-first"),
        ("orders (country, total_cents)", "pages of the table are fetched", "two-will-do"),
    ],
    2: [
        ("orders (placed_minute, customer_id, status)", "the index itself is read through", "selective-first"),
        ("orders (customer_id, placed_minute)", "rows are fetched from the table, looked at and thrown away", "two-will-do"),
        ("orders (customer_id, status)", "fetches 27 rows", ""),
    ],
    3: [
        ("orders (country, placed_day, order_id)", "Three calls touch 503 pages", "sort-is-free"),
        ("orders (order_id, placed_day DESC, country)", "The whole table is read", "selective-first"),
    ],
    4: [
        ("orders (status, total_cents, placed_minute)", "The whole table is read", "list-is-equality"),
        ("orders (total_cents, status)", "Which condition is checked only in the table", "two-will-do"),
        ("orders (total_cents DESC, placed_minute) INCLUDE (status)", "carries `status` along by INCLUDE", "carried-is-checked"),
    ],
    5: [
        ("orders (customer_id, total_cents, placed_minute)", "and a Sort puts them in order", "sort-is-free"),
        ("orders (placed_minute, customer_id, total_cents)", "the index itself is read through", "selective-first"),
        ("orders (customer_id, placed_minute)", "thrown away", "two-will-do"),
    ],
}  # fmt: skip


def index(on: str) -> str:
    return f"CREATE INDEX ON {on}"


def answers(variant: Variant) -> Answers:
    place = VARIANTS.index(variant)
    right = index(variant.index)
    columns = "order_id, customer_id, status, country, placed_day, placed_minute, total_cents, note"
    return Answers(
        right=right,
        also_right=[f"{right}; ANALYZE orders", *map(index, ALSO[place])],
        wrong=[
            *(Wrong(index(on), says=says, misconception=key) for on, says, key in MISPLACED[place]),
            Wrong(index(PARTIAL[place]), says="With the values of the example", misconception="one-value"),
            Wrong(index(f"{variant.index} INCLUDE (note)"), says="a quarter more than the columns", misconception="more-is-safer"),
            Wrong(f"{right}; {index('orders (total_cents)')}", says="creates 2 indexes", misconception="one-each"),
            Wrong("ANALYZE orders", says="creates no index"),
            Wrong(f"CREATE INDEX ON orders ({columns}); DROP TABLE orders", says="dropped 1 table (orders)"),
            Wrong(f"{right}; UPDATE orders SET note = note", says="changed rows of the table"),
            Wrong("CREATE MATERIALIZED VIEW best AS SELECT * FROM orders", says="created 1 materialized view (best)"),
            Wrong(f"{right}; CREATE TABLE IF NOT EXISTS spare (id int)", says="created 1 table (spare)"),
            Wrong("CREATE INDEX ON orders (total_euro)", says='column "total_euro" does not exist'),
        ],
    )  # fmt: skip


class TestOrder(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=[f"variant{n}" for n in range(len(VARIANTS))])
def test_few_orders_of_the_columns_pass(variant: Variant) -> None:
    """Of the orders in which the columns may stand at most two pass, and none that begins with a range."""
    passed = [
        columns for columns in permutations(variant.role) if verdict(EXERCISE, index(f"orders ({', '.join(columns)})"), variant).full
    ]  # fmt: skip
    assert len(passed) <= 2 + (len([role for role in variant.role.values() if role == "equality"]) > 1)
    assert all(variant.role[columns[0]] in ("equality", "order") for columns in passed)
    assert "list" in variant.role.values() or all(variant.role[columns[0]] == "equality" for columns in passed)
