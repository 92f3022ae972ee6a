"""What all metrics share: their traits, what they are judged by, and what they give to the gate.

A metric turns the answers of one model into a value and into *parts*, one number for each sample.
The mean of the parts is the value, and the variance of their mean is that of the value: for a mean
of scores the parts are the scores, otherwise value + influence, where the influence of a sample is
the derivative of the value by the sample's weight, times n (F. R. Hampel, Journal of the American
Statistical Association 69:383-393, 1974). So one paired test serves all metrics.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tightship.api.v1alpha1 import Metric
from tightship.optimize.data import invalid
from tightship.optimize.failures import RefusalError
from tightship.optimize.runtime import Outputs

AGREEMENT = "agreement"
LOST_ERROR = 1e30  # of an answer that is not finite
_MATRIX = 2

Unseen = Callable[[float, float], float]
"""(samples, z) -> the loss that so many samples of this composition could fail to show.

When not one of n samples is lost, a share of z^2 / (n + z^2) of all may be (`gate.tango`); this
is what the metric would lose if these went wrong in the worst way that the metric knows.
"""


class Kind(StrEnum):
    """How a metric comes from samples, which decides its test; the values are told in reports."""

    SHARE = "Tango score bound on the paired drop (Tango 1998)"
    MEAN = "Student's bound on the mean paired loss, widened by what n samples could not show"
    INFLUENCE = "Student's bound on paired influences, widened by what n samples could not show"
    RESAMPLED = "bootstrap of the paired loss, widened by what n samples could not show"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What kind of number a metric is."""

    name: str
    unit: str
    kind: Kind
    larger_is_better: bool = True
    low: float = 0.0  # its values are from low to high, which may be infinite
    high: float = 1.0
    source: str = ""  # of the influence
    counted: bool = True  # whether the samples needed depend on nothing but the gate

    @property
    def best(self) -> float:
        """The value of a model that is always right."""
        return self.high if self.larger_is_better else self.low

    @property
    def method(self) -> str:
        """The test, in words."""
        return f"{self.kind.value}; {self.source}" if self.source else self.kind.value

    @property
    def direction(self) -> str:
        """In words."""
        return "higher is better" if self.larger_is_better else "lower is better"

    def loss(self, before: float, after: float) -> float:
        """How much worse `after` is; negative when it is better."""
        return before - after if self.larger_is_better else after - before


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What answers are compared with; its forms by metric are those of `check`."""

    labels: np.ndarray
    charset: tuple[str, ...] | None = None  # text of each class of a recogniser; "" is the blank
    positive_class: int | None = None  # of a binary F1


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a metric finds in the answers of one model."""

    value: float  # NaN where these samples cannot tell
    parts: np.ndarray  # one float for each sample that counts
    unseen: Unseen
    right: np.ndarray | None = None  # bool for each sample, where classes are predicted
    resampled: np.ndarray | None = None  # values in bootstrap resamples, the same for every model


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One metric."""

    traits: Traits
    check: Callable[[Truth], Truth]
    judge: Callable[[Outputs, Truth], Judged]


def of_scores(scores: np.ndarray, lost: float = 1.0, right: np.ndarray | None = None) -> Judged:
    """A mean of scores, where a sample that goes wrong costs `lost`."""
    value = float(scores.mean()) if len(scores) else math.nan
    return Judged(value=value, parts=scores, unseen=linear(lost), right=right)


def linear(lost: float) -> Unseen:
    """The loss when each unseen sample costs the same."""
    return lambda n, z: lost * z * z / (n + z * z)


def size_biased(losses: np.ndarray) -> float:
    """E[g^2] / E[g]: the variance that a unit of loss brings when random samples are lost.

    `losses` are what each sample would cost; for equal ones it is that cost.
    """
    total = float(losses.sum())
    return float((losses**2).sum()) / total if total > 0 else 0.0


def first_matrix(outputs: Outputs) -> np.ndarray | None:
    """The first output of one vector of floats for each sample, [n, size]."""
    for values in outputs.values():
        if values.dtype.kind == "f" and values.ndim == _MATRIX:
            return values.astype(np.float64)
    return None


def shapes(outputs: Outputs) -> dict[str, list[int]]:
    """For messages."""
    return {name: list(values.shape) for name, values in outputs.items()}


def whole_numbers(truth: Truth, least: int, meaning: str) -> np.ndarray:
    """Labels as int64, one for each sample.

    Raises:
        RefusalError: not whole numbers, not one for each sample, or below `least`.
    """
    labels = truth.labels
    if labels.ndim != 1 or labels.dtype.kind not in "iub":
        raise invalid(
            "evaluation",
            f"have labels of dtype {labels.dtype} and {labels.ndim} axes; give one whole number "
            f"for each sample: {meaning}.",
        )
    values = labels.astype(np.int64)
    if len(values) and int(values.min()) < least:
        raise invalid("evaluation", f"have the label {int(values.min())}; {meaning}.")
    return values


def unfit(metric: Metric, reason: str) -> RefusalError:
    """The refusal of outputs that a metric cannot be taken of."""
    return invalid(
        "evaluation",
        f"cannot be judged by {metric.value}: {reason} "
        "Name another metric, or leave the evaluation out to compare the outputs themselves.",
    )
