"""Folders for servers: open to the server's user, which pytest's own are not, and in memory where there is enough of it.

Each database is some three hundred files. On ext4 a new file is looked for behind all that were deleted within the last
minutes, and the tests make and drop thousands of databases: they take twice as long there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from workbook.engines import places

MEMORY = Path("/dev/shm")
NEEDED = 12 << 30
"""Bytes that must be free in memory; a run of all tests takes up to five GB."""
NAME = "workbook-tests-"


def make(name: str = NAME) -> Path:
    """A new folder that a server's user may enter; whoever makes it removes it."""
    folder = places.passing_folder(f"{name}{os.getpid()}-", MEMORY if _fits() else None).resolve()
    folder.chmod(0o755)
    return folder


@contextlib.contextmanager
def open_folder(name: str = NAME) -> Iterator[Path]:
    """The same, removed at the end."""
    folder = make(name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Remove from memory what runs left there that were killed."""
    for folder in MEMORY.glob(f"{NAME}*-*"):
        owner = folder.name.removeprefix(NAME).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _fits() -> bool:
    """Whether programs may run from memory, and it has room."""
    try:
        return (
            not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
            and shutil.disk_usage(MEMORY).free > NEEDED < psutil.virtual_memory().available
        )
    except (OSError, AttributeError):
        return False  # there is no such folder here
