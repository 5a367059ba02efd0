"""One index for an equality, a range and an order: which column goes where?

    (country, placed, total)                         (country, total, placed)
    CH │ 43199 │  5120 ✗   read backwards,           CH │  5120 │ ...
       │ 43198 │ 97300 ✓   stop after 20                │ 95000 │ 12 ─┐ one slice with every match,
       │ 43190 │ 99100 ✓                                │   ... │     │ fetched and sorted
       └ the order is there already                     └ 99999 ──────┘

A B-tree can be entered at one place and read from there. Columns compared by equality come first, in any order: they choose
the place. Behind them comes either the column of the order, so that a LIMIT may stop the reading, or that of the
range, so that the slice is short; which of the two saves more is a matter of how many rows the range keeps. A list (IN)
is no equality: it has several places, and their orders do not add up to one. The variants move just that. Judged are pages,
on three calls with other values, and the bytes of the index, so that it cannot carry the rows along.

    >>> VARIANTS[0].index
    'orders (country, placed_minute, total_cents)'

Source: PostgreSQL 18's manual, "Multicolumn Indexes", "Indexes and ORDER BY"; M. Winand, Use The Index, Luke, "The Where Clause".
Left out: skip scans (since 18), which soften a wrong first column that has few values; here they are never the better plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.engines import Database, Recipe
from workbook.exercises.trial import Trial, allowed, article, key_columns, kilobytes, pages_of, tried, whole
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.plans import Plan

ROWS = 60_000
BYTES_MARGIN = 1.25

TABLES = f"""
CREATE TABLE orders (
    order_id bigint PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL, country text NOT NULL,
    placed_day int NOT NULL, placed_minute int NOT NULL, total_cents int NOT NULL, note text NOT NULL
);
INSERT INTO orders
    SELECT i, i % 60013 * 104729 % 600 + 1, (ARRAY['placed', 'paid', 'shipped', 'cancelled'])[i * 15485863 % 49999 * 32452843 % 4 + 1],
        (ARRAY['AT', 'BE', 'CH', 'CZ', 'DE', 'DK', 'ES', 'FR', 'IT', 'NL', 'PL', 'PT'])[i * 67867967 % 49993 * 15487469 % 12 + 1],
        i * 179424673 % 60017 * 7907 % 43200 / 1440, i * 179424673 % 60017 * 7907 % 43200, i * 86028121 % 59999 * 49979687 % 100000, repeat('x', 60)
    FROM generate_series(1, {ROWS}::bigint) i;
