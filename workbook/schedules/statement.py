"""What a statement looks at and what it writes, read from its SQL: tables, conditions, columns.

    SELECT b.seat FROM booking b JOIN flight f ON f.id = b.flight WHERE b.seat > 7 AND f.open

      look at booking b   condition  seat > 7   values of  seat, flight   (returned, joined by)
      look at flight  f   condition  open       values of  id             (joined by)

A look says which rows of a table can matter to a statement, and which of their columns. It errs to one side only: a
row that its `matches` leaves out cannot change what the statement does, whatever else is in the tables. `matches` is
a query over tables that hold every version of every row that the run knew, so that the engine itself says which
versions match; for a join, a version matches when some version of the other tables joins with it. A condition with a
subquery in it is left out of `matches`, the columns in it count as values that matter, and the subquery gives looks
of its own. So do aggregates, DISTINCT, ORDER BY and LIMIT: what they make of the rows is a function of the rows.

    >>> tables = (Table("test", ("id", "value"), key=("id",)),)
    >>> (look,) = read_statement("SELECT count(*) FROM test WHERE value % 3 = 0", tables).looks
    >>> look.condition, sorted(look.searched), sorted(look.values)
    ('value % 3 = 0', ['value'], [])
    >>> read_statement("UPDATE test SET value = value + 1 WHERE id = 1", tables).assigned
    frozenset({'value'})
    >>> read_statement("SELECT audit(id) FROM test", tables).problem
    'the function audit may read and write anything'

Left out, and said so in `problem`: steps of several statements, functions other than the engine's own, MERGE,
data-modifying CTEs, SKIP LOCKED, cursors, COPY, DDL, other schemas. `notes` name what no row version explains: clocks,
chance, sequences, rows that SQL lets the engine choose or put in any order.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

import sqlglot
from sqlglot import exp

from workbook.schedules.controls import STRING, statements
from workbook.schedules.ordering import left_open
from workbook.schedules.tables import BUILT_IN, Table

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it does not understand is said in `problem`
VERSION, TARGET = "workbook_version", "workbook_target"
"""The column that holds a version's number, and the name of the table of versions that a query about a table asks."""
DIALECTS = {
    "postgresql": "postgres",
    "sqlite": "sqlite",
    "sqlite-rollback": "sqlite",
    "duckdb": "duckdb",
    "mariadb": "mysql",
}
CONTROL = re.compile(
    r"\s*(BEGIN|START|COMMIT|END|ABORT|ROLLBACK|SAVEPOINT|RELEASE|SET|RESET|SHOW|LOCK|UNLOCK|DISCARD|NOTIFY|LISTEN|"
    r"UNLISTEN|PRAGMA|ANALYZE|VACUUM|CHECKPOINT)\b",
    re.I,
)
ASKS = re.compile(r"\bSELECT\b", re.I)
"""A control statement may hold a query: SET @x = (SELECT ...)."""
HARMLESS = re.compile(
    r"pg_(try_)?advisory_\w+|pg_sleep|pg_backend_pid|txid_\w+|pg_current_\w+|current_setting|set_config"
)

UNREPEATABLE = (exp.Rand, exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.Uuid)
SEQUENCES = ("nextval", "currval", "lastval", "setval")
SCHEMAS = ("public", "main")
"""Where the tables of a setup are, by the names that PostgreSQL, SQLite and DuckDB give it."""
Kind = Literal["read", "insert", "update", "delete", "control", "unknown"]


@dataclass(frozen=True)
class Look:
    """Rows of one table that can matter to a statement.

    `condition` is what rows are searched by, in SQL ('' for every row), `searched` the columns in it, `values` the
    columns whose values matter in a row that matches. `matches` is a query for the numbers of the versions in
    `TARGET` that match, for which the tables `over` hold all versions, too. `locks` says whether the statement locks
    the rows that it finds."""

    table: str
    alias: str
    condition: str
    searched: frozenset[str]
    values: frozenset[str]
    matches: str
    over: tuple[str, ...]
    locks: bool = False


