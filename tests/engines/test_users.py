"""Who runs it: oneself, and beside root an ordinary user whose state stands where the system keeps a person's data; both
survive the killing of a kernel and of the server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import folders
from workbook.engines import places

ROOT = Path(__file__).resolve().parents[2]
ME, ORDINARY = "oneself", "an ordinary user"
AT_WORK = """
import os, sys
from workbook.engines import cluster, database, shop
made = database(shop(orders=1_000))
made.run("CREATE TABLE kept AS SELECT 7 AS n")
pid = (made.cluster.server / "data" / "postmaster.pid").read_text().split()[0]
print(made.name, pid, made.cluster.folder, flush=True)
sys.stdin.readline()
print(made.run("SELECT n FROM kept").rows[0][0], made.cluster.admin("SELECT 1")[0][0], flush=True)
sys.stdin.readline()
"""
AFTERWARDS = """
from workbook.engines import clean, cluster
print([row[0] for row in cluster().admin("SELECT datname FROM pg_database WHERE datname ~ '^w_'")])
clean()
"""


def _pythons() -> Iterator[str]:
    """Interpreters of this version that an ordinary user may reach: this one, the one it comes from, the system's."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    yield from (sys.executable, str(Path(sys.base_prefix) / "bin" / name))
    yield from (found for folder in ("/usr/bin", "/usr/local/bin") if (found := shutil.which(name, path=folder)))


def _python_for(who: places.Servant) -> str:
    """The first of them that this user can run; '' where there is none."""
    check = "import encodings, json, ssl, sqlite3"
    for python in _pythons():
        try:
            done = subprocess.run([python, "-c", check], cwd="/", capture_output=True, **who.popen())
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return ""


ROOT_S = places.servant()
PYTHON = _python_for(ROOT_S) if ROOT_S else ""


class Person:
    """Somebody who runs Python with the package; their home is a folder of their own."""

    def __init__(self, kind: str, home: Path) -> None:
        self.who = ROOT_S if kind == ORDINARY else None
        self.python = PYTHON if self.who else sys.executable
        packages = home / "packages"
        for part in ("workbook", "datasets"):
            shutil.copytree(ROOT / part, packages / part, ignore=shutil.ignore_patterns("__pycache__", "cases"))
        if self.who:
            for folder, _, files in os.walk(home):
                for path in (Path(folder), *(Path(folder) / file for file in files)):
                    os.chown(path, self.who.uid, self.who.gid)
        libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
        self.environment = {
            **kept,
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join([str(packages), *libraries]),
            "PYTHONDONTWRITEBYTECODE": "1",
            **({} if self.who else {"WORKBOOK_STATE": str(home / "state")}),
        }
        self.home = home

    def starts(self, code: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.python, "-c", code],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **(self.who.popen() if self.who else {}),
        )


@pytest.fixture(params=[ME, *([ORDINARY] if PYTHON else [])])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with folders.open_folder() as home:
        yield Person(request.param, home)


def line(process: subprocess.Popen[str]) -> list[str]:
    """The words of the next line that a process says."""
    assert process.stdout and process.stderr
    said = process.stdout.readline().split()
    if not said:
        process.kill()
        pytest.fail(process.stderr.read())
    return said


def test_a_killed_server_and_a_killed_kernel_are_survived(person: Person) -> None:
    kernel = person.starts(AT_WORK)
    assert kernel.stdin
    name, pid, folder = line(kernel)
    server = psutil.Process(int(pid))
    if sys.platform != "win32":
        wanted = ROOT_S.uid if ROOT_S else os.geteuid()
        assert server.uids().real == wanted and wanted != 0, "PostgreSQL never runs as root"
    assert Path(folder).is_relative_to(person.home) and "counting-18" in folder

    server.kill()
    psutil.wait_procs([server])
    kernel.stdin.write("\n")
    kernel.stdin.flush()
    assert line(kernel) == ["7", "1"]

    kernel.kill()
    kernel.communicate()
    after = person.starts(AFTERWARDS)
    said, error = after.communicate()
    assert after.returncode == 0, error
    assert said.strip() == "[]", f"{name} was not swept away: {said}"
