"""The verdicts of the B-trees are the same on two fresh clusters and in twenty runs."""

from tests.grading.repeating import RepeatTests


class TestRepeat(RepeatTests):
    labs = ("01_btrees",)
