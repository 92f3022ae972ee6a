"""Packing many models onto shared accelerators, against other rules: workload, rules, simulator."""
