"""One plan tree for three engines: what was believed, what was seen, and which of the numbers are exact.

    Plan ── root ──▶ Node "Nested Loop"            pages 126 = own 0 + 66 + 60
                      ├─ Node "Index Scan" on o    loops 1    rows estimated 10, came 10
                      └─ Node "Index Scan" on p    loops 20   rows estimated 1 per loop, came 20 in all

Engines print some numbers per loop and some in all, some with their children and some without, and round a few. A
`Number` says whether it is exact, and why not. Here all counters are totals over the loops; `buffers` includes the
children, `buffers_own` does not. A page is 8 kB in PostgreSQL; SQLite and DuckDB count other things, and leave
`buffers` empty.

    >>> str(Number(1200)), str(Number(142, False, "rounded per loop")), str(Number(None))
    ('1,200', '~142', '-')

Source: PostgreSQL's src/backend/commands/explain.c, and its manual, chapter "Using EXPLAIN". Left out: per-worker
numbers; and in text and pictures all times (they do not repeat).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbook.errors import Unsuitable

MARKED_FROM = 10.0
"""An estimate is marked from this factor on."""
WRITES = ("Insert", "Update", "Delete", "Merge", "Foreign Insert", "Foreign Update", "Foreign Delete")
READ_WHOLE = {"Sort", "Hash", "HashAggregate", "Aggregate", "Bitmap Heap Scan", *WRITES}
"""Steps that read what stands below them to its end, even where they are stopped themselves."""
HANGING = ("initplan", "cte")
"""Roles of steps that hang under one step and are run by another."""
READER = "a step that hangs here may have been run by another"
AGAIN = "save the whole output of EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON), or of EXPLAIN (ANALYZE, BUFFERS)"
"""What to do where a saved plan of PostgreSQL cannot be read."""
DEPTH_MAX = 200
"""A plan has at most so many steps below each other, in whichever form it was saved."""
LOOKS_MAX = 2_000_000
"""So many steps are looked at for those that ran an InitPlan or a CTE; what is left then is marked as not exact."""
NAMED = re.compile(r"\(InitPlan [^()]*\)|\$\d+")


def too_deep() -> Unsuitable:
    """The error of a plan that is nested deeper than `DEPTH_MAX`."""
    return Unsuitable(
        f"This plan is nested more than {DEPTH_MAX} steps deep.",
        next="explain a part of the query, such as one subquery",
    )


@dataclass(frozen=True, slots=True)
class Number:
    """A counter: its value (None where the engine gives none), whether it is exact, and why not."""

    value: float | None
    exact: bool = True
    why: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        shown = f"{self.value:,.0f}" if float(self.value).is_integer() else f"{self.value:,.2f}"
        return shown if self.exact else f"~{shown}"


NOTHING = Number(None)


@dataclass(frozen=True)
class Node:
    """One step of a plan.

    `kind` is the name that PostgreSQL's text form uses ("Hash Left Join", "Index Scan Backward", "HashAggregate");
    `role` is what it is to its parent: outer, inner, member, subquery, subplan, initplan, cte, or '' for the root.
    `conditions` are pairs such as ("Index Cond", "(order_id = 4711)"), `details` whatever else was printed.
    `cut_short` is true where the step may have been stopped before its end, `read_again` where some of its rows may
    have been counted several times.
    """

    kind: str
    relation: str = ""
    alias: str = ""
    index: str = ""
    role: str = ""
    conditions: tuple[tuple[str, str], ...] = ()
    children: tuple[Node, ...] = ()
    numbers: Mapping[str, Number] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    cut_short: bool = False
    read_again: bool = False

    def number(self, name: str) -> Number:
        """A counter by name; `NOTHING` where the engine did not print it."""
        return self.numbers.get(name, NOTHING)

    @property
    def loops(self) -> Number:
        """How often the step was started; 0 where it was never executed."""
        return self.number("loops")

    @property
    def rows(self) -> Number:
        """Rows that came out, over all loops."""
        return self.number("rows")

    @property
    def rows_estimated(self) -> Number:
        """Rows that the planner believed would come out of one loop, times the loops."""
        return self.number("rows_estimated")

    @property
    def rows_removed(self) -> Number:
        """Rows that were read and thrown away by a filter, a join filter or a recheck, over all loops."""
        return self.number("rows_removed")

    @property
    def buffers(self) -> Number:
        """Pages touched by this step and all below it: hits and reads, shared and local."""
        return self.number("buffers")

    @property
    def buffers_own(self) -> Number:
        """Pages touched by this step itself."""
        return self.number("buffers_own")

    @property
    def cost(self) -> Number:
        """The planner's total cost of one loop, in its own units."""
        return self.number("cost")

    @property
    def index_searches(self) -> Number:
        """Descents of the index from its root (PostgreSQL 18 and later)."""
        return self.number("index_searches")

    @property
    def heap_fetches(self) -> Number:
        """Rows for which an index-only scan had to read the table after all."""
        return self.number("heap_fetches")

    @property
    def time_ms(self) -> Number:
        """Milliseconds, over all loops; they do not repeat, and decide nothing."""
        return self.number("time_ms")

    @property
    def never_executed(self) -> bool:
        return self.loops.value == 0

    @property
    def judged(self) -> bool:
        """Whether the rows that came can be held against the estimate.

        They cannot where a number is missing, the step was never run, or it wrote and returned nothing; where fewer
        came and the step may have been stopped before its end; where more came and some may have been read again.
        """
        believed, came = self.rows_estimated.value, self.rows.value
        if believed is None or came is None or self.never_executed or (self.kind in WRITES and not came):
            return False
        return not ((self.cut_short and came < believed) or (self.read_again and came > believed))

    @property
    def misestimate(self) -> float:
        """By what factor the estimate was off, 1 or more; 1 where it cannot be judged."""
        if not self.judged:
            return 1.0
        loops = self.loops.value or 1
        believed, came = (max((number.value or 0) / loops, 1.0) for number in (self.rows_estimated, self.rows))
        return max(believed / came, came / believed)

    @property
    def marked(self) -> bool:
        """Whether the estimate was off by so much that text and picture say it."""
        return self.misestimate >= MARKED_FROM

    @property
    def title(self) -> str:
        """Kind, relation and index in a line, as PostgreSQL's text form writes it."""
        using = f" using {self.index}" if self.index and self.relation else ""
        on = self.relation or self.index or self.alias
        alias = f" {self.alias}" if self.alias not in ("", on) else ""
        return f"{self.kind}{using}" + (f" on {on}{alias}" if on else "")

    def walk(self) -> Iterator[Node]:
        """This step and all below it, from the top."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))


@dataclass(frozen=True)
class Plan:
    """A plan of one statement. `engine` is postgresql, sqlite or duckdb; `numbers` holds what is said of the whole
    run (planning buffers, execution time); `notes` are sentences on what the plan does not show."""

    engine: str
    root: Node
    numbers: Mapping[str, Number] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def nodes(self) -> list[Node]:
        """All steps, from the top, each before its children."""
        return list(self.root.walk())

    def find(self, *, kind: str = "", relation: str = "", index: str = "") -> list[Node]:
        """The steps whose kind contains `kind` (by letters, any case) and whose relation (or alias) and index are as
        given."""
        return [
            node
            for node in self.nodes()
            if kind.lower() in node.kind.lower()
            and (not relation or relation in (node.relation, node.alias))
            and (not index or index == node.index)
        ]

    @property
    def buffers(self) -> Number:
        """Pages touched in all, planning left out."""
        return self.root.buffers

    @property
    def wal_bytes(self) -> Number:
        """Bytes of WAL that the statement's own steps wrote; triggers and foreign-key checks are left out."""
        return self.root.number("wal_bytes")

    @property
    def rows(self) -> Number:
        """Rows that the statement returned; one that writes returns none without RETURNING."""
        return self.root.rows

    @property
    def cost(self) -> Number:
        """The planner's total cost, in its own units."""
        return self.root.cost

    @property
    def time_ms(self) -> Number:
        """Milliseconds of the execution; they do not repeat."""
        return self.numbers.get("execution_time_ms", self.root.time_ms)

    @property
    def text(self) -> str:
        """The canonical text: the same for the same plan and counters; no times, and costs only of steps that counted
        no rows."""
        lines: list[str] = []
        _write(self.root, 0, lines)
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines)

    def data(self) -> dict[str, Any]:
        """Plain data: nested dicts, lists, strings and numbers, as JSON takes them."""
        return {
            "engine": self.engine,
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "numbers": {name: _plain(number) for name, number in self.numbers.items()},
            "plan": _data(self.root),
        }

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from workbook.draw.plan import bundle

        return bundle(self._repr_svg_, self.text)

    def _repr_svg_(self) -> str:
        from workbook.draw.plan import plan_picture

        return plan_picture(self.data(), self.text).svg


