"""Statements that reproduce a page dump: an index keeps a record of how it came to be, for who can read it.

    history                        leaves are      the fullest tenth   right sibling   pointers to rows
                                   full to         / the emptiest      behind it       that are gone
    rows in the order of the key   90 %            90 / 90             never           none
    in reverse                     50 %            50 / 50             always          none
    as they come to hand           two thirds      95 / 50             half of them    none
    fill factor 70, in order       70 %            70 / 70             never           none
    four of five deleted           90 %            90 / 90             never           four of five
    ... and vacuumed               18 %            18 / 18             never           none
    a range deleted and vacuumed   90 %, and pages that are out of use

Two of these indexes may have the same size and the same average fill, and one of them needs REINDEX, one nothing, one
VACUUM, one another fill factor. So the answer is a history: SQL that makes an index of the same statistics out of an
empty table. The judge runs it and reads the pages of both.

    >>> [variant.name for variant in VARIANTS][:4]
    ['descending', 'chance', 'roomy', 'thinned']
    >>> round(apart(164, 150), 2)
    0.09

Source: PostgreSQL's src/backend/access/nbtree/README ("Page deletion", "Notes about deduplication"), nbtsplitloc.c for
the fill factor at the right edge. Left out: marks on dead entries that a scan leaves (LP_DEAD), and pages that are
used again, which depends on what else goes on in the cluster.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from workbook.btree import read_index
from workbook.btree.page import HEADER_BYTES, Page, Snapshot
from workbook.engines import Database, Recipe, database
from workbook.engines.running import CONTROL, split
from workbook.exercises.trial import quoted
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed

TABLE = "CREATE TABLE readings (n bigint NOT NULL)"
INDEX = "CREATE INDEX readings_n ON readings (n)"
ORDER = "INSERT INTO readings SELECT i FROM generate_series(1, {rows}) i"
COUNTS_APART, LISTS_APART, PAGES_APART, POINTS_APART = 0.05, 0.2, 0.15, 10
LARGER_MAX = 5
ROWS_A_PAGE = 226
SHOWN_PAGES = 6
BEGINS = re.compile(r"\s*(BEGIN|START)\b", re.I)
REWRITES = re.compile(r"\s*(CLUSTER\b|VACUUM\b.*\bFULL\b)", re.I | re.S)

TRYING = """from sqlalchemy import text

engine = practice("btrees-dump")
with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as mine:
    for statement in history.split(";"):
        if statement.strip():
            mine.execute(text(statement))
