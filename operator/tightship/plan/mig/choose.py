"""The choice of slices for models with rates and objectives: what to cut, and who goes where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tightship.plan.mig.exact import exact
from tightship.plan.mig.problem import build
from tightship.plan.mig.relaxation import relax
from tightship.plan.mig.search import search
from tightship.plan.mig.segments import alone_everywhere, shared_everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from tightship.plan.mig.geometry import Geometry
    from tightship.plan.mig.problem import Problem
    from tightship.plan.mig.profile import Workload
    from tightship.plan.mig.segments import Segment

    Counts = NDArray[np.int64]

TOGETHER_ALONE = 48
TOGETHER_SHARED = 16
"""Models that are planned together, one or two a slice; more are planned in groups of similar
objectives."""

TURNS = (1, 4)
"""Turns in a row that a model may have in a slice with another: few choices first, then more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A slice of a device, at its first memory slot, and what is in it; None: spare."""

    kind: str
    start: int
    segment: Segment | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePlan:
    """Slices by device, and why models could not be planned.

    No plan under the same rules has fewer than `bound` devices: with as many, this one is the best.
    A tenant's rate is what it can be given; the rates of a model's tenants are its weights.
    """

    devices: tuple[tuple[Slice, ...], ...]
    bound: int
    refused: Mapping[str, str]

    @property
    def segments(self) -> Iterator[Segment]:
        """What is in all slices."""
        for device in self.devices:
            for cut in device:
                if cut.segment is not None:
                    yield cut.segment


def choose(workloads: Sequence[Workload], geometry: Geometry, *, sharing: bool = True) -> SlicePlan:
    """The fewest devices found that give each model its rate within its objective.

    With `sharing` two models may take turns in a slice. The order of workloads does not matter.
    Raises ValueError for two workloads of one model, and for a rate or an objective of nothing.
    """
    _check(workloads)
    refused = {one.model: why for one in workloads if (why := _refusal(one, geometry))}
    ordered = sorted(workloads, key=lambda one: (one.slo, one.model))
    able = [one for one in ordered if one.model not in refused]
    if not able:
        return SlicePlan(devices=(), bound=0, refused=refused)
    bound = _relaxed(able, geometry)
    plan = _planned(able, geometry, bound, refused)
    if sharing and len(plan.devices) > bound:
        other = _shared(able, geometry, bound, refused)
        return other if len(other.devices) < len(plan.devices) else replace(plan, bound=bound)
    return replace(plan, bound=bound) if sharing else plan


def _check(workloads: Sequence[Workload]) -> None:
    seen: set[str] = set()
    for one in workloads:
        if one.model in seen:
            raise ValueError(f"{one.model} is there twice: add up its rates")
        if not (one.rate > 0 and one.slo > 0):
            raise ValueError(f"{one.model} needs a rate and an objective above 0")
        seen.add(one.model)


def _refusal(workload: Workload, geometry: Geometry) -> str | None:
    if any(workload.usable(kind.name) for kind in geometry.kinds):
        return None
    measured = [
        point.latency for kind in geometry.kinds for point in workload.points.get(kind.name, ())
    ]
    if not measured:
        return f"nothing is measured in a slice of {geometry.name}: profile the model in one"
    return (
        f"a batch takes {1000 * min(measured):.3g} ms at the least and may take"
        f" {1000 * workload.budget:.3g} ms: allow more latency"
    )


def _relaxed(workloads: Sequence[Workload], geometry: Geometry) -> int:
    """Devices that no plan can do without: parts of slices allowed.

    Models that share do not change it: with turns in a cycle, two have as much together as if each
    had its part of the cycle for itself.
    """
    problem = build(workloads, alone_everywhere(workloads, geometry), geometry)
    relaxed = relax(problem.cost, problem.matrix, problem.needed)
    if relaxed is None:
        raise ValueError("a model has no segment")
    return problem.least_devices(relaxed.value)


def _planned(
    workloads: Sequence[Workload], geometry: Geometry, bound: int, refused: Mapping[str, str]
) -> SlicePlan:
    """The plan with one model a slice."""
    devices: list[tuple[Slice, ...]] = []
    for group in _groups(workloads, TOGETHER_ALONE):
        problem, taken, least = _alone(group, geometry)
        devices += _devices(problem, _trimmed(problem, taken), geometry)
    known = least if len(workloads) <= TOGETHER_ALONE else bound
    return SlicePlan(devices=tuple(devices), bound=known, refused=refused)


def _shared(
    workloads: Sequence[Workload], geometry: Geometry, bound: int, refused: Mapping[str, str]
) -> SlicePlan:
    """The plan with two models in a slice where that saves devices."""
    devices: list[tuple[Slice, ...]] = []
    for group in _groups(workloads, TOGETHER_SHARED):
        problem, taken, _ = _alone(group, geometry)
        alone, least = problem.segments, _relaxed(group, geometry)
        for most_turns in TURNS:
            if _cut(problem, taken) == least:
                break
            segments = shared_everywhere(group, geometry, most_turns=most_turns)
            wide = build(group, (*alone, *segments), geometry)
            fewer = _fewer(wide, least, _cut(problem, taken))
            problem, taken = (problem, taken) if fewer is None else (wide, fewer)
        devices += _devices(problem, _trimmed(problem, taken), geometry)
    return SlicePlan(devices=tuple(devices), bound=bound, refused=refused)


def _groups(workloads: Sequence[Workload], size: int) -> Iterator[Sequence[Workload]]:
    for begin in range(0, len(workloads), size):
        yield workloads[begin : begin + size]


def _alone(workloads: Sequence[Workload], geometry: Geometry) -> tuple[Problem, Counts, int]:
    """A problem, how many of each of its columns are taken, and the least devices there can be."""
    problem = build(workloads, alone_everywhere(workloads, geometry), geometry)
    taken = search(problem)
    if taken is None:
        raise ValueError("a model has no segment")
    proof = exact(problem, _cut(problem, taken) + 1)
    taken = taken if proof.taken is None else proof.taken
    fewer = _fewer(problem, proof.bound, _cut(problem, taken))
    return problem, taken if fewer is None else fewer, proof.bound


def _fewer(problem: Problem, bound: int, most: int) -> Counts | None:
    """A solution of fewer than `most` devices, a device less each time; None: none is found."""
    best = None
    for devices in range(most - 1, bound - 1, -1):
        found = search(problem, devices)
        if found is None:
            break
        best = found
    return best


def _cut(problem: Problem, taken: Counts) -> int:
    """Devices of a solution."""
    return int(taken[len(problem.segments) :].sum())


def _trimmed(problem: Problem, taken: Counts) -> Counts:
    """The solution without segments that nothing needs, those of the least use left out first."""
    kept = taken.copy()
    models = len(problem.models)
    use = problem.matrix[:models, : len(problem.segments)].sum(axis=0)
    for column in np.argsort(use, kind="stable").tolist():
        while kept[column]:
            kept[column] -= 1
            if (problem.matrix[:models] @ kept < 1 - 1e-9).any():
                kept[column] += 1
                break
    return kept


def _devices(problem: Problem, taken: Counts, geometry: Geometry) -> Iterator[tuple[Slice, ...]]:
    """The devices with their slices in legal places; copies of a model on different ones."""
    layouts = []
    for configuration, number in zip(
        problem.configurations, taken[len(problem.segments) :].tolist(), strict=True
    ):
        layouts += [geometry.layout(problem.kinds, configuration)] * number
    placed = dict(_placed(problem, taken, layouts))
    for device, layout in enumerate(layouts):
        yield tuple(
            Slice(kind=kind, start=start, segment=placed.get((device, start)))
            for kind, start in layout
        )


def _placed(
    problem: Problem, taken: Counts, layouts: Sequence[tuple[tuple[str, int], ...]]
) -> Iterator[tuple[tuple[int, int], Segment]]:
    """Segments by device and start: dealt out over the devices, so that one model's are apart."""
    for kind in problem.kinds:
        places = sorted(
            (sum(other == kind for other, _ in layout[:place]), device, start)
            for device, layout in enumerate(layouts)
            for place, (name, start) in enumerate(layout)
            if name == kind
        )
        wanted = [
            segment
            for segment, number in zip(problem.segments, taken.tolist(), strict=False)
            for _ in range(number)
            if segment.kind == kind
        ]
        for (_, device, start), segment in zip(places, wanted, strict=False):
            yield (device, start), segment
