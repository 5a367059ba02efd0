"""Sessions that each run in a thread of their own, for engines whose connections block.

    Stage ── send ──▶ Worker T1 ─┐                 a statement a time
                      Worker T2 ─┼─ one queue ──▶ answers()
                      Worker T3 ─┘                 a worker that comes to wait may nudge the queue

A connection belongs to its worker's thread, and is touched by no other, but to interrupt it. The workers are used
again for the next schedule, by their number and not by their name. Whatever a statement raises, also what neither
engine nor driver foresaw, becomes its answer: a thread that ended would leave the schedule waiting.

    >>> queue = Answers()
    >>> worker = Worker(0, queue)
    >>> worker.do(lambda: Answer("idle", rowcount=7))
    >>> [answer.rowcount for _, answer in queue.take(5)], worker.end()
    ([7], True)

Left out: what a statement does, and how waiting is seen (the engines say both).
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from workbook.schedules.engine import Answer, Engine, State
from workbook.schedules.schedule import Schedule

T = TypeVar("T")
CALL_S, CANCELLED_S = 30.0, 5.0


class Answers:
    """The queue into which all workers of an engine put what came back."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Worker, Answer] | None] = queue.SimpleQueue()

    def put(self, worker: Worker, answer: Answer) -> None:
        self._queue.put((worker, answer))

    def nudge(self) -> None:
        """Let `take` return: something has happened that is no answer."""
        self._queue.put(None)

    def take(self, timeout_s: float) -> list[tuple[Worker, Answer]]:
        """What is there; waits up to `timeout_s` seconds for the first answer or nudge."""
        came: list[tuple[Worker, Answer]] = []
        try:
            item = self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
            while True:
                if item is not None:
                    item[0].running = False
                    came.append(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            return came


class Worker:
    """A thread with a connection of its own. `do` begins a statement, whose answer comes into the queue; `call` waits
    for what a function gives."""

    def __init__(self, number: int, answers: Answers) -> None:
        self.number, self.name, self.level = number, "", ""
        self.running = self.lost = False
        self.connection: Any = None
        self._answers = answers
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name=f"session {number}", daemon=True)
        self.thread.start()

    def do(self, task: Callable[[], Answer]) -> None:
        """Begin a statement."""
        self.running = True
        self._tasks.put(lambda: self._answers.put(self, task()))

    def call(self, function: Callable[[], T], timeout_s: float = CALL_S) -> T:
        """What a function gives that is run in this thread. Raises what it raises, and `TimeoutError`."""
        given: Future[T] = Future()

        def task() -> None:
            try:
                given.set_result(function())
            except BaseException as error:
                given.set_exception(error)

        self._tasks.put(task)
        return given.result(timeout_s)

    def end(self, timeout_s: float = CANCELLED_S) -> bool:
        """Let the thread end once its task has; whether it did."""
        self._tasks.put(None)
        self.thread.join(timeout_s)
        return not self.thread.is_alive()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()


class Threads(Engine):
    """An engine whose sessions are workers. What an engine adds: how to open, to run, to interrupt and to leave."""

    def __init__(self) -> None:
        self.came = Answers()
        self.workers: list[Worker] = []
        self.seated: dict[str, Worker] = {}

    @abstractmethod
    def open(self, worker: Worker) -> Any:
        """A new connection, made in the worker's thread."""

    @abstractmethod
    def execute(self, worker: Worker, sql: str) -> Answer:
        """Run a statement in the worker's thread; every error of the engine becomes an answer."""

    @abstractmethod
    def state(self, worker: Worker) -> State:
        """What an error has left of the session's transaction, asked in the worker's thread."""

    @abstractmethod
    def interrupt(self, worker: Worker) -> None:
        """Stop what a worker runs, from another thread."""

    @abstractmethod
    def seat(self, worker: Worker, level: str) -> None:
        """Give a session its level, in the worker's thread."""

    @abstractmethod
    def unseat(self, worker: Worker) -> None:
        """End a session's transaction and forget what it has set, in the worker's thread; raises what the engine
        raises, and then the connection is closed."""

    def sit(self, schedule: Schedule, levels: Mapping[str, str]) -> None:
        """A worker with a connection for each session of a schedule."""
        while len(self.workers) < len(levels):
            self.workers.append(Worker(len(self.workers), self.came))
        self.seated = {}
        for worker, (name, level) in zip(self.workers, levels.items(), strict=False):
            worker.name, worker.level, worker.lost = name, level, False
            self.seated[name] = worker
            if worker.connection is None:
                worker.connection = worker.call(lambda worker=worker: self.open(worker))  # type: ignore[misc]
            worker.call(lambda worker=worker, level=level: self.seat(worker, level))  # type: ignore[misc]
        self.came.take(0)

    def send(self, session: str, sql: str) -> None:
        worker = self.seated[session]
        worker.do(lambda: self._answer(worker, sql))

    def _answer(self, worker: Worker, sql: str) -> Answer:
        """What `execute` gives; an error of which it knows nothing is told by its class."""
        try:
            return self.execute(worker, sql)
        except Exception as error:
            try:
                state = self.state(worker)
            except Exception:
                state = "lost"
            return Answer(state, failed=True, sqlstate=type(error).__name__, message=sentence(error))

    def answers(self, timeout_s: float) -> list[tuple[str, Answer]]:
        return [(worker.name, answer) for worker, answer in self.came.take(timeout_s)]

    def leave(self) -> None:
        for worker in self.seated.values():
            try:
                worker.call(lambda worker=worker: self.unseat(worker))  # type: ignore[misc]
            except Exception:
                self.drop(worker)
        self.seated = {}

    def cancel(self) -> None:
        deadline = time.monotonic() + CANCELLED_S
        while (
            running := [worker for worker in self.seated.values() if worker.running]
        ) and time.monotonic() < deadline:
            for worker in running:
                self.interrupt(worker)
            self.came.take(0.05)
        for worker in running:
            self.drop(worker)

    def drop(self, worker: Worker) -> None:
        """Give a worker up, and the connection with it: the next schedule has a new one."""
        worker.running = False
        if worker in self.workers:
            self.workers.remove(worker)
        worker.end(0)

    def close_all(self) -> None:
        """Close every connection and end every thread."""
        for worker in self.workers:
            if worker.connection is not None:
                with contextlib.suppress(Exception):
                    worker.call(worker.connection.close)
            worker.end()
        self.workers, self.seated = [], {}


def sentence(error: BaseException) -> str:
    """The first line of what an error says, without a stop; its class where it says nothing.

    >>> sentence(ValueError("no such step.")), sentence(KeyError())
    ('no such step', 'KeyError')
    """
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
