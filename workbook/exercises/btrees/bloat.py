"""Bloat beside a writer: mend it, leave it, or mend what makes it?

    two fifths of the leaves are used                  and what comes next                  so
    ┌──┬──┬──┬──┐  thin leaves everywhere              goes to any of them                  it fills them: leave
    │▂ │▂ │▂ │▂ │                                      goes to the right end, or nowhere    nobody fills them: REINDEX
    └──┴──┴──┴──┘
    ┌──┬──┬──┬──┐  empty leaves, out of the tree       as much as went                      it takes them: leave
    │  │  │▇ │▇ │                                      a tenth of it                        it never needs them: REINDEX
    └──┴──┴──┴──┘  ... not emptied: VACUUM is off      as much as went                      it adds to them: VACUUM on

Whether half of an index is free says nothing; what matters is who will use it. The judge runs the answer beside a writer who is in the middle of a
transaction at every moment, lets two weeks of the service go by, and looks at the file. A rebuilt index is written whole, in its file and in the WAL: it has to
save more than it took. The learner hands in, beside the SQL, how large the index will be then. Where it is to be left, that is not the size of
tonight: more comes than there is room for. A verdict names no size before the learner has said the right one.

    >>> [variant.right.split()[:1] for variant in VARIANTS]
    [['REINDEX'], [], [], ['REINDEX'], ['REINDEX'], ['ALTER']]

Source: PostgreSQL 18's manual, "Routine Reindexing", "REINDEX" (CONCURRENTLY), and src/backend/access/nbtree/README on page deletion. Left out: bloat of
the table itself, which is the work of pg_repack or VACUUM FULL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import psycopg

from workbook.engines import Database, Recipe, database
from workbook.engines.running import split
from workbook.exercises.beside import Observed, beside_writers, nobody_waits
from workbook.exercises.trial import kilobytes
from workbook.grading.answer import is_number
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed

ROWS, KEPT, KEPT_LATER, WEEKS = 60_000, 40_000, 50_000, 2
MARGIN, TOLERANCE = 1.1, 0.1
FAR = ((0.5, "a half of what it is"), (0.25, "a quarter of what it is"), (TOLERANCE, "a tenth of what it is"))
LARGER = (
    (2.0, "more than twice as large as the best that was found"),
    (1.5, "more than half as large again as the best that was found"),
    (MARGIN, "more than a tenth larger than the best that was found"),
    (0.0, "as small as it can be had"),
)
INDEX = "orders_pkey"
KEYS = {"bigint": "i", "uuid": "md5(i::text)::uuid"}
COUNTED = f"SELECT count(*), sum(number), count(DISTINCT order_id) FROM orders WHERE number <= {ROWS}"
FILES = (
    "SELECT c.relfilenode, pg_catalog.pg_relation_size(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid "
    "JOIN pg_catalog.pg_class t ON t.oid = i.indrelid WHERE t.relname = 'orders'"
)
AUTOVACUUM = (
    "SELECT coalesce((SELECT bool_and(option_value::boolean) FROM pg_catalog.pg_options_to_table(reloptions) WHERE option_name = 'autovacuum_enabled'), true) "
    "FROM pg_catalog.pg_class WHERE relname = 'orders' AND relkind = 'r'"
)
OLDEST, OLDEST_LATER = (
    f"DELETE FROM orders WHERE number <= (SELECT max(number) FROM orders) - {kept}" for kept in (KEPT, KEPT_LATER)
)


@dataclass(frozen=True)
class Variant:
    """An index and its next weeks: the type of the `key`; what was `deleted`; how many orders come in a week and which `leave`
    again; whether autovacuum is `vacuumed` on; the `right` SQL of a reference ('' to leave it)."""

    story: str
    key: str
    deleted: str
    arriving: int
    leave: str
    right: str
    because: str
    question: str
    vacuumed: bool = True


VARIANTS = (
    Variant(
        "Nine orders of ten were archived, those of customers who agreed to it, so that the rest stand scattered among the numbers. New orders have higher numbers", "bigint",
        "DELETE FROM orders WHERE number % 10 > 0", 10_000, "", f"REINDEX INDEX CONCURRENTLY {INDEX}",
        "Every leaf kept one entry of ten, so that none became empty. Thin leaves wait for keys of their own range, and keys that rise go to the right end: this free space is used by nobody.",
        "Which leaves do the next orders go to, and is there room on any of those that are thin?",
    ),
    Variant(
        "Three orders of five were deleted, at random. The key is a UUID of version 4, and a third more orders than went come within a fortnight", "uuid",
        "DELETE FROM orders WHERE number % 5 > 1", 24_000, "", "",
        "Random keys go to every leaf, and fill what is thin; only a leaf that gets more than its share is cut. Rebuilt to 90 %, all leaves are full at once: each is cut in two within a fortnight, and the index ends larger than if it had been left alone.",
        "To which leaves do random keys go, and what becomes of leaves that are 90 % full when twice as much again arrives?",
    ),
    Variant(
        "So far orders were kept until there were 40,000, from now on it is 50,000, and the oldest of them go once a week. New orders have higher numbers. Today a third of the index is out of use", "bigint",
        "DELETE FROM orders WHERE number <= 20000", 30_000, OLDEST_LATER, "",
        "Neighbours that go together leave empty pages, which leave the tree and are handed out again: next week's orders take those first. Rebuilt, the file shrinks tonight, and is as large as without that within the week.",
        "What becomes of a leaf that lost all of its entries, when next week's orders need a page?",
    ),
    Variant(
        "A service was closed, and three orders of five deleted at random; its key is a UUID of version 4. What is left will be read for ten years. A hundred corrections come in a week", "uuid",
        "DELETE FROM orders WHERE number % 5 > 1", 100, "", f"REINDEX INDEX CONCURRENTLY {INDEX}",
        "Random keys would fill the thin leaves, but nearly none arrive. What is read for ten years may as well be a third of the size.",
        "How many entries arrive, and how many are missing on the thin leaves?",
    ),
    Variant(
        "Ten years of orders were archived, the oldest nine tenths. New orders have higher numbers, and come in slowly", "bigint",
        "DELETE FROM orders WHERE number <= 54000", 1_500, "", f"REINDEX INDEX CONCURRENTLY {INDEX}",
        "The empty pages are handed out again, that is true: nine tenths of the file wait for orders that will need years to come.",
        "How many pages are free, and how many does a fortnight of new orders need?",
    ),
    Variant(
        "Orders are kept until there are 40,000, and the oldest of them go once a week. New orders have higher numbers. The index grows from week to week, for somebody switched autovacuum off on this table, \"to speed up the import\"", "bigint",
        "DELETE FROM orders WHERE number <= 20000", 20_000, OLDEST, "ALTER TABLE orders RESET (autovacuum_enabled)",
        "Deleted rows keep their entries until VACUUM takes them out: no leaf ever becomes empty, and each week adds its own. Rebuilding mends this week. With autovacuum on, the file stays as large as it is.",
        "Who takes the entries of deleted orders out of the index, and when will it come by next?", False,
    ),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The orders, deleted as the story says, and vacuumed where autovacuum is on."""
    off = "" if variant.vacuumed else " WITH (autovacuum_enabled = off)"
    tables = (
        f"CREATE TABLE orders (order_id {variant.key} PRIMARY KEY, number int NOT NULL, note text NOT NULL){off};\n"
    )
    return Recipe(
        "orders with a bloated key", tables + arrivals(variant, 1, ROWS), then=variant.deleted, vacuum=variant.vacuumed
    )


