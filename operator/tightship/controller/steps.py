"""How an action of each kind is carried out: what it wants is rendered, compared and written."""

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tightship.api import names
from tightship.controller import subjects
from tightship.controller.certificates import CertificateBook
from tightship.controller.observe import Observer
from tightship.controller.progress import Positions
from tightship.controller.server_facts import routed_models
from tightship.controller.servers import Servers, StaleError
from tightship.controller.strangers import Strangers
from tightship.controller.telemetry import Telemetry
from tightship.kube.apply import Applier, Memory, Outcome, Reference
from tightship.kube.events import Events
from tightship.kube.lease import Lease
from tightship.kube.resources import (
    JOBS,
    OPTIMIZED_MODELS,
    PODS,
    SERVING_POOLS,
    Object,
    resource_of,
)
from tightship.kube.store import PoolKey, Store
from tightship.manifests.job import job_object
from tightship.manifests.server import server_objects
from tightship.manifests.service import model_service
from tightship.manifests.sweep import sweep_objects
from tightship.plan import actions
from tightship.plan.actions import Action


class TakenError(Exception):
    """An object of the name that we need belongs to somebody else."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What actions are carried out with."""

    applier: Applier
    memory: Memory
    store: Store
    servers: Servers
    positions: Positions
    certificates: CertificateBook
    events: Events
    lease: Lease
    observer: Observer
    strangers: Strangers
    telemetry: Telemetry
    news: Callable[[PoolKey], int]  # counts what came in about a pool, our own writes apart


