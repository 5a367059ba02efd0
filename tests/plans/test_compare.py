"""Two plans lined up: an index that was added, another join, a step that vanished, self-joins, nothing in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbook.engines import database, shop
from workbook.plans import compare, explain, read_plan

SAVED = Path(__file__).parent / "saved"
BY_CUSTOMER = "CREATE INDEX by_customer ON orders (customer_id)"


@pytest.fixture
def made():
    with database(shop(orders=2_000)) as one:
        yield one


def saved(name):
    return read_plan((SAVED / "postgresql-18" / f"{name}.json").read_text())


def text(*lines):
    return read_plan("\n".join(lines))


def titles(comparison):
    return [(a.title, b.title) for a, b in comparison.pairs]


def test_an_index_that_was_added_is_named_and_the_condition_moves_into_it(made):
    sql = "SELECT * FROM orders WHERE customer_id = 17"
    before = explain(sql, made.engine)
    made.run(BY_CUSTOMER)
    found = compare(before, explain(sql, made.engine))
    assert titles(found) == [("Seq Scan on orders", "Bitmap Heap Scan on orders")]
    assert found.changes == (
        "pages: 15 became 10, 1.5 times fewer",
        "orders: Seq Scan became Bitmap Heap Scan using by_customer",
        "orders: (customer_id = 17) moved from Filter to Index Cond",
        "orders: 1,978 rows read for nothing became 0",
    )


def test_a_sort_that_an_index_makes_needless_is_gone(made):
    sql = "SELECT * FROM orders ORDER BY placed_at LIMIT 5"
    before = explain(sql, made.engine)
    made.run("CREATE INDEX by_time ON orders (placed_at)")
    found = compare(before, explain(sql, made.engine))
    assert {"orders: Seq Scan became Index Scan using by_time", "Sort is gone"} <= set(found.changes)
    assert "pages: 15 became 3, 5 times fewer" in found.changes


def test_another_join_method_is_one_change_and_the_loops_are_told(made):
    sql = "SELECT o.status, count(*) FROM orders o JOIN order_lines l USING (order_id) WHERE o.order_id < {} GROUP BY 1"
    found = compare(*(explain(sql.format(most), made.engine) for most in (20, 2_000)))
    assert {"Nested Loop became Hash Join", "l: 19 loops became 1"} <= set(found.changes)
    assert "Nested Loop is gone" not in found.changes and len(found.pairs) == 2


def test_a_join_that_vanished_takes_its_table_along(made):
    found = compare(
        explain("SELECT * FROM orders o JOIN customers c USING (customer_id)", made.engine),
        explain("SELECT * FROM orders o", made.engine),
    )
    assert {"customers: Seq Scan is gone", "Hash Join is gone", "Hash is gone"} <= set(found.changes)
    assert titles(found) == [("Seq Scan on orders o", "Seq Scan on orders o")]


def test_the_sides_of_a_self_join_keep_their_aliases():
    before = text(
        "Hash Join  (cost=0..9 rows=1 width=8) (actual rows=5 loops=1)",
        "  ->  Seq Scan on orders a  (cost=0..9 rows=1 width=8) (actual rows=5 loops=1)",
        "  ->  Hash  (cost=0..9 rows=1 width=8) (actual rows=5 loops=1)",
        "        ->  Seq Scan on orders b  (cost=0..9 rows=1 width=8) (actual rows=5 loops=1)",
    )
    after = text(
        "Nested Loop  (cost=0..9 rows=1 width=8) (actual rows=5 loops=1)",
        "  ->  Seq Scan on orders b  (cost=0..9 rows=1 width=8) (actual rows=5 loops=1)",
        "  ->  Index Scan using i on orders a  (cost=0..9 rows=1 width=8) (actual rows=1 loops=5)",
    )
    found = compare(before, after)
    assert titles(found) == [
        ("Seq Scan on orders a", "Index Scan using i on orders a"),
        ("Seq Scan on orders b", "Seq Scan on orders b"),
    ]
    assert {"a: Seq Scan became Index Scan using i", "Hash Join became Nested Loop"} <= set(found.changes)
    assert not [change for change in found.changes if change.startswith("b:")]


def test_a_relation_with_a_new_alias_is_lined_up_by_its_role():
    before = text(
        "Nested Loop  (cost=0..9 rows=1 width=8)",
        "  ->  Seq Scan on orders  (cost=0..9 rows=1 width=8)",
        "  ->  Seq Scan on orders orders_1  (cost=0..9 rows=1 width=8)",
    )
    after = text(
        "Nested Loop  (cost=0..9 rows=1 width=8)",
        "  ->  Seq Scan on orders x  (cost=0..9 rows=1 width=8)",
        "  ->  Index Scan using i on orders y  (cost=0..9 rows=1 width=8)",
    )
    found = compare(before, after)
    assert titles(found)[1] == ("Seq Scan on orders orders_1", "Index Scan using i on orders y")
    assert found.changes == ("y: Seq Scan became Index Scan using i",)


def test_a_step_that_writes_is_not_lined_up_with_one_that_reads():
    found = compare(saved("update"), text("Seq Scan on w  (cost=0..9 rows=1 width=8) (actual rows=100 loops=1)"))
    assert titles(found) == [("Seq Scan on w", "Seq Scan on w")]
    assert "w: Update is gone" in found.changes


def test_two_plans_with_nothing_in_common(made):
    found = compare(explain("SELECT * FROM stock", made.engine), explain("SELECT count(*) FROM products", made.engine))
    assert found.pairs == ()
    assert {"stock: Seq Scan is gone", "products: Seq Scan is new", "Aggregate is new"} <= set(found.changes)


def test_a_plan_and_itself():
    for path in sorted(SAVED.glob("*/*.json")):
        one = read_plan(path.read_text())
        found = compare(one, one)
        assert found.changes == () and str(found) == "nothing changed"
        assert all(a is b for a, b in found.pairs)


def test_a_comparison_has_data_and_a_picture():
    found = compare(saved("seq-scan"), saved("bitmap-and"))
    assert found.data()["pairs"] == [["Seq Scan on orders", "Bitmap Heap Scan on orders"]]
    assert found.data()["changes"] == list(found.changes)
    assert set(found._repr_mimebundle_()) == {"image/svg+xml", "text/plain"}


def test_old_and_new_versions_of_one_plan_differ_in_nothing():
    for path in sorted((SAVED / "postgresql-15").glob("nested-loop*.json")):
        new = read_plan((SAVED / "postgresql-18" / path.name).read_text())
        assert compare(read_plan(path.read_text()), new).changes == ()


def scan(title, *, rows="rows=5 loops=1", under="", believed=5):
    ran = f" (actual {rows})" if rows else ""
    return f"{under}{title}  (cost=0..9 rows={believed} width=8){ran}"


def test_an_index_of_another_table_below_a_step_is_not_its_own():
    subplan = ["  SubPlan 1", scan("Index Scan using b_a on b", under="    ->  ")]
    before = text(scan("Seq Scan on s"), subplan[0], scan("Seq Scan on b", under="    ->  "))
    assert compare(before, text(scan("Seq Scan on s"), *subplan)).changes == (
        "b: Seq Scan became Index Scan using b_a",
    )
    write = [
        text(scan("Update on b"), scan(f"{how} on b", under="  ->  ")) for how in ("Seq Scan", "Index Scan using i")
    ]
    assert compare(*write).changes == ("b: Seq Scan became Index Scan using i",)


def test_the_indexes_of_a_bitmap_are_the_steps_own():
    assert compare(saved("seq-scan"), saved("bitmap-and")).changes[1] == (
        "orders: Seq Scan became Bitmap Heap Scan using orders_total and orders_customer"
    )


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ((0, 100), ("pages: 0 became 100",)),
        ((100, 0), ("pages: 100 became 0",)),
        ((0, 0), ()),
        ((2, 100), ("pages: 2 became 100, 50 times more",)),
    ],
)
def test_of_no_pages_there_is_no_factor(pages, says):
    plans = (text(scan("Seq Scan on t"), f"  Buffers: shared hit={page}") for page in pages)
    assert compare(*plans).changes == says


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_plan_that_was_not_run_has_no_counters_to_compare(which):
    believed = text(scan("Seq Scan on t", believed=4000, rows=""), "  Filter: (c = 5)")
    ran = text(scan("Seq Scan on t", believed=4000), "  Filter: (c = 5)", "  Rows Removed by Filter: 299997")
    plans = (believed, ran) if which == "first" else (ran, believed)
    assert compare(*plans).changes == (f"the {which} plan was not run: it has no counters to compare",)


def test_a_step_that_is_no_longer_executed_is_told():
    ran, asleep = (
        text(scan("Result"), "  ->  " + step)
        for step in (scan("Seq Scan on s") + "\n        Filter: a\n        Rows Removed by Filter: 101",
                     "Seq Scan on s  (cost=0..9 rows=5 width=8) (never executed)\n        Filter: a")
    )  # fmt: skip
    assert compare(ran, asleep).changes == ("s: was run, now never executed",)
    assert compare(asleep, ran).changes == ("s: was never executed, now run",)


def test_an_estimate_that_a_limit_keeps_from_being_judged_is_not_called_right():
    stopped = text(scan("Limit", believed=5), scan("Seq Scan on t", believed=5000, under="  ->  "))
    assert compare(stopped, text(scan("Seq Scan on t", believed=5000))).changes == ("Limit is gone",)


def test_one_loop_is_one_loop_and_a_partition_has_its_own_name():
    before, after = (
        text(scan("Append"), scan("Seq Scan on p2019 p_1", rows=f"rows=5 loops={loops}", under="  ->  "))
        for loops in (1, 3)
    )
    assert compare(before, after).changes == ("p2019: 1 loop became 3",)
