"""Copies of models onto servers: first-fit by memory and duty, stable, never above capacity.

What is placed stays, unless its server leaves or cannot hold a new version beside the old one.
Room is counted as it is now, leaving copies and versions under replacement included, so every move
that this module asks for can be made before anything is broken. Copies of one model are on
different servers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from tightship.api.conditions import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tightship.api.v1alpha1 import LatencyObjective, ServingPoolSpec

TRITON_BASE = 300 * 2**20
"""Bytes that Triton and the agent's working set take before any model: a bare CPU server of 24.10
holds about 130 MiB, and loading a model needs room for its files in the page cache."""

DUTY_MAX = 0.75
"""Share of a device's time that may be promised: above it queues grow faster than any objective."""

DUTY_FLOOR = 0.001
"""Duty of a copy whose request rate is not known: one millisecond of work a second. It bounds the
models of a server at 750 until rates are measured."""


def server_memory(pool: ServingPoolSpec) -> int:
    """Bytes that models of one server may use: the device's, else the container's less the base."""
    if pool.accelerator is not None:
        return pool.accelerator.memory
    server = pool.server
    return max(0, server.resources.memory - TRITON_BASE - server.response_cache_bytes)


class Standing(IntEnum):
    """What may be done with a server; lower is preferred for new copies."""

    OPEN = 0
    STARTING = 1  # takes copies as soon as it is open
    HELD = 2  # its agent does not answer or restores: what it holds stays, nothing comes
    LEAVING = 3  # what it holds goes where there is room, nothing comes
    LOST = 4  # down for too long: its copies are placed elsewhere, its pod still counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server as the packer sees it.

    `used` is bytes in use now by whatever is on it, `freeing` those of them that belong to models
    that no item stands for: they are going.
    """

    name: str
    standing: Standing
    memory: int
    used: int = 0
    freeing: int = 0
    duty: float = DUTY_MAX
    old: bool = False  # made from a former template: new copies rather go to another


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy that is assigned to a server now. `memory` is all that goes when the copy goes."""

    server: str
    memory: int
    current: bool  # the wanted version is assigned
    answering: bool  # loaded and behind the Service
    pending: int = 0  # bytes set aside for an assigned version that is not loaded yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A model that wants copies; `memory` is bytes of one copy of the wanted version."""

    model: str
    copies: int
    memory: int
    duty: float = DUTY_FLOOR
    priority: int = 100
    slo: LatencyObjective | None = None
    placed: tuple[Copy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Why a model has fewer copies, or another version, than wanted."""

    reason: Reason
    missing: int
    server: str | None = None  # the one that it waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Servers by model, sorted; what could not be placed and why; how many servers that takes.

    `pinned` are copies that keep the version they have because no server has room for both.
    """

    servers: Mapping[str, tuple[str, ...]]
    shortages: Mapping[str, Shortage]
    pinned: frozenset[tuple[str, str]]
    wanted_servers: int


@dataclass(slots=True)
class _Room:
    """What is left of one server: now, and when everything that leaves it has gone."""

    server: Server
    now: int
    later: int
    duty: float
    models: set[str] = field(default_factory=set)

    def fits(self, item: Item, *, later: bool = False) -> bool:
        free = self.later if later else self.now
        return (
            item.model not in self.models and item.memory <= free and item.duty <= self.duty + 1e-9
        )

    def take(self, item: Item) -> None:
        self.models.add(item.model)
        self.now -= item.memory
        self.later -= item.memory
        self.duty -= item.duty


def _room(server: Server) -> _Room:
    now = server.memory - server.used
    return _Room(server, now, now + server.freeing, server.duty)


def pack(
    items: Iterable[Item],
    servers: Sequence[Server],
    *,
    new_server: Server,
    min_servers: int,
    max_servers: int,
) -> Placement:
    """Places every copy that there is room for.

    Args:
        items: the models, in any order.
        servers: those that exist and are not being deleted, in the order of preference.
        new_server: what a server that does not exist yet would be like.
        min_servers: servers that are kept even when empty.
        max_servers: at most so many, those of a replacement under way not counted.
    """
    return _Packer(servers, new_server, max_servers).place(items, min_servers)


class _Packer:
    def __init__(self, servers: Sequence[Server], new_server: Server, max_servers: int) -> None:
        ordered = sorted(servers, key=lambda s: (s.old, s.standing))
        self._rooms = {s.name: _room(s) for s in ordered}
        self._open = [r for r in self._rooms.values() if r.server.standing is Standing.OPEN]
        self._starting = [r for r in self._rooms.values() if r.server.standing is Standing.STARTING]
        self._new: list[_Room] = []
        self._new_server = new_server
        staying = sum(s.standing is not Standing.LEAVING for s in servers)
        self._may_open = max(0, max_servers - staying)
        self._max_servers = max_servers
        self._kept: dict[str, set[str]] = {}
        self._waiting: dict[str, str] = {}
        self._shortages: dict[str, Shortage] = {}
        self._pinned: set[tuple[str, str]] = set()

    def place(self, items: Iterable[Item], min_servers: int) -> Placement:
        asked = sorted(items, key=lambda i: (-i.priority, -i.memory, i.model))
        ordered = [self._possible(item) for item in asked]
        choices = [(item, *self._choose(item)) for item in ordered]
        for item, kept, leaving in choices:
            self._keep(item, kept, leaving)
        for item, kept, _ in choices:
            self._update(item, kept)
        for item, _, leaving in choices:
            self._move(item, leaving)
        for item in ordered:
            self._fresh(item)
        used = {name for names in self._kept.values() for name in names}
        return Placement(
            servers={item.model: tuple(sorted(self._kept[item.model])) for item in ordered},
            shortages=self._shortages,
            pinned=frozenset(self._pinned),
            wanted_servers=self._wanted(used | set(self._waiting.values()), min_servers),
        )

    def _wanted(self, used: set[str], min_servers: int) -> int:
        busy = sum(
            name in used or room.server.used > 0 or room.server.standing is Standing.LOST
            for name, room in self._rooms.items()
            if room.server.standing is not Standing.LEAVING
        )
        return max(min_servers, min(self._max_servers, busy + len(self._new)))

    def _possible(self, item: Item) -> Item:
        """No more copies than there may be servers, also while a replacement adds one."""
        missing = item.copies - self._max_servers
        if missing <= 0:
            return item
        self._shortages[item.model] = Shortage(
            reason=Reason.TOO_FEW_SERVERS, missing=missing, server=None
        )
        return replace(item, copies=self._max_servers)

    def _choose(self, item: Item) -> tuple[list[Copy], list[Copy]]:
        """Copies that stay on servers that stay, best first; and those on leaving servers."""

        def order(copy: Copy) -> tuple[bool, bool, int, str]:
            room = self._rooms[copy.server]
            return (not copy.current, not copy.answering, room.server.standing, copy.server)

        ranked = sorted(item.placed, key=order)
        leaving = [c for c in ranked if self._standing(c.server) is Standing.LEAVING]
        staying = [c for c in ranked if self._standing(c.server) is not Standing.LEAVING]
        return staying[: item.copies], leaving

    def _standing(self, server: str) -> Standing:
        return self._rooms[server].server.standing

    def _keep(self, item: Item, kept: list[Copy], leaving: list[Copy]) -> None:
        """Books what stays; what does not stay on its server will be free later."""
        names = {copy.server for copy in kept}
        self._kept[item.model] = names
        for copy in item.placed:
            room = self._rooms[copy.server]
            room.models.add(item.model)
            room.duty -= item.duty
            if copy.server not in names and copy not in leaving:
                room.later += copy.memory

    def _update(self, item: Item, kept: list[Copy]) -> None:
        """Room for the new version beside the old: here, else on another server, else not yet."""
        for copy in kept:
            room = self._rooms[copy.server]
            if copy.current or room.server.standing is Standing.HELD:
                continue
            extra = item.memory - copy.pending
            if extra <= room.now:
                room.now -= extra
                room.later += copy.memory - item.memory
                continue
            other = next((r for r in self._open if r.fits(item)), None)
            if other is None:
                self._pinned.add((item.model, copy.server))
                self._stay(item, copy, Reason.NO_ROOM_FOR_UPDATE)
                continue
            other.take(item)
            room.later += copy.memory
            self._kept[item.model] ^= {copy.server, other.server.name}

    def _move(self, item: Item, leaving: list[Copy]) -> None:
        """Copies on leaving servers go where there is room now; where there is none they stay."""
        kept = self._kept[item.model]
        for copy in leaving:
            if len(kept) >= item.copies:
                break
            target = next((r for r in self._open if r.fits(item)), None)
            if target is None:
                kept.add(copy.server)
                self._stay(item, copy, Reason.NO_ROOM)
                continue
            target.take(item)
            kept.add(target.server.name)

    def _stay(self, item: Item, copy: Copy, reason: Reason) -> None:
        """A copy that should go stays where it answers; a server is started for it if may be."""
        room, _ = self._start(item)
        if room is not None:
            room.take(item)
            self._waiting[f"{item.model}/{room.server.name}"] = room.server.name
            reason = Reason.AWAITING_SERVER
        self._shortages.setdefault(
            item.model, Shortage(reason=reason, missing=0, server=copy.server)
        )

    def _fresh(self, item: Item) -> None:
        """Copies that are nowhere yet: into room that is free, or will be, or on a new server."""
        kept = self._kept[item.model]
        missing = item.copies - len(kept)
        while missing > 0 and (room := next((r for r in self._open if r.fits(item)), None)):
            room.take(item)
            kept.add(room.server.name)
            missing -= 1
        if missing > 0:
            self._reserve(item, missing)

    def _reserve(self, item: Item, missing: int) -> None:
        """Room that is not there yet. Nothing that is served waits for it, so waiting is safe."""
        reason, server = None, None
        for _ in range(missing):
            room, why = self._future(item)
            if room is None:
                reason, server = why, None
                break
            room.take(item)
            self._waiting[f"{item.model}/{room.server.name}"] = room.server.name
            reason, server = reason or why, server or room.server.name
        if reason is not None:
            also = self._shortages.get(item.model)
            missing += also.missing if also else 0
            self._shortages[item.model] = Shortage(reason=reason, missing=missing, server=server)

    def _future(self, item: Item) -> tuple[_Room | None, Reason]:
        for room in self._open:
            if room.fits(item, later=True):
                return room, Reason.AWAITING_ROOM
        return self._start(item)

    def _start(self, item: Item) -> tuple[_Room | None, Reason]:
        """Room on a server that is being started, or on one more."""
        for room in [*self._starting, *self._new]:
            if room.fits(item):
                return room, Reason.AWAITING_SERVER
        if item.memory > self._new_server.memory:
            return None, Reason.TOO_LARGE
        if self._may_open > len(self._new):
            spec = self._new_server
            self._new.append(_Room(spec, spec.memory, spec.memory, spec.duty))
            return self._new[-1], Reason.AWAITING_SERVER
        return None, Reason.NO_ROOM
