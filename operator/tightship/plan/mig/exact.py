"""The fewest devices that serve each model in slices of its own, proven.

A model's rate is covered by so many slices of each kind (a cover). Covers that can lose a slice are
never needed, which leaves some tens for each model. All sums of one cover of each model are formed,
model by model; sums whose price shows that they need too many devices are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from tightship.plan.mig.problem import TIE
from tightship.plan.mig.relaxation import relax

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tightship.plan.mig.problem import Problem

    Array = NDArray[np.float64]
    Counts = NDArray[np.int64]

_MOST_SUMS = 300_000
_SLACK = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """No solution has fewer devices than `bound`; `taken` is one of so many, by column.

    `taken` is None where the bound is as much as was asked for, or where more would have to be
    looked at than fits memory.
    """

    bound: int
    taken: Counts | None = None


def exact(problem: Problem, most: int) -> Exact:
    """The least solution with segments of one model each, if it has fewer than `most` devices."""
    rates = [_rates(problem, row) for row in range(len(problem.models))]
    covers = [_covers(rate) for rate in rates]
    value, prices = _prices(problem, covers)
    for devices in range(problem.least_devices(value), most):
        sums = _sums(covers, prices, devices)
        if sums is None:
            return Exact(bound=devices)
        for last, counts in sums.fewest():
            cut = fit(counts, problem.configurations, devices)
            if cut is not None:
                chosen = [one[place] for one, place in zip(covers, sums.path(last), strict=True)]
                return Exact(bound=devices, taken=_taken(problem, chosen, cut))
    return Exact(bound=most)


def _rates(problem: Problem, row: int) -> Array:
    """What one slice of each kind covers of the model when it is there alone; 0: not at all."""
    rates = np.zeros(len(problem.kinds))
    for column, segment in enumerate(problem.segments):
        if len(segment.tenants) == 1 and problem.matrix[row, column] > 0:
            rates[problem.kinds.index(segment.kind)] = problem.matrix[row, column]
    return rates


def _covers(rates: Array) -> Counts:
    """Numbers of slices by kind that cover a demand of 1 and cannot lose one, a row each."""
    usable = np.flatnonzero(rates > 0).tolist()
    counts = np.zeros(len(rates), dtype=np.int64)
    found = [one for one in _fill(rates, usable, counts, 1.0) if _tight(rates, one)]
    return np.unique(np.array(found), axis=0)


def _fill(rates: Array, usable: Sequence[int], counts: Counts, left: float) -> Iterator[Counts]:
    if left <= _SLACK:
        yield counts
        return
    if not usable:
        return
    kind = usable[-1]
    most = ceil(left / rates[kind] - _SLACK)
    for number in range(most if len(usable) == 1 else 0, most + 1):
        more = counts.copy()
        more[kind] = number
        yield from _fill(rates, usable[:-1], more, left - number * rates[kind])


def _tight(rates: Array, counts: Counts) -> bool:
    smallest = rates[counts > 0].min()
    return bool(rates @ counts - smallest < 1 - _SLACK)


def _prices(problem: Problem, covers: Sequence[Counts]) -> tuple[float, Array]:
    """The cost of the relaxation over covers, and the price of a slice of each kind in devices.

    It is tighter than the one over segments: a part of a slice cannot be bought.
    """
    models, kinds = len(covers), len(problem.kinds)
    owners = np.repeat(np.arange(models), [len(one) for one in covers])
    stacked = np.vstack(covers)
    matrix = np.zeros((models + kinds, len(stacked) + len(problem.configurations)))
    matrix[owners, np.arange(len(stacked))] = 1
    matrix[models:, : len(stacked)] = -stacked.T
    matrix[models:, len(stacked) :] = np.array(problem.configurations).T
    cost = np.concatenate([TIE * stacked.sum(axis=1), np.ones(len(problem.configurations))])
    relaxed = relax(cost, matrix, np.concatenate([np.ones(models), np.zeros(kinds)]))
    if relaxed is None:
        raise ValueError("a model has no cover: no slice serves it within its objective")
    return relaxed.value, relaxed.prices[models:]


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of covers after each model (n by kinds), with where each came from and which cover."""

    counts: list[Counts]
    parents: list[Counts]
    covers: list[Counts]

    def fewest(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The last sums: place and numbers of slices, the fewest slices and the smallest first."""
        last = self.counts[-1]
        sizes = last @ np.arange(last.shape[1])
        for place in np.lexsort((sizes, last.sum(axis=1))).tolist():
            yield place, tuple(last[place].tolist())

    def path(self, last: int) -> list[int]:
        """The cover of each model that led to a last sum."""
        places = []
        for parents, covers in zip(reversed(self.parents), reversed(self.covers), strict=True):
            places.append(int(covers[last]))
            last = int(parents[last])
        return places[::-1]


def _sums(covers: Sequence[Counts], prices: Array, devices: int) -> _Sums | None:
    """All sums that may fit so many devices; None where they are too many to be formed.

    Any device's slices together cost at most one device by these prices, so what costs more than
    `devices` needs more. What models still to come cost at least counts, too.
    """
    least = [float((one @ prices).min()) for one in covers]
    coming = np.concatenate([np.cumsum(least[::-1])[::-1], [0.0]])
    sums = _Sums([np.zeros((1, len(prices)), dtype=np.int64)], [], [])
    for cover, (_, rest) in zip(covers, pairwise(coming), strict=True):
        before = sums.counts[-1]
        if len(before) * len(cover) > _MOST_SUMS:
            return None
        formed = (before[:, None, :] + cover[None, :, :]).reshape(-1, len(prices))
        able = np.flatnonzero(formed @ prices + rest <= devices + _SLACK)
        unique, first = np.unique(formed[able], axis=0, return_index=True)
        parents, chosen = np.divmod(able[first], len(cover))
        sums.counts.append(unique)
        sums.parents.append(parents)
        sums.covers.append(chosen)
    return sums


def fit(
    counts: tuple[int, ...], configurations: Sequence[tuple[int, ...]], devices: int
) -> list[int] | None:
    """The configurations, by place, of at most so many devices that hold these slices."""
    return _fit(counts, configurations, devices, set())


def _fit(
    counts: tuple[int, ...], configurations: Sequence[tuple[int, ...]], devices: int,
    hopeless: set[tuple[tuple[int, ...], int]],
) -> list[int] | None:  # fmt: skip
    if not any(counts):
        return []
    if devices == 0 or (counts, devices) in hopeless:
        return None
    # The last kind that is needed is the largest: it has the fewest configurations.
    kind = max(place for place, count in enumerate(counts) if count)
    for place, configuration in enumerate(configurations):
        if configuration[kind]:
            pairs = zip(counts, configuration, strict=True)
            left = tuple(max(0, count - given) for count, given in pairs)
            rest = _fit(left, configurations, devices - 1, hopeless)
            if rest is not None:
                return [place, *rest]
    hopeless.add((counts, devices))
    return None


def _taken(problem: Problem, chosen: Sequence[Counts], cut: Sequence[int]) -> Counts:
    """The problem's columns of a cover for each model and the configurations of the devices."""
    taken = np.zeros(len(problem.cost), dtype=np.int64)
    for column, segment in enumerate(problem.segments):
        if len(segment.tenants) == 1:
            row = problem.models.index(segment.tenants[0].model)
            taken[column] = chosen[row][problem.kinds.index(segment.kind)]
    for place in cut:
        taken[len(problem.segments) + place] += 1
    return taken
