"""What the statuses remember of conversions, and when that no longer holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tightship.api.artifact import IntakeResult
from tightship.api.failures import DIGEST_MISMATCH
from tightship.plan import figures
from tightship.plan.snapshot import JobKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tightship.plan.memo import Memo
    from tightship.plan.snapshot import ModelFact

Parts = tuple["Mapping[str, Any]", "Mapping[str, Any]"]
"""`artifact` and `optimization` of a status."""


def intake_of(model: ModelFact) -> tuple[str, IntakeResult] | None:
    """The inputs' hash and the digests that the model's own status knows."""
    done = model.status.get("conversion") or {}
    if not (done.get("inputs") and done.get("sourceDigest")):
        return None
    result = IntakeResult(
        source_digest=done["sourceDigest"],
        source_bytes=0,
        calibration_digest=done.get("calibrationDigest"),
        evaluation_digest=done.get("evaluationDigest"),
        trainer_digest=done.get("trainerDigest"),
        metric_digest=done.get("metricDigest"),
        limitations=tuple(done.get("limitations", ())),
    )
    return done["inputs"], result


def artifact_of(model: ModelFact) -> Parts | None:
    """The parts of the model's own status that tell an artifact."""
    parts = (model.status.get("artifact") or {}, model.status.get("optimization") or {})
    return parts if figures.read_artifact(*parts) else None


def known(
    models: Iterable[ModelFact], memo: Memo
) -> tuple[dict[str, IntakeResult], dict[str, Parts]]:
    """What all statuses know together: intakes by inputs' hash, artifacts by KEY.

    Where they saw different bytes, the last look counts.
    """
    intakes: dict[str, IntakeResult] = {}
    artifacts: dict[str, Parts] = {}
    looks: dict[str, str] = {}
    for model in models:
        if found := memo.of(model.name, intake_of, model):
            look = (model.status.get("refresh") or {}).get("lastCheckTime", "")
            if found[0] not in intakes or look > looks[found[0]]:
                intakes[found[0]], looks[found[0]] = found[1], look
        if parts := memo.of(model.name, artifact_of, model):
            artifacts.setdefault(parts[0]["key"], parts)
    return intakes, artifacts


def progress(
    name: str, key: str | None, intake: IntakeResult | None, retry: str, renewed: str | None = None
) -> dict[str, Any]:
    """`status.conversion` without failures; absent parts are left out."""
    parts = {
        "inputs": name,
        "key": key,
        "sourceDigest": intake.source_digest if intake else None,
        "calibrationDigest": intake.calibration_digest if intake else None,
        "evaluationDigest": intake.evaluation_digest if intake else None,
        "trainerDigest": intake.trainer_digest if intake else None,
        "metricDigest": intake.metric_digest if intake else None,
        "limitations": list(intake.limitations) or None if intake else None,
        "retry": retry or None,
        "renewed": renewed,
    }
    return {name: value for name, value in parts.items() if value is not None}


def at_rest(model: ModelFact) -> Mapping[str, Any]:
    """The model's own `status.conversion`, without how far a Job was."""
    done: Mapping[str, Any] = model.status.get("conversion") or {}
    return {name: value for name, value in done.items() if name != "progress"}


def lapsed(model: ModelFact, name: str, key: str) -> bool:
    """Whether the bytes that were checked are gone, so that what is there now is to be checked.

    That is done once until a conversion succeeds, and once more for each new value of the retry
    annotation: a source that changes all the time would else be converted without end.
    """
    done = model.status.get("conversion") or {}
    failure = done.get("failure") or {}
    if failure.get("reason") != DIGEST_MISMATCH:
        return False
    if (done.get("inputs"), done.get("key")) != (name, key):
        return False
    asked = bool(model.retry) and done.get("retry") != model.retry
    return asked or not done.get("renewed")


def renewed(model: ModelFact, name: str, kind: JobKind = JobKind.CONVERT) -> str | None:
    """The KEY whose bytes were gone, if these inputs are being, or were, checked again for that."""
    done = model.status.get("conversion") or {}
    if done.get("inputs") != name:
        return None
    goes_back = kind is JobKind.INTAKE and done.get("key")
    found: str | None = done["key"] if goes_back else done.get("renewed")
    return found
