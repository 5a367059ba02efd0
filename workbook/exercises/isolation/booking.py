"""A double booking, and what keeps the second one out: every order of two customers who want the same thing, or not.

    ann:  SELECT ... FOR UPDATE   no row: nothing is locked
    ben:  SELECT ... FOR UPDATE   no row: nothing is locked
    ann:  INSERT ... WHERE NOT EXISTS (...)    nobody is there yet
    ben:  INSERT ... WHERE NOT EXISTS (...)    ann's is not committed: nobody is there yet
    ann, ben: COMMIT              two bookings of one hour

A lock is put on rows that are there. What is not there yet is kept out by a rule of the table (UNIQUE, EXCLUDE), which looks at rows that
are not committed, too; or by a lock on something that both meet: a row of the parent's, or an advisory lock with the same number. The judge
runs the answer in scenes of two customers, over every order: one thing is wanted twice, and one gets it; two things
are wanted, and nobody waits.

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

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, Literal

from workbook.engines import Recipe
from workbook.errors import SqlError, SqlTimeout
from workbook.exercises.isolation.trial import (
    LIMIT,
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
FEW = 3
"""In how many orders further customers of a scene are run, besides the serial ones."""
LOCKING = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE|KEY\s+SHARE)\b", re.I)
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Scene:
    """Two customers and what they want (the values of the statement, without their names).

    `kind`: `one` of the two gets it; `both` get it; `apart` both get it, and nobody waits; `none`: it is taken; `back`: the
    first one rolls back, and the second gets it. `also`: other customers of the same kind, run in a few orders (`orders`).
    """

    kind: Literal["one", "both", "apart", "none", "back"]
    told: str
    wants: tuple[Values, ...] = field(hash=False)
    also: tuple[tuple[Values, ...], ...] = field(default=(), hash=False)
    orders: int = LIMIT

    @property
    def each(self) -> tuple[Scene, ...]:
        """The scene with its first customers, and with each of the others."""
        return (replace(self, also=()), *(replace(self, wants=wants, also=(), orders=FEW) for wants in self.also))


@dataclass(frozen=True)
class Variant:
    """A table of bookings, and the booking as it is `shipped`; the reference's `ddl`, `booking` and `level`; the scenes. `loop`: the
    client sends again what ended with 40001 or 40P01, and the tables are not the learner's to change."""

    story: str
    wanted: str
    setup: str
    shipped: str
    ddl: str
    booking: str
    scenes: tuple[Scene, ...]
    because: str
    nearly: str
    loop: bool = False
    level: str = "read committed"

    @property
    def played(self) -> tuple[Scene, ...]:
        """Every scene with every pair of its customers."""
        return tuple(one for scene in self.scenes for one in scene.each)


def _hours(room: int, first: int, other: int) -> tuple[Values, Values]:
    return {"room": room, "hour": first}, {"room": room, "hour": other}


def _two(name: str, first: int, other: int, **same: int) -> tuple[Values, Values]:
    """Two customers who want the same but for one value."""
    return {**same, name: first}, {**same, name: other}


def _trips(boat: int, *spans: tuple[int, int]) -> tuple[Values, ...]:
    return tuple({"boat": boat, **span} for span in _spans(*spans))


def _spans(*spans: tuple[int, int]) -> tuple[Values, ...]:
    """What two customers want: from an hour to another one."""
    return tuple({"from": start, "to": end} for start, end in spans)


