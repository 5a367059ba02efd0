"""SQLite and DuckDB, in the process: the same recipes, a file of one's own, a SQLAlchemy engine.

A template file is made once and copied. SQLite counts the steps of its virtual machine and DuckDB the rows that its
scans looked at; both repeat exactly (DuckDB with one thread). Neither counts pages or WAL for a transaction as
PostgreSQL does, so those fields of a `Cost` stay 0.

Left out: roles, which these engines do not have.
"""

from __future__ import annotations

import atexit
import csv
import io
import json
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from workbook.engines import disk, places
from workbook.engines.costs import Cost, too_long, work_on
from workbook.engines.datasets import tpch_folder
from workbook.engines.loading import csv_of, progress, with_parquet
from workbook.engines.recipe import Recipe
from workbook.engines.running import clause, deadline
from workbook.errors import Misuse, SqlError, WorkbookError


class _File:
    """What the two have in common: a template file, a copy, an engine."""

    kind, ending, driver, profile = "", "", "", "counting"

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        folder = places.kept("files")
        _sweep(folder)
        self.name = f"w_{os.getpid()}_{secrets.token_hex(6)}{self.ending}"
        self.path = folder / self.name
        template = folder / f"t_{recipe.key}{self.ending}"
        with FileLock(f"{template}.lock", timeout=600):
            try:
                self._fill(template)
            except Exception as error:
                full = None if isinstance(error, WorkbookError) else disk.is_full(folder, error)
                trouble = disk.trouble(f"The data of {recipe.name} cannot be made.", folder, error) if full else None
                for path in (*folder.glob(f"{template.name}.new*"), self.path):
                    path.unlink(missing_ok=True)
                if trouble:
                    raise trouble from None
                raise
        self.engine = self._engine()
        atexit.register(self.drop)

    def _fill(self, template: Path) -> None:
        """Copy the template, which is made under another name where it is missing."""
        if not template.exists():
            made = template.with_name(f"{template.name}.new")
            made.unlink(missing_ok=True)
            self._make(made)
            made.rename(template)
        shutil.copyfile(template, self.path)

    def _make(self, path: Path) -> None:
        raise NotImplementedError

    def _engine(self) -> sa.Engine:
        return sa.create_engine(f"{self.driver}:///{self.path}")

    def fresh(self) -> Any:
        """Another copy of the same recipe."""
        from workbook.engines.database import database

        return database(self.recipe, kind=self.kind)

    def drop(self) -> None:
        """Remove the file; a second call does nothing."""
        self.engine.dispose()
        atexit.unregister(self.drop)
        for path in self.path.parent.glob(f"{self.name}*"):
            path.unlink(missing_ok=True)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()


def _sweep(folder: Path) -> None:
    import psutil

    for path in folder.glob("w_*"):
        owner = path.name.split("_")[1]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            path.unlink(missing_ok=True)


def clean() -> list[Path]:
    """Remove the templates, what processes left behind that are gone, and TPC-H's files; what was there of them. A file that
    a living process works with goes with that process."""
    folder, tpch = places.state_folder() / "files", tpch_folder()
    _sweep(folder)
    removed = []
    for template in sorted(path for path in folder.glob("t_*") if path.suffix in (".sqlite", ".duckdb")):
        with FileLock(f"{template}.lock", timeout=600):
            template.unlink(missing_ok=True)
        removed.append(template)
    if tpch.exists():
        with FileLock(f"{tpch}.lock", timeout=600):
            shutil.rmtree(tpch, ignore_errors=True)
        removed.append(tpch)
    return removed


