"""Bounds of shares: of one (Wilson), and of the difference of two on the same samples (Tango).

Paired scores of 0 and 1: Tango's score interval for the difference of paired proportions (T. Tango,
Statistics in Medicine 17:891-908, 1998, formulas 4-6). With b samples that only the original got
right and c that only the candidate got right among n, the bound is the greater root `d` of

    (b - c - n d) / sqrt(n (2 q(d) + d (1 - d))) = -z,   q(d) = (sqrt(B^2 - 4 A C) - B) / (2 A),
    A = 2 n,  B = -b - c + (2 n - b + c) d,  C = -c d (1 - d),

and for b = c = 0 it is z^2 / (n + z^2), so even a candidate that never errs is not certain on few
samples.

One share: Wilson's score bound (E. B. Wilson, Journal of the American Statistical Association
22:209-212, 1927), the root of (p - d)^2 = z^2 d (1 - d) / n; for p = 0 it is z^2 / (n + z^2) too.
"""

import math
from statistics import NormalDist

import numpy as np

_HALVINGS = 60
_Q_FLOOR = 1e-300


def resolution(n: float, confidence: float) -> float:
    """The least share that n samples can rule out, when not one of them shows it."""
    z = NormalDist().inv_cdf(confidence)
    return z * z / (n + z * z)


def bounds(original: np.ndarray, candidate: np.ndarray, confidence: float) -> tuple[float, float]:
    """(lower, upper) one-sided bounds of original - candidate, both 0 or 1 by sample."""
    n = len(original)
    lost = int(((original == 1) & (candidate == 0)).sum())
    won = int(((original == 0) & (candidate == 1)).sum())
    return -upper(won, lost, n, confidence), upper(lost, won, n, confidence)


def upper(lost: int, won: int, n: int, confidence: float) -> float:
    """Upper bound of (lost - won) / n by bisection; the score falls monotonically in d."""
    z = NormalDist().inv_cdf(confidence)
    low, high = (lost - won) / n, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _score(lost, won, n, middle) > -z:
            low = middle
        else:
            high = middle
    return high


def _score(lost: int, won: int, n: int, d: float) -> float:
    a, b, c = 2 * n, -lost - won + (2 * n - lost + won) * d, -won * d * (1 - d)
    q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * q + d * (1 - d))
    return (lost - won - n * d) / math.sqrt(max(variance, _Q_FLOOR))


def wilson(share: float, n: int, confidence: float) -> tuple[float, float]:
    """(lower, upper) one-sided bounds of a share that was seen among n samples."""
    z = NormalDist().inv_cdf(confidence)
    middle = share + z * z / (2 * n)
    margin = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    return (middle - margin) / whole, (middle + margin) / whole
