"""An answer of DDL on trial: run on a clone of its own, and what it changed there.

    recipe ──▶ clone ── fingerprint, catalog ── the answer ── catalog, fingerprint ──▶ Trial
                                                                                        ├─ refused: a Finding, or None
                                                                                        ├─ made, dropped: indexes
                                                                                        └─ pages(sql), bytes()

What an answer may change is told by the catalogs. That it moved no row is told by a fingerprint of every row and its
place: an UPDATE that changes nothing, CLUSTER and VACUUM FULL would make an index look better than it is, and no
catalog shows them. A unique index is a rule besides, and a task that asks for indexes asks for no rule.

    >>> allowed(23), allowed(400)
    (30, 502)

An index is judged by what it takes, too: `written` tells a write's pages index by index, and `columns_of` the columns that an
index rests on, wherever they stand: as a key, behind INCLUDE, in an expression, in its WHERE.

Left out: rows of tables that an answer creates; no answer on trial may create one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from workbook.engines import Change, Cost, Database, Recipe, database
from workbook.errors import WorkbookError
from workbook.grading.exercise import Finding
from workbook.grading.sql import changes_allowed
from workbook.plans import Plan, explain

MARGIN, SLACK_PAGES = 1.25, 2


def allowed(pages: int) -> int:
    """The budget that follows from what a reference solution touches: a quarter more, and two pages."""
    return int(pages * MARGIN) + SLACK_PAGES


@dataclass
class Trial:
    """A clone on which an answer ran. `refused` is the finding on what it changed and may not change, None where there
    is no such thing; `made` and `dropped` are the indexes."""

    database: Database
    refused: Finding | None = None
    made: tuple[Change, ...] = field(default=())
    dropped: tuple[Change, ...] = field(default=())

    @property
    def names(self) -> list[str]:
        return [change.object for change in self.made]

    def bytes(self) -> int:
        """What the new indexes take on disk."""
        return sum(self.database.relation_bytes(name.rpartition(".")[2]) for name in self.names)

    def plan(self, sql: str, params: Mapping[str, Any] | None = None) -> Plan:
        return explain(sql, self.database.engine, params)

    def pages(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        return pages_of(self.plan(sql, params))


def pages_of(plan: Plan) -> int:
    """Pages of 8 kB that a statement touched."""
    return int(plan.buffers.value or 0)


@contextmanager
def tried(
    recipe: Recipe,
    ddl: str | None,
    *,
    tables: Sequence[str] = ("orders",),
    kinds: frozenset[str] = frozenset({"index"}),
    verbs: frozenset[str] = frozenset({"created"}),
    question: str = "Which of its statements does that, and does the task ask for it?",
) -> Iterator[Trial]:
    """Run `ddl` (None: nothing) on a clone of `recipe`, and look at what became of it; objects of these `kinds` may be
    touched as `verbs` say. Raises `SqlError` where the engine refuses the answer."""
    with database(recipe) as clone:
        trial = Trial(clone)
        if ddl is not None:
            before, rows = clone.catalog(), fingerprint(clone, tables)
            clone.run(ddl)
            after = clone.catalog()
            changed = changes_allowed(before, after, kinds, verbs=verbs, question=question)
            trial.refused = None if changed.ok else changed
            if changed.ok and (now := fingerprint(clone, tables)) != rows:
                trial.refused = rows_moved(tables, rows, now)
            indexes = [change for change in before.difference(after) if change.kind == "index"]
            trial.made = tuple(change for change in indexes if change.after is not None)
            trial.dropped = tuple(change for change in indexes if change.after is None)
            if not trial.refused and (rules := new_rules(clone, trial.made)):
                trial.refused = rule_made(rules)
        yield trial


def fingerprint(clone: Database, tables: Sequence[str]) -> list[tuple[Any, ...]]:
    """Each table's file, its count of rows, its bytes, and a sum over every row and its place."""
    found = []
    with clone.engine.connect() as connection:
        for table in tables:
            text = f"SELECT pg_relation_filenode('{table}'), count(*), pg_relation_size('{table}'), sum(hash_record(t)::bigint * hashtid(t.ctid)) FROM {table} t"
            try:
                found.append(tuple(connection.execute(sa.text(text.replace("::", "\\:\\:"))).one()))
            except sa.exc.DBAPIError:
                found.append((table, "gone"))
                connection.rollback()
    return found


