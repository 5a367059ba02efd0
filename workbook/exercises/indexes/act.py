"""Three queries: act, or leave everything as it is.

    reads a minute x pages each  +  writes a minute x pages each  =  what the design costs

An index takes from the first sum and adds to the second. Whether it is worth it depends on how much the query leaves out, how often it is asked
and how often the table is written. The judge asks the reads on a clone with the answer's indexes, each with several values, then writes one batch of
orders, and multiplies. It takes each index away, too, and asks again: what an index saves is what the reads cost more without it, what it costs is its own
pages of the batch. All together is compared with the best of the agent's indexes, priced on the same engine. In two variants the best is none. An
index on `status` is worth nothing to who asks for what was shipped, nineteen orders in twenty, and much to who asks for the one in a thousand that came back.

    >>> sum(1 for _ in subsets(("a", "b")))
    4

Source: Athanassoulis and others, "Designing Access Methods: The RUM Conjecture" (EDBT 2016). Left out: disk space, and WAL (another exercise).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from statistics import mean
from typing import Any

from workbook.engines import Change, Database, Recipe
from workbook.exercises.trial import Trial, key_columns, pages_of, quoted, tried, whole, written
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.plans import Plan, explain

ROWS, BATCH = 20_000, 200
TABLES = f"""CREATE TABLE orders (order_id bigint PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL, total_cents int NOT NULL,
                     placed_minute int NOT NULL, note text);
