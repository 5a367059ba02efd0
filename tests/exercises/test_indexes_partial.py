"""The smallest partial index: what is too narrow, too wide, or the right rows under the wrong key."""

from __future__ import annotations

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.indexes.partial import EXERCISE, VARIANTS, Variant

ALSO = (
    "orders (customer_id) WHERE status = 'open' OR status = 'packed'",
    "orders (courier_id, total_cents DESC) WHERE NOT total_cents < 90000",
    "orders (placed_minute DESC) WHERE shipped_minute IS NULL",
    "orders (coupon DESC) WHERE coupon > ''",
    "orders (customer_id) WHERE country = 'CH' AND NOT placed_minute < 30000",
)


def answers(variant: Variant) -> Answers:
    key, _, condition = variant.index.partition(" WHERE ")
    elsewhere = "orders (customer_id)" if "courier_id" in key else "orders (courier_id)"
    return Answers(
        right=f"CREATE INDEX ON {variant.index}",
        also_right=[
            f"CREATE INDEX CONCURRENTLY few ON {variant.index}; ANALYZE orders",
            f"CREATE INDEX ON {ALSO[VARIANTS.index(variant)]}",
        ],
        wrong=[
            Wrong(
                f"CREATE INDEX ON {variant.narrow}",
                says="with some values it goes by the index" if "3200" in variant.narrow else "as if there were no index",
                misconception="any-filter",
            ),
            Wrong(f"CREATE INDEX ON {variant.wide}", says="can none of the three queries want", misconception="whole-is-safe"),
            Wrong(f"CREATE INDEX ON {elsewhere} WHERE {condition}", says="what stands in its key does not matter"),
            Wrong(f"CREATE INDEX ON {variant.index}; CREATE INDEX ON {variant.narrow}", says="creates 2 indexes", misconception="one-each"),
            Wrong(
                f"CREATE INDEX ON {key} INCLUDE (order_id, customer_id, courier_id, status, placed_minute, total_cents) WHERE {condition}",
                says="It holds the right rows", misconception="columns-are-free",
            ),
            Wrong("SELECT 1", says="creates no index"),
            Wrong("DROP TABLE orders", says="dropped 1 table"),
            Wrong("CREATE INDEX ON orders (customer) WHERE true", says='column "customer" does not exist'),
        ],
    )  # fmt: skip


class TestPartial(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_a_condition_that_is_checked_in_the_row_is_named() -> None:
    found = verdict(EXERCISE, "CREATE INDEX ON orders (customer_id)", VARIANTS[0])
    assert "Which condition is checked only after a row is fetched" in shown(found)
