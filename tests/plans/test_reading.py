"""Plans as people paste them: psql's frames, clients' JSON, chat windows, logs; and what is no plan gets a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbook.errors import WorkbookError
from workbook.plans import read_plan

SAVED = Path(__file__).parent / "saved"
TEXT = (SAVED / "postgresql-18" / "nested-loop.txt").read_text()
JSON = (SAVED / "postgresql-18" / "nested-loop.json").read_text()
WANTED = read_plan(TEXT).text
FILES = sorted(path for path in SAVED.glob("*/*") if path.suffix in (".txt", ".json"))


def framed(text: str) -> str:
    lines = text.splitlines()
    width = max(map(len, lines))
    return "\n".join(f"| {line:{width}} |" for line in ["QUERY PLAN", *lines])


def psql(text: str, marks: bool) -> str:
    lines = text.rstrip().splitlines()
    width = max(map(len, lines)) + 1
    body = [f" {line:{width}}{'+' if marks and line is not lines[-1] else ''}".rstrip() for line in lines]
    return "\n".join([f" {'QUERY PLAN':^{width}}", "-" * width, *body, f"({len(lines)} rows)", "", "Time: 1.234 ms"])


def rows(text: str) -> list[str]:
    return text.rstrip().splitlines()


PASTED = {
    "psql": psql(TEXT, False),
    "psql in German": psql(TEXT, False).replace("rows)\n", "Zeilen)\n"),
    "psql's JSON": psql(JSON, True),
    "a table": framed(TEXT),
    "a table of boxes": framed(TEXT).replace("|", "│"),
    "Windows": TEXT.replace("\n", "\r\n"),
    "Markdown": f"Here it is:\n\n```\n{psql(TEXT, False)}\n```\nWhy is it slow?",
    "Markdown of JSON": f"```json\n{JSON}\n```\n",
    "a log": "2026-01-01 12:00:00 UTC [42] LOG:  duration: 1.2 ms  plan:\n\tQuery Text: SELECT *\n\tFROM orders;\n"
    + "".join(f"\t{line}\n" for line in rows(TEXT)),
    "quoted lines": "\n".join('"' + line.replace('"', '""') + '"' for line in ["QUERY PLAN", *rows(TEXT)]),
    "a quoted cell of JSON": '"QUERY PLAN"\n"' + JSON.replace('"', '""') + '"',
    "rows as dictionaries": json.dumps([{"QUERY PLAN": line} for line in rows(TEXT)]),
    "rows as lists": json.dumps([[line] for line in rows(TEXT)]),
    "rows as Python's tuples": repr([(line,) for line in rows(TEXT)]),
    "psycopg's dictionary": repr([{"QUERY PLAN": json.loads(JSON)}]),
    "psycopg's tuple": repr((json.loads(JSON),)),
    "a client's JSON": json.dumps([{"QUERY PLAN": json.loads(JSON)}]),
    "JSON in JSON": json.dumps([{"QUERY PLAN": JSON}]),
    "a bare document": json.dumps(json.loads(JSON)[0]),
    "indented": "".join(f"        {line}\n" for line in rows(TEXT)),
}


@pytest.mark.parametrize("text", PASTED.values(), ids=PASTED.keys())
def test_a_plan_is_read_however_it_was_pasted(text):
    assert read_plan(text).text == WANTED


PRINTED = sorted((SAVED / "psql").glob("*.txt"))


@pytest.mark.parametrize("path", PRINTED, ids=lambda path: path.stem)
def test_psql_prints_a_plan_by_each_of_its_settings(path):
    assert read_plan(path.read_text()).text == read_plan((SAVED / "psql" / "plain.txt").read_text()).text


@pytest.mark.parametrize("rule", [True, False])
def test_dbeaver_closes_each_line_with_a_bar(rule):
    lines = ["QUERY PLAN", *rows(TEXT)]
    width = max(map(len, lines)) + 2
    made = [f"{line:{width}}|" for line in lines]
    assert read_plan("\n".join([made[0], *(["-" * width + "+"] if rule else []), *made[1:]])).text == WANTED


def test_spaces_that_do_not_break_are_spaces():
    assert read_plan(TEXT.replace("  ", " \u00a0")).text == WANTED


A = "Seq Scan on a  (cost=0.00..9.00 rows=1 width=4)\n  Filter: (x = 1)\n"
J = '[\n  {\n    "Plan": {\n      "Node Type": "Seq Scan",\n      "Relation Name": "j"\n    }\n  }\n]\n'
VALUES = "EXPLAIN (ANALYZE, FORMAT JSON) INSERT INTO t VALUES\n(1, 'a'),\n(2, 'b'),\n(3, 'c'),\n(4, 'd');\n"
Y = '- Plan: \n    Node Type: "Seq Scan"\n    Relation Name: "y"\n    Filter: "(n <> \'(cost=1\'::text)"\n'


@pytest.mark.parametrize(
    ("text", "relation", "plans"),
    [
        (A + J, "a", 2),
        (A + A + J, "a", 3),
        (J + A, "j", 2),
        (J + J, "j", 2),
        (Y + Y, "y", 2),
        (psql(Y, True) + "\n" + psql(Y, True), "y", 2),
        (A + Y, "a", 2),
        (Y + A, "y", 2),
        (Y, "y", 1),
        ("Plan:\n" + A, "a", 1),
        ("Query:\nSELECT * FROM a\n\nPlan:\n\n" + A, "a", 1),
        ("Plan:\n  " + A.replace("\n", "\n  "), "a", 1),
        ("Plan:\n" + J, "j", 1),
        ("Plan:\n" + Y, "y", 1),
        ("Plan:\n" + A + "Plan:\n" + A, "a", 2),
        ("Plan:\n" + A + "Plan:\n" + Y, "a", 2),
        (VALUES + J, "j", 1),
        (VALUES + psql(J, True), "j", 1),
        ("SELECT\n[1, 2],\n[3, 4],\n[5, 6];\n" + J, "j", 1),
        ('{"a": 1}\n' + A, "a", 1),
        ('{"a": 1}\n' + J, "j", 1),
        ('{"a": 1}\n[2]\n' + J + A, "j", 2),
    ],
)
def test_the_first_of_several_plans_is_shown_and_the_others_are_told(text, relation, plans):
    one = read_plan(text)
    assert one.root.relation == relation
    assert one.notes == ((f"This is the first of {plans} plans: save each in a file of its own.",) if plans > 1 else ())


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_log_whose_first_line_is_no_plan_is_read_and_its_quotes_undone(form):
    log = (SAVED / "logs" / f"{form}.txt").read_text()
    one = read_plan(log)
    assert (one.root.title, one.root.conditions) == ("Seq Scan on Order", (("Filter", '("My Col" = 3)'),))
    assert one.notes[0].startswith("This is the first of 2 plans")
    second = log[: log.rindex("\n2026") + 1] if form == "csv" else log.splitlines()[1]
    assert read_plan(second).root == one.root


def test_the_tree_of_an_older_sqlite_says_table():
    text = "QUERY PLAN\n|--SCAN TABLE orders AS o\n`--SEARCH TABLE lines AS l USING INDEX by_order (order_id=?)"
    scan, search = read_plan(text).root.children
    assert (scan.kind, scan.relation, scan.alias) == ("SCAN", "orders", "o")
    assert (search.relation, search.alias, search.index) == ("lines", "l", "by_order")
    assert search.conditions == (("Index Cond", "order_id=?"),)
    assert read_plan("`--SCAN TABLE USING INDEX i").root.children[0].relation == "TABLE"


def test_sqlite_tells_a_left_join_behind_the_condition():
    text = "|--SCAN u\n`--SEARCH t USING PRIMARY KEY (a=?) LEFT-JOIN"
    assert read_plan(text).root.children[1].conditions == (("Index Cond", "a=?"),)


def test_psql_splits_a_literal_with_a_line_break_by_marks():
    text = "Seq Scan on t  (cost=0..9 rows=1 width=4)\n  Filter: (note <> 'a                    +\n b'::text)\n  Buffers: shared hit=3"
    one = read_plan(text)
    assert one.buffers.value == 3 and dict(one.root.conditions)["Filter"].startswith("(note <> 'a")


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("letter", "shown"), [("\ud800", "\ufffd"), ("\udc00", "\ufffd"), ("\U0001f600", "\U0001f600"), ("\x01", "\x01")]
)
def test_a_letter_that_nothing_can_print_is_replaced(letter, shown, wrapped, ascii_only):
    text = json.dumps([{"Plan": {"Node Type": "Seq Scan", "Relation Name": letter}}], ensure_ascii=ascii_only)
    one = read_plan(json.dumps([{"QUERY PLAN": text}], ensure_ascii=ascii_only) if wrapped else text)
    assert one.root.relation == shown
    picture = ElementTree.fromstring(one._repr_svg_().encode())
    assert one.text.encode() and shown.replace("\x01", "\ufffd") in "".join(picture.itertext())


def test_yaml_is_read():
    text = (
        '- Plan: \n    Node Type: "Seq Scan"\n    Relation Name: "orders"\n    Actual Rows: 3.00\n    Actual Loops: 1\n'
    )
    assert read_plan(text).root.title == "Seq Scan on orders"
    assert read_plan("\n".join(f"{line:60}+" for line in text.splitlines())).root.rows.value == 3


@pytest.mark.parametrize(
    ("line", "kind", "relation", "alias", "index"),
    [
        ("Seq Scan on orders", "Seq Scan", "orders", "orders", ""),
        ("Seq Scan on public.orders o", "Seq Scan", "orders", "o", ""),
        ('Index Scan using "a on b" on "x.y" "z z"', "Index Scan", "x.y", "z z", "a on b"),
        ("Custom Scan (ChunkAppend) on metrics", "Custom Scan (ChunkAppend)", "metrics", "metrics", ""),
        ("Function Scan on pg_catalog.generate_series g", "Function Scan", "generate_series", "g", ""),
        ('Subquery Scan on "*SELECT* 1"', "Subquery Scan", "", "*SELECT* 1", ""),
        ("Parallel Index Only Scan using i on t", "Parallel Index Only Scan", "t", "t", "i"),
        ("Bitmap Index Scan on i", "Bitmap Index Scan", "", "", "i"),
        ("Something New Scan on t", "Something New Scan on t", "", "", ""),
    ],
)
def test_a_title_is_taken_apart(line, kind, relation, alias, index):
    root = read_plan(f"{line}  (cost=0.00..1.00 rows=1 width=4)").root
    assert (root.kind, root.relation, root.alias, root.index) == (kind, relation, alias, index)


def test_older_grammars_are_read():
    text = """Nested Loop  (cost=0.00..50.00 rows=5 width=8) (actual time=0.010..0.020 rows=7 loops=1)
  ->  Seq Scan on a  (cost=0.00..1.00 rows=7 width=4) (actual time=0.001..0.002 rows=7 loops=1)
  ->  Index Scan using b_pkey on b  (cost=0.00..7.00 rows=1 width=4) (actual time=0.001..0.001 rows=1 loops=7)
        Index Cond: (b.id = a.id)
