"""A key type for an insert stream: what does the story forbid, and what does the rest cost?

    bigint identity      20 bytes an entry, one leaf at the edge      the next one is known, and so are two clients' ids
    UUID version 4       28 bytes, any leaf of the tree               nobody knows the next, nor when it was made
    UUID version 7       28 bytes, one leaf at the edge               nobody knows the next; its first half is the time
    (tenant, number)     28 bytes, one leaf a tenant                  each tenant's edge is a place of its own

No key is best. The variants are five stories around one stream of inserts: what is right in one of them breaks a rule
or a budget of another. The judge makes the table, inserts the stream without naming a key, as an application does, and looks: the bytes
of the indexes, the WAL of five hundred inserts after a checkpoint under PostgreSQL's default settings, where each page
that is changed first is written whole; and the story's rule by trying to break it.

    >>> [variant.name for variant in VARIANTS]
    ['internal', 'offline', 'hidden', 'public', 'writers']

Source: RFC 9562, "Universally Unique IDentifiers", 2024; PostgreSQL 18's manual, "UUID Functions", "Identity Columns",
and `full_page_writes` in "Write Ahead Log". Left out: foreign keys, which carry the key's width into other tables.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from workbook.btree import read_index
from workbook.engines import Database, Recipe, database
from workbook.errors import SqlError
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register

LOADED, ADDED, COMPARED = 20_000, 500, 300
TENANTS = 40
PAYLOAD = {"tenant": "integer", "total_cents": "integer", "note": "text"}
STREAM = (
    "INSERT INTO orders (tenant, total_cents, note)\n"
    "SELECT i * 7919 % {tenants} + 1, i * 31 % 9000, 'note ' || i FROM generate_series({first}, {last}) i"
).replace("{tenants}", str(TENANTS))
NEAR = 1_000_000
HOT_SHARE = 0.25
WIDE_BYTES = 60
BEYOND_INT = 3_000_000_000


@dataclass(frozen=True)
class Variant:
    """A story: its `rules` (names of probes), the key of a reference as DDL, and how much more its indexes and its WAL
    may take."""

    name: str
    story: str
    rules: tuple[str, ...]
    reference: str
    bytes_margin: float
    wal_margin: float
    because: str
    answer: str


def ddl(key: str, primary: str = "id") -> str:
    """The table of orders with a key column and a primary key."""
    return (
        f"CREATE TABLE orders ({key}, tenant int NOT NULL, total_cents int NOT NULL, note text NOT NULL, "
        f"PRIMARY KEY ({primary}))"
    )


IDENTITY = "id bigint GENERATED ALWAYS AS IDENTITY"
VERSION_4 = "id uuid DEFAULT gen_random_uuid()"
VERSION_7 = "id uuid DEFAULT uuidv7()"

VARIANTS = (
    Variant(
        "internal",
        "One service writes all orders, and no id ever leaves the house. There will be three billion of them, and the index is to stay in memory",
        ("room",),
        ddl(IDENTITY),
        1.15,
        1.5,
        "Nothing asks for more than a number: 20 bytes an entry, leaves 90 per cent full, one leaf at the edge that is changed. A UUID, ordered or not, takes 28 for nothing; "
        "and an `integer` saves no byte of the index, since entries are rounded up to a multiple of 8, but ends at 2,147,483,647.",
        "a bigint that is generated as identity",
    ),
    Variant(
        "offline",
        "Couriers' phones take orders where there is no network: each phone makes the ids itself, with the same table, and sends them in within minutes. Two phones must never make the same id. "
        "The server's WAL goes over a thin line to a replica",
        ("apart",),
        ddl(VERSION_7),
        1.3,
        2.0,
        "Only an id with enough chance in it can be made in two places that do not talk. Version 7 begins with the time, so that what comes in goes to the right edge of the index: a few "
        "page images after a checkpoint. Version 4 goes to any leaf, and writes nearly each of them whole.",
        "a UUID of version 7",
    ),
    Variant(
        "hidden",
        "The id stands in the address of each order's page. A competitor collects them: it must neither be able to compute the next one nor see from two ids which order came first. "
        "Orders are few, and WAL is no matter",
        ("secret", "unordered"),
        ddl(VERSION_4),
        1.3,
        1.6,
        "A number tells how many orders there are, and a UUID of version 7 tells its millisecond (`uuid_extract_timestamp`): whoever can sort the ids has the order of events. What tells nothing has nothing in it but chance, and "
        "that has to go to any leaf of the tree: leaves 70 per cent full, and a page image for nearly each of them after a checkpoint. Here it is worth it.",
        "a UUID of version 4, or another number made of chance alone",
    ),
    Variant(
        "public",
        "The id stands in links that customers pass on: nobody may be able to compute the next one. When an order was placed is no secret. Orders are many, and the WAL after each checkpoint is what the disk cannot bear",
        ("secret",),
        ddl(VERSION_7),
        1.3,
        2.0,
        "Sixty-two bits of chance behind the time are as little to be guessed as a hundred and twenty-two; but the time in front keeps the inserts together, at the right edge of the index.",
        "a UUID of version 7",
    ),
    Variant(
        "writers",
        "Sixty-four connections insert all the time, and the profile shows them waiting for one another at one page of the index. Ids stay in the house. There is memory and disk enough. Of five hundred new entries at most a quarter may go to one leaf",
        ("spread",),
        ddl(VERSION_4),
        1.35,
        1.6,
        "Keys in ascending order have one leaf to go to, the right-most, and each writer locks it for its moment. The way out is to give up some order: a column in front that differs "
        "from writer to writer (the tenant: forty edges instead of one), or chance. Either costs bytes and page images, which this story has.",
        "a primary key of (tenant, id), or a key of chance",
    ),
)  # fmt: skip


Row = tuple[Any, ...]
SIZE = (
    "SELECT coalesce(sum(pg_catalog.pg_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c "
    "WHERE c.relkind IN ('i', 'r', 'm') AND c.relname <> 'orders' AND c.relnamespace = 'public'::pg_catalog.regnamespace"
)


@dataclass
class Made:
    """A learner's table after the stream: the database, its primary key's columns and index, what all indexes take,
    and the WAL of the last inserts."""

    database: Database
    key: list[str]
    index: str
    bytes: int
    wal_bytes: int
    images: int


def recipe(variant: Variant) -> Recipe:
    """An empty database: the table is the answer."""
    return Recipe("an empty database", "")


@cache
def reference(variant: Variant) -> tuple[int, int]:
    """Bytes of the indexes and of WAL with the key of the reference, measured once a process."""
    with database(recipe(variant), profile="production") as orders:
        made = filled(orders, variant.reference)
        assert isinstance(made, Made)
        return made.bytes, made.wal_bytes


def judge(answer: str, variant: Variant) -> Judgement:
    there = tried_out(answer, variant)
    if isinstance(there, Finding):
        return Judgement(0.0, (there,))
    with database(recipe(variant), profile="production") as orders:
        made = filled(orders, answer)
        if isinstance(made, Finding):
            return Judgement(0.0, (made,))
        held = [PROBES[rule](made, there) for rule in variant.rules]
        findings = (*held, *costs(made, variant))
    return Judgement(float(all(finding.ok for finding in findings)), findings)


def tried_out(answer: str, variant: Variant) -> list[Row] | Finding:
    """Make the table and insert the first rows in a place of its own: the keys that it makes there, or the finding on
    what is no table for this stream."""
    with database(recipe(variant)) as orders:
        orders.run(answer)
        key = primary_key(orders)
        if isinstance(key, Finding):
            return key
        try:
            orders.run(STREAM.format(first=1, last=COMPARED))
        except SqlError as refusal:
            return stream_refused(refusal)
        return ids(orders, key[0], COMPARED)


def filled(orders: Database, answer: str) -> Made | Finding:
    """Make the table, load it, checkpoint, insert some more; or the finding on rows that did not get in."""
    orders.run(answer)
    key = primary_key(orders)
    if isinstance(key, Finding):
        return key
    try:
        orders.run(STREAM.format(first=1, last=LOADED), deadline_s=20)
        orders.checkpoint()
        cost = orders.measure(STREAM.format(first=LOADED + 1, last=LOADED + ADDED))
    except SqlError as refusal:
        return stream_refused(refusal)
    rows = orders.run("SELECT count(*), count(DISTINCT note), count(DISTINCT tenant) FROM orders").rows[0]
    if rows != (LOADED + ADDED, LOADED + ADDED, TENANTS):
        return Finding(
            ok=False,
            seen=f"Of {LOADED + ADDED:,} inserted rows {rows[0]:,} are in `orders`, with {rows[1]:,} notes of {rows[2]} tenants.",
            expected="All of them, as they were inserted.",
            question="What does the table do with a row that was accepted?",
        )
    columns, index = key
    return Made(orders, columns, index, int(orders.run(SIZE).rows[0][0]), cost.wal_bytes, cost.wal_fpi)


def stream_refused(refusal: SqlError) -> Finding:
    return Finding(
        ok=False,
        seen=f"The stream does not get in. {refusal.what}",
        expected=f"Each insert gives the tenant, the amount and the note; the key comes from the table itself, and {LOADED:,} rows find one each.",
        question="Where does the key's value come from, if the INSERT does not name it, and can it be the same twice?",
        misconception="key-from-nowhere",
    )


def primary_key(orders: Database) -> tuple[list[str], str] | Finding:
    """The columns of the primary key and its index, or the finding on a table that is another one than asked for."""
    found = orders.run(
        "SELECT c.relkind::text, c.relpersistence::text, "
        "(SELECT count(*) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND "
        "(a.attname, a.atttypid::pg_catalog.regtype::text) IN (('tenant', 'integer'), ('total_cents', 'integer'), ('note', 'text'))) "
        "FROM pg_catalog.pg_class c WHERE c.relname = 'orders' AND c.relnamespace = 'public'::pg_catalog.regnamespace"
    ).rows
    if not found or found[0][0] != "r":
        return table_wanted("There is no table `orders` after it." if not found else "`orders` is no plain table.")
    if found[0][1] != "p":
        return Finding(
            ok=False,
            seen="The table is unlogged: it writes no WAL, and a crash empties it.",
            expected="A table whose orders are there after a crash.",
            question="What is the WAL for?",
            misconception="wal-is-waste",
        )
    if found[0][2] != len(PAYLOAD):
        return table_wanted("`orders` has not the columns that the stream fills, with their types.")
    if orders.run("SELECT count(*) FROM orders").rows[0][0]:
        return table_wanted("The answer puts rows into `orders`.")
    rows = orders.run(
        "SELECT a.attname::text, x.relname::text FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid "
        "JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid "
        "WHERE i.indrelid = 'public.orders'::pg_catalog.regclass AND i.indisprimary AND a.attnum <= i.indnkeyatts ORDER BY a.attnum"
    ).rows
    if not rows:
        return Finding(
            ok=False,
            seen="`orders` has no primary key.",
            expected="A table with a primary key, since that is what the question is about.",
            question="By what would another table refer to one of these orders?",
        )
    return [str(row[0]) for row in rows], str(rows[0][1])


def table_wanted(seen: str) -> Finding:
    return Finding(
        ok=False,
        seen=seen,
        expected="An empty table `orders` in the schema `public` with the columns tenant int, total_cents int and note text, and a key of yours.",
        question="Does the stream's INSERT, as the task shows it, run against your table?",
    )


def costs(made: Made, variant: Variant) -> tuple[Finding, Finding]:
    """Bytes of the indexes, and WAL after a checkpoint, beside the reference's. What is right is told in round
    figures, since chance moves the rest."""
    size, wal = reference(variant)
    a_row = made.bytes / (LOADED + ADDED)
    room = Finding(True, f"The indexes take about {round(a_row, -1):.0f} bytes a row.")
    if made.bytes > size * variant.bytes_margin:
        wide = a_row >= WIDE_BYTES
        room = Finding(
            ok=False,
            seen=f"The indexes take {made.bytes:,} bytes, {a_row:.0f} a row.",
            expected=f"At most {variant.bytes_margin - 1:.0%} more than {size:,}, which the leanest key takes that does what the story asks.",
            question="How many bytes has a UUID, and how many has its text?"
            if wide
            else "What does an entry hold beside the 12 bytes that each has, and what does the story ask for of it?",
            misconception="text-is-as-good" if wide else "width-is-free",
        )
    journal = Finding(
        True,
        f"{ADDED} inserts after a checkpoint write about {wal_mb(made.wal_bytes)} MB of WAL.",
    )
    if made.wal_bytes > wal * variant.wal_margin:
        journal = Finding(
            ok=False,
            seen=f"{ADDED} inserts after a checkpoint write {made.wal_bytes:,} bytes of WAL, {made.images} page images among them.",
            expected=f"At most {variant.wal_margin:g} times {wal:,}, which a key takes that does what the story asks.",
            question="To how many leaves do five hundred of these keys go, and what is written of each at its first change after a checkpoint?",
            misconception="order-is-free",
        )
    far = made.wal_bytes / (wal * variant.wal_margin) > made.bytes / (size * variant.bytes_margin)
    return (journal, room) if far and a_row < WIDE_BYTES else (room, journal)


def wal_mb(count: int) -> str:
    return f"{max(count, 100_000) / 1e6:.1f}"


def ids(orders: Database, key: list[str], last: int) -> list[Row]:
    """The keys of the first rows, in the order of their arrival."""
    columns = ", ".join('"' + column.replace('"', '""') + '"' for column in key)
    sql = f"SELECT {columns} FROM orders WHERE substr(note, 6)::int <= {last} ORDER BY substr(note, 6)::int"
    return orders.run(sql).rows


def room(made: Made, there: list[Row]) -> Finding:
    """Whether a key beyond four bytes fits in."""
    for column in made.key:
        if column in PAYLOAD:
            continue
        quoted = '"' + column.replace('"', '""') + '"'
        sql = f"INSERT INTO orders ({quoted}, tenant, total_cents, note) OVERRIDING SYSTEM VALUE VALUES ({BEYOND_INT}, 1, 1, 'far')"
        try:
            made.database.run(sql)
        except SqlError as refusal:
            if refusal.sqlstate == "22003":
                return Finding(
                    ok=False,
                    seen=f"Order number {BEYOND_INT:,} does not fit into `{column}`.",
                    expected="Room for three billion orders.",
                    question="At which number does a key of four bytes end, and how many bytes of the index does it save?",
                    misconception="int-saves",
                )
        else:
            made.database.run("DELETE FROM orders WHERE note = 'far'")
    return Finding(True, "Three billion orders find a key.")


def apart(made: Made, there: list[Row]) -> Finding:
    """Whether two clients that do not talk make different keys."""
    both = set(ids(made.database, made.key, COMPARED)) & set(there)
    if not both:
        return Finding(True, f"Two phones made {COMPARED} orders each, and no key twice.")
    return Finding(
        ok=False,
        seen=f"Two phones made {COMPARED} orders each with this table, and {len(both)} of the keys are the same.",
        expected="No key twice, though neither phone knows of the other.",
        question="What in the key differs from phone to phone, if both have the same table and count alone?",
        misconception="uuids-are-bad",
    )


def secret(made: Made, there: list[Row]) -> Finding:
    """Whether each new key has something in it that the last ones do not tell."""
    own = [place for place, column in enumerate(made.key) if column not in PAYLOAD]
    here = ids(made.database, made.key, COMPARED)
    if not any(hard(here, there, place) for place in own):
        shown = ", ".join(str(row[place]) for row in here[-3:] for place in own)
        return Finding(
            ok=False,
            seen=f"The last of {COMPARED} keys are {shown[:120]}: the next one can be computed.",
            expected="A key that nobody can compute who has seen all the others and knows the table.",
            question="Which part of the next key would somebody have to guess, and out of how many?",
            misconception="uuids-are-bad",
        )
    return Finding(True, f"After {COMPARED} keys nobody can compute the next one.")


def hard(here: list[Row], there: list[Row], place: int) -> bool:
    """Whether one column of the keys cannot be computed: it is another one elsewhere, and its steps are neither small
    nor regular."""
    numbers = [number(row[place]) for row in here]
    if not numbers or sum(row[place] in {other[place] for other in there} for row in here) > len(here) // 10:
        return False
    steps = [later - early for early, later in pairwise(numbers)]
    most = Counter(steps).most_common(1)[0][1]
    near = sum(abs(step) <= NEAR for step in steps)
    return max(most, near) <= len(steps) // 10


def number(value: Any) -> int:
    """A key's value as a whole number that keeps its order as well as it can be."""
    if isinstance(value, uuid.UUID):
        return value.int
    if isinstance(value, dt.datetime):
        return int(value.timestamp() * 1_000_000)
    if isinstance(value, (int, float)):
        return int(value)
    data = value if isinstance(value, bytes) else str(value).encode()
    return int.from_bytes(data[:32], "big")


