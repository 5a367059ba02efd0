"""What a statement looks at and what it writes, read from its SQL."""

from __future__ import annotations

import pytest

from workbook.schedules.statement import Look, read_statement
from workbook.schedules.tables import Table

TABLES = (
    Table("test", ("id", "value", "note"), key=("id",)),
    Table("other", ("id", "test_id", "amount"), key=("id",)),
    Table("Odd", ("id",), key=("id",)),
)


def looks(sql: str, engine: str = "postgresql") -> tuple[Look, ...]:
    statement = read_statement(sql, TABLES, engine)
    assert not statement.problem, statement.problem
    return statement.looks


def short(look: Look) -> tuple[str, str, str, str]:
    """The alias, the condition, the columns in it or joined by, the columns whose values matter."""
    return look.alias, look.condition, " ".join(sorted(look.searched)), " ".join(sorted(look.values))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM test WHERE id = 1", [("test", "id = 1", "id", "id note value")]),
        ("SELECT count(*) FROM test", [("test", "", "", "")]),
        ("SELECT note, sum(value) FROM test GROUP BY note", [("test", "", "", "note value")]),
        ("SELECT id FROM test WHERE value > 1 OR note = 2", [("test", "value > 1 OR note = 2", "note value", "id")]),
        ("SELECT id FROM test ORDER BY value LIMIT 1", [("test", "", "", "id value")]),
        ("UPDATE test SET value = 1 WHERE id = 1", [("test", "id = 1", "id", "")]),
        ("UPDATE test SET value = value + note WHERE id = 1", [("test", "id = 1", "id", "note value")]),
        ("UPDATE test SET (value, note) = (note, 1)", [("test", "", "", "note")]),
        ("DELETE FROM test WHERE note = 1 RETURNING value", [("test", "note = 1", "note", "value")]),
        ("INSERT INTO test SELECT id + 1, 2, 3 FROM test", [("test", "", "", "id")]),
        ("INSERT INTO test VALUES (1, 2, 3)", []),
        ("SELECT 1", []),
    ],
)
def test_one_table(sql: str, expected: list[tuple[str, str, str, str]]) -> None:
    assert [short(look) for look in looks(sql)] == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "SELECT t.id FROM test t JOIN other o ON o.test_id = t.id WHERE o.amount > 3 AND note = 1",
            [("t", "note = 1", "id note", "id"), ("o", "o.amount > 3", "amount test_id", "test_id")],
        ),
        (
            "SELECT count(*) FROM test JOIN other USING (id)",
            [("test", "", "id", "id"), ("other", "", "id", "id")],
        ),
        (
            "SELECT count(*) FROM test t LEFT JOIN other o ON o.test_id = t.id AND o.amount > 3 WHERE t.note = 1 AND o.id IS NULL",
            [("t", "t.note = 1", "note", "id"), ("o", "o.amount > 3", "amount", "id test_id")],
        ),
        (
            "SELECT id FROM test WHERE value > 1 AND EXISTS (SELECT * FROM other WHERE test_id = test.id AND amount = 2)",
            [("test", "value > 1", "value", "id"), ("other", "amount = 2", "amount", "test_id")],
        ),
        (
            "UPDATE test SET value = (SELECT max(amount) FROM other WHERE id < 5) WHERE note = 1",
            [("test", "note = 1", "note", ""), ("other", "id < 5", "id", "amount")],
        ),
        (
            "DELETE FROM test USING other o WHERE o.test_id = test.id AND o.amount > 3",
            [("test", "", "id", "id"), ("o", "o.amount > 3", "amount test_id", "test_id")],
        ),
        (
            "WITH c AS (SELECT id, value AS v FROM test WHERE note = 1) SELECT * FROM c WHERE v > 3",
            [("test", "note = 1", "note", "id value")],
        ),
        (
            "SELECT a.id FROM test a, test b WHERE a.value = b.value AND b.note = 1",
            [("a", "", "value", "id value"), ("b", "b.note = 1", "note value", "value")],
        ),
    ],
)
def test_several_tables(sql: str, expected: list[tuple[str, str, str, str]]) -> None:
    assert [short(look) for look in looks(sql)] == expected


def test_a_condition_with_a_subquery_decides_nothing_by_itself() -> None:
    outer, inner = looks("SELECT id FROM test WHERE value = (SELECT max(value) FROM test) AND note = 1")
    assert outer.condition == "note = 1" and "value" in outer.values and inner.condition == ""


def test_which_rows_are_locked() -> None:
    assert [look.locks for look in looks("SELECT * FROM test t, other o FOR UPDATE OF t")] == [True, False]
    assert [look.locks for look in looks("SELECT * FROM test FOR KEY SHARE")] == [True]
    assert [look.locks for look in looks("UPDATE test SET value = 1 FROM other o WHERE o.id = test.id")] == [
        True,
        False,
    ]


