"""What is booked, and by whom at the same time: six tables of bookings, each with its scenes of two customers.

    variant    what may not happen twice          what keeps the second one out
    rooms      one hour of one room               a unique key
    courts     one day, of what is not cancelled  a unique index with a WHERE
    telescope  two pieces that overlap            an exclusion constraint
    boats      the same, boat by boat             the same, of two ranges
    courses    more bookings than seats           a lock on what both know: no key counts
    slots      one hour of one room               a lock on its row, or a level and a loop: the tables are another team's

A `Scene` says what two customers want and what must become of it; a `grid` names further bookings, all different and all free.

    >>> [len(variant.grid) for variant in VARIANTS]
    [258, 371, 160, 398, 19, 258]

Left out: three customers at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from workbook.exercises.isolation.trial import LIMIT

FEW = 3
"""In how many orders further customers of a scene are run, besides the serial ones."""
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
    """A table of bookings, and the booking as it is `shipped`; the reference's `ddl`, `booking` and `level`; the scenes; a
    `grid` of further bookings, all different and free. `loop`: the client sends again what ended with 40001 or 40P01, and the tables are not the
    learner's to change."""

    story: str
    wanted: str
    setup: str
    shipped: str
    ddl: str
    booking: str
    scenes: tuple[Scene, ...]
    because: str
    nearly: str
    grid: tuple[Values, ...] = field(hash=False)
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


def _grid(one: str, ones: Iterable[int], other: str, others: Iterable[int]) -> tuple[Values, ...]:
    """Every pair of the two values."""
    return tuple({one: first, other: second} for first, second in itertools.product(ones, others))


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

_HOUR_GRID = tuple(
    one for one in _grid("room", range(1, 21), "hour", range(8, 21)) if one["hour"] > 8 or one["room"] not in (5, 12)
)
_DAY_GRID = tuple(one for one in _grid("court", range(1, 13), "day", range(1, 32)) if one != {"court": 8, "day": 5})
_PIECES = _spans(*((hour, hour + 1) for hour in range(100, 260)))
_SHORT_TRIPS = tuple(
    {"boat": boat, "from": hour, "to": hour + 1}
    for boat in range(1, 21)
    for hour in (*range(10, 36 if boat < 13 else 11), *range(110, 136 if boat < 4 else 110))
)
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
        _HOUR_GRID,
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
        _DAY_GRID,
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
        _PIECES,
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
        _SHORT_TRIPS,
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
        "No key forbids a fourth row: the rule is about a count. So the two must meet at something that both know: the course's row, or a number for an advisory lock. Whoever has locked it "
        "counts alone, and at read committed the count is taken after the wait, by a statement with a snapshot of its own.",
        "Lock the row that both need, the course's, in a statement of its own, before the count. (Or keep the number of free seats there, in one UPDATE.)",
        tuple({"course": course} for course in range(1, 21) if course != 4),
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
        _HOUR_GRID,
        loop=True,
    ),
)  # fmt: skip
