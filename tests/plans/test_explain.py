"""`explain` on real data: three engines, exact and inexact numbers, what is rolled back, what a mistake is told."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from workbook.engines import database, shop
from workbook.errors import Misuse, SqlError, SqlTimeout
from workbook.plans import explain
from workbook.plans.explaining import _deadline

SMALL = shop(orders=1_000)
BUSY = "SELECT count(*) FROM order_lines a, order_lines b, order_lines c"


@pytest.fixture(scope="module", params=["postgresql", "sqlite", "duckdb"])
def any_engine(request):
    with database(SMALL, kind=request.param) as made:
        yield made.engine


@pytest.fixture(scope="module")
def engine():
    with database(SMALL) as made:
        yield made.engine


def rows_of(engine, relation):
    with engine.connect() as connection:
        return connection.execute(sa.text(f"SELECT * FROM {relation} ORDER BY 1, 2")).fetchall()


def scan_of(plan, relation):
    return next(node for node in plan.nodes() if node.relation == relation)


def test_each_engine_explains_a_query(any_engine):
    plan = explain("SELECT customer_id, count(*) FROM orders GROUP BY customer_id;", any_engine)
    assert plan.engine == any_engine.dialect.name
    assert scan_of(plan, "orders") and plan.text and plan._repr_svg_().endswith("</svg>")


def test_parameters_are_bound(any_engine):
    plan = explain("SELECT * FROM orders WHERE order_id = :id", any_engine, {"id": 7})
    if plan.engine == "sqlite":
        assert plan.rows.value == 1 and scan_of(plan, "orders").index == "sqlite_autoindex_orders_1"
    else:
        assert scan_of(plan, "orders").rows.value == 1


def test_without_analyze_nothing_is_run(any_engine):
    plan = explain("SELECT * FROM orders", any_engine, analyze=False)
    assert plan.rows.value is None and all(node.loops.value is None for node in plan.nodes())


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("DELETE FROM order_lines WHERE order_id < 9", "order_lines"),
        ("UPDATE orders SET status = 'gone'", "orders"),
        ("INSERT INTO stock SELECT * FROM stock WHERE 1 = 0", "stock"),
    ],
)
def test_what_a_statement_writes_is_rolled_back(any_engine, sql, rows):
    before = rows_of(any_engine, rows)
    explain(sql, any_engine)
    assert rows_of(any_engine, rows) == before


def by_sqlalchemy(made):
    return made.engine.execution_options(isolation_level="AUTOCOMMIT")


def by_the_driver(made):
    def connect():
        connection = made.connect()
        connection.autocommit = True
        return connection

    return sa.create_engine("postgresql+psycopg://", creator=connect, pool_size=1, max_overflow=0)


@pytest.mark.parametrize(
    ("kind", "autocommit"),  # DuckDB's dialect has no levels
    [("postgresql", by_sqlalchemy), ("postgresql", by_the_driver), ("sqlite", by_sqlalchemy)],
)
def test_a_real_delete_on_an_engine_in_autocommit_is_rolled_back_and_the_engine_stays_so(kind, autocommit):
    with database(SMALL, kind=kind) as made:
        engine = autocommit(made)
        before = rows_of(engine, "order_lines")
        explain("DELETE FROM order_lines WHERE order_id <= 10", engine)
        assert rows_of(engine, "order_lines") == before
        with engine.connect() as connection:
            connection.execute(sa.text("DELETE FROM order_lines WHERE order_id <= 10"))  # and no COMMIT
        assert len(rows_of(engine, "order_lines")) < len(before)
        engine.dispose()


@pytest.mark.parametrize(
    ("sql", "says"),
    [("", "no SQL"), ("   ", "no SQL"), ("SELEC 1", "refused"), ("SELECT * FROM nowhere", "nowhere")],
)
def test_a_mistake_gets_a_sentence_and_the_next_call_works(any_engine, sql, says):
    with pytest.raises(SqlError, match=says) as caught:
        explain(sql, any_engine)
    assert "\n" not in str(caught.value) and str(caught.value).endswith((".", "?"))
    assert explain("SELECT * FROM orders", any_engine).root


def test_a_missing_parameter_gets_a_sentence(any_engine):
    with pytest.raises(SqlError, match=r'give the value of :id, as in explain\(sql, engine, \{"id": 7\}\)'):
        explain("SELECT * FROM orders WHERE order_id = :id", any_engine)


def test_a_colon_in_a_text_is_no_parameter(any_engine):
    assert explain("SELECT order_id, ':id' FROM orders WHERE order_id = :id", any_engine, {"id": 7}).rows.value == 1
    assert explain("""SELECT '{"a":1}', ':no', order_id FROM orders LIMIT 1""", any_engine).rows.value == 1


def test_a_statement_past_its_deadline_is_cancelled(any_engine):
    with pytest.raises(SqlTimeout, match=r"longer than 0\.3 s"):
        explain(
            BUSY.replace("order_lines c", "order_lines c, order_lines d, order_lines e"), any_engine, deadline_s=0.3
        )
    assert explain("SELECT * FROM orders", any_engine).root


STUBBORN = """CREATE FUNCTION {name}() RETURNS integer LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN {then}; RETURN 1; END'"""


