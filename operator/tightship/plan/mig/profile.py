"""What was measured of a model in each slice, and what of it an objective leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LATENCY_SHARE = 0.45
"""Share of the objective that a batch may take. While one is computed the next gathers, so that a
request waits for as long as it is computed; a tenth is left over. ParvaGPU (SC'24) has the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A model in a slice, as measured with `processes` that each compute batches of `batch`.

    `rate` is items a second of all processes together, `latency` seconds of a batch, `memory` bytes
    of all processes at the most; None where that is not known.
    """

    batch: int
    processes: int
    rate: float
    latency: float
    memory: int | None = None

    @property
    def items(self) -> int:
        """Items of one turn: a batch in each process."""
        return self.batch * self.processes

    @property
    def turn(self) -> float:
        """Seconds of one turn: what the rate or the latency says, whichever is longer."""
        return max(self.latency, self.items / self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A model to be served: items a second, objective in seconds, points by kind of slice."""

    model: str
    rate: float
    slo: float
    points: Mapping[str, tuple[Point, ...]]

    @property
    def budget(self) -> float:
        """Seconds that a batch has to stay below."""
        return LATENCY_SHARE * self.slo

    def usable(self, kind: str) -> tuple[Point, ...]:
        """The points of a slice whose latency stays within the objective."""
        return tuple(point for point in self.points.get(kind, ()) if point.latency < self.budget)
