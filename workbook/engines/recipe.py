"""What a database is made of, as data: the same recipe gives the same pages.

    tables ─▶ rows (DuckDB makes them, COPY brings them in) ─▶ then ─▶ VACUUM (FREEZE, ANALYZE) ─▶ CHECKPOINT ─▶ a template

A template is named after a hash of its recipe, so that it is made once a cluster and never goes stale.

    >>> Recipe("two", "CREATE TABLE t (id int)").key == Recipe("two", "CREATE TABLE t (id int)").key
    True

Left out: data that is not made (a dump can be put into `tables`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Recipe:
    """What a database is made of.

    Parameters: a `name` for people; `tables`, SQL that makes the tables (it may insert, too); `rows`, for each table
    the DuckDB query that makes its rows, in the order of its columns (`{parquet}` in it stands for the folder of
    TPC-H's files); `then`, SQL that runs when the rows are there; whether to `vacuum`, which also takes the
    statistics; `functions`, DuckDB macros that `rows` use; `invalid`, an index that is left as a CREATE INDEX
    CONCURRENTLY leaves it when it is interrupted.
    """

    name: str
    tables: str
    rows: Mapping[str, str] = field(default_factory=dict)
    then: str = ""
    vacuum: bool = True
    functions: str = ""
    invalid: str = ""

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that change when anything of the recipe does."""
        parts = [
            self.name,
            self.tables,
            sorted(self.rows.items()),
            self.then,
            self.vacuum,
            self.functions,
            self.invalid,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.key)
