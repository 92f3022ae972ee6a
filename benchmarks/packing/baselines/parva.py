"""ParvaGPU's rule (Lee et al., SC 2024): one model a segment, the best segments of each model.

From its source (configurator.c, allocator.c): a segment is a size and a batch whose latency is
under 0.45 of the objective; a model gets as many of the one with most throughput per unit of size
as its rate fills, and for the rest the smallest size that serves it; segments go to devices large
first, each where least is left.

On whole devices there is one size, which makes it a device a model at least. Slices are not
measured for these models, so they are idealised in its favour: with s of the seven parts only what
grows with the batch takes 7 / s as long, and nothing is lost beside it.
"""

from dataclasses import dataclass

import numpy as np
from benchmarks.packing.placement import Copies, Placement
from benchmarks.packing.profiles import MAX_BATCH, Floats, Ints
from benchmarks.packing.workload import DEVICE_MEMORY, Workload

SAFETY = 0.45
"""Share of the objective that a batch's latency stays under."""

WHOLE = (7,)
SLICES = (1, 2, 3, 4, 7)
MEMORY_PARTS = {1: 1, 2: 2, 3: 4, 4: 4, 7: 8}
"""Eighths of an A100's memory by slice size, in sevenths of its compute."""


@dataclass(frozen=True, slots=True)
class _Options:
    """By model and size: the best batch, its throughput (0: none is allowed), the latencies."""

    batch: Ints
    throughput: Floats
    seconds: Floats


def plan(workload: Workload, headroom: float = 1.0, sizes: tuple[int, ...] = WHOLE) -> Placement:
    """Segments for `headroom` times the rates, which are then served as they are."""
    options = _options(workload, sizes)
    model, size = _segments(workload.rate * headroom, options.throughput, np.array(sizes))
    which = np.searchsorted(sizes, size)
    throughput = options.throughput[model, which]
    total = np.bincount(model, weights=throughput, minlength=len(workload))
    batch = options.batch[model, which]
    copies = Copies(
        model=model,
        rate=workload.rate[model] * throughput / total[model],
        delay=np.zeros(len(model)),
        max_batch=batch,
        duty=workload.rate[model] * headroom / total[model],
    )
    seconds = options.seconds[model, which]
    return Placement(copies, np.arange(len(model)), seconds=seconds, whole=len(devices(size)))


def _options(workload: Workload, sizes: tuple[int, ...]) -> _Options:
    scaled = [_sliced(workload, size) for size in sizes]
    batch = np.empty((len(workload), len(sizes)), np.int64)
    throughput = np.empty(batch.shape)
    batches = np.arange(1, MAX_BATCH + 1)
    for place, (size, seconds) in enumerate(zip(sizes, scaled, strict=True)):
        fits = workload.memory <= DEVICE_MEMORY * MEMORY_PARTS[size] / 8
        allowed = (seconds < SAFETY * workload.slo[:, None]) & fits[:, None]
        each = np.where(allowed, batches / seconds, 0.0)
        batch[:, place] = each.argmax(axis=1) + 1
        throughput[:, place] = each.max(axis=1)
    return _Options(batch, throughput, np.stack(scaled, axis=1))


def _sliced(workload: Workload, size: int) -> Floats:
    """Latencies with `size` of seven parts: what grows with the batch takes 7 / size as long."""
    growing = workload.seconds - (2 * workload.seconds[:, :1] - workload.seconds[:, 1:2])
    seconds: Floats = workload.seconds + np.nan_to_num(growing, posinf=0.0) * (7 / size - 1)
    return seconds


def _segments(rate: Floats, throughput: Floats, sizes: Ints) -> tuple[Ints, Ints]:
    """Model and size of each segment."""
    if not throughput.max(axis=1).all():
        raise ValueError("a model has no batch within ParvaGPU's share of its objective")
    best = (throughput / sizes).argmax(axis=1)
    most = throughput[np.arange(len(rate)), best]
    full = np.maximum(0, np.ceil(rate / most - 1e-9).astype(np.int64) - 1)
    rest = rate - full * most
    last = (throughput >= rest[:, None] - 1e-9).argmax(axis=1)
    model = np.concatenate([np.repeat(np.arange(len(rate)), full), np.arange(len(rate))])
    return model, sizes[np.concatenate([np.repeat(best, full), last])]


def devices(size: Ints) -> list[list[int]]:
    """Segments' sizes by device: large first, each on the fullest device that has room."""
    held: list[list[int]] = []
    by_room: dict[tuple[int, int], list[int]] = {}
    for one in sorted(size.tolist(), reverse=True):
        parts = MEMORY_PARTS[one]
        fitting = [
            room for room, open_ in by_room.items() if open_ and room[0] >= one and room[1] >= parts
        ]
        if fitting:
            room = min(fitting)
            device = by_room[room].pop()
            held[device].append(one)
        else:
            room, device = (7, 8), len(held)
            held.append([one])
        by_room.setdefault((room[0] - one, room[1] - parts), []).append(device)
    return held
