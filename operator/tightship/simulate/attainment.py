"""What share of its requests each model answers within its objective, by simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tightship.simulate.arrivals import Routing, streams
from tightship.simulate.device import Sharing, run
from tightship.simulate.tenants import groups, rows

if TYPE_CHECKING:
    from tightship.simulate.tenants import Floats, Ints, Tenants


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attainment:
    """Requests that arrived in the window, by model in ascending order; times are seconds.

    `mean`, `p50` and `p99` are of the answered ones, NaN without any.
    """

    model: Ints
    offered: Ints
    refused: Ints  # by a queue limit or a timeout
    good: Ints  # answered within the objective
    mean: Floats
    p50: Floats
    p99: Floats
    device: Ints
    busy: Floats  # share of the window with a batch in flight, by device

    @property
    def share(self) -> Floats:
        """Of all offered requests the good ones, by model; 1 where nothing was offered."""
        return np.where(self.offered > 0, self.good / np.maximum(self.offered, 1), 1.0)

    def satisfied(self, share: float = 0.99) -> float:
        """The share of models with at least such a share of good requests."""
        return float((self.share >= share).mean())


def attained(
    tenants: Tenants,
    *,
    seconds: float,
    warmup: float = 0.0,
    seed: int = 0,
    sharing: Sharing | None = None,
    routing: Routing = Routing.RANDOM,
) -> Attainment:
    """Offers every model its requests for `warmup` + `seconds` and judges those after `warmup`.

    Requests go on for the longest objective beyond the window, so that its last ones meet them.
    The same seed gives a model the same requests on any devices. Every request takes 16 bytes.

    Raises:
        ValueError: a time is out of its range, or round robin over copies of unequal rates.
    """
    if not (0 < seconds < np.inf and 0 <= warmup < np.inf):
        raise ValueError("seconds is above 0, warmup is 0 or more, and both are finite")
    window = (warmup, warmup + seconds)
    until = window[1] + float(np.max(tenants.slo, where=np.isfinite(tenants.slo), initial=0.0))
    arrivals = streams(tenants, until, seed, routing)
    latencies: list[Floats] = [np.empty(0)] * len(tenants)
    devices, busy = [], []
    for number, copies in groups(tenants.device):
        here = [arrivals[copy] for copy in copies]
        ran = run(rows(tenants, copies), here, sharing or Sharing(), window, until)
        for copy, arrival, latency in zip(copies, ran.arrivals, ran.latencies, strict=True):
            latencies[copy] = latency[(arrival >= window[0]) & (arrival < window[1])]
        devices.append(number)
        busy.append(ran.busy / seconds)
    return _judged(tenants, latencies, np.array(devices), np.array(busy))


def _judged(tenants: Tenants, latencies: list[Floats], devices: Ints, busy: Floats) -> Attainment:
    models, lines = [], []
    for model, copies in groups(tenants.model):
        models.append(model)
        latency = np.concatenate([latencies[copy] for copy in copies])
        lines.append(_line(latency, float(tenants.slo[copies[0]])))
    offered, refused, good, mean, p50, p99 = np.array(lines).T
    return Attainment(
        model=np.array(models),
        offered=offered.astype(np.int64),
        refused=refused.astype(np.int64),
        good=good.astype(np.int64),
        mean=mean,
        p50=p50,
        p99=p99,
        device=devices,
        busy=busy,
    )


def _line(latency: Floats, slo: float) -> tuple[float, ...]:
    answered = latency[latency < np.inf]
    counts = len(latency), len(latency) - len(answered), int((answered <= slo).sum())
    if not len(answered):
        return *counts, np.nan, np.nan, np.nan
    p50, p99 = np.quantile(answered, [0.5, 0.99])
    return *counts, float(answered.mean()), float(p50), float(p99)
