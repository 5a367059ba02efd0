"""The names of anomalies, given to what was observed: a cycle of dependencies, not the schedule that was meant to
show it.

    only ww                 G0        dirty write
    ww and wr               G1c       circular information flow
    one rw, and a ww        P4        lost update            of the same row
    one rw, by row          G-single  read skew              or non-repeatable read, of the same row; OTV where seen first
    one rw, by condition    PMP       phantom
    several rw, by rows     G2-item   write skew             or read-only anomaly
    one of them by cond.    G2        write skew by condition

The names are Adya's (Weak Consistency, 1999, chapter 3; G-single chapter 4), with those of Berenson and others (A
Critique of ANSI SQL Isolation Levels, 1995) for P4, and of Bailis and others (Highly Available Transactions, 2013)
for OTV and PMP. P4, OTV and PMP are cases of G-single; a G-single is one of G2 as Adya defines it, but is told apart
here. A read-only anomaly is that of Fekete, O'Neil, O'Neil (A Read-Only Transaction Anomaly Under Snapshot Isolation,
2004).

A scenario's name is no verdict. The steps of Hermitage's G1c, run at REPEATABLE READ on PostgreSQL, are write skew:

    >>> of_scenario("G1c circular information flow", [Name("G2-item", "write skew")])
    'The scenario is called G1c circular information flow; what was observed is G2-item write skew.'
    >>> of_scenario("Lost update", [Name("P4", "lost update")]), scenario_code("G-single read skew, predicate")
    ('', 'G-single')

Left out: the names of levels that forbid them, which `PL` in Adya's thesis numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbook.schedules.graph import Edge

RANKS = ("G0", "G1a", "G1b", "G1c", "P4", "OTV", "G-single", "PMP", "G2-item", "G2")
"""The codes, those first that the weakest level forbids."""
WORDS = {
    "dirty write": "G0",
    "dirty read": "G1a",
    "aborted read": "G1a",
    "intermediate read": "G1b",
    "circular information flow": "G1c",
    "observed transaction vanishes": "OTV",
    "predicate-many-preceders": "PMP",
    "lost update": "P4",
    "read skew": "G-single",
    "non-repeatable read": "G-single",
    "write skew": "G2-item",
    "anti-dependency cycle": "G2",
    "read-only anomaly": "G2",
    "phantom": "PMP",
}
"""What titles say instead of a code."""
SAME = {"G2": ("G2", "G2-item"), "G-single": ("G-single", "PMP", "P4")}
"""Codes that fit a scenario of another: the general one is kept where a special case was observed."""
SAME_WORDS = {"dirty read": ("G1a", "G1b"), "write skew": ("G2-item", "G2")}
"""Codes among which words leave the choice: write skew is one of rows or of conditions."""
CODE = re.compile(r"\b(G0|G1a|G1b|G1c|OTV|PMP|P4|G-single|G2-item|G2)(?!\w)")


@dataclass(frozen=True)
class Name:
    """A code and a title: `P4`, `lost update`."""

    code: str
    title: str

    @property
    def rank(self) -> int:
        return RANKS.index(self.code)

    def __str__(self) -> str:
        return f"{self.code} {self.title}"


def named_cycle(edges: Sequence[Edge], read_only: frozenset[str] = frozenset()) -> Name:
    """The name of a cycle, given as its edges in order.

    Parameters: the `edges`; the names of the transactions that wrote nothing.
    """
    anti = [edge for edge in edges if edge.kind == "rw"]
    if not anti:
        only = {edge.kind for edge in edges} == {"ww"}
        return Name("G0", "dirty write") if only else Name("G1c", "circular information flow")
    if len(anti) == 1:
        return _single(edges, anti[0])
    by = "G2" if any(edge.by == "predicate" for edge in anti) else "G2-item"
    if len(edges) > 2 and any(edge.source in read_only for edge in edges):
        return Name(by, "read-only anomaly")
    if len(edges) > 2:
        return Name(by, "anti-dependency cycle")
    return Name(by, "write skew" if by == "G2-item" else "write skew by condition")


def _single(edges: Sequence[Edge], anti: Edge) -> Name:
    """The name of a cycle with one rw."""
    others = [edge for edge in edges if edge is not anti]
    if len(others) == 1 and others[0].kind == "ww" and _same_row(others[0], anti):
        return Name("P4", "lost update")
    if anti.by == "predicate":
        return Name("PMP", "phantom")
    back = next((edge for edge in others if edge.target == anti.source), None)
    if back is not None and _same_row(back, anti):
        return Name("G-single", "non-repeatable read")
    if len(others) == 1 and others[0].kind == "wr" and others[0].at[1] < anti.at[0]:
        return Name("OTV", "observed transaction vanishes")
    return Name("G-single", "read skew")


def _same_row(one: Edge, other: Edge) -> bool:
    """Whether two edges are about one row: by its key, or because it is the same, whatever it is called by now."""
    return one.row == other.row or (one.of is not None and one.of == other.of)


def scenario_code(title: str) -> str:
    """The code of the anomaly that a title names, '' where it names none."""
    return _named(title)[0]


def _named(title: str) -> tuple[str, str]:
    """The code that a title gives or means, and the words by which it means it; '' where there are none."""
    if found := CODE.search(title):
        return found[1], ""
    said = ((code, words) for words, code in WORDS.items() if re.search(rf"\b{words}s?\b", title, re.I))
    return next(said, ("", ""))


def of_scenario(title: str, observed: Sequence[Name]) -> str:
    """That another anomaly was observed than the one that a schedule's title names; '' where one of the names that were
    observed fits, or the title names none."""
    code, words = _named(title)
    fitting = SAME_WORDS.get(words) or SAME.get(code, (code,))
    if not code or any(name.code in fitting for name in observed):
        return ""
    if not observed:
        return f"The scenario is called {title}; it was not observed, nor any other anomaly."
    return f"The scenario is called {title}; what was observed is {observed[0]}."
