"""`workbook update`: the new version comes in, and whatever happens to the files, no answer goes."""

from __future__ import annotations

import copy
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.cli.desk import ANSWER, LAB, LESSON, Desk, desk
from workbook.cli import merging
from workbook.cli.build import source
from workbook.cli.build import write as written
from workbook.cli.copies import read

__all__ = ["desk"]
MEND = "start-mend-answer"
REWORDED = LAB.replace("Something is wrong", "Nothing is right").replace("# # A lab\n", "# # A lab\n#\n# New.\n")
"""A version in which two given cells read otherwise."""
BROKEN = ["x", "", "[]", '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', '{"cells": [3]}', "\0\xff"]


def shown(desk: Desk, name: str = "00_lab") -> list[str]:
    """The texts below cells that show another version."""
    return [
        cell.source
        for cell in read(desk.copy(name).mine).cells
        if {merging.NEW, merging.OLD} & set(cell.metadata.get("tags", []))
    ]


# With a base


def test_copies_are_made_where_there_are_none(desk: Desk) -> None:
    assert MEND in desk.cells() and "mended = ..." in desk.cells("00_toy").values()
    assert read(desk.copy().mine) == read(desk.copy().base)
    code, out, _ = desk.run("update")
    assert code == 0 and out == "Nothing to do: all 2 notebooks are the newest.\n"


def test_a_new_version_comes_in_and_what_the_learner_wrote_stays(desk: Desk) -> None:
    desk.write(MEND, ANSWER)
    desk.add("my_own = 1", after="start-mend-check")
    before = desk.copy().mine.read_bytes()
    desk.publish(lab=REWORDED, version="0.2.0")
    code, out, _ = desk.run("update")
    cells = list(desk.cells().values())
    assert code == 0 and "updated: labs/00_lab.ipynb: 2 cells new or changed" in out
    assert "# A lab\n\nNew." in cells and any("Nothing is right" in text for text in cells)
    assert ANSWER in cells and cells[-1] == "my_own = 1" and not shown(desk)
    kept = desk.home.base / "kept" / "labs" / "00_lab.before-update-1.ipynb"
    assert kept.read_bytes() == before and desk.home.shown(kept) in out
    assert desk.run("update")[1].startswith("Nothing to do")


def test_an_untouched_answer_gets_the_new_stub(desk: Desk) -> None:
    desk.publish(lab=LAB.replace("mended", "rewritten"))
    desk.run("update")
    assert desk.cells()[MEND].startswith("rewritten = (") and not shown(desk)


def test_where_both_changed_a_cell_the_learners_stays_and_the_new_one_is_text_below(desk: Desk) -> None:
    desk.write(MEND, ANSWER)
    desk.publish(lab=LAB.replace("mended", "rewritten"), version="0.2.0")
    assert "1 where yours stays" in desk.report("update")[1]["00_lab"]["what"]
    order = list(desk.cells())
    assert desk.cells()[MEND] == ANSWER and order[order.index(MEND) + 1].startswith("new-")
    (text,) = shown(desk)
    assert "version 0.2.0" in text and "rewritten = (" in text
    assert [cell.cell_type for cell in read(desk.copy().mine).cells if cell.id.startswith("new-")] == ["markdown"]


def test_a_cell_that_is_gone_goes_unless_the_learner_changed_it(desk: Desk) -> None:
    desk.write("read-on", "## Read on\n\nI have.", "00_toy")
    desk.publish(lesson=LESSON.replace("# %%\nrows = 1000\n", "").partition("# %% [markdown]\n# ## Read on")[0])
    assert "1 gone" in desk.report("update")[1]["00_toy"]["what"]
    texts = list(desk.cells("00_toy").values())
    assert "rows = 1000" not in texts and texts[-1] == "## Read on\n\nI have."


def test_a_cell_that_the_learner_deleted_stays_deleted(desk: Desk) -> None:
    notebook = read(desk.copy().mine)
    notebook.cells = [cell for cell in notebook.cells if cell.id != "1-mend-it"]
    written(notebook, desk.copy().mine)
    desk.publish(lab=LAB.replace("# # A lab\n", "# # A lab\n#\n# New.\n"))
    desk.run("update")
    assert "1-mend-it" not in desk.cells() and desk.cells()["a-lab"] == "# A lab\n\nNew."