def arrivals(variant: Variant, first: int, last: int) -> str:
    """The INSERT of the orders with these numbers."""
    return f"INSERT INTO orders SELECT {KEYS[variant.key]}, i, 'done' FROM generate_series({first}::bigint, {last}) i"


def pass_weeks(orders: Database, variant: Variant) -> int:
    """Let the weeks go by, with autovacuum's nights where it is on: bytes of the index afterwards.

    All of it happens in one session. A session that has not vacuumed itself asks of a page whether any transaction of the whole server,
    in whatever database, is older than the page's end, and leaves it alone if so; one that has knows that those of this database matter.
    """
    vacuumed = autovacuum(orders)
    orders.settle()
    with orders.connect() as session:
        session.autocommit = True
        night(session, vacuumed)
        for week in range(WEEKS):
            first = ROWS + 1_001 + week * variant.arriving
            session.execute(arrivals(variant, first, first + variant.arriving - 1))
            if variant.leave:
                session.execute(variant.leave)
            night(session, vacuumed)
    return orders.relation_bytes(INDEX)


def autovacuum(orders: Database) -> bool:
    """Whether autovacuum may come by the table."""
    return bool(orders.cluster.admin(AUTOVACUUM, orders.name)[0][0])


def night(session: psycopg.Connection[Any], vacuumed: bool) -> None:
    """Autovacuum comes by twice, a transaction apart: a page that left the tree is handed out once nobody can be on the
    way to it any more."""
    if vacuumed:
        for statement in ("VACUUM orders", "SELECT pg_catalog.pg_current_xact_id()", "VACUUM orders"):
            session.execute(statement)


