"""Half of the rows go, as many come: after which DELETE does the index grow, and after which does it not?

    pages                │████│████│████│████│             new rows behind all others     new rows anywhere
    neighbours deleted   │    │    │████│████│             2 empty pages: used again      the full ones are cut
    every other deleted  │█ █ │ █ █│█ █ │ █ █│             4 thin pages: nobody comes     the thin ones are filled

VACUUM takes the entries of deleted rows out of the index. A page that is empty then leaves the tree, and whoever needs
a page may have it. A page that still holds one entry stays where it is, with room for keys of its own range and for no others. So
it is the new rows that decide which delete was a good one, and the variants change where they go: behind all others,
anywhere, in front, back to where they were; once the index has room already, and once somebody still reads, so that VACUUM may not
take anything.

    >>> [variant.name for variant in VARIANTS]
    ['rising', 'tokens', 'reader', 'falling', 'roomy', 'import']
    >>> stretches({1, 2, 3, 7, 8}, [1, 2, 3, 4, 5, 6, 7, 8])
    2

A page that left the tree is handed out once no transaction may be on its way to it: after a write that came later, and the next
VACUUM. The judge does both.

Source: PostgreSQL's src/backend/access/nbtree/README, "Deleting entire pages during VACUUM"; its manual, "Routine Vacuuming".
Left out: REINDEX, which mends all of them, and the pages of the table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.engines import Database, Recipe, database
from workbook.engines.running import split
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed

ROWS, HALF = 20_000, 10_000
GROWS_MIN, SAME_MAX = 1.2, 1.1
FEW_STRETCHES = 10
PAGE_BYTES = 8192
FILL_S_MAX = 10
NAMES = ("grows", "same")
OTHER = {"grows": "same", "same": "grows"}
COLUMNS = "number bigint, customer int, token uuid"
VALUES = "SELECT n, n * 7919 % 200, md5(n::text)::uuid FROM generate_series({first}, {last}) n"
TABLES = (
    f"CREATE TABLE orders ({COLUMNS});\n"
    f"INSERT INTO orders {VALUES.format(first=1, last=ROWS)};\n"
    "CREATE TABLE archive AS SELECT * FROM orders;\n"
    "CREATE TABLE sales (number bigint);"
)
NEW = f"INSERT INTO orders {VALUES.format(first=ROWS + 1, last=ROWS + HALF)}"
LEFT = """SELECT count(*), array_agg(a.number) FILTER (WHERE a.number IS NOT NULL)
          FROM orders LEFT JOIN archive a USING (number, customer, token)"""
BACK = "INSERT INTO orders SELECT * FROM archive WHERE number NOT IN (SELECT number FROM orders) ORDER BY number"


@dataclass(frozen=True)
class Variant:
    """An index on `orders` and what comes after the DELETE.

    Parameters: `on`, what is written behind the table's name; the statement that refills; `held`, whether a reader's transaction is
    open all the time; `none`, the name of the delete that does not exist, '' where both do; `because`; in the hint's words,
    a delete of either kind.
    """

    name: str
    story: str
    on: str
    refill: str
    because: str
    grows: str
    same: str
    none: str = ""
    held: bool = False

    @property
    def definition(self) -> str:
        return f"CREATE INDEX orders_index ON orders {self.on}"


VARIANTS = (
    Variant(
        "rising",
        "Half of the orders go to the archive, and as many new ones come in, with higher numbers",
        "(number)",
        NEW,
        "New numbers go behind all others, where pages are needed. Neighbours that are deleted together leave empty pages, and these are used again. Every other row leaves all pages behind, half full, and no new number "
        "ever comes there.",
        "every other row",
        "the oldest half",
    ),
    Variant(
        "tokens",
        "The index is on a random token. Half of the orders go to the archive, and as many new ones come in",
        "(token)",
        NEW,
        "New tokens go anywhere. A delete by number takes some entries from each page, and the new ones find room just there. Take the lower half of the tokens, and the pages of the upper half are as full as before, get half of what is new, and are cut: "
        "the pages that became empty do not suffice for all of that.",
        "the lower half by token, as one stretch of the index",
        "the oldest half by number, which lies scattered in the index",
    ),
    Variant(
        "reader",
        "A report has begun a transaction (REPEATABLE READ) before the DELETE, and reads until the morning. Half of the orders go to the archive, and as many new ones come in, with higher numbers",
        "(number)",
        NEW,
        "The report may still want to see the rows that are deleted, so VACUUM takes neither them nor their entries away, as often as it runs. No page becomes empty, whatever was deleted: the new numbers take new pages.",
        "any half",
        "",
        none="same",
        held=True,
    ),
    Variant(
        "falling",
        "The list shows the newest orders first, and the index is made like that. Half of the orders go to the archive, and as many new ones come in, with higher numbers",
        "(number DESC)",
        NEW,
        "New numbers go in front of all others. There a full page is cut in the middle and its right half gets nothing more, so that 10,000 rows take 49 pages. Half of a well-filled index has 28 at most to give: "
        "no delete of half of the rows makes room enough.",
        "every other row",
        "",
        none="same",
    ),
    Variant(
        "roomy",
        "The index has been made with room, half of each page. Half of the orders are deleted and imported again, corrected, with the numbers that they had, in ascending order",
        "(number) WITH (fillfactor = 50)",
        BACK,
        "The rows come back to where they were. Where a stretch of them has lost its pages, new ones are cut in the middle and stay half full: but so were the old ones, and there are as many of them as are needed. Scattered rows find their places. "
        "No delete makes this index grow.",
        "",
        "every other row",
        none="grows",
    ),
    Variant(
        "import",
        "Half of the orders are deleted and imported again, corrected, with the numbers that they had, in ascending order",
        "(number)",
        BACK,
        "The rows come back to where they were. Scattered ones find their old places free on every page. A stretch of them has lost its pages: it comes to one place inside the tree, where a full page is cut in the middle, "
        "and in ascending order its left half gets nothing more: little more than half as many rows a page as before. Only at the right edge, for the newest half, pages are left 90 per cent full.",
        "the oldest half, or a stretch in the middle",
        "every other row, or the newest half",
    ),
)  # fmt: skip

DELETES = {
    "every other row": "number % 2 = 0",
    "the oldest half": f"number <= {HALF}",
    "the newest half": f"number > {ROWS - HALF}",
    "a half in the middle": f"number > {HALF // 2} AND number <= {HALF // 2 + HALF}",
    "the lower half by token": f"number IN (SELECT number FROM archive ORDER BY token LIMIT {HALF})",
}
"""Conditions that are tried where somebody says that there is no such delete."""


@dataclass(frozen=True)
class Refilled:
    """What became of the index: in how many stretches of it the deleted entries lay, its pages before the DELETE and
    after the new rows."""

    stretches: int
    before: int
    after: int

    @property
    def growth(self) -> float:
        return self.after / self.before

    def __str__(self) -> str:
        more = self.growth - 1
        return f"{self.before} pages before it, {self.after} after the new rows, {more:.0%} more"


def recipe(variant: Variant) -> Recipe:
    """The orders, a copy of them in `archive`, the index, and the table `sales`."""
    return Recipe(f"orders before a delete, {variant.name}", TABLES, then=variant.definition)


def refilled(sql: str, variant: Variant, name: str = "") -> Refilled | Finding:
    """Delete, vacuum, fill again; or the finding on what is no DELETE of half of the rows. Raises `SqlError`."""
    with database(recipe(variant)) as orders, reader(orders, variant.held):
        catalog, files, before = orders.catalog(), files_of(orders), pages(orders)
        orders.run(sql)
        changed = changes_allowed(
            catalog, orders.catalog(), frozenset(), may="delete rows of `orders`, and do nothing else"
        )
        if not changed.ok:
            return changed
        left, numbers = orders.run(LEFT).rows[0]
        kept = set(numbers or ())
        if left != HALF or len(kept) != HALF:
            return not_half(name, left, len(kept))
        if files_of(orders) != files or pages(orders) != before:
            return written_anew(name)
        vacuum_and_fill(orders, variant)
        gone = set(range(1, ROWS + 1)) - kept
        return Refilled(stretches(gone, index_order(variant)), before, pages(orders))


@contextmanager
def reader(orders: Database, held: bool) -> Iterator[None]:
    """A transaction that has taken its snapshot, and keeps it."""
    if not held:
        yield
        return
    connection = orders.connect()
    try:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM sales")
        yield
    finally:
        connection.close()


def pages(orders: Database) -> int:
    return orders.relation_bytes("orders_index") // PAGE_BYTES


def files_of(orders: Database) -> list[tuple[Any, ...]]:
    """The files of the table and its index: others where either was written anew."""
    sql = "SELECT relname, pg_catalog.pg_relation_filenode(oid) FROM pg_catalog.pg_class WHERE relname IN ('orders', 'orders_index') ORDER BY 1"
    return orders.cluster.admin(sql, orders.name)


def vacuum_and_fill(orders: Database, variant: Variant) -> None:
    """VACUUM, a sale, VACUUM again, and the new rows, all in one session.

    A session that has not vacuumed itself takes no page that left the tree while a transaction of any database of the server is older
    than that; one that has knows that those of its own database matter.
    """
    orders.run(f"VACUUM orders; INSERT INTO sales VALUES (1); VACUUM orders; {variant.refill}", deadline_s=FILL_S_MAX)


@cache
def index_order(variant: Variant) -> list[int]:
    """The rows' numbers as they stand in the index."""
    numbers = range(1, ROWS + 1)
    if "token" in variant.on:
        return sorted(numbers, key=lambda number: hashlib.md5(str(number).encode(), usedforsecurity=False).digest())
    return list(numbers)


