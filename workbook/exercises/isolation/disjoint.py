"""Two transactions share no row, and one of them is aborted: what did SERIALIZABLE have to remember of their reading?

    SELECT ... WHERE payer = 7                    remembered by a predicate lock        whom it stands against
      Seq Scan on payments                        the table                             every write of the table
      Index Scan, 10 rows                         10 rows, 1 page of the index          writes of those, near them
      Index Scan, 100 rows                        the table: above 32 rows it is        every write of the table
                                                  no longer told row by row

At SERIALIZABLE PostgreSQL lets everybody past, and remembers what each transaction has read; who writes there has met it. Two that meet
in both directions are a danger, and one goes with 40001. What has been read is told by the plan and not by the
WHERE: an index makes it small. The judge plays twenty orders, each with two other pairs of values, so that no order finds the traces of another,
and asks `pg_locks` what was remembered.

    >>> [variant.indexes for variant in VARIANTS]
    [1, 1, 1, 1, 2, 1]

Sources: Ports and Grittner, "Serializable Snapshot Isolation in PostgreSQL", VLDB 2012; PostgreSQL 18's manual, "Serializable Isolation
Level", "max_pred_locks_per_relation"; src/backend/storage/lmgr/README-SSI. Left out: the summary of old transactions when
the memory for locks runs out, which aborts more of them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg

from workbook.engines import Database, Recipe
from workbook.engines.running import split
from workbook.exercises.isolation.trial import statements
from workbook.exercises.trial import tried
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.schedules import Event, Program, Run, Schedule, Step

LARGE, SMALL = 20_000, 100
NEAR = 1_000
"""The numbers of the new payments of neighbours start so much higher."""
SETS = re.compile(r"\s*(SET|RESET)\b|.*\bset_config\s*\(", re.I | re.S)
ROWS_REMEMBERED = 32
"""So many rows of a table are remembered one by one, by PostgreSQL's defaults."""
LEVEL = "serializable"
TABLES = """CREATE TABLE payments (
    payment_id bigint PRIMARY KEY, payer int NOT NULL, payee int NOT NULL, till int NOT NULL, minute int NOT NULL,
    cents int NOT NULL, email text NOT NULL, reference text NOT NULL, tags text[] NOT NULL, checked boolean NOT NULL
);
INSERT INTO payments
    SELECT i, i * 7919 % 2000, i * 104729 % 1993, i * 15485863 % 200, i * 179424673 % 20011 % 1440, i * 86028121 % 9973,
        'Name' || i * 32452843 % 1009 || '@Example.org', 'R-' || i * 49979687 % 20011, ARRAY['t' || i * 67867967 % 1013, 'u' || i % 7], false
    FROM generate_series(1, {rows}::bigint) i"""
INSERT = (
    "INSERT INTO payments VALUES (:new, {payer}, 9999, {till}, {minute}, -500, {email}, 'R-new', ARRAY[{tag}], false)"
)


@dataclass(frozen=True)
class Variant:
    """What each of the two transactions does (`:name` stands for its values), what is there `then`, how many `indexes` it takes,
    the `right` ones, and `because`."""

    story: str
    read: str
    write: str
    right: str
    because: str
    indexes: int = 1
    then: str = ""


def _insert(payer: str = "9999", till: str = "999", minute: str = "0", email: str = "'-'", tag: str = "'-'") -> str:
    return INSERT.format(payer=payer, till=till, minute=minute, email=email, tag=tag)


