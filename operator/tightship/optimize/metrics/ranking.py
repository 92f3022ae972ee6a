"""Metrics of order: area under the ROC curve, and mean reciprocal rank of embeddings."""

import math
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
    first_matrix,
    linear,
    of_scores,
    shapes,
    unfit,
    whole_numbers,
)
from tightship.optimize.runtime import Outputs

_CLASS_MIN = 2  # samples of each class: one alone has no variance
_SUM_TOLERANCE = 1e-2
_BINARY = 2


def check_auc(truth: Truth) -> Truth:
    """Labels as int64 classes, two at least, each with two samples at least.

    Raises:
        RefusalError: otherwise.
    """
    labels = whole_numbers(truth, 0, "its class, which count from 0")
    kinds, counts = np.unique(labels, return_counts=True)
    if len(kinds) < _BINARY:
        raise invalid(
            "evaluation", f"hold samples of class {kinds[0]} alone; auc needs two classes at least."
        )
    if counts.min() < _CLASS_MIN:
        rare = kinds[counts.argmin()]
        raise invalid(
            "evaluation",
            f"hold one sample of class {rare}; auc needs two of each class at least. Add some, or "
            "leave the class out.",
        )
    return replace(truth, labels=labels)


def auc(outputs: Outputs, truth: Truth) -> Judged:
    """Area under the ROC curve: how often a sample of a class scores above one of another.

    Two classes: the score is the single column, or that of class 1. More: the mean over the
    classes of the labels, each against the rest. A tie counts half.

    The parts are the structural components of E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson
    (Biometrics 44:837-845, 1988), centred within each class and scaled so that the variance of
    their mean is theirs exactly: the sum over classes of S / m. With more than two classes the
    curves' components are added up for each sample before that, since each class is a sample of
    its own and the mean of areas is linear in them.
    """
    labels = truth.labels
    scores = _scores(outputs, labels)
    kinds, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(kinds) < _BINARY or counts.min() < _CLASS_MIN:
        return Judged(value=math.nan, parts=np.zeros(len(labels)), unseen=linear(1.0))
    curves = [kinds[-1]] if scores.shape[1] == 1 else list(kinds)
    components = np.zeros(len(labels))
    areas = []
    for kind in curves:
        column = scores[:, 0 if scores.shape[1] == 1 else kind]
        area, part = _delong(column, labels == kind)
        areas.append(area)
        components += part / len(curves)
    value = float(np.mean(areas))
    parts = value + _centred(components, place, counts)
    return Judged(value=value, parts=parts, unseen=linear(_worst(counts, len(curves))))


def _scores(outputs: Outputs, labels: np.ndarray) -> np.ndarray:
    """[n, 1] for two classes, else [n, classes]: the greater, the likelier."""
    values = first_matrix(outputs)
    if values is None:
        reason = f"no output has one column for each class, they are {shapes(outputs)}."
        raise unfit(Metric.AUC, reason)
    columns, highest = values.shape[1], int(labels.max())
    if highest >= max(columns, _BINARY):
        raise invalid(
            "evaluation",
            f"have the label {highest}, but the model has {columns} columns of scores; for auc a "
            "label is a column's index.",
        )
    if columns == 1:
        return values
    likely = _margins(values)
    return likely[:, 1:] if columns == _BINARY else likely


def _margins(values: np.ndarray) -> np.ndarray:
    """Probabilities as they are; other scores as log-odds of their softmax, which do not saturate.

    z_k - log(sum of exp z_j over j != k): samples can be ordered by it as by the probability.
    """
    finite = np.isfinite(values).all(axis=1)
    safe = np.where(finite[:, np.newaxis], values, 0.0)
    if (safe >= 0).all() and (np.abs(safe[finite].sum(axis=1) - 1) < _SUM_TOLERANCE).all():
        return np.where(finite[:, np.newaxis], values, np.nan)
    top = safe.argmax(axis=1)[:, np.newaxis]
    shifted = np.exp(safe - np.take_along_axis(safe, top, axis=1))
    rest = shifted.sum(axis=1, keepdims=True) - shifted
    below = np.where(np.arange(values.shape[1]) == top, -np.inf, safe)
    second = below.max(axis=1, keepdims=True)
    others = np.log(np.exp(below - second).sum(axis=1, keepdims=True)) + second
    logs = np.log(np.maximum(rest, 1e-300)) + np.take_along_axis(safe, top, axis=1)
    margins = safe - np.where(np.arange(values.shape[1]) == top, others, logs)
    return np.where(finite[:, np.newaxis], margins, np.nan)


