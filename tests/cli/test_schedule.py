"""`workbook schedule FILE` as a person calls it, on schedules written as text."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.calling import Done, called

LOST_UPDATE = """# Lost update
setup:
    CREATE TABLE test (id int PRIMARY KEY, value int);
    INSERT INTO test VALUES (1, 10), (2, 20);

T1: BEGIN
T2: BEGIN
T1: SELECT value FROM test WHERE id = 1
T2: SELECT value FROM test WHERE id = 1
T1: UPDATE test SET value = 11 WHERE id = 1
T2: UPDATE test SET value = 12 WHERE id = 1
T1: COMMIT
T2: COMMIT
"""


@pytest.fixture
def schedule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Calls the command in this process; FILE stands for a file with `text`."""

    def call(*arguments: str, text: str = LOST_UPDATE, name: str = "lost_update.schedule") -> Done:
        path = tmp_path / name
        path.write_text(text)
        return called(capsys, "schedule", *(argument.replace("FILE", str(path)) for argument in arguments))

    return call


def test_a_schedule_is_run_judged_and_named(schedule: Callable[..., Done]) -> None:
    done = schedule("FILE")
    assert done.returncode == 1 and not done.stderr
    assert "… waits for T1, row id=1 of test" in done.stdout
    assert "equivalent to no order" in done.stdout and "P4 lost update" in done.stdout


def test_the_level_decides_about_the_exit_code(schedule: Callable[..., Done]) -> None:
    done = schedule("FILE", "--level", "repeatable read")
    assert done.returncode == 0 and "✗ 40001" in done.stdout
    assert done.stdout.rstrip().endswith("equivalent to T1 alone")


def test_the_same_as_data(schedule: Callable[..., Done]) -> None:
    done = schedule("FILE", "--json", "--level", "read committed")
    report = json.loads(done.stdout)["runs"][0]
    assert list(report) == ["run", "verdict", "graph"]
    assert report["run"]["outcomes"] == {"T1": "committed", "T2": "committed"}
    assert report["verdict"]["text"] == "equivalent to no order" and report["graph"]["name"] == "P4 lost update"


def test_the_timeline_is_drawn(schedule: Callable[..., Done], tmp_path: Path) -> None:
    done = schedule("FILE", "--svg", str(tmp_path / "out.svg"))
    assert done.returncode == 1 and done.stderr == f"drawn: {tmp_path / 'out.svg'}\n"
    drawn = (tmp_path / "out.svg").read_text(encoding="utf-8")
    assert drawn.startswith("<svg") and "waits for T1" in drawn and "lost update" in drawn


def test_another_engine_makes_something_else_of_it(schedule: Callable[..., Done]) -> None:
    done = schedule("FILE", "--engine", "duckdb")
    assert done.returncode == 0 and "Conflict on update!" in done.stdout


