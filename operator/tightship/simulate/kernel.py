"""One device, request by request: dynamic batches, instances, sharing. Compiled by numba.

Copies run as Triton runs them. A free instance takes the oldest requests that wait, at once when
they fill a batch or the oldest has waited for the queue delay. Batches in flight share the device
equally (processor sharing), or go one at a time: then, as Triton's rate limiter has it, the copy
goes next whose instances have executed least. At one instant answers come first, then arrivals,
then new batches: what arrives as an instance becomes free still gets into its batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from tightship.simulate.records import Batch, Copy, Device, Records
    from tightship.simulate.tenants import Floats

F = TypeVar("F", bound="Callable[..., object]")

REFUSED = np.inf
"""Latency of a request that a queue limit or a timeout has refused."""


def compiled(function: F) -> F:
    """As machine code, which is kept between runs."""
    return cast("F", numba.njit(cache=True)(function))


@compiled
def run(
    devices: Records,
    copies: Records,
    batches: Records,
    curves: Floats,
    arrival: Floats,
    latency: Floats,
) -> None:
    """Runs the only one of `devices` until every request is answered or refused.

    `copies` are as they are before the first request, `batches` has a place for every instance,
    `curves` is as in `tenants.Tenants`, `latency` is zeros. Unknown arrivals of closed loops are
    filled in, and all latencies.
    """
    device: Device = devices[0]
    while True:
        speed = _speed(device)
        slot, done = _first_done(device, batches, speed)
        asked, due = _first_due(copies)
        chosen, start = _first_ready(device, copies)
        then = min(done, due, start)
        if then == np.inf:
            return
        _pass(device, then, speed)
        if done == then:
            _answer(device, copies, batches, slot, arrival, latency)
        elif due == then:
            _arrive(device, copies[asked], arrival, latency)
        else:
            _start(device, copies, batches, chosen, curves, arrival, latency)


@compiled
def _speed(device: Device) -> float:
    """Seconds of work that each batch in flight gets done in a second."""
    slowdown = 1 + device.interference if device.active > 1 else 1.0
    return 1.0 / (max(device.size, 1) * slowdown)


@compiled
def _pass(device: Device, then: float, speed: float) -> None:
    if device.size:
        device.work += (then - device.now) * speed
        device.busy += max(0.0, min(then, device.end) - max(device.now, device.begin))
    device.now = then


@compiled
def _first_done(device: Device, batches: Records, speed: float) -> tuple[int, float]:
    first, least = -1, np.inf
    for slot in range(device.size):
        if batches[slot].finish < least:
            first, least = slot, batches[slot].finish
    return first, device.now + max(0.0, least - device.work) / speed


@compiled
def _first_due(copies: Records) -> tuple[int, float]:
    first, least = -1, np.inf
    for copy in range(len(copies)):
        if copies[copy].due < least:
            first, least = copy, copies[copy].due
    return first, least


@compiled
def _first_ready(device: Device, copies: Records) -> tuple[int, float]:
    """The copy that starts the next batch, and when; of several the one that executed least."""
    first, least, executions = -1, np.inf, 0.0
    if device.exclusive and device.size:
        return first, least
    for number in range(len(copies)):
        copy: Copy = copies[number]
        if copy.ready < np.inf and copy.ready <= least:
            start = max(copy.ready, device.now)
            each = copy.executions / copy.instances
            if start < least or each < executions:
                first, least, executions = number, start, each
    return first, least


@compiled
def _answer(
    device: Device, copies: Records, batches: Records, slot: int, arrival: Floats, latency: Floats
) -> None:
    """Ends a batch: its clients have their answers, the last batch in flight takes its place."""
    batch: Batch = batches[slot]
    copy: Copy = copies[batch.copy]
    again = device.now + copy.pause
    for place in range(batch.begin, batch.end):
        if latency[place] != REFUSED:
            latency[place] = device.now - arrival[place]
            if again < device.until:
                arrival[copy.known] = again
                copy.known += 1
    device.work = batch.finish
    device.size -= 1
    copy.free += 1
    device.active -= copy.free == copy.instances
    last: Batch = batches[device.size]
    batch.copy, batch.finish = last.copy, last.finish
    batch.begin, batch.end = last.begin, last.end
    _look_ahead(copy, arrival)
    _settle(device, copy, arrival, latency)


@compiled
def _arrive(device: Device, copy: Copy, arrival: Floats, latency: Floats) -> None:
    _refuse_late(device, copy, arrival, latency)
    if copy.queue and copy.waiting >= copy.queue:
        latency[copy.seen] = REFUSED
    else:
        copy.waiting += 1
    copy.seen += 1
    _look_ahead(copy, arrival)
    _settle(device, copy, arrival, latency)


@compiled
def _start(
    device: Device, copies: Records, batches: Records, chosen: int, curves: Floats,
    arrival: Floats, latency: Floats,
) -> None:  # fmt: skip
    """Starts a batch, unless so much has timed out that there is none any more."""
    copy: Copy = copies[chosen]
    _settle(device, copy, arrival, latency)
    if copy.ready > device.now:
        return
    size = min(copy.waiting, copy.max_batch)
    batch: Batch = batches[device.size]
    batch.copy, batch.begin = chosen, copy.head
    taken = 0
    while taken < size:
        taken += latency[copy.head] != REFUSED
        copy.head += 1
    batch.end = copy.head
    if device.size == 0:
        device.work = 0.0
    batch.finish = device.work + curves[chosen, size - 1]
    device.size += 1
    device.active += copy.free == copy.instances
    copy.waiting -= size
    copy.free -= 1
    copy.executions += 1
    _settle(device, copy, arrival, latency)


@compiled
def _look_ahead(copy: Copy, arrival: Floats) -> None:
    copy.due = arrival[copy.seen] if copy.seen < copy.known else np.inf


@compiled
def _refuse_late(device: Device, copy: Copy, arrival: Floats, latency: Floats) -> None:
    """Drops from the queue's head what has timed out or was refused on arrival."""
    while copy.head < copy.seen:
        refused = latency[copy.head] == REFUSED
        if not refused and device.now <= arrival[copy.head] + copy.timeout:
            return
        if not refused:
            latency[copy.head] = REFUSED
            copy.waiting -= 1
        copy.head += 1


@compiled
def _settle(device: Device, copy: Copy, arrival: Floats, latency: Floats) -> None:
    """When this copy may start a batch, from what waits now."""
    _refuse_late(device, copy, arrival, latency)
    if copy.waiting == 0 or copy.free == 0:
        copy.ready = np.inf
    elif copy.waiting >= copy.max_batch:
        copy.ready = device.now
    else:
        copy.ready = arrival[copy.head] + copy.delay
