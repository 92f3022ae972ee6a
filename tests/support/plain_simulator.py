"""The simulator's rules as plain Python, instant by instant: what the compiled one is held to."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tightship.simulate.device import Sharing
    from tightship.simulate.tenants import Floats, Tenants

_NONE_LEFT = 1e-12  # seconds of work, which rounding may leave


@dataclass
class Batch:
    copy: Copy
    requests: list[int]
    left: float


@dataclass
class Copy:
    """A copy of a model; requests are numbers in `arrivals`."""

    curve: list[float]
    max_batch: int
    delay: float
    instances: int
    queue: int
    timeout: float
    pause: float | None  # None in an open loop
    arrivals: list[float]
    latencies: dict[int, float] = field(default_factory=dict)
    seen: int = 0
    waiting: deque[int] = field(default_factory=deque)
    running: int = 0
    batches: int = 0

    def due(self) -> float:
        return self.arrivals[self.seen] if self.seen < len(self.arrivals) else math.inf

    def ready(self) -> float:
        """When it may start a batch; the past means at once."""
        if not self.waiting or self.running == self.instances:
            return math.inf
        if len(self.waiting) >= self.max_batch:
            return -math.inf
        return self.arrivals[self.waiting[0]] + self.delay

    def refuse_late(self, now: float) -> None:
        while self.waiting and now > self.arrivals[self.waiting[0]] + self.timeout:
            self.latencies[self.waiting.popleft()] = math.inf

    def arrive(self, now: float) -> None:
        while self.due() <= now:
            if self.queue and len(self.waiting) >= self.queue:
                self.latencies[self.seen] = math.inf
            else:
                self.waiting.append(self.seen)
            self.seen += 1

    def start(self) -> Batch:
        size = min(len(self.waiting), self.max_batch)
        self.running += 1
        self.batches += 1
        return Batch(self, [self.waiting.popleft() for _ in range(size)], self.curve[size - 1])

    def answer(self, batch: Batch, now: float, until: float) -> None:
        self.running -= 1
        for request in batch.requests:
            self.latencies[request] = now - self.arrivals[request]
            if self.pause is not None and now + self.pause < until:
                self.arrivals.append(now + self.pause)


def run(
    tenants: Tenants, arrivals: Sequence[Floats], sharing: Sharing, until: float
) -> list[list[float]]:
    """For each copy the latencies of its requests in the order of arrival; inf: refused."""
    copies = _copies(tenants, arrivals)
    flight: list[Batch] = []
    now = 0.0
    while True:
        slowdown = len(flight) * (1 + sharing.interference * (_models(flight) > 1))
        then = min([
            *(now + batch.left * slowdown for batch in flight),
            *(copy.due() for copy in copies),
            *(max(copy.ready(), now) for copy in copies if not (sharing.exclusive and flight)),
        ])  # fmt: skip
        if then == math.inf:
            return [[copy.latencies[number] for number in range(copy.seen)] for copy in copies]
        for batch in flight:
            batch.left -= (then - now) / slowdown
        now = then
        for batch in [batch for batch in flight if batch.left <= _NONE_LEFT]:
            flight.remove(batch)
            batch.copy.answer(batch, now, until)
        for copy in copies:
            copy.refuse_late(now)
            copy.arrive(now)
        flight += _started(copies, sharing, flight, now)


def _copies(tenants: Tenants, arrivals: Sequence[Floats]) -> list[Copy]:
    return [
        Copy(
            curve=tenants.curves[number].tolist(),
            max_batch=int(tenants.max_batch[number]),
            delay=float(tenants.delay[number]),
            instances=int(tenants.instances[number]),
            queue=int(tenants.queue[number]),
            timeout=float(tenants.timeout[number]),
            pause=float(tenants.pause[number]) if tenants.clients[number] else None,
            arrivals=[time for time in times.tolist() if time < math.inf],
        )
        for number, times in enumerate(arrivals)
    ]


def _models(flight: Sequence[Batch]) -> int:
    return len({id(batch.copy) for batch in flight})


def _started(
    copies: Sequence[Copy], sharing: Sharing, flight: Sequence[Batch], now: float
) -> list[Batch]:
    started: list[Batch] = []
    while not (sharing.exclusive and (flight or started)):
        ready = [copy for copy in copies if copy.ready() <= now]
        if not ready:
            break
        started.append(min(ready, key=lambda copy: copy.batches / copy.instances).start())
    return started
