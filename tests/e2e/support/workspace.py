"""A namespace with one pool: models are applied to it and awaited by their conditions."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.support import examples, store
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.kubectl import Kubectl, Object

POOL = "shared"
CONVERSION_SECONDS = 900.0  # the largest example on two busy cores
SERVING_SECONDS = 180.0
_GONE_SECONDS = 180.0
_MODELS = "optimizedmodels"
_POOLS = "servingpools"


@dataclass(frozen=True)
class Workspace:
    """One namespace of a cluster."""

    cluster: Cluster
    namespace: str

    @property
    def kubectl(self) -> Kubectl:
        """The cluster's."""
        return self.cluster.kubectl

    def create(self, **pool: object) -> None:
        """The namespace anew, its Secret for the store, and the pool of examples/pool.yaml.

        `pool` replaces fields of the pool's spec, merged field by field.
        """
        gone = ("--ignore-not-found", f"--timeout={_GONE_SECONDS:g}s")
        self.kubectl("delete", "namespace", self.namespace, *gone)
        metadata = {
            "name": self.namespace,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        self.kubectl.apply(namespace, store.secret(self.namespace))
        self.apply_pool(**pool)

    def apply_pool(self, name: str = POOL, /, **spec: object) -> None:
        """The pool of examples/pool.yaml with this cluster's images, and `spec` over it."""
        (pool,) = examples.resources("pool")
        images = self.cluster.images
        ours = {
            "server": {
                "image": images["triton-cpu"],
                "agentImage": images["operator"],
                "drainPeriod": "5s",
            },
            "converter": {"image": images["converter"]},
        }
        pool["metadata"] |= {"name": name, "namespace": self.namespace}
        pool["spec"] = merged(merged(pool["spec"], ours), spec)
        self.kubectl.apply(pool)

    def delete(self) -> None:
        """The namespace and everything in it, which goes in its own time."""
        self.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")

    def apply_model(self, name: str, example: str = "digits", **spec: object) -> None:
        """An example's resource under another name, `spec` merged over it."""
        (model,) = examples.resources(example)
        model["metadata"] |= {"name": name, "namespace": self.namespace}
        model["spec"] = merged(model["spec"], spec)
        self.kubectl.apply(model)

    def delete_model(self, name: str, *, seconds: float = 30) -> None:
        """Deletes the resource; it must not hang."""
        self.kubectl("delete", _MODELS, name, "-n", self.namespace, f"--timeout={seconds:g}s")

    def model(self, name: str) -> Object:
        """The resource as it is."""
        return self.kubectl.get(_MODELS, name, self.namespace)

    def status(self, name: str) -> Object:
        """The resource's status."""
        return dict(self.model(name).get("status", {}))

    def wait_ready(self, *names: str, seconds: float = CONVERSION_SECONDS) -> None:
        """Waits until the present specs of the models are served by all their copies."""
        for name in names:
            self.wait_model(name, is_ready, seconds=seconds)

    def wait_model(
        self, name: str, reached: Callable[[Object], bool], *, seconds: float = SERVING_SECONDS
    ) -> Object:
        """Waits until `reached` says so of the model; returns it."""
        return self.kubectl.wait_for(_MODELS, name, self.namespace, reached, seconds=seconds)

    def wait_servers(self, count: int, *, seconds: float = SERVING_SECONDS) -> None:
        """Waits until the pool has so many ready servers, and no other."""

        def steady(pool: Object) -> bool:
            status = pool.get("status", {})
            found = status.get("servers"), status.get("readyServers"), status.get("desiredServers")
            return found == (count, count, count) and is_observed(pool)

        self.kubectl.wait_for(_POOLS, POOL, self.namespace, steady, seconds=seconds)

    def servers(self) -> list[Object]:
        """The pool's pods that are not on their way out."""
        pods = self.kubectl.listed("pods", self.namespace, "app.kubernetes.io/component=server")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def servers_of(self, model: str) -> list[str]:
        """Names of the servers behind the model's Service."""
        selector = f"model.tightship.dev/{model}=routed"
        return [
            pod["metadata"]["name"] for pod in self.kubectl.listed("pods", self.namespace, selector)
        ]


def condition(item: Object, kind: str) -> Mapping[str, Any]:
    """A condition of a resource; empty when there is none."""
    found = item.get("status", {}).get("conditions", [])
    return next((dict(c) for c in found if c["type"] == kind), {})


def is_observed(item: Object) -> bool:
    """Whether the status speaks of the present spec."""
    generation = item["metadata"]["generation"]
    return bool(item.get("status", {}).get("observedGeneration") == generation)


def is_ready(item: Object) -> bool:
    """Whether the present spec is carried out."""
    ready = condition(item, "Ready")
    generation = item["metadata"]["generation"]
    return ready.get("status") == "True" and ready.get("observedGeneration") == generation


def merged(base: Any, over: Any) -> Any:  # noqa: ANN401 (JSON)
    """`over` laid over `base`, objects field by field; None removes a field."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return copy.deepcopy(over)
    result = copy.deepcopy(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
