"""Acceptance checks for booking code that an agent writes: which of them tell the right desks from the wrong ones?

    right desks   locks, constraints, tries, flags ...    accept(history) ──▶ True for each of their histories
    wrong desks   stale looks, lies, lost bookings ...    accept(history) ──▶ False for one of their histories at least

An agent hands over booking code, and its tests pass: one request after the other. What it does beside another request is seen in histories of real
runs on PostgreSQL: what was there, who asked when, what each was answered, what is left. Checks fail in two ways. They look at the rows that are left alone, so
that a lie, a lost booking or a needless refusal passes; or they want what one desk does, its order or its luck. What is right is: some order of
the requests, one after the other, gives the same answers and leaves the same rows. The variants change the rules of the house.

    >>> variant = VARIANTS[0]
    >>> len(bank(variant.rules).right) > 6, len(bank(variant.rules).wrong) > 15
    (True, True)

Sources: Herlihy and Wing, "Linearizability", 1990; Kingsbury and Alvaro, "Elle", VLDB 2020, for judging a database by its histories. Left out: histories
of more than two requests, and requests whose end nobody knows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.exercises.isolation.deskbank import RULES, bank
from workbook.exercises.isolation.desks import Desk, History, Rules, Seen, played
from workbook.exercises.rules import accepts_rule, sorted_out, unless_decided
from workbook.grading.answer import Function
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register

SIGNATURE = "accept(history)"


@dataclass(frozen=True)
class Variant:
    """Whose desk it is, and the rules that it was given."""

    story: str
    rules: Rules


VARIANTS = tuple(
    Variant(story, rules)
    for story, rules in zip(
        (
            "A guest house where rooms are made between eleven and two",
            "A house in which every room is painted after each stay",
            "A hostel: rooms of two beds",
            "A clinic: a patient has one bed, and one only",
            "A house that airs each room for a day, and whose guests cancel twice to be sure",
            "A pilgrims' hostel: two beds a room, one bed a pilgrim",
        ),
        RULES,
        strict=True,
    )
)


def judge(answer: Function, variant: Variant) -> Judgement:
    known = bank(variant.rules)
    found = sorted_out(answer, mixed(variant.rules), known.right, "history")
    if isinstance(found, Finding):
        return Judgement(0.0, (found,))
    refused, caught = found
    findings, shown = [], []  # type: list[Finding], list[tuple[Desk, Seen]]
    right, wrong = list(known.right), list(known.wrong)
    accepted = [desk for desk in wrong if desk not in caught]
    if refused:
        first = next(desk for desk in right if desk in refused)
        findings.append(_of_right(first, refused[first], len(refused), len(right), variant.rules))
        shown.append((first, refused[first]))
    else:
        findings.append(Finding(True, f"All {len(right)} right desks are accepted."))
    if accepted:
        seen = known.wrong[accepted[0]][0]
        findings.append(_of_wrong(accepted[0], seen, len(accepted), len(wrong), variant.rules))
        shown.append((accepted[0], seen))
    else:
        findings.append(Finding(True, f"None of {len(wrong)} wrong desks is accepted."))
    parted = None if refused or accepted else by_heart(answer, variant.rules)
    if parted is not None:
        findings.append(parted)
    findings.sort(key=lambda finding: finding.ok)
    pictures = tuple(played(desk, variant.rules, seen.day, seen.order).picture for desk, seen in shown[:1])
    return Judgement(float(not refused and not accepted and parted is None), tuple(findings), pictures)


def by_heart(answer: Function, rules: Rules) -> Finding | None:
    """The finding on a check that says something else of a history as soon as it is another house's, or None."""
    for _, _, history in mixed(rules):
        here, there = answer(history), answer(elsewhere(history))
        if undecided := unless_decided(here, "history") or unless_decided(there, "history"):
            return undecided
        if here != there:
            return Finding(
                ok=False,
                seen=f"Two days later, with other guests, rooms and numbers, the same history is {'accepted' if there else 'refused'}, and was {'accepted' if here else 'refused'}. {told(history)}",
                expected="The same answer: the rules of the house name no guest, no room and no day.",
                question="Which rule of the house does your check ask about here?",
            )
    return None


