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
from workbook.plans.tree import Node, Number, Plan, settled

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
    "Shared Hit Blocks",
    "Shared Read Blocks",
    "Local Hit Blocks",
    "Local Read Blocks",
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
        raise Unsuitable(
            "This JSON has no plan of PostgreSQL.", next="save what EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) prints"
        )
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
    return Plan(
        engine="postgresql",
        root=settled(_tree(document["Plan"], "", 0)),
        numbers=numbers,
        settings={str(k): str(v) for k, v in settings.items()} if isinstance(settings, Mapping) else {},
        notes=trigger_notes(triggers),
    )


def trigger_notes(triggers: Sequence[str]) -> tuple[str, ...]:
    """What a plan leaves out where triggers ran."""
    if not triggers:
        return ()
    return (
        f"{', '.join(triggers)} ran: what an AFTER trigger or a foreign-key check touches is not in these numbers.",
    )


def _tree(fields: Any, role: str, depth: int) -> Node:
    if not isinstance(fields, Mapping) or not _text(fields.get("Node Type")).strip():
        raise Unsuitable("A step of this plan has no 'Node Type'.", next="save the plan again, whole")
    if depth > 200:
        raise Unsuitable("This plan is nested more than 200 steps deep.")
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
    """A step from its fields, named as JSON names them; every counter a total over the loops, and marked."""
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
    loops: Any = fields.get("Actual Loops")
    times: float = loops if _is_number(loops) else 1
    numbers: dict[str, Number] = {}
    if _is_number(loops):
        numbers["loops"] = Number(loops)
    if kind in ("BitmapAnd", "BitmapOr") and times:
        numbers["rows"] = Number(None, False, "PostgreSQL does not count them here, and prints 0")
    elif _is_number(fields.get("Actual Rows")):
        numbers["rows"] = _rows(fields["Actual Rows"], times)
    if _is_number(fields.get("Plan Rows")):
        numbers["rows_estimated"] = Number(
            fields["Plan Rows"] * max(times, 1), False, "an estimate per loop, times the loops"
        )
        numbers["rows_planned"] = Number(fields["Plan Rows"], False, "an estimate of one loop")
    removed = [fields[name] for name in REMOVED if _is_number(fields.get(name))]
    if removed:
        exact = times <= 1
        numbers["rows_removed"] = Number(
            sum(removed) * max(times, 1), exact, "" if exact else "printed as a rounded mean per loop"
        )
    if _is_number(fields.get("Total Cost")):
        numbers["cost"] = Number(fields["Total Cost"], False, "a belief, in units of its own")
    if _is_number(fields.get("Actual Total Time")):
        numbers["time_ms"] = Number(
            fields["Actual Total Time"] * max(times, 1), False, "a mean per loop; does not repeat"
        )
    pages = _sum(fields, "Shared Hit Blocks", "Shared Read Blocks", "Local Hit Blocks", "Local Read Blocks")
    if pages is not None:
        numbers["buffers"] = Number(pages)
    for printed, name in COUNTERS.items():
        if _is_number(fields.get(printed)):
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


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _joined(value: Any) -> str:
    return ", ".join(_text(item) for item in value) if isinstance(value, list) else _text(value)
