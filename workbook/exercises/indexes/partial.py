"""The smallest partial index that serves three queries.

    what the queries ask     A ⊂ P,  B ⊂ P,  C ⊂ P      the index holds P, and PostgreSQL can prove each ⊂ while it plans
    too narrow               C ⊄ P                       C reads the whole table
    too wide                 P = everything              all three are quick, and every row is written into it

A partial index serves a query only if the query's own WHERE implies the index's: from the texts, without a look at the data. So
it does not serve 'any filter', and not the same filter in other words either. The judge runs each query with three sets of
values, of which one is shown, and weighs the index.

    >>> len({variant.index for variant in VARIANTS}) == len(VARIANTS)
    True

Source: PostgreSQL 18's manual, "Partial Indexes"; src/backend/optimizer/util/predtest.c. Left out: prepared statements, whose generic
plan does not know the value, and partial unique indexes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.engines import Recipe
from workbook.exercises.trial import Trial, allowed, kilobytes, pages_of, tried, whole
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.plans import Plan

ROWS = 40_000
BYTES_MARGIN = 1.15
TABLES = f"""CREATE TABLE orders (
    order_id bigint PRIMARY KEY, customer_id int NOT NULL, courier_id int NOT NULL, status text NOT NULL, country text NOT NULL,
    placed_minute int NOT NULL, shipped_minute int, total_cents int NOT NULL, coupon text
);
INSERT INTO orders
    SELECT i, i % 40009 * 104729 % 600 + 1, i * 86028121 % 39989 * 49979687 % 150 + 1,
        coalesce((ARRAY['open', 'packed', 'returned', 'returned', 'returned', 'returned'])[i * 15485863 % 39979 * 32452843 % 20 + 1], 'done'),
        (ARRAY['AT', 'BE', 'CH', 'DE', 'FR', 'IT', 'NL', 'PL'])[i * 67867967 % 39971 * 15487469 % 8 + 1],
        i * 179424673 % 39953 * 7907 % 43200, CASE WHEN i * 122949823 % 39937 * 7919 % 12 > 0 THEN 43200 END,
        i * 15485863 % 39929 * 49979687 % 100000, CASE WHEN i % 20 = 11 THEN 'C-' || i * 7919 % 2003 END
    FROM (SELECT generate_series(1::bigint, {ROWS}) AS i) AS numbers"""


@dataclass(frozen=True)
class Variant:
    """Three queries with a parameter each, the values that are shown and two further sets, the reference's index, one index that
    is too narrow for one of them and one that is quick and too wide."""

    story: str
    queries: tuple[str, str, str]
    values: tuple[Mapping[str, Any], ...]
    index: str
    narrow: str
    wide: str
    because: str

    __hash__ = object.__hash__


VARIANTS = (
    Variant(
        "The support desk looks at what a customer still waits for",
        (
            "SELECT order_id, total_cents FROM orders WHERE customer_id = :customer AND status = 'open'",
            "SELECT order_id, status FROM orders WHERE customer_id = :customer AND status IN ('open', 'packed')",
            "SELECT count(total_cents) FROM orders WHERE status = 'packed' AND customer_id BETWEEN :customer AND :customer + 3",
        ),
        ({"customer": 71}, {"customer": 177}, {"customer": 24}),
        "orders (customer_id) WHERE status IN ('open', 'packed')",
        "orders (customer_id) WHERE status = 'open'",
        "orders (customer_id) WHERE status <> 'done'",
        "`status = 'packed'` implies the list, and so does the list itself. `status <> 'done'` is implied, too, but holds the returned ones, whom nobody asks for.",
    ),
    Variant(
        "Large orders are insured, and the couriers' insurer asks for them",
        (
            "SELECT order_id, total_cents FROM orders WHERE courier_id = :courier AND total_cents > 95000",
            "SELECT order_id, country FROM orders WHERE total_cents >= 90000 AND courier_id = :courier",
            "SELECT count(*) FROM orders WHERE courier_id IN (:courier, :courier + 1) AND total_cents BETWEEN 90000 AND 92000",
        ),
        ({"courier": 33}, {"courier": 140}, {"courier": 5}),
        "orders (courier_id, total_cents) WHERE total_cents >= 90000",
        "orders (courier_id, total_cents) WHERE total_cents > 90000",
        "orders (courier_id, total_cents)",
        "From `> 95000` and from `BETWEEN 90000 AND ...` follows `>= 90000`; from `>= 90000` does not follow `> 90000`, for one single value.",
    ),
    Variant(
        "The warehouse works off what has not been shipped",
        (
            "SELECT order_id, placed_minute FROM orders WHERE shipped_minute IS NULL ORDER BY placed_minute LIMIT 20",
            "SELECT order_id, customer_id FROM orders WHERE shipped_minute IS NULL AND placed_minute BETWEEN :minute AND :minute + 200",
            "SELECT count(*) FROM orders WHERE placed_minute < :minute AND shipped_minute IS NULL",
        ),
        ({"minute": 3000}, {"minute": 1200}, {"minute": 4100}),
        "orders (placed_minute) WHERE shipped_minute IS NULL",
        "orders (placed_minute) WHERE shipped_minute IS NULL AND placed_minute < 3200",
        "orders (shipped_minute, placed_minute)",
        "All three say `shipped_minute IS NULL`, and the order by time stands in the key. With the column in the key instead, all shipped orders are in the index, too.",
    ),
    Variant(
        "One order in twenty carries a coupon, and marketing looks at coupons only",
        (
            "SELECT order_id, customer_id FROM orders WHERE coupon = :coupon",
            "SELECT order_id, total_cents FROM orders WHERE coupon IN (:coupon, 'C-1000', 'C-17')",
            "SELECT count(*) FROM orders WHERE coupon > :coupon AND coupon < :coupon || '9'",
        ),
        ({"coupon": "C-100"}, {"coupon": "C-77"}, {"coupon": "C-150"}),
        "orders (coupon) WHERE coupon IS NOT NULL",
        "orders (coupon) WHERE coupon LIKE 'C-1%'",
        "orders (coupon)",
        "`=`, `IN` and `<` are never true for NULL, and PostgreSQL knows it: each of them implies `coupon IS NOT NULL`. Without the WHERE, nineteen entries in twenty are NULLs.",
    ),
    Variant(
        "The Swiss branch asks for its customers' later orders",
        (
            "SELECT order_id, total_cents FROM orders WHERE country = 'CH' AND customer_id = :customer AND placed_minute >= 30000",
            "SELECT order_id, status FROM orders WHERE country = 'CH' AND customer_id IN (:customer, :customer + 1) AND placed_minute > 36000",
            "SELECT count(*) FROM orders WHERE customer_id BETWEEN :customer AND :customer + 9 AND country = 'CH' AND placed_minute >= 30000",
        ),
        ({"customer": 300}, {"customer": 41}, {"customer": 555}),
        "orders (customer_id) WHERE country = 'CH' AND placed_minute >= 30000",
        "orders (customer_id) WHERE country = 'CH' AND placed_minute > 36000",
        "orders (customer_id, placed_minute) WHERE country = 'CH'",
        "All three imply both conditions, so both may stand in the index, and neither column in its key.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    pages: tuple[int, ...]
    bytes: int
    entries: int


def recipe(variant: Variant) -> Recipe:
    """40,000 orders and their primary key: the same for all variants."""
    return Recipe("40,000 orders, few of them open", TABLES)


def plans(trial: Trial, variant: Variant) -> list[list[Plan]]:
    """For each query, its plans with the three sets of values."""
    return [[trial.plan(query, used(query, values)) for values in variant.values] for query in variant.queries]


def used(query: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in values.items() if f":{name}" in query}


@cache
def budget(variant: Variant) -> Budget:
    """What the reference's index costs on a clone, and something to spare."""
    with tried(recipe(variant), f"CREATE INDEX ON {variant.index}") as trial:
        pages = tuple(3 + sum(allowed(pages_of(plan)) for plan in three) for three in plans(trial, variant))
        return Budget(pages, int(trial.bytes() * BYTES_MARGIN) + 8192, entries(trial))


