"""Two verdicts that know nothing of each other never contradict one another, on generated sets of transactions.

One runs every serial order and compares what was read; the other follows row versions and draws a graph. Where the
graph has no cycle, every order that follows its edges must be one that the engine confirms. So a run that is
equivalent to no order always has a cycle, too.

A contradiction is never filtered away: it says that one of the two is wrong.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from workbook.schedules import Program, Schedule, Stage
from workbook.schedules.graph import Edge, _Builder, dependencies
from workbook.schedules.transactions import transactions
from workbook.schedules.verdict import judge

QUICK, ALL = 60, 500
UNTRACED = ("tracing changed the outcome", "and its transaction went on")
"""The reasons for which a generated schedule may have no graph: the engine itself wakes one waiter or the other
first, and a statement that failed within a savepoint told its transaction something."""
LEVELS = ("read committed", "repeatable read", "read committed", "repeatable read", "serializable")

ONE_TABLE = (
    "CREATE TABLE test (id int PRIMARY KEY, value int, note int); INSERT INTO test VALUES (1, 10, 1), (2, 20, 2)"
)
TWO_TABLES = """
    CREATE TABLE test (id int PRIMARY KEY, value int, note int);
    CREATE TABLE other (id int PRIMARY KEY, test_id int, amount int UNIQUE);
    INSERT INTO test VALUES (1, 10, 1), (2, 20, 2), (3, 30, 1);
    INSERT INTO other VALUES (1, 1, 5), (2, 1, 7), (3, 2, 9)
"""
KEYS = """
    CREATE TABLE parent (id int PRIMARY KEY, name text UNIQUE, a int DEFAULT 1, b int DEFAULT 1, CHECK (a + b < 5));
    CREATE TABLE child (id int, parent int REFERENCES parent, slot int, UNIQUE (parent, slot));
    INSERT INTO parent VALUES (1, 'x'), (2, 'y'); INSERT INTO child VALUES (1, 1, 1), (2, 1, 2)
"""

key = st.integers(1, 4).map(str)
few = st.integers(1, 3).map(str)
value = st.sampled_from(["10", "20", "21", "30", "42"])
amount = st.integers(4, 10).map(str)


def sql(template: str, **parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Statements of a template, `{part}` by part."""
    return st.fixed_dictionaries(parts).map(lambda made: template.format(**made))


