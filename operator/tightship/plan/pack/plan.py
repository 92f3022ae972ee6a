"""A plan: which copy lies on which device, what that costs and predicts, and who waits and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from tightship.plan.pack.demand import Device

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


class Reason(StrEnum):
    """Why a model does not have all that it asks for."""

    NO_SUITABLE_DEVICE = "NoSuitableDevice"  # no type has its profile, memory and tolerated taints
    NO_ROOM = "NoRoom"  # the devices are full of what goes first
    OBJECTIVE_UNREACHABLE = "ObjectiveUnreachable"  # served as well as can be, without the promise
    TOO_FEW_COPIES = "TooFewCopies"  # the load is more than max_copies can take
    NO_ROOM_TO_MOVE = "NoRoomToMove"  # it stays on a device that it should leave


class Wait(NamedTuple):
    """A model that lacks copies, or is not promised its objective (then `missing` is 0)."""

    model: str
    reason: Reason
    missing: int
    told: str


class Setting(NamedTuple):
    """How the copies of a model are configured: all alike, on one type of device."""

    type: str
    copies: int
    batch: int
    delay: float  # seconds that a request may wait for its batch to fill


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bound:
    """What no plan with the same settings can go below.

    `cost` is money an hour over all types; `devices` counts by type what the copies on it need.
    """

    cost: float
    devices: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Copies on devices, as arrays by copy, by device and by model.

    Args:
        models: names, sorted. `model` indexes it.
        devices: those in use, sorted. `device` indexes it.
        model: of each copy, ascending.
        device: of each copy.
        rho: duty of each device.
        second_moment: of each device, seconds.
        memory: bytes on each device.
        p99: predicted for each model in seconds on the worst of its devices; NaN where it is not
            placed or not measured.
        slo: of each model, seconds.
        settings: by model; absent for one that no type suits.
        waits: by name of the model.
        cost: price of the devices in use, an hour.
        bound: what the cost cannot go below.
    """

    models: tuple[str, ...]
    devices: tuple[Device, ...]
    model: Integers
    device: Integers
    rho: Floats
    second_moment: Floats
    memory: Floats
    p99: Floats
    slo: Floats
    settings: Mapping[str, Setting]
    waits: tuple[Wait, ...]
    cost: float
    bound: Bound

    @property
    def assignments(self) -> dict[Device, tuple[str, ...]]:
        """Names of the models on each device, sorted: what a server is told to hold."""
        held: list[list[str]] = [[] for _ in self.devices]
        for model, device in zip(self.model.tolist(), self.device.tolist(), strict=True):
            held[device].append(self.models[model])
        return {device: tuple(names) for device, names in zip(self.devices, held, strict=True)}

    @property
    def placement(self) -> dict[str, tuple[Device, ...]]:
        """Devices of each model that has any, sorted: what `pack` and `replan` take as present."""
        found: dict[str, list[Device]] = {}
        for model, device in zip(self.model.tolist(), self.device.tolist(), strict=True):
            found.setdefault(self.models[model], []).append(self.devices[device])
        return {name: tuple(sorted(devices)) for name, devices in found.items()}

    @property
    def predicted(self) -> dict[str, float]:
        """Predicted p99 in seconds by model."""
        return dict(zip(self.models, self.p99.tolist(), strict=True))
