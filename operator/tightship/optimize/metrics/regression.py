"""Metrics of numbers: mean absolute error, and root of the mean squared error."""

import math
from dataclasses import replace

import numpy as np

from tightship.api.v1alpha1 import Metric
from tightship.optimize.data import invalid
from tightship.optimize.metrics.base import (
    LOST_ERROR,
    Definition,
    Judged,
    Kind,
    Traits,
    Truth,
    of_scores,
    shapes,
    size_biased,
    unfit,
)
from tightship.optimize.runtime import Outputs


def check(truth: Truth) -> Truth:
    """Labels as float64 [n, values].

    Raises:
        RefusalError: no numbers, not finite, or all the same.
    """
    labels = truth.labels
    if labels.dtype.kind not in "fiu" or labels.ndim < 1:
        raise invalid(
            "evaluation",
            f"have labels of dtype {labels.dtype} and {labels.ndim} axes; give the right number, "
            "or the right numbers in the shape of the model's output, for each sample.",
        )
    values = labels.astype(np.float64).reshape(len(labels), -1)
    if not np.isfinite(values).all():
        raise invalid("evaluation", "have labels that are not finite; leave these samples out.")
    if len(values) and not np.ptp(values, axis=0).any():
        raise invalid(
            "evaluation",
            "have labels that are all the same, so that they can judge nothing.",
        )
    return replace(truth, labels=values)


def errors(outputs: Outputs, labels: np.ndarray, metric: Metric) -> np.ndarray:
    """Answer minus label, [n, values]; 1e30 where an answer is not finite.

    Raises:
        RefusalError: no output has as many numbers for each sample as the labels.
    """
    for kinds in ("f", "iu"):
        for values in outputs.values():
            if values.dtype.kind in kinds and values.size == labels.size:
                found = values.reshape(labels.shape).astype(np.float64) - labels
                return np.where(np.isfinite(found), found, LOST_ERROR)
    reason = (
        f"no output has {labels.shape[1]} numbers for each sample, as the labels have; "
        f"they are {shapes(outputs)}."
    )
    raise unfit(metric, reason)


def mae(outputs: Outputs, truth: Truth) -> Judged:
    """Mean absolute error. A lost sample is answered with the mean of the labels."""
    labels = truth.labels
    found = np.abs(errors(outputs, labels, Metric.MAE)).mean(axis=1)
    blind = np.abs(labels - labels.mean(axis=0)).mean(axis=1)
    return of_scores(found, lost=size_biased(blind))


def rmse(outputs: Outputs, truth: Truth) -> Judged:
    """Root of the mean squared error.

    Not a mean of samples: by the delta method the influence is (squared error - mse) / (2 rmse).
    A lost sample is answered with the mean of the labels; what that costs is not linear, since the
    root is steep near zero.
    """
    labels = truth.labels
    squares = (errors(outputs, labels, Metric.RMSE) ** 2).mean(axis=1)
    mse = float(squares.mean())
    value = math.sqrt(mse)
    influence = (squares - mse) / (2 * value) if value else np.zeros(len(squares))
    lost = size_biased(((labels - labels.mean(axis=0)) ** 2).mean(axis=1))

    def unseen(n: float, z: float) -> float:
        return math.sqrt(mse + lost * z * z / (n + z * z)) - value

    return Judged(value=value, parts=value + influence, unseen=unseen)


_UNIT = "unit of the labels"
DEFINITIONS = {
    Metric.MAE: Definition(
        traits=Traits(
            name="mae",
            unit=_UNIT,
            kind=Kind.MEAN,
            high=math.inf,
            larger_is_better=False,
            counted=False,
        ),
        check=check,
        judge=mae,
    ),
    Metric.RMSE: Definition(
        traits=Traits(
            name="rmse",
            unit=_UNIT,
            kind=Kind.INFLUENCE,
            high=math.inf,
            source="delta method",
            larger_is_better=False,
            counted=False,
        ),
        check=check,
        judge=rmse,
    ),
}
