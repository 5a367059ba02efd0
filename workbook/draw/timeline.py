"""A schedule that has run, as a picture: a lane a session, time downwards, who waits for whom, what each step saw.

     at    T1                                  T2
      0  ┃ BEGIN
      1  ┃                                   ┃ BEGIN
      2  ◆ SELECT value ... id = 1           ┃
         ┃ → (10)                            ┃
      3  ┃                                   ┃
      4  ┃◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ ◆ UPDATE test ...
         ┃                                   ▒ waits for T1: row id=1 of test
      5  ● COMMIT                            ▒
      6                                      ▒ goes on → 1 row
                   a bar while a transaction lasts, another while it waits, ◆ where a snapshot is taken

It takes the plain data of `Run.data()`, where it is given with `graph` (`Graph.data()`) the edges of the shortest
cycle, and with `saw` (step to text) which versions a step saw; it computes nothing but places. Below the lanes stand
what each session came to, the tables, and each edge of the cycle in words. Rows are numbered as in the text twin,
`str(run)`.

    >>> step = {"session": "T1", "sql": "SELECT 1", "name": "T1.1"}
    >>> event = {"at": 0, "step": 0, "kind": "done", "rows": [[1]], "rowcount": 1, "answer": ""}
    >>> data = {"title": "One step", "engine": "sqlite", "version": "3", "at": "deferred", "levels": {}}
    >>> data |= {"steps": [step], "events": [event], "sessions": ["T1"], "outcomes": {"T1": "committed"}, "final": {}}
    >>> timeline_picture(data, "one step").text
    'one step'

Left out: durations. The order of events is the only clock.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbook.draw.picture import (
    BLUE,
    CARD,
    CHAR_PX,
    FAINT,
    INK,
    ORANGE,
    PURPLE,
    RULE,
    SKY,
    VERMILION,
    Canvas,
    Picture,
    shortened,
)

WIDTH, LEFT, RIGHT, GUTTER = 840, 16, 12, 34
SQL_PX, SAID_PX, MONO, LINE, PAD = 12, 12, 0.602, 16, 9
BAR, CHANNEL, LANES_AT = 7, 17, 78
SQL_LINES, SAID_LINES, ROWS_TOLD, VALUE_TOLD, TIP_TOLD = 3, 2, 6, 200, 2_000
APART = 3.5
"""What leaves a row stands so much lower than its middle, what comes to it so much higher."""
ENGINES = {"postgresql": "PostgreSQL", "sqlite": "SQLite", "sqlite-rollback": "SQLite, rollback journal"}
ENGINES |= {"duckdb": "DuckDB", "mariadb": "MariaDB"}
DIGITS = "①②③④⑤⑥⑦⑧⑨"


@dataclass
class _Row:
    """What is told at one place of time: the event's number, its lane, and lines of SQL and of what came of it."""

    at: int
    lane: int
    step: int
    kind: str
    sql: list[str]
    said: list[str]
    tip: str
    mark: str = ""
    y: float = 0.0
    later: bool = False
    again: bool = False
    """Whether its step has a row above this one already."""

    @property
    def height(self) -> float:
        return LINE * (len(self.sql) + len(self.said)) + PAD

    @property
    def middle(self) -> float:
        return self.y + LINE * 0.62

    @property
    def said_y(self) -> float:
        """The height of the first line of what came of it."""
        return self.y + LINE * (len(self.sql) + 0.62)


def timeline_picture(data: Mapping[str, Any], text: str, upto: int | None = None) -> Picture:
    """Draw `Run.data()`, with `graph` and `saw` where they are known.

    Parameters: the `data`; the `text`, the picture's twin; `upto`, the number of the event that was seen last: what
    comes later is faint, without what came of it (None: all of it was seen).
    """
    return _Timeline(data, upto).picture(text)


