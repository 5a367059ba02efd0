"""Which of twelve indexes earn their keep: dropped by twos and threes, judged by what still happens."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.engines import database
from workbook.exercises.indexes.drop import (
    EXERCISE,
    INDEXES,
    VARIANTS,
    WAL_MARGIN,
    Variant,
    budget,
    recipe,
    writes_cost,
)


def drop(*names: str) -> str:
    return f"DROP INDEX {', '.join(names)}"


def answers(variant: Variant) -> Answers:
    superfluous, kept = variant.superfluous, len(variant.keep)
    right = drop(*superfluous)
    wrong = [
        Wrong(drop("orders_country_idx"), says='"orders_country_idx" does not exist'),
        Wrong(drop("orders_pkey"), says="cannot drop index orders_pkey"),
        Wrong(drop(superfluous[0]), says="With 11 of 12 indexes left"),
        Wrong(drop(*[n for n in superfluous if n != "orders_status"]), says=f"With {kept + 1} of 12 indexes left"),
        Wrong(f"{right}; DELETE FROM orders WHERE status = 'shipped'", says="the tables hold other rows"),
        Wrong(f"{right}; ALTER TABLE orders SET UNLOGGED", says="changed 1 table (orders)"),
        Wrong(f"{right}; CREATE INDEX mine ON orders (customer_id)", says="created 1 index (mine)"),
        Wrong(f"{right}; ALTER TABLE orders ALTER status SET STATISTICS 0", says="changed 1 column"),
        Wrong("DROP TABLE orders CASCADE", says="dropped 1 table (orders)"),
        Wrong(f"ALTER ROLE CURRENT_USER SET enable_seqscan = off; {right}", says="created 1 setting"),
        Wrong("Drop what nobody reads", says="syntax error"),
        Wrong("ANALYZE orders", says="All 12 indexes are still there"),
    ]
    return Answers(right=right, also_right=also_right(variant), wrong=[*wrong, *one_too_many(variant)])


def also_right(variant: Variant) -> list[str]:
    one_by_one = "; ".join(f"DROP INDEX CONCURRENTLY {name}" for name in variant.superfluous)
    other = variant.keep - {"orders_customer"} | {"orders_customer_placed"}
    swapped = [drop(*[name for name in INDEXES if name not in other])] if "orders_customer" in variant.keep else []
    return [one_by_one, *swapped]


def one_too_many(variant: Variant) -> list[Wrong]:
    """The answers that also drop one that was needed."""
    found = []
    if variant.rules:
        found.append(
            Wrong(
                drop(*variant.superfluous, variant.rules[-1]),
                says="PostgreSQL accepted",
                misconception="unscanned-is-useless",
            )
        )
    if variant.cleaned:
        says = f"Expected: At most {budget(variant).cleaning_pages} pages"
        found.append(
            Wrong(drop(*variant.superfluous, "orders_coupon"), says=says, misconception="foreign-keys-are-indexed")
        )
    if "orders_customer_placed" in variant.keep:
        wider = variant.keep - {"orders_customer_placed"} | {"orders_customer_all"}
        names = ", ".join(name for name in INDEXES if name in wider)
        says = f"With {len(wider)} of 12 indexes left ({names}), an hour of orders and 400 payments (0 of them HOT)"
        if "orders_open" not in variant.keep:
            found.append(
                Wrong(
                    drop(*[name for name in INDEXES if name not in wider]), says=says, misconception="updates-are-free"
                )
            )
    return found


class TestDrop(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.story)
def test_each_index_more_breaks_the_budget(variant: Variant) -> None:
    """The margin is far from both sides: the reference stays within, the cheapest index more does not."""
    least = budget(variant).wal_bytes / WAL_MARGIN
    extra = "orders_customer" if "orders_customer" in variant.superfluous else "orders_placed"
    with database(recipe(variant)) as orders:
        orders.run(drop(*[name for name in variant.superfluous if name != extra]))
        assert writes_cost(orders)[0] > 1.08 * least


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.story)
def test_nothing_left_is_no_answer(variant: Variant) -> None:
    found = verdict(EXERCISE, drop(*INDEXES), variant)
    assert found.points == 0 and "With 0 of 12 indexes left" in shown(found)
    assert sum(not finding.ok for finding in found.findings) == len(variant.rules) + variant.cleaned + len(
        variant.reads
    )
