"""Which candidates may be proven, in which order, and why the others may not. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tightship.api.v1alpha1 import Objective
from tightship.optimize.gains import Gains, shortfall


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A candidate inside the gate with what it gains in the runtime."""

    id: str
    gains: Gains
    drop: float
    passes: int
    bytes: int
    slow: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Contenders that gain enough, best first, and a reason for each of the others."""

    order: tuple[str, ...]
    refused: Mapping[str, str]


def rank(
    contenders: Sequence[Contender], objective: Objective, noise: float, least: float
) -> Ranking:
    """Greatest gain toward the objective first.

    Those within the noise of each other are equal: then fewer passes, a smaller drop and
    a smaller file decide, and at last the name, so that the order is fixed.
    """
    refused = {}
    left = []
    for contender in contenders:
        reason = shortfall(contender.gains, objective, noise, least)
        if reason:
            refused[contender.id] = f"{reason}: {contender.slow}" if contender.slow else reason
        else:
            left.append(contender)
    order: list[str] = []
    while left:
        most = max(contender.gains.toward(objective) for contender in left)
        level = [c for c in left if c.gains.toward(objective) * (1 + noise) >= most]
        best = min(level, key=lambda c: (c.passes, c.drop, c.bytes, c.id))
        order.append(best.id)
        left.remove(best)
    return Ranking(order=tuple(order), refused=refused)


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
