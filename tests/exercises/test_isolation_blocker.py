"""The root of a standstill: named, told from the runner-up, and found again by a query."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, verdict
from workbook.exercises.isolation.blocker import EXERCISE, VARIANTS, Variant, after, evidence, observations
from workbook.exercises.isolation.standstill import SCENES

MINE = "datname = current_database()"
ROOT = f"""SELECT application_name FROM pg_stat_activity a
WHERE {MINE} AND cardinality(pg_blocking_pids(pid)) = 0
  AND EXISTS (SELECT FROM pg_stat_activity w WHERE w.{MINE} AND a.pid = ANY (pg_blocking_pids(w.pid)))"""
BY_PID = f"""WITH waits AS (SELECT pid, unnest(pg_blocking_pids(pid)) AS holder FROM pg_stat_activity WHERE {MINE})
SELECT holder FROM waits EXCEPT SELECT pid FROM waits"""
UPWARDS = f"""WITH RECURSIVE up (pid) AS (
    SELECT pid FROM pg_stat_activity WHERE {MINE} AND wait_event_type = 'Lock'
    UNION SELECT holder FROM up, unnest(pg_blocking_pids(up.pid)) AS holder)
SELECT application_name, state FROM up JOIN pg_stat_activity USING (pid) WHERE wait_event_type IS DISTINCT FROM 'Lock'"""
IDLE = f"SELECT application_name FROM pg_stat_activity WHERE {MINE} AND state = 'idle in transaction' ORDER BY xact_start LIMIT 1"
IDLE_ROOT = f"""SELECT application_name FROM pg_stat_activity a WHERE {MINE} AND state = 'idle in transaction'
AND EXISTS (SELECT FROM pg_stat_activity w WHERE w.{MINE} AND a.pid = ANY (pg_blocking_pids(w.pid)))"""
MOST = f"""SELECT holder FROM pg_stat_activity, unnest(pg_blocking_pids(pid)) AS holder WHERE {MINE}
GROUP BY holder ORDER BY count(*) DESC, holder LIMIT 1"""
EVERY = f"SELECT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity WHERE {MINE}"
ENDS = f"""WITH others AS MATERIALIZED (
    SELECT pid FROM pg_stat_activity WHERE {MINE} AND usename = current_user AND pid <> pg_backend_pid())