ROOMS = """CREATE TABLE room (room_id int PRIMARY KEY);
INSERT INTO room SELECT generate_series(1, 20);
"""
HOURS = (
    ROOMS
    + """CREATE TABLE booking (room_id int NOT NULL, hour int NOT NULL, who text NOT NULL);
INSERT INTO booking VALUES (5, 8, 'cleaner'), (12, 8, 'cleaner');"""
)
COURTS = """CREATE TABLE booking (court int NOT NULL, day int NOT NULL, who text NOT NULL, cancelled boolean NOT NULL DEFAULT false);
INSERT INTO booking VALUES (2, 6, 'guest', true), (2, 6, 'other', true), (8, 5, 'guest', true), (8, 5, 'other', false);"""
TELESCOPE = """CREATE TABLE booking (during int4range NOT NULL, who text NOT NULL);
INSERT INTO booking VALUES ('[0,4)', 'tests'), ('[90,96)', 'repair');"""
BOATS = """CREATE TABLE booking (boat int NOT NULL, starts int NOT NULL, ends int NOT NULL, who text NOT NULL, CHECK (starts < ends));
INSERT INTO booking VALUES (5, 0, 9, 'yard'), (14, 0, 9, 'yard');"""
COURSES = """CREATE TABLE course (course_id int PRIMARY KEY, seats int NOT NULL);
CREATE TABLE booking (course_id int NOT NULL, who text NOT NULL);
INSERT INTO course VALUES (1, 1), (2, 2), (3, 3), (4, 3), (5, 3), (6, 3);
INSERT INTO course SELECT n, 3 FROM generate_series(7, 20) n;
INSERT INTO booking VALUES (3, 'kim'), (3, 'lee'), (4, 'kim'), (4, 'max'), (4, 'pia');"""
SLOTS = """CREATE TABLE slot (room_id int, hour int, PRIMARY KEY (room_id, hour));
INSERT INTO slot SELECT room, hour FROM generate_series(1, 20) room, generate_series(8, 20) hour;
CREATE TABLE booking (room_id int NOT NULL, hour int NOT NULL, who text NOT NULL);
INSERT INTO booking VALUES (5, 8, 'cleaner'), (12, 8, 'cleaner');"""

_AN_HOUR = "SELECT 1 FROM booking WHERE room_id = :room AND hour = :hour FOR UPDATE;\nINSERT INTO booking SELECT :room, :hour, :who\n    WHERE NOT EXISTS (SELECT FROM booking WHERE room_id = :room AND hour = :hour)"
_A_DAY = "SELECT 1 FROM booking WHERE court = :court AND day = :day AND NOT cancelled FOR UPDATE;\nINSERT INTO booking SELECT :court, :day, :who\n    WHERE NOT EXISTS (SELECT FROM booking WHERE court = :court AND day = :day AND NOT cancelled)"
_A_SPAN = "SELECT 1 FROM booking WHERE during && int4range(:from, :to) FOR UPDATE;\nINSERT INTO booking SELECT int4range(:from, :to), :who\n    WHERE NOT EXISTS (SELECT FROM booking WHERE during && int4range(:from, :to))"
_A_TRIP = "SELECT 1 FROM booking WHERE boat = :boat AND starts < :to AND ends > :from FOR UPDATE;\nINSERT INTO booking SELECT :boat, :from, :to, :who\n    WHERE NOT EXISTS (SELECT FROM booking WHERE boat = :boat AND starts < :to AND ends > :from)"
_A_SEAT = "SELECT 1 FROM booking WHERE course_id = :course FOR UPDATE;\nINSERT INTO booking SELECT :course, :who\n    WHERE (SELECT count(*) FROM booking WHERE course_id = :course) < (SELECT seats FROM course WHERE course_id = :course)"

_HOUR_SCENES = (
    Scene("one", "One hour, wanted twice", _hours(7, 11, 11)),
    Scene("back", "One hour, wanted twice, and one of the two rolls back", _hours(8, 17, 17)),
    Scene("apart", "Two hours of one room", _hours(9, 14, 15), (_hours(9, 12, 13), _hours(6, 8, 20), _hours(6, 9, 19))),
    Scene(
        "apart", "The same hour in two rooms", _two("room", 3, 4, hour=10),
        (_two("room", 2, 3, hour=9), _two("room", 1, 13, hour=16), _two("room", 7, 17, hour=16)),
    ),
    Scene("none", "An hour that is taken", ({"room": 5, "hour": 8},)),
)  # fmt: skip