def test_a_schedule_that_comes_to_no_end_is_shown_as_far_as_it_went(schedule: Callable[..., Done]) -> None:
    done = schedule("FILE", "--timeout", "0.5", text=LOST_UPDATE.replace("T1: COMMIT\n", ""))
    assert done.returncode == 2 and "… waits for T1, row id=1 of test" in done.stdout
    assert "comes to no end: T2.3" in done.stderr and "which has no step left" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text", "says"),
    [
        (("FILE",), "T1 BEGIN", "line 1: this is no step: T1 BEGIN"),
        (("FILE", "--engine", "oracle"), LOST_UPDATE, "no engine 'oracle'"),
        (("FILE", "--level", "snapshot"), LOST_UPDATE, "PostgreSQL has no isolation level 'snapshot'"),
        (
            ("FILE",),
            LOST_UPDATE.replace("int PRIMARY KEY", "integr"),
            'The setup is refused: type "integr" does not exist',
        ),
        (("nowhere.schedule",), "", "nowhere.schedule cannot be read"),
        (("a.spec", "--engine", "duckdb"), "", "The isolationtester's output is text, on PostgreSQL"),
        (("FILE", "--timeout", "nan"), LOST_UPDATE, "A step cannot be given nan s"),
        (("FILE", "--timeout", "0"), LOST_UPDATE, "A step cannot be given 0 s"),
        (("FILE", "--timeout", "inf"), LOST_UPDATE, "A step cannot be given inf s"),
        (
            ("FILE", "--svg", "/nonexist/x.svg"),
            LOST_UPDATE,
            "The picture cannot be written to /nonexist/x.svg: there is no folder /nonexist.",
        ),
        (("FILE", "--svg", "FILE"), LOST_UPDATE, "lost_update.schedule is the schedule itself, and the picture would"),
        (("FILE",), "#" * 20_000_001, "lost_update.schedule is longer than any schedule."),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_2(
    schedule: Callable[..., Done], arguments: tuple[str, ...], text: str, says: str
) -> None:
    done = schedule(*arguments, text=text)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_the_permutations_of_a_spec_file_run_as_schedules(schedule: Callable[..., Done]) -> None:
    spec = """setup { CREATE TABLE t (n int); INSERT INTO t VALUES (1); } teardown { DROP TABLE t; }
        session s1 step r1 { SELECT n FROM t; } session s2 step w2 { UPDATE t SET n = 2; }
        permutation r1 w2 permutation w2 r1"""
    done = schedule("FILE", "--format", "text", text=spec, name="two.spec")
    assert done.returncode == 0 and done.stdout.count("equivalent to") == 2
    reads = [line.split("→ ")[1] for line in done.stdout.split("\n") if "SELECT n FROM t  → " in line]
    assert reads == ["(1)", "(2)"]


@pytest.mark.parametrize("other", ["w2 x1", "x1 r1 w2"], ids=["another step", "another order in a session"])
def test_permutations_of_other_steps_have_no_every_order(schedule: Callable[..., Done], other: str) -> None:
    spec = """setup { CREATE TABLE t (n int); } teardown { DROP TABLE t; }
        session s1 step r1 { SELECT n FROM t; } step x1 { DELETE FROM t; } session s2 step w2 { UPDATE t SET n = 2; }
        permutation r1 w2 x1 permutation w2 r1 x1"""
    done = schedule("FILE", "--every-order", "--engine", "sqlite", "--level", "immediate", text=spec, name="two.spec")
    assert done.returncode == 0 and "all 35 orders of s1 (4 steps) and s2 (3 steps)" in done.stdout
    spec += f" permutation {other}"
    done = schedule("FILE", "--every-order", "--engine", "sqlite", text=spec, name="two.spec")
    assert done.returncode == 2 and "The file's 3 permutations do not have the same steps" in done.stderr


def test_every_order_is_run_at_each_level(schedule: Callable[..., Done]) -> None:
    done = schedule("FILE", "--every-order")
    assert done.returncode == 1 and "all 70 orders of T1 (4 steps) and T2 (4 steps)" in done.stdout
    assert "60 anomaly P4 lost update" in done.stdout
    done = schedule("FILE", "--every-order", "--level", "repeatable read", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and (report["of"], report["levels"][0]["abort"]) == (70, 60)
    done = schedule("FILE", "--every-order", "--limit", "10", "--seed", "3", "--engine", "duckdb")
    assert "10 of 70, drawn by seed 3" in done.stdout


def test_every_order_is_drawn(schedule: Callable[..., Done], tmp_path: Path) -> None:
    done = schedule("FILE", "--every-order", "--level", "serializable", "--svg", str(tmp_path / "map.svg"))
    assert done.returncode == 0 and done.stderr == f"drawn: {tmp_path / 'map.svg'}\n"
    assert "all 70 orders" in (tmp_path / "map.svg").read_text(encoding="utf-8")


def test_without_a_verdict_the_run_is_shown_and_why(schedule: Callable[..., Done]) -> None:
    text = "\n".join(f"T{number}: SELECT {number}" for number in range(1, 9))
    done = schedule("FILE", "--engine", "sqlite", text=text)
    assert done.returncode == 2 and "SELECT 8  → (8)" in done.stdout
    assert "no verdict: 8 committed transactions have more than 5,040 serial orders." in done.stdout
    text = "T1: BEGIN\nT1: SELECT 1\nT1: COMMIT; BEGIN\nT1: COMMIT"
    done = schedule("FILE", "--engine", "sqlite", "--json", text=text)
    (report,) = json.loads(done.stdout)["runs"]
    assert done.returncode == 2 and report["run"]["steps"] and report["verdict"] is report["graph"] is None
    assert "T1.3 (COMMIT; BEGIN) holds parts of two transactions" in report["why"]


def test_a_schedule_is_read_as_windows_saves_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "lost_update.schedule"
    saved.write_bytes(LOST_UPDATE.encode("utf-16"))
    done = called(capsys, "schedule", str(saved), "--engine", "sqlite", "--level", "immediate")
    assert done.returncode == 0 and "waits for T1, the database's write lock" in done.stdout


def test_standard_input_is_read() -> None:
    program = [sys.executable, "-m", "workbook.cli", "schedule", "-", "--engine", "sqlite", "--level", "immediate"]
    done = subprocess.run(program, input=LOST_UPDATE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "waits for T1, the database's write lock" in done.stdout
