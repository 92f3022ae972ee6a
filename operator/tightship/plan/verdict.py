"""How far a model is: its copies counted, and the conditions that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tightship.api.agent import LoadState
from tightship.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    find_condition,
)
from tightship.plan import drift
from tightship.plan.rollout import Wanted, carried_out, update_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tightship.api.failures import Failure
    from tightship.plan.figures import Artifact
    from tightship.plan.fleet import Fleet, Sight
    from tightship.plan.outcome import Outcome
    from tightship.plan.placement import Shortage
    from tightship.plan.snapshot import ModelFact

_LOADING = frozenset(
    {LoadState.PENDING, LoadState.FETCHING, LoadState.LOADING, LoadState.VERIFYING}
)
_NAMED = 3  # servers that a message names


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """All that one model's status is made from. `invalid` replaces what cannot be decided."""

    model: ModelFact
    namespace: str
    outcome: Outcome
    artifact: Artifact | None
    wanted: Wanted | None
    places: tuple[str, ...]
    copies: int  # wanted
    sights: tuple[Sight, ...]
    shortage: Shortage | None
    cut: str | None = None  # why serving settings differ from the wish
    invalid: Condition | None = None
    conflict: bool = False  # a Service of that name is not ours
    paused: bool = False
    fresh: Condition | None = None  # None: nobody asked
    crowded: bool = False  # no server has the time to keep its objective beside the others'


@dataclass(frozen=True, slots=True)
class Copies:
    """The model's copies, counted."""

    answering: int  # wherever the client is
    done: int  # answering in the wanted version
    loaded: int
    loading: int
    unreachable: int
    failure: Failure | None
    failed: int
    blocked: bool  # the wanted version does not load


def count(subject: Subject) -> Copies:
    """Looks at every copy."""
    wanted, known = subject.wanted, _is_serving(subject.model)
    answering = done = loaded = loading = unreachable = failed = 0
    failure: Failure | None = None
    blocked = False
    for sight in subject.sights:
        held = sight.held
        answers = sight.answering and (known or sight.settled)
        answering += answers
        done += answers and wanted is not None and _is_done(wanted, sight)
        loaded += sight.loaded is not None
        loading += held is not None and held.state in _LOADING
        unreachable += not sight.reachable
        if held is not None and held.failure is not None and sight.entry is not None:
            failed += 1
            failure = failure or held.failure
            blocked = blocked or (wanted is not None and update_failure(wanted, sight) is not None)
    return Copies(answering, done, loaded, loading, unreachable, failure, failed, blocked)


def settles_at(model: ModelFact, fleet: Fleet) -> float | None:
    """When the first copy of a model that does not serve yet answers; None: no time is known."""
    sights = [sight for sight in fleet.seen(model.name) if sight.answering]
    if not sights or any(sight.settled for sight in sights) or _is_serving(model):
        return None
    times = [fleet.settled_at(model.name, fleet.by_name[sight.server]) for sight in sights]
    return min((t for t in times if t is not None), default=None)


def _is_serving(model: ModelFact) -> bool:
    """Whether its status says that it answers; then the nodes have known of it for a while.

    What they know is no part of the status, and begins anew with each operator.
    """
    found = find_condition(model.status, ConditionType.SERVING)
    return found.get("status") == ConditionStatus.TRUE


def _is_done(wanted: Wanted, sight: Sight) -> bool:
    return wanted.held or carried_out(wanted.entry, sight)


def transition(subject: Subject, copies: Copies) -> str:
    """KServe's transitionStatus."""
    if subject.invalid is not None:
        return "InvalidSpec"
    if subject.outcome.condition.status is ConditionStatus.FALSE or copies.blocked:
        return "BlockedByFailedLoad"
    converted = subject.outcome.condition.status is ConditionStatus.TRUE
    if converted and 0 < subject.copies <= copies.done:
        return "UpToDate"
    return "InProgress"


def conditions(subject: Subject, copies: Copies, state: str) -> list[Condition]:
    """Ready, Converted, Placed and Serving; Fresh and InDistribution where they are asked for."""
    converted = subject.outcome.condition
    placed = _placed(subject)
    serving = _serving(subject, copies)
    ready = _ready(subject, [converted, placed, serving], copies, state)
    drifted = drift.drift(subject.model, subject.wanted, subject.sights)
    asked = [condition for condition in (subject.fresh, drifted) if condition is not None]
    return [ready, converted, placed, serving, *asked]


def _true(kind: ConditionType, reason: Reason, message: str) -> Condition:
    return Condition(type=kind, status=ConditionStatus.TRUE, reason=reason, message=message)


def _unknown(kind: ConditionType, reason: str, message: str) -> Condition:
    return Condition(type=kind, status=ConditionStatus.UNKNOWN, reason=reason, message=message)


def _false(kind: ConditionType, reason: str, message: str) -> Condition:
    return Condition(type=kind, status=ConditionStatus.FALSE, reason=reason, message=message)


