"""Makes the workbook's environment and runs the command `workbook` in it: `python3 start.py [COMMAND ...]`.

    start.py            opens JupyterLab at the first notebook
    start.py test       passes the tests (`--all` adds the slow ones; what else follows goes to pytest)
    start.py doctor     says what is here and what is missing

    is .venv what requirements.txt asks for? --yes--> workbook COMMAND
        | no                                              ^
        v                                                 |
    make .venv, install, write the stamp -----------------+

Needs nothing but Python 3.11, 3.12 or 3.13. A start that was interrupted leaves the file `workbook-unfinished` in `.venv`, and the
next one begins anew. This file keeps to a grammar that older versions read, so that they get a sentence, too: no annotations
and no f-strings here.
"""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "workbook-installed")
UNFINISHED = os.path.join(VENV, "workbook-unfinished")
WINDOWS = os.name == "nt"
PYTHON = os.path.join(VENV, "Scripts" if WINDOWS else "bin", "python.exe" if WINDOWS else "python")
OLDEST, NEWEST = (3, 11), (3, 13)
NEEDED_MB = 1500
OFFLINE = (
    "name or service not known", "temporary failure in name resolution", "failed to establish a new connection", "network is unreachable",
    "connection refused", "no route to host", "not a trusted or secure host", "dns error", "error sending request", "connectionerror", "connecttimeout", "read timed out",
    "proxyerror", "getaddrinfo failed", "nodename nor servname", "connection aborted", "connection reset", "failed to fetch", "sslerror",
)  # fmt: skip
"""What pip and uv say when they cannot reach an index."""


class Stop(Exception):
    """Something that the person at the desk can mend: one sentence."""


def say(line):
    """A line on standard error, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def check_python(version):
    """Raise Stop unless the workbook runs on this version of Python."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return
    here = "This is Python %d.%d, which is too %s: " % (
        version[0],
        version[1],
        "old" if version[:2] < OLDEST else "new",
    )
    for minor in (13, 12, 11):
        command = ["py", "-3.%d" % minor] if WINDOWS else ["python3.%d" % minor]
        if runs(command + ["-c", "pass"]):
            raise Stop(here + "run `%s start.py` instead." % " ".join(command))
    raise Stop(here + "install Python 3.13 (3.12 and 3.11 do as well) and run `python3.13 start.py`.")


def runs(command):
    """Whether a command runs and ends well."""
    try:
        with open(os.devnull, "r+") as nothing:
            return subprocess.call(command, stdin=nothing, stdout=nothing, stderr=nothing) == 0
    except OSError:
        return False


