"""Three queries: act, or leave everything as it is.

    reads a minute x pages each  +  writes a minute x pages each  =  what the design costs

An index takes from the first sum and adds to the second. Whether it is worth it depends on how much the query leaves out, how often it is asked
and how often the table is written. The judge runs each read and one batch of writes on a clone with the answer's indexes, multiplies, and compares
with the best of all sets of the candidates, which it has priced one by one on the same engine. In one variant the best
set is empty.

    >>> sum(1 for _ in subsets(("a", "b")))
    4

Source: Athanassoulis and others, "Designing Access Methods: The RUM Conjecture" (EDBT 2016). Left out: disk space, and WAL (another exercise).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

from workbook.engines import Database, Recipe, database
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed
from workbook.plans import explain

ROWS, BATCH = 20_000, 200
TABLES = f"""CREATE TABLE orders (order_id bigint PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL, total_cents int NOT NULL,
                     placed_minute int NOT NULL, note text);
INSERT INTO orders SELECT i, i::bigint * 104729 % 4001, CASE WHEN i % 20 = 0 THEN 'open' ELSE 'shipped' END, i::bigint * 31607 % 5003, i,
                          repeat('x', 60)
    FROM generate_series(1, {ROWS}) i"""
WRITE = f"""INSERT INTO orders SELECT {ROWS} + i, i * 19 % 4001, 'open', i * 23 % 5003, {ROWS} + i, 'new' FROM generate_series(1, {BATCH}) i"""
READS = {
    "A": "SELECT order_id, total_cents FROM orders WHERE customer_id = 1234",
    "B": "SELECT count(note) FROM orders WHERE status = 'shipped'",
    "C": "SELECT order_id, placed_minute FROM orders WHERE total_cents BETWEEN 4000 AND 4009",
}
CANDIDATES = {"A": "customer_id", "B": "status", "C": "total_cents"}
SLACK = 1.1


@dataclass(frozen=True)
class Variant:
    """How often each read is asked for, and how many orders are written, both in a minute."""

    story: str
    a: int
    b: int
    c: int
    written: int

    @property
    def rates(self) -> dict[str, int]:
        return {"A": self.a, "B": self.b, "C": self.c}


VARIANTS = (
    Variant("A normal day: customers look at their orders, a report comes by now and then", 300, 1, 0, 2_000),
    Variant("An import night: nobody is awake, orders of another shop come in", 2, 1, 1, 60_000),
    Variant("The accountants are in the house, and compare prices all day", 0, 1, 400, 2_000),
    Variant("Customers and accountants at once", 300, 1, 300, 2_000),
    Variant("Black Friday: many look, still more buy", 40, 1, 1, 30_000),
    Variant("A quiet day: the dashboard counts, the accountants compare, few buy", 0, 60, 100, 500),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The orders, without any index but the key."""
    return Recipe("20,000 orders, unindexed", TABLES)


def brief(variant: Variant) -> str:
    rows = "\n".join(f"| {name} | `{sql}` | {variant.rates[name]:,} |" for name, sql in READS.items())
    return (
        f"{variant.story}. In one minute:\n\n| | read | times |\n|---|---|---|\n{rows}\n\nand {variant.written:,} orders are written. `orders` has {ROWS:,} rows and its primary "
        "key. An agent suggests an index for each read. Which of them do you grant? Hand in the `CREATE INDEX` statements, or the text `leave` to leave everything as it is. "
        f"What counts is the pages touched in a minute by all of it together; you may be a tenth above the best. "
        '`engine = practice("indexes-act")` gives you the table: `explain` prices a read, `measure` a write.'
    )


def accepts(answer: Any) -> str:
    if not isinstance(answer, str):
        return f"The answer is SQL as text, or the text 'leave'; this is {type(answer).__name__}."
    return "" if answer.strip() else "The answer is empty: write CREATE INDEX statements, or 'leave'."


