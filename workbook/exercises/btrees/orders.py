"""Two orders of the same rows: one makes the largest index, the other the smallest.

    the same rows, index on (number)              pages   a leaf, when nothing more will come to it
    1, 2, 3, ...                                     57   │█████████░│  cut at the right edge: the fill factor stays
    shuffled                                         75   │███████░░░│  cut in the middle, both halves fill again
    20,000, 19,999, ...                             100   │█████░░░░░│  cut in the middle, the right half gets no more

Which order that is follows from the index, not from the numbers. The variants take the same 20,000 rows and change the
index: its direction, its type (numbers written as text stand in the order of text), fill factors of 50 and of 30, under which
ascending rows make the largest one, keys that repeat, and four values that repeat so often that no order makes a difference. What
is largest and smallest is not calculated: orders that are known to be good are measured on PostgreSQL, and an answer may
miss the largest by a twentieth and the smallest by an eighth, or beat them. The eighth is there for the plain way: rows
in the order of the index fill a leaf to 90 per cent, and a last eleventh that falls between them fills the rest.

    >>> [variant.name for variant in VARIANTS]
    ['half', 'newest first', 'roomy', 'code', 'customer', 'status']
    >>> in_order(VARIANTS[3])[:4], in_order(VARIANTS[1])[:2]
    ([1, 10, 100, 1000], [20000, 19999])
    >>> SHAPES["thirds"]([1, 2, 3, 4, 5, 6]), SHAPES["outside in"]([1, 2, 3, 4])
    ([1, 4, 2, 3, 5, 6], [1, 4, 2, 3])

Source: PostgreSQL's src/backend/access/nbtree/nbtsplitloc.c (where a page is cut) and README (deduplication). Left out: rows that are
deleted between, and orders that make use of the places of several columns' splits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, floor
from typing import Any

from workbook.draw.charts import bars
from workbook.engines import Database, Recipe, database
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register

ROWS, CUSTOMERS, STATUSES = 20_000, 2_000, 4
SLACK = {"largest": 0.05, "smallest": 0.125}
APART = 1.1
EDGE_SHARE, REGULAR_SHARE, NEAR = 0.95, 0.5, 100
PAGE_BYTES = 8192
NAMES = ("largest", "smallest")
TABLE = "CREATE TABLE orders (number bigint, customer int, status int, code text);"
INSERT = (
    f"INSERT INTO orders SELECT n, n * 7919 % {CUSTOMERS}, n % {STATUSES}, 'R' || n\n"
    "FROM unnest(CAST(:arrival AS int[])) WITH ORDINALITY AS rows (n, place) ORDER BY place"
)
Order = list[int]


@dataclass(frozen=True)
class Variant:
    """An index on the table `orders`.

    Parameters: `on`, what is written behind the table's name; `key`, a row's number to what sorts as the index does;
    `because`; the name in `SHAPES` of the `plain` order that makes a small one; whether the order is `free`.
    """

    name: str
    story: str
    on: str
    key: Callable[[int], Any]
    because: str
    plain: str = "ascending"
    free: bool = False

    @property
    def definition(self) -> str:
        return f"CREATE INDEX orders_index ON orders {self.on}"


VARIANTS = (
    Variant(
        "half",
        "The index is made with room for later: leaves are to stay half full",
        "(number) WITH (fillfactor = 50)",
        lambda number: number,
        "Sorted rows leave half-full leaves behind, whichever way they come: in ascending order the right-most leaf is cut at the fill factor, in descending order each leaf is cut in the middle, and its right half gets no further key. "
        "But that room is there for rows that come later. If every other row comes first, in ascending order, each of the others finds its place between them, and the leaves are full without a further cut.",
        plain="halves",
    ),
    Variant(
        "newest first",
        "The list shows the newest orders first, so somebody has made the index like that",
        "(number DESC)",
        lambda number: -number,
        "The index begins with the largest number: numbers that rise arrive at its left edge, where each leaf is cut in the middle and its right half gets no further key. Numbers that fall arrive at the right edge. "
        "Since any index can be read backwards, `(number)` would have served the list as well, at 57 per cent of the size.",
    ),
    Variant(
        "roomy",
        "The index is made with room for later: leaves are to stay 30 per cent full",
        "(number) WITH (fillfactor = 30)",
        lambda number: number,
        "The fill factor is the place of one cut only, that of the right-most leaf: ascending rows leave leaves behind that are 30 per cent full, less than any cut in the middle would. "
        "But it is no limit. If every third row comes first, in ascending order, the leaves are 30 per cent full, and the other two thirds fall between those that are there: 90 per cent, without a further cut.",
        plain="thirds",
    ),
    Variant(
        "code",
        "The orders are indexed by the code that customers see, which is a text (collation C)",
        "(code)",
        lambda number: f"R{number}",
        "The index knows texts, in which `R10` stands before `R2`. Sorted as texts, rows arrive at its right edge, where a full leaf is cut at 90 per cent; the other way round at its left edge, where each leaf is cut in the middle. "
        "Numbers that rise jump about between the edges of ten ranges and make nearly as large an index as the worst order.",
    ),
    Variant(
        "customer",
        "The orders are indexed by their customer; each of 2,000 customers has ten",
        "(customer)",
        lambda number: (number * 7919 % CUSTOMERS, number),
        "Equal keys share an entry, which is done when a leaf is full, before it is cut. Sorted by customer, rows arrive at the right edge: packed, then cut so that nine tenths stay. From the last customer to the first, each leaf is cut in the middle. "
        "In the order of the numbers each customer gets a row now and then: leaves are cut in the middle and fill again.",
    ),
    Variant(
        "status",
        "The orders are indexed by their status, of which there are four",
        "(status)",
        lambda number: (number % STATUSES, number),
        "Rows with one status stand in the index by their place in the table, and each new row stands behind all others there: whatever the order, each status grows at its own right end, a full leaf of one "
        "value is cut at 96 per cent, and the four ends do not mind each other.",
        free=True,
    ),
)  # fmt: skip


def in_order(variant: Variant) -> Order:
    """The rows' numbers in the order of the index."""
    return sorted(range(1, ROWS + 1), key=variant.key)


