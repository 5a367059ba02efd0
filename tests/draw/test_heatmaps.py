"""Maps of every order: each order has a cell, at the same place at each level; told by shape as well as by colour."""

from __future__ import annotations

import random
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.draw.shapes import SVG, assert_readable, box, texts, words
from workbook.draw.heatmap import AREAS, FILLS, INKS, KINDS, MARKS, STROKES, WIDTH, grids, heatmap_picture, places
from workbook.draw.picture import INK

LABELS = {
    "serial": [""],
    "anomaly": ["P4 lost update", "G-single read skew", "G2-item write skew"],
    "abort": ["40001", "23505"],
    "deadlock": ["40P01"],
    "stuck": [""],
}


def made(count: int, levels: int = 3, seed: int = 1, sessions: int = 2) -> dict[str, Any]:
    """The data of an exploration of so many orders, what each came to drawn by a seed."""
    chance = random.Random(seed)
    names = ("read committed", "repeatable read", "serializable")[:levels]
    found = []
    for name in names:
        cells = []
        for number in range(1, count + 1):
            kind = chance.choice(KINDS)
            label = chance.choice(LABELS[kind])
            text = f"{kind} {label}".rstrip() if kind in ("anomaly", "abort") else kind
            cells.append(
                {"number": number, "order": f"T1 T2 {number}", "kind": kind, "label": label, "text": text, "waits": 0}
            )
        every = [cell["text"] for cell in cells]
        counts = {text: every.count(text) for text in sorted(set(every))}
        found.append({"level": name, "at": name, "texts": counts, "waits": chance.randint(0, 99), "cells": cells})
    steps = ["BEGIN", "UPDATE test SET value = value + 1 WHERE id = 1 AND value < 10000", "COMMIT"]
    return {
        "title": f"Drawn · PostgreSQL 18.4 · all {count} orders of T1 (3 steps) and T2 (3 steps)",
        "sessions": {f"T{number}": steps for number in range(1, sessions + 1)},
        "explored": count,
        "levels": found,
    }


