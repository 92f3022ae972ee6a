"""Unstructured magnitude pruning: the smallest weights become zero; also followed by int8."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from tightship.optimize import graph
from tightship.optimize.techniques import (
    PRUNE,
    QUANTIZE,
    Applied,
    Facts,
    Ineligible,
    Material,
    Pass,
    Recipe,
    dynamic_int8,
    static_int8,
)

NAME = "prune"
_WEIGHTED = ("Conv", "MatMul", "Gemm")
_SLOW = "zeros bring no speed on this runtime, which multiplies them like any other number"
_AXES_MIN = 2


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """Pruned alone; and pruned then quantized, which is worth trying only after the former."""
    name = f"prune-{facts.sparsity:.0%}".rstrip("%")
    reason = facts.refusal("prune", *_WEIGHTED)
    if reason:
        return [Ineligible(id=name, technique=PRUNE, reason=reason)]
    zeros = Pass(NAME, {"sparsity": facts.sparsity})
    found: list[Recipe | Ineligible] = [
        Recipe(id=name, technique=PRUNE, passes=(zeros,), slow=_SLOW)
    ]
    technique = f"{PRUNE}+{QUANTIZE}"
    for quantizer in (static_int8, dynamic_int8):
        if quantizer.refusal(facts) is None:
            both = (zeros, quantizer.step(facts))
            full = f"{name}+{quantizer.ID}"
            combined = Recipe(id=full, technique=technique, passes=both, slow=_SLOW, after=name)
            return [*found, combined]
    why = static_int8.refusal(facts) or "it cannot be quantized"
    return [*found, Ineligible(id=f"{name}+{static_int8.ID}", technique=technique, reason=why)]


def space(facts: Facts) -> None:
    """Nothing: no share of zeros brings speed, and the resource names the share."""
    del facts


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Write the model with the given share of each weight matrix set to zero."""
    del material
    model = graph.load(source)
    used = {
        name for node in model.graph.node if node.op_type in _WEIGHTED for name in node.input[1:2]
    }
    total = zeroed = 0
    for tensor in model.graph.initializer:
        if tensor.name in used and tensor.data_type == TensorProto.FLOAT:
            weights = numpy_helper.to_array(tensor)
            if weights.ndim >= _AXES_MIN:
                pruned = zero_smallest(weights, float(params["sparsity"]))
                tensor.CopyFrom(numpy_helper.from_array(pruned, tensor.name))
                total, zeroed = total + pruned.size, zeroed + int((pruned == 0).sum())
    graph.save(model, target)
    return Applied(
        coverage={"zeroWeightShare": zeroed / max(1, total)},
        ineffective=None if zeroed else "no weight matrix was found to prune",
    )


def zero_smallest(weights: np.ndarray, sparsity: float) -> np.ndarray:
    """A copy with (at least) that share of the entries, the smallest by magnitude, set to zero."""
    count = int(weights.size * sparsity)
    if not count:
        return weights.copy()
    magnitudes = np.abs(weights)
    threshold = np.partition(magnitudes, count - 1, axis=None)[count - 1]
    return np.where(magnitudes <= threshold, np.zeros((), weights.dtype), weights)
