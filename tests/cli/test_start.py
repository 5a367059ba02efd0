"""`start.py` before anything is installed: each thing that can be missing gives one sentence that says what to do.

The causes are real: other Pythons, a Python without `ensurepip`, a disk of two megabytes, an index that nobody answers at,
an index that never answers. What is missing on this machine is skipped, and the report says so.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)
NEEDS = ("start.py", "requirements.txt", "pyproject.toml")
POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and links")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What `start.py` needs, in a folder whose name has spaces."""
    folder = tmp_path / "a clone with spaces"
    folder.mkdir()
    for name in NEEDS:
        shutil.copy(ROOT / name, folder / name)
    return folder


def environment(**more: str) -> dict[str, str]:
    """The environment without what configures pip, uv or Python, and with an empty cache."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "PYTHON", "VIRTUAL_ENV", "COVERAGE"))
    }
    folders = [folder for folder in kept.get("PATH", "").split(os.pathsep) if not (Path(folder) / "uv").exists()]
    return {
        **kept,
        "PATH": os.pathsep.join(folders),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0",
        **more,
    }


def start(clone: Path, *arguments: str, python: str = BASE_PYTHON, **more: str) -> subprocess.CompletedProcess[str]:
    command = [python, "start.py", *arguments]
    return subprocess.run(
        command, cwd=clone, env=environment(**more), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The last line on standard error; it must be no traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def pythons() -> dict[str, str]:
    """Pythons on the path or of pyenv on which the workbook does not run: version to program."""
    names = ["python2.7", *(f"python3.{minor}" for minor in (*range(4, 11), 14, 15))]
    found = [shutil.which(name) for name in names]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found += [str(path) for path in sorted(pyenv.glob("*/bin/python"))]
    versions = {}
    for program in filter(None, found):
        script = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([program, "-c", script], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() not in ("3.11", "3.12", "3.13"):
            versions.setdefault(done.stdout.strip(), program)
    return versions


def test_another_python_gets_a_sentence(clone: Path) -> None:
    others = pythons()
    if not others:
        pytest.skip("no Python older than 3.11 or newer than 3.13 is here")
    for version, program in others.items():
        sentence = one_sentence(start(clone, python=program))
        word = "new" if version.startswith("3.1") and int(version.partition(".")[2]) > 13 else "old"
        assert sentence.startswith(f"This is Python {version}, which is too {word}: ")
        assert "start.py`" in sentence
        assert not (clone / ".venv").exists()


def test_its_grammar_is_one_that_old_pythons_read() -> None:
    tree = ast.parse((ROOT / "start.py").read_text(encoding="utf-8"), feature_version=(3, 4))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.JoinedStr | ast.NamedExpr | ast.AnnAssign)
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.args, *node.args.kwonlyargs]
            assert node.returns is None and not any(one.annotation for one in arguments)
            assert not node.args.posonlyargs and not node.args.kwonlyargs


def test_it_imports_the_standard_library_only() -> None:
    tree = ast.parse((ROOT / "start.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


@POSIX
@pytest.mark.parametrize("missing", ["ensurepip", "venv"])
def test_a_python_without_venv_gets_a_sentence(clone: Path, tmp_path: Path, missing: str) -> None:
    """As Debian ships it: the standard library is there, but for one package."""
    home = tmp_path / "home"
    library = Path(ast.__file__).parent
    there = home / library.relative_to(sys.base_prefix)
    there.mkdir(parents=True)
    for path in library.iterdir():
        if path.name != missing:
            (there / path.name).symlink_to(path)
    sentence = one_sentence(start(clone, PYTHONHOME=str(home)))
    assert sentence.startswith(f"This Python has no `{missing}`: install it")
    assert f"python{sys.version_info[0]}.{sys.version_info[1]}-venv" in sentence


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of sixteen megabytes."""
    folder = tmp_path / "tiny disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.name == "nt" or os.geteuid() != 0 or mount is None:
        pytest.skip("only root can make a small disk")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no disk can be mounted in this container")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_small_disk_is_seen_before_anything_is_made(tiny_disk: Path) -> None:
    for name in NEEDS:
        shutil.copy(ROOT / name, tiny_disk / name)
    sentence = one_sentence(start(tiny_disk))
    assert sentence.startswith("The disk has 1") and "free some, and run this again." in sentence
    assert not (tiny_disk / ".venv").exists()


def test_a_disk_that_fills_up_gets_a_sentence(tiny_disk: Path) -> None:
    for name in NEEDS:
        shutil.copy(ROOT / name, tiny_disk / name)
    (tiny_disk / "ballast").write_bytes(b"\0" * 12_000_000)
    command = [BASE_PYTHON, "-c", "import start; start.check_disk = lambda: None; raise SystemExit(start.main([]))"]
    done = subprocess.run(
        command, cwd=tiny_disk, env=environment(TMPDIR=str(tiny_disk)), capture_output=True, text=True
    )
    assert "the disk is full: free 1500 MB, and run this again." in one_sentence(done).lower().replace("mb", "MB")


