"""What follows from a pool's spec, so that plan and manifests read it alike."""

from tightship.api.v1alpha1 import Resources, ServingPoolSpec

SERVER_RESERVE = 256 * 2**20
"""Bytes of a server's memory that Triton itself needs: 110 to 180 MiB were seen without models."""


def model_memory(pool: ServingPoolSpec) -> int:
    """Bytes that models may use on one server: device memory, or what Triton leaves of its own."""
    if pool.accelerator:
        return pool.accelerator.memory
    server = pool.server
    return max(0, server.resources.memory - server.response_cache_bytes - SERVER_RESERVE)


def cpu_limit(resources: Resources) -> float:
    """Cores that something which must be bounded may use: the limit, or the request without one."""
    return resources.cpu if resources.cpu_limit is None else resources.cpu_limit
