"""Rows about which the planner is wrong a hundredfold, and the statistics that set it right.

    statistics of one column each           the rows                     estimate = share × share × rows
    country: C7 is 1 % of the rows    ×     every C7 is also T7    ──▶   0.01 % instead of 1 %
    city:    T7 is 1 % of the rows

ANALYZE looks at each column on its own. What two columns, or an expression of one, have to do with one another it does
not know unless it is told to look: by CREATE STATISTICS, whose kinds answer different questions. `ndistinct`: how many
combinations are there? `dependencies`: does one column follow from another? `mcv`: how often does this combination
occur? On an expression: how are its values distributed? The learner makes rows that fool the plain statistics for a
given query, and adds what mends it. Each variant asks about another query, so that another kind is right.

    >>> VARIANTS[0].query
    "SELECT * FROM shipments WHERE country = 'C7' AND city = 'T7'"

Source: PostgreSQL 18's manual, "Statistics Used by the Planner", "How the Planner Uses Statistics". Left out: joins,
which extended statistics do not mend in 18, and the sampling error of a table that ANALYZE does not read whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from workbook.engines import Database, Recipe, database
from workbook.engines.catalog import Catalog
from workbook.errors import SqlTimeout
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.grading.sql import changes_allowed
from workbook.plans import Plan, explain

ROWS_MIN, ROWS_MAX = 5_000, 50_000
WRONG_MIN, RIGHT_MAX, ABOUT_RIGHT = 100, 2, 1.1
MEND_DEADLINE_S = 3
TABLE = """CREATE TABLE shipments (
    shipment_id bigint, country text, city text, carrier text, status text,
    ordered_day int, shipped_day int, total_cents int);"""
YESTERDAY_ROWS = 20_000
YESTERDAY = f"""INSERT INTO shipments
    SELECT i, 'C' || i % 20, 'T' || i % 90, 'post', 'sent', i % 400, i % 400 + 2, i % 7000 FROM generate_series(1, {YESTERDAY_ROWS}) i;
