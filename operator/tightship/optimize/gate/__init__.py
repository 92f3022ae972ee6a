"""The gate: paired tests that a candidate loses no more than was allowed."""
