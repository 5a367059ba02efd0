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
from html import unescape
from typing import Any

from workbook.errors import Unsuitable
from workbook.plans.postgres import make_node, missing_notes, trigger_notes
from workbook.plans.tree import AGAIN, DEPTH_MAX, HANGING, Node, Number, Plan, settled, too_deep

NUMBER = r"\d+(?:\.\d+)?"
COST = re.compile(rf"\(cost=({NUMBER})\.\.({NUMBER}) rows=(\d+) width=\d+\)")
ACTUAL = re.compile(rf"\(actual (?:time=({NUMBER})\.\.({NUMBER}) )?rows=({NUMBER}) loops=(\d+)\)")
NEVER = re.compile(r"\((?:actual )?never executed\)")
COUNTERS = re.compile(r"  \((?:cost=|actual )")
PREFIX = re.compile(
    r"(?:<[a-z][^<>]*>|(?:[|│║] )?(?:QUERY PLAN (?:[|│║] )?| {10} [|│║] )|>+ ?|[\w.-]+ *\| |(?:<\d+>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) \S+ "
    r"[\w./-]+(?:\[\d+\])?: (?:\[\d+-\d+\] ?)?)+"
)
"""What a mail, a web page, psql's expanded output, a container's log or syslog puts before a line."""
RECORD = re.compile(r"\W*\[ RECORD \d+ \]\W*|\* Record \d+ *")
LOST = re.compile(r"\S.*->  [A-Z].*\((?:cost=|actual |never executed)")
SUBPLAN = re.compile(r"^(CTE \S.*|(?:SubPlan|InitPlan) .+)$")
PROPERTY = re.compile(r"^([A-Z][A-Za-z\- ]*?(?: \([^)]*\))?):\s?(.*)$")
FIRST_OF = "This is the first of"
COUNT_IN = re.compile(rf"\b(\w+)=({NUMBER})")
BARS, MARKS = ("|", "│", "║"), ("+", "↵")
FRAME = re.compile(r"^[\s|+─━┌┐└┘├┤┬┴┼═╔╗╚╝-]*$")
NAME = r"(?:\"(?:[^\"]|\"\")*\"|[^\s\".()]+)"
QUALIFIED = rf"((?:{NAME}\.)*({NAME}))(?: ({NAME}))?"
KINDS_ON = r"(?:(?:Parallel |Async )*(?:Seq Scan|Sample Scan|Bitmap Heap Scan|Tid Scan|Tid Range Scan|Foreign Scan|Foreign Insert|Foreign Update|Foreign Delete|Subquery Scan|Function Scan|Table Function Scan|Values Scan|CTE Scan|Named Tuplestore Scan|WorkTable Scan|Custom Scan \([^)]*\)|Insert|Update|Delete|Merge|Index Scan|Index Only Scan))"
KINDS_ALONE = r"(?:Parallel |Async |Partial |Finalize )*(?:Result|ProjectSet|(?:Merge )?Append|Recursive Union|BitmapAnd|BitmapOr|Nested Loop(?: \w+ Join)?|(?:Hash|Merge)(?: \w+){0,2} Join|Gather(?: Merge)?|Foreign Scan|Named Tuplestore Scan|Custom Scan \([^)]*\)|Materialize|Memoize|(?:Incremental )?Sort|Group|(?:Hash|Group|Mixed)?Aggregate|WindowAgg|Unique|(?:Hash)?SetOp(?: \w+){0,2}|LockRows|Limit|Hash)"
TITLE_INDEX = re.compile(rf"^((?:Parallel )?Index (?:Only )?Scan(?: Backward)?) using ({NAME}) on ({QUALIFIED})$")
TITLE_BITMAP = re.compile(rf"^((?:Parallel )?Bitmap Index Scan) on ({NAME})$")
TITLE_ON = re.compile(rf"^({KINDS_ON}) on ({QUALIFIED})$")
TITLE_ALONE = re.compile(rf"^{KINDS_ALONE}$")
SUMMARY = re.compile(
    r"(Planning|Execution|Total runtime|Settings|Trigger |JIT|Query Identifier|Serialization)", re.IGNORECASE
)
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
WAL = ("WAL Records", "WAL FPI", "WAL Bytes")


