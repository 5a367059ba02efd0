"""Is a run as good as one transaction after the other? The engine is asked, by running every order."""

from __future__ import annotations

import time

import pytest

from workbook.schedules import Run, Schedule, Stage
from workbook.schedules.ordering import still_open
from workbook.schedules.transactions import transactions
from workbook.schedules.verdict import NOTHING, Replays, SerialVerdict, Unjudged, judge

TEST = "CREATE TABLE test (id int PRIMARY KEY, value int); INSERT INTO test VALUES (1, 10), (2, 20)"


def ran(stage: Stage, steps: str, level: str = "", setup: str = TEST) -> Run:
    lines = "\n".join(line.strip() for line in steps.strip().split("\n"))
    return stage.run(Schedule("", setup, Schedule.read(lines).steps), level)


def judged(stage: Stage, steps: str, level: str = "", setup: str = TEST) -> SerialVerdict:
    return judge(ran(stage, steps, level, setup), stage)


LOST_UPDATE = """
    T1: BEGIN
    T2: BEGIN
    T1: SELECT value FROM test WHERE id = 1
    T2: SELECT value FROM test WHERE id = 1
    T1: UPDATE test SET value = 11 WHERE id = 1
    T2: UPDATE test SET value = 12 WHERE id = 1
    T1: COMMIT
    T2: COMMIT
"""


def test_a_lost_update_is_equivalent_to_no_order_and_the_nearest_says_what_would_have_been_read(
    postgres: Stage,
) -> None:
    verdict = judged(postgres, LOST_UPDATE)
    assert verdict.text == "equivalent to no order" and not verdict.serializable and verdict.tried == 2
    assert verdict.nearest == ("T1", "T2")
    assert [one.step for one in verdict.differences] == ["T2.2"]
    assert str(verdict) == (
        "equivalent to no order; the nearest is T1 then T2, in which\n"
        "  T2.2 (SELECT value FROM test WHERE id = 1) would have read (11), and read (10)"
    )
    assert verdict.data()["differences"][0]["step"] == "T2.2"


def test_where_the_second_aborts_the_first_stands_alone(postgres: Stage) -> None:
    verdict = judged(postgres, LOST_UPDATE, "repeatable read")
    assert verdict.text == "equivalent to T1 alone" and verdict.committed == ("T1",)


