"""Packing: devices against other rules, slices, time of planning, moves while load drifts.

    python -m benchmarks.packing [PART ...] [--models N ...]

Without arguments every part runs with all sizes, and results/packing.json is written.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

from benchmarks.packing import churn, growth, mig, static
from benchmarks.packing.workload import SIZES
from benchmarks.record import Bench

Part = Callable[[Bench, Iterable[int]], Iterator[None]]
"""Adds figures for workloads of these sizes, and yields when they are worth writing."""


def _mig(bench: Bench, _: Iterable[int]) -> Iterator[None]:
    """ParvaGPU's scenarios have sizes of their own."""
    mig.run(bench)
    yield


PARTS: Mapping[str, Part] = {
    "mig": _mig,
    "time": growth.run,
    "churn": churn.run,
    "b1": static.run,
}


def main(arguments: list[str]) -> int:
    """Runs the parts; 1 when a figure misses its target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--models", type=int, nargs="+", help="sizes of the workload")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    bench = Bench("packing")
    whole = not asked.parts and not asked.models
    for part in asked.parts or PARTS:
        for _ in PARTS[part](bench, asked.models or SIZES):
            if whole:  # each time: a run that is cut short leaves what it has
                sys.stdout.write(f"written: {bench.write()}\n")
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
