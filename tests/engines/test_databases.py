"""A database of one's own: who reaches it, what survives, what a mistake is told."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests import folders
from workbook.btree import read_index, stepper
from workbook.engines import Recipe, cluster, database, database_of, measure, shop
from workbook.engines.database import SWEEPING, _machine, sweep
from workbook.engines.embedded import SqliteDatabase
from workbook.engines.running import split
from workbook.errors import Misuse, SqlError, SqlTimeout, TooManyRows

SMALL = shop(orders=1_000)


def private(state: Path) -> dict[str, str]:
    """The environment of a process with clusters of its own, also where WORKBOOK_POSTGRES_URL names another server."""
    kept = {name: value for name, value in os.environ.items() if name != "WORKBOOK_POSTGRES_URL"}
    return {**kept, "WORKBOOK_STATE": str(state)}


@pytest.fixture
def small():
    with database(SMALL) as made:
        yield made


def test_a_clone_is_full_and_private(small):
    assert small.run("SELECT count(*) FROM orders").rows == [(1000,)]
    small.run("DELETE FROM order_lines")
    with small.fresh() as other:
        assert other.run("SELECT count(*) FROM order_lines").rows == [(2000,)]


def test_the_role_may_index_alter_and_drop_what_it_was_given(small):
    small.run(
        "CREATE INDEX i ON orders (customer_id); ALTER TABLE stock ADD note text; CREATE STATISTICS s ON customer_id, status FROM orders"
    )
    small.run("ANALYZE orders")
    small.run("DROP TABLE stock")
    assert {"i"} <= set(small.catalog().names("index"))
    assert "stock" not in small.catalog().names("table")


def test_a_role_reaches_its_own_database_only(small):
    with small.fresh() as other:
        login = small._login | {"dbname": other.name}
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**small.cluster.address(), **login)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**small.cluster.address(), **(small._login | {"dbname": "postgres"}))


def test_passwords_are_asked_for_and_kept_as_scram(small):
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**small.cluster.address(), user="postgres", dbname="postgres", password="")
    kept = small.cluster.admin("SELECT rolpassword FROM pg_authid WHERE rolcanlogin")
    assert kept and all(row[0].startswith("SCRAM-SHA-256") for row in kept)


def test_a_role_is_no_superuser_and_cannot_become_one(small):
    for sql in (
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "CREATE ROLE boss SUPERUSER",
        "COPY orders TO PROGRAM 'cat'",
        "SET ROLE postgres",
    ):
        with pytest.raises(SqlError):
            small.run(sql)


def test_the_catalog_says_what_changed(small):
    before = small.catalog()
    small.run(
        "CREATE INDEX i ON orders (status); DROP TABLE stock; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    changes = {(change.kind, change.object): change for change in before.difference(small.catalog())}
    assert changes["index", "i"].before is None
    assert changes["table", "stock"].after is None
    assert ("function", "f()") in changes


def test_a_setting_of_the_role_shows_in_the_catalog(small):
    before = small.catalog()
    small.run("DO $$ BEGIN EXECUTE format('ALTER ROLE %I SET enable_seqscan = off', current_user); END $$")
    assert [change.kind for change in before.difference(small.catalog())] == ["setting"]


@pytest.mark.parametrize(
    ("sql", "error", "says"),
    [
        ("SELEC 1", SqlError, "syntax error"),
        ("SELECT * FROM ordres", SqlError, "did you mean orders"),
        ("", SqlError, "empty"),
        ("-- nothing but a comment", SqlError, "empty"),
        ("SELECT 1 + 'x'", SqlError, "invalid input syntax"),
        ("SELECT a.order_id FROM order_lines a, order_lines b", TooManyRows, "more than 10,000 rows"),
        ("(SELECT a.order_id FROM order_lines a, order_lines b)", TooManyRows, "The query returns more than 10,000"),
        ("SELECT count(*) FROM order_lines a, order_lines b, order_lines c", SqlTimeout, "cancelled"),
        (
            "SET statement_timeout = 0; SELECT count(*) FROM order_lines a, order_lines b, order_lines c",
            SqlTimeout,
            "cancelled",
        ),
        ("DO $$ BEGIN LOOP END LOOP; END $$", SqlTimeout, "cancelled"),
    ],
)
def test_a_mistake_gets_a_sentence_and_the_next_call_works(small, sql, error, says):
    with pytest.raises(error, match=says):
        small.run(sql, deadline_s=0.5)
    assert small.run("SELECT 1").rows == [(1,)]
    watching = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{small.name}' AND usename = '{small.name}' AND state = 'active'"
    assert small.cluster.admin(watching) == [(0,)]


def test_a_deadline_is_kept_while_the_superuser_waits_too(small):
    """The superuser's shared connection waits for a lock of the very session that is to be cancelled."""
    waiting = threading.Thread(target=small.cluster.admin, args=("SELECT count(*) FROM public.products", small.name))
    holds = "DO $$ BEGIN LOCK TABLE products; LOOP PERFORM 1; END LOOP; END $$"

    def hold() -> None:
        with pytest.raises(SqlTimeout):
            small.run(holds, deadline_s=2)

    runs = threading.Thread(target=hold)
    runs.start()
    with small.cluster.connect() as looks:
        while not looks.execute(
            "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation > 16384"
        ).fetchone():
            pass
    waiting.start()
    runs.join(10)
    waiting.join(10)
    assert not runs.is_alive() and not waiting.is_alive()


