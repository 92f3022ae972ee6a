"""Jobs and pods as the API server returns them, cut to what is read."""

import json
from typing import Any

import pytest

from tightship.api.artifact import EvaluationResult, IntakeResult
from tightship.api.failures import Failure
from tightship.controller.job_facts import job_fact, seconds, waiting
from tightship.kube.resources import JOBS, PODS
from tightship.kube.store import Store
from tightship.plan.snapshot import JobFact, JobKind, JobState

INPUTS = "9f" * 32
T0, T1, T2 = (f"2026-11-22T10:00:0{second}Z" for second in range(3))


def job(kind: str = "intake", *conditions: dict[str, str], **status: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "metadata": {
            "name": f"{kind}-9f9f9f9f9f",
            "namespace": "ns",
            "uid": "job",
            "resourceVersion": "1",
            "creationTimestamp": T0,
            "labels": {
                "tightship.dev/pool": "shared",
                "app.kubernetes.io/component": kind,
                "tightship.dev/inputs": INPUTS[:63],
            },
            "annotations": {"tightship.dev/inputs": INPUTS},
            "ownerReferences": [{"uid": "model"}],
        },
        "status": {"conditions": list(conditions), **status},
    }


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **status: Any) -> Any:  # noqa: ANN401
    return {
        "metadata": {
            "name": "p",
            "namespace": "ns",
            "uid": "pod",
            "resourceVersion": "2",
            "labels": {"tightship.dev/pool": "shared"},
            "ownerReferences": [{"uid": "job"}],
        },
        "status": {
            "initContainerStatuses": list(init),
            "containerStatuses": list(containers),
            **status,
        },
    }


def ended(name: str, code: int = 0, message: object = None, reason: str = "") -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message) if message else ""
    end = {"exitCode": code, "startedAt": T1, "finishedAt": T2, "message": text, "reason": reason}
    return {"name": name, "state": {"terminated": end}}


def running(name: str) -> dict[str, Any]:
    return {"name": name, "state": {"running": {"startedAt": T1}}}


def held(name: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}


COMPLETE = {"type": "Complete", "status": "True"}
FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"} | {
    "lastTransitionTime": T2
}
FOUND = {"source_digest": "ab", "source_bytes": 7}


def fact(job_: dict[str, Any], *pods: dict[str, Any]) -> JobFact:
    store = Store()
    store.put(JOBS, job_)
    for each in pods:
        store.put(PODS, each)
    entry = store.get(JOBS, "ns", job_["metadata"]["name"])
    assert entry is not None
    found = job_fact(entry, store.owned_by(PODS, "job"))
    assert found is not None
    return found


def test_a_new_job_is_pending() -> None:
    found = fact(job())
    assert (found.kind, found.inputs, found.state) == (JobKind.INTAKE, INPUTS, JobState.PENDING)
    assert (found.started, found.waiting, found.owners) == (None, None, frozenset({"model"}))
    assert found.created == seconds(T0)


def test_the_scheduler_says_what_is_waited_for() -> None:
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
    }
    found = fact(job(), pod(conditions=[unschedulable]))
    assert found.state is JobState.PENDING
    assert found.waiting is not None
    assert "Insufficient nvidia.com/gpu" in found.waiting


WAITING = {
    "an image that cannot be had": (
        held("fetch", "ImagePullBackOff", 'Back-off pulling image "x"'),
        "fetch: ImagePullBackOff: Back-off pulling image",
    ),
    "a missing Secret": (
        held("fetch", "CreateContainerConfigError", 'secret "models" not found'),
        'secret "models" not found',
    ),
    "nothing unusual": (held("fetch", "ContainerCreating"), None),
    "earlier containers": (held("publish", "PodInitializing"), None),
}


@pytest.mark.parametrize("case", WAITING)
def test_the_kubelet_says_what_is_waited_for(case: str) -> None:
    container, words = WAITING[case]
    found = waiting(pod(init=(container,)))
    assert found is None if words is None else words in (found or "")


def test_it_runs_from_the_first_containers_start() -> None:
    found = fact(job(), pod(held("inspect", "PodInitializing"), init=(running("fetch"),)))
    assert (found.state, found.started) == (JobState.RUNNING, seconds(T1))


STEPS = {
    "nothing yet": ((held("fetch", "PodInitializing"),), None),
    "fetch": ((running("fetch"), held("convert", "PodInitializing")), "fetch"),
    "a sidecar is no step": ((ended("fetch"), running("triton")), None),
    "convert": ((ended("fetch"), running("triton"), running("convert")), "convert"),
    "publish": ((ended("convert"), running("triton"), running("publish")), "publish"),
}


@pytest.mark.parametrize("case", STEPS)
def test_the_step_is_the_container_that_runs(case: str) -> None:
    containers, step = STEPS[case]
    assert fact(job("convert"), pod(init=containers)).step == step


def test_a_job_that_has_ended_is_at_no_step() -> None:
    found = fact(job("convert", COMPLETE, completionTime=T2), pod(running("publish")))
    assert (found.state, found.step) == (JobState.SUCCEEDED, None)


