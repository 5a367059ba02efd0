"""Every order of a few small transactions on the real engines: the counts, the verdicts, the names, the samples."""

from __future__ import annotations

import _thread
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from workbook.errors import Misuse
from workbook.schedules import Program, Schedule, Stage, explore
from workbook.schedules.interleavings import KINDS

SETUP = "CREATE TABLE test (id int PRIMARY KEY, value int);\nINSERT INTO test VALUES (1, 10), (2, 20);"
NO_INDEX = SETUP.replace(" PRIMARY KEY", "")


def r(row: int) -> str:
    return f"SELECT id, value FROM test WHERE id = {row}"


def w(row: int, value: object) -> str:
    return f"UPDATE test SET value = {value} WHERE id = {row}"


BOTH = "SELECT id, value FROM test WHERE id IN (1, 2)"
PROGRAMS = {
    "lost update": {"T1": [r(1), w(1, 11)], "T2": [r(1), w(1, 12)]},
    "write skew": {"T1": [BOTH, w(1, 11)], "T2": [BOTH, w(2, 21)]},
    "read skew": {"T1": [r(1), r(2)], "T2": [w(1, 12), w(2, 18)]},
    "increments in opposite order": {
        "T1": [w(1, "value + 1"), w(2, "value + 1")],
        "T2": [w(2, "value + 1"), w(1, "value + 1")],
    },
    "own row only": {"T1": [r(1), w(1, "value + 1")], "T2": [r(2), w(2, "value + 1")]},
}
LOST, SKEW, CONFLICT = "anomaly P4 lost update", "anomaly G2-item write skew", "abort TransactionContext"
AS_MEASURED = {
    ("lost update", "read committed"): {"serial": 10, LOST: 60},
    ("lost update", "repeatable read"): {"serial": 10, "abort 40001": 60},
    ("lost update", "serializable"): {"serial": 10, "abort 40001": 60},
    ("lost update", "snapshot"): {"serial": 10, CONFLICT: 60},
    ("write skew", "read committed"): {"serial": 10, SKEW: 60},
    ("write skew", "repeatable read"): {"serial": 10, SKEW: 60},
    ("write skew", "serializable"): {"serial": 10, "abort 40001": 60},
    ("write skew", "snapshot"): {"serial": 10, SKEW: 60},
    ("read skew", "read committed"): {"serial": 60, "anomaly G-single read skew": 10},
    ("read skew", "repeatable read"): {"serial": 70},
    ("read skew", "serializable"): {"serial": 70},
    ("read skew", "snapshot"): {"serial": 70},
    ("increments in opposite order", "read committed"): {"serial": 34, "deadlock": 36},
    ("increments in opposite order", "repeatable read"): {"serial": 10, "abort 40001": 24, "deadlock": 36},
    ("increments in opposite order", "serializable"): {"serial": 10, "abort 40001": 24, "deadlock": 36},
    ("increments in opposite order", "snapshot"): {"serial": 10, CONFLICT: 60},
    ("own row only", "read committed"): {"serial": 70},
    ("own row only", "repeatable read"): {"serial": 70},
    ("own row only", "serializable"): {"serial": 70},
    ("own row only", "snapshot"): {"serial": 70},
}


def program(name: str, setup: str = SETUP) -> Program:
    return Program(name, setup, PROGRAMS[name])


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Stage]:
    with closing(Stage("sqlite")) as stage:
        yield stage


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("engine", ["postgresql", "duckdb"])
def test_all_seventy_orders_come_to_what_was_measured(name: str, engine: str, request: pytest.FixtureRequest) -> None:
    stage = request.getfixturevalue("postgres" if engine == "postgresql" else engine)
    found = explore(program(name), stage=stage)
    assert found.of == found.explored == 70 and not found.sampled
    assert {level: dict(found.tallies[level].texts) for level in found.levels} == {
        level: AS_MEASURED[name, level] for level in found.levels
    }
    assert len(found.levels) == (3 if engine == "postgresql" else 1)


