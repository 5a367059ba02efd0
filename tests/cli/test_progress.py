"""`workbook progress`: its text and its data say the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.living import workbook

NONE = "No lab has been started yet."


@pytest.fixture
def my_work(tmp_path: Path) -> Path:
    folder = tmp_path / "my-work"
    folder.mkdir()
    return folder


def test_nothing_has_been_done(my_work: Path) -> None:
    assert workbook("progress", state=my_work).stdout.startswith(f"{NONE}\n")
    assert json.loads(workbook("progress", "--json", state=my_work).stdout)["labs"] == {}


def test_a_hint_shows_its_lab_in_both_though_the_lab_was_not_started(my_work: Path) -> None:
    assert workbook("hint", "indexes-order", state=my_work).returncode == 0
    text = workbook("progress", state=my_work).stdout
    assert text.startswith("02_indexes: core 0 of ") and NONE not in text
    labs = json.loads(workbook("progress", "--json", state=my_work).stdout)["labs"]
    assert list(labs) == ["02_indexes"] and labs["02_indexes"]["seed"] is None
    for one in labs["02_indexes"]["exercises"]:
        assert f"{one['id']} " in text
        assert one["hints"] == (1 if one["id"] == "indexes-order" else 0)
    assert "tries 0  hints 1" in text
