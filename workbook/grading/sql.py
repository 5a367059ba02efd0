"""What judges of SQL need again and again: what an answer changed, which rows it gave, what it cost against a budget.

    before ── catalog() ─┐
    the answer runs      ├─▶ changes_allowed(before, after, {"index"})   'The answer dropped 5 tables; ...'
    after ─── catalog() ─┘
    result, wanted ────────▶ same_rows(result, wanted)                   'Row 3 is (7, 'paid').'
    490, budget 20 ────────▶ within(490, 20, "pages")                    'It touches 490 pages.'

Each gives one `Finding`, ok or not, with plain numbers. What an answer may change is judged by the difference of two
catalogs, never by parsing its SQL: only the engine knows what `DO $$ ... $$` did.

    >>> within(490, 20, "pages", question="Where does the range begin?").seen
    'It touches 490 pages.'
    >>> within(12, 20, "pages").ok
    True

Left out: running anything. The judge runs the answer, with the deadlines of the engines' room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from workbook.grading.exercise import Finding

# What people mean when they say that something is gone: a table first, its columns and constraints only on their own.
_WEIGHT = ("schema", "table", "view", "materialized view", "sequence", "function", "trigger", "policy", "index")
_DEPENDENT = ("column", "constraint", "index", "trigger", "policy", "statistics", "sequence", "size", "privilege")


class Change(Protocol):
    """One difference between two catalogs, as the engines' room gives it: None where there was nothing."""

    @property
    def kind(self) -> str: ...
    @property
    def object(self) -> str: ...
    @property
    def before(self) -> Any: ...
    @property
    def after(self) -> Any: ...


class Catalog(Protocol):
    def difference(self, other: Any) -> Sequence[Any]: ...


class Rows(Protocol):
    """What a query gave: `engines.Result` is one."""

    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def rows(self) -> Sequence[Sequence[Any]]: ...


def changes_allowed(
    before: Catalog,
    after: Catalog,
    kinds: Collection[str] = frozenset({"index"}),
    *,
    verbs: Collection[str] = frozenset({"created"}),
    may: str = "",
    question: str = "Which of its statements does that, and does the task ask for it?",
    misconception: str = "",
) -> Finding:
    """Whether an answer changed only what it may.

    Parameters: the catalogs `before` and `after` it ran; the `kinds` of objects it may change (`index`, `statistics`,
    ..., none for a query), in which ways (`verbs` of `created`, `dropped`, `changed`); `may`, what it may do in words,
    where the words made of those two would be clumsy.
    """
    changes = before.difference(after)
    wrong = [change for change in changes if not (change.kind in kinds and verb(change) in verbs)]
    if not wrong:
        return Finding(True, _summary(changes) if changes else "It changed nothing in the catalog.")
    return Finding(
        ok=False,
        seen=_summary(wrong),
        expected=f"The answer may {may or _allowed(kinds, verbs)}.",
        question=question,
        misconception=misconception,
    )


def verb(change: Change) -> str:
    """`created`, `dropped` or `changed`."""
    if change.before is None:
        return "created"
    return "dropped" if change.after is None else "changed"


def _allowed(kinds: Collection[str], verbs: Collection[str]) -> str:
    if not kinds:
        return "change nothing: it is to be a query"
    what = " and ".join(_plural(kind, 2) for kind in sorted(kinds))
    how = " or ".join({"created": "create", "dropped": "drop", "changed": "change"}[verb] for verb in sorted(verbs))
    return f"only {how} {what}"


def _summary(changes: Sequence[Change]) -> str:
    """'The answer dropped 5 tables (customers, orders, ...) and created 1 index (i).'"""
    gone = {change.object for change in changes if change.kind == "table"}
    told = [change for change in changes if not (change.kind in _DEPENDENT and _belongs(change, gone))]
    groups: dict[tuple[str, str], list[str]] = {}
    for change in sorted(told, key=lambda change: (_rank(change.kind), change.kind, change.object)):
        groups.setdefault((verb(change), change.kind), []).append(change.object)
    parts = []
    for (how, kind), names in list(groups.items())[:3]:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        parts.append(f"{how} {len(names)} {_plural(kind, len(names))} ({shown})")
    more = len(groups) - len(parts)
    return f"The answer {' and '.join(parts)}{f', and more of {more} other kinds' if more > 0 else ''}."


