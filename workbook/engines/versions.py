"""The version of everything that counts, without starting a server."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version

from workbook.engines import places
from workbook.errors import WorkbookError

PACKAGES = {
    "DuckDB": "duckdb",
    "psycopg": "psycopg",
    "SQLAlchemy": "sqlalchemy",
    "TPC-H": "tpchgen-cli",
}


def versions() -> dict[str, str]:
    """Engine or library to version; '' where it is missing."""
    import sqlite3

    found = {"PostgreSQL": _postgres(), "SQLite": sqlite3.sqlite_version}
    for name, package in PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = ""
    return found


def _postgres() -> str:
    try:
        program = places.binaries() / places.program_name("postgres")
        done = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=30, env=places.environment()
        )
    except (OSError, WorkbookError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().rpartition(" ")[2]
