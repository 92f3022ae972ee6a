"""State of a device, its copies and its batches as records, which compiled code takes by address.

Each class lists the fields of one kind of record; none has instances. Requests are named by their
places in the arrays of arrivals and latencies, in which each copy has a range of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Records = NDArray[np.void]

_KINDS = {"bool": np.bool_, "int": np.int64, "float": np.float64}


class Device:
    """How it is shared, what is counted, and where the simulation is. Times are seconds."""

    exclusive: bool
    interference: float
    begin: float  # from here to `end` the busy time counts
    end: float
    until: float  # from here on closed loops send nothing
    now: float
    work: float  # that each batch in flight would have had since the device was idle
    busy: float  # with a batch in flight
    size: int  # batches in flight
    active: int  # copies that have some


class Copy:
    """A copy of a model: its configuration as in `tenants.Tenants`, and its queue."""

    max_batch: int
    instances: int
    queue: int
    delay: float
    timeout: float
    pause: float  # inf in an open loop
    first: int  # request
    head: int  # the first request that has not been started or refused
    seen: int  # behind the last that has arrived
    known: int  # behind the last whose arrival is known
    waiting: int  # requests
    free: int  # instances
    executions: int  # batches started
    due: float  # the next arrival
    ready: float  # when a batch may start; inf while none may


class Batch:
    """A batch in flight: requests begin:end of `copy`, less the refused ones."""

    copy: int
    begin: int
    end: int
    finish: float  # the device's work when it is done


def zeros(kind: type, count: int) -> Records:
    """So many records of that kind, all zero."""
    fields = [(name, _KINDS[of]) for name, of in kind.__annotations__.items()]
    return np.zeros(count, np.dtype(fields, align=True))
