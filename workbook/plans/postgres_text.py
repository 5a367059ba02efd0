"""PostgreSQL's text form of a plan, as psql, a log or a chat window shows it.

    Nested Loop  (cost=0.70..16.75 rows=1 width=12) (actual time=0.02..0.03 rows=1.00 loops=1)
      Buffers: shared hit=8
      ->  Index Scan using orders_pkey on orders o  (cost=...) (actual ...)
            Index Cond: (order_id = 4711)

A step begins with an arrow; its column says whose child it is. A property stands six columns to the right of its
step's arrow; what stands further right belongs to a worker. Frames, headings, line-continuation marks and the row
count of psql are taken off first. Versions from 9.0 to 18 print the same grammar with more or fewer fields.

    >>> fields_of("Seq Scan on orders o  (cost=0.00..18.10 rows=810 width=8) (actual rows=3.00 loops=1)")["Alias"]
    'o'
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from workbook.errors import Unsuitable
from workbook.plans.postgres import make_node, trigger_notes
from workbook.plans.tree import Node, Number, Plan, settled

NUMBER = r"\d+(?:\.\d+)?"
COST = re.compile(rf"\s*\(cost=({NUMBER})\.\.({NUMBER}) rows=(\d+) width=\d+\)")
ACTUAL = re.compile(rf"\s*\(actual (?:time=({NUMBER})\.\.({NUMBER}) )?rows=({NUMBER}) loops=(\d+)\)")
NEVER = re.compile(r"\s*\((?:actual )?never executed\)")
ARROW = re.compile(r"^(\s*)->\s+(.*)$")
SUBPLAN = re.compile(r"^(CTE \S.*|(?:SubPlan|InitPlan) .+)$")
PROPERTY = re.compile(r"^([A-Z][A-Za-z\- ]*?(?: \([^)]*\))?):\s?(.*)$")
COUNT_IN = re.compile(rf"(\w+)=({NUMBER})")
FRAME = re.compile(r"^[\s|+─━┌┐└┘├┤┬┴┼═╔╗╚╝-]*$")
KINDS_ON = r"(?:(?:Parallel |Async )*(?:Seq Scan|Sample Scan|Bitmap Heap Scan|Tid Scan|Tid Range Scan|Foreign Scan|Foreign Insert|Foreign Update|Foreign Delete|Subquery Scan|Function Scan|Table Function Scan|Values Scan|CTE Scan|Named Tuplestore Scan|WorkTable Scan|Custom Scan \([^)]*\)|Insert|Update|Delete|Merge|Index Scan|Index Only Scan))"
TITLE_INDEX = re.compile(r"^((?:Parallel )?Index (?:Only )?Scan(?: Backward)?) using (\S+|\".*?\") on (.+)$")
TITLE_BITMAP = re.compile(r"^((?:Parallel )?Bitmap Index Scan) on (.+)$")
TITLE_ON = re.compile(rf"^({KINDS_ON}) on (.+)$")
KEY_BY_KIND = {
    "CTE Scan": "CTE Name",
    "Function Scan": "Function Name",
    "Table Function Scan": "Function Name",
    "Named Tuplestore Scan": "Tuplestore Name",
}
BLOCKS = {
    ("shared", "hit"): "Shared Hit Blocks",
    ("shared", "read"): "Shared Read Blocks",
    ("shared", "dirtied"): "Shared Dirtied Blocks",
    ("local", "hit"): "Local Hit Blocks",
    ("local", "read"): "Local Read Blocks",
    ("temp", "read"): "Temp Read Blocks",
    ("temp", "written"): "Temp Written Blocks",
}


@dataclass
class _Step:
    column: int
    fields: dict[str, Any]
    role: str
    children: list[_Step] = field(default_factory=list)


def read_text(text: str) -> Plan:
    """The plan in a text that EXPLAIN printed. Raises `Unsuitable` where there is none."""
    lines = _unframed(text)
    root: _Step | None = None
    stack: list[_Step] = []
    heading: tuple[int, str] | None = None
    rest: list[str] = []
    for line in lines:
        arrow = ARROW.match(line)
        column = len(arrow.group(1)) if arrow else len(line) - len(line.lstrip())
        body = arrow.group(2) if arrow else line.strip()
        fields = fields_of(body) if arrow or (root is None and _begins(body)) else None
        if fields is not None:
            while stack and stack[-1].column >= column:
                stack.pop()
            if stack or root is None:
                step = _Step(column if arrow else -1, fields, _role(heading, column, stack))
                if heading and column > heading[0]:
                    step.fields["Subplan Name"] = heading[1]
                heading = None
                if stack:
                    stack[-1].children.append(step)
                else:
                    root = step
                stack.append(step)
        elif root is not None:
            owner = next((step for step in reversed(stack) if _inner(step) == column), None)
            if owner is not None and not _is_summary(body, column):
                stack = stack[: stack.index(owner) + 1]
                if SUBPLAN.match(body):
                    heading = (column, body)
                else:
                    _property(owner.fields, body)
            else:
                rest.append(line)
    if root is None:
        raise Unsuitable(
            "There is no plan in this text.", next="save what EXPLAIN (ANALYZE, BUFFERS) prints, from its first line"
        )
    numbers, settings, triggers = _summary(rest)
    return Plan("postgresql", settled(_made(root)), numbers, settings, trigger_notes(triggers))


def _inner(step: _Step) -> int:
    """The column of a step's properties: two for the root, six to the right of any other's arrow."""
    return 2 if step.column < 0 else step.column + 6


def _begins(body: str) -> bool:
    return bool(
        COST.search(body) or ACTUAL.search(body) or TITLE_ON.match(body) or TITLE_INDEX.match(body)
    ) or body in (
        "Result",
        "Limit",
        "Sort",
        "Aggregate",
        "HashAggregate",
        "GroupAggregate",
        "Hash Join",
        "Merge Join",
        "Nested Loop",
        "Append",
        "Unique",
    )


def _is_summary(body: str, column: int) -> bool:
    return column == 0 and bool(
        re.match(r"(Planning|Execution|Total runtime|Settings|Trigger |JIT|Query Identifier)", body)
    )


def _role(heading: tuple[int, str] | None, column: int, stack: list[_Step]) -> str:
    if heading and column > heading[0]:
        word = heading[1].split()[0]
        return {"CTE": "cte", "SubPlan": "subplan", "InitPlan": "initplan"}[word]
    if not stack:
        return ""
    plain = [child for child in stack[-1].children if child.role not in ("cte", "initplan", "subplan")]
    kind = stack[-1].fields["kind"]
    if "Append" in kind or (kind.startswith("Bitmap") and kind in ("BitmapAnd", "BitmapOr")):
        return "member"
    if kind.startswith("Subquery Scan"):
        return "subquery"
    return "inner" if plain else "outer"


def fields_of(body: str) -> dict[str, Any]:
    """The fields of a step's own line, named as the JSON form names them, and its `kind`."""
    fields: dict[str, Any] = {}
    title = body
    cost, actual, never = COST.search(body), ACTUAL.search(body), NEVER.search(body)
    for found in (cost, actual, never):
        if found:
            title = title[: min(found.start(), len(title))]
    if cost:
        fields |= {"Startup Cost": float(cost[1]), "Total Cost": float(cost[2]), "Plan Rows": int(cost[3])}
    if actual:
        fields |= {
            "Actual Rows": float(actual[3]) if "." in actual[3] else int(actual[3]),
            "Actual Loops": int(actual[4]),
        }
        if actual[2]:
            fields["Actual Total Time"] = float(actual[2])
    if never:
        fields |= {"Actual Rows": 0, "Actual Loops": 0}
    return fields | _title(title.strip())


