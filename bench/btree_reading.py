"""How fast are real trees read?  python bench/btree_reading.py [--rows N] [--json]

Makes a table of a million rows in PostgreSQL and in SQLite, with indexes over bigint, twenty values, uuid and text, and
reads each index from its bytes: whole, and along one key. Prints the median of three runs in seconds of this process
(what the server does for it, a CHECKPOINT and the reading of the file, runs beside it and is in the column of the
clock), the pages and the rows, and the ratio to reading nothing but the keys by SQL over the same connection. Exit code
1 when the whole bigint index of a million rows took 2 s or more. Begins with what else the machine was busy with: on
two cores, a load of more than 0.5 spoils it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workbook.btree import read_index, read_sqlite
from workbook.engines import Database, Recipe, database

LIMIT_S, RUNS = 2.0, 3
COLUMNS = {"bigint": "n", "twenty": "few", "uuid": "u", "text": "t"}
TABLE = """CREATE TABLE large (n bigint, few int, u uuid, t text);
INSERT INTO large SELECT i, i % 20, md5(i::text)::uuid, 'user' || md5(i::text) FROM generate_series(1, {rows}) i;
"""


def seconds(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """The medians of three runs, in seconds of this process and of the clock, and what the last one gave."""
    process, clock, given = [], [], None
    for _ in range(RUNS):
        given = None  # the values of the run before go first
        begun, before = time.perf_counter(), time.process_time()
        given = work()
        process.append(time.process_time() - before)
        clock.append(time.perf_counter() - begun)
    return statistics.median(process), statistics.median(clock), given


def by_sql(made: Database, column: str) -> int:
    with made.connect() as session:
        return len(session.execute(f"SELECT {column} FROM large ORDER BY {column}").fetchall())


def measured(rows: int) -> dict[str, dict[str, Any]]:
    indexes = "".join(f"CREATE INDEX by_{name} ON large ({column});" for name, column in COLUMNS.items())
    found: dict[str, dict[str, Any]] = {}
    with database(Recipe(f"{rows} rows to be read", TABLE.format(rows=rows) + indexes)) as made:
        for name, column in COLUMNS.items():
            key = made.run(f"SELECT {column} FROM large WHERE n = {rows // 2}").rows[0][0]
            sql = seconds(lambda column=column: by_sql(made, column))[0]
            found[f"PostgreSQL {name}"] = figures(
                lambda name=name, **how: read_index(made.engine, f"by_{name}", **how), key, sql
            )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.sqlite"
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE large (n INTEGER PRIMARY KEY, few INT, t TEXT)")
        numbers = f"WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {rows})"
        connection.execute(f"{numbers} INSERT INTO large SELECT i, i % 20, 'user' || hex(i * 7919) FROM s")
        for name in ("few", "t"):
            connection.execute(f"CREATE INDEX by_{name} ON large ({name})")
        connection.commit()
        for name, column, key in (("large", "n", rows // 2), ("by_few", "few", 7), ("by_t", "t", "user7")):
            sql = seconds(
                lambda column=column: connection.execute(f"SELECT {column} FROM large ORDER BY {column}").fetchall()
            )[0]
            found[f"SQLite {name}"] = figures(lambda name=name, **how: read_sqlite(path, name, **how), key, sql)
        connection.close()
    return found


def figures(read: Callable[..., Any], key: Any, sql_s: float) -> dict[str, Any]:
    path, path_clock, along = seconds(lambda: read(key=key))
    process, clock, snapshot = seconds(read)
    return {
        "rows": snapshot.rows,
        "pages": len(snapshot.pages),
        "whole_s": process,
        "whole_clock_s": clock,
        "to_sql": process / sql_s,
        "path_s": path,
        "path_clock_s": path_clock,
        "path_pages": len(along.pages),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    found = measured(asked.rows)
    slow = asked.rows == 1_000_000 and found["PostgreSQL bigint"]["whole_s"] >= LIMIT_S
    if asked.json:
        print(json.dumps({"load": load, "python": platform.python_version(), "trees": found}, indent=2))
        return int(slow)
    print(f"load before: {load:.2f}; Python {platform.python_version()}; {asked.rows:,} rows")
    print(f"{'':<36}{'whole':>20}{'× SQL':>9}{'along a key':>24}")
    print(f"{'tree':<20}{'rows':>10}{'pages':>8}{'s':>9}{'clock, s':>9}{'':9}{'ms':>8}{'clock, ms':>10}{'pages':>7}")
    for name, row in found.items():
        whole = f"{row['whole_s']:>9.2f}{row['whole_clock_s']:>9.2f}{row['to_sql']:>9.1f}"
        path = f"{1000 * row['path_s']:>8.1f}{1000 * row['path_clock_s']:>10.1f}{row['path_pages']:>7}"
        print(f"{name:<20}{row['rows']:>10,}{row['pages']:>8,}{whole}{path}")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
