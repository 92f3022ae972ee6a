"""A small world that carries out plans: Jobs end, pods start, agents load, slices follow labels.

Time is a number; a step is half a second. After every step the promises of the project are
checked against what Triton and clients would see, not against what the plan believes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import TYPE_CHECKING, Any

from tests.support.summaries import evaluated, summary

from tightship.api import names, schedule
from tightship.api.agent import (
    Assignment,
    DriftReport,
    Fence,
    HeldModel,
    LoadState,
    ModelAssignment,
    ServerState,
)
from tightship.api.artifact import EvaluationResult, IntakeResult, Summary
from tightship.api.failures import DIGEST_MISMATCH, Failure
from tightship.api.progress import Position, Stage
from tightship.api.traffic import Traffic
from tightship.api.v1alpha1 import (
    Converter,
    Drift,
    EvaluationSet,
    LatencyObjective,
    ModelSource,
    Monitoring,
    OptimizedModelSpec,
    Resources,
    ServerTemplate,
    Serving,
    ServingPoolSpec,
    Store,
    UpdateStrategy,
)
from tightship.plan.actions import (
    Action,
    ApplyConvertJob,
    ApplyEvaluateJob,
    ApplyIntakeJob,
    ApplyJob,
    ApplyModelService,
    ApplyModelStatus,
    ApplyPoolStatus,
    ApplyServers,
    ApplySweep,
    DeleteJob,
    DeleteSweep,
    EnsureAgentSecret,
    MarkServer,
    Plan,
    PutAssignment,
    RecordEvent,
    RouteServer,
)
from tightship.plan.memo import Memo
from tightship.plan.plan import plan
from tightship.plan.snapshot import (
    DeploymentFact,
    Endpoint,
    InvalidSpec,
    Inventory,
    JobFact,
    JobKind,
    JobState,
    ModelFact,
    PoolFact,
    ServerFact,
    ServiceFact,
    Snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MIB = 2**20
STEP = 0.5
LOOK = 20.0  # seconds to the next wake of a pool at rest that looks at its sources
CLIENT_LAG = 1.1  # seconds that a node may still send requests to an endpoint that has gone
START = 1_000_000.0
BASE = 300 * MIB
JOB_NAMES = {
    JobKind.INTAKE: names.intake_job_name,
    JobKind.REFRESH: names.refresh_job_name,
    JobKind.CONVERT: names.convert_job_name,
    JobKind.EVALUATE: names.evaluate_job_name,
}
WATCHED = 3.0  # seconds from a load until an agent tells a copy's traffic
LABELS = "s3://models/labels.npz"
LOADS = (LoadState.FETCHING, LoadState.LOADING, LoadState.VERIFYING)


def pool_spec(
    *,
    room: int = 1000,
    servers: tuple[int, int] = (1, 1),
    strategy: UpdateStrategy = UpdateStrategy.SURGE,
    image: str = "triton:1",
    **converter: Any,  # noqa: ANN401 (fields of Converter)
) -> ServingPoolSpec:
    """A pool whose servers have `room` MiB for models."""
    server = ServerTemplate(
        image=image,
        agent_image="agent:1",
        resources=Resources(cpu=2.0, memory=BASE + room * MIB),
        agent_resources=Resources(cpu=0.1, memory=64 * MIB),
        response_cache_bytes=0,
        drain_seconds=2.0,
    )
    return ServingPoolSpec(
        server=server,
        store=Store(uri="s3://store"),
        converter=Converter(
            image="converter:1", resources=Resources(cpu=1.0, memory=2**30), **converter
        ),
        min_servers=servers[0],
        max_servers=servers[1],
        update_strategy=strategy,
        slo_classes={"Interactive": LatencyObjective(target=0.05)},
    )


def model_spec(
    uri: str = "s3://models/a.onnx",
    *,
    replicas: int = 1,
    priority: int = 100,
    refresh: float = 0.0,
    age: float | None = None,
    cron: str | None = None,
    drift: Drift | None = None,
    **serving: Any,  # noqa: ANN401 (fields of Serving)
) -> OptimizedModelSpec:
    """A model from `uri`, looked at every `refresh` seconds, evaluated within `age`, by `cron`."""
    times = schedule.parse(cron) if cron else None
    return OptimizedModelSpec(
        model=ModelSource(storage_uri=uri, refresh_interval=refresh),
        evaluation=EvaluationSet(storage_uri=LABELS) if cron else None,
        monitoring=Monitoring(max_age=age, schedule=times, drift=drift),
        serving=Serving(pool="shared", replicas=replicas, priority=priority, **serving),
    )


def sha(text: str) -> str:
    """A digest that is easy to make."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Pod:
    """A server pod, its agent and its Triton."""

    name: str
    uid: str
    created: float
    revision: str
    capacity: int
    up_at: float
    node: str | None = None
    placed: bool = False
    routed: frozenset[str] = frozenset()
    cost: int | None = None
    gone_at: float | None = None  # when its grace period ends
    reachable: bool = True
    triton_up: bool = True
    assignment: Assignment = field(default_factory=Assignment)
    serves: dict[str, ModelAssignment] = field(default_factory=dict)  # what Triton serves, verified
    targets: dict[str, int] = field(default_factory=dict)  # step of the load under way
    failures: dict[str, Failure] = field(default_factory=dict)
    leaving: set[str] = field(default_factory=set)  # unloading
    loaded_at: dict[str, float] = field(default_factory=dict)
    placed_changed: float | None = None
    probed: bool = False  # as the kubelet finds it; it tells so a step later
    was_ready: bool = False
    ready_changed: float | None = None
    last_state: ServerState | None = None

    def started(self, now: float) -> bool:
        return now >= self.up_at

    def restored(self) -> bool:
        wanted = {m.name for m in self.assignment.models}
        return self.triton_up and not (self.lost & wanted)

    @property
    def lost(self) -> set[str]:
        return {name for name in self.targets if name in self.remembered}

    remembered: dict[str, ModelAssignment] = field(default_factory=dict)  # verified before a crash

    def ready(self, now: float) -> bool:
        return self.placed and self.started(now) and self.gone_at is None and self.restored()

    def memory(self) -> int:
        """Bytes of all versions that Triton may hold at this moment."""
        total = sum(entry.memory for entry in self.serves.values())
        return total + sum(
            entry.memory for name in self.targets if (entry := self.target(name)) is not None
        )

    def target(self, name: str) -> ModelAssignment | None:
        if name in self.remembered:
            return self.remembered[name]
        return next((m for m in self.assignment.models if m.name == name), None)


