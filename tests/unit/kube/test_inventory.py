import copy
from typing import Any

import pytest

from tightship.kube.inventory import Inventory
from tightship.kube.resources import NODES, RESOURCE_SLICES

Object = dict[str, Any]


def node(version: int = 1, *, name: str = "a", uid: str = "u") -> Object:
    return {
        "metadata": {
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "labels": {"nvidia.com/gpu.product": "L4", "nvidia.com/gfd.timestamp": "1"},
            "annotations": {"seen": "now"},
        },
        "spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}], "podCIDR": "10.0.0.0/24"},
        "status": {
            "allocatable": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1", "pods": "110"},
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": "True", "lastHeartbeatTime": "1"},
            ],
            "images": [{"names": ["large"]}],
        },
    }


def test_what_is_kept() -> None:
    inventory = Inventory()
    assert inventory.put(NODES, node(), listed=True)
    assert inventory.of(NODES) == [
        {
            "name": "a",
            "labels": {"nvidia.com/gpu.product": "L4"},
            "taints": [{"key": "gpu", "value": "", "effect": "NoSchedule"}],
            "usable": True,
            "allocatable": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"},
        }
    ]
    assert inventory.of(RESOURCE_SLICES) == []


def heartbeat(value: Object) -> None:
    value["status"]["conditions"][1]["lastHeartbeatTime"] = "2"


def pressure(value: Object) -> None:
    value["status"]["conditions"][0]["status"] = "True"


def image(value: Object) -> None:
    value["status"]["images"].append({"names": ["another"]})


def pods(value: Object) -> None:
    value["status"]["allocatable"]["pods"] = "250"


def relabelled(value: Object) -> None:
    value["metadata"]["labels"]["nvidia.com/gfd.timestamp"] = "2"


def unready(value: Object) -> None:
    value["status"]["conditions"][1]["status"] = "Unknown"


def cordoned(value: Object) -> None:
    value["spec"]["unschedulable"] = True


def untainted(value: Object) -> None:
    value["spec"]["taints"] = None


def label(value: Object) -> None:
    value["metadata"]["labels"]["nvidia.com/gpu.replicas"] = "4"


def devices(value: Object) -> None:
    value["status"]["allocatable"]["nvidia.com/gpu"] = "0"


@pytest.mark.parametrize("change", [heartbeat, pressure, image, pods, relabelled])
def test_what_is_no_news(change: Any) -> None:  # noqa: ANN401
    inventory = Inventory()
    inventory.put(NODES, node())
    after = node(2)
    change(after)
    assert not inventory.put(NODES, after)
    assert inventory.changes == 1


@pytest.mark.parametrize("change", [unready, cordoned, untainted, label, devices])
def test_what_is_news(change: Any) -> None:  # noqa: ANN401
    inventory = Inventory()
    inventory.put(NODES, node())
    after = node(2)
    change(after)
    assert inventory.put(NODES, after)
    assert inventory.changes == 2


def test_an_older_event_is_passed_over_but_a_list_is_believed() -> None:
    inventory = Inventory()
    inventory.put(NODES, node(9))
    older = copy.deepcopy(node(8))
    devices(older)
    assert not inventory.put(NODES, older)
    assert inventory.of(NODES)[0]["allocatable"]["nvidia.com/gpu"] == "1"
    assert inventory.put(NODES, older, listed=True)


def test_a_node_that_goes() -> None:
    inventory = Inventory()
    inventory.put(NODES, node(1, uid="old"))
    inventory.put(NODES, node(3, uid="new"))
    assert not inventory.remove(NODES, node(2, uid="old"))
    assert inventory.remove(NODES, node(4, uid="new"))
    assert not inventory.remove(NODES, node(4, uid="new"))
    assert inventory.of(NODES) == []


def test_a_list_that_lacks_a_node() -> None:
    inventory = Inventory()
    inventory.put(NODES, node(1, name="gone", uid="g"))
    inventory.put(NODES, node(2, name="stays", uid="s"))
    inventory.put(NODES, node(9, name="newer", uid="n"))
    assert inventory.relisted(NODES, {"s"}, "5")
    assert [each["name"] for each in inventory.of(NODES)] == ["newer", "stays"]
    assert not inventory.relisted(NODES, {"s", "n"}, "6")
