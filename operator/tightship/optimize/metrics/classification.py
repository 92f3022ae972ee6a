"""Metrics of predicted classes: accuracy, and F1 as the mean over classes or of one class."""

from dataclasses import replace

import numpy as np

from tightship.api.v1alpha1 import Metric
from tightship.optimize.data import invalid
from tightship.optimize.metrics.base import (
    Definition,
    Judged,
    Kind,
    Traits,
    Truth,
    of_scores,
    shapes,
    unfit,
    whole_numbers,
)
from tightship.optimize.runtime import Outputs

_MATRIX = 2
_HALF = 0.5
_MEANING = "its class, which count from 0"


def check(truth: Truth) -> Truth:
    """Labels as int64 classes.

    Raises:
        RefusalError: no whole numbers, or negative ones.
    """
    return replace(truth, labels=whole_numbers(truth, 0, _MEANING))


def check_f1(truth: Truth) -> Truth:
    """The same, and the positive class is among them.

    Raises:
        RefusalError: no whole numbers, negative ones, or no sample of the positive class.
    """
    checked = check(truth)
    if truth.positive_class is not None and truth.positive_class not in checked.labels:
        raise invalid(
            "evaluation",
            f"hold no sample of class {truth.positive_class}, which metric.positiveClass names. "
            "Add some, or name another class.",
        )
    return checked


def predicted(outputs: Outputs, labels: np.ndarray, metric: Metric) -> np.ndarray:
    """The predicted class of each sample, -1 for none.

    A whole-number output of one value a sample is the class itself (scikit-learn's label output),
    otherwise the greatest column of the first [n, classes] output. A single column of
    probabilities tells 0 from the rest: above one half it stands for any label above 0.

    Raises:
        RefusalError: no output is any of these.
    """
    for values in outputs.values():
        if values.dtype.kind in "iu" and values.size == len(labels):
            return values.reshape(-1).astype(np.int64)
    for values in outputs.values():
        if values.dtype.kind == "f" and values.ndim == _MATRIX:
            if values.shape[1] > 1:
                return greatest(values)
            return _positive(values[:, 0], labels)
    reason = f"no output has one column for each class, they are {shapes(outputs)}."
    raise unfit(metric, reason)


def greatest(values: np.ndarray) -> np.ndarray:
    """The column of the greatest value; -1, which is no class, where a value is not finite."""
    best = np.where(np.isfinite(values), values, -np.inf).argmax(axis=1)
    return np.where(np.isfinite(values).all(axis=1), best, -1)


def _positive(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    classes = np.where(probabilities > _HALF, np.maximum(labels, 1), 0)
    return np.where(np.isfinite(probabilities), classes, -1)


def accuracy(outputs: Outputs, truth: Truth) -> Judged:
    """The share of samples whose predicted class is the label."""
    labels = truth.labels
    classes = predicted(outputs, labels, Metric.ACCURACY)
    right = classes == labels
    return of_scores(right.astype(np.float64), right=right)


def f1(outputs: Outputs, truth: Truth) -> Judged:
    """F1 = 2 TP / (2 TP + FP + FN), the mean over the classes of the labels or of one class.

    Not a mean of samples: the parts are by the delta method (K. Takahashi et al., Confidence
    interval for micro-averaged F1 and macro-averaged F1 scores, Applied Intelligence 52:4961-4972,
    2022), written as influence: one sample of class a that is predicted as b moves F of class k by
    (2 [a = b = k] - F_k ([a = k] + [b = k])) / (support_k + predicted_k).
    """
    labels = truth.labels
    classes = predicted(outputs, labels, Metric.F1)
    kinds = np.unique(labels) if truth.positive_class is None else np.array([truth.positive_class])
    counts = _Counts(labels, classes, kinds)
    return Judged(
        value=counts.value,
        parts=counts.parts(),
        unseen=counts.unseen,
        right=classes == labels,
    )


class _Counts:
    """How often each of the classes is the label, is predicted, and is both."""

    def __init__(self, labels: np.ndarray, classes: np.ndarray, kinds: np.ndarray) -> None:
        self._n = len(labels)
        self._true = _places(labels, kinds)
        self._found = _places(classes, kinds)
        size = len(kinds)
        self._hit = np.where(self._true == self._found, self._true, size)
        self.support = np.bincount(self._true, minlength=size + 1)[:size].astype(float)
        self.predicted = np.bincount(self._found, minlength=size + 1)[:size].astype(float)
        self.hits = np.bincount(self._hit, minlength=size + 1)[:size].astype(float)
        self.f = _f1(self.hits, self.support + self.predicted)

    @property
    def value(self) -> float:
        """The mean over the classes."""
        return float(self.f.mean())

    def parts(self) -> np.ndarray:
        """Value + influence of each sample."""
        per = 1 / np.maximum(self.support + self.predicted, 1)
        gain, cost = np.append(2 * per, 0.0), np.append(self.f * per, 0.0)
        moved = gain[self._hit] - cost[self._true] - cost[self._found]
        return np.asarray(self.value + self._n * moved / len(self.f))

    def unseen(self, n: float, z: float) -> float:
        """The loss if z^2 n / (n + z^2) right samples of one class were predicted as another.

        For one class alone also if as many others were predicted as it.
        """
        scale, lost = n / self._n, z * z * n / (n + z * z)
        hits, both = self.hits * scale, (self.support + self.predicted) * scale
        gone = np.minimum(lost, hits)
        missed = self.f - _f1(hits - gone, both - gone)
        flooded = self.f - _f1(hits, both + lost)
        if len(self.f) == 1:
            return float(max(missed.max(), flooded.max()))
        second, first = np.argsort(flooded)[-2:]
        other = np.where(np.arange(len(self.f)) == first, flooded[second], flooded[first])
        return float((missed + other).max()) / len(self.f)


def _places(classes: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """The place of each class among the sorted kinds; their number for one that is not there."""
    places = np.searchsorted(kinds, classes)
    known = kinds[np.minimum(places, len(kinds) - 1)] == classes
    return np.where(known, places, len(kinds))


def _f1(hits: np.ndarray, both: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(both > 0, 2 * hits / np.maximum(both, 1e-300), 0.0))


DEFINITIONS = {
    Metric.ACCURACY: Definition(
        traits=Traits(name="accuracy", unit="share of samples", kind=Kind.SHARE),
        check=check,
        judge=accuracy,
    ),
    Metric.F1: Definition(
        traits=Traits(
            name="f1",
            unit="F1",
            kind=Kind.INFLUENCE,
            source="delta method (Takahashi 2022)",
            counted=False,
        ),
        check=check_f1,
        judge=f1,
    ),
}
