"""MAE and RMSE by hand, and what a lost sample costs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.api.v1alpha1 import Metric
from tightship.optimize.failures import RefusalError
from tightship.optimize.metrics import registry
from tightship.optimize.metrics.base import Judged, Truth

LABELS = np.array([1.0, 2.0, 3.0, 6.0])


def judged(metric: str, labels: np.ndarray, answers: np.ndarray) -> Judged:
    truth = registry.check(Metric(metric), Truth(labels=labels))
    return registry.judge(metric, truth, {}, {"y": answers})


# Errors 1, 0, -2, 3.
CASES = {
    "mae": ("mae", LABELS, np.array([[2], [2], [1], [9]], np.float32), 6 / 4),
    "rmse": ("rmse", LABELS, np.array([[2], [2], [1], [9]], np.float32), math.sqrt(14 / 4)),
    "whole numbers": ("mae", LABELS, np.array([2, 2, 1, 9]), 6 / 4),
    "nothing wrong": ("rmse", LABELS, LABELS.astype(np.float32), 0.0),
    "several numbers a sample": (
        "mae",
        np.array([[0, 0], [2, 4]]),
        np.array([[1, 0], [2, 7]], np.float32),
        4 / 4,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_errors(name: str) -> None:
    metric, labels, answers, expected = CASES[name]
    found = judged(metric, labels, answers)
    assert found.value == pytest.approx(expected)
    assert found.parts.mean() == pytest.approx(expected)


def test_they_are_those_of_scikit_learn() -> None:
    # sklearn.metrics.mean_absolute_error and root_mean_squared_error 1.9.1.
    labels = np.sin(np.arange(60) * 1.3)
    answers = labels + 0.2 * np.cos(np.arange(60) * 2.9)
    assert judged("mae", labels, answers).value == pytest.approx(0.12653324153860965)
    assert judged("rmse", labels, answers).value == pytest.approx(0.14088277097271282)


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_an_answer_that_is_not_finite_is_worse_than_any(metric: str) -> None:
    answers = LABELS.copy()
    answers[2] = np.nan
    assert 1e20 < judged(metric, LABELS, answers).value < math.inf


NUMBERS = st.lists(st.floats(-100, 100), min_size=3, max_size=12)


@given(errors=NUMBERS, factor=st.floats(1, 5))
def test_larger_errors_are_never_better(errors: list[float], factor: float) -> None:
    labels = np.arange(float(len(errors)))
    for metric in ("mae", "rmse"):
        small = judged(metric, labels, labels + errors)
        large = judged(metric, labels, labels + factor * np.array(errors))
        turned = judged(metric, labels[::-1].copy(), (labels + errors)[::-1].copy())
        assert 0 <= small.value <= large.value + 1e-9
        assert turned.value == pytest.approx(small.value)


def test_unseen_losses_have_the_scale_of_the_labels() -> None:
    rng = np.random.default_rng(4)
    labels = rng.standard_normal(1000)
    answers = labels + 0.1 * rng.standard_normal(1000)
    for metric in ("mae", "rmse"):
        small = judged(metric, labels, answers).unseen(1000, 1.6449)
        large = judged(metric, 10 * labels, 10 * answers).unseen(1000, 1.6449)
        assert large == pytest.approx(10 * small)
    perfect = judged("rmse", labels, labels).unseen(1000, 1.6449)
    assert 0.05 < perfect < 0.12  # sqrt(3 * 0.0027): the root is steep near zero


REFUSED = {
    "text": (np.array(["a", "b"]), "give the right number"),
    "not finite": (np.array([1.0, np.inf]), "not finite"),
    "all the same": (np.ones(4), "all the same"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_do_not_fit(name: str) -> None:
    labels, hint = REFUSED[name]
    with pytest.raises(RefusalError, match=hint):
        registry.check(Metric.RMSE, Truth(labels=labels))