INSERT INTO orders SELECT i, i::bigint * 104729 % 4001, CASE WHEN i % 1000 = 7 THEN 'returned' WHEN i % 20 = 0 THEN 'open' ELSE 'shipped' END, i::bigint * 31607 % 5003, i,
                          md5(i::text) || md5((i + 1)::text)
    FROM generate_series(1, {ROWS}) i"""
WRITE = f"""INSERT INTO orders SELECT {ROWS} + i, i * 19 % 4001, 'open', i * 23 % 5003, {ROWS} + i, 'new' FROM generate_series(1, {BATCH}) i"""
READS = {
    "A": "SELECT order_id, total_cents FROM orders WHERE customer_id = {customer}",
    "B": "SELECT * FROM orders WHERE status = '{status}'",
    "C": "SELECT order_id, placed_minute FROM orders WHERE total_cents BETWEEN {least} AND {most}",
}
VALUES: Mapping[str, tuple[Mapping[str, int], ...]] = {
    "A": ({"customer": 1234}, {"customer": 77}, {"customer": 2500}),
    "C": ({"least": 4000, "most": 4009}, {"least": 1500, "most": 1509}, {"least": 2750, "most": 2759}),
}
CANDIDATES = {"A": "customer_id", "B": "status", "C": "total_cents"}
BETTER = {
    "A": "(customer_id) INCLUDE (order_id, total_cents)",
    "B": "(order_id) WHERE status = 'returned'",
    "C": "(total_cents) INCLUDE (order_id, placed_minute)",
}
SLACK = 1.1


@dataclass(frozen=True)
class Variant:
    """How often each read is asked for, and how many orders are written, both in a minute; the `status` that read B asks for."""

    story: str
    a: int
    b: int
    c: int
    written: int
    status: str = "shipped"

    def asked(self, read: str) -> list[str]:
        """A read with each of the values that it is asked with, the one that is shown first."""
        values = VALUES.get(read, ({"status": self.status},))
        return [READS[read].format(**one) for one in values]

    @property
    def rates(self) -> dict[str, int]:
        return {"A": self.a, "B": self.b, "C": self.c}


VARIANTS = (
    Variant("A normal day: customers look at their orders, an export comes by now and then", 300, 1, 0, 2_000),
    Variant("An import night: nobody is awake, orders of another shop come in", 2, 1, 1, 60_000),
    Variant("The accountants are in the house, and compare prices all day", 0, 1, 400, 2_000),
    Variant("Customers and accountants at once", 300, 1, 300, 2_000),
    Variant("Black Friday: many look, still more buy", 40, 1, 1, 30_000),
    Variant("A quiet day: partners export what was shipped, the accountants compare, few buy", 0, 60, 100, 500),
    Variant("After the holidays: customers look, and the desk for what came back asks all day", 300, 200, 1, 4_000, "returned"),
)  # fmt: skip


@dataclass(frozen=True)
class Prices:
    """Pages: of each read, the mean of its values; of one written order, in the table and its key, and in each further
    index by name."""

    reads: Mapping[str, float]
    table: float
    indexes: Mapping[str, float]

    @property
    def write(self) -> float:
        return self.table + sum(self.indexes.values())

    def total(self, variant: Variant) -> int:
        """Pages in a minute."""
        return round(asked(self.reads, variant) + variant.written * self.write)


@dataclass(frozen=True)
class Worth:
    """What one index saves and costs in a minute, in pages; whether any read uses it; its kind; the column of a read that it
    begins with ('' where it begins with another, or does not hold all rows)."""

    name: str
    saves: int
    costs: int
    used: bool
    kind: str
    filtered: str

    @property
    def pays(self) -> bool:
        return self.saves > 0 and self.saves >= self.costs


def recipe(variant: Variant) -> Recipe:
    """The orders, without any index but the key."""
    return Recipe("20,000 orders, unindexed", TABLES)


def brief(variant: Variant) -> str:
    rows = "\n".join(f"| {name} | `{variant.asked(name)[0]}` | {variant.rates[name]:,} |" for name in READS)
    return (
        f"{variant.story}. In one minute:\n\n| | read | times |\n|---|---|---|\n{rows}\n\nand {variant.written:,} orders are written. `orders` has {ROWS:,} rows and its primary "
        f"key. An agent suggests an index for each read: on `{CANDIDATES['A']}`, on `{CANDIDATES['B']}` and on `{CANDIDATES['C']}`. Which of them do you grant? Hand in the "
        "`CREATE INDEX` statements, or the text `leave` to leave everything as it is. What counts is the pages touched in a minute by all of it together: you may be a tenth above the "
        "best of the agent's, and each index must save at least what its writes cost. A and C are asked for other customers and other prices, too. "
        '`engine = practice("indexes-act")` gives you the table: `explain` prices a read, `measure` a write.'
    )


def accepts(answer: Any) -> str:
    if not isinstance(answer, str):
        return f"The answer is SQL as text, or the text 'leave'; this is {type(answer).__name__}."
    return "" if answer.strip() else "The answer is empty: write CREATE INDEX statements, or 'leave'."


def leaves(answer: str) -> bool:
    """Whether an answer is the word and no SQL.

    >>> leaves("Leave."), leaves("'leave' it all"), leaves("leave; CREATE INDEX leave ON orders (status)")
    (True, True, False)
    """
    return re.fullmatch(r"\W*leave\b[^;]*;?\s*", answer, re.IGNORECASE) is not None


def subsets(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """All subsets, the empty one first."""
    for size in range(len(names) + 1):
        yield from combinations(names, size)


def asked(reads: Mapping[str, float], variant: Variant) -> float:
    """Pages of all reads in a minute."""
    return sum(variant.rates[name] * pages for name, pages in reads.items())


def plans(orders: Database, variant: Variant, reads: Iterable[str] = tuple(READS)) -> dict[str, list[Plan]]:
    """The plans of the reads, one for each of their values."""
    return {name: [explain(sql, orders.engine) for sql in variant.asked(name)] for name in reads}


def pages(found: Mapping[str, list[Plan]]) -> dict[str, float]:
    """Of each read, the mean over its values."""
    return {name: mean(pages_of(plan) for plan in three) for name, three in found.items()}


def uses(plan: Plan, index: str) -> bool:
    return any(node.index == index for node in plan.nodes())


def price(orders: Database, reads: Mapping[str, float]) -> Prices:
    """The prices on a database as it is now; `reads` were measured before. A batch of orders is written."""
    cost, parts = written(orders, WRITE)
    extra = {name: count / BATCH for name, count in parts.items() if name != "orders_pkey"}
    return Prices(reads, cost.buffers / BATCH - sum(extra.values()), extra)


@cache
def _priced(key: str, status: str, indexes: tuple[tuple[str, str], ...]) -> Prices:
    """A set of indexes (read, columns), each named after its read, priced on a clone of its own: once a process for all
    variants whose reads are the same."""
    ddl = "; ".join(f'CREATE INDEX "{name}" ON orders {columns}' for name, columns in indexes)
    variant = next(one for one in VARIANTS if one.status == status)
    with tried(recipe(variant), ddl or None) as trial:
        return price(trial.database, pages(plans(trial.database, variant)))


def priced(chosen: tuple[str, ...], variant: Variant) -> Prices:
    """What these of the agent's indexes cost: a read is served by its own index or by none, and each index is written by
    itself, so that two clones tell it for every set."""
    key, columns = recipe(variant).key, tuple((name, f"({column})") for name, column in CANDIDATES.items())
    none, every = (_priced(key, variant.status, indexes) for indexes in ((), columns))
    reads = {name: (every if name in chosen else none).reads[name] for name in READS}
    return Prices(reads, none.table, {name: every.indexes[name] for name in chosen})


def best_of(variant: Variant) -> tuple[tuple[str, ...], int]:
    """The best set of the agent's indexes, and its pages in a minute."""
    chosen = min(subsets(tuple(CANDIDATES)), key=lambda names: (priced(names, variant).total(variant), len(names)))
    return chosen, priced(chosen, variant).total(variant)


