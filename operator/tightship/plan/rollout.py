"""The next steps from what servers hold to the wanted placement: make before break, one by one.

A copy moves in this order, each step taken only when the one before is seen done: assigned on its
target; loaded there and verified; labelled; behind the Service for a while; label off the source;
drained; out of the source's assignment. A server whose agent does not answer is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tightship.api.agent import Assignment, LoadState, ModelAssignment
from tightship.api.failures import MODEL_CRASHED
from tightship.api.v1alpha1 import UpdateStrategy
from tightship.plan.actions import MarkServer, PutAssignment, RouteServer
from tightship.plan.fleet import COST_EMPTY, COST_HOLDING, COST_LEAVING
from tightship.plan.holdings import pending, same_load
from tightship.plan.placement import Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tightship.api.agent import HeldModel
    from tightship.api.v1alpha1 import ServingPoolSpec
    from tightship.plan.fleet import Fleet, Sight, View
    from tightship.plan.memo import Memo
    from tightship.plan.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The version of a model that its copies are to have.

    `previous` is the last good version, given to a new copy while the wanted one fails to load.
    A `held` model (paused, or its spec is invalid) keeps on each server the version that is there.
    """

    entry: ModelAssignment
    previous: ModelAssignment | None = None
    held: bool = False

    def accepts(self, digest: str | None) -> bool:
        """Whether a copy of this version may be put behind the Service."""
        good = {self.entry.digest, self.previous.digest if self.previous else self.entry.digest}
        return self.held or digest in good


@dataclass(slots=True, kw_only=True)
class Steps:
    """Actions on servers, and when the next one falls due by time alone."""

    routes: list[RouteServer] = field(default_factory=list)
    assignments: list[PutAssignment] = field(default_factory=list)
    marks: list[MarkServer] = field(default_factory=list)
    failing: frozenset[str] = frozenset()  # models whose wanted version some server cannot load
    blockers: list[str] = field(default_factory=list)  # models that new servers wait for
    wake: float | None = None


def update_failure(wanted: Wanted, sight: Sight) -> HeldModel | None:
    """The held model when this server reports that the wanted version does not load."""
    entry, held = sight.entry, sight.held
    if entry is None or held is None or held.failure is None:
        return None
    if entry.digest != wanted.entry.digest or held.failure.reason == MODEL_CRASHED:
        return None  # what crashed had been verified: its agent brings it back
    fails = held.target_digest == entry.digest or held.digest is None
    return held if fails or held.state is LoadState.FAILED else None


def carried_out(entry: ModelAssignment, sight: Sight) -> bool:
    """Whether the server holds this very version with these settings, verified."""
    held = sight.loaded
    return (
        held is not None
        and held.digest == entry.digest
        and (held.config is None or held.config == entry.config)
    )


def update_fails(wanted: Wanted, sights: Iterable[Sight]) -> bool:
    """Whether some server cannot load the wanted version."""
    return any(s.reachable and update_failure(wanted, s) for s in sights)


def in_flight(wanted: Wanted, sights: Iterable[Sight]) -> bool:
    """Whether some server is loading the wanted version; the others keep theirs until then."""
    return any(
        s.reachable
        and s.entry is not None
        and same_load(s.entry, wanted.entry)
        and not carried_out(wanted.entry, s)
        for s in sights
    )


def plan_rollout(
    fleet: Fleet,
    wanted: Mapping[str, Wanted],
    placement: Placement,
    pool: ServingPoolSpec,
    memo: Memo,
) -> Steps:
    """The steps that can be taken now.

    Args:
        fleet: servers as they are.
        wanted: models that have an artifact, by name; any other model leaves its servers.
        placement: where copies shall be.
        pool: the pool's spec.
        memo: of the pool.
    """
    return _Rollout(fleet, wanted, placement, pool, memo).steps()


