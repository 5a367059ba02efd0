"""Write skew on demand: two programs that each keep a rule, and an order in which together they break it.

    the rule: two gates stay open          ana                           ben
                                           count the open gates → 3
                                                                         count the open gates → 3
                                           close gate 1
                                                                         close gate 2
                                           COMMIT
                                                                         COMMIT        one gate is open

At repeatable read each of the two has a picture of its own, taken at its first statement, and writes a row of its own. Nobody waits,
nobody is refused, and what is left is as good as no order of the two: whoever had come second would have counted two. A rule over
several rows is therefore not safe at this level, whether its rows are there (a sum, a count), are not there yet (a booking, a claim), or
stand in two tables. The learner hands in the schedule, and it is run: alone, together, in each serial order, and once more for
the graph of dependencies, which has to call it write skew.

    >>> answer = '''
    ... ana: BEGIN
    ... ana: UPDATE gate SET open = false WHERE gate_id = 1 AND (SELECT count(*) FROM gate WHERE open) > 2
    ... ben: BEGIN
    ... ben: UPDATE gate SET open = false WHERE gate_id = 2 AND (SELECT count(*) FROM gate WHERE open) > 2
    ... ana: COMMIT
    ... ben: COMMIT'''
    >>> judge(answer, VARIANTS[0]).score
    1.0

Whoever writes blindly, and whoever breaks the rule alone, is told so: then nothing is to be blamed on the level. A program is a list of
statements and cannot decide by what it has read; that it would have read something else is what tells it apart from the serial orders.

Sources: Berenson and others, A Critique of ANSI SQL Isolation Levels, 1995 (A5B); A. Adya, Weak Consistency, 1999 (G2-item, G2).
Left out: three transactions and the read-only anomaly.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from workbook.engines.running import split
from workbook.errors import Misuse
from workbook.exercises.isolation.trial import Outcome, stage
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.schedules import Event, Run, Schedule, ScheduleTimeout
from workbook.schedules.graph import Graph, dependencies
from workbook.schedules.replay import timeline
from workbook.schedules.run import shown
from workbook.schedules.transactions import transactions
from workbook.schedules.verdict import SerialVerdict
from workbook.schedules.verdict import judge as compared

LEVEL = "repeatable read"
STEPS_MAX = 24
PARTS = (
    *("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET", "SHOW", "LOCK", "PREPARE"),
    *("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "DECLARE", "FETCH", "CLOSE"),
)
"""The first words of what a program may be answered by PostgreSQL: it works on rows."""
WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE")
WRITING = re.compile(r"\b(INSERT\s+INTO|UPDATE\s+[\w\s.\"]+\bSET|DELETE\s+FROM|MERGE\s+INTO)\b", re.I)
"""What writes inside a WITH, which PostgreSQL answers as it answers a SELECT."""


@dataclass(frozen=True)
class Variant:
    """A world (`setup`), what ana and ben want there (`story`), the `rule` in words, and `broken`: what is wrong with what is
    left, as a clause, '' where the rule is kept; `where`, in which rows each looks and writes, for the hints and the why."""

    story: str
    setup: str
    rule: str
    broken: Callable[[Outcome], str]
    looks: str
    writes: str
    remedy: str
    key: str = "key"
    """What two rows of the table that is written may not have in common."""

    __hash__ = object.__hash__


def _gates(left: Outcome) -> str:
    count = sum(bool(row["open"]) for row in left.rows("gate"))
    return "" if count >= 2 else f"{count} of 3 gates is open" if count else "no gate is open"


def _accounts(left: Outcome) -> str:
    total = sum(row["euros"] for row in left.rows("account") if row["customer"] == 7)
    return "" if total >= 0 else f"the accounts of customer 7 come to {total} euros"


def _rooms(left: Outcome) -> str:
    rows = sorted(left.rows("booking"), key=lambda row: (row["room"], row["from_hour"]))
    for number, one in enumerate(rows):
        for other in rows[number + 1 :]:
            if other["room"] == one["room"] and other["from_hour"] < one["to_hour"]:
                return f"room {one['room']} is booked twice at {other['from_hour']} o'clock"
    return ""


def _claims(left: Outcome) -> str:
    total = sum(row["euros"] for row in left.rows("claim") if row["project"] == 3)
    return "" if total <= 1000 else f"{total} euros are claimed for project 3"


def _lines(left: Outcome) -> str:
    gone = {row["product_id"] for row in left.rows("product") if not row["for_sale"]}
    sold = [row for row in left.rows("line") if row["product_id"] in gone]
    return f"order {sold[0]['order_id']} holds product {sold[0]['product_id']}, which is not for sale" if sold else ""


def _bosses(left: Outcome) -> str:
    boss = {row["name"]: row["boss"] for row in left.rows("staff")}
    for name in sorted(boss):
        above = [name]
        while (next_up := boss.get(above[-1])) is not None and next_up not in above:
            above.append(next_up)
        if next_up == name:
            return f"{name} is above {name}: {' under '.join([*above, name])}"
    return ""


VARIANTS = (
    Variant(
        "A warehouse has three gates, and all are open. Ana wants to close gate 1, Ben gate 2",
        "CREATE TABLE gate (gate_id int PRIMARY KEY, open boolean NOT NULL);\nINSERT INTO gate VALUES (1, true), (2, true), (3, true)",
        "at least two gates are open",
        _gates,
        "count the open gates",
        "close a gate of their own",
        "SERIALIZABLE, or one row for the site that both lock first",
    ),
    Variant(
        "Customer 7 has 70 euros on the giro account and 80 in savings. Either may be overdrawn as long as the other one covers it. Ana draws 100 euros from the one, Ben 100 from the other",
        "CREATE TABLE account (customer int, kind text, euros int NOT NULL, PRIMARY KEY (customer, kind));\n"
        "INSERT INTO account VALUES (7, 'giro', 70), (7, 'savings', 80), (8, 'giro', 500)",
        "the accounts of a customer together are never below 0",
        _accounts,
        "add up the customer's accounts",
        "change one of the accounts, each another one",
        "SERIALIZABLE, or `SELECT ... FOR UPDATE` on all accounts of the customer before they are added up",
    ),
    Variant(
        "Room 1 is taken from 8 to 9. Ana and Ben want it later in the morning, for two hours each. The key of the table keeps two bookings from beginning at the same hour; nothing else is checked by it",
        "CREATE TABLE booking (room int, from_hour int, to_hour int NOT NULL, who text NOT NULL, PRIMARY KEY (room, from_hour), CHECK (from_hour < to_hour));\n"
        "INSERT INTO booking VALUES (1, 8, 9, 'cem')",
        "no two bookings of a room overlap (one that ends at 9 and one that begins at 9 do not)",
        _rooms,
        "look for bookings that overlap with theirs, and find none",
        "insert a booking, each with another first hour",
        "a constraint, `EXCLUDE USING gist (room WITH =, int4range(from_hour, to_hour) WITH &&)` with the extension btree_gist, or SERIALIZABLE",
        "first hour",
    ),
    Variant(
        "For project 3, 600 of 1000 euros are claimed. Ana and Ben each want to hand in a claim of 300. The lines of a project are numbered; any number that is free will do",
        "CREATE TABLE claim (project int, line_no int, euros int NOT NULL CHECK (euros > 0), PRIMARY KEY (project, line_no));\n"
        "INSERT INTO claim VALUES (3, 1, 600), (4, 1, 50)",
        "at most 1000 euros are claimed for project 3",
        _claims,
        "add up the claims of the project",
        "insert a claim, each with another line number",
        "SERIALIZABLE, or a row for the project that both lock (or keep the sum in) before they claim",
        "line number",
    ),
    Variant(
        "Product 40 is for sale, and no order holds it. Ana takes an order for it; Ben takes it off sale. Each looks first whether it may be done",
        "CREATE TABLE product (product_id int PRIMARY KEY, for_sale boolean NOT NULL);\n"
        "CREATE TABLE line (order_id int, product_id int REFERENCES product, PRIMARY KEY (order_id, product_id));\n"
        "INSERT INTO product VALUES (40, true), (41, true);\nINSERT INTO line VALUES (1, 41)",
        "no order holds a product that is not for sale",
        _lines,
        "look into the table that the other one writes",
        "write the table that the other one looks into",
        "SERIALIZABLE, or `SELECT ... FOR SHARE` on the product by whoever orders it, which an UPDATE of the product waits for",
        "order number",
    ),
    Variant(
        "Ana, Ben and Cem have no boss yet. One request makes Ben Ana's boss, another makes Ana Ben's boss",
        "CREATE TABLE staff (name text PRIMARY KEY, boss text REFERENCES staff, CHECK (boss <> name));\n"
        "INSERT INTO staff VALUES ('ana', NULL), ('ben', NULL), ('cem', NULL)",
        "nobody stands above herself or himself, whether directly or by way of others",
        _bosses,
        "look who is above the boss to be",
        "change the boss of another person",
        "SERIALIZABLE, or an advisory lock for the whole tree that every such change takes first",
    ),
)  # fmt: skip


def accepts(answer: Any) -> str:
    if answer is not None and not isinstance(answer, str):
        return f"The answer is a schedule as text, in quotes; this is {type(answer).__name__}."
    if answer is not None and not answer.strip():
        return "The answer is empty: write the steps of ana and ben between the quotes."
    return ""


def judge(answer: str | None, variant: Variant) -> Judgement:
    if answer is None:
        return Judgement(0.0, (_none_claimed(variant),))
    schedule = read(answer, variant)
    if isinstance(schedule, Finding):
        return Judgement(0.0, (schedule,))
    try:
        run = stage().run(schedule)
        wrong = other_level(schedule) or not_through(run, variant) or breaks_alone(schedule, variant)
        if wrong:
            return Judgement(0.0, (wrong,), (run.picture,))
        verdict, graph = compared(run, stage()), dependencies(run, stage())
        early = looked_first(run, verdict)
    except ScheduleTimeout as wedged:
        return Judgement(0.0, (_wedged(wedged),), (wedged.run.picture,) if wedged.run else ())
    findings = [
        Finding(True, "Alone, each of the two keeps the rule. Together, both commit."),
        rule_broken(run, verdict, variant),
        no_order(verdict),
        early,
        named(run, graph),
    ]
    failed = next((at for at, finding in enumerate(findings) if not finding.ok), len(findings) - 1)
    return Judgement(float(findings[failed].ok), tuple(findings[: failed + 1]), (timeline(run, graph),))


def _none_claimed(variant: Variant) -> Finding:
    return Finding(
        ok=False,
        seen="You say that there is no such schedule: that repeatable read keeps this rule.",
        expected=f"A schedule of two sessions that each keep it alone, and after which it does not hold that {variant.rule}.",
        question="Repeatable read refuses the second writer of a row. Do ana and ben have to write the same row?",
        misconception="suffices",
    )


def read(answer: str, variant: Variant) -> Schedule | Finding:
    """The schedule of the answer in the variant's world at repeatable read, or what is wrong with the text."""

    def refused(seen: str, question: str) -> Finding:
        expected = "Steps of two sessions in the order in which they are sent, a line each: `ana: BEGIN`, `ben: SELECT ...`, `ana: COMMIT`."
        return Finding(False, seen, expected, question)

    try:
        given = Schedule.read(inspect.cleandoc(answer))
    except Misuse as mistake:
        return refused(
            f"The text is no schedule: {mistake.what}",
            f"{mistake.next[:1].upper()}{mistake.next[1:]}: which line is not written so?",
        )
    own_world = given.setup and statements(given.setup) != statements(variant.setup)
    if own_world or given.teardown or {given.level, *given.levels.values()} - {"", LEVEL}:
        return refused(
            "The text brings a setup, a teardown or a level of its own.",
            "Which of its lines are steps, and which are the world that is given?",
        )
    if len(given.sessions) != 2:
        count = len(given.sessions)
        return refused(
            f"{count} session{'s have' if count > 1 else ' has'} steps: {', '.join(given.sessions)}.",
            "Whose step is each of the lines?",
        )
    if len(given.steps) > STEPS_MAX:
        return refused(
            f"The schedule has {len(given.steps)} steps, more than {STEPS_MAX}.", "Which of them does it need?"
        )
    if many := [step for step in given.steps if len(split(step.sql)) != 1]:
        return refused(
            f"The step {many[0].name} holds {len(split(many[0].sql))} statements.",
            "Which of them may another session come between?",
        )
    return replace(given, title="", setup=variant.setup, level=LEVEL, levels={})