def unordered(made: Made, there: list[Row]) -> Finding:
    """Whether the order of the keys says nothing of the order of arrival."""
    found = ids(made.database, made.key, 2_000)
    own = [tuple(value for value, column in zip(row, made.key, strict=True) if column not in PAYLOAD) for row in found]
    rising = sum(later > early for early, later in pairwise(own)) / max(len(own) - 1, 1)
    if 0.4 < rising < 0.6:
        return Finding(True, "Sorting the keys does not tell which order came first.")
    return Finding(
        ok=False,
        seen=f"Of two orders in a row the later one has the {'larger' if rising > 0.5 else 'smaller'} key in {max(rising, 1 - rising):.0%} of the cases.",
        expected="Half of them: keys from which nobody sees what came first.",
        question="What stands in the first half of such a key?",
        misconception="ordered-is-best",
    )


def spread(made: Made, there: list[Row]) -> Finding:
    """Whether new entries go to many leaves: where the pointers to the new rows stand."""
    sql = f"SELECT ctid::text FROM orders WHERE substr(note, 6)::int > {LOADED}"
    new = {tuple(map(int, row[0].strip("()").split(","))) for row in made.database.run(sql).rows}
    leaves = read_index(made.database.engine, made.index).leaves()
    most = max(sum(pointer in new for entry in leaf.entries for pointer in entry.pointers) for leaf in leaves)
    if most <= HOT_SHARE * ADDED:
        return Finding(True, f"Of {ADDED} new entries no leaf gets more than a quarter.")
    return Finding(
        ok=False,
        seen=f"Of {ADDED} new entries one leaf got {most}, which is as many as it had room for before it was cut.",
        expected=f"At most {HOT_SHARE:.0%} on one leaf.",
        question="Where do the next keys go, if each is larger than all before, and who else wants to write there?",
        misconception="ordered-is-best",
    )