@pytest.mark.parametrize("then", ["PERFORM pg_sleep(60)", "NULL"], ids=["goes on", "ends as if nothing was"])
def test_a_statement_that_catches_its_cancel_is_cancelled_again_and_late_however_it_ends(engine, then):
    name = f"stubborn_{len(then)}"
    with engine.begin() as connection:
        connection.execute(sa.text(STUBBORN.format(name=name, then=then)))
    with pytest.raises(SqlTimeout, match=r"longer than 0\.3 s") as caught:
        explain(f"SELECT {name}()", engine, deadline_s=0.3)
    assert caught.value.sqlstate == "57014"
    assert explain("SELECT 1", engine).root


def test_a_cancel_that_fails_or_falls_between_two_runs_is_sent_again():
    sent, arrived = [], threading.Event()

    def cancel():
        sent.append(len(sent))
        if len(sent) == 1:
            raise OSError("no route")
        if len(sent) == 3:  # the second one met nothing to cancel
            arrived.set()

    with pytest.raises(SqlTimeout), _deadline(cancel, 0.0):
        assert arrived.wait(60)


def test_a_statement_that_ends_before_its_deadline_keeps_its_own_error():
    with pytest.raises(ZeroDivisionError), _deadline(lambda: None, 60.0):
        _ = 1 / 0


def test_what_its_own_session_cancels_is_not_said_to_be_late():
    with database(SMALL) as made:
        with made.engine.begin() as connection:
            connection.execute(sa.text("ALTER ROLE CURRENT_USER SET statement_timeout = '200ms'"))
        made.engine.dispose()
        with pytest.raises(SqlTimeout, match="due to statement timeout") as caught:
            explain("SELECT pg_sleep(60)", made.engine)
    assert "60 s" not in str(caught.value)


def test_an_engine_of_another_kind_is_refused():
    with pytest.raises(Misuse, match="not str"):
        explain("SELECT 1", "postgresql://")  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="not MockConnection"):
        explain("SELECT 1", sa.create_mock_engine("mysql://", lambda *_: None))  # type: ignore[arg-type]


def test_postgresql_counts_pages_and_repeats_them(engine):
    plans = [explain("SELECT * FROM orders WHERE status = 'none'", engine) for _ in range(2)]
    root = plans[0].root
    assert plans[0].text == plans[1].text
    assert root.buffers.value > 0 and root.buffers.exact and root.buffers_own == root.buffers
    assert (root.rows.value, root.rows.exact, root.rows_removed.value) == (0, True, 1000)
    assert not root.rows_estimated.exact and not root.cost.exact and not root.time_ms.exact
    assert not plans[0].numbers["planning_buffers"].value