def _write(node: Node, depth: int, lines: list[str]) -> None:
    indent = "   " * depth
    facts = []
    if node.never_executed:
        facts.append("never executed")
    elif node.rows.value is not None:
        believed = node.rows_estimated.value
        facts.append(f"rows {node.rows}" + ("" if believed is None else f" (estimated {believed:,.0f})"))
    elif node.rows_estimated.value is not None:
        facts.append(f"estimated rows {node.rows_estimated.value:,.0f}")
        if node.cost.value is not None:
            facts.append(f"cost {node.cost.value:,.2f}")
    if node.marked:
        facts.append(f"misestimated {node.misestimate:,.0f} times")
    if (node.loops.value or 0) > 1:
        facts.append(f"loops {node.loops}")
    if node.buffers.value is not None:
        facts.append(f"pages {node.buffers} (own {node.buffers_own})")
    for name, said in (("row_groups_scanned", "row groups"), ("vm_steps", "steps")):
        if node.number(name).value is not None:
            facts.append(f"{said} {node.number(name)}")
    role = f"[{node.role}] " if node.role in ("initplan", "subplan", "cte") else ""
    lines.append(f"{indent}{role}{node.title}" + (f"   {'; '.join(facts)}" if facts else ""))
    for label, condition in node.conditions:
        lines.append(f"{indent}   {label}: {condition}")
    for name, said in (
        ("rows_removed", "Rows removed"),
        ("heap_fetches", "Heap fetches"),
        ("index_searches", "Index searches"),
    ):
        value = node.number(name).value
        if value and (name != "index_searches" or value > 1):
            lines.append(f"{indent}   {said}: {node.number(name)}")
    for child in node.children:
        _write(child, depth + 1, lines)


