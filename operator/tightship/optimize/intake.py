"""Intake: from fetched bytes to a model with a known contract and data that fit it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tightship.api.conditions import LIMITATIONS
from tightship.api.conditions import Reason as Told
from tightship.api.job import DataRequest, EvaluateRequest, JobRequest
from tightship.api.v1alpha1 import Metric, ModelFormat
from tightship.optimize import data, hostile, sandbox, serving, space
from tightship.optimize.budget import Budget
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.folders import Folders
from tightship.optimize.metrics import own, registry
from tightship.optimize.metrics.base import Truth
from tightship.optimize.metrics.own import Own
from tightship.optimize.opened import lone, opened
from tightship.optimize.probe import MADE
from tightship.optimize.pytorch import source as pytorch
from tightship.optimize.sandbox import CrashError, Limits
from tightship.optimize.tabular import source as tabular
from tightship.optimize.training import source as training
from tightship.optimize.wire import Outline

PROBE_THREADS = 1

Exported = tabular.Exported | pytorch.Exported


@dataclass(frozen=True, slots=True)
class _Maker:
    """Who makes ONNX of a format whose models are files with one of these suffixes."""

    kind: str
    suffixes: frozenset[str]
    export: Callable[[JobRequest, Path, Folders, Budget], Exported]


_MAKERS = {
    ModelFormat.SKLEARN: _Maker("scikit-learn", tabular.SUFFIXES, tabular.export),
    ModelFormat.TORCH: _Maker("torch", pytorch.SUFFIXES, pytorch.export),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """A model that may be worked on. `golden` holds valid inputs, real where data were given.

    `limitations` are reasons of `LIMITATIONS`: why the model is served with less than others.
    """

    model: Path
    config: str | None
    contract: Contract
    calibration: Dataset | None
    evaluation: Dataset | None
    golden: Dataset
    limitations: tuple[Told, ...]
    warnings: tuple[str, ...]
    exported: Exported | None = None  # what a model of scikit-learn or torch was turned into
    own: Own | None = None  # the user's own metric
    trainer: training.Source | None = None


def take(request: JobRequest, folders: Folders, budget: Budget) -> Intake:
    """Check everything that was fetched, and find the contract.

    Raises:
        RefusalError: with the documented reason for what is wrong.
        StorageError: an unsafe or broken archive, or a link among the files.
    """
    scratch = folders.scratch / "intake"
    shutil.rmtree(scratch, ignore_errors=True)
    trainer = training.take(request, folders, scratch / "trainer")
    located, exported = _located(scratch / "source", request, folders, budget)
    outline = hostile.check_model(located.model, budget)
    config = serving.user_config(located.config)
    arrays = _arrays(request, folders, budget)
    metric = own.take(request, folders, scratch, budget)
    contract = _probed(located.model, sorted(outline.operators), folders, scratch, budget)
    limitations = _limitations(contract, trainer)
    contract, warnings = serving.reconciled(contract, config)
    noted = (*contract.notes, *(exported.notes if exported else ()))
    warnings = (*noted, *(LIMITATIONS[told] for told in limitations), *warnings)
    calibration = _dataset(contract, arrays.get("calibration"), "calibration", request.calibration)
    evaluation = _dataset(contract, arrays.get("evaluation"), "evaluation", request.evaluation)
    if evaluation is not None and request.evaluation and (request.metric or request.own_metric):
        evaluation = labelled(evaluation, request.evaluation, request)
    unpacked = sum(each.bytes for each in (calibration, evaluation) if each)
    space.check(folders.work, request.scratch_bytes, _bytes(located.model, outline), unpacked)
    real = evaluation or calibration
    return Intake(
        model=located.model,
        config=config,
        contract=contract,
        calibration=calibration,
        evaluation=evaluation,
        golden=_golden(real, budget) if real else Dataset.load(scratch / "probe" / MADE),
        limitations=limitations,
        warnings=warnings,
        exported=exported,
        own=metric,
        trainer=trainer,
    )


def _located(
    target: Path, request: JobRequest, folders: Folders, budget: Budget
) -> tuple[hostile.Located, Exported | None]:
    """The ONNX model, which for some formats has to be made first; `target` is for archives."""
    model_format = ModelFormat(request.source_format)
    maker = _MAKERS.get(model_format)
    models = maker.suffixes if maker else frozenset()
    found = opened(folders.source, target, request.source_uri, request, folders, models)
    if maker is None:
        return hostile.locate(found, model_format), None
    file = lone(found, models, maker.kind, model_format.value)
    exported = maker.export(request, file, folders, budget)
    return hostile.Located(exported.model), exported


def _bytes(model: Path, outline: Outline) -> int:
    """Size of the model with its external data."""
    files = {model, *(model.parent / part.location for part in outline.external)}
    return sum(file.stat().st_size for file in files)


def _limitations(contract: Contract, trainer: training.Source | None) -> tuple[Told, ...]:
    """What the model itself rules out; a user's own batch size is a wish and not told."""
    found = [Told.TEXT_INPUT] if contract.strings else []
    if not contract.batched and not contract.random:
        found.append(Told.ROWS_INTERACT if contract.rows_interact else Told.NO_BATCH_AXIS)
    if trainer is not None and trainer.idle:
        found.append(Told.NOTHING_TRAINED)
    return tuple(found)