def _belongs(change: Change, tables: set[str]) -> bool:
    """Whether a column or an index went or came with its table."""
    if any(change.object == table or change.object.startswith(f"{table}.") for table in tables):
        return True
    words = f"{change.before or ''} {change.after or ''}"
    return any(f" {table} " in f" {words.replace('(', ' ').replace('.', ' ')} " for table in tables)


def _rank(kind: str) -> int:
    return _WEIGHT.index(kind) if kind in _WEIGHT else len(_WEIGHT)


def _plural(kind: str, count: int) -> str:
    if count == 1 or kind == "statistics":
        return kind
    return {"index": "indexes", "policy": "policies"}.get(kind, f"{kind}s")


def same_rows(
    got: Rows,
    wanted: Rows,
    *,
    ordered: bool = False,
    names: bool = False,
    question: str = "Run both queries in a cell: where do their results part?",
    misconception: str = "",
) -> Finding:
    """Whether two results hold the same rows; in the same order where `ordered`, under the same names where `names`."""

    def differs(seen: str, expected: str) -> Finding:
        return Finding(False, seen, expected, question, misconception)

    if len(got.columns) != len(wanted.columns) or (names and list(got.columns) != list(wanted.columns)):
        if not got.columns:
            return differs("The answer returns no rows at all: it is no query.", f"A query with {_columns(wanted)}.")
        return differs(f"It returns {_columns(got)}.", f"{_columns(wanted)[:1].upper()}{_columns(wanted)[1:]}.")
    if len(got.rows) != len(wanted.rows):
        return differs(f"It returns {_rows(got)}.", f"{_rows(wanted)}.")
    left, right = [_key(row) for row in got.rows], [_key(row) for row in wanted.rows]
    if left == right or (not ordered and Counter(left) == Counter(right)):
        return Finding(True, f"It returns the same {len(left):,} row{'' if len(left) == 1 else 's'}.")
    if ordered and Counter(left) == Counter(right):
        place = next(number for number, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1])
        return differs(
            f"The rows are right, their order is not: row {place + 1} is {_shown(got.rows[place])}.",
            f"{_shown(wanted.rows[place])} in that place.",
        )
    surplus = next(iter((Counter(left) - Counter(right)).keys()))
    missing = next(iter((Counter(right) - Counter(left)).keys()))
    return differs(
        f"It returns the row {_shown(got.rows[left.index(surplus)])}, which is not among the right ones.",
        f"{_rows(wanted)}, among them {_shown(wanted.rows[right.index(missing)])}.",
    )


def _key(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple((isinstance(value, bool), value if _hashable(value) else repr(value)) for value in row)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _rows(result: Rows) -> str:
    return f"{len(result.rows):,} row{'' if len(result.rows) == 1 else 's'}"


def _columns(result: Rows) -> str:
    count = len(result.columns)
    return f"{count} column{'' if count == 1 else 's'} ({', '.join(result.columns[:6])}{', ...' if count > 6 else ''})"


def _shown(row: Sequence[Any]) -> str:
    text = "(" + ", ".join(value if len(value) <= 40 else value[:37] + "..." for value in map(_value, row)) + ")"
    return text if len(text) <= 200 else text[:197] + "..."


def _value(value: Any) -> str:
    return "NULL" if value is None else repr(value) if isinstance(value, (str, bytes)) else str(value)


def within(
    seen: int,
    budget: int,
    unit: str,
    *,
    does: str = "It touches",
    expected: str = "",
    question: str = "",
    misconception: str = "",
) -> Finding:
    """Whether a counter keeps within its budget: `does` and `unit` make the sentence ('It touches' 490 'pages')."""
    if seen <= budget:
        return Finding(True, f"{does} {seen:,} {unit}, within the {budget:,} allowed.")
    return Finding(
        False, f"{does} {seen:,} {unit}.", expected or f"At most {budget:,} {unit}.", question, misconception
    )
