"""Drop most indexes: which of twelve earn what they cost with each write?

    an index is worth its keep when it     serves a read        orders_customer_placed   (and every prefix of it)
                                           guards a rule        orders_reference, UNIQUE (idx_scan = 0, and still needed)
                                           spares a delete      orders_coupon            (the foreign key's check needs it)
    otherwise each INSERT, and each UPDATE that is not HOT, writes into it for nothing.

The variants share the table and its twelve indexes; they differ in what the service asks, which rules hold and whether
coupons are ever deleted. So the same index is dead weight in one and a guard in the next. The judge drops what the answer
drops, on a clone, and looks at what happens: rules by trying to break them, reads and the delete by pages, the writes
by their WAL. The budgets are measured beside it, on a clone with the reference's indexes.

    >>> sorted(VARIANTS[1].keep)
    ['orders_cart', 'orders_open']

Source: PostgreSQL 18's manual, "Unique Indexes", "Foreign Keys" (the note on indexing the referencing column),
"Heap-Only Tuples". Left out: indexes that only a replica or a yearly job reads; `pg_stat_user_indexes` has to be asked
there, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import sqlalchemy as sa

from workbook.engines import Database, Recipe, database
from workbook.errors import SqlError
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed, within
from workbook.plans import explain

ORDERS, CUSTOMERS, COUPONS = 40_000, 400, 500
PAYMENTS = 400
WAL_MARGIN = 1.04
PAGES_MARGIN, PAGES_SLACK = 1.25, 4
NAMED_MAX = 8
"""So many indexes that are left are named in a verdict."""

TABLES = f"""
CREATE TABLE coupons (coupon_id int PRIMARY KEY, code text);
CREATE TABLE orders (
    order_id bigint PRIMARY KEY,
    reference text NOT NULL,
    customer_id int NOT NULL,
    cart_no int NOT NULL,
    coupon_id int REFERENCES coupons,
    status text NOT NULL,
    country text NOT NULL,
    placed_minute int NOT NULL,
    total_cents int NOT NULL
) WITH (fillfactor = 80);
INSERT INTO coupons SELECT i, 'C' || i FROM generate_series(1, {COUPONS}) i;
INSERT INTO orders
    SELECT i, 'R-' || lpad(i::text, 7, '0'), (i * 7) % {CUSTOMERS} + 1, i / {CUSTOMERS}, nullif((i % 980) / 2, 0),
        CASE WHEN i % 50 = 7 AND i > {ORDERS} / 2 THEN 'placed' ELSE 'shipped' END,
        CASE WHEN i % 2000 = 5 THEN 'LI' ELSE (ARRAY['AT', 'CH', 'DE', 'FR'])[i % 4 + 1] END,
        i * 3, (i::bigint * 7919) % {ORDERS} + 100
    FROM generate_series(1, {ORDERS}) i;
