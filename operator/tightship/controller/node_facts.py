"""Facts of the cluster's nodes and devices, from what is kept of them."""

from collections.abc import Callable, Iterable
from fractions import Fraction

from tightship.api import quantity
from tightship.kube.inventory import Inventory as Kept
from tightship.kube.resources import NODES, RESOURCE_SLICES, Object
from tightship.plan.snapshot import Inventory, NodeFact, Taint


class NodeFacts:
    """The cluster's inventory; of its nodes only those that changed are read again."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._changes = -1
        self._facts: dict[str, tuple[Object, NodeFact]] = {}
        self._inventory = Inventory()

    def inventory(self) -> Inventory:
        """All nodes, and the devices of DRA drivers: the same object until something changes."""
        if self._changes != self._kept.changes:
            self._changes = self._kept.changes
            nodes = self._kept.of(NODES)
            self._facts = {value["name"]: self._read(value) for value in nodes}
            self._inventory = Inventory(
                nodes=tuple(fact for _, fact in self._facts.values()),
                claimable=_claimable(self._kept.of(RESOURCE_SLICES)),
            )
        return self._inventory

    def _read(self, value: Object) -> tuple[Object, NodeFact]:
        known = self._facts.get(value["name"])
        return known if known and known[0] is value else (value, node_fact(value))


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
