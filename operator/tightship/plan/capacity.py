"""How many servers of a pool the nodes can hold, and why none where they hold none.

Counted is what nodes offer (allocatable), whoever uses it now: what is free is the scheduler's to
know. Nothing is decided from it; it is told, so that a server that waits has a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tightship.api.accelerator import SHARED_SUFFIX, Sharing
from tightship.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from tightship.api.quantity import cpu_text, memory_text
from tightship.api.v1alpha1 import UpdateStrategy
from tightship.plan import nodes as places

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tightship.api.accelerator import Accelerator
    from tightship.api.v1alpha1 import ServingPoolSpec
    from tightship.plan.snapshot import Inventory, NodeFact

_NAMED = 3  # nodes, resources or taints that a message names
_AUTOSCALED = "Where a cluster autoscaler makes such nodes, nothing has to be done."


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the nodes can hold. `devices` is None on CPU pools, all three without a look at nodes.

    `nodes` are those with the pool's labels and without taints that it does not tolerate, `devices`
    those that they offer of the kind asked for.
    """

    condition: Condition
    nodes: int | None = None
    devices: int | None = None
    servers: int | None = None

    def figures(self) -> dict[str, int]:
        """`status.capacity`; empty without a look at nodes."""
        found = {"nodes": self.nodes, "devices": self.devices, "servers": self.servers}
        return {name: value for name, value in found.items() if value is not None}


def capacity(
    pool: ServingPoolSpec, inventory: Inventory | None, running: frozenset[str]
) -> Capacity | None:
    """What the nodes can hold of the pool's servers.

    Args:
        pool: what a server asks for.
        inventory: the cluster's nodes and devices; None where the operator does not watch them.
        running: names of nodes that run a server of the present template, so they can.

    Returns:
        None for a CPU pool where nodes are not watched: there is nothing to tell.
    """
    if inventory is None:
        return _not_watched() if pool.accelerator else None
    usable = [n for n in inventory.nodes if n.usable or n.name in running]
    selected = [n for n in usable if n.name in running or places.is_selected(n, pool)]
    matching = [n for n in selected if n.name in running or not places.keeping_out(n, pool)]
    offered = {n.name: _devices(n, pool.accelerator, inventory.claimable) for n in matching}
    total = sum(_servers(n, pool, offered[n.name]) for n in matching)
    condition = (
        _no_node(pool, usable, selected, matching)
        or _no_device(pool, matching, offered)
        or _small_device(pool.accelerator, [n for n in matching if offered[n.name]])
        or _no_room(pool, matching, total)
        or _enough(pool, total)
    )
    devices = None if pool.accelerator is None else sum(each or 0 for each in offered.values())
    return Capacity(condition=condition, nodes=len(matching), devices=devices, servers=total)


def _devices(
    node: NodeFact, wanted: Accelerator | None, claimable: Mapping[str, int]
) -> int | None:
    if wanted is None:
        return None
    if wanted.resource_name is None:
        return claimable.get(node.name, 0)
    return node.extended.get(wanted.resource_name, 0)