def test_the_main_containers_result_is_read() -> None:
    done = job("intake", COMPLETE, completionTime=T2)
    found = fact(done, pod(ended("inspect", 0, {"result": FOUND}), init=(ended("fetch"),)))
    assert found.state is JobState.SUCCEEDED
    assert found.result == IntakeResult(source_digest="ab", source_bytes=7)
    assert found.finished == seconds(T2)


def test_an_evaluations_result_is_read() -> None:
    result = EvaluationResult(
        key="ab",
        metric="f1",
        evaluation_digest="cd",
        evaluated=7,
        value=0.5,
        best=0.6,
        worst=0.4,
        samples=9,
        allowed=0.7,
        failed=("worstValue",),
    )
    answer = {"result": json.loads(json.dumps(result.to_json()))}
    fetched = ended("fetch-evaluation", 0, {"result": {"evaluation_digest": "cd"}})
    found = fact(job("evaluate", COMPLETE), pod(ended("evaluate", 0, answer), init=(fetched,)))
    assert (found.kind, found.result) == (JobKind.EVALUATE, result)


UNREADABLE = {
    "no message": None,
    "no JSON": "oops",
    "cut off": '{"result": {"source_digest": "a',
    "no object": "[1]",
    "fields are missing": {"result": {"source_bytes": 1}},
    "no result": {"something": 1},
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_result_is_none(case: str) -> None:
    found = fact(job("intake", COMPLETE), pod(ended("inspect", 0, UNREADABLE[case])))
    assert (found.state, found.result) == (JobState.SUCCEEDED, None)


def test_a_result_of_another_container_does_not_count() -> None:
    found = fact(
        job("intake", COMPLETE), pod(ended("x"), init=(ended("fetch", 0, {"result": FOUND}),))
    )
    assert found.result is None


def test_a_containers_own_words_come_first() -> None:
    said = Failure(reason="SourceMissing", message="there is no such file", retryable=False)
    failing = pod(
        held("inspect", "PodInitializing"),
        init=(ended("fetch", 1, {"failure": said.to_json()}, "Error"),),
    )
    assert fact(job("intake", FAILED), failing).failure == said


OOM = ended("convert", 137, None, "OOMKilled")
WHY = {
    "out of memory": (pod(init=(OOM, ended("triton", 137))), FAILED, "OutOfMemory", False),
    "killed": (pod(init=(ended("convert", 137, None, "Error"),)), FAILED, "Killed", True),
    "a crash": (pod(init=(ended("convert", 139, None, "Error"),)), FAILED, "Crashed", False),
    "Triton ran out of memory": (
        pod(init=(ended("triton", 137, None, "OOMKilled"),)),
        FAILED,
        "OutOfMemory",
        False,
    ),
    "the pod's deadline": (
        pod(reason="DeadlineExceeded", message="Pod was active on the node longer than..."),
        FAILED,
        "DeadlineExceeded",
        False,
    ),
    "the Job's deadline": (
        None,
        {**FAILED, "reason": "DeadlineExceeded"},
        "DeadlineExceeded",
        False,
    ),
    "memory pressure on the node": (
        pod(reason="Evicted", message="The node was low on resource: memory."),
        FAILED,
        "Evicted",
        True,
    ),
    "its own volume": (
        pod(reason="Evicted", message='Usage of EmptyDir volume "work" exceeds the limit "1Gi".'),
        FAILED,
        "NoSpaceLeft",
        False,
    ),
    "its pod's disk": (
        pod(
            reason="Evicted",
            message="Pod ephemeral local storage usage exceeds the total limit of containers 2Gi. ",
        ),
        FAILED,
        "NoSpaceLeft",
        False,
    ),
    "a container's disk": (
        pod(
            reason="Evicted",
            message='Container convert exceeded its local ephemeral storage limit "1Gi". ',
        ),
        FAILED,
        "NoSpaceLeft",
        False,
    ),
    "the node's disk": (
        pod(reason="Evicted", message="The node was low on resource: ephemeral-storage."),
        FAILED,
        "Evicted",
        True,
    ),
    "a drained node": (
        pod(
            conditions=[
                {"type": "DisruptionTarget", "status": "True", "message": "Eviction API: evicting"}
            ]
        ),
        FAILED,
        "Evicted",
        True,
    ),
}


@pytest.mark.parametrize("case", WHY)
def test_what_kubernetes_did_to_it(case: str) -> None:
    failing, condition, reason, retryable = WHY[case]
    failure = fact(job("convert", condition), *([failing] if failing else [])).failure
    assert failure is not None
    assert (failure.reason, failure.retryable) == (reason, retryable)
    assert "Traceback" not in failure.message


def test_a_lost_pod_leaves_the_reason_to_the_plan() -> None:
    found = fact(job("convert", FAILED))
    assert (found.state, found.failure) == (JobState.FAILED, None)


@pytest.mark.parametrize("label", ["app.kubernetes.io/component", "tightship.dev/inputs"])
def test_a_job_whose_labels_were_changed_is_passed_over(label: str) -> None:
    broken = job()
    del broken["metadata"]["labels"][label]
    del broken["metadata"]["annotations"]
    store = Store()
    store.put(JOBS, broken)
    entry = store.get(JOBS, "ns", "intake-9f9f9f9f9f")
    assert entry is not None
    assert job_fact(entry, []) is None