@pytest.mark.parametrize("base", ["there", "missing"])
def test_an_answer_to_a_cell_with_another_id_is_the_same_answer(desk: Desk, base: str) -> None:
    """A cell of a lesson is named after its text: a changed stub has another id, and run below the answer it would undo it."""
    old = next(id for id, text in desk.cells("00_toy").items() if text == "mended = ...")
    desk.write(old, ANSWER, "00_toy")
    desk.publish(lesson=LESSON.replace("mended = ...", "mended = ...  # your query"))
    if base == "missing":
        desk.lose_bases()
    desk.run("update")
    cells = read(desk.copy("00_toy").mine).cells
    assert [cell.source for cell in cells if cell.cell_type == "code" and "mended" in cell.source] == [ANSWER]
    assert old not in desk.cells("00_toy") and "# your query" in shown(desk, "00_toy")[0]


def test_metadata_comes_in_and_the_learners_tags_stay(desk: Desk) -> None:
    path = desk.copy().mine
    notebook = read(path)
    cell = next(cell for cell in notebook.cells if cell.id == MEND)
    cell.metadata.update(tags=["mine"], nbgrader={"broken": True}, collapsed=True)
    notebook.metadata["mine"] = 1
    written(notebook, path)
    desk.publish(lab=REWORDED)
    desk.run("update")
    notebook = read(path)
    cell = next(cell for cell in notebook.cells if cell.id == MEND)
    assert cell.metadata["tags"] == ["mine"] and cell.metadata["nbgrader"]["solution"] and cell.metadata["collapsed"]
    assert notebook.metadata["mine"] == 1 and notebook.metadata["workbook"]["seed"] > 1


@pytest.mark.parametrize("base", ["there", "missing"])
def test_notebooks_whose_ids_another_program_dropped(desk: Desk, base: str) -> None:
    """nbgrader's metadata, the exercise, the text or the names that are bound say which cell it was."""
    desk.write(MEND, ANSWER)
    desk.write(next(id for id, text in desk.cells("00_toy").items() if text == "mended = ..."), ANSWER, "00_toy")
    for name in ("00_lab", "00_toy"):
        path = desk.copy(name).mine
        data = json.loads(path.read_text())
        data["nbformat_minor"] = 4
        for cell in data["cells"]:
            del cell["id"]
        path.write_text(json.dumps(data))
    if base == "missing":
        desk.lose_bases()
    desk.publish(lesson=LESSON.replace("There is more", "There is less"), lab=REWORDED)
    desk.run("update")
    for name in ("00_lab", "00_toy"):
        built = [cell.id for cell in read(desk.copy(name).built).cells]
        assert list(desk.cells(name).values()).count(ANSWER) == 1
        assert [id for id in desk.cells(name) if not id.startswith("old-")] == built
    assert desk.cells()[MEND] == ANSWER


# Without a base


def lost(desk: Desk) -> None:
    desk.lose_bases()


def broken(desk: Desk) -> None:
    desk.copy().base.write_text("x")


def a_folder(desk: Desk) -> None:
    desk.copy().base.unlink()
    (desk.copy().base / "inside").mkdir(parents=True)


def of_another_version(desk: Desk) -> None:
    """As after a reset that was taken back: the base is newer than the file."""
    desk.publish(lab=LAB + "# %%\n1 + 1\n")
    mine = desk.copy().mine.read_bytes()
    desk.run("update")
    desk.copy().mine.write_bytes(mine)


@pytest.mark.parametrize("what", [lost, broken, a_folder, of_another_version])
def test_without_a_base_no_answer_goes(desk: Desk, what: Any) -> None:
    desk.write(MEND, ANSWER)
    desk.write("a-lab", "# A lab\n\nI began on Monday.")
    desk.add("my_own = 1", after=MEND)
    what(desk)
    desk.publish(lab=REWORDED, version="0.2.0")
    before = desk.copy().mine.read_bytes()
    code, report = desk.report("update")
    cells = desk.cells()
    assert code == 0 and report["00_lab"]["state"] == "updated"
    assert cells[MEND] == ANSWER and "my_own = 1" in cells.values()
    assert "Nothing is right" in cells["1-mend-it"] and cells["a-lab"] == "# A lab\n\nNew."
    assert len(shown(desk)) == 2 and "> I began on Monday." in shown(desk)[0]
    said = report["00_lab"]["what"]
    assert "that you may have written in" in said and "what may be yours was left" in said
    assert (desk.home.root / report["00_lab"]["kept"]).read_bytes() == before
    assert read(desk.copy().base) and desk.run("update")[1].startswith("Nothing to do")


