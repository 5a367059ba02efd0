"""A child's insert beside its parent's update: which locks let it past, and keep what they were taken for."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.isolation.parent import EXERCISE, VARIANTS, Variant, programs
from workbook.exercises.isolation.trial import tried

ALSO = {
    0: [
        "UPDATE customers SET points = points + :points WHERE customer_id = :customer;\n"
        "INSERT INTO log SELECT customer_id, points - :points FROM customers WHERE customer_id = :customer",
        "WITH held AS MATERIALIZED (SELECT customer_id, points FROM customers WHERE customer_id = :customer FOR NO KEY UPDATE)"
        " INSERT INTO log SELECT * FROM held; UPDATE customers SET points = points + :points WHERE customer_id = :customer",
    ],
    1: [
        "INSERT INTO customers VALUES (:customer, :name, 0) ON CONFLICT DO NOTHING;\n"
        "UPDATE customers SET name = :name, points = points + :points WHERE customer_id = :customer",
    ],
    2: [
        "UPDATE customers SET customer_id = :customer, name = :name, points = points + :points WHERE customer_id = :customer",
        "SELECT FROM customers WHERE customer_id = :customer FOR NO KEY UPDATE;\n"
        "UPDATE customers SET name = :name, points = points + :points WHERE customer_id = :customer",
    ],
    3: [
        "UPDATE orders SET cents = cents + :cents WHERE order_id = :order;\n"
        "INSERT INTO log SELECT o.order_id, c.name, o.cents - :cents FROM orders o JOIN customers c USING (customer_id) WHERE o.order_id = :order",
    ],
}  # fmt: skip

NO_LOCK = {
    0: "INSERT INTO log SELECT customer_id, points FROM customers WHERE customer_id = :customer;\n"
    "UPDATE customers SET points = points + :points WHERE customer_id = :customer",
    1: "UPDATE customers SET name = :name, points = points + :points WHERE customer_id = :customer",
    2: "UPDATE customers SET name = :name, points = 10 + :points WHERE customer_id = :customer",
    3: "INSERT INTO log SELECT o.order_id, c.name, o.cents FROM orders o JOIN customers c USING (customer_id) WHERE o.order_id = :order;\n"
    "UPDATE orders SET cents = cents + :cents WHERE order_id = :order",
}  # fmt: skip


BEFORE = {0: "points", 3: "cents"}
"""What the log keeps, in the variants that have one."""
NOT_THERE = [
    "UPDATE customers SET name = :name, points = points + :points WHERE customer_id = :customer;\n"
    "INSERT INTO customers SELECT :customer, :name, :points WHERE NOT EXISTS (SELECT FROM customers WHERE customer_id = :customer)",
    "MERGE INTO customers c USING (VALUES (:customer, :name, :points)) AS new (id, name, points) ON c.customer_id = new.id\n"
    "WHEN MATCHED THEN UPDATE SET name = new.name, points = c.points + new.points WHEN NOT MATCHED THEN INSERT VALUES (new.id, new.name, new.points)",
]
"""Two who look for a row that is not there both insert it."""


def of_one_variant(variant: Variant, place: int) -> list[Wrong]:
    """Where the work is to look and to write: a lock that only those take who know of it, one that is too weak, one that comes too late."""
    if place not in BEFORE:
        return []
    table, key, name = ("orders", "order_id", ":order") if place == 3 else ("customers", "customer_id", ":customer")
    lock = f"SELECT FROM {table} WHERE {key} = {name}"
    insert, update = NO_LOCK[place].split(";\n")
    return [
        Wrong(f"SELECT pg_advisory_xact_lock({name});\n{NO_LOCK[place]}", says="does it ask for yours?", misconception="only-mine"),
        Wrong(f"{lock} FOR KEY SHARE;\n{NO_LOCK[place]}", says="what does the lock keep out", misconception="any-lock"),
        Wrong(f"WITH held AS MATERIALIZED ({lock} FOR NO KEY UPDATE) {insert} AND EXISTS (SELECT FROM held);\n{update}", says="from which moment is what it has read?", misconception="lock-refreshes"),
    ]  # fmt: skip


def answers(variant: Variant) -> Answers:
    place = VARIANTS.index(variant)
    table = "orders" if place == 3 else "customers"
    key = "order_id = :order" if place == 3 else "customer_id = :customer"
    return Answers(
        right=variant.right,
        also_right=ALSO[place],
        wrong=[
            Wrong(variant.given, says=variant.question, misconception=variant.belief),
            Wrong(NO_LOCK[place], says="between the first look at the row and the last write?", misconception="no-lock")
            if place in BEFORE
            else Wrong(NO_LOCK[place], says="even if nobody else is there", misconception="these-values"),
            Wrong(f"SELECT FROM {table} WHERE {key} FOR NO KEY UPDATE NOWAIT;\n{variant.right}", says="is aborted with 55P03", misconception="fails-instead"),
            *of_one_variant(variant, place),
            Wrong(f"BEGIN; {variant.right}; COMMIT", says="The answer says `BEGIN`"),
            Wrong(f"{variant.right}; UPDATE {table} SET amount = 1", says='column "amount" of relation'),
            Wrong("SELEC 1", says="syntax error"),
            Wrong(f"{variant.right}; SELECT pg_advisory_lock(1)", says="the sessions come to no end"),
        ],
    )  # fmt: skip


class TestParent(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


def test_a_lock_for_all_makes_other_rows_wait() -> None:
    found = verdict(EXERCISE, f"SELECT pg_advisory_xact_lock(1); {VARIANTS[0].right}", VARIANTS[0])
    assert not found.full and "One lock for all is the simple way" in shown(found)


def test_the_timeline_of_the_first_order_with_a_wait_is_shown() -> None:
    found = verdict(EXERCISE, VARIANTS[0].given, VARIANTS[0])
    assert "waits for update, row customer_id=1 of customers" in str(found)


def test_a_unique_column_that_changes_is_a_key_and_one_that_stays_is_not() -> None:
    """What the text after full marks says of unique columns."""
    from workbook.exercises.isolation.trial import statements, tried
    from workbook.schedules import Program, Step

    setup = """CREATE TABLE people (id int PRIMARY KEY, email text NOT NULL UNIQUE); INSERT INTO people VALUES (1, 'a');
        CREATE TABLE pets (id int PRIMARY KEY, person int NOT NULL REFERENCES people)"""
    for email, waits in (("b", True), ("a", False)):
        update = statements("UPDATE people SET email = :email WHERE id = 1", {"email": email})
        sessions = {"update": (Step("update", update[0]),), "child": (Step("child", "INSERT INTO pets VALUES (7, 1)"),)}
        assert any(one.waits for one in tried(Program("", setup, sessions)).outcomes) is waits


@pytest.mark.parametrize("lock", [":customer % 2", ":customer / 2", "least(:customer, 2)", "length(:customer::text)"])
def test_a_lock_that_two_customers_share_by_chance_is_found(lock: str) -> None:
    found = verdict(EXERCISE, f"SELECT pg_advisory_xact_lock({lock}); {VARIANTS[0].right}", VARIANTS[0])
    assert not found.full and "One lock for all is the simple way" in shown(found)


def test_a_shared_lock_that_is_upgraded_points_to_the_upgrade() -> None:
    found = verdict(EXERCISE, VARIANTS[0].given.replace("FOR UPDATE", "FOR SHARE"), VARIANTS[0])
    assert "aborted with 40P01 (in two calls for the same row)" in shown(found)
    assert "The weak lock first, and the strong one when it is needed" in shown(found)


def test_the_points_of_the_task_written_into_the_statements_are_no_matter_of_locks() -> None:
    found = verdict(EXERCISE, VARIANTS[0].right.replace(":points", "5"), VARIANTS[0])
    assert not found.full and "What is right for the values of the task is right." in shown(found)


def test_what_is_odd_is_said_in_its_own_words() -> None:
    right = VARIANTS[0].right
    found = verdict(EXERCISE, f"SET lock_timeout = 1; {right}", VARIANTS[0])
    assert not found.full and "To give up is not to mend" in shown(found)
    found = verdict(EXERCISE, right.replace(":points", ":amount"), VARIANTS[0])
    assert "The names are `:customer`, `:points`." in shown(found)


def test_a_list_of_statements_is_an_answer_too() -> None:
    assert verdict(EXERCISE, VARIANTS[0].right.split(";"), VARIANTS[0]).full
    assert "this is list" in shown(verdict(EXERCISE, [1], VARIANTS[0]))


@pytest.mark.parametrize("sql", NOT_THERE, ids=("update, then insert", "merge"))
def test_two_calls_for_a_row_that_is_not_there_yet(sql: str) -> None:
    found = verdict(EXERCISE, sql, VARIANTS[1])
    assert not found.full and "aborted with 23505 (in two calls for a row that is not there yet)" in shown(found)
    assert "where is the first one's?" in shown(found)
    assert found.misconception == EXERCISE.misconceptions["look-first"]


def test_the_child_is_one_of_the_very_parent_and_one_of_another() -> None:
    for variant in VARIANTS:
        made = programs(variant, variant.given)
        parents = [made[name].sessions["child"][1].sql for name in ("child", "stranger")]
        assert parents == [variant.child, "INSERT INTO orders VALUES (110, 3, 900)"]
        assert tried(made["child"]).outcomes and any(one.waits for one in tried(made["child"]).outcomes)


@pytest.mark.parametrize("lock", ["EXCLUSIVE", "SHARE ROW EXCLUSIVE"])
def test_a_lock_on_the_table_makes_strangers_wait(lock: str) -> None:
    found = verdict(EXERCISE, f"LOCK TABLE customers IN {lock} MODE; {VARIANTS[0].right}", VARIANTS[0])
    assert not found.full and "waits for" in shown(found)
