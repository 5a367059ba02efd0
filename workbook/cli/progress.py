"""`workbook progress`: what has been solved, and how well predictions held."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer


def progress(json_: Annotated[bool, typer.Option("--json", help="As data.")] = False) -> None:
    """Show the points of each exercise, the hints that were used, and how well you predict."""
    from workbook.grading.progress import progress as stands

    with in_my_work():
        report = stands()
    typer.echo(json.dumps(report.data(), indent=1, ensure_ascii=False) if json_ else str(report))


@contextmanager
def in_my_work() -> Iterator[None]:
    """Work with the record of the folder that one stands in, else with that of this checkout's `my-work`, if there
    is one."""
    from workbook.cli.house import house
    from workbook.grading.record import my_work

    if my_work() is not None or not house().my_work.is_dir():
        yield
        return
    os.environ["WORKBOOK_MY_WORK"] = str(house().my_work)
    try:
        yield
    finally:
        del os.environ["WORKBOOK_MY_WORK"]
