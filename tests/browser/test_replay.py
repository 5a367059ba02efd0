"""The map of every order and the timeline in a real JupyterLab, by clicks and keys, in the light and in the dark theme.

What the page shows is held against what the same program gives here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Desk, desk_with
from tests.browser.looking import faults, measured
from workbook.draw.heatmap import grids, places
from workbook.schedules import Exploration, Program, Stage, explore, heat_map
from workbook.schedules.replay import HeatMap

pytestmark = pytest.mark.slow

SETUP = "CREATE TABLE test (id int PRIMARY KEY, value int);\nINSERT INTO test VALUES (1, 10), (2, 20);"
READ = "SELECT id, value FROM test WHERE id = 1"
SESSIONS = {
    "T1": [READ, "UPDATE test SET value = 11 WHERE id = 1"],
    "T2": [READ, "UPDATE test SET value = 12 WHERE id = 1"],
}
MANY = {name: [f"UPDATE test SET value = value + {number} WHERE id = 1"] for number, name in enumerate(("A", "B", "C"))}
CELLS = [
    "from workbook.schedules import Program, explore, run, step_through",
    f"program = Program('Lost update', {SETUP!r}, {SESSIONS!r})\nexplore(program)",
    f"many = Program('Three increments', {SETUP!r}, {MANY!r})\nexplore(many, 'sqlite', 'immediate')",
    "one = run(program.order('T1 T2 T1 T2 T1 T2 T1 T2'.split()))\nstep_through(one)",
    "one",
]
MAP, LARGE, STEPS, STILL = "explore(program)", "explore(many", "step_through(one)", "one"
ITS_OWN = ("noUi-", "slider-container")  # ipywidgets' slider, whose handle stands out at its end


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A notebook with a map, a large one, and a run that is stepped through, all cells run."""
    with desk_with(CELLS, "orders", height=1600) as desk:
        yield desk


@pytest.fixture(scope="module")
def here() -> Iterator[HeatMap]:
    """The same map, made here."""
    with closing(Stage("postgresql")) as stage:
        yield heat_map(explore(Program("Lost update", SETUP, SESSIONS), stage=stage))


class Hand:
    """A map on the page, and the hand that uses it."""

    def __init__(self, desk: Desk, holding: str) -> None:
        self.desk, self.cell = desk, desk.cell(holding)
        self.map = self.cell.locator(".workbook-map")
        self.caption = self.cell.locator(".workbook-heatmap > .widget-html [aria-live=polite]").first
        self.player = self.cell.locator(".workbook-player")

    def click(self, exploration: Exploration, level: int, place: int) -> None:
        """Click into the middle of a cell, wherever the map is on the page and however large it is drawn."""
        grid = grids(exploration.data())[level]
        x, y = grid.at(place)
        box = self.map.locator("svg").first.bounding_box()
        wide = float(self.map.locator("svg").first.get_attribute("width"))
        scale = box["width"] / wide
        self.map.locator("svg").first.click(
            position={"x": (x + grid.across / 2) * scale, "y": (y + grid.down / 2) * scale}
        )

    def shows(self, map_here: HeatMap) -> None:
        """The caption, the frame and the replay are those of the order that is chosen here."""
        expect(self.caption).to_have_text(map_here.caption)
        level, place = map_here._chosen
        x, y = grids(map_here.exploration.data())[level].at(place)
        expect(self.map.locator(".workbook-frame").last).to_have_attribute("x", f"{x - 2:g}")
        expect(self.map.locator(".workbook-frame").last).to_have_attribute("y", f"{y - 2:g}")
        expect(self.player.locator("svg[role=img] > desc").first).to_have_text(map_here.player[-1].pictures[0].text)


@pytest.fixture
def hand(desk: Desk) -> Hand:
    return Hand(desk, MAP)


def test_it_opens_at_an_anomaly_and_says_why(hand: Hand, here: HeatMap) -> None:
    assert here.cell.kind == "anomaly" and "P4 lost update" in here.caption
    hand.shows(here)
    expect(hand.player.locator("[aria-live=polite]")).to_contain_text("Equivalent to no order. P4 lost update: T2 read")


@pytest.mark.parametrize(("level", "place"), [(0, 0), (0, 69), (1, 33), (2, 10), (1, 9)])
def test_a_click_chooses_the_order_that_is_replayed(
    hand: Hand, here: HeatMap, level: int, place: int, desk: Desk
) -> None:
    order = places(here.exploration.data())[place]
    hand.click(here.exploration, level, place)
    here.choose(order + 1, here.exploration.levels[level])
    hand.shows(here)
    assert here.cell.number == order + 1 and here.cell.level == here.exploration.levels[level]
    for word, number in (("first", 0), ("forward", 1), ("last", len(here.player) - 1), ("back", len(here.player) - 2)):
        hand.player.get_by_role("button", name=word, exact=True).click()
        expect(hand.player.locator("[aria-live=polite]")).to_have_text(here.player[number].caption)