def test_a_sequential_scan_makes_serializable_abort_who_shares_no_row(postgres: Stage) -> None:
    found = explore(program("own row only", NO_INDEX), levels="serializable", stage=postgres)
    assert dict(found.tallies["serializable"].texts) == {"serial": 10, "abort 40001": 60}


def test_sqlite_refuses_by_its_own_codes_and_waits_where_it_may(sqlite: Stage) -> None:
    found = explore(program("write skew"), stage=sqlite)
    assert found.levels == ("deferred", "immediate")
    assert dict(found.tallies["deferred"].texts) == {"serial": 10, "abort 5": 40, "abort 517": 20}
    assert dict(found.tallies["immediate"].texts) == {"serial": 70}
    assert found.tallies["immediate"].waits == 68  # each but the two serial orders


def test_what_the_counts_say_is_what_the_runs_say(postgres: Stage) -> None:
    found = explore(program("lost update"), levels=["read committed", "repeatable read"], stage=postgres)
    for level in found.levels:
        counts, cells = found.tallies[level], found.at(level)
        assert [cell.number for cell in cells] == [*range(1, 71)]
        assert len({cell.order for cell in cells}) == 70
        assert sum(getattr(counts, kind) for kind in KINDS) == counts.orders == 70
        assert counts.aborted == sum(len(cell.run.failures) > 0 for cell in cells)
        for cell in cells:
            assert (cell.kind == "anomaly") == (not cell.verdict.serializable)
            assert cell.order == " ".join(step.session for step in cell.run.schedule.steps)
            assert bool(cell.waits) == bool(cell.run.waits)
    assert [cell.order for cell in found.at("read committed")] == [cell.order for cell in found.at("repeatable read")]


def test_an_order_is_found_by_its_number_its_turns_or_what_it_came_to(postgres: Stage) -> None:
    found = explore(program("lost update"), levels=["read committed", "serializable"], stage=postgres)
    cell = found.first("anomaly")
    assert cell is found.cell(cell.number) is found.cell(f" {cell.order} ")
    assert found.first("anomaly", "serializable") is None and found.first("deadlock") is None
    assert found.cell(3, "serializable").kind == "abort"
    assert found.graph(cell).name == cell.name == "P4 lost update"
    assert "before" in found.graph(cell).words and found.graph(cell) is found.graph(cell)
    with pytest.raises(Misuse, match="order 71 was not explored"):
        found.cell(71)
    with pytest.raises(Misuse, match="'snapshot' was not explored"):
        found.at("snapshot")


def test_orders_that_differ_in_a_begin_alone_share_a_graph_and_others_do_not(postgres: Stage) -> None:
    found = explore(program("lost update"), levels="read committed", stage=postgres)
    cells = [cell for cell in found.cells if cell.kind == "anomaly"]
    for cell in cells:
        bare = [step.name for step in cell.run.schedule.steps if not step.begins]
        for other in cells:
            same = bare == [step.name for step in other.run.schedule.steps if not step.begins]
            assert not same or found.graph(cell) is found.graph(other)
            if found.graph(cell) is found.graph(other):
                assert cell.run.final == other.run.final and cell.run.outcomes == other.run.outcomes
    assert (
        1 < len({id(found.graph(cell)) for cell in cells}) <= 18
    )  # orders of r w COMMIT twice, the serial ones left out


def test_the_text_and_the_data_say_the_same(postgres: Stage) -> None:
    found = explore(program("write skew"), stage=postgres)
    text = str(found)
    assert f"write skew · PostgreSQL {found.version} · all 70 orders of T1 (4 steps) and T2 (4 steps)" in text
    assert "repeatable read      10       60      0         0      0" in text
    assert "60 anomaly G2-item write skew, the first in order 3: T1 T1 T1 T2 T2 T1 T2 T2" in text
    data = json.loads(json.dumps(found.data()))
    assert [level["texts"] for level in data["levels"]] == [found.tallies[level].texts for level in found.levels]
    assert data["levels"][0]["cells"][2] == {
        "number": 3,
        "order": "T1 T1 T1 T2 T2 T1 T2 T2",
        "kind": "anomaly",
        "label": "G2-item write skew",
        "text": "anomaly G2-item write skew",
        "waits": 0,
        "aborted": 0,
        "verdict": "equivalent to no order",
    }


