"""A search for whole segments and devices that cover every demand with a given number of devices.

Depth first along the relaxation, with a limited number of departures from its advice (limited
discrepancy search, Harvey and Ginsberg 1995). It may miss a solution that there is, and never gives
one that is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import product
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from tightship.plan.mig.relaxation import relax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tightship.plan.mig.problem import Problem

    Array = NDArray[np.float64]
    Counts = NDArray[np.int64]

RELAXATIONS = 1000
"""What one search may solve: some seconds of a core."""

_DEPARTURES = 7
_COVERED = 1e-9
_WANTED = 1e-7
_MARGIN = 0.01  # of a device: relaxations are compared across their tolerance and the ties' costs


class Prefer(Enum):
    """What is decided first: how devices are cut, or what is in the slices."""

    DEVICES = auto()
    SEGMENTS = auto()


def search(problem: Problem, devices: float = inf) -> Counts | None:
    """How many of each column: all is covered with so many devices; None where none is found.

    Without a number of devices there is always an answer: the advice is followed to the end.
    """
    advice = _Advice(problem, devices)
    for departures, prefer in product(range(_DEPARTURES), Prefer):
        found = _dive(advice, prefer, departures)
        if found is not None or advice.spent():
            return found
    return None


@dataclass(frozen=True, slots=True)
class _Node:
    """Columns taken, departures that are left below it, columns of which no more are taken."""

    taken: Array
    departures: int
    banned: frozenset[int]


@dataclass(slots=True)
class _Advice:
    """What the relaxation says at a node, remembered, since dives meet the same nodes again."""

    problem: Problem
    devices: float
    known: dict[tuple[bytes, frozenset[int]], Array | None] = field(default_factory=dict)

    def spent(self) -> bool:
        """Whether as many relaxations are solved as may be."""
        return self.devices < inf and len(self.known) >= RELAXATIONS

    def at(self, node: _Node, left: Array) -> Array | None:
        """How much more of each column to take; None where that needs more devices."""
        key = node.taken.tobytes(), node.banned
        if key not in self.known:
            self.known[key] = self._ask(node, left)
        return self.known[key]

    def _ask(self, node: _Node, left: Array) -> Array | None:
        problem, models = self.problem, len(self.problem.models)
        # Of two models in a slice both have to be in need: else one of them has it better alone.
        idle = (problem.matrix[:models][left[:models] <= _COVERED] > 0).any(axis=0)
        columns = np.setdiff1d(np.flatnonzero(~idle), list(node.banned))
        part = problem.matrix[:, columns]
        # No segment counts for more than what is left to be covered: without that, the relaxation
        # would take a part of a large segment for a small demand, and never two models in one.
        np.minimum(part[:models], np.maximum(left[:models, None], 0), out=part[:models])
        relaxed = relax(problem.cost[columns], part, left)
        if relaxed is None or problem.cost @ node.taken + relaxed.value > self.devices + _MARGIN:
            return None
        amounts = np.zeros(len(problem.cost))
        amounts[columns] = relaxed.amounts
        return amounts


def _dive(advice: _Advice, prefer: Prefer, departures: int) -> Counts | None:
    problem = advice.problem
    open_nodes = [_Node(np.zeros(len(problem.cost)), departures, frozenset())]
    while open_nodes and not advice.spent():
        node = open_nodes.pop()
        left = problem.needed - problem.matrix @ node.taken
        if (left <= _COVERED).all():
            return node.taken.astype(np.int64)
        amounts = advice.at(node, left)
        if amounts is not None:
            open_nodes += reversed(_children(problem, node, amounts, prefer))
    return None


def _children(problem: Problem, node: _Node, amounts: Array, prefer: Prefer) -> list[_Node]:
    """What follows the advice, best first: one more of a column, or all that is beyond doubt."""
    sure = np.maximum(np.floor(amounts + _WANTED) - 1, 0)
    if sure.any():
        return [replace(node, taken=node.taken + sure)]
    children, banned = [], node.banned
    for departure, column in enumerate(_order(problem, amounts, prefer)[: node.departures + 1]):
        more = node.taken.copy()
        more[column] += 1
        children.append(_Node(more, node.departures - departure, banned))
        banned |= {column}
    return children


def _order(problem: Problem, amounts: Array, prefer: Prefer) -> list[int]:
    """Columns that the relaxation wants: the preferred ones first, then by amount."""
    wanted = np.flatnonzero(amounts > _WANTED)
    segments = wanted < len(problem.segments)
    later = segments if prefer is Prefer.DEVICES else ~segments
    order: list[int] = wanted[np.lexsort((-amounts[wanted], later))].tolist()
    return order
