"""Makes the examples' model and data files, in a folder.

    python -m examples.prepare FOLDER [NAME ...]

writes FOLDER/NAME/{model.onnx,calibration.npz,evaluation.npz} for each example (tumours has
model.skops). Needs the packages of examples/requirements.txt.
"""

import argparse
import sys
from pathlib import Path

from examples.models import MODELS, make


def main(arguments: list[str]) -> int:
    """Writes the named examples, or all."""
    parser = argparse.ArgumentParser(prog="python -m examples.prepare", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}; default: all"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(MODELS))
    if unknown:
        parser.error(f"there is no example {unknown[0]!r}; there are {', '.join(MODELS)}")
    for name in options.names or MODELS:
        example = make(name)
        example.write(options.folder / name)
        samples = len(example.evaluation["labels"])
        size = len(example.model) / 1e6
        sys.stdout.write(f"{name}: model of {size:.2f} MB, {samples} labelled samples\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
