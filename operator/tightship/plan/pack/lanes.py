"""All that is known of one type of device before anything is placed: settings, load, devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tightship.plan.pack.choice import Choice, choose
from tightship.plan.pack.columns import curves
from tightship.plan.pack.filling import Load, load
from tightship.plan.pack.state import Devices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tightship.plan.pack.columns import Columns
    from tightship.plan.pack.demand import DeviceType, Fleet, Model

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lane:
    """A type of device: what each model takes of one, and the devices that may be used.

    Args:
        kind: the type.
        choice: settings of every model on it.
        load: what a copy takes of a device.
        numbers: of the devices, those of a node together.
        nodes: of the same devices, counted from 0.
        closed: which of them take nothing.
        spread: copies of each model that one node may have: as many as an even spread needs.
        cost: money an hour that each model takes here, its share of devices times their price;
            infinite where it cannot be.
    """

    kind: DeviceType
    choice: Choice
    load: Load
    numbers: Integers
    nodes: Integers
    closed: Flags
    spread: Integers
    cost: Floats

    def devices(self) -> Devices:
        """The devices, empty."""
        return Devices(self.load, self.nodes, self.spread, self.closed)


def lanes(
    models: Sequence[Model], columns: Columns, fleet: Fleet, *, kappa: float
) -> tuple[Lane, ...]:
    """One for each type of the fleet, in the order of their names."""
    found = []
    for name in fleet.names:
        kind = fleet[name]
        found.append(lane(kind, choose(columns, curves(models, kind), kind, kappa=kappa)))
    return tuple(found)


def lane(kind: DeviceType, choice: Choice, in_use: int = 0) -> Lane:
    """The type with these settings of the models; `in_use` devices, the first, hold something."""
    copies = int(choice.copies.sum()) + len(choice.copies)
    widest = kind.per_node * int(choice.copies.max(initial=0))
    least = max([len(kind.nodes), in_use, *(number + 1 for number in kind.closed)])
    numbers, nodes = _grouped(kind, min(kind.count, least + max(copies, widest)))
    closed = np.isin(numbers, np.array(sorted(kind.closed), dtype=np.int64))
    among = max(1, len(np.unique(nodes[~closed])))
    share = kind.price * choice.copies * choice.share
    return Lane(
        kind=kind,
        choice=choice,
        load=load(choice, kind.memory),
        numbers=numbers,
        nodes=nodes,
        closed=closed,
        spread=np.maximum(1, -(-choice.copies // among)),
        cost=np.where(choice.suited, share, np.inf),
    )


def _grouped(kind: DeviceType, count: int) -> tuple[Integers, Integers]:
    """Numbers of the devices with those of a node together, and their nodes."""
    known: dict[str, int] = {}
    nodes = np.array(
        [known.setdefault(kind.node(number), len(known)) for number in range(count)],
        dtype=np.int64,
    )
    numbers = np.argsort(nodes, kind="stable")
    return numbers, nodes[numbers]
