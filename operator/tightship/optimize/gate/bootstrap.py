"""Bounds of a number that is no mean of samples, from its values in resamples of the samples.

B. Efron, Annals of Statistics 7:1-26, 1979. The distance from the estimate to the quantile is taken
on the side where it is greater, so that skewness is never an advantage; it is narrow by
sqrt((n - 1) / n), which is put right (T. Hesterberg, The American Statistician 69:371-386, 2015,
section 3.2). What n samples could not show is added as `gate.score` adds it. The resamples are the
same for every model and every run: equal data give equal verdicts.
"""

import math
from collections.abc import Iterator

import numpy as np

from tightship.optimize.gate import score

_SEED = 0
_LEAST = 1000
_BEYOND = 10  # resamples that lie beyond a bound at least


def count(confidence: float) -> int:
    """How many resamples a bound of this confidence takes."""
    return max(_LEAST, math.ceil(_BEYOND / (1 - confidence)))


def rows(n: int, resamples: int) -> Iterator[np.ndarray]:
    """Rows of the n samples that each resample takes."""
    drawn = np.random.default_rng(_SEED)
    return (drawn.integers(0, n, n) for _ in range(resamples))


def bounds(
    estimate: float, resampled: np.ndarray, n: int, unseen: float, confidence: float
) -> tuple[float, float]:
    """(lower, upper) one-sided bounds of what has these values in resamples of n samples.

    Where a resample does not tell (NaN), it does not count.
    """
    low, high = np.nanquantile(resampled, [1 - confidence, confidence])
    seen = max(float(high) - estimate, estimate - float(low), 0.0)
    return score.widened(estimate, seen * math.sqrt(n / (n - 1)), unseen)