def test_who_saw_the_older_state_comes_first_though_it_committed_last(postgres: Stage) -> None:
    verdict = judged(
        postgres,
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT value FROM test WHERE id = 2
        T2: UPDATE test SET value = 21 WHERE id = 2
        T2: COMMIT
        T1: UPDATE test SET value = 11 WHERE id = 1
        T1: COMMIT
        """,
    )
    assert verdict.text == "equivalent to T1 then T2" and verdict.committed == ("T2", "T1")


def test_transactions_that_do_not_touch_are_equivalent_to_both_orders(postgres: Stage) -> None:
    verdict = judged(
        postgres,
        """
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET value = 21 WHERE id = 2
        """,
    )
    assert verdict.orders == (("T1", "T2"), ("T2", "T1"))
    assert verdict.words == "equivalent to T1 then T2; as well to T2 then T1"


def test_how_many_rows_a_write_found_is_a_read(postgres: Stage) -> None:
    """PMP with a write: T2 deletes nothing, although in each order there is a row of 20 for it."""
    verdict = judged(
        postgres,
        """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = value + 10
        T2: DELETE FROM test WHERE value = 20
        T1: COMMIT
        T2: COMMIT
        """,
    )
    assert verdict.text == "equivalent to no order"
    assert "would have found 1 row, and found 0 rows" in verdict.differences[0].text


def test_the_final_state_counts_where_nobody_has_read(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET value = 22 WHERE id = 2
        T1: UPDATE test SET value = 21 WHERE id = 2
        T1: COMMIT
    """
    assert judged(postgres, steps).orders == (("T2", "T1"),)


def test_what_an_aborted_transaction_read_is_not_judged(postgres: Stage) -> None:
    steps = LOST_UPDATE.replace("T2: COMMIT", "T2: ROLLBACK").replace("value = 12", "value = value + 1")
    assert judged(postgres, steps).text == "equivalent to T1 alone"


def test_where_nothing_was_committed_the_tables_must_be_those_of_the_setup(postgres: Stage) -> None:
    verdict = judged(postgres, "T1: BEGIN\nT1: DELETE FROM test\nT1: ROLLBACK")
    assert verdict.orders == ((),) and verdict.text == "equivalent to the setup alone: nothing was committed"
    assert NOTHING.sql == "SELECT 1"


def test_an_open_transaction_is_not_judged_and_its_writes_are_gone(postgres: Stage) -> None:
    verdict = judged(postgres, "T1: BEGIN\nT1: DELETE FROM test\nT2: SELECT * FROM test")
    assert verdict.text == "equivalent to T2 alone"


def test_three_transactions_have_six_orders(postgres: Stage) -> None:
    verdict = judged(
        postgres,
        """
        T1: SELECT sum(value) FROM test
        T2: UPDATE test SET value = 0 WHERE id = 1
        T3: SELECT sum(value) FROM test
        """,
    )
    assert verdict.tried == 6 and verdict.orders == (("T1", "T2", "T3"),)


def test_a_session_may_run_several_transactions_and_a_retry_is_one(postgres: Stage) -> None:
    run = ran(
        postgres,
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT value FROM test WHERE id = 1
        T2: SELECT value FROM test WHERE id = 1
        T1: UPDATE test SET value = 11 WHERE id = 1
        T1: COMMIT
        T2: UPDATE test SET value = 12 WHERE id = 1
        T2: ROLLBACK
        T2: BEGIN
        T2: SELECT value FROM test WHERE id = 1
        T2: UPDATE test SET value = 12 WHERE id = 1
        T2: COMMIT
        """,
        "repeatable read",
    )
    assert [(one.name, one.outcome) for one in transactions(run)] == [
        ("T1", "committed"),
        ("T2 (1st)", "aborted 40001"),
        ("T2 (2nd)", "committed"),
    ]
    assert judge(run, postgres).text == "equivalent to T1 then T2 (2nd)"


def test_statements_outside_of_a_transaction_are_transactions_of_their_own(postgres: Stage) -> None:
    run = ran(postgres, "T1: SELECT * FROM test\nT1: UPDATE test SET value = 1\nT1: SELEC\nT1: SELECT 1")
    assert [one.outcome for one in transactions(run)] == ["committed", "committed", "aborted 42601", "committed"]


@pytest.mark.parametrize("end", ["COMMIT", "END", "ROLLBACK", "ABORT"])
def test_a_failed_transaction_is_aborted_however_it_ends(postgres: Stage, end: str) -> None:
    (one,) = transactions(ran(postgres, f"T1: BEGIN\nT1: SELECT 1 / 0\nT1: {end}"))
    assert one.outcome == "aborted 22012" and one.steps == (1,) and one.every == (0, 1, 2)


def test_a_return_to_a_savepoint_makes_a_failed_transaction_usable_again(postgres: Stage) -> None:
    steps = "T1: BEGIN\nT1: SAVEPOINT a\nT1: SELECT 1 / 0\nT1: ROLLBACK TO a\nT1: DELETE FROM test\nT1: COMMIT"
    run = ran(postgres, steps)
    (one,) = transactions(run)
    assert one.committed and judge(run, postgres).text == "equivalent to T1 alone"


def test_what_failed_because_of_others_and_was_undone_is_left_out_of_the_orders(postgres: Stage) -> None:
    run = ran(
        postgres,
        """
        T1: BEGIN
        T1: SELECT * FROM test WHERE id = 1
        T1: SAVEPOINT a
        T2: DELETE FROM test WHERE id = 1
        T1: UPDATE test SET value = 11 WHERE id = 1
        T1: SELECT * FROM test WHERE id = 1
        T1: ROLLBACK TO a
        T1: COMMIT
        """,
        "repeatable read",
    )
    assert [run.end(step).sqlstate for step in ("T1.4", "T1.5")] == ["40001", "25P02"]
    assert judge(run, postgres).orders == (("T1", "T2"),)


def test_rows_without_an_order_are_compared_as_they_are_many(postgres: Stage) -> None:
    """T2 moves row 1 to the end of the file: in the other order the same rows come in another sequence."""
    steps = """
        T2: UPDATE test SET value = 10 WHERE id = 1
        T1: SELECT {} FROM test{}
    """
    assert len(judged(postgres, steps.format("*", "")).orders) == 2
    tied = "CREATE TABLE test (id int PRIMARY KEY, value int); INSERT INTO test VALUES (1, 10), (2, 10)"
    assert len(judged(postgres, steps.format("id, value", " ORDER BY value"), setup=tied).orders) == 2


def test_an_order_by_what_is_not_returned_is_part_of_the_answer(postgres: Stage) -> None:
    steps = """
        T2: UPDATE test SET value = 30 WHERE id = 1
        T1: SELECT id FROM test ORDER BY value
    """
    assert judged(postgres, steps).orders == (("T2", "T1"),)


def test_serial_runs_are_remembered_from_one_interleaving_to_the_next(postgres: Stage) -> None:
    replays, run = Replays(postgres), ran(postgres, LOST_UPDATE)
    first = judge(run, replays=replays)
    known = dict(replays.known)
    assert judge(run, replays=replays) == first and len(known) == 3  # two orders, and the nearest once more
    assert all(replays.known[key] is known[key] for key in known)


# what is another one each time

NUMBERED = "is filled by a sequence, which is no part of a transaction, and is not compared"
CHANGING = "is another one each time it runs, and is not compared"
CLOCKED = "CREATE TABLE test (id int PRIMARY KEY, value int, made timestamp DEFAULT {}); INSERT INTO test VALUES (1, 10, NULL)"


@pytest.mark.parametrize(
    ("engine", "column"),
    [
        ("postgresql", "serial"),
        ("postgresql", "int GENERATED ALWAYS AS IDENTITY"),
        pytest.param("mariadb", "int AUTO_INCREMENT", marks=pytest.mark.slow),
    ],
)
def test_a_number_of_a_sequence_that_was_rolled_back_is_no_anomaly_and_it_is_said(engine: str, column: str) -> None:
    """Sequences do not roll back: alone, T2 would have got the first number."""
    steps = """
        T1: BEGIN
        T1: INSERT INTO test (value) VALUES (1)
        T1: ROLLBACK
        T2: INSERT INTO test (value) VALUES (2) RETURNING id
        T3: SELECT id, value FROM test
    """
    with Stage(engine) as stage:
        verdict = judged(stage, steps, setup=f"CREATE TABLE test (id {column} PRIMARY KEY, value int)")
    assert verdict.orders == (("T2", "T3"),)
    assert verdict.notes == (f"id of test and T2.1 and T3.1 {NUMBERED}",)
    assert str(verdict) == f"equivalent to T2 then T3\nnote: {verdict.notes[0]}"
    assert verdict.data()["notes"] == list(verdict.notes)


@pytest.mark.parametrize("engine", ["postgresql", "duckdb"])
def test_what_a_clock_gave_is_not_compared_and_it_is_said(engine: str) -> None:
    steps = """
        T1: INSERT INTO test (id, value) VALUES (2, 20)
        T2: SELECT id, made FROM test ORDER BY made
        T2: SELECT now() AS told
    """
    with Stage(engine) as stage:
        verdict = judged(stage, steps, setup=CLOCKED.format("now()"))
    assert verdict.orders == (("T1", "T2 (1st)", "T2 (2nd)"),)
    assert verdict.notes == (f"made of T2.1 and test {CHANGING}", f"told of T2.2 {CHANGING}")


def test_an_anomaly_beside_a_clock_stays_one(postgres: Stage) -> None:
    steps = LOST_UPDATE.replace("SET ", "SET made = now(), ")
    verdict = judged(postgres, steps, setup=CLOCKED.format("now()"))
    assert verdict.text == "equivalent to no order" and verdict.notes == (f"made of test {CHANGING}",)
    assert [str(one) for one in verdict.differences] == [
        "T2.2 (SELECT value FROM test WHERE id = 1) would have read (11), and read (10)"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "mariadb"])
def test_a_clock_of_seconds_is_waited_for(engine: str) -> None:
    with Stage(engine) as stage:
        run = ran(stage, "T1: INSERT INTO test (id, value) VALUES (2, 20)", setup=CLOCKED.format("CURRENT_TIMESTAMP"))
        time.sleep(1 - time.time() % 1)
        verdict = judge(run, stage)
    assert verdict.serializable and verdict.notes == (f"made of test {CHANGING}",)


def test_rows_are_counted_where_their_values_are_not_compared(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T1: SELECT made FROM test
        T2: INSERT INTO test (id) VALUES (2)
        T1: SELECT made FROM test
        T1: COMMIT
    """
    assert judged(postgres, steps, setup=CLOCKED.format("now()")).text == "equivalent to no order"


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT id FROM test LIMIT 2", ("LIMIT without ORDER BY picks any rows",)),
        ("SELECT id FROM test ORDER BY value LIMIT 2", ("where rows are tied, LIMIT picks any of them",)),
        ("SELECT id FROM test ORDER BY value, test.Id LIMIT 2", ()),
        ("SELECT id FROM test ORDER BY value", ()),
        ("SELECT jsonb_agg(value) FROM test", ("jsonb_agg without ORDER BY takes rows in any order",)),
        ("SELEC", ()),
    ],
)
def test_what_sql_leaves_open_is_told_unless_a_key_decides_it(sql: str, why: tuple[str, ...]) -> None:
    assert still_open(sql, keys=[("id",)]) == why


