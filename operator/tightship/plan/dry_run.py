"""What a pool would do, as its status tells it while `spec.dryRun` is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tightship.api.conditions import Reason
from tightship.plan import figures
from tightship.plan.placement import Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tightship.plan.fleet import Fleet
    from tightship.plan.placement import Placement
    from tightship.plan.targets import Target

CROWDED = "Crowded"
"""Why a model is told to wait that has all its copies: its objective cannot be kept."""


def plan_json(
    fleet: Fleet,
    placement: Placement,
    targets: Iterable[Target],
    possible: Mapping[str, Any],
    price: float | None,
) -> dict[str, Any]:
    """`status.plan`: servers with their models, what moves, and who would wait; `price` an hour.

    `possible` says which servers would be given up if it stayed so.
    """
    held: dict[str, list[str]] = {}
    for model, servers in sorted(placement.wishes.items()):
        for server in servers:
            held.setdefault(server, []).append(model)
    cost = {} if price is None else {"costPerHour": figures.money(price * len(held))}
    parts = {
        "placement": [{"server": name, "models": held[name]} for name in sorted(held)],
        "moves": [*_moves(fleet, placement)],
        "waiting": [*_waiting(placement, targets)],
        "consolidation": possible,
    }
    return {"servers": len(held), **cost, **{name: part for name, part in parts.items() if part}}


def _moves(fleet: Fleet, placement: Placement) -> Iterator[dict[str, Any]]:
    """Models whose servers differ from those that they are assigned to now."""
    now: dict[str, set[str]] = {}
    for view in fleet.views:
        for model in view.assigned if view.standing is not Standing.LOST else ():
            now.setdefault(model, set()).add(view.name)
    for model in sorted({*now, *placement.wishes}):
        before, after = now.get(model, set()), set(placement.wishes.get(model, ()))
        going, coming = sorted(before - after), sorted(after - before)
        if going or coming:
            leaves = {"from": going} if going else {}
            yield {"model": model, **leaves, **({"to": coming} if coming else {})}


def _waiting(placement: Placement, targets: Iterable[Target]) -> Iterator[dict[str, Any]]:
    """Models without an artifact, without room, or without the time for their objective."""
    for target in sorted(targets, key=lambda found: found.model.name):
        name = target.model.name
        lacking = target.copies - len(placement.wishes.get(name, ()))
        shortage = placement.shortages.get(name)
        if target.wanted is None:
            yield {"model": name, "reason": Reason.AWAITING_CONVERSION.value}
        elif lacking > 0:
            reason = shortage.reason if shortage else Reason.NO_ROOM
            yield {"model": name, "reason": reason.value}
        elif name in placement.crowded:
            yield {"model": name, "reason": CROWDED}
