"""The learner's end of a class: answers go to the judge as lines of JSON, and the judge calls functions back.

    learner's process (WORKBOOK_CHECK=class)               judge's process
    check(id, answer) ── {"check": id, "answer": [...]} ──▶
                      ◀── {"call": 0, "args": [...]} ───────   as often as the judge likes
                      ── {"result": [...]} ────────────────▶
                      ◀── {"received": true} ───────────────

Nothing that comes back says how good an answer is. Both ends read and write plain text: whatever the learner's code
does to this module, it can hand in an answer and nothing more. The process that runs a notebook opens the channel
(`open_channel`); elsewhere the mode `class` has no judge, and says so.

    >>> print(Received("indexes-order", 3))
    indexes-order: received (3 of at most 50).

Left out: encryption; the ends are two processes of one machine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, Any

from workbook.errors import Unavailable
from workbook.grading.answer import FunctionFailed, NotPlain, Wire, decode, encode, line
from workbook.grading.local import InProcess, paused

CALLS_MAX = 50


@dataclass(frozen=True, slots=True)
class Received:
    """What a check gives in a class."""

    id: str
    number: int

    def __str__(self) -> str:
        if self.number > CALLS_MAX:
            return f"{self.id}: not received, there were {CALLS_MAX} before; the last of those counts."
        return f"{self.id}: received ({self.number} of at most {CALLS_MAX})."

    __repr__ = __str__


class Channel:
    """Two streams of lines, one each way."""

    def __init__(self, reading: IO[str], writing: IO[str]) -> None:
        self._reading, self._writing = reading, writing
        self._kept: list[Any] = []
        self._calls: dict[str, int] = {}
        self._caller = InProcess()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message. Raises `NotPlain` for one that is too long; then nothing was sent."""
        self._writing.write(line(message) + "\n")
        self._writing.flush()

    def receive(self) -> dict[str, Any]:
        """The next message. Raises `EOFError` when the judge has gone."""
        line = self._reading.readline()
        if not line:
            raise EOFError("The judge has gone.")
        message: dict[str, Any] = json.loads(line)
        return message

    def start(self, lab: str, seed: int) -> None:
        """Tell the judge which lab begins, and with which seed."""
        self.send({"start": lab, "seed": seed})

    def check(self, id: str, answer: Any) -> Received:
        """Hand an answer to the judge, and serve what it asks for until it has received it."""
        if type(id) is not str:
            id = str(id)
        self._calls[id] = self._calls.get(id, 0) + 1
        if self._calls[id] <= CALLS_MAX:
            with paused():
                self._hand_in(id, answer)
        return Received(id, self._calls[id])

    def _hand_in(self, id: str, answer: Any) -> None:
        try:
            self.send({"check": id, "answer": encode(answer, self._keep)})
        except NotPlain as refusal:
            self.send({"check": id, "refused": refusal.sentence[:500]})
        while True:
            message = self.receive()
            if "received" in message:
                return
            self._serve(message)

    def practice(self, id: str) -> Any:
        """An engine on the data of an exercise; the judge makes the database."""
        with paused():
            self.send({"practice": str(id)})
            sent = self.receive()
        if "engine" not in sent:
            raise Unavailable(f"There is no data for {id}.", tried=str(sent.get("refused", ""))[:300])
        return _argument(sent)

    def _keep(self, thing: Any) -> int:
        import workbook.schedules.stage  # noqa: F401  (what a call needs is loaded before a call's clock runs)

        self._kept.append(thing)
        return len(self._kept) - 1

    def _serve(self, message: dict[str, Any]) -> None:
        """Do what the judge asks for: call a function, or go on with a generator."""
        try:
            self.send({"result": self._do(message)})
        except FunctionFailed as failure:
            self.send({"failed": failure.what[:500], "line": failure.line[:300], "state": failure.state})
        except NotPlain as refusal:
            self.send({"failed": str(refusal)[:500], "line": "", "state": "error"})

    def _do(self, message: dict[str, Any]) -> Wire:
        thing, deadline_s = self._kept[message["thing"]], message["deadline_s"]
        if message["do"] == "resume":
            value = decode(message["value"])
            return encode(self._caller.resume(thing, message["how"], value, deadline_s))
        args = tuple(_argument(arg) for arg in message["args"])
        named = {name: _argument(arg) for name, arg in message["named"].items()}
        if message["do"] == "start":
            return encode(self._keep(self._caller.start(thing, args, named, deadline_s)))
        return encode(self._caller.call(thing, args, named, deadline_s))


def _argument(sent: dict[str, Any]) -> Any:
    """An argument of the judge's: plain data, or an engine by its URL."""
    if "engine" in sent:
        import sqlalchemy

        return sqlalchemy.create_engine(sent["engine"], poolclass=sqlalchemy.NullPool)
    return decode(sent["plain"])


_channel: Channel | None = None


def open_channel(reading: IO[str], writing: IO[str]) -> Channel:
    """Open this process's channel to its judge."""
    global _channel
    _channel = Channel(reading, writing)
    return _channel


def to_judge() -> Channel:
    """This process's channel. Raises `Unavailable` where nobody opened one."""
    if _channel is None:
        raise Unavailable(
            "No judge is listening: the mode `class` is for notebooks that are run by `workbook check`.",
            tried="WORKBOOK_CHECK=class",
            next="unset WORKBOOK_CHECK to have answers judged here",
        )
    return _channel
