"""The optimizer on eight real models, beside what users would pick by hand. See `__main__`."""