def in_two(order: Sequence[int], first: Callable[[int], bool]) -> Order:
    """The rows at some places of the order first, then the others, which fall between them."""
    rest = (number for place, number in enumerate(order) if not first(place))
    return [*(number for place, number in enumerate(order) if first(place)), *rest]


def outside_in(order: Sequence[int]) -> Order:
    """In turn from the front and from the back, to the middle."""
    half = (len(order) + 1) // 2
    return [number for two in zip(order[:half], order[::-1], strict=False) for number in two][: len(order)]


def shuffled(order: Sequence[int]) -> Order:
    return random.Random(1).sample(order, len(order))


SHAPES: dict[str, Callable[[Order], Order]] = {
    "ascending": list,
    "descending": lambda order: order[::-1],
    "halves": lambda order: in_two(order, lambda place: place % 2 == 0),
    "thirds": lambda order: in_two(order, lambda place: place % 3 == 0),
    "five of sixteen": lambda order: in_two(order, lambda place: place * 5 % 16 < 5),
    "an eleventh last": lambda order: in_two(order, lambda place: place % 11 > 0),
    "outside in": outside_in,
    "shuffled": shuffled,
    "by number": sorted,
}
"""Orders that are measured to compare with, made from the order of the index."""


def recipe(variant: Variant) -> Recipe:
    """The empty table and its index."""
    return Recipe(f"an empty table of orders, {variant.name}", TABLE, then=variant.definition)


def pages(orders: Database, arrival: Sequence[int]) -> int:
    """Pages of the index after the rows have come into the empty table in this order."""
    orders.run("TRUNCATE orders")
    orders.run(INSERT, {"arrival": list(arrival)})
    return orders.relation_bytes("orders_index") // PAGE_BYTES


@cache
def known(variant: Variant) -> dict[str, int]:
    """The pages that each of `SHAPES` makes, measured once a process."""
    order = in_order(variant)
    with database(recipe(variant)) as orders:
        return {name: pages(orders, shape(order)) for name, shape in SHAPES.items()}


def best(variant: Variant, name: str) -> int:
    """The pages of the largest index that is known, or of the smallest."""
    return max(known(variant).values()) if name == "largest" else min(known(variant).values())


def bound(variant: Variant, name: str) -> int:
    """The fewest pages that the largest index may have, or the most of the smallest."""
    pages_known = best(variant, name)
    if name == "largest":
        return ceil(pages_known * (1 - SLACK[name]))
    return floor(pages_known * (1 + SLACK[name]))


