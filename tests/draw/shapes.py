"""What stands in an SVG: its texts with the places they take, and whether a person can read all of it."""

from __future__ import annotations

from itertools import combinations
from xml.etree import ElementTree

from workbook.draw.picture import CHAR_PX
from workbook.draw.timeline import MONO

SVG = "{http://www.w3.org/2000/svg}"


def words(shape: ElementTree.Element) -> str:
    """What a text element shows, its tip left out."""
    title = shape.find(f"{SVG}title")
    return (shape.text or "") + ((title.tail or "") if title is not None else "")


def texts(root: ElementTree.Element) -> list[str]:
    return [words(shape) for shape in root.iter(f"{SVG}text")]


def box(shape: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a text, by the mean width of its letters."""
    size = float(shape.get("font-size"))
    width = len(words(shape)) * size * (MONO if shape.get("font-family") else CHAR_PX)
    x, y = float(shape.get("x")), float(shape.get("y"))
    left = {"start": x, "middle": x - width / 2, "end": x - width}[shape.get("text-anchor")]
    return left, y - size * 0.8, left + width, y + size * 0.2


def points(shape: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, point.split(","))) for point in shape.get("points").split()]


def assert_readable(root: ElementTree.Element) -> None:
    """Nothing leaves the card, no text lies on another, and none is too small."""
    wide, high = float(root.get("width")), float(root.get("height"))
    assert wide <= 840  # what JupyterLab shows in a window of 1280 pixels
    shapes = list(root.iter(f"{SVG}text"))
    boxes = [(words(shape), *box(shape)) for shape in shapes]
    assert all(float(shape.get("font-size")) >= 11 for shape in shapes)
    for word, left, top, right, bottom in boxes:
        assert left >= 0 and right <= wide and top >= 0 and bottom <= high, word
    for (one, *a), (other, *b) in combinations(boxes, 2):
        across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        assert across <= 1 or down <= 1, (one, other)
    for shape in (*root.iter(f"{SVG}polyline"), *root.iter(f"{SVG}polygon")):
        assert all(0 <= x <= wide and 0 <= y <= high for x, y in points(shape))
    for shape in root.iter(f"{SVG}rect"):
        assert float(shape.get("y")) + float(shape.get("height")) <= high