"""

INDEXES = {
    "orders_reference": "CREATE UNIQUE INDEX orders_reference ON orders (reference)",
    "orders_cart": "CREATE UNIQUE INDEX orders_cart ON orders (customer_id, cart_no)",
    "orders_customer": "CREATE INDEX orders_customer ON orders (customer_id)",
    "orders_customer_placed": "CREATE INDEX orders_customer_placed ON orders (customer_id, placed_minute)",
    "orders_customer_all": "CREATE INDEX orders_customer_all ON orders (customer_id, placed_minute, status)",
    "orders_status": "CREATE INDEX orders_status ON orders (status)",
    "orders_open": "CREATE INDEX orders_open ON orders (placed_minute) WHERE status = 'placed'",
    "orders_placed": "CREATE INDEX orders_placed ON orders (placed_minute)",
    "orders_coupon": "CREATE INDEX orders_coupon ON orders (coupon_id)",
    "orders_country": "CREATE INDEX orders_country ON orders (country)",
    "orders_total": "CREATE INDEX orders_total ON orders (total_cents)",
    "orders_day": "CREATE INDEX orders_day ON orders ((placed_minute / 1440))",
}

READS = {
    "history": "SELECT order_id, status, total_cents FROM orders WHERE customer_id = 77 ORDER BY placed_minute DESC LIMIT 10",
    "turnover": "SELECT count(*), sum(total_cents) FROM orders WHERE customer_id = 78",
    "queue": "SELECT order_id, total_cents FROM orders WHERE status = 'placed' ORDER BY placed_minute LIMIT 20",
    "window": "SELECT sum(total_cents) FROM orders WHERE placed_minute BETWEEN 60000 AND 60600",
    "day": "SELECT count(*), sum(total_cents) FROM orders WHERE placed_minute / 1440 = 40",
    "top": "SELECT order_id, total_cents FROM orders ORDER BY total_cents DESC LIMIT 10",
    "country": "SELECT sum(total_cents) FROM orders WHERE country = 'LI'",
}

SERVED_BY = {
    "history": "`orders_customer_placed`: the customer's orders, in the order that is asked for",
    "turnover": "any index that begins with `customer_id`, a unique one too",
    "queue": "`orders_open`: only what waits, in the order that is asked for",
    "window": "`orders_placed`",
    "day": "`orders_day`: the only one that holds that expression",
    "top": "`orders_total`, read from its end",
    "country": "`orders_country`",
}

RULES = {
    "orders_reference": (
        "No two orders share a `reference`.",
        "The rule of one order per `reference` is gone: payments may be split.",
        "INSERT INTO orders SELECT 900001, 'R-0000077', 9001, 1, NULL, 'placed', 'CH', 1, 1",
        "a second order with the reference R-0000077",
    ),
    "orders_cart": (
        "A customer's cart (`customer_id`, `cart_no`) becomes one order at most.",
        "The rule of one order per cart is gone: deliveries may be split.",
        "INSERT INTO orders SELECT 900002, 'R-9000002', customer_id, cart_no, NULL, 'placed', 'CH', 1, 1 "
        "FROM orders WHERE order_id = 77",
        "a second order of the same cart of the same customer",
    ),
}

WRITES = (
    "INSERT INTO orders SELECT i, 'R-' || lpad(i::text, 7, '0'), (i * 7) % 400 + 1, i / 400, NULL, 'placed', 'CH', i * 3, i % 9000 "
    f"FROM generate_series({ORDERS + 1}, {ORDERS + 300}) i",
    f"UPDATE orders SET status = 'paid' WHERE order_id % 50 = 7 AND order_id BETWEEN {ORDERS} / 2 AND {ORDERS}",
)
CLEANING = "DELETE FROM coupons WHERE coupon_id >= 491"
FINGERPRINT = (
    "SELECT (SELECT count(*) || ' ' || sum(order_id * 31 + customer_id * 7 + placed_minute + total_cents + cart_no) || ' ' "
    "|| sum(hashtext(reference || status || country) / 1000 + coalesce(coupon_id, 0)) FROM orders), (SELECT count(*) || ' ' || sum(coupon_id) FROM coupons)"
)


@dataclass(frozen=True)
class Variant:
    """What the service does: its `reads` (keys of `READS`), the `rules` that hold (keys of `RULES`), whether coupons are
    `cleaned`; and `keep`, the indexes of a reference solution, from which the budgets are measured."""

    story: str
    reads: tuple[str, ...]
    rules: tuple[str, ...]
    cleaned: bool
    keep: frozenset[str]

    @property
    def superfluous(self) -> list[str]:
        return [name for name in INDEXES if name not in self.keep]


VARIANTS = (
    Variant(
        "the customers' pages", ("history",), ("orders_reference",), True,
        frozenset({"orders_reference", "orders_customer_placed", "orders_coupon"}),
    ),
    Variant(
        "the warehouse", ("turnover", "queue"), ("orders_cart",), False,
        frozenset({"orders_cart", "orders_open"}),
    ),
    Variant(
        "the controllers", ("window", "top"), ("orders_reference", "orders_cart"), True,
        frozenset({"orders_reference", "orders_cart", "orders_placed", "orders_total", "orders_coupon"}),
    ),
    Variant(
        "the help desk", ("history", "day"), ("orders_cart",), False,
        frozenset({"orders_cart", "orders_customer_placed", "orders_day"}),
    ),
    Variant(
        "the branch in Liechtenstein", ("turnover", "country"), ("orders_reference",), True,
        frozenset({"orders_reference", "orders_customer", "orders_country", "orders_coupon"}),
    ),
    Variant(
        "the import", ("queue", "history"), (), False,
        frozenset({"orders_open", "orders_customer_placed"}),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """What the reference's indexes cost: WAL bytes of the writes and how many of its updates are HOT, pages of each read,
    pages of the cleaning."""

    wal_bytes: int
    hot: int
    pages: Mapping[str, int]
    cleaning_pages: int


def recipe(variant: Variant) -> Recipe:
    """The table and its twelve indexes: the same for all variants."""
    return Recipe("orders with twelve indexes", TABLES, then=";\n".join(INDEXES.values()))


@cache
def budget(variant: Variant) -> Budget:
    """The budgets of a variant, measured once a process on a clone that keeps what the reference keeps."""
    with database(recipe(variant)) as orders:
        orders.run(f"DROP INDEX {', '.join(variant.superfluous)}")
        pages = {name: allowed(read_pages(orders, name)) for name in variant.reads}
        cleaning = allowed(orders.measure(CLEANING).buffers) if variant.cleaned else 0
        wal_bytes, hot = writes_cost(orders)
        return Budget(int(wal_bytes * WAL_MARGIN), hot, pages, cleaning)


def allowed(pages: int) -> int:
    return int(pages * PAGES_MARGIN) + PAGES_SLACK


def read_pages(orders: Database, read: str) -> int:
    return int(explain(READS[read], orders.engine).buffers.value or 0)


def writes_cost(orders: Database) -> tuple[int, int]:
    """An hour's orders and payments: bytes of WAL, the commit included, and how many of the updates were HOT."""

    def work(connection: sa.Connection) -> None:
        for statement in WRITES:
            connection.execute(sa.text(statement))

    cost = orders.measure(work)
    return cost.wal_bytes, cost.tuples["orders"].hot_updated


