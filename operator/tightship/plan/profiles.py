"""What executions of a model take: its measured curve, and what its traffic says of it since."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

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


class Counted(NamedTuple):
    """A model's executions as its servers counted them, and the servers that answer for it."""

    model: str
    profile: Profile
    traffic: Traffic
    servers: tuple[str, ...]


def corrections(items: Iterable[Item]) -> dict[str, float]:
    """Observed over expected seconds of an execution, by model.

    While a copy has not been counted where it is, the figures tell of former neighbours: they do
    not make a model slower.
    """
    counted: list[Counted] = []
    most: dict[str, float] = {}
    for item in items:
        traffic, servers = item.work.traffic, [c.server for c in item.placed if c.answering]
        if traffic is not None:
            found = known(item.work, item.memory)
            counted.append(Counted(item.model, found, traffic, tuple(servers)))
            most[item.model] = _most(item)
    return {model: min(ratio, most[model]) for model, ratio in slower(counted).items()}


def slower(counted: Iterable[Counted]) -> dict[str, float]:
    """Observed over expected seconds of an execution, by model that was measured and counted.

    What neighbours add is expected: executions on a server that is shared grow by its duty, and a
    model must not be taken for slower than it is because of them.
    """
    duties: dict[str, float] = {}
    told: list[tuple[Counted, dict[str, float]]] = []
    for one in counted:
        if not (observed(one.traffic) and one.servers):
            continue
        rate = one.traffic.rate * one.traffic.rows / one.traffic.batch / len(one.servers)
        own = dict.fromkeys(one.servers, rate * expected(one.profile, one.traffic))
        for server, duty in own.items():
            duties[server] = duties.get(server, 0.0) + duty
        if one.profile.measured:
            told.append((one, own))
    return {
        one.model: one.traffic.busy / expected(one.profile, one.traffic) / _shared(own, duties)
        for one, own in told
    }


def _most(item: Item) -> float:
    former = any(copy.answering and not copy.counted for copy in item.placed)
    return 1.0 if former else math.inf


def _shared(own: Mapping[str, float], duties: Mapping[str, float]) -> float:
    """By what executions of a model grow on its servers, for its neighbours there."""
    beside = [min(RHO_MAX, duties[server] - duty) for server, duty in own.items()]
    return float(np.mean(stretch(np.array(beside), Execution.SHARED)))
