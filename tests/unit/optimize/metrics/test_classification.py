"""Accuracy and F1 against values worked out by hand, scikit-learn and their own properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.api.v1alpha1 import Metric
from tightship.optimize.failures import RefusalError
from tightship.optimize.metrics import registry
from tightship.optimize.metrics.base import Judged, Truth

LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.5, 0.2, 0.1]], np.float32)
LABELS = np.array([0, 1, 2])
ONE = np.array([[0.1], [0.9], [0.8], [np.nan]], np.float32)

ACCURACY: dict[str, tuple[dict[str, np.ndarray], np.ndarray, list[int]]] = {
    "greatest column": ({"y": LOGITS}, LABELS, [1, 1, 0]),
    "whole-number output is the class": (
        {"p": LOGITS, "label": np.array([0, 2, 2])},
        LABELS,
        [1, 0, 1],
    ),
    "whole-number column": ({"label": np.array([[0], [1], [2]])}, LABELS, [1, 1, 1]),
    "one probability": ({"y": ONE}, np.array([0, 1, 2, 0]), [1, 1, 1, 0]),
    "one probability, other labels": ({"y": ONE}, np.array([1, 0, 0, 1]), [0, 0, 0, 0]),
    "not a number is no class": ({"y": np.full((3, 3), np.nan, np.float32)}, LABELS, [0, 0, 0]),
}


@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy(name: str) -> None:
    outputs, labels, expected = ACCURACY[name]
    found = registry.judge("accuracy", Truth(labels=labels), {}, outputs)
    assert found.parts.tolist() == expected
    assert found.value == np.mean(expected)


def f1(labels: list[int], classes: list[int], positive: int | None = None) -> Judged:
    truth = Truth(labels=np.array(labels), positive_class=positive)
    return registry.judge("f1", truth, {}, {"label": np.array(classes)})


# Class 0: 2 of 3 hit, predicted 2 times: F = 4/5. Class 1: 1 of 1, predicted 2: 2/3.
# Class 2: 1 of 2, predicted 1: 2/3; the class 7 that nobody labelled counts as a miss alone.
F1 = {
    "mean of the classes": (
        [0, 0, 0, 1, 2, 2],
        [0, 0, 1, 1, 2, 7],
        None,
        (4 / 5 + 2 / 3 + 2 / 3) / 3,
    ),
    "one class": ([0, 0, 0, 1, 2, 2], [0, 0, 1, 1, 2, 7], 0, 4 / 5),
    "all right": ([0, 1, 1], [0, 1, 1], None, 1.0),
    "all wrong": ([0, 1, 1], [1, 0, 0], None, 0.0),
    "none predicted": ([0, 1, 1], [-1, -1, -1], None, 0.0),
    "positive class": ([1, 1, 0, 0], [1, 0, 1, 0], 1, 0.5),
}


@pytest.mark.parametrize("name", F1)
def test_f1(name: str) -> None:
    labels, classes, positive, expected = F1[name]
    found = f1(labels, classes, positive)
    assert found.value == pytest.approx(expected)
    assert found.parts.mean() == pytest.approx(expected)
    assert found.right is not None
    assert found.right.tolist() == [a == b for a, b in zip(labels, classes, strict=True)]


PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=2, max_size=40)


@given(pairs=PAIRS, order=st.randoms(use_true_random=False))
def test_f1_is_bounded_and_does_not_depend_on_order(
    pairs: list[tuple[int, int]], order: object
) -> None:
    found = f1([a for a, _ in pairs], [b for _, b in pairs])
    order.shuffle(pairs)  # type: ignore[attr-defined]
    again = f1([a for a, _ in pairs], [b for _, b in pairs])
    assert 0 <= found.value <= 1
    assert again.value == pytest.approx(found.value)
    assert sorted(again.parts) == pytest.approx(sorted(found.parts))


@given(pairs=PAIRS)
def test_one_more_right_answer_never_lowers_f1(pairs: list[tuple[int, int]]) -> None:
    labels, classes = [a for a, _ in pairs], [b for _, b in pairs]
    before = f1(labels, classes).value
    wrong = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    if wrong is not None:
        classes[wrong] = labels[wrong]
    assert f1(labels, classes).value >= before - 1e-12


def test_the_parts_of_f1_have_the_spread_of_a_jackknife() -> None:
    rng = np.random.default_rng(3)
    labels = rng.choice(4, 300, p=[0.4, 0.3, 0.2, 0.1])
    classes = np.where(rng.random(300) < 0.2, rng.integers(0, 4, 300), labels)
    found = f1(labels.tolist(), classes.tolist())
    left = [
        f1(np.delete(labels, i).tolist(), np.delete(classes, i).tolist()).value for i in range(300)
    ]
    pseudo = 300 * found.value - 299 * np.array(left)
    assert found.parts.std() == pytest.approx(pseudo.std(), rel=0.02)


def test_f1_is_that_of_scikit_learn() -> None:
    # sklearn.metrics.f1_score 1.9.1: macro over the labels' classes, and binary for class 2.
    index = np.arange(60)
    labels = index * index % 7 % 5
    classes = np.where(index % 4 == 0, (index * 3 + 1) % 5, labels)
    assert f1(labels.tolist(), classes.tolist()).value == pytest.approx(0.845959595959596)
    assert f1(labels.tolist(), classes.tolist(), 2).value == pytest.approx(0.9090909090909091)


def test_rare_classes_leave_more_unseen() -> None:
    even, rare = f1([0, 1] * 500, [0, 1] * 500), f1([0] * 990 + [1] * 10, [0] * 990 + [1] * 10)
    assert 0.002 < even.unseen(1000, 1.6449) < 0.004
    assert rare.unseen(1000, 1.6449) > 0.05
    assert rare.unseen(10_000, 1.6449) < rare.unseen(1000, 1.6449)


LABELS_REFUSED = {
    "fractions": (Metric.ACCURACY, np.array([0.5, 1.0]), None, "whole number"),
    "one-hot": (Metric.F1, np.eye(3, dtype=int), None, "whole number"),
    "negative": (Metric.F1, np.array([-1, 1]), None, "count from 0"),
    "no positive": (Metric.F1, np.array([0, 1]), 2, "no sample of class 2"),
}


@pytest.mark.parametrize("name", LABELS_REFUSED)
def test_labels_that_do_not_fit(name: str) -> None:
    metric, labels, positive, hint = LABELS_REFUSED[name]
    with pytest.raises(RefusalError, match=hint):
        registry.check(metric, Truth(labels=labels, positive_class=positive))


def test_outputs_that_fit_no_metric_are_refused() -> None:
    images = {"y": np.zeros((3, 4, 4, 4), np.float32)}
    texts = np.array(["a", "b", "c"])
    truths = {Metric.CER: texts, Metric.WER: texts, Metric.COSINE: np.ones((3, 2))}
    truths |= {
        Metric.MAE: np.arange(3.0)[:, np.newaxis],
        Metric.RMSE: np.arange(3.0)[:, np.newaxis],
    }
    for kind in Metric:
        truth = Truth(labels=truths.get(kind, np.array([0, 1, 1])))
        with pytest.raises(RefusalError, match="cannot be judged by " + kind.value):
            registry.judge(kind.value, truth, {}, images)
