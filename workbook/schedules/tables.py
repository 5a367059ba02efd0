"""What must be known of the tables of a schedule before their row versions can be followed, asked of the engine itself.

    setup ── run ──▶ catalog ──▶ Table "booking": columns and types, keys, checks, references, triggers
                                                          │                     │            └ cannot be followed
                       two writers of one key are ordered ┘                     └ an insert looks at its parent

A row's own statement is not all that looks at rows: a unique key makes an insert look for the same key, a foreign key
makes an insert look for its parent and a delete look for children. These looks decide whether a statement succeeds,
so they order transactions as reads do. What writes rows on its own (a trigger, a rule, ON DELETE CASCADE) cannot be
followed, and is named; so is a function of the setup that a default or a check calls, which may read anything.

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
        WHEN EXISTS (SELECT FROM pg_depend d JOIN pg_proc f ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = f.oid
            WHERE f.pronamespace <> 'pg_catalog'::regnamespace AND (d.classid, d.objid) IN (
            SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a WHERE a.adrelid = c.oid
            UNION SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k WHERE k.conrelid = c.oid
            UNION SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k
                JOIN pg_attribute a ON a.atttypid = k.contypid WHERE a.attrelid = c.oid
            UNION SELECT 'pg_type'::regclass, y.oid FROM pg_type y
                JOIN pg_attribute a ON a.atttypid = y.oid WHERE a.attrelid = c.oid AND y.typtype = 'd'))
        THEN 'a default or a check of it calls a function of the setup'
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


SQLITE = (
    """SELECT m.name, p.name, p.type, p.hidden > 1, p.pk FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) p
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY m.name, p.cid""",
    """SELECT m.name, i.name, i.partial, x.name FROM sqlite_schema m JOIN pragma_index_list(m.name) i
    JOIN pragma_index_xinfo(i.name) x WHERE m.type = 'table' AND i."unique" AND x."key" ORDER BY m.name, i.name, x.seqno""",
    """SELECT m.name, f.id, f."table", f."from", f."to", f.on_delete || f.on_update FROM sqlite_schema m
    JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq""",
    "SELECT name, upper(sql) FROM sqlite_schema WHERE type = 'table'",
    "SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger'",
    "SELECT name FROM pragma_function_list GROUP BY name HAVING min(flags & 2048) > 0",
)


def _sqlite(schedule: Schedule, stage: Stage) -> Known:
    columns, unique, references, texts, triggers, functions = asked(schedule, stage, SQLITE)
    text = {str(name): str(sql) for name, sql in texts}
    made: dict[str, Table] = {}
    for name in dict.fromkeys(row[0] for row in columns):
        own = [row for row in columns if row[0] == name]
        names = tuple(row[1] for row in own)
        key = tuple(row[1] for row in sorted(own, key=lambda row: row[4]) if row[4])
        generated = tuple(row[1] for row in own if row[3])
        checked = (names,) if "CHECK" in text[name] else ()
        why = "it has no rowid" if "WITHOUT ROWID" in text[name] else ""
        groups = (key,) if key else ()
        types = tuple(row[2] for row in own)
        made[name] = Table(name, names, types, key, groups, checked, generated=generated, problem=why)
    for (name, _), rows in _grouped(unique, 2):
        group = tuple(row[3] for row in rows)
        if rows[0][2] or None in group:
            why = "it has a unique index of a part of its rows, or of an expression"
            made[name] = replace(made[name], problem=made[name].problem or why)
        else:
            made[name] = replace(made[name], unique=_added(made[name].unique, group))
    for (name, _), rows in _grouped(references, 2) if schedule.mentions("foreign_keys") else ():
        key = tuple(row[4] for row in rows) if rows[0][4] else made[rows[0][2]].key
        cascades = any(word in rows[0][5] for word in ("CASCADE", "SET "))
        reference = Reference(tuple(row[3] for row in rows), rows[0][2], key, cascades)
        made[name] = replace(made[name], references=(*made[name].references, reference))
    for (name,) in triggers:
        made[name] = replace(made[name], problem="it has a trigger")
    return Known(_with_cascades(made.values()), BUILT_IN | {name for (name,) in functions})


DUCKDB = (
    """SELECT table_name, column_name, data_type, coalesce(column_default LIKE 'nextval(%', false) FROM duckdb_columns()
    WHERE database_name = current_database() AND NOT internal ORDER BY table_name, column_index""",
    """SELECT table_name, lower(constraint_type[1]), constraint_column_names, referenced_table, referenced_column_names
    FROM duckdb_constraints() WHERE database_name = current_database()""",
    "SELECT table_name, trim(expressions, '[]') FROM duckdb_indexes() WHERE is_unique AND database_name = current_database()",
    """SELECT function_name FROM duckdb_functions() WHERE internal GROUP BY function_name
    HAVING bool_and(stability IS NULL OR stability = 'CONSISTENT')""",
)


def _duckdb(schedule: Schedule, stage: Stage) -> Known:
    columns, constraints, unique, functions = asked(schedule, stage, DUCKDB)
    made: dict[str, Table] = {}
    for name in dict.fromkeys(row[0] for row in columns):
        own = [row for row in columns if row[0] == name]
        types, sequenced = tuple(row[2] for row in own), tuple(row[1] for row in own if row[3])
        made[name] = Table(name, tuple(row[1] for row in own), types, sequenced=sequenced)
    for name, kind, of, parent, key in constraints:
        made[name] = _constrained(made[name], kind, tuple(of), parent or "", tuple(key), False)
    for name, said in unique:
        group = tuple(part.strip() for part in said.split(","))
        if set(group) <= set(made[name].columns):
            made[name] = replace(made[name], unique=_added(made[name].unique, group))
        else:
            made[name] = replace(made[name], problem="it has a unique index of an expression")
    return Known(tuple(made.values()), BUILT_IN | {name for (name,) in functions})


MARIADB = (
    """SELECT table_name, column_name, extra FROM information_schema.columns
    WHERE table_schema = database() ORDER BY table_name, ordinal_position""",
    """SELECT s.table_name, s.index_name, s.sub_part IS NOT NULL, s.column_name FROM information_schema.statistics s
    WHERE s.table_schema = database() AND s.non_unique = 0 ORDER BY s.table_name, s.index_name, s.seq_in_index""",
    """SELECT k.table_name, k.constraint_name, k.referenced_table_name, k.column_name, k.referenced_column_name,
        CONCAT(r.delete_rule, r.update_rule) FROM information_schema.key_column_usage k
    JOIN information_schema.referential_constraints r ON r.constraint_schema = k.table_schema
        AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name
    WHERE k.table_schema = database() AND k.referenced_table_name IS NOT NULL
    ORDER BY k.table_name, k.constraint_name, k.ordinal_position""",
    "SELECT table_name FROM information_schema.check_constraints WHERE constraint_schema = database()",
    "SELECT event_object_table FROM information_schema.triggers WHERE trigger_schema = database()",
)


def _mariadb(schedule: Schedule, stage: Stage) -> Known:
    columns, unique, references, checks, triggers = asked(schedule, stage, MARIADB)
    made: dict[str, Table] = {}
    for name in dict.fromkeys(row[0] for row in columns):
        own = [row for row in columns if row[0] == name]
        extras = {row[1]: str(row[2]).lower() for row in own}
        generated = tuple(one for one, extra in extras.items() if "generated" in extra or "on update" in extra)
        sequenced = tuple(one for one, extra in extras.items() if "auto_increment" in extra)
        made[name] = Table(name, tuple(extras), generated=generated, sequenced=sequenced)
    for (name, index), rows in _grouped(unique, 2):
        group = tuple(row[3] for row in rows)
        key = group if index == "PRIMARY" else made[name].key
        why = "it has a unique index of a part of a column" if any(row[2] for row in rows) else ""
        made[name] = replace(made[name], key=key, unique=_added(made[name].unique, group), problem=why)
    for (name, _), rows in _grouped(references, 2):
        cascades = any(word in rows[0][5] for word in ("CASCADE", "SET "))
        reference = Reference(tuple(row[3] for row in rows), rows[0][2], tuple(row[4] for row in rows), cascades)
        made[name] = replace(made[name], references=(*made[name].references, reference))
    for (name,) in checks:
        made[name] = replace(made[name], checked=(made[name].columns,))
    for (name,) in triggers:
        made[name] = replace(made[name], problem="it has a trigger")
    return Known(_with_cascades(made.values()))


def _grouped(rows: Iterable[tuple[Any, ...]], width: int) -> list[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]:
    """The rows by their first so many values."""
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in rows:
        groups.setdefault(row[:width], []).append(row)
    return list(groups.items())


READERS = {
    "postgresql": _postgres,
    "sqlite": _sqlite,
    "sqlite-rollback": _sqlite,
    "duckdb": _duckdb,
    "mariadb": _mariadb,
}
