"""Ends a private MariaDB whose owner is gone: `python mariadb_watch.py FOLDER`, its input a pipe of the owner's.

    owner ── lives ── the pipe is open ──▶ nothing happens
      └──── is gone, also by kill -9 ── the pipe ends ──▶ whatever runs on the folder is killed, the folder removed

The system closes the pipe with its owner, on Linux and on macOS alike, and a terminal's Ctrl-C does not reach the
watcher, which has a session of its own. It is started before the server's files are made, as a file and not as a
module: so it loads nothing of the workbook, and waits in a few megabytes.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> clear(folder)
    >>> folder.exists()
    False

Left out: an owner that forks without starting another program; its child holds the pipe, too, so that the server ends
with the last of them.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

TRIES_MAX, ENDED_S_MAX = 5, 10.0


def clear(folder: Path) -> None:
    """Kill every process that has its data in a folder of a private server, and remove the folder."""
    import psutil

    mark = f"--datadir={folder}/data"
    for _ in range(TRIES_MAX):  # the script that makes the files may have started one more
        left = [one for one in psutil.process_iter(["cmdline"]) if mark in (one.info["cmdline"] or ())]
        if not left:
            break
        for one in left:
            with contextlib.suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(left, timeout=ENDED_S_MAX)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    clear(Path(sys.argv[1]))
