"""Meet the reads and keep the updates HOT: which columns may an index mention?

    UPDATE orders SET attempts = attempts + 1        attempts in no index, room on the page  ──▶ HOT: no index hears of it
    CREATE INDEX ON orders (courier_id, attempts)    one index mentions it                   ──▶ every index is written, always

A heap-only tuple needs two things: no index, and no index's predicate, may mention a column that changes; and the new version must fit on
the old one's page. Each variant updates another column, so that another index serves its read. The judge runs the reads on a clone, then the updates as
one true transaction, and counts.

    >>> VARIANTS[0].changed
    'attempts'

Source: PostgreSQL 18's manual, "Heap-Only Tuples"; src/backend/access/heap/README.HOT. Left out: summarizing indexes (BRIN), which since
16 do not stand in the way.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbook.engines import Cost, Recipe, database
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed
from workbook.plans import explain

ROWS, UPDATED = 40_000, 4_000
TABLES = f"""CREATE TABLE parcels (parcel_id bigint PRIMARY KEY, courier_id int NOT NULL, zone int NOT NULL, attempts int NOT NULL,
                      stage int NOT NULL, weight_g int NOT NULL, note text) WITH (fillfactor = 80);
INSERT INTO parcels SELECT i, i::bigint * 104729 % 400, i::bigint * 15485863 % 401, i::bigint * 31607 % 7, i::bigint * 7919 % 11,
                           i::bigint * 611953 % 40009, repeat('x', 40)
    FROM generate_series(1, {ROWS}) i"""
HOT_SHARE = 0.9
SLACK = 1.25


@dataclass(frozen=True)
class Variant:
    """The read that must be quick, the column that is updated all the time, and the index that serves the one without hurting the other."""

    story: str
    read: str
    changed: str
    best: str
    tempting: str

    @property
    def update(self) -> str:
        return f"UPDATE parcels SET {self.changed} = {self.changed} + 1 WHERE parcel_id % 10 = 0"


VARIANTS = (
    Variant(
        "The courier's list asks for the parcels that were tried before; each ring at a door counts a further attempt",
        "SELECT parcel_id FROM parcels WHERE courier_id = 77 AND attempts >= 3", "attempts", "courier_id", "courier_id, attempts",
    ),
    Variant(
        "The list of a zone shows what is at its last stages; each scanner on the way moves a parcel's stage on",
        "SELECT parcel_id FROM parcels WHERE zone = 123 AND stage > 6", "stage", "zone", "zone, stage",
    ),
    Variant(
        "The courier's list shows the late stages; a reorganisation moves parcels from zone to zone all day",
        "SELECT parcel_id FROM parcels WHERE courier_id = 77 AND zone < 40 AND stage > 6", "zone", "courier_id, stage", "courier_id, zone",
    ),
    Variant(
        "The zone's list shows what was tried often; parcels are handed from courier to courier all day",
        "SELECT parcel_id FROM parcels WHERE courier_id < 40 AND zone = 123 AND attempts >= 5", "courier_id", "zone, attempts", "zone, courier_id",
    ),
    Variant(
        "The courier's list asks for heavy parcels first; the scales at each hub correct the weight",
        "SELECT parcel_id FROM parcels WHERE courier_id = 200 ORDER BY weight_g DESC LIMIT 5", "weight_g", "courier_id", "courier_id, weight_g",
    ),
    Variant(
        "The list of a courier asks for heavy parcels first; each scanner on the way moves the stage on",
        "SELECT parcel_id FROM parcels WHERE courier_id = 200 AND stage >= 0 ORDER BY weight_g DESC LIMIT 5", "stage", "courier_id, weight_g", "courier_id, weight_g, stage",
    ),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The parcels, with room on each page."""
    return Recipe("40,000 parcels with room", TABLES)


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}.\n\n```sql\n-- read, a hundred times a second\n{variant.read};\n-- written, all the time\n{variant.update};\n```\n\n"
        f"`parcels` has {ROWS:,} rows and a primary key; its pages were filled to 80 per cent (`fillfactor = 80`). Write the `CREATE INDEX` after which the read touches "
        f"at most a quarter more pages than the best index allows that keeps the updates HOT, **and** at least {HOT_SHARE:.0%} of the updates stay HOT. "
        '`engine = practice("indexes-hot")` gives you the table; `measure(update, engine).tuples["parcels"].hot_updated` counts.'
    )


