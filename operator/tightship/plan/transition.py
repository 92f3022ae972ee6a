"""From where copies are to where they shall be: what may come now, what stays, what waits and why.

Where copies shall be is decided by `plan.pack`. Here room is counted as it is now, leaving copies
and versions under replacement included, so every move can be made before anything is broken.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from tightship.api.conditions import Reason
from tightship.plan.placement import Placement, Server, Shortage, Standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from tightship.plan.placement import Copy, Item


class Wishes(NamedTuple):
    """Servers where each model shall be, and models for which those have not the time."""

    servers: Mapping[str, Sequence[str]]
    crowded: frozenset[str]


def may_open(servers: Iterable[Server], max_servers: int) -> int:
    """How many more servers the pool may have, those that leave not counted."""
    staying = sum(s.standing is not Standing.LEAVING for s in servers)
    return max(0, max_servers - staying)


def preferred(servers: Iterable[Server]) -> list[Server]:
    """Servers in the order in which they are filled: new before old, open before others."""
    return sorted(servers, key=lambda s: (s.old, s.standing))


def staying(
    item: Item, standings: Mapping[str, Standing], wish: Collection[str] = ()
) -> tuple[list[Copy], list[Copy]]:
    """Copies on servers that stay, as many as wanted, best first; and those on leaving servers."""

    def order(copy: Copy) -> tuple[bool, bool, bool, int, str]:
        wished = copy.server in wish
        return (
            not wished,
            not copy.current,
            not copy.answering,
            standings[copy.server],
            copy.server,
        )

    ranked = sorted(item.placed, key=order)
    leaving = [c for c in ranked if standings[c.server] is Standing.LEAVING]
    kept = [c for c in ranked if standings[c.server] is not Standing.LEAVING]
    return kept[: item.copies], leaving


@dataclass(slots=True)
class _Room:
    """Bytes that are left of one server: now, and when everything that leaves it has gone."""

    server: Server
    now: int
    later: int
    models: set[str] = field(default_factory=set)

    def fits(self, item: Item) -> bool:
        return item.model not in self.models and item.memory <= self.now

    def take(self, item: Item) -> None:
        self.models.add(item.model)
        self.now -= item.memory
        self.later -= item.memory


def _room(server: Server) -> _Room:
    now = server.memory - server.used
    return _Room(server, now, now + server.freeing)


class Transition:
    """The step from the servers as they are towards `wishes`.

    `new` are those that may be started, of `new_memory` bytes; a wish may name one of them.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        new: Sequence[Server],
        new_memory: int,
        wishes: Wishes,
    ) -> None:
        ordered = preferred(servers)
        self._standings = {s.name: s.standing for s in ordered}
        self._rooms = {s.name: _room(s) for s in ordered}
        self._open = [r for r in self._rooms.values() if r.server.standing is Standing.OPEN]
        self._new = {s.name: _room(s) for s in new}
        self._wishes, self._crowded = wishes
        self._largest = max(new_memory, *(s.memory for s in servers), 0)
        self._started: set[str] = set()
        self._kept: dict[str, set[str]] = {}
        self._waiting: set[str] = set()
        self._shortages: dict[str, Shortage] = {}
        self._pinned: set[tuple[str, str]] = set()

    def place(self, items: Sequence[Item], *, min_servers: int, max_servers: int) -> Placement:
        """Decides about every item, in the order given."""
        ordered = [self._possible(item, max_servers) for item in items]
        wishes = self._wishes
        choices = [
            (item, *staying(item, self._standings, wishes.get(item.model, ()))) for item in ordered
        ]
        for item, kept, leaving in choices:
            self._keep(item, kept, leaving)
        for item, kept, _ in choices:
            self._update(item, kept)
        for item, kept, leaving in choices:
            self._move(item, leaving)
            self._shift(item, kept)
        for item in ordered:
            self._fresh(item)
        used = {name for names in self._kept.values() for name in names} | self._waiting
        return Placement(
            servers={item.model: tuple(sorted(self._kept[item.model])) for item in ordered},
            wishes=self._wishes,
            shortages=self._shortages,
            pinned=frozenset(self._pinned),
            crowded=self._crowded,
            wanted_servers=self._wanted(used, min_servers, max_servers),
        )

    def _wanted(self, used: set[str], min_servers: int, max_servers: int) -> int:
        busy = sum(
            name in used or room.server.used > 0 or room.server.standing is Standing.LOST
            for name, room in self._rooms.items()
            if room.server.standing is not Standing.LEAVING
        )
        return max(min_servers, min(max_servers, busy + len(self._started)))

    def _possible(self, item: Item, max_servers: int) -> Item:
        """No more copies than there may be servers, also while a replacement adds one."""
        missing = item.copies - max_servers
        if missing <= 0:
            return item
        self._shortages[item.model] = Shortage(
            reason=Reason.TOO_FEW_SERVERS, missing=missing, server=None
        )
        return replace(item, copies=max_servers)

    def _keep(self, item: Item, kept: list[Copy], leaving: list[Copy]) -> None:
        """Books what stays; what does not stay on its server will be free later."""
        names = {copy.server for copy in kept}
        self._kept[item.model] = names
        for copy in item.placed:
            room = self._rooms[copy.server]
            room.models.add(item.model)
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
            other = next((r for r in self._places(item, self._open) if r.fits(item)), None)
            if other is None:
                self._pinned.add((item.model, copy.server))
                self._stay(item, copy, Reason.NO_ROOM_FOR_UPDATE)
                continue
            self._exchange(item, copy, other)

    def _exchange(self, item: Item, copy: Copy, other: _Room) -> None:
        """The copy comes to another server, and leaves its own when it is there."""
        other.take(item)
        self._rooms[copy.server].later += copy.memory
        self._kept[item.model] ^= {copy.server, other.server.name}

    def _move(self, item: Item, leaving: list[Copy]) -> None:
        """Copies on leaving servers go where there is room now; where there is none they stay."""
        kept = self._kept[item.model]
        for copy in leaving:
            if len(kept) >= item.copies:
                break
            target = next((r for r in self._wished(item) if r.fits(item)), None)
            if target is None:
                kept.add(copy.server)
                self._stay(item, copy, Reason.NO_ROOM)
                continue
            target.take(item)
            kept.add(target.server.name)

    def _shift(self, item: Item, kept: list[Copy]) -> None:
        """Copies that shall be elsewhere go there once there is room, and serve until then."""
        wish, now = set(self._wishes.get(item.model, ())), self._kept[item.model]
        for copy in kept:
            if copy.server in wish or copy.server not in now or not copy.current:
                continue
            target = next((r for r in self._wished(item) if r.fits(item)), None)
            if target is not None:
                self._exchange(item, copy, target)
                continue
            coming = next((r for r in self._coming(item) if r.fits(item)), None)
            if coming is not None:
                self._await(item, coming)

    def _stay(self, item: Item, copy: Copy, reason: Reason) -> None:
        """A copy that should go stays where it answers; a server is started for it if may be."""
        room = next((r for r in self._coming(item) if r.fits(item)), None)
        if room is not None:
            self._await(item, room)
            reason = Reason.AWAITING_SERVER
        self._shortages.setdefault(
            item.model, Shortage(reason=reason, missing=0, server=copy.server)
        )

    def _fresh(self, item: Item) -> None:
        """Copies that are nowhere yet: into room that is free, or will be, or on a new server."""
        kept = self._kept[item.model]
        missing = item.copies - len(kept)
        while missing > 0 and (room := next((r for r in self._wished(item) if r.fits(item)), None)):
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
            self._await(item, room)
            reason, server = reason or why, server or room.server.name
        if reason is not None:
            also = self._shortages.get(item.model)
            missing += also.missing if also else 0
            self._shortages[item.model] = Shortage(reason=reason, missing=missing, server=server)

    def _future(self, item: Item) -> tuple[_Room | None, Reason]:
        for room in self._wished(item):
            if item.model not in room.models and item.memory <= room.later:
                return room, Reason.AWAITING_ROOM
        coming = next((r for r in self._coming(item) if r.fits(item)), None)
        if coming is not None:
            return coming, Reason.AWAITING_SERVER
        return None, Reason.TOO_LARGE if item.memory > self._largest else Reason.NO_ROOM

    def _await(self, item: Item, room: _Room) -> None:
        room.take(item)
        self._waiting.add(room.server.name)
        if room.server.name in self._new:
            self._started.add(room.server.name)

    def _wished(self, item: Item) -> Iterator[_Room]:
        """Open servers where the model shall be."""
        for name in self._wishes.get(item.model, ()):
            if self._standings.get(name) is Standing.OPEN:
                yield self._rooms[name]

    def _coming(self, item: Item) -> Iterator[_Room]:
        """Servers where the model shall be that are not there yet."""
        for name in self._wishes.get(item.model, ()):
            if name in self._new:
                yield self._new[name]
            elif self._standings[name] is Standing.STARTING:
                yield self._rooms[name]

    def _places(self, item: Item, rooms: list[_Room]) -> list[_Room]:
        """These servers, those where the model shall be first."""
        wish = self._wishes.get(item.model, ())
        return sorted(rooms, key=lambda room: room.server.name not in wish)
