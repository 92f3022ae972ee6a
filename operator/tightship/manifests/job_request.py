"""What a Job is told to do: its request, from the specs of the model and the pool."""

import math
from dataclasses import dataclass, replace

from tightship.api import job
from tightship.api.training import TrainerRequest
from tightship.api.v1alpha1 import (
    Dataset,
    OptimizedModelSpec,
    OwnMetric,
    Search,
    ServingPoolSpec,
    Trainer,
)
from tightship.plan import inputs as identity
from tightship.plan.actions import ApplyConvertJob, ApplyEvaluateJob, ApplyIntakeJob


def intake_request(action: ApplyIntakeJob) -> job.JobRequest:
    """Of an intake: no digest is known yet but one that the model's spec pins."""
    spec, pool = action.model_spec, action.pool_spec
    digest = spec.model.digest.removeprefix("sha256:") if spec.model.digest else None
    return _request(spec, pool, None, digest, _Pinned())


def convert_request(action: ApplyConvertJob) -> job.JobRequest:
    """Of a conversion: everything that it fetches is what an intake has seen."""
    pinned = _Pinned(
        calibration=action.calibration_digest,
        evaluation=action.evaluation_digest,
        trainer=action.trainer_digest,
        metric=action.metric_digest,
    )
    spec, pool = action.model_spec, action.pool_spec
    return _request(spec, pool, action.key, action.source_digest, pinned)


def evaluate_request(action: ApplyEvaluateJob) -> job.EvaluateRequest:
    """Of an evaluation: data and metric as they are now, whatever an intake has seen."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pinned:
    """Digests of what comes beside the source, once an intake has seen it."""

    calibration: str | None = None
    evaluation: str | None = None
    trainer: str | None = None
    metric: str | None = None


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
        worst_class_value=gate.worst_class_value,
        accelerator=pool.accelerator.named if pool.accelerator else None,
        trusted_code=pool.trusted_code,
        search=_search(spec.optimization.search),
        trainer=_trainer(spec.optimization.trainer, pool, pinned.trainer),
        own_metric=_metric(spec.own_metric, pool, pinned.metric),
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
