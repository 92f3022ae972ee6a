"""Half precision by range scan: fp16 wherever the values that were seen fit it, fp32 elsewhere.

The CPU runtime computes fp16 graphs in fp32 and so hides every overflow (a file classifier of 98 %
accuracy looks intact there and has none in real fp16). Therefore a scan of the activations picks
the nodes that stay in fp32, and the result comes with a simulation that rounds each fp16 node's
outputs, which is what the gate judges.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tightship.optimize import graph
from tightship.optimize.techniques import (
    HALF_PRECISION,
    Applied,
    Facts,
    Ineligible,
    Material,
    Pass,
    Recipe,
)
from tightship.optimize.techniques.scan import scan

NAME = "half"
ID = "fp16"
GREATEST = 65504.0  # largest finite fp16 number
SMALLEST_NORMAL = 2.0**-14  # below it fp16 loses digits one by one
VANISHES = 2.0**-25  # rounds to zero
HEADROOM = 4.0  # how far beyond the scan's greatest value other inputs may go
FLUSHED_SHARE_MAX = 0.01  # of a tensor's weights that may round to zero

_SLOW = "this runtime computes fp16 in fp32 on CPUs and adds conversions"
_FLOAT_ONLY = frozenset(
    [
        "Cast",
        "ConstantOfShape",
        "CumSum",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "If",
        "Loop",
        "Max",
        "Min",
        "NonMaxSuppression",
        "QuantizeLinear",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Range",
        "Resize",
        "RoiAlign",
        "Scan",
        "TopK",
        "Upsample",
        "GRU",
        "LSTM",
        "RNN",
    ]
)

Types = Mapping[str, int]
Ranges = Mapping[str, float]


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """One candidate."""
    reason = facts.refusal("halfPrecision")
    if reason:
        return [Ineligible(id=ID, technique=HALF_PRECISION, reason=reason)]
    return [Recipe(id=ID, technique=HALF_PRECISION, passes=(Pass(NAME),), slow=_SLOW)]


def space(facts: Facts) -> None:
    """Nothing: the range scan decides what stays in fp32."""
    del facts


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Write the mixed-precision model, and beside it the simulation."""
    del params
    model, types = typed(graph.load(source))
    computing = [node for node in model.graph.node if _floats(node.output, types)]
    if not computing:
        return Applied(ineffective="the model computes nothing in fp32")
    names = (name for node in computing for name in _floats(node.output, types))
    ranges = {name: seen.greatest for name, seen in scan(model, names, material).items()}
    chosen = half_nodes(model, types, ranges)
    if not chosen:
        return Applied(ineffective="no node's values fit fp16")
    graph.save(converted(model, types, chosen), target)
    simulation = target.with_name("simulation.onnx")
    graph.save(simulated(model, types, chosen), simulation)
    hot = [node for node in computing if node.name not in chosen]
    greatest = max(ranges.values(), default=0.0)
    return Applied(
        notes=(
            f"{len(hot)} of {len(computing)} nodes stay in fp32; greatest value {greatest:.4g}",
        ),
        coverage={"fp16NodeShare": len(chosen) / max(1, len(computing))},
        simulation=str(simulation),
    )


def typed(model: ModelProto) -> tuple[ModelProto, dict[str, int]]:
    """The model with unique node names, and the element type of every tensor that is known."""
    graph.name_nodes(model)
    model = onnx.shape_inference.infer_shapes(model)
    values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types.update({tensor.name: tensor.data_type for tensor in model.graph.initializer})
    return model, types


def _floats(names: Iterable[str], types: Types) -> list[str]:
    return [name for name in names if name and types.get(name) == TensorProto.FLOAT]


def half_nodes(model: ModelProto, types: Types, ranges: Ranges) -> frozenset[str]:
    """Names of the nodes that may compute in fp16."""
    weights = graph.float_weights(model)
    captured = set(_captured(model))
    return frozenset(
        node.name
        for node in model.graph.node
        if node.domain in ("", "ai.onnx")
        and node.op_type not in _FLOAT_ONLY
        and _floats(node.output, types)
        and not captured.intersection(node.output)
        and not any(_is_subgraph(attribute) for attribute in node.attribute)
        and all(fits(ranges[name]) for name in (*node.input, *node.output) if name in ranges)
        and all(weights_fit(weights[name]) for name in node.input if name in weights)
    )


def _is_subgraph(attribute: AttributeProto) -> bool:
    """Whether the attribute holds a subgraph."""
    return attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def _captured(model: ModelProto) -> Iterable[str]:
    """Outer tensors that subgraphs may read by name; these must keep their type."""
    for inner in list(graph.graphs(model.graph))[1:]:
        for node in inner.node:
            yield from node.input
        yield from (value.name for value in inner.output)


