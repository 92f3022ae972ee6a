"""What clients ask of each model: Triton's counters, read at an interval and told in coarse steps.

Figures that differ by no more than chance are told as before, so that the agent's state rests while
the traffic does.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from tightship.api.traffic import Traffic
from tightship.triton.errors import TritonError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tightship.agent.journal import Served
    from tightship.agent.slot import Slot
    from tightship.triton.client import TritonClient

INTERVAL = 5.0  # seconds
SHORT = 12  # intervals that rates are of: a minute
LONG = 60  # intervals that burstiness, and the rates of what is asked seldom, are of: five minutes
_CALM = 0.2  # relative change of a figure that is not worth telling
_CALM_CV = 0.3
_SURE = 4.0  # standard deviations of a count that chance may come to
_REQUESTS_MIN = 60  # in the window that a rate, or a cv, is of
_COMPUTE = ("compute_input", "compute_infer", "compute_output")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Triton's cumulative counters of one model at an instant of the monotonic clock.

    `rows` are samples that were computed, `busy` seconds: an execution counts once, however many
    requests share it.
    """

    at: float
    requests: int
    rows: int
    executions: int
    busy: float

    @classmethod
    def read(cls, statistics: Mapping[str, Any], at: float) -> Self:
        """Reads a model's part of Triton's statistics.

        Raises:
            KeyError: it lacks a counter.
        """
        sizes = statistics.get("batch_stats", ())
        busy = sum(int(size[stage]["ns"]) for size in sizes for stage in _COMPUTE)
        return cls(
            at=at,
            requests=int(statistics["inference_stats"]["success"]["count"]),
            rows=int(statistics["inference_count"]),
            executions=int(statistics["execution_count"]),
            busy=busy * 1e-9,
        )

    def precedes(self, later: Count) -> bool:
        """Whether `later` may be the same counters further on; they begin anew with each load."""
        return all(getattr(self, f.name) <= getattr(later, f.name) for f in fields(self))


class Window:
    """The last five minutes of one model's counters."""

    def __init__(self) -> None:
        self._counts: deque[Count] = deque(maxlen=LONG + 1)

    def add(self, count: Count) -> None:
        """Takes the next reading; what came before counters that began anew is forgotten."""
        if self._counts and not self._counts[-1].precedes(count):
            self._counts.clear()
        self._counts.append(count)

    def traffic(self) -> Traffic | None:
        """What the readings show; None before there is a minute of them.

        A rate is of the last minute, or of all readings where that minute had few requests.
        """
        if len(self._counts) <= SHORT:
            return None
        first, last = self._counts[-SHORT - 1], self._counts[-1]
        if last.requests - first.requests < _REQUESTS_MIN:
            first = self._counts[0]
        requests, executions = last.requests - first.requests, last.executions - first.executions
        rows = last.rows - first.rows
        return Traffic(
            rate=requests / (last.at - first.at),
            rows=rows / requests if requests else 0.0,
            batch=rows / executions if executions else 0.0,
            busy=(last.busy - first.busy) / executions if executions else 0.0,
            cv=self._cv(),
        )

    def _cv(self) -> float | None:
        """By the index of dispersion of counts, which tends to the squared cv of the times between.

        Cox & Lewis, The Statistical Analysis of Series of Events, chapter 4. Intervals that a busy
        machine made longer count by their length.
        """
        spans = [(b.requests - a.requests, b.at - a.at) for a, b in pairwise(self._counts)]
        requests, seconds = sum(n for n, _ in spans), sum(t for _, t in spans)
        if len(spans) < SHORT or requests < _REQUESTS_MIN:
            return None
        rate = requests / seconds
        squares = sum((n - rate * t) ** 2 / t for n, t in spans)
        return math.sqrt(squares / (len(spans) - 1) / rate)


def told(before: Traffic | None, now: Traffic | None) -> Traffic | None:
    """What to tell now, where `before` was told last: that again unless something has changed."""
    if before is None or now is None or (before.rate == 0) != (now.rate == 0):
        return now
    seconds = INTERVAL * (SHORT if before.rate * SHORT * INTERVAL >= _REQUESTS_MIN else LONG)
    chance = _SURE * math.sqrt(before.rate / seconds) * max(1.0, before.cv or 1.0)
    same = abs(now.rate - before.rate) <= max(_CALM * before.rate, chance)
    for name in ("rows", "batch", "busy"):
        old, new = getattr(before, name), getattr(now, name)
        same &= abs(new - old) <= _CALM * old
    if now.cv is not None:
        same &= before.cv is not None and abs(now.cv - before.cv) <= _CALM_CV * max(1, before.cv)
    return before if same else now


class TrafficWatch:
    """Reads the counters of all served models of this server."""

    def __init__(self, triton: TritonClient) -> None:
        self._triton = triton
        self._windows: dict[str, tuple[Served, Window]] = {}

    async def run(self, slots: Callable[[], Iterable[Slot]]) -> None:
        """Reads again and again until cancelled; tells each slot what is asked of it."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.look(tuple(slots()))
            except (TritonError, KeyError) as error:
                log.info("the models' statistics cannot be read: %s", error)

    async def look(self, slots: Iterable[Slot]) -> None:
        """One reading.

        Raises:
            TritonError: Triton does not answer.
            KeyError: an answer lacks a counter.
        """
        served = {slot: slot.served for slot in slots}
        found = await self._triton.all_statistics() if any(served.values()) else {}
        now, before, self._windows = time.monotonic(), self._windows, {}
        for slot, model in served.items():
            if model is None or slot.name not in found:
                slot.observed(None)
                continue
            known = before.get(slot.name)
            window = known[1] if known and known[0] is model else Window()
            window.add(Count.read(found[slot.name], now))
            self._windows[slot.name] = (model, window)
            slot.observed(told(slot.traffic, window.traffic()))