def accepts(answer: Any) -> str:
    if answer is None:
        return ""
    if type(answer) is not dict or set(answer) != set(NAMES):
        keys = f"a dict with {sorted(map(str, answer))}" if type(answer) is dict else type(answer).__name__
        return f"The answer is a dict with the keys 'largest' and 'smallest', or None; this is {keys}."
    for name in NAMES:
        order = answer[name]
        if type(order) not in (list, tuple) or any(type(number) is not int for number in order):
            return f"{name!r} is to be a list of whole numbers."
        if sorted(order) != list(range(1, ROWS + 1)):
            return _no_order(name, order)
    return ""


def _no_order(name: str, order: Sequence[int]) -> str:
    missing = sorted(set(range(1, ROWS + 1)) - set(order))
    what = f"{len(order):,} numbers, {len(set(order)):,} different ones"
    gap = f"; {missing[0]:,} is missing" if missing else ""
    foreign = next((number for number in order if not 1 <= number <= ROWS), None)
    none = f"; {foreign:,} is none of the orders" if foreign is not None else ""
    return f"{name!r} has {what}{none}{gap}: an order has each number from 1 to {ROWS:,} once."


def judge(answer: dict[str, Sequence[int]] | None, variant: Variant) -> Judgement:
    if answer is None:
        return all_alike(variant) if variant.free else Judgement(0.0, (not_alike(),))
    with database(recipe(variant)) as orders:
        made = {name: pages(orders, answer[name]) for name in NAMES}
    if variant.free:
        finding = is_it_free(made, variant)
        return Judgement(float(finding.ok), (finding,))
    bounds = {name: bound(variant, name) for name in NAMES}
    shown = bars(
        {
            "your largest": made["largest"],
            "largest known": best(variant, "largest"),
            "your smallest": made["smallest"],
            "smallest known": best(variant, "smallest"),
        },
        f"Pages of the index on {variant.on}",
        unit="pages",
    )
    if made["largest"] <= bounds["smallest"] and made["smallest"] >= bounds["largest"]:
        return Judgement(0.0, (exchanged(made, variant),), (shown,))
    findings = tuple(of_one(name, answer[name], made[name], variant) for name in NAMES)
    findings = tuple(sorted(findings, key=lambda finding: finding.ok))
    return Judgement(float(all(finding.ok for finding in findings)), findings, (shown,))


def told(count: int) -> str:
    """'57 pages, 23 bytes a row'."""
    return f"{count} pages, {count * PAGE_BYTES / ROWS:.0f} bytes a row"


def arrival(order: Sequence[int], variant: Variant) -> str:
    """How rows arrive at the index: at its right edge (`rising`), at its left one (`falling`), at `both`; by `number`, where
    the index does not go by it; in `stretches`, the next row beside one of the last two; or `scattered`."""
    place = {number: place for place, number in enumerate(in_order(variant))}
    places = [place[number] for number in order]
    behind, in_front = share_in_front([-each for each in places]), share_in_front(places)
    if behind > EDGE_SHARE:
        return "rising"
    if in_front > EDGE_SHARE:
        return "falling"
    if behind + in_front > EDGE_SHARE:
        return "both"
    if max(share_in_front(order), share_in_front([-number for number in order])) > EDGE_SHARE:
        return "number"
    near = sum(
        min(abs(now - last), abs(now - before)) <= NEAR
        for before, last, now in zip(places, places[1:], places[2:], strict=False)
    )
    return "stretches" if near > REGULAR_SHARE * len(places) else "scattered"


def share_in_front(places: Sequence[int]) -> float:
    """The share of rows that come in front of all before them.

    >>> share_in_front([9, 7, 8, 3])
    0.75
    """
    least, count = ROWS + 1, 0
    for place in places:
        if place < least:
            least, count = place, count + 1
    return count / len(places)


