"""`workbook doctor` where something is missing: it says what, and how to mend it."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from typing import NoReturn

import psycopg
import pytest

from tests.cli.calling import called
from workbook import engines
from workbook.cli import doctor


@pytest.fixture(autouse=True)
def a_broken_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers with an error of its own."""

    def refuse() -> NoReturn:
        raise psycopg.errors.InternalError_("could not find tuple for role 16917")

    monkeypatch.setattr(engines, "cluster", refuse)


def test_what_the_server_says_is_a_line_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    done = called(capsys, "doctor", "--json")
    (server,) = [one for one in json.loads(done.stdout)["found"] if one["name"] == "PostgreSQL server"]
    assert done.returncode == 1 and done.stderr == ""
    assert not server["fine"] and server["mend"] == "could not find tuple for role 16917"


def test_of_a_package_that_is_gone_it_says_what_brings_it_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """start.py looks at its stamp, which a package that is gone leaves as it was."""

    def gone(name: str) -> NoReturn:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", gone)
    done = called(capsys, "doctor")
    lines = done.stdout.splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("MISSING JupyterLab"))
    assert lines[place + 1].strip().startswith("remove the folder .venv and run `python3 start.py`")
    assert done.returncode == 1
