"""Makes models of the benchmark and their data, in a folder.

    python -m benchmarks.models FOLDER [NAME ...]

writes FOLDER/NAME/{model.onnx,calibration.npz,evaluation.npz}. Needs the packages of
benchmarks/requirements.txt; `python -m benchmarks.optimize` installs them by itself.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.models import MODELS


def main(arguments: list[str]) -> int:
    """Writes the named models, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(MODELS))
    if unknown:
        parser.error(f"there is no model {unknown[0]!r}; there are {', '.join(MODELS)}")
    for name in options.names or MODELS:
        made = import_module(MODELS[name].module).make()
        made.write(options.folder / name)
        told = f"{len(made.evaluation['labels'])} labelled samples"
        sys.stdout.write(f"{name}: model of {len(made.model) / 1e6:.2f} MB, {told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