def test_above_the_limit_orders_are_drawn_by_a_seed_and_it_is_said(duckdb: Stage) -> None:
    three = Program("three", SETUP, {name: [r(1), w(1, "value + 1")] for name in ("T1", "T2", "T3")})
    one, again, other = (explore(three, limit=40, seed=seed, stage=duckdb) for seed in (5, 5, 6))
    assert one.of == 34_650 and one.explored == 40 and one.sampled
    assert [cell.order for cell in one.cells] == [cell.order for cell in again.cells]
    assert [cell.order for cell in one.cells] != [cell.order for cell in other.cells]
    assert len({cell.order for cell in one.cells}) == 40
    assert "40 of 34,650, drawn by seed 5, of the orders of T1 (4 steps), T2 (4 steps) and T3 (4 steps)" in str(one)
    assert one.data()["sampled"] and one.data()["seed"] == 5


def test_three_sessions_and_the_worst_counts(postgres: Stage) -> None:
    """T1 and T2 make write skew while T3 and T1 conflict: an order with an anomaly is one, whatever else went wrong."""
    sessions = {"T1": [BOTH, w(1, 11)], "T2": [BOTH, w(2, 21)], "T3": [w(1, 31)]}
    found = explore(Program("", SETUP, sessions), levels="repeatable read", limit=60, names=False, stage=postgres)
    both = [cell for cell in found.cells if cell.kind == "anomaly" and cell.aborted]
    assert found.of == 11_550 and both
    for cell in both:
        assert cell.run.failures and not cell.verdict.serializable and not cell.name
        assert set(cell.verdict.committed) < {"T1", "T2", "T3"}


def test_the_number_that_an_aborted_insert_took_is_no_anomaly(postgres: Stage) -> None:
    setup = "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, n int)"
    free = "INSERT INTO t (n) SELECT 1 WHERE NOT EXISTS (SELECT FROM t WHERE n = 1)"
    found = explore(Program("", setup, {"T1": [free], "T2": [free]}), levels="serializable", stage=postgres)
    assert dict(found.tallies["serializable"].texts) == {"serial": 8, "abort 40001": 12}
    numbers = {cell.run.final["t"][0][0] for cell in found.cells}
    assert numbers == {1, 2}  # what is left differs in nothing else
    assert explore(found.program, levels="read committed", stage=postgres).tallies["read committed"].anomaly == 12


SERIAL = "CREATE TABLE test (id serial, value int)"


@pytest.mark.parametrize(
    ("setup", "sessions", "orders"),
    [
        (
            "CREATE TABLE test (id int, at timestamptz DEFAULT now())",
            {"T1": ["INSERT INTO test VALUES (1)"], "T2": ["INSERT INTO test VALUES (2)"]},
            20,
        ),
        (
            SERIAL,
            {
                "T1": ["BEGIN", "INSERT INTO test (value) VALUES (1) RETURNING id", "ROLLBACK"],
                "T2": ["INSERT INTO test (value) VALUES (2) RETURNING id"],
            },
            20,
        ),
        (
            SERIAL,
            {
                "T1": ["INSERT INTO test (value) VALUES (1) RETURNING id"],
                "T2": ["INSERT INTO test (value) VALUES (2) RETURNING id", "INSERT INTO test (value) VALUES (3)"],
            },
            35,
        ),
    ],
)
def test_clocks_and_sequences_make_no_anomaly(
    postgres: Stage, setup: str, sessions: dict[str, list[str]], orders: int
) -> None:
    found = explore(Program("numbered", setup, sessions), levels="serializable", stage=postgres)
    assert found.tallies["serializable"].texts == {"serial": orders}


