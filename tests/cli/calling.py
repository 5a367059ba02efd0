"""A command called in this process, as a person calls it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from workbook.cli import main


@dataclass
class Done:
    """What a call of the command came to."""

    returncode: int
    stdout: str
    stderr: str


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """What a command, with its arguments, came to."""
    code: object = 0
    try:
        main(list(arguments))
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    return Done(code if isinstance(code, int) else int(code is not None), out, err)
