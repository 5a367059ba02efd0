"""The plans of SQLite and DuckDB, as the same tree.

SQLite says in words what it will do (`EXPLAIN QUERY PLAN`: an id, its parent's id, a sentence) and counts steps of
its virtual machine for the whole statement. DuckDB's profile counts, for each scan, rows and row groups: a row group
is 122,880 rows with the least and the most of each column (a zone map), and one whose zone map rules it out is not
scanned.

    >>> read_sqlite([(2, 0, "SEARCH orders USING INTEGER PRIMARY KEY (rowid=?)")]).root.children[0].kind
    'SEARCH'

Left out: pages, which neither engine counts for a step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from workbook.errors import Unsuitable
from workbook.plans.tree import AGAIN, DEPTH_MAX, Node, Number, Plan, too_deep

SENTENCE = re.compile(
    r"^(SCAN|SEARCH) (?:(?:TABLE|SUBQUERY) (?!USING |AS ))?(\S+)(?: AS (\S+))?(?: USING (?:AUTOMATIC )?(?:(?:PARTIAL )?(?:COVERING )?INDEX ([^\s(]\S*)?|INTEGER PRIMARY KEY))?(.*)$"
)
DUCKDB = "EXPLAIN (ANALYZE, FORMAT JSON)"
PRINTED = {"children", "extra_info", "timing", "operator_timing"}
"""DuckDB prints one of these for each step, in every version."""
DUCK_WHOLE = {"ORDER_BY", "TOP_N", "HASH_GROUP_BY", "PERFECT_HASH_GROUP_BY", "UNGROUPED_AGGREGATE", "WINDOW"}
"""Steps of DuckDB that read what stands below them to its end, even where they are stopped themselves."""
DUCK_FILLED = {"LEFT", "OUTER", "FULL", "ANTI", "MARK", "SINGLE"}
"""Joins of DuckDB that need their left side even where their right one is empty."""
DUCK_CONDITIONS = (
    "Filters",
    "Dynamic Filters",
    "Conditions",
    "Expressions",
    "Expression",
    "Groups",
    "Order By",
    "Join Type",
    "Top",
)


def read_sqlite(rows: Iterable[tuple[int, int, str]]) -> Plan:
    """The tree of the rows (id, parent, detail) of EXPLAIN QUERY PLAN.

    Raises `Unsuitable` where there is none, or it has more than `DEPTH_MAX` steps below each other."""
    below: dict[int, list[tuple[int, str]]] = {}
    for number, parent, detail in rows:
        below.setdefault(parent, []).append((number, detail))
    if 0 not in below:
        raise Unsuitable("There is no plan of SQLite in this.", next="save what EXPLAIN QUERY PLAN prints")

    def made(number: int, detail: str, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise too_deep()
        children = tuple(made(*child, depth + 1) for child in below.get(number, []))
        found = SENTENCE.match(detail)
        if not found:
            return Node(kind=detail, children=children)
        condition = re.search(r"\(([^()]*)\)(?: LEFT-JOIN)?\s*$", found[5])
        covering = " COVERING" if "COVERING INDEX" in detail else ""
        return Node(
            kind=found[1] + covering,
            relation=found[2],
            alias=found[3] or found[2],
            index=found[4]
            or next((name for name in ("AUTOMATIC", "PRIMARY KEY") if f"USING {name}" in detail), "")
            or ("PRIMARY KEY" if "USING INTEGER PRIMARY KEY" in detail else ""),
            conditions=(("Index Cond", condition[1]),) if condition else (),
            children=children,
            details={"sentence": detail},
        )

    tops = [made(*top, 1) for top in below[0]]
    root = Node(kind="QUERY PLAN", children=tuple(tops))
    return Plan("sqlite", root, notes=("SQLite counts no pages by step; steps are those of its virtual machine.",))


def read_sqlite_text(text: str) -> Plan:
    """The tree that the shell of SQLite draws with `|--` and `` `-- ``. Raises `Unsuitable` as `read_sqlite` does."""
    rows: list[tuple[int, int, str]] = []
    parents = {-1: 0}
    for line in text.splitlines():
        found = re.match(r"^([| ]*)(?:\|--|`--)(.*)$", line)
        if found:
            depth = len(found[1]) // 3
            rows.append((len(rows) + 1, parents.get(depth - 1, 0), found[2].strip()))
            parents[depth] = len(rows)
    return read_sqlite(rows)


