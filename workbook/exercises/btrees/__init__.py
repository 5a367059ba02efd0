"""The lab on B-trees: one module an exercise; the registry finds them by themselves."""
