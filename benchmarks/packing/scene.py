"""A pool of two real servers with ten real models, in a namespace of its own on a real cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.packing import real
from tests.e2e.support import deployment, store
from tests.e2e.support.cluster import Cluster, found
from tests.e2e.support.kubectl import Kubectl, Object
from tests.e2e.support.workspace import CONVERSION_SECONDS, POOL, Workspace

MEMORY = "1500Mi"
"""Of a server. Models may use what 300 MiB for Triton leave of it: the two servers have room for
all ten models, but not for two copies of each."""

POOLS, MODELS = "servingpools", "optimizedmodels"
_PREFIX = "packing"  # of the sources in the bucket
_KEPT = "packing-store"
_SERVERS = 2


@dataclass(frozen=True, slots=True)
class Scene:
    """The namespace with its pool and the models that were applied to it."""

    workspace: Workspace

    @property
    def kubectl(self) -> Kubectl:
        """The cluster's."""
        return self.workspace.kubectl

    @property
    def namespace(self) -> str:
        """Where everything is."""
        return self.workspace.namespace

    def serve(self) -> None:
        """Applies all models with one copy each, and waits until they are served."""
        found = real.sources()
        self.kubectl.apply(*(_model(self.namespace, source) for source in found))
        self.workspace.wait_ready(*(s.name for s in found), seconds=2 * CONVERSION_SECONDS)

    def models(self) -> dict[str, Object]:
        """The models as they are, by name."""
        found_ = self.kubectl.listed(MODELS, self.namespace)
        return {str(model["metadata"]["name"]): model for model in found_}

    def pool(self) -> Object:
        """The pool as it is."""
        return self.kubectl.get(POOLS, POOL, self.namespace)

    def addresses(self) -> dict[str, str]:
        """HOST:PORT of each server's Triton, by the server's name."""
        return {
            str(pod["metadata"]["name"]): f"{pod['status']['podIP']}:8000"
            for pod in self.workspace.servers()
        }


@contextmanager
def opened(namespace: str) -> Iterator[Scene]:
    """Two empty servers, and the models' files in the store; removed at the end.

    What was converted is kept beyond the cluster's life, so that equal work is found done.
    """
    cluster = _prepared()
    workspace = Workspace(cluster, namespace)
    workspace.create(
        minServers=_SERVERS,
        maxServers=_SERVERS,
        server={
            # No limit of processors: its quota is of 100 ms, and a burst would wait for the next.
            "resources": {"requests": {"cpu": "500m", "memory": MEMORY}, "limits": None},
            "drainPeriod": "1s",
        },
    )
    workspace.wait_servers(_SERVERS)
    made = Scene(workspace)
    try:
        yield made
        _keep(made)
    finally:
        workspace.delete()


def _prepared() -> Cluster:
    cluster = deployment.prepare(found())
    with store.bucket(cluster.kubectl) as bucket:
        bucket.upload(real.folder(), _PREFIX)
        store.restore(bucket, _KEPT)
    return cluster


def _keep(made: Scene) -> None:
    with store.bucket(made.kubectl) as bucket:
        store.keep(bucket, [model["status"] for model in made.models().values()], _KEPT)


def _model(namespace: str, source: real.Source) -> Object:
    """The model as it is: no techniques, so that its conversion measures and publishes it."""
    own = f"s3://{store.BUCKET}/{_PREFIX}/{source.name}"
    secret, target = {"name": "store"}, f"{real.WISHES[source.name].objective}ms"
    return {
        "apiVersion": "tightship.dev/v1alpha1",
        "kind": "OptimizedModel",
        "metadata": {"name": source.name, "namespace": namespace},
        "spec": {
            "model": {
                "storageUri": f"{own}/{source.model.name}",
                "modelFormat": {"name": source.format},
                "secretRef": secret,
            },
            "data": {
                "calibration": {
                    "storageUri": f"{own}/{real.CALIBRATION}", "secretRef": secret,
                },
            },
            "optimization": {"techniques": {}},
            "serving": {
                "poolRef": {"name": POOL},
                "slo": {"latency": {"percentile": 99, "target": target}},
            },
        },
    }  # fmt: skip
