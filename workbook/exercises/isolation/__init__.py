"""The lab on isolation: one module an exercise; the registry finds them by themselves."""
