"""A small house for the builder's tests: one lesson, one lab with three toy exercises, built once for each test."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from workbook.cli.house import House

HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels, and this process, can import `toys`; kernels run quietly and on their own."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.syspath_prepend(str(HERE))
    import toys

    assert sys.modules["toys"] is toys


@pytest.fixture
def home(tmp_path: Path) -> House:
    """A house with texts and nothing built yet."""
    root = tmp_path / "house"
    shutil.copytree(HERE / "house", root)
    shutil.copy(HERE.parents[1] / "pyproject.toml", root)
    return House(root)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A house in which everything is built; do not change it."""
    from workbook.cli import build

    root = tmp_path_factory.mktemp("built") / "house"
    shutil.copytree(HERE / "house", root)
    shutil.copy(HERE.parents[1] / "pyproject.toml", root)
    made = House(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE))
        patch.syspath_prepend(str(HERE))
        import toys  # noqa: F401

        for book in build.books(made):
            build.make(made, book, show=False)
    return made
