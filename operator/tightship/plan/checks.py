"""What is known of a Job that comes again for the same inputs: the last one, and a status' word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tightship.api.artifact import EvaluationResult, IntakeResult
from tightship.api.conditions import seconds_of, timestamp
from tightship.api.failures import Failure
from tightship.plan.snapshot import JobState
from tightship.plan.work import backoff, failure_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.plan.snapshot import JobFact

R = TypeVar("R", IntakeResult, EvaluationResult)


@dataclass(frozen=True, kw_only=True)  # Python 3.11 makes no generic value that has slots
class Check(Generic[R]):
    """The last Job for `inputs`, which ended at `time`.

    `found` is what it found, unless the status has it already. Without any Job so far `time` is
    when what it is about became known otherwise, and `known` is False.
    """

    inputs: str
    time: float
    known: bool = True
    attempts: int = 0  # failed ones in a row
    failure: Failure | None = None
    found: R | None = None
    news: bool = False  # a Job tells it that the status does not know yet

    def to_json(self) -> dict[str, Any] | None:
        """The part of a status that `remembered` reads."""
        if not self.known:
            return None
        told = {"inputs": self.inputs, "lastCheckTime": timestamp(self.time)}
        if self.failure is None:
            return told
        return {**told, "attempts": self.attempts, "failure": self.failure.to_json()}

    def due(self, regular: float, retries: int) -> float:
        """When the next one is due: at the regular time, or earlier where a retry may help."""
        if self.failure and self.failure.retryable and self.attempts <= retries:
            return min(regular, self.time + backoff(self.attempts))
        return regular


def remembered(told: Mapping[str, Any] | None, inputs: str, otherwise: Check[R]) -> Check[R]:
    """What a status tells, if it is about these inputs."""
    own = told or {}
    time = seconds_of(own.get("lastCheckTime"))
    if own.get("inputs") != inputs or time is None:
        return otherwise
    failure = own.get("failure")
    return Check(
        inputs=inputs,
        time=time,
        attempts=int(own.get("attempts", 0)),
        failure=Failure.from_json(failure) if failure else None,
    )


def learned(before: Check[R], job: JobFact | None, result: type[R]) -> Check[R]:
    """And what the Job for the same inputs tells beyond that."""
    if job is None or not job.ended or end(job) <= before.time:
        return before
    if job.state is JobState.SUCCEEDED and isinstance(job.result, result):
        return Check(inputs=before.inputs, time=end(job), found=job.result, news=True)
    return Check(
        inputs=before.inputs,
        time=end(job),
        attempts=before.attempts + 1,
        failure=failure_of(job),
        news=True,
    )


def end(job: JobFact) -> float:
    """In whole seconds, as a status keeps it."""
    return float(int(job.finished or job.created))