@pytest.mark.parametrize("index", ["http://127.0.0.1:9/simple", "http://192.0.2.1/simple"], ids=["deaf", "untrusted"])
def test_no_network_gets_a_sentence_and_a_broken_environment_is_made_anew(clone: Path, index: str) -> None:
    broken = clone / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    broken.mkdir(parents=True)
    (broken / "python").write_text("half of a program")
    (clone / ".venv" / "left over").write_text("of an earlier start")
    done = start(clone, PIP_INDEX_URL=index)
    sentence = one_sentence(done)
    assert "the package index cannot be reached: look at the network" in sentence
    assert not (clone / ".venv" / "left over").exists()
    assert not (clone / ".venv" / "workbook-installed").exists()
    assert (clone / ".venv" / "workbook-unfinished").exists()


def test_an_environment_is_whole_only_where_nothing_broke_off(clone: Path) -> None:
    """Back at the version before an upgrade that broke off, the old stamp fits again."""
    script = """if True:
        import os, start
        os.makedirs(os.path.dirname(start.PYTHON))
        open(start.PYTHON, "w").close()
        with open(start.STAMP, "w") as file:
            file.write(start.wanted())
        whole = start.installed()
        open(start.UNFINISHED, "w").close()
        print(whole, start.installed())"""
    done = subprocess.run([BASE_PYTHON, "-c", script], cwd=clone, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_a_package_that_is_not_made_for_this_system_is_not_the_networks_fault(clone: Path, tmp_path: Path) -> None:
    for name, system in (("here", "any"), ("elsewhere", "system_of_nobody")):
        with zipfile.ZipFile(tmp_path / f"{name}-1-py3-none-{system}.whl", "w") as wheel:
            wheel.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
            wheel.writestr(f"{name}-1.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: py3-none-{system}\n")
            wheel.writestr(f"{name}-1.dist-info/RECORD", "")
    (clone / "requirements.txt").write_text("here==1\nelsewhere==1\n")
    done = start(clone, PIP_NO_INDEX="1", PIP_FIND_LINKS=tmp_path.as_uri())
    assert "a package of requirements.txt is not to be had for this Python on this system" in one_sentence(done)


@POSIX
def test_where_uv_fails_pip_has_a_try(clone: Path, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "uv"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'error: no such index' >&2\nexit 2\n")
    fake.chmod(0o755)
    path = f"{fake.parent}{os.pathsep}{environment()['PATH']}"
    done = start(clone, PATH=path, PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert "uv could not do it: Making an environment in .venv (by uv) failed: error: no such index" in done.stderr
    assert "the package index cannot be reached" in one_sentence(done)


@pytest.fixture
def silent_index() -> Iterator[tuple[str, threading.Event]]:
    """An index that takes calls and never answers, and the event of the first call."""
    called = threading.Event()
    held = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    held.append(server.accept())
                except OSError:
                    return
                called.set()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple", called
        for connection, _ in held:
            connection.close()


@POSIX
def test_ctrl_c_leaves_nothing_that_breaks_the_next_start(
    clone: Path, silent_index: tuple[str, threading.Event]
) -> None:
    url, called = silent_index
    command = [BASE_PYTHON, "start.py", "doctor"]
    env = environment(PIP_INDEX_URL=url)
    first = subprocess.Popen(command, cwd=clone, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert called.wait(120)
    second = subprocess.Popen(command, cwd=clone, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert second.stderr is not None
    assert second.stderr.readline() == "Another start is installing here; waiting for it ...\n"
    os.killpg(second.pid, signal.SIGINT)
    assert second.wait(60) == 130
    second.stderr.close()
    os.killpg(first.pid, signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 130
    assert said.endswith("Stopped. Nothing is broken: run it again, and it goes on.\n")
    assert "Traceback" not in said
    assert (clone / ".venv" / "workbook-unfinished").exists()
    again = start(clone, PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert "Making an environment in .venv ..." in again.stderr
    assert "cannot be reached" in one_sentence(again)


def whole_clone(folder: Path) -> Path:
    """A copy of this checkout as git would clone it, with what is not committed yet."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.slow
def test_a_clone_installs_and_starts_again_without_installing(tmp_path: Path) -> None:
    """With this machine's own configuration of pip, in a folder whose name has spaces."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    clone = whole_clone(tmp_path / "a clone with spaces")
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [BASE_PYTHON, "start.py", "doctor", "--json"]
    first = subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True)
    if "cannot be reached" in first.stderr:
        pytest.skip("no package index can be reached from here")
    report = json.loads(first.stdout)
    assert first.returncode == 0 and report["fine"], report
    assert "Installed in" in first.stderr
    second = subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True)
    assert second.returncode == 0 and second.stderr == ""
    with (clone / "requirements.txt").open("a") as file:
        file.write("# a newer list\n")
    third = subprocess.run([*command[:2], "--help"], cwd=clone, env=env, capture_output=True, text=True)
    assert "Installed in" in third.stderr and "Making an environment" not in third.stderr
    assert "lab" in third.stdout
