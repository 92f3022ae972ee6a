"""Agreement with the original, and cosine with reference vectors."""

import numpy as np
import pytest

from tightship.api.v1alpha1 import Metric
from tightship.optimize.failures import RefusalError
from tightship.optimize.metrics import fidelity, registry
from tightship.optimize.metrics.base import Truth

LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.5, 0.2, 0.1]], np.float32)
PRICES = np.array([[100.0], [104.0], [98.0], [101.0]], np.float32)  # standard deviation 2.2
HOLED = np.array([[2.0, np.nan, 0.5], [-np.inf, 3.0, 1.0]], np.float32)

AGREEMENT = {
    "equal": (LOGITS, LOGITS, 1.0),
    "scaled scores keep their class": (LOGITS, LOGITS * 2, 1.0),
    "another class": (LOGITS, LOGITS[:, ::-1], 0.0),
    "near, but another class": (
        np.array([[1.0, 0.999]], np.float32),
        np.array([[0.999, 1.0]], np.float32),
        0.0,
    ),
    "near, without classes": (
        np.array([[[1.0, 0.999]]], np.float32),
        np.array([[[0.999, 1.0]]], np.float32),
        1.0,
    ),
    "unit vectors have no classes": (
        np.array([[0.6, -0.5656854, 0.5656855]], np.float32),
        np.array([[0.6, -0.5656855, 0.5656854]], np.float32),
        1.0,
    ),
    "lone numbers, near": (PRICES, PRICES + np.float32(0.3), 1.0),
    "lone numbers, near for their size but not for their spread": (
        PRICES,
        PRICES + np.array([[0.0], [2.0], [-2.0], [0.0]], np.float32),
        0.5,
    ),
    "lone probabilities of one sign": (
        np.array([0.9, 0.1, 0.8], np.float32),
        np.array([0.1, 0.9, 0.8], np.float32),
        1 / 3,
    ),
    "lone numbers that are all the same": (
        np.ones((2, 1), np.float32),
        np.array([[1.0000001], [1.01]], np.float32),
        0.5,
    ),
    "lone numbers, not finite": (
        np.array([np.nan, np.inf, 1.0, np.nan], np.float32),
        np.array([np.nan, np.inf, np.inf, 1.0], np.float32),
        0.5,
    ),
    "whole numbers": (np.array([1, 2]), np.array([1, 3]), 0.5),
    "text": (np.array(["a", "b"]), np.array(["a", "b"]), 1.0),
    "not a number": (LOGITS, np.full_like(LOGITS, np.nan), 0.0),
    "the same not a number": (HOLED, HOLED, 1.0),
    "near, but for the same not a number": (HOLED, HOLED * np.float32(1.001), 1.0),
    "not a number elsewhere": (HOLED, HOLED[:, ::-1], 0.0),
    "another shape": (LOGITS, LOGITS[:, :2], 0.0),
}


@pytest.mark.parametrize("name", AGREEMENT)
def test_agreement(name: str) -> None:
    expected, actual, share = AGREEMENT[name]
    assert registry.judge(None, None, {"y": expected}, {"y": actual}).value == share


def test_fidelity_of_answers_that_are_not_finite_is_a_number() -> None:
    found = fidelity.fidelity({"y": LOGITS}, {"y": np.full_like(LOGITS, np.inf)})
    assert found["cosineMin"] == 0.0
    assert np.isfinite(list(found.values())).all()


REFERENCE = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]])
COSINE = {
    "the same direction": (REFERENCE * 5, [1, 1, 1]),
    "by hand": (np.array([[1.0, 1.0], [0.0, 1.0], [-3.0, -4.0]]), [0.5**0.5, 1, -1]),
    "not a number": (np.full((3, 2), np.nan), [0, 0, 0]),
    "another shape of the same size": (REFERENCE.reshape(3, 1, 2), [1, 1, 1]),
}


@pytest.mark.parametrize("name", COSINE)
def test_cosine(name: str) -> None:
    answers, expected = COSINE[name]
    truth = registry.check(Metric.COSINE, Truth(labels=REFERENCE))
    found = registry.judge("cosine", truth, {}, {"y": answers.astype(np.float32)})
    assert found.parts == pytest.approx(expected, abs=1e-6)


REFUSED = {
    "classes": (np.array([0, 1]), "reference vector"),
    "zeros": (np.array([[0.0, 0.0], [1.0, 0.0]]), "all zero"),
    "not finite": (np.array([[np.nan, 0.0], [1.0, 0.0]]), "not finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_do_not_fit(name: str) -> None:
    labels, hint = REFUSED[name]
    with pytest.raises(RefusalError, match=hint):
        registry.check(Metric.COSINE, Truth(labels=labels))