def stretches(gone: Collection[int], order: Sequence[int]) -> int:
    """In how many runs of neighbours the numbers that are gone lay."""
    found, before = 0, False
    for number in order:
        now = number in gone
        found, before = found + (now and not before), now
    return found


@cache
def known(variant: Variant) -> dict[str, Refilled]:
    """What becomes of the index after each of `DELETES`."""
    made = {name: refilled(f"DELETE FROM orders WHERE {condition}", variant) for name, condition in DELETES.items()}
    return {name: each for name, each in made.items() if isinstance(each, Refilled)}


def accepts(answer: Any) -> str:
    if type(answer) is not dict or set(answer) != set(NAMES):
        keys = f"a dict with {sorted(map(str, answer))}" if type(answer) is dict else type(answer).__name__
        return f"The answer is a dict with the keys 'grows' and 'same'; this is {keys}."
    for name in NAMES:
        if answer[name] is not None and (refusal := accepts_sql(answer[name])):
            return f"{name!r}: {refusal}"
    return ""


def judge(answer: dict[str, str | None], variant: Variant) -> Judgement:
    """What each delete did; whether a None is right is only said to a person whose delete does what it is meant to."""
    if not any(answer.values()):
        return Judgement(0.0, (both_none(variant),))
    made: dict[str, Refilled] = {}
    for name in NAMES:
        sql = answer[name]
        if sql is None:
            continue
        if len(split(sql)) > 1:
            return Judgement(0.0, (one_statement(name),))
        each = refilled(sql, variant, name)
        if isinstance(each, Finding):
            return Judgement(0.0, (each,))
        made[name] = each
    if len(made) == 2 and does("same", made["grows"]) and does("grows", made["same"]):
        return Judgement(0.0, (exchanged(made, variant),))
    findings = [of_one(name, made[name], variant) for name in made]
    if all(finding.ok for finding in findings):
        findings += [no_such(name, variant) for name in NAMES if name not in made]
    findings.sort(key=lambda finding: finding.ok)
    return Judgement(float(all(finding.ok for finding in findings)), tuple(findings))