def test_without_a_base_and_without_a_new_version_nothing_is_touched(desk: Desk) -> None:
    desk.write(MEND, ANSWER)
    desk.write("1-mend-it", "## 1. Mend it\n\nMy notes.")
    before = desk.copy().mine.read_bytes()
    desk.lose_bases()
    assert desk.run("update")[1].startswith("Nothing to do")
    assert desk.copy().mine.read_bytes() == before and desk.copy().base.exists()
    desk.publish(lab=REWORDED)
    desk.run("update")
    assert desk.cells()["1-mend-it"] == "## 1. Mend it\n\nMy notes." and "Nothing is right" in shown(desk)[0]


def test_without_a_base_a_prediction_and_an_answer_in_a_check_stay(desk: Desk) -> None:
    desk.write("toy-pages-predict", 'guess = predict("toy-pages", between=(3, 9))', "00_toy")
    desk.write("start-mend-check", 'check("start-mend", "SELECT 1")')
    desk.lose_bases()
    desk.publish(lesson=LESSON.replace("There is more", "There is less"), lab=REWORDED)
    desk.run("update")
    assert desk.cells("00_toy")["toy-pages-predict"].endswith("between=(3, 9))")
    assert desk.cells()["start-mend-check"] == 'check("start-mend", mended)'
    assert any('check("start-mend", "SELECT 1")' in text for text in shown(desk))


def test_without_a_base_what_the_learner_only_added_to_a_given_text_is_no_question(desk: Desk) -> None:
    desk.write("1-mend-it", "## 1. Mend it\n\nSomething is wrong with it.\n\nIt is the index.")
    desk.lose_bases()
    desk.publish(lab=LAB.replace("# # A lab\n", "# # A lab\n#\n# New.\n"))
    desk.run("update")
    assert desk.cells()["1-mend-it"].endswith("It is the index.") and desk.cells()["a-lab"] == "# A lab\n\nNew."
    assert shown(desk) == []


def test_without_a_base_a_cell_named_after_its_text_says_whether_it_was_changed(desk: Desk) -> None:
    desk.write(next(id for id, text in desk.cells("00_toy").items() if text == "rows = 1000"), "rows = 7", "00_toy")
    desk.lose_bases()
    desk.publish(lesson=LESSON.replace("Count the pages", "Guess the pages").replace("There is more", "All else"))
    desk.run("update")
    texts = list(desk.cells("00_toy").values())
    assert "Guess the pages." in texts and "Count the pages." not in texts and "rows = 7" in texts


def test_without_a_base_renumbered_headings_do_not_stand_twice(desk: Desk) -> None:
    desk.write(MEND, ANSWER)
    desk.lose_bases()
    desk.publish(lab=LAB.replace("## 1. Mend it", "## 2. Mend it"))
    desk.run("update")
    assert "2-mend-it" in desk.cells() and "1-mend-it" not in desk.cells() and desk.cells()[MEND] == ANSWER


def test_without_a_base_an_answer_to_another_stub_shows_the_new_one(desk: Desk) -> None:
    desk.write(MEND, ANSWER)
    desk.lose_bases()
    desk.publish(lab=LAB.replace("mended", "rewritten"))
    desk.run("update")
    assert desk.cells()[MEND] == ANSWER and any("rewritten = (" in text for text in shown(desk))


def test_a_base_without_cells_takes_nothing(desk: Desk) -> None:
    desk.write(MEND, ANSWER)
    base = read(desk.copy().base)
    base.cells = []
    written(base, desk.copy().base)
    desk.publish(lab=REWORDED)
    desk.run("update")
    assert desk.cells()[MEND] == ANSWER and any("Nothing is right" in text for text in shown(desk))


def test_bases_that_are_lost_twice_show_a_new_stub_once(desk: Desk) -> None:
    desk.write(MEND, ANSWER)
    for lab in (LAB.replace("mended", "rewritten"), REWORDED.replace("mended", "rewritten")):
        desk.lose_bases()
        desk.publish(lab=lab)
        desk.run("update")
    assert desk.cells()[MEND] == ANSWER and [text.count("rewritten = (") for text in shown(desk)].count(1) == 1


def test_whoever_leaves_the_hidden_files_behind_keeps_the_seed(desk: Desk) -> None:
    seed = read(desk.copy().mine).metadata["workbook"]["seed"]
    desk.lose_bases()
    (desk.home.my_work / ".workbook.json").unlink()
    desk.copy("00_toy").mine.unlink()
    desk.run("update")
    assert read(desk.copy("00_toy").mine).metadata["workbook"]["seed"] == seed


# What is wrong with one notebook


