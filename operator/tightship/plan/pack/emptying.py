"""Emptying one device onto the others, where a copy in the way may move on to a third."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tightship.plan.pack.feasibility import BYTE, RHO_MAX, tabled_room

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tightship.plan.pack.state import Devices

    Integers = NDArray[np.int64]

_ALIKE: Final = 32  # devices of the most similar slack that are looked at
_TRIED: Final = 8  # copies in the way that are tried to be moved on


class Step(NamedTuple):
    """A copy that moved."""

    model: int
    source: int
    target: int


def emptied(
    state: Devices,
    device: int,
    most: int = sys.maxsize,
    *,
    aside: bool = True,
    partly: bool = False,
) -> list[Step]:
    """Moves all that a device holds to others in use, by at most so many moves.

    Copies of others move on to make room only if `aside`. Nothing, and nothing is changed, where
    that cannot be done. Where it only takes more moves, the first of them are made if it may be
    done `partly`.
    """
    steps: list[Step] = []
    others = state.used[state.used != device]
    for model in sorted(state.held[device], key=lambda row: (state.load.tightness[row], row)):
        moved = _moved(state, Step(model, device, -1), others, steps, aside=aside)
        if not moved or (len(steps) > most and not partly):
            _undone(state, steps)
            return []
    _undone(state, steps[most:])
    return steps[:most]


def _moved(state: Devices, step: Step, others: Integers, steps: list[Step], *, aside: bool) -> bool:
    model, source, _ = step
    state.leave(model, source)
    target = state.best(model, others)
    if target is None and aside:
        target = _room_made(state, model, others, steps)
    if target is None:
        state.stay(model, source)
        return False
    state.put(model, target)
    steps.append(Step(model, source, target))
    return True


def _room_made(state: Devices, model: int, others: Integers, steps: list[Step]) -> int | None:
    """A device that has room for the model once one of its copies has moved on to another."""
    for other, device in _in_the_way(state, model, others):
        state.leave(other, device)
        here = np.array([device])
        if state.best(model, here) is not None:
            third = state.best(other, others[others != device])
            if third is not None:
                state.put(other, third)
                steps.append(Step(other, device, third))
                return device
        state.stay(other, device)
    return None


def _in_the_way(state: Devices, model: int, others: Integers) -> list[tuple[int, int]]:
    """Copies without which their device would have time and latency for the model.

    Those that take the least come first: they are the easiest to place. Whose objective is the
    tightest of its device is not known without trying, so that is left to the caller.
    """
    load = state.load
    devices = state.allowed(model, others)
    free = state.memory[devices] + state.leaving[devices] + load.memory[model] <= 1.0 + BYTE
    devices = devices[free]
    apart = np.abs(state.tightness[devices] - load.tightness[model])
    alike = np.argsort(apart, kind="stable")[:_ALIKE]
    pairs = [(other, at) for at in devices[alike].tolist() for other in state.held[at]]
    if not pairs:
        return []
    rows, on = np.array(sorted(pairs), dtype=np.int64).T
    u = state.u[on] - load.u[rows] + load.u[model]
    v = state.v[on] - load.v[rows] + load.v[model]
    fits = (u <= RHO_MAX) & (v <= tabled_room(np.maximum(u, 0.0)) * load.slack[model, 0])
    takes = load.u[rows] / RHO_MAX + load.v[rows] / np.exp(load.tightness[rows])
    first = np.flatnonzero(fits)[np.argsort(takes[fits], kind="stable")][:_TRIED]
    return list(zip(rows[first].tolist(), on[first].tolist(), strict=True))


def _undone(state: Devices, steps: list[Step]) -> None:
    for model, source, target in reversed(steps):
        state.take(model, target)
        state.stay(model, source)