Probe = Callable[[Made, list[Row]], Finding]
PROBES: dict[str, Probe] = {"room": room, "apart": apart, "secret": secret, "unordered": unordered, "spread": spread}


def brief(variant: Variant) -> str:
    stream = STREAM.format(first=1, last=f"{LOADED}")
    return (
        f"{variant.story}.\n\nThe application inserts like this, and never names the key:\n\n```sql\n{stream};\n```\n\n"
        "Write the DDL of the table `orders`: the columns `tenant int NOT NULL, total_cents int NOT NULL, note text NOT NULL`, what the key needs, and the primary key. "
        "The values of the key come from the table (an identity, a default). PostgreSQL is 18: it has `gen_random_uuid()` and `uuidv7()`.\n\n"
        f"Judged is what happens. {LOADED:,} orders come in; then there is a checkpoint; then {ADDED} more come, under PostgreSQL's default settings. The story's rule is tried "
        f"(somebody attempts to break it), all indexes together may take {variant.bytes_margin - 1:.0%} more than those of the leanest key that keeps the rule, and the {ADDED} inserts may write {variant.wal_margin:g} times its WAL. "
        'For a trial with page images: `from workbook.engines import Recipe, database`, then `mine = database(Recipe("mine", ""), profile="production")`, `mine.run(ddl)`, '
        "`mine.run(insert)`, `mine.checkpoint()`, `mine.measure(insert).wal_bytes`."
    )