tree = read_index(engine, "readings_n")
print(tree.counts, tree.density, tree.fragmentation, tree.rows)"""


@dataclass(frozen=True)
class Variant:
    """A history: its `name` and `sql`, from an empty table; what it is in words (`history`), and `because`."""

    name: str
    sql: str
    history: str
    because: str


def history(*statements: str, rows: int, fill_factor: int = 90) -> str:
    made = INDEX if fill_factor == 90 else f"{INDEX} WITH (fillfactor = {fill_factor})"
    return ";\n".join((made, *(statement.format(rows=rows) for statement in statements)))


VARIANTS = (
    Variant(
        "descending",
        history("INSERT INTO readings SELECT -i FROM generate_series(1, {rows}) i", rows=40_000),
        "rows that arrived in descending order",
        "Only at the right edge does a split leave the left page full to the fill factor. At the left edge it cuts in the middle, and the half on the right is never written to again: every "
        "leaf is half full, and each new one stands behind its right sibling in the file.",
    ),
    Variant(
        "chance",
        history(ORDER + " ORDER BY hashint8(i)", rows=60_000),
        "rows that arrived in no order",
        "Leaves that are cut in the middle and fill again: all states between half and full stand side by side. The average of two thirds is that of a fill factor of 66, but there every leaf is alike; and "
        "half of the right siblings stand before their page in the file.",
    ),
    Variant(
        "roomy",
        history(ORDER, rows=60_000, fill_factor=66),
        "rows in ascending order, with a fill factor of 66",
        "All leaves are alike, and each stands behind the one before it: nothing was ever cut in the middle. Rows in no order give the same average, with leaves from half to full. "
        "This one is not bloated: somebody has asked for the room.",
    ),
    Variant(
        "thinned",
        history(ORDER, "DELETE FROM readings WHERE n % 5 <> 0", "VACUUM readings", rows=60_000),
        "rows in ascending order of which four in five were deleted, all over the place, and then VACUUM",
        "Each leaf has lost four of its five entries, and none has lost all: a page goes out of use only when it is empty. Nothing is out of order, and no page is free. This is what REINDEX is for.",
    ),
    Variant(
        "unswept",
        history(ORDER, "DELETE FROM readings WHERE n % 4 <> 0", rows=50_000),
        "rows in ascending order of which three in four were deleted, and no VACUUM since",
        "DELETE marks rows in the table, and leaves the index as it is: the pages look as good as new, and three of four pointers lead to nothing. Until VACUUM has been there, not one byte is free.",
    ),
    Variant(
        "purged",
        history(ORDER, "DELETE FROM readings WHERE n <= {rows} * 3 / 4", "VACUUM readings", rows=60_000),
        "rows in ascending order of which a range, three quarters of them, was deleted, and then VACUUM",
        "Whole pages have lost all of their entries, and VACUUM has taken them out of the tree: they stay in the file, and the next splits take them. What is left is as full as before: "
        "here REINDEX would make the file smaller for a few days.",
    ),
    Variant(
        "equals",
        history("INSERT INTO readings SELECT i % 200 FROM generate_series(1, {rows}) i", rows=60_000),
        "two hundred values that come again and again",
        "Equal keys share an entry with a list of pointers of six bytes each: 60,000 rows on a third of the pages. New ones come in singly, and are merged when the page would have to be cut; they go to all two "
        "hundred places, so that the leaves are as those of rows in no order.",
    ),
    Variant(
        "outgrown",
        history(
            ORDER,
            "DELETE FROM readings WHERE n % 5 <> 0",
            "VACUUM readings",
            "INSERT INTO readings SELECT i FROM generate_series({rows} + 1, {rows} + 40000) i",
            rows=40_000,
        ),
        "rows in ascending order, thinned by a scattered DELETE and VACUUM, and then as many new ones at the right edge as there were before the DELETE",
        "There was room enough for all new rows in the thinned leaves, and none was used: a key has one place to go to, and the new ones were larger than all others. So the old leaves stay at a fifth, and the new ones are full.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Dump:
    """What is read of an index, and what its table holds: pages of the `table`; `file`, the index's pages in all; `levels`; leaf pages in use (`leaves`),
    pages out of use (`unused`); the leaves' fill in per cent, on average, of the emptiest tenth at most, of the fullest
    tenth at least; per cent of the right siblings that stand before their page (`back`); entries on leaves, of these
    posting lists; different keys, pointers to rows, and rows that a SELECT sees."""

    table: int
    file: int
    levels: int
    leaves: int
    unused: int
    fill: float
    emptiest: float
    fullest: float
    back: float
    entries: int
    lists: int
    keys: int
    pointers: int
    rows: int


def recipe(variant: Variant) -> Recipe:
    """An empty table: the rest is the answer."""
    return Recipe("an empty table of readings", TABLE)


def fill_of(page: Page) -> float:
    """How full a leaf is, in per cent."""
    room = page.bytes - HEADER_BYTES["postgresql"]
    return 100 * (room - page.free) / room


def dumped(readings: Database, index: str) -> tuple[Dump, Snapshot]:
    """The statistics of an index of `readings`, and its pages."""
    tree = read_index(readings.engine, quoted(index))
    leaves = [page for page in tree.leaves() if page.state == "live"]
    fills = sorted(map(fill_of, leaves)) or [0.0]
    entries = [entry for page in leaves for entry in page.entries]
    return Dump(
        table=readings.relation_bytes("readings") // 8192,
        file=len(tree.pages) + 1,
        levels=tree.height,
        leaves=len(leaves),
        unused=sum(page.state != "live" for page in tree.pages.values()),
        fill=100 * tree.density,
        emptiest=fills[len(fills) // 10],
        fullest=fills[-1 - len(fills) // 10],
        back=100 * tree.fragmentation,
        entries=len(entries),
        lists=sum(len(entry.pointers) > 1 for entry in entries),
        keys=len({entry.key for entry in entries}),
        pointers=sum(len(entry.pointers) for entry in entries),
        rows=int(readings.run("SELECT count(*) FROM readings").rows[0][0]),
    ), tree


def alone(sql: str) -> str:
    """The statements as they are run: each a transaction of its own, but for those between BEGIN and COMMIT, and the table
    vacuumed before it is written anew.

    VACUUM FULL and CLUSTER keep the dead rows that any transaction of the server might still see, that of another database too;
    VACUUM asks those of this database only. What it removed before cannot be kept, so that a verdict does not depend on the neighbours.

        >>> alone("DELETE FROM readings; CLUSTER readings USING readings_n").split(";\\n")
        ['DELETE FROM readings', 'VACUUM readings', 'CLUSTER readings USING readings_n', 'COMMIT']
    """
    statements, open_ = [], False
    for statement in split(sql):
        if CONTROL.match(statement):
            open_ = BEGINS.match(statement) is not None
        elif REWRITES.match(statement) and not open_:
            statements.append("VACUUM readings")
        statements.append(statement)
    return ";\n".join([*statements, "COMMIT"])  # with it among them, the statements are no transaction in common


@cache
def shown(variant: Variant) -> tuple[Dump, Snapshot]:
    """The dump that the task shows: the variant's history is run, and its pages are read."""
    with database(recipe(variant)) as readings:
        readings.run(alone(variant.sql), deadline_s=30)
        return dumped(readings, "readings_n")


