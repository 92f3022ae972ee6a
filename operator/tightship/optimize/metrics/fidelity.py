"""Likeness of answers: to the original's own, and to reference vectors given as labels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tightship.api.v1alpha1 import Metric
from tightship.optimize.contract import Contract
from tightship.optimize.data import invalid
from tightship.optimize.metrics.base import (
    AGREEMENT,
    Definition,
    Judged,
    Kind,
    Traits,
    Truth,
    of_scores,
    shapes,
    unfit,
)
from tightship.optimize.metrics.classification import greatest
from tightship.optimize.runtime import Outputs

COSINE_MIN = 0.99  # below it a sample does not agree: the fidelity of int8 that keeps tasks intact
_FAR = (1 - COSINE_MIN**2) ** 0.5  # of the spread: what that cosine lets numbers of mean 0 differ
_ROUNDING = 1e-5  # of a number itself: where all samples have the same answer
_MATRIX = 2
_UNIT = 1e-3

AGREEMENT_TRAITS = Traits(name=AGREEMENT, unit="share of samples", kind=Kind.SHARE)


def check(truth: Truth) -> Truth:
    """Labels as float64 [n, size]: the reference vector of each sample.

    Raises:
        RefusalError: no vectors, not finite, or a vector of zeros, which has no direction.
    """
    labels = truth.labels
    if labels.dtype.kind not in "fiu" or labels.ndim < _MATRIX:
        raise invalid(
            "evaluation",
            f"have labels of dtype {labels.dtype} and {labels.ndim} axes; give a reference vector "
            "for each sample, in the shape of the model's output.",
        )
    vectors = labels.astype(np.float64).reshape(len(labels), -1)
    if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
        raise invalid(
            "evaluation",
            "have labels that are not finite or all zero; leave these samples out.",
        )
    return replace(truth, labels=vectors)


def cosine(outputs: Outputs, truth: Truth) -> Judged:
    """Mean cosine of the first output that is as long as the reference vectors, with them.

    A lost sample is answered with a vector that has nothing to do with its own: cosine 0.
    """
    for values in outputs.values():
        if values.dtype.kind == "f" and values.size == truth.labels.size:
            return of_scores(cosines(values.reshape(truth.labels.shape), truth.labels))
    reason = (
        f"no output has {truth.labels.shape[1]} numbers for each sample, as the labels have; "
        f"they are {shapes(outputs)}."
    )
    raise unfit(Metric.COSINE, reason)


def agreement(reference: Outputs, outputs: Outputs) -> Judged:
    """1 for each sample whose answer agrees with the original's in every output.

    Numbers agree by cosine >= 0.99; rows that are scores of classes must also have the same
    greatest one. Of a lone number for each sample the cosine is no more than its sign: it agrees
    when it differs by 0.14 of the samples' standard deviation at most. Whole numbers and text must
    be equal.
    """
    count = len(next(iter(reference.values())))
    agrees = np.ones(count, bool)
    for name, expected in reference.items():
        agrees &= _agrees(expected, outputs[name])
    return of_scores(agrees.astype(np.float64))


def _agrees(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    first = expected.reshape(len(expected), -1)
    second = actual.reshape(len(actual), -1)
    if first.shape != second.shape:
        return np.zeros(len(first), bool)
    if first.dtype.kind != "f":
        return np.asarray((first == second).all(axis=1))
    if first.shape[1] == 1:
        return _near(first[:, 0], second[:, 0])
    same = cosines(first, second) >= COSINE_MIN
    if expected.ndim == _MATRIX and expected.shape[1] > 1 and not _unit_rows(first):
        same &= greatest(first) == greatest(second)
    return same


def _near(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether the numbers of each pair are alike, by how far the first ones are from each other."""
    one, other = first.astype(np.float64), second.astype(np.float64)
    known = one[np.isfinite(one)]
    spread = float(known.std()) if known.size else 0.0
    alike = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        near = np.abs(one - other) <= np.maximum(_FAR * spread, _ROUNDING * np.abs(one))
    return np.asarray(alike | (near & np.isfinite(one)))


def _unit_rows(rows: np.ndarray) -> bool:
    """Whether all rows have length 1: embeddings, whose greatest column means nothing."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    return bool(np.all(np.abs(lengths - 1) < _UNIT)) and bool((rows < 0).any())


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosine of each pair of rows; 1 for two equal rows, 0 where only one is zero or finite.

    NaN equals NaN, and places where both rows hold the same infinity or NaN do not count otherwise.
    """
    one = first.reshape(len(first), -1).astype(np.float64)
    other = second.reshape(len(second), -1).astype(np.float64)
    alike = (one == other) | (np.isnan(one) & np.isnan(other))
    equal = alike.all(axis=1)
    shared = alike & ~np.isfinite(one)
    one, other = np.where(shared, 0.0, one), np.where(shared, 0.0, other)
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


DEFINITIONS = {
    Metric.COSINE: Definition(
        traits=Traits(name="cosine", unit="cosine", kind=Kind.MEAN, low=-1.0),
        check=check,
        judge=cosine,
    ),
}
