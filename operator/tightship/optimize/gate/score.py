"""Bounds of a mean of parts: Student's, widened by what the samples could not show.

Student's bound, mean +- t(n - 1) s / sqrt(n), trusts the spread that was seen. A loss that hits one
sample in a hundred is seldom seen in a few hundred samples, and then neither the mean nor s knows
of it: simulated, an upper bound of 95 % held only 80 to 93 times in a hundred. So the bound is
taken as Wilson and Tango take theirs, with the variance of the mean that is being tested: a loss of
d above the mean that was seen is a share d / h of samples that each lose h, and adds h d to the
variance. With r = h z^2 / (n + z^2), the root of d^2 = t^2 s^2 / n + d r is

    d = r / 2 + sqrt(t^2 s^2 / n + r^2 / 4),

where r is the metric's `unseen` loss: the bound when all samples agree. For 0 and 1, h = 1 and this
is Wilson's bound but for terms of 1 / n^2.
"""

import math
from statistics import NormalDist

import numpy as np


def bounds(
    estimate: float, parts: np.ndarray, unseen: float, confidence: float
) -> tuple[float, float]:
    """(lower, upper) one-sided bounds of what `parts` are the parts of."""
    n = len(parts)
    error = student_quantile(confidence, n - 1) * float(parts.std(ddof=1)) / math.sqrt(n)
    return widened(estimate, error, unseen)


def widened(estimate: float, error: float, unseen: float) -> tuple[float, float]:
    """(lower, upper) bounds from the error that was seen and the loss that could not be."""
    margin = unseen / 2 + math.hypot(error, unseen / 2)
    return estimate - margin, estimate + margin


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t by the expansion in Abramowitz and Stegun 26.7.5.

    Within 0.2 % for probabilities up to 0.975 from 5 degrees of freedom on.
    """
    z = NormalDist().inv_cdf(probability)
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / float(freedom) ** n for n, term in enumerate(terms, 1))