VARIANTS = (
    Variant(
        "A payment is taken if the account of its payer allows it",
        "SELECT sum(cents) FROM payments WHERE payer = :payer",
        _insert(payer=":payer"),
        "CREATE INDEX ON payments (payer)",
        "By the index ten rows and one page of the index are remembered, and only who writes on that page, a payer whose number is near, stands against it. "
        "(With `(payer) INCLUDE (cents)` the table is not visited, and in place of ten rows the ten pages that they stand on are remembered; with `(checked, payer)`, three pages of the index.)",
    ),
    Variant(
        "Each till adds up the hour from 10:00 to 10:59 and books the difference, all tills at the same time",
        "SELECT sum(cents) FROM payments WHERE till = :till AND minute BETWEEN 600 AND 659",
        _insert(till=":till", minute="630"),
        "CREATE INDEX ON payments (till, minute)",
        "With the till in front an hour of one till is one place in the index. With the minute in front all tills' entries of that hour lie side by side, and are read and remembered "
        f"together; with the till alone its 100 rows are fetched, and above {ROWS_REMEMBERED} the whole table is remembered in their place.",
    ),
    Variant(
        "A payment is checked against the earlier ones under the same e-mail address, however it is written",
        "SELECT sum(cents) FROM payments WHERE lower(email) = :email",
        _insert(email="upper(:email)"),
        "CREATE INDEX ON payments (lower(email))",
        "An index holds what it is made on. On `email` it cannot answer a question about `lower(email)`, and the table is read as before.",
    ),
    Variant(
        "The account of a payer is added up, and the payment with a given reference is marked as checked. `payments_payer` on `(payer)` is there already",
        "SELECT sum(cents) FROM payments WHERE payer = :payer",
        "UPDATE payments SET checked = true WHERE reference = :reference",
        "CREATE INDEX ON payments (reference)",
        "An UPDATE has to find its row, and what it reads on the way is remembered, too: the whole table, for one row.",
        then="CREATE INDEX payments_payer ON payments (payer)",
    ),
    Variant(
        "An account is what its owner has paid and been paid; a payment is taken if the account allows it",
        "SELECT sum(cents) FROM payments WHERE payer = :payer OR payee = :payer",
        _insert(payer=":payer"),
        "CREATE INDEX ON payments (payer); CREATE INDEX ON payments (payee)",
        "Each side of an OR is a question of its own. With an index for one side only, the other one takes the whole table.",
        indexes=2,
    ),
    Variant(
        "Before a payment is tagged, what was paid under the same tag is added up",
        "SELECT sum(cents) FROM payments WHERE tags @> ARRAY[:tag]",
        _insert(tag=":tag"),
        "CREATE INDEX ON payments USING gin (tags) WITH (fastupdate = off)",
        "Only a GIN index finds an element of an array. As it comes, new entries wait in a list that every reader has to look through, and the index is remembered as a whole; with "
        "fastupdate off, new entries go to their places, and places are remembered. (A hash index remembers buckets, a BRIN index always all of it.)",
    ),
)  # fmt: skip


def recipe(variant: Variant, rows: int = LARGE) -> Recipe:
    """The payments, vacuumed and analyzed, and what is there already."""
    return Recipe(f"{rows:,} payments", TABLES.format(rows=rows), then=variant.then)


