"""Twenty-five of PostgreSQL's own isolation specs print here what isolationtester prints, byte for byte."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbook.schedules.spec import Spec
from workbook.schedules.spec_run import decoded, run_spec, spec_database

SPECS = Path(__file__).parent / "specs"
SUPERUSER = {"eval-plan-qual": "its last permutations update pg_class"}
"""The specs that the role of their own database may not run, and why."""


@pytest.fixture(scope="module")
def own() -> Iterator[str]:
    """A database, reached as its own role; each spec clears up after itself."""
    with spec_database() as conninfo:
        yield conninfo


@pytest.fixture(scope="module")
def superuser() -> Iterator[str]:
    with spec_database(superuser=True) as conninfo:
        yield conninfo


def printed(spec: Path, conninfo: str) -> bytes:
    pieces: list[bytes] = []
    run_spec(Spec.read(decoded(spec.read_bytes())), pieces.append, name=spec.stem, conninfo=conninfo)
    return b"".join(pieces)


def difference(spec: Path, got: bytes) -> str:
    """Where it differs from the expected file or, if it has any, from the nearest of its variants."""
    known = [spec.with_suffix(".out"), *spec.parent.glob(f"{spec.stem}_?.out")]
    texts = [decoded(file.read_bytes()).splitlines(keepends=True) for file in known]
    found = ["".join(difflib.unified_diff(text, decoded(got).splitlines(keepends=True), n=2)) for text in texts]
    return min(found, key=len)


def test_there_are_twenty_five_each_with_what_it_prints() -> None:
    specs = sorted(SPECS.glob("*.spec"))
    assert len(specs) == 25
    assert [spec.with_suffix(".out").exists() for spec in specs] == [True] * 25
    assert "Regents of the University of California" in (SPECS / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(spec.stem for spec in SPECS.glob("*.spec")))
def test_it_prints_what_isolationtester_prints(name: str, request: pytest.FixtureRequest) -> None:
    spec = SPECS / f"{name}.spec"
    conninfo = request.getfixturevalue("superuser" if name in SUPERUSER else "own")
    assert not difference(spec, printed(spec, conninfo))


@pytest.mark.parametrize("name", SUPERUSER)
def test_what_needs_a_superuser_is_refused_to_the_own_role(name: str, own: str) -> None:
    spec = SPECS / f"{name}.spec"
    assert "+ERROR:  permission denied for table pg_class" in difference(spec, printed(spec, own))
