"""Other packing rules, on the same curves, rates and memory: docs/design/packing-benchmark.md."""
