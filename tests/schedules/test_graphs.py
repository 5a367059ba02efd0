"""Who depends on whom, by which step, on which row: each anomaly, its cycle in words, and its name."""

from __future__ import annotations

import pytest

from workbook.schedules import Run, Schedule, Stage, Step
from workbook.schedules.graph import Edge, Graph, dependencies, shortest
from workbook.schedules.names import Name, named_cycle, of_scenario, scenario_code
from workbook.schedules.scenarios import SCENARIOS
from workbook.schedules.tracing import Tracer
from workbook.schedules.transactions import transactions
from workbook.schedules.verdict import judge

TEST = "CREATE TABLE test (id int PRIMARY KEY, value int); INSERT INTO test VALUES (1, 10), (2, 20)"


def ran(stage: Stage, steps: str, level: str = "", setup: str = TEST, title: str = "") -> Run:
    lines = "\n".join(line.strip() for line in steps.strip().split("\n"))
    return stage.run(Schedule(title, setup, Schedule.read(lines).steps), level)


def graphed(stage: Stage, steps: str, level: str = "", setup: str = TEST, title: str = "") -> Graph:
    """The graph of a run; its orders must be those that the engine confirms."""
    run = ran(stage, steps, level, setup, title)
    graph = dependencies(run, stage)
    assert graph.traced, graph.words
    assert set(graph.orders()) <= set(judge(run, stage).orders)
    return graph


def kinds(graph: Graph) -> set[tuple[str, str, str, str, str]]:
    """The edges in short: T1, rw, T2, item, row 1."""
    return {(edge.source, edge.kind, edge.target, edge.by, edge.row) for edge in graph.edges}


# what each anomaly is made of


