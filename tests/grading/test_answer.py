"""Answers cross as JSON with exact types, and nothing else crosses."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import threading
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbook.grading import local
from workbook.grading.answer import Function, FunctionFailed, NotPlain, decode, encode, is_number, same
from workbook.grading.local import InProcess, by_value

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=("Cs",)))
    | st.binary()
    | st.decimals()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.uuids()
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text("abc") | st.integers(), inner)
        | st.just(...)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_what_crosses_arrives_as_it_was(value: Any) -> None:
    wire = json.loads(json.dumps(encode(value)))
    there = decode(wire)
    assert type(there) is type(value) and encode(there) == encode(value) and same(there, value)


@pytest.mark.parametrize(
    "value", [10**400, -1, math.nan, math.inf, -0.0, 1e-320, {1, 2}, frozenset({"a"}), decimal.Decimal("1.10"), b"\xff"]
)
def test_what_is_hard(value: Any) -> None:
    there = decode(json.loads(json.dumps(encode(value))))
    assert type(there) is type(value) and repr(there) == repr(value)


def test_equal_is_not_the_same() -> None:
    kinds = [1, 1.0, True, decimal.Decimal(1), "1", b"1"]
    for one in kinds:
        for other in kinds:
            assert same(one, other) is (one is other)
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1}) and same([{"a": 1, "b": 2}], [{"b": 2, "a": 1}])
    assert not same((1,), [1]) and not same({"a": 1}, {"a": True}) and not same(object(), object())
    assert same(math.nan, math.nan) and not same(0.0, -0.0)


class Equal(str):
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True


class Number(int):
    pass


class Pickled:
    def __reduce__(self) -> Any:
        raise AssertionError("pickled")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Equal("x"), "hand in a plain str"),
        ([1, {"k": Number(3)}], "answer[1]['k'] is an object of the type Number"),
        ({Equal("k"): 1}, "a key of answer"),
        (object(), "the type object"),
        (Pickled(), "the type Pickled"),
        (int, "the type type"),
        (lambda: 1, "the type function"),
        ("\ud800", "half a character"),
        (type("str", (str,), {})("x"), "the type str"),
    ],
)
def test_what_is_no_plain_data_is_refused_with_its_place(value: Any, says: str) -> None:
    with pytest.raises(NotPlain) as refusal:
        encode(value)
    assert says in str(refusal.value)


def test_a_range_arrives_as_the_list_of_its_numbers_and_a_vast_one_is_refused() -> None:
    assert decode(encode({"a": range(9, 0, -4)})) == {"a": [9, 5, 1]}
    assert same(range(3), [0, 1, 2]) and not same(range(3), (0, 1, 2))
    with pytest.raises(NotPlain, match="parts"):
        encode(range(10**15))


def test_what_is_endless_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (loop, [0] * 300_000):
        with pytest.raises(NotPlain):
            encode(value)


@pytest.mark.parametrize(
    "wire",
    [
        None, 1, "s", [], [1], ["?"], ["s"], ["s", 1], ["s", "a", "b"], ["i", "x"], ["i", 3], ["b", "2"], ["l", "ab"],
        ["l", 3], ["d", [["k"]]], ["d", [[["l", []], ["n"]]]], ["f", 0, "f"], ["n", 1], ["x", "1" * 9999 + "z"], ["y",
        "!"], ["dt", "now"], ["td", "1"], ["u", "1"], ["D", "one"], {"s": "x"}, ["S", [["l", []]]], ["s", "\ud800"],
    ],
)  # fmt: skip
def test_what_is_forged_is_refused(wire: Any) -> None:
    with pytest.raises(NotPlain):
        decode(wire)


def test_functions_are_called_by_value() -> None:
    kept: list[Any] = []

    def keeps(rows: list[int]) -> list[int]:
        kept.append(rows)
        rows.append(9)
        return rows

    function = by_value(keeps)
    mine = [1]
    got = function(mine)
    assert (mine, got) == ([1], [1, 9]) and got is not kept[0]
    assert type(function) is Function and function.name == "keeps" and by_value(function) is function


def fails_at(x: int) -> float:
    return 1 / (x - x)


@pytest.mark.parametrize(
    ("function", "says", "line", "state"),
    [
        (fails_at, "`fails_at(7)` raised ZeroDivisionError: division by zero", "return 1 / (x - x)", "error"),
        (lambda x: object(), "gave back no plain data", "", "error"),
        (lambda x: exit(3), "raised SystemExit", "lambda x: exit(3)", "error"),
        (lambda: 0, "takes 0 positional arguments", "", "error"),
        (lambda x: [None] * 10**18, "more memory", "", "out of memory"),
    ],
)
def test_a_function_that_fails_says_where(function: Any, says: str, line: str, state: str) -> None:
    with pytest.raises(FunctionFailed) as failed:
        by_value(function)(7)
    assert says in str(failed.value) and line in failed.value.line and failed.value.state == state


def endless(x: int) -> None:
    while True:
        try:
            x += 1
        except Exception:
            continue


def test_a_function_that_never_ends_is_ended_also_beside_the_main_thread() -> None:
    states: list[str] = []

    def run() -> None:
        with pytest.raises(FunctionFailed) as failed:
            InProcess().call(endless, (1,), {}, 0.05)
        states.append(failed.value.state)

    run()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert states == ["timed out", "timed out"]


def saga(amount: int) -> Any:
    try:
        ticket = yield ("call", "payments", {"amount": amount})
    except TimeoutError as late:
        return f"late: {late}"
    again = yield ("call", "mail", {"ticket": ticket})
    return again


def test_a_clock_stands_still_while_somebody_else_works_without_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_has_alarm", lambda: False)

    def running() -> list[threading.Timer]:
        timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
        return [timer for timer in timers if timer.function is local._raise_in and not timer.finished.is_set()]

    with local.deadline(60):
        (before,) = running()
        with local.paused():
            assert running() == []
            with local.deadline(50):
                assert len(running()) == 1
        (after,) = running()
        assert after is not before and after.interval < before.interval
    assert running() == []
    with pytest.raises(local.Overdue), local.deadline(0.02):
        with local.paused():
            pass
        while True:
            pass


def test_generators_yield_requests_to_a_driver() -> None:
    steps = by_value(saga).steps(5)
    assert steps.send(None) == (False, ("call", "payments", {"amount": 5}))
    assert steps.send("T1") == (False, ("call", "mail", {"ticket": "T1"}))
    assert steps.send(True) == (True, True)
    other = by_value(saga).steps(5)
    other.send(None)
    assert other.throw("TimeoutError", "5 s") == (True, "late: 5 s")
    by_value(saga).steps(5).close()
    with pytest.raises(FunctionFailed, match="no generator"):
        by_value(fails_not).steps(5)


def fails_not(x: int) -> int:
    return x


def test_numbers() -> None:
    assert is_number(3) and is_number(2.5)
    assert not any(map(is_number, (True, math.nan, "3", None, Number(3), decimal.Decimal(3))))


def test_dates_cross() -> None:
    for value in (
        dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.UTC),
        dt.date(2026, 1, 2),
        dt.timedelta(-1, 5),
        uuid.UUID(int=7),
    ):
        assert same(decode(encode(value)), value)
