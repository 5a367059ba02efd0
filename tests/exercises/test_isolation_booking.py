"""A double booking, mended: what keeps the second one out, who waits, and who is told what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.isolation.booking import EXERCISE, VARIANTS, Variant
from workbook.exercises.isolation.trial import statements

HOURS, COURTS, TELESCOPE, BOATS, COURSES, SLOTS = VARIANTS
TRIGGER = """CREATE FUNCTION alone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF {condition} THEN RAISE 'taken'; END IF; RETURN NEW; END $$;
CREATE TRIGGER alone BEFORE INSERT ON booking FOR EACH ROW EXECUTE FUNCTION alone()"""


def checked(variant: Variant) -> str:
    """The shipped INSERT with its condition, without the SELECT before it."""
    return variant.shipped.partition(";\n")[2]


def also_right(variant: Variant) -> list[dict[str, str]]:
    """Right answers of other shapes: by a key, by an advisory lock, by a counter, by a level where there is a loop."""
    if variant is HOURS:
        return [
            {"ddl": "ALTER TABLE booking ADD PRIMARY KEY (hour, room_id)", "booking": checked(variant)},
            {"booking": f"SELECT pg_advisory_xact_lock(:room, :hour); {checked(variant)}"},
            {"booking": f"SELECT pg_advisory_xact_lock(hashtext(:room || ' ' || :hour)); {checked(variant)}"},
            {"booking": f"SELECT pg_advisory_xact_lock(hashtext('booking'), :room * 100 + :hour); {checked(variant)}"},
            {
                "ddl": "ALTER TABLE booking ADD UNIQUE (room_id, hour) DEFERRABLE INITIALLY DEFERRED",
                "booking": "INSERT INTO booking VALUES (:room, :hour, :who)",
            },
        ]
    if variant is COURTS:
        return [
            {
                "ddl": "ALTER TABLE booking ADD living int GENERATED ALWAYS AS (CASE WHEN NOT cancelled THEN 1 END) STORED;"
                "ALTER TABLE booking ADD UNIQUE (court, day, living)",
                "booking": checked(variant).replace("INTO booking", "INTO booking (court, day, who)"),
            },
            {
                "booking": f"SELECT pg_advisory_xact_lock(:court, :day); {checked(variant).replace('INTO booking', 'INTO booking (court, day, who)')}"
            },
        ]
    if variant is TELESCOPE:
        free = "ALTER TABLE booking ADD CONSTRAINT one_at_a_time EXCLUDE USING gist (during WITH &&) DEFERRABLE"
        return [{"ddl": free, "booking": "INSERT INTO booking VALUES (int4range(:from, :to), :who)"}]
    if variant is BOATS:
        span = "ALTER TABLE booking ADD span int4range GENERATED ALWAYS AS (int4range(starts, ends)) STORED;"
        boat = "ALTER TABLE booking ADD EXCLUDE USING gist (int4range(boat, boat, '[]') WITH =, span WITH &&)"
        return [
            {
                "ddl": span + boat,
                "booking": "INSERT INTO booking (boat, starts, ends, who) VALUES (:boat, :from, :to, :who)",
            }
        ]
    if variant is COURSES:
        return [
            {
                "ddl": "ALTER TABLE course ADD free int; UPDATE course c SET free = seats - (SELECT count(*) FROM booking b WHERE b.course_id = c.course_id)",
                "booking": "WITH seat AS (UPDATE course SET free = free - 1 WHERE course_id = :course AND free > 0 RETURNING course_id) "
                "INSERT INTO booking SELECT course_id, :who FROM seat",
            },
            {"booking": f"SELECT pg_advisory_xact_lock(:course); {checked(variant)}"},
        ]
    return [
        {"booking": checked(variant), "level": "serializable"},
        {"booking": variant.shipped, "level": "serializable"},
    ]


def wrong(variant: Variant) -> list[Wrong]:
    """Wrong answers that every variant has; those of one variant are below."""
    plain = checked(variant)
    insert = plain.partition("\n")[0] if variant is not COURTS else plain.partition("\n")[0].replace("booking", "booking (court, day, who)")  # fmt: skip
    found = [
        Wrong({"booking": variant.shipped}, "12 of 20 orders both get it", "not-there"),
        Wrong({"booking": plain}, "4 of 6 orders both get it", "same-statement"),
        Wrong({"booking": f"LOCK TABLE booking; {plain}"}, "has to wait", "one-lock"),
        Wrong({"booking": f"BEGIN; {plain}; COMMIT"}, "`booking` says `BEGIN`"),
        Wrong({"booking": f"SELECT pg_advisory_lock(1); {plain}"}, "the sessions come to no end"),
        Wrong({"booking": "SELECT 1"}, "who comes first does not have it", "last-wins"),
        Wrong({"booking": insert}, "gets it, too, though the first one has it", "kept-out"),
        Wrong({"booking": f"DELETE FROM booking; {plain}"}, "bookings that were there at first are gone", "last-wins"),
        Wrong({"booking": f"{plain}; SELECT 1; SELECT 2; SELECT 3"}, "`booking` has 4 statements"),
        Wrong({"booking": "INSERT INTO bookings VALUES (1)"}, 'relation "bookings" does not exist'),
        Wrong({"booking": plain, "level": "snapshot"}, "this is 'snapshot'"),
        Wrong({"booking": plain, "ddl": 7}, "'ddl' is one text, its statements separated by `;`; this is int"),
    ]
    if variant.loop:
        return [
            *found,
            Wrong({"booking": plain, "ddl": "CREATE UNIQUE INDEX ON booking (room_id, hour)"}, "changes the tables"),
        ]
    return [
        *found,
        Wrong({"booking": plain, "level": "serializable"}, "transaction ends with 40001", "only-waits"),
        Wrong({"booking": plain, "ddl": "DROP TABLE booking"}, 'relation "booking" does not exist'),
        Wrong({"booking": plain, "ddl": "SET default_transaction_isolation = serializable"}, "`ddl` says `SET"),
    ]


def answers(variant: Variant) -> Answers:
    right = {"ddl": variant.ddl, "booking": variant.booking}
    listed = {"ddl": [variant.ddl], "booking": list(statements(variant.booking)), "level": "READ COMMITTED"}
    return Answers(right, [listed, *also_right(variant)], wrong(variant))


class TestBooking(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize(
    ("variant", "answer", "says", "belief"),
    [
        (HOURS, {"ddl": "CREATE UNIQUE INDEX ON booking (room_id, hour, who)", "booking": checked(HOURS)}, "4 of 6 orders both get it", "same-statement"),
        (HOURS, {"ddl": "CREATE UNIQUE INDEX ON booking (room_id) WHERE hour > 8", "booking": checked(HOURS)}, "of the two does not get what is free", "wider-is-safer"),
        (HOURS, {"booking": "SELECT 1 FROM room WHERE room_id = :room FOR UPDATE; " + checked(HOURS)}, "one of the two has to wait", "one-lock"),
        (HOURS, {"booking": "SELECT 1 FROM room WHERE room_id = :room FOR UPDATE; " + checked(HOURS), "level": "repeatable read"}, "both get it", "stronger-is-safer"),
        (HOURS, {"ddl": "CREATE UNIQUE INDEX ON booking (room_id, hour)", "booking": "INSERT INTO booking VALUES (:room, :hour, :who) ON CONFLICT (room_id, hour) DO UPDATE SET who = excluded.who"}, "who comes first does not have it", "last-wins"),
        (HOURS, {"ddl": TRIGGER.format(condition="EXISTS (SELECT FROM booking b WHERE b.room_id = NEW.room_id AND b.hour = NEW.hour)"), "booking": "INSERT INTO booking VALUES (:room, :hour, :who)"}, "both get it", "same-statement"),
        (COURTS, {"ddl": "CREATE UNIQUE INDEX ON booking (court, day)", "booking": COURTS.booking}, "could not create unique index", ""),
        (COURTS, {"ddl": "DELETE FROM booking WHERE cancelled; CREATE UNIQUE INDEX ON booking (court, day)", "booking": COURTS.booking}, "are gone", "last-wins"),
        (TELESCOPE, {"ddl": "CREATE UNIQUE INDEX ON booking (during)", "booking": TELESCOPE.booking}, "gets it, too, though the first one has it", "kept-out"),
        (TELESCOPE, {"ddl": "ALTER TABLE booking ADD EXCLUDE USING gist (int4range(lower(during), upper(during), '[]') WITH &&)", "booking": TELESCOPE.booking}, "of the two does not get what is free", "wider-is-safer"),
        (BOATS, {"ddl": "ALTER TABLE booking ADD EXCLUDE USING gist (int4range(starts, ends) WITH &&)", "booking": BOATS.booking}, "could not create exclusion constraint", ""),
        (BOATS, {"ddl": "CREATE EXTENSION btree_gist", "booking": BOATS.booking}, "btree_gist", ""),
        (COURSES, {"ddl": "ALTER TABLE booking ADD n int; UPDATE booking b SET n = (SELECT count(*) FROM booking o WHERE o.course_id = b.course_id AND o.who <= b.who); ALTER TABLE booking ADD UNIQUE (course_id, n)",
                   "booking": "INSERT INTO booking SELECT :course, :who, 1 + (SELECT count(*) FROM booking WHERE course_id = :course) WHERE (SELECT count(*) FROM booking WHERE course_id = :course) < (SELECT seats FROM course WHERE course_id = :course) ON CONFLICT DO NOTHING"},
         "does not get what is free", "wider-is-safer"),
        (SLOTS, {"booking": "SELECT 1 FROM slot WHERE room_id = :room AND hour = :hour FOR UPDATE NOWAIT; " + checked(SLOTS)}, "ends with 55P03", "only-waits"),
        (SLOTS, {"booking": "SELECT 1 FROM slot WHERE room_id = :room AND hour = :hour FOR SHARE; " + checked(SLOTS)}, "both get it", "any-lock"),
        (COURSES, {"booking": "SELECT 1 FROM course WHERE course_id = :course FOR SHARE; " + checked(COURSES)}, "both get it", "any-lock"),
        (COURSES, {"ddl": "ALTER TABLE course ADD taken int NOT NULL DEFAULT 0",
                   "booking": "WITH seat AS (UPDATE course SET taken = taken + 1 WHERE course_id = :course AND taken < seats RETURNING course_id) INSERT INTO booking SELECT course_id, :who FROM seat"},
         "the first one has it: 4 bookings of 3 seats", "counted-from-now"),
    ],
)  # fmt: skip
def test_a_wrong_answer_of_one_variant(variant: Variant, answer: dict[str, Any], says: str, belief: str) -> None:
    found = verdict(EXERCISE, answer, variant)
    assert found.points == 0 and says in shown(found)
    assert found.misconception == EXERCISE.misconceptions.get(belief, "")


def test_the_first_order_that_breaks_is_shown() -> None:
    found = verdict(EXERCISE, {"booking": HOURS.shipped}, HOURS)
    text = str(found.pictures[0])
    assert "ann" in text and "ben" in text and "FOR UPDATE" in text and "→ no row" in text and "committed" in text


@pytest.mark.parametrize(
    ("variant", "lock", "says"),
    [
        (TELESCOPE, "SELECT pg_advisory_xact_lock(:from / 16)", "both get it"),
        (TELESCOPE, "SELECT pg_advisory_xact_lock(:from / 64)", "both get it"),
        (TELESCOPE, "SELECT pg_advisory_xact_lock(:from / 24)", "both get it"),
        (TELESCOPE, "SELECT pg_advisory_xact_lock(:from % 5)", "both get it"),
        (TELESCOPE, "SELECT pg_advisory_xact_lock(h) FROM generate_series(:from / 4, (:to - 1) / 4) h", "has to wait"),
        (TELESCOPE, "SELECT pg_advisory_xact_lock(h) FROM generate_series((:from + 1) / 2, :to / 2) h", "has to wait"),
        (BOATS, "SELECT pg_advisory_xact_lock(:boat, h) FROM generate_series(:from / 2, (:to - 1) / 2) h", "has to wait"),
        (BOATS, "SELECT pg_advisory_xact_lock(:boat / 2, h) FROM generate_series(:from, :to - 1) h", "has to wait"),
        (BOATS, "SELECT pg_advisory_xact_lock(:boat, :from / 8)", "both get it"),
        (HOURS, "SELECT pg_advisory_xact_lock(:room, :hour / 5)", "has to wait"),
        (HOURS, "SELECT pg_advisory_xact_lock(:room / 2, :hour)", "has to wait"),
        (HOURS, "SELECT pg_advisory_xact_lock(:room % 10, :hour)", "has to wait"),
        (SLOTS, "SELECT pg_advisory_xact_lock(:room, :hour % 6)", "has to wait"),
        (COURTS, "SELECT pg_advisory_xact_lock(:court / 3, :day)", "has to wait"),
        (COURTS, "SELECT pg_advisory_xact_lock(:court, :day % 4)", "has to wait"),
        (COURSES, "SELECT pg_advisory_xact_lock(:course % 2)", "has to wait"),
        (COURSES, "SELECT pg_advisory_xact_lock(:course / 2)", "has to wait"),
    ],
)  # fmt: skip
def test_a_lock_that_strangers_share_or_rivals_do_not(variant: Variant, lock: str, says: str) -> None:
    insert = checked(variant).replace("INTO booking SELECT :court", "INTO booking (court, day, who) SELECT :court")
    found = verdict(EXERCISE, {"booking": f"{lock}; {insert}"}, variant)
    assert found.points == 0 and says in shown(found)


@pytest.mark.parametrize(
    ("variant", "number"),
    [
        (HOURS, ":room + :hour"),
        (HOURS, ":room * :hour"),
        (HOURS, ":room * 7 + :hour"),
        (HOURS, ":room * 100 - :hour * 25"),
        (HOURS, "(:room || '' || :hour)::bigint"),
        (HOURS, "hashtext(:room || '' || :hour)"),
        (HOURS, "hashint4(:room) # hashint4(:hour)"),
        (SLOTS, ":room + :hour"),
        (COURTS, ":court + :day"),
        (COURTS, ":court * :day"),
        (COURTS, ":court * 7 + :day"),
        (COURSES, ":course % 8"),
    ],
)
def test_a_number_that_two_different_bookings_share_is_found(variant: Variant, number: str) -> None:
    insert = checked(variant).replace("INTO booking SELECT :court", "INTO booking (court, day, who) SELECT :court")
    found = verdict(EXERCISE, {"booking": f"SELECT pg_advisory_xact_lock({number}); {insert}"}, variant)
    assert found.points == 0 and "Which number does each of the two lock?" in shown(found)
    assert found.misconception == EXERCISE.misconceptions["same-number"] and "advisory lock" in str(found.pictures[0])


@pytest.mark.parametrize("number", [":boat * 5 + h", ":boat * 24 + h", ":boat * 100 + h"])
def test_a_number_for_each_hour_of_a_boat_is_one_of_this_boat_alone(number: str) -> None:
    lock = f"SELECT pg_advisory_xact_lock({number}) FROM generate_series(:from, :to - 1) h"
    found = verdict(EXERCISE, {"booking": f"{lock}; {checked(BOATS)}"}, BOATS)
    assert found.points == 0 and found.misconception == EXERCISE.misconceptions["same-number"]


def test_a_rule_that_takes_two_different_bookings_for_one_is_found() -> None:
    """It forbids what no two bookings of a scene have in common."""
    ddl = "CREATE UNIQUE INDEX ON booking ((room_id * 7 + hour))"
    found = verdict(EXERCISE, {"ddl": ddl, "booking": HOURS.booking}, HOURS)
    assert found.points == 0 and "there is no row" in shown(found)
    assert found.misconception == EXERCISE.misconceptions["wider-is-safer"]


@pytest.mark.parametrize("variant", (TELESCOPE, BOATS), ids=("telescope", "boats"))
def test_a_lock_for_each_hour_is_right(variant: Variant) -> None:
    key = ":boat, h" if variant is BOATS else "h"
    lock = f"SELECT pg_advisory_xact_lock({key}) FROM generate_series(:from, :to - 1) h"
    assert verdict(EXERCISE, {"booking": f"{lock}; {checked(variant)}"}, variant).full


def test_who_has_begun_may_still_roll_back() -> None:
    """A lock that is only tried says 'taken' to the second one, and then the first one rolls back."""
    ddl = TRIGGER.format(condition="NOT pg_try_advisory_xact_lock(NEW.room_id, NEW.hour)")
    found = verdict(EXERCISE, {"ddl": ddl, "booking": checked(HOURS)}, HOURS)
    assert found.points == 0 and "one rolls back, and the other one ends with P0001" in shown(found)
    assert found.misconception == EXERCISE.misconceptions["taken-at-once"]


def test_a_refused_ddl_is_called_ddl() -> None:
    clash = {"ddl": "CREATE UNIQUE INDEX ON booking (course_id)", "booking": COURSES.booking}
    assert "PostgreSQL adds: Key (course_id)=(3) is duplicated." in shown(verdict(EXERCISE, clash, COURSES))
    asked = shown(verdict(EXERCISE, {"ddl": "CREATE EXTENSION btree_gist", "booking": BOATS.booking}, BOATS))
    assert "`ddl` is refused" in asked and "it has no extensions" in asked and "setup is refused" not in asked