def statements(setup: str) -> list[str]:
    """The statements of a setup, however they are laid out."""
    return [" ".join(one.split()) for one in split(setup)]


def not_through(run: Run, variant: Variant) -> Finding | None:
    """The finding on a run in which not both sessions commit one transaction each, or somebody does more than work on rows."""
    for event in run.failures:
        return _failure(run, event, variant)
    for event in run.events:
        word = event.answer.split()[0].upper() if event.answer else ""
        if event.kind == "done" and word and word not in PARTS:
            return Finding(
                False, f"{run.step(event).name} does more than work on rows: PostgreSQL answers `{event.answer}`.",
                "Programs that read and write rows of the tables that are there.", "Which statement of a running shop would that be?",
            )  # fmt: skip
    done = transactions(run)
    for name in run.schedule.sessions:
        own = [one for one in done if one.session == name]
        if len(own) != 1 or not own[0].committed:
            outcome = (
                f"{len(own)} transactions"
                if len(own) > 1
                else f"a transaction that is {own[0].outcome}"
                if own
                else "no transaction"
            )
            return Finding(
                False,
                f"{name} has {outcome}.",
                "One transaction each, from BEGIN to COMMIT.",
                "Between which of its steps does a session's snapshot hold?",
                "no-begin",
            )
    return None


