"""Which share of the models a placement serves in time, by the event simulator.

A model is satisfied when at least 99 % of the requests that it is offered are answered within its
objective. Large fleets are judged by a random sample of their devices: a model counts by the part
of its copies that are in the sample.
"""

import numpy as np
from benchmarks.packing.placement import NOWHERE, Placement
from benchmarks.packing.profiles import Floats, Ints
from benchmarks.packing.workload import Workload

from tightship.simulate.attainment import Attainment, attained
from tightship.simulate.tenants import tenants

SECONDS = 240.0
"""Simulated time: the least asked model of 10,000 has some 570 requests in it."""

WARMUP = 5.0
ATTAINED = 0.99
REQUESTS = 40_000_000
"""Requests that are simulated at most: beyond it, by fewer devices."""


def satisfied(placement: Placement, workload: Workload, seed: int) -> float:
    """The share of models at 99 % or more; those that found no room are not."""
    count = len(workload)
    copies = np.bincount(placement.copies.model, minlength=count)
    sampled = _sample(placement, seed)
    part = placement.on(sampled)
    answer = _simulated(part, workload, seed)
    shown = np.bincount(part.copies.model, minlength=count)[answer.model] / copies[answer.model]
    nowhere = np.unique(placement.copies.model[placement.device == NOWHERE])
    lost = len(nowhere) * len(sampled) / max(1, len(_devices(placement)))
    good = float((shown * (answer.share >= ATTAINED)).sum())
    return good / (float(shown.sum()) + lost)


def _devices(placement: Placement) -> Ints:
    return np.unique(placement.device[placement.device != NOWHERE])


def _sample(placement: Placement, seed: int) -> Ints:
    """Devices in a random order, as many as REQUESTS allows, one at least."""
    shuffled = np.random.default_rng(seed).permutation(_devices(placement))
    placed = placement.device != NOWHERE
    asked = np.bincount(placement.device[placed], weights=placement.copies.rate[placed])[shuffled]
    within = int((np.cumsum(asked) * SECONDS <= REQUESTS).sum())
    return shuffled[: max(1, within)]


def _simulated(part: Placement, workload: Workload, seed: int) -> Attainment:
    placed, model = part.copies, part.copies.model
    seconds = workload.seconds[model] if part.seconds is None else part.seconds
    asked = tenants(
        model=model,
        device=part.device,
        rate=placed.rate,
        cv=_variation(part, workload),
        slo=workload.slo[model],
        curves=_finite(seconds),
        max_batch=placed.max_batch,
        delay=placed.delay,
    )
    return attained(asked, seconds=SECONDS, warmup=WARMUP, seed=seed)


def _variation(part: Placement, workload: Workload) -> Floats:
    """Of the arrivals at the copies in the part.

    A random share f of a renewal stream has f * cv**2 + 1 - f as the square of its coefficient.
    """
    model = part.copies.model
    here = np.bincount(model, weights=part.copies.rate, minlength=len(workload))
    share = np.minimum(1.0, here / workload.rate)
    variation: Floats = np.sqrt(share * workload.cv**2 + 1 - share)[model]
    return variation


def _finite(seconds: Floats) -> Floats:
    """The curves with the last measured latency where no batch is formed anyway."""
    measured = np.isfinite(seconds)
    last = np.max(seconds, axis=1, where=measured, initial=0.0)
    return np.where(measured, seconds, last[:, None])
