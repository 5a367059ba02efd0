"""PostgreSQL's plans: from the fields that it prints, in JSON or in text, to the one tree.

    JSON ── fields(dict) ──┐
                           ├──▶ node(fields, children) ──▶ Node ── settled ──▶ Plan
    text ── fields(lines) ─┘

Both forms are first brought to the same fields, named as the JSON form names them; then one function makes the
counters, so that the same run gives the same tree in either form. The traps (facts of 18.4): rows are means per loop,
rounded to two decimals since 18 and to integers before; rows removed are rounded to integers per loop; buffers are
totals that include the children; costs and estimates are per loop.

    >>> json_kind({"Node Type": "Hash Join", "Join Type": "Left"})
    'Hash Left Join'
    >>> json_kind({"Node Type": "Aggregate", "Strategy": "Hashed", "Partial Mode": "Partial"})
    'Partial HashAggregate'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbook.errors import Unsuitable
from workbook.plans.tree import AGAIN, DEPTH_MAX, HANGING, Node, Number, Plan, settled, too_deep

CONDITIONS = (
    "Index Cond",
    "Recheck Cond",
    "TID Cond",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Filter",
    "One-Time Filter",
    "Order By",
    "Sort Key",
    "Presorted Key",
    "Hash Key",
    "Group Key",
    "Cache Key",
    "Run Condition",
    "Conflict Filter",
)
REMOVED = (
    "Rows Removed by Filter",
    "Rows Removed by Join Filter",
    "Rows Removed by Index Recheck",
    "Rows Removed by Conflict Filter",
)
COUNTERS = {
    "Heap Fetches": "heap_fetches",
    "Index Searches": "index_searches",
    "WAL Bytes": "wal_bytes",
    "WAL Records": "wal_records",
    "WAL FPI": "wal_page_images",
    "Shared Dirtied Blocks": "buffers_dirtied",
    "Temp Read Blocks": "temp_read",
    "Temp Written Blocks": "temp_written",
    "Workers Launched": "workers",
}
PAGES = ("Shared Hit Blocks", "Shared Read Blocks", "Local Hit Blocks", "Local Read Blocks")
COUNTED = {
    *REMOVED,
    *COUNTERS,
    *PAGES,
    "Actual Rows",
    "Actual Loops",
    "Actual Total Time",
    "Plan Rows",
    "Total Cost",
}
"""Fields that hold a number from 0 up, wherever they are printed."""
ROLES = {
    "Outer": "outer",
    "Inner": "inner",
    "Member": "member",
    "Subquery": "subquery",
    "SubPlan": "subplan",
    "InitPlan": "initplan",
}
JOINS = {"Semi", "Anti", "Left", "Right", "Full", "Right Semi", "Right Anti"}
KNOWN = {
    *CONDITIONS,
    *REMOVED,
    *COUNTERS,
    "Node Type",
    "Plans",
    "Relation Name",
    "Alias",
    "Index Name",
    "Parent Relationship",
    "Actual Rows",
    "Actual Loops",
    "Plan Rows",
    "Total Cost",
    "Startup Cost",
    "Actual Total Time",
    "Actual Startup Time",
    "Plan Width",
    "Schema",
    "Workers",
    *PAGES,
    "CTE Name",
    "Function Name",
    "Table Function Name",
    "Parallel Aware",
    "Async Capable",
    "Join Type",
    "Strategy",
    "Partial Mode",
    "Scan Direction",
    "Operation",
    "Command",
    "Output",
    "Disabled",
    "Inner Unique",
}


def read_json(document: Any) -> Plan:
    """The plan of a document that `FORMAT JSON` or auto_explain printed (YAML comes here as the same document).

    Raises `Unsuitable` where it has no plan.
    """
    if isinstance(document, Sequence) and not isinstance(document, str) and document:
        document = document[0]
    if not isinstance(document, Mapping) or not isinstance(document.get("Plan"), Mapping):
        raise Unsuitable("There is no plan of PostgreSQL in this document.", next=AGAIN)
    numbers = {}
    for name, key in (
        ("Execution Time", "execution_time_ms"),
        ("Total Runtime", "execution_time_ms"),
        ("Planning Time", "planning_time_ms"),
    ):
        if _is_number(document.get(name)):
            numbers[key] = Number(document[name], True, "does not repeat")
    planning = document.get("Planning")
    if isinstance(planning, Mapping):
        numbers["planning_buffers"] = Number(_sum(planning, "Shared Hit Blocks", "Shared Read Blocks") or 0)
    triggers = [
        _text(trigger.get("Constraint Name") or trigger.get("Trigger Name") or "?")
        for trigger in _maps(document.get("Triggers"))
    ]
    settings = document.get("Settings")
    root = _tree(document["Plan"], "", 0)
    return Plan(
        engine="postgresql",
        root=settled(root),
        numbers=numbers,
        settings={str(k): str(v) for k, v in settings.items()} if isinstance(settings, Mapping) else {},
        notes=(*trigger_notes(triggers), *missing_notes(root)),
    )


def trigger_notes(triggers: Sequence[str]) -> tuple[str, ...]:
    """What a plan leaves out where triggers ran."""
    if not triggers:
        return ()
    return (
        f"{', '.join(triggers)} ran: what an AFTER trigger or a foreign-key check touches is not in these numbers.",
    )


def missing_notes(root: Node) -> tuple[str, ...]:
    """What is said of a plan that was cut off: a step has fewer steps below it than its kind has."""
    for node in root.walk():
        needed = _steps_below(node.kind)
        if needed and (found := sum(child.role not in (*HANGING, "subplan") for child in node.children)) < needed:
            return (
                f"The plan is not whole: below {node.title} "
                f"{'one step is' if needed - found == 1 else 'two steps are'} missing.",
            )
    return ()


def _steps_below(kind: str) -> int:
    """How many steps at least stand below one of this kind."""
    if kind.startswith(("Nested Loop", "Merge", "Hash", "Parallel Hash")) and kind.endswith((" Join", "Nested Loop")):
        return 2
    return int(kind in ("Bitmap Heap Scan", "Parallel Bitmap Heap Scan", "Gather", "Gather Merge", "Hash", "Sort"))


def _tree(fields: Any, role: str, depth: int) -> Node:
    kind = fields.get("Node Type") if isinstance(fields, Mapping) else None
    if not isinstance(kind, str) or not kind.strip():
        said = "has no 'Node Type'" if kind is None else f"has the 'Node Type' {_brief(kind)}, which is no name"
        raise Unsuitable(f"A step of this plan {said}.", next=AGAIN)
    if depth > DEPTH_MAX:
        raise too_deep()
    below = fields.get("Plans")
    if below is not None and not (isinstance(below, list) and len(_maps(below)) == len(below)):
        raise Unsuitable(f"The 'Plans' of the step {_brief(kind)} are no list of steps.", next=AGAIN)
    children = []
    for child in _maps(fields.get("Plans")):
        relation = ROLES.get(str(child.get("Parent Relationship")), "")
        if str(child.get("Subplan Name", "")).startswith("CTE "):
            relation = "cte"
        children.append(_tree(child, relation, depth + 1))
    return make_node(json_kind(fields), fields, role, tuple(children))


def json_kind(fields: Mapping[str, Any]) -> str:
    """The name that the text form gives to a step that JSON describes by several fields (explain.c, ExplainNode)."""
    kind, join = _text(fields["Node Type"]), fields.get("Join Type")
    if kind == "ModifyTable":
        kind = _text(fields.get("Operation", kind))
    elif kind == "Aggregate":
        kind = {"Sorted": "GroupAggregate", "Hashed": "HashAggregate", "Mixed": "MixedAggregate"}.get(
            _text(fields.get("Strategy")), "Aggregate"
        )
        partial = fields.get("Partial Mode")
        kind = f"{partial} {kind}" if partial in ("Partial", "Finalize") else kind
    elif kind == "SetOp":
        hashed = "HashSetOp" if fields.get("Strategy") == "Hashed" else "SetOp"
        kind = f"{hashed} {fields['Command']}" if fields.get("Command") else hashed
    elif kind in ("Index Scan", "Index Only Scan") and fields.get("Scan Direction") == "Backward":
        kind += " Backward"
    elif kind == "Custom Scan" and fields.get("Custom Plan Provider"):
        kind = f"Custom Scan ({fields['Custom Plan Provider']})"
    elif kind == "Foreign Scan" and fields.get("Operation") in ("Insert", "Update", "Delete"):
        kind = f"Foreign {fields['Operation']}"
    if fields.get("Async Capable") is True:
        kind = f"Async {kind}"
    if isinstance(join, str) and join in JOINS:
        kind = f"{kind} {join} Join" if kind == "Nested Loop" else f"{kind.removesuffix(' Join')} {join} Join"
    return f"Parallel {kind}" if fields.get("Parallel Aware") is True else kind


def make_node(kind: str, fields: Mapping[str, Any], role: str, children: tuple[Node, ...]) -> Node:
    """A step from its fields, named as JSON names them; every counter a total over the loops, and marked.

    Raises `Unsuitable` where a counter is no number from 0 up."""
    _check(kind, fields)
    relation = (
        fields.get("Relation Name")
        or fields.get("CTE Name")
        or fields.get("Function Name")
        or fields.get("Table Function Name")
        or fields.get("Tuplestore Name")
        or (fields.get("Alias") if kind.endswith("Function Scan") else "")
        or ""
    )
    conditions = [(label, text) for label in CONDITIONS if label in fields for text in _lines(fields[label])]
    conditions += _grouping_sets(fields.get("Grouping Sets"))
    conditions.sort(key=lambda pair: CONDITIONS.index(pair[0]))
    details = {
        key: _joined(value)
        for key, value in fields.items()
        if key not in KNOWN and not isinstance(value, Mapping) and not _maps(value)
    }
    return Node(
        kind=kind,
        relation=_text(relation),
        alias=_text(fields.get("Alias", "")),
        index=_text(fields.get("Index Name", "")),
        role=role,
        conditions=tuple(conditions),
        children=children,
        numbers=_numbers(kind, fields),
        details=details,
    )


def _lines(value: Any) -> list[str]:
    """The text form repeats a label where it has several; they come here as a tuple."""
    return list(value) if isinstance(value, tuple) else [_joined(value)]


def _grouping_sets(sets: Any) -> list[tuple[str, str]]:
    """The keys of grouping sets, a line each, as the text form prints them."""
    lines = []
    for one in _maps(sets):
        if "Sort Key" in one:
            lines.append(("Sort Key", _joined(one["Sort Key"])))
        for label in ("Hash Key", "Group Key"):
            keys = one.get(f"{label}s")
            lines += [(label, _joined(key) or "()") for key in keys] if isinstance(keys, list) else []
    return lines


def _numbers(kind: str, fields: Mapping[str, Any]) -> dict[str, Number]:
    """The counters of fields that `_check` has let through."""
    loops: Any = fields.get("Actual Loops")
    times: float = 1 if loops is None else loops
    numbers: dict[str, Number] = {}
    if loops is not None:
        numbers["loops"] = Number(loops)
    if kind in ("BitmapAnd", "BitmapOr") and times:
        numbers["rows"] = Number(None, False, "PostgreSQL does not count them here, and prints 0")
    elif fields.get("Actual Rows") is not None:
        numbers["rows"] = _rows(fields["Actual Rows"], times)
    if fields.get("Plan Rows") is not None:
        numbers["rows_estimated"] = Number(
            fields["Plan Rows"] * max(times, 1), False, "an estimate per loop, times the loops"
        )
    removed = [fields[name] for name in REMOVED if fields.get(name) is not None]
    if removed:
        exact = times <= 1
        numbers["rows_removed"] = Number(
            sum(removed) * max(times, 1), exact, "" if exact else "printed as a rounded mean per loop"
        )
    if fields.get("Total Cost") is not None:
        numbers["cost"] = Number(fields["Total Cost"], False, "a belief, in units of its own")
    if fields.get("Actual Total Time") is not None:
        numbers["time_ms"] = Number(
            fields["Actual Total Time"] * max(times, 1), False, "a mean per loop; does not repeat"
        )
    pages = _sum(fields, *PAGES)
    if pages is not None:
        numbers["buffers"] = Number(pages)
    for printed, name in COUNTERS.items():
        if fields.get(printed) is not None:
            numbers[name] = Number(fields[printed])
    return numbers


def _rows(mean: float, loops: float) -> Number:
    """Rows over all loops from a printed mean. With two decimals the total is sure while 0.005 x loops stays below a
    half."""
    if loops <= 1:
        return Number(round(mean * loops))
    if isinstance(mean, float) and loops < 100:
        return Number(round(mean * loops))
    return Number(round(mean * loops), False, "printed as a rounded mean per loop")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e300


def _sum(fields: Mapping[str, Any], *names: str) -> float | None:
    values = [fields[name] for name in names if _is_number(fields.get(name))]
    return sum(values) if values else None


def _check(kind: str, fields: Mapping[str, Any]) -> None:
    """Raise `Unsuitable` where a counter is none: a word, less than 0, infinite."""
    for name, value in fields.items():
        if name in COUNTED and value is not None and not (_is_number(value) and value >= 0):
            raise Unsuitable(
                f"The step {_brief(kind)} has {name}: {_brief(value)}, and PostgreSQL prints a number from 0 up there.",
                next=AGAIN,
            )


def _brief(value: Any) -> str:
    """A value of a document as a message shows it: on one line, and short."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _joined(value: Any) -> str:
    return ", ".join(_text(item) for item in value) if isinstance(value, list) else _text(value)