def _title(title: str) -> dict[str, Any]:
    if found := TITLE_INDEX.match(title):
        return {"kind": found[1], "Index Name": _bare(found[2]), **_relation(found[3], "Relation Name")}
    if found := TITLE_BITMAP.match(title):
        return {"kind": found[1], "Index Name": _bare(found[2])}
    if found := TITLE_ON.match(title):
        kind = found[1]
        plain = kind.removeprefix("Async ").removeprefix("Parallel ")
        if plain in ("Subquery Scan", "Values Scan"):
            return {"kind": kind, "Alias": _bare(found[2])}
        return {"kind": kind, **_relation(found[2], KEY_BY_KIND.get(plain, "Relation Name"))}
    return {"kind": title}


def _relation(text: str, key: str) -> dict[str, str]:
    words = re.findall(r'"(?:[^"]|"")*"(?:\."(?:[^"]|"")*"|\.\S+)*|\S+', text)
    if not words:
        return {}
    name = words[0].split(".")[-1] if not words[0].startswith('"') else words[0]
    return {key: _bare(name), "Alias": _bare(words[1] if len(words) > 1 else name)}


def _bare(name: str) -> str:
    name = name.strip()
    return name[1:-1].replace('""', '"') if len(name) > 1 and name[0] == name[-1] == '"' else name


