"""Emptying devices that are hardly used, where that pays and the budget of moves allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tightship.plan.pack.emptying import Step, emptied

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tightship.plan.pack.demand import Device
    from tightship.plan.pack.lanes import Lane
    from tightship.plan.pack.placing import Placing
    from tightship.plan.pack.state import Devices

HORIZON: Final = 600.0
"""Seconds for which a device that is given up is at least not needed again."""

_LOOKS: Final = 100_000
"""Attempts that may fail, times copies: an attempt looks at all devices, and a change is quick."""

_LEAST: Final = 8  # attempts that may fail however many copies there are


def drain(
    lanes: Sequence[Lane],
    at_work: Placing,
    budget: int,
    *,
    spared: Collection[Device] = (),
    aside: bool = True,
) -> int:
    """Empties devices, the dearest types first, of each type those with the fewest copies.

    A device is emptied wholly or not at all, and only if its price for HORIZON is more than what
    loading its copies elsewhere costs in device time. Where the budget is less than any device
    holds, the first that could be emptied is begun with: later changes go on with it. Those that
    are `spared` are not; copies on others move on to make room only if `aside`.

    Returns:
        the copies that moved: at most `budget`.
    """
    moved = 0
    for at in sorted(range(len(lanes)), key=lambda at: (-lanes[at].kind.price, at)):
        lane = lanes[at]
        kept = {device.number for device in spared if device.type == lane.kind.name}
        moved += _drain(lane, at_work.states[at], budget - moved, kept, aside=aside)
    return moved


def _drain(lane: Lane, state: Devices, budget: int, kept: set[int], *, aside: bool) -> int:
    moved = failures = 0
    received: set[int] = set()
    held = np.maximum(state.u, state.memory)
    used = state.used[state.open[state.used]].tolist()
    attempts = max(_LEAST, _LOOKS // max(1, sum(len(state.held[device]) for device in used)))
    for device in sorted(used, key=lambda at: (len(state.held[at]), held[at], at)):
        count = len(state.held[device])
        if device in received or int(lane.numbers[device]) in kept:
            continue
        whole = count <= budget - moved
        if failures == attempts or not (whole or (moved == 0 < budget)):
            return moved
        found: list[Step] = []
        if _pays(lane, state, device):
            found = emptied(state, device, budget - moved, aside=aside, partly=not whole)
        failures += not found
        moved += len(found)
        received.update(move.target for move in found)
    return moved


def _pays(lane: Lane, state: Devices, device: int) -> bool:
    rows = np.array(sorted(state.held[device]), dtype=np.int64)
    spent = lane.choice.load_seconds[rows] * lane.choice.share[rows]
    return float(spent.sum()) < HORIZON
