"""The Jobs of a model: an intake of hostile bytes, a conversion of what it pinned, evaluations."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from tightship.api import job, names
from tightship.api.training import TrainerRequest
from tightship.api.uris import claim
from tightship.api.v1alpha1 import (
    Code,
    Dataset,
    ModelSource,
    OptimizedModelSpec,
    OwnMetric,
    Resources,
    Search,
    ServingPoolSpec,
    Trainer,
)
from tightship.manifests import security
from tightship.manifests.objects import (
    Object,
    labels,
    metadata,
    mount,
    placement,
    resources,
    variables,
)
from tightship.manifests.security import SHARED_MEMORY, TEMPORARY
from tightship.plan import inputs as identity
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

_TRANSFER = Resources(cpu=0.1, memory=512 * 2**20, cpu_limit=1.0)
_LABEL_VALUE_MAX = 63
_FETCH_EVALUATION = "fetch-evaluation"
_SOURCES = ("source", "calibration", "evaluation", "trainer", "metric")
_REPOSITORY_IN_WORK = job.MODEL_REPOSITORY.removeprefix(f"{job.WORK}/")


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
    spec, pool = action.model_spec, action.pool_spec
    digest = spec.model.digest.removeprefix("sha256:") if spec.model.digest else None
    request = _request(spec, pool, None, digest, _Pinned())
    stages = _Stages(spec, pool, request)
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
    spec, pool = action.model_spec, action.pool_spec
    pinned = _Pinned(
        calibration=action.calibration_digest,
        evaluation=action.evaluation_digest,
        trainer=action.trainer_digest,
        metric=action.metric_digest,
    )
    request = _request(spec, pool, action.key, action.source_digest, pinned)
    stages = _Stages(spec, pool, request)
    pod = _pod(
        pool,
        init=[stages.fetch(with_store=True), stages.triton(), stages.convert()],
        main=stages.publish(),
        volumes=stages.volumes(
            ["fetch", "triton", "convert", "publish"], with_store=True, publishes=True
        ),
    )
    pod["shareProcessNamespace"] = True
    return _job(action.name, namespace, CONVERT, action.key, action.pool, action.owners, pod)


def evaluate_job(action: ApplyEvaluateJob, namespace: str) -> Object:
    """The Job that measures a published variant on the data as they are now; it writes nothing."""
    spec, pool = action.model_spec, action.pool_spec
    stages = _Stages(spec, pool, _evaluate_request(action), sources=("evaluation", "metric"))
    pod = _pod(
        pool,
        init=[stages.fetch(_FETCH_EVALUATION, with_store=True)],
        main=stages.evaluate(),
        volumes=stages.volumes([_FETCH_EVALUATION, EVALUATE], with_store=True, publishes=False),
    )
    return _job(action.name, namespace, EVALUATE, action.inputs, action.pool, action.owners, pod)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pinned:
    """Digests of what comes beside the source, once an intake has seen it."""

    calibration: str | None = None
    evaluation: str | None = None
    trainer: str | None = None
    metric: str | None = None


class _Stages:
    """Containers of a Job and the volumes that they mount."""

    def __init__(
        self,
        spec: OptimizedModelSpec,
        pool: ServingPoolSpec,
        request: job.JobRequest | job.EvaluateRequest,
        sources: Collection[str] = _SOURCES,
    ) -> None:
        self._pool = pool
        self._request = request
        write = pool.store.write_secret or pool.store.secret
        named: dict[str, ModelSource | Dataset | Code | None] = {
            "source": spec.model,
            "calibration": spec.calibration,
            "evaluation": spec.evaluation,
            "trainer": spec.optimization.trainer,
            "metric": spec.own_metric,
        }
        found = {use: each for use, each in named.items() if each and use in sources}
        secrets = {use: each.secret for use, each in found.items()}
        secrets |= {"store": pool.store.secret, "store-write": write}
        self._secrets = {use: secret for use, secret in secrets.items() if secret}
        self._inputs = [each.storage_uri for each in found.values()]

    def fetch(self, name: str = "fetch", *, with_store: bool) -> Object:
        """Downloads with the credentials of the sources; `with_store` also from the store.

        The store's Secret is there in any case: it names the store's host, which sources may be on
        without being listed.
        """
        uses = [use for use in self._secrets if use != "store-write"]
        uris = [*self._inputs, *([self._pool.store.uri] if with_store else [])]
        return self._stage(name, _TRANSFER, [*self._secret_mounts(uses), *_claim_mounts(uris)])

    def inspect(self) -> Object:
        """Looks at the files without any credential."""
        return self._stage("inspect", self._pool.converter.resources, [])

    def convert(self) -> Object:
        """All optimizing stages, without any credential."""
        return self._stage("convert", self._pool.converter.resources, [])

    def evaluate(self) -> Object:
        """Runs what was published, without any credential."""
        return self._stage(EVALUATE, self._pool.converter.resources, [])

    def publish(self) -> Object:
        """Uploads. Another user than Triton's, so that no process of the pod can look into it."""
        mounts = [
            *self._secret_mounts(["store-write"]),
            *_claim_mounts([self._pool.store.uri], read_only=False),
        ]
        stage = self._stage("publish", _TRANSFER, mounts, work_read_only=True)
        stage["securityContext"]["runAsUser"] = security.PUBLISHER
        return stage

    def triton(self) -> Object:
        """The pool's own server as a native sidecar, so that what is measured is what is served.

        It has no probe: it listens on the loopback address, which the kubelet cannot reach, and the
        converter waits for it. Of the work volume it sees the model repository alone, which the
        kubelet makes where it is missing: Triton ends at once without one.
        """
        pool, device = self._pool, self._pool.accelerator
        return {
            "name": "triton",
            "image": pool.server.image,
            "imagePullPolicy": "IfNotPresent",
            "restartPolicy": "Always",
            "command": ["tritonserver"],
            "args": security.converter_flags(pool, job.MODEL_REPOSITORY),
            "resources": resources(
                pool.server.resources,
                disk=security.TEMPORARY_BYTES + security.LOG_BYTES,
                device=device.resource_name if device else None,
            ),
            "securityContext": security.container_security(),
            "volumeMounts": [
                {**mount("work", job.MODEL_REPOSITORY), "subPath": _REPOSITORY_IN_WORK},
                mount("tmp-triton", TEMPORARY, read_only=False),
                mount("shared-memory", SHARED_MEMORY, read_only=False),
            ],
        }

    def volumes(self, stages: Iterable[str], *, with_store: bool, publishes: bool) -> list[Object]:
        """Every volume that the stages mount."""
        uses = [use for use in self._secrets if publishes or use != "store-write"]
        uris = [*self._inputs, *([self._pool.store.uri] if with_store else [])]
        memory = self._pool.server.resources.memory
        shared = security.shared_memory("shared-memory", memory) if publishes else None
        return [
            security.scratch("work", self._pool.converter.scratch_bytes),
            *(security.scratch(f"tmp-{stage}", security.TEMPORARY_BYTES) for stage in stages),
            *([shared] if shared else []),
            *(security.users_secret(f"secret-{use}", self._secrets[use]) for use in uses),
            *(security.claim(f"claim-{name}", name) for name in _claims(uris)),
        ]

    def _stage(
        self,
        name: str,
        wanted: Resources,
        mounts: list[Object],
        *,
        work_read_only: bool = False,
    ) -> Object:
        scratch = self._pool.converter.scratch_bytes
        disk = scratch + security.TEMPORARY_BYTES + security.LOG_BYTES
        return {
            "name": name,
            "image": self._pool.converter.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["tightship", "job", name],
            "env": variables({job.REQUEST_VARIABLE: self._request.to_json(), "HOME": TEMPORARY}),
            "resources": resources(wanted, disk=disk, limit_cpu=True),
            "securityContext": security.container_security(),
            "terminationMessagePath": job.TERMINATION_LOG,
            "terminationMessagePolicy": "File",
            "volumeMounts": [
                mount("work", job.WORK, read_only=work_read_only),
                mount(f"tmp-{name}", TEMPORARY, read_only=False),
                *mounts,
            ],
        }

    def _secret_mounts(self, uses: Iterable[str]) -> list[Object]:
        return [
            mount(f"secret-{use}", f"{job.SECRETS}/{use}") for use in uses if use in self._secrets
        ]