def _arrays(request: JobRequest, folders: Folders, budget: Budget) -> dict[str, data.Arrays]:
    files = {
        "evaluation": folders.evaluation if request.evaluation else None,
        "calibration": folders.calibration if request.calibration else None,
    }
    return {what: data.read(file, what, budget) for what, file in files.items() if file}


def _probed(
    model: Path, operators: list[tuple[str, str]], folders: Folders, scratch: Path, budget: Budget
) -> Contract:
    present = [f for f in (folders.evaluation, folders.calibration) if f.exists()]
    payload = {
        "model": str(model),
        "operators": operators,
        "data": {"path": str(present[0]), "what": "given"} if present else None,
        "threads": PROBE_THREADS,
        "samples": budget.golden_samples,
    }
    size = sum(file.stat().st_size for file in model.parent.rglob("*") if file.is_file())
    seconds = budget.inspect_seconds + size / budget.slow_disk
    limits = Limits.for_model(size, seconds, budget.scratch_bytes)
    try:
        found = sandbox.run("tightship.optimize.probe:task", payload, scratch / "probe", limits)
    except CrashError as crash:
        raise sandbox.refusal(
            crash,
            "The model could not be loaded and run once",
            "Check it with onnx.checker and export it again.",
        ) from crash
    return Contract.from_json(found)


def _dataset(
    contract: Contract, arrays: data.Arrays | None, what: str, asked: DataRequest | None
) -> Dataset | None:
    if arrays is None or asked is None:
        return None
    matched = data.match(contract, arrays, what)
    if what == "evaluation":
        return matched
    rows = data.chosen_rows(None, len(matched), asked.max_samples, None)
    return Dataset(data.subset(matched, rows).arrays)


def labelled(
    evaluation: Dataset, asked: DataRequest, request: JobRequest | EvaluateRequest
) -> Dataset:
    """As many samples as are asked for, with labels in the form of the request's metric.

    Raises:
        RefusalError: there are no labels, or they are none of this metric's.
    """
    metric = Metric(request.metric) if request.metric else None
    checked = _checked(evaluation, metric, request.positive_class)
    rows = data.chosen_rows(checked.labels, len(checked), asked.max_samples, metric)
    return _checked(data.subset(checked, rows, metric), metric, request.positive_class)


def _checked(evaluation: Dataset, metric: Metric | None, positive_class: int | None) -> Dataset:
    """With labels in the metric's form. What is chosen of them must fit as all of them do.

    A metric of the user's own, None here, gets them as they are.
    """
    if evaluation.labels is None:
        raise data.invalid("evaluation", f"lack the array 'labels'. {data.FORMAT}")
    if metric is None:
        return evaluation
    truth = Truth(
        labels=evaluation.labels, charset=evaluation.charset, positive_class=positive_class
    )
    return replace(evaluation, labels=registry.check(metric, truth).labels)


def _golden(real: Dataset, budget: Budget) -> Dataset:
    rows = data.chosen_rows(None, len(real), budget.golden_samples, None)
    return Dataset(data.subset(real, rows).arrays)
