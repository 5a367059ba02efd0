"""Why a run is as good as no serial order: who depends on whom, by which step, on which row, and the shortest cycle.

    T1 ──rw row 2──▶ T2        T1 read row 2 before T2 changed it, so T1 comes before T2;
    T1 ◀──rw row 1── T2        T2 read row 1 before T1 changed it, so T2 comes before T1: write skew

Adya's direct serialization graph. Its nodes are the committed transactions; an edge says which of two must come first
in every serial order that shows the same:

    ww   T1 wrote a version, T2 the next one
    wr   T1 wrote a version, T2 read it; or T1 was the last to change what matches a condition, before T2 looked for it
    rw   T1 read a version, T2 wrote the next one; or T1 looked for a condition, and T2 then changed what matches it

A look by condition is a read of every row, those that do not match as well: an insert that would have matched (a
phantom) comes after it. Whether a version matches is asked of the engine (`asking`), for the version before and the
one after. Edges are finer than rows where rows would claim too much: a read depends on the columns that mattered to
it, and two writers of one row are ordered where they set the same column, or columns that one condition or constraint
looks at together.

    >>> edge = Edge("rw", "item", "T1", "T2", "T1.2", "T2.3", "row 2", "T1 read row 2 before T2 changed it")
    >>> back = Edge("rw", "item", "T2", "T1", "T2.2", "T1.3", "row 1", "T2 read row 1 before T1 changed it")
    >>> shortest([edge, back])[0]
    ('T1', 'T2')

No cycle means that every order which follows the edges shows each read the same versions. This is tested against
`verdict`, which runs the orders: each order that a graph without a cycle allows must be one of its equivalent ones.
Where no order fits and no cycle was found, something was not seen, and `Graph.beside` says so. The other way round need
not hold: a cycle may leave no trace in what was read (two transactions write the same value).

Source: A. Adya, Weak Consistency (1999), chapter 3; A. Adya, B. Liskov, P. O'Neil, Generalized Isolation Level
Definitions, ICDE 2000. Left out: start-ordered edges of snapshots, real time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from workbook.schedules.names import Name, named_cycle, of_scenario
from workbook.schedules.run import Run
from workbook.schedules.tracing import trace
from workbook.schedules.transactions import Transaction
from workbook.schedules.versions import Row, Sight, Trace, Version

if TYPE_CHECKING:
    from workbook.schedules.stage import Stage

UNNAMED = "not named"
"""What an anomaly is called that left no cycle in the graph."""
UNSEEN = "no cycle was found, though no order fits: something was read or written that is not traced"
CHOICES_MAX = 4_096
"""Combinations of parallel edges of one cycle among which the plainest name is looked for."""


@dataclass(frozen=True)
class Edge:
    """`source` comes before `target`, because of what their two steps did to a row.

    `kind` is ww, wr or rw; `by` says whether it is about a row that was read or written (`item`), or about what
    matches a condition (`predicate`); `source_step` and `target_step` are the steps' names; `row` is called as people
    would; `words` is the sentence."""

    kind: Literal["ww", "wr", "rw"]
    by: Literal["item", "predicate"]
    source: str
    target: str
    source_step: str
    target_step: str
    row: str
    words: str
    at: tuple[int, int] = (0, 0)
    """The indexes of the two steps."""
    of: Row | None = field(default=None, compare=False)
    """Which row it is: without a key, a row is called by its values, and they change."""

    def data(self) -> dict[str, str]:
        """Plain data: each field but the indexes."""
        names = ("kind", "by", "source", "target", "source_step", "target_step", "row", "words")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        return f"{self.source} ─{self.kind}▶ {self.target}  {self.row}, {self.source_step} and {self.target_step}: {self.words}"


@dataclass(frozen=True)
class Phenomenon:
    """A committed transaction that read what was never there: a version of an aborted transaction (G1a), or one that
    its writer itself wrote over (G1b)."""

    name: Name
    reader: str
    step: str
    words: str


@dataclass(frozen=True)
class Graph:
    """The dependencies among the committed transactions of a run.

    `nodes` are their names, in the order of their beginnings; `problems` say why there is no graph (then there are no
    edges, and `traced` is False); `notes` what no row version explains."""

    trace: Trace
    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    phenomena: tuple[Phenomenon, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        return self.trace.problems

    @property
    def notes(self) -> tuple[str, ...]:
        return self.trace.notes

    @property
    def traced(self) -> bool:
        return not self.trace.problems

    def cycle(self) -> tuple[Edge, ...]:
        """The shortest cycle, as its edges in order; () where there is none. Of several as short, and of parallel
        edges, the one that the weakest level forbids. It begins with a read of an older version, where it holds
        one."""
        return self._found[0][1] if self._found else ()

    @cached_property
    def _found(self) -> list[tuple[Name, tuple[Edge, ...]]]:
        """The shortest cycles with their names, in every choice of parallel edges, the plainest first."""
        found = []
        for nodes in shortest(self.edges):
            for edges in itertools.islice(self._choices(nodes), CHOICES_MAX):
                first = min(range(len(edges)), key=lambda place: (edges[place].kind != "rw", edges[place].at))
                turned = edges[first:] + edges[:first]
                found.append((named_cycle(turned, self._read_only), turned))
        return sorted(found, key=lambda one: (one[0].rank, [edge.at for edge in one[1]]))

    def _choices(self, nodes: Sequence[str]) -> Iterator[tuple[Edge, ...]]:
        hops = zip(nodes, (*nodes[1:], nodes[0]), strict=True)
        return itertools.product(*([one for one in self.edges if (one.source, one.target) == hop] for hop in hops))

    @cached_property
    def _read_only(self) -> frozenset[str]:
        """The transactions that wrote nothing."""
        writers = (self.trace.writer(version) for version in self.trace.versions)
        return frozenset(self.nodes) - {one.name for one in writers if one is not None}

    @property
    def anomaly(self) -> Name | None:
        """The first of `names`; None where nothing was observed."""
        return self.names[0] if self.names else None

    @property
    def names(self) -> tuple[Name, ...]:
        """All names that what was observed can be given: dirty reads, then the shortest cycles', the plainest first."""
        return tuple(dict.fromkeys([*(one.name for one in self.phenomena), *(name for name, _ in self._found)]))

    @property
    def name(self) -> str:
        """Adya's name and the common one, such as `G2-item write skew`; '' where nothing was observed."""
        return str(self.anomaly) if self.anomaly else ""

    @property
    def words(self) -> str:
        """The cycle in words, or that there is none, or why there is no graph."""
        if self.problems:
            return f"not traced: {'; '.join(self.problems)}"
        said = [one.words for one in self.phenomena] or [edge.words for edge in self.cycle()]
        return "; ".join(said) if said else "no cycle"

    @property
    def label(self) -> str:
        """The name of a run that is as good as no serial order; '' where there is no graph."""
        return self.name or (UNNAMED if self.traced else "")

    def beside(self, serializable: bool) -> str:
        """What the graph says beside a verdict: the name and why, and where no order fits and nothing was found, that
        something was not seen. '' where there is nothing to say."""
        if self.name:
            return f"{self.name}: {self.words}"
        if serializable:
            return ""
        if not self.traced:
            return self.words
        notes = f" ({'; '.join(self.notes)})" if self.notes else ""
        return f"{UNNAMED}: {UNSEEN}{notes}"

    @property
    def scenario(self) -> str:
        """Where the schedule's title names an anomaly and another one was observed, the sentence that says so; else
        ''."""
        return of_scenario(self.trace.run.schedule.title, self.names) if self.traced else ""

    def orders(self) -> Iterator[tuple[str, ...]]:
        """Every order of the transactions that follows the edges; none where there is a cycle."""
        before = {node: {edge.source for edge in self.edges if edge.target == node} for node in self.nodes}

        def extended(done: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
            if len(done) == len(self.nodes):
                yield done
            for node in self.nodes:
                if node not in done and before[node] <= set(done):
                    yield from extended((*done, node))

        return extended(())

    def data(self) -> dict[str, Any]:
        """Plain data: `nodes`, `edges` and `cycle` (as `Edge.data`), `name`, `words`, `scenario`, `problems`,
        `notes`."""
        return {
            "nodes": list(self.nodes),
            "edges": [edge.data() for edge in self.edges],
            "cycle": [edge.data() for edge in self.cycle()],
            "name": self.name,
            "words": self.words,
            "scenario": self.scenario,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [str(edge) for edge in self.edges]
        lines.append(f"{self.name}: {self.words}" if self.name else self.words)
        lines += [self.scenario] if self.scenario else []
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


def dependencies(run: Run, stage: Stage | None = None) -> Graph:
    """The graph of a run, which is run once more to see its versions.

    Parameters: the `run`; the `stage` on which to run it again (the engine's own, where none is given). What cannot be
    traced is said in `Graph.problems`; raises what `Stage.run` raises.
    """
    return graph_of(trace(run, stage))


def graph_of(seen: Trace) -> Graph:
    """The graph of a trace."""
    nodes = tuple(one.name for one in seen.committed)
    if seen.problems:
        return Graph(seen, nodes, ())
    builder = _Builder(seen)
    return Graph(seen, nodes, builder.edges(), tuple(builder.phenomena()))


def shortest(edges: Iterable[Edge]) -> list[tuple[str, ...]]:
    """The shortest cycles, each as its nodes in order, from its least node."""
    after: dict[str, set[str]] = {}
    for edge in edges:
        after.setdefault(edge.source, set()).add(edge.target)
    for length in range(2, len(after) + 1):
        found = [
            path for start in sorted(after) for path in _paths((start,), length, after) if start in after[path[-1]]
        ]
        if found:
            return found
    return []


def _paths(path: tuple[str, ...], length: int, after: dict[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """Paths of so many nodes on which no node comes twice, or before the first."""
    if len(path) == length:
        if path[-1] in after:
            yield path
        return
    for node in sorted(after.get(path[-1], ())):
        if node > path[0] and node not in path:
            yield from _paths((*path, node), length, after)


class _Builder:
    """Makes the edges of a trace."""

    def __init__(self, seen: Trace) -> None:
        self.trace = seen
        self.place = {one.number: place for order in seen.order.values() for place, one in enumerate(order)}
        self.copies = {sight.step for sight in seen.sights if sight.why == "copy"}

    def edges(self) -> tuple[Edge, ...]:
        found = [*self._writes()]
        written: dict[str, list[tuple[Row, tuple[Version, ...]]]] = {}
        for row, order in self.trace.order.items():
            if order[-1].step is not None:
                written.setdefault(row[0], []).append((row, order))
        for sight in self.trace.sights:
            for row, order in written.get(sight.table, ()):
                found += self._of_sight(sight, row, order)
        return tuple(sorted(dict.fromkeys(found), key=lambda edge: (edge.at, edge.kind, edge.by, edge.row)))

    # two writers of one row

    def _writes(self) -> Iterator[Edge]:
        for (table, _), order in self.trace.order.items():
            if len(order) < 2:
                continue
            for group in self._groups(table):
                touching = [one for one in order if self._sets(one, group)]
                for first, then in itertools.pairwise(touching):
                    edge = self._edge("ww", "item", first.step, then.step, first, "")
                    if edge is not None:
                        words = f"{edge.source} {_did(first)} {edge.row} before {edge.target} {_did(then)} it"
                        yield replace(edge, words=words)

    def _sets(self, version: Version, columns: frozenset[str]) -> bool:
        """Whether a version was written with one of these columns set; a copy of an older version sets all."""
        return bool(version.touched & columns) or (version.step in self.copies and version.alive)

    def _groups(self, table: str) -> set[frozenset[str]]:
        """The sets of columns whose writers are ordered: each column, and those that are looked at together."""
        assert self.trace.known is not None
        known = self.trace.known.table(table)
        groups = {frozenset({column}) for column in known.columns}
        groups |= {frozenset(columns) for columns in (*known.unique, *known.checked)}
        groups |= {frozenset(one.columns) for one in known.references}
        return groups | {sight.searched for sight in self.trace.sights if sight.table == table and sight.searched}

    # a look, and who wrote before and after it

    def _of_sight(self, sight: Sight, row: Row, order: tuple[Version, ...]) -> Iterator[Edge]:
        seen = sight.seen.get(row[1])
        if seen is not None and seen.number not in self.place:
            return  # a version that never came to be: a phenomenon, no edge
        at = -1 if seen is None else self.place[seen.number]
        status = [one.alive and one.number in sight.matches for one in order]
        changes = [one for one in range(len(order)) if status[one] != (one > 0 and status[one - 1])]
        if sight.why not in ("conflict", "copy"):  # these found a row by its key, not by a condition
            yield from self._before_and_after(sight, order, at, changes, "predicate")
        if at >= 0 and status[at]:
            for column in sorted(sight.values):
                sets = [place for place, one in enumerate(order) if self._sets(one, frozenset({column}))]
                yield from self._before_and_after(sight, order, at, sets, "item")

    def _before_and_after(
        self, sight: Sight, order: tuple[Version, ...], at: int, places: list[int], by: Literal["item", "predicate"]
    ) -> Iterator[Edge]:
        """An edge from the last other transaction that made such a change up to what was seen, and one to the next."""
        me = self.trace.of_step[sight.step]
        before = [order[place] for place in places if place <= at and self.trace.writer(order[place]) is not me]
        after = [order[place] for place in places if place > at and self.trace.writer(order[place]) is not me]
        if before:
            edge = self._edge("wr", by, before[-1].step, sight.step, before[-1], sight.condition)
            if edge is not None:
                words = self._read(sight, edge.target, edge.source, edge.row, before[-1], by, "after")
                yield replace(edge, words=words)
        if after:
            edge = self._edge("rw", by, sight.step, after[0].step, after[0], sight.condition)
            if edge is not None:
                words = self._read(sight, edge.source, edge.target, edge.row, after[0], by, "before")
                yield replace(edge, words=words)

    def _read(self, sight: Sight, reader: str, writer: str, row: str, version: Version, by: str, when: str) -> str:
        """The sentence of a read: `T1 read row 2 before T2 changed it`."""
        did = _did(version)
        if by == "item":
            return f"{reader} read {row} {when} {writer} {did} it"
        if sight.why == "parent":
            return f"{reader} needed a row with {sight.condition} in {sight.table} {when} {writer} {did} {row}"
        if sight.why == "children":
            return f"{reader} needed no row with {sight.condition} in {sight.table} {when} {writer} {did} {row}"
        if sight.why == "key":
            return f"{reader} needed the key {sight.condition} {when} {writer} {did} {row}"
        what = f"looked for {sight.condition}" if sight.condition else f"looked at all of {sight.table}"
        return f"{reader} {what} {when} {writer} {did} {row}"

    def _edge(
        self,
        kind: Literal["ww", "wr", "rw"],
        by: Literal["item", "predicate"],
        source: int | None,
        target: int | None,
        version: Version,
        condition: str,
    ) -> Edge | None:
        """An edge between the transactions of two steps; None within one, and from the setup."""
        if source is None or target is None:
            return None
        one, other = self.trace.of_step[source], self.trace.of_step[target]
        if one is other:
            return None
        steps = self.trace.step(source), self.trace.step(target)
        of = (version.table, version.row)
        return Edge(kind, by, one.name, other.name, *steps, self.trace.row(version), "", (source, target), of)

    # reads of what was never there

    def phenomena(self) -> Iterator[Phenomenon]:
        for sight in self.trace.sights:
            reader = self.trace.of_step[sight.step]
            for version in sight.seen.values():
                writer = self.trace.writer(version)
                if writer is None or writer is reader or (found := self._never_there(sight, version, writer)) is None:
                    continue
                name, then = found
                row = self.trace.row(version)
                read = f"{reader.name} read {row} as {writer.name} had left it"
                if not sight.matched(version):
                    read = self._read(sight, reader.name, writer.name, row, version, "predicate", "after")
                yield Phenomenon(name, reader.name, self.trace.step(sight.step), f"{read}{then}")

    def _never_there(self, sight: Sight, version: Version, writer: Transaction) -> tuple[Name, str] | None:
        """Where a version that a look saw came to nothing, or its writer wrote over it, and the look would have found
        something else otherwise: the name of that, and the end of its sentence."""
        if version.number not in self.place:
            undone, then = [version], version.replaced
            while then is not None and then.number not in self.place and self.trace.writer(then) is writer:
                undone, then = [*undone, then], then.replaced
            end = "took it back" if writer.committed else f"was {writer.outcome.split()[0]}"
            matters = self._matters(sight, version, then, undone)
            return (Name("G1a", "aborted read"), f", and {writer.name} {end}") if matters else None
        order = self.trace.order[(version.table, version.row)]
        later = [one for one in order[order.index(version) + 1 :] if self.trace.writer(one) is writer]
        if later and self._matters(sight, version, later[-1], later):
            end = " for a while" if sight.matched(version) else f", and {writer.name} wrote it again"
            return Name("G1b", "intermediate read"), end
        return None

    @staticmethod
    def _matters(sight: Sight, seen: Version, instead: Version | None, between: Sequence[Version]) -> bool:
        """Whether a look finds another thing in one version of a row than in the other, after the writes between."""
        if sight.matched(seen) != sight.matched(instead):
            return True
        return sight.matched(seen) and any(one.touched & sight.values for one in between)


def _did(version: Version) -> str:
    """What a write did to its row."""
    return "deleted" if not version.alive else "changed" if version.replaced is not None else "inserted"
