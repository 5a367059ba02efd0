"""An agent's safe transfer: witnesses that break it, patches that hold in every order, and the ones that do not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.isolation.transfer import (
    CLIENTS,
    EXERCISE,
    VARIANTS,
    Variant,
    changes,
    fault,
    own_tests,
    pairs,
    played_with,
)
from workbook.exercises.isolation.trial import statements

CHECKS, LOCKS, WRITES, OWNED, KEYED, BOOKS = VARIANTS
ORDERS = ("one one two two one one two two", "one two one one two two one two", "one one two one two one two two")


def witness(variant: Variant, cents: tuple[int, int] | None = None, order: str = "") -> tuple[Any, ...]:
    """The pair that the variant is about, with other numbers where they are given, in an order that breaks it."""
    one, two = pairs(variant)[0].transfers
    if cents:
        one, two = (*one[:-1], cents[0]), (*two[:-1], cents[1])
    known = (*ORDERS, " ".join(CLIENTS[number] for number in (1, 0, 1, 0, 1, 0, 1, 0)))
    breaks = (other for other in known if fault(variant, played_with(variant, (one, two), other), (one, two)))
    return (one, two, order or next(breaks))


def answer(variant: Variant, sql: str = "", level: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"witness": witness(variant), "transfer": sql or variant.patch}
    return {**found, "level": level or variant.patched_level}


def first_replaced(variant: Variant, statement: str) -> str:
    return f"{statement};{variant.shipped.partition(';')[2]}"


def also_right(variant: Variant) -> list[dict[str, Any]]:
    """Other witnesses, and patches of another shape: by a level, by a lock of another kind."""
    look = variant.shipped.partition(";")[0]
    if variant is CHECKS:
        return [{**answer(variant, variant.shipped, "repeatable read"), "witness": witness(variant, (60, 1))}]
    if variant is LOCKS:
        held = (
            "SELECT set_config('my.balance', max(cents) FILTER (WHERE account_id = :from)::text, true) "
            "FROM (SELECT * FROM account WHERE account_id IN (:from, :to) ORDER BY account_id FOR UPDATE) held"
        )
        return [{**answer(variant, first_replaced(variant, held)), "witness": witness(variant, (1, 1))}]
    if variant is WRITES:
        return [answer(variant, first_replaced(variant, f"{look} ORDER BY account_id FOR NO KEY UPDATE"))]
    if variant is OWNED:
        mine = (
            "WITH mine AS (SELECT cents FROM account WHERE owner = (SELECT owner FROM account WHERE account_id = :from) ORDER BY account_id FOR UPDATE) "
            "SELECT set_config('my.balance', sum(cents)::text, true) FROM mine"
        )
        return [answer(variant, first_replaced(variant, mine), "repeatable read")]
    if variant is KEYED:
        once = """WITH kept AS (INSERT INTO transfer VALUES (:key, :cents) ON CONFLICT DO NOTHING RETURNING key),
            taken AS (UPDATE account SET cents = cents - :cents
                WHERE account_id = :from AND :from <> :to AND cents >= :cents AND EXISTS (SELECT FROM kept) RETURNING account_id)
            UPDATE account SET cents = cents + :cents WHERE account_id = :to AND EXISTS (SELECT FROM taken)"""
        return [answer(variant, variant.shipped, "serializable"), answer(variant, once)]
    return [answer(variant, variant.patch.replace("FOR UPDATE", "FOR NO KEY UPDATE"))]


def wrong(variant: Variant) -> list[Wrong]:
    one, two, order = witness(variant)
    table, good = variant.books, answer(variant)
    serial, parts = "one one one one two two two two", len(one)
    found = [
        Wrong({**good, "witness": (one, two, serial)}, f"in the order `{serial}` all is well", "tests-pass"),
        Wrong({**good, "witness": (one, two, "one two")}, "'one two' is no order"),
        Wrong({**good, "witness": (one, two)}, "'witness' is a tuple of two transfers and an order"),
        Wrong({**good, "witness": (one, (*two[:-1], 0), order)}, "0 is no number of cents"),
        Wrong({**good, "witness": (one, (*two[:-2], 99, 5), order)}, "there is no account 99"),
        Wrong({**good, "witness": (one, two[1:], order)}, f"is not ({'key, ' if parts == 4 else ''}from, to, cents)"),
        Wrong({**good, "transfer": variant.shipped, "level": variant.level}, "Patch: nothing is changed", "tests-pass"),
        Wrong({**good, "transfer": f"LOCK TABLE {table};{variant.shipped}"}, "one of the two has to wait", "one-lock"),
        Wrong({**good, "transfer": f"BEGIN;{variant.shipped}"}, "`transfer` says `BEGIN`"),
        Wrong(
            {**good, "transfer": "SELECT 1; SELECT 2; SELECT 3", "level": variant.level},
            "3 statements are changed or added",
            "more-is-safer",
        ),
        Wrong({**good, "transfer": variant.shipped + "; SELECT 1; SELECT 2"}, "it has 5 statements", "more-is-safer"),
        Wrong({**good, "transfer": first_replaced(variant, "SELECT nothing")}, 'column "nothing" does not exist'),
        Wrong({**good, "level": "snapshot"}, "this is 'snapshot'"),
    ]
    if not variant.loop:
        at = {"transfer": variant.shipped, "level": "serializable"}
        found.append(Wrong({**good, **at}, "a client is shown 40001", "only-waits"))
    return found


def answers(variant: Variant) -> Answers:
    good = answer(variant)
    one, two, order = good["witness"]
    listed = {
        "witness": [list(one), list(two), order.split()],
        "transfer": list(statements(good["transfer"])),
        "level": good["level"].upper(),
    }
    return Answers(good, [listed, *also_right(variant)], wrong(variant))


class TestTransfer(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)
    partly = True


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.about)
def test_the_agents_tests_pass(variant: Variant) -> None:
    assert len(own_tests(variant)) >= 5 and not any(wrong for _, wrong in own_tests(variant))


@pytest.mark.parametrize(
    ("variant", "sql", "says", "belief"),
    [
        (LOCKS, f"SELECT 1 FROM account WHERE account_id = :to FOR UPDATE; {LOCKS.shipped}", "in opposite directions, (1, 2, 10) and (2, 1, 25). In", "locks-are-safe"),
        (LOCKS, LOCKS.shipped.replace(" FOR UPDATE", ""), "a client is shown 40P01", "locks-are-safe"),
        (WRITES, WRITES.shipped.replace("current_setting('my.balance_' || :to)::int + :cents", "cents + :cents"), "the accounts have", "stale-is-fine"),
        (BOOKS, first_replaced(BOOKS, "WITH held AS (SELECT cents FROM entry WHERE account_id = :from FOR UPDATE) SELECT set_config('my.balance', sum(cents)::text, true) FROM held"), "account 1 has -20 cents", "stale-is-fine"),
        (KEYED, KEYED.patch.replace("WHERE current_setting('my.done') = '0'", ""), "the money is right", ""),
    ],
)  # fmt: skip
def test_a_patch_of_one_variant(variant: Variant, sql: str, says: str, belief: str) -> None:
    found = verdict(EXERCISE, answer(variant, sql), variant)
    assert says in shown(found)
    assert found.misconception == EXERCISE.misconceptions.get(belief, "")


def test_a_patch_is_not_judged_before_the_witness() -> None:
    """The first order that breaks a patch would be a witness for the taking."""
    one, two, _ = witness(CHECKS)
    found = verdict(EXERCISE, {"witness": (one, two, "one two"), "transfer": CHECKS.shipped}, CHECKS)
    assert found.points == 0 and not found.pictures and "40001" not in str(found)


def test_a_deadlock_is_no_harm_where_the_client_sends_again() -> None:
    found = verdict(EXERCISE, answer(CHECKS), CHECKS)
    assert found.full and "transactions were sent again" in shown(found)


def test_layout_and_case_are_no_changes() -> None:
    text = CHECKS.shipped.upper().replace("\n", "   ").replace("MY.BALANCE", "my.balance")
    assert changes(CHECKS, text, CHECKS.level) == 0


@pytest.mark.parametrize(
    ("variant", "key"),
    [
        (KEYED, ":cents"),
        (KEYED, "sign(:cents)::int"),
        (CHECKS, ":from % 2"),
        (CHECKS, ":from / 2"),
        (BOOKS, ":from % 3"),
        (LOCKS, "least(:from, :to) % 4"),
    ],
)
def test_a_lock_that_strangers_share_is_no_patch(variant: Variant, key: str) -> None:
    found = verdict(EXERCISE, answer(variant, f"SELECT pg_advisory_xact_lock({key}); {variant.shipped}"), variant)
    assert not found.full


def test_what_is_left_out_is_a_change_where_nothing_else_is() -> None:
    first, _, rest = KEYED.shipped.partition(";")
    assert changes(KEYED, rest, KEYED.level) == 1
    assert changes(KEYED, "SELECT 1", KEYED.level) == 1 and changes(KEYED, f"SELECT 1; {first}", KEYED.level) == 1


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.about)
def test_the_reasons_know_whether_the_client_has_a_loop(variant: Variant) -> None:
    assert ("a client without a loop" in EXERCISE.why(variant)) == variant.loop
