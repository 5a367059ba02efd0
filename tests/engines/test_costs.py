"""What a transaction truly costs: what EXPLAIN leaves out is counted, and the same work costs the same every time."""

from __future__ import annotations

import subprocess
import sys
import threading

import psutil
import pytest

from tests.engines.test_databases import private
from workbook.engines import Recipe, database, measure
from workbook.errors import Misuse, SqlTimeout
from workbook.plans import explain

PARENTS = Recipe(
    "parents and children",
    "CREATE TABLE parents (id bigint PRIMARY KEY); CREATE TABLE children (id bigint PRIMARY KEY, parent_id bigint);"
    "INSERT INTO parents SELECT g FROM generate_series(1, 2000) g;"
    "INSERT INTO children SELECT g, 1 + g % 1000 FROM generate_series(1, 50000) g;"
    "ALTER TABLE children ADD FOREIGN KEY (parent_id) REFERENCES parents",
)
PARENTS_ANYWHERE = Recipe(
    "parents in any engine", "CREATE TABLE parents (id bigint)", {"parents": "SELECT * FROM range(20)"}
)
AUDITED = Recipe(
    "an audited table",
    "CREATE TABLE t (id bigint PRIMARY KEY, n int); CREATE TABLE audit (id bigint, n int);"
    "INSERT INTO t SELECT g, 0 FROM generate_series(1, 1000) g;"
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit SELECT NEW.id, i FROM generate_series(1, 20) i; RETURN NULL; END $$;"
    "CREATE TRIGGER note AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()",
)


def test_foreign_key_checks_are_counted_though_explain_leaves_them_out():
    delete = "DELETE FROM parents WHERE id > 1990"
    with database(PARENTS) as made:
        shown = explain(delete, made.engine).buffers.value
        true = made.measure(delete)
    assert true.buffers > 10 * 200 > 10 * shown / 2
    assert true.rows == 10 and true.tuples["parents"].deleted == 10
    assert true.tuples["children"].seq_read == 10 * 50_000


def test_after_triggers_are_counted_though_explain_leaves_them_out():
    update = "UPDATE t SET n = 1 WHERE id <= 100"
    with database(AUDITED) as made:
        plan = explain(update, made.engine)
        true = made.measure(update)
    assert true.wal_bytes > 5 * plan.wal_bytes.value
    assert true.tuples["audit"].inserted == 2000
    assert any("note" in note for note in plan.notes)


def test_a_hot_update_shows():
    with database(AUDITED) as made:
        made.run("DROP TRIGGER note ON t; CREATE TABLE roomy WITH (fillfactor = 50) AS SELECT * FROM t")
        assert made.measure("UPDATE roomy SET n = 5").tuples["roomy"].hot_updated == 1000
        made.run("CREATE INDEX ON roomy (n)")
        assert made.measure("UPDATE roomy SET n = 6").tuples["roomy"].hot_updated == 0


@pytest.mark.parametrize(
    "sql", ["DELETE FROM parents WHERE id > 1990", "SELECT count(*) FROM children WHERE parent_id = 7"]
)
def test_twenty_fresh_clones_cost_the_same(sql):
    costs = set()
    for _ in range(20):
        with database(PARENTS) as made:
            cost = made.measure(sql)
            costs.add((cost.buffers, cost.wal_bytes, cost.wal_records, cost.rows))
    assert len(costs) == 1


def test_a_session_that_ends_late_is_waited_for():
    """Stopped by the system just before it ends, it would hand in its pages while the next one is measured."""
    insert = "INSERT INTO parents VALUES (0)"
    with database(PARENTS) as made, made.fresh() as other:
        wanted = other.measure(insert)
        session = made.connect()
        session.execute("SELECT count(*) FROM children").fetchall()
        backend = psutil.Process(session.info.backend_pid)
        backend.suspend()
        session.close()
        found = []
        measuring = threading.Thread(target=lambda: found.append(made.measure(insert)))
        measuring.start()
        measuring.join(0.5)
        waited = measuring.is_alive()
        backend.resume()
        measuring.join()
    assert waited
    assert found[0].buffers == wanted.buffers and "children" not in found[0].tuples


def test_a_transaction_that_cannot_be_cancelled_is_ended():
    trap = "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$"
    with database(PARENTS) as made:
        with pytest.raises(SqlTimeout, match="ran longer than"):
            made.measure(trap, deadline_s=0.1)
        assert made.measure("SELECT 1").rows == 1


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_deadline_is_kept_in_the_process_too(kind):
    endless = "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT count(*) FROM a"
    with database(PARENTS_ANYWHERE, kind=kind) as made, pytest.raises(SqlTimeout, match="ran longer than"):
        made.measure(endless, deadline_s=0.1)


@pytest.mark.parametrize("kind", ["postgresql", "sqlite", "duckdb"])
def test_a_colon_in_a_literal_is_no_parameter(kind):
    literal = """':id :other {"a":1}'"""
    with database(PARENTS_ANYWHERE, kind=kind) as made:
        assert measure(f"SELECT id FROM parents WHERE {literal} <> '' -- :more", made.engine).rows == 20
        assert measure(f"SELECT {literal} FROM parents WHERE id = :id", made.engine, {"id": 7}).rows == 1


def test_ddl_returns_no_rows_and_an_embedded_copy_can_be_measured():
    with database(PARENTS_ANYWHERE) as made:
        assert made.measure("CREATE INDEX i ON parents (id)").rows == 0
    for kind in ("sqlite", "duckdb"):
        with database(PARENTS_ANYWHERE, kind=kind) as made, made.fresh() as other:
            assert measure("SELECT id FROM parents", other.engine).rows == 20
    with database(PARENTS_ANYWHERE, kind="duckdb") as made, pytest.raises(Misuse, match="measures SQL only"):
        measure(lambda connection: 3, made.engine)


@pytest.mark.parametrize("sql", ["SELECT count(*) FROM raw", "UPDATE raw SET n = n + 1 WHERE n % 100 = 0"])
def test_a_checkpoint_changes_no_counter(sql):
    costs = set()
    for checkpoint in (False, True):
        with database(PARENTS) as made:
            made.run("CREATE TABLE raw AS SELECT g AS n FROM generate_series(1, 20000) g")
            if checkpoint:
                made.checkpoint()
            cost = made.measure(sql)
            costs.add((cost.buffers, cost.wal_bytes, cost.wal_records, cost.wal_fpi))
    assert len(costs) == 1


@pytest.mark.slow
def test_two_fresh_clusters_cost_the_same(open_folder):
    code = (
        "from tests.engines.test_costs import PARENTS, AUDITED\nfrom workbook.engines import *\n"
        "a = database(PARENTS).measure('DELETE FROM parents WHERE id > 1990')\nb = database(AUDITED).measure('UPDATE t SET n = 1')\n"
        "print([(c.buffers, c.wal_bytes, c.wal_records) for c in (a, b)])\nclean()"
    )
    said = set()
    for name in ("one", "two"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**private(open_folder / name), "PYTHONPATH": "."},
        )
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    assert len(said) == 1
