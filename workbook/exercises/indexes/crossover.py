"""Where the planner stops using an index: two neighbouring values, one on either side.

    rows asked for   0 ────────────────────────────────────────────▶ all
    plan             Index / Bitmap Heap Scan │ Seq Scan
                                        index ┘ └ sequential

There is no fixed share of the rows at which the plan changes. The planner compares two sums: pages that it must fetch
one by one, dearer the more they are scattered, with the work for each row; against every page in a row, with the work
for each row. So the place moves with the order of the rows on disk, their width, the size of the index, the
distribution of the values and whether the index covers the query. Each variant moves one of these. The judge asks the
engine for both plans; the two values must be near to one another, so that extremes do not pass, and one variant has
no such place at all.

    >>> far = Variant("example", "shuffled", 60)
    >>> far.query(300)
    'SELECT sum(total_cents) FROM orders WHERE placed_minute < 300'

Source: PostgreSQL's src/backend/optimizer/path/costsize.c, `cost_index`, `cost_bitmap_heap_scan` and
`index_pages_fetched`. Left out: parallel plans, and pages that are cached already, of which the planner knows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbook.engines import Database, Recipe, database
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.plans import Node, Plan, explain

ROWS = 60_000
APART_MAX = ROWS // 100
FIXED_MAX = 0.15
"""Whoever guesses a share above this does not believe in five or ten per cent."""

PLACES = {
    "shuffled": f"(i::bigint * 7919) % {ROWS}",
    "sorted": "i",
    "skewed": f"((i::bigint * 7919) % {ROWS}) * ((i::bigint * 7919) % {ROWS}) / {ROWS}",
}
"""How an order's minute follows from its place in the table."""


@dataclass(frozen=True)
class Variant:
    """What moves the crossover.

    Parameters: the `story` in a sentence; how the minutes lie in the table (`place`, a key of `PLACES`); bytes of the
    `note` beside each order; what is written behind the columns of the index (`index`); `because`, what decided here.
    """

    story: str
    place: str
    note_bytes: int
    index: str = ""
    because: str = ""

    @property
    def tables(self) -> str:
        return (
            "CREATE TABLE orders (order_id bigint, placed_minute int, total_cents int, note text);\n"
            f"INSERT INTO orders SELECT i, {PLACES[self.place]}, (i * 31) % 5000, repeat('x', {self.note_bytes})\n"
            f"    FROM generate_series(0, {ROWS - 1}) i;"
        )

    @property
    def definition(self) -> str:
        return f"CREATE INDEX orders_minute ON orders (placed_minute){' ' if self.index else ''}{self.index}"

    @staticmethod
    def query(minute: int | str) -> str:
        return f"SELECT sum(total_cents) FROM orders WHERE placed_minute < {minute}"


VARIANTS = (
    Variant(
        "The orders were imported customer by customer, so that the minutes lie scattered over the table",
        "shuffled",
        60,
        because="The rows lie scattered, and a page holds 75 of them: from a few per cent on the bitmap has nearly every page in it, and "
        "what then decides is the work for each row: the bitmap scan pays the entry in the index on top, and nothing is saved any more. That is late, "
        "at about 40 per cent.",
    ),
    Variant(
        "The orders arrived one after the other, and nobody has moved them since",
        "sorted",
        60,
        because="The rows lie in the order of the index, so that a share of the rows is the same share of the pages, read in a row. The index scan "
        "stays cheaper until the work for its entries eats what the skipped pages save: beyond half of the table.",
    ),
    Variant(
        "Somebody stores the whole confirmation mail in `note`; the rows came customer by customer",
        "shuffled",
        900,
        because="A page holds eight rows, and they lie scattered: at 15 per cent nearly every row needs a page of its own, fetched out of order. Beyond that "
        "the bitmap's pages come so close together that the planner prices them as a run, and for a while the bitmap wins again: "
        "the crossover is not even one place.",
    ),
    Variant(
        "Years of updates have bloated the index to ten times its size; the rows came customer by customer",
        "shuffled",
        20,
        "WITH (fillfactor = 10)",
        because="The index is larger than the table. Each per cent of the rows costs a per cent of its pages, priced as random ones, before the first row "
        "is seen: at a tenth of the rows that alone outweighs the table. After REINDEX the place would be elsewhere.",
    ),
    Variant(
        "The shop grew slowly at first: of the minutes, the early ones have many orders each, the late ones few; rows customer by customer",
        "skewed",
        60,
        because="The plan changes at the same share of the *rows* as with even values, but a sixth of the minutes holds that share. The planner knows it "
        "from the histogram, and so it decides by value, not by the form of the query.",
    ),
    Variant(
        "The index carries the total along, for this very report; the rows came customer by customer",
        "shuffled",
        60,
        "INCLUDE (total_cents)",
        because="The index alone answers, the table is not touched where its pages are all-visible, and the index is a fifth of its size. In pages it would win "
        "for every row; but what the planner compares is cost. A page of the index counts four times as much as one of a table that is read in a row (`random_page_cost`), "
        "and each entry counts as work: for nearly all rows the sum is above that of the table.",
    ),
    Variant(
        "The index carries the total along, and `note` holds a long comment; the rows came customer by customer",
        "shuffled",
        300,
        "INCLUDE (total_cents)",
        because="The index alone answers, and it is a small fraction of the table: even for every row it is the cheaper thing to read. There is no "
        "crossover, however many rows are asked for.",
    ),
)


