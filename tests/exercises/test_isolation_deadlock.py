"""Programs that deadlock: what mends them, what only moves the circle, and what mends too much."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.isolation.deadlock import EXERCISE, VARIANTS, Variant, stalled

PAY = VARIANTS[0].given["pay"]
EACH = "CASE account WHEN :payer THEN -:cents ELSE :cents / 2 END"
TAKE = VARIANTS[3].given["take"]
TAKEN = "UPDATE stock SET pieces = pieces - 1"
ITEMS = "SELECT item FROM unnest(:items::int[]) AS u(item)"
LOCKED = "SELECT item FROM stock WHERE item = ANY (:items::int[]) ORDER BY item"
PAGES = "unnest(ARRAY[:first, :second, :third]) AS page"
ONE_MORE = "ON CONFLICT (page) DO UPDATE SET visits = visits.visits + 1"
ALSO = {
    0: [
        {"pay": "WITH mine AS (SELECT account AS a FROM accounts WHERE account IN (:payer, :seller, :courier) ORDER BY account FOR NO KEY UPDATE) "
                f"UPDATE accounts SET cents = cents + {EACH} FROM mine WHERE account = a"},
        {"pay": f"SELECT FROM accounts WHERE account IN (:payer, :seller, :courier) ORDER BY account DESC FOR UPDATE; {PAY}"},
        {"pay": f"SELECT pg_advisory_xact_lock(one) FROM (SELECT unnest(ARRAY[:payer, :seller, :courier]) AS one ORDER BY 1) AS ordered; {PAY}"},
    ],
    1: [
        {"sell": "WITH sold AS (UPDATE trips SET seats = seats - 1 WHERE trip = :trip AND seats > 0 RETURNING trip) INSERT INTO tickets SELECT :ticket, trip FROM sold"},
    ],
    2: [
        {"add": "SELECT FROM orders WHERE order_id = :order FOR UPDATE; INSERT INTO lines VALUES (:line, :order, :cents);\n"
                "UPDATE orders SET cents = (SELECT sum(l.cents) FROM lines l WHERE l.order_id = :order) WHERE order_id = :order"},
        {"add": "INSERT INTO lines VALUES (:line, :order, :cents); UPDATE orders SET cents = cents + :cents WHERE order_id = :order"},
    ],
    3: [
        *[{"take": f"{LOCKED} {how}; {TAKE}"} for how in ("FOR UPDATE", "DESC FOR NO KEY UPDATE")],
        {"take": f"WITH mine AS ({LOCKED} FOR NO KEY UPDATE) {TAKEN} FROM mine WHERE stock.item = mine.item"},
        {"take": f"{TAKEN} FROM ({LOCKED} FOR UPDATE) AS mine WHERE stock.item = mine.item"},
        {"take": f"{TAKEN} WHERE item IN ({LOCKED} FOR UPDATE)"},
        {"take": f"SELECT pg_advisory_xact_lock(item) FROM ({ITEMS} ORDER BY item) AS ordered; {TAKE}"},
        {"take": "INSERT INTO stock SELECT item, 0 FROM unnest(:items::int[]) AS item ORDER BY item ON CONFLICT (item) DO UPDATE SET pieces = stock.pieces - 1"},
    ],
    4: [
        {"refund": VARIANTS[4].given["refund"],
         "sell": "UPDATE tills SET cents = cents + :cents WHERE till = :till;\nUPDATE stock SET pieces = pieces - 1 WHERE item = :item"},
    ],
    5: [
        {"count": "SELECT pg_advisory_xact_lock(hashtext(page)) FROM (SELECT unnest(ARRAY[:first, :second, :third]) AS page ORDER BY 1) AS ordered;\n"
                  f"{VARIANTS[5].given['count']}"},
        {"count": f"INSERT INTO visits SELECT page, count(*) FROM {PAGES} GROUP BY page ORDER BY page DESC {ONE_MORE}"},
    ],
}  # fmt: skip
TABLES = ("accounts", "trips", "orders", "stock", "stock", "visits")
FAILING = {
    0: {"pay": f"SELECT FROM accounts WHERE account IN (:payer, :seller, :courier) FOR UPDATE NOWAIT; {PAY}"},
    1: {"sell": VARIANTS[1].right["sell"].replace("UPDATE;", "UPDATE NOWAIT;", 1)},
    2: {"add": VARIANTS[2].right["add"].replace("NO KEY UPDATE;", "NO KEY UPDATE NOWAIT;", 1)},
    3: {"take": VARIANTS[3].right["take"].replace("UPDATE;", "UPDATE NOWAIT;", 1)},
    4: {name: f"SELECT FROM stock WHERE item = :item FOR UPDATE NOWAIT; {sql}" for name, sql in VARIANTS[4].right.items()},
    5: {"count": f"LOCK TABLE visits IN SHARE ROW EXCLUSIVE MODE NOWAIT; {VARIANTS[5].right['count']}"},
}  # fmt: skip


def with_first(variant: Variant, sql: str) -> dict[str, str]:
    """The programs as they were given, with a statement in front of each."""
    return {name: f"{sql};\n{given}" for name, given in variant.given.items()}


def without_last(given: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{sql.rpartition(';')[0] or 'SELECT 1'}" for name, sql in given.items()}


def answers(variant: Variant) -> Answers:
    place = VARIANTS.index(variant)
    plain = place == 3
    return Answers(
        right=dict(variant.right),
        also_right=ALSO[place],
        wrong=[
            Wrong(dict(variant.given), says=variant.question, misconception=variant.belief),
            Wrong(with_first(variant, f"LOCK TABLE {TABLES[place]} IN EXCLUSIVE MODE"), says="have in common, though they touch no common row", misconception="one-big-lock"),
            Wrong(without_last(variant.given if plain else variant.right), says="other rows are left", misconception="less-is-mended"),
            Wrong(FAILING[place], says="is aborted with 55P03", misconception="fails-instead"),
            Wrong({name: f"{sql}; COMMIT; SELECT 1" for name, sql in variant.given.items()}, says="says `COMMIT`"),
            Wrong({"solve": "SELECT 1"}, says="is missing, `solve` is none of the programs"),
            Wrong({name: f"{sql}; SELECT colour FROM {TABLES[place]}" for name, sql in variant.right.items()}, says='column "colour" does not exist'),
            Wrong("LOCK TABLE accounts", says="this is str"),
        ],
    )  # fmt: skip


class TestDeadlock(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize(
    "roles", ["seller payer courier", "courier seller payer", "courier payer seller", "payer courier seller"]
)
def test_no_order_of_the_roles_is_an_order_of_the_rows(roles: str) -> None:
    statements = dict(zip(("payer", "seller", "courier"), PAY.split(";\n"), strict=True))
    found = verdict(EXERCISE, {"pay": ";\n".join(statements[role] for role in roles.split())}, VARIANTS[0])
    assert not found.full and "deadlock" in shown(found)


def test_an_advisory_lock_for_all_makes_everybody_wait() -> None:
    found = verdict(EXERCISE, with_first(VARIANTS[0], "SELECT pg_advisory_xact_lock(1)"), VARIANTS[0])
    assert not found.full and "One big lock is the safest mend" in shown(found)


def test_one_statement_with_rows_in_the_order_of_its_values_deadlocks_when_it_is_stopped_half_way() -> None:
    many = {
        "count": "INSERT INTO visits VALUES (:first, 1), (:second, 1), (:third, 1) ON CONFLICT (page) DO UPDATE SET visits = visits.visits + 1"
    }
    found = verdict(EXERCISE, many, VARIANTS[5])
    assert not found.full and "One statement takes its locks all at once" in shown(found)
    assert "aborted 40P01" in str(found), "the timeline is shown"


def test_the_lock_is_there_for_something() -> None:
    """Without the look at the row the sum misses the other one's line: the waiting UPDATE adds up what its snapshot shows."""
    bare = {"add": "\n".join(line for line in VARIANTS[2].given["add"].split("\n") if "FOR UPDATE" not in line)}
    found = verdict(EXERCISE, bare, VARIANTS[2])
    assert not found.full and "other rows are left" in shown(found)


