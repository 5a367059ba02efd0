"""How an engine lets one see row versions: which ones a statement could see, and which it wrote in the place of which.

    the step        UPDATE test SET value = 12 WHERE id = 1
    before it       SELECT pg_current_snapshot(), ...            '740:742:740'    who is visible to it
    instead of it   UPDATE ... RETURNING old.ctid, new.ctid,     (0,1) -> (0,5)   what it replaced, with both images
                        pg_current_xact_id(), old.*, new.*       741              by whom

PostgreSQL says it all by itself. A snapshot (lowest running transaction, next one, those running between) tells of
every transaction whether its versions are visible, and asking for it locks nothing, so that a SERIALIZABLE
transaction is not held to have read more than it did. `old` and `new` of RETURNING (since 18) name the version that
was replaced, also where an UPDATE of a READ COMMITTED transaction waited and then took a newer version than its
snapshot shows. SELECTs run as they are.

    >>> PostgresEye.seen_in("740:742:740", "739"), PostgresEye.seen_in("740:742:740", "740")
    (True, False)

Sources: PostgreSQL's manual, 9.27.9 "Transaction ID and Snapshot Information Functions", 6.4 "Returning Data from
Modified Rows", 13.2.1 "Read Committed Isolation Level". Left out: rows of partitions, and what triggers write.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from workbook.schedules.asking import quoted
from workbook.schedules.run import Event
from workbook.schedules.schedule import Step
from workbook.schedules.statement import Statement
from workbook.schedules.tables import Table
from workbook.schedules.versions import Untraceable, Version

Image = dict[str, Any]
When = Callable[[Version], int | None]
"""When a version was committed, as a position in the traced run (-1 for the setup); None where it never was."""


@dataclass(frozen=True)
class Write:
    """A row that a statement wrote: where the version that it replaced stood (None for a new row) and where the new one
    stands (None for a row that it deleted), with what they hold; `by` is the engine's own name for who wrote it."""

    by: str
    old_place: str | None
    new_place: str | None
    old: Image | None
    new: Image | None


class Eye(ABC):
    """What must be done to see versions on one engine."""

    locking: Literal["none", "found", "every"] = "found"
    """Of which rows a locking statement sees the newest version, not that of its snapshot: of none, of those that it
    found there, or of every row."""
    after = False
    """Whether what a step saw is asked after it, when it shows what it has written itself."""

    @abstractmethod
    def problem(self, version: str) -> str:
        """Why versions cannot be seen on this version of the engine; '' where they can."""

    def setup(self, sql: str, tables: Sequence[Table]) -> str:
        """The setup of the traced run."""
        return sql

    @abstractmethod
    def listing(self, table: Table) -> str:
        """A query for a table's rows, each with its place."""

    @abstractmethod
    def listed(self, table: Table, event: Event) -> list[tuple[str, Image]]:
        """The rows of a listing: place and image."""

    @abstractmethod
    def rewritten(self, step: Step, statement: Statement, table: Table | None) -> str:
        """The SQL that runs in the place of a step's own; `table` is what it writes."""

    @abstractmethod
    def probes(
        self, step: Step, statement: Statement, tables: Sequence[Table], level: str
    ) -> tuple[str | None, str | None]:
        """What is asked in the step's session, which runs at this level, just before it and just after it."""

    record_level = ""
    """The level of the session that reads a record."""

    def record_of(self, tables: Sequence[Table]) -> list[tuple[Table, str]]:
        """Queries for a record of what was written, one a table, which a session of its own asks before a transaction
        ends and when all steps are over; none where it is seen otherwise."""
        return []

    def take(self, table: Table, event: Event) -> None:
        """Take note of the rows of a record."""
        raise NotImplementedError

    def has_snapshot(self, statement: Statement, level: str) -> bool:
        """Whether a statement at this level sees a snapshot; else it sees the newest versions."""
        return True

    def each_has_its_own(self, level: str) -> bool:
        """Whether each statement of a transaction at this level takes a snapshot of its own."""
        return False

    @abstractmethod
    def plain(self, statement: Statement, table: Table | None, event: Event) -> Event:
        """The event as it would be, had the step's own SQL run."""

    def bare(self, columns: Sequence[str], row: tuple[Any, ...]) -> tuple[Any, ...]:
        """A row of a table without what was added to it."""
        return row

    @abstractmethod
    def writes(self, step: Step, statement: Statement, table: Table, event: Event) -> list[Write]:
        """What a statement wrote."""

    @abstractmethod
    def current(self, event: Event, versions: Sequence[Version], when: When, since: int) -> Version | None:
        """The version of a row that was current for a step, of those that others wrote, in version order; None where
        the row did not exist for it. `since` is the position at which the step's snapshot was taken."""