def test_an_order_that_comes_to_no_end_is_told_and_the_next_ones_run(postgres: Stage) -> None:
    keeps = {"T1": ["SELECT pg_advisory_lock(7)"], "T2": ["SELECT pg_advisory_lock(7)"]}
    found = explore(Program("kept", SETUP, keeps), levels="read committed", stage=postgres)
    assert {cell.kind for cell in found.cells} == {"stuck"} and found.tallies["read committed"].stuck == 20
    assert found.cells[0].verdict is None and found.cells[0].run.waits
    assert "stuck" in str(found).split("\n")[2] and found.data()["levels"][0]["cells"][0]["verdict"] == (
        "it comes to no end"
    )
    assert explore(program("read skew"), levels="serializable", stage=postgres).tallies["serializable"].serial == 70


def test_without_levels_the_program_s_own_counts_then_every_one_of_the_engine(postgres: Stage, duckdb: Stage) -> None:
    own = Program("", SETUP, PROGRAMS["read skew"], level="repeatable read")
    assert explore(own, stage=postgres, limit=2).levels == ("repeatable read",)
    assert explore(own, levels="serializable", stage=postgres, limit=2).levels == ("serializable",)
    assert explore(program("read skew"), stage=postgres, limit=2).levels == (
        "read committed",
        "repeatable read",
        "serializable",
    )
    with pytest.raises(Misuse, match="DuckDB has no isolation level 'serializable'"):
        explore(own, levels="serializable", stage=duckdb)
    with pytest.raises(Misuse, match="0 orders cannot be run"):
        explore(own, limit=0, stage=postgres)


def test_a_schedule_gives_the_orders_of_its_steps_whole_transactions_each(duckdb: Stage) -> None:
    schedule = Schedule.read("setup:\n    CREATE TABLE t (n int)\nT1: BEGIN\nT2: INSERT INTO t VALUES (1)\nT1: COMMIT")
    found = explore(schedule, stage=duckdb)
    assert found.of == 10 and [step.sql.split()[0] for step in found.program.sessions["T2"]] == [
        "BEGIN",
        "INSERT",
        "COMMIT",
    ]
    assert [step.name for step in found.program.sessions["T2"]] == ["T2.1", "T2.2", "T2.3"]


def test_a_keyboard_interrupt_leaves_nothing_and_the_next_exploration_runs(postgres: Stage) -> None:
    """The interrupt comes when the server is seen to run a step."""
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep'"

    def interrupt() -> None:
        with postgres.seats.database.cluster.connect("postgres") as connection:
            while not connection.execute(asleep, [postgres.seats.database.name]).fetchone()[0]:
                pass  # whose database a stage takes anew where the last schedule has spoilt it
        _thread.interrupt_main() if sys.platform == "win32" else os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt, daemon=True)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        explore(Program("", SETUP, {"T1": [w(1, 0), "SELECT pg_sleep(60)"], "T2": [w(2, 0)]}), stage=postgres)
    watcher.join()
    home = postgres.seats.database
    with home.cluster.connect("postgres") as connection:
        left = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state <> 'idle'"
        assert connection.execute(left, [home.name]).fetchone()[0] == 0
        held = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = %s"
        assert connection.execute(held, [home.name]).fetchone()[0] == 0
    found = explore(program("lost update"), levels="read committed", stage=postgres, names=False)
    assert found.tallies["read committed"].anomaly == 60


def test_the_row_of_a_level_says_which_session_has_another(postgres: Stage) -> None:
    lost = replace(program("lost update"), levels={"T1": "serializable"})
    found = explore(lost, levels=["read committed", "serializable"], stage=postgres, names=False)
    assert [one["at"] for one in found.data()["levels"]] == ["read committed (T1 serializable)", "serializable"]
    assert "\nread committed (T1 serializable)  " in str(found) and "read committed (T1" in found.picture.svg
