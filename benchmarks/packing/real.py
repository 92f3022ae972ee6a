"""Ten real models for a pool of a real cluster: their files, and samples to ask them with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from benchmarks.models import MODELS
from benchmarks.optimize import environment
from numpy.typing import NDArray
from tests.e2e.support import examples
from tests.support import cache

SAMPLES = 32
"""Of each model's calibration data: as many distinct requests, and twice the largest batch that a
conversion measures."""

CALIBRATION = "calibration.npz"


class Wish(NamedTuple):
    """What a model's users want: milliseconds at the 99th percentile, at so many requests a second.

    The objectives are some eight latencies of the model alone, and no less than 50 ms.
    """

    objective: int
    rate: float


WISHES: Mapping[str, Wish] = {
    "mnist": Wish(50, 6),
    "efficientnet": Wish(100, 4),
    "nsfw": Wish(200, 4),
    "ocr-angle": Wish(50, 6),
    "ocr-text": Wish(250, 4),
    "crepe": Wish(80, 5),
    "magika": Wish(150, 4),
    "minilm": Wish(250, 4),
    "digits": Wish(50, 8),
    "tumours": Wish(50, 8),
}

_EXAMPLES = {"digits": "model.onnx", "tumours": "model.skops"}

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Source:
    """A model's file and its samples, as a user has them."""

    name: str
    model: Path
    calibration: Path

    @property
    def format(self) -> str:
        """`modelFormat.name` of the file."""
        return "sklearn" if self.model.suffix == ".skops" else "onnx"

    def samples(self) -> dict[str, NDArray[Any]]:
        """The first samples, by the input's name."""
        with np.load(self.calibration, allow_pickle=False) as arrays:
            return {name: arrays[name][:SAMPLES] for name in arrays.files}

    def requests(self) -> dict[str, NDArray[Any]]:
        """The samples as they are asked: a model of scikit-learn is served in single precision."""
        return {
            name: array.astype(np.float32) if array.dtype == np.float64 else array
            for name, array in self.samples().items()
        }


def sources() -> list[Source]:
    """The eight models of the optimizer's benchmark and two of the examples, made once and kept."""
    found = [_source(name, environment.files(name), "model.onnx") for name in MODELS]
    return found + [
        _source(name, examples.files() / name, file) for name, file in _EXAMPLES.items()
    ]


def _source(name: str, folder: Path, file: str) -> Source:
    return Source(name, folder / file, folder / CALIBRATION)


def folder() -> Path:
    """NAME/{model file,calibration.npz} of every model, with no more samples than are used."""
    found = sources()
    key = cache.digest(extra=" ".join([str(SAMPLES), *(str(source.model) for source in found)]))

    def write(made: Path) -> None:
        for source in found:
            own = made / source.name
            own.mkdir()
            (own / source.model.name).write_bytes(source.model.read_bytes())
            np.savez(own / CALIBRATION, allow_pickle=False, **source.samples())

    return cache.made(f"packing-sources-{key}", write)
