"""A picture that goes forwards and back: frames, one at a time, with a caption that says what has just happened.

    ┌ first   back   forward   last    step ──●────────────── 3  of 40 ┐
    │ 17 is not below 30: go right.                                    │   the caption, read out when it changes
    │ ┌────────────────────────────┐ ┌────────────┐                    │
    │ │ a picture                  │ │ another    │                    │   one HTML widget; only its value changes
    │ └────────────────────────────┘ └────────────┘                    │
    └──────────────────────────────────────────────────────────────────┘

It knows nothing of what is drawn. A frame is made when it is looked at, and the last few are kept, so a thousand steps cost
no more than those that somebody opens. The buttons stand above the picture, where they do not move when its height
changes, and none is ever disabled, because a button that is disabled under a finger loses the keyboard's focus. On a button
and on the slider the arrow keys go one step, on the slider Home and End to the ends.

What is stored in a notebook is a still picture and its text, which GitHub and a printer show; the widget lives only as long as its
kernel does, and `workbook build` throws its view away.

    >>> from workbook.draw.picture import Canvas
    >>> def drawn(number: int) -> Frame:
    ...     return Frame((Picture(Canvas(80, 40, f"{number}").svg(), f"a picture of {number}"),), f"You count to {number}.")
    >>> player = Player(drawn, 3, title="Counting")
    >>> print(player)
    Counting
    <BLANKLINE>
    1 of 3: You count to 0.
      a picture of 0
    <BLANKLINE>
    2 of 3: You count to 1.
      a picture of 1
    <BLANKLINE>
    3 of 3: You count to 2.
      a picture of 2
    >>> print(player[-1])
    You count to 2.
      a picture of 2

Left out: playing by itself. Somebody who wants to understand a step looks at it for as long as it takes.
Source: W3C, ARIA 1.2, 'aria-live'; ipywidgets 8.1, 'Widget List'.
"""

from __future__ import annotations

import re
import textwrap
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from workbook.draw.picture import CARD, CHAR_PX, FAINT, RULE, Canvas, Picture
from workbook.errors import Misuse, WorkbookError

if TYPE_CHECKING:
    import ipywidgets

VIEW = "application/vnd.jupyter.widget-view+json"
KEPT, TOLD, WIDTH_MAX = 64, 24, 880
GAP = 8
_SIZE = re.compile(r'<svg[^>]*? width="([\d.]+)" height="([\d.]+)"')
_FITS = '<svg style="max-width:100%;height:auto;display:block" '
_AROUND = """<style onload="this.parentNode.setAttribute('aria-live','polite');
const player=this.closest('.workbook-player');player.setAttribute('data-lm-suppress-shortcuts','true');
player.onkeydown=event=>{const at={ArrowLeft:1,ArrowRight:2}[event.key];
if(at&&event.target.tagName==='BUTTON')player.querySelectorAll('button')[at].click()}"></style>"""
"""A view's own element cannot be given attributes from Python; this gives them from inside, each time it is drawn: what
is read out must be an element that stays while its text changes, and JupyterLab must leave the arrow keys to the slider
and, beside it, to the buttons."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One step: its pictures, side by side where there is room, and one sentence that says what has happened."""

    pictures: tuple[Picture, ...]
    caption: str

    def __str__(self) -> str:
        return "\n".join([self.caption, *(textwrap.indent(picture.text, "  ") for picture in self.pictures)])

    __repr__ = __str__


