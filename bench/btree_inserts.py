"""How fast is the teaching tree?  python bench/btree_inserts.py [--rows N] [--json]

Inserts 100,000 whole numbers into a tree of 8 kB pages, in ascending and in random order, without and with a buffer
pool of 64 pages, and builds the same tree at once; then looks up each key once. Side by side with the same keys put
into a sorted list by bisection, which is what a tree without pages would be. Prints the median of three runs in
seconds of this process, the ratio of random to ascending order, and what the two orders leave behind. Exit code 1
when 100,000 inserts took 2 s or more. Begins with what else the machine was busy with: on two cores, a load of more
than 0.5 spoils it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from bisect import insort
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workbook.btree import Tree

LIMIT_S, RUNS, POOL_PAGES = 2.0, 3, 64


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """The median of three runs, and what the last one gave."""
    taken, given = [], None
    for _ in range(RUNS):
        begun = time.process_time()
        given = work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken), given


def inserted(keys: list[int], **options: Any) -> Tree:
    tree = Tree(**options)
    for key in keys:
        tree.insert(key)
    return tree


def sorted_list(keys: list[int]) -> list[tuple[int, int]]:
    held: list[tuple[int, int]] = []
    for row, key in enumerate(keys):
        insort(held, (key, row))
    return held


def found(tree: Tree, keys: list[int]) -> None:
    for key in keys:
        tree.find(key)


def measured(rows: int) -> dict[str, dict[str, Any]]:
    """By order of arrival: seconds of each way, and the tree that is left."""
    ascending = list(range(rows))
    scattered = random.Random(1).sample(ascending, rows)
    figures: dict[str, dict[str, Any]] = {}
    for order, keys in (("ascending", ascending), ("random", scattered)):
        insert_s, tree = seconds(lambda keys=keys: inserted(keys))
        snapshot = tree.snapshot()
        figures[order] = {
            "insert_s": insert_s,
            "insert_pool_s": seconds(lambda keys=keys: inserted(keys, pool_pages=POOL_PAGES))[0],
            "load_s": seconds(lambda keys=keys: Tree.load((key, key) for key in keys))[0],
            "find_s": seconds(lambda tree=tree, keys=keys: found(tree, keys))[0],
            "sorted_list_s": seconds(lambda keys=keys: sorted_list(keys))[0],
            "leaves": snapshot.counts[0],
            "density": snapshot.density,
            "splits": tree.counters.splits,
        }
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="100,000 by default; the limit is per 100,000")
    parser.add_argument("--json", action="store_true", help="as data")
    chosen = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    figures = measured(chosen.rows)
    up, scattered = figures["ascending"], figures["random"]
    ratio, more = scattered["insert_s"] / up["insert_s"], scattered["leaves"] / up["leaves"]
    worst = max(up["insert_s"], scattered["insert_s"]) * 100_000 / chosen.rows
    fine = worst < LIMIT_S
    if chosen.json:
        data = {"rows": chosen.rows, "load": load, "ratio": ratio, "fine": fine, "orders": figures}
        print(json.dumps(data, indent=1))
        return 0 if fine else 1
    machine = f"{os.cpu_count()} cores, load before {load:.1f}, Python {platform.python_version()}"
    print(f"{machine}; {chosen.rows:,} rows, seconds")
    print("  order        insert  with pool  at once     find  sorted list   leaves  full  splits")
    for order, one in figures.items():
        taken = f"{one['insert_s']:8.2f} {one['insert_pool_s']:10.2f} {one['load_s']:8.2f} {one['find_s']:8.2f}"
        left = f"{one['leaves']:8,}  {one['density']:4.0%} {one['splits']:7,}"
        print(f"  {order:10} {taken} {one['sorted_list_s']:12.2f} {left}")
    print(f"  random to ascending: {ratio:.2f} times the time, {more:.2f} times the leaves")
    print(f"  100,000 inserts: {worst:.2f} s at worst (limit {LIMIT_S:g} s)")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
