"""An index into service beside writers: who waits, what is left behind, and when the reads had no index."""

from __future__ import annotations

from tests.exercises.harness import Answers, ExerciseTests, Wrong
from workbook.exercises.indexes.online import EXERCISE, VARIANTS, Variant

ALSO = (
    "SET lock_timeout = '5s'; CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_customer ON orders USING btree (customer_id, placed_minute)",
    "REINDEX INDEX CONCURRENTLY orders_customer",
    "CREATE INDEX CONCURRENTLY orders_customer_placed ON public.orders (customer_id, placed_minute); ANALYZE orders; DROP INDEX CONCURRENTLY IF EXISTS orders_customer",
    "CREATE INDEX CONCURRENTLY small ON orders (customer_id); DROP INDEX CONCURRENTLY orders_customer; ALTER INDEX small RENAME TO orders_customer",
    "DROP INDEX CONCURRENTLY orders_placed; DROP INDEX CONCURRENTLY orders_status",
)
PARTLY = {
    0: [
        ("CREATE INDEX CONCURRENTLY orders_customer ON orders (placed_minute, customer_id)", "is on (placed_minute, customer_id)", ""),
        ("CREATE INDEX CONCURRENTLY orders_customer ON orders (customer_id, placed_minute) WHERE false", "it holds the rows of its WHERE only", "it-is-there"),
        ("CREATE INDEX CONCURRENTLY orders_customer ON orders (customer_id) INCLUDE (placed_minute)", "by INCLUDE, behind its key", "it-is-there"),
        ("CREATE INDEX CONCURRENTLY orders_customer ON orders USING brin (customer_id, placed_minute)", "it is of the kind brin", "it-is-there"),
        ("CREATE UNIQUE INDEX CONCURRENTLY orders_customer ON orders (customer_id, placed_minute)", "it is UNIQUE", "it-is-there"),
    ],
    1: [
        (
            "DROP INDEX CONCURRENTLY orders_customer; CREATE INDEX CONCURRENTLY orders_customer ON orders (customer_id) WHERE order_id < 0",
            "it holds the rows of its WHERE only",
            "it-is-there",
        ),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_customer ON orders (customer_id)", "but INVALID", "it-is-there"),
        ("CREATE INDEX CONCURRENTLY orders_customer ON orders (customer_id)", "already exists", ""),
    ],
    2: [
        (
            "DROP INDEX CONCURRENTLY orders_customer; CREATE INDEX CONCURRENTLY orders_customer_placed ON orders (customer_id, placed_minute)",
            "For a while no valid index began with",
            "drop-first",
        ),
        (
            "CREATE INDEX CONCURRENTLY orders_customer_placed ON orders (customer_id, placed_minute)",
            "Left behind: orders_customer.",
            "it-is-there",
        ),
    ],
    3: [
        ("VACUUM orders", "takes 168 kB", "vacuum-shrinks"),
        (
            "CREATE INDEX CONCURRENTLY none ON orders (customer_id) WHERE false; DROP INDEX CONCURRENTLY orders_customer; "
            "CREATE INDEX CONCURRENTLY orders_customer ON orders (customer_id); DROP INDEX CONCURRENTLY none",
            "For a while no valid index began with",
            "drop-first",
        ),
        ("REINDEX INDEX orders_customer", "A writer had to wait: `REINDEX", "ddl-is-online"),
    ],
    4: [
        ("DROP INDEX CONCURRENTLY orders_status", "Left behind: orders_placed.", "it-is-there"),
        ("DROP INDEX CONCURRENTLY orders_status, orders_placed", "DROP INDEX CONCURRENTLY does not support dropping multiple objects", ""),
    ],
}  # fmt: skip


def answers(variant: Variant) -> Answers:
    place = VARIANTS.index(variant)
    return Answers(
        right=variant.right,
        also_right=[ALSO[place]],
        wrong=[
            *(Wrong(sql, says=says, misconception=key) for sql, says, key in PARTLY[place]),
            Wrong(f"BEGIN; {variant.right}; COMMIT", says="cannot run inside a transaction block"),
            Wrong(
                f"{variant.right}; CREATE INDEX extra ON orders (status)",
                says="`CREATE INDEX extra",
                misconception="ddl-is-online",
            ),
            Wrong(f"{variant.right}; DELETE FROM orders WHERE order_id = 10", says="changed the orders"),
            Wrong("ALTER TABLE orders ADD COLUMN note text", says="created 1 column"),
            Wrong("CREATE INDX CONCURRENTLY", says="syntax error"),
            Wrong("DROP INDEX CONCURRENTLY orders_total", says='index "orders_total" does not exist'),
        ],
    )


class TestOnline(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)