def read_duckdb(document: Any) -> Plan:
    """The tree of EXPLAIN (ANALYZE, FORMAT JSON), of EXPLAIN (FORMAT JSON) or of a saved profile.

    Raises `Unsuitable` where a step is none of DuckDB's, has a counter below 0 or stands too deep."""
    top = document[0] if isinstance(document, list) and document else document
    if isinstance(top, Mapping):
        top = top.get("operator") or top.get("children") if "type" not in top and "name" not in top else top
        top = top[0] if isinstance(top, list) and top else top
    while (
        isinstance(top, Mapping)
        and _name(top) in ("RESULT_COLLECTOR", "EXPLAIN_ANALYZE", "QUERY", "QUERY_ROOT")
        and top.get("children")
    ):
        top = top["children"][0]
    if not isinstance(top, Mapping) or not _name(top) or not PRINTED & top.keys():
        raise Unsuitable("This JSON has no plan of PostgreSQL or DuckDB.", next=f"{AGAIN}; in DuckDB, {DUCKDB}")
    return Plan(
        "duckdb", _judged(_duck(top, 0), False, False)[0], notes=("DuckDB counts rows and row groups, no pages.",)
    )


def _judged(node: Node, cut: bool, under: bool) -> tuple[Node, int, bool]:
    """The step with a mark on those whose rows cannot be held against their estimate; whether its rows are thinned
    out (2 where what did it may stand below), and whether they come late.

    A LIMIT that came to its count stops what it reads (`cut`), and so does a join whose right side is empty. A join
    or a TOP_N above (`under`) may hand a filter down to a scan, of which the estimates between the two know nothing:
    those rows are thinned out. And DuckDB may put a LIMIT below a join by row number, which fetches the other columns
    late: the estimates from there on up are those without it.
    """
    kind, right = node.kind, node.children[1:2]
    join = kind.endswith("_JOIN") or kind == "CROSS_PRODUCT"
    empty = join and node.details.get("Join Type") not in DUCK_FILLED and any(one.rows.value == 0 for one in right)
    count = node.details.get("Limit", "")
    reached = kind in ("LIMIT", "STREAMING_LIMIT") and not (count.isdigit() and (node.rows.value or 0) < int(count))
    thin = int("Dynamic Filters" in node.details or "Dynamic Filter" in node.details.get("Filters", ""))
    late = "SEMI" in node.details.get("Join Type", "") and "rowid = rowid" in node.details.get("Conditions", "")
    children = []
    for place, child in enumerate(node.children):
        stopped = (cut and kind not in DUCK_WHOLE) or reached or empty
        one, thinner, later = _judged(child, stopped and not (join and place), under or join or kind == "TOP_N")
        children.append(one)
        thin, late = max(thin, thinner), late or later
    if kind.endswith(("_GROUP_BY", "_AGGREGATE")) and thin == 2:
        thin = 0
    made = replace(node, children=tuple(children), cut_short=cut or (bool(thin) and under) or late)
    return made, 2 if thin and join else thin, late


def _name(fields: Mapping[str, Any]) -> str:
    names = (fields.get(key) for key in ("type", "operator_type", "operator_name", "name"))
    return next((name.strip() for name in names if isinstance(name, str) and name.strip()), "")


def _duck(fields: Mapping[str, Any], depth: int) -> Node:
    if depth > DEPTH_MAX:
        raise too_deep()
    if not _name(fields):
        raise Unsuitable("A step of this plan has no name.", next=f"save the whole output of {DUCKDB}")
    extra = fields.get("extra_info")
    info = (
        {
            str(key): ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            for key, value in extra.items()
        }
        if isinstance(extra, Mapping)
        else {}
    )
    numbers = {}
    came = fields.get("intermediate_rows", fields.get("operator_cardinality"))
    if isinstance(came, int) and not isinstance(came, bool):
        if came < 0:
            raise Unsuitable(
                f"The step {_name(fields)} has {came} rows, and DuckDB counts from 0 up.",
                next=f"save the whole output of {DUCKDB}",
            )
        uncounted = Number(None, False, "DuckDB does not count them here, and prints 0")
        numbers["rows"] = uncounted if _name(fields) == "CTE" and not came else Number(came)
        numbers["loops"] = Number(1)
    if info.get("Estimated Cardinality", "").isdigit() and int(info["Estimated Cardinality"]):  # 0: made none
        numbers["rows_estimated"] = Number(int(info["Estimated Cardinality"]), False, "an estimate")
    for source in (fields, info):
        for printed, name in (
            ("rows_scanned", "rows_scanned"),
            ("operator_rows_scanned", "rows_scanned"),
            ("row_groups_scanned", "row_groups_scanned"),
            ("total_row_groups_to_scan", "row_groups_total"),
            ("Row Groups Scanned", "row_groups_scanned"),
            ("Total Row Groups To Scan", "row_groups_total"),
        ):
            value = source.get(printed)
            if value is not None and str(value).isdigit() and (int(value) or "SCAN" in _name(fields)):
                numbers[name] = Number(int(value))
    children = fields.get("children")
    return Node(
        kind=_name(fields),
        relation=info.get("Table", "").split(".")[-1],
        conditions=tuple((label, info[label]) for label in DUCK_CONDITIONS if info.get(label)),
        children=tuple(_duck(child, depth + 1) for child in children if isinstance(child, Mapping))
        if isinstance(children, list)
        else (),
        numbers=numbers,
        details=info,
    )
