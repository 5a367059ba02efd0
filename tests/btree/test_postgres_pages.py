"""PostgreSQL's pages, read from bytes: every pointer leads to the row whose key stands beside it, in the index's order,
and every byte of a page is accounted for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from tests.btree.images import image, place, pointers
from workbook.btree.checking import faults
from workbook.btree.page import MINUS_INFINITY, NULL, Page, Snapshot
from workbook.btree.postgres import read_index
from workbook.btree.postgres_pages import Layout
from workbook.btree.postgres_tree import along, whole
from workbook.engines import Database, Recipe, database

ROWS = 4_000
KINDS_TABLE = f"""
CREATE TYPE mood AS ENUM ('sour', 'glad', 'mad');
ALTER TYPE mood ADD VALUE 'calm' BEFORE 'glad';
CREATE DOMAIN cents AS numeric CHECK (value IS NULL OR value < 1e60);
CREATE DOMAIN price AS cents;
CREATE TABLE kinds (
    i2 int2, i4 int4, i8 int8, t text, v varchar(40), c char(12), u uuid, b bool, d date, ts timestamp, tz timestamptz,
    tm time, n numeric, p price, by bytea, f4 float4, f8 float8, m mood, nm name, few int, o oid, arr int[]
);
INSERT INTO kinds SELECT
    i % 30000 - 15000,
    (i::bigint * 48271 % 2147483647 - 1000000000)::int,
    i::bigint * 4611686018427 - 9000000000000000,
    CASE WHEN i % 11 <> 0 THEN md5(i::text) || 'ä€' END,
    left(md5(i::text), i % 33),
    'c' || i % 500,
    CASE WHEN i % 13 <> 0 THEN md5(i::text)::uuid END,
    CASE i % 3 WHEN 0 THEN NULL ELSE i % 2 = 0 END,
    CASE i % 400 WHEN 7 THEN 'infinity' WHEN 8 THEN '-infinity' WHEN 9 THEN '4713-01-01 BC'
        ELSE date '1969-01-01' + i END,
    CASE i % 401 WHEN 7 THEN 'infinity' ELSE timestamp '1999-12-31 23:00' + i * interval '17 min 3.000007 s' END,
    CASE i % 401 WHEN 8 THEN '-infinity' WHEN 9 THEN '200000-01-01'
        ELSE timestamptz '1962-01-01 00:00+02' + i * interval '7 days 0.000001 s' END,
    CASE i % 402 WHEN 1 THEN '24:00' ELSE time '00:00' + i * interval '13.000001 s' END,
    CASE i % 403 WHEN 1 THEN 'NaN' WHEN 2 THEN 'Infinity' WHEN 3 THEN '-Infinity' WHEN 4 THEN 0 WHEN 5 THEN 1e300
        WHEN 6 THEN -1e-200 ELSE (i - 2000)::numeric * 12345.678901 / (1 + i % 7) END,
    round((i - 2000) * 0.37, i % 4),
    decode(md5(i::text), 'hex'),
    CASE i % 404 WHEN 1 THEN 'NaN' ELSE i * 0.1 END,
    CASE i % 404 WHEN 2 THEN 'NaN' WHEN 3 THEN '-Infinity' ELSE (i - 2000) / 7.0 END,
    (ARRAY['sour', 'calm', 'glad', 'mad'])[i % 4 + 1]::mood,
    'n' || i % 50,
    CASE WHEN i % 21 <> 20 THEN i % 21 END,
    i::oid,
    ARRAY[i % 5, i]
FROM generate_series(1, {ROWS}) i;
CREATE INDEX partial ON kinds (i4) WHERE few < 5;
CREATE UNIQUE INDEX uniq ON kinds (i8) INCLUDE (t, few);
CREATE INDEX wide ON kinds (few DESC NULLS LAST, t, i8 DESC) INCLUDE (u);
CREATE INDEX tight ON kinds (few, b NULLS FIRST, i2) WITH (fillfactor = 55);
CREATE INDEX expr ON kinds (lower(v), (i4 % 100));
CREATE INDEX pattern ON kinds (t text_pattern_ops);
CREATE TABLE long (k text, b bytea);
INSERT INTO long SELECT
    CASE i % 4
        WHEN 0 THEN repeat(md5(i::text), 60)
        WHEN 1 THEN repeat(chr(97 + i % 26), 2000 + i)
        WHEN 2 THEN left(repeat(md5(i::text) || md5((i * 7)::text), 9), 400 + i % 200)
        ELSE i::text END,
    decode(left(repeat(md5(i::text), 30), 4 * (i % 200)), 'hex')
