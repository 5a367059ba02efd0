"""No DDL: the index is there, and the query is written so that it cannot be used.

    WHERE placed_at::date = '2024-03-05'        a new value for each row, which no index holds
    WHERE placed_at >= '2024-03-05' AND ...     a stretch of the index

    OFFSET 20000 LIMIT 10                       reads twenty thousand rows to throw them away
    WHERE (placed_at, order_id) < (...)         goes on where the last page ended

Each variant hides a column in another way. The judge compares the rows on a copy where it changed their status, added orders like the first
and the last of them and, where pages are turned, took one away that the reader has seen, at last the very one behind which the page begins: rows typed by hand, boundaries read off the
result and counted rows do not pass. Since what a verdict tells of the rows can be typed as well, it changes the copy once more, and of those rows tells nothing.
It runs the query once more with the indexes switched off, since an order that only a plan brings is none.
Pages are counted on another copy, where nothing was changed, beside those of a query that it knows to be good: a quarter more are allowed, and
two to spare. Many orders share a total or a minute, so that it matters on which side of a boundary they are.

    >>> len({variant.slow for variant in VARIANTS}) == len(VARIANTS)
    True

Source: Markus Winand, Use The Index, Luke, "The Where Clause" and "Partial Results"; PostgreSQL 18's manual, "Row-wise comparison".
Left out: indexes on expressions, which mend some of these from the other side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbook.engines import Database, Recipe, Result, database
from workbook.engines.running import split
from workbook.exercises.trial import fingerprint
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed, same_rows
from workbook.plans import Plan, explain

ROWS = 60_000
TABLES = f"""CREATE TABLE orders (order_id bigint PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL,
                     total_cents int NOT NULL, placed_at timestamptz NOT NULL, note text);
INSERT INTO orders SELECT i, i::bigint * 104729 % 6007, 'shipped', i::bigint * 31607 % 50021 / 5 * 5,
                          timestamptz '2024-01-01 00:00:00+00' + i / 4 * interval '12 minutes', repeat('x', 60)
    FROM generate_series(1, {ROWS}) i;
