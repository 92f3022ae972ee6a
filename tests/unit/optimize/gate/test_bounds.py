"""The bounds against tables, sources and simulation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.optimize.gate import needs, score, tango, verdict
from tightship.optimize.metrics import registry, text
from tightship.optimize.metrics.base import Judged, Truth, of_scores

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
    assert tango.upper(lost, won, n, 0.95) == pytest.approx(expected, abs=2e-6)


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
    assert score.student_quantile(probability, freedom) == pytest.approx(expected, rel=2e-3)


def test_wilson_bounds_solve_their_equation() -> None:
    for share, n in ((0.0, 50), (0.3, 50), (0.97, 700)):
        for bound in tango.wilson(share, n, 0.95):
            variance = 1.644854**2 * bound * (1 - bound) / n
            assert (share - bound) ** 2 == pytest.approx(variance, rel=1e-4)
    assert tango.wilson(0.0, 300, 0.95)[1] == pytest.approx(tango.resolution(300, 0.95))


def test_the_bound_of_a_mean_is_students_where_nothing_is_unseen() -> None:
    parts = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    lower, upper = score.bounds(2.5, parts, 0.0, 0.95)
    margin = 2.015 * math.sqrt(3.5) / math.sqrt(6)
    assert (lower, upper) == pytest.approx((2.5 - margin, 2.5 + margin), rel=1e-3)


def test_the_bound_of_equal_parts_is_what_they_cannot_show() -> None:
    assert score.bounds(0.0, np.zeros(300), 0.009, 0.95) == pytest.approx((-0.009, 0.009))


@given(
    n=st.integers(10, 2000),
    shares=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    confidence=st.sampled_from([0.9, 0.95, 0.99]),
)
def test_bound_is_above_the_estimate_and_the_data_resolution(
    n: int, shares: tuple[float, float], confidence: float
) -> None:
    lost, won = (int(share * n) for share in shares)
    upper = tango.upper(lost, won, n, confidence)
    assert (lost - won) / n <= upper <= 1
    assert tango.upper(lost + 1, won, n, confidence) > upper
    if lost == won == 0:
        assert upper == pytest.approx(tango.resolution(n, confidence))


@given(drop=st.floats(0.001, 0.5), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_samples_needed_are_just_enough(drop: float, confidence: float) -> None:
    needed = needs.samples_needed(drop, confidence)
    assert needed is not None
    assert tango.resolution(needed, confidence) <= drop * (1 + 1e-6)
    assert needed <= 1 or tango.resolution(needed - 1, confidence) > drop


def test_no_number_of_samples_shows_no_drop() -> None:
    assert needs.samples_needed(0.0, 0.95) is None


ROUNDS = 500
LEAST = 0.95 - 3 * math.sqrt(0.95 * 0.05 / ROUNDS)


def test_tango_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    n, lost, won = 600, 0.02, 0.01
    draws = rng.multinomial(n, [lost, won, 1 - lost - won], size=ROUNDS)
    covered = [tango.upper(int(b), int(c), n, 0.95) >= lost - won for b, c, _ in draws]
    assert np.mean(covered) > LEAST


Drawn = tuple[str, Judged, Judged]


def _classes(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of three classes, answers with a tenth wrong, and the same with more wrong."""
    labels = np.concatenate([[0, 0, 1, 1, 2, 2], rng.choice(3, n - 6, p=[0.6, 0.3, 0.1])])
    before = np.where(rng.random(n) < 0.1, rng.integers(0, 3, n), labels)
    after = np.where(rng.random(n) < 0.03, rng.integers(0, 3, n), before)
    return labels, before, after


def draw_f1(n: int, rng: np.random.Generator) -> Drawn:
    labels, *answers = _classes(n, rng)
    found = [registry.judge("f1", Truth(labels=labels), {}, {"y": a}) for a in answers]
    return "f1", found[0], found[1]


def _auc(n: int, rng: np.random.Generator, classes: int) -> Drawn:
    labels = np.concatenate([np.repeat(np.arange(classes), 2), rng.integers(0, classes, n)])[:n]
    before = rng.standard_normal((n, classes))
    before[np.arange(n), labels] += 2
    after = before + 0.3 * rng.standard_normal((n, classes))
    lost = rng.random(n) < 0.01
    after[lost] = -before[lost]
    found = [registry.judge("auc", Truth(labels=labels), {}, {"y": a}) for a in (before, after)]
    return "auc", found[0], found[1]


def draw_auc(n: int, rng: np.random.Generator) -> Drawn:
    return _auc(n, rng, 2)


def draw_auc_of_three(n: int, rng: np.random.Generator) -> Drawn:
    return _auc(n, rng, 3)


def _numbers(n: int, rng: np.random.Generator, metric: str) -> Drawn:
    labels = rng.standard_normal(n)
    before = labels + 0.3 * rng.standard_normal(n)
    after = before + 0.1 * rng.standard_normal(n)
    after[rng.random(n) < 0.01] = 0.0
    truth = Truth(labels=labels[:, np.newaxis])
    found = [registry.judge(metric, truth, {}, {"y": a}) for a in (before, after)]
    return metric, found[0], found[1]


def draw_mae(n: int, rng: np.random.Generator) -> Drawn:
    return _numbers(n, rng, "mae")


def draw_rmse(n: int, rng: np.random.Generator) -> Drawn:
    return _numbers(n, rng, "rmse")


def draw_ranks(n: int, rng: np.random.Generator) -> Drawn:
    before = 1 / rng.choice([1, 1, 1, 2, 3], n)
    worse = rng.random(n) < 0.02
    return "mrr", of_scores(before), of_scores(np.where(worse, before / 2, before))


def draw_rates(n: int, rng: np.random.Generator) -> Drawn:
    """Edits over lengths, as `cer` has them, without the strings."""
    lengths = rng.integers(3, 40, n).astype(float)
    edits = rng.binomial(lengths.astype(int), 0.02).astype(float)
    more = np.where(rng.random(n) < 0.01, lengths, np.minimum(lengths, edits + (edits > 1)))
    return "cer", text.rate(edits, lengths), text.rate(more, lengths)


DRAWS: dict[str, tuple[Callable[[int, np.random.Generator], Drawn], int]] = {
    "f1": (draw_f1, 20_000),
    "auc": (draw_auc, 20_000),
    "auc of three": (draw_auc_of_three, 20_000),
    "mae": (draw_mae, 200_000),
    "rmse": (draw_rmse, 200_000),
    "mrr": (draw_ranks, 200_000),
    "cer": (draw_rates, 200_000),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_bound_covers_the_truth_as_often_as_it_says(name: str) -> None:
    """Upper and lower bound of a loss with rare, large and many small parts, 300 samples."""
    draw, large = DRAWS[name]
    rng = np.random.default_rng(11)
    metric, *whole = draw(large, rng)
    traits = registry.traits(metric)
    truth = traits.loss(whole[0].value, whole[1].value)
    above, below = 0, 0
    for _ in range(ROUNDS):
        _, before, after = draw(300, rng)
        lower, upper = verdict.loss_bounds(traits, before, after, 0.95)
        above += upper >= truth
        below += lower <= truth
    assert min(above, below) / ROUNDS > LEAST