@pytest.mark.parametrize("where", ["mine", "built"])
@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_notebook_is_left_alone_and_the_others_are_not(desk: Desk, where: str, text: str) -> None:
    path: Path = getattr(desk.copy("00_toy"), where)
    path.write_text(text)
    desk.publish(lab=REWORDED) if where == "mine" else None
    code, report = desk.report("update")
    assert code == 1 and report["00_toy"]["state"] == "left alone"
    advice = "workbook reset 00_toy" if where == "mine" else "git checkout -- notebooks/00_toy.ipynb"
    assert "is no notebook any more" in report["00_toy"]["what"] and advice in report["00_toy"]["what"]
    assert report["00_lab"]["state"] == ("updated" if where == "mine" else "unchanged")
    assert path.read_text() == text


def test_a_folder_in_place_of_a_notebook_stops_no_other(desk: Desk) -> None:
    desk.copy("00_toy").mine.unlink()
    desk.copy("00_toy").mine.mkdir()
    desk.publish(lab=REWORDED)
    code, out, _ = desk.run("update")
    assert code == 1 and "updated: labs/00_lab.ipynb" in out
    assert "left alone: notebooks/00_toy.ipynb" in out and "is a folder" in out and "workbook reset 00_toy" in out


def test_what_the_system_refuses_is_one_sentence_for_one_notebook(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.read_text

    def refused(path: Path, *arguments: Any, **more: Any) -> str:
        if path == desk.copy("00_toy").mine:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **more)

    desk.publish(lab=REWORDED)
    monkeypatch.setattr(Path, "read_text", refused)
    code, report = desk.report("update")
    assert code == 1 and report["00_lab"]["state"] == "updated"
    assert "Permission denied. Next: see who owns it" in report["00_toy"]["what"]


def test_a_file_in_place_of_the_folder_of_bases(desk: Desk) -> None:
    desk.write(MEND, ANSWER)
    desk.lose_bases()
    desk.home.base.write_text("")
    desk.publish(lab=REWORDED)
    before = desk.copy().mine.read_bytes()
    code, report = desk.report("update")
    assert code == 1 and report["00_lab"]["state"] == "left alone" and desk.copy().mine.read_bytes() == before


# Broken off


