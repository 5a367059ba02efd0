"""Drop redundant indexes: which of fifteen tell another one's story, and which only look as if they did?

    an index on                       read from its end gives                so it makes superfluous
    (delivered)                       delivered DESC, NULLs first            (delivered DESC), but not DESC NULLS LAST
    (customer, placed DESC)           customer DESC, placed                  (customer DESC, placed), but not (customer, placed)
    (customer, placed)                has (customer) as its beginning        (customer), where it is not read as a whole
    UNIQUE (tracking)                 finds a tracking number                (tracking), but not UNIQUE NULLS NOT DISTINCT
    UNIQUE (courier) WHERE open       knows the open parcels alone           nothing: it is a rule
    (email text_pattern_ops)          = and LIKE 'abc%', and no order        (email), where nobody asks for the order

A B-tree is a sorted list that may be read from either end, and entered at any beginning of its columns. So of two indexes that
are each other's mirror image one will do. A mirror turns all columns round, and the place of the NULLs with them, never half. The variants
share the table and the indexes; what is asked and what is forbidden differs, so that what is a twin in one is needed in the next. The
judge drops what the answer drops, asks each read with other values, and tries to break each rule, and to do what no rule forbids any more.

Who drops one, measures, and drops the next without a thought is told what the values cost that came to mind: four customers have seven parcels of
eight, and of any other one a dozen are as soon sorted as read in order. Nor does a count of pages know of a rule, or of one that has lapsed. Who asks for
the largest and the smallest, and tries each rule both ways, may leave the rest to a loop, and has understood what it is about.

    >>> sorted(VARIANTS[1].keep)
    ['parcels_courier', 'parcels_customer_placed', 'parcels_delivered_last', 'parcels_email', 'parcels_tracking']

Source: PostgreSQL 18's manual, "Indexes and ORDER BY", "Unique Indexes", "Partial Indexes", "Operator Classes and Operator Families".
Left out: what an index costs to write (another lab), and indexes that only a replica reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg

from workbook.engines import Database, Recipe, database
from workbook.exercises.trial import allowed, fingerprint, kilobytes, pages_of
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed, within
from workbook.plans import explain

PARCELS, CUSTOMERS, COURIERS, OPEN = 40_000, 400, 400, 1_000

TABLES = f"""
DO $$ BEGIN
    EXECUTE (SELECT format('CREATE COLLATION words FROM pg_catalog.%I', collname) FROM pg_catalog.pg_collation
             WHERE collprovider = 'c' AND collencoding = pg_char_to_encoding('UTF8')
             ORDER BY lower(collname) NOT IN ('c.utf8', 'c.utf-8'), collname LIMIT 1);
END $$;
CREATE TABLE parcels (
    parcel_id bigint PRIMARY KEY,
    customer_id int NOT NULL,
    courier_id int,
    tracking text,
    email text COLLATE words NOT NULL,
    placed_minute int NOT NULL,
    delivered_minute int,
    weight_g int NOT NULL
);
INSERT INTO parcels
    SELECT i, CASE WHEN i % 8 = 0 THEN i / 8 * 7919 % {CUSTOMERS} + 1 ELSE i % 4 * 100 + 19 END,
        CASE WHEN i <= {PARCELS - OPEN} THEN i * 104729 % {COURIERS} + 1 WHEN i <= {PARCELS - OPEN + COURIERS} THEN i - {PARCELS - OPEN} END,
        CASE WHEN i < {PARCELS} THEN 'T' || lpad((i * 179424673 % 1000003)::text, 9, '0') END,
        lpad(to_hex(i * 2654435761 % 4294967291), 8, '0') || '@example.com',
        i * 7907 % 40009, CASE WHEN i <= {PARCELS - OPEN} THEN i * 15485863 % 43201 END, i * 31 % 9000 + 100
    FROM generate_series(1, {PARCELS}::bigint) i;
