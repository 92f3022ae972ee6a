"""The accuracy gate: bounds against tables, sources and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.optimize import gate

# Upper 95 % one-sided bounds of (lost - won) / n. The first two rows have the closed form
# z^2 / (n + z^2). The others were found by maximising the constrained likelihood numerically for
# each trial value (SciPy), which shares no formula with the closed form of the implementation.
TANGO = [
    (0, 0, 300, 0.008938),
    (0, 0, 1000, 0.002698),
    (5, 3, 797, 0.009523),
    (3, 5, 797, 0.003889),
    (10, 0, 500, 0.033174),
    (20, 25, 687, 0.009021),
    (50, 10, 400, 0.132413),
]


@pytest.mark.parametrize(("lost", "won", "n", "expected"), TANGO)
def test_tango_bound(lost: int, won: int, n: int, expected: float) -> None:
    assert gate.tango_upper(lost, won, n, 0.95) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [
        (0.95, 5, 2.0150),
        (0.95, 10, 1.8125),
        (0.975, 5, 2.5706),
        (0.95, 383, 1.6488),
        (0.9, 30, 1.3104),
    ],
)
def test_student_quantile(probability: float, freedom: int, expected: float) -> None:
    assert gate.student_quantile(probability, freedom) == pytest.approx(expected, rel=2e-3)


def _scores(n: int, wrong: int) -> np.ndarray:
    scores = np.ones(n)
    scores[:wrong] = 0
    return scores


VERDICTS = [
    # n, wrong before, wrong after, allowed, passes, hopeless
    ("equal on enough samples", 300, 10, 10, 0.01, True, False),
    ("equal on too few samples", 200, 10, 10, 0.01, False, False),
    ("one in a thousand lost", 1000, 10, 11, 0.01, True, False),
    ("as much lost as allowed", 1000, 10, 20, 0.01, False, False),
    ("far more lost than allowed", 1000, 10, 200, 0.01, False, True),
    ("better than the original", 300, 30, 10, 0.01, True, False),
    ("no drop is allowed", 10_000, 0, 0, 0.0, False, False),
    ("five samples say nothing", 5, 0, 5, 0.5, False, False),
]


@pytest.mark.parametrize(
    ("n", "before", "after", "allowed", "passes", "hopeless"),
    [case[1:] for case in VERDICTS],
    ids=[case[0] for case in VERDICTS],
)
def test_verdict(
    n: int, before: int, after: int, allowed: float, *, passes: bool, hopeless: bool
) -> None:
    verdict = gate.judge(_scores(n, before), _scores(n, after), allowed, 0.95)
    assert (verdict.passes, verdict.hopeless) == (passes, hopeless)
    assert verdict.drop == pytest.approx((after - before) / n)


def test_ranks_are_judged_by_their_mean_and_spread() -> None:
    before = np.tile([1.0, 0.5, 0.25, 0.2], 100)
    same, worse = before.copy(), before * 0.9

    assert gate.judge(before, same, 0.01, 0.95).upper == pytest.approx(gate.resolution(400, 0.95))
    assert gate.judge(before, worse, 0.01, 0.95).hopeless
    assert gate.judge(before, worse, 0.1, 0.95).passes


@given(
    n=st.integers(10, 2000),
    shares=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    confidence=st.sampled_from([0.9, 0.95, 0.99]),
)
def test_bound_is_above_the_estimate_and_the_data_resolution(
    n: int, shares: tuple[float, float], confidence: float
) -> None:
    lost, won = (int(share * n) for share in shares)
    upper = gate.tango_upper(lost, won, n, confidence)
    assert (lost - won) / n <= upper <= 1
    assert gate.tango_upper(lost + 1, won, n, confidence) > upper
    if lost == won == 0:
        assert upper == pytest.approx(gate.resolution(n, confidence))


@given(drop=st.floats(0.001, 0.5), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_samples_needed_are_just_enough(drop: float, confidence: float) -> None:
    needed = gate.samples_needed(drop, confidence)
    assert needed is not None
    assert gate.resolution(needed, confidence) <= drop * (1 + 1e-6)
    assert needed <= 1 or gate.resolution(needed - 1, confidence) > drop


def test_no_number_of_samples_shows_no_drop() -> None:
    assert gate.samples_needed(0.0, 0.95) is None


def test_bound_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    n, lost, won, rounds = 600, 0.02, 0.01, 600
    draws = rng.multinomial(n, [lost, won, 1 - lost - won], size=rounds)
    covered = [gate.tango_upper(int(b), int(c), n, 0.95) >= lost - won for b, c, _ in draws]
    assert np.mean(covered) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / rounds)
