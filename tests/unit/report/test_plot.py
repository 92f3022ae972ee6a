"""The picture: which points it shows, on which scale, and who is on the Pareto front."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies
from tests.unit.report.documents import stored

from tightship.report import document, plot, scale
from tightship.report.document import Report
from tightship.report.scale import Point

SPEEDS = strategies.floats(min_value=0.01, max_value=100)
LOSSES = strategies.floats(min_value=-1, max_value=1)
PAIRS = strategies.lists(strategies.tuples(SPEEDS, LOSSES), min_size=1, max_size=12)


def magika(max_drop: float | None = None) -> Report:
    found = document.read(stored("magika"))
    if max_drop is None:
        return found
    return replace(found, gate=replace(found.gate, max_drop=max_drop))


def pointed(pairs: list[tuple[float, float]]) -> list[Point]:
    return [
        Point(
            name=f"p{index}",
            speedup=speed,
            loss=loss,
            lower=loss - 0.1,
            upper=loss + 0.1,
            status="passed",
            told="",
        )
        for index, (speed, loss) in enumerate(pairs)
    ]


def beats(one: Point, other: Point) -> bool:
    no_worse = one.speedup >= other.speedup and one.loss <= other.loss
    return no_worse and (one.speedup, one.loss) != (other.speedup, other.loss)


@given(pairs=PAIRS)
def test_nobody_beats_the_front_and_it_beats_the_rest(pairs: list[tuple[float, float]]) -> None:
    points = pointed(pairs)
    front = scale.front(points)
    assert not [p for p in front if any(beats(other, p) for other in points)]
    places = {(p.speedup, p.loss) for p in front}
    rest = [p for p in points if (p.speedup, p.loss) not in places]
    assert all(any(beats(best, p) for best in front) for p in rest)


def test_who_has_a_place() -> None:
    assert [p.name for p in plot.points(magika())] == [
        "original",
        "dynamic-int8",
        "static-int8",
        "fp16",
        "prune-50",
    ]
    assert plot.missing(magika()) == ["prune-50+static-int8"]


@given(pairs=PAIRS, max_drop=strategies.sampled_from([0.0, 0.001, 0.01, 0.5, 1e9]))
def test_everything_stands_inside_the_picture(
    pairs: list[tuple[float, float]], max_drop: float
) -> None:
    report, points = magika(max_drop), pointed(pairs)
    fitted = scale.fitted(report, points)
    for x in (fitted.x(p.speedup) for p in points):
        assert scale.LEFT <= x <= scale.WIDTH - scale.RIGHT
    for y in (fitted.y(p.loss) for p in points):
        assert scale.TOP <= y <= scale.HEIGHT - scale.BOTTOM
    assert fitted.slow < 1 < fitted.fast
    assert fitted.least < max(max_drop, 0) <= fitted.most
    assert 0.0 in fitted.losses()
    assert len(fitted.losses()) <= 12


@given(pairs=PAIRS)
def test_faster_is_further_right_and_worse_further_up(pairs: list[tuple[float, float]]) -> None:
    points = pointed(pairs)
    fitted = scale.fitted(magika(), points)
    by_speed = [fitted.x(p.speedup) for p in sorted(points, key=lambda p: p.speedup)]
    by_loss = [fitted.y(p.loss) for p in sorted(points, key=lambda p: p.loss)]
    assert by_speed == sorted(by_speed)
    assert by_loss == sorted(by_loss, reverse=True)


def test_names_hide_neither_names_nor_marks() -> None:
    points = pointed([(1.0, 0.0), (1.01, 0.0), (1.02, 0.001), (1.0, 0.001), (1.8, 0.002)])
    fitted = scale.fitted(magika(), points)
    taken: list[plot.Box] = []
    for point in points:
        box = plot._free(fitted, point, 70, taken)
        assert not any(plot._meet(box, other) for other in taken)
        taken.append(box)


@pytest.mark.parametrize(("loss", "beyond"), [(0.02, False), (0.03, True), (-0.02, True)])
def test_the_scale_ends_near_the_gate(loss: float, beyond: bool) -> None:  # noqa: FBT001
    fitted = scale.fitted(magika(), pointed([(1.5, loss)]))
    assert fitted.beyond(loss) is beyond
