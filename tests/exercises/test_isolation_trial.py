"""Answers on trial beside one another: which orders are run, what a client's loop does, what a rule is told."""

from __future__ import annotations

import pytest

from workbook.errors import Misuse, SqlError
from workbook.exercises.isolation.trial import Rule, control, ends, kept, played, statements, tried, understood, world

SETUP = "CREATE TABLE account (name text PRIMARY KEY, cents int); INSERT INTO account VALUES ('a', 10), ('b', 10)"


def takes(name: str) -> str:
    return f"UPDATE account SET cents = cents - 1 WHERE name = '{name}'"


def test_a_begin_goes_with_the_first_statement_of_its_transaction() -> None:
    """Two transactions of one session: the second BEGIN is not sent before its time."""
    twice = ["BEGIN", takes("a"), "COMMIT", "BEGIN", takes("b"), "COMMIT"]
    trial = tried(world(SETUP, {"ann": twice, "ben": [takes("a")]}))
    assert trial.of == len(trial.outcomes) == 15
    for one in trial.outcomes:
        sent = [step.sql.split()[0] for step in one.run.schedule.steps if step.session == "ann"]
        assert sent == ["BEGIN", "UPDATE", "COMMIT", "BEGIN", "UPDATE", "COMMIT"]
        at = [number for number, step in enumerate(one.run.schedule.steps) if step.begins]
        assert all(not one.run.schedule.steps[number + 1].begins for number in at)


def test_every_order_is_run_once_and_the_serial_ones_are_known() -> None:
    trial = tried(world(SETUP, {"ann": [takes("a"), takes("b")], "ben": [takes("b"), takes("a")]}))
    assert len({one.order for one in trial.outcomes}) == len(trial.outcomes) == 20
    assert [one.serial for one in trial.serial] == [("ann", "ben"), ("ben", "ann")]


def test_a_loop_sends_again_what_a_deadlock_has_ended() -> None:
    program = world(SETUP, {"ann": [takes("a"), takes("b")], "ben": [takes("b"), takes("a")]})
    alone, again = played(program, "ann ben ann ben ann ben"), played(program, "ann ben ann ben ann ben", tries=2)
    assert [alone.failed(name) for name in ("ann", "ben")] == ["", "40P01"] and alone.committed == ("ann",)
    assert again.committed == ("ann", "ben") and again.retries == 1
    assert [row["cents"] for row in again.rows("account")] == [8, 8]


def test_an_order_is_given_with_its_begins_or_without() -> None:
    program = world(SETUP, {"ann": [takes("a")], "ben": [takes("b")]})
    assert played(program, "ann ben ann ben").order == played(program, "ann ben ann ben ann ben").order
    with pytest.raises(Misuse):
        played(program, "ann ann ann ben")


def test_a_lock_that_is_never_given_back_ends_the_trial() -> None:
    kept_lock = statements("SELECT pg_advisory_lock(:key); SELECT 1", {"key": 7})
    trial = tried(world(SETUP, {"ann": kept_lock, "ben": kept_lock}))
    assert trial.outcomes[-1].stuck and len(trial.outcomes) < trial.of
    findings, pictures = kept(trial, ends)
    assert not findings[0].ok and "come to no end" in findings[0].seen and len(pictures) == 1
    assert not tried(world(SETUP, {"ann": ["SELECT 1"]})).outcomes[0].stuck, "the next one runs"


def test_a_refused_statement_is_told_with_its_message() -> None:
    trial = tried(world(SETUP, {"ann": ["SELECT nothing"], "ben": ["SELECT 1"]}))
    findings, _ = kept(trial, ends, understood)
    assert [one.ok for one in findings] == [True, False]
    assert findings[1].seen == (
        'One client after the other: PostgreSQL refuses a statement, `SELECT nothing`: 42703 column "nothing" does not exist.'
    )
    with pytest.raises(SqlError, match="The setup is refused"):
        tried(world("CREATE TABLE", {"ann": ["SELECT 1"]}))


def test_orders_that_are_drawn_are_called_so() -> None:
    three = [takes("a"), takes("a"), takes("b")]
    trial = tried(world(SETUP, {"ann": three, "ben": three}), limit=6, seed=3)
    waits = Rule(lambda one: "somebody waits" if one.waited else "", "Nobody waits.")
    assert trial.of == 70 and len(trial.serial) >= 2
    assert " orders drawn from 70 somebody waits" in kept(trial, waits)[0][0].seen


def test_what_a_client_has_read_is_that_of_its_last_try() -> None:
    sent = ["SELECT cents FROM account WHERE name = 'a'", takes("a")]
    one = played(world(SETUP, {"ann": sent, "ben": sent}), "ann ben ann ben ann ben", "repeatable read", tries=3)
    assert (one.retries, one.saw("ann.2"), one.saw("ben.2")) == (1, ((10,),), ((9,),))


@pytest.mark.parametrize(
    "sql", ["/* so */ commit", "SELECT 1; set work_mem = 1", "ALTER ROLE x SET y = 1", "savepoint a"]
)
def test_control_is_refused(sql: str) -> None:
    found = control(sql, "`booking`")
    assert found is not None and found.seen.startswith("`booking` says `")


def test_a_block_is_no_control() -> None:
    assert control("DO $$ BEGIN PERFORM 1; END $$; SELECT 'COMMIT'; UPDATE a SET b = 1") is None
