"""The exercise `indexes-act`: what is worth its writes, what is not, and what only looks as if it were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.indexes.act import (
    BETTER,
    CANDIDATES,
    EXERCISE,
    VARIANTS,
    Variant,
    best_of,
    pages,
    plans,
    price,
    priced,
    recipe,
    subsets,
)
from workbook.exercises.trial import tried

EVERYTHING = (
    "CREATE INDEX ON orders (total_cents) INCLUDE (placed_minute, order_id)",
    "CREATE INDEX by_state ON orders (status)",
    "CREATE INDEX ON orders (customer_id)",
    "CREATE INDEX ON orders (customer_id, total_cents)",
)
FOUR = tuple(f"CREATE INDEX of_{column} ON orders ({column})" for column in (*CANDIDATES.values(), "placed_minute"))


def also_right(best: tuple[str, ...]) -> list[str]:
    """What is as good as the best of the agent's: online, the other way round, with the columns that are returned."""
    if not best:
        return ["Leave.", "'leave'", "leave everything as it is"]
    others = [
        [f"CREATE INDEX CONCURRENTLY i{name} ON orders ({CANDIDATES[name]})" for name in best],
        [f"CREATE INDEX ON orders ({CANDIDATES[name]} DESC)" for name in best] + ["ANALYZE orders"],
        [f"CREATE INDEX ON orders {BETTER[name]}" for name in best],
        [f"CREATE INDEX ON orders ({CANDIDATES[name]}, order_id) WITH (fillfactor = 80)" for name in best],
    ]
    return ["; ".join(one) for one in others]


def answers(variant: Variant) -> Answers:
    best, _ = best_of(variant)
    statements = [f"CREATE INDEX ON orders ({CANDIDATES[name]})" for name in best]
    right = "; ".join(statements)
    wrong = [
        Wrong("; ".join(FOUR), says="of_placed_minute is used by none" if "B" in best else "of_status is used by none", misconception="always-wins"),
        Wrong("; ".join(EVERYTHING), says="more do not pay either" if "B" in best else "by_state is used by none", misconception="always-wins"),
        Wrong("CREATE INDEX lone ON orders (status)", says="lone saves" if "B" in best else "lone is used by none", misconception="" if "B" in best else "any-filter"),
        Wrong("CREATE INDEX ON orders USING hash (total_cents)", says="of the kind hash", misconception="any-kind"),
        Wrong("CREATE INDEX ON orders USING brin (customer_id)", says="of the kind brin", misconception="any-kind"),
        Wrong(
            "CREATE INDEX few ON orders (total_cents) WHERE total_cents BETWEEN 4000 AND 4009",
            says="Read C goes by few with some values", misconception="one-value",
        ),
        Wrong(
            f"CREATE INDEX solo ON orders (customer_id) WHERE customer_id = 1234; {right}",
            says="Read A goes by solo with some values" if "A" not in best else "solo is used by none",
            misconception="one-value" if "A" not in best else "",
        ),
        Wrong("TRUNCATE orders", says="had 20,000 rows, and now it has 0"),
        Wrong(f"VACUUM FULL orders; {right}", says="orders was written anew"),
        Wrong(
            f"{right}; INSERT INTO orders SELECT 30000 + i, 1, 'open', 1, 1 FROM generate_series(1, 500) i",
            says="now it has 20,500",
        ),
        Wrong(f"{right}; UPDATE orders SET note = note WHERE order_id = 1", says="or has them in other places"),
        Wrong(
            f"{right}; DO $$ BEGIN UPDATE orders SET note = 'x'; RAISE 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $$",
            says="orders took 308 pages, and now it takes",
        ),
        Wrong("CREATE INDEX sum ON orders ((customer_id + 0))", says="sum is used by none"),
        Wrong("CREATE INDEX old ON orders (customer_id) WHERE placed_minute <= 20000", says="old is used by none"),
        Wrong("CREATE UNIQUE INDEX pairs ON orders (customer_id, total_cents)", says="pairs is UNIQUE"),
        Wrong("SELECT 1", says="creates no index"),
        Wrong("DROP TABLE orders", says="dropped 1 table"),
        Wrong("CREATE TABLE copy AS SELECT * FROM orders", says="created 1 table"),
        Wrong("nothing", says="syntax error"),
        Wrong(7, says="this is int"),
        Wrong(" ", says="The answer is empty"),
    ]  # fmt: skip
    for name in {"A", "C"} - set(best):
        more = f"{right}; CREATE INDEX more_{name.lower()} ON orders ({CANDIDATES[name]})"
        wrong.append(Wrong(more, says=f"more_{name.lower()} saves", misconception="always-wins"))
    if best:
        wrong.append(Wrong("leave", says="Nothing is changed", misconception="never-worth-it"))
    if len(best) == 2:
        wrong.append(Wrong("CREATE INDEX half ON orders (customer_id)", says="half saves"))
    if "B" in best:
        wrong.append(
            Wrong(
                f"CREATE INDEX sent ON orders (order_id) WHERE status = 'shipped'; {right}", says="sent is used by none"
            )
        )
    return Answers(right=right or "LEAVE", also_right=also_right(best), wrong=wrong)


class TestAct(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_the_best_is_to_act_here_and_to_leave_there() -> None:
    best = [best_of(variant)[0] for variant in VARIANTS]
    assert () in best and len(set(best)) >= 5, best
    assert all(any(name in chosen for chosen in best) for name in CANDIDATES)


def test_what_the_sum_says_of_a_set_is_what_the_set_costs() -> None:
    """The price of a set is put together from two clones; on a clone of its own it comes out the same."""
    for chosen in (("A",), ("A", "C"), ("B", "C")):
        ddl = "; ".join(f"CREATE INDEX ON orders ({CANDIDATES[name]})" for name in chosen)
        with tried(recipe(VARIANTS[0]), ddl) as trial:
            reads = {variant: pages(plans(trial.database, variant)) for variant in VARIANTS}
            written = price(trial.database, {})
        for variant in VARIANTS:
            alone = replace(written, reads=reads[variant])
            assert abs(alone.total(variant) - priced(chosen, variant).total(variant)) <= variant.written * 0.01


def test_no_candidate_is_a_close_call() -> None:
    """What is not in the best set is not worth it by far, so that a tenth more or less decides nothing."""
    for variant in VARIANTS:
        best, least = best_of(variant)
        for chosen in subsets(tuple(CANDIDATES)):
            if not set(chosen) <= set(best):
                continue
            assert chosen == best or priced(chosen, variant).total(variant) > 1.5 * least


@pytest.mark.parametrize(
    "shape",
    [
        "(status)", "(status, order_id)", "(status) WHERE status = 'shipped'", "(order_id) WHERE status = 'shipped'",
        "(status) INCLUDE (order_id, customer_id, total_cents, placed_minute, note)",
    ],
)  # fmt: skip
def test_no_index_serves_the_read_of_nearly_all(shape: str) -> None:
    """What the why says of read B, for the shapes that one might think of."""
    with tried(recipe(VARIANTS[0]), f"CREATE INDEX b ON orders {shape}") as trial:
        assert all(node.index != "b" for node in plans(trial.database, VARIANTS[0])["B"][0].nodes())


def test_clustering_is_refused_too() -> None:
    found = verdict(EXERCISE, "CREATE INDEX i ON orders (total_cents); CLUSTER orders USING i", VARIANTS[2])
    assert found.points == 0 and "wrote them in another order" in shown(found)