"""

INDEXES = {
    "parcels_id": "CREATE INDEX parcels_id ON parcels (parcel_id)",
    "parcels_tracking": "CREATE UNIQUE INDEX parcels_tracking ON parcels (tracking)",
    "parcels_tracking_lookup": "CREATE INDEX parcels_tracking_lookup ON parcels (tracking)",
    "parcels_tracking_one": "CREATE UNIQUE INDEX parcels_tracking_one ON parcels (tracking) NULLS NOT DISTINCT",
    "parcels_customer_placed": "CREATE INDEX parcels_customer_placed ON parcels (customer_id, placed_minute)",
    "parcels_customer_newest": "CREATE INDEX parcels_customer_newest ON parcels (customer_id, placed_minute DESC)",
    "parcels_customer_desc": "CREATE INDEX parcels_customer_desc ON parcels (customer_id DESC, placed_minute)",
    "parcels_customer": "CREATE INDEX parcels_customer ON parcels (customer_id)",
    "parcels_delivered": "CREATE INDEX parcels_delivered ON parcels (delivered_minute)",
    "parcels_delivered_desc": "CREATE INDEX parcels_delivered_desc ON parcels (delivered_minute DESC)",
    "parcels_delivered_last": "CREATE INDEX parcels_delivered_last ON parcels (delivered_minute DESC NULLS LAST)",
    "parcels_email": "CREATE INDEX parcels_email ON parcels (email)",
    "parcels_email_pattern": "CREATE INDEX parcels_email_pattern ON parcels (email text_pattern_ops)",
    "parcels_courier": "CREATE INDEX parcels_courier ON parcels (courier_id)",
    "parcels_courier_open": "CREATE UNIQUE INDEX parcels_courier_open ON parcels (courier_id) WHERE delivered_minute IS NULL",
}


@dataclass(frozen=True)
class Read:
    """A query with parameters, two sets of values, and what to ask a person whose indexes do not serve it, with the
    misconception that it points to."""

    sql: str
    values: tuple[Mapping[str, Any], ...]
    question: str
    misconception: str

    __hash__ = object.__hash__


def _by(name: str, *values: Any, **rest: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple({name: value, **rest} for value in values)


MIRROR = "Which columns of that order go up, which go down, and where do its NULLs stand? Is there an index left that has this, or all of it turned round?"
READS = {
    "history": Read(
        "SELECT parcel_id, weight_g FROM parcels WHERE customer_id = :customer ORDER BY placed_minute DESC LIMIT 10",
        _by("customer", 7, 19),
        "One customer, newest first: which of the indexes on `customer_id` can be read from one end of that customer's entries?",
        "prefix-is-enough",
    ),
    "count": Read(
        "SELECT count(*) FROM parcels WHERE customer_id = :customer",
        _by("customer", 8, 119),
        "Which index that is left begins with `customer_id`?",
        "prefix-is-enough",
    ),
    "page": Read(
        "SELECT parcel_id, weight_g FROM parcels WHERE customer_id >= :customer ORDER BY customer_id, placed_minute DESC LIMIT 20",
        _by("customer", 3, 119),
        MIRROR,
        "backward-is-any",
    ),
    "survey": Read(
        "SELECT customer_id, count(*) FROM parcels GROUP BY customer_id",
        ({},),
        "This one reads an index from end to end: how many pages has each that it may read?",
        "prefix-always-goes",
    ),
    "newest": Read(
        "SELECT parcel_id FROM parcels WHERE delivered_minute <= :now ORDER BY delivered_minute DESC LIMIT 20",
        _by("now", 43_000, 30_000),
        MIRROR,
        "backward-is-any",
    ),
    "first": Read(
        "SELECT parcel_id, delivered_minute FROM parcels ORDER BY delivered_minute DESC LIMIT :many",
        _by("many", 20, 10),
        MIRROR,
        "backward-is-any",
    ),
    "last": Read(
        "SELECT parcel_id, delivered_minute FROM parcels ORDER BY delivered_minute DESC NULLS LAST LIMIT :many",
        _by("many", 20, 10),
        MIRROR,
        "backward-is-any",
    ),
    "window": Read(
        "SELECT count(*) FROM parcels WHERE delivered_minute BETWEEN :since AND :since + 60",
        _by("since", 1_000, 20_000),
        "Which index that is left begins with `delivered_minute`? In which direction does not matter here.",
        "backward-is-any",
    ),
    "begins": Read(
        "SELECT parcel_id, email FROM parcels WHERE email LIKE :text",
        _by("text", "ab0%", "7f3%"),
        "In which order does `email` stand under its collation, and do all that begin alike stand together in it, for PostgreSQL?",
        "text-is-text",
    ),
    "login": Read(
        "SELECT parcel_id FROM parcels WHERE email = :text",
        _by("text", "9e3779b1@example.com", "3c6ef362@example.com"),
        "Which index that is left begins with `email`?",
        "text-is-text",
    ),
    "book": Read(
        "SELECT parcel_id, email FROM parcels WHERE email > :text ORDER BY email LIMIT 20",
        _by("text", "ab", "7f"),
        "`text_pattern_ops` compares byte by byte. Whose order is that, and whose order does ORDER BY ask for?",
        "pattern-does-it-all",
    ),
    "track": Read(
        "SELECT parcel_id, delivered_minute FROM parcels WHERE tracking = :number",
        _by("number", "T000424652", "T000706645"),
        "Which index that is left begins with `tracking`, be it unique or not?",
        "rule-finds-nothing",
    ),
    "tour": Read(
        "SELECT sum(weight_g) FROM parcels WHERE courier_id = :courier",
        _by("courier", 7, 200),
        "The index on open parcels has entries for those alone: what does it know of a courier's others?",
        "partial-serves-all",
    ),
    "carries": Read(
        "SELECT parcel_id FROM parcels WHERE courier_id = :courier AND delivered_minute IS NULL",
        _by("courier", 8, 201),
        "Of a courier's hundred parcels this one wants those that are open. Which index holds no others?",
        "partial-serves-all",
    ),
}


@dataclass(frozen=True)
class Rule:
    """What is forbidden while the rule `holds`, and what is welcome once it is `lapsed`; an INSERT that tells, what it
    does in words, and the misconception of a person who lost the rule."""

    holds: str
    lapsed: str
    probe: str
    what: str
    misconception: str


RULES = {
    "number": Rule(
        "No two parcels share a tracking number.",
        "A parcel that comes back is entered once more, with the tracking number that it had: numbers may repeat.",
        "INSERT INTO parcels SELECT 900001, 1, NULL, tracking, 'new', 1, 1, 1 FROM parcels WHERE parcel_id = 77",
        "a second parcel with the tracking number of another",
        "plain-is-unique",
    ),
    "label": Rule(
        "At most one parcel is without a tracking number: there is one printer, and it prints one label at a time.",
        "There are several label printers now: any number of parcels may wait for a tracking number.",
        "INSERT INTO parcels SELECT 900002, 1, NULL, NULL, 'new', 1, 1, 1",
        "a second parcel without a tracking number",
        "nulls-are-equal",
    ),
    "courier": Rule(
        "A courier on a bicycle carries one open parcel (`delivered_minute IS NULL`) at most.",
        "Couriers have vans now: one may carry several open parcels.",
        "INSERT INTO parcels SELECT 900003, 1, 77, 'T-900003', 'new', 1, NULL, 1",
        "a second open parcel for a courier who has one",
        "partial-is-small",
    ),
}


@dataclass(frozen=True)
class Variant:
    """Whose table it is, what is asked (`reads`, keys of `READS`), which `rules` hold (keys of `RULES`), and the indexes that a
    reference solution keeps."""

    story: str
    reads: tuple[str, ...]
    rules: tuple[str, ...]
    keep: frozenset[str]

    @property
    def superfluous(self) -> list[str]:
        return [name for name in INDEXES if name not in self.keep]


def _keep(*names: str) -> frozenset[str]:
    return frozenset(f"parcels_{name}" for name in names)


VARIANTS = (
    Variant(
        "the bicycle couriers", ("track", "history", "count", "newest", "first", "begins", "login", "carries"), ("number", "label", "courier"),
        _keep("tracking_one", "customer_placed", "delivered", "email_pattern", "courier_open"),
    ),
    Variant(
        "the vans of the north", ("track", "history", "count", "window", "last", "login", "book", "tour"), ("number",),
        _keep("tracking", "customer_placed", "delivered_last", "email", "courier"),
    ),
    Variant(
        "the house of returns", ("track", "history", "page", "window", "last", "begins", "login"), ("courier",),
        _keep("tracking_lookup", "customer_newest", "delivered_last", "email_pattern", "courier_open"),
    ),
    Variant(
        "the planners", ("track", "survey", "page", "first", "last", "login", "book", "tour", "carries"), ("number", "courier"),
        _keep("tracking", "customer", "customer_newest", "delivered", "delivered_last", "email", "courier", "courier_open"),
    ),
    Variant(
        "the help desk", ("track", "page", "count", "newest", "first", "begins", "book", "tour"), ("number", "label"),
        _keep("tracking_one", "customer_newest", "delivered", "email", "email_pattern", "courier"),
    ),
    Variant(
        "the branch in the south", ("track", "survey", "count", "first", "last", "begins", "login", "tour"), (),
        _keep("tracking_lookup", "customer", "delivered", "delivered_last", "email_pattern", "courier"),
    ),
)  # fmt: skip

TWINS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "parcel_id": (),
    "tracking": (),
    "customer": (("parcels_customer_placed", "parcels_customer_newest", "parcels_customer_desc"),),
    "delivered": (("parcels_delivered", "parcels_delivered_desc"),),
    "email": (),
    "courier": (),
}
"""The columns with which indexes begin, in short, and those among them that differ in nothing but directions."""


def family(index: str) -> str:
    """The column that an index begins with, in short."""
    return next((each for each in TWINS if index.startswith(f"parcels_{each}")), "parcel_id")


def recipe(variant: Variant) -> Recipe:
    """The parcels and their indexes: the same for all variants."""
    return Recipe("parcels with fifteen indexes", TABLES, then=";\n".join(INDEXES.values()))


@cache
def budget(variant: Variant) -> Mapping[str, int]:
    """The pages that each read may touch, measured once a process with the reference's indexes alone."""
    with database(recipe(variant)) as parcels:
        parcels.run(f"DROP INDEX {', '.join(variant.superfluous)}")
        return {name: allowed(pages(parcels, name)) for name in variant.reads}


