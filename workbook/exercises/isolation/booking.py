"""A double booking, and what keeps the second one out: every order of two customers who want the same thing, or not.

    ann:  SELECT ... FOR UPDATE   no row: nothing is locked
    ben:  SELECT ... FOR UPDATE   no row: nothing is locked
    ann:  INSERT ... WHERE NOT EXISTS (...)    nobody is there yet
    ben:  INSERT ... WHERE NOT EXISTS (...)    ann's is not committed: nobody is there yet
    ann, ben: COMMIT              two bookings of one hour

A lock is put on rows that are there. What is not there yet is kept out by a rule of the table (UNIQUE, EXCLUDE), which looks at rows that
are not committed, too; or by a lock on something that both meet: a row of the parent's, or an advisory lock with the same number. The judge
runs the answer in scenes of two customers, over every order: one thing is wanted twice, and one gets it; two things
are wanted, and nobody waits. Then many different bookings are made one by one (`grid.py`): no two may count as one.

    >>> [variant.wanted for variant in VARIANTS]
    ['hour', 'day', 'span', 'span', 'seat', 'hour']
    >>> at = VARIANTS[0]
    >>> print(judge({"ddl": at.ddl, "booking": at.booking}, at).findings[0].seen)
    One hour, wanted twice: in each of 6 orders exactly one gets it, and the other is told so.

Sources: PostgreSQL 18's manual, "Explicit Locking", "Exclusion Constraints", "Advisory Locks", "Serialization Failure Handling".
Left out: three customers at once; `btree_gist`, which not every server has (an equality is written as a range of one
value); and what happens inside one statement, between its snapshot and its locks: here a statement runs from its beginning to its end, or waits.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import psycopg

from workbook.engines import Recipe, database
from workbook.errors import SqlError, SqlTimeout
from workbook.exercises.isolation.bookings import VARIANTS, Scene, Values, Variant
from workbook.exercises.isolation.grid import one_by_one, shared
from workbook.exercises.isolation.trial import (
    Outcome,
    Rule,
    Trial,
    as_level,
    as_sql,
    control,
    ends,
    kept,
    statements,
    tried,
    understood,
    world,
)
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register
from workbook.schedules import Program

REFUSALS = ("23505", "23P01", "23514", "P0001")
LEVELS = ("read committed", "repeatable read", "serializable")
STATEMENTS_MAX, TRIES = 3, 3
LOCKING = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE|KEY\s+SHARE)\b", re.I)


def recipe(variant: Variant) -> Recipe:
    """The tables of the variant, as each scene begins with them."""
    return Recipe(variant.story, variant.setup)


@cache
def given(variant: Variant) -> list[dict[str, Any]]:
    """The bookings that are there before anybody comes."""
    return tried(world(variant.setup, {"nobody": ["SELECT 1"]})).outcomes[0].rows("booking")


def asked(variant: Variant, scene: Scene) -> dict[str, dict[str, Any]]:
    """Each customer to the row that a booking of theirs leaves, made by the shipped one with nobody about."""
    return dict(_asked(variant, variant.played.index(scene)))


@cache
def _asked(variant: Variant, place: int) -> list[tuple[str, dict[str, Any]]]:
    scene, rows = variant.played[place], []
    for who, values in customers(scene).items():
        program = world(variant.setup, {who: statements(variant.shipped, values)})
        rows += [(who, row) for row in tried(program).outcomes[0].rows("booking") if row["who"] == who]
    return rows


def customers(scene: Scene) -> dict[str, Values]:
    """The customers of a scene, and what each one's statements are given."""
    return {who: {**values, "who": who} for who, values in zip(("ann", "ben"), scene.wants, strict=False)}


def accepts(answer: Any) -> str:
    if not isinstance(answer, dict) or "booking" not in answer or set(answer) - {"ddl", "booking", "level"}:
        return "The answer is a dict with the keys 'booking' and, where they are needed, 'ddl' and 'level'."
    for key in set(answer) - {"level"}:
        if as_sql(answer[key]) is None:
            return f"{key!r} is one text, its statements separated by `;`; this is {type(answer[key]).__name__}."
    if as_level(answer.get("level", LEVELS[0])) not in LEVELS:
        return f"'level' is one of {', '.join(LEVELS)}; this is {answer['level']!r}."
    return (
        ""
        if (as_sql(answer["booking"]) or "").strip()
        else "'booking' is empty: write what a customer's booking sends."
    )


