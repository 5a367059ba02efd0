"""An index into service beside writers: nobody waits, and what is left behind is valid.

    a writer with an open transaction      INSERT ......................... COMMIT
    CREATE INDEX                              waits for it, and holds the door ......
    the next writer                              waits behind the CREATE INDEX ......     ◀── the outage
    CREATE INDEX CONCURRENTLY                 waits for it, and lets everyone past

On an empty table the two look alike. The judge keeps one transaction open on the table at every moment, starts the answer, and each time it
waits, lets another writer try: PostgreSQL's own lock tables say who waits for whom. Then it looks at what is there: an index of that name that holds
some rows only, or a column that no search can use, serves no read.

    >>> [variant.right.split()[0] for variant in VARIANTS]
    ['CREATE', 'DROP', 'CREATE', 'REINDEX', 'DROP']

Source: PostgreSQL 18's manual, "Building Indexes Concurrently", "Explicit Locking". Left out: partitioned tables, whose
parent has to be locked, briefly and with a `lock_timeout`, whatever one does.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbook.engines import Database, Recipe, database
from workbook.exercises.beside import beside_writers, nobody_waits
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed

ROWS = 20_000
TABLES = f"""CREATE TABLE orders (order_id bigint PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL, placed_minute int NOT NULL);
INSERT INTO orders SELECT i, i * 7919 % 601, 'done', i FROM generate_series(1::bigint, {ROWS}::bigint) i"""
COUNTED = f"SELECT count(*), sum(customer_id), sum(placed_minute) FROM orders WHERE order_id <= {ROWS}"
WRITE = "INSERT INTO orders VALUES ({key}, 77, 'open', {key})"


@dataclass(frozen=True)
class Variant:
    """What is there at the `start`, which indexes are `wanted` in the end (name to its columns), which are to be `gone`, the column
    that some valid index must begin with at all times (`served`), and how large an index may be (`bytes_max`, 0 for any), and which
    index is `invalid` at the start."""

    story: str
    start: str
    wanted: tuple[tuple[str, str], ...]
    gone: tuple[str, ...]
    served: str
    right: str
    because: str
    bytes_max: int = 0
    invalid: str = ""


VARIANTS = (
    Variant(
        "A customer's orders are looked for all day, and read the whole table. An index `orders_customer` on `(customer_id, placed_minute)` is wanted",
        "",
        (("orders_customer", "customer_id, placed_minute"),),
        (),
        "",
        "CREATE INDEX CONCURRENTLY orders_customer ON orders (customer_id, placed_minute)",
        "CREATE INDEX takes a SHARE lock, which no writer's lock goes together with. CONCURRENTLY reads the table twice and waits for transactions instead of tables.",
    ),
    Variant(
        "Last night a deployment made `orders_customer` on `(customer_id)`, CONCURRENTLY, and was killed half-way. The reads are still slow. They want it in service",
        "CREATE INDEX orders_customer ON orders (customer_id)",
        (("orders_customer", "customer_id"),),
        (),
        "",
        "DROP INDEX CONCURRENTLY orders_customer; CREATE INDEX CONCURRENTLY orders_customer ON orders (customer_id)",
        "What was killed is left behind as an INVALID index: each write pays for it, no read uses it. IF NOT EXISTS is content with its name.",
        invalid="orders_customer",
    ),
    Variant(
        "`orders_customer` on `(customer_id)` is to make way for `orders_customer_placed` on `(customer_id, placed_minute)`. The reads must not be without either for a moment",
        "CREATE INDEX orders_customer ON orders (customer_id)",
        (("orders_customer_placed", "customer_id, placed_minute"),),
        ("orders_customer",),
        "customer_id",
        "CREATE INDEX CONCURRENTLY orders_customer_placed ON orders (customer_id, placed_minute); DROP INDEX CONCURRENTLY orders_customer",
        "First the new one, then the old one goes; a plain DROP INDEX waits for every reader and writer of the table, and they for it.",
    ),
    Variant(
        "Nine orders in ten were archived, but `orders_customer` on `(customer_id)` still takes the room of all. It is to be made small again, under its name, and the reads must not be "
        "without it for a moment",
        f"CREATE INDEX orders_customer ON orders (customer_id);\nDELETE FROM orders WHERE order_id % 10 > 0 AND order_id <= {ROWS}",
        (("orders_customer", "customer_id"),),
        (),
        "customer_id",
        "REINDEX INDEX CONCURRENTLY orders_customer",
        "VACUUM frees entries, not the half-empty pages between them. REINDEX CONCURRENTLY builds a second index and swaps the two; the plain REINDEX locks "
        "writers out while it builds.",
        bytes_max=80 * 1024,
    ),
    Variant(
        "`orders_status` and `orders_placed` serve no read any more, on the primary and on the replicas, and go. `orders_customer` stays",
        "CREATE INDEX orders_status ON orders (status);\nCREATE INDEX orders_placed ON orders (placed_minute);\nCREATE INDEX orders_customer ON orders (customer_id)",
        (("orders_customer", "customer_id"),),
        ("orders_status", "orders_placed"),
        "customer_id",
        "DROP INDEX CONCURRENTLY orders_status; DROP INDEX CONCURRENTLY orders_placed",
        "Even to drop an index is a lock on its whole table. CONCURRENTLY takes one index a statement.",
    ),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The orders, and what is there at the start."""
    return Recipe("20,000 orders beside writers", TABLES, then=variant.start, invalid=variant.invalid)