def does(name: str, made: Refilled) -> bool:
    """Whether a delete does what its name says."""
    return made.growth >= GROWS_MIN if name == "grows" else made.growth < SAME_MAX


EXPECTED = {
    "grows": f"At least {GROWS_MIN - 1:.0%} more",
    "same": f"Less than {SAME_MAX - 1:.0%} more",
}
SHAPED = {
    ("grows", True): (
        "Which pages became empty, and who may have them? What would leave the pages in the tree, with room where no new row comes?",
        "never-frees",
    ),
    ("grows", False): (
        "To which pages do the new rows go, and is there room on these? After which delete would they find full pages, or none?",
        "thin-is-lost",
    ),
    ("same", True): (
        "Where do the new rows go, and how full are the pages that they leave behind there? How many pages do they need, and how many became empty?",
        "neighbours-free",
    ),
    ("same", False): (
        "On which pages is there room now, and for which keys? Does any of the new rows have such a key?",
        "always-frees",
    ),
}


def of_one(name: str, made: Refilled, variant: Variant) -> Finding:
    """Whether one delete did to the index what it was meant to."""
    if does(name, made):
        return Finding(True, f"`{name}`: the index has {made}.")
    few = made.stretches <= FEW_STRETCHES
    question, misconception = SHAPED[name, few]
    if variant.held:
        question, misconception = "What would the report see, if VACUUM took these rows away?", "vacuum-takes-all"
    elif variant.none == "grows":
        question, misconception = (
            "How full is a page of this index at first, how full one that was cut in the middle, and so how many do the rows need?",
            "refill-bloats",
        )
    elif variant.none == "same" and few:
        question, misconception = (
            "How full are the pages that rows in this order leave behind, how full were those that became empty, and so how many of them are needed for as many rows?",
            "as-many-as-much",
        )
    lay = "one stretch" if made.stretches == 1 else f"{made.stretches:,} stretches"
    return Finding(
        ok=False,
        seen=f"`{name}`: the index has {made}. What was deleted lay in {lay} of it.",
        expected=f"{EXPECTED[name]}; None where no delete of half of the rows does it.",
        question=question,
        misconception=misconception,
    )