SELECT pg_terminate_backend(pid, 1000) FROM others"""


def answers(variant: Variant) -> Answers:
    root = SCENES[variant.scene].root
    good = {"end": root, "rules_out": variant.place, "sql": ROOT}
    away = variant.place % 5 + 1
    wrong = [
        Wrong({**good, "end": variant.colleague}, says=f"`{variant.colleague}` was ended"),
        Wrong({**good, "end": "the database"}, says="There is no session 'the database'"),
        Wrong({**good, "rules_out": away}, says=f"Observation {away} is true", misconception="any-fact"),
        Wrong({**good, "rules_out": 0}, says="There is no observation 0"),
        Wrong({**good, "sql": f"SELECT '{root}'"}, says="there is none of that name", misconception="by-name"),
        Wrong({**good, "sql": EVERY}, says="the query names "),
        Wrong({**good, "sql": ENDS}, says="by the query itself"),
        Wrong({**good, "sql": "SELECT pid FROM pg_stat_activities"}, says="PostgreSQL refuses it"),
        Wrong({**good, "sql": "SELECT count(*) FROM orders, products, pg_sleep(60)"}, says="ran longer than 1.5 s"),
        Wrong({**good, "end": 3}, says="this is int"),
        Wrong({"end": root}, says="the keys 'end', 'rules_out', 'sql'"),
        Wrong({**good, "sql": IDLE_ROOT}, says="gives no row", misconception="one-state"),
    ]
    return Answers(right=good, also_right=[{**good, "sql": BY_PID if variant.place % 2 else UPWARDS}], wrong=wrong)


class TestBlocker(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)
    partly = True


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(variant, id=variant.scene, marks=[pytest.mark.slow] if n else [])
        for n, variant in enumerate(VARIANTS)
    ],
)
def test_only_the_end_of_the_root_lets_all_go_on(variant: Variant) -> None:
    """It is none of the eight but the root: ending each of the others leaves the standstill, or brings it back."""
    root = SCENES[variant.scene].root
    every = [name for name, *_ in evidence(variant.scene).activity]
    assert [name for name in every if not after(variant.scene, name)] == [root]


OLDEST = """SELECT (pg_blocking_pids(pid))[1] FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database() ORDER BY {} LIMIT 1"""
TWO_UP = f"SELECT (pg_blocking_pids((pg_blocking_pids(pid))[1]))[1] FROM pg_stat_activity WHERE {MINE}"
EVERYWHERE = BY_PID.replace(f" WHERE {MINE}", "")
NO_BELIEF = {
    "usename": (ROOT.replace("application_name", "usename", 1), "names no session of that standstill"),
    "NULL": (ROOT.replace("application_name", "(pg_blocking_pids(pid))[1]", 1), "the first column is NULL"),
    "its own": ("SELECT pg_backend_pid()", "it names the one that runs the query"),
}


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        (OLDEST.format("xact_start"), "waits itself"),
        (OLDEST.format("query_start"), "waits itself"),
        (TWO_UP, "`loader` and `psql-7`"),
        (EVERYWHERE, "not of this standstill"),
    ],
)
def test_a_query_that_goes_one_step_only_or_looks_at_other_databases_fails(sql: str, says: str) -> None:
    variant = VARIANTS[0]
    good = answers(variant).right
    found = verdict(EXERCISE, {**good, "sql": sql}, variant)
    assert not found.full and says in str(found)


@pytest.mark.parametrize("what", NO_BELIEF)
def test_a_query_that_names_nobody_is_told_what_it_gives(what: str) -> None:
    sql, says = NO_BELIEF[what]
    found = verdict(EXERCISE, {**answers(VARIANTS[0]).right, "sql": sql}, VARIANTS[0])
    assert not found.full and says in str(found) and not found.misconception


def test_the_observation_is_looked_at_when_the_rest_is_right() -> None:
    """Nobody finds it by trying all of them while the query is still to be written; as a text it is a number, too."""
    variant = VARIANTS[0]
    good = answers(variant).right
    for place in (variant.place, variant.place % 5 + 1):
        assert "Observation" not in str(verdict(EXERCISE, {**good, "rules_out": place, "sql": "SELECT 1"}, variant))
    assert verdict(EXERCISE, {**good, "rules_out": str(variant.place)}, variant).full
    assert "2 of 3 points" in str(verdict(EXERCISE, {**good, "rules_out": variant.place % 5 + 1}, variant))


def test_a_key_too_many_and_one_that_is_missing_are_named() -> None:
    good = answers(VARIANTS[0]).right
    assert "'why' is none of them" in str(verdict(EXERCISE, {**good, "why": ""}, VARIANTS[0]))
    assert "'sql' is missing" in str(verdict(EXERCISE, {key: good[key] for key in ("end", "rules_out")}, VARIANTS[0]))


def test_whoever_waits_itself_is_no_root_however_many_wait_for_it() -> None:
    found = verdict(EXERCISE, {"end": "deploy", "rules_out": VARIANTS[0].place, "sql": ROOT}, VARIANTS[0])
    assert found.misconception == EXERCISE.misconceptions["the-loud-one"]
    assert "came back to wait for `console` again" in str(found)


def test_the_oldest_idle_transaction_is_not_always_the_root() -> None:
    found = verdict(EXERCISE, {"end": "console", "rules_out": VARIANTS[0].place, "sql": IDLE}, VARIANTS[0])
    assert "Nobody waits for that one" in str(found)
    assert found.misconception == EXERCISE.misconceptions["idle-is-guilty"]


def test_whom_most_wait_for_is_not_always_the_root() -> None:
    found = verdict(EXERCISE, {"end": "report", "rules_out": VARIANTS[1].place, "sql": MOST}, VARIANTS[1])
    assert "waits itself" in str(found) and not found.full


def test_a_query_that_names_a_session_of_another_database_only() -> None:
    found = verdict(EXERCISE, {**answers(VARIANTS[0]).right, "sql": f"{EVERYWHERE} ORDER BY 1 LIMIT 1"}, VARIANTS[0])
    assert not found.full and "a session of another database of the server, and none of this one" in str(found)
    assert "Which databases does" in str(found)


def test_rows_may_name_the_one_session_more_than_once() -> None:
    many = f"""WITH w AS (SELECT unnest(pg_blocking_pids(pid)) AS holder FROM pg_stat_activity WHERE {MINE})
        SELECT holder FROM w WHERE cardinality(pg_blocking_pids(holder)) = 0"""
    assert verdict(EXERCISE, {**answers(VARIANTS[0]).right, "sql": many}, VARIANTS[0]).full


def test_a_query_that_frees_them_itself_names_nobody() -> None:
    """Cancelled instead of ended: all are there still, and wait no more."""
    for sql in (ENDS.replace("pg_terminate_backend(pid, 1000)", "pg_cancel_backend(pid)"), ENDS):
        found = verdict(EXERCISE, {"end": "console", "rules_out": VARIANTS[0].place, "sql": sql}, VARIANTS[0])
        assert not found.full and "by the query itself" in str(found)


def test_one_observation_of_five_rules_the_colleague_out() -> None:
    for variant in VARIANTS:
        every = observations(variant)
        assert len(every) == len(set(every)) == 5
        ruling = [text for text in every if "waits itself" in text or text.startswith("Nobody waits")]
        assert ruling == [every[variant.place - 1]] and f"`{variant.colleague}`" in ruling[0]


def test_the_evidence_hands_over_neither_the_root_nor_who_waits_for_whom() -> None:
    """Who is to be ended is worked out from the locks: no sentence names the root but one that names the oldest, and no list says who
    blocks whom."""
    for variant in VARIANTS:
        told, seen, root = EXERCISE.brief(variant), evidence(variant.scene), SCENES[variant.scene].root
        named = [text for text in observations(variant) if f"`{root}`" in text]
        assert all(text.startswith("The oldest") for text in named), variant.scene
        assert "→" not in told and "its own transaction" not in told
        assert all(f"| {name} |" in told for name, *_ in seen.activity)
