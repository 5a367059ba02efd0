"""Pictures of schedules that have run: whole XML, every step told, waits that point to the holder, nothing on
anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from itertools import combinations
from xml.etree import ElementTree

import pytest

from tests.draw.shapes import SVG, assert_readable, points, texts
from workbook.draw.picture import BLUE, INK, ORANGE, PURPLE, VERMILION
from workbook.draw.timeline import rows_of, timeline_picture
from workbook.errors import TooManyRows
from workbook.schedules import Run, Schedule, Stage
from workbook.schedules.graph import dependencies
from workbook.schedules.scenarios import SCENARIOS, SETUP

DEADLOCK = """# Increments in opposite order
T1: BEGIN
T2: BEGIN
T1: UPDATE test SET value = value + 1 WHERE id = 1
T2: UPDATE test SET value = value + 1 WHERE id = 2
T1: UPDATE test SET value = value + 1 WHERE id = 2
T2: UPDATE test SET value = value + 1 WHERE id = 1
T1: COMMIT
T2: COMMIT
"""
LEVELS = ("read committed", "repeatable read", "serializable")


def schedule(text: str) -> Schedule:
    read = Schedule.read(text)
    return Schedule(read.title, SETUP, read.steps)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with closing(Stage("postgresql")) as stage:
        yield stage


@pytest.fixture(scope="module")
def runs(stage: Stage) -> dict[str, Run]:
    """Every scenario at three levels, and a deadlock."""
    made = {f"{key}, {level}": stage.run(one.schedule, level) for key, one in SCENARIOS.items() for level in LEVELS}
    return {**made, "deadlock": stage.run(schedule(DEADLOCK))}


def drawn(run: Run, upto: int | None = None, **more: object) -> ElementTree.Element:
    return ElementTree.fromstring(timeline_picture({**run.data(), **more}, str(run), upto).svg)


def of_colour(root: ElementTree.Element, tag: str, colour: str, attribute: str = "fill") -> list[ElementTree.Element]:
    return [shape for shape in root.iter(f"{SVG}{tag}") if shape.get(attribute) == colour]


def test_each_scenario_is_drawn_whole(runs: dict[str, Run]) -> None:
    for name, run in runs.items():
        root = drawn(run)
        assert root.findtext(f"{SVG}desc") == str(run), name
        assert_readable(root)
        tips = [shape.findtext(f"{SVG}title") or "" for shape in root.iter(f"{SVG}text")]
        for step in run.schedule.steps:
            assert any(tip.startswith(f"{step.name}: {step.sql}") for tip in tips), (name, step)
        shown = texts(root)
        assert all(session in shown for session in run.schedule.sessions)
        assert sum(text == "committed" for text in shown) == len(run.committed), name
        numbers = [text for text in shown if text.isdigit()]
        assert numbers == [str(at) for at in rows_of(run.data())]


def test_the_same_data_gives_the_same_picture(runs: dict[str, Run]) -> None:
    run = runs["P4, read committed"]
    assert run.picture.svg == timeline_picture(run.data(), str(run)).svg
    assert run._repr_mimebundle_() == {"image/svg+xml": run.picture.svg, "text/plain": str(run)}


def test_a_wait_is_a_bar_and_an_arrow_to_the_holder(runs: dict[str, Run]) -> None:
    root = drawn(runs["P4, read committed"])
    assert "waits for T1: row id=1 of test" in texts(root)
    bar, _ = of_colour(root, "rect", ORANGE)  # the second one is the legend's
    assert bar.get("stroke-dasharray") and float(bar.get("height")) > 30
    (arrow,) = of_colour(root, "polygon", INK)
    tip = points(arrow)[0][0]
    assert tip < float(bar.get("x")) - 200 and tip == min(x for x, _ in points(arrow))


def test_in_a_deadlock_the_arrows_point_at_each_other_and_the_victim_is_marked(runs: dict[str, Run]) -> None:
    root = drawn(runs["deadlock"])
    heads = [points(arrow) for arrow in of_colour(root, "polygon", INK)]
    assert [head[0][0] == max(x for x, _ in head) for head in heads] == [True, False]  # to the right, to the left
    assert "✗ 40P01 deadlock detected" in texts(root) and "✗ aborted 40P01" in texts(root)
    assert "→ answers ROLLBACK: nothing of it stays" in texts(root)
    failed = [shape for shape in of_colour(root, "rect", VERMILION, "stroke") if shape.get("stroke-dasharray")]
    assert len(failed) == 1 and len(of_colour(root, "circle", VERMILION)) == 3  # two events and the legend


@pytest.mark.parametrize(
    ("level", "count", "word"), [("read committed", 4, "the statement"), ("repeatable read", 2, "the transaction")]
)
def test_snapshots_stand_where_they_are_taken(runs: dict[str, Run], level: str, count: int, word: str) -> None:
    root = drawn(runs[f"G2i, {level}"])
    marks = of_colour(root, "polygon", BLUE)
    assert len(marks) == count + 1  # and the legend's
    assert f"snapshot of {word}" in texts(root)


def test_the_shortest_cycle_joins_its_steps_and_is_told_in_words(runs: dict[str, Run], stage: Stage) -> None:
    for key, level in (("P4", LEVELS[0]), ("OTV", LEVELS[0]), ("G2i", LEVELS[1]), ("Fekete", LEVELS[1])):
        run = runs[f"{key}, {level}"]
        graph = dependencies(run, stage)
        root = drawn(run, graph=graph.data())
        assert_readable(root)
        lines = [shape for shape in of_colour(root, "polyline", PURPLE, "stroke") if len(points(shape)) == 4]
        assert len(lines) == len(graph.cycle()) and graph.name in texts(root)
        for number, edge in enumerate(graph.cycle(), 1):
            assert str(number) in texts(root)
            assert any(text.endswith(f"{edge.source} → {edge.target}: {edge.words}") for text in texts(root))
        vertical = [points(line)[1][0] for line in lines]
        assert all(abs(a - b) > 12 for a, b in combinations(vertical, 2))  # each has a channel of its own


def test_what_has_not_been_seen_yet_is_not_told(runs: dict[str, Run]) -> None:
    run = runs["deadlock"]
    data, whole = run.data(), drawn(run)
    for upto in rows_of(data):
        root = drawn(run, upto)
        assert_readable(root)
        assert (root.get("width"), root.get("height")) == (whole.get("width"), whole.get("height"))
        said = [text for text in texts(root) if text.startswith(("→", "goes on", "waits for", "✗"))]
        rows = [event for event in data["events"][: upto + 1] if event["kind"] != "resumed"]
        assert len([text for text in said if "aborted" not in text]) == sum(
            event["kind"] != "done" or event["rowcount"] is not None or event["answer"] == "ROLLBACK"
            for event in rows
            if not data["steps"][event["step"]]["sql"].startswith(("BEGIN", "COMMIT")) or event["answer"] == "ROLLBACK"
        )
        tips = " ".join(shape.findtext(f"{SVG}title") or "" for shape in root.iter(f"{SVG}text"))
        assert ("deadlock detected" in tips) == (upto >= 7)
        assert any("test: " in text for text in texts(root)) == (upto == rows_of(data)[-1])
    bars = [
        shape
        for shape in drawn(run, 5).iter(f"{SVG}rect")
        if "a transaction of" in (shape.findtext(f"{SVG}title") or "")
    ]
    ends = {float(bar.get("y")) + float(bar.get("height")) for bar in bars}
    assert len(bars) == 2 and len(ends) == 1  # both are open, down to what was seen last
    marked = [shape for shape in drawn(run, 5).iter(f"{SVG}rect") if shape.get("stroke") == ORANGE]
    assert len(marked) == 1


def test_many_sessions_and_long_statements_stay_on_the_card(stage: Stage) -> None:
    long = "SELECT " + ", ".join(f"value AS a_rather_long_name_{number}" for number in range(9)) + " FROM test"
    steps = [f"S{number}: {long} WHERE id = {number}" for number in range(1, 8)]
    run = stage.run(schedule("# " + "A title that goes on and on " * 9 + "\n" + "\n".join(steps)))
    root = drawn(run)
    assert_readable(root)
    assert sum(text.endswith(" …") for text in texts(root)) >= 8
    wide = stage.run(
        schedule(
            "T1: SELECT n, 'x' FROM generate_series(1, 40) n\n"
            "T1: INSERT INTO test SELECT n, n FROM generate_series(3, 99) n"
        )
    )
    assert_readable(drawn(wide))
    assert any("and 34 more" in text for text in texts(drawn(wide)))


def test_other_engines_say_their_own_codes() -> None:
    with closing(Stage("sqlite")) as stage:
        run = stage.run(SCENARIOS["G2i"].schedule)
        root = drawn(run)
        assert_readable(root)
        assert any(re.match(r"✗ 5 .*locked", text) for text in texts(root)), texts(root)
        assert f"SQLite {run.version} · deferred" in texts(root)
        waited = stage.run(SCENARIOS["G0"].schedule)
        assert any(text.startswith("waits for T1: the database's write lock") for text in texts(drawn(waited)))


def test_levels_that_differ_stand_with_their_sessions(stage: Stage) -> None:
    text = "level: read committed\nlevel T2: serializable\n" + DEADLOCK.split("\n", 1)[1]
    read = Schedule.read(text)
    run = stage.run(Schedule("", SETUP, read.steps, read.level, levels=read.levels))
    assert {"T1, read committed", "T2, serializable"} <= set(texts(drawn(run)))
    snapshots = {(one["session"], one["covers"]) for one in run.data()["snapshots"]}
    assert snapshots == {("T1", "statement"), ("T2", "transaction")} and "snapshot" in texts(drawn(run))


def test_a_value_of_a_book_s_length_is_neither_taken_nor_drawn(stage: Stage) -> None:
    run = stage.run(schedule("T1: BEGIN\nT1: SELECT repeat('x', 20000000)\nT1: SELECT repeat('y', 100000)\nT1: COMMIT"))
    assert run.end("T1.2").message == "the step returns a value of 20,000,000 characters, and 100,000 are taken"
    assert run.end("T1.3").rows == (("y" * 100_000,),) and run.outcomes == {"T1": "committed"}
    picture = timeline_picture(run.data(), "")
    assert len(picture.svg) < 20_000 and "yyy…" in picture.svg
    with pytest.raises(TooManyRows, match="A value in the table book is 20,000,000 characters long"):
        stage.run(Schedule("", "CREATE TABLE book AS SELECT repeat('x', 20000000)", schedule("T1: SELECT 1").steps))
    assert stage.run(schedule("T1: SELECT 1")).end("T1.1").rows == ((1,),)
