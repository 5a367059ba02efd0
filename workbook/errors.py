"""Every exception that a person can see.

A message names the thing, says what was tried, and what to do next. In a notebook only the sentence is shown, never a
traceback of ours: IPython asks an exception for `_render_traceback_`, and ours answers with the sentence.

    >>> str(Unavailable("PostgreSQL does not start.", tried="/bin/pg_ctl start", next="run `workbook doctor`"))
    'PostgreSQL does not start. Tried: /bin/pg_ctl start. Next: run `workbook doctor`.'
"""

from __future__ import annotations


class WorkbookError(Exception):
    """Something that a person can mend.

    Parameters: `what` happened, as a sentence; what was `tried`; what to do `next`. Both may be empty.
    """

    exit_code = 2

    def __init__(self, what: str, *, tried: str = "", next: str = "") -> None:
        self.what, self.tried, self.next = what, tried, next
        parts = [what.rstrip()]
        if tried:
            parts.append(f"Tried: {tried}" if tried.endswith((".", "?", "!")) else f"Tried: {tried}.")
        if next:
            parts.append(f"Next: {next}" if next.endswith((".", "?", "!")) else f"Next: {next}.")
        super().__init__(" ".join(parts))

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class Unavailable(WorkbookError):
    """An engine, a file or a tool that is needed cannot be had here."""


class Crowded(Unavailable):
    """A server has no connection left to give."""


class Unsuitable(WorkbookError):
    """Something is there, but not fit for what was asked (a server with other settings, a plan of an unknown form)."""


class Damaged(Unsuitable):
    """Bytes that are not what they should be: a page of a file that was cut off, overwritten or made by another
    program."""


class Misuse(WorkbookError):
    """A call with arguments that make no sense; the message says which would."""


class SqlError(WorkbookError):
    """A learner's SQL was refused by the engine. `sqlstate` is the engine's code ('' where it has none)."""

    def __init__(self, what: str, *, sqlstate: str = "", tried: str = "", next: str = "") -> None:
        self.sqlstate = sqlstate
        super().__init__(what, tried=tried, next=next)


class SqlTimeout(SqlError):
    """A statement ran past its deadline and was cancelled from outside."""


class TooManyRows(SqlError):
    """A query returned more rows than are taken."""


class BelowFullMarks(WorkbookError):
    """Raised by `check` in the mode `strict`, so that nbval and continuous integration see it."""

    exit_code = 1