def _request(
    spec: OptimizedModelSpec,
    pool: ServingPoolSpec,
    key: str | None,
    source_digest: str | None,
    pinned: _Pinned,
) -> job.JobRequest:
    techniques, gate = spec.optimization.techniques, spec.optimization.gate
    wanted, evaluation = identity.objective(spec, pool), spec.evaluation
    return job.JobRequest(
        key=key,
        source_uri=spec.model.storage_uri,
        source_format=spec.model.format.value,
        source_digest=source_digest,
        calibration=_data(spec.calibration, pinned.calibration),
        evaluation=_data(evaluation, pinned.evaluation),
        metric=evaluation.metric.value if evaluation and evaluation.metric else None,
        quantize=techniques.quantize,
        half_precision=techniques.half_precision,
        openvino=techniques.openvino,
        prune=techniques.prune,
        prune_sparsity=techniques.prune_sparsity,
        max_drop=gate.max_drop,
        confidence=gate.confidence,
        objective=spec.optimization.objective.value,
        min_speedup=spec.optimization.min_speedup,
        slo_target=wanted.target if wanted else None,
        slo_percentile=wanted.percentile if wanted else 99,
        store_uri=pool.store.uri,
        allowed_hosts=pool.converter.allowed_hosts,
        max_source_bytes=pool.converter.max_source_bytes,
        scratch_bytes=pool.converter.scratch_bytes,
        converter_image=pool.converter.image,
        server_image=pool.server.image,
        node_class=identity.node_class(pool),
        threads=identity.threads(pool),
        backend_directory=pool.server.backend_directory,
        positive_class=evaluation.positive_class if evaluation else None,
        worst_value=gate.worst_value,
        max_class_drop=gate.max_class_drop,
        accelerator=pool.accelerator.resource_name if pool.accelerator else None,
        trusted_code=pool.trusted_code,
        search=_search(spec.optimization.search),
        trainer=_trainer(spec.optimization.trainer, pool, pinned.trainer),
        own_metric=_metric(spec.own_metric, pool, pinned.metric),
    )


