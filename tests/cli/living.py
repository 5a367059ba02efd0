"""The command `workbook` beside a living process, each with the databases of one folder: what a kernel is while its person
works in a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def environment(state: Path) -> dict[str, str]:
    """That of a person whose databases stand in a folder of their own."""
    others = ("WORKBOOK_POSTGRES_URL", "WORKBOOK_CHECK", "WORKBOOK_MY_WORK")
    kept = {name: value for name, value in os.environ.items() if name not in others}
    return {**kept, "WORKBOOK_STATE": str(state)}


def workbook(*arguments: str, state: Path, said: str = "") -> subprocess.CompletedProcess[str]:
    """What the command says; `said` is what the person types."""
    program = [sys.executable, "-m", "workbook.cli", *arguments]
    return subprocess.run(
        program, input=said, cwd=state, env=environment(state), capture_output=True, text=True, timeout=120
    )


class Kernel:
    """A process that runs lines one after the other; `does` gives what a line printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def does(self, code: str) -> str:
        """Run code, and give what it printed; where it raised, the class and the sentence."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{code!r}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process has ended"
        return str(eval(answer))


LOOP = """
import contextlib, io, sys
names = {}
for line in sys.stdin:
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(eval(line), names)
    except BaseException as error:
        out.write(f"{type(error).__name__}: {error}")
    print(repr(out.getvalue().strip()), flush=True)
"""


@contextmanager
def kernel(state: Path) -> Iterator[Kernel]:
    """A living process; what it wrote to standard error must be nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", LOOP],
        cwd=state,
        env=environment(state),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Kernel(process)
            _, error = process.communicate(timeout=60)
            assert error == ""
        finally:
            process.kill()
