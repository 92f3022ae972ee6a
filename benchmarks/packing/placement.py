"""Copies of models on devices, as arrays: what packing rules return and the simulator takes."""

from dataclasses import dataclass, replace

import numpy as np
from benchmarks.packing.profiles import Floats, Ints
from benchmarks.packing.workload import DEVICE_MEMORY, Workload

NOWHERE = -1
"""Device of a copy that found no room: none of its requests is answered in time."""


@dataclass(frozen=True, slots=True)
class Copies:
    """One row a copy: what it is, and how Triton batches it.

    `rate` is the copy's part of its model's requests a second, `delay` Triton's queue delay in
    seconds, `duty` the share of the device's time that the rule believes it takes.
    """

    model: Ints
    rate: Floats
    delay: Floats
    max_batch: Ints
    duty: Floats

    def __len__(self) -> int:
        return len(self.model)

    def split(self, parts: Ints) -> "Copies":
        """Each row as so many equal ones."""
        model = np.repeat(self.model, parts)
        return Copies(
            model=model,
            rate=np.repeat(self.rate / parts, parts),
            delay=np.repeat(self.delay, parts),
            max_batch=np.repeat(self.max_batch, parts),
            duty=np.repeat(self.duty / parts, parts),
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Copies and the device of each.

    `seconds` has a row a copy where a device is a slice with latencies of its own, and `whole`
    tells how many whole devices the slices are cut from.
    """

    copies: Copies
    device: Ints
    seconds: Floats | None = None
    whole: int | None = None

    @property
    def devices(self) -> int:
        """Whole devices in use."""
        if self.whole is not None:
            return self.whole
        return len(np.unique(self.device[self.device != NOWHERE]))

    def on(self, wanted: Ints) -> "Placement":
        """Only what lies on these devices."""
        rows = np.isin(self.device, wanted)
        kept = {name: getattr(self.copies, name)[rows] for name in Copies.__slots__}
        seconds = None if self.seconds is None else self.seconds[rows]
        return replace(self, copies=Copies(**kept), device=self.device[rows], seconds=seconds)


def memory_used(placement: Placement, workload: Workload) -> Floats:
    """GiB by device, for placements on whole devices."""
    placed = placement.device != NOWHERE
    memory = workload.memory[placement.copies.model[placed]]
    used: Floats = np.bincount(placement.device[placed], weights=memory).astype(np.float64)
    return used


def fits_memory(placement: Placement, workload: Workload) -> bool:
    """Whether no device holds more than it may."""
    return bool((memory_used(placement, workload) <= DEVICE_MEMORY + 1e-9).all())
