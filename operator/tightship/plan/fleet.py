"""The servers of a pool as they are: who answers, what they hold, what room is left, who goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tightship.api.agent import HeldModel, LoadState, ModelAssignment
from tightship.api.v1alpha1 import UpdateStrategy
from tightship.plan.holdings import usage
from tightship.plan.placement import Standing, server_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tightship.api.agent import ServerState
    from tightship.api.v1alpha1 import ServingPoolSpec
    from tightship.plan.memo import Memo
    from tightship.plan.snapshot import Endpoint, ServerFact, Snapshot

AGENT_STALE = 90.0  # seconds; a long poll is answered at least every 30
SERVER_GRACE = 60.0  # seconds that a server may be down before its copies are placed elsewhere
ENDPOINT_SETTLE = 1.5  # seconds from an EndpointSlice to the rules of every node (1.1 measured)

COST_LEAVING = -100
COST_EMPTY = 0
COST_HOLDING = 100


@dataclass(slots=True, kw_only=True)
class View:
    """One server pod that is not being deleted."""

    fact: ServerFact
    reachable: bool
    standing: Standing
    old: bool
    capacity: int
    assigned: Mapping[str, ModelAssignment] = field(default_factory=dict)
    held: Mapping[str, HeldModel] = field(default_factory=dict)
    used: int = 0
    going: bool = False  # chosen to leave; HELD when its agent must answer first

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.fact.name

    @property
    def empty(self) -> bool:
        """Nothing is on it, comes to it or is routed to it."""
        return not (self.assigned or self.held or self.fact.routed)

    @property
    def restoring(self) -> bool:
        """After a restart of Triton or the agent: its pod is out of all Services by itself."""
        agent = self.fact.agent
        return agent is not None and not agent.ready

    def loaded(self, model: str) -> HeldModel | None:
        """The model as it is held here, when it is loaded and verified."""
        held = self.held.get(model)
        return held if held is not None and held.state is LoadState.LOADED else None


class Sight(NamedTuple):
    """All that one server shows of one model: what is decided about a model is decided on these."""

    server: str
    standing: Standing
    reachable: bool
    unknown: bool  # its agent has never answered
    entry: ModelAssignment | None
    held: HeldModel | None
    routed: bool
    answering: bool  # loaded, verified and behind the Service
    settled: bool  # and every node knows of it

    @property
    def loaded(self) -> HeldModel | None:
        """The model as it is held here, when it is loaded and verified."""
        held = self.held
        return held if held is not None and held.state is LoadState.LOADED else None


@dataclass(slots=True, kw_only=True)
class Fleet:
    """All views in the order of preference, and the endpoints."""

    views: tuple[View, ...]
    by_name: Mapping[str, View]
    endpoints: Mapping[tuple[str, str], Endpoint]
    now: float
    watching_since: float
    rolling: bool  # a server is made from a former template, or the Deployment still asks for it
    sights: Mapping[str, tuple[Sight, ...]] = field(default_factory=dict)

    def seen(self, model: str) -> tuple[Sight, ...]:
        """The model on every server that holds it, is told to, or bears its route label."""
        return self.sights.get(model, ())

    def reachable_by_clients(self, model: str, view: View) -> bool:
        """Whether the EndpointSlices send requests for the model to this server."""
        endpoint = self.endpoints.get((model, view.name))
        return endpoint is not None and endpoint.ready

    def answering(self, model: str, view: View) -> bool:
        """Loaded, verified and behind the Service."""
        return (
            model in view.fact.routed
            and view.loaded(model) is not None
            and self.reachable_by_clients(model, view)
        )

    def settled_at(self, model: str, view: View) -> float | None:
        """When every node sends requests to this copy; None while it does not answer."""
        if not self.answering(model, view):
            return None
        return self.endpoints[model, view.name].since + ENDPOINT_SETTLE

    def drained_at(self, model: str, view: View, drain: float) -> float | None:
        """When the last client has let go of this copy; None while it is routed to."""
        endpoint = self.endpoints.get((model, view.name))
        if model in view.fact.routed or (endpoint is not None and endpoint.ready):
            return None
        return (endpoint.since if endpoint else self.watching_since) + drain


def not_asked_yet(snapshot: Snapshot) -> bool:
    """Whether a serving server's agent has not been asked since this operator started.

    Nothing is decided about servers and statuses before: what is not known would look like a loss.
    """
    return any(
        s.placed and not s.deleting and s.agent is None and s.agent_error is None
        for s in snapshot.servers
    )


def observe(snapshot: Snapshot, pool: ServingPoolSpec, revision: str, memo: Memo) -> Fleet:
    """Looks at every server that is not being deleted; `revision` is that of new ones."""
    live = [s for s in snapshot.servers if not s.deleting]
    digests = _remembered_digests(snapshot)
    views = [_view(s, pool, revision, snapshot.now, digests, memo) for s in live]
    deployment = snapshot.deployment
    behind = deployment is not None and deployment.revision != revision
    wanted = deployment.replicas if deployment else len(live)
    _leave(views, pool, wanted, rolling=behind or any(v.old for v in views))
    views.sort(key=lambda v: (v.fact.created, v.name))
    fleet = Fleet(
        views=tuple(views),
        by_name={v.name: v for v in views},
        endpoints={(e.model, e.server): e for e in snapshot.endpoints},
        now=snapshot.now,
        watching_since=snapshot.watching_since,
        rolling=behind or any(v.old for v in views),
    )
    fleet.sights = _sights(fleet)
    return fleet


def _sights(fleet: Fleet) -> dict[str, tuple[Sight, ...]]:
    found: dict[str, tuple[Sight, ...]] = {}
    for view in fleet.views:
        unknown, routed = view.fact.agent is None, view.fact.routed
        for name in {*view.assigned, *view.held, *routed}:
            settled = fleet.settled_at(name, view)
            sight = Sight(
                view.name,
                view.standing,
                view.reachable,
                unknown,
                view.assigned.get(name),
                view.held.get(name),
                name in routed,
                settled is not None,
                settled is not None and settled <= fleet.now,
            )
            found[name] = (*found.get(name, ()), sight)
    return found


def _view(
    server: ServerFact,
    pool: ServingPoolSpec,
    revision: str,
    now: float,
    digests: Mapping[tuple[str, str], str],
    memo: Memo,
) -> View:
    agent = server.agent
    fresh = server.agent_age is None or server.agent_age <= AGENT_STALE
    reachable = agent is not None and fresh and server.agent_error is None
    old = server.revision is not None and server.revision != revision
    if agent is None:
        held = {m: _believed(m, server, digests) for m in server.routed}
        assigned: Mapping[str, ModelAssignment] = {}
        used = usage(assigned, held)
    else:
        assigned, held, used = memo.of(server.name, _contents, agent)
    return View(
        fact=server,
        reachable=reachable,
        standing=_standing(server, now, live=reachable and agent is not None and _open(agent)),
        old=old,
        capacity=_capacity(server, pool, used, old=old),
        assigned=assigned,
        held=held,
        used=used,
    )


def _contents(
    agent: ServerState,
) -> tuple[dict[str, ModelAssignment], dict[str, HeldModel], int]:
    """What an agent is told to hold, what it holds, and the bytes of both."""
    assigned = {m.name: m for m in agent.assignment.models}
    held = {m.name: m for m in agent.models}
    return assigned, held, usage(assigned, held)


def _capacity(server: ServerFact, pool: ServingPoolSpec, used: int, *, old: bool) -> int:
    """What the server itself says; an old one that does not say takes nothing more."""
    if server.agent is not None and server.agent.memory_limit is not None:
        return server.agent.memory_limit
    return used if old else server_memory(pool)


def _open(agent: ServerState) -> bool:
    """Whether more may be loaded: not while Triton is down or its models are being restored.

    What is restored may be an older version than the one that is assigned, so that the room it
    takes is not known before it is back.
    """
    return agent.triton_live and agent.ready


def down_since(server: ServerFact) -> float | None:
    """When a server that takes part stopped being ready; None when it is ready or takes no part.

    A server that was long in starting is unready for as long as the kubelet takes to see its gate.
    """
    if server.ready or not server.placed:
        return None
    times = (server.ready_changed, server.placed_changed)
    return max((time for time in times if time is not None), default=None)


def _standing(server: ServerFact, now: float, *, live: bool) -> Standing:
    if not server.placed:
        return Standing.OPEN if live else Standing.STARTING
    down = down_since(server)
    if down is not None and now - down > SERVER_GRACE:
        return Standing.LOST
    return Standing.OPEN if live else Standing.HELD


def _believed(model: str, server: ServerFact, digests: Mapping[tuple[str, str], str]) -> HeldModel:
    """A model on a server whose agent has never answered: as its label and the status say."""
    state = LoadState.LOADED if server.ready else LoadState.PENDING
    return HeldModel(name=model, state=state, digest=digests.get((model, server.name)))


def _remembered_digests(snapshot: Snapshot) -> dict[tuple[str, str], str]:
    if all(s.agent is not None for s in snapshot.servers):
        return {}
    return {
        (model.name, entry["server"]): entry["digest"]
        for model in snapshot.models
        for entry in model.status.get("placement", ())
        if "digest" in entry
    }


def _leave(views: Sequence[View], pool: ServingPoolSpec, replicas: int, *, rolling: bool) -> None:
    """Chooses the servers that leave: those of a former template, or more than the pool may have.

    A server that has been marked before is chosen again, so that a choice outlasts a restart. With
    Surge an old server leaves when a new one stands ready for it; with Drain one old server leaves
    ahead of its replacement.
    """
    candidates = [v for v in views if v.old or not rolling]
    count = len(views) - pool.max_servers
    if rolling:
        usable = sum(not v.old and v.standing in {Standing.OPEN, Standing.HELD} for v in views)
        ahead = 1 if pool.update_strategy is UpdateStrategy.DRAIN else 0
        count = len(candidates) - max(0, replicas - usable - ahead)
    for view in sorted(candidates, key=_expendable)[: max(0, count)]:
        view.going = True
        if view.standing in {Standing.OPEN, Standing.STARTING}:
            view.standing = Standing.LEAVING


def _expendable(view: View) -> tuple[bool, int, int, str]:
    cost = view.fact.deletion_cost
    useful = view.standing not in {Standing.STARTING, Standing.LOST}
    return (useful, COST_EMPTY if cost is None else cost, len(view.assigned), view.name)
