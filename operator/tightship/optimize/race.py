"""What bursts of two models in turn say: speed-up, noise and percentiles through Triton."""

import itertools
from dataclasses import dataclass
from statistics import median

import numpy as np

from tightship.optimize import selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """A candidate against the original through Triton, one client. Seconds and shares."""

    batch: int
    speedup: float
    noise: float
    p50_before: float
    p50: float
    percentile_before: float
    percentile: float
    requests: int


def raced(before: list[list[float]], after: list[list[float]], percentile: int, batch: int) -> Race:
    """Figures of bursts that took turns, each a list of seconds.

    One of `after` is held against the mean of the two of `before` around it.
    """
    medians = [median(burst) for burst in before]
    pairs = list(itertools.pairwise(medians))
    ratios = [(a + b) / 2 / median(burst) for (a, b), burst in zip(pairs, after, strict=False)]
    old = [latency for burst in before for latency in burst]
    new = [latency for burst in after for latency in burst]
    return Race(
        batch=batch,
        speedup=median(ratios),
        noise=selection.noise_floor(pairs),
        p50_before=median(old),
        p50=median(new),
        percentile_before=float(np.percentile(old, percentile, method="higher")),
        percentile=float(np.percentile(new, percentile, method="higher")),
        requests=len(new),
    )
