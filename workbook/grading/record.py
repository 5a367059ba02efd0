"""What a learner has done so far: attempts, hints, predictions; in `my-work/.progress.sqlite`, and nowhere else.

    my-work/labs/  ── walk up to a folder named my-work ──▶ my-work/.progress.sqlite
    elsewhere (solutions/, a test, a pipeline)          ──▶ this process's memory, which is forgotten

`WORKBOOK_MY_WORK` names the folder instead. A record never stands in the way of a check: a file that is broken is put
aside under another name, one that was removed begins anew, a folder that cannot be written to is passed over for the
memory.

    >>> record = Record(None)
    >>> record.hint("indexes-order"), record.hint("indexes-order"), record.hints("indexes-order")
    (1, 2, 2)

Left out: who the learner is. One folder is one learner.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = ".progress.sqlite"
FOLDER = "my-work"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS labs (lab TEXT PRIMARY KEY, seed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, seed INTEGER NOT NULL, state TEXT NOT NULL,
    points REAL NOT NULL, points_max INTEGER NOT NULL, misconception TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS hints (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, step INTEGER NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS predictions (
    id TEXT PRIMARY KEY, said TEXT, measured TEXT, late INTEGER NOT NULL DEFAULT 0, at TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Tries:
    """How an exercise stands: the most points so far, of how many, after how many tries."""

    points: float
    of: int
    tries: int


@dataclass(frozen=True, slots=True)
class Said:
    """A prediction as it stands: what was `said` (None: nothing), what was `measured` (None: not yet), and whether it
    was said only after the measurement (`late`)."""

    said: dict[str, Any] | None
    measured: Any
    late: bool


def my_work() -> Path | None:
    """The learner's folder: `WORKBOOK_MY_WORK`, else the next folder upwards that is named my-work; None outside."""
    named = os.environ.get("WORKBOOK_MY_WORK")
    if named:
        return Path(named).expanduser().absolute()
    try:
        here = Path.cwd()
    except OSError:
        return None
    return next((folder for folder in (here, *here.parents) if folder.name == FOLDER), None)


class Record:
    """One learner's record; `folder` is where its file stands, None for a record in memory."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / FILE if folder is not None else None
        self.note = ""
        self._lock = threading.Lock()
        self._memory: sqlite3.Connection | None = None
        if self.path is not None:
            self._open()

    def _open(self) -> None:
        """See that the file is there and is ours; else put it aside, or go without one."""
        assert self.path is not None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._prepare()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                names = (self.path.with_name(f"{FILE}.broken{n or ''}") for n in itertools.count())
                aside = next(name for name in names if not name.exists())
                self.path.replace(aside)
                self.note = (
                    f"The record of your progress was broken and stands aside as {aside.name}; a new one begins."
                )
                self._prepare()
        except (OSError, sqlite3.Error) as error:
            self.note = f"Your progress is not recorded: {self.path} cannot be written ({error})."
            self.path = None

    def _prepare(self) -> None:
        with self._connection() as connection:
            connection.execute("DELETE FROM labs WHERE 0")  # nothing; refused where the file cannot be written to

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self.path is None:
                if self._memory is None:
                    self._memory = sqlite3.connect(":memory:", check_same_thread=False)
                    self._memory.executescript(_SCHEMA)
                with self._memory:
                    yield self._memory
                return
            connection = sqlite3.connect(self.path, timeout=5)
            try:
                connection.executescript(_SCHEMA)  # at each time: the file may have been removed since
                with connection:
                    yield connection
            finally:
                connection.close()

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        with contextlib.suppress(sqlite3.Error), self._connection() as connection:
            connection.execute(statement, values)

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            with self._connection() as connection:
                return connection.execute(statement, values).fetchall()
        except sqlite3.Error:
            return []

    def start(self, lab: str, seed: int) -> None:
        """Keep the seed with which a lab is started."""
        self._write("INSERT INTO labs VALUES (?, ?) ON CONFLICT (lab) DO UPDATE SET seed = excluded.seed", (lab, seed))

    def seed(self, lab: str) -> int | None:
        """The seed with which a lab was started last; None where it was not."""
        rows = self._read("SELECT seed FROM labs WHERE lab = ?", (lab,))
        return int(rows[0][0]) if rows else None

    def attempt(self, id: str, seed: int, state: str, points: float, of: int, misconception: str = "") -> None:
        """Keep a try at an exercise: the state, points and misconception of its verdict."""
        statement = (
            "INSERT INTO attempts (id, seed, state, points, points_max, misconception, at) VALUES (?,?,?,?,?,?,?)"
        )
        self._write(statement, (id, seed, state, points, of, misconception, _now()))

    def tries(self) -> dict[str, Tries]:
        """How each exercise that was tried stands."""
        rows = self._read("SELECT id, max(points), max(points_max), count(*) FROM attempts GROUP BY id ORDER BY id")
        return {id: Tries(points, of, count) for id, points, of, count in rows}

    def hint(self, id: str) -> int:
        """Take one more hint; its number, from 1. Goes on counting after the last."""
        step = self.hints(id) + 1
        self._write("INSERT INTO hints (id, step, at) VALUES (?, ?, ?)", (id, step, _now()))
        return step

    def hints(self, id: str) -> int:
        """How many hints were taken."""
        rows = self._read("SELECT count(*) FROM hints WHERE id = ?", (id,))
        return int(rows[0][0]) if rows else 0

    def prediction(self, id: str) -> Said | None:
        """How a prediction stands; None where nothing was said and nothing measured."""
        rows = self._read("SELECT said, measured, late FROM predictions WHERE id = ?", (id,))
        if not rows:
            return None
        said, measured, late = rows[0]
        return Said(json.loads(said) if said else None, json.loads(measured) if measured else None, bool(late))

    def predict(self, id: str, said: dict[str, Any]) -> Said:
        """Keep what was said, unless something was said before; late where it was measured before."""
        statement = (
            "INSERT INTO predictions (id, said, at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET said = excluded.said, late = (measured IS NOT NULL) WHERE said IS NULL"
        )
        self._write(statement, (id, json.dumps(said), _now()))
        return self.prediction(id) or Said(said, None, False)

    def measured(self, id: str, value: Any) -> None:
        """Keep what was measured, the first time."""
        statement = (
            "INSERT INTO predictions (id, measured, at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET measured = excluded.measured WHERE measured IS NULL"
        )
        self._write(statement, (id, json.dumps(value), _now()))

    def predictions(self) -> dict[str, Said]:
        """How all of them stand, by id."""
        rows = self._read("SELECT id FROM predictions ORDER BY id")
        found = {id: self.prediction(id) for (id,) in rows}
        return {id: said for id, said in found.items() if said is not None}


_records: dict[Path | None, Record] = {}


def record() -> Record:
    """The record of whoever works in the current folder."""
    folder = my_work()
    if folder not in _records:
        _records[folder] = Record(folder)
    return _records[folder]


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
