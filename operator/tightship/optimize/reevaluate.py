"""Another look at a published variant: its metric on the evaluation data as they are now.

The original is not run again: its bytes may be gone from the source. What it reached in the
conversion is recorded, and the variant's own value is held against that. Only a loss that the
samples show at the asked confidence counts: too little data condemns no model that serves.
"""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tightship.api.artifact import EvaluationResult
from tightship.api.job import EvaluateRequest
from tightship.api.v1alpha1 import Metric
from tightship.optimize import data, engine, job, runtime, sandbox, space
from tightship.optimize.budget import Budget, cpus
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.engine import ORIGINALS, Engine, Executable
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.gate.verdict import value_bounds
from tightship.optimize.metrics import registry
from tightship.optimize.metrics.base import Truth
from tightship.optimize.sandbox import CrashError, Limits
from tightship.storage import Limits as Transfer
from tightship.storage import Storage, run

REPORT = "report.json"
_FETCHED = "evaluation-digest"


def main(stage: str, folders: Folders | None = None) -> int:
    """Fetch, or evaluate what was fetched, and write the termination message; the exit code."""
    folders = folders or Folders()
    return job.answered(stage, folders, lambda: _STAGES[stage](_request(), folders))


def _request() -> EvaluateRequest:
    return job.read_request(EvaluateRequest.from_json)


def fetch(request: EvaluateRequest, folders: Folders) -> dict[str, Any]:
    """Download the artifact, every byte checked, and the data as they are now."""
    return run(_fetch(request, folders))


async def _fetch(request: EvaluateRequest, folders: Folders) -> dict[str, Any]:
    uri = f"{request.store_uri.rstrip('/')}/sha256/{request.key}/"
    room = space.room(folders.work, request.scratch_bytes)
    async with Storage(job.access(folders, request, "store")) as storage:
        limits = Transfer(max_bytes=request.scratch_bytes, room=room)
        await storage.fetch(uri, folders.artifact, digest=request.digest, limits=limits)
    digest = await job.fetch_data(request, folders, "evaluation", request.data, folders.evaluation)
    (folders.work / _FETCHED).write_text(digest)
    return {"evaluation_digest": digest}


def evaluate(request: EvaluateRequest, folders: Folders) -> dict[str, Any]:
    """The variant's metric on the fetched data, taken in a child.

    Raises:
        RefusalError: the data do not fit the model or the metric, or the child ended.
    """
    report = json.loads((folders.artifact / REPORT).read_text())
    contract = Contract.from_json(report["source"]["contract"])
    dataset = _dataset(request, contract, folders)
    scratch = folders.scratch / "reevaluate"
    dataset.save(scratch / "data")
    model = _model(report, folders.artifact)
    payload = {
        "model": model.to_json(),
        "contract": contract.to_json(),
        "dataset": str(scratch / "data"),
        "metric": request.metric,
        "positive_class": request.positive_class,
        "confidence": request.confidence,
    }
    budget = Budget(scratch_bytes=request.scratch_bytes)
    limits = Limits.for_model(model.bytes, budget.stage_seconds, budget.scratch_bytes)
    try:
        found = sandbox.run("tightship.optimize.reevaluate:task", payload, scratch, limits)
    except CrashError as crash:
        raise RefusalError(
            crash.reason,
            f"The evaluation ended without a result: {crash}. Give the pool's converter more "
            "memory, or fewer samples.",
        ) from crash
    recorded = report["baseline"]["metric"]
    return EvaluationResult(
        key=request.key,
        metric=request.metric,
        evaluation_digest=(folders.work / _FETCHED).read_text(),
        evaluated=int(time.time()),
        recorded=recorded,
        allowed=allowed(request, recorded),
        failed=failed(request, recorded, found),
        **found,
    ).to_json()


def allowed(request: EvaluateRequest, recorded: float | None) -> float | None:
    """The worst value inside the gate: the stricter of its demands; None where it has none."""
    larger = registry.traits(request.metric).larger_is_better
    drop = request.max_drop if larger else -request.max_drop
    bounds = [recorded - drop] if recorded is not None else []
    bounds += [request.worst_value] if request.worst_value is not None else []
    return (max if larger else min)(bounds, default=None)


def failed(
    request: EvaluateRequest, recorded: float | None, found: Mapping[str, Any]
) -> tuple[str, ...]:
    """Names of the demands that the samples show to be missed, at the asked confidence."""
    traits = registry.traits(request.metric)
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
    judged = registry.judge(payload["metric"], _truth(dataset, payload), answers, answers)
    traits = registry.traits(payload["metric"])
    best, worst = value_bounds(traits, judged, payload["confidence"])
    nearer = max if traits.larger_is_better else min
    best = nearer(best, judged.value)  # a bound may be rounded to the wrong side of the value
    if not all(map(math.isfinite, (judged.value, best, worst))):
        raise data.invalid("evaluation", "are too few samples for this metric. Give more.")
    return {"value": judged.value, "best": best, "worst": worst, "samples": len(judged.parts)}


def _dataset(request: EvaluateRequest, contract: Contract, folders: Folders) -> Dataset:
    arrays = data.read(folders.evaluation, "evaluation", Budget())
    matched = data.match(contract, arrays, "evaluation")
    if matched.labels is None:
        raise data.invalid("evaluation", f"lack the array 'labels'. {data.FORMAT}")
    metric = Metric(request.metric)
    raw = {"positive_class": request.positive_class}
    labels = registry.check(metric, _truth(matched, raw)).labels
    checked = Dataset(matched.arrays, labels, matched.charset)
    rows = data.chosen_rows(labels, len(checked), request.data.max_samples, metric)
    return data.subset(checked, rows, metric)


def _truth(dataset: Dataset, payload: Mapping[str, Any]) -> Truth:
    if dataset.labels is None:
        raise data.invalid("evaluation", f"lack the array 'labels'. {data.FORMAT}")
    return Truth(
        labels=dataset.labels, charset=dataset.charset, positive_class=payload["positive_class"]
    )


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