VARIANTS = (
    Variant(
        "Rooms are booked by the hour",
        "hour", HOURS, _AN_HOUR,
        "CREATE UNIQUE INDEX ON booking (room_id, hour)",
        "INSERT INTO booking VALUES (:room, :hour, :who) ON CONFLICT DO NOTHING",
        _HOUR_SCENES,
        "The row that both look for is not there, so that FOR UPDATE locks nothing, and neither sees the other's uncommitted row. A unique index is asked about "
        "rows of others before they are committed: the second one waits for the first one's end, and then knows.",
        "A unique index on the columns that make an hour of a room, and an INSERT that does nothing, or fails with 23505, where the key is there.",
    ),
    Variant(
        "Courts are booked by the day; what was cancelled stays in the table, and its day can be booked again",
        "day", COURTS, _A_DAY,
        "CREATE UNIQUE INDEX ON booking (court, day) WHERE NOT cancelled",
        "INSERT INTO booking (court, day, who) VALUES (:court, :day, :who) ON CONFLICT DO NOTHING",
        (
            Scene("one", "One day, wanted twice", ({"court": 7, "day": 9}, {"court": 7, "day": 9})),
            Scene("one", "A day whose bookings were cancelled, wanted twice", ({"court": 2, "day": 6}, {"court": 2, "day": 6})),
            Scene("back", "One day, wanted twice, and one of the two rolls back", ({"court": 3, "day": 14}, {"court": 3, "day": 14})),
            Scene("apart", "Two days of one court", _two("day", 10, 11, court=4), (_two("day", 12, 13, court=4), _two("day", 5, 17, court=6), _two("day", 7, 17, court=9))),
            Scene("apart", "The same day on two courts", _two("court", 5, 6, day=12), (_two("court", 6, 7, day=13), _two("court", 1, 13, day=3), _two("court", 4, 14, day=3))),
            Scene("none", "A day that is taken", ({"court": 8, "day": 5},)),
        ),
        "The rule is one of living bookings only, and so must be the index: a partial unique index forbids a second living row, whoever has committed or not, and says nothing about cancelled "
        "ones. FOR UPDATE finds no living row to lock.",
        "A unique index with a WHERE of its own: only rows that are not cancelled stand in it.",
    ),
    Variant(
        "The hours of a telescope are booked in one piece, from an hour to another (which is free again)",
        "span", TELESCOPE, _A_SPAN,
        "ALTER TABLE booking ADD EXCLUDE USING gist (during WITH &&)",
        "INSERT INTO booking VALUES (int4range(:from, :to), :who) ON CONFLICT DO NOTHING",
        (
            Scene("one", "Two pieces that overlap", _spans((40, 46), (44, 50)), (_spans((127, 130), (128, 131)), _spans((119, 123), (120, 121)), _spans((45, 49), (47, 52)))),
            Scene("one", "One piece inside of the other", _spans((20, 30), (24, 26))),
            Scene("back", "Two pieces that overlap, and one of the two rolls back", _spans((150, 155), (153, 158))),
            Scene("apart", "Two pieces that touch", _spans((60, 64), (64, 70)), (_spans((100, 101), (101, 102)), _spans((102, 103), (103, 104)))),
            Scene("none", "A piece that is taken in part", _spans((88, 92))),
        ),
        "No two pieces are equal, so that no unique key can keep them apart; `during WITH &&` refuses a row that overlaps another one, committed or not. FOR UPDATE locks the rows that overlap, and there is none.",
        "An exclusion constraint: `EXCLUDE USING gist (column WITH operator)`, with the operator that says 'overlaps'.",
    ),
    Variant(
        "Boats are hired from an hour to another (which is free again)",
        "span", BOATS, _A_TRIP,
        "ALTER TABLE booking ADD EXCLUDE USING gist (int4range(boat, boat, '[]') WITH &&, int4range(starts, ends) WITH &&)",
        "INSERT INTO booking VALUES (:boat, :from, :to, :who) ON CONFLICT DO NOTHING",
        (
            Scene("one", "Two trips of one boat that overlap", _trips(7, (12, 15), (14, 18)), (_trips(7, (127, 130), (128, 131)), _trips(7, (119, 123), (120, 121)))),
            Scene("back", "Two trips of one boat that overlap, and one of the two rolls back", _trips(9, (40, 45), (43, 48))),
            Scene("apart", "Two trips of one boat that touch", _trips(3, (10, 12), (12, 14)), (_trips(3, (100, 101), (101, 102)), _trips(3, (102, 103), (103, 104)))),
            Scene("apart", "The same hours on two boats", _two("boat", 11, 12, **{"from": 10, "to": 12}), (_two("boat", 12, 13, **{"from": 20, "to": 24}), _two("boat", 1, 13, **{"from": 20, "to": 24}))),
            Scene("none", "A boat that is in the yard for a part of it", ({"boat": 5, "from": 8, "to": 11},)),
        ),
        "Two rows clash where the boat is the same and the hours overlap. An exclusion constraint says just that: GiST compares ranges, and a number is a range of one "
        "(`int4range(boat, boat, '[]')`; with the extension btree_gist, `boat WITH =`). FOR UPDATE locks what overlaps, and there is none.",
        "An exclusion constraint of two parts, both with `&&`: the hours as `int4range(starts, ends)`, and the boat as the range `int4range(boat, boat, '[]')`, for this server has no btree_gist.",
    ),
    Variant(
        "Courses have a number of seats, and whoever books gets one while there are some",
        "seat", COURSES, _A_SEAT,
        "",
        "SELECT 1 FROM course WHERE course_id = :course FOR UPDATE;\n" + _A_SEAT.partition(";\n")[2],
        (
            Scene("one", "The only seat of a course, wanted twice", ({"course": 1}, {"course": 1})),
            Scene("one", "The last seat of a course of three, wanted twice", ({"course": 3}, {"course": 3})),
            Scene("both", "Two seats of a course that nobody has booked yet, two are wanted", ({"course": 2}, {"course": 2})),
            Scene("back", "The only seat of a course, wanted twice, and one of the two rolls back", ({"course": 1}, {"course": 1})),
            Scene("apart", "Two courses", _two("course", 5, 6), (_two("course", 6, 7), _two("course", 8, 20), _two("course", 10, 20))),
            Scene("none", "A course that is full", ({"course": 4},)),
        ),
        "No key forbids a fourth row: the rule is about a count. So the two must meet at something that is there: the course's row. Whoever has locked it counts alone, and at "
        "read committed the count is taken after the wait, by a statement with a snapshot of its own.",
        "Lock the row that both need, the course's, in a statement of its own, before the count. (Or keep the number of free seats there, in one UPDATE.)",
    ),
    Variant(
        "Rooms are booked by the hour; the tables are another team's, and may not be changed",
        "hour", SLOTS, _AN_HOUR,
        "",
        "SELECT 1 FROM slot WHERE room_id = :room AND hour = :hour FOR UPDATE;\n" + _AN_HOUR.partition(";\n")[2],
        _HOUR_SCENES,
        "The booking is not there yet, but its slot is: a row that both can lock, and nobody else wants. At serializable nothing is locked, and one of the two is ended with 40001 and sent again: "
        "with a loop that is right as well, and costs retries even where the hours differ.",
        "Which table has a row for each room and hour already? Lock that row, in a statement before the INSERT; or leave the statements as they are, and let a level and the client's loop do it.",
        loop=True,
    ),
)  # fmt: skip


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
                return Judgement(0.0, (refused(refusal),))
            seen, pictures = kept(trials[-1], *rules(variant, one, level))
            if pictures:
                return Judgement(0.0, (seen[-1],), tuple(pictures))
        findings.append(Finding(True, summary(scene, trials)))
    return Judgement(1.0, tuple(findings))