@cache
def later(variant: Variant, sql: str) -> int:
    """Bytes of the index when the weeks are over, after this SQL ('' for none), measured once a process."""
    with database(recipe(variant)) as orders:
        if sql:
            orders.run(sql)
        return pass_weeks(orders, variant)


def judge(answer: dict[str, Any], variant: Variant) -> Judgement:
    sql = answer["sql"] if split(answer["sql"]) else ""
    with database(recipe(variant)) as orders:
        before, rows, files = orders.catalog(), orders.run(COUNTED).rows, dict(orders.cluster.admin(FILES, orders.name))
        seen = (
            beside_writers(orders, sql, lambda number: arrivals(variant, ROWS + number, ROWS + number))
            if sql
            else Observed()
        )
        changed = changes_allowed(
            before, orders.catalog(), {"index", "table"}, verbs={"changed"}, may="rebuild the index, vacuum the table and change their options",
            question="What has that to do with free space in an index?",
        )  # fmt: skip
        if not changed.ok or orders.run(COUNTED).rows != rows:
            return Judgement(0.0, (changed if not changed.ok else rows_gone(),))
        if seen.error is not None and not seen.blocking:
            raise seen.error
        written = sum(size for file, size in orders.cluster.admin(FILES, orders.name) if file not in files)
        without = later(variant, "" if variant.right.startswith("REINDEX") or not autovacuum(orders) else variant.right)
        size = pass_weeks(orders, variant)
    told = foreseen(answer["kilobytes"], size)
    findings = (
        past(seen),
        in_the_end(size, sql, written, variant, named=told.ok),
        *worth_it(written, without - size, variant, named=told.ok),
        told,
    )
    return Judgement(float(all(finding.ok for finding in findings)), findings)


def rows_gone() -> Finding:
    return Finding(
        False, "The answer changed the orders.", "The same orders as before.", "Which of its statements touches rows?"
    )


def past(seen: Observed) -> Finding:
    """Whether a writer had to wait."""
    found = nobody_waits(seen, "ddl-is-online")
    if found.ok:
        return found
    question = "Which lock does that statement take? Is there another one, or another form of this one, that does as much for the index with a weaker lock?"
    return replace(found, question=question)


def in_the_end(size: int, sql: str, written: int, variant: Variant, *, named: bool) -> Finding:
    """Whether the index is as small after the weeks as it can be had; its size is `named` to a person who knows it."""
    best = later(variant, variant.right)
    roughly = next(words for least, words in LARGER if size > least * best)
    told = f"After {WEEKS} weeks of orders the index is {roughly}{f', {kilobytes(size)}' if named else ''}"
    if size <= best * MARGIN:
        return Finding(True, f"{told}.")
    belief = "free-is-used"
    if sql:
        belief = (
            "vacuum-shrinks"
            if variant.right.startswith("REINDEX")
            else "rebuilt-stays"
            if written
            else "once-is-enough"
        )
    return Finding(
        False, f"{told}{'' if sql else ', left as it is'}.", f"At most {MARGIN - 1:.0%} more than the best that was found.", variant.question, belief,
    )  # fmt: skip


def worth_it(written: int, saved: int, variant: Variant, *, named: bool) -> list[Finding]:
    """Whether an index that was written anew saves more bytes, after the weeks, than were written; nothing where none was."""
    if not written:
        return []
    much = f"{kilobytes(written)} in its file and as much in the WAL" if named else "in its file and in the WAL"
    told = f"The index was written anew, {much}"
    if saved > written:
        return [Finding(True, f"{told}, and after {WEEKS} weeks it has saved more than that.")]
    less = "smaller by less than that" if saved > 0 else "larger" if saved < 0 else "just as large"
    return [
        Finding(
            False, f"{told}; compared with what it would have been after {WEEKS} weeks it is {less}.", "A rebuilt index that saves more than was written, or none.", variant.question, "reindex-always",
        )
    ]  # fmt: skip


def foreseen(told: float, size: int) -> Finding:
    """Whether the learner knew how large the index would be; if not, in which direction it is wrong, and roughly how far."""
    off = abs(told * 1024 - size) / size
    if off <= TOLERANCE:
        return Finding(True, f"You said {told:,.0f} kB, a tenth off at most.")
    share = next(words for least, words in FAR if off > least)
    small = told * 1024 < size
    return Finding(
        False, f"You said {told:,.0f} kB: after your SQL and {WEEKS} weeks that is too {'small' if small else 'large'}, by more than {share}.", f"What it really takes then, within {TOLERANCE:.0%}.",
        "How many pages has it after your SQL, and how many of the new entries find room on one of those?" if small
        else "Which pages will the new entries go to, and how many of these are there already when they come?",
        "size-is-rows" if small else "room-is-lost",
    )  # fmt: skip