def test_a_misspelt_table_is_told_at_once_where_the_others_are_locked(small):
    """The right name is guessed from the catalog, which nobody's lock of a table keeps from being read."""
    with contextlib.closing(small.connect()) as holds, ThreadPoolExecutor(1) as pool:
        holds.execute("LOCK TABLE orders, products, stock; CREATE INDEX i ON orders (status)")
        told = pool.submit(small.run, "SELECT * FROM ordres")
        try:
            with pytest.raises(SqlError, match="did you mean orders"):
                told.result(timeout=10)
        finally:
            holds.rollback()


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT status FROM orders;\nSELECT 1,\n  statu FROM orders", ["      statu FROM orders", "      ^"]),
        ("SELECT 'nosuch' AS a; SELECT nosuch", ["    SELECT nosuch", "           ^"]),
        ("SELECT 1; SELEC", ["    SELEC", "    ^"]),
    ],
)
def test_the_place_of_a_mistake_is_shown_in_the_statement_that_has_it(small, sql, shown):
    with pytest.raises(SqlError) as refused:
        small.run(sql)
    lines = str(refused.value).splitlines()
    assert [lines[1], lines[2].partition(" Next")[0]] == shown


def test_no_place_is_shown_where_the_engine_was_sent_another_text(small):
    with pytest.raises(SqlError, match=r'"statu" does not exist\. Next: Perhaps'):
        small.run("SELECT order_id FROM orders WHERE order_id = :id AND statu = ''", {"id": 8})


def test_a_text_is_split_where_a_statement_ends(small):
    escaped, plain = r"SELECT E'it\'s; x', e'\\'", r"SELECT 'a\', ';'"
    assert split(f"{escaped}; {plain}") == [escaped, plain]
    function = "CREATE FUNCTION f(n int) RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE n WHEN 1 THEN 2 END; END"
    assert split(f"{function}; SELECT f(1)") == [function, "SELECT f(1)"]
    assert small.run(f"{function}; SELECT f(1)").rows == [(2,)]


def test_a_failed_text_has_changed_nothing(small):
    with pytest.raises(SqlError):
        small.run("DROP TABLE stock; SELECT 1 / 0")
    assert "stock" in small.catalog().names("table")


def test_concurrently_runs_outside_a_transaction(small):
    small.run("CREATE INDEX CONCURRENTLY i ON orders (status); DROP INDEX CONCURRENTLY i; VACUUM orders")
    assert "i" not in small.catalog().names("index")


def test_parameters_are_bound_and_strings_left_alone(small):
    result = small.run("SELECT ':id', order_id::text, order_id % 7 FROM orders WHERE order_id = :id", {"id": 8})
    assert result.rows == [(":id", "8", 1)]


def test_a_query_without_rows_has_columns_and_a_change_has_none(small):
    assert small.run("SELECT order_id, status FROM orders WHERE order_id < :id", {"id": 0}).columns == (
        "order_id",
        "status",
    )
    assert small.run("SELECT 1 AS a, 2 AS a WHERE false; -- no more").columns == ("a", "a")
    nobody = small.run("WITH no AS (SELECT 1 WHERE false) UPDATE orders SET status = 'x' FROM no")
    assert nobody.columns == () and nobody.rows == []
    made = small.run("SELECT 7 AS n INTO seven; SELECT n FROM seven")
    assert (made.columns, made.rows) == (("n",), [(7,)])


def test_an_engine_leads_back_to_its_database(small):
    assert database_of(small.engine) is small
    with pytest.raises(Misuse, match="no engine of the workbook"):
        measure("SELECT 1", sa.create_engine("sqlite://"))
    with pytest.raises(Misuse, match="shop\\(\\), tpch\\(\\) or practice\\(\\)"):
        database_of("an engine")  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="no engine 'oracle'"):
        database(SMALL, kind="oracle")
    with pytest.raises(Misuse, match="between 100"):
        shop(orders=3)