def served(orders: Database, column: str) -> bool:
    """Whether a valid index of all rows begins with this column."""
    return any(one.valid and not one.odd and one.columns.split(", ")[0] == column for one in indexes(orders))


@dataclass(frozen=True)
class Found:
    """An index of `orders`: its columns; whether it is valid; what it is besides a B-tree of all rows, in words ('' for nothing)."""

    name: str
    columns: str
    valid: bool
    odd: str


def indexes(orders: Database) -> list[Found]:
    """Each index of `orders`, from the catalog's rows alone: `pg_get_indexdef` would wait for the table's lock."""
    sql = """SELECT c.relname, (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid),
                    i.indisvalid AND i.indisready,
                    CASE WHEN i.indpred IS NOT NULL THEN 'it holds the rows of its WHERE only' WHEN m.amname <> 'btree' THEN 'it is of the kind ' || m.amname
                         WHEN i.indnkeyatts < i.indnatts THEN 'it carries a column along by INCLUDE, behind its key'
                         WHEN i.indisunique AND NOT i.indisprimary THEN 'it is UNIQUE, and refuses orders that were welcome before' ELSE '' END
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
                  JOIN pg_catalog.pg_am m ON m.oid = c.relam
             WHERE t.relname = 'orders' ORDER BY 1"""
    return [Found(str(name), str(columns), bool(valid), str(odd)) for name, columns, valid, odd in orders.cluster.admin(sql, orders.name)]  # fmt: skip


def judge(answer: str, variant: Variant) -> Judgement:
    with database(recipe(variant)) as orders:
        before, rows = orders.catalog(), orders.run(COUNTED).rows
        unserved = False

        def look() -> None:
            nonlocal unserved
            unserved |= bool(variant.served) and not served(orders, variant.served)

        seen = beside_writers(orders, answer, lambda number: WRITE.format(key=ROWS + number), look=look)
        changed = changes_allowed(
            before,
            orders.catalog(),
            {"index"},
            verbs={"created", "dropped", "changed"},
            question="What has that to do with an index?",
        )
        if not changed.ok or orders.run(COUNTED).rows != rows:
            return Judgement(0.0, (changed if not changed.ok else rows_gone(),))
        if seen.error is not None and not seen.blocking:
            raise seen.error
        findings = (
            nobody_waits(seen, "ddl-is-online"),
            *in_service(orders, variant),
            never_without(unserved, variant),
        )
    shown = tuple(finding for finding in findings if finding is not None)
    return Judgement(float(all(finding.ok for finding in shown)), shown)


def rows_gone() -> Finding:
    return Finding(
        False, "The answer changed the orders.", "The same orders as before.", "Which of its statements touches rows?"
    )


