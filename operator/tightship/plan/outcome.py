"""The outcome of a model's conversion: made, kept from its status, or frozen while it is paused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tightship.api.conditions import Condition, ConditionStatus, Reason
from tightship.plan import remembered
from tightship.plan import work as units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.api.artifact import IntakeResult
    from tightship.plan.snapshot import ModelFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one model's status says about its conversion; JSON parts as `figures` makes them."""

    condition: Condition
    conversion: Mapping[str, Any] = field(default_factory=dict)
    artifact: Mapping[str, Any] | None = None
    optimization: Mapping[str, Any] | None = None
    refresh: Mapping[str, Any] | None = None
    evaluation: Mapping[str, Any] | None = None


def finished(
    name: str,
    key: str,
    intake: IntakeResult,
    retry: str,
    found: remembered.Parts,
) -> Outcome:
    """It is converted: `found` tells its artifact, `name` and `key` are what it was made from."""
    return Outcome(
        condition=units.converted(*found, intake.limitations),
        conversion=remembered.progress(name, key, intake, retry),
        artifact=found[0],
        optimization=found[1],
    )


def frozen(model: ModelFact) -> Outcome:
    """A paused model keeps what its status says."""
    artifact, optimization = model.status.get("artifact"), model.status.get("optimization")
    message = "The model is paused: nothing is converted until the annotation is removed."
    told = units.condition(ConditionStatus.UNKNOWN, Reason.PAUSED, message)
    if artifact:
        limitations = (model.status.get("conversion") or {}).get("limitations", ())
        told = units.converted(artifact, optimization or {}, limitations)
    status = model.status
    return replace(
        kept(model, told), refresh=status.get("refresh"), evaluation=status.get("evaluation")
    )


def kept(model: ModelFact, condition: Condition) -> Outcome:
    """The condition is new, the rest is what the status says."""
    return Outcome(
        condition=condition,
        conversion=remembered.at_rest(model),
        artifact=model.status.get("artifact"),
        optimization=model.status.get("optimization"),
    )