def _property(fields: dict[str, Any], body: str) -> None:
    found = PROPERTY.match(body)
    if not found:
        return
    label, value = found[1], found[2]
    if label == "Buffers":
        for part in value.split(", "):
            where, _, counts = part.partition(" ")
            for name, count in COUNT_IN.findall(counts):
                if key := BLOCKS.get((where, name)):
                    fields[key] = int(float(count))
        for key in ("Shared Hit Blocks", "Shared Read Blocks"):
            fields.setdefault(key, 0)
    elif label == "WAL":
        counts = dict(COUNT_IN.findall(value))
        fields |= {
            "WAL Records": int(counts.get("records", 0)),
            "WAL FPI": int(counts.get("fpi", 0)),
            "WAL Bytes": int(counts.get("bytes", 0)),
        }
    elif re.fullmatch(NUMBER, value):
        fields[label] = float(value) if "." in value else int(value)
    else:
        fields[label] = value


def _made(step: _Step) -> Node:
    fields = dict(step.fields)
    return make_node(fields.pop("kind"), fields, step.role, tuple(_made(child) for child in step.children))


def _summary(lines: list[str]) -> tuple[dict[str, Number], dict[str, str], list[str]]:
    numbers: dict[str, Number] = {}
    settings: dict[str, str] = {}
    triggers: list[str] = []
    planning = False
    for line in lines:
        body = line.strip()
        if time := re.match(
            rf"(Planning Time|Execution Time|Total runtime|Planning time|Execution time): ({NUMBER}) ms", body
        ):
            key = "planning_time_ms" if body.lower().startswith("planning") else "execution_time_ms"
            numbers[key] = Number(float(time[2]), True, "does not repeat")
        elif body.startswith("Settings: "):
            settings = dict(re.findall(r"(\w[\w.]*) = '([^']*)'", body))
        elif trigger := re.match(r"Trigger (?:for constraint )?(\S+?)(?: on \S+)?:", body):
            triggers.append(trigger[1])
        elif planning and body.startswith("Buffers:"):
            fields: dict[str, Any] = {}
            _property(fields, body)
            numbers["planning_buffers"] = Number(fields["Shared Hit Blocks"] + fields["Shared Read Blocks"])
        planning = body == "Planning:" or (planning and line.startswith(" "))
    return numbers, settings, triggers


def _unframed(text: str) -> list[str]:
    """The lines of the plan without what psql, a table frame or a log put around them."""
    lines = [line.rstrip().expandtabs() for line in text.replace("\r", "").split("\n")]
    framed = [line for line in lines if line.startswith(("|", "│", "║")) and line.endswith(("|", "│", "║"))]
    if framed:
        lines = [line[1:-1].rstrip() for line in framed]
    lines = [
        line[:-1].rstrip() if (line.endswith("+") and "(" in line) or line.endswith("  +") else line for line in lines
    ]
    kept = [
        line
        for line in lines
        if line.strip()
        and not FRAME.match(line)
        and line.strip() not in ("QUERY PLAN", '"QUERY PLAN"')
        and not re.fullmatch(r"\s*\(\d+ (?:rows?|Zeilen?|lignes?)\)\s*", line)
    ]
    kept = [line[1:-1] if len(line) > 1 and line[0] == line[-1] == '"' else line for line in kept]
    margin = min((len(line) - len(line.lstrip()) for line in kept[:1]), default=0)
    return [line[margin:] if line[:margin].strip() == "" else line.lstrip() for line in kept]