def pages(parcels: Database, read: str) -> int:
    """Pages that a read touches, with all its values together."""
    asked = READS[read]
    return sum(pages_of(explain(asked.sql, parcels.engine, values)) for values in asked.values)


def judge(answer: str, variant: Variant) -> Judgement:
    wanted = budget(variant)
    with database(recipe(variant)) as parcels:
        before, rows = parcels.catalog(), fingerprint(parcels, ["parcels"])
        parcels.run(answer)
        after = parcels.catalog()
        changed = changes_allowed(
            before, after, {"index"}, verbs={"dropped"}, may="only drop indexes",
            question="The answer is to drop indexes and nothing else. Which of its statements does more?",
        )  # fmt: skip
        if not changed.ok or fingerprint(parcels, ["parcels"]) != rows:
            return Judgement(0.0, (changed if not changed.ok else rows_changed(),))
        left = [name for name in INDEXES if name in after.names("index")]
        spare = none_to_spare(parcels, left, variant)
        reads = [read_within(parcels, read, wanted) for read in variant.reads]
        rules = [probed(parcels, rule, rule in variant.rules) for rule in RULES]
    dropped = Finding(True, "It dropped indexes and nothing else.")
    findings = ((dropped,) if len(left) < len(INDEXES) else ()) + (*rules, *reads, spare)
    return Judgement(float(all(finding.ok for finding in findings)), findings)


