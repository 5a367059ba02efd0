"""A plan as a picture: one row a step, its own pages as a bar, what was estimated beside what came.

    Nested Loop                                 |                 126   |   20 → 20
    ├─ Bitmap Heap Scan  orders                 |███ 16                 |   10 → 10
    └─ Index Scan        products_pkey          |████████████ 60        |   20 → 20

It takes the plain data that `Plan.data()` gives and computes nothing but places.

    >>> leaf = {"kind": "Result", "title": "Result", "conditions": [], "numbers": {}, "misestimate": 1.0, "marked": False, "role": "", "children": []}
    >>> plan_picture({"engine": "postgresql", "plan": leaf, "notes": []}, "Result").text
    'Result'
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from workbook.draw.picture import BLUE, CARD, FAINT, INK, ORANGE, RULE, SKY, VERMILION, Canvas, Picture, shortened
from workbook.errors import Unsuitable

WIDTH, LEFT, BAR_AT, BAR_WIDTH, ROWS_AT = 840, 16, 430, 110, 824
STEP, LINE, HEAD = 30, 15, 34
DIGIT, BOLD = 6.4, 7.4  # width of a character of the numbers' size
STEPS_MAX = 2_000  # of 30 px: what is taller, no browser shows whole
MEASURES = {"buffers_own": "own pages", "rows_scanned": "rows scanned", "vm_steps": "steps"}
BELIEF = "cost"
HEADINGS = {**MEASURES, BELIEF: "cost of a loop, with the steps below"}


def plan_picture(data: Mapping[str, Any], text: str, most: float = 0) -> Picture:
    """Draw `Plan.data()`. `text` is the plan's canonical text, the picture's twin; `most` the counter that fills a
    bar (0: the largest here). Raises `Unsuitable` for a plan of more than `STEPS_MAX` steps."""
    rows = list(_rows(data["plan"]))
    if len(rows) > STEPS_MAX:
        raise Unsuitable(
            f"This plan has {len(rows):,} steps, and a picture shows at most {STEPS_MAX:,}.", next="read it as text"
        )
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


def bundle(svg: Callable[[], str], text: str) -> dict[str, str]:
    """What Jupyter shows: the picture and its text; of a plan that is too large for a picture the text alone."""
    try:
        return {"image/svg+xml": svg(), "text/plain": text}
    except Unsuitable as error:
        return {"text/plain": f"{text}\nNote: {error.what}"}


def _measure(data: Mapping[str, Any]) -> str:
    """The first counter that any step has; of a plan that was not run, what it was believed to cost."""
    nodes = [node for node, _, _ in _rows(data["plan"])]
    ran = any(_value(node, "rows") is not None for node in nodes)
    names = MEASURES if ran else HEADINGS
    return next((name for name in names if any(_value(node, name) is not None for node in nodes)), "")


def _most(data: Mapping[str, Any]) -> float:
    measure = _measure(data)
    return max((_value(node, measure) or 0 for node, _, _ in _rows(data["plan"])), default=0) or 1


def _rows(root: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], int, Any]]:
    """Each step from the top, how deep it stands, and the step above it."""
    waiting: list[tuple[Mapping[str, Any], int, Any]] = [(root, 0, None)]
    while waiting:
        node, depth, parent = waiting.pop()
        yield node, depth, parent
        waiting.extend((child, depth + 1, node) for child in reversed(node["children"]))


def _value(node: Mapping[str, Any], name: str) -> float | None:
    value = node["numbers"].get(name, {}).get("value")
    return None if value is None else float(value)


def _shown(node: Mapping[str, Any], name: str) -> str:
    number = node["numbers"].get(name, {})
    if number.get("value") is None:
        return ""
    if name == BELIEF:
        return f"{number['value']:,.2f}"
    return ("" if number.get("exact", True) else "~") + f"{number['value']:,.0f}"


def _brief(value: float) -> str:
    """A number in few characters.

    >>> _brief(9_999), _brief(12_345), _brief(1_524_155_677_489)
    ('9,999', '12.3 k', '1.52 T')
    """
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 10_000 and value >= unit * 0.9995:
            shown = value / unit
            return f"{shown:,.{2 if shown < 9.995 else 1 if shown < 99.95 else 0}f} {name}"
    return f"{value:,.0f}"


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
        canvas.label(BAR_AT, 21, HEADINGS[measure], size=11, colour=FAINT)
    canvas.label(ROWS_AT, 21, "rows: estimated → came", size=11, colour=FAINT, anchor="end")
    canvas.line([(LEFT, 28), (WIDTH - LEFT, 28)], RULE, width=1)


def _elbow(canvas: Canvas, depth: int, above: float, y: float) -> None:
    x = LEFT + (min(depth, 14) - 1) * 16 + 6
    canvas.line([(x, above + 21), (x, y + 14), (x + 6, y + 14)], RULE)


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
    end = float(BAR_AT)
    if own is not None:
        total = (
            f"; {_shown(node, 'buffers')} with the steps below" if node["children"] and measure == "buffers_own" else ""
        )
        width = max(BAR_WIDTH * min(own / most, 1), 1.5)
        canvas.rect(
            BAR_AT,
            y + 8,
            width,
            13,
            BLUE if own == most else SKY,
            tip=f"{_shown(node, measure)} {HEADINGS[measure]}{total}",
        )
        shown = _shown(node, measure)
        if len(shown) > 9:
            shown = ("~" if shown.startswith("~") else "") + _brief(own)
        canvas.label(
            BAR_AT + width + 6,
            y + 18.5,
            shown,
            size=12,
            bold=own == most,
            tip=f"{_shown(node, measure)} {HEADINGS[measure]}",
        )
        end = BAR_AT + width + 6 + len(shown) * DIGIT
    _estimate(canvas, node, y, end)


def _estimate(canvas: Canvas, node: Mapping[str, Any], y: float, left: float) -> None:
    """What was estimated and what came, in the room from `left` on: in full where that fits, else in brief."""
    loops = _value(node, "loops") or 1
    wrong = node["marked"]
    full = _said(node, loops, lambda value: f"{value:,.0f}")
    said, mark = full, f"▲ {node['misestimate']:,.0f}×"
    if not said:
        return
    letter = BOLD if wrong else DIGIT
    if (len(said) + 2 + wrong * (len(mark) + 2)) * letter > ROWS_AT - left:
        said, mark = _said(node, loops, _brief), f"▲ {_brief(node['misestimate'])}×"
    canvas.label(ROWS_AT, y + 18.5, said, size=12, anchor="end", bold=wrong, tip=full)
    if wrong:
        width = len(mark) * DIGIT + 14
        x = ROWS_AT - len(said) * BOLD - 8 - width
        tip = f"the estimate was off by a factor of {node['misestimate']:,.0f}"
        canvas.rect(x, y + 6, width, 17, ORANGE, stroke=VERMILION, radius=8, tip=tip)
        canvas.label(x + width / 2, y + 18.5, mark, size=11, anchor="middle", bold=True)


def _said(node: Mapping[str, Any], loops: float, write: Callable[[float], str]) -> str:
    believed, came = _value(node, "rows_estimated"), _value(node, "rows")
    if believed is None and came is None:
        return ""
    about = "" if node["numbers"].get("rows", {}).get("exact", True) else "~"
    times = f" in {write(loops)} loops" if loops > 1 else ""
    return f"{'?' if believed is None else write(believed)} → {'?' if came is None else about + write(came)}{times}"


def comparison_picture(data: Mapping[str, Any], text: str) -> Picture:
    """Draw `Comparison.data()`: what changed in words, then the plan before and the plan after, one above the other;
    on one scale where their bars count the same.

    Raises `Unsuitable` where one of them has more than `STEPS_MAX` steps."""
    sides = [data[side] for side in ("before", "after")]
    alike = len({_measure(side) for side in sides}) == 1
    most = max(_most(side) for side in sides) if alike else 0
    parts = [plan_picture(side, "", most) for side in sides]
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
        inset = part.svg.replace("<svg ", f'<svg x="0" y="{y + 28:g}" ', 1).replace(' role="img"', "", 1)
        inner.append(inset.replace(f'fill="{CARD}" stroke="{RULE}"', 'fill="none"', 1))  # one card for both
        y += height + 32
    return Picture(canvas.svg().removesuffix("</svg>") + "".join(inner) + "</svg>", text)
