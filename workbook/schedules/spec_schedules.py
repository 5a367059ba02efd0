"""The permutations of a `.spec` file as schedules, so that they are judged, explained and drawn as any other.

    session s1  setup { BEGIN; }          s1 (s1 setup): BEGIN
                step r1 { SELECT 1; }     s2 (s2 setup): BEGIN
    session s2  setup { BEGIN; }    ──▶   s1 (r1): SELECT 1
                step w2 { A; B; }         s2 (w2): A
    permutation r1 w2                     s2 (w2 #2): B

A session's setup stands before the steps and its teardown after them. A step of several statements becomes several
steps, because a schedule has one statement a step.

    >>> from workbook.schedules.spec import Spec
    >>> spec = Spec.read("session s1 setup { BEGIN; } step r1 { SELECT 1; } session s2 step w2 { A; B } permutation r1 w2 r1")
    >>> print(next(schedules(spec)), end="")
    # r1 w2 r1
    <BLANKLINE>
    s1 (s1 setup): BEGIN
    s1 (r1): SELECT 1
    s2 (w2): A
    s2 (w2 #2): B
    s1 (r1 #2): SELECT 1

Left out: the markers, which only say in which order isolationtester tells what has ended: `run` has an order of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbook.engines.running import split
from workbook.schedules.schedule import RESERVED, Schedule, Step
from workbook.schedules.spec import Spec


def schedules(spec: Spec) -> Iterator[Schedule]:
    """The permutations that a spec runs, in its order, each a schedule named after its steps."""
    names = _session_names(spec)
    for order in spec.orders():
        parts = [(names[place], f"{names[place]} setup", one.setup) for place, one in enumerate(spec.sessions)]
        for turn in order:
            step = spec.steps[turn.step]
            parts.append((names[step.session], step.name, step.sql))
        parts += [(names[place], f"{names[place]} teardown", one.teardown) for place, one in enumerate(spec.sessions)]
        setup = ";\n".join(statement for sql in spec.setups for statement in split(sql))
        teardown = ";\n".join(split(spec.teardown or ""))
        title = " ".join(turn.step for turn in order)
        yield Schedule(title, setup, tuple(_steps(parts)), teardown=teardown)


def _steps(parts: list[tuple[str, str, str | None]]) -> Iterator[Step]:
    """One step a statement; the second of the same name is `name #2`."""
    count: dict[str, int] = {}
    for session, name, sql in parts:
        plain = re.sub(r"[()\n]", " ", name)
        for statement in split(sql or ""):
            count[plain] = count.get(plain, 0) + 1
            yield Step(session, statement, plain if count[plain] == 1 else f"{plain} #{count[plain]}")


def _session_names(spec: Spec) -> list[str]:
    """The sessions' names as a schedule writes them, each once."""
    made: list[str] = []
    for session in spec.sessions:
        name = re.sub(r"\W", "_", session.name)
        if not re.match(r"[^\W\d]", name) or name.lower() in RESERVED:
            name = f"s_{name}"
        while name in made:
            name += "_"
        made.append(name)
    return made
