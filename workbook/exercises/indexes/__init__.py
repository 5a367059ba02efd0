"""The lab on indexes and plans: one module an exercise."""

MODULES = (
    "crossover",
    "drop",
)
