"""What is to be packed, and onto what: models with their objectives, device types, the fleet."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tightship.plan.pack.feasibility import Execution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.plan.pack.profile import Profile

MAX_COPIES = 1000
"""Copies of a model that says nothing of its own."""


class Device(NamedTuple):
    """One device of the fleet: the name of its type and its number among those of the type."""

    type: str
    number: int

    def __str__(self) -> str:
        return f"{self.type}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model and what it must hold.

    Args:
        name: unique in the plan.
        profiles: by name of the device type; a type that is absent cannot serve the model.
        rate: samples a second over all copies.
        slo: seconds at the 99th percentile; infinite where only throughput counts.
        cv: coefficient of variation of the time between arrivals, 1 for a Poisson stream.
        network: seconds of the objective that pass outside the server.
        min_copies: kept while the model is served at all; copies lie on different devices, and are
            spread evenly over nodes.
        max_copies: never more.
        priority: where devices are short the lower one waits.
        tolerations: taints that do not matter to the model.

    Raises:
        ValueError: with the cause and the remedy.
    """

    name: str
    profiles: Mapping[str, Profile]
    rate: float
    slo: float = math.inf
    cv: float = 1.0
    network: float = 0.0
    min_copies: int = 1
    max_copies: int = MAX_COPIES
    priority: int = 100
    tolerations: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate >= 0):
            raise ValueError(f"{self.name}: rate must be finite and not negative: {self.rate}")
        if not self.slo > 0:
            raise ValueError(f"{self.name}: slo must be above 0 s; leave it out where none is held")
        if not (math.isfinite(self.cv) and self.cv >= 0 and 0 <= self.network < math.inf):
            raise ValueError(f"{self.name}: cv and network must be finite and not negative")
        if not 0 <= self.min_copies <= self.max_copies or self.max_copies < 1:
            raise ValueError(
                f"{self.name}: copies must be 0 <= min <= max and max at least 1, not"
                f" {self.min_copies} and {self.max_copies}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceType:
    """Devices that are alike: a GPU, a MIG slice, an MPS share or a CPU server.

    Args:
        name: unique in the fleet; profiles are found by it.
        memory: bytes that models may use: the reserve and Triton's own are taken off.
        count: at most so many devices may be used.
        price: of one device in use for an hour, in any currency.
        nodes: the node of each device that exists, in order; devices beyond them are taken to lie
            on nodes of their own, `per_node` on each.
        per_node: devices of a node that does not exist yet.
        taints: who does not tolerate all of them is not placed here.
        execution: whether models run side by side or one at a time.
        interference: by what part of itself an execution grows, for each unit of the neighbours'
            duty. Measured once for a device type; 0 where slices are isolated.
        closed: devices that take nothing and are to be emptied: lost, cordoned or drained.

    Raises:
        ValueError: with the cause and the remedy.
    """

    name: str
    memory: int
    count: int
    price: float = 1.0
    nodes: tuple[str, ...] = ()
    per_node: int = 1
    taints: frozenset[str] = frozenset()
    execution: Execution = Execution.SHARED
    interference: float = 0.0
    closed: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.memory <= 0 or self.count < 0 or self.per_node < 1:
            raise ValueError(f"{self.name}: memory and per_node must be above 0, count not below")
        if not (math.isfinite(self.price) and self.price > 0):
            raise ValueError(f"{self.name}: price must be above 0: without prices use 1 for all")
        if not 0 <= self.interference < math.inf:
            raise ValueError(f"{self.name}: interference must be finite and not negative")

    def node(self, number: int) -> str:
        """The node that a device lies on, or is taken to lie on."""
        if number < len(self.nodes):
            return self.nodes[number]
        return f"{self.name}+{(number - len(self.nodes)) // self.per_node}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All device types, in any order.

    Raises:
        ValueError: two types share a name.
    """

    types: tuple[DeviceType, ...]
    _by_name: Mapping[str, DeviceType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {kind.name: kind for kind in sorted(self.types, key=lambda kind: kind.name)}
        if len(by_name) != len(self.types):
            raise ValueError("two device types share a name: give each its own")
        object.__setattr__(self, "_by_name", by_name)

    def __getitem__(self, name: str) -> DeviceType:
        return self._by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the types, sorted: the order of everything that is told by type."""
        return tuple(self._by_name)
