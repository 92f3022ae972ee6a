"""ModelMesh's rule: a cluster-wide cache of models on a fixed fleet, least recently used first out.

From its source (kserve/modelmesh, ModelMesh.java): a model that is asked for and loaded nowhere
goes to the server with most free memory, else where the least recently used model leaves; a model
that is used again within minutes gets a second copy, and another for each 2,000 requests a minute
of a copy, all on different servers; copies beyond the first are dropped when memory is short. It
knows neither latency nor the device's time. Requests are spread evenly over a model's copies.

The state that it settles in is computed, not replayed: with Poisson arrivals the time since the
last request is exponential with the model's rate, and what lies in the cache is what was used last.
"""

import numpy as np
from benchmarks.packing.placement import NOWHERE, Copies, Placement
from benchmarks.packing.profiles import Floats, Ints
from benchmarks.packing.workload import DEVICE_MEMORY, Workload

COPY_RATE = 2000 / 60
"""Requests a second of a copy above which ModelMesh adds one."""


def plan(workload: Workload, batching: Copies, devices: int, seed: int) -> Placement:
    """The models on so many devices.

    `batching` has a row a model, with the queue delay and the largest batch that others use too:
    ModelMesh leaves both to the user.
    """
    idle = np.random.default_rng(seed).exponential(1 / workload.rate)
    wanted = np.clip(np.ceil(workload.rate / COPY_RATE).astype(np.int64), 2, max(2, devices))
    wanted = np.minimum(wanted, devices)
    held = _cache(workload.memory, np.argsort(idle, kind="stable"), wanted, devices)
    model = np.array([one for one, places in enumerate(held) for _ in places or [0]])
    device = np.array([place for places in held for place in places or [NOWHERE]])
    parts = np.array([max(1, len(places)) for places in held])
    copies = batching.split(parts)
    if not np.array_equal(copies.model, model):
        raise ValueError("batching needs one row a model, in the models' order")
    return Placement(copies, device)


def _cache(memory: Floats, order: Ints, wanted: Ints, devices: int) -> list[list[int]]:
    """The devices of each model's copies: first copies of the latest used, then further ones."""
    free = np.full(devices, DEVICE_MEMORY)
    held: list[list[int]] = [[] for _ in order]
    for first in (True, False):
        for model in order:
            places = held[model]
            if not first and not places:
                continue
            for _ in range(1 if first else int(wanted[model]) - 1):
                room = free.copy()
                room[places] = -np.inf
                best = int(room.argmax())
                if room[best] < memory[model]:
                    break
                places.append(best)
                free[best] -= memory[model]
    return held