def recipe(variant: Variant) -> Recipe:
    """The table, its rows and the one index."""
    return Recipe("the minutes of 60,000 orders", variant.tables, then=variant.definition)


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}:\n\n```sql\n{variant.tables}\n{variant.definition};\nVACUUM (ANALYZE) orders;\n```\n\n"
        f"The report asks `{variant.query(':minute')}`, and the reviewing agent says: 'above five per cent it will not use the index'. "
        'Hand in a dict, `{"index": ..., "sequential": ...}`, of two values of `:minute`:\n\n'
        "- `index`: PostgreSQL answers by the index (an index scan, an index-only scan or a bitmap scan);\n"
        "- `sequential`: it reads the whole table, and the two values are so near to one another that "
        f"**at most {APART_MAX:,} rows** (one per cent) lie between them.\n\n"
        f"If no value makes it read the whole table, hand in `None` for `sequential`, and {ROWS:,}, which asks for every row, for `index`. "
        '`engine = practice("indexes-crossover")` gives you the same table to try on.'
    )


def accepts(answer: Any) -> str:
    if type(answer) is not dict or set(answer) != {"index", "sequential"}:
        keys = f"a dict with {sorted(map(str, answer))}" if type(answer) is dict else type(answer).__name__
        return f"The answer is a dict with the keys 'index' and 'sequential'; this is {keys}."
    if type(answer["index"]) is not int or type(answer["sequential"]) not in (int, type(None)):
        return "The minutes are whole numbers ('sequential' may be None); at least one of these is not."
    for key, minute in answer.items():
        if minute is not None and not 0 <= minute <= ROWS:
            return (
                f"{key!r} is {minute:,}: the minutes of this table go from 0 to {ROWS:,}, others ask for the same rows."
            )
    return ""


def judge(answer: dict[str, int | None], variant: Variant) -> Judgement:
    below, above = answer["index"], answer["sequential"]
    assert below is not None
    with database(recipe(variant)) as orders:
        by_index = explain(variant.query(below), orders.engine)
        if above is None:
            findings = none_exists(orders, variant, below, by_index)
            return Judgement(float(all(finding.ok for finding in findings)), findings, (by_index,))
        by_table = explain(variant.query(above), orders.engine)
        table_pages = orders.relation_bytes("orders") // 8192
    if sequential(by_index) and not sequential(by_table):
        return Judgement(0.0, (exchanged(below, above, by_index, by_table),), (by_index, by_table))
    findings = (goes_by_index(below, by_index), reads_all(above, by_table, table_pages, variant))
    if all(finding.ok for finding in findings):
        findings += (near(by_index, by_table),)
    return Judgement(float(all(finding.ok for finding in findings)), findings, (by_index, by_table))


def scan_of(plan: Plan) -> Node:
    return plan.find(relation="orders")[0]


def sequential(plan: Plan) -> bool:
    return "Seq Scan" in scan_of(plan).kind


def told(minute: int, plan: Plan) -> str:
    """'At 3,000 the plan is a Bitmap Heap Scan: 3,000 rows, 5.0 % of the table, 809 pages'."""
    scan = scan_of(plan)
    rows = int(scan.rows.value or 0)
    article = "an" if scan.kind.startswith("I") else "a"
    return f"At {minute:,} the plan is {article} {scan.kind}: {rows:,} rows, {100 * rows / ROWS:.1f} % of the table, {plan.buffers} pages"


def goes_by_index(minute: int, plan: Plan) -> Finding:
    if not sequential(plan):
        return Finding(True, f"{told(minute, plan)}.")
    return Finding(
        ok=False,
        seen=f"{told(minute, plan)}. That is the side of `sequential`.",
        expected="For `index` a value that is answered by the index.",
        question="What does each further row cost by the index, and what does it cost in a scan that reads its page anyway?",
        misconception="always-index",
    )


def reads_all(minute: int, plan: Plan, table_pages: int, variant: Variant) -> Finding:
    if sequential(plan):
        return Finding(True, f"{told(minute, plan)}.")
    pages = int(plan.buffers.value or 0)
    more = f", though the table has only {table_pages:,}" if pages > table_pages else ""
    share = (scan_of(plan).rows.value or 0) / ROWS
    if more:
        question = "It counts more than pages: which pages does it take for cheap ones, and which work does it do for each row?"
    elif scan_of(plan).kind == "Index Only Scan":
        question = "It does not visit the table at all. Beside its pages, what does the planner count for each entry that it reads?"
    else:
        question = "What would make an index dearer than reading everything here: where do the rows lie, and how many are on a page?"
    return Finding(
        ok=False,
        seen=f"{told(minute, plan)}{more}. That is still the side of `index`.",
        expected="For `sequential` a value at which PostgreSQL reads the whole table.",
        question=question,
        misconception="pages-decide" if more else "fixed-share" if share <= FIXED_MAX else "",
    )