FROM generate_series(1, 800) i;
CREATE INDEX long_k ON long (k); CREATE INDEX long_b ON long (b);
CREATE TABLE nothing (i int PRIMARY KEY);
CREATE TABLE one (i int PRIMARY KEY); INSERT INTO one VALUES (42);
"""
COLUMNS = ["i2", "i4", "i8", "t", "v", "c", "u", "b", "d", "ts", "tz"]
COLUMNS += ["tm", "n", "p", "by", "f4", "f8", "m", "nm", "few", "o", "arr"]
INDEXES = {f"by_{name}": (name, f"{name}, ctid", "true") for name in COLUMNS} | {
    "partial": ("i4", "i4, ctid", "few < 5"),
    "uniq": ("i8", "i8, ctid", "true"),
    "wide": ("few, t, i8", "few DESC NULLS LAST, t, i8 DESC, ctid", "true"),
    "tight": ("few, b, i2", "few, b NULLS FIRST, i2, ctid", "true"),
    "expr": ("lower(v), i4 % 100", "lower(v), i4 % 100, ctid", "true"),
    "pattern": ("t", "t, ctid", "true"),
}
RECIPE = Recipe(
    "every kind of key", KINDS_TABLE + "".join(f"CREATE INDEX by_{name} ON kinds ({name});" for name in COLUMNS)
)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Database]:
    with database(RECIPE) as made:
        yield made


def plain(value: Any) -> Any:
    """What psycopg gives, as the reader gives it."""
    if type(value).__name__ == "UUID":
        return str(value)
    return value.rstrip(" ") if isinstance(value, str) else value


SAID = {"tz", "d", "ts", "arr", "tm", "by", "f4"}
"""Columns of which psycopg cannot read some values, or reads them otherwise: they have tests of their own."""


@pytest.mark.parametrize("index", INDEXES)
def test_every_pointer_leads_to_its_row_in_the_order_of_the_index(shelf: Database, index: str) -> None:
    columns, order, where = INDEXES[index]
    snapshot = read_index(shelf.engine, index)
    found = pointers(snapshot)
    several = "," in columns
    asked = "i4" if columns in SAID else columns
    rows = shelf.run(f"SELECT ctid::text AS place, {asked} FROM kinds WHERE {where} ORDER BY {order}").rows
    assert [pointer for _, pointer in found] == [place(row[0]) for row in rows]
    assert snapshot.rows == len(rows) and snapshot.complete and snapshot.dead_rows == 0
    if columns not in SAID:
        wanted = [tuple(plain(value) for value in row[1:]) for row in rows]
        same(found, wanted if several else [row[0] for row in wanted])


def same(found: list[tuple[Any, Any]], wanted: list[Any]) -> None:
    for (key, pointer), value in zip(found, wanted, strict=True):
        both_nan = key != key and value != value
        assert (key == value and type(key) is type(value)) or both_nan, (key, value, pointer)


@pytest.mark.parametrize(
    ("column", "as_text"),
    [
        ("d", lambda value: value.isoformat()),
        ("ts", lambda value: str(value)),
        ("tz", lambda value: str(value)),
        ("tm", lambda value: str(value)),
        ("by", lambda value: "\\x" + value.hex()),
        ("f4", lambda value: value),
    ],
)
def test_values_as_postgres_prints_them(shelf: Database, column: str, as_text: Any) -> None:
    snapshot = read_index(shelf.engine, f"by_{column}")
    shown = f"{column}::float8" if column == "f4" else f"{column}::text"
    printed = dict(shelf.run(f"SET timezone = 'UTC'; SELECT ctid::text AS place, {shown} FROM kinds").rows)
    odd = 0
    for key, (block, offset) in pointers(snapshot):
        text = printed[f"({block},{offset})"]
        if isinstance(key, str):  # infinity, and what Python's dates do not reach
            assert key == text or key.startswith("2000-01-01 ")
            odd += 1
        elif isinstance(text, str):
            assert unpadded(as_text(key)) == unpadded(text)
        else:
            assert key == text or (key != key and text != text)
    assert odd == {"d": 30, "ts": 10, "tz": 20, "tm": 10}.get(column, 0)


def unpadded(text: str) -> str:
    """A moment without what one of the two prints and the other does not."""
    whole, point, fraction = text.removesuffix("+00:00").removesuffix("+00").partition(".")
    return (whole + point + fraction.rstrip("0")).rstrip(".")


def test_dates_beyond_pythons_count_from_2000(shelf: Database) -> None:
    keys = [key for key, _ in pointers(read_index(shelf.engine, "by_d"))]
    assert keys[0] == "-infinity" and keys[-1] == "infinity"
    days = shelf.run("SELECT date '4713-01-01 BC' - date '2000-01-01'").rows[0][0]
    assert keys[10] == f"2000-01-01 {days} days"
    assert isinstance(keys[40], dt.date)


def test_unknown_types_are_bytes(shelf: Database) -> None:
    keys = [key for key, _ in pointers(read_index(shelf.engine, "by_arr"))]
    assert all(isinstance(key, bytes) for key in keys) and len(set(keys)) == ROWS


def test_long_and_compressed_values(shelf: Database) -> None:
    for column in ("k", "b"):
        snapshot = read_index(shelf.engine, f"long_{column}")
        rows = shelf.run(f"SELECT ctid::text AS place, {column} FROM long ORDER BY {column}, ctid").rows
        assert [(key, pointer) for key, pointer in pointers(snapshot)] == [(value, place(ctid)) for ctid, value in rows]
        assert snapshot.height >= 2
    longest = max(len(key) for key, _ in pointers(read_index(shelf.engine, "long_k")))
    assert longest > 2_700, "no value was compressed: an entry has at most 2,704 bytes"


@pytest.mark.parametrize("index", [*INDEXES, "long_k", "long_b", "one_pkey"])
def test_every_byte_of_a_page_is_accounted_for(shelf: Database, index: str) -> None:
    snapshot = read_index(shelf.engine, index)
    for page in snapshot.pages.values():
        left = page.bytes - 40 - page.free - sum(entry.bytes for entry in page.entries)
        if page.right is None:
            assert left == 0 and page.high_key is None
        else:
            assert left >= 12 and left % 4 == 0, "what is left is the high key"
            assert page.high_key is not None
    assert shelf.relation_bytes(index) == (len(snapshot.pages) + 1) * snapshot.page_bytes


@pytest.mark.parametrize(
    "index", ["by_i2", "by_i4", "by_t", "by_c", "by_u", "by_b", "by_few", "by_p", "uniq", "tight", "expr"]
)
def test_no_rule_of_the_structure_is_broken(shelf: Database, index: str) -> None:
    """The teaching tree's own check, on a real index whose keys compare in Python as they do there."""
    assert faults(read_index(shelf.engine, index)) == []


