"""Another look at a published variant: its metric on the evaluation data as they are now.

The original is not run again: its bytes may be gone from the source. What it reached in the
conversion is recorded, and the variant's own value is held against that. Only a loss that the
samples show at the asked confidence counts: too little data condemns no model that serves.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tightship.api.artifact import EvaluationResult
from tightship.api.job import EvaluateRequest, MetricRequest
from tightship.optimize import data, engine, intake, runtime, sandbox, space
from tightship.optimize.access import access, artifact_uri
from tightship.optimize.answer import answered, read_request
from tightship.optimize.budget import Budget, cpus
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.engine import ORIGINALS, Engine, Executable
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.fetch import fetch_code, fetch_data
from tightship.optimize.folders import Folders
from tightship.optimize.gate.verdict import value_bounds
from tightship.optimize.metrics import own, registry
from tightship.optimize.metrics.base import Judged, Traits, Truth
from tightship.optimize.metrics.own import Asked, Own
from tightship.optimize.runtime import Outputs
from tightship.optimize.sandbox import CrashError, Limits
from tightship.storage import Limits as Transfer
from tightship.storage import Storage, run

REPORT = "report.json"
_FETCHED = "evaluation-digest"


def main(stage: str, folders: Folders | None = None) -> int:
    """Fetch, or evaluate what was fetched, and write the termination message; the exit code."""
    folders = folders or Folders()
    return answered(stage, folders, lambda: _STAGES[stage](_request(), folders))


def _request() -> EvaluateRequest:
    return read_request(EvaluateRequest.from_json)


def fetch(request: EvaluateRequest, folders: Folders) -> dict[str, Any]:
    """Download the artifact, every byte checked, and the data as they are now."""
    return run(_fetch(request, folders))


async def _fetch(request: EvaluateRequest, folders: Folders) -> dict[str, Any]:
    uri = artifact_uri(request)
    room = space.room(folders.work, request.scratch_bytes)
    async with Storage(access(folders, request, "store")) as storage:
        limits = Transfer(max_bytes=request.scratch_bytes, room=room)
        await storage.fetch(uri, folders.artifact, digest=request.digest, limits=limits)
    digest = await fetch_data(request, folders, "evaluation", request.data, folders.evaluation)
    code = _same_code(request.own_metric, folders)
    await fetch_code(request, folders, "metric", code, folders.metric)
    (folders.work / _FETCHED).write_text(digest)
    return {"evaluation_digest": digest}


def _same_code(asked: MetricRequest | None, folders: Folders) -> MetricRequest | None:
    """The metric pinned to the code that judged the variant: another one's values say nothing."""
    if asked is None:
        return None
    return replace(asked, digest=_report(folders)["ownMetric"]["sha256"])


def _report(folders: Folders) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folders.artifact / REPORT).read_text())
    return found


def evaluate(request: EvaluateRequest, folders: Folders) -> dict[str, Any]:
    """The variant's metric on the fetched data, taken in a child.

    Raises:
        RefusalError: the data do not fit the model or the metric, or the child ended.
    """
    report = _report(folders)
    contract = Contract.from_json(report["source"]["contract"])
    scratch = folders.scratch / "reevaluate"
    budget = Budget(scratch_bytes=request.scratch_bytes)
    arrays = data.read(folders.evaluation, "evaluation", budget)
    matched = data.match(contract, arrays, "evaluation")
    intake.labelled(matched, request.data, request).save(scratch / "data")
    mine = own.take(request, folders, scratch, budget)
    model = _model(report, folders.artifact)
    payload = {
        "model": model.to_json(),
        "contract": contract.to_json(),
        "dataset": str(scratch / "data"),
        "metric": request.metric,
        "own": asdict(mine) if mine else None,
        "positive_class": request.positive_class,
        "confidence": request.confidence,
    }
    found = _measured(payload, scratch, model.bytes, budget)
    traits = _traits(payload)
    recorded = report["baseline"]["metric"]
    return EvaluationResult(
        key=request.key,
        metric=traits.name,
        evaluation_digest=(folders.work / _FETCHED).read_text(),
        evaluated=int(time.time()),
        recorded=recorded,
        allowed=allowed(request, traits, recorded),
        failed=failed(request, traits, recorded, found),
        **found,
    ).to_json()


