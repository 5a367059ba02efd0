"""Incident: eight reads, an index for each, and a write that became too slow.

    read 1 ─▶ index 1        each is the best index for its read,
    ...                      and together they are the reason for the incident:
    read 8 ─▶ index 8        every order is written nine times, and no look stays HOT
                             (a read of two columns that stand side by side serves its neighbour, too)

The evidence is a table of pages, WAL and bytes, measured before it is shown. The answer drops indexes and creates others; it
is judged on a clone by what the reads touch, what the two writes log and what the indexes take. Each read is asked with the values that are shown and
with two others, and its worst call counts: an index of one customer's orders serves one customer. The budgets are those of a reference solution and
a margin, measured beside it.

A variant takes four pairs of reads out of six. Each pair is served by one index; which one has to be found anew.

    >>> len(VARIANTS), {len(variant.reads) for variant in VARIANTS}
    (6, {8})

Source: Lightstone, Teorey and Nadeau, "Physical Database Design" (2007), chapter 4, on merging index candidates; PostgreSQL 18's manual,
"Heap-Only Tuples". Left out: reads that come once a month; they would stand in the table with their rate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from workbook.engines import Recipe
from workbook.exercises.trial import Trial, allowed, article, kilobytes, pages_of, tried, whole
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.plans import Plan

ROWS, NEW, REFRESHED = 40_000, 200, 500
WAL_MARGIN, BYTES_MARGIN = 1.1, 1.2
TABLE = """CREATE TABLE orders (
    order_id bigint PRIMARY KEY, customer_id int NOT NULL, courier_id int NOT NULL, status text NOT NULL, country text NOT NULL,
    parcel_code text NOT NULL, placed_minute int NOT NULL, seen_minute int NOT NULL, total_cents int NOT NULL
) WITH (fillfactor = 85)"""
ROW = """{i}, {i} % 40009 * 104729 % 600 + 1, {i} * 86028121 % 39989 * 49979687 % 150 + 1,
    CASE WHEN {i} * 15485863 % 39979 * 32452843 % 20 = 0 THEN 'open' ELSE 'done' END,
    (ARRAY['AT', 'BE', 'CH', 'CZ', 'DE', 'DK', 'ES', 'FR', 'IT', 'NL', 'PL', 'PT'])[{i} * 67867967 % 39971 * 15487469 % 12 + 1],
    'P-' || ({i} * 7919 % 90001), {i} * 179424673 % 39953 * 7907 % 43200, {i} * 122949823 % 39937 * 7919 % 43200, {i} * 15485863 % 39929 * 49979687 % 100000"""
INSERT = (
    f"INSERT INTO orders SELECT {ROW.format(i='i')} FROM generate_series({ROWS + 1}::bigint, {ROWS + NEW}::bigint) i"
)
INDEXES = """SELECT count(*), coalesce(sum(pg_catalog.pg_relation_size(indexrelid)), 0) FROM pg_catalog.pg_index
             WHERE indrelid = 'public.orders'::regclass AND NOT indisprimary"""
CARRIED = """SELECT c.relname, a.attname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum > i.indnkeyatts WHERE i.indrelid = 'public.orders'::regclass"""
COLUMNS = ("customer_id", "courier_id", "status", "country", "parcel_code", "placed_minute", "total_cents")
FETCHED_IN_VAIN = 5
VERBS = frozenset({"created", "dropped"})
REFRESH = f"UPDATE orders SET seen_minute = 43200 WHERE order_id % {ROWS // REFRESHED} = 3 AND order_id <= {ROWS}"


@dataclass(frozen=True)
class Read:
    """A query of the service, with braces for its values; the index that was made for it alone; the values that are shown and two further sets."""

    asks: str
    template: str
    agents: str
    values: tuple[tuple[int | str, ...], ...] = ((),)

    @property
    def calls(self) -> tuple[str, ...]:
        return tuple(self.template.format(*values) for values in self.values)

    @property
    def sql(self) -> str:
        """The call that is shown."""
        return self.calls[0]


@dataclass(frozen=True)
class Pair:
    """Two reads that one index serves."""

    index: str
    first: Read
    second: Read


CUSTOMER = Pair(
    "orders (customer_id, placed_minute)",
    Read(
        "The latest ten orders of a customer",
        "SELECT order_id, status, total_cents FROM orders WHERE customer_id = {} ORDER BY placed_minute DESC LIMIT 10",
        "orders (customer_id, placed_minute DESC)",
        ((77,), (500,), (9,)),
    ),
    Read(
        "The five that a customer looked at last",
        "SELECT order_id, seen_minute FROM orders WHERE customer_id = {} ORDER BY seen_minute DESC LIMIT 5",
        "orders (customer_id, seen_minute DESC)",
        ((77,), (500,), (9,)),
    ),
)
COURIER = Pair(
    "orders (courier_id, status)",
    Read(
        "What a courier still has to bring",
        "SELECT order_id, parcel_code FROM orders WHERE courier_id = {} AND status = 'open'",
        "orders (status, courier_id, parcel_code)",
        ((33,), (140,), (5,)),
    ),
    Read(
        "How much a courier had in all",
        "SELECT count(*) FROM orders WHERE courier_id = {}",
        "orders (courier_id)",
        ((33,), (140,), (5,)),
    ),
)
QUEUE = Pair(
    "orders (placed_minute, country) WHERE status = 'open'",
    Read(
        "The twenty orders that have been open longest",
        "SELECT order_id, country FROM orders WHERE status = 'open' ORDER BY placed_minute LIMIT 20",
        "orders (status, placed_minute)",
    ),
    Read(
        "The ten oldest open orders of a country",
        "SELECT order_id, total_cents FROM orders WHERE status = 'open' AND country = '{}' ORDER BY placed_minute LIMIT 10",
        "orders (status, country, placed_minute)",
        (("CH",), ("IT",), ("BE",)),
    ),
)
DEAREST = Pair(
    "orders (country, total_cents)",
    Read(
        "The ten dearest orders of a country",
        "SELECT order_id, customer_id FROM orders WHERE country = '{}' ORDER BY total_cents DESC LIMIT 10",
        "orders (country, total_cents DESC)",
        (("DK",), ("NL",), ("AT",)),
    ),
    Read(
        "How many orders of a country pass a limit",
        "SELECT count(*) FROM orders WHERE country = '{}' AND total_cents >= {}",
        "orders (total_cents, country)",
        (("DK", 90_000), ("NL", 96_000), ("AT", 88_000)),
    ),
)
TURNOVER = Pair(
    "orders (country, placed_minute) INCLUDE (total_cents)",
    Read(
        "The turnover of a country in the last days",
        "SELECT sum(total_cents) FROM orders WHERE country = '{}' AND placed_minute >= {}",
        "orders (country, placed_minute, total_cents)",
        (("PT", 38_880), ("ES", 37_440), ("CZ", 40_320)),
    ),
    Read(
        "The twenty latest orders of a country",
        "SELECT order_id, customer_id FROM orders WHERE country = '{}' ORDER BY placed_minute DESC LIMIT 20",
        "orders (country, placed_minute DESC, order_id)",
        (("PT",), ("ES",), ("CZ",)),
    ),
)
PARCEL = Pair(
    "orders (lower(parcel_code))",
    Read(
        "A parcel by the code that was typed in",
        "SELECT order_id, status FROM orders WHERE lower(parcel_code) = '{}'",
        "orders (lower(parcel_code))",
        (("p-7919",), ("p-35946",), ("p-39595",)),
    ),
    Read(
        "Three parcels at once, for a scanner",
        "SELECT order_id, courier_id FROM orders WHERE lower(parcel_code) IN ('{}', '{}', '{}')",
        "orders (lower(parcel_code), courier_id)",
        (("p-15838", "p-23757", "p-31676"), ("p-47514", "p-55433", "p-63352"), ("p-71271", "p-79190", "p-87109")),
    ),
)


@dataclass(frozen=True)
class Variant:
    """Four pairs, and the order in which their reads are shown."""

    story: str
    pairs: tuple[Pair, ...]
    turn: int

    @property
    def reads(self) -> tuple[Read, ...]:
        """The eight reads, partners apart."""
        shown = [pair.first for pair in self.pairs] + [pair.second for pair in reversed(self.pairs)]
        return tuple(shown[self.turn :] + shown[: self.turn])

    @property
    def reference(self) -> str:
        return "; ".join([f"DROP INDEX {', '.join(NAMES)}", *(f"CREATE INDEX ON {pair.index}" for pair in self.pairs)])


NAMES = tuple(f"for_read_{number}" for number in range(1, 9))
VARIANTS = (
    Variant("Monday, 9:40. The shop takes orders at half its usual pace", (CUSTOMER, QUEUE, DEAREST, PARCEL), 1),
    Variant("Thursday noon. Placing an order takes twice as long as last week", (CUSTOMER, COURIER, TURNOVER, PARCEL), 2),
    Variant("The evening before the sale. The disk of the log is filling up", (CUSTOMER, COURIER, QUEUE, TURNOVER), 3),
    Variant("Friday, 17:05. The replicas lag behind by minutes", (CUSTOMER, COURIER, DEAREST, PARCEL), 5),
    Variant("The first of the month. Writes queue up behind each other", (CUSTOMER, QUEUE, TURNOVER, PARCEL), 6),
    Variant("A quiet Sunday, and the log still grows by gigabytes", (CUSTOMER, COURIER, QUEUE, DEAREST), 7),
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What a design costs: the plans of each read's calls, bytes of WAL of each write, HOT updates, the number and bytes of the indexes but the key; what indexes
    carry along by INCLUDE, as pairs of index and column."""

    plans: tuple[tuple[Plan, ...], ...]
    insert_wal: int
    refresh_wal: int
    hot: int
    indexes: int
    bytes: int
    carried: frozenset[tuple[str, str]]

    @property
    def worst(self) -> list[Plan]:
        """Of each read, the plan of the call that touches most pages."""
        return [max(calls, key=pages_of) for calls in self.plans]

    @property
    def pages(self) -> list[int]:
        return [pages_of(plan) for plan in self.worst]


