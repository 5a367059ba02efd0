"""A search told step by step finds what the engines find, on the pages that they read: in the teaching tree, in PostgreSQL's
indexes, in SQLite's tables and indexes."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbook.btree.page import Event, Snapshot
from workbook.btree.postgres import read_index
from workbook.btree.search import search
from workbook.btree.sqlite import read_sqlite
from workbook.btree.tree import Tree
from workbook.engines import Database, Recipe, database
from workbook.errors import Misuse, Unsuitable

RECIPE = Recipe(
    "searches",
    """
    CREATE TYPE mood AS ENUM ('sour', 'calm', 'glad');
    CREATE TABLE things AS SELECT i * 3 AS i, md5(i::text) COLLATE "C" AS name, CASE WHEN i % 20 > 0 THEN i % 20 END AS few,
        (ARRAY['sour', 'calm', 'glad'])[i % 3 + 1]::mood AS mood FROM generate_series(1, 30000) i;
    CREATE INDEX by_i ON things (i); CREATE INDEX by_name ON things (name); CREATE INDEX by_few ON things (few);
    CREATE INDEX by_two ON things (few, i); CREATE INDEX downwards ON things (i DESC); CREATE INDEX by_mood ON things (mood, i);
    CREATE TABLE nothing (i int PRIMARY KEY);
    """,
)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Database]:
    with database(RECIPE) as made:
        yield made


def pages(events: list[Event]) -> list[int]:
    return [event.page for event in events if event.kind == "read"]


def found(snapshot: Snapshot, events: list[Event]) -> tuple[tuple[int, int], ...]:
    """The pointers of the entry that a search ends at; none where it found nothing."""
    last = events[-1]
    assert last.kind == "found"
    return () if last.slot is None else snapshot.pages[last.page].entries[last.slot].pointers


@given(
    keys=st.lists(st.integers(0, 40), max_size=120), asked=st.integers(-2, 42), duplicates=st.sampled_from(["posting", "plain"])
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_a_search_in_the_teaching_tree_finds_what_the_tree_finds(keys: list[int], asked: int, duplicates: str) -> None:
    tree = Tree(page_bytes=160, duplicates=duplicates)  # type: ignore[arg-type]
    for key in keys:
        tree.insert(key)
    snapshot = tree.snapshot()
    events = search(snapshot, asked)
    rows = tree.find(asked)
    assert found(snapshot, events)[:1] == tuple((row, 0) for row in rows[:1])
    with tree.trace() as trace:
        tree.find(asked)
    read = pages(trace.events)
    assert pages(events) == read[: len(pages(events))]


@pytest.mark.parametrize("index", ["by_i", "by_name", "by_few", "by_two", "downwards"])
def test_a_search_in_an_index_of_postgresql_leads_to_the_row(shelf: Database, index: str) -> None:
    columns = {"by_i": "i", "by_name": "name", "by_few": "few", "by_two": "few, i", "downwards": "i"}[index]
    order = "i DESC" if index == "downwards" else columns
    rows = shelf.run(f"SELECT {columns} FROM things WHERE i % 1999 = 0 OR i IN (3, 90000) ORDER BY {order}").rows
    whole = read_index(shelf.engine, index)
    for row in rows:
        key = tuple(row) if len(row) > 1 else row[0]
        path = read_index(shelf.engine, index, key=tuple(row))
        events = search(whole, key)
        assert set(pages(events)) <= set(path.pages) and search(path, key) == events
        same = " AND ".join(
            f"{name} IS NOT DISTINCT FROM {'NULL' if value is None else repr(value)}"
            for name, value in zip(columns.split(", "), row, strict=True)
        )
        first = shelf.run(f"SELECT ctid::text AS place FROM things WHERE {same} ORDER BY ctid LIMIT 1").rows[0][0]
        assert f"({found(whole, events)[0][0]},{found(whole, events)[0][1]})" == first


def test_a_search_stays_within_the_comparisons_of_a_binary_search(shelf: Database) -> None:
    whole = read_index(shelf.engine, "by_i")
    for key in random.Random(3).sample(range(90_000), 40):
        events = search(whole, key)
        for number in pages(events):
            entries = len(whole.pages[number].entries)
            compared = sum(1 for event in events if event.kind == "compare" and event.page == number)
            assert compared <= entries.bit_length()


def test_what_is_not_there_says_between_what_it_would_stand(shelf: Database) -> None:
    whole = read_index(shelf.engine, "by_i")
    assert str(search(whole, 7)[-1]) == "7 is not there: it would stand before 9."
    assert str(search(whole, 10**7)[-1]) == "10000000 is not there: it would stand last."
    empty = read_index(shelf.engine, "nothing_pkey")
    assert [str(event) for event in search(empty, 7)] == ["nothing_pkey is empty: it has no root yet."]


def test_a_prefix_of_the_columns_is_found_at_its_first_entry(shelf: Database) -> None:
    whole = read_index(shelf.engine, "by_two")
    event = search(whole, (7,))[-1]
    assert event.slot is not None and whole.pages[event.page].entries[event.slot].key == (7, 21)


def test_an_order_that_is_not_known_is_refused(shelf: Database) -> None:
    with pytest.raises(Unsuitable, match="an order that is not known"):
        search(read_index(shelf.engine, "by_mood"), ("glad", 6))


def test_a_page_that_was_not_read_is_named(shelf: Database) -> None:
    path = read_index(shelf.engine, "by_i", key=3)
    with pytest.raises(Unsuitable, match=r"goes to page \d+ of by_i, which was not read"):
        search(path, 60_000)


def test_a_key_of_another_kind_is_refused(shelf: Database) -> None:
    with pytest.raises(Misuse, match="ann is no key of by_i, whose keys are like"):
        search(read_index(shelf.engine, "by_i"), "ann")


def test_links_that_run_in_a_circle_come_to_an_end() -> None:
    tree = Tree(page_bytes=128)
    for key in range(12):
        tree.insert(key)
    snapshot = tree.snapshot()
    leaf = snapshot.leaves()[1]
    broken = {**snapshot.pages, leaf.number: replace(leaf, right=leaf.number, high_key=0)}
    with pytest.raises(Misuse, match="does not end"):
        search(replace(snapshot, pages=broken), leaf.entries[0].key)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("search") / "things.sqlite"
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.executescript(
            """PRAGMA page_size = 1024; CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, few INT);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
            INSERT INTO things SELECT i * 2, 'name ' || (i * 7919 % 6007), CASE WHEN i % 9 THEN i % 9 END FROM n;
            CREATE INDEX by_name ON things (name); CREATE INDEX by_few ON things (few, id);"""
        )
    connection.close()
    return path


def test_a_search_in_sqlite_finds_rows_in_tables_and_indexes_on_inner_pages_too(file: Path) -> None:
    levels = set()
    with sqlite3.connect(file) as connection:
        rows = connection.execute("SELECT id, name, few FROM things WHERE id % 14 = 0").fetchall()
    connection.close()
    for name, key_of in (("things", 0), ("by_name", 1), ("by_few", None)):
        whole = read_sqlite(file, name)
        for row in rows:
            key = (row[2], row[0]) if key_of is None else row[key_of]
            events = search(whole, key)
            assert found(whole, events) == ((row[0], 0),), (name, key)
            levels.add((name, whole.pages[events[-1].page].level))
    assert levels >= {("things", 0), ("by_name", 0), ("by_name", 1), ("by_few", 1)}
    assert ("things", 1) not in levels