def _plain(number: Number) -> dict[str, Any]:
    plain: dict[str, Any] = {"value": number.value, "exact": number.exact}
    return {**plain, "why": number.why} if number.why else plain


def _data(node: Node) -> dict[str, Any]:
    return {
        "kind": node.kind,
        "title": node.title,
        "relation": node.relation,
        "alias": node.alias,
        "index": node.index,
        "role": node.role,
        "conditions": [list(pair) for pair in node.conditions],
        "details": dict(node.details),
        "misestimate": round(node.misestimate, 2),
        "marked": node.marked,
        "numbers": {name: _plain(number) for name, number in node.numbers.items()},
        "children": [_data(child) for child in node.children],
    }


def settled(node: Node) -> Node:
    """The tree with what follows from its printed numbers: own buffers, and which steps may have been stopped early.

    An InitPlan or a CTE hangs under one step and is run by another that reads it: its pages are taken off the reader,
    not off the step that it hangs under. Where a plan does not name the reader, it is looked for among the steps that
    hold as many pages; where several do, their own pages are marked as not exact.
    """
    return _settle(node, _Debts(node), _Stops(node))


class _Stops:
    """Which steps of PostgreSQL may have been stopped before their end, and which may have been read again.

    A LIMIT, an EXISTS or a join stops what it reads, and so all below that, down to a step that reads everything
    before it gives its first row. A plan does not always say whether it came to that. Such a step counts as stopped,
    so that its estimate is not called wrong where it was right: below a LIMIT that ran several times, or that was
    itself estimated at a tenth of its input (as one is whose count is computed); a subplan that is not hashed; the
    inner side of a nested loop with a Join Filter (it is left at the first match where the planner knows that there
    is one at most); both sides of a merge join but the one whose rows all come out. Left out: a cursor that was not
    read to its end, whose plan in a log says nothing of it.

    Source: PostgreSQL's manual, "Using EXPLAIN", Caveats; nodeLimit.c, nodeSubplan.c, nodeNestloop.c, nodeMergejoin.c,
    nodeHashjoin.c, nodeSetOp.c, nodeWindowAgg.c.
    """

    def __init__(self, root: Node) -> None:
        self.cut: set[int] = set()
        self.again: set[int] = set()
        self._scans: Counter[tuple[str, bool]] = Counter()
        self._visit(root, False)

    def _visit(self, node: Node, cut: bool) -> None:
        kind = _plain_kind(node)
        ctes = [(child, child.details.get("Subplan Name", "")[4:]) for child in node.children if child.role == "cte"]
        before = {(name, way): self._scans[name, way] for _, name in ctes for way in (True, False)}
        cut = (cut or any(label == "Run Condition" for label, _ in node.conditions)) and kind != "Hash"
        if cut:
            self.cut.add(id(node))
        if kind == "CTE Scan":
            self._scans[node.relation, cut] += 1
        for child in node.children:
            if child.role != "cte":
                whole = kind in READ_WHOLE or kind.startswith("HashSetOp") or child.role == "initplan"
                self._visit(child, (cut and not whole) or _may_stop(node, child))
            if child.role == "inner" and kind.startswith("Merge ") and kind.endswith("Join"):
                self.again.add(id(child))  # an outer row with the same key goes back to the first match
        for child, name in reversed(ctes):  # a CTE reads those before it
            stopped, ended = (self._scans[name, way] - before[name, way] for way in (True, False))
            self._visit(child, stopped > 0 and not ended and child.kind not in WRITES)


