"""Exercises, answers, verdicts, progress: this room knows no exercise, they register with it.

exercise   what an exercise is                    registry    where exercises are found
answer     how an answer crosses to a judge       judging     an answer to a verdict, whatever it does
verdict    what a person is shown                 sql         what judges of SQL need again and again
desk       ask, check, hint in a notebook         prediction  predict, and the calibration of predictions
record     what a learner has done so far         notebook    one notebook, graded apart from its code

>>> from workbook.grading.registry import find
>>> callable(find)
True
"""
