"""The bank of desks for a set of rules: what agents have delivered, each in the SQL that it sends.

    one set of rules ──▶ desks ──▶ each plays its days on PostgreSQL ──▶ right: every history is explained
                                                                        wrong: one is not

The wrong ones have one fault each: a look that is stale by the time of the write, a rule read otherwise, an answer that is not true, a
booking of somebody else that goes, a failure that nobody needed. What is a fault follows from the rules: to refuse the second guest of a room is one
where two may be in it, and none where one may.

    >>> len(desks(Rules())) > 20
    True

The histories were measured by `python -m workbook.exercises.isolation.deskbank`, which writes them to desks.json; what is right among them is worked out
each time. Tests measure them again.

Left out: desks with two faults; whoever finds one finds them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from workbook.exercises.isolation.desks import Desk, Rules, Seen, before, explained, measured, row_of

DELETE = "DELETE FROM bookings WHERE number = :number"
NEW = ":number, :room, :first, :last, :guest"


def busy(rules: Rules, taken: str = "bookings") -> str:
    """The condition under which a request has to be refused, as SQL."""
    less, end = ("<", " - 1") if rules.turnover else ("<=", "")
    full = (
        f"EXISTS (SELECT FROM generate_series(:first::int, :last::int{end}) AS d WHERE (SELECT count(*) FROM {taken} b WHERE b.room = :room "
        f"AND NOT b.cancelled AND b.first <= d AND d {less} b.last) >= {rules.places})"
    )
    if rules.one_each:
        full = f"({full} OR EXISTS (SELECT FROM {taken} b WHERE b.guest = :guest AND NOT b.cancelled))"
    return full


def insert(condition: str) -> str:
    return f"INSERT INTO bookings SELECT {NEW} WHERE NOT {condition}"


def look(condition: str) -> str:
    """The client looks, and decides later by what it has seen."""
    return f"SELECT set_config('desk.free', (NOT {condition})::text, true)"


DECIDED = f"INSERT INTO bookings SELECT {NEW} WHERE current_setting('desk.free')::boolean"
HOUSE = "LOCK TABLE bookings IN SHARE ROW EXCLUSIVE MODE"


def room_locked(rules: Rules) -> str:
    """Lock the room, and the guest where a guest may have one booking only."""
    guest = "SELECT pg_advisory_xact_lock(hashtext(:guest)); " if rules.one_each else ""
    return f"{guest}SELECT FROM rooms WHERE room = :room FOR NO KEY UPDATE"


def right_ones(rules: Rules) -> list[Desk]:
    """Desks that are meant well, and some that are right under these rules only."""
    condition = busy(rules)
    found = [
        Desk("the room's row is locked first", f"{room_locked(rules)}; {look(condition)}; {DECIDED}", DELETE),
        Desk("the table is locked", f"{HOUSE}; {insert(condition)}", f"{HOUSE}; {DELETE}"),
        Desk("an advisory lock for the house", f"SELECT pg_advisory_xact_lock(7); {insert(condition)}", f"SELECT pg_advisory_xact_lock(7); {DELETE}"),
        Desk("serializable, tried again", f"{look(condition)}; {DECIDED}", DELETE, level="serializable", tries=5),
        Desk("a version is counted up at repeatable read, tried again",
             f"UPDATE rooms SET version = version + 1 WHERE room = {'1' if rules.one_each else ':room'}; {look(condition)}; {DECIDED}", DELETE, level="repeatable read", tries=5),
        Desk("what is cancelled is kept", f"{HOUSE}; {insert(condition)}", "UPDATE bookings SET cancelled = true WHERE number = :number AND NOT cancelled"),
        Desk("serializable, not tried again", f"{look(condition)}; {DECIDED}", DELETE, "It failed, and nobody sent my request again.", "failing-is-safe", level="serializable"),
        Desk("who cannot have the room's lock fails", f"{room_locked(rules).replace('FOR NO KEY UPDATE', 'FOR NO KEY UPDATE NOWAIT')}; {insert(condition)}", DELETE,
             "It failed, and nobody sent my request again.", "failing-is-safe"),
    ]  # fmt: skip
    if rules.places == 1:
        bounds = "[)" if rules.turnover else "[]"
        each = "ALTER TABLE bookings ADD UNIQUE (guest);" if rules.one_each else ""
        more = f"ALTER TABLE bookings ADD EXCLUDE USING gist (int4range(room, room, '[]') WITH &&, int4range(first, last, '{bounds}') WITH &&);{each}"
        kept = f"INSERT INTO bookings VALUES ({NEW}) ON CONFLICT DO NOTHING"
        found.append(Desk("a constraint excludes the second", kept, DELETE, more=more))
        found.append(Desk("a constraint excludes the second, and its error is not caught", kept.replace(" ON CONFLICT DO NOTHING", ""), DELETE,
                          "The room was taken, and all that I was told is that it failed.", "failing-is-safe", more=more))  # fmt: skip
    return [_again(desk, rules) for desk in found]


def _again(desk: Desk, rules: Rules) -> Desk:
    return replace(desk, cancel_says="always") if rules.again == "cancelled" else desk


ALONE, FREE, GONE = (
    "Two of us stood before one bed.",
    "There was room for me, and I was refused.",
    "I had a booking, and it is gone.",
)
UNTRUE = "I was told that I have the room; nobody there knows of me."


def wrong_ones(rules: Rules) -> list[Desk]:
    """Desks with one fault each (unless the rules make it none)."""
    condition, locked = busy(rules), room_locked(rules)
    other = busy(replace(rules, turnover=not rules.turnover))
    counted = busy(replace(rules, places=3 - rules.places))
    each = busy(replace(rules, one_each=not rules.one_each))
    simple = f"EXISTS (SELECT FROM bookings b WHERE b.room = :room AND NOT b.cancelled AND b.first = :first{'' if rules.places == 1 else ' AND b.last = :last'})"
    found = [
        Desk("looked first, then wrote", f"{look(condition)}; {DECIDED}", DELETE, ALONE, "alone-is-right"),
        Desk("one statement, no lock", insert(condition), DELETE, ALONE, "alone-is-right"),
        Desk("repeatable read, tried again", f"{look(condition)}; {DECIDED}", DELETE, ALONE, "alone-is-right", "repeatable read", 5),
        Desk("compares the first days", f"{locked}; {insert(simple)}", DELETE, "Somebody else was in my bed from the second night on.", "same-start"),
        Desk("the other turnover", f"{HOUSE}; {insert(other)}", DELETE,
             FREE if rules.turnover else "The room was not made when I came.", "no-clash-suffices" if rules.turnover else "same-start"),
        Desk("another count of places", f"{HOUSE}; {insert(counted)}", DELETE, FREE if rules.places == 2 else ALONE, "no-clash-suffices" if rules.places == 2 else "alone-is-right"),
        Desk("another rule for guests", f"{HOUSE}; {insert(each)}", DELETE, "She had two bookings, and I had none." if rules.one_each else FREE,
             "rows-of-one-room" if rules.one_each else "no-clash-suffices"),
        Desk("looks at a copy that knows of no cancelling", f"LOCK TABLE taken IN EXCLUSIVE MODE; {look(busy(rules, 'taken'))}; INSERT INTO taken SELECT {NEW} WHERE current_setting('desk.free')::boolean; {DECIDED}",
             DELETE, "He cancelled, and only then I asked; I was refused.", "any-order", more="CREATE TABLE taken (LIKE bookings INCLUDING ALL);\nINSERT INTO taken SELECT * FROM bookings;"),
        Desk("no room that was ever booked", f"{HOUSE}; {insert('EXISTS (SELECT FROM bookings b WHERE b.room = :room)')}", DELETE, FREE, "no-clash-suffices"),
        Desk("writes, looks, and takes back", f"BEGIN; INSERT INTO bookings VALUES ({NEW}); COMMIT; BEGIN; DELETE FROM bookings WHERE number = :number AND {busy(rules, '(SELECT * FROM bookings WHERE number <> :number)')}; COMMIT",
             DELETE, "Two of us asked, both were refused, and the bed stayed empty.", "no-clash-suffices", says="undone"),
        Desk("an error is a refusal", f"{look(condition)}; {DECIDED}", DELETE, FREE, "no-clash-suffices", "serializable", says="error is no"),
        Desk("always says booked", f"{HOUSE}; {insert(condition)}", DELETE, UNTRUE, "answers-are-true", says="always"),
        Desk("answers before COMMIT", f"{look(condition)}; {DECIDED}", DELETE, UNTRUE, "answers-are-true", "serializable", says="early"),
        Desk("the last one wins", f"{HOUSE}; DELETE FROM bookings WHERE room = :room AND first < :last AND :first < last; INSERT INTO bookings VALUES ({NEW})", DELETE, GONE, "rows-that-fit"),
        Desk("books a day less", f"{HOUSE}; {insert(condition).replace(':last, :guest', ':last - 1, :guest')}", DELETE, "I booked till the 8th, and had to leave on the 7th.", "rows-that-fit"),
        Desk("books under a shortened name", f"{HOUSE}; {insert(condition).replace(':guest', 'left(:guest, 2)')}", DELETE, "At the door they asked me who I was.", "rows-that-fit"),
        Desk("cancels nothing", f"{HOUSE}; {insert(condition)}", "SELECT number FROM bookings WHERE number = :number", "I cancelled, it was confirmed, and I had to pay.", "answers-are-true"),
        Desk("cancels the room", f"{HOUSE}; {insert(condition)}", "DELETE FROM bookings WHERE room = (SELECT room FROM bookings WHERE number = :number)", GONE, "rows-that-fit"),
        Desk("cancels by what it saw", f"{HOUSE}; {insert(condition)}", f"SELECT number FROM bookings WHERE number = :number; {DELETE}", "One booking was cancelled twice, and paid back twice.",
             "answers-are-true", cancel_says="first"),
        Desk("answers the second cancelling otherwise", f"{HOUSE}; {insert(condition)}", DELETE, "I cancelled again to be sure, and was told something else than was agreed.", "answers-are-true",
             cancel_says="last" if rules.again == "cancelled" else "always"),
        Desk("fails after it has booked", f"BEGIN; {HOUSE}; {insert(condition)}; COMMIT; BEGIN; SELECT FROM rooms WHERE room = 6 FOR UPDATE NOWAIT; SELECT number FROM bookings WHERE number = :number; COMMIT",
             DELETE, "It failed, so I went elsewhere; and now I pay for two.", "failed-is-nothing"),
        Desk("fails always", "SELECT 1 / 0", DELETE, "Nobody ever got a room.", "failing-is-safe"),
    ]  # fmt: skip
    if rules.places == 1:  # of two places one is taken, and then there is a booking to be locked
        absent = f"SELECT FROM bookings WHERE room = :room FOR UPDATE; {insert(condition)}"
        found.append(Desk("the bookings are locked that are there", absent, DELETE, ALONE, "alone-is-right"))
    if rules.one_each:
        found.append(Desk("locks the room, not the guest", f"SELECT FROM rooms WHERE room = :room FOR NO KEY UPDATE; {look(condition)}; {DECIDED}", DELETE,
                          "She had two bookings, and I had none.", "rows-of-one-room"))  # fmt: skip
    kept = ("cancels by what it saw", "answers the second cancelling otherwise")
    return [desk if desk.name in kept else _again(desk, rules) for desk in found]


def desks(rules: Rules) -> list[Desk]:
    """All desks of the bank, in the order in which they are told of."""
    return [*right_ones(rules), *wrong_ones(rules)]


@dataclass(frozen=True)
class Bank:
    """The right desks with all their histories, the wrong ones with those that no order explains."""

    right: dict[Desk, tuple[Seen, ...]]
    wrong: dict[Desk, tuple[Seen, ...]]


@cache
def bank(rules: Rules) -> Bank:
    """What PostgreSQL has made of the desks, under these rules."""
    right: dict[Desk, tuple[Seen, ...]] = {}
    wrong: dict[Desk, tuple[Seen, ...]] = {}
    known = stored(rules)
    for desk in desks(rules):
        unexplained = tuple(one for one in known[desk.name] if not explained(one.history(rules), rules))
        if unexplained:
            wrong[desk] = unexplained
        else:
            right[desk] = known[desk.name]
    return Bank(right, wrong)


RULES = (
    Rules(),
    Rules(turnover=False, may_fail=False),
    Rules(places=2),
    Rules(one_each=True, may_fail=False),
    Rules(turnover=False, again="cancelled"),
    Rules(places=2, one_each=True, may_fail=False, again="cancelled"),
)
"""The sets of rules of which the histories are stored."""
STORED = Path(__file__).with_name("desks.json")


def stored(rules: Rules) -> dict[str, tuple[Seen, ...]]:
    """The measured histories of each desk, by its name."""
    found, rows = _file()[RULES.index(rules)], [row_of(one) for one in before(rules)]
    pool = []
    for day, spans, answers, gone, new in found["histories"]:
        after = [*(row for row in rows if row[0] not in gone), *map(tuple, new)]
        pool.append((day, tuple(map(tuple, spans)), tuple(answers), tuple(sorted(after))))
    return {
        name: tuple(Seen(pool[at][0], order, *pool[at][1:]) for at, order in entries)
        for name, entries in found["desks"].items()
    }


@cache
def _file() -> list[dict[str, Any]]:
    return list(json.loads(STORED.read_text(encoding="utf-8")))


def text_of(every: Sequence[Mapping[str, Sequence[Seen]]]) -> str:
    """The text of the stored file, for each of `RULES`: the different histories, a line each (of the bookings those that are gone and those
    that are new), and for each desk which of them it had, in which order."""
    parts = []
    for rules, found in zip(RULES, every, strict=True):
        rows = [row_of(one) for one in before(rules)]
        pool = list(dict.fromkeys(one.outside for seen in found.values() for one in seen))
        places = {outside: at for at, outside in enumerate(pool)}
        told = []
        for day, spans, answers, after in pool:
            gone, new = [row[0] for row in rows if row not in after], [row for row in after if row not in rows]
            told.append([day, spans, answers, gone, new])
        entries = {name: [[places[one.outside], one.order] for one in seen] for name, seen in found.items()}
        histories = ",\n".join(json.dumps(one, separators=(",", ":")) for one in told)
        named = ",\n".join(
            f"{json.dumps(name)}:{json.dumps(each, separators=(',', ':'))}" for name, each in entries.items()
        )
        parts.append(f'{{"histories":[\n{histories}],\n"desks":{{\n{named}}}}}')
    return "[" + ",\n".join(parts) + "]\n"


if __name__ == "__main__":
    from rich.progress import track

    every = [
        {desk.name: measured(desk, rules) for desk in track(desks(rules), f"rules {number} of {len(RULES)}")}
        for number, rules in enumerate(RULES, 1)
    ]
    STORED.write_text(text_of(every), encoding="utf-8")
