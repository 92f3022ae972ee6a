"""Where copies of all models shall be: servers as devices, items as models of `plan.pack`."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tightship.api.traffic import Traffic
from tightship.plan.pack import (
    Bound,
    Device,
    DeviceType,
    Execution,
    Fleet,
    Model,
    Plan,
    Reason,
    Setting,
    profile,
    replan,
)
from tightship.plan.pack.choice import largest_batch
from tightship.plan.pack.feasibility import RHO_MAX, stretch
from tightship.plan.placement import Standing
from tightship.plan.transition import Transition, Wishes, may_open, preferred, staying

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tightship.plan.pack import Profile
    from tightship.plan.placement import Item, Placement, Server, Work

SERVER = "server"
"""The one type of device: the servers of a pool are alike."""


def place(
    items: Iterable[Item],
    servers: Sequence[Server],
    *,
    new_server: Server,
    min_servers: int,
    max_servers: int,
) -> Placement:
    """Places every copy that there is room for, inside its objective where that can be kept.

    Args:
        items: the models, in any order.
        servers: those that exist and are not being deleted, in the order of preference.
        new_server: what a server that does not exist yet would be like.
        min_servers: servers that are kept even when empty.
        max_servers: at most so many, those of a replacement under way not counted.
    """
    ordered = sorted(items, key=lambda i: (-i.priority, -i.memory, i.model))
    count = may_open(servers, max_servers)
    new = [replace(new_server, name=f"{new_server.name} {n + 1}") for n in range(count)]
    wishes = _wishes(ordered, preferred(servers), new, max_servers)
    transition = Transition(servers, new, new_server.memory, wishes)
    return transition.place(ordered, min_servers=min_servers, max_servers=max_servers)


def _wishes(
    items: Sequence[Item], servers: Sequence[Server], new: Sequence[Server], max_servers: int
) -> Wishes:
    """Servers of each model, so that every objective is kept that can be.

    First on the servers that there are, since the node of a new one is not known; then with new
    ones in the room that there is now; where somebody finds none so, in that too which is being
    freed, then on servers that are to be replaced, then with copies on one node. At last who finds
    no server with the time goes where the memory is: answers that are late are better than none.
    """
    wanted = [replace(i, copies=min(i.copies, max_servers)) for i in items if i.copies > 0]
    rooms = (*servers, *new)
    if not wanted or not any(room.memory > 0 for room in rooms):
        return Wishes({}, frozenset())
    corrections = _corrections(wanted)
    asked = tuple(
        _Asked(replace(item, placed=()), corrections.get(item.model, 1.0), _places(item, servers))
        for item in wanted
    )
    if servers:
        found, late = _planned(asked, tuple(servers))
        if not late.missing | late.stuck:
            return Wishes(found, frozenset())
    freed = tuple(replace(room, used=room.used - room.freeing, freeing=0) for room in rooms)
    newer = tuple(replace(room, old=False) for room in freed)
    apart = tuple(replace(room, node=None) for room in newer)
    for room in dict.fromkeys((rooms, freed, newer, apart)):
        found, late = _planned(asked, room)
        if not late.missing | late.held:
            return Wishes(found, late.stuck)
    nowhere = late.missing | late.held
    patient = tuple(_patient(each) if each.item.model in nowhere else each for each in asked)
    return Wishes(_planned(patient, apart)[0], nowhere | late.stuck)


def _patient(asked: _Asked) -> _Asked:
    """The same model, taken for asked by nobody."""
    work = replace(asked.item.work, traffic=None)
    return asked._replace(item=replace(asked.item, work=work))


class _Late(NamedTuple):
    """Models that lack copies, those that stay where an objective is missed, and of these the ones
    whose server leaves."""

    missing: frozenset[str]
    stuck: frozenset[str]
    held: frozenset[str]


class _Asked(NamedTuple):
    """An item without its copies' states, what corrects its profile, and servers that have it."""

    item: Item
    correction: float
    places: tuple[str, ...]


