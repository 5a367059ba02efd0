"""The incident: four indexes for eight reads, and what is said of all the halfway houses."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, verdict
from workbook.exercises.indexes.incident import (
    COURIER,
    CUSTOMER,
    DEAREST,
    EXERCISE,
    NAMES,
    PARCEL,
    QUEUE,
    REFRESHED,
    TURNOVER,
    VARIANTS,
    Variant,
    designs,
)

DROP = f"DROP INDEX {', '.join(NAMES)}"
LITERAL = {
    CUSTOMER.index: "orders (customer_id, placed_minute) WHERE customer_id = 77",
    COURIER.index: "orders (courier_id, status) WHERE courier_id = 33",
    QUEUE.index: "orders (placed_minute) WHERE status = 'open' AND country = 'CH'",
    DEAREST.index: "orders (total_cents) WHERE country = 'DK'",
    TURNOVER.index: "orders (placed_minute) INCLUDE (total_cents) WHERE country = 'PT'",
    PARCEL.index: "orders (lower(parcel_code)) WHERE lower(parcel_code) IN ('p-7919', 'p-15838', 'p-23757', 'p-31676')",
}
FAT = "orders (customer_id, placed_minute) INCLUDE (order_id, courier_id, status, country, parcel_code, total_cents)"
TURNED = {
    CUSTOMER.index: "orders (customer_id, placed_minute DESC)",
    COURIER.index: "orders (courier_id, status DESC)",
    QUEUE.index: "orders (placed_minute DESC, country) WHERE NOT status <> 'open'",
    DEAREST.index: "orders (country DESC, total_cents DESC)",
    TURNOVER.index: "orders (country, placed_minute DESC, total_cents)",
    PARCEL.index: "orders (lower(parcel_code) DESC)",
}


def answers(variant: Variant) -> Answers:
    made = [f"CREATE INDEX ON {pair.index}" for pair in variant.pairs]
    bare = [*made[1:], "CREATE INDEX ON orders (customer_id)"]
    fetching = []
    if QUEUE in variant.pairs:
        others = [f"CREATE INDEX ON {pair.index}" for pair in variant.pairs if pair is not QUEUE]
        kinds = {
            "(placed_minute) INCLUDE (country) WHERE status = 'open'": ("carries `country` along by INCLUDE", "carried-is-checked"),
            "(placed_minute) WHERE status = 'open'": ("What would the index need to know to leave those rows alone?", "same-start"),
        }  # fmt: skip
        fetching = [
            Wrong("; ".join([DROP, *others, f"CREATE INDEX ON orders {on}"]), says=says, misconception=belief)
            for on, (says, belief) in kinds.items()
        ]
    return Answers(
        right=variant.reference,
        also_right=[
            "; ".join([*reversed(made), DROP]),
            "; ".join([DROP, "CREATE INDEX mine ON orders (customer_id, placed_minute DESC)", *made[1:], "ANALYZE orders"]),
            "; ".join([DROP, *(f"CREATE INDEX CONCURRENTLY i{number} ON {TURNED[pair.index]}" for number, pair in enumerate(variant.pairs))]),
        ],
        wrong=[
            Wrong(DROP, says="pages by a Seq Scan. 7 other reads are over", misconception="drop-all"),
            Wrong("; ".join(made), says="into 12 indexes and the table", misconception="one-by-one"),
            Wrong(f"DROP INDEX {NAMES[variant.reads.index(CUSTOMER.second)]}", says="into 7 indexes and the table"),
            Wrong(
                "; ".join([DROP, *made, "CREATE INDEX ON orders (customer_id, seen_minute)"]),
                says="into 5 indexes and the table",
            ),
            Wrong(
                "; ".join([DROP, *made[1:], "CREATE INDEX ON orders (customer_id, placed_minute) INCLUDE (seen_minute)"]),
                says="allowed. ✗ Seen: 500 looks write",
                misconception="perfect-read",
            ),
            Wrong("; ".join([DROP, *bare]), says="pages by a Bitmap Heap Scan", misconception="same-start"),
            Wrong(
                "; ".join([DROP, *(f"CREATE INDEX ON {LITERAL[pair.index]}" for pair in variant.pairs)]),
                says="and goes by an index with the rest. 7 other reads are over", misconception="one-value",
            ),
            Wrong(
                "; ".join([DROP, *made[1:], f"CREATE INDEX ON {LITERAL[CUSTOMER.index]}"]),
                says="and goes by an index with the rest. One other read is over", misconception="one-value",
            ),
            Wrong("; ".join([DROP, *made[1:]]), says="keeps the rows of `customer_id = 77` together"),
            Wrong("; ".join([DROP, *made[1:], f"CREATE INDEX ON {FAT}"]), says="The 4 indexes take"),
            Wrong("; ".join([DROP, *made, "TRUNCATE orders"]), says="now it has 0"),
            Wrong("; ".join([DROP, *made, "VACUUM FULL orders"]), says="orders was written anew"),
            Wrong("; ".join([DROP, *made, "CREATE UNIQUE INDEX codes ON orders (parcel_code, order_id, country); CREATE UNIQUE INDEX seen ON orders (parcel_code, seen_minute)"]), says="seen is UNIQUE"),
            Wrong("ANALYZE orders", says="leaves all indexes as they are"),
            Wrong("DELETE FROM orders WHERE status = 'done'", says="and now it has 2,000"),
            Wrong(f"{DROP}; DROP TABLE orders", says="dropped 1 table (orders)"),
            Wrong("CREATE MATERIALIZED VIEW quick AS SELECT * FROM orders", says="created 1 materialized view"),
            Wrong("DROP INDEX for_read_9", says='index "for_read_9" does not exist'),
            *fetching,
        ],
    )  # fmt: skip


class TestIncident(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_a_question_is_asked_once() -> None:
    """Too many indexes write too much and take too much: two findings, one question."""
    variant = VARIANTS[0]
    found = verdict(EXERCISE, "; ".join(f"CREATE INDEX ON {pair.index}" for pair in variant.pairs), variant)
    wrong = [finding for finding in found.findings if not finding.ok]
    asked = [finding.question for finding in wrong if finding.question]
    assert len(wrong) > len(asked) == len(set(asked)) >= 1


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
