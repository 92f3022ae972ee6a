"""Looks at sources that may have changed: when one is due, and what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightship.api.artifact import IntakeResult
from tightship.plan import checks
from tightship.plan.checks import Check

if TYPE_CHECKING:
    from tightship.api.v1alpha1 import OptimizedModelSpec
    from tightship.plan.snapshot import JobFact, ModelFact

SPREAD = 0.1
"""The part of an interval by which looks come early, each by its own share: models that were made
at once are not looked at at once."""

Look = Check[IntakeResult]
"""The last look at the source and the data that `inputs` is the hash of."""


def is_watched(spec: OptimizedModelSpec) -> bool:
    """Whether there is something that may change, and a wish to know of it."""
    pinned = spec.model.digest is not None and not (spec.calibration or spec.evaluation)
    return spec.model.refresh_interval > 0 and not pinned


def last_look(
    model: ModelFact, inputs: str, intake: JobFact | None, refresh: JobFact | None
) -> Look:
    """What the model's status and the Jobs for the same inputs tell together."""
    first = Look(inputs=inputs, time=model.created, known=False)
    if intake is not None and intake.ended:
        first = Look(inputs=inputs, time=checks.end(intake))
    before = checks.remembered(model.status.get("refresh"), inputs, first)
    return checks.learned(before, refresh, IntakeResult)


def due(look: Look, interval: float, retries: int) -> float:
    """When to look again: after the interval, or earlier where a retry may help."""
    wait = interval * (1 - SPREAD * int(look.inputs[:8], 16) / 2**32)
    return look.due(look.time + wait, retries)


def same_bytes(one: IntakeResult, other: IntakeResult) -> bool:
    """Whether two looks saw the same source, data and code."""
    return _digests(one) == _digests(other)


def _digests(intake: IntakeResult) -> tuple[str | None, ...]:
    return (
        intake.source_digest,
        intake.calibration_digest,
        intake.evaluation_digest,
        intake.trainer_digest,
        intake.metric_digest,
    )
