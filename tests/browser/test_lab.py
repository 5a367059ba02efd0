"""A learner's first quarter of an hour, in a real JupyterLab in a real browser, in the light and in the dark theme.

Pictures of what was seen are kept where `WORKBOOK_SCREENSHOTS` says, else in pytest's folder for this run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.lab import Desk, browser, learner
from tests.browser.looking import faults, measured
from workbook.exercises.start.mend import EXERCISE

pytestmark = pytest.mark.slow

FIRST = "00_start"
DIALOGS = ".jp-Dialog, .Toastify__toast, .jp-toast"
GREEN, RED, BLUE = "rgb(0, 158, 115)", "rgb(213, 94, 0)", "rgb(0, 114, 178)"
CHECK, CARD = 'check("start-mend", mended)', ".jp-OutputArea-output > div"


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """JupyterLab as it opens, and the browser before it."""
    with learner() as someone, browser() as page:
        desk = Desk(page, someone)
        desk.open()
        yield desk


@pytest.fixture(scope="module")
def ran(desk: Desk) -> Desk:
    """The same, after all cells of the first notebook have run."""
    desk.run_all()
    return desk


def answered(desk: Desk, sql: str, words: str) -> str:
    """Hand a query in as a learner does: type it, run its cell, run the check; the colour of the edge of the card that
    says these words."""
    answer = desk.cell("mended =")
    desk.type(answer, f'mended = """{sql}"""')
    desk.run(answer)
    desk.run(desk.cell(CHECK))
    shows(desk, CHECK, words)
    return edge(desk)


def edge(desk: Desk) -> str:
    colour: str = desk.cell(CHECK).locator(CARD).evaluate("card => getComputedStyle(card).borderLeftColor")
    return colour


def shows(desk: Desk, cell: str, *words: str) -> None:
    """The outputs of a cell say this, now or as soon as they are drawn."""
    for word in words:
        expect(desk.cell(cell).locator(".jp-Cell-outputWrapper")).to_contain_text(word)


def look(desk: Desk, pictures: Path, name: str) -> None:
    """Measure the outputs of all cells in both themes, and keep a picture of each: nothing is wrong with any."""
    wrong, texts = [], 0
    for theme in ("dark", "light"):
        desk.theme(theme)
        for number in range(len(desk.learner.saved(FIRST)["cells"])):
            cell = desk.at(number)
            cell.screenshot(path=pictures / f"{name}-{theme}-{number:02}.png")
            if cell.locator(".jp-OutputArea-output").count():
                wrong += [f"cell {number}, {theme}: {fault}" for fault in faults(cell)]
                texts += len(measured(cell)["contrast"])
    assert not wrong
    assert texts > 80  # it did look


def test_the_first_notebook_opens_and_nothing_asks_anything(desk: Desk, pictures: Path) -> None:
    desk.page.screenshot(path=pictures / "opened.png")
    tabs = desk.page.locator(".lm-DockPanel-tabBar .lm-TabBar-tabLabel").all_inner_texts()
    assert tabs == ["00_start.ipynb"]
    assert desk.at(0).inner_text().strip().startswith("Start: two queries that look alike")
    assert desk.notebook.locator(".jp-Toolbar-kernelName").inner_text() == "Python 3 (ipykernel)"
    assert not desk.page.locator(DIALOGS).all_inner_texts()


def test_run_all_goes_from_top_to_bottom_without_an_error(ran: Desk) -> None:
    code = [cell for cell in ran.learner.saved(FIRST)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert "error" not in [output["output_type"] for output in outputs]
    (printed,) = [output for output in outputs if output["output_type"] == "stream"]
    assert printed["name"] == "stdout" and "Prediction start-pages: not made yet." in "".join(printed["text"])
    assert not ran.page.locator(DIALOGS).all_inner_texts()


def test_an_answer_that_is_not_there_is_blue_wrong_is_red_and_right_is_green(ran: Desk, pictures: Path) -> None:
    assert edge(ran) == BLUE
    variant = EXERCISE.variant(ran.learner.seed)

    assert answered(ran, variant.suspect, "not yet") == RED
    shows(ran, CHECK, "0 of 1 point", "Seen", "Expected", "Question", EXERCISE.misconceptions["index-sees-through"])
    look(ran, pictures, "wrong")

    right = f"SELECT order_id, status FROM orders WHERE order_id = {variant.order_id}"
    assert answered(ran, right, "full marks") == GREEN
    shows(ran, CHECK, "1 of 1 point")
    ran.run(ran.cell("progress()"))
    shows(ran, "progress()", "1 of 1")
    look(ran, pictures, "right")


def test_a_prediction_is_compared_and_shown_in_the_progress(ran: Desk, pictures: Path) -> None:
    guess = ran.cell("guess = predict(")
    ran.type(guess, 'guess = predict("second-pages", between=(1000, 9000))')
    ran.run(guess)
    ran.run(ran.cell("guess.measured(plan.buffers.value)"))
    picture = ran.cell("guess.measured(plan.buffers.value)")
    expect(picture.locator("img")).to_have_count(1)
    assert any("inside the interval" in text for text, _ in measured(picture)["contrast"])
    ran.run(ran.cell("progress()"))
    shows(ran, "progress()", "1 of 1 predictions held")
    look(ran, pictures, "predicted")