def recipe(variant: Variant) -> Recipe:
    """The orders, with the eight indexes of this variant's reads."""
    made = ";\n".join(f"CREATE INDEX {name} ON {read.agents}" for name, read in zip(NAMES, variant.reads, strict=True))
    rows = f"INSERT INTO orders SELECT {ROW.format(i='i')} FROM generate_series(1::bigint, {ROWS}::bigint) i"
    return Recipe("40,000 orders, an index for each read", f"{TABLE};\n{rows}", then=made)


def cost(trial: Trial, variant: Variant) -> Measured:
    """Read, then write: the reads are measured on the data as it was given."""
    orders = trial.database
    plans = tuple(tuple(trial.plan(call) for call in read.calls) for read in variant.reads)
    count, size = orders.run(INDEXES).rows[0]
    insert, refresh = orders.measure(INSERT), orders.measure(REFRESH)
    carried = frozenset((str(index), str(column)) for index, column in orders.run(CARRIED).rows)
    hot = refresh.tuples["orders"].hot_updated
    return Measured(plans, insert.wal_bytes, refresh.wal_bytes, hot, count, int(size), carried)


@cache
def design(variant: Variant, ddl: str | None) -> Measured:
    """A design measured on a clone, once a process: the agent's eight, and what was done to them."""
    with tried(recipe(variant), ddl, verbs=VERBS) as trial:
        return cost(trial, variant)


