"""Mend a query without touching the schema: the same row, a hundredth of the pages.

    WHERE order_id = 4711.0          the column is cast, row by row         ──▶ every page of the table
    WHERE order_id = 4711            the constant fits the column's type    ──▶ the height of the index, and one page

A primary key on `bigint` can only answer a comparison that stays in the key's own family of types. Each variant hides
the key from its index in another way, and asks for another order. The judge runs the answer on a clone in which the
order's status was changed first, and once more after a further change of which no verdict tells the value, so that a row typed
by hand does not pass. It measures a plain lookup beside it: its buffers, and two pages more, are the budget.

    >>> print(VARIANTS[0].suspect)
    SELECT order_id, status FROM orders WHERE order_id = 4711.0
"""

from __future__ import annotations

from dataclasses import dataclass

from workbook.engines import Result, database, shop
from workbook.errors import SqlError
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed
from workbook.plans import Plan, explain

SLACK_PAGES = 2
UNUSED = "The index that is needed exists already. What in the query keeps it from being used?"


@dataclass(frozen=True)
class Variant:
    """One order, and the predicate that hides it from the index."""

    order_id: int
    predicate: str
    origin: str

    @property
    def suspect(self) -> str:
        return f"SELECT order_id, status FROM orders WHERE {self.predicate}"


VARIANTS = (
    Variant(4711, "order_id = 4711.0", "the client sends every JSON number as a float"),
    Variant(815, "CAST(order_id AS text) = '815'", "the path parameter is text, and the agent made both sides text"),
    Variant(31337, "order_id + 0 = 31337", "a linter asked for an expression, and nobody knows why any more"),
    Variant(2024, "coalesce(order_id, 0) = 2024", "the agent was told to be careful with NULL"),
)


def brief(variant: Variant) -> str:
    return (
        f"This endpoint finds one order, and {variant.origin}:\n\n```sql\n{variant.suspect}\n```\n\n"
        "Write a query that returns the same row with the same two columns, and touches no more pages than a lookup by "
        "the primary key needs. No new index: the one that is needed is there."
    )


def judge(answer: str, variant: Variant) -> Judgement:
    with database(shop()) as shop_database:
        shop_database.run(f"UPDATE orders SET status = 'refunded' WHERE order_id = {variant.order_id}")
        shop_database.run("VACUUM orders")  # or a lookup visits the old version too, while any transaction may see it
        before = shop_database.catalog()
        wanted = shop_database.run(variant.suspect)
        lookup = explain(
            f"SELECT order_id, status FROM orders WHERE order_id = {variant.order_id}", shop_database.engine
        )
        got = shop_database.run(answer)
        untouched = changes_allowed(
            before, shop_database.catalog(), frozenset(), question=UNUSED, misconception="only-indexes-help"
        )
        if not untouched.ok or not got.columns:
            return Judgement(0.0, (not_a_query() if untouched.ok else untouched,))
        try:
            plan = explain(answer, shop_database.engine)
        except SqlError:
            return Judgement(0.0, (not_a_query(),))
        same = same_row(got, wanted)
        if same.ok:
            shop_database.run(f"UPDATE orders SET status = 'lost' WHERE order_id = {variant.order_id}")
            same = same if shop_database.run(answer).rows != got.rows else typed()
    findings = (same, few_pages(plan, lookup))
    return Judgement(1.0 if all(finding.ok for finding in findings) else 0.0, findings, (plan,))


def not_a_query() -> Finding:
    return Finding(False, "The answer is not one query that returns rows.", "One query, a SELECT.", UNUSED)


def same_row(got: Result, wanted: Result) -> Finding:
    if tuple(got.columns) == tuple(wanted.columns) and list(got.rows) == list(wanted.rows):
        return Finding(ok=True, seen="The row is the same, also after its status was changed.")
    return Finding(
        ok=False,
        seen=f"{len(got.rows)} row(s) with the columns {', '.join(got.columns) or 'none'}: {list(got.rows)[:2]}.",
        expected=f"{len(wanted.rows)} row(s) with the columns {', '.join(wanted.columns)}: {list(wanted.rows)[:2]} "
        "(its status was changed just before the check).",
        question="Which order is asked for, and where does its status come from?",
    )


def typed() -> Finding:
    return Finding(
        ok=False,
        seen="The row is the right one, and stays as it is when the order's status in the table is changed.",
        expected="A row that is read, not typed.",
        question="Where does your query take the status from?",
    )


def few_pages(plan: Plan, lookup: Plan) -> Finding:
    seen, budget = int(plan.buffers.value or 0), int(lookup.buffers.value or 0) + SLACK_PAGES
    if seen <= budget:
        return Finding(
            ok=True, seen=f"It touches {seen} pages; a lookup by the primary key touches {budget - SLACK_PAGES}."
        )
    return Finding(
        ok=False,
        seen=f"It touches {seen:,} pages.",
        expected=f"At most {budget} pages: a lookup by the primary key, and {SLACK_PAGES} to spare.",
        question="On which side of the equals sign does PostgreSQL have to compute something for every row?",
        misconception="index-sees-through",
    )


EXERCISE = register(
    Exercise(
        id="start-mend",
        lab="00_start",
        number=1,
        title="The same row, a hundredth of the pages",
        kind="S",
        declares="value",
        points=1,
        core=False,
        minutes=2,
        answer="one SELECT as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Which column does the primary key's index hold, and in which type?",
            lambda variant: (
                "An index on `order_id` holds bare values of `order_id`. Leave the column alone, and change the other side."
            ),
            lambda variant: f"Compare the bare column with a plain integer: `WHERE order_id = {variant.order_id}`.",
        ),
        judge=judge,
        why=lambda variant: (
            "The index holds `order_id` itself. A function, a cast or another type on the column's side makes a new value that no "
            "index holds, so every row is read and computed. On the constant's side the same work is done once."
        ),
        misconceptions={
            "index-sees-through": "An index on a column helps, whatever is computed from the column.",
            "only-indexes-help": "Only a new index can make a query faster.",
        },
    )
)
