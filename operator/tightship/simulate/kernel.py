"""One device, request by request: dynamic batches, instances, sharing. Compiled by numba.

Copies run as Triton runs them. A free instance takes the oldest requests that wait, at once when
they fill a batch or the oldest has waited for the queue delay. Batches in flight share the device
equally (processor sharing), or go one at a time: then, as Triton's rate limiter has it, the copy
goes next whose instances have executed least. At one instant answers come first, then arrivals,
then new batches: what arrives as an instance becomes free still gets into its batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from tightship.simulate.tenants import Floats, Ints

F = TypeVar("F", bound="Callable[..., object]")

REFUSED = np.inf
"""Latency of a request that a queue limit or a timeout has refused."""


def compiled(function: F) -> F:
    """As machine code, which is kept between runs."""
    return cast("F", numba.njit(cache=True)(function))


class Copies(NamedTuple):
    """The K copies of a device; fields as in `tenants.Tenants`. An open loop's `pause` is inf."""

    curves: Floats
    max_batch: Ints
    delay: Floats
    instances: Ints
    queue: Ints
    timeout: Floats
    pause: Floats


class Requests(NamedTuple):
    """Those of copy k are first[k]:first[k + 1]; `latency` is zeros, and filled in.

    `arrival` ascends within a copy. An infinite one is not known yet: a closed loop fills it in.
    """

    first: Ints
    arrival: Floats
    latency: Floats


class Queues(NamedTuple):
    """What stands before each copy's instances; requests are named by their place in `arrival`."""

    head: Ints  # the first that has not been started or refused
    seen: Ints  # behind the last that has arrived
    known: Ints  # behind the last whose arrival is known
    waiting: Ints  # requests
    free: Ints  # instances
    executions: Floats  # per instance
    due: Floats  # s: the next arrival
    ready: Floats  # s: when a batch may start; inf while none may


class Flight(NamedTuple):
    """Batches in flight: in place i requests begin[i]:end[i] of copy[i], done at finish[i].

    `finish` and `work` are seconds that a batch in flight since the device was idle has had.
    """

    copy: Ints
    begin: Ints
    end: Ints
    finish: Floats
    work: Floats  # one number
    size: Ints  # one number: batches
    active: Ints  # one number: copies that have batches in flight


class Device(NamedTuple):
    """Everything that a run reads and changes."""

    copies: Copies
    requests: Requests
    queues: Queues
    flight: Flight


@compiled
def run(
    copies: Copies,
    requests: Requests,
    window: tuple[float, float],
    until: float,
    exclusive: bool,  # noqa: FBT001 - compiled functions take arguments by place
    interference: float,
) -> float:
    """Runs until every request is answered or refused, and fills in their latencies.

    Closed loops send nothing from `until` on. While batches of several copies are in flight, all
    work takes 1 + `interference` times as long. Returns the seconds of `window` with any in flight.
    """
    device = _idle(copies, requests)
    now = busy = 0.0
    while True:
        speed = _speed(device.flight, interference)
        slot, done = _first_done(device.flight, now, speed)
        asked, due = _first_due(device.queues)
        chosen, start = _first_ready(device, now, exclusive)
        then = min(done, due, start)
        if then == np.inf:
            return busy
        if device.flight.size[0]:
            busy += max(0.0, min(then, window[1]) - max(now, window[0]))
            device.flight.work[0] += (then - now) * speed
        now = then
        if done == then:
            _answer(device, slot, now, until)
        elif due == then:
            _arrive(device, asked, now)
        else:
            _start(device, chosen, now)


@compiled
def _idle(copies: Copies, requests: Requests) -> Device:
    count, slots = len(copies.delay), copies.instances.sum()
    first = requests.first
    queues = Queues(
        first[:-1].copy(),
        first[:-1].copy(),
        first[:-1].copy(),
        np.zeros(count, np.int64),
        copies.instances.copy(),
        np.zeros(count),
        np.empty(count),
        np.full(count, np.inf),
    )
    for copy in range(count):
        while (
            queues.known[copy] < first[copy + 1] and requests.arrival[queues.known[copy]] < np.inf
        ):
            queues.known[copy] += 1
        _look_ahead(requests, queues, copy)
    flight = Flight(
        np.empty(slots, np.int64),
        np.empty(slots, np.int64),
        np.empty(slots, np.int64),
        np.empty(slots),
        np.zeros(1),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
    )
    return Device(copies, requests, queues, flight)


@compiled
def _speed(flight: Flight, interference: float) -> float:
    """Seconds of work that each batch in flight gets done in a second."""
    slowdown = 1 + interference if flight.active[0] > 1 else 1.0
    return 1 / (max(flight.size[0], 1) * slowdown)


