"""Row versions on MariaDB: triggers mark what is written, and keep a record of it.

    BEFORE UPDATE   NEW.workbook_was = OLD.workbook_by, NEW.workbook_by = @workbook_step     the step's name, set before it
    AFTER UPDATE    INSERT INTO workbook_log_test ...            read at READ UNCOMMITTED, before its transaction ends

The columns of the marks are invisible, so that `*` and INSERT without names leave them alone, and no statement is
rewritten. MariaDB cannot return what an UPDATE wrote, and a SELECT of one's own after it would take the snapshot that
REPEATABLE READ takes only at the first plain SELECT. So another session reads the record, as long as it is there: a
rollback takes it away.

A plain SELECT sees a snapshot (at READ UNCOMMITTED whatever stands there), and lists the marks after itself as on
SQLite. All that writes or locks sees the newest versions, and at SERIALIZABLE every SELECT of a transaction locks.
Nothing is asked there: a listing would lock the whole table.

    >>> eye = TriggerEye("mariadb", [Table("test", ("id", "value"), key=("id",))])
    >>> print(eye.setup("", list(eye.tables.values())).split(";")[5].strip())
    CREATE TRIGGER workbook_in_test BEFORE INSERT ON test FOR EACH ROW SET NEW.workbook_row = CONCAT(@workbook_step, '#', @workbook_n := @workbook_n + 1), NEW.workbook_by = @workbook_step

Sources: MariaDB's knowledge base, "Invisible Columns", "Trigger Overview", "Consistent Nonlocking Reads". Left out:
tables that have triggers already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbook.schedules.eyes import When, Write
from workbook.schedules.marks import BY, MARKS, ROW, SETUP, WAS, MarkEye, place
from workbook.schedules.run import Event
from workbook.schedules.schedule import Step
from workbook.schedules.statement import Statement
from workbook.schedules.tables import Table
from workbook.schedules.versions import Version

LOG, GONE = "workbook_log_", "workbook_gone"
STEP = "@workbook_step"


class TriggerEye(MarkEye):
    """Marks that triggers set; what was written is read from the record."""

    locking = "every"
    record_level = "read uncommitted"

    def __init__(self, engine: str, tables: Sequence[Table]) -> None:
        super().__init__(engine, tables)
        self.record: dict[tuple[str, int], tuple[Any, ...]] = {}

    def setup(self, sql: str, tables: Sequence[Table]) -> str:
        more = [one for table in tables for one in self._prepared(table)]
        return ";\n".join([sql.rstrip().rstrip(";"), *more])

    def _prepared(self, table: Table) -> list[str]:
        name, log = self.quoted(table.name), self.quoted(LOG + table.name)
        marks = ", ".join(f"ADD COLUMN {mark} VARCHAR(120) INVISIBLE" for mark in MARKS)
        columns = f"{', '.join(MARKS)}, {self.columns(table)}"
        new = [f"NEW.{self.quoted(one)}" for one in table.columns]
        old = [f"OLD.{self.quoted(one)}" for one in table.columns]
        insert = f"INSERT INTO {log} ({columns}, {GONE}) VALUES"

        def trigger(what: str, when: str, body: str) -> str:
            made = self.quoted(f"workbook_{what}_{table.name}")
            return f"CREATE TRIGGER {made} {when} ON {name} FOR EACH ROW {body}"

        counted = f"CONCAT({STEP}, '#', @workbook_n := @workbook_n + 1)"
        written = f"(NEW.{ROW}, NEW.{WAS}, NEW.{BY}, {', '.join(new)}, 0)"
        deleted = f"(OLD.{ROW}, OLD.{BY}, {STEP}, {', '.join(old)}, 1)"
        return [
            f"ALTER TABLE {name} {marks}",
            "SET @workbook_n = 0",
            f"UPDATE {name} SET {ROW} = (@workbook_n := @workbook_n + 1), {BY} = '{SETUP}'",
            f"CREATE TABLE {log} ({GONE} INT, workbook_at INT AUTO_INCREMENT PRIMARY KEY) "
            f"AS SELECT {columns} FROM {name} WHERE 1 = 0",
            trigger("in", "BEFORE INSERT", f"SET NEW.{ROW} = {counted}, NEW.{BY} = {STEP}"),
            trigger("up", "BEFORE UPDATE", f"SET NEW.{WAS} = OLD.{BY}, NEW.{BY} = {STEP}"),
            trigger("inserted", "AFTER INSERT", f"{insert} {written}"),
            trigger("updated", "AFTER UPDATE", f"{insert} {written}"),
            trigger("deleted", "AFTER DELETE", f"{insert} {deleted}"),
        ]

    def probes(
        self, step: Step, statement: Statement, tables: Sequence[Table], level: str
    ) -> tuple[str | None, str | None]:
        if statement.writes:
            name = step.name.replace("\\", "\\\\").replace("'", "''")
            return f"SET {STEP} = '{name}', @workbook_n = 0", None
        if self.has_snapshot(statement, level):
            return super().probes(step, statement, tables, level)
        return None, None

    def has_snapshot(self, statement: Statement, level: str) -> bool:
        return statement.kind == "read" and level != "serializable" and not any(look.locks for look in statement.looks)

    def each_has_its_own(self, level: str) -> bool:
        return level in ("read uncommitted", "read committed")

    def record_of(self, tables: Sequence[Table]) -> list[tuple[Table, str]]:
        parts = f"workbook_at, {ROW}, {WAS}, {BY}, {GONE}"
        return [
            (table, f"SELECT {parts}, {self.columns(table)} FROM {self.quoted(LOG + table.name)} ORDER BY workbook_at")
            for table in tables
        ]

    def take(self, table: Table, event: Event) -> None:
        for number, *row in event.rows or ():
            self.record[(table.name, number)] = tuple(row)

    def rewritten(self, step: Step, statement: Statement, table: Table | None) -> str:
        return step.sql

    def plain(self, statement: Statement, table: Table | None, event: Event) -> Event:
        return event

    def writes(self, step: Step, statement: Statement, table: Table, event: Event) -> list[Write]:
        found = []
        for (name, _), (row, was, by, gone, *values) in sorted(self.record.items()):
            if name == table.name and by == step.name:
                image = dict(zip(table.columns, values, strict=True))
                old = place(row, was) if was else None
                found.append(Write(by, old, None if gone else place(row, by), None, None if gone else image))
        return found

    def current(self, event: Event, versions: Sequence[Version], when: When, since: int) -> Version | None:
        found = super().current(event, versions, when, since)
        if found is None and any(one.step is None for one in versions):
            return next((one for one in reversed(versions) if not one.alive), None)  # gone, though not committed yet
        return found
