"""Schedules: what sessions do at the same time, in one order or in every order, on real engines.

    Program ── orders() ──▶ Schedule ── run(schedule, engine, level) ──▶ Run ──▶ verdict, graph, timeline

`Stage` keeps the connections, and is used for thousands of schedules.
"""

from workbook.schedules.engine import ScheduleBroken
from workbook.schedules.interleavings import Exploration, explore
from workbook.schedules.remedies import Remedies, remedies
from workbook.schedules.replay import heat_map, step_through
from workbook.schedules.run import Event, Run, ScheduleTimeout
from workbook.schedules.schedule import LEVELS, Level, Program, Schedule, Step
from workbook.schedules.stage import Probe, Stage, run

__all__ = [
    "LEVELS",
    "Event",
    "Exploration",
    "Level",
    "Probe",
    "Program",
    "Remedies",
    "Run",
    "Schedule",
    "ScheduleBroken",
    "ScheduleTimeout",
    "Stage",
    "Step",
    "explore",
    "heat_map",
    "remedies",
    "run",
    "step_through",
]
