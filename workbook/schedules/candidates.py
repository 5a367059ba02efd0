"""What could mend a program: each remedy is the program once more, changed in one way that a developer might choose.

    a level              the whole program at a stronger one                        1 change
    a row lock           FOR NO KEY UPDATE, FOR UPDATE, FOR SHARE behind a read     1 a statement
    an advisory lock     one key for all, as the first statement                    1 a transaction
    a guard row          one row that every transaction changes first               1, and 1 a transaction
    a constraint         a unique index, or an exclusion constraint                 1
    an index             on what a statement searches by                            1

Nothing here is believed to help: `remedies` tries each one. The constraints come from what was seen. Two rows that an
anomaly has left and that no serial order leaves agree in some columns, or overlap in an interval: the constraint that
forbids just that, and as little else as possible, is a candidate. Which of the columns mean something only the author
knows.

    >>> pairs([(1, "A", "mon"), (2, "A", "mon"), (3, "B", "mon")], ("id", "room", "day"))
    [('day',), ('room', 'day')]

Left out: statements that are written anew (`SET value = value + 1` in place of a read and a write): whoever knows
what is meant hands them to `remedies` as programs of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlglot import exp

from workbook.schedules.controls import chains, leaves_open, parted, statements
from workbook.schedules.controls import kind as kind_of
from workbook.schedules.schedule import Program, Step
from workbook.schedules.statement import CONTROL, DIALECTS, Statement, read_statement
from workbook.schedules.tables import Known, Table
from workbook.schedules.transactions import ordinal

Kind = Literal["as it is", "level", "row lock", "advisory lock", "guard row", "constraint", "index", "own"]
LOCKS = {
    "postgresql": ("FOR NO KEY UPDATE", "FOR UPDATE", "FOR SHARE"),
    "mariadb": ("FOR UPDATE", "LOCK IN SHARE MODE"),
}
"""What can stand behind a read, the weakest that excludes its like first."""
ADVISORY = {"postgresql": "SELECT pg_advisory_xact_lock(1)"}
GUARDED = ("mariadb", "duckdb")
"""Engines without an advisory lock that a transaction holds. DuckDB has no row locks either, and does not see a
conflict with a write that leaves a row as it was: the guard row is counted up."""
GUARD = "workbook_guard"
RANGE_OF = {
    "integer": "int4range",
    "bigint": "int8range",
    "numeric": "numrange",
    "date": "daterange",
    "timestamp without time zone": "tsrange",
    "timestamp with time zone": "tstzrange",
}
"""Types of which PostgreSQL makes ranges, which need no extension to be excluded by GiST."""
ROWS_MAX, COLUMNS_MAX, CONSTRAINTS_MAX = 60, 4, 4
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Remedy:
    """A changed program, and what was changed.

    `changes` counts the statements, settings or definitions that it takes; `strength` orders what takes as many, the
    weaker first; `retry` says whether a transaction that an error has ended is run again.
    """

    name: str
    kind: Kind
    changes: int
    program: Program
    level: str
    strength: int = 0
    retry: bool = False


def candidates(program: Program, level: str, engine: str, levels: Sequence[str], known: Known) -> Iterator[Remedy]:
    """What can be tried without having seen what goes wrong; `levels` are those of the engine, the weakest first."""
    used = [program.levels.get(session, level) for session in program.sessions]
    weakest = min(levels.index(one) if one in levels else -1 for one in used)
    for number, stronger in enumerate(levels[weakest + 1 :], 1):
        yield Remedy(stronger, "level", 1, replace(program, levels={}), stronger, number)
    yield from row_locks(program, level, engine, known)
    if engine in ADVISORY:
        yield first_of_all("an advisory lock", "advisory lock", program, level, ADVISORY[engine])
    if engine in GUARDED:
        made = _with_setup(program, f"CREATE TABLE {GUARD} (n int);\nINSERT INTO {GUARD} VALUES (0)")
        yield first_of_all("a guard row", "guard row", made, level, f"UPDATE {GUARD} SET n = n + 1")
    if engine in LOCKS:
        yield from indexes(program, level, engine, known)


def row_locks(program: Program, level: str, engine: str, known: Known) -> Iterator[Remedy]:
    """A lock behind one read, behind the same read of each session, behind all of a session, behind all."""
    reads = _reads(program, engine, known)
    for strength, clause in enumerate(LOCKS.get(engine, ())):
        every = _groups(program, reads) if "SHARE" not in clause else [reads] if reads else []
        for group in every:
            locked = {name: _with_clause(sql, clause) for name, sql in group.items()}
            changed = _rewritten(program, locked)
            yield Remedy(f"{clause} in {_listed(group)}", "row lock", len(group), changed, level, 10 + strength)


def first_of_all(name: str, kind: Kind, program: Program, level: str, sql: str) -> Remedy:
    """One statement that every transaction begins with, and that only one can have done at a time."""
    sessions = {session: tuple(_begun_with(session, steps, sql)) for session, steps in program.sessions.items()}
    added = sum(map(_count, sessions.values())) - sum(map(_count, program.sessions.values()))
    return Remedy(name, kind, added + (kind == "guard row"), replace(program, sessions=sessions), level, strength=20)


def _count(steps: Sequence[Step]) -> int:
    return sum(len(statements(step.sql)) for step in steps)


def _begun_with(session: str, steps: Sequence[Step], sql: str) -> Iterator[Step]:
    """A session's steps, each of its transactions with this statement behind its BEGIN. A step that begins one and
    holds more is split there; a statement that is a transaction of its own gets its BEGIN and COMMIT.

    >>> steps = [Step("T1", "BEGIN; SELECT 1; COMMIT", "all"), Step("T1", "UPDATE t SET n = 1", "own")]
    >>> [step.sql for step in _begun_with("T1", steps, "LOCK")]
    ['BEGIN', 'LOCK', 'SELECT 1; COMMIT', 'BEGIN', 'LOCK', 'UPDATE t SET n = 1', 'COMMIT']
    """
    number, inside = 0, False

    def first() -> Step:
        nonlocal number
        number += 1
        return Step(session, sql, f"{session} first{f', {ordinal(number)}' if number > 1 else ''}")

    for step in steps:
        for place, text in enumerate(_cut(step.sql), 1):
            part = replace(step, sql=text, name=step.name if place == 1 else f"{step.name}, part {place}")
            begins = any(_begins(one) for one in statements(text))
            if not inside and not begins and not all(CONTROL.match(one) for one in statements(text)):
                yield Step(session, "BEGIN", f"{part.name}, begun")
                yield first()
                yield part
                yield Step(session, "COMMIT", f"{part.name}, ended")
                continue
            yield part
            if begins:
                yield first()
            inside = leaves_open(text, inside)


def _begins(statement: str) -> bool:
    """Whether a transaction begins with it: BEGIN, COMMIT AND CHAIN."""
    return kind_of(statement) == "begin" or chains(statement)


def _cut(sql: str) -> list[str]:
    """The text of a step, cut behind each statement that begins a transaction, and before it.

    >>> _cut("COMMIT; BEGIN; SELECT 1; SELECT 2"), _cut("/* as it is */ BEGIN")
    (['COMMIT', 'BEGIN', 'SELECT 1; SELECT 2'], ['/* as it is */ BEGIN'])
    """
    parts = statements(sql)
    if len(parts) < 2 or not any(map(_begins, parts)):
        return [sql]
    groups = itertools.groupby(parts, _begins)
    return [text for begins, group in groups for text in (group if begins else ["; ".join(group)])]


def indexes(program: Program, level: str, engine: str, known: Known) -> Iterator[Remedy]:
    """An index on what a statement searches by, where there is none that begins with it."""
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    for statement in _statements(program, engine, known):
        for look in statement.looks:
            table = known.table(look.table)
            columns = tuple(name for name in table.columns if name in look.searched)
            if columns and not any(group[0] in columns for group in table.unique if group):
                found[look.table, columns] = None
    for number, (name, columns) in enumerate(found, 1):
        sql = f"CREATE INDEX workbook_remedy_{number} ON {_quoted([name], engine)} ({_quoted(columns, engine)})"
        yield Remedy(f"an index on {name} ({', '.join(columns)})", "index", 1, _with_setup(program, sql), level, 5)


def constraints(
    program: Program,
    level: str,
    engine: str,
    known: Known,
    serial: Iterable[Mapping[str, Sequence[Row]]],
    wrong: Iterable[Mapping[str, Sequence[Row]]],
) -> Iterator[Remedy]:
    """Unique indexes and exclusion constraints that forbid what anomalies have left, and nothing that a serial order
    leaves. `serial` and `wrong` are tables with their rows, as the runs have left them."""
    right, left = list(serial), list(wrong)
    for table in known.tables:
        rows_right = [final.get(table.name, ()) for final in right]
        rows_left = [final.get(table.name, ()) for final in left]
        for name, sql in _constraints_of(table, engine, rows_right, rows_left):
            yield Remedy(name, "constraint", 1, _with_setup(program, sql), level, strength=4)


def _constraints_of(
    table: Table, engine: str, right: Sequence[Sequence[Row]], left: Sequence[Sequence[Row]]
) -> list[tuple[str, str]]:
    """Names and SQL of the constraints for one table."""

    def called() -> str:
        return _quoted([f"workbook_remedy_{table.name}_{len(found) + 1}"], engine)

    columns = [name for name in table.columns if name not in table.generated]
    allowed = {group for rows in right for group in pairs(rows, table.columns)}
    seen = {group for rows in left for group in pairs(rows, table.columns)}
    found: list[tuple[str, str]] = []
    for group in _only_there(seen, allowed):
        if set(group) <= set(columns):
            sql = f"CREATE UNIQUE INDEX {called()} ON {_quoted([table.name], engine)} ({_quoted(group, engine)})"
            found.append((f"UNIQUE ({', '.join(group)}) on {table.name}", sql))
    if engine == "postgresql":
        for interval in _intervals(table, [*right, *left]):
            kept, lost = (
                {group for rows in side for group in overlapping(rows, table.columns, interval)}
                for side in (right, left)
            )
            for group in _only_there(lost, kept):
                found.append(_exclusion(table, group, interval, called()))
    return found[:CONSTRAINTS_MAX]


def _only_there(seen: Iterable[tuple[str, ...]], allowed: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The groups of columns that what was seen agrees in, and nothing that is allowed; the largest first, for they
    forbid the least."""
    kept = [set(group) for group in allowed]
    new = [group for group in seen if len(group) <= COLUMNS_MAX and not any(set(group) <= other for other in kept)]
    return sorted(new, key=lambda group: (-len(group), group))


