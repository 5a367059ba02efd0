"""The verdicts of isolation are the same on two fresh clusters and in twenty runs."""

from tests.grading.repeating import RepeatTests


class TestRepeat(RepeatTests):
    labs = ("03_isolation",)