@dataclass(eq=False)
class _Step:
    column: int
    fields: dict[str, Any]
    role: str
    children: list[_Step] = field(default_factory=list)
    has_outer: bool = False


def read_text(text: str) -> Plan:
    """The plan in a text that EXPLAIN printed; the first, where it holds several. Raises `Unsuitable` where there is
    none."""
    lines = _unframed(text)
    begin = next((number for number, line in enumerate(lines) if _begins(_body(line)[1])), None)
    if begin is None:
        raise Unsuitable("There is no plan in this text.", next=f"{AGAIN}; in SQLite, EXPLAIN QUERY PLAN")
    margin = _body(lines[begin])[0]
    reader = _Reader(_Step(-1, fields_of(_body(lines[begin])[1]), ""))
    plans = 1
    for line in lines[begin + 1 :]:
        line = line[margin:] if not line[:margin].strip() else line.lstrip()
        if plans == 1 and reader.in_literal(line):
            reader.lengthen(line)
        elif plans == 1 and LOST.match(line.lstrip()):
            raise Unsuitable(
                f"This line of the plan begins with something that is not of it: {_brief(line)}.", next=AGAIN
            )
        elif not line.startswith((" ", "->")) and _begins(line):
            plans += 1
        elif plans == 1:
            reader.take(line)
    reader.finish()
    _fill(reader.root)
    numbers, settings, triggers = _summary(reader.summary)
    root = _made(reader.root)
    notes = (*trigger_notes(triggers), *missing_notes(root), *several_notes(plans))
    return Plan("postgresql", settled(root), numbers, settings, notes)


def several_notes(plans: int) -> tuple[str, ...]:
    """What is said where a text holds more plans than the one that is shown."""
    return (f"{FIRST_OF} {plans:,} plans: save each in a file of its own.",) if plans > 1 else ()


class _Reader:
    """Takes the lines below the root's own, one after the other."""

    def __init__(self, root: _Step) -> None:
        self.root, self.stack = root, [root]
        self.summary: list[str] = []
        self._heading: tuple[int, str] | None = None
        self._label = ""
        self._literal: list[str] = []

    def in_literal(self, line: str) -> bool:
        """Whether a line goes on with a literal that has a line break in it."""
        return bool(self._literal) and not (line.lstrip().startswith("->  ") and COST.search(line))

    def lengthen(self, line: str) -> None:
        self._literal.append(line)
        if line.count("'") % 2:
            self.finish()

    def finish(self) -> None:
        """Put a literal of several lines into its property."""
        if len(self._literal) > 1:
            self.stack[-1].fields[self._label] = "\n".join(self._literal)
        self._literal = []

    def take(self, line: str) -> None:
        self.finish()
        column, body = _body(line)
        if self.summary or (column == 0 and SUMMARY.match(body)):
            self.summary.append(line)
        elif line.lstrip().startswith("->  "):
            self._step(column, body)
        elif owner := _owner(self.stack, column, body):
            while self.stack[-1] is not owner:
                self.stack.pop()
            if SUBPLAN.match(body):
                self._heading = (column, body)
            else:
                self._label = _property(owner.fields, body)
                value = owner.fields.get(self._label)
                self._literal = [value] if isinstance(value, str) and value.count("'") % 2 else []

    def _step(self, column: int, body: str) -> None:
        stack, heading = self.stack, self._heading
        while len(stack) > 1 and stack[-1].column >= column:
            stack.pop()
        step = _Step(column, fields_of(body), _role(heading, column, stack))
        if heading and column > heading[0]:
            step.fields["Subplan Name"] = heading[1]
        self._heading = None
        stack[-1].children.append(step)
        stack[-1].has_outer = stack[-1].has_outer or step.role not in (*HANGING, "subplan")
        stack.append(step)
        if len(stack) > DEPTH_MAX + 1:
            raise too_deep()