CREATE INDEX orders_placed_at ON orders (placed_at, order_id);
CREATE INDEX orders_total ON orders (total_cents, order_id);
CREATE INDEX orders_customer ON orders (customer_id)"""
COLUMNS = "order_id, status, total_cents"
TIES = "Which of two orders with the same total or time comes first, and where does the query say so?"
WITHOUT_INDEXES = "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off"


@dataclass(frozen=True)
class Variant:
    """A slow query, a good one, what the brief adds, why the slow one is slow, and what an index on its `expression` would do.
    `narrow` is a near miss that returns other rows; `seen` and `last`, where pages are turned, are orders of the page before: the last one, and one that shares its place."""

    story: str
    slow: str
    good: str
    narrow: str
    because: str
    more: str = ""
    expression: str = ""
    seen: int = 0
    last: int = 0

    @property
    def paging(self) -> bool:
        return self.seen > 0


ZONED = "PostgreSQL takes no index on this expression: its value depends on the session's time zone."

VARIANTS = (
    Variant(
        "The orders of a day",
        f"SELECT {COLUMNS} FROM orders WHERE placed_at::date = '2024-03-05' ORDER BY placed_at, order_id",
        f"SELECT {COLUMNS} FROM orders WHERE placed_at >= '2024-03-05' AND placed_at < '2024-03-06' ORDER BY placed_at, order_id",
        f"SELECT {COLUMNS} FROM orders WHERE placed_at BETWEEN '2024-03-05' AND '2024-03-06' ORDER BY placed_at, order_id",
        "The cast makes a date of every row's time, and the index holds times. A day is a stretch of times: from its midnight up to the next, which does not belong to it.",
        "The session's time zone is UTC.",
        ZONED,
    ),
    Variant(
        "Page 2,001 of the archive, newest first",
        f"SELECT {COLUMNS} FROM orders ORDER BY placed_at DESC, order_id DESC OFFSET 20000 LIMIT 10",
        f"SELECT {COLUMNS} FROM orders WHERE (placed_at, order_id) < ('2024-03-24 08:00:00+00', 40001) ORDER BY placed_at DESC, order_id DESC LIMIT 10",
        f"SELECT {COLUMNS} FROM orders WHERE (placed_at, order_id) <= ('2024-03-24 08:00:00+00', 40001) ORDER BY placed_at DESC, order_id DESC LIMIT 10",
        "OFFSET reads all that it skips. The reader has just seen the page before: where that ended is a place in the index, and the next page begins right behind it.",
        "The page before ended with the order 40001, placed at `2024-03-24 08:00:00+00`; write both into the query as literals. Orders come and go while somebody reads: "
        "the page must begin right behind that place, whatever became of that order and of those before it.",
        seen=40003,
        last=40001,
    ),
    Variant(
        "Orders of forty-nine euros and some cents",
        f"SELECT {COLUMNS} FROM orders WHERE total_cents / 100 = 49 ORDER BY total_cents, order_id",
        f"SELECT {COLUMNS} FROM orders WHERE total_cents >= 4900 AND total_cents < 5000 ORDER BY total_cents, order_id",
        f"SELECT {COLUMNS} FROM orders WHERE total_cents BETWEEN 4900 AND 5000 ORDER BY total_cents, order_id",
        "The division is done for each row, and its result stands in no index. Integer division cuts off, so that forty-nine euros are the cents from 4,900 up to, not including, 5,000.",
        expression="An index on the expression would mend it too, and cost every write.",
    ),
    Variant(
        "The orders that are still within their week of return on the 29th of April",
        f"SELECT {COLUMNS} FROM orders WHERE placed_at + interval '7 days' > '2024-04-29 12:00:00+00' ORDER BY placed_at, order_id LIMIT 20",
        f"SELECT {COLUMNS} FROM orders WHERE placed_at > timestamptz '2024-04-29 12:00:00+00' - interval '7 days' ORDER BY placed_at, order_id LIMIT 20",
        f"SELECT {COLUMNS} FROM orders WHERE placed_at >= timestamptz '2024-04-29 12:00:00+00' - interval '7 days' ORDER BY placed_at, order_id LIMIT 20",
        "The sum is made for each row. Taken to the other side of the comparison it is made once, and the bare column is left: a place in the index.",
        expression=ZONED,
    ),
    Variant(
        "A customer's orders, whose number the client sends as a JSON number",
        f"SELECT {COLUMNS} FROM orders WHERE customer_id = 4711.0 ORDER BY order_id",
        f"SELECT {COLUMNS} FROM orders WHERE customer_id = 4711 ORDER BY order_id",
        f"SELECT {COLUMNS} FROM orders WHERE customer_id >= 4711 AND customer_id <= 4712 ORDER BY order_id",
        "`4711.0` is a decimal number, so that every row's integer is made one, too, before the two are compared. The types of a parameter and its column must agree, and it is the client's code that decides it.",
        expression="(SQLite and MySQL make the constant an integer and use the index: there the same code is quick.)",
    ),
    Variant(
        "Page 1,102 of the price list, by rising total",
        f"SELECT {COLUMNS} FROM orders ORDER BY total_cents, order_id OFFSET 22020 LIMIT 20",
        f"SELECT {COLUMNS} FROM orders WHERE (total_cents, order_id) > (18355, 32037) ORDER BY total_cents, order_id LIMIT 20",
        f"SELECT {COLUMNS} FROM orders WHERE (total_cents, order_id) >= (18355, 32037) ORDER BY total_cents, order_id LIMIT 20",
        "OFFSET reads all that it skips. The reader has just seen the page before: where that ended is a place in the index, and the next page begins right behind it.",
        "The page before ended with the order 32037, whose total is 18355; write both into the query as literals. Orders come and go while somebody reads: "
        "the page must begin right behind that place, whatever became of that order and of those before it.",
        seen=28655,
        last=32037,
    ),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The orders and their three indexes."""
    return Recipe("60,000 orders, well indexed", TABLES)


def brief(variant: Variant) -> str:
    more = f" {variant.more}" if variant.more else ""
    return (
        f"{variant.story}:\n\n```sql\n{variant.slow}\n```\n\n"
        f"`orders` has {ROWS:,} rows and indexes on `(placed_at, order_id)`, `(total_cents, order_id)` and `(customer_id)`.{more} "
        "Write **one query** that returns the same rows with the same columns in the same order, and touches only the pages that it needs. No DDL. "
        '`engine = practice("indexes-rewrite")` gives you the table to try on.'
    )


