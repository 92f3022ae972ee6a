"""AUC against scikit-learn and DeLong's own formulas, MRR by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.api.v1alpha1 import Metric
from tightship.optimize.failures import RefusalError
from tightship.optimize.metrics import registry
from tightship.optimize.metrics.base import Judged, Truth


def auc(labels: np.ndarray, scores: np.ndarray) -> Judged:
    return registry.judge("auc", Truth(labels=labels), {}, {"y": scores})


YES = np.array([0, 0, 1, 1])

# Wins of the two samples of class 1 over the two of class 0, of four pairs; a tie is half.
AUC: dict[str, tuple[np.ndarray, float]] = {
    "one column": (np.array([[0.1], [0.4], [0.35], [0.8]]), 3 / 4),
    "a tie": (np.array([[0.1], [0.4], [0.4], [0.8]]), 3.5 / 4),
    "all right": (np.array([[0.1], [0.2], [0.3], [0.4]]), 1.0),
    "all wrong": (np.array([[0.4], [0.3], [0.2], [0.1]]), 0.0),
    "all equal": (np.ones((4, 1)), 0.5),
    "two columns of probabilities": (
        np.array([[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]]),
        3 / 4,
    ),
    "two columns of logits": (np.array([[0, -500.0], [0, 700], [0, 300], [0, 900]]), 3 / 4),
    "not a number loses": (np.array([[0.1], [0.4], [np.nan], [0.8]]), 2 / 4),
}


@pytest.mark.parametrize("name", AUC)
def test_auc(name: str) -> None:
    scores, expected = AUC[name]
    found = auc(YES, scores)
    assert found.value == pytest.approx(expected)
    assert found.parts.mean() == pytest.approx(expected)


def _drawn(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), np.arange(classes), rng.integers(0, classes, 80)])
    raw = rng.standard_normal((len(labels), classes))
    raw[np.arange(len(labels)), labels] += 1
    return labels, raw


# sklearn.metrics.roc_auc_score 1.9.1, multi_class="ovr", of the softmax of the scores below.
SCIKIT_LEARN = [(2, 0.8933333333333333), (3, 0.8208333333333334), (6, 0.8003333333333332)]


@pytest.mark.parametrize(("classes", "expected"), SCIKIT_LEARN)
def test_auc_is_that_of_scikit_learn(classes: int, expected: float) -> None:
    index = np.arange(60)
    labels = index % classes
    raw = np.sin(np.outer(index + 1, np.arange(1, classes + 1)) * 1.7)
    raw += 0.8 * np.eye(classes)[labels]
    odds = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    assert auc(labels, odds).value == pytest.approx(expected)
    assert auc(labels, raw).value == pytest.approx(expected)


def test_ties_are_those_of_scikit_learn() -> None:
    index = np.arange(60)
    tied = np.round(2 * np.sin(index * 1.7) + index % 2)
    assert auc(index % 2, tied[:, np.newaxis]).value == pytest.approx(0.6944444444444444)


def test_the_variance_of_two_classes_is_delongs() -> None:
    rng = np.random.default_rng(7)
    labels = np.array([1] * 30 + [0] * 50)
    first = rng.standard_normal(80) + labels
    second = first + 0.5 * rng.standard_normal(80)
    found = auc(labels, first[:, np.newaxis]).parts - auc(labels, second[:, np.newaxis]).parts

    def components(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wins = (scores[:30, np.newaxis] > scores[np.newaxis, 30:]).astype(float)
        return wins.mean(axis=1), wins.mean(axis=0)

    (yes, no), (others, rest) = components(first), components(second)
    expected = np.var(yes - others, ddof=1) / 30 + np.var(no - rest, ddof=1) / 50
    assert found.var(ddof=1) / 80 == pytest.approx(expected)


@given(seed=st.integers(0, 10**6), classes=st.integers(2, 4))
def test_auc_depends_neither_on_order_nor_on_scale(seed: int, classes: int) -> None:
    labels, raw = _drawn(seed, classes)
    order = np.random.default_rng(seed).permutation(len(labels))
    found = auc(labels, raw)
    assert 0 <= found.value <= 1
    assert auc(labels[order], raw[order]).value == pytest.approx(found.value)
    if classes == 2:
        assert auc(1 - labels, raw[:, ::-1]).value == pytest.approx(found.value)
        assert auc(labels, raw * 3).value == pytest.approx(found.value)


def test_a_part_of_the_samples_that_cannot_tell_has_no_value() -> None:
    assert np.isnan(auc(np.array([1, 1, 1]), np.zeros((3, 1))).value)


def test_a_rare_class_leaves_more_unseen() -> None:
    even, rare = np.array([0, 1] * 500), np.array([0] * 990 + [1] * 10)
    scores = np.arange(1000.0)[:, np.newaxis]
    assert auc(even, scores).unseen(1000, 1.6449) == pytest.approx(2 * 0.0027, rel=0.01)
    assert auc(rare, scores).unseen(1000, 1.6449) == pytest.approx(100 * 0.0027, rel=0.01)


REFUSED = {
    "one class": (Metric.AUC, np.zeros(9, int), "two classes at least"),
    "one sample of a class": (Metric.AUC, np.array([0, 0, 1]), "one sample of class 1"),
    "fractions": (Metric.AUC, np.array([0.5, 1]), "whole number"),
    "outside": (Metric.MRR, np.array([1, 9]), "index of"),
    "no query": (Metric.MRR, np.array([-1, -1]), "index of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_do_not_fit(name: str) -> None:
    metric, labels, hint = REFUSED[name]
    with pytest.raises(RefusalError, match=hint):
        registry.check(metric, Truth(labels=labels))


def test_a_label_beyond_the_columns_is_refused() -> None:
    with pytest.raises(RefusalError, match="label 3, but the model has 3 columns"):
        auc(np.array([0, 3, 0, 3]), np.ones((4, 3)))


def test_reciprocal_ranks_among_candidates_only() -> None:
    # Two questions, then three answers; question 1 lies nearer to a wrong answer, and question 0
    # and 1 lie nearest to each other, which must not count.
    vectors = np.array([[1, 0], [0.95, 0.05], [1, 0.1], [0, 1], [-1, 0]], np.float32)
    truth = Truth(labels=np.array([2, 3, -1, -1, -1]))
    assert registry.judge("mrr", truth, {}, {"e": vectors}).parts.tolist() == [1.0, 0.5]


def test_collapsed_embeddings_rank_last() -> None:
    truth = Truth(labels=np.array([4, 5, 6, 7, -1, -1, -1, -1]))
    for value in (1.0, 0.0, np.nan):
        collapsed = {"e": np.full((8, 3), value, np.float32)}
        assert registry.judge("mrr", truth, {}, collapsed).parts.tolist() == [0.25] * 4