def designs(variant: Variant) -> tuple[Measured, Measured, Measured]:
    """No index but the key; the agent's eight; the reference's four."""
    none, agents, reference = f"DROP INDEX {', '.join(NAMES)}", None, variant.reference
    return design(variant, none), design(variant, agents), design(variant, reference)


def budgets(variant: Variant) -> tuple[list[int], int, int, int]:
    """Pages of each read, WAL of the insert, WAL of the refresh, bytes."""
    best = design(variant, variant.reference)
    return (
        [allowed(pages) for pages in best.pages],
        int(best.insert_wal * WAL_MARGIN),
        int(best.refresh_wal * WAL_MARGIN),
        int(best.bytes * BYTES_MARGIN),
    )


def brief(variant: Variant) -> str:
    bare, agents, _ = designs(variant)
    pages, insert, refresh, size = budgets(variant)
    asked = "\n".join(f"-- {number}: {read.asks}\n{read.sql};" for number, read in enumerate(variant.reads, 1))
    reads = "\n".join(
        f"| read {number} | {now:,} pages | {may:,} |"
        for number, (now, may) in enumerate(zip(agents.pages, pages, strict=True), 1)
    )
    made = "\n".join(f"CREATE INDEX {name} ON {read.agents};" for name, read in zip(NAMES, variant.reads, strict=True))
    return (
        f"{variant.story}. On the day before, an agent was asked to make eight reads fast, one ticket each, and it did:\n\n```sql\n{asked}\n\n{made}\n```\n\n"
        f"This was measured on `orders` ({ROWS:,} rows, `fillfactor = 85`). Each read was asked with the values that you see and with two others (the judge does so, too); "
        "its worst call is given:\n\n"
        f"| | now | allowed |\n|---|---|---|\n{reads}\n"
        f"| {NEW} new orders (`INSERT`) | {agents.insert_wal:,} bytes of WAL | {insert:,} |\n"
        f"| {REFRESHED} looks (`UPDATE orders SET seen_minute = ...`) | {agents.refresh_wal:,} bytes of WAL | {refresh:,} |\n"
        f"| all indexes but the key | {kilobytes(agents.bytes)} | {kilobytes(size)} |\n\n"
        f"Of the {REFRESHED} looks {bare.hot} were HOT before; now {agents.hot} are.\n\n"
        "Write the `DROP INDEX` and `CREATE INDEX` statements after which **every line** of the table is within what is allowed. "
        '`engine = practice("indexes-incident")` is that table with the eight indexes.'
    )


