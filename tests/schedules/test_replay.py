"""A run that is stepped through, and the map in which an order is chosen: what they show and say, without a browser."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.draw.shapes import SVG, assert_readable, texts
from workbook.draw.heatmap import places
from workbook.errors import Misuse
from workbook.schedules import Exploration, Program, Stage, explore, heat_map, step_through
from workbook.schedules.graph import dependencies
from workbook.schedules.replay import HeatMap, timeline, timeline_data
from workbook.schedules.scenarios import SCENARIOS, SETUP
from workbook.schedules.verdict import judge

READ = "SELECT id, value FROM test WHERE id = 1"
LOST = Program(
    "lost update",
    SETUP,
    {
        "T1": [READ, "UPDATE test SET value = 11 WHERE id = 1"],
        "T2": [READ, "UPDATE test SET value = 12 WHERE id = 1"],
    },
)


@pytest.fixture(scope="module")
def explored(postgres: Stage) -> Exploration:
    return explore(LOST, levels=["read committed", "repeatable read"], stage=postgres)


@pytest.fixture
def shown(explored: Exploration) -> HeatMap:
    return heat_map(explored)


def test_each_event_is_a_frame_and_the_last_one_says_what_came_of_it(postgres: Stage) -> None:
    run = postgres.run(SCENARIOS["P4"].schedule, "read committed")
    verdict, graph = judge(run, postgres), dependencies(run, postgres)
    player = step_through(run, graph, verdict)
    captions = [frame.caption for frame in player]
    assert captions[5] == "T2: UPDATE test SET value = 11 WHERE id = 1  … waits for T1, row id=1 of test"
    assert captions[7] == "T2: UPDATE test SET value = 11 WHERE id = 1  → 1 row"  # going on and its end are one frame
    assert len(captions) == len(run.events) and captions[0] == "T1: BEGIN"
    assert captions[-1] == (
        f"In the end: T1 committed, T2 committed. Equivalent to no order. {graph.name}: {graph.words}."
    )
    assert player[5].pictures[0].text == "T1 goes on\nT2 waits for T1"
    assert player[6].pictures[0].text == "T1 has committed\nT2 waits for T1"
    assert player[-1].pictures[0].text == str(run)
    for frame in player:
        assert_readable(ElementTree.fromstring(frame.pictures[0].svg))


def test_frames_tell_who_has_failed_and_who_has_rolled_back(postgres: Stage) -> None:
    player = step_through(postgres.run(SCENARIOS["P4"].schedule, "repeatable read"))
    states = [frame.pictures[0].text for frame in player]
    assert states[0] == "T1 goes on\nT2 has not begun"
    assert "T1 has committed\nT2 has failed with 40001" in states and states[-2].endswith("T2 has rolled back")
    assert player[-1].caption == "In the end: T1 committed, T2 aborted 40001."
    aborted = [frame.pictures[0].text for frame in step_through(postgres.run(SCENARIOS["G1a"].schedule))]
    assert "T1 has rolled back\nT2 goes on" in aborted


def test_what_a_read_found_is_told_with_whoever_left_it_so(postgres: Stage) -> None:
    run = postgres.run(SCENARIOS["OTV"].schedule, "read committed")
    graph = dependencies(run, postgres)
    saw = timeline_data(run, graph)["saw"]
    assert saw["T3.2"] == "found row 1 as T1.2 left it" and saw["T3.5"] == "found row 1 as T2.2 left it"
    root = ElementTree.fromstring(timeline(run, graph).svg)
    assert "found row 1 as T1.2 left it" in texts(root) and graph.name in texts(root)
    own = postgres.run(SCENARIOS["G1b"].schedule, "read committed")
    assert timeline_data(own, dependencies(own, postgres))["saw"]["T1.3"] == "found its own row 1"
    assert "saw" not in timeline_data(run) and timeline_data(run, sessions=["T3", "T1", "T2"])["sessions"][0] == "T3"


def test_the_map_opens_at_the_first_anomaly(shown: HeatMap) -> None:
    assert shown.cell.kind == "anomaly" and shown.cell.level == "read committed"
    assert shown.caption == (
        f"Order {shown.cell.number} of 70 at read committed: {shown.cell.order}. "
        "Anomaly P4 lost update, equivalent to no order."
    )
    assert shown.player.at == len(shown.player) - 1 and "P4 lost update" in shown.player[-1].caption


def test_keys_lead_to_the_next_cell_the_next_level_and_the_next_that_differs(shown: HeatMap) -> None:
    order = places(shown.exploration.data())

    def at() -> tuple[str, int]:
        return shown.cell.level, order.index(shown.cell.number - 1)

    shown.move("Home")
    assert at() == ("read committed", 0) and shown.cell.kind == "serial"
    for key, place in (("ArrowLeft", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("n", 10), ("n", 0)):
        shown.move(key)
        assert at() == ("read committed", place)
    shown.move("ArrowUp")
    assert at() == ("read committed", 0)
    shown.move("ArrowDown")
    shown.move("ArrowDown")
    shown.move("End")
    assert at() == ("repeatable read", 69) and shown.cell.text == "abort 40001"
    shown.move("ArrowRight")
    assert at() == ("repeatable read", 69)
    assert shown.player[-1].caption.startswith("In the end:") and "aborted 40001" in shown.player[-1].caption


def test_an_order_is_chosen_by_its_number_or_its_turns_and_its_lanes_stay(shown: HeatMap) -> None:
    shown.choose("T2 T2 T2 T2 T1 T1 T1 T1", "repeatable read")
    assert shown.cell.number == 70 and shown.cell.kind == "serial"
    svg = shown.player[-1].pictures[0].svg
    heads = [text for text in texts(ElementTree.fromstring(svg)) if text in ("T1", "T2")]
    assert heads == ["T1", "T2"]
    shown.choose(3)
    assert shown.cell.level == "repeatable read"
    with pytest.raises(Misuse, match="order 99 was not explored"):
        shown.choose(99)


def test_the_still_holds_the_map_and_the_timeline_and_the_text_both_in_words(shown: HeatMap) -> None:
    root = ElementTree.fromstring(shown.still.svg)
    words = [text for text in root.itertext() if text.strip()]
    assert "60 anomaly P4 lost update" in words and "snapshot of the statement" in words
    assert root.find(f"{SVG}desc") is not None
    assert str(shown.exploration) in shown.still.text.replace("\n  ", "\n")
    assert str(shown.cell.run) in str(shown) and shown.caption in str(shown)


def test_in_a_notebook_a_view_a_still_and_the_text_are_handed_over(explored: Exploration) -> None:
    bundle = explored._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "image/svg+xml", "text/plain"}
    assert bundle["image/svg+xml"].startswith("<svg") and "60 anomaly P4 lost update" in bundle["text/plain"]


def test_what_the_page_says_moves_the_frame_and_the_replay(shown: HeatMap) -> None:
    """The words that a click and a key put into the hidden field."""
    map_, field, caption, _ = shown.widget.children
    assert 'tabindex="0"' in map_.value and "data-grids" in map_.value and map_.value.count("workbook-frame") >= 2
    field.value = "at 1 0 1"
    assert shown.cell.level == "repeatable read" and shown.cell.kind == "serial"
    assert shown.caption.replace("'", "&#x27;") in caption.value
    drawn = map_.value
    field.value = "ArrowRight 2"
    assert shown.caption in caption.value and map_.value is drawn  # the map itself is drawn once
    field.value = ""
    assert shown.caption in caption.value


def test_without_names_the_reason_is_looked_up_when_an_order_is_chosen(postgres: Stage) -> None:
    found = explore(LOST, levels="read committed", names=False, stage=postgres)
    assert found.first("anomaly").name == "" and dict(found.tallies["read committed"].texts) == {
        "serial": 10,
        "anomaly": 60,
    }
    map_ = heat_map(found)
    assert "P4 lost update: " in map_.player[-1].caption
