"""The full plan: several assignments to types and several rules of filling; the cheapest counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tightship.plan.pack.emptying import emptied
from tightship.plan.pack.filling import FIRST, PORTFOLIO, fill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tightship.plan.pack.lanes import Lane
    from tightship.plan.pack.state import Devices

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

LARGE: Final = 3000
"""Copies on one type above which only the first rule is tried."""

_FAILURES = 6  # devices in a row that cannot be emptied before consolidation gives up


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Where copies lie: the devices of each lane, the lane of each model, copies without a place.

    `home` is an index into the lanes, -1 for a model that no type suits.
    """

    states: tuple[Devices, ...]
    home: Integers
    missing: Integers
    cost: float


def packed(lanes: Sequence[Lane], priority: Integers) -> Packed:
    """The cheapest of several plans, of those in which the least of the first is missing."""
    cost = np.stack([lane.cost for lane in lanes])
    plans = [_plan(lanes, priority, cost, start) for start in _starts(cost)]
    ranks = [(_shortage(plan, priority), plan.cost, at) for at, plan in enumerate(plans)]
    return plans[min(ranks)[-1]]


def _starts(cost: Floats) -> list[Integers]:
    """Each model on its cheapest type; or all that can be on one type, for each of them."""
    cheapest = np.where(np.isfinite(cost.min(axis=0)), cost.argmin(axis=0), -1)
    starts = [cheapest]
    for kind in range(len(cost)) if len(cost) > 1 else ():
        start = np.where(np.isfinite(cost[kind]), kind, cheapest)
        if not any(np.array_equal(start, other) for other in starts):
            starts.append(start)
    return starts


def _shortage(plan: Packed, priority: Integers) -> tuple[int, ...]:
    levels = np.unique(priority)[::-1]
    return tuple(int(plan.missing[priority == level].sum()) for level in levels)


def _plan(lanes: Sequence[Lane], priority: Integers, cost: Floats, start: Integers) -> Packed:
    """Fills type after type; who finds no room goes to its next one, in as many rounds as types."""
    home, options = start.copy(), cost.copy()
    for _ in lanes:
        states, missing = _lanes(lanes, priority, home, partial=False)
        short = np.flatnonzero((missing > 0) & (home >= 0))
        options[home[short], short] = np.inf
        others = short[np.isfinite(options[:, short].min(axis=0))]
        if not len(others):
            break
        home[others] = options[:, others].argmin(axis=0)
    if missing[home >= 0].any():
        states, missing = _lanes(lanes, priority, home, partial=True)
    spent = sum(
        lane.kind.price * len(state.used) for lane, state in zip(lanes, states, strict=True)
    )
    return Packed(tuple(states), home, missing, float(spent))


def _lanes(
    lanes: Sequence[Lane], priority: Integers, home: Integers, *, partial: bool
) -> tuple[list[Devices], Integers]:
    states, missing = [], np.where(home < 0, 1, 0)
    for at, lane in enumerate(lanes):
        copies = np.where(home == at, lane.choice.copies, 0)
        state = _filled(lane, copies)
        if state is None:
            state = _by_priority(lane, copies, priority, partial=partial)
        states.append(state)
        placed = np.zeros_like(copies)
        for model, devices in state.on.items():
            placed[model] = len(devices)
        missing = missing + copies - placed
    return states, missing


def _filled(lane: Lane, copies: Integers) -> Devices | None:
    """All copies on the fewest devices that any rule finds; None where the type has too few."""
    best: list[tuple[int, Integers]] | None = None
    free = np.flatnonzero(~lane.closed)
    for rule in PORTFOLIO if int(copies.sum()) <= LARGE else (FIRST,):
        found = list(fill(lane.load, copies, lane.nodes[free], lane.spread, rule))
        all_placed = sum(len(rows) for _, rows in found) == copies.sum()
        if all_placed and (best is None or len(found) < len(best)):
            best = found
    if best is None:
        return None
    state = lane.devices()
    if best:
        devices = np.repeat(free[[device for device, _ in best]], [len(rows) for _, rows in best])
        state.hold(np.concatenate([rows for _, rows in best]), devices)
    consolidate(state)
    return state


def consolidate(state: Devices) -> None:
    """Empties the devices that hold the least, one by one, until several in a row do not empty."""
    failures = 0
    held = np.maximum(state.u, state.memory)
    for device in sorted(state.used.tolist(), key=lambda at: (held[at], at)):
        failures = 0 if emptied(state, device) else failures + 1
        if failures == _FAILURES:
            break
    state.leaving[:] = 0.0  # nothing is loaded yet: what is moved in thought leaves nothing behind


def _by_priority(lane: Lane, copies: Integers, priority: Integers, *, partial: bool) -> Devices:
    """As many as fit, the first by priority first, of equal ones those that take least.

    The longest run of them that fits as a whole is packed well; of the rest each goes, in order,
    where room is left over.
    """
    takes = lane.choice.copies * lane.choice.share
    asked = np.flatnonzero(copies > 0)
    order = asked[np.lexsort((asked, takes[asked], -priority[asked]))]
    low, high, state = 0, len(order), lane.devices()
    while low < high:
        middle = (low + high + 1) // 2
        some = np.zeros_like(copies)
        some[order[:middle]] = copies[order[:middle]]
        found = _filled(lane, some)
        if found is None:
            high = middle - 1
        else:
            low, state = middle, found
    for model in order[low:].tolist():
        _rest(state, model, int(copies[model]), partial=partial)
    return state


def _rest(state: Devices, model: int, copies: int, *, partial: bool) -> None:
    for _ in range(copies):
        if state.place(model) is None:
            break
    placed = list(state.on.get(model, ()))
    if len(placed) < copies and not partial:
        for device in placed:
            state.take(model, device)