def _failure(run: Run, event: Event, variant: Variant) -> Finding:
    """The finding on a step that PostgreSQL refused."""
    step = run.step(event)
    seen = f"{step.session}'s {step.sql.split()[0].upper()} ({step.name}) is refused: {event.sqlstate} {event.message}."
    expected = "Both sessions commit, and nobody gets an error."
    keyed = "REFERENCES" in run.schedule.setup and any(
        one.sql.split()[0].upper() == "DELETE" for one in run.schedule.steps
    )
    if event.sqlstate in ("40001", "40P01") and keyed:
        question = "Which row does a foreign key lock for the one who refers to it, and who deletes that row here?"
        belief = ""
    elif event.sqlstate == "40001":
        question, belief = (
            "Which row do both of them write, and which other row could one of them write that the rule counts as well?",
            "same-row",
        )
    elif event.sqlstate == "40P01":
        question, belief = "Who waits here for whom, and which of these rows need both of them touch?", "same-row"
    elif event.sqlstate == "23505" and _collided(run):
        question, belief = f"Both took the same {variant.key}. May they take different ones?", ""
    elif event.sqlstate.startswith("23"):
        question, belief = "What does the table check by itself, and what does it not know of the rule?", "constraint"
    elif event.sqlstate == "25P02":
        question, belief = "Which earlier step of this session failed?", ""
    else:
        question, belief = "Which word of it does PostgreSQL read otherwise than you do?", ""
    return Finding(False, seen, expected, question, belief)