def rows_changed() -> Finding:
    return Finding(
        ok=False,
        seen="After the answer the table holds other rows than before, or has them in other places.",
        expected="The same parcels, under fewer indexes.",
        question="Which of its statements touches rows? Dropping an index touches none.",
    )


def read_within(parcels: Database, read: str, wanted: Mapping[str, int]) -> Finding:
    asked = READS[read]
    return within(
        pages(parcels, read),
        wanted[read],
        "pages",
        does=f"The read `{read}`, asked {'twice with other values' if len(asked.values) > 1 else 'once'}, touches",
        question=asked.question,
        misconception=asked.misconception,
    )


def probed(parcels: Database, rule: str, holds: bool) -> Finding:
    """Try what a rule forbids: it has to be refused while the rule holds, and to be accepted when it has lapsed."""
    told = RULES[rule]
    with parcels.connect() as connection:
        refused = _refused(connection, told.probe)
        connection.rollback()
    if refused == holds:
        return Finding(True, f"PostgreSQL {'refuses' if refused else 'accepts'} {told.what}.")
    if holds:
        return Finding(
            False, f"PostgreSQL accepted {told.what}.", told.holds,
            "Which of the dropped indexes refused that, and does the one that was left in its place say the same of NULLs, and of the same rows?", told.misconception,
        )  # fmt: skip
    return Finding(
        False, f"PostgreSQL refuses {told.what}.", told.lapsed,
        "A unique index is a rule as well. Which of those left forbids what is welcome now?", "unique-is-harmless",
    )  # fmt: skip