@compiled
def _first_done(flight: Flight, now: float, speed: float) -> tuple[int, float]:
    first, least = -1, np.inf
    for slot in range(flight.size[0]):
        if flight.finish[slot] < least:
            first, least = slot, flight.finish[slot]
    return first, now + max(0.0, least - flight.work[0]) / speed


@compiled
def _first_due(queues: Queues) -> tuple[int, float]:
    first, least = -1, np.inf
    for copy in range(len(queues.due)):
        if queues.due[copy] < least:
            first, least = copy, queues.due[copy]
    return first, least


@compiled
def _first_ready(device: Device, now: float, exclusive: bool) -> tuple[int, float]:  # noqa: FBT001
    """The copy that starts the next batch, and when; of several the one that executed least."""
    queues = device.queues
    first, least = -1, np.inf
    if exclusive and device.flight.size[0]:
        return first, least
    for copy in range(len(queues.ready)):
        if queues.ready[copy] <= least:
            start = max(queues.ready[copy], now)
            if start < least or (
                start < np.inf and queues.executions[copy] < queues.executions[first]
            ):
                first, least = copy, start
    return first, least


@compiled
def _answer(device: Device, slot: int, now: float, until: float) -> None:
    """Ends a batch: its clients have their answers, the last batch in flight takes its place."""
    copies, requests, queues, flight = device
    copy = flight.copy[slot]
    again = now + copies.pause[copy]
    for place in range(flight.begin[slot], flight.end[slot]):
        if requests.latency[place] != REFUSED:
            requests.latency[place] = now - requests.arrival[place]
            if again < until:
                requests.arrival[queues.known[copy]] = again
                queues.known[copy] += 1
    flight.work[0] = flight.finish[slot]
    flight.size[0] -= 1
    last = flight.size[0]
    flight.copy[slot], flight.finish[slot] = flight.copy[last], flight.finish[last]
    flight.begin[slot], flight.end[slot] = flight.begin[last], flight.end[last]
    queues.free[copy] += 1
    if queues.free[copy] == copies.instances[copy]:
        flight.active[0] -= 1
    _look_ahead(requests, queues, copy)
    _settle(device, copy, now)


@compiled
def _arrive(device: Device, copy: int, now: float) -> None:
    copies, requests, queues, _ = device
    _refuse_late(device, copy, now)
    place = queues.seen[copy]
    queues.seen[copy] += 1
    _look_ahead(requests, queues, copy)
    if copies.queue[copy] and queues.waiting[copy] >= copies.queue[copy]:
        requests.latency[place] = REFUSED
    else:
        queues.waiting[copy] += 1
    _settle(device, copy, now)


@compiled
def _start(device: Device, copy: int, now: float) -> None:
    """Starts a batch, unless so much has timed out that there is none any more."""
    copies, requests, queues, flight = device
    _settle(device, copy, now)
    if queues.ready[copy] > now:
        return
    size = min(queues.waiting[copy], copies.max_batch[copy])
    begin = end = queues.head[copy]
    taken = 0
    while taken < size:
        taken += requests.latency[end] != REFUSED
        end += 1
    slot = flight.size[0]
    if slot == 0:
        flight.work[0] = 0.0
    flight.copy[slot], flight.begin[slot], flight.end[slot] = copy, begin, end
    flight.finish[slot] = flight.work[0] + copies.curves[copy, size - 1]
    flight.size[0] += 1
    flight.active[0] += queues.free[copy] == copies.instances[copy]
    queues.head[copy] = end
    queues.waiting[copy] -= size
    queues.free[copy] -= 1
    queues.executions[copy] += 1 / copies.instances[copy]
    _settle(device, copy, now)


@compiled
def _look_ahead(requests: Requests, queues: Queues, copy: int) -> None:
    seen = queues.seen[copy]
    queues.due[copy] = requests.arrival[seen] if seen < queues.known[copy] else np.inf


@compiled
def _refuse_late(device: Device, copy: int, now: float) -> None:
    """Drops from the queue's head what has timed out or was refused on arrival."""
    copies, requests, queues, _ = device
    timeout, head = copies.timeout[copy], queues.head[copy]
    while head < queues.seen[copy]:
        refused = requests.latency[head] == REFUSED
        if not refused and now <= requests.arrival[head] + timeout:
            break
        if not refused:
            requests.latency[head] = REFUSED
            queues.waiting[copy] -= 1
        head += 1
    queues.head[copy] = head


@compiled
def _settle(device: Device, copy: int, now: float) -> None:
    """When this copy may start a batch, from what waits now."""
    copies, requests, queues, _ = device
    _refuse_late(device, copy, now)
    waiting = queues.waiting[copy]
    if waiting == 0 or queues.free[copy] == 0:
        queues.ready[copy] = np.inf
    elif waiting >= copies.max_batch[copy]:
        queues.ready[copy] = now
    else:
        queues.ready[copy] = requests.arrival[queues.head[copy]] + copies.delay[copy]
