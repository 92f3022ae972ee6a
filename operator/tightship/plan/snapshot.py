"""The immutable picture of one pool that every decision is a function of.

Times are seconds since the epoch. A fact that is not known is None, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.api.agent import ServerState
    from tightship.api.artifact import EvaluationResult, IntakeResult, Summary
    from tightship.api.failures import Failure
    from tightship.api.progress import Position
    from tightship.api.v1alpha1 import OptimizedModelSpec, ServingPoolSpec


@dataclass(frozen=True, slots=True)
class InvalidSpec:
    """A resource that the parser refuses; `message` says what to change."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFact:
    """One OptimizedModel of the pool. `status` is the live status as JSON."""

    name: str
    uid: str
    resource_version: str = ""  # compared early: it tells versions apart at once
    generation: int
    created: float
    spec: OptimizedModelSpec | InvalidSpec
    status: Mapping[str, Any] = field(default_factory=dict)
    deleting: bool = False
    paused: bool = False
    retry: str = ""  # a value that the status does not show yet asks for another try


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFact:
    """The ServingPool itself; None in the snapshot when models name a pool that does not exist."""

    uid: str
    generation: int
    spec: ServingPoolSpec | InvalidSpec
    status: Mapping[str, Any] = field(default_factory=dict)
    deleting: bool = False
    paused: bool = False
    resource_version: str = ""


class JobKind(StrEnum):
    """What a Job is for; the value of its component label."""

    INTAKE = "intake"
    REFRESH = "refresh"  # an intake of what a status knows already, which may have changed
    CONVERT = "convert"
    EVALUATE = "evaluate"  # of what a conversion published, on the data as they are by then


class JobState(StrEnum):
    """How far a Job is."""

    PENDING = "Pending"  # no container has started yet
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFact:
    """One Job of ours. `inputs` is the full hash from its label: of inputs, or KEY."""

    name: str
    uid: str
    kind: JobKind
    inputs: str
    owners: frozenset[str]  # uids of OptimizedModels
    created: float
    state: JobState
    started: float | None = None
    finished: float | None = None
    waiting: str | None = None  # why its pod does not start, in the scheduler's or kubelet's words
    step: str | None = None  # the container that runs, such as fetch or convert
    position: Position | None = None  # within the step convert, as lately read from its log
    result: IntakeResult | Summary | EvaluationResult | None = None
    failure: Failure | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.state in {JobState.SUCCEEDED, JobState.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFact:
    """One server pod. `agent` is its agent's last answer, `agent_age` how old that answer is."""

    name: str
    uid: str
    created: float
    ip: str | None = None
    node: str | None = None
    revision: str | None = None  # of the template that it was made from
    ready: bool = False
    ready_changed: float | None = None  # lastTransitionTime of the pod's Ready condition
    deleting: bool = False
    waiting: str | None = None  # why it does not start
    routed: frozenset[str] = frozenset()  # models whose route label it bears
    placed: bool = False  # the readiness gate's condition
    placed_changed: float | None = None  # its lastTransitionTime
    deletion_cost: int | None = None
    agent: ServerState | None = None
    agent_age: float | None = None
    agent_error: str | None = None  # why the agent does not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A (model, server) pair as the EndpointSlices show it.

    `since` is when this operator first saw it in its present state; after a restart it begins anew,
    which only ever makes a move slower.
    """

    model: str
    server: str
    ready: bool  # in a slice and ready, so that clients may reach it
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFact:
    """A Service that bears a model's name, ours or not."""

    name: str
    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentFact:
    """The pool's Deployment."""

    replicas: int
    ready_replicas: int
    revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """A taint of a node."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        """As kubectl writes it."""
        value = f"={self.value}" if self.value else ""
        return f"{self.key}{value}:{self.effect}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFact:
    """One node: what decides whether a server may go there, and what it offers in all.

    `cpu` is cores, `memory` bytes, `extended` numbers of devices by resource, all allocatable.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    usable: bool = True  # ready, and not cordoned
    cpu: float
    memory: int
    extended: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The cluster's nodes, and how many devices DRA drivers publish on each."""

    nodes: tuple[NodeFact, ...] = ()
    claimable: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything about one pool at one instant.

    `endpoints` holds the pairs that are in slices, and those that left them since this operator
    started, with `ready` False. `watching_since` is when this operator had its first full list of
    slices: a pair that `endpoints` does not name has been out of them at least since then.
    """

    namespace: str
    pool_name: str
    now: float
    pool: PoolFact | None
    models: tuple[ModelFact, ...] = ()
    jobs: tuple[JobFact, ...] = ()
    servers: tuple[ServerFact, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    services: tuple[ServiceFact, ...] = ()
    deployment: DeploymentFact | None = None
    inventory: Inventory | None = None  # None: nodes are not watched
    sweep: bool = False  # a part of the pool's clean-up of the store exists
    watching_since: float = 0.0
    agent_secret_expires: float | None = None  # None: the Secret does not exist
