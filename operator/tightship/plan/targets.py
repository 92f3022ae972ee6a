"""What is decided about each model before the packing: its version, its settings, its copies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tightship.api.agent import ModelAssignment, ServingConfig
from tightship.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from tightship.api.v1alpha1 import OptimizedModelSpec
from tightship.plan import drift, figures, inputs, remembered
from tightship.plan.holdings import copies, need
from tightship.plan.outcome import Outcome
from tightship.plan.placement import Item, Work
from tightship.plan.rollout import Wanted
from tightship.plan.serving import serving_config
from tightship.plan.snapshot import InvalidSpec
from tightship.plan.traffic import read_traffic

if TYPE_CHECKING:
    from tightship.api.v1alpha1 import ServingPoolSpec
    from tightship.plan.figures import Artifact
    from tightship.plan.fleet import Sight
    from tightship.plan.snapshot import ModelFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One model as it should be. Without an artifact nothing is `wanted` on servers.

    `cut` says why settings differ from the wish, `conflict` that a Service of that name is not
    ours.
    """

    model: ModelFact
    outcome: Outcome
    artifact: Artifact | None
    wanted: Wanted | None
    copies: int
    cut: str | None
    invalid: Condition | None
    conflict: bool


def target(
    model: ModelFact,
    outcome: Outcome | None,
    pool: ServingPoolSpec,
    *,
    invalid: Condition | None,
    conflict: bool,
) -> Target:
    """Puts together what is known.

    A model that is paused, invalid or in conflict keeps what it has: its versions, and as many
    copies as its status counts.
    """
    if outcome is None:
        outcome = kept_outcome(model, invalid or refusal(Reason.INVALID_SPEC, ""))
    held = invalid is not None or model.paused or conflict
    artifact = figures.read_artifact(outcome.artifact, outcome.optimization)
    wanted, cut = None, None
    if artifact is not None:
        wanted, cut = _wanted(model, outcome, artifact, pool, held=held)
    valid = isinstance(model.spec, OptimizedModelSpec) and not held
    return Target(
        model=model,
        outcome=outcome,
        artifact=artifact,
        wanted=wanted,
        copies=_replicas(model) if valid else _copies_now(model),
        cut=cut,
        invalid=invalid,
        conflict=conflict,
    )


def item(target: Target, wanted: Wanted, sights: tuple[Sight, ...], pool: ServingPoolSpec) -> Item:
    """The model as the packer sees it."""
    spec = target.model.spec
    common = Item(
        model=target.model.name,
        copies=target.copies,
        memory=need(wanted.entry, sights),
        work=_work(target, wanted),
        placed=copies(sights, wanted.entry, held=wanted.held),
    )
    if isinstance(spec, InvalidSpec):
        return common
    objective = inputs.objective(spec, pool)
    work = replace(common.work, slo=objective.target) if objective else common.work
    return replace(common, priority=spec.serving.priority, work=work)


def _work(target: Target, wanted: Wanted) -> Work:
    """What serving the model takes. What a client waits beyond the work is the network's."""
    artifact = target.artifact
    traffic = read_traffic(target.model.status)
    if artifact is None:
        return Work(traffic=traffic)
    alone = artifact.busy[0][1] if artifact.busy else artifact.p50
    return Work(
        busy=artifact.busy,
        max_batch=artifact.max_batch,
        delay=wanted.entry.config.max_queue_delay_us / 1_000_000,
        network=max(0.0, artifact.p50 - alone),
        load_seconds=artifact.load_seconds,
        traffic=traffic,
    )


def refused(model: ModelFact, pool: ServingPoolSpec) -> Condition | None:
    """Why a model's spec cannot be carried out in this pool; None when it can."""
    if isinstance(model.spec, InvalidSpec):
        return refusal(Reason.INVALID_SPEC, model.spec.message)
    serving = model.spec.serving
    if not pool.trusted_code and (untrusted := _untrusted(model.spec)):
        return untrusted
    if inputs.knows_class(model.spec, pool):
        return None
    known = ", ".join(sorted(pool.slo_classes)) or "none"
    message = f"Pool {serving.pool} has no SLO class {serving.slo.class_name}. It has: {known}."
    return refusal(Reason.UNKNOWN_SLO_CLASS, message)


def _untrusted(spec: OptimizedModelSpec) -> Condition | None:
    """Why a pool that trusts no code does not take the model."""
    if spec.optimization.trainer is not None:
        reason, what = Reason.UNTRUSTED_TRAINER, "A trainer"
        instead = "leave spec.optimization.trainer out"
    elif spec.own_metric is not None:
        reason, what = Reason.UNTRUSTED_METRIC, "The metric own"
        instead = "name a metric that is built in as spec.data.evaluation.metric.name"
    else:
        return None
    message = (
        f"{what} is code of yours, and pool {spec.serving.pool} runs none: have spec.trustedCode "
        f"of the ServingPool set to true, or {instead}."
    )
    return refusal(reason, message)


def refusal(reason: Reason, message: str) -> Condition:
    """A condition that says that nothing can be converted."""
    return Condition(
        type=ConditionType.CONVERTED,
        status=ConditionStatus.FALSE,
        reason=reason,
        message=message,
    )


def kept_outcome(model: ModelFact, condition: Condition) -> Outcome:
    """What a status says of the conversion, under a spec that cannot be carried out."""
    return Outcome(
        condition=condition,
        conversion=remembered.at_rest(model),
        artifact=model.status.get("artifact"),
        optimization=model.status.get("optimization"),
        refresh=model.status.get("refresh"),
        evaluation=model.status.get("evaluation"),
    )


def _wanted(
    model: ModelFact, outcome: Outcome, artifact: Artifact, pool: ServingPoolSpec, *, held: bool
) -> tuple[Wanted, str | None]:
    config, cut, sampling = ServingConfig(), None, None
    if isinstance(model.spec, OptimizedModelSpec):
        config, cut = serving_config(model.spec, pool, artifact)
        sampling = drift.sampling(model.spec)
    entry = ModelAssignment(
        name=model.name,
        key=artifact.key,
        digest=artifact.digest,
        memory=artifact.memory,
        config=config,
        drift=sampling,
    )
    former = figures.read_previous(model.status)
    if former is None and model.status.get("artifact") is not outcome.artifact:
        former = figures.read_artifact(model.status.get("artifact"), None)
    previous = None
    if former is not None and former.digest != artifact.digest:
        previous = replace(entry, key=former.key, digest=former.digest, memory=former.memory)
    return Wanted(entry=entry, previous=previous, held=held), cut


def _replicas(model: ModelFact) -> int:
    spec = model.spec
    return spec.serving.replicas if isinstance(spec, OptimizedModelSpec) else 0


def _copies_now(model: ModelFact) -> int:
    counted = model.status.get("modelStatus", {}).get("copies", {})
    return int(counted.get("totalCopies", 0))
