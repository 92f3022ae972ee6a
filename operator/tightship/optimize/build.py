"""Builds one candidate: the passes of a recipe in order, then a first load; runs in a child."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from tightship.optimize import layers, runtime, techniques
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.techniques import Material


def task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {source, target, passes, contract, samples, batch} -> what was applied.

    A candidate that was built has `layers` too: see `optimize.layers`.
    """
    material = Material(
        contract=Contract.from_json(payload["contract"]),
        calibration=Dataset.load(Path(payload["samples"])),
        batch=payload["batch"],
    )
    source, target = Path(payload["source"]), Path(payload["target"])
    total = techniques.Applied()
    for number, step in enumerate(payload["passes"], 1):
        last = number == len(payload["passes"])
        result = target if last else target.with_name(f"{number}-{step['name']}.onnx")
        applied = techniques.technique(step["name"]).apply(source, result, step["params"], material)
        total = _joined(total, applied)
        if total.ineffective:
            return total.to_json()
        source = result
    onnx.checker.check_model(str(target))
    runtime.session(target, 1)
    return {**total.to_json(), "layers": layers.table(target)}


def _joined(first: techniques.Applied, second: techniques.Applied) -> techniques.Applied:
    return techniques.Applied(
        notes=(*first.notes, *second.notes),
        coverage={**first.coverage, **second.coverage},
        ineffective=second.ineffective,
        simulation=second.simulation,
    )
