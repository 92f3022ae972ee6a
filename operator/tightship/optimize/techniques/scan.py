"""Runs a model with its inner tensors opened and keeps what their values look like."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto, helper

from tightship.optimize import data, graph, runtime
from tightship.optimize.techniques import Material

SAMPLES = 32  # whose activations are looked at
_OPENED = Path("scan.onnx")  # in the child's scratch folder


@dataclass(slots=True)
class Seen:
    """What the values of one tensor were over all samples."""

    low: float = 0.0
    high: float = 0.0
    squares: float = 0.0
    count: int = 0

    def add(self, values: np.ndarray) -> None:
        """Take in one batch."""
        if values.size:
            self.low = min(self.low, float(values.min()))
            self.high = max(self.high, float(values.max()))
            self.squares += float(np.square(values, dtype=np.float64).sum())
            self.count += values.size

    @property
    def greatest(self) -> float:
        """The greatest magnitude; not a number where one value was none."""
        return max(-self.low, self.high) if math.isfinite(self.low + self.high) else math.inf

    @property
    def outliers(self) -> float:
        """Width of the range in units of the root mean square: how much one 8-bit scale loses."""
        root = math.sqrt(self.squares / self.count) if self.count else 0.0
        return (self.high - self.low) / root if root else 0.0


def scan(model: ModelProto, names: Iterable[str], material: Material) -> dict[str, Seen]:
    """Statistics of fp32 tensors by name, over SAMPLES samples."""
    wanted = list(dict.fromkeys(names))
    opened = ModelProto()
    opened.CopyFrom(model)
    present = {value.name for value in model.graph.output}
    opened.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in wanted if name not in present
    )
    graph.save(opened, _OPENED)
    session = runtime.session(_OPENED, 1, optimise=False)
    found = {name: Seen() for name in wanted}
    rows = data.chosen_rows(None, len(material.calibration), SAMPLES, None)
    samples = data.subset(material.calibration, rows)
    for batch in runtime.batches(len(samples), material.contract, material.batch):
        feed = runtime.feed(material.contract, samples.arrays, batch)
        for name, values in zip(wanted, session.run(wanted, feed), strict=True):
            found[name].add(values)
    return found
