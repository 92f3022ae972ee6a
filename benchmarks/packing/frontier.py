"""What a rule needs for a share of satisfied models: its devices on the line between its settings.

A rule with a knob (our calibration, a cap on utilisation, headroom on rates) has a point for each
setting. Rules are compared at equal shares of satisfied models, each on its own Pareto front.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """One setting of a rule: its devices, and the share of models that they satisfy."""

    setting: str
    devices: int
    share: float


def front(points: Sequence[Point]) -> list[Point]:
    """Points that no other one beats, from the fewest devices to the largest share."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda one: (one.devices, -one.share)):
        if not kept or point.share > kept[-1].share:
            kept.append(point)
    return kept


def needed(points: Sequence[Point], share: float) -> float | None:
    """Devices for such a share: between the two nearest points of the front by a line.

    None where no setting reaches it. Where every setting does, the fewest devices of all: nothing
    is extrapolated.
    """
    below: Point | None = None
    for point in front(points):
        if point.share >= share:
            if below is None:
                return float(point.devices)
            part = (share - below.share) / (point.share - below.share)
            return below.devices + part * (point.devices - below.devices)
        below = point
    return None