def judge(answer: str, variant: Variant) -> Judgement:
    with tried(recipe(variant), answer, verbs=VERBS) as trial:
        if trial.refused:
            return Judgement(0.0, (trial.refused,))
        if not (trial.made or trial.dropped):
            return Judgement(0.0, (nothing(),))
        mine = cost(trial, variant)
    pages, insert, refresh, size = budgets(variant)
    findings = each_asks_once(
        (
            reads_within(mine, pages, variant, bool(trial.made)),
            inserts_within(mine, insert, variant),
            refreshes_within(mine, refresh, variant),
            bytes_within(mine, size, variant),
        )
    )
    return Judgement(whole(*findings), findings, tuple(mine.worst[number] for number in over(mine, pages)[:1]))


def each_asks_once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings; a question that one of them has asked is asked by none of the later ones."""
    asked = [finding.question for finding in findings]
    return tuple(
        replace(finding, question="" if finding.question in asked[:at] else finding.question)
        for at, finding in enumerate(findings)
    )


def over(mine: Measured, pages: list[int]) -> list[int]:
    """The reads over their budgets, by their places, the one that is furthest above first."""
    found = [number for number, (now, may) in enumerate(zip(mine.pages, pages, strict=True)) if now > may]
    return sorted(found, key=lambda number: mine.pages[number] / pages[number], reverse=True)


def nothing() -> Finding:
    return Finding(
        False, "The answer leaves all indexes as they are.", "Fewer or other indexes, within every line of the table.",
        "Which two of the eight begin with the same column?",
    )  # fmt: skip


def reads_within(mine: Measured, pages: list[int], variant: Variant, made: bool) -> Finding:
    found = over(mine, pages)
    if not found:
        return Finding(True, "All eight reads are within what is allowed.")
    number = found[0]
    read, kinds = variant.reads[number], [plan.find(relation="orders")[0].kind for plan in mine.plans[number]]
    others = {1: "", 2: " One other read is over its budget, too."}.get(
        len(found), f" {len(found) - 1} other reads are over their budgets, too."
    )
    kind = mine.worst[number].find(relation="orders")[0].kind
    told, expected = (
        f"Read {number + 1} touches {mine.pages[number]:,} pages by {article(kind)}",
        f"At most {pages[number]:,} for read {number + 1}.",
    )
    column, vain = fetched_in_vain(mine.worst[number])
    if any((node.index, column) in mine.carried for node in mine.worst[number].nodes()):
        return Finding(
            False, f"{told}: {vain:,} rows were fetched only to be refused by `{column}`.{others}", expected,
            f"The index carries `{column}` along by INCLUDE. At which moment does PostgreSQL look at it there: before it fetches the row, or after?", "carried-is-checked",
        )  # fmt: skip
    if column and kind != "Seq Scan":
        return Finding(
            False, f"{told}: {vain:,} rows were fetched only to be refused by `{column}`.{others}", expected,
            "What would the index need to know to leave those rows alone?", "same-start",
        )  # fmt: skip
    if kind != "Seq Scan":
        return Finding(
            False, f"{told}.{others}", expected,
            "Which of the index's columns ends the search too early: what is checked, sorted or fetched behind it?", "same-start",
        )  # fmt: skip
    if set(kinds) != {kind}:
        return Finding(
            False, f"{told} with {kinds.count(kind)} of {len(kinds)} values, and goes by an index with the rest.{others}", expected,
            "Which rows does that index leave out, and who asks for them?", "one-value",
        )  # fmt: skip
    return Finding(
        False, f"{told}.{others}", expected,
        f"Which index is left that keeps the rows of `{read.sql.split('WHERE ')[1].split(' ORDER')[0]}` together?", "" if made else "drop-all",
    )  # fmt: skip


def fetched_in_vain(plan: Plan) -> tuple[str, int]:
    """The column by which rows were refused after they had been fetched by an index, and how many; '' where there are next to none."""
    scan = plan.find(relation="orders")[0]
    removed = int(scan.rows_removed.value or 0)
    column = re.search("|".join(COLUMNS), dict(scan.conditions).get("Filter", ""))
    if scan.kind == "Seq Scan" or removed <= FETCHED_IN_VAIN or column is None:
        return "", 0
    return column[0], removed


def inserts_within(mine: Measured, budget: int, variant: Variant) -> Finding:
    if mine.insert_wal <= budget:
        return Finding(True, f"{NEW} new orders write {mine.insert_wal:,} bytes of WAL, within the {budget:,} allowed.")
    return Finding(
        False, f"{NEW} new orders write {mine.insert_wal:,} bytes of WAL into {mine.indexes} indexes and the table.", f"At most {budget:,}.",
        too_much(mine, variant), "one-by-one" if mine.indexes > len(variant.pairs) else "",
    )  # fmt: skip


def refreshes_within(mine: Measured, budget: int, variant: Variant) -> Finding:
    if mine.refresh_wal <= budget:
        return Finding(True, f"{REFRESHED} looks write {mine.refresh_wal:,} bytes of WAL; {mine.hot} are HOT.")
    return Finding(
        False, f"{REFRESHED} looks write {mine.refresh_wal:,} bytes of WAL: {mine.hot} of them are HOT.", f"At most {budget:,} bytes.",
        "Which index holds the column that changes, and how many rows would its read have to sort without it?", "perfect-read",
    )  # fmt: skip


def bytes_within(mine: Measured, budget: int, variant: Variant) -> Finding:
    if mine.bytes <= budget:
        return Finding(True, f"The indexes take {kilobytes(mine.bytes)}, within the {kilobytes(budget)} allowed.")
    return Finding(
        False, f"The {mine.indexes} indexes take {kilobytes(mine.bytes)} on disk.", f"At most {kilobytes(budget)}.",
        too_much(mine, variant), "one-by-one" if mine.indexes > len(variant.pairs) else "",
    )  # fmt: skip


def too_much(mine: Measured, variant: Variant) -> str:
    """What to ask where the indexes are too many, or too large."""
    if mine.indexes > len(variant.pairs):
        return "Which two of them could be one, read by two of the eight?"
    if QUEUE in variant.pairs:
        return "Which of them holds all orders though its reads want open ones alone, one in twenty, or carries a column that its reads can do without?"
    return "Which of them carries a column that its reads can do without?"


def numbers(pair: Pair, variant: Variant) -> str:
    """The numbers of its two reads in the task: '2 and 7'."""
    first, second = sorted(variant.reads.index(read) + 1 for read in (pair.first, pair.second))
    return f"{first} and {second}"


def third_hint(variant: Variant) -> str:
    told = (
        f"Four indexes do: the reads {', '.join(numbers(pair, variant) for pair in variant.pairs)} share one each. "
        "No index may hold `seen_minute`: a customer has some seventy orders, and sorting them costs no page."
    )
    if QUEUE in variant.pairs:
        told += (
            f" Both of {numbers(QUEUE, variant)} want open orders alone: their index is a partial one, in the order in which they read, with what else one of "
            "them compares as a further column."
        )
    if COURIER in variant.pairs:
        told += f" Of {numbers(COURIER, variant)} one wants open orders and the other all of them, so that theirs holds all rows."
    return told


EXERCISE = register(
    Exercise(
        id="indexes-incident",
        lab="02_indexes",
        number=8,
        title="Incident: eight indexes, each of them right",
        kind="S",
        declares="value",
        points=5,
        core=True,
        minutes=15,
        answer="DROP INDEX and CREATE INDEX statements as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Every index is right for its read. What do all of them have in common when a row is written?",
            lambda variant: "Sort the eight reads by the column that they compare for equality. Where two stand together, look for one index that is good enough for both: "
            "the allowed pages leave room. Then ask of each index which write must touch it.",
            third_hint,
        ),
        judge=judge,
        why=lambda variant: (
            f"Four indexes serve the eight reads: {'; '.join(pair.index for pair in variant.pairs)}. Each of the eight was right by itself; an INSERT pays for all of them, and a "
            "column in any index ends HOT for all updates of it. The runner-up, a lack of vacuum or a slow disk, is ruled out by the WAL of one statement: it "
            "grew with the number of indexes, on a database that nobody else used. Drop an index at work only after `pg_stat_user_indexes` was asked on the "
            "replicas, too; and create the new ones first, CONCURRENTLY."
        ),
        misconceptions={
            "one-by-one": "Tune each query by itself, and the whole is tuned.",
            "drop-all": "If indexes slow the writes down, they must go.",
            "same-start": "An index that begins with the right column serves the read.",
            "carried-is-checked": "A column that an index carries along (INCLUDE) is checked in the index, before the row is fetched.",
            "one-value": "An index made for the values of the example serves all others.",
            "perfect-read": "An index that makes one read perfect has no other price than its bytes.",
        },
    )
)  # fmt: skip
