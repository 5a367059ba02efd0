"""The cost model beside what it predicts: the teaching tree, page for page, and real indexes of PostgreSQL 18.

What is measured is what `bench/btree_model.py` measures, on smaller tables."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench import btree_model as bench
from workbook.btree import Tree, model
from workbook.btree.model import Arrival
from workbook.engines import database
from workbook.engines.database import Database
from workbook.errors import Misuse

KEYS: dict[str, Any] = {"bigint": int, "uuid": lambda number: UUID(int=number), "text(32)": "{:032d}".format}
PAGES: list[tuple[str, int, int]] = [
    (key, page_bytes, fill_factor)
    for key in KEYS
    for page_bytes, fill_factor in ((512, 90), (1024, 70), (1024, 100), (8192, 90))
]


@pytest.fixture(scope="module")
def own() -> Iterator[Database]:
    with database(bench.EMPTY) as made:
        yield made


@pytest.fixture(scope="module")
def production() -> Iterator[Database]:
    with database(bench.EMPTY, profile="production") as made:
        yield made


def shuffled(rows: int, seed: int) -> list[int]:
    numbers = list(range(rows))
    random.Random(seed).shuffle(numbers)
    return numbers


def grown(keys: list[Any], **options: Any) -> dict[int, int]:
    """Pages by level of a teaching tree after these keys."""
    tree = Tree(**options)
    for key in keys:
        tree.insert(key)
    return tree.snapshot().counts


# beside the teaching tree


@pytest.mark.parametrize(("key", "page_bytes", "fill_factor"), PAGES)
@pytest.mark.parametrize("arrival", ["ascending", "descending", "built"])
def test_in_order_and_built_at_once_each_level_has_the_predicted_pages(
    key: str, page_bytes: int, fill_factor: int, arrival: Arrival
) -> None:
    for rows in (1, 19, 400, 2_500):
        keys = [KEYS[key](number) for number in range(rows)]
        options: dict[str, Any] = {"page_bytes": page_bytes, "fill_factor": fill_factor}
        if arrival == "built":
            counts = Tree.load([(each, None) for each in keys], **options).snapshot().counts
        else:
            counts = grown(keys if arrival == "ascending" else keys[::-1], **options)
        assert model(rows, key, arrival=arrival, **options).pages_by_level == counts


@pytest.mark.parametrize("page_bytes", [512, 1024])
@pytest.mark.parametrize("key", KEYS)
def test_at_random_the_mean_of_a_few_orders_is_near_the_expected_pages(key: str, page_bytes: int) -> None:
    for rows in (500, 1_500, 2_400):
        counts = [
            grown([KEYS[key](number) for number in shuffled(rows, seed)], page_bytes=page_bytes) for seed in range(6)
        ]
        predicted = model(rows, key, arrival="random", page_bytes=page_bytes)
        assert statistics.mode(len(count) for count in counts) == predicted.height
        assert predicted.leaf_pages == pytest.approx(statistics.fmean(count[0] for count in counts), rel=0.06)


@pytest.mark.parametrize("page_bytes", [128, 144, 160, 200, 256, 512, 1024, 4096, 8192])
def test_from_three_entries_a_page_to_four_hundred_the_leaves_of_random_keys_are_as_predicted(page_bytes: int) -> None:
    marks = (1_000, 2_000, 5_000, 10_000, 20_000)
    counts: dict[int, list[dict[int, int]]] = {rows: [] for rows in marks}
    for seed in range(3):
        tree = Tree(page_bytes=page_bytes)
        for number, key in enumerate(shuffled(marks[-1], seed), 1):
            tree.insert(key)
            if number in counts:
                counts[number].append(tree.snapshot().counts)
    for rows, seen in counts.items():
        predicted = model(rows, arrival="random", page_bytes=page_bytes)
        near = 0.08 if page_bytes > 2_000 else 0.05 if page_bytes > 256 else 0.02
        leaves = statistics.fmean(count[0] for count in seen)
        assert predicted.leaf_pages == pytest.approx(leaves, rel=near, abs=0.7)
        assert predicted.height in {len(count) for count in seen}


@pytest.mark.slow
@pytest.mark.parametrize("page_bytes", [128, 200, 512, 8192])
def test_of_a_hundred_thousand_random_keys_too(page_bytes: int) -> None:
    counts = [grown(shuffled(100_000, seed), page_bytes=page_bytes) for seed in range(2)]
    predicted = model(100_000, arrival="random", page_bytes=page_bytes)
    assert predicted.leaf_pages == pytest.approx(statistics.fmean(count[0] for count in counts), rel=0.03)
    assert predicted.height in {len(count) for count in counts}


def test_of_a_million_rows_in_tiny_pages_the_tree_has_no_endless_levels() -> None:
    predicted = model(10**6, page_bytes=128, arrival="random")
    assert predicted.height == 16 and predicted.rows_a_leaf == pytest.approx(7 / 3, rel=1e-3)
    sizes = [model(10**6, page_bytes=page_bytes, arrival="random").leaf_pages for page_bytes in range(128, 2048, 8)]
    assert all(after <= 1.001 * before for before, after in pairwise(sizes))


@pytest.mark.parametrize("page_bytes", [128, 200, 512])
def test_random_rows_after_a_build_in_small_pages_cut_what_is_predicted(page_bytes: int) -> None:
    rows = 5_000
    numbers = shuffled(rows * 2, 7)
    tree = Tree.load([(number, None) for number in numbers[:rows]], page_bytes=page_bytes)
    built = model(rows, arrival="built", page_bytes=page_bytes)
    before = tree.snapshot().counts[0]
    for at, number in enumerate(numbers[rows:], 1):
        tree.insert(number)
        if at in (rows // 10, rows):
            splits = tree.snapshot().counts[0] - before
            assert built.inserts(at, "random").splits == pytest.approx(splits, rel=0.03, abs=8)


def test_a_small_random_tree_breathes_between_full_and_half_full() -> None:
    before, after = 840, 1_010
    counts = {rows: grown(shuffled(rows, 3))[0] for rows in (before, after)}
    fill = {rows: model(rows, arrival="random").density for rows in (before, after)}
    assert counts == {before: 3, after: 5} == {rows: model(rows, arrival="random").leaf_pages for rows in counts}
    assert fill[before] > 0.66 > 0.51 > fill[after]


def test_in_the_long_run_random_leaves_are_ln_2_full() -> None:
    for key in ("bigint", "uuid", "text(100)"):
        assert model(10**13, key, arrival="random").density == pytest.approx(0.693, abs=0.015)


@pytest.mark.parametrize("values", [10_000, 2_000, 200, 5, 1])
def test_keys_that_repeat_share_entries(values: int) -> None:
    rows = 20_000
    in_order = [row * values // rows for row in range(rows)]
    drawn = [bench.repeated("random", rows, values, drawn=True, order=order) for order in range(2)]
    counts: dict[Arrival, float] = {
        "ascending": grown(in_order)[0],
        "random": statistics.fmean(grown(keys)[0] for keys in drawn),
        "built": Tree.load([(key, None) for key in in_order]).snapshot().counts[0],
    }
    for arrival, leaves in counts.items():
        near = 0.08 if arrival == "random" and values > 5 else 0.02
        predicted = model(rows, arrival=arrival, distinct=values, drawn=arrival == "random")
        assert predicted.leaf_pages == pytest.approx(leaves, rel=near, abs=0.5)


@pytest.mark.parametrize("values", [20_000, 19_000, 15_000, 10_000, 5_000, 2_000])
def test_keys_that_hardly_repeat_save_hardly_anything(values: int) -> None:
    """Each has as many rows, one or a few, which come in random order."""
    rows = 20_000
    counts = [grown(bench.repeated("random", rows, values, order=order)) for order in range(3)]
    predicted = model(rows, arrival="random", distinct=values)
    assert predicted.leaf_pages == pytest.approx(statistics.fmean(count[0] for count in counts), rel=0.05)
    assert {predicted.height} == {len(count) for count in counts}


@pytest.mark.parametrize("arrival", ["ascending", "descending", "random", "built"])
def test_as_many_keys_as_rows_are_keys_that_differ(arrival: Arrival) -> None:
    assert model(10**6, arrival=arrival, distinct=10**6) == model(10**6, arrival=arrival)
    assert model(900, nulls=400, arrival="random", distinct=500) == model(900, nulls=400, arrival="random")


def test_keys_that_luck_drew_are_fewer_than_could_be_drawn() -> None:
    drawn, even = (model(200_000, arrival="random", distinct=200_000, drawn=how) for how in (True, False))
    assert drawn.leaf_pages < 0.95 * even.leaf_pages and even.distinct is None
    assert "of 200,000 values, drawn by luck, in random order" in str(drawn) and drawn.data()["drawn"] is True


def test_ascending_keys_before_nulls_leave_half_full_leaves() -> None:
    rows = 20_000
    keys = [None if row % 2 else row for row in range(rows)]
    with_nulls, without = grown(keys), grown([key for key in keys if key is not None])
    predicted = model(rows, nulls=rows // 2)
    assert predicted.leaf_pages == pytest.approx(with_nulls[0], rel=0.02)
    nulls = model(rows // 2, distinct=1).leaf_pages
    assert with_nulls[0] - nulls > 1.7 * without[0] > 1.7 * 0.99 * model(rows // 2).leaf_pages


def test_random_keys_into_a_tree_built_at_once_split_nothing_at_first_and_then_everything() -> None:
    rows = 30_000
    numbers = shuffled(rows * 6 // 5, 1)
    tree = Tree.load([(number, None) for number in numbers[:rows]])
    built = model(rows, arrival="built")
    leaves = built.leaf_pages
    assert tree.snapshot().counts[0] == leaves
    for at, number in enumerate(numbers[rows:], 1):
        tree.insert(number)
        if at in (rows // 20, rows // 5):
            splits = tree.snapshot().counts[0] - leaves
            assert built.inserts(at, "random").splits == pytest.approx(splits, abs=3)
            assert splits <= 1 if at == rows // 20 else splits >= 0.95 * leaves


# beside PostgreSQL


@pytest.mark.parametrize("arrival", ["ascending", "random"])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("rows", [1_000, 10_000, 100_000])
def test_a_real_index_has_the_predicted_height_and_leaves(own: Database, key: str, arrival: Arrival, rows: int) -> None:
    line = bench.of_orders(own, key, arrival, rows, orders=5 if rows < 100_000 else 1)
    assert line.fine, bench.printed(line)


@pytest.mark.parametrize("arrival", ["ascending", "random"])
@pytest.mark.parametrize("quarters", bench.SHARES)
def test_a_real_index_whose_keys_hardly_repeat_has_the_predicted_leaves(
    own: Database, arrival: Arrival, quarters: int
) -> None:
    line = bench.of_duplicates(own, arrival, bench.SHARED_ROWS, bench.SHARED_ROWS * quarters // 4)
    assert line.fine, bench.printed(line)
    assert abs(line.off_percent) < 6


@pytest.mark.slow
@pytest.mark.parametrize("arrival", ["ascending", "random"])
@pytest.mark.parametrize("key", KEYS)
def test_a_real_index_of_a_million_rows_has_the_predicted_height_and_leaves(
    own: Database, key: str, arrival: Arrival
) -> None:
    line = bench.of_orders(own, key, arrival, 1_000_000, orders=1)
    assert line.fine, bench.printed(line)


@pytest.mark.parametrize("arrival", ["ascending", "random"])
def test_lookups_ranges_and_inserts_touch_the_predicted_pages(own: Database, arrival: Arrival) -> None:
    for line in (*bench.of_reading(own, "uuid", arrival, 90_000), *bench.of_inserts(own, "uuid", arrival, 90_000)):
        assert line.fine, bench.printed(line)


@pytest.mark.parametrize("arrival", ["ascending", "random"])
def test_the_log_of_a_growing_index_has_the_predicted_bytes(own: Database, arrival: Arrival) -> None:
    line = bench.of_growing(own, "bigint", arrival, 20_000)
    assert line.fine, bench.printed(line)


@pytest.mark.parametrize("arrival", ["ascending", "random"])
def test_after_a_checkpoint_in_production_inserts_write_the_predicted_images(
    production: Database, arrival: Arrival
) -> None:
    images, wal = bench.of_inserts(production, "bigint", arrival, 50_000)
    assert images.fine, bench.printed(images)
    assert wal.fine, bench.printed(wal)
    assert images.measured == 2 if arrival == "ascending" else images.measured > 100


def test_a_line_that_misses_makes_the_bench_fail(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    fine = bench.Line("leaf pages", "near", 103, 100, 3, 2, (2, 2))
    for line, code in ((fine, 0), (bench.Line("leaf pages", "far", 104, 100, 3), 1)):
        monkeypatch.setattr(bench, "measured", lambda sizes, line=line: iter([fine, line]))
        monkeypatch.setattr("sys.argv", ["btree_model.py"])
        assert bench.main() == code
        assert ("MISSED" in capsys.readouterr().out) == bool(code)
    assert not bench.Line("leaf pages", "higher", 100, 100, 3, 2, (2, 3)).fine


# what holds for any index


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 10**9),
    key=st.sampled_from(["int4", "bigint", "uuid", "text(3)", "text(200)", ("bigint", "uuid"), ("text(9)", "int4")]),
    arrival=st.sampled_from(["ascending", "descending", "random", "built"]),
    fill_factor=st.integers(10, 100),
    page_bytes=st.sampled_from([1024, 2048, 4096, 8192, 32_768]),
)
@example(rows=112_476, key="text(200)", arrival="random", fill_factor=10, page_bytes=1024)  # each insert is a split
@example(
    rows=71_504, key="text(200)", arrival="descending", fill_factor=10, page_bytes=2048
)  # splits that round below 0
@example(rows=44, key="text(200)", arrival="random", fill_factor=34, page_bytes=1024)  # images of 33.02 pages of 33
def test_any_prediction_is_a_tree(rows: int, key: Any, arrival: Arrival, fill_factor: int, page_bytes: int) -> None:
    predicted = model(rows, key, arrival=arrival, fill_factor=fill_factor, page_bytes=page_bytes)
    pages = list(predicted.pages_by_level.values())
    assert pages[0] == 1 and pages == sorted(pages) and len(pages) == predicted.height
    assert predicted.pages == 1 + sum(pages) and predicted.bytes == predicted.pages * page_bytes
    assert 0 < predicted.density <= 1 and predicted.lookup_pages == predicted.height
    assert predicted.range_pages(rows) == pytest.approx(predicted.height - 1 + predicted.expected_pages[0])
    more = model(rows + 1000, key, arrival=arrival, fill_factor=fill_factor, page_bytes=page_bytes)
    assert more.expected_pages[0] >= predicted.expected_pages[0] - 1e-6 * pages[-1]
    for order in ("ascending", "descending", "random"):
        later = predicted.inserts(1000, order)
        assert 0 <= later.splits <= 1000 and later.pages >= 1000
        assert 0 < later.images <= 1.000001 * sum(predicted.expected_pages)
        assert later.wal_bytes >= 1000 * 56 and later.image_bytes > 0


def test_two_columns_and_separators_of_one_need_fewer_inner_pages() -> None:
    key = ("bigint", "text(60)")
    all_columns, one = model(10**6, key), model(10**6, key, separator_columns=1)
    assert all_columns.leaf_pages >= one.leaf_pages and sum(all_columns.pages_by_level.values()) > one.pages
    assert one.key == ("bigint", "text(60)") and one.entry_bytes == 80 and one.separator_bytes == 16


def test_a_prediction_is_data_and_text() -> None:
    predicted = model(200_000, "uuid", arrival="random")
    assert json.loads(json.dumps(predicted.data()))["pages_by_level"] == {"2": 1, "1": 6, "0": 1050}
    assert str(predicted).splitlines()[0] == "200,000 rows by uuid in random order: 3 levels, 1,058 pages, 8.7 MB"
    assert "half" not in str(predicted) and "of 7 values" in str(model(1000, distinct=7))
    assert "1,000 of them NULL," in str(model(9000, arrival="random", nulls=1000))
    assert model(1).pages_by_level == {0: 1} and "1 row by bigint" in str(model(1))


def test_a_billion_rows_are_predicted_at_once() -> None:
    begun = time.process_time()
    for rows in range(10**9, 10**9 + 20):
        assert model(rows, "uuid", arrival="random").inserts(1000).images == pytest.approx(1000, rel=0.01)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rows": 0}, "An index of 0 rows"),
        ({"rows": 10, "arrival": "sorted"}, "'sorted' is no order of arrival"),
        ({"rows": 10, "fill_factor": 0.9}, "A fill factor of 0.9"),
        ({"rows": 10, "page_bytes": 100}, "Pages of 100 bytes"),
        ({"rows": 10, "nulls": 11}, "11 NULLs among 10 rows"),
        ({"rows": 10, "distinct": 11}, "11 distinct keys of 10 rows"),
        ({"rows": 10, "distinct": 2, "arrival": "descending"}, "not modelled in descending order"),
        ({"rows": 10_000, "nulls": 5, "key": ("int4", "int4")}, "the key has one column"),
        ({"rows": 10_000, "nulls": 5}, "5 NULLs take less than a leaf"),
        ({"rows": 10, "key": "text"}, "How many bytes has the text"),
        ({"rows": 10, "key": "uuid(4)"}, "has a width of its own"),
        ({"rows": 10, "key": "money"}, "'money' is not known here"),
        ({"rows": 10, "key": ()}, "() is no key"),
        ({"rows": 10, "key": "text(3000)"}, "a page of 8,192 takes up to 2,704"),
        ({"rows": 10, "separator_columns": 2}, "Separators of 2 columns"),
        ({"rows": 10, "key": ("bigint", "uuid"), "separator_columns": 1.0}, "Separators of 1.0 columns"),
        ({"rows": 10, "key": ("bigint", "uuid"), "separator_columns": "1"}, "Separators of '1' columns"),
        ({"rows": 10, "key": ("bigint", "uuid"), "separator_columns": True}, "Separators of True columns"),
        ({"rows": 10, "drawn": True}, "drawn=True: rows can be drawn from so many distinct keys"),
        ({"rows": 10, "distinct": 5, "drawn": True}, "in random order"),
        ({"rows": 10, "distinct": 5, "drawn": 1, "arrival": "random"}, "drawn=1"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(Misuse, match=said.replace("(", r"\(").replace(")", r"\)")):
        model(**arguments)


def test_what_later_rows_do_is_said_where_it_is_not_modelled() -> None:
    with pytest.raises(Misuse, match="say in which order"):
        model(1000, arrival="built").inserts(10)
    with pytest.raises(Misuse, match="for keys that differ"):
        model(1000, distinct=10).images(10)
    with pytest.raises(Misuse, match="no order of arrival"):
        model(1000).inserts(10, "sorted")  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="cost nothing"):
        model(1000).inserts(0)
    with pytest.raises(Misuse, match="A range of 2000 rows"):
        model(1000).range_pages(2000)
