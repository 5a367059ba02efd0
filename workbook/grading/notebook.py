"""One notebook, graded: its code runs in a process of its own behind a guard, the judge and the seed stay in this one.

    grade_notebook(path) ── cells, one by one ──▶ Link (the learner's process)
          │  ◀── start, check ────────────────────┘     a cell that ends the process: a new one runs the cells before it
          ▼                                             again, without those that ended one, and goes on behind it
    answers by id, the last of at most fifty ──▶ judge ──▶ Report: every exercise of the lab in a named state

Plain answers are judged at the end, functions when they are handed in (they live in the other process). No exercise
takes another's marks along: an endless loop, a crash or a vast list costs the exercise that it stands in.

    >>> report = Report(notebook="a.ipynb", workbook="0.1.0", seed=1, guard="process", state="unusable")
    >>> report.exit_code
    2

Left out: a whole class at once, which needs one process for each of them; `workbook grade` will do that with these
parts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbook.errors import WorkbookError
from workbook.grading import guard as guards
from workbook.grading.answer import Function, NotPlain
from workbook.grading.cells import Notebook, read
from workbook.grading.channel import CALLS_MAX
from workbook.grading.desk import practice_database
from workbook.grading.exercise import Exercise
from workbook.grading.judging import judge, refused
from workbook.grading.link import GRACE_S, Ended, Link, Remote, answer_of, working_folder
from workbook.grading.registry import exercises, find
from workbook.grading.verdict import Verdict

CELL_DEADLINE_S = 30.0
RUN_DEADLINE_S = 900.0
RESTARTS_MAX = 6
_HARD = ("timed out", "crashed", "out of memory")


@dataclass(frozen=True, kw_only=True)
class Graded:
    """One exercise of a report."""

    id: str
    core: bool
    points: float
    of: int
    state: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of a notebook. `state`: `read`, `malformed`, `unusable`; `guard` names what its code ran behind."""

    notebook: str
    workbook: str
    seed: int
    guard: str
    state: str
    exercises: tuple[Graded, ...] = ()
    problem: str = ""

    @property
    def points(self) -> float:
        """The points of all its exercises together."""
        return round(sum(exercise.points for exercise in self.exercises), 2)

    @property
    def of(self) -> int:
        """The points that were to be had."""
        return sum(exercise.of for exercise in self.exercises)

    @property
    def exit_code(self) -> int:
        """0 where all core exercises have full marks, 1 on less, 2 where the file is unusable."""
        if self.state == "unusable":
            return 2
        return 0 if all(exercise.points >= exercise.of for exercise in self.exercises if exercise.core) else 1

    def data(self) -> dict[str, Any]:
        """The report as the command prints it with --json."""
        fields = ("id", "core", "points", "of", "state", "message")
        return {
            "notebook": self.notebook,
            "workbook": self.workbook,
            "seed": self.seed,
            "guard": self.guard,
            "state": self.state,
            "points": self.points,
            "of": self.of,
            "exercises": [{name: getattr(exercise, name) for name in fields} for exercise in self.exercises],
        }


