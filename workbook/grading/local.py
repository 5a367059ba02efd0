"""A learner's functions called in this process: at the desk, and in the learner's process of a class.

    Function ──▶ InProcess.call ── copy of the arguments ──▶ the learner's def ── copy of the result ──▶ Function
                                   under a deadline             an exception ──▶ FunctionFailed with their line

The copies are made by `encode` and `decode`, so that at the desk nothing passes that would not pass in a class. Left
out: a deadline for code that holds Python's lock in a C extension; in a class the process is killed instead.
"""

from __future__ import annotations

import ctypes
import linecache
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from workbook.grading.answer import Function, FunctionFailed, NotPlain, decode, encode, line


class Overdue(BaseException):
    """Raised inside a learner's function when its deadline passes; no `except Exception` stops it."""


def by_value(answer: Any) -> Any:
    """A copy of an answer: plain data, in which each function is a `Function` that runs in this process, or where it
    already runs. Raises `NotPlain`."""
    kept: list[Any] = []

    def keep(function: Any) -> int:
        kept.append(function)
        return len(kept) - 1

    def callable_again(number: int, name: str) -> Function:
        function = kept[number]
        return function if type(function) is Function else Function(caller, function, name)

    caller, wire = InProcess(), encode(answer, keep)
    line(wire)
    return decode(wire, callable_again)


class InProcess:
    """Calls a learner's functions here: a `Caller`."""

    def call(self, function: Any, args: tuple[Any, ...], named: dict[str, Any], deadline_s: float) -> Any:
        args, named = tuple(_copied(arg) for arg in args), {name: _copied(arg) for name, arg in named.items()}
        said = _call_text(function, args, named)
        with _at_rest(args, named):
            return _returned(_guarded(lambda: function(*args, **named), said, deadline_s), said)

    def start(self, function: Any, args: tuple[Any, ...], named: dict[str, Any], deadline_s: float) -> Any:
        args, named = tuple(_copied(arg) for arg in args), {name: _copied(arg) for name, arg in named.items()}
        said = _call_text(function, args, named)
        generator = _guarded(lambda: function(*args, **named), said, deadline_s)
        if not hasattr(generator, "send") or not hasattr(generator, "throw"):
            raise FunctionFailed(
                f"{said} gave back {type(generator).__name__}, no generator: its steps are to be yielded."
            )
        return generator

    def resume(self, generator: Any, how: str, value: Any, deadline_s: float) -> tuple[bool, Any]:
        said = f"{getattr(generator, '__name__', 'the generator')}"

        def step() -> tuple[bool, Any]:
            try:
                if how == "send":
                    return False, generator.send(_copied(value))
                if how == "throw":
                    return False, generator.throw(_named_exception(*value))
                generator.close()
                return True, None
            except StopIteration as end:
                return True, end.value

        done, given = _guarded(step, said, deadline_s)
        return done, _returned(given, said)


def _at_rest(args: tuple[Any, ...], named: dict[str, Any]) -> AbstractContextManager[None]:
    """While a function is asked that is handed no engine, no schedule runs: it answers from its arguments."""
    from workbook.schedules.stage import at_rest

    if any(is_engine(value) for value in (*args, *named.values())):
        return nullcontext()
    return at_rest("The judge asks what this function says of its arguments: no schedule is run meanwhile.")


def _named_exception(name: str, text: str) -> Exception:
    """An exception that a learner can catch by a builtin name (`TimeoutError`, `ConnectionError`)."""
    import builtins

    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = RuntimeError
    return kind(text)


def is_engine(value: Any) -> bool:
    """Whether it is a SQLAlchemy engine: the one argument that is no plain data (it crosses as its URL)."""
    return type(value).__name__ == "Engine" and type(value).__module__.startswith("sqlalchemy.")


def _copied(value: Any) -> Any:
    if is_engine(value):
        return value
    kept: list[Any] = []

    def keep(thing: Any) -> int:
        kept.append(thing)
        return len(kept) - 1

    return decode(encode(value, keep, "argument"), lambda number, name: kept[number])