ANALYZE shipments;"""
KINDS = {"d": "ndistinct", "f": "dependencies", "m": "mcv", "e": "an expression"}
FINGERPRINT = "SELECT count(*), sum(hash_record_extended(s, 0)) FROM shipments s"


Rows = list[tuple[Any, ...]]
Created = list[tuple[str, str]]
"""Kind and name of what 'mend' created."""


@dataclass(frozen=True)
class Variant:
    """Which estimate is to go wrong.

    Parameters: the `story` in a sentence; the `query`; whether `few` or `many` rows are estimated (too few, too many); whether
    the statistics are of `yesterday`, taken before the learner's rows came; what the `direction` of a hint says; why it is so
    (`because`).
    """

    story: str
    query: str
    wrong: Literal["few", "many"]
    direction: str
    because: str
    yesterday: bool = False


VARIANTS = (
    Variant(
        "A page lists the shipments to one city",
        "SELECT * FROM shipments WHERE country = 'C7' AND city = 'T7'",
        "few",
        "The planner multiplies the share of the country with the share of the city. When is the true share a hundred times "
        "that product? And which kind of statistics knows that one column follows from the other?",
        "The planner multiplies the shares of the two columns, as if they knew nothing of one another; but a city lies in one country. "
        "`dependencies` knows that the one follows from the other, `mcv` knows the frequent pairs themselves; `ndistinct` only counts pairs, and is of no use to a WHERE.",
    ),
    Variant(
        "A report groups by destination and carrier",
        "SELECT country, city, carrier, count(*) FROM shipments GROUP BY country, city, carrier",
        "many",
        "Without knowing better the planner multiplies the numbers of distinct values, up to a tenth of the rows. When are there far fewer "
        "combinations than that? And which kind of statistics counts combinations?",
        "The planner multiplies the numbers of distinct values, and stops at a tenth of the rows. How many combinations there are, only `ndistinct` counts; "
        "`dependencies` and `mcv` are read for a WHERE, not for a GROUP BY.",
    ),
    Variant(
        "An alert looks for a combination that should never occur",
        "SELECT * FROM shipments WHERE carrier = 'pigeon' AND status = 'cancelled'",
        "many",
        "Make each value frequent, and the two never meet. Which kind of statistics knows how often a single pair occurs?",
        "Each value alone is frequent, so that their product is large; only `mcv`, the list of frequent combinations, shows that this one is not among them. "
        "`dependencies` makes it worse: it believes that the carrier tells the status, and not which.",
    ),
    Variant(
        "Accounting looks for round amounts",
        "SELECT * FROM shipments WHERE total_cents % 100 = 0",
        "few",
        "Of an expression the planner knows nothing; it takes every 200th row. How far from that can your rows be? And statistics on what would know?",
        "The statistics describe `total_cents`, not what you compute from it; without any the planner takes one row of 200. Statistics "
        "on the expression (or an index on it, which brings them along) know how its values are distributed.",
    ),
    Variant(
        "A histogram for the dashboard",
        "SELECT total_cents / 100000 AS thousands, count(*) FROM shipments GROUP BY total_cents / 100000",
        "many",
        "For the number of groups the planner takes the number of distinct `total_cents`. When has the expression far fewer? And statistics on what would know?",
        "For an expression that it knows nothing of, the planner counts the distinct values of its columns. Statistics on the expression (or an index on "
        "it) hold its own number of distinct values.",
    ),
    Variant(
        "The last days of the year, ordered and shipped",
        "SELECT * FROM shipments WHERE ordered_day >= 363 AND shipped_day >= 364",
        "few",
        "The planner multiplies the two shares, although nearly all that is ordered late is shipped late. `dependencies` is read for equalities only. Which kind "
        "takes ranges, too, and how many combinations may there be at most for it to know them all?",
        "The two ranges hold nearly the same rows, and the planner multiplies their shares. `dependencies` is read for equalities only; `mcv` takes ranges, "
        "as long as the combinations are few enough to be listed (the statistics target bounds the list: 2,500 here, 100 by default).",
    ),
    Variant(
        "The morning report, an hour after the nightly import",
        "SELECT * FROM shipments WHERE ordered_day >= 400",
        "few",
        "The statistics end with day 399. What does the planner expect beyond the end of its histogram? Which one statement is missing after the import?",
        "The histogram of `ordered_day` ends where yesterday ended, so that nothing is expected beyond. No new kind of statistics is missing, only ANALYZE: autovacuum "
        "runs it some time after a tenth of the table has changed, and the morning report comes earlier. An import should end with it.",
        yesterday=True,
    ),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The table: empty, or with yesterday's rows and their statistics."""
    return Recipe("shipments", f"{TABLE}\n{YESTERDAY}" if variant.yesterday else TABLE, vacuum=False)


def accepts(answer: Any) -> str:
    if type(answer) is not dict or set(answer) != {"data", "mend"}:
        keys = f"a dict with {sorted(map(str, answer))}" if type(answer) is dict else type(answer).__name__
        return f"The answer is a dict with the keys 'data' and 'mend'; this is {keys}."
    for key, text in answer.items():
        if type(text) is not str or not text.strip():
            return (
                f"{key!r} is SQL as text, in quotes; this is {'empty' if type(text) is str else type(text).__name__}."
            )
    return ""


def judge(answer: dict[str, str], variant: Variant) -> Judgement:
    with database(recipe(variant)) as world:
        empty = world.catalog()
        world.run(answer["data"])
        filled, rows = world.catalog(), world.run(FINGERPRINT).rows
        made = made_rows(empty, filled, int(rows[0][0]) - (YESTERDAY_ROWS if variant.yesterday else 0))
        if not made.ok:
            return Judgement(0.0, (made,))
        if not variant.yesterday:
            world.run("ANALYZE shipments")
        before = explain(variant.query, world.engine)
        wrong = fooled(before, variant)
        if not wrong.ok:
            return Judgement(0.0, (made, wrong), (before,))
        return mending(world, answer["mend"], variant, filled, rows, before, (made, wrong))


def mending(
    world: Database, mend: str, variant: Variant, filled: Catalog, rows: Rows, before: Plan, found: tuple[Finding, ...]
) -> Judgement:
    """The second half: what 'mend' does, and whether the estimate is right then and after the next ANALYZE."""
    try:
        world.run(mend, deadline_s=MEND_DEADLINE_S)
    except SqlTimeout:
        return Judgement(0.0, (*found, too_long()), (before,))
    catalog = world.catalog()
    created = [
        (kind, name)
        for kind in ("statistics", "index")
        for name in sorted(set(catalog.names(kind)) - set(filled.names(kind)))
    ]
    only = mends_only(world, filled, catalog, rows, created)
    if not only.ok:
        return Judgement(0.0, (*found, only), (before,))
    after = explain(variant.query, world.engine)
    right = mended(world, after, believed(before), created, variant)
    findings = (*found, right, lasts(world, created, variant)) if right.ok else (*found, right)
    return Judgement(float(all(finding.ok for finding in findings)), findings, (before, after))


