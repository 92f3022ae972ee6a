"""Scores of samples, and what the gate makes of answers that are not finite or collapsed."""

import numpy as np
import pytest

from tightship.api.v1alpha1 import Metric
from tightship.optimize import metric
from tightship.optimize.failures import RefusalError

LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.5, 0.2, 0.1]], np.float32)
LABELS = np.array([0, 1, 2])

ACCURACY = {
    "greatest column": ({"y": LOGITS}, [1, 1, 0]),
    "whole-number output is the class": ({"p": LOGITS, "label": np.array([0, 2, 2])}, [1, 0, 1]),
    "whole-number column": ({"label": np.array([[0], [1], [2]])}, [1, 1, 1]),
    "one probability": ({"y": np.array([[0.1], [0.9], [0.8]], np.float32)}, [1, 1, 1]),
    "not a number is no class": ({"y": np.full((3, 3), np.nan, np.float32)}, [0, 0, 0]),
}


@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy(name: str) -> None:
    outputs, expected = ACCURACY[name]
    assert metric.scores(Metric.ACCURACY, outputs, LABELS).tolist() == expected


def test_outputs_that_fit_no_metric_are_refused() -> None:
    images = {"y": np.zeros((3, 4, 4), np.float32)}
    for kind in Metric:
        with pytest.raises(RefusalError, match="cannot be judged"):
            metric.scores(kind, images, LABELS)


def test_reciprocal_ranks_among_candidates_only() -> None:
    # Two questions, then three answers; question 1 lies nearer to a wrong answer, and question 0
    # and 1 lie nearest to each other, which must not count.
    vectors = np.array([[1, 0], [0.95, 0.05], [1, 0.1], [0, 1], [-1, 0]], np.float32)
    labels = np.array([2, 3, -1, -1, -1])
    assert metric.scores(Metric.MRR, {"e": vectors}, labels).tolist() == [1.0, 0.5]


def test_collapsed_embeddings_rank_last() -> None:
    labels = np.array([4, 5, 6, 7, -1, -1, -1, -1])
    for value in (1.0, 0.0, np.nan):
        collapsed = {"e": np.full((8, 3), value, np.float32)}
        assert metric.scores(Metric.MRR, collapsed, labels).tolist() == [0.25] * 4


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
    "whole numbers": (np.array([1, 2]), np.array([1, 3]), 0.5),
    "text": (np.array(["a", "b"]), np.array(["a", "b"]), 1.0),
    "not a number": (LOGITS, np.full_like(LOGITS, np.nan), 0.0),
    "another shape": (LOGITS, LOGITS[:, :2], 0.0),
}


@pytest.mark.parametrize("name", AGREEMENT)
def test_agreement(name: str) -> None:
    expected, actual, share = AGREEMENT[name]
    assert metric.agreement({"y": expected}, {"y": actual}).mean() == share


def test_fidelity_of_answers_that_are_not_finite_is_a_number() -> None:
    found = metric.fidelity({"y": LOGITS}, {"y": np.full_like(LOGITS, np.inf)})
    assert found["cosineMin"] == 0.0
    assert np.isfinite(list(found.values())).all()
