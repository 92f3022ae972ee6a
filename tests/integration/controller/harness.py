"""The supervisor in the test's own process, against a real API server, with the test's own plan."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.apiserver import ApiServer

from tightship.controller.reconcile import Decide
from tightship.controller.supervisor import Supervisor
from tightship.kube.connection import Connection
from tightship.plan.actions import Plan
from tightship.plan.memo import Memo
from tightship.plan.snapshot import Snapshot
from tightship.settings import Settings

SECONDS = 60.0  # within which everything that a test waits for must come
_numbers = itertools.count()


class Recorder:
    """A plan that does what the test says, and remembers the last snapshot of each pool."""

    def __init__(self, decide: Callable[[Snapshot], Plan] = lambda _: Plan()) -> None:
        self.decide = decide
        self.seen: dict[tuple[str, str], Snapshot] = {}
        self._news = asyncio.Event()

    def __call__(self, snapshot: Snapshot, _: Memo) -> Plan:
        self.seen[snapshot.namespace, snapshot.pool_name] = snapshot
        self._news.set()
        return self.decide(snapshot)

    async def until(self, condition: Callable[[Snapshot], bool], namespace: str) -> Snapshot:
        """The first snapshot of the namespace's pool `shared` that fulfils the condition."""
        async with asyncio.timeout(SECONDS):
            while True:
                snapshot = self.seen.get((namespace, "shared"))
                if snapshot and condition(snapshot):
                    return snapshot
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def operating(
    kubeconfig: Path,
    decide: Decide,
    *,
    namespaces: tuple[str, ...] = (),
    lease: str = "",
    lease_duration: float = 15.0,
    agent_port: int = 8443,
    write_rate: float = 200.0,
    watch_nodes: bool = False,
) -> AsyncIterator[Supervisor]:
    """A running operator, stopped in order at the end."""
    number = next(_numbers)
    settings = Settings(
        namespaces=namespaces,
        lease_name=lease or f"lease-{number}",
        identity=f"test-{number}",
        lease_duration=lease_duration,
        address="127.0.0.1",
        port=0,
        write_rate=write_rate,
        watch_nodes=watch_nodes,
    )
    connection = await Connection.open(str(kubeconfig))
    supervisor = Supervisor(connection, settings, "default", decide, agent_port=agent_port)
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run_until(stop))
    try:
        yield supervisor
    finally:
        stop.set()
        await running


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until something outside of this process's events is so."""
    try:
        async with asyncio.timeout(SECONDS):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise AssertionError(f"never: {what}") from error


def namespace(apiserver: ApiServer) -> str:
    """A new namespace."""
    name = f"test-{next(_numbers)}"
    apiserver.kubectl("create", "namespace", name)
    return name


def apply(apiserver: ApiServer, where: str, *objects: dict[str, object]) -> None:
    """Apply objects as a user would."""
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    apiserver.kubectl("apply", "-n", where, "-f", "-", stdin=json.dumps(listed))


def pool(name: str = "shared", **spec: object) -> dict[str, object]:
    """A ServingPool with what a pool needs."""
    resources = {"requests": {"cpu": "1", "memory": "2Gi"}}
    return {
        "apiVersion": "tightship.dev/v1alpha1",
        "kind": "ServingPool",
        "metadata": {"name": name},
        "spec": {
            "server": {
                "image": "triton:1",
                "agentImage": "operator:1",
                "resources": resources,
                "drainPeriod": "1s",
            },
            "store": {"uri": "s3://bucket/artifacts"},
            "converter": {"image": "converter:1", "resources": resources},
            **spec,
        },
    }


def model(name: str, pool: str = "shared", **serving: object) -> dict[str, object]:
    """An OptimizedModel with what a model needs."""
    return {
        "apiVersion": "tightship.dev/v1alpha1",
        "kind": "OptimizedModel",
        "metadata": {"name": name},
        "spec": {
            "model": {"storageUri": f"s3://bucket/{name}.onnx"},
            "serving": {"poolRef": {"name": pool}, **serving},
        },
    }
