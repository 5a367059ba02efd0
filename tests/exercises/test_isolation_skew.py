"""Write skew in six worlds: looked at by SELECT or in one statement; and what only looks like it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.isolation.skew import EXERCISE, VARIANTS, Variant
from workbook.exercises.isolation.trial import Outcome
from workbook.schedules import Schedule, run

GATES, ACCOUNTS, ROOMS, CLAIMS, LINES, BOSSES = VARIANTS

LOOKS: dict[str, tuple[str, str]] = {
    GATES.rule: ("SELECT count(*) FROM gate WHERE open",) * 2,
    ACCOUNTS.rule: ("SELECT sum(euros) FROM account WHERE customer = 7",) * 2,
    ROOMS.rule: (
        "SELECT who FROM booking WHERE room = 1 AND from_hour < 11 AND to_hour > 9",
        "SELECT who FROM booking WHERE room = 1 AND from_hour < 12 AND to_hour > 10",
    ),
    CLAIMS.rule: ("SELECT sum(euros), max(line_no) FROM claim WHERE project = 3",) * 2,
    LINES.rule: ("SELECT for_sale FROM product WHERE product_id = 40", "SELECT order_id FROM line WHERE product_id = 40"),
    BOSSES.rule: ("SELECT boss FROM staff WHERE name = 'ben'", "SELECT boss FROM staff WHERE name = 'ana'"),
}  # fmt: skip
WRITES: dict[str, tuple[str, str]] = {
    GATES.rule: ("UPDATE gate SET open = false WHERE gate_id = 1", "UPDATE gate SET open = false WHERE gate_id = 2"),
    ACCOUNTS.rule: (
        "UPDATE account SET euros = -30 WHERE customer = 7 AND kind = 'giro'",
        "UPDATE account SET euros = euros - 100 WHERE customer = 7 AND kind = 'savings'",
    ),
    ROOMS.rule: ("INSERT INTO booking VALUES (1, 9, 11, 'ana')", "INSERT INTO booking VALUES (1, 10, 12, 'ben')"),
    CLAIMS.rule: ("INSERT INTO claim VALUES (3, 2, 300)", "INSERT INTO claim VALUES (3, 3, 300)"),
    LINES.rule: ("INSERT INTO line VALUES (2, 40)", "UPDATE product SET for_sale = false WHERE product_id = 40"),
    BOSSES.rule: ("UPDATE staff SET boss = 'ben' WHERE name = 'ana'", "UPDATE staff SET boss = 'ana' WHERE name = 'ben'"),
}  # fmt: skip
GUARDED: dict[str, tuple[str, str]] = {
    GATES.rule: (
        "UPDATE gate SET open = false WHERE gate_id = 1 AND (SELECT count(*) FROM gate WHERE open) > 2",
        "UPDATE gate SET open = false WHERE gate_id = 2 AND (SELECT count(*) FROM gate WHERE open) > 2",
    ),
    ACCOUNTS.rule: (
        "UPDATE account SET euros = euros - 100 WHERE customer = 7 AND kind = 'giro' AND (SELECT sum(euros) FROM account WHERE customer = 7) >= 100",
        "UPDATE account SET euros = euros - 100 WHERE customer = 7 AND kind = 'savings' AND (SELECT sum(euros) FROM account WHERE customer = 7) >= 100",
    ),
    ROOMS.rule: (
        "INSERT INTO booking SELECT 1, 9, 11, 'ana' WHERE NOT EXISTS (SELECT FROM booking WHERE room = 1 AND from_hour < 11 AND to_hour > 9)",
        "INSERT INTO booking SELECT 1, 10, 12, 'ben' WHERE NOT EXISTS (SELECT FROM booking WHERE room = 1 AND from_hour < 12 AND to_hour > 10)",
    ),
    CLAIMS.rule: (
        "INSERT INTO claim SELECT 3, 2, 300 WHERE (SELECT sum(euros) FROM claim WHERE project = 3) <= 700",
        "INSERT INTO claim SELECT 3, 3, 300 WHERE (SELECT sum(euros) FROM claim WHERE project = 3) <= 700",
    ),
    LINES.rule: (
        "INSERT INTO line SELECT 2, product_id FROM product WHERE product_id = 40 AND for_sale",
        "UPDATE product SET for_sale = false WHERE product_id = 40 AND NOT EXISTS (SELECT FROM line WHERE product_id = 40)",
    ),
    BOSSES.rule: (
        "UPDATE staff SET boss = 'ben' WHERE name = 'ana' AND NOT EXISTS (SELECT FROM staff WHERE name = 'ben' AND boss = 'ana')",
        "UPDATE staff SET boss = 'ana' WHERE name = 'ben' AND NOT EXISTS (SELECT FROM staff WHERE name = 'ana' AND boss = 'ben')",
    ),
}  # fmt: skip
ALONE = {
    GATES.rule: "UPDATE gate SET open = false",
    ACCOUNTS.rule: "UPDATE account SET euros = -200 WHERE customer = 7 AND kind = 'giro'",
    ROOMS.rule: "INSERT INTO booking VALUES (1, 7, 12, 'ana')",
    CLAIMS.rule: "INSERT INTO claim VALUES (3, 2, 900)",
    LINES.rule: "UPDATE product SET for_sale = false",
    BOSSES.rule: "UPDATE staff SET boss = CASE name WHEN 'ana' THEN 'ben' ELSE 'ana' END WHERE name IN ('ana', 'ben')",
}
"""A statement that breaks the rule with nobody there."""


def text(*steps: tuple[str, str]) -> str:
    return "\n".join(f"{session}: {sql}" for session, sql in steps)


def skewed(looks: tuple[str, str], writes: tuple[str, str]) -> str:
    ends = [("ana", "COMMIT"), ("ben", "COMMIT")]
    steps = [
        ("ana", "BEGIN"),
        ("ben", "BEGIN"),
        ("ana", looks[0]),
        ("ben", looks[1]),
        ("ana", writes[0]),
        ("ben", writes[1]),
    ]
    return text(*steps, *ends)


def late(looks: tuple[str, str], writes: tuple[str, str]) -> str:
    """Both look, behind their own write, and before the other one commits."""
    steps = [(name, "BEGIN") for name in ("ana", "ben")]
    steps += [("ana", writes[0]), ("ben", writes[1]), ("ana", looks[0]), ("ben", looks[1])]
    return text(*steps, ("ana", "COMMIT"), ("ben", "COMMIT"))


def at_once(first: str, then: str) -> str:
    """Each in one statement, the first one's whole transaction inside the other's."""
    return text(("ben", "BEGIN"), ("ben", then), ("ana", "BEGIN"), ("ana", first), ("ana", "COMMIT"), ("ben", "COMMIT"))


def answers(variant: Variant) -> Answers:
    (ana_looks, ben_looks), (ana, ben) = LOOKS[variant.rule], WRITES[variant.rule]
    right = skewed(LOOKS[variant.rule], WRITES[variant.rule])
    begin, commit = ("ana", "BEGIN"), ("ana", "COMMIT")
    one_after_the_other = text(
        begin,
        ("ana", GUARDED[variant.rule][0]),
        commit,
        ("ben", "BEGIN"),
        ("ben", GUARDED[variant.rule][1]),
        ("ben", "COMMIT"),
    )
    same_row = skewed((ana_looks, ben_looks), (ana, ana))
    refused = "is refused: 40001" if ana.startswith("UPDATE") else "is refused: 23505"
    return Answers(
        right=right,
        also_right=[
            at_once(*GUARDED[variant.rule]),
            "\n    " + right.replace("\n", "\n    ") + "\n    ",
            right.replace("\n", "\n    "),
            right.replace("ana:", "anna (a step):", 1).replace("ana:", "anna:").replace("ben:", "b:").replace("b: BEGIN", "b: BEGIN ISOLATION LEVEL REPEATABLE READ"),
        ],
        wrong=[
            Wrong(None, says="You say that there is no such schedule", misconception="suffices"),
            Wrong(text(begin, ("ben", "BEGIN"), ("ana", ana), ("ben", ben), commit, ("ben", "COMMIT")), says="would have seen the same", misconception="blind"),
            Wrong(late(LOOKS[variant.rule], WRITES[variant.rule]), says="ana and ben look only after the write", misconception="look-later"),
            Wrong(one_after_the_other, says="In the end the rule is kept", misconception="overlap"),
            Wrong(same_row, says=refused, misconception="same-row" if ana.startswith("UPDATE") else ""),
            Wrong(skewed((ana_looks, ben_looks), (ALONE[variant.rule], ben_looks)), says="When ana runs alone", misconception="alone"),
            Wrong(right.replace("ana: BEGIN", "ana: BEGIN ISOLATION LEVEL READ COMMITTED"), says="ana is at read committed"),
            Wrong(right.replace("ben: COMMIT", ""), says="ben has a transaction that is open"),
            Wrong(right.replace("ana: BEGIN\n", "").replace("ana: COMMIT\n", ""), says="ana has 2 transactions", misconception="no-begin"),
            Wrong(right.replace("ana: COMMIT", "ana: CREATE TABLE note (n int)\nana: COMMIT"), says="answers `CREATE TABLE`"),
            Wrong(f"level: serializable\n\n{right}", says="a level of its own"),
            Wrong(text(begin, ("ana", ana), commit), says="1 session has steps"),
            Wrong("first ana, then ben", says="The text is no schedule"),
            Wrong(right.replace("ana: BEGIN\n", "ana: BEGIN; SELECT 1\n"), says="holds 2 statements"),
            Wrong(right.replace("ana: BEGIN\n", "ana: BEGIN\nana: SELECT nothing FROM nowhere\n"), says="is refused: 42P01"),
        ],
    )  # fmt: skip


class TestSkew(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_the_graph_names_it_by_row_or_by_condition() -> None:
    names = {}
    for variant in VARIANTS:
        found = verdict(EXERCISE, answers(variant).right, variant)
        names[variant.rule] = shown(found).partition("The graph calls it ")[2].partition(":")[0]
        (drawn,) = found.pictures
        assert "COMMIT" in str(drawn) and "<title>" in drawn.svg
    assert names[ACCOUNTS.rule] == names[BOSSES.rule] == "G2-item write skew"
    assert names[ROOMS.rule] == names[CLAIMS.rule] == "G2 write skew by condition"


def test_a_statement_that_the_graph_cannot_follow_is_right_all_the_same() -> None:
    merge = "MERGE INTO gate USING (VALUES (1)) wanted (n) ON gate_id = n WHEN MATCHED AND (SELECT count(*) FROM gate WHERE open) > 2 THEN UPDATE SET open = false"
    found = verdict(EXERCISE, at_once(merge, merge.replace("(1)", "(2)")), GATES)
    assert found.full and "The graph cannot follow every statement" in shown(found)


def test_whoever_looks_in_time_may_look_again() -> None:
    looks, writes = LOOKS[GATES.rule], WRITES[GATES.rule]
    in_a_with = tuple(
        f"WITH now AS ({look} FOR SHARE OF gate) SELECT FROM now".replace("count(*)", "1") for look in looks
    )
    for early in (looks, (in_a_with[0].replace(" FOR SHARE OF gate", ""), looks[1])):
        again = skewed((early[0], early[1]), writes).replace("ana: COMMIT", f"ana: {looks[0]}\nana: COMMIT")
        assert verdict(EXERCISE, again, GATES).full
    one_late = (
        late(looks, writes).replace(f"ben: {looks[1]}\n", "").replace("ben: BEGIN\n", f"ben: BEGIN\nben: {looks[1]}\n")
    )
    assert "ana looks only after the write" in shown(verdict(EXERCISE, one_late, GATES))


def test_the_schedule_that_ran_is_an_answer() -> None:
    right = answers(GATES).right
    played = Schedule.read(f"level: repeatable read\n\nsetup:\n    {GATES.setup.replace(chr(10), ' ')};\n\n{right}")
    assert verdict(EXERCISE, played, GATES).full and verdict(EXERCISE, str(played), GATES).full
    other = replace(played, setup=GATES.setup.replace("(3, true)", "(3, false)"))
    assert "a setup, a teardown" in shown(verdict(EXERCISE, other, GATES))


@pytest.mark.parametrize(("variant", "key"), [(ROOMS, "first hour"), (CLAIMS, "line number"), (LINES, "order number")])
def test_who_take_the_same_key_are_asked_for_another_one(variant: Variant, key: str) -> None:
    """To have met at the key is no belief about constraints."""
    ana = WRITES[variant.rule][0]
    found = verdict(EXERCISE, skewed(LOOKS[variant.rule], (ana, ana)), variant)
    assert f"Both took the same {key}. May they take different ones?" in shown(found) and not found.misconception


def test_a_key_that_was_there_before_and_a_check_point_to_the_constraint() -> None:
    looks, (ana, ben) = LOOKS[CLAIMS.rule], WRITES[CLAIMS.rule]
    for worse, code in ((ben.replace("3, 3,", "3, 1,"), "23505"), (ben.replace("300", "0"), "23514")):
        found = verdict(EXERCISE, skewed(looks, (ana, worse)), CLAIMS)
        assert f"ben's INSERT (ben.3) is refused: {code}" in shown(found)
        assert found.misconception == EXERCISE.misconceptions["constraint"]


def test_a_lock_of_a_foreign_key_is_told_as_what_it_is() -> None:
    steps = [("ana", "BEGIN"), ("ben", "BEGIN"), ("ana", "SELECT 1 FROM staff"), ("ben", "SELECT 1 FROM staff"), ("ben", "DELETE FROM staff WHERE name = 'ben'"), ("ana", "UPDATE staff SET boss = 'ben' WHERE name = 'ana'"), ("ben", "INSERT INTO staff VALUES ('ben', 'ana')"), ("ben", "COMMIT"), ("ana", "COMMIT")]  # fmt: skip
    found = verdict(EXERCISE, text(*steps), BOSSES)
    assert "is refused: 40" in shown(found) and "a foreign key lock" in shown(found) and not found.misconception


def test_locks_that_end_in_a_deadlock_or_never_are_told_so() -> None:
    locks = ("SELECT pg_advisory_xact_lock(1)", "SELECT pg_advisory_xact_lock(2)")
    crossed = skewed(locks, (locks[1], locks[0]))
    assert "is refused: 40P01" in shown(verdict(EXERCISE, crossed, GATES))
    kept = text(
        ("ana", "SELECT pg_advisory_lock(1)"),
        ("ben", "BEGIN"),
        ("ben", "SELECT pg_advisory_lock(1)"),
        ("ben", "COMMIT"),
    )
    assert "comes to no end" in shown(verdict(EXERCISE, kept, GATES))
    assert verdict(EXERCISE, answers(GATES).right, GATES).full, "the next schedule runs"


def test_savepoints_and_a_higher_level_are_told_apart() -> None:
    right = answers(GATES).right
    saved = right.replace("ana: COMMIT", "ana: SAVEPOINT done\nana: RELEASE done\nana: COMMIT")
    assert verdict(EXERCISE, saved, GATES).full
    higher = right.replace(": BEGIN", ": BEGIN ISOLATION LEVEL SERIALIZABLE")
    assert "is at serializable" in shown(verdict(EXERCISE, higher, GATES))


@pytest.mark.parametrize("worse", ["DELETE FROM gate", "DROP TABLE gate", "TRUNCATE gate"])
def test_what_is_thrown_away_is_no_skew(worse: str) -> None:
    found = verdict(EXERCISE, skewed(LOOKS[GATES.rule], (worse, WRITES[GATES.rule][1])), GATES)
    assert not found.full and found.state == "graded"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.rule[:16])
def test_what_the_why_says_of_other_levels_and_engines(variant: Variant) -> None:
    schedule = replace(Schedule.read(answers(variant).right), setup=variant.setup)
    at_serializable = run(schedule, level="serializable")
    assert next(event.sqlstate for event in at_serializable.failures) == "40001"
    assert not variant.broken(Outcome("", at_serializable))
    on_duckdb, on_sqlite = run(schedule, "duckdb"), run(schedule, "sqlite", "deferred")
    assert variant.broken(Outcome("", on_duckdb)) and not on_duckdb.failures
    assert not variant.broken(Outcome("", on_sqlite)) and on_sqlite.failures


def test_locks_that_the_why_names_keep_the_rule() -> None:
    for variant, lock in ((ACCOUNTS, " FOR UPDATE"), (LINES, " FOR SHARE")):
        looks = [look.replace("sum(euros)", "euros") for look in LOOKS[variant.rule]]
        looks = [look + lock if variant is ACCOUNTS or "product " in look else look for look in looks]
        schedule = replace(Schedule.read(skewed((looks[0], looks[1]), WRITES[variant.rule])), setup=variant.setup)
        found = run(schedule, level="repeatable read" if variant is ACCOUNTS else "read committed")
        assert found.waits, variant.rule


def test_what_differs_from_run_to_run_is_no_proof() -> None:
    merge = "MERGE INTO gate USING (VALUES (1)) wanted (n) ON gate_id = n WHEN MATCHED THEN UPDATE SET open = false"
    chance = ("SELECT clock_timestamp()", "SELECT clock_timestamp()")
    found = verdict(EXERCISE, skewed(chance, (merge, merge.replace("(1)", "(2)"))), GATES)
    assert "one after the other they break it, too" in shown(found) and not found.full
