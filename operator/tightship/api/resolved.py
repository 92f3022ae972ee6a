"""What follows from a model and its pool together, so that plan and manifests read it alike."""

from tightship.api.v1alpha1 import (
    Accelerator,
    LatencyObjective,
    OptimizedModelSpec,
    Resources,
    ServingPoolSpec,
)

SERVER_RESERVE = 256 * 2**20
"""Bytes of a server's memory that Triton itself needs: 110 to 180 MiB were seen without models."""


def objective(model: OptimizedModelSpec, pool: ServingPoolSpec) -> LatencyObjective | None:
    """The latency objective: the model's own, or that of its class; None when the pool lacks it."""
    return model.serving.slo.latency or pool.slo_classes.get(model.serving.slo.class_name)


def node_class(pool: ServingPoolSpec) -> str:
    """What kind of node the pool's pods run on; measurements hold for this kind only."""
    device = pool.accelerator.resource_name if pool.accelerator else "cpu"
    labels = [f"{key}={value}" for key, value in sorted(pool.server.node_selector.items())]
    return ",".join([device, *labels])


def model_memory(pool: ServingPoolSpec) -> int:
    """Bytes that models may use on one server: device memory, or what Triton leaves of its own."""
    if isinstance(pool.accelerator, Accelerator):
        return pool.accelerator.memory
    server = pool.server
    return max(0, server.resources.memory - server.response_cache_bytes - SERVER_RESERVE)


def cpu_limit(resources: Resources) -> float:
    """Cores that something which must be bounded may use: the limit, or the request without one."""
    return resources.cpu if resources.cpu_limit is None else resources.cpu_limit


def threads(pool: ServingPoolSpec) -> int:
    """Threads of a model's runtime, the same while it is measured and while it is served."""
    return max(1, int(min(cpu_limit(pool.converter.resources), cpu_limit(pool.server.resources))))
