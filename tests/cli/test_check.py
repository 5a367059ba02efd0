"""`workbook check`, `hint` and `progress` as a person calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

QUERY = "SELECT order_id, status FROM orders WHERE order_id = 4711"
START = "from workbook import check, start_lab\nstart_lab('00_start', seed=1)"


def written(path: Path, *cells: str) -> Path:
    made = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": cell, "outputs": [], "execution_count": None}
        for n, cell in enumerate(cells)
    ]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def workbook(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("WORKBOOK_CHECK", "WORKBOOK_MY_WORK")
    }
    program = [sys.executable, "-m", "workbook.cli", *arguments]
    return subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_check_prints_a_table_or_data(tmp_path: Path) -> None:
    path = written(tmp_path / "lab.ipynb", START, "query = ...", "check('start-mend', query)")
    done = workbook("check", str(path), folder=tmp_path)
    assert "… start-mend" in done.stdout and "not attempted" in done.stdout and done.stderr == ""
    report = json.loads(workbook("check", str(path), "--json", folder=tmp_path).stdout)
    assert list(report) == ["notebook", "workbook", "seed", "guard", "state", "points", "of", "exercises"]
    assert (report["state"], report["seed"], report["exercises"][0]["state"]) == ("read", 1, "not attempted")
    assert list(tmp_path.iterdir()) == [path]


def test_check_of_what_is_no_notebook(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text("no")
    done = workbook("check", "a.ipynb", folder=tmp_path)
    assert done.returncode == 2 and "cannot be graded" in done.stdout
    done = workbook("check", "a.ipynb", "--json", folder=tmp_path)
    assert done.returncode == 2 and json.loads(done.stdout)["state"] == "unusable"
    assert workbook("check", "none.ipynb", folder=tmp_path).returncode == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_breaking_off_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    path = written(tmp_path / "lab.ipynb", START, "check('start-mend', ...)\nimport time\nwhile True: time.sleep(1)")
    (tmp_path / "t").mkdir()
    program = [sys.executable, "-m", "workbook.cli", "check", str(path)]
    run = subprocess.Popen(program, env={**os.environ, "TMPDIR": str(tmp_path / "t")}, stderr=subprocess.PIPE)
    family: list[psutil.Process] = []
    for _ in range(300):
        family = psutil.Process(run.pid).children(recursive=True)
        if any("workbook.grading.learner" in " ".join(cmdline(process)) for process in family):
            break
        time.sleep(0.1)
    run.send_signal(number)
    run.wait(30)
    assert run.returncode in (130, 143)
    _, alive = psutil.wait_procs(family, 10)
    assert alive == [] and list((tmp_path / "t").iterdir()) == []


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_hint_and_progress_share_the_record_of_my_work(tmp_path: Path) -> None:
    folder = tmp_path / "my-work" / "labs"
    folder.mkdir(parents=True)
    assert workbook("hint", "start-mend", folder=folder).stdout.startswith("Hint 1 of 3: ")
    second: dict[str, Any] = json.loads(workbook("hint", "start-mend", "--json", folder=folder).stdout)
    assert (second["number"], second["of"], len(second["hints"])) == (2, 3, 1)
    shown = workbook("progress", folder=folder).stdout
    assert "start-mend" in shown and "hints 2" in shown
    data = json.loads(workbook("progress", "--json", folder=folder).stdout)
    assert data["labs"]["00_start"]["exercises"][0]["hints"] == 2
    wrong = workbook("hint", "start-mond", folder=folder)
    assert wrong.returncode == 2 and "try start-mend" in wrong.stderr and "Traceback" not in wrong.stderr
