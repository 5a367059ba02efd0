"""The teaching tree beside the real one: the same rows in the same order give the same pages, byte for byte of what is
counted, and the same pages touched."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.btree.rules import bound
from workbook.btree import Tree, read_index
from workbook.btree.checking import faults
from workbook.btree.page import NULL, Page, Snapshot
from workbook.engines import Recipe, database
from workbook.engines.database import Database

EMPTY = Recipe("no rows, for trees", "CREATE TABLE nothing (x int)")
ROWS = 15_000


def digest(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def shuffled(rows: int) -> list[int]:
    numbers = list(range(rows))
    random.Random(1).shuffle(numbers)
    return numbers


def drawn(number: int, below: int) -> int:
    return random.Random(number).randrange(below)


WIDE = ["".join(digest(13 * number + part) for part in range(13)) for number in range(4000)]
UNEVEN = [digest(number)[: 4 + number % 29] + str(number) for number in range(ROWS)]
KEYS: dict[str, tuple[str, list[Any]]] = {
    "ascending": ("bigint", list(range(ROWS))),
    "descending": ("bigint", list(range(ROWS, 0, -1))),
    "random": ("bigint", shuffled(ROWS)),
    "random UUIDs": ("uuid", [UUID(digest(number)) for number in range(ROWS)]),
    "text of one length": ("text", [digest(number) for number in range(ROWS // 2)]),
    "duplicates": ("bigint", [drawn(number, 2000) for number in range(ROWS)]),
    "one value": ("bigint", [7] * ROWS),
    "three values": ("bigint", [drawn(number, 3) for number in range(ROWS)]),
    "one value, then others down to it": ("bigint", [0] * 1000 + list(range(9000, 0, -1))),
    "NULLs": ("bigint", [None if number % 3 else number for number in range(ROWS)]),
    "groups that grow": ("bigint, bigint", [(number % 100, number) for number in range(ROWS)]),
    "duplicates of two columns": (
        "bigint, bigint",
        [(drawn(number, 100), drawn(-number, 30)) for number in range(ROWS)],
    ),
    "order lines": ("bigint, bigint", [(drawn(number // 7, 10**6), number % 7) for number in range(ROWS)]),
    "text and number": ("text, bigint", [(digest(number % 300)[:10], number) for number in range(ROWS // 2)]),
    "bytes": ("bytea", [bytes.fromhex(digest(number))[:5] for number in range(ROWS)]),
    "wide text": ("text", WIDE),
    "wide text in order": ("text", sorted(WIDE)),
}


@pytest.fixture(scope="module")
def own() -> Iterator[Database]:
    with database(EMPTY) as made:
        yield made


def filled(own: Database, types: str, keys: list[Any], *, index_first: bool, options: str = "") -> None:
    """A table t with these keys in this order, and an index i on it that grew with the rows or was built afterwards."""
    columns = [f"k{place} {kind.strip()}" for place, kind in enumerate(types.split(","))]
    columns = [f'{column} COLLATE "C"' if column.endswith("text") else column for column in columns]
    names = ", ".join(column.split()[0] for column in columns)
    index = f"CREATE INDEX i ON t ({names}) {options}"
    with own.connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t ({', '.join(columns)})")
        if index_first:
            connection.execute(index)
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            for key in keys:
                copy.write_row(key if isinstance(key, tuple) else (key,))
        if not index_first:
            connection.execute(index)
        connection.commit()


def plain(key: Any) -> tuple[Any, ...]:
    """A key by columns; both readers may keep a UUID or bytes in their own way."""
    columns = key if isinstance(key, tuple) else (key,)
    return tuple("NULL" if part is None or part is NULL else str(part) for part in columns)


def on(page: Page) -> dict[str, Any]:
    """What has to be the same of two pages; rows by their number, since the real ones are heap addresses."""
    return {
        "level": page.level,
        "links": (page.left, page.right),
        "free": page.free,
        "high key": None if page.high_key is None else (plain(page.high_key), page.high_tie is None),
        "entries": [
            (plain(entry.key), entry.bytes, entry.child, len(entry.pointers), entry.tie is None)
            for entry in page.entries
        ],
    }


def assert_same(real: Snapshot, ours: Snapshot) -> None:
    assert (ours.counts, ours.root, ours.height) == (real.counts, real.root, real.height)
    assert ours.rows == real.rows and ours.density == pytest.approx(real.density)
    for number, page in real.pages.items():
        assert page.state == "live" and on(ours.pages[number]) == on(page)


@pytest.mark.parametrize("case", KEYS)
def test_an_index_that_grows_row_by_row_has_the_same_pages(own: Database, case: str) -> None:
    types, keys = KEYS[case]
    filled(own, types, keys, index_first=True)
    tree = Tree()
    for key in keys:
        tree.insert(key)
    assert_same(read_index(own.engine, "i"), tree.snapshot())


@pytest.mark.parametrize("case", KEYS)
def test_an_index_that_is_built_at_once_has_the_same_pages(own: Database, case: str) -> None:
    types, keys = KEYS[case]
    filled(own, types, keys, index_first=False)
    tree = Tree.load((key, row) for row, key in enumerate(keys))
    assert_same(read_index(own.engine, "i"), tree.snapshot())
    assert faults(tree.snapshot()) == []


@pytest.mark.parametrize("case", ["duplicates", "one value", "three values", "NULLs", "duplicates of two columns"])
def test_without_posting_lists_too_the_pages_are_the_same(own: Database, case: str) -> None:
    types, keys = KEYS[case]
    filled(own, types, keys, index_first=True, options="WITH (deduplicate_items = off)")
    tree = Tree(duplicates="plain")
    for key in keys:
        tree.insert(key)
    assert_same(read_index(own.engine, "i"), tree.snapshot())


@pytest.mark.parametrize("factor", [50, 70, 100])
def test_a_fill_factor_gives_the_same_pages(own: Database, factor: int) -> None:
    types, keys = KEYS["ascending"]
    for index_first in (True, False):
        filled(own, types, keys, index_first=index_first, options=f"WITH (fillfactor = {factor})")
        grown, built = Tree(fill_factor=factor), Tree.load(zip(keys, keys, strict=True), fill_factor=factor)
        for key in keys if index_first else []:
            grown.insert(key)
        assert_same(read_index(own.engine, "i"), (grown if index_first else built).snapshot())


@pytest.mark.parametrize("keys", [UNEVEN, sorted(UNEVEN)], ids=["scattered", "in order"])
def test_with_entries_of_uneven_size_two_cuts_may_be_equally_good(own: Database, keys: list[str]) -> None:
    filled(own, "text", keys, index_first=True)
    tree = Tree()
    for key in keys:
        tree.insert(key)
    real, ours = read_index(own.engine, "i"), tree.snapshot()
    assert ours.height == real.height
    assert ours.counts[0] == pytest.approx(real.counts[0], rel=0.01)


def test_a_bigint_key_over_two_hundred_thousand_rows_has_547_leaves(own: Database) -> None:
    filled(own, "bigint", list(range(200_000)), index_first=True)
    tree = Tree()
    for key in range(200_000):
        tree.insert(key)
    assert own.relation_bytes("i") == 8192 * (1 + len(tree.snapshot().pages))
    assert tree.snapshot().counts == {2: 1, 1: 2, 0: 547}
    assert tree.snapshot().density == pytest.approx(0.899, abs=0.001)


@pytest.mark.parametrize(("what", "gone"), [("a range", range(4_000, 11_000)), ("nine rows of ten", None)])
def test_delete_and_vacuum_take_the_same_pages_out(own: Database, what: str, gone: range | None) -> None:
    keys = list(range(ROWS))
    dead = [key for key in keys if (key in gone if gone else key % 10)]
    filled(own, "bigint", keys, index_first=True)
    with own.connect() as connection:
        connection.execute("DELETE FROM t WHERE k0 = ANY(%s)", (dead,))
        connection.commit()
    own.vacuum()
    tree = Tree()
    for key in keys:
        tree.insert(key)
    for key in dead:
        tree.delete(key)
    real, ours = read_index(own.engine, "i"), tree.snapshot()
    assert [on(page) for page in ours.leaves()] == [on(page) for page in real.leaves()]
    out_of_use = {page.number for page in ours.pages.values() if page.state == "free"}
    assert out_of_use == {page.number for page in real.pages.values() if page.state != "live"}
    assert bool(out_of_use) == (what == "a range")


@pytest.mark.parametrize(("duplicates", "off"), [("posting", ""), ("plain", "WITH (deduplicate_items = off)")])
def test_rows_that_take_freed_places_of_the_table_go_into_the_middle_of_their_key(
    own: Database, duplicates: Any, off: str
) -> None:
    def addresses(connection: Any, first: int) -> list[tuple[int, int]]:
        """Key and address of each row from an id on; the address as one number that sorts alike."""
        sql = "SELECT k0, (ctid::text::point)[0]::int * 1000 + (ctid::text::point)[1]::int FROM t WHERE id >= %s ORDER BY id"
        return list(connection.execute(sql, (first,)).fetchall())

    tree = Tree(duplicates=duplicates)
    with own.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (k0 bigint, id bigint)")
        connection.execute(f"CREATE INDEX i ON t (k0) {off}")
        connection.execute(
            "INSERT INTO t SELECT CASE WHEN g % 2 = 0 THEN 7 ELSE 100 + g END, g FROM generate_series(1, 8000) g"
        )
        connection.commit()
        before = addresses(connection, 0)
    for key, row in before:
        tree.insert(key, row)
    with own.connect() as connection:
        connection.execute("DELETE FROM t WHERE k0 > 7")
        connection.commit()
    own.vacuum()
    for key, row in before:
        if key > 7:
            tree.delete(key, row)
    tree.vacuum()
    with own.connect() as connection:
        connection.execute("INSERT INTO t SELECT 7, g FROM generate_series(8001, 11000) g")
        connection.commit()
        new = addresses(connection, 8001)
    assert {row for _, row in new} & {row for key, row in before if key > 7}
    for key, row in new:
        tree.insert(key, row)
    real, ours = read_index(own.engine, "i"), tree.snapshot()
    same = ("free", "high key", "entries")  # PostgreSQL uses a freed page again only after the next VACUUM
    assert [[on(page)[part] for part in same] for page in ours.leaves()] == [
        [on(page)[part] for part in same] for page in real.leaves()
    ]
    assert ours.rows == real.rows == 7000


def test_a_range_touches_the_same_pages(own: Database) -> None:
    keys = [3 * number for number in shuffled(ROWS)] + [50] * 900
    filled(own, "bigint", keys, index_first=True)
    own.vacuum()
    tree = Tree()
    for key in keys:
        tree.insert(key)
    ranges = [(50, 50), (41_117, 41_117), (7_603, 10_603), (0, 30_000), (44_000, 44_900), (44_997, 99_999)]
    with own.connect() as connection:
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        for low, high in ranges:
            for order in ("ASC", "DESC"):
                sql = f"SELECT k0 FROM t WHERE k0 BETWEEN {low} AND {high} ORDER BY k0 {order}"
                connection.execute(sql)
                row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}").fetchone()
                assert row is not None
                plan = row[0][0]["Plan"]
                assert plan["Node Type"] == "Index Only Scan" and plan["Heap Fetches"] == 0
                before = tree.counters
                found = sum(1 for _ in tree.scan(low, high, reverse=order == "DESC"))
                touched = (tree.counters - before).pages
                assert found == plan["Actual Rows"]
                visibility_map = bool(found)
                assert touched + visibility_map == plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def test_the_faults_of_a_real_index_are_none(own: Database) -> None:
    filled(own, "bigint, bigint", KEYS["duplicates of two columns"][1], index_first=True)
    assert faults(read_index(own.engine, "i")) == []


def test_separators_lie_between_the_pages_that_they_separate(own: Database) -> None:
    filled(own, "bigint", KEYS["duplicates"][1], index_first=True)
    real = read_index(own.engine, "i")
    for left in real.leaves()[:-1]:
        assert left.right is not None
        last = bound(left.entries[-1].key, None)
        assert last <= bound(left.high_key, None) <= bound(real.pages[left.right].entries[0].key, None)