def judge(answer: dict[str, Any], variant: Variant) -> Judgement:
    level = as_level(answer.get("level", LEVELS[0]))
    sent = {key: as_sql(answer.get(key, "")) or "" for key in ("booking", "ddl")}
    if wrong := unfit(sent, variant):
        return Judgement(0.0, (wrong,))
    findings = []
    for scene in variant.scenes:
        trials = []
        for one in scene.each:
            try:
                trials.append(
                    tried(made(variant, one, sent), level, tries=TRIES if variant.loop else 1, limit=one.orders)
                )
            except SqlTimeout:
                raise
            except SqlError as refusal:
                return Judgement(0.0, (refused(refusal, variant, sent["ddl"]),))
            seen, pictures = kept(trials[-1], *rules(variant, one, level))
            if pictures:
                return Judgement(0.0, (seen[-1],), tuple(pictures))
        findings.append(Finding(True, summary(scene, trials)))
    try:
        last, pictures = apart(variant, sent, level)
    except SqlTimeout:
        raise
    except SqlError as refusal:
        return Judgement(0.0, (refused(refusal, variant, sent["ddl"]),))
    return Judgement(1.0, (*findings, last)) if last.ok else Judgement(0.0, (last,), tuple(pictures))


def apart(variant: Variant, sent: Mapping[str, str], level: str) -> tuple[Finding, list[Any]]:
    """Whether two different bookings of the grid count as one, to a rule or by the numbers that are locked."""
    made_all = one_by_one(
        recipe(variant), sent["ddl"], level, [statements(sent["booking"], one) for one in guests(variant)]
    )
    count = len(made_all.locks)
    for values, row in zip(variant.grid, free(variant)[:count], strict=False):
        if not any(holds(other, row) for other in made_all.rows):
            return Finding(
                False, f"{count} different bookings were made one after the other, all of what is free. {_told(values)}: there is no row.",
                "Each of them gets its row.", "Which of the other bookings does your rule take for the same?", "wider-is-safer",
            ), []  # fmt: skip
    if common := shared(made_all.locks):
        one, other = (variant.grid[place] for place in common)
        scene = Scene("apart", f"{_told(one)}, and {_told(other)}", (one, other))
        trial = tried(made(variant, scene, sent), level, tries=TRIES if variant.loop else 1)
        found, pictures = kept(trial, no_waiting(scene, "Which number does each of the two lock?", "same-number"))
        if pictures:
            return found[0], pictures
    return Finding(
        True, f"{count} different bookings, one after the other: each gets its row, and no two lock the same."
    ), []


def guests(variant: Variant) -> list[Values]:
    """The values of the grid's bookings, each with a name of its own."""
    return [{**values, "who": f"guest {number}"} for number, values in enumerate(variant.grid, 1)]


@cache
def free(variant: Variant) -> list[dict[str, Any]]:
    """The rows of the grid's bookings, as the shipped one makes them with nobody about."""
    rows = one_by_one(
        recipe(variant), "", LEVELS[0], [statements(variant.shipped, one) for one in guests(variant)]
    ).rows
    return [next(row for row in rows if row["who"] == one["who"]) for one in guests(variant)]


def _told(values: Values) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def made(variant: Variant, scene: Scene, sent: Mapping[str, str]) -> Program:
    """The program of a scene: each customer sends the booking; in the scene `back` the first one takes it back."""
    sessions = {who: statements(sent["booking"], values) for who, values in customers(scene).items()}
    if scene.kind == "back":
        sessions["ann"] = ("BEGIN", *sessions["ann"], "ROLLBACK")
    return world(f"{variant.setup}\n{sent['ddl']}", sessions, title=scene.told)


def refused(refusal: SqlError, variant: Variant, ddl: str) -> Finding:
    """What PostgreSQL says of the `ddl`, with the rows that it names."""
    said = refusal.what.replace("The setup is refused", "`ddl` is refused", 1)
    if "extension" in refusal.what:
        return Finding(
            False, said, "Changes that this server can make: it has no extensions.",
            "Which types and operators does PostgreSQL bring along, and can the rule be said with them?",
        )  # fmt: skip
    if detail := detail_of(variant, ddl):
        question = "Look at these rows in the setup. May they stand beside one another, by the rule of the task?"
        return Finding(
            False, f"{said} PostgreSQL adds: {detail}", "Changes that fit the rows which are there.", question
        )
    return Finding(
        False, said, "Changes that fit the tables which are there.",
        "Run the setup and then your `ddl` in a cell, a statement at a time: which of them is refused, and at which word?",
    )  # fmt: skip


def detail_of(variant: Variant, ddl: str) -> str:
    """What the server adds to its refusal of the `ddl`, such as the rows that clash; '' where it adds nothing."""
    with database(recipe(variant)) as made_one, contextlib.closing(made_one.connect()) as session:
        try:
            for one in statements(ddl):
                session.execute(one)
        except psycopg.Error as error:
            return error.diag.message_detail or ""
    return ""


