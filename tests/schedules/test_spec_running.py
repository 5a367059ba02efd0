"""How a `.spec` file runs: as the real isolationtester ran it, on what it prints; what it leaves behind; its command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from workbook.cli import main
from workbook.engines import cluster
from workbook.errors import Unavailable
from workbook.schedules.spec import Spec
from workbook.schedules.spec_run import decoded, run_spec, spec_database
from workbook.schedules.spec_table import aligned

SPECS = Path(__file__).parent / "isolationtester"
ENDS_EARLY = ("killed", "killed_again", "mutual", "setup_fails")
HANGS = "teardown { DROP TABLE t; } session s1 setup { CREATE TABLE t (n int); } step r1 { BEGIN; SELECT FROM t; }"
COPIES = "session s1 setup { CREATE TEMP TABLE t (n int) } step a { COPY t FROM STDIN } step b { }"
KILLED = """
import os, signal, sys, threading
from workbook.engines import clean, cluster
from workbook.schedules.spec import Spec
from workbook.schedules.spec_run import run_spec

home = cluster("production")
looks = home.connect()

def kill():
    while not looks.execute("SELECT 1 FROM pg_catalog.pg_stat_activity WHERE wait_event = 'PgSleep'").fetchone():
        pass
    os.kill(int((home.server / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

def write(piece):
    sys.stdout.write(piece.decode())

threading.Thread(target=kill).start()
print(run_spec(Spec.read("session s1 step a { SELECT pg_sleep(60) } step b { SELECT 1 }"), write))
print("----")
print(run_spec(Spec.read("session s1 step b { }"), write))
clean()
"""


def run(text: str, **options: bool | float | str) -> tuple[str, bool]:
    """What a spec prints, and whether it came to its end."""
    pieces: list[bytes] = []
    ended = run_spec(Spec.read(text), pieces.append, **options)  # type: ignore[arg-type]
    return decoded(b"".join(pieces)), ended


@pytest.fixture(scope="module")
def own() -> Iterator[str]:
    """A database for runs that leave nothing in it."""
    with spec_database() as conninfo:
        yield conninfo


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.spec")), ids=lambda path: path.stem)
def test_it_prints_what_the_real_isolationtester_printed(path: Path, own: str) -> None:
    conninfo = "" if path.stem in ENDS_EARLY else own
    printed, ended = run(decoded(path.read_bytes()), name=path.stem, conninfo=conninfo, step_s_max=1.0)
    assert printed == decoded(path.with_suffix(".out").read_bytes())
    assert ended == (path.stem not in ENDS_EARLY)


def test_a_teardown_that_hangs_is_cancelled() -> None:
    printed, ended = run(HANGS, step_s_max=0.3)
    assert ended and printed.endswith(
        "isolationtester: canceling step teardown after 0 seconds\n"
        "teardown failed: ERROR:  canceling statement due to user request\n"
    )


def test_bytes_that_are_no_utf_8_pass_through(own: str) -> None:
    spec = b"session s1\nstep gr\xfc\xdfe { SELECT 1 AS n -- \xfc\n }\n"
    printed, _ = run(decoded(spec), conninfo=own)
    assert b"step gr\xfc\xdfe: SELECT 1 AS n -- \xfc\n" in printed.encode("utf-8", "surrogateescape")
    assert "ERROR:  invalid byte sequence" in printed


def test_a_copy_from_the_client_ends_the_run(own: str) -> None:
    printed, ended = run(COPIES, conninfo=own)
    assert not ended and printed.endswith("step a: COPY t FROM STDIN\nunexpected result status: PGRES_COPY_IN\n")


def test_a_run_leaves_no_session_no_database_and_no_promise_behind() -> None:
    with spec_database() as conninfo:
        name = psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]
        run(
            "session s1 step p { CREATE TABLE t (); BEGIN; LOCK t; PREPARE TRANSACTION 'left'; BEGIN }",
            conninfo=conninfo,
        )
        home = cluster("production")
        until = time.monotonic() + 10
        while home.admin(f"SELECT 1 FROM pg_stat_activity WHERE datname = '{name}'") and time.monotonic() < until:
            time.sleep(0.01)
        assert not home.admin(f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'")
        assert home.admin(f"SELECT gid FROM pg_prepared_xacts WHERE database = '{name}'") == [("left",)]
    left = "SELECT (SELECT count(*) FROM pg_prepared_xacts WHERE database = '{0}') + (SELECT count(*) FROM pg_database WHERE datname = '{0}') + (SELECT count(*) FROM pg_roles WHERE rolname = '{0}')"
    assert home.admin(left.format(name)) == [(0,)]


def test_a_role_that_a_superusers_spec_leaves_is_dropped() -> None:
    makes = 'session s1 step r { CREATE ROLE "left ""behind"; CREATE TABLE t (); GRANT SELECT ON t TO "left ""behind" }'
    refused, _ = run(makes)
    assert "ERROR:  permission denied to create role" in refused
    for _ in range(2):
        assert "ERROR" not in run(makes, superuser=True)[0]
    assert not cluster("production").admin("SELECT rolname FROM pg_roles WHERE rolname ~ 'behind'")


def test_the_own_role_may_set_deadlock_timeout_and_no_other_such_setting(own: str) -> None:
    sets = "session s1 step a { SET deadlock_timeout = '10ms' } step b { SET track_functions = 'all' }"
    printed, _ = run(sets, conninfo=own)
    assert printed.count("ERROR") == 1 and 'permission denied to set parameter "track_functions"' in printed


def test_a_database_that_is_not_there_is_a_sentence() -> None:
    with spec_database() as conninfo:
        pass
    with pytest.raises(Unavailable, match="A session of the spec cannot connect"):
        run("session s1 step a { }", conninfo=conninfo)


def test_sessions_may_be_many(own: str) -> None:
    text = "".join(f"session s{number} step a{number} {{ SELECT {number} AS n }}\n" for number in range(20))
    printed, ended = run(text + "permutation a0 a19", conninfo=own)
    assert ended and printed.startswith("unused step name: a1\nunused step name: a10\n")
    assert "Parsed test spec with 20 sessions\n\nstarting permutation: a0 a19\n" in printed


def test_a_number_stands_to_the_right_and_bytes_are_counted() -> None:
    assert aligned((), [(), ()]) == b""
    assert aligned((b"n",), []) == b"n\n-\n(0 rows)\n\n"
    assert aligned(("ö".encode(), b"n"), [("ßß".encode(), b"1"), (b"x", b"100")]).decode() == (
        "ö  |  n\n----+---\nßß|  1\nx   |100\n(2 rows)\n\n"
    )


@pytest.mark.slow
def test_a_server_that_is_killed_ends_the_run_and_the_next_one_runs(open_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env=os.environ | {"WORKBOOK_STATE": str(open_folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, _, second = done.stdout.partition("----\n")
    assert "server closed the connection unexpectedly" in first and first.endswith("False\n")
    assert second == "Parsed test spec with 1 sessions\n\nstarting permutation: b\nstep b: \nTrue\n"


def command(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(["schedule", *arguments])
    return left.value.code


def test_the_command_prints_the_same_bytes(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert command(str(SPECS / "names.spec"), "--format", "isolationtester") == 0
    assert capfdbinary.readouterr().out == (SPECS / "names.out").read_bytes()
    assert command(str(SPECS / "setup_fails.spec"), "--format", "isolationtester") == 1
    assert capfdbinary.readouterr().out == (SPECS / "setup_fails.out").read_bytes()


def test_the_command_says_a_mistake_in_a_sentence(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "wrong.spec").write_text("session s1\nstep a { }\npermutation b")
    assert command(str(tmp_path / "wrong.spec")) == 2
    assert "line 3: there is no step b. Next: name one of a." in capfd.readouterr().err
    assert command(str(tmp_path / "missing.spec")) == 2
    assert "missing.spec cannot be read" in capfd.readouterr().err