def rows_of(data: Mapping[str, Any]) -> list[int]:
    """The numbers of the events that have a row of their own: going on after a wait has none, its end has.

    >>> rows_of({"events": [{"at": 0, "kind": "waits"}, {"at": 1, "kind": "resumed"}, {"at": 2, "kind": "done"}]})
    [0, 2]
    """
    return [event["at"] for event in data["events"] if event["kind"] != "resumed"]


def told_rows(rows: Sequence[Sequence[Any]]) -> str:
    """Rows in a line.

    >>> told_rows([[1, None], [2, "a"]]), told_rows([])
    ("(1, NULL) (2, 'a')", 'no row')
    """
    parts = [f"({', '.join(map(_told, row))})" for row in rows[:ROWS_TOLD]]
    more = f" and {len(rows) - ROWS_TOLD} more" if len(rows) > ROWS_TOLD else ""
    return " ".join(parts) + more if parts else "no row"


def _told(value: Any) -> str:
    return "NULL" if value is None else _cut(repr(value), VALUE_TOLD)


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


@dataclass
class _Edge:
    """An edge of the cycle with the rows of its two steps."""

    number: int
    kind: str
    words: str
    source: _Row
    target: _Row
    x: float = 0.0


@dataclass
class _Timeline:
    """One picture being made."""

    data: Mapping[str, Any]
    upto: int | None
    rows: list[_Row] = field(default_factory=list)

    def picture(self, text: str) -> Picture:
        sessions = self.data["sessions"]
        self.lane_of = {name: number for number, name in enumerate(sessions)}
        self.edges_known = list(self.data.get("graph", {}).get("cycle", ()))
        self.room = 14 + CHANNEL * len(self.edges_known) if len(sessions) > 1 and self.edges_known else 4
        beside = self.room * (len(sessions) - 1)
        self.lane_px = (WIDTH - LEFT - GUTTER - RIGHT - 4 - beside) / len(sessions)
        self._make_rows()
        foot = self._foot()
        bottom = self.rows[-1].y + self.rows[-1].height if self.rows else LANES_AT
        title = str(self.data["title"] or "A schedule")
        self.canvas = Canvas(WIDTH, bottom + 36 + sum(LINE * len(lines) + 6 for lines, _ in foot) + 30, title, text)
        self._head(title)
        self._bars(bottom)
        self._edges()
        for row in self.rows:
            self._row(row)
        self._outcomes(bottom)
        y = bottom + 40
        for lines, bold in foot:
            for line in lines:
                if not any(row.later for row in self.rows):
                    self.canvas.label(LEFT, y + 11, line, size=12, bold=bold)
                y += LINE
            y += 6
        self._legend(y + 12)
        return Picture(self.canvas.svg(), text)

    # places

    def _bar_x(self, lane: int) -> float:
        return LEFT + GUTTER + 4 + (self.lane_px + self.room) * lane

    def _text_x(self, lane: int) -> float:
        return self._bar_x(lane) + BAR + 10

    def _text_px(self, lane: int) -> float:
        """The width that texts of a lane may have."""
        return self._bar_x(lane) + self.lane_px - self._text_x(lane) - 8

    # what is told

    def _make_rows(self) -> None:
        waited: set[int] = set()
        y = float(LANES_AT)
        for event in self.data["events"]:
            if event["kind"] == "resumed":
                continue
            row = self._row_of(event, event["step"] in waited)
            waited |= {event["step"]} if event["kind"] == "waits" else set()
            row.y = y
            y += row.height
            self.rows.append(row)

    def _row_of(self, event: Mapping[str, Any], waited: bool) -> _Row:
        step = self.data["steps"][event["step"]]
        lane, sql = self.lane_of[step["session"]], " ".join(step["sql"].split())
        later = self.upto is not None and event["at"] > self.upto
        room = self._text_px(lane)
        said, mark = self._said(event, step, waited)
        lines = [line for one in said for line in _wrapped(one, room / (SAID_PX * CHAR_PX), SAID_LINES)]
        count = 1 if waited else SQL_LINES
        shown = _wrapped(sql, room / (SQL_PX * MONO), count)
        told = [f"{step['name']}: {step['sql']}", *([] if later else said)]
        tip = "\n".join(_cut(one, TIP_TOLD) for one in told)
        return _Row(event["at"], lane, event["step"], event["kind"], shown, lines, tip, mark, later=later, again=waited)

    def _said(self, event: Mapping[str, Any], step: Mapping[str, Any], waited: bool) -> tuple[list[str], str]:
        """What came of a step, in sentences, and its mark."""
        kind, on = event["kind"], "goes on " if waited else ""
        if kind == "waits":
            holders = " and ".join(event["waits_for"]) or "another session"
            return [f"waits for {holders}{': ' + event['waits_on'] if event['waits_on'] else ''}"], "waits"
        if kind == "failed":
            return [f"✗ {event['sqlstate']} {event['message']}".replace("  ", " ").rstrip()], "failed"
        if kind == "skipped":
            return ["not sent: its connection is gone"], "failed"
        saw = self.data.get("saw", {}).get(step["name"], "")
        more = [saw] if saw else []
        if event["rows"] is not None:
            return [f"{on}→ {told_rows(event['rows'])}", *more], ""
        answer = event["answer"]
        if answer.upper() == "ROLLBACK" and not step["sql"].upper().lstrip().startswith(("ROLLBACK", "ABORT")):
            return ["→ answers ROLLBACK: nothing of it stays"], "failed"
        if event["rowcount"] is not None and event["rowcount"] >= 0:
            return [f"{on}→ {event['rowcount']} row{'' if event['rowcount'] == 1 else 's'}", *more], ""
        return ([on.strip()] if on else []) + more, ""

    def _foot(self) -> list[tuple[list[str], bool]]:
        """What stands below the lanes: lines, and whether they are bold."""
        wide = (WIDTH - 2 * LEFT) / (12 * CHAR_PX)
        found = [(_wrapped(f"{name}: {told_rows(rows)}", wide, 2), False) for name, rows in self.data["final"].items()]
        found += [(_wrapped(f"{note}.", wide, 2), True) for note in self.data.get("notes", ())]
        graph = self.data.get("graph", {})
        if graph.get("name"):
            found.append(([graph["name"]], True))
        for number, edge in enumerate(self.edges_known):
            words = (
                f"{DIGITS[number % len(DIGITS)]} {edge['kind']}  {edge['source']} → {edge['target']}: {edge['words']}"
            )
            found.append((_wrapped(words, wide, 2), False))
        return found

    # shapes

    def _head(self, title: str) -> None:
        name = ENGINES.get(self.data["engine"], self.data["engine"])
        base, _, kind = name.partition(", ")
        parts = [f"{base} {self.data['version']}{', ' + kind if kind else ''}", self.data["at"]]
        where = " · ".join(part for part in parts if part)
        room = WIDTH - 2 * LEFT - len(where) * 12 * CHAR_PX - 16
        self.canvas.label(LEFT, 26, shortened(title, room, 14), size=14, bold=True, tip=title)
        self.canvas.label(WIDTH - LEFT, 26, where, size=12, colour=FAINT, anchor="end")
        levels = self.data["levels"]
        for session, lane in self.lane_of.items():
            own = levels.get(session, "") if len(set(levels.values())) > 1 else ""
            self.canvas.label(self._text_x(lane), 58, f"{session}{', ' + own if own else ''}", size=13, bold=True)
        self.canvas.line([(LEFT, 68), (WIDTH - RIGHT, 68)], RULE, width=1)

    def _bars(self, bottom: float) -> None:
        """The transactions of each lane, and over them the waits."""
        for lane in range(len(self.lane_of)):
            mine = [row for row in self.rows if row.lane == lane]
            for first, last, failed in _spans(mine, self.data):
                end = last.middle if last else min(self._now() - 8, bottom)
                self._bar(lane, first.middle, failed.middle if failed else end, SKY)
                if failed is not None:
                    x = self._bar_x(lane)
                    self.canvas.rect(
                        x, failed.middle, BAR, max(end - failed.middle, 4), CARD, stroke=VERMILION, dashed=True,
                        tip="the transaction has failed, and waits for its end",
                    )  # fmt: skip
            for row in mine:
                if row.kind == "waits" and not row.later:
                    self._wait(row, mine, bottom)

    def _bar(self, lane: int, top: float, bottom: float, fill: str) -> None:
        tip = f"a transaction of {list(self.lane_of)[lane]}"
        self.canvas.rect(self._bar_x(lane), top - 5, BAR, max(bottom - top, 0) + 10, fill, radius=3, tip=tip)

    def _wait(self, row: _Row, mine: Sequence[_Row], bottom: float) -> None:
        """A bar from where a step comes to wait to where it goes on, and an arrow to each holder."""
        end = next((other for other in mine if other.step == row.step and other.at > row.at), None)
        stop = min(end.middle if end else bottom, self._now())
        x, tip = self._bar_x(row.lane), row.said[0] if row.said else "waits"
        self.canvas.rect(
            x - 1, row.said_y - 4, BAR + 2, stop - row.said_y + 4, ORANGE, stroke=INK, dashed=True, tip=tip
        )
        for name in self._event(row)["waits_for"]:
            if name in self.lane_of and name != list(self.lane_of)[row.lane]:
                self._to_holder(row, self.lane_of[name])

    def _now(self) -> float:
        """The bottom of what was seen."""
        seen = [row for row in self.rows if not row.later]
        return seen[-1].y + seen[-1].height if seen else LANES_AT

    def _to_holder(self, row: _Row, holder: int) -> None:
        y = row.said_y
        if holder < row.lane:
            start, end = self._bar_x(row.lane) - 3, self._bar_x(holder) + BAR + 1
        else:
            widest = max((len(line) for line in row.said), default=0) * SAID_PX * CHAR_PX
            start, end = self._text_x(row.lane) + min(widest, self._text_px(row.lane)) + 6, self._bar_x(holder) - 1
        self.canvas.line([(start, y), (end, y)], INK, width=1.2, dashed=True)
        self.canvas.polygon(_head_at(end, y, left=holder < row.lane), INK)

    def _event(self, row: _Row) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.data["events"][row.at]
        return found

    def _edges(self) -> None:
        """The edges of the cycle: from a step along a channel beside the lanes to the step that depends on it."""
        for number, edge in enumerate(self._cycle()):
            right = max(edge.source.lane, edge.target.lane)
            edge.x = self._bar_x(right) - 12 - CHANNEL * number
            out, into = edge.source.middle + APART, edge.target.middle - APART
            end = self._side(edge.target, right, edge.x)
            self.canvas.line(
                [(self._side(edge.source, right, edge.x), out), (edge.x, out), (edge.x, into), (end, into)],
                PURPLE,
                width=1.8,
            )
            self.canvas.polygon(_head_at(end, into, left=end < edge.x), PURPLE)
            self._badge(edge)

    def _badge(self, edge: _Edge) -> None:
        """The edge's number, on its way: where the other edges' numbers are not."""
        share = (0.5, 0.3, 0.7, 0.15, 0.85)[edge.number % 5]
        y = edge.source.middle + (edge.target.middle - edge.source.middle) * share
        self.canvas.circle(edge.x, y, 8, PURPLE, tip=f"{edge.kind}: {edge.words}")
        self.canvas.circle(edge.x, y, 6.8, CARD, tip=f"{edge.kind}: {edge.words}")
        self.canvas.label(edge.x, y + 4, str(edge.number + 1), size=11, bold=True, anchor="middle", tip=edge.words)

    def _cycle(self) -> Iterator[_Edge]:
        ends = {self.data["steps"][row.step]["name"]: row for row in self.rows}  # the last row of a step is its end
        for number, edge in enumerate(self.edges_known):
            source, target = ends.get(edge["source_step"]), ends.get(edge["target_step"])
            if source and target and not source.later and not target.later and source.lane != target.lane:
                yield _Edge(number, edge["kind"], edge["words"], source, target)

    def _side(self, row: _Row, right: int, channel: float) -> float:
        """Where an edge leaves or meets a row: at the bar of the lane right of the channel, else behind the row's
        text."""
        if row.lane == right:
            return self._bar_x(right) - 2
        width = len(row.sql[0]) * SQL_PX * MONO
        return min(self._text_x(row.lane) + width + 8, channel - 4)

    def _row(self, row: _Row) -> None:
        canvas, x = self.canvas, self._text_x(row.lane)
        if row.at == self.upto or (row.kind != "waits" and self.upto == row.at - 1 and self._resumed(row)):
            canvas.rect(
                LEFT + GUTTER - 4, row.y - 2, WIDTH - LEFT - GUTTER - RIGHT + 8, row.height - 3, "none", stroke=ORANGE
            )
        canvas.label(LEFT + GUTTER - 12, row.y + LINE * 0.9, str(row.at), size=11, colour=FAINT, anchor="end")
        colour = FAINT if row.later else INK
        y = row.y + LINE * 0.9
        for line in row.sql if not (row.later and row.again) else ():
            canvas.label(x, y, line, size=SQL_PX, colour=colour, mono=True, tip=row.tip)
            y += LINE
        for line in row.said if not row.later else ():
            bold = row.mark == "failed"
            canvas.label(x, y, line, size=SAID_PX, colour=INK if row.mark else FAINT, bold=bold, tip=row.tip)
            y += LINE
        if not row.later:
            self._mark(row)

    def _resumed(self, row: _Row) -> bool:
        return row.at > 0 and self.data["events"][row.at - 1]["kind"] == "resumed"

    def _mark(self, row: _Row) -> None:
        """What stands on the lane's bar: a snapshot, an end, a failure."""
        x, y = self._bar_x(row.lane) + BAR / 2, row.middle
        taken = [one for one in self.data.get("snapshots", ()) if one["at"] == row.at]
        if taken:
            until = "until its end" if taken[0]["covers"] == "transaction" else "for this statement"
            self.canvas.polygon([(x, y - 9), (x + 9, y), (x, y + 9), (x - 9, y)], CARD)
            self.canvas.polygon([(x, y - 7), (x + 7, y), (x, y + 7), (x - 7, y)], BLUE)
            self.canvas.circle(x, y, 2, CARD, tip=f"a snapshot: {until} it sees what was committed before this")
        if row.mark == "failed":
            y = row.said_y if row.said and not taken else y + (14 if taken else 0)
            self._cross(x, y)
        elif row.kind == "done" and self._ends(row):
            self.canvas.circle(x, y, 6.5, INK, tip="the transaction ends")

    def _cross(self, x: float, y: float) -> None:
        self.canvas.circle(x, y, 7, VERMILION, tip="an error")
        for way in (1, -1):
            self.canvas.line([(x - 3, y - 3 * way), (x + 3, y + 3 * way)], CARD, width=2)

    def _ends(self, row: _Row) -> bool:
        return _ends(self.data["steps"][row.step]["sql"])

    def _outcomes(self, bottom: float) -> None:
        later = any(row.later for row in self.rows)
        self.canvas.line([(LEFT, bottom + 4), (WIDTH - RIGHT, bottom + 4)], RULE, width=1)
        for session, lane in self.lane_of.items():
            outcome = "" if later else self.data["outcomes"].get(session, "")
            sign = "✗ " if outcome.startswith(("aborted", "lost")) else ""
            said = shortened(f"{sign}{outcome}", self._text_px(lane), 12)
            self.canvas.label(self._text_x(lane), bottom + 22, said, size=12, bold=True, tip=outcome)

    def _legend(self, y: float) -> None:
        """What the shapes mean, of those that occur."""
        seen = [row for row in self.rows if not row.later]
        x = float(LEFT)
        if any(_begins(self.data["steps"][row.step]["sql"]) for row in seen):
            self.canvas.rect(x, y - 9, BAR, 13, SKY, radius=3)
            x = self._word(x + 13, y, "in a transaction")
        if any(row.kind == "waits" for row in seen):
            self.canvas.rect(x, y - 9, BAR + 2, 13, ORANGE, stroke=INK, dashed=True)
            x = self._word(x + 15, y, "waits; the arrow points to the holder")
        taken = {one["covers"] for one in self.data.get("snapshots", ())}
        if taken:
            self.canvas.polygon([(x + 5, y - 9), (x + 11, y - 3), (x + 5, y + 3), (x - 1, y - 3)], BLUE)
            whose = "snapshot of the transaction" if taken == {"transaction"} else "snapshot of the statement"
            x = self._word(x + 17, y, whose if len(taken) == 1 else "snapshot")
        if any(row.mark == "failed" for row in seen):
            self._cross(x + 6, y - 3)
            x = self._word(x + 18, y, "an error")
        if self.edges_known:
            self.canvas.line([(x, y - 3), (x + 16, y - 3)], PURPLE, width=1.8)
            self.canvas.polygon(_head_at(x + 20, y - 3, left=False), PURPLE)
            self._word(x + 25, y, "must come before")

    def _word(self, x: float, y: float, word: str) -> float:
        self.canvas.label(x, y, word, size=11, colour=FAINT)
        return x + len(word) * 11 * CHAR_PX + 18