@pytest.mark.parametrize("index", ["by_i4", "by_t", "by_few", "wide", "tight", "by_u", "long_k"])
def test_levels_and_bounds_fit_together(shelf: Database, index: str) -> None:
    snapshot = read_index(shelf.engine, index)
    for number in range(1, snapshot.height):
        below = {page.number: page for page in snapshot.level(number - 1)}
        inner = snapshot.level(number)
        assert [child for page in inner for child in page.children] == list(below)
        for page in inner:
            assert page.entries[0].key is MINUS_INFINITY and all(entry.child for entry in page.entries)
            for entry, following in zip(page.entries, page.entries[1:], strict=False):
                bound = NULL if following.key is None else following.key
                assert (below[entry.child].high_key, below[entry.child].high_tie) == (bound, following.tie)
    assert len(snapshot.level(snapshot.height - 1)) == 1


def test_the_columns_of_an_index_have_names(shelf: Database) -> None:
    assert read_index(shelf.engine, "wide").key_columns == ("few DESC", "t", "i8 DESC")
    assert read_index(shelf.engine, "uniq").key_columns == ("i8",)
    assert read_index(shelf.engine, "expr").key_columns == ("lower(v::text)", "(i4 % 100)")


def test_equal_keys_share_an_entry_and_truncated_ones_are_shorter(shelf: Database) -> None:
    few = read_index(shelf.engine, "by_few")
    assert len({entry.key for page in few.leaves() for entry in page.entries}) == 21
    assert any(len(entry.pointers) > 100 for page in few.leaves() for entry in page.entries)
    wide = read_index(shelf.engine, "wide")
    lengths = {len(page.high_key) for page in wide.leaves() if page.high_key is not None}
    assert lengths <= {1, 2, 3} and min(lengths) < 3


