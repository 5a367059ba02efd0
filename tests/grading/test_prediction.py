"""Predictions stand before the measurement, bind the first time, and block nothing."""

from __future__ import annotations

from typing import Any

import pytest

from workbook.grading.prediction import Said, advice, calibration, predict
from workbook.grading.progress import progress
from workbook.grading.record import record

pytestmark = pytest.mark.usefixtures("my_work")


def test_an_interval_and_its_gap() -> None:
    guess = predict("pages", between=(9000, 3000))
    assert str(guess) == "Prediction pages: between 3,000 and 9,000."
    gap = guess.measured(17_938, "pages")
    assert str(gap) == "predicted 3,000 to 9,000 pages · measured 17,938 pages · above the interval"
    assert gap.held is False and "image/svg+xml" in gap._repr_mimebundle_()
    assert predict("inside", between=(1, 10)).measured(10).held


def test_the_first_binds() -> None:
    first = predict("pages", between=(3000, 9000))
    assert "It stands as you made it first." in str(predict("pages", between=(1, 2)))
    first.measured(17_938)
    after = predict("pages", between=(17_000, 18_000))
    assert "(measured: 17,938). It stands as you made it before measuring." in str(after)
    assert after.said == {"between": [3000, 9000]} and after.measured(17_938).held is False
    assert "It stands" not in str(predict("pages", between=(3000, 9000)))


@pytest.mark.parametrize("blank", [{"between": (..., ...)}, {"between": (5,)}, {}])
def test_a_copy_that_is_blank_again_is_told_what_stands(blank: dict[str, Any]) -> None:
    predict("pages", between=(1, 2))
    assert str(predict("pages", **blank)) == "Prediction pages: between 1 and 2. It stands as you made it first."
    predict("pages", between=(1, 2)).measured(3)
    assert str(predict("pages", **blank)).endswith("(measured: 3). It stands as you made it before measuring.")


def test_nothing_measured_is_no_measurement() -> None:
    assert (
        str(predict("pages", between=(1, 10)).measured(None))
        == "predicted between 1 and 10 · measured None · nothing to compare"
    )
    predict("pages").measured(5)
    (point,) = calibration(record().predictions().values())
    assert point.held == 1
    predict("other").measured(None)
    assert not predict("other", between=(1, 2)).note


def test_said_after_measuring_does_not_count() -> None:
    assert "not made yet" in str(predict("pages", between=(..., ...)))
    seen = predict("pages", between=(..., ...)).measured(42)
    assert str(seen) == "not predicted · measured 42" and seen.held is None
    late = predict("pages", between=(41, 43))
    assert "does not count" in str(late) and "does not count" in str(late.measured(42))
    assert calibration(record().predictions().values()) == []


def test_the_first_measurement_counts() -> None:
    guess = predict("pages", between=(1, 10))
    guess.measured(5)
    guess.measured(50)
    assert [point.held for point in calibration(record().predictions().values())] == [1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "Replace the `...`"),
        ({"said": ...}, "Replace the `...`"),
        ({"between": ...}, "Replace the `...`"),
        ({"between": (1, ...)}, "Replace the `...`"),
        ({"between": 5}, "An interval is two numbers"),
        ({"between": ("a", "b")}, "An interval is two numbers"),
        ({"between": (1, float("nan"))}, "An interval is two numbers"),
        ({"said": 5}, "5 is not understood"),
        ({"confidence": 0.5}, "needs a choice"),
        ({"choice": "b", "confidence": 80}, "from 0 (no idea) to 1"),
        ({"choice": ..., "confidence": 0.8}, "Replace the `...`"),
    ],
)
def test_nothing_blocks(arguments: dict[str, Any], says: str) -> None:
    guess = predict("pages", **arguments)
    assert guess.said is None and says in str(guess)
    assert guess.measured(5).held is None
    assert record().prediction("pages").said is None  # type: ignore[union-attr]


def test_choices_and_no_idea() -> None:
    guess = predict("plan", choice="bitmap", confidence=0.7)
    assert str(guess.measured("Bitmap ")) == "predicted bitmap, 70% sure · measured Bitmap  · ✓ it held"
    assert predict("other", choice="a", confidence=1).measured("b").held is False
    idea = predict("third", "no idea")
    assert str(idea) == "Prediction third: no idea." and idea.measured(3).held is None
    assert "text/html" in idea.measured("x")._repr_mimebundle_()


def test_a_choice_without_a_confidence_is_asked_for_it_and_does_not_bind() -> None:
    assert "How sure are you?" in str(predict("plan", choice="bitmap"))
    assert predict("plan", choice="scan", confidence=0.6).said == {"choice": "scan", "confidence": 0.6}


def test_in_a_notebook_an_assigned_prediction_that_is_not_made_says_so() -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    cells = ["between=(..., ...)", "between=(4,)", "choice='a', confidence=60", "between=(1, 2)", "between=(1, 3)"]
    try:
        with capture_output() as shown:
            shell.run_cell("from workbook import predict")
            for cell in cells:
                shell.run_cell(f"guess = predict('aloud', {cell})")
    finally:
        InteractiveShell.clear_instance()
    lines = shown.stdout.strip().splitlines()
    for line, words in zip(lines, ["Replace the `...`", "two numbers", "sixty per cent", "It stands"], strict=True):
        assert words in line


class Exact:
    value = 12


def test_values_of_plans_and_others() -> None:
    from decimal import Decimal

    for value, plain in ((Exact(), 12), (Decimal("2.5"), 2.5), (7, 7), ("x", "x"), (None, None)):
        assert predict("v", between=(0, 1)).measured(value).value == plain


def said(hits: int, misses: int) -> list[Said]:
    return [Said({"between": [0, 1]}, 0.5, False)] * hits + [Said({"between": [0, 1]}, 9, False)] * misses


def test_calibration_counts_by_confidence() -> None:
    points = calibration([*said(3, 1), Said({"choice": "a", "confidence": 0.52}, "a", False), Said(None, 3, False)])
    assert [(point.claimed, point.held, point.count) for point in points] == [(0.52, 1, 1), (0.8, 3, 4)]
    assert all(point.low <= point.held / point.count <= point.high for point in points)


@pytest.mark.parametrize(
    ("predictions", "says"),
    [
        (said(0, 0), "No prediction"),
        (said(1, 1), "Too few"),
        (said(1, 9), "surer than you can be"),
        (said(30, 0), "know more than you say"),
        (said(8, 2), "Well judged"),
    ],
)
def test_advice(predictions: list[Said], says: str) -> None:
    assert says in advice(calibration(predictions))


class Several:
    """What stands in for an array: it has no one value."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]

    def item(self) -> float:
        raise ValueError("only arrays of one element")


def test_what_is_no_number_is_said_in_a_sentence_and_stays_harmless() -> None:
    for odd in (10**400, 1e308, float("nan"), Several(), [1, 2]):
        assert "not made yet" in str(predict("odd-a", between=(0, odd)))
        assert "not made yet" in str(predict("odd-a", choice="x", confidence=odd))
    assert "not understood" in str(predict("odd-a", Several()))
    for number, (odd, told) in enumerate(((10**400, "inf"), (Several(), "Several object"), (None, "None"))):
        gap = predict(f"odd-{number}", between=(0, 5)).measured(odd)
        assert str(gap).startswith("predicted between 0 and 5 · measured ") and told in str(gap)
    assert str(progress())