def in_service(orders: Database, variant: Variant) -> list[Finding]:
    """What is there in the end: the wanted indexes, valid; nothing that was to go, and nothing else."""
    found = {one.name: one for one in indexes(orders) if one.name != "orders_pkey"}
    findings = []
    for name, columns in variant.wanted:
        if name not in found:
            findings.append(
                Finding(
                    False, f"There is no index {name}.", f"{name} on ({columns}), valid.", "What is the index called?"
                )
            )
        elif found[name].columns != columns:
            findings.append(
                Finding(
                    False,
                    f"{name} is on ({found[name].columns}).",
                    f"{name} on ({columns}).",
                    "Which columns was it to have in its key, and in which order?",
                )
            )
        elif found[name].odd:
            findings.append(
                Finding(
                    False, f"{name} is on ({columns}), but {found[name].odd}.", f"{name}: a B-tree on ({columns}), of all orders.",
                    "Which read of a customer's orders would it serve, and which write would it refuse?", "it-is-there",
                )
            )  # fmt: skip
        elif not found[name].valid:
            findings.append(
                Finding(
                    False, f"{name} is there, but INVALID: no read uses it.", f"{name} on ({columns}), valid.",
                    "What does `IF NOT EXISTS` look at, and what does it not look at?", "it-is-there",
                )
            )  # fmt: skip
        elif variant.bytes_max and (size := orders.relation_bytes(name)) > variant.bytes_max:
            findings.append(
                Finding(
                    False, f"{name} takes {size // 1024} kB.", f"At most {variant.bytes_max // 1024} kB.",
                    "What does an entry that is removed leave behind in its page?", "vacuum-shrinks",
                )
            )  # fmt: skip
        else:
            findings.append(Finding(True, f"{name} is valid, on ({columns})."))
    left = sorted(set(found) - {name for name, _ in variant.wanted})
    if left:
        findings.append(
            Finding(
                False, f"Left behind: {', '.join(left)}.", f"No index but {', '.join(name for name, _ in variant.wanted)} and the key.",
                "Who pays for an index that nobody uses any more?", "it-is-there",
            )
        )  # fmt: skip
    return findings


def never_without(unserved: bool, variant: Variant) -> Finding | None:
    if not variant.served:
        return None
    if not unserved:
        return Finding(True, f"At every step a valid index began with `{variant.served}`.")
    return Finding(
        False, f"For a while no valid index began with `{variant.served}`: the reads read the whole table.", "An index for the reads at every step.",
        "In which order would you exchange a bridge that is in use?", "drop-first",
    )  # fmt: skip


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}. At every moment some transaction on `orders` has written and is not yet committed.\n\n"
        "Write the SQL of the deployment. The judge runs it beside such writers: **no INSERT may wait behind it**, at no step; and in the end exactly the wanted "
        "indexes are there, valid, and nothing half-made is left. "
        '`engine = practice("indexes-online")` gives you the table; in a second session of yours, `BEGIN; INSERT ...` makes a writer.'
    )


EXERCISE = register(
    Exercise(
        id="indexes-online",
        lab="02_indexes",
        number=12,
        title="Into service beside writers",
        kind="S",
        declares="value",
        points=3,
        core=False,
        minutes=8,
        answer="the SQL of a deployment as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "A statement waits for a lock. Who else has to wait, once it stands in the queue?",
            lambda variant: "CREATE INDEX, DROP INDEX and REINDEX have a form that takes a weaker lock and waits for transactions instead. It cannot run inside a transaction block, and takes one "
            "index at a time. What does it leave behind when it is interrupted?",
            lambda variant: f"{variant.because} The first word of the deployment is {variant.right.split()[0]}; each statement says CONCURRENTLY.",
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} Seen on PostgreSQL 18 in its own lock tables, not by a clock. CONCURRENTLY is slower, waits for the oldest transaction of the database, and "
            "leaves an INVALID index when it fails: look at `pg_index.indisvalid` after each deployment. MySQL's InnoDB builds most indexes in place, and "
            "still needs a short exclusive lock at both ends."
        ),
        misconceptions={
            "ddl-is-online": "To make, drop or rebuild an index only reads the table: nobody has to wait for it.",
            "it-is-there": "An index that is listed is in service, and one that is unused is harmless.",
            "drop-first": "The old index goes first, then there is room for the new one.",
            "vacuum-shrinks": "VACUUM gives an index's room back.",
        },
    )
)  # fmt: skip