def test_an_index_without_rows_has_no_page_yet(shelf: Database) -> None:
    empty = read_index(shelf.engine, "nothing_pkey")
    assert (empty.root, empty.height, dict(empty.pages), empty.rows) == (0, 0, {}, 0)
    assert str(empty)
    one = read_index(shelf.engine, "one_pkey")
    assert one.height == 1 and pointers(one) == [(42, (0, 1))]


def test_the_known_sizes_of_two_hundred_thousand_rows() -> None:
    tables = """CREATE TABLE t (a bigint, d int, e int);
        INSERT INTO t SELECT i, ('x' || left(md5(i::text), 7))::bit(28)::int % 20000, i % 20
            FROM generate_series(1, 200000) i;
        CREATE INDEX a ON t (a); CREATE INDEX d ON t (d); CREATE INDEX e ON t (e)"""
    with database(Recipe("200,000 rows", tables)) as made:
        ascending = read_index(made.engine, "a")
        assert ascending.counts == {2: 1, 1: 2, 0: 547} and ascending.height == 3
        assert round(100 * ascending.density, 1) == 89.9 and ascending.rows == 200_000
        repeated = read_index(made.engine, "d")
        assert repeated.counts == {1: 1, 0: 226} and repeated.rows == 200_000
        twenty = read_index(made.engine, "e")
        assert twenty.rows == 200_000 and len({pointer for _, pointer in pointers(twenty)}) == 200_000
        assert {key for key, _ in pointers(twenty)} == set(range(20))
        assert max(len(entry.pointers) for page in twenty.leaves() for entry in page.entries) > 100
        ties = [page for page in twenty.leaves() if page.high_tie]
        assert ties, "no page ends within equal keys"
        for page in ties:
            assert page.right and page.high_tie and page.high_key == page.entries[-1].key
            assert page.entries[-1].pointers[-1] <= page.high_tie < twenty.pages[page.right].entries[0].pointers[0]
        for key in (0, 7, 19):
            first = next(page for page in twenty.leaves() if any(entry.key == key for entry in page.entries))
            assert last_leaf(read_index(made.engine, "e", key=key)).number in (first.number, first.left)


@pytest.fixture(scope="module")
def grown() -> Iterator[Database]:
    tables = "CREATE TABLE g (i int PRIMARY KEY, r int, t text); CREATE INDEX g_r ON g (r); CREATE INDEX g_t ON g (t)"
    with database(Recipe("a table that grows", tables)) as made:
        made.run(
            "INSERT INTO g SELECT i, i * 7919 % 100003, repeat(md5(i::text), 3) FROM generate_series(1, 30000) i",
            deadline_s=60,
        )
        yield made


