"""The optimizer on eight real models, beside what users would pick by hand.

    python -m benchmarks.optimize [NAME ...]

For each model (benchmarks/models) `tightship optimize` runs as users run it, with its defaults and
a real Triton, in which what it chose then races the original. Beside that, in one go: the speed of
the original, of what was chosen, and of what five tools make of the model by their default calls,
in fresh pinned processes; and the metric of each on the held-out data, with the gate's own test.
A second table has the best candidate of each technique as the conversion's report tells of it: not
measured side by side, and what was far behind in a quick look by that alone. With names only these
models run, and the result file is left as it is.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.models import MODELS
from benchmarks.optimize import figures
from benchmarks.optimize.compare import Comparison, compare
from benchmarks.optimize.measure import ModelError
from benchmarks.optimize.product import ProductError
from benchmarks.record import Bench


def main(arguments: list[str]) -> int:
    """Runs the models; 1 when a figure misses its target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimize")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}")
    names = parser.parse_args(arguments).names
    unknown = sorted(set(names) - set(MODELS))
    if unknown:
        parser.error(f"there is no model {unknown[0]!r}; there are {', '.join(MODELS)}")
    bench = Bench("optimize")
    found, failed = [], {}
    for name in names or MODELS:
        try:
            found.append(_run(bench, name))
        except (ProductError, ModelError) as error:
            failed[name] = str(error)
            sys.stdout.write(f"{name} failed: {error}\n")
    if names:
        sys.stdout.write("not written: a result has all models, and no names say so\n")
    else:
        figures.add_summary(bench, found, failed)
        sys.stdout.write(f"written: {bench.write()}\n")
    return int(bool(failed) or any(figure.ok is False for figure in bench.figures))


def _run(bench: Bench, name: str) -> Comparison:
    with tempfile.TemporaryDirectory(prefix=f"tightship-bench-{name}-") as scratch:
        found = compare(name, Path(scratch))
    figures.add_model(bench, found)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
