"""Looks at sources that may have changed: when one is due, what it found, what a status keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tightship.api.artifact import IntakeResult
from tightship.api.conditions import seconds_of, timestamp
from tightship.api.failures import Failure
from tightship.plan.snapshot import JobState
from tightship.plan.work import backoff, failure_of

if TYPE_CHECKING:
    from tightship.api.v1alpha1 import OptimizedModelSpec
    from tightship.plan.snapshot import JobFact, ModelFact

SPREAD = 0.1
"""The part of an interval by which looks come early, each by its own share: models that were made
at once are not looked at at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The last look at the source and the data that `inputs` is the hash of.

    `found` is what it found, unless the status has it already. Without any look so far `time` is
    when the model was made, and `known` is False.
    """

    inputs: str
    time: float
    known: bool = True
    attempts: int = 0  # failed ones in a row
    failure: Failure | None = None
    found: IntakeResult | None = None
    news: bool = False  # a Job tells it that the status does not know yet

    def to_json(self) -> dict[str, Any] | None:
        """`status.refresh`."""
        if not self.known:
            return None
        told = {"inputs": self.inputs, "lastCheckTime": timestamp(self.time)}
        if self.failure is None:
            return told
        return {**told, "attempts": self.attempts, "failure": self.failure.to_json()}


def is_watched(spec: OptimizedModelSpec) -> bool:
    """Whether there is something that may change, and a wish to know of it."""
    pinned = spec.model.digest is not None and not (spec.calibration or spec.evaluation)
    return spec.model.refresh_interval > 0 and not pinned


def last_look(
    model: ModelFact, inputs: str, intake: JobFact | None, refresh: JobFact | None
) -> Look:
    """What the model's status and the Jobs for the same inputs tell together."""
    before = _remembered(model, inputs, intake)
    if refresh is None or not refresh.ended or _end(refresh) <= before.time:
        return before
    if refresh.state is JobState.SUCCEEDED and isinstance(refresh.result, IntakeResult):
        return Look(inputs=inputs, time=_end(refresh), found=refresh.result, news=True)
    return Look(
        inputs=inputs,
        time=_end(refresh),
        attempts=before.attempts + 1,
        failure=failure_of(refresh),
        news=True,
    )


def due(look: Look, interval: float, retries: int) -> float:
    """When to look again: after the interval, or earlier where a retry may help."""
    wait = interval * (1 - SPREAD * int(look.inputs[:8], 16) / 2**32)
    if look.failure and look.failure.retryable and look.attempts <= retries:
        wait = min(wait, backoff(look.attempts))
    return look.time + wait


def same_bytes(one: IntakeResult, other: IntakeResult) -> bool:
    """Whether two looks saw the same source, data and trainer."""
    return _digests(one) == _digests(other)


def _digests(intake: IntakeResult) -> tuple[str | None, ...]:
    return (
        intake.source_digest,
        intake.calibration_digest,
        intake.evaluation_digest,
        intake.trainer_digest,
    )


def _remembered(model: ModelFact, inputs: str, intake: JobFact | None) -> Look:
    """The status' own word, else the intake that the model began with."""
    own = model.status.get("refresh") or {}
    time = seconds_of(own.get("lastCheckTime"))
    if own.get("inputs") == inputs and time is not None:
        failure = own.get("failure")
        return Look(
            inputs=inputs,
            time=time,
            attempts=int(own.get("attempts", 0)),
            failure=Failure.from_json(failure) if failure else None,
        )
    if intake is not None and intake.ended:
        return Look(inputs=inputs, time=_end(intake))
    return Look(inputs=inputs, time=model.created, known=False)


def _end(job: JobFact) -> float:
    """In whole seconds, as a status keeps it."""
    return float(int(job.finished or job.created))
