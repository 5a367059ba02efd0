"""Sessions that each run in a thread of their own, for engines whose connections block.

    Stage ── send ──▶ Worker T1 ─┐                 a statement a time
                      Worker T2 ─┼─ one queue ──▶ answers()
                      Worker T3 ─┘                 a worker that comes to wait may nudge the queue

A connection belongs to its worker's thread: it is opened and closed there, and touched by no other, but to interrupt
it. The workers are used again for the next schedule, by their number and not by their name. A Ctrl-C comes to the main
thread, between any two of its steps, also after it has taken an answer: so whatever a worker is in is known by the
worker's thread alone (`running`, `mark`), and after a Ctrl-C none is used again. Whatever a statement raises, also what neither
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

        def whole() -> None:
            answer = task()
            self.running = False
            self._answers.put(self, answer)

        self.running = True
        self._tasks.put(whole)

    def call(self, function: Callable[[], T], timeout_s: float = CALL_S) -> T:
        """What a function gives that is run in this thread. Raises what it raises, and `TimeoutError`."""
        given: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def task() -> None:
            try:
                given.put((function(), None))
            except BaseException as error:
                given.put((None, error))

        self._tasks.put(task)
        try:
            value, error = given.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"{self.thread.name} gave nothing within {timeout_s:g} s") from None
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def mark(self) -> list[bool]:
        """A list that is filled, with a nudge of the queue, once all is over that was begun until now."""
        passed: list[bool] = []

        def pass_() -> None:
            self.running = False  # nothing was begun where a Ctrl-C came just before
            passed.append(True)
            self._answers.nudge()

        self._tasks.put(pass_)
        return passed

    def end(self, timeout_s: float = CANCELLED_S) -> bool:
        """Let the connection be closed and the thread end once its task has; whether it did."""
        self._tasks.put(self._close)
        self._tasks.put(None)
        self.thread.join(timeout_s)
        return not self.thread.is_alive()

    def _close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

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
                worker.call(lambda worker=worker: self._opened(worker))  # type: ignore[misc]
            worker.call(lambda worker=worker, level=level: self.seat(worker, level))  # type: ignore[misc]
        self.came.take(0)

    def _opened(self, worker: Worker) -> None:
        """Kept in the worker's thread: who waits for it may be interrupted."""
        worker.connection = self.open(worker)

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
        came = self.came.take(timeout_s)
        return [(worker.name, answer) for worker, answer in came if self.seated.get(worker.name) is worker]

    def leave(self) -> None:
        for worker in list(self.seated.values()):
            try:
                worker.call(lambda worker=worker: self.unseat(worker))  # type: ignore[misc]
            except Exception:
                self.drop(worker)
        self.seated = {}

    def cancel(self) -> None:
        deadline = time.monotonic() + CANCELLED_S
        marks = {worker: worker.mark() for worker in self.workers}
        while busy := [worker for worker, passed in marks.items() if not passed and worker.thread.is_alive()]:
            if time.monotonic() > deadline:
                break
            for worker in busy:
                if worker.connection is not None:
                    with contextlib.suppress(Exception):  # it is closed, just now
                        self.interrupt(worker)
            self.came.take(0.05)
        for worker in [worker for worker, passed in marks.items() if not passed]:
            self.drop(worker)

    def abandon(self) -> None:
        super().abandon()
        given_up = list(self.workers)
        for worker in given_up:
            self.drop(worker)
        for worker in given_up:  # a thread that still closes its connection would end badly with the process
            worker.thread.join(CANCELLED_S)

    def drop(self, worker: Worker) -> None:
        """Give a worker up, and the connection with it: the next schedule has a new one."""
        worker.end(0)
        self.seated = {name: one for name, one in self.seated.items() if one is not worker}
        self.workers = [one for one in self.workers if one is not worker]

    def close_all(self) -> None:
        """Close every connection and end every thread."""
        for worker in self.workers:
            worker.end()
        self.workers, self.seated = [], {}


def sentence(error: BaseException) -> str:
    """The first line of what an error says, without a stop; its class where it says nothing.

    >>> sentence(ValueError("no such step.")), sentence(KeyError())
    ('no such step', 'KeyError')
    """
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__


def alarm(seconds: float, ring: Callable[[], None]) -> threading.Timer:
    """A timer, not yet started, that interrupts a connection; one that is closed by then needs none."""

    def rung() -> None:
        with contextlib.suppress(Exception):
            ring()

    timer = threading.Timer(seconds, rung)
    timer.daemon = True
    return timer
