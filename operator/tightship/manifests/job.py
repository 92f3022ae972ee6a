"""The Jobs of a model: an intake of hostile bytes, a conversion of what it pinned, evaluations."""

import math

from tightship.api import names
from tightship.api.v1alpha1 import ServingPoolSpec
from tightship.manifests import device, security
from tightship.manifests.job_request import convert_request, evaluate_request, intake_request
from tightship.manifests.job_stages import Stages
from tightship.manifests.objects import Object, labels, metadata, placement
from tightship.plan.actions import (
    ApplyConvertJob,
    ApplyEvaluateJob,
    ApplyIntakeJob,
    ApplyJob,
    Owner,
)

INTAKE = "intake"
REFRESH = "refresh"
CONVERT = "convert"
EVALUATE = "evaluate"
KEEP_FINISHED_SECONDS = 3600  # for somebody who reads its log; the operator needs no finished Job

_LABEL_VALUE_MAX = 63
_FETCH_EVALUATION = "fetch-evaluation"


def job_object(action: ApplyJob, namespace: str) -> Object:
    """The Job of whichever kind."""
    match action:
        case ApplyIntakeJob():
            return intake_job(action, namespace)
        case ApplyConvertJob():
            return convert_job(action, namespace)
        case ApplyEvaluateJob():
            return evaluate_job(action, namespace)


def intake_job(action: ApplyIntakeJob, namespace: str) -> Object:
    """The Job that fetches source and data, refuses hostile files and finds the contract."""
    pool = action.pool_spec
    stages = Stages(action.model_spec, pool, intake_request(action))
    pod = _pod(
        pool,
        init=[stages.fetch(with_store=False)],
        main=stages.inspect(),
        volumes=stages.volumes(["fetch", "inspect"], with_store=False, publishes=False),
    )
    component = REFRESH if action.again else INTAKE
    return _job(action.name, namespace, component, action.inputs, action.pool, action.owners, pod)


def convert_job(action: ApplyConvertJob, namespace: str) -> Object:
    """The Job that builds, measures and publishes; Triton runs beside it as a native sidecar."""
    pool = action.pool_spec
    stages = Stages(action.model_spec, pool, convert_request(action))
    pod = _pod(
        pool,
        init=[stages.fetch(with_store=True), stages.triton(), stages.convert()],
        main=stages.publish(),
        volumes=stages.volumes(
            ["fetch", "triton", "convert", "publish"], with_store=True, publishes=True
        ),
    )
    pod |= {"shareProcessNamespace": True, **device.pod(pool)}
    return _job(action.name, namespace, CONVERT, action.key, action.pool, action.owners, pod)


def evaluate_job(action: ApplyEvaluateJob, namespace: str) -> Object:
    """The Job that measures a published variant on the data as they are now; it writes nothing."""
    spec, pool = action.model_spec, action.pool_spec
    stages = Stages(spec, pool, evaluate_request(action), sources=("evaluation", "metric"))
    pod = _pod(
        pool,
        init=[stages.fetch(_FETCH_EVALUATION, with_store=True)],
        main=stages.evaluate(),
        volumes=stages.volumes([_FETCH_EVALUATION, EVALUATE], with_store=True, publishes=False),
    )
    return _job(action.name, namespace, EVALUATE, action.inputs, action.pool, action.owners, pod)


def _pod(
    pool: ServingPoolSpec, *, init: list[Object], main: Object, volumes: list[Object]
) -> Object:
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": math.ceil(pool.converter.deadline),
        "terminationGracePeriodSeconds": 10,
        **placement(pool.server),
        "securityContext": security.pod_security(),
        "initContainers": init,
        "containers": [main],
        "volumes": volumes,
    }


def _job(
    name: str,
    namespace: str,
    component: str,
    inputs: str,
    pool: str,
    owners: tuple[Owner, ...],
    pod: Object,
) -> Object:
    """The pod's deadline begins when a node has taken it: waiting for a device does not count."""
    labelled = {**labels(pool, component), names.INPUTS_LABEL: inputs[:_LABEL_VALUE_MAX]}
    described = metadata(name, namespace, labelled, owners)
    described["annotations"] = {names.INPUTS_LABEL: inputs}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": described,
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "ttlSecondsAfterFinished": KEEP_FINISHED_SECONDS,
            "template": {"metadata": {"labels": labelled}, "spec": pod},
        },
    }
