"""A unit of conversion work: who needs it, what became of it, and how a status says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tightship.api import names
from tightship.api.conditions import (
    LIMITATIONS,
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    timestamp,
)
from tightship.api.failures import Failure
from tightship.api.v1alpha1 import OptimizedModelSpec
from tightship.plan.actions import (
    ApplyConvertJob,
    ApplyEvaluateJob,
    ApplyIntakeJob,
    ApplyJob,
    Owner,
)
from tightship.plan.snapshot import JobKind, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tightship.api.artifact import IntakeResult
    from tightship.api.v1alpha1 import ServingPoolSpec
    from tightship.plan.figures import Artifact
    from tightship.plan.snapshot import JobFact, ModelFact

_JOB_NAMES = {
    JobKind.INTAKE: names.intake_job_name,
    JobKind.REFRESH: names.refresh_job_name,
    JobKind.CONVERT: names.convert_job_name,
    JobKind.EVALUATE: names.evaluate_job_name,
}
BACKOFF_FIRST = 10.0  # seconds before the second attempt; doubles
BACKOFF_MAX = 600.0
NAMED_AHEAD = 10  # positions that a waiting model is told; further ones would rewrite every status


@dataclass(slots=True, kw_only=True, eq=False)
class Work:
    """An intake, a conversion or an evaluation, and the models that need it."""

    kind: JobKind
    name: str  # a hash of inputs, or KEY
    intake: IntakeResult | None
    artifact: Artifact | None = None  # that is evaluated
    users: list[ModelFact] = field(default_factory=list)
    job: JobFact | None = None
    attempts: int = 0
    failure: Failure | None = None
    failed_job: str | None = None  # uid of the Job that `failure` is from
    remembered: bool = True  # every user's status knows of `failure`
    asked: bool = False  # a user has asked by annotation to forget `failure`

    @property
    def order(self) -> tuple[int, float, str]:
        """Priority, then age, then name."""
        return (
            -max(spec_of(m).serving.priority for m in self.users),
            min(m.created for m in self.users),
            self.name,
        )

    @property
    def label(self) -> str:
        """The model that stands for all users in messages."""
        return self.users[0].name

    @property
    def job_name(self) -> str:
        """Name of its Job."""
        return _JOB_NAMES[self.kind](self.name)


def spec_of(model: ModelFact) -> OptimizedModelSpec:
    """The valid spec of a model that is being planned."""
    if isinstance(model.spec, OptimizedModelSpec):
        return model.spec
    raise TypeError(f"model {model.name} has no valid spec")


def job(work: Work, pool_name: str, pool: ServingPoolSpec, reason: str) -> ApplyJob:
    """Its Job, owned by all users."""
    owners = tuple(Owner(kind=names.OPTIMIZED_MODEL, name=m.name, uid=m.uid) for m in work.users)
    spec = spec_of(work.users[0])
    if work.artifact is not None:
        return ApplyEvaluateJob(
            inputs=work.name,
            owners=owners,
            pool=pool_name,
            pool_spec=pool,
            model_spec=spec,
            key=work.artifact.key,
            digest=work.artifact.digest,
            reason=reason,
        )
    if work.intake is None:
        return ApplyIntakeJob(
            inputs=work.name,
            owners=owners,
            pool=pool_name,
            pool_spec=pool,
            model_spec=spec,
            reason=reason,
            again=work.kind is JobKind.REFRESH,
        )
    return ApplyConvertJob(
        key=work.name,
        owners=owners,
        pool=pool_name,
        pool_spec=pool,
        model_spec=spec,
        source_digest=work.intake.source_digest,
        calibration_digest=work.intake.calibration_digest,
        evaluation_digest=work.intake.evaluation_digest,
        trainer_digest=work.intake.trainer_digest,
        metric_digest=work.intake.metric_digest,
        reason=reason,
    )


def backoff(attempts: int) -> float:
    """Seconds between the end of a failed attempt and the next one."""
    return float(min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** (attempts - 1)))


def recall(work: Work) -> None:
    """What the users' statuses remember of earlier attempts at this work; the most counts."""
    field_name = "inputs" if work.kind is JobKind.INTAKE else "key"
    for model in work.users:
        done = model.status.get("conversion") or {}
        same = done.get(field_name) == work.name
        same = same and (work.kind is JobKind.CONVERT or not done.get("key"))
        failure = done.get("failure") if same else None
        if failure and int(done.get("attempts", 0)) > work.attempts:
            work.attempts = int(done["attempts"])
            work.failure = Failure.from_json(failure)
            work.failed_job = failure.get("job")
        if failure and model.retry and done.get("retry") != model.retry:
            work.asked = True


def forget(work: Work) -> None:
    """Earlier attempts no longer count."""
    work.attempts, work.failure, work.failed_job, work.asked = 0, None, None, False


def learn(work: Work) -> None:
    """Adds the failure of the present Job, unless it is the one that is remembered."""
    job = work.job
    if job is None or not job.ended:
        return
    if job.uid == work.failed_job:
        return
    work.attempts += 1
    work.failed_job = job.uid
    work.remembered = False
    work.failure = failure_of(job)


def failure_of(job: JobFact) -> Failure:
    """Why a Job that has ended brought nothing."""
    if job.state is JobState.SUCCEEDED:
        message = "The Job succeeded but left no readable answer."
        return Failure(reason=Reason.RESULT_MISSING, message=message, retryable=True)
    message = "The Job ended without an answer: it was evicted, out of time or removed."
    return job.failure or Failure(reason=Reason.JOB_FAILED, message=message, retryable=True)


