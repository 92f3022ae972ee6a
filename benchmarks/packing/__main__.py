"""Packing: by simulation against other rules, and on a real cluster against what is predicted.

Devices, slices, time of planning, moves while load drifts; memory and latencies of real models.

    python -m benchmarks.packing [PART ...] [--models N ...] [--keep]

Without arguments every part runs with all sizes, and results/packing.json is written. With --keep
the figures of the parts that are named take the place of their former ones in it.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

from benchmarks.packing import churn, growth, live, memory, mig, static
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
    "memory": memory.run,
    "live": live.run,
}


def main(arguments: list[str]) -> int:
    """Runs the parts; 1 when a figure misses its target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--models", type=int, nargs="+", help="sizes of the workload")
    parser.add_argument("--keep", action="store_true", help="write beside the other parts' figures")
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
    if asked.keep and not whole:
        command = f"python -m benchmarks.packing {' '.join(asked.parts)}"
        sys.stdout.write(f"written: {bench.merge(command)}\n")
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