def pairs(rows: Sequence[Row], columns: Sequence[str]) -> list[tuple[str, ...]]:
    """For each two rows, the columns in which they agree (NULL agrees with nothing); without those that agree in
    none."""
    found = {_agree(one, other, columns) for one, other in itertools.combinations(rows[:ROWS_MAX], 2)}
    return sorted((group for group in found if group), key=lambda group: (len(group), group))


def overlapping(rows: Sequence[Row], columns: Sequence[str], interval: tuple[str, ...]) -> list[tuple[str, ...]]:
    """For each two rows whose intervals overlap, the other columns in which they agree.

    >>> overlapping([(7, 1, 5), (7, 4, 9), (8, 4, 9)], ("room", "from_", "to_"), ("from_", "to_"))
    [(), ('room',)]
    """
    found = set()
    places = [columns.index(name) for name in interval]
    for one, other in itertools.combinations(rows[:ROWS_MAX], 2):
        if _overlap([one[place] for place in places], [other[place] for place in places]):
            found.add(tuple(name for name in _agree(one, other, columns) if name not in interval))
    return sorted(found)


def _agree(one: Row, other: Row, columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name, a, b in zip(columns, one, other, strict=True) if a is not None and a == b)


def _overlap(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two intervals have a moment in common: each a range, or its two ends, the second one outside of it."""
    if any(map(_unknown, (*one, *other))):
        return False
    if len(one) == 2:
        return bool(one[0] < other[1] and other[0] < one[1])
    a, b = one[0], other[0]
    if a.isempty or b.isempty:
        return False
    return _before(a, b) and _before(b, a)


def _unknown(value: Any) -> bool:
    """Whether an end is NULL, or one that Python's dates cannot hold and that came as text ('infinity')."""
    return value is None or isinstance(value, str)


def _before(a: Any, b: Any) -> bool:
    """Whether a range begins before another one ends."""
    if a.lower is None or b.upper is None:
        return True
    return bool(a.lower < b.upper or (a.lower == b.upper and a.lower_inc and b.upper_inc))


def _intervals(table: Table, finals: Sequence[Sequence[Row]]) -> Iterator[tuple[str, ...]]:
    """Columns that hold a range, and pairs of columns of which the first one is always the smaller."""
    rows = [row for final in finals for row in final[:ROWS_MAX]]
    types = dict(zip(table.columns, table.types, strict=False))
    for name, kind in types.items():
        if kind.endswith("range"):
            yield (name,)
    for one, other in itertools.combinations([name for name, kind in types.items() if kind in RANGE_OF], 2):
        a, b = table.columns.index(one), table.columns.index(other)
        keys = {name for group in table.unique for name in group} if len(table.unique) == 1 else set()
        if types[one] == types[other] and one not in keys and other not in keys and rows:
            known = [(row[a], row[b]) for row in rows if not (_unknown(row[a]) or _unknown(row[b]))]
            if known and all(start < end for start, end in known):
                yield one, other


def _exclusion(table: Table, same: Sequence[str], interval: tuple[str, ...], called: str) -> tuple[str, str]:
    """An exclusion constraint of PostgreSQL: rows that agree in some columns must not overlap."""
    types = dict(zip(table.columns, table.types, strict=False))
    sql_of = {name: _quoted([name], "postgresql") for name in (table.name, *same, *interval)}
    parts = [
        f"{RANGE_OF[types[name]]}({sql_of[name]}, {sql_of[name]}, '[]') WITH &&"
        if types[name] in RANGE_OF
        else f"{sql_of[name]} WITH ="
        for name in same
    ]
    ends = ", ".join(sql_of[name] for name in interval)
    span = ends if len(interval) == 1 else f"{RANGE_OF[types[interval[0]]]}({ends})"
    of = f" of the same {', '.join(same)}" if same else ""
    what = interval[0] if len(interval) == 1 else f"({', '.join(interval)})"
    excluded = ", ".join([*parts, f"{span} WITH &&"])
    sql = f"ALTER TABLE {sql_of[table.name]} ADD CONSTRAINT {called} EXCLUDE USING gist ({excluded})"
    return f"EXCLUDE overlapping {what}{of} on {table.name}", sql


def _reads(program: Program, engine: str, known: Known) -> dict[str, str]:
    """The names of the steps that read tables without a lock, with their SQL."""
    found = {}
    for steps in program.sessions.values():
        for step in steps:
            statement = read_statement(step.sql, known.tables, engine, known.safe)
            if statement.kind == "read" and statement.looks and not any(look.locks for look in statement.looks):
                found[step.name] = step.sql
    return found


def _statements(program: Program, engine: str, known: Known) -> list[Statement]:
    steps = itertools.chain.from_iterable(program.sessions.values())
    return [read_statement(step.sql, known.tables, engine, known.safe) for step in steps]


def _groups(program: Program, steps: Mapping[str, str]) -> list[dict[str, str]]:
    """One step; the k-th of each session; all of a session; all: the smallest first, none twice."""
    by_session = [[step.name for step in own if step.name in steps] for own in program.sessions.values()]
    groups = [[name] for name in steps]
    groups += [[names[at] for names in by_session if len(names) > at] for at in range(max(map(len, by_session)))]
    groups += [*by_session, list(steps)]
    found = dict.fromkeys(tuple(group) for group in groups if group)
    return [{name: steps[name] for name in group} for group in sorted(found, key=len)]


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return f"{', '.join(every[:-1])} and {every[-1]}" if len(every) > 1 else every[0]


def _rewritten(program: Program, sql: Mapping[str, str]) -> Program:
    """The program, the steps of these names with other SQL."""
    sessions = {
        name: tuple(replace(step, sql=sql.get(step.name, step.sql)) for step in steps)
        for name, steps in program.sessions.items()
    }
    return replace(program, sessions=sessions)


def _with_setup(program: Program, sql: str) -> Program:
    setup = program.setup.rstrip()
    return replace(program, setup=f"{setup}{'' if not setup or setup.endswith(';') else ';'}\n{sql};")


def _with_clause(sql: str, clause: str) -> str:
    """A query with a clause behind it, and no comment that would swallow it.

    >>> _with_clause("SELECT 1; -- one", "FOR UPDATE")
    'SELECT 1 FOR UPDATE'
    """
    query = parted(sql)[0]
    return f"{query}{chr(10) if '#' in query else ' '}{clause}"  # on MariaDB # begins a comment, until its line ends


def _quoted(names: Iterable[str], engine: str) -> str:
    """Names as SQL, whatever is in them.

    >>> _quoted(["id", "end"], "postgresql"), _quoted(["a b"], "mariadb")
    ('"id", "end"', '`a b`')
    """
    return ", ".join(exp.to_identifier(name, quoted=True).sql(dialect=DIALECTS[engine]) for name in names)
