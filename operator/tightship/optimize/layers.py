"""Which layers of a built model hold their weights in which type: what a technique really reached.

It is counted on the file itself, so that it says the same of every technique.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto

from tightship.optimize import graph

# Between a stored weight and the node that computes with it; they keep its values.
_PASSING = frozenset(
    {"Cast", "DequantizeLinear", "DequantizeBFP", "Identity", "Reshape", "Transpose"}
)
_SHAPES = frozenset({TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64, TensorProto.STRING})
_PACKED = "MatMulNBits"  # its stored bytes hold several weights each
_LEAST_RANK = 2  # biases, scales and zero points are vectors or single numbers


def table(path: Path) -> list[dict[str, Any]]:
    """One row for each operator and stored type of weights: {operator, weights, nodes, parameters}.

    Weights are constants with two axes at least, but not indices and shapes; a weight that several
    nodes share counts for each of them. Rows are sorted, greatest first.
    """
    model = onnx.load(str(path), load_external_data=False)
    nodes: Counter[tuple[str, str]] = Counter()
    numbers: Counter[tuple[str, str]] = Counter()
    for inner in graph.graphs(model.graph):
        _count(inner, nodes, numbers)
    order = sorted(nodes, key=lambda row: (-numbers[row], row))
    return [
        {"operator": row[0], "weights": row[1], "nodes": nodes[row], "parameters": numbers[row]}
        for row in order
    ]


def _count(
    inner: GraphProto, nodes: Counter[tuple[str, str]], numbers: Counter[tuple[str, str]]
) -> None:
    stored = _weights(inner)
    for node in inner.node:
        if node.op_type in _PASSING:
            continue
        found = [stored[name] for name in node.input if name in stored]
        if node.op_type == _PACKED:
            told = {attribute.name: attribute.i for attribute in node.attribute}
            row = (node.op_type, f"int{told['bits']}")
            nodes[row] += 1
            numbers[row] += told["K"] * told["N"]
        elif found:
            greatest = max(found, key=_numbers)
            row = (node.op_type, _type(greatest))
            nodes[row] += 1
            numbers[row] += sum(map(_numbers, found))


def _weights(inner: GraphProto) -> dict[str, TensorProto]:
    """Every value of the graph that is a stored weight, however it is passed on."""
    found = {tensor.name: tensor for tensor in inner.initializer if _weighs(tensor)}
    for node in inner.node:
        tensor = _constant(node) if node.op_type == "Constant" else None
        if tensor is not None and _weighs(tensor):
            found[node.output[0]] = tensor
        if node.op_type in _PASSING and node.input and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _constant(node: NodeProto) -> TensorProto | None:
    return next((a.t for a in node.attribute if a.name == "value" and a.HasField("t")), None)


def _weighs(tensor: TensorProto) -> bool:
    return len(tensor.dims) >= _LEAST_RANK and tensor.data_type not in _SHAPES


def _numbers(tensor: TensorProto) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64))


def _type(tensor: TensorProto) -> str:
    name: str = TensorProto.DataType.Name(tensor.data_type)
    return name.lower()
