"""The kinds of object that the operator reads and writes, and their paths in the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tightship.api import names

Object = dict[str, Any]
"""A Kubernetes object as JSON."""


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind of object, the same object everywhere. The core group is empty."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """Path of a collection (of one namespace or of all), an object or its subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{scope}/{self.plural}" + "".join(
            f"/{part}" for part in (name, subresource) if part
        )

    def identity(self, namespace: str, name: str) -> Object:
        """The fields that every applied object begins with."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": {"name": name, "namespace": namespace},
        }


OPTIMIZED_MODELS = Resource(
    names.GROUP, names.VERSION, names.OPTIMIZED_MODELS, names.OPTIMIZED_MODEL
)
SERVING_POOLS = Resource(names.GROUP, names.VERSION, names.SERVING_POOLS, names.SERVING_POOL)
JOBS = Resource("batch", "v1", "jobs", "Job")
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
SECRETS = Resource("", "v1", "secrets", "Secret")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
)
"""Written by the chart's hooks alone, never by the operator."""

NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
RESOURCE_SLICES = Resource(
    "resource.k8s.io", "v1", "resourceslices", "ResourceSlice", namespaced=False
)

INVENTORY = (NODES, RESOURCE_SLICES)
"""Kinds that say what the cluster's nodes offer; watched whole, where the operator is told to."""

OWN = (OPTIMIZED_MODELS, SERVING_POOLS)
"""Kinds that users write; watched whole."""

CHILDREN = (
    JOBS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    ENDPOINT_SLICES,
    DISRUPTION_BUDGETS,
    NETWORK_POLICIES,
    CRON_JOBS,
    CONFIG_MAPS,
)
"""Kinds that the operator makes, or that follow from what it makes; watched by label."""

WATCHED = OWN + CHILDREN
CHILD_SELECTOR = f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY}"

_BY_KIND = {
    (resource.api_version, resource.kind): resource
    for resource in (*WATCHED, SECRETS, LEASES, EVENTS, DEFINITIONS)
}


def resource_of(wanted: Mapping[str, Any]) -> Resource:
    """The kind of an object.

    Raises:
        KeyError: the operator does not know this kind.
    """
    return _BY_KIND[str(wanted["apiVersion"]), str(wanted["kind"])]