def test_after_deletes_and_vacuum_the_rest_is_there_and_pages_are_out_of_use(grown: Database) -> None:
    before = {name: read_index(grown.engine, name) for name in ("g_pkey", "g_r", "g_t")}
    with grown.fresh() as made:
        made.run(
            "INSERT INTO g SELECT i, i * 7919 % 100003, repeat(md5(i::text), 3) FROM generate_series(1, 30000) i",
            deadline_s=60,
        )
        made.run("DELETE FROM g WHERE i BETWEEN 5000 AND 26000")
        made.vacuum()
        for name, column in (("g_pkey", "i"), ("g_r", "r"), ("g_t", "t")):
            after = read_index(made.engine, name)
            rows = made.run(f"SELECT ctid::text AS place, {column} FROM g ORDER BY {column}, ctid").rows
            assert pointers(after) == [(value, place(ctid)) for ctid, value in rows] and not faults(after)
            assert len(after.pages) == len(before[name].pages) and made.relation_bytes(name) == 8192 * (
                len(after.pages) + 1
            )
        keys = read_index(made.engine, "g_pkey")
        gone = [page for page in keys.pages.values() if page.state == "deleted"]
        assert len(gone) > 50 and all(not page.entries for page in gone)
        assert f"out of use: {len(gone)} pages" in str(keys)
        scattered = read_index(made.engine, "g_r")
        assert not [page for page in scattered.pages.values() if page.state == "deleted"] and scattered.density < 0.5
        made.vacuum()  # a page that one VACUUM takes out of the tree is handed out after the next
        made.run("INSERT INTO g SELECT i, i, 'x' FROM generate_series(100000, 110000) i")
        refilled = read_index(made.engine, "g_pkey")
        assert len(refilled.pages) == len(keys.pages), "freed pages are used again"
        assert refilled.rows == made.run("SELECT count(*) FROM g").rows[0][0]


def test_what_a_scan_found_dead_is_marked(grown: Database) -> None:
    with grown.fresh() as made:
        made.run("INSERT INTO g SELECT i, i, 'x' FROM generate_series(1, 3000) i")
        made.run("DELETE FROM g WHERE i <= 1000")
        made.run(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM g WHERE i BETWEEN 1 AND 1200"
        )
        found = read_index(made.engine, "g_pkey")
        assert found.rows == 3000 and found.dead_rows == 1000
        assert {entry.key for page in found.leaves() for entry in page.entries if entry.dead} == set(range(1, 1001))


PATHS = {
    "by_i8": [-9000000000000000, 0, 4611686018427 - 9000000000000000, 10**18],
    "by_few": [0, 7, 19, (None,), -1, 99],
    "by_t": ["", "7", "zzz", (None,)],
    "by_u": ["00000000-0000-0000-0000-000000000000", "80000000-0000-0000-0000-000000000000"],
    "wide": [(10,), (10, "5"), (10, None), (10, "5", 3), (None, "7"), 0, 20, (10, "5", None)],
    "tight": [(5,), (5, None), (5, True), (5, False, -14000), (None, None, 0)],
    "by_n": [0, "12.5", -(10**9), "NaN", "Infinity"],
    "by_d": ["2000-01-01", dt.date(1975, 5, 5), "infinity", "-infinity"],
    "by_tz": [dt.datetime(1980, 1, 1, tzinfo=dt.UTC), "1980-01-01 00:00", "infinity"],
    "by_m": ["sour", "calm", "glad", "mad"],
    "by_f8": [0, 1.5, float("nan"), float("-inf")],
    "by_b": [True, False, (None,)],
    "by_by": [b"", b"\x80"],
    "long_k": ["a", "m" * 2000, "7"],
}  # fmt: skip


@pytest.mark.parametrize("index", PATHS)
def test_the_path_of_a_key_ends_where_the_key_begins(shelf: Database, index: str) -> None:
    source, layout = image(shelf, index)
    full = whole(source, layout)
    flat = [(page, entry.key) for page in full.leaves() for entry in page.entries]
    for key in PATHS[index]:
        path = read_index(shelf.engine, index, key=key)
        assert not path.complete and path.height == full.height and len(path.pages) <= full.height + 2
        assert all(repr(full.pages[number]) == repr(page) for number, page in path.pages.items())  # a NaN is not itself
        begins(flat, full, last_leaf(path), key, layout)


def begins(flat: list[tuple[Page, Any]], full: Snapshot, last: Page, key: Any, layout: Layout) -> None:
    """See that a key's first entry stands on this leaf, or that it is the first of the next one."""
    first = next((page for page, found in flat if not below(found, key, layout)), full.leaves()[-1])
    if first.number != last.number:
        assert first.number == last.right and all(below(entry.key, key, layout) for entry in last.entries)