ARRIVES = {
    "rising": "nearly each row comes behind all others in the index",
    "falling": "nearly each row comes in front of all others in the index",
    "both": "nearly each row comes behind all others in the index, or in front of all",
    "stretches": "the rows come stretch by stretch, and later ones between those that are there",
    "number": "the numbers go one way, and in the index the rows come now here, now there",
    "scattered": "the rows come now here, now there in the index",
}
SHAPED: dict[tuple[str, str], tuple[str, str]] = {
    ("largest", "rising"): (
        "Where is the right-most leaf cut, and how full is the one that is left behind?",
        "always-halved",
    ),
    ("largest", "falling"): (
        "How full is a leaf that is cut at the right edge of this index, and how full one that is cut elsewhere?",
        "half-full",
    ),
    ("largest", "scattered"): (
        "After a cut in the middle, what do later rows do to both halves? In which order would one half never get another row?",
        "shuffled-is-worst",
    ),
    ("largest", "both"): (
        "Which of the two edges leaves the emptier leaves behind, and how many of the rows come to it?",
        "edges-are-alike",
    ),
    ("largest", "stretches"): (
        "How full are the leaves when the last stretch begins, and what do its rows do to them? In which order would one half of each cut leaf never get another row?",
        "cuts-enlarge",
    ),
    ("largest", "number"): ("By what does this index sort the rows, and which of them stand last?", "numbers-decide"),
    ("smallest", "rising"): (
        "How full is a leaf that ascending rows leave behind here, and which rows, if they came later, would still go to it?",
        "sorted-is-best",
    ),
    ("smallest", "falling"): (
        "Each row comes in front of all others: which half of a leaf that was cut gets the next ones?",
        "edges-are-alike",
    ),
    ("smallest", "scattered"): (
        "How full is a leaf just after it was cut in the middle, how full just before, and so in the mean?",
        "shuffled-is-even",
    ),
    ("smallest", "both"): (
        "How full are the leaves that are left behind at the right edge, how full those at the left one, and how many rows come to each?",
        "edges-are-alike",
    ),
    ("smallest", "stretches"): (
        "Rows that come later go between those that are there. How full are the leaves by then, how many more come to each, and what becomes of a leaf to which more come than it has room for?",
        "later-fits",
    ),
    ("smallest", "number"): (
        "Which two rows are neighbours in this index, and do they arrive one after the other?",
        "numbers-decide",
    ),
}


def of_one(name: str, order: Sequence[int], made: int, variant: Variant) -> Finding:
    """Whether one of the two orders does what it is meant to."""
    most = bound(variant, name)
    record = best(variant, name)
    if made >= most if name == "largest" else made <= most:
        beaten = made > record if name == "largest" else made < record
        more = f" The {name} that we knew has {record}: yours goes beyond it." if beaten else ""
        return Finding(True, f"`{name}`: {told(made)}.{more}")
    shape = arrival(order, variant)
    question, misconception = SHAPED[name, shape]
    if (name, shape) == ("smallest", "scattered") and variant.plain != "ascending":
        question = "When the first rows have come in ascending order, how full are the leaves? How many of the others fit between two neighbours, without a further cut?"
        misconception = "one-way"
    return Finding(
        ok=False,
        seen=f"`{name}`: {told(made)}. In this order {ARRIVES[shape]}.",
        expected=f"{'At least' if name == 'largest' else 'At most'} {most} pages; an order is known that makes {record}.",
        question=question,
        misconception=misconception,
    )


def exchanged(made: dict[str, int], variant: Variant) -> Finding:
    return Finding(
        ok=False,
        seen=f"The two are exchanged: `largest` makes {told(made['largest'])}; `smallest` makes {told(made['smallest'])}.",
        expected="Under `largest` the order that makes more pages.",
        question="At which edge of this index does each next row arrive, and what becomes of a full leaf there?",
        misconception="sorted-is-best"
        if variant.plain != "ascending"
        else "numbers-decide"
        if "DESC" in variant.on
        else "edges-are-alike",
    )


def all_alike(variant: Variant) -> Judgement:
    made = known(variant)
    findings = tuple(Finding(True, f"The order `{name}` makes {told(count)}.") for name, count in made.items())
    alike = max(made.values()) <= APART * min(made.values())
    return Judgement(float(alike), findings)


def not_alike() -> Finding:
    return Finding(
        ok=False,
        seen=f"You say that no order makes a difference. There are two here that differ by more than {APART - 1:.0%}.",
        expected="The two orders.",
        question="Where in this index does the next row go, if the rows come sorted, and how full is the leaf that it leaves behind?",
        misconception="order-is-free",
    )


def is_it_free(made: dict[str, int], variant: Variant) -> Finding:
    """Whether a pair of orders refutes that the order makes no difference here."""
    if made["largest"] > APART * made["smallest"]:
        return Finding(True, f"`largest` makes {told(made['largest'])}, `smallest` {told(made['smallest'])}.")
    return Finding(
        ok=False,
        seen=f"`largest` makes {told(made['largest'])}, and `smallest` {told(made['smallest'])}.",
        expected=f"Two that differ by more than {APART - 1:.0%}, or None where there are no such two.",
        question="Rows with the same status stand in the index by their place in the table. Where among its like does a new row go, whatever came before it?",
        misconception="order-decides",
    )