"""


@dataclass(frozen=True)
class Variant:
    """A query with parameters (`:name`), the values that are shown and two further sets of values that it is judged
    with, the `index` of a reference solution, and `because`, why its columns stand in that order."""

    story: str
    query: str
    values: tuple[Mapping[str, Any], ...]
    index: str
    because: str
    role: Mapping[str, str]

    __hash__ = object.__hash__


def _by(names: tuple[str, ...], *calls: tuple[Any, ...]) -> tuple[Mapping[str, Any], ...]:
    """The values of each call, by name: every name has another one in each, so that an index made for one call serves no other."""
    return tuple(dict(zip(names, values, strict=True)) for values in calls)


VARIANTS = (
    Variant(
        "The sales desk of each country watches its largest orders as they come in; one order in twenty is that large",
        "SELECT order_id, customer_id, total_cents, note FROM orders\nWHERE country = :country AND total_cents >= :least\n"
        "ORDER BY placed_minute DESC LIMIT 20",
        _by(("country", "least"), ("CH", 95_000), ("DE", 94_000), ("PT", 93_500)),
        "orders (country, placed_minute, total_cents)",
        "One order in twenty passes the range, so that reading a country in the wanted order meets twenty of them after some four hundred entries, two pages of the "
        "index, and stops. With the range in front of the order all 250 matches are fetched and sorted first; with the order in front of all, twelve countries are passed for one.",
        {"country": "equality", "total_cents": "range", "placed_minute": "order"},
    ),
    Variant(
        "The tax office wants the larger amounts of one country, the latest first, up to 500 of them; there are about 400",
        "SELECT placed_minute, total_cents FROM orders\nWHERE country = :country AND total_cents >= :least\n"
        "ORDER BY placed_minute DESC LIMIT 500",
        _by(("country", "least"), ("CH", 92_000), ("DE", 91_500), ("PT", 91_000)),
        "orders (country, total_cents, placed_minute)",
        "The range leaves fewer rows than the LIMIT wants, so that no order lets the reading stop early: it would pass every entry of the country. The slice "
        "of the range is two pages, and sorting 400 entries costs no page. The index holds all that is asked for, and the table is not touched.",
        {"country": "equality", "total_cents": "range", "placed_minute": "order"},
    ),
    Variant(
        "A customer looks through her orders of one status, page by page, back into the past",
        "SELECT order_id, total_cents, note FROM orders\nWHERE customer_id = :customer AND status = :status AND placed_minute < :before\n"
        "ORDER BY placed_minute DESC LIMIT 10",
        _by(("customer", "status", "before"), (77, "paid", 40_000), (500, "placed", 30_000), (9, "cancelled", 43_000)),
        "orders (customer_id, status, placed_minute)",
        "Two equalities choose the place, in either order: the tree compares both columns at once, and how selective each is alone does not matter. "
        "The range and the order are one column: the reading begins at `:before` and stops after ten.",
        {"customer_id": "equality", "status": "equality", "placed_minute": "range and order"},
    ),
    Variant(
        "The warehouse of each country packs day by day, the latest day first, and within a day the lowest number first",
        "SELECT order_id, customer_id, placed_day, note FROM orders\nWHERE country = :country AND placed_day <= :day\n"
        "ORDER BY placed_day DESC, order_id LIMIT 20",
        _by(("day", "country"), (20, "CH"), (12, "DE"), (27, "PT")),
        "orders (country, placed_day DESC, order_id)",
        "One column of the order goes down and the other up, and a B-tree is read forwards or backwards as a whole: the directions must differ in the "
        "index, too. (All turned round serves as well: it is read backwards.) Otherwise a day's 170 orders are read to sort them by number.",
        {"country": "equality", "placed_day": "range and order", "order_id": "order"},
    ),
    Variant(
        "The sales desk looks for the dearest orders that are not done yet, of the later part of the month",
        "SELECT order_id, customer_id, total_cents, note FROM orders\nWHERE status IN ('placed', 'paid') AND placed_minute >= :since\n"
        "ORDER BY total_cents DESC LIMIT 20",
        _by(("since",), (20_000,), (15_000,), (25_000,)),
        "orders (total_cents, status, placed_minute)",
        "A list is no equality. With `status` in front there are two places to read from, each in order of its own, and PostgreSQL 18 does not merge them: it fetches "
        "all 15,000 rows and sorts. A quarter of the rows pass, so that the order in front finds twenty after some eighty entries, "
        "and the other two columns are looked at in the index, before any row is fetched.",
        {"status": "list", "placed_minute": "range", "total_cents": "order"},
    ),
    Variant(
        "A customer looks through her larger orders, the latest first; half of them are that large",
        "SELECT order_id, total_cents, note FROM orders\nWHERE customer_id = :customer AND total_cents >= :least\n"
        "ORDER BY placed_minute DESC LIMIT 10",
        _by(("customer", "least"), (77, 45_000), (500, 30_000), (9, 40_000)),
        "orders (customer_id, placed_minute, total_cents)",
        "Half of a customer's hundred orders pass the range: in the wanted order, ten are found after some twenty entries, and only those ten are fetched. The "
        "range in front of the order fetches all fifty and sorts them.",
        {"customer_id": "equality", "total_cents": "range", "placed_minute": "order"},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """What a reference solution touches and takes, the margin included; and whether its plan `sorts`."""

    pages: int
    bytes: int
    sorts: bool


def recipe(variant: Variant) -> Recipe:
    """60,000 orders whose columns are independent of one another: the same for all variants."""
    return Recipe("60,000 orders, columns independent", TABLES)


@cache
def budget(variant: Variant) -> Budget:
    """What the reference's index costs on a clone, and a quarter to spare."""
    with tried(recipe(variant), f"CREATE INDEX ON {variant.index}") as trial:
        found = plans(trial, variant)
        pages = sum(allowed(pages_of(plan)) for plan in found)
        return Budget(pages, int(trial.bytes() * BYTES_MARGIN), any(plan.find(kind="Sort") for plan in found))


