"""Where two pieces of JSON part: the first place, and which kind of mistake it is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbook.grading.parting import parting

ORDERS = [{"order": 7, "lines": [{"no": 1, "note": None}, {"no": 2, "note": "x"}]}, {"order": 9, "lines": []}]


def lines(*numbers: int) -> list[dict[str, Any]]:
    return [{"order": 7, "lines": [{"no": number, "note": None} for number in numbers]}]


@pytest.mark.parametrize(
    ("got", "wanted", "how", "text"),
    [
        (lines(1, 2), lines(1, 2, 3), "cut", '`[0]["lines"]` ends after 2 of 3: no 3 is the first that is not there'),
        (lines(1, 3), lines(1, 2, 3), "lacks", '`[0]["lines"]` lacks no 2'),
        (lines(), lines(1), "lacks", '`[0]["lines"]` lacks no 1'),
        (lines(1, 1, 2, 2), lines(1, 2), "repeats", '`[0]["lines"]` holds no 1 2 times'),
        (lines(1, 2, 2), lines(1, 2), "repeats", '`[0]["lines"]` holds no 2 2 times'),
        (lines(1, 5, 2), lines(1, 2, 3), "more", '`[0]["lines"]` holds no 5, which does not belong there'),
        (lines(1, 2, 4), lines(1, 2), "more", '`[0]["lines"]` holds no 4, which does not belong there'),
        (lines(1), lines(), "more", '`[0]["lines"]` holds 1 where there is nothing'),
        (lines(2, 1), lines(1, 2), "order", '`[0]["lines"]` is in another order: no 2 comes too early'),
        (ORDERS[::-1], ORDERS, "order", "it is in another order: order 9 comes too early"),
        ([{"order": 7, "n": 6}], [{"order": 7, "n": 2}], "larger", '`[0]["n"]` is 6, not 2'),
        ([{"order": 7, "n": 1}], [{"order": 7, "n": 2}], "value", '`[0]["n"]` is 1, not 2'),
        ([{"order": 7, "n": True}], [{"order": 7, "n": 1}], "value", '`[0]["n"]` is True, not 1'),
        ([{"order": 7, "n": Decimal(2)}], [{"order": 7, "n": 2}], "value", "`[0][\"n\"]` is Decimal('2'), not 2"),
        ([{"order": 7}], ORDERS[:1], "shape", "`[0]` has order, not order, lines"),
        (["7"], ORDERS[:1], "more", "it holds order 7, which does not belong there"),
        (None, ORDERS, "shape", "it is NoneType, no list"),
        ([1, 2, 4], [1, 2, 3], "more", "it holds entry 4, which does not belong there"),
    ],
)
def test_the_first_place_is_told(got: Any, wanted: Any, how: str, text: str) -> None:
    found = parting(got, wanted)
    assert found is not None
    assert (found.how, found.text) == (how, text)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", min_size=1, max_size=1), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(PLAIN, PLAIN)
def test_they_part_exactly_where_they_are_not_the_same(one: Any, other: Any) -> None:
    assert parting(one, one) is None
    assert (parting(one, other) is None) == (typed(one) == typed(other))


def typed(value: Any) -> Any:
    """A value with the types in it, so that 1 and True differ."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    return [typed(inner) for inner in value] if isinstance(value, list) else (type(value), value)


def test_a_tuple_is_a_list() -> None:
    assert parting(({"order": 7, "lines": ()},), [{"order": 7, "lines": []}]) is None
    assert parting([(1, ("x",)), {"a": ()}], [[1, ["x"]], {"a": []}]) is None
