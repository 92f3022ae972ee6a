"""Small ONNX models made in memory: sound ones, and the building blocks of unsound ones."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Shape = list[int | str | None]


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[TensorProto] = (),
    opset: int = 17,
    domains: Sequence[str] = (),
) -> ModelProto:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(weights))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made: ModelProto = helper.make_model(graph, opset_imports=imports, ir_version=8)
    return made


def floats(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def weight(name: str, shape: Sequence[int], seed: int = 0) -> TensorProto:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return numpy_helper.from_array(values * np.float32(0.3), name)


def perceptron(batch: int | str | None = "n", width: int = 8, classes: int = 4) -> ModelProto:
    """x [batch, width] -> y [batch, classes]: MatMul, Relu, MatMul, Softmax."""
    return model(
        [
            helper.make_node("MatMul", ["x", "w1"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "w2"], ["c"]),
            helper.make_node("Softmax", ["c"], ["y"]),
        ],
        [floats("x", [batch, width])],
        [floats("y", [batch, classes])],
        [weight("w1", [width, 16], 1), weight("w2", [16, classes], 2)],
    )


def convnet(classes: int = 4) -> ModelProto:
    """x [n, 3, 8, 8] -> y [n, classes]: three convolutions, the second depthwise, and a MatMul."""
    return model(
        [
            helper.make_node("Conv", ["x", "w1"], ["a"], "first", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["a"], ["b"], "relu1"),
            helper.make_node("Conv", ["b", "w2"], ["c"], "deep", pads=[1, 1, 1, 1], group=8),
            helper.make_node("Relu", ["c"], ["d"], "relu2"),
            helper.make_node("Conv", ["d", "w3"], ["e"], "point"),
            helper.make_node("Relu", ["e"], ["f"], "relu3"),
            helper.make_node("GlobalAveragePool", ["f"], ["g"], "pool"),
            helper.make_node("Flatten", ["g"], ["h"], "flat"),
            helper.make_node("MatMul", ["h", "w4"], ["y"], "last"),
        ],
        [floats("x", ["n", 3, 8, 8])],
        [floats("y", ["n", classes])],
        [
            weight("w1", [8, 3, 3, 3], 1),
            weight("w2", [8, 1, 3, 3], 2),
            weight("w3", [16, 8, 1, 1], 3),
            weight("w4", [16, classes], 4),
        ],
    )


def external(location: str, entries: dict[str, str] | None = None) -> ModelProto:
    """A perceptron whose first weight claims to lie in another file: 512 bytes at `location`."""
    made = perceptron()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **(entries or {})}.items():
        tensor.external_data.add(key=key, value=value)
    return made


def centred() -> ModelProto:
    """x [n, 8] -> y [n, 8]: less the batch's mean, so that rows depend on each other."""
    mean = helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1)
    less = helper.make_node("Sub", ["x", "m"], ["y"])
    return model([mean, less], [floats("x", ["n", 8])], [floats("y", ["n", 8])])


def text_lengths() -> ModelProto:
    """s string [n] -> y string [n]: the text in upper case."""
    node = helper.make_node(
        "StringNormalizer", ["s"], ["y"], case_change_action="UPPER", locale="C"
    )
    return model(
        [node],
        [helper.make_tensor_value_info("s", TensorProto.STRING, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.STRING, ["n"])],
    )


def nested(depth: int) -> ModelProto:
    """If inside If inside If."""
    condition = numpy_helper.from_array(np.array(True), "c")
    inner = [helper.make_node("Identity", ["x"], ["y"])]
    for _ in range(depth):
        branch = helper.make_graph(inner, "branch", [], [floats("y", [1])])
        inner = [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]
    return model(inner, [floats("x", [1])], [floats("y", [1])], [condition])


def endless() -> ModelProto:
    """A loop of 2^60 rounds."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["v", "v"], ["w"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            floats("v", [1]),
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), floats("w", [1])],
    )
    rounds = numpy_helper.from_array(np.array(2**60, np.int64), "rounds")
    start = numpy_helper.from_array(np.array(True), "start")
    loop = helper.make_node("Loop", ["rounds", "start", "x"], ["y"], body=body)
    return model([loop], [floats("x", [1])], [floats("y", [1])], [rounds, start])
