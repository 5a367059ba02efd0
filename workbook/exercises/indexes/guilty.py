"""The guilty step of a plan: not the dearest one, but the one where belief and world part.

    6  Nested Loop                         the cost looks harmless, the pages are many
    7  ├─ Seq Scan on orders               believed 20 rows, 2,000 came       ◀── guilty
    8  └─ Index Scan on lines   x 2,000    touched 8,000 pages: it did as it was told

The planner chose the join for the number of rows that it expected below. What is expensive above follows from there. So the
answer names a step and mends what it did not know; the judge counts the pages of the same query afterwards, and after the next ANALYZE, too. Whoever makes
all sorts of things at once has found nothing out: at most one may be made, and none where ANALYZE does.

    >>> {variant.guilty for variant in VARIANTS} == {"orders", "lines"}
    True

Source: Leis and others, "How Good Are Query Optimizers, Really?" (VLDB 2015); PostgreSQL 18's manual, "Extended Statistics".
Left out: misestimates of joins, which no statistics of PostgreSQL 18 mend; and a count that is right of rows that lie elsewhere than believed, which
statistics do not mend either (the second evening shows one).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.engines import Recipe, database
from workbook.exercises.trial import Trial, allowed, pages_of, quoted, tried, whole
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.plans import Node, Plan, explain

ORDERS, LINES = 20_000, 80_000
TABLES = """CREATE TABLE orders (
    order_id bigint PRIMARY KEY, country text NOT NULL, city text NOT NULL, carrier text NOT NULL, status text NOT NULL,
    placed_minute int NOT NULL
);
CREATE TABLE lines (line_id bigint PRIMARY KEY, order_id bigint NOT NULL, product_id int NOT NULL, shelf text NOT NULL, cents int NOT NULL);
"""
FILL = """INSERT INTO orders
    SELECT i, 'C' || i % 10, 'T' || i % 10, 'P' || i % 10, {status}, i * 2 FROM generate_series({first}::bigint, {last}::bigint) i;
"""
LINES_FILL = f"""INSERT INTO lines
    SELECT i, i * 7919 % {ORDERS} + 1, i % 50, 'S' || i % 50, i % 9973 FROM generate_series(1::bigint, {LINES}::bigint) i;
CREATE INDEX lines_order ON lines (order_id);
"""
OLD, NEW = (
    "CASE WHEN i % 1000 = 3 THEN 'open' ELSE 'done' END",
    f"CASE WHEN i > {ORDERS - 900} THEN 'open' ELSE 'done' END",
)


@dataclass(frozen=True)
class Variant:
    """A query; the relation of its guilty step; a mend; what a mend that does not reach it looks like; `because`."""

    story: str
    query: str
    guilty: str
    mend: str
    elsewhere: str
    because: str
    stale: bool = False


JOIN = "SELECT sum(l.cents) FROM orders o JOIN lines l USING (order_id)\nWHERE "
VARIANTS = (
    Variant(
        "The parcels of one carrier in one town",
        JOIN + "o.country = 'C7' AND o.city = 'T7' AND o.carrier = 'P7'",
        "orders",
        "CREATE STATISTICS together (dependencies) ON country, city, carrier FROM orders; ANALYZE orders",
        "ANALYZE orders; ANALYZE lines",
        "Three conditions that say the same were multiplied as if they were independent: a tenth of a tenth of a tenth.",
    ),
    Variant(
        "A town, as the user typed it",
        JOIN.replace("sum", "o.order_id, sum", 1) + "lower(o.city) = 't4' GROUP BY o.order_id ORDER BY 2 DESC LIMIT 3",
        "orders",
        "CREATE STATISTICS typed ON (lower(city)) FROM orders; ANALYZE orders",
        "CREATE STATISTICS pairs (dependencies) ON country, city FROM orders; ANALYZE orders",
        "Of an expression nothing is known, and for an equality the planner then takes one row in two hundred.",
    ),
    Variant(
        "What one product brought in, on its shelf",
        JOIN.replace("sum", "o.country, sum", 1) + "l.product_id = 13 AND l.shelf = 'S13' GROUP BY o.country",
        "lines",
        "CREATE STATISTICS places (dependencies) ON product_id, shelf FROM lines; ANALYZE lines",
        "CREATE INDEX ON lines (product_id)",
        "A product has its shelf; the planner multiplied one in fifty by one in fifty.",
    ),
    Variant(
        "The revenue of what is open, after last night's import",
        JOIN + "o.status = 'open'",
        "orders",
        "ANALYZE orders",
        "CREATE STATISTICS places (dependencies) ON product_id, shelf FROM lines; ANALYZE lines",
        "The statistics are of the day before, when one order in a thousand was open. The import was not counted yet.",
        stale=True,
    ),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """Orders and their lines. `stale`: most orders came after the statistics were taken."""
    half = ORDERS // 2
    if variant.stale:
        first, second = (
            FILL.format(status=status, first=a, last=b)
            for status, a, b in ((OLD, 1, half), ("'open'", half + 1, ORDERS))
        )
        return Recipe("orders after an import", TABLES + first + LINES_FILL + "ANALYZE;" + second, vacuum=False)
    return Recipe("orders and lines", TABLES + FILL.format(status=NEW, first=1, last=ORDERS) + LINES_FILL)


@cache
def shown(variant: Variant) -> Plan:
    """The plan as it is before anything is mended."""
    with database(recipe(variant)) as orders:
        return explain(variant.query, orders.engine)


@cache
def budget(variant: Variant) -> int:
    """What the query touches after the reference's mend, and a quarter to spare."""
    with tried(recipe(variant), variant.mend, tables=("orders", "lines"), kinds=KINDS) as trial:
        return allowed(trial.pages(variant.query))


