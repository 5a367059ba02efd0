"""The lab on indexes and plans: one module an exercise; the registry finds them by themselves."""