def judge(answer: str, variant: Variant) -> Judgement:
    with database(recipe(variant)) as reference:
        reference.run(f"CREATE INDEX ON parcels ({variant.best})")
        budget = int((explain(variant.read, reference.engine).buffers.value or 0) * SLACK)
    with database(recipe(variant)) as parcels:
        bare = explain(variant.read, parcels.engine)
        before = parcels.catalog()
        parcels.run(answer)
        after = parcels.catalog()
        allowed = changes_allowed(before, after, {"index"}, question="Can the read be served by an index alone?")
        if not allowed.ok:
            return Judgement(0.0, (allowed,))
        plan = explain(variant.read, parcels.engine)
        cost = parcels.measure(variant.update)
        created = [name for name in after.names("index") if name not in before.names("index")]
        mentions = [name for name in created if variant.changed in after.objects["index", name]]
    if not created:
        return Judgement(0.0, (nothing(int(bare.buffers.value or 0), budget),))
    used = {node.index for node in plan.nodes()}
    findings = (
        quick(int(plan.buffers.value or 0), budget, [name for name in created if name not in used]),
        hot(cost, mentions, variant),
        few(created),
    )
    return Judgement(float(all(finding.ok for finding in findings)), findings, (plan,))


def nothing(pages: int, budget: int) -> Finding:
    return Finding(
        False, f"No index was made: the read still touches all {pages:,} pages, and every update is HOT.", f"A read of at most {budget:,} pages.",
        "Which column of the read does no update change?", "leave-it",
    )  # fmt: skip


def quick(pages: int, budget: int, unused: list[str]) -> Finding:
    if pages <= budget:
        return Finding(True, f"The read touches {pages:,} pages, within the {budget:,} allowed.")
    idle = f": PostgreSQL does not use {', '.join(unused)}" if unused else ""
    return Finding(
        False, f"The read touches {pages:,} pages{idle}.", f"At most {budget:,}.",
        "Which columns of the read are never updated, and which of them comes first?", "reads-do-not-count",
    )  # fmt: skip


def hot(cost: Cost, mentions: list[str], variant: Variant) -> Finding:
    done = cost.tuples["parcels"]
    seen = f"{done.hot_updated:,} of {done.updated:,} updates are HOT, and they wrote {cost.wal_bytes:,} bytes of WAL"
    if done.hot_updated >= HOT_SHARE * done.updated:
        return Finding(True, f"{seen}.")
    why = f": {', '.join(mentions)} mentions `{variant.changed}`" if mentions else ""
    return Finding(
        False, f"{seen}{why}.", f"At least {HOT_SHARE:.0%} of them HOT.",
        f"Which indexes must hear of it when `{variant.changed}` changes, and is the read worth that?", "free-updates",
    )  # fmt: skip


def few(created: list[str]) -> Finding:
    if len(created) == 1:
        return Finding(True, "One index was made.")
    return Finding(
        False, f"{len(created)} indexes were made, and each insert pays for all of them.", "One index.",
        "Which of them does the read use?", "one-per-column",
    )  # fmt: skip


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
            lambda variant: f"An index that begins with `{variant.best.split(',')[0]}`, has no `{variant.changed}` in it, and mentions at most one more column of the read.",
        ),
        judge=judge,
        why=lambda variant: (
            f"`{variant.changed}` stands in no index, so that its updates stay on their page and no index is written. The read fetches a few rows more and filters them: a few "
            "pages, against every index written in every update. It would be otherwise if the read came far more often than the update, or the filter left out far more; "
            "and without room on the page (`fillfactor = 100`) updates would not be HOT with any index."
        ),
        misconceptions={
            "free-updates": "Indexing a column that is updated is free.",
            "leave-it": "The only way to keep updates HOT is to have no index.",
            "reads-do-not-count": "Any index on the table makes the read quick.",
            "one-per-column": "One index a column is enough.",
        },
    )
)  # fmt: skip
