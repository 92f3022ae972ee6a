"""The axes of the plot: speed-up on a logarithmic one, loss on a linear one that is cut off.

A candidate that loses ten times what the gate allows would press all others into one line, so the
loss axis ends at a few times the gate, and what lies beyond stands on its edge.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tightship.report.document import Report, Verdict

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 28, 52
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5, 7.5, 10, 20, 50, 100, 1000)
_BEYOND = 2.5  # gates that the loss axis shows at most
_STEPS = 5
_LEAST_SPEED, _GREATEST_SPEED = 1e-3, 1e4
_LEAST_LOSS, _GREATEST_LOSS = 1e-9, 1e12  # what the axis can divide into steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One mark of the plot, in the data's own units."""

    name: str
    speedup: float
    loss: float
    lower: float
    upper: float
    status: str
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From the data's units to places in the picture."""

    slow: float
    fast: float
    least: float
    most: float

    def x(self, speedup: float) -> float:
        """Place of a speed-up."""
        bound = min(max(speedup, self.slow), self.fast)
        part = math.log(bound / self.slow) / math.log(self.fast / self.slow)
        return round(LEFT + part * (WIDTH - LEFT - RIGHT), 1)

    def y(self, loss: float) -> float:
        """Place of a loss; more loss is further up."""
        bound = min(max(loss, self.least), self.most)
        part = (bound - self.least) / (self.most - self.least)
        return round(HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM), 1)

    def beyond(self, loss: float) -> bool:
        """Whether a loss is off the scale."""
        return not self.least <= loss <= self.most

    def speeds(self) -> list[float]:
        """Labelled speed-ups."""
        return [tick for tick in _TICKS if self.slow <= tick <= self.fast]

    def losses(self) -> list[float]:
        """Labelled losses: multiples of a round step, so that 0 is one of them."""
        rough = (self.most - self.least) / _STEPS
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = next((m * magnitude for m in (1, 2, 5) if m * magnitude >= rough), 10 * magnitude)
        first, last = math.ceil(self.least / step), math.floor(self.most / step)
        return [index * step for index in range(first, last + 1)]


def fitted(report: Report, points: Sequence[Point]) -> Scale:
    """Axes that show the original, the gate, the least speed-up and most of the points."""
    speeds = [1.0, report.min_speedup, *(point.speedup for point in points)]
    speeds = [min(max(speed, _LEAST_SPEED), _GREATEST_SPEED) for speed in speeds]
    gate = max(report.gate.max_drop, 0.0) or _spread(points)
    gate = min(max(gate, _LEAST_LOSS), _GREATEST_LOSS)
    losses = [end for p in points for end in (p.loss, p.lower, p.upper)]
    most = min(max([gate * 1.25, *losses]), gate * _BEYOND)
    least = max(min([-0.25 * gate, *losses]), -gate)
    return Scale(slow=min(speeds) / 1.15, fast=max(speeds) * 1.25, least=least, most=most)


def _spread(points: Sequence[Point]) -> float:
    """What to show where the gate allows no loss at all."""
    return max((abs(point.loss) for point in points if point.loss), default=1.0)


def whisker(verdict: Verdict, loss: float) -> tuple[float, float]:
    """The loss's confidence bounds, or the loss itself where a bound is not finite."""
    lower = loss if verdict.lower is None else verdict.lower
    upper = loss if verdict.upper is None else verdict.upper
    return lower, upper


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in one of speed and loss without being worse in the other."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.speedup, p.loss, p.name)):
        if not found or point.loss < found[-1].loss:
            found.append(point)
    return found
