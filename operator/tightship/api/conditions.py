"""Conditions of our resources: types, every documented reason, the rule of transition times.

True means so, Unknown means under way or not known yet, False means that somebody has to act (the
message says who and how). Reasons of a failed Job or load (`tightship.api.failures`) appear as they
are, beside those listed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MESSAGE_MAX = 1024  # characters of a condition's message; the schema has the same bound


class ConditionType(StrEnum):
    """What a condition is about."""

    READY = "Ready"  # the present spec is carried out in full
    CONVERTED = "Converted"  # model: its artifact exists
    PLACED = "Placed"  # model: every copy has a server
    SERVING = "Serving"  # model: at least one verified copy answers through the Service
    FRESH = "Fresh"  # model: nothing newer is known than what is served; absent: not asked
    IN_DISTRIBUTION = "InDistribution"  # model: requests look like its data; absent: not asked
    SCHEDULABLE = "Schedulable"  # pool: nodes have what its servers ask for; absent: not looked
    UPDATED = "Updated"  # pool: every server is made from the present template
    CONSOLIDATED = "Consolidated"  # pool: no server can be given up; absent: never asked for


class ConditionStatus(StrEnum):
    """Kubernetes' three values."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """The plan's own reasons; `DESCRIPTIONS` says what each means."""

    READY = "Ready"
    PAUSED = "Paused"
    DRY_RUN = "DryRun"
    INVALID_SPEC = "InvalidSpec"
    POOL_NOT_FOUND = "PoolNotFound"
    POOL_INVALID = "PoolInvalid"
    UNKNOWN_SLO_CLASS = "UnknownSloClass"
    UNTRUSTED_TRAINER = "UntrustedTrainer"
    UNTRUSTED_METRIC = "UntrustedMetric"
    SERVICE_CONFLICT = "ServiceConflict"
    INTAKE_QUEUED = "IntakeQueued"
    INTAKE_RUNNING = "IntakeRunning"
    CONVERSION_QUEUED = "ConversionQueued"
    CONVERTING = "Converting"
    RETRYING = "Retrying"
    CONVERTED = "Converted"
    UNCHANGED = "Unchanged"
    TEXT_INPUT = "TextInput"
    NO_BATCH_AXIS = "NoBatchAxis"
    ROWS_INTERACT = "RowsInteract"
    NOTHING_TRAINED = "NothingTrained"
    JOB_FAILED = "JobFailed"
    RESULT_MISSING = "ResultMissing"
    PLACED = "Placed"
    AWAITING_CONVERSION = "AwaitingConversion"
    AWAITING_SERVER = "AwaitingServer"
    AWAITING_ROOM = "AwaitingRoom"
    NO_ROOM = "NoRoom"
    TOO_LARGE = "TooLarge"
    TOO_FEW_SERVERS = "TooFewServers"
    NO_ROOM_FOR_UPDATE = "NoRoomForUpdate"
    SERVING = "Serving"
    AWAITING_PLACEMENT = "AwaitingPlacement"
    LOADING = "Loading"
    AWAITING_ENDPOINTS = "AwaitingEndpoints"
    SERVER_UNREACHABLE = "ServerUnreachable"
    UPDATING = "Updating"
    FRESH = "Fresh"
    OUTDATED = "Outdated"
    TOO_OLD = "TooOld"
    NOT_EVALUATED = "NotEvaluated"
    GATE_FAILED = "GateFailed"
    STABLE = "Stable"
    DRIFTED = "Drifted"
    AWAITING_SAMPLES = "AwaitingSamples"
    NOT_SAMPLED = "NotSampled"
    SERVERS_READY = "ServersReady"
    SERVERS_STARTING = "ServersStarting"
    NODES_SUFFICE = "NodesSuffice"
    NODES_HOLD_FEWER = "NodesHoldFewer"
    TOO_FEW_DEVICES = "TooFewDevices"
    NO_MATCHING_NODE = "NoMatchingNode"
    NO_SUCH_DEVICE = "NoSuchDevice"
    DEVICE_TOO_SMALL = "DeviceTooSmall"
    NODES_TOO_SMALL = "NodesTooSmall"
    NODES_NOT_WATCHED = "NodesNotWatched"
    SERVERS_UPDATED = "ServersUpdated"
    SERVERS_UPDATING = "ServersUpdating"
    UPDATE_BLOCKED = "UpdateBlocked"
    CONSOLIDATED = "Consolidated"
    CONSOLIDATABLE = "Consolidatable"
    CONSOLIDATING = "Consolidating"
    CONSOLIDATION_STOPPED = "ConsolidationStopped"
    AWAITING_REST = "AwaitingRest"
    AWAITING_TRAFFIC = "AwaitingTraffic"


DESCRIPTIONS: Mapping[Reason, str] = {
    Reason.READY: "the present spec is served by all copies",
    Reason.DRY_RUN: "the pool's spec.dryRun is set: it is planned and told, and nothing is done",
    Reason.PAUSED: "the annotation tightship.dev/paused stops every change; remove it to go on",
    Reason.INVALID_SPEC: "a field says something impossible; the message names it",
    Reason.POOL_NOT_FOUND: "spec.serving.poolRef names a ServingPool that this namespace lacks",
    Reason.POOL_INVALID: "the ServingPool's spec says something impossible; it has to be corrected",
    Reason.UNKNOWN_SLO_CLASS: "the pool has no SLO class of that name",
    Reason.UNTRUSTED_TRAINER: "the model has a trainer, and the pool does not say trustedCode",
    Reason.UNTRUSTED_METRIC: "its metric is code of yours, and the pool does not say trustedCode",
    Reason.SERVICE_CONFLICT: "a Service of the model's name is not ours: rename the model",
    Reason.INTAKE_QUEUED: "other intakes of the pool come first",
    Reason.INTAKE_RUNNING: "the source is fetched and checked",
    Reason.CONVERSION_QUEUED: "other conversions of the pool come first",
    Reason.CONVERTING: "the conversion Job runs, or waits for what the message names",
    Reason.RETRYING: "the last attempt failed for a reason that may pass; the next one follows",
    Reason.CONVERTED: "a faster variant inside the accuracy gate was found",
    Reason.UNCHANGED: "nothing faster is inside the accuracy gate; the original is served",
    Reason.TEXT_INPUT: "it is served as it came: it takes text, on which no technique works",
    Reason.NO_BATCH_AXIS: "it is served, one request at a time: it has no batch axis",
    Reason.ROWS_INTERACT: "it is served, one request at a time: rows of a batch interact",
    Reason.NOTHING_TRAINED: "it has a trainer, which the pool's converter image cannot run",
    Reason.JOB_FAILED: "the Job ended without an answer: evicted, out of time or removed",
    Reason.RESULT_MISSING: "the Job succeeded but its answer could not be read",
    Reason.PLACED: "every copy has a server",
    Reason.AWAITING_CONVERSION: "there is no artifact to place yet",
    Reason.AWAITING_SERVER: "a server is being started for it",
    Reason.AWAITING_ROOM: "room on a server becomes free when a leaving model is unloaded",
    Reason.NO_ROOM: "no server has room and the pool may have no more of them",
    Reason.TOO_LARGE: "the model needs more memory than an empty server has",
    Reason.TOO_FEW_SERVERS: "each copy needs a server of its own and the pool has too few",
    Reason.NO_ROOM_FOR_UPDATE: "no server can hold the old and the new version; the old serves",
    Reason.SERVING: "verified copies answer through the Service",
    Reason.AWAITING_PLACEMENT: "no server has the model yet",
    Reason.LOADING: "servers fetch, load or verify the model",
    Reason.AWAITING_ENDPOINTS: "it is loaded, but its Service does not lead to it everywhere yet",
    Reason.SERVER_UNREACHABLE: "the server's agent does not answer; nothing is changed there",
    Reason.UPDATING: "the present spec is being carried out; what was served before still answers",
    Reason.FRESH: "nothing newer is known than what is served, and its evaluation is young enough "
    "and inside the gate",
    Reason.OUTDATED: "what is served is of a former source, data or spec; Converted says how far "
    "the present ones are",
    Reason.TOO_OLD: "the last evaluation of what is served is older than monitoring.maxAge",
    Reason.NOT_EVALUATED: "it is not known when what is served was evaluated",
    Reason.GATE_FAILED: "on the evaluation data as they are now, what is served is outside its "
    "accuracy gate; the message has the figures",
    Reason.STABLE: "no feature of sampled requests and answers reaches monitoring.drift.maxPSI",
    Reason.DRIFTED: "requests or answers differ from the data that it was judged on; the message "
    "names the worst feature",
    Reason.AWAITING_SAMPLES: "not enough requests have been sampled since it is served",
    Reason.NOT_SAMPLED: "requests cannot be sampled; the message says why",
    Reason.SERVERS_READY: "every wanted server is ready",
    Reason.SERVERS_STARTING: "fewer servers are ready than wanted",
    Reason.NODES_SUFFICE: "the nodes hold as many servers as the pool may have",
    Reason.NODES_HOLD_FEWER: "the nodes hold fewer servers than maxServers, and minServers of them",
    Reason.TOO_FEW_DEVICES: "the nodes hold fewer servers than minServers",
    Reason.NO_MATCHING_NODE: "no node has the pool's labels, devices that are shared as it says, "
    "and only taints that it tolerates",
    Reason.NO_SUCH_DEVICE: "the pool's nodes do not offer the device that it asks for; the message "
    "says what they offer",
    Reason.DEVICE_TOO_SMALL: "a server's device, or its share of one, has less memory than "
    "accelerator.memory",
    Reason.NODES_TOO_SMALL: "no node of the pool has the processors and the memory of one server",
    Reason.NODES_NOT_WATCHED: "the operator does not look at nodes; nodes.watch of the chart lets "
    "it",
    Reason.SERVERS_UPDATED: "every server is made from the present template",
    Reason.SERVERS_UPDATING: "servers are being replaced, one by one",
    Reason.UPDATE_BLOCKED: "a new server cannot take over; the message says which model and why",
    Reason.CONSOLIDATED: "no server can be given up; as an Event: servers were given up",
    Reason.CONSOLIDATABLE: "servers can be given up, and are when that has been so for "
    "consolidation.after",
    Reason.CONSOLIDATING: "models move off servers that are given up then",
    Reason.CONSOLIDATION_STOPPED: "an Event: what was to be given up stays; the message says why, "
    "and the wait begins anew",
    Reason.AWAITING_REST: "servers or models are changing; what can be given up is seen afterwards",
    Reason.AWAITING_TRAFFIC: "requests to some copies were not counted for a minute yet, and what "
    "is not counted is not taken for nothing",
}

LIMITATIONS: Mapping[Reason, str] = {
    Reason.TEXT_INPUT: "The model takes text, on which no technique works, so it is served as it "
    "came. To have the part behind the text optimized, export that part alone, with numbers as "
    "its inputs.",
    Reason.NO_BATCH_AXIS: "The model has no batch axis, so requests are answered one at a time and "
    "dynamic batching is off. To have requests joined, export it with a free first axis in every "
    "input and output.",
    Reason.ROWS_INTERACT: "A row's answer depends on the other rows of its batch, so requests are "
    "answered one at a time and dynamic batching is off. To have requests joined, export it so "
    "that each row is computed on its own.",
    Reason.NOTHING_TRAINED: "The pool's converter image has no torch, so the trainer is not run "
    "and nothing is trained. Set converter.image of the ServingPool to the image converter-torch, "
    "or leave optimization.trainer out.",
}
"""What a sound model itself, or the converter image, rules out: cause and remedy, in the order in
which they are told. The model is served all the same, and its condition Converted has the first of
them as its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition as it should be; when it last changed is `merge_conditions`' business."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as Kubernetes writes a time: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(stamp: object) -> float | None:
    """The reverse of `timestamp`; None for what is no time."""
    if not isinstance(stamp, str):
        return None
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None


