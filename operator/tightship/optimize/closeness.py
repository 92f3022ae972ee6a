"""How far the answers of two runtimes are from each other."""

import numpy as np

_FAR = 1e9


def apart(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, float]:
    """(greatest difference of each sample as a share of the scale, the scale).

    The scale is the greatest finite absolute value of the first. Equal NaN and infinities are no
    difference; of others it counts as 1e9.
    """
    one, other = first.astype(np.float64), second.astype(np.float64)
    scale = float(np.abs(one[np.isfinite(one)]).max(initial=0.0)) or 1.0
    with np.errstate(invalid="ignore"):
        gap = np.abs(one - other) / scale
    equal = (one == other) | (np.isnan(one) & np.isnan(other))
    found = np.where(equal, 0.0, np.nan_to_num(gap, nan=_FAR, posinf=_FAR))
    return found.reshape(len(found), -1).max(axis=1, initial=0.0), scale
