"""The remedies of a program that were tried: a bar a remedy of what the orders come to with it, and what it costs.

       remedy                              orders               changes  aborts  deadlocks  retries  waits
    ✓  FOR NO KEY UPDATE in T1.2 and T2.2  │□□□□□□□□□□□□□□□□│       2       0          0        0     60    the cheapest
    ✓  repeatable read                     │□□▲▲▲▲▲▲▲▲▲▲▲▲▲▲│       1      60          0        0     40    the smallest
    ✗  as it is                            │□□✕✕✕✕✕✕✕✕✕✕✕✕✕✕│       0       0          0        0     40
    –  UNIQUE (room) on booking            T1 then T2 leaves something else than before

Where only so many of a remedy's orders were tried, `of 924` stands below their number. The shapes and colours are those of the map of every order (`heatmap`). It takes the plain data of `Remedies.data()` and
computes nothing but places.

    >>> counts = dict.fromkeys(("anomaly", "abort", "deadlock", "stuck", "waits", "aborted", "retries", "changes"), 0)
    >>> trial = {**counts, "deadlocked": 0, "name": "as it is", "works": True, "refused": "", "orders": 2, "serial": 2}
    >>> trial |= {"of": 2, "sampled": False}
    >>> data = {"title": "One", "smallest": "as it is", "cheapest": "as it is", "trials": [trial]}
    >>> remedies_picture(data, "one").text
    'one'

Left out: the orders themselves, which the map shows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from workbook.draw.heatmap import KINDS, Sheet, cells_at, mark_of
from workbook.draw.picture import CHAR_PX, FAINT, RULE, Picture, shortened

WIDTH, LEFT, NAME_AT, BAR_AT, BAR_PX, BAR_HIGH = 840, 16, 38, 366, 130, 16
ROW, MORE, TITLE_LINE = 27, 15, 20
COLUMNS = (("changes", 552), ("orders", 602), ("aborts", 652), ("deadlocks", 722), ("retries", 778), ("waits", 824))
"""The heads of the numbers, and where they end."""


def remedies_picture(data: Mapping[str, Any], text: str) -> Picture:
    """Draw `Remedies.data()`. `text` is the picture's twin."""
    title = textwrap.wrap(data["title"], int((WIDTH - 2 * LEFT) / (14 * CHAR_PX))) or [""]
    top = 34 + TITLE_LINE * len(title)
    heights = [ROW + (MORE if _crowns(trial, data) or trial["sampled"] else 0) for trial in data["trials"]]
    kinds = [kind for kind in KINDS if any(trial[kind] for trial in data["trials"])]
    sheet = Sheet(WIDTH, top + sum(heights) + 40, data["title"], text)
    for number, line in enumerate(title):
        sheet.label(LEFT, 26 + TITLE_LINE * number, line, size=14, bold=True)
    sheet.label(NAME_AT, top - 8, "remedy", size=11, colour=FAINT)
    sheet.label(BAR_AT, top - 8, "the orders come to", size=11, colour=FAINT)
    for head, end in COLUMNS:
        sheet.label(end, top - 8, head, size=11, colour=FAINT, anchor="end")
    sheet.line([(LEFT, top - 2), (WIDTH - LEFT, top - 2)], RULE, width=1)
    y = float(top)
    for trial, height in zip(data["trials"], heights, strict=True):
        _row(sheet, trial, y, _crowns(trial, data))
        y += height
    _legend(sheet, y + 22, kinds)
    return Picture(sheet.svg(), text)


def _crowns(trial: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    words = [word for word in ("smallest", "cheapest") if data[word] == trial["name"]]
    return f"the {' and the '.join(words)}" if words else ""


def _row(sheet: Sheet, trial: Mapping[str, Any], y: float, crowns: str) -> None:
    sign = "✓" if trial["works"] else "–" if trial["refused"] else "✗"
    base = y + 17
    sheet.label(LEFT, base, sign, size=13, bold=True)
    name = shortened(trial["name"], BAR_AT - NAME_AT - 10, 12)
    sheet.label(NAME_AT, base, name, size=12, bold=bool(crowns), tip=trial["name"])
    if crowns:
        sheet.label(NAME_AT, base + MORE, crowns, size=11, colour=FAINT)
    if trial["refused"]:
        said = shortened(trial["refused"], WIDTH - LEFT - BAR_AT, 12)
        sheet.label(BAR_AT, base, said, size=12, colour=FAINT, tip=trial["refused"])
        return
    _bar(sheet, trial, y + 5)
    counts = {**trial, "aborts": trial["aborted"] - trial["deadlocked"], "deadlocks": trial["deadlocked"]}
    for head, end in COLUMNS:
        lost = head in ("aborts", "deadlocks") and counts[head] > 0
        sheet.label(end, base, f"{counts[head]:,}", size=12, anchor="end", bold=lost)
        if head == "orders" and trial["sampled"]:
            of = shortened(f"of {trial['of']:,}", end - BAR_AT - BAR_PX, 11)
            sheet.label(end, base + MORE, of, size=11, colour=FAINT, anchor="end", tip=f"of {trial['of']:,} orders")


def _bar(sheet: Sheet, trial: Mapping[str, Any], y: float) -> None:
    """The share of each kind, the serial ones first; a kind that occurs is never too narrow to be seen."""
    shares = {kind: trial[kind] / trial["orders"] for kind in KINDS if trial[kind]}
    widths = {kind: max(share * BAR_PX, 12.0) for kind, share in shares.items()}
    scale = (BAR_PX - 12.0 * len(widths)) / (sum(widths.values()) - 12.0 * len(widths) or 1)
    x = float(BAR_AT)
    for kind, width in widths.items():
        wide = 12.0 + (width - 12.0) * scale if len(widths) > 1 else float(BAR_PX)
        cells_at(sheet, kind, mark_of(kind), [(x, y)], wide - 1, BAR_HIGH)
        sheet.tip(x, y, wide - 1, BAR_HIGH, f"{trial[kind]:,} of {trial['orders']:,} orders: {kind}")
        x += wide


def _legend(sheet: Sheet, y: float, kinds: list[str]) -> None:
    x = float(LEFT)
    for kind in kinds:
        cells_at(sheet, kind, mark_of(kind), [(x, y - 10)], 12, 12)
        sheet.label(x + 18, y, kind, size=11, colour=FAINT)
        x += 18 + len(kind) * 11 * CHAR_PX + 22
