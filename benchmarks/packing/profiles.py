"""Measured latency by batch: NVIDIA's published Triton runs on one A100, as curves.

Source and licence: data/triton/SOURCE.md.
"""

import csv
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_BATCH = 64
"""Largest batch that is considered, as in the measured configurations of most models."""

MEASURED_BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""The batches that were measured, some of them not for every model."""

_LEAST_POINTS = 4
_FILE = Path(__file__).parent / "data" / "triton" / "a100_offline.csv"
_IDENTITY = ("model", "variant", "backend", "accelerator", "precision")


@dataclass(frozen=True, slots=True)
class Measured:
    """One model in one backend: `seconds[b - 1]` for a batch of b up to `max_batch`.

    Between measured batches the curve is linear; beyond `max_batch`, the largest measured one, it
    is infinite.
    """

    name: str
    seconds: Floats
    max_batch: int


@cache
def measured() -> tuple[Measured, ...]:
    """Every model with at least four measured batches of 64 or less."""
    points: dict[tuple[str, ...], dict[int, float]] = defaultdict(dict)
    with _FILE.open(newline="") as lines:
        for row in csv.DictReader(lines):
            batch = int(row["client_batch"])
            if batch <= MAX_BATCH:
                key = tuple(row[column] for column in _IDENTITY)
                points[key].setdefault(batch, float(row["avg_ms"]) / 1000)
    fitting = ((key, found) for key, found in points.items() if len(found) >= _LEAST_POINTS)
    return tuple(_curve(" ".join(filter(None, key)), found) for key, found in sorted(fitting))


def _curve(name: str, points: dict[int, float]) -> Measured:
    batches = sorted(points)
    last = batches[-1]
    seconds = np.full(MAX_BATCH, np.inf)
    told = np.maximum.accumulate([points[batch] for batch in batches])
    seconds[:last] = np.interp(np.arange(1, last + 1), batches, told)
    return Measured(name, seconds, last)
