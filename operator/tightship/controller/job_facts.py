"""Facts about Jobs, read from the Job, its pod and what its containers said at their end."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from tightship.api import names
from tightship.api.artifact import EvaluationResult, IntakeResult, Summary
from tightship.api.failures import Failure
from tightship.kube.store import Entry
from tightship.plan.snapshot import JobFact, JobKind, JobState

_Result = IntakeResult | Summary | EvaluationResult
_Object = Mapping[str, Any]

_MAIN: Mapping[JobKind, tuple[str, Callable[[_Object], _Result]]] = {
    JobKind.INTAKE: ("inspect", IntakeResult.from_json),
    JobKind.REFRESH: ("inspect", IntakeResult.from_json),
    JobKind.CONVERT: ("publish", Summary.from_json),
    JobKind.EVALUATE: ("evaluate", EvaluationResult.from_json),
}
"""The main container of each kind, and how its result is read."""
_SIDECARS = frozenset({"triton"})
_KILLED = 137
_SELF_INFLICTED = ("emptydir", "ephemeral local storage", "local ephemeral storage")
"""Of the kubelet's messages about a pod that used more disk than it may; a node that runs out of
"ephemeral-storage" says so with another word."""
_WAITING_IS_NORMAL = frozenset({"PodInitializing", "ContainerCreating"})


def job_fact(job: Entry, pods: Sequence[Entry]) -> JobFact | None:
    """The fact of a Job of ours; None when its labels do not say what it is for."""
    component = job.labels.get(names.COMPONENT_LABEL)
    inputs = job.annotations.get(names.INPUTS_LABEL) or job.labels.get(names.INPUTS_LABEL)
    if component not in tuple(JobKind) or not inputs:
        return None
    kind = JobKind(component)
    values = [pod.value for pod in pods]
    started = [time for value in values for time in _starts(value)]
    state = _state(job.value, bool(started))
    answers = [answer for value in values for answer in _answers(value)]
    return JobFact(
        name=job.name,
        uid=job.uid,
        kind=kind,
        inputs=inputs,
        owners=job.owners,
        created=seconds(job.value["metadata"]["creationTimestamp"]) or 0.0,
        state=state,
        started=min(started, default=None),
        finished=_finished(job.value),
        waiting=_first(waiting(value) for value in values) if state is JobState.PENDING else None,
        step=_first(_step(value) for value in values) if state is JobState.RUNNING else None,
        result=_result(kind, answers) if state is JobState.SUCCEEDED else None,
        failure=_failure(job.value, values, answers) if state is JobState.FAILED else None,
    )


def waiting(pod: _Object) -> str | None:
    """Why a pod does not start, in the scheduler's or the kubelet's words; None when it does."""
    status = pod.get("status") or {}
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return _sentence(scheduled.get("reason"), scheduled.get("message"))
    for container in _containers(status):
        found = (container.get("state") or {}).get("waiting") or {}
        if found and found.get("reason") not in _WAITING_IS_NORMAL:
            return f"{container['name']}: {_sentence(found.get('reason'), found.get('message'))}"
    return None


def seconds(stamp: object) -> float | None:
    """Seconds since the epoch of a Kubernetes time."""
    if not isinstance(stamp, str) or not stamp:
        return None
    return datetime.fromisoformat(stamp).timestamp()


def _state(job: _Object, started: bool) -> JobState:  # noqa: FBT001 (a fact, not a switch)
    status = job.get("status") or {}
    if _condition(status, "Complete").get("status") == "True":
        return JobState.SUCCEEDED
    if _condition(status, "Failed").get("status") == "True":
        return JobState.FAILED
    return JobState.RUNNING if started else JobState.PENDING


def _finished(job: _Object) -> float | None:
    status = job.get("status") or {}
    failed = _condition(status, "Failed")
    if failed.get("status") == "True":
        return seconds(failed.get("lastTransitionTime"))
    return seconds(status.get("completionTime"))


def _starts(pod: _Object) -> Iterator[float]:
    for container in _containers(pod.get("status") or {}):
        for state in (container.get("state") or {}).values():
            began = seconds(state.get("startedAt")) if isinstance(state, Mapping) else None
            if began is not None:
                yield began


def _containers(status: _Object) -> list[_Object]:
    """Init containers, then the main ones: the order in which they run."""
    return [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]


def _step(pod: _Object) -> str | None:
    """The container that runs now, sidecars apart."""
    return next(
        (
            str(container["name"])
            for container in _containers(pod.get("status") or {})
            if "running" in (container.get("state") or {}) and container["name"] not in _SIDECARS
        ),
        None,
    )


def _ended(container: _Object) -> _Object:
    return (container.get("state") or {}).get("terminated") or {}


def _answers(pod: _Object) -> Iterator[tuple[str, _Object]]:
    """What each ended container said: its name and the decoded JSON."""
    for container in _containers(pod.get("status") or {}):
        message = _ended(container).get("message")
        try:
            answer = json.loads(message) if message else None
        except ValueError:
            continue
        if isinstance(answer, dict):
            yield str(container["name"]), answer


def _result(kind: JobKind, answers: Sequence[tuple[str, _Object]]) -> _Result | None:
    """The main container's result; None when there is none that can be read."""
    main, read = _MAIN[kind]
    for name, answer in answers:
        if name == main and isinstance(answer.get("result"), Mapping):
            try:
                return read(answer["result"])
            except ValueError:
                return None
    return None