Total runtime: 0.055 ms"""
    one = read_plan(text)
    assert one.time_ms.value == 0.055 and one.buffers.value is None
    assert (one.find(relation="b")[0].rows.value, one.find(relation="b")[0].rows.exact) == (7, False)


def test_an_array_in_a_condition_is_no_json():
    assert read_plan(
        "Seq Scan on t  (cost=0..1 rows=1 width=4)\n  Filter: (a[1] = ANY ('{1,2}'::int[]))"
    ).root.conditions


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("  \n\t\n", "empty"),
        ("hello", "There is no plan"),
        ("Update on what we did yesterday", "There is no plan"),
        ("SELECT * FROM orders ORDER BY 1 LIMIT 3;", "There is no plan"),
        ("[]", "no plan"),
        ("{}", "no plan"),
        ("[1, 2]", "no plan"),
        ('{"Plan": 3}', "no plan"),
        ('[{"Plan": {"Plans": []}}]', "Node Type"),
        (JSON[: len(JSON) // 2], "cut off"),
        (psql(JSON, True)[:900], "cut off"),
        ("- Plan: \n    Node Type: 'Seq", "cut off"),
        ("- Plan: \n  - a", "no plan"),
        ("x" * 5_000_001, "at most"),
        ("[" * 100_000, "cut off|steps deep"),
        ('{"Plan": ' * 30_000, "cut off|steps deep"),
        ('<explain xmlns="http://www.postgresql.org/2009/explain"><Query/></explain>', "XML"),
        ("┌───────────┐\n│ SEQ_SCAN  │\n│  100 rows │\n└───────────┘", "DuckDB"),
        (f"Seq Scan on t  (actual rows={'9' * 5000} loops=1)", "number"),
    ],
)
def test_what_is_no_plan_gets_a_sentence(text, says):
    with pytest.raises(WorkbookError, match=says) as caught:
        read_plan(text)
    assert str(caught.value).endswith((".", "?", "!")) and "\n" not in str(caught.value)


def test_a_chain_of_150_steps_is_read_and_one_of_300_is_refused():
    def chain(depth):
        node = {"Node Type": "Result"}
        for _ in range(depth):
            node = {"Node Type": "Materialize", "Plans": [node]}
        return json.dumps([{"Plan": node}])

    assert len(read_plan(chain(150)).nodes()) == 151
    with pytest.raises(WorkbookError, match="200 steps deep"):
        read_plan(chain(300))


def survives(text: str) -> None:
    """A plan with all its forms, or a sentence."""
    try:
        one = read_plan(text)
    except WorkbookError as error:
        assert str(error).strip().endswith((".", "?", "!"))
        return
    assert one.text.encode() and json.dumps(one.data())
    assert ElementTree.fromstring(one._repr_svg_().encode()).tag.endswith("svg")


MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
NODE_KEYS = [
    "Node Type",
    "Plans",
    "Actual Rows",
    "Actual Loops",
    "Plan Rows",
    "Relation Name",
    "Subplan Name",
    "Filter",
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*NODE_KEYS, "Plan", "name", "type", "children", "extra_info"]), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@MANY
@given(st.text())
def test_any_text_is_a_plan_or_a_sentence(text):
    survives(text)


@MANY
@given(ANY_JSON)
def test_any_json_is_a_plan_or_a_sentence(document):
    survives(json.dumps(document))
    survives(json.dumps([{"Plan": document}]))
    survives(json.dumps([{"Plan": {"Node Type": "Append", "Plans": [document]}, "Triggers": document}]))


@MANY
@given(st.lists(st.sampled_from(TEXT.splitlines() + PASTED["psql"].splitlines() + ["|--SCAN a", "`-- ", "Plan:", "["])))
def test_lines_in_any_order_are_a_plan_or_a_sentence(lines):
    survives("\n".join(lines))


@MANY
@given(st.sampled_from(FILES), st.data())
def test_a_damaged_file_is_a_plan_or_a_sentence(path, data):
    text = path.read_text()
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 40))
    survives(text[:at] + data.draw(st.text(max_size=10)) + text[at + length :])
    survives(text[:at])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_saved_file_survives_in_all_forms(path):
    survives(path.read_text())
