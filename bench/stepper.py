"""How long somebody waits for a picture of a tree: a step of the stepper, and an index of a million rows.

    python bench/stepper.py [--rows N]

Steps through two hundred keys in a teaching tree, frame by frame as a notebook draws them; then makes a table of a million rows
in a real PostgreSQL, opens the stepper on its index (reading the pages that it draws), and goes through that search; last it
reads the whole index and draws it. It prints one line for each figure, and beside the times what makes them repeat: pages and
bytes of SVG. It exits with 1 when a limit is passed: 100 ms for the slowest step, 2 s for the picture of the index.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from workbook.btree import read_index, stepper
from workbook.btree.stepper import Stepper
from workbook.engines import Recipe, database

STEP_S_MAX, INDEX_S_MAX = 0.1, 2.0
SQL = "CREATE TABLE rows AS SELECT i AS id FROM generate_series(1, {rows}) i; CREATE INDEX by_id ON rows (id);"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    made = work()
    return time.perf_counter() - begun, made


def steps_of(made: Stepper, rounds: int = 3) -> list[float]:
    """Seconds for each step, from a click to the SVG in the widget: the least of some rounds, in which every frame is made anew."""
    assert made.widget is not None
    found = []
    for _ in range(rounds):
        made.rewind()
        found.append([timed(partial(made.player.show, number))[0] for number in range(1, len(made.player))])
    return [min(step) for step in zip(*found, strict=True)]


def line(name: str, seconds: list[float], limit_s: float, what: str) -> bool:
    worst, middle = max(seconds), statistics.median(seconds)
    figures = f"{1000 * middle:9.1f} ms" + (f"   slowest {1000 * worst:7.1f} ms" if len(seconds) > 1 else " " * 21)
    print(f"{name:44}{figures}   (limit {1000 * limit_s:,.0f} ms)   {what}")
    return worst > limit_s


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the real table")
    rows = parser.parse_args().rows
    late = []
    seconds, made = timed(lambda: stepper(keys=200, pool_pages=8))
    what = f"{len(made.player):,} steps, {len(made.snapshot.pages)} pages, made in {1000 * seconds:.0f} ms"
    late.append(line("a step in the teaching tree", steps_of(made), STEP_S_MAX, what))
    with database(Recipe(f"{rows} rows", SQL.format(rows=rows))) as shelf:
        seconds, made = timed(lambda: stepper(shelf.engine, "by_id", find=rows * 2 // 3))
        drawn, bundle = timed(made._repr_mimebundle_)
        svg = f"{len(bundle['image/svg+xml']):,} bytes of SVG, {len(made.snapshot.pages)} pages read"
        late.append(line(f"the path in an index of {rows:,} rows", [seconds + drawn], INDEX_S_MAX, svg))
        late.append(line("a step in it", steps_of(made), STEP_S_MAX, f"{len(made.player)} steps"))
        seconds, whole = timed(lambda: read_index(shelf.engine, "by_id"))
        drawn, bundle = timed(whole._repr_mimebundle_)
        svg = (
            f"{len(bundle['image/svg+xml']):,} bytes of SVG, {len(whole.pages):,} pages, read whole in {seconds:.2f} s"
        )
        late.append(line("the picture of all of it", [drawn], INDEX_S_MAX, svg))
        late.append(line("a step in it", steps_of(stepper(whole, find=rows // 3)), STEP_S_MAX, "read whole"))
    return int(any(late))


if __name__ == "__main__":
    raise SystemExit(main())
