"""The command line: run, agent, optimize, job stages, validate, version."""