def _brief(line: str) -> str:
    """A line as a message shows it."""
    shown = " ".join(line.split())
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def _body(line: str) -> tuple[int, str]:
    """Where a line begins, and what stands there; a step's arrow is taken off."""
    body = line.lstrip()
    return len(line) - len(body), body.removeprefix("->  ").strip() if body.startswith("->  ") else body


def _owner(stack: list[_Step], column: int, body: str) -> _Step | None:
    """Whose property a line is; the keys of a grouping set stand two columns further right, below their sort key."""
    nested = 2 if re.match(r"(Group|Hash) Key: ", body) else 0
    steps = [step for step in reversed(stack) if column in (_inner(step), _inner(step) + nested)]
    return max(steps, key=_inner, default=None)


def _fill(root: _Step) -> None:
    """Put in the zeros that the text form leaves out: a step without a line on buffers or WAL, where others have one,
    touched or wrote nothing."""
    steps = [root]
    for step in steps:
        steps += step.children
    for keys in (tuple(BLOCKS.values()), WAL):
        if any(key in step.fields for step in steps for key in keys):
            for step in steps:
                for key in keys:
                    step.fields.setdefault(key, 0)


def _inner(step: _Step) -> int:
    """The column of a step's properties: two for the root, six to the right of any other's arrow."""
    return 2 if step.column < 0 else step.column + 6


def _begins(body: str) -> bool:
    """Whether a line is a step's: it has costs or counters, or it is wholly a title."""
    if COST.search(body) or ACTUAL.search(body):
        return True
    title = body[: found.start()] if (found := COUNTERS.search(body)) else NEVER.sub("", body)
    return any(known.match(title.rstrip()) for known in (TITLE_ON, TITLE_INDEX, TITLE_BITMAP, TITLE_ALONE))


def _role(heading: tuple[int, str] | None, column: int, stack: list[_Step]) -> str:
    if heading and column > heading[0]:
        word = heading[1].split()[0]
        return {"CTE": "cte", "SubPlan": "subplan", "InitPlan": "initplan"}[word]
    if not stack:
        return ""
    kind = stack[-1].fields["kind"]
    if "Append" in kind or kind in ("BitmapAnd", "BitmapOr"):
        return "member"
    if kind.startswith("Subquery Scan"):
        return "subquery"
    return "inner" if stack[-1].has_outer else "outer"


def fields_of(body: str) -> dict[str, Any]:
    """The fields of a step's own line, named as the JSON form names them, and its `kind`."""
    fields: dict[str, Any] = {}
    title = body
    cost, actual, never = COST.search(body), ACTUAL.search(body), NEVER.search(body)
    for found in (cost, actual, never):
        if found:
            title = title[: min(found.start(), len(title))]
    if ("(cost=" in body and not cost) or ("(actual " in body and not (actual or never)):
        raise Unsuitable(
            f"The counters of this step are cut off, wrapped, or none that PostgreSQL prints: {_brief(body)}.",
            next=AGAIN,
        )
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
        return {"kind": found[1], "Index Name": _bare(found[2]), **_relation(found[5], found[6], "Relation Name")}
    if found := TITLE_BITMAP.match(title):
        return {"kind": found[1], "Index Name": _bare(found[2])}
    if found := TITLE_ON.match(title):
        plain = found[1].removeprefix("Async ").removeprefix("Parallel ")
        if plain in ("Subquery Scan", "Values Scan"):
            return {"kind": found[1], "Alias": _bare(found[4])}
        return {"kind": found[1], **_relation(found[4], found[5], KEY_BY_KIND.get(plain, "Relation Name"))}
    return {"kind": title}


def _relation(name: str, alias: str | None, key: str) -> dict[str, str]:
    return {key: _bare(name), "Alias": _bare(alias or name)}


