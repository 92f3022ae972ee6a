"""Slices of accelerators (MIG): which to cut and which models each of them holds."""