def test_too_many_transactions_are_refused_with_what_to_do(postgres: Stage) -> None:
    steps = "\n".join(f"T{number}: SELECT 1" for number in range(8))
    with pytest.raises(Unjudged, match=r"8 committed transactions have more than 5,040 serial orders.*Next: "):
        judged(postgres, steps)


SKEW = """
    T1: BEGIN
    T2: BEGIN
    T1: SELECT value FROM test WHERE id = 1
    T2: SELECT value FROM test WHERE id = 2
    T1: UPDATE test SET value = 0 WHERE id = 2
    T2: UPDATE test SET value = 0 WHERE id = 1
    T1: COMMIT
    T2: COMMIT
"""


def test_duckdb_lets_write_skew_through(duckdb: Stage) -> None:
    assert judged(duckdb, SKEW).text == "equivalent to no order"


def test_sqlite_refuses_one_write_and_what_is_left_of_its_transaction_is_a_reader() -> None:
    with Stage("sqlite") as stage:
        run = ran(stage, SKEW)
        assert run.outcomes == {"T1": "committed", "T2": "committed"} and run.end("T2.3").sqlstate == "5"
        assert judge(run, stage).text == "equivalent to T2 then T1"


def test_an_order_keeps_each_session_s_own_transactions_as_they_were(postgres: Stage) -> None:
    """T1 (2nd) read before T2, T1 (1st) wrote after T2 had read: only an order in which T1 does its second thing first
    would explain it, and none is tried."""
    steps = """
        T2: BEGIN
        T2: SELECT value FROM test WHERE id = 1
        T1: UPDATE test SET value = 11 WHERE id = 1
        T1: SELECT value FROM test WHERE id = 2
        T2: UPDATE test SET value = 22 WHERE id = 2
        T2: COMMIT
    """
    verdict = judged(postgres, steps, "repeatable read")
    assert verdict.text == "equivalent to no order" and verdict.tried == 3
    strict = judged(postgres, steps, "serializable")
    assert strict.committed == ("T1 (1st)", "T1 (2nd)") and strict.serializable


