"""Building runs what it stores, stops at an error, and refuses what cannot be committed."""

from __future__ import annotations

import _thread
import json
import threading
import time
from pathlib import Path

import psutil
import pytest

from workbook.cli import build
from workbook.cli.build.running import DoesNotBuild
from workbook.cli.house import House


def stored(home: House, target: str) -> dict[str, dict[str, object]]:
    notebook = json.loads((home.root / target).read_text(encoding="utf-8"))
    return {cell["id"]: cell for cell in notebook["cells"]}


def test_lessons_and_solutions_are_stored_with_outputs_and_labs_without(built: House) -> None:
    for target in ("notebooks/00_lesson.ipynb", "solutions/00_toys.ipynb"):
        counts = [cell["execution_count"] for cell in stored(built, target).values() if cell["cell_type"] == "code"]
        assert counts == list(range(1, len(counts) + 1))
    for cell in stored(built, "labs/00_toys.ipynb").values():
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)


def test_a_solution_stores_verdicts_with_full_marks(built: House) -> None:
    cells = stored(built, "solutions/00_toys.ipynb")
    for id, points in (("toys-one", 2), ("toys-two", 3), ("toys-three", 1)):
        data = cells[f"{id}-check"]["outputs"][0]["data"]
        assert f"✓ {id}" in "".join(data["text/plain"])
        assert f"{points} of {points} point" in "".join(data["text/html"])


def test_nothing_of_this_machine_or_hour_is_stored(built: House) -> None:
    for path in built.root.rglob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert str(built.root) not in text
        assert "shell.execute_reply" not in text and "iopub" not in text
        assert '"version": "3.' not in text
        assert text.endswith("}\n") and "\r" not in text


def test_an_intended_failure_keeps_its_last_line_only(built: House) -> None:
    outputs = [cell["outputs"] for cell in stored(built, "notebooks/00_lesson.ipynb").values() if cell.get("outputs")]
    assert outputs[-1][0]["traceback"] == ["ZeroDivisionError: division by zero"]


def test_what_was_built_is_not_stale_and_building_again_gives_the_same(built: House, home: House) -> None:
    for book in build.books(built):
        assert build.differences(built, book) == []
        assert not build.old_code(built, book)
    lab = build.books(home, ["lab_00_toys"])[0]
    build.make(home, lab, show=False)
    for target in lab.targets:
        assert (home.root / target).read_bytes() == (built.root / target).read_bytes()
    assert not [one for one in psutil.Process().children(recursive=True) if "ipykernel_launcher" in one.cmdline()]


def wrong(home: House, cell: str) -> str:
    """What the build says of a lesson with this cell; nothing may be stored."""
    (home.book / "00_lesson.py").write_text(f"# %%\nbefore = 1\n\n{cell}\n", encoding="utf-8")
    with pytest.raises(DoesNotBuild) as caught:
        build.make(home, build.books(home, ["00_lesson"])[0], show=False)
    assert not (home.notebooks / "00_lesson.ipynb").exists()
    assert caught.value.exit_code == 1
    return str(caught.value)


def test_an_error_stops_the_build_and_shows_the_cell(home: House) -> None:
    said = wrong(home, "# %%\nx = 4711\nassert x == 815, 'refuted no longer'")
    assert "book/00_lesson.py, cell 2" in said and "AssertionError: refuted no longer" in said
    assert "    x = 4711\n    assert x == 815" in said


def test_an_answer_below_full_marks_stops_the_build_of_a_solution(home: House) -> None:
    path = home.book / "lab_00_toys.py"
    path.write_text(path.read_text(encoding="utf-8").replace("    20\n", "    19\n"), encoding="utf-8")
    with pytest.raises(DoesNotBuild, match="BelowFullMarks") as caught:
        build.make(home, build.books(home, ["lab_00_toys"])[0], show=False)
    assert "(toys-two-check)" in str(caught.value)
    assert not (home.root / "labs" / "00_toys.ipynb").exists()


def test_an_output_that_names_this_machine_is_refused(home: House) -> None:
    assert "names this machine" in wrong(home, "# %%\nimport os\nprint(os.getcwd())")


def test_an_address_in_a_compared_output_is_refused(home: House) -> None:
    assert "an address in memory" in wrong(home, '# %% tags=["nbval-check-output"]\nobject()')


def test_a_keyboard_interrupt_ends_the_kernel_and_stores_nothing(home: House, tmp_path: Path) -> None:
    """It comes when the cell is seen to run, from a thread as from a terminal."""
    sign = tmp_path / "runs"
    cell = f"import os, time\nopen({str(sign)!r}, 'w').write(str(os.getpid()))\nwhile True: time.sleep(1)"
    (home.book / "00_lesson.py").write_text(f"# %%\n{cell}\n", encoding="utf-8")

    def interrupt() -> None:
        until = time.monotonic() + 60
        while not (sign.exists() and sign.read_text()) and time.monotonic() < until:
            time.sleep(0.01)
        _thread.interrupt_main()

    watcher = threading.Thread(target=interrupt, daemon=True)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        build.make(home, build.books(home, ["00_lesson"])[0], show=False)
    watcher.join()
    assert not psutil.pid_exists(int(sign.read_text()))
    assert not (home.notebooks / "00_lesson.ipynb").exists()


PLAYS = """# %%
from workbook.draw.picture import Canvas, Picture
from workbook.draw.player import Frame, Player

def drawn(number):
    canvas = Canvas(80, 40, "a number")
    canvas.label(10, 30, str(number))
    return Frame((Picture(canvas.svg(), f"it is {number}"),), f"You count to {number}.")

# %%
Player(drawn, 5, title="Counting")

# %% tags=["nbval-check-output"]
Player(drawn, 5, title="Counting", still=1)
"""


def test_of_what_can_be_stepped_through_only_the_still_is_stored(home: House) -> None:
    (home.book / "00_lesson.py").write_text(PLAYS, encoding="utf-8")
    lesson = build.books(home, ["00_lesson"])[0]
    target, texts = home.notebooks / "00_lesson.ipynb", []
    for _ in range(2):
        build.make(home, lesson, show=False)
        texts.append(target.read_bytes())
    assert texts[0] == texts[1]
    notebook = json.loads(texts[0])
    assert "widgets" not in notebook["metadata"] and b"model_id" not in texts[0]
    stills = [cell["outputs"][0]["data"] for cell in notebook["cells"] if cell.get("outputs")]
    assert [set(still) for still in stills] == [{"image/svg+xml", "text/plain"}] * 2
    for still, number in zip(stills, (5, 2), strict=True):
        assert f"Counting · {number} of 5" in "".join(still["image/svg+xml"])
        assert (
            "".join(still["text/plain"])
            == f"Counting · {number} of 5: You count to {number - 1}.\n  it is {number - 1}"
        )
    assert not build.differences(home, lesson)


def test_a_widget_without_a_still_is_refused(home: House) -> None:
    assert "no still picture" in wrong(home, "# %%\nimport ipywidgets\nipywidgets.IntSlider()")


def test_a_kernel_that_dies_is_a_sentence(home: House) -> None:
    assert "ends its kernel" in wrong(home, "# %%\nimport os\nos._exit(1)")


def test_a_build_leaves_no_record_of_progress(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBOOK_MY_WORK", str(home.root / "my-work"))
    build.make(home, build.books(home, ["lab_00_toys"])[0], show=False)
    assert not (home.root / "my-work").exists()
