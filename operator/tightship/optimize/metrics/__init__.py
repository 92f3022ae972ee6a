"""Metrics: answers and labels in, one number and its parts by sample out."""
