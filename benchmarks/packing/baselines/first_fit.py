"""First fit decreasing by memory under a cap on utilisation: what clusters do that pack by size."""

import numpy as np
from benchmarks.packing.placement import Copies, Placement
from benchmarks.packing.profiles import Floats, Ints
from benchmarks.packing.workload import DEVICE_MEMORY, Workload


def plan(workload: Workload, copies: Copies, cap: float) -> Placement:
    """Copies, largest memory first, each on the first device where memory and duty fit.

    A copy whose duty alone is over the cap is split into equal ones that are not. Copies of one
    model lie on different devices.
    """
    split = copies.split(np.maximum(1, np.ceil(copies.duty / cap - 1e-9)).astype(np.int64))
    memory = workload.memory[split.model]
    return Placement(split, _first_fit(split.model, memory, split.duty, cap))


def _first_fit(model: Ints, memory: Floats, duty: Floats, cap: float) -> Ints:
    count = len(model)
    device = np.empty(count, np.int64)
    free_memory, free_duty = np.full(count, DEVICE_MEMORY), np.full(count, cap)
    holding: dict[int, list[int]] = {}
    used = 0
    for row in np.argsort(-memory, kind="stable"):
        fits = (free_memory[: used + 1] >= memory[row] - 1e-12) & (
            free_duty[: used + 1] >= duty[row] - 1e-12
        )
        same = holding.setdefault(int(model[row]), [])
        fits[same] = False
        found = int(fits.argmax())
        device[row] = found
        free_memory[found] -= memory[row]
        free_duty[found] -= duty[row]
        same.append(found)
        used = max(used, found + 1)
    return device
