"""The incident: four indexes for eight reads, and what is said of all the halfway houses."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong
from workbook.exercises.indexes.incident import CUSTOMER, EXERCISE, NAMES, REFRESHED, VARIANTS, Variant, designs

DROP = f"DROP INDEX {', '.join(NAMES)}"


def answers(variant: Variant) -> Answers:
    made = [f"CREATE INDEX ON {pair.index}" for pair in variant.pairs]
    bare = [*made[1:], "CREATE INDEX ON orders (customer_id)"]
    return Answers(
        right=variant.reference,
        also_right=[
            "; ".join([*reversed(made), DROP]),
            "; ".join([DROP, "CREATE INDEX mine ON orders (customer_id, placed_minute DESC)", *made[1:], "ANALYZE orders"]),
        ],
        wrong=[
            Wrong(DROP, says="7 other reads are over their budgets", misconception="drop-all"),
            Wrong("; ".join(made), says="into 12 indexes and the table", misconception="one-by-one"),
            Wrong(f"DROP INDEX {NAMES[variant.reads.index(CUSTOMER.second)]}", says="into 7 indexes and the table"),
            Wrong(
                "; ".join([DROP, *made, "CREATE INDEX ON orders (customer_id, seen_minute)"]),
                says="into 5 indexes and the table",
            ),
            Wrong(
                "; ".join([DROP, *made[1:], "CREATE INDEX ON orders (customer_id, placed_minute) INCLUDE (seen_minute)"]),
                says="All eight reads are within what is allowed. ✓ 200 new orders",
                misconception="perfect-read",
            ),
            Wrong("; ".join([DROP, *bare]), says="pages by a Bitmap Heap Scan", misconception="same-start"),
            Wrong("ANALYZE orders", says="leaves all indexes as they are"),
            Wrong("DELETE FROM orders WHERE status = 'done'", says="changed rows of the table"),
            Wrong(f"{DROP}; DROP TABLE orders", says="dropped 1 table (orders)"),
            Wrong("CREATE MATERIALIZED VIEW quick AS SELECT * FROM orders", says="created 1 materialized view"),
            Wrong("DROP INDEX for_read_9", says='index "for_read_9" does not exist'),
        ],
    )  # fmt: skip


class TestIncident(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize("variant", VARIANTS, ids=[f"variant{n}" for n in range(len(VARIANTS))])
def test_the_eight_are_quick_and_the_incident(variant: Variant) -> None:
    """The evidence holds: each read is at its best with its own index, and the writes pay for all of them."""
    bare, agents, best = designs(variant)
    assert CUSTOMER in variant.pairs
    assert all(now < was / 10 for was, now in zip(bare.pages, agents.pages, strict=True))
    assert sum(agents.pages) <= sum(best.pages)
    assert (bare.hot, agents.hot, best.hot) == (REFRESHED, 0, REFRESHED)
    assert agents.insert_wal > 1.5 * best.insert_wal and agents.refresh_wal > 5 * best.refresh_wal
    assert agents.bytes > 2 * best.bytes
