"""Two plans of the same question, lined up: what changed, in words.

    before                                      after
    Nested Loop                                 Hash Join                 the join became a Hash Join
     ├─ Seq Scan on deliveries   ── relation ──  ├─ Seq Scan on order_lines
     └─ Index Scan on order_lines ── d, l ─────  └─ Seq Scan on deliveries

A step that reads a relation is lined up with the step of the other plan that reads it: by the relation's name and its
alias, else by its name and role. What has no relation (joins, sorts, aggregates) is compared as a collection: which
appeared, which vanished. Counters are compared only where both steps were run, estimates only where both can be
judged. A pair is named by its alias, or by its relation where the planner made that alias up for a partition.

    >>> from workbook.plans import read_plan
    >>> before = read_plan("Seq Scan on orders  (cost=0..9 rows=1 width=4)\\n  Filter: (id = 1)")
    >>> after = read_plan("Index Scan using orders_pkey on orders  (cost=0..9 rows=1 width=4)\\n  Index Cond: (id = 1)")
    >>> print(compare(before, after))
    orders: Seq Scan became Index Scan using orders_pkey
    orders: (id = 1) moved from Filter to Index Cond
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from workbook.plans.tree import MARKED_FROM, WRITES, Node, Plan

ACCESS = ("Index Cond", "Recheck Cond", "Filter")


@dataclass(frozen=True)
class Comparison:
    """What changed from `before` to `after`: sentences, and the pairs of steps that were lined up."""

    before: Plan
    after: Plan
    changes: tuple[str, ...]
    pairs: tuple[tuple[Node, Node], ...]

    @property
    def text(self) -> str:
        """The sentences, one a line; of two plans that do not differ, "nothing changed"."""
        return "\n".join(self.changes) or "nothing changed"

    def data(self) -> dict[str, Any]:
        """Plain data: both plans, the sentences, and the titles of the pairs."""
        return {
            "before": self.before.data(),
            "after": self.after.data(),
            "changes": list(self.changes),
            "pairs": [[a.title, b.title] for a, b in self.pairs],
        }

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_svg_(self) -> str:
        from workbook.draw.plan import comparison_picture

        return comparison_picture(self.data(), self.text).svg

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from workbook.draw.plan import bundle

        return bundle(self._repr_svg_, self.text)


def compare(before: Plan, after: Plan) -> Comparison:
    """Line two plans up by the relation and role of each step, and say what changed."""
    pairs, gone, new = _lined_up(before, after)
    changes = _unrun(before, after)
    changes += _pages(before.buffers.value, after.buffers.value)
    for a, b in pairs:
        changes += _access(a, b)
    changes += [f"{node.relation}: {node.kind} is gone" for node in gone]
    changes += [f"{node.relation}: {node.kind} is new" for node in new]
    changes += _collections(before, after)
    return Comparison(before, after, tuple(changes), tuple(pairs))


def _lined_up(before: Plan, after: Plan) -> tuple[list[tuple[Node, Node]], list[Node], list[Node]]:
    """Pairs by relation and alias; what is left over, because an alias or the relation's place changed, by relation
    and role, then by relation alone. A step that writes is never lined up with one that reads."""
    gone, new = ([node for node in plan.nodes() if node.relation] for plan in (before, after))
    order = {id(node): place for place, node in enumerate(gone)}
    pairs: list[tuple[Node, Node]] = []
    keys: tuple[Callable[[Node], Hashable], ...] = (
        lambda node: (*_relation(node), node.alias or node.relation),
        lambda node: (*_relation(node), node.role),
        _relation,
    )
    for key in keys:
        waiting: dict[Hashable, deque[Node]] = {}
        for b in new:
            waiting.setdefault(key(b), deque()).append(b)
        found = [(a, waiting[key(a)].popleft()) for a in gone if waiting.get(key(a))]
        lined = {id(node) for pair in found for node in pair}
        gone, new = ([node for node in nodes if id(node) not in lined] for nodes in (gone, new))
        pairs += found
    return sorted(pairs, key=lambda pair: order[id(pair[0])]), gone, new


def _relation(node: Node) -> tuple[str, bool]:
    return node.relation, node.kind in WRITES


def _pages(a: float | None, b: float | None) -> list[str]:
    if a is None or b is None or a == b:
        return []
    more, ratio = "fewer" if a > b else "more", max(a, b) / min(a, b) if a and b else 1  # of 0 there is no factor
    factor = f", {ratio:,.0f} times {more}" if ratio >= 9.5 else f", {ratio:.2g} times {more}" if ratio >= 1.5 else ""
    return [f"pages: {a:,.0f} became {b:,.0f}{factor}"]


def _unrun(before: Plan, after: Plan) -> list[str]:
    """What is said where one plan was run and the other only believed."""
    ran = [plan.root.loops.value is not None for plan in (before, after)]
    which = {(True, False): "second", (False, True): "first"}.get((ran[0], ran[1]))
    return [f"the {which} plan was not run: it has no counters to compare"] if which else []


def _named(node: Node) -> str:
    """The name of a step in a sentence: `part_2` is what the planner calls a partition `p2019` of `part`."""
    made_up = re.fullmatch(r"(.+)_\d+", node.alias)
    return node.relation if made_up and made_up[1] != node.relation else node.alias or node.relation


def _own_steps(node: Node) -> Iterator[Node]:
    """A step and those that make its bitmap."""
    yield node
    for child in node.children:
        if child.kind in ("BitmapAnd", "BitmapOr") or child.kind.endswith("Bitmap Index Scan"):
            yield from _own_steps(child)


def _how(node: Node) -> str:
    indexes = [step.index for step in _own_steps(node) if step.index]
    return node.kind + (f" using {' and '.join(indexes)}" if indexes else "")


def _access(a: Node, b: Node) -> list[str]:
    name, lines = _named(b), []
    if _how(a) != _how(b):
        lines.append(f"{name}: {_how(a)} became {_how(b)}")
    lines += [f"{name}: {text} moved from {old} to {new}" for text, old, new in _moved(a, b)]
    return lines + [f"{name}: {line}" for line in _counted(a, b)]


def _counted(a: Node, b: Node) -> list[str]:
    """What the counters of two steps say, where both were run."""
    if a.loops.value is None or b.loops.value is None:
        return []
    if a.never_executed or b.never_executed:
        if a.never_executed and b.never_executed:
            return []
        return ["was run, now never executed" if b.never_executed else "was never executed, now run"]
    lines, removed = [], (a.rows_removed.value or 0, b.rows_removed.value or 0)
    if removed[0] != removed[1]:
        lines.append(f"{removed[0]:,.0f} rows read for nothing became {removed[1]:,.0f}")
    off = (a.misestimate, b.misestimate)
    if a.judged and b.judged and max(off) >= MARKED_FROM and abs(off[0] - off[1]) > 1:
        lines.append(f"estimate off by a factor of {off[0]:,.0f}, now of {off[1]:,.0f}")
    if a.loops.value != b.loops.value:
        lines.append(f"{a.loops.value:,.0f} loop{'s' * (a.loops.value != 1)} became {b.loops.value:,.0f}")
    return lines


def _moved(a: Node, b: Node) -> list[tuple[str, str, str]]:
    def conditions(node: Node) -> dict[str, str]:
        return {text: label for step in _own_steps(node) for label, text in step.conditions if label in ACCESS}

    old, new = conditions(a), conditions(b)
    return [(text, old[text], new[text]) for text in old if text in new and old[text] != new[text]]


def _collections(before: Plan, after: Plan) -> list[str]:
    a = Counter(node.kind for node in before.nodes() if not node.relation and not node.index)
    b = Counter(node.kind for node in after.nodes() if not node.relation and not node.index)
    gone, new = list((a - b).elements()), list((b - a).elements())
    waiting: dict[str, deque[int]] = {}
    for place, kind in enumerate(new):
        waiting.setdefault(_family(kind), deque()).append(place)
    lines, left, taken = [], [], set()
    for kind in gone:
        if (family := _family(kind)) and waiting.get(family):
            place = waiting[family].popleft()
            taken.add(place)
            lines.append(f"{kind} became {new[place]}")
        else:
            left.append(f"{kind} is gone")
    return lines + left + [f"{kind} is new" for place, kind in enumerate(new) if place not in taken]


def _family(kind: str) -> str:
    """What a step of a collection does: a join may become another join, not a sort."""
    family = next((word for word in ("Join", "Loop", "Aggregate", "Sort") if word in kind), "")
    return "Join" if family == "Loop" else family
