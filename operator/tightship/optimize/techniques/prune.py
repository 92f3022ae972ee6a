"""Magnitude pruning: the smallest weights become zero, a share of each matrix or two of each four.

A share may be followed by int8.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from tightship.optimize import graph, sparsity
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
_ID_OF_FOUR = "prune-2-4"
_OF_FOUR = "2:4"  # value of the pass's parameter `pattern`
_SLOW_OF_FOUR = f"{_SLOW}; sparse tensor cores skip them, where TensorRT is allowed to use these"
_AXES_MIN = 2


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """Pruned alone, in both ways; and a share then quantized, tried only after the share passed."""
    name = f"prune-{facts.sparsity:.0%}".rstrip("%")
    reason = facts.refusal("prune", *_WEIGHTED)
    if reason:
        return [Ineligible(id=name, technique=PRUNE, reason=reason)]
    zeros = Pass(NAME, {"sparsity": facts.sparsity})
    found: list[Recipe | Ineligible] = [
        Recipe(id=name, technique=PRUNE, passes=(zeros,), slow=_SLOW, zeros=True),
        _two_of_four(),
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


def _two_of_four() -> Recipe:
    made = Pass(NAME, {"pattern": _OF_FOUR})
    return Recipe(id=_ID_OF_FOUR, technique=PRUNE, passes=(made,), slow=_SLOW_OF_FOUR, zeros=True)


def space(facts: Facts) -> None:
    """Nothing: no share of zeros brings speed, and the resource names the share."""
    del facts


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Write the model with a share of each weight matrix set to zero, or two of each four."""
    del material
    model = graph.load(source)
    matrices = total = zeroed = left = 0
    for tensor, axes in _matrices(model):
        weights = numpy_helper.to_array(tensor)
        pruned = _pruned(weights, axes, params)
        matrices, total = matrices + 1, total + weights.size
        if pruned is None:
            left, zeroed = left + 1, zeroed + int((weights == 0).sum())
            continue
        tensor.CopyFrom(numpy_helper.from_array(pruned, tensor.name))
        zeroed += int((pruned == 0).sum())
    graph.save(model, target)
    note = f"{left} of {matrices} weight matrices stay: their inputs do not come in fours"
    return Applied(
        notes=(note,) if left else (),
        coverage={"zeroWeightShare": zeroed / max(1, total)},
        ineffective=None if zeroed and left < matrices else "no weight matrix was found to prune",
    )


def _matrices(model: ModelProto) -> Iterator[tuple[TensorProto, set[int]]]:
    """The weights, and the axes along which the nodes that use them read their inputs."""
    axes = defaultdict[str, set[int]](set)
    for node in model.graph.node:
        if node.op_type in _WEIGHTED:
            axes[node.input[1]].add(_input_axis(node))
    for tensor in model.graph.initializer:
        floats = tensor.data_type == TensorProto.FLOAT
        if tensor.name in axes and floats and len(tensor.dims) >= _AXES_MIN:
            yield tensor, axes[tensor.name]


def _input_axis(node: NodeProto) -> int:
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    return 1 if node.op_type == "Conv" or transposed else -2


def _pruned(weights: np.ndarray, axes: set[int], params: Mapping[str, Any]) -> np.ndarray | None:
    """A copy with zeros; None where the pattern does not fit them, or not all their users."""
    if params.get("pattern") != _OF_FOUR:
        return zero_smallest(weights, float(params["sparsity"]))
    (axis, *others) = axes
    if others or not sparsity.fits(weights, axis):
        return None
    kept = sparsity.two_of_four(weights, axis)
    return np.where(kept, weights, np.zeros((), weights.dtype))


def zero_smallest(weights: np.ndarray, sparsity: float) -> np.ndarray:
    """A copy with (at least) that share of the entries, the smallest by magnitude, set to zero."""
    count = int(weights.size * sparsity)
    if not count:
        return weights.copy()
    magnitudes = np.abs(weights)
    threshold = np.partition(magnitudes, count - 1, axis=None)[count - 1]
    return np.where(magnitudes <= threshold, np.zeros((), weights.dtype), weights)
