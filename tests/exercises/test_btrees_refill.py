"""Half of the rows deleted, as many new ones: where they go decides which delete makes the index grow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.engines import Recipe, database
from workbook.exercises.btrees.refill import (
    DELETES,
    EXERCISE,
    HALF,
    ROWS,
    TRYING,
    VARIANTS,
    Refilled,
    Variant,
    does,
    index_order,
    known,
    pages,
    recipe,
    refilled,
    stretches,
    trying,
)

RISING, TOKENS, READER, FALLING, ROOMY, IMPORT = VARIANTS
EVERY_OTHER, OLDEST, NEWEST, MIDDLE, LOW_TOKENS = (f"DELETE FROM orders WHERE {each}" for each in DELETES.values())
CUSTOMERS = "DELETE FROM orders WHERE customer < 100"
HIGH_TOKENS = f"DELETE FROM orders WHERE ctid IN (SELECT ctid FROM orders ORDER BY token DESC LIMIT {HALF})"
ODD = "DELETE FROM orders USING archive a WHERE a.number = orders.number AND a.number % 2 = 1"


def pair(grows: str | None, same: str | None) -> dict[str, str | None]:
    return {"grows": grows, "same": same}


def refused() -> list[Wrong]:
    """What is no DELETE of half of the rows."""
    anew = f"DO $$ BEGIN DELETE FROM orders WHERE number <= {HALF}; REINDEX INDEX orders_index; END $$"
    fatter = (
        f"DO $$ BEGIN INSERT INTO orders SELECT n + 90000, 1, gen_random_uuid() FROM generate_series(1, {ROWS}) n; "
        f"DELETE FROM orders WHERE number > 90000 OR number <= {HALF}; END $$"
    )
    moved = f"WITH gone AS (DELETE FROM orders WHERE number <= {HALF}) UPDATE orders SET number = number + 7 WHERE number > {HALF}"
    return [
        Wrong(pair(None, None), says="Both are None"),
        Wrong(pair(None, "DELETE FROM orders WHERE number <= 9000"), says="`same` deletes 9,000 of the"),
        Wrong(pair(None, "TRUNCATE orders"), says="`same` deletes 20,000 of the"),
        Wrong(pair(None, f"{OLDEST}; VACUUM FULL orders"), says="`same` is more than one statement"),
        Wrong(pair(None, anew), says="`same` has written the table or the index anew, or"),
        Wrong(pair(fatter, None), says="`grows` has written the table or the index anew, or"),
        Wrong(pair(None, moved), says="10,000 are not as they were"),
        Wrong(pair(None, "DROP INDEX orders_index"), says="dropped 1 index"),
        Wrong(pair(None, "DELETE FROM orders WHERE numbr = 1"), says="PostgreSQL refuses it"),
        Wrong(pair(None, ""), says="'same': The answer is empty"),
        Wrong({"grows": None}, says="this is a dict with ['grows']"),
    ]


BY_NAME = {
    "rising": Answers(
        pair(EVERY_OTHER, OLDEST),
        [pair(LOW_TOKENS, MIDDLE), pair(CUSTOMERS, NEWEST)],
        [
            Wrong(pair(EVERY_OTHER, ODD), says="Does any of the new rows have such a key?", misconception="always-frees"),
            Wrong(pair(NEWEST, OLDEST), says="with room where no new row comes?", misconception="never-frees"),
            Wrong(pair(MIDDLE, EVERY_OTHER), says="The two are exchanged", misconception="always-frees"),
            Wrong(pair(EVERY_OTHER, None), says="`same` is None, yet", misconception="never-frees"),
            Wrong(pair(None, OLDEST), says="`grows` is None, yet", misconception="always-frees"),
        ],
    ),
    "tokens": Answers(
        pair(LOW_TOKENS, OLDEST),
        [pair(HIGH_TOKENS, CUSTOMERS)],
        [
            Wrong(pair(EVERY_OTHER, OLDEST), says="would they find full pages", misconception="thin-is-lost"),
            Wrong(pair(LOW_TOKENS, HIGH_TOKENS), says="and how many became empty?", misconception="neighbours-free"),
            Wrong(pair(EVERY_OTHER, LOW_TOKENS), says="The two are exchanged", misconception="neighbours-free"),
            Wrong(pair(LOW_TOKENS, None), says="`same` is None, yet", misconception="never-frees"),
            Wrong(pair(None, OLDEST), says="`grows` is None, yet", misconception="always-frees"),
        ],
    ),
    "import": Answers(
        pair(OLDEST, EVERY_OTHER),
        [pair(MIDDLE, NEWEST)],
        [
            Wrong(pair(EVERY_OTHER, ODD), says="would they find full pages", misconception="thin-is-lost"),
            Wrong(pair(OLDEST, MIDDLE), says="and how many became empty?", misconception="neighbours-free"),
            Wrong(pair(NEWEST, EVERY_OTHER), says="with room where no new row comes?", misconception="never-frees"),
            Wrong(pair(EVERY_OTHER, OLDEST), says="The two are exchanged", misconception="neighbours-free"),
            Wrong(pair(OLDEST, None), says="`same` is None, yet", misconception="never-frees"),
        ],
    ),
    "falling": Answers(
        pair(EVERY_OTHER, None),
        [pair(OLDEST, None)],
        [
            Wrong(pair(EVERY_OTHER, OLDEST), says="how full were those that became", misconception="as-many-as-much"),
            Wrong(pair(EVERY_OTHER, ODD), says="Does any of the new rows have such a key?", misconception="always-frees"),
        ],
    ),
    "roomy": Answers(
        pair(None, EVERY_OTHER),
        [pair(None, MIDDLE)],
        [
            Wrong(pair(OLDEST, EVERY_OTHER), says="How full is a page of this index at", misconception="refill-bloats"),
        ],
    ),
    "reader": Answers(
        pair(OLDEST, None),
        [pair(CUSTOMERS, None)],
        [
            Wrong(pair(EVERY_OTHER, OLDEST), says="What would the report see", misconception="vacuum-takes-all"),
        ],
    ),
}  # fmt: skip


def answers(variant: Variant) -> Answers:
    found = BY_NAME[variant.name]
    return Answers(found.right, found.also_right, [*found.wrong, *refused()])


class TestRefill(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.slow
def test_the_new_rows_decide_which_delete_was_a_good_one() -> None:
    """By how much the index grows after five deletes, in five worlds; nothing is near a limit."""
    grown = {
        variant.name: [name for name, each in known(variant).items() if does("grows", each)] for variant in VARIANTS
    }
    kept = {variant.name: [name for name, each in known(variant).items() if does("same", each)] for variant in VARIANTS}
    every, oldest, newest, middle, token = DELETES
    assert grown == {
        "rising": [every, token],
        "tokens": [token],
        "import": [oldest, middle],
        "falling": [every, oldest, newest, middle, token],
        "roomy": [],
        "reader": [every, oldest, newest, middle, token],
    }
    assert kept == {
        "rising": [oldest, newest, middle],
        "tokens": [every, oldest, newest, middle],
        "import": [every, newest, token],
        "falling": [],
        "roomy": [every, oldest, newest, middle, token],
        "reader": [],
    }
    for variant in VARIANTS:
        for made in known(variant).values():
            assert made.growth < 1.05 or made.growth > 1.25, (variant.name, made)


@pytest.fixture
def open_elsewhere() -> Iterator[None]:
    """A transaction with a number of its own is open in another database of the server."""
    with database(Recipe("a neighbour", "CREATE TABLE neighbours (n int)")) as other, other.connect() as session:
        session.execute("INSERT INTO neighbours VALUES (1)")
        yield


@pytest.mark.usefixtures("open_elsewhere")
@pytest.mark.parametrize(
    ("variant", "right"),
    [(RISING, pair(EVERY_OTHER, OLDEST)), (ROOMY, pair(None, MIDDLE)), (IMPORT, pair(MIDDLE, NEWEST))],
    ids=["rising", "roomy", "import"],
)
def test_a_transaction_that_is_open_in_another_database_changes_nothing(
    variant: Variant, right: dict[str, str | None]
) -> None:
    """A learner's own writer on the practice database holds back no page of the judge's."""
    found = verdict(EXERCISE, right, variant)
    assert found.full, shown(found)


@pytest.mark.usefixtures("open_elsewhere")
def test_but_to_a_session_that_has_not_vacuumed_itself_no_page_is_handed_out() -> None:
    """Why the judge vacuums and fills in one session: in two of them, the empty pages stay empty."""
    together = refilled(OLDEST, RISING)
    with database(recipe(RISING)) as orders:
        before = pages(orders)
        orders.run(OLDEST)
        orders.run("VACUUM orders; INSERT INTO sales VALUES (1); VACUUM orders")
        orders.run(RISING.refill)
        apart = Refilled(1, before, pages(orders))
    assert isinstance(together, Refilled) and does("same", together) and does("grows", apart), (together, apart)


@pytest.mark.usefixtures("open_elsewhere")
def test_a_reader_of_the_same_database_holds_the_rows_back_all_the_same() -> None:
    made = refilled(OLDEST, READER)
    assert isinstance(made, Refilled) and does("grows", made), made


def test_the_steps_as_the_task_tells_them_give_what_the_judge_sees(capsys: pytest.CaptureFixture[str]) -> None:
    """The code of the task runs as it stands, with the steps in the place of its one."""
    steps = (EVERY_OTHER, "VACUUM orders", "INSERT INTO sales VALUES (1)", "VACUUM orders", RISING.refill)
    code = TRYING.replace(
        'mine.execute(text("DELETE FROM orders WHERE ..."))', "[mine.execute(text(step)) for step in steps]"
    )
    with database(recipe(RISING)) as mine:
        exec(code, {"practice": lambda id: mine.engine, "steps": steps})
    told = capsys.readouterr().out.strip()
    assert f"`grows`: the index has 57 pages before it, {told.removesuffix(' pages')} after the new rows" in shown(
        verdict(EXERCISE, pair(EVERY_OTHER, OLDEST), RISING)
    )


def test_the_steps_beside_the_report_give_what_the_judge_sees(capsys: pytest.CaptureFixture[str]) -> None:
    steps = (OLDEST, "VACUUM orders", "INSERT INTO sales VALUES (1)", "VACUUM orders", READER.refill)
    code = trying(READER).replace(
        'mine.execute(text("DELETE FROM orders WHERE ..."))', "[mine.execute(text(step)) for step in steps]"
    )
    assert code in EXERCISE.brief(READER).replace(
        'mine.execute(text("DELETE FROM orders WHERE ..."))', "[mine.execute(text(step)) for step in steps]"
    )
    with database(recipe(READER)) as mine:
        exec(code, {"practice": lambda id: mine.engine, "steps": steps})
    told = capsys.readouterr().out.strip().removesuffix(" pages")
    found = verdict(EXERCISE, pair(OLDEST, None), READER)
    assert found.full and f"pages before it, {told} after the new rows" in shown(found), (told, found)


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.name for variant in VARIANTS])
def test_no_none_is_confirmed_beside_a_delete_that_is_wrong(variant: Variant) -> None:
    """Else two answers without a thought would say which of the two exists."""
    assert "`same`" not in shown(verdict(EXERCISE, pair(None, None), variant))
    for right, name in ((answers(variant).right, "same"), (answers(variant).right, "grows")):
        other = {"grows": "same", "same": "grows"}[name]
        wrong = next(
            (
                f"DELETE FROM orders WHERE {DELETES[each]}"
                for each, made in known(variant).items()
                if not does(other, made)
            ),
            None,
        )
        if right[name] is None and wrong is not None:
            found = shown(verdict(EXERCISE, {name: None, other: wrong}, variant))
            assert f"`{name}`" not in found and f"`{other}`: the index has" in found, found


def test_stretches_are_counted_in_the_order_of_the_index() -> None:
    assert stretches(range(1, HALF + 1), index_order(RISING)) == 1
    assert stretches(range(1, HALF + 1), index_order(TOKENS)) > 4_000
    assert str(Refilled(1, 57, 84)) == "57 pages before it, 84 after the new rows, 47% more"
