"""What must be known of the tables of a schedule before their row versions can be followed, asked of the engine itself.

    setup ── run ──▶ catalog ──▶ Table "booking": columns and types, keys, checks, references, triggers
                                                          │                     │            └ cannot be followed
                       two writers of one key are ordered ┘                     └ an insert looks at its parent

A row's own statement is not all that looks at rows: a unique key makes an insert look for the same key, a foreign key makes
an insert look for its parent and a delete look for children. These looks decide whether a statement succeeds, so they order
transactions as reads do. What writes rows on its own (a trigger, a rule, ON DELETE CASCADE) cannot be followed, and is named.

    >>> Table("test", ("id", "value"), key=("id",)).row({"id": 3, "value": 30})
    'row 3'

Sources: PostgreSQL's manual, chapter "System Catalogs"; SQLite's "PRAGMA Statements"; DuckDB's "Metadata Functions";
MariaDB's "Information Schema". Left out: views, partitions, tables of other schemas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbook.errors import Unsuitable
from workbook.schedules.schedule import Schedule, Step

if TYPE_CHECKING:
    from workbook.schedules.stage import Stage

LOOKER = "workbook"
"""The session that asks the catalog."""
BUILT_IN = frozenset(
    {"abs", "coalesce", "lower", "upper", "length", "mod", "round", "sign", "typeof", "ifnull", "nullif"}
)
"""Functions that read and write nothing, on every engine."""


@dataclass(frozen=True)
class Reference:
    """A foreign key: `columns` refer to `key` of `parent`; `cascades` says whether a change of the parent changes the
    row as well, instead of being refused."""

    columns: tuple[str, ...]
    parent: str
    key: tuple[str, ...]
    cascades: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its columns and their types, its primary key, every unique key, the columns that one CHECK looks at
    together, its foreign keys, columns that are computed, columns that a sequence fills, and why its changes cannot be
    followed ('' where they can)."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    checked: tuple[tuple[str, ...], ...] = ()
    references: tuple[Reference, ...] = ()
    generated: tuple[str, ...] = ()
    sequenced: tuple[str, ...] = ()
    problem: str = ""

    def row(self, image: Mapping[str, Any]) -> str:
        """How a row is called: by its primary key, else by all of its values."""
        values = [image[column] for column in self.key or self.columns]
        said = ", ".join("NULL" if value is None else str(value) for value in values)
        return f"row {said}" if len(values) == 1 else f"row ({said})"


@dataclass(frozen=True)
class Known:
    """The tables that a setup makes, and the names of the engine's functions that read and write nothing."""

    tables: tuple[Table, ...]
    safe: frozenset[str] = BUILT_IN

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)


_known: dict[tuple[str, str, str], Known] = {}


def tables_of(schedule: Schedule, stage: Stage) -> Known:
    """What is known of the tables that a schedule's setup makes; asked once for each setup.

    Raises `Unsuitable` where the catalog does not answer, and what `Stage.run` raises.
    """
    key = (stage.engine, stage.seats.version, schedule.setup)
    if key not in _known:
        if len(_known) >= 1000:
            _known.clear()
        _known[key] = READERS[stage.engine](schedule, stage)
    return _known[key]


def asked(schedule: Schedule, stage: Stage, queries: Sequence[str]) -> list[list[tuple[Any, ...]]]:
    """The rows of queries that are run one after the other on the tables as the setup leaves them."""
    steps = tuple(Step(LOOKER, sql) for sql in queries)
    run = stage.run(Schedule(schedule.title, schedule.setup, steps, teardown=schedule.teardown), stage.seats.levels[0])
    found = []
    for index, sql in enumerate(queries):
        event = run.end(index)
        if event is None or event.kind != "done":
            said = f"{event.sqlstate} {event.message}".strip() if event else "no answer"
            raise Unsuitable("What is in the tables cannot be asked.", tried=f"{sql}: {said}")
        found.append(list(event.rows or ()))
    return found