def elsewhere(history: History) -> History:
    """The same history with other guests, rooms and numbers, two days later; the clock begins later, too.

    >>> booking = {"number": 1, "room": 1, "first": 10, "last": 14, "guest": "Ada"}
    >>> elsewhere({"before": [booking], "operations": [], "after": []})["before"]
    [{'number': 501, 'room': 5, 'first': 12, 'last': 16, 'guest': 'Adam'}]
    """
    later = {"number": 500, "room": 4, "first": 2, "last": 2, "began": 3, "ended": 3, "guest": "m"}

    def moved(one: dict[str, Any]) -> dict[str, Any]:
        return {name: value + later[name] if name in later else value for name, value in one.items()}

    return {part: [moved(one) for one in rows] for part, rows in history.items()}


@cache
def mixed(rules: Rules) -> tuple[tuple[Desk, Seen, History], ...]:
    """The histories of all desks, right ones and wrong ones, in an order that tells nothing."""
    known = bank(rules)
    every = [(desk, one, one.history(rules, desk.name)) for each in (known.right, known.wrong) for desk in each for one in each[desk]]  # fmt: skip
    random.Random(f"{rules}").shuffle(every)
    return tuple(every)


def told(history: History) -> str:
    """What was there, the requests with their answers, and what is left, in a line."""
    parts = []
    for one in sorted(history["operations"], key=lambda each: (each["began"], each["ended"])):
        what = f"cancel({one['number']})"
        if one["do"] == "book":
            what = f"book({one['number']}, room {one['room']}, {one['first']} to {one['last']}, {one['guest']})"
        parts.append(f"{what} from {one['began']} to {one['ended']}: {one['answer']}")
    before = {row["number"]: row for row in history["before"]}
    after = {row["number"]: row for row in history["after"]}
    was = ", ".join(_row(row) for _, row in sorted(before.items()))
    new = ", ".join(_row(row) for number, row in sorted(after.items()) if before.get(number) != row)
    gone = ", ".join(str(number) for number in sorted(before) if number not in after)
    return f"Before: {was}. Asked: {'; '.join(parts)}. New: {new or 'nothing'}. Gone: {gone or 'nothing'}."


def _row(row: dict[str, Any]) -> str:
    return f"{row['number']} (room {row['room']}, {row['first']} to {row['last']}, {row['guest']})"


def _of_right(desk: Desk, seen: Seen, count: int, right: int, rules: Rules) -> Finding:
    return Finding(
        ok=False,
        seen=f"{count} of {right} right desks {_are(count)} refused. The first: {desk.name}. {told(seen.history(rules))}",
        expected="Each desk is accepted that keeps the rules of the house, however it is made.",
        question="One after the other, in which order would the two requests be answered just so? What does your check find fault with?",
        misconception="mine-alone",
    )


def _of_wrong(desk: Desk, seen: Seen, count: int, of: int, rules: Rules) -> Finding:
    return Finding(
        ok=False,
        seen=f"{count} of {of} wrong desks {_are(count)} accepted. Of the first one people say: “{desk.complaint}” A history of it: {told(seen.history(rules))}",
        expected="Each wrong desk is refused by one of its histories at least.",
        question=QUESTIONS[desk.belief],
        misconception=desk.belief,
    )  # fmt: skip


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


QUESTIONS = {
    "alone-is-right": "On which day are more guests in a room than may be there, and where does your check count them?",
    "same-start": "When do two stays meet? Compare the first and the last day of both, and put in what the house says of the day on which one leaves.",
    "no-clash-suffices": "Nothing clashes. But which booking, at any moment, forbade the one that was refused?",
    "rows-of-one-room": "Which rule of the house is about more than one room?",
    "answers-are-true": "What must be there, and what must be gone, after such an answer?",
    "rows-that-fit": "Which booking is not as it was, or not as it was asked for, and who had asked for that?",
    "failing-is-safe": "May this request fail, by the rules of the house?",
    "failed-is-nothing": "What may be left of a request that failed?",
    "any-order": "Which of the two had ended before the other one began, and can it come after that one all the same?",
}


