"""The judge's end of a class: a learner's process, what it hands in, and calls into its functions.

    Link ── starts ──▶ the learner's process, behind a guard
      │ run(cell) ───▶ Event("check", ...), Event("start", ...), then Event("ended", ...)
      └ Remote ──────▶ a `Function` for the judge, whose calls cross and come back as plain data

What the process writes is not trusted: lines are bounded, JSON is decoded by `answer.decode`, and whatever is not as it
should be ends the process, not the judge. It is watched, however much it says: past a deadline, past its memory, or
with too many processes, it is killed, and `Ended` says how. What is sent to it waits in a thread of its own, so that a
process that reads nothing holds nobody up. Nothing is left behind when it is closed.

    >>> Ended("crashed", "the process ended").state
    'crashed'

Left out: what the answers are worth.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psutil

from workbook.engines import places
from workbook.grading import guard
from workbook.grading.answer import LINE_MAX, Function, FunctionFailed, NotPlain, decode, encode
from workbook.grading.local import is_engine
from workbook.grading.relay import Relay, room

START_S = 60
GRACE_S = 3.0
WATCH_S = 0.2
UNREAD_MAX = 1000
PROCESSES_MAX = 120
ADDRESSES_MB = 6000
KILLED = (-9, 137, 247)  # by a signal, as a shell tells it, as our launcher does


class Ended(Exception):
    """The learner's process is no more. `state`: `crashed`, `timed out`, `out of memory`."""

    def __init__(self, state: str, what: str) -> None:
        self.state = state
        super().__init__(what)


