"""The only place for security contexts, Triton's flags, and the sizes of volumes."""

import math

from tightship.api import names
from tightship.api.quantity import memory_text
from tightship.api.v1alpha1 import ServingPoolSpec
from tightship.manifests.objects import Object
from tightship.plan.placement import server_memory

USER = 1000  # the user of the official Triton images and of ours
PUBLISHER = 1001  # alone may write to the store: /proc of its process is closed to the others
TEMPORARY = "/tmp"  # noqa: S108 (a volume of each container)
SHARED_MEMORY = "/dev/shm"  # noqa: S108 (a volume)
TEMPORARY_BYTES = 256 * 2**20
LOG_BYTES = 128 * 2**20  # what the kubelet keeps of a container's output, with room
TRACES = "/traces"
TRACES_BYTES = 64 * 2**20  # in memory; the agent lets Triton write a few MiB at a time
TRITON_KEY_VARIABLE = "TRITON_KEY"
TRITON_EXIT_SECONDS = 5
"""What a request may still take at the end of the drain. Triton waits this long for each idle HTTP
connection that a client keeps open, so it is what most ends take."""

_RESTRICTED = "model-repository,shared-memory,trace,logging,statistics"
_SHARED_MEMORY_MOST = 2**30
_PYTHON_THREADS = 1
"""Threads of a Python-backend model for calls of other models, which none of ours makes. Triton
starts 32 unless told; past a container's limit of processes the load hangs."""


def pod_security() -> Object:
    """Pod Security `restricted`, for the whole pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    """Pod Security `restricted`, for a container, and a root file system that nothing writes to."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    }


def server_flags(pool: ServingPoolSpec) -> list[str]:
    """Triton in a server pod: open for inference, closed for everything that changes it.

    A load request may carry file content, so an open repository API would equal running a client's
    code. The key comes from the environment, expanded by the kubelet.

    One that starts anew listens when it has loaded what its agent had put into the repository:
    until its address is taken out of the Services, clients are refused and go elsewhere, instead
    of being told that there is no such model.
    """
    restricted = f"{_RESTRICTED}:{names.RESTRICTED_HEADER}=$({TRITON_KEY_VARIABLE})"
    return [
        *_common_flags(pool, "/models"),
        "--load-model=*",
        "--exit-on-error=false",
        "--http-address=0.0.0.0",
        "--grpc-address=0.0.0.0",
        "--metrics-address=0.0.0.0",
        f"--http-restricted-api={restricted}",
        f"--grpc-restricted-protocol={restricted}",
        f"--cache-config=local,size={pool.server.response_cache_bytes}",
        f"--exit-timeout-secs={TRITON_EXIT_SECONDS}",
        f"--trace-config=triton,file={TRACES}/trace",
        "--trace-config=level=OFF",
        "--trace-config=count=0",
    ]


def converter_flags(pool: ServingPoolSpec, repository: str) -> list[str]:
    """Triton beside a converter: on the loopback address alone, where only its pod reaches it."""
    return [
        *_common_flags(pool, repository),
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
        "--exit-timeout-secs=5",
    ]


def scratch(name: str, size: int) -> Object:
    """A volume on the node's disk that goes with the pod."""
    return {"name": name, "emptyDir": {"sizeLimit": memory_text(size)}}


def shared_memory(name: str, memory: int) -> Object:
    """Where backends' processes exchange tensors: at most a quarter of the container's memory."""
    size = memory_text(min(_SHARED_MEMORY_MOST, memory // 4))
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}}


def traces(name: str) -> Object:
    """Where Triton leaves traces for the agent.

    In memory: they hold what clients sent, and where it is full traces are lost, while a full
    volume on disk would have the pod evicted.
    """
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": memory_text(TRACES_BYTES)}}


def secret(name: str, secret_name: str) -> Object:
    """A Secret's keys as files that the pod's group may read."""
    return {"name": name, "secret": {"secretName": secret_name, "defaultMode": 0o440}}


def users_secret(name: str, secret_name: str) -> Object:
    """A Secret that a user names; optional, so that a pod without it starts and says so."""
    volume = secret(name, secret_name)
    volume["secret"]["optional"] = True
    return volume


def claim(name: str, claim_name: str) -> Object:
    """A persistent volume. Containers mount it read-only unless they publish."""
    return {"name": name, "persistentVolumeClaim": {"claimName": claim_name}}


def server_disk_bytes(pool: ServingPoolSpec) -> int:
    """Size of one server's volumes of models: all of them twice, during a change, and 1 GiB."""
    return 2 * server_memory(pool) + 2**30


def drain_seconds(pool: ServingPoolSpec) -> int:
    """Whole seconds that a leaving server still answers."""
    return math.ceil(pool.server.drain_seconds)


def _common_flags(pool: ServingPoolSpec, repository: str) -> list[str]:
    """Flags of every Triton.

    Readiness is not strict: else a server is unready for the clients of all models while one model
    loads, and for good when one cannot be loaded.
    """
    backends = pool.server.backend_directory
    return [
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--strict-readiness=false",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        "--metrics-config=summary_latencies=true",
        f"--http-port={names.HTTP_PORT}",
        f"--grpc-port={names.GRPC_PORT}",
        f"--metrics-port={names.METRICS_PORT}",
        f"--backend-config=python,thread-pool-size={_PYTHON_THREADS}",
        *([f"--backend-directory={backends}"] if backends else []),
    ]
