"""One device: its copies and their requests into records, through the kernel, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tightship.simulate import kernel, records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tightship.simulate.records import Records
    from tightship.simulate.tenants import Floats, Ints, Tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How models share a device: concurrently, or one batch at a time (Triton's rate limiter).

    While batches of several copies are in flight, all of them take 1 + `interference` times as
    long as their equal shares of the device alone would have it.
    """

    exclusive: bool = False
    interference: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.interference < np.inf:
            raise ValueError("interference is finite and 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """Requests by copy: when they arrived and what they took, in seconds; inf: refused."""

    arrivals: list[Floats]
    latencies: list[Floats]
    busy: float  # seconds of the window with a batch in flight


def run(
    tenants: Tenants,
    arrivals: Sequence[Floats],
    sharing: Sharing,
    window: tuple[float, float],
    until: float,
) -> Run:
    """Runs all of `tenants` on one device until the last of their requests has its answer.

    `arrivals` ascend; infinite ones at the end are room for what closed loops send before `until`.
    """
    arrival = np.concatenate(arrivals)
    latency = np.zeros(len(arrival))
    ends = np.cumsum([len(one) for one in arrivals])
    device = _device(sharing, window, until)
    batches = records.zeros(records.Batch, int(tenants.instances.sum()))
    copies = _copies(tenants, arrivals, ends)
    kernel.run(device, copies, batches, tenants.curves, arrival, latency)
    known = [slice(*ends) for ends in zip(copies["first"], copies["known"], strict=True)]
    return Run(
        arrivals=[arrival[mine] for mine in known],
        latencies=[latency[mine] for mine in known],
        busy=float(device["busy"][0]),
    )


def _device(sharing: Sharing, window: tuple[float, float], until: float) -> Records:
    device = records.zeros(records.Device, 1)
    device["exclusive"], device["interference"] = sharing.exclusive, sharing.interference
    device["begin"], device["end"] = window
    device["until"] = until
    return device


def _copies(tenants: Tenants, arrivals: Sequence[Floats], ends: Ints) -> Records:
    """The copies before the first request."""
    copies = records.zeros(records.Copy, len(tenants))
    for field in ("max_batch", "instances", "queue", "delay", "timeout"):
        copies[field] = getattr(tenants, field)
    copies["pause"] = np.where(tenants.clients > 0, tenants.pause, np.inf)
    copies["first"] = np.concatenate([[0], ends[:-1]])
    copies["head"] = copies["seen"] = copies["first"]
    copies["known"] = copies["first"] + [np.count_nonzero(one < np.inf) for one in arrivals]
    copies["free"] = tenants.instances
    copies["due"] = [one[0] if len(one) else np.inf for one in arrivals]
    copies["ready"] = np.inf
    return copies
