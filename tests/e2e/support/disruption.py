"""Disruptions under a steady load, with one copy and with two: what clients notice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.support import deployment, examples, faults
from tests.e2e.support.client import Client, Counts
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.kubectl import Object
from tests.e2e.support.workspace import POOL, SERVING_SECONDS, Workspace, condition, is_observed

ONE, TWO = "magika-one", "magika-two"
_EXAMPLE = "magika"
_SAMPLES = "samples.npz"
_SAMPLE_COUNT = 16
_RATE = 5.0  # requests a second for each model: the rest of two cores belongs to conversions


@dataclass(frozen=True)
class Scene:
    """Two servers, one model with one copy and one with two, and a client that asks both."""

    workspace: Workspace
    client: Client

    def server(self) -> str:
        """The server that holds the single copy; it holds one of the two as well."""
        (server,) = self.workspace.servers_of(ONE)
        return server

    def settled(self) -> None:
        """Waits until both models are served as they should be, by two servers and no more."""
        self.workspace.wait_servers(2)
        self.workspace.wait_ready(ONE, TWO)


@contextmanager
def scene(cluster: Cluster, namespace: str) -> Iterator[Scene]:
    """A scene in a namespace of its own, removed at the end."""
    workspace = Workspace(cluster, namespace)
    workspace.create(minServers=2, maxServers=3)
    try:
        workspace.apply_model(ONE, _EXAMPLE)
        workspace.apply_model(TWO, _EXAMPLE, serving={"replicas": 2})
        client = Client(cluster.kubectl, namespace, cluster.images["operator"])
        made = Scene(workspace, client)
        made.settled()
        client.send_arrays(_SAMPLES, examples.surest(_EXAMPLE, _SAMPLE_COUNT))
        yield made
    finally:
        workspace.delete()


@dataclass(frozen=True)
class Outcome:
    """What the clients of both models saw of one disruption."""

    name: str
    one: Counts
    two: Counts


def measure(made: Scene, name: str) -> Outcome:
    """Puts both models under load, disrupts, waits until all is well again, and counts."""
    with (
        made.client.load(ONE, _SAMPLES, _RATE) as one,
        made.client.load(TWO, _SAMPLES, _RATE) as two,
    ):
        DISRUPTIONS[name](made)
        made.settled()
        return Outcome(name, one.counts(), two.counts())


def change_variant(made: Scene) -> None:
    """A spec change after which another variant is the best one that may be tried."""
    for model, replicas in ((ONE, 1), (TWO, 2)):
        made.workspace.apply_model(
            model, _EXAMPLE, serving={"replicas": replicas},
            optimization={"techniques": {"halfPrecision": {}}},
        )  # fmt: skip
    made.workspace.wait_ready(ONE, TWO)


def kill_triton(made: Scene) -> None:
    """Triton of the server that both models use is killed."""
    server = made.server()
    before = _restarts(made, server)
    faults.kill_triton(made.workspace, server)

    def restarted(pod: Object) -> bool:
        return _triton_restarts(pod) > before and condition(pod, "Ready").get("status") == "True"

    made.workspace.kubectl.wait_for(
        "pods", server, made.workspace.namespace, restarted, seconds=SERVING_SECONDS
    )


def kill_agent(made: Scene) -> None:
    """The agent of the server that both models use is killed."""
    faults.kill_agent(made.workspace, made.server())


def delete_server(made: Scene) -> None:
    """The pod of the server that both models use is deleted."""
    server = made.server()
    faults.delete_server(made.workspace, server)
    made.workspace.kubectl.wait_gone(
        "pod", server, made.workspace.namespace, seconds=SERVING_SECONDS
    )


def kill_operator(made: Scene) -> None:
    """The operator is killed and comes back."""
    faults.kill_operator(made.workspace.kubectl)
    deployment.wait_operator(made.workspace.kubectl)


def upgrade(made: Scene) -> None:
    """The operator is upgraded through its chart, and every server of the pool is replaced."""
    deployment.upgrade_operator(made.workspace.cluster)
    before = {pod["metadata"]["name"] for pod in made.workspace.servers()}
    made.workspace.apply_pool(minServers=2, maxServers=3, server={"drainPeriod": "6s"})

    def replaced(pool: Object) -> bool:
        return condition(pool, "Updated").get("status") == "True" and is_observed(pool)

    made.workspace.kubectl.wait_for(
        "servingpools", POOL, made.workspace.namespace, replaced, seconds=2 * SERVING_SECONDS
    )
    for server in before:
        made.workspace.kubectl.wait_gone(
            "pod", server, made.workspace.namespace, seconds=SERVING_SECONDS
        )


def _restarts(made: Scene, server: str) -> int:
    return _triton_restarts(made.workspace.kubectl.get("pod", server, made.workspace.namespace))


def _triton_restarts(pod: Object) -> int:
    containers = pod["status"].get("containerStatuses", [])
    return sum(int(c["restartCount"]) for c in containers if c["name"] == "triton")


DISRUPTIONS: dict[str, Callable[[Scene], None]] = {
    "change of variant": change_variant,
    "killed Triton": kill_triton,
    "killed agent": kill_agent,
    "deleted server": delete_server,
    "killed operator": kill_operator,
    "rolling upgrade": upgrade,
}

GAP_ALLOWED = frozenset({"killed Triton", "deleted server"})
"""With a single copy these cannot go unnoticed; the gap is measured."""