def _plain_kind(node: Node) -> str:
    """The kind without what is said of its workers."""
    return re.sub(r"^(?:(?:Parallel|Async|Partial|Finalize) )+", "", node.kind)


def _may_stop(node: Node, child: Node) -> bool:
    """Whether a step may have stopped one right below it before that had given all its rows."""
    if child.rows.value == 0 and child.rows.exact:  # it was asked for a row, and came to its end
        return False
    kind, labels = _plain_kind(node), [label for label, _ in node.conditions]
    if kind == "Limit":
        return _may_be_reached(node, child)
    if child.role == "initplan":  # EXISTS stops at the first row; an ARRAY is read whole
        return (child.rows.value or 0) <= (child.loops.value or 0)
    if child.role == "subplan":
        name = child.details.get("Subplan Name", "").partition(" (")[0]
        return not any(f"(hashed {name})" in text for _, text in node.conditions)
    if kind.startswith("Nested Loop"):
        return child.role == "inner" and (kind.endswith(("Semi Join", "Anti Join")) or "Join Filter" in labels)
    if kind.startswith("Merge ") and kind.endswith("Join"):
        whole = {"outer": ("Left", "Full", "Anti"), "inner": ("Right", "Full")}.get(child.role, ())
        return not kind.removeprefix("Merge ").startswith(whole)
    if kind.startswith("Hash ") and kind.endswith("Join") and child.role == "outer":
        return not kind.removeprefix("Hash ").startswith(("Left", "Full", "Anti")) and any(
            (other.rows.value or 0) < (other.loops.value or 1) for other in node.children if other.role == "inner"
        )
    return kind.startswith("SetOp") and child.role == "inner"


def _may_be_reached(limit: Node, child: Node) -> bool:
    """Whether a LIMIT may have come to its count: one that gave fewer rows has read what is below it to its end."""
    came, believed = limit.rows.value or 0, limit.rows_estimated.value
    if came == 0 and limit.rows.exact:
        return False
    computed = believed == max(round(0.1 * (child.rows_estimated.value or 0)), 1)
    return believed is None or computed or came >= believed or (limit.loops.value or 1) > 1