def _evaluate_request(action: ApplyEvaluateJob) -> job.EvaluateRequest:
    spec, pool = action.model_spec, action.pool_spec
    data, gate = spec.evaluation, spec.optimization.gate
    if data is None:
        raise ValueError("a model without evaluation data is not evaluated")
    return job.EvaluateRequest(
        key=action.key,
        digest=action.digest,
        data=job.DataRequest(uri=data.storage_uri, max_samples=data.max_samples),
        metric=data.metric.value if data.metric else None,
        own_metric=_metric(spec.own_metric, pool, None),
        max_drop=gate.max_drop,
        confidence=gate.confidence,
        store_uri=pool.store.uri,
        allowed_hosts=pool.converter.allowed_hosts,
        max_source_bytes=pool.converter.max_source_bytes,
        scratch_bytes=pool.converter.scratch_bytes,
        worst_value=gate.worst_value,
        positive_class=data.positive_class,
    )


def _search(wanted: Search | None) -> job.SearchRequest | None:
    if wanted is None:
        return None
    return job.SearchRequest(
        strategy=wanted.strategy.value,
        max_trials=wanted.max_trials,
        max_seconds=wanted.max_duration,
    )


def _trainer(
    wanted: Trainer | None, pool: ServingPoolSpec, digest: str | None
) -> TrainerRequest | None:
    """With as many threads as the container has processors: torch would take all of the node."""
    if wanted is None:
        return None
    given = pool.converter.resources
    cores = given.cpu if given.cpu_limit is None else given.cpu_limit
    return TrainerRequest(
        uri=wanted.storage_uri,
        entry=wanted.entrypoint,
        trusted=pool.trusted_code,
        options=replace(wanted.options, threads=max(1, math.floor(cores))),
        digest=digest,
    )


def _metric(
    wanted: OwnMetric | None, pool: ServingPoolSpec, digest: str | None
) -> job.MetricRequest | None:
    if wanted is None:
        return None
    return job.MetricRequest(
        uri=wanted.storage_uri,
        entry=wanted.entrypoint,
        trusted=pool.trusted_code,
        digest=digest,
        better=wanted.better.value if wanted.better else None,
    )


def _data(dataset: Dataset | None, digest: str | None) -> job.DataRequest | None:
    if dataset is None:
        return None
    return job.DataRequest(uri=dataset.storage_uri, max_samples=dataset.max_samples, digest=digest)


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


def _claims(uris: Iterable[str]) -> list[str]:
    return sorted({name for uri in uris if (name := claim(uri))})


def _claim_mounts(uris: Iterable[str], *, read_only: bool = True) -> list[Object]:
    return [
        mount(f"claim-{name}", f"{job.PVC_ROOT}/{name}", read_only=read_only)
        for name in _claims(uris)
    ]
