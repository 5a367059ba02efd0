"""What a check waits for before it begins: a new cluster, a database made row by row, a clone of it.

    python bench/fixtures.py [--orders N ...] [--clones N]

Begins with a folder of its own, so with no cluster and no template. For each size of the shop it makes the template once and
clones it again and again, and prints the seconds of both and how many clones one loading is worth: ratios of one run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES, CLONES = (5_000, 50_000, 300_000), 20


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """How long it took, and what it gave."""
    begun = time.perf_counter()
    given = work()
    return time.perf_counter() - begun, given


def one_size(orders: int, clones: int) -> None:
    """Make the shop of this size, then clone it; print a line."""
    from workbook.engines import database, shop

    first_s, made = seconds(lambda: database(shop(orders=orders)))
    size_mb = int(made.cluster.admin(f"SELECT pg_catalog.pg_database_size('{made.name}')")[0][0]) / 1e6
    made.drop()
    taken = []
    for _ in range(clones):
        clone_s, clone = seconds(lambda: database(shop(orders=orders)))
        clone.drop()
        taken.append(clone_s)
    median_s = statistics.median(taken)
    print(
        f"{orders:>10,} {size_mb:>10,.0f} {first_s:>12.2f} {median_s:>12.3f} {max(taken):>12.3f} {first_s / median_s:>10.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, nargs="+", default=list(SIZES), help="sizes of the shop")
    parser.add_argument("--clones", type=int, default=CLONES, help="clones of each")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workbook-bench-") as folder:
        Path(folder).chmod(0o755)  # the server's user must be able to enter it
        os.environ["WORKBOOK_STATE"] = folder
        from workbook import engines

        try:
            start_s, _ = seconds(engines.cluster)
            print(f"a new cluster, made and started: {start_s:.2f} s")
            print(f"{'orders':>10} {'MB':>10} {'made, s':>12} {'cloned, s':>12} {'at worst':>12} {'ratio':>10}")
            for orders in given.orders:
                one_size(orders, given.clones)
        finally:
            engines.clean()


if __name__ == "__main__":
    main()
