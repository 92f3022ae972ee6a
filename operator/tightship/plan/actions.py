"""What a plan asks for, in order: frozen values that say what is wanted and why.

Each action is idempotent. Those named Apply state the whole wanted object; writing it again when
nothing differs sends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tightship.api import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.api.agent import Assignment
    from tightship.api.v1alpha1 import OptimizedModelSpec, ServingPoolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """An owner reference to one of our own resources."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsureAgentSecret:
    """The pool's certificate, token and Triton key exist and are valid for a while."""

    pool: str
    owner: Owner
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyServers:
    """The pool's Deployment, PodDisruptionBudget and NetworkPolicies, with this many servers."""

    pool: str
    owner: Owner
    spec: ServingPoolSpec
    replicas: int
    revision: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyModelService:
    """The plain Service of one model."""

    model: str
    pool: str
    owner: Owner
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyIntakeJob:
    """An intake of one source and its data, `again` when it is known and may have changed."""

    inputs: str
    owners: tuple[Owner, ...]
    pool: str
    pool_spec: ServingPoolSpec
    model_spec: OptimizedModelSpec
    reason: str
    again: bool = False

    @property
    def name(self) -> str:
        """Name of the Job."""
        name = names.refresh_job_name if self.again else names.intake_job_name
        return name(self.inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyConvertJob:
    """A conversion of inputs whose digests an intake has pinned. `key` names the artifact."""

    key: str
    owners: tuple[Owner, ...]
    pool: str
    pool_spec: ServingPoolSpec
    model_spec: OptimizedModelSpec
    source_digest: str
    calibration_digest: str | None
    evaluation_digest: str | None
    reason: str
    trainer_digest: str | None = None
    metric_digest: str | None = None

    @property
    def name(self) -> str:
        """Name of the Job."""
        return names.convert_job_name(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyEvaluateJob:
    """An evaluation of a published artifact on the evaluation data as they are now.

    `inputs` names it; `key` and `digest` name the artifact.
    """

    inputs: str
    owners: tuple[Owner, ...]
    pool: str
    pool_spec: ServingPoolSpec
    model_spec: OptimizedModelSpec
    key: str
    digest: str
    reason: str

    @property
    def name(self) -> str:
        """Name of the Job."""
        return names.evaluate_job_name(self.inputs)


ApplyJob = ApplyIntakeJob | ApplyConvertJob | ApplyEvaluateJob


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteJob:
    """A Job that nobody needs any more, or a failed one that makes room for its retry."""

    name: str
    uid: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplySweep:
    """The clean-up of the pool's store; `keys` are the artifacts that are in use, sorted."""

    pool: str
    owner: Owner
    spec: ServingPoolSpec
    keys: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSweep:
    """A clean-up that the pool no longer asks for."""

    pool: str
    owner: Owner
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAssignment:
    """The whole list of models of one server, replacing the list with `expected_etag`."""

    server: str
    expected_etag: str
    assignment: Assignment
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteServer:
    """The route labels of one server pod, all of them."""

    server: str
    uid: str
    models: frozenset[str]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkServer:
    """The readiness gate and the deletion cost of one server pod."""

    server: str
    uid: str
    placed: bool
    deletion_cost: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyModelStatus:
    """The whole status of one OptimizedModel as JSON."""

    model: str
    uid: str
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyPoolStatus:
    """The whole status of the ServingPool as JSON."""

    pool: str
    uid: str
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEvent:
    """An Event on one of our resources; equal ones within an hour become one."""

    regarding: Owner
    kind: str  # Normal | Warning
    reason: str
    message: str


Action = (
    EnsureAgentSecret
    | ApplyServers
    | ApplyModelService
    | ApplyJob
    | DeleteJob
    | ApplySweep
    | DeleteSweep
    | PutAssignment
    | RouteServer
    | MarkServer
    | ApplyModelStatus
    | ApplyPoolStatus
    | RecordEvent
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Ordered actions, and when to look again though nothing changes (None: only on an event)."""

    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None