def grade_notebook(
    path: Path | str,
    *,
    seed: int | None = None,
    guard: str | None = None,
    cell_deadline_s: float = CELL_DEADLINE_S,
    memory_mb: int = 2000,
    on_cell: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Grade one notebook.

    Parameters: its `path`; the `seed` (else the one that its first `start_lab` names, else 1); the `guard` (else the
    strongest that works here); the deadline of each cell and the memory of all that it starts; `on_cell` is told how
    many cells are done, of how many. Raises `Misuse` for a guard that there is not.
    """
    import os

    notebook, kind = read(Path(path)), guard or guards.guard()
    report = Report(
        notebook=os.fspath(path),
        workbook=version(),
        seed=seed if seed is not None else 1 if notebook.seed is None else notebook.seed,
        guard=kind,
        state=notebook.state,
        problem=notebook.problem,
    )
    if notebook.state == "unusable":
        return report
    asked = _asked(notebook)
    if not asked:
        return replace(report, state="unusable", problem="The notebook asks no exercise: it has no call of `check`.")
    run = Run(notebook, asked, report.seed, kind, cell_deadline_s, memory_mb, seed_given=seed is not None)
    run.all(on_cell)
    return replace(report, seed=run.seed, exercises=tuple(run.graded(exercise) for exercise in asked))


def version() -> str:
    """The version of this package; '0' where it is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("architect-in-the-loop")
    except PackageNotFoundError:
        return "0"


def _asked(notebook: Notebook) -> list[Exercise[Any]]:
    """The exercises of the lab that a notebook starts, else of the labs whose exercises it checks."""
    if notebook.lab is not None and (asked := exercises(notebook.lab)):
        return asked
    labs = set()
    for id in notebook.ids:
        try:
            labs.add(find(id).lab)
        except WorkbookError:
            continue
    return [exercise for lab in sorted(labs) for exercise in exercises(lab)]


@dataclass
class Cell:
    """What became of a cell: `ran`, `error`, `timed out`, `crashed`, `out of memory`, '' where it was not run."""

    state: str = ""
    message: str = ""


@dataclass
class Run:
    """One run of a notebook: what its cells came to, which answers arrived."""

    notebook: Notebook
    asked: list[Exercise[Any]]
    seed: int
    guard: str
    cell_deadline_s: float
    memory_mb: int
    seed_given: bool = False
    cells: list[Cell] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    restarts: int = 0
    _databases: list[Any] = field(default_factory=list)

    def all(self, on_cell: Callable[[int, int], None]) -> None:
        """Run every cell, with a new process behind each cell that ends one; then judge what arrived."""
        self.cells = [Cell() for _ in self.notebook.cells]
        until = time.monotonic() + RUN_DEADLINE_S
        with working_folder() as folder:
            at, link = 0, None
            try:
                while at < len(self.cells) and self.restarts <= RESTARTS_MAX and time.monotonic() < until:
                    on_cell(at, len(self.cells))
                    place = at
                    try:
                        if link is None:
                            link = Link(self.guard, folder, memory_mb=self.memory_mb)
                            for place in self._before(at):
                                self._run(link, place, again=True)
                            place = at
                        self.cells[at] = self._run(link, at)
                        at += 1
                    except Ended as ended:
                        self.cells[place] = Cell(ended.state, str(ended))
                        self.restarts += 1
                        self._close(link)
                        link = None
                        if place == at:  # else a cell before it, when it was run again: this one has its turn yet
                            at += 1
            finally:
                self._close(link)
        on_cell(len(self.cells), len(self.cells))
        for id, answer in self.answers.items():
            self.verdicts[id] = self._judged(id, answer)

    def _before(self, at: int) -> list[int]:
        """The cells that a new process runs again before this one: without those that ended one."""
        return [before for before in range(at) if self.cells[before].state not in _HARD]

    def _close(self, link: Link | None) -> None:
        """Close a link that is done for, and drop the databases that were made for it."""
        if link is not None:
            link.close()
        for database in self._databases:
            database.drop()
        self._databases.clear()

    def _run(self, link: Link, at: int, *, again: bool = False) -> Cell:
        """Run a cell and take what it hands in. Raises `Ended`."""
        link.send({"cell": at, "source": self.notebook.cells[at], "deadline_s": self.cell_deadline_s})
        since = time.monotonic()
        while True:
            message = link.receive(self.cell_deadline_s + GRACE_S, since)
            if "ended" in message:
                return Cell(str(message.get("state", "ran")), str(message.get("message", ""))[:500])
            if type(message.get("seed")) is int and not self.seed_given:
                self.seed, self.seed_given = message["seed"], True
            begun = time.monotonic()
            if "practice" in message:
                link.send(self._practice(str(message["practice"]), link))
            elif "check" in message:
                if not again:
                    self._take(message, link)
                link.send({"received": True})
            since += time.monotonic() - begun

    def _practice(self, id: str, link: Link) -> dict[str, str]:
        """A new database with the data of an exercise of this lab, by its URL."""
        if id not in {exercise.id for exercise in self.asked}:
            return {"refused": "it is no exercise of this lab"}
        if len(self._databases) >= CALLS_MAX:
            return {"refused": f"there were {CALLS_MAX} calls before"}
        try:
            self._databases.append(practice_database(find(id), self.seed))
            return {"engine": link.engine_url(self._databases[-1].engine)}
        except (WorkbookError, OSError) as refusal:
            return {"refused": str(refusal)}

    def _take(self, message: dict[str, Any], link: Link) -> None:
        """Keep an answer; judge it at once where it is, or holds, a function. Raises `Ended` when that ended the
        process."""
        id = str(message["check"])
        if id not in {exercise.id for exercise in self.asked}:
            return
        self.counts[id] = self.counts.get(id, 0) + 1
        if self.counts[id] > CALLS_MAX:
            return
        self.verdicts.pop(id, None)
        self.answers.pop(id, None)
        try:
            answer = answer_of(message, Remote(link))
        except NotPlain as refusal:
            self.verdicts[id] = refused(find(id), refusal.sentence)
            return
        if not _holds_function(answer):
            self.answers[id] = answer
            return
        self.verdicts[id] = self._judged(id, answer)
        if link.process.poll() is not None:
            raise Ended(self.verdicts[id].state, self.verdicts[id].message)

    def _judged(self, id: str, answer: Any) -> Verdict:
        exercise = find(id)
        return judge(exercise, answer, self.seed, siblings=len(exercise.variants))

    def graded(self, exercise: Exercise[Any]) -> Graded:
        """How an exercise ended, whatever happened."""
        verdict = self.verdicts.get(exercise.id)
        if verdict is not None:
            points, (state, message) = verdict.points, (str(verdict.state), verdict.message)
        else:
            points, (state, message) = 0.0, self._why_missing(exercise.id)
        return Graded(
            id=exercise.id, core=exercise.core, points=points, of=exercise.points, state=state, message=message
        )

    def _why_missing(self, id: str) -> tuple[str, str]:
        """Why no answer arrived: what the cells that answer and check it came to."""
        places = self.notebook.places(id)
        ended = [self.cells[place] for place in places]
        for state in _HARD:
            for cell in ended:
                if cell.state == state:
                    return state, f"No answer arrived: {cell.message}."
        for cell in ended:
            if cell.state == "error":
                return "error", f"No answer arrived: {cell.message}"
        if any(cell.state == "" for cell in ended):
            return "crashed", "Its cells were not run: too many cells before them ended the process, or took too long."
        if places:
            return "not attempted", "No answer arrived, though its cells ran."
        return "not attempted", "The notebook does not check it."


def _holds_function(answer: Any) -> bool:
    if isinstance(answer, dict):
        return any(map(_holds_function, answer.values()))
    if isinstance(answer, (list, tuple)):
        return any(map(_holds_function, answer))
    return isinstance(answer, Function)