def better(variant: Variant) -> int:
    """Pages in a minute if the best set also held what its reads return, or nothing but the rows that they want."""
    chosen = tuple((name, BETTER[name]) for name in best_of(variant)[0])
    return _priced(recipe(variant).key, variant.status, chosen).total(variant)


def judge(answer: str, variant: Variant) -> Judgement:
    best, least = best_of(variant)
    ddl = None if leaves(answer) else answer
    with tried(recipe(variant), ddl, question="Which reads can an index serve, and are they worth it?") as trial:
        if trial.refused or (ddl and not trial.made):
            return Judgement(0.0, (trial.refused or nothing(),))
        found = plans(trial.database, variant)
        if partial := some_values_only(found, trial.names, variant):
            return Judgement(0.0, (partial,))
        saved = {change.object: saving(trial, change, found, variant) for change in trial.made}
        prices = price(trial.database, pages(found))
        worths = [
            worth(trial, change, saved[change.object], round(variant.written * prices.indexes[change.object]), found)
            for change in trial.made
        ]
    budget = within(prices, round(least * SLACK), worths, priced(best, variant), variant)
    findings = (earned(worths), budget) if worths else (budget,)
    return Judgement(whole(*findings), findings)


def nothing() -> Finding:
    return Finding(
        False, "The answer runs, and creates no index.", "CREATE INDEX statements, or the text `leave`.",
        "Do you mean that nothing is worth an index here?",
    )  # fmt: skip


def some_values_only(found: Mapping[str, list[Plan]], names: list[str], variant: Variant) -> Finding | None:
    """What is wrong where a new index serves a read with some of its values and not with others."""
    for read, three in found.items():
        serving = [name for name in names if any(uses(plan, name) for plan in three)]
        without = sum(not any(uses(plan, name) for name in serving) for plan in three)
        if serving and without:
            return Finding(
                False, f"Read {read} goes by {' and '.join(serving)} with some values; with {without} of {len(three)} it reads the whole table.",
                f"An index for all reads like `{variant.asked(read)[0]}`.", "Which rows does your index leave out, and who asks for them?", "one-value",
            )  # fmt: skip
    return None


def saving(trial: Trial, change: Change, found: Mapping[str, list[Plan]], variant: Variant) -> int:
    """Pages in a minute that the reads cost more while this index is away."""
    name, orders = change.object, trial.database
    concerned = {read for read, three in found.items() if any(uses(plan, name) for plan in three)}
    if not concerned:
        return 0
    orders.run(f"DROP INDEX {quoted(name)}")
    without = plans(orders, variant, concerned)
    orders.run(str(change.after))
    before = {read: found[read] for read in concerned}
    return round(asked(pages(without), variant) - asked(pages(before), variant))


def worth(trial: Trial, change: Change, saves: int, costs: int, found: Mapping[str, list[Plan]]) -> Worth:
    used = any(uses(plan, change.object) for three in found.values() for plan in three)
    kind, _, rest = str(change.after).partition(" USING ")[2].partition(" ")
    first = key_columns(trial.database, change.object)[0]
    filtered = first if first in CANDIDATES.values() and " WHERE " not in rest else ""
    return Worth(change.object, saves, costs, used, kind, filtered)


