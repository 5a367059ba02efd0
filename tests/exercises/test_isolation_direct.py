"""Acceptance checks for booking desks: two that are right, many that trust or want too much, and a bank that PostgreSQL has made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.isolation.deskbank import RULES, bank, desks, right_ones, stored, text_of, wrong_ones
from workbook.exercises.isolation.desks import Rules, explained, measured
from workbook.exercises.isolation.direct import EXERCISE, QUESTIONS, VARIANTS, Variant, elsewhere, mixed

Check = Callable[[Any], bool]


def full(rows: Any, wanted: Any, rules: Rules) -> bool:
    """Whether the bookings that are there forbid one more."""
    last = wanted["last"] + (0 if rules.turnover else 1)
    for day in range(wanted["first"], last):
        there = [row for row in rows if row["room"] == wanted["room"] and row["first"] <= day]
        if (
            len([row for row in there if day < row["last"] or (day == row["last"] and not rules.turnover)])
            >= rules.places
        ):
            return True
    return rules.one_each and wanted["guest"] in [row["guest"] for row in rows]


def booking(request: Any) -> Any:
    return {name: request[name] for name in ("number", "room", "first", "last", "guest")}


def model(variant: Variant, without: tuple[str, ...] = ()) -> Check:
    """A right check, by playing the requests in both orders; `without` some of its parts a wrong one."""
    rules = variant.rules

    def accept(history: Any) -> bool:
        requests = history["operations"]
        for one in requests:
            alone = all(
                other is one or other["ended"] < one["began"] or one["ended"] < other["began"] for other in requests
            )
            if one["answer"] == "failed" and (alone or not rules.may_fail) and "failing" not in without:
                return False
        for order in permutations([one for one in requests if one["answer"] != "failed"]):
            late = any(after["ended"] < before["began"] for before, after in combinations(order, 2))
            if late and "time" not in without:
                continue
            rows = list(history["before"])
            if all(played(rows, one) for one in order) and ("rows" in without or left(rows) == left(history["after"])):
                return True
        return False

    def played(rows: Any, one: Any) -> bool:
        if one["do"] == "cancel":
            found = [row for row in rows if row["number"] == one["number"]]
            rows[:] = [row for row in rows if row not in found]
            return "answers" in without or one["answer"] == ("cancelled" if found else rules.again)
        if full(rows, one, rules) or (one["answer"] == "refused" and "refusals" in without):
            return "answers" in without or one["answer"] == "refused"
        rows.append(booking(one))
        return "answers" in without or one["answer"] == "booked"

    def left(rows: Any) -> Any:
        return sorted(rows, key=lambda row: row["number"])

    return accept


def by_invariants(variant: Variant) -> Check:
    """A right check of another shape: rule by rule, without an order of the requests."""
    rules = variant.rules

    def accept(history: Any) -> bool:
        return not list(broken(history))

    def broken(history: Any) -> Iterator[str]:
        before = {row["number"]: row for row in history["before"]}
        after = {row["number"]: row for row in history["after"]}
        requests = history["operations"]
        cancelled = {one["number"] for one in requests if one["answer"] == "cancelled" and one["number"] in before}
        booked = {one["number"]: booking(one) for one in requests if one["answer"] == "booked"}
        kept = {number: row for number, row in before.items() if number not in cancelled}
        if after != {**kept, **booked}:
            yield "what is left is not what the answers say"
        for one, other in (requests, requests[::-1]):
            earlier, later = other["ended"] < one["began"], one["ended"] < other["began"]
            if one["answer"] == "failed" and (earlier or later or not rules.may_fail):
                yield "it may not fail"
            may_follow = [] if later else [True]
            may_lead = [] if earlier else [False]
            worlds = [self_and(before, other if follows else None) for follows in may_lead + may_follow]
            if one["answer"] in ("booked", "refused") and not any(
                full(rows, one, rules) is (one["answer"] == "refused") for rows in worlds
            ):
                yield "no world in which this is the answer"
            if (
                one["do"] == "cancel"
                and one["answer"] == "unknown"
                and all(one["number"] in [row["number"] for row in rows] for rows in worlds)
            ):
                yield "it was there"
            if one["do"] == "cancel" and one["answer"] == "cancelled" != rules.again and one["number"] not in before:
                yield "it was not there"
        answers = [one["answer"] for one in requests if one["do"] == "cancel"]
        if answers.count("cancelled") > 1 and rules.again == "unknown":
            yield "cancelled twice"
        if "unknown" in answers and rules.again == "cancelled":
            yield "answered otherwise"
        if answers.count("unknown") > 1:
            yield "nobody has cancelled it"
        bookings = [one for one in requests if one["do"] == "book"]
        if len(bookings) == 2 and [one["answer"] for one in bookings] in (["booked", "booked"], ["refused", "refused"]):
            rows = list(before.values())
            both = [
                full([*rows, booking(bookings[0])], bookings[1], rules),
                full(rows, bookings[0], rules),
                full(rows, bookings[1], rules),
            ]
            if bookings[0]["answer"] == "booked" and any(both):
                yield "two, where one had to be refused"
            if bookings[0]["answer"] == "refused" and not (both[1] and both[2]):
                yield "none, where one had to be booked"

    def self_and(before: Any, other: Any) -> list[Any]:
        rows = dict(before)
        if other is not None and other["answer"] == "booked":
            rows[other["number"]] = booking(other)
        if other is not None and other["answer"] == "cancelled":
            rows.pop(other["number"], None)
        return list(rows.values())

    return accept


def no_clash(variant: Variant) -> Check:
    """What most people write first: no room has more guests than places."""

    def accept(history: Any) -> bool:
        rows = history["after"]
        return not any(full([other for other in rows if other is not row], row, variant.rules) for row in rows)

    return accept


def first_come(variant: Variant) -> Check:
    """Wants the one who began first to be first, as the author's own desk does it."""
    right = model(variant)

    def accept(history: Any) -> bool:
        requests = sorted(history["operations"], key=lambda one: one["began"])
        for number, one in enumerate(requests):
            one = dict(one, began=10 * number, ended=10 * number + 1)
            requests[number] = one
        return right({**history, "operations": requests})

    return accept