def test_keys_choose_and_the_focus_stays_on_the_map(hand: Hand, here: HeatMap, desk: Desk) -> None:
    hand.click(here.exploration, 0, 20)
    here.choose(places(here.exploration.data())[20] + 1, "read committed")
    across, down = ["ArrowRight", "ArrowRight", "ArrowLeft"], ["ArrowDown"] * 3
    for key in (*across, *down, "n", "n", "End", "ArrowRight", "Home", "ArrowUp"):
        desk.page.keyboard.press(key)
        here.move(key)
        hand.shows(here)
        expect(hand.map).to_be_focused()


def test_the_map_is_reached_by_the_tab_key_and_names_itself(hand: Hand, desk: Desk) -> None:
    hand.player.get_by_role("button", name="first", exact=True).focus()
    desk.page.keyboard.press("Shift+Tab")
    expect(hand.map).to_be_focused()
    assert "arrow keys" in hand.map.get_attribute("aria-label")


def test_a_click_beside_the_cells_changes_nothing(hand: Hand, here: HeatMap) -> None:
    hand.click(here.exploration, 0, 5)
    here.choose(places(here.exploration.data())[5] + 1, "read committed")
    hand.shows(here)
    hand.map.locator("svg").first.click(position={"x": 300, "y": 20})
    hand.shows(here)


def test_cells_in_many_lines_are_hit_where_they_are_drawn(desk: Desk) -> None:
    many = heat_map(explore(Program("Three increments", SETUP, MANY), "sqlite", "immediate"))
    hand = Hand(desk, LARGE)
    assert many.exploration.explored == 1_680
    for place in (0, 88, 89, 90, 700, 1_679):
        hand.click(many.exploration, 0, place)
        many.choose(places(many.exploration.data())[place] + 1, "immediate")
        hand.shows(many)


def test_a_run_is_stepped_through_event_by_event(desk: Desk) -> None:
    cell = desk.cell(STEPS)
    player = cell.locator(".workbook-player")
    player.get_by_role("button", name="first", exact=True).click()
    expect(player.locator("[aria-live=polite]")).to_have_text("T1: BEGIN")
    said = []
    for _ in range(8):
        player.get_by_role("button", name="forward", exact=True).click()
        caption = player.locator("[aria-live=polite]")
        expect(caption).not_to_have_text(said[-1] if said else "T1: BEGIN")
        said.append(caption.inner_text())
    assert any("… waits for T1, row id=1 of test" in one for one in said)
    player.get_by_role("slider").focus()
    desk.page.keyboard.press("End")
    expect(player.locator("[aria-live=polite]")).to_have_text("In the end: T1 committed, T2 committed.")


def test_the_saved_notebook_holds_stills_and_their_text(desk: Desk) -> None:
    outputs = [cell["outputs"] for cell in desk.learner.saved("orders")["cells"]]
    for number, word in ((1, "anomaly P4 lost update"), (2, "orders of A"), (3, "waits for T1"), (4, "waits for T1")):
        data = next(one["data"] for one in reversed(outputs[number]) if "image/svg+xml" in one.get("data", {}))
        assert "<svg" in "".join(data["image/svg+xml"]) and word in "".join(data["text/plain"])
    bar = outputs[2][0]["data"]
    assert "".join(bar["text/plain"]) == "orders on SQLite: 1,680 of 1,680" and "text/html" not in bar


def test_nothing_overlaps_and_all_can_be_read_in_both_themes(desk: Desk, here: HeatMap, pictures: Path) -> None:
    wrong, texts = [], 0

    def look(cell: Locator, name: str) -> None:
        nonlocal texts
        cell.scroll_into_view_if_needed()
        cell.screenshot(path=pictures / f"{name}.png")
        found = [fault for fault in faults(cell) if not any(word in fault for word in ITS_OWN)]
        wrong.extend(f"{name}: {fault}" for fault in found)
        texts += len(measured(cell)["contrast"])

    for theme in ("dark", "light"):
        desk.theme(theme)
        hand = Hand(desk, MAP)
        for level, place in ((0, 40), (1, 40), (2, 3)):
            hand.click(here.exploration, level, place)
            here.choose(places(here.exploration.data())[place] + 1, here.exploration.levels[level])
            hand.shows(here)
            look(hand.cell, f"orders-{theme}-{level}-{place:02}")
        look(desk.cell(LARGE), f"orders-{theme}-large")
        steps = desk.cell(STEPS)
        steps.get_by_role("button", name="first", exact=True).click()
        for number in (5, 4):
            for _ in range(number):
                steps.get_by_role("button", name="forward", exact=True).click()
            look(steps, f"timeline-{theme}-{number}")
        look(desk.at(len(CELLS) - 1), f"timeline-{theme}-still")
    assert not wrong
    assert texts > 200  # it did look