class World:
    """Everything that one pool's plan acts on."""

    def __init__(self, pool: ServingPoolSpec | InvalidSpec | None) -> None:
        self.now = START
        self.pool: PoolFact | None = None
        if pool is not None:
            self.pool = PoolFact(uid="pool-uid", generation=1, spec=pool)
        self.models: dict[str, ModelFact] = {}
        self.jobs: dict[str, JobFact] = {}
        self.sources: dict[str, str] = {}  # by Job: its source's URI
        self.code: dict[str, tuple[str | None, str | None]] = {}  # by Job: trainer's, metric's URI
        self.pinned: dict[str, str | None] = {}  # by Job: the digest that it was given
        self.pods: dict[str, Pod] = {}
        self.deployment: ApplyServers | None = None
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self.left: dict[tuple[str, str], float] = {}
        self.watching_since = self.now
        self.sweep: ApplySweep | None = None
        self.inventory: Inventory | None = None
        self.foreign: set[str] = set()
        self.secret: float | None = None
        self.events: list[RecordEvent] = []
        self.writes: Counter[str] = Counter()
        self.counter = 0
        self.job_seconds = 2.0
        self.memory: Callable[[str], int] = lambda _: 100 * MIB
        self.swelling = 1.0  # measured memory of a load over what its profile says
        self.shown: dict[str, DriftReport] = {}  # by model: what its sampled requests show
        self.asked: dict[str, Traffic] = {}  # by model: what clients ask of all its copies
        self.outcomes: dict[str, list[Failure]] = {}  # by source URI: failures before success
        self.measured: dict[str, float] = {}  # by source URI: what evaluations find
        self.start_seconds = 1.0  # of a new server, until its agent answers
        self.nodes: Iterator[str | None] = repeat(None)  # of the next servers
        self.content: dict[str, str] = {}  # by source URI: what lies there, if it was replaced
        self.limitations: dict[str, tuple[str, ...]] = {}  # by source URI
        self.bad_digests: set[str] = set()  # versions that Triton cannot load
        self.floor: dict[str, int] = {}
        self.far_floor: dict[str, int] = {}
        self.disturbed: dict[str, float] = {}  # when a fault last changed a model's endpoints
        self.history: dict[tuple[str, str], list[tuple[float, bool]]] = {}
        self.allow_gap = False
        self.schemas: Mapping[type, Any] = {}  # validators of statuses, by action
        self.restarts = False  # the operator restarts, now and then and at every kind of moment
        self.steps = 0
        self.memo = Memo()
        self.requeue: float | None = None
        self.excused: set[tuple[str, str]] = set()  # pairs broken by a fault, not by a plan
        self.good: dict[str, set[str]] = {}  # verified digests by model name

    # What users and faults do

    def uid(self) -> str:
        self.counter += 1
        return f"uid-{self.counter:04}"

    def add(self, name: str, spec: OptimizedModelSpec | InvalidSpec) -> None:
        self.models[name] = ModelFact(
            name=name, uid=self.uid(), generation=1, created=self.now, spec=spec
        )

    def edit(self, name: str, spec: OptimizedModelSpec | InvalidSpec) -> None:
        model = self.models[name]
        self.models[name] = replace(model, spec=spec, generation=model.generation + 1)
        if isinstance(spec, OptimizedModelSpec) and name in self.floor:
            self.floor[name] = min(self.floor[name], spec.serving.replicas)
            self.far_floor[name] = min(self.far_floor.get(name, 0), spec.serving.replicas)

    def annotate(self, name: str, retry: str) -> None:
        self.models[name] = replace(self.models[name], retry=retry)

    def delete(self, name: str) -> None:
        uid = self.models.pop(name).uid
        self.floor.pop(name, None)
        self.far_floor.pop(name, None)
        for job in list(self.jobs.values()):
            rest = job.owners - {uid}
            if not rest:
                del self.jobs[job.name]
            else:
                self.jobs[job.name] = replace(job, owners=rest)

    def edit_pool(self, spec: ServingPoolSpec | InvalidSpec) -> None:
        assert self.pool is not None
        self.pool = replace(self.pool, spec=spec, generation=self.pool.generation + 1)

    def pool_spec(self) -> ServingPoolSpec:
        assert self.pool is not None
        assert isinstance(self.pool.spec, ServingPoolSpec)
        return self.pool.spec

    @staticmethod
    def changed(spec: ServingPoolSpec) -> ServingPoolSpec:
        """Another template that changes no KEY."""
        return replace(spec, server=replace(spec.server, agent_image="agent:2"))

    def kill_pod(self, name: str) -> None:
        """The pod is gone at once; clients of its models see it."""
        del self.pods[name]
        self._excuse(name)

    def kill_triton(self, name: str) -> None:
        pod = self.pods[name]
        pod.remembered, pod.serves = dict(pod.serves), {}
        pod.targets = dict.fromkeys(pod.remembered, 0)
        self._excuse(name)

    def restart_operator(self) -> None:
        """All that the operator remembers is when it saw endpoints, and which have left."""
        self.memo = Memo()
        self.watching_since = self.now
        self.endpoints = {
            pair: replace(e, since=self.now) for pair, e in self.endpoints.items() if e.ready
        }

    def _excuse(self, server: str) -> None:
        for pair in list(self.endpoints):
            if pair[1] == server:
                self.excused.add(pair)
                self.disturbed[pair[0]] = self.now
        self.floor = {m: min(f, self.answering(m)) for m, f in self.floor.items()}

    # What the operator sees

    def snapshot(self) -> Snapshot:
        servers = tuple(self._server(pod) for pod in self.pods.values())
        deployment = None
        if self.deployment is not None:
            ready = sum(p.ready(self.now) for p in self.pods.values())
            deployment = DeploymentFact(
                replicas=self.deployment.replicas,
                ready_replicas=ready,
                revision=self.deployment.revision,
            )
        return Snapshot(
            namespace="search",
            pool_name="shared",
            now=self.now,
            pool=self.pool,
            models=tuple(self.models.values()),
            jobs=tuple(self.jobs.values()),
            servers=servers,
            endpoints=tuple(self.endpoints.values()),
            services=tuple(ServiceFact(name=n, ours=False) for n in sorted(self.foreign)),
            deployment=deployment,
            inventory=self.inventory,
            sweep=self.sweep is not None,
            watching_since=self.watching_since,
            agent_secret_expires=self.secret,
        )

    def _server(self, pod: Pod) -> ServerFact:
        up = pod.started(self.now)
        if up and pod.reachable:
            pod.last_state = self._state(pod)
        return ServerFact(
            name=pod.name,
            uid=pod.uid,
            created=pod.created,
            ip="10.0.0.1" if up else None,
            node=pod.node,
            revision=pod.revision,
            ready=pod.was_ready,
            ready_changed=pod.created if pod.ready_changed is None else pod.ready_changed,
            deleting=pod.gone_at is not None,
            routed=pod.routed,
            placed=pod.placed,
            placed_changed=pod.placed_changed,
            deletion_cost=pod.cost,
            agent=pod.last_state,
            agent_age=0.5 if pod.last_state else None,
            agent_error=None if pod.reachable else "connection refused",
        )

    def _state(self, pod: Pod) -> ServerState:
        known = {*pod.serves, *pod.targets, *(m.name for m in pod.assignment.models)}
        held = [self._held(pod, name) for name in sorted(known)]
        return ServerState(
            etag=pod.assignment.etag,
            assignment=pod.assignment,
            fence=Fence(0, 0),
            ready=pod.restored(),
            triton_live=pod.triton_up,
            models=tuple(held),
            memory_limit=pod.capacity,
        )

    def _held(self, pod: Pod, name: str) -> HeldModel:
        served, target = pod.serves.get(name), pod.target(name)
        failure = pod.failures.get(name)
        step = LOADS[min(pod.targets.get(name, 0), 2)] if name in pod.targets else None
        if served is None:
            state = LoadState.FAILED if failure else (step or LoadState.PENDING)
            digest = target.digest if target and step else None
            return HeldModel(
                name=name, state=state, target_digest=digest, target_state=step, failure=failure
            )
        state = LoadState.UNLOADING if name in pod.leaving else LoadState.LOADED
        shown = self.shown.get(name) if target and target.drift else None
        behind = target is not None and (target.digest, target.config) != (
            served.digest,
            served.config,
        )
        return HeldModel(
            name=name,
            state=state,
            digest=served.digest,
            config=served.config,
            memory=int(served.memory * self.swelling),
            target_digest=target.digest if target and behind else None,
            target_state=step if behind else None,
            failure=failure,
            drift=replace(shown, digest=served.digest) if shown else None,
            traffic=self._traffic(pod, name),
        )

    def _traffic(self, pod: Pod, name: str) -> Traffic | None:
        """A copy's part: requests are spread evenly over those that answer, models share time."""
        asked = self.asked.get(name)
        if asked is None or self.now - pod.loaded_at[name] < WATCHED:
            return None
        rate = self._rate(name, pod)
        others = sum(self._rate(n, pod) * a.busy for n, a in self.asked.items() if n != name)
        busy = round(asked.busy / (1 - min(0.75, others)), 5)
        return replace(asked, rate=rate, busy=busy) if rate else Traffic(rate=0.0)

    def _rate(self, name: str, pod: Pod) -> float:
        """Requests a second that a copy gets, each an execution of its own."""
        endpoint = self.endpoints.get((name, pod.name))
        mine = endpoint is not None and endpoint.ready and name in pod.serves
        return self.asked[name].rate / self.answering(name) if mine else 0.0

    # One step

    def step(self) -> Plan:
        self.steps += 1
        if self.restarts and self.steps % 13 in {0, 1, 3}:
            self.restart_operator()
        snapshot = self.snapshot()
        result = plan(snapshot, self.memo)
        assert result == plan(snapshot), "the plan depends on what it remembers"
        self.requeue = result.requeue_after
        for action in result.actions:
            self.apply(action)
        self.check()
        self.advance()
        self.check()
        return result

    def settle(self, limit: int = 400) -> None:
        """Steps until nothing changes any more and no plan wants a write."""
        quiet = 0
        for _ in range(limit):
            before = self.picture()
            result = self.step()
            calm = before == self.picture() and not self.pending(result)
            soon = result.requeue_after is not None and result.requeue_after < LOOK
            quiet = quiet + 1 if calm and not soon else 0
            if quiet > 6:
                return
        raise AssertionError(f"no rest after {limit} steps: {self.pending(result)}")

    def pending(self, result: Plan) -> list[Action]:
        """Actions that would write something."""
        applied = (ApplyModelService, ApplyServers, ApplySweep)
        return [a for a in result.actions if not isinstance(a, applied)]

    def picture(self) -> str:
        parts = [
            {n: m.status for n, m in self.models.items()},
            self.pool.status if self.pool else None,
            sorted(map(repr, self.jobs.values())),
            sorted(repr(replace(p, last_state=None)) for p in self.pods.values()),
            repr(self.deployment),
        ]
        return json.dumps(parts, default=repr, sort_keys=True)

    def apply(self, action: Action) -> None:  # noqa: C901, PLR0912 (one case for each action)
        self.writes[type(action).__name__] += 1
        if isinstance(action, ApplyModelStatus | ApplyPoolStatus) and type(action) in self.schemas:
            self.schemas[type(action)].validate(action.status)
        match action:
            case EnsureAgentSecret():
                self.secret = self.now + 365 * 86400
            case ApplyServers():
                self.deployment = action
            case ApplySweep():
                self.sweep = action
            case DeleteSweep():
                self.sweep = None
            case ApplyModelService():
                assert action.model in self.models
            case ApplyIntakeJob():
                kind = JobKind.REFRESH if action.again else JobKind.INTAKE
                self._apply_job(kind, action.inputs, action)
            case ApplyConvertJob():
                self._apply_job(JobKind.CONVERT, action.key, action)
            case ApplyEvaluateJob():
                self._apply_job(JobKind.EVALUATE, action.inputs, action)
            case DeleteJob():
                job = self.jobs.get(action.name)
                if job is not None and job.uid == action.uid:
                    del self.jobs[action.name]
            case PutAssignment():
                pod = self.pods[action.server]
                assert pod.reachable
                assert pod.gone_at is None
                if pod.assignment.etag == action.expected_etag:
                    self._assign(pod, action.assignment)
            case RouteServer():
                self.pods[action.server].routed = action.models
            case MarkServer():
                pod = self.pods[action.server]
                if pod.placed != action.placed:
                    pod.placed_changed = self.now
                pod.placed, pod.cost = action.placed, action.deletion_cost
            case ApplyModelStatus():
                status = json.loads(json.dumps(action.status))
                self.models[action.model] = replace(self.models[action.model], status=status)
            case ApplyPoolStatus():
                assert self.pool is not None
                status = json.loads(json.dumps(action.status))
                self.pool = replace(self.pool, status=status)
            case RecordEvent():
                self.events.append(action)

    def _apply_job(self, kind: JobKind, inputs: str, action: ApplyJob) -> None:
        name = JOB_NAMES[kind](inputs)
        owners = frozenset(owner.uid for owner in action.owners)
        old = self.jobs.get(name)
        if old is not None:
            self.jobs[name] = replace(old, owners=old.owners | owners)
            return
        self.jobs[name] = JobFact(
            name=name,
            uid=self.uid(),
            kind=kind,
            inputs=inputs,
            owners=owners,
            created=self.now,
            state=JobState.PENDING,
        )
        self.sources[name] = action.model_spec.model.storage_uri
        trainer, metric = action.model_spec.optimization.trainer, action.model_spec.own_metric
        self.code[name] = (
            trainer.storage_uri if trainer else None,
            metric.storage_uri if metric else None,
        )
        self.pinned[name] = action.source_digest if isinstance(action, ApplyConvertJob) else None

    def _assign(self, pod: Pod, assignment: Assignment) -> None:
        new = {m.name: m for m in assignment.models}
        for name in list(pod.failures):
            if new.get(name) != pod.target(name):
                del pod.failures[name]
                pod.targets.pop(name, None)
        for name in list(pod.targets):
            if name not in pod.remembered and new.get(name) != pod.target(name):
                del pod.targets[name]
        pod.assignment = assignment
        pod.remembered = {n: e for n, e in pod.remembered.items() if n in new}
        pod.targets = {n: s for n, s in pod.targets.items() if n in new}

    def advance(self) -> None:
        self.now += STEP
        for job in list(self.jobs.values()):
            self._run(job)
        self._deploy()
        for pod in list(self.pods.values()):
            if pod.gone_at is not None and self.now >= pod.gone_at:
                del self.pods[pod.name]
                continue
            if pod.started(self.now):
                self._agent(pod)
            if pod.probed != pod.was_ready:
                pod.was_ready, pod.ready_changed = pod.probed, self.now
            pod.probed = pod.ready(self.now)
        self._slices()

    def _run(self, job: JobFact) -> None:
        if job.state is JobState.PENDING:
            self.jobs[job.name] = replace(job, state=JobState.RUNNING, started=self.now)
        if job.state is not JobState.RUNNING:
            return
        elapsed = self.now - (job.started or 0)
        if elapsed < self.job_seconds:
            self.jobs[job.name] = replace(job, **self._place(job, elapsed))
            return
        job = replace(job, step=None, position=None)
        uri = self.sources[job.name]
        failures = self.outcomes.get(f"{job.kind}:{uri}", [])
        if self.pinned[job.name] not in {None, self._digest(uri)}:
            failures = [Failure(reason=DIGEST_MISMATCH, message="The source has changed.")]
        if failures:
            self.jobs[job.name] = replace(
                job, state=JobState.FAILED, finished=self.now, failure=failures.pop(0)
            )
            return
        self.jobs[job.name] = replace(
            job, state=JobState.SUCCEEDED, finished=self.now, result=self._result(job, uri)
        )

    def _place(self, job: JobFact, elapsed: float) -> dict[str, Any]:
        """Which container runs, and what its log says; the log is seen a step later."""
        if elapsed <= STEP:
            return {"step": "fetch"}
        if job.kind is JobKind.EVALUATE:
            return {"step": "evaluate"}
        if job.kind is not JobKind.CONVERT:
            return {"step": "inspect"}
        seen = int(elapsed // STEP) - 2
        count = max(seen, int(self.job_seconds // STEP))
        position = Position(Stage.CANDIDATES, seen, count, f"c{seen}") if seen else None
        return {"step": "convert", "position": position}

    def _result(self, job: JobFact, uri: str) -> IntakeResult | Summary | EvaluationResult:
        if job.kind is JobKind.EVALUATE:
            return evaluated(job.inputs, self.measured.get(uri, 0.97), time=int(self.now))
        if job.kind is not JobKind.CONVERT:
            limits, (trainer, metric) = self.limitations.get(uri, ()), self.code[job.name]
            return IntakeResult(
                source_digest=self._digest(uri),
                source_bytes=10,
                limitations=limits,
                trainer_digest=self._digest(trainer) if trainer else None,
                metric_digest=self._digest(metric) if metric else None,
            )
        return summary(job.inputs, digest=sha(job.inputs), memory=self.memory(uri))

    def _digest(self, uri: str) -> str:
        return sha(self.content.get(uri, uri))

    def _deploy(self) -> None:
        """The Deployment's controller, with maxSurge 1 or maxUnavailable 1."""
        wanted = self.deployment
        if wanted is None:
            return
        live = [p for p in self.pods.values() if p.gone_at is None]
        new = [p for p in live if p.revision == wanted.revision]
        old = [p for p in live if p.revision != wanted.revision]
        surge = 1 if wanted.spec.update_strategy is UpdateStrategy.SURGE else 0
        least = wanted.replicas - (1 - surge)
        doomed = sorted(old or new, key=lambda p: (p.ready(self.now), p.cost or 0, p.name))
        spare = len(live) - (least if old else wanted.replicas)
        for pod in doomed[: max(0, spare)]:
            available = sum(p.ready(self.now) for p in live if p.gone_at is None)
            if old and pod.ready(self.now) and available - 1 < least:
                break
            pod.gone_at = self.now + wanted.spec.server.drain_seconds + 1
        live = [p for p in live if p.gone_at is None]
        new = [p for p in new if p.gone_at is None]
        while len(new) < wanted.replicas and len(live) < wanted.replicas + (surge if old else 0):
            pod = self._new_pod(wanted)
            new.append(pod)
            live.append(pod)

    def _new_pod(self, wanted: ApplyServers) -> Pod:
        uid = self.uid()
        pod = Pod(
            name=f"pool-shared-{uid}",
            uid=uid,
            created=self.now,
            revision=wanted.revision,
            capacity=wanted.spec.server.resources.memory - BASE,
            up_at=self.now + self.start_seconds,
            node=next(self.nodes),
        )
        self.pods[pod.name] = pod
        return pod

    def _agent(self, pod: Pod) -> None:
        """One step of loading for one model at a time; unloading is done in the second step."""
        wanted = {m.name: m for m in pod.assignment.models}
        for name in list(pod.leaving):
            pod.leaving.discard(name)
            if name not in wanted:
                pod.serves.pop(name, None)
        pod.leaving |= {name for name in pod.serves if name not in wanted}
        busy = next((n for n in sorted(pod.targets) if n not in pod.failures), None)
        if busy is None:
            busy = next((n for n in sorted(wanted) if self._behind(pod, wanted[n])), None)
            if busy is not None:
                pod.targets[busy] = 0
            return
        pod.targets[busy] += 1
        if pod.targets[busy] >= len(LOADS):
            self._loaded(pod, busy)

    def _behind(self, pod: Pod, entry: ModelAssignment) -> bool:
        served = pod.serves.get(entry.name)
        same = served and (served.digest, served.config) == (entry.digest, entry.config)
        return not same and entry.name not in pod.failures

    def _loaded(self, pod: Pod, name: str) -> None:
        entry = pod.target(name)
        del pod.targets[name]
        pod.remembered.pop(name, None)
        assert entry is not None
        if entry.digest in self.bad_digests:
            message = "Triton cannot load it"
            pod.failures[name] = Failure(reason="ModelLoadFailed", message=message)
            return
        pod.serves[name] = entry
        pod.loaded_at[name] = self.now
        self.good.setdefault(name, set()).add(entry.digest)

    def _slices(self) -> None:
        for pod in self.pods.values():
            for model in {*pod.routed, *(m for m, s in self.endpoints if s == pod.name)}:
                ready = model in pod.routed and pod.ready(self.now)
                old = self.endpoints.get((model, pod.name))
                if old is None and not ready:
                    continue
                if old is None or old.ready != ready:
                    self.history.setdefault((model, pod.name), []).append((self.now, ready))
                    since = self.now
                    self.endpoints[model, pod.name] = Endpoint(
                        model=model, server=pod.name, ready=ready, since=since
                    )
                    if not ready:
                        self.left[model, pod.name] = self.now
                    elif (model, pod.name) in self.excused:
                        self.excused.discard((model, pod.name))
                        self.disturbed[model] = self.now
        for pair in [p for p in self.endpoints if p[1] not in self.pods]:
            del self.endpoints[pair]

    # Promises

    def answering(self, model: str) -> int:
        return sum(
            e.ready and e.server in self.pods and model in self.pods[e.server].serves
            for (name, _), e in self.endpoints.items()
            if name == model
        )

    def answering_far(self, model: str) -> int:
        """Copies that answer clients on a node whose rules are `CLIENT_LAG` behind the slices."""
        then = self.now - CLIENT_LAG
        found = 0
        for (name, server), changes in self.history.items():
            known = [ready for at, ready in changes if at <= then]
            if name == model and known and known[-1]:
                found += server in self.pods and model in self.pods[server].serves
        return found

    def check(self) -> None:
        for pod in self.pods.values():
            assert pod.memory() <= pod.capacity, f"{pod.name} is over its memory"
        self._check_routes()
        self._check_floor()
        self._check_jobs()

    def _check_routes(self) -> None:
        """Whoever may still get requests must have the model, verified."""
        for (model, server), endpoint in self.endpoints.items():
            reached = endpoint.ready or self.now - self.left.get((model, server), 0) < CLIENT_LAG
            pod = self.pods.get(server)
            if not reached or pod is None or model not in self.models:
                continue
            if (model, server) in self.excused or not pod.reachable:
                continue
            served = pod.serves.get(model)
            assert served is not None, f"{model} is routed to {server}, which does not have it"
            assert served.digest in self.good[model]

    def _check_floor(self) -> None:
        """As many copies answer as ever did, unless fewer are wanted or a fault took them."""
        if self.pool is None or isinstance(self.pool.spec, InvalidSpec):
            return
        for name, model in self.models.items():
            if "artifact" not in model.status or not isinstance(model.spec, OptimizedModelSpec):
                continue  # a namesake's copies may still be there; an invalid spec asks for nothing
            wanted = min(model.spec.serving.replicas, self.pool_spec().max_servers)
            now = self.answering(name)
            least = self.floor.get(name, 0) - (1 if self.allow_gap else 0)
            assert now >= min(least, wanted), f"{name}: {now} copies answer, {least} did before"
            self.floor[name] = min(wanted, max(self.floor.get(name, 0), now))
            if self.now - self.disturbed.get(name, 0) <= CLIENT_LAG + STEP or any(
                model == name for model, _ in self.excused
            ):
                self.far_floor[name] = 0  # far nodes are still learning of the fault
                continue
            far, least = self.answering_far(name), self.far_floor.get(name, 0) - self.allow_gap
            assert far >= min(least, wanted), f"{name}: {far} copies answer a far node, not {least}"
            self.far_floor[name] = min(wanted, max(self.far_floor.get(name, 0), far))

    def _check_jobs(self) -> None:
        assert self.pool is not None
        spec = self.pool.spec
        if not isinstance(spec, ServingPoolSpec):
            return
        open_ = [
            j.kind for j in self.jobs.values() if j.state in {JobState.PENDING, JobState.RUNNING}
        ]
        small = [kind for kind in open_ if kind is not JobKind.CONVERT]
        assert len(small) <= spec.converter.max_concurrent_intakes
        assert open_.count(JobKind.CONVERT) <= spec.converter.max_concurrent

    # What users see

    def condition(self, model: str, kind: str) -> tuple[str, str]:
        """Status and reason."""
        found = next(c for c in self.models[model].status["conditions"] if c["type"] == kind)
        return found["status"], found["reason"]

    def ready(self, model: str) -> bool:
        return self.condition(model, "Ready")[0] == "True"

    def servers_of(self, model: str) -> list[str]:
        return sorted(p.name for p in self.pods.values() if model in p.serves)