def why(variant: Variant) -> str:
    return (
        f"{variant.because} Right is {variant.answer}, and whatever else keeps the rule within the budgets. What would change it: another story. Ids that two offline clients make, or that strangers "
        "may not compute, need chance; a thin line to a replica, or frequent checkpoints, want the inserts together; many writers want them apart; and who has none of these wants eight bytes. Each foreign key, "
        "and each further index of a table that clusters by its key, as in InnoDB, carries the key's width along."
    )


EXERCISE = register(
    Exercise(
        id="btrees-key",
        lab="01_btrees",
        number=8,
        title="A key type for an insert stream",
        kind="S",
        declares="value",
        points=4,
        core=True,
        minutes=10,
        answer="the DDL of the table `orders` as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "Which kinds of key does the story's rule forbid outright? Among those that are left: where do new entries go, and how wide are they?"
            ),
            lambda variant: (
                "Three questions to each candidate. Can it be made in two places, or computed by a stranger? How many bytes has an entry (12 and the key, rounded up to a multiple of 8)? "
                "To how many leaves do five hundred new ones go? Try a counting number, a UUID of version 4, one of version 7, and a key with the tenant in front."
            ),
            lambda variant: (
                f"Here the answer is {variant.answer}. As a column: `id bigint GENERATED ALWAYS AS IDENTITY`, `id uuid DEFAULT gen_random_uuid()` (version 4) or `id uuid DEFAULT uuidv7()`; "
                "and at the end `PRIMARY KEY (...)`."
            ),
        ),
        judge=judge,
        why=why,
        misconceptions={
            "uuids-are-bad": "UUIDs are always bad: a bigint does it better.",
            "width-is-free": "A UUID costs no more than a number, if only it is ordered.",
            "order-is-free": "Where in the index a new key goes is free: a key is a key.",
            "ordered-is-best": "Ordered keys are always best.",
            "text-is-as-good": "A UUID may as well be kept as text.",
            "int-saves": "An integer key halves the index of a bigint.",
            "key-from-nowhere": "A primary key makes its values itself.",
            "wal-is-waste": "WAL is overhead that can be switched off.",
        },
    )
)
