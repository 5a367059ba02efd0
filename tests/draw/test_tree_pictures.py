"""Pictures of trees: each page is drawn or counted, nothing lies on anything, the text says all that is seen."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.draw.shapes import SVG, words
from tests.draw.trees import LARGE, entry, grown, page, path
from workbook.draw.page import PAGE_MARKS, SLOT_MARKS, Glass, chosen, full
from workbook.draw.picture import CHAR_PX
from workbook.draw.tree import Lit, tree_picture

NAMES = ["ann", "bob", "charlotte the great queen of all", "dora", "emil", "friedrich", "gustav-adolf", "hans <& co>"]
MILLION = grown(range(1, 1_000_001), **LARGE)
LEAF = 1500
PATH = path(MILLION, LEAF)
NEIGHBOURS = {*PATH, LEAF - 1, LEAF + 1}

TREES = {
    "empty": (grown([]), Lit(), ()),
    "one leaf": (grown([10, 20]), Lit({1: "read"}, {(1, 1): "found"}), ()),
    "two levels": (grown(range(10, 100, 10)), Lit(), ()),
    "three levels": (grown(range(10, 400, 10)), Lit(), ()),
    "a path": (
        grown(range(10, 400, 10)),
        Lit({18: "read", 15: "read", 6: "written", 7: "new"}, {(15, 1): "chosen", (6, 1): "inserted"}, frozenset({(15, 6)})),
        (18, 15, 6, 7),
    ),
    "text": (grown(NAMES, 3, 4, 256, size=34), Lit(), ()),
    "wide text": (grown([name * 3 for name in NAMES * 6], 3, 4, 512, size=90), Lit({3: "written"}), ()),
    "keys cut short": (
        grown([f"{number:032x}" for number in range(0, 10**9, 10**5)], 60, 100, 8192, size=48),
        Lit({60: "read", 170: "written"}, {(60, 9): "found"}),
        (),
    ),
    "a hundred leaves": (grown(range(300)), Lit(), (50,)),
    "small pages, many entries": (grown(range(2000), 12, 20, 400), Lit({9: "read"}, {(9, 4): "compared"}), ()),
    "a million rows": (MILLION, Lit(), ()),
    "a path of a million rows": (
        MILLION,
        Lit(dict.fromkeys(PATH, "read"), {(LEAF, 200): "found"}, frozenset(pairwise(PATH))),
        (),
    ),
    "a path that was read alone": (
        grown(range(1, 1_000_001), **LARGE, read=lambda item: item["number"] in NEIGHBOURS),
        Lit({LEAF: "read"}),
        (),
    ),
    "nearly empty pages": (grown(range(5000), 33, 285, 8192), Lit(), (20,)),
    "five rows on a large page": (grown(range(5), **LARGE), Lit(), ()),
    "pages out of use": (
        grown(range(60), more=[page(100 + n, 0, [], 128, state=("free", "deleted")[n % 2]) for n in range(40)]),
        Lit(),
        (),
    ),
    "overflow pages": (grown(range(9), more=[page(50, 0, [], 128, note="overflow page of 2")]), Lit(), ()),
}  # fmt: skip
each = pytest.mark.parametrize("case", TREES)


def drawn(case, width=840):
    data, lit, focus = TREES[case]
    return data, tree_picture(data, lit, focus=focus, width=width)


def texts(svg):
    """Each text with its left, top, right and bottom, by the mean width of its letters."""
    found = []
    for shape in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        x, y, size = (float(shape.get(name)) for name in ("x", "y", "font-size"))
        width = len(words(shape)) * size * CHAR_PX
        left = {"start": x, "middle": x - width / 2, "end": x - width}[shape.get("text-anchor")]
        found.append((words(shape), (left, y - size * 0.75, left + width, y + size * 0.2)))
    return found


def rects(svg):
    for shape in ElementTree.fromstring(svg).iter(f"{SVG}rect"):
        x, y, width, height = (float(shape.get(name)) for name in ("x", "y", "width", "height"))
        yield shape, (x, y, x + width, y + height)


def accounted(data, text):
    """By level: how many pages the text twin shows, and how many it counts as left out."""
    found, level = Counter(), None
    for line in text.splitlines()[1:]:
        if head := re.match(r"(?:root|inner pages|leaves).*, level (\d+): (?:≥ )?([\d,]+) pages?", line):
            level = int(head[1])
            found[level, "said"] = int(head[2].replace(",", ""))
        elif re.match(r"  page \d+", line):
            found[level, "shown"] += 1
        elif gap := re.match(r"  … (?:≥ )?([\d,]+) (?:more )?pages? …", line):
            found[level, "counted"] += int(gap[1].replace(",", ""))
    return found


@each
@pytest.mark.parametrize("width", [840, 680])
def test_each_page_is_drawn_or_counted(case, width):
    data, picture = drawn(case, width)
    found, seen = accounted(data, picture.text), " ".join(text for text, _ in texts(picture.svg))
    for level in range(data["height"]):
        assert found[level, "shown"] + found[level, "counted"] == found[level, "said"] > 0
        if data["complete"]:
            there = [
                item
                for item in data["pages"]
                if item["level"] == level and item["state"] == "live" and not item["note"]
            ]
            assert found[level, "said"] == len(there)
    assert sum(found[level, "counted"] for level in range(data["height"])) == sum(
        int(number.replace(",", "")) for number in re.findall(r"… (?:≥ )?([\d,]+) (?:more )?pages?", seen)
    )


@each
@pytest.mark.parametrize("width", [840, 680])
def test_no_text_lies_on_another_or_leaves_its_box_and_all_are_large_enough(case, width):
    _, picture = drawn(case, width)
    root = ElementTree.fromstring(picture.svg)
    height = float(root.get("height"))
    assert float(root.get("width")) == width <= 880
    placed = texts(picture.svg)
    for text, (left, top, right, bottom) in placed:
        assert left >= 0 and right <= width and top >= 0 and bottom <= height, text
    for (one, a), (other, b) in combinations(placed, 2):
        across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        assert across <= 1 or down <= 2, (one, other)
    assert min(float(shape.get("font-size")) for shape in root.iter(f"{SVG}text")) >= 11
    cells = [box for shape, box in rects(picture.svg) if "bytes" in (shape.findtext(f"{SVG}title") or "")]
    for text, (left, top, right, bottom) in placed:
        for x, y, end, floor in cells:
            if y <= (top + bottom) / 2 <= floor and x < (left + right) / 2 < end:
                assert x - 1 <= left and right <= end + 1, text


@each
def test_boxes_do_not_lie_on_each_other_and_stay_on_the_card(case):
    data, picture = drawn(case)
    boxes = {}
    for shape, box in rects(picture.svg):
        if found := re.match(r"page (\d+):", shape.findtext(f"{SVG}title") or ""):
            boxes.setdefault(int(found[1]), box)
    assert boxes and set(boxes) <= {item["number"] for item in data["pages"]}
    assert all(x >= 0 and end <= 840 for x, _, end, _ in boxes.values())
    for a, b in combinations(boxes.values(), 2):
        assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])


@each
def test_the_text_holds_every_number_that_is_seen(case):
    _, picture = drawn(case)
    numbers = set(re.findall(r"\d+", picture.text))
    for text, _ in texts(picture.svg):
        if text.endswith("…"):
            assert text.removeprefix("< ").removesuffix("…") in picture.text
        else:
            assert set(re.findall(r"\d+", text)) <= numbers, text
    assert ElementTree.fromstring(picture.svg).findtext(f"{SVG}desc") == picture.text


def test_a_million_rows_are_few_boxes():
    for case in ("a million rows", "a path of a million rows", "a path that was read alone"):
        _, picture = drawn(case)
        assert len(picture.svg) < 40_000
        assert len(picture.text.splitlines()) < 45


def test_the_path_is_drawn_in_full_with_its_neighbours_and_the_rest_is_counted():
    _, picture = drawn("a path of a million rows")
    for number in PATH:
        assert f"page {number}, read" in picture.text
    assert "✓ 550334 (found)" in picture.text
    assert f"page {LEAF - 1}: 367 entries" in picture.text and f"page {LEAF + 1}: 367 entries" in picture.text
    gaps = [int(count.replace(",", "")) for count in re.findall(r"… ([\d,]+) more pages", picture.text)]
    assert min(gaps[-2:]) > 1_200 and sum(gaps) + len(re.findall(r"(?m)^  page", picture.text)) == len(MILLION["pages"])


def test_what_lies_below_pages_that_were_not_read_is_not_invented():
    _, picture = drawn("a path that was read alone")
    assert "≥ 296 pages" in picture.text.splitlines()[0]
    assert "leaves, level 0: ≥ 285 pages" in picture.text and "inner pages, level 1: 10 pages" in picture.text
    root_alone = tree_picture(grown(range(1, 1_000_001), **LARGE, read=lambda item: item["level"] == 2))
    assert "inner pages, level 1: 10 pages\n  … 10 pages …" in root_alone.text
    assert "leaves, level 0: not read\n  … pages not read …" in root_alone.text


@pytest.mark.parametrize("mark", PAGE_MARKS)
def test_a_lit_page_is_told_by_its_word_and_its_edge_as_well_as_by_its_colour(mark):
    data = grown(range(10, 100, 10))
    for number in (1, 4):
        plain, lit = tree_picture(data).svg, tree_picture(data, Lit({number: mark})).svg
        assert any(mark in text.split(" · ") for text, _ in texts(lit))
        assert not any(mark in text.split(" · ") for text, _ in texts(plain))
        thick = [shape for shape, _ in rects(lit) if float(shape.get("stroke-width", 1)) > 1.5]
        assert {shape.get("stroke") for shape in thick} == {PAGE_MARKS[mark]}
        assert len(thick) == (1 if mark == "read" else 2)  # once around, or twice
    assert f"page 4, {mark}: 3 entries" in tree_picture(data, Lit({4: mark})).text


@pytest.mark.parametrize("mark", SLOT_MARKS)
def test_a_lit_entry_is_told_by_its_sign_as_well_as_by_its_colour(mark):
    data, (sign, colour) = grown(range(10, 100, 10)), SLOT_MARKS[mark]
    for number, slot, key in ((1, 1, "20"), (4, 1, "40")):
        picture = tree_picture(data, Lit({}, {(number, slot): mark}))
        assert [text for text, _ in texts(picture.svg)].count(sign) == 1
        assert [shape.get("fill") for shape, _ in rects(picture.svg)].count(colour) == 1
        assert re.search(rf"{re.escape(sign)} {key}( → 2)? \({mark}\)", picture.text)


def test_marks_are_told_apart_without_colour():
    assert len({sign for sign, _ in SLOT_MARKS.values()}) == len(SLOT_MARKS)


def test_a_followed_link_is_thick_and_has_a_head():
    svg = tree_picture(grown(range(10, 100, 10)), Lit({}, {}, frozenset({(4, 2)}))).svg
    root = ElementTree.fromstring(svg)
    links = [line.get("stroke-width") for line in root.iter(f"{SVG}polyline")]
    assert links.count("3") == 1 and links.count("1.1") == 2
    heads = [shape.get("fill") for shape in root.iter(f"{SVG}polygon")]
    assert heads.count("#0072B2") == 1 and len(heads) == 1 + 4  # and both ends of two sibling links


def test_siblings_that_know_each_other_on_one_side_only_have_one_head():
    data = grown(range(10, 100, 10))
    data["pages"][1]["left"] = None
    heads = list(ElementTree.fromstring(tree_picture(data).svg).iter(f"{SVG}polygon"))
    assert len(heads) == 3


@given(entries=st.integers(1, 7), bytes=st.integers(16, 32), spare=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_what_is_free_is_an_empty_part_in_proportion(entries, bytes, spare):
    size = 40 + entries * bytes + spare
    item = page(1, 0, [entry(number, bytes) for number in range(entries)], size)
    glass = Glass.of([item], 40)
    assert glass.whole
    filled = sum(glass.entry(one) for one in item["entries"])
    assert 1 - filled / glass.length == pytest.approx(item["free"] / (size - 40), abs=0.01)


def test_a_large_page_is_filled_as_far_as_it_is_full():
    _, picture = drawn("nearly empty pages")
    (_, glass), *_ = [
        (shape, box)
        for shape, box in rects(picture.svg)
        if (shape.findtext(f"{SVG}title") or "").startswith("page 20:")
    ]
    fills = [box for shape, box in rects(picture.svg) if shape.get("fill") == "#e9edf1" and box[:3] == glass[:3]]
    assert min(box[3] - box[1] for box in fills) / (glass[3] - glass[1]) < 0.12
    assert "33 entries" in [text for text, _ in texts(picture.svg)]


def test_a_page_that_is_split_off_stands_beside_its_sibling_before_any_entry_leads_to_it():
    data = grown(range(10, 100, 10))
    data["pages"][1]["right"] = 9
    data["pages"].append(page(9, 0, [entry(65, 20)], 128, left=2, right=3))
    lines = tree_picture(data).text.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("  page")] == [
        "  page 4", "  page 1", "  page 2", "  page 9", "  page 3",
    ]  # fmt: skip


def test_pages_out_of_use_are_listed_and_counted():
    _, picture = drawn("pages out of use")
    assert (
        "free: pages 100, 102," in picture.text and "… 8 more" in picture.text and "deleted: pages 101," in picture.text
    )
    assert "overflow page: page 50" in drawn("overflow pages")[1].text


def test_dead_entries_and_posting_lists_say_so():
    leaf = page(1, 0, [entry(7, 60, pointers=1200), entry(8, 20, dead=True)], 256)
    picture = tree_picture({**grown([7]), "page_bytes": 256, "pages": [leaf]})
    assert "7 ×1,200, 8 (dead)" in picture.text
    assert {"7 ×1,200", "8 (dead)"} <= {text for text, _ in texts(picture.svg)}


def test_no_page_moves_between_two_steps_of_one_search():
    lit = [Lit({18: "read"}), Lit({18: "read", 14: "read"}, {(14, 1): "compared"}, frozenset({(18, 14)}))]
    data = grown(range(10, 400, 10))
    million = [
        Lit({PATH[0]: "read"}, {(PATH[0], 4): "compared"}),
        Lit(dict.fromkeys(PATH, "read"), {(LEAF, 9): "compared", (PATH[1], 77): "chosen"}),
    ]
    for tree, steps, focus in ((data, lit, [18, 14, 4]), (MILLION, million, PATH)):
        places = []
        for step in steps:
            svg = tree_picture(tree, step, focus=focus).svg
            boxes = [(shape.findtext(f"{SVG}title"), box) for shape, box in rects(svg)]
            places.append(
                {tip.split(":")[0]: box for tip, box in reversed(boxes) if tip and re.match(r"page \d+:", tip)}
            )
        assert places[0] == places[1]


@given(
    keys=st.integers(0, 700), per_leaf=st.integers(1, 40), fan=st.integers(2, 40), data=st.data(),
    bytes=st.sampled_from([128, 256, 1024, 8192]), width=st.integers(560, 880),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_tree_with_anything_in_focus_is_accounted_for(keys, per_leaf, fan, data, bytes, width):
    tree = grown(range(keys), per_leaf, fan, bytes)
    numbers = st.integers(1, len(tree["pages"]))
    focus = data.draw(st.lists(numbers, max_size=4))
    lit = Lit(dict.fromkeys(focus, "written"), {(number, 0): "compared" for number in focus})
    picture = tree_picture(tree, lit, focus=focus, width=width)
    found = accounted(tree, picture.text)
    for level in range(tree["height"]):
        there = sum(1 for item in tree["pages"] if item["level"] == level)
        assert found[level, "shown"] + found[level, "counted"] == found[level, "said"] == there
    assert all(right <= width and left >= 0 for _, (left, _, right, _) in texts(picture.svg))


@given(count=st.integers(0, 500), lines=st.integers(1, 20), data=st.data())
@settings(max_examples=100, deadline=None)
def test_entries_that_are_left_out_are_counted(count, lines, data):
    wanted = data.draw(st.lists(st.integers(0, max(count - 1, 0)), max_size=3, unique=True)) if count else []
    items = chosen(count, lines, wanted)
    slots = [item for item in items if isinstance(item, int)]
    assert sum(1 if isinstance(item, int) else item.count for item in items) == count
    assert set(wanted) <= set(slots) and slots == sorted(slots)
    assert len(items) <= max(lines, 2 * len(wanted) + 1, 6)


def test_fill_is_told_as_a_share_of_what_entries_can_have():
    assert full({"bytes": 128, "free": 44}, 40) == 0.5


@each
def test_the_same_data_give_the_same_picture(case):
    assert drawn(case)[1] == drawn(case)[1]


def test_letters_of_xml_are_escaped():
    _, picture = drawn("text")
    assert "hans &lt;&amp; co&gt;" in picture.svg
    ElementTree.fromstring(picture.svg)