class Player:
    """Frames that are stepped through in a notebook.

    Parameters: `frames`, a sequence, or a function from a number (from 0) to a frame with their `count`; a `title`; `still` is the
    number of the frame that is stored in the notebook and printed (from the end where negative). Raises `Misuse` where
    there is no frame.
    """

    def __init__(
        self, frames: Sequence[Frame] | Callable[[int], Frame], count: int | None = None, *, title: str, still: int = -1
    ) -> None:
        self.title, self._still = title, still
        self._widgets: _Widgets | None = None
        self._at = 0
        self._take(frames, count)

    def _take(self, frames: Sequence[Frame] | Callable[[int], Frame], count: int | None) -> None:
        if callable(frames):
            if count is None:
                raise Misuse("How many frames there are is not known.", next="say it: Player(frames, count, title=...)")
            self._make, self._count = frames, count
        else:
            known = tuple(frames)
            self._make, self._count = known.__getitem__, len(known) if count is None else min(count, len(known))
        if self._count < 1:
            raise Misuse(f"{self.title}: there is no frame to show.", next="give at least one")
        self._cache: OrderedDict[int, Frame] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Frame:
        """The frame of this number, from 0; from the end where negative."""
        place = number + self._count if number < 0 else number
        if not 0 <= place < self._count:
            raise IndexError(f"frame {number} of {self._count}")
        if place not in self._cache:
            self._cache[place] = self._make(place)
            while len(self._cache) > KEPT:
                self._cache.popitem(last=False)
        self._cache.move_to_end(place)
        return self._cache[place]

    def __iter__(self) -> Iterator[Frame]:
        return (self[number] for number in range(self._count))

    @property
    def at(self) -> int:
        """The number of the frame that is shown, from 0."""
        return self._at

    def show(self, number: int) -> None:
        """Go to the frame of this number; to the first or the last where it is beyond them."""
        self._at = min(max(number, 0), self._count - 1)
        if self._widgets is not None:
            self._widgets.draw(self._at)

    def say(self, sentence: str) -> None:
        """Show a sentence in place of the caption, until the next step."""
        if self._widgets is not None:
            self._widgets.say(sentence)

    def replace(
        self, frames: Sequence[Frame] | Callable[[int], Frame], count: int | None = None, *, at: int = 0
    ) -> None:
        """Show other frames in the same place, beginning at the one of number `at`."""
        self._take(frames, count)
        if self._widgets is not None:
            self._widgets.resize(self._count)
        self.show(at)

    @property
    def still(self) -> Picture:
        """The still frame with its title and caption as one picture."""
        number = self._still if -self._count <= self._still < self._count else -1
        place = number % self._count
        head = self.title if self._count == 1 else f"{self.title} · {place + 1} of {self._count}"
        return _still(head, self[number])

    @property
    def widget(self) -> ipywidgets.VBox:
        """The controls, the caption and the picture; the same ones each time it is asked for."""
        if self._widgets is None:
            self._widgets = _Widgets(self)
        return self._widgets.box

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        still = self.still
        return {VIEW: view(self.widget), "image/svg+xml": still.svg, "text/plain": still.text}

    def __str__(self) -> str:
        """Every frame as text; of a long play the first ones and the last."""
        told = [f"{number + 1} of {self._count}: {self[number]}" for number in _ends(self._count)]
        if len(told) < self._count:
            told.insert(TOLD * 2 // 3, f"… {self._count - len(told):,} more frames …")
        return "\n\n".join([self.title, *told])

    __repr__ = __str__


def _ends(count: int) -> list[int]:
    """The numbers of the frames that are told: all of a few, else the first ones and the last.

    >>> len(_ends(24)), _ends(5000)[14:18]
    (24, [14, 15, 4992, 4993])
    """
    first = TOLD * 2 // 3
    return [*range(count)] if count <= TOLD else [*range(first), *range(count - TOLD + first, count)]


def view(widget: ipywidgets.Widget) -> dict[str, Any]:
    """What a notebook must be handed to show this widget."""
    return {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}


class _Widgets:
    """What stands on the page for a player. ipywidgets is imported here, when somebody looks."""

    def __init__(self, player: Player) -> None:
        import ipywidgets as w

        self._player, self._moving = player, False
        steps: tuple[tuple[str, str, Callable[[int], int]], ...] = (
            ("first", "to the first step", lambda at: 0),
            ("back", "one step back", lambda at: at - 1),
            ("forward", "one step forward", lambda at: at + 1),
            ("last", "to the last step", lambda at: len(player) - 1),
        )
        buttons = [self._button(*step) for step in steps]
        self._slider = w.IntSlider(
            value=player.at + 1, min=1, max=max(len(player), 2), description="step", readout_format="d",
            tooltip="the step that is shown: arrow keys, Home, End", style={"description_width": "initial"},
            layout=w.Layout(width="auto", flex="1 1 12em"),
        )  # fmt: skip
        self._of = w.HTML(layout=w.Layout(width="auto"))
        self._controls = w.HBox(
            [*buttons, self._slider, self._of], layout=w.Layout(flex_flow="row wrap", align_items="center")
        )
        self._caption = w.HTML(layout=w.Layout(min_height="1.9em", width="auto"))
        self._picture = w.HTML(layout=w.Layout(width="auto"))
        head = w.HTML(f'<b style="line-height:1.5">{escape(player.title)}</b>')
        self.box = w.VBox([head, self._controls, self._caption, self._picture], layout=w.Layout(max_width="100%"))
        self.box.add_class("workbook-player")
        self._slider.observe(self._moved, names="value")
        self.resize(len(player))
        self.draw(player.at)

    def _button(self, word: str, tooltip: str, to: Callable[[int], int]) -> ipywidgets.Button:
        import ipywidgets as w

        button = w.Button(description=word, tooltip=tooltip, layout=w.Layout(width="auto"))
        button.on_click(lambda _: self._player.show(to(self._player.at)))
        return button

    def resize(self, count: int) -> None:
        """There are so many frames now; a single one needs no controls."""
        self._move(1, max(count, 2))
        self._of.value = f"of {count:,}"
        self._controls.layout.display = "none" if count == 1 else "flex"

    def draw(self, number: int) -> None:
        """Show this frame; where it cannot be made, say why in its caption."""
        try:
            frame = self._player[number]
        except WorkbookError as error:
            frame = Frame((), str(error))
        self._picture.value = _drawn(frame)
        self.say(frame.caption)
        self._move(number + 1, self._slider.max)

    def say(self, sentence: str) -> None:
        self._caption.value = f'{_AROUND}<span style="line-height:1.5">{escape(sentence)}</span>'

    def _move(self, value: int, most: int) -> None:
        self._moving = True
        try:
            self._slider.max = max(most, self._slider.value)
            self._slider.value, self._slider.max = value, most
        finally:
            self._moving = False

    def _moved(self, change: dict[str, Any]) -> None:
        """A hand moved the slider."""
        if not self._moving:
            self._player.show(change["new"] - 1)


def _drawn(frame: Frame) -> str:
    """The pictures of a frame as HTML: side by side where there is room, smaller where the window is."""
    parts = [
        f'<div style="max-width:100%">{picture.svg.replace("<svg ", _FITS, 1)}</div>' for picture in frame.pictures
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:{GAP}px;align-items:flex-start">{"".join(parts)}</div>'


def _size(picture: Picture) -> tuple[float, float]:
    found = _SIZE.search(picture.svg)
    return (float(found[1]), float(found[2])) if found else (0.0, 0.0)


def _still(title: str, frame: Frame) -> Picture:
    """One picture of a frame: title and caption above its pictures, on one card."""
    sizes = [_size(picture) for picture in frame.pictures]
    beside = sum(width for width, _ in sizes) + GAP * (len(sizes) + 1) <= WIDTH_MAX
    across = sum(width + GAP for width, _ in sizes) if beside else max((width for width, _ in sizes), default=0) + GAP
    width = max(across + GAP, 420)
    lines = textwrap.wrap(frame.caption, int((width - 32) / (13 * CHAR_PX)))
    x, y = float(GAP), 34.0 + 18 * len(lines)
    inner, bottom = [], y
    for picture, (wide, high) in zip(frame.pictures, sizes, strict=True):
        inset = picture.svg.replace("<svg ", f'<svg x="{x:g}" y="{y:g}" ', 1).replace(' role="img"', "", 1)
        inner.append(inset.replace(f'fill="{CARD}" stroke="{RULE}"', 'fill="none"', 1))
        bottom = max(bottom, y + high)
        x, y = (x + wide + GAP, y) if beside else (x, y + high + GAP)
    text = f"{title}: {frame}"
    canvas = Canvas(width, bottom + GAP, title, text)
    canvas.label(16, 24, title, size=13, bold=True)
    for number, line in enumerate(lines):
        canvas.label(16, 43 + 18 * number, line, size=13, colour=FAINT)
    return Picture(canvas.svg().removesuffix("</svg>") + "".join(inner) + "</svg>", text)
