"""Incident: inserts became slow. What is the cause, and which change shows that it is no other?

    evidence (then, now) ──▶ cause       another one, the runner-up, fits all lines but one; a report names either of them
                             change ──┬─▶ this world              must come back to what it was
                                      └─▶ the runner-up's world   must stay as it is: there, that is the cause

A name earns nothing. A change after which the counters fall is a witness, but not yet of one cause: who ends the sessions, vacuums,
rebuilds the indexes and drops one has mended everything, and knows as much as before. So the change is tried
twice, in the world of the incident and in another one with the same tables, the same stream and the same complaint, where the
runner-up is the cause; it must help in one of them only. And it is tried again without each of its statements (`changes`): what could be left
out belongs to another experiment. All numbers are the engine's (`worlds`).

    >>> {variant.cause: variant.rival for variant in VARIANTS}["bloat"]
    'growth'
    >>> sorted(CAUSES) == sorted(RULED_OUT)
    True

Source: PostgreSQL 18's manual, "Monitoring Database Activity", "Routine Vacuuming" and "Write Ahead Log"; J. Platt, "Strong
Inference" (Science, 1964), for the experiment whose outcome excludes a hypothesis. Left out: causes outside of the engine; what
rules those in is that nothing here has changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.engines import Catalog, Cost, Recipe
from workbook.engines.running import split
from workbook.errors import SqlError, SqlTimeout
from workbook.exercises.btrees.changes import MAY, brought_back, files, fingerprint, taken_away, touched, without_one
from workbook.exercises.btrees.worlds import (
    LEASES,
    NEW,
    ROUNDS,
    SESSION,
    WORLDS,
    Evidence,
    Index,
    World,
    begin,
    evidence,
    quiet,
    reading,
    scanned,
    stream,
)
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register

TOUCHED_MARGIN, WAL_MARGIN, IMAGES_MARGIN, READ_MARGIN = 1.25, 2.0, 1.5, 1.25
TOUCHED_SLACK, IMAGES_SLACK, READ_SLACK = 50, 10, 5
THERE_S = 2.0
"""How long a change may take in the runner-up's world: it works for a tenth of that, or waits for a session that never ends."""
CAUSES = {
    "bloat": "deletes all over the place have left an index thin",
    "disk": "the disk has become slower",
    "foreign-key": "a foreign key has no index on its referencing column any more",
    "growth": "there are more rows than there were",
    "held-back": "a session keeps VACUUM from removing dead versions",
    "random-key": "new keys go to any leaf of the primary key's index",
    "scattered-index": "new entries go to any leaf of another index, and did not before",
    "wide-key": "the entries of an index have become wider",
}


TRYING = f"""from sqlalchemy import text

engine = practice("btrees-incident")
session = engine.execution_options(isolation_level="REPEATABLE READ").connect()
session.execute(text("SET application_name = '{SESSION}'"))
session.execute(text("SELECT 1"))  # the snapshot is taken by the first query
with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as service:
    for _ in range({ROUNDS}):
        for statement in stream:  # the statements of the stream above, in a list
            service.execute(text(statement))
    service.execute(text("VACUUM leases"))
print(measure(lambda connection: [connection.execute(text(statement)) for statement in stream], engine))
session.close()"""


@dataclass(frozen=True)
class Variant:
    """An incident: its `story`; the world and with it the `cause`; the world of the
    runner-up (`rival`); the `healthy` one as it was then; what the `report` names, which may be right; the line that rules the runner-up
    out; a change that tells the two apart."""

    story: str
    cause: str
    rival: str
    healthy: str
    report: str
    line: str
    change: str
    because: str

    @property
    def world(self) -> World:
        return WORLDS[self.cause]


