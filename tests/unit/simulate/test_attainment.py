"""Streams of requests, and what is told of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tightship.simulate.arrivals import Routing, streams
from tightship.simulate.attainment import attained
from tightship.simulate.device import Sharing
from tightship.simulate.tenants import Tenants, linear, rows, tenants

FLEET = tenants(
    model=[7, 7, 3, 5],
    device=[0, 1, 1, 0],
    rate=[40, 20, 60, 30],
    cv=[2, 2, 1, 0.5],
    slo=[0.05, 0.05, 0.02, 0.1],
    curves=linear([0.004] * 4, [0.001] * 4, 8),
    max_batch=8,
    delay=0.002,
)


@pytest.mark.parametrize("cv", [0.2, 1.0, 3.0])
def test_a_stream_has_its_rate_and_variation(cv: float) -> None:
    [arrivals] = streams(tenants(rate=50, cv=cv, slo=1, curves=[[0.01]]), 4000, 1, Routing.RANDOM)
    gaps = np.diff(arrivals)
    assert gaps.min() >= 0
    assert arrivals[-1] < 4000
    assert 1 / gaps.mean() == pytest.approx(50, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)


def test_a_model_meets_the_same_requests_wherever_its_copies_are() -> None:
    elsewhere = rows(replace(FLEET, device=np.array([4, 2, 2, 9])), np.array([2, 3]))
    here = streams(FLEET, 100, 5, Routing.RANDOM)
    for mine, other in zip(here[2:], streams(elsewhere, 100, 5, Routing.RANDOM), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert not np.array_equal(here[2], streams(FLEET, 100, 6, Routing.RANDOM)[2])


def test_copies_take_the_requests_of_their_model_by_their_rates() -> None:
    [one] = streams(replace(rows(FLEET, np.array([0])), rate=np.array([60.0])), 1000, 0,
                    Routing.RANDOM)  # fmt: skip
    first, second, *_ = streams(FLEET, 1000, 0, Routing.RANDOM)
    np.testing.assert_array_equal(np.sort(np.concatenate([first, second])), one)
    assert len(first) / len(one) == pytest.approx(2 / 3, rel=0.03)


def test_round_robin_takes_turns() -> None:
    equal = replace(FLEET, rate=np.array([30.0, 30.0, 60.0, 30.0]))
    first, second, *_ = streams(equal, 100, 0, Routing.ROUND_ROBIN)
    [one] = streams(replace(rows(equal, np.array([0])), rate=np.array([60.0])), 100, 0,
                    Routing.RANDOM)  # fmt: skip
    np.testing.assert_array_equal(first, one[::2])
    np.testing.assert_array_equal(second, one[1::2])
    with pytest.raises(ValueError, match="round robin needs copies of equal rate"):
        streams(FLEET, 100, 0, Routing.ROUND_ROBIN)


def test_nothing_depends_on_the_order_of_the_copies() -> None:
    found = attained(FLEET, seconds=200, warmup=5, seed=3)
    other = attained(rows(FLEET, np.array([0, 3, 2, 1])), seconds=200, warmup=5, seed=3)
    assert found.model.tolist() == [3, 5, 7]
    np.testing.assert_array_equal(found.offered, other.offered)
    np.testing.assert_array_equal(found.good, other.good)
    np.testing.assert_array_equal(found.p99, other.p99)


def test_what_is_told_is_of_all_requests_of_the_window() -> None:
    tight = replace(FLEET, queue=np.full(4, 2), timeout=np.full(4, 0.005))
    found = attained(tight, seconds=200, warmup=5, seed=3)
    arrivals = streams(tight, 205.1, 3, Routing.RANDOM)
    inside = [np.count_nonzero((one >= 5) & (one < 205)) for one in arrivals]
    assert found.offered.tolist() == [inside[2], inside[3], inside[0] + inside[1]]
    assert (found.refused > 0).all()
    assert (found.good + found.refused <= found.offered).all()
    assert (found.share < 1).all()
    assert (found.p50 <= found.p99).all()
    assert found.satisfied(0.0) == 1.0


def test_an_idle_model_lacks_nothing() -> None:
    found = attained(tenants(rate=[0, 5], slo=1, curves=[[0.01]]), seconds=10)
    assert found.share.tolist() == [1, 1]
    assert np.isnan(found.p99).tolist() == [True, False]


def test_an_overloaded_model_fails_most_of_its_requests() -> None:
    found = attained(tenants(rate=200, slo=0.1, curves=[[0.01]]), seconds=20)
    assert found.share[0] < 0.1
    assert found.busy[0] == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "need"),
    [
        ({"model": [0, -1]}, "copy 1: model is 0 or more"),
        ({"rate": [], "curves": np.empty((0, 1))}, "there are no copies"),
        ({"rate": [1, -1]}, "copy 1: rate is finite and 0 or more"),
        ({"cv": 0}, "copy 0: cv is above 0"),
        ({"clients": [0, -1]}, "copy 1: clients is 0 or more"),
        ({"clients": 2}, "a closed loop has no rate"),
        ({"clients": 2, "rate": 0, "queue": 1}, "a closed loop has neither queue nor timeout"),
        ({"clients": 2, "rate": 0, "pause": -1}, "pause is finite and 0 or more"),
        ({"slo": 0}, "slo is above 0"),
        ({"curves": [[0.0]]}, "every time of curves is finite and above 0"),
        ({"max_batch": 2}, "max_batch is 1 up to the columns of curves"),
        ({"delay": np.inf}, "delay is finite and 0 or more"),
        ({"instances": 0}, "instances is 1 or more"),
        ({"queue": -1}, "queue is 0 or more"),
        ({"timeout": 0}, "timeout is above 0"),
        ({"model": 1, "cv": [1, 2]}, "copies of one model have the same cv and slo"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], need: str) -> None:
    with pytest.raises(ValueError, match=need):
        _two(**changes)


def _two(**changes: object) -> Tenants:
    return tenants(**{"rate": 1, "slo": 1, "curves": [[0.01], [0.01]], **changes})  # type: ignore[arg-type]


def test_times_and_interference_are_checked() -> None:
    with pytest.raises(ValueError, match="seconds is above 0"):
        attained(FLEET, seconds=0)
    with pytest.raises(ValueError, match="interference is finite"):
        Sharing(interference=-0.1)
