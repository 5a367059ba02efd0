"""The charts: what they show stands in their text too, and they are well-formed and the same each time."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from tests.draw.shapes import SVG, assert_readable, box, words
from workbook.draw.charts import Confidence, Standing, bars, calibration, gap, lines, shown, standing
from workbook.draw.picture import Canvas, Picture

SERIES = {"scan": [(1000, 9), (10_000, 84), (100_000, 834)], "index": [(1000, 3), (10_000, 3), (100_000, 4)]}
ROWS = [
    Standing("indexes-order", "One <index> & more", True, 3, 3, 2, 1),
    Standing("indexes-act", "Act, or leave", True, 0, 2, 1, 0),
    Standing("indexes-partial", "Partial", False, 1, 2, 0, 0),
]
PICTURES = {
    "bars": lambda: bars({"no index": 20_416, "index": 4}, "Pages", unit="pages", log=True),
    "no bars": lambda: bars({}, "Nothing"),
    "zero": lambda: bars({"a": 0, "b": 0}, "Zeros"),
    "lines": lambda: lines(SERIES, "Growth", x="rows", y="pages", log_x=True, log_y=True, measured_to=10_000),
    "no lines": lambda: lines({}, "Nothing"),
    "one point": lambda: lines({"a": [(1, 1)]}, "One"),
    "gap": lambda: gap(17_938, low=3000, high=9000, unit="pages"),
    "far gap": lambda: gap(1e9, low=1, high=2),
    "point gap": lambda: gap(5, low=5, high=5),
    "negative gap": lambda: gap(-5, low=-50, high=5000),
    "no gap": lambda: gap(5),
    "nan": lambda: gap(float("nan"), low=1, high=2),
    "calibration": lambda: calibration([Confidence(0.8, 3, 5, 0.35, 0.8)]),
    "no calibration": lambda: calibration([]),
    "standing": lambda: standing(ROWS, "02_indexes"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_well_formed_and_says_what_it_is(name: str) -> None:
    picture: Picture = PICTURES[name]()
    root = ElementTree.fromstring(picture.svg)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert root.get("role") == "img" and root.find("{*}title") is not None
    assert picture == PICTURES[name]() and picture.text.strip()
    assert_readable(root)
    for shape in root.iter():
        for axis, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            if shape.get(axis) is not None:
                assert 0 <= float(shape.get(axis, 0)) <= most, (name, shape.attrib)


ENDS = range(0, 101, 4)


@pytest.mark.parametrize("first", ENDS)
def test_names_of_lines_are_apart_wherever_the_lines_end(first: int) -> None:
    for second in ENDS:
        for others in ({"b": second}, {"b": second, "c": first + 1}, {"b": second, "c": second, "d": second}):
            ends = {"top": 100, "a": first, **others}
            root = ElementTree.fromstring(lines({name: [(1, 0), (2, end)] for name, end in ends.items()}, "t").svg)
            places = sorted(float(shape.get("y", 0)) for shape in root.iter(f"{SVG}text") if words(shape) in ends)
            assert len(places) == len(ends) and all(b - a > 13.8 for a, b in pairwise(places)), ends
            assert places[0] > 0 and places[-1] < float(root.get("height", 0))


def test_a_title_ends_before_the_bar_of_its_points() -> None:
    title = "Direct: acceptance checks for an agent's booking code"
    root = ElementTree.fromstring(standing([Standing("x", title, True, 1, 3, 2, 0)], "Lab").svg)
    bar = min(float(shape.get("x", 0)) for shape in root.iter(f"{SVG}rect") if float(shape.get("x", 0)) > 36)
    (text,) = (shape for shape in root.iter(f"{SVG}text") if words(shape).startswith("Direct"))
    assert box(text)[2] <= bar and title in standing([Standing("x", title, True, 1, 3, 2, 0)], "Lab").text


def test_what_is_no_number_has_a_place_all_the_same() -> None:
    for picture in (bars({"a": float("nan"), "b": 3}, "t"), lines({"a": [(1, float("nan")), (2, 3)]}, "t")):
        assert '"nan"' not in picture.svg and ",nan" not in picture.svg and "not a number" in picture.text


@pytest.mark.parametrize("letter", ["\x00", "\x01", "\x1b", "\ud800", "\uffff"])
def test_a_letter_that_xml_cannot_write_is_replaced(letter: str) -> None:
    canvas = Canvas(100, 100, f"title{letter}", f"description{letter}")
    canvas.label(1, 1, f"text{letter}", tip=f"tip{letter}")
    canvas.rect(1, 1, 1, 1, "none", tip=f"tip{letter}")
    canvas.circle(1, 1, 1, "none", tip=f"tip{letter}\t\U0001f600")
    said = "".join(ElementTree.fromstring(canvas.svg().encode()).itertext())
    assert said.count("\ufffd") == 6 and said.endswith("\t\U0001f600")


def test_every_number_of_a_picture_stands_in_its_text() -> None:
    assert all(number in PICTURES["bars"]().text for number in ("20,416", " 4 pages"))
    text = PICTURES["lines"]().text
    assert "10,000: 84" in text and "100,000: 834 (hypothesis)" in text and "1,000: 9," in text
    assert "stroke-dasharray" in PICTURES["lines"]().svg and "a hypothesis" in PICTURES["lines"]().svg
    assert "claimed 80%: 3 of 5 held" in PICTURES["calibration"]().text
    text = PICTURES["standing"]().text
    assert "✓ indexes-order" in text and "✗ indexes-act" in text and "◐ indexes-partial" in text and "further" in text


@pytest.mark.parametrize(("value", "where"), [(2999, "below"), (3000, "inside"), (9000, "inside"), (9001, "above")])
def test_where_a_measurement_lies(value: int, where: str) -> None:
    assert f"{where} the interval" in gap(value, low=3000, high=9000).text


def test_numbers_as_people_read_them() -> None:
    assert [shown(value) for value in (1, 1.5, 1234.5, -2, 0, float("inf"))] == [
        "1",
        "1.5",
        "1,234",
        "-2",
        "0",
        "infinite",
    ]