def made(variant: Variant, scene: Scene, sent: Mapping[str, str]) -> Program:
    """The program of a scene: each customer sends the booking; in the scene `back` the first one takes it back."""
    sessions = {who: statements(sent["booking"], values) for who, values in customers(scene).items()}
    if scene.kind == "back":
        sessions["ann"] = ("BEGIN", *sessions["ann"], "ROLLBACK")
    return world(f"{variant.setup}\n{sent['ddl']}", sessions, title=scene.told)


def refused(refusal: SqlError) -> Finding:
    """What PostgreSQL says of the `ddl`."""
    said = refusal.what.replace("The setup is refused", "`ddl` is refused", 1)
    if "extension" in refusal.what:
        return Finding(
            False, said, "Changes that this server can make: it has no extensions.",
            "Which types and operators does PostgreSQL bring along, and can the rule be said with them?",
        )  # fmt: skip
    return Finding(
        False, said, "Changes that fit the rows which are there.",
        "Run the setup and then your `ddl` in a cell: which of its statements is refused, and by which rows or which word?",
    )  # fmt: skip


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
    found += [untouched(variant, wanted), the_first(wanted) if scene.kind == "one" else everyone_alone(scene, wanted)]
    found += [answered(variant)]
    found += [exactly_one(scene, wanted, level)] if scene.kind == "one" else [both(scene, wanted)]
    return [*found, *([no_waiting(scene)] if scene.kind == "apart" else [])]


