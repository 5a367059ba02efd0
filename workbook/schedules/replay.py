"""A run that is stepped through, and the map of every order, in which a click or a key chooses the one to replay.

    step_through(run)                            heat_map(exploration)
      ┌ first back forward last ──●── 7 of 10 ┐   ┌ read committed     □□□□□✕✕✕[✕]✕✕✕✕✕✕✕✕✕✕✕✕✕ ┐
      │ T2: UPDATE ... waits for T1           │   │ repeatable read    □□□□□▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲▲ │
      │ ┌ the timeline, up to here ┐          │   │ order 9: T1 T1 T2 ...  anomaly P4 lost update │
      └───────────────────────────────────────┘   └ the replay of that order, below ─────────────┘

The map is drawn once. A click, or an arrow key where the map has the keyboard's focus, tells which cell is meant;
only the frame around it, the sentence and the replay change. Home and End lead to the first and the last order of a
level, and n to the next order that came to something else. What is stored in a notebook is a still picture and its
text: the map, and the timeline of the order that was chosen at first, an anomaly where there is one.

    >>> from workbook.schedules import Program, explore
    >>> insert = {"T1": ["INSERT INTO t VALUES (1)"], "T2": ["INSERT INTO t VALUES (2)"]}
    >>> shown = heat_map(explore(Program("one row each", "CREATE TABLE t (n int)", insert), "duckdb"))
    >>> shown.choose(2)
    >>> print(shown.caption)
    Order 2 of 20 at snapshot: T1 T1 T2 T1 T2 T2. Serial, equivalent to T1 then T2.
    >>> print(shown.player[2].caption)
    T2: BEGIN

Left out: playing by itself. Source: W3C, ARIA Authoring Practices, "Developing a Keyboard Interface".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from workbook.draw.heatmap import Grid, grids, heatmap_picture, places
from workbook.draw.picture import CARD, INK, Picture
from workbook.draw.player import VIEW, Frame, Player, view
from workbook.draw.timeline import rows_of, timeline_picture
from workbook.errors import Misuse, WorkbookError
from workbook.schedules.graph import Graph
from workbook.schedules.interleavings import KINDS, Cell, Exploration
from workbook.schedules.run import Run, told
from workbook.schedules.verdict import SerialVerdict
from workbook.schedules.versions import Trace, Version

if TYPE_CHECKING:
    import ipywidgets

ROWS_NAMED = 3
_SEND = """const send=word=>{const field=this.closest('.workbook-heatmap').querySelector('.workbook-chosen input');
field.value=word+' '+(this.count=(this.count||0)+1);field.dispatchEvent(new Event('input',{bubbles:true}))};"""
_CLICK = (
    _SEND
    + """const svg=this.querySelector('svg'),at=new
    DOMPoint(event.clientX,event.clientY).matrixTransform(svg.getScreenCTM().inverse());
