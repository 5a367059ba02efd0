"""What a learner calls in a lab, in its three modes, and what is recorded where."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.grading.toys import a_sum
from workbook.errors import BelowFullMarks, Misuse, Unavailable
from workbook.grading import desk
from workbook.grading.desk import ask, check, hint, start_lab
from workbook.grading.progress import progress
from workbook.grading.record import FILE, Record, record
from workbook.grading.verdict import Verdict

pytestmark = pytest.mark.usefixtures("toys", "my_work")


def wanted(seed: int) -> int:
    variant = a_sum().variant(seed)
    return variant.left + variant.right


def test_the_seed_chooses_the_task_and_the_answer() -> None:
    text = str(start_lab("99_toys", seed=3))
    assert "2 core exercises (5 points" in text and "1 further ones (2 points)" in text
    variant = a_sum().variant(3)
    assert f"What is **{variant.left} + {variant.right}**?" in ask("toy-sum").markdown
    assert set(ask("toy-sum")._repr_mimebundle_()) == {"text/markdown", "text/plain"}
    assert check("toy-sum", wanted(3)).full
    other = next(seed for seed in range(50) if wanted(seed) != wanted(3))
    start_lab("99_toys", seed=other)
    assert not check("toy-sum", wanted(3)).full


def test_the_seed_is_remembered_by_another_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    other = next(seed for seed in range(50) if wanted(seed) != wanted(1))
    start_lab("99_toys", seed=other)
    monkeypatch.setattr(desk, "_seeds", {})
    assert check("toy-sum", wanted(other)).full


def test_what_makes_no_sense_says_what_would() -> None:
    with pytest.raises(Misuse, match="There is no lab '98_none'"):
        start_lab("98_none")
    with pytest.raises(Misuse, match="no whole number"):
        start_lab("99_toys", seed="1")  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="try toy-sum"):
        check("toy-sun", 3)


def test_desk_records_under_my_work_only(my_work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    start_lab("99_toys", seed=1)
    check("toy-sum", ...)
    check("toy-sum", 0)
    check("toy-sum", wanted(1))
    check("toy-sum", 0)
    assert (my_work / FILE).is_file()
    assert record().tries()["toy-sum"].points == 2 and record().tries()["toy-sum"].tries == 3
    elsewhere = tmp_path / "solutions"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    check("toy-sum", 0)
    assert record().path is None and list(elsewhere.iterdir()) == []
    monkeypatch.setenv("WORKBOOK_MY_WORK", str(my_work))
    assert record().tries()["toy-sum"].tries == 3


def test_strict_raises_below_full_marks_in_the_core(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKBOOK_CHECK", "strict")
    start_lab("99_toys", seed=1)
    assert check("toy-sum", wanted(1)).full
    for answer in (0, ...):
        with pytest.raises(BelowFullMarks, match="toy-sum: 0 of 2 points"):
            check("toy-sum", answer)
    assert "toy-sum · A sum · not yet" in capsys.readouterr().out
    assert isinstance(check("toy-extra", 0), Verdict)


def test_under_nbgrader_a_check_gives_its_points(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    start_lab("99_toys", seed=1)
    for answer, points in ((wanted(1), 2.0), (0, 0.0), (..., 0.0), (object(), 0.0)):
        given = check("toy-sum", answer)
        assert type(given) is float and given == points
    assert capsys.readouterr().err == ""


def test_class_needs_a_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBOOK_CHECK", "class")
    with pytest.raises(Unavailable, match="No judge is listening"):
        check("toy-sum", 3)
    monkeypatch.setenv("WORKBOOK_CHECK", "loud")
    with pytest.raises(Misuse, match="desk, strict or class"):
        check("toy-sum", 3)


def test_check_imports_no_judge_and_no_engine() -> None:
    program = (
        "import sys\nfrom workbook import ask, check, hint, start_lab\n"
        "heavy = {'workbook.grading.judging', 'workbook.engines', 'workbook.exercises', 'psycopg', 'sqlalchemy', 'duckdb'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_three_hints_one_at_a_time() -> None:
    start_lab("99_toys", seed=1)
    texts = [str(hint("toy-sum")) for _ in range(4)]
    assert texts[0] == "Hint 1 of 3: What is added?\n2 more hints: call it again."
    assert texts[1].startswith("Hint 2 of 3: Begin at") and "1 more hint:" in texts[1]
    assert texts[2].startswith("Hint 3 of 3:") and "This was the last hint." in texts[2]
    assert texts[3].count("Hint") == 3 and "No hint is left" in texts[3]
    assert record().hints("toy-sum") == 3
    assert "<b>Hint 1 of 3</b>" in hint("toy-sum")._repr_html_()


def test_progress_shows_core_and_further_tries_and_hints() -> None:
    assert "No lab has been started yet." in str(progress())
    start_lab("99_toys", seed=1)
    check("toy-sum", 0)
    check("toy-sum", wanted(1))
    hint("toy-double")
    report = progress()
    (lab,) = report.data()["labs"].values()
    rows = {row["id"]: row for row in lab["exercises"]}
    assert (rows["toy-sum"]["points"], rows["toy-sum"]["tries"]) == (2, 2)
    assert (rows["toy-double"]["tries"], rows["toy-double"]["hints"]) == (0, 1)
    assert "99_toys: core 2 of 5 points, further 0 of 2" in str(report)
    page = report._repr_html_()
    assert "<svg" in page and "toy-double" in page and "further" in page
    assert "✓ toy-sum" in str(report) and "… toy-double" in str(report)


def test_a_broken_record_stands_in_nobodys_way(my_work: Path) -> None:
    (my_work / FILE).write_bytes(b"no database" * 1000)
    broken = Record(my_work)
    assert "stands aside" in broken.note and broken.hint("toy-sum") == 1
    (my_work / FILE).write_bytes(b"broken again" * 1000)
    assert Record(my_work).path and {"no", "br"} == {(my_work / f"{FILE}.broken{n}").read_text()[:2] for n in ("", "1")}
    nowhere = Record(my_work / FILE)
    assert "not recorded" in nowhere.note and nowhere.hint("toy-sum") == 1 and nowhere.hints("toy-sum") == 1


def test_a_record_that_cannot_be_written_to_is_passed_over(my_work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Record(my_work).hint("toy-sum")
    connect = sqlite3.connect

    def read_only(path: Path | str, **more: Any) -> sqlite3.Connection:
        return (
            connect(path, **more) if path == ":memory:" else connect(f"{Path(path).as_uri()}?mode=ro", uri=True, **more)
        )

    monkeypatch.setattr(sqlite3, "connect", read_only)
    kernel = Record(my_work)
    assert "not recorded" in kernel.note and (kernel.hint("toy-sum"), kernel.hint("toy-sum")) == (1, 2)


def test_a_record_that_is_removed_begins_anew(my_work: Path) -> None:
    kernel = Record(my_work)
    kernel.attempt("toy-sum", 1, "graded", 1, 2)
    (my_work / FILE).unlink()
    assert kernel.tries() == {}
    (my_work / FILE).unlink()
    kernel.attempt("toy-sum", 1, "graded", 2, 2)
    assert kernel.tries()["toy-sum"].points == 2 and Record(my_work).tries()["toy-sum"].tries == 1


def test_two_kernels_write_one_record(my_work: Path) -> None:
    import threading

    kernels = [Record(my_work) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda k=kernel: [k.attempt("toy-sum", 1, "graded", 1, 2) for _ in range(10)])
        for kernel in kernels
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Record(my_work).tries()["toy-sum"].tries == 40


def test_a_seed_that_cannot_be_kept_and_an_id_that_is_no_text() -> None:
    with pytest.raises(Misuse, match="more than 62 bits"):
        start_lab("99_toys", seed=10**30)
    for wrong in ([], None, 7):
        with pytest.raises(Misuse, match="An exercise's id is a text"):
            check(wrong, 1)
    assert check("toy-sum", ...).state == "not attempted"
