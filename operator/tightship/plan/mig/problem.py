"""The choice of slices as a covering problem: rows to be covered, columns that cover them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tightship.plan.mig.geometry import Geometry
    from tightship.plan.mig.profile import Workload
    from tightship.plan.mig.segments import Segment

    Array = NDArray[np.float64]

TIE = 1e-6
"""Cost of a segment in devices: too little to change their number, enough that of equal solutions
the one with fewer segments is found, and that the simplex method does not go round in circles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Rows are models, then kinds of slices. Columns are segments, then configurations.

    A segment covers a part of its models' rates (1 is all of it) and uses up a slice of its kind; a
    configuration is a device that provides slices. `cost` is devices.
    """

    models: tuple[str, ...]
    kinds: tuple[str, ...]
    segments: tuple[Segment, ...]
    configurations: tuple[tuple[int, ...], ...]
    cost: Array
    matrix: Array
    needed: Array

    @property
    def most_slices(self) -> int:
        """Slices of the device that is cut into most."""
        return max(map(sum, self.configurations))

    def least_devices(self, value: float) -> int:
        """Devices that cannot be done without, by the cost of a relaxation."""
        return ceil(value / (1 + TIE * self.most_slices) - TIE)


def build(
    workloads: Sequence[Workload], segments: Sequence[Segment], geometry: Geometry
) -> Problem:
    """The problem of covering each workload's rate. Every workload must have a segment."""
    models = tuple(workload.model for workload in workloads)
    used = {segment.kind for segment in segments}
    kinds = tuple(kind.name for kind in geometry.kinds if kind.name in used)
    configurations = geometry.configurations(kinds)
    matrix = np.zeros((len(models) + len(kinds), len(segments) + len(configurations)))
    rows = {model: row for row, model in enumerate(models)}
    demand = {workload.model: workload.rate for workload in workloads}
    for column, segment in enumerate(segments):
        for tenant in segment.tenants:
            matrix[rows[tenant.model], column] = tenant.rate / demand[tenant.model]
        matrix[len(models) + kinds.index(segment.kind), column] = -1
    matrix[len(models) :, len(segments) :] = np.array(configurations).T
    costs = [np.full(len(segments), TIE), np.ones(len(configurations))]
    return Problem(
        models=models, kinds=kinds, segments=tuple(segments), configurations=configurations,
        cost=np.concatenate(costs), matrix=matrix,
        needed=np.concatenate([np.ones(len(models)), np.zeros(len(kinds))]),
    )  # fmt: skip
