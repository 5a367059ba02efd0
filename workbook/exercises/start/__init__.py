"""The one exercise of the first notebook, and the shortest complete example of how an exercise is written."""

MODULES = ("mend",)
