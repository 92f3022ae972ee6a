"""How fast the event simulator is, and how far from measurements.

python -m benchmarks.simulator
"""

import sys

from benchmarks.record import Bench
from benchmarks.simulator import measured, speed


def main() -> int:
    """Runs both parts; 1 when a figure misses its target."""
    bench = Bench("simulator")
    speed.measure(bench)
    measured.measure(bench)
    sys.stdout.write(f"written: {bench.write()}\n")
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main())
