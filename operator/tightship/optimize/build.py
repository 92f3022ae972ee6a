"""Builds one candidate: the passes of a recipe in order, then a first load; runs in a child."""

import importlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from tightship.optimize import engine, graph, layers, techniques
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.techniques import Material


def task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {source, target, passes, contract, samples, batch, trainer} -> what was done.

    `target` is an executable. A recipe without passes is another way to run the file as it is.

    A candidate that was built has `layers` too: see `optimize.layers`.
    """
    material = Material(
        contract=Contract.from_json(payload["contract"]),
        calibration=Dataset.load(Path(payload["samples"])),
        batch=payload["batch"],
        trainer=payload["trainer"],
    )
    source, model = Path(payload["source"]), Executable.from_json(payload["target"])
    target = model.file
    total = techniques.Applied()
    for number, step in enumerate(payload["passes"], 1):
        last = number == len(payload["passes"])
        result = target if last else target.with_name(f"{number}-{step['name']}.onnx")
        applied = techniques.technique(step["name"]).apply(source, result, step["params"], material)
        total = _joined(total, applied)
        if total.ineffective:
            return total.to_json()
        source = result
    if not payload["passes"]:
        shutil.copyfile(source, target)
        for file in graph.data_files(source):
            shutil.copyfile(file, target.parent / file.name)
    engine.load(model, 1)
    return {**total.to_json(), "layers": _layers(target)}


def _layers(target: Path) -> list[dict[str, Any]]:
    """See `optimize.layers`; whoever wrote the format counts its layers."""
    if target.suffix != ".onnx":
        counter = importlib.import_module("tightship.optimize.openvino_int8")
        rows: list[dict[str, Any]] = counter.table(target)
        return rows
    onnx.checker.check_model(str(target))
    return layers.table(target)


def _joined(first: techniques.Applied, second: techniques.Applied) -> techniques.Applied:
    return techniques.Applied(
        notes=(*first.notes, *second.notes),
        coverage={**first.coverage, **second.coverage},
        ineffective=second.ineffective,
        simulation=second.simulation,
    )