def _returned(value: Any, said: str) -> Any:
    try:
        return decode(encode(value, where="the result"))
    except NotPlain as refusal:
        raise FunctionFailed(f"{said} gave back no plain data: {refusal}") from None


def _call_text(function: Any, args: tuple[Any, ...], named: dict[str, Any]) -> str:
    """The call as a person would write it, cut where it is long."""
    given = [_shown(arg) for arg in args] + [f"{key}={_shown(value)}" for key, value in named.items()]
    text = ", ".join(part if len(part) <= 80 else part[:77] + "..." for part in given)
    return f"`{getattr(function, '__name__', 'the function')}({text if len(text) <= 300 else text[:297] + '...'})`"


def _shown(value: Any) -> str:
    """A value as a person would write it; an engine by its name only, since its address is another one each time."""
    return "engine" if is_engine(value) else repr(value)


def _guarded(work: Callable[[], Any], said: str, deadline_s: float) -> Any:
    """Run a learner's code; whatever it raises becomes a `FunctionFailed`."""
    try:
        with deadline(deadline_s):
            return work()
    except Overdue:
        raise FunctionFailed(f"{said} took longer than {deadline_s:g} s.", state="timed out") from None
    except MemoryError as error:
        raise FunctionFailed(
            f"{said} asked for more memory than there is.", line=line_of(error), state="out of memory"
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise FunctionFailed(f"{said} raised {text[:300].rstrip('.')}.", line=line_of(error)) from None


def line_of(error: BaseException) -> str:
    """The innermost line of code that the learner wrote, with its number; '' where there is none."""
    theirs = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and not _is_library(frame.filename)
    ]
    if not theirs:
        return ""
    text = (theirs[-1].line or linecache.getline(theirs[-1].filename, theirs[-1].lineno or 0)).strip()
    return f"line {theirs[-1].lineno}: {text}" if text else ""


def _is_library(filename: str) -> bool:
    import sysconfig

    roots = (
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
        __file__.rpartition("grading")[0],
    )
    return any(root and filename.startswith(root) for root in roots)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `Overdue` in the running code after so many seconds: by a signal, else by the interpreter. May be
    nested."""
    if _has_alarm():

        def ring(*_: object) -> None:
            raise Overdue

        before = signal.signal(signal.SIGALRM, ring)
        rest, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
        begun = time.monotonic()
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, max(rest - (time.monotonic() - begun), 0.001) if rest else 0)
            signal.signal(signal.SIGALRM, before)
    else:
        clock = _Clock(seconds)
        _clocks.append(clock)
        clock.go()
        try:
            yield
        finally:
            clock.stop()
            _clocks.remove(clock)


class _Clock:
    """A deadline of this thread where there is no alarm: a timer that can be stopped for a while."""

    def __init__(self, left_s: float) -> None:
        self.left_s, self.thread = left_s, threading.get_ident()

    def go(self) -> None:
        self._timer = threading.Timer(self.left_s, _raise_in, (self.thread,))
        self._timer.daemon = True
        self._begun = time.monotonic()
        self._timer.start()

    def stop(self) -> None:
        self._timer.cancel()
        self.left_s = max(self.left_s - (time.monotonic() - self._begun), 0.001)


_clocks: list[_Clock] = []


@contextmanager
def paused() -> Iterator[None]:
    """Stop the clocks of the deadlines around this, while somebody else works."""
    rest = signal.setitimer(signal.ITIMER_REAL, 0)[0] if _has_alarm() else 0.0
    clocks = [clock for clock in _clocks if clock.thread == threading.get_ident()]
    for clock in clocks:
        clock.stop()
    try:
        yield
    finally:
        for clock in clocks:
            clock.go()
        if rest:
            signal.setitimer(signal.ITIMER_REAL, rest)


def _has_alarm() -> bool:
    return hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()


def _raise_in(ident: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Overdue))