def judge(answer: str, variant: Variant) -> Judgement:
    wanted = budget(variant)
    with database(recipe(variant)) as orders:
        before, rows = orders.catalog(), orders.run(FINGERPRINT).rows
        orders.run(answer)
        after = orders.catalog()
        changed = changes_allowed(
            before, after, {"index"}, verbs={"dropped"}, may="only drop indexes",
            question="The answer is to drop indexes and nothing else. Which of its statements does more?",
        )  # fmt: skip
        if not changed.ok or orders.run(FINGERPRINT).rows != rows:
            return Judgement(0.0, (changed if not changed.ok else rows_changed(),))
        left = [name for name in INDEXES if name in after.names("index")]
        if len(left) == len(INDEXES):
            return Judgement(0.0, (nothing_dropped(),))
        reads = [reads_within(orders, read, wanted) for read in variant.reads]
        cleaning = [cleaning_within(orders, wanted)] if variant.cleaned else []
        writes = writes_within(orders, wanted, left)
        rules = [rule_holds(orders, rule) for rule in variant.rules]
    findings = (*rules, *cleaning, *reads, writes)
    return Judgement(float(all(finding.ok for finding in findings)), findings)


def rows_changed() -> Finding:
    return Finding(
        ok=False,
        seen="After the answer the tables hold other rows than before.",
        expected="The same orders and coupons, under fewer indexes.",
        question="Which of its statements touches rows? Dropping an index touches none.",
    )


def reads_within(orders: Database, read: str, wanted: Budget) -> Finding:
    return within(
        read_pages(orders, read),
        wanted.pages[read],
        "pages",
        does=f"The read `{read}` touches",
        question=f"By which index did `{READS[read]}` find its rows and their order, and what is left that begins with the same columns?",
        misconception="any-index-will-do",
    )


def cleaning_within(orders: Database, wanted: Budget) -> Finding:
    return within(
        orders.measure(CLEANING).buffers,
        wanted.cleaning_pages,
        "pages",
        does="Deleting ten coupons touches",
        question="What must PostgreSQL look up in `orders` before it lets a coupon go? `explain` the DELETE: what stands below its steps?",
        misconception="foreign-keys-are-indexed",
    )


def nothing_dropped() -> Finding:
    return Finding(
        False, f"All {len(INDEXES)} indexes are still there.", "Fewer of them.",
        "For each of the twelve: which read, which rule or which delete would miss it?",
    )  # fmt: skip


def writes_within(orders: Database, wanted: Budget, left: list[str]) -> Finding:
    wal_bytes, hot = writes_cost(orders)
    lost_hot = hot < wanted.hot
    names = f" ({', '.join(left)})" if 0 < len(left) <= NAMED_MAX else ""
    return within(
        wal_bytes,
        wanted.wal_bytes,
        "bytes of WAL",
        does=f"With {len(left)} of {len(INDEXES)} indexes left{names}, an hour of orders and {PAYMENTS} payments ({hot} of them HOT) writes",
        question="A payment changes `status` alone. Which index of those left holds `status`, in a column or in its WHERE?"
        if lost_hot
        else "Which of those left serves no read, guards no rule and spares no delete? Is there one whose columns begin another's?",
        misconception="updates-are-free" if lost_hot else "unused-is-harmless",
    )