def no_such(name: str, variant: Variant) -> Finding:
    """Whether it is right that no delete does it: some are tried."""
    tried = known(variant)
    found = [each for each in tried.values() if does(name, each)]
    if found:
        return Finding(
            ok=False,
            seen=f"`{name}` is None, yet there is such a delete. After it the index has {found[0]}.",
            expected="None only where no delete of half of the rows does it.",
            question="Compare rows that are neighbours in the index with rows that lie scattered over it: what is left of the pages of each, and where do the new rows go?",
            misconception="always-frees" if name == "grows" else "never-frees",
        )
    growths = sorted(
        {f"{each.growth - 1:.0%}": each.growth for each in tried.values()}.items(), key=lambda pair: pair[1]
    )
    between = " to ".join(dict.fromkeys((growths[0][0], growths[-1][0])))
    return Finding(
        True, f"`{name}`: there is none. After each of {len(tried)} deletes the index has {between} more pages."
    )


def both_none(variant: Variant) -> Finding:
    return Finding(
        ok=False,
        seen="Both are None.",
        expected="One delete at least: nobody has found an index to which both happen never.",
        question="What of the deleted rows may VACUUM take away while the report reads, and where do the new rows go then?"
        if variant.held
        else "Take a delete of neighbours, and one of rows that lie scattered in the index. Which pages have room after each, and do the new rows come there?",
    )


def exchanged(made: dict[str, Refilled], variant: Variant) -> Finding:
    return Finding(
        ok=False,
        seen=f"The two are exchanged: after `grows` the index has {made['grows']}; after `same` {made['same']}.",
        expected="Under `grows` the delete after which it is larger.",
        question="Which pages have room after each of them, and which of these do the new rows come to?",
        misconception=SHAPED["same", made["same"].stretches <= FEW_STRETCHES][1],
    )


def one_statement(name: str) -> Finding:
    return Finding(
        ok=False,
        seen=f"`{name}` is more than one statement.",
        expected="One DELETE. What follows (VACUUM, a sale, VACUUM, the new rows) is done for you.",
        question="What would the index be like, if it were only the DELETE?",
    )


def not_half(name: str, left: int, kept: int) -> Finding:
    if kept != left:
        return Finding(
            ok=False,
            seen=f"Of the {left:,} rows that `{name}` leaves, {left - kept:,} are not as they were.",
            expected=f"A DELETE of {HALF:,} of the {ROWS:,} rows, which leaves the others alone.",
            question="What else than deleting does the statement do?",
        )
    return Finding(
        ok=False,
        seen=f"`{name}` deletes {ROWS - left:,} of the {ROWS:,} rows.",
        expected=f"Exactly {HALF:,}, so that as many go as come.",
        question="For how many rows does its condition hold?",
    )


def written_anew(name: str) -> Finding:
    return Finding(
        ok=False,
        seen=f"`{name}` has written the table or the index anew, or has made it larger.",
        expected="A DELETE: it marks rows, and changes neither file nor size.",
        question="Who waits while a table is written anew, and is that what the job at night does?",
    )


