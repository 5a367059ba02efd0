"""The stepper in a real JupyterLab, by clicks, keys and what is typed, in the light and in the dark theme.

What the page shows is held against the frames that the same keys give here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Desk, desk_with
from tests.browser.looking import faults, measured
from workbook.btree.stepper import Stepper, stepper

pytestmark = pytest.mark.slow

KEYS = [30, 10, 50, 20, 40, 60, 35, 36, 37, ("find", 36), ("delete", 10), ("range", 30, 50)]
CELLS = [
    "from workbook import shop\nfrom workbook.btree import Tree, read_index, stepper",
    f"stepper(keys={KEYS}, pool_pages=3)",
    'shop_engine = shop(orders=20_000)\nstepper(shop_engine, "order_lines_pkey", find=(4711, 1))',
    'read_index(shop_engine, "order_lines_pkey")',
]
GROWING, REAL, WHOLE = "stepper(keys=", "find=(4711, 1)", "read_index(shop_engine"
ITS_OWN = ("noUi-origin",)  # ipywidgets' slider moves its handle within a wider box


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A notebook with steppers, all cells run."""
    with desk_with(CELLS, "steps") as desk:
        yield desk


class Hand:
    """A stepper on the page, and the hands that use it."""

    def __init__(self, desk: Desk, holding: str) -> None:
        self.desk, self.cell = desk, desk.cell(holding)
        self.box = self.cell.locator(".workbook-player")
        self.field = self.cell.locator(".workbook-stepper").get_by_role("textbox").first
        self.caption = self.box.locator("[aria-live=polite]")

    def click(self, word: str) -> None:
        self.cell.get_by_role("button", name=word, exact=True).click()

    def shows(self, caption: str) -> None:
        expect(self.caption).to_have_text(caption)

    @property
    def picture(self) -> Locator:
        return self.box.locator("svg[role=img]").first

    def texts(self) -> list[str]:
        return self.picture.locator("text").evaluate_all(
            "all => all.map(text => [...text.childNodes].filter(node => node.nodeType === 3).map(node => node.data).join(''))"
        )


@pytest.fixture
def hand(desk: Desk) -> Hand:
    found = Hand(desk, GROWING)
    found.click("first")
    found.shows("This is the tree before the first step.")
    return found


@pytest.fixture(scope="module")
def here() -> Stepper:
    """The same steps, made here."""
    return stepper(keys=KEYS, pool_pages=3)


def test_forward_back_first_and_last_show_their_frames(hand: Hand, here: Stepper) -> None:
    at = 0
    for word, step in (
        ("forward", 1),
        ("forward", 1),
        ("back", -1),
        ("forward", 1),
        ("forward", 1),
        ("last", 0),
        ("back", -1),
    ):
        hand.click(word)
        at = len(here.player) - 1 if word == "last" else at + step
        frame = here.player[at]
        hand.shows(frame.caption)
        expect(hand.box.locator("svg[role=img] > desc").first).to_have_text(frame.pictures[0].text)
        expect(hand.box.locator("svg[role=img] > desc").last).to_have_text(frame.pictures[1].text)
    hand.click("first")
    hand.shows(here.player[0].caption)


def test_each_step_of_a_split_is_seen(hand: Hand, here: Stepper) -> None:
    split = next(n for n, frame in enumerate(here.player) if "is full" in frame.caption)
    for _ in range(split):
        hand.click("forward")
    hand.shows(here.player[split].caption)
    assert {"written", "new", "buffer pool"} <= set(hand.box.locator("svg text").all_text_contents())
    assert "page 2" in hand.texts()


def test_what_is_read_out_and_what_is_clicked_stay_where_they_are(hand: Hand, here: Stepper) -> None:
    kept = [hand.caption.element_handle(), hand.box.get_by_role("button", name="forward").element_handle()]
    before = kept[1].bounding_box()
    for number in range(1, 12):
        hand.click("forward")
        hand.shows(here.player[number].caption)
    assert all(element.evaluate("element => element.isConnected") for element in kept)
    assert kept[1].bounding_box() == before
    assert kept[0].evaluate("element => getComputedStyle(element).display") != "none"


def test_arrow_keys_step_on_the_slider_and_on_the_buttons(hand: Hand, here: Stepper) -> None:
    hand.box.get_by_role("slider").focus()
    at = 0
    for key, step in (
        ("ArrowRight", 1),
        ("ArrowRight", 1),
        ("ArrowLeft", -1),
        ("ArrowUp", 1),
        ("End", None),
        ("Home", None),
    ):
        hand.desk.page.keyboard.press(key)
        at = {"End": len(here.player) - 1, "Home": 0}.get(key, at + (step or 0))
        hand.shows(here.player[at].caption)
        expect(hand.box.get_by_role("slider")).to_be_focused()
    forward = hand.box.get_by_role("button", name="forward")
    forward.focus()
    for key, at in (("Enter", 1), (" ", 2), ("ArrowRight", 3), ("ArrowLeft", 2)):
        hand.desk.page.keyboard.press(key)
        hand.shows(here.player[at].caption)
    expect(forward).to_be_focused()