def _places(item: Item, servers: Sequence[Server]) -> tuple[str, ...]:
    """Servers that have the model: with the wanted version, and more where those are too few."""
    current = tuple(copy.server for copy in item.placed if copy.current)
    kept, leaving = staying(item, {server.name: server.standing for server in servers})
    more = [copy.server for copy in (*kept, *leaving) if not copy.current]
    return current + tuple(more[: max(0, item.copies - len(current))])


@lru_cache(maxsize=16)
def _planned(
    asked: tuple[_Asked, ...], rooms: tuple[Server, ...]
) -> tuple[Mapping[str, tuple[str, ...]], _Late]:
    """Servers by model, and who has not all; kept, because plans are made often."""
    models = [_model(each.item, each.correction) for each in asked]
    fleet = Fleet(types=(_kind(rooms),))
    plan = replan(_present(asked, rooms), models, fleet, budget=0.0, displace=False).plan
    found = {
        model: tuple(rooms[device.number].name for device in devices)
        for model, devices in plan.placement.items()
    }
    missing = frozenset(wait.model for wait in plan.waits if wait.missing)
    stuck = frozenset(w.model for w in plan.waits if w.reason is Reason.NO_ROOM_TO_MOVE)
    leaving = {room.name for room in rooms if room.standing is Standing.LEAVING}
    held = {each.item.model for each in asked if not leaving.isdisjoint(each.places)}
    return found, _Late(missing, stuck - missing, (stuck - missing) & held)


def _present(asked: Sequence[_Asked], rooms: Sequence[Server]) -> Plan:
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


def _kind(rooms: Sequence[Server]) -> DeviceType:
    """The servers as devices, numbered in their order; of different sizes the smallest counts.

    Old ones keep what they have, and so do those whose agents do not answer.
    """
    closed = {n for n, r in enumerate(rooms) if r.standing in {Standing.LEAVING, Standing.LOST}}
    resting = {n for n, r in enumerate(rooms) if r.standing is Standing.HELD or r.old}
    able = [room.memory for n, room in enumerate(rooms) if n not in closed | resting]
    return DeviceType(
        name=SERVER,
        memory=max(1, min(able, default=1)),
        count=len(rooms),
        nodes=tuple(room.node or room.name for room in rooms),
        closed=frozenset(closed),
        resting=frozenset(resting - closed),
    )


def _model(item: Item, correction: float) -> Model:
    """The item as packing sees it; its number of copies is the user's.

    What nobody asks has no objective to keep, and what was not counted yet is taken for that. A
    trial of some minutes looks like one great burst, so arrivals are taken for independent.
    """
    known = _profile(item.work, item.memory).corrected(correction)
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


@lru_cache(maxsize=16384)
def _profile(work: Work, memory: int) -> Profile:
    return profile(
        [batch for batch, _ in work.busy],
        [1] * len(work.busy),
        [seconds for _, seconds in work.busy],
        memory=memory,
        max_batch=max(1, work.max_batch),
        load_seconds=work.load_seconds,
    )


def _corrections(items: Iterable[Item]) -> dict[str, float]:
    """Observed over expected seconds of an execution, by model.

    What neighbours add is expected: executions on a server that is shared grow by its duty, and a
    model must not be taken for slower than it is because of them.
    """
    duties: dict[str, float] = {}
    counted: list[tuple[str, float, dict[str, float]]] = []
    for item in items:
        traffic, servers = item.work.traffic, [c.server for c in item.placed if c.answering]
        if traffic is None or not (traffic.busy > 0 and traffic.batch > 0 and servers):
            continue
        known = _profile(item.work, item.memory)
        expected = known.latency(traffic.batch) if known.measured else traffic.busy
        rate = traffic.rate * traffic.rows / traffic.batch / len(servers)
        own = dict.fromkeys(servers, rate * expected)
        for server, duty in own.items():
            duties[server] = duties.get(server, 0.0) + duty
        if known.measured:
            counted.append((item.model, traffic.busy / expected, own))
    return {model: ratio / _shared(own, duties) for model, ratio, own in counted}


def _shared(own: Mapping[str, float], duties: Mapping[str, float]) -> float:
    """By what executions of a model grow on its servers, for its neighbours there."""
    beside = [min(RHO_MAX, duties[server] - duty) for server, duty in own.items()]
    return float(np.mean(stretch(np.array(beside), Execution.SHARED)))
