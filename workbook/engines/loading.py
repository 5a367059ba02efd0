"""Fills a new template: tables, rows, what comes after them, statistics.

DuckDB makes a million rows in a fifth of a second and writes them as CSV; COPY brings them in (the fastest way that
was measured). Long loads show a progress bar in a terminal.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from workbook.engines import disk
from workbook.engines.cluster import OWNERS
from workbook.engines.recipe import Recipe

CHUNK = 1 << 20
SHOWN_AFTER_S = 1.0
INVALID = "UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = %s::regclass"


def load(connection: psycopg.Connection[Any], recipe: Recipe) -> None:
    """Make a recipe's database through a superuser's connection; the tables will belong to the group of owners. Raises what
    psycopg does, and `Unavailable`."""
    with progress(f"making {recipe.name}", len(recipe.rows) + 2) as step:
        connection.execute(f"GRANT ALL ON SCHEMA public TO {OWNERS}")
        connection.execute(
            "SET session_replication_role = replica"
        )  # the rows are right by construction: no check a row
        connection.execute(f"SET ROLE {OWNERS}; SET search_path = public")
        connection.execute(recipe.tables)
        step()
        for table, query in recipe.rows.items():
            with csv_of(query, recipe.functions) as file:
                _copy(connection, table, file)
            step()
        connection.execute("RESET ROLE; RESET session_replication_role")
        connection.execute(f"SET ROLE {OWNERS}")
        if recipe.then:
            connection.execute(recipe.then)
        connection.execute("RESET ROLE; SET search_path = ''")
        if recipe.vacuum:
            connection.execute("VACUUM (FREEZE, ANALYZE)")
        if recipe.invalid:
            connection.execute(INVALID, (f'public."{recipe.invalid}"',))
        step()


def _copy(connection: psycopg.Connection[Any], table: str, file: Any) -> None:
    """Bring a CSV file into a table."""
    lost: list[psycopg.Error] = []
    try:
        with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv)") as copy:
            try:
                while chunk := file.read(CHUNK):
                    copy.write(chunk)
            except psycopg.OperationalError as error:  # to end the COPY fails too, and psycopg would print that
                lost.append(error)
    except psycopg.Error as error:
        raise (lost or [error])[0] from None


@contextlib.contextmanager
def csv_of(query: str, functions: str = "") -> Iterator[Any]:
    """The rows of a DuckDB query as an open CSV file. Raises `Unavailable` where the disk of temporary files is full."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="workbook-") as folder:
        path = Path(folder) / "rows.csv"
        with duckdb.connect() as duck:
            duck.execute("SET threads = 1; SET TimeZone = 'UTC'")
            duck.execute(functions or "SELECT 1")
            try:
                duck.execute(f"COPY ({with_parquet(query)}) TO '{path.as_posix()}' (FORMAT csv, HEADER false)")
            except duckdb.IOException as error:
                raise disk.trouble("The rows of the data cannot be made.", Path(folder), error) from None
        with path.open("rb") as file:
            yield file


def with_parquet(query: str) -> str:
    """The query with `{parquet}` replaced by the folder of TPC-H's files, which are made when they are first asked
    for."""
    if "{parquet}" not in query:
        return query
    from workbook.engines.datasets import make_tpch, tpch_folder

    scale = query.split("{parquet}/")[1].split("/")[0]
    make_tpch(float(scale))
    return query.replace("{parquet}", tpch_folder().as_posix())


@contextlib.contextmanager
def progress(what: str, steps: int) -> Iterator[Any]:
    """A progress bar on standard error, where that is a terminal, once the work has taken longer than a second."""
    begun, bar = time.monotonic(), []  # type: float, list[Any]
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if not sys.stderr.isatty():
            return
        if not bar and time.monotonic() - begun > SHOWN_AFTER_S:
            from rich.console import Console
            from rich.progress import Progress

            shown = Progress(console=Console(stderr=True), transient=True)
            shown.start()
            bar.extend((shown, shown.add_task(what, total=steps)))
        if bar:
            bar[0].update(bar[1], completed=done)

    try:
        yield step
    finally:
        if bar:
            bar[0].stop()