def accepts(answer: Any) -> str:
    """'' for SQL and a number, else a sentence that says what was handed in instead."""
    if type(answer) is not dict or set(answer) != {"sql", "kilobytes"}:
        return 'The answer has two parts: {"sql": "...", "kilobytes": ...}.'
    if type(answer["sql"]) is not str:
        return "`sql` is text: SQL in quotes, or an empty text to leave the index as it is."
    if not is_number(answer["kilobytes"]) or answer["kilobytes"] <= 0:
        return "`kilobytes` is a number above 0: the size of the index after the weeks."
    return ""


def brief(variant: Variant) -> str:
    first = ROWS + 1_001
    week = f"{arrivals(variant, first, first + variant.arriving - 1)};" + (
        f"\n{variant.leave};" if variant.leave else ""
    )
    nights = (
        "Each night, the first one included, autovacuum comes by (`VACUUM orders`, a transaction, `VACUUM orders`)."
        if variant.vacuumed
        else "Autovacuum is off for the table (`autovacuum_enabled = off`); where it is on, it comes by each night (`VACUUM orders`, a transaction, `VACUUM orders`)."
    )
    start = recipe(variant)
    return (
        f"{variant.story}. How it came about:\n\n```sql\n{start.tables};\n{variant.deleted};\n```\n\n"
        f"A week, of which there are {WEEKS} (in the second the numbers go on; those from {ROWS + 1:,} to {first - 1:,} are left for the writers who are there while your SQL runs):\n\n```sql\n{week}\n```\n\n{nights}\n\n"
        f"A dashboard shows `{INDEX}` in red: bloated. Mend it, or leave it, or do what else is right. Hand in "
        '`{"sql": "...", "kilobytes": ...}`: the SQL of tonight (an empty text leaves everything as it is), and how large the index will be **after the weeks** and your SQL, '
        f"in kB of 1,024 bytes, within {TOLERANCE:.0%}.\n\n"
        "The judge runs your SQL beside a transaction that has inserted and not yet committed: **no INSERT may wait behind it**. Then the weeks go by. In the end the index may be a tenth larger than the best that can be had, "
        "and whoever writes an index anew must save more than was written. "
        "`engine = practice(\"btrees-bloat\")` gives you the table of tonight; `SELECT pg_relation_size('orders_pkey') / 1024` is what you look at."
    )


def why(variant: Variant) -> str:
    return (
        f"{variant.because} Seen on PostgreSQL 18, whose VACUUM removes entries and hands out empty pages again, but never merges thin ones and seldom shortens a file. REINDEX CONCURRENTLY waits for transactions, not for tables, "
        "and takes the room of both indexes while it runs. What would change it: other keys, another stream, another share. Before you mend, ask what will be written into the free space, "
        "and look again after a week. InnoDB does merge neighbours that are thin; SQLite needs VACUUM, which writes the whole file anew."
    )


EXERCISE = register(
    Exercise(
        id="btrees-bloat",
        lab="01_btrees",
        number=9,
        title="Mend bloat beside a writer, or leave it",
        kind="S",
        declares="value",
        points=3,
        core=False,
        minutes=10,
        answer='{"sql": "...", "kilobytes": ...}, the SQL of tonight and the size of the index after the weeks',
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Where is the free space: on thin leaves, or on leaves that are empty and out of the tree? And which of next week's entries will go there?",
            lambda variant: (
                "Try both on `practice(...)`: once as it is, and once after what you would do. Let the weeks go by with the statements of the task, VACUUM where autovacuum would, and look at `pg_relation_size` after each step. "
                "What mends beside writers has a form that waits for transactions and not for the table. (A writer of yours that is still open keeps empty pages from being used again: commit it before you look.)"
            ),
            lambda variant: (
                f"{variant.because} "
                + (f"So tonight's SQL begins with {variant.right.split()[0]}" if variant.right else "So tonight's SQL is an empty text")
                + f", and the index ends a little below {round(later(variant, variant.right) / 1024 * 1.05, -1):,.0f} kB."
            ),
        ),
        judge=judge,
        why=why,
        misconceptions={
            "reindex-always": "A bloated index has to be rebuilt.",
            "rebuilt-stays": "An index that was rebuilt stays small.",
            "free-is-used": "Free space in an index is always used again.",
            "once-is-enough": "What VACUUM has cleaned once stays clean.",
            "vacuum-shrinks": "VACUUM gives an index's room back.",
            "ddl-is-online": "To rebuild an index only reads the table: nobody has to wait for it.",
            "size-is-rows": "An index will be as large as its rows make it, whatever was there before.",
            "room-is-lost": "Each new entry makes the file larger, whatever room there is.",
        },
    )
)  # fmt: skip
