"""Booking desks that agents have written, right ones and wrong ones, and what each does when two clients come at once.

    a desk ── two requests, in several orders, on PostgreSQL ──▶ histories
              ann: book 11, room 3                                {"before": [...], "operations": [...], "after": [...]}
              ben: book 12, room 3                                     │ is there an order, one after the other, that explains it?
                                                                       ▼ `explained`
                                                              right desk: each one is;  wrong desk: one is not

A desk is what the code sends: statements, a level, how often it tries again, and what it tells its client. A client's `if` is a
setting of the transaction here (`set_config`), so that what was looked at first is decided upon later, as in a program. Which desks are right follows
from the rules that they were given and from what they did: nothing is marked by hand.

    >>> rules = Rules()
    >>> booking = {"number": 7, "room": 3, "first": 5, "last": 8, "guest": "Eve"}
    >>> asked = {"do": "book", **booking, "began": 0, "ended": 1, "answer": "booked"}
    >>> explained({"before": [], "operations": [asked], "after": [booking]}, rules)
    True
    >>> explained({"before": [], "operations": [asked], "after": []}, rules)
    False

Source: Herlihy and Wing, "Linearizability", 1990, for `explained`: one order, in which nobody comes before somebody who had ended earlier.
Left out: three clients at once, and what a client sees who asks in between.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbook.exercises.isolation.trial import stage, statements
from workbook.schedules import Program, Run, Schedule, ScheduleTimeout, Step
from workbook.schedules.retrying import run_with_retries

Booking = dict[str, Any]
History = dict[str, Any]
CLIENTS = ("ann", "ben")
COLUMNS = ("number", "room", "first", "last", "guest")


@dataclass(frozen=True)
class Rules:
    """What a desk was told.

    `turnover`, whether somebody may arrive on the day on which another one leaves; `places`, how many may be in a room at once; `one_each`,
    whether a guest may have one booking only; `may_fail`, whether a request may fail beside another one; `again`, what is answered to the
    cancelling of a booking that is not there.
    """

    turnover: bool = True
    places: int = 1
    one_each: bool = False
    may_fail: bool = True
    again: Literal["unknown", "cancelled"] = "unknown"


def refused(rows: Sequence[Booking], wanted: Mapping[str, Any], rules: Rules) -> bool:
    """Whether a booking has to be refused, by the bookings that are there."""
    if rules.one_each and any(row["guest"] == wanted["guest"] for row in rows):
        return True
    end = 0 if rules.turnover else 1
    there = [row for row in rows if row["room"] == wanted["room"]]
    return any(
        sum(row["first"] <= day < row["last"] + end for row in there) >= rules.places
        for day in range(wanted["first"], wanted["last"] + end)
    )


def answered(rows: list[Booking], asked: Mapping[str, Any], rules: Rules) -> str:
    """What a request has to be answered; `rows` are changed as it changes them."""
    if asked["do"] == "book":
        if refused(rows, asked, rules):
            return "refused"
        rows.append({name: asked[name] for name in COLUMNS})
        return "booked"
    found = [row for row in rows if row["number"] == asked["number"]]
    for row in found:
        rows.remove(row)
    return "cancelled" if found else rules.again


def explained(history: History, rules: Rules) -> bool:
    """Whether some order of the requests, one after the other, gives these answers and leaves these bookings."""
    asked = history["operations"]
    for one in asked:
        beside = any(_beside(one, other) for other in asked if other is not one)
        if one["answer"] == "failed" and not (rules.may_fail and beside):
            return False
    for order in itertools.permutations([one for one in asked if one["answer"] != "failed"]):
        if any(later["ended"] < earlier["began"] for earlier, later in itertools.combinations(order, 2)):
            continue
        rows = [dict(row) for row in history["before"]]
        if all(answered(rows, one, rules) == one["answer"] for one in order) and _same(rows, history["after"]):
            return True
    return False


def _beside(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one["began"] < other["ended"] and other["began"] < one["ended"])


def _same(rows: Sequence[Booking], others: Sequence[Booking]) -> bool:
    return sorted(map(row_of, rows)) == sorted(map(row_of, others))


def row_of(booking: Booking) -> tuple[Any, ...]:
    """A booking as a tuple of `COLUMNS`."""
    return tuple(booking[name] for name in COLUMNS)


def before(rules: Rules) -> list[Booking]:
    """The bookings that are there. Of room 3 one place is left, and of room 1 none for some days, whatever their places."""
    rows = [(1, 1, 10, 14, "Ada"), (2, 2, 10, 14, "Ben"), (3, 1, 20, 22, "Cy")]
    rows += [(4, 3, 4, 10, "Flo"), (5, 1, 12, 14, "Gil")] if rules.places == 2 else []
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def _book(number: int, room: int, first: int, last: int, guest: str) -> dict[str, Any]:
    return {"do": "book", "number": number, "room": room, "first": first, "last": last, "guest": guest}


def _cancel(number: int) -> dict[str, Any]:
    return {"do": "cancel", "number": number}


DAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rivals": (_book(11, 3, 5, 8, "Dora"), _book(12, 3, 6, 9, "Eve")),
    "others": (_book(13, 4, 5, 8, "Dora"), _book(14, 5, 5, 8, "Eve")),
    "guest": (_book(15, 4, 5, 8, "Zoe"), _book(16, 5, 25, 28, "Zoe")),
    "leaves": (_cancel(1), _book(17, 1, 11, 13, "Eve")),
    "twice": (_cancel(2), _cancel(2)),
    "touch": (_book(18, 1, 14, 16, "Dora"), _book(19, 2, 6, 10, "Eve")),
    "within": (_book(20, 1, 11, 12, "Dora"), _book(21, 2, 8, 16, "Eve")),
}
"""Pairs of requests that come at the same time, or one after the other."""
FEW = ("touch", "within")
"""Those that are about the rules more than about one another: few orders tell."""
Says = Literal["last", "first", "always", "early", "undone", "error is no"]


@dataclass(frozen=True)
class Desk:
    """A desk: what it sends for a request to book and to cancel (`:name` stands for the request's values), on a schema of its own where it
    has one (`more`), at a `level`, up to `tries` times; what it takes for an answer (`says`: whether its last statement found a row, or
    its first one; always yes; the last one's, before COMMIT; no, where the last one took something back; no on an error). What users say of it, where it is
    wrong, and the `belief` of whoever accepts it."""

    name: str
    book: str
    cancel: str
    complaint: str = ""
    belief: str = ""
    level: str = "read committed"
    tries: int = 1
    more: str = ""
    says: Says = "last"
    cancel_says: Says = "last"

    def sessions(self, day: str) -> dict[str, tuple[Step, ...]]:
        """What each client's session does on a day."""
        found = {}
        for client, asked in zip(CLIENTS, DAYS[day], strict=True):
            sql = statements(self.book if asked["do"] == "book" else self.cancel, asked)
            found[client] = tuple(Step(client, one) for one in sql)
        return found


TABLES = """CREATE TABLE rooms (room int PRIMARY KEY, version int NOT NULL DEFAULT 0);
INSERT INTO rooms SELECT i FROM generate_series(1, 6) i;
CREATE TABLE bookings (number int PRIMARY KEY, room int NOT NULL, first int NOT NULL, last int NOT NULL, guest text NOT NULL, cancelled boolean NOT NULL DEFAULT false);
"""


def setup(desk: Desk, rules: Rules) -> str:
    """The rooms, the bookings that are there, and what a desk has besides."""
    rows = ", ".join(f"({row[0]}, {row[1]}, {row[2]}, {row[3]}, '{row[4]}')" for row in map(row_of, before(rules)))
    return f"{TABLES}INSERT INTO bookings VALUES {rows};\n{desk.more}"


@dataclass(frozen=True)
class Seen:
    """What came of one order of a day: when each request began and ended (places among all four moments), its answer, and the bookings
    that are left, as rows, sorted."""

    day: str
    order: int
    spans: tuple[tuple[int, int], ...]
    answers: tuple[str, ...]
    after: tuple[tuple[Any, ...], ...]

    @property
    def outside(self) -> tuple[Any, ...]:
        """What can be told from outside."""
        return self.day, self.spans, self.answers, self.after

    def history(self, rules: Rules, seed: str = "") -> History:
        """The history as plain data; the bookings in an order drawn by the seed."""
        asked = [
            {**one, "began": span[0], "ended": span[1], "answer": answer}
            for one, span, answer in zip(DAYS[self.day], self.spans, self.answers, strict=True)
        ]
        after = [dict(zip(COLUMNS, row, strict=True)) for row in self.after]
        random.Random(f"{seed} {self.day}").shuffle(after)
        return {"before": before(rules), "operations": asked, "after": after}


def measured(desk: Desk, rules: Rules) -> list[Seen]:
    """What comes of a desk on PostgreSQL: of every pair of requests in a few orders; what looks the same from outside, once."""
    found: dict[tuple[Any, ...], Seen] = {}
    for day in DAYS:
        for number in range(len(list(orders(desk, rules, day)))):
            seen = seen_in(played(desk, rules, day, number), desk, day, number)
            found.setdefault(seen.outside, seen)
    return list(found.values())


def played(desk: Desk, rules: Rules, day: str, number: int) -> Run:
    """One order of a day, on PostgreSQL."""
    program, chosen = list(orders(desk, rules, day))[number]
    try:
        return run_with_retries(program, chosen, desk.level, stage(), codes=("40001", "40P01"), most=desk.tries).run
    except ScheduleTimeout as error:
        if error.run is None:
            raise
        return error.run


def orders(desk: Desk, rules: Rules, day: str) -> Iterator[tuple[Program, Schedule]]:
    """One after the other, both ways; in turns, both ways; and on most days one within the other, both ways. A BEGIN goes with what
    follows it."""
    program = Program(f"A booking desk: {desk.name}", setup(desk, rules), desk.sessions(day))
    parts = {name: _parts(steps) for name, steps in program.sessions.items()}
    for mine, theirs in (CLIENTS, CLIENTS[::-1]):
        a, b = parts[mine], parts[theirs]
        turns = [part for pair in itertools.zip_longest(a, b) for part in pair if part]
        for chosen in ([*a, *b], turns, *([] if day in FEW else [[a[0], *b, *a[1:]]])):
            yield program, program.order(step.session for part in chosen for step in part)


def _parts(steps: Sequence[Step]) -> list[list[Step]]:
    parts: list[list[Step]] = []
    for step in steps:
        if parts and parts[-1][-1].begins:
            parts[-1].append(step)
        else:
            parts.append([step])
    return parts


def seen_in(run: Run, desk: Desk, day: str, number: int) -> Seen:
    """What can be told of a run from outside."""
    spans = []
    for client in CLIENTS:
        at = [event.at for event in run.events if run.step(event).session == client]
        spans.append((min(at), max(at)))
    moments = sorted(moment for span in spans for moment in span)
    ranked = tuple((moments.index(began), moments.index(ended)) for began, ended in spans)
    answers = tuple(_answer(run, client, one["do"], desk) for client, one in zip(CLIENTS, DAYS[day], strict=True))
    names = run.columns.get("bookings", ())
    left = [dict(zip(names, row, strict=True)) for row in run.final.get("bookings", ())]
    return Seen(day, number, ranked, answers, tuple(sorted(row_of(row) for row in left if not row["cancelled"])))


def _answer(run: Run, client: str, do: str, desk: Desk) -> str:
    """What the desk tells its client."""
    yes, no = ("booked", "refused") if do == "book" else ("cancelled", "unknown")
    says = desk.says if do == "book" else desk.cancel_says
    done = [
        event
        for event in run.events
        if run.step(event).session == client and not run.step(event).begins and not run.step(event).ends
    ]
    failed = run.outcomes[client] != "committed"
    if failed and not (says == "early" and not any(event.kind == "failed" for event in done)):
        return no if says == "error is no" else "failed"
    if says == "always":
        return yes
    ended = [event for event in done if event.kind == "done"]
    found = ((ended[0] if says == "first" else ended[-1]).rowcount or 0) > 0
    return yes if found is not (says == "undone") else no
