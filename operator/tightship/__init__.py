"""Tightship: models made smaller inside an accuracy gate, packed and scaled on Triton."""

__version__ = "0.1.0"