def test_names_in_quotes_keep_their_letters() -> None:
    (look,) = looks('SELECT id FROM "Odd" WHERE id = 1')
    assert look.table == "Odd" and 'AS "Odd" WHERE "Odd".id = 1' in look.matches
    assert (
        read_statement("SELECT id FROM Odd", TABLES).problem
        == "odd is no table of the setup (a view, or a table of the catalog)"
    )


@pytest.mark.parametrize(
    ("sql", "assigned"),
    [
        ("UPDATE test SET value = 1, note = 2", {"value", "note"}),
        ("UPDATE test SET (value, note) = (1, 2)", {"value", "note"}),
        ("INSERT INTO test VALUES (1, 2, 3) ON CONFLICT (id) DO UPDATE SET note = excluded.note", {"note"}),
        ("DELETE FROM test", set()),
    ],
)
def test_which_columns_are_set(sql: str, assigned: set[str]) -> None:
    statement = read_statement(sql, TABLES)
    assert statement.writes and statement.target == "test" and statement.assigned == assigned


def test_what_an_insert_proposes() -> None:
    statement = read_statement(
        "INSERT INTO test (note, id) VALUES (NULL, -1), (now(), 2) ON CONFLICT DO NOTHING", TABLES
    )
    assert statement.on_conflict == "nothing" and statement.rows_proposed == 2
    assert statement.proposed(TABLES[0].columns) == [{"note": None, "id": -1}, {"id": 2}]
    upsert = read_statement(
        "INSERT INTO test VALUES (1, 2, 3) ON CONFLICT (id) DO UPDATE SET value = test.note", TABLES
    )
    assert upsert.on_conflict == "update" and upsert.conflict_values == {"note"}


@pytest.mark.parametrize("sql", ["BEGIN", "SET lock_timeout = 1", "SAVEPOINT a", "ROLLBACK TO a", "LOCK TABLE test"])
def test_statements_that_look_at_no_row(sql: str) -> None:
    assert read_statement(sql, TABLES).kind == "control"


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT audit(id) FROM test", "the function audit may read and write anything"),
        ("SELECT * FROM nowhere", "nowhere is no table of the setup"),
        ("SELECT nothing FROM test", "the column nothing is not known"),
        ("CALL p()", "CALL is not traced"),
        ("EXPLAIN SELECT 1", "EXPLAIN is not traced"),
        ("SELECT FROM WHERE", "its SQL is not understood"),
        ("COPY test FROM STDIN", "COPY is not traced"),
        ("BEGIN; SELECT value FROM test", "several statements in one step are not traced"),
        ("SELECT * FROM ROWS FROM (generate_series(1, 2)) AS x", "its SQL is not understood"),
        ("SELECT value FROM s.test", "s.test stands in a schema of its own"),
        (
            "WITH m AS (MERGE INTO test USING (VALUES (1)) AS s(i) ON id = i WHEN MATCHED THEN DELETE) SELECT 1",
            "a WITH that writes is not traced",
        ),
    ],
)
def test_what_is_not_understood_is_never_passed_over(sql: str, why: str) -> None:
    assert read_statement(sql, TABLES).problem.startswith(why)


@pytest.mark.parametrize(
    ("sql", "seen"),
    [
        ("WITH test AS (SELECT * FROM test) SELECT id FROM test", ["test"]),
        ("WITH a AS (SELECT id FROM test), test AS (SELECT 1) SELECT id FROM a, test", ["test"]),
        ("WITH RECURSIVE test AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM test) SELECT id FROM test", []),
        ("WITH test AS (SELECT 1 AS id), b AS (SELECT id FROM test) SELECT id FROM b", []),
    ],
)
def test_a_with_hides_a_table_from_those_after_it(sql: str, seen: list[str]) -> None:
    assert [look.table for look in looks(sql)] == seen


@pytest.mark.parametrize(
    ("sql", "note"),
    [
        ("SELECT id FROM test LIMIT 1", "LIMIT without ORDER BY picks any rows"),
        ("SELECT DISTINCT ON (note) id FROM test", "DISTINCT ON without ORDER BY picks any rows"),
        ("SELECT id FROM test TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE picks any rows"),
        ("SELECT string_agg(note, ',') FROM test", "string_agg without ORDER BY takes rows in any order"),
        ("SELECT array_agg(id ORDER BY id) FROM test", ""),
        ("SELECT sum(id) FROM test", ""),
    ],
)
def test_what_sql_leaves_open_is_noted(sql: str, note: str) -> None:
    assert read_statement(sql, TABLES, safe=frozenset({"string_agg", "array_agg"})).notes == ((note,) if note else ())


def test_harmless_functions_are_known_by_name() -> None:
    assert not read_statement("SELECT pg_advisory_xact_lock(1), abs(value), lower('A') FROM test", TABLES).problem
    assert read_statement("SELECT nextval('s')", TABLES).notes == ("a sequence is no part of a transaction",)