TRYING = """from sqlalchemy import text

engine = practice("btrees-orders").execution_options(isolation_level="AUTOCOMMIT")
with engine.connect() as mine:
    mine.execute(text("TRUNCATE orders"))
    mine.execute(text(insert), {"arrival": order})
    print(mine.execute(text("SELECT pg_relation_size('orders_index') / 8192")).scalar(), "pages")"""


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}:\n\n```sql\n{TABLE}\n{variant.definition};\n```\n\n"
        f"{ROWS:,} orders are moved in from the old system, one by one, into the empty table. You decide in which order:\n\n```sql\n{INSERT};\n```\n\n"
        'Hand in `{"largest": [...], "smallest": [...]}`: two orders of the numbers from 1 to '
        f"{ROWS:,}, one that makes the index as large as an order can, and one that makes it as small. Both are tried on PostgreSQL. The pages of the index may miss the largest that is known by "
        f"{SLACK['largest']:.0%}, and the smallest by {SLACK['smallest']:.1%}. If no two orders differ by more than {APART - 1:.0%}, hand in `None`.\n\n"
        f"To try, with the statement above as `insert`:\n\n```python\n{TRYING}\n```"
    )


def why(variant: Variant) -> str:
    measured = ", ".join(f"{name} {count}" for name, count in sorted(known(variant).items(), key=lambda pair: pair[1]))
    return (
        f"{variant.because} Pages of this index, by how the rows come in its own order: {measured}. What would change it: another index on the same rows (there is no order that is good for all of them), and "
        "CREATE INDEX or REINDEX after the load, which sorts first and fills to the fill factor, whatever the order was."
    )


def third_hint(variant: Variant) -> str:
    if variant.free:
        return "Measure five orders: by status, by status from the last, by number, shuffled, reversed. What do you say to somebody who wants to sort the rows first?"
    if variant.plain == "halves":
        return "For `largest`, sorted numbers, up or down. For `smallest`, every other number in ascending order (`numbers[::2]`), so that the leaves are half full, and then all the others, which fall between them."
    if variant.plain == "thirds":
        return "For `largest`, ascending numbers. For `smallest`, every third number in ascending order (`numbers[::3]`), so that the leaves are 30 per cent full, and then all the others, which fall between them."
    sort = {
        "newest first": "the numbers from the largest down, since the index begins with the largest",
        "code": "the numbers sorted by `f'R{n}'`",
        "customer": f"the numbers sorted by `n * 7919 % {CUSTOMERS}`",
    }[variant.name]
    return f"Rows that come in the order of the index make the smallest one: {sort}. In the reverse order they make the largest."


EXERCISE = register(
    Exercise(
        id="btrees-orders",
        lab="01_btrees",
        number=3,
        title="The largest and the smallest index of the same rows",
        kind="W",
        declares="value",
        points=3,
        core=True,
        minutes=9,
        answer="a dict with the keys 'largest' and 'smallest', each a list of numbers, or None",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "Where in this index does each next row go? When the leaf there is full, where is it cut, and will its two halves ever get another row?"
            ),
            lambda variant: (
                "Sort the rows as the index sorts them (direction, type, equal keys); then measure four orders: that one, its reverse, the numbers as they are, and a shuffle. Compare with what the "
                "fill factor says, and ask which of the leaves could take more, if rows came that belong there."
            ),
            third_hint,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "order-is-free": "The order in which rows arrive is free: the same rows make the same index.",
            "order-decides": "The order of arrival decides the size of every index.",
            "numbers-decide": "What counts is whether the numbers rise, whatever the index holds and however it sorts.",
            "edges-are-alike": "A tree fills at its left edge as it does at its right one.",
            "shuffled-is-worst": "Shuffled rows make the largest index.",
            "shuffled-is-even": "Shuffled rows fill all leaves evenly, and so well.",
            "sorted-is-best": "Sorted rows make the smallest index, whatever its options.",
            "half-full": "A leaf is at least half full.",
            "always-halved": "A full leaf is always cut in the middle.",
            "cuts-enlarge": "The more leaves are cut, the larger the index.",
            "later-fits": "Rows that come later find room between those that are there.",
            "one-way": "An order goes one way: up, down or at random.",
        },
    )
)
