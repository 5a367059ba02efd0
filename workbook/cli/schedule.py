"""`workbook schedule FILE`: runs a schedule, or a `.spec` file of PostgreSQL's isolationtester, on a real engine."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbook.cli import files
from workbook.errors import Misuse

if TYPE_CHECKING:
    from workbook.schedules import Exploration, Schedule, Stage


ITS_OWN = "The isolationtester's output is text, on PostgreSQL, at the levels that the file says."
TIMEOUT_S_MAX = 86_400
"""A day."""


class Format(StrEnum):
    """What is printed."""

    text = "text"
    isolationtester = "isolationtester"


def _timeout(given: float | None, default: float) -> float:
    """The seconds that were asked for. Raises `Misuse` where nobody can wait so long."""
    if given is None:
        return default
    if math.isnan(given) or not 0 < given <= TIMEOUT_S_MAX:
        raise Misuse(
            f"A step cannot be given {given:g} s.", next=f"use --timeout with 0.1 to {TIMEOUT_S_MAX:,} seconds"
        )
    return given


def schedule(
    file: Annotated[
        Path,
        typer.Argument(help="A .schedule file, or a .spec file of PostgreSQL's isolationtester; - for standard input."),
    ],
    engine: Annotated[str, typer.Option(help="postgresql, sqlite, sqlite-rollback, duckdb or mariadb.")] = "postgresql",
    level: Annotated[str, typer.Option(help="The isolation level; else the file's, else the engine's default.")] = "",
    every_order: Annotated[
        bool, typer.Option("--every-order", help="Run every order of the steps, at --level or at each of the engine's.")
    ] = False,
    limit: Annotated[int, typer.Option(help="Of more orders than these, so many are drawn.")] = 3_000,
    seed: Annotated[int, typer.Option(help="The seed by which they are drawn.")] = 0,
    svg: Annotated[
        Path | None, typer.Option(help="Write the timeline, or the map of every order, to this file.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="As data.")] = False,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="text, or isolationtester: its output, byte for byte; else by the file's name."),
    ] = None,
    superuser: Annotated[
        bool, typer.Option("--superuser", help="Run a .spec as superuser: it may then do what the server may.")
    ] = False,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            envvar="PGISOLATIONTIMEOUT",
            help="Seconds after which a step is cancelled: 10, of a .spec 300.",
        ),
    ] = None,
) -> None:
    """Run a schedule on a database of its own, and print what became of each step and whether it was as good as one
    transaction after the other: exit code 0 where it was, 1 where it was not, 2 where the file is unusable, the
    schedule comes to no end, or no verdict can be given on it.

    A .spec file's output compares with its expected file: workbook schedule NAME.spec --format isolationtester | diff
    NAME.out - . With --format text its permutations run as schedules.
    """
    if format_ is None:
        plain = json_ or svg or every_order or file.suffix != ".spec"
        format_ = Format.text if plain else Format.isolationtester
    if format_ is Format.isolationtester:
        if json_ or svg or every_order or engine != "postgresql" or level:
            raise Misuse(ITS_OWN, next="add --format text to run its permutations as schedules")
        return _isolationtester(file, superuser, _timeout(timeout_s, 300.0))
    from workbook.schedules import Stage, explore
    from workbook.schedules.stage import TIMEOUT_S

    timeout_s = _timeout(timeout_s, TIMEOUT_S)
    if svg:
        files.writable(svg, [file], "schedule")
    schedules, level = list(_schedules(file)), " ".join(level.lower().split())
    if every_order and any(one.program().sessions != schedules[0].program().sessions for one in schedules[1:]):
        raise Misuse(
            f"The file's {len(schedules)} permutations do not have the same steps, of which every order could be run.",
            next="write the steps that you mean as a .schedule file",
        )
    serial: bool | None
    with closing(Stage(engine, timeout_s=timeout_s)) as stage:
        if every_order:
            found = explore(schedules[0], stage.engine, level, limit=limit, seed=seed, stage=stage)
            serial = _told(found, svg, json_)
        else:
            serial = _play(schedules, stage, level, svg, json_)
    raise typer.Exit(2 if serial is None else 0 if serial else 1)


def _schedules(file: Path) -> Iterator[Schedule]:
    """The schedule of a file, or those of a .spec file's permutations."""
    from workbook.schedules import Schedule

    text = files.text(file, "schedule")
    if file.suffix == ".spec":
        from workbook.schedules.spec import Spec
        from workbook.schedules.spec_schedules import schedules

        yield from schedules(Spec.read(text))
    else:
        yield Schedule.read(text)


def _play(schedules: list[Schedule], stage: Stage, level: str, svg: Path | None, json_: bool) -> bool | None:
    """Run and print the schedules, and draw the only one; whether each was as good as a serial order, None where no
    verdict can be given on one."""
    from workbook.schedules import ScheduleBroken, ScheduleTimeout
    from workbook.schedules.graph import dependencies
    from workbook.schedules.replay import timeline
    from workbook.schedules.verdict import Unjudged, judge

    if svg and len(schedules) > 1:
        raise Misuse(
            f"The file has {len(schedules)} permutations, and a picture shows one.",
            next="write the one that you mean as a .schedule file",
        )
    reports: list[dict[str, object]] = []
    serial, unjudged = True, False
    for number, one in enumerate(schedules):
        try:
            run = stage.run(one, level)
        except (ScheduleTimeout, ScheduleBroken) as error:
            if error.run is not None:
                typer.echo(json.dumps({"runs": [{"run": error.run.data()}]}, indent=1) if json_ else error.run)
            raise
        verdict, graph, why = None, None, ""
        try:
            verdict, graph = judge(run, stage), dependencies(run, stage)
        except Unjudged as error:
            unjudged, why = True, f"no verdict: {error}"
        if svg:
            files.draw(timeline(run, graph).svg, svg)
        serial = serial and verdict is not None and verdict.serializable
        if json_:
            judged = {"verdict": verdict.data() if verdict else None, "graph": graph.data() if graph else None}
            reports.append({"run": run.data(), **judged, **({"why": why} if why else {})})
        else:
            said = graph.beside(verdict is None or verdict.serializable) if graph else ""
            typer.echo(("\n\n" if number else "") + f"{run}\n\n{verdict or why}" + (f"\n{said}" if said else ""))
    if json_:
        typer.echo(json.dumps({"runs": reports}, indent=1, ensure_ascii=False))
    return None if unjudged else serial


def _told(found: Exploration, svg: Path | None, json_: bool) -> bool:
    """Print and draw what every order came to; whether each was as good as a serial order."""
    if svg:
        files.draw(found.picture.svg, svg)
    typer.echo(json.dumps(found.data(), indent=1, ensure_ascii=False) if json_ else found)
    return all(cell.verdict is not None and cell.verdict.serializable for cell in found.cells)


def _isolationtester(file: Path, superuser: bool, timeout_s: float) -> None:
    """Print what isolationtester prints; exit code 1 where a run ends early, as its does."""
    if file.suffix not in (".spec", ""):
        raise Misuse(f"{file} is no .spec file.", next="name a file whose name ends in .spec")
    from workbook.schedules.spec import Spec
    from workbook.schedules.spec_run import decoded, run_spec

    def write(piece: bytes) -> None:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    spec = Spec.read(decoded(files.raw(file, "schedule")))
    name = "spec" if str(file) == "-" else file.stem
    if not run_spec(spec, write, name=name, superuser=superuser, step_s_max=timeout_s):
        raise typer.Exit(1)
