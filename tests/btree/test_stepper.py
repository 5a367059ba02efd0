"""The stepper: every step a frame, own keys, undo, the pool beside the tree; a real index from the root to the leaf."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from workbook.btree import read_index, stepper
from workbook.btree.page import Event
from workbook.btree.picture import WHOLE_MAX, lit, picture, plain
from workbook.btree.stepper import Stepper
from workbook.btree.tree import Tree
from workbook.btree.typed import typed
from workbook.draw.player import VIEW
from workbook.engines import Database, Recipe, database
from workbook.errors import Misuse, Unsuitable, WorkbookError

KEYS = [30, 10, 50, 20, 40, 60, 35, 36, 37]
ROWS = 200_000
RECIPE = Recipe(
    "many rows",
    f"CREATE TABLE rows AS SELECT i AS id FROM generate_series(1, {ROWS}) i; CREATE INDEX by_id ON rows (id);",
)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Database]:
    with database(RECIPE) as made:
        yield made


def shown(steps: Stepper) -> list[str]:
    return [str(frame) for frame in steps.player]


def buttons(steps: Stepper) -> dict[str, Any]:
    row = steps.widget.children[0]
    return {child.description: child for child in row.children}


def caption(steps: Stepper) -> str:
    return re.sub(r"<style.*?</style>|<[^>]+>", "", steps.widget.children[1].children[2].value, flags=re.DOTALL)


def pages_of(text: str) -> tuple[int, int]:
    """How many pages a text twin shows, and how many it counts as left out."""
    counts = re.findall(r"(?m)^  … ([\d,]+) (?:more )?pages? …", text)
    return len(re.findall(r"(?m)^  page", text)), sum(int(count.replace(",", "")) for count in counts)


def test_each_event_of_the_tree_is_one_step() -> None:
    steps = stepper(keys=KEYS, pool_pages=3)
    tree, told = Tree(page_bytes=128, pool_pages=3), []
    for key in KEYS:
        with tree.trace() as trace:
            tree.insert(key)
        told += [f"insert {key} · {event}" for event in trace.events]
    assert [frame.caption for frame in steps.player][1:] == told
    assert steps.snapshot == tree.snapshot().__class__(**{**vars(tree.snapshot()), "name": "numbers"})


def test_every_frame_has_a_tree_a_pool_and_their_texts() -> None:
    steps = stepper(keys=KEYS, pool_pages=3)
    for frame in steps.player:
        tree, pool = frame.pictures
        assert tree.svg.startswith("<svg") and "level 0" in tree.text
        assert pool.text.startswith("buffer pool: ") and "of 3 frames" in pool.text
    assert len(stepper(keys=KEYS, pool_pages=None).player[3].pictures) == 1


def test_the_pool_counts_what_the_tree_counts() -> None:
    steps = stepper(keys=KEYS, pool_pages=3)
    tree = Tree(page_bytes=128, pool_pages=3)
    for key in KEYS:
        tree.insert(key)
    counted = tree.counters
    assert (
        f"{counted.hits} hits, {counted.reads} reads, {counted.evictions} evictions"
        in steps.player[-1].pictures[1].text
    )


def test_what_a_split_does_is_lit() -> None:
    steps = stepper(keys=KEYS, pool_pages=None)
    texts = {frame.caption: frame.pictures[0].text for frame in steps.player}
    split = next(text for said, text in texts.items() if "is full" in said)
    assert re.search(r"page 1, written: ", split) and re.search(r"page 2, new: ", split)
    root = next(text for said, text in texts.items() if "new root" in said)
    assert re.search(r"page 3, new: ", root)
    assert any("? " in text and "(compared)" in text for text in texts.values())
    assert any("▾ " in text and "(chosen)" in text for text in texts.values())
    assert any("+ " in text and "(inserted)" in text for text in texts.values())


def test_marks_add_up_over_an_operation_and_the_last_event_has_its_own() -> None:
    tree = Tree(page_bytes=128)
    for key in KEYS:
        tree.insert(key)
    with tree.trace() as trace:
        tree.find(36)
    snapshot = tree.snapshot()
    lights = [lit(trace.events[:count], snapshot) for count in range(len(trace) + 1)]
    assert not lights[0].pages and not lights[0].slots
    for before, after in pairwise(lights):
        assert before.pages.items() <= after.pages.items() and before.links <= after.links
    assert all(list(light.slots.values()).count("compared") <= 1 for light in lights)
    assert set(lights[-1].pages.values()) == {"read"} and len(lights[-1].links) == snapshot.height - 1
    assert lit([Event("unlink", 1, None, "", 3)], snapshot).pages == {1: "written", 3: "written"}


def test_a_tree_that_is_handed_over_stays_as_it_is() -> None:
    tree = Tree(page_bytes=128, pool_pages=2)
    for key in KEYS:
        tree.insert(key)
    before, counted = str(tree), tree.counters
    steps = stepper(tree, keys=[38, ("delete", 10), ("find", 36), ("range", 20, 40)])
    assert str(tree) == before and tree.counters == counted
    assert [frame.caption.split(" · ")[0] for frame in steps.player][-1] == "range 20 to 40"
    assert "38" in steps.player[-1].pictures[0].text


def test_undo_gives_the_same_frames_as_never_having_done_it() -> None:
    steps = stepper(keys=KEYS, pool_pages=3)
    before = shown(steps)
    for do in (lambda: steps.insert(33), lambda: steps.delete(20), lambda: steps.find(50), lambda: steps.range(20, 40)):
        do()
    assert len(steps.player) > len(before)
    steps.undo()
    steps.insert(41)
    for _ in range(4):
        steps.undo()
    assert shown(steps) == before and steps.player.at == len(before) - 1
    for _ in KEYS:
        steps.undo()
    assert len(steps.player) == 1
    with pytest.raises(Misuse, match="nothing to undo"):
        steps.undo()


def test_an_operation_shows_its_first_step() -> None:
    steps = stepper(keys=KEYS, pool_pages=3)
    count = len(steps.player)
    steps.insert(33)
    assert steps.player.at == count and steps.player[count].caption.startswith("insert 33 · Page")


def test_the_seed_decides_the_keys() -> None:
    assert shown(stepper(keys=8, seed=4)) == shown(stepper(keys=8, seed=4)) != shown(stepper(keys=8, seed=5))
    assert sum(page.rows for page in stepper(keys=30).snapshot.leaves()) == 30


def test_a_trace_is_stepped_through() -> None:
    tree = Tree(page_bytes=128, pool_pages=2)
    with tree.trace() as trace:
        for key in KEYS:
            tree.insert(key)
    steps = stepper(trace)
    assert [frame.caption for frame in steps.player][1:] == [str(event) for event in trace.events]
    assert "buffer pool: 2 of 2 frames" in steps.player[-1].pictures[1].text
    with pytest.raises(Misuse, match="no insert here"):
        steps.insert(7)
    with tree.trace() as nothing:
        pass
    with pytest.raises(Misuse, match="Nothing was recorded"):
        stepper(nothing)


def test_what_is_typed_happens() -> None:
    steps, same = stepper(keys=KEYS, pool_pages=3), stepper(keys=KEYS, pool_pages=3)
    row = buttons(steps)
    assert list(row) == ["key", "insert", "find", "delete", "undo", "previous key", "next key"]
    count = len(steps.player)
    row["key"].value = "17, 18"
    row["insert"].click()
    same.insert(17)
    same.insert(18)
    assert shown(steps) == shown(same) and steps.player.at == count and row["key"].value == ""
    row["key"].value = "17..36"
    row["find"].click()
    same.range(17, 36)
    assert shown(steps) == shown(same) and caption(steps).startswith("range 17 to 36")
    row["key"].value = "18"
    row["delete"].click()
    row["undo"].click()
    assert shown(steps) == shown(same)


@pytest.mark.parametrize(
    ("word", "text", "said"),
    [
        ("insert", "", "No key is written there"),
        ("insert", "ann", "ann is not a whole number"),
        ("insert", "1..5", "write it as 10..30, and press find"),
        ("find", "1..", "No key is written there"),
        ("undo", "", ""),
    ],
)
def test_what_cannot_be_done_is_said_in_the_caption(word: str, text: str, said: str) -> None:
    steps = stepper(keys=KEYS[:2], pool_pages=None)
    row = buttons(steps)
    row["key"].value = text
    row[word].click()
    assert said in caption(steps)


def test_from_key_to_key() -> None:
    steps = stepper(keys=KEYS, pool_pages=None)
    row = buttons(steps)
    firsts = []
    for _ in KEYS:
        row["next key"].click()
        firsts.append(steps.player[steps.player.at].caption)
    assert [text.split(" · ")[0] for text in firsts] == [f"insert {key}" for key in KEYS]
    row["next key"].click()
    assert steps.player.at == len(steps.player) - 1
    seen = []
    for _ in range(len(KEYS) + 1):
        row["previous key"].click()
        seen.append(steps.player[steps.player.at].caption)
    assert seen[:-1] == firsts[::-1] and steps.player.at == 0


def test_a_notebook_gets_the_view_and_the_still() -> None:
    steps = stepper(keys=KEYS, still=3)
    bundle = steps._repr_mimebundle_()
    assert bundle[VIEW]["model_id"] == steps.widget.model_id and steps.widget is steps.widget
    assert "4 of" in bundle["image/svg+xml"] and steps.player[3].caption in bundle["text/plain"]
    assert str(steps) == str(steps.player)


def recorded() -> Any:
    tree = Tree(page_bytes=128)
    with tree.trace() as steps:
        tree.insert(1)
    return steps


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: stepper(keys=10_000), "too many"),
        (lambda: stepper(keys=[1] * 3000), "too many"),
        (lambda: stepper("tree"), "A str is nothing that can be stepped through"),
        (lambda: stepper(keys=[1, "ann"]), "ann"),
        (lambda: stepper(page_bytes=100), "100 bytes"),
        (lambda: stepper(Tree().snapshot(), keys=[1]), "no insert here. Next: there is find"),
        (lambda: stepper(recorded(), find=1), "There is no find here: what was recorded is over. Next: step through"),
        (lambda: stepper(keys=-1), "-1 keys cannot be drawn. Next: take a number from 0 to 2,000"),
        (lambda: stepper(keys=5.5), "5.5 are no keys"),
        (lambda: stepper(keys=True), "True are no keys"),
        (lambda: stepper(keys=[("range", 1)]), r"\('range', 1\) has 1 key. Next: a range has two ends"),
        (lambda: stepper(keys=[("range", 1, 2, 3)]), "has 3 keys. Next: a range has two ends"),
        (lambda: stepper(keys=[("insert", 1, 2)]), r"has 2 keys. Next: write \(.insert., 17\)"),
        (lambda: stepper(title=5).widget, "5 is no title"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, said: str) -> None:
    with pytest.raises(WorkbookError, match=said):
        make()


def test_an_index_comes_into_view_from_the_root_to_the_leaf(shelf: Database) -> None:
    steps = stepper(shelf.engine, "by_id", find=150_000)
    in_file = shelf.run("SELECT pg_relation_size('by_id') / 8192 - 1").rows[0][0]
    leaves = []
    for frame in steps.player:
        text = frame.pictures[0].text
        drawn, counted = pages_of(text)
        assert drawn < 20 and drawn + counted == in_file
        leaves.append(pages_of(text.partition("leaves, level 0")[2])[0])
    assert leaves[0] == 0 and leaves[-1] == 3 and leaves == sorted(leaves)
    assert "150000 is found in slot" in steps.player[-1].caption
    root, inner, leaf = (event.page for event in steps._world.plays[0].events if event.kind == "read")
    assert f"page {root}, read" in steps.player[-1].pictures[0].text
    assert f"page {inner}, read" in steps.player[-1].pictures[0].text
    assert f"page {leaf}, read" in steps.player[-1].pictures[0].text


def test_of_a_real_index_few_pages_are_read_and_all_are_counted(shelf: Database) -> None:
    steps = stepper(shelf.engine, "by_id", find=77_777)
    in_file = shelf.run("SELECT pg_relation_size('by_id') / 8192 - 1").rows[0][0]
    assert f"by_id: 3 levels, {in_file:,} pages" in steps.player[-1].pictures[0].text
    assert len(steps.snapshot.pages) < 10
    whole = stepper(read_index(shelf.engine, "by_id"), find=77_777)
    assert len(whole.snapshot.pages) == in_file > WHOLE_MAX
    assert [frame.caption for frame in whole.player] == [frame.caption for frame in steps.player]


def test_other_keys_are_looked_for_in_a_real_index(shelf: Database) -> None:
    steps = stepper(shelf.engine, "by_id")
    assert len(steps.player) == 1 and "root, level 2: 1 page" in steps.player[0].pictures[0].text
    row = buttons(steps)
    assert list(row) == ["key", "find", "previous key", "next key"]
    for key in (1, ROWS, ROWS + 1):
        row["key"].value = str(key)
        row["find"].click()
        assert caption(steps).startswith(f"find {key} · Page")
    assert "200001 is not there" in steps.player[-1].caption
    with pytest.raises(Misuse, match="no index"):
        stepper(shelf.engine, "by_nothing")


def test_the_picture_of_a_large_index_counts_each_page(shelf: Database) -> None:
    snapshot = read_index(shelf.engine, "by_id")
    text = picture(snapshot).text
    assert sum(pages_of(text)) == len(snapshot.pages)
    assert len(plain(snapshot, {5})["pages"]) < 40
    bundle = snapshot._repr_mimebundle_()
    assert bundle["image/svg+xml"] == picture(snapshot).svg and bundle["text/plain"] == str(snapshot)


def test_a_snapshot_with_a_path_alone_is_stepped_through_and_other_keys_are_refused(shelf: Database) -> None:
    steps = stepper(read_index(shelf.engine, "by_id", key=4711), find=4711)
    assert "4711 is found" in steps.player[-1].caption
    with pytest.raises(Unsuitable, match="was not read"):
        steps.find(150_000)


def test_a_table_of_sqlite_is_stepped_through(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", ((n, f"name {n}") for n in range(1, 8001)))
        connection.execute("CREATE INDEX by_name ON rows (name)")
    connection.close()
    steps = stepper(str(path), "rows", find=4711)
    assert "4711 is found" in steps.player[-1].caption and "row 4,711" in steps.player[-1].caption
    whole = stepper(str(path), "by_name", find="name 4711")
    assert "it leads to row 4,711" in whole.player[-1].caption


def test_every_page_that_a_split_writes_is_shown_as_written() -> None:
    tree = Tree(page_bytes=128)
    for key in (10, 50, 20, 60, 30, 70, 40, 15):
        tree.insert(key)
    last = str(stepper(tree, keys=[25]).player[-1])
    assert re.findall(r"page (\d), (?:written|new)", last) == ["3", "1", "5", "4"]  # 4: its left sibling is another now


@pytest.mark.parametrize(
    ("text", "like", "keys"),
    [
        ("17", None, [17]),
        ("17, 30;4\t-5", 1, [17, 30, 4, -5]),
        ("ann 17", None, ["ann", "17"]),
        ("NULL 3", 5, [None, 3]),
        ("'NULL' \"a b\"", "x", ["NULL", "a b"]),
        ("\\x0aff", b"x", [b"\x0a\xff"]),
        ("(3, 'a b') (4, NULL)", (1, "x"), [(3, "a b"), (4, None)]),
        ("(3, ann)", (1,), [(3, "ann")]),
        ("1.5", 2.0, [1.5]),
    ],
)
def test_keys_are_read_as_the_tree_has_them(text: str, like: Any, keys: list[Any]) -> None:
    assert typed(text, like) == keys


@pytest.mark.parametrize(("text", "like"), [("", 1), (" , ", 1), ("ann", 1), ("1.5", 1), ("(1, 2)", 1), ("zz", b"x")])
def test_what_is_no_key_of_the_tree_is_refused(text: str, like: Any) -> None:
    with pytest.raises(Misuse):
        typed(text, like)
