"""Which candidates may be proven, in which order, and why the others may not. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A candidate inside the gate with its measured speed-up in the runtime."""

    id: str
    speedup: float
    drop: float
    passes: int
    bytes: int
    slow: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Contenders that are fast enough, best first, and a reason for each of the others."""

    order: tuple[str, ...]
    refused: Mapping[str, str]


def rank(contenders: Sequence[Contender], noise: float, min_speedup: float) -> Ranking:
    """Fastest first.

    Those within the noise of each other are equal in speed: then fewer passes, a smaller drop and
    a smaller file decide, and at last the name, so that the order is fixed.
    """
    refused = {}
    left = []
    for contender in contenders:
        reason = too_slow(contender.speedup, noise, min_speedup)
        if reason:
            refused[contender.id] = f"{reason}: {contender.slow}" if contender.slow else reason
        else:
            left.append(contender)
    order: list[str] = []
    while left:
        fastest = max(contender.speedup for contender in left)
        level = [c for c in left if c.speedup * (1 + noise) >= fastest]
        best = min(level, key=lambda c: (c.passes, c.drop, c.bytes, c.id))
        order.append(best.id)
        left.remove(best)
    return Ranking(order=tuple(order), refused=refused)


def too_slow(speedup: float, noise: float, min_speedup: float) -> str | None:
    """Why a speed-up does not count; None when it does."""
    if speedup < min_speedup:
        return f"x{speedup:.2f} of the original's speed, below the x{min_speedup:g} asked for"
    if speedup <= 1 + noise:
        return f"x{speedup:.2f} of the original's speed, within the measured noise of {noise:.0%}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A candidate proven in Triton, with its latency at the objective's percentile."""

    id: str
    latency: float


def meets(latency: float, target: float | None) -> bool:
    """Whether a latency is within the objective; without one every latency is."""
    return target is None or latency <= target


def deviation(pairs: Sequence[tuple[float, float]], kept: float = 0.8) -> float:
    """How far two measurements of one thing differ, as a share; the worst fifth is left out."""
    deviations = sorted(max(a / b, b / a) - 1 for a, b in pairs)
    return deviations[max(1, round(len(deviations) * kept)) - 1]


def noise_floor(pairs: Sequence[tuple[float, float]]) -> float:
    """What the median of so many ratios may be off by, as a share.

    The deviation that four of five pairs stay below is about 1.28 standard deviations, the median
    of n ratios has a standard error of 1.25 of them over sqrt(n): so twice the deviation over
    sqrt(n) is two standard errors.
    """
    return deviation(pairs) * min(1.0, 2 / math.sqrt(len(pairs)))