def _servers(node: NodeFact, pool: ServingPoolSpec, devices: int | None) -> int:
    """Servers that the node's processors, memory and devices hold."""
    cpu, memory = _asked(pool)
    roomy = min(int((node.cpu + 1e-9) // cpu), node.memory // memory)
    return roomy if devices is None else min(roomy, devices)


def _asked(pool: ServingPoolSpec) -> tuple[float, int]:
    server, agent = pool.server.resources, pool.server.agent_resources
    return server.cpu + agent.cpu, server.memory + agent.memory


def _no_node(
    pool: ServingPoolSpec,
    usable: Sequence[NodeFact],
    selected: Sequence[NodeFact],
    matching: Sequence[NodeFact],
) -> Condition | None:
    if matching:
        return None
    if not usable:
        message = f"No node is ready and takes pods. {_AUTOSCALED}"
    elif not selected:
        message = _no_label(pool, len(usable))
    else:
        taints = sorted({str(t) for node in selected for t in places.keeping_out(node, pool)})
        message = (
            f"{len(selected)} nodes have the pool's labels, and taints that it does not tolerate: "
            f"{_few(taints)}. Add them to server.tolerations."
        )
    return _condition(Reason.NO_MATCHING_NODE, message)


def _no_label(pool: ServingPoolSpec, nodes: int) -> str:
    labels = ", ".join(f"{key}={value}" for key, value in places.selector(pool).items())
    parts = [f"the labels {labels}"] if labels else []
    if places.asks_for_whole_gpus(pool.accelerator):
        parts.append("an nvidia.com/gpu that is neither a copy (MPS, time-slicing) nor a MIG slice")
    message = f"None of {nodes} nodes that take pods has {' and '.join(parts)}."
    if places.device_labels(pool.accelerator):
        message += " GPU feature discovery sets those of sharing as the device plugin is set."
    return f"{message} Set server.nodeSelector and accelerator to what the nodes are. {_AUTOSCALED}"


def _no_device(
    pool: ServingPoolSpec, matching: Sequence[NodeFact], offered: Mapping[str, int | None]
) -> Condition | None:
    wanted = pool.accelerator
    if wanted is None or any(offered.values()):
        return None
    if wanted.sharing is Sharing.DRA:
        message = (
            f"No DRA driver publishes a device on the {len(matching)} nodes of the pool. Install "
            f"the driver of the devices that {wanted.named} asks for. {_AUTOSCALED}"
        )
        return _condition(Reason.NO_SUCH_DEVICE, message)
    others = sorted({name for node in matching for name, count in node.extended.items() if count})
    message = (
        f"None of the {len(matching)} nodes of the pool offers {wanted.named}; they offer "
        f"{_few(others) or 'no devices'}. Set accelerator to what they offer, or have the device "
        f"plugin offer it. {_AUTOSCALED}"
    )
    return _condition(Reason.NO_SUCH_DEVICE, message)


def _small_device(wanted: Accelerator | None, nodes: Sequence[NodeFact]) -> Condition | None:
    """A node whose device has less memory than is promised to models; the scheduler knows none."""
    small = [n for n in nodes if wanted and (share := _share(n, wanted)) and share < wanted.memory]
    if wanted is None or not small:
        return None
    least = memory_text(min(_share(n, wanted) or 0 for n in small))
    message = (
        f"accelerator.memory says {memory_text(wanted.memory)}, and a server on "
        f"{_few(n.name for n in small)} gets {least} of its device. Lower it, or keep servers off "
        "these nodes by server.nodeSelector, such as nvidia.com/gpu.product."
    )
    return _condition(Reason.DEVICE_TOO_SMALL, message)


def _share(node: NodeFact, wanted: Accelerator) -> int | None:
    """Bytes of device memory that a server gets, by the node's labels; None where they are silent.

    The label is in MiB (GPU feature discovery's RESOURCE.memory).
    """
    resource = (wanted.resource_name or "").removesuffix(SHARED_SUFFIX)
    text = node.labels.get(f"{resource}.memory", "")
    return int(text) * 2**20 // (wanted.replicas or 1) if text.isdecimal() else None


def _no_room(pool: ServingPoolSpec, matching: Sequence[NodeFact], total: int) -> Condition | None:
    if total:
        return None
    cpu, memory = _asked(pool)
    message = (
        f"A server asks for {cpu_text(cpu)} cores and {memory_text(memory)} of memory, its agent's "
        f"included, which none of the {len(matching)} nodes of the pool has. Lower "
        f"server.resources, or add larger nodes. {_AUTOSCALED}"
    )
    return _condition(Reason.NODES_TOO_SMALL, message)


def _enough(pool: ServingPoolSpec, total: int) -> Condition:
    most = "At most " if pool.accelerator and pool.accelerator.sharing is Sharing.DRA else ""
    message = f"{most}{total} servers fit the nodes; the pool may have {pool.max_servers}."
    if total < pool.min_servers:
        message += f" It asks for {pool.min_servers} (minServers). Add nodes, or lower it. "
        return _condition(Reason.TOO_FEW_DEVICES, message + _AUTOSCALED)
    surges = pool.update_strategy is UpdateStrategy.SURGE
    if pool.accelerator and surges and total <= pool.max_servers:
        message += " When all run, no device is left for updateStrategy Surge; Drain needs none."
    enough = total >= pool.max_servers
    reason = Reason.NODES_SUFFICE if enough else Reason.NODES_HOLD_FEWER
    return _condition(reason, message, ConditionStatus.TRUE)


def _not_watched() -> Capacity:
    message = (
        "The operator does not look at nodes, so it is not known whether they have such devices. "
        "Set nodes.watch=true in the chart's values."
    )
    return Capacity(
        condition=_condition(Reason.NODES_NOT_WATCHED, message, ConditionStatus.UNKNOWN)
    )


def _condition(
    reason: Reason, message: str, status: ConditionStatus = ConditionStatus.FALSE
) -> Condition:
    return Condition(type=ConditionType.SCHEDULABLE, status=status, reason=reason, message=message)


def _few(words: Iterable[str]) -> str:
    known = list(words)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return ", ".join(known[:_NAMED]) + more