def _refused(connection: psycopg.Connection[Any], probe: str) -> bool:
    try:
        connection.execute(probe)
    except psycopg.errors.UniqueViolation:
        return True
    return False


def none_to_spare(parcels: Database, left: list[str], variant: Variant) -> Finding:
    """Whether as many indexes are left as a reference keeps: no smaller set serves the reads and holds the rules. How many
    of a larger set could go, and on which column they are, is not said: that is the work."""
    size = sum(parcels.relation_bytes(name) for name in left)
    told = f"{len(left)} of {len(INDEXES)} indexes are left beside the primary key's, {kilobytes(size)}"
    if len(left) <= len(variant.keep):
        return Finding(True, f"{told}.")
    found, needed = ([family(name) for name in names] for names in (left, variant.keep))
    crowded = next(each for each in TWINS if found.count(each) > needed.count(each))
    belief = _belief(crowded, set(left) - variant.keep, left)
    return Finding(
        False, f"{told}. Not each of them would be missed by a read or a rule.",
        "No index beside the primary key's that these reads and rules would not miss.", QUESTIONS[belief], belief,
    )  # fmt: skip


QUESTIONS = {
    "key-finds-nothing": "Which of those left finds nothing that the primary key's own index does not find?",
    "rule-finds-nothing": "Which of those left only finds rows, in a column in which a unique index finds them as well?",
    "desc-needs-its-own": "Which two of those left are one list, read from either end?",
    "each-needs-its-own": "Which of those left is the beginning of another one, and is it read as a whole?",
    "unasked": "Go through what is left, one by one: which read uses it, or which rule does it hold, in just this form?",
}


def _belief(crowded: str, surplus: set[str], left: list[str]) -> str:
    """What a person believes who keeps too many indexes that begin with one column."""
    if crowded == "parcel_id":
        return "key-finds-nothing"
    if crowded == "tracking" and "parcels_tracking_lookup" in surplus:
        return "rule-finds-nothing"
    if crowded == "customer" and "parcels_customer" in surplus:
        return "each-needs-its-own"
    return (
        "desc-needs-its-own" if any(sum(name in left for name in twins) > 1 for twins in TWINS[crowded]) else "unasked"
    )


def accepts(answer: Any) -> str:
    """'' for a text that may be SQL, else a sentence that says what was handed in instead."""
    if isinstance(answer, (list, tuple)):
        return f'The answer is one text: "DROP INDEX a, b". This is a {type(answer).__name__}.'
    return accepts_sql(answer)


def brief(variant: Variant) -> str:
    definitions = "\n".join(f"{text};" for text in INDEXES.values())
    reads = "\n".join(f"- `{name}`: `{READS[name].sql}`" for name in variant.reads)
    rules = "\n".join(f"- {RULES[rule].holds}" for rule in variant.rules)
    lapsed = "\n".join(f"- {RULES[rule].lapsed}" for rule in RULES if rule not in variant.rules)
    nothing = "- nothing beside the primary key."
    return (
        f"An index for each ticket: this is the table of {variant.story}, {PARCELS:,} parcels, {OPEN:,} of them on the road (`delivered_minute IS NULL`). A few customers have most of them.\n\n"
        f"```sql\n{TABLES.split(';', 3)[2].split('INSERT')[0].strip()};\n{definitions}\n```\n\n"
        "(The collation `words` is not `C`: PostgreSQL takes it for a language's.)\n\n"
        f"What is asked, with all kinds of values, of large customers and of small ones:\n\n{reads}\n\nWhat the database has to forbid:\n\n{rules or nothing}\n\n"
        f"{'What it must not forbid any more:' + chr(10) + chr(10) + lapsed + chr(10) + chr(10) if lapsed else ''}"
        "Besides the primary key, drop every index that these reads and rules would not miss, and nothing else; of twins drop one. Hand in the `DROP INDEX` statements as one text, with `;` between them. No read may touch more pages than it does with a well-chosen set of these "
        "indexes (a quarter to spare), each rule holds, and as few indexes are left as can be. "
        'Try it on `practice("btrees-redundant")`: `explain(sql, engine, {"customer": 7})` before and after a DROP INDEX.'
    )


