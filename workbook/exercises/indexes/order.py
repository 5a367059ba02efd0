"""One index for an equality, a range and an order: which column comes second?

    (customer, minute)    one stretch of the index, in the right order      ──▶ stop after ten
    (customer, total)     one stretch, only what the range wants            ──▶ sort what is left
    (minute, customer)    every entry of the range, whoever's it is         ──▶ the range comes first, and pays for all

An equality in front pins one stretch of the index. Behind it there is room for one more column that the scan can use as a boundary or
as an order, not both; which of them is worth it follows from what each leaves out. Each variant decides otherwise. The judge makes the best of
the two candidates on a clone of its own and allows a quarter more pages than that one needs.

    >>> VARIANTS[0].best
    ('customer_id', 'placed_minute')

Source: PostgreSQL 18's manual, "Multicolumn Indexes" and "Indexes and ORDER BY". Left out: covering columns, which are another exercise.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbook.engines import Database, Recipe, database
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed
from workbook.plans import Plan, explain

ROWS = 60_000
TABLES = f"""CREATE TABLE orders (order_id bigint PRIMARY KEY, customer_id int, courier_id int, total_cents int,
                     placed_minute int, note text);
INSERT INTO orders SELECT i, (i::bigint * 104729 % 60013) % 300, (i::bigint * 15485863 % 60017) % 250,
                          i::bigint * 31607 % 5003, i::bigint * 7919 % {ROWS}, repeat('x', 60)
    FROM generate_series(0, {ROWS - 1}) i"""


@dataclass(frozen=True)
class Variant:
    """Who asks, the query's three parts, and the two columns that serve it best."""

    story: str
    equality: str
    range: str
    order: str
    limit: str
    best: tuple[str, str]
    because: str

    @property
    def query(self) -> str:
        ending = f" {self.limit}" if self.limit else ""
        return (
            f"SELECT order_id, total_cents, placed_minute FROM orders WHERE {self.equality} AND {self.range} ORDER BY {self.order}{ending}"
        )

    @property
    def equal_column(self) -> str:
        return self.equality.split()[0]