def entries(trial: Trial) -> int:
    """How many rows the new index holds."""
    index = trial.names[0].replace('"', '""')
    return int(trial.database.run(f"SELECT reltuples FROM pg_class WHERE oid = '\"{index}\"'::regclass").rows[0][0])


def judge(answer: str, variant: Variant) -> Judgement:
    wanted = budget(variant)
    with tried(recipe(variant), answer) as trial:
        if trial.refused:
            return Judgement(0.0, (trial.refused,))
        if len(trial.made) != 1:
            return Judgement(0.0, (not_one(len(trial.made)),))
        found, size, held = plans(trial, variant), trial.bytes(), entries(trial)
        bare = " WHERE " not in str(trial.made[0].after)
    served = [served_by(three, number, wanted, bare) for number, three in enumerate(found)]
    weight = small(size, held, wanted)
    findings = (*served, weight) if weight.ok else (weight, *served)
    over = [three for three, finding in zip(found, served, strict=True) if not finding.ok]
    return Judgement(whole(*findings), findings, tuple(max(three, key=pages_of) for three in over[:1]))


def not_one(count: int) -> Finding:
    return Finding(
        False, f"The answer creates {count} indexes." if count else "The answer creates no index.", "One index for all three queries.",
        "Which rows may each of the queries want, and which rows may none of them want?", "one-each" if count else "",
    )  # fmt: skip


