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
    burstiness,
    deviation,
    duty,
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
    shared = p99(0.002, 0.01, 2.0, 0.5, 0.0, Execution.SHARED)
    alone = p99(0.002, 0.01, 2.0, 0.5, 0.0, Execution.EXCLUSIVE)
    assert [float(shared), float(alone)] == pytest.approx([0.022, 0.012])


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


@given(
    st.floats(0.001, 1), st.floats(0, 0.01), st.floats(1e-4, 0.1), st.floats(0.5, 8),
    duties, moments, executions,
)  # fmt: skip
def test_slack_says_what_the_prediction_says(
    slo: float, fixed: float, longest: float, k: float, rho: float, v: float, execution: Execution
) -> None:
    left = float(slack(slo, fixed, longest, k, rho, execution)) - float(wait(rho, v))
    predicted = float(p99(fixed, longest, k, rho, v, execution))
    near = abs(slo - predicted) < 1e-3 * slo
    assert near or (predicted < slo) == (left > 0)


@given(st.floats(1e-4, 1), st.floats(0.03, 0.99), st.floats(1e-6, 1))
def test_deviation_is_yashkovs_integral(x: float, rho: float, w: float) -> None:
    t = np.linspace(0.0, x, 4001)
    beyond = rho * np.exp(-t / w)
    variance = 2 / (1 - rho) ** 2 * np.trapezoid((x - t) * beyond, t)
    assert deviation(x, rho, w) == pytest.approx(math.sqrt(variance), rel=2e-2)


@given(st.floats(1e-4, 1), st.floats(0.03, 0.99))
def test_no_work_beside_it_makes_a_short_execution_wait_beyond_a_bound(
    x: float, rho: float
) -> None:
    most = x * math.sqrt(rho) / (1 - rho)
    assert deviation(x, rho, 1e9) == pytest.approx(most, rel=1e-3)
    assert np.isinf(slack(1e6 * x, 0.0, x, 1.0, rho, Execution.SHARED)) or rho > 0.9


@given(duties, st.floats(1e-4, 0.1), executions)
def test_a_lower_duty_never_has_less_slack(
    rho: float, longest: float, execution: Execution
) -> None:
    tabled = slack(1.0, 0.0, longest, 1.0, np.array(LEVELS), execution)
    assert (tabled[1:] <= tabled[:-1] * (1 + 1e-9)).all()
    if rho <= RHO_MAX:
        level = int(np.searchsorted(LEVELS, rho))
        assert slack(1.0, 0.0, longest, 1.0, rho, execution) >= tabled[level] * (1 - 1e-9)
