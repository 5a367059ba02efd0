"""Plans saved from real runs: both forms of one run give one tree, and its numbers add up.

The text form lacks zeros that the JSON form prints: rows removed, WAL and pages where no step of the plan has any, the
pages of planning. All else that a tree holds is the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from workbook.plans import Node, Plan, read_plan

SAVED = Path(__file__).parent / "saved"
POSTGRES = sorted(SAVED.glob("postgresql-*/*.json"))
NAMED = {f"{path.parent.name[11:]}-{path.stem}": path for path in POSTGRES}
# Every name that EXPLAIN of PostgreSQL 18 gives to a step (explain.c, ExplainNode).
KINDS = """
Result; ProjectSet; Insert; Update; Delete; Merge; Append; Merge Append; Recursive Union; BitmapAnd; BitmapOr;
Nested Loop; Nested Loop Left Join; Nested Loop Semi Join; Nested Loop Anti Join;
Merge Join; Merge Left Join; Merge Right Join; Merge Full Join; Merge Semi Join; Merge Anti Join;
Hash Join; Hash Left Join; Hash Right Join; Hash Full Join; Hash Semi Join; Hash Anti Join; Hash Right Semi Join;
Hash Right Anti Join; Parallel Hash Join; Seq Scan; Parallel Seq Scan; Sample Scan; Gather; Gather Merge; Index Scan;
Index Scan Backward; Parallel Index Scan; Index Only Scan; Index Only Scan Backward; Parallel Index Only Scan;
Bitmap Index Scan; Bitmap Heap Scan; Parallel Bitmap Heap Scan; Tid Scan; Tid Range Scan; Subquery Scan;
Function Scan; Table Function Scan; Values Scan; CTE Scan; Named Tuplestore Scan; WorkTable Scan; Materialize;
Memoize; Sort; Incremental Sort; Group; Aggregate; GroupAggregate; HashAggregate; MixedAggregate; Partial Aggregate;
Finalize Aggregate; Partial HashAggregate; Finalize GroupAggregate; WindowAgg; Unique; HashSetOp Intersect;
SetOp Except All; LockRows; Limit; Hash; Parallel Hash; Parallel Append
"""
# The wheel's PostgreSQL 18 has no foreign data wrapper: these come from version 15.
FOREIGN = {"Foreign Scan", "Foreign Update", "Async Foreign Scan"}
UNREPEATED = {"time_ms", "execution_time_ms", "planning_time_ms"}


ZERO_LEFT_OUT = {"rows_removed", "wal_bytes", "wal_records", "wal_page_images"}
PAGES = {"buffers", "buffers_own", "buffers_dirtied", "temp_read", "temp_written"}


def facts(node: Node, left_out: set[str]) -> tuple[object, ...]:
    """All that both forms say of a step; zeros of `left_out` are not said in text."""
    numbers = {
        name: (number.value, number.exact)
        for name, number in node.numbers.items()
        if name not in UNREPEATED and not (name in left_out and not number.value)
    }
    return (node.kind, node.relation, node.alias, node.index, node.role, node.conditions, node.misestimate, numbers)


def both(path: Path) -> tuple[Plan, Plan]:
    return read_plan(path.read_text()), read_plan(path.with_suffix(".txt").read_text())


def plan(name: str, version: int = 18) -> Plan:
    return read_plan((SAVED / f"postgresql-{version}" / f"{name}.txt").read_text())


@pytest.mark.parametrize("path", NAMED.values(), ids=NAMED.keys())
def test_json_and_text_of_one_run_give_one_tree(path):
    from_json, from_text = both(path)
    left_out = ZERO_LEFT_OUT | (PAGES if not from_json.buffers.value else set())
    assert [facts(node, left_out) for node in from_text.nodes()] == [
        facts(node, left_out) for node in from_json.nodes()
    ]
    assert (from_text.settings, from_text.notes) == (from_json.settings, from_json.notes)
    assert from_text.text == from_json.text.replace(
        "; pages 0 (own 0)", "" if left_out >= PAGES else "; pages 0 (own 0)"
    )
    numbers = [
        {name: number.value for name, number in one.numbers.items() if name not in UNREPEATED and number.value}
        for one in (from_json, from_text)
    ]
    assert numbers[0] == numbers[1]
    assert set(from_json.numbers) >= set(from_text.numbers)


def test_every_kind_of_step_was_read_from_a_real_run():
    wanted = {kind.strip() for kind in KINDS.replace("\n", " ").split(";")}
    read = {node.kind for path in POSTGRES if path.parent.name == "postgresql-18" for node in both(path)[1].nodes()}
    assert read == wanted
    assert {node.kind for path in POSTGRES for node in both(path)[1].nodes()} == wanted | FOREIGN


def test_both_strategies_of_the_aggregates_and_all_roles_occur():
    roles = {node.role for path in POSTGRES for node in read_plan(path.read_text()).nodes()}
    assert roles == {"", "outer", "inner", "member", "subquery", "subplan", "initplan", "cte"}


@pytest.mark.parametrize("path", NAMED.values(), ids=NAMED.keys())
def test_own_pages_are_never_negative_and_add_up_to_the_root(path):
    for one in both(path):
        if one.buffers.value is None:
            continue
        owned = [node.buffers_own for node in one.nodes()]
        assert all(number.value >= 0 for number in owned)
        if all(number.exact for number in owned):
            assert sum(number.value for number in owned) == one.buffers.value
        else:
            assert all(number.why for number in owned if not number.exact)


def test_only_a_cte_that_nobody_reads_has_inexact_pages():
    unsure = {
        path.stem for path in POSTGRES for node in read_plan(path.read_text()).nodes() if not node.buffers_own.exact
    }
    assert unsure == {"cte-not-read"}


@pytest.mark.parametrize(
    ("name", "kind", "relation", "own"),
    [
        ("init-plan-two-readers", "Seq Scan", "orders", 2),  # 13 with three InitPlans that it ran, of 2, 2 and 7 pages
        ("init-plan-parallel", "Parallel Seq Scan", "lines", 109),  # the Gather ran the InitPlan, not the workers
        ("init-plan-parallel", "Gather", "", 0),
        ("cte-twice", "CTE Scan", "c", 0),
        ("insert-returning-cte", "Insert", "w", 7),
        ("init-plan-in-sub-plan", "Bitmap Heap Scan", "orders", 500),
    ],
)
def test_the_pages_of_a_subplan_are_taken_off_the_step_that_ran_it(name, kind, relation, own):
    found = [node.buffers_own for node in plan(name).find(kind=kind, relation=relation) if node.relation == relation]
    assert own in {number.value for number in found if number.exact}
    assert kind != "CTE Scan" or {number.value for number in found} == {0}


def test_rows_of_an_inner_side_are_totals_over_its_loops():
    inner = plan("nested-loop").find(relation="lines")[0]
    assert (inner.loops.value, inner.rows.value, inner.rows.exact) == (10, 20, True)
    many = plan("nested-loop-many-loops").find(relation="lines")[0]
    assert (many.loops.value, many.rows.value, many.rows.exact) == (400, 400, False)
    assert "rounded" in many.rows.why
    assert many.index_searches.value == 400 and many.index_searches.exact


def test_a_mean_with_two_decimals_is_exact_below_a_hundred_loops_and_an_older_integer_is_not():
    new, old = (plan("parallel-inner-loops", version).find(kind="Parallel Seq Scan")[0] for version in (18, 15))
    assert (new.loops.value, old.loops.value) == (3, 3)
    assert (new.rows.value, new.rows.exact) == (104, True)  # printed as 34.67
    assert (old.rows.value, old.rows.exact) == (105, False)  # printed as 35


def test_rows_of_workers_are_summed_and_their_estimate_is_of_all():
    scan = plan("aggregate-partial").find(relation="lines")[0]
    assert (scan.rows.value, scan.rows.exact, scan.loops.value) == (20_000, True, 3)
    assert scan.rows_estimated.value == pytest.approx(25_000, rel=0.01) and not scan.rows_estimated.exact


def test_a_removed_row_is_exact_in_one_loop_only():
    assert str(plan("seq-scan").root.rows_removed) == "9,896"
    assert plan("parallel-verbose").find(relation="lines")[0].rows_removed.exact is False


def test_what_was_never_executed_says_so_and_is_not_misestimated():
    asleep = [node for node in plan("never-executed").nodes() if node.never_executed]
    assert asleep and all(node.rows.value == 0 and node.buffers.value == 0 for node in asleep)
    assert all(node.misestimate == 1.0 for node in asleep)
    assert "never executed" in plan("never-executed").text


def test_a_bitmap_of_two_has_no_rows_rather_than_none():
    both_indexes = plan("bitmap-and").find(kind="BitmapAnd")[0]
    assert both_indexes.rows.value is None and not both_indexes.rows.exact
    assert [child.role for child in both_indexes.children] == ["member", "member"]


def test_planning_and_settings_are_kept_apart_from_the_steps():
    one = plan("merge-inner-join")
    assert one.settings["enable_hashjoin"] == "off"
    assert one.buffers.value == 25 and one.numbers["planning_buffers"].value != one.buffers.value


def test_triggers_are_named_by_their_constraint_and_noted():
    assert plan("cascade").notes[0].startswith("w_child_id_fkey ran")
    assert plan("trigger").notes[0].startswith("noting ran")


def test_a_limit_excuses_what_it_cut_short():
    scan = plan("index-scan-backward").find(relation="orders")[0]
    assert scan.cut_short and scan.rows_estimated.value == 10_000 and scan.misestimate == 1.0


def test_names_with_spaces_quotes_and_dots_are_read():
    one = plan("odd-names")
    scan = one.find(kind="Bitmap Heap Scan")[0]
    assert (scan.relation, scan.alias) == ('Sales "B & C" on <x>', "an <alias>")
    assert one.find(index='Sales "B & C" on <x>_pkey')
    assert dict(plan("line-break").nodes()[1].conditions)["Filter"].count("\n") == 2


def test_grouping_sets_are_listed():
    assert plan("aggregate-grouping-sets").root.conditions == (
        ("Group Key", "city, name"),
        ("Group Key", "city"),
        ("Group Key", "()"),
    )


@pytest.mark.parametrize("path", sorted(SAVED.glob("duckdb/*.json")), ids=lambda path: path.stem)
def test_duckdb(path):
    one = read_plan(path.read_text())
    scans = [node for node in one.nodes() if node.relation]
    assert one.engine == "duckdb" and {node.relation for node in scans} <= {"customers", "orders"} and scans
    analyzed = path.stem.endswith("analyzed")
    assert all((node.rows.value is not None) == analyzed for node in scans)
    assert all(node.rows.exact and not node.rows_estimated.exact for node in scans)
    assert not analyzed or all(node.number("rows_scanned").value is not None for node in scans)


@pytest.mark.parametrize("path", sorted(SAVED.glob("sqlite/*.txt")), ids=lambda path: path.stem)
def test_sqlite(path):
    one = read_plan(path.read_text())
    sentences = [line.split("--", 1)[1] for line in path.read_text().splitlines()[1:]]
    assert one.engine == "sqlite"
    assert [node.details.get("sentence", node.kind) for node in one.nodes()[1:]] == sentences
    assert all(node.relation for node in one.nodes() if node.kind.startswith(("SCAN", "SEARCH")))
    assert all(node.index for node in one.nodes() if node.kind.startswith("SEARCH"))