def brief(variant: Variant) -> str:
    rules = variant.rules
    last = "does not count: another guest may arrive on it" if rules.turnover else "counts: the room is not free on it"
    places = "one guest" if rules.places == 1 else "two guests"
    each = "\n- A guest has at most one booking in the house; a second one is refused." if rules.one_each else ""
    failed = (
        'A request may be answered `"failed"` if another one ran beside it (they overlap in time), and then nothing is left of it. One that runs alone may not fail.'
        if rules.may_fail
        else 'No request is ever answered `"failed"`: the desk tries again itself.'
    )
    known = bank(rules)
    return (
        f"{variant.story}. An agent is to write the booking desk, and you write what decides whether it is taken: `{SIGNATURE}`, True or False for one history of two requests, as it was seen on PostgreSQL.\n\n"
        '```python\nhistory = {"before": [booking, ...], "operations": [request, request], "after": [booking, ...]}\n'
        'booking = {"number": 1, "room": 1, "first": 10, "last": 14, "guest": "Ada"}\n'
        'request = {"do": "book", "number": 11, "room": 3, "first": 5, "last": 8, "guest": "Dora", "began": 0, "ended": 2, "answer": "booked"}\n'
        'request = {"do": "cancel", "number": 1, "began": 1, "ended": 3, "answer": "cancelled"}\n```\n\n'
        "Bookings are listed in no particular order; numbers come from the client, and are never given twice. `began` and `ended` are moments, the same clock for both. The order:\n\n"
        f'- `book` is answered `"booked"`, and the booking is there as it was asked for, or `"refused"`, if the bookings that are there forbid it. In a room there is at most {places} on any day; the day `last` {last}.{each}\n'
        f'- `cancel` is answered `"cancelled"`, and the booking is gone; where it is not there (any more), `"{rules.again}"`.\n'
        f"- {failed}\n- It must be as if one request had come after the other, in some order; one that had ended before the other one began comes first.\n- All else is free: who is first of two that come at once, and how it is done.\n\n"
        f"Judged on {len(known.right)} right desks and {len(known.wrong)} wrong ones: every history of a right one must be accepted, and of each wrong one at least one refused. The bookings before are always right, and each wrong desk has a single fault."
    )


EXERCISE = register(
    Exercise(
        id="isolation-direct",
        lab="03_isolation",
        number=13,
        title="Direct: acceptance checks for an agent's booking code",
        kind="R",
        declares="value",
        points=4,
        core=False,
        minutes=25,
        answer=f"a function, def {SIGNATURE}",
        accepts=accepts_rule(SIGNATURE),
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "If the two requests had come one after the other, with nobody beside them: what would each be answered, and what would be left? And what if they had come the other way round?",
            lambda variant: (
                "Write the desk yourself, in Python, for one request and a list of bookings: its answer, and the list as it is left. Play the two requests on the bookings before, in both orders, and accept "
                "where one of the two gives the answers and the bookings that were seen. Then look at `began` and `ended`, and at the answer `failed`."
            ),
            lambda variant: (
                "for order in permutations(requests that did not fail): skip it if a later one ended before an earlier one began; rows = copies of `before`; for each request compute the answer from rows and change rows; accept if all "
                "answers agree and rows equal `after` (sort both by number). "
                + ("Before that, refuse if one failed and the other one did not overlap with it. " if variant.rules.may_fail else "Before that, refuse if one failed. ")
                + f"A request to book is refused if on a day from first to last{' - 1' if variant.rules.turnover else ''} its room has {variant.rules.places} already"
                + (", or its guest has a booking." if variant.rules.one_each else ".")
            ),
        ),
        judge=judge,
        why=lambda variant: (
            "The check holds what was answered and what is left against an order in which one came after the other: it needs to know nothing of locks, levels and tries, and so it takes desks that nobody here would have written. "
            "Rows alone show a clash, and never a lie, a lost booking or a needless refusal. What would change it: "
            + {True: "a house in which no request may fail, where whoever is serializable has to try again", False: "a house in which a request may fail beside another one, where the retry is the client's"}[variant.rules.may_fail]
            + "; three requests, whose orders are six; and a client whose connection breaks at COMMIT, and who does not know its answer."
        ),
        misconceptions={
            "mine-alone": "A right desk answers as mine would have answered.",
            "alone-is-right": "Code that is right when it runs alone is right.",
            "same-start": "Two stays clash if they begin on the same day.",
            "no-clash-suffices": "Where no two bookings clash, the desk is right.",
            "rows-of-one-room": "Whoever locks the room has locked all that matters.",
            "answers-are-true": "What a program answers is what it has done.",
            "rows-that-fit": "If the rows that are left fit together, nothing was lost.",
            "failing-is-safe": "To fail is always allowed.",
            "failed-is-nothing": "What has failed has left nothing.",
            "any-order": "Any order that explains the answers will do.",
        },
    )
)  # fmt: skip