def believed(plan: Plan) -> int:
    """Rows that the planner expects of the whole query; it never expects less than one."""
    return max(int(plan.root.rows_estimated.value or 0), 1)


def came(plan: Plan) -> int:
    return max(int(plan.root.rows.value or 0), 1)


def off(plan: Plan) -> float:
    return max(believed(plan) / came(plan), came(plan) / believed(plan))


def told(plan: Plan) -> str:
    expected, seen = believed(plan), int(plan.root.rows.value or 0)
    return f"PostgreSQL expects {expected:,} row{'' if expected == 1 else 's'}, and {seen:,} come{'s' if seen == 1 else ''}"


def made_rows(empty: Catalog, filled: Catalog, rows: int) -> Finding:
    changed = changes_allowed(
        empty, filled, (), may="only insert rows with 'data'", question="Which of its statements is no INSERT?"
    )
    if not changed.ok:
        return changed
    if ROWS_MIN <= rows <= ROWS_MAX:
        return Finding(True, f"'data' brings {rows:,} rows.")
    return Finding(
        ok=False,
        seen=f"'data' brings {rows:,} rows.",
        expected=f"From {ROWS_MIN:,} to {ROWS_MAX:,} rows: enough for a hundredfold, few enough for ANALYZE to read them all.",
        question="What does `INSERT INTO shipments SELECT i, ... FROM generate_series(1, 20000) i` make?",
    )


def fooled(plan: Plan, variant: Variant) -> Finding:
    too_few = came(plan) >= WRONG_MIN * believed(plan)
    too_many = believed(plan) >= WRONG_MIN * came(plan)
    when = "With yesterday's statistics" if variant.yesterday else "After ANALYZE"
    if too_few if variant.wrong == "few" else too_many:
        return Finding(True, f"{when} {told(plan)}: {off(plan):,.0f} times off.")
    other = too_few or too_many
    far = "about right" if off(plan) < ABOUT_RIGHT else f"{off(plan):,.1f} times off"
    wanted = (
        "a hundred times as many rows as expected"
        if variant.wrong == "few"
        else "a hundredth of the rows expected, or fewer"
    )
    return Finding(
        ok=False,
        seen=f"{when} {told(plan)}: {far}{', in the other direction' if other else ''}.",
        expected=f"With your rows {wanted} should come.",
        question="From which numbers does the planner work this estimate out, and in which rows are these numbers right and the result wrong?",
        misconception="estimates-are-facts",
    )


def mends_only(world: Database, before: Catalog, after: Catalog, rows: Rows, created: Created) -> Finding:
    changed = changes_allowed(
        before, after, {"statistics", "index"}, may="create statistics (or one index), and ANALYZE, with 'mend'",
        question="What is wrong here: the rows, or what is known about them?",
    )  # fmt: skip
    if not changed.ok:
        return changed
    if world.run(FINGERPRINT).rows != rows:
        return Finding(
            ok=False,
            seen="'mend' changed the rows.",
            expected="The same rows, and a planner that knows them better.",
            question="What is wrong here: the rows, or what is known about them?",
        )
    made = [f"{kind} `{name}`" for kind, name in created]
    kinds = kinds_of(world)
    if len(made) > 1 or len(kinds) > 1:
        what = ", ".join(made) + (f" with the kinds {', '.join(kinds)}" if len(kinds) > 1 else "")
        return Finding(
            ok=False,
            seen=f"'mend' creates {what}.",
            expected="One object, and of the kinds of statistics one: each that exists is worked out at every ANALYZE and read at every planning.",
            question="Which question does this query ask: how many combinations there are (ndistinct), whether one column follows from another (dependencies), "
            "how often one combination occurs (mcv), or how an expression is distributed?",
            misconception="more-is-better",
        )
    return Finding(True, "'mend' creates one object at most.")


