"""Row versions: who wrote them, in which order they stand, and which of them a step looked at.

    row 1 of test    setup (1, 10) ──▶ T1.3 (1, 11) ──▶ T2.3 (1, 12)      version order
                          ▲ seen by T2.2

A `Version` is a state of a row that a step made. A `Sight` is one look of a step at one table: for each row the
version that was current for it, and which versions of all that the run knew match what it searched for. Rows that do
not match are part of it: that nothing was found is a finding.

    >>> Version(1, "test", 0, None, {"id": 1}, None, frozenset({"id"})).alive
    True

Source: A. Adya, Weak Consistency (1999), chapter 3: versions, version order, the version set of a predicate read.
Left out: how they are come by (`tracing`), and what follows from them (`graph`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from workbook.schedules.run import Run
from workbook.schedules.transactions import Transaction

if TYPE_CHECKING:
    from workbook.schedules.tables import Known

Image = Mapping[str, Any]
Row = tuple[str, int]
"""A row: its table's name, and the number of its first version."""


class Untraceable(Exception):
    """Why a run cannot be traced. It never reaches a person: the trace says it."""


@dataclass(frozen=True, eq=False)
class Version:
    """A version of a row.

    `number` counts the versions as they came to be; `row` is the number of the row's first version; `step` the index of
    the step that wrote it (None for the setup); `image` its values (None where the row was deleted); `replaced` the
    version in whose place it stands; `touched` the columns that were set (all, for a new or a deleted row). `place` and
    `by` are the engine's names for it and for its writer.
    """

    number: int
    table: str
    row: int
    step: int | None
    image: Image | None
    replaced: Version | None
    touched: frozenset[str]
    place: str = ""
    by: str = ""

    @property
    def alive(self) -> bool:
        return self.image is not None

    @cached_property
    def last_image(self) -> Image:
        """Its values, or the last ones of a row that was deleted."""
        version: Version | None = self
        while version is not None and version.image is None:
            version = version.replaced
        return {} if version is None or version.image is None else version.image


@dataclass(frozen=True)
class Sight:
    """A look of a step at a table.

    `step` is its index; `why` says what it looked for: a `search` of the statement's own, or on behalf of a constraint
    a `key` that must be free, a `parent` that must be there, `children` that must not be, a row in `conflict`, or a row
    whose `copy` was written in the place of a newer version;
    `condition` is that in SQL ('' for every row). `seen` holds for each row the version that was current for the step
    (rows that did not exist for it are missing), `matches` the numbers of all versions that match, seen or not.
    `values` are the columns whose values mattered in a row that matched, `searched` those of the condition.
    """

    step: int
    table: str
    why: Literal["search", "key", "parent", "children", "conflict", "copy"]
    condition: str
    seen: Mapping[int, Version]
    matches: frozenset[int]
    values: frozenset[str] = frozenset()
    searched: frozenset[str] = frozenset()

    @property
    def found(self) -> tuple[Version, ...]:
        """The versions that it saw and that match."""
        return tuple(one for one in self.seen.values() if self.matched(one))

    def matched(self, version: Version | None) -> bool:
        """Whether there is such a row for it, and it matches."""
        return version is not None and version.alive and version.number in self.matches


@dataclass(frozen=True)
class Trace:
    """What was seen of a run's versions.

    `versions` are all, those of aborted transactions too; `order` gives each row's committed versions in version order;
    `sights` what committed transactions looked at. `problems` say why there is no trace (then the rest is empty),
    `notes` what no version explains: clocks, sequences, chance.
    """

    run: Run
    transactions: tuple[Transaction, ...]
    known: Known | None = None
    versions: tuple[Version, ...] = ()
    order: Mapping[Row, tuple[Version, ...]] = field(default_factory=dict)
    sights: tuple[Sight, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def committed(self) -> tuple[Transaction, ...]:
        return tuple(one for one in self.transactions if one.committed)

    def writer(self, version: Version) -> Transaction | None:
        """The transaction that wrote a version; None for the setup."""
        return None if version.step is None else self.of_step[version.step]

    @cached_property
    def of_step(self) -> dict[int, Transaction]:
        """The transaction of each step."""
        return {step: one for one in self.transactions for step in one.every}

    def step(self, index: int) -> str:
        """A step's name."""
        return self.run.schedule.steps[index].name

    def row(self, version: Version) -> str:
        """How a version's row is called: `row 1`, with its table where the run wrote several."""
        assert self.known is not None
        said = self.known.table(version.table).row(version.last_image)
        return f"{said} of {version.table}" if len(self.written_tables) > 1 else said

    @cached_property
    def written_tables(self) -> frozenset[str]:
        return frozenset(one.table for one in self.versions if one.step is not None)

    def __str__(self) -> str:
        """The canonical text: each row's versions, then each look and what it found."""
        lines = [f"not traced: {problem}" for problem in self.problems]
        for versions in self.order.values():
            if len(versions) > 1:
                chain = [f"{self._by(one)} {_image(one)}" for one in versions]
                lines.append(f"{self.row(versions[0])}: {' ── '.join(chain)}")
        for sight in self.sights:
            found = ", ".join(f"{self.row(one)} of {self._by(one)}" for one in sight.found) or "nothing"
            lines.append(f"{self.step(sight.step)} {sight.why} {sight.condition or sight.table}: {found}")
        return "\n".join(lines)

    def _by(self, version: Version) -> str:
        return "setup" if version.step is None else self.step(version.step)


def _image(version: Version) -> str:
    if version.image is None:
        return "deleted"
    return f"({', '.join('NULL' if value is None else str(value) for value in version.image.values())})"
