import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.plan.pack.feasibility import (
    LEVELS,
    RHO_MAX,
    ROOM_MAX,
    Execution,
    Serving,
    burstiness,
    deviation,
    duty,
    fixed,
    p99,
    room,
    second_moment,
    slack,
    wait,
)

duties = st.floats(0, 0.999)
moments = st.floats(1e-9, 10)
executions = st.sampled_from(Execution)


def test_the_formulas_at_values_worked_by_hand() -> None:
    assert duty(100, 0.01, 4) == pytest.approx(0.25)
    assert second_moment(100, 0.01, 4) == pytest.approx(0.0025)
    assert wait(0.5, 0.01) == pytest.approx(0.01 / (2 * 0.5) * math.log(50) / 0.5)
    assert burstiness([0.0, 1.0, 2.0, 9.0]) == pytest.approx([1, 1, 2.5, 8.5])
    one = Serving(network=0.001, delay=0.001, longest=0.01, k=2.0, u=0.0, v=0.0)
    shared = p99(one, 0.5, 1e-12, Execution.SHARED)
    alone = p99(one, 0.5, 1e-12, Execution.EXCLUSIVE)
    assert [float(shared), float(alone)] == pytest.approx([0.022, 0.012], abs=1e-4)


def test_side_by_side_a_request_waits_for_its_own_model_while_its_delay_passes() -> None:
    one = Serving(network=0.0, delay=0.002, longest=0.01, k=1.0, u=0.1, v=0.001)
    waited = 0.01 * 2 * (1 - 0.01 / 0.2)  # executions of 10 ms, twice as long, meet 20 %
    assert fixed(one, 0.5, Execution.SHARED) == pytest.approx(waited)
    assert fixed(one, 0.5, Execution.EXCLUSIVE) == pytest.approx(0.002)
    assert fixed(one._replace(delay=0.1), 0.5, Execution.SHARED) == pytest.approx(0.1)
    assert fixed(one._replace(u=0.004), 0.5, Execution.SHARED) == pytest.approx(0.002)


def test_a_saturated_device_waits_for_ever_and_one_without_work_not_at_all() -> None:
    assert np.isinf(wait([1.0, 1.5], 0.01)).all()
    assert wait([0.0, 0.5, 1.0], 0.0).tolist() == [0, 0, 0]


@given(duties, moments, moments)
def test_more_work_never_waits_less_at_the_same_duty(rho: float, v: float, more: float) -> None:
    assert wait(rho, v + more) >= wait(rho, v)


@given(duties, moments)
def test_room_is_the_inverse_of_the_wait_and_bounded_by_its_maximum(rho: float, v: float) -> None:
    sigma = float(v / room(rho))
    assert wait(rho, v) == pytest.approx(sigma)
    assert room(min(rho, RHO_MAX)) <= ROOM_MAX


copies = st.builds(
    Serving,
    network=st.floats(0, 0.01),
    delay=st.floats(0, 0.01),
    longest=st.floats(1e-4, 0.1),
    k=st.floats(0.5, 8),
    u=st.floats(1e-4, 0.7),
    v=st.floats(1e-9, 0.01),
)


@given(st.floats(0.001, 1), copies, duties, moments, executions)
def test_slack_says_what_the_prediction_says(
    slo: float, one: Serving, rho: float, v: float, execution: Execution
) -> None:
    left = float(slack(slo, one, rho, execution)) - float(wait(rho, v))
    predicted = float(p99(one, rho, v, execution))
    near = abs(slo - predicted) < 1e-3 * slo
    assert near or (predicted < slo) == (left > 0)


@given(st.floats(1e-3, 1), st.floats(0.03, 0.99), st.floats(1e-2, 1e3))
def test_deviation_is_yashkovs_integral(x: float, rho: float, y: float) -> None:
    w = x * y
    t = np.linspace(0.0, x, 4001)
    beyond = rho * np.exp(-t / w)
    variance = 2 / (1 - rho) ** 2 * np.trapezoid((x - t) * beyond, t)
    assert deviation(x, rho, w) == pytest.approx(math.sqrt(variance), rel=1e-3)


@given(st.floats(1e-4, 1), st.floats(0.03, 0.99))
def test_no_work_beside_it_makes_a_short_execution_wait_beyond_a_bound(
    x: float, rho: float
) -> None:
    most = x * math.sqrt(rho) / (1 - rho)
    assert deviation(x, rho, 1e9) == pytest.approx(most, rel=1e-3)
    one = Serving(network=0.0, delay=0.0, longest=x, k=1.0, u=0.0, v=0.0)
    assert np.isinf(slack(1e6 * x, one, rho, Execution.SHARED))


@given(duties, copies, executions)
def test_a_lower_duty_never_has_less_slack(rho: float, one: Serving, execution: Execution) -> None:
    tabled = slack(1.0, one, np.array(LEVELS), execution)
    assert (tabled[1:] <= tabled[:-1] * (1 + 1e-9)).all()
    if rho <= RHO_MAX:
        level = int(np.searchsorted(LEVELS, rho))
        assert slack(1.0, one, rho, execution) >= tabled[level] * (1 - 1e-9)