def plans(trial: Trial, variant: Variant) -> list[Plan]:
    return [trial.plan(variant.query, values) for values in variant.values]


def judge(answer: str, variant: Variant) -> Judgement:
    wanted = budget(variant)
    with tried(recipe(variant), answer) as trial:
        if trial.refused or len(trial.made) != 1:
            return Judgement(0.0, (trial.refused or not_one(trial),))
        found = plans(trial, variant)
        columns = key_columns(trial.database, trial.names[0])
        carried = [name for name in carried_columns(trial.database, trial.names[0]) if name in variant.role]
        read, size = read_within(found, variant, wanted, columns, carried), size_within(trial, wanted)
        findings = (read, size) if size.ok else (size, read)
    worst = max(found, key=pages_of)
    return Judgement(whole(*findings), findings, (worst,))


def not_one(trial: Trial) -> Finding:
    count = len(trial.made)
    return Finding(
        ok=False,
        seen=f"The answer creates {count} indexes." if count else "The answer creates no index.",
        expected="Exactly one index, which serves the equality, the range and the order together.",
        question="Each index is one more entry to write for each order: which of them would the query miss?"
        if count
        else "Which statement gives the table another order to be read in?",
        misconception="one-each" if count else "",
    )


def size_within(trial: Trial, wanted: Budget) -> Finding:
    size = trial.bytes()
    if size <= wanted.bytes:
        return Finding(True, f"The index takes {kilobytes(size)}, within the {kilobytes(wanted.bytes)} allowed.")
    return Finding(
        ok=False,
        seen=f"The index takes {kilobytes(size)}.",
        expected=f"At most {kilobytes(wanted.bytes)}: a quarter more than the columns of the conditions and of the order take.",
        question="Which of its columns helps to find rows or to leave one out, and which only travels along?",
        misconception="more-is-safer",
    )


def carried_columns(clone: Database, index: str) -> list[str]:
    """The columns that an index carries along by INCLUDE."""
    sql = (
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid "
        f"WHERE i.indexrelid = '\"{index}\"'::regclass AND a.attnum > i.indnkeyatts"
    )
    return [str(row[0]) for row in clone.run(sql).rows]


def read_within(found: list[Plan], variant: Variant, wanted: Budget, columns: list[str], carried: list[str]) -> Finding:
    pages = [pages_of(plan) for plan in found]
    total = sum(pages)
    told = f"Three calls touch {total:,} pages ({', '.join(f'{count:,}' for count in pages)})"
    if total <= wanted.pages:
        return Finding(True, f"{told}, within the {wanted.pages:,} allowed.")
    seen, question, misconception = why_so_many(found, variant, columns, wanted.sorts)
    if misconception == "two-will-do" and carried:
        question = (
            f"The index carries `{carried[0]}` along by INCLUDE. At which moment does PostgreSQL look at a column that is no part of the key: "
            "before it fetches the row, or after?"
        )
        misconception = "carried-is-checked"
    return Finding(False, f"{told}. {seen}", f"At most {wanted.pages:,} pages in all.", question, misconception)


