"""The status of one OptimizedModel as JSON, in KServe's words where it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tightship.api import names
from tightship.api.agent import LoadState
from tightship.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    find_condition,
    known_condition,
    merge_conditions,
)
from tightship.api.v1alpha1 import OptimizedModelSpec
from tightship.plan import figures, inputs, remembered
from tightship.plan.serving import measured
from tightship.plan.traffic import traffic_json
from tightship.plan.verdict import Copies, Subject, conditions, count, transition

if TYPE_CHECKING:
    from tightship.api.agent import ServingConfig
    from tightship.api.v1alpha1 import ServingPoolSpec
    from tightship.plan.fleet import Sight
    from tightship.plan.placement import Shortage
    from tightship.plan.snapshot import ModelFact
    from tightship.plan.targets import Target

UNREACHABLE = "Unknown"


def model_status(subject: Subject, pool: ServingPoolSpec, now: float) -> dict[str, Any]:
    """The whole status; equal inputs give equal JSON."""
    model = subject.model
    copies = count(subject)
    state = transition(subject, copies)
    wanted = conditions(subject, copies, state)
    status: dict[str, Any] = {
        "observedGeneration": model.generation,
        **_addresses(subject),
        "conditions": merge_conditions(
            model.status.get("conditions", ()), wanted, model.generation, now
        ),
        "modelStatus": _model_status(subject, copies, state),
        "conversion": subject.outcome.conversion,
        "refresh": subject.outcome.refresh,
        "evaluation": subject.outcome.evaluation,
        "artifact": subject.outcome.artifact,
        "previous": _previous(subject, state),
        "optimization": subject.outcome.optimization,
        "slo": _objective(subject, pool),
        "traffic": traffic_json(model.status.get("traffic"), subject.sights),
        "serving": _settings(subject),
        "placement": _placement(subject),
        "replicas": sum(sight.routed for sight in subject.sights),
        "selector": f"{names.route_label(model.name)}={names.ROUTED}",
    }
    return {name: value for name, value in status.items() if value not in (None, {}, [])}


def is_told(subject: Subject, pool: ServingPoolSpec) -> bool:
    """Whether the live status says all this already, so that nothing is to be written.

    The time does not matter: it is told only of a condition whose status changes, and then the
    whole differs from the live one whatever the time is.
    """
    return model_status(subject, pool, now=0.0) == subject.model.status


def subject_of(
    found: Target,
    namespace: str,
    places: tuple[str, ...],
    sights: tuple[Sight, ...],
    shortage: Shortage | None,
    fresh: Condition | None,
    *,
    crowded: bool,
    paused: bool,
) -> Subject:
    """A model's target and what became of it; `paused` is the pool's."""
    return Subject(
        model=found.model,
        namespace=namespace,
        outcome=found.outcome,
        artifact=found.artifact,
        wanted=found.wanted,
        places=places,
        copies=found.copies,
        sights=sights,
        shortage=shortage,
        cut=found.cut,
        invalid=found.invalid,
        conflict=found.conflict,
        paused=found.model.paused or paused,
        fresh=fresh,
        crowded=crowded,
    )


def stranded_status(model: ModelFact, why: Condition, now: float, *, gone: bool) -> dict[str, Any]:
    """The status of a model whose pool cannot be planned for: what was known, and why not Ready.

    With the pool `gone` its servers are too; an invalid pool's go on as they are.
    """
    live = model.status.get("conditions", ())
    ready = Condition(
        type=ConditionType.READY, status=why.status, reason=why.reason, message=why.message
    )
    parts = []
    for kind in (ConditionType.CONVERTED, ConditionType.PLACED, ConditionType.SERVING):
        known = (
            {}
            if gone and kind is not ConditionType.CONVERTED
            else find_condition(model.status, kind)
        )
        parts.append(
            Condition(
                type=kind,
                status=ConditionStatus(known.get("status", ConditionStatus.UNKNOWN)),
                reason=known.get("reason", why.reason),
                message=known.get("message", why.message),
            )
        )
    kinds = (ConditionType.FRESH, ConditionType.IN_DISTRIBUTION)
    beside = [known_condition(model.status, kind) for kind in kinds]
    parts += [condition for condition in beside if condition is not None]
    kept = {n: v for n, v in model.status.items() if not (gone and n in {"placement", "replicas"})}
    if "conversion" in kept:
        kept["conversion"] = remembered.at_rest(model)
    return {
        **kept,
        "observedGeneration": model.generation,
        "conditions": merge_conditions(live, [ready, *parts], model.generation, now),
        "replicas": kept.get("replicas", 0),
    }


def _addresses(subject: Subject) -> dict[str, Any]:
    if subject.conflict:
        return {}
    name = subject.model.name
    host = f"{name}.{subject.namespace}.svc.cluster.local"
    base = f"http://{host}:{names.HTTP_PORT}"
    return {
        "url": f"{base}/v2/models/{name}",
        "address": {"url": base, "grpc": f"{host}:{names.GRPC_PORT}"},
    }


def _model_status(subject: Subject, copies: Copies, state: str) -> dict[str, Any]:
    active = _active_state(copies)
    target = {"UpToDate": "Loaded", "BlockedByFailedLoad": "FailedToLoad"}.get(
        state, "Loading" if copies.loading else "Pending"
    )
    status: dict[str, Any] = {
        "transitionStatus": state,
        "states": {"activeModelState": active, "targetModelState": target},
        "copies": {"totalCopies": len(subject.places), "failedCopies": copies.failed},
    }
    failure = _last_failure(subject, copies)
    if failure:
        status["lastFailureInfo"] = failure
    return status


def _active_state(copies: Copies) -> str:
    if copies.answering:
        return "Loaded"
    if copies.failure is not None:
        return "FailedToLoad"
    if copies.loaded:
        return "Standby"
    return "Loading" if copies.loading else "Pending"


def _last_failure(subject: Subject, copies: Copies) -> dict[str, Any] | None:
    if copies.failure is not None and subject.wanted is not None:
        return {
            "reason": copies.failure.reason,
            "message": copies.failure.message,
            "modelRevisionName": subject.wanted.entry.digest,
        }
    condition = subject.outcome.condition
    if condition.status is ConditionStatus.FALSE:
        return {"reason": str(condition.reason), "message": condition.message}
    return None


def _previous(subject: Subject, state: str) -> dict[str, Any] | None:
    """The last version that all copies had, until all have the next one."""
    live, artifact = subject.model.status, subject.outcome.artifact
    before = live.get("artifact")
    if artifact and before and before.get("digest") != artifact["digest"]:
        kept: dict[str, Any] | None = live.get("previous")
        return kept or {name: before[name] for name in ("key", "digest", "memory")}
    if state == "UpToDate":
        return None
    return live.get("previous")


def _objective(subject: Subject, pool: ServingPoolSpec) -> dict[str, Any] | None:
    spec = subject.model.spec
    if subject.invalid is not None or not isinstance(spec, OptimizedModelSpec):
        known: dict[str, Any] | None = subject.model.status.get("slo")
        return known
    goal = inputs.objective(spec, pool)
    if not goal:
        return None
    slo: dict[str, Any] = {
        "class": spec.serving.slo.class_name,
        "percentile": goal.percentile,
        "target": figures.duration(goal.target),
    }
    if artifact := subject.artifact:
        latency = measured(artifact, goal)
        slo |= {"p99": figures.duration(artifact.p99), "met": latency <= goal.target}
    return slo


def _settings(subject: Subject) -> dict[str, Any] | None:
    """The serving settings that copies are brought to, or have, where nothing is changed."""
    wanted = subject.wanted
    if wanted is None or not (subject.paused or wanted.held):
        return _settings_json(wanted.entry.config, subject.cut) if wanted else None
    held = [sight.loaded for sight in subject.sights]
    config = next((copy.config for copy in held if copy and copy.config), None)
    known: dict[str, Any] | None = subject.model.status.get("serving")
    if config is None:
        return known
    served = _settings_json(config, None)
    return known if known and {**known, **served} == known else served


def _settings_json(config: ServingConfig, cut: str | None) -> dict[str, Any]:
    return {
        "instances": config.instances,
        "dynamicBatching": config.dynamic_batching,
        "maxQueueDelay": figures.duration(config.max_queue_delay_us / 1_000_000),
        "responseCache": config.response_cache,
        **({"reason": cut} if cut else {}),
    }


def _placement(subject: Subject) -> list[dict[str, Any]]:
    found = {}
    for sight in subject.sights:
        held, entry = sight.held, sight.entry
        state = held.state.value if held else LoadState.PENDING.value
        digest = held.digest if held and held.digest else (entry.digest if entry else None)
        found[sight.server] = {
            "server": sight.server,
            "state": state if sight.reachable else UNREACHABLE,
            **({"digest": digest} if digest else {}),
            **({"memory": held.memory} if held and held.memory is not None else {}),
        }
    for server in subject.places:
        found.setdefault(server, {"server": server, "state": LoadState.PENDING.value})
    return [found[server] for server in sorted(found)]
