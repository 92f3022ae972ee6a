"""Scores of single samples: accuracy, mean reciprocal rank, and agreement with the original."""

from collections.abc import Sequence

import numpy as np

from tightship.api.v1alpha1 import Metric
from tightship.optimize.contract import Contract
from tightship.optimize.data import invalid
from tightship.optimize.runtime import Outputs

AGREEMENT = "agreement"
COSINE_MIN = 0.99  # below it a sample does not agree: the fidelity of int8 that keeps tasks intact
_MATRIX = 2
_UNIT = 1e-3

Scores = np.ndarray
"""One score in [0, 1] for each sample that counts; the metric is their mean."""


def scores(metric: Metric, outputs: Outputs, labels: np.ndarray) -> Scores:
    """The score of every sample that has a label.

    Raises:
        RefusalError: no output fits the metric.
    """
    if metric is Metric.ACCURACY:
        return _right(outputs, labels)
    return _reciprocal_ranks(_embedding(outputs), labels)


def _right(outputs: Outputs, labels: np.ndarray) -> Scores:
    """1 where the predicted class is the label.

    A whole-number output of one value a sample is the class itself (scikit-learn's label output),
    otherwise the greatest column of the first [n, classes] output, and for a single column of
    probabilities whether it is above one half.
    """
    for values in outputs.values():
        if values.dtype.kind in "iu" and values.size == len(values):
            return np.asarray(values.reshape(-1) == labels, np.float64)
    for values in outputs.values():
        if values.dtype.kind == "f" and values.ndim == _MATRIX:
            if values.shape[1] > 1:
                return np.asarray(_greatest(values) == labels, np.float64)
            return np.asarray((values[:, 0] > 0.5) == (labels > 0), np.float64)  # noqa: PLR2004
    shapes = {name: list(values.shape) for name, values in outputs.items()}
    raise invalid(
        "evaluation",
        "cannot be judged by accuracy: no output has one column for each class, they are "
        f"{shapes}. "
        "Leave the evaluation out to compare the outputs themselves.",
    )


def _greatest(values: np.ndarray) -> np.ndarray:
    """The column of the greatest value; -1, which is no class, where a value is not finite."""
    best = np.where(np.isfinite(values), values, -np.inf).argmax(axis=1)
    return np.where(np.isfinite(values).all(axis=1), best, -1)


def _embedding(outputs: Outputs) -> np.ndarray:
    for values in outputs.values():
        if values.dtype.kind == "f" and values.ndim == _MATRIX:
            return values.astype(np.float64)
    raise invalid(
        "evaluation",
        "cannot be judged by mrr: no output is one vector for each sample ([n, size]).",
    )


def _reciprocal_ranks(vectors: np.ndarray, labels: np.ndarray) -> Scores:
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


def agreement(reference: Outputs, outputs: Outputs) -> Scores:
    """1 for each sample whose answer agrees with the original's in every output.

    Numbers agree by cosine >= 0.99; rows that are scores of classes must also have the same
    greatest one. Whole numbers and text must be equal.
    """
    count = len(next(iter(reference.values())))
    agrees = np.ones(count, bool)
    for name, expected in reference.items():
        agrees &= _agrees(expected, outputs[name])
    return agrees.astype(np.float64)


def _agrees(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    first = expected.reshape(len(expected), -1)
    second = actual.reshape(len(actual), -1)
    if first.shape != second.shape:
        return np.zeros(len(first), bool)
    if first.dtype.kind != "f":
        return np.asarray((first == second).all(axis=1))
    same = cosines(first, second) >= COSINE_MIN
    if expected.ndim == _MATRIX and expected.shape[1] > 1 and not _unit_rows(first):
        same &= _greatest(first) == _greatest(second)
    return same


def _unit_rows(rows: np.ndarray) -> bool:
    """Whether all rows have length 1: embeddings, whose greatest column means nothing."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    return bool(np.all(np.abs(lengths - 1) < _UNIT)) and bool((rows < 0).any())


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosine of each pair of rows; 1 for two equal rows, 0 where only one is zero or finite."""
    one = first.reshape(len(first), -1).astype(np.float64)
    other = second.reshape(len(second), -1).astype(np.float64)
    equal = (one == other).all(axis=1)
    product = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    with np.errstate(all="ignore"):
        values = np.where(product > 0, (one * other).sum(axis=1) / product, 0.0)
    return np.where(equal, 1.0, np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0))


def fidelity(reference: Outputs, outputs: Outputs) -> dict[str, float]:
    """How near the numbers are: mean and least cosine, greatest absolute difference."""
    names = [name for name, values in reference.items() if values.dtype.kind == "f"]
    if not names:
        same = np.mean([np.array_equal(reference[n], outputs[n]) for n in reference])
        return {"cosineMean": float(same), "cosineMin": float(same), "maxAbs": 0.0}
    near = np.concatenate([cosines(reference[name], outputs[name]) for name in names])
    with np.errstate(all="ignore"):
        gaps = [np.nanmax(np.abs(reference[n] - outputs[n]), initial=0.0) for n in names]
    largest = max(float(gap) for gap in gaps)
    return {
        "cosineMean": float(near.mean()),
        "cosineMin": float(near.min()),
        "maxAbs": largest if np.isfinite(largest) else float(np.finfo(np.float64).max),
    }


def describe(contract: Contract, outputs: Outputs) -> Sequence[str]:
    """What is odd about the original's own answers, for the report."""
    return [
        f"output '{tensor.name}' of the original holds values that are not finite"
        for tensor in contract.outputs
        if outputs[tensor.name].dtype.kind == "f" and not np.isfinite(outputs[tensor.name]).all()
    ]