def _collided(run: Run) -> bool:
    """Whether no session runs into a key by itself: the two have taken the same one."""
    sessions = [[step for step in run.schedule.steps if step.session == name] for name in run.schedule.sessions]
    alone = [stage().run(replace(run.schedule, steps=tuple(steps))) for steps in sessions]
    return not any(event.sqlstate == "23505" for one in alone for event in one.failures)


def other_level(schedule: Schedule) -> Finding | None:
    """The finding on a session that runs at another level; asked of the sessions themselves, after each step."""
    run = stage().run(schedule, probe=lambda step: (None, "SHOW transaction_isolation"))
    for event in run.events:
        after = event.seen[1] if event.kind == "done" and event.seen else None
        if after and after[0][0] != LEVEL:
            return Finding(
                False, f"After {run.step(event).name}, {run.step(event).session} is at {after[0][0]}.", f"Both sessions at {LEVEL}, which is what they get without a word.",
                "What would be shown about repeatable read by that?",
            )  # fmt: skip
    return None


def breaks_alone(schedule: Schedule, variant: Variant) -> Finding | None:
    """The finding on a session that breaks the rule, or fails, where nobody else is there."""
    for name in schedule.sessions:
        run = stage().run(replace(schedule, steps=tuple(step for step in schedule.steps if step.session == name)))
        if clause := broken(run, variant):
            return Finding(
                False,
                f"When {name} runs alone, {clause}.",
                f"Alone, each of the two leaves a world in which {variant.rule}.",
                f"What may {name} do and still keep the rule?",
                "alone",
            )
    return None


