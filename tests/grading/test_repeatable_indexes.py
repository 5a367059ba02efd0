"""The verdicts of the start and the indexes are the same on two fresh clusters and in twenty runs."""

from tests.grading.repeating import RepeatTests


class TestRepeat(RepeatTests):
    labs = ("00_start", "02_indexes")