def drawn(data: dict[str, Any], chosen: tuple[int, int] | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(heatmap_picture(data, "the twin", chosen).svg)


def cells_of(root: ElementTree.Element, fill: str) -> int:
    """How many boxes of a colour there are, the legends' left out."""
    paths = [shape for shape in root.iter(f"{SVG}path") if shape.get("fill") == fill and "h" in shape.get("d")]
    return sum(shape.get("d").count("M") for shape in paths if "h12v12" not in shape.get("d"))


@pytest.mark.parametrize("count", [1, 6, 20, 70, 252, 1680, 3000])
def test_each_order_has_a_cell_at_each_level_and_nothing_leaves_the_card(count: int) -> None:
    data = made(count)
    root = drawn(data)
    assert_readable(root)
    assert root.findtext(f"{SVG}desc") == "the twin" and float(root.get("width")) == WIDTH
    for kind in KINDS:
        wanted = sum(cell["kind"] == kind for level in data["levels"] for cell in level["cells"])
        assert cells_of(root, FILLS[kind]) == wanted
    high = float(root.get("height"))
    for grid in grids(data):
        for place in (0, count - 1):
            x, y = grid.at(place)
            assert x >= 0 and x + grid.across <= WIDTH and y >= 0 and y + grid.down <= high


def test_cells_of_a_few_thousand_orders_stay_apart_from_words_and_the_file_stays_small() -> None:
    data = made(3000)
    picture = heatmap_picture(data, "twin")
    assert len(picture.svg) < 1_200_000
    root = ElementTree.fromstring(picture.svg)
    for grid in grids(data):
        for shape in root.iter(f"{SVG}text"):
            _, top, _, bottom = box(shape)
            assert bottom < grid.y + 1 or top > grid.y + grid.height - 1, words(shape)


def test_equals_stand_together_and_each_order_keeps_its_place() -> None:
    data = made(70)
    order = places(data)
    assert sorted(order) == [*range(70)]
    kinds = [[KINDS.index(level["cells"][number]["kind"]) for number in order] for level in data["levels"]]
    assert kinds[0] == sorted(kinds[0])
    pairs = list(zip(*kinds, strict=True))
    assert [pair[0] for pair in pairs] == sorted(pair[0] for pair in pairs)
    first = [number for number in order if data["levels"][0]["cells"][number]["kind"] == "serial"]
    second = [KINDS.index(data["levels"][1]["cells"][number]["kind"]) for number in first]
    assert second == sorted(second)
    tips = [shape.findtext(f"{SVG}title") for shape in drawn(data).iter(f"{SVG}rect") if shape.get("fill-opacity")]
    for number, level in enumerate(data["levels"]):
        for place, tip in enumerate(tips[70 * number : 70 * number + 70]):
            cell = level["cells"][order[place]]
            assert tip == f"order {cell['number']}: {cell['order']} – {cell['text']}"


def test_what_an_order_came_to_is_told_by_a_shape_and_each_name_has_its_own() -> None:
    shapes = [mark(0, 0, 4) for kind in KINDS for mark in MARKS[kind]]
    assert len(shapes) == len(set(shapes)) == sum(len(marks) for marks in MARKS.values())
    assert MARKS["anomaly"] == STROKES and MARKS["abort"] == AREAS
    root = drawn(made(70))
    for fill, count in ((FILLS["anomaly"], 3), (FILLS["abort"], 2)):
        legend = [
            shape for shape in root.iter(f"{SVG}path") if shape.get("fill") == fill and "h12v12" in shape.get("d")
        ]
        assert len(legend) == 3 * count  # at each of three levels
    assert all(FILLS[kind] != INKS[kind] for kind in KINDS)


def test_counts_names_and_codes_stand_in_words() -> None:
    data = made(70)
    shown = texts(drawn(data))
    for level in data["levels"]:
        assert level["level"] in shown and f"steps that waited: {level['waits']}" in shown
        for text, count in level["texts"].items():
            assert f"{count} {text}" in shown
    assert any(
        "seed" in text for text in texts(drawn({**data, "title": "70 of 34,650, drawn by seed 3, " + "x " * 90}))
    )


def test_a_chosen_cell_is_framed() -> None:
    data = made(70)
    for level, place in ((0, 0), (1, 12), (2, 69)):
        x, y = grids(data)[level].at(place)
        frames = [shape for shape in drawn(data, (level, place)).iter(f"{SVG}rect") if shape.get("stroke") == INK]
        assert [(float(frame.get("x")), float(frame.get("y"))) for frame in frames] == [(x - 2, y - 2)]
    assert not [shape for shape in drawn(data).iter(f"{SVG}rect") if shape.get("stroke") == INK]


def test_the_same_data_gives_the_same_map_and_other_data_another() -> None:
    pictures = [heatmap_picture(made(252, seed=seed), "").svg for seed in (1, 1, 2)]
    assert pictures[0] == pictures[1] != pictures[2]


def test_three_sessions_with_long_statements_are_told_shortened_and_whole_in_the_tip() -> None:
    data = made(20, sessions=3)
    data["sessions"]["T2"] = ["BEGIN", "SELECT " + ", ".join(f"column_{number}" for number in range(60)), "COMMIT"]
    root = drawn(data)
    assert_readable(root)
    (line,) = [shape for shape in root.iter(f"{SVG}text") if words(shape).startswith("T2:")]
    assert words(line).endswith("…") and "column_59" in line.findtext(f"{SVG}title")


def test_levels_are_far_enough_apart_that_no_block_covers_another() -> None:
    for count in (1, 70, 1680):
        spots = grids(made(count))
        assert all(one.y + one.height < other.y for one, other in pairwise(spots))
        corners = [spots[0].at(place) for place in range(min(count, 300))]
        assert all(a != b for a, b in combinations(corners[:80], 2))
