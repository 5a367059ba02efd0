"""Answers with ORDER BY: which sequences of the same rows are the same answer.

    SELECT id FROM test ORDER BY value      rows (1, 10) (2, 10) (3, 20)
      1 2 3   and   2 1 3                   both are right: 1 and 2 are tied
      1 3 2                                 is not

SQL leaves the sequence of tied rows open, so an engine may give either, and a later run the other. Where a statement
returns what it orders by, equal rows can only have changed places in a tie. Where it does not, it is run again with
what it orders by added to what it returns, and the answer is compared group by group of ties. So is a statement that
locks: at READ COMMITTED it sorts rows, then waits for them, and returns what they are by then, out of order.

    >>> with_keys("SELECT id FROM test ORDER BY value DESC", ("id",))
    ('SELECT id, value AS workbook_order_1 FROM test ORDER BY value DESC', 1)
    >>> with_keys("SELECT id, value FROM test ORDER BY value", ("id", "value"))
    ('SELECT id, value FROM test ORDER BY value', 0)
    >>> admissible([(2,), (1,), (3,)], [(1, 10), (2, 10), (3, 20)], 1)
    True
    >>> admissible([(1,), (3,), (2,)], [(1, 10), (2, 10), (3, 20)], 1)
    False

SQL leaves more open than ties, and what is open is told, not compared:

    >>> still_open("SELECT id FROM test LIMIT 1"), still_open("SELECT array_agg(id ORDER BY id) FROM test")
    (('LIMIT without ORDER BY picks any rows',), ())

Source: PostgreSQL's manual, 7.5 "Sorting Rows", and its page on SELECT, "The Locking Clause".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

ORDERED = re.compile(r"\border\s+by\b", re.I)
IN_ANY_ORDER = re.compile(
    r"(json|jsonb|xml)_?(object|group|array)?_?(agg|array|object)(_strict|_unique)*|list|first|last", re.I
)
"""Aggregates that sqlglot does not know, whose answer depends on the sequence of the rows."""
Rows = Sequence[tuple[Any, ...]]


def with_keys(sql: str, columns: Sequence[str], dialect: str = "postgres") -> tuple[str, int]:
    """The statement with what it orders by added to what it returns, and how many columns that are: 0 where it has no
    ORDER BY of its own, or returns all that it orders by. `columns` are the names of what it returns."""
    if not ORDERED.search(sql):
        return sql, 0
    import sqlglot
    from sqlglot import exp

    try:
        query = sqlglot.parse_one(sql, read=dialect)
    except sqlglot.errors.SqlglotError:
        return sql, 0
    order = query.args.get("order")
    if order is None or not isinstance(query, exp.Select) or query.args.get("distinct"):
        return sql, 0  # DISTINCT and UNION order by what they return
    named = {one.alias: one.this for one in query.selects if isinstance(one, exp.Alias)}
    keys = [one.this if isinstance(one, exp.Ordered) else one for one in order.expressions]
    returned = {one.sql() for one in query.selects}
    shown = all(isinstance(key, exp.Literal) or key.sql() in returned or _returned(key, columns) for key in keys)
    if shown and not query.args.get("locks"):
        return sql, 0
    for number, key in enumerate(keys, 1):
        found = query.selects[int(key.name) - 1].unalias() if isinstance(key, exp.Literal) else named.get(key.name, key)
        query = query.select(exp.alias_(found.copy(), f"workbook_order_{number}"), copy=False)
    return query.sql(dialect=dialect), len(keys)


def still_open(sql: str, dialect: str = "postgres", keys: Iterable[Sequence[str]] = ()) -> tuple[str, ...]:
    """What a statement leaves open, so that another answer is as right as the one that was given; () where nothing.
    Rows that are ordered by one of the `keys` are never tied."""
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(sql, read=dialect)
    except sqlglot.errors.SqlglotError:
        return ()
    found = left_open(tree, dialect)
    if (order := tree.args.get("order")) and tree.args.get("limit"):
        names = {one.this.name.lower() for one in order.expressions if isinstance(one.this, exp.Column)}
        if not any({name.lower() for name in key} <= names for key in keys):
            found.append("where rows are tied, LIMIT picks any of them")
    return tuple(found)


def left_open(tree: Any, dialect: str) -> list[str]:
    """The same of a parsed statement, but for ties, which need not be there."""
    from sqlglot import exp

    found = []
    for select in tree.find_all(exp.Select):
        distinct = select.args.get("distinct")
        for what, given in (("LIMIT", select.args.get("limit")), ("DISTINCT ON", distinct and distinct.args.get("on"))):
            if given and not select.args.get("order"):
                found.append(f"{what} without ORDER BY picks any rows")
    if tree.find(exp.TableSample):
        found.append("TABLESAMPLE picks any rows")
    for function in tree.find_all(exp.ArrayAgg, exp.GroupConcat, exp.JSONArrayAgg, exp.JSONObjectAgg, exp.Anonymous):
        if isinstance(function, exp.Anonymous) and not IN_ANY_ORDER.fullmatch(function.name):
            continue
        if not function.find(exp.Order) and not isinstance(function.parent, (exp.WithinGroup, exp.Window)):
            name = function.sql(dialect=dialect).split("(")[0].lower()
            found.append(f"{name} without ORDER BY takes rows in any order")
    return found


def _returned(key: Any, columns: Sequence[str]) -> bool:
    return type(key).__name__ == "Column" and not key.table and key.name in columns


def admissible(rows: Rows, again: Rows, keys: int) -> bool:
    """Whether rows are a right answer where another run gave `again`, whose last `keys` columns are what was ordered
    by: any sequence without ORDER BY, else each group of ties in its place."""
    if not keys:
        return Counter(map(repr, rows)) == Counter(map(repr, again))
    left = list(rows)
    for _, group in groupby(again, key=lambda row: repr(row[len(row) - keys :])):
        ties = [row[: len(row) - keys] for row in group]
        if Counter(map(repr, left[: len(ties)])) != Counter(map(repr, ties)):
            return False
        left = left[len(ties) :]
    return not left
