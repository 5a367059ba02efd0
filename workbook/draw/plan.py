"""A plan as a picture: one row a step, its own pages as a bar, what was estimated beside what came.

    Nested Loop                                 |                 126   |   20 → 20
    ├─ Bitmap Heap Scan  orders                 |███ 16                 |   10 → 10
    └─ Index Scan        products_pkey          |████████████ 60        |   20 → 20

It takes the plain data that `Plan.data()` gives and computes nothing but places.

    >>> leaf = {"kind": "Result", "title": "Result", "conditions": [], "numbers": {}, "misestimate": 1.0, "role": "", "children": []}
    >>> plan_picture({"engine": "postgresql", "plan": leaf, "notes": []}, "Result").text
    'Result'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbook.draw.picture import BLUE, FAINT, INK, ORANGE, RULE, SKY, VERMILION, Canvas, Picture, shortened

WIDTH, LEFT, BAR_AT, BAR_WIDTH, ROWS_AT = 880, 16, 440, 130, 864
STEP, LINE, HEAD = 30, 15, 34
MARKED_FROM = 10.0
MEASURES = {"buffers_own": "own pages", "rows_scanned": "rows scanned", "vm_steps": "steps"}


def plan_picture(data: Mapping[str, Any], text: str, most: float = 0) -> Picture:
    """Draw `Plan.data()`. `text` is the plan's canonical text, the picture's twin; `most` the counter that fills a
    bar (0: the largest here)."""
    rows = list(_rows(data["plan"], 0))
    measure = _measure(data)
    most = most or _most(data)
    height = HEAD + sum(_height(node) for node, _, _ in rows) + 18 * len(data["notes"]) + 12
    canvas = Canvas(WIDTH, height, "A query plan", text)
    _heading(canvas, measure)
    y, places = float(HEAD), {}
    for node, depth, parent in rows:
        places[id(node)] = y
        if parent is not None:
            _elbow(canvas, depth, places[id(parent)], y)
        _step(canvas, node, depth, y, measure, most)
        y += _height(node)
    for note in data["notes"]:
        canvas.label(LEFT, y + 12, shortened(note, WIDTH - 2 * LEFT, 11), size=11, colour=FAINT, tip=note)
        y += 18
    return Picture(canvas.svg(), text)


def _measure(data: Mapping[str, Any]) -> str:
    """The first counter that any step has."""
    nodes = [node for node, _, _ in _rows(data["plan"], 0)]
    return next((name for name in MEASURES if any(_value(node, name) is not None for node in nodes)), "")


def _most(data: Mapping[str, Any]) -> float:
    measure = _measure(data)
    return max((_value(node, measure) or 0 for node, _, _ in _rows(data["plan"], 0)), default=0) or 1


def _rows(node: Mapping[str, Any], depth: int, parent: Any = None) -> Iterator[tuple[Mapping[str, Any], int, Any]]:
    yield node, depth, parent
    for child in node["children"]:
        yield from _rows(child, depth + 1, node)


def _value(node: Mapping[str, Any], name: str) -> float | None:
    value = node["numbers"].get(name, {}).get("value")
    return None if value is None else float(value)


def _shown(node: Mapping[str, Any], name: str) -> str:
    number = node["numbers"].get(name, {})
    if number.get("value") is None:
        return ""
    return ("" if number.get("exact", True) else "~") + f"{number['value']:,.0f}"


def _conditions(node: Mapping[str, Any]) -> list[str]:
    lines = [f"{label}: {text}" for label, text in node["conditions"]]
    if _value(node, "rows_removed"):
        lines.append(f"threw away {_shown(node, 'rows_removed')} rows")
    if _value(node, "heap_fetches"):
        lines.append(f"fetched {_shown(node, 'heap_fetches')} rows from the table")
    return lines


def _height(node: Mapping[str, Any]) -> float:
    return STEP + LINE * len(_conditions(node))


def _heading(canvas: Canvas, measure: str) -> None:
    canvas.label(LEFT, 21, "step", size=11, colour=FAINT)
    if measure:
        canvas.label(BAR_AT, 21, MEASURES[measure], size=11, colour=FAINT)
    canvas.label(ROWS_AT, 21, "rows: estimated → came", size=11, colour=FAINT, anchor="end")
    canvas.line([(LEFT, 28), (WIDTH - LEFT, 28)], RULE, width=1)


def _elbow(canvas: Canvas, depth: int, above: float, y: float) -> None:
    x = LEFT + (min(depth, 14) - 1) * 16 + 6
    canvas.line([(x, above + 21), (x, y + 14), (x + 9, y + 14)], RULE)


def _step(canvas: Canvas, node: Mapping[str, Any], depth: int, y: float, measure: str, most: float) -> None:
    x = LEFT + min(depth, 14) * 16
    asleep = _value(node, "loops") == 0
    own = _value(node, measure) if measure else None
    title = node["title"] if node["role"] not in ("initplan", "subplan", "cte") else f"{node['role']}: {node['title']}"
    colour = FAINT if asleep else INK
    canvas.label(x, y + 18, shortened(title, BAR_AT - x - 8, 13), size=13, colour=colour, bold=not asleep, tip=title)
    for number, line in enumerate(_conditions(node)):
        at = y + 18 + LINE * (number + 1)
        canvas.label(x + 10, at, shortened(line, WIDTH - x - 40, 11), size=11, colour=FAINT, tip=line)
    if asleep:
        canvas.rect(BAR_AT, y + 8, 84, 13, "none", stroke=FAINT, dashed=True, tip="never executed")
        canvas.label(BAR_AT + 42, y + 18.5, "never run", size=11, colour=FAINT, anchor="middle")
        return
    if own is not None:
        total = (
            f"; {_shown(node, 'buffers')} with the steps below" if node["children"] and measure == "buffers_own" else ""
        )
        width = BAR_WIDTH * own / most
        canvas.rect(
            BAR_AT,
            y + 8,
            max(width, 1.5),
            13,
            BLUE if own == most else SKY,
            tip=f"{own:,.0f} {MEASURES[measure]}{total}",
        )
        canvas.label(
            BAR_AT + max(width, 1.5) + 6, y + 18.5, _shown(node, measure), size=12, colour=INK, bold=own == most
        )
    _estimate(canvas, node, y)


def _estimate(canvas: Canvas, node: Mapping[str, Any], y: float) -> None:
    believed, came, loops = _shown(node, "rows_estimated"), _shown(node, "rows"), _value(node, "loops") or 1
    if not believed and not came:
        return
    times = f"   in {loops:,.0f} loops" if loops > 1 else ""
    said = f"{believed.lstrip('~')} → {came}" if came else f"{believed.lstrip('~')} → ?"
    wrong = node["misestimate"] >= MARKED_FROM
    canvas.label(ROWS_AT, y + 18.5, said + times, size=12, colour=INK, anchor="end", bold=wrong)
    if wrong:
        mark = f"▲ {node['misestimate']:,.0f}×"
        room = (len(said) + len(times)) * 7 + 14
        width = len(mark) * 7.2 + 10
        canvas.rect(
            ROWS_AT - room - width,
            y + 6,
            width,
            17,
            ORANGE,
            stroke=VERMILION,
            radius=8,
            tip="the estimate was off by this factor",
        )
        canvas.label(ROWS_AT - room - width / 2, y + 18.5, mark, size=11, anchor="middle", bold=True)


def comparison_picture(data: Mapping[str, Any], text: str) -> Picture:
    """Draw `Comparison.data()`: what changed in words, then the plan before and the plan after, one above the other."""
    most = max(_most(data[side]) for side in ("before", "after"))
    parts = [plan_picture(data[side], "", most) for side in ("before", "after")]
    lines = data["changes"] or ["nothing changed"]
    top = 26 + 19 * len(lines)
    heights = [float(part.svg.split('height="', 1)[1].split('"', 1)[0]) for part in parts]
    canvas = Canvas(WIDTH, top + sum(heights) + 64, "Two query plans", text)
    for number, line in enumerate(lines):
        canvas.label(LEFT, 26 + 19 * number, shortened(line, WIDTH - 2 * LEFT, 13), size=13, bold=number == 0, tip=line)
    y = float(top)
    inner = []
    for name, part, height in zip(("before", "after"), parts, heights, strict=True):
        canvas.label(LEFT, y + 20, name, size=13, bold=True)
        inner.append(part.svg.replace("<svg ", f'<svg x="0" y="{y + 28:g}" ', 1).replace(' role="img"', "", 1))
        y += height + 32
    return Picture(canvas.svg().removesuffix("</svg>") + "".join(inner) + "</svg>", text)