def test_from_key_to_key(hand: Hand, here: Stepper) -> None:
    starts = [
        n
        for n, frame in enumerate(here.player)
        if n and frame.caption.split(" · ")[0] != here.player[n - 1].caption.split(" · ")[0]
    ]
    for at in starts[:3]:
        hand.click("next key")
        hand.shows(here.player[at].caption)
    hand.click("previous key")
    hand.shows(here.player[starts[1]].caption)


def test_own_keys_are_inserted_found_deleted_and_undone(hand: Hand) -> None:
    here = stepper(keys=KEYS, pool_pages=3)
    field = hand.field
    count = hand.box.locator(".widget-html-content").filter(has_text=re.compile(r"^of [\d,]+$"))

    def typed(text: str, word: str) -> None:
        field.fill(text)
        hand.click(word)

    typed("17", "insert")
    here.insert(17)
    hand.shows(here.player[here.player.at].caption)
    expect(count).to_have_text(f"of {len(here.player)}")
    hand.click("last")
    hand.shows(here.player[-1].caption)
    assert "+" in hand.texts() and "17" in hand.texts()

    typed("36, 17", "find")
    first = len(here.player)
    here.find(36)
    here.find(17)
    hand.shows(here.player[first].caption)
    typed("17", "delete")
    here.delete(17)
    hand.shows(here.player[here.player.at].caption)
    typed("20..37", "find")
    here.range(20, 37)
    hand.shows(here.player[here.player.at].caption)
    for left in range(4, -1, -1):
        here.undo()
        hand.click("undo")
        hand.shows(here.player[here.player.at].caption)
        expect(count).to_have_text(f"of {len(here.player)}")
        assert left >= 0
    assert "17" not in hand.texts()


def test_enter_inserts_and_a_key_of_another_kind_is_a_sentence(hand: Hand) -> None:
    field = hand.field
    field.fill("55")
    field.press("Enter")
    expect(hand.caption).to_contain_text("insert 55 · ")
    hand.click("undo")
    field.fill("ann")
    hand.click("insert")
    expect(hand.caption).to_contain_text("ann is not a whole number")
    field.fill("")
    hand.click("find")
    expect(hand.caption).to_contain_text("No key is written there")


def test_a_real_index_is_read_from_the_root_to_the_leaf(desk: Desk) -> None:
    hand = Hand(desk, REAL)
    hand.click("first")
    assert "pages" in hand.texts() and not any("? " in text for text in hand.texts())
    hand.click("forward")
    expect(hand.caption).to_contain_text("is read: the root")
    hand.click("last")
    expect(hand.caption).to_contain_text("(4711, 1) is found in slot")
    assert {"✓", "▾", "leaves", "root"} <= set(hand.texts())
    hand.field.fill("(4712, 1)")
    hand.click("find")
    expect(hand.caption).to_contain_text("find (4712, 1) · Page")


def test_the_saved_notebook_holds_stills_and_their_text(desk: Desk) -> None:
    outputs = [cell["outputs"] for cell in desk.learner.saved("steps")["cells"]]
    for shown in outputs[1:3]:
        data = shown[0]["data"]
        assert "<svg" in "".join(data["image/svg+xml"]) and "level 0" in "".join(data["text/plain"])
    assert "<svg" in "".join(outputs[3][0]["data"]["image/svg+xml"])


def test_nothing_overlaps_and_all_can_be_read_in_both_themes(desk: Desk, pictures: Path) -> None:
    wrong, texts = [], 0
    for theme in ("dark", "light"):
        desk.theme(theme)
        for name, holding, steps in (("growing", GROWING, (0, 9, 30, 52, 75)), ("real", REAL, (0, 3, 9, 15))):
            hand = Hand(desk, holding)
            hand.click("first")
            at = 0
            for step in steps:
                for _ in range(step - at):
                    hand.click("forward")
                at = step
                expect(hand.box.get_by_role("slider")).to_have_attribute("aria-valuetext", str(at + 1))
                hand.cell.scroll_into_view_if_needed()
                hand.cell.screenshot(path=pictures / f"stepper-{name}-{theme}-{step:02}.png")
                found = [fault for fault in faults(hand.cell) if not any(word in fault for word in ITS_OWN)]
                wrong += [f"{name}, step {step}, {theme}: {fault}" for fault in found]
                texts += len(measured(hand.cell)["contrast"])
        whole = desk.cell(WHOLE)
        whole.screenshot(path=pictures / f"stepper-whole-{theme}.png")
        wrong += [f"whole, {theme}: {fault}" for fault in faults(whole)]
    assert not wrong
    assert texts > 300  # it did look