def by_heart(variant: Variant) -> Check:
    """Knows each history that has been told of, and nothing else."""
    known = [history for _, _, history in mixed(variant.rules) if not explained(history, variant.rules)]
    return lambda history: history not in known


def lost_elsewhere(variant: Variant) -> Check:
    """Right, but it has no answer for a history of other guests."""
    check, house = model(variant), {row["guest"] for _, _, history in mixed(variant.rules) for row in history["before"]}
    return lambda history: check(history) if {row["guest"] for row in history["before"]} <= house else None  # type: ignore[return-value]


def anything(history: Any) -> bool:
    return True


def nothing_at_all(history: Any) -> bool:
    return False


def in_words(history: Any) -> str:
    return "fine"


def silent(history: Any) -> None:
    return None


def of_a_seat(history: Any) -> bool:
    return bool(history["seat"])


def answers(variant: Variant) -> Answers:
    known = bank(variant.rules)
    right, wrong = len(known.right), len(known.wrong)
    return Answers(
        right=model(variant),
        also_right=[by_invariants(variant)],
        wrong=[
            Wrong(anything, says=f"{wrong} of {wrong} wrong desks are accepted"),
            Wrong(nothing_at_all, says=f"{right} of {right} right desks are refused", misconception="mine-alone"),
            Wrong(model(variant, ("time",)), says="He cancelled, and only then I asked", misconception="any-order"),
            Wrong(model(variant, ("refusals",)), says="Nothing clashes. But which booking", misconception="no-clash-suffices"),
            Wrong(model(variant, ("rows",)), says="had to leave on the 7th", misconception="rows-that-fit"),
            Wrong(by_heart(variant), says="Two days later, with other guests"),
            Wrong(in_words, says="accept gives 'fine'"),
            Wrong(silent, says="accept gives None"),
            Wrong(of_a_seat, says="raised KeyError"),
        ],
    )  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_check_without_an_answer_elsewhere(variant: Variant) -> None:
    found = verdict(EXERCISE, lost_elsewhere(variant), variant)
    assert found.points == 0 and "accept gives None" in shown(found)


def lazy(variant: Variant, without: tuple[str, ...]) -> int:
    """How many wrong desks a check without some of its parts accepts."""
    check = model(variant, without)
    wrong = bank(variant.rules).wrong
    return sum(all(check(one.history(variant.rules)) for one in seen) for seen in wrong.values())