def _delong(column: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """(area, component of each sample: its share of wins over its own class' size).

    A score that is not a number loses against every other.
    """
    scores = np.where(np.isnan(column), np.where(positive, -np.inf, np.inf), column)
    yes, no = scores[positive], scores[~positive]
    wins = _share_below(yes, no)
    losses = 1 - _share_below(no, yes)
    components = np.empty(len(scores))
    components[positive] = wins / len(yes)
    components[~positive] = losses / len(no)
    return float(wins.mean()), components


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of the others that lie below each value; equal ones count half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return np.asarray(below / (2 * len(others)))


def _centred(components: np.ndarray, place: np.ndarray, counts: np.ndarray) -> np.ndarray:
    n = len(components)
    means = np.bincount(place, components) / counts
    scale = np.sqrt(counts / (counts - 1) * (n - 1) / n)
    return np.asarray(n * (components - means[place]) * scale[place])


def _worst(counts: np.ndarray, curves: int) -> float:
    """What one lost sample of the rarest class costs, times n."""
    n = int(counts.sum())
    own, other = n / counts, n / (n - counts)
    if curves == 1:
        return float(own.max())
    return float((own + other.sum() - other).max()) / curves


def check_mrr(truth: Truth) -> Truth:
    """Labels as int64: the index of the matching sample, -1 for samples that are only candidates.

    Raises:
        RefusalError: matches outside the data, or no query at all.
    """
    meaning = "the index of the matching sample, or -1 for a sample that is only a candidate"
    labels = whole_numbers(truth, -1, meaning)
    lowest, highest = int(labels.min()), int(labels.max())
    if highest >= len(labels) or highest < 0:
        raise invalid(
            "evaluation",
            f"have labels from {lowest} to {highest}; for mrr a label is {meaning}.",
        )
    return replace(truth, labels=labels)


def mrr(outputs: Outputs, truth: Truth) -> Judged:
    """Mean reciprocal rank of the match among all candidates, by cosine."""
    vectors = first_matrix(outputs)
    if vectors is None:
        reason = f"no output is one vector for each sample, they are {shapes(outputs)}."
        raise unfit(Metric.MRR, reason)
    return of_scores(_reciprocal_ranks(vectors, truth.labels))


def _reciprocal_ranks(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1 / rank of each query's match, by cosine, among all samples that are candidates.

    Candidates are the samples with label -1 and those that some query names. The query itself does
    not count. A tie counts against the match, so that a collapsed model scores low.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.nan_to_num(vectors / np.where(norms > 0, norms, 1.0), nan=0.0, posinf=0.0, neginf=0.0)
    queries = np.flatnonzero(labels >= 0)
    matches = labels[queries]
    pool = np.union1d(np.flatnonzero(labels < 0), matches)
    similarity = unit[queries] @ unit[pool].T
    similarity[queries[:, np.newaxis] == pool[np.newaxis, :]] = -np.inf
    own = np.take_along_axis(similarity, np.searchsorted(pool, matches)[:, np.newaxis], axis=1)
    ranks = (similarity >= own).sum(axis=1)
    return np.asarray(1.0 / np.maximum(ranks, 1), np.float64)


DEFINITIONS = {
    Metric.AUC: Definition(
        traits=Traits(
            name="auc",
            unit="area under the ROC curve",
            kind=Kind.INFLUENCE,
            source="structural components (DeLong 1988)",
            counted=False,
        ),
        check=check_auc,
        judge=auc,
    ),
    Metric.MRR: Definition(
        traits=Traits(name="mrr", unit="reciprocal rank", kind=Kind.MEAN),
        check=check_mrr,
        judge=mrr,
    ),
}