def has(outcome: Outcome, row: Mapping[str, Any]) -> int:
    """How often a booking is there in the end; columns that the answer has added do not count."""
    return sum(all(other.get(name) == value for name, value in row.items()) for other in outcome.rows("booking"))


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


def the_first(wanted: Mapping[str, Mapping[str, Any]]) -> Rule:
    """One after the other: the first one gets it, and keeps it."""

    def broken(outcome: Outcome) -> str:
        first, second = outcome.serial
        if not has(outcome, wanted[first]):
            return "the one who comes first does not have it in the end"
        return "the second one gets it, though the first one had it already" if has(outcome, wanted[second]) else ""

    return Rule(
        broken, "One after the other, the first one gets it.", "Who comes first gets it, and keeps it.",
        "What becomes of the first booking when the second one arrives?", "last-wins", lambda trial: trial.serial,
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
    return "not-there" if any(event.rows is not None and not event.rows for event in locks) else "same-statement"


def both(scene: Scene, wanted: Mapping[str, Mapping[str, Any]]) -> Rule:
    """In every order each customer gets what is free."""

    def broken(outcome: Outcome) -> str:
        return "" if all(has(outcome, row) for row in wanted.values()) else "one of the two does not get what is free"

    return Rule(
        broken, "Both get theirs.", f"{scene.told}: both customers get theirs in every order.",
        "What did the refused one meet, and was there really none left?", "wider-is-safer",
    )  # fmt: skip


def no_waiting(scene: Scene) -> Rule:
    return Rule(
        lambda outcome: "one of the two has to wait" if outcome.waited else "",
        "Nobody waits.", f"{scene.told}: nobody waits for anybody.", "What do these two bookings have in common that one of them holds?", "one-lock",
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
    kinds = "; ".join(f"{scene.told[:1].lower()}{scene.told[1:]} ({_KINDS[scene.kind]})" for scene in variant.scenes)
    return (
        f"{variant.story}:\n\n```sql\n{variant.setup}\n```\n\nA booking is this transaction at read committed. `FOR UPDATE` was added after the first double booking; since then there "
        f"was another one:\n\n```sql\n{variant.shipped};\n```\n\n"
        "Mend it. Hand in a dict: `booking`, the one to three statements between the client's BEGIN and COMMIT (one text, statements separated by `;`); "
        f"{'' if variant.loop else '`ddl`, if you change the tables (once, in one transaction, before anybody comes; there are no extensions); '}`level`, if it is to be another one. "
        f"The names {names} are filled in for each customer; with which values, you do not see.\n\n"
        "A customer has booked when the row is in `booking` and committed. Where the transaction commits without a row, or ends with "
        f"{', '.join(REFUSALS[:-1])} or {REFUSALS[-1]}, the client says 'taken'. {loop}\n\n"
        f"The judge runs two customers in every order of their statements: {kinds}. Further pairs, close to one another and far apart, are run in a few orders. "
        '`engine = practice("isolation-booking")` has the tables; `explore` runs every order of a `Program` of yours.'
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
            f"{variant.because}{_AT_ONCE if 'EXCLUDE' in variant.ddl else ''} What would change it: three customers change nothing about a rule of the table; a lock helps only where every writer takes it, a rule of the table binds those who have never heard "
            "of it, too. On MariaDB FOR UPDATE locks the gap as well, and two customers end in a deadlock; on SQLite one writer writes at a time."
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
        },
    )
)  # fmt: skip
