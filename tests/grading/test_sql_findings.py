"""What the judges of SQL say about changes, rows and budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from workbook.grading.sql import changes_allowed, same_rows, within


@dataclass
class Change:
    kind: str
    object: str
    before: Any
    after: Any


@dataclass
class Catalog:
    changes: list[Change]

    def difference(self, other: Catalog) -> list[Change]:
        return other.changes


@dataclass
class Rows:
    columns: list[str]
    rows: list[tuple[Any, ...]]


def judged(*changes: Change, **options: Any) -> Any:
    return changes_allowed(Catalog([]), Catalog(list(changes)), **options)


def test_an_index_may_be_created() -> None:
    finding = judged(Change("index", "orders_status", None, "CREATE INDEX ..."))
    assert finding.ok and finding.seen == "The answer created 1 index (orders_status)."


def test_dropped_tables_are_told_before_what_went_with_them() -> None:
    gone = [Change("table", name, "x", None) for name in ("a", "b", "c", "d", "e")]
    gone += [
        Change("column", "a.id", "bigint", None),
        Change("index", "a_pkey", "CREATE INDEX a_pkey ON public.a (id)", None),
    ]
    finding = judged(*gone)
    assert finding.seen == "The answer dropped 5 tables (a, b, c, ...)."
    assert finding.expected == "The answer may only create indexes."
    assert finding.question


def test_a_query_may_change_nothing() -> None:
    finding = judged(Change("index", "i", None, "x"), kinds=(), misconception="only-indexes-help")
    assert not finding.ok and finding.expected == "The answer may change nothing: it is to be a query."
    assert finding.misconception == "only-indexes-help"
    assert judged(kinds=()).ok


def test_verbs() -> None:
    dropped = Change("index", "i", "x", None)
    assert not judged(dropped).ok
    assert judged(dropped, verbs=("dropped",)).ok
    assert "may only drop indexes" in judged(Change("index", "j", None, "x"), verbs=("dropped",)).expected


@pytest.mark.parametrize(
    ("got", "ordered", "names", "seen"),
    [
        (Rows(["id", "s"], [(2, "b"), (1, "a")]), False, False, None),
        (Rows(["id", "s"], [(2, "b"), (1, "a")]), True, False, "their order is not: row 1 is (2, 'b')"),
        (Rows(["id", "s"], [(1, "a")]), False, False, "returns 1 row."),
        (Rows(["id", "s"], [(1, "a"), (2, None)]), False, False, "the row (2, NULL), which is not"),
        (Rows(["id"], [(1,), (2,)]), False, False, "returns 1 column (id)"),
        (Rows([], []), False, False, "it is no query"),
        (Rows(["id", "status"], [(1, "a"), (2, "b")]), False, False, None),
        (Rows(["id", "status"], [(1, "a"), (2, "b")]), False, True, "2 columns (id, status)"),
        (Rows(["id", "s"], [(True, "a"), (2, "b")]), False, False, "the row (True, 'a')"),
    ],
)
def test_rows(got: Rows, ordered: bool, names: bool, seen: str | None) -> None:
    finding = same_rows(got, Rows(["id", "s"], [(1, "a"), (2, "b")]), ordered=ordered, names=names)
    assert finding.ok is (seen is None)
    if seen:
        assert seen in finding.seen and finding.expected and finding.question


def test_rows_with_json_in_them() -> None:
    assert same_rows(Rows(["j"], [({"a": 1},)]), Rows(["j"], [({"a": 1},)])).ok


def test_budgets() -> None:
    assert within(20, 20, "pages").ok
    over = within(1_490, 20, "bytes of WAL", does="It writes", question="Which index?")
    assert over.seen == "It writes 1,490 bytes of WAL." and over.expected == "At most 20 bytes of WAL."
