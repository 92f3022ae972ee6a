from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import accelerators
from tests.unit.plan.world import BASE, MIB, World, model_spec, pool_spec

from tightship.api.accelerator import Accelerator, Sharing
from tightship.api.conditions import ConditionStatus, ConditionType, Reason, find_condition
from tightship.api.parse import parse_pool
from tightship.api.v1alpha1 import Toleration, UpdateStrategy
from tightship.plan.actions import ApplyPoolStatus, RecordEvent
from tightship.plan.capacity import Capacity, capacity
from tightship.plan.plan import plan
from tightship.plan.snapshot import Inventory, NodeFact, Taint

if TYPE_CHECKING:
    from tightship.api.v1alpha1 import ServingPoolSpec

GI = 2**30
GPU = "nvidia.com/gpu"
NVIDIA = {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}
MPS = {**NVIDIA, "nvidia.com/gpu.sharing-strategy": "mps", "nvidia.com/gpu.replicas": "4"}
SLICED = {**NVIDIA, "nvidia.com/gpu.sharing-strategy": "time-slicing"}
SINGLE = {"nvidia.com/mig.strategy": "single", "nvidia.com/gpu.slices.gi": "3"}
TAINT = Taint(key=GPU, value="present", effect="NoSchedule")


def on(device: str, **changes: Any) -> ServingPoolSpec:  # noqa: ANN401 (fields of the pool)
    """A pool with the accelerator of that name, servers of 2 cores and 1.3 GiB, at most four."""
    wanted = parse_pool(accelerators.pool(accelerators.TAKEN[device])).accelerator
    return replace(pool_spec(servers=(1, 4)), accelerator=wanted, **changes)


def node(name: str = "a", labels: dict[str, str] | None = None, **changes: Any) -> NodeFact:  # noqa: ANN401
    amounts: dict[str, Any] = {"cpu": 16.0, "memory": 64 * GI, **changes}
    return NodeFact(name=name, labels=labels or {}, **amounts)


def gpus(count: int, name: str = GPU) -> dict[str, int]:
    return {name: count, "vendor.example/nic": 0}


def found(pool: ServingPoolSpec, *nodes: NodeFact, **claimable: int) -> Capacity:
    result = capacity(pool, Inventory(nodes=nodes, claimable=claimable), frozenset())
    assert result is not None
    return result


FITS: dict[str, tuple[ServingPoolSpec, list[NodeFact], int]] = {
    "whole": (on("whole"), [node(labels=NVIDIA, extended=gpus(3))], 3),
    "whole without labels": (on("whole"), [node(extended=gpus(2))], 2),
    "two nodes": (on("whole"), [node(extended=gpus(2)), node("b", extended=gpus(1))], 3),
    "another vendor": (on("whole-amd"), [node(extended=gpus(8, "amd.com/gpu"))], 7),
    "slices of the strategy mixed": (
        on("mig"),
        [node(extended=gpus(5, "nvidia.com/mig-1g.10gb.me"))],
        5,
    ),
    "slices of the strategy single": (on("mig-single"), [node(labels=SINGLE, extended=gpus(2))], 2),
    "copies by MPS": (on("mps"), [node(labels=MPS, extended=gpus(4))], 4),
    "copies by time, renamed": (
        on("time-slicing"),
        [
            node(
                labels={**SLICED, "nvidia.com/gpu.replicas": "2"},
                extended=gpus(2, "nvidia.com/gpu.shared"),
            )
        ],
        2,
    ),
    "HAMi": (on("hami"), [node(extended=gpus(10))], 7),
    "no more than processors": (on("whole"), [node(cpu=4.2, extended=gpus(8))], 2),
    "no more than memory": (
        on("whole"),
        [node(memory=3 * (BASE + 1064 * MIB), extended=gpus(8))],
        3,
    ),
    "processors": (pool_spec(servers=(0, 9)), [node(), node("b", cpu=2.0)], 7),
}


@pytest.mark.parametrize("name", FITS)
def test_servers_that_fit(name: str) -> None:
    pool, nodes, servers = FITS[name]
    assert found(pool, *nodes).servers == servers


def test_devices_that_a_claim_may_ask_for() -> None:
    held = found(on("dra"), node(), node("b"), a=2, elsewhere=5)
    assert held.figures() == {"nodes": 2, "devices": 2, "servers": 2}
    assert held.condition.message.startswith("At most 2 servers")


LARGE_SHARE = replace(
    pool_spec(), accelerator=Accelerator(memory=6 * GI, sharing=Sharing.MPS, replicas=4)
)

