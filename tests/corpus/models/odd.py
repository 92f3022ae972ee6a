"""Odd models that are valid ONNX: shapes, types and answers that real exports rarely have."""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from tests.corpus.models import build
from tests.corpus.models.build import Shape, floats


def unary(
    operator: str, shape: Shape, answer: Shape | None = None, kind: int = TensorProto.FLOAT
) -> ModelProto:
    """x -> y by one operator without attributes."""
    ends = (("x", shape), ("y", shape if answer is None else answer))
    x, y = (helper.make_tensor_value_info(name, kind, dims) for name, dims in ends)
    return build.model([helper.make_node(operator, ["x"], ["y"])], [x], [y])


def product(*before: NodeProto, source: str = "a") -> ModelProto:
    """x [n, 16] -> y [n, 4]: nodes that make `source` of x, and a MatMul behind them."""
    nodes = [*before, helper.make_node("MatMul", [source, "w"], ["y"])]
    ends = [floats("x", ["n", 16])], [floats("y", ["n", 4])]
    return build.model(nodes, *ends, [build.weight("w", [16, 4])])


def undeclared() -> ModelProto:
    """A MatMul whose input and output have no shape, not even a number of axes."""
    made = product(source="x")
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.ClearField("shape")
    return made


def versioned(*, opset: int = 17, ir: int = 8) -> ModelProto:
    """A MatMul in other versions of ONNX."""
    made = product(source="x")
    made.ir_version = ir
    made.opset_import[0].version = opset
    return made


def noisy() -> ModelProto:
    """Adds noise that is drawn anew for each request."""
    return product(
        helper.make_node("RandomNormalLike", ["x"], ["r"]),
        helper.make_node("Add", ["x", "r"], ["a"]),
    )


def logarithms() -> ModelProto:
    """NaN for every sample with a negative number."""
    return product(helper.make_node("Log", ["x"], ["a"]))


def boxes() -> ModelProto:
    """As many rows as boxes are kept, which the data decide."""
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "k", "iou"], ["kept"])
    ends = [floats("boxes", [1, 20, 4]), floats("scores", [1, 3, 20])]
    kept = helper.make_tensor_value_info("kept", TensorProto.INT64, ["m", 3])
    limits = [_array("k", np.array([20])), _array("iou", np.array([0.5], np.float32))]
    return build.model([node], ends, [kept], limits)


def counted() -> ModelProto:
    """A loop whose number of rounds is a scalar input."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["v", "v"], ["w"]),
        ],
        "body",
        [_value("i", TensorProto.INT64, []), _value("go", TensorProto.BOOL, []), floats("v", [4])],
        [_value("on", TensorProto.BOOL, []), floats("w", [4])],
    )
    loop = helper.make_node("Loop", ["rounds", "go_on", "x"], ["y"], body=body)
    inputs = [_value("rounds", TensorProto.INT64, []), floats("x", [4])]
    return build.model([loop], inputs, [floats("y", [4])], [_array("go_on", np.array(True))])


def functional() -> ModelProto:
    """A node that the model itself defines, as PyTorch's exporter writes modules."""
    body = [helper.make_node("Relu", ["v"], ["u"])]
    imports = [helper.make_opsetid("", 17)]
    function = helper.make_function("modules", "Block", ["v"], ["u"], body, imports)
    made = product(helper.make_node("Block", ["x"], ["a"], domain="modules"))
    made.opset_import.append(helper.make_opsetid("modules", 1))
    made.functions.append(function)
    return made


def recurrent() -> ModelProto:
    """An LSTM over x [steps, n, 8]: the batch is the second axis."""
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4)
    weights = [build.weight("w", [1, 16, 8]), build.weight("r", [1, 16, 4])]
    y = floats("y", ["steps", 1, "n", 4])
    return build.model([node], [floats("x", ["steps", "n", 8])], [y], weights)


def centred_words() -> ModelProto:
    """Vectors of ids, less their mean over the batch: of rows that are alike nothing is left."""
    nodes = [
        helper.make_node("Gather", ["e", "ids"], ["v"]),
        helper.make_node("ReduceMean", ["v"], ["m"], axes=[0]),
        helper.make_node("Sub", ["v", "m"], ["y"]),
    ]
    ends = [_value("ids", TensorProto.INT64, ["n"])], [floats("y", ["n", 4])]
    return build.model(nodes, *ends, [build.weight("e", [9, 4])])


def repeated() -> ModelProto:
    """One answer given twice, under one name."""
    made = product(source="x")
    made.graph.output.append(made.graph.output[0])
    return made


def crowded() -> ModelProto:
    """Adds the sum of all rows after the second."""
    limits = [("s", 2), ("t", 999), ("axis", 0)]
    nodes = [
        helper.make_node("Slice", ["x", "s", "t", "axis"], ["later"]),
        helper.make_node("ReduceSum", ["later", "axis"], ["sum"]),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    ends = [floats("x", ["n", 4])], [floats("y", ["n", 4])]
    return build.model(nodes, *ends, [_array(name, np.array([at])) for name, at in limits])


def endlessly_centred() -> ModelProto:
    """Less the mean over the batch, but for one column that is infinite for each row."""
    made = build.centred()
    made.graph.node[-1].output[0] = "d"
    made.graph.node.append(helper.make_node("Add", ["d", "inf"], ["y"]))
    infinity = np.array([0, 0, 0, 0, 0, 0, 0, np.inf], np.float32)
    made.graph.initializer.append(_array("inf", infinity))
    return made


def localized() -> ModelProto:
    """Small letters by the locale that StringNormalizer has by default."""
    node = helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER")
    x, y = (_value(name, TensorProto.STRING, ["n"]) for name in "xy")
    return build.model([node], [x], [y])


def _value(name: str, kind: int, shape: Shape) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _array(name: str, values: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(values, name)
