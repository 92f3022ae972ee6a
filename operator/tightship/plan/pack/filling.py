"""Filling devices one after another: each takes, again and again, what suits best what is left.

Models with a number of copies left, so that a device never gets two copies of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tightship.plan.pack.feasibility import LEVELS, RHO_MAX, room, tabled_room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tightship.plan.pack.choice import Choice

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

WINDOW: Final = 1024
"""Models that are looked at for one device, from the first in order that has copies left."""

_SLACKS: Final = (1e-6, 10.0)
"""Seconds between which slacks are compared, by their logarithms."""

_SWEEP = 8  # devices after which models without copies left are dropped


class Load(NamedTuple):
    """What one copy of each model takes of a device of one type; one row a model.

    `memory` is a share of the device's; u, v and slack are as in `Choice`. `weight` is the part of
    the score that does not change, `tightness` the mean logarithm of the slack over all levels, by
    which models are compared, `level` the index of the duty in LEVELS at which the model takes the
    least of a device.
    """

    u: Floats
    v: Floats
    slack: Floats
    memory: Floats
    weight: Floats
    tightness: Floats
    level: Integers

    def of(self, rows: Integers) -> Load:
        """The same of some models."""
        return Load(
            u=self.u[rows],
            v=self.v[rows],
            slack=self.slack[rows],
            memory=self.memory[rows],
            weight=self.weight[rows],
            tightness=self.tightness[rows],
            level=self.level[rows],
        )


def load(choice: Choice, capacity: int) -> Load:
    """Of all models, in their own order; `capacity` is a device's memory in bytes."""
    memory = choice.memory / capacity
    part = choice.u / RHO_MAX
    length = np.sqrt(np.square(part) + np.square(memory)) + 1e-12
    return Load(
        u=choice.u,
        v=choice.v,
        slack=choice.slack,
        memory=memory,
        weight=np.sqrt(np.maximum(part, memory)) / length,
        tightness=np.log(np.clip(choice.slack, *_SLACKS)).mean(axis=1),
        level=_levels(choice),
    )


def _levels(choice: Choice) -> Integers:
    levels = np.array(LEVELS)
    with np.errstate(divide="ignore", invalid="ignore"):
        taken = choice.u[:, None] / levels + choice.v[:, None] / (room(levels) * choice.slack)
    possible = (choice.slack > 0) & (choice.u[:, None] <= levels)
    best: Integers = np.where(possible, taken, np.inf).argmin(axis=1)
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How devices are filled.

    `tight_first` opens a device with the model of the least slack, else with the one that is
    largest in time or memory. `affinity` is how much a model loses for another slack than the
    device's. `descend` is how many levels below its own best duty the first model lets it begin.
    `largest` takes the largest that fits instead of the one that suits best what is left.
    """

    tight_first: bool
    affinity: float
    descend: int
    largest: bool = False

    def order(self, load: Load) -> Integers:
        """Models in the order in which they open devices."""
        if self.tight_first:
            return np.argsort(load.tightness, kind="stable")
        return np.argsort(-np.maximum(load.u / RHO_MAX, load.memory), kind="stable")


FIRST: Final = Rule(tight_first=False, affinity=0.3, descend=len(LEVELS))
PORTFOLIO: Final = (
    FIRST,
    Rule(tight_first=True, affinity=1.0, descend=len(LEVELS)),
    Rule(tight_first=False, affinity=0.03, descend=len(LEVELS)),
    Rule(tight_first=False, affinity=0.1, descend=0),
    Rule(tight_first=False, affinity=0.1, descend=2, largest=True),
)
"""Each is best for some fleets, the first for most; the second where latency binds more than time,
the last where a device holds two or three models."""


def fill(
    load: Load, copies: Integers, nodes: Integers, spread: Integers, rule: Rule
) -> Iterator[tuple[int, Integers]]:
    """Devices and the models that each takes, until all copies lie somewhere or devices end.

    Args:
        load: of all models.
        copies: of each model.
        nodes: of each device, devices of a node together.
        spread: copies of each model that one node may have.
        rule: by which to fill.
    """
    left, here = copies.copy(), np.zeros_like(copies)
    order = rule.order(load)
    order = order[left[order] > 0]
    for device, node in enumerate(nodes):
        if device and node != nodes[device - 1]:
            here[:] = 0
        if device % _SWEEP == 0:
            order = order[left[order] > 0]
        if not len(order):
            return
        rows = order[(left[order] > 0) & (here[order] < spread[order])][:WINDOW]
        if len(rows):
            taken = rows[_one(load.of(rows), rule)]
            left[taken] -= 1
            here[taken] += 1
            yield device, taken


def _one(load: Load, rule: Rule) -> list[int]:
    """Rows that one device takes; the first of all opens it.

    At each level of duty the device's slack is one number, so a candidate is tested in O(1). A
    model that fits no more now does not fit later at that level either: it is lost for the device.
    """
    u, v, memory = float(load.u[0]), float(load.v[0]), float(load.memory[0])
    slack, tightness = load.slack[0].copy(), float(load.tightness[0])
    taken = [0]
    for level in range(max(0, int(load.level[0]) - rule.descend), len(LEVELS)):
        least = np.minimum(load.slack[:, level], slack[level])
        open_ = np.ones(len(load.u), dtype=np.bool_)
        open_[taken] = False
        while True:
            rho = load.u + u
            open_ &= rho <= LEVELS[level]
            open_ &= load.memory <= 1.0 - memory
            open_ &= load.v + v <= tabled_room(rho) * least
            suits = _suits(load, 1.0 - u / RHO_MAX, 1.0 - memory, rule)
            score = suits - rule.affinity * np.abs(load.tightness - tightness)
            best = int(np.where(open_, score, -np.inf).argmax())
            if not open_[best]:
                break
            taken.append(best)
            open_[best] = False
            u, v = u + float(load.u[best]), v + float(load.v[best])
            memory += float(load.memory[best])
            slack = np.minimum(slack, load.slack[best])
            least = np.minimum(least, slack[level])
            tightness = min(tightness, float(load.tightness[best]))
    return taken


def _suits(load: Load, time: float, memory: float, rule: Rule) -> Floats:
    """The cosine between a model's parts and what is left, times the root of its largest part.

    After Panigrahy, Talwar, Uyeda and Wieder: Heuristics for Vector Bin Packing (2011).
    """
    if rule.largest:
        return np.maximum(load.u / RHO_MAX, load.memory)
    return (time / RHO_MAX * load.u + memory * load.memory) * load.weight