class Steps:
    """One step for each kind of action."""

    def __init__(self, hands: Hands) -> None:
        self._do = hands
        self._by_kind: dict[type, Callable[[PoolKey, Any], Awaitable[Outcome]]] = {
            actions.EnsureAgentSecret: self._ensure_secret,
            actions.ApplyServers: self._apply_servers,
            actions.ApplyModelService: self._apply_service,
            actions.ApplyIntakeJob: self._apply_job,
            actions.ApplyConvertJob: self._apply_job,
            actions.ApplyEvaluateJob: self._apply_job,
            actions.DeleteJob: self._delete_job,
            actions.ApplySweep: self._apply_sweep,
            actions.DeleteSweep: self._delete_sweep,
            actions.PutAssignment: self._put_assignment,
            actions.RouteServer: self._route_server,
            actions.MarkServer: self._mark_server,
            actions.ApplyModelStatus: self._apply_model_status,
            actions.ApplyPoolStatus: self._apply_pool_status,
            actions.RecordEvent: self._record_event,
        }

    async def take(self, pool: PoolKey, action: Action) -> Outcome:
        """Carry out one action.

        Raises:
            KubeError: the API server refused it, or is gone.
            AgentError: the server's agent refused it, or is gone.
            TakenError: an object of its name is not ours.
        """
        return await self._by_kind[type(action)](pool, action)

    async def _ensure_secret(self, pool: PoolKey, action: actions.EnsureAgentSecret) -> Outcome:
        written = await self._do.certificates.ensure(pool, action.owner)
        return Outcome.WRITTEN if written else Outcome.UNCHANGED

    async def _apply_servers(self, pool: PoolKey, action: actions.ApplyServers) -> Outcome:
        return await self._apply_all(pool, action, server_objects(action, pool[0]))

    async def _apply_service(self, pool: PoolKey, action: actions.ApplyModelService) -> Outcome:
        wanted = model_service(action, pool[0])
        outcome = await self._do.applier.apply(wanted)
        if outcome is Outcome.NOT_OURS:
            self._do.strangers.add(pool[0], action.model)
        else:
            self._remember(pool, action, [wanted])
        return outcome

    async def _apply_job(self, pool: PoolKey, action: actions.ApplyJob) -> Outcome:
        wanted = job_object(action, pool[0])
        live = self._do.store.get(JOBS, pool[0], action.name)
        if live:
            others = self._do.observer.shared_elsewhere(live, pool)
            references = live.value["metadata"].get("ownerReferences") or ()
            wanted["metadata"]["ownerReferences"] += [r for r in references if r["uid"] in others]
        return await self._apply_all(pool, action, [wanted])

    async def _apply_all(self, pool: PoolKey, action: Action, wanted: Iterable[Object]) -> Outcome:
        made = list(wanted)
        outcomes = []
        for each in made:
            outcome = await self._do.applier.apply(each)
            if outcome is Outcome.NOT_OURS:
                raise TakenError(
                    f"{each['kind']} {each['metadata']['name']} exists and was not made by the"
                    " operator; delete or rename it"
                )
            outcomes.append(outcome)
        self._remember(pool, action, made)
        return Outcome.WRITTEN if Outcome.WRITTEN in outcomes else Outcome.UNCHANGED

    async def _delete_job(self, pool: PoolKey, action: actions.DeleteJob) -> Outcome:
        live = self._do.store.get(JOBS, pool[0], action.name)
        if live and live.uid == action.uid:
            others = self._do.observer.shared_elsewhere(live, pool)
            if others:
                references = live.value["metadata"].get("ownerReferences") or ()
                await self._do.applier.set_owners(
                    live, [r for r in references if r["uid"] in others]
                )
                return Outcome.WRITTEN
        return await self._do.applier.delete(JOBS, pool[0], action.name, action.uid)

    async def _apply_sweep(self, pool: PoolKey, action: actions.ApplySweep) -> Outcome:
        return await self._apply_all(pool, action, sweep_objects(action, pool[0]))

    async def _delete_sweep(self, pool: PoolKey, action: actions.DeleteSweep) -> Outcome:
        outcomes = [
            await self._do.applier.delete(entry.resource, pool[0], entry.name, entry.uid)
            for entry in self._do.observer.sweep_parts(pool)
            if action.owner.uid in entry.owners
        ]
        return Outcome.WRITTEN if Outcome.WRITTEN in outcomes else Outcome.UNCHANGED

    async def _put_assignment(self, pool: PoolKey, action: actions.PutAssignment) -> Outcome:
        pod = self._do.store.get(PODS, pool[0], action.server)
        if pod is None:
            return Outcome.UNCHANGED
        state = self._do.servers.view(pod.uid).state
        if state and state.etag == action.assignment.etag:
            return Outcome.UNCHANGED
        fence = self._do.lease.fence()
        try:
            await self._do.servers.put(pod.uid, action.expected_etag, action.assignment, fence)
        except StaleError as error:
            self._do.lease.outbid(error.fence)
            raise
        return Outcome.WRITTEN

    async def _route_server(self, pool: PoolKey, action: actions.RouteServer) -> Outcome:
        pod = self._do.store.get(PODS, pool[0], action.server)
        if pod is None or pod.uid != action.uid or routed_models(pod) == action.models:
            return Outcome.UNCHANGED
        wanted = {names.route_label(model): names.ROUTED for model in action.models}
        stale = {
            label: None
            for label in pod.labels
            if label.startswith(names.ROUTE_LABEL_PREFIX) and label not in wanted
        }
        new = {label: value for label, value in wanted.items() if pod.labels.get(label) != value}
        await self._do.applier.patch_pod(
            pool[0], action.server, action.uid, {"labels": {**new, **stale}}
        )
        return Outcome.WRITTEN

    async def _mark_server(self, pool: PoolKey, action: actions.MarkServer) -> Outcome:
        pod = self._do.store.get(PODS, pool[0], action.server)
        if pod is None or pod.uid != action.uid:
            return Outcome.UNCHANGED
        outcome = Outcome.UNCHANGED
        cost = str(action.deletion_cost)
        if pod.annotations.get(names.DELETION_COST_ANNOTATION) != cost:
            changes = {"annotations": {names.DELETION_COST_ANNOTATION: cost}}
            await self._do.applier.patch_pod(pool[0], action.server, action.uid, changes)
            outcome = Outcome.WRITTEN
        status = "True" if action.placed else "False"
        conditions = (pod.value.get("status") or {}).get("conditions") or ()
        live: Object = next((c for c in conditions if c.get("type") == names.PLACED_GATE), {})
        if live.get("status") != status:
            await self._do.applier.patch_pod_condition(
                pool[0], action.server, action.uid, _placed(status)
            )
            outcome = Outcome.WRITTEN
        return outcome

    async def _apply_model_status(self, pool: PoolKey, action: actions.ApplyModelStatus) -> Outcome:
        outcome = await self._do.applier.apply_status(
            OPTIMIZED_MODELS, pool[0], action.model, action.uid, action.status
        )
        reference = (OPTIMIZED_MODELS, pool[0], action.model)
        self._do.memory.remember(pool, subjects.key(action), action, [reference])
        return outcome

    async def _apply_pool_status(self, pool: PoolKey, action: actions.ApplyPoolStatus) -> Outcome:
        outcome = await self._do.applier.apply_status(
            SERVING_POOLS, pool[0], action.pool, action.uid, action.status
        )
        reference = (SERVING_POOLS, pool[0], action.pool)
        self._do.memory.remember(pool, subjects.key(action), action, [reference])
        return outcome

    async def _record_event(self, pool: PoolKey, action: actions.RecordEvent) -> Outcome:
        written = await self._do.events.record(
            subjects.reference(pool, action.regarding),
            kind=action.kind,
            reason=action.reason,
            message=action.message,
            action="Reconcile",
        )
        return Outcome.WRITTEN if written else Outcome.UNCHANGED

    def _remember(self, pool: PoolKey, action: Action, made: Iterable[Object]) -> None:
        references: list[Reference] = [
            (resource_of(each), pool[0], each["metadata"]["name"]) for each in made
        ]
        self._do.memory.remember(pool, subjects.key(action), action, references)


def _placed(status: str) -> Object:
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": names.PLACED_GATE,
        "status": status,
        "lastTransitionTime": now,
        "reason": "Placed" if status == "True" else "NotPlaced",
        "message": "this server holds what it should"
        if status == "True"
        else "models that this server is to hold are not loaded yet",
    }
