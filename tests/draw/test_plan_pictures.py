"""Pictures of plans: whole XML, every step named, bars by pages, misestimates in words, nothing outside its card."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.draw.shapes import SVG, words
from tests.draw.shapes import texts as shown
from workbook.draw.picture import CHAR_PX
from workbook.plans import compare, read_plan

SAVED = Path(__file__).parent.parent / "plans" / "saved"
FILES = sorted(path for path in SAVED.glob("*/*") if path.suffix in (".txt", ".json"))


def saved(name):
    return read_plan((SAVED / "postgresql-18" / f"{name}.json").read_text())


def drawn(plan):
    return ElementTree.fromstring(plan._repr_svg_())


def deep(steps):
    """A chain of joins with large numbers."""
    lines = ["Limit  (cost=0..9 rows=1 width=8) (actual rows=1 loops=1)"]
    for depth in range(steps - 1):
        indent = " " * (2 + 6 * depth)
        lines.append(f"{indent}->  Nested Loop  (cost=0..9 rows=7654321 width=8) (actual rows=3.00 loops=1234567)")
        lines.append(f"{indent}      Join Filter: (a{depth} = {'b' * 150})")
        lines.append(f"{indent}      Buffers: shared hit={10**9 - depth * 10**7}")
    return read_plan("\n".join(lines))


def bars(root):
    """Width by tip of the bars of pages."""
    found = {}
    for shape in root.iter(f"{SVG}rect"):
        tip = shape.findtext(f"{SVG}title") or ""
        if "own pages" in tip:
            found.setdefault(int(tip.split()[0].replace(",", "")), set()).add(float(shape.get("width")))
    return found


def reach(shape):
    """The left and right end of a shape; of a text by the mean width of its letters."""
    if shape.tag == f"{SVG}text":
        x, width = float(shape.get("x")), len(words(shape)) * float(shape.get("font-size")) * CHAR_PX
        left = {"start": x, "middle": x - width / 2, "end": x - width}[shape.get("text-anchor")]
        return left, left + width
    if shape.tag == f"{SVG}rect":
        return float(shape.get("x")), float(shape.get("x")) + float(shape.get("width"))
    xs = [float(point.split(",")[0]) for point in shape.get("points").split()]
    return min(xs), max(xs)


def bottom(shape):
    if shape.tag == f"{SVG}text":
        return float(shape.get("y"))
    if shape.tag == f"{SVG}rect":
        return float(shape.get("y")) + float(shape.get("height"))
    return max(float(point.split(",")[1]) for point in shape.get("points").split())


def shapes(root):
    return [shape for shape in root if shape.tag in (f"{SVG}text", f"{SVG}rect", f"{SVG}polyline")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_each_saved_plan_is_drawn_whole(path):
    plan = read_plan(path.read_text())
    root = drawn(plan)
    tips = [shape.findtext(f"{SVG}title") or "" for shape in root.iter(f"{SVG}text")]
    for node in plan.nodes():
        assert any(tip.endswith(node.title) for tip in tips), node.title
    assert root.findtext(f"{SVG}desc") == plan.text
    _, _, width, height = map(float, root.get("viewBox").split())
    for shape in shapes(root):
        left, right = reach(shape)
        assert left >= 0 and right <= width and 0 <= bottom(shape) <= height, ElementTree.tostring(shape)


@pytest.mark.parametrize("steps", [2, 60, 150])
def test_a_deep_plan_stays_on_its_card(steps):
    root = drawn(deep(steps))
    width, height = float(root.get("width")), float(root.get("height"))
    assert sum(text.startswith("Nested Loop") for text in shown(root)) == steps - 1
    for shape in shapes(root):
        left, right = reach(shape)
        assert left >= 0 and right <= width and bottom(shape) <= height


def test_large_numbers_leave_room_for_each_other():
    for plan in (deep(3), *(read_plan(path.read_text()) for path in FILES)):
        lines: dict[float, list[tuple[float, float]]] = {}
        for shape in drawn(plan).iter(f"{SVG}text"):
            if shape.get("font-size") in ("12", "13"):
                lines.setdefault(round(float(shape.get("y"))), []).append(reach(shape))
        for places in lines.values():
            places.sort()
            assert all(a[1] <= b[0] + 1 for a, b in pairwise(places)), (plan.text, places)


def test_what_is_shortened_stands_whole_in_its_tip():
    root = drawn(deep(3))
    tips = [shape.findtext(f"{SVG}title") or "" for shape in root.iter(f"{SVG}text")]
    assert any("1,234,567 loops" in tip for tip in tips) and any("b" * 150 in tip for tip in tips)
    assert all(len(text) < 160 for text in shown(root))


def test_letters_of_xml_are_escaped():
    svg = saved("odd-names")._repr_svg_()
    assert '"an <alias>"' in " ".join(shown(ElementTree.fromstring(svg)))
    assert "&lt;alias&gt;" in svg and "<alias>" not in svg and "<&" not in svg


def test_bars_grow_with_the_pages_of_the_step_itself():
    found = bars(drawn(saved("init-plan-in-sub-plan")))
    pages = sorted(found)
    assert pages == [0, 2, 7, 100, 500]
    widths = [max(found[page]) for page in pages]
    assert widths == sorted(widths) and widths[-1] > 4 * widths[-2] > 8 * widths[-3]
    assert widths[-2] == pytest.approx(widths[-1] / 5, abs=0.2)


def test_a_misestimate_is_said_in_words_and_a_right_estimate_is_not():
    assert "▲ 53×" in shown(drawn(saved("odd-names")))
    assert not [text for text in shown(drawn(saved("nested-loop"))) if "▲" in text]
    assert not [text for text in shown(drawn(saved("index-scan-backward"))) if "▲" in text]  # a LIMIT cut it short


def test_rows_pages_and_loops_are_written():
    texts = shown(drawn(saved("nested-loop")))
    lines = saved("nested-loop").find(relation="lines")[0]
    assert any(re.fullmatch(r"\d+ → 20 in 10 loops", text) for text in texts)
    assert f"{lines.buffers_own}" in texts


def test_inexact_numbers_carry_their_mark():
    assert any("→ ~400 in 400 loops" in text for text in shown(drawn(saved("nested-loop-many-loops"))))


def test_what_never_ran_says_so():
    plan = saved("never-executed")
    asleep = sum(node.never_executed for node in plan.nodes())
    assert shown(drawn(plan)).count("never run") == asleep > 0


def test_the_role_of_a_subplan_is_written():
    texts = shown(drawn(saved("init-plan-in-sub-plan")))
    assert {"subplan: Aggregate", "initplan: Aggregate"} <= set(texts)


def test_the_same_plan_gives_the_same_picture():
    assert saved("merge")._repr_svg_() == saved("merge")._repr_svg_()


def test_a_comparison_shows_both_plans_on_one_scale():
    found = compare(saved("seq-scan"), saved("bitmap-and"))
    root = drawn(found)
    texts = shown(root)
    assert {"before", "after", *found.changes} <= set(texts)
    before, after = root.findall(f"{SVG}svg")
    assert max(max(widths) for widths in bars(before).values()) > 5 * max(
        max(widths) for widths in bars(after).values()
    )
    height = float(root.get("height"))
    assert all(float(part.get("y")) + float(part.get("height")) <= height for part in (before, after))
    assert float(before.get("y")) + float(before.get("height")) <= float(after.get("y"))


def test_a_comparison_of_unlike_measures_has_a_scale_for_each():
    believed = read_plan("Seq Scan on t  (cost=0.00..52000.00 rows=4000 width=8)")
    ran = read_plan(
        "Index Scan using i on t  (cost=0..9 rows=3 width=8) (actual rows=3.00 loops=1)\n  Buffers: shared hit=6"
    )
    before, after = drawn(compare(believed, ran)).findall(f"{SVG}svg")
    assert bars(after) == {6: {110.0}} and "own pages" not in shown(before)