KINDS = frozenset({"index", "statistics"})
ANALYZE = "ANALYZE orders; ANALYZE lines"


def guilty(variant: Variant) -> int:
    """The number of the guilty step, counted from 1 in the order in which the plan is shown."""
    return next(number for number, node in enumerate(shown(variant).nodes(), 1) if node.relation == variant.guilty)


def accepts(answer: Any) -> str:
    if not isinstance(answer, dict) or set(answer) != {"step", "mend"}:
        return "The answer is a dict with the keys 'step' and 'mend'."
    if type(answer["step"]) is not int:
        return f"'step' is the number of a step, an int; this is {type(answer['step']).__name__}."
    if not isinstance(answer["mend"], str) or not answer["mend"].strip():
        return "'mend' is SQL as text, and not empty."
    return ""


def judge(answer: dict[str, Any], variant: Variant) -> Judgement:
    before = shown(variant)
    steps = before.nodes()
    named = step_named(answer["step"], steps, guilty(variant))
    with tried(recipe(variant), answer["mend"], tables=("orders", "lines"), kinds=KINDS) as trial:
        if trial.refused:
            return Judgement(0.0, (named, trial.refused))
        after = trial.plan(variant.query)
        findings = [named, pages_within(before, after, budget(variant), variant)]
        if findings[1].ok:
            findings.append(needed(trial, variant))
    return Judgement(whole(*findings), tuple(findings), (after,))


def step_named(number: int, steps: list[Node], right: int) -> Finding:
    if not 1 <= number <= len(steps):
        return Finding(
            False,
            f"There is no step {number}.",
            f"A number from 1 to {len(steps)}.",
            "Which line of the plan do you mean?",
        )
    step = steps[number - 1]
    told = f"Step {number}, {step.title}: expected {step.rows_estimated} rows, {step.rows} came, {step.buffers_own} pages of its own."
    if number == right:
        return Finding(True, told)
    expected = "The step at which belief and world part first, seen from below."
    if (step.cost.value or 0) == max(other.cost.value or 0 for other in steps):
        return Finding(
            False, told, expected, "A step's cost holds all below it. Where does it come from?", "highest-cost"
        )
    if (step.buffers_own.value or 0) == max(other.buffers_own.value or 0 for other in steps):
        return Finding(False, told, expected, "Who told this step how often to run?", "most-pages")
    return Finding(False, told, expected, "Is this step's estimate wrong by itself, or because of what comes into it?")


def pages_within(before: Plan, after: Plan, budget: int, variant: Variant) -> Finding:
    was, now = pages_of(before), pages_of(after)
    if now <= budget:
        return Finding(True, f"After the mend the query touches {now:,} pages, before {was:,}; {budget:,} are allowed.")
    step = after.find(relation=variant.guilty)[0]
    off = f"{step.title} still expects {step.rows_estimated} rows, and {step.rows} come"
    return Finding(
        False, f"After the mend the query touches {now:,} pages, before {was:,}: {off}.", f"At most {budget:,} pages.",
        "What does the planner have to know about these rows that it cannot work out from single columns, or from old counts?",
        "anything-helps",
    )  # fmt: skip


