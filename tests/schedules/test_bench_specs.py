"""`bench/specs.py` on a spec that cannot be read: it says so in its row, and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import specs as bench


def test_a_spec_that_cannot_be_read_has_a_row_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.spec").write_text("session s1 { step a }")
    (tmp_path / "bytes.spec").write_bytes(b"\xff\xfe session")
    (tmp_path / "folder.spec").mkdir()
    found = [bench.tried(spec, expected, None) for spec, expected in bench.files(tmp_path)]
    assert [(one.name, one.identical, bool(one.unread)) for one in found] == [
        ("broken", False, True),
        ("bytes", False, True),
        ("folder", False, True),
    ]
    bench.report(tmp_path, "18", found, None)
    printed = capsys.readouterr().out
    assert "3 specs: 0 identical" in printed and "0 differ, 3 could not be read." in printed
    assert "| broken | The spec cannot be read: line 1: a block of SQL cannot stand here." in printed
    assert "| folder | 0 | could not be read | 0.00 |" in printed
