"""Facts of the cluster's nodes and devices, from what is kept of them."""

from collections.abc import Callable, Iterable
from fractions import Fraction

from tightship.api import quantity
from tightship.kube.inventory import Inventory as Kept
from tightship.kube.resources import NODES, RESOURCE_SLICES, Object
from tightship.plan.snapshot import Inventory, NodeFact, Taint


def inventory(kept: Kept) -> Inventory:
    """All nodes, and the devices that DRA drivers publish on each."""
    return Inventory(
        nodes=tuple(node_fact(value) for value in kept.of(NODES)),
        claimable=_claimable(kept.of(RESOURCE_SLICES)),
    )


def node_fact(kept: Object) -> NodeFact:
    """Of a node; an amount that cannot be read counts as none."""
    amounts = dict(kept["allocatable"])
    return NodeFact(
        name=kept["name"],
        labels=kept["labels"],
        taints=tuple(Taint(**taint) for taint in kept["taints"]),
        usable=kept["usable"],
        cpu=float(_amount(amounts.pop("cpu", 0), quantity.cpu)),
        memory=int(_amount(amounts.pop("memory", 0), quantity.memory)),
        extended={name: int(_amount(value, quantity.memory)) for name, value in amounts.items()},
    )


def _claimable(slices: Iterable[Object]) -> dict[str, int]:
    """Devices by node. Of a driver's pool only the slices of the newest generation count."""
    slices = list(slices)
    newest: dict[tuple[str, ...], int] = {}
    for each in slices:
        pool = tuple(map(str, each["pool"]))
        newest[pool] = max(newest.get(pool, 0), each["generation"])
    found: dict[str, int] = {}
    for each in slices:
        if each["node"] and each["generation"] == newest[tuple(map(str, each["pool"]))]:
            found[each["node"]] = found.get(each["node"], 0) + each["devices"]
    return found


def _amount(value: object, read: Callable[[str], Fraction]) -> Fraction:
    try:
        return read(str(value))
    except ValueError:
        return Fraction(0)
