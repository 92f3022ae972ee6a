"""Brings a model into the form that techniques expect; a step stays only if answers stay equal."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
from onnx import ModelProto

from tightship.optimize import graph, runtime
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.metrics import fidelity
from tightship.optimize.runtime import Outputs

OPSET = 17  # what the quantizers handle without errors; int8 needs no later one
_COSINE_MIN = 0.99999
_RELATIVE_MAX = 1e-3

Step = Callable[[ModelProto], ModelProto]


def task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {source, target, samples, contract, batch} -> {steps, notes}."""
    contract = Contract.from_json(payload["contract"])
    samples = Dataset.load(Path(payload["samples"]))
    judge = _Judge(contract, samples, payload["batch"], Path(payload["source"]))
    model, done, notes = _normalised(judge, graph.load(Path(payload["source"])))
    graph.save(model, Path(payload["target"]))
    return {"steps": done, "notes": notes}


def _normalised(judge: "_Judge", model: ModelProto) -> tuple[ModelProto, list[str], list[str]]:
    """All steps at once where that holds, else one by one without those that do not."""
    changed, problem = judge.tried(model, cleaned)
    if problem is None:
        return changed, list(_STEPS), []
    done, notes = [], []
    for name, step in _STEPS.items():
        changed, problem = judge.tried(model, step)
        if problem is None:
            model = changed
            done.append(name)
        else:
            notes.append(f"{name} was left out: {problem}")
    return model, done, notes


def _lifted(model: ModelProto) -> ModelProto:
    return graph.lifted(graph.inlined(model), OPSET)


def _weights(model: ModelProto) -> ModelProto:
    graph.constants_to_initializers(model)
    return model


def _slimmed(model: ModelProto) -> ModelProto:
    slim = onnxslim.slim(model)
    if not isinstance(slim, ModelProto):
        raise TypeError("onnxslim returned no model")
    return slim


def _named(model: ModelProto) -> ModelProto:
    graph.name_nodes(model)
    return model


_STEPS: Mapping[str, Step] = {
    f"opset {OPSET}": _lifted,
    "constants as weights": _weights,
    "onnxslim": _slimmed,
    "unique node names": _named,
}


def cleaned(model: ModelProto) -> ModelProto:
    """All steps, whatever they do to the answers: the caller compares."""
    for step in _STEPS.values():
        model = step(model)
    return model


class _Judge:
    """Runs a step on a copy and compares its answers with those of the model as it came."""

    def __init__(self, contract: Contract, samples: Dataset, batch: int, source: Path) -> None:
        self._contract, self._samples, self._batch = contract, samples, batch
        self._expected = self._answers(source)

    def _answers(self, path: Path) -> Outputs:
        session = runtime.session(path, 1)
        return runtime.answers(session, self._contract, self._samples, self._batch)

    def tried(self, model: ModelProto, step: Step) -> tuple[ModelProto, str | None]:
        """The changed model, or the problem that speaks against it."""
        copy = ModelProto()
        copy.CopyFrom(model)
        file = Path("step.onnx")
        try:
            changed = step(copy)
            onnx.checker.check_model(changed)
            graph.save(changed, file)
            return changed, difference(self._expected, self._answers(file))
        except Exception as error:  # noqa: BLE001 (libraries raise whatever they meet)
            return model, runtime.brief(error)


def difference(expected: Outputs, actual: Outputs) -> str | None:
    """What differs beyond rounding, in words; None when nothing does."""
    for name, before in expected.items():
        after = actual[name]
        if before.shape != after.shape or before.dtype != after.dtype:
            return f"output '{name}' has another shape or type"
        if before.dtype.kind != "f":
            if not np.array_equal(before, after):
                return f"output '{name}' differs"
            continue
        scale = float(np.nanmax(np.abs(before), initial=0.0)) or 1.0
        gap = float(np.nanmax(np.abs(before - after), initial=0.0)) / scale
        cosine = float(fidelity.cosines(before, after).min())
        if gap > _RELATIVE_MAX or cosine < _COSINE_MIN:
            return f"output '{name}' differs by {gap:.2g} of its greatest value"
    return None