def rule_holds(orders: Database, rule: str) -> Finding:
    sentence, _, probe, what = RULES[rule]
    try:
        orders.run(probe)
    except SqlError as refusal:
        if refusal.sqlstate != "23505":
            raise
        return Finding(True, f"PostgreSQL refuses {what}.")
    return Finding(
        ok=False,
        seen=f"PostgreSQL accepted {what}.",
        expected=sentence,
        question="A counter of scans shows reads. What else does a unique index do, on each INSERT?",
        misconception="unscanned-is-useless",
    )


def brief(variant: Variant) -> str:
    definitions = "\n".join(f"{text};" for text in INDEXES.values())
    reads = "\n".join(f"- `{name}`: `{READS[name]}`" for name in variant.reads)
    rules = "\n".join(f"- {RULES[rule][0]}" for rule in variant.rules)
    lapsed = " ".join(RULES[rule][1] for rule in RULES if rule not in variant.rules)
    coupons = (
        "Once a quarter coupons that no order uses are deleted (`orders.coupon_id` refers to them)."
        if variant.cleaned
        else "Coupons are never deleted."
    )
    return (
        f"This `orders` belongs to {variant.story}: {ORDERS:,} rows, and beside the primary key these indexes:\n\n"
        f"```sql\n{definitions}\n```\n\nWhat is read:\n\n{reads}\n\n"
        f"Rules that only the database can hold:\n\n{rules or '- none beside the primary key.'}\n\n"
        f"{lapsed} {coupons} The writes of an hour are 300 new orders and {PAYMENTS} payments (`UPDATE orders SET status = 'paid' WHERE ...`).\n\n"
        "Drop what does not earn its keep, and nothing else: the reads and the deletes must stay as quick as with a sensible set of "
        "indexes, and the WAL of the writes must come down to what such a set costs, four per cent to spare. "
        "(The dashboard of last month shows `idx_scan = 0` for both unique indexes and for `orders_coupon`.) "
        'Try it on `practice("indexes-drop")`.'
    )


def why(variant: Variant) -> str:
    kept = ", ".join(f"`{name}`" for name in INDEXES if name in variant.keep)
    return (
        f"Enough is left with {kept} (another set that keeps within the budgets is as right). Each index more is one more entry to write for each new order and for each "
        "update that is not HOT; a payment can only be HOT while no index holds `status`, in a column or in a WHERE. An index is worth that when it serves a "
        "read, guards a rule, or spares the look-up behind a foreign key. Of that `EXPLAIN` counts no pages; `EXPLAIN ANALYZE` has a line `Trigger for constraint ...: time= calls=` below the plan. "
        "What would change it: another read, a rule, one DELETE on a parent table; under PostgreSQL's default settings full-page "
        "images after each checkpoint make a superfluous index dearer still. Before you drop one at work, ask `pg_stat_user_indexes` on each "
        "replica, too, and over a whole year."
    )


def third_hint(variant: Variant) -> str:
    needs = "; ".join(f"`{read}`: {SERVED_BY[read]}" for read in variant.reads)
    stays = [f"`{name}` guards a rule" for name in variant.rules]
    stays += ["`orders_coupon` spares ten sequential scans when ten coupons go"] if variant.cleaned else []
    return (
        f"One index for each read. {needs}. Beside these: {'; '.join(stays) or 'no rule and no delete needs one'}. Of two that serve the same read, keep "
        f"the one that payments do not touch. Drop the other {len(variant.superfluous)} in one `DROP INDEX a, b, ...`."
    )


EXERCISE = register(
    Exercise(
        id="indexes-drop",
        lab="02_indexes",
        number=5,
        title="Drop most indexes",
        kind="S",
        declares="value",
        points=4,
        core=True,
        minutes=10,
        answer="DROP INDEX statements as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "For each index: which read, which rule or which delete would miss it? And which of them would miss nothing, since another index begins with "
                "the same columns?"
            ),
            lambda variant: (
                "Drop on `practice(...)`, and look three times: `explain` each read; `measure` the writes (their WAL) and a delete of a coupon; try to break each rule "
                "with an INSERT. A count of scans shows only the first of the three."
            ),
            third_hint,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "unused-is-harmless": "An unused index is harmless.",
            "updates-are-free": "Indexing a column that is updated is free.",
            "unscanned-is-useless": "An index with idx_scan = 0 does nothing and can go.",
            "foreign-keys-are-indexed": "A foreign key is indexed on its own, or needs no index.",
            "any-index-will-do": "Any index on the table will do for its reads.",
        },
    )
)