@pytest.mark.parametrize("number", range(1, 7))
def test_broken_off_before_any_change_on_the_disk_nothing_is_half_or_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The process ends before the n-th file is put in its place; the next update ends where an unbroken one would."""
    desk.write(MEND, ANSWER)
    desk.add("my_own = 1", after=MEND)
    desk.write(next(id for id, text in desk.cells("00_toy").items() if text == "mended = ..."), ANSWER, "00_toy")
    new = {
        "lesson": LESSON.replace("mended = ...", "mended = ...  # query"),
        "lab": REWORDED.replace("mended", "rewritten"),
    }
    whole = {name: desk.copy(name).mine.read_bytes() for name in ("00_toy", "00_lab")}
    desk.publish(**new)
    with monkeypatch.context() as patch:
        left = [number]
        real = Path.replace

        def ends(path: Path, target: Any) -> Path:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            return real(path, target)

        patch.setattr(Path, "replace", ends)
        assert desk.run("update")[0] == 130
    for name, before in whole.items():
        assert desk.copy(name).mine.read_bytes() == before or ANSWER in desk.cells(name).values()
    desk.run("update")
    assert list(desk.cells().values()).count(ANSWER) == 1 and list(desk.cells().values()).count("my_own = 1") == 1
    assert len(shown(desk)) == len(shown(desk, "00_toy")) == 1
    assert [text for text in desk.cells("00_toy").values() if text.startswith("mended")] == [ANSWER]
    assert desk.run("update")[1].startswith("Nothing to do")
    assert not [
        path for path in desk.home.my_work.rglob("*") if path.is_file() and path.suffix not in (".ipynb", ".json")
    ]


def test_a_full_disk_leaves_whole_files(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(MEND, ANSWER)
    desk.publish(lab=REWORDED)
    before = desk.copy().mine.read_bytes()
    real = Path.write_text

    def full(path: Path, text: str, **more: Any) -> int:
        real(path, text[: len(text) // 2], **more)
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        code, report = desk.report("update")
    assert code == 1 and "the disk is full" in report["00_lab"]["what"]
    assert desk.copy().mine.read_bytes() == before and read(desk.copy().base)
    assert [path.name for path in desk.copy().mine.parent.iterdir()] == ["00_lab.ipynb"]
    desk.run("update")
    assert "Nothing is right" in desk.cells()["1-mend-it"] and desk.cells()[MEND] == ANSWER


# Whatever the three are

CHANGES = {
    "rows = 1000": "rows = 2000",
    "Count the pages": "Guess at the pages",
    "mended = ...\n": "mended = ...  # your query\n",
    "There is more": "Nothing is left",
    "1. Mend it": "2. Mend it all",
    "mended = (": "mended = str(",
    "mended)": "mended, 1)",
}
CELLS = range(12)
subsets = some.sets(some.sampled_from(CELLS))


@functools.cache
def whole_version(number: int) -> Any:
    """One of two versions of all cells."""
    text = f"{LESSON}{LAB}"
    for before, after in CHANGES.items() if number else ():
        assert before in text
        text = text.replace(before, after)
    return source.lab(text, f"0.{number}.0")


def version(left_out: set[int], reworded: set[int]) -> Any:
    """A version of a notebook: some cells left out, some reworded."""
    notebook = copy.deepcopy(whole_version(0))
    cells = [whole_version(number in reworded).cells[number] for number in CELLS if number not in left_out]
    notebook.cells = merging._once(copy.deepcopy(cells))
    return notebook


@settings(max_examples=150, deadline=None)
@given(some.tuples(subsets, subsets), some.tuples(subsets, subsets), subsets, some.booleans(), some.booleans(), subsets)
def test_no_word_of_the_learners_goes(
    old: Any, new: Any, edited: set[int], replaced: bool, kept: bool, added: set[int]
) -> None:
    """Cells edited, replaced and added in any old version, merged with any new one, with its base and without."""
    base, coming, mine = version(*old), version(*new), version(*old)
    for number, cell in enumerate(mine.cells):
        if number in edited:
            cell.source = f"mine_{number} = 1" if replaced else f"{cell.source}\nmine_{number} = 1"
    for number in sorted(added):
        mine.cells.insert(number, nbformat.v4.new_code_cell(f"own_{number} = 1"))
    result = merging.merged(base if kept else None, mine, coming).notebook
    words = {word for cell in mine.cells for word in cell.source.split() if word.startswith(("mine_", "own_"))}
    assert words <= {word for cell in result.cells for word in cell.source.split()}
    if not replaced:
        answers = [
            cell
            for cell in mine.cells
            if cell.cell_type == "code" and "mended" in cell.source and "mine_" in cell.source
        ]
        code = [cell.source for cell in result.cells if cell.cell_type == "code"]
        assert all(cell.source in code for cell in answers if "check(" not in cell.source)
    assert len({cell.id for cell in result.cells}) == len(result.cells)
    assert merging.merged(coming, result, coming).notebook == result


# The command on the real notebooks


def workbook(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "workbook.cli", *arguments]
    environment = {**os.environ, "WORKBOOK_MY_WORK": str(folder)}
    return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120)


def test_help_says_what_stays() -> None:
    done = workbook(Path("nowhere"), "update", "--help")
    assert done.returncode == 0 and "--json" in done.stdout and "What you changed or added stays" in done.stdout


def test_the_real_notebooks_without_bases_after_a_new_version(tmp_path: Path) -> None:
    """Every answer and every prediction of every notebook, made from an older version of which no base is left."""
    folder = tmp_path / "my-work"
    copied = json.loads(workbook(folder, "update", "--json").stdout)["notebooks"]
    assert {entry["state"] for entry in copied} == {"copied"} and len(copied) > 10
    answers = {}
    for entry in copied:
        path = folder / entry["notebook"]
        notebook = read(path)
        notebook.metadata["workbook"]["source"] = "an older one"
        for number, cell in enumerate(notebook.cells):
            if cell.metadata.get("nbgrader", {}).get("solution"):
                cell.source = cell.source.replace("...", f'"answer {number}"', 1)
                answers[path, cell.id] = cell.source
            elif cell.id.endswith("-predict"):
                cell.source = cell.source.replace("...", str(number))
                answers[path, cell.id] = cell.source
            elif cell.cell_type == "markdown" and number % 5 == 0:
                cell.source = cell.source.replace(" the ", " an older ")
        notebook.cells.append(nbformat.v4.new_code_cell("my_own = 1", id="0badcafe"))
        written(notebook, path)
    (folder / ".base").rename(tmp_path / "lost")
    done = workbook(folder, "update", "--json")
    report = json.loads(done.stdout)["notebooks"]
    assert done.returncode == 0 and {entry["state"] for entry in report} == {"updated"} and len(answers) > 60
    for entry in report:
        path = folder / entry["notebook"]
        after = {cell.id: cell.source for cell in read(path).cells}
        assert after["0badcafe"] == "my_own = 1"
        assert {id: after.get(id) for at, id in answers if at == path} == {
            id: text for (at, id), text in answers.items() if at == path
        }
        built = [cell.id for cell in read(Path(__file__).parents[2] / entry["notebook"]).cells]
        assert [id for id in after if id in built] == built
    assert workbook(folder, "update").stdout.startswith("Nothing to do")
