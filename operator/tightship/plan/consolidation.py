"""Giving up servers over time: since when it has been possible, when copies move, when not.

All memory is `status.consolidation` of the pool. Nothing moves before the status says that it has
begun, so a write that is lost only makes it later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tightship.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    seconds_of,
    timestamp,
)
from tightship.api.v1alpha1 import ConsolidationPolicy
from tightship.plan import figures
from tightship.plan.memo import POOL
from tightship.plan.rest import disturbed, lacking, unrest
from tightship.plan.saving import Bounds, fitting, saving, way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tightship.api.v1alpha1 import ServingPoolSpec
    from tightship.plan.fleet import Fleet
    from tightship.plan.memo import Memo
    from tightship.plan.placement import Item, Placement, Server
    from tightship.plan.saving import Saving
    from tightship.plan.snapshot import PoolFact, Snapshot
    from tightship.plan.targets import Target
    from tightship.plan.transition import Wishes

_NAMED = 5  # servers that a message names
_FEW = "No server can be given up: no more of them hold models than have to be there."
_FULL = "No server can be given up: its models would not find room to spare on the others."
_DRY = "A dry run: status.plan says which servers could be given up."


class Scene(NamedTuple):
    """A pool with its servers and models, as the other parts of the plan know them."""

    snapshot: Snapshot
    pool: PoolFact
    spec: ServingPoolSpec
    fleet: Fleet
    targets: Sequence[Target]
    items: Sequence[Item]
    servers: Sequence[Server]


class Course(NamedTuple):
    """What this plan does of a consolidation: `wishes` while copies move.

    `live` is what of the status still holds, `news` is what is worth an Event.
    """

    wishes: Wishes | None = None
    live: Mapping[str, Any] = {}
    news: tuple[Reason, str] | None = None


class Told(NamedTuple):
    """What the pool's status says, what is worth an Event, and when time alone changes it.

    `possible` is what a dry run says instead of a status.
    """

    status: Mapping[str, Any] = {}
    condition: Condition | None = None
    news: tuple[Reason, str] | None = None
    wake: float | None = None
    possible: Mapping[str, Any] = {}


def course(scene: Scene) -> Course:
    """Goes on with what the status says has begun, ends it, or stops it."""
    live, spec, fleet = scene.pool.status.get("consolidation", {}), scene.spec, scene.fleet
    if _off(scene) or scene.pool.paused or spec.dry_run or not live.get("servers"):
        return Course()
    if "startTime" not in live:
        return Course(live=live)
    names = frozenset(live["servers"]) & {view.name for view in fleet.views}
    items = fitting(scene.items, scene.servers)
    if not names:
        return Course(news=_ended(scene, items, live))
    hindrance = disturbed(fleet, scene.targets, items, spec.max_servers)
    if hindrance is None and len(fleet.views) - len(names) < spec.min_servers:
        hindrance = "The pool's minServers asks for it."
    wishes = way(items, scene.servers, names) if hindrance is None else None
    if wishes is None:
        why = hindrance or "The others have not the room for its models any more."
        return Course(
            news=(Reason.CONSOLIDATION_STOPPED, f"{_named(live['servers'])} stays. {why}")
        )
    return Course(wishes=wishes, live=live)


def _ended(scene: Scene, items: Sequence[Item], live: Mapping[str, Any]) -> tuple[Reason, str]:
    """What became of servers that are no longer there: given up, or lost with what they held."""
    named, deployment = _named(live["servers"]), scene.snapshot.deployment
    returns = deployment is not None and deployment.replicas > len(scene.fleet.views)
    if returns or lacking(items, scene.spec.max_servers):
        return Reason.CONSOLIDATION_STOPPED, f"{named} went before its models had moved."
    message = f"Gave up {named}; the models are on the other servers.{_saved(live)}"
    return Reason.CONSOLIDATED, message


def tell(scene: Scene, under_way: Course, placement: Placement, memo: Memo) -> Told:
    """What is told of servers that are not needed, now that the placement is known."""
    if _off(scene):
        return Told()
    if scene.pool.paused:
        return Told(condition=_condition(Reason.PAUSED, "Paused: no server is given up."))
    if under_way.wishes is not None:
        return _moving(under_way.live)
    told = _at_rest(scene, under_way, placement, memo)
    return told if told.news else told._replace(news=under_way.news)


def _at_rest(scene: Scene, under_way: Course, placement: Placement, memo: Memo) -> Told:
    """What could be given up, or why nothing can be, or why that is not known."""
    limits = _bounds(scene)
    if limits.most <= 0:
        return Told(condition=_condition(Reason.CONSOLIDATED, _FEW))
    why = unrest(scene.snapshot, scene.fleet, scene.targets, placement, memo)
    if why is not None:
        return Told(condition=_condition(*why))
    known = tuple(under_way.live.get("servers", ()))
    items = fitting(scene.items, scene.servers)
    found = memo.of(POOL, saving, items, scene.servers, limits, known)
    if found is None:
        return Told(condition=_condition(Reason.CONSOLIDATED, _FULL))
    if scene.spec.dry_run:
        possible = _saving_json(found, scene.spec)
        return Told(condition=_condition(Reason.DRY_RUN, _DRY), possible=possible)
    return _waiting(under_way, found, scene.spec, scene.snapshot.now)


def _off(scene: Scene) -> bool:
    return scene.spec.consolidation.policy is ConsolidationPolicy.NEVER


def _bounds(scene: Scene) -> Bounds:
    """How much may be given up in one go; servers of models that are paused or invalid stay."""
    spec, fleet = scene.spec, scene.fleet
    busy = sum(not view.empty for view in fleet.views)
    held = [t.model.name for t in scene.targets if t.wanted and (t.wanted.held or t.model.paused)]
    spared = {sight.server for name in held for sight in fleet.seen(name)}
    return Bounds(busy - max(1, spec.min_servers), spec.consolidation.budget, frozenset(spared))


def _moving(live: Mapping[str, Any]) -> Told:
    message = f"{_named(live['servers'])}: models move to the other servers.{_saved(live)}"
    return Told(dict(live), _condition(Reason.CONSOLIDATING, message))


def _waiting(under_way: Course, found: Saving, spec: ServingPoolSpec, now: float) -> Told:
    """Since when it has been possible, or that it begins."""
    live = under_way.live
    goes_on = set(found.servers) <= set(live.get("servers", ()))
    since = live["since"] if goes_on else timestamp(now)
    status = {"since": since, **_saving_json(found, spec)}
    due = (seconds_of(since) or now) + spec.consolidation.after
    if goes_on and due <= now:
        told = _moving({**status, "startTime": timestamp(now)})
        message = told.condition.message if told.condition else ""
        return told._replace(news=(Reason.CONSOLIDATING, message))
    wait = figures.duration(spec.consolidation.after)
    message = (
        f"{_named(found.servers)} can be given up, since {since}; copies to move: {found.copies}."
        f" They move when that has been so for {wait}."
    )
    return Told(status, _condition(Reason.CONSOLIDATABLE, message), wake=max(due, now))


def _saving_json(found: Saving, spec: ServingPoolSpec) -> dict[str, Any]:
    """The servers, the copies that move for it, and what it saves an hour where that is known."""
    price = spec.price_per_hour
    saved = {} if price is None else {"savedPerHour": figures.money(price * len(found.servers))}
    return {"servers": list(found.servers), "copies": found.copies, **saved}


def _condition(reason: Reason, message: str) -> Condition:
    done = reason is Reason.CONSOLIDATED
    return Condition(
        type=ConditionType.CONSOLIDATED,
        status=ConditionStatus.TRUE if done else ConditionStatus.UNKNOWN,
        reason=reason,
        message=message,
    )


def _saved(status: Mapping[str, Any]) -> str:
    return f" That saves {status['savedPerHour']} an hour." if "savedPerHour" in status else ""


def _named(servers: Sequence[str]) -> str:
    more = len(servers) - _NAMED
    rest = f" and {more} more" if more > 0 else ""
    return ", ".join(servers[:_NAMED]) + rest