def test_lost_update(postgres: Stage) -> None:
    graph = graphed(
        postgres,
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT value FROM test WHERE id = 1
        T2: SELECT value FROM test WHERE id = 1
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET value = 11 WHERE id = 1
        T1: COMMIT
        T2: COMMIT
        """,
    )
    assert graph.name == "P4 lost update"
    assert graph.words == "T2 read row 1 before T1 changed it; T1 changed row 1 before T2 changed it"
    read, write = graph.cycle()
    assert (read.kind, read.source_step, read.target_step, read.row) == ("rw", "T2.2", "T1.3", "row 1")
    assert (write.kind, write.source_step, write.target_step) == ("ww", "T1.3", "T2.3")
    assert list(graph.orders()) == [] and graph.data()["cycle"][0]["words"] == "T2 read row 1 before T1 changed it"


def test_write_skew(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT * FROM test WHERE id IN (1, 2)
        T2: SELECT * FROM test WHERE id IN (1, 2)
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET value = 21 WHERE id = 2
        T1: COMMIT
        T2: COMMIT
    """
    graph = graphed(postgres, steps, "repeatable read")
    assert graph.name == "G2-item write skew"
    assert graph.words == "T1 read row 2 before T2 changed it; T2 read row 1 before T1 changed it"
    assert graphed(postgres, steps, "serializable").words == "no cycle"


def test_read_skew(postgres: Stage) -> None:
    graph = graphed(
        postgres,
        """
        T1: BEGIN
        T1: SELECT value FROM test WHERE id = 1
        T2: BEGIN
        T2: UPDATE test SET value = 12 WHERE id = 1
        T2: UPDATE test SET value = 18 WHERE id = 2
        T2: COMMIT
        T1: SELECT value FROM test WHERE id = 2
        T1: COMMIT
        """,
    )
    assert graph.name == "G-single read skew"
    assert graph.words == "T1 read row 1 before T2 changed it; T1 read row 2 after T2 changed it"


def test_non_repeatable_read(postgres: Stage) -> None:
    steps = """
        T1: BEGIN
        T1: SELECT value FROM test WHERE id = 1
        T2: UPDATE test SET value = 12 WHERE id = 1
        T1: SELECT value FROM test WHERE id = 1
        T1: COMMIT
    """
    assert graphed(postgres, steps).name == "G-single non-repeatable read"
    assert graphed(postgres, steps, "repeatable read").name == ""


def test_phantom(postgres: Stage) -> None:
    graph = graphed(
        postgres,
        """
        T1: BEGIN
        T1: SELECT * FROM test WHERE value = 30
        T2: INSERT INTO test VALUES (3, 30)
        T1: SELECT * FROM test WHERE value % 3 = 0
        T1: COMMIT
        """,
    )
    assert graph.name == "PMP phantom"
    assert graph.words == "T1 looked for value = 30 before T2 inserted row 3; T1 read row 3 after T2 inserted it"


def test_write_skew_by_condition(postgres: Stage) -> None:
    """Each inserts what the other has looked for: no row is there that could be locked."""
    graph = graphed(
        postgres,
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT * FROM test WHERE value % 3 = 0
        T2: SELECT * FROM test WHERE value % 3 = 0
        T1: INSERT INTO test VALUES (3, 30)
        T2: INSERT INTO test VALUES (4, 42)
        T1: COMMIT
        T2: COMMIT
        """,
        "repeatable read",
    )
    assert graph.name == "G2 write skew by condition"
    assert graph.words == (
        "T1 looked for value % 3 = 0 before T2 inserted row 4; T2 looked for value % 3 = 0 before T1 inserted row 3"
    )


def test_read_only_anomaly_of_fekete(postgres: Stage) -> None:
    """Without the transaction that only reads there is no cycle."""
    steps = """
        T1: BEGIN
        T1: SELECT * FROM test
        T2: UPDATE test SET value = value + 5 WHERE id = 2
        T3: SELECT * FROM test
        T1: UPDATE test SET value = 0 WHERE id = 1
        T1: COMMIT
    """
    graph = graphed(postgres, steps, "repeatable read")
    assert graph.name == "G2-item read-only anomaly" and len(graph.cycle()) == 3
    assert graph.words == (
        "T1 read row 2 before T2 changed it; T3 read row 2 after T2 changed it; T3 read row 1 before T1 changed it"
    )
    assert graphed(postgres, steps.replace("T3: SELECT * FROM test", ""), "repeatable read").name == ""


def test_a_delete_of_what_it_never_sees(postgres: Stage) -> None:
    """T2 waits for row 2 and finds that it does not match any more; it never looks at row 1, which does by now."""
    graph = graphed(
        postgres,
        """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = value + 10
        T2: DELETE FROM test WHERE value = 20
        T1: COMMIT
        T2: COMMIT
        """,
    )
    assert graph.name == "PMP phantom"
    assert graph.words == (
        "T2 looked for value = 20 before T1 changed row 1; T2 looked for value = 20 after T1 changed row 2"
    )


# names are given to what was observed


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_every_scenario_has_a_graph_that_agrees_with_the_verdict(postgres: Stage, level: str) -> None:
    for key, scenario in SCENARIOS.items():
        run = postgres.run(scenario.schedule, level)
        graph, verdict = dependencies(run, postgres), judge(run, postgres)
        assert graph.traced and bool(graph.cycle()) != verdict.serializable, (key, graph.words)
        assert {one.session: one.outcome for one in transactions(run)} == dict(run.outcomes)


def test_the_names_of_the_scenarios_at_read_committed(postgres: Stage) -> None:
    names = {key: dependencies(postgres.run(one.schedule), postgres).name for key, one in SCENARIOS.items()}
    assert names == {
        "G0": "",
        "G1a": "",
        "G1b": "G-single non-repeatable read",
        "G1c": "G2-item write skew",
        "OTV": "G-single non-repeatable read",
        "PMP": "PMP phantom",
        "PMP-w": "G-single non-repeatable read",
        "P4": "P4 lost update",
        "Gs": "G-single read skew",
        "Gs-p": "G-single non-repeatable read",
        "Gs-w": "G-single read skew",
        "G2i": "G2-item write skew",
        "G2": "G2 write skew by condition",
        "Fekete": "G2-item read-only anomaly",
    }


def test_the_steps_of_g1c_are_write_skew_at_repeatable_read(postgres: Stage) -> None:
    graph = dependencies(postgres.run(SCENARIOS["G1c"].schedule, "repeatable read"), postgres)
    assert graph.name == "G2-item write skew"
    assert graph.scenario == (
        f"The scenario is called {SCENARIOS['G1c'].schedule.title}; what was observed is G2-item write skew."
    )
    assert graph.scenario in str(graph)


def test_a_scenario_that_shows_what_it_is_called_says_nothing_more(postgres: Stage) -> None:
    for key in ("P4", "Gs", "Gs-p", "PMP", "PMP-w", "G2i", "G2", "Fekete"):
        assert dependencies(postgres.run(SCENARIOS[key].schedule), postgres).scenario == "", key
    assert of_scenario("P4: lost update", []) == (
        "The scenario is called P4: lost update; it was not observed, nor any other anomaly."
    )
    assert of_scenario("the incident of Tuesday", [Name("P4", "lost update")]) == ""


@pytest.mark.parametrize(
    ("title", "code", "fits", "does_not"),
    [
        ("Write skew: doctors on call", "G2-item", "G2", "P4"),
        ("G2-item: doctors on call", "G2-item", "G2-item", "G2"),
        ("Dirty read", "G1a", "G1b", "G-single"),
        ("Non-repeatable reads", "G-single", "G-single", "G2"),
        ("The aborted reader is no anomaly", "", "P4", ""),
    ],
)
def test_what_a_title_says_in_words_may_be_each_of_its_kinds(title: str, code: str, fits: str, does_not: str) -> None:
    assert scenario_code(title) == code
    assert of_scenario(title, [Name(fits, "")]) == ""
    assert not does_not or "what was observed is" in of_scenario(title, [Name(does_not, "")])
    assert bool(code) == bool(of_scenario(title, []))


def test_a_row_without_a_key_is_one_row_whatever_it_is_called_by_then(postgres: Stage) -> None:
    graph = graphed(
        postgres,
        """
        T1: BEGIN
        T1: SELECT value FROM test WHERE name = 'a'
        T2: UPDATE test SET value = 12 WHERE name = 'a'
        T1: SELECT value FROM test WHERE name = 'a'
        T1: COMMIT
        """,
        setup="CREATE TABLE test (name text, value int); INSERT INTO test VALUES ('a', 11), ('b', 20)",
    )
    assert graph.name == "G-single non-repeatable read"


def edge(
    kind: str, source: str, target: str, row: str = "row 1", by: str = "item", at: tuple[int, int] = (0, 0)
) -> Edge:
    return Edge(kind, by, source, target, "", "", row, "", at)  # type: ignore[arg-type]


def test_names_by_the_kinds_of_edges() -> None:
    def named(*edges: Edge) -> str:
        return named_cycle(edges).code

    assert named(edge("ww", "T1", "T2"), edge("ww", "T2", "T1", "row 2")) == "G0"
    assert named(edge("wr", "T1", "T2"), edge("wr", "T2", "T1", "row 2")) == "G1c"
    assert named(edge("rw", "T1", "T2"), edge("ww", "T2", "T1")) == "P4"
    assert named(edge("rw", "T1", "T2"), edge("ww", "T2", "T1", "row 2")) == "G-single"
    assert named(edge("rw", "T1", "T2", at=(5, 3)), edge("wr", "T2", "T1", "row 2", at=(3, 4))) == "OTV"
    assert named(edge("rw", "T1", "T2", by="predicate"), edge("wr", "T2", "T1")) == "PMP"
    assert named(edge("rw", "T1", "T2"), edge("rw", "T2", "T1", "row 2")) == "G2-item"
    assert named(edge("rw", "T1", "T2"), edge("rw", "T2", "T1", "row 2", "predicate")) == "G2"


def test_the_shortest_cycle_is_found_and_each_once() -> None:
    longer = [edge("rw", "T1", "T2"), edge("rw", "T2", "T3"), edge("rw", "T3", "T1")]
    assert shortest(longer) == [("T1", "T2", "T3")]
    assert shortest([*longer, edge("wr", "T3", "T2")]) == [("T2", "T3")]
    assert shortest(longer[:2]) == []


# what an edge is made of


def test_an_insert_that_would_have_matched_comes_after_the_look(postgres: Stage) -> None:
    steps = """
        T1: SELECT count(*) FROM test WHERE value > 15
        T2: INSERT INTO test VALUES (3, {})
    """
    assert kinds(graphed(postgres, steps.format(30))) == {("T1", "rw", "T2", "predicate", "row 3")}
    assert kinds(graphed(postgres, steps.format(5))) == set()


def test_a_change_that_leaves_a_row_matching_changes_no_count_but_a_sum(postgres: Stage) -> None:
    steps = """
        T1: SELECT {} FROM test WHERE value > 15
        T2: UPDATE test SET value = 25 WHERE id = 2
    """
    assert kinds(graphed(postgres, steps.format("count(*)"))) == set()
    assert kinds(graphed(postgres, steps.format("sum(value)"))) == {("T1", "rw", "T2", "item", "row 2")}


def test_writers_of_different_columns_of_a_row_are_in_no_order(postgres: Stage) -> None:
    """What an ORM does that updates only what has changed: no update is lost, and both verdicts say so."""
    graph = graphed(
        postgres,
        """
        T1: BEGIN
        T1: SELECT a FROM two WHERE id = 1
        T2: UPDATE two SET a = 5 WHERE id = 1
        T1: UPDATE two SET b = 7 WHERE id = 1
        T1: COMMIT
        """,
        setup="CREATE TABLE two (id int PRIMARY KEY, a int, b int); INSERT INTO two VALUES (1, 0, 0)",
    )
    assert list(graph.orders()) == [("T1", "T2")]


def test_columns_that_a_check_looks_at_together_order_their_writers(postgres: Stage) -> None:
    graph = graphed(
        postgres,
        """
        T1: UPDATE two SET a = 1 WHERE id = 1
        T2: UPDATE two SET b = 4 WHERE id = 1
        """,
        setup="CREATE TABLE two (id int PRIMARY KEY, a int, b int, CHECK (a + b < 6)); INSERT INTO two VALUES (1, 3, 0)",
    )
    assert kinds(graph) == {("T1", "ww", "T2", "item", "row 1")}


def test_columns_that_a_condition_looks_at_together_order_their_writers(postgres: Stage) -> None:
    graph = graphed(
        postgres,
        """
        T1: UPDATE two SET a = 1 WHERE id = 1
        T2: UPDATE two SET b = 1 WHERE id = 1
        T3: SELECT id FROM two WHERE a = 1 AND b = 1
        """,
        setup="CREATE TABLE two (id int PRIMARY KEY, a int, b int); INSERT INTO two VALUES (1, 0, 0)",
    )
    assert list(graph.orders()) == [("T1", "T2", "T3")]


def test_a_key_that_becomes_free_orders_those_who_use_it(postgres: Stage) -> None:
    graph = graphed(postgres, "T1: DELETE FROM test WHERE id = 1\nT2: INSERT INTO test VALUES (1, 11)")
    assert ("T1", "wr", "T2", "predicate", "row 1") in kinds(graph)
    assert "T2 needed the key id = 1 after T1 deleted row 1" in str(graph)


def test_a_child_comes_after_its_parent_and_a_parent_goes_after_its_children(postgres: Stage) -> None:
    setup = """
        CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent);
        INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1)
    """
    graph = graphed(postgres, "T1: INSERT INTO parent VALUES (2)\nT2: INSERT INTO child VALUES (2, 2)", setup=setup)
    assert "T2 needed a row with id = 2 in parent after T1 inserted row 2 of parent" in str(graph)
    graph = graphed(postgres, "T1: DELETE FROM child\nT2: DELETE FROM parent", setup=setup)
    assert "T2 needed no row with parent = 1 in child after T1 deleted row 1 of child" in str(graph)


def test_a_join_depends_on_the_rows_that_join(postgres: Stage) -> None:
    setup = """
        CREATE TABLE flight (id int PRIMARY KEY, open bool); CREATE TABLE seat (id int PRIMARY KEY, flight int, free bool);
        INSERT INTO flight VALUES (1, true), (2, false); INSERT INTO seat VALUES (1, 1, true), (2, 2, true)
    """
    steps = """
        T1: SELECT seat.id FROM flight JOIN seat ON seat.flight = flight.id WHERE open AND free
        T2: UPDATE seat SET free = false WHERE id = {}
    """
    assert kinds(graphed(postgres, steps.format(1), setup=setup)) == {("T1", "rw", "T2", "predicate", "row 1")}
    assert kinds(graphed(postgres, steps.format(2), setup=setup)) == set()


def test_what_a_subquery_reads_is_read(postgres: Stage) -> None:
    steps = """
        T1: UPDATE test SET value = 0 WHERE id = 1 AND EXISTS (SELECT FROM test WHERE value = 20)
        T2: DELETE FROM test WHERE id = 2
    """
    assert ("T1", "rw", "T2", "predicate", "row 2") in kinds(graphed(postgres, steps))


def test_an_upsert_reads_the_row_that_it_finds(postgres: Stage) -> None:
    graph = graphed(
        postgres,
        """
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: INSERT INTO test VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET value = test.value + excluded.value
        """,
    )
    assert {one[1] for one in kinds(graph)} == {"ww", "wr"} and list(graph.orders()) == [("T1", "T2")]


def test_an_insert_that_left_a_row_out_has_read_who_was_there(postgres: Stage) -> None:
    graph = graphed(
        postgres,
        "T1: INSERT INTO test VALUES (3, 30)\nT2: INSERT INTO test VALUES (3, 31), (4, 41) ON CONFLICT DO NOTHING",
    )
    assert list(graph.orders()) == [("T1", "T2")]


def test_what_was_undone_to_a_savepoint_depends_on_nobody(postgres: Stage) -> None:
    graph = graphed(
        postgres,
        """
        T1: BEGIN
        T1: SAVEPOINT a
        T1: UPDATE test SET value = 11 WHERE id = 1
        T1: ROLLBACK TO a
        T1: UPDATE test SET value = 21 WHERE id = 2
        T1: COMMIT
        T2: SELECT * FROM test
        """,
    )
    assert {one[-1] for one in kinds(graph)} == {"row 2"}


def test_rows_of_a_table_without_a_key_are_called_by_their_values(postgres: Stage) -> None:
    graph = graphed(
        postgres,
        "T1: UPDATE heap SET b = 3\nT2: SELECT * FROM heap",
        setup="CREATE TABLE heap (a int, b text); INSERT INTO heap VALUES (1, 'x'), (1, 'x')",
    )
    assert graph.words == "no cycle" and {edge.row for edge in graph.edges} == {"row (1, 3)"}


def test_an_order_of_commits_that_is_not_the_order_of_the_steps(postgres: Stage) -> None:
    """T1 wrote first and commits last: nobody else could write its row in between."""
    graph = graphed(
        postgres,
        """
        T1: BEGIN
        T2: BEGIN
        T1: UPDATE test SET value = 11 WHERE id = 1
        T2: UPDATE test SET value = 21 WHERE id = 2
        T2: UPDATE test SET value = value + 1 WHERE id = 1
        T1: COMMIT
        T2: COMMIT
        """,
    )
    assert next(str(one) for one in graph.edges).startswith("T1 ─") and list(graph.orders()) == [("T1", "T2")]


# what cannot be traced is said


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT * FROM seen", "seen is no table of the setup"),
        ("UPDATE watched SET n = 1", "T1.2 writes watched: it has a trigger"),
        ("SELECT twice(1)", "the function twice may read and write anything"),
        ("SELECT id FROM test ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED", "SKIP LOCKED leaves rows out"),
        ("MERGE INTO test USING watched ON true WHEN MATCHED THEN DELETE", "MERGE is not traced"),
        ("WITH gone AS (DELETE FROM test RETURNING id) SELECT * FROM gone", "a WITH that writes is not traced"),
        ("SELECT xmin FROM test", "the column xmin is not known"),
        ("TRUNCATE test", "TRUNCATE is not traced"),
        ("DELETE FROM parent", "a foreign key changes rows on its own"),
        ("INSERT INTO late VALUES (2)", "it has a constraint that can be checked late"),
        ("INSERT INTO partly VALUES (2)", "it has a unique index of a part of its rows"),
    ],
)
def test_what_cannot_be_traced_is_named(postgres: Stage, sql: str, why: str) -> None:
    setup = f"""{TEST};
        CREATE VIEW seen AS SELECT * FROM test; CREATE TABLE watched (n int); INSERT INTO watched VALUES (0);
        CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1';
        CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER watch BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION watch();
        CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);
        CREATE TABLE child (parent int REFERENCES parent ON DELETE CASCADE);
        CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);
        CREATE TABLE partly (id int); CREATE UNIQUE INDEX ON partly (id) WHERE id > 1
    """
    graph = dependencies(ran(postgres, f"T1: BEGIN\nT1: {sql}\nT1: COMMIT", setup=setup), postgres)
    assert not graph.traced and not graph.edges and graph.words.startswith("not traced: ") and why in graph.words
    assert graph.name == "" and graph.scenario == ""


def test_a_failure_that_a_transaction_survives_has_told_it_something(postgres: Stage) -> None:
    steps = """
        T1: INSERT INTO test VALUES (3, 30)
        T2: BEGIN
        T2: SAVEPOINT a
        T2: INSERT INTO test VALUES {}
        T2: ROLLBACK TO a
        T2: COMMIT
    """
    graph = graphed(postgres, steps.format("(3, 31)"))
    assert [edge.words for edge in graph.edges] == ["T2 needed the key id = 3 after T1 inserted row 3"]
    words = dependencies(ran(postgres, steps.format("(4, 1 / 0)")), postgres).words
    assert words == "not traced: T2.3 failed with 22012, and its transaction went on"


def test_what_an_aborted_transaction_did_need_not_be_traced(postgres: Stage) -> None:
    assert graphed(postgres, "T1: BEGIN\nT1: TRUNCATE test\nT1: ROLLBACK\nT2: SELECT * FROM test").words == "no cycle"


@pytest.mark.parametrize(
    ("sql", "note"),
    [
        ("SELECT now() IS NULL", "gives another value each time"),
        ("SELECT value IS NULL FROM test LIMIT 1", "LIMIT without ORDER BY picks any rows"),
        ("INSERT INTO numbered DEFAULT VALUES", "a sequence fills id, and is no part of a transaction"),
    ],
)
def test_what_no_version_explains_is_noted(postgres: Stage, sql: str, note: str) -> None:
    setup = f"{TEST}; CREATE TABLE numbered (id serial PRIMARY KEY)"
    graph = dependencies(ran(postgres, f"T1: {sql}", setup=setup), postgres)
    assert graph.traced and any(note in one for one in graph.notes) and note in str(graph)


def test_a_trace_that_changes_the_outcome_is_not_used(postgres: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbook.schedules.eyes import PostgresEye

    run = ran(postgres, "T1: UPDATE test SET value = 11 WHERE id = 1\nT2: SELECT * FROM test WHERE id = 1")
    plain = PostgresEye.rewritten

    def rewritten(self, step: Step, statement, table) -> str:  # type: ignore[no-untyped-def]
        return plain(self, Step(step.session, step.sql.replace("11", "12"), step.name), statement, table)

    monkeypatch.setattr(PostgresEye, "rewritten", rewritten)
    graph = dependencies(run, postgres)
    assert graph.words == (
        "not traced: tracing changed the outcome: T2.1 returned (1, 11), and returned (1, 12) when traced"
    )


def test_versions_that_do_not_explain_what_was_read_are_not_believed(
    postgres: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbook.schedules.eyes import PostgresEye

    run = ran(postgres, "T1: UPDATE test SET value = 11 WHERE id = 1\nT2: SELECT * FROM test WHERE id = 1")
    monkeypatch.setattr(PostgresEye, "seen_in", staticmethod(lambda snapshot, writer: writer == ""))
    words = dependencies(run, postgres).words
    assert words == "not traced: T2.1: what it did does not follow from the versions that it is said to have seen"


def test_tracing_leaves_the_statements_of_a_reader_alone(postgres: Stage) -> None:
    """A SERIALIZABLE transaction must not be held to have read more than it did: its SELECTs run as they are, and only
    their snapshot is asked for."""
    run = ran(postgres, "T1: SELECT * FROM test WHERE id = 1\nT2: DELETE FROM test WHERE id = 2")
    tracer = Tracer(run, postgres)
    tracer.trace()
    sql = [step.sql for step in tracer.traced.schedule.steps]
    assert sql[1] == "SELECT * FROM test WHERE id = 1" and sql[2].startswith("DELETE FROM test WHERE id = 2\nRETURNING")
    assert tracer.traced.end(1).seen[0][0][0].count(":") == 2


def test_a_large_table_is_asked_only_for_the_rows_that_were_written(postgres: Stage) -> None:
    setup = """
        CREATE TABLE test (id int PRIMARY KEY, value int);
        INSERT INTO test SELECT g, g FROM generate_series(1, 5000) g
    """
    graph = graphed(
        postgres,
        """
        T1: BEGIN
        T2: BEGIN
        T1: SELECT sum(value) FROM test
        T2: SELECT sum(value) FROM test
        T1: UPDATE test SET value = 0 WHERE id = 4000
        T2: UPDATE test SET value = 0 WHERE id = 4001
        T1: COMMIT
        T2: COMMIT
        """,
        "repeatable read",
        setup=setup,
    )
    assert graph.words == "T1 read row 4001 before T2 changed it; T2 read row 4000 before T1 changed it"
