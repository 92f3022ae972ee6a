"""The status of the ServingPool as JSON: its servers, their memory, and how far an update is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tightship.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    merge_conditions,
)
from tightship.api.v1alpha1 import ServingPoolSpec
from tightship.plan import figures
from tightship.plan.placement import Standing
from tightship.plan.snapshot import InvalidSpec

if TYPE_CHECKING:
    from tightship.plan.capacity import Capacity
    from tightship.plan.consolidation import Told
    from tightship.plan.fleet import Fleet, View
    from tightship.plan.placement import Placement
    from tightship.plan.rollout import Steps
    from tightship.plan.snapshot import PoolFact

_NAMED = 5  # models that a message names


def pool_status(
    pool: PoolFact,
    fleet: Fleet,
    steps: Steps,
    placement: Placement,
    held: Capacity | None,
    saving: Told,
    *,
    models: int,
    revision: str,
) -> dict[str, Any]:
    """The whole status.

    `held` is what the nodes can hold, where that is known or asked for; `saving` is what is told of
    servers that are not needed.
    """
    desired = placement.wanted_servers
    stuck = frozenset(placement.shortages) | steps.failing  # cannot leave an old server
    ready = sum(v.fact.ready for v in fleet.views)
    conditions = [
        _ready(pool, fleet, ready, desired),
        *([held.condition] if held else []),
        _updated(fleet, steps, stuck),
        *([saving.condition] if saving.condition else []),
    ]
    figured = held.figures() if held else {}
    return {
        "observedGeneration": pool.generation,
        "desiredServers": desired,
        "servers": len(fleet.views),
        "readyServers": ready,
        **_of_the_spec(pool, len(fleet.views)),
        **({"capacity": figured} if figured else {}),
        **({"consolidation": saving.status} if saving.status else {}),
        "models": models,
        "revision": revision,
        "serverList": [_server(v) for v in sorted(fleet.views, key=lambda v: v.name)],
        "conditions": merge_conditions(
            pool.status.get("conditions", ()), conditions, pool.generation, fleet.now
        ),
    }


def invalid_status(pool: PoolFact, message: str, now: float) -> dict[str, Any]:
    """A pool whose spec cannot be carried out keeps what is known of its servers."""
    conditions = [
        Condition(
            type=ConditionType.READY,
            status=ConditionStatus.FALSE,
            reason=Reason.POOL_INVALID,
            message=message,
        ),
        Condition(
            type=ConditionType.UPDATED,
            status=ConditionStatus.UNKNOWN,
            reason=Reason.POOL_INVALID,
            message="Nothing is changed while the spec is invalid.",
        ),
    ]
    live = pool.status.get("conditions", ())
    kept = {name: part for name, part in pool.status.items() if name != "consolidation"}
    return {
        **kept,
        "observedGeneration": pool.generation,
        "conditions": merge_conditions(live, conditions, pool.generation, now),
    }


def _of_the_spec(pool: PoolFact, servers: int) -> dict[str, Any]:
    """What isolates a server, and what the servers that are there cost, where the spec says it."""
    if isinstance(pool.spec, InvalidSpec):
        return {}
    device, price = pool.spec.accelerator, pool.spec.price_per_hour
    return {
        **({"isolation": device.isolation.value} if device else {}),
        **({"costPerHour": figures.money(price * servers)} if price is not None else {}),
    }


def _server(view: View) -> dict[str, Any]:
    return {
        "name": view.name,
        "state": _state(view),
        "models": len(view.assigned),
        "memory": {"capacity": view.capacity, "used": view.used},
    }


def _state(view: View) -> str:
    if view.going:
        return "Leaving"
    if view.fact.placed and not view.reachable:
        return "Unreachable"
    if view.fact.ready:
        return "Ready"
    return "NotReady" if view.fact.placed else "Starting"


def _ready(pool: PoolFact, fleet: Fleet, ready: int, desired: int) -> Condition:
    message = f"{ready} of {desired} servers are ready."
    status, reason = ConditionStatus.TRUE, Reason.SERVERS_READY
    if ready < desired:
        status, reason = ConditionStatus.UNKNOWN, Reason.SERVERS_STARTING
        waiting = sorted({v.fact.waiting for v in fleet.views if v.fact.waiting})
        message += "".join(f" {text}" for text in waiting[:1])
    if isinstance(pool.spec, ServingPoolSpec) and pool.spec.dry_run:
        reason = Reason.DRY_RUN
        message += " A dry run: status.plan says what would be done, and nothing is."
    if pool.paused:
        reason = Reason.PAUSED
        message += " Paused: nothing is changed until the annotation is removed."
    return Condition(type=ConditionType.READY, status=status, reason=reason, message=message)


def _updated(fleet: Fleet, steps: Steps, stuck: frozenset[str]) -> Condition:
    kind = ConditionType.UPDATED
    if not fleet.rolling:
        message = "Every server is made from the present template."
        return Condition(
            type=kind, status=ConditionStatus.TRUE, reason=Reason.SERVERS_UPDATED, message=message
        )
    old = sum(v.old for v in fleet.views)
    message = f"{old} of {len(fleet.views)} servers are made from a former template."
    blocking = [m for m in steps.blockers if m in stuck]
    if blocking and any(v.standing is Standing.OPEN and not v.fact.placed for v in fleet.views):
        named = ", ".join(blocking[:_NAMED])
        message += f" A new server cannot take over {named}: see the status of these models."
        status, reason = ConditionStatus.FALSE, Reason.UPDATE_BLOCKED
    else:
        status, reason = ConditionStatus.UNKNOWN, Reason.SERVERS_UPDATING
    return Condition(type=kind, status=status, reason=reason, message=message)