@dataclass(frozen=True)
class Statement:
    """A statement that was read: its kind, its `looks`, the table that it writes (`target`) and the columns that it
    `assigned`, what it does on a conflict of keys (`nothing`, `update` or ''), by which columns it looks for one
    (`arbiter`; by every key where there are none), how many rows its VALUES propose (None for a query), which columns
    of the row in conflict it uses, which of these decide whether it is updated (`conflict_searched`), and why it cannot
    be traced."""

    kind: Kind
    sql: str = ""
    dialect: str = ""
    looks: tuple[Look, ...] = ()
    target: str = ""
    assigned: frozenset[str] = frozenset()
    on_conflict: str = ""
    arbiter: frozenset[str] = frozenset()
    rows_proposed: int | None = None
    conflict_values: frozenset[str] = frozenset()
    conflict_searched: frozenset[str] = frozenset()
    problem: str = ""
    notes: tuple[str, ...] = ()
    tree: exp.Expr | None = field(default=None, compare=False)

    @property
    def writes(self) -> bool:
        return self.kind in ("insert", "update", "delete")

    def given(self, columns: Sequence[str]) -> Sequence[str]:
        """The columns for which an INSERT gives values, in their order; `columns` are those of the table."""
        this = self.tree.this if isinstance(self.tree, exp.Insert) else None
        if isinstance(this, exp.Schema):
            return [_name(one) for one in this.expressions]
        return () if self.tree is not None and self.tree.args.get("default") else columns

    def sorted_by(self, columns: Sequence[str]) -> frozenset[str]:
        """Those of a table's `columns` by which a query sorts its rows; all, where that cannot be told."""
        order = self.tree.args.get("order") if isinstance(self.tree, exp.Select) else None
        if order is None:
            return frozenset()
        keys = [one.this if isinstance(one, exp.Ordered) else one for one in order.expressions]
        names = {_name(key.this) for key in keys if isinstance(key, exp.Column)}
        plain = len(names) == len(keys) and names <= set(columns)
        return frozenset(names) if plain else frozenset(columns)

    def proposed(self, columns: Sequence[str]) -> list[dict[str, Any]] | None:
        """The rows that the VALUES of an INSERT propose, as far as they are literals; None where they cannot be told.
        `columns` are those of the table."""
        if not isinstance(self.tree, exp.Insert) or not isinstance(self.tree.args.get("expression"), exp.Values):
            return None
        rows = []
        for line in self.tree.args["expression"].expressions:
            given = zip(self.given(columns), line.expressions, strict=False)
            rows.append({name: one.to_py() for name, one in given if _literal(one)})
        return rows