def test_any_number_of_statements_of_one_session_is_one_order(postgres: Stage) -> None:
    verdict = judged(postgres, "\n".join(["T1: UPDATE test SET value = value + 1"] * 12))
    assert verdict.tried == 1 and len(verdict.orders[0]) == 12


def test_of_many_orders_a_few_are_told() -> None:
    orders = tuple((f"T{number}", "T0") for number in range(1, 19))
    words = SerialVerdict(("T0",), orders, 18).words
    assert words.startswith("equivalent to T1 then T0; as well to T2 then T0; ") and words.endswith("; and 12 more")
    assert words.count(" then ") == 6


@pytest.mark.parametrize("engine", ["postgresql", "sqlite", "duckdb", pytest.param("mariadb", marks=pytest.mark.slow)])
def test_a_comment_changes_no_transaction(engine: str) -> None:
    begin = "T1: -- open\n\tBEGIN\nT1: SELECT value FROM test WHERE id = 1\n"
    with Stage(engine) as stage:
        run = stage.run(Schedule.read(f"setup: {TEST}\n{begin}T1: /* done */ COMMIT\nT1: -- again\n\tSELECT 1"))
        assert [(one.every, one.outcome) for one in transactions(run)] == [
            ((0, 1, 2), "committed"),
            ((3,), "committed"),
        ]
        run = stage.run(Schedule.read(f"setup: {TEST}\n{begin}T1: UPDATE test SET value = 5\nT1: --\n\tROLLBACK"))
        assert [one.outcome for one in transactions(run)] == ["aborted by ROLLBACK"]