class _Rollout:
    def __init__(
        self,
        fleet: Fleet,
        wanted: Mapping[str, Wanted],
        placement: Placement,
        pool: ServingPoolSpec,
        memo: Memo,
    ) -> None:
        self._fleet = fleet
        self._wanted = wanted
        self._places = placement.servers
        self._pinned = placement.pinned
        self._pool = pool
        self._steps = Steps()
        seen = [(name, want, fleet.seen(name)) for name, want in wanted.items()]
        self._blocked = {name for name, w, on in seen if memo.of(name, update_fails, w, on)}
        self._busy = {name for name, w, on in seen if memo.of(name, in_flight, w, on)}
        self._coming: dict[str, list[str]] = {}
        for model, servers in self._places.items():
            for server in servers:
                self._coming.setdefault(server, []).append(model)

    def steps(self) -> Steps:
        self._steps.failing = frozenset(self._blocked)
        self._steps.blockers = self._blockers()
        taken_over = not self._steps.blockers and self._leave_first()
        for view in self._fleet.views:
            if view.reachable:
                self._route(view)
                self._assign(view)
            if view.reachable or view.going:
                self._mark(view, taken_over=taken_over)
        return self._steps

    def _due(self, at: float | None) -> bool:
        """Whether that instant has come; if it will, the plan is made again then."""
        if at is None:
            return False
        if at <= self._fleet.now:
            return True
        self._steps.wake = min(at, self._steps.wake or at)
        return False

    # Routes

    def _route(self, view: View) -> None:
        now = view.fact.routed
        routed = frozenset(
            name for name in {*now, *view.held} if self._is_routed(name, view, on=name in now)
        )
        if routed == now:
            return
        parts = [f"+{m}" for m in sorted(routed - now)] + [f"-{m}" for m in sorted(now - routed)]
        self._steps.routes.append(
            RouteServer(server=view.name, uid=view.fact.uid, models=routed, reason=" ".join(parts))
        )

    def _is_routed(self, model: str, view: View, *, on: bool) -> bool:
        want = self._wanted.get(model)
        if want is None:
            return False
        held = view.loaded(model)
        if held is None:
            return on and self._returns(model, view)
        if view.name in self._places.get(model, ()):
            return on or want.accepts(held.digest)
        return on and not self._replaced(model)

    def _returns(self, model: str, view: View) -> bool:
        """Whether the agent is restoring the model by itself.

        It then keeps its label: the pod as a whole is out of all Services, and comes back without
        the operator.
        """
        held = view.held.get(model)
        failed = held is not None and held.state is LoadState.FAILED
        return view.restoring and model in view.assigned and not failed

    def _replaced(self, model: str) -> bool:
        """Whether every wanted copy answers, for long enough that all nodes know of it."""
        targets = self._places.get(model, ())
        views = [self._fleet.by_name[t] for t in targets]
        return bool(views) and all(self._due(self._fleet.settled_at(model, v)) for v in views)

    # Assignments

    def _assign(self, view: View) -> None:
        agent = view.fact.agent
        if agent is None:
            return
        free = view.capacity - view.used
        entries = dict(view.assigned)
        reasons: list[str] = []
        for model in view.assigned:
            if self._leaves(model, view):
                del entries[model]
                reasons.append(f"-{model}")
        for model in self._coming.get(view.name, ()):
            free = self._hold(model, view, entries, free, reasons)
        if entries == view.assigned:
            return
        models = tuple(entries[name] for name in sorted(entries))
        self._steps.assignments.append(
            PutAssignment(
                server=view.name,
                expected_etag=agent.etag,
                assignment=Assignment(models),
                reason=" ".join(reasons),
            )
        )

    def _leaves(self, model: str, view: View) -> bool:
        if view.name in self._places.get(model, ()):
            return False
        if model in self._wanted and not self._places.get(model):
            return False
        drain = self._pool.server.drain_seconds
        return self._due(self._fleet.drained_at(model, view, drain))

    def _hold(
        self,
        model: str,
        view: View,
        entries: dict[str, ModelAssignment],
        free: int,
        reasons: list[str],
    ) -> int:
        """Brings one model of this server towards the wanted version; returns what room is left."""
        now, entry = view.assigned.get(model), self._next(model, view)
        if entry is None:
            return free
        loads = now is None or not same_load(now, entry)
        extra = entry.memory if loads else 0
        extra -= pending(now, view.held.get(model)) if now and loads else 0
        if extra > free:
            return free
        if now and loads:
            self._busy.add(model)
        entries[model] = entry
        reasons.append(f"{'~' if now else '+'}{model}")
        return free - extra

    def _next(self, model: str, view: View) -> ModelAssignment | None:
        """What this server's entry for a model should become now; None: it stays as it is."""
        want, now = self._wanted[model], view.assigned.get(model)
        fallback = want.previous if model in self._blocked else None
        if now is None:
            return (fallback or want.entry) if view.standing is Standing.OPEN else None
        if want.held:
            return None
        if now == want.entry:
            return fallback if self._falls_back(want, view) else None
        waits = view.standing not in {Standing.OPEN, Standing.LEAVING}
        waits = waits or model in self._busy or model in self._blocked
        if not same_load(now, want.entry) and (waits or (model, view.name) in self._pinned):
            return None
        return want.entry

    def _falls_back(self, want: Wanted, view: View) -> bool:
        """Whether this copy has nothing to serve, because the wanted version does not load."""
        seen = self._fleet.seen(want.entry.name)
        failures = (update_failure(want, s) for s in seen if s.server == view.name)
        return any(held is not None and held.digest is None for held in failures)

    # Marks

    def _mark(self, view: View, *, taken_over: bool) -> None:
        fact = view.fact
        placed = fact.placed or (view.standing is Standing.OPEN and taken_over)
        cost = self._cost(view)
        if placed == fact.placed and cost == (fact.deletion_cost or COST_EMPTY):
            return
        reason = "takes part" if placed and not fact.placed else f"deletion cost {cost}"
        self._steps.marks.append(
            MarkServer(
                server=view.name, uid=fact.uid, placed=placed, deletion_cost=cost, reason=reason
            )
        )

    def _cost(self, view: View) -> int:
        if view.going:
            return COST_LEAVING
        if view.empty and view.name not in self._coming:
            return COST_EMPTY
        return COST_HOLDING

    def _leave_first(self) -> bool:
        """Whether the Deployment is sure to delete next those that are to leave: all are marked."""
        going = [view for view in self._fleet.views if view.going]
        return all(view.fact.deletion_cost == COST_LEAVING for view in going)

    def _blockers(self) -> list[str]:
        """Models that leaving servers serve and that are not yet loaded and labelled elsewhere.

        New servers take part only when there are none: the Deployment goes on to delete old ones
        as soon as they do. With Drain a model that fits nowhere else holds nothing up.
        """
        drain = self._pool.update_strategy is UpdateStrategy.DRAIN
        found = set()
        for view in self._fleet.views:
            stays = drain and view.standing is Standing.LEAVING
            if view.going:
                found |= {
                    model
                    for model in view.fact.routed
                    if model in self._wanted and not self._has_successor(model, view, stays=stays)
                }
        return sorted(found)

    def _has_successor(self, model: str, view: View, *, stays: bool) -> bool:
        targets: Sequence[str] = self._places.get(model, ())
        if view.name in targets and not stays:
            return False
        others = [self._fleet.by_name[name] for name in targets if name != view.name]
        return all(v.loaded(model) and model in v.fact.routed for v in others)


def drained(fleet: Fleet, placement: Placement) -> bool:
    """Whether the server that is to be replaced next is marked and serves nothing that can move."""
    leaving = [v for v in fleet.views if v.standing is Standing.LEAVING]
    return bool(leaving) and all(
        v.fact.deletion_cost == COST_LEAVING
        and all(v.name in placement.servers.get(m, ()) for m in v.fact.routed)
        for v in leaving
    )
