"""Decisions: pure functions of a snapshot. No I/O, no clock, no randomness."""
