"""What servers hold, in bytes, and servers and copies as the packer sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightship.plan.placement import Copy, Server, Standing

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from tightship.api.agent import HeldModel, ModelAssignment
    from tightship.plan.fleet import Sight, View


def usage(assigned: Mapping[str, ModelAssignment], held: Mapping[str, HeldModel]) -> int:
    """Bytes that a server's models need now: both versions of those under change.

    What is assigned counts by its profile, or as its agent measured it when it took more; what is
    held beside it (a version that is being replaced, a model that is being unloaded) as measured.
    """
    total = sum(entry.memory for entry in assigned.values())
    for name, model in held.items():
        entry, measured = assigned.get(name), model.memory
        if model.digest is None:
            continue
        if entry is None or _differs(entry, model):
            total += measured if measured is not None else (entry.memory if entry else 0)
        else:
            total += max(0, (measured or 0) - entry.memory)
    return total


def need(wanted: ModelAssignment, sights: Iterable[Sight]) -> int:
    """Bytes that one more copy will take: by the profile, or what loading took where it was more.

    Servers of a pool are alike, so what one of them measured holds for the others.
    """
    held = (sight.held for sight in sights)
    found = [h.memory for h in held if h and h.digest == wanted.digest and h.memory is not None]
    return max([wanted.memory, *found])


def pending(entry: ModelAssignment, held: HeldModel | None) -> int:
    """Bytes that `usage` counts for an assigned version that another one may still replace."""
    loaded = held is not None and held.digest is not None and not _differs(entry, held)
    return 0 if loaded else entry.memory


def _differs(entry: ModelAssignment, held: HeldModel) -> bool:
    return entry.digest != held.digest or (held.config is not None and held.config != entry.config)


def packable(view: View, models: Container[str]) -> Server:
    """The server as the packer sees it; what is not among `models` is going."""
    gone = {name for name in {*view.assigned, *view.held} if name not in models}
    gone |= {name for name in view.held if name not in view.assigned}
    freeing = usage(
        {name: entry for name, entry in view.assigned.items() if name in gone},
        {name: held for name, held in view.held.items() if name in gone},
    )
    return Server(
        name=view.name,
        standing=view.standing,
        memory=view.capacity,
        node=view.fact.node,
        used=view.used,
        freeing=freeing,
        old=view.old,
    )


def copies(sights: Iterable[Sight], wanted: ModelAssignment, *, held: bool) -> tuple[Copy, ...]:
    """Where a model is assigned now; a held model's version is the wanted one wherever it is."""
    return tuple(
        Copy(
            server=sight.server,
            memory=usage(
                {wanted.name: sight.entry} if sight.entry else {},
                {wanted.name: sight.held} if sight.held else {},
            ),
            current=held or sight.entry is None or same_load(sight.entry, wanted),
            answering=sight.answering,
            counted=sight.held is not None and sight.held.traffic is not None,
            pending=pending(sight.entry, sight.held) if sight.entry else 0,
        )
        for sight in sights
        if sight.standing is not Standing.LOST and (sight.entry is not None or sight.unknown)
    )


def same_load(one: ModelAssignment, other: ModelAssignment) -> bool:
    """Whether going from one to the other loads nothing."""
    return one.digest == other.digest and one.config == other.config
