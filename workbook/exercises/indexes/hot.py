"""Meet the reads and keep the updates HOT: which columns may an index mention?

    UPDATE orders SET attempts = attempts + 1        attempts in no index, room on the page  ──▶ HOT: no index hears of it
    CREATE INDEX ON orders (courier_id, attempts)    one index mentions it                   ──▶ every index is written, always

A heap-only tuple needs two things: no index, and no index's predicate, may mention a column that changes; and the new version must fit on
the old one's page. Each variant updates another column, so that another index serves its read. The judge asks the read on a clone, for three couriers or
zones, then runs the updates as one true transaction, and counts. The catalog says which columns the index rests on: it may hold none that the read does
not mention, so that nobody passes who leaves out one column and takes all others.

    >>> VARIANTS[0].changed, sorted(VARIANTS[0].columns)
    ('attempts', ['attempts', 'courier_id', 'parcel_id'])

Source: PostgreSQL 18's manual, "Heap-Only Tuples"; src/backend/access/heap/README.HOT. Left out: summarizing indexes (BRIN), which since
16 do not stand in the way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from workbook.engines import Cost, Recipe, Tuples
from workbook.exercises.trial import Trial, columns_of, kilobytes, pages_of, tried, whole
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.plans import Plan

ROWS, UPDATED = 40_000, 4_000
TABLE = ("parcels",)
TABLES = f"""CREATE TABLE parcels (parcel_id bigint PRIMARY KEY, courier_id int NOT NULL, zone int NOT NULL, attempts int NOT NULL,
                      stage int NOT NULL, weight_g int NOT NULL, note text) WITH (fillfactor = 80);
INSERT INTO parcels SELECT i, i::bigint * 104729 % 400, i::bigint * 15485863 % 401, i::bigint * 31607 % 7, i::bigint * 7919 % 11,
                           i::bigint * 611953 % 40009, repeat('x', 40)
    FROM generate_series(1, {ROWS}) i"""
COLUMNS = ("parcel_id", "courier_id", "zone", "attempts", "stage", "weight_g", "note")
ASKED: Mapping[str, tuple[int, int, int]] = {"courier": (77, 200, 311), "zone": (123, 40, 388)}
HOT_SHARE = 0.9
SLACK, BYTES_MARGIN = 1.25, 1.25


@dataclass(frozen=True)
class Variant:
    """The read that must be quick (for whom it is asked stands in braces), the column that is updated all the time, the columns of the index that serves the
    one without hurting the other, and those of the one that everybody thinks of first."""

    story: str
    template: str
    changed: str
    best: str
    tempting: str

    @property
    def whose(self) -> str:
        """Whom the read is asked for: `courier` or `zone`."""
        return "courier" if "{courier}" in self.template else "zone"

    @property
    def reads(self) -> tuple[str, ...]:
        """The read as it is asked: the one that is shown, and for two others."""
        return tuple(self.template.format(**{self.whose: one}) for one in ASKED[self.whose])

    @property
    def read(self) -> str:
        return self.reads[0]

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the read mentions."""
        return frozenset(COLUMNS) & set(re.findall(r"\w+", self.read))

    @property
    def update(self) -> str:
        return f"UPDATE parcels SET {self.changed} = {self.changed} + 1 WHERE parcel_id % 10 = 0"


