"""What mends a program, by trying: the smallest and the cheapest, what each costs, and what is no remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from xml.etree import ElementTree

import pytest

from tests.draw.shapes import assert_readable, texts
from workbook.draw.heatmap import KINDS
from workbook.schedules import Program, Remedies, Schedule, Stage, explore, remedies
from workbook.schedules.candidates import ADVISORY, overlapping, pairs
from workbook.schedules.interleavings import Examiner
from workbook.schedules.retrying import TRIES, _from_its_begin, run_with_retries
from workbook.schedules.scenarios import SETUP

READ, BOTH = "SELECT id, value FROM test WHERE id = 1", "SELECT id, value FROM test WHERE id IN (1, 2)"
LOST = Program(
    "lost update",
    SETUP,
    {
        "T1": [READ, "UPDATE test SET value = 11 WHERE id = 1"],
        "T2": [READ, "UPDATE test SET value = 12 WHERE id = 1"],
    },
)
SKEW = Program(
    "write skew",
    SETUP,
    {
        "T1": [BOTH, "UPDATE test SET value = 11 WHERE id = 1"],
        "T2": [BOTH, "UPDATE test SET value = 21 WHERE id = 2"],
    },
)
ONE_EACH = Program(
    "one row each",
    SETUP.replace(" PRIMARY KEY", ""),
    {name: [f"UPDATE test SET value = value + 1 WHERE id = {id}"] for name, id in (("T1", 1), ("T2", 2))},
)
OPPOSITE = Program(
    "opposite order",
    SETUP,
    {
        name: [f"UPDATE test SET value = value + 1 WHERE id = {id}" for id in ids]
        for name, ids in (("T1", (1, 2)), ("T2", (2, 1)))
    },
)
BOOKING = """CREATE TABLE booking (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, room int, starts int, ends int,
who text); INSERT INTO booking (room, starts, ends, who) VALUES (1, 8, 9, 'zoe'), (2, 10, 12, 'max');"""


def booked(who: str, starts: int, ends: int) -> str:
    free = f"NOT EXISTS (SELECT FROM booking WHERE room = 1 AND starts < {ends} AND ends > {starts})"
    return f"INSERT INTO booking (room, starts, ends, who) SELECT 1, {starts}, {ends}, '{who}' WHERE {free}"


DOUBLE = Program("double booking", BOOKING, {"T1": [booked("ann", 10, 12)], "T2": [booked("bob", 11, 13)]})


@pytest.fixture(scope="module")
def lost(postgres: Stage) -> Remedies:
    return remedies(LOST, level="read committed", stage=postgres)


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Stage]:
    with closing(Stage("sqlite")) as stage:
        yield stage


def counts(found: Remedies, name: str) -> tuple[int, int, int, int]:
    """Anomalies, aborts, retries and waits of a remedy."""
    trial = found.trial(name)
    return trial.tally.anomaly, trial.tally.aborted, trial.retries, trial.tally.waits


def test_a_lost_update_s_smallest_remedy_is_a_level_and_its_cheapest_a_lock_behind_both_reads(lost: Remedies) -> None:
    assert lost.smallest.remedy.name == "repeatable read" and lost.smallest.remedy.kind == "level"
    assert lost.cheapest.remedy.name == "FOR NO KEY UPDATE in T1.2 and T2.2"
    assert counts(lost, "as it is") == (60, 0, 0, 40)
    assert counts(lost, "repeatable read") == (0, 60, 0, 40)
    assert counts(lost, "repeatable read and a retry") == (0, 0, 60, 40)
    assert counts(lost, "FOR NO KEY UPDATE in T1.2 and T2.2") == (0, 0, 0, 60)
    assert counts(lost, "an advisory lock") == (0, 0, 0, 240)  # of 252 orders: each session has a step more


def test_a_lock_behind_one_of_the_reads_mends_a_part_and_an_order_shows_the_rest(
    lost: Remedies, postgres: Stage
) -> None:
    trial = lost.trial("FOR NO KEY UPDATE in T1.2")
    assert trial.tally.anomaly == 48 and not trial.works
    again = Examiner(postgres).run(trial.wrong.run.schedule, "read committed")
    assert again.kind == "anomaly" and " FOR NO KEY UPDATE" in str(again.run.schedule)


def test_a_shared_lock_trades_anomalies_for_deadlocks(lost: Remedies) -> None:
    trial = lost.trial("FOR SHARE in T1.2 and T2.2")
    assert trial.works and trial.tally.deadlock == 36 == trial.tally.aborted == trial.tally.deadlocked
    (line,) = [line for line in str(lost).split("\n") if "FOR SHARE in T1.2 and T2.2  " in line]
    assert line.split()[-7:] == ["2", "70", "0", "0", "36", "0", "96"]  # nobody is counted twice
    assert counts(lost, "FOR SHARE in T1.2 and T2.2 and a retry")[:3] == (0, 0, 36)


def test_each_trial_is_what_an_exploration_of_its_program_says(lost: Remedies, postgres: Stage) -> None:
    for trial in lost.trials:
        if not trial.remedy.retry and trial.remedy.kind in ("as it is", "level", "row lock"):
            found = explore(trial.remedy.program, levels=trial.remedy.level, names=False, stage=postgres)
            assert found.tallies[trial.remedy.level] == trial.tally, trial.remedy.name


def test_write_skew_needs_serializable_or_a_lock_behind_both_reads(postgres: Stage) -> None:
    found = remedies(SKEW, stage=postgres)
    assert found.smallest.remedy.name == "serializable" and counts(found, "serializable")[:2] == (0, 60)
    assert not found.trial("repeatable read").works
    assert found.cheapest.remedy.name == "FOR NO KEY UPDATE in T1.2 and T2.2"


def test_a_double_booking_is_forbidden_by_what_its_rows_have_in_common(postgres: Stage) -> None:
    found = remedies(DOUBLE, stage=postgres)
    name = "EXCLUDE overlapping (starts, ends) of the same room on booking"
    assert counts(found, name)[:2] == (0, 12) and found.trial(name).remedy.changes == 1
    assert counts(found, f"{name} and a retry")[:3] == (0, 0, 12)
    assert counts(found, "serializable")[:2] == (0, 12)  # the number that an aborted insert took is no anomaly
    assert found.cheapest.remedy.name == "an advisory lock"
    assert not [
        trial for trial in found.trials if trial.remedy.name.startswith("UNIQUE")
    ]  # no two agree in more than the room


def test_a_unique_index_is_tried_on_what_only_an_anomaly_leaves_twice(postgres: Stage) -> None:
    setup = "CREATE TABLE account (name text PRIMARY KEY, mail text, town text);"
    setup += "INSERT INTO account VALUES ('zoe', 'z@x', 'Ulm');"
    new = "INSERT INTO account SELECT '{0}', 'a@x', 'Ulm' WHERE NOT EXISTS (SELECT FROM account WHERE mail = 'a@x')"
    found = remedies(Program("", setup, {"T1": [new.format("ann")], "T2": [new.format("bob")]}), stage=postgres)
    names = [
        trial.remedy.name for trial in found.trials if trial.remedy.kind == "constraint" and not trial.remedy.retry
    ]
    assert names == ["UNIQUE (mail, town) on account"]  # not town alone: a serial order leaves two of Ulm
    assert counts(found, names[0])[:2] == (0, 12)


def test_a_needless_abort_is_mended_by_an_index(postgres: Stage) -> None:
    found = remedies(ONE_EACH, level="serializable", stage=postgres)
    assert found.as_it_is.works and found.as_it_is.tally.aborted > 0  # nothing is wrong but what it costs
    assert found.cheapest.remedy.name == "an index on test (id)" and found.cheapest.tally.aborted == 0
    assert found.smallest is found.as_it_is
    weaker = remedies(ONE_EACH, level="read committed", stage=postgres)
    assert weaker.trial("serializable and an index on test (id)").tally.aborted == 0


def test_deadlocks_are_no_anomaly_and_a_retry_or_one_lock_ends_them(postgres: Stage) -> None:
    found = remedies(OPPOSITE, level="read committed", stage=postgres)
    assert counts(found, "as it is")[:2] == (0, 36) and found.as_it_is.tally.deadlock == 36
    assert counts(found, "a retry")[:3] == (0, 0, 36)
    assert found.cheapest.remedy.name == "an advisory lock"


def test_one_s_own_remedy_is_tried_beside_the_others_and_must_leave_the_same(postgres: Stage) -> None:
    counter = {name: ["UPDATE test SET value = value + 1 WHERE id = 1"] for name in ("T1", "T2")}
    wrong = {name: ["UPDATE test SET value = value + 2 WHERE id = 1"] for name in ("T1", "T2")}
    sessions = {
        name: [READ, "UPDATE test SET value = (SELECT value FROM test WHERE id = 1) + 1 WHERE id = 1"]
        for name in ("T1", "T2")
    }
    also = {"one statement": Program("", SETUP, counter), "two more": Program("", SETUP, wrong)}
    found = remedies(Program("count", SETUP, sessions), level="read committed", also=also, stage=postgres)
    assert found.as_it_is.tally.anomaly > 0
    assert counts(found, "one statement")[:3] == (0, 0, 0) and found.trial("one statement").remedy.kind == "own"
    assert found.trial("two more").refused == "T1 then T2 leaves something else than before"


def test_what_the_engine_refuses_is_said_in_its_words(postgres: Stage) -> None:
    sum_ = "SELECT sum(value) FROM test"
    sessions = {name: [sum_, f"UPDATE test SET value = 0 WHERE id = {id}"] for name, id in (("T1", 1), ("T2", 2))}
    found = remedies(Program("sums", SETUP, sessions), level="repeatable read", stage=postgres)
    refused = found.trial("FOR UPDATE in T1.2 and T2.2")
    assert "0A000 FOR UPDATE is not allowed with aggregate functions" in refused.refused
    assert refused.tally is None and not refused.works
    text_key = BOOKING.replace("room int,", "room text,")
    sessions = {"T1": [booked("ann", 10, 12)], "T2": [booked("bob", 11, 13)]}
    as_text = {
        name: [sql.replace("room = 1", "room = '1'").replace("SELECT 1,", "SELECT '1',") for sql in one]
        for name, one in sessions.items()
    }
    found = remedies(Program("", text_key, as_text), stage=postgres)
    refused = found.trial("EXCLUDE overlapping (starts, ends) of the same room on booking")
    assert refused.refused.startswith('refused: data type text has no default operator class for access method "gist"')


def test_duckdb_takes_a_guard_row_and_sqlite_the_lock_at_begin(duckdb: Stage, sqlite: Stage) -> None:
    skew = remedies(SKEW, stage=duckdb, limit=40)
    assert skew.smallest.remedy.name == "a guard row" and skew.as_it_is.tally.anomaly > 0
    assert skew.trial("a guard row and a retry").tally.aborted == 0
    lost = remedies(LOST, stage=sqlite)
    assert counts(lost, "as it is") == (0, 60, 0, 0)  # SQLite undoes the statement, and its session goes on
    assert counts(lost, "immediate") == (0, 0, 0, 68) and lost.cheapest.remedy.name == "immediate"
    assert counts(lost, "a retry") == (0, 0, 60, 0)


@pytest.mark.slow
def test_mariadb_needs_locks_for_what_its_repeatable_read_loses(mariadb: Stage) -> None:
    found = remedies(LOST, stage=mariadb, limit=12)
    assert found.exploration.levels == ("repeatable read",) and found.as_it_is.tally.anomaly > 0
    assert found.trial("FOR UPDATE in T1.2 and T2.2").works and found.trial("serializable").works


def test_a_sample_is_said_to_be_one(duckdb: Stage) -> None:
    three = Program("", SETUP, {name: [READ, f"UPDATE test SET value = {name[1]}"] for name in ("T1", "T2", "T3")})
    found = remedies(three, stage=duckdb, limit=6, seed=4)
    assert "6 of 34,650 orders, drawn by seed 4" in found.title and found.data()["sampled"]
    assert {trial.tally.orders for trial in found.trials} == {6}


def test_a_loop_runs_what_an_error_has_ended_once_more_at_the_end(postgres: Stage) -> None:
    order = LOST.order(["T1", "T2", "T1", "T2", "T1", "T2", "T1", "T2"])
    looped = run_with_retries(LOST, order, "repeatable read", postgres)
    assert (looped.retries, looped.given_up) == (1, ()) and set(looped.run.committed) == {"T1", "T2"}
    names = [step.name for step in looped.run.schedule.steps]
    assert names[-4:] == ["T2.1, try 2", "T2.2, try 2", "T2.3, try 2", "T2.4, try 2"] and "T2.3, rolled back" in names
    assert looped.run.end("T2.2, try 2").rows == ((1, 11),)
    plain = run_with_retries(LOST, order, "read committed", postgres)
    assert plain.retries == 0 and plain.run.schedule == order


def test_a_loop_gives_up_where_the_error_does_not_go_away(postgres: Stage) -> None:
    setup = SETUP + "\nCREATE UNIQUE INDEX one ON test (value);"
    same = Program("", setup, {name: [f"INSERT INTO test VALUES ({id}, 30)"] for name, id in (("T1", 3), ("T2", 4))})
    looped = run_with_retries(same, next(same.serial()), "read committed", postgres)
    assert looped.retries == TRIES - 1 and looped.given_up == ("T2",)


TWICE = Program(
    "two transactions each",
    f"{SETUP} CREATE TABLE log (n int);",
    {
        name: [
            *("BEGIN", f"INSERT INTO log VALUES ({value})", "COMMIT", "BEGIN", READ),
            *(f"UPDATE test SET value = {value} WHERE id = 1", "COMMIT"),
        ]
        for name, value in (("T1", 11), ("T2", 12))
    },
)


def test_a_loop_runs_again_what_has_failed_and_not_what_has_committed(postgres: Stage) -> None:
    order = TWICE.order(["T1", "T1", "T1", "T2", "T2", "T2", "T1", "T1", "T2", "T2", "T1", "T1", "T2", "T2"])
    looped = run_with_retries(TWICE, order, "repeatable read", postgres)
    assert (looped.retries, looped.given_up) == (1, ())
    assert looped.run.final == {"test": ((1, 12), (2, 20)), "log": ((11,), (12,))}
    assert [step.name for step in looped.run.schedule.steps][-4:] == [f"T2.{at}, try 2" for at in (4, 5, 6, 7)]


def test_a_statement_that_is_a_transaction_of_its_own_is_run_again_alone() -> None:
    own = Program("", SETUP, {"T1": ["BEGIN", READ, "COMMIT", "UPDATE test SET value = 11 WHERE id = 1"]})
    last = own.sessions["T1"][-1]
    assert _from_its_begin(own.sessions["T1"], last.name) == ((last,), False)


def test_an_advisory_lock_begins_every_transaction(postgres: Stage) -> None:
    found = remedies(TWICE, level="read committed", stage=postgres, limit=60)
    trial = found.trial("an advisory lock")
    assert trial.works and trial.remedy.changes == 4
    at_once = Program("", SETUP, {name: [f"BEGIN; {READ}", *steps] for name, (_, _, *steps) in
        ((name, [step.sql for step in own]) for name, own in LOST.sessions.items())})  # fmt: skip
    trial = remedies(at_once, level="read committed", stage=postgres).trial("an advisory lock")
    assert trial.works and trial.remedy.changes == 2
    assert [step.sql for step in trial.remedy.program.sessions["T1"]][:3] == ["BEGIN", ADVISORY["postgresql"], READ]


def test_a_comment_behind_a_read_swallows_no_lock(lost: Remedies, postgres: Stage) -> None:
    for tail in (" -- read it", "; -- read it", " /* read it */"):
        sessions = {name: [READ + tail, steps[2].sql] for name, steps in LOST.sessions.items()}
        found = remedies(Program("lost update", SETUP, sessions), level="read committed", stage=postgres, limit=20)
        assert found.cheapest.remedy.name == "FOR NO KEY UPDATE in T1.2 and T2.2"


@pytest.mark.parametrize("levels", [{"T1": "read committed"}, {"T1": "serializable"}])
def test_a_level_is_one_for_all_sessions(lost: Remedies, postgres: Stage, levels: dict[str, str]) -> None:
    program = Program("", LOST.setup, LOST.sessions, level="read committed", levels=levels)
    found = remedies(program, stage=postgres)
    for level in ("repeatable read", "serializable"):
        assert counts(found, level) == counts(lost, level)
        assert not found.trial(level).remedy.program.levels
    own = " (T1 serializable)" if "serializable" in levels.values() else ""
    assert f" · read committed{own} · all 70" in found.title
    weak = Program("", LOST.setup, LOST.sessions, level="serializable", levels=dict.fromkeys(levels, "read committed"))
    assert counts(remedies(weak, stage=postgres), "serializable") == counts(lost, "serializable")


def test_a_remedy_with_more_orders_says_how_many_were_tried(postgres: Stage) -> None:
    found = remedies(ONE_EACH, level="read committed", stage=postgres, limit=20)
    trial = found.trial("an advisory lock")
    assert (trial.tally.orders, trial.of, trial.sampled) == (20, 70, True)
    assert (found.as_it_is.of, found.as_it_is.sampled) == (20, False)
    (line,) = [line for line in str(found).split("\n") if "an advisory lock  " in line]
    assert "  20 of 70  " in line and "all 20 orders" in found.title
    (data,) = [one for one in found.data()["trials"] if one["name"] == "an advisory lock"]
    assert (data["orders"], data["of"], data["sampled"]) == (20, 70, True)
    root = ElementTree.fromstring(found.picture.svg)
    assert_readable(root)
    assert "of 70" in texts(root)


def test_names_that_need_quotes_get_them(postgres: Stage) -> None:
    setup = """CREATE TABLE "Test" ("Id" int PRIMARY KEY, "end" int); INSERT INTO "Test" VALUES (1, 10), (2, 20);"""
    new = """INSERT INTO "Test" SELECT {0}, 30 WHERE NOT EXISTS (SELECT FROM "Test" WHERE "end" = 30)"""
    found = remedies(Program("", setup, {"T1": [new.format(3)], "T2": [new.format(4)]}), stage=postgres)
    tried = {trial.remedy.name: trial for trial in found.trials}
    assert tried["UNIQUE (end) on Test"].works and tried["an index on Test (end)"].tally
    spans = BOOKING.replace("room", '"Room"').replace("ends", '"end"').replace("booking", '"Booking"')
    double = {
        name: [step.sql.replace("room", '"Room"').replace("ends", '"end"').replace("booking", '"Booking"')]
        for name, (_, step, _) in DOUBLE.sessions.items()
    }
    found = remedies(Program("", spans, double), stage=postgres)
    assert found.trial("EXCLUDE overlapping (starts, end) of the same Room on Booking").works


def test_two_rows_agree_in_columns_and_overlap_in_intervals() -> None:
    assert pairs([(1, None), (2, None)], ("a", "b")) == []
    assert overlapping([(1, 5), (5, 9), (4, 6)], ("a", "b"), ("a", "b")) == [()]
    assert overlapping([(1, 5), (5, 9)], ("a", "b"), ("a", "b")) == []


def test_the_text_the_data_and_the_picture_say_the_same(lost: Remedies) -> None:
    lines = str(lost).split("\n")
    assert lines[0].startswith("Remedies: lost update · PostgreSQL") and "read committed · all 70 orders" in lines[0]
    assert len(lines) == len(lost.trials) + 3
    (smallest,) = [line for line in lines if line.endswith("the smallest")]
    assert smallest.split()[:3] == ["✓", "repeatable", "read"]
    data = json.loads(json.dumps(lost.data()))
    assert (data["smallest"], data["cheapest"]) == ("repeatable read", "FOR NO KEY UPDATE in T1.2 and T2.2")
    assert [one["name"] for one in data["trials"]] == [trial.remedy.name for trial in lost.trials]
    assert [one["works"] for one in data["trials"]] == sorted((one["works"] for one in data["trials"]), reverse=True)
    root = ElementTree.fromstring(lost.picture.svg)
    assert_readable(root)
    shown = texts(root)
    assert {"the smallest", "the cheapest", "remedy", "aborts"} <= set(shown)
    assert all(trial.remedy.name in shown for trial in lost.trials) and set(KINDS[:4]) <= set(shown)
    assert lost._repr_mimebundle_()["text/plain"] == str(lost)


def test_a_schedule_is_mended_too_and_a_refusal_stands_in_the_picture(duckdb: Stage) -> None:
    schedule = Schedule.read(
        f"setup:\n    {SETUP.replace(chr(10), ' ')}\nT1: BEGIN\nT2: BEGIN\nT1: {READ}\nT1: COMMIT\nT2: COMMIT"
    )
    bad = {"a row more": Program("", SETUP, {"T1": ["INSERT INTO test VALUES (3, 30)"], "T2": ["SELECT 1"]})}
    found = remedies(schedule, stage=duckdb, also=bad)
    assert found.as_it_is.works and found.smallest is found.as_it_is is found.cheapest
    root = ElementTree.fromstring(found.picture.svg)
    assert_readable(root)
    assert any("leaves something else" in text for text in texts(root))
    assert "– a row more" in str(found)
