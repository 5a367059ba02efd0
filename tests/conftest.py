"""A folder of state for each worker of a run of the tests, whose servers are stopped when the run ends.

Each worker has servers of its own: a transaction of one test, in whichever database, keeps the dead rows of all others on its server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import folders


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        if STATE_OF_THE_RUN in config.workerinput:
            folder = Path(config.workerinput[STATE_OF_THE_RUN]) / config.workerinput["workerid"]
            folder.mkdir()
            folder.chmod(0o755)  # the server's user must be able to enter it
            os.environ["WORKBOOK_STATE"] = str(folder)
    elif not os.environ.get("WORKBOOK_STATE"):
        folders.sweep()
        config.stash[STATE] = folders.make()
        os.environ["WORKBOOK_STATE"] = str(config.stash[STATE])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    if STATE in node.config.stash:
        node.workerinput[STATE_OF_THE_RUN] = str(node.config.stash[STATE])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests first: each of theirs is long, and a worker that begins one last keeps the other waiting."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: tests[item.path])


def pytest_unconfigure(config: pytest.Config) -> None:
    if STATE not in config.stash:
        return
    state = config.stash[STATE]
    code = "from workbook import engines; engines.clean()"
    for folder in (state, *state.glob("gw*")):  # a process for each: the programs of one folder stop no other's servers
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "WORKBOOK_STATE": str(folder)}, check=True)
    shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that a server's user may enter. pytest's own are closed, each time that another run begins."""
    with folders.open_folder() as folder:
        yield folder


STATE = pytest.StashKey[Path]()
STATE_OF_THE_RUN = "workbook_state"