_ALIKE = "Range and order are the same column, so one column behind the equality is the boundary and the order at once."
_WIDE = "The range leaves nearly everything in, so it is not worth a place in the index. The order lets the scan stop after ten rows."
_NARROW = "Everything that the range lets through is wanted, and it leaves out nine in ten. To sort the few that remain costs no page."
VARIANTS = (
    Variant("A customer's next deliveries", "customer_id = 17", "placed_minute >= 54000", "placed_minute", "LIMIT 10", ("customer_id", "placed_minute"), _ALIKE),
    Variant("A customer's first orders, the very dear ones left out", "customer_id = 42", "total_cents < 4500", "placed_minute", "LIMIT 10", ("customer_id", "placed_minute"), _WIDE),
    Variant("All small orders of a customer, in the order of time", "customer_id = 99", "total_cents < 500", "placed_minute", "", ("customer_id", "total_cents"), _NARROW),
    Variant("What a courier took on the last day, dearest first", "courier_id = 7", "placed_minute >= 54000", "total_cents DESC", "", ("courier_id", "placed_minute"), _NARROW),
    Variant("A courier's ten dearest orders since the first day", "courier_id = 101", "placed_minute >= 6000", "total_cents DESC", "LIMIT 10", ("courier_id", "total_cents"), _WIDE),
    Variant("A courier's latest orders, the very small ones left out", "courier_id = 33", "total_cents >= 500", "placed_minute DESC", "LIMIT 10", ("courier_id", "placed_minute"), _WIDE),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The same 60,000 orders for every variant: what is asked of them decides."""
    return Recipe("60,000 orders with couriers", TABLES)


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}:\n\n```sql\n{variant.query}\n```\n\n"
        f"`orders` has {ROWS:,} rows: 300 customers, 250 couriers, totals from 0 to 5,002 and minutes from 0 to {ROWS - 1:,}, all spread evenly and "
        "independent of one another. Write the **one** `CREATE INDEX` that serves this query best. You may touch a quarter more pages than "
        'the best index of two columns does. `engine = practice("indexes-order")` gives you the table to try on.'
    )


def judge(answer: str, variant: Variant) -> Judgement:
    with database(recipe(variant)) as reference:
        reference.run(f"CREATE INDEX ON orders ({', '.join(variant.best)})")
        best = explain(variant.query, reference.engine)
        wanted = reference.run(variant.query).rows
    with database(recipe(variant)) as orders:
        before = orders.catalog()
        orders.run(answer)
        after = orders.catalog()
        allowed = changes_allowed(before, after, {"index"})
        created = [name for name in after.names("index") if name not in before.names("index")]
        if not allowed.ok or len(created) != 1:
            return Judgement(0.0, (allowed if not allowed.ok else one_index(len(created)),))
        same = orders.run(variant.query).rows == wanted
        plan = explain(variant.query, orders.engine)
        columns = leading_columns(orders, created[0])
    if not same:
        return Judgement(0.0, (Finding(False, "The query gives other rows than before.", "The same rows, by fewer pages.", "What else did the answer change?"),))
    budget = int((best.buffers.value or 0) * 1.25)
    finding = within_budget(plan, budget, created[0], columns, variant)
    return Judgement(float(finding.ok), (allowed, finding), (plan,))


def leading_columns(orders: Database, index: str) -> list[str]:
    """The key columns of an index, as the catalog has them."""
    sql = f"""SELECT pg_get_indexdef(i.indexrelid, k, true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid,
              generate_series(1, i.indnkeyatts) k WHERE c.relname = '{index.replace("'", "''")}' ORDER BY k"""
    return [str(row[0]).split()[0] for row in orders.cluster.admin(sql, orders.name)]


def one_index(count: int) -> Finding:
    if count == 0:
        return Finding(False, "The answer makes no index.", "One CREATE INDEX.", "Which column of the query is compared with a single value?")
    return Finding(
        False, f"The answer makes {count} indexes.", "One: every write pays for each of them.",
        "Which one column behind the equality would make the others needless?", "one-per-column",
    )  # fmt: skip


def within_budget(plan: Plan, budget: int, index: str, columns: list[str], variant: Variant) -> Finding:
    pages, scan = int(plan.buffers.value or 0), plan.find(relation="orders")[0]
    seen = f"It touches {pages:,} pages"
    if pages <= budget:
        return Finding(True, f"{seen}, within the {budget:,} allowed.")
    expected = f"At most {budget:,} pages."
    first, removed = columns[0] if columns else "?", f"{scan.rows_removed} rows were read and thrown away"
    if index not in {node.index for node in plan.nodes()}:
        return Finding(
            False, f"{seen}: PostgreSQL does not use your index on ({', '.join(columns)}) at all.", expected,
            "Which stretch of your index would hold just the rows of this query?", "not-used",
        )  # fmt: skip
    if first != variant.equal_column:
        return Finding(
            False, f"{seen}: your index begins with {first}, so the scan walks over entries of everybody.", expected,
            f"How long is the stretch of the index in which `{variant.equality}` holds, if {first} comes first?", "most-selective-first",
        )  # fmt: skip
    if len(columns) == 1:
        return Finding(
            False, f"{seen}: the index finds every row of `{variant.equality}`, and each is fetched from the table; {removed}.", expected,
            "What more could the index know, so that most of these rows are never fetched?", "equality-is-enough",
        )  # fmt: skip
    if any("Sort" in node.kind for node in plan.nodes()):
        return Finding(
            False, f"{seen}: all rows of the range are fetched and sorted before the first one is returned ({columns[1]} is second).", expected,
            "How many rows does the range leave in, and how many does the query return?", "range-before-order",
        )  # fmt: skip
    return Finding(
        False, f"{seen}: the rows come in the right order, but {removed} ({columns[1]} is second).", expected,
        "How many of the rows of the equality does the range let through, and does the query stop early?", "order-is-free",
    )  # fmt: skip


EXERCISE = register(
    Exercise(
        id="indexes-order",
        lab="02_indexes",
        number=1,
        title="One index for an equality, a range and an order",
        kind="S",
        declares="value",
        points=3,
        core=True,
        minutes=8,
        answer="one CREATE INDEX as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Think of the index as a sorted list of pairs. In which order of the two columns do the rows of this query stand side by side?",
            lambda variant: f"The equality comes first: it pins one stretch, that of `{variant.equality}`. Behind it, is it worth more to leave rows out, or to have them in order? Count: how many rows does the range let through, and how many does the query return?",
            lambda variant: f"`CREATE INDEX ON orders ({variant.equal_column}, ...)`. {variant.because}",
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} It would be otherwise with another LIMIT, another share of rows in the range, or a table so small that all of it is read "
            "anyway. Among several equalities the order makes no difference; it is the range that must come behind them. Measured on PostgreSQL 18, whose skip scan "
            "does not help here: it would have to skip through hundreds of values."
        ),
        misconceptions={
            "most-selective-first": "The most selective column comes first.",
            "one-per-column": "One index a column is enough: PostgreSQL combines them.",
            "equality-is-enough": "An index on the equality is enough.",
            "range-before-order": "A range always belongs into the index before the order.",
            "order-is-free": "An index that gives the order is always the best one.",
            "not-used": "An index is used because its columns occur in the query.",
        },
    )
)  # fmt: skip