def judge(answer: str, variant: Variant) -> Judgement:
    wanted, _ = shown(variant)
    with database(recipe(variant)) as readings:
        before = readings.catalog()
        readings.run(alone(answer))
        allowed = changes_allowed(before, readings.catalog(), frozenset({"index"}))
        if not allowed.ok:
            return Judgement(0.0, (allowed,))
        index = the_index(readings)
        if isinstance(index, Finding):
            return Judgement(0.0, (index,))
        if (pages := readings.relation_bytes(index) // 8192) > LARGER_MAX * wanted.file:
            return Judgement(0.0, (far_too_large(pages, wanted),))
        mine, _ = dumped(readings, index)
    findings = []
    for look in LOOKS:  # the later ones follow from the earlier
        findings.append(look(mine, wanted))
        if not findings[-1].ok:
            return Judgement(0.0, tuple(findings))
    return Judgement(1.0, tuple(findings))


def the_index(readings: Database) -> str | Finding:
    """The name of the one index, or the finding on what there is instead."""
    rows = readings.run(
        "SELECT c.relname::text, m.amname = 'btree' AND i.indkey::text = '1' AND i.indpred IS NULL "
        "FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam "
        "WHERE i.indrelid = 'public.readings'::pg_catalog.regclass"
    ).rows
    if len(rows) == 1 and rows[0][1]:
        return str(rows[0][0])
    return Finding(
        ok=False,
        seen="The index is none on the whole of the column `n`." if len(rows) == 1 else f"There are {len(rows)} indexes on `readings` afterwards.",
        expected="One B-tree on `readings (n)`, of all rows.",
        question="Which statement makes the index, and does it stand before the rows or behind them?",
    )  # fmt: skip


def far_too_large(pages: int, wanted: Dump) -> Finding:
    return Finding(
        ok=False,
        seen=f"Your index has {pages:,} pages.",
        expected=f"{wanted.file:,} pages.",
        question="How many entries of 20 bytes (a slot of 4 and 16 for the pointer and the key) go on a leaf of 8,152 bytes?",
    )


def apart(mine: float, wanted: float) -> float:
    """How far two counts are apart, as a share of the wanted one, or of ten where that is less."""
    return abs(mine - wanted) / max(wanted, 10)


def rows_match(mine: Dump, wanted: Dump) -> Finding:
    if apart(mine.rows, wanted.rows) <= COUNTS_APART:
        return Finding(True, f"A SELECT sees {wanted.rows:,} rows, or nearly so.")
    return Finding(
        ok=False,
        seen=f"A SELECT sees {mine.rows:,} rows of your table.",
        expected=f"About {wanted.rows:,}.",
        question="How many rows were there when the pages were filled, and how many of them are left?",
    )


def pointers_match(mine: Dump, wanted: Dump) -> Finding:
    if apart(mine.pointers, wanted.pointers) <= COUNTS_APART:
        return Finding(True, f"The leaves hold about {wanted.pointers:,} pointers to rows.")
    belief, question = "", "What puts a pointer into an index, and what takes it out?"
    gone, mine_gone = wanted.pointers > 1.5 * wanted.rows, mine.pointers > 1.5 * mine.rows
    if mine_gone and not gone:
        belief, question = (
            "delete-frees",
            "Your rows are deleted, and their pointers are still there: who takes them out of the index?",
        )
    elif gone and not mine_gone:
        belief, question = (
            "delete-frees",
            "The dump has more pointers than the table has rows: what has happened to the rows, and what has not happened yet?",
        )
    return Finding(
        ok=False,
        seen=f"The leaves of your index hold {mine.pointers:,} pointers to rows.",
        expected=f"About {wanted.pointers:,}, where a SELECT sees {wanted.rows:,} rows.",
        question=question,
        misconception=belief,
    )  # fmt: skip


def keys_match(mine: Dump, wanted: Dump) -> Finding:
    """Different keys, entries and posting lists."""
    entries = (
        wanted.entries / 2 <= mine.entries <= wanted.entries * 2
    )  # how many have been merged is a matter of moments
    near = entries and apart(mine.keys, wanted.keys) <= COUNTS_APART
    if near and apart(mine.lists, wanted.lists) <= LISTS_APART:
        return Finding(True, f"There are about {wanted.keys:,} different keys, and {wanted.lists:,} posting lists.")
    return Finding(
        ok=False,
        seen=f"Your leaves have {mine.keys:,} different keys in {mine.entries:,} entries, of which {mine.lists:,} are posting lists.",
        expected=f"About {wanted.keys:,} keys, {wanted.entries:,} entries and {wanted.lists:,} posting lists.",
        question="What does the engine do with equal keys, and when: as each comes in, as a page would have to be cut, or as the index is built?",
        misconception="an-entry-a-row" if mine.keys > 2 * wanted.keys or mine.entries > 2 * wanted.entries else "",
    )


def pages_match(mine: Dump, wanted: Dump) -> Finding:
    """Leaf pages in use, pages out of use, levels."""
    near = apart(mine.leaves, wanted.leaves) <= PAGES_APART and apart(mine.unused, wanted.unused) <= PAGES_APART
    if near and mine.levels == wanted.levels:
        return Finding(True, f"About {wanted.leaves:,} leaves are in use, and {wanted.unused:,} pages are not.")
    belief, question = "", "How many rows went on a leaf when it was cut, and how many were there in all?"
    if mine.unused > wanted.unused + 10:
        belief, question = (
            "any-delete",
            "Which of your pages lost all of their entries, and would they have, if the deleted rows had lain scattered?",
        )
    elif wanted.unused > mine.unused + 10:
        belief, question = (
            "any-delete",
            "When does a page go out of use: how many of its entries must be gone, and who looks?",
        )
    elif mine.rows and apart(mine.rows, wanted.rows) <= COUNTS_APART and not mine.unused + wanted.unused:
        belief, question = (
            "fill-is-given",
            "Your rows are as many, and the leaves are not: where did each new key go, and how was a page cut there?",
        )
    return Finding(
        ok=False,
        seen=f"Of your index {mine.leaves:,} leaves are in use and {mine.unused:,} pages are out of use; it has {mine.levels} levels.",
        expected=f"About {wanted.leaves:,} leaves in use, {wanted.unused:,} pages out of use, {wanted.levels} levels.",
        question=question,
        misconception=belief,
    )  # fmt: skip


def shape_matches(mine: Dump, wanted: Dump) -> Finding:
    """The fills of the leaves, and the order in which they stand in the file."""
    told = ("fill", "emptiest", "fullest", "back")
    if all(abs(getattr(mine, name) - getattr(wanted, name)) <= POINTS_APART for name in told):
        return Finding(True, "The leaves are as full as those of the dump, and as much in order.")
    alike = abs(mine.fill - wanted.fill) <= POINTS_APART and apart(mine.leaves, wanted.leaves) <= PAGES_APART
    return Finding(
        ok=False,
        seen=f"Your leaves are {fills(mine)}; of the right siblings {mine.back:.0f} per cent stand before their page.",
        expected=f"{fills(wanted).capitalize()}; {wanted.back:.0f} per cent.",
        question="As many pages, as full on average: what must have happened that some leaves are fuller than others, or that a new page is linked in on the left?"
        if alike
        else "What was the last thing that happened to a leaf: was it cut, filled up, or emptied?",
        misconception="bloat-is-bloat" if alike else "",
    )  # fmt: skip


def table_matches(mine: Dump, wanted: Dump) -> Finding:
    """The table's pages, which tell how many rows there once were: no fill factor of the index makes those."""
    if apart(mine.table, wanted.table) <= PAGES_APART:
        return Finding(True, f"The table has about {wanted.table:,} pages.")
    return Finding(
        ok=False,
        seen=f"Your table has {mine.table:,} pages.",
        expected=f"About {wanted.table:,}, where a page has room for {ROWS_A_PAGE} rows.",
        question="More rows than a SELECT sees have stood in the dump's table: what became of them?"
        if mine.table < wanted.table and wanted.table > 1.5 * wanted.rows / ROWS_A_PAGE
        else "What writes rows into a table's pages, and which pages can VACUUM cut off?",
        misconception="bloat-is-bloat",
    )


LOOKS: tuple[Callable[[Dump, Dump], Finding], ...] = (
    rows_match,
    pointers_match,
    keys_match,
    pages_match,
    shape_matches,
    table_matches,
)


def fills(dump: Dump) -> str:
    """'full to 66 per cent on average, the emptiest tenth to 51 at most, the fullest to 93 at least'"""
    return f"full to {dump.fill:.0f} per cent on average, the emptiest tenth to {dump.emptiest:.0f} at most, the fullest tenth to {dump.fullest:.0f} at least"


def pages_shown(tree: Snapshot) -> str:
    """A few leaves as a table: two at the left edge, two in the middle, two at the right edge."""
    leaves = tree.leaves()
    pairs = (0, len(leaves) // 2, len(leaves) - 2)
    chosen = [leaves[first + more] for first in pairs for more in range(SHOWN_PAGES // len(pairs))]
    lines = [
        f"| {page.number} | {page.left or '–'} | {page.right or '–'} | {len(page.entries)} | {page.rows} | {fill_of(page):.0f} % |"
        for page in chosen
    ]
    return (
        "| page | left sibling | right sibling | entries | pointers | full |\n|---|---|---|---|---|---|\n"
        + "\n".join(lines)
    )


def brief(variant: Variant) -> str:
    dump, tree = shown(variant)
    return (
        f"A page dump without a label. Somebody's index on `readings (n)`, of which you have the pages, and two numbers of its table:\n\n"
        f"| | |\n|---|---|\n| pages in the file | {dump.file:,} |\n| levels | {dump.levels} |\n| leaves in use | {dump.leaves:,} |\n| pages out of use | {dump.unused:,} |\n"
        f"| fill of the leaves, average | {dump.fill:.0f} % |\n| fill of the emptiest tenth, at most | {dump.emptiest:.0f} % |\n| fill of the fullest tenth, at least | {dump.fullest:.0f} % |\n"
        f"| right siblings that stand before their page | {dump.back:.0f} % |\n| entries on leaves | {dump.entries:,} |\n| of these posting lists | {dump.lists:,} |\n| different keys | {dump.keys:,} |\n"
        f"| pointers to rows | {dump.pointers:,} |\n| rows that `SELECT count(*) FROM readings` sees | {dump.rows:,} |\n| pages of the table, with room for {ROWS_A_PAGE} rows each | {dump.table:,} |\n\n"
        f"Two leaves each of the left edge, the middle and the right edge:\n\n{pages_shown(tree)}\n\n"
        f"What has happened to it? Hand in the statements that make such an index out of an empty table, `{TABLE}`, as one text with `;` between them: `CREATE INDEX`, `INSERT`, and whatever else it takes. Each is a "
        f"transaction of its own, unless you write BEGIN and COMMIT. They are run, and the statistics compared: counts of rows, pointers and keys within {COUNTS_APART:.0%} (posting lists within {LISTS_APART:.0%}, entries within a factor of two), pages "
        f"within {PAGES_APART:.0%}, percentages within {POINTS_APART} points. Any keys will do, and any way that comes out there.\n\n"
        f"To try (`read_index` reads pages at the desk, not in a class; VACUUM runs outside of a transaction, which is what AUTOCOMMIT is for):\n\n```python\n{TRYING}\n```"
    )


def third_hint(variant: Variant) -> str:
    return (
        f"It is the index of {variant.history}. A full leaf has 407 entries of 20 bytes, one at the right edge is cut when it is full and keeps its fill factor (90 per cent, 366, unless told otherwise). "
        "How many rows went in follows from all pages, in use and out of use, and how full they were then; how many rows are left stands in the last lines."
    )


EXERCISE = register(
    Exercise(
        id="btrees-dump",
        lab="01_btrees",
        number=11,
        title="An unlabelled page dump",
        kind="W",
        declares="value",
        points=3,
        core=False,
        minutes=10,
        answer="SQL statements as one text, with ; between them",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "Which lines of the dump would an index have that was loaded in the order of its keys and never touched again? Where do yours differ?"
            ),
            lambda variant: (
                "Each line tells of one thing. Fill and siblings tell where new keys went (right edge, left edge, anywhere). Pointers without rows tell of a DELETE that no VACUUM has followed; pages out of use of one that "
                "took whole pages; leaves that are evenly thin of one that took some of each; posting lists of equal keys. Try one history after the other with `read_index`."
            ),
            third_hint,
        ),
        judge=judge,
        why=lambda variant: (
            f"The dump came from {variant.history}. {variant.because} So an average tells little: before you call an index bloated, look at how the fill is spread, at the order of its pages and at pointers without rows. `pgstatindex` of the extension pgstattuple "
            "gives most of these lines for an index of your own. What would change it: another fill factor, another order of arrival, keys that repeat."
        ),
        misconceptions={
            "bloat-is-bloat": "Bloat is bloat: an index with room in its pages has one cause and one cure.",
            "delete-frees": "DELETE takes the entries out of the index.",
            "any-delete": "It is all one to an index which rows are deleted: what counts is how many.",
            "fill-is-given": "How full the leaves are follows from the fill factor.",
            "an-entry-a-row": "Each row has an entry of its own in the index.",
        },
    )
)
