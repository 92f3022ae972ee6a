"""The verdict on a candidate: one-sided paired tests of non-inferiority, each demand with its own.

A candidate passes when the upper confidence bound of its loss against the original, on the same
samples, is at most what was allowed: too little data refuses a candidate, it never lets one
through. All demands must hold, so each is tested at the full confidence (R. L. Berger,
Technometrics 24:295-300, 1982: an intersection-union test keeps its level).
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from tightship.optimize.gate import bootstrap, score, tango
from tightship.optimize.metrics.base import Judged, Kind, Traits

SAMPLES_MIN = 6  # below it nothing is claimed, and Student's expansion does not hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What the user allows. Losses are absolute, in the metric's unit, in its harmful direction."""

    max_drop: float
    confidence: float
    worst_value: float | None = None  # least value; greatest, where smaller is better
    max_class_drop: float | None = None  # of the recall of any class
    worst_class_value: float | None = None  # least recall of any class


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassVerdict:
    """The loss of recall of one class: the worst of them by its upper bound."""

    label: int
    n: int
    before: float
    after: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassValue:
    """The recall of one class: the least of them by the lower bound of the candidate's."""

    label: int
    n: int
    before: float
    after: float
    lower: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome: values of the original and the candidate, and the loss between them.

    `drop` is original minus candidate, and the other way round where smaller is better.
    """

    n: int
    before: float
    after: float
    drop: float
    lower: float
    upper: float
    worst: float | None = None  # bound of the candidate's own value, where one was demanded
    worst_class: ClassVerdict | None = None
    lowest_class: ClassValue | None = None  # where a least recall was demanded
    failed: tuple[str, ...] = ()  # names of the demands that do not hold
    hopeless: bool = False  # the samples already show that a demand does not hold

    @property
    def passes(self) -> bool:
        """Whether every demand holds."""
        return not self.failed

    def to_json(self) -> dict[str, Any]:
        """JSON value."""
        return {**asdict(self), "passes": self.passes}


def judge(
    traits: Traits,
    before: Judged,
    after: Judged,
    demands: Demands,
    labels: np.ndarray | None = None,
) -> Verdict:
    """Compare what a metric found in the answers of two models to the same samples.

    `labels` are the classes of the samples, for the demand on each class.
    """
    lower, upper = loss_bounds(traits, before, after, demands.confidence)
    worst, worst_fails, worst_hopeless = _own_value(traits, after, demands)
    worst_class, class_fails, class_hopeless = _classes(before, after, labels, demands)
    lowest, low_fails, low_hopeless = _class_values(before, after, labels, demands)
    tests = {
        "maxDrop": not upper <= demands.max_drop,
        "worstValue": worst_fails,
        "maxClassDrop": class_fails,
        "worstClassValue": low_fails,
    }
    return Verdict(
        n=len(before.parts),
        before=before.value,
        after=after.value,
        drop=traits.loss(before.value, after.value),
        lower=lower,
        upper=upper,
        worst=worst,
        worst_class=worst_class,
        lowest_class=lowest,
        failed=tuple(name for name, fails in tests.items() if fails),
        hopeless=any((lower > demands.max_drop, worst_hopeless, class_hopeless, low_hopeless)),
    )


def _own_value(traits: Traits, after: Judged, demands: Demands) -> tuple[float | None, bool, bool]:
    """(the worst that the value may be, whether that is too bad, whether even the best is)."""
    if demands.worst_value is None:
        return None, False, False
    best, worst = value_bounds(traits, after, demands.confidence)
    fails = not traits.loss(demands.worst_value, worst) <= 0
    return worst, fails, traits.loss(demands.worst_value, best) > 0


def explained(traits: Traits, verdict: Verdict, demands: Demands) -> str:
    """Why a candidate does not pass, in one sentence."""
    sure = f"at {demands.confidence:.0%} confidence"
    name, change = traits.name, f"{verdict.before:.4f} -> {verdict.after:.4f}"
    told = []
    if "maxDrop" in verdict.failed:
        word = "drop" if traits.larger_is_better else "rise"
        told.append(
            f"{sure} the {word} may be {verdict.upper:.4f}, more than the "
            f"{demands.max_drop:g} allowed"
        )
    if "worstValue" in verdict.failed and verdict.worst is not None:
        told.append(
            f"{sure} it may be as bad as {verdict.worst:.4f}, worse than the "
            f"{demands.worst_value:g} asked for"
        )
    told += _explained_classes(verdict, demands, sure)
    return f"{name} {change} on {verdict.n} samples: {'; '.join(told)}"


def _explained_classes(verdict: Verdict, demands: Demands, sure: str) -> list[str]:
    worst, lowest, told = verdict.worst_class, verdict.lowest_class, []
    if "maxClassDrop" in verdict.failed and worst is not None:
        told.append(
            f"{_recalls(worst)}: {sure} its drop may be {worst.upper:.4f}, more than the "
            f"{demands.max_class_drop:g} allowed"
        )
    if "worstClassValue" in verdict.failed and lowest is not None:
        told.append(
            f"{_recalls(lowest)}: {sure} it may be as low as {lowest.lower:.4f}, below the "
            f"{demands.worst_class_value:g} asked for"
        )
    return told


def _recalls(found: ClassVerdict | ClassValue) -> str:
    change = f"{found.before:.4f} -> {found.after:.4f}"
    return f"recall of class {found.label} {change} on {found.n} samples"


def loss_bounds(
    traits: Traits, before: Judged, after: Judged, confidence: float
) -> tuple[float, float]:
    """(lower, upper) one-sided bounds of the loss; infinite where the samples cannot tell."""
    n, loss = len(before.parts), traits.loss(before.value, after.value)
    if n < SAMPLES_MIN or math.isnan(loss):
        return -math.inf, math.inf
    if traits.kind is Kind.SHARE:
        return tango.bounds(before.parts, after.parts, confidence)
    sign = 1.0 if traits.larger_is_better else -1.0
    unseen = before.unseen(n, z_of(confidence))
    if before.resampled is not None and after.resampled is not None:
        losses = sign * (before.resampled - after.resampled)
        return bootstrap.bounds(loss, losses, n, unseen, confidence)
    return score.bounds(loss, sign * (before.parts - after.parts), unseen, confidence)


def value_bounds(traits: Traits, judged: Judged, confidence: float) -> tuple[float, float]:
    """(best, worst) one-sided bounds of a value by itself."""
    n = len(judged.parts)
    if n < SAMPLES_MIN or math.isnan(judged.value):
        low, high = -math.inf, math.inf
    elif traits.kind is Kind.SHARE:
        low, high = tango.wilson(judged.value, n, confidence)
    else:
        unseen = judged.unseen(n, z_of(confidence))
        if judged.resampled is not None:
            low, high = bootstrap.bounds(judged.value, judged.resampled, n, unseen, confidence)
        else:
            low, high = score.bounds(judged.value, judged.parts, unseen, confidence)
    return (high, low) if traits.larger_is_better else (low, high)


def z_of(confidence: float) -> float:
    """Quantile of the normal distribution."""
    return NormalDist().inv_cdf(confidence)


def _classes(
    before: Judged, after: Judged, labels: np.ndarray | None, demands: Demands
) -> tuple[ClassVerdict | None, bool, bool]:
    """(class with the greatest bound, whether that is too much, whether some loss is for sure)."""
    allowed = demands.max_class_drop
    if allowed is None or labels is None:
        return None, False, False
    if before.right is None or after.right is None:
        return None, True, False
    found = [_recall(*one, demands) for one in _by_class(before.right, after.right, labels)]
    worst = max((each for each, _ in found), key=lambda each: each.upper)
    return worst, worst.upper > allowed, any(lower > allowed for _, lower in found)


def _by_class(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each class, and where the original and the candidate are right on its samples."""
    for label in np.unique(labels).tolist():
        yield label, before[labels == label], after[labels == label]


