"""Identity of work: what an intake, a conversion and a server template are the hash of.

Everything here is a pure function of specs. Hashes are sha256 over canonical JSON, so they are the
same in every process and release; a change of what goes in is a change of what is redone.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tightship.api.training import TrainingOptions
from tightship.api.v1alpha1 import CODE_FORMATS, Objective
from tightship.plan.nodes import asks_for_whole_gpus

if TYPE_CHECKING:
    from tightship.api.artifact import IntakeResult
    from tightship.api.v1alpha1 import (
        Dataset,
        LatencyObjective,
        OptimizedModelSpec,
        OwnMetric,
        ServingPoolSpec,
        Trainer,
    )

DEFAULT_SLO_CLASS = "Interactive"
REVISION_LENGTH = 10
_LATER = frozenset({"positive_class", "worst_value", "max_class_drop", "own_metric"})
"""Fields that came later count only where they are set, so that what was converted stays so."""
_MEMO = 4096  # specs; a plan of so many models hashes only those that changed


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(value: object) -> str:
    """sha256 hex of the canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def threads(pool: ServingPoolSpec) -> int:
    """Threads that a model may use: the whole cores of a server, at least one."""
    return max(1, math.floor(pool.server.resources.cpu))


def node_class(pool: ServingPoolSpec) -> str:
    """What decides how fast a server of the pool is, as canonical JSON."""
    resources, device = pool.server.resources, pool.accelerator
    return canonical(
        {
            **(device.share() if device else {}),
            "accelerator": device.named if device else None,
            "cpu": resources.cpu,
            "cpuLimit": resources.cpu_limit,
            "memory": resources.memory,
            "nodeSelector": dict(pool.server.node_selector),
        }
    )


def objective(spec: OptimizedModelSpec, pool: ServingPoolSpec) -> LatencyObjective | None:
    """The model's latency objective: its own, else its class'; None when neither says one."""
    slo = spec.serving.slo
    return slo.latency or pool.slo_classes.get(slo.class_name)


def knows_class(spec: OptimizedModelSpec, pool: ServingPoolSpec) -> bool:
    """Whether the pool defines the model's SLO class; the default class may be left undefined."""
    name = spec.serving.slo.class_name
    return name == DEFAULT_SLO_CLASS or name in pool.slo_classes


class PoolIdentity:
    """Hashes of work in one pool; what they take from the pool is read once."""

    def __init__(self, pool: ServingPoolSpec) -> None:
        converter = pool.converter
        self._pool = pool
        self._threads = threads(pool)
        self._hosts = tuple(sorted(converter.allowed_hosts))
        self._limits = (converter.max_source_bytes, converter.scratch_bytes, pool.trusted_code)
        self._nodes = (
            node_class(pool),
            converter.image,
            pool.server.image,
            pool.server.backend_directory,
        )

    def inputs_hash(self, spec: OptimizedModelSpec) -> str:
        """What an intake reads and under which limits; names the intake Job."""
        return _inputs(spec, self._pool.converter.image, self._hosts, self._limits)

    def artifact_key(self, spec: OptimizedModelSpec, intake: IntakeResult) -> str:
        """KEY: the name of the artifact that a conversion of these bytes for this pool makes."""
        digests: tuple[str | None, ...]
        digests = (intake.source_digest, intake.calibration_digest, intake.evaluation_digest)
        code = (intake.trainer_digest, intake.metric_digest)  # the spec says which of them are due
        digests += tuple(each for each in code if each is not None)
        return _key(spec, objective(spec, self._pool), self._threads, self._nodes, digests)


@lru_cache(maxsize=_MEMO)
def _inputs(
    spec: OptimizedModelSpec, image: str, hosts: tuple[str, ...], limits: tuple[int, int, bool]
) -> str:
    model = spec.model
    trusted = limits[2] and model.format in CODE_FORMATS
    return digest(
        {
            **({"trustedCode": True} if trusted else {}),
            **_trainer_inputs(spec.optimization.trainer),
            "allowedHosts": hosts,
            "calibration": _dataset(spec.calibration),
            "converterImage": image,
            "digest": model.digest,
            "evaluation": _dataset(spec.evaluation),
            "format": model.format,
            "maxSourceBytes": limits[0],
            "scratchBytes": limits[1],
            "secret": model.secret,
            "storageUri": model.storage_uri,
        }
    )


