"""`workbook reset`: the notebook begins again, and the old file stays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.cli.desk import ANSWER, LAB, Desk, desk
from workbook.cli.copies import read

__all__ = ["desk"]
MEND = "start-mend-answer"


def test_the_old_file_stays_beside_the_fresh_one_and_can_be_taken_back(desk: Desk) -> None:
    desk.write(MEND, ANSWER)
    before = desk.copy().mine.read_bytes()
    code, out, _ = desk.run("reset", "00_lab")
    aside = desk.copy().mine.with_name("00_lab.before-reset-1.ipynb")
    assert code == 0 and aside.read_bytes() == before and desk.cells()[MEND] != ANSWER
    assert "my-work/labs/00_lab.ipynb begins again; yours is now my-work/labs/00_lab.before-reset-1.ipynb." in out
    assert "rename it back" in out
    aside.replace(desk.copy().mine)
    assert desk.run("update")[1].startswith("Nothing to do") and desk.copy().mine.read_bytes() == before


def test_a_reset_that_was_taken_back_still_gets_the_new_version(desk: Desk) -> None:
    """The base is newer than the file that came back."""
    desk.write(MEND, ANSWER)
    desk.publish(lab=LAB.replace("Something is wrong", "Nothing is right"))
    desk.run("reset", "00_lab")
    desk.copy().mine.with_name("00_lab.before-reset-1.ipynb").replace(desk.copy().mine)
    desk.run("update")
    assert desk.cells()[MEND] == ANSWER and "Nothing is right" in desk.cells()["1-mend-it"]


def test_no_old_file_is_written_over(desk: Desk) -> None:
    for number in range(1, 4):
        desk.write(MEND, f"mended = {number}")
        _, report = desk.report("reset", "labs/00_lab.ipynb")
        assert report["00_lab"]["kept"] == f"my-work/labs/00_lab.before-reset-{number}.ipynb"
    kept = sorted(desk.copy().mine.parent.glob("*.before-reset-*"))
    assert [{cell.id: cell.source for cell in read(path).cells}[MEND] for path in kept] == [
        f"mended = {number}" for number in range(1, 4)
    ]


def test_the_seed_stays(desk: Desk) -> None:
    seed = read(desk.copy().mine).metadata["workbook"]["seed"]
    (desk.home.my_work / ".workbook.json").unlink()
    desk.run("reset", "00_lab")
    assert read(desk.copy().mine).metadata["workbook"]["seed"] == seed
    assert f"seed={seed}" in desk.cells()["start-lab-00_start"]


@pytest.mark.parametrize("name", ["00_lob", "", "labs/00_lab.before-reset-1"])
def test_a_name_that_does_not_exist_gets_a_sentence_with_those_that_do(desk: Desk, name: str) -> None:
    before = desk.copy().mine.read_bytes()
    code, out, err = desk.run("reset", name, "--yes")
    assert code == 2 and out == "" and err.startswith(f"There is no notebook {name!r}.") and "labs/00_lab" in err
    assert desk.copy().mine.read_bytes() == before


def test_all_of_them_only_after_a_yes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(MEND, ANSWER)
    for answer in ("n\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        code, out, err = desk.run("reset", "--json")
        assert (
            code == 1 and out.strip() == "" and "Start all 2 notebooks again?" in err and desk.cells()[MEND] == ANSWER
        )
    code, report = desk.report("reset", "--yes")
    assert code == 0 and {entry["state"] for entry in report.values()} == {"begins again"} and len(report) == 2


def test_what_is_no_notebook_any_more_is_kept_as_well(desk: Desk) -> None:
    desk.copy().mine.write_text("x")
    desk.copy("00_toy").mine.unlink()
    (desk.copy("00_toy").mine / "inside").mkdir(parents=True)
    desk.copy().base.unlink()
    desk.copy().base.mkdir()
    code, _ = desk.report("reset", "--yes")
    assert code == 0 and desk.copy().mine.with_name("00_lab.before-reset-1.ipynb").read_text() == "x"
    assert (desk.copy("00_toy").mine.with_name("00_toy.before-reset-1.ipynb") / "inside").is_dir()
    assert MEND in desk.cells() and desk.run("update")[1].startswith("Nothing to do")


def test_a_notebook_that_is_not_there_is_made(desk: Desk) -> None:
    desk.copy().mine.unlink()
    code, out, _ = desk.run("reset", "00_lab")
    assert code == 0 and out == "my-work/labs/00_lab.ipynb is new.\n" and MEND in desk.cells()


def test_one_that_cannot_be_built_stops_no_other(desk: Desk) -> None:
    desk.copy("00_toy").built.write_text("<<<<<<< HEAD")
    before = desk.copy("00_toy").mine.read_bytes()
    desk.write(MEND, ANSWER)
    code, out, _ = desk.run("reset", "--yes")
    assert code == 1 and "left alone: my-work/notebooks/00_toy.ipynb" in out and "git checkout -- notebooks" in out
    assert desk.copy("00_toy").mine.read_bytes() == before and desk.cells()[MEND] != ANSWER


def test_where_the_disk_is_full_the_old_file_goes_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(MEND, ANSWER)
    before = desk.copy().mine.read_bytes()

    def full(path: Path, *_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    code, report = desk.report("reset", "00_lab")
    assert code == 1 and "the disk is full" in report["00_lab"]["what"]
    assert desk.copy().mine.read_bytes() == before
    assert [path.name for path in desk.copy().mine.parent.iterdir()] == ["00_lab.ipynb"]


def test_help_says_that_progress_stays(desk: Desk) -> None:
    code, out, _ = desk.run("reset", "--help")
    assert code == 0 and "--json" in out and "--yes" in out and "progress and your predictions stay" in out