def _measured(
    payload: Mapping[str, Any], scratch: Path, model_bytes: int, budget: Budget
) -> dict[str, Any]:
    limits = Limits.for_model(model_bytes, budget.stage(model_bytes), budget.scratch_bytes)
    try:
        return sandbox.run("tightship.optimize.reevaluate:task", payload, scratch, limits)
    except CrashError as crash:
        raise RefusalError(
            crash.reason,
            f"The evaluation ended without a result: {crash}. Give the pool's converter more "
            "memory, or fewer samples.",
        ) from crash


def allowed(request: EvaluateRequest, traits: Traits, recorded: float | None) -> float | None:
    """The worst value inside the gate: the stricter of its demands; None where it has none."""
    larger = traits.larger_is_better
    drop = request.max_drop if larger else -request.max_drop
    bounds = [recorded - drop] if recorded is not None else []
    bounds += [request.worst_value] if request.worst_value is not None else []
    return (max if larger else min)(bounds, default=None)


def failed(
    request: EvaluateRequest, traits: Traits, recorded: float | None, found: Mapping[str, Any]
) -> tuple[str, ...]:
    """Names of the demands that the samples show to be missed, at the asked confidence."""
    best = found["best"]
    missed = []
    if recorded is not None and traits.loss(recorded, best) > request.max_drop:
        missed.append("maxDrop")
    if request.worst_value is not None and traits.loss(request.worst_value, best) > 0:
        missed.append("worstValue")
    return tuple(missed)


def task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {model, contract, dataset, metric, ...} -> value, bounds and samples."""
    contract = Contract.from_json(payload["contract"])
    dataset = Dataset.load(Path(payload["dataset"]))
    session = engine.load(Executable.from_json(payload["model"]), cpus(), spin=False)
    answers = runtime.answers(session, contract, dataset, Budget().evaluation_batch)
    judged, traits = _judged(dataset, answers, payload), _traits(payload)
    best, worst = value_bounds(traits, judged, payload["confidence"])
    nearer = max if traits.larger_is_better else min
    best = nearer(best, judged.value)  # a bound may be rounded to the wrong side of the value
    if not all(map(math.isfinite, (judged.value, best, worst))):
        raise data.invalid("evaluation", "are too few samples for this metric. Give more.")
    return {"value": judged.value, "best": best, "worst": worst, "samples": len(judged.parts)}


def _judged(dataset: Dataset, answers: Outputs, payload: Mapping[str, Any]) -> Judged:
    if dataset.labels is None:
        raise ValueError("labels are always given")
    if payload["own"]:
        asked = Asked(confidence=payload["confidence"])
        mine = Own.from_json(payload["own"])
        (found,) = own.judge(mine, dataset.labels, [answers], asked, Path.cwd() / "metric")
        return found
    truth = Truth(
        labels=dataset.labels, charset=dataset.charset, positive_class=payload["positive_class"]
    )
    return registry.judge(payload["metric"], truth, answers, answers)


def _traits(payload: Mapping[str, Any]) -> Traits:
    if payload["own"]:
        return Own.from_json(payload["own"]).traits
    return registry.traits(payload["metric"])


def _model(report: Mapping[str, Any], folder: Path) -> Executable:
    """The variant's main file, and the runtime that the report says it was judged in."""
    variant = report["selection"]["variant"]
    told = next((c["engine"] for c in report["candidates"] if c["id"] == variant), None)
    files = folder / "model" / "1"
    main_file = next((f for f in sorted(files.iterdir()) if f.suffix in {".onnx", ".xml"}), None)
    if main_file is None:
        raise RefusalError(Reason.INVALID_MODEL, "The artifact holds no model. Convert it again.")
    chosen = Engine(backend=told["backend"], precision=told["precision"]) if told else ORIGINALS
    return Executable(main_file, chosen)


_STAGES = {"fetch-evaluation": fetch, "evaluate": evaluate}
