"""An estimate is called wrong where it was, and not where the executor stopped a step early or read it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbook.draw.plan import plan_picture
from workbook.plans import read_plan

SAVED = Path(__file__).parent / "saved"


def saved(name, engine="postgresql-18"):
    path = SAVED / engine / f"{name}.txt"
    return read_plan((path if path.exists() else SAVED / engine / f"{name}-analyzed.json").read_text())


def marked(plan):
    return [node.title for node in plan.nodes() if node.marked]


def text(*steps):
    """A plan of lines such as `  ->  Seq Scan on t | 1000 5 1`: rows estimated, rows, loops."""
    lines = []
    for step in steps:
        if ": " in step or step.strip().startswith(("SubPlan", "InitPlan", "CTE ")):
            lines.append(step)
            continue
        title, _, numbers = step.partition(" | ")
        believed, came, loops = numbers.split()
        lines.append(f"{title}  (cost=0.00..9.00 rows={believed} width=4) (actual rows={came} loops={loops})")
    return read_plan("\n".join(lines))


@pytest.mark.parametrize(
    ("name", "still"),
    [
        ("stopped-group", []),
        ("stopped-exists", []),
        ("stopped-sub-plan", []),
        ("stopped-semi-join", []),
        ("stopped-merge-join", []),
        ("stopped-merge-join-again", []),
        ("stopped-hash-join", ["Hash Join"]),  # 50 were believed, and none came
        ("stopped-setop", ["SetOp Except All"]),
        ("stopped-cte", []),
        ("stopped-limit-computed", ["Limit"]),  # the planner guesses a tenth, since it does not know the 3
        ("window-run-condition", ["Subquery Scan on s"]),
        ("limit-over-gather", []),
    ],
)
def test_what_was_stopped_early_is_not_marked(name, still):
    assert marked(saved(name)) == still


def test_text_and_picture_mark_the_same_steps():
    # 9.996 is below the factor that is marked, and is shown as 10.
    plan = text("Seq Scan on s | 9996 1000 1")
    assert plan.root.misestimate == 9.996 and "misestimated" not in plan.text
    assert "▲" not in plan_picture(plan.data(), plan.text).svg


def test_a_limit_that_was_not_reached_leaves_the_mark_on_the_step_that_was_wrong():
    plan = saved("unstopped-limit")
    scan = plan.find(relation="tickets")[0]
    assert (scan.rows.value, scan.rows_removed.value, scan.cut_short) == (0, 2000, False)
    assert scan.misestimate == scan.rows_estimated.value > 400
    assert f"▲ {scan.misestimate:,.0f}×" in plan_picture(plan.data(), plan.text).svg


def test_what_is_read_whole_is_marked_below_a_limit_that_was_reached():
    plan = saved("unstopped-build")
    assert plan.root.rows.value == 2 and marked(plan) == ["Hash", "Seq Scan on tickets t"]


def test_rows_that_are_read_again_are_counted_in_the_join_and_judged_below_the_sort():
    inner = saved("stopped-merge-join-again").find(kind="Sort")[1]
    assert inner.read_again and not inner.judged and inner.rows.value > 40 * inner.rows_estimated.value
    assert inner.children[0].judged and inner.children[0].misestimate == 1


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [
        (("Limit | 3 3 1", "  ->  Seq Scan on t | 1000 3 1"), []),
        (("Limit | 3 2 1", "  ->  Seq Scan on t | 1000 2 1"), ["Seq Scan on t"]),
        (("Limit | 3 9 5", "  ->  Seq Scan on t | 1000 9 5"), []),  # in some loops it may have been reached
        (("Limit | 100 3 1", "  ->  Seq Scan on t | 1000 3 1"), ["Limit"]),  # a tenth: its count may be computed
        (("Limit | 3 3 1", "  ->  Bitmap Heap Scan on u | 1000 3 1", "        ->  Bitmap Index Scan on i | 50000 1000 1"), ["Bitmap Index Scan on i"]),
        (("Limit | 3 3 1", "  ->  MixedAggregate | 9 3 1", "        ->  Seq Scan on t | 1000 40 1"), []),
        (("Limit | 3 3 1", "  ->  Finalize HashAggregate | 9 3 1", "        ->  Seq Scan on t | 1000 40 1"), ["t"]),
        (("Nested Loop Anti Join | 1 0 1", "  ->  Seq Scan on s | 5 5 1", "  ->  Seq Scan on t | 1000 1 5"), []),
        (("Nested Loop Semi Join | 5 0 1", "  ->  Seq Scan on s | 5 5 1", "  ->  Seq Scan on t | 1000 0.00 5"), ["t"]),
        (("Nested Loop | 5 5 1", "  ->  Seq Scan on s | 5 5 1", "  ->  Seq Scan on t | 1000 1 5"), ["t"]),
        (("Nested Loop | 5 5 1", "  Join Filter: (s.i = t.i)", "  ->  Seq Scan on s | 5 5 1", "  ->  Seq Scan on t | 1000 1 5"), []),  # where the inner side is unique, it is left at the first match
        (("Merge Left Join | 9 9 1", "  ->  Index Scan using i on s | 900 9 1", "  ->  Seq Scan on t | 900 9 1"), ["s"]),
        (("Merge Right Join | 9 9 1", "  ->  Index Scan using i on s | 900 9 1", "  ->  Seq Scan on t | 900 9 1"), ["t"]),
        (("Hash Join | 1 1 1", "  ->  Seq Scan on s | 900 9 1", "  ->  Hash | 5 5 1", "        ->  Seq Scan on t | 5 5 1"), ["s"]),
        (("Hash Left Join | 1 1 1", "  ->  Seq Scan on s | 900 9 1", "  ->  Hash | 5 0 1", "        ->  Seq Scan on t | 5 0 1"), ["s"]),
        (("Seq Scan on s | 1 1 1", "  Filter: (hashed SubPlan 1)", "  SubPlan 1", "    ->  Seq Scan on t | 900 9 1"), ["t"]),
        (("Seq Scan on s | 1 1 1", "  Filter: (SubPlan 1)", "  SubPlan 1", "    ->  Seq Scan on t | 900 9 1"), []),
        (("Result | 1 1 1", "  InitPlan 1 (returns $0)", "    ->  Seq Scan on t | 900 9 1"), ["t"]),  # an ARRAY
        (("Hash Join | 5 5 1", "  CTE c", "    ->  Seq Scan on t | 900 3 1", "  ->  Seq Scan on s | 5 5 1", "  ->  Hash | 3 3 1", "        ->  Limit | 3 3 1", "              ->  CTE Scan on c | 900 3 1"), []),  # the CTE is stopped where the step that reads it is
        (("Nested Loop | 3 3 1", "  CTE c", "    ->  Seq Scan on t | 900 3 1", "  ->  CTE Scan on c | 900 3 1", "  ->  Limit | 1 1 3", "        ->  CTE Scan on c c_1 | 900 1 3"), ["Seq Scan on t", "CTE Scan on c"]),
    ],
)  # fmt: skip
def test_which_steps_a_join_a_limit_and_a_subplan_stop(steps, wrong):
    found = marked(text(*steps))
    assert len(found) == len(wrong) and all(title.endswith(part) for title, part in zip(found, wrong, strict=True))


@pytest.mark.parametrize("write", ["Insert", "Update", "Delete", "Merge"])
def test_a_write_of_an_older_version_that_returns_nothing_is_not_marked(write):
    # Up to version 13 the step that writes has the estimate of the one below it.
    plan = text(f"{write} on accounts | 100000 0 1", "  ->  Seq Scan on accounts | 100000 100000 1")
    assert marked(plan) == [] and not plan.root.judged


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("stopped-limit", []),
        ("stopped-late", []),  # the LIMIT stands below a join by row number
        ("unstopped-limit", ["FILTER"]),  # 3 rows of the 30 that the LIMIT would have taken
        ("stopped-join", ["PROJECTION", "HASH_JOIN"]),  # the right side is empty: the left one is not read
        ("join", ["PROJECTION", "HASH_GROUP_BY"]),  # the join hands a filter to the scan below it
        ("cte", []),  # a CTE prints 0 rows
    ],
)
def test_duckdb(name, wrong):
    assert marked(saved(name, "duckdb")) == wrong


def test_an_estimate_of_nothing_is_none():
    limit = saved("stopped-limit", "duckdb").root
    assert (limit.kind, limit.rows.value, limit.rows_estimated.value) == ("STREAMING_LIMIT", 3, None)
