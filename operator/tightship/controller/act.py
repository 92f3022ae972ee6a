"""Carrying out a plan's actions: rendered, compared, written; what fails does not stop the rest."""

import asyncio
import datetime as dt
import itertools
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tightship.api import names
from tightship.controller.certificates import CertificateBook
from tightship.controller.observe import Observer, routed_models
from tightship.controller.progress import Positions
from tightship.controller.servers import AgentError, Servers, StaleError
from tightship.controller.strangers import Strangers
from tightship.controller.telemetry import Telemetry
from tightship.kube.apply import Applier, Memory, Outcome, Reference
from tightship.kube.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubeError,
    NotLeaderError,
    UnavailableError,
)
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
from tightship.plan.actions import Action, Owner

_log = logging.getLogger(__name__)

_AT_ONCE = 12
_TELL_AT_ONCE = 4  # so many statuses news may have to wait for
_TELL_SECONDS = 0.05


class TakenError(Exception):
    """An object of the name that we need belongs to somebody else."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one action."""

    action: Action
    outcome: Outcome | None
    error: Exception | None = None


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


class Executor:
    """Carries out actions in their order; those of a stage that follow each other go at once."""

    def __init__(self, hands: Hands) -> None:
        self._do = hands
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._steps: dict[type, Callable[[PoolKey, Any], Awaitable[Outcome]]] = {
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

    async def carry_out(self, pool: PoolKey, wanted: Sequence[Action], news: int) -> list[Result]:
        """Carry out a plan; what became of all actions that were not fulfilled before.

        It stops early where the API server is gone or leadership is lost. Statuses and events stop
        as well when they take long and something newer than `news` has come in: the next plan
        would say something else in them.
        """
        results: list[Result] = []
        keys: set[Hashable] = set()
        for stage, group in itertools.groupby(wanted, key=_stage_of):
            members = [(_key(action), action) for action in group]
            keys.update(key for key, _ in members)
            if stage is actions.ApplyConvertJob and _unlisted(results):
                continue
            done = await self._stage(pool, self._open(pool, members), news)
            results += done
            if any(isinstance(r.error, UnavailableError | NotLeaderError) for r in done):
                return results
        self._do.memory.keep(pool, keys)
        return results

    async def _stage(self, pool: PoolKey, members: list[Action], news: int) -> list[Result]:
        """One stage; what does not merely tell is always carried out whole."""
        results: list[Result] = []
        began = time.monotonic()
        telling = bool(members) and isinstance(members[0], _TELLING)
        size = _TELL_AT_ONCE if telling else len(members)
        for start in range(0, len(members), max(1, size)):
            part = members[start : start + size]
            results += await asyncio.gather(*(self._attempt(pool, action) for action in part))
            late = time.monotonic() - began > _TELL_SECONDS
            if late and telling and self._do.news(pool) > news:
                break
        return results

    def _open(self, pool: PoolKey, members: list[tuple[Hashable, Action]]) -> list[Action]:
        """Those that were not fulfilled before."""
        found, skipped = [], Counter[type]()
        for key, action in members:
            if self._do.memory.fulfilled(pool, key, action):
                skipped[type(action)] += 1
            else:
                found.append(action)
        for kind, count in skipped.items():
            self._do.telemetry.skipped.labels(kind.__name__).inc(count)
        return found

    async def _attempt(self, pool: PoolKey, action: Action) -> Result:
        try:
            async with self._slots:
                outcome = await self._steps[type(action)](pool, action)
        except (KubeError, AgentError, TakenError) as error:
            await self._failed(pool, action, error)
            return Result(action, None, error)
        except Exception as error:  # noqa: BLE001 (a defect of one action must not stop the rest)
            _log.exception("an action broke", extra={"pool": pool, "action": type(action).__name__})
            self._count(action, error)
            return Result(action, None, error)
        if outcome is Outcome.WRITTEN:
            _log.info(_describe(action), extra={"pool": pool, **_about(action)})
        self._do.telemetry.decisions.labels(type(action).__name__, outcome.value).inc()
        return Result(action, outcome)

    async def _failed(self, pool: PoolKey, action: Action, error: Exception) -> None:
        self._count(action, error)
        _log.warning("an action failed: %s", error, extra={"pool": pool, **_about(action)})
        owner = getattr(action, "owner", None)
        told = isinstance(error, InvalidError | ForbiddenError | ConflictError | TakenError)
        if isinstance(owner, Owner) and told:
            await self._do.events.record(
                _reference(pool, owner),
                kind="Warning",
                reason="ApplyFailed",
                message=f"{_describe(action)}: {error}",
                action="Apply",
            )

    def _count(self, action: Action, error: Exception) -> None:
        kind = type(error).__name__.removesuffix("Error")
        self._do.telemetry.failures.labels(type(action).__name__, kind).inc()

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
        self._do.memory.remember(pool, _key(action), action, [reference])
        return outcome

    async def _apply_pool_status(self, pool: PoolKey, action: actions.ApplyPoolStatus) -> Outcome:
        outcome = await self._do.applier.apply_status(
            SERVING_POOLS, pool[0], action.pool, action.uid, action.status
        )
        reference = (SERVING_POOLS, pool[0], action.pool)
        self._do.memory.remember(pool, _key(action), action, [reference])
        return outcome

    async def _record_event(self, pool: PoolKey, action: actions.RecordEvent) -> Outcome:
        written = await self._do.events.record(
            _reference(pool, action.regarding),
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
        self._do.memory.remember(pool, _key(action), action, references)


_SUBJECTS: dict[type, str] = {
    actions.EnsureAgentSecret: "pool",
    actions.ApplyServers: "pool",
    actions.ApplyModelService: "model",
    actions.ApplyIntakeJob: "name",
    actions.ApplyConvertJob: "name",
    actions.ApplyEvaluateJob: "name",
    actions.DeleteJob: "name",
    actions.ApplySweep: "pool",
    actions.DeleteSweep: "pool",
    actions.PutAssignment: "server",
    actions.RouteServer: "server",
    actions.MarkServer: "server",
    actions.ApplyModelStatus: "model",
    actions.ApplyPoolStatus: "pool",
}
_TELLING = (actions.ApplyModelStatus, actions.ApplyPoolStatus, actions.RecordEvent)


_STAGES: dict[type, type] = {
    **dict.fromkeys(_TELLING, actions.RecordEvent),
    actions.PutAssignment: actions.RouteServer,  # each follows from what was seen, not from another
}


def _stage_of(action: Action) -> type:
    """Actions of one stage do not depend on each other."""
    kind = type(action)
    return _STAGES.get(kind, kind)


def _unlisted(results: Sequence[Result]) -> bool:
    """A conversion may find its artifact in the store; the clean-up has to know of it before."""
    return any(isinstance(r.action, actions.ApplySweep) and r.error for r in results)


def _key(action: Action) -> Hashable:
    """What an action is about: a later action of the same key replaces an earlier one."""
    return type(action), _subject(action)


def _subject(action: Action) -> str:
    field = _SUBJECTS.get(type(action))
    if field:
        return str(getattr(action, field))
    if isinstance(action, actions.RecordEvent):
        return action.regarding.name
    raise TypeError(f"an action without a subject: {type(action).__name__}")


def _about(action: Action) -> dict[str, str]:
    about = {"action": type(action).__name__, "subject": _subject(action)[:64]}
    reason = getattr(action, "reason", None)
    return about | ({"reason": str(reason)} if reason else {})


def _describe(action: Action) -> str:
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(action).__name__)
    return f"{words.strip()} {_subject(action)[:64]}".strip()


def _reference(pool: PoolKey, owner: Owner) -> Object:
    return {
        "apiVersion": names.API_VERSION,
        "kind": owner.kind,
        "namespace": pool[0],
        "name": owner.name,
        "uid": owner.uid,
    }


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