class PostgresEye(Eye):
    """Places are ctids, writers are transaction ids, and a step could see whoever its snapshot shows."""

    def problem(self, version: str) -> str:
        major = version.split(".")[0]
        return "" if major.isdigit() and int(major) >= 18 else f"PostgreSQL {version} has no RETURNING old (18 has)"

    def listing(self, table: Table) -> str:
        return f"SELECT ctid::text, * FROM {quoted(table.name, 'postgresql')}"

    def listed(self, table: Table, event: Event) -> list[tuple[str, Image]]:
        return [(row[0], dict(zip(table.columns, row[1:], strict=True))) for row in event.rows or ()]

    def rewritten(self, step: Step, statement: Statement, table: Table | None) -> str:
        if table is None:
            return step.sql
        more = ["old.ctid::text", "new.ctid::text", "pg_current_xact_id()::text", "old.*", "new.*"]
        word = "," if _returns(statement) else "RETURNING"
        return f"{step.sql.rstrip().rstrip(';')}\n{word} {', '.join(more)}"

    def probes(
        self, step: Step, statement: Statement, tables: Sequence[Table], level: str
    ) -> tuple[str | None, str | None]:
        asks = statement.kind not in ("control", "unknown")
        return ("SELECT pg_current_snapshot()::text" if asks else None), None

    def plain(self, statement: Statement, table: Table | None, event: Event) -> Event:
        if table is None or event.rows is None:
            return event
        if not _returns(statement):
            return replace(event, rows=None, columns=())
        keep = len(event.columns) - self._added(table)
        return replace(event, rows=tuple(row[:keep] for row in event.rows), columns=event.columns[:keep])

    def writes(self, step: Step, statement: Statement, table: Table, event: Event) -> list[Write]:
        found = []
        for row in event.rows or ():
            old_place, new_place, by, *values = row[len(row) - self._added(table) :]
            half = len(table.columns)
            old = dict(zip(table.columns, values[:half], strict=True)) if old_place else None
            new = dict(zip(table.columns, values[half:], strict=True)) if new_place else None
            found.append(Write(by, old_place, new_place, old, new))
        return found

    def current(self, event: Event, versions: Sequence[Version], when: When, since: int) -> Version | None:
        before = event.seen[0] if event.seen else None
        if not before:
            raise Untraceable("a step's snapshot was not told")
        shown = [one for one in versions if when(one) is not None and self.seen_in(before[0][0], one.by)]
        return shown[-1] if shown else None

    @staticmethod
    def seen_in(snapshot: str, writer: str) -> bool:
        """Whether a snapshot shows what a transaction that has ended by now had written ('' for the setup)."""
        if not writer:
            return True
        lowest, next_, running = snapshot.split(":")
        return int(writer) < int(next_) and (int(writer) < int(lowest) or writer not in running.split(","))

    @staticmethod
    def _added(table: Table) -> int:
        return 3 + 2 * len(table.columns)


def _returns(statement: Statement) -> bool:
    return statement.tree is not None and statement.tree.args.get("returning") is not None


def eye_of(engine: str, tables: Sequence[Table]) -> Eye:
    """The eye for an engine, on these tables."""
    if engine == "postgresql":
        return PostgresEye()
    from workbook.schedules.marks import DuckEye, MarkEye
    from workbook.schedules.triggers import TriggerEye

    if engine == "mariadb":
        return TriggerEye(engine, tables)
    return DuckEye(engine, tables) if engine == "duckdb" else MarkEye(engine, tables)