def broken(run: Run, variant: Variant) -> str:
    """What is wrong with what a run has left, '' where the rule is kept."""
    return variant.broken(Outcome("", run))


def rule_broken(run: Run, verdict: SerialVerdict, variant: Variant) -> Finding:
    if clause := broken(run, variant):
        return Finding(True, f"In the end {clause}.")
    left = "; ".join(f"{table}: {shown(rows)}" for table, rows in run.final.items())
    as_good = f" The run is {verdict.text}." if verdict.serializable else ""
    return Finding(
        ok=False,
        seen=f"In the end the rule is kept. Left is {left}.{as_good}",
        expected=f"Something else than: {variant.rule}.",
        question="Which of the two looks after the other one has committed, and what does it do about what it sees?",
        misconception="overlap",
    )


def no_order(verdict: SerialVerdict) -> Finding:
    if not verdict.serializable:
        difference = verdict.differences[0].text if verdict.differences else ""
        return Finding(
            True,
            f"It is equivalent to no order. The nearest is {' then '.join(verdict.nearest)}, in which {difference}.",
        )
    return Finding(
        ok=False,
        seen=f"The rule is broken, but the run is {verdict.text}: one after the other they break it, too, and would have seen the same.",
        expected="A run that is equivalent to no order: each of the two looks whether the rule allows it, at rows that the other one writes.",
        question="In which of its steps would the one that comes second see that it may not?",
        misconception="blind",
    )


def late_looks(run: Run) -> dict[str, list[int]]:
    """Each session to its steps that only read, and stand behind its first write."""
    wrote: set[str] = set()
    late: dict[str, list[int]] = {}
    for index, step in enumerate(run.schedule.steps):
        event = run.end(index)
        word = event.answer.split()[0].upper() if event is not None and event.answer else ""
        if word in WRITES or (word == "SELECT" and WRITING.search(step.sql)):
            wrote.add(step.session)
        elif word == "SELECT" and step.session in wrote:
            late.setdefault(step.session, []).append(index)
    return late


def looked_first(run: Run, verdict: SerialVerdict) -> Finding:
    """Whether the run is equivalent to no order by what each has seen before it wrote, or while it did: what is looked at
    afterwards is left out, and the rest is compared once more."""
    found = Finding(True, "Each of the two looks before it writes.")
    late = late_looks(run)
    left_out = {index for places in late.values() for index in places}
    if verdict.serializable or not late:
        return found
    steps = tuple(step for index, step in enumerate(run.schedule.steps) if index not in left_out)
    if not compared(stage().run(replace(run.schedule, steps=steps)), stage()).serializable:
        return found
    who = " and ".join(sorted(late))
    return Finding(
        ok=False,
        seen=f"{who} {'looks' if len(late) == 1 else 'look'} only after the write ({run.schedule.steps[min(left_out)].sql}). Without these reads, the run is as good as one after the other.",
        expected="Each looks first whether the rule allows what it wants, and then writes.",
        question="What can a program still decide by a read that comes behind its write?",
        misconception="look-later",
    )