def test_the_plan_meets_the_rows_in_the_order_of_the_basket_on_a_new_table_and_on_an_old_one() -> None:
    """The table is made anew for the first run after another world, and filled anew for the next."""
    stalled(VARIANTS[5].right, VARIANTS[5])
    for _ in range(3):
        finding, run = stalled(VARIANTS[3].given, VARIANTS[3])
        assert not finding.ok and run is not None and run.outcomes["ann"] == "aborted 40P01"


GIVEN = VARIANTS[4].given
NEW_CIRCLES = {
    "share, then write": (4, {**GIVEN, "refund": f"SELECT FROM stock WHERE item = :item FOR SHARE; UPDATE stock SET pieces = pieces + 1 WHERE item = :item; {GIVEN['refund'].split(';')[0]}"}, "`refund` (item 1, till 1, cents 300) beside `refund`"),
    "one lock for item and till": (4, {name: f"SELECT pg_advisory_xact_lock(:item, :till); {sql}" for name, sql in GIVEN.items()}, "Four of them close a circle"),
    "the smallest": (0, {"pay": f"SELECT pg_advisory_xact_lock(least(:payer, :seller, :courier)); {PAY}"}, "courier 2"),
    "the greatest": (0, {"pay": f"SELECT pg_advisory_xact_lock(greatest(:payer, :seller, :courier)); {PAY}"}, "courier 8"),
    "the row of the smallest": (0, {"pay": f"SELECT FROM accounts WHERE account = least(:payer, :seller, :courier) FOR UPDATE; {PAY}"}, "courier 2"),
    "the row of the greatest": (0, {"pay": f"SELECT FROM accounts WHERE account = greatest(:payer, :seller, :courier) FOR UPDATE; {PAY}"}, "courier 8"),
    "the row of the smallest in a basket": (3, {"take": f"{LOCKED} LIMIT 1 FOR UPDATE; {TAKE}"}, "[95, 90, 70, 20]"),
    "the row of the greatest in a basket": (3, {"take": f"{LOCKED} DESC LIMIT 1 FOR UPDATE; {TAKE}"}, "[95, 90, 70, 20]"),
    "the row of the smallest page": (5, {"count": f"INSERT INTO visits VALUES (least(:first, :second, :third), 0) ON CONFLICT DO NOTHING; {VARIANTS[5].given['count']}"}, "third b"),
    "the smallest of a basket": (3, {"take": f"SELECT pg_advisory_xact_lock((SELECT min(one) FROM unnest(:items::int[]) one)); {VARIANTS[3].given['take']}"}, "[95, 90, 70, 20]"),
    "the smallest page": (5, {"count": f"SELECT pg_advisory_xact_lock(hashtext(least(:first, :second, :third))); {VARIANTS[5].given['count']}"}, "third b"),
}  # fmt: skip