def why(variant: Variant) -> str:
    kept = ", ".join(f"`{name}`" for name in INDEXES if name in variant.keep)
    return (
        f"Enough is left with {kept}, or with a mirror image in the place of one of these. A B-tree is read from either end, so that an index and the one with all of its directions turned round are one index; "
        "NULLs turn with the direction, which is why `DESC NULLS LAST` is no mirror image of anything that is there by default. A unique index finds rows as a plain one does. A "
        "beginning of a longer index goes, unless it is a rule, or is read as a whole, where it is a quarter of the size. "
        "What would change it: another read or rule, for each form is what some service needs; a database with the collation `C`, in which a plain index serves LIKE, or a "
        "version before 15, which has no NULLS NOT DISTINCT. Seen with PostgreSQL 18. MySQL sorts NULLs first, and reads indexes backwards as well."
    )


def third_hint(variant: Variant) -> str:
    groups: dict[str, list[str]] = {each: [] for each in TWINS}
    for name in sorted(variant.keep):
        groups[family(name)].append(name)
    counts = ", ".join(f"{len(names) or 'none'} on `{each}`" for each, names in groups.items())
    tracking = groups["tracking"][0]
    return (
        f"Beside the primary key {len(variant.keep)} indexes stay: {counts}. Of the three on `tracking` it is `{tracking}`. A courier's or an email's second index stays only where a read "
        "or a rule needs just its form. Drop the others in one `DROP INDEX a, b, ...`."
    )


EXERCISE = register(
    Exercise(
        id="btrees-redundant",
        lab="01_btrees",
        number=10,
        title="Drop redundant indexes",
        kind="S",
        declares="value",
        points=3,
        core=False,
        minutes=10,
        answer="DROP INDEX statements as text",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "If an index is a sorted list, what do you get when you read it from its end, and what when you look at its first column alone?",
            lambda variant: (
                "Take them group by group, by the column that they begin with. Write down each index's order, and below it the same turned round: every direction, and the place of the NULLs. "
                "Which two are the same list? Then ask of each UNIQUE what it forbids, and whether that is wanted; and of each form (a WHERE, an operator class) which read can use no other."
            ),
            third_hint,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "desc-needs-its-own": "ORDER BY ... DESC needs an index with DESC of its own.",
            "each-needs-its-own": "Each query needs an index of its own.",
            "unasked": "An index that is there is there for a reason.",
            "backward-is-any": "An index can be read backwards, so its directions and NULLS FIRST or LAST never matter.",
            "prefix-is-enough": "An index on the first column does what an index on both columns does.",
            "prefix-always-goes": "An index whose columns begin another one's can always go.",
            "rule-finds-nothing": "A unique index only checks: to find rows, the column needs a plain one beside it.",
            "key-finds-nothing": "A primary key needs an index beside it to be found by.",
            "plain-is-unique": "An index on the same column does what the unique one does.",
            "nulls-are-equal": "A unique index lets NULL in once.",
            "unique-is-harmless": "A unique index more is harmless.",
            "partial-serves-all": "A partial index and a whole one on the same column serve the same queries.",
            "partial-is-small": "A partial index is a smaller copy of the whole one, and goes first.",
            "text-is-text": "Any index on a text column serves LIKE 'abc%'.",
            "pattern-does-it-all": "An index with text_pattern_ops does all that the plain one does.",
        },
    )
)  # fmt: skip