def _recall(
    label: int, before: np.ndarray, after: np.ndarray, demands: Demands
) -> tuple[ClassVerdict, float]:
    """The verdict on one class, and the lower bound of its loss."""
    first, second = before.astype(np.float64), after.astype(np.float64)
    lower, upper = tango.bounds(first, second, demands.confidence)
    verdict = ClassVerdict(
        label=label,
        n=len(first),
        before=float(first.mean()),
        after=float(second.mean()),
        upper=upper,
    )
    return verdict, lower


def _class_values(
    before: Judged, after: Judged, labels: np.ndarray | None, demands: Demands
) -> tuple[ClassValue | None, bool, bool]:
    """(class with the least bound, whether that is too low, whether some recall is for sure)."""
    least = demands.worst_class_value
    if least is None or labels is None:
        return None, False, False
    if before.right is None or after.right is None:
        return None, True, False
    found = [_value(*one, demands) for one in _by_class(before.right, after.right, labels)]
    lowest = min((each for each, _ in found), key=lambda each: each.lower)
    return lowest, lowest.lower < least, any(upper < least for _, upper in found)


def _value(
    label: int, before: np.ndarray, after: np.ndarray, demands: Demands
) -> tuple[ClassValue, float]:
    """The recall of one class, and its upper bound; of a handful of samples nothing is claimed."""
    n, recall = len(after), float(after.mean())
    lower, upper = 0.0, 1.0
    if n >= SAMPLES_MIN:
        low, high = tango.wilson(recall, n, demands.confidence)
        lower, upper = max(low, 0.0), max(high, recall)  # may be rounded to beyond them
    first = float(before.mean())
    return ClassValue(label=label, n=n, before=first, after=recall, lower=lower), upper


def lowest_recall(judged: Judged, labels: np.ndarray) -> tuple[int, int, float] | None:
    """(class, its samples, its recall) of the class with the least; None where none is seen."""
    if judged.right is None or not len(labels):
        return None
    recalls = {
        label: float(judged.right[labels == label].mean()) for label in np.unique(labels).tolist()
    }
    label = min(recalls, key=lambda each: recalls[each])
    return label, int((labels == label).sum()), recalls[label]