def wanted():
    """What an installed environment must have been made from."""
    digest = hashlib.sha256(("%d.%d %s" % (sys.version_info[0], sys.version_info[1], VENV)).encode())
    for name in ("requirements.txt", "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def installed():
    """Whether the environment is there, whole and up to date."""
    try:
        with open(STAMP) as file:
            return file.read() == wanted() and os.path.exists(PYTHON) and not os.path.exists(UNFINISHED)
    except OSError:
        return False


def lock():
    """Keep other starts in this folder waiting until this process ends; where locks do not work, go on without."""
    file = open(os.path.abspath(__file__), "rb")  # noqa: SIM115 - whoever calls this closes it
    try:
        if WINDOWS:
            import msvcrt

            file.seek(1 << 30)
            waited = False
            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                    break
                except OSError as error:
                    if error.errno not in (errno.EACCES, errno.EDEADLK):
                        raise
                if not waited:
                    say("Another start is installing here; waiting for it ...")
                waited = True
                time.sleep(1)
        else:
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another start is installing here; waiting for it ...")
                fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        pass
    return file


def install():
    """Make the environment anew where it is missing, half-made or of another Python; else bring it up to date."""
    begun = time.time()
    whole = os.path.exists(STAMP) and not os.path.exists(UNFINISHED)
    same = "import sys; sys.exit(sys.version_info[:2] != %r or sys.prefix == sys.base_prefix)" % (sys.version_info[:2],)
    if not (whole and runs([PYTHON, "-c", same])):
        check_disk()
        remove()
    os.makedirs(VENV, exist_ok=True)
    with open(UNFINISHED, "w"):
        pass
    uv = shutil.which("uv")
    if not (uv and install_by_uv(uv)):
        install_by_pip()
    with open(STAMP, "w") as file:
        file.write(wanted())
    os.remove(UNFINISHED)
    say("Installed in %d s." % (time.time() - begun))


def free_mb(folder):
    """Free space of the disk that a folder stands on, in MB."""
    return shutil.disk_usage(folder).free // 1000000


def check_disk():
    if free_mb(ROOT) < NEEDED_MB:
        raise Stop(
            "The disk has %d MB left and the workbook needs %d: free some, and run this again."
            % (free_mb(ROOT), NEEDED_MB)
        )


def remove():
    """Remove the environment. Raises Stop where something in it is in use."""
    if os.path.islink(VENV):
        os.remove(VENV)
    shutil.rmtree(VENV, ignore_errors=True)
    if os.path.exists(PYTHON):
        raise Stop(
            "The folder .venv is old and cannot be removed: close JupyterLab and whatever else uses it, or remove it yourself."
        )


def install_by_uv(uv):
    """Install by uv; whether it did. uv does not read pip's configuration, so where it fails, pip has a try."""
    try:
        if not os.path.exists(PYTHON):
            run(
                [uv, "venv", "--quiet", "--allow-existing", "--python", base_python(), VENV],
                "Making an environment in .venv (by uv)",
            )
        pip = [uv, "pip", "install", "--python", PYTHON]
        run(pip + ["-r", "requirements.txt"], "Installing what the workbook needs (by uv; once)")
        run(pip + ["--no-deps", "--no-build-isolation", "-e", "."], "Installing the workbook")
        return True
    except Stop as stop:
        say("uv could not do it: %s" % stop)
        remove()
        os.makedirs(VENV, exist_ok=True)
        with open(UNFINISHED, "w"):
            pass
        return False


def install_by_pip():
    if not os.path.exists(PYTHON):
        check_venv()
        run([base_python(), "-m", "venv", VENV], "Making an environment in .venv")
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    with open(os.path.join(ROOT, "requirements.txt"), encoding="utf-8") as file:
        count = sum(1 for line in file if "==" in line and "win32" not in line and "darwin" not in line)
    run(pip + ["-r", "requirements.txt"], "Installing what the workbook needs (once; a minute or two)", count)
    run(pip + ["--no-deps", "--no-build-isolation", "-e", "."], "Installing the workbook")


def base_python():
    """The interpreter to make the environment with; not the environment's own."""
    return getattr(sys, "_base_executable", None) or sys.executable


def check_venv():
    """Raise Stop where this Python came without `venv` or `ensurepip`, as Debian's does."""
    import importlib.util

    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise Stop(
            "This Python has no `%s`: install it (Debian and Ubuntu: `sudo apt-get install python%d.%d-venv`), and run this again."
            % ((missing[0],) + tuple(sys.version_info[:2]))
        )


def run(command, what, count=0):
    """Run a command and show only a line of progress. Raises Stop with the cause in a sentence when it fails.

    `count` is how many packages pip will collect, 0 where that is not counted.
    """
    shown = Line(what, count)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV", "PIP_QUIET")
    }
    environment.update({"PYTHONUNBUFFERED": "1", "PIP_USER": "0"})
    if command[0] == base_python() and "PYTHONHOME" in os.environ:
        environment["PYTHONHOME"] = os.environ["PYTHONHOME"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = []
    try:
        for raw in process.stdout:
            said.append(raw.decode("utf-8", "replace").rstrip())
            shown.read(said[-1])
        process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        process.stdout.close()
        shown.end()
    if process.returncode != 0:
        raise Stop("%s failed: %s" % (what, cause(said) + kept(said)))


class Line(object):
    """One line on a terminal that says how far an installation is; elsewhere its beginning only."""

    def __init__(self, what, count):
        self.what, self.count, self.done, self.live = what, count, 0, sys.stderr.isatty()
        self.width = 0
        if self.live:
            self.show("")
        else:
            say(what + " ...")

    def read(self, line):
        words = line.split()
        if words[:1] == ["Collecting"]:
            self.done += 1
            self.show(
                " %d of %d: %s" % (min(self.done, self.count), self.count, words[1]) if self.count else " " + words[1]
            )
        elif line.startswith("Installing collected packages"):
            self.show(": unpacking")

    def show(self, more):
        if self.live:
            text = (self.what + more)[: max(shutil.get_terminal_size().columns - 5, 20)] + " ..."
            sys.stderr.write("\r" + text.ljust(self.width))
            sys.stderr.flush()
            self.width = len(text)

    def end(self):
        if self.live:
            sys.stderr.write("\n")


def cause(said):
    """Why an installation failed, as a sentence that says what to do."""
    low = "\n".join(said).lower()
    full = ("no space left", "errno 28", "disk full", "not enough space")
    if any(words in low for words in full) or min(free_mb(ROOT), free_mb(tempfile.gettempdir())) < 100:
        return "the disk is full: free %d MB, and run this again." % NEEDED_MB
    if "ensurepip" in low and "is not available" in low:
        return "this Python has no `ensurepip`: install python%d.%d-venv, and run this again." % tuple(
            sys.version_info[:2]
        )
    answered = any(line.startswith(("Collecting ", "Processing ")) for line in said)  # the index, for another package
    if ("from versions: none" in low and not answered) or any(words in low for words in OFFLINE):
        return "the package index cannot be reached: look at the network (or the proxy, or pip's configuration), and run this again."
    if "no matching distribution" in low or "no solution found" in low:
        return "a package of requirements.txt is not to be had for this Python on this system: Python 3.12 on Linux (not Alpine), macOS or Windows is safest."
    if "permission denied" in low or "errno 13" in low or "read-only file system" in low:
        return "this folder cannot be written to: clone the repository into a folder of your own, and run this again."
    last = [line for line in said if line.strip()][-1:]
    return "%s: run this again; it begins anew." % (last[0].strip().rstrip(".") if last else "it said nothing")


def kept(said):
    """Keep what a failed command said; where, in brackets."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="workbook-", suffix=".log", delete=False
        ) as file:
            file.write("\n".join(said) + "\n")
        return " (What was said stands in %s.)" % file.name
    except OSError:
        return ""


def hand_over(arguments):
    """Run `workbook` in the environment, in place of this process; its exit code where that cannot be done."""
    environment = dict(os.environ)
    environment.pop("PYTHONHOME", None)
    environment["PATH"] = os.path.dirname(PYTHON) + os.pathsep + environment.get("PATH", "")
    environment["VIRTUAL_ENV"] = VENV
    environment.setdefault("PYTHONUTF8", "1")  # text is UTF-8 on Windows, too
    command = [PYTHON, "-m", "workbook.cli"] + (arguments or ["lab"])
    sys.stderr.flush()
    if WINDOWS:
        process = subprocess.Popen(command, env=environment)
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                pass
    os.execve(PYTHON, command, environment)


def main(arguments):
    try:
        check_python(sys.version_info)
        if not installed():
            with lock():
                if not installed():
                    install()
        return hand_over(arguments)
    except Stop as stop:
        say(str(stop))
        return 2
    except KeyboardInterrupt:
        say("Stopped. Nothing is broken: run it again, and it goes on.")
        return 130
    except OSError as error:
        if error.errno == errno.ENOSPC:
            say("The disk is full: free %d MB, and run this again." % NEEDED_MB)
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            say(
                "%s cannot be written to: clone the repository into a folder of your own, and run this again."
                % (error.filename or ROOT)
            )
        else:
            say("%s: run this again; if that does not help, remove the folder .venv." % error)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
