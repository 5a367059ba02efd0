"""Twenty-five of PostgreSQL's own isolation specs print here what isolationtester prints, byte for byte."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from workbook.schedules.spec import Spec
from workbook.schedules.spec_run import decoded, run_spec, spec_database

SPECS = Path(__file__).parent / "specs"
SUPERUSER = {"eval-plan-qual": "its last permutations update pg_class"}
"""The specs that the role of their own database may not run, and why."""
NAMES = [
    pytest.param(path.stem, marks=pytest.mark.slow) if path.stem in SUPERUSER else path.stem
    for path in sorted(SPECS.glob("*.spec"))
]


@pytest.fixture(scope="module")
def own() -> Iterator[str]:
    """A database, reached as its own role; each spec clears up after itself."""
    with spec_database() as conninfo:
        yield conninfo


@pytest.fixture(scope="module")
def superuser() -> Iterator[str]:
    with spec_database(superuser=True) as conninfo:
        yield conninfo


def printed(spec: Spec, name: str, conninfo: str) -> bytes:
    pieces: list[bytes] = []
    run_spec(spec, pieces.append, name=name, conninfo=conninfo)
    return b"".join(pieces)


def read(name: str) -> Spec:
    return Spec.read(decoded((SPECS / f"{name}.spec").read_bytes()))


def difference(name: str, got: bytes) -> str:
    """Where it differs from the expected file."""
    wanted = decoded((SPECS / f"{name}.out").read_bytes()).splitlines(keepends=True)
    return "".join(difflib.unified_diff(wanted, decoded(got).splitlines(keepends=True), n=2))


def test_there_are_twenty_five_each_with_what_it_prints() -> None:
    specs = sorted(SPECS.glob("*.spec"))
    assert len(specs) == 25
    assert [spec.with_suffix(".out").exists() for spec in specs] == [True] * 25
    assert "Regents of the University of California" in (SPECS / "README.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_it_prints_what_isolationtester_prints(name: str, request: pytest.FixtureRequest) -> None:
    conninfo = request.getfixturevalue("superuser" if name in SUPERUSER else "own")
    assert not difference(name, printed(read(name), name, conninfo))


def test_what_needs_a_superuser_is_refused_to_the_own_role(own: str) -> None:
    spec = read("eval-plan-qual")
    last = replace(spec, permutations=spec.permutations[-1:])
    assert b"ERROR:  permission denied for table pg_class" in printed(last, "eval-plan-qual", own)