def _spans(mine: Sequence[_Row], data: Mapping[str, Any]) -> Iterator[tuple[_Row, _Row | None, _Row | None]]:
    """The transactions of a lane as first row, last row (None: it is still open), and the row at which it failed."""
    first = failed = None
    doomed = data["engine"] in ("postgresql", "duckdb")
    for row in mine:
        if row.later:
            continue
        sql = data["steps"][row.step]["sql"]
        if first is None and _begins(sql) and row.kind in ("done", "waits"):
            first, failed = row, None
        elif first is not None and row.kind == "failed" and doomed and failed is None:
            failed = row
        over = row.kind == "done" or (row.kind == "failed" and doomed)
        if first is not None and _ends(sql) and over:
            yield first, row, failed if failed is not row else None
            first = None
    if first is not None:
        yield first, None, failed


def _begins(sql: str) -> bool:
    return sql.lstrip().upper().startswith(("BEGIN", "START TRANSACTION"))


def _ends(sql: str) -> bool:
    words = sql.upper().split()
    if words[0] in ("COMMIT", "END", "ABORT") or words[:2] == ["PREPARE", "TRANSACTION"]:
        return "PREPARED" not in words
    return words[0] == "ROLLBACK" and "TO" not in words and "PREPARED" not in words


def _head_at(x: float, y: float, *, left: bool) -> list[tuple[float, float]]:
    """The head of an arrow whose point is at x."""
    back = 7 if left else -7
    return [(x, y), (x + back, y - 4), (x + back, y + 4)]


def _wrapped(text: str, characters: float, lines: int) -> list[str]:
    """The text in at most so many lines, the last one cut with an ellipsis where it is too long.

    >>> _wrapped("one two three four", 9, 2)
    ['one two', 'three …']
    """
    text = text[: (lines + 2) * max(int(characters), 8)]  # wrapping takes the square of a text's length
    found = textwrap.wrap(text, max(int(characters), 8), break_on_hyphens=False) or [""]
    if len(found) <= lines:
        return found
    rest = found[lines - 1] + " " + found[lines]
    cut = rest[: max(int(characters), 8) - 2].rsplit(" ", 1)[0] if " " in rest else rest[: int(characters) - 2]
    return [*found[: lines - 1], f"{cut.rstrip()} …"]
