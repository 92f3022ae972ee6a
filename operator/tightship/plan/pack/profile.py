"""What one execution of a model costs on one type of device: measured, interpolated, corrected."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

CORRECTION_BOUNDS = (0.25, 4.0)
"""What live counters may make of a profile: beyond it the profile is wrong and must be remade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """L(b), the seconds that a device is busy with one execution of b samples.

    `batches` ascend and `seconds` never fall. `memory` is bytes of one copy at its peak on this
    type of device. `correction` is observed over expected seconds, from live counters. Without
    points the model is not measured: it is planned onto a device of its own, batch 1.
    """

    batches: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    memory: int
    max_batch: int = 1
    load_seconds: float = 30.0
    correction: float = 1.0

    def __post_init__(self) -> None:
        """Refuses what cannot have been measured.

        Raises:
            ValueError: with the cause and the remedy.
        """
        _check_curve(self.batches, self.seconds)
        if self.memory < 0 or self.max_batch < 1 or not self.load_seconds >= 0:
            raise ValueError(
                "memory and load_seconds must not be negative and max_batch at least 1: profile the"
                " model again"
            )
        if not self.correction > 0:
            raise ValueError("correction is observed over expected seconds and above 0")

    @property
    def measured(self) -> bool:
        """Whether there is any point."""
        return bool(self.batches)

    def latency(self, batch: float) -> float:
        """L(batch) in seconds: between points by a line, beyond the last one by the last slope.

        Raises:
            ValueError: nothing was measured.
        """
        if not self.measured:
            raise ValueError("the model is not measured: there is no latency to interpolate")
        slope = 0.0
        if len(self.batches) > 1:
            step = self.batches[-1] - self.batches[-2]
            slope = (self.seconds[-1] - self.seconds[-2]) / step
        beyond = max(0.0, batch - self.batches[-1])
        inside = float(np.interp(batch, self.batches, self.seconds))
        return (inside + beyond * slope) * self.correction

    def corrected(self, factor: float) -> Profile:
        """The same profile with observed over expected seconds, held to CORRECTION_BOUNDS."""
        low, high = CORRECTION_BOUNDS
        return replace(self, correction=min(max(factor, low), high))


def profile(
    batches: Sequence[int],
    concurrencies: Sequence[int],
    busy_seconds: Sequence[float],
    *,
    memory: int,
    max_batch: int,
    load_seconds: float = 30.0,
) -> Profile:
    """The profile of measured points: three sequences of equal length, one entry a point.

    Args:
        batches: samples of a request.
        concurrencies: requests in flight. Of each batch the point of the lowest counts: above one,
            requests share executions, and what is told is a larger batch than the request's.
        busy_seconds: seconds that the device computed, a request.
        memory: bytes of a loaded copy at its peak.
        max_batch: largest batch that the server forms.
        load_seconds: from the order to load to the first verified answer.

    Raises:
        ValueError: the sequences differ in length, or a value cannot have been measured.
    """
    if not len(batches) == len(concurrencies) == len(busy_seconds):
        raise ValueError("batches, concurrencies and busy_seconds must have one entry a point")
    best: dict[int, tuple[int, float]] = {}
    for batch, concurrency, seconds in zip(batches, concurrencies, busy_seconds, strict=True):
        best[batch] = min(best.get(batch, (concurrency, seconds)), (concurrency, seconds))
    ordered = sorted(best)
    risen = accumulate((best[batch][1] for batch in ordered), max)
    return Profile(
        batches=tuple(ordered),
        seconds=tuple(risen),
        memory=memory,
        max_batch=max_batch,
        load_seconds=load_seconds,
    )


def _check_curve(batches: Sequence[int], seconds: Sequence[float]) -> None:
    if len(batches) != len(seconds):
        raise ValueError("batches and seconds must have one entry a point")
    rising = all(a < b for a, b in pairwise(batches))
    if not rising or any(batch < 1 for batch in batches):
        raise ValueError("batches must ascend from 1 or more: give each batch once, in order")
    if any(not (math.isfinite(value) and value > 0) for value in seconds):
        raise ValueError("every latency must be finite and above 0: profile the model again")
    if any(a > b for a, b in pairwise(seconds)):
        raise ValueError("latency must not fall with the batch: use profile(), which smooths noise")