VARIANTS = (
    Variant(
        "The courier's list asks for the parcels that were tried before; each ring at a door counts a further attempt",
        "SELECT parcel_id FROM parcels WHERE courier_id = {courier} AND attempts >= 3", "attempts", "courier_id", "courier_id, attempts",
    ),
    Variant(
        "The list of a zone shows what is at its last stages; each scanner on the way moves a parcel's stage on",
        "SELECT parcel_id FROM parcels WHERE zone = {zone} AND stage > 6", "stage", "zone", "zone, stage",
    ),
    Variant(
        "The courier's list shows the late stages; a reorganisation moves parcels from zone to zone all day",
        "SELECT parcel_id FROM parcels WHERE courier_id = {courier} AND zone < 40 AND stage > 6", "zone", "courier_id, stage", "courier_id, zone",
    ),
    Variant(
        "The zone's list shows what was tried often; parcels are handed from courier to courier all day",
        "SELECT parcel_id FROM parcels WHERE courier_id < 40 AND zone = {zone} AND attempts >= 5", "courier_id", "zone, attempts", "zone, courier_id",
    ),
    Variant(
        "The courier's list asks for heavy parcels first; the scales at each hub correct the weight",
        "SELECT parcel_id FROM parcels WHERE courier_id = {courier} ORDER BY weight_g DESC LIMIT 5", "weight_g", "courier_id", "courier_id, weight_g",
    ),
    Variant(
        "The list of a courier asks for heavy parcels first; each scanner on the way moves the stage on",
        "SELECT parcel_id FROM parcels WHERE courier_id = {courier} AND stage >= 0 ORDER BY weight_g DESC LIMIT 5", "stage", "courier_id, weight_g", "courier_id, weight_g, stage",
    ),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The parcels, with room on each page."""
    return Recipe("40,000 parcels with room", TABLES)


@dataclass(frozen=True)
class Budget:
    """Pages of the three reads by the best index, and bytes of that index with the key as a further column; the margins
    included. `bare` are the pages of one read without any index; `best` and `tempting` those of the three by either index."""

    pages: int
    bytes: int
    bare: int
    best: int
    tempting: int


@cache
def budget(variant: Variant) -> Budget:
    """Measured on clones, once a process."""
    with tried(recipe(variant), f"CREATE INDEX listed ON parcels ({variant.best}, parcel_id)", tables=TABLE) as trial:
        size = trial.bytes()
        trial.database.run(f"DROP INDEX listed; CREATE INDEX listed ON parcels ({variant.best})")
        pages = sum(pages_of(plan) for plan in plans(trial, variant))
        trial.database.run(f"DROP INDEX listed; CREATE INDEX listed ON parcels ({variant.tempting})")
        tempting = sum(pages_of(plan) for plan in plans(trial, variant))
        trial.database.run("DROP INDEX listed")
        return Budget(int(pages * SLACK), int(size * BYTES_MARGIN), trial.pages(variant.read), pages, tempting)


def plans(trial: Trial, variant: Variant) -> list[Plan]:
    return [trial.plan(read) for read in variant.reads]


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}.\n\n```sql\n-- read, a hundred times a second, for any {variant.whose}\n{variant.read};\n-- written, all the time\n{variant.update};\n```\n\n"
        f"`parcels` has {ROWS:,} rows and a primary key; its pages were filled to 80 per cent (`fillfactor = 80`). Write the `CREATE INDEX` after which at least {HOT_SHARE:.0%} of the "
        f"updates stay HOT, **and** the read touches at most a quarter more pages than the best such index needs (two other {variant.whose}s are asked for, too). No column that the read does not mention may travel along, and the index takes at most {kilobytes(budget(variant).bytes)}. "
        '`engine = practice("indexes-hot")` gives you the table; `measure(update, engine).tuples["parcels"].hot_updated` counts.'
    )


def judge(answer: str, variant: Variant) -> Judgement:
    wanted = budget(variant)
    with tried(recipe(variant), answer, tables=TABLE, question="Can the read be served by an index alone?") as trial:
        if trial.refused or not trial.made:
            return Judgement(0.0, (trial.refused or nothing(wanted),))
        found, held = plans(trial, variant), {name: columns_of(trial.database, name) for name in trial.names}
        size, cost = trial.bytes(), trial.database.measure(variant.update)
    findings = (
        quick(found, wanted, trial.names),
        hot(cost, [name for name in trial.names if variant.changed in held[name]], variant),
        lean(
            size, wanted, held, variant, [change.object for change in trial.made if " USING hash " in str(change.after)]
        ),
        *few(trial.names),
    )
    return Judgement(whole(*findings), findings, (max(found, key=pages_of),))


def nothing(wanted: Budget) -> Finding:
    return Finding(
        False, f"No index was made: the read still touches all {wanted.bare:,} pages, and every update is HOT.", f"At most {wanted.pages:,} pages in three reads.",
        "Which column of the read does no update change?", "leave-it",
    )  # fmt: skip


def quick(found: list[Plan], wanted: Budget, made: Sequence[str]) -> Finding:
    each = [pages_of(plan) for plan in found]
    told = f"Three reads touch {sum(each):,} pages ({', '.join(f'{count:,}' for count in each)})"
    if sum(each) <= wanted.pages:
        return Finding(True, f"{told}, within the {wanted.pages:,} allowed.")
    used = [{node.index for node in plan.nodes()} & set(made) for plan in found]
    if any(used) and not all(used):
        return Finding(
            False, f"{told}: by {', '.join(sorted(set().union(*used)))} with some values, by all of the table with others.", f"At most {wanted.pages:,}.",
            "Which rows does your index leave out, and who asks for them?", "one-value",
        )  # fmt: skip
    unused = [name for name in made if name not in set().union(*used)]
    idle = f": PostgreSQL does not use {', '.join(unused)}" if unused else ""
    return Finding(
        False, f"{told}{idle}.", f"At most {wanted.pages:,}.",
        "Which columns of the read are never updated, and which of them comes first?", "reads-do-not-count" if idle else "",
    )  # fmt: skip


def hot(cost: Cost, mentions: list[str], variant: Variant) -> Finding:
    done = cost.tuples.get("parcels", Tuples())
    seen = f"{done.hot_updated:,} of {UPDATED:,} updates are HOT, and they wrote {cost.wal_bytes:,} bytes of WAL"
    if done.hot_updated >= HOT_SHARE * UPDATED:
        return Finding(True, f"{seen}.")
    why = f": {', '.join(mentions)} mentions `{variant.changed}`" if mentions else ""
    return Finding(
        False, f"{seen}{why}.", f"At least {HOT_SHARE:.0%} of them HOT.",
        f"Which indexes must hear of it when `{variant.changed}` changes, and is the read worth that?", "free-updates",
    )  # fmt: skip


def lean(size: int, wanted: Budget, held: Mapping[str, set[str]], variant: Variant, hashed: list[str]) -> Finding:
    foreign = sorted(set().union(*held.values()) - variant.columns)
    if foreign:
        return Finding(
            False, f"The index holds {' and '.join(f'`{name}`' for name in foreign)}; the read does not mention {'it' if len(foreign) == 1 else 'them'}.",
            "Columns that help to find rows, or to leave one out.", "What would the read miss if they were not in the index?", "more-is-safer",
        )  # fmt: skip
    if size > wanted.bytes and hashed:
        return Finding(
            False, f"The hash index {hashed[0]} takes {kilobytes(size)}.", f"At most {kilobytes(wanted.bytes)}.",
            f"A hundred parcels share a {variant.whose}, and a hash index keeps an entry for each of them. What does a B-tree make of equal keys?",
            "hash-is-small",
        )  # fmt: skip
    if size > wanted.bytes:
        return Finding(
            False, f"The index takes {kilobytes(size)}.", f"At most {kilobytes(wanted.bytes)}.",
            "What fills its pages, if not the columns of the read?",
        )  # fmt: skip
    return Finding(True, f"The index takes {kilobytes(size)}, within the {kilobytes(wanted.bytes)} allowed.")


def few(created: list[str]) -> list[Finding]:
    """The finding on more indexes than one; nothing is said of one."""
    if len(created) == 1:
        return []
    return [Finding(
        False, f"{len(created)} indexes were made, and each insert pays for all of them.", "One index.",
        "Which of them does the read use?", "one-per-column",
    )]  # fmt: skip


def against(found: Budget) -> str:
    """What stands against the pages that the tempting index would save, if it saves any."""
    if found.tempting >= found.best:
        return "it would buy nothing, and every update would write every index."
    return "against that stands every index, written in every update. It would be otherwise if the read came far more often than the update, or the filter left out far more."


EXERCISE = register(
    Exercise(
        id="indexes-hot",
        lab="02_indexes",
        number=7,
        title="Meet the read, keep the updates HOT",
        kind="S",
        declares="value",
        points=3,
        core=True,
        minutes=8,
        answer="one CREATE INDEX as text",
        accepts=accepts_sql,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Which column changes in the update? What must every index of the table do when an index mentions it?",
            lambda variant: f"Leave `{variant.changed}` out of the index: as a key, behind INCLUDE, and in its WHERE. What is left of the read's conditions, and which is the most exact?",
            lambda variant: f"An index that begins with `{variant.best.split(',')[0]}`, has no `{variant.changed}` in it, and mentions at most one more column, of those in the read.",
        ),
        judge=judge,
        why=lambda variant: (
            f"`{variant.changed}` stands in no index, so that its updates stay on their page and no index is written. Three reads touch {budget(variant).best} pages where an index with "
            f"`{variant.changed}` in it would need {budget(variant).tempting}; {against(budget(variant))} "
            "Without room on the page (`fillfactor = 100`) updates would not be HOT with any index."
        ),
        misconceptions={
            "free-updates": "Indexing a column that is updated is free.",
            "leave-it": "The only way to keep updates HOT is to have no index.",
            "reads-do-not-count": "Any index on the table makes the read quick.",
            "one-per-column": "One index a column is enough.",
            "more-is-safer": "An index that holds every column is the safest.",
            "hash-is-small": "For an equality a hash index is the smallest.",
            "one-value": "An index made for the values of the example serves all others.",
        },
    )
)  # fmt: skip