def too_long() -> Finding:
    return Finding(
        ok=False,
        seen=f"'mend' ran longer than {MEND_DEADLINE_S} s, and was cancelled.",
        expected="Statistics that ANALYZE works out in a blink.",
        question="For how many combinations of columns must ANALYZE count, and about how many does this query ask?",
        misconception="more-is-better",
    )


def kinds_of(world: Database) -> list[str]:
    """The kinds of all extended statistics; that of expressions counts only where it stands alone."""
    rows = world.run("SELECT DISTINCT unnest(stxkind)::text FROM pg_catalog.pg_statistic_ext ORDER BY 1").rows
    kinds = [row[0] for row in rows]
    return [KINDS[kind] for kind in kinds if kind != "e" or len(kinds) == 1]


def mended(world: Database, after: Plan, before: int, created: Created, variant: Variant) -> Finding:
    if off(after) <= RIGHT_MAX:
        return Finding(True, f"After 'mend' {told(after)}.")
    kinds = kinds_of(world)
    built = "SELECT (SELECT count(*) FROM pg_catalog.pg_stats_ext WHERE coalesce(n_distinct::text, dependencies::text, most_common_vals::text) "
    built += "IS NOT NULL) + (SELECT count(*) FROM pg_catalog.pg_stats_ext_exprs WHERE n_distinct IS NOT NULL)"
    empty = bool(kinds) and not world.run(built).rows[0][0]
    index = next((name for kind, name in created if kind == "index"), "")
    same = f"as before ({before:,})" if believed(after) == before else f"{before:,} before"
    if empty:
        seen, question, belief = (
            "The statistics exist, but nothing is in them.",
            "Who fills them, and when does it come by?",
            "create-suffices",
        )
    elif variant.yesterday:
        seen, belief = "The statistics of `ordered_day` are still those of yesterday.", "rows-are-known"
        question = "What has to happen before the planner hears of rows that have come since?"
    elif kinds:
        seen, belief = f"Statistics of the kind {kinds[0]} are there.", "any-kind"
        question = "Which question does that kind answer, and which one does this query ask?"
    elif index and unread(world, index):
        seen, question, belief = (
            f"The index `{index}` holds an expression, and nothing is known of its values.",
            "Who looks at them, and when does it come by?",
            "create-suffices",
        )
    else:
        seen, question, belief = (
            "There are no extended statistics.",
            "What would ANALYZE have to look at that it does not look at by itself?",
            "fresh-suffices",
        )
    if index and belief in ("rows-are-known", "fresh-suffices"):
        question, belief = (
            f"`{index}` says where rows lie. From what does the planner work out how many will come?",
            "index-tells",
        )
    return Finding(
        ok=False,
        seen=f"{seen} {told(after)}; {same}.",
        expected=f"An estimate that is at most {RIGHT_MAX} times off.",
        question=question,
        misconception=belief,
    )


def unread(world: Database, index: str) -> bool:
    """Whether an index holds an expression of which no statistics have been taken."""
    sql = """SELECT count(*) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE c.relname = :index
             AND i.indexprs IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_stats s WHERE s.tablename = c.relname)"""
    return bool(world.run(sql, {"index": index}).rows[0][0])


def lasts(world: Database, created: Created, variant: Variant) -> Finding:
    """Whether it still holds after the next ANALYZE; and, where ANALYZE alone would have done, whether that was all."""
    superfluous = created if variant.yesterday else []
    for kind, name in superfluous:
        quoted = name.replace('"', '""')
        world.run(f'DROP {kind.upper()} "{quoted}"')
    world.run("ANALYZE shipments")
    again = explain(variant.query, world.engine)
    if superfluous:
        return Finding(
            ok=False,
            seen=f"'mend' creates {superfluous[0][0]}; without that, after ANALYZE alone, {told(again)}.",
            expected="Nothing created that is not needed.",
            question="What did the planner not know: how two columns go together, or that time has passed?",
            misconception="more-is-better",
        )
    if off(again) <= RIGHT_MAX:
        return Finding(True, f"After the next ANALYZE {told(again)}: it lasts.")
    return Finding(
        ok=False,
        seen=f"After the next ANALYZE {told(again)}: what 'mend' did is gone.",
        expected="A mend that the next ANALYZE keeps.",
        question="What does ANALYZE write anew each time it comes by, and what tells it to look at more?",
        misconception="fresh-suffices",
    )


