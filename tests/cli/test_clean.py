"""`workbook clean`, in a terminal, beside a notebook that goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import folders
from tests.cli.living import Kernel, environment, kernel, workbook

REMOVED = "Unavailable: The databases were removed by `workbook clean`. Next: run the cell that made this engine again."
BEGIN = """
import sqlalchemy as sa
from workbook import check, database_of, explain, measure, practice, shop
from workbook.engines import database
from workbook.schedules import Schedule, Step, Stage, run
from workbook.grading.desk import start_lab
COUNT = sa.text("SELECT count(*) FROM orders")
ONE = Schedule("one", "CREATE TABLE t (n int)", (Step("T1", "INSERT INTO t VALUES (1)"), Step("T2", "INSERT INTO t VALUES (2)")))
def counted(engine):
    with engine.connect() as connection:
        return connection.execute(COUNT).scalar()
start_lab("02_indexes", seed=1)
stage = Stage()
"""
WORK = {
    "print(counted(shop(orders=1_000)))": "1000",
    "print(practice('indexes-order').dialect.name)": "postgresql",
    "print(check('indexes-order', 'CREATE INDEX i ON orders (status)').state)": "graded",
    "print(stage.run(ONE).final)": "{'t': ((1,), (2,))}",
    "print(run(ONE).final)": "{'t': ((1,), (2,))}",
    "print(explain('SELECT * FROM orders', shop(orders=1_000)).root.kind)": "Seq Scan",
}
WITH_THE_ENGINE = (
    "print(counted(engine))",
    "print(held.execute(COUNT).scalar())",
    "print(explain('SELECT * FROM orders', engine))",
    "print(measure('SELECT * FROM orders', engine))",
    "print(database_of(engine).run('SELECT 1'))",
    "print(database_of(engine).catalog())",
    "print(database_of(engine).relation_bytes('orders'))",
    "database_of(engine).vacuum()",
)


@pytest.fixture
def state() -> Iterator[Path]:
    """A folder for databases of one's own, which are stopped at the end."""
    with folders.open_folder() as folder:
        yield folder
        workbook("stop", state=folder)


def works(one: Kernel) -> None:
    assert {code: one.does(code) for code in WORK} == WORK


def test_a_notebook_goes_on_after_it(state: Path) -> None:
    with kernel(state) as one:
        assert one.does(BEGIN) == ""
        works(one)
        assert workbook("clean", "-y", state=state).returncode == 0
        works(one)


@pytest.mark.parametrize("made_again", [False, True], ids=["nothing is there", "another cluster is there"])
def test_an_engine_in_hand_is_told_what_became_of_its_database(state: Path, made_again: bool) -> None:
    with kernel(state) as one:
        assert one.does(BEGIN) == ""
        begun = "engine = shop(orders=1_000); held = engine.connect(); print(held.execute(COUNT).scalar())"
        assert one.does(begun) == "1000"
        assert workbook("clean", "-y", state=state).returncode == 0
        if made_again:
            with kernel(state) as other:
                assert other.does(BEGIN) == "" and other.does("print(counted(shop(orders=1_000)))") == "1000"
        assert {code: one.does(code) for code in WITH_THE_ENGINE} == dict.fromkeys(WITH_THE_ENGINE, REMOVED)
        assert one.does("database_of(engine).drop(); print(counted(database_of(engine).fresh().engine))") == "1000"
        assert one.does("engine = shop(orders=1_000); print(counted(engine))") == "1000"


def test_two_notebooks_make_one_cluster_again(state: Path) -> None:
    asks = "print(database_of(shop(orders=1_000)).cluster.admin('SELECT system_identifier FROM pg_control_system()'))"
    with kernel(state) as one, kernel(state) as other:
        assert one.does(BEGIN) == other.does(BEGIN) == ""
        before = one.does(asks)
        assert other.does(asks) == before
        assert workbook("clean", "-y", state=state).returncode == 0
        after = one.does(asks)
        assert other.does(asks) == after != before
        assert "[(" in before and "[(" in after


def test_it_waits_for_who_makes_a_cluster_and_leaves_no_server_behind(state: Path) -> None:
    """A cluster is removed whole, also while another process begins to work with it."""
    with kernel(state) as one:
        assert one.does(BEGIN) == ""
        clean = [sys.executable, "-m", "workbook.cli", "clean", "-y"]
        for _ in range(2):
            with subprocess.Popen(clean, env=environment(state), stdout=subprocess.PIPE, text=True) as beside:
                said = one.does("print(counted(shop(orders=1_000)))")
                beside.communicate(timeout=60)
            assert said == "1000" or "removed by `workbook clean`" in said, said
            assert beside.returncode == 0
        assert one.does("print(counted(shop(orders=1_000)))") == "1000"


def test_it_says_what_was_there(state: Path) -> None:
    assert workbook("clean", "-y", state=state).stdout == "There was nothing to remove.\n"
    assert json.loads(workbook("clean", "-y", "--json", state=state).stdout) == {"removed": []}
    with kernel(state) as one:
        assert one.does("from workbook import shop; shop(orders=1_000)") == ""
    assert workbook("clean", "-y", state=state).stdout == f"Removed: {state / 'servers' / 'counting-18'}\n"
    with kernel(state) as one:
        assert one.does("from workbook import shop; shop(orders=1_000, profile='production')") == ""
    said = json.loads(workbook("clean", "-y", "--json", state=state).stdout)
    assert said == {"removed": [str(state / "servers" / "production-18")]}
    assert list(state.iterdir()) == []


def test_it_removes_the_files_of_sqlite_and_duckdb_that_nobody_works_with(state: Path) -> None:
    with kernel(state) as one:
        assert one.does(BEGIN.replace("stage = Stage()", "")) == ""
        for kind in ("sqlite", "duckdb"):
            assert one.does(f"{kind} = shop(kind='{kind}', orders=1_000); print(counted({kind}))") == "1000"
        said = workbook("clean", "-y", state=state).stdout.splitlines()
        assert sorted(Path(line).suffix for line in said) == [".duckdb", ".sqlite"]
        for kind in ("sqlite", "duckdb"):
            assert one.does(f"print(counted({kind}))") == "1000"
            assert one.does(f"print(counted(shop(kind='{kind}', orders=1_000)))") == "1000"
    left = [path for path in (state / "files").iterdir() if path.stat().st_size and path.name.startswith("w_")]
    assert left == []


def test_it_asks_before(state: Path) -> None:
    with kernel(state) as one:
        assert one.does("from workbook import shop; engine = shop(orders=1_000)") == ""
        asked = workbook("clean", state=state, said="n\n")
        assert asked.returncode == 1 and asked.stderr.startswith("Remove the workbook's databases?")
        assert one.does("engine.connect().close()") == ""
        asked = workbook("clean", "--json", state=state, said="y\n")
        assert asked.returncode == 0 and len(json.loads(asked.stdout)["removed"]) == 1
        assert one.does("engine.connect().close()") == REMOVED