def subsets(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """All subsets, the empty one first."""
    for size in range(len(names) + 1):
        yield from combinations(names, size)


def price(orders: Database) -> tuple[dict[str, float], float]:
    """Pages of each read, and pages of one written order, as this database is now."""
    reads = {name: float(explain(sql, orders.engine).buffers.value or 0) for name, sql in READS.items()}
    return reads, orders.measure(WRITE).buffers / BATCH


def total(prices: tuple[dict[str, float], float], variant: Variant) -> int:
    """Pages in a minute."""
    reads, write = prices
    return round(sum(variant.rates[name] * pages for name, pages in reads.items()) + variant.written * write)


@cache
def _priced(key: str) -> dict[tuple[str, ...], tuple[dict[str, float], float]]:
    """Every set of the agent's indexes, priced on a clone of its own; once a process, since the table is the same for all variants."""
    found = {}
    for chosen in subsets(tuple(CANDIDATES)):
        with database(recipe(VARIANTS[0])) as orders:
            for name in chosen:
                orders.run(f"CREATE INDEX ON orders ({CANDIDATES[name]})")
            found[chosen] = price(orders)
    return found


def best_of(variant: Variant) -> tuple[tuple[str, ...], int]:
    """The best set of the agent's indexes, and its pages in a minute."""
    priced = _priced(recipe(variant).key)
    chosen = min(priced, key=lambda names: (total(priced[names], variant), len(names)))
    return chosen, total(priced[chosen], variant)


def judge(answer: str, variant: Variant) -> Judgement:
    best, least = best_of(variant)
    with database(recipe(variant)) as orders:
        before = orders.catalog()
        if answer.strip().strip(".;'\"").lower() != "leave":
            orders.run(answer)
        after = orders.catalog()
        allowed = changes_allowed(
            before, after, {"index"}, question="Which reads can an index serve, and are they worth it?"
        )
        if not allowed.ok:
            return Judgement(0.0, (allowed,))
        created = [name for name in after.names("index") if name not in before.names("index")]
        prices = price(orders)
    mine, budget = total(prices, variant), round(least * SLACK)
    finding = within(mine, budget, prices, created, best, variant)
    return Judgement(float(finding.ok), (allowed, finding))


def within(
    mine: int,
    budget: int,
    prices: tuple[dict[str, float], float],
    created: list[str],
    best: tuple[str, ...],
    variant: Variant,
) -> Finding:
    reads, write = prices
    parts = ", ".join(f"{name} {variant.rates[name] * pages:,.0f}" for name, pages in reads.items())
    seen = f"{mine:,} pages in a minute: {parts}, writes {variant.written * write:,.0f}"
    if mine <= budget:
        return Finding(True, f"{seen}; at most {budget:,} were allowed.")
    expected = f"At most {budget:,} pages in a minute."
    if len(created) > len(best):
        return Finding(
            False, f"{seen}. {len(created)} index{'' if len(created) == 1 else 'es'} must be written with every order.", expected,
            "Which of them saves less than its writes cost, or is not used at all?", "always-wins",
        )  # fmt: skip
    if len(created) < len(best):
        missing = max(reads, key=lambda name: variant.rates[name] * reads[name])
        return Finding(
            False, f"{seen}. Read {missing} still costs {reads[missing]:,.0f} pages each time.", expected,
            f"What would read {missing} cost by an index, and what would the writes cost then?", "never-worth-it",
        )  # fmt: skip
    return Finding(
        False, f"{seen}. The index that you chose serves the wrong read.", expected,
        "Which read leaves out most rows, and is asked for most often?", "any-filter",
    )  # fmt: skip


EXERCISE = register(
    Exercise(
        id="indexes-act",
        lab="02_indexes",
        number=3,
        title="Three queries: act, or leave",
        kind="S",
        declares="value",
        points=3,
        core=True,
        minutes=9,
        answer="CREATE INDEX statements as text, or 'leave'",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "For each read: how many of the rows does it leave out? For each index: in how many of the minute's statements is it written?",
            lambda variant: "Price both sides. `explain(read, engine).buffers` before and after the index, times its rate; `measure(...)` of an insert before and after, times "
            f"{variant.written:,}. An index that the planner does not use saves nothing.",
            lambda variant: f"Write a table with one line for each read: rate x (pages before - pages after) against {variant.written:,} x the pages that one index adds to an insert (about two). Grant what is positive; if nothing is, hand in 'leave'.",
        ),
        judge=judge,
        why=lambda variant: (
            f"The best here: {' and '.join(CANDIDATES[name] for name in best_of(variant)[0]) or 'no index at all'}. Read B is never worth one: it wants nineteen rows in twenty, "
            "and reading all is the quickest way to them. For the others the rates decide: with other traffic the same index is a gain or a loss. Counted in pages on PostgreSQL 18; "
            "in WAL, or with full-page writes, an index weighs more."
        ),
        misconceptions={
            "always-wins": "An index always wins.",
            "never-worth-it": "Indexes are too dear where much is written.",
            "any-filter": "A column that is filtered by deserves an index.",
        },
    )
)  # fmt: skip