def earned(worths: list[Worth]) -> Finding:
    """Whether each index saves what it costs."""
    if all(one.pays for one in worths):
        told = "; ".join(f"{one.name} saves {one.saves:,} pages in a minute and costs {one.costs:,}" for one in worths)
        return Finding(True, f"{told}.")
    losers = [one for one in worths if not one.pays]
    one = max(losers, key=lambda loser: loser.costs - loser.saves)
    more = (
        f" {len(losers) - 1} more do not pay either."
        if len(losers) > 2
        else " One more does not pay either."
        if len(losers) == 2
        else ""
    )
    expected = "Only indexes that save at least what their writes cost."
    if one.used:
        return Finding(
            False, f"{one.name} saves {one.saves:,} pages in a minute, and its writes cost {one.costs:,}.{more}", expected,
            "How often is its read asked, and how often must the index be written?", "always-wins",
        )  # fmt: skip
    if one.filtered and one.kind != "btree":
        return Finding(
            False, f"{one.name} is used by none of the reads, and its writes cost {one.costs:,} pages in a minute.{more}", expected,
            f"Which conditions can an index of the kind {one.kind} answer, and on which order of the rows?", "any-kind",
        )  # fmt: skip
    return Finding(
        False, f"{one.name} is used by none of the reads, and its writes cost {one.costs:,} pages in a minute.{more}", expected,
        f"Which share of the rows does the read leave out that compares `{one.filtered}`?"
        if one.filtered
        else "Which read compares what it begins with, and does each row that the read wants stand in it?",
        "always-wins" if len(losers) > 1 else "any-filter" if one.filtered else "",
    )  # fmt: skip


def within(mine: Prices, budget: int, worths: list[Worth], best: Prices, variant: Variant) -> Finding:
    """Whether all of it together is within a tenth of the best of the agent's."""
    parts = ", ".join(f"{name} {variant.rates[name] * pages:,.0f}" for name, pages in mine.reads.items())
    seen = f"{mine.total(variant):,} pages in a minute: {parts}, writes {variant.written * mine.write:,.0f}"
    if mine.total(variant) <= budget:
        return Finding(True, f"{seen}; at most {budget:,} were allowed.")
    expected = f"At most {budget:,} pages in a minute."
    dearer = {read: variant.rates[read] * (mine.reads[read] - best.reads[read]) for read in READS}
    missing = max(dearer, key=lambda read: dearer[read])
    question = f"What would read {missing} cost by an index, and what would the writes cost then?"
    if not worths:
        told = f"{seen}. Nothing is changed, and read {missing} costs {mine.reads[missing]:,.0f} pages each time."
        return Finding(False, told, expected, question, "never-worth-it")
    if dearer[missing] > 0:
        told = f"{seen}. Read {missing} still costs {mine.reads[missing]:,.0f} pages each time."
        return Finding(False, told, expected, question)
    return Finding(
        False, f"{seen}. Each order is written into {len(worths)} index{'' if len(worths) == 1 else 'es'} besides its key.", expected,
        f"Which of the {len(worths)} would the reads miss least, and what would the writes cost without it?"
        if len(worths) > 1
        else "What would the writes cost without that index?",
    )  # fmt: skip


def why(variant: Variant) -> str:
    chosen, least = best_of(variant)
    said = f"The best of the agent's three here: {' and '.join(CANDIDATES[name] for name in chosen) or 'none of them'}."
    less = better(variant) if chosen else least
    if less < least and "B" in chosen:
        said += f" With {BETTER['A']} and {BETTER['B']} it would be {less:,} pages in place of {least:,}: the table is left alone by one read, and by the other's index the new orders."
    elif less < least:
        said += f" With the columns that the reads return behind INCLUDE it would be {less:,} pages in place of {least:,}, for then the table is left alone."
    shipped = "Read B uses no index whatever: it wants nineteen rows in twenty, and all columns of them, and reading all is the quickest way to them."
    rare = "Whether a column deserves an index depends on the value: read B wants one order in a thousand; of those that were shipped it would want nineteen in twenty, and use no index whatever."
    return (
        f"{said} {rare if 'B' in chosen else shipped} For the others the rates decide: with other traffic the same index is a gain or a loss. Counted in pages on PostgreSQL 18; "
        "in WAL, or with full-page writes, an index weighs more."
    )


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
        why=why,
        misconceptions={
            "always-wins": "An index always wins.",
            "never-worth-it": "Indexes are too dear where much is written.",
            "any-filter": "A column that is filtered by deserves an index.",
            "any-kind": "On the right column, an index of any kind serves.",
            "one-value": "An index made for the values of the example serves all others.",
        },
    )
)  # fmt: skip