def last_leaf(path: Snapshot) -> Page:
    leaves = [page for page in path.pages.values() if page.level == 0]
    rights = {page.right for page in leaves}
    return next(page for page in reversed(leaves) if page.number in rights or len(leaves) == 1)


def below(found: Any, key: Any, layout: Layout) -> bool:
    """Whether an entry stands before the first one of a key: written anew, with Python's own order of tuples."""
    wanted, values = key if isinstance(key, tuple) else (key,), found if isinstance(found, tuple) else (found,)
    for column, mine, other in zip(layout.columns, wanted, values, strict=False):
        mine = mine if mine is None else column.kind.take(mine)
        if mine is None and other is None:
            continue
        if mine is None or other is None:
            return (other is None) == column.nulls_first
        left, right = column.kind.rank(other), column.kind.rank(mine)
        if left != right:
            return bool(left > right if column.descending else left < right)
    return False


def test_a_search_reads_what_postgres_reads(grown: Database) -> None:
    """One row by a unique index: the pages of the path, and one page of the table."""
    grown.vacuum()
    with grown.engine.connect() as connection:
        for key in (1, 4711, 12_345, 30_000):
            connection.exec_driver_sql(f"SELECT t FROM g WHERE i = {key}").fetchall()
            plan = connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT t FROM g WHERE i = {key}"
            ).scalar()
            assert plan[0]["Plan"]["Node Type"] == "Index Scan"
            touched = plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
            assert touched == len(read_index(grown.engine, "g_pkey", key=key).pages) + 1


def test_some_pages_by_number(shelf: Database) -> None:
    full = read_index(shelf.engine, "by_i4", pages="all")
    some = read_index(shelf.engine, "by_i4", pages=[3, 1, 3])
    assert dict(some.pages) == {1: full.pages[1], 3: full.pages[3]} and not some.complete
    assert some.root == full.root and some.height == full.height


def test_paths_of_hundreds_of_keys_in_one_image(shelf: Database) -> None:
    for index in ("by_i4", "by_few", "wide", "tight"):
        source, layout = image(shelf, index)
        full = whole(source, layout)
        flat = [(page, entry.key) for page in full.leaves() for entry in page.entries]
        for _, found in flat[:: len(flat) // 100 + 1]:
            key = (None,) if found is None else found
            begins(flat, full, last_leaf(along(source, layout, key)), key, layout)


@pytest.mark.slow
def test_under_production_settings() -> None:
    """Where pages have checksums, and a CHECKPOINT makes the next change of each write its image."""
    with database(Recipe("a few rows", "CREATE TABLE t (a int PRIMARY KEY)"), profile="production") as made:
        made.run("INSERT INTO t SELECT generate_series(1, 5000)")
        assert read_index(made.engine, "t_pkey").rows == 5000
        assert made.measure("INSERT INTO t VALUES (9001)").wal_bytes > 4000
        assert made.measure("INSERT INTO t VALUES (9002)").wal_bytes < 1000
        read_index(made.engine, "t_pkey", key=1)
        assert made.measure("INSERT INTO t VALUES (9003)").wal_bytes > 4000


@pytest.mark.slow
def test_a_million_rows_have_a_million_pointers() -> None:
    tables = """CREATE TABLE m (a bigint, r int, t text);
        INSERT INTO m SELECT i, i::bigint * 7919 % 1000003, 'k' || md5((i % 300000)::text)
            FROM generate_series(1, 1000000) i;
        CREATE INDEX m_a ON m (a); CREATE INDEX m_r ON m (r); CREATE INDEX m_t ON m (t);
        CREATE INDEX m_both ON m (t, a)"""
    with database(Recipe("a million rows", tables)) as made:
        for name, height in (("m_a", 3), ("m_r", 3), ("m_t", 4), ("m_both", 4)):
            found = read_index(made.engine, name)
            assert found.rows == 1_000_000
            assert len({pointer for _, pointer in pointers(found)}) == 1_000_000
            assert found.height in (height - 1, height)
            assert len(read_index(made.engine, name, key=found.leaves()[1].entries[0].key).pages) <= height + 1