def unfit(answer: dict[str, str], variant: Variant) -> Finding | None:
    """What is wrong with the parts of an answer before anybody books; None where nothing is."""
    if variant.loop and answer.get("ddl", "").strip():
        return Finding(
            False, "The answer changes the tables.", "Statements and a level: the tables belong to others.",
            "What is there already that both customers need, and could lock?",
        )  # fmt: skip
    count = len(statements(answer["booking"]))
    if not 1 <= count <= STATEMENTS_MAX:
        return Finding(
            False, f"`booking` has {count} statements.", f"One to {STATEMENTS_MAX}, so that every order can be run.",
            "Which of them decides whether the customer gets it?",
        )  # fmt: skip
    return control(answer.get("ddl", ""), "`ddl`") or control(answer["booking"], "`booking`")


def rules(variant: Variant, scene: Scene, level: str) -> list[Rule]:
    """What each order of a scene must come to, the plainest first."""
    wanted = asked(variant, scene)
    found = [ends, understood]
    if scene.kind == "back":
        return [*found, untouched(variant, wanted), left_free(wanted)]
    if scene.kind == "none":
        return [*found, nobody, untouched(variant, wanted), answered(variant)]
    found += [
        untouched(variant, wanted),
        the_first(variant, scene, wanted) if scene.kind == "one" else everyone_alone(scene, wanted),
    ]
    found += [answered(variant)]
    found += [exactly_one(scene, wanted, level)] if scene.kind == "one" else [both(scene, wanted)]
    return [*found, *([no_waiting(scene)] if scene.kind == "apart" else [])]


def has(outcome: Outcome, row: Mapping[str, Any]) -> int:
    """How often a booking is there in the end."""
    return sum(holds(other, row) for other in outcome.rows("booking"))