def values(number: int, rows: int, near: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of the two transactions in the order of this number: those of two rows that have nothing in common and stand far apart in every
    index, or with `near` next to one another in each."""
    mine = 23 + 7 * number if rows == LARGE else 1 + number
    if near:
        return _of_row(mine, NEAR + 2 * number), _of_row(mine, NEAR + 2 * number + 1, one_on=1)
    return _of_row(mine, 2 * number), _of_row(mine + 10_500 if rows == LARGE else mine + 50, 2 * number + 1)


def _of_row(row: int, number: int, one_on: int = 0) -> dict[str, Any]:
    return {
        "new": 1_000_000 + number,
        "payer": row * 7919 % 2000 + one_on,
        "till": row * 15485863 % 200 + one_on,
        "email": f"name{row * 32452843 % 1009 + one_on}@example.org",
        "reference": f"R-{row * 49979687 % 20011 + one_on}",
        "tag": f"t{row * 67867967 % 1013 + one_on}",
    }


@dataclass(frozen=True)
class Seen:
    """One order: what became of it, and what was remembered of the reading, (kind of lock, relation) to how many."""

    run: Run
    remembered: Mapping[tuple[str, str], int]

    @property
    def aborted(self) -> bool:
        return bool(self.run.failures)


def orders(database: Database, variant: Variant, rows: int = LARGE, near: bool = False) -> list[Seen]:
    """Every order of the two transactions, at SERIALIZABLE, with values far apart or `near`. Nobody waits: they write other rows."""
    steps = (variant.read, variant.write)
    sessions = {name: tuple(Step(name, sql) for sql in steps) for name in ("ann", "ben")}
    program = Program("Two who share no row", "", sessions, LEVEL)
    turns = [order for order in program.orders() if _begun_late(order)]
    with database.connect() as ann, database.connect() as ben:
        connections = {"ann": ann, "ben": ben}
        for session in connections.values():
            session.autocommit = True
            session.execute(
                "SET default_transaction_isolation = 'serializable'; SET lock_timeout = '2s'; SET statement_timeout = '5s'"
            )
        return [_played(database, order, values(number, rows, near), connections) for number, order in enumerate(turns)]


def _begun_late(order: Schedule) -> bool:
    """Whether each BEGIN stands just before its session's first statement: it takes no snapshot, and any other place is the same."""
    followed = itertools.pairwise(order.steps)
    return all(after.session == step.session for step, after in followed if step.begins)


def _played(
    database: Database,
    order: Schedule,
    given: tuple[dict[str, Any], dict[str, Any]],
    sessions: Mapping[str, psycopg.Connection[Any]],
) -> Seen:
    mine, theirs = given
    steps = tuple(
        type(step)(step.session, statements(step.sql, mine if step.session == "ann" else theirs)[0], step.name)
        for step in order.steps
    )
    events, outcomes, remembered = [], dict.fromkeys(sessions, "committed"), {}  # type: list[Event], dict[str, str], dict[tuple[str, str], int]
    for place, step in enumerate(steps):
        session = sessions[step.session]
        try:
            if outcomes[step.session] != "committed":
                continue  # its client has seen the error, and gone
            cursor = session.execute(step.sql)
            found = tuple(cursor.fetchall()) if cursor.description else None
            events.append(
                Event(
                    len(events), place, "done", rows=found, rowcount=cursor.rowcount, answer=cursor.statusmessage or ""
                )
            )
        except psycopg.Error as error:
            outcomes[step.session] = f"aborted {error.sqlstate}"
            said = (error.diag.message_primary or str(error)).split("\n")[0]
            events.append(Event(len(events), place, "failed", sqlstate=error.sqlstate or "", message=said))
            if session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                session.execute("ROLLBACK")
        if not step.begins and not step.ends:
            remembered |= _locks(database, session.info.backend_pid)
    schedule = Schedule(order.title, "", steps, LEVEL)
    levels = dict.fromkeys(sessions, LEVEL)
    run = Run(schedule, "postgresql", database.cluster.version, LEVEL, tuple(events), outcomes, {}, levels=levels)
    return Seen(run, remembered)


def _locks(database: Database, pid: int) -> dict[tuple[str, str], int]:
    """The predicate locks that a session holds: ('relation', 'payments') to their number."""
    sql = (
        "SELECT l.locktype, c.relname, count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation "
        f"WHERE l.mode = 'SIReadLock' AND l.pid = {pid} GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return {(str(kind), str(name)): int(count) for kind, name, count in database.cluster.admin(sql, database.name)}


def judge(answer: str, variant: Variant) -> Judgement:
    if refused := sets(answer):
        return Judgement(0.0, (refused,))
    with tried(recipe(variant), answer, tables=("payments",), kinds=frozenset({"index", "statistics"})) as trial:
        if trial.refused:
            return Judgement(0.0, (trial.refused,))
        if refused := too_many(len(trial.made), variant):
            return Judgement(0.0, (refused,))
        seen = orders(trial.database, variant)
        aborted = [one for one in seen if one.aborted]
        if aborted:
            kinds = {change.object: str(change.after) for change in trial.made}
            finding = why_aborted(aborted, len(seen), planned(trial.database, aborted[0].run), kinds)
            return Judgement(0.0, (finding,), (aborted[0].run.picture,))
        neighbours = [] if variant.then else orders(trial.database, variant, near=True)
    told = ", ".join(remembered(seen[0].remembered))
    found = (
        Finding(True, f"In none of {len(seen)} orders anybody is aborted. What the first one remembers: {told}."),
        *(Finding(True, beside(neighbours)) for _ in neighbours[:1]),
        Finding(True, at_small_size(answer, variant)),
    )
    return Judgement(1.0, found)


def beside(neighbours: Sequence[Seen]) -> str:
    """What the answer comes to for two transactions whose values are next to one another."""
    count = sum(one.aborted for one in neighbours)
    return (
        f"Note, it counts for nothing here: where the two are neighbours (a number one higher), one is aborted in {count} of {len(neighbours)} orders. What an index's reader "
        "remembers are pages, and neighbours' entries stand on one page."
    )


def sets(answer: str) -> Finding | None:
    """The finding on a setting in the answer; None where there is none."""
    said = next((" ".join(one.split()) for one in split(answer) if SETS.match(one)), "")
    if not said:
        return None
    return Finding(
        False, f"The answer says `{said[:60]}`: that holds for the session that says it, and for neither of the two transactions.",
        "DDL: an index, statistics. What the planner prefers follows from them.",
        "Which plan would the two transactions have, who never say it?", "settings-stay",
    )  # fmt: skip


def at_small_size(answer: str, variant: Variant) -> str:
    """What the same answer comes to on a table of 100 rows, where the planner reads all of it."""
    with tried(recipe(variant, SMALL), answer, tables=("payments",), kinds=frozenset({"index", "statistics"})) as trial:
        seen = orders(trial.database, variant, SMALL)
    count = sum(one.aborted for one in seen)
    return f"Note, it counts for nothing here: with the same indexes and {SMALL} rows, one is aborted in {count} of {len(seen)} orders. The planner reads so small a table as a whole, index or not."


@cache
def without(variant: Variant) -> tuple[int, int]:
    """In how many orders one is aborted as things are, and of how many."""
    with tried(recipe(variant), None) as trial:
        seen = orders(trial.database, variant)
    return sum(one.aborted for one in seen), len(seen)


def too_many(made: int, variant: Variant) -> Finding | None:
    if made <= variant.indexes:
        return None
    return Finding(
        False, f"The answer creates {made} indexes.", f"At most {variant.indexes}: each is one more to write, at every payment.",
        "Which of them does the plan of one of the two statements use?", "more-is-safer",
    )  # fmt: skip


def planned(database: Database, run: Run) -> str:
    """The statement of an order that reads the whole table, '' where none does."""
    for step in run.schedule.steps:
        plan = [] if step.begins or step.ends else database.run(f"EXPLAIN {step.sql}").rows
        if any("Seq Scan on payments" in str(line) for (line,) in plan):
            return step.sql
    return ""


def remembered(locks: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Predicate locks in words."""
    for (kind, name), count in locks.items():
        if kind == "relation":
            yield f"all of {name}"
        else:
            what = "row" if kind == "tuple" else "page"
            yield f"{count} {what}{'' if count == 1 else 's'} of {name}"


def why_aborted(aborted: Sequence[Seen], of: int, scanning: str, made: Mapping[str, str]) -> Finding:
    """What was remembered, and by what: the statement that is `scanning` the table, or the kinds of the indexes `made` (name to definition)."""
    locks = aborted[0].remembered
    seen = (
        f"In {len(aborted)} of {of} orders one of the two is aborted with 40001, and they share no row. "
        f"What is remembered of the reading: {', '.join(remembered(locks)) or 'nothing'}."
    )
    expected = f"None of {of} orders aborted, with values other than those of the task."
    whole = [name for kind, name in locks if kind == "relation"]
    if scanning:
        said = " ".join(scanning.split()).split(" WHERE ")
        seen = f"{seen} `{said[0].split()[0]} ... WHERE {said[-1]}` reads the table from end to end."
        question = (
            "Which of the indexes that are there could find what this statement looks for, and what stands in its way?"
            if made
            else "What would this statement have to read if it were led to its rows?"
        )
        return Finding(False, seen, expected, question, "any-index" if made else "shared-rows")
    if "payments" in whole:
        question = f"An index is used, and still the table is remembered: how many rows are fetched by it, and what becomes of a list of more than {ROWS_REMEMBERED}?"
        return Finding(False, seen, expected, question, "fetched-is-free")
    if any("USING btree" not in definition for definition in made.values()):
        question = "Which pages of an index of this kind does every reader have to look at, whatever it looks for?"
        return Finding(False, seen, expected, question, "kinds-alike")
    question = "Whose entries lie on the pages of the index that are read? In which order of its columns would each have pages of its own?"
    return Finding(False, seen, expected, question, "any-order")


def brief(variant: Variant) -> str:
    there = f"\n\nThere already: `{variant.then}`." if variant.then else ""
    one = "one index" if variant.indexes == 1 else f"{variant.indexes} indexes"
    return (
        f"{variant.story}. It runs at SERIALIZABLE, and each time it is another payer, till, address, reference, tag:\n\n```sql\nBEGIN ISOLATION LEVEL SERIALIZABLE;\n{variant.read};\n"
        f"{variant.write};\nCOMMIT;\n```\n\n`payments` has {LARGE:,} rows, and most of the orders in which two of these can fall end with `40001 could not serialize access` for one of them, although they "
        f"neither read nor write a row of each other.{there}\n\nWrite the DDL (at most {one}; `ANALYZE`, `VACUUM`, `CREATE STATISTICS` if you like) after which **nobody is aborted, in none of twenty orders**, each played with values of its "
        'own, the two far from each other (other payers, tills, addresses, and no neighbours). The statements and the level stay. `engine = practice("isolation-disjoint")` gives you the table; in a second connection, '
        "`SELECT locktype, relation::regclass, page, tuple FROM pg_locks WHERE mode = 'SIReadLock'` shows what is remembered."
    )


EXERCISE = register(
    Exercise(
        id="isolation-disjoint",
        lab="03_isolation",
        number=12,
        title="Aborted, and nothing is shared",
        kind="S",
        declares="value",
        points=3,
        core=False,
        minutes=8,
        answer="DDL as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "SERIALIZABLE must notice if somebody writes what you have read. Look at the plan of each statement, the writing one too: what has been read by the time it has found its rows?",
            lambda variant: "What is remembered is what the plan touched: the table where it was scanned, else rows (up to 32 of them) and pages of the index. Find an index by which each "
            "statement fetches only its own rows, from pages of the index where only its neighbours' entries stand.",
            lambda variant: f"{variant.because} The statement that needs it is `{(variant.write if variant.then else variant.read)}`.",
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} An abort is no damage, the transaction is sent again; but aborts that nobody needed grow with the load. What would change it: a small table (the planner reads it whole, "
            "and no index helps), statistics that hide how few rows there are, neighbours (who writes an entry on a page of the index that the other one has read stands against it, though no row is shared), more than 32 rows (`max_pred_locks_per_relation`)."
        ),
        misconceptions={
            "shared-rows": "Only transactions that touch the same rows can conflict.",
            "any-index": "Any index on the table helps.",
            "fetched-is-free": "Once an index is used, it does not matter how many rows are fetched by it.",
            "kinds-alike": "All kinds of index are alike, if only the plan uses them.",
            "any-order": "The order of an index's columns matters for speed only.",
            "settings-stay": "What is set in one session holds for all.",
            "more-is-safer": "One more index does no harm.",
        },
    )
)  # fmt: skip
