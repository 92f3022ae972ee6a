"""`plan(snapshot)`: what is to be done for one pool now, in order, with reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tightship.api import names
from tightship.api.conditions import Reason
from tightship.api.v1alpha1 import UpdateStrategy
from tightship.plan import consolidation, inputs
from tightship.plan.actions import (
    Action,
    ApplyModelService,
    ApplyModelStatus,
    ApplyPoolStatus,
    ApplyServers,
    EnsureAgentSecret,
    Owner,
    Plan,
    RecordEvent,
)
from tightship.plan.capacity import capacity
from tightship.plan.consolidation import Scene
from tightship.plan.conversion import plan_conversions
from tightship.plan.dry_run import plan_json
from tightship.plan.fleet import COST_HOLDING, SERVER_GRACE, down_since, not_asked_yet, observe
from tightship.plan.freshness import ages_at, freshness
from tightship.plan.holdings import packable
from tightship.plan.memo import POOL, Memo
from tightship.plan.news import MODEL_TOPICS, NORMAL, POOL_TOPICS, tell
from tightship.plan.placement import Server, Standing, server_memory
from tightship.plan.placing import place
from tightship.plan.pool_status import invalid_status, pool_status
from tightship.plan.rollout import drained, plan_rollout
from tightship.plan.snapshot import InvalidSpec
from tightship.plan.status import is_told, model_status, stranded_status, subject_of
from tightship.plan.sweep import plan_sweep
from tightship.plan.targets import Target, item, refusal, refused, target
from tightship.plan.verdict import settles_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tightship.api.conditions import Condition
    from tightship.api.v1alpha1 import ServingPoolSpec
    from tightship.plan.capacity import Capacity
    from tightship.plan.consolidation import Told
    from tightship.plan.conversion import Conversions
    from tightship.plan.fleet import Fleet
    from tightship.plan.placement import Item, Placement
    from tightship.plan.rollout import Steps
    from tightship.plan.snapshot import ModelFact, PoolFact, Snapshot
    from tightship.plan.transition import Wishes

SECRET_RENEW = 30 * 86400.0  # seconds before its end that the pool's certificate is made anew
ASK_AGAIN = 1.0  # seconds, while the agents have not been asked yet
WAKE_MIN = 0.05  # seconds; a due time that has just passed is planned for at once


def plan(snapshot: Snapshot, memo: Memo | None = None) -> Plan:
    """Decides everything about one pool; a pure function.

    Args:
        snapshot: the pool as it is.
        memo: what the last plan for this pool has left; it saves work and changes no decision.

    Returns:
        Actions in the order in which they are to be carried out, and the seconds after which the
        plan is to be made again even if nothing changes.
    """
    models = tuple(m for m in snapshot.models if not m.deleting)
    snapshot = replace(snapshot, models=models)
    memo = memo or Memo()
    memo.keep({m.name for m in models} | {s.name for s in snapshot.servers})
    pool = snapshot.pool
    if pool is None or pool.deleting:
        message = f"There is no ServingPool {snapshot.pool_name} in this namespace. Create it."
        return Plan(actions=tuple(_without_pool(snapshot, Reason.POOL_NOT_FOUND, message)))
    if isinstance(pool.spec, InvalidSpec):
        status = invalid_status(pool, pool.spec.message, snapshot.now)
        message = f"ServingPool {snapshot.pool_name} is invalid: {pool.spec.message}"
        actions = [*_without_pool(snapshot, Reason.POOL_INVALID, message)]
        return Plan(actions=(*actions, *_tell_pool(snapshot, pool, status)))
    return _Planner(snapshot, pool, pool.spec, memo).plan()


class _Planner:
    def __init__(
        self, snapshot: Snapshot, pool: PoolFact, spec: ServingPoolSpec, memo: Memo
    ) -> None:
        self._snapshot = snapshot
        self._memo = memo
        self._revision = memo.of(POOL, inputs.server_revision, spec)
        self._pool = pool
        self._spec = spec
        self._owner = Owner(kind=names.SERVING_POOL, name=snapshot.pool_name, uid=pool.uid)
        self._foreign = {s.name for s in snapshot.services if not s.ours}
        self._still = pool.paused or spec.dry_run

    def plan(self) -> Plan:
        snapshot = self._snapshot
        invalid = {m.name: c for m in snapshot.models if (c := refused(m, self._spec))}
        conversions = self._convert(invalid)
        begin = [] if self._still else self._begin(conversions)
        services = [] if self._still else [*self._services(invalid)]
        if not_asked_yet(snapshot):
            return Plan(actions=(*begin, *services), requeue_after=ASK_AGAIN)
        fleet = observe(snapshot, self._spec, self._revision, self._memo)
        targets = [
            self._memo.of(
                model.name,
                target,
                model,
                conversions.outcomes.get(model.name),
                self._spec,
                invalid=invalid.get(model.name),
                conflict=model.name in self._foreign,
            )
            for model in snapshot.models
        ]
        items = self._items(fleet, targets)
        known = {i.model for i in items}
        servers = [packable(view, known) for view in fleet.views]
        scene = Scene(snapshot, self._pool, self._spec, fleet, targets, items, servers)
        course = consolidation.course(scene)
        placement = self._pack(items, servers, course.wishes)
        saving = consolidation.tell(scene, course, placement, self._memo)
        wanted = {t.model.name: t.wanted for t in targets if t.wanted}
        steps = plan_rollout(fleet, wanted, placement, self._spec, self._memo)
        deployed = [*self._servers(fleet, placement)]
        act: list[Action] = [*steps.routes, *steps.assignments, *steps.marks]
        told = [*self._tell_pool(fleet, steps, placement, targets, saving)]
        if not self._spec.dry_run:
            told = [*self._tell_models(fleet, targets, placement), *told]
        actions = told if self._still else [*begin, *deployed, *services, *act, *told]
        wakes = (steps.wake, conversions.wake, saving.wake)
        return Plan(actions=tuple(actions), requeue_after=self._wake(fleet, targets, wakes))

    def _wake(
        self, fleet: Fleet, targets: list[Target], wakes: Iterable[float | None]
    ) -> float | None:
        now = self._snapshot.now
        times = [t for t in wakes if t is not None]
        times += [
            down + SERVER_GRACE for v in fleet.views if (down := down_since(v.fact)) is not None
        ]
        times += [t for m in self._snapshot.models if (t := settles_at(m, fleet)) is not None]
        times += [t for found in targets if (t := ages_at(found.model, found.outcome)) is not None]
        due = [t - now for t in times if t > now]
        return max(WAKE_MIN, min(due)) if due else None

    # Conversion

    def _convert(self, invalid: Mapping[str, Condition]) -> Conversions:
        models = self._snapshot.models
        valid = [
            replace(m, paused=True) if self._still else m for m in models if m.name not in invalid
        ]
        held = frozenset(m.uid for m in models if m.name in invalid)
        snapshot = self._snapshot
        return plan_conversions(
            valid,
            snapshot.jobs,
            snapshot.pool_name,
            self._spec,
            snapshot.now,
            held,
            self._memo,
        )

    # Placement

    def _items(self, fleet: Fleet, targets: list[Target]) -> list[Item]:
        return [
            self._memo.of(name, item, t, t.wanted, fleet.seen(name), self._spec)
            for t in targets
            if t.wanted and (name := t.model.name)
        ]

    def _pack(self, items: list[Item], servers: list[Server], wishes: Wishes | None) -> Placement:
        new = Server(
            name="a new server", standing=Standing.STARTING, memory=server_memory(self._spec)
        )
        return self._memo.of(
            POOL,
            place,
            items,
            servers,
            new_server=new,
            min_servers=self._spec.min_servers,
            max_servers=self._spec.max_servers,
            wishes=wishes,
        )

    # Objects

    def _begin(self, conversions: Conversions) -> list[Action]:
        """The list of KEYs in use knows a KEY before a Job that may find it in the store."""
        sweep = plan_sweep(self._snapshot, self._owner, self._spec, conversions)
        return [*self._secret(), *sweep, *conversions.actions]

    def _secret(self) -> Iterator[Action]:
        expires = self._snapshot.agent_secret_expires
        if expires is None or expires < self._snapshot.now + SECRET_RENEW:
            reason = "the agents have no certificate" if expires is None else "it ends soon"
            yield EnsureAgentSecret(pool=self._snapshot.pool_name, owner=self._owner, reason=reason)

    def _servers(self, fleet: Fleet, placement: Placement) -> Iterator[Action]:
        deployment = self._snapshot.deployment
        drain = self._spec.update_strategy is UpdateStrategy.DRAIN
        behind = deployment is not None and deployment.revision != self._revision
        if behind and drain and fleet.views and not drained(fleet, placement):
            return
        yield ApplyServers(
            pool=self._snapshot.pool_name,
            owner=self._owner,
            spec=self._spec,
            replicas=self._replicas(fleet, placement),
            revision=self._revision,
            reason=f"{placement.wanted_servers} servers hold all models",
        )

    def _replicas(self, fleet: Fleet, placement: Placement) -> int:
        """As many as wanted; fewer only when the Deployment is sure to delete spare servers.

        It deletes pods that are not ready first, then those of the lowest deletion cost. So every
        server that is not spare must be ready, and seen to be marked as holding something.
        """
        wanted, deployment = placement.wanted_servers, self._snapshot.deployment
        if deployment is None or wanted >= deployment.replicas:
            return wanted
        used = {name for servers in placement.servers.values() for name in servers}
        spare = {v.name for v in fleet.views if v.empty and v.name not in used}
        spare -= {v.name for v in fleet.views if v.fact.deletion_cost == COST_HOLDING}
        kept = [v.fact for v in fleet.views if v.name not in spare]
        sure = all(f.ready and f.deletion_cost == COST_HOLDING for f in kept)
        if fleet.rolling or len(fleet.views) != deployment.replicas or not sure:
            return deployment.replicas
        return max(wanted, deployment.replicas - len(spare))

    def _services(self, invalid: Mapping[str, Condition]) -> Iterator[Action]:
        for model in self._snapshot.models:
            if model.name in self._foreign or model.name in invalid or model.paused:
                continue
            yield self._memo.of(
                model.name, _service, model.name, model.uid, self._snapshot.pool_name
            )

    # Statuses

    def _tell_models(
        self, fleet: Fleet, targets: list[Target], placement: Placement
    ) -> Iterator[Action]:
        snapshot, waiting = self._snapshot, _waiting(fleet)
        for found in targets:
            name = found.model.name
            shortage = placement.shortages.get(name)
            subject = self._memo.of(
                name,
                subject_of,
                found,
                snapshot.namespace,
                placement.servers.get(name, ()),
                fleet.seen(name),
                replace(shortage, waiting=waiting) if shortage and waiting else shortage,
                freshness(found.model, found.outcome, self._spec.converter.retries, snapshot.now),
                crowded=name in placement.crowded,
                paused=self._pool.paused,
            )
            if not self._memo.of(name, is_told, subject, self._spec):
                status = model_status(subject, self._spec, snapshot.now)
                yield from _tell_model(found.model, status)

    def _tell_pool(
        self,
        fleet: Fleet,
        steps: Steps,
        placement: Placement,
        targets: list[Target],
        saving: Told,
    ) -> Iterator[Action]:
        status = pool_status(
            self._pool,
            fleet,
            steps,
            placement,
            self._capacity(),
            saving,
            models=len(targets),
            revision=self._revision,
        )
        if self._spec.dry_run:
            price = self._spec.price_per_hour
            status |= {"plan": plan_json(fleet, placement, targets, saving.possible, price)}
        yield from _tell_pool(self._snapshot, self._pool, status)
        if saving.news and status != self._pool.status:
            reason, message = saving.news
            yield RecordEvent(regarding=self._owner, kind=NORMAL, reason=reason, message=message)

    def _capacity(self) -> Capacity | None:
        running = frozenset(
            s.node for s in self._snapshot.servers if s.node and s.revision == self._revision
        )
        return self._memo.of(POOL, capacity, self._spec, self._snapshot.inventory, running)


def _owner(model: ModelFact) -> Owner:
    return Owner(kind=names.OPTIMIZED_MODEL, name=model.name, uid=model.uid)


def _service(model: str, uid: str, pool: str) -> ApplyModelService:
    return ApplyModelService(
        model=model,
        pool=pool,
        owner=Owner(kind=names.OPTIMIZED_MODEL, name=model, uid=uid),
        reason="clients ask the model by this name",
    )


def _waiting(fleet: Fleet) -> str | None:
    return next((v.fact.waiting for v in fleet.views if v.fact.waiting), None)


def _tell_model(model: ModelFact, status: Mapping[str, Any]) -> Iterator[Action]:
    if status == model.status:
        return
    yield ApplyModelStatus(model=model.name, uid=model.uid, status=status)
    yield from tell(_owner(model), model.status, status, MODEL_TOPICS)


def _tell_pool(snapshot: Snapshot, pool: PoolFact, status: Mapping[str, Any]) -> Iterator[Action]:
    if status == pool.status:
        return
    owner = Owner(kind=names.SERVING_POOL, name=snapshot.pool_name, uid=pool.uid)
    yield ApplyPoolStatus(pool=snapshot.pool_name, uid=pool.uid, status=status)
    yield from tell(owner, pool.status, status, POOL_TOPICS)


def _without_pool(snapshot: Snapshot, reason: Reason, message: str) -> Iterator[Action]:
    """Statuses while there is no pool to plan for; nothing else is touched."""
    for model in snapshot.models:
        why = refusal(reason, message)
        if isinstance(model.spec, InvalidSpec):
            why = refusal(Reason.INVALID_SPEC, model.spec.message)
        gone = reason is Reason.POOL_NOT_FOUND
        status = stranded_status(model, why, snapshot.now, gone=gone)
        yield from _tell_model(model, status)
