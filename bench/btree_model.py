"""Does the cost model tell the truth?  python bench/btree_model.py [--rows N ...] [--json]

Grows real indexes of PostgreSQL row by row over bigint, uuid and text, in ascending and in random order, of 1,000 to
1,000,000 rows, reads their pages, and prints beside each what `workbook.btree.model` predicts: the height and the leaf
pages. Then the other orders (descending, built at once, keys that repeat), the pages that lookups, ranges and inserts
touch, and the write-ahead log: in the profile `counting`, and in `production` after a checkpoint, page images included.

Keys are made by integer arithmetic (SplitMix64), and come the same in every run. One random order differs from the
next by some per cent, as the model's essay says; so a random row is the mean of several orders, and the table shows
the least and the most of them. A row misses when the height of any order is not the one predicted, or the mean is off
by more than 3 % (8 % for random arrival and repeated keys). Exit code 1 when a row misses.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workbook.btree import model, read_index
from workbook.btree.model import Arrival, Prediction
from workbook.engines import Recipe, database, places
from workbook.engines.database import Database

SHARED_ROWS, SHARES, SHARED_ORDERS = 200_000, (4, 3, 2, 1), 3
"""Rows of which so many quarters have keys of their own; and how many random orders of them are tried."""
ROWS = (1_000, 10_000, 100_000, 1_000_000)
ORDERS = {1_000: 20, 10_000: 10, 100_000: 5, 1_000_000: 2}
INSERTS, RANGE_ROWS, RANGES = 1_000, 1_000, 40
DEFAULT_TABLESPACE, ATTEMPTS = 1663, 5
EMPTY = Recipe("no rows, for the cost model", "CREATE TABLE nothing (x int)")
MASK = 2**64 - 1


def mixed(number: int) -> int:
    """SplitMix64: each number of 64 bits becomes another one, without an order that one could see."""
    number = (number + 1) * 0x9E3779B97F4A7C15 & MASK
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & MASK
    return number ^ number >> 31


def of_128_bits(number: int, *, scattered: bool) -> str:
    high = mixed(number) if scattered else number
    return f"{high:016x}{mixed(number + 2**50):016x}"


KEYS: dict[str, Callable[[int, bool], str]] = {
    "bigint": lambda number, scattered: str(mixed(number) - 2**63 if scattered else number),
    "uuid": lambda number, scattered: of_128_bits(number, scattered=scattered),
    "text(32)": lambda number, scattered: of_128_bits(number, scattered=scattered),
}


def arrivals(key: str, arrival: Arrival, rows: Iterable[int], order: int = 0) -> Iterator[str]:
    """The keys of some rows, as text, in an order of arrival; `order` tells random ones apart."""
    for row in rows:
        yield KEYS[key](row + (order << 40), arrival == "random") if arrival != "descending" else KEYS[key](-row, False)


def copied(session: Any, table: str, keys: Iterable[str]) -> int:
    """Insert keys one after the other, as they come; how many."""
    count = 0
    with session.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        for key in keys:
            copy.write(key + "\n")
            count += 1
    return count


def grown(own: Database, key: str, keys: Iterable[str], *, at_once: bool = False, table: str = "t") -> None:
    """A table whose index `<table>_i` has grown with its rows, or was built when they were there."""
    column = 'text COLLATE "C"' if key.startswith("text") else key
    index = f"CREATE INDEX {table}_i ON {table} (k)"
    with own.connect() as session:
        session.execute(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (k {column})")
        if not at_once:
            session.execute(index)
        copied(session, table, keys)
        if at_once:
            session.execute(index)
        session.commit()


@dataclass(frozen=True)
class Line:
    """One line of a table: what was predicted, what was measured, and whether it is near enough."""

    section: str
    name: str
    predicted: float
    measured: float
    limit_percent: float
    height: int = 0
    heights: tuple[int, ...] = ()
    least: float = 0.0
    most: float = 0.0

    @property
    def off_percent(self) -> float:
        return round(100 * (self.predicted / self.measured - 1), 6)

    @property
    def fine(self) -> bool:
        return abs(self.off_percent) <= self.limit_percent and all(each == self.height for each in self.heights)


def of_pages(
    section: str, name: str, limit_percent: float, predicted: Prediction, counts: Sequence[dict[int, int]]
) -> Line:
    """The line of an index: its leaf pages, the mean of several orders, and the height of each."""
    leaves = [count[0] for count in counts]
    heights = tuple(len(count) for count in counts)
    mean = statistics.fmean(leaves)
    return Line(
        section, name, predicted.leaf_pages, mean, limit_percent, predicted.height, heights, min(leaves), max(leaves)
    )


def of_orders(own: Database, key: str, arrival: Arrival, rows: int, orders: int = 0) -> Line:
    """An index over keys that differ: several orders where they are random."""
    counts = []
    for order in range((orders or ORDERS.get(rows, 3)) if arrival == "random" else 1):
        grown(own, key, arrivals(key, arrival, range(rows), order), at_once=arrival == "built")
        counts.append(read_index(own.engine, "t_i").counts)
    limit_percent = 8 if arrival == "random" else 3
    return of_pages("leaf pages", f"{key} {arrival} {rows:,}", limit_percent, model(rows, key, arrival=arrival), counts)


def repeated(arrival: Arrival, rows: int, distinct: int, *, drawn: bool = False, order: int = 0) -> list[int]:
    """Keys that repeat: each of them in as many rows, or as many as luck drew; `order` tells random ones apart."""
    if arrival != "random":
        return [row * distinct // rows for row in range(rows)]
    if drawn:
        return [mixed(row + (order << 40)) % distinct for row in range(rows)]
    return [row % distinct for row in sorted(range(rows), key=lambda row: mixed(row + (order << 40)))]


def of_duplicates(own: Database, arrival: Arrival, rows: int, distinct: int, *, drawn: bool = False) -> Line:
    """An index over bigints that repeat; the mean of a few orders where they are random, and not drawn by luck."""
    counts = []
    for order in range(SHARED_ORDERS if arrival == "random" and not drawn else 1):
        keys = map(str, repeated(arrival, rows, distinct, drawn=drawn, order=order))
        grown(own, "bigint", keys, at_once=arrival == "built")
        counts.append(read_index(own.engine, "t_i").counts)
    predicted = model(rows, arrival=arrival, distinct=distinct, drawn=drawn)
    name = f"bigint {arrival} {rows:,}, {distinct:,} values{', drawn' * drawn}"
    return of_pages("leaf pages", name, 8, predicted, counts)


def of_nulls(own: Database, arrival: Arrival, rows: int) -> Line:
    """An index of which each second key is NULL."""
    keys = [KEYS["bigint"](row, arrival == "random") if row % 2 else "\\N" for row in range(rows)]
    grown(own, "bigint", keys)
    predicted, name = model(rows, arrival=arrival, nulls=rows // 2), f"bigint {arrival} {rows:,}, half NULL"
    return of_pages("leaf pages", name, 8, predicted, [read_index(own.engine, "t_i").counts])


def of_wave(own: Database, rows: int, more: int) -> Line:
    """An index that was built at once, and then got random rows."""
    keys = list(arrivals("bigint", "random", range(rows + more)))
    grown(own, "bigint", keys[:rows], at_once=True)
    with own.connect() as session:
        copied(session, "t", keys[rows:])
        session.commit()
    built = model(rows, arrival="built")
    leaves, counts = built.leaf_pages + built.inserts(more, "random").splits, read_index(own.engine, "t_i").counts
    name = f"bigint built {rows:,}, {more:,} random ones more"
    return Line("leaf pages", name, leaves, counts[0], 8, least=built.leaf_pages)


def of_reading(own: Database, key: str, arrival: Arrival, rows: int) -> Iterator[Line]:
    """Pages of the index that a lookup and ranges read: index-only scans, their page of the visibility map left out."""
    grown(own, key, arrivals(key, arrival, range(rows)))
    own.vacuum()
    predicted = model(rows, key, arrival=arrival)
    with own.connect() as session:
        session.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        keys = [row[0] for row in session.execute("SELECT k FROM t ORDER BY k")]
        for many, pages in ((1, predicted.lookup_pages), (RANGE_ROWS, predicted.range_pages(RANGE_ROWS))):
            starts = range(0, rows - many, (rows - many) // RANGES)
            touched = [scanned(session, keys[start], keys[start + many - 1], many) for start in starts]
            what = f"{key} {arrival} {rows:,}, {many:,} row{'s' * (many > 1)}"
            yield Line("pages a range reads", what, pages, statistics.fmean(touched), 3)


def scanned(session: Any, low: Any, high: Any, rows: int) -> int:
    """Pages of the index that the scan of a range touches, when it is run again; it must find so many rows."""
    sql = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT k FROM t WHERE k BETWEEN %s AND %s"
    touched = []
    for _ in range(2):
        plan = session.execute(sql, (low, high)).fetchone()[0][0]["Plan"]
        if plan["Node Type"] != "Index Only Scan" or plan["Heap Fetches"] or plan["Actual Rows"] != rows:
            raise RuntimeError(f"This is no index-only scan of {rows} rows: {plan}")
        touched.append(int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]) - 1)
    return min(touched)


def of_growing(own: Database, key: str, arrival: Arrival, rows: int) -> Line:
    """The write-ahead log of an index from its first row to its last, without page images."""
    grown(own, key, ())
    written, _ = logged(own, lambda: more(own, arrivals(key, arrival, range(rows))))
    told = model(rows, key, arrival=arrival).grown_wal_bytes / rows
    return Line("WAL bytes a row, growing", f"{key} {arrival} {rows:,}", told, written / rows, 3)


def of_inserts(own: Database, key: str, arrival: Arrival, rows: int) -> Iterator[Line]:
    """Pages that the next thousand inserts touch; and in production, after a checkpoint, images and WAL."""
    later, name = model(rows, key, arrival=arrival).inserts(INSERTS), f"{key} {arrival} {rows:,}"
    limit_percent = 8 if arrival == "random" else 3
    for _ in range(ATTEMPTS):
        grown(own, key, arrivals(key, arrival, range(rows)))
        own.vacuum()
        own.checkpoint()
        before, begun = index_pages(own), last_checkpoint(own)
        written, images = logged(own, lambda: more(own, arrivals(key, arrival, range(rows, rows + INSERTS))))
        if last_checkpoint(own) == begun:
            break
    else:
        raise SystemExit("Another process asks this server for checkpoints; run the bench while it is quiet.")
    if own.profile == "counting":
        yield Line("pages an insert touches", name, later.pages / INSERTS, (index_pages(own) - before) / INSERTS, 3)
        return
    section, told = "production: 1,000 inserts after a checkpoint", later.wal_bytes_after_checkpoint / INSERTS
    yield Line(section, f"{name}: images", later.images, images, limit_percent)
    yield Line(section, f"{name}: bytes each", told, written / INSERTS, limit_percent)


def last_checkpoint(own: Database) -> str:
    """Where the log of the last checkpoint begins."""
    return str(own.cluster.admin("SELECT redo_lsn FROM pg_catalog.pg_control_checkpoint()")[0][0])


def more(own: Database, keys: Iterable[str]) -> None:
    own.measure(lambda connection: copied(connection.connection.driver_connection, "t", keys))


def logged(own: Database, work: Callable[[], None]) -> tuple[int, int]:
    """Bytes of WAL that `work` writes for the index, and page images among them, as pg_waldump reads them. A
    replication slot keeps the log from being recycled meanwhile."""
    admin, slot = own.cluster.admin, f"bench_{os.getpid()}"
    flushed = "SELECT pg_catalog.pg_current_wal_flush_lsn(), pg_catalog.current_setting('data_directory')"
    file = "SELECT pg_catalog.pg_relation_filepath(oid) FROM pg_catalog.pg_class WHERE relname = 't_i'"
    _, of_database, number = admin(file, own.name)[0][0].split("/")
    admin(f"SELECT pg_catalog.pg_create_physical_replication_slot('{slot}', true, true)")
    try:
        begin, data = admin(flushed)[0]
        work()
        end = admin(flushed)[0][0]
        program = str(places.binaries() / places.program_name("pg_waldump"))
        relation = f"{DEFAULT_TABLESPACE}/{of_database}/{number}"
        command = [program, "-p", f"{data}/pg_wal", "-s", begin, "-e", end, "-R", relation]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True)
    finally:
        admin(f"SELECT pg_catalog.pg_drop_replication_slot('{slot}')")
    if done.returncode:
        raise SystemExit(f"The log cannot be read: {done.stderr.strip()}")
    return sum(int(size) for size in re.findall(r"len \(rec/tot\): *\d+/ *(\d+)", done.stdout)), done.stdout.count(
        " FPW"
    )


def index_pages(own: Database) -> int:
    """Pages of indexes that were touched so far."""
    sql = "SELECT coalesce(sum(idx_blks_hit + idx_blks_read), 0) FROM pg_catalog.pg_statio_user_indexes"
    return int(own.cluster.admin(sql, own.name)[0][0])


def measured(sizes: Sequence[int]) -> Iterator[Line]:
    """All lines, as they are measured."""
    usual = min(100_000, max(sizes))
    both: tuple[Arrival, ...] = ("ascending", "random")
    cases = [(key, arrival) for key in KEYS for arrival in both]
    with database(EMPTY) as own:
        for key, arrival in cases:
            for rows in sizes:
                yield of_orders(own, key, arrival, rows)
        yield of_orders(own, "bigint", "descending", usual)
        yield of_orders(own, "bigint", "built", usual)
        for percent in (5, 10, 15, 50):
            yield of_wave(own, usual, usual * percent // 100)
        for order in ("ascending", "random", "built"):
            for distinct in (usual // 2, usual // 20, 20, 1):
                yield of_duplicates(own, order, usual, distinct, drawn=order == "random")
        shared = min(SHARED_ROWS, max(sizes))
        for arrival in both:
            for quarters in SHARES:
                yield of_duplicates(own, arrival, shared, shared * quarters // 4)
        for arrival in both:
            yield of_nulls(own, arrival, usual)
        for work in (of_reading, of_inserts):
            for key, arrival in cases:
                yield from work(own, key, arrival, usual)
        for key, arrival in cases:
            yield of_growing(own, key, arrival, usual)
    with database(EMPTY, profile="production") as own:
        for key, arrival in cases:
            yield from of_inserts(own, key, arrival, usual)


def printed(line: Line) -> str:
    digits = 0 if line.predicted > 100 and float(line.predicted).is_integer() else 1 if line.predicted > 20 else 2
    text = f"  {line.name:42} {line.predicted:10,.{digits}f} {line.measured:10,.{digits}f} {line.off_percent:+6.1f} %"
    if line.heights:
        text += f"  height {line.height}, {'/'.join(str(each) for each in sorted(set(line.heights)))}"
    if len(line.heights) > 1:
        text += f"; {len(line.heights)} orders: {line.least:,.0f} to {line.most:,.0f}"
    return text + ("" if line.fine else f"  MISSED, by more than {line.limit_percent:g} %")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), help="sizes; by default 1,000 to 1,000,000")
    parser.add_argument("--json", action="store_true", help="as data")
    chosen = parser.parse_args()
    lines, section = [], ""
    for line in measured(chosen.rows):
        lines.append(line)
        if chosen.json:
            continue
        if line.section != section:
            section = line.section
            print(f"{section:44} {'predicted':>10} {'measured':>10}")
        print(printed(line), flush=True)
    missed = [line for line in lines if not line.fine]
    if chosen.json:
        print(
            json.dumps({"fine": not missed, "lines": [{**asdict(line), "fine": line.fine} for line in lines]}, indent=1)
        )
    else:
        print(f"{len(lines)} lines, {len(missed)} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
