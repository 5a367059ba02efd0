"""An unlabelled page dump: which histories make such an index, and what each other history is told."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.btree import read_index
from workbook.engines import database
from workbook.exercises.btrees.dump import EXERCISE, INDEX, ORDER, TRYING, VARIANTS, Variant, alone, recipe

SQL = {variant.name: variant.sql for variant in VARIANTS}
BY_NAME = {variant.name: variant for variant in VARIANTS}


def load(rows: int, made: str = INDEX) -> str:
    return f"{made}; {ORDER.format(rows=rows)}"


ALSO = {
    "descending": [
        "CREATE INDEX ON readings (n DESC); INSERT INTO readings SELECT i FROM generate_series(1, 40000) i",
    ],
    "chance": [
        f"{INDEX}; INSERT INTO readings SELECT i FROM generate_series(1, 60000) i ORDER BY random()",
        f"{INDEX}; INSERT INTO readings SELECT (random() * 1e15)::bigint FROM generate_series(1, 60000) i",
    ],
    "roomy": [
        f"{ORDER.format(rows=60_000)}; {INDEX} WITH (fillfactor = 67)",
        f"{load(60_000)}; ALTER INDEX readings_n SET (fillfactor = 66); REINDEX INDEX readings_n",
    ],
    "thinned": [f"{load(60_000)}; DELETE FROM readings WHERE n % 5 <> 3; VACUUM readings"],
    "unswept": [
        f"{load(50_000)}; DELETE FROM readings WHERE n > 12500",
        f"{load(50_000)}; BEGIN; DELETE FROM readings WHERE n % 4 > 0; COMMIT",
    ],
    "purged": [f"{load(60_000)}; DELETE FROM readings WHERE n BETWEEN 7501 AND 52500; VACUUM readings"],
    "equals": [f"{INDEX}; INSERT INTO readings SELECT i % 200 FROM generate_series(1, 60000) i ORDER BY random()"],
    "outgrown": [
        f"{load(40_000)}; DELETE FROM readings WHERE n % 5 > 0; VACUUM readings; "
        "INSERT INTO readings SELECT 100000 + i FROM generate_series(1, 40000) i"
    ],
}
REFUSED = [
    Wrong(ORDER.format(rows=9), says="There are 0 indexes"),
    Wrong(f"CREATE INDEX ON readings (n) WHERE n > 7; {ORDER.format(rows=9)}", says="is none on the whole"),
    Wrong("CREATE TABLE mine (n int)", says="created 1 table (mine)"),
    Wrong(load(1234), says="A SELECT sees 1,234 rows"),
]
TEMPTING = {
    "descending": [
        Wrong(load(40_000), says="how was a page cut there?", misconception="fill-is-given"),
        Wrong(
            f"{ORDER.format(rows=40_000)}; {INDEX} WITH (fillfactor = 50)",
            says="As many pages, as full on average",
            misconception="bloat-is-bloat",
        ),
    ],
    "chance": [
        Wrong(load(60_000), says="how was a page cut there?", misconception="fill-is-given"),
        Wrong(SQL["roomy"], says="As many pages, as full on average", misconception="bloat-is-bloat"),
        Wrong(SQL["equals"], says="What does the engine do with equal keys"),
    ],
    "roomy": [
        Wrong(load(60_000), says="how was a page cut there?", misconception="fill-is-given"),
        Wrong(SQL["chance"], says="As many pages, as full on average", misconception="bloat-is-bloat"),
        Wrong(SQL["purged"], says="A SELECT sees 15,000 rows"),
    ],
    "thinned": [
        Wrong(
            f"{load(60_000)}; DELETE FROM readings WHERE n % 5 <> 0",
            says="who takes them out of the index?",
            misconception="delete-frees",
        ),
        Wrong(
            f"{load(60_000)}; DELETE FROM readings WHERE n > 12000; VACUUM readings",
            says="if the deleted rows had lain scattered",
            misconception="any-delete",
        ),
        Wrong(
            load(12_000, f"{INDEX} WITH (fillfactor = 18)"),
            says="what became of them?",
            misconception="bloat-is-bloat",
        ),
    ],
    "unswept": [
        Wrong(
            f"{load(50_000)}; DELETE FROM readings WHERE n % 4 > 0; VACUUM readings",
            says="what has not happened yet?",
            misconception="delete-frees",
        ),
        Wrong(
            f"{ORDER.format(rows=50_000)}; {INDEX} WITH (fillfactor = 40); DELETE FROM readings WHERE n % 4 > 0",
            says="how was a page cut there?",
            misconception="fill-is-given",
        ),
    ],
    "purged": [
        Wrong(
            f"{load(60_000)}; DELETE FROM readings WHERE n % 4 <> 0; VACUUM readings",
            says="how many of its entries must be gone",
            misconception="any-delete",
        ),
        Wrong(
            f"{load(60_000)}; DELETE FROM readings WHERE n <= 45000",
            says="who takes them out of the index?",
            misconception="delete-frees",
        ),
        Wrong(
            f"{load(60_000)}; DELETE FROM readings WHERE n > 15000; VACUUM readings",
            says="Your table has 67 pages",
            misconception="bloat-is-bloat",
        ),
    ],
    "equals": [
        Wrong(load(60_000), says="60,000 different keys", misconception="an-entry-a-row"),
        Wrong(
            f"{INDEX} WITH (deduplicate_items = off); INSERT INTO readings SELECT i % 200 FROM generate_series(1, 60000) i",
            says="200 different keys in 60,000 entries",
            misconception="an-entry-a-row",
        ),
        Wrong(
            f"INSERT INTO readings SELECT i % 200 FROM generate_series(1, 60000) i; {INDEX}",
            says="in 600 entries",
        ),
    ],
    "outgrown": [
        Wrong(
            f"{load(80_000)}; DELETE FROM readings WHERE n % 5 > 2; VACUUM readings",
            says="As many pages, as full on average",
            misconception="bloat-is-bloat",
        ),
        Wrong(load(48_000), says="how was a page cut there?", misconception="fill-is-given"),
        Wrong(
            f"{load(40_000)}; DELETE FROM readings WHERE n % 5 > 0; VACUUM readings",
            says="A SELECT sees 8,000 rows",
        ),
    ],
}  # fmt: skip


def answers(variant: Variant) -> Answers:
    return Answers(variant.sql, ALSO[variant.name], [*REFUSED, *TEMPTING[variant.name]])


class TestDump(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.slow
def test_a_stride_is_no_chance() -> None:
    """Keys at regular steps arrive everywhere, and all leaves are cut at the same moment: not as by chance."""
    stride = f"{INDEX}; INSERT INTO readings SELECT i::bigint * 7919 % 60000 FROM generate_series(1, 60000) i"
    assert not verdict(EXERCISE, stride, BY_NAME["chance"]).full


def test_an_answer_without_an_end_is_stopped() -> None:
    found = verdict(EXERCISE, f"{INDEX}; SELECT pg_sleep(60)", BY_NAME["thinned"])
    assert "ran longer than" in shown(found) and not found.points


def test_far_too_many_rows_are_told_by_the_size_of_the_file() -> None:
    assert "Your index has" in shown(verdict(EXERCISE, load(400_000), BY_NAME["equals"]))


def test_an_unlogged_table_is_another_table() -> None:
    found = verdict(EXERCISE, f"ALTER TABLE readings SET UNLOGGED; {load(60_000)}", BY_NAME["thinned"])
    assert "The answer changed 1 table (readings)" in shown(found)


def test_the_code_of_the_task_runs(capsys: pytest.CaptureFixture[str]) -> None:
    thinned = BY_NAME["thinned"]
    with database(recipe(thinned)) as mine:
        names = {"practice": lambda id: mine.engine, "read_index": read_index, "history": thinned.sql}
        exec(TRYING, names)
    assert capsys.readouterr().out.startswith("{1: 1, 0: 164} 0.18")


OUTGROWN = (
    "CREATE INDEX readings_n ON readings (n) WITH (fillfactor=18); INSERT INTO readings SELECT generate_series(1,40000); DELETE FROM readings WHERE n%5<>0; "
    "{rewrite}; ALTER INDEX readings_n SET (fillfactor=90); INSERT INTO readings SELECT generate_series(40001,80000)"
)


@pytest.mark.parametrize(
    "rewrite", ["VACUUM FULL readings", "VACUUM (FULL) readings", "CLUSTER readings USING readings_n"]
)
def test_what_runs_in_other_databases_changes_no_verdict(rewrite: str) -> None:
    """A rewrite keeps what a transaction of any database might see; the judge's has nothing left to keep, in one or many transactions."""
    with database(recipe(BY_NAME["outgrown"])) as elsewhere, elsewhere.engine.begin() as writing:
        writing.execute(text("INSERT INTO readings VALUES (1)"))
        found = verdict(EXERCISE, OUTGROWN.format(rewrite=rewrite), BY_NAME["outgrown"])
    assert found.full, found


def test_statements_between_begin_and_commit_are_one_transaction() -> None:
    told = alone("begin; DELETE FROM readings; CLUSTER readings; commit; VACUUM (FULL, ANALYZE) readings -- all")
    assert told.split(";\n")[3:] == ["commit", "VACUUM readings", "VACUUM (FULL, ANALYZE) readings", "COMMIT"]


def test_the_task_says_the_form_of_the_answer() -> None:
    found = shown(verdict(EXERCISE, [INDEX, "VACUUM readings"], BY_NAME["thinned"]))
    assert "as one text, with ; between them" in found


@pytest.mark.slow
def test_who_came_there_by_another_history_is_told_that_of_the_dump() -> None:
    other = (
        "CREATE INDEX readings_n ON readings (n) WITH (fillfactor=18); INSERT INTO readings SELECT generate_series(1,8000); "
        "ALTER INDEX readings_n SET (fillfactor=90); INSERT INTO readings SELECT generate_series(40001,80000)"
    )
    found = verdict(EXERCISE, other, BY_NAME["outgrown"])
    assert found.full and "The dump came from rows in ascending order, thinned" in shown(found), found