def needed(trial: Trial, variant: Variant) -> Finding:
    """Whether the mend makes one thing at most, outlives the next ANALYZE, and is missed when it is taken away."""
    orders, most = trial.database, budget(variant)
    made = [("INDEX", name) for name in trial.names]
    made += [("STATISTICS", str(row[0])) for row in orders.run("SELECT stxname FROM pg_catalog.pg_statistic_ext ORDER BY 1").rows]  # fmt: skip
    if len(made) > 1:
        return Finding(
            False, f"The mend makes {len(made)} things: {', '.join(name for _, name in made)}.", "One at most, which the guilty step misses.",
            "What is it that the guilty step does not know, and which of them tells it?", "more-is-better",
        )  # fmt: skip
    orders.run(ANALYZE)
    if (again := trial.pages(variant.query)) > most:
        return Finding(
            False, f"After the next ANALYZE the query touches {again:,} pages again: what the mend did is gone.", "A mend that lasts.",
            "What does ANALYZE write anew each time, and what tells it to look at more?", "for-good",
        )  # fmt: skip
    if not made:
        return Finding(True, "The mend makes nothing, and it lasts.")
    kind, name = made[0]
    orders.run(f"DROP {kind} {quoted(name)}")
    if (without := trial.pages(variant.query)) <= most:
        return Finding(
            False, f"Without {name}, after ANALYZE alone, the query touches {without:,} pages.", "Nothing made that is not missed.",
            "What did the planner not know: how things go together, or that time has passed?", "more-is-better",
        )  # fmt: skip
    return Finding(True, f"{name} lasts, and without it the query touches {without:,} pages.")


def lines_of(plan: Plan) -> str:
    """The plan as a table with numbered steps."""

    def rows(node: Node, depth: int) -> list[tuple[Node, int]]:
        return [(node, depth), *(pair for child in node.children for pair in rows(child, depth + 1))]

    head = "| step | | loops | rows expected | rows | thrown away | pages of its own | cost |\n|---|---|---|---|---|---|---|---|\n"
    return head + "\n".join(
        f"| {number} | {'· ' * depth}{node.title} | {node.loops} | {node.rows_estimated} | {node.rows} | {node.rows_removed} | {node.buffers_own} | {node.cost} |"
        for number, (node, depth) in enumerate(rows(plan.root, 0), 1)
    )


def brief(variant: Variant) -> str:
    plan = shown(variant)
    return (
        f"{variant.story}:\n\n```sql\n{variant.query}\n```\n\n`orders` has {ORDERS:,} rows, `lines` {LINES:,} and an index on `order_id`. "
        f"The query touches {pages_of(plan):,} pages:\n\n{lines_of(plan)}\n\n"
        "Which step is to blame: at which one do the rows that come differ from those expected, although what came into it was as expected? And what mends it? Hand in a dict: `step`, "
        "its number, and `mend`, SQL that creates **one** index or **one** object of statistics, or only takes statistics anew where that does. The judge looks for the step, runs the "
        f"mend, and counts the pages of the same query: at most **{budget(variant):,}**, then and after the next ANALYZE. "
        '`engine = practice("indexes-guilty")` is the same database.'
    )


EXERCISE = register(
    Exercise(
        id="indexes-guilty",
        lab="02_indexes",
        number=10,
        title="The guilty step",
        kind="D",
        declares="value",
        points=3,
        core=False,
        minutes=8,
        answer="a dict with the keys 'step' (int) and 'mend' (SQL as text)",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Go through the plan from below. At which step do the rows that come differ from those expected, although all that came into it was as expected?",
            lambda variant: f"Look at {variant.guilty}. What is its condition, and from which numbers of `pg_stats` was its estimate made? `explain(query, engine)` shows the condition.",
            lambda variant: f"{variant.because} It is step {guilty(variant)}, and the mend begins with `{' '.join(variant.mend.split()[:2])}`.",
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} The dear steps above did as they were told. What rules them out: with the mend nothing was changed about them, and the pages fell from "
            f"{pages_of(shown(variant)):,}. On another engine the blame is found the same way: MySQL's EXPLAIN ANALYZE prints expected and actual rows, too."
        ),
        misconceptions={
            "highest-cost": "The step with the highest cost is the one to mend.",
            "most-pages": "The step that touches most pages is the one to mend.",
            "anything-helps": "Statistics and indexes help wherever they are put.",
            "more-is-better": "The more statistics and indexes there are, the better.",
            "for-good": "What was told to the planner once, it knows for good.",
        },
    )
)  # fmt: skip
