from typing import Any

from tests.unit.kube.test_inventory import node

from tightship.controller.node_facts import NodeFacts
from tightship.kube.inventory import Inventory
from tightship.kube.resources import NODES, RESOURCE_SLICES
from tightship.plan.snapshot import NodeFact, Taint


def devices(name: str, count: int, *, generation: int = 1, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    pool = {"name": spec.get("nodeName", "net"), "generation": generation}
    return {
        "metadata": {"name": name, "uid": name, "resourceVersion": "1"},
        "spec": {
            "driver": "gpu.nvidia.com",
            "pool": pool,
            "devices": [{"name": f"gpu-{number}"} for number in range(count)],
            **spec,
        },
    }


def test_a_node() -> None:
    kept = Inventory()
    odd = node(name="b", uid="b")
    odd["status"]["allocatable"] = {"cpu": "7910m", "memory": "many", "amd.com/gpu": "2"}
    odd["spec"], odd["status"]["conditions"], odd["metadata"]["labels"] = {}, [], None
    for value in (odd, node()):
        kept.put(NODES, value)
    assert NodeFacts(kept).inventory().nodes == (
        NodeFact(
            name="a",
            labels={"nvidia.com/gpu.product": "L4"},
            taints=(Taint(key="gpu", value="", effect="NoSchedule"),),
            cpu=8.0,
            memory=32 * 2**30,
            extended={"nvidia.com/gpu": 1},
        ),
        NodeFact(name="b", usable=False, cpu=7.91, memory=0, extended={"amd.com/gpu": 2}),
    )


def test_devices_of_a_dra_driver() -> None:
    kept = Inventory()
    for value in (
        devices("one", 4, nodeName="a"),
        devices("two", 2, nodeName="a"),
        devices("old", 7, nodeName="b", generation=1),
        devices("new", 3, nodeName="b", generation=2),
        devices("network", 9, allNodes=True),
    ):
        kept.put(RESOURCE_SLICES, value)
    assert NodeFacts(kept).inventory().claimable == {"a": 6, "b": 3}


def test_only_what_changed_is_read_again() -> None:
    kept = Inventory()
    kept.put(NODES, node(1, name="a", uid="a"))
    kept.put(NODES, node(1, name="b", uid="b"))
    facts = NodeFacts(kept)
    before = facts.inventory()
    kept.put(NODES, node(2, name="a", uid="a"))
    assert facts.inventory() is before
    changed = node(3, name="a", uid="a")
    changed["spec"]["unschedulable"] = True
    kept.put(NODES, changed)
    after = facts.inventory()
    assert [each.usable for each in after.nodes] == [False, True]
    assert after.nodes[1] is before.nodes[1]
    kept.remove(NODES, node(4, name="b", uid="b"))
    assert [each.name for each in facts.inventory().nodes] == ["a"]