def new_rules(clone: Database, made: Sequence[Change]) -> list[str]:
    """The new indexes that are unique and do not hold the whole primary key: those that forbid something."""
    unique = {change.object for change in made if str(change.after).startswith("CREATE UNIQUE ")}
    if not unique:
        return []
    sql = """SELECT c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
             JOIN pg_catalog.pg_index k ON k.indrelid = i.indrelid AND k.indisprimary
             WHERE i.indisunique AND (i.indkey::int2[])[0:i.indnkeyatts - 1] @> k.indkey::int2[]"""
    return sorted(unique - {row[0] for row in clone.run(sql).rows})


def written(clone: Database, sql: str) -> tuple[Cost, dict[str, int]]:
    """What a write truly costs (it is committed), and how many pages of each index, by name, are among it.

    Source: PostgreSQL 18's manual, `pg_statio_user_indexes`.
    """
    text = "SELECT indexrelname, coalesce(idx_blks_read, 0) + coalesce(idx_blks_hit, 0) FROM pg_catalog.pg_statio_user_indexes"
    clone.engine.dispose()
    clone.settle()
    before = dict(clone.run(text).rows)
    cost = clone.measure(sql)
    return cost, {name: pages - before.get(name, 0) for name, pages in clone.run(text).rows}


def columns_of(clone: Database, index: str) -> set[str]:
    """The columns of its table that an index rests on, as the catalog of dependencies knows them."""
    sql = """SELECT a.attname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             JOIN pg_catalog.pg_index i ON i.indexrelid = d.objid AND i.indrelid = d.refobjid
             WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid AND d.objid = (:index)::regclass"""
    return {str(row[0]) for row in clone.run(sql, {"index": quoted(index)}).rows}


def quoted(name: str) -> str:
    """A name as SQL writes it: `"Mine"`."""
    return '"' + name.replace('"', '""') + '"'


def rows_moved(tables: Sequence[str], before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> Finding:
    """The finding on the first table whose fingerprint is another."""
    table, was, now = next(one for one in zip(tables, before, after, strict=True) if one[1] != one[2])
    what = f"{table} cannot be read any more"
    if len(now) == len(was):
        what = f"{table} has other rows, or has them in other places"
        if now[1] != was[1]:
            what = f"{table} had {was[1]:,} rows, and now it has {now[1]:,}"
        elif now[0] != was[0]:
            what = f"{table} was written anew, into another file"
        elif now[2] != was[2]:
            what = f"{table} took {was[2] // 8192:,} pages, and now it takes {now[2] // 8192:,}"
    return Finding(
        ok=False,
        seen=f"The answer changed rows of the table, or wrote them in another order: {what}.",
        expected="The same rows in the same places, under other indexes.",
        question="Tomorrow's rows arrive as they come: what would be left of that order next week?",
    )


def rule_made(names: Sequence[str]) -> Finding:
    return Finding(
        ok=False,
        seen=f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} UNIQUE: from now on rows are refused that were welcome before.",
        expected="Indexes that the reads need, and no new rule.",
        question="Which two rows may be there today, and not tomorrow?",
    )


def article(kind: str) -> str:
    """'a Seq Scan', 'an Index Scan'.

    >>> article("Seq Scan"), article("Index Scan")
    ('a Seq Scan', 'an Index Scan')
    """
    return f"{'an' if kind[:1] in 'AEIOU' else 'a'} {kind}"


def whole(*findings: Finding) -> float:
    """1 where every finding is ok, else 0."""
    return float(all(finding.ok for finding in findings))


def kilobytes(count: int) -> str:
    """Bytes as kB, whole.

    >>> kilobytes(2_048_000)
    '2,000 kB'
    """
    return f"{count // 1024:,} kB"


def key_columns(clone: Database, index: str) -> list[str]:
    """The names of an index's key columns, in order; an expression as its text."""
    sql = (
        "SELECT pg_get_indexdef(i.indexrelid, n::int, true) FROM pg_index i, generate_series(1, i.indnkeyatts) n "
        "WHERE i.indexrelid = (:index)::regclass ORDER BY n"
    )
    try:
        return [str(row[0]).strip('"') for row in clone.run(sql, {"index": quoted(index)}).rows]
    except WorkbookError:
        return []
