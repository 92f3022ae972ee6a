"""More and lighter copies of busy models, where memory is what devices run out of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from tightship.plan.pack.feasibility import RHO_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tightship.plan.pack.columns import Columns
    from tightship.plan.pack.lanes import Lane

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

LIGHT: Final = RHO_MAX / 2
"""Duty of a copy up to which it lies beside others of its kind."""


def split(asked: Columns, known: Sequence[Lane]) -> Columns | None:
    """The models with at least as many copies as leave their devices' memory to be used.

    Fewest copies are best where time is short. Where memory is, a copy that fills a device's time
    strands its memory: light models bring q of a device's time for each of its memory, so beside a
    copy with memory m there is time for them only if it takes at most 1 - q·(1 - m).

    None where no model is to have more copies.
    """
    home = np.stack([lane.cost for lane in known]).argmin(axis=0)
    least = asked.min_copies.copy()
    for at, lane in enumerate(known):
        rows = np.flatnonzero((home == at) & (lane.choice.copies > 0) & lane.choice.suited)
        least[rows] = np.maximum(least[rows], _copies(lane, rows))
    least = np.minimum(least, asked.max_copies)
    if (least <= asked.min_copies).all():
        return None
    return replace(asked, min_copies=least)


def _copies(lane: Lane, rows: Integers) -> Integers:
    copies, memory = lane.choice.copies[rows], lane.load.memory[rows]
    time: Floats = lane.load.u[rows] / RHO_MAX
    light = time <= LIGHT / RHO_MAX
    if (time * copies).sum() >= (memory * copies).sum() or light.all() or not light.any():
        return np.zeros_like(copies)
    taken = (time * copies)[light].sum() / (memory * copies)[light].sum()
    most = np.maximum(1.0 - taken * (1.0 - memory), LIGHT / RHO_MAX)
    heavy = time > most
    return np.where(heavy, np.ceil(time * copies / most), 0.0).astype(np.int64)
