"""Servers that a pool could do without: which, how many copies would move, and where they go.

A server is given up wholly or not at all. What is required of the others then is stricter than what
is required to stay: HEADROOM times the load and SPARE_MEMORY times the bytes, so that the server is
not wanted back as soon as figures move by what they may move without a word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from tightship.plan import question
from tightship.plan.transition import Wishes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tightship.plan.placement import Item, Server
    from tightship.plan.question import Answer, Asked

HEADROOM: Final = 1.25
"""Times the load that the remaining servers must have the time for. An agent tells a rate again
only when it has changed by more than a fifth, so the true one may be that much higher."""

SPARE_MEMORY: Final = 1.05
"""Times the bytes that they must have: a copy may measure a little more at its next load."""


class Saving(NamedTuple):
    """Servers that can be given up, in the order in which they are; copies that move for it."""

    servers: tuple[str, ...]
    copies: int


class Bounds(NamedTuple):
    """What may be given up in one go.

    `most` servers, a `budget` of all copies (one server always may be), none that is `spared`.
    """

    most: int
    budget: float
    spared: frozenset[str] = frozenset()


def saving(
    items: Iterable[Item], servers: Sequence[Server], bounds: Bounds, known: Sequence[str] = ()
) -> Saving | None:
    """What can be given up; of servers that could be before, `known`, what still can be.

    Args:
        items: the models, each with all its copies where they shall be.
        servers: all servers of the pool.
        bounds: how much may be given up.
        known: servers that were found before; another choice is made only when none of them can be
            given up any more.
    """
    if bounds.most <= 0:
        return None
    asked = question.asked(items, servers, len(servers))
    held = _held(asked)
    rooms = tuple(servers)
    before = [n for n in known if held.get(n) and n not in bounds.spared][: bounds.most]
    for count in range(len(before), 0, -1):
        if _works(asked, rooms, frozenset(before[:count])):
            return _told(before[:count], held)
    found = _cut(_emptied(asked, rooms, bounds.spared), held, bounds)
    for count in dict.fromkeys((len(found), 1)):
        if found and _works(asked, rooms, frozenset(found[:count])):
            return _told(found[:count], held)
    return None


def fitting(items: Iterable[Item], servers: Sequence[Server]) -> list[Item]:
    """Items that some server could hold; the others are nowhere, whatever is given up."""
    largest = max((server.memory for server in servers), default=0)
    return [item for item in items if item.memory <= largest]


def way(
    items: Iterable[Item], servers: Sequence[Server], given_up: frozenset[str]
) -> Wishes | None:
    """Where copies shall be while these servers are emptied; None where that is not possible.

    The room is left that was required at first where that can be had. Where the load has risen
    meanwhile, room for it as it is will do: what has begun is rather finished than undone.
    """
    asked = question.asked(items, servers, len(servers))
    rooms = tuple(servers)
    for factor in (HEADROOM, 1.0):
        found = _closed(asked, rooms, given_up, factor)
        if found is not None:
            return Wishes(found.servers, frozenset())
    return None


def _held(asked: Iterable[Asked]) -> dict[str, int]:
    """Copies on each server."""
    held: dict[str, int] = {}
    for each in asked:
        for name in each.places:
            held[name] = held.get(name, 0) + 1
    return held


def _told(names: Sequence[str], held: dict[str, int]) -> Saving:
    return Saving(tuple(names), sum(held[name] for name in names))


def _emptied(
    asked: tuple[Asked, ...], rooms: tuple[Server, ...], spared: frozenset[str]
) -> list[str]:
    """Servers that can be emptied one after another, as the packing core finds them."""
    held = _held(asked)
    loaded, snug = _loaded(asked, HEADROOM), _snug(rooms)
    tight = _tight(loaded, snug)
    found = question.answer(loaded, snug, resting=tight, spared=spared)
    used = {name for places in found.servers.values() for name in places}
    return sorted(set(held) - used - tight, key=lambda name: (held[name], name))


def _cut(names: Sequence[str], held: dict[str, int], bounds: Bounds) -> list[str]:
    """The first of them, within the budget; one server always is."""
    left = bounds.budget * sum(held.values())
    taken: list[str] = []
    for name in names[: bounds.most]:
        left -= held[name]
        if taken and left < 0:
            break
        taken.append(name)
    return taken


def _works(asked: tuple[Asked, ...], rooms: tuple[Server, ...], names: frozenset[str]) -> bool:
    """Whether these can be emptied with room to spare, and would not be wanted back.

    With the load as it is nothing more would move then. With HEADROOM copies might, but the servers
    that are left would do, and who then misses its objective by its own load has a server alone.
    """
    found = _closed(asked, rooms, names, HEADROOM)
    if found is None:
        return False
    after = tuple(each._replace(places=found.servers[each.item.model]) for each in asked)
    freed = tuple(replace(r, used=0, freeing=0) if r.name in names else r for r in rooms)
    again = question.answer(after, freed)
    same = all(sorted(again.servers[each.item.model]) == sorted(each.places) for each in after)
    if not same or again.missing | again.stuck:
        return False
    most = question.answer(_loaded(after, HEADROOM), _snug(freed), closed=names)
    held = _held(after)
    strained = {w.model for w in most.waits} - {w.model for w in again.waits}
    alone = all(
        held[name] == 1 for each in after if each.item.model in strained for name in each.places
    )
    return alone and not most.missing | most.stuck


def _closed(
    asked: tuple[Asked, ...], rooms: tuple[Server, ...], names: frozenset[str], factor: float
) -> Answer | None:
    """Where copies shall be without these servers; None where anything else had to move for it."""
    tight: frozenset[str] = frozenset()
    if factor > 1.0:
        asked, rooms = _loaded(asked, factor), _snug(rooms)
        tight = _tight(asked, rooms)
    found = question.answer(asked, rooms, closed=names, resting=tight)
    late = found.missing | found.stuck
    if names & tight or late or not found.left <= names:
        return None
    return found


def _tight(asked: tuple[Asked, ...], rooms: tuple[Server, ...]) -> frozenset[str]:
    """Servers that are too small for this load with what they have: they take nothing more."""
    found = question.answer(asked, rooms)
    waiting = {wait.model for wait in found.waits}
    late = {name for each in asked if each.item.model in waiting for name in each.places}
    return found.left | late


def _loaded(asked: Iterable[Asked], factor: float) -> tuple[Asked, ...]:
    """The models, asked so many times as much."""
    return tuple(each._replace(item=_busier(each.item, factor)) for each in asked)


def _busier(item: Item, factor: float) -> Item:
    traffic = item.work.traffic
    if traffic is None:
        return item
    more = replace(item.work, traffic=replace(traffic, rate=traffic.rate * factor))
    return replace(item, work=more)


def _snug(rooms: Iterable[Server]) -> tuple[Server, ...]:
    """The servers with a little less memory than they have."""
    return tuple(replace(room, memory=int(room.memory / SPARE_MEMORY)) for room in rooms)