@pytest.mark.parametrize("name", NEW_CIRCLES)
def test_a_lock_in_front_that_only_moves_the_circle_is_found(name: str) -> None:
    place, answer, says = NEW_CIRCLES[name]
    found = verdict(EXERCISE, answer, VARIANTS[place])
    assert not found.full and says in shown(found)


UNBOUND = {
    "one UPDATE": (0, f"UPDATE accounts SET cents = cents + {EACH} WHERE account IN (:payer, :seller, :courier)"),
    "no ORDER BY": (0, f"SELECT FROM accounts WHERE account IN (:payer, :seller, :courier) FOR UPDATE; {PAY}"),
    "by the place in the table": (0, f"SELECT FROM accounts WHERE account IN (:payer, :seller, :courier) ORDER BY ctid FOR UPDATE; {PAY}"),
    "a hash of the basket": (3, f"{TAKEN} WHERE item IN (SELECT unnest(:items::int[]))"),
    "sorted in a subquery": (3, f"{TAKEN} FROM ({ITEMS} ORDER BY item) AS wanted WHERE stock.item = wanted.item"),
    "sorted in IN": (3, f"{TAKEN} WHERE item IN ({ITEMS} ORDER BY item)"),
    "sorted in a CTE": (3, f"WITH wanted AS MATERIALIZED ({ITEMS} ORDER BY item) {TAKEN} FROM wanted WHERE stock.item = wanted.item"),
    "sorted, of the table": (3, f"{TAKEN} FROM ({LOCKED}) AS wanted WHERE stock.item = wanted.item"),
    "sorted in MERGE": (3, f"MERGE INTO stock USING ({ITEMS} ORDER BY item) AS wanted ON stock.item = wanted.item WHEN MATCHED THEN UPDATE SET pieces = pieces - 1"),
    "an array": (3, f"{TAKEN} WHERE item = ANY (:items::int[])"),
    "a sorted array": (3, f"{TAKEN} WHERE item = ANY (ARRAY({ITEMS} ORDER BY item))"),
    "distinct": (3, f"{TAKEN} FROM (SELECT DISTINCT unnest(:items::int[]) AS item) AS wanted WHERE stock.item = wanted.item"),
    "a join by no index": (3, f"{TAKEN} FROM unnest(:items::int[]) AS wanted(item) WHERE stock.item + 0 = wanted.item"),
    "locked in no order": (3, f"SELECT FROM stock WHERE item = ANY (:items::int[]) FOR UPDATE; {TAKE}"),
    "sorted beside the lock": (3, f"SELECT FROM stock JOIN ({ITEMS} ORDER BY item) AS wanted USING (item) FOR UPDATE OF stock; {TAKE}"),
    "a CTE that nobody reads": (3, f"WITH mine AS ({LOCKED} FOR UPDATE) {TAKEN} WHERE item = ANY (:items::int[])"),
    "by what changes": (3, f"SELECT FROM stock WHERE item = ANY (:items::int[]) ORDER BY pieces FOR UPDATE; {TAKE}"),
    "by what several share": (3, f"SELECT FROM stock WHERE item = ANY (:items::int[]) ORDER BY item % 10 FOR UPDATE; {TAKE}"),
    "grouped": (5, f"INSERT INTO visits SELECT page, count(*) FROM {PAGES} GROUP BY page {ONE_MORE}"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNBOUND)
def test_an_order_that_binds_no_plan_deadlocks(name: str) -> None:
    place, sql = UNBOUND[name]
    found = verdict(EXERCISE, dict.fromkeys(VARIANTS[place].given, sql), VARIANTS[place])
    assert not found.full and found.misconception == EXERCISE.misconceptions["order-inside"], shown(found)
    assert "aborted 40P01" in str(found), "it was really run"


HALF_WAY = {
    "sorted and not locked": (3, {"take": f"{LOCKED}; {TAKE}"}),
    "locked with a lock that lets the others in": (3, {"take": f"{LOCKED} FOR KEY SHARE; {TAKE}"}),
    "locked afterwards": (3, {"take": f"{TAKE}; {LOCKED} FOR UPDATE"}),
    "only the first is locked": (3, {"take": f"WITH mine AS ({LOCKED} FOR UPDATE) {TAKE} AND EXISTS (SELECT FROM mine)"}),
    "two statements in one": (4, {"sell": "WITH s AS (UPDATE stock SET pieces = pieces - 1 WHERE item = :item) UPDATE tills SET cents = cents + :cents WHERE till = :till",
                                  "refund": "WITH t AS (UPDATE tills SET cents = cents - :cents WHERE till = :till) UPDATE stock SET pieces = pieces + 1 WHERE item = :item"}),
    "share, then write, in one": (1, {"sell": "WITH seen AS (SELECT trip FROM trips WHERE trip = :trip AND seats > 0 FOR SHARE), sold AS (UPDATE trips SET seats = seats - 1 FROM seen "
                                              "WHERE trips.trip = seen.trip AND seats > 0 RETURNING seen.trip) INSERT INTO tickets SELECT :ticket, trip FROM sold"}),
}  # fmt: skip


@pytest.mark.parametrize("name", HALF_WAY)
def test_one_statement_that_is_stopped_half_way_deadlocks(name: str) -> None:
    place, answer = HALF_WAY[name]
    found = verdict(EXERCISE, answer, VARIANTS[place])
    assert not found.full and "each statement stands alone" in shown(found), shown(found)
    assert "aborted 40P01" in str(found)


@pytest.mark.parametrize(("what", "value"), [(":item", "1"), (":till", "1"), (":cents", "500")])
def test_the_values_of_the_task_written_into_the_programs_do_not_do_the_work(what: str, value: str) -> None:
    found = verdict(EXERCISE, {name: sql.replace(what, value) for name, sql in VARIANTS[4].right.items()}, VARIANTS[4])
    assert not found.full and "other rows are left" in shown(found)


@pytest.mark.parametrize(("place", "lock"), [(1, ":trip % 2"), (2, ":order / 2"), (4, ":item % 2")])
def test_a_lock_that_strangers_share_by_chance_is_found(place: int, lock: str) -> None:
    found = verdict(EXERCISE, with_first(VARIANTS[place], f"SELECT pg_advisory_xact_lock({lock})"), VARIANTS[place])
    assert not found.full
    found = verdict(
        EXERCISE,
        {name: f"SELECT pg_advisory_xact_lock({lock}); {sql}" for name, sql in VARIANTS[place].right.items()},
        VARIANTS[place],
    )
    assert not found.full and "One big lock is the safest mend" in shown(found)


def test_what_is_odd_is_said_in_its_own_words() -> None:
    right = VARIANTS[4].right
    found = verdict(EXERCISE, {**right, "sell": f"SET LOCAL lock_timeout = '1ms'; {right['sell']}"}, VARIANTS[4])
    assert not found.full and "To give up is not to mend" in shown(found)
    found = verdict(EXERCISE, {**right, "sell": right["sell"].replace(":cents", ":amount")}, VARIANTS[4])
    assert "The names are `:item`, `:till`, `:cents`." in shown(found)


def test_a_share_in_front_of_a_write_is_a_matter_of_one_row() -> None:
    sell = f"SELECT FROM stock WHERE item = :item FOR SHARE; {VARIANTS[4].right['sell']}"
    found = verdict(EXERCISE, {**VARIANTS[4].right, "sell": sell}, VARIANTS[4])
    assert not found.full and "Which lock do both hold on one row at that moment" in shown(found)
    assert found.misconception == EXERCISE.misconceptions["upgrade"]


def test_a_program_that_is_missing_is_named() -> None:
    found = verdict(EXERCISE, {"sell": VARIANTS[4].right["sell"]}, VARIANTS[4])
    assert "Seen: `refund` is missing." in shown(found)


def test_lists_of_statements_are_programs_too() -> None:
    assert verdict(EXERCISE, {name: sql.split(";") for name, sql in VARIANTS[4].right.items()}, VARIANTS[4]).full
