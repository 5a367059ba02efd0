"""How long every order of two transactions takes: `python bench/interleavings.py [REPEATS]`.

    T1: BEGIN r w COMMIT     70 orders ── run ── compared with T1 then T2, and with T2 then T1 ──▶ seconds
    T2: BEGIN r w COMMIT

A lost update on each engine and level: the median and the best of so many repeats, the orders a second, and the seconds
with the anomalies named as well. On PostgreSQL also write skew, where nobody waits, for beside it stands the
isolationtester that PostgreSQL's packages bring, where one is found, on the same server. It runs the orders and judges
none, and it cannot run those in which a step that waits is followed by one of its own session: it waits there until its
time is over. Exit code 1 where the best repeat of a level of PostgreSQL is above the limit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from workbook.schedules import Program, Stage, explore
from workbook.schedules.interleavings import levels_of
from workbook.schedules.mariadb_server import installed

LIMIT_S = 0.5
SETUP = "CREATE TABLE test (id int PRIMARY KEY, value int);\nINSERT INTO test VALUES (1, 10), (2, 20);"
READ, BOTH = "SELECT id, value FROM test WHERE id = 1", "SELECT id, value FROM test"
LOST = Program(
    "lost update",
    SETUP,
    {
        "T1": [READ, "UPDATE test SET value = 11 WHERE id = 1"],
        "T2": [READ, "UPDATE test SET value = 12 WHERE id = 1"],
    },
)
SKEW = Program(
    "write skew",
    SETUP,
    {
        "T1": [BOTH, "UPDATE test SET value = 11 WHERE id = 1"],
        "T2": [BOTH, "UPDATE test SET value = 21 WHERE id = 2"],
    },
)
PLACES = (
    "/usr/lib/postgresql/*/lib/pgxs/src/test/isolation/isolationtester",
    "/usr/pgsql-*/lib/pgxs/src/test/isolation/isolationtester",
)


def spec() -> str:
    """Write skew for isolationtester: no permutation listed means all."""
    sessions = [
        "\n".join([f"session {name}", *(f"step {step.name.replace('.', '_')} {{ {step.sql}; }}" for step in steps)])
        for name, steps in SKEW.sessions.items()
    ]
    return "\n".join([f"setup {{ {SETUP} }} teardown {{ DROP TABLE test; }}", *sessions])


def tester() -> Path | None:
    """The newest isolationtester of the system."""
    found = [path for place in PLACES for path in Path("/").glob(place[1:])]
    return max(found, default=None)


def beside(program: Path, repeats: int) -> list[float]:
    """isolationtester's seconds for all orders, the start of the program among them."""
    from psycopg.conninfo import conninfo_to_dict

    from workbook.schedules.spec_run import spec_database

    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "options": "PGOPTIONS"}
    with spec_database(superuser=False) as conninfo:
        parts = conninfo_to_dict(conninfo)
        environment = os.environ | {names[key]: str(value) for key, value in parts.items() if key in names}
        taken = []
        for _ in range(repeats):
            begun = time.perf_counter()
            command = [str(program), f"dbname={parts['dbname']}"]
            done = subprocess.run(
                command, input=spec(), capture_output=True, text=True, env=environment | {"PGAPPNAME": "isolation/all"}
            )
            taken.append(time.perf_counter() - begun)
            assert done.stdout.count("starting permutation") == SKEW.count(), done.stdout + done.stderr
        return taken


def line(name: str, taken: list[float], named: float | None = None) -> None:
    orders = LOST.count()
    rate = f"{orders / statistics.median(taken):10,.0f} {orders / min(taken):8,.0f}"
    more = "" if named is None else f"{named:12.2f}"
    print(f"{name:48}{statistics.median(taken):9.2f}{min(taken):8.2f}{rate}{more}", flush=True)


def measured(program: Program, stage: Stage, level: str, repeats: int) -> float:
    """Print a line for a program at a level; the best of the repeats, in seconds."""
    taken = []
    explore(program, levels=level, stage=stage, limit=5)  # connections are made
    for _ in range(repeats):
        begun = time.perf_counter()
        explore(program, levels=level, stage=stage, names=False)
        taken.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    explore(program, levels=level, stage=stage)
    name = f"{program.title}, {stage.engine} {stage.seats.version}, {level}"
    line(name, taken, time.perf_counter() - begun)
    return min(taken)


def main() -> int:
    """Measure every engine, and print a line a level; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repeats", type=int, nargs="?", default=7, help="of all orders, at each level; 7 by default")
    repeats = parser.parse_args().repeats
    print(f"{LOST.count()} orders, {repeats} repeats, load {' '.join(f'{one:.1f}' for one in os.getloadavg())}\n")
    print(f"{'':48}{'median s':>9}{'best s':>8}{'orders/s':>10}{'at best':>9}{'s, named':>12}")
    best = []
    for engine in ("postgresql", "sqlite", "sqlite-rollback", "duckdb", *(["mariadb"] if installed() else [])):
        with closing(Stage(engine)) as stage:
            for level in levels_of(LOST, stage):
                best_s = measured(LOST, stage, level, 1 if engine == "mariadb" else repeats)
                best += [best_s] if engine == "postgresql" else []
            if engine == "postgresql":
                best.append(measured(SKEW, stage, "read committed", repeats))
    if (program := tester()) is not None:
        version = subprocess.run([program, "-V"], capture_output=True, text=True).stdout.split()[2].rstrip(")")
        line(f"{SKEW.title}, isolationtester {version}, no verdicts", beside(program, repeats))
    print(f"\nPostgreSQL: {max(best):.2f} s at best (limit {LIMIT_S} s)")
    return int(max(best) > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
