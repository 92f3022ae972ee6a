"""Whether a pool is at rest: nothing starts, converts, loads or waits, all traffic is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightship.api.conditions import ConditionStatus, Reason
from tightship.plan.placement import Standing
from tightship.plan.rollout import carried_out, update_fails

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tightship.plan.fleet import Fleet, Sight
    from tightship.plan.memo import Memo
    from tightship.plan.placement import Item, Placement
    from tightship.plan.snapshot import Snapshot
    from tightship.plan.targets import Target

SERVERS = "Servers start, go, are replaced or do not answer."
CONVERTING = "Models are being converted."
WAITING = "Models wait for room, or for time on a server."
LOADING = "Copies are being loaded or moved, or cannot be."
UNCOUNTED = "Requests to some copies have not been counted for a minute yet."
NEVER_PLACED = frozenset({Reason.TOO_LARGE, Reason.TOO_FEW_SERVERS})
"""Shortages that no other placement would end."""


def unrest(
    snapshot: Snapshot,
    fleet: Fleet,
    targets: Sequence[Target],
    placement: Placement,
    memo: Memo,
) -> tuple[Reason, str] | None:
    """Why nothing can be said of servers that are not needed; None while all is at rest."""
    if _servers_change(snapshot, fleet, placement):
        return Reason.AWAITING_REST, SERVERS
    if any(s.reason not in NEVER_PLACED for s in placement.shortages.values()):
        return Reason.AWAITING_REST, WAITING
    if placement.crowded:
        return Reason.AWAITING_REST, WAITING
    if fleet.sights.keys() - {t.model.name for t in targets}:
        return Reason.AWAITING_REST, LOADING
    found = {*_models(fleet, targets, placement, memo)}
    order = (CONVERTING, LOADING)
    message = next((text for text in order if text in found), None)
    if message is not None:
        return Reason.AWAITING_REST, message
    return (Reason.AWAITING_TRAFFIC, UNCOUNTED) if UNCOUNTED in found else None


def disturbed(
    fleet: Fleet, targets: Iterable[Target], items: Sequence[Item], max_servers: int
) -> str | None:
    """Why copies are not to be moved on from servers that are being given up; None to go on."""
    if fleet.rolling or any(v.going or v.standing is not Standing.OPEN for v in fleet.views):
        return SERVERS
    if lacking(items, max_servers) or not all(c.current for i in items for c in i.placed):
        return LOADING
    for found in targets:
        if _converts(found):
            return CONVERTING
        if found.wanted and update_fails(found.wanted, fleet.seen(found.model.name)):
            return LOADING
    return None


def lacking(items: Iterable[Item], max_servers: int) -> bool:
    """Whether some model has fewer copies than it may have."""
    return any(len(item.placed) < min(item.copies, max_servers) for item in items)


def _servers_change(snapshot: Snapshot, fleet: Fleet, placement: Placement) -> bool:
    deployment = snapshot.deployment
    counts = {len(snapshot.servers), len(fleet.views), placement.wanted_servers}
    counts.add(deployment.replicas if deployment else 0)
    ready = all(v.standing is Standing.OPEN and v.fact.ready for v in fleet.views)
    return fleet.rolling or len(counts) > 1 or not ready


def _models(
    fleet: Fleet, targets: Iterable[Target], placement: Placement, memo: Memo
) -> Iterator[str]:
    for found in targets:
        name = found.model.name
        places = placement.servers.get(name, ())
        told = memo.of(name, _stirs, found, places, fleet.seen(name))
        if told is not None:
            yield told


def _stirs(found: Target, places: Sequence[str], sights: Sequence[Sight]) -> str | None:
    """What a model is in the middle of."""
    wanted = found.wanted
    if _converts(found):
        return CONVERTING
    if wanted is None:
        return LOADING if sights else None
    if {s.server for s in sights} != set(places) or not all(s.answering for s in sights):
        return LOADING
    if not (wanted.held or all(carried_out(wanted.entry, s) for s in sights)):
        return LOADING
    counted = all(s.held is not None and s.held.traffic is not None for s in sights)
    return None if counted else UNCOUNTED


def _converts(found: Target) -> bool:
    return found.outcome.condition.status is ConditionStatus.UNKNOWN and not found.model.paused