def judge(answer: str, variant: Variant) -> Judgement:
    with database(recipe(variant)) as orders:
        change(orders, variant)
        # A page begins behind an order, whatever was taken away before it; OFFSET would count that.
        wanted = orders.run(variant.good if variant.paging else variant.slow)
        before, rows = orders.catalog(), fingerprint(orders, ["orders"])
        got = orders.run(answer)
        untouched = changes_allowed(
            before,
            orders.catalog(),
            frozenset(),
            question="The index is there. What in the query keeps it from being used?",
            misconception="only-indexes",
        )
        if not untouched.ok:
            return Judgement(0.0, (untouched,))
        if fingerprint(orders, ["orders"]) != rows:
            return Judgement(0.0, (writes(),))
        if len(split(answer)) > 1:
            return Judgement(0.0, (one_statement(),))
        same = rows_of(got, wanted, variant)
        if list(got.columns) != list(wanted.columns):
            return Judgement(0.0, (same,))
        if same.ok and orders.run(f"{WITHOUT_INDEXES}; {answer}").rows != wanted.rows:
            same = by_luck()
        if same.ok:
            change(orders, variant, turn=2)
            if orders.run(answer).rows != orders.run(variant.good).rows:
                same = by_heart()
        if same.ok and variant.paging:
            orders.run(f"DELETE FROM orders WHERE order_id = {variant.last}")
            got = orders.run(answer)
            if got.rows != orders.run(variant.good).rows:
                same = by_the_last(variant, len(got.rows))
    with database(recipe(variant)) as orders:
        good = explain(variant.good, orders.engine)
        plan = explain(answer, orders.engine)
    pages = few_pages(plan, int((good.buffers.value or 0) * 1.25) + 2, variant)
    first, second = (pages, same) if variant.paging else (same, pages)
    return Judgement(float(same.ok and pages.ok), (first, second) if first.ok else (first,), (plan,))


def change(orders: Database, variant: Variant, turn: int = 1) -> None:
    """Another status for the rows that are wanted, one more order like two of them, and one less of the page before; the new orders' numbers are others at each turn."""
    ids = [str(row[0]) for row in orders.run(variant.good).rows]
    orders.run(
        f"UPDATE orders SET status = 'returned' WHERE order_id IN ({', '.join(ids)}); DELETE FROM orders WHERE order_id = {variant.seen}; "
        f"INSERT INTO orders SELECT order_id + {turn * (ROWS + turn - 1)}, customer_id, 'paid', total_cents, placed_at, note FROM orders "
        f"WHERE order_id IN ({ids[1 if variant.paging else 0]}, {ids[-1]})"
    )


def writes() -> Finding:
    return Finding(
        False, "The answer changed rows of the table.", "A query that reads, and nothing else.",
        "What would the next reader of that page see?",
    )  # fmt: skip


def by_luck() -> Finding:
    return Finding(
        ok=False,
        seen="Under another plan, without the index, the same rows come in another order.",
        expected="An order that is asked for down to the last tie, so that no plan can change it.",
        question=TIES,
        misconception="order-by-luck",
    )


def by_heart() -> Finding:
    return Finding(
        False, "Later that day a few more orders like those had come, with numbers of their own; then the query returned other rows than are right.",
        "The right rows, whichever orders there are.", "Which numbers stand in your query: those that the task names, or those that the rows had today?", "right-today",
    )  # fmt: skip


def by_the_last(variant: Variant, count: int) -> Finding:
    return Finding(
        False, f"Then the order {variant.last} itself was deleted, and the query returned {count} row{'' if count == 1 else 's'}, which are not the next page.",
        "The page behind the place where that order stood.", "From where does your query know that place, once the order is gone?", "seen-stays",
    )  # fmt: skip


def one_statement() -> Finding:
    return Finding(False, "The answer is more than one statement.", "One query.", "Which of them returns the rows?")