def near(by_index: Plan, by_table: Plan) -> Finding:
    apart = int(abs((scan_of(by_table).rows.value or 0) - (scan_of(by_index).rows.value or 0)))
    if apart <= APART_MAX:
        return Finding(True, f"{apart:,} rows lie between the two: it is the crossover.")
    return Finding(
        ok=False,
        seen=f"Both plans are as you say, but {apart:,} rows lie between the two values, {100 * apart / ROWS:.0f} % of the table.",
        expected=f"At most {APART_MAX:,} rows, one per cent.",
        question="On which side does the value in the middle between the two fall?",
        misconception="extremes",
    )


def exchanged(below: int, above: int, by_index: Plan, by_table: Plan) -> Finding:
    return Finding(
        ok=False,
        seen=f"The two are exchanged. {told(below, by_index)}. {told(above, by_table)}.",
        expected="Under `index` the value that is answered by the index, under `sequential` the other one.",
        question="Which of the two asks for more rows, and what does each row cost by the index?",
        misconception="always-index",
    )


def none_exists(orders: Database, variant: Variant, minute: int, plan: Plan) -> tuple[Finding, ...]:
    """Whether no value at all leads to a sequential scan: each hundredth of the rows is tried."""
    if sequential(plan):
        return (goes_by_index(minute, plan),)
    for tried in range(ROWS, -1, -APART_MAX):
        other = explain(variant.query(tried), orders.engine, analyze=False)
        if sequential(other):
            return (
                Finding(
                    ok=False,
                    seen=f"`sequential` is None, yet there is one. {told(tried, explain(variant.query(tried), orders.engine))}.",
                    expected="None only where no value at all makes PostgreSQL read the whole table.",
                    question="Which of the values between 0 and that one is the first that does?",
                    misconception="always-index",
                ),
            )
    if minute < ROWS:
        return (
            Finding(
                ok=False,
                seen=f"None is right, but {minute:,} shows nothing about larger values. {told(minute, plan)}.",
                expected=f"{ROWS:,} for `index`: the value that asks for every row is the one that proves it.",
                question="Which value would refute you, if there were one?",
                misconception="extremes",
            ),
        )
    return (
        Finding(True, f"{told(minute, plan)}."),
        Finding(True, f"None of {ROWS // APART_MAX + 1} values from 0 to {ROWS:,} makes it read the whole table."),
    )


def why(variant: Variant) -> str:
    return (
        f"{variant.because} Seen with PostgreSQL 18, `random_page_cost = 4`, {ROWS:,} rows and statistics of every row. What would move it: "
        "`random_page_cost` (1.1 is usual on SSDs, and keeps the index longer), the order of the rows after CLUSTER or after years of updates, VACUUM for "
        "an index-only scan, parallel workers, which make the sequential scan cheaper. No per cent holds for all of these: ask `EXPLAIN`, at "
        "the size and with the values that you have."
    )


def third_hint(variant: Variant) -> str:
    covers = (
        "The index covers this query. Begin with the value that asks for every row: "
        if "INCLUDE" in variant.index
        else ""
    )
    return (
        f'{covers}make `engine = practice("indexes-crossover")` once; then '
        f'`explain("{variant.query(30000)}", engine, analyze=False).nodes()[1].kind` names the scan for one value. '
        f"Halve: between 0, where it is the index, and {ROWS:,}, if that is a Seq Scan, take the middle, keep the half "
        "whose ends differ, and stop when the ends are near enough."
    )


EXERCISE = register(
    Exercise(
        id="indexes-crossover",
        lab="02_indexes",
        number=4,
        title="Values on either side of the crossover",
        kind="W",
        declares="value",
        points=3,
        core=True,
        minutes=9,
        answer="a dict with the keys 'index' and 'sequential'",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "What does PostgreSQL pay for a page that it fetches out of order, and how many such pages does one per cent of these rows need?"
            ),
            lambda variant: (
                "Look before you count: `correlation` in `pg_stats`, and `relpages` of the table and the index in `pg_class`. Then let "
                "`EXPLAIN` say what it chooses for the smallest value, for the largest, and for one in the middle."
            ),
            third_hint,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "fixed-share": "There is a fixed share of the rows, five or ten per cent, above which no index is used.",
            "always-index": "An index always wins.",
            "pages-decide": "The plan that touches fewer pages is the one that is taken.",
            "extremes": "It is enough to know that few rows go by the index and all rows by the table.",
        },
    )
)
