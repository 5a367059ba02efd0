"""A player goes forwards and back, makes a frame only when it is looked at, and leaves a still picture behind."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from workbook.draw.picture import Canvas, Picture
from workbook.draw.player import KEPT, VIEW, Frame, Player
from workbook.errors import Misuse, Unavailable

SVG = "{http://www.w3.org/2000/svg}"


def counting(made: list[int] | None = None, pictures: int = 1, width: float = 200):
    def drawn(number: int) -> Frame:
        if made is not None:
            made.append(number)
        canvas = Canvas(width, 50, f"The number {number}")
        canvas.label(10, 30, str(number))
        return Frame((Picture(canvas.svg(), f"it is {number}"),) * pictures, f"You count <to> {number} & wait.")

    return drawn


def parts(player: Player):
    """The buttons by name, the slider, and the HTML widgets of count, caption and picture."""
    _, controls, caption, picture = player.widget.children
    *buttons, slider, of = controls.children
    return {button.description: button for button in buttons}, slider, of, caption, picture


def test_buttons_go_forwards_and_back_and_stop_at_the_ends():
    player = Player(counting(), 5, title="Counting")
    buttons, slider, of, caption, picture = parts(player)
    assert list(buttons) == ["first", "back", "forward", "last"] and of.value == "of 5"
    seen = []
    for word in ("forward", "forward", "back", "last", "forward", "first", "back"):
        buttons[word].click()
        seen.append(player.at)
        assert slider.value == player.at + 1
        assert f"&lt;to&gt; {player.at} &amp;" in caption.value and f">{player.at}</text>" in picture.value
    assert seen == [1, 2, 1, 4, 4, 0, 0]


def test_the_slider_leads_to_its_step():
    player = Player(counting(), 50, title="Counting")
    slider, picture = parts(player)[1], parts(player)[4]
    slider.value = 31
    assert player.at == 30 and ">30</text>" in picture.value


def test_buttons_are_told_apart_by_words_and_none_is_ever_disabled():
    player = Player(counting(), 2, title="Counting")
    buttons = parts(player)[0]
    for word in ("last", "forward", "first", "back"):
        buttons[word].click()
        assert not any(button.disabled for button in buttons.values())
    assert all(button.tooltip for button in buttons.values())


def test_a_frame_is_made_when_it_is_looked_at_and_the_last_ones_are_kept():
    made: list[int] = []
    player = Player(counting(made), 1_000_000, title="Counting")
    assert made == []
    player.show(7)
    player.show(8)
    player.show(7)
    assert player.at == 7 and made == []  # nobody looks
    assert player.widget is player.widget
    assert made == [7]
    for number in (8, 7, 8):
        player.show(number)
    assert made == [7, 8]
    for number in range(100, 100 + KEPT):
        player.show(number)
    player.show(7)
    assert made.count(7) == 2


def test_one_step_makes_one_frame_and_changes_each_widget_once():
    made: list[int] = []
    player = Player(counting(made), 9, title="Counting")
    buttons, slider, _, caption, picture = parts(player)
    changes: list[str] = []
    for name, widget in (("picture", picture), ("caption", caption), ("slider", slider)):
        widget.observe(lambda change, name=name: changes.append(name), names="value")
    made.clear()
    buttons["forward"].click()
    assert made == [1] and changes == ["picture", "caption", "slider"]


def test_other_frames_take_the_place_of_the_first_ones():
    player = Player(counting(), 50, title="Counting")
    _, slider, of, _, picture = parts(player)
    player.show(40)
    made: list[int] = []
    player.replace(counting(made), 3, at=2)
    assert (len(player), player.at, slider.value, slider.max, of.value, made) == (3, 2, 3, 3, "of 3", [2])
    player.replace([counting()(5)])
    assert player.widget.children[1].layout.display == "none" and ">5</text>" in picture.value
    player.replace(counting(), 8)
    assert player.widget.children[1].layout.display == "flex" and slider.max == 8 and player.at == 0


def test_the_notebook_gets_the_view_and_a_still_with_its_text():
    player = Player(counting(), 5, title="Counting", still=2)
    bundle = player._repr_mimebundle_()
    assert set(bundle) == {VIEW, "image/svg+xml", "text/plain"}
    assert bundle[VIEW]["model_id"] == player.widget.model_id
    assert bundle["text/plain"] == "Counting · 3 of 5: You count <to> 2 & wait.\n  it is 2"
    words = [shape.text for shape in ElementTree.fromstring(bundle["image/svg+xml"]).iter(f"{SVG}text")]
    assert words == ["Counting · 3 of 5", "You count <to> 2 & wait.", "2"]
    assert player.at == 0


@pytest.mark.parametrize(("width", "beside"), [(200, True), (400, True), (600, False)])
def test_a_still_puts_pictures_side_by_side_where_there_is_room(width, beside):
    still = Player(counting(pictures=2, width=width), 5, title="Counting").still
    root = ElementTree.fromstring(still.svg)
    assert float(root.get("width")) <= 880
    places = [[float(part.get(name)) for name in ("x", "y", "width", "height")] for part in root.findall(f"{SVG}svg")]
    (x, y, wide, high), (other_x, other_y, _, _) = places
    assert (other_x >= x + wide and other_y == y) if beside else (other_x == x and other_y >= y + high)
    for x, y, wide, high in places:
        assert x + wide <= float(root.get("width")) and y + high <= float(root.get("height"))


def test_a_long_caption_is_broken_into_lines_on_the_still():
    words = "a sentence that goes on " * 12
    still = Player([Frame(counting()(1).pictures, words.strip())], title="Long").still
    root = ElementTree.fromstring(still.svg)
    lines = [shape.text for shape in root.iter(f"{SVG}text")]
    assert len(lines) > 4 and max(map(len, lines)) * 7.3 < float(root.get("width"))
    assert float(root.find(f"{SVG}svg").get("y")) > 13 * len(lines)


def test_the_text_holds_every_frame_and_of_many_the_first_and_the_last():
    few = str(Player(counting(), 24, title="Counting"))
    assert all(f"{number + 1} of 24: You count <to> {number} & wait.\n  it is {number}" in few for number in range(24))
    made: list[int] = []
    many = str(Player(counting(made), 5_000, title="Counting"))
    assert "… 4,976 more frames …" in many and "5000 of 5000: You count <to> 4999" in many
    assert len(set(made)) == 24


def test_frames_are_counted_like_a_sequence():
    player = Player(counting(), 3, title="Counting")
    assert [frame.caption for frame in player] == [player[number].caption for number in (0, 1, -1)]
    for number in (3, -4):
        with pytest.raises(IndexError):
            player[number]


def test_what_cannot_be_played_is_refused():
    with pytest.raises(Misuse, match="no frame"):
        Player([], title="Nothing")
    with pytest.raises(Misuse, match="count"):
        Player(counting(), title="Endless")


def test_a_frame_that_cannot_be_made_says_why_in_its_caption():
    def drawn(number: int) -> Frame:
        if number == 1:
            raise Unavailable("The server is gone.", next="start it")
        return counting()(number)

    player = Player(drawn, 3, title="Counting")
    buttons, _, _, caption, picture = parts(player)
    buttons["forward"].click()
    assert "The server is gone. Next: start it." in caption.value and "<svg" not in picture.value
    buttons["forward"].click()
    assert "You count" in caption.value and "<svg" in picture.value


def test_the_same_frames_give_the_same_still():
    assert Player(counting(), 5, title="A").still == Player(counting(), 5, title="A").still


def test_importing_the_player_loads_no_widgets():
    script = "import sys, workbook.draw.player; print([n for n in ('ipywidgets', 'IPython', 'traitlets') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"
