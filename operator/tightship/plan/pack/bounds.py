"""What no plan with the same settings can go below: volumes, and Martello and Toth's L2."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from tightship.plan.pack.feasibility import RHO_MAX, ROOM_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tightship.plan.pack.filling import Load
    from tightship.plan.pack.lanes import Lane

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

_THRESHOLDS: Final = 64
_MIXES: Final = np.array(
    [(a, b, 4 - a - b) for a in range(5) for b in range(5 - a)], dtype=np.float64
) / 4.0  # fmt: skip
_ROUNDING: Final = 1e-6
_HALF: Final = 0.5
_NEVER: Final = 1e12


def sizes(load: Load) -> Floats:
    """Parts of a device that one copy of each model takes at least: time, memory, latency.

    Each row of the three sums up to at most 1 on every feasible device. For the latency: the wait
    is at most the slack, so the second moments sum up to at most ROOM_MAX times the least slack,
    and a model's slack is at most that at the lowest level of duty.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        waits = load.v / (ROOM_MAX * np.maximum(load.slack[:, 0], 0.0))
    waits = np.where(load.v > 0, np.minimum(waits, 1.0), 0.0)
    return np.stack([np.minimum(load.u / RHO_MAX, 1.0), load.memory, waits])


def devices(load: Load, copies: Integers) -> int:
    """Devices of one type that these copies need at least."""
    if not copies.any():
        return 0
    parts = sizes(load)
    volume = math.ceil(float((parts * copies).sum(axis=1).max()) - _ROUNDING)
    halves = max(_dual_feasible(part, copies) for part in parts)
    return max(volume, halves, int(copies.max()))


def cost(lanes: Sequence[Lane], served: Flags) -> float:
    """Money an hour that the models in `served` take at least, each on whichever type.

    Every mixture of the three sizes is a bound; the best of several counts.
    """
    parts = np.stack([_priced(lane) for lane in lanes])
    least = [np.tensordot(mix, parts, axes=(0, 1)).min(axis=0) for mix in _MIXES]
    return float(max(np.where(served, part, 0.0).sum() for part in least))


def _priced(lane: Lane) -> Floats:
    """Sizes of all copies of each model, in money an hour; more than any where it cannot be."""
    parts = sizes(lane.load) * lane.choice.copies * lane.kind.price
    return np.where(np.isfinite(lane.cost), parts, _NEVER)


def _dual_feasible(part: Floats, copies: Integers) -> int:
    """Martello and Toth's L2: large copies exclude each other, small ones need the room beside.

    For a threshold t: copies above 1 - t stand alone, those above 1/2 are on devices of their own,
    and of those from t to 1/2 what does not fit beside the latter needs more.
    """
    asked = np.flatnonzero(copies > 0)
    order = asked[np.argsort(part[asked], kind="stable")]
    size, number = part[order], copies[order]
    counts = np.concatenate([[0.0], np.cumsum(number)])
    sums = np.concatenate([[0.0], np.cumsum(size * number)])
    small = np.unique(size[(size > 0) & (size <= _HALF)])
    picked = np.linspace(0, len(small) - 1, min(len(small), _THRESHOLDS)).astype(np.int64)
    least = np.concatenate([[0.0], small[picked]])
    first = np.searchsorted(size, least, side="left")
    half = np.searchsorted(size, _HALF + _ROUNDING, side="right")
    alone = np.maximum(np.searchsorted(size, 1.0 - least + _ROUNDING, side="right"), half)
    large = counts[alone] - counts[half]
    beside = large - (sums[alone] - sums[half])
    rest = np.ceil(sums[half] - sums[np.minimum(first, half)] - beside - _ROUNDING)
    return int((counts[-1] - counts[half] + np.maximum(rest, 0.0)).max())
