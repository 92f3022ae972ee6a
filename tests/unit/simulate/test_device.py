"""One device against the plain simulator, and small cases that are worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import plain_simulator

from tightship.simulate.arrivals import Routing, streams
from tightship.simulate.device import Run, Sharing, run
from tightship.simulate.tenants import Tenants, linear, tenants

SECONDS = 20.0


def ran(copies: Tenants, arrivals: list[list[float]], sharing: Sharing | None = None) -> Run:
    return run(
        copies, [np.array(one) for one in arrivals], sharing or Sharing(), (0.0, SECONDS), SECONDS
    )


@st.composite
def fleets(draw: st.DrawFn) -> Tenants:
    """Devices of one to four copies, from idle to overloaded, with every setting of Triton's."""
    count = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = rng.integers(1, 9, count)
    clients = rng.integers(1, 6, count) * (rng.random(count) < 0.2)
    limited = clients == 0
    return tenants(
        rate=np.where(clients, 0, rng.uniform(0, 12, count)),
        cv=rng.uniform(0.3, 3, count),
        clients=clients,
        pause=rng.uniform(0, 0.05, count),
        slo=rng.uniform(0.05, 0.5, count),
        curves=linear(rng.uniform(0.005, 0.1, count), rng.uniform(0.001, 0.03, count), sizes),
        max_batch=sizes,
        delay=rng.uniform(0, 0.2, count) * rng.integers(0, 2, count),
        instances=rng.integers(1, 4, count),
        queue=rng.integers(1, 6, count) * limited * rng.integers(0, 2, count),
        timeout=np.where(limited & (rng.random(count) < 0.5), rng.uniform(0.01, 1, count), np.inf),
    )


@settings(max_examples=150, deadline=None)
@given(fleets(), st.booleans(), st.sampled_from([0.0, 0.3]), st.integers(0, 100))
def test_every_request_takes_as_long_as_in_plain_python(
    copies: Tenants,
    exclusive: bool,  # noqa: FBT001 (drawn)
    interference: float,
    seed: int,
) -> None:
    sharing = Sharing(exclusive=exclusive, interference=interference)
    arrivals = streams(copies, SECONDS, seed, Routing.RANDOM)
    found = run(copies, arrivals, sharing, (0.0, SECONDS), SECONDS).latencies
    plain = plain_simulator.run(copies, arrivals, sharing, SECONDS)
    for mine, reference in zip(found, plain, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=0, atol=1e-8)


ONE = tenants(rate=1, slo=1, curves=[[1.0, 1.5, 2.0]], max_batch=3)
TWO = tenants(rate=1, slo=1, curves=[[1.0], [2.0]])


@pytest.mark.parametrize(
    ("changes", "arrivals", "latencies"),
    [
        pytest.param({}, [0, 0.1, 0.2], [1, 2.4, 2.3], id="what waits goes as one batch"),
        pytest.param({}, [0, 0.1, 0.2, 0.3, 0.4], [1, 2.9, 2.8, 2.7, 3.6], id="up to the largest"),
        pytest.param({"delay": 0.5}, [0, 0.3], [2, 1.7], id="a batch waits for the delay"),
        pytest.param({"delay": 0.5}, [0, 0.1, 0.2], [2.2, 2.1, 2], id="unless it is full"),
        pytest.param({"delay": 0.5}, [0, 0.8], [1.5, 1.7], id="the delay runs while others run"),
        pytest.param({"instances": 2}, [0, 0.5], [1.5, 1.5], id="instances share the device"),
        pytest.param({"queue": 1}, [0, 0.1, 0.2], [1, 1.9, np.inf], id="one more is refused"),
        pytest.param({"timeout": 0.5}, [0, 0.1, 0.6], [1, np.inf, 1.4], id="late ones die early"),
        pytest.param({"timeout": 0.9}, [0, 0.1], [1, 1.9], id="in time to the last"),
        pytest.param(
            {"timeout": 0.5, "queue": 1}, [0, 0.1, 0.7], [1, np.inf, 1.3], id="and leave room"
        ),
    ],
)
def test_a_copy(changes: dict[str, float], arrivals: list[float], latencies: list[float]) -> None:
    copy = replace(ONE, **{field: np.array([value]) for field, value in changes.items()})
    np.testing.assert_allclose(ran(copy, [arrivals]).latencies[0], latencies)


@pytest.mark.parametrize(
    ("sharing", "latencies"),
    [
        pytest.param(Sharing(), [2, 3], id="side by side"),
        pytest.param(Sharing(interference=0.5), [3, 4], id="in each other's way"),
        pytest.param(Sharing(exclusive=True), [1, 3], id="one after the other"),
        pytest.param(Sharing(exclusive=True, interference=0.5), [1, 3], id="never side by side"),
    ],
)
def test_two_copies(sharing: Sharing, latencies: list[float]) -> None:
    found = ran(TWO, [[0.0], [0.0]], sharing)
    np.testing.assert_allclose(np.concatenate(found.latencies), latencies)
    assert found.busy == pytest.approx(max(latencies))


def test_the_rate_limiter_lets_the_one_go_that_has_executed_least() -> None:
    found = ran(TWO, [[0.0, 0.1, 0.2], [0.3]], Sharing(exclusive=True))
    np.testing.assert_allclose(found.latencies[0], [1, 3.9, 4.8])
    np.testing.assert_allclose(found.latencies[1], [2.7])


def test_interference_is_between_models() -> None:
    copy = tenants(rate=1, slo=1, curves=[[1.0]], instances=2)
    found = ran(copy, [[0.0, 0.0]], Sharing(interference=0.5))
    np.testing.assert_allclose(found.latencies[0], [2, 2])


def test_a_closed_loop_asks_again_after_its_answer() -> None:
    copy = tenants(rate=0, clients=2, pause=0.5, slo=1, curves=[[1.0, 1.5]], max_batch=2)
    [arrivals] = streams(copy, 5.0, 0, Routing.RANDOM)
    found = run(copy, [arrivals], Sharing(), (0.0, 5.0), 5.0)
    np.testing.assert_allclose(found.arrivals[0], [0, 0, 2, 2, 4, 4])
    np.testing.assert_allclose(found.latencies[0], np.full(6, 1.5))


def test_busy_time_is_that_of_the_window() -> None:
    copy = tenants(rate=1, slo=1, curves=[[1.0]])
    found = run(copy, [np.array([0.0, 3.0, 5.5])], Sharing(), (0.5, 6.0), 6.0)
    assert found.busy == pytest.approx(0.5 + 1 + 0.5)
