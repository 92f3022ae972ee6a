"""When requests arrive: renewal streams of models, and which copy each request goes to."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from tightship.simulate.tenants import groups

if TYPE_CHECKING:
    from tightship.simulate.tenants import Floats, Ints, Tenants


class Routing(StrEnum):
    """How requests of a model are spread over its copies. Neither looks at queues."""

    RANDOM = "Random"  # by rate, as kube-proxy does with equal ones
    ROUND_ROBIN = "RoundRobin"


def streams(tenants: Tenants, until: float, seed: int, routing: Routing) -> list[Floats]:
    """For each copy when its requests arrive: s, ascending, in [0, until).

    A stream depends on the seed, its model's number, rate and cv alone, so that plans are compared
    on the same requests wherever their copies are. Of a closed loop only the first requests are
    known: the others are infinite, as many as the device could ever answer until then.

    Raises:
        ValueError: round robin over copies of unequal rates.
    """
    found: list[Floats] = [np.empty(0)] * len(tenants)
    for model, copies in groups(tenants.model):
        if tenants.clients[copies[0]]:
            found[copies[0]] = _closed(tenants, copies[0], until)
            continue
        rng = np.random.default_rng((seed, model))
        rates = tenants.rate[copies]
        times = renewal(rng, float(rates.sum()), float(tenants.cv[copies[0]]), until)
        if len(copies) == 1:
            found[copies[0]] = times
            continue
        to = _routed(rng, rates, len(times), routing)
        for place, copy in enumerate(copies):
            found[copy] = times[to == place]
    return found


def renewal(rng: np.random.Generator, rate: float, cv: float, until: float) -> Floats:
    """Arrivals in [0, until) with gamma distributed gaps of mean 1 / rate and variation cv."""
    if rate == 0:
        return np.empty(0)
    shape, expected = cv**-2, rate * until
    draws = int(expected + 6 * cv * np.sqrt(expected)) + 32
    parts, last = [], 0.0
    while last < until:
        parts.append(last + np.cumsum(rng.gamma(shape, 1 / (shape * rate), draws)))
        last = float(parts[-1][-1])
    times = np.concatenate(parts)
    return times[: np.searchsorted(times, until)]


def _routed(rng: np.random.Generator, rates: Floats, count: int, routing: Routing) -> Ints:
    if routing is Routing.ROUND_ROBIN:
        if np.ptp(rates) > 0:
            raise ValueError("round robin needs copies of equal rate; or take Routing.RANDOM")
        return np.arange(count) % len(rates)
    shares = np.cumsum(rates[:-1]) / max(rates.sum(), np.finfo(np.float64).tiny)
    return np.searchsorted(shares, rng.random(count), side="right")


def _closed(tenants: Tenants, copy: int, until: float) -> Floats:
    sizes = np.arange(1, tenants.max_batch[copy] + 1)
    fastest = float((sizes / tenants.curves[copy, : len(sizes)]).max())
    clients = int(tenants.clients[copy])
    times = np.full(2 * clients + int(fastest * until) + 1, np.inf)
    times[:clients] = 0.0
    return times
