"""What an example consists of: one model file and the two data files that a conversion reads."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]

MODEL_FILE = "model.onnx"
CALIBRATION_FILE = "calibration.npz"
EVALUATION_FILE = "evaluation.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A model and its data.

    `calibration` has one array per model input, by the input's name, first axis the sample;
    `evaluation` has other samples in the same form, and `labels`.
    """

    model: bytes
    calibration: Arrays
    evaluation: Arrays
    file: str = MODEL_FILE

    def write(self, folder: Path) -> None:
        """Puts the three files into `folder`, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.file).write_bytes(self.model)
        _write_arrays(folder / CALIBRATION_FILE, self.calibration)
        _write_arrays(folder / EVALUATION_FILE, self.evaluation)


def _write_arrays(path: Path, arrays: Arrays) -> None:
    np.savez(path, **arrays)
