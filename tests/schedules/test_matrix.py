"""What each engine makes of the fourteen scenarios, at each level: a cell that changes with a new version fails here,
by name.

b a step waits, e an error aborts it (SQLite's with its number), X the anomaly is seen, ok neither; † the anomaly is
absent, yet the outcome is equivalent to no serial order.
"""

from __future__ import annotations

import json

import pytest

from workbook.errors import Misuse
from workbook.schedules.scenarios import ROWS, SCENARIOS, Matrix, matrix

MEASURED = """
                                    G0  G1a  G1b  G1c  OTV  PMP  PMP-w  P4   Gs  Gs-p  Gs-w  G2i  G2   Fekete
postgresql       read_uncommitted   b   ok   ok†  ok†  b†   X    bX     bX   X   X     X     X    X    X
postgresql       read_committed     b   ok   ok†  ok†  b†   X    bX     bX   X   X     X     X    X    X
postgresql       repeatable_read    be  ok   ok   ok†  be   ok   be     be   ok  ok    e     X    X    X
postgresql       serializable       be  ok   ok   e    be   ok   be     be   ok  ok    e     e    e    e
sqlite           deferred           b   ok   ok   b    b    ok   e5     e5   ok  ok    e517  e5   e5   e517
sqlite           immediate          b   b    b    b    b    b    b      b    b   b     b     b    b    b
sqlite-rollback  deferred           b   ok   b    b    b    b    be5    be5  b   b     be5   be5  be5  be5
sqlite-rollback  immediate          b   b    b    b    b    b    b      b    b   b     b     b    b    b
duckdb           snapshot           e   ok   ok   ok†  e    ok   ok†    e    ok  ok    X     X    X    X
mariadb          read_uncommitted   b   X    X    X    b    X    b      bX   X   X     X     X    X    X
mariadb          read_committed     b   ok   ok†  ok†  b†   X    b†     bX   X   X     X     X    X    X
mariadb          repeatable_read    b   ok   ok   ok†  b    ok   bX     bX   ok  ok    X     X    X    X
mariadb          serializable       b   b    b    be   b    b    b      be   b   b     be    be   be   be
"""


def expected() -> dict[tuple[str, str], dict[str, str]]:
    head, *lines = (line.split() for line in MEASURED.strip().split("\n"))
    return {(engine, level.replace("_", " ")): dict(zip(head, cells, strict=True)) for engine, level, *cells in lines}


def changed(measured: Matrix) -> str:
    """Each cell that is not as expected: which, with what version, what was measured, and the run."""
    texts = []
    for row, cells in measured.cells.items():
        for key, cell in cells.items():
            if cell.text != expected()[row][key]:
                where = f"{key} on {row[0]} {cell.run.version} at {row[1]}"
                what = f"{expected()[row][key]} was expected, {cell.text} measured"
                texts.append(f"{where}: {what}.\n{cell.run}\n{cell.verdict}\n")
    return "\n".join(texts)


def test_the_table_names_every_row_and_every_scenario() -> None:
    assert tuple(expected()) == ROWS
    assert all(tuple(cells) == tuple(SCENARIOS) for cells in expected().values())


@pytest.mark.parametrize(
    "engine", ["postgresql", "sqlite", "sqlite-rollback", "duckdb", pytest.param("mariadb", marks=pytest.mark.slow)]
)
def test_every_cell_is_as_it_was_measured(engine: str) -> None:
    measured = matrix([row for row in ROWS if row[0] == engine])
    assert not changed(measured), changed(measured)


def test_a_cell_that_changes_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = matrix([("duckdb", "snapshot")], ["G0", "P4"])
    table = MEASURED.replace("snapshot           e ", "snapshot           bX")
    monkeypatch.setitem(globals(), "MEASURED", table)
    version = measured.cells["duckdb", "snapshot"]["G0"].run.version
    assert changed(measured).startswith(f"G0 on duckdb {version} at snapshot: bX was expected, e measured.")
    assert "Conflict on update!" in changed(measured) and "P4 on" not in changed(measured)


def test_a_scenario_s_name_is_no_verdict() -> None:
    """G1c's steps are write skew at repeatable read: the flow of information is no circle, and the outcome is not
    serial."""
    cells = matrix([("postgresql", "repeatable read")], ["G1c", "G2i", "G1b"]).cells["postgresql", "repeatable read"]
    assert not cells["G1c"].anomaly and not cells["G1c"].verdict.serializable
    assert cells["G2i"].anomaly and not cells["G2i"].verdict.serializable
    assert cells["G1b"].verdict.text == "equivalent to T2 then T1"


def test_the_matrix_is_text_and_data() -> None:
    measured = matrix([("sqlite", "deferred"), ("duckdb", "snapshot")], ["P4", "G2i"])
    lines = str(measured).split("\n")
    assert lines[0].split() == ["P4", "G2i"]
    assert lines[1].split()[0] == "SQLite" and lines[1].split()[-2:] == ["e5", "e5"]
    assert lines[2].split()[0] == "DuckDB" and lines[2].split()[-2:] == ["e", "X"]
    data = json.loads(json.dumps(measured.data()))
    assert [column["name"] for column in data["columns"]] == ["lost update", "write skew"]
    assert data["rows"][1]["cells"]["G2i"] == {
        "text": "X",
        "anomaly": True,
        "waits": False,
        "errors": [],
        "verdict": "equivalent to no order",
    }
    with pytest.raises(Misuse, match="no scenario 'P5'"):
        matrix(keys=["P5"])
