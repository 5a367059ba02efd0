"""A schedule is text and data: what is read is written, and a mistake gets a sentence with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbook.errors import Misuse
from workbook.schedules import LEVELS, Program, Schedule, Step

LOST_UPDATE = """\
# Lost update
level: read committed

setup:
    CREATE TABLE test (id int PRIMARY KEY, value int);
    INSERT INTO test VALUES (1, 10), (2, 20);

T1: BEGIN
T2: BEGIN
T1: SELECT value FROM test WHERE id = 1
T2: SELECT value FROM test WHERE id = 1
T1: UPDATE test SET value = 11 WHERE id = 1
T2 (late): UPDATE test SET value = 11
    WHERE id = 1
T1: COMMIT
T2: COMMIT
"""


def test_what_is_read_is_written() -> None:
    schedule = Schedule.read(LOST_UPDATE)
    assert str(schedule) == LOST_UPDATE
    assert schedule.title == "Lost update" and schedule.level == "read committed"
    assert schedule.sessions == ("T1", "T2")
    assert [step.name for step in schedule.steps] == ["T1.1", "T2.1", "T1.2", "T2.2", "T1.3", "late", "T1.4", "T2.4"]
    assert schedule.steps[5].sql == "UPDATE test SET value = 11\nWHERE id = 1"


def test_data_goes_through_json_and_back() -> None:
    schedule = Schedule.read(LOST_UPDATE.replace("level:", "level T2: serializable\nlevel:"))
    assert schedule.levels == {"T2": "serializable"}
    assert Schedule.of(json.loads(json.dumps(schedule.data()))) == schedule


def test_comments_semicolons_tabs_and_other_lines_endings_are_taken() -> None:
    text = "# A title\n# a remark\nsetup: CREATE TABLE t (n int)\n\nalice: BEGIN;\nalice: SELECT 1\n\tUNION SELECT 2;\n"
    text += "Bob: END\n"
    schedule = Schedule.read(text.replace("\n", "\r\n"))
    assert schedule.title == "A title" and schedule.setup == "CREATE TABLE t (n int)"
    assert [str(step) for step in schedule.steps] == [
        "alice: BEGIN",
        "alice: SELECT 1\nUNION SELECT 2",
        "Bob: END",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no step"),
        ("# nothing but a title\n", "no step"),
        ("T1 BEGIN\n", "line 1: this is no step: T1 BEGIN"),
        ("T1: BEGIN\n\nT2:\n", "line 3: the step of T2 is empty"),
        ("    T1: BEGIN\n", "line 1: this line is indented"),
        ("# title\n    more\nT1: BEGIN\n", "line 1: an indented line continues a comment"),
        ("level: repeatable\nT1: BEGIN\n", "line 1: there is no isolation level 'repeatable'"),
        ("setup:\n    SELECT 1\nT1: BEGIN\nsetup:\n    SELECT 2\n", "line 4: there is a second setup"),
        ("T1 (a): BEGIN\nT2: BEGIN\nT2 (a): COMMIT\n", "line 3: the step of line 1 is named a, too"),
        ("T1 (T1.2): BEGIN\nT1: COMMIT\n", "line 2: the step of line 1 is named T1.2, too"),
        ("level T3: serializable\nT1: BEGIN\n", "A level is given to T3, which has no step"),
        ("level (x): BEGIN\n", "level cannot be a session's name"),
        ("1st: BEGIN\n", "line 1: this is no step: 1st: BEGIN"),
        ("T1: BEGIN\nT1: SELECT '\0'\n", "line 2: it holds a NUL character"),
        ("T1: SELECT\n    1,\n    '\0'\n", "line 3: it holds a NUL character"),
        ("T1: SELECT 1\n T2: SELECT 2\n", "line 2: this line is indented, and looks like a step: T2: SELECT 2"),
        ("T1: SELECT 1\n\n  T2 (late): SELECT 2\n", "line 3: this line is indented, and looks like a step"),
        ("setup: SELECT 1\n T1: SELECT 2\nT1: BEGIN\n", "line 2: this line is indented, and looks like a step"),
    ],
)
def test_a_mistake_gets_a_sentence_with_its_line(text: str, says: str) -> None:
    with pytest.raises(Misuse) as caught:
        Schedule.read(text)
    assert says in str(caught.value)


def test_a_line_that_continues_a_step_may_hold_a_colon() -> None:
    schedule = Schedule.read("T1: SELECT\n  value::int, a[1:2]\n    lbl: LOOP\n\tT2: FROM test\n")
    assert schedule.steps[0].sql == "SELECT\nvalue::int, a[1:2]\nlbl: LOOP\nT2: FROM test"


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("UPDATE test SET value = 1; -- tail", "UPDATE test SET value = 1 -- tail"),
        ("SELECT 1;-- one;\n; /* two */ ;", "SELECT 1 -- one;\n  /* two */"),
        ("SELECT ';' -- a;", "SELECT ';' -- a;"),
        ("SELECT 1; SELECT 2;", "SELECT 1; SELECT 2"),
    ],
)
def test_the_semicolon_behind_a_step_is_no_part_of_it(sql: str, kept: str) -> None:
    schedule = Schedule("", "", (Step("T1", sql),))
    assert schedule.steps[0].sql == kept
    assert Schedule.read(str(schedule)) == schedule


LINES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(
    lambda text: text.strip() == text and text
)
SQL = st.lists(LINES, min_size=1, max_size=3).map("\n".join).filter(lambda sql: not sql.endswith(";"))
SESSIONS = st.sampled_from(["T1", "T2", "alice", "Größe", "_x"])
NAMES = st.sampled_from(["", "r1", "w 2", "late"])


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    steps, names = [], set()
    for _ in range(draw(st.integers(1, 6))):
        name = draw(NAMES)
        steps.append(Step(draw(SESSIONS), draw(SQL), "" if name in names else name))
        names.add(name)
    levels = {step.session: draw(st.sampled_from(LEVELS)) for step in steps if draw(st.booleans())}
    title = draw(st.one_of(st.just(""), LINES)).lstrip("#").strip()
    blocks = {name: draw(st.one_of(st.just(""), SQL)) for name in ("setup", "teardown")}
    return Schedule(title, steps=tuple(steps), level=draw(st.sampled_from(("", *LEVELS))), levels=levels, **blocks)


@settings(max_examples=200, deadline=None)
@given(schedules())
def test_every_schedule_is_read_as_it_was_written(schedule: Schedule) -> None:
    assert Schedule.read(str(schedule)) == schedule
    assert Schedule.of(schedule.data()) == schedule


def program(*lengths: int) -> Program:
    """A program whose sessions have so many steps, BEGIN and COMMIT among them."""
    return Program(
        "",
        "",
        {f"T{number}": [f"SELECT {at}" for at in range(length - 2)] for number, length in enumerate(lengths, 1)},
    )


@pytest.mark.parametrize(("lengths", "count"), [((4, 4), 70), ((3, 3, 3), 1_680), ((2, 2), 6), ((5,), 1)])
def test_every_interleaving_comes_once(lengths: tuple[int, ...], count: int) -> None:
    orders = list(program(*lengths).orders())
    turns = {tuple(step.session for step in order.steps) for order in orders}
    assert len(orders) == len(turns) == program(*lengths).count() == count
    for order in orders:
        for name, steps in program(*lengths).sessions.items():
            assert tuple(step for step in order.steps if step.session == name) == steps


def test_three_transactions_of_four_steps_are_counted_without_being_made() -> None:
    assert program(4, 4, 4).count() == 34_650


def test_the_serial_orders_are_among_the_interleavings() -> None:
    serial = list(program(3, 2, 2).serial())
    assert len(serial) == 6
    assert all(order in list(program(3, 2, 2).orders()) for order in serial)


def test_a_sample_repeats_by_its_seed_and_has_no_order_twice() -> None:
    big = program(4, 4, 4)
    first = big.sample(200, seed=3)
    assert first == big.sample(200, seed=3) != big.sample(200, seed=4)
    assert len({tuple(step.session for step in order.steps) for order in first}) == 200
    assert len(program(2, 2).sample(50)) == 6
    assert len(set(map(str, program(4, 4).sample(40, seed=1)))) == 40


def test_a_program_adds_begin_and_commit_only_where_none_is_said() -> None:
    made = Program(
        "",
        "",
        {
            "plain": ["SELECT 1"],
            "strict": ["BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT 1", "COMMIT"],
            "undone": ["START TRANSACTION", "SELECT 1", "ROLLBACK"],
            "saves": ["SAVEPOINT a", "ROLLBACK TO SAVEPOINT a"],
        },
    )
    sql = {name: [step.sql for step in steps] for name, steps in made.sessions.items()}
    assert sql["plain"] == ["BEGIN", "SELECT 1", "COMMIT"]
    assert sql["strict"] == ["BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT 1", "COMMIT"]
    assert sql["undone"] == ["START TRANSACTION", "SELECT 1", "ROLLBACK"]
    assert sql["saves"] == ["BEGIN", "SAVEPOINT a", "ROLLBACK TO SAVEPOINT a", "COMMIT"]


def test_a_schedule_and_its_program_lead_to_one_another() -> None:
    schedule = Schedule.read(LOST_UPDATE)
    assert schedule.program().order(step.session for step in schedule.steps) == schedule
    with pytest.raises(Misuse, match="no further step"):
        schedule.program().order(["T1"] * 5)
    with pytest.raises(Misuse, match="leaves out steps of T2"):
        schedule.program().order(["T1"] * 4)


def test_what_makes_no_sense_is_refused_with_a_sentence() -> None:
    with pytest.raises(Misuse, match="A program needs a session"):
        Program("", "", {})
    with pytest.raises(Misuse, match="stands in the session T1"):
        Program("", "", {"T1": [Step("T2", "SELECT 1")]})
    with pytest.raises(Misuse, match="needs a step"):
        Schedule("", "", ())
    with pytest.raises(Misuse, match="'two words' cannot be a session's name"):
        Schedule("", "", (Step("two words", "SELECT 1"),))
    with pytest.raises(Misuse, match=r"The step T1\.2 is empty"):
        Program("", "", {"T1": ["BEGIN", " ; "]})
    with pytest.raises(Misuse, match="no isolation level"):
        Schedule("", "", (Step("T1", "SELECT 1"),), level="snapsot")
    with pytest.raises(Misuse, match="The steps of T1 are one text"):
        Program("", "", {"T1": "SELECT 1"})  # type: ignore[dict-item]
    with pytest.raises(Misuse, match="This is no step: 5"):
        Program("", "", {"T1": [5]})  # type: ignore[dict-item]
    with pytest.raises(Misuse, match="The steps of T1 are no list: None"):
        Program("", "", {"T1": None})  # type: ignore[dict-item]
    with pytest.raises(Misuse, match="A program needs a session"):
        Program("", "", ["SELECT 1"])  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="made of texts, and this is none: 5"):
        Schedule("", "", (Step("T1", 5),))  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="This is no step: 'SELECT 1'"):
        Schedule("", "", ("SELECT 1",))  # type: ignore[arg-type]
    with pytest.raises(Misuse, match=r"by Schedule\.read"):
        Schedule("", "", "T1: SELECT 1")  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="this is a NoneType"):
        Schedule.read(None)  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="A step of T1 holds a NUL character"):
        Schedule("", "", (Step("T1", "SELECT '\0'"),))


@pytest.mark.parametrize(
    ("sql", "begins", "ends", "asks"),
    [
        ("-- open\nBEGIN", True, False, ""),
        ("; /* a /* b */ c */\tstart /**/ transaction", True, False, ""),
        ("--BEGIN\nSELECT 1", False, False, ""),
        ("BEGIN; SELECT 1; ROLLBACK", True, False, "rollback"),
        ("/* done */ END", False, True, "commit"),
        ("ROLLBACK -- all\n TO a", False, False, ""),
        ("PREPARE TRANSACTION 'a'", False, True, "prepare"),
        ("SELECT ';COMMIT;', $$;COMMIT$$, E'\\';COMMIT;'", False, False, ""),
        ("CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM u; END", False, False, ""),
        ("BEGIN NOT ATOMIC SELECT 1; END", False, False, ""),
    ],
)
def test_comments_and_other_statements_do_not_hide_what_a_step_does(
    sql: str, begins: bool, ends: bool, asks: str
) -> None:
    step = Step("T1", sql)
    assert (step.begins, step.ends, step.asks) == (begins, ends, asks)


def test_a_text_of_many_comments_is_read_at_once() -> None:
    assert not Step("T1", "/*a*/" * 5_000 + "/*" * 5_000 + "--\n" * 5_000).ends


def test_a_program_adds_nothing_to_a_step_that_holds_a_whole_transaction() -> None:
    (steps,) = Program("", "", {"T1": ["BEGIN; SELECT 1; COMMIT"]}).sessions.values()
    assert [step.sql for step in steps] == ["BEGIN; SELECT 1; COMMIT"]