class Link:
    """A learner's process behind a guard. Close it, or use it as a context.

    Parameters: the guard's name; the memory in MB that its processes may have together; a folder to work in, which the
    caller removes.
    """

    def __init__(self, kind: str, folder: Path, *, memory_mb: int = 2000) -> None:
        self.kind, self.folder, self.memory_mb = kind, folder, memory_mb
        argv = guard.python(f"from workbook.grading.learner import main; main({ADDRESSES_MB})")
        self.process = subprocess.Popen(
            guard.command(kind, folder, argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=guard.environment(folder),
            cwd=folder,
            **places.apart(),
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue(maxsize=100)
        self._to_send: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        assert self.process.stdin is not None and self.process.stdout is not None
        threading.Thread(target=_pump, args=(self.process.stdout, self._lines), daemon=True).start()
        threading.Thread(target=_write, args=(self.process.stdin, self._to_send), daemon=True).start()
        self._relays: dict[str, Relay] = {}
        self._closed, self._watched, self._bytes_seen = False, time.monotonic(), 0
        self.receive(START_S)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, without waiting until it is read. Raises `Ended` when the process is gone."""
        if self._closed:
            raise Ended("crashed", "the process that ran the notebook ended")
        if self._to_send.qsize() > UNREAD_MAX:
            self._end("crashed", "the process that ran the notebook reads nothing; it was ended")
        self._to_send.put(json.dumps(message).encode() + b"\n")

    def receive(self, deadline_s: float, since: float | None = None) -> dict[str, Any]:
        """The next message, within a deadline from now, or from another time `since` of `time.monotonic()`. Raises `Ended`
        when there comes none; then the process is gone."""
        until = (time.monotonic() if since is None else since) + deadline_s
        while True:
            now = time.monotonic()
            if now > until:
                self._end("timed out", f"no answer within {deadline_s:g} s; the process was ended")
            if now > self._watched + WATCH_S:
                self._watch()
            try:
                line = self._lines.get(timeout=WATCH_S)
            except queue.Empty:
                continue
            if line is None:
                self._end(*self._how_it_ended())
            try:
                message = json.loads(line or b"")
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict):
                return message

    def _watch(self) -> None:
        """End the process when it, or what it started, has grown past its bounds."""
        self._watched = time.monotonic()
        processes = _family(self.process.pid)
        if len(processes) > PROCESSES_MAX:
            self._end("crashed", f"more than {PROCESSES_MAX} processes were started")
        self._bytes_seen = sum(map(_own_bytes, processes))
        if self._bytes_seen > self.memory_mb * 1024 * 1024:
            self._end("out of memory", f"more than {self.memory_mb} MB were used")

    def _how_it_ended(self) -> tuple[str, str]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_S)
        code = self.process.returncode
        if code in (-signal.SIGTERM, None):
            return "crashed", "the process that ran the notebook was ended"
        if code in KILLED and self._bytes_seen > self.memory_mb * 1024 * 1024 // 2:
            return "out of memory", "the system ended the process, as it does when memory is short"
        return "crashed", f"the process that ran the notebook ended with exit code {code}"

    def _end(self, state: str, what: str) -> None:
        self.close()
        raise Ended(state, what)

    def close(self) -> None:
        """End the process and all that it started."""
        family = _family(self.process.pid) if self.process.poll() is None else []
        strays = _at_home(self.folder) if self.kind == "process" else ()
        for process in [*family, *_clusters(self.folder), *strays]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._closed = True
        self._to_send.put(None)
        if self.process.stdout is not None:
            with contextlib.suppress(OSError):
                self.process.stdout.close()
        for relay in self._relays.values():
            relay.close()
        self._relays.clear()

    def engine_url(self, engine: Any) -> str:
        """The URL under which the learner's process reaches the database of an engine, and nothing else of its
        server."""
        if engine.dialect.name != "postgresql":
            raise NotPlain(f"An engine of {engine.dialect.name} cannot cross to another process.")
        with engine.connect() as connection:
            info = connection.connection.driver_connection.info
            where, user, password, name = (info.host, info.port), info.user, info.password, info.dbname
        key = f"{where}"
        if key not in self._relays:
            self._relays[key] = Relay(where[0], int(where[1]), self.folder / f"s{len(self._relays)}")
        import sqlalchemy

        query = {"host": self._relays[key].host}
        port = self._relays[key].port
        url = sqlalchemy.URL.create("postgresql+psycopg", user, password, database=name, port=port, query=query)
        return url.render_as_string(hide_password=False)


def _pump(stream: IO[bytes], lines: queue.Queue[bytes | None]) -> None:
    """Read lines until the stream ends; a line that is longer than allowed ends it."""
    with contextlib.suppress(OSError, ValueError):
        while line := stream.readline(LINE_MAX + 1):
            if len(line) > LINE_MAX:
                break
            lines.put(line)
    lines.put(None)


def _write(stream: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    """Write lines until there are no more, or nobody who reads them."""
    with contextlib.suppress(OSError, ValueError), stream:
        while (line := lines.get()) is not None:
            stream.write(line)
            stream.flush()


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _own_bytes(process: psutil.Process) -> int:
    """The memory that is a process's alone, or nearly."""
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0
    return max(int(memory.rss) - int(getattr(memory, "shared", 0)), 0)


def _clusters(folder: Path) -> Iterator[psutil.Process]:
    """The database servers that were started in a folder; a server is nobody's child."""
    for file in folder.glob("state/**/postmaster.pid"):
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
            process = psutil.Process(int(file.read_text().split("\n")[0]))
            if str(file.parent) in " ".join(process.cmdline()):
                yield from process.children(recursive=True)
                yield process


def _at_home(folder: Path) -> Iterator[psutil.Process]:
    """The processes whose home is this folder: what a notebook's code started and left behind."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("HOME") == str(folder):
                yield process


class Remote:
    """Calls a learner's functions in the learner's process: a `Caller`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def call(self, function: Any, args: tuple[Any, ...], named: dict[str, Any], deadline_s: float) -> Any:
        return self._ask({"do": "call", "thing": function, **self._arguments(args, named)}, deadline_s)

    def start(self, function: Any, args: tuple[Any, ...], named: dict[str, Any], deadline_s: float) -> Any:
        thing = self._ask({"do": "start", "thing": function, **self._arguments(args, named)}, deadline_s)
        if type(thing) is not int:
            raise FunctionFailed("The generator cannot be found again.")
        return thing

    def resume(self, generator: Any, how: str, value: Any, deadline_s: float) -> tuple[bool, Any]:
        given = self._ask({"do": "resume", "thing": generator, "how": how, "value": encode(value)}, deadline_s)
        if type(given) is not tuple or len(given) != 2 or type(given[0]) is not bool:
            raise FunctionFailed("The generator gave back nothing that can be understood.")
        return given

    def _arguments(self, args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        return {
            "args": [self._argument(arg) for arg in args],
            "named": {name: self._argument(arg) for name, arg in named.items()},
        }

    def _argument(self, value: Any) -> dict[str, Any]:
        if is_engine(value):
            return {"engine": self._link.engine_url(value)}
        return {"plain": encode(value, where="argument")}

    def _ask(self, message: dict[str, Any], deadline_s: float) -> Any:
        try:
            self._link.send({**message, "deadline_s": deadline_s})
            answer = self._link.receive(deadline_s + GRACE_S)
        except Ended as ended:
            raise FunctionFailed(f"While the function ran, {ended}.", state=ended.state) from ended
        if "failed" in answer:
            states = ("error", "timed out", "crashed", "out of memory")
            state = answer.get("state") if answer.get("state") in states else "error"
            raise FunctionFailed(str(answer["failed"])[:500], line=str(answer.get("line", ""))[:300], state=str(state))
        try:
            return decode(answer.get("result"))
        except NotPlain as refusal:
            raise FunctionFailed(f"The function gave back no plain data: {refusal}") from None


def answer_of(message: dict[str, Any], remote: Remote) -> Any:
    """What a message of a check hands in. Raises `NotPlain`."""
    if "refused" in message:
        raise NotPlain(str(message["refused"])[:500])
    return decode(message.get("answer"), lambda number, name: Function(remote, number, name[:80]))


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """A short-named folder of a run's own, which is removed with everything in it."""
    outer = room("wb-")
    folder = outer / "w"
    folder.mkdir()
    try:
        yield folder
    finally:
        for process in list(_clusters(folder)):
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(outer, ignore_errors=True)
