"""Schedules: what sessions do at the same time, in one order or in every order, on real engines.

    Program ── orders() ──▶ Schedule ── run(schedule, engine, level) ──▶ Run ──▶ verdict, graph, timeline

`Stage` keeps the connections, and is used for thousands of schedules.
"""

from workbook.schedules.run import Event, Run, ScheduleTimeout
from workbook.schedules.schedule import LEVELS, Level, Program, Schedule, Step

__all__ = ["LEVELS", "Event", "Level", "Program", "Run", "Schedule", "ScheduleTimeout", "Step"]