def test_a_comment_before_begin_hides_no_anomaly(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T1: SELECT value FROM test WHERE id = 1
        T2: UPDATE test SET value = 12 WHERE id = 1
        T1: SELECT value FROM test WHERE id = 1
        T1: COMMIT
    """
    assert judged(postgres, steps.replace("BEGIN", "/* o /* p */ en */ BEGIN")).text == "equivalent to no order"
    steps = "T1: BEGIN\nT1: UPDATE test SET value = 5 WHERE id = 1\nT1: /* done */ ;COMMIT"
    assert judged(postgres, steps).text == "equivalent to T1 alone"


@pytest.mark.parametrize("engine", ["postgresql", "sqlite", "duckdb"])
@pytest.mark.parametrize(
    ("steps", "outcomes"),
    [
        ("T1: BEGIN; UPDATE test SET value = 1; COMMIT\nT2: SELECT * FROM test", ["committed", "committed"]),
        ("T1: BEGIN\nT1: UPDATE test SET value = 5; COMMIT\nT2: SELECT * FROM test", ["committed", "committed"]),
        ("T1: BEGIN; UPDATE test SET value = 5\nT1: COMMIT\nT2: SELECT * FROM test", ["committed", "committed"]),
        (
            "T1: BEGIN\nT1: UPDATE test SET value = 5; ROLLBACK\nT2: SELECT * FROM test",
            ["aborted by ROLLBACK", "committed"],
        ),
        ("T1: UPDATE test SET value = 5; DELETE FROM test\nT2: SELECT * FROM test", ["committed", "committed"]),
    ],
)
def test_a_step_may_hold_a_whole_transaction(engine: str, steps: str, outcomes: list[str]) -> None:
    with Stage(engine) as stage:
        run = ran(stage, steps)
        assert [one.outcome for one in transactions(run)] == outcomes
        assert judge(run, stage).serializable


@pytest.mark.parametrize(
    ("engine", "steps", "says"),
    [
        ("postgresql", "T1: BEGIN\nT1: COMMIT; BEGIN\nT1: COMMIT", r"T1\.2 \(COMMIT; BEGIN\) holds parts of two"),
        ("postgresql", "T1: BEGIN; SELECT 1; COMMIT; SELECT 2", "holds parts of two transactions"),
        ("sqlite", "T1: SELECT 1; BEGIN\nT1: COMMIT", "holds parts of two transactions"),
        ("duckdb", "T1: SELECT 1; BEGIN\nT1: COMMIT", "holds parts of two transactions"),
        ("sqlite", "T1: DELETE FROM test; SELECT * FROM nowhere", "which of its statements were done"),
        ("duckdb", "T1: DELETE FROM test; SELECT * FROM nowhere", "which of its statements were done"),
    ],
)
def test_a_step_with_parts_of_two_transactions_gets_no_verdict(engine: str, steps: str, says: str) -> None:
    with Stage(engine) as stage, pytest.raises(Unjudged, match=f"{says}.*Next: write one statement a step"):
        judged(stage, steps)


@pytest.mark.parametrize(
    "failing", ["BEGIN; SELECT 1 / 0", "BEGIN; DELETE FROM test; SELECT 1 / 0; COMMIT", "BEGIN; SELEC"]
)
def test_a_step_of_several_that_fails_leaves_nothing_on_postgresql(postgres: Stage, failing: str) -> None:
    run = ran(postgres, f"T1: {failing}\nT1: ROLLBACK\nT2: SELECT * FROM test")
    assert transactions(run)[0].outcome.startswith("aborted ") and judge(run, postgres).text == "equivalent to T2 alone"


def test_a_chained_transaction_follows_the_one_that_has_begun_it(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T1: UPDATE test SET value = 11 WHERE id = 1
        T1: COMMIT AND CHAIN
        T2: SELECT * FROM test
        T1: UPDATE test SET value = 12 WHERE id = 1
        T1: COMMIT
        T2: SELECT * FROM test
    """
    assert judged(postgres, steps).orders == (("T1 (1st)", "T2 (1st)", "T1 (2nd)", "T2 (2nd)"),)
    with pytest.raises(Unjudged, match="begun by the end of one that was not committed"):
        judged(postgres, steps.replace("COMMIT AND CHAIN", "ROLLBACK AND CHAIN"))


def test_on_sqlite_a_savepoint_begins_a_transaction_and_the_release_of_the_outermost_ends_it() -> None:
    steps = """
        T1: SAVEPOINT a
        T1: SELECT value FROM test WHERE id = 1
        T2: UPDATE test SET value = 12 WHERE id = 1
        T1: SAVEPOINT b
        T1: SELECT value FROM test WHERE id = 1
        T1: RELEASE b
        T1: ROLLBACK TO SAVEPOINT A
        T1: RELEASE SAVEPOINT "a"
        T1: SELECT value FROM test WHERE id = 1
    """
    with Stage("sqlite") as stage:
        run = ran(stage, steps)
        assert [one.every for one in transactions(run)] == [(0, 1, 3, 4, 5, 6, 7), (2,), (8,)]
        assert judge(run, stage).orders == (("T1 (1st)", "T2", "T1 (2nd)"),)


@pytest.mark.slow
def test_on_mariadb_begin_ends_the_transaction_before_it(mariadb: Stage) -> None:
    with pytest.raises(Unjudged, match="has ended the transaction before it"):
        judged(mariadb, "T1: BEGIN\nT1: DELETE FROM test\nT1: BEGIN\nT1: SELECT 1\nT1: COMMIT")
