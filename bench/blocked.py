"""How soon a blocked step is reported: `python bench/blocked.py [STEPS]`.

    T1 holds a row ── T2 asks for it ──▶ sent ........ seen to wait on the server, with holder and row
                                          └── this span ──┘

For each engine that makes sessions wait: the median, the 99th percentile and the longest of so many waits. The goal is
5 ms at the median.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable
from contextlib import closing

from workbook.schedules import Schedule, Stage
from workbook.schedules.engine import Wait
from workbook.schedules.mariadb_server import installed

TEXT = """
setup:
    CREATE TABLE test (id int PRIMARY KEY, value int);
    INSERT INTO test VALUES (1, 10), (2, 20);
T1: BEGIN
T1: UPDATE test SET value = 11 WHERE id = 1
T2: UPDATE test SET value = 12 WHERE id = 1
T1: COMMIT
"""


def spans_ms(engine: str, steps: int) -> list[float]:
    """From sending the step that waits to knowing for whom, in milliseconds."""
    schedule, spans = Schedule.read(TEXT), []
    with closing(Stage(engine)) as stage:
        seats, sent = stage.seats, {}
        send, waiting = seats.send, seats.waiting

        def timed_send(session: str, sql: str) -> None:
            sent[session] = time.perf_counter()
            send(session, sql)

        def timed_waiting(sessions: Iterable[str]) -> dict[str, Wait]:
            found = waiting(sessions)
            for name in found:
                if name in sent:
                    spans.append((time.perf_counter() - sent.pop(name)) * 1e3)
            return found

        seats.send, seats.waiting = timed_send, timed_waiting  # type: ignore[method-assign]
        for _ in range(steps):
            run = stage.run(schedule)
            assert [event.waits_for for event in run.waits] == [("T1",)]
    return spans


def main() -> None:
    """Measure each engine and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", type=int, nargs="?", default=2_000, help="waits on each engine; 2,000 by default")
    steps = parser.parse_args().steps
    print("a blocked step is reported after (ms)     median     p99     worst    waits")
    for engine in ("postgresql", "sqlite", "sqlite-rollback", *(["mariadb"] if installed() else [])):
        spans = sorted(spans_ms(engine, steps))
        p99 = spans[min(len(spans) - 1, int(len(spans) * 0.99))]
        print(f"  {engine:36} {statistics.median(spans):9.2f} {p99:7.2f} {spans[-1]:9.2f} {len(spans):8,}")


if __name__ == "__main__":
    main()