VARIANTS = (
    Variant(
        "Leases. A worker takes a job by putting its lease anew: the old one is deleted, the new one inserted. Since last night taking a job takes far longer",
        "held-back",
        "foreign-key",
        "healthy-lease",
        "foreign-key",
        "no row was read by a sequential scan: whoever looks for children finds them by an index",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{SESSION}'",
        "Each insert of a key that was there before has to look at every dead version of it, in the index and in the table, before it knows that the key is free. VACUUM would remove them, and comes, and may not: "
        "a snapshot of last night might still want to see them. WAL is as it was, so that no disk has more to write.",
    ),
    Variant(
        "Leases. A worker takes a job by putting its lease anew: the old one is deleted, the new one inserted. Since the tidying of last week taking a job takes far longer",
        "foreign-key",
        "held-back",
        "healthy-lease",
        "foreign-key",
        "the session that is idle in its transaction holds no snapshot, and VACUUM had no dead version to leave",
        "CREATE INDEX ON attempts (job)",
        "Before a lease may go, the engine asks whether an attempt refers to it. The index that answered this was dropped as unused: no query reads it, and its scans were those of the foreign key. Now each delete reads "
        "the child table from end to end.",
    ),
    Variant(
        "Orders. The primary key is a UUID, as it was a year ago. After each checkpoint the log fills up, and the inserts wait for it",
        "random-key",
        "scattered-index",
        "healthy-key",
        "scattered-index",
        "of the other index one leaf got all of the new entries",
        "ALTER TABLE orders ALTER id SET DEFAULT uuidv7()",
        "The first change to a page after a checkpoint writes the whole page into the log. Keys in order change one leaf; these change a leaf each, and all of those pages go into the log. Nothing is wrong with UUIDs: what the default "
        "makes of them has changed.",
    ),
    Variant(
        "Orders. The primary key is a UUID, as it was a year ago. After each checkpoint the log fills up, and the inserts wait for it",
        "scattered-index",
        "random-key",
        "healthy-key",
        "random-key",
        "of the primary key's index two leaves got all of the new entries",
        "DROP INDEX orders_lookup",
        "The keys are UUIDs and in order, so that they go to the right edge. The index beside them was made anew on the token, which is chance: each new entry goes to a leaf of its own, which after a checkpoint is logged as a whole. "
        "No read looks for a token.",
    ),
    Variant(
        "Orders by customer. The service keeps the latest; what is older is deleted at night. After each checkpoint inserts are slow for minutes, and the log holds many more page images than a year ago",
        "bloat",
        "growth",
        "healthy-customer",
        "bloat",
        "the table has as many rows as it had",
        "REINDEX INDEX orders_customer",
        "Seven of eight rows were deleted, all over the place, so that no leaf became empty and none was given back: the same rows stand on eight times the leaves, and the new ones go to as many more. An image of a thin page is short, which is why "
        "the log's bytes have not risen with the images; but each of those pages has to be fetched before and written afterwards.",
    ),
    Variant(
        "Orders by customer. Somebody has made a read a little faster. Since then inserts are slow for minutes after each checkpoint, and the log grows faster",
        "wide-key",
        "growth",
        "healthy-customer",
        "growth",
        "the table has as many rows as it had",
        "DROP INDEX orders_customer; CREATE INDEX orders_customer ON orders (customer)",
        "The note travels in the index: an entry takes seven times the bytes, the entries stand on seven times the leaves, and the new ones change as many more. The tree has not become higher, since entries above the leaves keep only what tells "
        "two leaves apart.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """What the stream may touch, log and write as page images, and what the dearest read may touch."""

    touched: int
    wal_bytes: int
    images: int
    read_pages: int

    def holds(self, cost: Cost) -> bool:
        return cost.buffers <= self.touched and cost.wal_bytes <= self.wal_bytes and cost.wal_fpi <= self.images


def recipe(variant: Variant) -> Recipe:
    """The tables of the incident; sessions and churn come on top of it."""
    return variant.world.recipe


@cache
def budget(variant: Variant) -> Budget:
    """What it was then, and a margin."""
    then, now = evidence(variant.healthy), evidence(variant.cause)
    return Budget(
        int(then.touched * TOUCHED_MARGIN) + TOUCHED_SLACK,
        int(then.wal_bytes * WAL_MARGIN),
        int(then.images * IMAGES_MARGIN) + IMAGES_SLACK,
        int(max(then.read_pages, now.read_pages) * READ_MARGIN) + READ_SLACK,
    )


def accepts(answer: Any) -> str:
    if type(answer) is not dict or set(answer) != {"cause", "change"}:
        return "The answer is a dict with the keys 'cause' and 'change'."
    if type(answer["cause"]) is not str or answer["cause"] not in CAUSES:
        return f"'cause' is one of {', '.join(CAUSES)}."
    if type(answer["change"]) is not str or not answer["change"].strip():
        return "'change' is SQL as text, and not empty."
    return ""


def judge(answer: dict[str, str], variant: Variant) -> Judgement:
    """The change is tried first: a name alone is told nothing of what speaks against it."""
    change = answer["change"]
    here = tried_here(change, variant)
    if not here.finding.ok:
        return Judgement(0.0, (here.finding,))
    there = tried_there(change, variant)
    if not there.ok:
        return Judgement(0.0, (here.finding, there))
    alone = one_change(change, here, variant)
    if not alone.ok:
        return Judgement(0.0, (here.finding, there, alone))
    named = cause_named(answer["cause"], variant)
    return Judgement(float(named.ok), (here.finding, there, alone, named))


Line = Callable[[Evidence, Evidence], tuple[str, str]]


def _disk(now: Evidence, then: Evidence) -> tuple[str, str]:
    return (
        f"The stream touches {about(now.touched)} pages and writes {about(now.images)} page images; then it was {about(then.touched)} and {about(then.images)}. A disk that is slow makes the engine ask for nothing more.",
        "Which line of the evidence says that the engine does more work, and on which pages?",
    )


def _growth(now: Evidence, then: Evidence) -> tuple[str, str]:
    return (
        f"The table has {now.rows:,} rows, and had {then.rows:,}.",
        "If not by rows, by what has a file become larger?",
    )


def _bloat(now: Evidence, then: Evidence) -> tuple[str, str]:
    return (
        f"The leaves are full to {listed(now, lambda index: f'{index.fill} per cent')}; then to {listed(then, lambda index: f'{index.fill} per cent')}.",
        "How full is an index that is bloated?",
    )


def _held_back(now: Evidence, then: Evidence) -> tuple[str, str]:
    return (
        f"VACUUM left {now.kept:,} dead versions that it might not remove, and {now.snapshots} of the {now.idle} sessions that are idle in a transaction hold a snapshot.",
        "What does VACUUM ask of other sessions, before it removes a version?",
    )


def _foreign_key(now: Evidence, then: Evidence) -> tuple[str, str]:
    return (
        f"In the stream sequential scans read {now.scanned:,} rows.",
        "How would a foreign key look for rows that refer to the one that goes, if it had no index?",
    )


def _random_key(now: Evidence, then: Evidence) -> tuple[str, str]:
    key = next(name for name in now.indexes if name.endswith("_pkey"))
    same, question = "", "To how many leaves would new keys go, if they were made by chance?"
    if now.kept:
        same = f" The keys are no new ones: the stream puts the same {LEASES} jobs anew, side by side in the order of the key, and their versions fill more leaves than they did. Keys by chance would go to leaves all over the index, then as now."
        question = "Of one job, how many versions stand in the index, and why?"
    return (
        f"Leaves of the primary key's index that got new entries: {now.indexes[key].touched} now, {then.indexes[key].touched} then.{same}",
        question,
    )


def _scattered(now: Evidence, then: Evidence) -> tuple[str, str]:
    others = [name for name in now.indexes if not name.endswith("_pkey")]
    if not others:
        return "The table has no index but its primary key's.", "Which other index would that be?"
    name = others[0]
    return (
        f"Leaves of {name} that got new entries: {about(now.indexes[name].touched)} now, {about(then.indexes[name].touched)} then. Its pages: {now.indexes[name].pages:,} and {then.indexes[name].pages:,}.",
        "Are there more places to go to now, or has the way in which a place is chosen changed?",
    )


def _wide(now: Evidence, then: Evidence) -> tuple[str, str]:
    if now.kept:
        return (
            f"The columns of the index are the same, {listed(now, lambda index: index.columns)}, then as now. What makes the mean of an entry larger are lists of pointers: several versions of one key share an entry.",
            "Of one job, how many versions stand in the index, and why?",
        )
    return (
        f"An entry takes {listed(now, lambda index: f'{index.entry_bytes} bytes')}, with the columns {listed(now, lambda index: index.columns)}; then {listed(then, lambda index: f'{index.entry_bytes} bytes')}.",
        "Are there columns in an index that were not there then, and is it they that make work, or where the entries go?",
    )


RULED_OUT: Mapping[str, Line] = {
    "bloat": _bloat,
    "disk": _disk,
    "foreign-key": _foreign_key,
    "growth": _growth,
    "held-back": _held_back,
    "random-key": _random_key,
    "scattered-index": _scattered,
    "wide-key": _wide,
}
"""Of each cause the line of the evidence that speaks for or against it."""


def listed(found: Evidence, say: Callable[[Index], str]) -> str:
    """Something of each index: '90 per cent (orders_pkey) and 10 per cent (orders_customer)'."""
    return " and ".join(f"{say(index)} ({name})" for name, index in found.indexes.items())


def about(count: int) -> str:
    """A count in two figures: what follows them depends on chance.

    >>> about(10_522), about(1_034_759), about(7), about(0)
    ('11,000', '1,000,000', '7', '0')
    """
    return f"{round(count, -max(int(math.log10(count)) - 1, 0)) if count else 0:,}"


def cause_named(cause: str, variant: Variant) -> Finding:
    now, then = evidence(variant.cause), evidence(variant.healthy)
    if cause == variant.cause:
        return Finding(True, f"The cause: {CAUSES[cause]}. What rules the runner-up out: {variant.line}.")
    line, question = RULED_OUT[cause](now, then)
    return Finding(
        ok=False,
        seen=f"You say that {CAUSES[cause]}. {line}",
        expected="A cause that no line of the evidence speaks against.",
        question=question,
        misconception={"disk": "blame-the-disk", variant.rival: "first-fit"}.get(cause, "any-fit"),
    )


@dataclass(frozen=True)
class Tried:
    """What became of a change in the world of the incident: the finding on it, and, where it helped, the catalog and the things that it touched."""

    finding: Finding
    catalog: Catalog | None = None
    touched: tuple[str, ...] = ()


def tried_here(change: str, variant: Variant) -> Tried:
    """Whether the change brings the stream of the incident back to what it was, and takes nothing away."""
    with begin(variant.world, judged=True) as live:
        before, rows, was = live.database.catalog(), fingerprint(live), files(live)
        try:
            live.database.run(change)
        except SqlError as refusal:
            if (stopped := stopped_by_others(refusal)) is None:
                raise
            return Tried(stopped)
        quiet(live)
        refused = taken_away(live, before, rows)
        if refused is not None:
            return Tried(refused)
        things, catalog = touched(live, before, was), live.database.catalog()
        read_pages, cost = reading(live), stream(live)
        table = live.world.table
        added = fingerprint(live)[table][0] - rows[table][0]
    return Tried(after_change(variant, cost, read_pages, added), catalog, tuple(things))


def stopped_by_others(refusal: SqlError) -> Finding | None:
    """The finding on a change that other sessions were in the way of, or None."""
    if isinstance(refusal, SqlTimeout):
        return Finding(
            ok=False,
            seen=refusal.what,
            expected="A change that ends.",
            question="Does it read so much, or does it wait for a transaction of another session? While it runs, `wait_event` in `pg_stat_activity` says which.",
        )
    if refusal.sqlstate == "42501" and "terminate" in refusal.what:
        return Finding(
            ok=False,
            seen=f"{refusal.what} A server has sessions of other databases and of other roles; one of those was among them.",
            expected="Only sessions of this database, and of its own role, are told to end.",
            question="Which column of `pg_stat_activity` says in which database a session is, and which one whose it is?",
        )
    return None


def after_change(variant: Variant, cost: Cost, read_pages: int, added: int) -> Finding:
    allowed, now = budget(variant), evidence(variant.cause)
    wanted = 0 if variant.world.replaces else NEW
    if added != wanted:
        return Finding(
            ok=False,
            seen=f"After your change {added} rows of the stream are in the table.",
            expected=f"{wanted}, as without it: the stream is to be as fast as it was, and to arrive.",
            question="What becomes of a row that was accepted?",
        )
    if read_pages > allowed.read_pages:
        return Finding(
            ok=False,
            seen=f"After your change a read of the application touches {read_pages:,} pages.",
            expected=f"At most {allowed.read_pages:,}: the reads in the list are to be served as before.",
            question="Which read used what your change took away?",
            misconception="writes-alone",
        )
    if allowed.holds(cost):
        return Finding(True, "After your change the stream touches, logs and images what it did then.")
    return Finding(
        ok=False,
        seen=f"After your change the stream touches {about(cost.buffers)} pages and writes {about(cost.wal_bytes)} bytes of WAL with {about(cost.wal_fpi)} page images; sequential scans read {about(scanned(cost))} rows.",
        expected=f"At most {allowed.touched:,} pages, {allowed.wal_bytes:,} bytes and {allowed.images:,} images. Without a change it is {about(now.touched)}, {about(now.wal_bytes)} and {about(now.images)}.",
        question="What does your change take away: the cause, or something that stands beside it?",
        misconception="beside-the-cause",
    )  # fmt: skip


def tried_there(change: str, variant: Variant) -> Finding:
    """Whether the change leaves the world of the runner-up as it is. A statement that is refused there is as good as no help, and the
    others are tried all the same."""
    other = WORLDS[variant.rival]
    with begin(other, judged=True) as live:
        try:
            live.database.run(change, deadline_s=THERE_S)
        except SqlError:
            for statement in split(change)[len(split(change)) == 1 :]:  # one alone has had its turn
                with suppress(SqlError):
                    live.database.run(statement, deadline_s=THERE_S)
        try:
            quiet(live)
            helped = budget(variant).holds(stream(live))
        except SqlError:
            helped = False
    if not helped:
        return Finding(
            True, f"In a world in which {CAUSES[variant.rival]} it does not help: so that is not what happened here."
        )
    return Finding(
        ok=False,
        seen=f"In the other world, where {CAUSES[variant.rival]}, your change helps as well.",
        expected="A change that helps where the cause is yours, and does not where it is the runner-up.",
        question="Which of your statements helps there, and would it be missed here?",
        misconception="mend-all",
    )


def one_change(change: str, whole: Tried, variant: Variant) -> Finding:
    """Whether each statement of a change that helped would be missed, and does one thing."""
    for statement, rest in without_one(change):
        try:
            left = tried_here(rest, variant)
        except SqlError:
            continue
        if not left.finding.ok or left.catalog is None or whole.catalog is None:
            continue
        if not brought_back(as_it_was(variant), whole.catalog, left.catalog):
            return Finding(
                ok=False,
                seen=f"Without `{statement:.80}` your change does the same here.",
                expected="One experiment: each of its statements would be missed.",
                question="If two things are done at once, and all is well again, which of them was it?",
                misconception="two-at-once",
            )
    if len(whole.touched) > len(split(change)):
        return Finding(
            ok=False,
            seen=f"One statement of yours does several things. Your change touches {', '.join(whole.touched)}.",
            expected="Statements that do one thing each, so that each of them could be left out.",
            question="Which of these things takes the cause away, and would the others be missed?",
            misconception="two-at-once",
        )
    return Finding(True, "It is one change: nothing of it could be left out.")


@cache
def as_it_was(variant: Variant) -> Catalog:
    """The catalog of the healthy world."""
    with begin(WORLDS[variant.healthy], judged=True) as live:
        return live.database.catalog()


def table_of(variant: Variant) -> str:
    """The evidence as a table, then and now."""
    then, now = evidence(variant.healthy), evidence(variant.cause)
    lines = [
        ("rows that a SELECT sees", f"{then.rows:,}", f"{now.rows:,}"),
        ("pages of the table", f"{then.pages:,}", f"{now.pages:,}"),
    ]
    for name in now.indexes:
        old, new = then.indexes[name], now.indexes[name]
        lines += [
            (f"`{name}`: its columns", f"`{old.columns}`", f"`{new.columns}`"),
            (f"`{name}`: pages, levels", f"{old.pages:,}, {old.levels}", f"{new.pages:,}, {new.levels}"),
            (f"`{name}`: leaves full to", f"{old.fill} %", f"{new.fill} %"),
            (f"`{name}`: bytes of an entry (a list of pointers is one)", f"{old.entry_bytes}", f"{new.entry_bytes}"),
            (f"`{name}`: leaves that got new entries", f"{old.touched}", f"{new.touched}"),
        ]
    lines += [
        ("the last VACUUM: versions that are dead and could not be removed yet", f"{then.kept:,}", f"{now.kept:,}"),
        ("sessions idle in a transaction, of these with a snapshot (`backend_xmin`)", f"{then.idle}, {then.snapshots}", f"{now.idle}, {now.snapshots}"),
        ("the stream: pages touched", about(then.touched), about(now.touched)),
        ("the stream: rows read by sequential scans", f"{then.scanned:,}", f"{now.scanned:,}"),
        ("the stream: bytes of WAL", about(then.wal_bytes), about(now.wal_bytes)),
        ("the stream: page images in it", about(then.images), about(now.images)),
    ]  # fmt: skip
    return "| | then | now |\n|---|---|---|\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def brief(variant: Variant) -> str:
    world, allowed = variant.world, budget(variant)
    reads = "\n".join(f"{query};" for query in world.reads)
    made = ";\n".join(world.statements(world.first[0]))
    causes = "\n".join(f"- `{name}`: {text}" for name, text in CAUSES.items())
    return (
        f"{variant.story}. The stream, one transaction, after a checkpoint:\n\n```sql\n{made};\n```\n\nThe tables: {world.described}. What the application reads besides, and nothing else:\n\n```sql\n{reads}\n```\n\n"
        f"The engine's own counters, then and now:\n\n{table_of(variant)}\n\nThe team says: 'The disk.' The report of the night shift, by an agent, says: '{CAUSES[variant.report].capitalize()}.' It may be right.\n\n"
        f"Which of these is it? One fits all lines:\n\n{causes}\n\n"
        "Hand in a dict: `cause`, one of these names, and `change`, SQL that is the experiment. It is run in this world, and the stream, of other rows of the same kind, must be back at what it was "
        f"(at most {allowed.touched:,} pages, {allowed.wal_bytes:,} bytes of WAL, {allowed.images:,} page images), with the same rows, rules and reads. The change may {MAY}. And it is run in **another world**, with the same tables, the same stream and the same complaint, where the "
        "runner-up is the cause, which fits all lines here but one: there it must **not** help. A change that mends everything shows nothing; nor does one of which a statement could be left out.\n\n"
        f'{practising(variant)}'
    )  # fmt: skip


def practising(variant: Variant) -> str:
    if variant.world.rounds:
        return (
            f'`engine = practice("btrees-incident")` has these tables, and no session but yours. The one that is idle in its transaction calls itself `{SESSION}`; the stream comes again and again beside it; after each change VACUUM comes by, as autovacuum does. '
            "To try what such a session does, with a snapshot (as below) or without one (READ COMMITTED):\n\n"
            f"```python\n{TRYING}\n```\n\n"
            "`pg_stat_activity` shows the sessions of the whole server; those of your database are the ones with `datname = current_database()`, and where the change is judged there are no others to be seen."
        )
    return (
        '`engine = practice("btrees-incident")` has these tables. It counts under settings that repeat, without page images; what would be an image there is a page that `EXPLAIN (ANALYZE, BUFFERS)` of the stream shows as '
        "`dirtied`: in a database that was just made, or after a checkpoint (`read_index(engine, name)` makes one, at the desk)."
    )


def third_hint(variant: Variant) -> str:
    return (
        f"The cause is `{variant.cause}`: {CAUSES[variant.cause]}. The runner-up is that {CAUSES[variant.rival]}, and it cannot be: {variant.line}. The change begins with `{' '.join(variant.change.split()[:2])}`, and does one thing. "
        + (
            "What the session is called stands in `pg_stat_activity`."
            if variant.cause == "held-back"
            else f"Look at `{variant.change.split()[2]}`."
        )
    )


EXERCISE = register(
    Exercise(
        id="btrees-incident",
        lab="01_btrees",
        number=12,
        title="Incident: inserts became slow",
        kind="D",
        declares="value",
        points=4,
        core=False,
        minutes=12,
        answer="a dict with the keys 'cause' (a name of the list) and 'change' (SQL as text)",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "Which lines of the evidence have changed, and which have not? For each cause: which line would have to be another one, if it were true?"
            ),
            lambda variant: (
                "Go through the list, and look for the line that speaks against each: rows, fill, columns, leaves that got entries, versions left, rows scanned. What is left says where the pages are that the stream now "
                "touches or writes besides. Which statement takes away that, and nothing else?"
            ),
            third_hint,
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} What rules the runner-up out ({CAUSES[variant.rival]}): {variant.line}. The change (`{variant.change}`) helps here, and where the runner-up is the cause it does not: that is what a cause is. "
            "What would change it: another line of the evidence. On a database of your own the lines come from `pg_stat_user_tables`, `pg_stat_activity`, `pg_stat_wal`, `pg_stat_io` and, with the extension pgstattuple, `pgstatindex`."
        ),
        misconceptions={
            "blame-the-disk": "Slow inserts are the disk's fault.",
            "first-fit": "The first explanation that fits the symptom is the cause.",
            "any-fit": "An explanation that is often right is right here.",
            "beside-the-cause": "Whatever is known to make inserts faster helps.",
            "two-at-once": "The more a change does, the surer it is.",
            "mend-all": "A change after which all is well shows what the cause was.",
            "writes-alone": "An index that makes inserts slow may go, whoever reads by it.",
        },
    )
)
