"""The population stability index, and what it comes to by chance alone."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.9999
"""Of one comparison of all features: so seldom does chance alone exceed `chance`."""

_SMOOTHING = 0.5


def psi(reference: Sequence[int], live: Sequence[int]) -> float:
    """The sum over bins of (q - p) ln(q / p), for shares p of the reference and q of live values.

    N. Siddiqi, Credit Risk Scorecards (2006); the same sum is the divergence J of S. Kullback and
    R. Leibler, On Information and Sufficiency (1951), which is why it is 0 for equal shares and
    never negative. Half a value is added to each bin (H. Jeffreys' prior), so that a bin that is
    empty on one side counts for what so few values can show instead of for infinity; bins that are
    empty on both sides are left out.

    Raises:
        ValueError: the bins differ in number, or a side has no values.
    """
    wanted, found = np.array(reference, np.float64), np.array(live, np.float64)
    if wanted.shape != found.shape or not wanted.sum() or not found.sum():
        raise ValueError("both sides need values in the same bins")
    used = (wanted + found) > 0
    p, q = _shares(wanted[used]), _shares(found[used])
    return float(np.sum((q - p) * np.log(q / p)))


def chance(
    reference: Sequence[int], live: Sequence[int], *, features: int, confidence: float = CONFIDENCE
) -> float:
    """What the PSI of values of one and the same distribution stays below.

    Without drift PSI / (1/m + 1/n) follows a chi-square distribution with one degree of freedom
    less than there are bins, for m reference and n live values: B. Yurdakul and J. Naranjo,
    Statistical properties of the population stability index, Journal of Risk Model Validation 14
    (2020). Its quantile is E. Wilson's and M. Hilferty's approximation (1931). The confidence is
    shared among all `features` that are compared at once (C. Bonferroni).
    """
    wanted, found = np.array(reference), np.array(live)
    bins = int(((wanted + found) > 0).sum())
    if bins <= 1:
        return 0.0
    scale = 1 / wanted.sum() + 1 / found.sum()
    return float(_chi_square(bins - 1, 1 - (1 - confidence) / features) * scale)


def _shares(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = (counts + _SMOOTHING) / (counts + _SMOOTHING).sum()
    return shares


def _chi_square(degrees: int, share: float) -> float:
    """The value below which that share of a chi-square distribution lies."""
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + NormalDist().inv_cdf(share) * part**0.5) ** 3)
