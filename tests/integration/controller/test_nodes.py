"""Nodes as a real API server tells of them: what they offer reaches the pool, heartbeats do not."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.integration.controller.harness import (
    Recorder,
    apply,
    eventually,
    namespace,
    operating,
    pool,
)
from tests.support.apiserver import ApiServer

from tightship.kube.client import Client
from tightship.kube.connection import Connection
from tightship.kube.resources import NODES, RESOURCE_SLICES, Resource
from tightship.plan.plan import plan
from tightship.plan.snapshot import NodeFact, Snapshot

_DEVICE = {"resourceName": "vendor.example/npu", "memory": "4Gi"}
_SLICE = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceSlice",
    "metadata": {"name": "devices"},
    "spec": {
        "driver": "npu.vendor.example",
        "nodeName": "worker",
        "pool": {"name": "worker", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "npu-0"}, {"name": "npu-1"}],
    },
}


def _status(apiserver: ApiServer, **status: Any) -> None:  # noqa: ANN401 (of a node)
    patch = json.dumps({"status": status})
    apiserver.kubectl(
        "patch", "node", "worker", "--subresource=status", "--type=merge", "-p", patch
    )


@pytest.fixture
def worker(apiserver: ApiServer) -> Iterator[Callable[..., None]]:
    """A ready node with two devices, and how its kubelet writes its status."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"}}
    apiserver.kubectl("create", "-f", "-", stdin=json.dumps(node))
    amounts = {"cpu": "16", "memory": "64Gi", "vendor.example/npu": "2"}

    def write(**changes: str) -> None:
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": changes.pop("seen", None)}
        found = {**amounts, **changes}
        _status(apiserver, conditions=[ready], allocatable=found, capacity=found)

    write()
    apiserver.kubectl("taint", "node", "worker", "node.kubernetes.io/not-ready-")
    yield write
    apiserver.kubectl("delete", "node", "worker")


def _workers(snapshot: Snapshot) -> list[NodeFact]:
    nodes = snapshot.inventory.nodes if snapshot.inventory else ()
    return [node for node in nodes if node.name == "worker"]


async def test_a_change_is_told_and_a_heartbeat_is_not(
    apiserver: ApiServer, worker: Callable[..., None]
) -> None:
    where = namespace(apiserver)
    apply(apiserver, where, pool(accelerator=_DEVICE))
    recorder = Recorder()
    seen: list[Snapshot] = []
    decide = recorder.decide

    def note(snapshot: Snapshot) -> Any:  # noqa: ANN401 (what the recorder's own answers)
        seen.append(snapshot)
        return decide(snapshot)

    recorder.decide = note
    async with operating(apiserver.kubeconfig, recorder, namespaces=(where,), watch_nodes=True):
        await recorder.until(lambda s: any(n.usable for n in _workers(s)), where)
        before = len(seen)
        for minute in range(10):
            await asyncio.to_thread(worker, seen=f"2026-01-01T00:0{minute}:00Z")
        await asyncio.to_thread(worker, **{"vendor.example/npu": "1"})
        await recorder.until(
            lambda s: any(n.extended["vendor.example/npu"] == 1 for n in _workers(s)), where
        )
        assert len(seen) <= before + 2  # that of the change, and one that was under way


async def test_the_pool_says_what_the_nodes_hold(
    apiserver: ApiServer, worker: Callable[..., None]
) -> None:
    where = namespace(apiserver)
    apply(apiserver, where, pool(accelerator=_DEVICE, maxServers=3))

    def status() -> dict[str, Any]:
        found = json.loads(apiserver.kubectl("-n", where, "get", "sp", "shared", "-o", "json"))
        answer: dict[str, Any] = found.get("status", {})
        return answer

    def told(reason: str) -> bool:
        return any(c["reason"] == reason for c in status().get("conditions", ()))

    async with operating(apiserver.kubeconfig, plan, namespaces=(where,), watch_nodes=True):
        await eventually(lambda: told("NodesHoldFewer"), "two of three fit")
        assert status()["capacity"] == {"nodes": 1, "devices": 2, "servers": 2}
        await asyncio.to_thread(worker, **{"vendor.example/npu": "0"})
        await eventually(lambda: told("NoSuchDevice"), "the devices are gone")


async def test_devices_of_dra_drivers_are_counted(
    apiserver: ApiServer, worker: Callable[..., None]
) -> None:
    worker()
    where = namespace(apiserver)
    apiserver.kubectl("apply", "-f", "-", stdin=json.dumps(_SLICE))
    apply(apiserver, where, pool())
    recorder = Recorder()
    async with operating(apiserver.kubeconfig, recorder, namespaces=(where,), watch_nodes=True):
        await recorder.until(
            lambda s: s.inventory is not None and s.inventory.claimable == {"worker": 2}, where
        )
        apiserver.kubectl("delete", "resourceslice", "devices")
        await recorder.until(lambda s: s.inventory is not None and not s.inventory.claimable, where)


async def test_nodes_are_not_looked_at_unless_asked_for(apiserver: ApiServer) -> None:
    where = namespace(apiserver)
    apply(apiserver, where, pool())
    recorder = Recorder()
    async with operating(apiserver.kubeconfig, recorder, namespaces=(where,)):
        snapshot = await recorder.until(lambda s: s.pool is not None, where)
    assert snapshot.inventory is None


@pytest.mark.parametrize(
    ("resource", "served"),
    [
        (NODES, True),
        (RESOURCE_SLICES, True),
        (Resource("resource.k8s.io", "v1", "rockets", "Rocket"), False),
        (Resource("resource.k8s.io", "v99", "resourceslices", "ResourceSlice"), False),
    ],
    ids=lambda value: getattr(value, "api_version", str(value)),
)
async def test_what_the_api_server_has(
    apiserver: ApiServer, resource: Resource, *, served: bool
) -> None:
    client = Client(await Connection.open(str(apiserver.kubeconfig)))
    try:
        assert await client.serves(resource) is served
    finally:
        await client.close()
