"""What ten thousand schedules in a row leave behind, and how long they take: `python bench/many_schedules.py
[NUMBER]`.

    scenarios, and schedules that leave tables and locks or come to no end ── so many times ──▶ counts as before

Counted as superuser before and after: sessions, locks, prepared transactions and open transactions of the database,
relations, types and schemas, and what stands in no schema: large objects, default privileges, publications, settings
of the role. Ends with exit code 1 where one of the counts differs.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from workbook.schedules import Schedule, ScheduleTimeout, Stage
from workbook.schedules.scenarios import SCENARIOS, SETUP

COUNTS = {
    "sessions": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "open transactions": "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND state LIKE 'idle in%'",
    "locks": "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
    "WHERE d.datname = current_database() AND pid <> pg_backend_pid()",
    "prepared": "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()",
    "relations": "SELECT count(*) FROM pg_class",
    "types": "SELECT count(*) FROM pg_type",
    "schemas": "SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'",
    "large objects": "SELECT count(*) FROM pg_largeobject_metadata",
    "default privileges": "SELECT count(*) FROM pg_default_acl",
    "publications": "SELECT count(*) FROM pg_publication",
    "settings": "SELECT count(*) FROM pg_db_role_setting s, LATERAL unnest(s.setconfig) "
    "WHERE s.setrole = (SELECT oid FROM pg_authid WHERE rolname = current_database())",
}
DIRTY = (
    "T1: SELECT pg_advisory_lock(1)\nT2: CREATE TEMP TABLE mine (n int)",
    "T1: CREATE TABLE more (n int)\nT2: CREATE SCHEMA extra CREATE TABLE t (n int)",
    "T1: BEGIN\nT1: UPDATE test SET value = 0\nT1: PREPARE TRANSACTION 'stays'",
    "T1: BEGIN\nT1: LOCK TABLE test\nT2: SELECT 1 FROM test",
    "T1: SELECT lo_create(4711)",
    "T1: ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC\nT2: CREATE PUBLICATION everything FOR TABLE test",
    "T1: ALTER ROLE CURRENT_USER PASSWORD 'x'\nT1: ALTER USER CURRENT_USER SET enable_seqscan = off",
)
EVERY = 25
"""One schedule in so many is one that leaves something behind, or comes to no end."""


def counts(stage: Stage) -> dict[str, int]:
    """What stands on the server."""
    database = stage.seats.database  # type: ignore[attr-defined]
    with database.cluster.connect(database.name) as connection:
        connection.execute("SET search_path = pg_catalog")
        return {name: connection.execute(sql).fetchone()[0] for name, sql in COUNTS.items()}


def main() -> int:
    """Run so many schedules; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", type=int, nargs="?", default=10_000, help="of schedules; 10,000 by default")
    number = parser.parse_args().number
    plain = [one.schedule for one in SCENARIOS.values()]
    dirty = [Schedule("", SETUP, Schedule.read(steps).steps) for steps in DIRTY]
    last = Schedule("", SETUP, Schedule.read("T1: SELECT 1\nT2: SELECT 1\nT3: SELECT 1").steps)
    with Stage("postgresql") as stage:
        stage.run(last)
        before, begun, wedged = counts(stage), time.perf_counter(), 0
        for at in range(number):
            with contextlib.suppress(ScheduleTimeout):
                wedged += 1
                stage.run(dirty[at // EVERY % len(dirty)] if at % EVERY == 0 else plain[at % len(plain)])
                wedged -= 1
        took_s = time.perf_counter() - begun
        stage.run(last)
        after = counts(stage)
    print(f"{number:,} schedules in {took_s:.1f} s, {number / took_s:,.0f} a second; {wedged} of them came to no end")
    for name in before:
        print(f"  {name:20} {before[name]:6,} before {after[name]:6,} after")
    return int(before != after)


if __name__ == "__main__":
    sys.exit(main())
