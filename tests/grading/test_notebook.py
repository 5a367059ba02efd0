"""One notebook, graded apart: whatever its code does, each exercise ends in a named state and keeps the others'
marks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.grading.toys import Sum, a_sum
from workbook.errors import Misuse
from workbook.grading import guard, registry
from workbook.grading.exercise import Finding, Judgement
from workbook.grading.judging import judge
from workbook.grading.notebook import Report, grade_notebook

pytestmark = pytest.mark.usefixtures("toys")
SEED = 3
VARIANT: Sum = a_sum().variant(SEED)
WANTED = VARIANT.left + VARIANT.right
START = ("from workbook import check, start_lab", f"start_lab('99_toys', seed={SEED})")
DEAF = "import signal; signal.signal(getattr(signal, 'SIGALRM', signal.SIGINT), signal.SIG_IGN)\n"
SUM = (f"total = {WANTED}", "check('toy-sum', total)")
DOUBLE = ("def double(x):\n    return x + x", "check('toy-double', double)")
EXTRA = (f"check('toy-extra', {WANTED if a_sum(id='toy-extra').variant(SEED) == VARIANT else '...'})",)


def bounds(state: str) -> dict[str, Any]:
    """Short deadlines and little memory, only where a test waits for them to be passed."""
    return {"cell_deadline_s": 4.0} if state == "timed out" else {"memory_mb": 500} if state == "out of memory" else {}


def states(report: Report) -> dict[str, str]:
    return {exercise.id: exercise.state for exercise in report.exercises}


def points(report: Report) -> dict[str, float]:
    return {exercise.id: exercise.points for exercise in report.exercises}


def message(report: Report, id: str) -> str:
    return next(exercise.message for exercise in report.exercises if exercise.id == id)


def test_all_right(notebook: Callable[..., Path]) -> None:
    report = grade_notebook(notebook(*START, *SUM, *DOUBLE))
    assert points(report) == {"toy-sum": 2, "toy-double": 3, "toy-extra": 0}, report
    assert (report.exit_code, report.seed, report.state, report.of) == (0, SEED, "read", 7)
    assert list(report.data()) == ["notebook", "workbook", "seed", "guard", "state", "points", "of", "exercises"]
    assert list(report.data()["exercises"][0]) == ["id", "core", "points", "of", "state", "message"]
    json.dumps(report.data())


def test_untouched(notebook: Callable[..., Path]) -> None:
    report = grade_notebook(notebook(*START, "total = ...", SUM[1], "double = ...", DOUBLE[1]))
    assert set(states(report).values()) == {"not attempted"}
    assert (report.points, report.exit_code) == (0, 1)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("import sys; sys.exit(0)", "error"),
        ("import os; os._exit(0)", "crashed"),
        ("import os, signal; os.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))", "crashed"),
        ("while True: pass", "timed out"),
        (f"{DEAF}while True: pass", "timed out"),
        ("total = [0] * 10**12", "out of memory"),
        ("rows = []\nwhile True: rows.append(bytearray(10_000_000))", "out of memory"),
        ("raise ValueError('no idea')", "error"),
        ("this is no Python", "error"),
        ("del check", "error"),
    ],
)
def test_one_exercise_goes_wrong_and_the_rest_counts(notebook: Callable[..., Path], answer: str, state: str) -> None:
    cell = answer if "total" in answer else f"{answer}\ntotal = 1"
    report = grade_notebook(
        notebook(START[0], START[1], cell, "from workbook import check\n" + SUM[1], *DOUBLE), **bounds(state)
    )
    if answer == "del check":
        assert points(report)["toy-double"] == 3
        return
    assert states(report)["toy-sum"] == state, report
    assert points(report) == {"toy-sum": 0, "toy-double": 3, "toy-extra": 0}
    assert report.exit_code == 1 and message(report, "toy-sum")


@pytest.mark.parametrize(
    ("cell", "state", "says"),
    [
        ("total = (", "error", "SyntaxError"),
        ("import os; os._exit(3)", "crashed", "exit code 3"),
        ("while True: pass", "timed out", "longer than 4 s"),
    ],
)
def test_a_cell_that_never_names_its_answer_says_why(
    notebook: Callable[..., Path], cell: str, state: str, says: str
) -> None:
    report = grade_notebook(notebook(*START, *DOUBLE, cell, SUM[1]), **bounds(state))
    assert states(report)["toy-sum"] == state and says in message(report, "toy-sum"), report
    assert "NameError" not in message(report, "toy-sum") and points(report)["toy-double"] == 3


@pytest.mark.parametrize(
    ("body", "state", "says"),
    [
        ("return 1 / 0", "graded", "ZeroDivisionError"),
        ("import os; os._exit(3)", "crashed", "exit code 3"),
        ("while True: pass", "timed out", "longer than 2 s"),
        ("return [0] * 10**13", "out of memory", "more memory"),
        ("return object()", "graded", "no plain data"),
        ("raise SystemExit", "graded", "SystemExit"),
        (
            "from workbook.schedules import Schedule, Stage; Stage('sqlite').run(Schedule.read('T1: SELECT 1'))",
            "graded",
            "no schedule is run meanwhile",
        ),
        ("import sys; sys.stdout.write('noise'); return x", "graded", "it gives"),
        ("return 'x' * 20_000_000", "graded", "longer than 16 MB"),
    ],
)
def test_a_function_goes_wrong_and_the_rest_counts(
    notebook: Callable[..., Path], body: str, state: str, says: str
) -> None:
    report = grade_notebook(notebook(*START, f"def double(x):\n    {body}", DOUBLE[1], *SUM), **bounds(state))
    assert states(report)["toy-double"] == state, report
    assert points(report) == {"toy-sum": 2, "toy-double": 0, "toy-extra": 0}
    assert says in message(report, "toy-double")


WRITE = f"{DEAF}import time\nfrom workbook.grading.channel import to_judge\nwriting = to_judge()._writing\n"
FLOODS = {
    "messages that say nothing": "while True: writing.write('{}\\n' * 1000)",
    "lines that are no messages": "while True: writing.write('x\\n' * 1000)",
    "answers, and no reading": (
        'writing.write(\'{"check": "toy-extra", "answer": ["i", "5"]}\\n\' * 20000)\nwriting.flush()\ntime.sleep(1000)'
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_with_its_cell(notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("workbook.grading.notebook.GRACE_S", 0.2)
    report = grade_notebook(notebook(*START, WRITE + FLOODS[name], *SUM, *DOUBLE), cell_deadline_s=2)
    assert points(report)["toy-sum"] == 2 and points(report)["toy-double"] == 3, report


def test_memory_is_watched_while_a_notebook_talks(notebook: Callable[..., Path]) -> None:
    talk = f"{WRITE}total = bytearray(600_000_000)\nwhile True: writing.write('x\\n' * 1000)"
    report = grade_notebook(notebook(*START, talk, SUM[1], *DOUBLE), memory_mb=500)
    assert states(report)["toy-sum"] == "out of memory" and points(report)["toy-double"] == 3, report


def test_a_cell_that_ends_the_process_only_when_it_is_run_again(notebook: Callable[..., Path]) -> None:
    once = "import os, pathlib\nif pathlib.Path('once').exists(): os._exit(1)\npathlib.Path('once').touch()"
    report = grade_notebook(notebook(*START, once, "import os; os._exit(2)", *SUM, *DOUBLE))
    assert points(report) == {"toy-sum": 2, "toy-double": 3, "toy-extra": 0}, report


def test_what_cannot_cross_is_refused_in_the_words_of_the_desk(notebook: Callable[..., Path]) -> None:
    class Yes(int):
        pass

    for answer, text in (
        (Yes(3), "class Yes(int): pass\ncheck('toy-sum', Yes(3))"),
        ("x" * 20_000_000, "check('toy-sum', 'x' * 20_000_000)"),
    ):
        desk = judge(a_sum(), answer, SEED)
        report = grade_notebook(notebook(*START, text, *DOUBLE))
        assert message(report, "toy-sum") == desk.message and desk.state == "graded", report
        assert points(report)["toy-double"] == 3


def test_an_answer_holds_functions(notebook: Callable[..., Path]) -> None:
    def both(answer: Any, variant: Sum) -> Judgement:
        return Judgement(float(answer["twice"](2) == 4), (Finding(True, answer["twice"].name),))

    pair = a_sum(accepts=lambda answer: "" if type(answer) is dict else "No dict.", judge=both)
    registry._known["toy-sum"] = pair
    assert judge(pair, {"twice": lambda x: 2 * x}, SEED).full
    report = grade_notebook(notebook(*START, "check('toy-sum', {'twice': lambda x: 2 * x})"))
    assert points(report)["toy-sum"] == 2, report


CHEATS = {
    "a transformer that blanks the later cells": (
        "get_ipython().input_transformers_post.append(lambda lines: ['pass\\n'])",
        "total = 0",
    ),
    "a patch of the checking machinery": (
        "import workbook.grading.desk, workbook.grading.channel as c\n"
        "workbook.grading.desk.check = lambda *_: 100.0\n"
        "import workbook.grading.judging as j\n"
        "j.judge = lambda *a, **k: type('V', (), {'points': 2, 'full': True})()",
        "total = 0",
    ),
    "an object that equals everything": (
        "class Yes(int):\n    __eq__ = lambda *_: True\n    __hash__ = int.__hash__",
        "total = Yes(0)",
    ),
    "an object of its own": ("class Yes:\n    __eq__ = lambda *_: True", "total = Yes()"),
    "a float shown before the failure": ("2.0", "total = 'no'"),
    "a pickle that runs code": (
        "import pickle\nclass P:\n    def __reduce__(self): return (print, ('x',))",
        "total = P()",
    ),
    "a forged message": (
        "from workbook.grading.channel import to_judge\n"
        "to_judge().send({'ended': 3, 'state': 'ran', 'points': 2, 'verdict': 'full', 'check': []})",
        "total = 0",
    ),
    "noise in the channel": (
        "from workbook.grading.channel import to_judge\nto_judge()._writing.write('{]}\\n\\n[1]\\n')",
        "total = 0",
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_what_peers_give_marks_for(notebook: Callable[..., Path], name: str) -> None:
    report = grade_notebook(notebook(*START, *CHEATS[name], SUM[1]))
    assert report.points == 0 and report.exit_code == 1, report


@pytest.mark.skipif(guard.guard() == "process", reason="nothing here hides the solution")
def test_the_solution_cannot_be_read_from_disk(notebook: Callable[..., Path]) -> None:
    folder = guard.package_folder()
    look = (
        "import os, socket, pathlib\n"
        f"seen = [os.listdir({str(folder / 'exercises')!r}), os.path.exists({str(folder.parent / 'book')!r}), "
        f"os.path.exists({str(Path(__file__))!r}), pathlib.Path('/etc/shadow').exists()]\n"
        "try:\n    socket.create_connection(('127.0.0.1', 22), 1); net = 'refused or open'\n"
        "except OSError as error: net = 'no network'\n"
        f"total = {WANTED} if seen == [[], False, False, False] and len(os.listdir('/proc')) > 0 "
        "and sum(n.isdigit() for n in os.listdir('/proc')) < 5 else seen"
    )
    report = grade_notebook(notebook(*START, look, SUM[1]))
    assert points(report)["toy-sum"] == 2, report


def test_cells_twice_split_and_warned_about(notebook: Callable[..., Path]) -> None:
    twice = [
        SUM[0],
        SUM[1],
        "import sys, warnings",
        "warnings.warn('beware')\nsys.stderr.write('no harm')",
        *SUM,
        SUM[1],
    ]
    report = grade_notebook(
        notebook(*START, *twice, "def double(x):\n    y = x", "def double(x): return 2 * x", DOUBLE[1])
    )
    assert points(report) == {"toy-sum": 2, "toy-double": 3, "toy-extra": 0}, report


def test_the_last_answer_counts_and_the_fifty_first_does_not(notebook: Callable[..., Path]) -> None:
    assert points(grade_notebook(notebook(*START, *SUM, "check('toy-sum', 0)")))["toy-sum"] == 0
    guesses = f"for n in range(60): check('toy-sum', {WANTED} if n == 49 else 0 if n < 49 else 1)"
    assert points(grade_notebook(notebook(*START, guesses)))["toy-sum"] == 2


def test_what_the_learner_sees_is_no_oracle(notebook: Callable[..., Path]) -> None:
    right, wrong = f"seen = str(check('toy-sum', {WANTED}))", "seen2 = str(check('toy-sum', 0))"
    report = grade_notebook(
        notebook(*START, right, wrong, f"total = {WANTED} if seen.replace('1', '2') == seen2 else 0", SUM[1])
    )
    assert points(report)["toy-sum"] == 2, report


def test_a_seed_given_from_outside_wins(notebook: Callable[..., Path]) -> None:
    other = next(seed for seed in range(50) if a_sum().variant(seed) != VARIANT)
    report = grade_notebook(notebook(*START, *SUM), seed=other)
    assert (report.seed, points(report)["toy-sum"]) == (other, 0)


@pytest.mark.parametrize(
    ("text", "state", "says"),
    [
        ("", "unusable", "no notebook"),
        ("[]", "unusable", "no list of cells"),
        ('{"cells": 3}', "unusable", "no list of cells"),
        ('{"cells": [], "nbformat": 4}', "unusable", ""),
        ("[" * 100_000, "unusable", "no notebook"),
        *(
            (f'{{"cells": [], "nbformat": 4, "nbformat_minor": {odd}}}', "unusable", "")
            for odd in ("null", '"x"', "[]")
        ),
    ],
)
def test_files_that_are_no_notebooks(tmp_path: Path, text: str, state: str, says: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    report = grade_notebook(path)
    assert (report.state, report.exit_code) == (state, 2)
    assert says in report.problem
    assert grade_notebook(tmp_path / "none.ipynb").state == "unusable"


def test_a_malformed_notebook_is_graded(notebook: Callable[..., Path]) -> None:
    path = notebook(*START, *SUM)
    content = json.loads(path.read_text())
    content["cells"] += [content["cells"][-1], {"cell_type": "code"}, {"cell_type": "odd", "source": 5}, 7]
    path.write_text(json.dumps(content))
    report = grade_notebook(path)
    assert report.state == "malformed" and points(report)["toy-sum"] == 2


@pytest.mark.parametrize("kind", guard.GUARDS)
def test_nothing_is_left_behind(
    notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if not guard.works(kind):
        pytest.skip(f"there is no {kind} here")
    import tempfile

    (tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    sleeper = "[sys.executable, '-c', 'import time; time.sleep(987)']"
    spawn = f"import subprocess, sys\nsubprocess.Popen({sleeper}, start_new_session=True)"
    report = grade_notebook(notebook(*START, spawn, "import os; os._exit(1)", spawn, *SUM, *DOUBLE), guard=kind)
    assert report.guard == kind and points(report) == {"toy-sum": 2, "toy-double": 3, "toy-extra": 0}
    left = [process for process in psutil.process_iter() if "time.sleep(987)" in " ".join(command_of(process))]
    assert left == [] and list((tmp_path / "t").iterdir()) == []


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.Error:
        return []


@pytest.mark.parametrize("kind", guard.GUARDS)
def test_every_guard_ends_what_does_not_end(
    notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("workbook.grading.notebook.GRACE_S", 0.2)
    if not guard.works(kind):
        pytest.skip(f"there is no {kind} here")
    hang = f"{DEAF}while True: total = 1"
    report = grade_notebook(notebook(*START, hang, SUM[1], *DOUBLE), guard=kind, cell_deadline_s=3)
    assert states(report)["toy-sum"] == "timed out" and points(report)["toy-double"] == 3


def test_a_guard_that_there_is_not(notebook: Callable[..., Path]) -> None:
    with pytest.raises(Misuse, match="choose bubblewrap, unshare, process"):
        grade_notebook(notebook(*START, *SUM), guard="moat")
