"""Toys in the registry, a record of its own for each test, and notebooks made of cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.grading.toys import a_function, a_sum
from workbook.grading import desk, registry


@pytest.fixture
def toys() -> Iterator[None]:
    """The toy exercises, known for the length of a test: two of the core, one further."""
    toys = [a_sum(), a_function(), a_sum(id="toy-extra", number=3, core=False, title="A further sum")]
    for toy in toys:
        registry.register(toy)
    yield
    for toy in toys:
        registry._known.pop(toy.id)
        registry._origin.pop(toy.id)


@pytest.fixture
def my_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's folder, which the current folder is in; seeds and modes are forgotten."""
    folder = tmp_path / "my-work" / "labs"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name in ("WORKBOOK_CHECK", "NBGRADER_EXECUTION", "WORKBOOK_MY_WORK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(desk, "_seeds", {})
    return folder.parent


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[..., Path]:
    """Writes a notebook made of these code cells."""

    def write(*cells: str, **changes: Any) -> Path:
        path = tmp_path / "lab.ipynb"
        content = {
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"c{n}",
                    "metadata": {},
                    "source": cell,
                    "outputs": [],
                    "execution_count": None,
                }
                for n, cell in enumerate(cells)
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
            **changes,
        }
        path.write_text(json.dumps(content))
        return path

    return write