def holds(other: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a row is this booking; columns that the answer has added do not count."""
    return all(other.get(name) == value for name, value in row.items())


def untouched(variant: Variant, wanted: Mapping[str, Mapping[str, Any]]) -> Rule:
    """The bookings that were there stay as they are, and none is made that nobody asked for."""
    rows = given(variant)

    def broken(outcome: Outcome) -> str:
        if not outcome.has("booking", *rows[0]):
            return "there is no table `booking` with its columns any more"
        lost = sum(not has(outcome, row) for row in rows)
        if lost:
            return f"{lost} of the {len(rows)} bookings that were there at first are gone, or are another one's"
        extra = len(outcome.rows("booking")) - len(rows) - sum(min(has(outcome, row), 1) for row in wanted.values())
        return (
            f"{extra} row{'s are' if extra > 1 else ' is'} in `booking` that nobody has asked for" if extra > 0 else ""
        )

    return Rule(
        broken, "The bookings of others are untouched.",
        "Whoever has booked keeps the booking, and each customer gets one row at most.", "Whose booking is it, once it is committed?",
        "last-wins",
    )  # fmt: skip


def left_free(wanted: Mapping[str, Mapping[str, Any]]) -> Rule:
    """Where one rolls back after booking, the other one gets it."""

    def broken(outcome: Outcome) -> str:
        if has(outcome, wanted["ann"]):
            return "who has rolled back has it in the end"
        if has(outcome, wanted["ben"]):
            return ""
        code = outcome.failed("ben")
        return "nobody gets it: one rolls back, and the other one " + (
            f"ends with {code}" if code else "is told that it was taken"
        )

    return Rule(
        broken, "Who rolls back leaves it free.", "A booking that is rolled back was none: the other customer gets it.",
        "Does the other one know yet, at that moment, how the first one ends?", "taken-at-once",
    )  # fmt: skip


def answered(variant: Variant) -> Rule:
    """Each transaction commits, or ends with an error that a customer can be told: it is taken."""

    def broken(outcome: Outcome) -> str:
        for who in outcome.run.outcomes:
            code = outcome.failed(who)
            if code and code not in REFUSALS:
                again = f" after {TRIES} tries" if variant.loop else ""
                return f"a transaction ends with {code}{again}"
        return ""

    question = "Who sends the transaction again, and what does the customer see until then?"
    expected = f"Each transaction commits, with its row or without one; or it ends with {', '.join(REFUSALS[:-1])} or {REFUSALS[-1]}, which the client reads as 'taken'."
    return Rule(broken, "Each customer gets an answer.", expected, question, "only-waits")


nobody = Rule(
    lambda outcome: (
        "ann gets what is taken already" if any(row.get("who") == "ann" for row in outcome.rows("booking")) else ""
    ),
    "What is taken stays so.",
    "It is taken: no further booking.",
    "What does the rule say about bookings that were there before it?",
)


def the_first(variant: Variant, scene: Scene, wanted: Mapping[str, Mapping[str, Any]]) -> Rule:
    """One after the other: the first one gets it, and keeps it."""
    lost = "the one who comes first does not have it in the end"

    def broken(outcome: Outcome) -> str:
        first, second = outcome.serial
        if not has(outcome, wanted[first]):
            return lost
        return (
            f"the second one gets it, too, though the first one has it{seats(outcome)}"
            if has(outcome, wanted[second])
            else ""
        )

    def seats(outcome: Outcome) -> str:
        course = scene.wants[0].get("course")
        booked = sum(row.get("course_id") == course for row in outcome.rows("booking"))
        known = [row["seats"] for row in outcome.rows("course") if row.get("course_id") == course and "seats" in row]
        return f": {booked} bookings of {known[0]} seats" if known else ""

    def belief(outcome: Outcome) -> str:
        return "last-wins" if broken(outcome) == lost else "counted-from-now" if before else "kept-out"

    before = (
        any(row.get("course_id") == scene.wants[0].get("course") for row in given(variant)) and variant.wanted == "seat"
    )
    question = "Is the first one's row still there, and what does the second one see of it?"
    if before:
        question = "What does your booking know of the bookings that were there before anybody came?"
    return Rule(
        broken, "One after the other, the first one gets it.", "Who comes first gets it, and keeps it.", question, belief, lambda trial: trial.serial,
    )  # fmt: skip


def everyone_alone(scene: Scene, wanted: Mapping[str, Mapping[str, Any]]) -> Rule:
    """One after the other, each gets what is free."""

    def broken(outcome: Outcome) -> str:
        return "" if all(has(outcome, row) for row in wanted.values()) else "one of the two does not get what is free"

    return Rule(
        broken, "One after the other, each gets it.", f"{scene.told}: both are free, and both customers get theirs.",
        "Which two bookings does your rule take for the same?", "wider-is-safer", lambda trial: trial.serial,
    )  # fmt: skip


def exactly_one(scene: Scene, wanted: Mapping[str, Mapping[str, Any]], level: str) -> Rule:
    """In every order one customer gets it, and no second one."""

    def broken(outcome: Outcome) -> str:
        holders = [who for who, row in wanted.items() if has(outcome, row)]
        if len(holders) > 1:
            return "both get it"
        return "" if holders else "it is free, and nobody gets it"

    return Rule(
        broken, "Exactly one gets it.", f"{scene.told}: in every order exactly one of the two gets it.",
        "At the moment when the second one looks, where is the first one's row, and who can see it or lock it?", partial(belief_behind, level),
    )  # fmt: skip


def belief_behind(level: str, outcome: Outcome) -> str:
    """Which belief leads to two bookings: by what was locked in vain, by a wait that was no help, or by the check alone."""
    if outcome.waited:
        return "stronger-is-safer" if level == "repeatable read" else "same-statement"
    locks = [event for event in outcome.run.events if LOCKING.search(outcome.run.step(event).sql)]
    if any(event.rows is not None and not event.rows for event in locks):
        return "not-there"
    return "any-lock" if any(event.rows for event in locks) else "same-statement"


def both(scene: Scene, wanted: Mapping[str, Mapping[str, Any]]) -> Rule:
    """In every order each customer gets what is free."""

    def broken(outcome: Outcome) -> str:
        return "" if all(has(outcome, row) for row in wanted.values()) else "one of the two does not get what is free"

    return Rule(
        broken, "Both get theirs.", f"{scene.told}: both customers get theirs in every order.",
        "What did the refused one meet, and was there really none left?", "wider-is-safer",
    )  # fmt: skip


def no_waiting(scene: Scene, question: str = "", belief: str = "one-lock") -> Rule:
    return Rule(
        lambda outcome: "one of the two has to wait" if outcome.waited else "",
        "Nobody waits.", f"{scene.told}: nobody waits for anybody.", question or "What do these two bookings have in common that one of them holds?", belief,
    )  # fmt: skip


def summary(scene: Scene, trials: Sequence[Trial]) -> str:
    """What was seen in a scene where all is well, with its first customers and the others."""
    orders = f"each of {sum(len(trial.outcomes) for trial in trials)} orders"
    retries = sum(trial.retries for trial in trials)
    again = f"; {retries} transactions were sent again" if retries else ""
    return {
        "one": f"{scene.told}: in {orders} exactly one gets it, and the other is told so{again}.",
        "both": f"{scene.told}: in {orders} both get theirs{again}.",
        "apart": f"{scene.told}: in {orders} both get theirs, and nobody waits{again}.",
        "none": f"{scene.told}: nobody gets it.",
        "back": f"{scene.told}: in {orders} the other one gets it.",
    }[scene.kind]


def brief(variant: Variant) -> str:
    loop = (
        f"It sends the transaction again after 40001 and 40P01, {TRIES} times in all. The tables belong to another team: no `ddl`."
        if variant.loop
        else "It has no loop: an error of another kind (40001, 40P01, ...) is a crash to the customer."
    )
    names = ", ".join(f"`:{name}`" for name in customers(variant.scenes[0])["ann"])
    kinds = "\n".join(f"- {scene.told}: {_KINDS[scene.kind]}." for scene in variant.scenes)
    return (
        f"{variant.story}:\n\n```sql\n{variant.setup}\n```\n\nA booking is this transaction at read committed. `FOR UPDATE` was added after the first double booking; since then there "
        f"was another one:\n\n```sql\n{variant.shipped};\n```\n\n"
        "Mend it. Hand in a dict: `booking`, the one to three statements between the client's BEGIN and COMMIT (one text, statements separated by `;`); "
        f"{'' if variant.loop else '`ddl`, if you change the tables (once, in one transaction, before anybody comes; there are no extensions); '}`level`, if it is to be another one. "
        f"The names {names} are filled in for each customer; with which values, you do not see.\n\n"
        "A customer has booked when the row is in `booking` and committed. Where the transaction commits without a row, or ends with "
        f"{', '.join(REFUSALS[:-1])} or {REFUSALS[-1]}, the client says 'taken'. {loop}\n\n"
        f"The judge runs two customers in every order of their statements:\n\n{kinds}\n- Many different bookings besides: nobody waits, and each gets a row.\n\n"
        '`engine = practice("isolation-booking")` has the tables; `explore(Schedule.read(...), levels="read committed")` runs every order of a schedule of yours.'
    )


_AT_ONCE = (
    " Two INSERTs under an exclusion constraint that run at the very same moment, which no order of whole statements shows, can also end one of the two with 40P01 (measured: 6 of 300), "
    "since each has put its row in before it looks for the other's: a client that takes many bookings at once sends such a one again."
)
_KINDS = {"one": "exactly one gets it", "both": "both get theirs", "apart": "both get theirs, and nobody waits", "none": "nobody gets it", "back": "the other one gets it"}  # fmt: skip


EXERCISE = register(
    Exercise(
        id="isolation-booking",
        lab="03_isolation",
        number=4,
        title="Mend a double booking",
        kind="S",
        declares="value",
        points=4,
        core=True,
        minutes=10,
        answer="a dict with the key 'booking' (one to three statements), and 'ddl' and 'level' where they are needed",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "`FOR UPDATE` locks the rows that the SELECT finds. Which rows are those, when two customers want what is still free?",
            lambda variant: "Either the table itself refuses the second row, committed or not (which rule says just what must not happen twice, and no more?), or both customers must meet at something that "
            "is there already. Whatever it is: two who want different things must not meet.",
            lambda variant: variant.nearly,
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because}{_AT_ONCE if 'EXCLUDE' in variant.ddl else ''} What would change it: a writer who does not take the lock. A rule of the table binds everybody. "
            "On MariaDB FOR UPDATE locks the gap as well, and two customers end in a deadlock; on SQLite one writer writes at a time."
        ),
        misconceptions={
            "not-there": "SELECT ... FOR UPDATE keeps others away from a row that is not there yet.",
            "same-statement": "A check that stands in the same statement as the INSERT, or in a trigger, sees what others are about to write.",
            "stronger-is-safer": "A stronger level never makes a transaction worse: after the wait it sees what the other one has done.",
            "only-waits": "A conflict is a wait: sooner or later the transaction goes through by itself.",
            "one-lock": "To be safe, one lock for all bookings will do; nobody notices the waits.",
            "wider-is-safer": "The more a rule forbids, the safer it is.",
            "taken-at-once": "What somebody else has begun to book is taken: there is no need to wait for how it ends.",
            "last-wins": "Whoever writes last has the booking, and the first one will see it.",
            "kept-out": "A row that is there keeps a second one out by itself.",
            "counted-from-now": "A number that begins to count today knows of the rows of yesterday.",
            "any-lock": "Any `FOR ...` keeps the others out.",
            "same-number": "A number that is worked out from a booking stands for this booking alone.",
        },
    )
)  # fmt: skip