TRYING = """from sqlalchemy import text

engine = practice("btrees-refill").execution_options(isolation_level="AUTOCOMMIT")  # fresh tables each time
with engine.connect() as mine:
    mine.execute(text("DELETE FROM orders WHERE ..."))  # and so on, step by step
    print(mine.execute(text("SELECT pg_relation_size('orders_index') / 8192")).scalar(), "pages")"""
REPORT = """
report = engine.connect().execution_options(isolation_level="REPEATABLE READ")
report.execute(text("SELECT 1 FROM archive LIMIT 1"))  # its snapshot; it keeps it until it is closed"""


def trying(variant: Variant) -> str:
    """Code for a cell: the steps by hand, beside the report where there is one."""
    if not variant.held:
        return TRYING
    first, rest = TRYING.split("\nwith ", 1)
    return f"{first}{REPORT}\nwith {rest}\nreport.close()"


def brief(variant: Variant) -> str:
    theirs = (
        " The report is a connection beside yours, which has read a row before the DELETE and is closed at the end."
        if variant.held
        else ""
    )
    return (
        f"{variant.story}.\n\n```sql\n{TABLES}\n{variant.definition};\n```\n\n"
        f"This is what happens: your DELETE of exactly **{HALF:,}** of the {ROWS:,} rows; `VACUUM orders`; the shop sells something (`INSERT INTO sales VALUES (1)`, a transaction of its own); `VACUUM orders`; "
        f"and then\n\n```sql\n{variant.refill};\n```\n\n"
        'Hand in `{"grows": "DELETE ...", "same": "DELETE ..."}`, each one statement:\n\n'
        f"- `grows`: afterwards the index has at least **{GROWS_MIN - 1:.0%} more** pages than before the DELETE;\n"
        f"- `same`: it has less than **{SAME_MAX - 1:.0%} more**.\n\n"
        f"Where there is no such delete, hand in `None` in its place.{theirs} To try:\n\n```python\n{trying(variant)}\n```"
    )


def why(variant: Variant) -> str:
    return (
        f"{variant.because} What would change it: where the new rows go (at the edge, anywhere, back), how full pages are that rows in this order leave behind, and who still reads. Seen with PostgreSQL 18, where VACUUM hands out a page "
        "that became empty after a later transaction and a second run; it merges no thin pages, and it shortens no index. REINDEX CONCURRENTLY writes the index anew where the room does not come back by itself."
    )


def third_hint(variant: Variant) -> str:
    said = {name: getattr(variant, name) for name in NAMES}
    parts = [f"`{name}`: {text}" if text else f"`{name}`: there is none, so None" for name, text in said.items()]
    return f"{'. '.join(parts)}. As conditions: `number % 2 = 0`, `number <= {HALF}`, or `number IN (SELECT number FROM orders ORDER BY ... LIMIT {HALF})`."


EXERCISE = register(
    Exercise(
        id="btrees-refill",
        lab="01_btrees",
        number=7,
        title="Deleted and filled again",
        kind="W",
        declares="value",
        points=3,
        core=True,
        minutes=9,
        answer="a dict with the keys 'grows' and 'same', each a DELETE as text or None",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "After VACUUM, which pages of the index are empty, which are thin, which full; and to which of them does the next new row want to go?"
            ),
            lambda variant: (
                f"Try two deletes: rows that are neighbours in the index on `{variant.on}`, and rows that lie scattered over it. For each, think of the new rows: do they come to the thin pages? If they need new pages, "
                "are there as many empty ones, and will the new ones be as full as the old ones were? And may VACUUM take the rows away at all?"
            ),
            third_hint,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "always-frees": "DELETE and VACUUM make room in the index for as many new rows.",
            "never-frees": "An index never gets back the room of deleted rows.",
            "thin-is-lost": "Room on pages that are half empty is lost.",
            "neighbours-free": "Whoever deletes neighbours gets the room back, whatever comes next.",
            "as-many-as-much": "As many rows take as many pages as before.",
            "vacuum-takes-all": "VACUUM takes away whatever was deleted.",
            "refill-bloats": "Deleting and inserting again makes an index larger.",
        },
    )
)