def active(work: Work) -> bool:
    """Whether its Job exists and has not ended."""
    return work.job is not None and not work.job.ended


def attempts_json(work: Work) -> dict[str, Any]:
    """`attempts` and `failure` of `status.conversion`."""
    if work.failure is None:
        return {}
    failure = {**work.failure.to_json(), "job": work.failed_job or ""}
    return {"attempts": work.attempts, "failure": failure}


def condition(status: ConditionStatus, reason: str, message: str) -> Condition:
    """A condition of type Converted."""
    return Condition(type=ConditionType.CONVERTED, status=status, reason=reason, message=message)


def converted(
    artifact: Mapping[str, Any], optimization: Mapping[str, Any], limitations: Sequence[str]
) -> Condition:
    """Its result is known; what the model itself rules out comes first."""
    variant = artifact.get("variant", "")
    reason = Reason.UNCHANGED if variant == "original" else Reason.CONVERTED
    why = optimization.get("reason", "")
    speedup = optimization.get("speedup", "1.00")
    found = _known(limitations)
    sentences = [
        *(LIMITATIONS[each] for each in found),
        f"{variant}, {speedup} times as fast: {why}",
    ]
    return condition(ConditionStatus.TRUE, next(iter(found), reason), " ".join(sentences))


def limited(told: Condition, limitations: Sequence[str]) -> Condition:
    """The condition of work that is not done, with what the model itself rules out."""
    sentences = [told.message, *(LIMITATIONS[each] for each in _known(limitations))]
    return condition(told.status, told.reason, " ".join(sentences))


def _known(limitations: Sequence[str]) -> list[Reason]:
    """Those that this version has a sentence for: a converter may be newer."""
    return [reason for reason in LIMITATIONS if reason in limitations]


def why(work: Work) -> str:
    """Why its Job is wanted."""
    step = "its source is not checked yet" if work.intake is None else "no artifact has this KEY"
    again = f"; attempt {work.attempts + 1}" if work.attempts else ""
    return f"{work.label}: {step}{again}"


def progress_json(work: Work) -> dict[str, Any]:
    """`progress` of `status.conversion`: there while its Job runs."""
    job = work.job
    if job is None or job.ended or job.step is None:
        return {}
    return {"progress": job.position.place if job.position else job.step}


def starting(work: Work) -> Condition:
    """Its Job is among the actions of this plan."""
    reason = Reason.INTAKE_RUNNING if work.intake is None else Reason.CONVERTING
    return condition(ConditionStatus.UNKNOWN, reason, f"Job {work.job_name} is being started.")


def running(work: Work) -> Condition:
    """Its Job exists."""
    reason = Reason.INTAKE_RUNNING if work.intake is None else Reason.CONVERTING
    message = f"Job {work.job_name} runs."
    if work.job and work.job.step:
        at = work.job.position.said if work.job.position else work.job.step
        message = f"Job {work.job_name} runs: {at}."
    elif work.job and work.job.waiting:
        message = f"Job {work.job_name} waits to start: {work.job.waiting}"
    elif work.job and work.job.state is JobState.PENDING:
        message = f"Job {work.job_name} is being started."
    return condition(ConditionStatus.UNKNOWN, reason, message)


def waiting(work: Work, limit: int, taken: list[str], ahead: list[str]) -> Condition:
    """It is queued behind those that hold a slot and those ahead in the queue."""
    intake = work.intake is None
    reason = Reason.INTAKE_QUEUED if intake else Reason.CONVERSION_QUEUED
    what = "intakes" if intake else "conversions"
    if len(ahead) >= NAMED_AHEAD:
        message = f"Waits for a free slot: more than {NAMED_AHEAD} {what} come first."
    else:
        behind = ", ".join([*taken[:3], *(["..."] if taken[3:] else [])])
        message = f"Waits at position {len(ahead) + 1} for a free slot; {what} that run"
        message += f" (at most {limit}): {behind}."
        message += f" Before it: {', '.join(ahead)}." if ahead else ""
    return condition(ConditionStatus.UNKNOWN, reason, message)


def failed(work: Work) -> Condition:
    """It failed, and is not tried again unless the spec changes or somebody asks."""
    failure = work.failure or Failure(reason=Reason.JOB_FAILED, message="")
    tried = f" Tried {work.attempts} times." if work.attempts > 1 else ""
    again = f" A new value of the annotation {names.RETRY_ANNOTATION} tries again."
    return condition(ConditionStatus.FALSE, failure.reason, f"{failure.message}{tried}{again}")


def changed() -> Condition:
    """The bytes of its source or data are no longer those that an intake has checked."""
    message = "The source or its data changed after they were checked: they are checked anew."
    return condition(ConditionStatus.UNKNOWN, Reason.RETRYING, message)


def retrying(work: Work, due: float, retries: int) -> Condition:
    """It failed and is tried again at `due`."""
    failure = work.failure or Failure(reason=Reason.JOB_FAILED, message="")
    message = (
        f"Attempt {work.attempts} of {retries + 1} failed with {failure.reason}: "
        f"{failure.message} The next one starts at {timestamp(due)}."
    )
    return condition(ConditionStatus.UNKNOWN, Reason.RETRYING, message)