class TestDirect(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


RIGHT_UNDER_SOME = {
    "serializable, not tried again": lambda rules: rules.may_fail,
    "who cannot have the room's lock fails": lambda rules: rules.may_fail,
    "a constraint excludes the second, and its error is not caught": lambda rules: False,
}


@pytest.mark.parametrize("rules", RULES)
def test_which_desks_are_right_follows_from_what_they_did(rules: Rules) -> None:
    known = bank(rules)
    right = {desk.name for desk in known.right}
    meant = {desk.name for desk in right_ones(rules) if RIGHT_UNDER_SOME.get(desk.name, lambda rules: True)(rules)}
    assert right == meant
    assert {desk.name for desk in known.wrong} >= {desk.name for desk in wrong_ones(rules)}
    assert all(desk.complaint and desk.belief in QUESTIONS for desk in known.wrong)
    assert {desk.belief for desk in known.wrong} <= set(EXERCISE.misconceptions)


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_checks_that_share_nothing_agree_on_every_history(variant: Variant) -> None:
    by_rule, by_order = by_invariants(variant), model(variant)
    for name, seen in stored(variant.rules).items():
        for one in seen:
            history = one.history(variant.rules)
            truth = explained(history, variant.rules)
            assert by_order(history) is truth and by_rule(history) is truth, (name, history)


@pytest.mark.parametrize("rules", RULES)
def test_the_rules_of_the_house_name_no_guest_no_room_and_no_day(rules: Rules) -> None:
    for _, _, history in mixed(rules):
        assert explained(elsewhere(history), rules) is explained(history, rules)


def test_a_check_that_looks_past_the_guest_accepts_a_wrong_desk() -> None:
    for variant in VARIANTS:
        check = model(variant)

        def blind(history: Any, check: Check = check) -> bool:
            return check(
                {part: [{**one, "guest": one.get("guest", "")[:2]} for one in rows] for part, rows in history.items()}
            )

        found = verdict(EXERCISE, blind, variant)
        assert not found.full and "At the door they asked me who I was" in shown(found)


@pytest.mark.parametrize("part", ["failing", "time", "rows", "answers", "refusals"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_check_without_one_part_accepts_a_wrong_desk(variant: Variant, part: str) -> None:
    assert lazy(variant, (part,)) > 0


def test_the_usual_invariant_is_far_from_enough() -> None:
    found = verdict(EXERCISE, no_clash(VARIANTS[0]), VARIANTS[0])
    wrong = bank(VARIANTS[0].rules).wrong
    assert not found.full and f"of {len(wrong)} wrong desks are accepted" in shown(found)


def test_a_check_that_wants_the_first_to_be_first_refuses_right_desks() -> None:
    found = verdict(EXERCISE, first_come(VARIANTS[0]), VARIANTS[0])
    assert "right desks are refused" in shown(found) and "answers as mine would have answered" in shown(found)


def test_a_function_that_counts_its_calls_learns_nothing() -> None:
    calls = []
    known = bank(VARIANTS[0].rules)

    def counting(history: Any) -> bool:
        calls.append(history)
        return len(calls) <= sum(len(seen) for seen in known.right.values())

    assert not verdict(EXERCISE, counting, VARIANTS[0]).full
    assert [desk in known.right for desk, _, _ in mixed(VARIANTS[0].rules)] != sorted(
        (desk in known.right for desk, _, _ in mixed(VARIANTS[0].rules)), reverse=True
    )


def test_the_history_that_is_told_of_is_shown_as_a_run_on_postgresql() -> None:
    found = verdict(EXERCISE, anything, VARIANTS[0])
    assert "PostgreSQL 18" in str(found) and "INSERT INTO bookings" in str(found)


def test_the_stored_histories_are_those_of_these_desks() -> None:
    for rules in RULES:
        assert list(stored(rules)) == [desk.name for desk in desks(rules)]
    assert text_of([stored(rules) for rules in RULES]).count("\n") < 3_000


def the_same(rules: Rules, name: str) -> None:
    desk = next(desk for desk in desks(rules) if desk.name == name)
    assert tuple(measured(desk, rules)) == stored(rules)[name], name


@pytest.mark.parametrize(
    "name", ["one statement, no lock", "writes, looks, and takes back", "a constraint excludes the second"]
)
def test_postgresql_says_the_same_again(name: str) -> None:
    the_same(RULES[0], name)


@pytest.mark.slow
@pytest.mark.parametrize("rules", RULES)
def test_postgresql_says_the_same_of_every_desk(rules: Rules) -> None:
    for desk in desks(rules):
        the_same(rules, desk.name)