def named(run: Run, graph: Graph) -> Finding:
    if not graph.traced:
        again = stage().run(run.schedule)
        if [event.rows for event in again.events] != [event.rows for event in run.events]:
            return Finding(
                False,
                "What the schedule reads differs from run to run, so that no serial order can be compared with it.",
                "Reads that depend on the rows of the tables alone.",
                "Which of its statements asks for a clock, for chance or for a name of the session?",
            )
        return Finding(
            True,
            f"The graph cannot follow every statement ({graph.words}). Of two transactions at {LEVEL}, nothing else than write skew is equivalent to no order.",
        )
    if graph.anomaly and graph.anomaly.title.startswith("write skew"):
        return Finding(True, f"The graph calls it {graph.name}: {graph.words}.")
    return Finding(
        ok=False,
        seen=f"The graph calls it {graph.name}: {graph.words}."
        if graph.name
        else "The graph of dependencies holds no cycle.",
        expected="Write skew: each reads what the other one writes.",
        question="Which row does each of the two read before the other one changes it?",
        misconception="blind",
    )


def _wedged(wedged: ScheduleTimeout) -> Finding:
    return Finding(
        False,
        wedged.what,
        "Both sessions commit, and nobody waits for ever.",
        "Who holds what the other one waits for, and when is it given back?",
        "same-row",
    )


def brief(variant: Variant) -> str:
    return (
        f"{variant.story}.\n\n```sql\n{variant.setup};\n```\n\n**The rule:** {variant.rule}.\n\n"
        "The programs of both look first whether the rule allows what they want, and then do it, in one transaction at **repeatable read**. They may also ask for other values, or for something else. "
        "Hand in what each sends and in which order, as the text of a "
        "schedule with the two sessions `ana` and `ben`, a line a step (`ana: BEGIN`), so that\n\n"
        "- alone, each of them keeps the rule;\n- each looks before it writes, or in the statement that writes;\n- together both commit, without an error, and the rule is broken;\n"
        "- neither `ana` then `ben` nor `ben` then `ana` would have read and left the same: write skew.\n\n"
        "Values may be written out (`UPDATE ... SET euros = 20`), as a program that has read sends them. If you hold that there is no such schedule, hand in `None`. "
        'To try it: `run(Schedule.read(...), level="repeatable read")` with the world above under `setup:`; such a `Schedule` may be handed in, too.'
    )


EXERCISE = register(
    Exercise(
        id="isolation-skew",
        lab="03_isolation",
        number=2,
        title="Write skew on demand",
        kind="W",
        declares="value",
        points=3,
        core=True,
        minutes=7,
        answer="a schedule as text, a step a line: `ana: BEGIN`",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "Repeatable read notices when two write the same row. What does it not notice about what was only read?",
            lambda variant: (
                f"Let both {variant.looks}, before either of them has committed; then let them {variant.writes}. The snapshot is taken at the first statement, so it is the looking that has to come early."
            ),
            lambda variant: (
                f"`ana: BEGIN`, `ben: BEGIN`, then a SELECT of each in which they {variant.looks}; then one statement of each in which they {variant.writes}; then the two COMMITs."
            ),
        ),
        judge=judge,
        why=lambda variant: (
            f"Each saw the world before the other one, and wrote what nobody else wrote: no row lock and no comparison of versions has anything to say. What would have kept the rule: {variant.remedy}. "
            "What would change it: SQLite lets one transaction write at a time, and refuses the second writer; on DuckDB, and on MariaDB at repeatable read, it is the same as here."
        ),
        misconceptions={
            "suffices": "Repeatable read suffices: who sees one world throughout is as good as alone.",
            "same-row": "Two transactions get in each other's way where they write the same row.",
            "constraint": "What breaks a rule runs into a constraint.",
            "overlap": "It is enough that two transactions overlap, whoever looks when.",
            "look-later": "It is enough to check a rule in the same transaction, before or after the write.",
            "blind": "A rule that is broken after two transactions was broken by their running at the same time.",
            "alone": "What counts is that the rule is broken in the end.",
            "no-begin": "The statements of a session belong together by themselves.",
        },
    )
)  # fmt: skip