def rows_of(got: Result, wanted: Result, variant: Variant) -> Finding:
    """The same rows in the same order; a row that is typed by hand still has the old status."""
    if list(got.columns) != list(wanted.columns):
        return same_rows(got, wanted, names=True, question="Which columns does the client read?")
    if sorted(got.rows) == sorted(wanted.rows):
        return same_rows(got, wanted, ordered=True, names=True, question=TIES, misconception="order-by-luck")
    same = same_rows(
        got,
        wanted,
        ordered=True,
        names=True,
        question="Which order stands right behind the last one seen? Would your page still begin with it, had an order before it been taken away?"
        if variant.paging
        else "At which end of the stretch does your query part from the old one?",
        misconception="boundary",
    )
    typed = (
        len(got.rows) == len(wanted.rows)
        and len(got.columns) == 3
        and [row[0] for row in got.rows] == [row[0] for row in wanted.rows]
    )
    if same.ok or not typed:
        return same
    return Finding(
        False, "The orders are right, but their status is not the one in the table (it was changed just before the check).",
        "Rows that are read, not typed.", "Where does your query take the status from?",
    )  # fmt: skip


def few_pages(plan: Plan, budget: int, variant: Variant) -> Finding:
    pages, scan = int(plan.buffers.value or 0), plan.find(relation="orders")[0]
    if pages <= budget:
        return Finding(True, f"It touches {pages:,} pages, within the {budget:,} allowed.")
    if variant.paging and (scan.rows_removed.value or 0) > (scan.rows.value or 0):
        question, misconception = (
            "The query knows where the page before ended, and still every order before it is read and thrown away. Which comparison of the pair "
            "as one would give the index a place to begin?",
            "pair-by-parts",
        )
    elif variant.paging:
        question, misconception = (
            "How many rows are read before the first one that is returned, and what does the reader know that the query does not use?",
            "offset-is-free",
        )
    else:
        question, misconception = (
            "What is computed for every row here, and could it be computed once, on the other side?",
            "the-index-sees-through",
        )
    seen = f"It touches {pages:,} pages: {scan.kind}, with {scan.rows.value or 0:,.0f} rows returned and {scan.rows_removed.value or 0:,.0f} thrown away."
    return Finding(False, seen, f"At most {budget:,} pages.", question, misconception)


def second_hint(variant: Variant) -> str:
    if variant.paging:
        return "Do not count rows to skip. Say where to begin: behind the last row of the page before, in the order of the index, compared as a pair."
    return "Leave the column bare on one side, and put whatever is computed, cast or rounded on the other, where it is done once."


def third_hint(variant: Variant) -> str:
    ends = re.sub(r"'[^']*'|\b\d+(?:\.\d+)?\b", "?", variant.good.split("FROM orders")[1].strip())
    return f"It ends like this, with values in place of the question marks: `{ends}`"


def why(variant: Variant) -> str:
    if variant.paging:
        return (
            f"{variant.because} And since it does not count, nobody misses an order or sees one twice when others come and go. "
            "PostgreSQL and SQLite begin at a pair in the index; write the parts with OR, and PostgreSQL begins at its start. (MySQL knows the comparison, too, but may use the parts better: ask its EXPLAIN.)"
        )
    return f"{variant.because} {variant.expression}"


EXERCISE = register(
    Exercise(
        id="indexes-rewrite",
        lab="02_indexes",
        number=2,
        title="No DDL: let the index be used",
        kind="S",
        declares="value",
        points=3,
        core=True,
        minutes=7,
        answer="one SELECT as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Run `explain` on the old query. Is there an index condition, or only a filter? Which side of it is no bare column?" if not variant.paging else "Run `explain` on the old query. How many rows does the scan return, and how many does the query?",
            second_hint,
            third_hint,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "only-indexes": "Only a new index makes a query faster.",
            "boundary": "A boundary more or less makes no difference.",
            "offset-is-free": "OFFSET is free: the rows are not returned.",
            "the-index-sees-through": "The index sees through a function or a cast.",
            "pair-by-parts": "A pair is compared part by part, with AND and OR, and the index follows.",
            "seen-stays": "What the reader has seen is still there.",
            "right-today": "A query that returns the right rows today is right.",
            "order-by-luck": "Rows that come in the right order were asked for in that order.",
        },
    )
)  # fmt: skip