@lru_cache(maxsize=4096)
def read_statement(
    sql: str, tables: tuple[Table, ...], engine: str = "postgresql", safe: frozenset[str] = BUILT_IN
) -> Statement:
    """Read a statement against the tables that there are.

    Parameters: the `sql`; the `tables`; the `engine`; `safe`, the names of functions that read and write nothing. What
    cannot be read gives a statement with a `problem`, never an error.
    """
    parts = statements(sql) or [""]
    if all(CONTROL.match(one) for one in parts):
        asks = next((one.split()[0].upper() for one in parts if ASKS.search(STRING.sub("''", one))), "")
        return Statement("control", sql, problem=f"{asks} with a query in it is not traced" if asks else "")
    if len(parts) > 1:
        return Statement("unknown", sql, problem="several statements in one step are not traced")
    dialect = DIALECTS[engine]
    try:
        tree = sqlglot.parse_one(sql, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
        return replace(_Reader(tree, tables, safe, dialect).statement(), sql=sql, dialect=dialect)
    except Exception:  # the parser gives trees of shapes that nobody has listed
        return Statement("unknown", sql, problem="its SQL is not understood")


@dataclass(eq=False)
class _Source:
    """A table (or something else, then `table` is None) in the FROM of a block. `nullable`: an outer join may replace
    its rows by NULLs."""

    alias: str
    table: Table | None
    locks: bool = False
    nullable: bool = False

    def has(self, name: str, qualifier: str) -> bool:
        if qualifier:
            return qualifier == self.alias
        return self.table is not None and name in (*self.table.columns, self.alias)


class _Reader:
    """Reads one statement. A block is a SELECT, or the statement that writes, with the sources of its FROM."""

    def __init__(self, tree: exp.Expr, tables: Iterable[Table], safe: frozenset[str], dialect: str) -> None:
        self.safe, self.dialect = safe, dialect
        self.tables = {table.name: table for table in tables}
        if dialect != "postgres":
            _spell(tree, tuple(self.tables.values()), dialect)
        self.whole, self.tree = tree, tree.copy()
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.sources: dict[int, list[_Source]] = {}
        self.owners: dict[int, list[_Source]] = {}

    def statement(self) -> Statement:
        kind = self._kind()
        if kind == "unknown":
            said = self.tree.sql(dialect=self.dialect).split()
            return Statement("unknown", problem=f"{said[0].upper() if said else 'nothing'} is not traced")
        if self.tree.find(exp.Merge):
            return Statement("unknown", problem="a WITH that writes is not traced")
        blocks = list(self.tree.find_all(exp.Select, exp.Update, exp.Delete, exp.Insert))
        for block in blocks:
            self.sources[id(block)] = self._sources_of(block)
            self._spell_out_joins(block)
        self._check()
        for column in self.tree.find_all(exp.Column):
            self._own(column)
        looks = tuple(look for block in blocks for look in self._looks(block))
        target, assigned = self._written()
        return Statement(
            kind,
            looks=looks,
            target=target,
            assigned=assigned,
            **self._proposed(target, assigned),
            problem=self.problems[0] if self.problems else "",
            notes=tuple(dict.fromkeys(self.notes)),
            tree=self.whole,
        )

    def _kind(self) -> Kind:
        for kind, shape in KINDS:
            if isinstance(self.tree, shape):
                return kind
        return "unknown"

    # what cannot be traced

    def _check(self) -> None:
        for with_ in self.tree.find_all(exp.With):
            if any(isinstance(cte.this, (exp.Insert, exp.Update, exp.Delete)) for cte in with_.expressions):
                self.problems.append("a WITH that writes is not traced")
        for function in self.tree.find_all(exp.Func):
            self._check_function(function)
        if any(lock.args.get("wait") is False for lock in self.tree.find_all(exp.Lock)):
            self.problems.append("SKIP LOCKED leaves rows out by who holds them, not by their versions")
        self.notes += left_open(self.tree, self.dialect)
        if isinstance(self.tree, exp.Insert) and (self.tree.args.get("alternative") or self.tree.args.get("overwrite")):
            self.problems.append("an INSERT that replaces rows is not traced")
        if isinstance(self.tree, (exp.Update, exp.Delete)) and (
            not isinstance(self.tree.this, exp.Table)
            or self.tree.this.args.get("joins")
            or self.tree.args.get("tables")
        ):
            self.problems.append("a write to joined tables is not traced")

    def _check_function(self, function: exp.Func) -> None:
        if isinstance(function, UNREPEATABLE):
            self.notes.append(f"{function.sql(dialect=self.dialect)} gives another value each time")
        elif isinstance(function, exp.Anonymous):
            name = function.name.lower()
            if name in SEQUENCES:
                self.notes.append("a sequence is no part of a transaction")
            elif name in ("value", "values") and function.find_ancestor(exp.OnConflict):
                pass  # on MariaDB, what the row was to be: `excluded` elsewhere
            elif name not in self.safe and not HARMLESS.fullmatch(name):
                self.problems.append(f"the function {name} may read and write anything")

    # the sources of a block

    def _sources_of(self, block: exp.Expr) -> list[_Source]:
        if isinstance(block, exp.Insert):
            return []
        found: list[_Source] = []
        if isinstance(block, (exp.Update, exp.Delete)):
            found.append(self._source(block.this))
            found[0].locks = True
        from_ = block.args.get("from_")
        for node in [*([from_.this] if from_ else []), *(block.args.get("using") or ())]:
            found.append(self._source(node))
        for join in _joins(block):
            side = str(join.args.get("side") or "").upper()
            for before in found:
                before.nullable = before.nullable or side in ("RIGHT", "FULL")
            found.append(self._source(join.this))
            found[-1].nullable = side in ("LEFT", "FULL")
        if isinstance(block, exp.Select) and (locks := block.args.get("locks")):
            named = {_name(table.this) for lock in locks for table in lock.expressions}
            for one in found:
                one.locks = not named or one.alias in named
        return found

    def _source(self, node: exp.Expr) -> _Source:
        alias = node.args.get("alias")
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            if isinstance(node, exp.Table):
                self.notes.append(f"{node.this.sql(dialect=self.dialect)} is no table")
            return _Source(_name(alias.this) if alias else "", None)
        name = _name(node.this)
        known = _name(alias.this) if alias else name
        if not node.args.get("db") and self._is_cte(node, name):
            return _Source(known, None)
        self._check_table(node, name)
        return _Source(known, self.tables.get(name))

    def _check_table(self, node: exp.Table, name: str) -> None:
        if name not in self.tables:
            self.problems.append(f"{name} is no table of the setup (a view, or a table of the catalog)")
        elif node.args.get("db") and _name(node.args["db"]) not in SCHEMAS:
            self.problems.append(f"{_name(node.args['db'])}.{name} stands in a schema of its own")

    def _is_cte(self, node: exp.Expr, name: str) -> bool:
        """Whether a name is that of a WITH above: without RECURSIVE, a query of a WITH sees only those before it."""
        above: exp.Expr | None = node
        inside: exp.Expr | None = None
        while above is not None:
            if with_ := above.args.get("with_"):
                every = list(with_.expressions)
                forward = with_.args.get("recursive") or self.dialect == "sqlite"
                before = next((place for place, cte in enumerate(every) if cte is inside and not forward), len(every))
                if name in {cte.alias for cte in every[:before]}:
                    return True
            inside = above if isinstance(above, exp.CTE) else inside
            above = above.parent
        return False

    def _spell_out_joins(self, block: exp.Expr) -> None:
        """USING (c) and NATURAL, written as ON a.c = b.c."""
        joins = _joins(block)
        sources = self.sources[id(block)]
        for place, join in enumerate(joins, len(sources) - len(joins)):
            source, before = sources[place], sources[:place]
            names = [_name(one.this if isinstance(one, exp.Column) else one) for one in join.args.get("using") or ()]
            if str(join.args.get("method") or "").upper() == "NATURAL" and source.table:
                names = [name for name in source.table.columns if any(one.has(name, "") for one in before)]
            for name in names:
                left = next((one for one in before if one.has(name, "")), None)
                if left is None or source.table is None:
                    self.problems.append(f"a join by {name} with something that is no table is not traced")
                    continue
                join.on(
                    exp.EQ(this=exp.column(name, left.alias), expression=exp.column(name, source.alias)), copy=False
                )
            join.set("using", None)
            join.set("method", None)

    # to which source a column belongs

    def _own(self, column: exp.Column) -> None:
        """Find the sources to which a column belongs: those of the innermost block that has it."""
        name, qualifier = _name(column.this), _name(column.args.get("table"))
        block = _block_of(column)
        while block is not None:
            found = [one for one in self.sources[id(block)] if one.has(name, qualifier)]
            if not found and qualifier in ("old", "new") and isinstance(block, (exp.Update, exp.Delete)):
                found = self.sources[id(block)][:1]  # of RETURNING
            if found or name == "*":
                self.owners[id(column)] = found
                return
            block = _block_of(block)
        if not self._known_otherwise(column, name, qualifier):
            self.problems.append(f"the column {column.sql(dialect=self.dialect)} is not known")

    def _known_otherwise(self, column: exp.Column, name: str, qualifier: str) -> bool:
        """Columns that are of no table: those of a subquery or a CTE, names given in the select list, `excluded`."""
        block = _block_of(column)
        if qualifier in ("excluded", "old", "new") or isinstance(block, exp.Insert):
            return True
        while block is not None:
            if name in {one.alias for one in getattr(block, "selects", ())}:
                return True
            if any(one.table is None for one in self.sources[id(block)]):
                return True
            block = _block_of(block)
        return False

    # the looks

    def _looks(self, block: exp.Expr) -> Iterator[Look]:
        every = self.sources[id(block)]
        outer = any(one.nullable for one in every)
        usable: list[tuple[exp.Expr, list[_Source]]] = []
        for condition, joined in self._conditions(block):
            touched = self._touched(condition, block)
            if not touched or (outer and not (len(touched) == 1 and (joined or not touched[0].nullable))):
                continue
            if outer and joined is not None and joined is not touched[0]:
                continue
            usable.append((condition, touched))
        local = {id(column) for one, touched in usable if len(touched) == 1 for column in one.find_all(exp.Column)}
        tables = [one for one in every if one.table is not None]
        for source in tables:
            yield self._look(block, source, [source] if outer else tables, usable, local)

    def _look(
        self,
        block: exp.Expr,
        source: _Source,
        sources: list[_Source],
        usable: list[tuple[exp.Expr, list[_Source]]],
        local: set[int],
    ) -> Look:
        table = source.table
        assert table is not None
        query = exp.select(exp.column(VERSION, table=identifier(source.alias))).distinct()
        for place, one in enumerate(sources):
            name = TARGET if one is source else one.table.name  # type: ignore[union-attr]
            named = exp.alias_(exp.Table(this=identifier(name)), identifier(one.alias), table=True)
            query = query.join(named, join_type="cross") if place else query.from_(named)
        own, searched = [], set()
        for condition, touched in usable:
            if all(one in sources for one in touched):
                query = query.where(self._qualified(condition))
                searched |= {_name(column.this) for column in self._columns(condition, source)}
            if touched == [source]:
                own.append(condition.sql(dialect=self.dialect))
        values = set(self._stars(block, source))
        for column in self._columns(self.tree, source):
            if id(column) not in local and not _is_assigned(column):
                name = _name(column.this)
                values |= set(table.columns) if name in ("*", source.alias) and name not in table.columns else {name}
        over = tuple(dict.fromkeys(one.table.name for one in sources if one.table and one is not source))
        text = " AND ".join(own)
        matches = query.sql(dialect=self.dialect)
        return Look(table.name, source.alias, text, frozenset(searched), frozenset(values), matches, over, source.locks)

    def _conditions(self, block: exp.Expr) -> Iterator[tuple[exp.Expr, _Source | None]]:
        """The conjuncts of WHERE and of each ON, the latter with the source that it joins."""
        where = block.args.get("where")
        for condition in _conjuncts(where.this) if where else ():
            yield condition, None
        joins, sources = _joins(block), self.sources[id(block)]
        for place, join in enumerate(joins, len(sources) - len(joins)):
            for condition in _conjuncts(join.args["on"]) if join.args.get("on") else ():
                yield condition, sources[place] if join.args.get("side") else None

    def _touched(self, condition: exp.Expr, block: exp.Expr) -> list[_Source]:
        """The tables of this block that a condition is about; none where it cannot be asked of versions alone."""
        if condition.find(exp.Query, *UNREPEATABLE) or any(
            isinstance(one, exp.Anonymous) and one.name.lower() not in self.safe for one in condition.find_all(exp.Func)
        ):
            return []
        touched: dict[int, _Source] = {}
        for column in condition.find_all(exp.Column):
            owners = [one for one in self.owners.get(id(column), ()) if one in self.sources[id(block)]]
            if not owners or owners[0].table is None or _name(column.this) not in owners[0].table.columns:
                return []
            touched[id(owners[0])] = owners[0]
        return list(touched.values())

    def _qualified(self, condition: exp.Expr) -> exp.Expr:
        """A copy of the condition in which every column names its source."""
        copied = condition.copy()
        for old, new in zip(condition.find_all(exp.Column), copied.find_all(exp.Column), strict=True):
            new.set("table", identifier(self.owners[id(old)][0].alias))
        return copied

    def _columns(self, tree: exp.Expr, source: _Source) -> Iterator[exp.Column]:
        for column in tree.find_all(exp.Column):
            if source in self.owners.get(id(column), ()):
                yield column

    def _stars(self, block: exp.Expr, source: _Source) -> tuple[str, ...]:
        """All columns, where a block returns `*`; not in EXISTS, which asks only whether there is a row."""
        returning = block.args.get("returning")
        listed = returning.expressions if returning else getattr(block, "expressions", ())
        if isinstance(block, exp.Select) and isinstance(block.parent, exp.Exists):
            return ()
        return source.table.columns if source.table and any(isinstance(one, exp.Star) for one in listed) else ()

    # what is written

    def _written(self) -> tuple[str, frozenset[str]]:
        """The table that the statement writes, and the columns that it sets (of an INSERT: those of ON CONFLICT)."""
        if isinstance(self.tree, exp.Insert):
            this = self.tree.this
            table = this.this if isinstance(this, exp.Schema) else this
            conflict = self.tree.args.get("conflict")
            set_ = list(conflict.expressions) if conflict else []
        elif isinstance(self.tree, (exp.Update, exp.Delete)):
            table, set_ = self.tree.this, list(self.tree.expressions)
        else:
            return "", frozenset()
        name = _name(table.this) if isinstance(table, exp.Table) else ""
        if name in self.tables:
            self._check_table(table, name)
        elif not self.problems:
            self.problems.append(f"{name or 'what is written'} is no table of the setup")
        columns = {
            _name(column.this)
            for one in set_
            if isinstance(one, exp.EQ)
            for column in ([one.this] if isinstance(one.this, exp.Column) else one.this.find_all(exp.Column))
        }
        return name, frozenset(columns | set(self.tables[name].generated if name in self.tables else ()))

    def _proposed(self, target: str, assigned: frozenset[str]) -> dict[str, Any]:
        """How many rows an INSERT proposes, what it does on a conflict of keys, and which columns of the old row it
        uses: those that are returned, too, unless they are set."""
        if not isinstance(self.tree, exp.Insert):
            return {}
        conflict, values = self.tree.args.get("conflict"), self.tree.args.get("expression")
        found: dict[str, Any] = {"rows_proposed": len(values.expressions) if isinstance(values, exp.Values) else None}
        if conflict is None:
            return found | {"on_conflict": "nothing" if self.tree.args.get("ignore") else ""}
        found["arbiter"] = frozenset(
            _name(column.this)
            for key in conflict.args.get("conflict_keys") or ()
            for column in key.find_all(exp.Column)
        )
        if not conflict.expressions:
            return found | {"on_conflict": "nothing"}
        returned = frozenset[str]()
        if returning := self.tree.args.get("returning"):
            columns = frozenset(self.tables[target].columns if target in self.tables else ())
            for one in returning.find_all(exp.Column, exp.Star):
                name, old = _name(one if isinstance(one, exp.Star) else one.this), _name(one.args.get("table")) == "old"
                returned |= (columns if name == "*" else {name}) - (frozenset() if old else assigned)
        return found | {
            "on_conflict": "update",
            "conflict_values": _of_the_old(conflict) | returned,
            "conflict_searched": _of_the_old(conflict.args.get("where")),
        }


def _of_the_old(part: exp.Expr | None) -> frozenset[str]:
    """The columns of the row in conflict that a part of ON CONFLICT uses."""
    used = [one for one in (part.find_all(exp.Column) if part else ()) if not _is_assigned(one)]
    return frozenset(_name(one.this) for one in used if _name(one.args.get("table")) != "excluded")


def _literal(node: exp.Expr) -> bool:
    return isinstance(node.this if isinstance(node, exp.Neg) else node, (exp.Literal, exp.Null, exp.Boolean))


KINDS: tuple[tuple[Kind, Any], ...] = (
    ("read", (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)),
    ("insert", exp.Insert),
    ("update", exp.Update),
    ("delete", exp.Delete),
)


def _spell(tree: exp.Expr, tables: Sequence[Table], dialect: str) -> None:
    """Give names in a tree the letters of the catalog, on engines that find them whatever case they are written in
    (MariaDB: not its tables). A name that is spelled in two ways there is left as it is."""
    columns = {name for one in tables for name in one.columns}
    for node in list(tree.find_all(exp.Identifier)):
        of_table = isinstance(node.parent, (exp.Table, exp.TableAlias)) or node.arg_key == "table"
        exact = of_table and dialect == "mysql"
        names = {one.name for one in tables} if of_table else columns
        found = [one for one in names if one == node.name or (not exact and one.lower() == node.name.lower())]
        if len(found) == 1:
            node.replace(exp.to_identifier(found[0], quoted=found[0] != found[0].lower() or node.args.get("quoted")))


def identifier(name: str) -> exp.Identifier:
    """A name that `_name` gave, as it is written."""
    return exp.to_identifier(name, quoted=name != name.lower() or not name.isidentifier() or None)


def _name(node: Any) -> str:
    """The name of an identifier, folded to lower case unless it was quoted; `*` for a star."""
    if node is None:
        return ""
    if isinstance(node, exp.Star):
        return "*"
    if isinstance(node, exp.Identifier):
        return node.name if node.args.get("quoted") else node.name.lower()
    return str(node).lower()


def _joins(block: exp.Expr) -> list[exp.Join]:
    """The joins of a block; those of UPDATE ... FROM stand below its FROM."""
    from_ = block.args.get("from_")
    return [*((from_.this.args.get("joins") or ()) if from_ else ()), *(block.args.get("joins") or ())]


def _block_of(node: exp.Expr) -> exp.Expr | None:
    """The block that a node stands in, itself not counted."""
    return node.find_ancestor(exp.Select, exp.Update, exp.Delete, exp.Insert)


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    """The parts of an AND."""
    bare = condition.unnest()
    if isinstance(bare, exp.And):
        yield from _conjuncts(bare.left)
        yield from _conjuncts(bare.right)
    else:
        yield condition


def _is_assigned(column: exp.Column) -> bool:
    """Whether the column stands left of the = of SET, or in the target of ON CONFLICT."""
    node: exp.Expr = column
    while isinstance(node.parent, exp.Tuple):
        node = node.parent
    above = node.parent
    if isinstance(above, exp.EQ) and isinstance(above.parent, (exp.Update, exp.OnConflict)):
        return above.this is node and node.arg_key != "where" and above.arg_key == "expressions"
    return isinstance(above, exp.Ordered) and isinstance(above.parent, exp.OnConflict)
