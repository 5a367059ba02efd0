"""Pages that a query visits: down the tree once, along the leaves, and into the table as the rows lie.

         root                        a lookup            height + 1
          │ once                     a range of n        height + n / rows a leaf, to the right by the links
    leaf ─┴▶ leaf ─▶ leaf            its rows            + n / rows a page where they lie in the order of the index
     ╎        ╎       ╎                                  + n               where they do not
    table ╌╌ table ╌ table           n places far apart  n times the height: these do descend again

An index-only scan stays above the dashed lines while the visibility map, a page for thousands of the table's, says
that it may. An OFFSET visits what it throws away. The variants are six queries; the facts of a tree are given, so
that what is asked is the way through it. Truth is what the engine counts, on fresh trees of four widths.

    >>> VARIANTS[0].visits(2, 366, 58, 1000), VARIANTS[3].visits(2, 366, 58, 40)
    (5.7, 120)

Source: PostgreSQL's src/backend/access/nbtree/README ("Scan Position"); the manual's "Index-Only Scans and Covering
Indexes"; P. Lehman and S. Yao, "Efficient Locking for Concurrent Operations on B-Trees", 1981, for the links. Left
out: trees that have been written to since, which is what `btrees-bloat` is about; bitmap scans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from workbook.btree import read_index
from workbook.engines import Database, Recipe, database
from workbook.exercises.rules import Belief, Instance, accepts_rule, called, kin
from workbook.grading.answer import Function
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.plans import explain

ROWS = {8: 40_000, 100: 20_000, 250: 10_000, 470: 6_000}
"""Rows by the bytes of the key, where it is judged."""
PRACTICE_ROWS = {8: 30_000, 60: 15_000, 300: 6_000}
MARGIN, SLACK_PAGES = 0.08, 2
SIGNATURE = "visits(height, rows_a_leaf, rows_a_page, n)"
Rule = Callable[[int, int, int, int], float]


@dataclass(frozen=True)
class Variant:
    """A query: its SQL (`{table}`, `{from_}`, `{to}`, `{n}`, `{keys}`), whether the table's rows lie `scattered`, the `counts` n it is asked for, the rule, and other rules that tempt."""

    story: str
    sql: str
    shown: str
    visits: Rule
    counts: tuple[int, ...]
    because: str
    beliefs: Mapping[str, Rule] = field(default_factory=dict)
    scattered: bool = False

    __hash__ = object.__hash__

    def key(self, width: int, number: str) -> str:
        """The SQL of a key of so many bytes."""
        return number if width == 8 else f"lpad(({number})::text, {width}, '0')"

    def query(self, width: int, n: int) -> str:
        """The query for n, in the table of keys of this width."""
        rows, table = ROWS[width], f"t_{width}"
        first = rows // 3 if "OFFSET" not in self.sql else 1
        step = rows // n
        numbers = [step * place + step // 2 + 1 for place in range(n)] if "{keys}" in self.sql else []
        return self.sql.format(
            table=table,
            n=n,
            skipped=9 * n,
            from_=self.key(width, str(first)),
            to=self.key(width, str(first + n - 1)),
            keys=", ".join(self.key(width, str(number)) for number in numbers),
        )


VARIANTS = (
    Variant(
        "A counter on a dashboard: how many readings are there between two numbers?",
        "SELECT count(*) FROM {table} WHERE k BETWEEN {from_} AND {to}",
        "SELECT count(*) FROM t WHERE k BETWEEN :from AND :to    -- n rows",
        lambda height, leaf, page, n: round(height + (n - 1) / leaf + 1, 1),
        (1, 50, 400, 1500),
        "Once down, then from leaf to leaf by the links; the visibility map, one page, says that the table need not be asked.",
        {
            "descends-again": lambda height, leaf, page, n: height * (1 + (n - 1) // leaf) + 1,
            "table-is-read": lambda height, leaf, page, n: height + n / leaf + n / page,
            "links-forgotten": lambda height, leaf, page, n: height + 1,
            "each-row-a-search": lambda height, leaf, page, n: n * height,
        },
    ),
    Variant(
        "A report reads the notes of n neighbouring readings; they lie in the table as they came, in the order of their numbers",
        "SELECT max(note) FROM {table} WHERE k BETWEEN {from_} AND {to}",
        "SELECT max(note) FROM t WHERE k BETWEEN :from AND :to    -- n rows",
        lambda height, leaf, page, n: round(height + (n - 1) / leaf + 1 + (n - 1) / page, 1),
        (1, 50, 400, 1500),
        "Once down, along the leaves; and each page of the table once, since neighbours in the index are neighbours there as well.",
        {
            "descends-again": lambda height, leaf, page, n: height * (1 + (n - 1) // leaf) + n / page,
            "table-is-free": lambda height, leaf, page, n: height + n / leaf,
            "links-forgotten": lambda height, leaf, page, n: height + n / page,
            "each-row-a-page": lambda height, leaf, page, n: height + n / leaf + n,
            "each-row-a-search": lambda height, leaf, page, n: n * (height + 1),
        },
    ),
    Variant(
        "A list shows the next n readings by number, with their notes; they were imported as they came to hand, in no order",
        "SELECT max(note) FROM (SELECT note FROM {table} WHERE k >= {from_} ORDER BY k LIMIT {n}) AS list",
        "SELECT note FROM t WHERE k >= :from ORDER BY k LIMIT :n",
        lambda height, leaf, page, n: round(height + (n - 1) / leaf + n, 1),
        (1, 50, 400, 1500),
        "Once down and along the leaves; but neighbours in the index are strangers in the table: each row is a visit to a page of its own.",
        {
            "table-is-free": lambda height, leaf, page, n: height + n / leaf,
            "neighbours-in-the-table": lambda height, leaf, page, n: height + n / leaf + n / page,
            "each-row-a-search": lambda height, leaf, page, n: n * (height + 1),
            "descends-again": lambda height, leaf, page, n: height * (1 + (n - 1) // leaf) + n,
        },
        scattered=True,
    ),
    Variant(
        "A basket with n readings, picked all over the table, is shown with its notes",
        "SELECT max(note) FROM {table} WHERE k IN ({keys})",
        "SELECT note FROM t WHERE k IN (:k1, :k2, ...)    -- n keys, far apart",
        lambda height, leaf, page, n: n * (height + 1),
        (2, 6, 15, 40),
        "Between two keys of the list lie many leaves: it pays to go down again for each, and each has a page of the table of its own.",
        {
            "one-descent": lambda height, leaf, page, n: height + n / leaf + n,
            "table-is-free": lambda height, leaf, page, n: n * height,
            "range-at-heart": lambda height, leaf, page, n: height + n / leaf + n / page,
        },
    ),
    Variant(
        "Page ten of a list with n readings a page, by OFFSET; the rows lie in the order of their numbers",
        "SELECT max(note) FROM (SELECT note FROM {table} ORDER BY k OFFSET {skipped} LIMIT {n}) AS list",
        "SELECT note FROM t ORDER BY k OFFSET 9 * :n LIMIT :n",
        lambda height, leaf, page, n: round(height + 10 * n / leaf + 10 * n / page, 1),
        (5, 20, 50, 150),
        "What an OFFSET throws away has been visited first: entries and rows of ten pages of the list, for the one that is shown.",
        {
            "offset-is-free": lambda height, leaf, page, n: height + n / leaf + n / page,
            "offset-reads-no-rows": lambda height, leaf, page, n: height + 10 * n / leaf + n / page,
            "table-is-free": lambda height, leaf, page, n: height + 10 * n / leaf,
            "each-row-a-page": lambda height, leaf, page, n: height + 10 * n / leaf + 10 * n,
            "descends-again": lambda height, leaf, page, n: height * (1 + 10 * n // leaf) + 10 * n / page,
        },
    ),
    Variant(
        "An import wants to know how many of its n keys, from all over the table, are there already",
        "SELECT count(*) FROM {table} WHERE k IN ({keys})",
        "SELECT count(*) FROM t WHERE k IN (:k1, :k2, ...)    -- n keys, far apart, all of them there",
        lambda height, leaf, page, n: n * height + 1,
        (2, 6, 15, 40),
        "Between two keys of the list lie many leaves: it pays to go down again for each. The index knows all that is asked for, and the visibility map, one page, spares the table.",
        {
            "one-descent": lambda height, leaf, page, n: height + n / leaf + 1,
            "table-is-read": lambda height, leaf, page, n: n * (height + 1),
            "range-at-heart": lambda height, leaf, page, n: height + ROWS[8] / leaf,
            "each-key-a-leaf": lambda height, leaf, page, n: height + n - 1 + 1,
        },
    ),
)  # fmt: skip

QUESTIONS = {
    "descends-again": "The last entry of a leaf has been read: how does PostgreSQL come to the next leaf, and what does a leaf know of its sibling?",
    "links-forgotten": "The range is longer than one leaf: which pages hold the rest of it?",
    "table-is-read": "Which of the columns that the query needs are not in the index, and who knows that the rows are visible to all?",
    "table-is-free": "An entry says where a row is. Where does the note stand?",
    "each-row-a-page": "Two entries that are neighbours: how far apart are their rows in this table?",
    "neighbours-in-the-table": "Two entries that are neighbours: how far apart are their rows in this table?",
    "each-row-a-search": "After the first entry has been found, where is the second?",
    "one-descent": "How many leaves lie between two of the keys, and would you read them all or go down again?",
    "each-key-a-leaf": "A key is on another leaf, far to the right: which pages lead there?",
    "range-at-heart": "How many leaves lie between two of the keys, and on how many pages of the table are the rows?",
    "offset-is-free": "How does PostgreSQL know where entry number 9 n + 1 stands?",
    "offset-reads-no-rows": "At which node of the plan are rows thrown away: above the scan that fetches them, or in it?",
}  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """What there is to practise on: the same query finds other trees there."""
    return tables(variant, PRACTICE_ROWS)


def tables(variant: Variant, rows_by_width: Mapping[int, int]) -> Recipe:
    """A table for each width of key, freshly loaded, with one index."""
    made = []
    for width, rows in rows_by_width.items():
        kind = "bigint" if width == 8 else "text"
        order = "md5(i::text)" if variant.scattered else "i"
        made += [
            f"CREATE TABLE t_{width} (k {kind} NOT NULL, note text NOT NULL);",
            f"INSERT INTO t_{width} SELECT {variant.key(width, 'i')}, repeat('x', 60) FROM generate_series(1, {rows}) i ORDER BY {order};",
            f"CREATE INDEX t_{width}_index ON t_{width} (k);",
        ]
    return Recipe("readings under several widths of key", "\n".join(made))


@cache
def instances(variant: Variant) -> tuple[Instance, ...]:
    """The pages that the engine counts, for each width and count."""
    found = []
    with database(tables(variant, ROWS)) as readings:
        for width, rows in ROWS.items():
            height, leaf, page = tree_facts(readings, width)
            for n in (n for n in variant.counts if n <= rows // 6):
                truth = int(explain(variant.query(width, n), readings.engine).buffers.value or 0)
                told = f"a tree of {height} levels, {leaf} rows a leaf and {page} rows a page of the table, n = {n:,}"
                found.append(Instance((height, leaf, page, n), truth, told))
    return tuple(found)


def tree_facts(readings: Database, width: int) -> tuple[int, int, int]:
    """Levels, rows of most leaves, rows of a page of the table."""
    ends = read_index(readings.engine, f"t_{width}_index", pages=[1, 2])
    leaf = Counter(found.rows for found in ends.pages.values() if found.level == 0).most_common(1)[0][0]
    return ends.height, leaf, round(ROWS[width] / (readings.relation_bytes(f"t_{width}") / 8192))


def missed(value: float, truth: float) -> bool:
    return abs(value - truth) > max(SLACK_PAGES, MARGIN * truth)


def judge(answer: Function, variant: Variant) -> Judgement:
    asked = instances(variant)
    said = called(answer, asked)
    if isinstance(said, Finding):
        return Judgement(0.0, (said,))
    wrong = [n for n, each in enumerate(asked) if missed(said[n], each.truth)]
    if not wrong:
        most = max(asked, key=lambda each: each.truth)
        return Judgement(
            1.0, (Finding(True, f"Near enough on all of {len(asked)} queries, up to {most.truth:,.0f} pages."),)
        )
    first = max(wrong, key=lambda n: max(said[n] + 1, 1) / asked[n].truth + asked[n].truth / max(said[n], 1))
    belief = kin(said, asked, beliefs(variant), share=0.05, margin=MARGIN)
    more = said[first] > asked[first].truth
    return Judgement(
        0.0,
        (
            Finding(
                ok=False,
                seen=f"For {asked[first].told}, the function says {said[first]:,.4g} pages; {len(wrong)} of {len(asked)} queries are missed.",
                expected=f"PostgreSQL visits {asked[first].truth:,.0f}.",
                question=QUESTIONS.get(belief)
                or f"Write down the pages in the order in which they are visited, for n = 2: which of yours {'are not there' if more else 'is missing'}?",
                misconception=belief,
            ),
        ),
    )


def beliefs(variant: Variant) -> dict[str, Belief]:
    return dict(variant.beliefs)


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}.\n\n```sql\nCREATE TABLE t (k ..., note text NOT NULL);    -- freshly loaded, then VACUUM\nCREATE INDEX ON t (k);\n\n{variant.shown};\n```\n\n"
        f"Write `{SIGNATURE}`: the pages that this query visits, in the index, in the table and in the visibility map together (`explain(...).buffers`). The facts of the tree are given: its `height` in levels, the "
        "leaves included; the rows of a leaf; the rows of a page of the table. Nobody has written to the tree since, and a page that is visited again counts again, unless it is still in hand.\n\n"
        f"It is asked for four trees, two to four levels high, with n from {variant.counts[0]} to {variant.counts[-1]:,}, and has to come within {MARGIN:.0%} or {SLACK_PAGES} pages, whichever is more; fractions are welcome, since nobody knows where on a leaf a "
        'range begins. `engine = practice("btrees-visits")` has other such tables, `t_8`, `t_60` and `t_300`, named after the bytes of their keys (`k` is a bigint, or a number as text with zeros in front).'
    )


def why(variant: Variant) -> str:
    rows = "; ".join(f"{each.told}: {each.truth:,.0f}" for each in instances(variant)[1::5])
    return (
        f"{variant.because} Counted: {rows}. What would change it: UPDATEs without VACUUM, which send an index-only scan to the table; the order of the rows in the table, which CLUSTER makes and years undo; and a "
        "bitmap scan, which PostgreSQL takes when many rows are scattered, and which visits each page of the table once, in their order."
    )


EXERCISE = register(
    Exercise(
        id="btrees-visits",
        lab="01_btrees",
        number=4,
        title="Pages that a lookup and a range visit",
        kind="R",
        declares="value",
        points=4,
        core=True,
        minutes=10,
        answer=f"a function, def {SIGNATURE}",
        accepts=accepts_rule(SIGNATURE),
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "Follow it with a finger for n = 2: which page is looked at first, which last, and is any of them looked at twice?"
            ),
            lambda variant: (
                "Three parts, each for itself: how often is the tree descended, how many leaves are passed beyond the first, how many visits to the table are there? "
                "`explain` on `practice(...)` gives the sum for any n: draw it over n, and the slope is one row's price."
            ),
            lambda variant: {
                0: "Once down (`height`); `(n - 1) / rows_a_leaf` leaves further; no table; one page of the visibility map.",
                1: "Once down; `(n - 1) / rows_a_leaf` leaves further; about `1 + (n - 1) / rows_a_page` pages of the table.",
                2: "Once down; `(n - 1) / rows_a_leaf` leaves further; `n` visits to the table, since no two neighbours share a page.",
                3: "For each of the n keys: once down, and one page of the table.",
                4: "As a range of ten times n rows, entries and rows: OFFSET visits them all.",
                5: "For each of the n keys: once down. No table; one page of the visibility map.",
            }[VARIANTS.index(variant)],
        ),
        judge=judge,
        why=why,
        misconceptions={
            "descends-again": "A range goes down from the root again for each leaf.",
            "links-forgotten": "A range is found on one leaf.",
            "table-is-read": "The table is read for every row, whatever the index holds.",
            "table-is-free": "What an index finds, it has: the table costs nothing.",
            "each-row-a-page": "Each row costs a page of the table, however the rows lie.",
            "neighbours-in-the-table": "Rows that are neighbours in the index are neighbours in the table.",
            "each-row-a-search": "Each row is a search of its own, from the root.",
            "one-descent": "One query descends the tree once.",
            "each-key-a-leaf": "One query descends the tree once, and then knows the leaves.",
            "range-at-heart": "A list of keys is a range.",
            "offset-is-free": "OFFSET goes straight to its row.",
            "offset-reads-no-rows": "OFFSET counts entries in the index, and fetches only the rows that are shown.",
        },
    )
)
