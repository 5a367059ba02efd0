"""A report that misses a commit, then sees it: two orders of the same steps that differ in one exchange of neighbours.

    sees      report BEGIN · till BEGIN · till INSERT · till COMMIT · report SELECT 40 + 2 · report sum ...   157
    misses    report BEGIN · till BEGIN · till INSERT · report SELECT 40 + 2 · till COMMIT · report sum ...   150
                                                        └────── exchanged ──────┘

Whoever finds such a pair has found the step at which the snapshot is taken: what was committed just before it is in the report, what was committed
just after it is not. It is never BEGIN. Which step it is depends on the level, on the kind of the statement, and on the engine; the variants have it at
three different places.

    >>> exchanged("a b b".split(), "b a b".split()), exchanged("a b b".split(), "b b a".split())
    ((0, 1), None)

Source: PostgreSQL 18's manual, "Transaction Isolation", "DECLARE", "LOCK"; SQLite's "Isolation In SQLite"; DuckDB's "Transaction Management". Left out: a
snapshot that is taken over from another session (SET TRANSACTION SNAPSHOT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.draw.picture import Picture
from workbook.draw.timeline import timeline_picture
from workbook.errors import Misuse
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.schedules import Program, Run, Step
from workbook.schedules.run import ENGINES
from workbook.schedules.stage import stage_of

SETUP = """CREATE TABLE payments (payment_id int PRIMARY KEY, euros int NOT NULL);
INSERT INTO payments VALUES (1, 100), (2, 50)"""
TILL = ("BEGIN", "INSERT INTO payments VALUES (3, 7)", "COMMIT")
SUM = "SELECT sum(euros) FROM payments"
KEYS = ("sees", "misses")
WITHOUT, WITH = 150, 157


@dataclass(frozen=True)
class Variant:
    """Where the report runs, and what it sends between BEGIN and COMMIT: `reads`, of which the last gives the total. `early` and `late` are the
    beliefs of somebody who has the snapshot at a step before, or behind, the right one."""

    story: str
    engine: str
    level: str
    reads: tuple[str, str, str]
    early: str
    late: str
    because: str


VARIANTS = (
    Variant(
        "The report prints its time zone and the time at its head", "postgresql", "repeatable read",
        ("SHOW timezone", "SELECT 40 + 2", SUM), "any-statement", "at-the-table",
        "The first query takes the snapshot, and `SELECT 40 + 2` is a query, although it looks at no table. `SHOW` is none.",
    ),
    Variant(
        "The report asks for more memory, and keeps the table from being altered", "postgresql", "repeatable read",
        ("SET LOCAL work_mem = '8MB'", "LOCK TABLE payments IN ACCESS SHARE MODE", SUM), "any-statement", "at-the-end",
        "`SET` and `LOCK TABLE` read nothing and need no snapshot. That is why a lock taken first makes sure that what was committed until then is seen.",
    ),
    Variant(
        "The connection pool of the report tests each connection with a SELECT, inside the transaction", "postgresql", "serializable",
        ("SELECT 1", "SHOW server_version", SUM), "any-statement", "at-the-table",
        "`SELECT 1` is a query, and takes the snapshot of all that follow. A pool that tests connections this way decides what the report sees.",
    ),
    Variant(
        "The report counts, then adds up", "postgresql", "read committed",
        ("SELECT count(*) FROM payments", "SELECT 1", SUM), "one-snapshot", "at-the-end",
        "At read committed each statement takes a snapshot of its own. The count may be of other rows than the sum.",
    ),
    Variant(
        "The report fetches its total from a cursor", "postgresql", "read committed",
        ("SELECT count(*) FROM payments", f"DECLARE total CURSOR FOR {SUM}", "FETCH total"), "one-snapshot", "at-the-fetch",
        "A cursor keeps the snapshot of its DECLARE, and works out its rows only when they are fetched: what was committed in between is not among them, also at read committed.",
    ),
    Variant(
        "The report is moved to SQLite, with a write-ahead log", "sqlite", "deferred",
        ("SELECT 1", "SELECT date('2030-01-01')", SUM), "any-statement", "at-the-end",
        "SQLite begins to read when a statement looks at the database's pages. `SELECT 1` looks at none, unlike in PostgreSQL.",
    ),
    Variant(
        "The report is moved to DuckDB, and prints the engine's version at its head", "duckdb", "snapshot",
        ("SELECT version()", "SELECT 1", SUM), "any-statement", "at-the-table",
        "DuckDB takes its snapshot of a database when a statement first needs something of it, be it the name of a function: `SELECT version()` does, a `SELECT 1` in its place would not.",
    ),
)  # fmt: skip


def program(variant: Variant) -> Program:
    """The report and the till, each with its steps."""
    texts = {"report": ("BEGIN", *variant.reads, "COMMIT"), "till": TILL}
    sessions = {name: tuple(Step(name, sql) for sql in every) for name, every in texts.items()}
    return Program("The report and the till", SETUP, sessions, variant.level)


@cache
def ran(variant: Variant, order: tuple[str, ...]) -> Run:
    """What becomes of an order. Raises `Misuse` where it is none of the program."""
    return stage_of(variant.engine).run(program(variant).order(order))


def total(run: Run) -> int | None:
    """What the report gives as its total; None where the step failed."""
    event = run.end("report.4")
    return int(event.rows[0][0]) if event is not None and event.rows else None


@cache
def place(variant: Variant) -> int:
    """The step of the report that takes the snapshot, counted from 0 (BEGIN): the first after which a commit is missed."""
    for before in range(1, 5):
        order = ["report"] * before + ["till"] * 3 + ["report"] * (5 - before)
        if total(ran(variant, tuple(order))) == WITHOUT:
            return before - 1
    raise AssertionError("the report sees every commit")


def exchanged(one: Sequence[str], other: Sequence[str]) -> tuple[int, int] | None:
    """The two neighbouring places in which two orders differ by an exchange; None where they differ otherwise."""
    differ = [at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]
    if len(differ) == 2 and differ[1] == differ[0] + 1:
        return differ[0], differ[1]
    return None


def accepts(answer: Any) -> str:
    if not isinstance(answer, dict) or set(answer) != set(KEYS):
        return "The answer is a dict with the keys 'sees' and 'misses'."
    for key in KEYS:
        order = answer[key]
        names = order.split() if isinstance(order, str) else order
        if type(names) not in (list, tuple) or not all(type(name) is str for name in names):
            return f"{key!r} is an order, a text such as 'report till till ...'; this is {type(order).__name__}."
    return ""


def whole(order: str | Sequence[str]) -> tuple[str, ...]:
    """An order as names; whose BEGIN has no turn of its own begins at the start, where it takes no snapshot.

    >>> whole("till report till report report report report")
    ('till', 'till', 'report', 'till', 'report', 'report', 'report', 'report')
    """
    names = tuple(order.split() if isinstance(order, str) else order)
    steps = {"report": 5, "till": len(TILL)}
    return tuple(name for name, count in steps.items() if names.count(name) == count - 1) + names


def judge(answer: dict[str, Any], variant: Variant) -> Judgement:
    orders = {key: whole(answer[key]) for key in KEYS}
    for key, order in orders.items():
        try:
            program(variant).order(order)
        except Misuse as refusal:
            return Judgement(0.0, (no_order(key, refusal),))
    at = exchanged(*orders.values())
    totals = tuple(total(ran(variant, orders[key])) for key in KEYS)
    swapped = totals == (WITHOUT, WITH)
    if swapped or orders["sees"] == orders["misses"]:
        beliefs = dict.fromkeys(KEYS, "")
    else:
        beliefs = (
            dict.fromkeys(KEYS, believed(orders["sees"], at, variant)) if at else {"sees": "", "misses": "at-begin"}
        )
    findings = [came(key, ran(variant, order), key == "sees", variant, beliefs[key]) for key, order in orders.items()]
    findings.append(apart(orders["sees"], orders["misses"], at, variant))
    if swapped:
        findings.insert(0, SWAPPED)
    wrong = next((key for key, seen, due in zip(KEYS, totals, (WITH, WITHOUT), strict=True) if seen != due), "")
    pictures = (drawn(ran(variant, orders[wrong])),) if wrong else ()
    return Judgement(float(all(finding.ok for finding in findings)), tuple(findings), pictures)


SWAPPED = Finding(
    False, "You have exchanged 'sees' and 'misses': the order called 'sees' misses the payment, the one called 'misses' sees it.",
    "Under 'sees' the order in which the report has the payment.", "Where stands the till's COMMIT in the order in which the report has it?",
)  # fmt: skip


def no_order(key: str, refusal: Misuse) -> Finding:
    return Finding(
        False, f"{key!r} is no order of the two sessions' steps: {refusal.what}", "`report` five times and `till` three times.",
        "How many steps has each session, with its BEGIN and its COMMIT?",
    )  # fmt: skip


def believed(sees: Sequence[str], at: tuple[int, int], variant: Variant) -> str:
    """The belief of somebody who takes the exchanged step of the report for the one that takes the snapshot."""
    first, second = at
    till = sees[: first + 1].count("till") if sees[first] == "till" else sees[: second + 1].count("till")
    if till != 3:
        return "at-insert"
    step = sees[: second + 1].count("report") - 1
    if step in (0, 4):
        return "at-begin" if step == 0 else "at-the-end"
    return variant.early if step < place(variant) else variant.late if step > place(variant) else ""


def came(key: str, run: Run, wanted: bool, variant: Variant, belief: str) -> Finding:
    """Whether the report sees the payment, as it is to."""
    seen = total(run)
    names = [step.session for step in run.schedule.steps]
    commit = max(at for at, name in enumerate(names) if name == "till")
    before = names[:commit].count("report")
    steps = ("BEGIN", *variant.reads, "COMMIT")
    where = f"behind the report's `{steps[before - 1]}`" if before else "before the report's BEGIN"
    told = f"In {key!r} the till's COMMIT stands {where}, and the report's total is {seen}: the payment of 7 is {'in it' if seen == WITH else 'not in it'}."
    if seen == (WITH if wanted else WITHOUT):
        return Finding(True, told)
    if wanted:
        question = "Which of the report's statements before that COMMIT has taken the picture already?"
    else:
        question = "Which of the report's statements before that COMMIT do you think takes the picture, and what does it have to look at?"
    expected = f"A total of {WITH if wanted else WITHOUT}."
    return Finding(False, told, expected, question, belief)


def apart(sees: Sequence[str], misses: Sequence[str], at: tuple[int, int] | None, variant: Variant) -> Finding:
    """Whether the two orders differ in one exchange of neighbours; the steps are called by what they send."""
    expected = "Two orders that are the same but for two steps, one behind the other, that have changed places."
    if at is not None:
        texts = {"report": ("BEGIN", *variant.reads, "COMMIT"), "till": TILL}
        pair = [f"{sees[one]}'s `{texts[sees[one]][sees[:one].count(sees[one])]}`" for one in at]
        return Finding(True, f"The two orders differ in one exchange, of {pair[0]} and {pair[1]}.")
    if sees == misses:
        return Finding(
            False, "The two orders are the same.", expected, "Which step do you move, and past which other one?"
        )
    return Finding(
        False, "The two orders differ by more than one exchange of neighbouring steps.", expected,
        "Move the till's COMMIT one step further, and no other: between which two places does the total change?", "far-apart",
    )  # fmt: skip


def drawn(run: Run) -> Picture:
    """The timeline, without the marks of the snapshots: they are what is asked for."""
    return timeline_picture(run.data() | {"snapshots": []}, str(run))


def brief(variant: Variant) -> str:
    steps = ("BEGIN", *variant.reads, "COMMIT")
    rows = "\n".join(
        f"| {number} | `{step}` | {f'`{TILL[number - 1]}`' if number <= len(TILL) else ''} |"
        for number, step in enumerate(steps, 1)
    )
    name = ENGINES[variant.engine]
    level = f", at {variant.level}" if variant.engine == "postgresql" else ""
    return (
        f"{variant.story}. {name}{level}; the till takes 7 euros, to the 150 that are there:\n\n| step | report | till |\n|---|---|---|\n{rows}\n\n"
        f"The report's total, its fourth step, is {WITH} in some orders of these steps and {WITHOUT} in others. Find two orders that are the same but for **one exchange of two neighbouring steps**: in "
        "the first the report sees the payment, in the second it misses it. Hand in a dict with the keys `'sees'` and `'misses'`, each an order as the names of the sessions that take their turns, BEGIN and COMMIT among them, "
        "such as `'report till till till report report report report'`.\n\nBoth are run. To run an order yourself:\n\n"
        f"```python\n{to_copy(variant)}\n```"
    )


def to_copy(variant: Variant) -> str:
    """The program as Python, and a line that runs one of its orders."""
    level = f", level={variant.level!r}" if variant.engine == "postgresql" else ""
    return (
        f'setup = """{SETUP}"""\nreport = {["BEGIN", *variant.reads, "COMMIT"]!r}\ntill = {list(TILL)!r}\n'
        f'program = Program("The report and the till", setup, {{"report": report, "till": till}}{level})\n'
        f'run(program.order("report till till till report report report report".split()), "{variant.engine}")'
    )


def why(variant: Variant) -> str:
    steps = ("BEGIN", *variant.reads, "COMMIT")
    return (
        f"The picture is taken at `{steps[place(variant)]}`. {variant.because} What was committed before that step is seen, also when the report had begun long before; what is committed behind it is missed, "
        "also when nobody has looked at the table yet. BEGIN takes none, unless it says so (MySQL's START TRANSACTION WITH CONSISTENT SNAPSHOT). What would change it: another level, another first statement, another engine."
    )


EXERCISE = register(
    Exercise(
        id="isolation-snapshot",
        lab="03_isolation",
        number=9,
        title="Missed, then seen",
        kind="W",
        declares="value",
        points=3,
        core=False,
        minutes=7,
        answer="a dict with the keys 'sees' and 'misses', each an order such as 'report till till ...'",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "What the report sees is decided at one moment. Is it a moment of the transaction, or of each statement, at this level?",
            lambda variant: (
                "Others see the till's row from its COMMIT on. Begin with all of the till before all of the report, and move its COMMIT behind the report's steps one by one. "
                "Which of those steps asks for something that depends on what others have committed, or could?"
            ),
            lambda variant: (
                f"{variant.because} In 'sees' the till's COMMIT stands right before that step, in 'misses' right behind it; where the till's BEGIN and INSERT stand does not matter, as long as they come before."
            ),
        ),
        judge=judge,
        why=why,
        misconceptions={
            "at-begin": "The snapshot is taken at BEGIN.",
            "at-insert": "A row is there for others from its INSERT on.",
            "any-statement": "The first statement takes the snapshot, whatever it is.",
            "at-the-table": "The snapshot is taken when the table is first looked at.",
            "at-the-end": "What a report shows is what was committed when it ends.",
            "one-snapshot": "A transaction has one snapshot, whatever its level.",
            "at-the-fetch": "A cursor sees what is there when its rows are fetched.",
            "far-apart": "Two orders that give different results show where the difference comes from.",
        },
    )
)  # fmt: skip