def _dataset(data: Dataset | None) -> dict[str, Any] | None:
    if data is None:
        return None
    return {
        name: value
        for name, value in asdict(data).items()
        if name not in _LATER or value is not None
    }


def _trainer_inputs(trainer: Trainer | None) -> dict[str, Any]:
    if trainer is None:
        return {}
    keys = ("storage_uri", "entrypoint", "secret")
    return {"trainer": {key: getattr(trainer, key) for key in keys}}


def evaluation_hash(inputs: str, artifact: str) -> str:
    """What an evaluation of an artifact, by its digest, reads; names its Job."""
    return digest([inputs, artifact])


def conversion_spec(spec: OptimizedModelSpec, pool: ServingPoolSpec) -> dict[str, Any]:
    """What a conversion is asked for, apart from bytes, images and nodes.

    The names are those of `api.job.JobRequest`; that request and KEY both come from here.
    """
    return _conversion_spec(spec, objective(spec, pool), threads(pool))


def _conversion_spec(
    spec: OptimizedModelSpec, slo: LatencyObjective | None, threads_: int
) -> dict[str, Any]:
    wanted, evaluation = spec.optimization, spec.evaluation
    later = {
        "positive_class": evaluation.positive_class if evaluation else None,
        "worst_value": wanted.gate.worst_value,
        "max_class_drop": wanted.gate.max_class_drop,
        "worst_class_value": wanted.gate.worst_class_value,
        "objective": None if wanted.objective is Objective.LATENCY else wanted.objective.value,
        "openvino": None if wanted.techniques.openvino else False,
        "search": asdict(wanted.search) if wanted.search else None,
        "trainer": _training(wanted.trainer) if wanted.trainer else None,
        "own_metric": _judging(spec.own_metric) if spec.own_metric else None,
    }
    return {
        **{name: value for name, value in later.items() if value is not None},
        "source_format": spec.model.format.value,
        "calibration_samples": spec.calibration.max_samples if spec.calibration else None,
        "evaluation_samples": evaluation.max_samples if evaluation else None,
        "metric": evaluation.metric.value if evaluation and evaluation.metric else None,
        "quantize": wanted.techniques.quantize,
        "half_precision": wanted.techniques.half_precision,
        "prune": wanted.techniques.prune,
        "prune_sparsity": wanted.techniques.prune_sparsity,
        "max_drop": wanted.gate.max_drop,
        "confidence": wanted.gate.confidence,
        "min_speedup": wanted.min_speedup,
        "slo_target": slo.target if slo else None,
        "slo_percentile": slo.percentile if slo else 99,
        "threads": threads_,
    }


def _training(trainer: Trainer) -> dict[str, Any]:
    """What is asked of a trainer; of its options, those that are not the default."""
    usual = asdict(TrainingOptions())
    options = {k: v for k, v in asdict(trainer.options).items() if v != usual[k]}
    return {"entrypoint": trainer.entrypoint, **options}


def _judging(metric: OwnMetric) -> dict[str, Any]:
    return {"entrypoint": metric.entrypoint, "better": metric.better}


@lru_cache(maxsize=_MEMO)
def _key(
    spec: OptimizedModelSpec,
    slo: LatencyObjective | None,
    threads_: int,
    nodes: tuple[str | None, ...],
    digests: tuple[str | None, ...],
) -> str:
    return digest(
        {
            "bytes": digests,
            "conversion": _conversion_spec(spec, slo, threads_),
            "nodes": nodes,
        }
    )


def server_revision(pool: ServingPoolSpec) -> str:
    """Short hash of all that a server pod is made from; another one replaces every server."""
    device = pool.accelerator
    return digest(
        {
            "accelerator": device
            and {"resource_name": device.named, "memory": device.memory, **device.share()},
            "server": asdict(pool.server),
            "store": {"secret": pool.store.secret, "uri": pool.store.uri},
            **({"nodes": "whole devices"} if asks_for_whole_gpus(device) else {}),
        }
    )[:REVISION_LENGTH]
