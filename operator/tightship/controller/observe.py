"""From the store and the agents' answers to the immutable snapshot that plan() decides on."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TypeVar, cast

from tightship.api import names
from tightship.api.progress import Position
from tightship.controller.job_facts import job_fact
from tightship.controller.node_facts import NodeFacts
from tightship.controller.progress import Log
from tightship.controller.server_facts import POD_FIELDS, server_fact, slice_pairs
from tightship.controller.servers import AgentView, ServerAddress
from tightship.controller.spec_facts import model_fact, pool_fact
from tightship.kube.inventory import Inventory
from tightship.kube.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    JOBS,
    OPTIMIZED_MODELS,
    PODS,
    SERVICES,
    SERVING_POOLS,
)
from tightship.kube.store import Entry, PoolKey, Store
from tightship.plan.snapshot import (
    DeploymentFact,
    Endpoint,
    JobFact,
    ModelFact,
    PoolFact,
    ServerFact,
    ServiceFact,
    Snapshot,
)

SERVER = "server"
CONVERT = "convert"  # the container in which a conversion does its work

T = TypeVar("T")


class Observer:
    """Builds snapshots. Facts are kept beside the stored version that they were read from."""

    def __init__(
        self,
        store: Store,
        agent: Callable[[str], AgentView],
        position: Callable[[str], Position | None] = lambda _: None,
        *,
        inventory: Inventory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._agent = agent
        self._position = position
        self._nodes = NodeFacts(inventory) if inventory else None
        self._clock = clock
        self._endpoints: dict[PoolKey, dict[tuple[str, str], Endpoint]] = {}
        self.watching_since = clock()

    def snapshot(
        self, pool: PoolKey, *, secret_expires: float | None, strangers: Iterable[str]
    ) -> Snapshot:
        """Everything about one pool now; `strangers` are names of Services that are not ours."""
        now = self._clock()
        servers = tuple(self._server(entry) for entry in self.server_pods(pool))
        models = tuple(self._model(e) for e in self._store.of_pool(OPTIMIZED_MODELS, pool))
        return Snapshot(
            namespace=pool[0],
            pool_name=pool[1],
            now=now,
            pool=self._pool(pool),
            models=models,
            jobs=tuple(self._jobs(pool, {model.uid for model in models})),
            servers=servers,
            endpoints=self._pairs(pool, {server.name for server in servers}, now),
            services=self._services(pool, strangers),
            deployment=self._deployment(pool),
            inventory=self._nodes.inventory() if self._nodes else None,
            sweep=bool(self.sweep_parts(pool)),
            watching_since=self.watching_since,
            agent_secret_expires=secret_expires,
        )

    def server_pods(self, pool: PoolKey) -> list[Entry]:
        """Pods of the pool's servers that have not ended."""
        return [
            pod
            for pod in self._store.of_pool(PODS, pool)
            if pod.labels.get(names.COMPONENT_LABEL) == SERVER
            and (pod.value.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        ]

    def sweep_parts(self, pool: PoolKey) -> list[Entry]:
        """What exists of the pool's clean-up of the store: CronJob first, so that none starts."""
        owner = self._store.get(SERVING_POOLS, *pool)
        found = [
            self._store.get(resource, pool[0], names.sweep_name(pool[1]))
            for resource in (CRON_JOBS, CONFIG_MAPS)
        ]
        return [
            entry
            for entry in found
            if entry
            and owner
            and owner.uid in entry.owners
            and "deletionTimestamp" not in entry.value["metadata"]
        ]

    def addresses(self, pool: PoolKey) -> dict[str, ServerAddress]:
        """Where the agents of the pool's servers are, by pod uid."""
        found = {}
        for pod in self.server_pods(pool):
            ip = (pod.value.get("status") or {}).get("podIP")
            if ip:
                found[pod.uid] = ServerAddress(pool, pod.uid, ip)
        return found

    def logs(self, pool: PoolKey) -> dict[str, Log]:
        """Logs that say how far the pool's conversions are, by pod uid."""
        found = {}
        for job in self._store.of_pool(JOBS, pool):
            pods = self._store.owned_by(PODS, job.uid)
            fact = _derived(job, partial(job_fact, pods=pods), _versions(pods))
            if fact is not None and fact.step == CONVERT:
                found.update({pod.uid: Log(pool, pod.name) for pod in pods})
        return found

    def forget(self, pool: PoolKey) -> None:
        """Drop what is remembered of a pool that is gone."""
        self._endpoints.pop(pool, None)

    def shared_elsewhere(self, job: Entry, pool: PoolKey) -> frozenset[str]:
        """Owners of a Job that are living models of other pools."""
        if job.pools <= {pool}:
            return frozenset()
        here = {entry.uid for entry in self._store.of_pool(OPTIMIZED_MODELS, pool)}
        others = {
            entry.uid
            for other in job.pools - {pool}
            for entry in self._store.of_pool(OPTIMIZED_MODELS, other)
        }
        return (job.owners & others) - here

    def _pool(self, pool: PoolKey) -> PoolFact | None:
        entry = self._store.get(SERVING_POOLS, *pool)
        if entry is None:
            return None
        return _derived(entry, pool_fact)

    def _model(self, entry: Entry) -> ModelFact:
        return _derived(entry, model_fact)

    def _jobs(self, pool: PoolKey, models: set[str]) -> Iterable[JobFact]:
        for job in self._store.of_pool(JOBS, pool):
            if not job.owners & models and self.shared_elsewhere(job, pool):
                continue
            pods = self._store.owned_by(PODS, job.uid)
            fact = _derived(job, partial(job_fact, pods=pods), _versions(pods))
            if fact is not None and fact.step == CONVERT:
                position = next(filter(None, (self._position(pod.uid) for pod in pods)), None)
                fact = replace(fact, position=position)
            if fact is not None:
                yield fact

    def _server(self, entry: Entry) -> ServerFact:
        view = self._agent(entry.uid)
        fact = _derived(entry, server_fact)
        # The agent's part changes without a new version of the pod.
        return ServerFact(
            **{name: getattr(fact, name) for name in POD_FIELDS},
            agent=view.state,
            agent_age=view.age,
            agent_error=view.error,
        )

    def _services(self, pool: PoolKey, strangers: Iterable[str]) -> tuple[ServiceFact, ...]:
        ours = [_derived(e, _service_fact) for e in self._store.of_pool(SERVICES, pool)]
        return (*ours, *(ServiceFact(name=name, ours=False) for name in sorted(strangers)))

    def _deployment(self, pool: PoolKey) -> DeploymentFact | None:
        entry = self._store.get(DEPLOYMENTS, pool[0], names.servers_name(pool[1]))
        if entry is None:
            return None
        spec, status = entry.value.get("spec") or {}, entry.value.get("status") or {}
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
        return DeploymentFact(
            replicas=int(spec.get("replicas", 1)),
            ready_replicas=int(status.get("readyReplicas", 0)),
            revision=labels.get(names.REVISION_LABEL),
        )

    def _pairs(self, pool: PoolKey, servers: set[str], now: float) -> tuple[Endpoint, ...]:
        live: dict[tuple[str, str], bool] = {}
        for entry in self._store.of_pool(ENDPOINT_SLICES, pool):
            for pair, ready in _derived(entry, slice_pairs).items():
                live[pair] = live.get(pair, False) or ready
        before = self._endpoints.get(pool, {})
        pairs = {}
        for pair in sorted(live.keys() | {p for p in before if p[1] in servers}):
            ready, known = live.get(pair, False), before.get(pair)
            since = known.since if known and known.ready == ready else now
            pairs[pair] = Endpoint(model=pair[0], server=pair[1], ready=ready, since=since)
        self._endpoints[pool] = pairs
        return tuple(pairs.values())


def _derived(entry: Entry, read: Callable[[Entry], T], depends: tuple[str, ...] = ()) -> T:
    """What `read` makes of a stored version, once; `depends` are other versions that it reads."""
    known = entry.derived
    if known is None or known[0] != depends:
        known = (depends, read(entry))
        entry.derived = known
    return cast("T", known[1])


def _versions(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(f"{entry.uid}/{entry.version}" for entry in entries)


def _service_fact(entry: Entry) -> ServiceFact:
    return ServiceFact(name=entry.name, ours=True)