JSON.parse(this.dataset.grids).forEach(([x,y,across,down,columns,count],level)=>{
const column=Math.floor((at.x-x)/across),line=Math.floor((at.y-y)/down),place=line*columns+column;
if(column>=0&&column<columns&&line>=0&&place<count)send('at '+level+' '+place)});this.focus()"""
)
_KEY = (
    _SEND
    + """if(['ArrowLeft','ArrowRight','ArrowUp','ArrowDown','Home','End','n'].includes(event.key)
&&!event.ctrlKey&&!event.metaKey&&!event.altKey){event.preventDefault();event.stopPropagation();send(event.key)}"""
)
_FRAME = """const frame=this.closest('.workbook-heatmap').querySelectorAll('.workbook-frame');frame.forEach(rect=>{
rect.setAttribute('x',%s);rect.setAttribute('y',%s);rect.setAttribute('width',%s);rect.setAttribute('height',%s)});
this.parentNode.setAttribute('aria-live','polite')"""


def timeline_data(run: Run, graph: Graph | None = None, sessions: Sequence[str] = ()) -> dict[str, Any]:
    """`Run.data()` with what a graph knows of it: `graph` (as `Graph.data()`), and `saw`, for each step that read or
    searched, whose version of each row it found. `sessions` puts the lanes in another order."""
    data = {**run.data(), **({"sessions": list(sessions)} if sessions else {})}
    if graph is None or not graph.traced:
        return data
    return {**data, "graph": graph.data(), "saw": dict(_saw(graph.trace))}


def timeline(run: Run, graph: Graph | None = None, sessions: Sequence[str] = ()) -> Picture:
    """The timeline of a run, with the shortest cycle and what each read saw where its graph is given. `sessions` puts
    the lanes in another order."""
    return timeline_picture(timeline_data(run, graph, sessions), str(run))


def step_through(run: Run, graph: Graph | None = None, verdict: SerialVerdict | None = None) -> Player:
    """A run that is stepped through, event by event; the last frame shows all of it, and says the `verdict` and why
    (the `graph`), where they are given."""
    if not isinstance(run, Run):
        raise Misuse(f"A {type(run).__name__} is no run.", next="step through what `run(...)` returns")
    return Player(partial(_frame, run, graph, verdict, ()), _count(run), title=run.schedule.title or "A schedule")


def heat_map(exploration: Exploration) -> HeatMap:
    """The map of every order, in which a click or a key chooses the one that is replayed below it."""
    if not isinstance(exploration, Exploration):
        raise Misuse(f"A {type(exploration).__name__} is no exploration.", next="show what `explore(...)` returns")
    return HeatMap(exploration)


def _saw(trace: Trace) -> Iterator[tuple[str, str]]:
    found: dict[str, dict[str, None]] = {}
    for sight in trace.sights:
        if sight.why == "search":
            step = trace.step(sight.step)
            said = found.setdefault(step, {})
            said.update(dict.fromkeys(_whose(trace, version, sight.step) for version in sight.found))
    for step, whose in found.items():
        if any(" of the setup" not in one for one in whose):
            more = f" and {len(whose) - ROWS_NAMED} more" if len(whose) > ROWS_NAMED else ""
            yield step, f"found {', '.join(list(whose)[:ROWS_NAMED])}{more}"


def _whose(trace: Trace, version: Version, step: int) -> str:
    """A row, and who left it as it was found."""
    if version.step is None:
        return f"{trace.row(version)} of the setup"
    if trace.writer(version) is trace.of_step.get(step):
        return f"its own {trace.row(version)}"
    return f"{trace.row(version)} as {trace.step(version.step)} left it"


def _count(run: Run) -> int:
    return len(rows_of(run.data())) + 1


def _frame(run: Run, graph: Graph | None, verdict: SerialVerdict | None, sessions: Sequence[str], number: int) -> Frame:
    data = timeline_data(run, graph, sessions)
    rows = rows_of(data)
    if number == len(rows):
        return Frame((timeline_picture(data, str(run)),), _conclusion(run, graph, verdict))
    event = run.events[rows[number]]
    step = run.step(event)
    picture = timeline_picture(data, _state(run, event.at), upto=event.at)
    return Frame((picture,), f"{step.session}: {told(event, step)}")


def _conclusion(run: Run, graph: Graph | None, verdict: SerialVerdict | None) -> str:
    """What came of it all, in a sentence or three."""
    outcomes = ", ".join(f"{name} {outcome}" for name, outcome in run.outcomes.items())
    parts = [f"In the end: {outcomes}"]
    if verdict is not None:
        parts.append(verdict.text[0].upper() + verdict.text[1:])
    if graph is not None and (said := graph.beside(verdict is None or verdict.serializable)):
        parts.append(said)
    return ". ".join(parts) + "."


def _state(run: Run, upto: int) -> str:
    """Where each session stands after an event."""
    said = dict.fromkeys(run.schedule.sessions, "has not begun")
    failed: set[str] = set()
    for event in run.events[: upto + 1]:
        step = run.step(event)
        if event.kind == "waits":
            said[step.session] = f"waits for {' and '.join(event.waits_for) or 'another session'}"
        elif event.kind in ("failed", "skipped"):
            failed.add(step.session)
            said[step.session] = f"has failed with {event.sqlstate or 'an error'}"
        elif event.kind == "done" and step.asks:
            undone = event.answer.upper() == "ROLLBACK" or step.asks == "rollback"
            ended = "has rolled back" if undone else "has prepared" if step.asks == "prepare" else "has committed"
            said[step.session] = ended
        elif step.session not in failed:
            said[step.session] = "goes on"
    return "\n".join(f"{name} {state}" for name, state in said.items())


class HeatMap:
    """The map of an exploration, and the replay of the order that is chosen in it.

    `cell` is the chosen one, `player` its replay, `caption` what is said of it.
    """

    def __init__(self, exploration: Exploration) -> None:
        self.exploration = exploration
        self._data = exploration.data()
        self._order = places(self._data)
        self._place_of = {order: place for place, order in enumerate(self._order)}
        self._chosen = self._worst()
        self._widgets: _Widgets | None = None
        self._lanes = tuple(exploration.program.sessions)
        self.player = Player(self._frames(), self._count(), title="The chosen order, step by step")
        self.player.show(self._count() - 1)

    @property
    def cell(self) -> Cell:
        level, place = self._chosen
        return self.exploration.at(self.exploration.levels[level])[self._order[place]]

    @property
    def caption(self) -> str:
        """The chosen order, and what it came to."""
        cell, of = self.cell, self.exploration.explored
        verdict = cell.verdict.text if cell.verdict else "it comes to no end"
        text = cell.text[0].upper() + cell.text[1:]
        return f"Order {cell.number:,} of {of:,} at {cell.level}: {cell.order}. {text}, {verdict}."

    def choose(self, order: int | str, level: str = "") -> None:
        """Choose an order by its number or its turns, at this level if none is given. Raises `Misuse`."""
        found = self.exploration.cell(order, level or self.cell.level)
        self._show(self.exploration.levels.index(found.level), self._place_of[found.number - 1])

    def move(self, key: str) -> None:
        """Choose the cell that a key leads to: an arrow, Home, End, or n for the next one that came to something
        else."""
        level, place = self._chosen
        last = self.exploration.explored - 1
        ways = {"ArrowLeft": (0, -1), "ArrowRight": (0, 1), "ArrowUp": (-1, 0), "ArrowDown": (1, 0)}
        if key in ways:
            up, across = ways[key]
            level = min(max(level + up, 0), len(self.exploration.levels) - 1)
            place = min(max(place + across, 0), last)
        elif key == "n":
            place = self._next_other(level, place)
        else:
            place = {"Home": 0, "End": last}.get(key, place)
        self._show(level, place)

    @property
    def still(self) -> Picture:
        """The map with the chosen order framed, and its timeline, as one picture."""
        shown = heatmap_picture(self._data, str(self.exploration), self._chosen)
        one = Frame((shown, timeline(self.cell.run, self._graph(self.cell), self._lanes)), self.caption)
        return Player([one], title="Every order").still

    @property
    def widget(self) -> ipywidgets.VBox:
        """The map above the replay; the same one each time it is asked for."""
        if self._widgets is None:
            self._widgets = _Widgets(self, heatmap_picture(self._data, str(self.exploration)), grids(self._data))
            self._widgets.tell(self.caption, *self._chosen)
        return self._widgets.box

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        still = self.still
        return {VIEW: view(self.widget), "image/svg+xml": still.svg, "text/plain": still.text}

    def __str__(self) -> str:
        return f"{self.exploration}\n\n{self.caption}\n\n{self.cell.run}"

    __repr__ = __str__

    def _worst(self) -> tuple[int, int]:
        """The first cell of the worst kind that occurs, as a level and a place."""
        for kind in (*KINDS[1:], "serial"):
            cell = self.exploration.first(kind)
            if cell is not None:
                at = self.exploration.levels.index(cell.level)
                cells = self.exploration.at(cell.level)
                return at, min(place for place, order in enumerate(self._order) if cells[order].kind == kind)
        raise AssertionError("an exploration without an order")

    def _next_other(self, level: int, place: int) -> int:
        """The next place, round about, at which another text begins."""
        cells = self.exploration.at(self.exploration.levels[level])
        texts = [cells[order].text for order in self._order]
        ahead = [*range(place + 1, len(texts)), *range(place)]
        return next((one for one in ahead if texts[one] != texts[place]), place)

    def _show(self, level: int, place: int) -> None:
        if (level, place) == self._chosen:
            return
        self._chosen = (level, place)
        self.player.replace(self._frames(), self._count(), at=self._count() - 1)
        if self._widgets is not None:
            self._widgets.tell(self.caption, level, place)

    def _frames(self) -> partial[Frame]:
        cell = self.cell
        return partial(_frame, cell.run, self._graph(cell), cell.verdict, self._lanes)

    def _count(self) -> int:
        return _count(self.cell.run)

    def _graph(self, cell: Cell) -> Graph | None:
        """Why an order is an anomaly; None for others, and where the engine cannot be asked."""
        if cell.kind != "anomaly":
            return None
        try:
            return self.exploration.graph(cell)
        except WorkbookError:
            return None


class _Widgets:
    """What stands on the page for a map. ipywidgets is imported here, when somebody looks."""

    def __init__(self, owner: HeatMap, picture: Picture, spots: list[Grid]) -> None:
        import ipywidgets as w

        self._owner, self._spots = owner, spots
        self._field = w.Text(layout=w.Layout(display="none"))
        self._field.add_class("workbook-chosen")
        self._field.observe(self._told, names="value")
        self._map = w.HTML(_clickable(picture, spots), layout=w.Layout(width="auto"))
        self._caption = w.HTML(layout=w.Layout(min_height="1.9em", width="auto"))
        self.box = w.VBox(
            [self._map, self._field, self._caption, owner.player.widget], layout=w.Layout(max_width="100%")
        )
        self.box.add_class("workbook-heatmap")

    def tell(self, caption: str, level: int, place: int) -> None:
        """Frame this cell, and say what it is."""
        grid = self._spots[level]
        x, y = grid.at(place)
        moved = _FRAME % (f"{x - 2:g}", f"{y - 2:g}", f"{grid.across + 3:g}", f"{grid.down + 3:g}")
        self._caption.value = (
            f'<style onload="{escape(moved)}"></style><div style="line-height:1.5">{escape(caption)}</div>'
        )

    def _told(self, change: dict[str, Any]) -> None:
        """A hand clicked on the map, or pressed a key there."""
        words = str(change["new"]).split()
        if words[:1] == ["at"] and len(words) == 4:
            self._owner._show(int(words[1]), int(words[2]))
        elif words:
            self._owner.move(words[0])


def _clickable(picture: Picture, spots: list[Grid]) -> str:
    """The map as HTML that tells which cell is meant."""
    frames = "".join(
        f'<rect class="workbook-frame" fill="none" stroke="{colour}" stroke-width="{width}" pointer-events="none"/>'
        for colour, width in ((CARD, 5), (INK, 2.5))
    )
    svg = picture.svg.removesuffix("</svg>") + frames + "</svg>"
    svg = svg.replace("<svg ", '<svg style="max-width:100%;height:auto;display:block" ', 1)
    boxes = json.dumps([[one.x, one.y, one.across, one.down, one.columns, one.count] for one in spots])
    label = "every order as a cell: click one, or use the arrow keys, Home, End, and n for the next that differs"
    hands = f'onclick="{escape(_CLICK)}" onkeydown="{escape(_KEY)}"'
    named = f'tabindex="0" role="application" aria-label="{label}" data-lm-suppress-shortcuts="true"'
    return f'<div class="workbook-map" {named} data-grids="{boxes}" style="cursor:pointer" {hands}>{svg}</div>'