def merge_conditions(
    live: Sequence[Mapping[str, Any]], wanted: Iterable[Condition], generation: int, now: float
) -> list[dict[str, Any]]:
    """`conditions` of a status, in the order given; what `wanted` does not name goes.

    `lastTransitionTime` is `live`'s for the same type, unless the status differs.
    """
    known = {condition.get("type"): condition for condition in live}
    return [set_condition(known.get(c.type), c, generation, now) for c in wanted]


def set_condition(
    before: Mapping[str, Any] | None, wanted: Condition, generation: int, now: float
) -> dict[str, Any]:
    """The JSON of one condition, given the live one of its type."""
    changed = None
    if before is not None and before.get("status") == wanted.status:
        changed = before.get("lastTransitionTime")
    return {
        "type": str(wanted.type),
        "status": str(wanted.status),
        "reason": str(wanted.reason),
        "message": wanted.message[:MESSAGE_MAX],
        "observedGeneration": generation,
        "lastTransitionTime": changed or timestamp(now),
    }


def find_condition(status: Mapping[str, Any], kind: ConditionType) -> Mapping[str, Any]:
    """The live condition of one type; empty when there is none."""
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions", ())
    return next((c for c in conditions if c.get("type") == kind), {})


def known_condition(status: Mapping[str, Any], kind: ConditionType) -> Condition | None:
    """That condition as one to be kept, where nothing new can be said; None when there is none."""
    live = find_condition(status, kind)
    if not live:
        return None
    return Condition(
        type=kind,
        status=ConditionStatus(live["status"]),
        reason=live["reason"],
        message=live["message"],
    )