def _placed(subject: Subject) -> Condition:
    kind, places = ConditionType.PLACED, subject.places
    if subject.conflict:
        name = subject.model.name
        message = (
            f"A Service named {name} exists and is not ours. Rename the model or that Service."
        )
        return _false(kind, Reason.SERVICE_CONFLICT, message)
    if subject.wanted is None:
        return _unknown(kind, Reason.AWAITING_CONVERSION, "There is no artifact to place yet.")
    if subject.shortage is not None:
        return _short(subject, subject.shortage)
    if not places:
        return _unknown(kind, Reason.AWAITING_PLACEMENT, "No server is known yet.")
    message = f"{_copies(len(places))} on {_names(places)}."
    if subject.crowded:
        message += " No server has the time to keep all objectives: raise the pool's maxServers."
    return _true(kind, Reason.PLACED, message)


def _short(subject: Subject, shortage: Shortage) -> Condition:
    kind, server = ConditionType.PLACED, shortage.server
    have = f"{subject.copies - shortage.missing} of {_copies(subject.copies)} placed"
    memory = f"{subject.wanted.entry.memory if subject.wanted else 0} bytes"
    match shortage.reason:
        case Reason.AWAITING_SERVER:
            wait = f": {shortage.waiting}" if shortage.waiting else "."
            return _unknown(kind, shortage.reason, f"{have}; a server is being started{wait}")
        case Reason.AWAITING_ROOM:
            message = f"{have}; room on {server} is free when a leaving model is unloaded."
            return _unknown(kind, shortage.reason, message)
        case Reason.TOO_LARGE:
            remedy = "Give the pool's servers more memory, or name another pool."
            message = f"One copy needs {memory}, more than an empty server has. {remedy}"
        case Reason.TOO_FEW_SERVERS:
            remedy = "Raise the pool's maxServers or lower spec.serving.replicas."
            message = f"{have}: each copy needs a server of its own. {remedy}"
        case Reason.NO_ROOM_FOR_UPDATE:
            remedy = "Raise the pool's maxServers or its servers' memory, or remove a model."
            message = (
                f"No server has {memory} free beside the version that is served; "
                f"{server} keeps that one. {remedy}"
            )
        case _:
            remedy = "Raise the pool's maxServers, or lower replicas, or remove a model."
            if server is not None:
                have = f"{server} is to be replaced"
            message = f"{have}: no server has {memory} free. {remedy}"
    return _false(kind, shortage.reason, message)


def _serving(subject: Subject, copies: Copies) -> Condition:
    kind = ConditionType.SERVING
    if copies.answering:
        wanted = max(subject.copies, 1)
        message = f"{min(copies.answering, wanted)} of {_copies(wanted)} answer."
        message = "The copy answers." if wanted == 1 else message
        if not copies.unreachable:
            return _true(kind, Reason.SERVING, message)
        deaf = [s.server for s in subject.sights if not s.reachable]
        message += f" The agent of {_names(deaf)} does not answer: nothing is changed there."
        return _true(kind, Reason.SERVER_UNREACHABLE, message)
    if copies.failure is not None:
        return _false(kind, copies.failure.reason, copies.failure.message)
    return _unknown(kind, *_not_yet(copies))


def _not_yet(copies: Copies) -> tuple[Reason, str]:
    if copies.loaded:
        message = "The model is loaded; its Service does not lead to it everywhere yet."
        return Reason.AWAITING_ENDPOINTS, message
    if copies.unreachable:
        return Reason.SERVER_UNREACHABLE, "The agent of the model's server does not answer."
    if copies.loading:
        return Reason.LOADING, "A server fetches, loads and verifies the model."
    return Reason.AWAITING_PLACEMENT, "No server has the model yet."


def _ready(subject: Subject, parts: list[Condition], copies: Copies, state: str) -> Condition:
    kind = ConditionType.READY
    refused = subject.invalid or next((c for c in parts if c.status is ConditionStatus.FALSE), None)
    if refused is not None:
        return _false(kind, refused.reason, refused.message)
    if copies.blocked and copies.failure is not None:
        still = "; the former version still answers" if copies.answering else ""
        message = f"The new version does not load{still}: {copies.failure.message}"
        return _false(kind, copies.failure.reason, message)
    if subject.paused:
        message = "Paused: nothing is changed until the annotation is removed."
        status = ConditionStatus.TRUE if copies.answering else ConditionStatus.UNKNOWN
        return Condition(type=kind, status=status, reason=Reason.PAUSED, message=message)
    return _progress(subject, parts, copies, state)


def _progress(subject: Subject, parts: list[Condition], copies: Copies, state: str) -> Condition:
    kind = ConditionType.READY
    waiting = next((c for c in parts if c.status is ConditionStatus.UNKNOWN), None)
    if waiting is not None:
        return _unknown(kind, waiting.reason, waiting.message)
    if state == "UpToDate":
        return _true(kind, Reason.READY, "The present spec is served by all copies.")
    message = f"{copies.done} of {_copies(subject.copies)} have the wanted version."
    return _unknown(kind, Reason.UPDATING, message)


def _copies(count: int) -> str:
    return "1 copy" if count == 1 else f"{count} copies"


def _names(servers: Sequence[str]) -> str:
    named = ", ".join(servers[:_NAMED])
    more = len(servers) - _NAMED
    return f"{named} and {more} more" if more > 0 else named
