"""The devices of one type while copies are placed, moved and taken away, one at a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from tightship.plan.pack.feasibility import BYTE, LEVELS, RHO_MAX, TOLERANCE, wait

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tightship.plan.pack.filling import Load

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

_LEVELS = np.array(LEVELS) * (1 + TOLERANCE)
_OVER = 1.03  # of the duty that may be promised, where what is placed is judged less strictly
_AFFINITY = 1.0  # what another slack than a device's counts against room that is left over


class Devices:
    """Sums of each device, and which copies are where.

    Args:
        load: what one copy of each model takes.
        nodes: of each device.
        spread: copies of each model that one node may have.
        closed: devices that nothing may come to.
    """

    def __init__(
        self, load: Load, nodes: Integers, spread: Integers, closed: Flags | None = None
    ) -> None:
        count = len(nodes)
        self.load, self.nodes, self.spread = load, nodes, spread
        self.open = np.ones(count, dtype=np.bool_) if closed is None else ~closed
        self.u, self.v, self.memory = np.zeros(count), np.zeros(count), np.zeros(count)
        self.slack = np.full((count, len(LEVELS)), np.inf)
        self.tightness = np.full(count, np.inf)
        self.leaving = np.zeros(count)
        self.busy = np.zeros(count, dtype=np.bool_)
        self.held: list[set[int]] = [set() for _ in range(count)]
        self.on: dict[int, list[int]] = {}

    def hold(self, models: Integers, devices: Integers) -> None:
        """Many copies at once, on devices that are empty."""
        load, count = self.load, len(self.nodes)
        self.u += np.bincount(devices, weights=load.u[models], minlength=count)
        self.v += np.bincount(devices, weights=load.v[models], minlength=count)
        self.memory += np.bincount(devices, weights=load.memory[models], minlength=count)
        np.minimum.at(self.slack, devices, load.slack[models])
        np.minimum.at(self.tightness, devices, load.tightness[models])
        self.busy[devices] = True
        for model, device in zip(models.tolist(), devices.tolist(), strict=True):
            self.held[device].add(model)
            self.on.setdefault(model, []).append(device)

    def put(self, model: int, device: int) -> None:
        """A copy comes to a device."""
        self.held[device].add(model)
        self.busy[device] = True
        self.on.setdefault(model, []).append(device)
        self.u[device] += self.load.u[model]
        self.v[device] += self.load.v[model]
        self.memory[device] += self.load.memory[model]
        self.slack[device] = np.minimum(self.slack[device], self.load.slack[model])
        self.tightness[device] = min(self.tightness[device], self.load.tightness[model])

    def leave(self, model: int, device: int) -> None:
        """A copy goes once it is loaded elsewhere: until then its memory is not to be had."""
        self.take(model, device)
        self.leaving[device] += self.load.memory[model]

    def holds(self, model: int, device: int) -> bool:
        """Whether memory beside those who stay is enough for a copy that was to leave."""
        return bool(self.memory[device] + self.load.memory[model] <= 1.0 + BYTE)

    def stay(self, model: int, device: int) -> None:
        """A copy that was to leave stays."""
        self.put(model, device)
        self.leaving[device] -= self.load.memory[model]

    def take(self, model: int, device: int) -> None:
        """A copy goes. Sums are made anew, lest rounding add up."""
        self.held[device].remove(model)
        self.on[model].remove(device)
        self.busy[device] = bool(self.held[device])
        rows = np.array(sorted(self.held[device]), dtype=np.int64)
        self.u[device] = self.load.u[rows].sum()
        self.v[device] = self.load.v[rows].sum()
        self.memory[device] = self.load.memory[rows].sum()
        self.slack[device] = self.load.slack[rows].min(axis=0, initial=np.inf)
        self.tightness[device] = self.load.tightness[rows].min(initial=np.inf)

    @property
    def used(self) -> Integers:
        """Devices that hold anything, ascending."""
        return np.flatnonzero(self.busy)

    def feasible(self, rows: Integers, tolerance: float = TOLERANCE) -> Flags:
        """Which devices keep duty, memory and all objectives; alone a model is always kept."""
        kept = _kept(
            self.u[rows], self.v[rows], self.memory[rows], self.slack[rows], 1.0 + tolerance
        )
        lone = np.array([len(self.held[device]) <= 1 for device in rows], dtype=np.bool_)
        return kept | lone

    def best(self, model: int, rows: Integers) -> int | None:
        """The device among `rows` that a copy suits best: little left over, slack alike."""
        rows = self.allowed(model, rows)
        load = self.load
        u, memory = self.u[rows] + load.u[model], self.memory[rows] + load.memory[model]
        slack = np.minimum(self.slack[rows], load.slack[model])
        both = memory + self.leaving[rows]
        fits = _kept(u, self.v[rows] + load.v[model], both, slack, 1.0 + TOLERANCE)
        rows, u, memory = rows[fits], u[fits], memory[fits]
        if not len(rows):
            return None
        apart = np.abs(self.tightness[rows] - load.tightness[model])
        left = (1.0 - u / RHO_MAX) + (1.0 - memory) + _AFFINITY * apart
        return int(rows[left.argmin()])

    def allowed(self, model: int, rows: Integers) -> Integers:
        """Those that are open, have no copy of the model, and whose node may have one more."""
        rows = rows[self.open[rows]]
        mine = self.on.get(model)
        if not mine:
            return rows
        for node, copies in Counter(self.nodes[mine].tolist()).items():
            if copies >= self.spread[model]:
                rows = rows[self.nodes[rows] != node]
        return rows[~np.isin(rows, mine)]

    def fresh(self, model: int) -> int | None:
        """The first empty device that may have a copy."""
        held = self.leaving + self.load.memory[model] <= 1.0 + BYTE
        rows = self.allowed(model, np.flatnonzero(~self.busy & held))
        return int(rows[0]) if len(rows) else None

    def place(self, model: int) -> int | None:
        """Puts a copy where it suits best, on an empty device where it must; says where."""
        device = self.best(model, self.used)
        if device is None:
            device = self.fresh(model)
        if device is not None:
            self.put(model, device)
        return device


def _kept(u: Floats, v: Floats, memory: Floats, slack: Floats, over: float) -> Flags:
    level = np.minimum(np.searchsorted(_LEVELS, u), len(LEVELS) - 1)
    least = slack[np.arange(len(slack)), level]
    inside = (u <= RHO_MAX * min(over, _OVER)) & (memory <= 1.0 + BYTE)
    return np.asarray(inside & (wait(u, v) <= least * over), dtype=np.bool_)