def test_an_engine_with_other_options_is_the_same_engine(small):
    """What SQLAlchemy makes for another isolation level is taken wherever the engine itself is."""
    alone = small.engine.execution_options(isolation_level="AUTOCOMMIT")
    assert alone is not small.engine and database_of(alone) is small
    assert database_of(alone.execution_options(stream_results=True)) is small
    assert measure("INSERT INTO products SELECT * FROM products LIMIT 0", alone).tuples is not None
    assert stepper(alone, "products_pkey", find=7) is not None
    assert read_index(alone, "products_pkey").rows == read_index(small.engine, "products_pkey").rows > 0
    for kind in ("sqlite", "duckdb"):
        with database(SMALL, kind=kind) as other:
            assert database_of(other.engine.execution_options(isolation_level="AUTOCOMMIT")) is other


def test_a_killed_kernel_leaves_nothing_for_long():
    code = "import os, signal\nfrom workbook.engines import *\nd = database(shop(orders=1_000))\nprint(d.name, flush=True)\nos.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))"
    name = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    home = cluster()
    known = f"SELECT count(*) FROM pg_database WHERE datname = '{name}'"
    assert name and home.admin(known) == [(1,)]
    with home.connect() as another:  # that is at it
        another.execute(f"SELECT pg_advisory_lock({SWEEPING})")
        sweep(home)
        assert home.admin(known) == [(1,)]
        another.execute(f"SELECT pg_advisory_unlock({SWEEPING})")
    sweep(home)
    assert home.admin(known) == [(0,)]


def test_what_cannot_be_swept_away_is_left_for_the_next_one():
    home, role = cluster(), f"w_999999999_{_machine()}gone"
    home.admin(f"CREATE ROLE {role}")
    home.admin(f"GRANT CONNECT ON DATABASE postgres TO {role}")
    sweep(home)
    home.admin(f"REVOKE CONNECT ON DATABASE postgres FROM {role}")
    sweep(home)
    assert home.admin(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'") == []


def test_a_database_with_a_prepared_transaction_is_dropped():
    with database(SMALL) as made, made.connect() as connection:
        connection.autocommit = True
        connection.execute("BEGIN; CREATE TABLE promised (n int); PREPARE TRANSACTION 'it''s promised'")
    left = "SELECT (SELECT count(*) FROM pg_database WHERE datname = '{0}'), (SELECT count(*) FROM pg_prepared_xacts WHERE database = '{0}')"
    assert made.cluster.admin(left.format(made.name)) == [(0, 0)]


@pytest.mark.slow
def test_a_killed_server_starts_again_and_nothing_committed_is_lost(tmp_path):
    code = """
import os, signal, sqlalchemy as sa
from workbook.engines import *
d = database(shop(orders=1_000), profile="production")
d.run("CREATE TABLE kept AS SELECT 7 AS n")
postmaster = int((d.cluster.server / "data" / "postmaster.pid").read_text().split()[0])
os.kill(postmaster, getattr(signal, "SIGKILL", signal.SIGTERM))
try:
    d.cluster.admin("SELECT 1")
except Exception as error:
    print("admin", error)
print(d.run("SELECT n FROM kept").rows)
with d.engine.connect() as connection:
    print(connection.execute(sa.text("SELECT count(*) FROM orders")).scalar())
clean()
"""
    folder = tmp_path / "state"
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=private(folder))
    assert "[(7,)]" in done.stdout and "1000" in done.stdout, done.stdout + done.stderr


def test_a_watcher_starts_no_server_and_makes_no_cluster(open_folder):
    servers = open_folder / "servers"
    folder = servers / "counting-18"

    def watch() -> None:
        command = [sys.executable, "-m", "workbook.engines.watch", "counting", str(folder)]
        subprocess.run(command, env=private(open_folder), check=True, timeout=50)

    watch()
    assert not servers.exists()
    code = "from workbook.engines import *\ncluster()\nprint(stop())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=private(open_folder))
    assert done.stdout == "['counting']\n", done.stderr
    watch()
    assert (folder / "server" / "data").exists() and not (folder / "server" / "data" / "postmaster.pid").exists()


def test_two_kernels_share_one_cluster():
    code = "from workbook.engines import *\nprint(cluster().admin('SELECT pg_postmaster_start_time()')[0][0])"
    started = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(started) == 1


