from itertools import pairwise

import pytest
from benchmarks.packing.frontier import Point, front, needed
from hypothesis import given
from hypothesis import strategies as st

POINTS = [
    Point("0.9", 10, 0.90),
    Point("0.8", 12, 0.88),  # more devices, fewer models: not on the front
    Point("0.6", 20, 0.98),
    Point("0.5", 30, 1.00),
    Point("0.4", 40, 1.00),
]


def test_a_point_that_another_one_beats_is_not_on_the_front() -> None:
    assert [point.devices for point in front(POINTS)] == [10, 20, 30]


@pytest.mark.parametrize(
    ("share", "devices"),
    [(0.85, 10), (0.90, 10), (0.94, 15), (0.98, 20), (0.995, 27.5), (1.0, 30)],
)
def test_devices_lie_on_the_line_between_two_settings(share: float, devices: float) -> None:
    assert needed(POINTS, share) == pytest.approx(devices)


def test_a_share_that_no_setting_reaches_has_no_devices() -> None:
    assert needed(POINTS[:3], 0.99) is None
    assert needed([], 0.5) is None


@given(st.lists(st.builds(Point, st.just(""), st.integers(1, 50), st.floats(0, 1)), min_size=1))
def test_the_front_rises_and_loses_no_share(points: list[Point]) -> None:
    kept = front(points)
    for a, b in pairwise(kept):
        assert a.devices < b.devices
        assert a.share < b.share
    for point in points:
        devices = needed(points, point.share)
        assert devices is not None
        assert devices <= point.devices
