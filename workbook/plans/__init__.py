"""One plan tree for three engines: `explain` runs and reads, `read_plan` reads what was saved, `compare` lines two
up."""

from workbook.plans.compare import Comparison, compare
from workbook.plans.explaining import explain
from workbook.plans.reading import read_plan
from workbook.plans.tree import Node, Number, Plan

__all__ = ["Comparison", "Node", "Number", "Plan", "compare", "explain", "read_plan"]