def _failure(
    job: _Object, pods: Sequence[_Object], answers: Sequence[tuple[str, _Object]]
) -> Failure | None:
    """Why a Job failed: what a container said, else what Kubernetes did to it, else None."""
    for _, answer in answers:
        if isinstance(answer.get("failure"), Mapping):
            return Failure.from_json(answer["failure"])
    for pod in pods:
        found = _of_pod(pod.get("status") or {}) or _of_containers(pod.get("status") or {})
        if found:
            return found
    if _condition(job.get("status") or {}, "Failed").get("reason") == "DeadlineExceeded":
        return _deadline()
    return None


def _of_pod(status: _Object) -> Failure | None:
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    if reason == "DeadlineExceeded":
        return _deadline()
    if reason == "Evicted" and any(word in message.lower() for word in _SELF_INFLICTED):
        return Failure(
            reason="NoSpaceLeft",
            message=f"the pod used more disk than it may: {message.strip()}; raise"
            " spec.converter.scratchSize in the ServingPool, or make the model or its data smaller",
        )
    disruption = _condition(status, "DisruptionTarget")
    if reason in ("Evicted", "Preempting", "NodeLost", "Shutdown", "Terminated") or (
        disruption.get("status") == "True"
    ):
        words = message.strip() or str(disruption.get("message") or reason)
        return Failure(
            reason="Evicted",
            message=f"the node could not keep the pod: {words}; it is tried again",
            retryable=True,
        )
    return None


def _of_containers(status: _Object) -> Failure | None:
    ended = [(c, _ended(c)) for c in _containers(status) if _ended(c).get("exitCode")]
    # Triton is killed when the pod ends; it is to blame only where nobody else is.
    for container, end in sorted(ended, key=lambda pair: pair[0]["name"] in _SIDECARS):
        name, code = container["name"], int(end["exitCode"])
        if end.get("reason") == "OOMKilled":
            return Failure(
                reason="OutOfMemory",
                message=f"container {name} needed more memory than it may use; raise"
                " spec.converter.resources.limits.memory in the ServingPool",
            )
        if name in _SIDECARS:
            continue
        if code == _KILLED:
            return Failure(
                reason="Killed",
                message=f"container {name} was killed from outside; it is tried again",
                retryable=True,
            )
        return Failure(
            reason="Crashed",
            message=f"container {name} ended with exit code {code} without saying why; see"
            f" `kubectl logs` of the Job's pod, container {name}",
        )
    return None


def _deadline() -> Failure:
    return Failure(
        reason="DeadlineExceeded",
        message="the work took longer than the pool allows; raise spec.converter.deadline in the"
        " ServingPool, or give fewer techniques or samples",
    )


def _condition(status: _Object, kind: str) -> _Object:
    found: _Object = next((c for c in status.get("conditions") or () if c.get("type") == kind), {})
    return found


def _sentence(reason: object, message: object) -> str:
    return ": ".join(str(part) for part in (reason, message) if part)


def _first(values: Iterator[str | None]) -> str | None:
    return next((value for value in values if value), None)
