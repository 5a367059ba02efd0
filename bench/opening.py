"""How long a newcomer waits: from a clone in an empty folder to a JupyterLab that answers, and the second time.

    python bench/opening.py [--keep]

Clones this repository into a temporary folder, starts `start.py lab --no-browser` there as a newcomer would, and asks
the server until it answers; stops it, starts it again; then times `import workbook` side by side with `import json`. It
prints one line for each figure and exits with 1 when a limit is passed: 180 s, 5 s and 0.3 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMITS_S = {"clone to JupyterLab answering": 180.0, "the second start": 5.0, "import workbook": 0.3}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether a Jupyter server answers at that port (it says 403 or 200 before a token is shown)."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2) as reply:
            return bool(reply.status == 200)
    except urllib.error.HTTPError as error:
        return error.code == 403
    except OSError:
        return False


def opened(folder: Path, started: float, environment: dict[str, str]) -> float:
    """Seconds from `started` until the server of `folder` answers; the server is stopped again."""
    port = free_port()
    log = folder.parent / f"lab-{port}.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "start.py", "lab", "--no-browser", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while not answers(port):
                if server.poll() is not None:
                    raise SystemExit(f"The server stopped with {server.returncode}:\n{log.read_text()[-3000:]}")
                time.sleep(0.05)
            return time.monotonic() - started
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(30)


def import_s(python: Path, folder: Path) -> float:
    """The median of nine imports of `workbook`, less an empty interpreter's start, in seconds."""

    def once(statement: str) -> float:
        begun = time.monotonic()
        subprocess.run([python, "-c", statement], cwd=folder, check=True)
        return time.monotonic() - begun

    return statistics.median(once("import workbook") - once("pass") for _ in range(9))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="keep the folder of the clone, and say where it is")
    keep = parser.parse_args().keep
    folder = Path(tempfile.mkdtemp(prefix="opening-"))
    clone = folder / "clone"
    environment = {**os.environ, "WORKBOOK_STATE": str(folder / "state")}
    figures = {}
    try:
        begun = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        figures["clone to JupyterLab answering"] = opened(clone, begun, environment)
        figures["the second start"] = opened(clone, time.monotonic(), environment)
        python = clone / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        figures["import workbook"] = import_s(python, clone)
    finally:
        subprocess.run([sys.executable, "start.py", "stop"], cwd=clone, env=environment, stdout=subprocess.DEVNULL)
        if keep:
            print(f"The clone is kept in {clone}, its databases in {folder / 'state'}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for name, seconds in figures.items():
        print(f"{name:32}{seconds:8.2f} s   (limit {LIMITS_S[name]:g} s)")
    return int(any(seconds > LIMITS_S[name] for name, seconds in figures.items()))


if __name__ == "__main__":
    raise SystemExit(main())
