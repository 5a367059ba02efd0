"""Retry, ask, give up: rules as people write them, on a server that meets them with real errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, verdict
from workbook.engines import database
from workbook.exercises.isolation.line import line_to
from workbook.exercises.isolation.payments import LOST, cases, recipe
from workbook.exercises.isolation.retry import EXERCISE, VARIANTS, Variant, right

Rule = Callable[[str, str, bool], Any]


def but(rule: Rule, **other: str) -> Rule:
    """The rule, with other decisions for some codes (`e40001="ask"`)."""

    def decide(sqlstate: str, phase: str, key: bool) -> Any:
        return other.get(f"e{sqlstate}", rule(sqlstate, phase, key))

    return decide


def by_table(variant: Variant) -> Rule:
    """The same in another shape: a table, and a retry instead of a question where a unique key makes it harmless."""
    shop = variant.shop
    table = {"40001": "retry", "40P01": "retry", "57P01": "retry"}
    table["55P03"] = "give up" if shop.held_long else "retry"
    table["57014"] = "give up" if shop.cancelled else "retry"

    def decide(sqlstate: str, phase: str, key: bool) -> str:
        if sqlstate == "08006" and key and shop.unique:
            return "retry"
        if sqlstate == "08006":
            sure = phase != "COMMIT" and not shop.whole
            return "retry" if sure else "ask" if key else "ask" if shop.noted else "report"
        if sqlstate == "23505":
            return "ask" if (key and shop.unique) else "give up"
        return table.get(sqlstate, "give up")

    return decide


def always(said: Any) -> Rule:
    def decide(sqlstate: str, phase: str, key: bool) -> Any:
        return said

    return decide


def broken(sqlstate: str, phase: str, key: bool) -> str:
    return {"40001": "retry"}[sqlstate]


def answers(variant: Variant) -> Answers:
    rule, shop = right(variant), variant.shop
    refused = sum(case.due == "refused" for case in cases(shop))
    return Answers(
        right=rule,
        also_right=[by_table(variant)],
        wrong=[
            Wrong(always("retry"), says=f"In {refused} payments each of the 4 attempts was refused alike", misconception="retry-everything"),
            Wrong(but(rule, e08006="give up"), says="The rule said 'give up'; it was called not paid, and one charge stands", misconception="error-is-no"),
            Wrong(but(rule, e40001="give up"), says="met 40001", misconception="errors-are-final"),
            Wrong(but(rule, e40P01="report"), says="met 40P01", misconception="errors-are-unknown"),
            Wrong(but(rule, e57P01="give up"), says="met 57P01", misconception="errors-are-final"),
            Wrong(but(rule, e23514="retry"), says="In 2 payments each of the 4 attempts was refused alike; the first: a payment with a key met 23514", misconception="retry-everything"),
            Wrong(but(rule, e22003="retry"), says="met 22003", misconception="retry-everything"),
            Wrong(always(None), says="gives None"),
            Wrong(but(rule, e57014="roll back"), says="gives 'roll back'"),
            Wrong(broken, says="KeyError"),
            Wrong("retry", says="handed in without calling it; this is str"),
        ],
    )  # fmt: skip


class TestRetry(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.story for variant in VARIANTS])
def test_what_holds_elsewhere_does_not_hold_here(variant: Variant) -> None:
    """The other facts of a shop: how long locks are held, who cancels, what is unique, what can be asked."""
    rule, shop = right(variant), variant.shop
    held = verdict(EXERCISE, but(rule, e55P03="retry" if shop.held_long else "give up"), variant)
    assert not held.full and "met 55P03" in str(held)
    stopped = verdict(EXERCISE, but(rule, e57014="retry" if shop.cancelled else "give up"), variant)
    assert not stopped.full and "met 57014" in str(stopped)
    same = verdict(EXERCISE, but(rule, e23505="give up" if shop.unique else "ask"), variant)
    assert not same.full and "23505" in str(same)


def test_a_blind_retry_charges_twice_only_where_no_key_is_unique() -> None:
    for variant in VARIANTS:
        found = str(verdict(EXERCISE, but(right(variant), e08006="retry"), variant))
        doubles = [line for line in found.split("\n") if "charged twice" in line]
        assert doubles and "2 charges stand" in found
        assert ("In one payment" in doubles[0]) == variant.shop.unique


def test_who_asks_about_what_is_known_is_told_so() -> None:
    found = verdict(EXERCISE, but(right(VARIANTS[1]), e40001="ask"), VARIANTS[1])
    assert not found.full and "asked about what was known already" in str(found)
    assert found.misconception == EXERCISE.misconceptions["errors-are-unknown"]
    mute = verdict(EXERCISE, but(right(VARIANTS[0]), e08006="ask"), VARIANTS[0])
    assert not mute.full and "nothing to ask by" in str(mute)
    assert mute.misconception == EXERCISE.misconceptions["always-ask"]


def test_a_rule_that_does_not_look_at_the_phase_passes_nowhere() -> None:
    """One answer for each code: a line that broke before COMMIT, and a server that said that it ends, leave no doubt."""
    table = {"40001": "retry", "40P01": "retry", "57014": "retry", "57P01": "retry", "08006": "ask"}
    found = verdict(EXERCISE, lambda sqlstate, phase, key: table.get(sqlstate, "give up"), VARIANTS[1])
    assert not found.full and "met 08006 at a statement: the line broke before COMMIT was sent" in str(found)
    asked = verdict(EXERCISE, but(right(VARIANTS[1]), e57P01="ask"), VARIANTS[1])
    assert not asked.full and "In 4 payments the program asked about what was known already" in str(asked)


def test_at_commit_too_the_server_that_ends_has_said_that_nothing_was_done() -> None:
    rule = right(VARIANTS[0])

    def by_phase(sqlstate: str, phase: str, key: bool) -> Any:
        return rule(LOST if sqlstate == "57P01" and phase == "COMMIT" else sqlstate, phase, key)

    found = str(verdict(EXERCISE, by_phase, VARIANTS[0]))
    assert "met 57P01 at COMMIT: the server was restarted while COMMIT checked the order" in found


def test_who_reports_what_could_be_found_is_asked_by_what() -> None:
    found = verdict(EXERCISE, but(right(VARIANTS[2]), e08006="report"), VARIANTS[2])
    assert found.misconception == EXERCISE.misconceptions["nobody-knows"]
    assert "By what could the program find this one charge itself?" in str(found)

    rule = right(VARIANTS[4])

    def early(sqlstate: str, phase: str, key: bool) -> Any:
        return "report" if sqlstate == "08006" and phase == "statement" else rule(sqlstate, phase, key)

    sent = verdict(EXERCISE, early, VARIANTS[4])
    assert sent.misconception == EXERCISE.misconceptions["errors-are-unknown"]
    assert "never came to its COMMIT" in str(sent)


def test_the_why_speaks_of_commit_where_there_is_one() -> None:
    for variant in VARIANTS:
        assert ("also at COMMIT" in EXERCISE.why(variant)) is not variant.shop.whole


def test_a_question_that_is_asked_for_ever_is_no_blind_retry() -> None:
    found = verdict(EXERCISE, but(right(VARIANTS[1]), e23514="ask"), VARIANTS[1])
    assert not found.full and found.misconception == EXERCISE.misconceptions["errors-are-unknown"]


def test_capitals_are_read_and_another_word_is_asked_about() -> None:
    rule = right(VARIANTS[1])
    assert verdict(EXERCISE, lambda *met: rule(*met).upper(), VARIANTS[1]).full
    assert "Which of the four is meant?" in str(verdict(EXERCISE, always("again"), VARIANTS[1]))


def test_a_line_breaks_before_the_server_has_it_or_after_it_was_done() -> None:
    """The same to the client: no answer, no SQLSTATE; the row is there or not."""
    with database(recipe(VARIANTS[0].shop)) as made, line_to(made) as line:
        for done, amount in ((False, 7), (True, 8)):
            insert = f"INSERT INTO accounts VALUES ({amount}, {amount})"
            with contextlib.closing(line.connect()) as payer:
                line.break_at(insert, done=done)
                with pytest.raises(psycopg.OperationalError) as met:
                    payer.execute(insert)
                assert met.value.sqlstate is None
        assert made.run("SELECT account_id FROM accounts").rows == [(8,)]
        with contextlib.closing(line.connect()) as payer:
            assert payer.execute("SELECT 1").fetchone() == (1,)


def test_a_rule_that_stores_nothing_passes_and_one_that_counts_does_not_help() -> None:
    """A rule is asked once for each kind of error: what it remembers of earlier calls decides nothing."""
    variant, calls = VARIANTS[0], [0]
    rule = right(variant)

    def counting(sqlstate: str, phase: str, key: bool) -> str:
        calls[0] += 1
        return rule(sqlstate, phase, key)

    assert verdict(EXERCISE, counting, variant).full
    assert calls[0] == len({case.situation for case in cases(variant.shop)})


def test_the_last_hint_leaves_what_is_this_shops_own() -> None:
    """It says the same in shops whose right rules differ: what becomes of 55P03, 57014 and 23505 stands in the task."""
    hints = {EXERCISE.hints[2](variant) for variant in VARIANTS}
    assert len(hints) == len({variant.shop.whole for variant in VARIANTS}) == 2
    assert all(code in hint for hint in hints for code in ("55P03", "57014", "23505"))