POSTGRES = (
    """SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attgenerated::text <> '',
        a.attidentity::text <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval(%', false)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND c.relnamespace <> 'pg_catalog'::regnamespace
    AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum""",
    """SELECT c.relname::text, k.contype::text, ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o),
        coalesce(p.relname::text, ''), ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o),
        k.confdeltype::text NOT IN ('a', 'r', ' ') OR k.confupdtype::text NOT IN ('a', 'r', ' '), k.condeferrable
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_class p ON p.oid = k.confrelid
    WHERE pg_table_is_visible(c.oid) AND c.relnamespace <> 'pg_catalog'::regnamespace ORDER BY k.oid""",
    """SELECT c.relname::text, i.indexprs IS NOT NULL OR i.indpred IS NOT NULL OR i.indnullsnotdistinct,
        ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(n, o)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.n WHERE u.o <= i.indnkeyatts ORDER BY u.o)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE i.indisunique AND pg_table_is_visible(c.oid) AND c.relnamespace <> 'pg_catalog'::regnamespace""",
    """SELECT c.relname::text, CASE WHEN c.relkind = 'p' THEN 'it has partitions'
        WHEN EXISTS (SELECT FROM pg_inherits h WHERE c.oid IN (h.inhrelid, h.inhparent)) THEN 'it inherits'
        WHEN c.relrowsecurity THEN 'it has row-level security' WHEN c.relhasrules THEN 'it has a rule'
        WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) THEN 'it has a trigger'
        ELSE '' END
    FROM pg_class c WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)
    AND c.relnamespace <> 'pg_catalog'::regnamespace""",
)
FUNCTIONS = """SELECT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
    GROUP BY proname HAVING bool_and(provolatile = 'i')"""
_safe: dict[str, frozenset[str]] = {}


def _postgres(schedule: Schedule, stage: Stage) -> Known:
    version = stage.seats.version
    if version not in _safe:
        (names,) = asked(schedule, stage, [FUNCTIONS])
        _safe[version] = BUILT_IN | {name for (name,) in names}
    columns, constraints, unique, problems = asked(schedule, stage, POSTGRES)
    made: dict[str, Table] = {}
    why = {str(name): str(said) for name, said in problems}
    for name in dict.fromkeys(row[0] for row in columns):
        own = [row for row in columns if row[0] == name]
        made[name] = Table(
            name,
            tuple(row[1] for row in own),
            tuple(row[2] for row in own),
            generated=tuple(row[1] for row in own if row[3]),
            sequenced=tuple(row[1] for row in own if row[4]),
            problem=why.get(name, ""),
        )
    for name, kind, of, parent, key, cascades, deferrable in constraints:
        made[name] = _constrained(made[name], kind, tuple(of), parent, tuple(key), cascades)
        if deferrable:
            made[name] = replace(made[name], problem="it has a constraint that can be checked late")
    for name, special, of in unique:
        table = made[name]
        if special:
            table = replace(
                table, problem=table.problem or "it has a unique index of a part of its rows, or of an expression"
            )
        made[name] = replace(table, unique=_added(table.unique, tuple(of)))
    return Known(_with_cascades(made.values()), _safe[version])


def _constrained(
    table: Table, kind: str, of: tuple[str, ...], parent: str, key: tuple[str, ...], cascades: bool
) -> Table:
    """The table with one more constraint, by PostgreSQL's letters: p, u, c, f, x, n (not null, which is a CHECK of one
    column)."""
    if kind == "p":
        return replace(table, key=of, unique=_added(table.unique, of))
    if kind == "u":
        return replace(table, unique=_added(table.unique, of))
    if kind == "c":
        return replace(table, checked=_added(table.checked, of))
    if kind == "f":
        return replace(table, references=(*table.references, Reference(of, parent, key, cascades)))
    if kind == "x":
        return replace(table, problem=table.problem or "it has an exclusion constraint")
    return table


def _added(groups: tuple[tuple[str, ...], ...], group: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return groups if group in groups else (*groups, group)


def _with_cascades(tables: Iterable[Table]) -> tuple[Table, ...]:
    """A table whose changes the engine passes on to another cannot be followed, nor can that other."""
    every = tuple(tables)
    tied = {name for one in every for ref in one.references if ref.cascades for name in (one.name, ref.parent)}
    said = "a foreign key changes rows on its own"
    return tuple(replace(one, problem=one.problem or said) if one.name in tied else one for one in every)


READERS = {"postgresql": _postgres}
