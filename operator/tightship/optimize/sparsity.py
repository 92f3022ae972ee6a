"""Which weights stay in the 2:4 pattern of sparse tensor cores."""

import numpy as np

_GROUP, _KEPT = 4, 2


def fits(weights: np.ndarray, axis: int) -> bool:
    """Whether the weights along the axis come in whole fours."""
    return int(weights.shape[axis]) % _GROUP == 0


def two_of_four(weights: np.ndarray, axis: int) -> np.ndarray:
    """True for the two largest of every four consecutive weights along the axis, by magnitude.

    Of equal ones the first stay. Where the fours are not whole, all stay: an array of the weights'
    shape either way.
    """
    if not fits(weights, axis):
        return np.ones(weights.shape, bool)
    last = np.moveaxis(np.abs(weights), axis, -1)
    groups = last.reshape(-1, _GROUP)
    order = np.argsort(-groups, axis=1, kind="stable")
    kept = np.zeros(groups.shape, bool)
    np.put_along_axis(kept, order[:, :_KEPT], values=True, axis=1)
    return np.moveaxis(kept.reshape(last.shape), -1, axis)
