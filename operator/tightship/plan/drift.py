"""The condition InDistribution: whether requests look like the data that a model was judged on.

It is about knowledge alone: no model is taken out of service for it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tightship.api.agent import DriftSampling
from tightship.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    known_condition,
)
from tightship.plan.snapshot import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tightship.api.agent import DriftReport, FeatureDrift
    from tightship.api.v1alpha1 import OptimizedModelSpec
    from tightship.plan.fleet import Sight
    from tightship.plan.rollout import Wanted
    from tightship.plan.snapshot import ModelFact

_REMEDY = (
    "Find out what has changed where they come from. If they are right, give data like them as "
    "data.evaluation, which converts the model anew and compares with those from then on."
)


def sampling(spec: OptimizedModelSpec) -> DriftSampling | None:
    """What agents are told about sampling a model's requests."""
    wish = spec.monitoring.drift
    return DriftSampling(rate=round(1 / wish.sample_rate), samples=wish.samples) if wish else None


def drift(model: ModelFact, wanted: Wanted | None, sights: Iterable[Sight]) -> Condition | None:
    """What the copies' samples show, the worst of them; None where nobody asks.

    While no copy has a verdict (its agent has started anew, say) that of the same artifact stays.
    """
    if isinstance(model.spec, InvalidSpec):
        return known_condition(model.status, ConditionType.IN_DISTRIBUTION)
    wish = model.spec.monitoring.drift
    if wish is None:
        return None
    if wanted is None:
        return _unknown(Reason.AWAITING_CONVERSION, "Nothing has been converted yet.")
    digest = wanted.entry.digest
    held = [sight.held.drift for sight in sights if sight.held is not None]
    reports = [report for report in held if report is not None and report.digest == digest]
    if any(report.samples for report in reports):
        return _verdict(reports, wish.max_psi)
    former = (
        known_condition(model.status, ConditionType.IN_DISTRIBUTION)
        if model.status.get("artifact", {}).get("digest") == digest
        else None
    )
    return _unsampled(reports, former, wish.samples)


def _unsampled(reports: Iterable[DriftReport], former: Condition | None, samples: int) -> Condition:
    """While no copy has a verdict: `former` is the one of the same artifact."""
    trouble = next((report.trouble for report in reports if report.trouble), None)
    if trouble is not None:
        return _unknown(Reason.NOT_SAMPLED, f"Requests cannot be sampled: {trouble}.")
    if former is not None and former.status is not ConditionStatus.UNKNOWN:
        return former
    return _unknown(Reason.AWAITING_SAMPLES, f"No copy has sampled {samples} requests yet.")


def _verdict(reports: Iterable[DriftReport], limit: float) -> Condition:
    worst: dict[str, FeatureDrift] = {}
    for feature in (each for report in reports for each in report.features):
        if feature.psi >= limit:
            former = worst.get(feature.name)
            worst[feature.name] = feature if former is None else max(former, feature, key=_psi)
    if not worst:
        message = f"No feature of the sampled requests and answers has a PSI of {limit:g} or more."
        return _condition(ConditionStatus.TRUE, Reason.STABLE, message)
    first = max(worst.values(), key=lambda feature: (feature.psi, feature.name))
    others = " and others" if len(worst) > 1 else ""
    message = (
        f"Requests or answers differ from the data that it was judged on: {first.name} has a PSI "
        f"of at least {_coarse(first.psi):g}{others}, and {limit:g} is the limit. {_REMEDY}"
    )
    return _condition(ConditionStatus.FALSE, Reason.DRIFTED, message)


def _psi(feature: FeatureDrift) -> float:
    return feature.psi


def _coarse(psi: float) -> float:
    """Rounded down to a tenth, and from 1 on to a whole: a status is not written for less."""
    return math.floor(psi) if psi >= 1 else math.floor(psi * 10 + 1e-9) / 10


def _unknown(reason: Reason, message: str) -> Condition:
    return _condition(ConditionStatus.UNKNOWN, reason, message)


def _condition(status: ConditionStatus, reason: Reason, message: str) -> Condition:
    return Condition(
        type=ConditionType.IN_DISTRIBUTION, status=status, reason=reason, message=message
    )