REASONS: dict[str, tuple[ServingPoolSpec, list[NodeFact], Reason, str]] = {
    "no nodes": (on("mps"), [], Reason.NO_MATCHING_NODE, "No node is ready"),
    "no labels of processors": (
        replace(pool_spec(), server=replace(pool_spec().server, node_selector={"spot": "yes"})),
        [node()],
        Reason.NO_MATCHING_NODE,
        "None of 1 nodes that take pods has the labels spot=yes. Set server.nodeSelector",
    ),
    "a node that takes no pods": (
        on("whole"),
        [node(extended=gpus(1), usable=False)],
        Reason.NO_MATCHING_NODE,
        "No node is ready and takes pods",
    ),
    "not shared": (
        on("mps"),
        [node(labels=NVIDIA, extended=gpus(1))],
        Reason.NO_MATCHING_NODE,
        "nvidia.com/gpu.sharing-strategy=mps, nvidia.com/gpu.replicas=4",
    ),
    "other replicas": (
        on("mps"),
        [node(labels={**MPS, "nvidia.com/gpu.replicas": "2"}, extended=gpus(2))],
        Reason.NO_MATCHING_NODE,
        "nvidia.com/gpu.replicas=4",
    ),
    "copies taken for devices": (
        on("whole"),
        [node(labels=SLICED, extended=gpus(4))],
        Reason.NO_MATCHING_NODE,
        "neither a copy (MPS, time-slicing) nor a MIG slice",
    ),
    "slices taken for devices": (
        on("whole"),
        [node(labels=SINGLE, extended=gpus(4))],
        Reason.NO_MATCHING_NODE,
        "neither a copy (MPS, time-slicing) nor a MIG slice",
    ),
    "slices of another size": (
        on("mig-single"),
        [node(labels={**SINGLE, "nvidia.com/gpu.slices.gi": "1"}, extended=gpus(7))],
        Reason.NO_MATCHING_NODE,
        "nvidia.com/gpu.slices.gi=3",
    ),
    "a taint": (
        on("whole"),
        [node(extended=gpus(1), taints=(TAINT,))],
        Reason.NO_MATCHING_NODE,
        "nvidia.com/gpu=present:NoSchedule. Add them to server.tolerations",
    ),
    "another profile": (
        on("mig"),
        [node(extended={**gpus(0), "nvidia.com/mig-2g.20gb": 3})],
        Reason.NO_SUCH_DEVICE,
        "offers nvidia.com/mig-1g.10gb.me; they offer nvidia.com/mig-2g.20gb.",
    ),
    "no device plugin": (
        on("whole"),
        [node(labels=NVIDIA)],
        Reason.NO_SUCH_DEVICE,
        "they offer no devices",
    ),
    "no DRA driver": (
        on("dra"),
        [node()],
        Reason.NO_SUCH_DEVICE,
        "resourceclaimtemplates/one-gpu",
    ),
    "a share too small": (
        LARGE_SHARE,
        [node(labels=MPS, extended=gpus(4))],
        Reason.DEVICE_TOO_SMALL,
        "says 6Gi, and a server on a gets ",
    ),
    "a small node": (
        on("whole"),
        [node(cpu=2.0, extended=gpus(1))],
        Reason.NODES_TOO_SMALL,
        "2100m cores",
    ),
    "too few": (
        on("whole", min_servers=3),
        [node(extended=gpus(2))],
        Reason.TOO_FEW_DEVICES,
        "2 servers fit the nodes; the pool may have 4. It asks for 3",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_why_the_nodes_do_not_do(name: str) -> None:
    pool, nodes, reason, says = REASONS[name]
    condition = found(pool, *nodes).condition
    assert (condition.status, condition.reason) == (ConditionStatus.FALSE, reason)
    assert says in condition.message


@pytest.mark.parametrize(
    ("devices", "reason"), [(4, Reason.NODES_SUFFICE), (3, Reason.NODES_HOLD_FEWER)]
)
def test_enough(devices: int, reason: Reason) -> None:
    condition = found(on("whole"), node(extended=gpus(devices))).condition
    assert (condition.status, condition.reason) == (ConditionStatus.TRUE, reason)


SPARE: dict[str, tuple[ServingPoolSpec, int, bool]] = {
    "none for a surge": (on("whole"), 4, True),
    "one for a surge": (on("whole"), 5, False),
    "none is needed": (on("whole", update_strategy=UpdateStrategy.DRAIN), 4, False),
    "processors": (pool_spec(servers=(1, 7)), 0, False),
}


@pytest.mark.parametrize("name", SPARE)
def test_a_surge_without_a_device_to_spare_is_foreseen(name: str) -> None:
    pool, devices, told = SPARE[name]
    condition = found(pool, node(extended=gpus(devices))).condition
    assert condition.status is ConditionStatus.TRUE
    assert ("Drain needs none" in condition.message) == told


TOLERATED: dict[str, tuple[dict[str, Any], bool]] = {
    "everything": ({"operator": "Exists"}, True),
    "the key": ({"key": GPU, "operator": "Exists"}, True),
    "the key and the effect": (
        {"key": GPU, "operator": "Exists", "effect": "NoSchedule"},
        True,
    ),
    "the value": ({"key": GPU, "value": "present"}, True),
    "another value": ({"key": GPU, "value": "absent"}, False),
    "no value": ({"key": GPU}, False),
    "another effect": ({"key": GPU, "operator": "Exists", "effect": "NoExecute"}, False),
    "another key": ({"key": "spot", "operator": "Exists"}, False),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_tolerations(name: str) -> None:
    fields, tolerated = TOLERATED[name]
    pool = on("whole")
    pool = replace(pool, server=replace(pool.server, tolerations=(Toleration(**fields),)))
    tainted = node(extended=gpus(1), taints=(TAINT,))
    assert found(pool, tainted).servers == tolerated


def test_a_taint_that_only_prefers_keeps_nobody_out() -> None:
    soft = replace(TAINT, effect="PreferNoSchedule")
    assert found(on("whole"), node(extended=gpus(1), taints=(soft,))).servers == 1


def test_a_node_that_runs_a_server_can() -> None:
    """Admission plugins tolerate taints of devices, unseen in the pool."""
    tainted = node(extended=gpus(1), taints=(TAINT,), usable=False)
    held = capacity(on("whole"), Inventory(nodes=(tainted,)), frozenset({"a"}))
    assert held is not None
    assert held.figures() == {"nodes": 1, "devices": 1, "servers": 1}


def test_without_a_look_at_nodes() -> None:
    assert capacity(pool_spec(), None, frozenset()) is None
    held = capacity(on("whole"), None, frozenset())
    assert held is not None
    assert held.figures() == {}
    assert held.condition.status is ConditionStatus.UNKNOWN
    assert "nodes.watch=true" in held.condition.message


_NODES = st.lists(
    st.builds(
        node,
        st.sampled_from("abcdefgh"),
        st.sampled_from([{}, NVIDIA, MPS, SLICED, SINGLE]),
        cpu=st.floats(0, 64),
        memory=st.integers(0, 64 * GI),
        taints=st.sampled_from([(), (TAINT,)]),
        usable=st.booleans(),
        extended=st.dictionaries(
            st.sampled_from([GPU, "nvidia.com/gpu.shared", "amd.com/gpu"]), st.integers(0, 16)
        ),
    ),
    unique_by=lambda each: each.name,
    max_size=8,
)


@given(st.sampled_from(sorted(accelerators.TAKEN)), _NODES, st.randoms(use_true_random=False))
def test_what_always_holds(device: str, nodes: list[NodeFact], random: Any) -> None:  # noqa: ANN401
    pool = on(device)
    held = found(pool, *nodes)
    figures = held.figures()
    assert 0 <= figures["servers"] <= figures["devices"]
    assert figures["nodes"] <= len(nodes)
    assert (held.condition.status is ConditionStatus.TRUE) <= (figures["servers"] >= 1)
    for each in nodes:  # each node adds what it holds alone
        assert found(pool, each).figures()["servers"] <= figures["servers"]
    shuffled = random.sample(nodes, len(nodes))
    assert found(pool, *shuffled).figures() == figures


def test_the_pool_tells_it_once() -> None:
    world = World(replace(on("whole"), price_per_hour=1.25))
    world.inventory = Inventory(nodes=(node(labels=SLICED, extended=gpus(4)),))
    actions = plan(world.snapshot()).actions
    (told,) = [a for a in actions if isinstance(a, ApplyPoolStatus)]
    assert told.status["isolation"] == "hard"
    assert told.status["costPerHour"] == "0"
    assert told.status["capacity"] == {"nodes": 0, "devices": 0, "servers": 0}
    condition = find_condition(told.status, ConditionType.SCHEDULABLE)
    assert condition["reason"] == Reason.NO_MATCHING_NODE
    events = [a.reason for a in actions if isinstance(a, RecordEvent)]
    assert events == [Reason.NO_MATCHING_NODE]


def test_nothing_is_decided_from_it() -> None:
    """The same servers and models with nodes that suffice, with none, and without a look."""
    settled = []
    for inventory in (None, Inventory(), Inventory(nodes=(node(extended=gpus(9)),))):
        world = World(replace(on("whole"), price_per_hour=0.5))
        world.inventory = inventory
        world.add("intent", model_spec())
        world.settle()
        assert world.pool is not None
        assert world.pool.status["costPerHour"] == "0.5"
        settled.append((world.now, world.pods.keys(), world.models["intent"].status["placement"]))
    assert settled[0] == settled[1] == settled[2]
