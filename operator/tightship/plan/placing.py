"""Where copies of all models shall be: servers as devices, items as models of `plan.pack`."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tightship.plan.pack import DeviceType, Fleet, Model
from tightship.plan.pack.columns import columns
from tightship.plan.pack.feasibility import RHO_MAX, Execution, stretch
from tightship.plan.pack.lanes import lanes
from tightship.plan.pack.profile import profile
from tightship.plan.placement import Standing
from tightship.plan.transition import Transition, may_open, preferred, staying

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tightship.plan.pack import Profile
    from tightship.plan.placement import Item, Placement, Server, Work

SERVER = "server"
"""The one type of device: the servers of a pool are alike."""

IDLE_DUTY = 0.001
"""Duty of a copy whose requests nobody has counted yet: one millisecond of work a second. It bounds
the models of a server at 750 until they are."""


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
) -> dict[str, tuple[str, ...]]:
    """Servers of each model, so that every objective is kept that can be.

    What is placed stays, so there is nothing to find where nothing is missing. Else it is looked
    for without new copies on servers that are to be replaced, and on those too where that does not
    do.
    """
    wanted = [replace(i, copies=min(i.copies, max_servers)) for i in items if i.copies > 0]
    standings = {server.name: server.standing for server in servers}
    kept = {i.model: tuple(c.server for c in staying(i, standings)[0]) for i in wanted}
    rooms = [*servers, *new]
    if all(len(kept[item.model]) == item.copies for item in wanted):
        return kept
    if not any(room.memory > 0 for room in rooms):
        return {}
    found, complete = _Wishes(wanted, rooms, kept, spare_old=True).found()
    if not complete and any(room.old for room in rooms):
        found, _ = _Wishes(wanted, rooms, kept, spare_old=False).found()
    return found


class _Wishes:
    """One run of the packing; `rooms` are devices, numbered in their order."""

    def __init__(
        self,
        items: Sequence[Item],
        rooms: Sequence[Server],
        kept: Mapping[str, Sequence[str]],
        *,
        spare_old: bool,
    ) -> None:
        self._items, self._rooms, self._kept = items, rooms, kept
        barred = {Standing.HELD, Standing.LEAVING, Standing.LOST}
        closed = [r.standing in barred or (spare_old and r.old) for r in rooms]
        able = [room.memory for room, shut in zip(rooms, closed, strict=True) if not shut]
        self._kind = DeviceType(
            name=SERVER,
            memory=max(1, min(able, default=1)),
            count=len(rooms),
            nodes=tuple(room.node or room.name for room in rooms),
            closed=frozenset(np.flatnonzero(closed).tolist()),
        )

    def found(self) -> tuple[dict[str, tuple[str, ...]], bool]:
        """Servers by model, and whether every copy has one."""
        corrections = _corrections(self._items)
        models = [_model(item, corrections.get(item.model, 1.0)) for item in self._items]
        ordered, asked = columns(models)
        (lane,) = lanes(ordered, asked, Fleet(types=(self._kind,)), kappa=1.0)
        state, rows = lane.devices(), {name: row for row, name in enumerate(asked.names)}
        at = {self._rooms[number].name: n for n, number in enumerate(lane.numbers.tolist())}
        for item in self._items:
            for server in self._kept[item.model]:
                state.put(rows[item.model], at[server])
        complete = True
        for item in self._items:
            for _ in range(item.copies - len(self._kept[item.model])):
                complete &= state.place(rows[item.model]) is not None
        names = {n: name for name, n in at.items()}
        return {
            item.model: tuple(names[n] for n in state.on.get(rows[item.model], ()))
            for item in self._items
        }, complete


def _model(item: Item, correction: float) -> Model:
    """The item as packing sees it; its number of copies is the user's."""
    known = _profile(item.work, item.memory).corrected(correction)
    traffic, rate, cv = item.work.traffic, 0.0, 1.0
    if traffic is not None:
        rate, cv = traffic.rate * max(1.0, traffic.rows), traffic.cv or 1.0
    idle = IDLE_DUTY * item.copies / known.latency(1) if known.measured else 0.0
    return Model(
        name=item.model,
        profiles={SERVER: known},
        rate=max(rate, idle),
        cv=cv,
        slo=item.work.slo if item.work.slo is not None else math.inf,
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
    duties: dict[str, dict[str, float]] = {}
    counted: list[tuple[Item, float]] = []
    for item in items:
        traffic, servers = item.work.traffic, [c.server for c in item.placed if c.answering]
        if traffic is None or not (traffic.busy > 0 and traffic.batch > 0 and servers):
            continue
        expected = _expected(item, traffic.batch)
        if expected > 0:
            counted.append((item, expected))
        rate = traffic.rate * traffic.rows / traffic.batch / len(servers)
        for server in servers:
            duties.setdefault(server, {})[item.model] = rate * (expected or traffic.busy)
    return {
        item.model: _observed(item) / (expected * _shared(item, duties))
        for item, expected in counted
    }


def _expected(item: Item, batch: float) -> float:
    """Seconds of an execution by the profile; 0 without one."""
    known = _profile(item.work, item.memory)
    return known.latency(batch) if known.measured else 0.0


def _observed(item: Item) -> float:
    traffic = item.work.traffic
    return traffic.busy if traffic else 0.0


def _shared(item: Item, duties: Mapping[str, Mapping[str, float]]) -> float:
    """By what executions of the model grow on its servers, for its neighbours there."""
    beside = [
        min(RHO_MAX, sum(there.values()) - there[item.model])
        for there in duties.values()
        if item.model in there
    ]
    return float(np.mean(stretch(np.array(beside), Execution.SHARED)))
