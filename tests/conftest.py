"""One folder of state for a run of the tests, shared by its workers, whose servers are stopped when the run ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # the controller has chosen, and its environment was handed down
    if not os.environ.get("WORKBOOK_STATE"):
        folder = tempfile.mkdtemp(prefix="workbook-tests-")
        Path(folder).chmod(0o755)  # the server's user must be able to enter it
        os.environ["WORKBOOK_STATE"] = config.stash[STATE] = folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests first: each of theirs is long, and a worker that begins one last keeps the other waiting."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: tests[item.path])


def pytest_unconfigure(config: pytest.Config) -> None:
    if STATE in config.stash:
        from workbook import engines

        engines.clean()
        shutil.rmtree(config.stash[STATE], ignore_errors=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that a server's user may enter. pytest's own are closed, each time that another run begins."""
    folder = Path(tempfile.mkdtemp(prefix="workbook-tests-")).resolve()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


STATE = pytest.StashKey[str]()
