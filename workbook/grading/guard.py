"""What stands between a learner's code and this machine, and what it is called in a report.

    bubblewrap  namespaces by bwrap        no network, no files but libraries, no other process, user 1000
    unshare     the same by our own launcher, where the kernel lets a user have namespaces
    process     a process with limits of memory, and nothing more: macOS, Windows, a locked-down Linux

The first that works here is taken, and the report names it: marks given behind `process` rest on the learner's
honesty, since the code can read what its user can read, the solutions among them. Behind the other two the notebook's
code sees Python, the installed libraries, this package without its exercises, the data sets, and one folder to write
in. A cluster that it starts stands in that folder and dies with it.

    >>> guard() in GUARDS
    True

Left out: system-call filters, quotas of disk.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from workbook.errors import Misuse

GUARDS = ("bubblewrap", "unshare", "process")
TRIAL_S = 20
_SYSTEM = [
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/etc/ld.so.cache"),
    *("/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/alternatives", "/etc/ssl/certs"),
]
_USER = "learner:x:1000:1000:learner:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
FILES = {
    "/etc/passwd": _USER,
    "/etc/group": "learner:x:1000:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
}


def package_folder() -> Path:
    """The folder of this package."""
    return Path(__file__).resolve().parents[1]


def readable() -> list[str]:
    """The folders and files that a learner's code needs to read: the system's, Python's, the libraries, this
    package."""
    package = package_folder()
    wanted = [*_SYSTEM, sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, str(package)]
    wanted += [path for path in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")) if path]
    wanted += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    wanted += [str(Path(sys.executable).resolve().parent.parent), str(package.parent / "datasets")]
    found = {os.path.abspath(path) for path in wanted if os.path.lexists(path)}
    unsafe = {"/", str(package.parent), str(Path.home())}
    found -= unsafe
    return sorted(path for path in found if not any(path != other and path.startswith(f"{other}/") for other in found))


def hidden() -> list[str]:
    """What must not be seen though it stands in a folder that may be: the judges, with the right answers in them."""
    house, seen = package_folder().parent, readable()
    names = ("workbook/exercises", "book", "solutions", "my-work", "tests", ".git")
    folders = [str(house / name) for name in names if (house / name).is_dir()]
    return [folder for folder in folders if any(f"{folder}/".startswith(f"{path}/") for path in seen)]


def environment(folder: Path) -> dict[str, str]:
    """The environment of a learner's process: nothing of this one's but where programs and words are."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "TEMP": str(folder),
        "TMP": str(folder),
        "WORKBOOK_CHECK": "class",
        "WORKBOOK_STATE": str(folder / "state"),
        "IPYTHONDIR": str(folder / "ipython"),
        "MPLBACKEND": "agg",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def command(kind: str, folder: Path, argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` behind this guard, with `folder` to write in. Raises `Misuse` for a guard
    unknown."""
    env = environment(folder)
    if kind == "process":
        return list(argv)
    if kind == "bubblewrap":
        return _bubblewrap(folder, env, argv)
    if kind == "unshare":
        root = folder.parent / f"{folder.name}-root"
        root.mkdir(exist_ok=True)
        spec = {
            "root": str(root), "read": readable(), "hide": hidden(), "files": FILES, "write": str(folder),
            "argv": list(argv), "env": env,
        }  # fmt: skip
        launcher = str(Path(__file__).with_name("enclosure.py"))
        return [sys.executable, "-I", "-S", launcher, json.dumps(spec)]
    raise Misuse(f"There is no guard {kind!r}.", next=f"choose {', '.join(GUARDS)}")


def _bubblewrap(folder: Path, env: dict[str, str], argv: Sequence[str]) -> list[str]:
    (folder / ".etc").mkdir(exist_ok=True)
    made = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--uid", "1000", "--gid", "1000"]
    made += ["--unshare-user", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--clearenv"]
    for path in sorted(readable(), key=len):
        if os.path.islink(path):
            made += ["--symlink", os.readlink(path), path]
        else:
            made += ["--ro-bind", path, path]
    for path in hidden():
        made += ["--tmpfs", path, "--remount-ro", path]
    for name, text in FILES.items():
        source = folder / ".etc" / Path(name).name
        source.write_text(text)
        made += ["--ro-bind", str(source), name]
    made += ["--bind", str(folder), str(folder), "--chdir", str(folder)]
    for name, value in env.items():
        made += ["--setenv", name, value]
    return [*made, "--", *argv]


@functools.cache
def guard() -> str:
    """The strongest guard that works here, found out by trying."""
    if sys.platform != "linux":
        return "process"
    for kind in GUARDS[:-1]:
        if works(kind):
            return kind
    return "process"


@functools.cache
def works(kind: str) -> bool:
    """Whether this guard works here: whether the package can be imported behind it and, but for a mere process, the
    exercises cannot be seen."""
    if kind == "bubblewrap" and shutil.which("bwrap") is None:
        return False
    if kind != "process" and sys.platform != "linux":
        return False
    with tempfile.TemporaryDirectory(prefix="wb-") as name:
        folder = Path(name) / "w"
        folder.mkdir()
        unseen = [] if kind == "process" else hidden()
        probe = f"import os; from workbook.errors import Misuse; assert not any(map(os.listdir, {unseen!r}))"
        try:
            done = subprocess.run(
                command(kind, folder, python(probe)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TRIAL_S,
                env=environment(folder),
                cwd=folder,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def python(source: str) -> list[str]:
    """The command that runs a line of Python with this package at hand and nothing of the current folder."""
    start = f"import sys; sys.path.insert(0, {str(package_folder().parent)!r}); "
    return [sys.executable, "-I", "-c", start + source]
