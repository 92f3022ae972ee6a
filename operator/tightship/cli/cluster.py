"""What a cluster holds now: models with their statuses, pools, and servers with their nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tightship.api import names
from tightship.kube.client import Client
from tightship.kube.connection import Connection, ConnectionSettingsError
from tightship.kube.errors import ForbiddenError, KubeError, NotFoundError
from tightship.kube.resources import OPTIMIZED_MODELS, PODS, SERVING_POOLS
from tightship.whatif import resources
from tightship.whatif.errors import QuestionError
from tightship.whatif.question import Running

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tightship.kube.resources import Object, Resource

_SERVERS = f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY},{names.COMPONENT_LABEL}=server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Resources of one namespace, and the pods of its pools' servers."""

    resources: resources.Resources
    pods: tuple[Object, ...]

    def running(self, pool: str) -> Running:
        """What runs of a pool: its servers that are not being deleted, and what is placed there."""
        servers = {
            str(pod["metadata"]["name"]): _node(pod) for pod in self.pods if _serves(pod, pool)
        }
        placed = {
            name: tuple(server for server in _placed(model.status) if server in servers)
            for name, model in self.resources.models.items()
        }
        return Running(
            servers=servers, placement={name: found for name, found in placed.items() if found}
        )


async def read(namespace: str, *, kubeconfig: str | None, context: str | None) -> Cluster:
    """Reads one namespace; nothing is written.

    Raises:
        QuestionError: the cluster cannot be reached, it refuses, or has no Tightship.
    """
    try:
        client = Client(await Connection.open(kubeconfig, context))
    except ConnectionSettingsError as error:
        raise QuestionError(f"--from-cluster: {error}") from error
    try:
        own = [
            *await _all(client, OPTIMIZED_MODELS, namespace),
            *await _all(client, SERVING_POOLS, namespace),
        ]
        pods = await _all(client, PODS, namespace, _SERVERS)
    except KubeError as error:
        raise _told(error, namespace) from error
    finally:
        await client.close()
    found = resources.collect(own, f"--from-cluster: {namespace}")
    return Cluster(resources=found, pods=tuple(pods))


def _told(error: KubeError, namespace: str) -> QuestionError:
    if isinstance(error, NotFoundError):
        told = "the cluster knows no OptimizedModel; install the chart, or see --context"
    elif isinstance(error, ForbiddenError):
        told = f"{error}; it takes list of optimizedmodels, servingpools and pods in {namespace}"
    else:
        told = f"{error}; try again, or name another cluster with --context"
    return QuestionError(f"--from-cluster: {told}")


async def _all(
    client: Client, resource: Resource, namespace: str, selector: str = ""
) -> list[Object]:
    return [item async for item in client.list(resource, namespace, selector=selector)]


def _serves(pod: Object, pool: str) -> bool:
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    return labels.get(names.POOL_LABEL) == pool and "deletionTimestamp" not in metadata


def _node(pod: Object) -> str:
    """Its node; a pod that has none yet is taken to get one of its own."""
    return str((pod.get("spec") or {}).get("nodeName") or f"node of {pod['metadata']['name']}")


def _placed(status: Mapping[str, Any]) -> Iterable[str]:
    return sorted({str(entry["server"]) for entry in status.get("placement") or ()})
