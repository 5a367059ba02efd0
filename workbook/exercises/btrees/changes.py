"""What a change to a live world has done: what it took away, which things it touched, and what it would be without one of its statements.

    the change       END; REINDEX TABLE leases          touched: a session, files of leases
    without one      END                                does the same: REINDEX was not needed
    without another       REINDEX TABLE leases          does not: END was

Of two changes that are made at once, a counter that falls says nothing of either. So a change that helps is tried again without each of
its statements. What opens and closes a transaction, and what sets a session, is none that could be missed. A statement that brings something back as it
was then is not held against a change: who drops an index and makes the old one again has made one change. One statement may do several
things as well (a `DO` block; `ALTER TABLE` with two commas), and those cannot be left out one by one: they are counted.

    >>> [rest for _, rest in without_one("BEGIN; DROP INDEX a; CREATE INDEX b ON t (c); COMMIT")]
    ['BEGIN; DROP INDEX a; COMMIT', 'BEGIN; CREATE INDEX b ON t (c); COMMIT']
    >>> without_one("SET lock_timeout = '2s'; DROP INDEX a")
    []

Left out: statements of which two together could be missed, and neither alone.
"""

from __future__ import annotations

import re
from typing import Any

from workbook.engines import Catalog, Change
from workbook.engines.running import CONTROL, split
from workbook.exercises.btrees.worlds import Live
from workbook.grading.exercise import Finding
from workbook.grading.sql import changes_allowed

KINDS = frozenset({"index", "column", "table", "sequence"})
MAY = "end sessions, and make, change and drop indexes, defaults of columns and settings of tables"
TRIED_MAX = 4
"""Of how many statements, from the last one on, it is tried whether they are needed: no right change needs as many."""
_SETTING = re.compile(r"\s*(SET|RESET)\b", re.I)


def without_one(change: str) -> list[tuple[str, str]]:
    """Each statement that could be left out, from the last one on, and what is left then; none where there is but one."""
    every = split(change)
    doing = [at for at, each in enumerate(every) if not (CONTROL.match(each) or _SETTING.match(each))]
    if len(doing) < 2:
        return []
    return [(every[at], "; ".join(every[:at] + every[at + 1 :])) for at in doing[::-1]][:TRIED_MAX]


def fingerprint(live: Live) -> dict[str, tuple[int, int]]:
    """The rows of each table: how many, and a sum over them."""
    found = {}
    for table in live.world.table_names:
        sql = f"SELECT count(*), coalesce(sum(hash_record(t)::bigint), 0) FROM {table} t"
        count, total = live.database.run(sql).rows[0]
        found[table] = (int(count), int(total))
    return found


def files(live: Live) -> dict[str, int]:
    """The file of each table and index of the world."""
    sql = "SELECT c.relname::text, pg_relation_filenode(c.oid)::bigint FROM pg_catalog.pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i')"
    return {str(name): int(file) for name, file in live.database.run(sql).rows}


def touched(live: Live, before: Catalog, was: dict[str, int]) -> list[str]:
    """The things that a change has touched, in words: what the catalog shows, a session, files that were written anew."""
    changes = before.difference(live.database.catalog())
    told = {change.object for change in changes}
    anew = [name for name, file in files(live).items() if name not in told and was.get(name, file) != file]
    return [
        *(f"the {change.kind} {change.object}" for change in changes),
        *(["a session that was told to end"] if live.session is not None and live.session.closed else []),
        *([f"the files of {' and '.join(sorted(anew))}, written anew"] if anew else []),
    ]


def brought_back(then: Catalog, whole: Catalog, rest: Catalog) -> bool:
    """Whether a change has something as it was then that it would not have without one of its statements: an object of that name, or an
    index on those columns."""

    def known(catalog: Catalog) -> set[str]:
        named = {f"{kind} {name} {definition}" for (kind, name), definition in catalog.objects.items()}
        return named | {text.partition(" ON ")[2] for (kind, _), text in catalog.objects.items() if kind == "index"}

    return bool(known(then) & (known(whole) - known(rest)))


def taken_away(live: Live, before: Any, rows: dict[str, tuple[int, int]]) -> Finding | None:
    """The finding on what the change took from the database that was no cause of anything: rows, columns, rules; or None."""
    after = live.database.catalog()
    allowed = changes_allowed(
        before, after, KINDS, verbs={"created", "dropped", "changed"}, may=MAY
    )  # fmt: skip
    if not allowed.ok:
        return allowed
    broken = next((change for change in before.difference(after) if not harmless(change)), None)
    if broken is not None:
        return Finding(
            ok=False,
            seen=f"The change leaves the {broken.kind} {broken.object} as {'none' if broken.after is None else repr(broken.after)}; it was {'none' if broken.before is None else repr(broken.before)}.",
            expected="The same tables and columns; other indexes, defaults and settings.",
            question="Would the application notice?",
        )  # fmt: skip
    now = fingerprint(live)
    table = next((table for table in rows if rows[table] != now[table]), None)
    if table is not None:
        return Finding(
            ok=False,
            seen=f"After the change {table} has other rows, {now[table][0]:,} of them.",
            expected=f"The {rows[table][0]:,} rows that were there.",
            question="Whose rows were those?",
        )
    return None


def harmless(change: Change) -> bool:
    """Whether the application may rely on the rest: other indexes, sequences, a column's default, a table's settings."""
    if change.kind in ("index", "sequence"):
        return True
    if change.before is None or change.after is None:
        return False
    if change.kind == "column":
        return sans_default(change.before) == sans_default(change.after)
    return change.before.split()[0] == change.after.split()[0]


def sans_default(column: str) -> str:
    """What the catalog says of a column before its default.

    >>> sans_default("uuid NOT NULL DEFAULT uuidv7() p")
    'uuid NOT NULL'
    """
    return column.partition(" DEFAULT ")[0]
