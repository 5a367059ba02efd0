"""The two lists of what the workbook needs: pyproject.toml says what and for whom, requirements.txt pins it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import metadata, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
WANTED = [Requirement(text) for text in tomllib.loads(PYPROJECT)["project"]["dependencies"]]
PINS = re.findall(r"^(\S+==[^\s#]+(?: ; [^#\n]+)?) *(?:#(.*))?$", (ROOT / "requirements.txt").read_text("utf-8"), re.M)
PINNED = {canonicalize_name(pin.name): (pin, comment.strip()) for text, comment in PINS for pin in [Requirement(text)]}
HERE = {name: pin for name, (pin, _) in PINNED.items() if pin.marker is None or pin.marker.evaluate()}


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_what_is_wanted_is_pinned_and_both_lists_say_who_needs_it(wanted: Requirement) -> None:
    pin, comment = PINNED[canonicalize_name(wanted.name)]
    reason = re.search(rf'"{re.escape(wanted.name)}[^"]*", +# (.+)', PYPROJECT)
    assert reason and reason[1] == comment
    assert {specifier.operator for specifier in pin.specifier} == {"=="}
    assert wanted.specifier.contains(next(iter(pin.specifier)).version)


def test_what_is_pinned_is_installed() -> None:
    assert {name: version(name) for name in HERE} == {
        name: next(iter(pin.specifier)).version for name, pin in HERE.items()
    }


def test_what_is_pinned_needs_nothing_that_is_not() -> None:
    missing = set()
    for name, pin in HERE.items():
        for text in requires(name) or []:
            needed = Requirement(text)
            extras = pin.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                missing |= {canonicalize_name(needed.name)} - set(PINNED)
    assert not missing


def test_what_is_pinned_runs_on_the_first_release_of_each_python() -> None:
    """Debian 12 brings Python 3.11.2: a package that wants 3.11.5 cannot be installed there."""
    refused = {
        (name, first)
        for name, pin in HERE.items()
        for first in ("3.11.0", "3.12.0", "3.13.0")
        if pin.marker is None or pin.marker.evaluate({"python_full_version": first, "python_version": first[:4]})
        if not SpecifierSet(metadata(name).get("Requires-Python", "")).contains(first)
    }
    assert not refused


def test_conda_takes_the_same_list() -> None:
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "-r requirements.txt" in text and "-e ." in text
