"""Where copies of all models shall be, and the next step towards that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tightship.plan import question
from tightship.plan.placement import Standing
from tightship.plan.transition import Transition, Wishes, may_open, preferred

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tightship.plan.placement import Item, Placement, Server
    from tightship.plan.question import Asked


def place(
    items: Iterable[Item],
    servers: Sequence[Server],
    *,
    new_server: Server,
    min_servers: int,
    max_servers: int,
    wishes: Wishes | None = None,
) -> Placement:
    """Places every copy that there is room for, inside its objective where that can be kept.

    Args:
        items: the models, in any order.
        servers: those that exist and are not being deleted, in the order of preference.
        new_server: what a server that does not exist yet would be like.
        min_servers: servers that are kept even when empty.
        max_servers: at most so many, those of a replacement under way not counted.
        wishes: where copies shall be, where that is decided; no server is started then.
    """
    ordered = by_priority(items)
    count = may_open(servers, max_servers) if wishes is None else 0
    new = [replace(new_server, name=f"{new_server.name} {n + 1}") for n in range(count)]
    if wishes is None:
        wishes = _wishes(ordered, preferred(servers), new, max_servers)
    transition = Transition(servers, new, new_server.memory, wishes)
    return transition.place(ordered, min_servers=min_servers, max_servers=max_servers)


def by_priority(items: Iterable[Item]) -> list[Item]:
    """The items in the order in which they find room."""
    return sorted(items, key=lambda i: (-i.priority, -i.memory, i.model))


def _wishes(
    items: Sequence[Item], servers: Sequence[Server], new: Sequence[Server], max_servers: int
) -> Wishes:
    """Servers of each model, so that every objective is kept that can be.

    First on the servers that there are, since the node of a new one is not known; then with new
    ones in the room that there is now; where somebody finds none so, in that too which is being
    freed, then on servers that are to be replaced, then with copies on one node. At last who finds
    no server with the time goes where the memory is: answers that are late are better than none.
    """
    rooms = (*servers, *new)
    asked = question.asked(items, servers, max_servers)
    if not asked or not any(room.memory > 0 for room in rooms):
        return Wishes({}, frozenset())
    here = question.answer(asked, tuple(servers)) if servers else None
    if here is not None and not here.missing | here.stuck:
        return Wishes(here.servers, frozenset())
    leaving = {server.name for server in servers if server.standing is Standing.LEAVING}
    going = {each.item.model for each in asked if not leaving.isdisjoint(each.places)}
    freed = tuple(replace(room, used=room.used - room.freeing, freeing=0) for room in rooms)
    newer = tuple(replace(room, old=False) for room in freed)
    apart = tuple(replace(room, node=None) for room in newer)
    for room in dict.fromkeys((rooms, freed, newer, apart)):
        found = question.answer(asked, room)
        nowhere = found.missing | found.stuck & going
        if not nowhere:
            return Wishes(found.servers, found.stuck)
    patient = tuple(_patient(each) if each.item.model in nowhere else each for each in asked)
    late = found.missing | found.stuck
    return Wishes(question.answer(patient, apart).servers, late)


def _patient(asked: Asked) -> Asked:
    """The same model, taken for asked by nobody."""
    work = replace(asked.item.work, traffic=None)
    return asked._replace(item=replace(asked.item, work=work))