class SqliteDatabase(_File):
    """A database of SQLite that is yours alone."""

    kind, ending, driver = "sqlite", ".sqlite", "sqlite"

    def _make(self, path: Path) -> None:
        with progress(f"making {self.recipe.name}", len(self.recipe.rows) + 2) as step:
            connection = sqlite3.connect(path)
            connection.executescript(f"PRAGMA journal_mode = WAL; BEGIN; {self.recipe.tables}; COMMIT;")
            step()
            for table, query in self.recipe.rows.items():
                with csv_of(query, self.recipe.functions) as file:
                    rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
                    first = next(rows, None)
                    if first is not None:
                        marks = ", ".join("?" * len(first))
                        connection.execute("BEGIN")
                        connection.execute(f"INSERT INTO {table} VALUES ({marks})", first)
                        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
                        connection.commit()
                step()
            connection.executescript(f"BEGIN; {self.recipe.then}; COMMIT; ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);")
            step()
            connection.close()

    def measure(
        self,
        work: str | Callable[[sa.Connection], Any],
        params: Mapping[str, Any] | None = None,
        *,
        deadline_s: float = 30.0,
    ) -> Cost:
        """The steps of SQLite's virtual machine that a committed transaction takes. Raises `SqlError`, `SqlTimeout` after
        `deadline_s` seconds."""
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return int(time.monotonic() > until)

        with self.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            begun = time.perf_counter()
            until = time.monotonic() + deadline_s
            raw.set_progress_handler(step, 1)
            try:
                rows = work_on(connection, work, params)
                connection.commit()
            except sa.exc.DBAPIError as error:
                if time.monotonic() > until:
                    raise too_long(deadline_s) from None
                raise SqlError(f"SQLite refuses it: {error.orig}.") from None
            finally:
                raw.set_progress_handler(None, 0)
        return Cost(0, 0, 0, 0, rows, {}, time.perf_counter() - begun, steps=steps)


class DuckDatabase(_File):
    """A database of DuckDB that is yours alone, with one thread so that its counters repeat."""

    kind, ending, driver = "duckdb", ".duckdb", "duckdb"

    def _make(self, path: Path) -> None:
        import duckdb

        with (
            progress(f"making {self.recipe.name}", len(self.recipe.rows) + 2) as step,
            duckdb.connect(str(path)) as duck,
        ):
            duck.execute("SET threads = 1; SET TimeZone = 'UTC'")
            duck.execute(self.recipe.tables.replace("timestamptz", "timestamp"))
            step()
            for statement in (self.recipe.functions or "").split(";\n"):
                if statement.strip():
                    duck.execute(statement.replace("CREATE MACRO", "CREATE TEMP MACRO"))
            for table, query in self.recipe.rows.items():
                duck.execute(f"INSERT INTO {table} {with_parquet(query)}")
                step()
            if self.recipe.then:
                duck.execute(self.recipe.then)
            duck.execute("CHECKPOINT")
            step()

    def _engine(self) -> sa.Engine:
        return sa.create_engine(f"duckdb:///{self.path}", connect_args={"config": {"threads": 1}})

    def measure(self, work: str, params: Mapping[str, Any] | None = None, *, deadline_s: float = 30.0) -> Cost:
        """The rows that DuckDB's scans looked at, as `steps`. Raises `SqlError`, `SqlTimeout` after `deadline_s` seconds,
        `Misuse` for a function, of whose statements DuckDB tells nothing."""
        if not isinstance(work, str):
            raise Misuse("DuckDB measures SQL only.", next="give the text of one statement")
        given = dict(params or {})
        with self.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            begun = time.perf_counter()
            with deadline(deadline_s, lambda hard: raw.interrupt()) as late:
                try:
                    asked = clause(f"EXPLAIN (ANALYZE, FORMAT JSON) {work}", params)
                    steps = json.loads(connection.execute(asked, given).fetchall()[-1][-1]).get("operator")
                    if not steps:  # it was answered from what DuckDB knows of the table, and no step has run
                        rows = len(connection.execute(clause(work, params), given).fetchall())
                        return Cost(0, 0, 0, 0, rows, {}, time.perf_counter() - begun, steps=0)
                    connection.commit()
                except sa.exc.DBAPIError as error:
                    if late.is_set():
                        raise too_long(deadline_s) from None
                    raise SqlError(f"DuckDB refuses it: {error.orig}.") from None
        top = steps[0]
        while top.get("type") in ("RESULT_COLLECTOR", "EXPLAIN_ANALYZE") and top["children"]:
            top = top["children"][0]
        return Cost(
            0, 0, 0, 0, int(top.get("intermediate_rows", 0)), {}, time.perf_counter() - begun, steps=_scanned(top)
        )


def _scanned(operator: Mapping[str, Any]) -> int:
    return int(operator.get("rows_scanned", 0)) + sum(_scanned(child) for child in operator.get("children", []))