def test_the_three_engines_hold_the_same_shop(small):
    counts = "SELECT status, count(*) FROM orders GROUP BY status ORDER BY status"
    wanted = small.run(counts).rows
    for kind in ("sqlite", "duckdb"):
        with database(SMALL, kind=kind) as other, other.engine.connect() as connection:
            assert [tuple(row) for row in connection.execute(sa.text(counts))] == wanted


def test_sqlite_and_duckdb_make_the_same_recipe_at_once(monkeypatch):
    recipe, make = shop(seed=3, orders=1_000), SqliteDatabase._make

    def both(self: SqliteDatabase, path: Path) -> None:
        make(self, path)
        with database(recipe, kind="duckdb") as other:
            assert other.measure("SELECT * FROM orders").rows == 1000

    monkeypatch.setattr(SqliteDatabase, "_make", both)
    with database(recipe, kind="sqlite") as made:
        assert made.measure("SELECT * FROM orders").rows == 1000


def test_a_seed_changes_the_rows_and_a_recipe_its_template():
    with database(shop(seed=2, orders=1_000)) as other, database(SMALL) as first:
        ask = "SELECT customer_id FROM orders ORDER BY order_id LIMIT 50"
        assert other.run(ask).rows != first.run(ask).rows
    assert Recipe("a", "CREATE TABLE t (i int)").key != Recipe("a", "CREATE TABLE t (i bigint)").key


@pytest.mark.parametrize(
    "sql", ["REINDEX SCHEMA mine", "REINDEX (VERBOSE) SCHEMA mine", "REINDEX TABLE CONCURRENTLY mine.t"]
)
def test_what_postgresql_refuses_in_a_transaction_runs_alone(small, sql):
    small.run("CREATE SCHEMA mine; CREATE TABLE mine.t (n int PRIMARY KEY)")
    assert small.run(f"{sql}; SELECT 7").rows == [(7,)]


def test_begin_commit_and_rollback_are_what_they_say(small):
    with pytest.raises(SqlError, match="cannot run inside a transaction block"):
        small.run("BEGIN; CREATE INDEX CONCURRENTLY by_hand ON stock (product_id); COMMIT")
    small.run(
        "CREATE TABLE kept (n int); BEGIN; INSERT INTO kept VALUES (1); ROLLBACK; BEGIN; INSERT INTO kept VALUES (2)"
    )
    assert small.run("SELECT n FROM kept").rows == [(2,)]
    small.run("DROP TABLE kept")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no sockets with a path there")
def test_a_path_that_is_too_long_for_a_socket_and_a_temporary_folder_that_is_emptied(tmp_path):
    """The socket of such a server stands in the temporary folder, which macOS empties and others may write to."""
    code = """
import json, os, shutil, sys
from pathlib import Path
from workbook.engines import clean, cluster
from workbook.errors import Unavailable
home = cluster()
socket = Path(home.address()["host"])
print(home.admin("SELECT 1"), socket.parent == Path(os.environ["TMPDIR"]), len(os.fsencode(home.server)) > 89)
home.stop()
shutil.rmtree(socket)
print(cluster().ensure().admin("SELECT 2"))
home.stop()
shutil.rmtree(socket)
socket.symlink_to("/")
try:
    cluster().ensure()
except Unavailable as error:
    print(str(error).splitlines()[0], "belongs to another user" in str(error))
socket.unlink()
print(cluster().ensure().admin("SELECT 3"), socket.exists())
clean()
print(socket.exists())
"""
    with folders.open_folder() as short:
        state = short / ("long" * 20) / "größe"
        state.mkdir(parents=True)
        for folder in (state, state.parent):
            folder.chmod(0o755)
        environment = private(state) | {"TMPDIR": str(short)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    said = done.stdout.splitlines()
    assert said[:2] == ["[(1,)] True True", "[(2,)]"], done.stderr
    assert said[2].startswith("The PostgreSQL server of the profile counting cannot be had") and said[2].endswith(
        " True"
    )
    assert said[3:] == ["[(3,)] True", "False"], done.stderr


def test_duckdb_counts_what_its_scans_looked_at_and_nothing_where_it_knew_the_answer():
    with database(SMALL, kind="duckdb") as made:
        looked = made.measure("SELECT count(*) FROM orders WHERE order_id > 5")
        known = made.measure("SELECT count(*) FROM orders")
        assert (looked.rows, looked.steps) == (1, 995) and (known.rows, known.steps) == (1, 0)
        assert made.measure("DELETE FROM order_lines WHERE order_id <= 5").steps
        with made.engine.connect() as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM order_lines")).scalar() == 1990
