"""Makes the workbook's environment and runs the command `workbook` in it: `python3 start.py [COMMAND ...]`.

    start.py            opens JupyterLab at the first notebook
    start.py test       passes the tests (`--all` adds the slow ones; what else follows goes to pytest)
    start.py doctor     says what is here and what is missing

Needs nothing but Python 3.11, 3.12 or 3.13. It keeps to a grammar that older versions read, so that they get a
sentence, too.
"""

import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "workbook-installed")
WINDOWS = os.name == "nt"
PYTHON = os.path.join(VENV, "Scripts" if WINDOWS else "bin", "python.exe" if WINDOWS else "python")
OLDEST, NEWEST = (3, 11), (3, 13)
NEEDED_MB = 1500


class Stop(Exception):
    """Something that the person at the desk can mend: one sentence."""


def check_python(version):
    """Raise Stop unless the workbook runs on this version of Python."""
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        word = "old" if tuple(version[:2]) < OLDEST else "new"
        raise Stop(
            "This is Python %d.%d, which is too %s: install Python 3.13 (3.11 and 3.12 do as well) and run `python3.13 start.py`."
            % (version[0], version[1], word)
        )


def wanted():
    """What an installed environment must have been made from."""
    digest = hashlib.sha256(sys.version.encode() + VENV.encode())
    for name in ("requirements.txt", "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def installed():
    """Whether the environment is there and up to date."""
    try:
        with open(STAMP) as file:
            return file.read() == wanted() and os.path.exists(PYTHON)
    except OSError:
        return False


def run(command, what, mend):
    """Run a command, show what it says only when it fails, and then raise Stop with the cause in a sentence."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return
    said = done.stdout.decode("utf-8", "replace")
    log = os.path.join(ROOT, "start.log")
    try:
        with open(log, "w", encoding="utf-8") as file:
            file.write(said)
    except OSError:
        log = "nowhere, since the disk is full"
    raise Stop("%s: %s (What was said stands in %s.)" % (what, cause(said) or mend, log))


def cause(said):
    """The cause that a failed installation names, as a sentence that says what to do; '' where it names none."""
    low = said.lower()
    if "no space left" in low or "errno 28" in low or "disk full" in low:
        return "the disk is full: free %d MB and run this again." % NEEDED_MB
    network = (
        "name or service not known",
        "temporary failure in name resolution",
        "failed to establish a new connection",
        "network is unreachable",
        "connection refused",
        "no route to host",
        "dns error",
        "error sending request",
        "connectionerror",
        "read timed out",
        "proxyerror",
        "getaddrinfo failed",
        "nodename nor servname",
    )
    if any(word in low for word in network):
        return "the package index cannot be reached: look at the network (or the proxy, or pip's configuration) and run this again."
    if "ensurepip" in low or "no module named venv" in low or "python3-venv" in low:
        return (
            "this Python has no `venv`: install it (Debian and Ubuntu: `sudo apt-get install python%d.%d-venv`) and run this again."
            % sys.version_info[:2]
        )
    if "no matching distribution" in low or "no solution found" in low:
        return "a package of requirements.txt is not to be had for this Python or this system: Python 3.12 on Linux, macOS or Windows is the safest."
    return ""


def free_mb():
    """Free space of the disk that the environment will stand on, in MB."""
    return shutil.disk_usage(ROOT).free // 1000000


def install():
    """Make the environment anew where it is missing, half-made or out of date."""
    if free_mb() < NEEDED_MB and not os.path.exists(PYTHON):
        raise Stop(
            "The disk has %d MB left and the workbook needs %d: free some and run this again." % (free_mb(), NEEDED_MB)
        )
    uv = shutil.which("uv")
    if os.path.exists(STAMP):
        os.remove(STAMP)
    healthy = (
        os.path.exists(PYTHON)
        and subprocess.call(
            [PYTHON, "-c", "import sys; sys.exit(sys.version_info[:2] != %r)" % (sys.version_info[:2],)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        == 0
    )
    if not healthy:
        shutil.rmtree(VENV, ignore_errors=True)
        say("Making an environment in .venv ...")
        command = (
            [uv, "venv", "--quiet", "--python", sys.executable, VENV] if uv else [sys.executable, "-m", "venv", VENV]
        )
        run(command, "The environment .venv cannot be made", "remove the folder .venv and run this again.")
    say("Installing what the workbook needs (once; a minute or two) ...")
    pip = (
        [uv, "pip", "install", "--quiet", "--python", PYTHON]
        if uv
        else [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    )
    run(
        pip + ["-r", "requirements.txt"],
        "The packages cannot be installed",
        "run it again; if it fails again, remove .venv first.",
    )
    run(pip + ["--no-deps", "-e", "."], "The workbook itself cannot be installed", "remove .venv and run this again.")
    with open(STAMP, "w") as file:
        file.write(wanted())


def say(line):
    """A line on standard error, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def hand_over(arguments):
    """Run `workbook`, or pytest for `test`, in the environment; its exit code."""
    environment = dict(os.environ)
    environment["PATH"] = os.path.dirname(PYTHON) + os.pathsep + environment.get("PATH", "")
    environment["VIRTUAL_ENV"] = VENV
    command = [PYTHON, "-m", "workbook.cli"] + (arguments or ["lab"])
    if WINDOWS:
        return subprocess.call(command, env=environment)
    os.execve(PYTHON, command, environment)


def main(arguments):
    try:
        check_python(sys.version_info)
        if not installed():
            install()
        return hand_over(arguments)
    except Stop as stop:
        say(str(stop))
        return 2
    except KeyboardInterrupt:
        say("Stopped. Nothing is broken: run it again to go on.")
        return 130
    except OSError as error:
        say("%s: %s" % ("Something of the system is in the way", cause(str(error)) or str(error)))
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