class _Debts:
    """Which steps hold pages of an InitPlan or a CTE that hangs elsewhere: how many, and whether that is sure."""

    def __init__(self, root: Node) -> None:
        self.unsure: dict[int, str] = {}
        self.steps: list[Node] = []
        self.looks = LOOKS_MAX
        self._own: dict[int, float] = {}
        self._places: dict[int, range] = {}
        self._gathers: dict[int, Node] = {}
        self._below: dict[int, list[Node]] = {}
        self._visit(root, None)
        self._scans: dict[str, list[Node]] = {}
        self._readers: dict[str, list[Node]] = {}
        for step in self.steps:
            if step.kind.endswith("CTE Scan"):
                self._scans.setdefault(step.relation, []).append(step)
            for mark in {mark for _, text in step.conditions for mark in NAMED.findall(text)}:
                self._readers.setdefault(mark, []).append(step)
        hanging = [(step, child) for step in self.steps for child in step.children if child.role in HANGING]
        for _, child in hanging:
            if child.role == "cte":
                self._cte(child)
        named = [(parent, child, self._named(child)) for parent, child in hanging if child.role == "initplan"]
        for parent, child, readers in sorted(named, key=lambda one: not one[2]):
            self._initplan(parent, child, readers)

    def _visit(self, node: Node, gather: Node | None) -> None:
        gather = node if node.kind.startswith("Gather") else gather
        if gather:
            self._gathers[id(node)] = gather
        place = len(self.steps)
        self.steps.append(node)
        below = sum(child.buffers.value or 0 for child in node.children if child.role not in HANGING)
        self._own[id(node)] = (node.buffers.value or 0) - below
        for child in node.children:
            self._visit(child, gather)
        self._places[id(node)] = range(place, len(self.steps))

    def left(self, node: Node) -> float:
        """The pages of a step that no step below it accounts for."""
        return self._own[id(node)]

    def _take(self, node: Node, pages: float) -> None:
        self._own[id(node)] -= pages

    def _may_look(self, steps: list[Node]) -> bool:
        self.looks -= len(steps)
        return self.looks >= 0

    def _inside(self, step: Node, plan: Node) -> bool:
        return self._places[id(step)].start in self._places[id(plan)]

    def _cte(self, plan: Node) -> None:
        """A scan of a CTE touches no page itself, so all that it holds is the CTE's; several may have read a part."""
        pages, name = plan.buffers.value or 0, plan.details.get("Subplan Name", "")[4:]
        scans = self._scans.get(name, [])
        for step in scans if self._may_look(scans) else []:
            if not self._inside(step, plan):
                part = max(min(pages, self.left(step)), 0)
                self._take(step, part)
                pages -= part
        if pages:  # a writing CTE that nobody read to its end
            self.unsure[id(plan)] = "it ran after the other steps, whose pages do not include its own"

    def _named(self, plan: Node) -> list[Node]:
        """The steps whose conditions name an InitPlan: `(InitPlan 1).col1` since 17, `$0` before."""
        short, _, returns = plan.details.get("Subplan Name", "").partition(" (returns ")
        marks = {f"({short})", *(part.strip() for part in returns.rstrip(")").split(","))}
        several = [self._readers[mark] for mark in marks if mark in self._readers]
        if not all(self._may_look(steps) for steps in several):
            return []
        readers = [step for steps in several for step in steps]
        places = {self._places[id(step)].start for step in readers if not self._inside(step, plan)}
        found = [self.steps[place] for place in sorted(places)]
        # What workers need to know is found out by the Gather above them, before it starts them.
        above = [self._gathers.get(id(step), step) for step in found]
        return [
            step if gather is self._gathers.get(id(plan)) else gather for step, gather in zip(found, above, strict=True)
        ]

    def _initplan(self, parent: Node, plan: Node, named: list[Node]) -> None:
        pages = plan.buffers.value or 0
        if not pages:
            return
        for readers in (named, self._below_of(parent)):
            able = [step for step in readers if self.left(step) >= pages] if self._may_look(readers) else []
            if able:
                self._take(able[-1], pages)
                if len(able) > 1:
                    self.unsure |= {id(step): READER for step in able}
                return
        self.unsure[id(parent)] = READER

    def _below_of(self, parent: Node) -> list[Node]:
        """A step and all below it, without what hangs under it."""
        if id(parent) not in self._below:
            places = set(self._places[id(parent)])
            places.difference_update(
                place for child in parent.children if child.role in HANGING for place in self._places[id(child)]
            )
            self._below[id(parent)] = [self.steps[place] for place in sorted(places)]
        return self._below[id(parent)]


def _settle(node: Node, debts: _Debts, stops: _Stops) -> Node:
    numbers = dict(node.numbers)
    if node.buffers.value is not None:
        own = debts.left(node)
        why = debts.unsure.get(id(node), "" if own >= 0 else READER)
        numbers["buffers_own"] = Number(max(own, 0), not why, why)
    return replace(
        node,
        numbers=numbers,
        children=tuple(_settle(child, debts, stops) for child in node.children),
        cut_short=id(node) in stops.cut,
        read_again=id(node) in stops.again,
    )
