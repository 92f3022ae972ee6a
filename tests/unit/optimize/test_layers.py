"""Layers of a built file: weights are found behind what passes them on, and nothing else is."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tightship.optimize import layers

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def saved(tmp_path: Path, nodes: list[onnx.NodeProto], **weights: np.ndarray) -> Path:
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, [None, 3])],
        [value("y", TensorProto.FLOAT, None)],
        tensors,
    )
    file = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), file)
    return file


def test_a_plain_layer(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "bias"], ["y"]),
    ]
    file = saved(tmp_path, nodes, w=WEIGHTS, bias=np.zeros(4, np.float32))
    assert layers.table(file) == [
        {"operator": "MatMul", "weights": "float", "nodes": 1, "parameters": 12}
    ]


def test_weights_behind_conversions_count_as_they_are_stored(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["w"]),
        helper.make_node("Transpose", ["w"], ["t"]),
        helper.make_node("Cast", ["h16"], ["h32"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "t"], ["a"]),
        helper.make_node("MatMul", ["a", "h32"], ["y"]),
    ]
    file = saved(
        tmp_path,
        nodes,
        q=np.zeros((4, 3), np.int8),
        scale=np.array(1, np.float32),
        h16=np.zeros((4, 2), np.float16),
    )
    assert layers.table(file) == [
        {"operator": "MatMul", "weights": "int8", "nodes": 1, "parameters": 12},
        {"operator": "MatMul", "weights": "float16", "nodes": 1, "parameters": 8},
    ]


def test_shared_weights_count_for_each_node_and_shapes_do_not(tmp_path: Path) -> None:
    constant = numpy_helper.from_array(WEIGHTS)
    nodes = [
        helper.make_node("Constant", [], ["w"], value=constant),
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["x", "w"], ["b"]),
        helper.make_node("Gather", ["a", "where"], ["c"]),
        helper.make_node("Mul", ["b", "c"], ["y"]),
    ]
    file = saved(tmp_path, nodes, where=np.zeros((1, 1), np.int64))
    assert layers.table(file) == [
        {"operator": "MatMul", "weights": "float", "nodes": 2, "parameters": 24}
    ]


def test_a_model_without_weights_has_none(tmp_path: Path) -> None:
    assert layers.table(saved(tmp_path, [helper.make_node("Relu", ["x"], ["y"])])) == []