def fits(greatest: float) -> bool:
    """Whether activations up to this magnitude survive fp16, with headroom, not as subnormals."""
    return greatest == 0 or SMALLEST_NORMAL <= greatest <= GREATEST / HEADROOM


def weights_fit(weights: np.ndarray) -> bool:
    """Whether constants survive fp16: none overflows, few vanish, no epsilon loses digits."""
    magnitudes = np.abs(weights[weights != 0])
    if not magnitudes.size:
        return True
    if not np.isfinite(magnitudes).all() or magnitudes.max() > GREATEST / HEADROOM:
        return False
    if weights.size == 1:
        return bool(magnitudes.min() >= SMALLEST_NORMAL)
    return bool((magnitudes <= VANISHES).mean() <= FLUSHED_SHARE_MAX)


class _Rewriter:
    """Rewrites nodes in order, casting where precision changes; each tensor is cast once."""

    def __init__(self, model: ModelProto, types: Types, chosen: frozenset[str]) -> None:
        self._types = types
        self._chosen = chosen
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._outputs = {value.name for value in model.graph.output}
        self._halves: set[str] = set()  # tensors that exist in fp16 under their own name
        self._casts: dict[tuple[str, int], str] = {}
        self.nodes: list[NodeProto] = []
        self.halved_weights: dict[str, TensorProto] = {}

    def add(self, node: NodeProto) -> None:
        """Append the node in its precision, with the casts before and after it."""
        half = node.name in self._chosen
        wanted = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        copy = NodeProto()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(self._as(name, wanted) for name in node.input)
        after = []
        for index, name in enumerate(node.output):
            if not half or self._types.get(name) != TensorProto.FLOAT:
                continue
            if name in self._outputs:
                copy.output[index] = f"{name}_fp16"
                after.append(_cast(f"{name}_fp16", name, TensorProto.FLOAT))
            else:
                self._halves.add(name)
        self.nodes += [copy, *after]

    def _as(self, name: str, wanted: int) -> str:
        if not name or self._types.get(name) != TensorProto.FLOAT:
            return name
        current = TensorProto.FLOAT16 if name in self._halves else TensorProto.FLOAT
        if current == wanted:
            return name
        if name in self._weights:
            return self._half_weight(name)
        key = (name, wanted)
        if key not in self._casts:
            self._casts[key] = f"{name}_as{wanted}"
            self.nodes.append(_cast(name, self._casts[key], wanted))
        return self._casts[key]

    def _half_weight(self, name: str) -> str:
        if name not in self.halved_weights:
            values = numpy_helper.to_array(self._weights[name]).astype(np.float16)
            self.halved_weights[name] = numpy_helper.from_array(values, f"{name}_fp16")
        return f"{name}_fp16"


def _cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=to)


def converted(model: ModelProto, types: Types, chosen: frozenset[str]) -> ModelProto:
    """The mixed-precision model; inputs and outputs keep their types."""
    rewriter = _Rewriter(model, types, chosen)
    for node in model.graph.node:
        rewriter.add(node)
    result = ModelProto()
    result.CopyFrom(model)
    captured = set(_captured(model)) | {value.name for value in model.graph.output}
    used = {name for node in rewriter.nodes for name in node.input} | captured
    _replace(result, rewriter.nodes)
    weights = [*model.graph.initializer, *rewriter.halved_weights.values()]
    del result.graph.initializer[:]
    result.graph.initializer.extend(tensor for tensor in weights if tensor.name in used)
    return result


def simulated(model: ModelProto, types: Types, chosen: frozenset[str]) -> ModelProto:
    """An fp32 model that rounds through fp16 wherever the converted one computes in it.

    Run it without graph optimizations, which would remove the pairs of casts.
    """
    result = ModelProto()
    result.CopyFrom(model)
    rounded = {
        name for node in model.graph.node if node.name in chosen for name in node.input if name
    }
    for tensor in result.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name in rounded:
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes += _rounding(node, types) if node.name in chosen else [node]
    _replace(result, nodes)
    return result


def _rounding(node: NodeProto, types: Types) -> list[NodeProto]:
    copy = NodeProto()
    copy.CopyFrom(node)
    casts = []
    for index, name in enumerate(node.output):
        if types.get(name) == TensorProto.FLOAT:
            copy.output[index] = f"{name}_exact"
            casts.append(_cast(f"{name}_exact", f"{name}_rounded", TensorProto.FLOAT16))
            casts.append(_cast(f"{name}_rounded", name, TensorProto.FLOAT))
    return [copy, *casts]


def _replace(model: ModelProto, nodes: Sequence[NodeProto]) -> None:
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    del model.graph.value_info[:]
