"""What executions of a model take: its measured curve, and what its traffic says of it since."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tightship.plan.pack import Execution, profile
from tightship.plan.pack.feasibility import RHO_MAX, stretch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tightship.api.traffic import Traffic
    from tightship.plan.pack import Profile
    from tightship.plan.placement import Item, Work


@lru_cache(maxsize=16384)
def curve(
    busy: tuple[tuple[int, float], ...], *, memory: int, max_batch: int, load_seconds: float
) -> Profile:
    """The profile of (batch, seconds of one execution), as a status tells them."""
    return profile(
        [batch for batch, _ in busy],
        [1] * len(busy),
        [seconds for _, seconds in busy],
        memory=memory,
        max_batch=max(1, max_batch),
        load_seconds=load_seconds,
    )


def known(work: Work, memory: int) -> Profile:
    """The profile of a model in a pool; without points where nothing was measured."""
    return curve(work.busy, memory=memory, max_batch=work.max_batch, load_seconds=work.load_seconds)


def observed(traffic: Traffic) -> bool:
    """Whether any execution was seen."""
    return traffic.busy > 0 and traffic.batch > 0


def expected(found: Profile, traffic: Traffic) -> float:
    """Seconds of the executions that were seen by the profile; as they were where it has none."""
    return found.latency(traffic.batch) if found.measured else traffic.busy


def corrections(items: Iterable[Item]) -> dict[str, float]:
    """Observed over expected seconds of an execution, by model.

    What neighbours add is expected: executions on a server that is shared grow by its duty, and a
    model must not be taken for slower than it is because of them. While a copy has not been
    counted where it is, the figures tell of former neighbours: they do not make a model slower.
    """
    duties: dict[str, float] = {}
    counted: list[tuple[Item, float, dict[str, float]]] = []
    for item in items:
        traffic, servers = item.work.traffic, [c.server for c in item.placed if c.answering]
        if traffic is None or not (observed(traffic) and servers):
            continue
        found = known(item.work, item.memory)
        lone = expected(found, traffic)
        rate = traffic.rate * traffic.rows / traffic.batch / len(servers)
        own = dict.fromkeys(servers, rate * lone)
        for server, duty in own.items():
            duties[server] = duties.get(server, 0.0) + duty
        if found.measured:
            counted.append((item, traffic.busy / lone, own))
    return {
        item.model: min(ratio / _shared(own, duties), _most(item)) for item, ratio, own in counted
    }


def _most(item: Item) -> float:
    former = any(copy.answering and not copy.counted for copy in item.placed)
    return 1.0 if former else math.inf


def _shared(own: Mapping[str, float], duties: Mapping[str, float]) -> float:
    """By what executions of a model grow on its servers, for its neighbours there."""
    beside = [min(RHO_MAX, duties[server] - duty) for server, duty in own.items()]
    return float(np.mean(stretch(np.array(beside), Execution.SHARED)))