def _bare(name: str) -> str:
    name = name.strip()
    return name[1:-1].replace('""', '"') if len(name) > 1 and name[0] == name[-1] == '"' else name


def _property(fields: dict[str, Any], body: str) -> str:
    """Read a property into a step's fields; its label."""
    found = PROPERTY.match(body)
    if not found:
        return ""
    label, value = found[1], found[2]
    if label == "Buffers":
        for part in value.split(", "):
            where, _, counts = part.partition(" ")
            for name, count in COUNT_IN.findall(counts):
                if key := BLOCKS.get((where, name)):
                    fields[key] = int(float(count))
    elif label == "WAL":
        counts = dict(COUNT_IN.findall(value))
        fields |= {
            "WAL Records": int(counts.get("records", 0)),
            "WAL FPI": int(counts.get("fpi", 0)),
            "WAL Bytes": int(counts.get("bytes", 0)),
        }
    elif re.fullmatch(NUMBER, value):
        fields[label] = float(value) if "." in value else int(value)
    elif label in ("Group Key", "Hash Key") and label in fields:
        if not isinstance(fields[label], list):
            fields[label] = [fields[label]]
        fields[label].append(value)
    else:
        fields[label] = value
    return label


def _made(step: _Step) -> Node:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in step.fields.items()
    }
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
            settings = {
                name: value.replace("''", "'")
                for name, value in re.findall(r"(?<![\w.])(\w[\w.]*) = '((?:[^']|'')*)'", body)
            }
        elif body.startswith("Trigger ") and ": " in body:
            name = body.removeprefix("Trigger ").partition(": ")[0]
            triggers.append(re.sub(r" on \S+$", "", name.partition("for constraint ")[2] or name))
        elif planning and body.startswith("Buffers:"):
            fields: dict[str, Any] = {}
            _property(fields, body)
            numbers["planning_buffers"] = Number(
                fields.get("Shared Hit Blocks", 0) + fields.get("Shared Read Blocks", 0)
            )
        planning = body == "Planning:" or (planning and line.startswith(" "))
    return numbers, settings, triggers


def _unframed(text: str) -> list[str]:
    """The lines of the plan without what psql, a table frame or a log put around them."""
    lines = [line.rstrip().expandtabs() for line in _bare_lines(text) if not RECORD.fullmatch(line)]
    framed = [line for line in lines if line.startswith(BARS) and line.endswith(BARS)]
    if framed:
        lines = [line[1:-1].rstrip() for line in framed]
    elif any(re.fullmatch(r"-+\+", line) for line in lines) or _first(lines).endswith(BARS):  # DBeaver's table
        lines = [line[:-1].rstrip() if line.endswith(BARS) else line for line in lines]
    lines = [
        line[:-1].rstrip() if (line.endswith(MARKS) and "(" in line) or line.endswith(("  +", "  ↵")) else line
        for line in lines
    ]
    kept = [
        line
        for line in lines
        if line.strip()
        and not FRAME.match(line)
        and line.strip() not in ("QUERY PLAN", '"QUERY PLAN"')
        and not re.fullmatch(r"\(\d+ (?:rows?|Zeilen?|lignes?)\)", line.strip())
    ]
    return [line[1:-1].replace('""', '"') if len(line) > 1 and line[0] == line[-1] == '"' else line for line in kept]


def _bare_lines(text: str) -> list[str]:
    """The lines, without what a log or a mail puts before each, where the plan's first line has such a thing."""
    lines = (unescape(text) if "-&gt;  " in text else text).split("\n")
    if not PREFIX.match(_first(lines)):
        return lines
    bare = [line[found.end() :] if (found := PREFIX.match(line)) else line for line in lines]
    return [line.replace("#011", "\t", 1) if line.startswith("#011") else line for line in bare]


def _first(lines: list[str]) -> str:
    """The first line with costs or counters."""
    return next((line for line in lines if COST.search(line) or ACTUAL.search(line)), "")
