"""Segments: a slice of some kind with one model, or with two that take turns in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tightship.plan.mig.geometry import Geometry
    from tightship.plan.mig.profile import Point, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A model in a segment: how it runs there, and the items a second that it can be given.

    `turns` is how many turns it has before the other model has its own.
    """

    model: str
    point: Point
    rate: float
    turns: int = 1

    @property
    def busy(self) -> float:
        """Seconds of a cycle that are this model's."""
        return self.turns * self.point.turn

    @property
    def items(self) -> int:
        """Items that it computes in a cycle."""
        return self.turns * self.point.items

    @property
    def memory(self) -> int:
        """Bytes that it holds, in its turn or not."""
        return self.point.memory or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A kind of slice and who is in it. Tenants are sorted by model."""

    kind: str
    tenants: tuple[Tenant, ...]


def alone(workload: Workload, kind: str) -> Segment | None:
    """The model with the slice to itself, at the highest rate its objective allows; None: not."""
    usable = workload.usable(kind)
    if not usable:
        return None
    point = max(usable, key=lambda one: (one.rate, -one.latency, -one.processes))
    tenant = Tenant(model=workload.model, point=point, rate=point.rate)
    return Segment(kind=kind, tenants=(tenant,))


def alone_everywhere(workloads: Sequence[Workload], geometry: Geometry) -> tuple[Segment, ...]:
    """Each model alone in each kind of slice that serves it."""
    found = (alone(one, kind.name) for one in workloads for kind in geometry.kinds)
    return tuple(segment for segment in found if segment is not None)


def shared_everywhere(
    workloads: Sequence[Workload], geometry: Geometry, *, most_turns: int
) -> tuple[Segment, ...]:
    """Each two models in each kind of slice that serves them in turns."""
    found: list[Segment] = []
    for kind in geometry.kinds:
        choices = [tenancies(workload, kind.name, most_turns) for workload in workloads]
        memory = geometry.memory(kind.name)
        for one, other in combinations(zip(workloads, choices, strict=True), 2):
            budget = min(one[0].budget, other[0].budget)
            found += shared(kind.name, (one[1], other[1]), budget, memory)
    return tuple(found)


def tenancies(workload: Workload, kind: str, most_turns: int) -> tuple[Tenant, ...]:
    """What the model may do in a part of a cycle, shortest first; rates are those of all of it.

    Left out is what takes longer and more memory for fewer items, and points of unknown memory: it
    cannot be said what fits beside them.
    """
    able = [
        Tenant(model=workload.model, point=point, rate=workload.rate, turns=turns)
        for point in workload.usable(kind)
        if point.memory is not None
        for turns in range(1, most_turns + 1)
    ]
    kept: list[Tenant] = []
    for tenant in sorted(able, key=lambda one: (one.busy, -one.items, one.memory)):
        if not any(one.items >= tenant.items and one.memory <= tenant.memory for one in kept):
            kept.append(tenant)
    return tuple(kept)


def shared(
    kind: str, choices: tuple[Sequence[Tenant], Sequence[Tenant]], budget: float, memory: int
) -> list[Segment]:
    """Two models in turns: for each rate of the one, the highest of the other.

    A cycle is some turns of the one, then some of the other. What arrives in a cycle is computed in
    the next, so that a request waits a cycle and is done a cycle later: a cycle has to stay within
    both budgets, and a model gets its turns' items once a cycle (Nexus, SOSP'19, calls it the duty
    cycle). Both have to fit the slice's memory together.
    """
    found = []
    for pair in product(*choices):
        cycle = pair[0].busy + pair[1].busy
        if cycle < budget and pair[0].memory + pair[1].memory <= memory:
            rated = (replace(one, rate=min(one.items / cycle, one.rate)) for one in pair)
            found.append(Segment(kind=kind, tenants=tuple(rated)))
    return _frontier(found)


def _frontier(segments: Iterable[Segment]) -> list[Segment]:
    """Segments of the same two models, without those that give neither of them more."""
    kept: list[Segment] = []
    best = 0.0
    ordered = sorted(segments, key=lambda one: [-tenant.rate for tenant in one.tenants])
    for segment in ordered:
        if segment.tenants[1].rate > best:
            best = segment.tenants[1].rate
            kept.append(segment)
    return kept