def either(*choices: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(*(st.just(one) if isinstance(one, str) else one for one in choices))


condition = either(
    sql("id = {k}", k=key),
    sql("id IN ({k}, {l})", k=key, l=key),
    sql("id BETWEEN {k} AND {k} + 1", k=key),
    sql("id <= {k}", k=key),
    sql("value = {v}", v=value),
    sql("value > {v}", v=value),
    sql("value % 3 = {n}", n=st.sampled_from("012")),
    sql("note = {n}", n=few),
    sql("note = {n} AND value > {v}", n=few, v=value),
    sql("value = {v} OR note = {n}", v=value, n=few),
    "value IS NULL",
    "true",
)
of_other = either(
    sql("id = {k}", k=key),
    sql("amount > {a}", a=amount),
    sql("test_id = {n} AND amount < {a}", n=few, a=amount),
)
locking = st.sampled_from([""] * 5 + [" FOR UPDATE", " FOR NO KEY UPDATE", " FOR SHARE", " FOR KEY SHARE"])
reading = either(
    sql("SELECT {w} FROM test WHERE {c}{l}", w=st.sampled_from(["*", "value", "id, note"]), c=condition, l=locking),
    sql("SELECT {w} FROM test WHERE {c}", w=st.sampled_from(["count(*)", "sum(value)", "max(id)"]), c=condition),
    sql("SELECT id FROM test WHERE {c} ORDER BY value, id LIMIT 1", c=condition),
    sql("SELECT * FROM other WHERE {c}", c=of_other),
    sql("SELECT t.id, o.amount FROM test t JOIN other o ON o.test_id = t.id WHERE o.amount > {a}", a=amount),
    sql("SELECT t.id FROM test t JOIN other o ON o.test_id = t.id WHERE o.amount > {a} FOR UPDATE OF t", a=amount),
    sql(
        "SELECT t.id FROM test t LEFT JOIN other o ON o.test_id = t.id AND o.amount > {a} WHERE o.id IS NULL", a=amount
    ),
    "SELECT id FROM test t WHERE NOT EXISTS (SELECT 1 FROM other o WHERE o.test_id = t.id)",
    sql("SELECT id FROM test WHERE id IN (SELECT test_id FROM other WHERE {c})", c=of_other),
    "SELECT id FROM test WHERE value = (SELECT max(value) FROM test)",
    sql("SELECT a.id FROM test a, test b WHERE a.value < b.value AND b.note = {n}", n=few),
    "SELECT note, count(*) FROM test GROUP BY note HAVING count(*) > 1",
    sql("SELECT value FROM test WHERE {c} UNION ALL SELECT amount FROM other WHERE {d}", c=condition, d=of_other),
)
new_value = either(value, "value + 1", "value * 2", "note", "value + note", "NULL")
writing = either(
    sql("UPDATE test SET value = {v} WHERE {c}", v=new_value, c=condition),
    sql("UPDATE test SET value = {v} WHERE {c}", v=new_value, c=condition),
    sql("UPDATE test SET note = {v} WHERE {c} RETURNING *", v=either(few, "note + 1", "value"), c=condition),
    sql("UPDATE test SET id = {k} WHERE id = {l}", k=key, l=key),
    sql("UPDATE test SET value = (SELECT count(*) FROM other WHERE {d}) WHERE {c}", d=of_other, c=condition),
    sql("UPDATE test SET value = o.amount FROM other o WHERE o.test_id = test.id AND o.amount > {a}", a=amount),
    "UPDATE test SET note = note + 1 WHERE value = (SELECT max(value) FROM test)",
    sql("UPDATE other SET amount = amount + {k} WHERE {d}", k=key, d=of_other),
    sql("UPDATE other SET test_id = {n} WHERE {d}", n=few, d=of_other),
    sql("INSERT INTO test VALUES ({k}, {v}, {n})", k=key, v=value, n=few),
    sql("INSERT INTO test (id, value) VALUES ({k}, {v}), ({k} + 1, 5)", k=key, v=value),
    sql("INSERT INTO test SELECT id + {k}, value, note FROM test WHERE {c}", k=key, c=condition),
    "INSERT INTO test SELECT max(id) + 1, sum(value), 1 FROM test",
    sql("INSERT INTO test VALUES ({k}, 30, 1) ON CONFLICT (id) DO UPDATE SET value = test.value + test.note", k=key),
    sql("INSERT INTO test VALUES ({k}, 30, 1) ON CONFLICT DO NOTHING", k=key),
    sql("INSERT INTO other VALUES ({k}, {n}, {a}) ON CONFLICT DO NOTHING", k=key, n=few, a=amount),
    sql("DELETE FROM test WHERE {c}", c=condition),
    sql("DELETE FROM other WHERE {d}", d=of_other),
    sql("DELETE FROM test USING other o WHERE o.test_id = test.id AND o.amount > {a}", a=amount),
)
narrow = either(
    "id = 1", "id = 2", "value = 10", "value > 10", "note = 1", "note = 2", "note = 1 AND value > 5", "true"
)
returned = st.sampled_from(["*", "value", "note", "count(*)", "sum(value)"])
on_few_rows = either(
    sql("SELECT {w} FROM test WHERE {c}", w=returned, c=narrow),
    sql("SELECT {w} FROM test WHERE {c}", w=returned, c=narrow),
    sql("SELECT {w} FROM test WHERE {c}", w=returned, c=narrow),
    sql("UPDATE test SET value = {v} WHERE {c}", v=new_value, c=narrow),
    sql("UPDATE test SET note = {v} WHERE {c}", v=either("1", "2", "note + 1"), c=narrow),
    sql("DELETE FROM test WHERE {c}", c=narrow),
    sql("INSERT INTO test VALUES ({k}, 20, 1)", k=st.sampled_from("3456")),
)
name = st.sampled_from(["'x'", "'y'", "'z'"])
on_keys = either(
    sql("SELECT * FROM parent WHERE id = {k}", k=key),
    sql("SELECT name FROM parent WHERE name = {n}", n=name),
    sql("SELECT count(*) FROM child WHERE parent = {k}", k=key),
    sql("INSERT INTO parent VALUES ({k}, {n})", k=key, n=name),
    sql("INSERT INTO parent VALUES ({k}, {n}) ON CONFLICT DO NOTHING", k=key, n=name),
    sql("INSERT INTO parent VALUES ({k}, {n}) ON CONFLICT (name) DO UPDATE SET a = parent.b", k=key, n=name),
    sql("UPDATE parent SET name = {n} WHERE id = {k}", k=key, n=name),
    sql("UPDATE parent SET id = {k} WHERE name = {n}", k=key, n=name),
    sql("UPDATE parent SET a = {m} WHERE id = {k}", k=key, m=few),
    sql("UPDATE parent SET b = {m} WHERE id = {k}", k=key, m=few),
    sql("DELETE FROM parent WHERE id = {k}", k=key),
    sql("INSERT INTO child VALUES ({i}, {k}, {m})", i=key, k=key, m=few),
    sql("UPDATE child SET parent = {k} WHERE id = {m}", k=key, m=few),
    sql("UPDATE child SET slot = {k} WHERE id = {m}", k=few, m=few),
    sql("DELETE FROM child WHERE parent = {k}", k=key),
)

KINDS = [*[(ONE_TABLE, on_few_rows)] * 4, *[(TWO_TABLES, either(reading, writing))] * 3, (KEYS, on_keys)]


@st.composite
def transaction(draw: st.DrawFn, statements: st.SearchStrategy[str]) -> list[str]:
    """One to four statements; now and then a savepoint, and a return to it."""
    count = draw(st.sampled_from([1, 2, 2, 3, 3, 4]))
    made = draw(st.lists(statements, min_size=count, max_size=count))
    if draw(st.integers(0, 11)) == 0:
        at = draw(st.integers(0, len(made)))
        made.insert(at, "SAVEPOINT here")
        made.insert(draw(st.integers(at + 1, len(made))), "ROLLBACK TO here")
    return made


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Two or three transactions at one level, interleaved in any way."""
    setup, statements = draw(st.sampled_from(KINDS))
    sessions = {f"T{number}": draw(transaction(statements)) for number in range(1, draw(st.integers(2, 3)) + 1)}
    program = Program("generated", setup, sessions, draw(st.sampled_from(LEVELS)))
    return program.order(draw(st.permutations([one for one, steps in program.sessions.items() for _ in steps])))


def contradictions(stage: Stage, count: int, shrink: bool = True) -> Counter[str]:
    """Judge so many generated schedules both ways; how often which pair of verdicts came up. A contradiction is shrunk
    to the least schedule that shows it, and raised."""
    seen: Counter[str] = Counter()

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(schedules())
    def agree(schedule: Schedule) -> None:
        run = stage.run(schedule)
        verdict, graph = judge(run, stage), dependencies(run, stage)
        said = f"{schedule}\n{run}\n\n{verdict}\n\n{graph.trace}\n\n{graph}"
        assert {one.session: one.outcome for one in transactions(run)} == dict(run.outcomes), said
        assert graph.traced or any(why in graph.words for why in UNTRACED), said
        if graph.traced:
            assert set(graph.orders()) <= set(verdict.orders), f"the graph allows what the engine refutes\n{said}"
            assert graph.cycle() or verdict.serializable, f"no cycle, and no order\n{said}"
        cycle = ("a cycle" if graph.cycle() else "no cycle") if graph.traced else "not traced"
        seen[f"{cycle}, {'an order' if verdict.serializable else 'no order'}"] += 1
        seen["waited"] += bool(run.waits)
        seen["failed"] += bool(run.failures)

    agree()
    return seen


def looked_at(seen: Counter[str], count: int) -> None:
    """The schedules were of all kinds, and next to all were traced."""
    assert seen["no cycle, no order"] == 0
    assert seen["no cycle, an order"] > count / 4 and seen["a cycle, no order"] > count / 20
    assert seen["waited"] > count / 20 and seen["failed"] > count / 20
    assert sum(number for kind, number in seen.items() if kind.startswith("not traced")) <= count / 50


def test_a_graph_without_a_cycle_comes_with_an_equivalent_order(postgres: Stage) -> None:
    looked_at(contradictions(postgres, QUICK), QUICK)


@pytest.mark.slow
def test_a_graph_without_a_cycle_comes_with_an_equivalent_order_on_500_sets(postgres: Stage) -> None:
    seen = contradictions(postgres, ALL)
    print(dict(seen))
    looked_at(seen, ALL)


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        ("rw", "item"),
        ("rw", "predicate"),
        pytest.param("wr", "item", marks=pytest.mark.slow),  # nearly always another edge says the same
        ("wr", "predicate"),
        ("ww", "item"),
    ],
)
def test_a_graph_that_forgets_a_kind_of_edge_is_found_out(
    postgres: Stage, monkeypatch: pytest.MonkeyPatch, kind: str, by: str
) -> None:
    """The generated schedules are strong enough to need each kind of edge."""
    whole = _Builder.edges

    def edges(self: _Builder) -> tuple[Edge, ...]:
        return tuple(edge for edge in whole(self) if (edge.kind, edge.by) != (kind, by))

    monkeypatch.setattr(_Builder, "edges", edges)
    with pytest.raises(AssertionError, match="the graph allows what the engine refutes"):
        contradictions(postgres, ALL, shrink=False)