def why_so_many(
    found: list[Plan], variant: Variant, columns: list[str], sorting_is_right: bool
) -> tuple[str, str, str]:
    """What the plan of the dearest call does too much of; a question; the misconception."""
    plan = max(found, key=pages_of)
    scan = plan.find(relation="orders")[0]
    roles = [variant.role[column.split()[0]] for column in columns if column.split()[0] in variant.role]
    first = next(iter(roles), "")
    belief = "selective-first" if first in ("range", "order", "range and order") else "any-order"
    if sorting_is_right and roles[:2] == ["equality", "order"]:
        belief = "order-first"
    if scan.kind == "Seq Scan" and any(other.find(relation="orders")[0].kind != "Seq Scan" for other in found):
        return (
            "With the values of the example the index is used, with others the whole table is read.",
            "For which values of its parameters does your index hold rows at all?",
            "one-value",
        )
    if scan.kind == "Seq Scan":
        return (
            f"The whole table is read: with the columns ({', '.join(columns)}) the index is dearer than no index.",
            "Where in the index does the reading begin, and could it stop before the end?",
            "list-is-equality" if first == "list" else belief,
        )
    sort = plan.find(kind="Sort")
    fetched = scan.rows
    if sort and not sorting_is_right and (fetched.value or 0) > 25:
        return (
            f"{article(scan.kind)[:1].upper()}{article(scan.kind)[1:]} fetches {fetched} rows, and a {sort[0].kind} puts them in order before the LIMIT takes its share.",
            "Which order do the entries have that the query reads, and from where on would it be the one that is asked for?",
            "list-is-equality" if first == "list" else "sort-is-free",
        )
    if (scan.rows_removed.value or 0) > 5:
        return (
            f"{scan.rows_removed} rows are fetched from the table, looked at and thrown away.",
            "Which condition is checked only in the table, and what would the index need to know to leave those rows alone?",
            "two-will-do",
        )
    if sorting_is_right and not scan.kind.startswith("Index Only Scan"):
        return (
            f"The right entries are found, but for {fetched} of them {scan.buffers_own} pages of the table are fetched.",
            "What does the query read of each row that the index does not hold?",
            "two-will-do",
        )
    return (
        f"Nothing is fetched in vain, but the index itself is read through: {scan.buffers_own} pages for {fetched} rows.",
        "Between which two entries does the reading begin and end, and how many of those in between match?",
        belief,
    )


def brief(variant: Variant) -> str:
    values = ", ".join(f"`:{name}` = {value!r}" for name, value in variant.values[0].items())
    return (
        f"{variant.story}:\n\n```sql\n{variant.query}\n```\n\n"
        f"`orders` has {ROWS:,} rows and only its primary key:\n\n```sql\n{TABLES.split(';')[0].strip()};\n```\n\n"
        f"Create **one** index for this query. It is asked three times, each time with other values (one call has {values}), and may touch "
        "at most a quarter more pages than a good index needs, and take a quarter more kB than its columns need. "
        'Try it on `engine = practice("indexes-order")`.'
    )


def why(variant: Variant) -> str:
    return (
        f"{variant.because} Seen with PostgreSQL 18 and {ROWS:,} rows whose columns are independent. What would change it: a larger or smaller share of rows that pass the "
        "range (the order in front pays while a LIMIT is met soon), no LIMIT at all (then every match is fetched, and the range goes in front), or values that go "
        "together (large orders that are all old)."
    )


def third_hint(variant: Variant) -> str:
    roles = ", ".join(f"`{column}` ({role})" for column, role in variant.role.items())
    first = "the column of the order" if "list" in variant.role.values() else "what is compared by equality"
    return (
        f"The columns are {roles}. Put {first} in front. For what is left write both orders, `EXPLAIN` each on `practice(...)` with "
        "`explain(query, engine, values).buffers`, and look at directions: `a DESC, b` is read from an index on `(a DESC, b)` or on `(a, b DESC)`."
    )


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
        answer="one CREATE INDEX statement as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "If you had the orders as cards in a box, in which order would they have to stand so that you open the box at one place, read on, and stop early?"
            ),
            lambda variant: (
                "Ask of each condition how many places of the index it leaves to begin at. Then compare two numbers: how many entries you must pass until the "
                "LIMIT is met in the wanted order, and how many rows the range leaves in all."
            ),
            third_hint,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "selective-first": "The most selective column goes first.",
            "order-first": "With a LIMIT the order always goes before the range.",
            "any-order": "An index with the right columns serves, in whatever order they stand.",
            "sort-is-free": "Once the rows are found by an index, sorting them for a LIMIT costs nothing.",
            "two-will-do": "Only the columns that decide where to begin belong into the index.",
            "list-is-equality": "A list (IN) is an equality, so it goes first.",
            "one-value": "An index made for the values of the example serves all others.",
            "more-is-safer": "An index that holds every column is the safest.",
            "carried-is-checked": "A column that an index carries along (INCLUDE) is checked in the index, before the row is fetched.",
            "one-each": "Each condition gets an index of its own, and the engine combines them.",
        },
    )
)