def served_by(three: list[Plan], number: int, wanted: Budget, bare: bool) -> Finding:
    name, pages = f"Query {'ABC'[number]}", sum(pages_of(plan) for plan in three)
    if pages <= wanted.pages[number]:
        return Finding(
            True, f"{name} touches {pages:,} pages in three calls, within the {wanted.pages[number]:,} allowed."
        )
    expected = f"At most {wanted.pages[number]:,} pages in three calls of {name[0].lower() + name[1:]}."
    scanned = [plan for plan in three if plan.find(kind="Seq Scan")]
    if scanned and len(scanned) < len(three):
        return Finding(
            False, f"{name} touches {pages:,} pages: with some values it goes by the index, with others it reads the whole table.", expected,
            "Which values of its parameter does your WHERE leave out?", "one-value",
        )  # fmt: skip
    if scanned:
        return Finding(
            False, f"{name} touches {pages:,} pages: it reads the whole table, as if there were no index.", expected,
            "Does every row that it wants stand in the index, and does that follow from the text of its WHERE alone?", "any-filter",
        )  # fmt: skip
    scan = max(three, key=pages_of).find(relation="orders")[0]
    if bare and (scan.rows_removed.value or 0) > (scan.rows.value or 0):
        return Finding(
            False, f"{name} touches {pages:,} pages: {scan.rows_removed} rows are found by the index, fetched, and thrown away.", expected,
            "Which condition is checked only after a row is fetched, and where in the index could it stand without a place in the key?", "filter-later",
        )  # fmt: skip
    return Finding(
        False, f"{name} touches {pages:,} pages, though it goes by the index.", expected,
        "Which entries of the index does it pass that it does not want, and which column would have to come first?", "where-is-enough",
    )  # fmt: skip


def small(size: int, held: int, wanted: Budget) -> Finding:
    if size <= wanted.bytes:
        return Finding(True, f"The index takes {kilobytes(size)}, within the {kilobytes(wanted.bytes)} allowed.")
    question, misconception = "Which rows in it can none of the three queries want?", "whole-is-safe"
    if held <= wanted.entries:
        question = "It holds the right rows. What does it hold of each of them that no query needs it to?"
        misconception = "columns-are-free"
    seen = f"The index takes {kilobytes(size)} for {held:,} rows."
    return Finding(False, seen, f"At most {kilobytes(wanted.bytes)}.", question, misconception)


def brief(variant: Variant) -> str:
    queries = "\n".join(f"{query};   -- {'ABC'[number]}" for number, query in enumerate(variant.queries))
    name, value = next(iter(variant.values[0].items()))
    return (
        f"{variant.story}:\n\n```sql\n{queries}\n```\n\n`orders` has {ROWS:,} rows and its primary key alone:\n\n```sql\n{TABLES.split(';')[0]};\n```\n\n"
        f"Create **one** index that serves all three, with any value of `:{name}` (the judge takes {value!r} and two others), and that is **no larger than it must be**. "
        'Try it on `engine = practice("indexes-partial")`.'
    )


EXERCISE = register(
    Exercise(
        id="indexes-partial",
        lab="02_indexes",
        number=9,
        title="The smallest index that serves three queries",
        kind="S",
        declares="value",
        points=3,
        core=False,
        minutes=8,
        answer="one CREATE INDEX statement as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Write down, for each query, which rows it can ever want. Which rows want none of the three?",
            lambda variant: "An index may have a WHERE. It is used only by a query whose own WHERE implies it, as a proof from the texts. What is the strictest condition that "
            "all three imply?",
            lambda variant: f"The condition is `WHERE {variant.index.split('WHERE ')[1]}`. What the queries compare with a parameter, or order by, stands in the key.",
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} PostgreSQL proves it while it plans, from constants: a prepared statement that hides one of them in a parameter loses the index with "
            "its generic plan. SQL Server has such indexes, too; MySQL has none."
        ),
        misconceptions={
            "any-filter": "A partial index serves any filter on its columns.",
            "one-value": "An index made for the values of the example serves all others.",
            "where-is-enough": "The WHERE of an index finds the rows; what stands in its key does not matter.",
            "whole-is-safe": "An index of all rows costs no more than one of some.",
            "columns-are-free": "A column more or less in an index makes no difference.",
            "filter-later": "What an index does not know can be checked in the row for nothing.",
            "one-each": "Each query gets an index of its own.",
        },
    )
)  # fmt: skip
