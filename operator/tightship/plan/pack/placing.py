"""Placing on devices that hold something already: trim, evict, place, displace by priority."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from tightship.plan.pack.feasibility import LEVELS, RHO_MAX, room
from tightship.plan.pack.portfolio import Packed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tightship.plan.pack.lanes import Lane
    from tightship.plan.pack.state import Devices

    Integers = NDArray[np.int64]

HYSTERESIS: Final = 0.08
"""By how much a wait may exceed its slack before a copy has to move."""

_MIDDLE = LEVELS.index(0.6)
_TIGHTEST = 0.3  # relief that losing the tightest objective counts as
_LOOKED_AT = 64  # devices whose lower priorities are looked at


class Placing:
    """The work of one change. Lanes, rows of models and devices are told by their numbers.

    Args:
        lanes: types of devices, with the settings that models are to have.
        priority: of each model.
        states: what the devices hold now of what may stay.
        home: lane of each model, -1 where it has no copy.
    """

    def __init__(
        self, lanes: Sequence[Lane], priority: Integers, states: list[Devices], home: Integers
    ) -> None:
        self.states, self.home = states, home
        self.forced = 0
        self.stuck: set[int] = set()
        self.later: set[tuple[int, int, int]] = set()
        self._lanes, self._priority = lanes, priority
        self._cost = np.stack([lane.cost for lane in lanes])
        self._evicted: dict[int, list[int]] = {}
        self._displaced_copies: Counter[int] = Counter()

    def settle(self, *, displace: bool = True) -> None:
        """Everything that has to change; models of lower priority make room only to `displace`."""
        for at, lane in enumerate(self._lanes):
            self._trim(at, lane)
            self._empty_closed(at, lane)
            self._relieve(at, lane)
        displaced = self._place(self._lacking(), displace=displace)
        self._place(displaced, displace=False)

    def packed(self) -> Packed:
        """Where everything lies now."""
        missing = np.where(self.home < 0, 1, 0)
        for at, lane in enumerate(self._lanes):
            here = np.flatnonzero(self.home == at)
            missing[here] = lane.choice.copies[here] - self._counts(at)[here]
        spent = sum(
            lane.kind.price * len(state.used)
            for lane, state in zip(self._lanes, self.states, strict=True)
        )
        return Packed(tuple(self.states), self.home, missing, float(spent))

    def _counts(self, at: int) -> Integers:
        on, counts = self.states[at].on, np.zeros(len(self.home), dtype=np.int64)
        counts[np.fromiter(on, np.int64, len(on))] = np.fromiter(map(len, on.values()), np.int64)
        return counts

    def _trim(self, at: int, lane: Lane) -> None:
        """Copies too many go: from closed devices, from overfull ones, then from the emptiest."""
        state = self.states[at]
        used = state.used
        over = set(used[~state.feasible(used, HYSTERESIS)].tolist())
        for row in np.flatnonzero(self._counts(at) > lane.choice.copies).tolist():
            devices = sorted(
                state.on[row],
                key=lambda d: (state.open[d], d not in over, max(state.u[d], state.memory[d]), -d),
            )
            for device in devices[: len(devices) - int(lane.choice.copies[row])]:
                state.leave(row, device)

    def _empty_closed(self, at: int, lane: Lane) -> None:
        state = self.states[at]
        for device in np.flatnonzero(lane.closed & state.busy).tolist():
            for row in sorted(state.held[device]):
                self._evict(at, row, device)

    def _relieve(self, at: int, lane: Lane) -> None:
        """Takes from devices that break objectives what relieves them most for its load."""
        state = self.states[at]
        used = state.used[~lane.resting[state.used]]
        for device in used[~state.feasible(used, HYSTERESIS)].tolist():
            here = np.array([device])
            while not state.feasible(here, HYSTERESIS)[0]:
                self._evict(at, self._relief(at, device), device)

    def _relief(self, at: int, device: int) -> int:
        state, lane = self.states[at], self._lanes[at]
        rows = np.array(sorted(state.held[device]), dtype=np.int64)
        if state.memory[device] > 1.0:  # who finds no room cannot stay
            rows = rows[self._priority[rows] == self._priority[rows].min()]
        load = state.load
        slack = max(float(state.slack[device, _MIDDLE]), 1e-6)
        relief = load.u[rows] / RHO_MAX + load.v[rows] / (float(room(0.6)) * slack)
        relief = relief + _TIGHTEST * (load.tightness[rows] <= state.tightness[device])
        relief = relief + load.memory[rows] * (state.memory[device] > 1.0)
        return int(rows[(relief / (1.0 + lane.choice.load_seconds[rows])).argmax()])

    def _evict(self, at: int, row: int, device: int) -> None:
        self.states[at].leave(row, device)
        self._evicted.setdefault(row, []).append(device)

    def _lacking(self) -> list[int]:
        """Models with fewer copies than they are to have."""
        lacking = set(np.flatnonzero(self.home < 0).tolist())
        for at, lane in enumerate(self._lanes):
            short = (self.home == at) & (self._counts(at) < lane.choice.copies)
            lacking.update(np.flatnonzero(short).tolist())
        return sorted(lacking)

    def _place(self, rows: list[int], *, displace: bool) -> list[int]:
        """The first by priority first, of equal ones the tightest; says who was displaced."""
        displaced: set[int] = set()
        for row in sorted(rows, key=self._order):
            options = self._options(row)
            for at in options:
                self._fill(at, row)
            if displace and not self._complete(row):
                for at in self._options(row):
                    displaced.update(self._displace(at, row))
            self._stay(row)
            if self.home[row] < 0 and options:
                self.home[row] = options[0]
        return sorted(displaced)

    def _order(self, row: int) -> tuple[int, float, int]:
        at = max(int(self.home[row]), 0)
        return -int(self._priority[row]), float(self.states[at].load.tightness[row]), row

    def _options(self, row: int) -> list[int]:
        """Its own type, or all that suit it, the cheapest first."""
        if self.home[row] >= 0:
            return [int(self.home[row])]
        cost = self._cost[:, row]
        return [at for at in np.argsort(cost, kind="stable").tolist() if np.isfinite(cost[at])]

    def _lacks(self, at: int, row: int) -> int:
        return int(self._lanes[at].choice.copies[row]) - len(self.states[at].on.get(row, ()))

    def _complete(self, row: int) -> bool:
        return self.home[row] >= 0 and self._lacks(int(self.home[row]), row) <= 0

    def _fill(self, at: int, row: int) -> None:
        """As many copies as find room on this type, unless the model has found room on another."""
        if self.home[row] not in {-1, at}:
            return
        for _ in range(self._lacks(at, row)):
            if self.states[at].place(row) is None:
                return
            self._came(at, row)

    def _came(self, at: int, row: int) -> None:
        self.home[row] = at
        if self._evicted.get(row):
            self._evicted[row].pop()
            self.forced += 1
        elif self._displaced_copies[row]:
            self._displaced_copies[row] -= 1
            self.forced += 1

    def _stay(self, row: int) -> None:
        """Evicted copies that found no room stay where they answer, while memory holds them."""
        for device in self._evicted.pop(row, []):
            state = self.states[int(self.home[row])]
            if state.holds(row, device):
                state.stay(row, device)
                self.stuck.add(row)

    def _displace(self, at: int, row: int) -> set[int]:
        """Room for the copies that lack it, from models of lower priority."""
        displaced: set[int] = set()
        if self.home[row] not in {-1, at}:
            return displaced
        for _ in range(self._lacks(at, row)):
            found = self._displaced(at, row)
            if found is None:
                break
            device, victims = found
            state = self.states[at]
            state.put(row, device)
            state.open[device] = False  # nothing else comes before those have gone
            self.later.add((at, row, device))
            self._came(at, row)
            displaced.update(victims)
            self._displaced_copies.update(victims)
        return displaced

    def _displaced(self, at: int, row: int) -> tuple[int, list[int]] | None:
        """The device on which those of the lowest priority make room, and who they are."""
        state = self.states[at]
        lowest = {
            device: min(int(self._priority[other]) for other in state.held[device])
            for device in state.allowed(row, state.used).tolist()
        }
        below = [d for d in lowest if lowest[d] < self._priority[row]]
        for device in sorted(below, key=lambda d: (lowest[d], d))[:_LOOKED_AT]:
            victims = self._victims(at, row, device)
            if victims is not None:
                return device, victims
        return None

    def _victims(self, at: int, row: int, device: int) -> list[int] | None:
        state, here = self.states[at], np.array([device])
        takes = self._lanes[at].choice.share
        lower = [o for o in state.held[device] if self._priority[o] < self._priority[row]]
        gone: list[int] = []
        for other in sorted(lower, key=lambda o: (self._priority[o], -takes[o], o)):
            state.take(other, device)
            gone.append(other)
            alone = not state.held[device] and state.leaving[device] + state.load.memory[row] <= 1
            if alone or state.best(row, here) is not None:
                return gone
        for other in gone:
            state.put(other, device)
        return None