def brief(variant: Variant) -> str:
    wrong = (
        "a hundred times as many come as it expects"
        if variant.wrong == "few"
        else "it expects a hundred times as many as come"
    )
    table = (
        f"was analyzed yesterday; its {YESTERDAY_ROWS:,} rows have the days 0 to 399"
        if variant.yesterday
        else "is empty"
    )
    analyze = (
        "Nobody runs ANALYZE after your rows: the statistics are of yesterday."
        if variant.yesterday
        else "The judge runs ANALYZE after your rows: the statistics are fresh, and still PostgreSQL is wrong."
    )
    return (
        f"{variant.story}:\n\n```sql\n{variant.query}\n```\n\nThe table {table}:\n\n```sql\n{TABLE}\n```\n\n"
        f"Hand in a dict of two SQL texts:\n\n- `data`: INSERT from {ROWS_MIN:,} to {ROWS_MAX:,} rows for which PostgreSQL is wrong by a factor of {WRONG_MIN} or more: "
        f"{wrong}. (It never expects less than one row.) {analyze}\n"
        f"- `mend`: what it takes for the estimate to be at most {RIGHT_MAX} times off, now and after the next ANALYZE: create at most **one** object, statistics of "
        "one kind or an index, and none where none is needed. The rows stay as they are.\n\n"
        '`practice("indexes-estimates")` gives you the table; `explain(query, engine).root` has `rows_estimated` and `rows`.'
    )


def why(variant: Variant) -> str:
    return (
        f"{variant.because} An estimate is a computation on a summary, and the summary leaves out whatever nobody asked for. What would change it: at work ANALYZE "
        "samples 30,000 rows at the default target of 100, so that rare values and pairs drop out; a higher `SET STATISTICS` makes its lists longer and planning "
        "slower. Estimates of joins are not mended by extended statistics in PostgreSQL 18; MySQL's histograms are of single columns; of several it counts distinct values, for the prefixes of an index."
    )


THIRD = {
    0: "`SELECT i, 'C' || i % 100, 'T' || i % 100, ...`: a hundred countries, one city in each. Then `CREATE STATISTICS s (dependencies) ON country, city FROM shipments; ANALYZE shipments`.",
    1: "`SELECT i, 'C' || i % 20, 'T' || i % 20, 'P' || i % 20, ...`: 20 × 20 × 20 is what the planner computes, 20 is what there is. Then statistics of the kind `ndistinct` on the three columns, and ANALYZE.",
    2: "Every other row `'pigeon'`, `'sent'`, the rest `'post'`, `'cancelled'`. Then statistics of the kind `mcv` on the two columns, and ANALYZE.",
    3: "`total_cents` as `i * 100`: all are round. Then `CREATE STATISTICS s ON (total_cents % 100) FROM shipments`, and ANALYZE.",
    4: "`total_cents` as `i`, so that all are distinct and the thousands are one. Then `CREATE STATISTICS s ON (total_cents / 100000) FROM shipments`, and ANALYZE.",
    5: "`ordered_day` as `i % 365` and `shipped_day` as `i % 365 + 1`, in 40,000 rows. Then statistics of the kind `mcv` on the two, and ANALYZE.",
    6: "Insert 10,000 rows with the day 400. Then `ANALYZE shipments`, and nothing else.",
}  # fmt: skip

EXERCISE = register(
    Exercise(
        id="indexes-estimates",
        lab="02_indexes",
        number=6,
        title="Misestimated a hundredfold, then mended",
        kind="W",
        declares="value",
        points=4,
        core=True,
        minutes=9,
        answer="a dict with the keys 'data' and 'mend', both SQL as text",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: (
                "What does ANALYZE keep of each column, and from which of that does the planner work out this estimate? `SELECT * FROM pg_stats` shows all of it."
            ),
            lambda variant: variant.direction,
            lambda variant: THIRD[VARIANTS.index(variant)],
        ),
        judge=judge,
        why=why,
        misconceptions={
            "estimates-are-facts": "Estimates are facts: what the planner expects is what comes.",
            "fresh-suffices": "ANALYZE mends every misestimate.",
            "create-suffices": "What is created takes effect at once, statistics too.",
            "rows-are-known": "The planner sees new rows as soon as they are there.",
            "index-tells": "An index tells the planner how many rows will come.",
            "any-kind": "Extended statistics are one thing: any kind mends any misestimate.",
            "more-is-better": "The more statistics there are, the better.",
        },
    )
)
