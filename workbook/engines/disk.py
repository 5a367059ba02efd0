"""Says when a disk is full: an engine's driver speaks of a connection that was closed, or of nothing at all.

    an engine fails ── it says so (SQLSTATE 53100, ENOSPC)?     ─┬─ yes ──▶ the disk of that folder is full
                    └─ so little is left that no server can work? ┘
                                                  no ──▶ what the engine said

A server that finds no room for its write-ahead log ends at once, all its sessions with it; so the room that is left
counts as much as what was said.

    >>> is_full(Path("/"), OSError(errno.ENOSPC, "No space left on device"))
    True

Left out: a folder's own limits, where the system does not tell them as a full disk.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from workbook.errors import Unavailable

LEFT_MB_MIN = 40
"""With less than this a server cannot be trusted to go on: two segments of its log, of 16 MB each, and some pages."""
SAID = ("no space left", "disk is full", "disk quota exceeded", "not enough space")
ROOM = "free some space there, or run `workbook clean`, which removes all databases; then run it again"


def left_mb(folder: Path) -> int:
    """Megabytes that may still be written where a folder stands or is to be made."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free // 1_000_000


def is_full(folder: Path, error: Exception | None = None, said: str = "") -> bool:
    """Whether the disk of a folder is full, as the error or what was `said` beside it tells, or the room that is left."""
    if getattr(error, "sqlstate", None) == "53100" or getattr(error, "errno", None) == errno.ENOSPC:
        return True
    told = f"{error or ''} {said}".lower()
    return any(words in told for words in SAID) or left_mb(folder) < LEFT_MB_MIN


def trouble(what: str, folder: Path, error: Exception | None = None, *, said: str = "", next: str = "") -> Unavailable:
    """What to raise where an engine failed: a sentence that names the disk where it is full, else what was `said`, or
    what the error says, and what to do `next`."""
    if is_full(folder, error, said):
        room = f"the disk of {folder} is full, with {left_mb(folder):,} MB left"
        return Unavailable(f"{what.rstrip('.')}: {room}.", next=ROOM)
    return Unavailable(what, tried=said or str(error or "").strip().split("\n")[0], next=next)