def test_postgresql_counts_the_wal_of_a_write(engine):
    wrote = explain("UPDATE orders SET status = 'gone' WHERE order_id <= 10", engine)
    assert wrote.wal_bytes.value > 0 and wrote.root.kind == "Update"
    assert explain("SELECT 1", engine).wal_bytes.value == 0


def test_a_function_hides_its_statements_and_the_note_says_so(engine):
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE FUNCTION n() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM orders); END'"
            )
        )
    assert any("function" in note for note in explain("SELECT n()", engine).notes)
    assert not explain("SELECT * FROM orders", engine).notes


@pytest.mark.parametrize("sql", ["VALUES (1)", "(SELECT 1)", "SELECT 1 IN (1, 2) -- f(x)", "SELECT 'f(x)'"])
def test_a_parenthesis_is_no_function(engine, sql):
    assert explain(sql, engine).notes == ()


def test_a_statement_without_a_plan_is_told_so(engine):
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one"))
    with pytest.raises(SqlError, match="PostgreSQL has no plan for this statement"):
        explain("REFRESH MATERIALIZED VIEW seen", engine)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM customers",
        "/* all */ delete from customers",
        "-- one\nINSERT INTO customers (customer_id, email, country, created_at) VALUES (9999999, 'a', 'AT', '2026-01-01')",
    ],
)
def test_sqlite_prints_no_step_of_some_changes(sql):
    with database(SMALL, kind="sqlite") as made:
        before = explain("SELECT * FROM customers", made.engine).rows.value
        assert explain(sql, made.engine).root.number("vm_steps").value > 0
        assert explain("SELECT * FROM customers", made.engine).rows.value == before > 0


@pytest.mark.parametrize("second", ["SELECT 2", "DROP TABLE stock", "COMMIT", "DROP TABLE stock; COMMIT"])
def test_several_statements_are_refused_and_none_is_run(any_engine, second):
    with pytest.raises(SqlError, match="one at a time"):
        explain(f"SELECT 1; {second}", any_engine)
    assert explain("SELECT * FROM stock -- still there\n", any_engine).root


def test_a_table_made_from_a_query_is_not_kept(any_engine):
    explain("CREATE TABLE copied AS SELECT * FROM orders", any_engine)
    with any_engine.connect() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.execute(sa.text("SELECT * FROM copied"))


def test_a_row_of_values_is_inserted_and_rolled_back(any_engine):
    sql = "INSERT INTO customers (customer_id, email, country, created_at) VALUES (:id, '100%', 'AT', '2026-01-01')"
    for _ in range(2):
        assert explain(sql, any_engine, {"id": 9_999_999}).root
    assert explain("SELECT * FROM customers WHERE customer_id = 9999999", any_engine).rows.value in (0, None)


def test_sqlite_counts_steps_of_its_machine():
    with database(SMALL, kind="sqlite") as made:
        one, all_of_them = (
            explain(sql, made.engine) for sql in ("SELECT * FROM orders WHERE order_id = 7", "SELECT * FROM orders")
        )
        assert one.rows.value == 1 and all_of_them.rows.value == 1000
        assert one.root.number("vm_steps").value * 50 < all_of_them.root.number("vm_steps").value
        assert one.buffers.value is None and "no pages" in one.notes[0]


def test_duckdb_counts_rows_and_row_groups():
    with database(SMALL, kind="duckdb") as made:
        plan = explain("SELECT sum(customer_id) FROM orders WHERE order_id > 0", made.engine)
        scan = scan_of(plan, "orders")
        assert scan.rows.value == 1000 and scan.rows.exact and scan.number("row_groups_scanned").value == 1
        assert plan.buffers.value is None


def test_duckdb_answers_a_bare_count_without_a_profile():
    with database(SMALL, kind="duckdb") as made:
        plan = explain("SELECT count(*) FROM orders", made.engine)
        assert plan.rows.value is None and "counted nothing" in plan.notes[-1]
