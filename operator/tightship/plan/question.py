"""A pool as the question that `plan.pack` answers: servers as devices, items as models."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tightship.api.traffic import Traffic
from tightship.plan import profiles
from tightship.plan.pack import (
    Bound,
    Device,
    DeviceType,
    Fleet,
    Model,
    Plan,
    Reason,
    Setting,
    replan,
)
from tightship.plan.pack.choice import largest_batch
from tightship.plan.placement import Standing
from tightship.plan.transition import staying

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tightship.plan.pack import Change, Wait
    from tightship.plan.placement import Item, Server

SERVER = "server"
"""The one type of device: the servers of a pool are alike."""

_NOBODY: frozenset[str] = frozenset()


class Asked(NamedTuple):
    """An item without its copies' states, what corrects its profile, and servers that have it."""

    item: Item
    correction: float
    places: tuple[str, ...]


class Answer(NamedTuple):
    """Servers by model, who waits and why, and servers that some copy leaves for another."""

    servers: Mapping[str, tuple[str, ...]]
    waits: tuple[Wait, ...]
    left: frozenset[str]

    @property
    def missing(self) -> frozenset[str]:
        """Models that lack copies."""
        return frozenset(wait.model for wait in self.waits if wait.missing)

    @property
    def stuck(self) -> frozenset[str]:
        """Models that stay where an objective is missed."""
        found = frozenset(w.model for w in self.waits if w.reason is Reason.NO_ROOM_TO_MOVE)
        return found - self.missing


def asked(items: Iterable[Item], servers: Sequence[Server], max_servers: int) -> tuple[Asked, ...]:
    """The items that want copies, and of each no more than there may be servers."""
    wanted = [replace(i, copies=min(i.copies, max_servers)) for i in items if i.copies > 0]
    corrections = profiles.corrections(wanted)
    return tuple(
        Asked(replace(item, placed=()), corrections.get(item.model, 1.0), _places(item, servers))
        for item in wanted
    )


def _places(item: Item, servers: Sequence[Server]) -> tuple[str, ...]:
    """Servers that have the model: with the wanted version, and more where those are too few."""
    current = tuple(copy.server for copy in item.placed if copy.current)
    kept, leaving = staying(item, {server.name: server.standing for server in servers})
    more = [copy.server for copy in (*kept, *leaving) if not copy.current]
    return current + tuple(more[: max(0, item.copies - len(current))])


@lru_cache(maxsize=16)
def answer(
    asked: tuple[Asked, ...],
    rooms: tuple[Server, ...],
    *,
    closed: frozenset[str] = _NOBODY,
    resting: frozenset[str] = _NOBODY,
    spared: frozenset[str] | None = None,
) -> Answer:
    """Where copies shall be; kept, because plans are made often.

    Args:
        asked: the models.
        rooms: the servers, those that may be started too.
        closed: servers that are to be emptied, besides those that leave.
        resting: servers that keep what they have and take nothing more.
        spared: servers that are not emptied to save them; None where no server is.
    """
    models = [_model(each.item, each.correction) for each in asked]
    fleet = Fleet(types=(_kind(rooms, closed, resting),))
    number = {room.name: Device(SERVER, at) for at, room in enumerate(rooms)}
    change = replan(
        _present(asked, rooms),
        models,
        fleet,
        budget=0.0 if spared is None else 1.0,
        displace=False,
        spared=[number[name] for name in spared or ()],
    )
    return _read(change, rooms)


def _read(change: Change, rooms: Sequence[Server]) -> Answer:
    found = {
        model: tuple(rooms[device.number].name for device in devices)
        for model, devices in change.plan.placement.items()
    }
    left = {rooms[m.source.number].name for m in change.moves if m.source and m.target}
    return Answer(found, change.plan.waits, frozenset(left))


def _present(asked: Sequence[Asked], rooms: Sequence[Server]) -> Plan:
    """What runs now, with the settings that it has."""
    number = {room.name: at for at, room in enumerate(rooms)}
    pairs = sorted((at, number[name]) for at, each in enumerate(asked) for name in each.places)
    return Plan(
        models=tuple(each.item.model for each in asked),
        devices=tuple(Device(SERVER, at) for at in range(len(rooms))),
        model=np.array([model for model, _ in pairs], dtype=np.int64),
        device=np.array([device for _, device in pairs], dtype=np.int64),
        rho=np.zeros(len(rooms)),
        second_moment=np.zeros(len(rooms)),
        memory=np.array([room.used for room in rooms], dtype=np.float64),
        p99=np.full(len(asked), np.nan),
        slo=np.full(len(asked), np.inf),
        settings={item.model: _setting(item) for item, _, _ in asked},
        waits=(),
        cost=0.0,
        bound=Bound(cost=0.0, devices={}),
    )


def _setting(item: Item) -> Setting:
    """The user's copies and queue delay, and the batches that these make of the requests."""
    work, traffic = item.work, item.work.traffic or Traffic(rate=0)
    formed = 1.0 + traffic.rate * max(1.0, traffic.rows) / item.copies * work.delay
    batch = largest_batch(formed, 1.0, max(1, work.max_batch))
    return Setting(SERVER, item.copies, int(batch), work.delay)


def _kind(rooms: Sequence[Server], closed: frozenset[str], resting: frozenset[str]) -> DeviceType:
    """The servers as devices, numbered in their order; of different sizes the smallest counts.

    Old ones keep what they have, and so do those whose agents do not answer.
    """
    going = {Standing.LEAVING, Standing.LOST}
    shut = {n for n, r in enumerate(rooms) if r.standing in going or r.name in closed}
    still = {
        n for n, r in enumerate(rooms) if r.standing is Standing.HELD or r.old or r.name in resting
    }
    unable = {n for n, r in enumerate(rooms) if r.standing in going | {Standing.HELD} or r.old}
    able = [room.memory for n, room in enumerate(rooms) if n not in unable]
    return DeviceType(
        name=SERVER,
        memory=max(1, min(able, default=1)),
        count=len(rooms),
        nodes=tuple(room.node or room.name for room in rooms),
        closed=frozenset(shut),
        resting=frozenset(still - shut),
    )


def _model(item: Item, correction: float) -> Model:
    """The item as packing sees it; its number of copies is the user's.

    What nobody asks has no objective to keep, and what was not counted yet is taken for that. A
    trial of some minutes looks like one great burst, so arrivals are taken for independent.
    """
    known = profiles.known(item.work, item.memory).corrected(correction)
    traffic = item.work.traffic or Traffic(rate=0)
    slo = item.work.slo if item.work.slo is not None and traffic.rate > 0 else math.inf
    return Model(
        name=item.model,
        profiles={SERVER: known},
        rate=traffic.rate * max(1.0, traffic.rows),
        slo=slo,
        network=item.work.network,
        min_copies=item.copies,
        max_copies=item.copies,
        priority=item.priority,
    )
